"""Frames that are written to annotation files, validated completely before the first byte is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas._util.arrays import Floats, Indices
from nucleus_pandas.errors import InvalidInputError, ValidationError
from nucleus_pandas.io.files import escapes, stem_of
from nucleus_pandas.schema import (
    NOT_SENT,
    FrameLike,
    NamedColumns,
    Problems,
    check_annotations,
    floats,
    to_strings,
    warn,
)
from nucleus_pandas.schema.checked_rows import reason_of, shown
from nucleus_pandas.schema.coerce import is_missing, sides
from nucleus_pandas.schema.json_values import is_json, to_json
from nucleus_pandas.schema.metadata import PREFIX, metadata
from nucleus_pandas.wire.entities import Polygon

_SHOWN = 5  # invalid rows in a message
_RENAME = "Rename the column: .rename(columns={{'your_column': {!r}}})."


@dataclass(frozen=True, eq=False)
class CheckedItems:
    """Checked items.

    Attributes
    ----------
    named : NamedColumns
        The frame.
    references : list of str
        The names, all different.
    sizes : list of (int or None, int or None)
        Widths and heights in pixels.
    urls : list of str or None
        URLs or paths of the images.
    metadata : list of dict
        New dicts of JSON values.
    """

    named: NamedColumns
    references: list[str]
    sizes: list[tuple[int | None, int | None]]
    urls: list[str | None]
    metadata: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class CheckedBoxes:
    """Checked boxes.

    Attributes
    ----------
    named : NamedColumns
        The frame.
    rows : numpy.ndarray of int
        The position of each box in the frame.
    image : list of int
        The position of its image.
    labels : list of str
        Its label.
    sides : numpy.ndarray of shape (n, 4)
        x, y, width and height in pixels.
    confidence : numpy.ndarray of float64 or None
        NaN where a box has none; None where the frame has no such column.
    ids : list of str or None
        The annotation ids that the frame has.
    metadata : list of dict
        New dicts of JSON values.
    polygons : dict of int to list of float
        Of boxes computed from a polygon: its x1, y1, x2, y2, …
    """

    named: NamedColumns
    rows: Indices
    image: list[int]
    labels: list[str]
    sides: Floats
    confidence: Floats | None
    ids: list[str | None]
    metadata: list[dict[str, Any]]
    polygons: dict[int, list[float]]

    def values(self, name: str) -> list[Any]:
        """Return the values of another column, as JSON can hold them; None where they are missing.

        Raises
        ------
        InvalidInputError
            A value has no form in JSON.
        """
        if not self.named.holds(name):
            return [None] * len(self.rows)
        values = self.named.own(name).tolist()
        problems = Problems(self.named.index)
        converted = []
        for row, kept in zip(self.rows.tolist(), self.metadata, strict=True):
            value = values[row]
            try:
                if value is not kept.get(name):  # that one was validated with the metadata
                    value = None if is_missing(value) else value if is_json(value) else to_json(value, "$", nulls=True)
                converted.append(value)
            except (ValidationError, RecursionError) as error:
                problems.add_one(row, name, reason_of(error))
        check_rows(problems, "annotations")
        return converted

    def numbers(self, name: str) -> list[float | None]:
        """Return the values of another column of numbers; None where they are missing.

        Raises
        ------
        InvalidInputError
            A value is not a number.
        """
        if not self.named.holds(name):
            return [None] * len(self.rows)
        problems = Problems(self.named.index)
        numbers = floats(self.named.own(name), problems)
        check_rows(problems, "annotations")
        return [None if np.isnan(number) else number for number in numbers[self.rows].tolist()]


def check_items_to_write(items: FrameLike) -> CheckedItems:
    """Validate a frame of items.

    Raises
    ------
    InvalidInputError
        A column or a name is missing, names repeat, or a value is invalid.
    """
    named = NamedColumns(items, None)
    problems = Problems(named.index)
    all_rows = np.ones(len(named), dtype=np.bool_)
    remedy = _RENAME.format("reference_id")
    references = to_strings(named.need("reference_id", remedy), problems, required=all_rows)
    names = pd.Series(references.to_pylist(), dtype=object)
    problems.add(
        (names.duplicated() & names.notna()).to_numpy(dtype=np.bool_),
        "reference_id",
        lambda row: f"is {shown(names[row])} again. Drop the repeated rows.",
    )
    sides_of_images = []
    for side in ("width", "height"):
        column = named.image_side(side)
        numbers = np.full(len(named), np.nan) if column is None else sides(column, problems)
        sides_of_images.append([None if np.isnan(number) else int(number) for number in numbers.tolist()])
    urls = named.get("image_url")
    places: list[str | None] = [None] * len(named)
    if urls is not None:
        places = to_strings(urls, problems, addresses=True).to_pylist()
    metadata_of_rows = _metadata(named, np.arange(len(named)), problems)
    check_rows(problems, "items")
    return CheckedItems(named, names.tolist(), list(zip(*sides_of_images, strict=True)), places, metadata_of_rows)


def check_boxes_to_write(
    annotations: FrameLike, images: CheckedItems, form: str, *, polygons: bool = False
) -> CheckedBoxes:
    """Validate a frame of annotations or predictions.

    Parameters
    ----------
    annotations : pandas.DataFrame
        The frame. Rows without a box are images without boxes, and are skipped.
    images : CheckedItems
        The images that the boxes may belong to.
    form : str
        The name of the format in messages.
    polygons : bool
        Whether to include polygons, as their bounding boxes.

    Raises
    ------
    InvalidInputError
        A column is missing, or a row is invalid or belongs to an unknown positions.

    Warns
    -----
    NucleusWarning
        Rows are left out because they are not boxes.
    """
    named = NamedColumns(annotations, None)
    for name in ("label", *(() if named.has("type") else ("x", "y", "width", "height"))):
        named.need(name, _RENAME.format(name))
    if not named.has("dataset_item_id"):
        named.need("reference_id", _RENAME.format("reference_id"))
    layer: Any = "predictions" if named.has("confidence") else "annotations"
    checked = check_annotations(named.frame, layer, metadata_from=False)
    problems = checked.problems
    units = checked.units
    rows = np.flatnonzero(checked.unit_of_row != NOT_SENT)
    polygon_of = {
        unit: _vertices(shape) for unit, shape in units.others.items() if polygons and isinstance(shape, Polygon)
    }
    kept = np.array(
        [unit for unit in range(len(units)) if unit in polygon_of or unit not in units.others], dtype=np.intp
    )
    if len(kept) < len(units):
        kinds = sorted({str(shape.__struct_config__.tag) for at, shape in units.others.items() if at not in polygon_of})
        warn(
            f"{len(units) - len(kept)} rows are left out: {form} holds boxes, and they are of type {', '.join(kinds)}."
        )
    boxes = units.boxes
    box = np.ascontiguousarray(boxes.sides.T)
    for unit, polygon in polygon_of.items():
        x, y = np.array(polygon[0::2]), np.array(polygon[1::2])
        box[unit] = x.min(), y.min(), np.ptp(x), np.ptp(y)
    positions = _images(boxes, rows, images, problems, kept)
    metadata_of_rows = _metadata(named, rows[kept], problems)
    check_rows(problems, "annotations")
    take = pa.array(kept)
    ids = [None] * len(kept) if boxes.given_ids is None else boxes.given_ids.take(take).to_pylist()
    return CheckedBoxes(
        named=named,
        rows=rows[kept],
        image=positions,
        labels=boxes.labels.take(take).to_pylist(),
        sides=box[kept],
        confidence=None if boxes.confidences is None else boxes.confidences[kept],
        ids=ids,
        metadata=metadata_of_rows,
        polygons={at: polygon_of[unit] for at, unit in enumerate(kept.tolist()) if unit in polygon_of}
        if polygon_of
        else {},
    )


def _vertices(polygon: Polygon) -> list[float]:
    return [float(number) for point in polygon.geometry.vertices for number in (point.x, point.y)]


def _images(boxes: Any, rows: Indices, images: CheckedItems, problems: Problems, kept: Indices) -> list[int]:
    """Find the image of each box by its reference id or item id."""
    dictionary = boxes.keys.dictionary_encode()
    keys: list[str] = dictionary.dictionary.to_pylist()
    by_reference = {name: at for at, name in enumerate(images.references)}
    at_key = np.array([by_reference.get(key, -1) for key in keys] or [-1], dtype=np.intp)
    indices = dictionary.indices.to_numpy(zero_copy_only=False)
    positions = at_key[indices]
    if boxes.by_item_id is not None:
        column = images.named.get("dataset_item_id")
        ids = [] if column is None else to_strings(column, Problems(images.named.index)).to_pylist()
        by_id = {name: at for at, name in enumerate(ids) if name is not None}
        at_id = np.array([by_id.get(key, -1) for key in keys] or [-1], dtype=np.intp)
        positions = np.where(boxes.by_item_id, at_id[indices], positions)
    positions = positions[kept]
    is_lost = np.zeros(len(problems.index), dtype=np.bool_)
    is_lost[rows[kept][positions < 0]] = True
    name_of = dict(zip(rows.tolist(), indices.tolist(), strict=True)) if is_lost.any() else {}
    column_name = "reference_id" if boxes.by_item_id is None else "dataset_item_id"
    problems.add(
        is_lost,
        column_name,
        lambda row: (
            f"is {shown(keys[name_of[row]])}, and the items have no such image. Add it to them, or drop the row."
        ),
    )
    return [int(at) for at in positions]


def _metadata(named: NamedColumns, rows: Indices, problems: Problems) -> list[dict[str, Any]]:
    """Return the metadata of some rows: unchanged where it is valid JSON, else as an upload would convert it."""
    column = named.get("metadata")
    keyed = any(isinstance(name, str) and name.startswith(PREFIX) for name in named.names)
    if column is not None and not keyed and pd.api.types.is_object_dtype(column.dtype):
        values = column.tolist()
        selected = [values[row] for row in rows.tolist()]
        others = [
            at for at, value in enumerate(selected) if not (value is None or (type(value) is dict and _is_json(value)))
        ]
        kept: list[dict[str, Any]] = [dict(value) if type(value) is dict else {} for value in selected]
        if others:
            converted = NamedColumns(named.frame.iloc[rows[others]], None)
            faults = Problems(converted.index)
            texts = metadata(converted, True, faults)
            for at, text in zip(others, texts.to_pylist(), strict=True):  # type: ignore[union-attr]
                kept[at] = {} if text is None else msgspec.json.decode(text)
            for at, reason in faults.reasons().items():
                problems.add_one(int(rows[others[at]]), "", reason)
        return kept
    objects = metadata(named, True, problems)
    if objects is None:
        return [{} for _ in range(len(rows))]
    return [{} if text is None else msgspec.json.decode(text) for text in objects.take(pa.array(rows)).to_pylist()]


def _is_json(value: Mapping[str, Any]) -> bool:
    try:
        return is_json(value)
    except RecursionError:
        return False


def paths_of(images: CheckedItems, suffix: str) -> list[str]:
    """Return the file name of each image: its own name with another extension, unique and below a folder.

    Raises
    ------
    InvalidInputError
        An image name cannot be a file name, or two images share one.
    """
    problems = Problems(images.named.index)
    first: dict[str, int] = {}
    paths = []
    for row, name in enumerate(images.references):
        reason = escapes(name)
        path = stem_of(name) + suffix
        if reason is not None:
            problems.add_one(row, "reference_id", f"is {shown(name)}, which {reason}. Rename the image.")
        elif path in first:
            other = images.references[first[path]]
            problems.add_one(row, "reference_id", f"is {shown(name)}, and {shown(other)} has the same file, {path!r}.")
        first.setdefault(path, row)
        paths.append(path)
    check_rows(problems, "items")
    return paths


def check_rows(problems: Problems, what: str) -> None:
    """Raise InvalidInputError if rows cannot be written."""
    if not problems.bad.any():
        return
    reasons = problems.reasons()
    lines = [f"{len(reasons)} of {len(problems.index)} rows of the {what} cannot be written:"]
    lines += [f"  {problems.label(row)}: {reasons[row]}" for row in list(reasons)[:_SHOWN]]
    if len(reasons) > _SHOWN:
        lines.append(f"  … and {len(reasons) - _SHOWN} more; .problems lists all.")
    raise InvalidInputError("\n".join(lines), problems=problems.frame())
