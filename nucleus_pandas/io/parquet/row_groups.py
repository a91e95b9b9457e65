"""A row group as a frame: the needed columns, also inside structs and lists, with one row per item or box."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas._util.arrays import Indices
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import CANONICAL
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.schema.validate import ColumnLayout
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
    """The rows of a row group.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per row to send, with Arrow dtypes.
    source : numpy.ndarray of int
        Per row, the row of the group that it comes from.
    box : numpy.ndarray of int or None
        Per row, the number of its box in the row of the group, where that holds several.
    rejected : dict of int to (str, str)
        Rows of the group with lists of different lengths, which have no row here: column and reason.
    """

    frame: pd.DataFrame
    source: Indices
    box: Indices | None
    rejected: Mapping[int, tuple[str, str]]


class ReadPlan:
    """The columns of a file that are read, and how they become rows.

    Parameters
    ----------
    schema : pyarrow.Schema
        The columns of the file.
    partitions : dict
        The values that its folder names give to all rows.
    kind : {"items", "annotations", "predictions"}
        The kind of the rows.
    layout : ColumnLayout
        The caller's names of the columns; ``objects.bbox`` is the field ``bbox`` of the struct column ``objects``.
    """

    def __init__(self, schema: Any, partitions: Mapping[str, Any], kind: RowKind, layout: ColumnLayout) -> None:
        self.schema = schema
        self.kind = kind
        self.layout = layout
        self.partitions = {key: value for key, value in partitions.items() if key not in schema.names}
        self.fields = {**_leaves(schema), **dict.fromkeys(self.partitions)}
        wanted = [name for name in self._wanted() if name in self.fields]
        self.names = list(dict.fromkeys(wanted))
        self.columns = [
            name
            for name in dict.fromkeys(name if name in schema.names else name.split(".")[0] for name in self.names)
            if name in schema.names
        ]
        self.lists = self._lists() if kind != "items" else []
        self._names = class_names(schema) if kind != "items" else {}

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
        """Return the columns that hold a value per box of an image; those of the boxes come first."""
        bbox = self._boxes()
        lists = []
        for name in self.names:
            kind = self.fields[name]
            if kind is None or not _is_list(kind) or name in map(self._mapped, _OF_IMAGES):
                continue
            if bbox == [name] and not (_is_list(kind.value_type) or pa.types.is_struct(kind.value_type)):
                continue  # the four numbers of one box
            if self._is_vector(name):
                continue
            if name in map(self._mapped, (*_OF_BOXES,)) or name in bbox:
                lists.append(name)
        if lists:  # then lists of metadata belong to the boxes too
            lists += [
                name
                for name in self.names
                if name not in lists
                and self.fields[name] is not None
                and _is_list(self.fields[name])
                and not self._is_vector(name)
            ]
        return sorted(lists, key=lambda name: name not in bbox)  # the others need the length of the boxes

    def _is_vector(self, name: str) -> bool:
        """Return True if a column holds one embedding per row."""
        kind = self.fields[name]
        return name == self._mapped("embedding_vector") and _is_list(kind) and not _is_list(kind.value_type)

    def sample(self) -> pd.DataFrame:
        """Return a frame of all columns, also inside structs, to find missing columns before rows are read.

        It has one row of missing values, so that the columns of boxes are required. It has none where a column of types
        allows other shapes, and one mask where there is no column of labels, which only masks do without.
        """
        is_typed = self.kind != "items" and self._mapped("type") in self.fields
        are_masks = is_typed and self._mapped("label") not in self.fields and self._mapped("geometry") in self.fields
        rows = 1 if are_masks or not is_typed else 0
        columns = {name: pd.Series([None] * rows, dtype=object) for name in self.fields}
        if are_masks:
            columns[str(self._mapped("type"))] = pd.Series(["mask"], dtype=object)
        return pd.DataFrame(columns)

    def check_types(self) -> None:
        """Raise InvalidInputError if the type of a column does not suit its values."""
        boxes = self._boxes()
        named = {canonical: self._mapped(canonical) for canonical in (_OF_ITEMS if self.kind == "items" else _OF_BOXES)}
        if boxes or self.kind == "items":
            named = {name: column for name, column in named.items() if name not in ("x", "y", "width", "height")}
        if not isinstance(self.layout.metadata, bool):  # pure metadata may have any type
            named = {
                name: column
                for name, column in named.items()
                if name not in DETAILS or column not in self.layout.metadata
            }
        message = _wrong_types(
            self.fields, named, boxes if len(boxes) == 4 and self.kind != "items" else [], self.lists
        )
        if message is not None:
            raise InvalidInputError(message)

    def rows(self, table: Any) -> RowGroupFrame:
        """Convert the table of a row group to rows."""
        columns = {name: self._column(table, name) for name in self.names}
        count = table.num_rows
        source: Indices = np.arange(count)
        box, rejected = None, dict[int, tuple[str, str]]()
        if self.lists:
            columns, source, box, rejected = _unfolded(columns, self.lists, count)
        for name, names in self._names.items():
            if name in columns and pa.types.is_integer(columns[name].type):
                columns[name] = named_classes(columns[name], names)
        arrow_table = pa.table(columns) if columns else pa.table({"": pa.nulls(len(source))}).select([])
        frame = (
            arrow_table.to_pandas(types_mapper=pd.ArrowDtype)
            if columns
            else pd.DataFrame(index=pd.RangeIndex(len(source)))
        )
        return RowGroupFrame(frame, source, box, rejected)

    def _column(self, table: Any, name: str) -> Any:
        if name in self.partitions:
            return pa.repeat(pa.scalar(self.partitions[name]), table.num_rows)
        if name in table.column_names:
            return _plain(_one(table[name]))
        first, *rest = name.split(".")
        column = _one(table[first])
        for field in rest:
            column = struct_field(column, field)
        return _plain(column)


def _one(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _plain(column: Any) -> Any:
    """Return the storage of a column of an extension type."""
    return _plain(column.storage) if isinstance(column, pa.ExtensionArray) else column


def without_views(table: Any) -> Any:
    """Return a table with string views as strings: Arrow cannot take rows of views."""
    for at, field in enumerate(table.schema):
        if pa.types.is_string_view(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pa.large_string()))
    return table


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _leaves(schema: Any) -> dict[str, Any]:
    """Return the types of all columns, and of the fields of structs and of lists of structs under dotted names."""
    types: dict[str, Any] = {}

    def add(name: str, kind: Any) -> None:
        types.setdefault(name, kind)
        inner = kind.value_type if _is_list(kind) else kind
        if pa.types.is_struct(inner) and name not in ("metadata", "geometry", "class_pdf"):
            for at in range(inner.num_fields):
                field = inner.field(at)
                add(f"{name}.{field.name}", pa.list_(field.type) if inner is not kind else field.type)

    for name in schema.names:
        kind = schema.field(name).type
        add(name, kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind)
    return types


def struct_field(column: Any, name: str) -> Any:
    """Return a field of structs, or of structs in lists."""
    if not _is_list(column.type):
        return pc.struct_field(column, name)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.append(0, np.cumsum(lengths)), pa.int64())
    lists = pa.LargeListArray.from_arrays(offsets, pc.struct_field(pc.list_flatten(column), name))
    return pc.if_else(pc.is_null(column), pa.scalar(None, lists.type), lists) if column.null_count else lists


def _unfolded(
    columns: Mapping[str, Any], lists: Sequence[str], count: int
) -> tuple[dict[str, Any], Indices, Indices, dict[int, tuple[str, str]]]:
    """Return one row per box of an image, and one without a box for an image without boxes.

    Values of lists are taken by position: the start of the list in the flattened column, plus the number of the box.
    """
    lengths = {
        name: pc.fill_null(pc.list_value_length(columns[name]), 0).to_numpy(zero_copy_only=False).astype(np.intp)
        for name in lists
    }
    first = lengths[lists[0]]
    rejected: dict[int, tuple[str, str]] = {}
    is_good = np.ones(count, dtype=bool)
    for name in lists[1:]:
        for row in np.flatnonzero(is_good & (lengths[name] != first)).tolist():
            rejected[row] = (
                name,
                f"holds {lengths[name][row]} values, and '{lists[0]}' {first[row]}: there must be one per box.",
            )
            is_good[row] = False
    rows = np.flatnonzero(is_good)
    counts = np.maximum(first[rows], 1)
    source = np.repeat(rows, counts)
    starts = np.repeat(np.append(0, np.cumsum(counts)[:-1]), counts)
    box = np.arange(len(source)) - starts
    absent = np.repeat(first[rows] == 0, counts)
    unfolded: dict[str, Any] = {}
    for name, column in columns.items():
        if name not in lists:
            unfolded[name] = column.take(pa.array(source))
            continue
        flat = _plain(pc.list_flatten(column))
        at = np.repeat((np.append(0, np.cumsum(lengths[name])[:-1]))[rows], counts) + box
        unfolded[name] = flat.take(pa.array(np.where(absent, 0, at), mask=absent))
    return unfolded, source, box, rejected


def class_names(schema: Any) -> dict[str, list[str]]:
    """Return the names of classes that Hugging Face's datasets store in the metadata of the schema."""
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


