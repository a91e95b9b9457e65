"""The layout of boxes in frames: what is missing, what is meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.schema.checks.frames import INF, NAMES, boxes, items, objects, refused


def corners(*values: Any) -> pd.DataFrame:
    return boxes(corners=objects(*values)).drop(columns=["x", "y", "width", "height"])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1, 2, 3], "is [1, 2, 3]; a box has four numbers"),
        ([1, 2, 3, 4, 5], "a box has four numbers"),
        ([], "a box has four numbers"),
        ([[1, 2], [3, 4]], "a box has four numbers"),
        ([[1, 2], [3]], "a box has four numbers"),
        ("1,2,3,4", "is '1,2,3,4'; a box has four numbers"),
        (b"1234", "a box has four numbers"),
        ({1, 2, 3, 4}, "a box has four numbers"),
        (7, "is 7; a box has four numbers"),
        (np.zeros((2, 2)), "a box has four numbers"),
        (np.array(7), "a box has four numbers"),
        ([1, 2, "3", 4], "is '3', a str; it must be a number"),
        ([1, 2, INF, 4], "is infinite"),
        ([1, 2, None, 4], "lacks some of the four numbers"),
        ([1, np.nan, 3, 4], "lacks some of the four numbers"),
        ([10, 2, 3, 4], "x2 is 3, less than x1, 10. Swap them; or is the format 'xywh'?"),
        ((1, 20, 3, 4), "y2 is 4, less than y1, 20"),
        ({"x": 1, "y": 2, "w": 3, "h": 4}, "has the fields x, y, w, h; expected (x1, y1, x2, y2) or (xmin"),
        ({"x1": 1, "y1": 2, "x2": 3}, "has the fields x1, y1, x2; expected (x1, y1, x2, y2)"),
        ([-1e150, 0, 1e150, 1], "is beyond 1e+150 pixels"),
        ([-1.7e308, 0, 1.7e308, 1], "is beyond 1e+150 pixels"),
    ],
)
def test_a_wrong_box_in_one_column_is_told(dataset: npd.Dataset, value: Any, reason: str) -> None:
    good = [1, 2, 30, 40]
    error = refused(lambda: npd.annotate(corners(good, value, None), dataset, bbox="corners", bbox_format="xyxy"))
    assert error.problems is not None
    assert set(error.problems.index) == {"second"}
    assert error.problems["column"].unique().tolist() == ["corners"]
    assert reason in error.problems["reason"].iloc[0]
    assert error.result is not None
    assert error.result.rows["status"].tolist() == ["skipped", "error", "skipped"]


def test_wrong_boxes_in_four_columns_are_told(dataset: npd.Dataset) -> None:
    frame = boxes(x1=[1, 50, None], y1=[2, 2, 2], x2=[30, 30, 30], y2=[40, 1, 40])
    found = npd.check(frame, bbox=("x1", "y1", "x2", "y2"), bbox_format="xyxy")
    assert found["column"].tolist() == ["x2", "y2", "x1"]
    assert found["reason"].str.contains("Swap them").tolist() == [True, True, False]
    found = npd.check(frame.assign(x2=-1), bbox=["x1", "y1", "x2", "y2"], bbox_format="cxcywh")
    assert found["column"].tolist() == ["x2", "x2", "x1", "x2"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"bbox_format": "xyxy"}, "bbox_format='xyxy' needs bbox="),
        ({"bbox": "corners", "bbox_format": "coco"}, "bbox_format is one of 'xywh', 'xyxy', 'cxcywh', not 'coco'"),
        ({"bbox": ("x", "y", "width")}, "bbox= names one column or four, not 3"),
        ({"bbox": "corner"}, "Column 'corner' for bbox not found"),
        ({"bbox": ("x", "y", "w", "height")}, "Column 'w' for bbox not found"),
        ({"bbox": np.array(["x", "y", "width", "height"])}, "is not a column name"),
        ({"bbox": {"x": 1}}, "is not a column name"),
        ({"metadata": "weather"}, "metadata= is True, False or a list of columns"),
        ({"metadata": ["weather"]}, "Column 'weather' for metadata not found"),
        ({"metadata": {"weather": "weather"}}, "metadata= is True, False or a list of columns"),
        (
            {"columns": {"lable": "x"}},
            "columns= maps 'lable', which is not a known column name; known are 'reference_id'",
        ),
        ({"columns": {"lable": "x"}}, "Is 'label' meant?"),
        ({"columns": {"label": "clas"}}, "Column 'clas' for 'label' not found; there are 'reference_id', 'label', 'x'"),
        ({"columns": {"label": ["label"]}}, "['label'], a list, is not a column name"),
        ({"columns": ["label"]}, "columns= is a dict such as"),
        ({"columns": "label"}, "columns= is a dict such as"),
        ({"if_exists": "merge"}, "if_exists must be 'skip' or 'update' or 'error'"),
        ({"on_error": "ignore"}, "on_error must be 'raise' or 'collect', not 'ignore'"),
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1, not 0"),
    ],
)
def test_a_wrong_argument_is_told(
    dataset: npd.Dataset, requests: list[tuple[str, ...]], arguments: dict[str, Any], sentence: str
) -> None:
    assert sentence in str(refused(lambda: npd.annotate(boxes(), dataset, **arguments)))
    assert requests == []


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (
            boxes().rename(columns={"reference_id": "ref_id"}),
            "Is 'ref_id' meant? Use columns={'reference_id': 'ref_id'}",
        ),
        (
            boxes().rename(columns={"label": "Label"}),
            "Column 'label' not found; there are 'reference_id', 'Label', 'x'",
        ),
        (boxes().rename(columns={"label": "Label"}), "Is 'Label' meant? Use columns={'label': 'Label'}."),
        (boxes().rename(columns={"x": "x1"}), "bbox=('x1', 'y1', 'x2', 'y2'), with bbox_format='xyxy'"),
        (
            pd.DataFrame(),
            "Column 'reference_id' not found; there is none. Use columns={'reference_id': 'your_column'}.",
        ),
        (boxes().rename(columns={"label": 7}), "there are 'reference_id', 7, 'x', 'y', 'width', 'height'."),
        (boxes().T, "not found; there are 'first', 'second', 'third'"),
    ],
)
def test_a_missing_column_lists_those_that_there_are(
    dataset: npd.Dataset, requests: list[tuple[str, ...]], frame: pd.DataFrame, sentence: str
) -> None:
    assert sentence in str(refused(lambda: npd.annotate(frame, dataset)))
    assert requests == []


def test_columns_of_one_name_are_refused(dataset: npd.Dataset) -> None:
    frame = pd.concat([boxes(), boxes()[["label", "x"]]], axis=1)
    text = str(refused(lambda: npd.annotate(frame, dataset)))
    assert "The frame has several columns named 'label', 'x'." in text
    assert "frame.loc[:, ~frame.columns.duplicated()] keeps the first" in text


def test_levels_of_one_name_are_refused_where_they_are_used(dataset: npd.Dataset) -> None:
    index = pd.MultiIndex.from_arrays([NAMES, NAMES], names=["reference_id", "reference_id"])
    frame = boxes().set_axis(index)
    assert npd.annotate(frame, dataset).annotations_processed == 3
    text = str(refused(lambda: npd.annotate(frame.drop(columns="reference_id"), dataset)))
    assert "The index has several levels named 'reference_id'" in text


def test_columns_of_several_levels_are_named_whole(dataset: npd.Dataset) -> None:
    frame = boxes()
    frame.columns = pd.MultiIndex.from_tuples([(name, "") for name in frame.columns])
    assert "Column 'x' not found" in str(refused(lambda: npd.annotate(frame, dataset)))
    names = {name: (name, "") for name in ("reference_id", "label", "x", "y", "width", "height")}
    assert npd.annotate(frame, dataset, columns=names).annotations_processed == 3


@pytest.mark.parametrize("name", [("box", "corners"), ("a", "box", "of", "four")])
def test_one_column_of_boxes_may_be_called_by_a_tuple(dataset: npd.Dataset, name: tuple[str, ...]) -> None:
    frame = corners(*[[10.0, 20.0, 30.0, 60.0]] * 3).rename(columns={"corners": name})
    assert npd.annotate(frame, dataset, bbox=name, bbox_format="xywh").annotations_processed == 3
    assert npd.annotate(boxes(), dataset).annotations_ignored == 3
    assert npd.append(frame.assign(image_url="s3://p"), dataset, bbox=name).ignored_items == 3


def test_the_remedy_for_a_missing_column_can_be_typed_as_it_stands(dataset: npd.Dataset) -> None:
    frame = boxes().rename(columns={"reference_id": ("item", "reference_id")})
    text = str(refused(lambda: npd.annotate(frame, dataset)))
    assert "Is ('item', 'reference_id') meant? Use columns={'reference_id': ('item', 'reference_id')}." in text


def test_append_needs_the_columns_of_boxes_that_it_is_told(dataset: npd.Dataset) -> None:
    assert "Column 'box' for bbox not found" in str(refused(lambda: dataset.append(items(), bbox="box")))


def test_a_image_has_its_size_in_one_place(dataset: npd.Dataset) -> None:
    text = str(refused(lambda: dataset.append(items(width=1, image_width=1))))
    assert "The frame has both 'width' and 'image_width' for the width of the image. Drop one of them." in text


def test_layouts_are_for_frames(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.InvalidInputError, match="are for DataFrames; this is a payload"):
        dataset.append({"items": []}, metadata=["hour"])


@pytest.mark.parametrize("wrong", [None, "frame", [{}], pd.Series([1]), np.zeros(3)])
def test_the_functions_take_frames(dataset: npd.Dataset, run: npd.ModelRun, wrong: Any) -> None:
    for call in (
        lambda: npd.append(wrong, dataset),
        lambda: npd.annotate(wrong, dataset),
        lambda: npd.predict(wrong, run),
    ):
        assert "Expected a DataFrame, got " in str(refused(call))
    assert "annotate takes a Dataset, not ModelRun" in str(refused(lambda: npd.annotate(boxes(), run)))


FOURS: dict[str, Any] = {
    "a list": ("box", [[1.0, 2.0, 3.0, 4.0]] * 3),
    "an array": ("box", [np.array([1.0, 2.0, 3.0, 4.0])] * 3),
    "fields of corners": ("box", [{"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}] * 3),
    "fields of a centre": ("box", [{"cx": 1.0, "cy": 2.0, "w": 3.0, "h": 4.0}] * 3),
}


@pytest.mark.parametrize("form", FOURS)
def test_boxes_in_one_column_need_a_format(dataset: npd.Dataset, form: str) -> None:
    name, values = FOURS[form]
    frame = boxes().drop(columns=["x", "y", "width", "height"]).assign(**{name: values})
    text = str(refused(lambda: npd.annotate(frame, dataset, bbox="box")))
    assert all(f"bbox_format='{known}'" in text for known in ("xywh", "xyxy", "cxcywh"))
    assert len(dataset.annotations) == 0


@pytest.mark.parametrize("names", [("a", "b", "c", "d"), ("cx", "cy", "w", "h"), ("left", "top", "w", "bottom")])
def test_four_columns_of_other_names_need_a_format(dataset: npd.Dataset, names: tuple[str, ...]) -> None:
    frame = boxes().rename(columns=dict(zip(["x", "y", "width", "height"], names, strict=True)))
    assert "need bbox_format" in str(refused(lambda: npd.annotate(frame, dataset, bbox=names)))


@pytest.mark.parametrize(
    "names",
    [
        ("x", "y", "w", "h"),
        ("left", "top", "width", "height"),
        ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
        ("Box.X", "Box.Y", "Box.Width", "Box.Height"),
    ],
)
def test_names_that_say_the_format_need_none(dataset: npd.Dataset, names: tuple[str, ...]) -> None:
    frame = boxes().rename(columns=dict(zip(["x", "y", "width", "height"], names, strict=True)))
    assert npd.annotate(frame, dataset, bbox=names).annotations_processed == 3
    fields = [dict(zip(("x", "y", "w", "h"), row, strict=True)) for row in frame[list(names)].to_numpy().tolist()]
    assert npd.annotate(boxes().assign(box=fields), dataset, bbox="box").annotations_ignored == 3


@pytest.mark.parametrize("names", [("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"), ("Xmin", "Ymin", "Xmax", "Ymax")])
def test_names_of_corners_force_their_format(dataset: npd.Dataset, names: tuple[str, ...]) -> None:
    frame = boxes().rename(columns=dict(zip(["x", "y", "width", "height"], names, strict=True)))
    for given in ({}, {"bbox_format": "xywh"}):
        assert "Use bbox_format='xyxy'" in str(refused(lambda: npd.annotate(frame, dataset, bbox=names, **given)))  # noqa: B023
