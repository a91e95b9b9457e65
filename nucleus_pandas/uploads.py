"""Checked rows on their way to the server: sent in batches, accounted for one by one."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec import Struct

from nucleus_pandas.checks import Layout, Rows, look_at
from nucleus_pandas.columns import NOT_SENT, Checked, label_of
from nucleus_pandas.errors import (
    AlreadyExistsError,
    APIError,
    InvalidInputError,
    NetworkError,
    TooLargeError,
    UnsupportedError,
    UploadError,
)
from nucleus_pandas.results import (
    ACCEPTED,
    COUNTERS,
    ERROR,
    IGNORED,
    SKIPPED,
    STATUSES,
    UNSENT,
    Kind,
    Source,
    UploadResult,
)
from nucleus_pandas.transport import Multipart, Transport
from nucleus_pandas.wire import AnnotationCounters, Counters, PredictionCounters, convert

IfExists: TypeAlias = Literal["skip", "update", "error"]
OnError: TypeAlias = Literal["raise", "collect"]

BATCH = 5_000
PICTURES = 10  # a request
LARGEST_BODY = 48 << 20  # bytes of a JSON body; a larger batch is cut in two
_WRITERS = 2  # threads that write bodies
_SHOWN = 5  # refused rows in an error's text
_EXISTS = "exists already, and if_exists='error' lets nothing be overwritten or skipped."

_ANSWERS: dict[Kind, type[Struct]] = {
    "items": Counters,
    "annotations": AnnotationCounters,
    "predictions": PredictionCounters,
}


@dataclass(frozen=True)
class Target:
    """Where rows go: the contract's route, and what the result tells besides."""

    kind: Kind
    transport: Transport
    route: tuple[str, ...]
    context: Mapping[str, Any]


@dataclass(frozen=True)
class Options:
    """How rows are sent.

    Raises
    ------
    InvalidInputError
        One of them is none of what may be.
    """

    if_exists: IfExists = "skip"
    on_error: OnError = "raise"
    batch_size: int | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        for name, choices in (("if_exists", get_args(IfExists)), ("on_error", get_args(OnError))):
            if getattr(self, name) not in choices:
                allowed = " or ".join(map(repr, choices))
                raise InvalidInputError(f"{name} is {allowed}, not {getattr(self, name)!r}.")
        size = self.batch_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise InvalidInputError(f"batch_size is a whole number, at least 1, not {size!r}.")
        if self.progress is not None and not isinstance(self.progress, bool):
            raise InvalidInputError(f"progress is True, False or None, not {self.progress!r}.")


class _Tally:
    """Collects the outcome of every unit while batches come back, from several threads."""

    def __init__(self, target: Target, source: Source, checked: Checked) -> None:
        self.target = target
        self.source = source
        self.checked = checked
        self.statuses = np.full(len(checked.units), UNSENT, dtype=np.int8)
        self.errors: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.existing = 0
        self.broken: Exception | None = None  # why nothing more is sent
        self.notes: list[str] = []  # of refusals that no row can be blamed for
        self.lock = threading.Lock()

    def refuse(self, start: int, stop: int, reason: str) -> None:
        self.statuses[start:stop] = ERROR
        self.errors.update(dict.fromkeys(range(start, stop), reason))

    def answer(self, start: int, stop: int, answer: Mapping[str, Any], *, none_may_exist: bool) -> None:
        """Note the answer to a batch."""
        if "outcomes" in answer:
            at = start
            for outcome, count in answer["outcomes"]:
                self.existing += count if outcome == "exists" else 0
                self.statuses[at : at + count] = ERROR if outcome == "exists" else STATUSES.index(outcome)
                at += count
            self.errors.update((start + number, reason) for number, reason in answer["row_errors"])
            return
        kind = self.target.kind
        counters = msgspec.to_builtins(convert(answer, _ANSWERS[kind], "The server's answer"))
        counts = {name: counters.get(name, 0) for name in COUNTERS[kind]}
        self._count(start, stop, counts, counters.get("errors") or [])
        ignored = sum(count for name, count in counts.items() if name.endswith("_ignored") or name == "ignored_items")
        if none_may_exist and ignored:
            self.existing += ignored
            rows = slice(start, stop)
            if (self.statuses[rows] == IGNORED).all():
                self.refuse(start, stop, _EXISTS)
            else:
                self.notes.append(f"{ignored} of the {stop - start} rows of a batch {_EXISTS}")

    def _count(self, start: int, stop: int, counts: Mapping[str, int], reasons: Sequence[str]) -> None:
        """Note what a server says that only counts: its rows are told apart where all met the same."""
        size = stop - start
        lost = size - sum(counts.values()) + counts.get("upload_errors", 0)
        same = [codes[-1] for name, codes in COUNTERS[self.target.kind].items() if counts[name] == size]
        if same and not lost:
            self.statuses[start:stop] = same[0]
            return
        self.counts.update(counts)
        self.counts["upload_errors"] -= counts.get("upload_errors", 0) if lost == size else 0
        self.statuses[start:stop] = ACCEPTED
        if lost == size:
            said = "; ".join(reasons[:_SHOWN]) or "The server did not store it, and did not say why."
            self.refuse(start, stop, said)
        elif lost:
            said = f" It says: {'; '.join(reasons[:_SHOWN])}" if reasons else ""
            self.notes.append(f"Of {size} rows that were sent together the server stored {size - lost}.{said}")

    def result(self) -> UploadResult:
        problems, unit_of_row = self.checked.problems, self.checked.unit_of_row
        has_unit = unit_of_row != NOT_SENT
        statuses: npt.NDArray[np.int8] = np.where(problems.bad, ERROR, SKIPPED).astype(np.int8)
        statuses[has_unit] = self.statuses[unit_of_row[has_unit]]
        errors = problems.reasons()
        if self.errors:
            for row in np.flatnonzero(statuses == ERROR).tolist():
                if has_unit[row]:
                    errors[row] = self.errors[int(unit_of_row[row])]
        counted = np.bincount(self.statuses, minlength=len(STATUSES))
        counted[ERROR] += int(problems.bad.sum())
        counts = {
            name: self.counts[name] + int(sum(counted[code] for code in codes))
            for name, codes in COUNTERS[self.target.kind].items()
        }
        return UploadResult(
            self.target.kind, self.source, statuses, errors=errors, counts=counts, context=self.target.context
        )


