"""What users do, the same on every server: an embedded Nucleus, in process or served, and the hosted service."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd

import nucleus_pandas as npd

T = TypeVar("T")


UNKNOWN = "nobody.jpg"


SHAPES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "line": ("lane", {"vertices": [{"x": 0.5, "y": 1.0}, {"x": 2.0, "y": 3.0}]}),
    "polygon": ("lake", {"vertices": [{"x": 0.0, "y": 0.0}, {"x": 9.0, "y": 0.0}, {"x": 0.0, "y": 9.0}]}),
    "keypoints": (
        "person",
        {"keypoints": [{"x": 1.0, "y": 2.0, "visible": True}], "names": ["head"], "skeleton": None},
    ),
    "mask": (None, {"mask_url": "https://example.org/m.png", "annotations": [{"label": "sky", "index": 1}]}),
    "cuboid": (
        "truck",
        {"position": {"x": 1.0, "y": 2.0, "z": 3.0}, "dimensions": {"x": 4.0, "y": 5.0, "z": 6.0}, "yaw": 0.5},
    ),
    "category": ("rainy", {"taxonomy_name": "weather"}),
    "multicategory": (None, {"labels": ["x", "y"], "taxonomy_name": "t"}),
}
"""In the order in which the contract names the types: a server that groups by type gives them so."""


class Stated(Protocol):
    """Gives the outcome that a case states for the server at hand."""

    def __call__(self, *, embedded: T, hosted: T) -> T: ...


def others(name: str, *kinds: str) -> pd.DataFrame:
    """An annotation of each type that is no box."""
    labels, geometries = zip(*(SHAPES[kind] for kind in kinds), strict=True)
    return pd.DataFrame({"reference_id": name, "label": labels, "type": kinds, "geometry": geometries})


def statuses(result: npd.UploadResult) -> list[str]:
    return list(result.rows["status"])


KEYS: list[tuple[str, Any]] = [
    ("iloc", 0),
    ("iloc", -1),
    ("iloc", slice(None, None, -2)),
    ("iloc", [2, 0, 2]),
    ("iloc", [True, False, True]),
    ("iloc", (1, 0)),
    ("iloc", (slice(1, None), [0, 1])),
    ("iloc", lambda frame: [len(frame) - 1]),
    ("refloc", "b.jpg"),
    ("refloc", ["c.jpg", "a.jpg", "c.jpg"]),
    ("refloc", (["c.jpg"], "image_url")),
    ("refloc", ("a.jpg", "image_width")),
    ("refloc", np.array([False, True, True])),
    ("refloc", slice(None)),
]
