"""Routes of model runs and their predictions.

A run is named by its id, or as that of a model on a dataset. Predictions that name it so never meet a committed run:
they go to the newest one that is open, or make one. What is read by model is the newest run.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from flask import Blueprint, Response

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.evaluation import commit as run_commit
from nucleus_pandas.server.ingest.rows import layer_of
from nucleus_pandas.server.read import render
from nucleus_pandas.server.routes.evaluations import label_rule
from nucleus_pandas.server.routes.items import consume, find_annotation, locate, receive_annotations
from nucleus_pandas.server.routes.request import (
    body,
    creation,
    file_url,
    is_extension,
    is_multipart,
    names_upload,
    nucleus,
    reply,
    summary,
)
from nucleus_pandas.server.store import commits, datasets, items, jobs, layers, models
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import ALL_ITEMS, dataset_of, item_range
from nucleus_pandas.server.store.layers import Layer
from nucleus_pandas.server.store.models import Model, Run
from nucleus_pandas.wire.requests import Commit, CreateModelRun, FromUpload, MergeRuns
from nucleus_pandas.wire.responses import PredictionsView, RunInfo

blueprint = Blueprint("runs", __name__)


@dataclass(slots=True)
class Place:
    """What a path names: a run by its id, or that of a model on a dataset."""

    run_id: str | None = None
    dataset_id: str | None = None
    model_id: str | None = None

    def check(self, db: sqlite3.Connection) -> tuple[Layer | None, Dataset | None]:
        """Find where predictions are to go; the layer is None where the run is found or made when they go there."""
        if self.run_id is None:
            _, dataset = self._names(db)
            return None, dataset
        return self._of_run(db, models.find_run(db, self.run_id))

    def target(self, db: sqlite3.Connection) -> tuple[Layer, Dataset | None]:
        """Find where predictions go, and make a run if need be; later calls find the same run again."""
        if self.run_id is None:
            self.run_id = models.open_run(db, *self._names(db)).public_id
        return self._of_run(db, models.find_run(db, self.run_id))

    def source(self, db: sqlite3.Connection) -> tuple[Run, Layer, Dataset | None]:
        """Find what is read."""
        run = models.newest_run(db, *self._names(db)) if self.run_id is None else models.find_run(db, self.run_id)
        return run, *self._of_run(db, run)

    def note_trained(self, db: sqlite3.Connection, slice_id: str | None) -> None:
        """Add to the model's trained slice ids the one that the predictions name, if they do."""
        name = self.model_id or f"prj_{models.find_run(db, self.run_id or '').model_tag}"
        models.note_trained(db, models.find(db, name), slice_id)

    def _names(self, db: sqlite3.Connection) -> tuple[Model, Dataset]:
        return models.find(db, self.model_id or ""), datasets.find(db, self.dataset_id or "")

    def _of_run(self, db: sqlite3.Connection, run: Run) -> tuple[Layer, Dataset | None]:
        layer, dataset = layer_of(db, run)
        if self.dataset_id is None:
            return layer, dataset
        if dataset is not None and dataset.public_id != self.dataset_id:
            raise BadRequestError(
                f"The run '{run.public_id}' is one on the dataset '{dataset.public_id}', not on '{self.dataset_id}'. "
                "A run that spans datasets is made under its model, without a dataset."
            )
        return layer, datasets.find(db, self.dataset_id)


@blueprint.post("/modelRun/<id:run_id>/predict")
@blueprint.post("/modelRun/<id:run_id>/uploadPredictions")
@blueprint.post("/dataset/<id:dataset_id>/modelRun/<id:run_id>/uploadPredictions")
@blueprint.post("/dataset/<id:dataset_id>/model/<id:model_id>/uploadPredictions")
@blueprint.post("/_nucleus_pandas/modelRun/<id:run_id>/predict", endpoint="predict_with_outcomes")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/modelRun/<id:run_id>/uploadPredictions")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/model/<id:model_id>/uploadPredictions")
def predict(**names: str) -> Response:
    """Store predictions: from the body, with mask files, or from a signed upload."""
    place = Place(**names)
    if not is_multipart() and names_upload():
        with nucleus().database.read() as db:
            _, dataset = place.check(db)
        if dataset is None:
            raise BadRequestError("Signed uploads belong to a dataset, and this run spans datasets.")
        wanted = body(FromUpload)
        trained_on = wanted.trained_slice_id if isinstance(wanted.trained_slice_id, str) else None

        def target(db: sqlite3.Connection) -> tuple[Layer, Dataset | None]:
            place.note_trained(db, trained_on)
            return place.target(db)

        return consume(dataset.public_id, wanted, "uploadPredictions", target, place.check)
    stored = receive_annotations(place.target, place.check, place.note_trained)
    with nucleus().database.read() as db:
        _, dataset = place.target(db)
    described: dict[str, object] = {
        "model_run_id": place.run_id,
        "predictions_processed": stored.count("new", "updated"),
        "predictions_ignored": stored.count("ignored"),
    }
    if dataset is not None:
        described["dataset_id"] = dataset.public_id
    if stored.errors:
        described["errors"] = [stored.errors[row] for row in sorted(stored.errors)]
    if is_extension():
        described |= summary(stored)
    return reply(described)


@blueprint.post("/modelRun/<id:run_id>/commit")
def commit(run_id: str) -> Response:
    """Match the predictions with the ground truth, and freeze the run."""
    wanted = body(Commit)
    rule = label_rule(wanted.class_agnostic, wanted.allowed_label_matches)
    with nucleus().database.write() as db:
        run = models.find_run(db, run_id)
        run_commit.commit(db, run, rule)
    return reply({"model_run_id": run_id})


