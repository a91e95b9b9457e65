"""Folders that are no store."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import nucleus_pandas as npd
from nucleus_pandas._util.sqlite import switch_to_wal
from nucleus_pandas.server.nucleus import EmbeddedNucleus


@contextmanager
def sqlite3_of(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the database of a store without the package."""
    with closing(sqlite3.connect(folder / "nucleus.sqlite", isolation_level=None)) as db:
        yield db


def test_a_database_of_something_else_is_refused_and_left_as_it_is(store: Path) -> None:
    store.mkdir()
    with sqlite3_of(store) as db:
        db.execute("CREATE TABLE song (title TEXT)")
        db.execute("PRAGMA application_id = 7")
    before = (store / "nucleus.sqlite").read_bytes()
    with pytest.raises(npd.StoreError, match="database of something else"):
        EmbeddedNucleus(store)
    assert (store / "nucleus.sqlite").read_bytes() == before


def test_a_newer_store_is_refused(store: Path) -> None:
    EmbeddedNucleus(store).close()
    with sqlite3_of(store) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(npd.StoreError, match="newer nucleus_pandas .*99.*upgrade"):
        EmbeddedNucleus(store)


def test_a_file_that_is_no_database_is_refused(store: Path) -> None:
    store.mkdir()
    (store / "nucleus.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(npd.StoreError, match="cannot be opened as a store"):
        EmbeddedNucleus(store)


def test_a_file_as_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    with pytest.raises(npd.StoreError, match="is a file"):
        EmbeddedNucleus(path)
    with pytest.raises(npd.StoreError, match="cannot be opened as a store"):
        EmbeddedNucleus(path / "below")


@pytest.mark.parametrize("name", ["x" * 300, "zero\0byte"], ids=["too long", "zero byte"])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(npd.StoreError):
        EmbeddedNucleus(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="this user may write everywhere")
def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        for folder in (tmp_path, tmp_path / "below"):
            with pytest.raises(npd.StoreError, match="cannot be opened as a store"):
                EmbeddedNucleus(folder)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="has no /proc")
def test_a_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(npd.StoreError, match="cannot be opened as a store"):
        EmbeddedNucleus("/proc/nucleus_pandas")


def open_read_only(store: Path, sender: Connection) -> None:
    """Open a store as a user who may not write to it, and send the error."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    started = time.monotonic()
    try:
        EmbeddedNucleus(store).close()
        sender.send(("opened", 0.0))
    except npd.StoreError as error:
        sender.send((str(error), time.monotonic() - started))


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permissions")
@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("folder_mode", [0o555, 0o777], ids=["folder", "file"])
def test_a_read_only_store_is_an_error_at_once(mode: str, folder_mode: int) -> None:
    from tests.support.server_process import CONTEXT  # which Windows has not

    with TemporaryDirectory() as folder:  # which others may enter, unlike that of the tests
        os.chmod(folder, 0o755)
        store = Path(folder, "store")
        EmbeddedNucleus(store).close()
        with sqlite3_of(store) as db:
            db.execute(f"PRAGMA journal_mode = {mode}")
        (store / "nucleus.sqlite").chmod(0o444)
        store.chmod(folder_mode)
        receiver, sender = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=open_read_only, args=(store, sender))
        process.start()
        try:
            assert receiver.poll(30)
            message, seconds = receiver.recv()
        finally:
            process.kill()
            process.join()
            store.chmod(0o755)
    assert "read-only for this user" in message
    assert seconds < 10


def test_only_locks_are_waited_for_when_the_log_is_turned_on(store: Path) -> None:
    store.mkdir()
    with sqlite3_of(store) as db, closing(sqlite3.connect(store / "nucleus.sqlite", timeout=0)) as other:
        db.execute("CREATE TABLE song (title TEXT)")
        with closing(sqlite3.connect(f"file:{store / 'nucleus.sqlite'}?mode=ro", uri=True)) as read_only:
            started = time.monotonic()
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                switch_to_wal(read_only)
            assert time.monotonic() - started < 10
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            switch_to_wal(other, seconds=0.05)
        db.execute("ROLLBACK")
        switch_to_wal(other)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
