"""Jobs and signed uploads."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from nucleus_pandas.errors import BadRequestError, ConflictError, NotFoundError
from nucleus_pandas.server.store import datasets
from nucleus_pandas.server.store.ids import new_tag, now, tag_of
from nucleus_pandas.wire.requests import ListJobs
from nucleus_pandas.wire.responses import JobEntry

STALE_SECONDS = 60.0
UPLOAD_SECONDS = 24 * 3600.0

_COLUMNS = "id, tag, type, status, message, done, total, created_at"


class JobRow(NamedTuple):
    """A stored job."""

    id: int
    tag: str
    type: str
    status: str
    message: str
    done: int
    total: int
    created_at: str

    @property
    def public_id(self) -> str:
        """The public id."""
        return f"job_{self.tag}"

    def entry(self) -> JobEntry:
        """Describe the job as on the wire."""
        return JobEntry(
            job_id=self.public_id,
            job_last_known_status=self.status,
            job_type=self.type,
            job_creation_time=self.created_at,
        )


def create(db: sqlite3.Connection, job_type: str, dataset: int | None, owner: str) -> JobRow:
    """Create a running job."""
    tag = new_tag()
    db.execute(
        "INSERT INTO job (tag, type, dataset, status, created_at, owner, heartbeat)"
        " VALUES (?, ?, ?, 'Running', ?, ?, ?)",
        (tag, job_type, dataset, now(), owner, time.time()),
    )
    return find(db, f"job_{tag}")


def find(db: sqlite3.Connection, public_id: str) -> JobRow:
    """Find a job, or raise NotFoundError."""
    row = db.execute(f"SELECT {_COLUMNS} FROM job WHERE tag = ?", (tag_of(public_id, "job_"),)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no job '{public_id}'.")
    return JobRow(*row)


def is_running(db: sqlite3.Connection, job: int) -> bool:
    """Return True if a job is running, not cancelled or ended meanwhile."""
    return db.execute("SELECT 1 FROM job WHERE id = ? AND status = 'Running'", (job,)).fetchone() is not None


def progress(db: sqlite3.Connection, job: int, done: int, total: int, errors: Iterable[str] = ()) -> None:
    """Record the progress of a job."""
    add_errors(db, job, errors)
    db.execute("UPDATE job SET done = ?, total = ? WHERE id = ?", (done, total, job))


def beat(db: sqlite3.Connection, owner: str) -> None:
    """Record that a process is alive, for the job that it runs and for those in its queue."""
    db.execute("UPDATE job SET heartbeat = ? WHERE owner = ? AND status = 'Running'", (time.time(), owner))


def add_errors(db: sqlite3.Connection, job: int, errors: Iterable[str]) -> None:
    """Record errors of a job."""
    (count,) = db.execute("SELECT count(*) FROM job_error WHERE job = ?", (job,)).fetchone()
    db.executemany(
        "INSERT INTO job_error (job, number, text) VALUES (?, ?, ?)",
        [(job, count + n, text) for n, text in enumerate(errors)],
    )


def finish(db: sqlite3.Connection, job: int, status: str, message: dict[str, Any]) -> None:
    """Record how a job ended."""
    text = msgspec.json.encode(message).decode()
    db.execute(
        "UPDATE job SET status = ?, message = ?, done = total WHERE id = ? AND status = 'Running'", (status, text, job)
    )


def record(
    db: sqlite3.Connection,
    job_type: str,
    dataset: int | None,
    owner: str,
    message: dict[str, Any],
    *,
    status: str = "Completed",
    errors: Iterable[str] = (),
) -> JobRow:
    """Record a job whose work is already done."""
    job = create(db, job_type, dataset, owner)
    add_errors(db, job.id, errors)
    finish(db, job.id, status, message)
    return find(db, job.public_id)


def cancel(db: sqlite3.Connection, job: JobRow) -> None:
    """Cancel a running job, or raise ConflictError; its worker notices that at its next step."""
    if job.status != "Running":
        raise ConflictError(f"The job '{job.public_id}' is {job.status}; only a running one can be cancelled.")
    db.execute("UPDATE job SET status = 'Cancelled', done = total WHERE id = ?", (job.id,))


def any_stale(db: sqlite3.Connection) -> bool:
    """Return True if there are running jobs without a recent heartbeat."""
    row = db.execute(
        "SELECT 1 FROM job WHERE status = 'Running' AND heartbeat < ? LIMIT 1", (time.time() - STALE_SECONDS,)
    ).fetchone()
    return row is not None


def end_stale(db: sqlite3.Connection) -> None:
    """End the running jobs without a recent heartbeat, whose process ended."""
    text = msgspec.json.encode(
        {"final_error": "The process that ran this job stopped; send the request again."}
    ).decode()
    db.execute(
        "UPDATE job SET status = 'Errored_Server', message = ? WHERE status = 'Running' AND heartbeat < ?",
        (text, time.time() - STALE_SECONDS),
    )


def errors(db: sqlite3.Connection, job: JobRow) -> list[str]:
    """List the errors of a job."""
    return [text for (text,) in db.execute("SELECT text FROM job_error WHERE job = ? ORDER BY number", (job.id,))]


def listing(db: sqlite3.Connection, request: ListJobs) -> list[JobRow]:
    """List jobs, newest first, filtered by the request."""
    conditions: list[str] = ["1"]
    values: list[object] = []
    if request.dataset_id is not None:
        conditions.append("dataset = ?")
        values.append(datasets.find(db, request.dataset_id).id)
    if request.job_types:
        conditions.append(f"type IN ({', '.join('?' * len(request.job_types))})")
        values.extend(request.job_types)
    if request.from_date is not None:
        conditions.append("created_at >= ?")
        values.append(_moment(request.from_date, "from_date"))
    if request.to_date is not None:
        conditions.append("created_at <= ?")
        values.append(_moment(request.to_date, "to_date"))
    if request.show_completed is False:
        conditions.append("status = 'Running'")
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM job WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",
        (*values, -1 if request.limit is None else request.limit),
    )
    return [JobRow(*row) for row in rows]


def _moment(text: str, name: str) -> str:
    """Convert a time to the stored format; without a zone it is in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequestError(f"`{name}` must be a date or time in ISO 8601 format, not '{text[:50]}'.") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


