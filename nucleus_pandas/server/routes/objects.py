"""Routes that give objects of a dataset: ground truth, predictions, and what a run's commit found."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, Response

from nucleus_pandas.errors import BadRequestError, ConflictError
from nucleus_pandas.server.query import compile_query
from nucleus_pandas.server.read import render
from nucleus_pandas.server.read.render import JsonObject
from nucleus_pandas.server.routes.request import body, file_url, nucleus, reply
from nucleus_pandas.server.routes.runs import Place
from nucleus_pandas.server.store import commits, datasets, items, layers
from nucleus_pandas.server.store.commits import ObjectKind
from nucleus_pandas.server.store.ids import item_id, item_range
from nucleus_pandas.server.store.layers import AnnotationRow, Layer
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.server.store.subsets import Subset
from nucleus_pandas.wire.evaluations import ObjectsPage

blueprint = Blueprint("objects", __name__)

_PAGE = 10_000


@blueprint.post("/dataset/<id:dataset_id>/queryObjectsPage")
def page(dataset_id: str) -> Response:
    """Return a page of annotations, of predictions, or of the matches of a run."""
    wanted = body(ObjectsPage)
    truth = wanted.patch_mode == "ground_truth_only"
    if wanted.model_run_id is None and not truth:
        raise BadRequestError(f"The mode `{wanted.patch_mode}` needs a run - at `$.model_run_id`.")
    limit = min(wanted.page_size or _PAGE, _PAGE)
    with nucleus().database.read() as db:
        subset = Subset(datasets.find(db, dataset_id))
        run: Run | None = None
        layer = Layer(None, ("dataset", subset.dataset.id))
        if wanted.model_run_id is not None:
            run, of_run, _ = Place(run_id=wanted.model_run_id, dataset_id=dataset_id).source(db)
            layer = layer if truth else of_run
        after = subset.parse_token(wanted.page_token, arrivals=True) if wanted.page_token else None
        if wanted.patch_mode == "predictions_only" or wanted.patch_mode == "ground_truth_only":
            condition = compile_query(wanted.query, "annotation" if truth else "prediction", run) or Condition()
            found, following = _annotations(db, subset, layer, None if truth else run, after, limit, condition)
        else:
            assert run is not None
            condition = compile_query(wanted.query, "match", run) or Condition()
            found, following = _matches(db, subset, run, wanted.patch_mode, after, limit, condition)
    return reply({"items": found, "nextPageToken": following})


def _annotations(
    db: sqlite3.Connection,
    subset: Subset,
    layer: Layer,
    run: Run | None,
    after: tuple[int, int] | None,
    limit: int,
    condition: Condition,
) -> tuple[list[JsonObject], str | None]:
    columns = ", ".join(f"object.{name}" for name in AnnotationRow._fields)
    rows = subset.objects(db, layer, after, limit + 1, columns, condition)
    following = subset.token(rows[limit - 1][0], rows[limit - 1][2]) if len(rows) > limit else None
    found = [AnnotationRow._make(row[1:]) for row in rows[:limit]]
    known: dict[int, str] = dict(items.select(db, {row.item for row in found}, "id, reference_id"))
    return [render.annotation(row, subset.dataset.tag, known[row.item], file_url, run) for row in found], following


def _matches(
    db: sqlite3.Connection,
    subset: Subset,
    run: Run,
    kind: ObjectKind,
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
    rows = commits.objects(db, run, kind, bounds, after or (bounds[0], -1), limit + 1, condition)
    following = subset.token(*rows[limit - 1][:2]) if len(rows) > limit else None
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
    ], following
