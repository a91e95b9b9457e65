"""An older official client, unmodified, on a served embedded Nucleus: its appends are answered with counters."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

import nucleus_pandas as npd

SERIES = "0.17"

pytestmark = [
    pytest.mark.official,
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp, asyncio and pydantic
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]

NAMES = ["a.jpg", "b/../c d?.jpg", "ü 日本"]


@pytest.fixture
def nucleus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The official client's package; it looks at a job every 50 ms instead of every 5 s, which is a setting of its."""
    assert version("scale-nucleus").startswith(f"{SERIES}."), f"needs an environment with scale-nucleus {SERIES}"
    monkeypatch.setattr(import_module("nucleus.async_job"), "JOB_POLLING_INTERVAL", 0.05)
    return import_module("nucleus")


@pytest.fixture
def official(nucleus: Any, served: str) -> Any:
    """The official client."""
    return nucleus.NucleusClient(api_key="any key", endpoint=served)


@pytest.fixture
def street(nucleus: Any, official: Any) -> Any:
    """A dataset of three remote pictures."""
    dataset = official.create_dataset("Street scenes", is_scene=False)
    dataset.append(remote_items(nucleus))
    return dataset


@pytest.fixture
def model(official: Any) -> Any:
    """A model."""
    return official.create_model("Detector", "det-0.5", {"epochs": 3})


def remote_items(nucleus: Any) -> list[Any]:
    return [
        nucleus.DatasetItem(f"https://example.org/{n}.jpg", reference_id=name, metadata={"n": n})
        for n, name in enumerate(NAMES)
    ]


def box(nucleus: Any, name: str = "a.jpg", annotation_id: str = "1", **fields: Any) -> Any:
    cls = nucleus.BoxPrediction if "confidence" in fields else nucleus.BoxAnnotation
    options = {"label": "car", "x": 1, "y": 2.5, "width": 3, "height": 4, "metadata": {"k": [1, None]}, **fields}
    return cls(reference_id=name, annotation_id=annotation_id, **options)


def described(objects: list[Any]) -> list[Any]:
    return [{key: value for key, value in one.to_payload().items() if key != "item_id"} for one in objects]


def test_a_remote_append_is_counted(nucleus: Any, official: Any) -> None:
    dataset = official.create_dataset("D", is_scene=False)
    first = dataset.append(remote_items(nucleus), batch_size=2)
    assert (first.dataset_id, first.new_items, first.upload_errors) == (dataset.id, 3, 0)
    assert dataset.append(remote_items(nucleus)).ignored_items == 3
    changed = [nucleus.DatasetItem("https://example.org/0.jpg", reference_id="a.jpg", metadata={"new": 1})]
    assert dataset.append(changed, update=True).updated_items == 1
    assert dataset.refloc("a.jpg")["item"].metadata == {"new": 1}


def test_a_remote_append_may_be_a_job(nucleus: Any, official: Any) -> None:
    dataset = official.create_dataset("D", is_scene=False)
    job = dataset.append(remote_items(nucleus), asynchronous=True)
    job.sleep_until_complete()
    assert (job.status()["status"], job.errors()) == ("Completed", [])
    assert [(item.reference_id, item.metadata) for item in dataset.items] == [
        (name, {"n": n}) for n, name in enumerate(NAMES)
    ]


def test_local_pictures_travel_in_several_requests(nucleus: Any, official: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"picture {n}.png" for n in range(13)]
    for n, path in enumerate(paths):
        Image.new("RGB", (10 + n, 20), "red").save(path)
    dataset = official.create_dataset("Local", is_scene=False)
    items = [nucleus.DatasetItem(str(path), reference_id=path.name, metadata={"n": path.name}) for path in paths]
    assert dataset.append(items).new_items == 13
    for path in paths:
        item = dataset.refloc(path.name)["item"]
        assert item.metadata == {"n": path.name}
        assert requests.get(item.image_location, timeout=20).content == path.read_bytes()


def test_info_and_lists(official: Any, street: Any) -> None:
    info = street.info()
    assert (info.dataset_id, info.name, info.length) == (street.id, "Street scenes", 3)
    assert [(one.id, one.name, one.size) for one in official.datasets] == [(street.id, "Street scenes", 3)]


