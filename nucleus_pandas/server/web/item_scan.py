"""Items that pass conditions, found a page at a time and within a time, however many do not pass."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from nucleus_pandas.server.store import items, slices
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import item_range, position_of
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.slices import Slice
from nucleus_pandas.server.store.sql_conditions import Condition

SECONDS = 0.12
"""How long a page looks for items at most; it says how far it came."""

_COLUMNS = ", ".join(f"item.{name}" for name in ItemRow._fields)
_FIRST = 1_024  # positions that are looked through at once, in the beginning
_TURN = 0.03  # seconds that looking through some more is to take
_WHOLE = 1 << 22

Direction: TypeAlias = Literal["forward", "backward"]


class Found(NamedTuple):
    """Items in their order.

    Attributes
    ----------
    rows : list of ItemRow
        The items.
    first, behind : int
        The positions that were looked through: from the first to before the other.
    """

    rows: list[ItemRow]
    first: int
    behind: int


@dataclass(frozen=True, slots=True)
class Walk:
    """The items of a dataset, or those of a slice, for which a condition holds.

    Positions are those in the dataset or in the slice; where items were deleted, positions are empty.
    """

    dataset: Dataset
    one: Slice | None = None
    condition: Condition = field(default_factory=Condition)

    @property
    def is_whole(self) -> bool:
        """Whether every item passes."""
        return self.condition == Condition()

    @property
    def length(self) -> int:
        """How many items there are, whether they pass or not."""
        return self.dataset.length if self.one is None else self.one.length

    @property
    def _first(self) -> int:
        return item_range(self.dataset.id if self.one is None else self.one.id)[0]

    def end(self, db: sqlite3.Connection) -> int:
        """Return the position behind the last."""
        if self.one is not None:
            return self.one.positions
        return int(db.execute("SELECT positions FROM dataset WHERE id = ?", (self.dataset.id,)).fetchone()[0])

    def position(self, db: sqlite3.Connection, item: int) -> int | None:
        """Return the position of an item."""
        if self.one is None:
            return position_of(item)
        place = slices.place_of(db, self.one, item)
        return None if place is None else position_of(place)

    def rank(self, db: sqlite3.Connection, position: int) -> int:
        """Count the items before a position, whether they pass or not."""
        return (items.rank if self.one is None else slices.rank)(db, self._first + position)

    def find(
        self,
        db: sqlite3.Connection,
        *,
        start: int,
        limit: int,
        direction: Direction = "forward",
        seconds: float = SECONDS,
    ) -> Found:
        """Find items that pass, from a position on, or before it.

        Looking stops when there are enough, at the end, or when the time is up.
        """
        end = self.end(db)
        start = at = min(start, end)
        rows: list[ItemRow] = []
        until = time.monotonic() + seconds
        size = _WHOLE if self.is_whole else _FIRST
        while len(rows) < limit:
            low, high = (at, min(at + size, end)) if direction == "forward" else (max(at - size, 0), at)
            if low >= high:
                break
            began = time.monotonic()
            found = self._window(db, low, high, limit - len(rows), direction)
            rows += [ItemRow._make(row) for _, *row in found]
            at = high if direction == "forward" else low
            if len(rows) >= limit:
                at = position_of(found[-1][0]) + (direction == "forward")
                break
            now = time.monotonic()
            if now > until:
                break
            size = int(size * min(8.0, max(0.25, _TURN / (now - began + 1e-9)))) + 1
        return Found(rows, start, at) if direction == "forward" else Found(rows[::-1], at, start)

    def _window(
        self, db: sqlite3.Connection, low: int, high: int, limit: int, direction: Direction
    ) -> list[tuple[int, ...]]:
        marker = "item.id" if self.one is None else "slice_item.place"
        source = "item" if self.one is None else "slice_item CROSS JOIN item ON item.id = slice_item.item"
        return db.execute(
            f"SELECT {marker}, {_COLUMNS} FROM {source} WHERE {marker} >= :low AND {marker} < :high"
            f" AND ({self.condition.sql}) ORDER BY {marker}{'' if direction == 'forward' else ' DESC'} LIMIT :limit",
            {**self.condition.values, "low": self._first + low, "high": self._first + high, "limit": limit},
        ).fetchall()

    def numbers(self, db: sqlite3.Connection) -> Iterator[int]:
        """Walk the numbers of all items that pass, however long that takes."""
        at = 0
        while True:
            found = self.find(db, start=at, limit=10_000, seconds=60.0)
            yield from (row.id for row in found.rows)
            if found.behind <= at:
                return
            at = found.behind
