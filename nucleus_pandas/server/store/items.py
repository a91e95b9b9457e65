"""Items and their positions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from nucleus_pandas._util.unicode_forms import hints_of_form
from nucleus_pandas.errors import NotFoundError, PositionError
from nucleus_pandas.server.store import datasets, generations
from nucleus_pandas.server.store.database import WriteOutcome
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import batches, item_number, item_range, split_item_id
from nucleus_pandas.server.store.positions import PositionIndex

_POSITIONS = PositionIndex("item", "id", "hole", "dataset")
COLUMNS = "id, reference_id, url, file, width, height, metadata, extra"


class ItemRow(NamedTuple):
    """A stored item."""

    id: int
    reference_id: str
    url: str | None
    file: str | None
    width: int | None
    height: int | None
    metadata: str | None
    extra: str | None


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to store."""

    reference_id: str
    url: str | None
    file: str | None
    width: int | None
    height: int | None
    metadata: str | None
    extra: str | None
    update: bool


def append(db: sqlite3.Connection, dataset: Dataset, items: Sequence[NewItem]) -> list[WriteOutcome]:
    """Store items in their order.

    An item with an existing reference id is ignored, or replaced if its `update` is set; so is the second of two items
    in one call.
    """
    known = ids_of(db, dataset, (item.reference_id for item in items))
    first = next_item = item_number(dataset.id, datasets.positions(db, dataset.id))
    outcomes: list[WriteOutcome] = []
    rows: dict[int, tuple[object, ...]] = {}
    updates: dict[int, tuple[object, ...]] = {}
    for item in items:
        values = (item.url, item.file, item.width, item.height, item.metadata, item.extra)
        number = known.get(item.reference_id)
        if number is None:
            known[item.reference_id] = next_item
            rows[next_item] = (next_item, dataset.id, item.reference_id, *values)
            next_item += 1
            outcomes.append("new")
        elif item.update:
            if number in rows:
                rows[number] = (number, dataset.id, item.reference_id, *values)
            else:
                updates[number] = (*values, number)
            outcomes.append("updated")
        else:
            outcomes.append("ignored")
    db.executemany(
        "INSERT INTO item (id, dataset, reference_id, url, file, width, height, metadata, extra)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows.values(),
    )
    db.executemany(
        "UPDATE item SET url = ?, file = ?, width = ?, height = ?, metadata = ?, extra = ? WHERE id = ?",
        updates.values(),
    )
    count = next_item - first
    if rows or updates:
        db.execute(
            "UPDATE dataset SET length = length + ?, positions = positions + ?, revision = revision + 1 WHERE id = ?",
            (count, count, dataset.id),
        )
    return outcomes


