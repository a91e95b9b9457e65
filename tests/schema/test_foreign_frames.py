"""Tables of other libraries are taken wherever a DataFrame is, as the same rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import nucleus_pandas as npd
from nucleus_pandas.schema import as_frame, frame_of

Make = Callable[[pd.DataFrame], Any]


class OnlyStream:
    """A frame of another library, of which nothing is known but Arrow's capsule."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


class OnlyArray:
    """The same for a single batch."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return self._batch.__arrow_c_array__(requested_schema)


def with_views(frame: pd.DataFrame) -> Any:
    """As polars exports strings: views, and categories of views."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for at, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            column = table.column(at).combine_chunks()
            if field.name == "label":
                encoded = column.dictionary_encode()
                words = pa.array(encoded.dictionary.to_pylist(), pa.string_view())
                views = pa.DictionaryArray.from_arrays(encoded.indices, words)
            else:
                views = pa.array(column.to_pylist(), pa.string_view())
            table = table.set_column(at, field.name, views)
    return OnlyStream(table)


MAKERS: dict[str, Make] = {
    "table": pa.Table.from_pandas,
    "reader": lambda frame: pa.Table.from_pandas(frame).to_reader(),
    "batch": pa.RecordBatch.from_pandas,
    "stream": lambda frame: OnlyStream(pa.Table.from_pandas(frame)),
    "views": with_views,
}


@pytest.fixture
def items() -> pd.DataFrame:
    frame = pd.DataFrame({"reference_id": ["a", "b"], "image_width": [100, None], "image_height": [80, None]})
    metadata = pd.Series([{"weather": "rain", "seen": {"by": 1}}, {"weather": None, "seen": {"by": 2}}])
    return frame.assign(image_url="https://example.org/" + frame["reference_id"], metadata=metadata)


@pytest.fixture
def boxes() -> pd.DataFrame:
    frame = pd.DataFrame({"reference_id": ["a", "a", "b"], "label": ["car", "bus", None]}, index=[7, 8, 9])
    return frame.assign(x=[1.0, 50, None], y=[1.0, 2, None], width=[10.0, 20, None], height=[10.0, 20, None])


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_tables_are_sent_as_frames_are(make: Make, items: pd.DataFrame, boxes: pd.DataFrame) -> None:
    predictions = boxes.dropna().assign(confidence=[0.5, 0.75])
    read = []
    for each in (make, lambda frame: frame):
        with npd.NucleusClient.local() as client:
            dataset = client.create_dataset("Street")
            assert npd.append(each(items), dataset).new_items == 2
            assert dataset.append(each(items)).ignored_items == 2
            assert npd.annotate(each(boxes), dataset).rows["status"].tolist() == ["new", "new", "skipped"]
            assert dataset.annotate(each(boxes)).annotations_ignored == 2
            run = dataset.create_model_run(client.add_model("Detector", reference_id="d"))
            assert npd.predict(each(predictions), run).predictions_processed == 2
            assert dataset.create_slice("all", each(items)).to_frame()["reference_id"].tolist() == ["a", "b"]
            change = pd.DataFrame({"reference_id": ["a"], "metadata": [{"hour": 7}]})
            assert dataset.update_item_metadata(each(change)) == 1
            views = (dataset.items, dataset.annotations, run.predictions)
            read.append(
                [
                    view.to_frame().reset_index(drop=True).drop(columns="dataset_item_id", errors="ignore")
                    for view in views
                ]
            )
    for got, expected in zip(*read, strict=True):
        pd.testing.assert_frame_equal(got, expected)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_tables_are_checked_evaluated_shown_and_written(
    make: Make, items: pd.DataFrame, boxes: pd.DataFrame, tmp_path: Path
) -> None:
    problems = npd.check(make(boxes.assign(width=[-1.0, 5, None])))
    assert problems["column"].tolist()[0] == "width"
    assert problems.index.tolist()[0] == 0
    predictions = boxes.dropna().assign(confidence=[0.5, 0.75])
    evaluation = npd.evaluate(make(predictions), make(boxes), items=make(items))
    assert evaluation.summary["AP50"] == pytest.approx(1)
    assert evaluation.by("metadata.weather").index.tolist()[0] == "rain"
    plain = items.drop(columns="metadata")
    gallery = npd.show(make(boxes), items=make(plain), predictions=make(predictions))
    assert gallery.html == npd.show(boxes, items=plain, predictions=predictions).html
    sized = items[["reference_id", "image_url"]].assign(width=100, height=80)
    assert npd.to_coco(make(sized), make(boxes)) == npd.to_coco(sized, boxes)
    for write, suffix in ((npd.to_yolo, "*.txt"), (npd.to_voc, "*.xml")):
        own, other = tmp_path / f"{write.__name__}_own", tmp_path / f"{write.__name__}_other"
        write(make(sized), make(boxes), own)
        write(sized, boxes, other)
        texts = [[path.read_text() for path in sorted(folder.rglob(suffix))] for folder in (own, other)]
        assert texts[0] == texts[1] != []


