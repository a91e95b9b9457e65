"""Generations of datasets, by which journals of uploads learn that rows were deleted."""

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
