"""Jobs that store signed uploads, which hold one row per line.

A file is read in chunks of whole lines, one transaction per chunk: a cancelled or failed job keeps the earlier chunks.
Errors count the lines of the whole file, and `id_counts` passes from chunk to chunk, so that the same file yields the
same annotation ids wherever it is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nucleus_pandas.errors import APIError, BadRequestError, ValidationError
from nucleus_pandas.server.ingest.rows import ONE_URL, Storing, item_counters, store_annotations, store_items
from nucleus_pandas.server.ingest.targets import UploadTarget
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import datasets, jobs
from nucleus_pandas.wire.decoding import decode, item_key
from nucleus_pandas.wire.entities import AnyAnnotation, Item
from nucleus_pandas.wire.requests import FromUpload

MAX_LINE = 64 << 20  # bytes per row of a signed upload
SMALL_UPLOAD = 4 << 20  # bytes; the job of a smaller file finishes before the reply
_ROWS = 5_000  # per transaction
_BYTES = 8 << 20  # per transaction


def start_upload_job(
    nucleus: EmbeddedNucleus, dataset_id: str, request: FromUpload, job_type: str, target: UploadTarget
) -> jobs.JobRow:
    """Turn a signed upload into a job and return it; the same request again returns the same job."""
    trained_slice_id = request.trained_slice_id if isinstance(request.trained_slice_id, str) else None
    with nucleus.database.read() as db:
        layer, _ = target.check(db)
        file = jobs.pending_upload(db, datasets.find(db, dataset_id).id, request.request_id)
    if layer is not None and layer.frozen is not None and file is not None:
        _check_frozen(nucleus, nucleus.uploads / file, target, update=request.update)
    with nucleus.database.write() as db:
        dataset = datasets.find(db, dataset_id)
        job, file = jobs.consume_upload(db, dataset.id, request.request_id, job_type, nucleus.owner)
        if file is not None:
            target.open(db, trained_slice_id)
    if file is None:
        return job
    path = nucleus.uploads / file

    def work() -> None:
        try:
            _store_upload(nucleus, job, dataset_id, path, target, update=request.update)
        finally:
            path.unlink(missing_ok=True)
            nucleus.purge()

    if path.stat().st_size <= SMALL_UPLOAD:
        work()
    else:
        nucleus.submit(work)
    with nucleus.database.read() as db:
        return jobs.find(db, job.public_id)


def _check_frozen(nucleus: EmbeddedNucleus, path: Path, target: UploadTarget, *, update: bool) -> None:
    """Raise FrozenRunError if a signed upload would change a committed run."""
    id_counts: dict[tuple[str, str], int] = {}
    first_line = 1
    for lines in _chunks(path):
        rows, _ = _parse(lines, first_line, AnyAnnotation)
        first_line += len(lines)
        with nucleus.database.read() as db:
            layer, dataset = target.check(db)
            assert layer is not None
            store_annotations(db, layer, dataset, rows, Storing(update), id_counts=id_counts)


def _store_upload(
    nucleus: EmbeddedNucleus, job: jobs.JobRow, dataset_id: str, path: Path, target: UploadTarget, *, update: bool
) -> None:
    counts: Counter[str] = Counter()
    id_counts: dict[tuple[str, str], int] = {}
    size, bytes_read, first_line = path.stat().st_size, 0, 1
    malformed = False
    first_error = None
    try:
        for lines in _chunks(path):
            bytes_read += sum(map(len, lines))
            with nucleus.database.write() as db:
                if not jobs.is_running(db, job.id):
                    return
                layer, dataset = target.open(db)
                rows, errors = _parse(lines, first_line, Item if layer is None else AnyAnnotation)
                if layer is None:
                    assert dataset is not None
                    stored = store_items(db, dataset, rows, update=update)
                else:
                    stored = store_annotations(db, layer, dataset, rows, Storing(update), id_counts=id_counts)
                counts.update(stored.outcomes)
                counts["error"] += len(errors)
                malformed = malformed or bool(errors or stored.broken)
                errors += stored.errors.values()
                first_error = first_error or next(iter(errors), None)
                jobs.progress(db, job.id, min(bytes_read, size - 1), size, errors)
                jobs.beat(db, nucleus.owner)
            first_line += len(lines)
        status = final_status(counts, malformed=malformed)
        message = _message(job.type, dataset_id, counts)
        if malformed:
            message["final_error"] = first_error
    except (APIError, ValidationError) as error:
        status, message = "Errored", {"final_error": str(error)}
    except Exception:
        with nucleus.database.write() as db:
            jobs.finish(db, job.id, "Errored_Server", {"final_error": "The server failed; see its log for the reason."})
        raise
    with nucleus.database.write() as db:
        jobs.finish(db, job.id, status, message)


def final_status(counts: Counter[str], *, malformed: bool) -> str:
    """Return the final status of a job from the outcomes of its rows; a row without an item does not fail the job."""
    if not malformed:
        return "Completed"
    return "Errored_Partial" if counts.total() > counts["error"] else "Errored"


def _message(job_type: str, dataset_id: str, counts: Counter[str]) -> dict[str, object]:
    if job_type == "uploadDatasetItems":
        return item_counters(counts)
    totals = {
        "total": counts.total(),
        "processed": counts["new"] + counts["updated"],
        "ignored": counts["ignored"],
        "errored": counts["error"],
        "datasetId": dataset_id,
    }
    return {"annotation_upload" if job_type == "uploadAnnotations" else "prediction_upload": totals}


def _chunks(path: Path) -> Iterator[list[bytes]]:
    with path.open("rb") as file:
        lines: list[bytes] = []
        size = 0
        while line := file.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise BadRequestError(f"A line is longer than {MAX_LINE >> 20} MiB.")
            lines.append(line)
            size += len(line)
            if len(lines) >= _ROWS or size >= _BYTES:
                yield lines
                lines, size = [], 0
        if lines:
            yield lines


def _parse(lines: list[bytes], first: int, shape: Any) -> tuple[list[Any], list[str]]:
    rows: list[Any] = []
    errors: list[str] = []
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            row = decode(line, shape, f"Line {number}")
            if isinstance(row, Item):
                if (row.image_url is None) == (row.pointcloud_url is None):
                    raise BadRequestError(f"Line {number}: {ONE_URL}.")
            else:
                item_key(row, f"line {number}")
            rows.append(row)
        except (BadRequestError, ValidationError) as error:
            errors.append(str(error))
    return rows, errors