def test_annotations_come_back_equal(nucleus: Any, street: Any) -> None:
    vertices = [nucleus.Point(0.5, 1), nucleus.Point(9, 1), nucleus.Point(9, 8.25)]
    sent = {
        "box": box(nucleus, NAMES[1]),
        "line": nucleus.LineAnnotation("lane", vertices, NAMES[1], "line"),
        "polygon": nucleus.PolygonAnnotation("lake", vertices, NAMES[1], "polygon"),
        "category": nucleus.CategoryAnnotation("rainy", NAMES[1], "weather"),
    }
    result = street.annotate([*sent.values(), box(nucleus, "nobody.jpg")])
    assert (result["annotations_processed"], len(result["errors"])) == (4, 1)
    for found in (street.refloc(NAMES[1]), street.iloc(1)):
        assert found["item"].reference_id == NAMES[1]
        assert {key: described(some) for key, some in found["annotations"].items() if some} == {
            key: described([one]) for key, one in sent.items()
        }


def test_annotations_may_be_a_job(nucleus: Any, street: Any) -> None:
    job = street.annotate([box(nucleus), box(nucleus, "nobody.jpg")], asynchronous=True)
    job.sleep_until_complete()
    assert job.errors() == ["Item with id nobody.jpg doesn't exist."]
    (row, *_) = street.items_and_annotation_generator()
    assert described(row["annotations"]["box"]) == described([box(nucleus)])


def test_predictions_by_run(nucleus: Any, street: Any, model: Any) -> None:
    run = street.create_model_run("Run", reference_id=model.reference_id)
    sent = [box(nucleus, confidence=0.5), box(nucleus, "ü 日本", confidence=0.25)]
    assert run.predict(sent)["predictions_processed"] == 2
    assert run.commit() == {"model_run_id": run.model_run_id}
    assert run.info()["model_id"] == model.id
    assert run.predict(sent)["predictions_ignored"] == 2
    with pytest.raises(nucleus.NucleusAPIError, match="409"):
        run.predict([box(nucleus, annotation_id="2", confidence=0.5)])
    assert described(run.ungrouped_export()["box"]) == described(sent)
    found = [*run.iloc(0)["box"], *run.refloc("ü 日本")["box"]]
    assert described(found) == described(sent)


def test_predictions_by_model(nucleus: Any, street: Any, model: Any) -> None:
    sent = [box(nucleus, confidence=0.5), box(nucleus, "ü 日本", confidence=0.25)]
    assert street.upload_predictions(model, sent[:1])["predictions_processed"] == 1
    street.upload_predictions(model, sent[1:], asynchronous=True).sleep_until_complete()
    assert len(street.model_runs) == 1
    assert described(street.export_predictions(model)["box"]) == described(sent)
    found = [*street.predictions_iloc(model, 0)["box"], *street.predictions_refloc(model, "ü 日本")["box"]]
    assert described(found) == described(sent)
    assert described([street.prediction_loc(model, "a.jpg", "1")]) == described(sent[:1])


def test_what_is_deleted_is_gone(nucleus: Any, official: Any, street: Any, model: Any) -> None:
    street.annotate([box(nucleus)])
    street.delete_annotations(reference_ids=["a.jpg"]).sleep_until_complete()
    assert not any(street.refloc("a.jpg")["annotations"].values())
    run = street.create_model_run("Run", reference_id=model.reference_id)
    official.delete_model_run(run.model_run_id)
    assert street.model_runs == []
    official.delete_model(model.id)
    assert official.models == []
    street.delete_item(NAMES[1])
    assert [item.reference_id for item in street.items] == ["a.jpg", "ü 日本"]
    official.delete_dataset(street.id)
    assert official.list_datasets() == []


def test_ours_reads_what_it_wrote(nucleus: Any, street: Any, model: Any, served: str) -> None:
    street.annotate([box(nucleus)])
    street.upload_predictions(model, [box(nucleus, NAMES[1], confidence=0.5)])
    with npd.NucleusClient(endpoint=served, max_retries=0) as ours:
        dataset = ours.get_dataset(street.id)
        items = dataset.items.to_frame()
        assert items["reference_id"].tolist() == NAMES
        assert items["metadata"].tolist() == [{"n": n} for n in range(3)]
        assert [street.loc(item_id)["item"].reference_id for item_id in items.index] == NAMES
        row = dataset.annotations.to_frame().iloc[0]
        expected = ["a.jpg", "1", "car", 1, 2.5, 3, 4, {"k": [1, None]}]
        names = ["reference_id", "annotation_id", "label", "x", "y", "width", "height", "metadata"]
        assert row[names].tolist() == expected
        predictions = ours.get_model_run(street.model_runs[0]).predictions.refloc[NAMES[1]]
        assert predictions["confidence"].tolist() == [0.5]
