"""Columns of ids, labels, numbers and sizes: any dtype that pandas has, checked whole."""

from __future__ import annotations

import decimal
import numbers
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas._util.arrays import Bools, Floats
from nucleus_pandas.errors import ValidationError
from nucleus_pandas.schema.checked_rows import Problems, shown
from nucleus_pandas.wire.column_json import ARROW_STRING, StringArray

LARGEST = 1e150  # pixels; beyond, areas would be infinite
INFINITE = "is infinite. JSON has no infinity; correct it, or drop the row."
_LARGEST_SIZE = 2**31 - 1  # pixels of an image's side
_IDS = "ids and labels are text or integers"
_ADDRESSES = "an address is a text or a path"
# What pandas and Arrow say of a column that they do not take as a whole.
NOT_AT_ONCE = (pa.ArrowException, UnicodeError, TypeError, ValueError, OverflowError, NotImplementedError)


def to_strings(
    series: pd.Series[Any],
    problems: Problems,
    *,
    required: Bools | None = None,
    addresses: bool = False,
    may_be_empty: bool = False,
) -> StringArray:
    """Convert a column of ids, labels or URLs to Arrow strings.

    Integers become decimal strings; floats and booleans are rejected, since 7.0 and "7" would be two ids.

    Parameters
    ----------
    series : pandas.Series
        Text, integers, categories or objects of these.
    problems : Problems
        Receives the rejected rows.
    required : numpy.ndarray of bool, optional
        Rows that must have a value.
    addresses : bool
        Whether paths (`os.PathLike`) are accepted.
    may_be_empty : bool
        Whether empty strings are accepted.

    Returns
    -------
    pyarrow.LargeStringArray
        Null where a value is missing or rejected.
    """
    name = str(series.name)
    try:
        column = _texts(series)
    except NOT_AT_ONCE:
        column = None
    if column is None:
        column = _texts_one_by_one(series, problems, name, addresses=addresses)
    empty = pc.equal(column, "")
    if not may_be_empty and pc.any(empty).as_py():
        problems.add(flags(empty), name, "is an empty text. Give it a name, or drop the row.")
    if required is not None:
        absent = required & flags(column.is_null())
        if absent.any():
            problems.add(absent & ~problems.bad_in(name), name, "is missing. Fill it, or drop the row.")
    return column


def flags(column: Any) -> Bools:
    """Return an Arrow column of booleans as NumPy has them; null is False."""
    found: Bools = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
    return found


def whole(column: Any) -> Any:
    """Return an Arrow column in one piece."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def values_of(series: pd.Series[Any]) -> list[Any]:
    """Return a column's values as Python has them; Arrow's own are lists and dicts, not arrays."""
    if isinstance(series.dtype, pd.ArrowDtype):
        found: list[Any] = whole(pa.array(series)).to_pylist()
        return found
    return series.tolist()


def _texts(series: pd.Series[Any]) -> StringArray | None:
    """Convert a column as a whole; None if its values must be converted one by one."""
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        distinct = _texts(pd.Series(dtype.categories, name=series.name))
        codes = np.asarray(series.cat.codes)
        return None if distinct is None else distinct.take(pa.array(codes, mask=codes < 0))
    if isinstance(dtype, pd.ArrowDtype):
        kind = dtype.pyarrow_dtype
        held = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_integer(held) or _is_text(held):
            return whole(pa.array(series)).cast(ARROW_STRING)
        return pa.nulls(len(series), ARROW_STRING) if bool(series.isna().all()) else None
    if isinstance(dtype, pd.StringDtype):
        return whole(pa.array(series, from_pandas=True)).cast(ARROW_STRING)
    if pd.api.types.is_integer_dtype(dtype):
        return whole(pa.array(series)).cast(ARROW_STRING)
    if pd.api.types.is_object_dtype(dtype):
        found = pd.api.types.infer_dtype(series, skipna=True)
        if found in ("string", "empty"):
            return pa.array(series.to_numpy(), ARROW_STRING, from_pandas=True)
    return pa.nulls(len(series), ARROW_STRING) if bool(series.isna().all()) else None


def _is_text(kind: Any) -> bool:
    """Return whether an Arrow type is text."""
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _texts_one_by_one(series: pd.Series[Any], problems: Problems, name: str, *, addresses: bool) -> StringArray:
    found: list[str | None] = []
    for row, value in enumerate(series.tolist()):
        text: object = os.fspath(value) if addresses and isinstance(value, os.PathLike) else value
        if is_missing(text):
            found.append(None)
            continue
        if isinstance(text, (int, np.integer)) and not isinstance(text, (bool, np.timedelta64)):
            text = str(int(text))
        reason = None
        if not isinstance(text, str):
            reason = _no_text(text, _ADDRESSES if addresses else _IDS)
        else:
            try:
                text.encode()
            except UnicodeEncodeError:
                reason = "holds half a surrogate pair, which is no Unicode."
        if reason is not None:
            problems.add_one(row, name, reason)
        found.append(str.__str__(text) if reason is None and isinstance(text, str) else None)
    return pa.array(found, ARROW_STRING)


def _no_text(value: object, law: str) -> str:
    if isinstance(value, (bool, np.bool_)):
        return f"is the boolean {value}; {law}. Write .map({{True: 'yes', False: 'no'}})."
    if isinstance(value, (float, np.floating, decimal.Decimal)):
        remedy = ".astype('Int64')" if float(value).is_integer() else ".astype(str)"
        return f"is the number {shown(value)}; {law}. Convert the column by {remedy}."
    if isinstance(value, list):
        return f"is {shown(value)}, a {type(value).__name__}; {law}. Give each value a row: frame.explode(column)."
    if law == _ADDRESSES:
        return (
            f"is {shown(value)}, a {type(value).__name__}; {law}. Write images to files first, such as "
            "pathlib.Path('a.png').write_bytes(…) or image.save('a.png'), and put their paths into the column."
        )
    return f"is {shown(value)}, a {type(value).__name__}; {law}. Convert it by .astype(str)."


def is_missing(value: object) -> bool:
    """Return whether a value stands for nothing: None, NaN, NaT or pandas.NA.

    Examples
    --------
    >>> [is_missing(value) for value in (None, float("nan"), pd.NaT, pd.NA, 0, "")]
    [True, True, True, True, False, False]
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, decimal.Decimal):
        return value.is_nan()  # a signalling NaN raises when it is compared
    return isinstance(value, (float, np.floating, np.datetime64, np.timedelta64)) and bool(
        value != value  # of all values only these differ from themselves
    )


