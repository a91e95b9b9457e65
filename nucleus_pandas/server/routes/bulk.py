"""Routes beyond the contract, all under ``_nucleus_pandas/``; `append`, `annotate` and `predict` stand by their kin."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from flask import Blueprint, Response, current_app, request, send_file

from nucleus_pandas._util.version import __version__
from nucleus_pandas.errors import BadRequestError, ConflictError, NotFoundError
from nucleus_pandas.server.evaluation import commit
from nucleus_pandas.server.ingest.rows import layer_of
from nucleus_pandas.server.media.files import Images
from nucleus_pandas.server.query import Target, compile_query
from nucleus_pandas.server.read import selections
from nucleus_pandas.server.routes.request import body, end_stale_jobs, file_url, nucleus, reply
from nucleus_pandas.server.store import commits, datasets, items, jobs, models, subsets
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import ALL_ITEMS, item_id
from nucleus_pandas.server.store.layers import Layer, id_of_key
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.server.store.subsets import Subset
from nucleus_pandas.wire.bulk import DeleteItems, ItemsDeleted, RunCommit, RunPlace, Selection

blueprint = Blueprint("extensions", __name__)

EXTENSIONS = (
    "cancel",
    "columns",
    "commits",
    "delete",
    "idempotency",
    "lookup",
    "matches",
    "model-predictions",
    "outcomes",
    "images",
    "queries",
    "refuse-existing",
    "slices",
)
_PAGE = 10_000


@blueprint.get("/_nucleus_pandas")
def discover() -> Response:
    """Return what this server can do beyond the contract."""
    page = ("page",) if "page" in current_app.extensions else ()
    return reply({"version": __version__, "extensions": sorted([*EXTENSIONS, *page])})


def _condition(db: sqlite3.Connection, wanted: Selection, target: Target, dataset: Dataset) -> Condition | None:
    """Compile the query of a selection; its `predictions` are those of one run, where it names one, or of all."""
    run = None
    if wanted.model_run_id is not None:
        run = models.find_run(db, wanted.model_run_id)
        run.check_of(dataset)
    return compile_query(wanted.query, target, run)


def _items(db: sqlite3.Connection, subset: Subset, wanted: Selection) -> Response:
    condition = _condition(db, wanted, "item", subset.dataset) or Condition()
    return reply(selections.read_items(db, replace(subset, condition=condition), wanted, file_url))


@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/items")
def read_items(dataset_id: str) -> Response:
    """Return items, as columns."""
    wanted = body(Selection)
    with nucleus().database.read() as db:
        return _items(db, Subset(datasets.find(db, dataset_id)), wanted)


@blueprint.post("/_nucleus_pandas/slice/<id:slice_id>/items")
def read_slice_items(slice_id: str) -> Response:
    """Return items of a slice, as columns; positions are those in the slice."""
    wanted = body(Selection)
    with nucleus().database.read() as db:
        return _items(db, subsets.of_slice(db, slice_id), wanted)


@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/delete_items")
def delete_items(dataset_id: str) -> Response:
    """Delete items: all that are there, or none where the store fails."""
    wanted = body(DeleteItems).reference_ids
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        known = items.ids_of(db, dataset, wanted)
        for number in known.values():
            items.delete_number(db, dataset, number)
    nucleus().purge()
    missing = [place for place, name in enumerate(wanted) if name not in known]
    return reply(ItemsDeleted(deleted=len(known), missing=missing))


@blueprint.post("/_nucleus_pandas/job/<id:job_id>/cancel")
def cancel(job_id: str) -> Response:
    """Stop a job that runs; what it has done stays."""
    end_stale_jobs()
    with nucleus().database.write() as db:
        jobs.cancel(db, jobs.find(db, job_id))
        return reply(jobs.find(db, job_id).entry())


@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/annotations")
@blueprint.post("/_nucleus_pandas/slice/<id:slice_id>/annotations")
def read_annotations(**names: str) -> Response:
    """Return the ground truth of items of a dataset or of a slice, as columns."""
    wanted = body(Selection)
    with nucleus().database.read() as db:
        subset = _subset(db, **names)
        condition = _condition(db, wanted, "annotation", subset.dataset)
        layer = Layer(None, ("dataset", subset.dataset.id))
        return reply(selections.read_annotations(db, layer, subset, wanted, file_url, condition))


def _subset(db: sqlite3.Connection, dataset_id: str | None = None, slice_id: str | None = None) -> Subset:
    return subsets.of_slice(db, slice_id or "") if dataset_id is None else Subset(datasets.find(db, dataset_id))


@blueprint.get("/_nucleus_pandas/modelRun/<id:run_id>")
def run_place(run_id: str) -> Response:
    """Return where a run belongs."""
    with nucleus().database.read() as db:
        run = models.find_run(db, run_id)
        _, dataset = layer_of(db, run)
    return reply(RunPlace(model_id=f"prj_{run.model_tag}", dataset_id=None if dataset is None else dataset.public_id))


@blueprint.get("/_nucleus_pandas/modelRun/<id:run_id>/commit")
def run_commit(run_id: str) -> Response:
    """Return how a run was committed, and whether what it was matched from has changed since."""
    with nucleus().database.read() as db:
        run = models.find_run(db, run_id)
        if run.committed_at is None:
            return reply(RunCommit())
        stale = commit.is_stale(db, run)
    return reply(
        RunCommit(
            committed_at=run.committed_at,
            class_agnostic=run.parameters["class_agnostic"],
            allowed_label_matches=run.parameters["allowed_label_matches"],
            stale=stale,
        )
    )


@blueprint.get("/_nucleus_pandas/modelRun/<id:run_id>/matches")
def matches(run_id: str) -> Response:
    """Return a page of the matches that a commit found, as columns."""
    try:
        item, number = map(int, request.args.get("after", "-1,-1").split(","))
        limit = min(int(request.args.get("limit", _PAGE)), _PAGE)
    except ValueError:
        raise BadRequestError("`after` is what the page before gave as `next`; `limit` is a whole number.") from None
    if limit < 1 or max(abs(item), abs(number)) >= ALL_ITEMS[1]:
        raise BadRequestError("`limit` is at least 1, and `after` is what the page before gave as `next`.")
    with nucleus().database.read() as db:
        run = models.find_run(db, run_id)
        if run.committed_at is None:
            raise ConflictError(f"The run '{run_id}' is not committed; run.commit() computes its matches.")
        page = commits.page(db, run, (item, number), limit)
    names = (
        "dataset_item_id",
        "reference_id",
        "annotation_id",
        "prediction_id",
        "label",
        "predicted_label",
        "confidence",
        "iou",
        "agrees",
    )
    rows = [
        (tag and item_id(tag, number), reference_id, id_of_key(truth), id_of_key(prediction), *rest)
        for number, _, tag, reference_id, truth, prediction, *rest in page.rows
    ]
    columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())
    after = None if page.after is None else f"{page.after[0]},{page.after[1]}"
    return reply({"columns": columns, "next": after, "parameters": run.parameters})


@blueprint.get("/_nucleus_pandas/<any(images, masks):kind>/<rest:name>")
def file(kind: str, name: str) -> Response:
    """Serve an uploaded file."""
    folder: Images = getattr(nucleus(), kind)
    path = folder.path(name)
    if path is None:
        raise NotFoundError(f"There is no file '{name}'.")
    response = send_file(path, max_age=31_536_000, conditional=True)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"  # an SVG may hold scripts
    return response
