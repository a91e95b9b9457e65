"""Views: what their frames look like, what they cost, what they refuse."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import nucleus_pandas as npd
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.schema import ANNOTATIONS, ITEMS, PREDICTIONS
from nucleus_pandas.wire.bulk import KEYS
from tests.factories import item
from tests.support.contract_only import contract_only, count_requests
from tests.support.private import send_request

METADATA: list[dict[str, Any]] = [
    {"rain": True, "hour": 7, "place": "Kyoto"},
    {"hour": 8, "deep": {"a": [1, 1.0, None]}},
    {},
]
SHAPES: list[dict[str, Any]] = [
    {"type": "box", "label": "car", "geometry": {"x": 1, "y": 2.5, "width": 3, "height": 4}, "metadata": {"n": 1.0}},
    {"type": "line", "label": "lane", "geometry": {"vertices": [{"x": 0, "y": 1.5}, {"x": 2, "y": 3}]}},
    {"type": "polygon", "label": "roof", "geometry": {"vertices": [{"x": 0, "y": 0}, {"x": 2, "y": 3}]}},
    {
        "type": "keypoints",
        "label": "man",
        "geometry": {"keypoints": [{"x": 1, "y": 2, "visible": True}], "names": ["nose"], "skeleton": None},
    },
    {
        "type": "cuboid",
        "label": "van",
        "geometry": {"position": {"x": 1, "y": 2, "z": 3}, "dimensions": {"x": 1, "y": 2, "z": 3}, "yaw": 0.5},
    },
    {"type": "category", "label": "night", "taxonomy_name": "light"},
    {"type": "multicategory", "labels": ["rain", "fog"]},
    {
        "type": "mask",
        "mask_url": "https://example.org/m.png",
        "annotations": [{"label": "sky", "index": 1}],
    },
]
COMPOSITES: list[dict[str, Any] | None] = [
    None,
    {"vertices": [{"x": 0.0, "y": 1.5}, {"x": 2.0, "y": 3.0}]},
    {"vertices": [{"x": 0.0, "y": 0.0}, {"x": 2.0, "y": 3.0}]},
    {"keypoints": [{"x": 1.0, "y": 2.0, "visible": True}], "names": ["nose"], "skeleton": None},
    {
        "position": {"x": 1.0, "y": 2.0, "z": 3.0},
        "dimensions": {"x": 1.0, "y": 2.0, "z": 3.0},
        "yaw": 0.5,
    },
    {"taxonomy_name": "light"},
    {"labels": ["rain", "fog"]},
    {"mask_url": "https://example.org/m.png", "annotations": [{"label": "sky", "index": 1}]},
]


@pytest.fixture(params=["lookup", "contract"])
def any_server(request: pytest.FixtureRequest, local: npd.NucleusClient) -> npd.NucleusClient:
    """A client of a server with the look-up extension, and of one that knows only the contract."""
    return local if request.param == "lookup" else contract_only(local)


@pytest.fixture
def three(any_server: npd.NucleusClient) -> npd.Dataset:
    """Three items; every type of annotation on the second."""
    dataset = any_server.create_dataset("Three")
    sizes: list[dict[str, Any]] = [{"width": 640, "height": 480}, {}, {}]
    rows = zip("abc", METADATA, sizes, strict=True)
    dataset.append([item(name, metadata=metadata, **size) for name, metadata, size in rows])
    dataset.annotate([{"reference_id": "b", **shape} for shape in SHAPES])
    return dataset


@pytest.fixture
def run(any_server: npd.NucleusClient, three: npd.Dataset) -> npd.ModelRun:
    """A run that found two boxes."""
    made = three.create_model_run(any_server.add_model("M", reference_id="m"))
    made.predict([{"reference_id": name, **SHAPES[0], "confidence": 0.75} for name in ("c", "a")])
    return made


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return dict(frame.reset_index().dtypes.astype(str))


def documented(kinds: dict[str, str]) -> dict[str, str]:
    return {name: str(pd.Series(dtype=kind).dtype) for name, kind in kinds.items()}


def test_items_have_the_documented_columns(three: npd.Dataset) -> None:
    frame = three.items.to_frame()
    assert dtypes(frame) == documented(ITEMS)
    assert frame.index.name == "dataset_item_id"
    assert frame["reference_id"].tolist() == ["a", "b", "c"]
    assert frame["image_url"].tolist() == [f"https://example.org/{name}" for name in "abc"]
    assert frame["image_width"].tolist() == [640, pd.NA, pd.NA]
    assert frame["metadata"].tolist() == METADATA
    assert all(index.startswith("di_") for index in frame.index)


def test_frames_have_these_dtypes_on_every_pandas(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    text = "str" if int(pd.__version__.split(".")[0]) >= 3 else "object"
    ids = {"dataset_item_id": text, "reference_id": text}
    size = dict.fromkeys(["image_width", "image_height"], "Int64")
    box = {
        "annotation_id": text,
        "label": text,
        "type": text,
        **dict.fromkeys(["x", "y", "width", "height"], "float64"),
    }
    objects = {
        "geometry": "object",
        "track_reference_id": text,
        "task_id": text,
        "embedding_vector": "object",
        "metadata": "object",
    }
    sides = dict.fromkeys(["annotation_id", "prediction_id", "label", "predicted_label"], text)
    documented = [
        {**ids, "image_url": text, **size, "metadata": "object"},
        {"index": "int64", **ids, **box, **objects},
        {"index": "int64", **ids, **box, "confidence": "float64", "class_pdf": "object", **objects},
        {"index": "int64", **ids, **sides, "confidence": "float64", "iou": "float64", "match_type": text},
    ]
    model = client.add_model("M", reference_id="m")
    for rows in (0, 1):
        shapes = [{"reference_id": name, **SHAPES[0]} for name in ("b.jpg", "c.jpg")]
        dataset.annotate(shapes[:rows])
        run = dataset.create_model_run(model)
        run.predict(shapes[1 : 1 + rows])
        run.commit()
        found = [view.to_frame() for view in (dataset.items, dataset.annotations, run.predictions)] + [run.matches()]
        assert [list(dtypes(frame).items()) for frame in found] == [list(kinds.items()) for kinds in documented]
    jobs = dtypes(client.jobs.set_index("id"))
    assert jobs.pop("created_at").endswith(", UTC]")
    assert jobs == dict.fromkeys(["id", "type", "status"], text)


def test_the_side_that_a_match_lacks_is_null(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    run = dataset.create_model_run(client.add_model("M", reference_id="m"))
    dataset.annotate([{"reference_id": "b.jpg", **SHAPES[0]}])
    run.predict([{"reference_id": "c.jpg", **SHAPES[0], "confidence": 0.75}])
    run.commit()
    found = run.matches().set_index("match_type")
    lacking = {kind: found.columns[found.loc[kind].isna()].tolist() for kind in found.index}
    assert lacking == {
        "FN": ["prediction_id", "predicted_label", "confidence", "iou"],
        "FP": ["annotation_id", "label", "iou"],
    }


def options() -> Iterator[tuple[str, Any]]:
    yield "mode.string_storage", "python"
    yield "mode.string_storage", "pyarrow"
    if int(pd.__version__.split(".")[0]) < 3:  # where these are settled, and setting them warns
        yield "future.infer_string", True
        yield "mode.chained_assignment", "raise"
        yield "mode.copy_on_write", True
        yield "mode.copy_on_write", "warn"


@pytest.mark.parametrize(("option", "value"), list(options()))
def test_options_of_pandas_change_nothing_that_is_read(three: npd.Dataset, option: str, value: Any) -> None:
    index = three.items.to_frame().index
    reads: list[Callable[[], pd.DataFrame]] = [
        three.items.to_frame,
        lambda: three.items.to_frame("json"),
        three.annotations.to_frame,
        lambda: next(three.items.iter_frames(2)),
        lambda: three.iloc[[0, 2]],
        lambda: three.iloc[lambda items: items["image_width"].notna().tolist()],
        lambda: three.loc[list(index[::-1])],
        lambda: three.refloc[["b", "a"], ["image_url", "metadata"]],
        lambda: three.annotations.refloc[lambda items: items.index[:2]],
        lambda: three.annotations.iloc[1],
    ]
    expected = [read() for read in reads]
    with pd.option_context(option, value):
        found = [read() for read in reads]
    for one, other in zip(found, expected, strict=True):
        assert_frame_equal(one, other, check_index_type=True, check_column_type=False)


def test_annotations_have_the_documented_columns(three: npd.Dataset) -> None:
    frame = three.annotations.to_frame()
    assert dtypes(frame.set_index("dataset_item_id")) == documented(ANNOTATIONS)
    assert isinstance(frame.index, pd.RangeIndex)
    assert sorted(frame["type"]) == sorted(shape["type"] for shape in SHAPES)
    by_type = frame.set_index("type")
    for shape, composite in zip(SHAPES, COMPOSITES, strict=True):
        row = by_type.loc[shape["type"]]
        assert row["geometry"] == composite
        assert row["reference_id"] == "b"
        assert row["dataset_item_id"] == three.items.to_frame().index[1]
        assert row["label"] == shape["label"] if "label" in shape else pd.isna(row["label"])
        assert row["metadata"] == shape.get("metadata", {})
        sides = row[["x", "y", "width", "height"]].astype(float)
        assert sides.tolist() == [1, 2.5, 3, 4] if shape["type"] == "box" else sides.isna().all()
    missing = frame["label"].iloc[frame["type"].tolist().index("mask")]
    assert missing is None if TEXT == "object" else missing is np.nan


def test_predictions_have_the_documented_columns(run: npd.ModelRun) -> None:
    frame = run.predictions.to_frame()
    assert dtypes(frame.set_index("dataset_item_id")) == documented(PREDICTIONS)
    assert frame["reference_id"].tolist() == ["a", "c"]
    assert frame["confidence"].tolist() == [0.75, 0.75]
    assert frame["x"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("metadata_as", ["dict", "columns", "json", False])
@pytest.mark.parametrize("backend", [None, "numpy_nullable", "pyarrow"])
def test_empty_frames_have_all_dtypes(any_server: npd.NucleusClient, metadata_as: Any, backend: Any) -> None:
    options = {"metadata_as": metadata_as} | ({} if backend is None else {"dtype_backend": backend})
    empty = any_server.create_dataset("Empty")
    full = any_server.create_dataset("Full")
    full.append([item("a", width=100, height=200)])
    full.annotate([{"reference_id": "a", **SHAPES[5], "metadata": {}}])
    model = any_server.add_model("M", reference_id="m")
    runs = [dataset.create_model_run(model) for dataset in (empty, full)]
    runs[1].predict([{"reference_id": "a", **SHAPES[0], "metadata": {}}])
    for none, some in (
        (empty.items, full.items),
        (empty.annotations, full.annotations),
        (runs[0].predictions, runs[1].predictions),
    ):
        frame = none.to_frame(**options)
        assert len(frame) == len(none) == 0
        assert dtypes(frame) == dtypes(some.to_frame(**options))
        chunks = list(none.iter_frames(**options))
        assert len(chunks) == 1
        assert_frame_equal(chunks[0], frame)


def test_backends_mean_what_they_mean_in_pandas(three: npd.Dataset) -> None:
    nullable = dtypes(three.items.to_frame(dtype_backend="numpy_nullable"))
    assert nullable == dict.fromkeys(["dataset_item_id", "reference_id", "image_url"], "string") | {
        "image_width": "Int64",
        "image_height": "Int64",
        "metadata": "object",
    }
    arrow = dtypes(three.annotations.to_frame(dtype_backend="pyarrow"))
    assert arrow["label"] == "string[pyarrow]" or arrow["label"] == "string"
    assert {arrow[side] for side in ("x", "y", "width", "height")} == {"double[pyarrow]"}
    assert arrow["geometry"] == "object"
    frame = three.annotations.to_frame(dtype_backend="pyarrow")
    assert isinstance(frame["label"].dtype, pd.ArrowDtype)
    assert isinstance(three.items.to_frame(dtype_backend="pyarrow").index.dtype, pd.ArrowDtype)


def test_metadata_comes_in_the_form_that_is_asked_for(three: npd.Dataset) -> None:
    assert "metadata" not in three.items.to_frame(metadata_as=False)
    frame = three.items.to_frame(metadata_as="columns")
    assert [name for name in frame if name.startswith("metadata")] == [
        "metadata.rain",
        "metadata.hour",
        "metadata.place",
        "metadata.deep",
    ]
    assert frame["metadata.hour"].tolist()[:2] == [7, 8]
    assert str(frame["metadata.hour"].dtype) == "float64"
    assert frame["metadata.deep"].tolist()[1] == {"a": [1, 1.0, None]}
    nullable = three.items.to_frame(metadata_as="columns", dtype_backend="numpy_nullable")
    assert str(nullable["metadata.hour"].dtype) == "Int64"
    assert str(nullable["metadata.rain"].dtype) == "boolean"
    text = three.items.to_frame(metadata_as="json")["metadata"]
    assert str(text.dtype) == TEXT
    assert [json.loads(row) for row in text] == METADATA


def test_json_keeps_numbers_as_they_were(any_server: npd.NucleusClient) -> None:
    dataset = any_server.create_dataset("Numbers")
    dataset.append([item("a", metadata={"i": 1, "f": 1.0, "big": 2**53 + 1})])
    dataset.annotate([{"reference_id": "a", **SHAPES[0], "metadata": {"i": 1, "f": 1.0}}])
    assert '"i":1,"f":1.0,"big":9007199254740993' in dataset.items.to_frame("json")["metadata"].iloc[0]
    assert '"i":1,"f":1.0' in dataset.annotations.to_frame("json")["metadata"].iloc[0]


def test_chunks_go_on_where_the_last_one_ended(three: npd.Dataset) -> None:
    frames = list(three.annotations.iter_frames(3))
    assert [list(frame.index) for frame in frames] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert_frame_equal(pd.concat(frames), three.annotations.to_frame())
    frames = list(three.items.iter_frames(np.int64(2), metadata_as="json"))
    assert_frame_equal(pd.concat(frames), three.items.to_frame(metadata_as="json"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metadata_as": "text"}, "metadata_as is"),
        ({"metadata_as": True}, "metadata_as is"),
        ({"metadata_as": 0}, "metadata_as is"),
        ({"dtype_backend": "numpy"}, "dtype_backend is"),
        ({"dtype_backend": None}, "dtype_backend is"),
        ({"chunksize": 0}, "chunksize is"),
        ({"chunksize": 1.5}, "chunksize is"),
        ({"chunksize": True}, "chunksize is"),
    ],
)
def test_wrong_options_are_refused_before_a_request(three: npd.Dataset, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        three.items.iter_frames(**options)
    if "chunksize" not in options:
        with pytest.raises(npd.InvalidInputError, match=words):
            three.annotations.to_frame(**options)


def test_a_missing_key_names_all_of_them(three: npd.Dataset, run: npd.ModelRun) -> None:
    for indexer in (three.refloc, three.annotations.refloc, run.refloc):
        with pytest.raises(KeyError, match=r"'x', 'y' in the (dataset|run) '") as caught:
            indexer[["x", "a", "y"]]
        assert isinstance(caught.value, npd.NotFoundError)
        with pytest.raises(KeyError, match="1, 2 .* '1' instead of 1"):
            indexer[["a", 1, 2]]
        with pytest.raises(KeyError, match="use loc for item ids"):
            indexer[three.items.to_frame().index[0]]
    for indexer in (three.loc, three.annotations.loc, run.loc):
        with pytest.raises(KeyError, match="use refloc for reference ids"):
            indexer["a"]
        with pytest.raises(KeyError, match="iloc takes positions"):
            indexer[0]


def test_positions_outside_are_told(three: npd.Dataset, run: npd.ModelRun) -> None:
    for indexer in (three.iloc, three.annotations.iloc, run.iloc):
        for key, words in ((3, "Position 3 is"), ([0, 5, -9, 4], "Positions 5, -9, 4 are"), (-4, "Position -4 is")):
            with pytest.raises(IndexError, match=f"{words} outside the dataset, which holds 3 items") as caught:
                indexer[key]
            assert isinstance(caught.value, npd.PositionError)


def test_assignment_says_how_to_update(three: npd.Dataset, run: npd.ModelRun) -> None:
    for indexer, advice in ((three.iloc, "append"), (three.annotations.loc, "annotate"), (run.refloc, "predict")):
        with pytest.raises(TypeError, match=rf"{advice}\(.*if_exists='update'\)"):
            indexer["a"] = 1
        with pytest.raises(TypeError, match="only reads"):
            del indexer["a"]
    for thing in (three.iloc, three.items, three.annotations.loc):
        with pytest.raises(TypeError, match="not iterable"):
            list(thing)  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            "a" in thing  # noqa: B015
    for view in (three.items, three.annotations):
        with pytest.raises(TypeError, match="not callable"):
            view.iloc(0)  # type: ignore[operator]
    with pytest.raises(AttributeError):
        three.iloc = 1  # type: ignore[misc, assignment]


def test_rows_of_items_come_in_the_order_that_was_asked(three: npd.Dataset) -> None:
    three.annotate([{"reference_id": "a", **SHAPES[0]}])
    frame = three.annotations.refloc[["b", "a", "b"], ["reference_id", "x"]]
    assert frame["reference_id"].tolist() == ["b"] * 8 + ["a"] + ["b"] * 8
    assert isinstance(frame.index, pd.RangeIndex)
    assert three.annotations.iloc[0, 5].columns.tolist() == ["x"]
    assert dtypes(three.annotations.iloc[2]) == dtypes(three.annotations.to_frame())


# What it costs


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with a dataset of 20,000 items and 30,000 boxes."""
    folder = tmp_path_factory.mktemp("large") / "store"
    with npd.NucleusClient.local(folder) as client:
        dataset = client.create_dataset("Large")
        dataset.append([item(f"{n:05}") for n in range(20_000)])
        dataset.annotate(
            [{"reference_id": f"{n * 2 // 3:05}", "annotation_id": str(n), **SHAPES[0]} for n in range(30_000)]
        )
        run = dataset.create_model_run(client.add_model("M", reference_id="m"))
        run.predict([{"reference_id": f"{n:05}", **SHAPES[0], "confidence": 0.5} for n in range(1_000)])
    return folder, dataset.id


