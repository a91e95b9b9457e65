"""Responses to creations, stored by the client's Idempotency-Key.

The response is stored in the transaction that creates the object. A client that lost the response and sends the
request again with the same key gets the stored one, so nothing is created twice; a request that failed stored
nothing, and is done again. Keys expire after `KEEP_SECONDS`.
"""

from __future__ import annotations

import sqlite3
import time

from nucleus_pandas.errors import ConflictError

KEEP_SECONDS = 24 * 3600.0


def recall(db: sqlite3.Connection, key: str, request: str) -> bytes | None:
    """Return the stored response, None for a new key.

    Raises
    ------
    ConflictError
        The key was sent with another request before.
    """
    row = db.execute("SELECT request, response FROM idempotency WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    if row[0] != request:
        raise ConflictError("This Idempotency-Key was already sent with another request; use a new key.")
    return bytes(row[1])


def remember(db: sqlite3.Connection, key: str, request: str, response: bytes) -> None:
    """Store a response, and delete expired ones."""
    db.execute("DELETE FROM idempotency WHERE created_at < ?", (time.time() - KEEP_SECONDS,))
    db.execute(
        "INSERT INTO idempotency (key, request, response, created_at) VALUES (?, ?, ?, ?)",
        (key, request, response, time.time()),
    )
