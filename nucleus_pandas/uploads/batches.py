"""Rows sent in batches, each answered with what became of it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from nucleus_pandas._util.options import shows_progress
from nucleus_pandas._util.threads import workers
from nucleus_pandas.errors import APIError, InvalidInputError, JournalError, NetworkError, TooLargeError
from nucleus_pandas.schema import AnnotationUnits, SendableAnnotations, SendableItems, Units
from nucleus_pandas.transport.multipart import Multipart, UnreadableFileError
from nucleus_pandas.uploads.accounting import Tally
from nucleus_pandas.uploads.jobs import Job
from nucleus_pandas.uploads.journal import content_of
from nucleus_pandas.uploads.options import Options

BATCH = 5_000
IMAGES = 10  # a request
MASKS = 20  # a request to a server that fetches them while it answers
LARGEST_BODY = 48 << 20  # bytes of a JSON body; a larger batch is cut in two
_WRITERS = 2  # threads that write bodies


def cut(
    units: Units, size: int, start: int = 0, *, masks_apart: bool = False, items_whole: bool = False
) -> Iterator[range]:
    """Cut units into batches, in their order; local files, and perhaps masks, go apart from the others.

    With `items_whole` a batch ends where an item does, if it can: of two batches that travel side by side the later may
    arrive first.
    """
    files, count = units.files, len(units)
    masks: Collection[int] = ()
    if masks_apart and isinstance(units, SendableAnnotations):
        masks = units.masks(0, count)

    def most_with(unit: int) -> int:
        return min(size, IMAGES if unit in files else MASKS if unit in masks else size)

    while start < count:
        most = most_with(start)
        stop = min(start + most, count)
        if files or masks:
            kind = start in files, start in masks
            stop = next((unit for unit in range(start, stop) if (unit in files, unit in masks) != kind), stop)
        if items_whole and stop < count:
            stop = _end_of_item(units, start, stop)
        yield range(start, stop)
        start = stop


def _end_of_item(units: Units, start: int, stop: int) -> int:
    """Move the end of a batch back to where an item ends; where it holds one alone, leave it."""
    (following,) = units.keys(stop, stop + 1)
    if units.keys(stop - 1, stop)[0] != following:
        return stop
    keys = units.keys(start, stop)
    return next((start + at + 1 for at in range(len(keys) - 1, -1, -1) if keys[at] != following), stop)


def send_batches(tally: Tally, options: Options, start: int = 0) -> None:
    """Send everything in batches, or what begins with a unit.

    To a server that tells the outcome of every row they go one after the other, since it has one writer; so do items,
    whose order is that of their positions. Others go on up to `max_concurrency` connections.
    """
    transport, kind = tally.target.transport, tally.target.kind
    tells_all = "outcomes" in transport.extensions
    in_turn = tells_all or kind == "items"
    size = options.batch_size or BATCH
    batches = list(cut(tally.checked.units, size, start, masks_apart=not tells_all, items_whole=not in_turn))
    connections = 1 if in_turn else min(transport.max_concurrency, len(batches))
    over_a_socket = transport.folder is None and transport.max_concurrency > 1
    ahead = over_a_socket and len(batches) > 1 and not tally.checked.units.files
    with progress_bar(tally, len(batches), options) as bar:
        if connections == 1 and not ahead:
            for batch in batches:
                (send_masks if batch.start in tally.checked.units.files else send_batch)(tally, batch, options)
                bar(len(batch))
        else:
            _send_at_once(tally, batches, options, connections, bar)


def _send_at_once(
    tally: Tally, batches: Sequence[range], options: Options, connections: int, bar: Callable[[int], object]
) -> None:
    """Send on several connections.

    Bodies are written by few threads and sent by many, for memory's sake: each thread keeps some times the size of
    what it wrote.
    """
    waiting: deque[tuple[range, Future[None]]] = deque()

    def settle() -> None:
        batch, future = waiting.popleft()
        future.result()
        bar(len(batch))

    writing = workers(min(os.cpu_count() or 1, _WRITERS), "nucleus_pandas-write")
    sending = workers(connections, "nucleus_pandas-send")
    with writing as writers, sending as senders:
        for batch in batches:
            if batch.start in tally.checked.units.files:
                waiting.append((batch, senders.submit(send_masks, tally, batch, options)))
            else:
                body = writers.submit(_body, tally, batch, options, {})
                waiting.append((batch, senders.submit(send_batch, tally, batch, options, body.result)))
            if len(waiting) > connections:
                settle()
        while waiting:
            settle()


@contextmanager
def progress_bar(tally: Tally, batches: int, options: Options) -> Iterator[Callable[[int], object]]:
    """Return a function to call with the number of units that were sent."""
    if tally.watch is not None:
        yield tally.watch
        return
    wanted = shows_progress(options.progress)
    if wanted is False or (wanted is None and batches == 1):
        yield lambda sent: None
        return
    from tqdm.auto import tqdm

    disable = None if wanted is None else False  # None: nothing is shown where nobody watches
    with tqdm(total=len(tally.checked.units), desc=tally.target.kind, unit="row", disable=disable) as bar:
        yield bar.update


def send_batch(
    tally: Tally,
    batch: range,
    options: Options,
    write: Callable[[], bytes] | None = None,
    *,
    images: Mapping[int, str] | None = None,
    seal: bytes | None = None,
) -> None:
    """Send a batch; when it fails for good, its rows bear the reason and the other batches go on.

    `write` gives its body where another thread writes it, `images` are the names of those that the server has, and
    `seal` is what the journal knows it by, if not by its body.
    """
    text = cache(write or (lambda: _body(tally, batch, options, images or {})))

    def ask(doubts: list[str]) -> dict[str, Any]:
        if len(text()) > LARGEST_BODY and len(batch) > 1:
            raise TooLargeError("The batch is too large for one request.")
        answer: dict[str, Any] = tally.target.transport.request(
            "POST", *route_of(tally), body=text(), doubts=doubts, shape=dict[str, Any]
        )
        return answer

    def again(part: range) -> None:
        send_batch(tally, part, options, images=images)

    deliver(tally, batch, options, ask, again, text if seal is None else lambda: seal)


def send_masks(tally: Tally, batch: range, options: Options) -> None:
    """Send masks with their files, in one request."""
    units = tally.checked.units

    def rows() -> bytes:
        return _request_of(tally, options, b'"segmentations":[', units.objects(batch.start, batch.stop), b"]")

    def ask(doubts: list[str]) -> dict[str, Any]:
        files = [("mask", units.files[unit], units.files[unit].name) for unit in batch]
        answer: dict[str, Any] = tally.target.transport.request(
            "POST",
            *route_of(tally),
            multipart=Multipart({"serialized_request": rows()}, files),
            doubts=doubts,
            shape=dict[str, Any],
        )
        return answer

    def again(part: range) -> None:
        send_masks(tally, part, options)

    deliver(tally, batch, options, ask, again, lambda: b"\n".join([rows(), states_of(units, batch)]))


def states_of(units: Units, batch: range) -> bytes:
    """Return name, size and time of the files of a batch, by which the journal knows them."""
    states = [(str(units.files[unit]), *_state(units.files[unit])) for unit in batch if unit in units.files]
    return repr(states).encode()


def _state(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError:  # it is refused when it is to be sent
        return 0, 0
    return state.st_size, state.st_mtime_ns


def route_of(tally: Tally) -> tuple[str, ...]:
    """Return the route of the rows: one that tells the outcome of each, where there is one."""
    target = tally.target
    return ("_nucleus_pandas", *target.route) if "outcomes" in target.transport.extensions else target.route


def deliver(
    tally: Tally,
    batch: range,
    options: Options,
    ask: Callable[[list[str]], Mapping[str, Any]],
    again: Callable[[range], None],
    seal: Callable[[], bytes],
) -> None:
    """Send a batch by `ask`, and note what became of it; by `again` its halves, or what is left without a bad file.

    What `seal` gives is what the journal knows it by.
    """
    start, stop = batch.start, batch.stop
    if tally.broken is not None:
        with tally.lock:
            tally.refuse(start, stop, f"Not sent, since an earlier request failed: {tally.broken}")
        return
    doubts: list[str] = []
    content, told, before = b"", None, False
    none_may_exist = options.if_exists == "error"
    try:
        if tally.log is not None:
            content = content_of(seal())
            if tally.recall(start, stop, content):
                return
            before = none_may_exist and tally.log.sending(start, stop, content)
        if options.if_exists == "update":
            tally.replace(start, stop)
        answer = ask(doubts)
        with tally.lock:
            if isinstance(answer.get("job_id"), str):
                job = Job(tally.target.transport, answer["job_id"])
                tally.started(start, stop, job, content, again=bool(doubts))
            else:
                told = tally.answer(start, stop, answer, doubts, none_may_exist=none_may_exist, before=before)
    except TooLargeError as error:
        if len(batch) == 1:
            with tally.lock:
                tally.fail(start, stop, error, doubts)
            return
        middle = (start + stop) // 2
        for half in (range(start, middle), range(middle, stop)):
            again(half)
    except UnreadableFileError as error:
        bad = start + error.number
        with tally.lock:
            tally.refuse(bad, bad + 1, str(error))
        for rest in (range(start, bad), range(bad + 1, stop)):
            if rest:
                again(rest)
    except JournalError:
        raise  # what was sent is stored, but it would not be known the next time
    except (APIError, NetworkError, InvalidInputError, OSError) as error:
        with tally.lock:
            tally.fail(start, stop, error, doubts)
    if told is not None:
        tally.write_down(start, stop, content, told)
        if none_may_exist and not before and not doubts:
            tally.withdraw(start, stop, content)  # lest what others stored is taken for its own the next time


def _body(tally: Tally, batch: range, options: Options, images: Mapping[int, str]) -> bytes:
    units, extensions = tally.checked.units, tally.target.transport.extensions
    columns = None
    if "columns" in extensions and isinstance(units, AnnotationUnits):
        columns = units.columns(batch.start, batch.stop)
    if columns is not None:
        rows: list[bytes | memoryview] = [b'"boxes":', columns]
    else:
        name = b"items" if tally.target.kind == "items" else b"annotations"
        if "outcomes" not in extensions and isinstance(units, SendableAnnotations):
            name = b"segmentations" if units.masks(batch.start, batch.start + 1) else name
        if images and isinstance(units, SendableItems):
            objects: bytes | memoryview = _with_image(units, batch, images)
        else:
            objects = units.objects(batch.start, batch.stop)
        rows = [b'"%b":[' % name, objects, b"]"]
    return _request_of(tally, options, *rows)


def _request_of(tally: Tally, options: Options, *rows: bytes | memoryview) -> bytes:
    """Write a request that holds rows, and says what becomes of those that are there already."""
    update = b"true" if options.if_exists == "update" else b"false"
    refuse = options.if_exists == "error" and "refuse-existing" in tally.target.transport.extensions
    return b"".join([b"{", *rows, b',"update":', update, b',"if_exists":"error"}' if refuse else b"}"])


def _with_image(units: SendableItems, batch: range, images: Mapping[int, str]) -> bytes:
    """Write items as JSON objects, parted by commas, with the names of their images."""
    lines = units.lines(batch.start, batch.stop).splitlines()
    for at, unit in enumerate(batch):
        if unit in images:
            lines[at] = b'%b,"image":%b}' % (lines[at][:-1], msgspec.json.encode(images[unit]))
    return b",".join(lines)
