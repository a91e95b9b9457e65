"""Requests beyond the contract."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import quote

from tests.factories import CUBOID, MASK_URL, POSE, SEGMENTS, SQUARE, TRIANGLE, item
from tests.http import Http

HOSTILE = [
    "a/b c",
    "it's",
    '"quoted"',
    "ü 😀",
    "%2F",
    "..",
    "?x=1#y",
    "\x1fid\x1fa",
    "\\u0041",
    " ",
    "di_0123",
    "a\x00b",
]


class ExtensionHttp(Http):
    """Requests beyond the contract."""

    def forget(self, dataset: str, *names: str) -> None:
        for name in names:
            self("DELETE", f"dataset/{dataset}/refloc/{quote(name, safe='')}")

    def items(self, dataset: str, status: int = 200, **selection: object) -> Any:
        return self("POST", f"_nucleus_pandas/dataset/{dataset}/items", selection, status)

    def annotations(self, place: str, status: int = 200, **selection: object) -> Any:
        """Read ground truth of a dataset, or predictions of a run."""
        route = f"modelRun/{place}/predictions" if place.startswith("run_") else f"dataset/{place}/annotations"
        return self("POST", f"_nucleus_pandas/{route}", selection, status)

    def append(self, dataset: str, names: list[str], status: int = 200, **fields: object) -> Any:
        body = {"items": [item(name) for name in names], **fields}
        return self("POST", f"_nucleus_pandas/dataset/{dataset}/append", body, status)

    def annotate(self, place: str, status: int = 200, **body: object) -> Any:
        """Store ground truth of a dataset, or predictions of a run."""
        route = f"modelRun/{place}/predict" if place.startswith("run_") else f"dataset/{place}/annotate"
        return self("POST", f"_nucleus_pandas/{route}", body, status)

    def table(self, name: str, order: str = "ORDER BY 1, 2, 3") -> list[tuple[Any, ...]]:
        return super().table(name, order)


def columns_of(rows: list[tuple[str, str]], **fields: object) -> dict[str, object]:
    """Boxes as columns, by item and annotation id."""
    sides = {name: [value] * len(rows) for name, value in SQUARE.items()}
    keys, ids = [key for key, _ in rows], [name for _, name in rows]
    return {"keys": keys, "annotation_id": ids, "label": ["car"] * len(rows), **sides, **fields}


def shape(kind: str, **fields: object) -> dict[str, object]:
    """An annotation of the item ``a`` of some type, and what belongs to that type."""
    geometries = {"line": TRIANGLE, "polygon": TRIANGLE, "keypoints": POSE, "cuboid": CUBOID, "box": SQUARE}
    made: dict[str, object] = {"type": kind, "reference_id": "a", "annotation_id": f"my {kind}", **fields}
    if kind == "mask":
        return {**made, "mask_url": MASK_URL, "annotations": SEGMENTS}
    if kind == "multicategory":
        return {**made, "labels": ["rain", "night"], "geometry": {"ignored": 1}}
    geometry = geometries.get(kind, {"ignored": 1})
    return {**made, "label": "thing", "geometry": geometry}


def references(page: Any) -> list[str]:
    found: list[str] = page["columns"]["reference_id"]
    return found


def ids_in(http: ExtensionHttp, dataset: str) -> dict[str, str]:
    page = http.items(dataset)["columns"]
    return dict(zip(page["reference_id"], page["dataset_item_id"], strict=True))


def multipart(text: bytes, name: str, files: list[bytes], kind: str, **parts: str) -> dict[str, Any]:
    data = {
        **parts,
        name: (io.BytesIO(text), None, "application/json"),
        kind: [(io.BytesIO(content), f"{n}.png") for n, content in enumerate(files)],
    }
    return {"data": data, "content_type": "multipart/form-data"}
