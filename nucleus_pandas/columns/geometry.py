"""Where an annotation lies: four columns, one column of boxes, or a geometry of another type."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, get_args

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas.boxes import BoxFormat, to_xywh
from nucleus_pandas.columns.naming import NamedColumns
from nucleus_pandas.columns.plain import plain
from nucleus_pandas.columns.problems import Mask, Problems, shown
from nucleus_pandas.columns.values import LARGEST, floats, is_missing, whole
from nucleus_pandas.errors import BadRequestError, InvalidInputError
from nucleus_pandas.wire import AnyAnnotation, Floats, Texts, convert

BoxColumn: TypeAlias = Hashable | Sequence[Hashable]
"""One column of four numbers, or the names of four columns."""

SIDES = ("x", "y", "width", "height")
_FIELDS: dict[BoxFormat, tuple[tuple[str, ...], ...]] = {
    "xywh": (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height")),
    "xyxy": (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom")),
    "cxcywh": (("cx", "cy", "width", "height"), ("cx", "cy", "w", "h")),
}


def box_sides(
    named: NamedColumns, is_box: Mask, problems: Problems, bbox: BoxColumn | None, bbox_format: BoxFormat
) -> tuple[Floats, Mask]:
    """Take the boxes.

    Returns
    -------
    (numpy.ndarray of shape (4, n), numpy.ndarray of bool)
        x, y, width and height in pixels; and the rows of type box that have none: pictures without boxes.
    """
    _check_format(bbox, bbox_format)
    if bbox is None and not is_box.any() and not all(map(named.has, SIDES)):
        return np.full((4, len(named)), np.nan), np.zeros(len(named), dtype=bool)
    known_bad = problems.bad.copy()
    if bbox is None:
        names: list[Hashable] = [named.name(side) for side in SIDES]
        columns = [named.need(side, _remedy(side)) for side in SIDES]
        sides = np.array([floats(column, problems) for column in columns])
    elif isinstance(bbox, (tuple, list)):
        names = list(bbox)
        sides = np.array([floats(named.own(name, " for bbox"), problems) for name in names])
    else:
        names = [bbox] * 4
        sides = _one_column(named.own(bbox, " for bbox"), problems, bbox_format, is_box)
    refused = problems.bad & ~known_bad
    missing = np.isnan(sides)
    is_empty: Mask = is_box & missing.all(axis=0) & ~refused
    partly = is_box & missing.any(axis=0) & ~is_empty & ~refused
    if partly.any():
        _refuse_partly(partly, missing, names, problems)
    good = is_box & ~is_empty & ~partly & ~refused
    if not good.all():
        sides = np.where(good, sides, np.nan)
    _check_sides(sides, [str(name) for name in names], bbox_format, problems)
    if bbox_format != "xywh":
        sides = np.ascontiguousarray(to_xywh(sides.T, bbox_format).T)
    return sides, is_empty


def _check_format(bbox: BoxColumn | None, bbox_format: BoxFormat) -> None:
    known = get_args(BoxFormat)
    if bbox_format not in known:
        raise InvalidInputError(f"bbox_format is one of {', '.join(map(repr, known))}, not {bbox_format!r}.")
    if bbox is None and bbox_format != "xywh":
        raise InvalidInputError(
            f"bbox_format={bbox_format!r} needs bbox=, since the columns x, y, width and height are always a corner "
            "and a size. Name the columns, as in bbox=('x1', 'y1', 'x2', 'y2')."
        )
    if isinstance(bbox, (tuple, list)) and len(bbox) != 4:
        raise InvalidInputError(f"bbox= names one column or four, not {len(bbox)}: {bbox!r}.")


def _remedy(side: str) -> str:
    return (
        f"Use columns={{{side!r}: 'your_column'}}, or name another layout: bbox='bbox' or bbox=('x1', 'y1', 'x2', 'y2'), with "
        "bbox_format='xyxy'."
    )


def _refuse_partly(partly: Mask, missing: np.ndarray[Any, Any], names: Sequence[Hashable], problems: Problems) -> None:
    if len(set(names)) == 1:
        problems.add(partly, str(names[0]), "lacks some of the four numbers. Fill them, or leave the box out whole.")
        return
    for name, absent in zip(names, missing, strict=True):
        problems.add(
            partly & absent,
            str(name),
            "is missing, while other sides of the box are there. Fill it, or clear all four.",
        )


def _check_sides(sides: Floats, names: Sequence[str], bbox_format: BoxFormat, problems: Problems) -> None:
    with np.errstate(invalid="ignore"):
        for side, name in zip(sides, names, strict=True):
            problems.add(np.abs(side) > LARGEST, name, f"is beyond {LARGEST:g} pixels, where areas are infinite.")
        if bbox_format == "xyxy":
            for low, high, letter in ((0, 2, "x"), (1, 3, "y")):
                problems.add(
                    sides[high] < sides[low],
                    names[high],
                    partial(_crossed, sides, low, high, letter),
                )
            return
        for number, what in ((2, "width"), (3, "height")):
            problems.add(
                sides[number] < 0,
                names[number],
                partial(_negative, sides, number, what),
            )


def _crossed(sides: Floats, low: int, high: int, letter: str, row: int) -> str:
    first, second = sides[low, row], sides[high, row]
    return f"{letter}2 is {second:g}, less than {letter}1, {first:g}. Swap them; or is the format 'xywh'?"


def _negative(sides: Floats, number: int, what: str, row: int) -> str:
    return (
        f"the {what} of the box is {sides[number, row]:g}, and none is negative. Are these two corners? Then name them "
        "by bbox= and bbox_format='xyxy'."
    )


def _one_column(series: pd.Series[Any], problems: Problems, bbox_format: BoxFormat, is_box: Mask) -> Floats:
    """Take a column of lists, arrays, structs or dicts of four numbers."""
    found = _at_once(series)
    return _box_by_box(series, problems, bbox_format, is_box) if found is None else found


def _at_once(series: pd.Series[Any]) -> Floats | None:
    """Take a column in which every row has four numbers; None where that is not so."""
    if isinstance(series.dtype, pd.ArrowDtype):
        column = whole(pa.array(series))
        kind = column.type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
            return None
        if not (pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)) or column.null_count:
            return None
        flat = column.flatten()
        fours = pc.all(pc.equal(pc.list_value_length(column), 4)).as_py()
        if not fours or flat.null_count:
            return None
        numbers = flat.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return np.ascontiguousarray(numbers.reshape(-1, 4).T) if np.isfinite(numbers).all() else None
    try:
        array = np.array(series.tolist())
    except ValueError:
        return None
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return None
    return np.ascontiguousarray(array.astype(np.float64).T)


def _box_by_box(series: pd.Series[Any], problems: Problems, bbox_format: BoxFormat, is_box: Mask) -> Floats:
    name = str(series.name)
    values = whole(pa.array(series)).to_pylist() if isinstance(series.dtype, pd.ArrowDtype) else series.tolist()
    found = np.full((4, len(values)), np.nan)
    for row, value in enumerate(values):
        if not is_box[row] or is_missing(value):
            continue
        numbers: Any = value
        if isinstance(value, Mapping):
            fields = next((names for names in _FIELDS[bbox_format] if set(names) <= set(value)), None)
            if fields is None:
                expected = " or ".join("(" + ", ".join(names) + ")" for names in _FIELDS[bbox_format])
                problems.add_one(row, name, f"has the fields {', '.join(map(str, value))}; expected {expected}.")
                continue
            numbers = [value[field] for field in fields]
        if isinstance(numbers, (str, bytes)) or np.ndim(numbers) != 1 or len(numbers) != 4:
            problems.add_one(row, name, f"is {shown(value)}; a box has four numbers.")
            continue
        before = problems.bad[row]
        part = Problems(pd.RangeIndex(4))
        found[:, row] = floats(pd.Series(list(numbers), dtype=object, name=name), part)
        for reason in part.reasons().values():
            problems.add_one(row, name, reason.removeprefix(f"column '{name}': "))
        problems.bad[row] |= before
    return found


def shapes(
    named: NamedColumns,
    kinds: Mapping[int, str],
    problems: Problems,
    *,
    keys: Texts,
    by_item_id: Mask,
    labels: Texts,
    given_ids: Texts | None,
    confidences: Floats | None,
    objects: Texts | None,
) -> dict[int, AnyAnnotation]:
    """Make annotations of the rows that are no boxes, from what their geometry says."""
    if not kinds:
        return {}
    series = named.get("geometry")
    values: list[Any] = [None] * len(named)
    if series is not None:
        values = whole(pa.array(series)).to_pylist() if isinstance(series.dtype, pd.ArrowDtype) else series.tolist()
    name = str(named.name("geometry"))
    made: dict[int, AnyAnnotation] = {}
    for row, kind in kinds.items():
        fields: dict[str, Any] = {"type": kind, "item_id" if by_item_id[row] else "reference_id": keys[row].as_py()}
        for field, column in (("label", labels), ("annotation_id", given_ids)):
            if column is not None and column[row].is_valid:
                fields[field] = column[row].as_py()
        if confidences is not None and not np.isnan(confidences[row]):
            fields["confidence"] = float(confidences[row])
        if objects is not None and objects[row].is_valid:
            fields["metadata"] = msgspec.json.decode(objects[row].as_py())
        try:
            fields |= _geometry(values[row], kind)
            shape: Any = AnyAnnotation  # a union is no type to a type checker
            made[row] = convert(fields, shape, f"The {kind}", "$")
        except (BadRequestError, RecursionError) as error:
            problems.add_one(row, name, str(error) or "is nested too deeply, or holds itself.")
    return made


def _geometry(value: object, kind: str) -> dict[str, Any]:
    """Give the fields of an annotation that its geometry stands for."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value.encode())
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise BadRequestError(f"is no JSON: {shown(value)} ({error}).") from None
    if is_missing(value):
        value = None
    if value is None:
        if kind == "category":
            return {}
        raise BadRequestError(f"is missing; a row of type '{kind}' is nothing without it.")
    if not isinstance(value, Mapping):
        raise BadRequestError(
            f"is {shown(value)}, a {type(value).__name__}; expected a dict or the text of a JSON object."
        )
    found: dict[str, Any] = plain(_without_missing(value), "$.geometry")
    if kind in ("category", "multicategory"):
        return _named(found, kind, ("taxonomy_name", "labels") if kind == "multicategory" else ("taxonomy_name",))
    if kind == "mask":
        return _named(found, kind, ("mask_url", "annotations"))
    return {"geometry": found}


def _named(found: dict[str, Any], kind: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    if unknown := set(found) - set(allowed):
        raise BadRequestError(f"holds {', '.join(sorted(unknown))}; that of a {kind} holds {', '.join(allowed)}.")
    return found


def _without_missing(value: Mapping[Any, Any]) -> dict[Any, Any]:
    """Leave out what an Arrow struct has only because other rows have it."""
    return {key: part for key, part in value.items() if not is_missing(part)}
