"""A row group as a frame: the columns that are wanted, of structs and of lists too, one row each."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import CANONICAL
from nucleus_pandas.schema.kinds import Kind
from nucleus_pandas.schema.validate import Layout
from nucleus_pandas.wire.entities import DETAILS

_PREFIX = "metadata."
_OF_ITEMS = (
    "reference_id",
    "image_url",
    "image_width",
    "image_height",
    "width",
    "height",
    "x",
    "y",
    "metadata",
    "image_error",
)
_OF_BOXES = tuple(name for name in CANONICAL if name not in ("image_url", "image_width", "image_height"))
_STRINGS = (
    "reference_id",
    "dataset_item_id",
    "image_url",
    "annotation_id",
    "label",
    "type",
    "track_reference_id",
    "task_id",
)
_NUMBERS = ("x", "y", "width", "height", "image_width", "image_height", "confidence")
_OF_IMAGES = ("reference_id", "dataset_item_id")


@dataclass(frozen=True)
class RowGroupFrame:
    """What a row group gives.

    Attributes
    ----------
    frame : pandas.DataFrame
        A row for each that is sent, whose columns are Arrow's.
    source : numpy.ndarray of int
        Of each row, which row of the group it comes from.
    box : numpy.ndarray of int or None
        Of each row, the number of its box in that row, where a row holds several.
    refused : dict of int to (str, str)
        Rows of the group whose lists do not fit: column and reason. They give no row.
    """

    frame: pd.DataFrame
    source: npt.NDArray[np.intp]
    box: npt.NDArray[np.intp] | None
    refused: Mapping[int, tuple[str, str]]


class ReadPlan:
    """Which columns of a file are read, and what becomes of them.

    Parameters
    ----------
    schema : pyarrow.Schema
        The columns of the file.
    partitions : dict
        The values that its folder names give to all rows.
    kind : {"items", "annotations", "predictions"}
        The kind of the rows.
    layout : Layout
        How the caller names the columns; ``objects.bbox`` is the field ``bbox`` of the struct column ``objects``.
    """

    def __init__(self, schema: Any, partitions: Mapping[str, Any], kind: Kind, layout: Layout) -> None:
        self.schema = schema
        self.kind = kind
        self.layout = layout
        self.partitions = {key: value for key, value in partitions.items() if key not in schema.names}
        self.fields = {**_leaves(schema), **dict.fromkeys(self.partitions)}
        wanted = [name for name in self._wanted() if name in self.fields]
        self.own = list(dict.fromkeys(wanted))
        self.columns = [
            name
            for name in dict.fromkeys(name if name in schema.names else name.split(".")[0] for name in self.own)
            if name in schema.names
        ]
        self.lists = self._lists() if kind != "items" else []
        self._names = _class_names(schema) if kind != "items" else {}

    def _mapped(self, canonical: str) -> Hashable:
        mapping = self.layout.columns
        return mapping.get(canonical, canonical) if isinstance(mapping, Mapping) else canonical

    def _boxes(self) -> list[Hashable]:
        bbox = self.layout.bbox
        return list(bbox) if isinstance(bbox, (tuple, list)) else [] if bbox is None else [bbox]

    def _wanted(self) -> list[str]:
        names = [self._mapped(canonical) for canonical in (_OF_ITEMS if self.kind == "items" else _OF_BOXES)]
        names += [*(self.layout.columns or {}).values(), *self._boxes()]
        metadata = self.layout.metadata
        if metadata is True:
            names += [name for name in (*self.schema.names, *self.partitions) if name.startswith(_PREFIX)]
        elif metadata is False:
            names.remove(self._mapped("metadata"))
        elif isinstance(metadata, Sequence) and not isinstance(metadata, str):
            names.remove(self._mapped("metadata"))
            names += list(metadata)
        return [name for name in names if isinstance(name, str)]

    def _lists(self) -> list[str]:
        """Return which columns hold a value for each box of an image."""
        bbox = self._boxes()
        found = []
        for name in self.own:
            kind = self.fields[name]
            if kind is None or not _is_list(kind) or name in map(self._mapped, _OF_IMAGES):
                continue
            if bbox == [name] and not (_is_list(kind.value_type) or pa.types.is_struct(kind.value_type)):
                continue  # the four numbers of one box
            if self._is_vector(name):
                continue
            if name in map(self._mapped, (*_OF_BOXES,)) or name in bbox:
                found.append(name)
        if found:  # then lists that go with the boxes as metadata too
            found += [
                name
                for name in self.own
                if name not in found
                and self.fields[name] is not None
                and _is_list(self.fields[name])
                and not self._is_vector(name)
            ]
        return sorted(found, key=lambda name: name not in bbox)  # the boxes are what the others have to fit

    def _is_vector(self, name: str) -> bool:
        """Return whether a column holds one embedding a row."""
        kind = self.fields[name]
        return name == self._mapped("embedding_vector") and _is_list(kind) and not _is_list(kind.value_type)

    def sample(self) -> pd.DataFrame:
        """Return a frame of all columns, those inside of structs too, to look for what is missing before rows are read.

        It has a row of missing values, without which boxes would be looked for nowhere, unless other shapes may be
        all that there is; a mask, where those may be all, which have no label of their own.
        """
        is_typed = self.kind != "items" and self._mapped("type") in self.fields
        are_masks = is_typed and self._mapped("label") not in self.fields and self._mapped("geometry") in self.fields
        rows = 1 if are_masks or not is_typed else 0
        found = {name: pd.Series([None] * rows, dtype=object) for name in self.fields}
        if are_masks:
            found[str(self._mapped("type"))] = pd.Series(["mask"], dtype=object)
        return pd.DataFrame(found)

    def check_types(self) -> None:
        """Refuse columns whose type cannot hold what they stand for."""
        boxes = self._boxes()
        named = {canonical: self._mapped(canonical) for canonical in (_OF_ITEMS if self.kind == "items" else _OF_BOXES)}
        if boxes or self.kind == "items":
            named = {name: own for name, own in named.items() if name not in ("x", "y", "width", "height")}
        if not isinstance(self.layout.metadata, bool):  # what is metadata alone may be of any type
            named = {name: own for name, own in named.items() if name not in DETAILS or own not in self.layout.metadata}
        wrong = _wrong_types(self.fields, named, boxes if len(boxes) == 4 and self.kind != "items" else [], self.lists)
        if wrong is not None:
            raise InvalidInputError(wrong)

    def rows(self, table: Any) -> RowGroupFrame:
        """Create a frame of what was read."""
        columns = {name: self._column(table, name) for name in self.own}
        count = table.num_rows
        source: npt.NDArray[np.intp] = np.arange(count)
        box, refused = None, dict[int, tuple[str, str]]()
        if self.lists:
            columns, source, box, refused = _unfolded(columns, self.lists, count)
        for name, names in self._names.items():
            if name in columns and pa.types.is_integer(columns[name].type):
                columns[name] = _named(columns[name], names)
        made = pa.table(columns) if columns else pa.table({"": pa.nulls(len(source))}).select([])
        frame = (
            made.to_pandas(types_mapper=pd.ArrowDtype) if columns else pd.DataFrame(index=pd.RangeIndex(len(source)))
        )
        return RowGroupFrame(frame, source, box, refused)

    def _column(self, table: Any, name: str) -> Any:
        if name in self.partitions:
            return pa.repeat(pa.scalar(self.partitions[name]), table.num_rows)
        if name in table.column_names:
            return _plain(_one(table[name]))
        first, *rest = name.split(".")
        found = _one(table[first])
        for field in rest:
            found = _field(found, field)
        return _plain(found)


def _one(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _plain(column: Any) -> Any:
    """Return the storage of a column whose type is an extension of Arrow's own."""
    return _plain(column.storage) if isinstance(column, pa.ExtensionArray) else column


