"""Routes of the bulk API under ``_nucleus_pandas/``, which answer with columns.

Its routes that store rows are beside those of the contract, in `items`, `runs` and `models`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from flask import Blueprint, Response, current_app, request

from nucleus_pandas._util.compat import __version__
from nucleus_pandas.errors import BadRequestError, ConflictError
from nucleus_pandas.server.evaluation import commit
from nucleus_pandas.server.ingest.targets import RunPath, dataset_of_run
from nucleus_pandas.server.query import QueryTarget, compile_query, mentions_of
from nucleus_pandas.server.read import selections
from nucleus_pandas.server.routes.request import body, file_url, nucleus, reply
from nucleus_pandas.server.store import commits, datasets, generations, items, layers, models, subsets, vocabulary
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import ALL_ITEMS, item_id, item_range
from nucleus_pandas.server.store.layers import AnnotationLayer, id_of_key
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.server.store.subsets import Subset
from nucleus_pandas.wire.bulk import (
    DeleteItems,
    DeleteRows,
    DoubtQuery,
    Generation,
    ItemsDeleted,
    LeaveMark,
    MarkLeft,
    MatchColumns,
    QueryDoubts,
    RowsDeleted,
    RowSelection,
    RunCommit,
    RunPlace,
)

blueprint = Blueprint("bulk", __name__)

EXTENSIONS = (
    "cancel",
    "check-existing",
    "columns",
    "commits",
    "delete",
    "delete-predictions",
    "exist-ok",
    "generation",
    "idempotency",
    "lookup",
    "marks",
    "matches",
    "model-predictions",
    "outcomes",
    "images",
    "queries",
    "query-doubts",
    "refuse-existing",
    "rename",
    "replace",
    "slices",
)
_PAGE = 10_000
_NO_PREDICTIONS = AnnotationLayer(-1, ("run", -1))  # the number of no run


@blueprint.get("/_nucleus_pandas")
def discover() -> Response:
    """``GET _nucleus_pandas``: list the extensions of this server beyond the contract."""
    page = ("page",) if "page" in current_app.extensions else ()
    return reply({"version": __version__, "extensions": sorted([*EXTENSIONS, *page])})


# Items and ground truth


def _subset(db: sqlite3.Connection, dataset_id: str | None = None, slice_id: str | None = None) -> Subset:
    return subsets.of_slice(db, slice_id or "") if dataset_id is None else Subset(datasets.find(db, dataset_id))


def _condition(
    db: sqlite3.Connection, selection: RowSelection, target: QueryTarget, dataset: Dataset
) -> Condition | None:
    """Compile the query of a selection; its `predictions` are those of the run that it names, otherwise of all runs."""
    run = None
    if selection.model_run_id is not None:
        run = models.find_run(db, selection.model_run_id)
        run.check_of(dataset)
    return compile_query(selection.query, target, run)


@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/items")
@blueprint.post("/_nucleus_pandas/slice/<id:slice_id>/items")
def read_items(**ids: str) -> Response:
    """``POST _nucleus_pandas/{dataset,slice}/{id}/items``: return items; positions count in the dataset or slice."""
    selection = body(RowSelection)
    with nucleus().database.read() as db:
        subset = _subset(db, **ids)
        condition = _condition(db, selection, "item", subset.dataset) or Condition()
        return reply(selections.read_items(db, replace(subset, condition=condition), selection, file_url))


@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/delete_items")
def delete_items(dataset_id: str) -> Response:
    """``POST _nucleus_pandas/dataset/{id}/delete_items``: delete items in one transaction; unknown ones are skipped."""
    reference_ids = body(DeleteItems).reference_ids
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        numbers = items.ids_of(db, dataset, reference_ids)
        for number in numbers.values():
            items.delete(db, dataset, number)
    nucleus().purge()
    missing = [index for index, name in enumerate(reference_ids) if name not in numbers]
    return reply(ItemsDeleted(deleted=len(numbers), missing=missing))


@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/annotations")
@blueprint.post("/_nucleus_pandas/slice/<id:slice_id>/annotations")
def read_annotations(**ids: str) -> Response:
    """``POST _nucleus_pandas/{dataset,slice}/{id}/annotations``: return the ground truth of items."""
    selection = body(RowSelection)
    with nucleus().database.read() as db:
        subset = _subset(db, **ids)
        condition = _condition(db, selection, "annotation", subset.dataset)
        return reply(selections.read_annotations(db, subset.dataset.layer, subset, selection, file_url, condition))


@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/queryDoubts")
def query_doubts(dataset_id: str) -> Response:
    """``POST _nucleus_pandas/dataset/{id}/queryDoubts``: name keys and labels in a query that no row has."""
    asked = body(DoubtQuery)
    target: QueryTarget = asked.kind.removesuffix("s")  # type: ignore[assignment]
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
        run = None if asked.model_run_id is None else models.find_run(db, asked.model_run_id).id
        doubts = []
        for mention in mentions_of(asked.query, target):
            doubt = vocabulary.doubt(db, dataset, mention.what, mention.owner, mention.names, run)
            doubts += [] if doubt is None else [doubt]
    return reply(QueryDoubts(doubts=doubts))


# Runs and predictions


@blueprint.get("/_nucleus_pandas/modelRun/<id:run_id>")
def run_home(run_id: str) -> Response:
    """``GET _nucleus_pandas/modelRun/{id}``: return the model and the dataset of a run."""
    with nucleus().database.read() as db:
        run = models.find_run(db, run_id)
        dataset = dataset_of_run(db, run)
        place = RunPlace(model_id=f"prj_{run.model_tag}", dataset_id=None if dataset is None else dataset.public_id)
        if request.args.get("counts"):
            place.name, place.status, place.predictions = run.name, run.status, models.count_predictions(db, run)
        return reply(place)


@blueprint.get("/_nucleus_pandas/dataset/<id:dataset_id>/generation")
@blueprint.get("/_nucleus_pandas/modelRun/<id:run_id>/generation", endpoint="generation_of_run")
@blueprint.get("/_nucleus_pandas/model/<id:model_id>/generation", endpoint="generation_of_model")
def generation(dataset_id: str | None = None, run_id: str | None = None, model_id: str | None = None) -> Response:
    """``GET _nucleus_pandas/{dataset,modelRun,model}/{id}/generation``: return a string that every deletion changes.

    That of a run or model that may span datasets changes with every deletion in any of them.
    """
    with nucleus().database.read() as db:
        number = None
        if dataset_id is not None:
            number = datasets.find(db, dataset_id).id
        elif run_id is not None:
            number = models.find_run(db, run_id).dataset
        elif model_id is not None:
            models.find(db, model_id)
        return reply(Generation(generation=generations.of_dataset(db, number)))


@blueprint.post("/_nucleus_pandas/marks")
def leave_mark() -> Response:
    """``POST _nucleus_pandas/marks``: leave the mark of an upload behind all that is stored so far."""
    asked = body(LeaveMark)
    with nucleus().database.write() as db:
        return reply(MarkLeft(known=generations.leave_mark(db, asked.mark, asked.replaces)))


@blueprint.get("/_nucleus_pandas/modelRun/<id:run_id>/commit")
def run_commit(run_id: str) -> Response:
    """``GET _nucleus_pandas/modelRun/{id}/commit``: return how a run was committed, and whether that is stale."""
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
    """``GET _nucleus_pandas/modelRun/{id}/matches``: return a page of the matches that a commit stored."""
    try:
        item, number = map(int, request.args.get("after", "-1,-1").split(","))
        limit = min(int(request.args.get("limit", _PAGE)), _PAGE)
    except ValueError:
        raise BadRequestError("`after` must be the `next` of the previous page, and `limit` an integer.") from None
    if limit < 1 or max(abs(item), abs(number)) >= ALL_ITEMS[1]:
        raise BadRequestError("`limit` must be at least 1, and `after` the `next` of the previous page.")
    with nucleus().database.read() as db:
        run = models.find_run(db, run_id)
        if run.committed_at is None:
            raise ConflictError(f"The run '{run_id}' is not committed; run.commit() computes its matches.")
        page = commits.page(db, run, (item, number), limit)
    names = MatchColumns.__struct_fields__
    rows = [
        (tag and item_id(tag, number), reference_id, id_of_key(ground_truth), id_of_key(prediction), *rest)
        for number, _, tag, reference_id, ground_truth, prediction, *rest in page.rows
    ]
    columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())
    after = None if page.after is None else f"{page.after[0]},{page.after[1]}"
    return reply({"columns": columns, "next": after, "parameters": run.parameters})


@blueprint.post("/_nucleus_pandas/modelRun/<id:run_id>/delete_predictions")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/modelRun/<id:run_id>/delete_predictions")
def delete_predictions(**ids: str) -> Response:
    """``POST _nucleus_pandas/modelRun/{id}/delete_predictions``: delete predictions of an open run at once.

    If a key names no item, nothing is deleted.
    """
    reference_ids = body(DeleteRows).reference_ids
    with nucleus().database.write() as db:
        _, layer, dataset = RunPath(**ids).find(db)
        if reference_ids is None:
            deleted = layers.delete_between(db, layer, *(ALL_ITEMS if dataset is None else item_range(dataset.id)))
        else:
            if dataset is None:
                raise BadRequestError("This run spans datasets, so a reference id is not unique; name the dataset.")
            numbers = items.ids_of(db, dataset, reference_ids)
            if missing := [index for index, name in enumerate(reference_ids) if name not in numbers]:
                return reply(RowsDeleted(deleted=0, missing=missing))
            deleted = layers.delete_of_items(db, layer, numbers.values())
    nucleus().purge()
    return reply(RowsDeleted(deleted=deleted))


@blueprint.post("/_nucleus_pandas/modelRun/<id:run_id>/predictions")
def predictions_of_run(run_id: str) -> Response:
    """``POST _nucleus_pandas/modelRun/{id}/predictions``: return predictions of a run."""
    with nucleus().database.read() as db:
        run = models.find_run(db, run_id)
        dataset = dataset_of_run(db, run)
        return _read_predictions(db, run, None if dataset is None else Subset(dataset))


@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/modelRun/<id:run_id>/predictions")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/model/<id:model_id>/predictions")
def predictions_on_dataset(**ids: str) -> Response:
    """``POST _nucleus_pandas/dataset/{id}/{modelRun,model}/{id}/predictions``: return predictions on a dataset."""
    with nucleus().database.read() as db:
        run, _, dataset = RunPath(**ids).find_on_dataset(db)
        return _read_predictions(db, run, Subset(dataset))


@blueprint.post("/_nucleus_pandas/slice/<id:slice_id>/modelRun/<id:run_id>/predictions")
@blueprint.post("/_nucleus_pandas/slice/<id:slice_id>/model/<id:model_id>/predictions")
def predictions_on_slice(slice_id: str, run_id: str | None = None, model_id: str | None = None) -> Response:
    """``POST _nucleus_pandas/slice/{id}/{modelRun,model}/{id}/predictions``: return predictions on a slice."""
    with nucleus().database.read() as db:
        subset = subsets.of_slice(db, slice_id)
        if run_id is None:
            run = models.newest_run(db, models.find(db, model_id or ""), subset.dataset)
        else:
            run = models.find_run(db, run_id)
            run.check_of(subset.dataset)
        return _read_predictions(db, run, subset)


def _read_predictions(db: sqlite3.Connection, run: Run, subset: Subset | None) -> Response:
    selection = body(RowSelection)
    if subset is None and selection.query:
        raise BadRequestError("This run spans datasets; query its predictions on the items of a slice - at `$.query`.")
    if selection.model_run_id not in (None, run.public_id):
        raise BadRequestError("A query of predictions applies to those of the run in the path - at `$.model_run_id`.")
    condition = compile_query(selection.query, "prediction", run)
    return reply(selections.read_annotations(db, run.layer, subset, selection, file_url, condition))


@blueprint.post("/_nucleus_pandas/model/<id:model_id>/predictions/rows")
def predictions_of_model(model_id: str) -> Response:
    """``POST _nucleus_pandas/model/{id}/predictions/rows``: return the predictions of a model that belong to no run.

    Positions and reference ids are those of the only dataset with such predictions.
    """
    selection = body(RowSelection)
    if selection.query or selection.model_run_id:
        raise BadRequestError("Only predictions of a run can be queried, and these have none - at `$.query`.")
    with nucleus().database.read() as db:
        run = models.find_free_run(db, models.find(db, model_id))
        subset = None
        if selection.positions is not None or selection.reference_ids is not None:
            dataset = _only_dataset(db, run)
            if dataset is None:
                raise BadRequestError(
                    "The model does not have such predictions on exactly one dataset; name items by `item_ids`."
                )
            subset = Subset(dataset)
        layer = _NO_PREDICTIONS if run is None else run.layer
        return reply(selections.read_annotations(db, layer, subset, selection, file_url))


@blueprint.get("/_nucleus_pandas/model/<id:model_id>")
def model_home(model_id: str) -> Response:
    """``GET _nucleus_pandas/model/{id}``: return the only dataset with predictions of the model that have no run."""
    with nucleus().database.read() as db:
        model = models.find(db, model_id)
        dataset = _only_dataset(db, models.find_free_run(db, model))
        return reply(RunPlace(model_id=model.public_id, dataset_id=None if dataset is None else dataset.public_id))


def _only_dataset(db: sqlite3.Connection, run: Run | None) -> Dataset | None:
    numbers = [] if run is None else models.datasets_of(db, run)
    return datasets.by_number(db, numbers[0]) if len(numbers) == 1 else None
