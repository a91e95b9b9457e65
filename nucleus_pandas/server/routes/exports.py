"""Routes of exports: items, and items with their annotations, whole or page by page."""

from __future__ import annotations

from flask import Blueprint, Response

from nucleus_pandas.errors import UnsupportedError
from nucleus_pandas.server.query import compile_query
from nucleus_pandas.server.read import exports
from nucleus_pandas.server.read.exports import Export, Paging
from nucleus_pandas.server.routes.request import body, file_url, nucleus, reply
from nucleus_pandas.server.store import datasets
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.server.store.subsets import Subset

blueprint = Blueprint("exports", __name__)


def no_chips(wanted: Paging) -> None:
    """Refuse to cut images."""
    if wanted.chip:
        raise UnsupportedError("Cutting images into chips is not supported by this server; leave `chip` out.")


def queried(dataset: Dataset, query: str | None) -> Subset:
    """Return the items of a dataset that a query finds; all where there is none."""
    return Subset(dataset, condition=compile_query(query, "item") or Condition())


@blueprint.post("/dataset/<id:dataset_id>/itemsPage")
@blueprint.post("/dataset/<id:dataset_id>/queryItemsPage")
def items_page(dataset_id: str) -> Response:
    """Return a page of items; of those that a query finds, where there is one."""
    wanted = body(Paging)
    limit = wanted.limit(exports.ITEMS)
    with nucleus().database.read() as db:
        subset = queried(datasets.find(db, dataset_id), wanted.query)
        found, following = Export(db, subset, file_url).items(wanted.after(subset), limit)
    return reply({"items": found, "nextPageToken": following})


@blueprint.post("/dataset/<id:dataset_id>/exportForTrainingPage")
def page(dataset_id: str) -> Response:
    """Return a page of items with their annotations."""
    wanted = body(Paging)
    no_chips(wanted)
    limit = wanted.limit(exports.ROWS)
    with nucleus().database.read() as db:
        subset = queried(datasets.find(db, dataset_id), wanted.query)
        rows, following = Export(db, subset, file_url).rows(wanted.after(subset), limit)
    return reply({"data": rows, "nextPageToken": following})


@blueprint.post("/dataset/<id:dataset_id>/queryScenesPage")
def scenes_page(dataset_id: str) -> Response:
    """Refuse to look for scenes."""
    body(Paging)
    with nucleus().database.read() as db:
        datasets.find(db, dataset_id)
    raise UnsupportedError("Scenes are not kept by this server; query items instead.")


@blueprint.get("/dataset/<id:dataset_id>/exportForTraining")
def whole(dataset_id: str) -> Response:
    """Return all items with their annotations."""
    with nucleus().database.read() as db:
        return reply({"exportedRows": Export(db, Subset(datasets.find(db, dataset_id)), file_url).every()})


@blueprint.get("/dataset/<id:dataset_id>/class_labels")
def class_labels(dataset_id: str) -> Response:
    """List the labels of the ground truth."""
    with nucleus().database.read() as db:
        return reply({"data": datasets.truth_labels(db, datasets.find(db, dataset_id))})
