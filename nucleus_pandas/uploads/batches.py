"""An upload, and the batches that it is sent in."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from nucleus_pandas._util.options import new_bar, shows_progress
from nucleus_pandas._util.threads import workers
from nucleus_pandas.errors import APIError, InvalidInputError, JournalError, NetworkError, TooLargeError
from nucleus_pandas.schema import AnnotationUnits, Checked, SendableAnnotations, Units
from nucleus_pandas.schema.checked_rows import SourceRows
from nucleus_pandas.transport.multipart import Multipart, UnreadableFileError
from nucleus_pandas.uploads.jobs import Job
from nucleus_pandas.uploads.journal import PartJournal, request_key
from nucleus_pandas.uploads.options import Options, Target
from nucleus_pandas.uploads.outcomes import RowOutcomes
from nucleus_pandas.uploads.results import UploadResult

BATCH = 5_000
IMAGES = 10  # per request
MASKS = 20  # per request to a server that fetches them while it answers
LARGEST_BODY = 48 << 20  # bytes of a JSON body; a larger batch is split
_WRITERS = 2  # threads that write bodies
_MAYBE = "It may be stored nevertheless."
_OF_BATCH = (400, 413, 422)  # errors of one batch, which the next one need not meet

UnitsT_co = TypeVar("UnitsT_co", bound=Units, covariant=True)


class Upload(Generic[UnitsT_co]):
    """Checked rows on their way to a target.

    Attributes
    ----------
    outcomes : RowOutcomes
        The outcome of every unit so far.

    Parameters
    ----------
    journal : PartJournal, optional
        Records answers, so that the same upload can resume.
    watch : callable, optional
        Is called with numbers of units that were sent, instead of a progress bar.
    """

    def __init__(
        self,
        target: Target,
        options: Options,
        source: SourceRows,
        checked: Checked[UnitsT_co],
        *,
        journal: PartJournal | None = None,
        watch: Callable[[int], object] | None = None,
    ) -> None:
        self.target = target
        self.options = options
        self.source = source
        self.checked = checked
        self.journal = journal
        self.watch = watch
        self.outcomes = RowOutcomes(target.kind, checked, journal, none_may_exist=options.if_exists == "error")

    @property
    def units(self) -> UnitsT_co:
        """What is sent."""
        return self.checked.units

    @property
    def extensions(self) -> Collection[str]:
        """The extensions of the server."""
        return self.target.transport.extensions

    @property
    def route(self) -> tuple[str, ...]:
        """The route of the rows: the one that answers with the outcome of each, if the server has it."""
        return ("_nucleus_pandas", *self.target.route) if "outcomes" in self.extensions else self.target.route

    @property
    def params(self) -> dict[str, object] | None:
        """The query of the next request: where this update began."""
        return None if self.outcomes.since is None else {"since": self.outcomes.since}

    @property
    def replaces(self) -> bool:
        """True if rows that exist are replaced."""
        return self.options.if_exists in ("update", "replace")

    @property
    def rejects_existing(self) -> bool:
        """True if the server is asked to reject rows that exist."""
        return self.options.if_exists == "error" and "refuse-existing" in self.extensions

    def fail(self, units: range, error: Exception, doubts: Sequence[str] = ()) -> None:
        """Record that a request failed for good; with doubts its rows may be stored nevertheless.

        Nothing more is sent if the next request would fail too. A 500 may be due to this batch alone, but an upload
        that resumes by its journal in the order of its rows stops there.
        """
        self.outcomes.reject(units, f"{error} {_MAYBE}" if doubts else str(error), doubtful=bool(doubts))
        if isinstance(error, APIError):
            in_order = self.journal is not None and "outcomes" in self.extensions
            if error.status_code in _OF_BATCH or (error.status_code == 500 and not in_order):
                return
        if isinstance(error, (APIError, NetworkError)):
            self.outcomes.abort(error)

    def wait_for_jobs(self) -> None:
        """Wait until all jobs have ended; send nothing more if the server does not say how they ended."""
        if self.outcomes.jobs and self.outcomes.failure is None:
            try:
                self.outcomes.wait()
            except (APIError, NetworkError) as error:
                self.outcomes.abort(error)  # what is sent now could overtake the jobs

    def result(self, wait: Callable[[float | None], UploadResult] | None = None) -> UploadResult:
        """Return the outcome of every row of the source."""
        outcomes = self.outcomes
        statuses, errors = outcomes.by_row()
        return UploadResult(
            self.target.kind,
            self.source,
            statuses,
            errors=errors,
            counts=outcomes.totals(),
            context={**({"model_run_id": outcomes.run_id} if outcomes.run_id else {}), **self.target.context},
            unused_columns=self.checked.unused,
            jobs=[started.job for started in outcomes.jobs],
            wait=wait,
        )


@dataclass(eq=False)
class Batch(Generic[UnitsT_co]):
    """Some units of an upload, sent in one JSON request.

    `send` returns when every unit of the batch has exactly one outcome, and in this order:

    1. A batch whose key the journal knows takes its outcome from there, and nothing is sent.
    2. Where nothing may exist, the key is recorded before the request is sent. If the connection or this process breaks
       then, the next upload knows that rows which exist may be its own.
    3. The answer is recorded in `RowOutcomes`, and after that in the journal, if all rows are stored.

    A batch that is too large (413, or by the size of its body) or has an unreadable file is split, and its parts go the
    same way on their own: halves, or what is before and behind the unit of that file, which is an error. Other failures
    are the outcome of all its units. Attempts that the server may have acted on although no answer said so (`doubts`)
    make that outcome doubtful.
    """

    upload: Upload[UnitsT_co]
    units: range
    _body: bytes | None = field(default=None, init=False, repr=False)

    def body(self) -> bytes:
        """Return the body of the request, which is written once."""
        if self._body is None:
            self._body = self.write()
        return self._body

    def write(self) -> bytes:
        """Write the body of the request."""
        units, extensions = self.upload.units, self.upload.extensions
        start, stop = self.units.start, self.units.stop
        if isinstance(units, AnnotationUnits) and "columns" in extensions:
            columns = units.columns(start, stop)
            if columns is not None:
                return self.write_request(b'"boxes":', columns)
        name = b"items" if self.upload.target.kind == "items" else b"annotations"
        if "outcomes" not in extensions and isinstance(units, SendableAnnotations) and units.masks(start, start + 1):
            name = b"segmentations"
        return self.write_request(b'"%b":[' % name, self.objects(), b"]")

    def objects(self) -> bytes | memoryview:
        """Write the units as JSON objects, separated by commas."""
        return self.upload.units.objects(self.units.start, self.units.stop)

    def write_request(self, *rows: bytes | memoryview) -> bytes:
        """Write a request that holds rows, and says what to do with those that exist."""
        update = b"true" if self.upload.replaces else b"false"
        end = b',"if_exists":"error"}' if self.upload.rejects_existing else b"}"
        return b"".join([b"{", *rows, b',"update":', update, end])

    def request(self, doubts: list[str]) -> dict[str, Any]:
        """Send the request and return the answer.

        Parameters
        ----------
        doubts : list of str
            Receives the reason of every attempt that the server may have acted on although no answer said so.
        """
        if len(self.body()) > LARGEST_BODY and self.halves():
            raise TooLargeError("The batch is too large for one request.")
        return self.post(doubts, body=self.body())

    def post(self, doubts: list[str], **content: Any) -> dict[str, Any]:
        """Send a request with this content to the route of the rows."""
        answer: dict[str, Any] = self.upload.target.transport.request(
            "POST",
            *self.upload.route,
            doubts=doubts,
            shape=dict[str, Any],
            **{"params": self.upload.params, **content},
        )
        return answer

    def split(self, unit: int, *, leave_out: int = 0) -> list[Self]:
        """Split the batch before a unit, leaving out that unit if asked to."""
        parts = range(self.units.start, unit), range(unit + leave_out, self.units.stop)
        return [self.part(part) for part in parts if part]

    def halves(self) -> list[Self]:
        """Split the batch in two, if it can be."""
        return [] if len(self.units) == 1 else self.split((self.units.start + self.units.stop) // 2)

    def part(self, units: range) -> Self:
        """Return a batch of some of the units."""
        return replace(self, units=units)

    def journal_key(self) -> bytes:
        """Return the identity of the batch in the journal: its body."""
        return self.body()

    def file_states(self) -> bytes:
        """Return name, size and time of the local files, which identify them in the journal."""
        files = self.upload.units.files
        return repr([(str(files[unit]), *file_state(files[unit])) for unit in self.units if unit in files]).encode()

    def send(self) -> None:
        """Send the batch and record the outcome of every unit; other batches continue if it fails."""
        upload, units, doubts = self.upload, self.units, list[str]()
        if (reason := upload.outcomes.unsent_reason) is not None:
            upload.outcomes.reject(units, reason)
            return
        try:
            self._deliver(doubts)
        except JournalError:
            raise  # rows may be stored that the journal would not know
        except TooLargeError as error:
            halves = self.halves()
            if not halves:
                upload.fail(units, error, doubts)
            for half in halves:
                half.send()
        except UnreadableFileError as error:
            unit = units.start + error.number
            upload.outcomes.reject(range(unit, unit + 1), str(error))
            for part in self.split(unit, leave_out=1):
                part.send()
        except (APIError, NetworkError, InvalidInputError, OSError) as error:
            upload.fail(units, error, doubts)

    def _deliver(self, doubts: list[str]) -> None:
        outcomes, journal, units = self.upload.outcomes, self.upload.journal, self.units
        key, was_sent = b"", False
        if journal is not None:
            key = request_key(self.journal_key())
            if outcomes.recall(units, key):
                return
            if outcomes.none_may_exist:
                was_sent = journal.mark_in_flight(units.start, units.stop, key)
            if self.upload.replaces:
                journal.forget(units.start, units.stop)
        answer = self.request(doubts)
        if isinstance(job_id := answer.get("job_id"), str):
            outcomes.start_job(Job(self.upload.target.transport, job_id), units, key, is_retry=bool(doubts))
        else:
            outcomes.record(units, answer, key, doubts, was_sent=was_sent)


class MaskFilesBatch(Batch[Units]):
    """Masks that are sent with their files, in one multipart request."""

    def write(self) -> bytes:
        """Write the part that describes the masks."""
        return self.write_request(b'"segmentations":[', self.objects(), b"]")

    def request(self, doubts: list[str]) -> dict[str, Any]:
        """Send the masks with their files, and return the answer."""
        files = self.upload.units.files
        parts = [("mask", files[unit], files[unit].name) for unit in self.units]
        return self.post(doubts, multipart=Multipart({"serialized_request": self.body()}, parts))

    def journal_key(self) -> bytes:
        """Return the identity of the batch in the journal: its rows and its files."""
        return b"\n".join([self.body(), self.file_states()])


def cut(
    units: Units, size: int, start: int = 0, *, masks_apart: bool = False, items_whole: bool = False
) -> Iterator[range]:
    """Cut units into batches, in order; those with local files, and masks if asked to, are apart from the others.

    With `items_whole` a batch ends where an item does, if possible: of two batches on different connections the later
    one may arrive first.
    """
    files, count = units.files, len(units)
    masks: Collection[int] = ()
    if masks_apart and isinstance(units, SendableAnnotations):
        masks = units.masks(0, count)

    while start < count:
        most = min(size, IMAGES if start in files else MASKS if start in masks else size)
        stop = min(start + most, count)
        if files or masks:
            first = start in files, start in masks
            stop = next((unit for unit in range(start, stop) if (unit in files, unit in masks) != first), stop)
        if items_whole and stop < count:
            stop = _end_of_item(units, start, stop)
        yield range(start, stop)
        start = stop


def _end_of_item(units: Units, start: int, stop: int) -> int:
    """Move the end of a batch back to the end of an item, unless the batch has only one."""
    (following,) = units.keys(stop, stop + 1)
    if units.keys(stop - 1, stop)[0] != following:
        return stop
    keys = units.keys(start, stop)
    return next((start + offset + 1 for offset in range(len(keys) - 1, -1, -1) if keys[offset] != following), stop)


def send_batches(upload: Upload[Units]) -> None:
    """Send everything in batches.

    A server that answers with the outcome of every row has one writer, so it gets them one after the other; so do items
    everywhere, whose order is that of their positions. Other batches use up to `max_concurrency` connections.
    """
    transport, units = upload.target.transport, upload.units
    has_outcomes = "outcomes" in upload.extensions
    in_turn = has_outcomes or upload.target.kind == "items"
    size = upload.options.batch_size or BATCH
    parts = list(cut(units, size, masks_apart=not has_outcomes, items_whole=not in_turn))
    # one by one, as bodies are freed with their batches
    batches = (MaskFilesBatch(upload, part) if part.start in units.files else Batch(upload, part) for part in parts)
    connections = 1 if in_turn else min(transport.max_concurrency, len(parts))
    is_over_socket = transport.folder is None and transport.max_concurrency > 1
    with progress_bar(upload, len(parts)) as advance:
        if connections > 1 or (is_over_socket and len(parts) > 1 and not units.files):
            _send_concurrently(batches, connections, advance)
            return
        for batch in batches:
            batch.send()
            advance(len(batch.units))


def _send_concurrently(batches: Iterable[Batch[Units]], connections: int, advance: Callable[[int], object]) -> None:
    """Send on several connections.

    Bodies are written by few threads and sent by many, to save memory: each thread keeps several times the size of
    what it wrote. Not more bodies than connections are ahead of the oldest batch that has no answer.
    """
    pending: deque[tuple[int, Future[None]]] = deque()

    def settle() -> None:
        count, future = pending.popleft()
        future.result()
        advance(count)

    writing = workers(min(os.cpu_count() or 1, _WRITERS), "nucleus_pandas-write")
    sending = workers(connections, "nucleus_pandas-send")
    with writing as writers, sending as senders:
        for batch in batches:
            pending.append((len(batch.units), senders.submit(_send_written, batch, writers.submit(batch.body))))
            if len(pending) > connections:
                settle()
        while pending:
            settle()


def _send_written(batch: Batch[Units], body: Future[bytes]) -> None:
    body.exception()  # waits; the batch meets it again when it asks for its body
    batch.send()


@contextmanager
def progress_bar(upload: Upload[Units], batches: int) -> Iterator[Callable[[int], object]]:
    """Return a function to call with the number of units that were sent."""
    if upload.watch is not None:
        yield upload.watch
        return
    is_shown = shows_progress(upload.options.progress)
    if is_shown is False or (is_shown is None and batches == 1):
        yield lambda sent: None
        return
    with new_bar(is_shown, len(upload.units), upload.target.kind) as bar:
        yield bar.update


def file_state(path: Path) -> tuple[int, int]:
    """Return the size and the time of a file; zeros if it does not exist any more."""
    try:
        state = path.stat()
    except OSError:  # which is reported when it is to be sent
        return 0, 0
    return state.st_size, state.st_mtime_ns
