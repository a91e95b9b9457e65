"""Removes the rows of what was deleted, a little at a time, so that nobody waits long for the store."""

from __future__ import annotations

import sqlite3

from nucleus_pandas.local.store.ids import ITEM_BITS

STEP = 20_000  # rows a transaction


def purge_some(db: sqlite3.Connection, files: list[str]) -> bool:
    """Remove up to `STEP` rows.

    Parameters
    ----------
    files : list of str
        Takes the image files that no item names any more.

    Returns
    -------
    bool
        Whether there may be more to remove.
    """
    run = db.execute("SELECT id FROM run WHERE deleted LIMIT 1").fetchone()
    if run is not None:
        return _purge_run(db, run[0])
    dataset = db.execute("SELECT id FROM dataset WHERE deleted LIMIT 1").fetchone()
    if dataset is not None:
        return _purge_dataset(db, dataset[0], files)
    return False


def _purge_run(db: sqlite3.Connection, run: int) -> bool:
    for table, order in (("match", "number"), ("prediction", "arrival")):
        last = db.execute(
            f"SELECT item, {order} FROM {table} WHERE run = ? ORDER BY item, {order} LIMIT 1 OFFSET ?", (run, STEP)
        ).fetchone()
        if last is not None:
            db.execute(f"DELETE FROM {table} WHERE run = ? AND (item, {order}) < (?, ?)", (run, *last))
            return True
        db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
    db.execute("DELETE FROM run WHERE id = ?", (run,))
    return True


def _purge_dataset(db: sqlite3.Connection, dataset: int, files: list[str]) -> bool:
    first, end = dataset << ITEM_BITS, (dataset + 1) << ITEM_BITS
    last = db.execute(
        "SELECT item, arrival FROM annotation WHERE item >= ? AND item < ? ORDER BY item, arrival LIMIT 1 OFFSET ?",
        (first, end, STEP),
    ).fetchone()
    if last is not None:
        db.execute("DELETE FROM annotation WHERE item >= ? AND (item, arrival) < (?, ?)", (first, *last))
        return True
    db.execute("DELETE FROM annotation WHERE item >= ? AND item < ?", (first, end))
    item = db.execute(
        "SELECT id FROM item WHERE id >= ? AND id < ? ORDER BY id LIMIT 1 OFFSET ?", (first, end, STEP)
    ).fetchone()
    limit = end if item is None else item[0]
    named = db.execute(
        "SELECT DISTINCT file FROM item WHERE id >= ? AND id < ? AND file IS NOT NULL", (first, limit)
    ).fetchall()
    db.execute("DELETE FROM item WHERE id >= ? AND id < ?", (first, limit))
    files += [
        file for (file,) in named if db.execute("SELECT 1 FROM item WHERE file = ? LIMIT 1", (file,)).fetchone() is None
    ]
    if item is not None:
        return True
    db.execute("DELETE FROM hole WHERE dataset = ?", (dataset,))
    db.execute("DELETE FROM upload WHERE dataset = ?", (dataset,))
    db.execute("DELETE FROM dataset WHERE id = ?", (dataset,))
    return True
