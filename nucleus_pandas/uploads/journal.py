"""What earlier uploads were answered: the same upload again goes on where they ended.

A journal is one SQLite file. It is written after each answer, so that whatever it holds is stored on the server; what
it does not hold is sent again, which stores nothing twice. Before rows are replaced it forgets what they were.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nucleus_pandas._util.sqlite import open_wal
from nucleus_pandas.errors import JournalError

FILE_NAME = ".nucleus_import.sqlite"  # hidden, so that no reader of the folder takes it for data
_APPLICATION_ID = 0x4E554A4C  # "NUJL", in the file's header
_VERSION = 1
_SCHEMA = (
    """CREATE TABLE batch (
  upload BLOB NOT NULL,     -- a hash of what rows are sent to, and how
  part TEXT NOT NULL,       -- a row group of a file; nothing for a frame
  content BLOB NOT NULL,    -- a hash of the request
  start INTEGER NOT NULL,   -- its rows in the part
  stop INTEGER NOT NULL,
  outcomes TEXT NOT NULL,   -- JSON: what became of its rows, in runs of [status, rows]; none yet: it may be stored
  counts TEXT NOT NULL,     -- JSON: the server's counters, where it told no more
  PRIMARY KEY (upload, part, content)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE part (
  upload BLOB NOT NULL,
  part TEXT NOT NULL,
  identity TEXT NOT NULL,   -- of the file, when all rows of the part were answered well
  counts TEXT NOT NULL,     -- JSON: rows by status
  PRIMARY KEY (upload, part)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE file (
  upload BLOB NOT NULL,
  file TEXT NOT NULL,
  identity TEXT NOT NULL,   -- size, time and footer, as they were last seen
  PRIMARY KEY (upload, file)
) STRICT, WITHOUT ROWID""",
)


_OUTCOMES = list[tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(gt=0)]]]
_COUNTS = dict[str, Annotated[int, Meta(ge=0)]]


@dataclass(frozen=True)
class Answered:
    """What became of the rows of a request: `outcomes` in runs of (status, rows), `counts` where those say no more."""

    outcomes: Sequence[tuple[int, int]]
    counts: Mapping[str, int] = field(default_factory=dict)


class Journal:
    """A file that remembers answered requests.

    Several threads and processes may use it at once.

    Parameters
    ----------
    path : pathlib.Path
        The file, made when absent.

    Raises
    ------
    JournalError
        It cannot be opened or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._told("opened"):
            path.parent.mkdir(parents=True, exist_ok=True)
            # what a power cut takes away is sent again
            self._db = open_wal(path, self._is_begun, synchronous="NORMAL")
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        if not self._is_begun(self._db):
            for statement in _SCHEMA:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._db.execute("COMMIT")

    def _is_begun(self, db: sqlite3.Connection) -> bool:
        """Refuse what is no journal, or one of another version; False where nothing is there yet."""
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and (application, version) != (_APPLICATION_ID, _VERSION):
            other = "of another version of nucleus_pandas" if application == _APPLICATION_ID else "of something else"
            raise JournalError(f"'{self.path}' is a file {other}; name another file by journal=.")
        return bool(tables)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Return of the file what SQLite says."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, msgspec.MsgspecError) as error:
            if isinstance(error, JournalError):
                raise
            remedy = "Name another file by journal=, or work without one by journal=False"
            if "full" in str(error) or "I/O" in str(error):  # where a disk is full SQLite may say either
                remedy = "Make room, and run the same again: it goes on where it ended"
            reason = str(error) if isinstance(error, (sqlite3.Error, OSError)) else "it is damaged"
            raise JournalError(f"The journal '{self.path}' cannot be {what}: {reason}. {remedy}.") from error

    def _write(self, statement: str, *values: object) -> None:
        with self._told("written"), self._lock:
            self._db.execute(statement, values)

    def _read(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        with self._told("read"), self._lock:
            found: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
        return found

    def upload(self, *what: object) -> Upload:
        """Return what is remembered of an upload, known by what its rows are sent to and how.

        Parameters
        ----------
        *what
            Anything that JSON takes; another value is another upload.
        """
        return Upload(self, blake2b(json.dumps(what).encode(), digest_size=16).digest())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Upload:
    """What a journal remembers of one upload."""

    journal: Journal
    key: bytes

    def part(self, name: str) -> Part:
        """Return what is remembered of one part."""
        return Part(self, name)

    def seen(self, file: str) -> str | None:
        """Return the identity of a file when it was last seen."""
        row = self.journal._read("SELECT identity FROM file WHERE upload = ? AND file = ?", self.key, file)
        return None if row is None else str(row[0])

    def see(self, file: str, identity: str, parts: int) -> None:
        """Record the identity of a file, and forget what was sent of more parts than it has."""
        beyond = "substr(part, 1, length(?) + 1) = ? || '#' AND CAST(substr(part, length(?) + 2) AS INTEGER) >= ?"
        for table in ("batch", "part"):
            values = (self.key, file, file, file, parts)
            self.journal._write(f"DELETE FROM {table} WHERE upload = ? AND {beyond}", *values)
        self.journal._write("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", self.key, file, identity)


@dataclass(frozen=True)
class Part:
    """What a journal remembers of a part of an upload, such as a row group."""

    upload: Upload
    name: str

    def known(self, content: bytes) -> Answered | None:
        """Return what became of a request, where it was answered before."""
        row = self.upload.journal._read(
            "SELECT outcomes, counts FROM batch WHERE upload = ? AND part = ? AND content = ?",
            self.upload.key,
            self.name,
            content,
        )
        if row is None:
            return None
        with self.upload.journal._told("read"):
            outcomes = msgspec.json.decode(row[0], type=_OUTCOMES)
            return Answered(outcomes, msgspec.json.decode(row[1], type=_COUNTS)) if outcomes else None

    def sending(self, start: int, stop: int, content: bytes) -> bool:
        """Record that a request is about to be sent; whether it was before, and was not refused whole."""
        journal = self.upload.journal
        place = (self.upload.key, self.name, content)
        again = journal._read("SELECT 1 FROM batch WHERE upload = ? AND part = ? AND content = ?", *place) is not None
        if not again:
            journal._write("INSERT OR IGNORE INTO batch VALUES (?, ?, ?, ?, ?, '[]', '{}')", *place, start, stop)
        return again

    def withdraw(self, content: bytes) -> None:
        """Forget that a request was sent, since it was refused whole."""
        place = (self.upload.key, self.name, content)
        self.upload.journal._write("DELETE FROM batch WHERE upload = ? AND part = ? AND content = ?", *place)

    def forget(self, start: int, stop: int) -> None:
        """Forget what was sent of rows, since something else will replace them."""
        self.upload.journal._write(
            "DELETE FROM batch WHERE upload = ? AND part = ? AND start < ? AND stop > ?",
            self.upload.key,
            self.name,
            stop,
            start,
        )

    def answered(self, start: int, stop: int, content: bytes, answer: Answered) -> None:
        """Record what became of a request, and of which rows it was."""
        self.upload.journal._write(
            "INSERT OR REPLACE INTO batch VALUES (?, ?, ?, ?, ?, ?, ?)",
            self.upload.key,
            self.name,
            content,
            start,
            stop,
            json.dumps(answer.outcomes),
            json.dumps(answer.counts),
        )

    def finished(self, identity: str) -> tuple[dict[str, int] | None, bool]:
        """Count the rows of the part by status, where all were answered well while its file was this one.

        Returns
        -------
        dict of str to int, or None
            The counts.
        bool
            Whether all were answered well while the file was another one. That is forgotten: what is sent from now on
            may replace them.
        """
        journal, of_part = self.upload.journal, (self.upload.key, self.name)
        row = journal._read("SELECT identity, counts FROM part WHERE upload = ? AND part = ?", *of_part)
        if row is None:
            return None, False
        if row[0] == identity:
            with journal._told("read"):
                return msgspec.json.decode(row[1], type=_COUNTS), True
        journal._write("DELETE FROM part WHERE upload = ? AND part = ?", *of_part)
        return None, True

    def finish(self, identity: str, counts: Mapping[str, int]) -> None:
        """Record that all rows of the part were answered well."""
        self.upload.journal._write(
            "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?)", self.upload.key, self.name, identity, json.dumps(counts)
        )


def content_of(*parts: bytes | memoryview) -> bytes:
    """Return a hash of a request."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.digest()


def user_folder(source: str) -> Path:
    """Return the folder of this user where the journal stands that has no place beside its source."""
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
