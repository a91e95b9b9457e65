"""What users do, the same on every server: an embedded Nucleus in process and behind a socket, and the hosted service.

The hosted service is a stand-in that speaks its current shapes. Where the servers differ on purpose, a case states both
outcomes: the embedded one tells what became of every row, the hosted one only counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
import pytest
from hosted_stand_in import KEY, HostedStandIn
from pandas.testing import assert_frame_equal, assert_series_equal

import nucleus_pandas as npd

T = TypeVar("T")
HOSTILE = ["a/b c?.jpg", "..", ".", "ü 日本", "100%25", "#x&y=z;", "'; DROP TABLE item; --", "007"]
UNKNOWN = "nobody.jpg"
SHAPES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "line": ("lane", {"vertices": [{"x": 0.5, "y": 1.0}, {"x": 2.0, "y": 3.0}]}),
    "polygon": ("lake", {"vertices": [{"x": 0.0, "y": 0.0}, {"x": 9.0, "y": 0.0}, {"x": 0.0, "y": 9.0}]}),
    "keypoints": (
        "person",
        {"keypoints": [{"x": 1.0, "y": 2.0, "visible": True}], "names": ["head"], "skeleton": None},
    ),
    "mask": (None, {"mask_url": "https://example.org/m.png", "annotations": [{"label": "sky", "index": 1}]}),
    "cuboid": (
        "truck",
        {"position": {"x": 1.0, "y": 2.0, "z": 3.0}, "dimensions": {"x": 4.0, "y": 5.0, "z": 6.0}, "yaw": 0.5},
    ),
    "category": ("rainy", {"taxonomy_name": "weather"}),
    "multicategory": (None, {"labels": ["x", "y"], "taxonomy_name": "t"}),
}
"""In the order in which the contract names the types: a server that groups by type gives them so."""


class Stated(Protocol):
    """Gives the outcome that a case states for the server at hand."""

    def __call__(self, *, embedded: T, hosted: T) -> T: ...


@pytest.fixture(params=["in process", "socket", "hosted"])
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def stated(server: str) -> Stated:
    """What a case states for this server, where servers differ on purpose."""

    def one_of(*, embedded: T, hosted: T) -> T:
        return hosted if server == "hosted" else embedded

    return one_of


@pytest.fixture
def client(server: str, request: pytest.FixtureRequest, store: Path) -> Iterator[npd.NucleusClient]:
    """A client of each server in turn."""
    if server == "hosted":
        with HostedStandIn().answering(), closing(npd.NucleusClient(KEY, max_retries=0)) as made:
            yield made
    elif server == "socket":
        with npd.NucleusClient(endpoint=request.getfixturevalue("served"), max_retries=0) as made:
            yield made
    else:
        with npd.NucleusClient.local(store) as made:
            yield made


@pytest.fixture
def run(client: npd.NucleusClient, dataset: npd.Dataset) -> npd.ModelRun:
    """A run on the dataset of three images."""
    return dataset.create_model_run(client.add_model("Detector", reference_id="det-0.5"))


def items(*names: str, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"reference_id": list(names), "image_url": [f"https://example.org/{name}" for name in names]})
    return frame.assign(**columns)


def boxes(*names: str, **columns: Any) -> pd.DataFrame:
    sides = {"x": 10.5, "y": 20.0, "width": 30.0, "height": 40.0}
    return pd.DataFrame({"reference_id": list(names), "label": "car"}).assign(**sides, **columns)


def others(name: str, *kinds: str) -> pd.DataFrame:
    """An annotation of each type that is no box."""
    labels, geometries = zip(*(SHAPES[kind] for kind in kinds), strict=True)
    return pd.DataFrame({"reference_id": name, "label": labels, "type": kinds, "geometry": geometries})


def statuses(result: npd.UploadResult) -> list[str]:
    return list(result.rows["status"])


# Datasets


def test_a_dataset_is_created_found_and_listed(client: npd.NucleusClient) -> None:
    made = client.create_dataset("Street scenes")
    assert made.id.startswith("ds_")
    assert (made["dataset_id"], made.name) == (made.id, "Street scenes")
    found = client.get_dataset(made.id)
    assert (found, found.name) == (made, "Street scenes")
    assert client.list_datasets() == [made.id]
    assert client.datasets.to_dict("list") == {"id": [made.id], "name": ["Street scenes"], "is_public": [False]}


def test_a_name_may_be_used_again_or_twice(client: npd.NucleusClient) -> None:
    first = client.create_dataset("Same")
    second = client.create_dataset({"name": "Same"})
    assert first != second
    assert client.create_dataset("Same", exist_ok=True) == first
    assert len(client.list_datasets()) == 2


def test_info_tells_what_there_is(client: npd.NucleusClient, dataset: npd.Dataset, run: npd.ModelRun) -> None:
    info = dataset.info
    assert (info["dataset_id"], info["name"], info["length"]) == (dataset.id, "Street scenes", 3)
    assert (info["model_run_ids"], info["slice_ids"]) == ([run.id], [])
    assert len(dataset) == len(dataset.items) == 3


def test_an_unknown_dataset_is_not_found(client: npd.NucleusClient) -> None:
    client.create_dataset("Another")
    with pytest.raises(npd.NotFoundError):
        client.get_dataset("ds_none")
    with pytest.raises(KeyError):
        client.delete_dataset("ds_none")


def test_a_deleted_dataset_is_gone(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    assert "message" in client.delete_dataset(dataset)
    assert client.list_datasets() == []
    for use in (lambda: dataset.info, lambda: len(dataset), lambda: dataset.items.to_frame(), lambda: dataset.iloc[0]):
        with pytest.raises(npd.NotFoundError):
            use()
    with pytest.raises(npd.NotFoundError):
        dataset.append(items("a.jpg"))
    with pytest.raises(npd.NotFoundError):
        dataset.annotate(boxes("a.jpg"))


def test_an_empty_dataset_has_frames_with_all_dtypes(client: npd.NucleusClient) -> None:
    empty, filled = client.create_dataset("Empty"), client.create_dataset("Filled")
    filled.append(items("a.jpg", width=640, height=480, metadata=[{"rain": True}]))
    filled.annotate(boxes("a.jpg"))
    model = client.add_model("M", "m")
    runs = [one.create_model_run(model) for one in (empty, filled)]
    runs[1].predict(boxes("a.jpg", confidence=0.5))
    for one, other in [
        (empty.items, filled.items),
        (empty.annotations, filled.annotations),
        (runs[0].predictions, runs[1].predictions),
    ]:
        assert len(one) == 0
        assert len(other) == 1
        assert_frame_equal(one.to_frame(), other.to_frame().iloc[:0])
        (only,) = one.iter_frames()
        assert_frame_equal(only, one.to_frame())
    assert empty.iloc[:].empty
    assert empty.refloc[[]].empty
    with pytest.raises(IndexError):
        empty.iloc[0]


# Items


def test_items_are_added_in_their_order(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Order")
    names = [f"{number:04d}.jpg" for number in np.random.default_rng(7).permutation(500)]
    frame = items(*names, weather=["rain", "sun"] * 250)
    result = frame.nucleus.append(dataset, metadata=["weather"], batch_size=90)
    assert statuses(result) == ["new"] * 500
    assert (result.new_items, result.updated_items, result.ignored_items, result.upload_errors) == (500, 0, 0, 0)
    assert (result["dataset_id"], result.jobs, len(result.failed)) == (dataset.id, [], 0)
    found = dataset.items.to_frame()
    assert found["reference_id"].tolist() == names
    assert found["image_url"].tolist() == frame["image_url"].tolist()
    assert [metadata["weather"] for metadata in found["metadata"]] == frame["weather"].tolist()
    assert found.index.is_unique
    assert found.index.str.startswith("di_").all()


def test_items_that_are_there_are_ignored(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    before = dataset.items.to_frame()
    result = dataset.append(items("a.jpg", "b.jpg", metadata=[{"n": 1}, {"n": 2}]))
    assert statuses(result) == ["ignored", "ignored"]
    assert result.ignored_items == 2
    assert_frame_equal(dataset.items.to_frame(), before)


def test_an_upload_may_hold_new_items_and_old_ones(dataset: npd.Dataset, stated: Stated) -> None:
    result = dataset.append(items("c.jpg", "d.jpg", "e.jpg"))
    assert statuses(result) == stated(embedded=["ignored", "new", "new"], hosted=["accepted"] * 3)
    assert (result.new_items, result.ignored_items, len(result.failed)) == (2, 1, 0)
    assert dataset.items.to_frame()["reference_id"].tolist() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]


def test_an_update_replaces_the_metadata_as_a_whole(dataset: npd.Dataset) -> None:
    dataset.append(items("a.jpg", metadata=[{"old": 1}]), if_exists="update")
    before = dataset.items.to_frame()
    result = dataset.append(items("b.jpg", "a.jpg", metadata=[{"k": 2}, {"k": 1}]), if_exists="update")
    assert statuses(result) == ["updated", "updated"]
    assert result.updated_items == 2
    found = dataset.items.to_frame()
    assert found["metadata"].tolist() == [{"k": 1}, {"k": 2}, {}]
    assert_frame_equal(found.drop(columns="metadata"), before.drop(columns="metadata"))


def test_none_may_exist(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    before = dataset.items.to_frame()
    frame = items("b.jpg", "c.jpg", metadata=[{"k": 1}, {"k": 2}])
    with pytest.raises(npd.AlreadyExistsError, match="exists already") as caught:
        dataset.append(frame, if_exists="error")
    assert statuses(caught.value.result) == ["error", "error"]
    assert_frame_equal(caught.value.result.failed, frame)
    assert_frame_equal(dataset.items.to_frame(), before)
    assert dataset.append(items("d.jpg"), if_exists="error").new_items == 1


def test_where_some_exist_nothing_is_overwritten(dataset: npd.Dataset, stated: Stated) -> None:
    before = dataset.items.to_frame()
    with pytest.raises(npd.AlreadyExistsError, match="exist already|exists already") as caught:
        dataset.append(items("a.jpg", "d.jpg", metadata=[{"k": 1}, {"k": 2}]), if_exists="error")
    # An embedded Nucleus refuses the batch whole; the hosted service ignores one row, and counts.
    assert statuses(caught.value.result) == stated(embedded=["error", "error"], hosted=["accepted", "accepted"])
    assert caught.value.result.new_items == stated(embedded=0, hosted=1)
    after = dataset.items.to_frame()
    assert_frame_equal(after.iloc[:3], before)
    assert after["reference_id"].tolist()[3:] == stated(embedded=[], hosted=["d.jpg"])
    result = dataset.append(items("a.jpg", "e.jpg"), if_exists="error", on_error="collect")
    assert result.ignored_items == stated(embedded=0, hosted=1)


def test_images_of_this_machine_are_uploaded(
    client: npd.NucleusClient, image: Path, dataset: npd.Dataset, stated: Stated
) -> None:
    names = [f"local {number}" for number in range(12)]
    frame = pd.DataFrame({"reference_id": names, "image_url": str(image), "metadata.n": range(12)})
    result = frame.nucleus.append(dataset)
    assert statuses(result) == ["new"] * 12
    found = dataset.items.to_frame()
    stored = found["reference_id"].tolist()[3:]  # the hosted service stores local images as they arrive
    assert stated(embedded=stored, hosted=sorted(stored, key=names.index)) == names
    assert [metadata["n"] for metadata in found["metadata"][3:]] == [names.index(name) for name in stored]
    assert found["image_url"].str.endswith(".png").tolist() == [False] * 3 + [True] * 12
    sizes = found.iloc[-1][["width", "height"]].tolist()
    assert sizes == stated(embedded=[64, 48], hosted=[pd.NA, pd.NA])
    payload = {"items": [{"reference_id": "local 0", "image_url": str(image), "metadata": {"n": "new"}}]}
    assert statuses(dataset.append(payload, local=True)) == ["ignored"]
    assert statuses(dataset.append(payload, local=True, if_exists="update")) == ["updated"]
    assert dataset.refloc["local 0", "metadata"] == {"n": "new"}


def test_images_of_both_kinds_keep_their_order(
    client: npd.NucleusClient, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image.parent)
    dataset = client.create_dataset("Both")
    frame = items(*"abcdefg")
    frame.loc[[1, 2, 5], "image_url"] = image.name
    assert statuses(frame.nucleus.append(dataset)) == ["new"] * 7
    assert dataset.items.to_frame()["reference_id"].tolist() == list("abcdefg")


def test_a_missing_image_is_told_before_anything_is_sent(dataset: npd.Dataset, image: Path, tmp_path: Path) -> None:
    frame = items("d.jpg", "e.jpg", "f.jpg")
    frame.loc[1, "image_url"] = str(tmp_path / "none.png")
    with pytest.raises(npd.InvalidInputError, match="does not exist") as caught:
        dataset.append(frame)
    assert statuses(caught.value.result) == ["skipped", "error", "skipped"]
    assert len(dataset) == 3
    result = dataset.append(frame, on_error="collect")
    assert statuses(result) == ["new", "error", "new"]
    assert result.upload_errors == 1
    assert result.failed["reference_id"].tolist() == ["e.jpg"]


def test_rows_that_share_an_item_have_its_outcome(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Joint")
    images = items("a.jpg", "b.jpg", image_width=[640, 320])
    joint = images.merge(boxes("a.jpg", "a.jpg"), on="reference_id", how="left")
    assert statuses(joint.nucleus.append(dataset)) == ["new"] * 3
    assert dataset.items.to_frame()["width"].tolist() == [640, 320]
    assert joint.nucleus.annotate(dataset).rows["status"].iloc[-1] == "skipped"
    assert len(dataset.annotations) == 2


def test_metadata_comes_back_as_it_was_sent(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Metadata")
    sent = [
        {"nested": {"null": None, "list": [1, 1.0, None, {"deep": [[]]}]}, "ünïcödé": "日本 \U0001f600 \u2028 \\ \" '"},
        {"large": 2**53 + 1, "small": 5e-324, "one": 1, "one point": 1.0, "yes": True, "empty": ""},
        {},
    ]
    dataset.append(items("a", "b", "c", metadata=sent))
    assert [json.dumps(one) for one in dataset.items.to_frame()["metadata"]] == [json.dumps(one) for one in sent]
    texts = dataset.items.to_frame(metadata_as="json")["metadata"]
    assert [json.dumps(json.loads(text)) for text in texts] == [json.dumps(one) for one in sent]
    spread = dataset.items.to_frame(metadata_as="columns")
    assert spread["metadata.one"].dropna().tolist() == [1]


def test_nobody_has_to_wait(dataset: npd.Dataset, stated: Stated) -> None:
    result = dataset.append(items("d.jpg", "e.jpg"), wait=False)
    assert statuses(result) == stated(embedded=["new", "new"], hosted=["accepted", "accepted"])
    assert [type(job) for job in result.jobs] == stated(embedded=[], hosted=[npd.Job])
    assert all(job.status == "Running" for job in result.jobs)
    assert result.wait() is result
    assert (statuses(result), result.new_items, result.jobs) == (["new", "new"], 2, [])
    assert result.wait(0).new_items == 2
    assert dataset.iloc[-2:]["reference_id"].tolist() == ["d.jpg", "e.jpg"]


def test_what_must_not_exist_is_told_by_waiting(dataset: npd.Dataset, stated: Stated) -> None:
    def send() -> npd.UploadResult:
        return dataset.append(items("a.jpg", "b.jpg"), if_exists="error", wait=False)

    if stated(embedded=True, hosted=False):
        with pytest.raises(npd.AlreadyExistsError):
            send()
        return
    result = send()
    assert statuses(result) == ["accepted", "accepted"]
    with pytest.raises(npd.AlreadyExistsError) as caught:
        result.wait()
    assert statuses(caught.value.result) == statuses(result) == ["error", "error"]


# Annotations


def test_boxes_are_added_and_read_back(dataset: npd.Dataset, stated: Stated) -> None:
    frame = boxes("c.jpg", "a.jpg", "a.jpg", metadata=[{"n": 1}, None, {"n": 3.0}])
    frame["x"] = [1 / 3, 2.0, -5.5]
    result = frame.nucleus.annotate(dataset)
    assert statuses(result) == stated(embedded=["new"] * 3, hosted=["processed"] * 3)
    assert (result.annotations_processed, result.annotations_ignored) == (3, 0)
    found = dataset.annotations.to_frame()
    assert found["reference_id"].tolist() == ["a.jpg", "a.jpg", "c.jpg"]
    assert found["x"].tolist() == [2.0, -5.5, 1 / 3]
    assert found["metadata"].tolist() == [{}, {"n": 3.0}, {"n": 1}]
    assert found["dataset_item_id"].tolist() == dataset.refloc[["a.jpg", "a.jpg", "c.jpg"], "dataset_item_id"].tolist()
    assert found["annotation_id"].is_unique


def test_boxes_sent_again_change_nothing(dataset: npd.Dataset) -> None:
    frame = boxes("a.jpg", "b.jpg", "b.jpg")
    frame.nucleus.annotate(dataset)
    before = dataset.annotations.to_frame()
    result = frame.nucleus.annotate(dataset)
    assert statuses(result) == ["ignored"] * 3
    assert result.annotations_ignored == 3
    assert_frame_equal(dataset.annotations.to_frame(), before)
    assert len(before) == 3  # an exact repeat is a box of its own


def test_an_annotation_is_updated_by_its_id(dataset: npd.Dataset, stated: Stated) -> None:
    dataset.annotate(boxes("a.jpg", annotation_id="one"))
    assert statuses(dataset.annotate(boxes("a.jpg", annotation_id="one").assign(label="bus"))) == ["ignored"]
    result = dataset.annotate(boxes("a.jpg", annotation_id="one").assign(label="bus"), if_exists="update")
    assert statuses(result) == stated(embedded=["updated"], hosted=["processed"])
    assert dataset.annotations.to_frame()["label"].tolist() == ["bus"]
    with pytest.raises(npd.AlreadyExistsError):
        dataset.annotate(boxes("a.jpg", annotation_id="one"), if_exists="error")
    assert dataset.annotations.to_frame()["label"].tolist() == ["bus"]


def test_every_type_comes_back_as_it_was_sent(dataset: npd.Dataset) -> None:
    frame = others("b.jpg", *SHAPES)
    frame.nucleus.annotate(dataset)
    boxes("b.jpg", "a.jpg").nucleus.annotate(dataset)
    found = dataset.annotations.to_frame()
    assert found["reference_id"].tolist() == ["a.jpg"] + ["b.jpg"] * 8
    by_type = found[found["reference_id"] == "b.jpg"].set_index("type")
    for kind, (label, geometry) in SHAPES.items():
        assert by_type.loc[kind, "geometry"] == geometry
        assert by_type.loc[kind, "label"] == label or label is None
    assert by_type.loc["box", "x"] == 10.5
    assert by_type.loc["box", "geometry"] is None
    assert_frame_equal(dataset.annotations.refloc[["a.jpg", "b.jpg"]], found)


def test_masks_may_stand_among_boxes(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Masks")
    names = [f"{number}.jpg" for number in range(50)]
    dataset.append(items(*names))
    masks = [{"mask_url": f"https://example.org/{name}", "annotations": []} for name in names]
    frame = pd.DataFrame({"reference_id": names, "type": "mask", "geometry": masks})
    rows = pd.concat([boxes("7.jpg"), frame[:40], boxes("7.jpg").assign(x=1), frame[40:]], ignore_index=True)
    assert dataset.annotate(rows).annotations_processed == 52
    found = dataset.annotations.to_frame()
    assert found[found["type"] == "mask"]["geometry"].tolist() == masks
    assert sorted(found[found["type"] == "box"]["x"]) == [1.0, 10.5]  # of two batches, which travel side by side
    another = frame.assign(geometry=[{**mask, "mask_url": "https://example.org/m.png"} for mask in masks])
    assert dataset.annotate(another).annotations_ignored == 50  # an image has one mask


def test_annotations_name_their_item_by_its_id_too(dataset: npd.Dataset) -> None:
    item_id = dataset.refloc["b.jpg", "dataset_item_id"]
    frame = boxes("x").drop(columns="reference_id").assign(dataset_item_id=item_id)
    assert frame.nucleus.annotate(dataset).annotations_processed == 1
    box = {"type": "box", "label": "bus", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
    assert dataset.annotate({"annotations": [{"item_id": item_id, **box}]}).annotations_processed == 1
    found = dataset.annotations.to_frame()
    assert found["reference_id"].tolist() == ["b.jpg", "b.jpg"]
    assert found["label"].tolist() == ["car", "bus"]


def test_boxes_on_an_unknown_item_are_refused_and_the_others_stored(dataset: npd.Dataset, stated: Stated) -> None:
    frame = boxes("a.jpg", UNKNOWN, "c.jpg")
    with pytest.raises(npd.UploadError, match=UNKNOWN) as caught:
        dataset.annotate(frame)
    result = caught.value.result
    assert statuses(result) == stated(embedded=["new", "error", "new"], hosted=["processed", "error", "processed"])
    assert result.annotations_processed == 2
    assert_frame_equal(result.failed, frame.iloc[[1]])
    assert dataset.annotations.to_frame()["reference_id"].tolist() == ["a.jpg", "c.jpg"]
    with pytest.raises(npd.UploadError, match=f"1 of 1 rows are refused:\n.*{UNKNOWN}") as caught:
        dataset.annotate(frame.iloc[[1]])
    assert_frame_equal(caught.value.result.failed, frame.iloc[[1]])
    result = dataset.annotate(frame.iloc[[1]], on_error="collect")
    assert statuses(result) == ["error"]
    assert UNKNOWN in result.rows["error"].iloc[0]


def test_boxes_go_in_as_many_batches_as_it_takes(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Batches")
    names = [f"{number}.jpg" for number in range(40)]
    dataset.append(items(*names))
    frame = boxes(*np.repeat(names, 5), annotation_id=[f"{number}" for number in range(200)])
    assert dataset.annotate(frame, batch_size=9).annotations_processed == 200
    found = dataset.annotations.to_frame()
    assert found["reference_id"].tolist() == frame["reference_id"].tolist()
    assert set(found["annotation_id"]) == set(frame["annotation_id"])


def test_wrong_rows_are_refused_before_anything_is_sent(dataset: npd.Dataset) -> None:
    frame = boxes("a.jpg", "b.jpg").assign(width=[1.0, -1.0])
    with pytest.raises(npd.InvalidInputError) as caught:
        dataset.annotate(frame)
    assert caught.value.problems["column"].tolist() == ["width"]
    assert len(dataset.annotations) == 0
    assert dataset.annotate(frame, on_error="collect").annotations_processed == 1
    assert len(dataset.annotations) == 1


# Models, runs, predictions


def test_a_model_is_made_found_and_listed(client: npd.NucleusClient) -> None:
    made = client.add_model("Detector", reference_id="det-0.5", metadata={"iou": 0.5}, tags=["night"])
    assert made.id.startswith("prj_")
    assert (made["model_id"], made.reference_id) == (made.id, "det-0.5")
    found = client.get_model(made.id)
    assert found == made
    assert (found.name, found.reference_id, found.metadata) == ("Detector", "det-0.5", {"iou": 0.5})
    assert found.info["ref_id"] == "det-0.5"
    plain = client.create_model({"name": "Plain", "reference_id": "plain"})
    assert client.models["id"].tolist() == [made.id, plain.id]
    assert client.models["metadata"].tolist() == [{"iou": 0.5}, {}]
    assert client.models["tags"].tolist() == [["night"], []]


def test_a_reference_id_names_one_model(client: npd.NucleusClient, stated: Stated) -> None:
    made = client.add_model("Detector", reference_id="det-0.5")
    with pytest.raises(npd.ConflictError, match="det-0.5"):
        client.add_model("Another", reference_id="det-0.5")
    if stated(embedded=True, hosted=False):
        assert client.add_model("Detector", reference_id="det-0.5") == made
    else:
        with pytest.raises(npd.ConflictError, match="det-0.5"):
            client.add_model("Detector", reference_id="det-0.5")
    assert client.models["id"].tolist() == [made.id]


def test_a_run_is_made_in_every_documented_way(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    model = client.add_model("Detector", reference_id="det-0.5")
    runs = [
        dataset.create_model_run(model, name="first", metadata={"epoch": 3}),
        dataset.create_model_run({"reference_id": "det-0.5"}),
        dataset.create_model_run(client.get_model(model.id)),
    ]
    assert all(run.id.startswith("run_") for run in runs)
    assert dataset.model_runs == runs
    assert [run["model_id"] for run in runs] == [model.id] * 3
    assert (runs[0].info["name"], runs[0].info["metadata"]) == ("first", {"epoch": 3})
    assert client.get_model_run(runs[1].id, dataset.id) == runs[1]
    assert client.get_model(runs[1].id) == model
    with pytest.raises(npd.NotFoundError, match="nobody"):
        dataset.create_model_run({"reference_id": "nobody"})


def test_predictions_are_added_and_read_back(dataset: npd.Dataset, run: npd.ModelRun, stated: Stated) -> None:
    frame = boxes("b.jpg", "a.jpg", confidence=[0.25, 1.0])
    result = frame.nucleus.predict(run)
    assert statuses(result) == stated(embedded=["new", "new"], hosted=["processed", "processed"])
    assert (result.predictions_processed, result["model_run_id"]) == (2, run.id)
    assert result["model_id"] == run.info["model_id"]
    assert statuses(frame.nucleus.predict(run)) == ["ignored", "ignored"]
    types = [kind for kind in SHAPES if kind != "multicategory"]
    others("c.jpg", *types).assign(confidence=0.5).nucleus.predict(run)
    found = run.predictions.to_frame()
    assert found["reference_id"].tolist() == ["a.jpg", "b.jpg"] + ["c.jpg"] * 6
    assert found["confidence"].tolist() == [1.0, 0.25] + [0.5] * 6
    assert found["type"].tolist() == ["box", "box", *types]
    assert found["geometry"].tolist()[2:] == [SHAPES[kind][1] for kind in types]
    assert len(run.predictions) == 8
    assert_frame_equal(run.predictions.refloc[["a.jpg", "b.jpg", "c.jpg"]], found)
    assert_frame_equal(run.loc[dataset.items.to_frame().index.tolist()], found)
    assert_frame_equal(run.iloc[[0, 1, 2]], found)
    assert len(dataset.annotations) == 0


def test_predictions_on_an_unknown_item_are_refused(run: npd.ModelRun) -> None:
    with pytest.raises(npd.UploadError, match=UNKNOWN):
        run.predict(boxes("a.jpg", UNKNOWN, confidence=0.5))
    assert run.predictions.to_frame()["reference_id"].tolist() == ["a.jpg"]


def test_a_run_is_committed(dataset: npd.Dataset, run: npd.ModelRun, stated: Stated) -> None:
    boxes("a.jpg", "b.jpg").nucleus.annotate(dataset)
    boxes("a.jpg", confidence=0.9).nucleus.predict(run)
    assert run.commit(allowed_label_matches=[("car", "car")]) == {"model_run_id": run.id}
    assert run.commit(class_agnostic=False) == {"model_run_id": run.id}
    assert run.info["status"] == stated(embedded="committed", hosted="completed")
    more = boxes("b.jpg", confidence=0.8)
    matches = run.matches(0.5)
    assert matches["match_type"].tolist() == ["TP", "FN"]
    assert matches["reference_id"].tolist() == ["a.jpg", "b.jpg"]
    assert run.matches().equals(matches)
    with pytest.raises(npd.InvalidInputError, match="from 0 to 1"):
        run.matches(1.5)
    if stated(embedded=True, hosted=False):
        with pytest.raises(npd.FrozenRunError):
            more.nucleus.predict(run)
    else:  # which takes predictions after a commit
        assert more.nucleus.predict(run).predictions_processed == 1


def test_what_was_deleted_is_gone(client: npd.NucleusClient, dataset: npd.Dataset, run: npd.ModelRun) -> None:
    model = client.get_model(run.id)
    assert isinstance(client.delete_model_run(run), dict)
    assert dataset.model_runs == []
    with pytest.raises(npd.NotFoundError):
        client.get_model_run(run.id)
    with pytest.raises(npd.NotFoundError):
        run.predictions.to_frame()
    assert "msg" in client.delete_model(model.id)
    assert client.models.empty
    for gone in (lambda: client.get_model(model.id), lambda: client.delete_model_run(run), lambda: run.commit()):
        with pytest.raises(npd.NotFoundError):
            gone()


# Reading


KEYS: list[tuple[str, Any]] = [
    ("iloc", 0),
    ("iloc", -1),
    ("iloc", slice(None, None, -2)),
    ("iloc", [2, 0, 2]),
    ("iloc", [True, False, True]),
    ("iloc", (1, 0)),
    ("iloc", (slice(1, None), [0, 1])),
    ("iloc", lambda frame: [len(frame) - 1]),
    ("refloc", "b.jpg"),
    ("refloc", ["c.jpg", "a.jpg", "c.jpg"]),
    ("refloc", (["c.jpg"], "image_url")),
    ("refloc", ("a.jpg", "width")),
    ("refloc", np.array([False, True, True])),
    ("refloc", slice(None)),
]


def test_items_are_indexed_as_their_frame_is(dataset: npd.Dataset) -> None:
    whole = dataset.items.to_frame()
    by_reference = whole.reset_index().set_index("reference_id")
    for by, key in KEYS:
        expected = whole.iloc[key] if by == "iloc" else by_reference.loc[key]
        for found in (getattr(dataset, by)[key], getattr(dataset.items, by)[key]):
            if isinstance(expected, pd.DataFrame):
                assert_frame_equal(found, expected)
            elif isinstance(expected, pd.Series):
                assert_series_equal(found, expected)
            else:
                assert found is expected or found == expected


def test_items_are_found_by_their_id(dataset: npd.Dataset) -> None:
    whole = dataset.items.to_frame()
    ids = whole.index.tolist()
    assert_series_equal(dataset.loc[ids[1]], whole.loc[ids[1]])
    assert_frame_equal(dataset.loc[ids[::-1]], whole.loc[ids[::-1]])
    assert dataset.loc[ids[2], "reference_id"] == "c.jpg"


def test_a_call_gives_an_item_and_its_annotations(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    boxes("b.jpg", confidence=0.5).pipe(lambda frame: [frame.nucleus.annotate(dataset), frame.nucleus.predict(run)])
    others("b.jpg", "line", "mask").nucleus.annotate(dataset)
    found = dataset.refloc("b.jpg")
    item_id = found["item"]["dataset_item_id"]
    assert (found["item"]["reference_id"], found["item"]["image_url"]) == ("b.jpg", "https://example.org/b.jpg")
    assert [one["type"] for one in found["annotations"]] == ["box", "line", "mask"]
    assert found["annotations"][0]["geometry"] == {"x": 10.5, "y": 20.0, "width": 30.0, "height": 40.0}
    assert dataset.iloc(1) == dataset.iloc(-2) == dataset.loc(item_id) == found
    predicted = run.refloc("b.jpg")
    assert [(one["type"], one["confidence"]) for one in predicted["annotations"]] == [("box", 0.5)]
    assert run.iloc(1) == run.loc(item_id) == predicted
    assert run.refloc("a.jpg") == {"annotations": []}
    assert dataset.refloc("a.jpg")["annotations"] == []


def test_what_is_not_there_is_a_key_error_or_an_index_error(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    for thing in (dataset, dataset.items, dataset.annotations, run, run.predictions):
        with pytest.raises(KeyError, match=f"'{UNKNOWN}', 'other'"):
            thing.refloc[[UNKNOWN, "a.jpg", "other"]]
        with pytest.raises(KeyError, match="'di_none'"):
            thing.loc["di_none"]
        for place in (3, -4, [0, 7]):
            with pytest.raises(IndexError, match="3 items"):
                thing.iloc[place]
    for thing in (dataset, run):
        for call in (lambda thing=thing: thing.refloc(UNKNOWN), lambda thing=thing: thing.loc("di_none")):
            with pytest.raises(KeyError):
                call()
        for place in (3, -4):
            with pytest.raises(npd.PositionError):
                thing.iloc(place)


def test_frames_come_in_pieces(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Pieces")
    names = [f"{number:03d}" for number in range(25)]
    dataset.append(items(*names))
    dataset.annotate(boxes(*np.repeat(names, 3)))
    run = dataset.create_model_run(client.add_model("M", "m"))
    run.predict(boxes(*names, confidence=0.5))
    for view, rows in ((dataset.items, 25), (dataset.annotations, 75), (run.predictions, 25)):
        frames = list(view.iter_frames(chunksize=10))
        assert [len(frame) for frame in frames[:-1]] == [10] * (len(frames) - 1)
        whole = view.to_frame()
        assert_frame_equal(pd.concat(frames), whole)
        assert len(whole) == rows


def test_frames_can_be_sent_to_another_dataset(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    dataset.annotate(pd.concat([boxes("c.jpg", "a.jpg"), others("b.jpg", *SHAPES)], ignore_index=True))
    other = client.create_dataset("Other")
    dataset.items.to_frame().nucleus.append(other)
    dataset.annotations.to_frame().nucleus.annotate(other)
    for sent, back in ((dataset.items, other.items), (dataset.annotations, other.annotations)):
        one, two = (
            view.to_frame().reset_index(drop=True).drop(columns="dataset_item_id", errors="ignore")
            for view in (sent, back)
        )
        assert_frame_equal(one, two)


def test_hostile_ids_are_ids(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Hostile")
    frame = items(*HOSTILE).assign(image_url="https://example.org/a.jpg")
    assert frame.nucleus.append(dataset).new_items == len(HOSTILE)
    boxes(*HOSTILE, annotation_id=HOSTILE).nucleus.annotate(dataset)
    run = dataset.create_model_run(client.add_model("Hostile", reference_id="a/b ?#ü"))
    boxes(*HOSTILE, confidence=0.5).nucleus.predict(run)
    assert dataset.items.to_frame()["reference_id"].tolist() == HOSTILE
    for name in HOSTILE:
        assert dataset.refloc(name)["item"]["reference_id"] == name
        assert dataset.refloc[[name], "dataset_item_id"].tolist() == [dataset.refloc[name, "dataset_item_id"]]
        assert dataset.annotations.refloc[name]["annotation_id"].tolist() == [name]
        assert [row["reference_id"] for row in run.refloc(name)["annotations"]] == [name]
    assert run.refloc[HOSTILE]["reference_id"].tolist() == HOSTILE
    with pytest.raises(npd.UploadError, match="no/such #1"):
        boxes("no/such #1").nucleus.annotate(dataset)


# Slices


def names_of(thing: Any) -> list[str]:
    found: list[str] = thing.to_frame()["reference_id"].tolist()
    return found


def test_a_slice_is_created_found_and_deleted(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    assert dataset.slices == []
    made = dataset.create_slice("rainy", ["c.jpg", "a.jpg"])
    assert made.id.startswith("slc_")
    assert (made.name, made.dataset_id, names_of(made)) == ("rainy", dataset.id, ["c.jpg", "a.jpg"])
    found = client.get_slice(made.id)
    assert (found, found.name, found.dataset_id, dataset.slices) == (made, "rainy", dataset.id, [made])
    assert (made.info["type"], dataset.info["slice_ids"]) == ("dataset_item", [made.id])
    with pytest.raises(npd.ConflictError):
        dataset.create_slice("rainy", ["b.jpg"])
    client.delete_slice(made)
    assert dataset.slices == []
    for gone in (lambda: client.get_slice(made.id), lambda: made.to_frame(), lambda: client.delete_slice(made)):
        with pytest.raises(npd.NotFoundError):
            gone()


def test_a_slice_is_made_of_what_frames_name(dataset: npd.Dataset) -> None:
    dataset.annotate(boxes("b.jpg", "a.jpg", "b.jpg").assign(x=[1.0, 2.0, 3.0]))
    whole = dataset.items.to_frame()
    assert names_of(dataset.create_slice("items", whole.iloc[::-1])) == ["c.jpg", "b.jpg", "a.jpg"]
    assert names_of(dataset.create_slice("ids", whole.iloc[::-2][["width"]])) == ["c.jpg", "a.jpg"]
    assert names_of(dataset.create_slice("boxes", dataset.annotations.to_frame())) == ["a.jpg", "b.jpg"]
    assert names_of(dataset.create_slice({"name": "dict", "dataset_item_ids": whole.index[:1].tolist()})) == ["a.jpg"]
    assert names_of(dataset.create_slice("none")) == []
    with pytest.raises(npd.NotFoundError):
        dataset.create_slice("unknown", [UNKNOWN])
    assert len(dataset.slices) == 5


def test_items_are_appended_to_a_slice(dataset: npd.Dataset) -> None:
    made = dataset.create_slice("rainy", ["b.jpg"])
    whole = dataset.items.to_frame()
    assert made.append(["b.jpg", "c.jpg"]) == {"slice_id": made.id, "new_items": [whole.index[2]]}
    assert made.append(whole[["width"]])["new_items"] == [whole.index[0]]
    assert names_of(made) == ["b.jpg", "c.jpg", "a.jpg"]
    assert made.append([]) == {"slice_id": made.id, "new_items": []}
    with pytest.raises(npd.NotFoundError):
        made.append([UNKNOWN])


def test_tags_are_added_to_a_slice(dataset: npd.Dataset) -> None:
    made = dataset.create_slice("rainy")
    assert made.add_tags(["night", "ü"]) == ["night", "ü"]
    assert made.add_tags("night") == made.tags == ["night", "ü"]


def test_a_sample_is_a_slice(dataset: npd.Dataset) -> None:
    two = dataset.build_slice("two", 2)
    assert len(two) == len(set(names_of(two))) == 2
    one = dataset.build_slice("one", 1, filters={"slice_id": two.id})
    assert set(names_of(one)) <= set(names_of(two))
    assert len(dataset.build_slice("all", 50)) == 3


def test_slices_are_indexed_as_their_frame_is(dataset: npd.Dataset) -> None:
    made = dataset.create_slice("all", ["c.jpg", "a.jpg", "b.jpg"])
    whole = made.to_frame()
    assert_frame_equal(whole, dataset.items.to_frame().iloc[[2, 0, 1]])
    by_reference = whole.reset_index().set_index("reference_id")
    for by, key in KEYS:
        expected = whole.iloc[key] if by == "iloc" else by_reference.loc[key]
        found = getattr(made, by)[key]
        if isinstance(expected, pd.DataFrame):
            assert_frame_equal(found, expected)
        elif isinstance(expected, pd.Series):
            assert_series_equal(found, expected)
        else:
            assert found is expected or found == expected
    assert_frame_equal(made.loc[whole.index[::-1].tolist()], whole.loc[whole.index[::-1]])


def test_what_is_not_in_a_slice_is_not_found_there(dataset: npd.Dataset) -> None:
    made = dataset.create_slice("rainy", ["c.jpg"])
    for thing in (made, made.annotations):
        with pytest.raises(KeyError, match="'a.jpg' in the slice"):
            thing.refloc["a.jpg"]
        with pytest.raises(KeyError, match="in the slice"):
            thing.loc[dataset.iloc[[0]].index.tolist()]
        with pytest.raises(npd.PositionError, match="outside the slice, which holds 1 items"):
            thing.iloc[1]


def test_annotations_and_predictions_are_read_by_slice(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    dataset.annotate(boxes("a.jpg", "b.jpg", "b.jpg", "c.jpg").assign(x=[1.0, 2.0, 3.0, 4.0]))
    run.predict(boxes("a.jpg", "b.jpg", "c.jpg", confidence=[0.1, 0.2, 0.3]))
    made = dataset.create_slice("some", ["c.jpg", "b.jpg"])
    truth, predicted = made.annotations.to_frame(), made.predictions(run).to_frame()
    assert (truth["reference_id"].tolist(), truth["x"].tolist()) == (["c.jpg", "b.jpg", "b.jpg"], [4.0, 2.0, 3.0])
    assert predicted["confidence"].tolist() == [0.3, 0.2]
    assert truth.dtypes.equals(dataset.annotations.empty().dtypes)
    assert predicted.dtypes.equals(run.predictions.empty().dtypes)
    assert made.annotations.iloc[-1]["x"].tolist() == [2.0, 3.0]
    assert made.predictions(run).refloc[["b.jpg", "c.jpg"], "confidence"]["confidence"].tolist() == [0.2, 0.3]
    assert (len(made.annotations), len(made.predictions(run))) == (3, 2)


# Queries


def test_items_are_queried(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Weather")
    dataset.append(items(*"abcd", weather=["rain", "sun", "rain", None]), metadata=["weather"])
    found = dataset.query('metadata.weather = "rain"')
    assert_frame_equal(found, dataset.items.to_frame().iloc[[0, 2]])
    assert dataset.query('metadata.weather = "snow"').dtypes.equals(found.dtypes)
    made = dataset.create_slice("rainy", found)
    assert_frame_equal(made.to_frame(), found)
    backwards = dataset.create_slice("backwards", ["d", "c", "a"])
    assert_frame_equal(backwards.query('metadata.weather = "rain"'), found.iloc[::-1])
    with pytest.raises(npd.BadRequestError):
        dataset.query("metadata.weather = ")


def test_annotations_and_predictions_are_queried(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    rows = boxes("a.jpg", "b.jpg", "c.jpg", light=["red", "green", "red"])
    dataset.annotate(rows, metadata=["light"])
    run.predict(rows.assign(confidence=[0.1, 0.2, 0.3]), metadata=["light"])
    text = 'annotations.metadata.light = "red"'
    truth = dataset.query(text, kind="annotations")
    assert_frame_equal(truth, dataset.annotations.to_frame().iloc[[0, 2]].reset_index(drop=True))
    backwards = dataset.create_slice("backwards", ["c.jpg", "a.jpg"])
    assert backwards.query(text, kind="annotations")["reference_id"].tolist() == ["c.jpg", "a.jpg"]


# Jobs


def test_jobs_are_listed_and_found(client: npd.NucleusClient, dataset: npd.Dataset, stated: Stated) -> None:
    jobs = client.jobs
    assert jobs.dtypes["created_at"] == pd.DatetimeTZDtype("us", "UTC")
    assert jobs["type"].tolist() == stated(embedded=[], hosted=["uploadDatasetItems"])
    assert jobs["status"].tolist() == stated(embedded=[], hosted=["Completed"])
    for job_id in jobs["id"]:
        job = client.get_job(job_id)
        assert (job.id, job.status, job.errors(), job.wait(0)) == (job_id, "Completed", [], job)
        assert job.info["message"] == {"new_items": 3, "updated_items": 0, "ignored_items": 0, "upload_errors": 0}
    with pytest.raises(npd.NotFoundError):
        client.get_job("job_none")


def test_items_that_a_job_could_not_fetch_are_told_by_their_address(
    client: npd.NucleusClient, dataset: npd.Dataset, stated: Stated
) -> None:
    frame = items("d.jpg", "e.jpg", "f.jpg")
    frame.loc[1, "image_url"] = "https://unreachable.example.org/e.jpg"
    result = dataset.append(frame, on_error="collect")
    # An embedded Nucleus fetches nothing.
    assert statuses(result) == stated(embedded=["new"] * 3, hosted=["new", "error", "new"])
    assert (result.new_items, result.upload_errors) == stated(embedded=(3, 0), hosted=(2, 1))
    assert result.failed["reference_id"].tolist() == stated(embedded=[], hosted=["e.jpg"])
    assert len(dataset) == stated(embedded=6, hosted=5)
