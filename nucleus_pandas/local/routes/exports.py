"""Routes of exports: items, and items with their annotations, whole or page by page."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response

from nucleus_pandas.errors import UnsupportedError
from nucleus_pandas.local import exports
from nucleus_pandas.local.exports import Paging
from nucleus_pandas.local.routes.common import body, file_url, nucleus, reply
from nucleus_pandas.local.store import datasets

blueprint = Blueprint("exports", __name__)


@blueprint.post("/dataset/<id:dataset_id>/itemsPage")
def items_page(dataset_id: str) -> Response:
    """Give a page of items."""
    wanted = body(Paging)
    limit = wanted.limit(exports.ITEMS)
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
        found, following = exports.item_page(db, dataset, wanted.after(dataset), limit, file_url)
    return reply({"items": found, "nextPageToken": following})


@blueprint.post("/dataset/<id:dataset_id>/exportForTrainingPage")
def page(dataset_id: str) -> Response:
    """Give a page of items with their annotations."""
    wanted = body(Paging)
    if wanted.query is not None:
        raise UnsupportedError("Queries are not supported by this server yet; leave `query` out.")
    if wanted.chip:
        raise UnsupportedError("Cutting pictures into chips is not supported by this server; leave `chip` out.")
    limit = wanted.limit(exports.ROWS)
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
        rows, following = exports.page(db, dataset, wanted.after(dataset), limit, file_url)
    return reply({"data": rows, "nextPageToken": following})


@blueprint.get("/dataset/<id:dataset_id>/exportForTraining")
def whole(dataset_id: str) -> Response:
    """Give all items with their annotations."""
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
        # each page is written down at once, since its text is far smaller than its objects
        pages = [msgspec.json.encode(rows)[1:-1] for rows in exports.every(db, dataset, file_url)]
    text = b",".join(page for page in pages if page)
    return reply({"exportedRows": msgspec.Raw(b"[" + text + b"]")})
