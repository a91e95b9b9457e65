"""Masks: polygons and run-length encodings as COCO writes them, made comparable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Floats, Indices
from nucleus_pandas.evaluation.arrays import Mask
from nucleus_pandas.schema import NamedColumns, Problems
from nucleus_pandas.wire.column_json import Texts

Size = tuple[int, int]
"""Height and width of an image in pixels."""

_SIDES = ("x", "y", "width", "height")


def codec() -> Any:
    """Return the module that reads, writes and compares run-length encodings."""
    return import_module("hotcoco.mask")


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of a frame's rows.

    Attributes
    ----------
    encoded : list of dict
        Compressed run-length encodings; None where a row has no mask.
    """

    encoded: list[Any]

    def take(self, rows: Indices) -> Masks:
        """Return some of the rows."""
        return Masks([self.encoded[row] for row in rows.tolist()])

    def areas(self) -> Floats:
        """Count the pixels of each mask."""
        return np.array([codec().area(mask) for mask in self.encoded], dtype=np.float64)

    def missing(self, named: NamedColumns) -> int:
        """Count the rows that have a box, but no mask."""
        x = named.get("x")
        if x is None:
            return 0
        there: Any = x.notna()
        return sum(mask is None and bool(box) for mask, box in zip(self.encoded, there.tolist(), strict=True))

    def boxed(self, named: NamedColumns) -> pd.DataFrame:
        """Return the frame with the box around each mask for its place; rows without a mask have none."""
        there = [row for row, mask in enumerate(self.encoded) if mask is not None]
        box = np.full((len(named), 4), np.nan)
        if there:
            box[there] = codec().toBbox([self.encoded[row] for row in there])
        own = [named.name(name) for name in (*_SIDES, "type", "geometry")]
        frame = named.frame.drop(columns=[name for name in own if name in named.frame.columns])
        return frame.assign(**dict(zip(_SIDES, box.T, strict=True)))


def masks_of(named: NamedColumns, keys: Texts, problems: Problems, sizes: Mapping[str, Size]) -> Masks:
    """Take the masks of a frame: its column ``segmentation``, else the polygons in ``geometry``.

    Parameters
    ----------
    named : NamedColumns
        The frame.
    keys : Texts
        The image of each row.
    problems : Problems
        Takes what is no mask.
    sizes : dict of str to (int, int)
        Height and width of the images, see `sizes_of`.
    """
    if not named.has("segmentation") and not named.has("geometry"):
        named.need("segmentation", "Masks stand in a column 'segmentation', as COCO has them, or in 'geometry'.")
    column, values = _values(named)
    found: list[Any] = []
    for row, (key, value) in enumerate(zip(keys.to_pylist(), values, strict=True)):
        mask = None
        if value is not None and key is not None:
            try:
                mask = _encoded(value, sizes[key])
            except (ValueError, TypeError, KeyError) as error:
                problems.add_one(row, column, f"is no mask: {error}")
        found.append(mask)
    return Masks(found)


def sizes_of(frames: Iterable[tuple[NamedColumns, Texts]]) -> dict[str, Size]:
    """Return the sizes of images.

    Parameters
    ----------
    frames : iterable of (NamedColumns, Texts)
        Frames with the image of each row. Columns ``image_width`` and ``image_height``, or ``width`` and ``height``
        where the frame has no boxes, go before the sizes of run-length encodings, and these before the extents of
        polygons.

    Returns
    -------
    dict of str to (int, int)
        Height and width of each image.
    """
    told: dict[str, Size] = {}
    encoded: dict[str, Size] = {}
    extents: dict[str, Size] = {}
    for named, keys in frames:
        names = keys.to_pylist()
        for key, size in zip(names, _told(named), strict=True):
            if size is not None:
                told.setdefault(key, size)
        for key, value in zip(names, _values(named)[1], strict=True):
            if isinstance(value, Mapping) and "size" in value:
                encoded.setdefault(key, (int(value["size"][0]), int(value["size"][1])))
            elif value is not None:
                height, width = _extent(value)
                known = extents.get(key, (1, 1))
                extents[key] = max(known[0], height), max(known[1], width)
    return {**extents, **encoded, **told}


def _told(named: NamedColumns) -> list[Size | None]:
    pair = ("image_height", "image_width")
    if not all(map(named.has, pair)):
        pair = ("height", "width")
        if named.has("x") or not all(map(named.has, pair)):
            return [None] * len(named)
    columns = [pd.to_numeric(named.need(name), errors="coerce").to_numpy(np.float64, na_value=np.nan) for name in pair]
    return [
        None if math.isnan(height) or math.isnan(width) else (int(height), int(width))
        for height, width in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _values(named: NamedColumns) -> tuple[str, list[Any]]:
    """Return polygons and encodings as COCO has them, None where a row has none."""
    column = named.get("segmentation")
    if column is not None:
        kinds = (Mapping, Sequence, np.ndarray)
        return str(column.name), [value if isinstance(value, kinds) else None for value in column]
    column = named.get("geometry")
    if column is None:
        return "", [None] * len(named)
    return str(column.name), [_vertices(value) for value in column]


def _vertices(value: object) -> list[list[float]] | None:
    """Return the polygon of a geometry of Nucleus; None where it is of another type."""
    if not isinstance(value, Mapping) or not isinstance(value.get("vertices"), (Sequence, np.ndarray)):
        return None
    return [[number for vertex in value["vertices"] for number in (vertex["x"], vertex["y"])]]


def _extent(value: Any) -> Size:
    try:
        numbers = [np.asarray(polygon, dtype=np.float64) for polygon in value]
        return (
            max(math.ceil(max(polygon[1::2])) for polygon in numbers) + 1,
            max(math.ceil(max(polygon[0::2])) for polygon in numbers) + 1,
        )
    except (TypeError, ValueError, OverflowError):
        return 1, 1  # what is wrong is told where the mask is taken


def _encoded(value: Any, size: Size) -> Mask:
    if isinstance(value, Mapping):
        given = int(value["size"][0]), int(value["size"][1])
        if given != size:
            raise ValueError(f"it is of {given[1]} by {given[0]} pixels, its image of {size[1]} by {size[0]}.")
        counts = value["counts"]
        if isinstance(counts, (list, tuple, np.ndarray)):
            made: Mask = codec().frPyObjects({"size": list(size), "counts": [int(count) for count in counts]}, *size)
            return made
        return {"size": list(size), "counts": counts.encode() if isinstance(counts, str) else bytes(counts)}
    polygons = [np.asarray(polygon, dtype=np.float64) for polygon in value]
    for polygon in polygons:
        if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
            raise ValueError("a polygon has at least three points, written x1, y1, x2, y2, … in pixels.")
    if not polygons:
        raise ValueError("it has no polygon.")
    merged: Mask = codec().merge(codec().frPyObjects([polygon.tolist() for polygon in polygons], *size))
    return merged
