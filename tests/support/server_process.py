"""Commands in processes that start at once, since a template of them has imported everything already.

Servers can kill themselves, as ``kill -9`` would, at one point of the first request behind a mark.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from sqlite3 import Connection as Sqlite
from typing import Any

import nucleus_pandas as npd
from nucleus_pandas import cli
from nucleus_pandas.server import nucleus
from nucleus_pandas.server.media.files import FileStore, IncomingFile, ReceivedFile
from nucleus_pandas.server.store.database import Database

NOBODY = 65534
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pytest", "nucleus_pandas.cli", "nucleus_pandas.server"])


class Served:
    """A server process of a store.

    Parameters
    ----------
    folder : pathlib.Path
        The store.
    options : str
        Of the command line.
    environment : dict, optional
        More of what its environment holds.
    file_size : int, optional
        Bytes; no file that it writes may grow beyond, as on a full disk.
    point : (str, int), optional
        Where it kills itself once it is marked: `arrived`, `staged`, `published`, `stored` or `committed`, and at the
        how manieth time.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        file_size: int | None = None,
        point: tuple[str, int] | None = None,
    ) -> None:
        self.mark = folder.with_suffix(".mark")
        receiver, sender = CONTEXT.Pipe(duplex=False)
        arguments = ["serve", str(folder), "--port", "0", *options]
        told = (arguments, environment or {}, sender, file_size, point, self.mark)
        self.process = CONTEXT.Process(target=_serve, args=told)
        self.process.start()
        sender.close()
        with receiver, os.fdopen(os.dup(receiver.fileno())) as lines:
            self.endpoint = lines.readline().strip()
        assert self.endpoint, "it did not start"

    def client(self, **options: Any) -> npd.NucleusClient:
        """Create a client that sends nothing twice."""
        return npd.NucleusClient(endpoint=self.endpoint, max_retries=0, **options)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.kill()
        self.process.join()

    def end(self, number: signal.Signals) -> None:
        """Ask it to end."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self.process.close()


class Command:
    """A command in a process.

    Parameters
    ----------
    folder : pathlib.Path
        Where it works, and where what it says goes.
    *arguments : str
        Of the command line.
    environment : dict, optional
        More of what its environment holds.
    file_size : int, optional
        Bytes; no file that it writes may grow beyond, as on a full disk.
    as_nobody : bool
        Whether it may do no more than what anybody may.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        file_size: int | None = None,
        as_nobody: bool = False,
    ) -> None:
        self._said = folder / f"said {uuid.uuid4().hex}"
        environment = {"XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"], **(environment or {})}
        told = (arguments, folder, self._said, environment, file_size, as_nobody)
        self.process = CONTEXT.Process(target=_command, args=told)
        self.process.start()

    def end(self, number: signal.Signals) -> None:
        """Send a signal to it, if it is still there."""
        if self.process.is_alive():
            assert self.process.pid is not None
            os.kill(self.process.pid, number)

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait until it has ended, and return what it ended with; None where it goes on."""
        self.process.join(seconds)
        return self.process.exitcode

    @property
    def said(self) -> str:
        """What it wrote."""
        return self._said.read_text()


def _limit(file_size: int | None) -> None:
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))


def _command(
    arguments: Sequence[str],
    folder: Path,
    said: Path,
    environment: dict[str, str],
    file_size: int | None,
    as_nobody: bool,
) -> None:
    with said.open("w") as out:
        for number in (1, 2):
            os.dup2(out.fileno(), number)
    os.chdir(folder)
    warnings.simplefilter("error")
    os.environ.update(environment)
    _limit(file_size)
    if as_nobody and os.geteuid() == 0:  # who may write everywhere
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    raise SystemExit(cli.main(arguments))


def _serve(
    arguments: list[str],
    environment: dict[str, str],
    sender: Connection,
    file_size: int | None,
    point: tuple[str, int] | None,
    mark: Path,
) -> None:
    os.dup2(sender.fileno(), 1)
    sender.close()
    warnings.simplefilter("error")
    os.environ.update(environment)
    _limit(file_size)
    if point is not None:
        _die_at(*point, mark)
    raise SystemExit(cli.main(arguments))


def _die_at(point: str, times: int, mark: Path) -> None:
    met: list[str] = []

    def reached(name: str) -> None:
        if name == point and mark.exists():
            met.append(name)
            if len(met) == times:
                os.kill(os.getpid(), signal.SIGKILL)

    write, end, publish, sync = Database.write, IncomingFile.end, FileStore.publish, nucleus.sync_folder

    @contextmanager
    def watched_write(self: Database) -> Iterator[Sqlite]:
        with write(self) as db:
            yield db
            reached("stored")
        reached("committed")

    def watched_end(self: IncomingFile) -> ReceivedFile:
        staged = end(self)
        reached("staged")
        return staged

    def watched_publish(self: FileStore, files: Sequence[ReceivedFile]) -> None:
        publish(self, files)
        reached("published")

    def watched_sync(path: Path) -> None:
        sync(path)
        reached("arrived")

    Database.write, IncomingFile.end, FileStore.publish = watched_write, watched_end, watched_publish  # type: ignore
    nucleus.sync_folder = watched_sync
