"""Frames of boxes are looked at whole: each wrong row is named with its label, its column and a remedy."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.schema.checks.frames import INF, LABELS, TRIANGLE, boxes, objects, refused

WRONG_BOXES: dict[str, tuple[dict[str, Any], str, str, list[str]]] = {
    "a missing id": (
        {"reference_id": ["a.jpg", None, "c.jpg"]},
        "reference_id",
        "missing",
        ["Fill it, or drop the row"],
    ),
    "an empty id": ({"reference_id": ["a.jpg", "", "c.jpg"]}, "reference_id", "empty text", ["Give it a name"]),
    "a missing label": ({"label": ["car", np.nan, "car"]}, "label", "missing", ["Fill it, or drop the row"]),
    "an empty label": ({"label": ["car", "", "car"]}, "label", "empty text", ["Give it a name"]),
    "a float id": ({"reference_id": [1.0, 2.0, 3.0]}, "reference_id", "number 2.0", [".astype('Int64')"]),
    "a broken float id": ({"reference_id": objects("a", 2.5, "c")}, "reference_id", "number 2.5", [".astype(str)"]),
    "a decimal id": ({"reference_id": objects("a", Decimal("7"), "c")}, "reference_id", "Decimal('7')", ["'Int64'"]),
    "a boolean id": ({"reference_id": [True, False, True]}, "reference_id", "boolean False", [".map({True: 'yes'"]),
    "a float label": ({"label": [1.0, 2.0, 3.0]}, "label", "number 2.0", [".astype('Int64')"]),
    "a NumPy float label": ({"label": objects("a", np.float32(0.5), "c")}, "label", "number 0.5", [".astype(str)"]),
    "a boolean label": ({"label": objects("car", np.True_, "car")}, "label", "boolean True", ["text or integers"]),
    "a date as label": ({"label": objects("car", dt.date(2024, 1, 2), "car")}, "label", "a date", [".astype(str)"]),
    "bytes as label": ({"label": objects("car", b"car", "car")}, "label", "b'car', a bytes", [".astype(str)"]),
    "half a character": ({"label": objects("car", "\ud800", "car")}, "label", "surrogate", ["no Unicode"]),
    "an infinite side": ({"x": [1, INF, 1]}, "x", "infinite", ["correct it, or drop the row"]),
    "an endless side": ({"width": [1, -INF, 1]}, "width", "infinite", ["correct it, or drop the row"]),
    "a negative width": ({"width": [3, -4, 3]}, "width", "is -4", ["two corners", "bbox_format='xyxy'"]),
    "a negative height": ({"height": [3, -0.5, 3]}, "height", "is -0.5", ["none is negative", "bbox="]),
    "a side of text": ({"x": ["1", "2", "3"]}, "x", "'2', a str", ["pd.to_numeric(column) converts text"]),
    "a boolean side": ({"x": [True, False, True]}, "x", "must be a number", ["a bool"]),
    "a side beyond all": ({"y": [1, 1e200, 1]}, "y", "beyond 1e+150", ["infinite"]),
    "a side beyond floats": ({"y": objects(1, 10**400, 1)}, "y", "beyond what a float64 holds", []),
    "a complex side": ({"y": objects(1, 1j, 1)}, "y", "a complex", ["must be a number"]),
    "a duration as side": ({"y": objects(1, np.timedelta64(5, "s"), 1)}, "y", "a timedelta64", ["must be a number"]),
    "a missing side": ({"height": [3, None, 3]}, "height", "missing, while other sides", ["Fill it, or clear all"]),
    "an unknown type": ({"type": ["box", "circle", None]}, "type", "'circle'; there are box, line", ["multicategory"]),
    "an empty type": ({"type": ["box", "", "box"]}, "type", "empty text", []),
    "a number as type": ({"type": objects("box", 3.5, "box")}, "type", "number 3.5", []),
    "a geometry of a box": ({"geometry": [None, TRIANGLE, None]}, "geometry", "belongs to a box", ["column 'type'"]),
    "an infinity in metadata": ({"metadata.s": [1.0, INF, None]}, "metadata.s", "infinite", ["leave it empty"]),
    "a nested infinity": ({"metadata": [{}, {"a": [1, INF]}, None]}, "metadata", "inf - at `metadata.a[1]`", []),
    "metadata that is a list": (
        {"metadata": [{}, [1], None]},
        "metadata",
        "[1], a list",
        ["the text of a JSON object"],
    ),
    "metadata that is a number": ({"metadata": [None, 7, None]}, "metadata", "a float; metadata is a dict", []),
    "metadata that is no JSON": ({"metadata": ["{}", "{'a': 1}", None]}, "metadata", "not a JSON object: \"{'a'", []),
    "metadata in a series": ({"metadata": objects({}, pd.Series({"a": 1}), None)}, "metadata", "is a 1 dtype", []),
    "a JSON list": ({"metadata": ["{}", "[1]", None]}, "metadata", "JSON, but not an object: '[1]'", ["{…}"]),
    "a function in metadata": ({"metadata": [{}, {"f": print}, None]}, "metadata", "metadata.f", ["text, numbers"]),
    "a set in metadata": ({"metadata": [{}, {"f": {1}}, None]}, "metadata", "JSON has no set", ["lists and dicts"]),
    "bytes in metadata": ({"metadata.raw": objects("x", b"x", "x")}, "metadata.raw", "no bytes", ["`metadata.raw`"]),
    "a duration in metadata": (
        {"metadata": [{}, {"t": np.timedelta64(5, "ns")}, None]},
        "metadata",
        "no timedelta64 - at `metadata.t`",
        [],
    ),
    "a number as key": ({"metadata": [{}, {1: 2}, None]}, "metadata", "keys are text, not int 1", []),
    "a tuple as nested key": ({"metadata": [{}, {"a": {(1,): 2}}, None]}, "metadata", "keys are text, not tuple", []),
    "a number as key of a column": (
        {"metadata.a": objects({}, {1: 2}, None)},
        "metadata.a",
        "keys are text",
        ["int 1"],
    ),
    "half a character in metadata": ({"metadata.a": objects(1, "\ud800", 1)}, "metadata.a", "surrogate", []),
    "half a character in a key": ({"metadata": [{}, {"\udc00": 1}, None]}, "metadata", "surrogate", []),
    "two forms for one key": (
        {"metadata": [{"rain": 1}, {"rain": 1}, None], "metadata.rain": [None, 2, 3]},
        "metadata",
        "the key 'rain' is also in the column 'metadata.rain'",
        ["Keep one of the two"],
    ),
}


@pytest.mark.parametrize("wrong", WRONG_BOXES)
def test_a_wrong_row_is_named_and_nothing_is_sent(
    dataset: npd.Dataset, requests: list[tuple[str, ...]], wrong: str
) -> None:
    columns, column, reason, remedies = WRONG_BOXES[wrong]
    frame = boxes(**columns)
    error = refused(lambda: npd.annotate(frame, dataset))
    assert requests == []
    assert f"row 'second' (position 1): column '{column}': " in str(error)
    assert "Nothing was sent. on_error='collect' sends the other rows." in str(error)
    assert error.problems is not None
    (found,) = error.problems.loc[["second"]].itertuples(index=False)
    assert (found.row, found.column) == (1, column)
    assert all(part in found.reason for part in (reason, *remedies)), found.reason
    assert error.result is not None
    assert error.result.rows.loc["second", "status"] == "error"
    assert found.reason in error.result.rows.loc["second", "error"]
    assert set(error.problems.index) == set(error.result.rows.index[error.result.rows["status"] == "error"])
    assert error.result.failed.equals(frame)


@pytest.mark.parametrize("confidence", [1.0000001, -0.1, 87, INF])
def test_a_confidence_lies_between_0_and_1(
    run: npd.ModelRun, requests: list[tuple[str, ...]], confidence: float
) -> None:
    error = refused(lambda: npd.predict(boxes(confidence=[0, confidence, 1]), run))
    assert error.problems is not None
    assert error.problems.index.tolist() == ["second"]
    assert error.problems["column"].tolist() == ["confidence"]
    assert "a confidence lies in [0, 1]. Divide percentages by 100" in str(error) or "is infinite" in str(error)
    assert requests == []


def test_the_edges_and_a_missing_confidence_pass(run: npd.ModelRun) -> None:
    assert npd.predict(boxes(confidence=[0, 1, None]), run).predictions_processed == 3


def test_ground_truth_is_not_asked_for_a_confidence(dataset: npd.Dataset) -> None:
    assert npd.annotate(boxes(confidence=87), dataset).annotations_processed == 3


def test_every_offence_of_every_row_is_told(dataset: npd.Dataset, requests: list[tuple[str, ...]]) -> None:
    frame = boxes(reference_id=[None, "b.jpg", None], label=[None, "car", "car"], x=[1, INF, 1], width=[-1, -2, 3])
    error = refused(lambda: npd.annotate(frame, dataset))
    assert error.problems is not None
    assert list(zip(error.problems.index, error.problems["row"], error.problems["column"], strict=True)) == [
        ("first", 0, "width"),
        ("first", 0, "reference_id"),
        ("first", 0, "label"),
        ("second", 1, "x"),
        ("second", 1, "width"),
        ("third", 2, "reference_id"),
    ]
    assert str(error).startswith("3 of 3 rows are invalid:\n")
    assert requests == []


def test_an_error_names_the_first_rows_and_counts_the_others(dataset: npd.Dataset) -> None:
    frame = pd.concat([boxes(width=-1.0)] * 4, ignore_index=True)
    text = str(refused(lambda: npd.annotate(frame, dataset)))
    assert text.startswith("12 of 12 rows are invalid:\n  row 0: column 'width': ")
    assert "row 4" in text
    assert "row 5" not in text
    assert "… and 7 more" in text


def test_a_long_value_is_cut(dataset: npd.Dataset) -> None:
    text = str(refused(lambda: npd.annotate(boxes(type=["x" * 10_000] * 3), dataset)))
    assert len(text) < 1500


def test_problems_stand_on_the_labels_of_the_frame(dataset: npd.Dataset) -> None:
    index = pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2)], names=["clip", "row"])
    error = refused(lambda: npd.annotate(boxes(label=[None, "car", None]).set_axis(index), dataset))
    assert error.problems is not None
    assert error.problems.index.tolist() == [("a", 1), ("b", 2)]
    assert error.problems.index.names == ["clip", "row"]
    assert "row ('a', 1) (position 0): " in str(error)
    assert error.result is not None
    assert error.result.rows.index.equals(index)


def test_a_check_gives_the_same_problems_and_sends_nothing(
    dataset: npd.Dataset, requests: list[tuple[str, ...]]
) -> None:
    frame = boxes(label=[None, "car", ""], x=[INF, 1, 1])
    found = npd.check(frame, "annotations")
    error = refused(lambda: npd.annotate(frame, dataset))
    pd.testing.assert_frame_equal(found, error.problems)
    pd.testing.assert_frame_equal(frame.nucleus.check(), found)
    assert requests == []


def test_a_check_of_a_good_frame_is_empty_with_the_same_columns() -> None:
    found = npd.check(boxes())
    assert found.empty
    assert found.columns.tolist() == npd.check(boxes(label="")).columns.tolist() == ["row", "column", "reason"]
    assert found.dtypes.equals(npd.check(boxes(label="")).dtypes)


def test_a_check_looks_at_a_frame_as_all_that_it_may_be() -> None:
    joint = boxes(image_url=[None, "https://e.org/b", "https://e.org/c"], confidence=[0.5, 2, 0.5])
    for index in (joint.index, pd.Index(LABELS, name="row")):  # a name that problems have a column of
        found = npd.check(joint.set_axis(index))
        assert found.index.tolist() == ["first", "second"]
        assert found["column"].tolist() == ["image_url", "confidence"]
        assert found["row"].tolist() == [0, 1]
    assert npd.check(joint, "annotations").empty
    assert npd.check(joint, "items")["column"].tolist() == ["image_url"]
    with pytest.raises(
        npd.InvalidInputError, match="kind must be 'items', 'annotations', 'predictions' or None, not 'boxes'"
    ):
        npd.check(joint, "boxes")
    with pytest.raises(npd.InvalidInputError, match="Expected a DataFrame, got list"):
        npd.check([{}])


def test_a_check_tells_a_problem_once_that_items_and_boxes_share() -> None:
    joint = boxes(reference_id=["a.jpg", None, "c.jpg"], image_url="https://e.org/a")
    assert npd.check(joint)["column"].tolist() == ["reference_id"]


def test_a_check_without_boxes_asks_for_boxes_not_for_images() -> None:
    frame = pd.DataFrame({"reference_id": ["a"], "label": ["car"], "left": [1]})
    with pytest.raises(npd.InvalidInputError, match="Column 'x' not found"):
        npd.check(frame)


@pytest.mark.parametrize("kind", ["annotations", "predictions"])
def test_a_check_warns_of_exact_repeats(kind: Any, requests: list[tuple[str, ...]]) -> None:
    frame = boxes(reference_id="a.jpg", confidence=0.5, metadata=[{"n": 1}, {"n": 2}, None])
    with pytest.warns(npd.NucleusWarning, match=r"^2 rows repeat others exactly, the first is row 'second'") as caught:
        assert npd.check(frame, kind).empty
    assert caught[0].filename == __file__
    with pytest.warns(npd.NucleusWarning, match="^1 row repeats another exactly"):
        npd.check(frame.iloc[:2], kind)
    assert requests == []


def test_a_check_warns_of_repeats_of_any_type() -> None:
    shapes = pd.DataFrame({"reference_id": "a", "label": "road", "type": "polygon", "geometry": [TRIANGLE] * 2})
    with pytest.warns(npd.NucleusWarning, match="^1 row repeats another exactly, the first is row 1"):
        npd.check(shapes)


def test_other_confidences_make_other_predictions() -> None:
    assert npd.check(boxes(reference_id="a.jpg", confidence=[0.1, 0.2, 0.3])).empty


@pytest.mark.parametrize("largest", [1, 0.5])
def test_boxes_in_fractions_warn(dataset: npd.Dataset, largest: float) -> None:
    frame = boxes(x=0.1, y=0.2, width=largest, height=0.1)
    with pytest.warns(npd.NucleusWarning, match="Boxes are in pixels: multiply x and width by the image's width"):
        npd.check(frame)
    with pytest.warns(npd.NucleusWarning, match="No number of any box is above 1"):
        assert npd.annotate(frame, dataset).annotations_processed == 3


def test_one_number_above_1_is_enough_not_to_warn(dataset: npd.Dataset) -> None:
    npd.annotate(boxes(x=0.1, y=0.2, width=[0.5, 0.5, 1.5], height=0.1), dataset)


@pytest.mark.parametrize("name", ["score", "Conf", "probability"])
def test_a_score_that_is_not_sent_warns(run: npd.ModelRun, name: str) -> None:
    frame = boxes(**{name: [0.1, 0.2, 0.3]})
    with pytest.warns(npd.NucleusWarning, match=rf"Use columns={{'confidence': '{name}'}}"):
        npd.predict(frame, run)
    npd.predict(frame, run, columns={"confidence": name})
    npd.predict(frame.assign(confidence=0.5), run)
    npd.predict(frame, run, metadata=[name])


def test_a_score_of_ground_truth_is_no_confidence(dataset: npd.Dataset) -> None:
    npd.annotate(boxes(score=0.5), dataset)
