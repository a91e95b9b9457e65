"""Masks: COCO polygons and run-length encodings, converted to one comparable form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from nucleus_pandas.evaluation.arrays import RleMask
from nucleus_pandas.schema import NamedColumns, Problems
from nucleus_pandas.schema.geometry import SIDES
from nucleus_pandas.wire.column_json import StringArray

MaskSize = tuple[int, int]
"""Height and width of an image in pixels."""


def codec() -> Any:
    """Return the module that reads, writes and compares run-length encodings."""
    return import_module("hotcoco.mask")


def missing_masks(masks: Sequence[RleMask | None], named: NamedColumns) -> int:
    """Count the rows of a frame that have a box, but no mask."""
    x = named.get("x")
    if x is None:
        return 0
    return sum(mask is None and bool(has_box) for mask, has_box in zip(masks, x.notna(), strict=True))


def boxed(masks: Sequence[RleMask | None], named: NamedColumns) -> pd.DataFrame:
    """Return the frame with the box around each mask as its geometry; rows without a mask have none."""
    has_mask = [row for row, mask in enumerate(masks) if mask is not None]
    box = np.full((len(named), 4), np.nan)
    if has_mask:
        box[has_mask] = codec().toBbox([masks[row] for row in has_mask])
    box_columns = [named.name(name) for name in (*SIDES, "type", "geometry")]
    frame = named.frame.drop(columns=[name for name in box_columns if name in named.frame.columns])
    return frame.assign(**dict(zip(SIDES, box.T, strict=True)))


def masks_of(named: NamedColumns, keys: StringArray, problems: Problems, sizes: Mapping[str, MaskSize]) -> list[Any]:
    """Read the masks of a frame, None where a row has none: ``segmentation``, else the polygons in ``geometry``.

    Parameters
    ----------
    named : NamedColumns
        The frame.
    keys : StringArray
        The image of each row.
    problems : Problems
        Receives the rows that do not hold a mask.
    sizes : dict of str to (int, int)
        Height and width of the images, see `sizes_of`.
    """
    if not named.has("segmentation") and not named.has("geometry"):
        named.need("segmentation", "Masks are in a column 'segmentation', as in COCO, or in 'geometry'.")
    column, values = _segmentations(named)
    encoded: list[Any] = []
    for row, (key, value) in enumerate(zip(keys.to_pylist(), values, strict=True)):
        mask = None
        if value is not None and key is not None:
            try:
                mask = _encoded(value, sizes[key])
            except (ValueError, TypeError, KeyError) as error:
                problems.add_one(row, column, f"is not a mask: {error}")
        encoded.append(mask)
    return encoded


def sizes_of(frames: Iterable[tuple[NamedColumns, StringArray]]) -> dict[str, MaskSize]:
    """Return the sizes of images.

    Parameters
    ----------
    frames : iterable of (NamedColumns, StringArray)
        Frames with the image of each row. Columns ``image_width`` and ``image_height``, or ``width`` and ``height``
        where the frame has no boxes, go before the sizes of run-length encodings, and these before the extents of
        polygons.

    Returns
    -------
    dict of str to (int, int)
        Height and width of each image.
    """
    from_columns: dict[str, MaskSize] = {}
    encoded: dict[str, MaskSize] = {}
    extents: dict[str, MaskSize] = {}
    for named, keys in frames:
        names = keys.to_pylist()
        for key, size in zip(names, _sizes_in_columns(named), strict=True):
            if size is not None:
                from_columns.setdefault(key, size)
        for key, value in zip(names, _segmentations(named)[1], strict=True):
            if isinstance(value, Mapping) and "size" in value:
                encoded.setdefault(key, (int(value["size"][0]), int(value["size"][1])))
            elif value is not None:
                height, width = _extent(value)
                largest = extents.get(key, (1, 1))
                extents[key] = max(largest[0], height), max(largest[1], width)
    return {**extents, **encoded, **from_columns}


def _sizes_in_columns(named: NamedColumns) -> list[MaskSize | None]:
    found = [column for side in ("height", "width") if (column := named.image_side(side)) is not None]
    if len(found) < 2:
        return [None] * len(named)
    columns = [pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan) for column in found]
    return [
        None if math.isnan(height) or math.isnan(width) else (int(height), int(width))
        for height, width in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _segmentations(named: NamedColumns) -> tuple[str, list[Any]]:
    """Return COCO polygons and encodings, None where a row has neither."""
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


def _extent(value: Any) -> MaskSize:
    try:
        numbers = [np.asarray(polygon, dtype=np.float64) for polygon in value]
        return (
            max(math.ceil(max(polygon[1::2])) for polygon in numbers) + 1,
            max(math.ceil(max(polygon[0::2])) for polygon in numbers) + 1,
        )
    except (TypeError, ValueError, OverflowError):
        return 1, 1  # the error is reported where the mask is read


def _encoded(value: Any, size: MaskSize) -> RleMask:
    if isinstance(value, Mapping):
        mask_size = int(value["size"][0]), int(value["size"][1])
        if mask_size != size:
            raise ValueError(f"it has {mask_size[1]} by {mask_size[0]} pixels, its image {size[1]} by {size[0]}.")
        counts = value["counts"]
        if isinstance(counts, (list, tuple, np.ndarray)):
            encoded: RleMask = codec().frPyObjects(
                {"size": list(size), "counts": [int(count) for count in counts]}, *size
            )
            return encoded
        return {"size": list(size), "counts": counts.encode() if isinstance(counts, str) else bytes(counts)}
    polygons = [np.asarray(polygon, dtype=np.float64) for polygon in value]
    for polygon in polygons:
        if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
            raise ValueError("a polygon has at least three points, written x1, y1, x2, y2, … in pixels.")
    if not polygons:
        raise ValueError("it has no polygon.")
    merged: RleMask = codec().merge(codec().frPyObjects([polygon.tolist() for polygon in polygons], *size))
    return merged
