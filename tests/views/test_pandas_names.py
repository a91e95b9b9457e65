"""Views answer what pandas users type: the names of a frame, or an error that says how to get one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import nucleus_pandas as npd
from tests.support.private import transport_of

VIEWS = ["items", "annotations", "predictions", "slice items"]


@pytest.fixture
def views(client: npd.NucleusClient) -> dict[str, Any]:
    dataset = client.create_dataset("Street scenes")
    ids = [f"{number}.jpg" for number in range(12)]
    weather = [{"weather": ["rain", "sun"][number % 2]} for number in range(12)]
    pd.DataFrame({"reference_id": ids, "image_url": "https://example.org/x", "metadata": weather}).nucleus.append(
        dataset
    )
    boxes = pd.DataFrame(
        {"reference_id": ids * 2, "label": "car", "x": range(24), "y": 1.0, "width": 5.0, "height": 5.0}
    )
    boxes.nucleus.annotate(dataset)
    run = dataset.create_model_run(client.add_model("M", reference_id="m"))
    boxes.assign(confidence=0.5).nucleus.predict(run)
    return {
        "items": dataset.items,
        "annotations": dataset.annotations,
        "predictions": run.predictions,
        "slice items": dataset.create_slice("s", ids[3:9]).items,
        "dataset": dataset,
    }


ASKED: dict[str, Callable[[Any], Any]] = {
    "head": lambda rows: rows.head(),
    "head of 2": lambda rows: rows.head(2),
    "head of 0": lambda rows: rows.head(0),
    "head of -4": lambda rows: rows.head(-4),
    "head of many": lambda rows: rows.head(10_000),
    "tail": lambda rows: rows.tail(),
    "tail of 3": lambda rows: rows.tail(3),
    "tail of 0": lambda rows: rows.tail(0),
    "tail of -4": lambda rows: rows.tail(-4),
    "sample": lambda rows: rows.sample(random_state=3),
    "sample of 4": lambda rows: rows.sample(4, random_state=7),
    "sample of a generator": lambda rows: rows.sample(n=2, random_state=np.random.RandomState(1)),
    "one column": lambda rows: rows["reference_id"],
    "some columns": lambda rows: rows[["metadata", "reference_id"]],
    "an index of columns": lambda rows: rows[pd.Index(["reference_id"])],
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("what", ASKED)
def test_rows_and_columns_are_those_of_the_frame(views: dict[str, Any], name: str, what: str) -> None:
    expected, found = ASKED[what](views[name].to_frame()), ASKED[what](views[name])
    if isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(found, expected)
    else:
        pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("name", VIEWS)
def test_the_shape_and_the_types_are_those_of_the_frame(views: dict[str, Any], name: str) -> None:
    view, frame = views[name], views[name].to_frame()
    assert view.shape == frame.shape
    assert view.columns.equals(frame.columns)
    assert view.dtypes.equals(frame.dtypes)
    assert view.empty is False
    assert npd.NucleusClient.local().create_dataset("Empty").items.empty is True


def test_only_the_columns_that_are_asked_for_are_read(views: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    transport = transport_of(views["dataset"])
    look_up = type(transport).look_up
    monkeypatch.setattr(
        type(transport), "look_up", lambda self, *parts, body: (asked.append(body), look_up(self, *parts, body=body))[1]
    )
    assert len(views["items"]["image_url"]) == 12
    assert "weather" not in str(asked)
    assert all("metadata" not in str(getattr(body, "columns", body)) for body in asked)
    assert asked


@pytest.mark.parametrize("form", ["dict", "json", False])
def test_columns_of_a_frame_are_named(views: dict[str, Any], form: Any) -> None:
    whole = views["annotations"].to_frame(form)
    pd.testing.assert_frame_equal(
        views["annotations"].to_frame(form, columns=["x", "reference_id"]), whole[["x", "reference_id"]]
    )
    spread = views["items"].to_frame("columns", columns=["reference_id", "metadata"])
    assert spread["metadata.weather"].tolist()[:2] == ["rain", "sun"]


def test_an_unknown_column_is_an_error_with_a_hint(views: dict[str, Any]) -> None:
    for ask in (lambda: views["items"]["image_ur"], lambda: views["items"].to_frame(columns=["image_ur"])):
        with pytest.raises(KeyError, match="Is 'image_url' meant"):
            ask()
    with pytest.raises(TypeError, match=r"takes the name of a column.*\.iloc"):
        views["items"][0]
    with pytest.raises(TypeError, match="takes the name of a column"):
        views["items"][views["items"].to_frame()["image_width"] > 3]


@pytest.mark.parametrize("name", ["describe", "groupby", "merge", "value_counts", "to_csv", "iterrows", "index", "T"])
def test_other_names_of_pandas_say_how_to_get_a_frame(views: dict[str, Any], name: str) -> None:
    for view in VIEWS:
        assert not hasattr(views[view], name)
        with pytest.raises(AttributeError, match=rf"\.to_frame\(\)\.{name}"):
            getattr(views[view], name)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'$"):
        views["items"].nonsense  # noqa: B018


REJECTED: dict[str, Callable[[Any], Any]] = {
    "list": list,
    "for": lambda view: [row for row in view],  # noqa: C416
    "in": lambda view: "a" in view,
    "numpy": np.asarray,
}


@pytest.mark.parametrize("what", REJECTED)
def test_views_are_neither_iterated_over_nor_searched(views: dict[str, Any], what: str) -> None:
    with pytest.raises(TypeError, match=r"\.to_frame\(\)"):
        REJECTED[what](views["items"])


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_exported_to_arrow(views: dict[str, Any], name: str) -> None:
    table = views[name].to_arrow()
    assert isinstance(table, pa.Table)
    assert table.num_rows == len(views[name])
    assert table["reference_id"].to_pylist() == views[name]["reference_id"].tolist()
    assert pa.table(views[name]).equals(table)


def test_views_are_exported_to_polars(views: dict[str, Any]) -> None:
    polars = pytest.importorskip("polars")
    assert views["items"].to_polars().height == 12
    assert polars.DataFrame(views["items"])["reference_id"].to_list()[0] == "0.jpg"


def test_a_dataset_is_read_as_its_items(views: dict[str, Any]) -> None:
    pd.testing.assert_frame_equal(views["dataset"].to_frame(), views["items"].to_frame())


@pytest.mark.parametrize("key", [7, np.int64(7), np.int32(7), np.uint8(7)])
def test_whole_numbers_of_any_kind_are_reference_ids(local: npd.NucleusClient, key: Any) -> None:
    dataset = local.create_dataset("D")
    dataset.append([{"reference_id": "7", "image_url": "https://example.org/7"}])
    assert dataset.refloc(key)["item"]["reference_id"] == "7"


def test_a_missing_key_is_one_error(views: dict[str, Any]) -> None:
    for ask in (lambda: views["items"].refloc["no.jpg"], lambda: views["items"].refloc[["no.jpg", "0.jpg"]]):
        with pytest.raises(npd.NotFoundError) as caught:
            ask()
        assert caught.value.__suppress_context__
        assert caught.value.__cause__ is None


def test_completion_shows_the_public_names() -> None:
    assert set(dir(npd)) == {*npd.__all__, "sample"}
    assert len(npd.sample.items()) > 0
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        npd.nonsense  # noqa: B018


def names(view: Any) -> Iterator[str]:
    return (name for name in dir(view) if not name.startswith("_"))


def test_views_have_no_other_public_names(views: dict[str, Any]) -> None:
    of_pandas = {"columns", "dtypes", "shape", "empty", "head", "tail", "sample", "iloc", "loc"}
    own = {"refloc", "to_frame", "iter_frames", "to_arrow", "to_polars", "show"}
    assert set(names(views["items"])) == of_pandas | own
