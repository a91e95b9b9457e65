"""Rows of every kind: all types of annotations, odd ids, metadata of any value."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

import nucleus_pandas as npd

METADATA: list[dict[str, Any]] = [
    {"weather": "rain", "hour": 7, "lat": 48.2},
    {},
    {"one": 1, "one point": 1.0, "yes": True, "no": False, "empty": "", "list": [], "dict": {}},
    {"nested": {"null": None, "list": [1, 1.0, None, {"deep": [[]]}]}, "ünïcödé": "日本 \U0001f600 \u2028 \\ \" '"},
    {"large": 2**53 + 1, "small": 5e-324, "negative": -0.0, "text": "NaN"},
]
IDS = ["a.jpg", "b/../c d?.jpg", "ü 日本", "007", "'; DROP TABLE item; --"]
SHAPES: dict[str, tuple[str | None, dict[str, Any] | None]] = {
    "line": ("lane", {"vertices": [{"x": 0.5, "y": 1.0}, {"x": 2.0, "y": 3.0}]}),
    "polygon": ("lake", {"vertices": [{"x": 0.0, "y": 0.0}, {"x": 9.0, "y": 0.0}, {"x": 0.0, "y": 9.0}]}),
    "keypoints": (
        "person",
        {
            "keypoints": [{"x": 1.0, "y": 2.0, "visible": True}, {"visible": False}],
            "names": ["head", "foot"],
            "skeleton": [[0, 1]],
        },
    ),
    "cuboid": (
        "truck",
        {
            "position": {"x": 1.0, "y": 2.0, "z": 3.0},
            "dimensions": {"x": 4.0, "y": 5.0, "z": 6.0},
            "yaw": 0.5,
        },
    ),
    "category": ("rainy", {"taxonomy_name": "weather"}),
    "mask": (None, {"mask_url": "https://example.org/m.png", "annotations": [{"label": "sky", "index": 1}]}),
}


def fill(client: npd.NucleusClient) -> npd.Dataset:
    """Five images, boxes, and an annotation of every other type; a run with predictions of the same kinds."""
    dataset = client.create_dataset("From")
    items = pd.DataFrame({"reference_id": IDS, "image_url": [f"https://example.org/{n}.jpg" for n in range(5)]})
    items["width"] = pd.array([None, 640, 1, 2**31 - 1, None], dtype="Int64")
    items["height"] = pd.array([7, 480, None, 1, None], dtype="Int64")
    items["metadata"] = METADATA
    dataset.append(items)
    rows = annotations()
    dataset.annotate(rows)
    more = pd.DataFrame(
        {"reference_id": ["a.jpg"], "type": "multicategory", "geometry": [{"labels": ["x", "y"], "taxonomy_name": "t"}]}
    )
    dataset.annotate(more)
    run = dataset.create_model_run(client.add_model("Detector", "det"))
    run.predict(rows.assign(confidence=[0.0, 1.0, 0.1, None, 0.25, 0.5, 0.75, 0.875, 1 / 3, 0.9]))
    return dataset


def annotations() -> pd.DataFrame:
    boxes = pd.DataFrame(
        {
            "reference_id": [IDS[4], IDS[0], IDS[1], IDS[0]],
            "label": ["car", "日本", 'do"g', "car"],
            "type": "box",
            "x": [0.1, -3.0, 1e-7, 1e6],
            "y": [0.2, 4.0, 1 / 3, 0.0],
            "width": [30.0, 0.0, 7.0, 1e9],
            "height": [60.0, 1.5, 0.0, 2.0],
            "track_reference_id": ["track 7", None, "", "ü"],
            "metadata": [METADATA[3], None, METADATA[2], METADATA[4]],
        }
    )
    others = pd.DataFrame(
        {
            "reference_id": IDS[2],
            "label": [label for label, _ in SHAPES.values()],
            "type": list(SHAPES),
            "geometry": [geometry for _, geometry in SHAPES.values()],
            "metadata": [METADATA[0]] * len(SHAPES),
        }
    )
    rows = pd.concat([boxes, others], ignore_index=True)
    rows["task_id"] = [None, "007", *["t"] * (len(rows) - 2)]
    rows["embedding_vector"] = [[0.1, -2.0], None, [], *[[1 / 3]] * (len(rows) - 3)]
    rows["class_pdf"] = [{"car": 0.75, "bus": 0.25}, None, {}, *[{"é": 1.0}] * (len(rows) - 3)]
    return rows


def without_ids(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.reset_index(drop=True).drop(columns="dataset_item_id", errors="ignore")


def spelled(values: pd.Series[Any]) -> list[str]:
    """What 1 == 1.0 == True would hide."""
    return [json.dumps(value) for value in values]
