"""An import whose process or server is killed goes on when it is run again, and ends as if nothing had happened.

How often processes are killed says NUCLEUS_PANDAS_KILLS.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.support.faulty_network import MAX_CONCURRENCY
from tests.support.faulty_proxy import FaultyProxy
from tests.support.import_sources import (
    JOURNAL,
    Destination,
    box_rows,
    image_items,
    read_journal,
    read_rejects,
    same,
    with_files,
    with_refused,
    write,
)
from tests.support.waiting import wait_for

KILLS = int(os.environ.get("NUCLEUS_PANDAS_KILLS", "3"))

if sys.platform == "win32":
    pytest.skip("there is no kill -9", allow_module_level=True)
from tests.support.server_process import Command, Served  # noqa: E402
from tests.support.stored_files import check_whole  # noqa: E402

FRAMES = {
    "items": image_items(300),
    "annotations": with_refused(box_rows(303, later=90)),
    "predictions": box_rows(301, later=90),
    "images": image_items(40),  # of this machine
}
CASES = sorted(FRAMES)
BATCH = 5
INTERRUPTED = "Interrupted. The same command resumes where it ended."


@dataclass(frozen=True)
class Undisturbed:
    """How an import ends that nothing happens to."""

    rows: pd.DataFrame
    result: npd.ImportResult
    rejects: pd.DataFrame | None
    seconds: float

    @property
    def code(self) -> int:
        """What the command ends with."""
        return 3 if self.result.failed else 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Undisturbed]:
    """Imports of each kind, by a command on a server."""
    found = {}
    folder = tmp_path_factory.mktemp("undisturbed")
    with Served(folder / "store") as server, server.client() as client:
        for case in CASES:
            source = source_of(case, folder)
            destination = destination_of(case, client)
            command = Command(folder, *destination.arguments(source, BATCH), "--endpoint", server.endpoint)
            began = time.perf_counter()
            command.wait()
            seconds = time.perf_counter() - began
            result = destination_of(case, client).imported(
                client, source, BATCH, on_error="collect", journal=False, rejects=folder / case
            )
            rejects = None if result.rejects is None else read_rejects(result.rejects)
            found[case] = Undisturbed(destination.rows(), result, rejects, seconds)
    return found


def source_of(case: str, folder: Path) -> Path:
    """Write the file of a case."""
    folder.mkdir(exist_ok=True)
    frame = FRAMES[case]
    if case == "images":
        frame = with_files(frame, folder / "image files")
    return write(frame, folder / "source.parquet", row_group_size=60)


def destination_of(case: str, client: npd.NucleusClient) -> Destination:
    """Create where the rows of a case go."""
    return Destination.make(client, "items" if case == "images" else case)


def check_end(destination: Destination, folder: Path, expected: Undisturbed) -> None:
    """See that everything is there once, that the journal says so, and that nothing is left over."""
    same(destination.rows(), expected.rows)
    noted = read_journal(folder / JOURNAL)
    if expected.rejects is None:
        assert sum(noted.answered.values()) == expected.result.rows
        assert sum(noted.finished.values()) in (0, expected.result.rows)  # images may change
    else:
        (rejects,) = folder.glob("*.rejects.parquet")
        pd.testing.assert_frame_equal(read_rejects(rejects), expected.rejects)
        rejects.unlink()
    left = {path.name for path in folder.iterdir() if not path.name.startswith("said")}
    assert left <= {"source.parquet", "image files", JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm"}


def amount_in(folder: Path) -> int:
    """Return how many rows the journal knows as answered."""
    return sum(read_journal(folder / JOURNAL).answered.values()) if (folder / JOURNAL).exists() else 0


def wait_for_journal(folder: Path, command: Command) -> None:
    """Wait until an importer is at work; of Ctrl+C that comes earlier Python tells in its own words."""
    wait_for(lambda: (folder / f"{JOURNAL}-shm").exists() or command.wait(0) is not None)


@contextmanager
def nucleus(how: str, store: Path) -> Iterator[tuple[npd.NucleusClient, list[str]]]:
    """A store behind a server or as it is, a client of it, and how commands are told of it."""
    if how == "server":
        with Served(store) as server, server.client() as client:
            yield client, ["--endpoint", server.endpoint]
    else:
        with npd.NucleusClient.local(store) as client:
            yield client, ["--store", str(store)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
@pytest.mark.parametrize("how", ["server", "store"])
def test_an_importer_may_end_at_any_moment(
    store: Path, tmp_path: Path, undisturbed: dict[str, Undisturbed], how: str, number: signal.Signals
) -> None:
    draw = random.Random(f"{how} {number}")
    ended: list[int] = []  # of the importers that did not come to their end, how many rows were answered
    with nucleus(how, store) as (client, where):
        for story in range(10 * KILLS):
            case = draw.choice(CASES)
            folder, expected = tmp_path / str(story), undisturbed[case]
            destination = destination_of(case, client)
            arguments = destination.arguments(source_of(case, folder), BATCH)
            while True:
                command = Command(folder, *arguments, *where)
                if number == signal.SIGINT:
                    wait_for_journal(folder, command)
                if command.wait(draw.uniform(0, 1.2 * expected.seconds)) is None:
                    command.end(number)
                code = command.wait(20)
                if code == expected.code:
                    break
                assert code == (130 if number == signal.SIGINT else -number), command.said
                assert number == signal.SIGKILL or INTERRUPTED in command.said
                ended.append(amount_in(folder))
                if how == "store":
                    check_whole(store)
            check_end(destination, folder, expected)
            if len(ended) >= KILLS:
                break
    print(sorted(ended))
    assert len(ended) >= KILLS
    check_whole(store)


def test_a_server_may_be_killed_at_any_moment(store: Path, tmp_path: Path, undisturbed: dict[str, Undisturbed]) -> None:
    draw = random.Random("server")
    killed: list[int] = []
    server = Served(store)
    try:
        for story in range(10 * KILLS):
            case = draw.choice(CASES)
            folder, expected = tmp_path / str(story), undisturbed[case]
            source = source_of(case, folder)
            with server.client() as client:
                destination = destination_of(case, client)
            while True:
                result = import_until_killed(server, destination, source, draw.uniform(0, expected.seconds))
                if result is not None:
                    break
                killed.append(amount_in(folder))
                check_whole(store)
                server = Served(store)
            with server.client() as client:
                check_end(destination.at(client), folder, expected)
            if len(killed) >= KILLS:
                break
    finally:
        server.kill()
    print(sorted(killed))
    assert len(killed) >= KILLS
    check_whole(store)


def import_until_killed(
    server: Served, destination: Destination, source: Path, seconds: float
) -> npd.ImportResult | None:
    """Import, and kill the server in the midst of it; return what came of it, if it came to its end."""
    results: list[npd.ImportResult] = []
    failures: list[BaseException] = []

    def act() -> None:
        try:
            with server.client() as client:
                results.append(destination.imported(client, source, BATCH, on_error="collect"))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        server.kill()
    thread.join()
    for error in failures:
        if not isinstance(error, (npd.NetworkError, npd.UploadError)):
            raise error
    return results[0] if results and server.process.is_alive() else None


def test_ctrl_c_ends_an_import_at_once_with_a_sentence(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    source = source_of("predictions", folder)
    with Served(store) as server, server.client() as client, FaultyProxy(server.endpoint) as proxy:
        destination = Destination.make(client, "predictions")
        arguments = [*destination.arguments(source, BATCH), "--endpoint", proxy.endpoint]
        command = [sys.executable, "-W", "error", "-m", "nucleus_pandas.cli", *arguments]
        with proxy.breaking(lambda request: "too late" if len(proxy.requests) > 7 else None):
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            wait_for(lambda: len(proxy.requests) > 7)
            sent = len(proxy.requests)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)  # less than a request waits for its answer
            assert len(proxy.requests) - sent < MAX_CONCURRENCY
        assert process.returncode == 130
        assert said == f"{INTERRUPTED}\n"
        result = destination.imported(client, source, BATCH)
        assert 0 < result.already_sent < 30
        assert sum(result.counts.values()) == 301
        assert len(destination.rows()) == 300


@pytest.mark.parametrize("how", ["server", "store"])
def test_two_processes_import_one_file_at_once(
    store: Path, tmp_path: Path, undisturbed: dict[str, Undisturbed], how: str
) -> None:
    draw = random.Random(how)
    with nucleus(how, store) as (client, where):
        for story in range(KILLS):
            case = CASES[story % len(CASES)]
            folder, expected = tmp_path / str(story), undisturbed[case]
            destination = destination_of(case, client)
            arguments = [*destination.arguments(source_of(case, folder), BATCH), *where]
            first, second = Command(folder, *arguments), Command(folder, *arguments)
            if draw.random() < 0.5 and first.wait(draw.uniform(0, expected.seconds)) is None:
                first.end(signal.SIGKILL)
                first.wait()
            else:
                assert first.wait() == expected.code, first.said
            assert second.wait() == expected.code, second.said
            check_end(destination, folder, expected)
    check_whole(store)


def test_two_threads_import_one_file_at_once(
    local: npd.NucleusClient, tmp_path: Path, undisturbed: dict[str, Undisturbed]
) -> None:
    for story in range(KILLS):
        case = CASES[story % len(CASES)]
        folder, expected = tmp_path / str(story), undisturbed[case]
        destination = destination_of(case, local)
        source = source_of(case, folder)
        results: list[npd.ImportResult] = []

        def act() -> None:
            results.append(destination.imported(local, source, BATCH, on_error="collect"))  # noqa: B023

        threads = [threading.Thread(target=act) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [sum(result.counts.values()) for result in results] == [sum(expected.result.counts.values())] * 2
        assert sum(result.new for result in results) >= expected.result.new
        check_end(destination, folder, expected)
