"""Metadata: from dicts, structs, JSON strings or plain columns to one JSON object per row.

The null rule: a missing value (None, NaN, NaT, pandas.NA) at the top level means that the key is absent, a nested one
is JSON null. Infinities are rejected.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas.errors import InvalidInputError, ValidationError
from nucleus_pandas.schema.checked_rows import Problems, reason_of, shown
from nucleus_pandas.schema.coerce import NOT_AT_ONCE, flags, is_missing, to_strings, values_of, whole
from nucleus_pandas.schema.column_names import NamedColumns
from nucleus_pandas.schema.foreign_frames import FrameLike
from nucleus_pandas.schema.json_values import is_json, to_json
from nucleus_pandas.wire.column_json import (
    ARROW_STRING,
    StringArray,
    item_objects,
    joined,
    numbers,
    quoted,
    with_commas,
)

MetadataColumns: TypeAlias = bool | Sequence[Hashable]
"""Whether metadata is sent, or the plain columns that hold it."""

PREFIX = "metadata."
_EMPTY = pa.scalar("", ARROW_STRING)
_ENCODER = msgspec.json.Encoder()


def metadata(named: NamedColumns, wanted: MetadataColumns, problems: Problems) -> StringArray | None:
    """Return the metadata of every row.

    Parameters
    ----------
    named : NamedColumns
        The frame.
    wanted : bool or sequence of column names
        True takes the column ``metadata`` and the columns ``metadata.<key>``, False none; names take these plain
        columns instead of both.

    Returns
    -------
    pyarrow.LargeStringArray or None
        JSON objects, null where there is none. None where the frame has no metadata at all.
    """
    whole_objects, keyed = _forms(named, wanted)
    columns: dict[str, StringArray] = {}
    for key, own in keyed.items():
        columns[key] = _fragments(named.own(own), problems, str(own))
    objects = None
    if whole_objects is not None:
        series = named.own(whole_objects)
        objects = _objects(series, problems, str(whole_objects), columns)
    if objects is None:
        return _object(columns, len(named)) if columns or whole_objects is not None else None
    return _merged(objects, columns, problems, str(whole_objects)) if columns else objects


def _forms(named: NamedColumns, wanted: MetadataColumns) -> tuple[Hashable | None, dict[str, Hashable]]:
    """Return which column holds whole objects, and which ones hold single keys."""
    if isinstance(wanted, bool):
        if not wanted:
            return None, {}
        own = named.name("metadata") if named.has("metadata") else None
        keyed: dict[str, Hashable] = {
            name.removeprefix(PREFIX): name
            for name in named.names
            if isinstance(name, str) and name.startswith(PREFIX) and name != own
        }
        return own, keyed
    if isinstance(wanted, (str, bytes, Mapping)) or not isinstance(wanted, (Sequence, pd.Index)):
        raise InvalidInputError(
            f"metadata= is True, False or a list of columns such as ['weather', 'hour'], not {wanted!r}. A column of "
            "whole objects is named by columns={'metadata': 'your_column'}.",
            argument="metadata",
        )
    chosen: dict[str, Hashable] = {}
    for name in wanted:
        named.own(name, " for metadata")
        if not isinstance(name, str):
            raise InvalidInputError(
                f"metadata= names the column {name!r}, but keys of metadata are text: rename it.", argument="metadata"
            )
        key = name.removeprefix(PREFIX)
        if key in chosen:
            raise InvalidInputError(
                f"metadata= names two columns for the key {key!r}: {chosen[key]!r} and {name!r}.", argument="metadata"
            )
        chosen[key] = name
    return None, chosen


def metadata_columns(named: NamedColumns, wanted: MetadataColumns, keys: Iterable[str]) -> dict[str, Hashable]:
    """Return which column holds each key."""
    whole_objects, keyed = _forms(named, wanted)
    return {key: keyed.get(key, whole_objects) for key in keys}


def _object(columns: Mapping[str, StringArray], count: int) -> StringArray:
    """Join the values of single keys to objects; null where all are absent."""
    if not columns:
        return pa.nulls(count, ARROW_STRING)
    # Not null_handling="skip": Arrow then leaves out rows, not values, where all are null.
    members = [joined(f",{_ENCODER.encode(key).decode()}:", values) for key, values in columns.items()]
    inside = joined(*(pc.coalesce(member, _EMPTY) if member.null_count else member for member in members))
    objects = joined("{", pc.utf8_slice_codeunits(inside, 1), "}")
    return pc.if_else(pc.equal(inside, _EMPTY), pa.scalar(None, ARROW_STRING), objects)


def _fragments(series: pd.Series[Any], problems: Problems, name: str) -> StringArray:
    """Write a column's values as JSON; null where one is missing."""
    try:
        found = _fragments_at_once(series, problems, name)
    except NOT_AT_ONCE:
        found = None
    return _fragments_one_by_one(series, problems, name) if found is None else found


