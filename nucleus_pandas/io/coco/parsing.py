"""COCO files as Python objects, and the values of their entries."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io.files import Faults, text_of
from nucleus_pandas.schema.checked_rows import shown

CocoSource: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""The path of a file, or its content."""

CocoKey: TypeAlias = int | str
"""An id by which entries find each other: 7, 7.0 and "7" are one."""


class CocoContent(NamedTuple):
    """The content of a COCO file, its name in messages, and whether its dicts may be changed."""

    value: Any
    name: str
    is_owned: bool


def parse(source: CocoSource, what: str = "The COCO data") -> CocoContent:
    """Parse a file.

    Raises
    ------
    InvalidInputError
        It is empty, truncated, or not JSON.
    """
    if isinstance(source, (Mapping, list, tuple)):
        return CocoContent(source, what, False)
    if not isinstance(source, (str, os.PathLike)):
        raise InvalidInputError(f"{what} is a path, a dict or a list, not {type(source).__name__}.")
    path = Path(source).expanduser()
    if path.is_dir():
        raise InvalidInputError(
            f"{path} is a folder, but COCO is a file: name it, such as '{path / 'instances.json'}'."
        )
    data = path.read_bytes()
    name = str(path)
    if not data.strip():
        raise InvalidInputError(f"{name} is empty. Export it again.")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data.startswith(b"\xef\xbb\xbf"):
        data = text_of(data, name).encode("utf-8", "surrogatepass")
    try:
        return CocoContent(msgspec.json.decode(data), name, True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return CocoContent(_parse_leniently(data, name, error), name, True)


def _parse_leniently(data: bytes, name: str, fault: Exception) -> Any:
    """Parse what Python's json module wrote, which may contain NaN."""
    text = text_of(data, name)
    try:
        value = json.loads(text, parse_constant=_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"{name}: a string holds half a surrogate pair, which is not valid Unicode.") from None
    except ArithmeticError as error:
        raise InvalidInputError(f"{name}: {error}. Correct it, or remove the key.") from None
    except (ValueError, RecursionError):
        reason = "it is nested too deeply" if isinstance(fault, RecursionError) else str(fault)
        raise InvalidInputError(
            f"{name} is not valid JSON: {reason}. Is it complete? Export or download it again."
        ) from None
    return value


def _constant(name: str) -> float:
    if name == "NaN":
        return math.nan
    raise ArithmeticError(f"it contains {name}, which JSON does not have")


def entries(parsed: CocoContent, part: str, *, needed: bool) -> list[Mapping[str, Any]]:
    """Return a list of objects of a COCO file.

    Raises
    ------
    InvalidInputError
        It is missing, or not a list of objects.
    """
    faults = Faults(parsed.name)
    value = parsed.value.get(part)
    if value is None:
        if needed:
            keys = ", ".join(map(repr, list(parsed.value)[:20])) or "nothing"
            raise faults.error(
                "",
                f"there is no {part!r} in it, but {keys}. A COCO file of detections has 'images', "
                "'annotations' and 'categories'.",
            )
        return []
    return objects(value, part, faults)


def objects(value: Any, part: str, faults: Faults) -> list[Mapping[str, Any]]:
    """Return a list of objects, or raise InvalidInputError."""
    if not isinstance(value, (list, tuple)):
        raise faults.error(part, f"is a {type(value).__name__}; it must be a list of objects.")
    if not set(map(type, value)) <= {dict}:
        for at, entry in enumerate(value):
            if not isinstance(entry, Mapping):
                faults.add(f"{part}[{at}]", f"is {shown(entry)}; it must be an object.")
        faults.check()
    return list(value)


def key_of(value: object) -> CocoKey | None:
    """Return an id in a form that compares equal for 7, 7.0 and "7"; None if it is not an id.

    Examples
    --------
    >>> key_of(7), key_of(7.0), key_of("7"), key_of("a"), key_of("007"), key_of(True), key_of("")
    (7, 7, 7, 'a', '007', None, None)
    """
    if type(value) is int:
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and value:
        digits = value.removeprefix("-")
        if len(value) < 20 and digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0"):
            return int(value) if value != "-0" else value
        return value
    return None


def keys_of(values: Sequence[object]) -> list[CocoKey | None]:
    """Return the keys of many ids."""
    if set(map(type, values)) <= {int}:
        return list(values)  # type: ignore[arg-type]
    return list(map(key_of, values))


def number_of(value: object) -> float | None:
    """Parse a number, also from a string; None if it is invalid, NaN if it is missing.

    Examples
    --------
    >>> number_of("12"), number_of(""), number_of(None), number_of("wide"), number_of(True)
    (12.0, nan, nan, None, None)
    """
    if value is None or value == "":
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
