"""Routes that read pages and exports of a dataset: items, items with their annotations, and single objects."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, Response

from nucleus_pandas.errors import BadRequestError, ConflictError, UnsupportedError
from nucleus_pandas.server.ingest.targets import RunPath
from nucleus_pandas.server.query import compile_query
from nucleus_pandas.server.read import render
from nucleus_pandas.server.read.exports import Export, Paging
from nucleus_pandas.server.routes.request import body, file_url, nucleus, reply, reply_from
from nucleus_pandas.server.store import commits, datasets, items, layers
from nucleus_pandas.server.store.commits import ObjectKind
from nucleus_pandas.server.store.ids import item_id, item_range
from nucleus_pandas.server.store.layers import AnnotationLayer, AnnotationRow
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.server.store.subsets import Subset
from nucleus_pandas.wire.entities import JsonObject
from nucleus_pandas.wire.evaluations import ObjectsPage

blueprint = Blueprint("exports", __name__)

_OBJECTS = 10_000  # per page


def _queried_items(db: sqlite3.Connection, dataset_id: str, query: str | None) -> Subset:
    """Return the items of a dataset that match a query; all items without one."""
    return Subset(datasets.find(db, dataset_id), condition=compile_query(query, "item") or Condition())


@blueprint.post("/dataset/<id:dataset_id>/itemsPage")
@blueprint.post("/dataset/<id:dataset_id>/queryItemsPage")
def items_page(dataset_id: str) -> Response:
    """``POST dataset/{id}/itemsPage`` and ``queryItemsPage``: return a page of items, those that match the query."""
    paging = body(Paging)
    return reply_from(lambda db: Export(db, _queried_items(db, dataset_id, paging.query), file_url).items_page(paging))


@blueprint.post("/dataset/<id:dataset_id>/exportForTrainingPage")
def export_page(dataset_id: str) -> Response:
    """``POST dataset/{id}/exportForTrainingPage``: return a page of items with their annotations."""
    paging = body(Paging)
    return reply_from(lambda db: Export(db, _queried_items(db, dataset_id, paging.query), file_url).rows_page(paging))


@blueprint.post("/dataset/<id:dataset_id>/queryScenesPage")
def scenes_page(dataset_id: str) -> Response:
    """``POST dataset/{id}/queryScenesPage``: reject a query of scenes."""
    body(Paging)
    with nucleus().database.read() as db:
        datasets.find(db, dataset_id)
    raise UnsupportedError("Scenes are not supported by this server; query items instead.")


@blueprint.get("/dataset/<id:dataset_id>/exportForTraining")
def whole_export(dataset_id: str) -> Response:
    """``GET dataset/{id}/exportForTraining``: return all items with their annotations."""
    return reply_from(lambda db: {"exportedRows": Export(db, Subset(datasets.find(db, dataset_id)), file_url).every()})


@blueprint.get("/dataset/<id:dataset_id>/class_labels")
def class_labels(dataset_id: str) -> Response:
    """``GET dataset/{id}/class_labels``: list the labels of the ground truth."""
    return reply_from(lambda db: {"data": datasets.ground_truth_labels(db, datasets.find(db, dataset_id))})


# Objects


@blueprint.post("/dataset/<id:dataset_id>/queryObjectsPage")
def objects_page(dataset_id: str) -> Response:
    """``POST dataset/{id}/queryObjectsPage``: return a page of annotations, predictions or matches."""
    payload = body(ObjectsPage)
    mode = payload.patch_mode
    of_ground_truth = mode == "ground_truth_only"
    if payload.model_run_id is None and not of_ground_truth:
        raise BadRequestError(f"The mode `{mode}` needs a run - at `$.model_run_id`.")
    limit = min(payload.page_size or _OBJECTS, _OBJECTS)
    with nucleus().database.read() as db:
        subset = Subset(datasets.find(db, dataset_id))
        run: Run | None = None
        layer = subset.dataset.layer
        if payload.model_run_id is not None:
            run, predictions, _ = RunPath(run_id=payload.model_run_id, dataset_id=dataset_id).find(db)
            layer = layer if of_ground_truth else predictions
        after = subset.parse_token(payload.page_token, arrivals=True) if payload.page_token else None
        if mode == "predictions_only" or mode == "ground_truth_only":
            condition = compile_query(payload.query, "annotation" if of_ground_truth else "prediction", run)
            objects, next_token = _annotations(
                db, subset, layer, None if of_ground_truth else run, after, limit, condition or Condition()
            )
        else:
            assert run is not None
            condition = compile_query(payload.query, "match", run)
            objects, next_token = _matches(db, subset, run, mode, after, limit, condition or Condition())
    return reply({"items": objects, "nextPageToken": next_token})


def _annotations(
    db: sqlite3.Connection,
    subset: Subset,
    layer: AnnotationLayer,
    run: Run | None,
    after: tuple[int, int] | None,
    limit: int,
    condition: Condition,
) -> tuple[list[JsonObject], str | None]:
    columns = ", ".join(f"object.{name}" for name in AnnotationRow._fields)
    rows = subset.objects(db, layer, after, limit + 1, columns, condition)
    next_token = subset.token(rows[limit - 1][0], rows[limit - 1][2]) if len(rows) > limit else None
    objects = [AnnotationRow._make(row[1:]) for row in rows[:limit]]
    names: dict[int, str] = dict(items.select(db, {row.item for row in objects}, "id, reference_id"))
    return [render.annotation(row, subset.dataset.tag, names[row.item], file_url, run) for row in objects], next_token


def _matches(
    db: sqlite3.Connection,
    subset: Subset,
    run: Run,
    mode: ObjectKind,
    after: tuple[int, int] | None,
    limit: int,
    condition: Condition,
) -> tuple[list[JsonObject], str | None]:
    if run.parameters is None:
        raise ConflictError(
            f"The run '{run.public_id}' is not matched with the ground truth yet; commit it, or calculate the "
            "evaluation metrics of its model."
        )
    bounds = item_range(subset.owner)
    rows = commits.objects(db, run, mode, bounds, after or (bounds[0], -1), limit + 1, condition)
    next_token = subset.token(*rows[limit - 1][:2]) if len(rows) > limit else None
    return [
        {
            "model_run_id": run.public_id,
            "dataset_item_id": item_id(subset.dataset.tag, item),
            "ground_truth_annotation_id": layers.id_of_key(annotation),
            "ground_truth_annotation_label": label,
            "model_prediction_id": layers.id_of_key(prediction),
            "model_prediction_label": predicted,
            "iou": iou,
            "true_positive": bool(right),
        }
        for item, _, annotation, label, right, prediction, predicted, iou in rows[:limit]
    ], next_token
