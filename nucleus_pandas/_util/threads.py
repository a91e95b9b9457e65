"""Threads that send requests side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Call = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Workers:
    """A few threads that work through calls, in order.

    Unlike those of a ThreadPoolExecutor they are never waited for, neither by who is interrupted nor by an interpreter
    that ends: a request without an answer would hold both until its time is up.

    Parameters
    ----------
    count : int
        How many threads.
    name : str
        What they are called, beside a number.
    """

    def __init__(self, count: int, name: str) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Have a function called."""
        future: Future[T] = Future()
        self._calls.put((future, function, arguments))
        return future

    def stop(self) -> None:
        """Begin no other call, and let the threads end; who waits for one that was not begun gets CancelledError."""
        self._stopped = True
        for _ in self._threads:
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function, arguments = call
            if self._stopped:
                future.cancel()
            else:
                try:
                    future.set_result(function(*arguments))
                except BaseException as error:
                    future.set_exception(error)
            del call, future, function, arguments  # what came of it belongs to who asked


@contextmanager
def workers(count: int, name: str) -> Iterator[Workers]:
    """Return threads that end with the block."""
    made = Workers(count, name)
    try:
        yield made
    finally:
        made.stop()


def side_by_side(function: Callable[[Any], T], values: Iterable[Any], count: int, name: str) -> list[T]:
    """Call a function with each value, several at once, and return what came of it in their order."""
    with workers(count, name) as threads:
        futures = [threads.submit(function, value) for value in values]
        return [future.result() for future in futures]
