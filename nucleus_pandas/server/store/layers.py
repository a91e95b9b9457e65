"""Rows of annotations and of predictions, which are stored alike."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, repeat
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from nucleus_pandas.errors import FrozenRunError
from nucleus_pandas.server.store import generations
from nucleus_pandas.server.store.database import WriteOutcome
from nucleus_pandas.server.store.ids import batches, item_range, owner_sql
from nucleus_pandas.wire.bulk import BoxColumns
from nucleus_pandas.wire.entities import DETAILS, AnyAnnotation, Box, Category, Mask, MultiCategory

RowValues: TypeAlias = tuple[Any, ...]
"""The values of an `AnnotationRow`, as a plain tuple, which takes half the time to create."""

_VALUES = "type, label, x, y, width, height, geometry, confidence, metadata, extra"
_ROWS_PER_INSERT = 250
_UNIT = "\x1f"  # begins the keys that are not annotation ids


class AnnotationRow(NamedTuple):
    """An annotation or a prediction as stored."""

    item: int
    arrival: int
    key: str
    type: str
    label: str | None
    x: float | None
    y: float | None
    width: float | None
    height: float | None
    geometry: str | None
    confidence: float | None
    metadata: str | None
    extra: str | None

    @property
    def values(self) -> tuple[object, ...]:
        """The values that an update replaces."""
        return self[3:]


_TYPE = AnnotationRow._fields.index("type")


@dataclass(frozen=True, slots=True)
class AnnotationLayer:
    """The ground truth of a dataset, or the predictions of a run: where its rows are stored.

    `owner` is the number of the run, None for ground truth; `counter` is the table and the row that count arrivals;
    `frozen` is the public id of a committed run.
    """

    owner: int | None
    counter: tuple[Literal["dataset", "run"], int]
    frozen: str | None = None

    @property
    def table(self) -> str:
        """The name of the table."""
        return "annotation" if self.owner is None else "prediction"

    @property
    def where(self) -> str:
        """The condition that each statement begins with."""
        return "" if self.owner is None else "run = ? AND "

    @property
    def owners(self) -> tuple[int, ...]:
        """The parameters of that condition."""
        return () if self.owner is None else (self.owner,)


def key_of(annotation: AnyAnnotation) -> str:
    """Return the key that is unique among the annotations of an item in a layer.

    It is the annotation id, except that Nucleus keeps one mask per item, and one category per item and taxonomy.
    """
    if not isinstance(annotation, Box):
        if isinstance(annotation, Mask):
            return f"{_UNIT}mask"
        if isinstance(annotation, (Category, MultiCategory)) and annotation.taxonomy_name is not None:
            return taxonomy_key(annotation.taxonomy_name)
    return _plain_key(str(annotation.annotation_id))


def taxonomy_key(name: str) -> str:
    """Return the key of the one category that an item may have in a taxonomy."""
    return f"{_UNIT}category{_UNIT}{name}"


def _plain_key(annotation_id: str) -> str:
    return f"{_UNIT}id{_UNIT}{annotation_id}" if annotation_id.startswith(_UNIT) else annotation_id


def id_of_key(key: str | None) -> str | None:
    r"""Return the annotation id that the key of a box was made of.

    Examples
    --------
    >>> id_of_key(_plain_key("7")), id_of_key(_plain_key("\x1f7"))
    ('7', '\x1f7')
    """
    return None if key is None else key.removeprefix(f"{_UNIT}id{_UNIT}")


def to_row(annotation: AnyAnnotation, item: int, arrival: int, file: str | None = None) -> AnnotationRow:
    """Convert an annotation to a row; `file` is the name of an uploaded mask."""
    x = y = width = height = None
    geometry: str | None = None
    extra: dict[str, object] = {}
    if isinstance(annotation, Box):
        kind = "box"
        box = annotation.geometry
        x, y, width, height = box.x, box.y, box.width, box.height
    else:
        kind = str(annotation.__struct_config__.tag)
        geometry, extra = _geometry(annotation, file)
    for name in DETAILS:
        if (value := getattr(annotation, name)) is not None:
            extra[name] = value
    key = key_of(annotation)
    if key != annotation.annotation_id:
        extra["annotation_id"] = annotation.annotation_id
    return AnnotationRow(
        item,
        arrival,
        key,
        kind,
        None if isinstance(annotation, (Mask, MultiCategory)) else annotation.label,
        x,
        y,
        width,
        height,
        geometry,
        annotation.confidence,
        None if annotation.metadata is None else _json(annotation.metadata),
        _json(extra) if extra else None,
    )


def _geometry(annotation: AnyAnnotation, file: str | None) -> tuple[str | None, dict[str, object]]:
    """Return the geometry of any other type than a box, and the fields that only this type has."""
    if isinstance(annotation, Mask):
        source = {"mask_url": annotation.mask_url} if file is None else {"mask_file": file}
        return None, {**source, "annotations": annotation.annotations}
    if isinstance(annotation, (Category, MultiCategory)):
        extra: dict[str, object] = {"labels": annotation.labels} if isinstance(annotation, MultiCategory) else {}
        if annotation.taxonomy_name is not None:
            extra["taxonomy_name"] = annotation.taxonomy_name
        if annotation.geometry is not None:
            extra["geometry"] = annotation.geometry
        return None, extra
    return _json(annotation.geometry), {}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def box_rows(boxes: BoxColumns, items: Sequence[int], first: int) -> list[RowValues]:
    """Convert boxes to the rows that `to_row` would return for each; `items` holds the numbers of their items."""
    keys = boxes.annotation_id
    optional: dict[str, Sequence[object]] = {name: column for name in DETAILS if (column := getattr(boxes, name))}
    if _UNIT in "".join(keys):
        optional["annotation_id"] = [name if name.startswith(_UNIT) else None for name in keys]
        keys = list(map(_plain_key, keys))
    extras = [_extra(optional, values) for values in zip(*optional.values(), strict=True)] if optional else None
    metadata = None
    if boxes.metadata is not None:
        metadata = [None if value is None else _json(value) for value in boxes.metadata]
    return list(
        zip(  # half of these never end; the others are of one length
            items,
            count(first),
            keys,
            repeat("box"),
            boxes.label,
            boxes.x,
            boxes.y,
            boxes.width,
            boxes.height,
            repeat(None),
            boxes.confidence or repeat(None),
            metadata or repeat(None),
            extras or repeat(None),
        )
    )


def _extra(names: Iterable[str], values: Iterable[object]) -> str | None:
    """Write the fields that few rows have as JSON, None without any."""
    present = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    return _json(present) if present else None


def next_arrival(db: sqlite3.Connection, layer: AnnotationLayer) -> int:
    """Return the arrival of the next row."""
    counter, row_id = layer.counter
    return int(db.execute(f"SELECT arrivals FROM {counter} WHERE id = ?", (row_id,)).fetchone()[0])


def metadata_schema(db: sqlite3.Connection, layer: AnnotationLayer) -> str | None:
    """Return the metadata schema of the annotations of a layer, as JSON; None without one."""
    table, number = layer.counter
    text: str | None = db.execute(f"SELECT annotation_metadata_schema FROM {table} WHERE id = ?", (number,)).fetchone()[
        0
    ]
    return text


def upsert(
    db: sqlite3.Connection,
    layer: AnnotationLayer,
    annotations: Sequence[tuple[AnyAnnotation, int, str | None]],
    *,
    update: bool,
    cleared: Iterable[int] | None = None,
) -> list[WriteOutcome]:
    """Store annotations in their order.

    Parameters
    ----------
    annotations : sequence of (annotation, int, str or None)
        Each with its annotation id, the number of its item, and the file of an uploaded mask.
    update : bool
        Whether an existing annotation with the same key is replaced, keeping its order, or the new one ignored.
    cleared : iterable of int, optional
        The annotations take the place of all of their items, and these items are left without any: `replace_rows`.

    Raises
    ------
    FrozenRunError
        The run is committed, and this would change it.
    """
    first = next_arrival(db, layer)
    rows = [to_row(a, item, first + n, file) for n, (a, item, file) in enumerate(annotations)]
    return upsert_rows(db, layer, rows, update=update) if cleared is None else replace_rows(db, layer, rows, cleared)


def upsert_rows(
    db: sqlite3.Connection, layer: AnnotationLayer, rows: Sequence[RowValues], *, update: bool
) -> list[WriteOutcome]:
    """Store rows as `upsert` does; their arrivals count up from `next_arrival`.

    All rows are inserted in order of their keys, which is the order of the table, and conflicting ones are skipped;
    of two rows with one key the earlier arrival is therefore kept. Only if fewer rows were inserted than given, each
    is looked up: a stored row with its own arrival was just inserted, any other one was there before.
    """
    if layer.frozen is not None:
        _check_unchanged(db, layer, map(AnnotationRow._make, rows), update=update)
        return ["ignored"] * len(rows)
    if not rows:
        return []
    before = db.total_changes
    _insert(db, layer, sorted(rows))
    outcomes: list[WriteOutcome] = ["new"] * len(rows)
    if db.total_changes - before < len(rows):
        outcomes = [_outcome(db, layer, AnnotationRow._make(row), update=update) for row in rows]
    if "new" in outcomes or "updated" in outcomes:
        counter, row_id = layer.counter
        revision = ", revision = revision + 1" if counter == "dataset" else ""
        db.execute(f"UPDATE {counter} SET arrivals = arrivals + ?{revision} WHERE id = ?", (len(rows), row_id))
    return outcomes


def _insert(db: sqlite3.Connection, layer: AnnotationLayer, rows: Sequence[RowValues]) -> None:
    """Insert the rows whose keys do not exist yet; the others are skipped.

    A statement inserts `_ROWS_PER_INSERT` rows, which takes half the time of one statement per row. Most of that time
    is spent on binding values, so a column that is NULL in all of these rows, or the type if all are boxes, is written
    into the statement as a constant. The text therefore depends on the rows, but there are few variants, and
    `sqlite3` keeps them prepared. The rest, fewer than `_ROWS_PER_INSERT` rows, is inserted one by one.
    """
    owner, conflict = ("", "item, key") if layer.owner is None else ("run, ", "run, item, key")
    head = f"INSERT INTO {layer.table} ({owner}item, arrival, key, {_VALUES}) VALUES "
    tail = f" ON CONFLICT ({conflict}) DO NOTHING"
    whole = len(rows) - len(rows) % _ROWS_PER_INSERT
    for start in range(0, whole, _ROWS_PER_INSERT):
        columns = list(zip(*rows[start : start + _ROWS_PER_INSERT], strict=True))
        marks = ["NULL" if column.count(None) == _ROWS_PER_INSERT else "?" for column in columns]
        if columns[_TYPE].count("box") == _ROWS_PER_INSERT:
            marks[_TYPE] = "'box'"
        bound = [column for column, mark in zip(columns, marks, strict=True) if mark == "?"]
        row = f"({', '.join([*map(str, layer.owners), *marks])})"
        values = list(chain.from_iterable(zip(*bound, strict=True)))
        db.execute(head + ", ".join([row] * _ROWS_PER_INSERT) + tail, values)
    row = f"({', '.join([*map(str, layer.owners), *'?' * len(AnnotationRow._fields)])})"
    db.executemany(head + row + tail, rows[whole:])


def _outcome(db: sqlite3.Connection, layer: AnnotationLayer, row: AnnotationRow, *, update: bool) -> WriteOutcome:
    """Return whether the row was inserted, and otherwise replace the older one if `update`."""
    where = f"{layer.where}item = ? AND key = ?"
    (arrival,) = db.execute(
        f"SELECT arrival FROM {layer.table} WHERE {where}", (*layer.owners, row.item, row.key)
    ).fetchone()
    if arrival == row.arrival:
        return "new"
    if not update:
        return "ignored"
    assignments = ", ".join(f"{name} = ?" for name in _VALUES.split(", "))
    db.execute(f"UPDATE {layer.table} SET {assignments} WHERE {where}", (*row.values, *layer.owners, row.item, row.key))
    return "updated"


def _check_unchanged(
    db: sqlite3.Connection, layer: AnnotationLayer, rows: Iterable[AnnotationRow], *, update: bool
) -> None:
    for row in rows:
        stored = db.execute(
            f"SELECT {_VALUES} FROM {layer.table} WHERE {layer.where}item = ? AND key = ?",
            (*layer.owners, row.item, row.key),
        ).fetchone()
        if stored is None or (update and not _same(stored, row.values)):
            raise _frozen(layer, "stored")


def _frozen(layer: AnnotationLayer, done: str) -> FrozenRunError:
    return FrozenRunError(
        f"The run '{layer.frozen}' is committed and cannot change; nothing was {done}. Create a new run for other "
        "predictions, or delete this one with client.delete_model_run()."
    )


def _same(stored: tuple[Any, ...], sent: tuple[object, ...]) -> bool:
    """Compare the values of two rows; JSON strings are compared by their content."""
    numbers = len(_VALUES.split(", ")) - 2
    return stored[:numbers] == sent[:numbers] and all(
        _sorted_json(a) == _sorted_json(b) for a, b in zip(stored[numbers:], sent[numbers:], strict=True)
    )


def _sorted_json(text: Any) -> bytes:
    value = None if text is None else msgspec.json.decode(text)
    return msgspec.json.encode(value, order="sorted")  # as values, 1 and true would be equal


def of_item(db: sqlite3.Connection, layer: AnnotationLayer, item: int) -> Iterator[AnnotationRow]:
    """Walk the annotations of an item in the order of their arrival."""
    return of_items(db, layer, item, item)


def of_items(db: sqlite3.Connection, layer: AnnotationLayer, first: int, last: int) -> Iterator[AnnotationRow]:
    """Walk the annotations of a range of items, by item and then by arrival."""
    rows = db.execute(
        f"SELECT item, arrival, key, {_VALUES} FROM {layer.table} WHERE {layer.where}item BETWEEN ? AND ?"
        " ORDER BY item, arrival",
        (*layer.owners, first, last),
    )
    return map(AnnotationRow._make, rows)


def page_of_item(
    db: sqlite3.Connection, layer: AnnotationLayer, item: int, limit: int, after: int = -1
) -> list[AnnotationRow]:
    """Read the first annotations of an item behind an arrival, in the order of their arrival."""
    rows = db.execute(
        f"SELECT item, arrival, key, {_VALUES} FROM {layer.table} WHERE {layer.where}item = ? AND arrival > ?"
        " ORDER BY item, arrival LIMIT ?",
        (*layer.owners, item, after, limit),
    )
    return list(map(AnnotationRow._make, rows))


def label_counts(db: sqlite3.Connection, layer: AnnotationLayer, dataset: int, limit: int) -> list[tuple[str, int]]:
    """Count the labels of a layer on the items of a dataset, the most frequent first."""
    return db.execute(
        f"SELECT label, count(*) FROM {layer.table} WHERE {layer.where}item >= ? AND item < ? AND label IS NOT NULL"
        " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?",
        (*layer.owners, *item_range(dataset), limit),
    ).fetchall()


def delete_of_items(db: sqlite3.Connection, layer: AnnotationLayer, items: Iterable[int]) -> int:
    """Delete all rows of items in a layer, with matches of a run, and return the number of rows.

    Raises
    ------
    FrozenRunError
        The run is committed.
    """
    return sum(
        _delete(db, layer, f"{layer.where}item IN ({marks})", (*layer.owners, *part)) for part, marks in batches(items)
    )


def delete_between(db: sqlite3.Connection, layer: AnnotationLayer, first: int, end: int) -> int:
    """Delete all rows of a range of items in a layer, as `delete_of_items` does."""
    return _delete(db, layer, f"{layer.where}item >= ? AND item < ?", (*layer.owners, first, end))


def _delete(db: sqlite3.Connection, layer: AnnotationLayer, where: str, values: Sequence[object]) -> int:
    if layer.frozen is not None:
        raise _frozen(layer, "deleted")
    owners = db.execute(f"SELECT DISTINCT {owner_sql('item')} FROM {layer.table} WHERE {where}", values).fetchall()
    for (dataset,) in owners:
        generations.record_deletion(db, dataset)
    count = db.execute(f"DELETE FROM {layer.table} WHERE {where}", values).rowcount
    if layer.owner is not None:
        db.execute(f"DELETE FROM match WHERE {where}", values)
    elif count:
        db.execute("UPDATE dataset SET revision = revision + 1 WHERE id = ?", (layer.counter[1],))
    return count


def replace_rows(
    db: sqlite3.Connection, layer: AnnotationLayer, rows: Sequence[RowValues], cleared: Iterable[int]
) -> list[WriteOutcome]:
    """Store rows in place of all rows of their items, and leave the items of `cleared` without any.

    A row whose key its item had is "updated".

    Raises
    ------
    FrozenRunError
        The run is committed, and this would change it.
    """
    items = dict.fromkeys(chain((row[0] for row in rows), cleared))
    before = set(select(db, layer, items, "item, key"))
    if layer.frozen is not None:
        _check_unchanged(db, layer, map(AnnotationRow._make, rows), update=True)
        if len(before) > len({(row[0], row[2]) for row in rows}):
            raise _frozen(layer, "stored")
        return ["ignored"] * len(rows)
    delete_of_items(db, layer, items)
    outcomes = upsert_rows(db, layer, rows, update=True)
    return [
        "updated" if outcome == "new" and (row[0], row[2]) in before else outcome
        for outcome, row in zip(outcomes, rows, strict=True)
    ]


def items_before(db: sqlite3.Connection, layer: AnnotationLayer, items: Iterable[int], arrival: int) -> set[int]:
    """Return those of some items that have rows which arrived before."""
    found: set[int] = set()
    for part, marks in batches(dict.fromkeys(items)):
        rows = db.execute(
            f"SELECT DISTINCT item FROM {layer.table} WHERE {layer.where}item IN ({marks}) AND arrival < ?",
            (*layer.owners, *part, arrival),
        )
        found.update(item for (item,) in rows)
    return found


def counts(db: sqlite3.Connection, layer: AnnotationLayer, items: Iterable[int]) -> dict[int, int]:
    """Count the annotations per item; items without any are left out."""
    counts: dict[int, int] = {}
    for part, marks in batches(items):
        counts.update(
            db.execute(
                f"SELECT item, count(*) FROM {layer.table} WHERE {layer.where}item IN ({marks}) GROUP BY item",
                (*layer.owners, *part),
            )
        )
    return counts


def select(db: sqlite3.Connection, layer: AnnotationLayer, items: Iterable[int], columns: str) -> Iterator[RowValues]:
    """Walk some columns of ``object``, the annotations of items, by item and then by arrival."""
    for part, marks in batches(sorted(set(items))):
        yield from db.execute(
            f"SELECT {columns} FROM {layer.table} AS object WHERE {layer.where}item IN ({marks})"
            " ORDER BY item, arrival",
            (*layer.owners, *part),
        )


def select_page(
    db: sqlite3.Connection, layer: AnnotationLayer, after: tuple[int, int], end: int, limit: int, columns: str
) -> list[RowValues]:
    """Return some columns of ``object``, the annotations after (item, arrival) and before the item number `end`.

    Those of deleted datasets are left out; only a run that spans datasets can have some.
    """
    return db.execute(
        f"SELECT {columns} FROM {layer.table} AS object WHERE {layer.where}(item, arrival) > (?, ?) AND item < ?"
        f" AND {owner_sql('item')} IN (SELECT id FROM dataset WHERE NOT deleted) ORDER BY item, arrival LIMIT ?",
        (*layer.owners, *after, end, limit),
    ).fetchall()


def by_key(db: sqlite3.Connection, layer: AnnotationLayer, item: int, key: str) -> AnnotationRow | None:
    """Find an annotation of an item by its key."""
    row = db.execute(
        f"SELECT item, arrival, key, {_VALUES} FROM {layer.table} WHERE {layer.where}item = ? AND key = ?",
        (*layer.owners, item, key),
    ).fetchone()
    return None if row is None else AnnotationRow._make(row)


def find(db: sqlite3.Connection, layer: AnnotationLayer, item: int, annotation_id: str) -> AnnotationRow | None:
    """Find an annotation of an item by its annotation id."""
    if not annotation_id.startswith(_UNIT):
        row = by_key(db, layer, item, annotation_id)
        if row is not None:
            return row
    for other in of_item(db, layer, item):
        if other.extra and msgspec.json.decode(other.extra).get("annotation_id") == annotation_id:
            return other
    return None
