"""Routes of models, and of predictions that belong to a model but to no run."""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec
from flask import Blueprint, Response, request

from nucleus_pandas.errors import BadRequestError, NotFoundError
from nucleus_pandas.server.ingest import dataset_rules
from nucleus_pandas.server.ingest.annotation_requests import store_request
from nucleus_pandas.server.ingest.targets import FreePredictionsOf
from nucleus_pandas.server.read import render
from nucleus_pandas.server.routes.request import (
    annotation_request,
    body,
    create_once,
    file_url,
    find_item,
    is_bulk,
    is_multipart,
    names_upload,
    nucleus,
    reply,
    reply_from,
    reply_stored,
    since,
)
from nucleus_pandas.server.store import datasets, items, layers, models
from nucleus_pandas.server.store.ids import dataset_of
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.wire.bulk import CreateRunOnce
from nucleus_pandas.wire.entities import Box, Cuboid, JsonObject, Polygon
from nucleus_pandas.wire.requests import AddModel, CopyPredictions, CreateModelRun, Tags, TrainedSlices
from nucleus_pandas.wire.responses import ModelAdded, ModelList, RunCreated

blueprint = Blueprint("models", __name__)

_FREE_TYPES = (
    f"Without a run, a model takes predictions of the types {', '.join(models.FREE_TYPES)}; send other types to a run"
)


@blueprint.post("/models/add")
def add() -> Response:
    """``POST models/add``: create a model."""
    payload = body(AddModel)
    return create_once(lambda db: ModelAdded(model_id=models.add(db, payload).public_id))


@blueprint.get("/models/")
def listing() -> Response:
    """``GET models/``: list all models."""
    return reply_from(lambda db: ModelList(models=[model.entry() for model in models.listing(db)]))


@blueprint.get("/model/<id:model_id>")
def info(model_id: str) -> Response:
    """``GET model/{id}``: describe a model, found by its id or by that of one of its runs."""
    return reply_from(lambda db: models.find(db, model_id).entry())


@blueprint.delete("/model/<id:model_id>")
def delete(model_id: str) -> Response:
    """``DELETE model/{id}``: delete a model with its runs."""
    with nucleus().database.write() as db:
        models.delete(db, models.find(db, model_id))
    nucleus().purge()
    return reply({"msg": "Model deletion running in an async job"})


@blueprint.route("/model/<id:model_id>/tag", methods=["POST", "DELETE"])
def tag(model_id: str) -> Response:
    """``POST`` and ``DELETE model/{id}/tag``: add or remove tags."""
    return _change(model_id, "tags", body(Tags).tags)


@blueprint.route("/model/<id:model_id>/trainedSliceId", methods=["POST", "DELETE"])
def trained_slice_id(model_id: str) -> Response:
    """``POST`` and ``DELETE model/{id}/trainedSliceId``: add or remove ids of slices used for training."""
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


@blueprint.post("/dataset/<id:dataset_id>/modelRun/create")
@blueprint.post("/model/<id:model_id>/modelRun/create", endpoint="create_free_run")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/modelRun/create", endpoint="create_run_once")
@blueprint.post("/_nucleus_pandas/model/<id:model_id>/modelRun/create", endpoint="create_free_run_once")
def create_run(dataset_id: str | None = None, model_id: str | None = None) -> Response:
    """``POST {dataset,model}/{id}/modelRun/create``: create a run on a dataset, or one that may span datasets."""
    payload = body(CreateRunOnce if is_bulk() else CreateModelRun)
    dataset_rules.check_schema(payload.annotation_metadata_schema, "$.annotation_metadata_schema")

    def insert(db: sqlite3.Connection) -> object:
        dataset = None if dataset_id is None else datasets.find(db, dataset_id)
        named = payload if model_id is None else msgspec.structs.replace(payload, model_id=model_id, reference_id=None)
        model = models.model_of_request(db, named)
        run = None
        if isinstance(payload, CreateRunOnce) and payload.exist_ok:
            run = models.run_named(db, model, dataset, payload.name)
        if run is None:
            run = models.create_run(db, model, dataset, payload)
        return RunCreated(model_id=model.public_id, model_run_id=run.public_id)

    return create_once(insert)


