"""Folders that are no store."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import nucleus_pandas as npd
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
