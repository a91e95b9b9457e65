"""Files that wait for a row to name them: images are sent before their items are."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

LONGEST = 24 * 3600.0  # seconds


class Image(NamedTuple):
    """A file by its name; `width` and `height` are in pixels, None where they are not known."""

    name: str
    width: int | None
    height: int | None


def add(db: sqlite3.Connection, kind: str, files: Iterable[Image]) -> None:
    """Have files wait, before they get to their place; one that is sent twice may be made use of twice."""
    db.executemany(
        "INSERT INTO waiting (kind, file, count, since, width, height) VALUES (?, ?, 1, ?, ?, ?)"
        " ON CONFLICT (kind, file) DO UPDATE SET count = count + 1, since = excluded.since",
        [(kind, file.name, time.time(), file.width, file.height) for file in files],
    )


def find(db: sqlite3.Connection, kind: str, name: str) -> Image | None:
    """Return a file that waits; None where none of that name does."""
    found = db.execute("SELECT file, width, height FROM waiting WHERE kind = ? AND file = ?", (kind, name)).fetchone()
    return found and Image(*found)


def settle(db: sqlite3.Connection, kind: str, names: Sequence[str]) -> None:
    """Record that files do not wait any more: rows name them now, or nobody will."""
    keys = [(kind, name) for name in names]
    db.executemany("UPDATE waiting SET count = count - 1 WHERE kind = ? AND file = ?", keys)
    db.executemany("DELETE FROM waiting WHERE kind = ? AND file = ? AND count <= 0", keys)
    left = [key for key in keys if not is_needed(db, *key)]
    db.executemany("INSERT OR IGNORE INTO released VALUES (?, ?)", left)


def any_too_long(db: sqlite3.Connection) -> bool:
    """Return whether files wait that nobody will name."""
    return db.execute("SELECT 1 FROM waiting WHERE since < ? LIMIT 1", (time.time() - LONGEST,)).fetchone() is not None


def give_up(db: sqlite3.Connection) -> None:
    """List files that have waited too long as released."""
    until = (time.time() - LONGEST,)
    db.execute("INSERT OR IGNORE INTO released SELECT kind, file FROM waiting WHERE since < ?", until)
    db.execute("DELETE FROM waiting WHERE since < ?", until)


def is_needed(db: sqlite3.Connection, kind: str, name: str) -> bool:
    """Return whether a file waits, or a row names it."""
    return find(db, kind, name) is not None or is_named(db, kind, name)


def is_named(db: sqlite3.Connection, kind: str, name: str) -> bool:
    """Return whether a row names a file."""
    if kind == "images":
        return db.execute("SELECT 1 FROM item WHERE file = ? LIMIT 1", (name,)).fetchone() is not None
    return any(
        db.execute(
            f"SELECT 1 FROM {table} WHERE type = 'mask' AND json_extract(extra, '$.mask_file') = ? LIMIT 1", (name,)
        ).fetchone()
        for table in ("annotation", "prediction")
    )