def without_views(table: Any) -> Any:
    """Return a table whose views of text, of which Arrow cannot take some, are text."""
    for at, field in enumerate(table.schema):
        if pa.types.is_string_view(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pa.large_string()))
    return table


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _leaves(schema: Any) -> dict[str, Any]:
    """Return all columns, and the fields of structs and of lists of structs under dotted names, with their types."""
    found: dict[str, Any] = {}

    def add(name: str, kind: Any) -> None:
        found.setdefault(name, kind)
        inner = kind.value_type if _is_list(kind) else kind
        if pa.types.is_struct(inner) and name not in ("metadata", "geometry", "class_pdf"):
            for at in range(inner.num_fields):
                field = inner.field(at)
                add(f"{name}.{field.name}", pa.list_(field.type) if inner is not kind else field.type)

    for name in schema.names:
        kind = schema.field(name).type
        add(name, kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind)
    return found


def _field(column: Any, name: str) -> Any:
    """Return a field of structs, or of the structs in lists."""
    if not _is_list(column.type):
        return pc.struct_field(column, name)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.append(0, np.cumsum(lengths)), pa.int64())
    found = pa.LargeListArray.from_arrays(offsets, pc.struct_field(pc.list_flatten(column), name))
    return pc.if_else(pc.is_null(column), pa.scalar(None, found.type), found) if column.null_count else found


