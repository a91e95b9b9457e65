"""Routes of predictions that belong to a model and to no run; their items may lie in any dataset."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, Response

from nucleus_pandas.errors import BadRequestError, NotFoundError
from nucleus_pandas.server.ingest.rows import store_annotations, store_boxes
from nucleus_pandas.server.read import render
from nucleus_pandas.server.routes.items import annotate_body, conflicts, locate
from nucleus_pandas.server.routes.request import (
    body,
    file_url,
    is_extension,
    is_multipart,
    names_upload,
    nucleus,
    reply,
    summary,
)
from nucleus_pandas.server.store import datasets, free_runs, items, layers, models
from nucleus_pandas.server.store.ids import dataset_of
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.wire.bulk import AnnotateRows
from nucleus_pandas.wire.entities import Box, Cuboid, Polygon
from nucleus_pandas.wire.requests import CopyPredictions

blueprint = Blueprint("predictions", __name__)

_TYPES = f"A model takes predictions of the types {', '.join(free_runs.TYPES)} without a run; send the others to a run"


@blueprint.post("/model/<id:model_id>/predictions")
@blueprint.post("/_nucleus_pandas/model/<id:model_id>/predictions", endpoint="predict_with_outcomes")
def predict(model_id: str) -> Response:
    """Store predictions without a run."""
    if is_multipart():
        raise BadRequestError(f"{_TYPES}.")
    if names_upload():
        raise BadRequestError("Signed uploads belong to a dataset; predictions without a run are sent in the body.")
    wanted = body(annotate_body())
    boxes = wanted.boxes if isinstance(wanted, AnnotateRows) else None
    if boxes is not None and wanted.annotations:
        raise BadRequestError("A request holds either annotations or the columns of `boxes` - at `$.boxes`.")
    for number, one in enumerate(wanted.annotations):
        if not isinstance(one, (Box, Polygon, Cuboid)):
            raise BadRequestError(f"{_TYPES} - at `$.annotations[{number}]`.")
    if wanted.segmentations:
        raise BadRequestError(f"{_TYPES} - at `$.segmentations[0]`.")
    update, refuse = conflicts(wanted)
    with nucleus().database.write() as db:
        model = models.find(db, model_id)
        layer = free_runs.find_or_make(db, model).layer
        if boxes is not None:
            stored = store_boxes(db, layer, None, boxes, update=update, refuse=refuse, anywhere=True)
        else:
            stored = store_annotations(db, layer, None, wanted.annotations, update=update, refuse=refuse, anywhere=True)
        models.note_trained(db, model, wanted.trained_slice_id)
    described: dict[str, object] = {
        "model_id": model.public_id,
        "predictions_processed": stored.count("new", "updated"),
        "predictions_ignored": stored.count("ignored"),
    }
    if stored.errors:
        described["errors"] = [stored.errors[row] for row in sorted(stored.errors)]
    if is_extension():
        described |= summary(stored)
    return reply(described)


@blueprint.get("/model/<id:model_id>/predictions/<any(refloc, iloc, loc):by>/<rest:key>")
def view(model_id: str, by: str, key: str) -> Response:
    """Return the predictions without a run of an item; of every item where several datasets have that reference id."""
    with nucleus().database.read() as db:
        run = free_runs.find(db, models.find(db, model_id))
        numbers = _by_position(db, run, key) if by == "iloc" else _by_id(db, by, key)
        found: list[render.JsonObject] = []
        for number in numbers:
            if run is not None:
                found += _of_item(db, run, number)
        return reply({"predictions": found})


def _of_item(db: sqlite3.Connection, run: Run, number: int) -> list[render.JsonObject]:
    tag = datasets.by_number(db, dataset_of(number)).tag
    name = items.reference_id_of(db, number)
    return [render.annotation(row, tag, name, file_url, run) for row in layers.of_item(db, run.layer, number)]


def _by_id(db: sqlite3.Connection, by: str, key: str) -> list[int]:
    known = items.ids_anywhere(db, [key]).get(key, []) if by == "refloc" else list(items.existing(db, [key]).values())
    if not known:
        raise NotFoundError(f"There is no item {'with reference_id ' if by == 'refloc' else ''}'{key}' in any dataset.")
    return known


def _by_position(db: sqlite3.Connection, run: Run | None, key: str) -> list[int]:
    numbers = [] if run is None else models.datasets_of(db, run)
    if len(numbers) > 1:
        raise BadRequestError(
            f"The model has such predictions on {len(numbers)} datasets, where a position names no single item; look "
            "them up by `loc` or `refloc`."
        )
    return [locate(db, datasets.by_number(db, number), "iloc", key).id for number in numbers]


@blueprint.post("/model/<id:model_id>/predictions/copyFromRun")
def copy_from_run(model_id: str) -> Response:
    """Copy the predictions of a run of the model, which stays as it is."""
    wanted = body(CopyPredictions)
    with nucleus().database.write() as db:
        model = models.find(db, model_id)
        run = models.find_run(db, wanted.model_run_id)
        if run.model != model.id:
            raise BadRequestError(
                f"The run '{run.public_id}' is one of the model 'prj_{run.model_tag}', not of '{model.public_id}' - at "
                "`$.model_run_id`."
            )
        copied, skipped = free_runs.copy(db, run, model)
    return reply(
        {
            "model_id": model.public_id,
            "model_run_ids": [run.public_id],
            "predictions_copied": copied,
            "predictions_skipped_unsupported": skipped,
        }
    )