def _fragments_at_once(series: pd.Series[Any], problems: Problems, name: str) -> StringArray | None:
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        distinct = _fragments(
            pd.Series(dtype.categories, name=name), Problems(pd.RangeIndex(len(dtype.categories))), name
        )
        if distinct.null_count:
            return None
        codes = np.asarray(series.cat.codes)
        return distinct.take(pa.array(codes, mask=codes < 0))
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_integer_dtype(dtype):
        return whole(pa.array(series)).cast(ARROW_STRING)
    if pd.api.types.is_float_dtype(dtype):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        endless = np.isinf(values)
        problems.add(endless, name, "is infinite, and JSON has no infinity. Correct it, or leave it empty.")
        written = numbers(np.where(endless, np.nan, values))
        is_whole = pc.invert(pc.match_substring_regex(written, "[.e]"))
        return pc.if_else(is_whole, joined(written, ".0"), written)  # 1.0 stays a float
    if isinstance(dtype, pd.StringDtype) or (
        pd.api.types.is_object_dtype(dtype) and pd.api.types.infer_dtype(series, skipna=True) in ("string", "empty")
    ):
        return quoted(whole(pa.array(series.array, from_pandas=True)).cast(ARROW_STRING))
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_struct(dtype.pyarrow_dtype):
        return None
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind == "O" and dtype.type is str:
        return quoted(whole(pa.array(series)).cast(ARROW_STRING))
    return None


def _fragments_one_by_one(series: pd.Series[Any], problems: Problems, name: str) -> StringArray:
    found: list[bytes | None] = []
    for row, value in enumerate(values_of(series)):
        written = None
        if not is_missing(value):
            try:
                written = _ENCODER.encode(to_json(value, name, nulls=True))
            except (ValidationError, RecursionError, OverflowError) as error:
                problems.add_one(row, name, reason_of(error))
        found.append(written)
    return pa.array(found, ARROW_STRING)


def _objects(
    series: pd.Series[Any], problems: Problems, name: str, columns: dict[str, StringArray]
) -> StringArray | None:
    """Read a column of whole objects; None where its keys went to `columns` (an Arrow struct)."""
    dtype = series.dtype
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_struct(dtype.pyarrow_dtype):
        structs = whole(pa.array(series))
        for number, field in enumerate(dtype.pyarrow_dtype):
            values = pc.struct_field(structs, number)
            part = _fragments(pd.Series(values, dtype=pd.ArrowDtype(field.type)), problems, f"{name}.{field.name}")
            if field.name in columns:
                both = flags(part.is_valid()) & flags(columns[field.name].is_valid())
                problems.add(both, name, _two_forms(field.name))
                part = pc.coalesce(part, columns[field.name])
            columns[field.name] = part
        return None
    found: list[bytes | None] = []
    for row, value in enumerate(values_of(series)):
        written = None
        if not is_missing(value):
            try:
                written = _written(value, name)
            except (ValidationError, RecursionError, OverflowError) as error:
                problems.add_one(row, name, reason_of(error))
        found.append(written)
    return pa.array(found, ARROW_STRING)


