"""Removes deleted rows in small steps, so that no other writer waits long.

A delete only sets the column ``deleted``, and nothing reads such rows any more. The rows below them are removed later,
in transactions of about `STEP` rows, by whichever process comes to it.

Invariants: each step removes rows from the start of a key range, so an interrupted step is simply done again. The row
with ``deleted`` is removed in the same transaction as the last row below it, so it marks unfinished work, and its
number is not assigned again meanwhile. Runs are purged before datasets, since their rows refer to items.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from nucleus_pandas.server.store import pending_files
from nucleus_pandas.server.store.ids import ALL_ITEMS, item_range

STEP = 20_000  # rows per transaction


def is_left(db: sqlite3.Connection) -> bool:
    """Return True if there are rows or files to remove."""
    deleted = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE deleted)" for table in _PURGES)
    (left,) = db.execute(f"SELECT {deleted} OR EXISTS (SELECT 1 FROM released)").fetchone()
    return bool(left) or pending_files.any_too_long(db)


def purge_some(db: sqlite3.Connection) -> None:
    """Remove up to `STEP` rows of a deleted evaluation, else of a benchmark, of a slice, of a run, of a dataset."""
    for table, purge in _PURGES.items():
        deleted = db.execute(f"SELECT id FROM {table} WHERE deleted LIMIT 1").fetchone()
        if deleted is not None:
            purge(db, deleted[0])
            return


def _purge_rows_of(table: str, rows: str, db: sqlite3.Connection, number: int) -> None:
    last = db.execute(
        f"SELECT item FROM {rows} WHERE {table} = ? ORDER BY item LIMIT 1 OFFSET ?", (number, STEP)
    ).fetchone()
    if last is not None:
        db.execute(f"DELETE FROM {rows} WHERE {table} = ? AND item <= ?", (number, *last))
        return
    db.execute(f"DELETE FROM {rows} WHERE {table} = ?", (number,))
    if table == "evaluation":
        db.execute("DELETE FROM evaluation_source WHERE evaluation = ?", (number,))
    db.execute(f"DELETE FROM {table} WHERE id = ?", (number,))


def _purge_slice(db: sqlite3.Connection, number: int) -> None:
    first, end = item_range(number)
    last = db.execute(
        "SELECT place FROM slice_item WHERE place >= ? AND place < ? ORDER BY place LIMIT 1 OFFSET ?",
        (first, end, STEP),
    ).fetchone()
    db.execute("DELETE FROM slice_item WHERE place >= ? AND place < ?", (first, end if last is None else last[0]))
    if last is None:
        db.execute("DELETE FROM slice_hole WHERE slice = ?", (number,))
        db.execute("DELETE FROM slice WHERE id = ?", (number,))


def _purge_run(db: sqlite3.Connection, number: int) -> None:
    if _clear_run(db, number, *ALL_ITEMS):
        db.execute("DELETE FROM run WHERE id = ?", (number,))


def _clear_run(db: sqlite3.Connection, run: int, first: int, end: int) -> bool:
    """Remove rows of a run in a range of items, and return True if all are removed."""
    for table, order in (("match", "number"), ("prediction", "arrival")):
        last = db.execute(
            f"SELECT item, {order} FROM {table} WHERE run = ? AND item >= ? AND item < ? ORDER BY item, {order}"
            " LIMIT 1 OFFSET ?",
            (run, first, end, STEP),
        ).fetchone()
        if last is not None:
            db.execute(
                f"DELETE FROM {table} WHERE run = ? AND item >= ? AND (item, {order}) < (?, ?)", (run, first, *last)
            )
            return False
        db.execute(f"DELETE FROM {table} WHERE run = ? AND item >= ? AND item < ?", (run, first, end))
    return True


def _purge_dataset(db: sqlite3.Connection, dataset: int) -> None:
    first, end = item_range(dataset)
    for (run,) in db.execute("SELECT id FROM run WHERE dataset IS NULL").fetchall():
        if not _clear_run(db, run, first, end):
            return
    last = db.execute(
        "SELECT item, arrival FROM annotation WHERE item >= ? AND item < ? ORDER BY item, arrival LIMIT 1 OFFSET ?",
        (first, end, STEP),
    ).fetchone()
    if last is not None:
        db.execute("DELETE FROM annotation WHERE item >= ? AND (item, arrival) < (?, ?)", (first, *last))
        return
    db.execute("DELETE FROM annotation WHERE item >= ? AND item < ?", (first, end))
    row = db.execute(
        "SELECT id FROM item WHERE id >= ? AND id < ? ORDER BY id LIMIT 1 OFFSET ?", (first, end, STEP)
    ).fetchone()
    if row is not None:
        db.execute("DELETE FROM item WHERE id >= ? AND id < ?", (first, row[0]))
        return
    db.execute("DELETE FROM item WHERE id >= ? AND id < ?", (first, end))
    db.execute("DELETE FROM hole WHERE dataset = ?", (dataset,))
    db.execute("DELETE FROM upload WHERE dataset = ?", (dataset,))
    db.execute("DELETE FROM dataset WHERE id = ?", (dataset,))


_PURGES: dict[str, Callable[[sqlite3.Connection, int], None]] = {
    "evaluation": partial(_purge_rows_of, "evaluation", "evaluation_match"),
    "benchmark": partial(_purge_rows_of, "benchmark", "benchmark_item"),
    "slice": _purge_slice,
    "run": _purge_run,
    "dataset": _purge_dataset,
}
"""The functions that remove some rows of a deleted object, by its table, in the order in which they are done."""


def released(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return (kind, file) of some released files that no row needs, and remove them from the list."""
    pending_files.give_up(db)
    some = db.execute("SELECT kind, file FROM released LIMIT ?", (STEP // 20,)).fetchall()
    db.executemany("DELETE FROM released WHERE kind = ? AND file = ?", some)
    return [(kind, file) for kind, file in some if not pending_files.is_needed(db, kind, file)]
