"""The rows of a source that may be sent, and the problems of those that may not.

Problems are collected over the whole source before anything is sent.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Bools, Indices
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import NucleusWarning, ValidationError
from nucleus_pandas.schema.outside import NONE_OUTSIDE, Outside

RowKind: TypeAlias = Literal["items", "annotations", "predictions"]
SourceRows: TypeAlias = pd.DataFrame | Sequence[Mapping[str, Any]]


Reason: TypeAlias = str | Callable[[int], str]

_LONGEST = 80  # characters of a value that a sentence shows


class Problems:
    """Rows, columns and reasons.

    Parameters
    ----------
    index : pandas.Index
        The labels of the rows.
    """

    def __init__(self, index: pd.Index[Any]) -> None:
        self.index = index
        self.bad: Bools = np.zeros(len(index), dtype=bool)
        self._found: list[tuple[Indices, str, Reason]] = []

    def add(self, rows: Bools, column: str, reason: Reason) -> None:
        """Reject the rows of a mask; a reason that is a function is called with the position of each row."""
        if rows.any():
            self.bad |= rows
            self._found.append((np.flatnonzero(rows), column, reason))

    def add_one(self, row: int, column: str, reason: str) -> None:
        """Reject one row by its position."""
        self.bad[row] = True
        self._found.append((np.array([row]), column, reason))

    def extend(self, others: Problems) -> None:
        """Add the problems of the same rows from elsewhere."""
        self.bad |= others.bad
        self._found += others._found

    def bad_in(self, column: str) -> Bools:
        """Return the mask of the rows that are rejected for this column."""
        found: Bools = np.zeros(len(self.index), dtype=bool)
        for rows, name, _ in self._found:
            if name == column:
                found[rows] = True
        return found

    def forget(self, rows: Bools) -> None:
        """Remove all problems of some rows."""
        if rows.any():
            self.bad &= ~rows
            self._found = [(found[~rows[found]], column, reason) for found, column, reason in self._found]

    def _each(self) -> Iterator[tuple[int, str, str]]:
        for rows, column, reason in self._found:
            for row in rows.tolist():
                yield row, column, reason if isinstance(reason, str) else reason(row)

    def reasons(self) -> dict[int, str]:
        """Return one sentence per rejected row, by position."""
        found: dict[int, list[str]] = {}
        for row, column, reason in self._each():
            found.setdefault(row, []).append(f"column '{column}': {reason}" if column else reason)
        return {row: " ".join(found[row]) for row in sorted(found)}

    def frame(self) -> pd.DataFrame:
        """Return every rejected row, column and reason, in the order of the rows.

        Returns
        -------
        pandas.DataFrame
            On the labels of the rows: ``row`` (the position), ``column`` and ``reason``.
        """
        found = sorted(self._each(), key=lambda problem: problem[0])
        rows = np.array([row for row, _, _ in found], dtype=np.int64)
        columns = {
            "row": rows,
            "column": pd.Series([column for _, column, _ in found], dtype=TEXT).array,
            "reason": pd.Series([reason for _, _, reason in found], dtype=TEXT).array,
        }
        return pd.DataFrame(columns, index=self.index.take(rows))

    def label(self, row: int) -> str:
        """Name a row for a reader."""
        return label_of(self.index, row)


def reason_of(error: Exception) -> str:
    """Return why a value is invalid, without the value's own name: a problem names its column instead."""
    if isinstance(error, RecursionError):
        return "is nested too deeply, or contains itself."
    return error.reason if isinstance(error, ValidationError) else str(error)


def warn(text: str) -> None:
    """Warn the caller, at the line that called this package."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "nucleus_pandas":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, NucleusWarning, stacklevel=level)


def label_of(index: pd.Index[Any], row: int) -> str:
    """Name a row as its index does, with its position where that says more.

    Examples
    --------
    >>> label_of(pd.RangeIndex(3), 2), label_of(pd.Index(["a", "b"]), 1)
    ('row 2', "row 'b' (position 1)")
    """
    if isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1:
        return f"row {row}"
    return f"row {shown(index[row])} (position {row})"


def shown(value: object) -> str:
    """Show a value in a sentence, cut where it is long."""
    if isinstance(value, tuple):
        text = f"({', '.join(map(shown, value))}{',' if len(value) == 1 else ''})"
    elif isinstance(value, (bool, np.bool_)) or not isinstance(value, (np.integer, np.floating, np.str_)):
        text = repr(value)
    else:
        text = repr(value.item())  # 7 rather than np.int64(7)
    text = " ".join(text.split()) if "\n" in text else text  # a Series is shown in several lines
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


NOT_SENT = -1


class Units(Protocol):
    """The objects to send, in order: one item, annotation or prediction each."""

    @property
    def files(self) -> Mapping[int, Path]:
        """The local files that are sent with some units."""
        ...

    def __len__(self) -> int:
        """Return the number of units."""
        ...

    def objects(self, start: int, stop: int) -> bytes | memoryview:
        """Write units as JSON objects, separated by commas."""
        ...

    def keys(self, start: int, stop: int) -> Sequence[str]:
        """Return the id by which each unit names its item."""
        ...


@runtime_checkable
class SendableItems(Units, Protocol):
    """Items: sent in JSON batches, as lines of one file, or together with their images."""

    def lines(self, start: int, stop: int) -> bytes:
        """Write items as JSON objects, one per line."""
        ...

    def images(self, start: int, stop: int, *, update: bool) -> bytes:
        """Write items that are sent with their images, as a JSON array; each says whether it may replace another."""
        ...


@runtime_checkable
class SendableAnnotations(Units, Protocol):
    """Annotations or predictions: sent in JSON batches, masks apart from the others where a server fetches them."""

    def masks(self, start: int, stop: int) -> Collection[int]:
        """Return the units that are masks."""
        ...


UnitsT_co = TypeVar("UnitsT_co", bound=Units, covariant=True)


@dataclass(frozen=True, slots=True)
class Checked(Generic[UnitsT_co]):
    """A source after validation.

    Attributes
    ----------
    units : Units
        What may be sent.
    unit_of_row : numpy.ndarray of int
        The unit whose outcome is that of each row of the source; -1 for rows without one.
    problems : Problems
        Why rows are invalid. A row that is valid and has no unit has nothing to send.
    repeats : sequence of int
        The positions of rows that repeat others exactly, under ids of their own.
    cleared : sequence of str
        The items that have rows without an annotation only, by ids of the kind `cleared_by`.
    unused : sequence of hashable
        Columns that are not sent.
    outside : Outside
        Boxes that reach beyond their images, as far as the source knows their sizes.
    """

    units: UnitsT_co
    unit_of_row: Indices
    problems: Problems
    repeats: Sequence[int] = ()
    cleared: Sequence[str] = ()
    cleared_by: str = "reference_id"
    unused: Sequence[Hashable] = ()
    outside: Outside = NONE_OUTSIDE