def test_many_keys_cost_few_requests(large: tuple[Path, str]) -> None:
    folder, dataset_id = large
    with npd.NucleusClient.local(folder) as client:
        dataset = client.get_dataset(dataset_id)
        run = dataset.model_runs[0]
        ids = dataset.items.to_frame().index
        counted = count_requests(client)

        def cost(read: Any) -> dict[str, int]:
            counted.clear()
            read()
            return dict(counted)

        names = [f"{n:05}" for n in range(20_000)]
        assert cost(lambda: dataset.refloc[names[:1_000]]) == {"items": 1}
        assert cost(lambda: dataset.refloc[names[:1_000], "image_width"]) == {"items": 1}
        assert cost(lambda: dataset.loc[ids[:KEYS]]) == {"items": 1}
        assert cost(lambda: dataset.loc[ids[: KEYS + 1]]) == {"items": 2}
        assert cost(lambda: dataset.refloc["00001", "image_url"]) == {"items": 1}
        assert cost(lambda: dataset.iloc[7]) == {"items": 1}
        assert cost(lambda: dataset.iloc[[7, 3, 7]]) == {"items": 1}
        assert cost(lambda: dataset.iloc[[]]) == {}
        assert cost(lambda: dataset.iloc[-1]) == {"size": 1, "items": 1}
        assert cost(lambda: dataset.iloc[::7]) == {"size": 1, "items": 1}
        assert cost(lambda: dataset.iloc[np.arange(20_000) % 10 == 0, 1]) == {"size": 1, "items": 1}
        assert cost(lambda: dataset.iloc[:]) == {"size": 1, "items": 2}
        assert cost(lambda: dataset.loc[::-1]) == {"size": 1, "items": 2}
        assert cost(lambda: dataset.items.to_frame()) == {"items": 2}
        assert cost(lambda: len(dataset.items)) == {"size": 1}
        assert cost(lambda: list(dataset.items.iter_frames(5_000))) == {"items": 4}
        assert cost(lambda: dataset.annotations.refloc[names[:1_000]]) == {"annotations": 1}
        assert cost(lambda: dataset.annotations.to_frame()) == {"annotations": 3}
        assert cost(lambda: dataset.annotations.loc[:]) == {"size": 1, "annotations": 3}
        assert cost(lambda: run.refloc[names[:1_000]]) == {"predictions": 1}
        assert cost(lambda: run.predictions.to_frame()) == {"predictions": 1}
        mask = pd.Series(np.arange(20_000) < 3, index=names)
        assert cost(lambda: dataset.refloc[mask[::-1], "image_width"]) == {
            "items": 2 + 1
        }  # pandas aligns it with all ids
        for wrong in ((["00001"], "colour"), ("00001", ["image_width", "colour"])):
            with pytest.raises(KeyError, match="colour"):
                cost(lambda wrong=wrong: dataset.refloc[wrong])
            assert counted == {}


