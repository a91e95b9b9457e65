"""What of frames is written to files: checked whole, before the first byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from nucleus_pandas.errors import InvalidInputError, ValidationError
from nucleus_pandas.io.files import escapes, stem_of
from nucleus_pandas.schema import NOT_SENT, NamedColumns, Problems, check_annotations, floats, texts, warn
from nucleus_pandas.schema.coerce import is_missing, sides
from nucleus_pandas.schema.json_values import is_json, to_json
from nucleus_pandas.schema.metadata import PREFIX, metadata
from nucleus_pandas.schema.problems import reason_of, shown
from nucleus_pandas.wire.entities import Polygon

_SHOWN = 5  # refused rows in an error's text
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
        Where the images are.
    metadata : list of dict
        New dicts, of what JSON holds.
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
        Where in the frame each box stands.
    image : list of int
        Which of the images it lies on.
    labels : list of str
        Its label.
    sides : numpy.ndarray of shape (n, 4)
        x, y, width and height in pixels.
    confidence : numpy.ndarray of float64 or None
        NaN where a box has none; None where the frame has no such column.
    ids : list of str or None
        The annotation ids that the frame has.
    metadata : list of dict
        New dicts, of what JSON holds.
    polygons : dict of int to list of float
        The boxes that stand around a polygon, and its x1, y1, x2, y2, …
    """

    named: NamedColumns
    rows: npt.NDArray[np.intp]
    image: list[int]
    labels: list[str]
    sides: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64] | None
    ids: list[str | None]
    metadata: list[dict[str, Any]]
    polygons: dict[int, list[float]]

    def values(self, name: str) -> list[Any]:
        """Return the values of another column, as JSON can hold them; None where they are missing.

        Raises
        ------
        InvalidInputError
            JSON cannot hold a value.
        """
        if not self.named.holds(name):
            return [None] * len(self.rows)
        values = self.named.own(name).tolist()
        problems = Problems(self.named.index)
        found = []
        for row, kept in zip(self.rows.tolist(), self.metadata, strict=True):
            value = values[row]
            try:
                if value is not kept.get(name):  # which is known to be sound
                    value = None if is_missing(value) else value if is_json(value) else to_json(value, "$", nulls=True)
                found.append(value)
            except (ValidationError, RecursionError) as error:
                problems.add_one(row, name, reason_of(error))
        if problems.bad.any():
            raise refused(problems, "annotations")
        return found

    def numbers(self, name: str) -> list[float | None]:
        """Return the values of another column of numbers; None where they are missing.

        Raises
        ------
        InvalidInputError
            A value is no number.
        """
        if not self.named.holds(name):
            return [None] * len(self.rows)
        problems = Problems(self.named.index)
        found = floats(self.named.own(name), problems)
        if problems.bad.any():
            raise refused(problems, "annotations")
        return [None if np.isnan(number) else number for number in found[self.rows].tolist()]


def check_items_to_write(items: pd.DataFrame) -> CheckedItems:
    """Look at a frame of items.

    Raises
    ------
    InvalidInputError
        A column or a name is missing, names repeat, or a value is wrong.
    """
    named = NamedColumns(items, None)
    problems = Problems(named.index)
    everywhere = np.ones(len(named), dtype=np.bool_)
    remedy = _RENAME.format("reference_id")
    references = texts(named.need("reference_id", remedy), problems, required=everywhere)
    names = pd.Series(references.to_pylist(), dtype=object)
    problems.add(
        (names.duplicated() & names.notna()).to_numpy(dtype=np.bool_),
        "reference_id",
        lambda row: f"is {shown(names[row])} again. Drop the repeated rows.",
    )
    found = []
    for name in ("width", "height"):
        # Beside x, they are those of boxes.
        column = None if named.has("x") else named.get(name)
        numbers = np.full(len(named), np.nan) if column is None else sides(column, problems)
        found.append([None if np.isnan(number) else int(number) for number in numbers.tolist()])
    urls = named.get("image_url")
    places: list[str | None] = [None] * len(named)
    if urls is not None:
        places = texts(urls, problems, addresses=True).to_pylist()
    kept = _metadata(named, np.arange(len(named)), problems)
    if problems.bad.any():
        raise refused(problems, "items")
    return CheckedItems(named, names.tolist(), list(zip(*found, strict=True)), places, kept)


