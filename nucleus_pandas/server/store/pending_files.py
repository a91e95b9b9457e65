"""Uploaded files that no row names yet: images are sent before their items."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

LONGEST_SECONDS = 24 * 3600.0


class StoredFile(NamedTuple):
    """A stored file by its name; `width` and `height` are in pixels, None if unknown."""

    name: str
    width: int | None
    height: int | None


def add(db: sqlite3.Connection, kind: str, files: Iterable[StoredFile]) -> None:
    """Record files before they are published; a file that is sent twice is counted twice."""
    db.executemany(
        "INSERT INTO waiting (kind, file, count, since, width, height) VALUES (?, ?, 1, ?, ?, ?)"
        " ON CONFLICT (kind, file) DO UPDATE SET count = count + 1, since = excluded.since",
        [(kind, file.name, time.time(), file.width, file.height) for file in files],
    )


def find(db: sqlite3.Connection, kind: str, name: str) -> StoredFile | None:
    """Return a pending file, None if there is none with this name."""
    row = db.execute("SELECT file, width, height FROM waiting WHERE kind = ? AND file = ?", (kind, name)).fetchone()
    return row and StoredFile(*row)


def settle(db: sqlite3.Connection, kind: str, names: Sequence[str]) -> None:
    """Record that files are not pending any more: rows name them now, or they were rejected."""
    keys = [(kind, name) for name in names]
    db.executemany("UPDATE waiting SET count = count - 1 WHERE kind = ? AND file = ?", keys)
    db.executemany("DELETE FROM waiting WHERE kind = ? AND file = ? AND count <= 0", keys)
    unneeded = [key for key in keys if not is_needed(db, *key)]
    db.executemany("INSERT OR IGNORE INTO released VALUES (?, ?)", unneeded)


def any_too_long(db: sqlite3.Connection) -> bool:
    """Return True if files have been pending for too long."""
    return (
        db.execute("SELECT 1 FROM waiting WHERE since < ? LIMIT 1", (time.time() - LONGEST_SECONDS,)).fetchone()
        is not None
    )


def give_up(db: sqlite3.Connection) -> None:
    """Release files that have been pending for too long."""
    until = (time.time() - LONGEST_SECONDS,)
    db.execute("INSERT OR IGNORE INTO released SELECT kind, file FROM waiting WHERE since < ?", until)
    db.execute("DELETE FROM waiting WHERE since < ?", until)


def is_needed(db: sqlite3.Connection, kind: str, name: str) -> bool:
    """Return True if a file is pending, or a row names it."""
    return find(db, kind, name) is not None or is_named(db, kind, name)


def is_named(db: sqlite3.Connection, kind: str, name: str) -> bool:
    """Return True if a row names a file."""
    if kind == "images":
        return db.execute("SELECT 1 FROM item WHERE file = ? LIMIT 1", (name,)).fetchone() is not None
    return any(
        db.execute(
            f"SELECT 1 FROM {table} WHERE type = 'mask' AND json_extract(extra, '$.mask_file') = ? LIMIT 1", (name,)
        ).fetchone()
        for table in ("annotation", "prediction")
    )