class UploadRow(NamedTuple):
    """A stored signed upload."""

    dataset: int
    request_id: str
    file: str | None
    job: int | None


def sign_upload(db: sqlite3.Connection, dataset: int, request_id: str) -> str:
    """Return the token of the upload URL of a request; the same request id gets the same token."""
    row = db.execute("SELECT token FROM upload WHERE dataset = ? AND request_id = ?", (dataset, request_id)).fetchone()
    if row is not None:
        db.execute(
            "UPDATE upload SET expires_at = ? WHERE dataset = ? AND request_id = ?",
            (time.time() + UPLOAD_SECONDS, dataset, request_id),
        )
        return str(row[0])
    token = secrets.token_urlsafe(32)
    db.execute(
        "INSERT INTO upload (dataset, request_id, token, expires_at) VALUES (?, ?, ?, ?)",
        (dataset, request_id, token, time.time() + UPLOAD_SECONDS),
    )
    return token


def _find_upload(db: sqlite3.Connection, condition: str, *values: object) -> UploadRow | None:
    columns = ", ".join(UploadRow._fields)
    row = db.execute(f"SELECT {columns} FROM upload WHERE {condition}", values).fetchone()
    return row and UploadRow(*row)


def open_upload(db: sqlite3.Connection, token: str) -> UploadRow:
    """Find an upload that still accepts a body, or raise NotFoundError or ConflictError."""
    upload = _find_upload(db, "token = ? AND expires_at > ?", token, time.time())
    if upload is None:
        raise NotFoundError("This upload URL is unknown or has expired; request a new one.")
    if upload.job is not None:
        raise ConflictError("This upload was already used; request a new URL with another request id.")
    return upload


def set_upload_file(db: sqlite3.Connection, upload: UploadRow, file: str) -> None:
    """Record the file of the body of an upload."""
    db.execute(
        "UPDATE upload SET file = ? WHERE dataset = ? AND request_id = ?", (file, upload.dataset, upload.request_id)
    )


def pending_upload(db: sqlite3.Connection, dataset: int, request_id: str) -> str | None:
    """Return the file of an upload that is not consumed, None if there is none."""
    upload = _find_upload(db, "dataset = ? AND request_id = ? AND job IS NULL", dataset, request_id)
    return upload and upload.file


def consume_upload(
    db: sqlite3.Connection, dataset: int, request_id: str, job_type: str, owner: str
) -> tuple[JobRow, str | None]:
    """Turn an upload into a job.

    Returns
    -------
    (JobRow, str or None)
        The job, and the file that it has to read; None if the upload was consumed before, by that job.
    """
    upload = _find_upload(db, "dataset = ? AND request_id = ?", dataset, request_id)
    if upload is None or (upload.file is None and upload.job is None):
        raise BadRequestError(
            f"Nothing was uploaded under the request id '{request_id}': ask for its signed URL, PUT the rows there, "
            "then send this again."
        )
    if upload.job is not None:
        return JobRow(*db.execute(f"SELECT {_COLUMNS} FROM job WHERE id = ?", (upload.job,)).fetchone()), None
    job = create(db, job_type, dataset, owner)
    db.execute("UPDATE upload SET job = ? WHERE dataset = ? AND request_id = ?", (job.id, dataset, request_id))
    return job, upload.file


def forget_expired_uploads(db: sqlite3.Connection) -> list[str]:
    """Delete uploads that expired before they were consumed, and return their files."""
    expired = "FROM upload WHERE expires_at < ? AND job IS NULL"
    rows = db.execute(f"SELECT file {expired} AND file IS NOT NULL", (time.time(),)).fetchall()
    db.execute(f"DELETE {expired}", (time.time(),))
    return [file for (file,) in rows]


def upload_files(db: sqlite3.Connection) -> set[str]:
    """List the files of uploads that may still be read: not consumed yet, or read by a running job."""
    rows = db.execute(
        "SELECT file FROM upload LEFT JOIN job ON job.id = upload.job"
        " WHERE file IS NOT NULL AND (upload.job IS NULL OR job.status = 'Running')"
    )
    return {file for (file,) in rows}
