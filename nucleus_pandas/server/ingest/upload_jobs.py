"""Signed uploads, a row a line: worked through as jobs, in transactions that end with a line."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from nucleus_pandas.errors import APIError, BadRequestError, ValidationError
from nucleus_pandas.server.ingest.rows import ONE_URL, item_counters, store_annotations, store_items
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import jobs
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.layers import Layer
from nucleus_pandas.wire.decoding import decode, item_key
from nucleus_pandas.wire.entities import AnyAnnotation, Item

MAX_LINE = 64 << 20  # bytes of a signed upload, an object each
SMALL_UPLOAD = 4 << 20  # bytes; such a job ends before it is answered
Target: TypeAlias = Callable[[sqlite3.Connection], tuple[Layer | None, Dataset | None]]
LayerTarget: TypeAlias = Callable[[sqlite3.Connection], tuple[Layer, Dataset | None]]
_ROWS = 5_000  # a transaction
_BYTES = 8 << 20  # a transaction


def check_frozen(nucleus: EmbeddedNucleus, file: str, target: Target, *, update: bool) -> None:
    """Raise FrozenRunError when a signed upload would change a committed run."""
    seen: dict[tuple[str, str], int] = {}
    first = 1
    for lines in _chunks(nucleus.uploads / file):
        rows, _ = _parse(lines, first, AnyAnnotation)
        first += len(lines)
        with nucleus.database.read() as db:
            layer, dataset = target(db)
            assert layer is not None
            store_annotations(db, layer, dataset, rows, update=update, seen=seen)


def run_upload(
    nucleus: EmbeddedNucleus, job: jobs.JobRow, dataset_id: str, file: str, target: Target, *, update: bool
) -> None:
    """Work through a signed upload: at once when it is small, else in the worker thread."""
    path = nucleus.uploads / file

    def work() -> None:
        try:
            _work(nucleus, job, dataset_id, path, target, update=update)
        finally:
            path.unlink(missing_ok=True)
            nucleus.purge()

    if path.stat().st_size <= SMALL_UPLOAD:
        work()
    else:
        nucleus.submit(work)


def _work(
    nucleus: EmbeddedNucleus, job: jobs.JobRow, dataset_id: str, path: Path, target: Target, *, update: bool
) -> None:
    counts: Counter[str] = Counter()
    seen: dict[tuple[str, str], int] = {}
    size, done, first = path.stat().st_size, 0, 1
    malformed = False
    first_reason = None
    try:
        for lines in _chunks(path):
            done += sum(map(len, lines))
            with nucleus.database.write() as db:
                if not jobs.is_running(db, job.id):
                    return
                layer, dataset = target(db)
                rows, errors = _parse(lines, first, Item if layer is None else AnyAnnotation)
                if layer is None:
                    assert dataset is not None
                    stored = store_items(db, dataset, rows, update=update)
                else:
                    stored = store_annotations(db, layer, dataset, rows, update=update, seen=seen)
                counts.update(stored.outcomes)
                counts["error"] += len(errors)
                malformed = malformed or bool(errors or stored.broken)
                reasons = [*errors, *stored.errors.values()]
                first_reason = first_reason or next(iter(reasons), None)
                jobs.progress(db, job.id, min(done, size - 1), size, reasons)
                jobs.beat(db, nucleus.owner)
            first += len(lines)
        status = final_status(counts, malformed=malformed)
        message = _message(job.type, dataset_id, counts)
        if malformed:
            message["final_error"] = first_reason
    except (APIError, ValidationError) as error:
        status, message = "Errored", {"final_error": str(error)}
    except Exception:
        with nucleus.database.write() as db:
            jobs.finish(db, job.id, "Errored_Server", {"final_error": "The server failed; its log says why."})
        raise
    with nucleus.database.write() as db:
        jobs.finish(db, job.id, status, message)


def final_status(counts: Counter[str], *, malformed: bool) -> str:
    """Return how a job ends whose rows had these outcomes; one that names no item is no failure of the job."""
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
