"""A frame is looked at whole: each wrong row is named with its label, its column and a remedy; nothing is sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.transport import session

NAMES = ["a.jpg", "b.jpg", "c.jpg"]
LABELS = ["first", "second", "third"]
TRIANGLE = {"vertices": [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 9, "y": 9}]}


@pytest.fixture
def dataset(local: npd.NucleusClient) -> npd.Dataset:
    """A dataset of three remote images: a.jpg, b.jpg, c.jpg."""
    made = local.create_dataset("Street scenes")
    made.append(items())
    return made


@pytest.fixture
def run(local: npd.NucleusClient, dataset: npd.Dataset) -> npd.ModelRun:
    """A run without predictions."""
    return dataset.create_model_run(local.add_model("Detector", reference_id="det"))


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, run: npd.ModelRun) -> list[tuple[str, ...]]:
    """Every request since the dataset and the run were made."""
    made: list[tuple[str, ...]] = []
    send = session.Transport.request

    def count(self: session.Transport, method: str, *segments: str, **rest: Any) -> Any:
        made.append((method, *segments))
        return send(self, method, *segments, **rest)

    monkeypatch.setattr(session.Transport, "request", count)
    return made


def items(**columns: Any) -> pd.DataFrame:
    frame = {"reference_id": NAMES, "image_url": [f"https://example.org/{name}" for name in NAMES], **columns}
    return pd.DataFrame(frame, index=LABELS)


def boxes(**columns: Any) -> pd.DataFrame:
    frame = {"reference_id": NAMES, "label": "car", "x": 10.0, "y": 20.0, "width": 30.0, "height": 60.0, **columns}
    return pd.DataFrame(frame, index=LABELS)


def objects(*values: Any) -> pd.Series:
    return pd.Series(values, dtype=object, index=LABELS)


def refused(send: Callable[[], Any]) -> npd.InvalidInputError:
    with pytest.raises(npd.InvalidInputError) as caught:
        send()
    return caught.value


INF = float("inf")

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
    "metadata that is no JSON": ({"metadata": ["{}", "{'a': 1}", None]}, "metadata", "no JSON object: \"{'a'", []),
    "metadata in a series": ({"metadata": objects({}, pd.Series({"a": 1}), None)}, "metadata", "is a 1 dtype", []),
    "a JSON list": ({"metadata": ["{}", "[1]", None]}, "metadata", "JSON, but no object: '[1]'", ["{…}"]),
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
    assert str(error).startswith("3 of 3 rows are refused:\n")
    assert requests == []


def test_an_error_names_the_first_rows_and_counts_the_others(dataset: npd.Dataset) -> None:
    frame = pd.concat([boxes(width=-1.0)] * 4, ignore_index=True)
    text = str(refused(lambda: npd.annotate(frame, dataset)))
    assert text.startswith("12 of 12 rows are refused:\n  row 0: column 'width': ")
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
        npd.InvalidInputError, match="kind is 'items', 'annotations', 'predictions' or None, not 'boxes'"
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


# Items


WRONG_ITEMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a missing id": ({"reference_id": ["a", pd.NA, "c"]}, "reference_id", "is missing. Fill it, or drop the row."),
    "a missing address": ({"image_url": ["s3://a", None, "s3://c"]}, "image_url", "is missing"),
    "an empty address": ({"image_url": ["s3://a", "", "s3://c"]}, "image_url", "is an empty text"),
    "a strange address": ({"image_url": ["s3://a", "ftp://b", "s3://c"]}, "image_url", "'ftp' addresses are not taken"),
    "a number as address": ({"image_url": objects("s3://a", 7.5, "s3://c")}, "image_url", "a text or a path"),
    "no whole width": ({"width": [640, 640.5, 640]}, "width", "is 640.5; the side of an image is a whole number"),
    "no width at all": ({"width": [640, 0, 640]}, "width", "is 0; the side of an image"),
    "a negative height": ({"height": [640, -480, 640]}, "height", "is -480; the side of an image"),
    "a huge height": ({"height": [640, 2**31, 640]}, "height", "the side of an image"),
    "an endless height": ({"height": [640, INF, 640]}, "height", "is infinite"),
    "a size of text": ({"image_width": ["640", "x", None]}, "image_width", "'x', a str; it must be a number"),
    "wrong metadata": ({"metadata": [None, "{", None]}, "metadata", "is no JSON object: '{'"),
}


@pytest.mark.parametrize("wrong", WRONG_ITEMS)
def test_a_wrong_item_is_named_and_nothing_is_sent(
    local: npd.NucleusClient, requests: list[tuple[str, ...]], wrong: str
) -> None:
    columns, column, reason = WRONG_ITEMS[wrong]
    made = local.create_dataset("other")
    requests.clear()
    error = refused(lambda: made.append(items(**columns)))
    assert requests == []
    assert error.problems is not None
    assert error.problems.loc["second", "column"] == column
    assert reason in error.problems.loc["second", "reason"]
    assert f"row 'second' (position 1): column '{column}': " in str(error)
    pd.testing.assert_frame_equal(npd.check(items(**columns), "items"), error.problems)


def scene(**columns: Any) -> pd.DataFrame:
    """A joint frame: two boxes in one image, one in another."""
    return boxes(**{"reference_id": ["a.jpg", "a.jpg", "b.jpg"], "image_url": "https://e.org/a", **columns})


@pytest.mark.parametrize(
    ("columns", "arguments", "column"),
    [
        ({"image_url": ["s3://a", "s3://b", "s3://b"]}, {}, "image_url"),
        ({"image_width": [640, 641, 640]}, {}, "image_width"),
        ({"image_height": [480, None, 480]}, {}, "image_height"),
        ({"metadata": [{"rain": 1}, {"rain": 2}, None]}, {}, "metadata"),
        ({"metadata": [{"rain": 1}, {"rain": 1.0}, None]}, {}, "metadata"),
        ({"metadata.rain": [1, 2, 1]}, {}, "metadata.rain"),
        ({"metadata.rain": [1, None, 1], "metadata": [{"b": 1}, {"b": 1}, None]}, {}, "metadata.rain"),
        ({"rain": [True, False, True], "hour": 7}, {"metadata": ["rain", "hour"]}, "rain"),
        ({"path": ["s3://a", "s3://b", "s3://b"]}, {"columns": {"image_url": "path"}}, "path"),
    ],
)
def test_rows_of_one_item_that_disagree_name_the_column(
    dataset: npd.Dataset, requests: list[tuple[str, ...]], columns: Any, arguments: Any, column: str
) -> None:
    error = refused(lambda: dataset.append(scene(**columns), **arguments))
    assert error.problems is not None
    assert error.problems.index.tolist() == ["first", "second"]
    assert error.problems["column"].tolist() == [column, column]
    assert "rows that share the reference_id 'a.jpg' disagree here. Make them equal, or leave the column out." in str(
        error
    )
    assert requests == []


def test_two_columns_that_disagree_are_both_named(dataset: npd.Dataset) -> None:
    frame = scene(image_width=[1, 2, 3], **{"metadata.a": [1, 2, 3], "metadata.b": [1, 2, 3], "metadata.c": 1})
    error = refused(lambda: dataset.append(frame))
    assert error.problems is not None
    assert sorted(error.problems.loc["second", "column"]) == ["image_width", "metadata.a", "metadata.b"]


def test_rows_agree_whatever_the_order_of_keys(local: npd.NucleusClient) -> None:
    made = local.create_dataset("joint")
    frame = scene(metadata=[{"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}, None])
    assert made.append(frame).rows["status"].tolist() == ["new", "new", "new"]
    assert len(made) == 2


def test_a_wrong_row_keeps_the_other_rows_of_its_item_back(local: npd.NucleusClient) -> None:
    made = local.create_dataset("joint")
    result = made.append(scene(image_width=[640, -1, 640]), on_error="collect")
    assert result.rows["status"].tolist() == ["error", "error", "new"]
    assert "disagree" in result.rows["error"].iloc[0]
    assert result.failed.index.tolist() == ["first", "second"]
    wrong = scene(image_url=["nowhere.png", "nowhere.png", "s3://b"])
    result = local.create_dataset("other").append(wrong, on_error="collect")
    assert result.rows["status"].tolist() == ["error", "error", "new"]
    assert "does not exist" in result.rows["error"].iloc[0]
    assert "an item of which another row is refused" in result.rows["error"].iloc[1]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "missing.png", "does not exist"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: _touched(folder / "empty.png"), "is an empty file"),
        (lambda folder: f"{folder}/nul\0.png", "cannot be read"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_a_wrong_image_of_this_machine_is_named(
    local: npd.NucleusClient, image: Path, requests: list[tuple[str, ...]], make: Any, reason: str, as_text: bool
) -> None:
    made = local.create_dataset("images")
    requests.clear()
    wrong = make(image.parent)
    urls = objects(str(image), str(wrong) if as_text else wrong, "https://example.org/c.jpg")
    error = refused(lambda: made.append(items(image_url=urls)))
    assert error.problems is not None
    assert error.problems.index.tolist() == ["second"]
    assert reason in error.problems.loc["second", "reason"]
    assert requests == []
    result = made.append(items(image_url=urls), on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error", "new"]
    assert result.failed.index.tolist() == ["second"]


def test_an_address_is_a_path_where_local_says_so(local: npd.NucleusClient) -> None:
    error = refused(lambda: local.create_dataset("images").append(items(), local=True))
    assert error.problems is not None
    assert error.problems["reason"].str.contains("does not exist").all()
    assert npd.check(items(), "items", local=True)["reason"].str.contains("does not exist").all()


def _touched(path: Path) -> Path:
    path.touch()
    return path


# Annotations of all types


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
        ("polygon", None, "is missing; a row of type 'polygon' is nothing without it"),
        ("polygon", {"vertices": []}, "length >= 1"),
        ("polygon", {"vertices": [{"x": 1}]}, "missing required field `y` - at `$.geometry.vertices[0]`"),
        ("polygon", {"vertices": [{"x": INF, "y": 1}]}, "inf - at `$.geometry.vertices[0].x`"),
        ("polygon", [[1, 2], [3, 4]], "is [[1, 2], [3, 4]], a list; expected a dict"),
        ("polygon", "{", "is no JSON: '{'"),
        ("line", "[1]", "expected a dict or the text of a JSON object"),
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
    assert "predictions of that type do not exist" in str(refused(lambda: npd.predict(frame, run)))


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
    assert "Shapes in 'geometry' that are no boxes need a column 'type'." in text


def test_a_image_without_boxes_is_skipped_whatever_else_is_wrong_with_it(dataset: npd.Dataset) -> None:
    nothing = {side: [1.0, np.nan, 9.0] for side in ("x", "y", "width", "height")}
    frame = boxes(**nothing, label=["car", "", None], metadata=[{}, 7, None], type=["box", None, None])
    frame.loc["third", "label"] = "bus"
    result = npd.annotate(frame, dataset)
    assert result.rows["status"].tolist() == ["new", "skipped", "new"]
    assert len(result.failed) == 0
    named = npd.annotate(frame.assign(type=["box", 1.5, "box"]), dataset, on_error="collect")
    assert named.rows["status"].tolist() == ["ignored", "error", "ignored"]


# The layout of boxes


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
        ({"bbox": np.array(["x", "y", "width", "height"])}, "is no name of a column"),
        ({"bbox": {"x": 1}}, "is no name of a column"),
        ({"metadata": "weather"}, "metadata= is True, False or a list of columns"),
        ({"metadata": ["weather"]}, "Column 'weather' for metadata not found"),
        ({"metadata": {"weather": "weather"}}, "metadata= is True, False or a list of columns"),
        ({"columns": {"lable": "x"}}, "columns= maps 'lable', which is no name of a column; there are 'reference_id'"),
        ({"columns": {"lable": "x"}}, "Is 'label' meant?"),
        ({"columns": {"label": "clas"}}, "Column 'clas' for 'label' not found; there are 'reference_id', 'label', 'x'"),
        ({"columns": {"label": ["label"]}}, "['label'], a list, is no name of a column"),
        ({"columns": ["label"]}, "columns= is a dict such as"),
        ({"columns": "label"}, "columns= is a dict such as"),
        ({"if_exists": "replace"}, "if_exists is 'skip' or 'update' or 'error', not 'replace'"),
        ({"on_error": "ignore"}, "on_error is 'raise' or 'collect', not 'ignore'"),
        ({"batch_size": 0}, "batch_size is a whole number, at least 1, not 0"),
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
    assert npd.annotate(frame, dataset, bbox=name).annotations_processed == 3
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


# What is left to send


def test_collect_sends_exactly_the_good_rows(dataset: npd.Dataset) -> None:
    frame = boxes(label=["car", None, "bus"], metadata=[{"n": 1}, {"n": 2}, {"n": 3}])
    result = npd.annotate(frame, dataset, on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error", "new"]
    assert result.annotations_processed == 2
    pd.testing.assert_frame_equal(result.failed, frame.iloc[[1]])
    stored = [[a["label"] for a in dataset.refloc(name)["annotations"]] for name in NAMES]
    assert stored == [["car"], [], ["bus"]]
    mended = result.failed.fillna({"label": "van"})
    assert npd.annotate(mended, dataset).rows["status"].tolist() == ["new"]
    assert dataset.refloc("b.jpg")["annotations"][0]["metadata"] == {"n": 2}


def test_rows_that_the_server_refuses_are_told_and_can_be_sent_again(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Street scenes")
    dataset.append(items())
    frame = boxes(reference_id=["a.jpg", "nowhere.jpg", "c.jpg"])
    with pytest.raises(npd.UploadError) as caught:
        npd.annotate(frame, dataset)
    assert "1 of 3 rows are refused:\n  row 'second' (position 1): Item with id nowhere.jpg doesn't exist" in str(
        caught.value
    )
    assert "The other rows are stored; .result tells of each." in str(caught.value)
    result = caught.value.result
    assert result.rows["status"].tolist() == ["new", "error", "new"]
    assert result.rows["error"].isna().tolist() == [True, False, True]
    pd.testing.assert_frame_equal(result.failed, frame.iloc[[1]])
    again = npd.annotate(result.failed.assign(reference_id="b.jpg"), dataset)
    assert again.rows["status"].tolist() == ["new"]
    assert npd.annotate(boxes(), dataset).annotations_ignored == 3


def test_rows_refused_here_and_there_stand_in_one_result(dataset: npd.Dataset) -> None:
    frame = boxes(reference_id=["nowhere.jpg", "b.jpg", "c.jpg"], x=[1, INF, 3])
    result = npd.annotate(frame, dataset, on_error="collect")
    assert result.rows["status"].tolist() == ["error", "error", "new"]
    assert "nowhere.jpg doesn't exist" in result.rows.loc["first", "error"]
    assert "is infinite" in result.rows.loc["second", "error"]
    assert result.failed.index.tolist() == ["first", "second"]


def test_what_failed_stays_as_it_was_sent(dataset: npd.Dataset) -> None:
    frame = boxes(label=["car", None, "bus"])
    result = npd.annotate(frame, dataset, on_error="collect")
    frame["label"] = "changed"
    assert result.failed["label"].isna().tolist() == [True]
