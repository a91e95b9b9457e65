"""Waiting for what others do, with an end to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from nucleus_pandas.server.nucleus import EmbeddedNucleus


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until a condition holds; fail where it takes too long."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def finish_work(nucleus: EmbeddedNucleus) -> None:
    """Wait until an embedded Nucleus has done what it does beside answering."""
    done = threading.Event()
    nucleus.submit(done.set)
    assert done.wait(60)


def join_workers() -> None:
    """Wait for what the client still sends after it was interrupted, lest another test meets it."""
    for thread in threading.enumerate():
        if thread.name.startswith("nucleus_pandas-"):
            thread.join(timeout=20)
            assert not thread.is_alive()