@pytest.mark.parametrize("by", ["iloc", "loc", "refloc"])
def test_a_callable_costs_a_full_read_and_the_docstring_says_so(large: tuple[Path, str], by: str) -> None:
    folder, dataset_id = large
    with npd.NucleusClient.local(folder) as client:
        dataset = client.get_dataset(dataset_id)
        indexer = getattr(dataset, by)
        assert len(dataset.iloc[[0]]) == 1  # what the server can do is known from now on
        counted = count_requests(client)
        given: list[pd.DataFrame] = []
        assert len(indexer[lambda items: given.append(items) or [True] * len(items)]) == 20_000
        assert counted == {"items": 2}
        assert given[0].index.name == ("reference_id" if by == "refloc" else "dataset_item_id")
    assert "A callable costs a full read" in " ".join(str(getattr(npd.Dataset, by).__doc__).split())


def test_elsewhere_the_cheaper_way_is_taken(large: tuple[Path, str]) -> None:
    folder, dataset_id = large
    with npd.NucleusClient.local(folder) as client:
        contract_only(client)
        dataset = client.get_dataset(dataset_id)
        run = dataset.model_runs[0]
        counted = count_requests(client)

        def cost(read: Any) -> dict[str, int]:
            counted.clear()
            read()
            return dict(counted)

        names = [f"{n:05}" for n in range(20_000)]
        assert cost(lambda: dataset.refloc["00001"]) == {"refloc": 1}
        assert cost(lambda: dataset.refloc[names[:20]]) == {"refloc": 20}
        assert cost(lambda: dataset.refloc[names[:40]]) == {"size": 1, "refloc": 40}
        assert cost(lambda: dataset.refloc[names[:41]]) == {"size": 1, "itemsPage": 2}
        assert cost(lambda: dataset.refloc[names[:1_000]]) == {"size": 1, "itemsPage": 2}
        assert cost(lambda: dataset.iloc[::7]) == {"size": 1, "itemsPage": 2}
        assert cost(lambda: dataset.iloc[::1_000]) == {"size": 1, "iloc": 20}
        assert cost(lambda: dataset.iloc[np.arange(20_000) % 10 == 0]) == {"size": 1, "itemsPage": 2}
        assert cost(lambda: dataset.items.to_frame()) == {"itemsPage": 2}
        assert cost(lambda: dataset.annotations.refloc[names[:1_000]]) == {"size": 1, "exportForTrainingPage": 2}
        assert cost(lambda: dataset.annotations.to_frame()) == {"exportForTrainingPage": 2}
        assert cost(lambda: run.refloc[names[:40]]) == {"refloc": 40}
        assert cost(lambda: run.refloc[names[:60]]) == {"size": 1, "refloc": 60}
        assert cost(lambda: run.refloc[names[:61]]) == {"size": 1, "ungrouped": 1, "itemsPage": 2}
        assert cost(lambda: run.refloc[names[:1_000]]) == {"size": 1, "ungrouped": 1, "itemsPage": 2}
        assert cost(lambda: run.predictions.to_frame()) == {"ungrouped": 1, "itemsPage": 2}


