"""The SQLite database of a store: connections, transactions and schema versions."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from math import fmod, isfinite
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar
from unicodedata import normalize

from nucleus_pandas._util.sqlite import ConnectionPool, open_wal
from nucleus_pandas._util.threads import ForkSafeLock
from nucleus_pandas.errors import StoreError
from nucleus_pandas.schema.image_urls import STORE_FILE

T = TypeVar("T")

APPLICATION_ID = 0x4E55434C  # "NUCL", in the file's header
VERSION = 5

WriteOutcome: TypeAlias = Literal["new", "updated", "ignored"]
"""The effect of a write on one row."""


class Database:
    """The database of one store.

    Several threads and processes may use it at the same time, on a local disk. Readers see a snapshot and never wait;
    writers take turns. A committed write survives ``kill -9`` and power loss. Forked children use it as well, unless
    the fork was within a transaction: then they raise StoreError.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of the database; created if absent.

    Raises
    ------
    StoreError
        The folder cannot be created or opened, is read-only, or was written by a newer version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / STORE_FILE
        self._writer = ForkSafeLock()
        self._connections = ConnectionPool(self._path, self._connect)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._check_writable()
            self._migrate()
        except (OSError, ValueError, sqlite3.Error) as error:
            self.close()
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"'{folder}' cannot be opened as a store: {error}.") from error

    def _connect(self) -> sqlite3.Connection:
        db = open_wal(self._path, self._check_ours, synchronous="FULL", cached_statements=256)
        try:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA temp_store = MEMORY")
            db.execute("PRAGMA cache_size = -32000")
            db.create_function("nucleus_modulo", 2, modulo, deterministic=True)
            db.create_function("nucleus_fold", 1, fold, deterministic=True)
        except BaseException:
            db.close()
            raise
        return db

    def _check_writable(self) -> None:
        """Raise StoreError if files cannot be written here, which SQLite would report only at the first write."""
        for path in (self.folder, self._path):
            if path.exists() and not os.access(path, os.W_OK):
                raise StoreError(
                    f"'{self.folder}' cannot be opened as a store: '{path}' is read-only for this user. Change its "
                    "permissions, or copy the store to a folder that you may write to."
                )

    def _check_ours(self, db: sqlite3.Connection) -> bool:
        """Raise StoreError for other databases and newer versions; return False for a new, empty file."""
        application: int = db.execute("PRAGMA application_id").fetchone()[0]
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if application == APPLICATION_ID and version <= VERSION:
            return True
        if application == APPLICATION_ID:
            raise StoreError(
                f"'{self.folder}' was written by a newer nucleus_pandas (store version {version}, this one knows "
                f"{VERSION}); upgrade nucleus_pandas."
            )
        if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise StoreError(f"'{self._path}' is a database of something else; choose another folder.")
        return False

    def _migrate(self) -> None:
        """Create the tables of a new store, or upgrade an older one to this version."""
        with self.write() as db:
            ours = self._check_ours(db)
            version: int = db.execute("PRAGMA user_version").fetchone()[0] if ours else 0
            for section in _schema()[version:]:
                for statement in section.split(";\n\n"):
                    db.execute(statement)
            if version < VERSION:
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Read a consistent snapshot of the store."""
        with self._connections.connection() as db:
            try:
                db.execute("BEGIN")
                yield db
            finally:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Change the store: all changes of the block are committed, or none if it raises."""
        with self._writer, self._connections.connection() as db:
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the idle connections; those in use are closed when they are returned."""
        self._connections.close()


def run_or_undo(db: sqlite3.Connection, work: Callable[[], T], keep: Callable[[T], bool]) -> T:
    """Do a part of a transaction, and undo this part if its result is not to be kept."""
    db.execute("SAVEPOINT part")
    result = work()
    if not keep(result):
        db.execute("ROLLBACK TO part")
    db.execute("RELEASE part")
    return result


def fold(text: Any) -> Any:
    """Return a string in the case and the composition in which equal strings are equal for ``like``.

    Examples
    --------
    >>> fold("ÉVRY") == fold("e\u0301vry"), fold(7)
    (True, 7)
    """
    return normalize("NFC", normalize("NFC", text).casefold()) if isinstance(text, str) else text


def modulo(left: float | None, right: float | None) -> float | None:
    """Return the remainder of a division, with the sign of the dividend; SQLite's operator truncates to integers.

    Examples
    --------
    >>> modulo(7, 3), modulo(-7, 3), modulo(7.5, 2), modulo(1, 0)
    (1, -1, 1.5, None)
    """
    if left is None or right is None or right == 0 or not (isfinite(left) and isfinite(right)):
        return None
    if isinstance(left, int) and isinstance(right, int):
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    return fmod(left, right)


def _schema() -> list[str]:
    """Return the statements that upgrade a store to each version from the previous one, from version 1 on."""
    script = files("nucleus_pandas.server").joinpath("schema.sql").read_text("utf-8")
    return re.split(r"^-- Version \d+:.*$", script, flags=re.MULTILINE)[1:]
