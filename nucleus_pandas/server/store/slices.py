"""Slices and their items, in the order in which these were added."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from nucleus_pandas.errors import BadRequestError, ConflictError, NotFoundError
from nucleus_pandas.server.store.datasets import Dataset, json_or_none
from nucleus_pandas.server.store.ids import batches, item_number, item_range, new_tag, now, owner_sql, tag_of
from nucleus_pandas.server.store.positions import PositionIndex
from nucleus_pandas.wire.slices import SliceEntry, SliceInfo

_POSITIONS = PositionIndex("slice_item", "place", "slice_hole", "slice")
_COLUMNS = (
    "slice.id, slice.tag, slice.dataset, dataset.tag, slice.name, slice.tags, slice.created_at, slice.length,"
    " slice.positions"
)
_FROM = "FROM slice JOIN dataset ON dataset.id = slice.dataset WHERE NOT slice.deleted AND NOT dataset.deleted"


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice as stored."""

    id: int
    tag: str
    dataset: int
    dataset_tag: str
    name: str
    tags: list[str]
    created_at: str
    length: int
    positions: int

    @property
    def public_id(self) -> str:
        """The id that users see."""
        return f"slc_{self.tag}"

    @property
    def bounds(self) -> tuple[int, int]:
        """The first place, and that behind the last."""
        return item_range(self.id)

    def check_of(self, dataset: Dataset) -> None:
        """Raise BadRequestError when this is a slice of another dataset."""
        if self.dataset != dataset.id:
            raise BadRequestError(
                f"The slice '{self.public_id}' is one of the dataset 'ds_{self.dataset_tag}', not of "
                f"'{dataset.public_id}'."
            )

    def entry(self) -> SliceEntry:
        """Describe the slice as a row of a list."""
        return SliceEntry(
            id=self.public_id, name=self.name, dataset_id=f"ds_{self.dataset_tag}", created_at=self.created_at
        )

    def info(self) -> SliceInfo:
        """Describe the slice."""
        return SliceInfo(
            slice_id=self.public_id,
            name=self.name,
            dataset_id=f"ds_{self.dataset_tag}",
            created_at=self.created_at,
            tags=self.tags,
            length=self.length,
        )


def _slice(row: tuple[Any, ...]) -> Slice:
    values = list(row)
    values[5] = msgspec.json.decode(values[5])
    return Slice(*values)


def create(db: sqlite3.Connection, dataset: Dataset, name: str, numbers: Iterable[int]) -> Slice:
    """Create a slice of items of a dataset, or raise ConflictError if the dataset has one with this name."""
    existing = db.execute(
        "SELECT tag FROM slice WHERE dataset = ? AND name = ? AND NOT deleted", (dataset.id, name)
    ).fetchone()
    if existing is not None:
        raise ConflictError(
            f"The dataset '{dataset.public_id}' has a slice '{name}' already, 'slc_{existing[0]}'. Choose another "
            "name, append to that slice, or use exist_ok=True, which does."
        )
    tag = new_tag()
    db.execute("INSERT INTO slice (tag, dataset, name, created_at) VALUES (?, ?, ?, ?)", (tag, dataset.id, name, now()))
    add(db, find(db, f"slc_{tag}"), numbers)
    return find(db, f"slc_{tag}")


def find(db: sqlite3.Connection, public_id: str) -> Slice:
    """Find a slice, or raise NotFoundError."""
    row = db.execute(f"SELECT {_COLUMNS} {_FROM} AND slice.tag = ?", (tag_of(public_id, "slc_"),)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no slice '{public_id}'.")
    return _slice(row)


def listing(db: sqlite3.Connection, dataset: Dataset | None = None, name: str | None = None) -> list[Slice]:
    """List slices, oldest first; optionally those of a dataset or with a name."""
    where, values = "", list[object]()
    for column, value in (("dataset", dataset and dataset.id), ("name", name)):
        if value is not None:
            where += f" AND slice.{column} = ?"
            values.append(value)
    return list(map(_slice, db.execute(f"SELECT {_COLUMNS} {_FROM}{where} ORDER BY slice.id", values).fetchall()))


def add(db: sqlite3.Connection, slice_: Slice, numbers: Iterable[int]) -> list[int]:
    """Append items to a slice, in their order; return those that were not in it."""
    distinct = list(dict.fromkeys(numbers))
    present = members(db, slice_, distinct)
    new = [number for number in distinct if number not in present]
    (position,) = db.execute("SELECT positions FROM slice WHERE id = ?", (slice_.id,)).fetchone()
    first = item_number(slice_.id, position)
    db.executemany("INSERT INTO slice_item (place, item) VALUES (?, ?)", enumerate(new, first))
    db.execute(
        "UPDATE slice SET length = length + ?, positions = positions + ? WHERE id = ?", (len(new), len(new), slice_.id)
    )
    return new


def at_positions(db: sqlite3.Connection, slice_: Slice, positions: Sequence[int]) -> list[int | None]:
    """Return the numbers of the n-th existing items of the slice, None outside."""
    places = _POSITIONS.at_ranks(db, slice_.id, positions, slice_.length, slice_.positions)
    items: dict[int, int] = {}
    for part, marks in batches(sorted({place for place in places if place is not None})):
        items.update(db.execute(f"SELECT place, item FROM slice_item WHERE place IN ({marks})", part).fetchall())
    return [None if place is None else items[place] for place in places]


def rank(db: sqlite3.Connection, place: int) -> int:
    """Count the items of a slice before a place."""
    return _POSITIONS.rank(db, place)


def place_of(db: sqlite3.Connection, slice_: Slice, item: int) -> int | None:
    """Return the place of an item in a slice, None if it is not in it."""
    row = db.execute(
        f"SELECT place FROM slice_item WHERE item = ? AND {owner_sql('place')} = ?", (item, slice_.id)
    ).fetchone()
    return None if row is None else int(row[0])


def members(db: sqlite3.Connection, slice_: Slice, numbers: Iterable[int]) -> set[int]:
    """Return those of some items that are in the slice."""
    present: set[int] = set()
    for part, marks in batches(sorted(set(numbers))):
        rows = db.execute(
            f"SELECT item FROM slice_item WHERE item IN ({marks}) AND {owner_sql('place')} = ?", (*part, slice_.id)
        )
        present.update(item for (item,) in rows)
    return present


def items_of(db: sqlite3.Connection, slice_: Slice) -> list[int]:
    """List the numbers of the items, in the order of the slice."""
    rows = db.execute("SELECT item FROM slice_item WHERE place >= ? AND place < ? ORDER BY place", slice_.bounds)
    return [item for (item,) in rows]


def labels(db: sqlite3.Connection, slice_: Slice) -> list[str]:
    """List the labels of the ground truth of the items in a slice."""
    rows = db.execute(
        "SELECT DISTINCT label FROM slice_item CROSS JOIN annotation ON annotation.item = slice_item.item"
        " WHERE place >= ? AND place < ? AND label IS NOT NULL ORDER BY 1",
        slice_.bounds,
    )
    return [label for (label,) in rows]


def set_tags(db: sqlite3.Connection, slice_: Slice, tags: list[str]) -> None:
    """Replace the tags."""
    db.execute("UPDATE slice SET tags = ? WHERE id = ?", (json_or_none(tags), slice_.id))


def delete(db: sqlite3.Connection, slice_: Slice) -> None:
    """Hide a slice; `purge` removes its rows. The items stay."""
    db.execute("UPDATE slice SET deleted = 1 WHERE id = ?", (slice_.id,))
