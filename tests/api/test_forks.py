"""Clients in forked processes: each has connections of its own, and nothing that was answered is lost."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas._util import sqlite
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.uploads.journal import Journal, JournalEntry

FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
ROUNDS = int(os.environ.get("NUCLEUS_PANDAS_FORKS", "1"))
WORKERS = 8
SECONDS = 60

pytestmark = [
    pytest.mark.skipif(FORK is None, reason="this system does not fork"),
    # Python 3.12 warns of forks where threads run, which is what is tested here
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def rows(name: str, count: int = 20) -> pd.DataFrame:
    ids = [f"{name}_{number}" for number in range(count)]
    return pd.DataFrame({"reference_id": ids, "image_url": "https://example.org/x"})


def in_children(work: Callable[[int], Any], count: int = 1, before: Callable[[], None] = lambda: None) -> list[Any]:
    """Call a function in forked processes at once, and return what it returned or raised."""
    assert FORK is not None
    results = FORK.Queue()
    start = FORK.Event()

    def run(number: int) -> None:
        start.wait(SECONDS)
        try:
            results.put(work(number))
        except Exception as error:
            results.put(error)

    children = [FORK.Process(target=run, args=(number,)) for number in range(count)]
    for child in children:
        child.start()
    before()
    start.set()
    found = [results.get(timeout=SECONDS) for _ in children]
    for child in children:
        child.join(SECONDS)
        assert child.exitcode == 0
    return found


def ids_of(folder: Path) -> list[str]:
    """Read the items of the only dataset in a process of its own, which has not been forked from this one."""
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        return pool.apply(_ids_of, (folder,))


def _ids_of(folder: Path) -> list[str]:
    with npd.NucleusClient.local(folder) as client:
        return sorted(client.get_dataset(client.list_datasets()[0]).items.to_frame()["reference_id"])


@pytest.mark.parametrize("kind", ["served", "in process"])
@pytest.mark.parametrize("read", ["iloc", "call", "refloc"])
def test_every_forked_worker_gets_its_own_answers(
    store: Path, request: pytest.FixtureRequest, kind: str, read: str
) -> None:
    if kind == "served":
        client = npd.NucleusClient(endpoint=request.getfixturevalue("endpoint"))
    else:
        client = npd.NucleusClient.local(store)
    dataset = client.create_dataset("D")
    rows("i", 50).nucleus.append(dataset)

    def answers(worker: int) -> int:
        right = 0
        for number in range(worker, worker + 25):
            if read == "iloc":
                found = dataset.iloc[number, 0]
            elif read == "call":
                found = dataset.refloc(f"i_{number}")["item"]["reference_id"]
            else:
                found = dataset.refloc[[f"i_{number}"]].index[0]
            right += found == f"i_{number}"
        return right

    assert len(dataset) == 50  # the connection of the parent is open
    assert in_children(answers, WORKERS) == [25] * WORKERS
    assert len(dataset) == 50
    client.close()


@pytest.mark.parametrize("opens", [False, True], ids=["inherited", "own client"])
@pytest.mark.parametrize("parent", ["closes first", "goes on", "closes before"])
@pytest.mark.parametrize("_round", range(ROUNDS))
def test_rows_of_forked_workers_are_there_for_a_third_process(
    store: Path, opens: bool, parent: str, _round: int
) -> None:
    client = npd.NucleusClient.local(store)
    dataset = client.create_dataset("D")
    rows("parent").nucleus.append(dataset)

    def send(worker: int) -> tuple[int, int]:
        if opens:
            with npd.NucleusClient.local(store) as own:
                target = own.get_dataset(dataset.id)
                return rows(f"child{worker}").nucleus.append(target).new_items, len(target) >= 40
        return rows(f"child{worker}").nucleus.append(dataset).new_items, len(dataset) >= 40

    if parent == "closes before" and not opens:
        client.close()
        results = in_children(send, 2)
        assert [type(found) for found in results] == [npd.UploadError] * 2, results
        assert all("is closed" in str(found) for found in results)
        return
    if parent == "closes before":
        client.close()
    results = in_children(send, 4, before=client.close if parent == "closes first" else lambda: None)
    assert results == [(20, True)] * 4
    client.close()
    names = ("parent", *(f"child{worker}" for worker in range(4)))
    assert ids_of(store) == sorted(f"{name}_{number}" for name in names for number in range(20))


def test_a_child_leaves_the_temporary_store_to_its_parent() -> None:
    client = npd.NucleusClient.local()
    dataset = client.create_dataset("D")
    rows("a").nucleus.append(dataset)
    folder = client._transport.folder
    assert folder is not None
    for ends in ("exit", "close", "exception"):
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                if ends == "close":
                    client.close()
                if ends == "exception":
                    raise ValueError
                del client, dataset
                sys.exit()
            from atexit import _run_exitfuncs

            _run_exitfuncs()  # finalizers, as at the end of an interpreter
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert folder.is_dir()
    assert rows("b").nucleus.append(dataset).new_items == 20
    client.close()
    assert not folder.exists()


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_forks_while_threads_write_neither_hang_nor_lose_rows(store: Path, _round: int) -> None:
    client = npd.NucleusClient.local(store)
    dataset = client.create_dataset("D")
    done = threading.Event()
    sent = []

    def write(thread: int) -> None:
        number = 0
        while not done.is_set():
            rows(f"t{thread}_{number}", 5).nucleus.append(dataset)
            sent.append(f"t{thread}_{number}")
            number += 1

    with ThreadPoolExecutor(3) as threads:
        writing = [threads.submit(write, thread) for thread in range(3)]
        try:
            for fork in range(4):
                name = f"fork{fork}"
                assert in_children(lambda _, name=name: rows(name, 5).nucleus.append(dataset).new_items) == [5]
                sent.append(name)
        finally:
            done.set()
        for thread in writing:
            thread.result()
    client.close()
    assert ids_of(store) == sorted(f"{name}_{number}" for name in sent for number in range(5))


def test_a_child_of_a_transaction_is_told_what_to_do(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "FORK_SECONDS", 0.1)
    nucleus = EmbeddedNucleus(store)
    begun, end = threading.Event(), threading.Event()

    def long() -> None:
        with nucleus.database.write() as db:
            db.execute("UPDATE dataset SET name = name")
            begun.set()
            end.wait(SECONDS)

    thread = threading.Thread(target=long)
    thread.start()
    begun.wait(SECONDS)

    def count(_: int) -> int:
        with nucleus.database.read() as db:
            return int(db.execute("SELECT count(*) FROM dataset").fetchone()[0])

    def use(worker: int) -> object:
        return EmbeddedNucleus(store) if worker else count(0)

    for error in in_children(use, 2):
        assert isinstance(error, npd.StoreError)
        assert "being used when this process was forked" in str(error)
        assert "get_context('spawn')" in str(error)
    end.set()
    thread.join()
    assert count(0) == 0  # the parent goes on
    assert [type(found) for found in in_children(lambda _: nucleus.database.read().__enter__() and None)] == [
        type(None)
    ]
    nucleus.close()


def test_a_journal_is_written_by_parent_and_child(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        upload = journal.upload("target")

        def record(worker: int) -> None:
            upload.part("").record(worker, worker + 1, bytes([worker]), JournalEntry([(0, 1)]))

        record(0)
        assert in_children(lambda worker: record(worker + 1), 3) == [None] * 3
        record(4)
    with Journal(path) as journal:
        part = journal.upload("target").part("")
        assert all(part.entry(bytes([worker])) is not None for worker in range(5))


def test_spawned_processes_and_threads_as_controls(store: Path) -> None:
    client = npd.NucleusClient.local(store)
    dataset = client.create_dataset("D")
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda n: rows(f"t{n}").nucleus.append(dataset).new_items, range(4))) == [20] * 4
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_send, [(dataset, f"s{n}") for n in range(2)]) == [20] * 2  # a pickled dataset
    client.close()
    assert len(ids_of(store)) == 120


def _send(arguments: tuple[npd.Dataset, str]) -> int:
    dataset, name = arguments
    return int(rows(name).nucleus.append(dataset).new_items)
