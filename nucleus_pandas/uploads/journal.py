"""The journal of uploads: the answers to earlier requests, by which the same upload resumes.

A journal is one SQLite file. It is written after each answer, so that everything that it records is stored on the
server; the rest is sent again, which stores nothing twice. A deletion on the server changes the generation of the
target, whose entries are others: everything is sent again then. Before a request is sent that may replace rows, the
entries of those rows are deleted: what was recorded of them may no longer hold.

An upload leaves a mark on the server when it begins and when it ends, each in place of the one before, and records it.
If the server does not have the last mark when the next upload begins, it was restored from an older copy, and the
entries are void. One case is left: a copy that was made during an upload that never ended has its first mark, and rows
that were answered after that copy are claimed nevertheless.

A server that takes no marks, as the hosted service, does not report deletions either: there the journal serves to
resume what was interrupted, and the entries of an upload that had ended are void.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nucleus_pandas._util.sqlite import ConnectionPool, open_wal
from nucleus_pandas._util.threads import ForkSafeLock
from nucleus_pandas.errors import JournalError

FILE_NAME = ".nucleus_import.sqlite"  # hidden, so that readers of the folder do not take it for data
_APPLICATION_ID = 0x4E554A4C  # "NUJL", in the file's header
_VERSION = 1
_SCHEMA = (
    """CREATE TABLE batch (
  upload BLOB NOT NULL,     -- a hash of the target and the options
  part TEXT NOT NULL,       -- a row group of a file; empty for a frame
  content BLOB NOT NULL,    -- a hash of the request
  start INTEGER NOT NULL,   -- its rows in the part
  stop INTEGER NOT NULL,
  outcomes TEXT NOT NULL,   -- JSON: runs of [status, rows]; empty while the request is in flight
  counts TEXT NOT NULL,     -- JSON: the server's counters, if it only counted
  PRIMARY KEY (upload, part, content)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE part (
  upload BLOB NOT NULL,
  part TEXT NOT NULL,
  identity TEXT NOT NULL,   -- of the file, when all rows of the part were stored
  counts TEXT NOT NULL,     -- JSON: rows by status
  PRIMARY KEY (upload, part)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE file (
  upload BLOB NOT NULL,
  file TEXT NOT NULL,
  identity TEXT NOT NULL,   -- its last known size, time and footer
  PRIMARY KEY (upload, file)
) STRICT, WITHOUT ROWID""",
)

_MARKS = """CREATE TABLE IF NOT EXISTS mark (
  upload BLOB PRIMARY KEY,
  mark TEXT NOT NULL        -- the last one that the server was given; empty if it takes none, and the upload has ended
) STRICT, WITHOUT ROWID"""


_OUTCOMES = list[tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(gt=0)]]]
_COUNTS = dict[str, Annotated[int, Meta(ge=0)]]


_REQUEST = "upload = ? AND part = ? AND content = ?"


@dataclass(frozen=True)
class JournalEntry:
    """The outcome of a request: `outcomes` in runs of (status, rows), and the server's counters if it only counted."""

    outcomes: Sequence[tuple[int, int]]
    counts: Mapping[str, int] = field(default_factory=dict)


class Journal:
    """A file that records answered requests; several threads and processes may use it at once.

    Parameters
    ----------
    path : pathlib.Path
        The file, created if absent.

    Raises
    ------
    JournalError
        The file cannot be opened, or is not a journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = ForkSafeLock()
        # NORMAL: entries that a power cut loses are sent again
        self._connections = ConnectionPool(path, lambda: open_wal(path, self._is_initialized, synchronous="NORMAL"))
        with self.wrap_errors("opened"):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with self._connections.connection() as db:
                    self._prepare(db)
            except BaseException:
                self._connections.close()
                raise

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        if not self._is_initialized(db):
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute(_MARKS)  # journals of earlier versions have none
        db.execute("COMMIT")

    def _is_initialized(self, db: sqlite3.Connection) -> bool:
        """Return False if the file is empty; raise JournalError if it is not a journal of this version."""
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and (application, version) != (_APPLICATION_ID, _VERSION):
            other = "a journal of another version" if application == _APPLICATION_ID else "not a journal"
            raise JournalError(f"'{self.path}' is {other}; name another file with journal=.")
        return bool(tables)

    @contextmanager
    def wrap_errors(self, action: str) -> Iterator[None]:
        """Raise errors of SQLite as errors of the file."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, msgspec.MsgspecError) as error:
            if isinstance(error, JournalError):
                raise
            remedy = "Name another file with journal=, or work without one with journal=False"
            if "full" in str(error) or "I/O" in str(error):  # of a full disk SQLite may report either
                remedy = "Free some disk space, then run the same again: it resumes"
            reason = str(error) if isinstance(error, (sqlite3.Error, OSError)) else "it is damaged"
            raise JournalError(f"The journal '{self.path}' cannot be {action}: {reason}. {remedy}.") from error

    def write(self, statement: str, *values: object) -> None:
        """Execute a statement."""
        with self.wrap_errors("written"), self._lock, self._connections.connection() as db:
            db.execute(statement, values)

    def read(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        """Return the first row of a query."""
        with self.wrap_errors("read"), self._lock, self._connections.connection() as db:
            row: tuple[Any, ...] | None = db.execute(statement, values).fetchone()
        return row

    def upload(self, *identity: object, generation: str = "") -> UploadJournal:
        """Return the entries of one upload, identified by its target and options as JSON values.

        Entries of another generation of the target are not among them: rows that they record may be deleted.
        """
        values = (*identity, generation) if generation else identity
        return UploadJournal(self, blake2b(json.dumps(values).encode(), digest_size=16).digest())

    def close(self) -> None:
        """Close the file."""
        self._connections.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class UploadJournal:
    """The entries of one upload."""

    journal: Journal
    key: bytes

    def part(self, name: str) -> PartJournal:
        """Return the entries of one part."""
        return PartJournal(self.journal, self.key, name)

    @property
    def mark(self) -> str | None:
        """The last mark; empty after an upload that ended on a server without marks, None where there was none."""
        row = self.journal.read("SELECT mark FROM mark WHERE upload = ?", self.key)
        return None if row is None else str(row[0])

    def set_mark(self, mark: str) -> None:
        """Record a mark that the server has."""
        self.journal.write("INSERT OR REPLACE INTO mark VALUES (?, ?)", self.key, mark)

    def clear(self) -> None:
        """Delete all entries."""
        for table in ("batch", "part", "mark"):
            self.journal.write(f"DELETE FROM {table} WHERE upload = ?", self.key)

    def file_identity(self, file: str) -> str | None:
        """Return the last recorded identity of a file."""
        row = self.journal.read("SELECT identity FROM file WHERE upload = ? AND file = ?", self.key, file)
        return None if row is None else str(row[0])

    def record_file(self, file: str, identity: str, parts: int) -> None:
        """Record the identity of a file, and delete the entries of parts that it does not have any more."""
        beyond = "substr(part, 1, length(?) + 1) = ? || '#' AND CAST(substr(part, length(?) + 2) AS INTEGER) >= ?"
        for table in ("batch", "part"):
            values = (self.key, file, file, file, parts)
            self.journal.write(f"DELETE FROM {table} WHERE upload = ? AND {beyond}", *values)
        self.journal.write("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", self.key, file, identity)


@dataclass(frozen=True)
class PartJournal:
    """The entries of a part of an upload, such as a row group."""

    journal: Journal
    upload: bytes
    name: str

    def entry(self, key: bytes) -> JournalEntry | None:
        """Return the entry of a request, if it was answered."""
        row = self.journal.read(f"SELECT outcomes, counts FROM batch WHERE {_REQUEST}", self.upload, self.name, key)
        if row is None:
            return None
        with self.journal.wrap_errors("read"):
            outcomes = msgspec.json.decode(row[0], type=_OUTCOMES)
            return JournalEntry(outcomes, msgspec.json.decode(row[1], type=_COUNTS)) if outcomes else None

    def is_known(self, key: bytes) -> bool:
        """Return whether a request was answered, or may have been sent."""
        request = (self.upload, self.name, key)
        return self.journal.read(f"SELECT 1 FROM batch WHERE {_REQUEST}", *request) is not None

    def is_empty(self) -> bool:
        """Return whether no request is known."""
        found = self.journal.read("SELECT 1 FROM batch WHERE upload = ? AND part = ? LIMIT 1", self.upload, self.name)
        return found is None

    def mark_in_flight(self, start: int, stop: int, key: bytes) -> bool:
        """Record that a request is about to be sent; return whether it was before, without being withdrawn."""
        request = (self.upload, self.name, key)
        was_sent = self.is_known(key)
        if not was_sent:
            self.journal.write("INSERT OR IGNORE INTO batch VALUES (?, ?, ?, ?, ?, '[]', '{}')", *request, start, stop)
        return was_sent

    def withdraw(self, key: bytes) -> None:
        """Delete the mark of a request that stored nothing."""
        self.journal.write(f"DELETE FROM batch WHERE {_REQUEST}", self.upload, self.name, key)

    def forget(self, start: int, stop: int) -> None:
        """Delete the entries of rows that are about to be replaced."""
        self.journal.write(
            "DELETE FROM batch WHERE upload = ? AND part = ? AND start < ? AND stop > ?",
            self.upload,
            self.name,
            stop,
            start,
        )

    def record(self, start: int, stop: int, key: bytes, entry: JournalEntry) -> None:
        """Record the outcome of a request and the range of its rows."""
        outcomes, counts = json.dumps(entry.outcomes), json.dumps(entry.counts)
        self.journal.write(
            "INSERT OR REPLACE INTO batch VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(self.upload, self.name, key, start, stop, outcomes, counts),
        )

    def finished(self, identity: str) -> tuple[dict[str, int] | None, bool]:
        """Return the rows of the part by status, if all were stored while its file had this identity.

        Returns
        -------
        dict of str to int, or None
            The counts.
        bool
            Whether all rows were stored while the file had another identity. That is deleted: rows that are sent from
            now on may replace them.
        """
        part = (self.upload, self.name)
        row = self.journal.read("SELECT identity, counts FROM part WHERE upload = ? AND part = ?", *part)
        if row is None:
            return None, False
        if row[0] == identity:
            with self.journal.wrap_errors("read"):
                return msgspec.json.decode(row[1], type=_COUNTS), True
        self.journal.write("DELETE FROM part WHERE upload = ? AND part = ?", *part)
        return None, True

    def finish(self, identity: str, counts: Mapping[str, int]) -> None:
        """Record that all rows of the part are stored."""
        self.journal.write(
            "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?)", self.upload, self.name, identity, json.dumps(counts)
        )


def request_key(*parts: bytes | memoryview) -> bytes:
    """Return the key of a request: a hash of what it sends."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.digest()


def user_folder(source: str) -> Path:
    """Return the folder in the user's cache for the journal of a source."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = re.sub(r"[^\w.-]+", "_", source.rstrip("/").rpartition("/")[2])[:40]
    return (
        base
        / "nucleus_pandas"
        / f"{name}-{blake2b(source.encode(errors='surrogateescape'), digest_size=8).hexdigest()}"
    )
