"""Whole columns written as JSON say what the Structs of the wire say, for any text, number and metadata."""

from __future__ import annotations

import json
import math
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleus_pandas.schema import check_annotations, check_items
from nucleus_pandas.wire import column_json
from nucleus_pandas.wire.bulk import BoxColumns
from nucleus_pandas.wire.column_json import (
    ARROW_STRING,
    BoxRows,
    box_columns,
    box_objects,
    numbers,
    quoted,
    with_commas,
)
from nucleus_pandas.wire.content_ids import fill_annotation_ids
from nucleus_pandas.wire.entities import Box, BoxGeometry, Item
from tests.support.draws import draws

many_examples = settings(deadline=None, max_examples=draws(50))
texts = st.text(min_size=1)
hostile = st.sampled_from(
    ['"', "\\", "\x00", "\x1f", "\x7f", "\u2028", "\N{GRINNING FACE}", "null", ',"x":', "{}", "é\n"]
)
names = texts | hostile
coordinates = st.floats(-1e150, 1e150, allow_subnormal=True) | st.sampled_from([0.0, -0.0, 1e-320, 1e22, 2.0**53, 0.1])
lengths = st.floats(0, 1e150) | st.integers(0, 2**40).map(float)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.text(), values.filter(lambda value: value is not None), max_size=3)


@st.composite
def rows(draw: st.DrawFn, **fields: st.SearchStrategy[Any]) -> list[dict[str, Any]]:
    """Boxes as dicts; what is None is absent. Few different ones, so that repeats abound."""
    box = st.fixed_dictionaries(
        {
            "key": names,
            "label": names,
            "x": coordinates,
            "y": coordinates,
            "width": lengths,
            "height": lengths,
            "metadata": st.none() | objects,
            **fields,
        }
    )
    distinct = draw(st.lists(box, min_size=1, max_size=5))
    return draw(st.lists(st.sampled_from(distinct), min_size=1, max_size=8))


confidences = st.none() | st.floats(0, 1)


def box_rows(given: list[dict[str, Any]], **changes: Any) -> BoxRows:
    confidence = [np.nan if row["confidence"] is None else row["confidence"] for row in given]
    metadata = [None if row["metadata"] is None else msgspec.json.encode(row["metadata"]) for row in given]
    fields: dict[str, Any] = {
        "keys": pa.array([row["key"] for row in given], ARROW_STRING),
        "by_item_id": None,
        "labels": pa.array([row["label"] for row in given], ARROW_STRING),
        "sides": np.array([[row[side] for row in given] for side in ("x", "y", "width", "height")]),
        "confidences": np.array(confidence),
        "metadata": pa.array(metadata, ARROW_STRING),
        "given_ids": pa.array([row["annotation_id"] for row in given], ARROW_STRING),
        "words": None,
        "occurrences": None,
    }
    return BoxRows(**{**fields, **changes})


def struct(row: dict[str, Any], *, by_item_id: bool = False, **changes: Any) -> Box:
    fields = {
        "label": row["label"],
        "geometry": BoxGeometry(*(row[side] for side in ("x", "y", "width", "height"))),
        "item_id" if by_item_id else "reference_id": row["key"],
        **{name: row.get(name) for name in ("annotation_id", "confidence", "metadata")},
    }
    return Box(**{**fields, **changes})


def objects_of(boxes: BoxRows) -> list[Box]:
    body = b"".join((b"[", with_commas(*box_objects(boxes)), b"]"))
    json.loads(body)  # by another reader
    return msgspec.json.decode(body, type=list[Box])


@many_examples
@given(rows(annotation_id=names, confidence=confidences), st.lists(st.booleans(), min_size=8, max_size=8))
def test_box_objects_say_what_the_structs_say(given: list[dict[str, Any]], by_item_id: list[bool]) -> None:
    some = by_item_id[: len(given)]
    found = objects_of(box_rows(given, by_item_id=np.array(some)))
    expected = [struct(row, by_item_id=by) for row, by in zip(given, some, strict=True)]
    assert found == expected


@many_examples
@given(rows(annotation_id=names, confidence=confidences))
def test_lines_say_the_same(given: list[dict[str, Any]]) -> None:
    lines = column_json.lines(*box_objects(box_rows(given))).splitlines()
    assert [msgspec.json.decode(line, type=Box) for line in lines] == list(map(struct, given))


@many_examples
@given(rows(annotation_id=names, confidence=st.none()))
def test_columns_that_are_absent_are_left_out(given: list[dict[str, Any]]) -> None:
    found = objects_of(box_rows(given, confidences=None, metadata=None))
    assert found == [struct(row, metadata=None) for row in given]


@many_examples
@given(rows(annotation_id=names, confidence=confidences), st.sampled_from([None, True]))
def test_box_columns_hold_the_same_values(given: list[dict[str, Any]], by_item_id: bool | None) -> None:
    by = None if by_item_id is None else np.ones(len(given), dtype=bool)
    body = b"".join(box_columns(box_rows(given, by_item_id=by)))
    found = msgspec.json.decode(body, type=BoxColumns)
    expected = {
        "keys": [row["key"] for row in given],
        **{name: [row[name] for row in given] for name in ("annotation_id", "label", "confidence", "metadata")},
        **{side: [row[side] for row in given] for side in ("x", "y", "width", "height")},
    }
    assert found == BoxColumns(by="reference_id" if by_item_id is None else "item_id", **expected)


