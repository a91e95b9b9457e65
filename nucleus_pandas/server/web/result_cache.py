"""Cache of expensive results, invalidated when their inputs change.

The key of a result is a digest of everything that it is computed from, such as the revision of a dataset; a change of
the inputs is a new key, so a result is never wrong and nothing has to be deleted in time. Older results of the same
subject are removed when a new one is written. A key is computed at most once at a time: large ones by the worker of
the store, while every request for them raises `Pending`; one that failed is retried after half a minute. A result is
in memory, on the disk or in both, and removing either costs only time.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic, TypeVar

import msgspec

from nucleus_pandas._util.threads import ForkSafeLock
from nucleus_pandas.errors import APIError, ConflictError, MissingExtraError
from nucleus_pandas.server.nucleus import EmbeddedNucleus

log = logging.getLogger("nucleus_pandas.server")

T = TypeVar("T")

_IN_MEMORY = 16
_ON_DISK = 400
_RETRY_SECONDS = 30.0


class Pending(Exception):
    """The result is being computed in the background."""


@dataclass(frozen=True, slots=True)
class Computation(Generic[T]):
    """A result to compute.

    Attributes
    ----------
    subject : str
        What the result is about, in letters, digits and underscores; it has one result at a time.
    inputs : object
        Everything that the result depends on, as values of JSON.
    result_type : type
        The type of the result.
    is_small : bool
        Whether it is computed while the user waits.
    """

    subject: str
    inputs: object
    result_type: type[T]
    is_small: bool

    @property
    def key(self) -> str:
        """The name of the result."""
        digest = blake2b(msgspec.json.encode([self.inputs, str(self.result_type)]), digest_size=12)
        return f"{self.subject}-{digest.hexdigest()}"


class ResultCache:
    """Results in memory and in a folder, which may be removed at any time.

    Parameters
    ----------
    nucleus : EmbeddedNucleus
        The store; its worker computes large results.
    """

    def __init__(self, nucleus: EmbeddedNucleus) -> None:
        self._nucleus = nucleus
        self._folder = nucleus.folder / "page"
        self._lock = ForkSafeLock()
        self._results: OrderedDict[str, object] = OrderedDict()
        self._running: set[str] = set()
        self._failures: dict[str, tuple[float, str]] = {}

    def get(self, computation: Computation[T], compute: Callable[[], T]) -> T:
        """Return a stored result, or compute it.

        Raises
        ------
        Pending
            It is being computed in the background.
        ConflictError
            It cannot be computed.
        """
        key = computation.key
        result = self._read(key, computation.result_type)
        if result is not None:
            return result
        if computation.is_small:
            return self._compute(computation, compute)
        with self._lock:
            failure = self._failures.get(key)
            if failure is not None and time.monotonic() - failure[0] < _RETRY_SECONDS:
                raise ConflictError(failure[1])
            if key in self._running:
                raise Pending
            self._running.add(key)
        self._nucleus.submit(lambda: self._in_background(computation, compute))
        raise Pending

    def _in_background(self, computation: Computation[T], compute: Callable[[], T]) -> None:
        key = computation.key
        try:
            self._compute(computation, compute)
        except (APIError, MissingExtraError) as error:
            self._failures[key] = (time.monotonic(), str(error))
        except Exception:
            self._failures[key] = (time.monotonic(), "The server failed; see its log for the reason.")
            log.exception("The page could not compute its results for '%s'.", computation.subject)
        finally:
            with self._lock:
                self._running.discard(key)

    def _compute(self, computation: Computation[T], compute: Callable[[], T]) -> T:
        result = compute()
        self._keep(computation.key, result)
        self._write(computation, msgspec.json.encode(result))
        return result

    def _read(self, key: str, result_type: type[T]) -> T | None:
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]  # type: ignore[return-value]  # the key includes the type
        try:
            result = msgspec.json.decode((self._folder / f"{key}.json").read_bytes(), type=result_type)
        except (OSError, msgspec.MsgspecError):
            return None
        self._keep(key, result)
        return result

    def _keep(self, key: str, result: object) -> None:
        with self._lock:
            self._results[key] = result
            while len(self._results) > _IN_MEMORY:
                self._results.popitem(last=False)

    def _write(self, computation: Computation[T], content: bytes) -> None:
        """Write a result to the disk, whole or not at all; if the disk fails it is computed again some day."""
        subject, key = computation.subject, computation.key
        incoming = self._folder / f"{secrets.token_hex(8)}.incoming"
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            outdated = [path for path in self._folder.glob(f"{subject}-*.json") if path.stem != key]
            incoming.write_bytes(content)
            os.replace(incoming, self._folder / f"{key}.json")
            by_age = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in {*outdated, *by_age[:-_ON_DISK]}:
                path.unlink(missing_ok=True)