def test_both_kinds_of_server_give_the_same_frames(large: tuple[Path, str]) -> None:
    folder, dataset_id = large
    found = []
    for fit in (lambda client: client, contract_only):
        with npd.NucleusClient.local(folder) as client:
            dataset = fit(client).get_dataset(dataset_id)
            run = dataset.model_runs[0]
            found.append([dataset.items.to_frame(), dataset.annotations.to_frame(), run.predictions.to_frame()])
    for one, other in zip(*found, strict=True):
        assert_frame_equal(one, other)


# Datasets, models, runs


def test_datasets_and_models_come_as_frames(client: npd.NucleusClient) -> None:
    assert dtypes(client.datasets) == {"index": "int64", "id": TEXT, "name": TEXT, "is_public": "bool"}
    empty = dtypes(client.models)
    assert list(empty)[1:] == ["id", "name", "reference_id", "metadata", "tags"]
    dataset = client.create_dataset("One")
    model = client.add_model("M", reference_id="m", metadata={"k": 1}, tags=["a", "b"])
    other = client.add_model("N", reference_id="n", tags=["a", "b"])
    assert client.datasets.to_dict("records") == [{"id": dataset.id, "name": "One", "is_public": False}]
    assert client.models["id"].tolist() == [model.id, other.id]
    assert client.models["metadata"].tolist() == [{"k": 1}, {}]
    assert client.models["tags"].tolist() == [["a", "b"], ["a", "b"]]
    assert dtypes(client.models) == empty


