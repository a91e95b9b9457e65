"""Threads that send requests concurrently, and locks that a fork does not leave locked."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
_Call = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class ForkAware(Protocol):
    """An object whose locks, threads or sockets a forked child cannot use."""

    def renew_in_child(self) -> None:
        """Replace in a forked child what belongs to the parent."""


_fork_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def renew_in_children(thing: ForkAware) -> None:
    """Register an object, so that every forked child calls its `renew_in_child` while the object exists."""
    _fork_aware.add(thing)


def _renew_all() -> None:
    for thing in list(_fork_aware):
        thing.renew_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


class ForkSafeLock:
    """A lock that is open in a forked child, even if another thread held it at the fork.

    It is for what a thread that vanished in the middle leaves usable, such as a cache.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        renew_in_children(self)

    def renew_in_child(self) -> None:
        """Replace the lock."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class Workers:
    """A pool of threads that processes calls in order.

    Unlike those of a ThreadPoolExecutor, the threads are never joined, neither on interrupts nor at interpreter exit: a
    request without a response would block both until its timeout.

    Parameters
    ----------
    count : int
        Number of threads.
    name : str
        Prefix of their names, before a number.
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
        """Schedule a call of a function."""
        future: Future[T] = Future()
        self._calls.put((future, function, arguments))
        return future

    def stop(self) -> None:
        """Start no other call, and end the threads; futures of calls that were not started raise CancelledError."""
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
            del call, future, function, arguments  # the result belongs to the caller


@contextmanager
def workers(count: int, name: str) -> Iterator[Workers]:
    """Return threads that end with the block."""
    pool = Workers(count, name)
    try:
        yield pool
    finally:
        pool.stop()


def side_by_side(function: Callable[[Any], T], values: Iterable[Any], count: int, name: str) -> list[T]:
    """Call a function with each value, several at once, and return the results in order."""
    with workers(count, name) as threads:
        futures = [threads.submit(function, value) for value in values]
        return [future.result() for future in futures]
