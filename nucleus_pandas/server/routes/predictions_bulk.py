"""Predictions as columns: of a run, of the newest run of a model, of a model without a run; everywhere or on a part."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, Response

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.ingest.rows import layer_of
from nucleus_pandas.server.query import compile_query
from nucleus_pandas.server.read import selections
from nucleus_pandas.server.routes.request import body, file_url, nucleus, reply
from nucleus_pandas.server.routes.runs import Place, bound
from nucleus_pandas.server.store import datasets, free_runs, models, subsets
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.layers import Layer
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.subsets import Subset
from nucleus_pandas.wire.bulk import RunPlace, Selection

blueprint = Blueprint("predicted", __name__)

_NO_RUN = Layer(-1, ("run", -1))  # where nothing lies


@blueprint.post("/_nucleus_pandas/modelRun/<id:run_id>/predictions")
def of_run(run_id: str) -> Response:
    """Return those of a run."""
    with nucleus().database.read() as db:
        run = models.find_run(db, run_id)
        _, dataset = layer_of(db, run)
        return _read(db, run, None if dataset is None else Subset(dataset))


@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/modelRun/<id:run_id>/predictions")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/model/<id:model_id>/predictions")
def on_dataset(**names: str) -> Response:
    """Return those on the items of a dataset."""
    with nucleus().database.read() as db:
        run, _, dataset = Place(**names).source(db)
        return _read(db, run, Subset(bound(dataset)))


@blueprint.post("/_nucleus_pandas/slice/<id:slice_id>/modelRun/<id:run_id>/predictions")
@blueprint.post("/_nucleus_pandas/slice/<id:slice_id>/model/<id:model_id>/predictions")
def on_slice(slice_id: str, run_id: str | None = None, model_id: str | None = None) -> Response:
    """Return those on the items of a slice."""
    with nucleus().database.read() as db:
        subset = subsets.of_slice(db, slice_id)
        if run_id is None:
            run = models.newest_run(db, models.find(db, model_id or ""), subset.dataset)
        else:
            run = models.find_run(db, run_id)
            run.check_of(subset.dataset)
        return _read(db, run, subset)


def _read(db: sqlite3.Connection, run: Run, subset: Subset | None) -> Response:
    wanted = body(Selection)
    if subset is None and wanted.query:
        raise BadRequestError("This run spans datasets; query the predictions on the items of a slice - at `$.query`.")
    if wanted.model_run_id not in (None, run.public_id):
        raise BadRequestError("A query of predictions is about those of their own run - at `$.model_run_id`.")
    condition = compile_query(wanted.query, "prediction", run)
    return reply(selections.read_annotations(db, run.layer, subset, wanted, file_url, condition))


@blueprint.post("/_nucleus_pandas/model/<id:model_id>/predictions/rows")
def of_model(model_id: str) -> Response:
    """Return those of a model without a run; positions are those in the only dataset on which they lie."""
    wanted = body(Selection)
    if wanted.query or wanted.model_run_id:
        raise BadRequestError("Predictions are queried by their run; these belong to none - at `$.query`.")
    with nucleus().database.read() as db:
        run = free_runs.find(db, models.find(db, model_id))
        subset = None
        if wanted.positions is not None or wanted.reference_ids is not None:
            dataset = _only_dataset(db, run)
            if dataset is None:
                raise BadRequestError("The model has such predictions on no single dataset; name items by `item_ids`.")
            subset = Subset(dataset)
        layer = _NO_RUN if run is None else run.layer
        return reply(selections.read_annotations(db, layer, subset, wanted, file_url))


@blueprint.get("/_nucleus_pandas/model/<id:model_id>")
def place(model_id: str) -> Response:
    """Return on which dataset those of a model without a run lie, where it is one."""
    with nucleus().database.read() as db:
        model = models.find(db, model_id)
        dataset = _only_dataset(db, free_runs.find(db, model))
    return reply(RunPlace(model_id=model.public_id, dataset_id=None if dataset is None else dataset.public_id))


def _only_dataset(db: sqlite3.Connection, run: Run | None) -> Dataset | None:
    numbers = [] if run is None else models.datasets_of(db, run)
    return datasets.by_number(db, numbers[0]) if len(numbers) == 1 else None
