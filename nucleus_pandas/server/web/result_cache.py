"""What took long to compute, kept as long as what it was computed from is the same."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic, TypeVar

import msgspec

from nucleus_pandas.errors import APIError, ConflictError, MissingExtraError
from nucleus_pandas.server.nucleus import EmbeddedNucleus

log = logging.getLogger("nucleus_pandas.server")

T = TypeVar("T")

_AT_HAND = 16  # results held in memory
_FILES = 400  # results held on the disk
_FAILED_SECONDS = 30.0  # until something that failed is tried again


class Pending(Exception):
    """It is being computed in the background."""


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is to be computed.

    Attributes
    ----------
    subject : str
        Of what: an older answer to the same subject is forgotten. Letters, digits and underscores.
    content : object
        What the answer depends on, as JSON would hold it.
    shape : type
        Of the answer.
    small : bool
        Whether it is computed while somebody waits.
    """

    subject: str
    content: object
    shape: type[T]
    small: bool

    @property
    def key(self) -> str:
        """The name of the answer."""
        seal = blake2b(msgspec.json.encode([self.content, str(self.shape)]), digest_size=12)
        return f"{self.subject}-{seal.hexdigest()}"


class Memory:
    """Answers in memory and in a folder, which may be removed at any time.

    Parameters
    ----------
    nucleus : EmbeddedNucleus
        Whose worker computes what takes long.
    """

    def __init__(self, nucleus: EmbeddedNucleus) -> None:
        self._nucleus = nucleus
        self._folder = nucleus.folder / "page"
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, object] = OrderedDict()
        self._under_way: set[str] = set()
        self._failed: dict[str, tuple[float, str]] = {}

    def answer(self, question: Question[T], compute: Callable[[], T]) -> T:
        """Return an answer that is there, or compute it.

        Raises
        ------
        Pending
            It is being computed in the background.
        ConflictError
            It cannot be computed.
        """
        key = question.key
        found = self._recall(key, question.shape)
        if found is not None:
            return found
        if question.small:
            return self._compute(question, compute)
        with self._lock:
            failed = self._failed.get(key)
            if failed is not None and time.monotonic() - failed[0] < _FAILED_SECONDS:
                raise ConflictError(failed[1])
            if key in self._under_way:
                raise Pending
            self._under_way.add(key)
        self._nucleus.submit(lambda: self._in_background(question, compute))
        raise Pending

    def _in_background(self, question: Question[T], compute: Callable[[], T]) -> None:
        key = question.key
        try:
            self._compute(question, compute)
        except (APIError, MissingExtraError) as error:
            self._failed[key] = (time.monotonic(), str(error))
        except Exception:
            self._failed[key] = (time.monotonic(), "The server failed; its log says why.")
            log.exception("What the page shows of '%s' could not be computed.", question.subject)
        finally:
            with self._lock:
                self._under_way.discard(key)

    def _compute(self, question: Question[T], compute: Callable[[], T]) -> T:
        found = compute()
        self._hold(question.key, found)
        self._write(question, msgspec.json.encode(found))
        return found

    def _recall(self, key: str, shape: type[T]) -> T | None:
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]  # type: ignore[return-value]  # the key is made from the shape too
        try:
            found = msgspec.json.decode((self._folder / f"{key}.json").read_bytes(), type=shape)
        except (OSError, msgspec.MsgspecError):
            return None
        self._hold(key, found)
        return found

    def _hold(self, key: str, found: object) -> None:
        with self._lock:
            self._answers[key] = found
            while len(self._answers) > _AT_HAND:
                self._answers.popitem(last=False)

    def _write(self, question: Question[T], text: bytes) -> None:
        """Keep an answer on the disk, whole or not at all; without a disk it is computed again some day."""
        incoming = self._folder / f"{secrets.token_hex(8)}.incoming"
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            older = [path for path in self._folder.glob(f"{question.subject}-*.json") if path.stem != question.key]
            incoming.write_bytes(text)
            os.replace(incoming, self._folder / f"{question.key}.json")
            every = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in {*older, *every[:-_FILES]}:
                path.unlink(missing_ok=True)