def test_results_of_tables_are_on_a_range_index(boxes: pd.DataFrame) -> None:
    with npd.NucleusClient.local() as client:
        dataset = client.create_dataset("Street")
        dataset.append([{"reference_id": "a", "image_url": "https://example.org/a"}])
        unknown = boxes.iloc[:2].assign(reference_id=["a", "z"])
        result = dataset.annotate(pa.Table.from_pandas(unknown), on_error="collect")
    assert result.rows.index.equals(pd.RangeIndex(2))
    assert result.failed["reference_id"].tolist() == ["z"]
    assert result.failed.index.tolist() == [1]


def test_a_named_index_of_a_table_is_a_column_and_another_is_left_out(boxes: pd.DataFrame) -> None:
    assert "reference_id" in frame_of(pa.Table.from_pandas(boxes.set_index("reference_id"))).columns
    assert list(frame_of(pa.Table.from_pandas(boxes)).columns) == list(boxes.columns)


def test_lists_structs_and_exact_integers_survive() -> None:
    large = 2**53 + 1
    table = pa.table(
        {
            "n": [large, None],
            "box": pa.array([[1, 2, 3, 4], None], pa.list_(pa.float32(), 4)),
            "deep": pa.array([[{"word": "x"}], None], pa.list_(pa.struct([("word", pa.string_view())]))),
            "kind": pa.array(["u", None]).dictionary_encode(),
        }
    )
    frame = frame_of(OnlyStream(table))
    assert frame["n"].tolist()[0] == large
    assert frame["box"].tolist()[0] == [1, 2, 3, 4]
    assert frame["deep"].tolist()[0] == [{"word": "x"}]
    assert frame["kind"].tolist()[0] == "u"
    assert frame.isna().iloc[1].all()
    assert len(frame_of(pa.table({"n": [1]}).select([]))) == 1


def test_an_extension_type_is_its_storage() -> None:
    class Word(pa.ExtensionType):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(pa.string(), "nucleus_pandas.test.word")

        def __arrow_ext_serialize__(self) -> bytes:
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, storage: Any, serialized: bytes) -> Word:
            return cls()

    words = pa.ExtensionArray.from_storage(Word(), pa.array(["a", None]))
    assert frame_of(pa.table({"label": words}))["label"].tolist()[0] == "a"


def test_views_of_a_dataset_are_tables_too(items: pd.DataFrame) -> None:
    with npd.NucleusClient.local() as client:
        first, second = client.create_dataset("One"), client.create_dataset("Two")
        first.append(items)
        assert second.append(first.items).new_items == 2
        assert second.items["metadata"].tolist() == first.items["metadata"].tolist()


def test_columns_name_items_by_their_ids(items: pd.DataFrame) -> None:
    with npd.NucleusClient.local() as client:
        dataset = client.create_dataset("Street")
        dataset.append(items)
        assert len(dataset.create_slice("one", pa.array(["a"])).to_frame()) == 1
        assert dataset.delete_items(pa.chunked_array([["a"], ["b"]])) == 2
        with pytest.raises(npd.InvalidInputError, match=r"not a frame: pass frame\['reference_id'\]"):
            dataset.delete_items(pa.Table.from_pandas(items))  # type: ignore[arg-type]


class LazyFrame:
    def collect(self) -> pd.DataFrame:
        raise AssertionError("never called")


class DaskLike:
    def compute(self) -> pd.DataFrame:
        raise AssertionError("never called")


class SparkLike(LazyFrame):
    def toPandas(self) -> pd.DataFrame:
        raise AssertionError("never called")


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (LazyFrame(), r"LazyFrame\. It is lazy: pass \.collect\(\) of it"),
        (DaskLike(), r"DaskLike\. It is lazy: pass \.compute\(\) of it"),
        (SparkLike(), r"Pass \.toPandas\(\) of it"),
        (pd.Series(["a"]), r"pandas Series\. It is a single column or row"),
        (pa.array([1]), r"pyarrow Int64Array\."),
    ],
)
def test_what_is_no_table_is_named_with_its_conversion(value: Any, remedy: str) -> None:
    with npd.NucleusClient.local() as client:
        dataset = client.create_dataset("Street")
        for call in (
            lambda: npd.append(value, dataset),
            lambda: dataset.append(value),
            lambda: npd.check(value),
            lambda: npd.evaluate(value, value),
            lambda: npd.show(value),
        ):
            with pytest.raises(npd.InvalidInputError, match=remedy):
                call()


def test_a_table_that_cannot_be_read_says_why() -> None:
    class Broken:
        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            raise NotImplementedError("objects have no Arrow type.")

    with pytest.raises(npd.InvalidInputError, match="Broken cannot be read as an Arrow table: objects have no Arrow"):
        as_frame(Broken())


def test_a_single_batch_by_its_capsule() -> None:
    assert frame_of(OnlyArray(pa.record_batch({"reference_id": ["a"]})))["reference_id"].tolist() == ["a"]