@blueprint.get("/model/<id:model_id>/modelRun")
def runs(model_id: str) -> Response:
    """``GET model/{id}/modelRun``: list the ids of a model's runs."""
    return reply_from(lambda db: models.runs_of(db, models.find(db, model_id)))


# Predictions without a run


@blueprint.post("/model/<id:model_id>/predictions")
@blueprint.post("/_nucleus_pandas/model/<id:model_id>/predictions", endpoint="predict_with_outcomes")
def predict(model_id: str) -> Response:
    """``POST model/{id}/predictions``: store predictions without a run."""
    if is_multipart():
        raise BadRequestError(f"{_FREE_TYPES}.")
    if names_upload():
        raise BadRequestError("Signed uploads belong to a dataset; send predictions without a run in the body.")
    rows, _ = annotation_request()
    for number, prediction in enumerate(rows.annotations):
        if not isinstance(prediction, (Box, Polygon, Cuboid)):
            raise BadRequestError(f"{_FREE_TYPES} - at `$.annotations[{number}]`.")
    if rows.segmentations:
        raise BadRequestError(f"{_FREE_TYPES} - at `$.segmentations[0]`.")
    with nucleus().database.read() as db:
        model_id = models.find(db, model_id).public_id  # the path may name the model by one of its runs
    stored = store_request(nucleus(), rows, None, FreePredictionsOf(model_id), anywhere=True, since=since())
    return reply_stored({"model_id": model_id}, "predictions", stored)


@blueprint.get("/model/<id:model_id>/predictions/<any(refloc, iloc, loc):by>/<rest:key>")
def view_predictions(model_id: str, by: str, key: str) -> Response:
    """``GET model/{id}/predictions/{refloc,iloc,loc}/{key}``: return the predictions of an item without a run.

    If several datasets have an item with that reference id, the reply holds the predictions of all of them.
    """
    with nucleus().database.read() as db:
        run = models.find_free_run(db, models.find(db, model_id))
        numbers = _by_position(db, run, key) if by == "iloc" else _by_id(db, by, key)
        predictions: list[JsonObject] = []
        if run is not None:
            for number in numbers:
                tag = datasets.by_number(db, dataset_of(number)).tag
                name = items.reference_id_of(db, number)
                rows = layers.of_item(db, run.layer, number)
                predictions += [render.annotation(row, tag, name, file_url, run) for row in rows]
        return reply({"predictions": predictions})


def _by_id(db: sqlite3.Connection, by: str, key: str) -> list[int]:
    if by == "refloc":
        named, numbers = "with reference_id ", items.ids_anywhere(db, [key]).get(key, [])
    else:
        named, numbers = "", list(items.existing(db, [key]).values())
    if not numbers:
        raise NotFoundError(f"There is no item {named}'{key}' in any dataset.")
    return numbers


def _by_position(db: sqlite3.Connection, run: Run | None, key: str) -> list[int]:
    numbers = [] if run is None else models.datasets_of(db, run)
    if len(numbers) > 1:
        raise BadRequestError(
            f"The model has such predictions on {len(numbers)} datasets, where a position names no single item; look "
            "them up by `loc` or `refloc`."
        )
    return [find_item(db, datasets.by_number(db, number), "iloc", key).id for number in numbers]


@blueprint.post("/model/<id:model_id>/predictions/copyFromRun")
def copy_from_run(model_id: str) -> Response:
    """``POST model/{id}/predictions/copyFromRun``: copy the predictions of a run of the model."""
    payload = body(CopyPredictions)
    with nucleus().database.write() as db:
        model = models.find(db, model_id)
        run = models.find_run(db, payload.model_run_id)
        if run.model != model.id:
            raise BadRequestError(
                f"The run '{run.public_id}' belongs to the model 'prj_{run.model_tag}', not to '{model.public_id}' - "
                "at `$.model_run_id`."
            )
        copied, skipped = models.copy_to_free_run(db, run, model)
    return reply(
        {
            "model_id": model.public_id,
            "model_run_ids": [run.public_id],
            "predictions_copied": copied,
            "predictions_skipped_unsupported": skipped,
        }
    )