@blueprint.post("/dataset/<id:dataset_id>/model/<id:model_id>/calculateEvaluationMetrics")
def calculate(dataset_id: str, model_id: str) -> Response:
    """Match the newest predictions of a model with the ground truth, without freezing their run."""
    wanted = body(Commit)
    rule = label_rule(wanted.class_agnostic, wanted.allowed_label_matches)
    with nucleus().database.write() as db:
        run, _, _ = Place(dataset_id=dataset_id, model_id=model_id).source(db)
        run_commit.calculate(db, run, rule)
        counts = commits.counts(db, run, run_commit.COUNTED_IOU)
    return reply(
        {
            "dataset_id": dataset_id,
            "model_id": f"prj_{run.model_tag}",
            "model_run_id": run.public_id,
            "iou_threshold": run_commit.COUNTED_IOU,
            **counts,
        }
    )


@blueprint.get("/modelRun/<id:run_id>/info")
def info(run_id: str) -> Response:
    """Describe a run."""
    with nucleus().database.read() as db:
        run = models.find_run(db, run_id)
    metadata = run.metadata or {}
    return reply(RunInfo(model_id=f"prj_{run.model_tag}", name=run.name, status=run.status, metadata=metadata))


def bound(dataset: Dataset | None) -> Dataset:
    """Return the dataset of a run, or raise BadRequestError where it spans datasets."""
    if dataset is None:
        raise BadRequestError("This run spans datasets; its predictions have no position and no single reference id.")
    return dataset


@blueprint.get("/modelRun/<id:run_id>/<any(refloc, iloc, loc):by>/<rest:key>")
@blueprint.get("/dataset/<id:dataset_id>/model/<id:model_id>/<any(referenceId, iloc):by>/<rest:key>")
def view(by: str, key: str, **names: str) -> Response:
    """Return the predictions of an item."""
    with nucleus().database.read() as db:
        run, layer, dataset = Place(**names).source(db)
        row = locate(db, bound(dataset), "refloc" if by == "referenceId" else by, key)
        found = [
            render.annotation(p, bound(dataset).tag, row.reference_id, file_url, run)
            for p in layers.of_item(db, layer, row.id)
        ]
        return reply(PredictionsView(annotations=render.grouped(found, predictions=True)))


@blueprint.get("/modelRun/<id:run_id>/prediction/loc/<rest:path>")
@blueprint.get("/dataset/<id:dataset_id>/model/<id:model_id>/loc/<rest:path>")
def prediction_loc(path: str, **names: str) -> Response:
    """Return one prediction."""
    with nucleus().database.read() as db:
        run, layer, dataset = Place(**names).source(db)
        item, row = find_annotation(db, bound(dataset), layer)
        return reply(render.annotation(row, bound(dataset).tag, item.reference_id, file_url, run))


@blueprint.get("/modelRun/<id:run_id>/ungrouped")
@blueprint.get("/dataset/<id:dataset_id>/model/<id:model_id>/export")
def export(**names: str) -> Response:
    """Return all predictions of a run; those on a dataset where the path names one."""
    with nucleus().database.read() as db:
        run, layer, dataset = Place(**names).source(db)
        first, end = ALL_ITEMS if dataset is None else item_range(dataset.id)
        tags: dict[int, str] = dict(db.execute("SELECT id, tag FROM dataset WHERE NOT deleted").fetchall())
        known: dict[int, str] = {}
        found = []
        for row in layers.of_items(db, layer, first, end - 1):
            if dataset_of(row.item) not in tags:
                continue
            if row.item not in known:
                known = {row.item: items.reference_id_of(db, row.item)}
            found.append(render.annotation(row, tags[dataset_of(row.item)], known[row.item], file_url, run))
        return reply(render.grouped(found, predictions=True))


@blueprint.delete("/modelRun/<id:run_id>")
def delete(run_id: str) -> Response:
    """Delete a run with its predictions and matches."""
    with nucleus().database.write() as db:
        models.delete_run(db, models.find_run(db, run_id))
    nucleus().purge()
    return reply({"message": "Model run deleted.", "model_run_id": run_id})


@blueprint.post("/modelRun/merge")
def merge() -> Response:
    """Create a run that holds the predictions of several runs of one model."""
    wanted = body(MergeRuns)
    if len(set(wanted.model_run_ids)) < 2 or len(set(wanted.model_run_ids)) < len(wanted.model_run_ids):
        raise BadRequestError("Merging takes at least two run ids, each named once - at `$.model_run_ids`.")

    def make(db: sqlite3.Connection) -> object:
        runs = [models.find_run(db, run_id) for run_id in wanted.model_run_ids]
        if len({run.model for run in runs}) > 1:
            raise BadRequestError("Only runs of one model can be merged.")
        numbers = {run.dataset for run in runs}
        dataset = layer_of(db, runs[0])[1] if len(numbers) == 1 else None
        model = models.find(db, f"prj_{runs[0].model_tag}")
        into = models.create_run(db, model, dataset, CreateModelRun(name=wanted.name, metadata=wanted.metadata))
        count = models.merge(db, runs, into)
        job = jobs.create(db, "uploadPredictions", into.dataset, nucleus().owner)
        jobs.finish(db, job.id, "Completed", {"predictions_merged": count})
        scopes = [layer_of(db, run)[1] for run in runs]
        names = dict.fromkeys(scope.public_id for scope in scopes if scope is not None)
        return {"model_run_id": into.public_id, "dataset_ids": list(names), "job_id": job.public_id}

    return creation(make)