def floats(series: pd.Series[Any], problems: Problems) -> Floats:
    """Convert a column of numbers to float64.

    Parameters
    ----------
    series : pandas.Series
        Integers, floats, decimals, categories or objects of these.
    problems : Problems
        Receives the rejected rows: strings, booleans, infinities.

    Returns
    -------
    numpy.ndarray of float64
        A new array, or the caller's own; NaN where a value is missing or rejected.
    """
    name = str(series.name)
    try:
        column = _floats(series)
    except NOT_AT_ONCE:
        column = None
    if column is None:
        column = _floats_one_by_one(series, problems, name)
    endless = np.isinf(column)
    if endless.any():
        problems.add(endless, name, INFINITE)
        column = np.where(endless, np.nan, column)
    return column


def _floats(series: pd.Series[Any]) -> Floats | None:
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        distinct = _floats(pd.Series(dtype.categories, name=series.name))
        return None if distinct is None else np.append(distinct, np.nan)[np.asarray(series.cat.codes)]
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_decimal(dtype.pyarrow_dtype):
        return np.asarray(whole(pa.array(series)).cast(pa.float64()).to_numpy(zero_copy_only=False))
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        return None
    if pd.api.types.is_numeric_dtype(dtype):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if pd.api.types.is_object_dtype(dtype) and pd.api.types.infer_dtype(series, skipna=True) in (
        "integer",
        "floating",
        "empty",
    ):
        return np.array([np.nan if value is None or value is pd.NA else value for value in series], dtype=np.float64)
    return np.full(len(series), np.nan) if bool(series.isna().all()) else None


def _floats_one_by_one(series: pd.Series[Any], problems: Problems, name: str) -> Floats:
    found = np.full(len(series), np.nan)
    for row, value in enumerate(series.tolist()):
        try:
            found[row] = number(value)
        except ValidationError as error:
            problems.add_one(row, name, error.reason)
    return found


def number(value: object) -> float:
    """Convert one number; NaN if it is missing.

    Raises
    ------
    ValidationError
        It is not a number, or does not fit into a float64.

    Examples
    --------
    >>> number(np.int8(3)), number(pd.NA)
    (3.0, nan)
    """
    if is_missing(value):
        return np.nan
    if isinstance(value, (numbers.Real, decimal.Decimal)) and not isinstance(value, (bool, np.bool_, np.timedelta64)):
        try:
            return float(value)
        except OverflowError:
            raise ValidationError(
                f"is {shown(value)}, which is beyond what a float64 holds.", subject="The value"
            ) from None
    remedy = " pd.to_numeric(column) converts text." if isinstance(value, str) else ""
    raise ValidationError(
        f"is {shown(value)}, a {type(value).__name__}; it must be a number.{remedy}", subject="The value"
    )


def within(column: Floats, problems: Problems, name: str, test: Callable[[Floats], Bools], reason: str) -> None:
    """Reject numbers for which `test` is false; missing ones pass."""
    with np.errstate(invalid="ignore"):
        wrong = ~test(column) & ~np.isnan(column)
    problems.add(wrong, name, lambda row: f"is {_shown_wrong(column[row], test)}; {reason}")


def _shown_wrong(value: float, test: Callable[[Floats], Bools]) -> str:
    """Show a number shortly, but with every digit, as 1.0000001, if it would pass the test without the last ones."""
    short = f"{value:g}"
    return repr(float(value)) if test(np.array([float(short)]))[0] else short


def sides(series: pd.Series[Any], problems: Problems) -> Floats:
    """Convert the widths or heights of images: whole positive numbers; missing values are absent.

    Returns
    -------
    numpy.ndarray of float64
        NaN where there is none.
    """
    column = floats(series, problems)
    within(
        column,
        problems,
        str(series.name),
        lambda side: (side >= 1) & (side <= _LARGEST_SIZE) & (side == np.floor(side)),
        "the side of an image is a whole number of pixels, at least 1. Leave it empty where it is not known.",
    )
    return column
