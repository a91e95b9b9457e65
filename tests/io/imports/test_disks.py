"""Disks that are full and folders that cannot be written to, when files are imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import nucleus_pandas as npd
from tests.support.import_sources import (
    JOURNAL,
    Destination,
    box_rows,
    image_items,
    read_journal,
    read_rejects,
    same,
    with_refused,
    write,
)

if sys.platform == "win32":
    pytest.skip("files have no limits there", allow_module_level=True)
from tests.support.server_process import Command, Served
from tests.support.stored_files import check_whole


def test_folders_that_cannot_be_written_to_have_journals_of_their_own_elsewhere(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as base, Served(tmp_path / "store") as server, server.client() as client:
        # below pytest's own folder nobody else may look
        root = Path(base)
        cache, homes = root / "cache", [root / name / "boxes" for name in ("one", "two")]
        for folder in (cache, *homes):
            folder.mkdir(parents=True)
        for folder in (root, cache):
            folder.chmod(0o777)
        destinations = [Destination.make(client, "annotations") for _ in homes]
        sources = [
            write(frame, home / "boxes.parquet")
            for frame, home in zip((with_refused(box_rows()), with_refused(box_rows(20))), homes, strict=True)
        ]
        for home in homes:
            home.chmod(0o555)

        def run(number: int) -> str:
            told = [*destinations[0].arguments(sources[number], 2), "--json", "--endpoint", server.endpoint]
            command = Command(root, *told, environment={"XDG_CACHE_HOME": str(cache)}, as_nobody=True)
            assert command.wait(60) == 3, command.said
            return command.said

        first, second = (json.loads(run(number)) for number in (0, 1))
        for result in (first, second):
            assert Path(result["journal"]).parent.parent == cache / "nucleus_pandas"
            assert Path(result["rejects"]).parent == Path(result["journal"]).parent
        assert first["journal"] != second["journal"]
        assert read_rejects(Path(first["rejects"]))["reject_row"].tolist() == [4, 5, 15]
        again = json.loads(run(0))
        assert (again["changed"], again["already_sent"]) == ([], first["rows"] - 3 - 1)
        assert again["journal"] == first["journal"]
        for home in homes:
            home.chmod(0o755)
            assert [path.name for path in home.iterdir()] == ["boxes.parquet"]


def mount(folder: Path, size: int) -> bool:
    """Create a small disk of a folder, where this user may."""
    folder.mkdir()
    told = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return shutil.which("mount") is not None and subprocess.run(told, capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """Create a folder on a disk of this size; where that is impossible, limit file sizes instead."""
    mounted = mount(folder, size)
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("how", "kilobytes", "begins"),
    [("disk", 0, False), ("disk", 8, False), ("disk", 120, True), ("limit", 4, False), ("limit", 80, True)],
)
def test_an_import_goes_on_when_there_is_room_for_its_journal(
    tmp_path: Path, how: str, kilobytes: int, begins: bool
) -> None:
    frame, folder = with_refused(box_rows(200, later=90)), tmp_path / "disk"
    with Served(tmp_path / "store") as server, server.client() as client, small_disk(folder, 1 << 20) as is_small:
        expected, destination = (Destination.make(client, "annotations") for _ in range(2))
        expected.imported(client, write(frame, tmp_path / "whole.parquet", 50), 5, on_error="collect")
        source = write(frame, folder / "source.parquet", 50)
        arguments = [*destination.arguments(source, 5), "--endpoint", server.endpoint]
        limit = max(kilobytes, 4) << 10  # what is said needs some too
        if how == "disk" and is_small:
            fill(folder, kilobytes << 10)
            limit = 1 << 30
        command = Command(tmp_path, *arguments, file_size=limit)
        assert command.wait(60) == 1, command.said
        assert f"nucleus-pandas: The journal '{folder / JOURNAL}' cannot be " in command.said
        assert "Free some disk space, then run the same again: it resumes." in command.said
        assert "Traceback" not in command.said
        known = sum(read_journal(folder / JOURNAL).answered.values()) if begins else 0
        assert begins == (0 < known < 203)
        (folder / "fill").unlink(missing_ok=True)
        command = Command(tmp_path, *arguments, "--json")
        assert command.wait(60) == 3, command.said
        result = json.loads(command.said)
        assert known <= result["already_sent"]
        assert result["new"] + result["ignored"] + result["already_sent"] == 200
        assert read_rejects(Path(result["rejects"]))["reject_row"].tolist() == [4, 5, 202]
        same(destination.rows(), expected.rows())


def fill(folder: Path, left: int) -> None:
    """Fill a disk until so many bytes are left."""
    disk = os.statvfs(folder)
    (folder / "fill").write_bytes(bytes(disk.f_bavail * disk.f_frsize - left))


def test_rejects_that_find_no_room_end_an_import(tmp_path: Path) -> None:
    frame = box_rows(400).assign(width=-1.0, note=[f"{number * 7919:040}" * 20 for number in range(400)])
    source = write(frame, tmp_path / "source.parquet", 100)
    with Served(tmp_path / "store") as server, server.client() as client:
        destination = Destination.make(client, "annotations")
        arguments = [*destination.arguments(source, 2), "--endpoint", server.endpoint, "--metadata", "note"]
        arguments += ["--no-journal", "--rejects", str(tmp_path / "refused")]
        command = Command(tmp_path, *arguments, file_size=4096)
        assert command.wait(60) == 1
        assert f"nucleus-pandas: The rejects cannot be written to '{tmp_path / 'refused'}': " in command.said
        assert "Free space" in command.said
        assert "Traceback" not in command.said
        left = [path.name for path in tmp_path.iterdir() if path.name.startswith("refused")]
        assert left == []
        command = Command(tmp_path, *arguments)
        assert command.wait(60) == 3
        assert len(read_rejects(tmp_path / "refused")) == 400


@pytest.mark.parametrize("disk", [True, False], ids=["disk", "limit"])
@pytest.mark.parametrize("kind", ["items", "annotations"])
def test_an_import_ends_where_the_disk_of_the_store_is_full(tmp_path: Path, kind: str, disk: bool) -> None:
    notes = [f"{number * 7919:040}" * 10 for number in range(300)]
    frame = image_items(300) if kind == "items" else box_rows(300, later=90)
    source = write(frame.assign(**{"metadata.note": notes}), tmp_path / "source.parquet", 60)
    with npd.NucleusClient.local() as client:
        expected = Destination.make(client, kind)
        expected.imported(client, source, 10, journal=False)
        rows = expected.rows()
    with small_disk(tmp_path / "disk", 4 << 20) as is_small:
        store = tmp_path / "disk" / "store"
        with Served(store) as server, server.client() as client:
            destination = Destination.make(client, kind)
        room = 150 << 10
        limit = max(path.stat().st_size for path in store.iterdir()) + room
        if disk and is_small:
            fill(store, room)
        with Served(store, file_size=None if disk and is_small else limit) as server:
            arguments = destination.arguments(source, 10)
            command = Command(tmp_path, *arguments, "--endpoint", server.endpoint)
            assert command.wait(60) == 1, command.said
            assert "The import ended at source.parquet, row group" in command.said
            assert "The store cannot be written: " in command.said
            assert "may be stored" not in command.said
            assert "again: it resumes where it ended." in command.said
            with server.client() as client:
                there = len(destination.at(client).rows())
            assert 0 < there < 300
            assert sum(read_journal(tmp_path / JOURNAL).answered.values()) == there
            if disk and is_small:
                (store / "fill").unlink()
                assert Command(tmp_path, *arguments, "--endpoint", server.endpoint).wait(60) == 0
        with Served(store) as server, server.client() as client:
            command = Command(tmp_path, *arguments, "--endpoint", server.endpoint, "--json")
            assert command.wait(60) == 0, command.said
            assert json.loads(command.said)["already_sent"] >= there
            same(destination.at(client).rows(), rows)
        check_whole(store)