def merge_metadata(db: sqlite3.Connection, dataset: Dataset, changes: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Update keys of the metadata of items, in order; the other keys keep their values."""
    merged: dict[int, dict[str, Any]] = {
        number: {} if text is None else msgspec.json.decode(text, type=dict[str, msgspec.Raw])  # as they were written
        for number, text in select(db, (number for number, _ in changes), "id, metadata")
    }
    for number, values in changes:
        merged[number].update(values)
    db.executemany(
        "UPDATE item SET metadata = ? WHERE id = ?",
        [(msgspec.json.encode(values).decode(), number) for number, values in merged.items()],
    )
    if merged:
        db.execute("UPDATE dataset SET revision = revision + 1 WHERE id = ?", (dataset.id,))


def metadata_values(db: sqlite3.Connection, dataset: Dataset, *, items: int, values: int) -> Iterator[tuple[str, str]]:
    """Walk the keys of the items' metadata, each with its most frequent scalar values as text.

    Parameters
    ----------
    items : int
        How many items are read at most: the first ones that have metadata.
    values : int
        How many values of a key are returned at most.
    """
    return db.execute(
        "SELECT key, text FROM (SELECT key, text, count(*) AS many, row_number() OVER (PARTITION BY key ORDER BY"
        " count(*) DESC, text) AS place FROM (SELECT entry.key AS key, CASE WHEN entry.type IN ('true', 'false')"
        " THEN entry.type ELSE CAST(entry.atom AS TEXT) END AS text FROM (SELECT metadata FROM item WHERE id >= ?"
        " AND id < ? AND metadata IS NOT NULL LIMIT ?) AS some CROSS JOIN json_each(some.metadata) AS entry WHERE"
        " entry.type NOT IN ('null', 'array', 'object')) GROUP BY 1, 2) WHERE place <= ? ORDER BY key, place",
        (*item_range(dataset.id), items, values),
    )


def ids_of(db: sqlite3.Connection, dataset: Dataset, reference_ids: Iterable[str]) -> dict[str, int]:
    """Return item numbers by reference id; unknown ids are left out."""
    numbers: dict[str, int] = {}
    for part, marks in batches(dict.fromkeys(reference_ids)):
        numbers.update(
            db.execute(
                f"SELECT reference_id, id FROM item WHERE dataset = ? AND reference_id IN ({marks})",
                (dataset.id, *part),
            )
        )
    return numbers


def hints_of_ids(db: sqlite3.Connection, dataset: Dataset, reference_ids: Iterable[str]) -> dict[str, str]:
    """Return a sentence for every unknown reference id of which the dataset has another form of Unicode."""
    return hints_of_form(reference_ids, lambda names: ids_of(db, dataset, names))


def ids_anywhere(db: sqlite3.Connection, reference_ids: Iterable[str]) -> dict[str, list[int]]:
    """Return the item numbers of reference ids in all datasets, oldest first; unknown ids are left out."""
    numbers: dict[str, list[int]] = {}
    for part, marks in batches(dict.fromkeys(reference_ids)):
        rows = db.execute(
            "SELECT reference_id, id FROM item WHERE dataset IN (SELECT id FROM dataset WHERE NOT deleted)"
            f" AND reference_id IN ({marks}) ORDER BY id",
            part,
        )
        for reference_id, number in rows:
            numbers.setdefault(reference_id, []).append(number)
    return numbers


def existing(db: sqlite3.Connection, public_ids: Iterable[str]) -> dict[str, int]:
    """Return item numbers by public id, in any dataset; unknown ids are left out."""
    numbers: dict[str, int] = {}
    tags: dict[str, int | None] = {}
    for public_id in dict.fromkeys(public_ids):
        parts = split_item_id(public_id)
        if parts is None:
            continue
        tag, position = parts
        if tag not in tags:
            row = db.execute("SELECT id FROM dataset WHERE tag = ? AND NOT deleted", (tag,)).fetchone()
            tags[tag] = row and row[0]
        dataset = tags[tag]
        if dataset is not None:
            numbers[public_id] = item_number(dataset, position)
    existing_numbers = {number for (number,) in select(db, numbers.values(), "id")}
    return {public_id: number for public_id, number in numbers.items() if number in existing_numbers}


def select(db: sqlite3.Connection, numbers: Iterable[int], columns: str) -> Iterator[tuple[Any, ...]]:
    """Walk some columns of items, in no particular order; unknown numbers are left out."""
    for part, marks in batches(sorted(set(numbers))):
        yield from db.execute(f"SELECT {columns} FROM item WHERE id IN ({marks})", part)


def sizes(db: sqlite3.Connection, numbers: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Return width and height of images in pixels by item number; those that are not known are left out."""
    return {
        number: (width, height)
        for number, width, height in select(db, numbers, "id, width, height")
        if width is not None and height is not None
    }


def select_page(
    db: sqlite3.Connection, dataset: Dataset, after: int | None, limit: int, columns: str
) -> Iterator[tuple[Any, ...]]:
    """Walk some columns of the items in order, after the item number `after`."""
    first, end = item_range(dataset.id)
    return db.execute(
        f"SELECT {columns} FROM item WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
        (first - 1 if after is None else after, end, limit),
    )


def by_reference_id(db: sqlite3.Connection, dataset: Dataset, reference_id: str) -> ItemRow:
    """Find an item by its reference id, or raise NotFoundError."""
    row = db.execute(
        f"SELECT {COLUMNS} FROM item WHERE dataset = ? AND reference_id = ?", (dataset.id, reference_id)
    ).fetchone()
    if row is None:
        hint = " ".join(hints_of_ids(db, dataset, [reference_id]).values())
        raise NotFoundError(
            f"There is no item with reference_id '{reference_id}' in the dataset '{dataset.public_id}'. {hint}".rstrip()
        )
    return ItemRow(*row)


def by_item_id(db: sqlite3.Connection, dataset: Dataset, public_id: str) -> ItemRow:
    """Find an item by its public id, or raise NotFoundError."""
    parts = split_item_id(public_id)
    row = None
    if parts is not None and parts[0] == dataset.tag:
        number = item_number(dataset.id, parts[1])
        row = db.execute(f"SELECT {COLUMNS} FROM item WHERE id = ?", (number,)).fetchone()
    if row is None:
        hint = "" if public_id.startswith("di_") else " Item ids start with 'di_'; use refloc for reference ids."
        raise NotFoundError(f"There is no item '{public_id}' in the dataset '{dataset.public_id}'.{hint}")
    return ItemRow(*row)


def at_position(db: sqlite3.Connection, dataset: Dataset, position: int) -> ItemRow:
    """Find the n-th existing item, counted from 0, or raise PositionError."""
    if not 0 <= position < dataset.length:
        raise PositionError(
            f"Position {position} is outside the dataset '{dataset.public_id}', which holds {dataset.length} items."
        )
    number = _POSITIONS.at_rank(db, dataset.id, position)
    return ItemRow(*db.execute(f"SELECT {COLUMNS} FROM item WHERE id = ?", (number,)).fetchone())


def at_positions(db: sqlite3.Connection, dataset: Dataset, positions: Sequence[int]) -> list[int | None]:
    """Return the numbers of the n-th existing items, None outside the dataset."""
    return _POSITIONS.at_ranks(db, dataset.id, positions, dataset.length, datasets.positions(db, dataset.id))


def rank(db: sqlite3.Connection, number: int) -> int:
    """Count the items of the same dataset before an item."""
    return _POSITIONS.rank(db, number)


def page(db: sqlite3.Connection, dataset: Dataset, after: int | None = None, limit: int = -1) -> Iterator[ItemRow]:
    """Walk the items in order, after the item number `after`."""
    return map(ItemRow._make, select_page(db, dataset, after, limit, COLUMNS))


def delete(db: sqlite3.Connection, dataset: Dataset, number: int) -> None:
    """Delete an item with its annotations, predictions and matches; the other items keep their order."""
    db.execute("DELETE FROM annotation WHERE item = ?", (number,))
    for (run,) in db.execute("SELECT id FROM run WHERE dataset = ? OR dataset IS NULL", (dataset.id,)).fetchall():
        db.execute("DELETE FROM prediction WHERE run = ? AND item = ?", (run, number))
        db.execute("DELETE FROM match WHERE run = ? AND item = ?", (run, number))
    db.execute("DELETE FROM item WHERE id = ?", (number,))
    _POSITIONS.add_hole(db, number)
    generations.record_deletion(db, dataset.id)
    db.execute("UPDATE dataset SET length = length - 1, revision = revision + 1 WHERE id = ?", (dataset.id,))


def reference_id_of(db: sqlite3.Connection, number: int) -> str:
    """Return the reference id of an existing item."""
    return str(db.execute("SELECT reference_id FROM item WHERE id = ?", (number,)).fetchone()[0])