def _unfolded(
    columns: Mapping[str, Any], lists: Sequence[str], count: int
) -> tuple[dict[str, Any], npt.NDArray[np.intp], npt.NDArray[np.intp], dict[int, tuple[str, str]]]:
    """Return every box of an image a row of its own; an image without boxes one that has none."""
    lengths = {
        name: pc.fill_null(pc.list_value_length(columns[name]), 0).to_numpy(zero_copy_only=False).astype(np.intp)
        for name in lists
    }
    first = lengths[lists[0]]
    refused: dict[int, tuple[str, str]] = {}
    good = np.ones(count, dtype=bool)
    for name in lists[1:]:
        for row in np.flatnonzero(good & (lengths[name] != first)).tolist():
            refused[row] = (
                name,
                f"holds {lengths[name][row]} values, and '{lists[0]}' {first[row]}: there must be one for each box.",
            )
            good[row] = False
    rows = np.flatnonzero(good)
    times = np.maximum(first[rows], 1)
    source = np.repeat(rows, times)
    starts = np.repeat(np.append(0, np.cumsum(times)[:-1]), times)
    box = np.arange(len(source)) - starts
    absent = np.repeat(first[rows] == 0, times)
    made: dict[str, Any] = {}
    for name, column in columns.items():
        if name not in lists:
            made[name] = column.take(pa.array(source))
            continue
        flat = _plain(pc.list_flatten(column))
        at = np.repeat((np.append(0, np.cumsum(lengths[name])[:-1]))[rows], times) + box
        made[name] = flat.take(pa.array(np.where(absent, 0, at), mask=absent))
    return made, source, box, refused


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Return the names of classes that Hugging Face's datasets wrote down beside the columns."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    found: dict[str, list[str]] = {}

    def walk(path: str, feature: Any) -> None:
        if isinstance(feature, list) and feature:
            walk(path, feature[0])
        elif isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            found[path] = [str(name) for name in feature.get("names") or []]
        elif isinstance(feature, dict) and isinstance(feature.get("_type"), str):
            walk(path, feature.get("feature"))
        elif isinstance(feature, dict):
            for key, inner in feature.items():
                walk(f"{path}.{key}" if path else key, inner)

    walk("", features)
    return {path: names for path, names in found.items() if names}


def _named(column: Any, names: Sequence[str]) -> Any:
    """Return the names of classes; -1, which stands for none, is missing."""
    inside = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
    outside = pc.and_(pc.is_valid(column), pc.and_(pc.invert(inside), pc.not_equal(column, -1)))
    if pc.any(outside).as_py():
        wrong = pc.filter(column, outside)[0].as_py()
        raise InvalidInputError(f"There is no class {wrong}: the file names {len(names)}, from 0 on.")
    return pa.array(names).take(pc.if_else(inside, column, pa.scalar(None, column.type)).cast(pa.int64()))


def _wrong_types(
    fields: Mapping[str, Any], named: Mapping[str, object], sides: Sequence[object], lists: Sequence[str]
) -> str | None:
    """Return which column cannot hold what it stands for, and what to do.

    Parameters
    ----------
    fields : dict of str to pyarrow.DataType or None
        The types of all columns; None where the names of folders hold the values.
    named : dict of str to str
        Canonical names, and the columns that stand for them.
    sides : sequence of str
        Columns that hold one number of a box each.
    lists : sequence of str
        Columns that hold a value for each box of an image.
    """
    for canonical, own in [*named.items(), *(("x", side) for side in sides)]:
        kind = fields.get(str(own))
        if kind is None:
            continue
        if own in lists:
            kind = kind.value_type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if canonical in _NUMBERS and not _may_be_number(kind):
            return (
                f"The column {own!r} holds {kind}, and '{canonical}' is a number. Convert it and write the file again, "
                f"as by frame[{own!r}] = pandas.to_numeric(frame[{own!r}]); or name the column that holds it."
            )
        if canonical in _STRINGS and not _may_be_text(kind):
            remedy = ".astype('Int64')" if pa.types.is_floating(kind) else ".astype(str)"
            return (
                f"The column {own!r} holds {kind}, and '{canonical}' is text or an integer. Convert it and write the "
                f"file again, as by frame[{own!r}] = frame[{own!r}]{remedy}; or name the column that holds it."
            )
    return None


def _may_be_number(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind))


def _may_be_text(kind: Any) -> bool:
    types = pa.types
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_null)
    return any(test(kind) for test in texts)
