"""Reading and writing files: their text, and where they stand."""

from __future__ import annotations

import codecs
import os
import uuid
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import InvalidInputError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as that of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def text_of(data: bytes, source: str, encoding: str = "utf-8") -> str:
    """Decode the content of a file, by its byte order mark where it has one.

    Raises
    ------
    InvalidInputError
        It is no such text.

    Examples
    --------
    >>> text_of("cat".encode("utf-8-sig"), "names.txt"), text_of("cat".encode("utf-16"), "names.txt")
    ('cat', 'cat')
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), encoding)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except (UnicodeError, LookupError) as error:
        raise InvalidInputError(f"{source} is no text in {encoding} ({error}). Save it as UTF-8.") from None


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or with a byte order mark."""
    return text_of(path.read_bytes(), str(path))


def files_below(folder: Path, endings: Collection[str]) -> dict[str, Path]:
    """Return the files in a folder and those in it by their names below it, sorted; ``/`` parts folders.

    Parameters
    ----------
    endings : collection of str
        In lower case, with the dot.

    Raises
    ------
    OSError
        A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: dict[str, Path] = {}
    for place, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            path = Path(place, name)
            if path.suffix.lower() in endings and path.is_file():
                found[path.relative_to(folder).as_posix()] = path
    return {name: found[name] for name in sorted(found)}


def write(path: Path, data: bytes) -> None:
    """Write a file, so that others see the whole of it or none."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def escapes(name: str) -> str | None:
    """Return why a name that a file or a frame holds cannot name a file below a folder; None if it can.

    Examples
    --------
    >>> escapes("train/a.jpg") is None, escapes("../a.jpg")
    (True, 'leaves the folder')
    """
    parts = name.split("/")
    if name.startswith("/") or PurePosixPath(name).is_absolute() or (os.name == "nt" and Path(name).drive):
        return "is an absolute path"
    if ".." in parts:
        return "leaves the folder"
    if any(part in ("", ".") for part in parts) or "\0" in name:
        return "is no name of a file"
    return None


def stem_of(name: str) -> str:
    """Leave out the extension.

    Examples
    --------
    >>> stem_of("train/a.b.jpg"), stem_of("train.d/a")
    ('train/a.b', 'train.d/a')
    """
    return os.path.splitext(name)[0]


_SHOWN = 5  # faults in an error's text


class Faults:
    """Places and reasons.

    Parameters
    ----------
    source : str
        What is read, for the reader: a path.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: list[tuple[str, str]] = []

    def add(self, place: str, reason: str) -> None:
        """Record a fault: where it is, such as ``annotations[17].bbox``, and a sentence that continues it."""
        self._found.append((place, reason))

    def error(self, place: str, reason: str) -> InvalidInputError:
        """Record a fault after which nothing more can be read, and return the error that tells all."""
        self.add(place, reason)
        return self._error()

    def check(self) -> None:
        """Raise InvalidInputError if anything was found; its `problems` hold every place and reason."""
        if self._found:
            raise self._error()

    def _error(self) -> InvalidInputError:
        lines = [f"{place} {reason}".strip() for place, reason in self._found]
        problems = pd.DataFrame(self._found, columns=["place", "reason"], dtype=TEXT)
        if len(lines) == 1:
            return InvalidInputError(f"{self.source}: {lines[0]}", problems=problems)
        shown = [f"{self.source}: {len(lines)} faults:", *(f"  {line}" for line in lines[:_SHOWN])]
        if len(lines) > _SHOWN:
            shown.append(f"  … and {len(lines) - _SHOWN} more; .problems lists all.")
        return InvalidInputError("\n".join(shown), problems=problems)
