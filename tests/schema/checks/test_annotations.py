"""Frames of annotations of all types are looked at whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nucleus_pandas as npd
from tests.schema.checks.frames import INF, NAMES, TRIANGLE, boxes, objects, refused


def test_an_annotation_id_stands_once_in_an_item(dataset: npd.Dataset, requests: list[tuple[str, ...]]) -> None:
    frame = boxes(reference_id=["a.jpg", "b.jpg", "a.jpg"], annotation_id="x")
    error = refused(lambda: npd.annotate(frame, dataset))
    assert error.problems is not None
    assert error.problems.index.tolist() == ["third"]
    (reason,) = error.problems["reason"]
    assert reason.startswith("is 'x', as in row 'first' (position 0) for the same item.")
    assert "drop one row, or leave the id empty" in reason
    assert requests == []
    assert npd.annotate(frame, dataset, on_error="collect").annotations_processed == 2


def test_both_keys_may_be_there_and_one_must(dataset: npd.Dataset) -> None:
    ids = [dataset.refloc(name)["item"]["id"] for name in NAMES]
    frame = boxes(reference_id=["a.jpg", None, None], dataset_item_id=["di_not_looked_at", ids[1], None])
    error = refused(lambda: npd.annotate(frame, dataset))
    assert error.problems is not None
    assert error.problems.index.tolist() == ["third"]
    assert "is missing, and so is the dataset_item_id. Fill one of them." in str(error)
    assert npd.annotate(frame.iloc[:2], dataset).annotations_processed == 2
    by_item = npd.annotate(boxes(dataset_item_id=ids).drop(columns="reference_id"), dataset)
    assert by_item.rows["status"].tolist() == ["new", "ignored", "new"]  # the second was sent by that key before
    wrong = boxes(reference_id=[1.5, None, None], dataset_item_id=[ids[0], ids[1], 2.5])
    assert npd.check(wrong).index.tolist() == ["first", "third"]


@pytest.mark.parametrize(
    ("kind", "geometry", "reason"),
    [
        ("polygon", None, "is missing; a row of type 'polygon' needs one"),
        ("polygon", {"vertices": []}, "length >= 1"),
        ("polygon", {"vertices": [{"x": 1}]}, "missing required field `y` - at `$.geometry.vertices[0]`"),
        ("polygon", {"vertices": [{"x": INF, "y": 1}]}, "inf - at `$.geometry.vertices[0].x`"),
        ("polygon", 7, "is 7.0, a float; expected a dict"),
        ("polygon", "{", "is not valid JSON: '{'"),
        ("line", "[1]", "has 1 numbers, and each point has two"),
        ("cuboid", "[1]", "expected a dict or the text of a JSON object"),
        ("mask", {"mask_url": "s3://m.png"}, "missing required field `annotations`"),
        ("mask", {"url": "s3://m.png"}, "holds url; that of a mask holds mask_url, annotations"),
        ("category", {"taxonomy": "x"}, "holds taxonomy; that of a category holds taxonomy_name"),
        ("multicategory", {"labels": "x"}, "expected `array`"),
        ("cuboid", {"yaw": 1}, "missing required field `position`"),
        ("keypoints", {"keypoints": [{"x": "1"}], "names": ["nose"]}, "got `str`"),
    ],
)
def test_a_wrong_geometry_is_told(dataset: npd.Dataset, kind: str, geometry: Any, reason: str) -> None:
    frame = boxes(type=["box", kind, "box"], geometry=[None, geometry, None])
    error = refused(lambda: npd.annotate(frame, dataset))
    assert error.problems is not None
    assert error.problems.index.tolist() == ["second"]
    assert error.problems["column"].tolist() == ["geometry"]
    assert reason in error.problems.loc["second", "reason"]


def test_the_geometry_of_a_row_is_judged_beside_its_other_faults(dataset: npd.Dataset) -> None:
    frame = boxes(type="polygon", geometry=[TRIANGLE, None, None], label=["road", None, "road"])
    assert npd.check(frame)["column"].tolist() == ["label", "geometry", "geometry"]
    assert npd.annotate(frame, dataset, on_error="collect").rows["status"].tolist() == ["new", "error", "error"]


def test_predictions_of_several_categories_do_not_exist(run: npd.ModelRun) -> None:
    frame = boxes(type=["box", "multicategory", "box"], geometry=[None, {"labels": ["a"]}, None])
    assert "which predictions cannot be" in str(refused(lambda: npd.predict(frame, run)))


def test_shapes_are_not_judged_by_the_columns_of_boxes(dataset: npd.Dataset) -> None:
    frame = boxes(type="polygon", geometry=[TRIANGLE] * 3, x=objects("left", INF, None), width=[-1, None, 3])
    assert npd.annotate(frame, dataset).annotations_processed == 3
    no_boxes = frame.drop(columns=["x", "y", "width", "height"])
    assert npd.annotate(no_boxes, dataset).annotations_ignored == 3


def test_shapes_without_a_type_do_not_pass_as_images_without_boxes(dataset: npd.Dataset) -> None:
    frame = boxes(geometry=[TRIANGLE] * 3, x=np.nan, y=np.nan, width=np.nan, height=np.nan)
    text = str(refused(lambda: npd.annotate(frame, dataset)))
    assert "a shape of another kind needs its name in the column 'type'" in text
    text = str(refused(lambda: npd.annotate(frame[["reference_id", "label", "geometry"]], dataset)))
    assert "Column 'x' not found" in text
    assert "Shapes in 'geometry' that are no boxes need a column 'type', as in frame.assign(type='polygon')." in text


def test_a_image_without_boxes_is_skipped_whatever_else_is_wrong_with_it(dataset: npd.Dataset) -> None:
    nothing = {side: [1.0, np.nan, 9.0] for side in ("x", "y", "width", "height")}
    frame = boxes(**nothing, label=["car", "", None], metadata=[{}, 7, None], type=["box", None, None])
    frame.loc["third", "label"] = "bus"
    result = npd.annotate(frame, dataset)
    assert result.rows["status"].tolist() == ["new", "skipped", "new"]
    assert len(result.failed) == 0
    named = npd.annotate(frame.assign(type=["box", 1.5, "box"]), dataset, on_error="collect")
    assert named.rows["status"].tolist() == ["ignored", "error", "ignored"]
