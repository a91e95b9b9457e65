"""Items whose images are local files.

An embedded Nucleus takes images before their items: files travel on several connections, and the items are appended
behind them in order. To other servers a request holds ten items with their files; requests travel on several
connections too, and the server orders the items as they arrive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import msgspec

from nucleus_pandas._util.threads import Workers, workers
from nucleus_pandas.errors import APIError, InvalidInputError, NetworkError, ServerError, TooLargeError
from nucleus_pandas.schema import SendableItems
from nucleus_pandas.transport.multipart import Multipart, UnreadableFileError
from nucleus_pandas.uploads.batches import BATCH, Batch, Upload, cut, file_state, progress_bar
from nucleus_pandas.uploads.journal import request_key
from nucleus_pandas.wire.bulk import FILES, ReceivedImages

_FILES = FILES // 2  # per request
_BYTES = 4 << 20  # per request, unless one file is larger
_BATCH_FILES = 256
_BATCH_BYTES = 64 << 20


class ItemFilesBatch(Batch[SendableItems]):
    """Items that are sent with their files, in one multipart request."""

    def request(self, doubts: list[str]) -> dict[str, Any]:
        """Send the items with their files, and return the answer."""
        upload, files = self.upload, self.upload.units.files
        fields = {"items": upload.units.images(self.units.start, self.units.stop, update=upload.replaces)}
        if upload.rejects_existing:
            fields["if_exists"] = b"error"
        body = Multipart(fields, [("image", files[unit], files[unit].name) for unit in self.units])
        return self.post(doubts, multipart=body, params={} if "outcomes" in upload.extensions else {"async": 1})

    def journal_key(self) -> bytes:
        """Return the identity of the batch in the journal: its items, the option and the files."""
        return b"\n".join([bytes(self.objects()), self.upload.options.if_exists.encode(), self.file_states()])


@dataclass(eq=False)
class ReceivedImagesBatch(Batch[SendableItems]):
    """Items, some of them with images that the server has received before.

    Attributes
    ----------
    images : dict of int to str
        The server's names of the images.
    key : bytes, optional
        What identifies the batch in the journal, instead of its body, in which those names differ each time.
    """

    images: Mapping[int, str] = field(kw_only=True)
    key: bytes | None = field(default=None, kw_only=True)

    def objects(self) -> bytes | memoryview:
        """Write the items as JSON objects with the names of their images, separated by commas."""
        if not self.images:
            return super().objects()
        lines = self.upload.units.lines(self.units.start, self.units.stop).splitlines()
        for number, unit in enumerate(self.units):
            if unit in self.images:
                lines[number] = b'%b,"image":%b}' % (lines[number][:-1], msgspec.json.encode(self.images[unit]))
        return b",".join(lines)

    def part(self, units: range) -> Self:
        """Return a batch of some of the items."""
        return replace(self, units=units, key=None)

    def journal_key(self) -> bytes:
        """Return the identity of the batch in the journal."""
        return self.body() if self.key is None else self.key


@dataclass(frozen=True, slots=True)
class StartedBatch:
    """A batch on its way: requests that run, and what is to be called in its turn."""

    units: range
    requests: Sequence[Future[Any]]
    finish: Callable[[], object]

    @property
    def weight(self) -> int:
        """The connections that it counts for; items without files wait for their turn too."""
        return max(1, len(self.requests))


def send_items(upload: Upload[SendableItems], start: int = 0) -> None:
    """Send items in batches, or those from one on; some have files."""
    units = upload.units
    size = upload.options.batch_size or BATCH
    with progress_bar(upload, -(-(len(units) - start) // _FILES)) as advance:
        if "images" in upload.extensions:
            chunks = _chunks(units.files, range(start, len(units)), size, _BATCH_FILES, _BATCH_BYTES)
            send_images(upload, (range(chunk[0], chunk[-1] + 1) for chunk in chunks), advance)
            return
        for has_files, batches in groupby(cut(units, size, start), lambda batch: batch.start in units.files):
            if has_files:
                send_images(upload, batches, advance)
            else:
                for batch in batches:
                    Batch(upload, batch).send()
                    advance(len(batch))


def send_images(upload: Upload[SendableItems], batches: Iterable[range], advance: Callable[[int], object]) -> None:
    """Send batches of items with their files, on as many connections as there may be.

    Files are ahead of the oldest batch whose items are not stored by about one request per connection, and not more.
    """
    sends_ahead = "images" in upload.extensions
    connections = 1
    if sends_ahead or "outcomes" not in upload.extensions:
        connections = upload.target.transport.max_concurrency
    started: deque[StartedBatch] = deque()
    # If files are sent ahead one connection is left to items; a single one is used in turns.
    senders = min(max(1, connections - sends_ahead), len(upload.units.files))
    with workers(senders, "nucleus_pandas-images") as threads:

        def settle() -> None:
            oldest = started.popleft()
            if connections == 1:
                threads.submit(oldest.finish).result()
            else:
                oldest.finish()
            advance(len(oldest.units))

        for batch in batches:
            started.append(start_batch(upload, batch, threads))
            while sum(other.weight for other in started) - started[0].weight >= connections:
                settle()
        while started:
            settle()


def start_batch(upload: Upload[SendableItems], units: range, threads: Workers) -> StartedBatch:
    """Start to send a batch of items with their files; `finish` has to be called after that of those before it."""
    batch = ItemFilesBatch(upload, units)
    if "images" not in upload.extensions:
        request = threads.submit(batch.send)
        return StartedBatch(units, [request], request.result)
    key = None
    if upload.journal is not None:
        key = batch.journal_key()
        if upload.outcomes.recall(units, request_key(key)):
            return StartedBatch(units, [], lambda: None)
    most = min(_FILES, upload.options.batch_size or _FILES)
    files = upload.units.files
    parts = _chunks(files, (unit for unit in units if unit in files), most, most, _BYTES)
    requests = [threads.submit(_send_files, upload, part) for part in parts]
    return StartedBatch(units, requests, partial(_append_items, upload, units, requests, key))


def _append_items(
    upload: Upload[SendableItems],
    units: range,
    requests: Sequence[Future[dict[int, str | Exception]]],
    key: bytes | None,
) -> None:
    """Append items when their images were received; an image that was not is the error of its item."""
    received = {unit: outcome for request in requests for unit, outcome in request.result().items()}
    images = {unit: name for unit, name in received.items() if isinstance(name, str)}
    if len(images) == len(received):
        ReceivedImagesBatch(upload, units, images=images, key=key).send()
        return
    start = units.start
    for unit, error in sorted(received.items()):
        if isinstance(error, Exception):
            upload.fail(range(unit, unit + 1), error)
    for unit in (*sorted(received.keys() - images.keys()), units.stop):
        if start < unit:
            ReceivedImagesBatch(upload, range(start, unit), images=images).send()
        start = unit + 1


def _chunks(
    files: Mapping[int, Path], units: Iterable[int], size: int, most_files: int, most_bytes: int
) -> Iterator[list[int]]:
    """Divide units, in order, by their number and by the number and bytes of their files; one file may be larger."""
    chunk: list[int] = []
    count = total = 0
    for unit in units:
        has_file = unit in files
        length = file_state(files[unit])[0] if has_file else 0
        if len(chunk) >= size or count >= most_files or (count and total + length > most_bytes):
            yield chunk
            chunk, count, total = [], 0, 0
        chunk.append(unit)
        count += has_file
        total += length
    if chunk:
        yield chunk


def _send_files(upload: Upload[SendableItems], units: Sequence[int]) -> dict[int, str | Exception]:
    """Send files, and return the server's name of each image, or why it has none; a bad file is bad alone."""
    files = upload.units.files
    try:
        if (reason := upload.outcomes.unsent_reason) is not None:
            raise InvalidInputError(reason)
        body = Multipart({}, [("image", files[unit], files[unit].name) for unit in units])
        answer: ReceivedImages = upload.target.transport.request(
            "POST", "_nucleus_pandas", "images", multipart=body, shape=ReceivedImages
        )
        if len(answer.images) != len(units):
            raise ServerError(f"The server's answer does not match the {len(units)} images that were sent.", 200)
    except UnreadableFileError as error:
        others = [unit for number, unit in enumerate(units) if number != error.number]
        return {units[error.number]: error} | (_send_files(upload, others) if others else {})
    except (APIError, NetworkError, InvalidInputError, OSError) as error:
        if isinstance(error, TooLargeError) and len(units) > 1:
            middle = len(units) // 2
            return _send_files(upload, units[:middle]) | _send_files(upload, units[middle:])
        return dict.fromkeys(units, error)
    return {
        unit: received.image or InvalidInputError(received.error or "The server did not say why it has no image.")
        for unit, received in zip(units, answer.images, strict=True)
    }