def check_boxes_to_write(
    annotations: pd.DataFrame, images: CheckedItems, form: str, *, polygons: bool = False
) -> CheckedBoxes:
    """Look at a frame of annotations or predictions.

    Parameters
    ----------
    annotations : pandas.DataFrame
        The frame. Rows without a box stand for images without boxes, and are passed over.
    images : CheckedItems
        The images that they may lie on.
    form : str
        What is written, for the reader.
    polygons : bool
        Whether polygons are taken too, as the boxes around them.

    Raises
    ------
    InvalidInputError
        A column is missing, a row is wrong, or lies on an image that is not there.

    Warns
    -----
    NucleusWarning
        Rows are left out, for they are no boxes.
    """
    named = NamedColumns(annotations, None)
    for name in ("label", *(() if named.has("type") else ("x", "y", "width", "height"))):
        named.need(name, _RENAME.format(name))
    if not named.has("dataset_item_id"):
        named.need("reference_id", _RENAME.format("reference_id"))
    layer: Any = "predictions" if named.has("confidence") else "annotations"
    checked = check_annotations(annotations, layer, metadata_from=False)
    problems = checked.problems
    units = checked.units
    rows = np.flatnonzero(checked.unit_of_row != NOT_SENT)
    around = {unit: _vertices(shape) for unit, shape in units.others.items() if polygons and isinstance(shape, Polygon)}
    kept = np.array([unit for unit in range(len(units)) if unit in around or unit not in units.others], dtype=np.intp)
    if len(kept) < len(units):
        kinds = sorted({str(shape.__struct_config__.tag) for at, shape in units.others.items() if at not in around})
        warn(
            f"{len(units) - len(kept)} rows are left out: {form} holds boxes, and they are of type {', '.join(kinds)}."
        )
    boxes = units.boxes
    box = np.ascontiguousarray(boxes.sides.T)
    for unit, polygon in around.items():
        x, y = np.array(polygon[0::2]), np.array(polygon[1::2])
        box[unit] = x.min(), y.min(), np.ptp(x), np.ptp(y)
    image = _images(boxes, rows, images, problems, kept)
    own = _metadata(named, rows[kept], problems)
    if problems.bad.any():
        raise refused(problems, "annotations")
    take = pa.array(kept)
    ids = [None] * len(kept) if boxes.given_ids is None else boxes.given_ids.take(take).to_pylist()
    return CheckedBoxes(
        named=named,
        rows=rows[kept],
        image=image,
        labels=boxes.labels.take(take).to_pylist(),
        sides=box[kept],
        confidence=None if boxes.confidences is None else boxes.confidences[kept],
        ids=ids,
        metadata=own,
        polygons={at: around[unit] for at, unit in enumerate(kept.tolist()) if unit in around} if around else {},
    )


def _vertices(polygon: Polygon) -> list[float]:
    return [float(number) for point in polygon.geometry.vertices for number in (point.x, point.y)]


