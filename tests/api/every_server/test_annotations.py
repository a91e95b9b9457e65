"""Ground truth, the same on every server."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import nucleus_pandas as npd
from tests.api.every_server.servers import SHAPES, UNKNOWN, Stated, others, statuses
from tests.factories import box_frame, item_frame


def test_boxes_are_added_and_read_back(dataset: npd.Dataset, stated: Stated) -> None:
    frame = box_frame("c.jpg", "a.jpg", "a.jpg", metadata=[{"n": 1}, None, {"n": 3.0}])
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
    frame = box_frame("a.jpg", "b.jpg", "b.jpg")
    with pytest.warns(npd.NucleusWarning, match="1 row repeats another exactly, the first is row 2"):
        frame.nucleus.annotate(dataset)
    before = dataset.annotations.to_frame()
    with pytest.warns(npd.NucleusWarning, match="1 row repeats another exactly"):
        result = frame.nucleus.annotate(dataset)
    assert statuses(result) == ["ignored"] * 3
    assert result.annotations_ignored == 3
    assert_frame_equal(dataset.annotations.to_frame(), before)
    assert len(before) == 3  # an exact repeat is a box of its own


def test_an_annotation_is_updated_by_its_id(dataset: npd.Dataset, stated: Stated) -> None:
    dataset.annotate(box_frame("a.jpg", annotation_id="one"))
    assert statuses(dataset.annotate(box_frame("a.jpg", annotation_id="one").assign(label="bus"))) == ["ignored"]
    result = dataset.annotate(box_frame("a.jpg", annotation_id="one").assign(label="bus"), if_exists="update")
    assert statuses(result) == stated(embedded=["updated"], hosted=["processed"])
    assert dataset.annotations.to_frame()["label"].tolist() == ["bus"]
    with pytest.raises(npd.AlreadyExistsError):
        dataset.annotate(box_frame("a.jpg", annotation_id="one"), if_exists="error")
    assert dataset.annotations.to_frame()["label"].tolist() == ["bus"]


def test_every_type_comes_back_as_it_was_sent(dataset: npd.Dataset) -> None:
    frame = others("b.jpg", *SHAPES)
    frame.nucleus.annotate(dataset)
    box_frame("b.jpg", "a.jpg").nucleus.annotate(dataset)
    found = dataset.annotations.to_frame()
    assert found["reference_id"].tolist() == ["a.jpg"] + ["b.jpg"] * 8
    by_type = found[found["reference_id"] == "b.jpg"].set_index("type")
    for kind, (label, geometry) in SHAPES.items():
        assert by_type.loc[kind, "geometry"] == geometry
        assert by_type.loc[kind, "label"] == label or label is None
    assert by_type.loc["box", "x"] == 10.0
    assert by_type.loc["box", "geometry"] is None
    assert_frame_equal(dataset.annotations.refloc[["a.jpg", "b.jpg"]], found)


def test_masks_may_stand_among_boxes(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Masks")
    names = [f"{number}.jpg" for number in range(50)]
    dataset.append(item_frame(*names))
    masks = [{"mask_url": f"https://example.org/{name}", "annotations": []} for name in names]
    frame = pd.DataFrame({"reference_id": names, "type": "mask", "geometry": masks})
    rows = pd.concat([box_frame("7.jpg"), frame[:40], box_frame("7.jpg").assign(x=1), frame[40:]], ignore_index=True)
    assert dataset.annotate(rows).annotations_processed == 52
    found = dataset.annotations.to_frame()
    assert found[found["type"] == "mask"]["geometry"].tolist() == masks
    assert sorted(found[found["type"] == "box"]["x"]) == [1.0, 10.0]  # of two batches, which travel side by side
    another = frame.assign(geometry=[{**mask, "mask_url": "https://example.org/m.png"} for mask in masks])
    assert dataset.annotate(another).annotations_ignored == 50  # an image has one mask


def test_annotations_name_their_item_by_its_id_too(dataset: npd.Dataset) -> None:
    item_id = dataset.refloc["b.jpg", "dataset_item_id"]
    frame = box_frame("x").drop(columns="reference_id").assign(dataset_item_id=item_id)
    assert frame.nucleus.annotate(dataset).annotations_processed == 1
    box = {"type": "box", "label": "bus", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
    assert dataset.annotate({"annotations": [{"item_id": item_id, **box}]}).annotations_processed == 1
    found = dataset.annotations.to_frame()
    assert found["reference_id"].tolist() == ["b.jpg", "b.jpg"]
    assert found["label"].tolist() == ["car", "bus"]


def test_boxes_on_an_unknown_item_are_refused_and_the_others_stored(dataset: npd.Dataset, stated: Stated) -> None:
    frame = box_frame("a.jpg", UNKNOWN, "c.jpg")
    with pytest.raises(npd.UploadError, match=UNKNOWN) as caught:
        dataset.annotate(frame)
    result = caught.value.result
    assert statuses(result) == stated(embedded=["new", "error", "new"], hosted=["processed", "error", "processed"])
    assert result.annotations_processed == 2
    assert_frame_equal(result.failed, frame.iloc[[1]])
    assert dataset.annotations.to_frame()["reference_id"].tolist() == ["a.jpg", "c.jpg"]
    with pytest.raises(npd.UploadError, match=f"1 of 1 rows were rejected:\n.*{UNKNOWN}") as caught:
        dataset.annotate(frame.iloc[[1]])
    assert_frame_equal(caught.value.result.failed, frame.iloc[[1]])
    result = dataset.annotate(frame.iloc[[1]], on_error="collect")
    assert statuses(result) == ["error"]
    assert UNKNOWN in result.rows["error"].iloc[0]


def test_boxes_go_in_as_many_batches_as_it_takes(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Batches")
    names = [f"{number}.jpg" for number in range(40)]
    dataset.append(item_frame(*names))
    frame = box_frame(*np.repeat(names, 5), annotation_id=[f"{number}" for number in range(200)])
    assert dataset.annotate(frame, batch_size=9).annotations_processed == 200
    found = dataset.annotations.to_frame()
    assert found["reference_id"].tolist() == frame["reference_id"].tolist()
    assert set(found["annotation_id"]) == set(frame["annotation_id"])


def test_wrong_rows_are_refused_before_anything_is_sent(dataset: npd.Dataset) -> None:
    frame = box_frame("a.jpg", "b.jpg").assign(width=[1.0, -1.0])
    with pytest.raises(npd.InvalidInputError) as caught:
        dataset.annotate(frame)
    assert caught.value.problems["column"].tolist() == ["width"]
    assert len(dataset.annotations) == 0
    assert dataset.annotate(frame, on_error="collect").annotations_processed == 1
    assert len(dataset.annotations) == 1
