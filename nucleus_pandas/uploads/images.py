"""Items whose images are local files.

To a server that takes images before their items, as an embedded Nucleus does, files travel side by side, and the
items are appended behind them in their order. To others a request holds ten items with their files; requests travel
side by side too, and the server orders the items as they arrive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from nucleus_pandas._util.threads import Workers, workers
from nucleus_pandas.errors import APIError, InvalidInputError, NetworkError, ServerError, TooLargeError
from nucleus_pandas.schema import SendableItems, Units
from nucleus_pandas.transport.multipart import Multipart, UnreadableFileError
from nucleus_pandas.uploads.accounting import Tally
from nucleus_pandas.uploads.batches import BATCH, cut, deliver, progress_bar, route_of, send_batch, states_of
from nucleus_pandas.uploads.journal import content_of
from nucleus_pandas.uploads.options import Options
from nucleus_pandas.wire.bulk import FILES, ReceivedImages

_FILES = FILES // 2  # a request
_BYTES = 4 << 20  # a request, unless one file is larger
_BATCH_FILES = 256
_BATCH_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Begun:
    """A batch on its way: requests that run, and what is to be done in its turn."""

    batch: range
    requests: Sequence[Future[Any]]
    end: Callable[[], object]


def send_items(tally: Tally, options: Options, start: int = 0) -> None:
    """Send items in batches, or what begins with one; some have files."""
    units = tally.checked.units
    size = options.batch_size or BATCH
    with progress_bar(tally, -(-(len(units) - start) // _FILES), options) as bar:
        if "images" in tally.target.transport.extensions:
            send_images(tally, _cut(units, size, start), options, bar)
            return
        for has_files, batches in groupby(cut(units, size, start), lambda batch: batch.start in units.files):
            if has_files:
                send_images(tally, batches, options, bar)
            else:
                for batch in batches:
                    send_batch(tally, batch, options)
                    bar(len(batch))


def send_images(tally: Tally, batches: Iterable[range], options: Options, bar: Callable[[int], object]) -> None:
    """Send batches of items with their files, on as many connections as there may be.

    Files run ahead of the oldest batch whose items are not stored by about a request a connection, and no more.
    """
    transport = tally.target.transport
    ahead = "images" in transport.extensions
    connections = transport.max_concurrency if ahead or "outcomes" not in transport.extensions else 1
    begun: deque[Begun] = deque()
    # Where files run ahead one connection is left to items; where there is but one, it takes turns.
    senders = min(max(1, connections - ahead), len(tally.checked.units.files))
    with workers(senders, "nucleus_pandas-images") as threads:

        def settle() -> None:
            oldest = begun.popleft()
            if connections == 1:
                threads.submit(oldest.end).result()
            else:
                oldest.end()
            bar(len(oldest.batch))

        for batch in batches:
            begun.append(begin(tally, batch, options, threads))
            while sum(map(_weight, begun)) - _weight(begun[0]) >= connections:
                settle()
        while begun:
            settle()


def _weight(begun: Begun) -> int:
    return max(1, len(begun.requests))  # addresses without files wait for their turn too


def begin(tally: Tally, batch: range, options: Options, threads: Workers) -> Begun:
    """Begin to send a batch of items with their files; its end has to be called when those before it have ended."""
    if "images" not in tally.target.transport.extensions:
        request = threads.submit(_send_together, tally, batch, options)
        return Begun(batch, [request], request.result)
    seal = _seal(tally, batch, options) if tally.log is not None else b""
    if tally.log is not None and tally.recall(batch.start, batch.stop, content_of(seal)):
        return Begun(batch, [], lambda: None)
    files = tally.checked.units.files
    most = min(_FILES, options.batch_size or _FILES)
    requests = [threads.submit(_send_files, tally, part) for part in _parts(files, batch, most)]

    def end() -> None:
        sent = {unit: found for request in requests for unit, found in request.result().items()}
        start = batch.start
        names = {unit: found for unit, found in sent.items() if isinstance(found, str)}
        for unit, found in sent.items():
            if not isinstance(found, str):
                with tally.lock:
                    tally.fail(unit, unit + 1, found, [])
        if len(names) == len(sent):
            send_batch(tally, batch, options, images=names, seal=seal or None)
            return
        for unit in (*sorted(sent.keys() - names.keys()), batch.stop):
            if start < unit:
                send_batch(tally, range(start, unit), options, images=names)
            start = unit + 1

    return Begun(batch, requests, end)


def _cut(units: Units, size: int, start: int) -> Iterator[range]:
    """Cut items into batches, in their order, by their number and by the number and the bytes of their files."""
    count = bytes_ = 0
    for unit in range(start, len(units)):
        own = _length(units.files[unit]) if unit in units.files else 0
        if unit - start >= size or count >= _BATCH_FILES or (count and bytes_ + own > _BATCH_BYTES):
            yield range(start, unit)
            start, count, bytes_ = unit, 0, 0
        count += unit in units.files
        bytes_ += own
    if start < len(units):
        yield range(start, len(units))


def _parts(files: Any, batch: range, most: int) -> Iterator[list[int]]:
    """Part the units of a batch that have files into requests."""
    part: list[int] = []
    bytes_ = 0
    for unit in batch:
        if unit not in files:
            continue
        own = _length(files[unit])
        if len(part) >= most or (part and bytes_ + own > _BYTES):
            yield part
            part, bytes_ = [], 0
        part.append(unit)
        bytes_ += own
    if part:
        yield part


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it is refused when it is to be sent
        return 0


def _send_files(tally: Tally, units: Sequence[int]) -> dict[int, str | Exception]:
    """Send files, and return the name by which the server calls each, or why it has none; a bad file is bad alone."""
    files, transport = tally.checked.units.files, tally.target.transport
    try:
        if tally.broken is not None:
            raise InvalidInputError(f"Not sent, since an earlier request failed: {tally.broken}")
        body = Multipart({}, [("image", files[unit], files[unit].name) for unit in units])
        route = ("_nucleus_pandas", "images")
        answer: ReceivedImages = transport.request("POST", *route, multipart=body, shape=ReceivedImages)
        if len(answer.images) != len(units):
            raise ServerError(f"The server's answer is about other than the {len(units)} images that were sent.", 200)
    except UnreadableFileError as error:
        others = [unit for at, unit in enumerate(units) if at != error.number]
        return {units[error.number]: error} | (_send_files(tally, others) if others else {})
    except (APIError, NetworkError, InvalidInputError, OSError) as error:
        if isinstance(error, TooLargeError) and len(units) > 1:
            middle = len(units) // 2
            return _send_files(tally, units[:middle]) | _send_files(tally, units[middle:])
        return dict.fromkeys(units, error)
    return {
        unit: received.image or InvalidInputError(received.error or "The server did not say why it has no image.")
        for unit, received in zip(units, answer.images, strict=True)
    }


def _send_together(tally: Tally, batch: range, options: Options) -> None:
    """Send items and their files in one request."""
    transport, units = tally.target.transport, cast(SendableItems, tally.checked.units)

    def ask(doubts: list[str]) -> dict[str, Any]:
        fields = {"items": units.images(batch.start, batch.stop, update=options.if_exists == "update")}
        if options.if_exists == "error" and "refuse-existing" in transport.extensions:
            fields["if_exists"] = b"error"
        body = Multipart(fields, [("image", units.files[unit], units.files[unit].name) for unit in batch])
        params: dict[str, object] = {} if "outcomes" in transport.extensions else {"async": 1}
        answer: dict[str, Any] = transport.request(
            "POST", *route_of(tally), params=params, multipart=body, doubts=doubts, shape=dict[str, Any]
        )
        return answer

    def again(part: range) -> None:
        _send_together(tally, part, options)

    deliver(tally, batch, options, ask, again, lambda: _seal(tally, batch, options))


def _seal(tally: Tally, batch: range, options: Options) -> bytes:
    """Return what the journal knows a batch by: its items, and name, size and time of each file."""
    units = tally.checked.units
    return b"\n".join(
        [bytes(units.objects(batch.start, batch.stop)), options.if_exists.encode(), states_of(units, batch)]
    )
