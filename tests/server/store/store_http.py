"""Requests that fill a store, and what lies in it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.wire.entities import Box, BoxGeometry, Item
from tests.http import Http

TABLES = ("dataset", "item", "hole", "annotation", "run", "prediction", "match", "upload")


class StoreHttp(Http):
    """Requests that fill a store."""

    def new_dataset_of(self, count: int) -> str:
        """Create a dataset of `count` images named 0, 1, 2, …"""
        return self.new_dataset(*map(str, range(count)))

    def upload(self, dataset: str, lines: Sequence[bytes], route: str, request_id: str = "first") -> dict[str, Any]:
        """Send rows through a signed address, and return the job."""
        url = self("GET", f"dataset/{dataset}/signedUrl/{request_id}")["signed_url"]
        self("PUT", url, data=b"\n".join(lines))
        job: dict[str, Any] = self("POST", f"{route}?async=1", {"requestId": request_id})
        return job


def image_row(name: str, **fields: object) -> dict[str, object]:
    return {"reference_id": name, "image_url": f"https://example.org/{name}", **fields}


def box_row(name: str, annotation_id: str, **fields: object) -> dict[str, object]:
    geometry = {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}
    return {
        "type": "box",
        "label": "car",
        "reference_id": name,
        "annotation_id": annotation_id,
        "geometry": geometry,
        **fields,
    }


def new_items(names: Sequence[str]) -> list[Item]:
    return [Item(reference_id=name, image_url=f"https://example.org/{name}") for name in names]


def new_box(name: str, annotation_id: str | None = None, label: str = "car") -> Box:
    return Box(reference_id=name, annotation_id=annotation_id, label=label, geometry=BoxGeometry(1, 2, 3, 4))


def rows_in(nucleus: EmbeddedNucleus, *tables: str) -> dict[str, int]:
    with nucleus.database.read() as db:
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def stored_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def common(**fields: object) -> dict[str, object]:
    return {"reference_id": "0", "metadata": {"deep": [{"ä": None}], "one": 1, "whole": 1.0}, **fields}


VERTICES = {"vertices": [{"x": 0.5, "y": 1.25}, {"x": 1e-7, "y": -3.0}, {"x": 1e9, "y": 0.1}]}


EVERY_TYPE: dict[str, dict[str, object]] = {
    "box": common(
        type="box",
        label="car",
        annotation_id="a box",
        geometry={"x": -1.5, "y": 0.1, "width": 0.0, "height": 1e9},
        class_pdf={"car": 0.75, "bus": 0.25},
        track_reference_id="track 7",
        embedding_vector=[0.1, -2.0],
    ),
    "line": common(type="line", label="lane", annotation_id="a line", geometry=VERTICES),
    "polygon": common(type="polygon", label="grass\n☘", annotation_id="a polygon", geometry=VERTICES),
    "keypoints": common(
        type="keypoints",
        label="person",
        annotation_id="some keypoints",
        geometry={
            "keypoints": [
                {"x": 1.0, "y": 2.0, "visible": False},
                {"visible": False},
                {"x": None, "y": 4.0, "visible": False},
            ],
            "names": ["head", "hand", "foot"],
            "skeleton": [[0, 1], [1, 2]],
        },
    ),
    "cuboid": common(
        type="cuboid",
        label="car",
        annotation_id="a cuboid",
        geometry={
            "position": {"x": 1.0, "y": 2.0, "z": 3.0},
            "dimensions": {"x": 4.5, "y": 5.0, "z": 6.0},
            "yaw": -0.5,
        },
    ),
    "category": common(type="category", label="rainy", annotation_id="a category", taxonomy_name="weather"),
    "multicategory": common(
        type="multicategory", labels=["rainy", "dark"], annotation_id="several", taxonomy_name="light"
    ),
    "segmentation": common(
        type="mask",
        mask_url="https://example.org/mask.png",
        annotation_id="a mask",
        annotations=[{"label": "sky", "index": 1}, {"label": "road", "index": 2, "metadata": {"wet": True}}],
    ),
}


def append_files(http: StoreHttp, dataset: str, images: dict[str, bytes], status: int = 200, **fields: object) -> Any:
    rows = [{"reference_id": name, **fields} for name in images]
    files = [(io.BytesIO(content), name) for name, content in images.items()]
    return http("POST", f"dataset/{dataset}/append", status=status, data={"items": json.dumps(rows), "image": files})


def annotate_masks(http: StoreHttp, dataset: str, content: bytes, status: int = 200) -> Any:
    row = {**EVERY_TYPE["segmentation"], "mask_url": "mask.png"}
    data = {"serialized_request": json.dumps({"segmentations": [row]}), "mask": [(io.BytesIO(content), "mask.png")]}
    return http("POST", f"dataset/{dataset}/annotate", status=status, data=data)
