"""Where an annotation lies: four columns, one column of boxes, or a geometry of another type."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence, Set
from functools import partial
from operator import itemgetter
from typing import Any, TypeAlias, get_args

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas._util.arrays import Bools, Floats
from nucleus_pandas.errors import InvalidInputError, ValidationError
from nucleus_pandas.schema.annotation_fields import detail
from nucleus_pandas.schema.boxes import BoxFormat, to_xywh
from nucleus_pandas.schema.checked_rows import Problems, reason_of, shown
from nucleus_pandas.schema.coerce import INFINITE, LARGEST, floats, is_missing, number, to_strings, values_of, whole
from nucleus_pandas.schema.column_names import NamedColumns
from nucleus_pandas.schema.json_values import from_text, to_json
from nucleus_pandas.schema.vertices import as_vertices
from nucleus_pandas.wire.column_json import StringArray
from nucleus_pandas.wire.decoding import convert
from nucleus_pandas.wire.entities import AnyAnnotation

BoxColumn: TypeAlias = Hashable | Sequence[Hashable]
"""One column of four numbers, or the names of four columns."""

SIDES = ("x", "y", "width", "height")
_FIELDS: dict[BoxFormat, tuple[tuple[str, ...], ...]] = {
    "xywh": (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height")),
    "xyxy": (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom")),
    "cxcywh": (("cx", "cy", "width", "height"), ("cx", "cy", "w", "h")),
}


def box_sides(
    named: NamedColumns, is_box: Bools, problems: Problems, bbox: BoxColumn | None, bbox_format: BoxFormat | None
) -> tuple[Floats, Bools]:
    """Read the boxes of a frame.

    Returns
    -------
    (numpy.ndarray of shape (4, n), numpy.ndarray of bool)
        x, y, width and height in pixels; and the rows of type box that have none: images without boxes.
    """
    own = named_columns(named, bbox)
    box_format = _format_of(named, bbox, own, bbox_format)
    if bbox is None and not is_box.any() and not all(map(named.has, SIDES)):
        return np.full((4, len(named)), np.nan), np.zeros(len(named), dtype=bool)
    if bbox is None and not any(map(named.has, SIDES)) and not (is_box & ~_of_nothing(named)).any():
        return np.full((4, len(named)), np.nan), is_box.copy()
    found = Problems(named.index)
    if bbox is None:
        names: list[Hashable] = [named.name(side) for side in SIDES]
        columns = [named.need(side, _remedy(side, named)) for side in SIDES]
        sides = np.array([floats(column, found) for column in columns])
    elif len(own) == 4:
        names = own
        _check_names(own, box_format)
        sides = np.array([floats(named.own(name, " for bbox"), found) for name in names])
    else:
        names = own * 4
        sides = _one_column(named.own(own[0], " for bbox"), found, box_format, is_box)
    found.forget(~is_box)  # rows of other types are judged by their geometry
    if not is_box.all():
        sides = np.where(is_box, sides, np.nan)
    missing = np.isnan(sides)
    is_empty: Bools = is_box & missing.all(axis=0) & ~found.bad
    partly = is_box & missing.any(axis=0) & ~is_empty
    if partly.any():
        _refuse_partly(partly, missing, names, found)
    sides = _checked(sides, [str(name) for name in names], box_format, found)
    problems.extend(found)
    return sides, is_empty


def _of_nothing(named: NamedColumns) -> Bools:
    """Return which rows have neither a type nor a geometry, as a left join of shapes to images leaves them."""
    kind, geometry = named.get("type"), named.get("geometry")
    if kind is None or geometry is None:
        return np.zeros(len(named), dtype=bool)
    found: Bools = (kind.isna() & geometry.isna()).to_numpy(dtype=bool)
    return found


def _format_of(
    named: NamedColumns, bbox: BoxColumn | None, names: Sequence[Hashable], bbox_format: BoxFormat | None
) -> BoxFormat:
    """Return what the four numbers of a box mean, which must be stated unless their names say it.

    Any four numbers fit every format, so a wrong guess would store wrong boxes without an error.
    """
    if bbox_format is None:
        boxes = [named.own(name, " for bbox") for name in names]
        if not boxes or (_spells(names, "xywh") if len(boxes) == 4 else _has_fields(boxes[0])):
            return "xywh"
        _check_names(names, None)
        raise InvalidInputError(
            f"The boxes in {', '.join(map(repr, names))} need bbox_format, since any four numbers fit each format. "
            "Use bbox_format='xywh' for x, y, width and height, as in COCO and Nucleus; bbox_format='xyxy' for two "
            "corners, as in Pascal VOC, torchvision, supervision and Ultralytics; or bbox_format='cxcywh' for centre "
            "and size, as in YOLO and DETR, in pixels.",
            argument="bbox_format",
        )
    known = get_args(BoxFormat)
    if bbox_format not in known:
        raise InvalidInputError(
            f"bbox_format is one of {', '.join(map(repr, known))}, not {bbox_format!r}.", argument="bbox_format"
        )
    if bbox is None and bbox_format != "xywh":
        raise InvalidInputError(
            f"bbox_format={bbox_format!r} needs bbox=, since the columns x, y, width and height are always a corner "
            "and a size. Name the columns, as in bbox=('x1', 'y1', 'x2', 'y2').",
            argument="bbox_format",
        )
    return bbox_format


def _spells(names: Sequence[Hashable], bbox_format: BoxFormat) -> bool:
    """Return True if four names are those of a format, possibly after the same prefix, such as box_x."""
    last = [str(name).rpartition(".")[2].lower() for name in names]
    for fields in _FIELDS[bbox_format]:
        if len(last) == 4 and all(
            name.replace("_", "").endswith(field) for name, field in zip(last, fields, strict=True)
        ):
            prefixes = {name.replace("_", "").removesuffix(field) for name, field in zip(last, fields, strict=True)}
            if len(prefixes) == 1:
                return True
    return False


def _has_fields(series: pd.Series[Any]) -> bool:
    """Return True if a column has structs or dicts whose fields are x, y, width and height, or if it has no values."""
    held: set[Any] | None = None
    if isinstance(series.dtype, pd.ArrowDtype):
        kind = series.dtype.pyarrow_dtype
        if pa.types.is_null(kind):
            return True
        held = {field.name for field in kind} if pa.types.is_struct(kind) else None
    if held is None:
        values = series[series.notna()]
        if not len(values):
            return True
        first = from_text(values.iloc[0]) if isinstance(values.iloc[0], str) else values.iloc[0]
        held = set(first) if isinstance(first, Mapping) else None
    return held is not None and any(held.issuperset(fields) for fields in _FIELDS["xywh"])


def named_columns(named: NamedColumns, bbox: BoxColumn | None) -> list[Hashable]:
    """Return which columns `bbox` names: none, one, or four."""
    if bbox is None:
        return []
    if not isinstance(bbox, (tuple, list)) or (isinstance(bbox, tuple) and named.holds(bbox)):
        return [bbox]  # columns of several levels have tuples as names
    if len(bbox) != 4:
        raise InvalidInputError(f"bbox= names one column or four, not {len(bbox)}: {bbox!r}.", argument="bbox")
    return list(bbox)


def _remedy(side: str, named: NamedColumns) -> str:
    """Return a remedy for missing box columns; it names columns of the frame if they have usual names."""
    shapes = ""
    if named.has("geometry"):
        shapes = " Shapes in 'geometry' that are no boxes need a column 'type', as in frame.assign(type='polygon')."
    for bbox_format, layouts in _FIELDS.items():
        for names in layouts:
            if bbox_format != "xywh" and all(map(named.holds, names)):
                return f"Use bbox={names!r} with bbox_format={bbox_format!r}.{shapes}"
    last = {str(name).rpartition(".")[2]: name for name in reversed(named.names)}  # of structs in files, the field
    single = next((last[name] for name in ("bbox", "box", "bboxes", "boxes") if name in last), None)
    if single is not None:
        return f"Use bbox={single!r}, with bbox_format='xywh', or 'xyxy' where it holds two corners.{shapes}"
    return (
        f"Use columns={{{side!r}: 'your_column'}}, or name another layout: bbox='bbox' or "
        f"bbox=('x1', 'y1', 'x2', 'y2'), with bbox_format='xyxy'.{shapes}"
    )


def _check_names(names: Sequence[Hashable], bbox_format: BoxFormat | None) -> None:
    """Reject a format that the names of four columns contradict: it is easily forgotten, and any numbers fit."""
    if bbox_format in (None, "xywh") and _spells(names, "xyxy"):
        stated = "missing" if bbox_format is None else repr(bbox_format)
        raise InvalidInputError(
            f"The columns {', '.join(map(repr, names))} are two corners by their names, and bbox_format is {stated}. "
            "Use bbox_format='xyxy'; or rename them, should they be something else.",
            argument="bbox_format",
        )


def _refuse_partly(partly: Bools, missing: np.ndarray[Any, Any], names: Sequence[Hashable], problems: Problems) -> None:
    if len(set(names)) == 1:
        partly = partly & ~problems.bad_in(str(names[0]))
        problems.add(partly, str(names[0]), "lacks some of the four numbers. Fill them, or leave the box out whole.")
        return
    for name, absent in zip(names, missing, strict=True):
        problems.add(
            partly & absent & ~problems.bad_in(str(name)),
            str(name),
            "is missing, while other sides of the box are there. Fill it, or clear all four.",
        )


def _checked(sides: Floats, names: Sequence[str], bbox_format: BoxFormat, problems: Problems) -> Floats:
    """Validate the numbers of the boxes, and return their x, y, width and height."""
    sides = _within(sides, names, problems)
    if bbox_format == "xyxy":
        for low, high, letter in ((0, 2, "x"), (1, 3, "y")):
            problems.add(sides[high] < sides[low], names[high], partial(_crossed, sides, low, high, letter))
    else:
        for at, what in ((2, "width"), (3, "height")):
            problems.add(sides[at] < 0, names[at], partial(_negative, sides, at, what))
    if bbox_format == "xywh":
        return sides
    return _within(np.ascontiguousarray(to_xywh(sides.T, bbox_format).T), names, problems)


def _within(sides: Floats, names: Sequence[str], problems: Problems) -> Floats:
    far = np.abs(sides) > LARGEST
    if not far.any():
        return sides
    for name, rows in zip(names, far, strict=True):
        problems.add(rows, name, f"is beyond {LARGEST:g} pixels, where areas are infinite.")
    return np.where(far, np.nan, sides)


def _crossed(sides: Floats, low: int, high: int, letter: str, row: int) -> str:
    first, second = sides[low, row], sides[high, row]
    return f"{letter}2 is {second:g}, less than {letter}1, {first:g}. Swap them; or is the format 'xywh'?"


def _negative(sides: Floats, number: int, what: str, row: int) -> str:
    return (
        f"the {what} of the box is {sides[number, row]:g}, and none is negative. Are these two corners? Then name them "
        "by bbox= and bbox_format='xyxy'."
    )


def _one_column(series: pd.Series[Any], problems: Problems, bbox_format: BoxFormat, is_box: Bools) -> Floats:
    """Read a column of lists, arrays, structs or dicts of four numbers."""
    found = np.full((4, len(series)), np.nan)
    rows = np.flatnonzero(is_box & series.notna().to_numpy(dtype=bool))
    there = series if len(rows) == len(series) else series.iloc[rows]
    if len(there) and isinstance(there.iloc[0], str):
        there = pd.Series([from_text(str(text)) for text in there], dtype=object, name=series.name)
    at_once = _at_once(there, bbox_format)
    if at_once is not None:
        found[:, rows] = at_once
        return found
    for row, value in zip(rows.tolist(), values_of(there), strict=True):
        try:
            found[:, row] = _four(value, bbox_format)
        except ValidationError as error:
            problems.add_one(row, str(series.name), error.reason)
    return found


def _at_once(series: pd.Series[Any], bbox_format: BoxFormat) -> Floats | None:
    """Read a column in which every row has four finite numbers; None if a row has not."""
    array: Any
    if isinstance(series.dtype, pd.ArrowDtype):
        array = _arrow_numbers(whole(pa.array(series)), bbox_format)
    else:
        values = series.tolist()
        try:
            if values and isinstance(values[0], Mapping):
                values = list(map(itemgetter(*_fields(values[0], bbox_format)), values))
            array = np.array(values)
        except (ValidationError, KeyError, TypeError, ValueError):
            return None
    if array is None or array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "iuf":
        return None
    return np.ascontiguousarray(array.astype(np.float64).T) if np.isfinite(array).all() else None


def _arrow_numbers(column: Any, bbox_format: BoxFormat) -> np.ndarray[Any, Any] | None:
    """Return the numbers of a column without nulls, of shape (n, 4); None where its type or a length is another."""
    kind = column.type
    if pa.types.is_struct(kind):
        held = {kind.field(at).name for at in range(kind.num_fields)}
        names = next((names for names in _FIELDS[bbox_format] if held.issuperset(names)), None)
        parts = [] if names is None else [pc.struct_field(column, name) for name in names]
        if not parts or not all(_is_number(part.type) and not part.null_count for part in parts):
            return None
        return np.column_stack([part.to_numpy(zero_copy_only=False) for part in parts])
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return None
    flat = column.flatten()
    fours = pc.all(pc.equal(pc.list_value_length(column), 4)).as_py()
    if not _is_number(kind.value_type) or flat.null_count or not fours:
        return None
    found: np.ndarray[Any, Any] = flat.to_numpy(zero_copy_only=False).reshape(-1, 4)
    return found


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _fields(value: Mapping[Any, Any], bbox_format: BoxFormat) -> tuple[str, ...]:
    """Return under which names a dict or a struct holds the four numbers."""
    found = next((names for names in _FIELDS[bbox_format] if set(names) <= set(value)), None)
    if found is None:
        expected = " or ".join("(" + ", ".join(names) + ")" for names in _FIELDS[bbox_format])
        other = next((each for each in _FIELDS if any(set(names) <= set(value) for names in _FIELDS[each])), None)
        remedy = "" if other is None else f" Use bbox_format={other!r}."
        raise ValidationError(
            f"has the fields {', '.join(map(str, value))}; expected {expected}.{remedy}", subject="The box"
        )
    return found


def _length(value: Collection[Any]) -> int:
    return 0 if isinstance(value, np.ndarray) and not value.ndim else len(value)  # NumPy's scalars have none


def _four(value: Any, bbox_format: BoxFormat) -> list[float]:
    """Return the numbers of one box; NaN where one is missing."""
    if isinstance(value, Mapping):
        value = [value[name] for name in _fields(value, bbox_format)]
    if isinstance(value, (str, bytes, Set)) or not isinstance(value, Collection) or _length(value) != 4:
        raise ValidationError(
            f"is {shown(value)}; a box has four numbers, as in [x, y, width, height].", subject="The box"
        )
    numbers = [number(part) for part in value]
    if any(map(math.isinf, numbers)):
        raise ValidationError(INFINITE, subject="The number")
    return numbers


def shapes(
    named: NamedColumns,
    kinds: Mapping[int, str],
    problems: Problems,
    *,
    keys: StringArray,
    by_item_id: Bools,
    labels: StringArray,
    given_ids: StringArray | None,
    confidences: Floats | None,
    objects: StringArray | None,
    more: Mapping[str, StringArray],
) -> dict[int, AnyAnnotation]:
    """Create the annotations of the rows of other types than box, from their geometry."""
    if not kinds:
        return {}
    series = named.get("geometry")
    values: list[Any] = [None] * len(named) if series is None else values_of(series)
    name = str(named.name("geometry"))
    taxonomies = _taxonomies(named, kinds, problems)
    made: dict[int, AnyAnnotation] = {}
    shape: Any = AnyAnnotation  # a union is no type to a type checker
    for row, kind in kinds.items():
        fields: dict[str, Any] = {"type": kind, "label": "-", "reference_id": "-"}
        refused = bool(problems.bad[row])  # already: then the geometry alone is judged, in a sound annotation
        if not refused:
            fields = {"type": kind, "item_id" if by_item_id[row] else "reference_id": keys[row].as_py()}
            for field, column in (("label", labels), ("annotation_id", given_ids)):
                if column is not None and column[row].is_valid:
                    fields[field] = column[row].as_py()
            if confidences is not None and not np.isnan(confidences[row]):
                fields["confidence"] = float(confidences[row])
            if objects is not None and objects[row].is_valid:
                fields["metadata"] = msgspec.json.decode(objects[row].as_py())
            fields |= detail(more, row)
        try:
            fields |= _with_taxonomy(_geometry(values[row], kind), taxonomies.get(row))
            annotation = convert(fields, shape, f"The {kind}", "$")
            if not refused:
                made[row] = annotation
        except (ValidationError, RecursionError) as error:
            problems.add_one(row, name, reason_of(error))
    return made


def _taxonomies(named: NamedColumns, kinds: Mapping[int, str], problems: Problems) -> dict[int, str]:
    """Return the taxonomies of categories that stand in a column of their own, by row."""
    rows = [row for row, kind in kinds.items() if kind in ("category", "multicategory")]
    if not rows or not named.has("taxonomy_name"):
        return {}
    found = Problems(named.index)
    column = to_strings(named.need("taxonomy_name"), found)
    other = np.ones(len(named), dtype=bool)
    other[rows] = False
    found.forget(other)  # what stands in rows of other types means nothing
    problems.extend(found)
    return {row: column[row].as_py() for row in rows if column[row].is_valid}


def _with_taxonomy(fields: dict[str, Any], name: str | None) -> dict[str, Any]:
    if name is None or fields.get("taxonomy_name") == name:
        return fields
    if "taxonomy_name" in fields:
        raise ValidationError(
            f"is of the taxonomy {shown(fields['taxonomy_name'])}, and the column of taxonomies says {shown(name)}. "
            "Keep one of the two.",
            subject="The geometry",
        )
    return {**fields, "taxonomy_name": name}


def _geometry(value: object, kind: str) -> dict[str, Any]:
    """Return the fields of an annotation that its geometry stands for."""
    if isinstance(value, str):
        text = value
        try:
            value = msgspec.json.decode(text.encode())
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            if (parsed := from_text(text)) != text:  # a literal of Python
                return _geometry(parsed, kind)
            if text.lstrip().upper().startswith(_WKT):
                raise ValidationError(
                    f"is {shown(text)}, which is WKT. shapely.from_wkt(column) converts it to shapes.",
                    subject="The geometry",
                ) from None
            raise ValidationError(f"is not valid JSON: {shown(text)} ({error}).", subject="The geometry") from None
    if is_missing(value):
        value = None
    if value is None:
        if kind == "category":
            return {}
        raise ValidationError(f"is missing; a row of type '{kind}' needs one.", subject="The geometry")
    if kind in _OF_POINTS:
        value = as_vertices(value, kind)
    if not isinstance(value, Mapping):
        raise ValidationError(
            f"is {shown(value)}, a {type(value).__name__}; expected a dict or the text of a JSON object.",
            subject="The geometry",
        )
    found: dict[str, Any] = to_json(_without_missing(value), "$.geometry")
    _check_named(found, kind)
    return {"geometry": found} if kind in _SHAPES else found


_OF_POINTS = ("line", "polygon")
_WKT = ("POLYGON", "MULTIPOLYGON", "LINESTRING", "MULTILINESTRING")
_SHAPES = {
    **dict.fromkeys(("line", "polygon"), ("vertices",)),
    "keypoints": ("keypoints", "names", "skeleton"),
    "cuboid": ("position", "dimensions", "yaw"),
}
_WITHOUT_SHAPE = {
    "category": ("taxonomy_name",),
    "multicategory": ("taxonomy_name", "labels"),
    "mask": ("mask_url", "annotations"),
}


def _check_named(found: Mapping[str, Any], kind: str) -> None:
    """Reject fields that would be lost."""
    allowed = {**_SHAPES, **_WITHOUT_SHAPE}[kind]
    if unknown := set(found) - set(allowed):
        raise ValidationError(
            f"holds {', '.join(sorted(unknown))}; that of a {kind} holds {', '.join(allowed)}.", subject="The geometry"
        )


def _without_missing(value: Mapping[Any, Any]) -> dict[Any, Any]:
    """Leave out what an Arrow struct has only because other rows have it."""
    return {key: part for key, part in value.items() if not is_missing(part)}