@many_examples
@given(rows(annotation_id=names, confidence=confidences), st.data())
def test_a_part_of_the_rows_is_written_as_if_alone(given: list[dict[str, Any]], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(given) - 1))
    stop = data.draw(st.integers(start + 1, len(given)))
    whole = box_rows(given)
    assert objects_of(whole.part(start, stop)) == [struct(row) for row in given[start:stop]]
    expected = b"".join(box_columns(box_rows(given[start:stop])))
    assert b"".join(box_columns(whole.part(start, stop))) == expected


@pytest.mark.filterwarnings("ignore:No number of any box is above 1")
@pytest.mark.parametrize("layer", ["annotations", "predictions"])
@many_examples
@given(given=rows(annotation_id=st.none() | st.just("given"), confidence=confidences))
def test_ids_are_those_that_the_structs_get(layer: Any, given: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for number, row in enumerate(given):  # an id that was given stands once in an item
        if row["annotation_id"] is not None and row["key"] in seen:
            given[number] = {**row, "annotation_id": None}
        elif row["annotation_id"] is not None:
            seen.add(row["key"])
    frame = pd.DataFrame(given, dtype=object).rename(columns={"key": "reference_id"})
    checked = check_annotations(frame, layer)
    assert not checked.problems.bad.any()
    is_prediction = layer == "predictions"
    expected = [struct(row, **({} if is_prediction else {"confidence": None})) for row in given]
    fill_annotation_ids(expected, predictions=is_prediction)
    units = checked.units
    body = b"".join((b"[", units.objects(0, len(units)), b"]"))
    assert msgspec.json.decode(body, type=list[Box]) == expected
    columns = units.columns(0, len(units))
    assert columns is not None
    assert msgspec.json.decode(columns, type=BoxColumns).annotation_id == [box.annotation_id for box in expected]
    half = len(units) // 2
    parts = [units.columns(0, half), units.columns(half, len(units))]
    found = [msgspec.json.decode(part, type=BoxColumns).annotation_id for part in parts if part is not None]
    assert list(chain.from_iterable(found)) == [box.annotation_id for box in expected]


@many_examples
@given(st.lists(st.tuples(names, names, st.none() | st.integers(1, 2**31 - 1), st.none() | objects), min_size=1))
def test_item_objects_say_what_the_structs_say(given: list[tuple[str, str, int | None, dict[str, Any] | None]]) -> None:
    distinct = {reference: row for reference, *row in given}
    frame = pd.DataFrame(
        {
            "reference_id": pd.Series(list(distinct), dtype=object),
            "image_url": pd.Series(["https://example.org/" + url for url, _, _ in distinct.values()], dtype=object),
            "height": pd.Series([height for _, height, _ in distinct.values()], dtype=object),
            "metadata": pd.Series([metadata for *_, metadata in distinct.values()], dtype=object),
        }
    )
    checked = check_items(frame)
    assert not checked.problems.bad.any()
    expected = [
        Item(reference_id=name, image_url="https://example.org/" + url, height=height, metadata=metadata)
        for name, (url, height, metadata) in distinct.items()
    ]
    body = b"".join((b"[", checked.units.objects(0, len(checked.units)), b"]"))
    assert msgspec.json.decode(body, type=list[Item]) == expected
    images = checked.units.images(0, len(checked.units), update=True)
    found = msgspec.json.decode(images, type=list[Item])
    assert found == [msgspec.structs.replace(item, update=True) for item in expected]


@many_examples
@given(st.lists(st.dictionaries(st.sampled_from(["a", 'b"', "é", ""]), values, max_size=4), min_size=1, max_size=6))
def test_columns_of_metadata_make_the_objects_that_dicts_make(given: list[dict[str, Any]]) -> None:
    keys = sorted({key for row in given for key in row})
    columns = {f"metadata.{key}": pd.Series([row.get(key) for row in given], dtype=object) for key in keys}
    sides = dict.fromkeys(["x", "y", "width", "height"], 2)
    for form in (
        columns,
        {"metadata": pd.Series(given, dtype=object)},
        {"metadata": [json.dumps(row) for row in given]},
    ):
        frame = pd.DataFrame({"reference_id": range(len(given)), "label": "car", **sides, **form})
        checked = check_annotations(frame, "annotations")
        assert not checked.problems.bad.any()
        body = b"".join((b"[", checked.units.objects(0, len(given)), b"]"))
        found = [box.metadata or {} for box in msgspec.json.decode(body, type=list[Box])]
        expected = [{key: value for key, value in row.items() if value is not None} for row in given]
        assert msgspec.json.encode(found, order="sorted") == msgspec.json.encode(expected, order="sorted")


@many_examples
@given(st.lists(st.floats(allow_nan=True, allow_infinity=False)))
def test_numbers_come_back_to_the_last_bit(given: list[float]) -> None:
    written = numbers(np.array(given, dtype=np.float64)).to_pylist()
    for number, text in zip(given, written, strict=True):
        if math.isnan(number):
            assert text is None
        else:
            assert json.loads(text) == msgspec.json.decode(text, type=float) == number


@many_examples
@given(st.lists(st.none() | names))
def test_texts_are_quoted_as_json_does(given: list[str | None]) -> None:
    column = pa.array(["before", *given, "after"], ARROW_STRING).slice(1, len(given))
    found = quoted(column).to_pylist()
    assert [None if text is None else json.loads(text) for text in found] == given


def test_nothing_is_written_of_no_rows() -> None:
    nothing = pa.array([], ARROW_STRING)
    assert bytes(with_commas(nothing)) == b""
    assert column_json.lines(nothing) == b""
    assert quoted(nothing).to_pylist() == []
