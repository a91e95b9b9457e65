"""Routes of jobs, and of the signed uploads that jobs store."""

from __future__ import annotations

from typing import BinaryIO, cast

import msgspec
from flask import Blueprint, Response, request

from nucleus_pandas.server.routes.request import api_url, body, end_stale_jobs, nucleus, reply, reply_from
from nucleus_pandas.server.store import datasets, jobs
from nucleus_pandas.wire.requests import ListJobs
from nucleus_pandas.wire.responses import JobStatus, SignedUrl

blueprint = Blueprint("jobs", __name__)

RECEIVE_UPLOAD = "jobs.receive_upload"  # the endpoint that needs no API key, because its URL contains a secret


@blueprint.get("/job/<id:job_id>")
def status(job_id: str) -> Response:
    """``GET job/{id}``: return the progress of a job."""
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
    """``GET job/{id}/errors``: list the errors of a job."""
    return reply_from(lambda db: jobs.errors(db, jobs.find(db, job_id)))


@blueprint.get("/job/<id:job_id>/info")
def info(job_id: str) -> Response:
    """``GET job/{id}/info``: describe a job."""
    end_stale_jobs()
    return reply_from(lambda db: jobs.find(db, job_id).entry())


@blueprint.post("/_nucleus_pandas/job/<id:job_id>/cancel")
def cancel(job_id: str) -> Response:
    """``POST _nucleus_pandas/job/{id}/cancel``: stop a running job; what it has stored stays."""
    end_stale_jobs()
    with nucleus().database.write() as db:
        jobs.cancel(db, jobs.find(db, job_id))
        return reply(jobs.find(db, job_id).entry())


@blueprint.post("/jobs/")
def listing() -> Response:
    """``POST jobs/``: list jobs, newest first."""
    filters = body(ListJobs)
    end_stale_jobs()
    return reply_from(lambda db: [job.entry() for job in jobs.listing(db, filters)])


# Signed uploads


@blueprint.get("/dataset/<id:dataset_id>/signedUrl/<id:request_id>")
def sign_upload(dataset_id: str, request_id: str) -> Response:
    """``GET dataset/{id}/signedUrl/{request id}``: return a URL that takes the rows of one request without a key."""
    with nucleus().database.write() as db:
        token = jobs.sign_upload(db, datasets.find(db, dataset_id).id, request_id)
    return reply(SignedUrl(signed_url=f"{api_url()}/_upload/{token}"))


@blueprint.put("/_upload/<id:token>")
def receive_upload(token: str) -> Response:
    """``PUT _upload/{token}``: store the rows of a signed upload; until a job reads them, the last body counts."""
    nucleus().receive(cast(BinaryIO, request.stream), token)
    return reply({})