def named_classes(column: Any, names: Sequence[str]) -> Any:
    """Return the names of classes; -1, which means no class, becomes a missing value."""
    inside = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
    outside = pc.and_(pc.is_valid(column), pc.and_(pc.invert(inside), pc.not_equal(column, -1)))
    if pc.any(outside).as_py():
        wrong = pc.filter(column, outside)[0].as_py()
        raise InvalidInputError(f"Class {wrong} has no name: the file names {len(names)} classes, from 0.")
    return pa.array(names).take(pc.if_else(inside, column, pa.scalar(None, column.type)).cast(pa.int64()))


def _wrong_types(
    fields: Mapping[str, Any], named: Mapping[str, object], sides: Sequence[object], lists: Sequence[str]
) -> str | None:
    """Return a message about a column with an unsuitable type; None if there is none.

    Parameters
    ----------
    fields : dict of str to pyarrow.DataType or None
        The types of all columns; None for values from folder names.
    named : dict of str to str
        The columns by their canonical names.
    sides : sequence of str
        Columns that each hold one number of a box.
    lists : sequence of str
        Columns that hold a value per box of an image.
    """
    for canonical, name in [*named.items(), *(("x", side) for side in sides)]:
        kind = fields.get(str(name))
        if kind is None:
            continue
        if name in lists:
            kind = kind.value_type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if canonical in _NUMBERS and not _may_be_number(kind):
            return (
                f"The column {name!r} holds {kind}, but '{canonical}' is a number. Convert it and write the file "
                f"again, as by frame[{name!r}] = pandas.to_numeric(frame[{name!r}]); or name the column that holds it."
            )
        if canonical in _STRINGS and not _may_be_text(kind):
            remedy = ".astype('Int64')" if pa.types.is_floating(kind) else ".astype(str)"
            return (
                f"The column {name!r} holds {kind}, but '{canonical}' is a string or an integer. Convert it and write "
                f"the file again, as by frame[{name!r}] = frame[{name!r}]{remedy}; or name the column that holds it."
            )
    return None


def _may_be_number(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind))


def _may_be_text(kind: Any) -> bool:
    types = pa.types
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_null)
    return any(test(kind) for test in texts)
