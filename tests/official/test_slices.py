"""The official client, unmodified, on slices of a served embedded Nucleus."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

pytestmark = [
    pytest.mark.newest,
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]

NAMES = ["a.jpg", "b.jpg", "c.jpg", "d/ü ?.jpg"]


@pytest.fixture
def official_dataset(nucleus: Any, official: Any) -> Any:
    """The official client's dataset of four remote images, the first of which has a box."""
    made = official.create_dataset("Street scenes", is_scene=False)
    items = [
        nucleus.DatasetItem(f"https://example.org/{n}.jpg", reference_id=name, metadata={"n": n})
        for n, name in enumerate(NAMES)
    ]
    made.append(items).sleep_until_complete()
    made.annotate([nucleus.BoxAnnotation("car", 1, 2, 3, 4, reference_id="a.jpg", annotation_id="1")])
    return made


@pytest.fixture
def rainy(official_dataset: Any) -> Any:
    """The official client's slice of three of them."""
    return official_dataset.create_slice("rain & fog", [NAMES[3], NAMES[0], NAMES[2]])


def names(items: Any) -> list[str]:
    return [item.reference_id for item in items]


def test_a_slice_holds_its_items_in_order(nucleus: Any, rainy: Any) -> None:
    assert names(rainy.items) == names(rainy.dataset_items()) == [NAMES[3], NAMES[0], NAMES[2]]
    assert isinstance(rainy.items[0], nucleus.DatasetItem)
    assert rainy.items[0].metadata == {"n": 3}


@pytest.mark.parametrize("page_size", [1, 2, 100_000])
def test_items_of_a_slice_come_page_by_page(rainy: Any, page_size: int) -> None:
    assert names(rainy.items_generator(page_size=page_size)) == [NAMES[3], NAMES[0], NAMES[2]]


def test_a_slice_describes_itself(official_dataset: Any, rainy: Any) -> None:
    info = rainy.info()
    assert (info["name"], info["slice_id"], info["dataset_id"]) == ("rain & fog", rainy.id, official_dataset.id)
    assert (rainy.name, rainy.dataset_id, rainy.type) == ("rain & fog", official_dataset.id, "dataset_item")
    assert (rainy.description, rainy.pending_job_count, rainy.tags) == (None, 0, [])
    assert "rain & fog" in repr(rainy)


def test_slices_are_listed(nucleus: Any, official: Any, official_dataset: Any, rainy: Any) -> None:
    other = official_dataset.create_slice("empty")
    assert names(other.items) == []
    assert [one.id for one in official_dataset.slices] == [rainy.id, other.id]
    assert [one.id for one in official.slices] == [rainy.id, other.id]
    assert isinstance(official_dataset.slices[0].created_at, datetime)
    assert [one.id for one in official_dataset.get_slices(name="empty")] == [other.id]
    assert [one.id for one in official_dataset.get_slices(slice_type="dataset_item")] == [rainy.id, other.id]
    assert [one.id for one in official_dataset.get_slices("empty", nucleus.slice.SliceType.DATASET_ITEM)] == [other.id]
    for missing in ({"name": "nobody"}, {"slice_type": "object"}):
        with pytest.raises(nucleus.NotFoundError):
            official_dataset.get_slices(**missing)
    assert sorted(official_dataset.info().slice_ids) == sorted([rainy.id, other.id])


def test_a_slice_is_made_of_item_ids(official_dataset: Any, rainy: Any) -> None:
    ids = [item.dataset_item_id for item in rainy.items]
    assert (
        names(official_dataset.create_slice_by_ids("by id", dataset_item_ids=ids[::-1]).items)
        == names(rainy.items)[::-1]
    )


@pytest.mark.parametrize("kind", ["annotation_ids", "scene_ids"])
def test_what_no_slice_is_made_of_is_told(nucleus: Any, official_dataset: Any, kind: str) -> None:
    with pytest.raises(nucleus.NucleusAPIError) as caught:
        official_dataset.create_slice_by_ids("others", **{kind: ["x_1"]})
    assert caught.value.status_code == 501


def test_names_of_slices_are_unique(nucleus: Any, official_dataset: Any, rainy: Any) -> None:
    with pytest.raises(nucleus.NucleusAPIError) as caught:
        official_dataset.create_slice("rain & fog", ["a.jpg"])
    assert caught.value.status_code == 409