def _written(value: object, name: str) -> bytes:
    """Write one row's metadata as JSON."""
    if isinstance(value, str):
        text = value
        try:
            value = msgspec.json.decode(text.encode())
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise ValidationError(f"is not a JSON object: {shown(text)} ({error}).", subject="The metadata") from None
        if not isinstance(value, dict):
            raise ValidationError(
                f"is JSON, but not an object: {shown(text)}. Metadata is an object, {{…}}.", subject="The metadata"
            )
    if not isinstance(value, Mapping):
        raise ValidationError(
            f"is {shown(value)}, a {type(value).__name__}; metadata is a dict, a struct or the text of a JSON object.",
            subject="The metadata",
        )
    if is_json(value) and None not in value.values():
        return _ENCODER.encode(value)
    there = {key: part for key, part in value.items() if not is_missing(part)}
    return _ENCODER.encode(to_json(there, name, nulls=True))


def _merged(objects: StringArray, columns: Mapping[str, StringArray], problems: Problems, name: str) -> StringArray:
    """Add single keys to whole objects."""
    keyed = _object(columns, len(objects))
    found: list[bytes | str | None] = []
    for row, (whole_object, single) in enumerate(zip(objects.to_pylist(), keyed.to_pylist(), strict=True)):
        if whole_object is None or single is None:
            found.append(whole_object or single)
            continue
        first, second = msgspec.json.decode(whole_object), msgspec.json.decode(single)
        for key in first.keys() & second.keys():
            problems.add_one(row, name, _two_forms(key))
        found.append(_ENCODER.encode({**first, **second}))
    return pa.array(found, ARROW_STRING)


def _two_forms(key: str) -> str:
    return f"the key {key!r} is also in the column '{PREFIX}{key}'. Keep one of the two."


def differing_keys(first: str | None, second: str | None) -> set[str]:
    """Return in which keys two JSON objects differ; their order says nothing.

    Examples
    --------
    >>> sorted(differing_keys('{"a":1,"b":2}', '{"b":3,"a":1.0}')), differing_keys('{"a":1,"b":2}', '{"b":2,"a":1}')
    (['a', 'b'], set())
    """
    one, two = (_values(text) for text in (first, second))
    return {key for key in one.keys() | two.keys() if one.get(key) != two.get(key)}


def _values(text: str | None) -> dict[str, bytes]:
    """Return each key's value as JSON in one spelling, which tells 1 from 1.0, and from true."""
    found: dict[str, object] = {} if text is None else msgspec.json.decode(text)
    return {key: msgspec.json.encode(value, order="sorted") for key, value in found.items()}


@dataclass(frozen=True, slots=True)
class Changes:
    """Checked changes: reference ids, each once, and JSON objects."""

    reference_ids: StringArray
    objects: StringArray

    def __len__(self) -> int:
        return len(self.reference_ids)

    def bodies(self, size: int) -> Iterator[bytes]:
        """Write them as the bodies of requests that hold so many at most."""
        for start in range(0, len(self), size):
            fields = {
                "reference_id": quoted(self.reference_ids.slice(start, size)),
                "metadata": self.objects.slice(start, size),
            }
            yield b"".join((b'{"metadata":[', with_commas(*item_objects(fields)), b'],"level":"item"}'))


def check_changes(
    frame: FrameLike, columns: Mapping[str, Hashable] | None, metadata_from: MetadataColumns
) -> tuple[Changes, Problems]:
    """Validate a frame of changes; rows that change nothing are left out, and so are repeats.

    Raises
    ------
    InvalidInputError
        A column is missing, or there is no metadata at all.
    """
    named = NamedColumns(frame, columns)
    problems = Problems(named.index)
    reference_ids = to_strings(named.need("reference_id"), problems, required=np.ones(len(named), dtype=bool))
    objects = metadata(named, metadata_from, problems)
    if objects is None:
        raise InvalidInputError(
            "The frame holds no metadata: name its columns by metadata=['weather'], or call them 'metadata.weather'."
        )
    kept: dict[str, int] = {}
    written = objects.to_pylist()
    for row, name in enumerate(reference_ids.to_pylist()):
        if name is None or written[row] is None:
            continue
        first = kept.setdefault(name, row)
        if keys := differing_keys(written[first], written[row]):
            differing = ", ".join(map(repr, sorted(keys)))
            reason = f"is that of row {first} too, which differs in {differing}. Keep one of them."
            problems.add_one(row, str(named.name("reference_id")), reason)
    rows = pa.array(list(kept.values()), pa.int64())
    return Changes(reference_ids.take(rows), objects.take(rows)), problems
