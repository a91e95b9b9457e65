"""Routes of datasets."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, Response, request

from nucleus_pandas.errors import UnsupportedError
from nucleus_pandas.server.ingest import dataset_rules
from nucleus_pandas.server.read import render
from nucleus_pandas.server.routes.request import body, creation, file_url, nucleus, reply
from nucleus_pandas.server.store import datasets, items, taxonomies
from nucleus_pandas.wire.requests import AddTaxonomy, CreateDataset, Tags
from nucleus_pandas.wire.responses import DatasetCreated, DatasetEntry, DatasetSize

blueprint = Blueprint("datasets", __name__)


@blueprint.post("/dataset/create")
def create() -> Response:
    """Create a dataset."""
    wanted = body(CreateDataset)
    dataset_rules.check_schema(wanted.item_metadata_schema, "$.item_metadata_schema")
    dataset_rules.check_schema(wanted.annotation_metadata_schema, "$.annotation_metadata_schema")

    def make(db: sqlite3.Connection) -> object:
        dataset = datasets.create(db, wanted)
        return DatasetCreated(dataset_id=dataset.public_id, name=dataset.name)

    return creation(make)


@blueprint.get("/dataset/")
def listing() -> Response:
    """List the ids of all datasets."""
    with nucleus().database.read() as db:
        return reply([public_id for public_id, _ in datasets.listing(db)])


@blueprint.get("/dataset/details")
def details() -> Response:
    """List id and name of all datasets."""
    with nucleus().database.read() as db:
        return reply([DatasetEntry(id=public_id, name=name) for public_id, name in datasets.listing(db)])


@blueprint.get("/dataset/<id:dataset_id>/info")
def info(dataset_id: str) -> Response:
    """Describe a dataset."""
    with nucleus().database.read() as db:
        return reply(datasets.info(db, datasets.find(db, dataset_id)))


@blueprint.get("/dataset/<id:dataset_id>/<any(name, is_scene, use_privacy_mode, size):what>")
def one_property(dataset_id: str, what: str) -> Response:
    """Return one property of a dataset."""
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
    if what == "size":
        return reply(DatasetSize(count=dataset.length))
    return reply({what: getattr(dataset, what)})


@blueprint.get("/dataset/<id:dataset_id>/model_runs")
def model_runs(dataset_id: str) -> Response:
    """List the ids of the runs on a dataset."""
    with nucleus().database.read() as db:
        return reply(datasets.run_ids(db, datasets.find(db, dataset_id)))


@blueprint.get("/dataset/<id:dataset_id>/datasetItems")
def dataset_items(dataset_id: str) -> Response:
    """List all items of a dataset."""
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
        return reply({"dataset_items": [render.item(row, dataset.tag, file_url) for row in items.page(db, dataset)]})


@blueprint.delete("/dataset/<id:dataset_id>")
def delete(dataset_id: str) -> Response:
    """Delete a dataset with its items, annotations and runs."""
    with nucleus().database.write() as db:
        datasets.mark_deleted(db, datasets.find(db, dataset_id))
    nucleus().purge()
    return reply({"message": "Beginning dataset deletion..."})


@blueprint.route("/dataset/<id:dataset_id>/tags", methods=["GET", "POST", "DELETE"])
def tags(dataset_id: str) -> Response:
    """List the tags of a dataset, after adding or removing some where the request says so."""
    if request.method == "GET":
        with nucleus().database.read() as db:
            return reply({"tags": datasets.tags(db, datasets.find(db, dataset_id))})
    wanted = body(Tags).tags
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        (datasets.add_tags if request.method == "POST" else datasets.remove_tags)(db, dataset, wanted)
        return reply({"tags": datasets.tags(db, dataset)})


@blueprint.post("/dataset/<id:dataset_id>/add_taxonomy")
def add_taxonomy(dataset_id: str) -> Response:
    """Create a taxonomy, or let one grow."""
    wanted = body(AddTaxonomy)
    with nucleus().database.write() as db:
        status = taxonomies.add(db, datasets.find(db, dataset_id), wanted)
    return reply({"dataset_id": dataset_id, "taxonomy_name": wanted.taxonomy_name, "status": status})


@blueprint.delete("/dataset/<id:dataset_id>/taxonomy/<rest:name>")
def delete_taxonomy(dataset_id: str, name: str) -> Response:
    """Delete a taxonomy with its annotations and predictions."""
    with nucleus().database.write() as db:
        taxonomies.delete(db, datasets.find(db, dataset_id), name)
    return reply({"dataset_id": dataset_id, "taxonomy_name": name, "status": "Taxonomy successfully deleted"})


@blueprint.post("/dataset/create_from_project")
@blueprint.post("/dataset/<id:dataset_id>/ingest_tasks")
def from_tasks(dataset_id: str = "") -> Response:
    """Refuse what needs Scale's labeling projects."""
    raise UnsupportedError("Labeling projects and tasks exist in Scale's own service only; append items instead.")
