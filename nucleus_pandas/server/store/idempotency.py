"""Answers to creations, kept under the key that the client sent with them."""

from __future__ import annotations

import sqlite3
import time

from nucleus_pandas.errors import ConflictError

KEEP_SECONDS = 24 * 3600.0


def recall(db: sqlite3.Connection, key: str, request: str) -> bytes | None:
    """Return the answer that a creation got before, None at the first time.

    Raises
    ------
    ConflictError
        The key came with another request.
    """
    row = db.execute("SELECT request, response FROM idempotency WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    if row[0] != request:
        raise ConflictError("This Idempotency-Key came with another request before.")
    return bytes(row[1])


def remember(db: sqlite3.Connection, key: str, request: str, response: bytes) -> None:
    """Keep an answer, and forget old ones."""
    db.execute("DELETE FROM idempotency WHERE created_at < ?", (time.time() - KEEP_SECONDS,))
    db.execute(
        "INSERT INTO idempotency (key, request, response, created_at) VALUES (?, ?, ?, ?)",
        (key, request, response, time.time()),
    )
