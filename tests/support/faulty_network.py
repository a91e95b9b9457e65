"""A server behind a proxy that breaks what travels, as tests of faults use it."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.server.serving import Server
from tests.factories import marked_png
from tests.support.faulty_proxy import FAULTS, FaultyProxy, Plan, Request
from tests.support.private import dataset_handle
from tests.support.waiting import join_workers, wait_for

SCHEDULES = int(os.environ.get("NUCLEUS_PANDAS_FAULTS", "4"))
THOROUGH = SCHEDULES >= 100
"""Whether every operation meets every fault at every request, and not a sample of them."""
RETRIES = 2
MAX_CONCURRENCY: int = signature(npd.NucleusClient).parameters["max_concurrency"].default
T = TypeVar("T")
ALWAYS = -1
PASSING = [
    fault
    for fault in FAULTS
    if fault not in ("302", "307", "507", "too late")
    and not fault.startswith(("page, 200", "empty", "a list", "an object"))
]
"""Faults that a second request mends."""


class Clock(SimpleNamespace):
    """The module `time`, where nobody sleeps."""

    def __init__(self) -> None:
        super().__init__(**{name: getattr(time, name) for name in ("time", "monotonic", "perf_counter")})
        self.slept: list[float] = []
        self.sleep = self.slept.append


def stop_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the client's pauses pass at once; return what tells how long they were."""
    made = Clock()
    monkeypatch.setattr("nucleus_pandas.transport.session.time", made)
    monkeypatch.setattr("nucleus_pandas.uploads.jobs.time", made)
    return made


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Return the endpoint of a server in a thread."""
    with Server(folder, port=0) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server.endpoint
        server.stop()
        thread.join(timeout=20)
    assert not thread.is_alive()


class FaultyNetwork:
    """A server, reached through the proxy and directly."""

    def __init__(self, proxy: FaultyProxy, clean: npd.NucleusClient, folder: Path, kind: str) -> None:
        self.proxy = proxy
        self.clean = clean
        self.kind = kind
        self.images = [folder / f"{number}.png" for number in range(12)]
        for number, path in enumerate(self.images):
            path.write_bytes(marked_png(b"image %d" % number * 100))

    def client(self, timeout: float = 20.0, max_retries: int = RETRIES) -> npd.NucleusClient:
        """A client behind the proxy, which does not know yet what the server can do."""
        return npd.NucleusClient(
            "live_key", self.proxy.endpoint, timeout=timeout, max_retries=max_retries, max_concurrency=3
        )

    def name(self) -> str:
        return uuid.uuid4().hex

    def dataset(self, items: int = 0) -> npd.Dataset:
        made = self.clean.create_dataset(self.name())
        if items:
            made.append(numbered_items(items))
        return made

    def run(self, items: int = 6) -> tuple[npd.Dataset, npd.ModelRun]:
        dataset = self.dataset(items)
        dataset.annotate(numbered_boxes(items))
        run = dataset.create_model_run(self.clean.add_model("M", reference_id=self.name()))
        run.predict(numbered_boxes(items).assign(confidence=0.5))
        return dataset, run


@contextmanager
def behind_proxy(served: str, folder: Path, kind: str) -> Iterator[FaultyNetwork]:
    with FaultyProxy(served, hide_extensions=kind == "contract") as proxy, npd.NucleusClient(endpoint=served) as clean:
        yield FaultyNetwork(proxy, clean, folder, kind)
    join_workers()


def handle(client: npd.NucleusClient, dataset: npd.Dataset) -> npd.Dataset:
    """The same dataset, for another client."""
    return dataset_handle(client, dataset.id, dataset.name)


def numbered_items(count: int = 12) -> pd.DataFrame:
    names = [f"{number:02}.jpg" for number in range(count)]
    frame = pd.DataFrame({"reference_id": names, "image_url": [f"https://example.org/{name}" for name in names]})
    return frame.assign(metadata=[{"number": number} for number in range(count)])


def numbered_boxes(count: int = 12) -> pd.DataFrame:
    frame = pd.DataFrame({"reference_id": [f"{number % 6:02}.jpg" for number in range(count)], "label": "car"})
    return frame.assign(
        annotation_id=[f"b{number:02}" for number in range(count)], x=range(count), y=1.0, width=10.0, height=20.0
    )


def sound(request: Request) -> None:
    """Break nothing."""


def at(place: int, fault: str) -> Plan:
    """Break one request of all, or every one."""
    count = itertools.count()
    return lambda request: fault if place in (ALWAYS, next(count)) else None


def only(part: str, fault: str) -> Plan:
    """Break the requests whose address holds a text."""
    return lambda request: fault if part in request.target else None


def some(cases: Iterable[T], seed: str, count: int) -> list[T]:
    """Return all cases, or a sample."""
    every = list(cases)
    return every if THOROUGH else random.Random(seed).sample(every, min(count, len(every)))


@contextmanager
def interrupted(proxy: FaultyProxy, after: int) -> Iterator[None]:
    """Press Ctrl+C as soon as so many more requests are at the proxy, and hold that it ends the block at once.

    At once means that no request follows and that none which nobody answers is waited for to its end.
    """
    start = len(proxy.requests)

    def press() -> None:
        wait_for(lambda: len(proxy.requests) >= start + after)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        yield
    assert len(proxy.requests) == start + after
    assert any(one.name.startswith("nucleus_pandas-") for one in threading.enumerate())  # what waits still does
    thread.join(20)
