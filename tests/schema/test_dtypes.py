"""Columns of any dtype and frames with any index say the same, and are left as they were."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import fractions
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import nucleus_pandas as npd
from tests.factories import SIDES, item_frame

NAMES = ["a.jpg", "b.jpg", "c.jpg"]
NUMBERS = ["1", "2", "3"]
UTC = dt.UTC
IS_PANDAS_3 = int(pd.__version__.split(".")[0]) >= 3


@pytest.fixture
def dataset(three_images: npd.Dataset) -> npd.Dataset:
    """A dataset of the images a.jpg, b.jpg, c.jpg, 1, 2 and 3."""
    three_images.append(item_frame(*NUMBERS))
    return three_images


@pytest.fixture
def run(local: npd.NucleusClient, dataset: npd.Dataset) -> npd.ModelRun:
    """A run without predictions."""
    return dataset.create_model_run(local.add_model("Detector", reference_id="det"))


def boxes(**columns: Any) -> pd.DataFrame:
    frame = {
        "reference_id": NAMES,
        "label": ["car", "bus", "car"],
        "x": [10, 20, 30],
        "y": 20.5,
        "width": 30,
        "height": 60,
        **columns,
    }
    return pd.DataFrame(frame)


def stored(dataset: npd.Dataset, names: list[str] = NAMES) -> list[dict[str, Any]]:
    """What stands in the dataset, without the ids that it gave."""
    return [
        {key: value for key, value in annotation.items() if key not in ("id", "dataset_item_id")}
        for name in names
        for annotation in dataset.refloc(name)["annotations"]
    ]


def snapshot(frame: pd.DataFrame) -> Any:
    """All that a caller could notice."""
    return copy.deepcopy(
        (
            frame.copy(deep=True),
            [frame.iloc[:, at].tolist().__repr__() for at in range(frame.shape[1])],
            frame.dtypes.to_list(),
            list(frame.columns),
            frame.columns.names,
            frame.index.to_list().__repr__(),
            frame.index.names,
            frame.attrs,
            frame.flags.allows_duplicate_labels,
            type(frame),
        )
    )


def assert_as_it_was(frame: pd.DataFrame, before: Any) -> None:
    now = snapshot(frame)
    pd.testing.assert_frame_equal(now[0], before[0], check_exact=True, check_freq=True, check_flags=True)
    assert now[1:] == before[1:]


def arrow(values: Any, kind: Any) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, kind)))


def objects(*values: Any) -> pd.Series:
    return pd.Series(values, dtype=object)


class Name(str):
    """Text with ideas of its own."""

    def __str__(self) -> str:
        return "not this"

    def __repr__(self) -> str:
        return "Name()"


class Shot(enum.StrEnum):
    A = "a.jpg"
    B = "b.jpg"
    C = "c.jpg"


class Old(str, enum.Enum):  # noqa: UP042  # as written before StrEnum, whose str() says its name
    A = "a.jpg"
    B = "b.jpg"
    C = "c.jpg"


class Count(enum.IntEnum):
    ONE = 1
    TWO = 2
    THREE = 3


TEXTS: dict[str, Any] = {
    "list": NAMES,
    "object": objects(*NAMES),
    "str": pd.Series(NAMES, dtype="str"),
    "string": pd.Series(NAMES, dtype="string"),
    "string[python]": pd.Series(NAMES, dtype="string[python]"),
    "string[pyarrow]": pd.Series(NAMES, dtype="string[pyarrow]"),
    "nan string": pd.Series(NAMES, dtype=pd.StringDtype("pyarrow", na_value=np.nan)),
    "NumPy text": np.array(NAMES),
    "NumPy scalars": objects(*map(np.str_, NAMES)),
    "subclass": objects(*map(Name, NAMES)),
    "enum": objects(*Shot),
    "old enum": objects(*Old),
    "mixed texts": objects("a.jpg", Name("b.jpg"), np.str_("c.jpg")),
    "category": pd.Categorical(NAMES),
    "ordered category": pd.Categorical(NAMES, categories=["z", *NAMES[::-1], "unused"], ordered=True),
    "category of strings": pd.Series(pd.Series(NAMES, dtype="string"), dtype="category"),
    "category of objects": pd.Categorical.from_codes([1, 2, 3], pd.Index([7, *NAMES], dtype=object)),
    "arrow": arrow(NAMES, pa.string()),
    "large arrow": arrow(NAMES, pa.large_string()),
    "arrow dictionary": pd.Series(pd.arrays.ArrowExtensionArray(pa.array(NAMES).dictionary_encode())),
    "arrow in chunks": pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([NAMES[:1], [], NAMES[1:]]))),
    "arrow slice": arrow(["zz", *NAMES], pa.string()).iloc[1:].reset_index(drop=True),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_of_any_dtype_is_text(dataset: npd.Dataset, kind: str) -> None:
    expected = stored_after(dataset, boxes())
    frame = boxes(reference_id=TEXTS[kind])
    before = snapshot(frame)
    assert npd.annotate(frame, dataset).annotations_ignored == 3
    assert_as_it_was(frame, before)
    frame = boxes(label=TEXTS[kind], **{"metadata.name": TEXTS[kind]})
    assert npd.annotate(frame, dataset).annotations_processed == 3
    added = [a for a in stored(dataset) if a["label"] in NAMES]
    assert [a["label"] for a in added] == NAMES
    assert [a["metadata"] for a in added] == [{"name": name} for name in NAMES]
    assert [a for a in stored(dataset) if a["label"] not in NAMES] == expected


@pytest.mark.skipif(not hasattr(pa, "string_view"), reason="this pyarrow has no views")
def test_arrow_views_are_text(dataset: npd.Dataset) -> None:
    views = arrow(NAMES, pa.string_view())
    frame = boxes(reference_id=views, label=views, metadata=[{}] * 3, **{"metadata.k": views})
    assert npd.annotate(frame, dataset).annotations_processed == 3
    assert [(a["label"], a["metadata"]) for a in stored(dataset)] == [(name, {"k": name}) for name in NAMES]


def stored_after(dataset: npd.Dataset, frame: pd.DataFrame, **arguments: Any) -> list[dict[str, Any]]:
    npd.annotate(frame, dataset, **arguments)
    return stored(dataset)


INTEGERS: dict[str, Any] = {
    **{kind: pd.Series([1, 2, 3], dtype=kind) for kind in ("int8", "int16", "int32", "int64")},
    **{kind: pd.Series([1, 2, 3], dtype=kind) for kind in ("uint8", "uint16", "uint32", "uint64")},
    **{kind: pd.Series([1, 2, 3], dtype=kind) for kind in ("Int8", "Int64", "UInt8", "UInt64")},
    "arrow int8": arrow([1, 2, 3], pa.int8()),
    "arrow uint64": arrow([1, 2, 3], pa.uint64()),
    "arrow dictionary": pd.Series(pd.arrays.ArrowExtensionArray(pa.array([1, 2, 3]).dictionary_encode())),
    "category": pd.Categorical([1, 2, 3], categories=[9, 3, 2, 1]),
    "object": objects(1, 2, 3),
    "NumPy scalars": objects(np.int8(1), np.uint64(2), 3),
    "enum": objects(*Count),
    "big endian": np.array([1, 2, 3], dtype=">i4"),
    "sparse": pd.Series(pd.arrays.SparseArray([1, 2, 3])),
}


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_become_ids_labels_and_numbers(dataset: npd.Dataset, kind: str) -> None:
    column = INTEGERS[kind]
    frame = boxes(reference_id=column, label=column, x=column, **{"metadata.n": column})
    before = snapshot(frame)
    assert npd.annotate(frame, dataset).annotations_processed == 3
    assert_as_it_was(frame, before)
    found = stored(dataset, NUMBERS)
    assert [a["reference_id"] for a in found] == [a["label"] for a in found] == NUMBERS
    assert [a["geometry"]["x"] for a in found] == [1, 2, 3]
    assert [a["metadata"] for a in found] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert all(type(a["metadata"]["n"]) is int for a in found)
    assert dataset.append(pd.DataFrame({"reference_id": column, "image_url": "s3://p"})).ignored_items == 3


def test_integers_of_any_size_are_ids(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("big")
    numbers = objects(-7, 2**64 - 1, 10**30)
    dataset.append(pd.DataFrame({"reference_id": numbers, "image_url": "s3://p", "width": 640}))
    assert [dataset.iloc(row)["item"]["reference_id"] for row in range(3)] == [str(number) for number in numbers]


FLOATS: dict[str, Any] = {
    **{kind: pd.Series([1, 2, 3], dtype=kind) for kind in ("float16", "float32", "float64", "Float32", "Float64")},
    "longdouble": np.array([1, 2, 3], dtype=np.longdouble),
    "arrow double": arrow([1, 2, 3], pa.float64()),
    "arrow float": arrow([1, 2, 3], pa.float32()),
    "arrow decimal": arrow([1, 2, 3], pa.decimal128(20, 2)),
    "arrow dictionary": pd.Series(pd.arrays.ArrowExtensionArray(pa.array([1.0, 2.0, 3.0]).dictionary_encode())),
    "category": pd.Categorical([1.0, 2.0, 3.0]),
    "object": objects(1.0, 2.0, 3.0),
    "mixed": objects(1, np.float32(2), Decimal(3)),
    "decimals": objects(Decimal(1), Decimal("2.0"), Decimal("3E0")),
    "fractions": objects(fractions.Fraction(1), 2, fractions.Fraction(3)),
    "big endian": np.array([1, 2, 3], dtype=">f8"),
    "sparse": pd.Series(pd.arrays.SparseArray([1.0, 2.0, 3.0])),
}


@pytest.mark.parametrize("kind", FLOATS)
def test_floats_are_numbers_and_no_ids(dataset: npd.Dataset, kind: str) -> None:
    column = FLOATS[kind]
    frame = boxes(x=column, width=column)
    before = snapshot(frame)
    npd.annotate(frame, dataset)
    assert_as_it_was(frame, before)
    found = stored(dataset)
    assert [a["geometry"]["x"] for a in found] == [a["geometry"]["width"] for a in found] == [1, 2, 3]
    if kind != "fractions":
        for name in ("reference_id", "label"):
            problems = npd.check(boxes(**{name: column}))
            assert set(problems["column"]) == {name}
            assert len(problems) == (2 if kind == "mixed" else 3)
            assert problems["reason"].str.contains(r".astype\('Int64'\)").all()


@pytest.mark.parametrize("kind", ["float32", "float16", "Float32"])
def test_short_floats_are_widened_as_they_are(dataset: npd.Dataset, kind: str) -> None:
    npd.annotate(boxes(x=pd.Series([0.1] * 3, dtype=kind)), dataset)
    wide = boxes(x=float(np.float16(0.1) if kind == "float16" else np.float32(0.1)))
    assert npd.annotate(wide, dataset).annotations_ignored == 3


REFUSED: dict[str, Any] = {
    "bool": [True, False, True],
    "boolean": pd.Series([True, False, None], dtype="boolean"),
    "arrow bool": arrow([True, False, None], pa.bool_()),
    "category of bool": pd.Categorical([True, False, True]),
    "NumPy bools": objects(np.True_, np.False_, True),
    "datetime": pd.to_datetime(["2024-01-01"] * 3),
    "zoned": pd.to_datetime(["2024-01-01"] * 3, utc=True),
    "arrow time": arrow([dt.datetime(2024, 1, 1)] * 3, pa.timestamp("us", "UTC")),
    "duration": pd.to_timedelta([1, 2, 3], unit="s"),
    "period": pd.period_range("2024", periods=3, freq="M"),
    "interval": pd.interval_range(0, 3),
    "complex": [1j, 2j, 3j],
    "bytes": objects(b"a", b"b", b"c"),
    "arrow binary": arrow([b"a", b"b", b"c"], pa.binary()),
    "lists": objects(["a"], ["b"], ["c"]),
    "arrow lists": arrow([["a"], ["b"], ["c"]], pa.list_(pa.string())),
    "dicts": objects({}, {}, {}),
    "uuids": objects(*(uuid.UUID(int=n) for n in range(3))),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_id_is_no_number_either(kind: str) -> None:
    column = pd.Series(REFUSED[kind])
    there = int(column.notna().sum())
    for name in ("reference_id", "label", "x"):
        frame = boxes(**{name: column})
        before = snapshot(frame)
        found = npd.check(frame)
        assert_as_it_was(frame, before)
        assert set(found["column"]) == {name}
        assert not found["reason"].str.contains("missing").iloc[:1].any()
        assert len(found) in (there, 3)


MISSING: dict[str, Any] = {
    "None": objects(None, None, None),
    "NaN": [np.nan] * 3,
    "NA": objects(pd.NA, pd.NA, pd.NA),
    "NaT": pd.to_datetime([None] * 3),
    "mixed": objects(None, np.nan, pd.NA),
    "all kinds": objects(pd.NaT, Decimal("NaN"), pd.NA),
    "NumPy": objects(np.float32("nan"), np.datetime64("NaT"), np.timedelta64("NaT")),
    "zoned": pd.to_datetime([None] * 3, utc=True),
    "str": pd.Series([None] * 3, dtype="str"),
    "string": pd.Series([None] * 3, dtype="string"),
    "Int64": pd.Series([None] * 3, dtype="Int64"),
    "Float64": pd.Series([None] * 3, dtype="Float64"),
    "boolean": pd.Series([None] * 3, dtype="boolean"),
    "category": pd.Categorical([None] * 3, categories=["a"]),
    "empty category": pd.Categorical([None] * 3),
    "float category": pd.Categorical([None] * 3, categories=[1.5]),
    "arrow null": arrow([None] * 3, pa.null()),
    "arrow text": arrow([None] * 3, pa.string()),
    "arrow int": arrow([None] * 3, pa.int64()),
    "arrow double": arrow([None] * 3, pa.float64()),
    "arrow list": arrow([None] * 3, pa.list_(pa.float64())),
    "arrow struct": arrow([None] * 3, pa.struct([("a", pa.int64())])),
    "arrow time": arrow([None] * 3, pa.timestamp("ns", "UTC")),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_means_absent_in_every_dtype(run: npd.ModelRun, dataset: npd.Dataset, kind: str) -> None:
    column = MISSING[kind]
    optional = ["annotation_id", "confidence", "dataset_item_id", "type", "geometry", "metadata", "metadata.a"]
    frame = boxes(**dict.fromkeys(optional, column))
    before = snapshot(frame)
    assert npd.predict(frame, run).predictions_processed == 3
    assert npd.predict(boxes(), run).predictions_ignored == 3
    assert_as_it_was(frame, before)
    (found,) = run.refloc("a.jpg")["annotations"]
    assert found["type"] == "box"
    assert found.get("confidence") is None
    assert found["metadata"] == {}
    sizes = {"width": column, "height": column, "metadata": column}
    images = pd.DataFrame({"reference_id": ["x", "y", "z"], "image_url": "s3://p", **sizes})
    assert dataset.append(images).new_items == 3
    assert dataset.refloc("x")["item"].get("width") is None
    assert len(npd.check(boxes(reference_id=column, label=column))) == 6
    empty = boxes(**dict.fromkeys(SIDES, column))
    assert npd.annotate(empty, dataset).rows["status"].tolist() == ["skipped"] * 3


@pytest.mark.parametrize(
    "column",
    [
        objects("car", None, "bus"),
        objects("car", np.nan, "bus"),
        objects("car", pd.NA, "bus"),
        objects("car", pd.NaT, "bus"),
        pd.Series(["car", None, "bus"], dtype="str"),
        pd.Series(["car", None, "bus"], dtype="string[python]"),
        pd.Categorical(["car", None, "bus"], categories=["van", "bus", "car"]),
        arrow(["car", None, "bus"], pa.large_string()),
        pd.Series(pd.arrays.ArrowExtensionArray(pa.array(["car", None, "bus"]).dictionary_encode())),
    ],
)
def test_one_missing_label_is_one_problem(dataset: npd.Dataset, column: Any) -> None:
    frame = boxes(label=column, **{"metadata.label": column})
    assert npd.check(frame)["row"].tolist() == [1]
    npd.annotate(frame, dataset, on_error="collect")
    assert [(a["label"], a["metadata"]) for a in stored(dataset)] == [
        ("car", {"label": "car"}),
        ("bus", {"label": "bus"}),
    ]


@pytest.mark.parametrize(
    "column",
    [
        [0.5, np.nan, 1],
        objects(0.5, None, 1),
        objects(np.float32(0.5), pd.NA, Decimal(1)),
        objects(0.5, pd.NaT, 1),
        pd.Series([0.5, None, 1], dtype="Float32"),
        arrow([0.5, None, 1], pa.float64()),
        arrow([Decimal("0.5"), None, Decimal(1)], pa.decimal128(5, 2)),
        pd.Categorical([0.5, None, 1.0]),
        pd.Series(pd.arrays.SparseArray([0.5, np.nan, 1])),
    ],
)
def test_one_missing_confidence_is_absent(run: npd.ModelRun, column: Any) -> None:
    npd.predict(boxes(confidence=column), run)
    found = [run.refloc(name)["annotations"][0].get("confidence") for name in NAMES]
    assert found == [0.5, None, 1]


INSTANT = dt.datetime(2024, 5, 6, 7, 8, 9)
SOME_ID = uuid.UUID(int=7)
NANOSECOND = "2024-05-06T07:08:09.123456789"

METADATA: dict[str, tuple[Any, list[Any]]] = {
    "ints and floats": (objects(1, 1.0, 0.1), [1, 1.0, 0.1]),
    "floats": ([1.0, -0.0, 1e300], [1.0, -0.0, 1e300]),
    "short floats": (np.array([0.5, 0.1, 2], "float32"), [0.5, float(np.float32(0.1)), 2.0]),
    "large ints": (np.array([2**63, 2**64 - 1, 0], "uint64"), [2**63, 2**64 - 1, 0]),
    "bool": ([True, False, True], [True, False, True]),
    "boolean": (pd.Series([True, None, False], dtype="boolean"), [True, None, False]),
    "bool objects": (objects(True, None, np.False_), [True, None, False]),
    "arrow bool": (arrow([True, None, False], pa.bool_()), [True, None, False]),
    "text": (['quo"te', "back\\slash", "new\nline"], ['quo"te', "back\\slash", "new\nline"]),
    "unicode": (["é", "\N{GRINNING FACE}", "\x00\x1f\x7f"], ["é", "\N{GRINNING FACE}", "\x00\x1f\x7f"]),
    "empty text": (["", "null", "1"], ["", "null", "1"]),
    "category": (pd.Categorical(["a", None, "b"], categories=["b", "a", "z"]), ["a", None, "b"]),
    "int category": (pd.Categorical([1, None, 2]), [1, None, 2]),
    "float category": (pd.Categorical([1.0, None, 2.5]), [1.0, None, 2.5]),
    "time category": (
        pd.Categorical(pd.to_datetime(["2024-01-01", None, "2024-01-02"])),
        ["2024-01-01T00:00:00", None, "2024-01-02T00:00:00"],
    ),
    "unused infinity": (pd.Categorical([1.0, None, 2.5], categories=[1.0, 2.5, np.inf]), [1.0, None, 2.5]),
    "Int64": (pd.Series([1, None, 3], dtype="Int64"), [1, None, 3]),
    "Float64": (pd.Series([1, None, 3], dtype="Float64"), [1.0, None, 3.0]),
    "arrow int": (arrow([1, None, 3], pa.int32()), [1, None, 3]),
    "arrow double": (arrow([1, None, 3], pa.float64()), [1.0, None, 3.0]),
    "arrow half": (arrow(np.array([1, 2, 3], "float16"), pa.float16()), [1.0, 2.0, 3.0]),
    "arrow decimal": (arrow([Decimal("1.5"), None, Decimal(3)], pa.decimal128(9, 2)), [1.5, None, 3.0]),
    "arrow text": (arrow(["a", None, 'b"'], pa.string()), ["a", None, 'b"']),
    "arrow dictionary": (
        pd.array(["a", None, "b"], dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))),
        ["a", None, "b"],
    ),
    "arrow list": (arrow([[1.0, None], None, []], pa.list_(pa.float64())), [[1.0, None], None, []]),
    "arrow fixed list": (arrow([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)), [[1, 2], None, [3, 4]]),
    "arrow struct": (
        arrow([{"a": 1, "b": None}, None, {"a": None, "b": "x"}], pa.struct([("a", pa.int8()), ("b", pa.string())])),
        [{"a": 1, "b": None}, None, {"a": None, "b": "x"}],
    ),
    "datetime": (pd.to_datetime([INSTANT, None, INSTANT]), [INSTANT.isoformat(), None, INSTANT.isoformat()]),
    "nanoseconds": (pd.to_datetime([NANOSECOND, None, NANOSECOND]), [NANOSECOND, None, NANOSECOND]),
    "zoned": (
        pd.to_datetime([INSTANT, None, INSTANT]).tz_localize("Europe/Berlin"),
        ["2024-05-06T07:08:09+02:00", None, "2024-05-06T07:08:09+02:00"],
    ),
    "arrow time": (
        arrow([INSTANT, None, INSTANT], pa.timestamp("us")),
        [INSTANT.isoformat(), None, INSTANT.isoformat()],
    ),
    "arrow zoned": (
        arrow([INSTANT.replace(tzinfo=UTC), None, None], pa.timestamp("ns", "UTC")),
        ["2024-05-06T07:08:09+00:00", None, None],
    ),
    "arrow date": (arrow([INSTANT.date(), None, None], pa.date32()), ["2024-05-06", None, None]),
    "dates": (objects(INSTANT.date(), INSTANT.time(), INSTANT), ["2024-05-06", "07:08:09", INSTANT.isoformat()]),
    "NumPy times": (
        objects(np.datetime64("2024-05-06"), np.datetime64(NANOSECOND), pd.NaT),
        ["2024-05-06", NANOSECOND, None],
    ),
    "ids and decimals": (objects(SOME_ID, Decimal("1.5"), Decimal(2)), [str(SOME_ID), 1.5, 2.0]),
    "texts of all kinds": (objects(Name("a"), Old.B, np.str_("c")), ["a", "b.jpg", "c"]),
    "numbers of all kinds": (objects(np.int8(1), np.float32(0.5), np.longdouble(2)), [1, 0.5, 2.0]),
    "containers": (objects([1, (2,)], (), {"a": {}}), [[1, [2]], [], {"a": {}}]),
    "arrays": (objects(np.arange(2), np.zeros((1, 2)), np.array(7)), [[0, 1], [[0.0, 0.0]], 7]),
    "nested nulls": (
        objects([None, np.nan, pd.NA, pd.NaT], {"a": np.nan, "b": {"c": pd.NaT}}, {"d": [np.float32("nan")]}),
        [[None] * 4, {"a": None, "b": {"c": None}}, {"d": [None]}],
    ),
    "sparse": (pd.Series(pd.arrays.SparseArray([0, 0, 1])), [0, 0, 1]),
}


def spelled(value: Any) -> str:
    """Return 1 from 1.0 and True, and -0.0 from 0.0."""
    return repr(value)


@pytest.mark.parametrize("kind", METADATA)
def test_a_column_of_metadata_says_in_json_what_it_says(dataset: npd.Dataset, kind: str) -> None:
    column, expected = METADATA[kind]
    frame = boxes(**{"metadata.k": column, "k": column})
    before = snapshot(frame)
    npd.annotate(frame, dataset)
    assert_as_it_was(frame, before)
    found = [a["metadata"] for a in stored(dataset)]
    assert spelled(found) == spelled([{} if value is None else {"k": value} for value in expected])
    npd.annotate(frame, dataset, metadata=["k"], if_exists="update")
    assert spelled([a["metadata"] for a in stored(dataset)]) == spelled(found)


@pytest.mark.parametrize("kind", METADATA)
def test_a_dict_of_metadata_says_the_same(dataset: npd.Dataset, kind: str) -> None:
    column, expected = METADATA[kind]
    values = pd.Series(column).astype(object).tolist() if "arrow" not in kind else expected
    frame = boxes(metadata=[{"k": value} for value in values])
    before = snapshot(frame)
    npd.annotate(frame, dataset)
    assert_as_it_was(frame, before)
    found = [a["metadata"] for a in stored(dataset)]
    assert found == [{} if value is None else {"k": value} for value in expected]


# Frames


INDEXES: dict[str, pd.Index] = {
    "range": pd.RangeIndex(3),
    "stepped range": pd.RangeIndex(10, 4, -2),
    "named": pd.Index([7, 8, 9], name="row"),
    "text": pd.Index(["x", "y", "z"]),
    "duplicated": pd.Index(["x", "x", "x"], name="status"),
    "missing labels": pd.Index([None, np.nan, "z"], dtype=object),
    "times": pd.DatetimeIndex(["2024-01-01", "2024-01-02", "2024-01-03"], tz="UTC", name="at"),
    "intervals": pd.interval_range(0, 3),
    "categories": pd.CategoricalIndex(["p", "q", "p"]),
    "several levels": pd.MultiIndex.from_tuples([("a", 1), ("b", 1), ("a", 2)], names=["clip", None]),
    "duplicated levels": pd.MultiIndex.from_tuples([("a", 1)] * 3, names=["clip", "clip"]),
    "numbers as names": pd.MultiIndex.from_tuples([("a", 1), ("b", 1), ("a", 2)], names=[1, 0]),
    "floats": pd.Index([0.5, np.nan, np.inf]),
    "arrow": pd.Index(pd.array(["x", "y", "z"], dtype=pd.ArrowDtype(pa.string()))),
    "mixed": pd.Index([1, "1", (1,)], dtype=object),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_the_outcome_stands_on_the_index_of_the_caller(dataset: npd.Dataset, kind: str) -> None:
    frame = boxes(reference_id=["a.jpg", "nowhere", "c.jpg"], label=["car", "car", None]).set_axis(INDEXES[kind])
    before = snapshot(frame)
    result = npd.annotate(frame, dataset, on_error="collect")
    pd.testing.assert_index_equal(result.rows.index, INDEXES[kind], exact="equiv")
    assert result.rows.index.names == INDEXES[kind].names
    assert result.rows["status"].tolist() == ["new", "error", "error"]
    pd.testing.assert_frame_equal(result.failed, frame[[False, True, True]])
    problems = npd.check(frame)
    pd.testing.assert_index_equal(problems.index, INDEXES[kind][[2]], exact="equiv")
    with pytest.raises(npd.InvalidInputError, match=r"1 of 3 rows are invalid:\n  row .*: column 'label': is missing"):
        npd.annotate(frame, dataset)
    joint = frame.assign(image_url="s3://p", confidence=2.0)
    assert npd.check(joint)["row"].tolist() == [0, 1, 2, 2]
    assert_as_it_was(frame, before)


def test_levels_of_the_index_are_columns(dataset: npd.Dataset) -> None:
    expected = stored_after(dataset, boxes(**{"metadata.hour": [1, 2, 3]}))
    flat = boxes(hour=[1, 2, 3], sort=[3, 1, 2])
    for index in (["reference_id"], ["reference_id", "label"], ["sort", "label", "x", "hour"]):
        frame = flat.set_index(index)
        before = snapshot(frame)
        result = npd.annotate(frame, dataset, metadata=["hour"], if_exists="update")
        assert result.rows["status"].tolist() == ["updated"] * 3
        pd.testing.assert_index_equal(result.rows.index, frame.index)
        assert_as_it_was(frame, before)
        assert stored(dataset) == expected


def test_a_level_may_be_mapped_and_have_a_number_as_name(dataset: npd.Dataset) -> None:
    expected = stored_after(dataset, boxes())
    frame = boxes().rename(columns={"reference_id": 1, "label": 0}).set_index([1, 0])
    result = npd.annotate(frame, dataset, columns={"reference_id": 1, "label": 0})
    assert result.annotations_ignored == 3
    assert stored(dataset) == expected


@pytest.mark.parametrize(
    ("level", "names"),
    [
        (pd.CategoricalIndex(NAMES), NAMES),
        (pd.Index(pd.array(NAMES, dtype="string[pyarrow]")), NAMES),
        (pd.Index([1, 2, 3]), NUMBERS),
        (pd.RangeIndex(1, 4), NUMBERS),
    ],
)
def test_a_level_may_be_of_any_dtype(dataset: npd.Dataset, level: Any, names: list[str]) -> None:
    frame = boxes().drop(columns="reference_id").set_axis(level.rename("reference_id"))
    assert npd.annotate(frame, dataset).annotations_processed == 3
    assert [a["reference_id"] for a in stored(dataset, names)] == names


def test_a_column_goes_before_a_level_of_its_name(dataset: npd.Dataset) -> None:
    frame = boxes().set_axis(pd.Index(["nowhere"] * 3, name="reference_id"))
    assert npd.annotate(frame, dataset).annotations_processed == 3


@pytest.mark.parametrize("own", [0, -1.5, ("a", "b"), None, pd.Timestamp("2024-01-01"), True, b"x"])
def test_columns_of_any_name_are_mapped(dataset: npd.Dataset, own: Any) -> None:
    frame = boxes()
    frame.columns = pd.Index([own, "label", 1, 2, 3, 4], dtype=object)
    if own is True:  # which is 1
        frame.columns = pd.Index([own, "label", 5, 2, 3, 4], dtype=object)
    names = {"reference_id": own, "x": frame.columns[2], "y": 2, "width": 3, "height": 4}
    before = snapshot(frame)
    assert npd.annotate(frame, dataset, columns=names).annotations_processed == 3
    assert npd.annotate(
        frame, dataset, columns={"reference_id": own}, bbox=[frame.columns[2], 2, 3, 4], bbox_format="xywh"
    )
    assert_as_it_was(frame, before)


@pytest.mark.parametrize(
    "cut",
    [slice(1, None), slice(None, None, -1), slice(None, None, 2), slice(0, 1), slice(0, 0)],
    ids=["tail", "reversed", "stepped", "one row", "no row"],
)
@pytest.mark.parametrize("backend", ["numpy", "numpy_nullable", "pyarrow"])
def test_parts_of_frames_are_sent_as_they_stand(dataset: npd.Dataset, cut: slice, backend: Any) -> None:
    whole = boxes(metadata=[{"n": 1}, {"n": 2}, None], **{"metadata.k": ["p", None, "q"], "bbox": [[1, 2, 3, 4]] * 3})
    if backend != "numpy":
        whole = whole.convert_dtypes(dtype_backend=backend)
    part = whole.iloc[cut]
    before = snapshot(part)
    result = npd.annotate(part, dataset)
    assert result.rows["status"].tolist() == ["new"] * len(part)
    pd.testing.assert_index_equal(result.rows.index, part.index)
    assert len(result.failed) == 0
    assert npd.annotate(part, dataset, bbox="bbox", bbox_format="xywh").annotations_processed == len(part)
    assert_as_it_was(part, before)
    found = {a["reference_id"]: a["metadata"] for a in stored(dataset)}
    every = {"a.jpg": {"n": 1, "k": "p"}, "b.jpg": {"n": 2}, "c.jpg": {"k": "q"}}
    assert found == {name: every[name] for name in part["reference_id"]}


def test_frames_without_rows_say_what_they_lack(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    nothing = boxes(image_url="s3://p", confidence=0.5).iloc[:0]
    for result in (npd.append(nothing, dataset), npd.annotate(nothing, dataset), npd.predict(nothing, run)):
        assert result.rows.empty
        assert result.rows.columns.tolist() == ["status", "error"]
        assert result.failed.empty
    assert npd.check(nothing).empty
    untyped = pd.DataFrame(columns=["reference_id", "label", *SIDES, "image_url", "metadata", "geometry", "type"])
    for result in (npd.append(untyped, dataset), npd.annotate(untyped, dataset), npd.predict(untyped, run)):
        assert result.rows.empty
    with pytest.raises(npd.InvalidInputError, match="Column 'label' not found"):
        npd.annotate(nothing.drop(columns="label"), dataset)


class Survey(pd.DataFrame):
    """A subclass, as GeoPandas and others have."""

    _metadata: ClassVar[list[str]] = ["owner"]

    @property
    def _constructor(self) -> Any:
        return Survey


def test_a_subclass_comes_back_as_such(dataset: npd.Dataset) -> None:
    frame = Survey(boxes(label=["car", None, "bus"]))
    frame.owner = "city"
    frame.attrs = {"camera": {"id": [1, 2]}}
    before = snapshot(frame)
    result = npd.annotate(frame, dataset, on_error="collect")
    assert_as_it_was(frame, before)
    assert type(result.failed) is Survey
    assert result.failed.owner == "city"
    assert result.failed.attrs == {"camera": {"id": [1, 2]}}
    assert type(result.rows) is pd.DataFrame


def test_flags_are_respected(dataset: npd.Dataset) -> None:
    frame = boxes(label=["car", None, "bus"]).set_flags(allows_duplicate_labels=False)
    result = npd.annotate(frame, dataset, on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error", "new"]
    assert result.failed.flags.allows_duplicate_labels is False
    twice = boxes(label=[None, "", "bus"], x=np.inf).set_flags(allows_duplicate_labels=False)
    assert npd.check(twice).index.tolist() == [0, 0, 1, 1, 2]


def test_read_only_arrays_are_read(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    values = np.array([[10.0, 20, 30, 60]] * 3)
    values.flags.writeable = False
    names = np.array(NAMES, dtype=object)
    names.flags.writeable = False
    confidence = np.array([0.1, 0.2, 0.3])
    confidence.flags.writeable = False
    frame = pd.DataFrame(values, columns=SIDES, copy=False)
    frame = frame.assign(reference_id=names, label="car", confidence=confidence, box=list(values))
    before = snapshot(frame)
    npd.predict(frame, run)
    npd.annotate(frame, dataset, bbox="box", bbox_format="cxcywh")
    npd.annotate(frame, dataset, bbox=SIDES, bbox_format="xyxy")
    npd.append(frame.assign(image_url="s3://p", image_width=pd.Series(values[:, 0])), dataset)
    assert_as_it_was(frame, before)
    assert values.tolist() == [[10, 20, 30, 60]] * 3


def test_nested_values_of_the_caller_stay_as_they_are(dataset: npd.Dataset) -> None:
    inner = {"list": [1, np.nan, {"t": pd.Timestamp("2024-01-01")}], "none": None}
    geometry = {"vertices": [{"x": np.float32(1), "y": 2}] * 3}
    frame = boxes(metadata=[inner, {}, None], type=["polygon", None, None], geometry=[geometry, None, None])
    frame.attrs = {"note": [1]}
    before = snapshot(frame)
    npd.annotate(frame, dataset)
    assert_as_it_was(frame, before)
    assert frame["metadata"].iloc[0] is inner
    assert type(geometry["vertices"][0]["x"]) is np.float32


def options() -> Iterator[tuple[str, Any]]:
    yield "mode.string_storage", "python"
    yield "mode.string_storage", "pyarrow"
    if not IS_PANDAS_3:  # where these are settled, and setting them warns
        yield "future.infer_string", True
        yield "mode.chained_assignment", "raise"
        yield "mode.copy_on_write", True
        yield "mode.copy_on_write", "warn"
    yield "compute.use_numexpr", False
    yield "display.max_rows", 1


@pytest.mark.parametrize(("option", "value"), list(options()))
def test_options_of_pandas_change_nothing(dataset: npd.Dataset, option: str, value: Any) -> None:
    expected = stored_after(dataset, boxes(metadata=[{"k": "v"}, None, {}]))
    with pd.option_context(option, value):
        frame = boxes(**{"metadata.k": ["v", None, None]})
        before = snapshot(frame)
        result = npd.annotate(frame, dataset, if_exists="update")
        assert result.rows["status"].tolist() == ["updated"] * 3
        assert result.rows.dtypes.tolist() == npd.check(frame)[["column", "reason"]].dtypes.tolist()
        wrong = npd.annotate(frame.assign(label=["car", None, "bus"]), dataset, on_error="collect")
        assert wrong.failed["reference_id"].tolist() == ["b.jpg"]
        assert npd.append(frame.assign(image_url="s3://p", width=640), dataset).ignored_items == 3
        assert_as_it_was(frame, before)
    assert stored(dataset)[0] == expected[0]