def _images(
    boxes: Any, rows: npt.NDArray[np.intp], images: CheckedItems, problems: Problems, kept: npt.NDArray[np.intp]
) -> list[int]:
    """Find the image of each box by the key that it is sent by."""
    coded = boxes.keys.dictionary_encode()
    keys: list[str] = coded.dictionary.to_pylist()
    by_reference = {name: at for at, name in enumerate(images.references)}
    at_key = np.array([by_reference.get(key, -1) for key in keys] or [-1], dtype=np.intp)
    indices = coded.indices.to_numpy(zero_copy_only=False)
    found = at_key[indices]
    if boxes.by_item_id is not None:
        column = images.named.get("dataset_item_id")
        ids = [] if column is None else texts(column, Problems(images.named.index)).to_pylist()
        by_id = {name: at for at, name in enumerate(ids) if name is not None}
        at_id = np.array([by_id.get(key, -1) for key in keys] or [-1], dtype=np.intp)
        found = np.where(boxes.by_item_id, at_id[indices], found)
    found = found[kept]
    lost = np.zeros(len(problems.index), dtype=np.bool_)
    lost[rows[kept][found < 0]] = True
    name_of = dict(zip(rows.tolist(), indices.tolist(), strict=True)) if lost.any() else {}
    column_name = "reference_id" if boxes.by_item_id is None else "dataset_item_id"
    problems.add(
        lost,
        column_name,
        lambda row: (
            f"is {shown(keys[name_of[row]])}, and the items have no such image. Add it to them, or drop the row."
        ),
    )
    return [int(at) for at in found]


def _metadata(named: NamedColumns, rows: npt.NDArray[np.intp], problems: Problems) -> list[dict[str, Any]]:
    """Return the metadata of some rows: as it is where JSON can hold it, else as it would be sent."""
    column = named.get("metadata")
    keyed = any(isinstance(name, str) and name.startswith(PREFIX) for name in named.names)
    if column is not None and not keyed and pd.api.types.is_object_dtype(column.dtype):
        values = column.tolist()
        chosen = [values[row] for row in rows.tolist()]
        with_care = [
            at for at, value in enumerate(chosen) if not (value is None or (type(value) is dict and _sound(value)))
        ]
        kept: list[dict[str, Any]] = [dict(value) if type(value) is dict else {} for value in chosen]
        if with_care:
            part = NamedColumns(named.frame.iloc[rows[with_care]], None)
            own = Problems(part.index)
            for at, text in zip(with_care, metadata(part, True, own).to_pylist(), strict=True):  # type: ignore[union-attr]
                kept[at] = {} if text is None else msgspec.json.decode(text)
            for at, reason in own.reasons().items():
                problems.add_one(int(rows[with_care[at]]), "", reason)
        return kept
    found = metadata(named, True, problems)
    if found is None:
        return [{} for _ in range(len(rows))]
    return [{} if text is None else msgspec.json.decode(text) for text in found.take(pa.array(rows)).to_pylist()]


def _sound(value: Mapping[str, Any]) -> bool:
    try:
        return is_json(value)
    except RecursionError:
        return False


def paths_of(images: CheckedItems, suffix: str) -> list[str]:
    """Return the name of the file of each image: its own with another extension, all different and below a folder.

    Raises
    ------
    InvalidInputError
        No file can be named after an image, or one after two.
    """
    problems = Problems(images.named.index)
    first: dict[str, int] = {}
    paths = []
    for row, name in enumerate(images.references):
        reason = escapes(name)
        path = stem_of(name) + suffix
        if reason is not None:
            problems.add_one(row, "reference_id", f"is {shown(name)}, which {reason}; no file can be named after it.")
        elif path in first:
            other = images.references[first[path]]
            problems.add_one(row, "reference_id", f"is {shown(name)}, and {shown(other)} has the same file, {path!r}.")
        first.setdefault(path, row)
        paths.append(path)
    if problems.bad.any():
        raise refused(problems, "items")
    return paths


def refused(problems: Problems, what: str) -> InvalidInputError:
    """Return the error that tells which rows cannot be written."""
    reasons = problems.reasons()
    lines = [f"{len(reasons)} of {len(problems.index)} rows of the {what} cannot be written:"]
    lines += [f"  {problems.label(row)}: {reasons[row]}" for row in list(reasons)[:_SHOWN]]
    if len(reasons) > _SHOWN:
        lines.append(f"  … and {len(reasons) - _SHOWN} more; .problems lists all.")
    return InvalidInputError("\n".join(lines), problems=problems.frame())
