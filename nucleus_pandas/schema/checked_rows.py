"""The rows of a source that may be sent, and the reasons why the others may not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from nucleus_pandas.schema.problems import Problems

Positions = npt.NDArray[np.intp]
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
    """

    units: UnitsT_co
    unit_of_row: Positions
    problems: Problems
    repeats: Sequence[int] = ()
