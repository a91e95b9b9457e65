"""Items of a dataset in an order: all of them, or those of a slice; of these the ones for which a condition holds."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.store import datasets, items, slices
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import ALL_ITEMS, dataset_of, item_range
from nucleus_pandas.server.store.layers import Layer, Row
from nucleus_pandas.server.store.slices import Slice
from nucleus_pandas.server.store.sql_conditions import Condition

_TOKEN = re.compile(r"(s?)([0-9a-f]{1,16})(?:-([0-9a-f]{1,15}))?")


class AnyPlace:
    """Where a page ended, written down in a form that deletes do not make wrong."""

    @property
    def owner(self) -> int | None:
        """What every marker begins with; None where that differs."""
        return None

    @property
    def prefix(self) -> str:
        """What tells tokens of slices from those of datasets."""
        return ""

    def token(self, marker: int, arrival: int | None = None) -> str:
        """Write down the marker, and the arrival of an annotation."""
        place = f"{self.prefix}{marker:x}"
        return place if arrival is None else f"{place}-{arrival:x}"

    def behind(self, text: str, *, arrivals: bool) -> tuple[int, int]:
        """Return the marker and the arrival (0 without) that a page ended with, or raise BadRequestError."""
        found = _TOKEN.fullmatch(text)
        if found is None or (found[3] is not None) != arrivals or (marker := int(found[2], 16)) >= ALL_ITEMS[1]:
            raise BadRequestError(f"The token {text[:50]!r} is none that a page ended with.")
        if found[1] != self.prefix or (self.owner is not None and dataset_of(marker) != self.owner):
            raise BadRequestError(f"The token {text[:50]!r} belongs to another dataset or slice.")
        return marker, int(found[3] or "0", 16)


@dataclass(frozen=True)
class Subset(AnyPlace):
    """Items of one dataset, each with a marker: a number that grows from item to item.

    Attributes
    ----------
    dataset : Dataset
        Whose items.
    one : Slice, optional
        The slice whose items alone belong here; their markers are places in the slice, else they are item numbers.
    condition : Condition
        What must hold of an item.
    """

    dataset: Dataset
    one: Slice | None = None
    condition: Condition = field(default_factory=Condition)

    @property
    def owner(self) -> int:
        """What every marker begins with: the number of the slice or of the dataset."""
        return self.dataset.id if self.one is None else self.one.id

    @property
    def prefix(self) -> str:
        """What tells tokens of slices from those of datasets."""
        return "" if self.one is None else "s"

    @property
    def is_whole(self) -> bool:
        """Whether these are all items of the dataset."""
        return self.one is None and self.condition == Condition()

    @property
    def _marker(self) -> str:
        return "item.id" if self.one is None else "slice_item.place"

    @property
    def _from(self) -> str:
        return "item" if self.one is None else "slice_item CROSS JOIN item ON item.id = slice_item.item"

    @property
    def _end(self) -> int:
        return item_range(self.owner)[1]

    def page(self, db: sqlite3.Connection, after: int | None, limit: int, columns: str) -> list[Row]:
        """Read the marker and some columns of the items, in order, from behind a marker."""
        named = ", ".join(f"item.{column}" for column in columns.split(", "))
        after = item_range(self.owner)[0] - 1 if after is None else after
        return db.execute(
            f"SELECT {self._marker}, {named} FROM {self._from} WHERE {self._marker} > :after AND {self._marker} < :end"
            f" AND ({self.condition.sql}) ORDER BY {self._marker} LIMIT :limit",
            {**self.condition.values, "after": after, "end": self._end, "limit": limit},
        ).fetchall()

    def objects(
        self,
        db: sqlite3.Connection,
        layer: Layer,
        after: tuple[int, int] | None,
        limit: int,
        columns: str,
        condition: Condition,
    ) -> list[Row]:
        """Read the marker and some columns of ``object``, the annotations of a layer for which a condition holds.

        They come item by item and then by arrival, from behind a marker and an arrival.
        """
        run = "" if layer.owner is None else " AND object.run = :layer"
        marker, arrival = (item_range(self.owner)[0], -1) if after is None else after
        # what asks nothing of the items need not look at them: those of a slice lie far apart
        alone = self.one is not None and self.condition == condition == Condition()
        places, item = ("slice_item", "slice_item.item") if alone else (self._from, "item.id")
        # row values across two tables would keep SQLite from seeking
        return db.execute(
            f"SELECT {self._marker}, {columns} FROM {places} CROSS JOIN {layer.table} AS object"
            f" ON object.item = {item}{run} WHERE {self._marker} >= :marker AND {self._marker} < :end"
            f" AND ({self._marker} > :marker OR object.arrival > :arrival) AND ({self.condition.sql})"
            f" AND ({condition.sql}) ORDER BY {self._marker}, object.arrival LIMIT :limit",
            {
                **self.condition.values,
                **condition.values,
                "layer": layer.owner,
                "end": self._end,
                "marker": marker,
                "arrival": arrival,
                "limit": limit,
            },
        ).fetchall()

    def at_positions(self, db: sqlite3.Connection, positions: Sequence[int]) -> list[int | None]:
        """Return the numbers of the items at places of the dataset or of the slice, None for places outside."""
        if self.one is None:
            return items.at_positions(db, self.dataset, positions)
        return slices.at_positions(db, self.one, positions)

    def known(self, db: sqlite3.Connection, found: dict[str, int]) -> dict[str, int]:
        """Leave out items that do not belong here, whatever the condition says."""
        found = {key: number for key, number in found.items() if dataset_of(number) == self.dataset.id}
        if self.one is None:
            return found
        there = slices.members(db, self.one, found.values())
        return {key: number for key, number in found.items() if number in there}


def of_slice(db: sqlite3.Connection, slice_id: str) -> Subset:
    """Find a slice, or raise NotFoundError."""
    one = slices.find(db, slice_id)
    return Subset(datasets.by_number(db, one.dataset), one)
