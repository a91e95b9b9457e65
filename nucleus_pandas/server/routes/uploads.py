"""Routes of signed uploads."""

from __future__ import annotations

from typing import BinaryIO, cast

from flask import Blueprint, Response, request

from nucleus_pandas.server.routes.request import nucleus, own_address, reply
from nucleus_pandas.server.store import datasets, jobs
from nucleus_pandas.wire.responses import SignedUrl

blueprint = Blueprint("uploads", __name__)


@blueprint.get("/dataset/<id:dataset_id>/signedUrl/<id:request_id>")
def sign(dataset_id: str, request_id: str) -> Response:
    """Return an address to which the rows of one request may be PUT, without a key."""
    with nucleus().database.write() as db:
        token = jobs.sign_upload(db, datasets.find(db, dataset_id).id, request_id)
    return reply(SignedUrl(signed_url=f"{own_address()}/_upload/{token}"))


@blueprint.put("/_upload/<id:token>")
def receive(token: str) -> Response:
    """Take the rows; sent again before they are consumed, the last ones count."""
    nucleus().receive(cast(BinaryIO, request.stream), token)
    return reply({})
