"""What of a source may be sent, and what may not and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nucleus_pandas.schema.problems import Problems

Positions = npt.NDArray[np.intp]
NOT_SENT = -1


class Units(Protocol):
    """What is sent, in its order: an item, an annotation or a prediction each."""

    def __len__(self) -> int:
        """Count them."""
        ...

    def objects(self, start: int, stop: int) -> bytes | memoryview:
        """Write some as JSON objects, parted by commas."""
        ...

    def lines(self, start: int, stop: int) -> bytes:
        """Write some as JSON objects, one a line."""
        ...

    def keys(self, start: int, stop: int) -> Sequence[str]:
        """Return the ids by which some name their items."""
        ...

    def columns(self, start: int, stop: int) -> bytes | None:
        """Write some as JSON columns; None where they are no boxes that are keyed alike."""
        ...

    def masks(self, start: int, stop: int) -> Collection[int]:
        """Return which of some are masks."""
        ...

    @property
    def files(self) -> Mapping[int, Path]:
        """The local images that go with some of them."""
        ...

    def images(self, start: int, stop: int, *, update: bool) -> bytes:
        """Write some that go with their images, as a JSON array; each says whether it may replace another."""
        ...


@dataclass(frozen=True, slots=True)
class Checked:
    """A source that was looked at whole.

    Attributes
    ----------
    units : Units
        What may be sent.
    unit_of_row : numpy.ndarray of int
        Which unit tells what becomes of each row of the source; -1 where none does.
    problems : Problems
        Why rows are refused. A row that is neither refused nor has a unit has nothing to send.
    repeats : sequence of int
        The positions of rows that repeat others exactly, under ids of their own.
    """

    units: Units
    unit_of_row: Positions
    problems: Problems
    repeats: Sequence[int] = ()