def test_html_is_made_without_a_request(local: npd.NucleusClient, store: Path) -> None:
    dataset = local.create_dataset("<b>Bold</b>")
    model = local.add_model("M", reference_id="m")
    run = dataset.create_model_run(model)
    result = dataset.append([item("a"), item("b")])
    counted = count_requests(local)
    for thing in (local, dataset, dataset.items, dataset.annotations, run.predictions, model, run, result):
        assert thing._repr_html_().startswith("<table>")
        assert thing._repr_html_().endswith("</table>")
        assert len(thing._repr_html_()) < 1_000
    assert str(store) in local._repr_html_()
    assert "&lt;b&gt;Bold" in dataset._repr_html_()
    assert dataset.id in run._repr_html_()
    assert "confidence" in run.predictions._repr_html_()
    assert "<th>new</th><td>2</td>" in result._repr_html_()
    assert repr(dataset.items) == f"<items of dataset/{dataset.id}>"
    assert repr(dataset.annotations.iloc) == f"<iloc of <annotations of dataset/{dataset.id}>>"
    assert repr(run.iloc) == f"<iloc of modelRun/{run.id}>"
    assert counted == {}
    assert model.name == "M"  # asks, and is known from now on
    assert "<bdi>M</bdi>" in model._repr_html_()


