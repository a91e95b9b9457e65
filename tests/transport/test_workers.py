"""Threads that send side by side: their order, their number, their end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from nucleus_pandas._util.threads import Workers, side_by_side, workers


class Gate:
    """Holds a call until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def pass_through(self) -> str:
        self.reached.set()
        self.opened.wait(20)
        return "done"


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


def test_what_came_of_it_stands_in_the_order_of_the_values() -> None:
    together = threading.Barrier(3)

    def double(value: int) -> int:
        together.wait(20)  # which three threads reach, or none
        return 2 * value

    assert side_by_side(double, range(9), 3, "test") == [0, 2, 4, 6, 8, 10, 12, 14, 16]


def test_the_first_error_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda value: 1 // value, [1, 0, 2], 2, "test")


def test_calls_that_were_not_begun_are_cancelled_at_the_end(gate: Gate) -> None:
    seen: list[int] = []
    with workers(1, "test") as threads:
        first, second = threads.submit(gate.pass_through), threads.submit(seen.append, 1)
        assert gate.reached.wait(20)
    gate.opened.set()
    assert first.result(20) == "done"
    with pytest.raises(CancelledError):
        second.result(20)
    assert seen == []


def test_the_end_waits_for_nobody_and_the_threads_go(gate: Gate) -> None:
    threads = Workers(2, "test")
    held = threads.submit(gate.pass_through)
    assert gate.reached.wait(20)
    threads.stop()
    assert not held.done()
    gate.opened.set()
    for thread in threads._threads:
        assert thread.daemon
        thread.join(20)
        assert not thread.is_alive()