def upload(target: Target, rows: Rows, layout: Layout, options: Options, *, local: bool = False) -> UploadResult:
    """Look at rows, and send them."""
    source, checked = look_at(target.kind, rows, layout, local=local)
    return send(target, source, checked, options)


def send(target: Target, source: Source, checked: Checked, options: Options) -> UploadResult:
    """Send what was checked.

    To a server that tells the outcome of every row, batches go one after the other, since it has one writer; to others
    annotations and predictions go on up to `max_concurrency` connections.

    Raises
    ------
    InvalidInputError
        Rows were refused by the check, and nothing was sent.
    UploadError
        Rows were refused by the server, while the others are stored.
    """
    tally = _Tally(target, source, checked)
    if checked.problems.bad.any() and options.on_error == "raise":
        raise InvalidInputError(
            f"{_refused_text(tally)}\nNothing was sent. on_error='collect' sends the other rows.",
            tally.result(),
            checked.problems.frame(),
        )
    batches = list(_batches(checked, options.batch_size or BATCH))
    if batches:
        _send_batches(tally, batches, options)
    return _finish(tally, options)


def _batches(checked: Checked, size: int) -> Iterator[range]:
    """Cut the units into batches, in their order; pictures of this machine go apart from the others."""
    files, count = checked.units.files, len(checked.units)
    start = 0
    while start < count:
        has_file = start in files
        stop = min(start + (min(size, PICTURES) if has_file else size), count)
        if files:
            stop = next((unit for unit in range(start, stop) if (unit in files) != has_file), stop)
        yield range(start, stop)
        start = stop


def _send_batches(tally: _Tally, batches: Sequence[range], options: Options) -> None:
    transport, kind = tally.target.transport, tally.target.kind
    tells_outcomes = "outcomes" in transport.extensions
    workers = 1 if tells_outcomes or kind == "items" else min(transport.max_concurrency, len(batches))
    with _bar(tally, len(batches), options) as bar:
        if workers == 1:
            for batch in batches:
                _send_batch(tally, batch, options, partial(_body, tally, batch, options))
                bar(len(batch))
        else:
            _send_at_once(tally, batches, options, workers, bar)


def _send_at_once(
    tally: _Tally, batches: Sequence[range], options: Options, workers: int, bar: Callable[[int], object]
) -> None:
    """Send on several connections.

    Bodies are written by few threads and sent by many, for memory's sake: each thread keeps some times the size of
    what it wrote.
    """
    writers = ThreadPoolExecutor(min(os.cpu_count() or 1, _WRITERS), thread_name_prefix="nucleus_pandas-write")
    senders = ThreadPoolExecutor(workers, thread_name_prefix="nucleus_pandas-send")
    waiting: deque[tuple[range, Future[None]]] = deque()

    def settle() -> None:
        batch, future = waiting.popleft()
        future.result()
        bar(len(batch))

    try:
        for batch in batches:
            body = writers.submit(_body, tally, batch, options)
            waiting.append((batch, senders.submit(_send_batch, tally, batch, options, body.result)))
            if len(waiting) > workers:
                settle()
        while waiting:
            settle()
    finally:
        for pool in (writers, senders):
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _bar(tally: _Tally, batches: int, options: Options) -> Iterator[Callable[[int], object]]:
    """Give a function to call with the number of units that were sent."""
    if options.progress is False or (options.progress is None and batches == 1):
        yield lambda sent: None
        return
    from tqdm.auto import tqdm

    disable = None if options.progress is None else False  # None: nothing is shown where nobody watches
    with tqdm(total=len(tally.checked.units), desc=tally.target.kind, unit="row", disable=disable) as bar:
        yield bar.update


