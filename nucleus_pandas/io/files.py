"""Reading and writing files: text, places in files, and names below a folder."""

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
        The content is not text in that encoding.

    Examples
    --------
    >>> text_of("cat".encode("utf-8-sig"), "names.txt"), text_of("cat".encode("utf-16"), "names.txt")
    ('cat', 'cat')
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), encoding)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except (UnicodeError, LookupError) as error:
        raise InvalidInputError(f"{source} is not text in {encoding} ({error}). Save it as UTF-8.") from None


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or with a byte order mark."""
    return text_of(path.read_bytes(), str(path))


def files_below(folder: Path, endings: Collection[str]) -> dict[str, Path]:
    """Return the files in a folder and its subfolders by their sorted relative names, with ``/`` between folders.

    Parameters
    ----------
    endings : collection of str
        In lower case, with the dot.

    Raises
    ------
    OSError
        A folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise error

    files: dict[str, Path] = {}
    for place, _, names in os.walk(folder, onerror=fail):
        for name in names:
            path = Path(place, name)
            if path.suffix.lower() in endings and path.is_file():
                files[path.relative_to(folder).as_posix()] = path
    return dict(sorted(files.items()))


def write(path: Path, data: bytes) -> None:
    """Write a file atomically: other processes see all of it or nothing."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def escapes(name: str) -> str | None:
    """Return why a name cannot be that of a file below a folder; None if it can.

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
        return "is not a file name"
    return None


def stem_of(name: str) -> str:
    """Return a name without its extension.

    Examples
    --------
    >>> stem_of("train/a.b.jpg"), stem_of("train.d/a")
    ('train/a.b', 'train.d/a')
    """
    return os.path.splitext(name)[0]


_SHOWN = 5  # faults in a message


class Faults:
    """Places in a file and what is wrong there, collected to be raised as one error.

    Parameters
    ----------
    source : str
        What is read, as it appears in the message: a path.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._faults: list[tuple[str, str]] = []

    def add(self, place: str, reason: str) -> None:
        """Record a fault: its place, such as ``annotations[17].bbox``, and a predicate such as ``is missing.``."""
        self._faults.append((place, reason))

    def error(self, place: str, reason: str) -> InvalidInputError:
        """Record a fault after which reading cannot continue, and return the error with all faults."""
        self.add(place, reason)
        return self._error()

    def check(self) -> None:
        """Raise InvalidInputError if there are faults; its `problems` hold every place and reason."""
        if self._faults:
            raise self._error()

    def _error(self) -> InvalidInputError:
        lines = [f"{place} {reason}".strip() for place, reason in self._faults]
        problems = pd.DataFrame(self._faults, columns=["place", "reason"], dtype=TEXT)
        if len(lines) == 1:
            return InvalidInputError(f"{self.source}: {lines[0]}", problems=problems)
        shown = [f"{self.source}: {len(lines)} faults:", *(f"  {line}" for line in lines[:_SHOWN])]
        if len(lines) > _SHOWN:
            shown.append(f"  … and {len(lines) - _SHOWN} more; .problems lists all.")
        return InvalidInputError("\n".join(shown), problems=problems)
