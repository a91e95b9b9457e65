"""Routes of jobs."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response

from nucleus_pandas.server.routes.request import body, end_stale_jobs, nucleus, reply
from nucleus_pandas.server.store import jobs
from nucleus_pandas.wire.requests import ListJobs
from nucleus_pandas.wire.responses import JobStatus

blueprint = Blueprint("jobs", __name__)


@blueprint.get("/job/<id:job_id>")
def status(job_id: str) -> Response:
    """Return how far a job is."""
    end_stale_jobs()
    with nucleus().database.read() as db:
        job = jobs.find(db, job_id)
    return reply(
        JobStatus(
            job_id=job.public_id,
            status=job.status,
            message=msgspec.Raw(job.message.encode()),
            job_progress=f"{job.done / job.total:.2f}" if job.total else "1.00",
            completed_steps=job.done,
            total_steps=job.total,
        )
    )


@blueprint.get("/job/<id:job_id>/errors")
def errors(job_id: str) -> Response:
    """List what a job could not do."""
    with nucleus().database.read() as db:
        return reply(jobs.errors(db, jobs.find(db, job_id)))


@blueprint.get("/job/<id:job_id>/info")
def info(job_id: str) -> Response:
    """Describe a job."""
    end_stale_jobs()
    with nucleus().database.read() as db:
        return reply(jobs.find(db, job_id).entry())


@blueprint.post("/jobs/")
def listing() -> Response:
    """List jobs, newest first."""
    wanted = body(ListJobs)
    end_stale_jobs()
    with nucleus().database.read() as db:
        return reply([job.entry() for job in jobs.listing(db, wanted)])