def _send_batch(tally: _Tally, batch: range, options: Options, write: Callable[[], bytes]) -> None:
    """Send a batch; when it fails for good, its rows bear the reason and the other batches go on.

    `write` gives its body, which is not asked for where pictures go along.
    """
    start, stop = batch.start, batch.stop
    target = tally.target
    if tally.broken is not None:
        with tally.lock:
            tally.refuse(start, stop, f"Not sent, since an earlier request failed: {tally.broken}")
        return
    try:
        extensions = target.transport.extensions
        route = ("_nucleus_pandas", *target.route) if "outcomes" in extensions else target.route
        if start in tally.checked.units.files:
            answer = target.transport.request("POST", *route, multipart=_pictures(tally, batch, options))
        else:
            body = write()
            if len(body) > LARGEST_BODY and len(batch) > 1:
                raise TooLargeError("The batch is too large for one request.")
            answer = target.transport.request("POST", *route, body=body)
        if not isinstance(answer, Mapping) or "job_id" in answer:
            raise UnsupportedError(
                "The server took the rows as a job, whose outcome this version of nucleus_pandas cannot follow yet."
            )
        with tally.lock:
            tally.answer(start, stop, answer, none_may_exist=options.if_exists == "error")
    except TooLargeError as error:
        if len(batch) == 1:
            with tally.lock:
                tally.refuse(start, stop, str(error))
            return
        middle = (start + stop) // 2
        for half in (range(start, middle), range(middle, stop)):
            _send_batch(tally, half, options, partial(_body, tally, half, options))
    except (APIError, NetworkError, OSError) as error:
        with tally.lock:
            tally.refuse(start, stop, str(error))
            lasting = isinstance(error, APIError) and error.status_code in (401, 403, 404, 409, 501)
            if lasting or isinstance(error, NetworkError):
                tally.broken = error  # the next batch would meet the same


def _body(tally: _Tally, batch: range, options: Options) -> bytes:
    units, extensions = tally.checked.units, tally.target.transport.extensions
    columns = units.columns(batch.start, batch.stop) if "columns" in extensions else None
    if columns is not None:
        rows: list[bytes | memoryview] = [b'{"boxes":', columns]
    else:
        name = b"items" if tally.target.kind == "items" else b"annotations"
        rows = [b'{"%b":[' % name, units.objects(batch.start, batch.stop), b"]"]
    update = b"true" if options.if_exists == "update" else b"false"
    refuse = options.if_exists == "error" and "refuse-existing" in extensions
    return b"".join([*rows, b',"update":', update, b',"if_exists":"error"}' if refuse else b"}"])


def _pictures(tally: _Tally, batch: range, options: Options) -> Multipart:
    units = tally.checked.units
    text = units.pictures(batch.start, batch.stop, update=options.if_exists == "update")
    fields = {"items": text}
    if options.if_exists == "error" and "refuse-existing" in tally.target.transport.extensions:
        fields["if_exists"] = b"error"
    return Multipart(fields, [("image", units.files[unit], units.files[unit].name) for unit in batch])


def _finish(tally: _Tally, options: Options) -> UploadResult:
    result = tally.result()
    failed = bool(tally.errors or tally.notes or tally.existing or tally.checked.problems.bad.any())
    if options.on_error == "collect" or not failed:
        return result
    stored = bool(((tally.statuses != ERROR) & (tally.statuses != UNSENT)).any())
    if isinstance(tally.broken, APIError) and not stored:
        raise tally.broken  # every row would bear the same reason
    if isinstance(tally.broken, NetworkError):
        outcome = "What the request without an answer held may be stored; sending it again stores nothing twice"
    else:
        outcome = "The other rows are stored" if stored else "No row is stored"
    text = f"{_refused_text(tally)}\n{outcome}; .result tells of each."
    if tally.existing:
        raise AlreadyExistsError(text, result)
    raise UploadError(text, result)


def _refused_text(tally: _Tally) -> str:
    lines = list(tally.notes)
    source = tally.source
    index = source.index if isinstance(source, pd.DataFrame) else pd.RangeIndex(len(source))
    first = _first_reasons(tally)
    refused = int(tally.checked.problems.bad.sum()) + _refused_rows(tally)
    if refused:
        lines.append(f"{refused} of {len(source)} rows are refused:")
    lines += [f"  {label_of(index, row)}: {reason}" for row, reason in first[:_SHOWN]]
    if refused > _SHOWN:
        lines.append(f"  … and {refused - _SHOWN} more")
    return "\n".join(lines)


def _refused_rows(tally: _Tally) -> int:
    unit_of_row = tally.checked.unit_of_row
    has_unit = unit_of_row != NOT_SENT
    return int((tally.statuses[unit_of_row[has_unit]] == ERROR).sum()) if len(tally.statuses) else 0


def _first_reasons(tally: _Tally) -> list[tuple[int, str]]:
    found = dict(list(tally.checked.problems.reasons().items())[:_SHOWN])
    if tally.errors:
        unit_of_row = tally.checked.unit_of_row
        refused = np.zeros(len(tally.statuses) + 1, dtype=bool)
        refused[list(tally.errors)] = True
        for row in np.flatnonzero(refused[unit_of_row])[:_SHOWN].tolist():
            found[row] = tally.errors[int(unit_of_row[row])]
    return sorted(found.items())
