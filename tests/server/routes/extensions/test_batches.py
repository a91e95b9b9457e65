"""Batches that are refused whole."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import layers
from nucleus_pandas.wire.bulk import AnnotationPage, BoxColumns, ItemPage
from tests.factories import box, item, png
from tests.server.routes.extensions.extension_http import (
    HOSTILE,
    ExtensionHttp,
    columns_of,
    multipart,
    references,
    shape,
)

# Committed runs


@pytest.fixture
def frozen(http: ExtensionHttp, abc: str) -> str:
    run = http.new_run(abc)
    http.annotate(run, boxes=columns_of([("a", "1")], confidence=[0.5]))
    http("POST", f"modelRun/{run}/commit", {})
    return run


@pytest.mark.parametrize("fields", [{}, {"if_exists": "skip"}, {"if_exists": "update"}, {"update": True}], ids=str)
def test_a_committed_run_takes_what_it_holds(http: ExtensionHttp, frozen: str, fields: dict[str, object]) -> None:
    stored = http.annotate(frozen, boxes=columns_of([("a", "1")], confidence=[0.5]), **fields)
    assert stored["outcomes"] == [["ignored", 1]]


@pytest.mark.parametrize("if_exists", ["skip", "update", "error"])
def test_a_committed_run_takes_nothing_new(http: ExtensionHttp, frozen: str, if_exists: str) -> None:
    http.annotate(frozen, 409, boxes=columns_of([("a", "2")]), if_exists=if_exists)
    assert len(http.table("prediction")) == 1


def test_a_committed_run_keeps_its_values(http: ExtensionHttp, frozen: str) -> None:
    http.annotate(frozen, 409, boxes=columns_of([("a", "1")], confidence=[0.75]), if_exists="update")


# Whole batches refused


def test_items_that_are_there_refuse_the_batch(http: ExtensionHttp, abc: str) -> None:
    stored = http.append(abc, ["x", "b", "y"], if_exists="error")
    assert (stored["new_items"], stored["ignored_items"], stored["upload_errors"]) == (0, 0, 1)
    assert stored["outcomes"] == [["unsent", 1], ["exists", 1], ["unsent", 1]]
    assert stored["row_errors"] == [[1, "An item with reference_id 'b' exists already."]]
    assert references(http.items(abc)) == ["a", "b", "c"]


def test_a_refused_batch_leaves_no_trace(http: ExtensionHttp, abc: str) -> None:
    before = http.table("dataset")
    http.append(abc, ["x", "b"], if_exists="error")
    http.annotate(abc, annotations=[box("a", "1"), box("a", "1")], if_exists="error")
    assert http.table("dataset") == before


def test_an_item_repeated_in_a_batch_refuses_it(http: ExtensionHttp, abc: str) -> None:
    assert http.append(abc, ["x", "x"], if_exists="error")["outcomes"] == [["unsent", 1], ["exists", 1]]


def test_a_batch_of_new_items_is_stored(http: ExtensionHttp, abc: str) -> None:
    assert http.append(abc, ["x", "y"], if_exists="error")["outcomes"] == [["new", 2]]
    assert references(http.items(abc)) == ["a", "b", "c", "x", "y"]


@pytest.mark.parametrize(
    ("if_exists", "update", "own", "outcome"),
    [
        ("skip", True, True, "ignored"),
        ("update", False, False, "updated"),
        ("error", True, True, "exists"),
        (None, True, None, "updated"),
        (None, False, True, "updated"),
    ],
)
def test_if_exists_wins_over_update(
    http: ExtensionHttp, abc: str, if_exists: str | None, update: bool, own: bool | None, outcome: str
) -> None:
    stored = http.append(abc, [], items=[item("a", update=own)], update=update, if_exists=if_exists)
    assert stored["outcomes"] == [[outcome, 1]]


@pytest.mark.parametrize(("if_exists", "update", "outcome"), [("skip", True, "ignored"), ("update", False, "updated")])
@pytest.mark.parametrize("way", ["boxes", "annotations"])
def test_if_exists_wins_over_update_of_annotations(
    http: ExtensionHttp, abc: str, if_exists: str, update: bool, outcome: str, way: str
) -> None:
    body = {way: columns_of([("a", "1")]) if way == "boxes" else [box("a", "1")]}
    http.annotate(abc, **body)
    assert http.annotate(abc, update=update, if_exists=if_exists, **body)["outcomes"] == [[outcome, 1]]


@pytest.mark.parametrize("way", ["boxes", "annotations"])
@pytest.mark.parametrize("predictions", [False, True])
def test_annotations_that_are_there_refuse_the_batch(
    http: ExtensionHttp, abc: str, way: str, predictions: bool
) -> None:
    place = http.new_run(abc) if predictions else abc
    http.annotate(place, boxes=columns_of([("a", "1")]))
    rows = [("b", "1"), ("x", "1"), ("a", "1"), ("a", "2"), ("b", "1")]
    body = {way: columns_of(rows) if way == "boxes" else [box(*row) for row in rows]}
    stored = http.annotate(place, if_exists="error", **body)
    assert stored["outcomes"] == [["unsent", 1], ["error", 1], ["exists", 1], ["unsent", 1], ["exists", 1]]
    what = "A prediction" if predictions else "An annotation"
    assert stored["row_errors"] == [
        [1, "Item with id x doesn't exist."],
        [2, f"{what} with annotation_id '1' on the item 'a' exists already."],
        [4, f"{what} with annotation_id '1' on the item 'b' exists already."],
    ]
    kind = "predictions" if predictions else "annotations"
    assert (stored[f"{kind}_processed"], stored[f"{kind}_ignored"]) == (0, 0)
    assert len(http.table("prediction" if predictions else "annotation")) == 1


@pytest.mark.parametrize("way", ["boxes", "annotations"])
def test_a_batch_of_new_annotations_is_stored(http: ExtensionHttp, abc: str, way: str) -> None:
    rows = [("b", "1"), ("x", "1"), ("a", "1")]
    body = {way: columns_of(rows) if way == "boxes" else [box(*row) for row in rows]}
    assert http.annotate(abc, if_exists="error", **body)["outcomes"] == [["new", 1], ["error", 1], ["new", 1]]
    assert len(http.table("annotation")) == 2


@pytest.mark.parametrize("count", [layers._ROWS_PER_INSERT, 2 * layers._ROWS_PER_INSERT + 3])
def test_a_large_batch_is_refused_as_a_whole(http: ExtensionHttp, abc: str, count: int) -> None:
    http.annotate(abc, boxes=columns_of([("b", "7")]))
    stored = http.annotate(abc, boxes=columns_of([("b", str(n)) for n in range(count)]), if_exists="error")
    assert stored["outcomes"] == [["unsent", 7], ["exists", 1], ["unsent", count - 8]]
    assert len(http.table("annotation")) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (shape("mask"), "A mask on the item 'a' exists already."),
        (
            shape("category", taxonomy_name="weather"),
            "A category of the taxonomy 'weather' on the item 'a' exists already.",
        ),
        (shape("line"), "An annotation with annotation_id 'my line' on the item 'a' exists already."),
    ],
    ids=["mask", "category", "line"],
)
def test_the_reason_names_what_is_there(http: ExtensionHttp, abc: str, row: dict[str, object], reason: str) -> None:
    http.annotate(abc, annotations=[row])
    assert http.annotate(abc, annotations=[row], if_exists="error")["row_errors"] == [[0, reason]]


def test_annotations_without_id_are_recognised(http: ExtensionHttp, abc: str) -> None:
    row = {name: value for name, value in box("a", "").items() if name != "annotation_id"}
    assert http.annotate(abc, annotations=[row, row], if_exists="error")["outcomes"] == [["new", 2]]
    assert http.annotate(abc, annotations=[row], if_exists="error")["outcomes"] == [["exists", 1]]


def append_files(
    http: ExtensionHttp, dataset: str, rows: list[dict[str, object]], files: list[bytes], **parts: str
) -> Any:
    route = f"_nucleus_pandas/dataset/{dataset}/append"
    return http("POST", route, **multipart(json.dumps(rows).encode(), "items", files, "image", **parts))


def files_in(nucleus: EmbeddedNucleus) -> list[Path]:
    return [path for path in nucleus.images.folder.rglob("*") if path.is_file()]


def test_files_of_a_refused_batch_are_not_kept(http: ExtensionHttp, abc: str, nucleus: EmbeddedNucleus) -> None:
    rows, files = [item("x"), item("a"), item("y")], [png(1), png(2), b""]
    stored = append_files(http, abc, rows, files, if_exists="error")
    assert stored["outcomes"] == [["unsent", 1], ["exists", 1], ["error", 1]]
    assert "exists already" in stored["row_errors"][0][1]
    assert files_in(nucleus) == []


def test_files_of_new_items_are_kept(http: ExtensionHttp, abc: str, nucleus: EmbeddedNucleus) -> None:
    assert append_files(http, abc, [item("x")], [png()], if_exists="error")["outcomes"] == [["new", 1]]
    assert len(files_in(nucleus)) == 1
    assert "/_nucleus_pandas/images/" in http.items(abc, reference_ids=["x"])["columns"]["image_url"][0]


@pytest.mark.parametrize(
    ("parts", "own", "outcome"),
    [({}, True, "updated"), ({}, False, "ignored"), ({"if_exists": "skip"}, True, "ignored")],
)
def test_files_heed_if_exists(http: ExtensionHttp, abc: str, parts: dict[str, str], own: bool, outcome: str) -> None:
    assert append_files(http, abc, [item("a", update=own)], [png()], **parts)["outcomes"] == [[outcome, 1]]


@pytest.mark.parametrize("value", ["replace", "", "\udcff"])
def test_another_if_exists_is_refused(http: ExtensionHttp, abc: str, value: str) -> None:
    fields = multipart(json.dumps([item("x")]).encode(), "items", [png()], "image")
    fields["data"]["if_exists"] = io.BytesIO(value.encode(errors="surrogateescape")), None, "text/plain"
    assert "if_exists" in http("POST", f"_nucleus_pandas/dataset/{abc}/append", status=400, **fields)["error"]
    http.append(abc, ["x"], 400, if_exists="replace")


def test_mask_files_of_a_refused_batch_are_not_kept(http: ExtensionHttp, abc: str, nucleus: EmbeddedNucleus) -> None:
    http.annotate(abc, annotations=[shape("mask")])
    text = json.dumps({"segmentations": [shape("mask")], "if_exists": "error"}).encode()
    fields = multipart(text, "serialized_request", [png()], "mask")
    assert http("POST", f"_nucleus_pandas/dataset/{abc}/annotate", **fields)["outcomes"] == [["exists", 1]]
    assert not any(path.is_file() for path in nucleus.masks.folder.rglob("*"))


# A real socket


def test_a_served_store_has_the_same_extensions(endpoint: str) -> None:
    with requests.Session() as session:

        def post(route: str, body: object) -> Any:
            response = session.post(f"{endpoint}/{route}", data=msgspec.json.encode(body), timeout=20)
            assert response.status_code == 200, response.text
            return response.json()

        dataset = post("dataset/create", {"name": "Images"})["dataset_id"]
        own = f"_nucleus_pandas/dataset/{dataset}"
        rows = [item(name) for name in HOSTILE]
        assert post(f"{own}/append", {"items": rows, "if_exists": "error"})["new_items"] == len(HOSTILE)
        boxes = BoxColumns(**columns_of([(name, "1") for name in HOSTILE]))  # type: ignore[arg-type]
        assert post(f"{own}/annotate", {"boxes": boxes})["outcomes"] == [["new", len(HOSTILE)]]
        assert post(f"{own}/append", {"items": rows[:2], "if_exists": "error"})["outcomes"] == [["exists", 2]]
        page = msgspec.convert(post(f"{own}/annotations", {"reference_ids": HOSTILE[::-1]}), AnnotationPage)
        assert (page.columns.reference_id, page.lengths) == (HOSTILE[::-1], [1] * len(HOSTILE))
        items = msgspec.convert(post(f"{own}/items", {"positions": [1, 0, 99]}), ItemPage)
        assert (items.columns.reference_id, items.missing) == (HOSTILE[1::-1], [2])
