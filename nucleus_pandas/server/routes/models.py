"""Routes of models."""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec
from flask import Blueprint, Response, request

from nucleus_pandas.errors import BadRequestError, UnsupportedError
from nucleus_pandas.server.ingest import dataset_rules
from nucleus_pandas.server.routes.request import body, creation, nucleus, reply
from nucleus_pandas.server.store import datasets, models
from nucleus_pandas.wire.requests import AddModel, CreateModelRun, Tags, TrainedSlices
from nucleus_pandas.wire.responses import ModelAdded, ModelList, RunCreated

blueprint = Blueprint("models", __name__)


@blueprint.post("/models/add")
def add() -> Response:
    """Create a model."""
    wanted = body(AddModel)
    return creation(lambda db: ModelAdded(model_id=models.add(db, wanted).public_id))


@blueprint.get("/models/")
def listing() -> Response:
    """List all models."""
    with nucleus().database.read() as db:
        return reply(ModelList(models=[model.entry() for model in models.listing(db)]))


@blueprint.get("/model/<id:model_id>")
def one(model_id: str) -> Response:
    """Describe a model, found by its id or by that of one of its runs."""
    with nucleus().database.read() as db:
        return reply(models.find(db, model_id).entry())


@blueprint.delete("/model/<id:model_id>")
def delete(model_id: str) -> Response:
    """Delete a model with its runs."""
    with nucleus().database.write() as db:
        models.delete(db, models.find(db, model_id))
    nucleus().purge()
    return reply({"msg": "Model deletion running in an async job"})


@blueprint.route("/model/<id:model_id>/tag", methods=["POST", "DELETE"])
def tag(model_id: str) -> Response:
    """Add or remove tags."""
    return _change(model_id, "tags", body(Tags).tags)


@blueprint.route("/model/<id:model_id>/trainedSliceId", methods=["POST", "DELETE"])
def trained_slice_id(model_id: str) -> Response:
    """Add or remove ids of slices that the model was trained on."""
    return _change(model_id, "trained_slice_ids", body(TrainedSlices).trained_slice_ids)


def _change(model_id: str, column: Literal["tags", "trained_slice_ids"], values: list[str]) -> Response:
    with nucleus().database.write() as db:
        model = models.find(db, model_id)
        present = getattr(model, column)
        if request.method == "POST":
            present = list(dict.fromkeys([*present, *values]))
        else:
            absent = [value for value in values if value not in present]
            if absent:
                raise BadRequestError(f"The model '{model.public_id}' has no {', '.join(map(repr, absent))}.")
            present = [value for value in present if value not in values]
        models.set_list(db, model, column, present)
    return reply({"model_id": model.public_id, column: present})


@blueprint.post("/model/run/<id:model_id>/")
def launch(model_id: str) -> Response:
    """Refuse what needs Scale's model hosting."""
    raise UnsupportedError(f"Running the model '{model_id}' needs Scale Launch; send predictions instead.")


@blueprint.post("/dataset/<id:dataset_id>/modelRun/create")
@blueprint.post("/model/<id:model_id>/modelRun/create", endpoint="create_free_run")
def create_run(dataset_id: str | None = None, model_id: str | None = None) -> Response:
    """Create a run on a dataset; under a model, one that may span datasets."""
    wanted = body(CreateModelRun)
    dataset_rules.check_schema(wanted.annotation_metadata_schema, "$.annotation_metadata_schema")

    def make(db: sqlite3.Connection) -> object:
        dataset = None if dataset_id is None else datasets.find(db, dataset_id)
        located = wanted if model_id is None else msgspec.structs.replace(wanted, model_id=model_id, reference_id=None)
        model = models.model_of_request(db, located)
        run = models.create_run(db, model, dataset, wanted)
        return RunCreated(model_id=model.public_id, model_run_id=run.public_id)

    return creation(make)


@blueprint.get("/model/<id:model_id>/modelRun")
def runs(model_id: str) -> Response:
    """List the ids of a model's runs."""
    with nucleus().database.read() as db:
        return reply(models.runs_of(db, models.find(db, model_id)))
