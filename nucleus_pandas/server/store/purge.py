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


def _clear(db: sqlite3.Connection, table: str, key: str, bounds: tuple[int, int], **owner: int) -> bool:
    """Remove up to `STEP` rows with keys in a range, and return True if none is left.

    Parameters
    ----------
    key : str
        The columns by which the rows are ordered; `bounds` are those of the first.
    **owner : int
        The column of the rows' owner, and its value.
    """
    column = key.partition(",")[0]
    start = "".join(f"{name} = ? AND " for name in owner) + f"{column} >= ? AND "
    values = (*owner.values(), *bounds)
    last = db.execute(
        f"SELECT {key} FROM {table} WHERE {start}{column} < ? ORDER BY {key} LIMIT 1 OFFSET ?", (*values, STEP)
    ).fetchone()
    if last is None:
        db.execute(f"DELETE FROM {table} WHERE {start}{column} < ?", values)
        return True
    marks = ", ".join("?" * len(last))
    db.execute(f"DELETE FROM {table} WHERE {start}({key}) < ({marks})", (*values[:-1], *last))
    return False


def _purge_evaluation(db: sqlite3.Connection, number: int) -> None:
    if _clear(db, "evaluation_match", "item, number", ALL_ITEMS, evaluation=number):
        db.execute("DELETE FROM evaluation_source WHERE evaluation = ?", (number,))
        db.execute("DELETE FROM evaluation WHERE id = ?", (number,))


def _purge_benchmark(db: sqlite3.Connection, number: int) -> None:
    if _clear(db, "benchmark_item", "item", ALL_ITEMS, benchmark=number):
        db.execute("DELETE FROM benchmark WHERE id = ?", (number,))


def _purge_slice(db: sqlite3.Connection, number: int) -> None:
    if _clear(db, "slice_item", "place", item_range(number)):
        db.execute("DELETE FROM slice_hole WHERE slice = ?", (number,))
        db.execute("DELETE FROM slice WHERE id = ?", (number,))


def _purge_run(db: sqlite3.Connection, number: int) -> None:
    if _clear_run(db, number, ALL_ITEMS):
        db.execute("DELETE FROM run WHERE id = ?", (number,))


def _clear_run(db: sqlite3.Connection, run: int, bounds: tuple[int, int]) -> bool:
    return _clear(db, "match", "item, number", bounds, run=run) and _clear(
        db, "prediction", "item, arrival", bounds, run=run
    )


def _purge_dataset(db: sqlite3.Connection, dataset: int) -> None:
    bounds = item_range(dataset)
    runs = db.execute("SELECT id FROM run WHERE dataset IS NULL").fetchall()
    if (
        all(_clear_run(db, run, bounds) for (run,) in runs)
        and _clear(db, "annotation", "item, arrival", bounds)
        and _clear(db, "item", "id", bounds)
    ):
        db.execute("DELETE FROM hole WHERE dataset = ?", (dataset,))
        db.execute("DELETE FROM upload WHERE dataset = ?", (dataset,))
        db.execute("DELETE FROM dataset WHERE id = ?", (dataset,))


_PURGES: dict[str, Callable[[sqlite3.Connection, int], None]] = {
    "evaluation": _purge_evaluation,
    "benchmark": _purge_benchmark,
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
