"""Items of a dataset or of a slice, optionally only those that meet a condition, read page by page."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.store import datasets, items, slices
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import ALL_ITEMS, dataset_of, item_number, item_range, position_of
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.layers import AnnotationLayer, RowValues
from nucleus_pandas.server.store.slices import Slice
from nucleus_pandas.server.store.sql_conditions import Condition

SCAN_SECONDS = 0.12
"""How long a request searches for rows that meet a condition; it reports how far it came."""

_ITEM_COLUMNS = ", ".join(f"item.{name}" for name in ItemRow._fields)
_FIRST_WINDOW = 1_024  # positions
_WINDOW_SECONDS = 0.03
_NO_CONDITION = Condition()
_TOKEN = re.compile(r"(s?)([0-9a-f]{1,16})(?:-([0-9a-f]{1,15}))?")

Direction: TypeAlias = Literal["forward", "backward"]


def adaptive_windows(
    first: int, end: int, deadline: float, *, direction: Direction = "forward", size: int = _FIRST_WINDOW
) -> Iterator[tuple[int, int]]:
    """Cut a range into windows (first, end) for a search that must stop soon after a deadline.

    A condition that few rows meet would make a search with ``LIMIT`` read the whole table, and SQLite cannot be
    stopped after a time. The search is therefore done window by window, and the time that the caller spends on one
    window decides the size of the next, so that each takes about `_WINDOW_SECONDS`: the size changes by at most 8
    times up and 4 times down per window, which keeps one slow or fast window from deciding everything.

    Invariants: the windows are adjacent, none overlaps another, and they begin at one end of the range; the first
    one is always yielded, so that each call makes progress even if the deadline has passed; after the deadline no
    further window begins. The caller therefore knows that all before the far edge of the last window was searched.

    Parameters
    ----------
    deadline : float
        By `time.monotonic`.
    direction : {"forward", "backward"}
        Whether to begin at `first` or at `end`.
    size : int
        Of the first window.
    """
    while first < end:
        window = (first, min(first + size, end)) if direction == "forward" else (max(end - size, first), end)
        started = time.monotonic()
        yield window
        stopped = time.monotonic()
        if stopped > deadline:
            return
        first, end = (window[1], end) if direction == "forward" else (first, window[0])
        size = int(size * min(8.0, max(0.25, _WINDOW_SECONDS / (stopped - started + 1e-9)))) + 1


class PageTokens:
    """Writes and reads the tokens of pages: the marker that a page ended with, which deletions do not invalidate."""

    @property
    def owner(self) -> int | None:
        """The dataset or slice of every marker; None where markers have several."""
        return None

    @property
    def prefix(self) -> str:
        """The beginning of tokens, which differs for slices and datasets."""
        return ""

    def token(self, marker: int, arrival: int | None = None) -> str:
        """Write a marker as a token, together with the arrival of an annotation if there is one."""
        text = f"{self.prefix}{marker:x}"
        return text if arrival is None else f"{text}-{arrival:x}"

    def parse_token(self, text: str, *, arrivals: bool) -> tuple[int, int]:
        """Return the marker and the arrival (0 without) of a token, or raise BadRequestError."""
        parts = _TOKEN.fullmatch(text)
        if parts is None or (parts[3] is not None) != arrivals or (marker := int(parts[2], 16)) >= ALL_ITEMS[1]:
            raise BadRequestError(f"The page token {text[:50]!r} is invalid; use the one that the last page returned.")
        if parts[1] != self.prefix or (self.owner is not None and dataset_of(marker) != self.owner):
            raise BadRequestError(f"The page token {text[:50]!r} belongs to another dataset or slice.")
        return marker, int(parts[3] or "0", 16)


class Scan(NamedTuple):
    """Items that a search found, in order, and the positions that it searched: from `first` to before `end`."""

    rows: list[ItemRow]
    first: int
    end: int


@dataclass(frozen=True)
class Subset(PageTokens):
    """Items of one dataset or slice for which a condition holds, in order.

    Each item has a marker, a number that grows from item to item: the item's number in a dataset, its place in a
    slice. `position_of` a marker is the item's position; deleted items leave positions empty.

    Attributes
    ----------
    dataset : Dataset
        The dataset of the items.
    slice : Slice, optional
        The slice to which the items are limited.
    condition : Condition
        The condition on ``item``.
    """

    dataset: Dataset
    slice: Slice | None = None
    condition: Condition = field(default_factory=Condition)

    @property
    def owner(self) -> int:
        """The dataset or slice of every marker."""
        return self.dataset.id if self.slice is None else self.slice.id

    @property
    def prefix(self) -> str:
        """The beginning of tokens, which differs for slices and datasets."""
        return "" if self.slice is None else "s"

    @property
    def has_condition(self) -> bool:
        """True if a condition may exclude items of the dataset or slice."""
        return self.condition != _NO_CONDITION

    @property
    def length(self) -> int:
        """The number of items, whether they meet the condition or not."""
        return self.dataset.length if self.slice is None else self.slice.length

    @property
    def _marker(self) -> str:
        return "item.id" if self.slice is None else "slice_item.place"

    @property
    def _from(self) -> str:
        return "item" if self.slice is None else "slice_item CROSS JOIN item ON item.id = slice_item.item"

    def page(self, db: sqlite3.Connection, after: int | None, limit: int, columns: str) -> list[RowValues]:
        """Read the marker and some columns of the items, in order, after a marker."""
        first, end = item_range(self.owner)
        start = first if after is None else after + 1
        return self._read(db, ", ".join(f"item.{column}" for column in columns.split(", ")), start, end, limit)

    def _read(
        self, db: sqlite3.Connection, columns: str, first: int, end: int, limit: int, direction: Direction = "forward"
    ) -> list[RowValues]:
        order = self._marker if direction == "forward" else f"{self._marker} DESC"
        return db.execute(
            f"SELECT {self._marker}, {columns} FROM {self._from} WHERE {self._marker} >= :first"
            f" AND {self._marker} < :end AND ({self.condition.sql}) ORDER BY {order} LIMIT :limit",
            {**self.condition.values, "first": first, "end": end, "limit": limit},
        ).fetchall()

    def scan(
        self,
        db: sqlite3.Connection,
        *,
        start: int,
        limit: int,
        direction: Direction = "forward",
        seconds: float = SCAN_SECONDS,
    ) -> Scan:
        """Find items from a position on (forward), or before it (backward).

        The search ends when there are enough items, at the last position, or when the time is up.
        """
        last = self.positions(db)
        start = edge = min(start, last)
        base = item_number(self.owner, 0)
        rows: list[ItemRow] = []
        windows = adaptive_windows(
            *((start, last) if direction == "forward" else (0, start)),
            time.monotonic() + seconds,
            direction=direction,
            size=_FIRST_WINDOW if self.has_condition else max(last, 1),
        )
        for low, high in windows:
            some = self._read(db, _ITEM_COLUMNS, base + low, base + high, limit - len(rows), direction)
            rows += [ItemRow._make(row) for _, *row in some]
            if len(rows) >= limit:
                edge = position_of(some[-1][0]) + (direction == "forward")
                break
            edge = high if direction == "forward" else low
        return Scan(rows, start, edge) if direction == "forward" else Scan(rows[::-1], edge, start)

    def numbers(self, db: sqlite3.Connection) -> Iterator[int]:
        """Walk the numbers of all items that meet the condition, in order."""
        start = 0
        while True:
            scan = self.scan(db, start=start, limit=10_000, seconds=60.0)
            yield from (row.id for row in scan.rows)
            if scan.end <= start:
                return
            start = scan.end

    def objects(
        self,
        db: sqlite3.Connection,
        layer: AnnotationLayer,
        after: tuple[int, int] | None,
        limit: int,
        columns: str,
        condition: Condition,
    ) -> list[RowValues]:
        """Read the marker and some columns of ``object``, the annotations of a layer for which a condition holds.

        They are ordered by item and then by arrival, and begin after a marker and an arrival.
        """
        run = "" if layer.owner is None else " AND object.run = :layer"
        first, end = item_range(self.owner)
        marker, arrival = (first, -1) if after is None else after
        # without any condition the items themselves are not needed: those of a slice are far apart on the disk
        slice_only = self.slice is not None and self.condition == condition == _NO_CONDITION
        tables, item = ("slice_item", "slice_item.item") if slice_only else (self._from, "item.id")
        # Row values across two tables would keep SQLite from seeking. The plus sign keeps it from applying the range
        # of items to the layer too, which it would then search whole for each item.
        return db.execute(
            f"SELECT {self._marker}, {columns} FROM {tables} CROSS JOIN {layer.table} AS object"
            f" ON object.item = +{item}{run} WHERE {self._marker} >= :marker AND {self._marker} < :end"
            f" AND ({self._marker} > :marker OR object.arrival > :arrival) AND ({self.condition.sql})"
            f" AND ({condition.sql}) ORDER BY {self._marker}, object.arrival LIMIT :limit",
            {
                **self.condition.values,
                **condition.values,
                "layer": layer.owner,
                "end": end,
                "marker": marker,
                "arrival": arrival,
                "limit": limit,
            },
        ).fetchall()

    # Positions and members, whatever the condition is

    def positions(self, db: sqlite3.Connection) -> int:
        """Return how many positions there are, those of deleted items included."""
        return datasets.positions(db, self.dataset.id) if self.slice is None else self.slice.positions

    def position(self, db: sqlite3.Connection, item: int) -> int | None:
        """Return the position of an item, None if it is not in the slice."""
        place = item if self.slice is None else slices.place_of(db, self.slice, item)
        return None if place is None else position_of(place)

    def rank(self, db: sqlite3.Connection, position: int) -> int:
        """Count the items before a position."""
        return (items.rank if self.slice is None else slices.rank)(db, item_number(self.owner, position))

    def at_positions(self, db: sqlite3.Connection, ranks: Sequence[int]) -> list[int | None]:
        """Return the numbers of the n-th items, counted from 0 without deleted ones; None outside."""
        if self.slice is None:
            return items.at_positions(db, self.dataset, ranks)
        return slices.at_positions(db, self.slice, ranks)

    def members(self, db: sqlite3.Connection, numbers: dict[str, int]) -> dict[str, int]:
        """Leave out items of other datasets, or that are not in the slice."""
        first, end = item_range(self.dataset.id)
        numbers = {key: number for key, number in numbers.items() if first <= number < end}
        if self.slice is None:
            return numbers
        in_slice = slices.members(db, self.slice, numbers.values())
        return {key: number for key, number in numbers.items() if number in in_slice}


def of_slice(db: sqlite3.Connection, slice_id: str) -> Subset:
    """Find a slice, or raise NotFoundError."""
    stored_slice = slices.find(db, slice_id)
    return Subset(datasets.by_number(db, stored_slice.dataset), stored_slice)
