"""Routes of model runs and their predictions."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, Response

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.evaluation import commit as run_commit
from nucleus_pandas.server.ingest.annotation_requests import store_request
from nucleus_pandas.server.ingest.targets import RunPath, dataset_of_run
from nucleus_pandas.server.ingest.upload_jobs import start_upload_job
from nucleus_pandas.server.read import render
from nucleus_pandas.server.routes.request import (
    annotation_request,
    body,
    create_once,
    file_url,
    find_annotation,
    find_item,
    is_multipart,
    label_rule,
    names_upload,
    nucleus,
    reply,
    reply_stored,
    row_outcomes,
    since,
)
from nucleus_pandas.server.store import commits, datasets, items, jobs, layers, models
from nucleus_pandas.server.store.ids import ALL_ITEMS, dataset_of, item_range
from nucleus_pandas.wire.bulk import AnnotateRows
from nucleus_pandas.wire.requests import Commit, CreateModelRun, FromUpload, MergeRuns
from nucleus_pandas.wire.responses import PredictionsAnswer, RunInfo

blueprint = Blueprint("runs", __name__)


@blueprint.post("/modelRun/<id:run_id>/predict")
@blueprint.post("/modelRun/<id:run_id>/uploadPredictions")
@blueprint.post("/dataset/<id:dataset_id>/modelRun/<id:run_id>/uploadPredictions")
@blueprint.post("/dataset/<id:dataset_id>/model/<id:model_id>/uploadPredictions")
@blueprint.post("/_nucleus_pandas/modelRun/<id:run_id>/predict", endpoint="predict_with_outcomes")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/modelRun/<id:run_id>/uploadPredictions")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/model/<id:model_id>/uploadPredictions")
def predict(**ids: str) -> Response:
    """``POST modelRun/{id}/predict``: store predictions from the body, with mask files, or from a signed upload.

    ``POST dataset/{id}/{modelRun,model}/{id}/uploadPredictions`` does the same for the run that it names.
    """
    path = RunPath(**ids)
    if not is_multipart() and names_upload():
        with nucleus().database.read() as db:
            _, dataset = path.check(db)
        if dataset is None:
            raise BadRequestError("Signed uploads belong to a dataset, but this run spans datasets; send the rows.")
        job = start_upload_job(nucleus(), dataset.public_id, body(FromUpload), "uploadPredictions", path)
        return reply(job.entry())
    rows, mask_parts = annotation_request()
    stored = store_request(nucleus(), rows, mask_parts, path, since=since())
    if isinstance(rows, AnnotateRows) and rows.check_only:
        return reply(row_outcomes(stored))
    with nucleus().database.read() as db:
        run, _, dataset = path.find(db)
    described: dict[str, object] = {"model_run_id": run.public_id}
    if dataset is not None:
        described["dataset_id"] = dataset.public_id
    return reply_stored(described, "predictions", stored)


@blueprint.post("/modelRun/<id:run_id>/commit")
def commit(run_id: str) -> Response:
    """``POST modelRun/{id}/commit``: match the predictions with the ground truth, and freeze the run."""
    options = body(Commit)
    rule = label_rule(options.class_agnostic, options.allowed_label_matches)
    with nucleus().database.write() as db:
        run_commit.commit(db, models.find_run(db, run_id), rule)
    return reply({"model_run_id": run_id})


@blueprint.post("/dataset/<id:dataset_id>/model/<id:model_id>/calculateEvaluationMetrics")
def calculate(dataset_id: str, model_id: str) -> Response:
    """``POST dataset/{id}/model/{id}/calculateEvaluationMetrics``: match the newest run without freezing it."""
    options = body(Commit)
    rule = label_rule(options.class_agnostic, options.allowed_label_matches)
    with nucleus().database.write() as db:
        run, _, _ = RunPath(dataset_id=dataset_id, model_id=model_id).find(db)
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
    """``GET modelRun/{id}/info``: describe a run."""
    with nucleus().database.read() as db:
        run = models.find_run(db, run_id)
    metadata = run.metadata or {}
    return reply(RunInfo(model_id=f"prj_{run.model_tag}", name=run.name, status=run.status, metadata=metadata))


@blueprint.get("/modelRun/<id:run_id>/<any(refloc, iloc, loc):by>/<rest:key>")
@blueprint.get("/dataset/<id:dataset_id>/model/<id:model_id>/<any(referenceId, iloc):by>/<rest:key>")
def view(by: str, key: str, **ids: str) -> Response:
    """``GET modelRun/{id}/{refloc,iloc,loc}/{key}``: return the predictions of an item.

    ``GET dataset/{id}/model/{id}/{referenceId,iloc}/{key}`` returns those of the newest run.
    """
    with nucleus().database.read() as db:
        run, layer, dataset = RunPath(**ids).find_on_dataset(db)
        item = find_item(db, dataset, "refloc" if by == "referenceId" else by, key)
        predictions = [
            render.annotation(row, dataset.tag, item.reference_id, file_url, run)
            for row in layers.of_item(db, layer, item.id)
        ]
        return reply(PredictionsAnswer(annotations=render.grouped(predictions, predictions=True)))


@blueprint.get("/modelRun/<id:run_id>/prediction/loc/<rest:path>")
@blueprint.get("/dataset/<id:dataset_id>/model/<id:model_id>/loc/<rest:path>")
def prediction_loc(path: str, **ids: str) -> Response:
    """``GET modelRun/{id}/prediction/loc/{reference id}/{annotation id}``: return one prediction."""
    with nucleus().database.read() as db:
        run, layer, dataset = RunPath(**ids).find_on_dataset(db)
        item, row = find_annotation(db, dataset, layer)
        return reply(render.annotation(row, dataset.tag, item.reference_id, file_url, run))


@blueprint.get("/modelRun/<id:run_id>/ungrouped")
@blueprint.get("/dataset/<id:dataset_id>/model/<id:model_id>/export")
def export(**ids: str) -> Response:
    """``GET modelRun/{id}/ungrouped``: return all predictions of a run, those on the dataset if the path names one."""
    with nucleus().database.read() as db:
        run, layer, dataset = RunPath(**ids).find(db)
        first, end = ALL_ITEMS if dataset is None else item_range(dataset.id)
        tags = datasets.tags_by_number(db)
        item, reference_id = -1, ""
        predictions = []
        for row in layers.of_items(db, layer, first, end - 1):
            if dataset_of(row.item) not in tags:
                continue
            if row.item != item:
                item, reference_id = row.item, items.reference_id_of(db, row.item)
            predictions.append(render.annotation(row, tags[dataset_of(item)], reference_id, file_url, run))
        return reply(render.grouped(predictions, predictions=True))


@blueprint.delete("/modelRun/<id:run_id>")
def delete(run_id: str) -> Response:
    """``DELETE modelRun/{id}``: delete a run with its predictions and matches."""
    with nucleus().database.write() as db:
        models.delete_run(db, models.find_run(db, run_id))
    nucleus().purge()
    return reply({"message": "Model run deleted.", "model_run_id": run_id})


@blueprint.post("/modelRun/merge")
def merge() -> Response:
    """``POST modelRun/merge``: create a run with the predictions of several runs of one model."""
    payload = body(MergeRuns)
    if len(set(payload.model_run_ids)) < 2 or len(set(payload.model_run_ids)) < len(payload.model_run_ids):
        raise BadRequestError("Merging takes at least two run ids, each named once - at `$.model_run_ids`.")

    def insert(db: sqlite3.Connection) -> object:
        runs = [models.find_run(db, run_id) for run_id in payload.model_run_ids]
        if len({run.model for run in runs}) > 1:
            raise BadRequestError("Only runs of one model can be merged.")
        homes = [dataset_of_run(db, run) for run in runs]
        model = models.find(db, f"prj_{runs[0].model_tag}")
        request = CreateModelRun(name=payload.name, metadata=payload.metadata)
        merged = models.create_run(db, model, homes[0] if len(set(homes)) == 1 else None, request)
        message = {"predictions_merged": models.merge(db, runs, merged)}
        job = jobs.record(db, "uploadPredictions", merged.dataset, nucleus().owner, message)
        dataset_ids = dict.fromkeys(dataset.public_id for dataset in homes if dataset is not None)
        return {"model_run_id": merged.public_id, "dataset_ids": list(dataset_ids), "job_id": job.public_id}

    return create_once(insert)
