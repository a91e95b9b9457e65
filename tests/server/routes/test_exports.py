"""Exports of the contract: items, and items with their annotations, whole or page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.read import exports
from nucleus_pandas.wire.entities import GROUND_TRUTH_KEYS
from tests.factories import SQUARE, TRIANGLE, item
from tests.http import Http

HOSTILE = ["a/b c", "it's", '"quoted"', "ü 😀", "%2F", "..", "?x=1#y"]
LISTS = set(GROUND_TRUTH_KEYS) - {"segmentation"}
GEOMETRIES: dict[str, dict[str, Any]] = {
    "box": SQUARE,
    "line": TRIANGLE,
    "polygon": TRIANGLE,
    "keypoints": {"keypoints": [{"x": 1.0, "y": 2.0, "visible": True}], "names": ["nose"], "skeleton": None},
    "cuboid": {"position": {"x": 1, "y": 2, "z": 3}, "dimensions": {"x": 4, "y": 5, "z": 6}, "yaw": 0.5},
    "category": {},
}


class ExportHttp(Http):
    """Requests with the bodies that the current client sends."""

    def annotate(self, dataset: str, *rows: dict[str, object]) -> None:
        assert self("POST", f"dataset/{dataset}/annotate", {"annotations": rows})["annotations_processed"] == len(rows)

    def items_page(self, dataset: str, status: int = 200, **fields: object) -> Any:
        """Ask as the current client does: the token is there from the start, and null."""
        return self("POST", f"dataset/{dataset}/itemsPage", {"pageToken": None, "pageSize": 100_000, **fields}, status)

    def export_page(self, dataset: str, status: int = 200, **fields: object) -> Any:
        body = {"pageToken": None, "pageSize": 10_000, "query": None, "chip": False, "onlyMostRecentTask": False}
        return self("POST", f"dataset/{dataset}/exportForTrainingPage", {**body, **fields}, status)


def annotation(kind: str, name: str = "a", **fields: object) -> dict[str, object]:
    made: dict[str, object] = {"type": kind, "reference_id": name, "metadata": {"k": kind}, **fields}
    if kind == "mask":
        return {**made, "mask_url": "https://example.org/m.png", "annotations": [{"label": "sky", "index": 1}]}
    if kind == "multicategory":
        return {**made, "labels": ["rain"]}
    return {"label": "thing", "geometry": GEOMETRIES[kind], **made}


@pytest.fixture
def nucleus(store: Path) -> Iterator[EmbeddedNucleus]:
    made = EmbeddedNucleus(store)
    yield made
    made.close()


@pytest.fixture
def http(nucleus: EmbeddedNucleus) -> ExportHttp:
    return ExportHttp(nucleus)


@pytest.fixture
def full(http: ExportHttp) -> str:
    """A dataset of three images, the first of which has an annotation of every type."""
    made = http.new_dataset("a", "b", "c")
    http.annotate(made, *[annotation(kind) for kind in (*GEOMETRIES, "multicategory", "mask")], annotation("box", "c"))
    return made


def names_of(rows: list[dict[str, Any]]) -> list[str]:
    return [row.get("item", row)["reference_id"] for row in rows]


def test_a_page_of_items_holds_the_items(http: ExportHttp, full: str) -> None:
    page = http.items_page(full)
    assert page == {"items": http("GET", f"dataset/{full}/datasetItems")["dataset_items"], "nextPageToken": None}


def test_a_page_of_an_empty_dataset_is_empty(http: ExportHttp) -> None:
    dataset = http.new_dataset()
    assert http.items_page(dataset) == {"items": [], "nextPageToken": None}
    assert http.export_page(dataset) == {"data": [], "nextPageToken": None}
    assert http("GET", f"dataset/{dataset}/exportForTraining") == {"exportedRows": []}


@pytest.mark.parametrize("route", ["itemsPage", "exportForTrainingPage"])
def test_every_field_of_a_page_may_be_absent(http: ExportHttp, full: str, route: str) -> None:
    page = http("POST", f"dataset/{full}/{route}", {})
    assert (names_of(page.get("items") or page["data"]), page["nextPageToken"]) == (["a", "b", "c"], None)


@pytest.mark.parametrize("route", ["itemsPage", "exportForTrainingPage"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_pages_go_on_where_the_last_ended(http: ExportHttp, full: str, route: str, size: int) -> None:
    found, token, sizes = [], "", []
    while token is not None:
        page = http("POST", f"dataset/{full}/{route}", {"pageToken": token, "pageSize": size})
        rows, token = page.get("items", page.get("data")), page["nextPageToken"]
        found += names_of(rows)
        sizes.append(len(rows))
    assert found == ["a", "b", "c"]
    assert len(sizes) == -(-3 // size)


@pytest.mark.parametrize("route", ["itemsPage", "exportForTrainingPage"])
def test_deletes_between_pages_lose_and_repeat_nothing(http: ExportHttp, route: str) -> None:
    dataset = http.new_dataset("a", "b", "c", "d")
    first = http("POST", f"dataset/{dataset}/{route}", {"pageSize": 2})
    for name in ("a", "b", "c"):
        http("DELETE", f"dataset/{dataset}/refloc/{name}")
    second = http("POST", f"dataset/{dataset}/{route}", {"pageSize": 2, "pageToken": first["nextPageToken"]})
    assert (names_of(second.get("items") or second["data"]), second["nextPageToken"]) == (["d"], None)


@pytest.mark.parametrize("route", ["itemsPage", "exportForTrainingPage"])
@pytest.mark.parametrize(
    "wrong", [{"pageSize": 0}, {"pageSize": -1}, {"pageSize": "x"}, {"pageToken": "x"}, {"pageToken": 7}], ids=str
)
def test_a_wrong_page_is_refused(http: ExportHttp, full: str, route: str, wrong: dict[str, object]) -> None:
    http("POST", f"dataset/{full}/{route}", wrong, 400)


def test_a_token_of_another_dataset_is_refused(http: ExportHttp, full: str) -> None:
    token = http.items_page(http.new_dataset("a", "b"), pageSize=1)["nextPageToken"]
    http.items_page(full, 400, pageToken=token)


def test_pages_are_no_larger_than_the_server_likes(
    http: ExportHttp, full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "ITEMS", 2)
    monkeypatch.setattr(exports, "ROWS", 1)
    assert len(http.items_page(full, pageSize=10**30)["items"]) == 2
    assert len(http.export_page(full)["data"]) == 1
    assert names_of(http("GET", f"dataset/{full}/exportForTraining")["exportedRows"]) == ["a", "b", "c"]


def test_a_page_ends_early_behind_an_item_with_many_annotations(
    http: ExportHttp, full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "OBJECTS", 5)
    first = http.export_page(full)
    second = http.export_page(full, pageToken=first["nextPageToken"])
    assert [names_of(page["data"]) for page in (first, second)] == [["a"], ["b", "c"]]
    assert sum(len(first["data"][0][key]) for key in LISTS) == 7
    assert second["nextPageToken"] is None


def test_a_row_has_every_type(http: ExportHttp, full: str) -> None:
    first, second, third = http.export_page(full)["data"]
    for row in (first, second, third):
        assert set(row) == LISTS | {"item", "segmentation"}
    assert all(len(first[key]) == 1 for key in LISTS)
    assert all(second[key] == [] for key in LISTS)
    assert (second["segmentation"], third["segmentation"]) == (None, None)
    assert len(third["box"]) == 1


@pytest.mark.parametrize("kind", [*GEOMETRIES, "multicategory"])
def test_a_row_holds_what_the_item_view_holds(http: ExportHttp, full: str, kind: str) -> None:
    row = http.export_page(full)["data"][0]
    view = http("GET", f"dataset/{full}/refloc/a")
    assert (row["item"], row[kind]) == (view["item"], view["annotations"][kind])
    assert row[kind][0]["metadata"] == {"k": kind}


def test_the_mask_of_a_row_is_one_object(http: ExportHttp, full: str) -> None:
    found = http.export_page(full)["data"][0]["segmentation"]
    assert [found] == http("GET", f"dataset/{full}/refloc/a")["annotations"]["segmentation"]
    assert (found["mask_url"], found["type"]) == ("https://example.org/m.png", "mask")


def test_the_whole_export_is_all_pages(http: ExportHttp, full: str) -> None:
    assert http("GET", f"dataset/{full}/exportForTraining")["exportedRows"] == http.export_page(full)["data"]


def test_the_whole_export_takes_the_body_of_a_get(http: ExportHttp, full: str) -> None:
    assert len(http("GET", f"dataset/{full}/exportForTraining", {})["exportedRows"]) == 3


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_reference_ids_are_exported(http: ExportHttp, name: str) -> None:
    dataset = http.new_dataset("a", name)
    http.annotate(dataset, annotation("box", name))
    row = http.export_page(dataset)["data"][1]
    view = http("GET", f"dataset/{dataset}/refloc/{quote(name, safe='').replace('.', '%2E')}")
    assert (row["item"], row["box"]) == (view["item"], view["annotations"]["box"])
    assert (row["item"]["reference_id"], row["box"][0]["reference_id"]) == (name, name)


def test_predictions_are_no_part_of_an_export(http: ExportHttp) -> None:
    dataset = http.new_dataset("a")
    http("POST", "models/add", {"name": "A model", "reference_id": "model"})
    run = http("POST", f"dataset/{dataset}/modelRun/create", {"reference_id": "model"})["model_run_id"]
    http("POST", f"modelRun/{run}/predict", {"annotations": [annotation("box")]})
    assert http.export_page(dataset)["data"][0]["box"] == []


def test_images_are_not_cut_into_chips(http: ExportHttp, full: str) -> None:
    assert "chip" in http.export_page(full, 501, chip=True)["error"]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_query_leaves_out_items_on_every_page(http: ExportHttp, size: int) -> None:
    dataset = http("POST", "dataset/create", {"name": "Images"})["dataset_id"]
    rows = [{**item(str(number)), "metadata": {"n": number}} for number in range(9)]
    http("POST", f"dataset/{dataset}/append", {"items": rows})
    http("POST", f"dataset/{dataset}/annotate", {"annotations": [annotation("box", "4")]})
    found: list[Any] = []
    token = None
    while token is not None or not found:
        page = http.export_page(dataset, pageToken=token, pageSize=size, query="metadata.n % 4 = 0")
        assert len(page["data"]) <= size
        found += page["data"]
        token = page["nextPageToken"]
    assert [row["item"]["reference_id"] for row in found] == ["0", "4", "8"]
    assert [len(row["box"]) for row in found] == [0, 1, 0]
    assert "line 1, column 12" in http.export_page(dataset, 400, query="metadata.n ~ 4")["error"]


@pytest.mark.parametrize(
    ("method", "route"), [("POST", "itemsPage"), ("POST", "exportForTrainingPage"), ("GET", "exportForTraining")]
)
def test_a_dataset_that_is_not_there(http: ExportHttp, method: str, route: str) -> None:
    http(method, f"dataset/ds_0/{route}", {}, 404)


def test_a_served_store_exports(endpoint: str) -> None:
    with requests.Session() as session:
        dataset = session.post(f"{endpoint}/dataset/create", json={"name": "Images"}, timeout=20).json()["dataset_id"]
        rows = {"items": [item(name) for name in HOSTILE]}
        session.post(f"{endpoint}/dataset/{dataset}/append", json=rows, timeout=20).raise_for_status()
        found, token = [], ""
        while token is not None:
            body = {"pageToken": token, "pageSize": 3}
            page = session.post(f"{endpoint}/dataset/{dataset}/exportForTrainingPage", json=body, timeout=20).json()
            found += names_of(page["data"])
            token = page["nextPageToken"]
        whole = session.get(f"{endpoint}/dataset/{dataset}/exportForTraining", timeout=20).json()["exportedRows"]
    assert found == names_of(whole) == HOSTILE
