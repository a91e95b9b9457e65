"""Items that pass conditions, found a page at a time and within a time, however many do not pass."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from nucleus_pandas.local.store.datasets import Dataset
from nucleus_pandas.local.store.ids import ITEM_BITS
from nucleus_pandas.local.store.items import ItemRow

SECONDS = 0.12
"""How long a page looks for items at most; it says how far it came."""

_COLUMNS = ", ".join(f"item.{name}" for name in ItemRow._fields)
_FIRST = 1_024  # positions that are looked through at once, in the beginning
_TURN = 0.03  # seconds that looking through some more is to take
_FULL = 1 << 22

Direction: TypeAlias = Literal["forward", "backward"]


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL expression over ``item``, with the values that it binds by name."""

    sql: str = "1"
    values: dict[str, object] = field(default_factory=dict)


class Found(NamedTuple):
    """Items in the order of the dataset.

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


def scan(
    db: sqlite3.Connection,
    dataset: Dataset,
    condition: Condition,
    *,
    start: int,
    limit: int,
    direction: Direction = "forward",
    seconds: float = SECONDS,
) -> Found:
    """Find items that pass, from a position on, or before it.

    Looking stops when there are enough, at the end of the dataset, or when the time is up.
    """
    (end,) = db.execute("SELECT positions FROM dataset WHERE id = ?", (dataset.id,)).fetchone()
    start = min(start, end)
    rows: list[ItemRow] = []
    until = time.monotonic() + seconds
    size = _FULL if condition == Condition() else _FIRST
    at = start
    while len(rows) < limit:
        low, high = (at, min(at + size, end)) if direction == "forward" else (max(at - size, 0), at)
        if low >= high:
            break
        began = time.monotonic()
        found = _window(db, dataset, condition, low, high, limit - len(rows), direction)
        rows += found
        at = high if direction == "forward" else low
        if len(rows) >= limit:
            at = position(rows[-1]) + (direction == "forward")
            break
        now = time.monotonic()
        if now > until:
            break
        size = int(size * min(8.0, max(0.25, _TURN / (now - began + 1e-9)))) + 1
    if direction == "forward":
        return Found(rows, start, at)
    return Found(rows[::-1], at, start)


def _window(
    db: sqlite3.Connection,
    dataset: Dataset,
    condition: Condition,
    low: int,
    high: int,
    limit: int,
    direction: Direction,
) -> list[ItemRow]:
    first = dataset.id << ITEM_BITS
    order = "" if direction == "forward" else " DESC"
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM item WHERE item.id >= :low AND item.id < :high AND ({condition.sql})"
        f" ORDER BY item.id{order} LIMIT :limit",
        {**condition.values, "low": first + low, "high": first + high, "limit": limit},
    )
    return list(map(ItemRow._make, rows))


def position(row: ItemRow) -> int:
    """Give the position of an item in its dataset."""
    return row.id & ((1 << ITEM_BITS) - 1)
