"""Routes of datasets."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, Response, request

from nucleus_pandas.server.ingest import dataset_rules
from nucleus_pandas.server.read import render
from nucleus_pandas.server.routes.request import body, create_once, file_url, is_bulk, nucleus, reply, reply_from
from nucleus_pandas.server.store import datasets, items
from nucleus_pandas.wire.bulk import CreateDatasetOnce, DatasetMade, RenameDataset
from nucleus_pandas.wire.requests import AddTaxonomy, CreateDataset, Tags
from nucleus_pandas.wire.responses import DatasetCreated, DatasetListEntry, DatasetSize

blueprint = Blueprint("datasets", __name__)


@blueprint.post("/dataset/create")
@blueprint.post("/_nucleus_pandas/dataset/create", endpoint="create_once")
def create() -> Response:
    """``POST dataset/create``: create a dataset."""
    payload = body(CreateDatasetOnce if is_bulk() else CreateDataset)
    dataset_rules.check_schema(payload.item_metadata_schema, "$.item_metadata_schema")
    dataset_rules.check_schema(payload.annotation_metadata_schema, "$.annotation_metadata_schema")

    def insert(db: sqlite3.Connection) -> object:
        if not isinstance(payload, CreateDatasetOnce):
            dataset = datasets.create(db, payload)
            return DatasetCreated(dataset_id=dataset.public_id, name=dataset.name)
        existing = datasets.named(db, payload.name)
        if existing and payload.exist_ok:
            dataset, *others = existing
        else:
            dataset, others = datasets.create(db, payload), existing
        return DatasetMade(dataset_id=dataset.public_id, name=dataset.name, namesakes=len(others))

    return create_once(insert)


@blueprint.get("/dataset/")
def listing() -> Response:
    """``GET dataset/``: list the ids of all datasets."""
    return reply_from(lambda db: [public_id for public_id, _ in datasets.listing(db)])


@blueprint.get("/dataset/details")
def details() -> Response:
    """``GET dataset/details``: list id and name of all datasets."""
    return reply_from(
        lambda db: [DatasetListEntry(id=public_id, name=name) for public_id, name in datasets.listing(db)]
    )


@blueprint.get("/dataset/<id:dataset_id>/info")
def info(dataset_id: str) -> Response:
    """``GET dataset/{id}/info``: describe a dataset."""
    return reply_from(lambda db: datasets.info(db, datasets.find(db, dataset_id)))


@blueprint.get("/dataset/<id:dataset_id>/<any(name, is_scene, use_privacy_mode, size):name>")
def single_property(dataset_id: str, name: str) -> Response:
    """``GET dataset/{id}/{name,is_scene,use_privacy_mode,size}``: return one property of a dataset."""
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
    if name == "size":
        return reply(DatasetSize(count=dataset.length))
    return reply({name: getattr(dataset, name)})


@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/rename")
def rename(dataset_id: str) -> Response:
    """``POST _nucleus_pandas/dataset/{id}/rename``: change the name of a dataset."""
    name = body(RenameDataset).name
    with nucleus().database.write() as db:
        datasets.rename(db, datasets.find(db, dataset_id), name)
    return reply({"name": name})


@blueprint.get("/dataset/<id:dataset_id>/model_runs")
def model_runs(dataset_id: str) -> Response:
    """``GET dataset/{id}/model_runs``: list the ids of the runs on a dataset."""
    return reply_from(lambda db: datasets.run_ids(db, datasets.find(db, dataset_id)))


@blueprint.get("/dataset/<id:dataset_id>/datasetItems")
def dataset_items(dataset_id: str) -> Response:
    """``GET dataset/{id}/datasetItems``: list all items of a dataset."""
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
        return reply({"dataset_items": [render.item(row, dataset.tag, file_url) for row in items.page(db, dataset)]})


@blueprint.delete("/dataset/<id:dataset_id>")
def delete(dataset_id: str) -> Response:
    """``DELETE dataset/{id}``: delete a dataset with its items, annotations and runs."""
    with nucleus().database.write() as db:
        datasets.mark_deleted(db, datasets.find(db, dataset_id))
    nucleus().purge()
    return reply({"message": "Beginning dataset deletion..."})


@blueprint.route("/dataset/<id:dataset_id>/tags", methods=["GET", "POST", "DELETE"])
def tags(dataset_id: str) -> Response:
    """``GET``, ``POST`` and ``DELETE dataset/{id}/tags``: list, add or remove tags, and return those that remain."""
    if request.method == "GET":
        with nucleus().database.read() as db:
            return reply({"tags": datasets.tags(db, datasets.find(db, dataset_id))})
    names = body(Tags).tags
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        (datasets.add_tags if request.method == "POST" else datasets.remove_tags)(db, dataset, names)
        return reply({"tags": datasets.tags(db, dataset)})


@blueprint.post("/dataset/<id:dataset_id>/add_taxonomy")
def add_taxonomy(dataset_id: str) -> Response:
    """``POST dataset/{id}/add_taxonomy``: create a taxonomy, or add labels to one."""
    payload = body(AddTaxonomy)
    with nucleus().database.write() as db:
        status = datasets.add_taxonomy(db, datasets.find(db, dataset_id), payload)
    return reply({"dataset_id": dataset_id, "taxonomy_name": payload.taxonomy_name, "status": status})


@blueprint.delete("/dataset/<id:dataset_id>/taxonomy/<rest:name>")
def delete_taxonomy(dataset_id: str, name: str) -> Response:
    """``DELETE dataset/{id}/taxonomy/{name}``: delete a taxonomy with its annotations and predictions."""
    with nucleus().database.write() as db:
        datasets.delete_taxonomy(db, datasets.find(db, dataset_id), name)
    return reply({"dataset_id": dataset_id, "taxonomy_name": name, "status": "Taxonomy successfully deleted"})
