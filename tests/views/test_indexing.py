"""The law: remote indexing equals local indexing, in value, dtype, order and exception type.

pandas itself is the oracle, on the frame that ``to_frame()`` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal

import nucleus_pandas as npd
from tests.support.contract_only import contract_only
from tests.support.draws import draws

Key = Callable[[], Any]  # makes a fresh key: iterators are used up

HOSTILE = [
    "a.jpg",
    "cam/0001.jpg",
    "with space",
    "..",
    "?q=1#f",
    "100%",
    "ünï/ço∂é",
    "🚗",
    "0",
    "-1",
    "True",
    "nan",
    "None",
    "di_0",
    "'quoted\"",
    "new\nline",
    "x" * 300,
]
METADATA: list[dict[str, Any]] = [{}, {"rain": True}, {"n": 1, "f": 1.0, "list": [1, None], "deep": {"a": [{}]}}]


class KnownDataset:
    """A dataset with a run, and what all of it is, once and for all."""

    def __init__(self, dataset: npd.Dataset, run: npd.ModelRun) -> None:
        self.dataset, self.run = dataset, run
        self.items = dataset.items.to_frame()
        self.annotations = dataset.annotations.to_frame()
        self.predictions = run.predictions.to_frame()

    def __repr__(self) -> str:
        return f"World({len(self.items)} items)"


def shapes(reference_id: str, number: int) -> list[dict[str, Any]]:
    box = {"type": "box", "label": f"car {number % 3}", "geometry": {"x": number, "y": 0.5, "width": 2, "height": 3}}
    line = {"type": "line", "label": "lane", "geometry": {"vertices": [{"x": 0, "y": number}]}}
    made = [box, {**line, "metadata": METADATA[2]}, {**box, "annotation_id": "second", "metadata": METADATA[1]}]
    return [{"reference_id": reference_id, **shape} for shape in made[: number % 4]]


def filled(client: npd.NucleusClient, names: list[str]) -> KnownDataset:
    dataset = client.create_dataset("Law")
    items = [
        {
            "reference_id": name,
            "image_url": f"https://example.org/{number}",
            "metadata": METADATA[number % 3],
            **({"width": 640 + number, "height": 480} if number % 2 else {}),
        }
        for number, name in enumerate(names)
    ]
    run = dataset.create_model_run(client.add_model("M", reference_id="m"))
    if items:
        dataset.append(items)
        rows = [row for number, name in enumerate(names) for row in shapes(name, number)]
        dataset.annotate(rows)
        run.predict([{**row, "confidence": 0.25} for row in rows[::2]])
    return KnownDataset(dataset, run)


@pytest.fixture(scope="module", params=["lookup", "contract"])
def known_datasets(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[KnownDataset]]:
    """An empty dataset, one of a single item, one of hostile ids, one that is longer."""
    folder: Path = tmp_path_factory.mktemp("law") / "store"
    with npd.NucleusClient.local(folder) as client:
        if request.param == "contract":
            contract_only(client, page=7)
        yield [filled(client, names) for names in ([], ["one"], HOSTILE, [f"{n:03}.jpg" for n in range(41)])]


many_examples = settings(
    max_examples=draws(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


INTERNAL = (AssertionError, AttributeError, SystemError, pa.ArrowInvalid, Warning)
"""What pandas raises where it did not mean to answer."""


def outcome(index: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return index(), None
    except Exception as error:
        return None, error


def compare(key: Key, remote: Callable[[Any], Any], local: Callable[[Any], Any]) -> None:
    shown, wrong = outcome(lambda: repr(key()))
    if wrong is not None:
        return  # there is no such key
    note(f"key: {shown}")
    expected, refusal = outcome(lambda: local(key()))
    if isinstance(refusal, INTERNAL):
        return
    got, error = outcome(lambda: remote(key()))
    if refusal is not None:
        assert isinstance(error, type(refusal)), (refusal, error, got)
        return
    assert error is None, (expected, error)
    same(got, expected)


def same(got: Any, expected: Any) -> None:
    assert type(got) is type(expected)
    if isinstance(expected, pd.DataFrame):
        assert_frame_equal(got, expected)
        assert_index_equal(got.index, expected.index, exact=True)
        assert_index_equal(got.columns, expected.columns, exact=True)
    elif isinstance(expected, pd.Series):
        assert_series_equal(got, expected)
        assert_index_equal(got.index, expected.index, exact=True)
    else:
        assert (expected is pd.NA or expected != expected) or got == expected


def many(values: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[Key]:
    """Everything that pandas takes for many labels or positions."""
    makers: list[Callable[[list[Any]], Any]] = [
        list,
        np.array,
        lambda v: np.array(v, dtype=object),
        pd.Index,
        pd.Series,
        lambda v: pd.Series(v, index=[f"s{n}" for n in range(len(v))], dtype=object),
        lambda v: pd.Index(v, name="named"),
        iter,
        lambda v: dict.fromkeys(v).keys(),
        lambda v: dict.fromkeys(v),
        set,
        frozenset,
        lambda v: [v],
        lambda v: pd.Categorical(v),
        lambda v: pd.array(v),
        lambda v: np.array([v]),
        lambda v: (v,),
        lambda v: tuple(v[:2]),
    ]
    return st.tuples(values, st.sampled_from(makers)).map(lambda drawn: lambda: drawn[1](list(drawn[0])))


def masks(index: pd.Index) -> st.SearchStrategy[Key]:
    size = len(index)
    flags = st.one_of(st.lists(st.booleans(), min_size=size, max_size=size), st.lists(st.booleans(), max_size=size + 2))
    makers: list[Callable[[list[bool]], Any]] = [
        list,
        np.array,
        lambda v: np.array(v, dtype=object),
        lambda v: pd.array(v, dtype="boolean"),
        lambda v: pd.array([None, *v[1:]], dtype="boolean"),
        lambda v: [None, *v[1:]],
        lambda v: pd.Series(v, dtype=bool),
        lambda v: pd.Series(v, index=index[: len(v)] if len(v) <= size else None, dtype=bool),
        lambda v: pd.Series(v[:size] + [True] * (size - len(v)), index=index, dtype=bool).iloc[::-1],
        lambda v: pd.Series(v[:size] + [True] * (size - len(v)), index=index, dtype="boolean"),
        lambda v: pd.Index(v, dtype=bool),
        lambda v: np.array([v]),
    ]
    return st.tuples(flags, st.sampled_from(makers)).map(lambda drawn: lambda: drawn[1](list(drawn[0])))


def constants(*values: Any) -> st.SearchStrategy[Key]:
    return st.sampled_from(values).map(lambda value: lambda: value)


def slices(size: int, labels: st.SearchStrategy[Any]) -> st.SearchStrategy[Key]:
    bound = st.one_of(st.none(), st.integers(-size - 2, size + 2), labels)
    step = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([np.int64(2), 1.0, "x"]))
    return st.tuples(bound, bound, step).map(lambda parts: lambda: slice(*parts))


ODD = constants(None, ..., True, False, 1.5, float("nan"), pd.NA, "a", b"a", (), object, "", "\ud800", pd.NaT, 2**40)


def positions(index: pd.Index) -> st.SearchStrategy[Key]:
    size = len(index)
    inside = st.integers(-size, size - 1) if size else st.integers(0, 0)
    one = st.one_of(inside, st.integers(-size - 2, size + 1))
    return st.one_of(
        one.map(lambda value: lambda: value),
        one.map(lambda value: lambda: np.int64(value)),
        one.map(lambda value: lambda: np.array(value)),
        many(st.lists(inside, max_size=6)),
        many(st.lists(one, max_size=6)),
        many(st.lists(inside.map(float), max_size=3)),
        slices(size, st.sampled_from(["a", 1.0])),
        st.integers(0, size).map(lambda stop: lambda: range(stop)),
        masks(index),
        ODD,
    )


def labels(index: pd.Index, others: pd.Index) -> st.SearchStrategy[Key]:
    known = st.sampled_from(index.tolist()) if len(index) else st.just("none")
    strange = st.one_of(
        known,
        st.sampled_from([*others.tolist(), "missing", "", "0", "\ud800"]),
        st.sampled_from([0, 1.5, None, float("nan"), b"a", ("a", "b"), True, pd.Timestamp(0)]),
    )
    return st.one_of(
        known.map(lambda value: lambda: value),
        known.map(lambda value: lambda: np.str_(value)),
        strange.map(lambda value: lambda: value),
        many(st.lists(known, max_size=6)),
        many(st.lists(known, max_size=6)),
        many(st.lists(strange, max_size=4)),
        st.tuples(st.sampled_from([None, 1, 2, -1, -2, 3, 0, 1.0, "x"])).map(
            lambda step: lambda: slice(None, None, step[0])
        ),
        masks(index),
        ODD,
    )


def callables(frame: pd.DataFrame) -> st.SearchStrategy[Key]:
    size = len(frame)
    some = frame.index[::2].tolist()
    return constants(
        lambda f: f.index[::2],
        lambda f: [True] * len(f),
        lambda f: f["image_width"].notna(),
        lambda f: slice(None, None, -1),
        lambda f: [*range(0, size, 2)],
        lambda f: some,
        lambda f: f.columns[:2],
        lambda f: len(f) - 1,
    )


def key_of(draw: st.DrawFn, rows: st.SearchStrategy[Key], columns: st.SearchStrategy[Key], whole: pd.DataFrame) -> Key:
    kind = draw(st.sampled_from(["rows", "rows", "both", "both", "odd", "call"]))
    row = draw(rows)
    if kind == "rows":
        return row
    column = draw(columns)
    if (
        kind == "both" and outcome(lambda: np.ndim(row()))[0] != 2
    ):  # with no columns, pandas 2 takes rows of two dimensions
        return lambda: (row(), column())
    if kind == "call":
        call = draw(callables(whole))
        return draw(st.sampled_from([call, lambda: (call(), column()), lambda: (row(), call())]))
    shapes_of_tuples: list[Key] = [
        lambda: (row(),),
        lambda: (..., column()),
        lambda: (row(), ...),
        lambda: (..., row(), column()),
        lambda: (row(), column(), 0),
        lambda: (..., ...),
        lambda: (..., row(), ..., column()),
    ]
    return draw(st.sampled_from(shapes_of_tuples))


@given(data=st.data())
@many_examples
def test_iloc_of_items(known_datasets: list[KnownDataset], data: st.DataObject) -> None:
    known = data.draw(st.sampled_from(known_datasets))
    whole = known.items
    key = key_of(data.draw, positions(whole.index), positions(whole.columns), whole)
    compare(key, lambda k: known.dataset.iloc[k], lambda k: whole.iloc[k])


@pytest.mark.parametrize("by", ["loc", "refloc"])
@given(data=st.data())
@many_examples
def test_labels_of_items(known_datasets: list[KnownDataset], by: str, data: st.DataObject) -> None:
    known = data.draw(st.sampled_from(known_datasets))
    whole = located(known.items, by)
    other = pd.Index(whole["reference_id" if by == "loc" else "dataset_item_id"])
    key = key_of(data.draw, labels(whole.index, other), labels(whole.columns, other), whole)
    compare(key, lambda k: getattr(known.dataset.items, by)[k], lambda k: whole.loc[k])


def located(items: pd.DataFrame, by: str) -> pd.DataFrame:
    return items.reset_index().set_index("reference_id") if by == "refloc" else items


def rows_of(items: pd.DataFrame, whole: pd.DataFrame, by: str, key: Any) -> pd.DataFrame:
    """Pick the annotations of the items that a key names, from frames that hold everything."""
    rows, columns = key if type(key) is tuple else (key, slice(None))
    frame = located(items, by)
    rows = rows(frame) if callable(rows) else rows
    if by == "iloc" and type(key) is tuple:  # pandas is stricter with the parts of a tuple
        numbered = pd.DataFrame({"row": range(len(frame))}, index=frame.index)
        rows = np.atleast_1d(numbered.iloc[rows, 0])
    found = frame.iloc[rows] if by == "iloc" else frame.loc[rows]
    named = [found.name] if isinstance(found, pd.Series) else found.index.tolist()
    level = "reference_id" if by == "refloc" else "dataset_item_id"
    places = [place for name in named for place in np.flatnonzero((whole[level] == name).to_numpy())]
    picked = whole.iloc[places].reset_index(drop=True)
    picked = picked.iloc[:, columns] if by == "iloc" else picked.loc[:, columns]
    return picked.to_frame() if isinstance(picked, pd.Series) else picked


@pytest.mark.parametrize("by", ["iloc", "loc", "refloc"])
@given(data=st.data())
@many_examples
def test_rows_of_annotations_and_predictions(known_datasets: list[KnownDataset], by: str, data: st.DataObject) -> None:
    known = data.draw(st.sampled_from(known_datasets))
    kind = data.draw(st.sampled_from(["annotations", "predictions"]))
    whole: pd.DataFrame = getattr(known, kind)
    view: Any = known.dataset.annotations if kind == "annotations" else known.run
    index = located(known.items, by).index
    rows = positions(index) if by == "iloc" else labels(index, index[:0])
    row = data.draw(st.one_of(rows, rows, callables(located(known.items, by))))
    if outcome(row)[1] is not None or type(row()) is tuple or row() is object or row() is ...:
        return
    column: Key = data.draw(
        constants(0, [0, 3], slice(None, None, 2), [True] * len(whole.columns))
        if by == "iloc"
        else constants("x", ["label", "geometry"], ["x", "x"], [], slice("x", "height"), whole.columns != "x")
    )
    both = data.draw(st.booleans())
    key: Key = (lambda: (row(), column())) if both else row

    compare(key, lambda k: getattr(view, by)[k], lambda k: rows_of(known.items, whole, by, k))


@pytest.mark.parametrize("by", ["loc", "refloc"])
def test_a_slice_from_one_id_to_another_is_refused(known_datasets: list[KnownDataset], by: str) -> None:
    for known in known_datasets:
        for indexer in (getattr(known.dataset, by), getattr(known.run, by), getattr(known.dataset.annotations, by)):
            for key in (slice("a", None), slice(None, "a"), (slice("a", "b"), "label"), slice(0, 2)):
                with pytest.raises(TypeError, match="ids have no order"):
                    indexer[key]


def test_chunks_are_the_whole(known_datasets: list[KnownDataset]) -> None:
    for known in known_datasets:
        for view, whole in (
            (known.dataset.items, known.items),
            (known.dataset.annotations, known.annotations),
            (known.run.predictions, known.predictions),
        ):
            for size in (1, 5, 1000):
                chunks = list(view.iter_frames(size))
                assert_frame_equal(pd.concat(chunks), whole, check_index_type=True)
                assert [len(chunk) for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
            assert len(view) == len(whole)
