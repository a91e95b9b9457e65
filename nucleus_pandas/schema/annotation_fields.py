"""Optional fields of annotations: class probabilities, track, task and embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas.errors import ValidationError
from nucleus_pandas.schema.checked_rows import Problems, shown
from nucleus_pandas.schema.coerce import is_missing, to_strings, values_of
from nucleus_pandas.schema.column_names import NamedColumns
from nucleus_pandas.schema.json_values import is_json, to_json
from nucleus_pandas.schema.metadata import MetadataColumns
from nucleus_pandas.wire.column_json import ARROW_STRING, StringArray, quoted
from nucleus_pandas.wire.decoding import convert
from nucleus_pandas.wire.entities import ClassProbabilities, Vector

_ENCODER = msgspec.json.Encoder()


def details(
    named: NamedColumns, names: Sequence[str], metadata: MetadataColumns, problems: Problems
) -> dict[str, StringArray]:
    """Return the optional fields of annotations from the columns of a frame.

    Parameters
    ----------
    named : NamedColumns
        The frame.
    names : sequence of str
        Which fields the annotations have, of those in `nucleus_pandas.wire.entities.DETAILS`.
    metadata : bool or sequence of column names
        What the caller sends as metadata; a column that is named there is that alone.

    Returns
    -------
    dict of str to pyarrow.LargeStringArray
        JSON values by field, null where one is missing; only fields of which the frame holds any.
    """
    chosen = set() if isinstance(metadata, bool) else set(metadata)
    found: dict[str, StringArray] = {}
    for name in names:
        series = None if named.name(name) in chosen else named.get(name)
        if series is None or series.isna().all():
            continue
        if name in _NESTED:
            found[name] = _nested(series, problems, *_NESTED[name])
        else:
            found[name] = quoted(to_strings(series, problems, may_be_empty=True))
    return found


def detail(columns: Mapping[str, StringArray], row: int) -> dict[str, Any]:
    """Return the fields of a row as plain values."""
    there = ((name, column[row]) for name, column in columns.items())
    return {name: msgspec.json.decode(value.as_py()) for name, value in there if value.is_valid}


def some_details(
    columns: Mapping[str, StringArray], take: Callable[[StringArray], StringArray]
) -> dict[str, StringArray]:
    """Return all columns after `take` selected their rows."""
    return {name: take(column) for name, column in columns.items()}


def _nested(
    series: pd.Series[Any], problems: Problems, shape: Any, take: Callable[[Any], Any], law: str
) -> StringArray:
    """Write dicts or lists as JSON, row by row."""
    name = str(series.name)
    written: list[bytes | None] = []
    for row, value in enumerate(values_of(series)):
        text = None
        if not is_missing(value):
            try:
                text = _ENCODER.encode(convert(take(value), shape, "It", "$"))
            except (ValidationError, RecursionError) as error:
                reason = str(error) if isinstance(error, ValidationError) else "It is nested too deeply."
                problems.add_one(row, name, f"is {shown(value)}; {law}. {reason}")
        written.append(text)
    return pa.array(written, ARROW_STRING)


def _from_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value.encode())
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValidationError(f"It is not valid JSON ({error}).") from None


def _chances(value: Any) -> Any:
    value = _from_json(value)
    if isinstance(value, (list, tuple)) and all(isinstance(part, tuple) and len(part) == 2 for part in value):
        value = dict(value)  # an Arrow map
    if not isinstance(value, Mapping):
        return to_json(value, "$")
    # an Arrow struct has the labels of all rows
    return to_json({label: chance for label, chance in value.items() if not is_missing(chance)}, "$")


def _vector(value: Any) -> Any:
    value = _from_json(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and np.isfinite(value).all():
        return value.tolist()
    return value if is_json(value) else to_json(value, "$")


_NESTED: dict[str, tuple[Any, Callable[[Any], Any], str]] = {
    "class_pdf": (ClassProbabilities, _chances, "it is a dict of labels and their probabilities, from 0 to 1"),
    "embedding_vector": (Vector, _vector, "it is a list of numbers"),
}
