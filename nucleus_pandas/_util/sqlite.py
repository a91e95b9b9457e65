"""SQLite files with a write-ahead log, as stores and journals are."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

BUSY_SECONDS = 60.0
"""How long a statement waits for other connections that write."""


def open_wal(
    path: Path,
    check: Callable[[sqlite3.Connection], object],
    *,
    synchronous: Literal["FULL", "NORMAL"],
    cached_statements: int = 128,
) -> sqlite3.Connection:
    """Open a file, created if absent, with a write-ahead log; transactions begin and end explicitly.

    Parameters
    ----------
    check : callable
        Called in a read transaction before anything is written; raises if the file is something else.
    synchronous : {"FULL", "NORMAL"}
        Whether a committed transaction survives power loss, or only a killed process.
    """
    db = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=cached_statements,
    )
    try:
        db.execute("BEGIN")
        check(db)
        db.execute("ROLLBACK")
        switch_to_wal(db)
        db.execute(f"PRAGMA synchronous = {synchronous}")
    except BaseException:
        db.close()
        raise
    return db


def switch_to_wal(db: sqlite3.Connection, seconds: float = BUSY_SECONDS) -> None:
    """Turn on the write-ahead log, which the file then keeps.

    The switch needs an exclusive lock, for which SQLite does not wait as it does elsewhere: while another process
    opens the same new file it fails at once. Only that failure is retried, since any other one, such as that of a
    read-only file, is permanent. A file system without shared memory keeps the old mode without an error.
    """
    deadline = time.monotonic() + seconds
    while db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise sqlite3.OperationalError("its file system does not support SQLite's write-ahead log")
        except sqlite3.OperationalError as error:
            if not _is_locked(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _is_locked(error: sqlite3.OperationalError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes keep the primary one in their lowest byte
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
