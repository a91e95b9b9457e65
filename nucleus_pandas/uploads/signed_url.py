"""Items as one file: PUT to a signed address, then worked through by a job."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from itertools import groupby
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

from nucleus_pandas.errors import APIError, JournalError, NetworkError, NotFoundError
from nucleus_pandas.schema import SendableItems
from nucleus_pandas.uploads.accounting import Tally
from nucleus_pandas.uploads.batches import BATCH, cut, progress_bar, send_batch
from nucleus_pandas.uploads.images import send_images, send_items
from nucleus_pandas.uploads.jobs import Job
from nucleus_pandas.uploads.journal import content_of
from nucleus_pandas.uploads.options import Options
from nucleus_pandas.wire.requests import FromUpload
from nucleus_pandas.wire.responses import JobEntry, SignedUrl

LARGEST_UPLOAD = 0x1FFFFFE8  # bytes that the official client sends at most
_IN_MEMORY = 16 << 20  # bytes; more is written to the disk first
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def send_signed(tally: Tally, options: Options) -> None:
    """Send items: those elsewhere in as few uploads as may be, local images with their files.

    A server that knows no signed addresses gets batches.
    """
    units = tally.checked.units
    runs = list(_runs(tally, options))
    with progress_bar(tally, sum(map(len, runs)), options) as bar:
        for run in runs:
            if run[0].start in units.files:
                # on one connection each waits for the job of the one before it, and so their order is kept
                for batches in [run] if tally.target.transport.max_concurrency > 1 else [[batch] for batch in run]:
                    _let_end(tally, options)
                    send_images(tally, batches, options, bar)
                continue
            whole = range(run[0].start, run[-1].stop)
            if tally.broken is not None:
                send_batch(tally, whole, options)  # which notes that it is not sent
            elif (sent := _send_run(tally, whole, options)) < whole.stop:
                send_items(tally, options, sent)
                return
            bar(len(whole))


def _let_end(tally: Tally, options: Options) -> None:
    """Wait for what was sent before, so that it comes first."""
    if tally.jobs and options.wait and tally.broken is None:
        try:
            tally.wait(None, none_may_exist=options.if_exists == "error")
        except (APIError, NetworkError) as error:
            tally.broken = error  # its jobs go on; more would overtake them


def _runs(tally: Tally, options: Options) -> Iterator[list[range]]:
    """Return the batches that are sent together: those of images, and those of what is between."""
    units = tally.checked.units
    batches = cut(units, options.batch_size or BATCH)
    for _, run in groupby(batches, lambda batch: batch.start in units.files):
        yield list(run)


def _send_run(tally: Tally, run: range, options: Options) -> int:
    """Send some items by one upload, or by several where they are too large for one.

    Returns
    -------
    int
        The first unit that was not sent, since the server knows no signed addresses; else the end of the run.
    """
    start = run.start
    while start < run.stop:
        stop, doubts = run.stop, list[str]()
        try:
            with SpooledTemporaryFile(_IN_MEMORY) as file:
                stop, content = _write(tally, file, range(start, run.stop), options)
                if tally.recall(start, stop, content):
                    start = stop
                    continue
                _let_end(tally, options)
                if tally.broken is not None:
                    send_batch(tally, range(start, run.stop), options)  # which notes that it is not sent
                    break
                address = _address(tally)
                if address is None:
                    return start
                if options.if_exists == "update":
                    tally.replace(start, stop)
                _put(tally, file, address, range(start, stop), options, doubts, content)
        except JournalError:
            raise
        except (APIError, NetworkError, OSError) as error:
            tally.fail(start, stop, error, doubts)
        start = stop
    return run.stop


def _write(tally: Tally, file: IO[bytes], run: range, options: Options) -> tuple[int, bytes]:
    """Write lines until the file is full; return the first unit that is not in it, and the hash of what is."""
    size, start, units = 0, run.start, cast(SendableItems, tally.checked.units)
    content = content_of(options.if_exists.encode())
    while start < run.stop:
        stop = min(start + BATCH, run.stop)
        lines = in_ascii(units.lines(start, stop))
        while size + len(lines) > LARGEST_UPLOAD and stop > start + 1:
            stop = (start + stop) // 2
            lines = in_ascii(units.lines(start, stop))
        if size and size + len(lines) > LARGEST_UPLOAD:
            break
        file.write(lines)
        size, start = size + len(lines), stop
        if tally.log is not None:
            content = content_of(content, lines)
    return start, content


def in_ascii(text: bytes) -> bytes:
    r"""Write JSON in ASCII alone, as the official client does.

    Examples
    --------
    >>> in_ascii('{"a":"é"}'.encode())
    b'{"a":"\\u00e9"}'
    """
    if text.isascii():
        return text
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text.decode()).encode()


def _address(tally: Tally) -> tuple[str, str] | None:
    """Ask for a signed address; None where the server knows none."""
    request_id = uuid.uuid4().hex
    kind, dataset_id = tally.target.route[:2]
    try:
        answer = tally.target.transport.read(SignedUrl, kind, dataset_id, "signedUrl", request_id)
    except NotFoundError:
        return None  # should it be the dataset that does not exist, the next request says so
    return request_id, answer.signed_url


def _put(
    tally: Tally,
    file: Any,
    address: tuple[str, str],
    run: range,
    options: Options,
    doubts: list[str],
    content: bytes,
) -> None:
    """Send a file that was just written, and have a job work through it; doubts are about the job alone."""
    transport = tally.target.transport
    request_id, url = address
    transport.put(url, file, file.tell())
    body = FromUpload(request_id=request_id, update=options.if_exists == "update")
    job: JobEntry = transport.request(
        "POST", *tally.target.route, params={"async": 1}, body=body, doubts=doubts, shape=JobEntry
    )
    tally.started(run.start, run.stop, Job(transport, job.job_id), content, again=bool(doubts))
