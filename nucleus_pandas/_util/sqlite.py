"""SQLite files with a write-ahead log, as stores and journals are."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from nucleus_pandas.errors import StoreError

BUSY_SECONDS = 60.0
"""How long a statement waits for other connections that write."""


FORK_SECONDS = 30.0
"""How long a fork waits for the transactions of other threads."""


class ConnectionPool:
    """Connections to one SQLite file for all threads of a process, which also work in its forked children.

    SQLite keeps the locks of a file per process. A fork copies what it remembers of them, but not the locks: a child
    that went on with that memory, even by connections of its own, would write to a log that other processes believe
    unused and remove. So a fork waits until no connection is in use, and closes all of them, after which SQLite
    remembers nothing; parent and child then open new ones. If a transaction does not end in time, or if it is the
    forking thread's own, only the parent may go on with the file: in the child every use raises StoreError.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    connect : callable
        Opens a connection to it.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self.path = path
        self._connect = connect
        self._idle: list[sqlite3.Connection] = []
        self._in_use: dict[int, sqlite3.Connection] = {}  # by id
        self._users: Counter[int] = Counter()  # connections in use, or about to be opened, by thread
        self._forks = 0  # that are about to happen
        self._is_carried = False  # whether a connection was in use when this process was forked
        self._closed = False
        self._changed = threading.Condition()
        _pools.add(self)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to this thread.

        Raises
        ------
        StoreError
            The pool is closed, or the file was in use when this process was forked.
        """
        thread = threading.get_ident()
        with self._changed:
            # A thread that has one already may have another: the fork waits for it anyway.
            self._changed.wait_for(lambda: not self._forks or bool(self._users[thread]))
            if self._closed:
                raise StoreError(f"'{self.path.parent}' is closed.")
            self._users[thread] += 1
            db = self._idle.pop() if self._idle else None
        try:
            if db is None:
                self._check_not_carried()
                db = self._connect()
            self._in_use[id(db)] = db
            yield db
        finally:
            with self._changed:
                if db is not None:
                    self._in_use.pop(id(db), None)
                    if self._closed:
                        db.close()
                    else:
                        self._idle.append(db)
                self._users[thread] -= 1
                self._users += Counter()  # drops threads without a connection
                self._changed.notify_all()

    def _check_not_carried(self) -> None:
        if self._is_carried or _identity(self.path) in _carried:
            raise StoreError(
                f"'{self.path.parent}' was being used when this process was forked, so this process cannot use it: "
                "SQLite's locks do not survive a fork. Fork when no thread reads or writes, or start processes by "
                "multiprocessing.get_context('spawn')."
            )

    def close(self) -> None:
        """Close the idle connections; those in use are closed when they are returned."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    def prepare_fork(self, deadline: float) -> None:
        """Wait until no connection is in use, and close all."""
        with self._changed:
            self._forks += 1
            if not self._users[threading.get_ident()]:
                self._changed.wait_for(lambda: not self._users.total(), max(0.0, deadline - time.monotonic()))
            self._is_carried = bool(self._users.total())
            if self._is_carried:
                return
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    def resume_in_parent(self) -> None:
        """Lend connections again."""
        with self._changed:
            self._forks -= 1
            self._is_carried = False
            self._changed.notify_all()

    def renew_in_child(self) -> None:
        """Forget the threads of the parent, and never touch its connections, not even to free them."""
        self._changed = threading.Condition()
        self._forks = 0
        for db in (*self._in_use.values(), *self._idle):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(db))  # freeing it would undo the parent's transaction
        if self._is_carried:
            _carried.add(_identity(self.path))
        self._in_use, self._idle, self._users = {}, [], Counter()


_pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()
_carried: set[tuple[int, int] | None] = set()  # files that were in use when this process was forked


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _prepare_fork() -> None:
    deadline = time.monotonic() + FORK_SECONDS
    for pool in list(_pools):
        pool.prepare_fork(deadline)


def _resume_in_parent() -> None:
    for pool in list(_pools):
        pool.resume_in_parent()


def _renew_in_child() -> None:
    for pool in list(_pools):
        pool.renew_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_prepare_fork, after_in_parent=_resume_in_parent, after_in_child=_renew_in_child)


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