def test_a_sample_is_a_slice(nucleus: Any, official: Any, official_dataset: Any, rainy: Any) -> None:
    methods, filters = nucleus.slice.SliceBuilderMethods, nucleus.slice.SliceBuilderFilters(slice_id=rainy.id)
    job, made = official_dataset.build_slice("two", 2, methods.RANDOM, filters)
    job.sleep_until_complete()
    found = names(official.get_slice(made).items)
    assert len(found) == 2
    assert set(found) <= {NAMES[3], NAMES[0], NAMES[2]}
    assert names(official.get_slice(official_dataset.build_slice("all", 20, methods.RANDOM)[1]).items) == NAMES
    with pytest.raises(nucleus.NucleusAPIError) as caught:
        official_dataset.build_slice("unique", 2, methods.UNIQUENESS)
    assert caught.value.status_code == 501


def test_items_are_appended(official_dataset: Any, rainy: Any) -> None:
    known = {item.reference_id: item.dataset_item_id for item in official_dataset.items_generator()}
    answer = rainy.append(reference_ids=["b.jpg", "a.jpg"])
    assert answer == {"slice_id": rainy.id, "new_items": [known["b.jpg"]]}
    assert names(rainy.items) == [NAMES[3], NAMES[0], NAMES[2], "b.jpg"]


def test_tags_are_added(rainy: Any) -> None:
    rainy.add_tags(["night", "wet"])
    rainy.add_tags(["night"])
    assert rainy.tags == ["night", "wet"]


@pytest.mark.parametrize("paged", [False, True])
def test_items_of_a_slice_come_with_their_annotations(rainy: Any, paged: bool) -> None:
    rows = list(rainy.items_and_annotation_generator() if paged else rainy.items_and_annotations())
    assert names(row["item"] for row in rows) == [NAMES[3], NAMES[0], NAMES[2]]
    assert [[box.annotation_id for box in row["annotations"]["box"]] for row in rows] == [[], ["1"], []]


@pytest.mark.parametrize("paged", [False, True])
def test_items_come_with_the_predictions_of_a_model(
    nucleus: Any, official: Any, official_dataset: Any, rainy: Any, paged: bool
) -> None:
    model = official.create_model("Detector", "det-0.5")
    box = nucleus.BoxPrediction("van", 1, 2, 3, 4, reference_id="c.jpg", confidence=0.5, annotation_id="p")
    official_dataset.upload_predictions(model, [box])
    rows = list(rainy.export_predictions_generator(model) if paged else rainy.export_predictions(model))
    assert names(row["item"] for row in rows) == [NAMES[3], NAMES[0], NAMES[2]]
    found = [[(one.label, one.confidence) for one in row["predictions"]["box"]] for row in rows]
    assert found == [[], [], [("van", 0.5)]]


def test_a_slice_is_exported_raw(official_dataset: Any, rainy: Any) -> None:
    assert [one["ref_id"] for one in rainy.export_raw_items()["raw_dataset_items"]] == names(rainy.items)
    assert [one["item"]["ref_id"] for one in rainy.export_raw_json()] == names(rainy.items)
    assert rainy.export_class_labels() == official_dataset.export_class_labels(rainy.id) == ["car"]
    assert official_dataset.export_class_labels() == ["car"]


@pytest.mark.parametrize("member", ["send_to_labeling", "export_scale_task_info", "export_embeddings"])
def test_what_only_the_hosted_service_does_is_refused(nucleus: Any, rainy: Any, member: str) -> None:
    with pytest.raises(nucleus.NucleusAPIError) as caught:
        getattr(rainy, member)(*(["project"] if member == "send_to_labeling" else []))
    assert caught.value.status_code == 501
    assert "Scale's hosted service" in str(caught.value)


def test_a_slice_is_deleted(nucleus: Any, official: Any, official_dataset: Any, rainy: Any) -> None:
    official.delete_slice(rainy.id)
    assert official_dataset.slices == []
    with pytest.raises(nucleus.NucleusAPIError) as caught:
        official.get_slice(rainy.id).info()
    assert caught.value.status_code == 404
    assert names(official_dataset.items_generator()) == NAMES


def test_the_older_way_to_a_slice(official: Any, official_dataset: Any) -> None:
    made = official.create_slice(official_dataset.id, {"name": "old", "reference_ids": ["c.jpg"]})
    assert official.slice_info(made.id)["dataset_item_ids"] == [made.items[0].dataset_item_id]
    official.append_to_slice(made.id, ["a.jpg"], official_dataset.id)
    assert names(made.items) == ["c.jpg", "a.jpg"]
