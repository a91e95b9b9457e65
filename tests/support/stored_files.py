"""Stores of embedded Nuclei, looked at without the package."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import nucleus_pandas as npd


@contextmanager
def database_of(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the database of a store without the package."""
    with closing(sqlite3.connect(folder / "nucleus.sqlite", isolation_level=None)) as db:
        yield db


FILES = {
    "images": "SELECT file FROM item WHERE file IS NOT NULL",
    "masks": "SELECT json_extract(extra, '$.mask_file') FROM annotation WHERE type = 'mask'",
}


def check_whole(folder: Path) -> None:
    """See that the database is sound, every row belongs somewhere, and every file is what its name says."""
    with database_of(folder) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        orphans = "SELECT count(*) FROM prediction LEFT JOIN item ON item.id = prediction.item WHERE item.id IS NULL"
        assert db.execute(orphans).fetchone() == (0,)
        lengths = "SELECT length, (SELECT count(*) FROM item WHERE item.dataset = dataset.id) FROM dataset"
        assert [counted for length, counted in db.execute(f"{lengths} WHERE NOT deleted") if length != counted] == []
        named = {kind: {file for (file,) in db.execute(query)} for kind, query in FILES.items()}
    for kind, names in named.items():
        assert names <= files_of(folder, kind)
        for name in files_of(folder, kind):
            assert hashlib.sha256((folder / kind / name).read_bytes()).hexdigest() == Path(name).stem


def check_purged(folder: Path) -> None:
    """Open a store a day later, and see that soon nothing is left of what was deleted or not finished."""
    with database_of(folder) as db:
        db.execute("UPDATE waiting SET since = since - 86400")
        db.commit()
    with npd.NucleusClient.local(folder), database_of(folder) as db:
        until = time.monotonic() + 20
        left = "SELECT (SELECT count(*) FROM dataset WHERE deleted), (SELECT count(*) FROM released)"
        while db.execute(f"{left}, (SELECT count(*) FROM waiting)").fetchone() != (0, 0, 0):
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.01)
        for kind, query in FILES.items():
            assert files_of(folder, kind) == {file for (file,) in db.execute(query)}
    check_whole(folder)


def files_of(folder: Path, kind: str) -> set[str]:
    """List the files that are in their place."""
    root = folder / kind
    found = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    return {path.as_posix() for path in found if path.parts[0] != "incoming"}
