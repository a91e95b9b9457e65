"""Generations of datasets and marks, by which journals of uploads learn that rows were deleted, or are not there yet.

A store that is restored from an older copy lacks the marks that uploads have left since.
"""

from __future__ import annotations

import sqlite3

from nucleus_pandas.server.store.ids import new_tag


def record_deletion(db: sqlite3.Connection, number: int) -> None:
    """Change the generation of a dataset, so that journals of uploads no longer claim the deleted rows."""
    db.execute("INSERT OR REPLACE INTO generation VALUES (?, ?)", (number, new_tag()))


def of_dataset(db: sqlite3.Connection, number: int | None) -> str:
    """Return a text that every deletion in a dataset changes, or in any dataset; empty before the first one."""
    rows = db.execute(
        "SELECT token FROM generation WHERE ? IS NULL OR dataset = ? ORDER BY dataset", (number, number)
    ).fetchall()
    return " ".join(token for (token,) in rows)


def leave_mark(db: sqlite3.Connection, token: str, replaced: str | None) -> bool:
    """Leave the mark of an upload, which replaces its last one; return whether that is there."""
    known = db.execute("SELECT replaces FROM mark WHERE token = ?", (replaced,)).fetchone()
    if known is not None:
        db.execute("DELETE FROM mark WHERE token = ? OR replaces = ?", (known[0], replaced))
    db.execute("INSERT OR REPLACE INTO mark VALUES (?, ?)", (token, replaced))
    return known is not None
