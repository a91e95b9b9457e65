"""Items as one file: PUT to a signed URL, then processed by a job."""

from __future__ import annotations

import json
import os
import re
import uuid
from itertools import groupby
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from nucleus_pandas.errors import APIError, JournalError, NetworkError, NotFoundError
from nucleus_pandas.schema import SendableItems
from nucleus_pandas.uploads.batches import BATCH, Upload, cut, progress_bar
from nucleus_pandas.uploads.images import send_images, send_items
from nucleus_pandas.uploads.jobs import Job
from nucleus_pandas.uploads.journal import request_key
from nucleus_pandas.wire.requests import FromUpload
from nucleus_pandas.wire.responses import JobEntry, SignedUrl

LARGEST_UPLOAD = 0x1FFFFFE8  # bytes that the official client sends at most
_IN_MEMORY = 16 << 20  # bytes; more is written to the disk first
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def send_signed(upload: Upload[SendableItems]) -> None:
    """Send items: those with URLs in as few uploads as possible, local images with their files.

    A server without signed URLs gets batches.
    """
    files = upload.units.files
    batches = cut(upload.units, upload.options.batch_size or BATCH)
    runs = [(has_files, list(run)) for has_files, run in groupby(batches, lambda batch: batch.start in files)]
    with progress_bar(upload, sum(len(run) for _, run in runs)) as advance:
        for has_files, run in runs:
            if has_files:
                # on one connection each batch waits for the job of the previous one, which keeps their order
                for part in [run] if upload.target.transport.max_concurrency > 1 else [[batch] for batch in run]:
                    _wait_for_earlier(upload)
                    send_images(upload, part, advance)
                continue
            units = range(run[0].start, run[-1].stop)
            if (reason := upload.outcomes.unsent_reason) is not None:
                upload.outcomes.reject(units, reason)
            elif (sent := _send_run(upload, units)) < units.stop:
                send_items(upload, sent)
                return
            advance(len(units))


def _wait_for_earlier(upload: Upload[SendableItems]) -> None:
    """Wait until what was sent before is stored, so that it comes first."""
    if upload.options.wait:
        upload.wait_for_jobs()


def _send_run(upload: Upload[SendableItems], units: range) -> int:
    """Send items by one upload, or by several if they are too large for one.

    Returns
    -------
    int
        The first unit that was not sent, because the server has no signed URLs; else the end of the run.
    """
    outcomes, transport = upload.outcomes, upload.target.transport
    start = units.start
    while start < units.stop:
        part, doubts = range(start, units.stop), list[str]()
        try:
            with SpooledTemporaryFile(_IN_MEMORY) as file:
                part, key = _write(upload, file, part)
                if outcomes.recall(part, key):
                    start = part.stop
                    continue
                _wait_for_earlier(upload)
                if (reason := outcomes.unsent_reason) is not None:
                    outcomes.reject(range(start, units.stop), reason)
                    break
                request_id = uuid.uuid4().hex
                url = _signed_url(upload, request_id)
                if url is None:
                    return start
                if upload.replaces and upload.journal is not None:
                    upload.journal.forget(part.start, part.stop)
                transport.put(url, file, file.tell())  # type: ignore[arg-type]
                _start_job(upload, part, request_id, doubts, key)
        except JournalError:
            raise
        except (APIError, NetworkError, OSError) as error:
            upload.fail(part, error, doubts)
        start = part.stop
    return units.stop


def _write(upload: Upload[SendableItems], file: IO[bytes], units: range) -> tuple[range, bytes]:
    """Write lines until the file is full; return the units in it, and the journal's key of what is written."""
    size, start = 0, units.start
    key = request_key(upload.options.if_exists.encode())
    while start < units.stop:
        stop = min(start + BATCH, units.stop)
        lines = in_ascii(upload.units.lines(start, stop))
        while size + len(lines) > LARGEST_UPLOAD and stop > start + 1:
            stop = (start + stop) // 2
            lines = in_ascii(upload.units.lines(start, stop))
        if size and size + len(lines) > LARGEST_UPLOAD:
            break
        file.write(lines)
        size, start = size + len(lines), stop
        if upload.journal is not None:
            key = request_key(key, lines)
    return range(units.start, start), key


def in_ascii(text: bytes) -> bytes:
    r"""Write JSON in ASCII alone, as the official client does.

    Examples
    --------
    >>> in_ascii('{"a":"é"}'.encode())
    b'{"a":"\\u00e9"}'
    """
    if text.isascii():
        return text
    return _NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text.decode()).encode()


def _signed_url(upload: Upload[Any], request_id: str) -> str | None:
    """Request a signed URL, on S3's endpoint in the environment as the original client; None if the server has none."""
    kind, dataset_id = upload.target.route[:2]
    where = {"s3Endpoint": endpoint} if (endpoint := os.environ.get("S3_ENDPOINT")) else {}
    try:
        return upload.target.transport.read(SignedUrl, kind, dataset_id, "signedUrl", request_id, **where).signed_url
    except NotFoundError:
        return None  # if it is the dataset that does not exist, the next request says so


def _start_job(upload: Upload[Any], units: range, request_id: str, doubts: list[str], key: bytes) -> None:
    """Start a job that processes an uploaded file; doubts are about the job alone."""
    transport = upload.target.transport
    body = FromUpload(request_id=request_id, update=upload.replaces)
    job: JobEntry = transport.request(
        "POST", *upload.target.route, params={"async": 1}, body=body, doubts=doubts, shape=JobEntry
    )
    upload.outcomes.start_job(Job(transport, job.job_id), units, key, is_retry=bool(doubts))