def test_html_of_a_client_shows_no_key() -> None:
    shown = npd.NucleusClient("live_0123456789abcdef", "http://127.0.0.1:1/v1/<nucleus>")._repr_html_()
    assert "live_" not in shown
    assert "127.0.0.1:1/v1/&lt;nucleus&gt;" in shown


def test_a_run_found_by_its_id_knows_its_dataset(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    run = dataset.create_model_run(client.add_model("M", reference_id="m"))
    run.predict([{"reference_id": "c.jpg", **SHAPES[0]}])
    found = client.get_model_run(run.id)
    assert len(found.iloc[-1]) == 1
    assert found.iloc(-1) == run.iloc(2)
    assert_frame_equal(found.predictions.to_frame(), run.predictions.to_frame())
    assert len(found.refloc["c.jpg"]) == 1


def test_elsewhere_a_run_needs_its_dataset(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("One")
    dataset.append([item("a")])
    run = dataset.create_model_run(local.add_model("M", reference_id="m"))
    run.predict([{"reference_id": "a", **SHAPES[0]}])
    found = contract_only(local).get_model_run(run.id)
    assert len(found.refloc("a")["annotations"]) == 1
    for read in (found.predictions.to_frame, lambda: found.iloc[0], lambda: found.loc[:], lambda: found.iloc(-1)):
        with pytest.raises(npd.InvalidInputError, match="dataset_id='ds_…'"):
            read()
    assert len(local.get_model_run(run.id, dataset.id).predictions.to_frame()) == 1


def test_a_run_that_spans_datasets_is_read_whole_and_by_item_id(local: npd.NucleusClient) -> None:
    model = local.add_model("M", reference_id="m")
    datasets = [local.create_dataset(name) for name in "ab"]
    runs = []
    for dataset in datasets:
        dataset.append([item("a")])
        runs.append(dataset.create_model_run(model))
        runs[-1].predict([{"reference_id": "a", **SHAPES[0], "confidence": 0.5}])
    merged = send_request(local, "POST", "modelRun", "merge", body={"model_run_ids": [run.id for run in runs]})
    run = local.get_model_run(merged["model_run_id"])
    frame = run.predictions.to_frame()
    ids = [dataset.items.to_frame().index[0] for dataset in datasets]
    assert frame["dataset_item_id"].tolist() == ids
    assert run.loc[ids[::-1], "dataset_item_id"]["dataset_item_id"].tolist() == ids[::-1]
    assert [len(chunk) for chunk in run.predictions.iter_frames(1)] == [1, 1]
    for read in (lambda: run.iloc[0], lambda: run.refloc["a"], lambda: run.loc[::2], lambda: run.loc[[True]]):
        with pytest.raises(npd.InvalidInputError, match="spans datasets"):
            read()
    with pytest.raises(KeyError, match="'di_0'"):
        run.loc[[ids[0], "di_0"]]


def test_every_frame_can_be_sent_to_another_dataset() -> None:
    with npd.NucleusClient.local() as client:
        one, other = client.create_dataset("One"), client.create_dataset("Other")
        one.append([item("a", metadata={"k": 1}), item("b", width=30, height=40)])
        one.annotate([{"reference_id": "b", **SHAPES[0]}])
        other.append(one.items.to_frame())
        other.annotate(one.annotations.to_frame())
        assert_frame_equal(other.items.to_frame().reset_index(drop=True), one.items.to_frame().reset_index(drop=True))
        assert len(other.annotations) == 1


@pytest.mark.parametrize("key", [10**9, [10**9], -(10**9), [0, 10**12], 2**70])
def test_far_positions_cost_no_memory(dataset: npd.Dataset, key: Any) -> None:
    tracemalloc.start()
    try:
        for indexer in (dataset.iloc, dataset.annotations.iloc):
            with pytest.raises(npd.PositionError, match="outside the dataset, which holds 3 items"):
                indexer[key]
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()
