"""Values as JSON can hold them."""

from __future__ import annotations

import ast
import datetime as dt
import decimal
import math
import os
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema.checked_rows import shown
from nucleus_pandas.schema.coerce import is_missing

_NUMBERS = {int, float}
_PRINTED = re.compile(r"\[\s*(?:[-+]?[0-9.]+(?:e[-+]?[0-9]+)?(?:\s+|(?=\])))+\]", re.ASCII | re.IGNORECASE)


def to_json(value: object, place: str, *, nulls: bool = False) -> Any:
    """Turn a value into what JSON can hold.

    NumPy scalars and arrays, timestamps (ISO 8601), Decimal and UUID are converted; mappings must have text keys.

    Parameters
    ----------
    value : object
        Anything.
    place : str
        Its path, for the error.
    nulls : bool
        Whether what is missing (NaN, NaT, pandas.NA) becomes null; otherwise it is rejected.

    Raises
    ------
    InvalidInputError
        A value that JSON cannot hold (NaN, an infinity, bytes, a set, a function, …); the text names its path.

    Examples
    --------
    >>> to_json({"at": pd.Timestamp("2024-01-01"), "n": np.int64(3)}, "$")
    {'at': '2024-01-01T00:00:00', 'n': 3}
    >>> to_json({"score": float("nan")}, "$.metadata")
    Traceback (most recent call last):
        ...
    nucleus_pandas.errors.InvalidInputError: JSON has no nan - at `$.metadata.score`. Leave the key out, or send null.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return _text(value, place) if isinstance(value, str) else value
    if is_missing(value):
        if nulls:
            return None
        raise InvalidInputError(f"JSON has no {shown(value)} - at `{place}`. Leave the key out, or send null.")
    if isinstance(value, np.generic) and not isinstance(value, np.timedelta64):
        return to_json(_python(value), place)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"JSON has no {float(value)} - at `{place}`. Leave the key out, or send null.")
        return float(value)
    if isinstance(value, Mapping):
        return {_key(key, place): to_json(part, f"{place}.{key}", nulls=nulls) for key, part in value.items()}
    if isinstance(value, np.ndarray) and not value.ndim:
        return to_json(value[()], place, nulls=nulls)
    if isinstance(value, (list, tuple, np.ndarray)):
        return [to_json(part, f"{place}[{number}]", nulls=nulls) for number, part in enumerate(value)]
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, os.PathLike)):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return to_json(float(value), place)
    raise InvalidInputError(
        f"JSON has no {type(value).__name__} - at `{place}`. There are text, numbers, booleans, null, lists and dicts."
    )


def from_text(text: str) -> Any:
    """Return the list, tuple or dict that a text spells, as CSV files hold them; another text as it is.

    JSON, literals of Python and arrays as NumPy prints them are read.

    Examples
    --------
    >>> from_text("[1, 2.5]"), from_text("{'x': 1}"), from_text("[1. 2.]"), from_text("car")
    ([1, 2.5], {'x': 1}, [1.0, 2.0], 'car')
    """
    spelt = text.strip()
    if not spelt or spelt[0] not in "[({":
        return text
    found: object = None
    try:
        found = msgspec.json.decode(spelt.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        if _PRINTED.fullmatch(spelt):
            found = [float(number) for number in spelt[1:-1].split()]
        else:
            with suppress(ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
                found = ast.literal_eval(spelt)
    return found if isinstance(found, (list, tuple, dict)) else text


def is_json(value: object) -> bool:
    """Return whether JSON can hold a value as it is; False also where telling takes long.

    Ten times as fast as making it so, for a polygon of COCO.

    Examples
    --------
    >>> is_json({"polygons": [[1, 2.5]], "name": "ü", "none": None}), is_json([float("nan")]), is_json((1, 2))
    (True, False, False)
    """
    kind = type(value)
    if kind is list:
        kinds = set(map(type, value))  # type: ignore[call-overload]
        if kinds <= _NUMBERS:
            with suppress(OverflowError):  # an int that no float holds
                return math.isfinite(sum(value))  # type: ignore[call-overload]
            return False
        return all(map(is_json, value))  # type: ignore[call-overload]
    if kind is dict:
        for key, part in value.items():  # type: ignore[attr-defined]
            if not _is_text(key) or (type(part) is not int and not is_json(part)):
                return False
        return True
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    return value is None or kind is int or kind is bool or _is_text(value)


def _is_text(value: object) -> bool:
    if type(value) is not str:
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def _python(value: np.generic) -> object:
    """Return a NumPy scalar as Python has it."""
    if isinstance(value, np.longdouble):
        return float(value)  # its item() is itself
    if isinstance(value, np.datetime64) and isinstance(value.item(), int):
        return pd.Timestamp(value)  # nanoseconds, which datetime does not have
    return value.item()


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise InvalidInputError(f"JSON keys are text, not {type(key).__name__} {key!r} - at `{place}`.")
    return _text(key, place)


def _text(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"The text holds half a surrogate pair, which is no Unicode - at `{place}`.") from None
    return str.__str__(text)  # an enum of texts says its name otherwise
