"""Routes of evaluations, their charts and examples, and of presets."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from flask import Blueprint, Response, request
from msgspec import UNSET

from nucleus_pandas.errors import BadRequestError, ConflictError, NotFoundError
from nucleus_pandas.server.evaluation import compute, results
from nucleus_pandas.server.evaluation.compute import is_stale
from nucleus_pandas.server.evaluation.scope import check_request
from nucleus_pandas.server.routes.request import (
    body,
    check_label_matches_id,
    create_once,
    end_stale_jobs,
    label_rule,
    nucleus,
    reply,
    reply_from,
)
from nucleus_pandas.server.store import benchmarks, datasets, evaluations, models
from nucleus_pandas.server.store.benchmarks import Benchmark
from nucleus_pandas.server.store.evaluations import EvaluationRequest, EvaluationSource, StoredEvaluation
from nucleus_pandas.server.store.models import Model, Run
from nucleus_pandas.wire.decoding import decode
from nucleus_pandas.wire.evaluations import (
    ChangePreset,
    ChartsRequest,
    CreateBenchmarkEvaluation,
    CreateEvaluation,
    CreatePreset,
    ExamplesRequest,
    OutcomeFilters,
)

blueprint = Blueprint("evaluations", __name__)


@blueprint.post("/modelRun/<id:run_id>/evaluationsV2")
def create(run_id: str) -> Response:
    """``POST modelRun/{id}/evaluationsV2``: evaluate a run on its datasets."""
    payload = body(CreateEvaluation)
    check_label_matches_id(payload.allowed_label_matches_id)
    rule = label_rule(payload.class_agnostic, payload.allowed_label_matches)
    if payload.rollup_groups is not None and rule.allowed is not None:
        raise BadRequestError("`allowed_label_matches` and `rollupGroups` exclude each other; leave one of them out.")
    settings = EvaluationRequest(
        class_agnostic=rule.class_agnostic,
        allowed_label_matches=None if rule.allowed is None else sorted(rule.allowed),
        rollup_groups=payload.rollup_groups,
        exclusion_rules=payload.exclusion_rules,
    )
    check_request(settings)

    def insert(db: sqlite3.Connection) -> StoredEvaluation:
        run = models.find_run(db, run_id)
        return evaluations.create(
            db,
            model=run.model,
            run=run.id,
            benchmark=None,
            name=payload.name,
            request=settings,
            sources=[_source(db, number, run) for number in models.datasets_of(db, run)],
            owner=nucleus().owner,
        )

    return _start(insert)


@blueprint.post("/benchmarks/<id:benchmark_id>/evaluationsV2")
def create_on_benchmark(benchmark_id: str) -> Response:
    """``POST benchmarks/{id}/evaluationsV2``: evaluate a model, or a run, on the items of a benchmark."""
    payload = body(CreateBenchmarkEvaluation)
    if (payload.model_id is None) == (payload.model_run_id is None):
        raise BadRequestError("An evaluation on a benchmark names exactly one of `model_id` and `model_run_id`.")

    def insert(db: sqlite3.Connection) -> StoredEvaluation:
        benchmark = benchmarks.find(db, benchmark_id)
        benchmark.check_ready()
        run = None if payload.model_run_id is None else models.find_run(db, payload.model_run_id)
        model = models.find(db, payload.model_id or payload.model_run_id or "")
        free = models.find_free_run(db, model)
        settings = _settings(benchmark, payload)
        check_request(settings)
        return evaluations.create(
            db,
            model=model.id,
            run=None if run is None else run.id,
            benchmark=benchmark.id,
            name=payload.name,
            request=settings,
            sources=[
                _source(db, number, run or free or _newest(db, model, number))
                for number in benchmarks.dataset_numbers(db, benchmark)
            ],
            owner=nucleus().owner,
        )

    return _start(insert)


def _settings(benchmark: Benchmark, payload: CreateBenchmarkEvaluation) -> EvaluationRequest:
    """Return the settings of an evaluation: the classes of the benchmark, unless the request has its own."""
    has_groups = payload.rollup_groups is not None
    return EvaluationRequest(
        class_agnostic=True if has_groups else benchmark.class_agnostic is not False,
        one_class=not has_groups and benchmark.class_agnostic is True,
        rollup_groups=payload.rollup_groups if has_groups else benchmark.rollup_groups,
        exclusion_rules=payload.exclusion_rules,
    )


def _newest(db: sqlite3.Connection, model: Model, dataset: int) -> Run | None:
    try:
        return models.newest_run(db, model, datasets.by_number(db, dataset))
    except NotFoundError:
        return None


def _source(db: sqlite3.Connection, dataset: int, run: Run | None) -> EvaluationSource:
    if run is not None and run.dataset not in (None, dataset):
        run = None  # a run on another dataset has no predictions on this one
    number, tag = (None, None) if run is None else (run.id, models.seen_tag(db, run))
    source = EvaluationSource(dataset, datasets.by_number(db, dataset).tag, number, tag, 0, 0)
    revision, arrivals = evaluations.revisions(db, source)
    return source._replace(revision=revision, arrivals=arrivals)


def _start(insert: Callable[[sqlite3.Connection], StoredEvaluation]) -> Response:
    """Insert an evaluation and compute it, unless an earlier request with the same Idempotency-Key has."""
    inserted: list[StoredEvaluation] = []

    def insert_once(db: sqlite3.Connection) -> object:
        inserted.append(insert(db))
        return {"evaluation_id": inserted[0].public_id}

    response = create_once(insert_once)
    for evaluation in inserted:
        compute.run(nucleus(), evaluation)
    return response


def _find(evaluation_id: str) -> StoredEvaluation:
    end_stale_jobs()
    with nucleus().database.read() as db:
        return evaluations.find(db, evaluation_id)


def _find_succeeded(evaluation_id: str) -> StoredEvaluation:
    evaluation = _find(evaluation_id)
    evaluation.check_succeeded()
    return evaluation


def _entry(evaluation: StoredEvaluation) -> object:
    stale = is_stale(nucleus(), evaluation)
    with nucleus().database.read() as db:
        return evaluation.entry(evaluations.sources(db, evaluation), stale=stale)


@blueprint.get("/evaluationsV2/<id:evaluation_id>")
def info(evaluation_id: str) -> Response:
    """``GET evaluationsV2/{id}``: describe an evaluation."""
    return reply(_entry(_find(evaluation_id)))


@blueprint.get("/model/<id:model_id>/evaluationsV2")
@blueprint.get("/modelRun/<id:run_id>/evaluationsV2")
def listing(model_id: str = "", run_id: str | None = None) -> Response:
    """``GET {model,modelRun}/{id}/evaluationsV2``: list the evaluations of a model or of a run, newest first."""
    end_stale_jobs()
    with nucleus().database.read() as db:
        if run_id is None:
            rows = evaluations.listing(db, "model", models.find(db, model_id).id)
        else:
            rows = evaluations.listing(db, "run", models.find_run(db, run_id).id)
    return reply([_entry(row) for row in rows])


def _charts(evaluation_id: str, options: ChartsRequest) -> Response:
    evaluation = _find_succeeded(evaluation_id)
    stale = is_stale(nucleus(), evaluation)
    return reply_from(lambda db: results.charts(db, evaluation, options, stale=stale))


@blueprint.post("/evaluationsV2/<id:evaluation_id>/charts")
def read_charts(evaluation_id: str) -> Response:
    """``POST evaluationsV2/{id}/charts``: return the charts of an evaluation."""
    return _charts(evaluation_id, body(ChartsRequest))


@blueprint.get("/evaluationsV2/<id:evaluation_id>/charts")
def read_charts_by_query(evaluation_id: str) -> Response:
    """``GET evaluationsV2/{id}/charts``: return the charts to older clients, which send filters as JSON in the URL."""
    unknown = set(request.args) - {"iouThreshold", "filters", "query"}
    if unknown:
        raise BadRequestError(f"Charts take `iouThreshold`, `filters` and `query`, not `{min(unknown)[:50]}`.")
    text = request.args.get("iouThreshold") or "0.5"
    try:
        threshold = float(text)
    except ValueError:
        threshold = 0.0
    if not 0 < threshold <= 1:
        raise BadRequestError(f"`iouThreshold` is a number above 0, at most 1, not '{text[:50]}'.")
    filters = request.args.get("filters")
    return _charts(
        evaluation_id,
        ChartsRequest(
            iou_threshold=threshold,
            filters=decode(filters.encode("utf-8", "replace"), OutcomeFilters, "`filters`") if filters else None,
            query=request.args.get("query"),
        ),
    )


@blueprint.post("/evaluationsV2/<id:evaluation_id>/examples")
def page(evaluation_id: str) -> Response:
    """``POST evaluationsV2/{id}/examples``: return a page of the outcomes of an evaluation."""
    payload = body(ExamplesRequest)
    evaluation = _find_succeeded(evaluation_id)
    stale = is_stale(nucleus(), evaluation)
    return reply_from(lambda db: results.examples(db, evaluation, payload, stale=stale))


@blueprint.get("/evaluationsV2/<id:evaluation_id>/filterSchema")
def filter_schema(evaluation_id: str) -> Response:
    """``GET evaluationsV2/{id}/filterSchema``: list the fields that can filter outcomes."""
    evaluation = _find_succeeded(evaluation_id)
    return reply_from(lambda db: results.filter_schema(db, evaluation))


@blueprint.post("/evaluationsV2/<id:evaluation_id>/cancel")
def cancel(evaluation_id: str) -> Response:
    """``POST evaluationsV2/{id}/cancel``: cancel an unfinished evaluation."""
    end_stale_jobs()
    with nucleus().database.write() as db:
        evaluations.cancel(db, evaluations.find(db, evaluation_id))
    return reply({"evaluation_id": evaluation_id, "status": "cancelled"})


@blueprint.post("/evaluationsV2/<id:evaluation_id>/retry")
def retry(evaluation_id: str) -> Response:
    """``POST evaluationsV2/{id}/retry``: evaluate again what failed, as a new evaluation."""
    end_stale_jobs()

    def insert(db: sqlite3.Connection) -> StoredEvaluation:
        failed = evaluations.find(db, evaluation_id)
        if failed.status != "failed":
            raise ConflictError(
                f"The evaluation '{evaluation_id}' is {failed.status}; only a failed one can be retried."
            )
        return evaluations.create(
            db,
            model=failed.model,
            run=failed.run,
            benchmark=failed.benchmark,
            name=failed.name,
            request=failed.request,
            sources=evaluations.sources(db, failed),
            owner=nucleus().owner,
        )

    return _start(insert)


@blueprint.delete("/evaluationsV2/<id:evaluation_id>")
def delete(evaluation_id: str) -> Response:
    """``DELETE evaluationsV2/{id}``: delete an evaluation with its results."""
    with nucleus().database.write() as db:
        evaluations.delete(db, evaluations.find(db, evaluation_id))
    nucleus().purge()
    return reply({"message": "Evaluation deleted.", "evaluation_id": evaluation_id})


@blueprint.get("/dataset/<id:dataset_id>/labelSchema")
def label_schema(dataset_id: str) -> Response:
    """``GET dataset/{id}/labelSchema``: list the labels of a dataset's ground truth, and those of predictions on it."""
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
        ground_truth, predicted = datasets.ground_truth_labels(db, dataset), datasets.predicted_labels(db, dataset)
    return reply({"gt_labels": ground_truth, "prediction_labels": predicted})


# Presets


@blueprint.get("/evaluationV2Presets")
def list_presets() -> Response:
    """``GET evaluationV2Presets``: list the presets."""
    return reply_from(lambda db: evaluations.presets(db))


@blueprint.post("/evaluationV2Presets")
def create_preset() -> Response:
    """``POST evaluationV2Presets``: create a preset."""
    payload = body(CreatePreset)
    check_request(EvaluationRequest(rollup_groups=payload.rollup_groups, exclusion_rules=payload.exclusion_rules))
    return create_once(lambda db: evaluations.create_preset(db, payload))


@blueprint.patch("/evaluationV2Presets/<id:preset_id>")
def change_preset(preset_id: str) -> Response:
    """``PATCH evaluationV2Presets/{id}``: change a preset."""
    payload = body(ChangePreset)
    groups = None if payload.rollup_groups is UNSET else payload.rollup_groups
    rules = None if payload.exclusion_rules is UNSET else payload.exclusion_rules
    check_request(EvaluationRequest(rollup_groups=groups, exclusion_rules=rules))
    with nucleus().database.write() as db:
        return reply(evaluations.change_preset(db, evaluations.find_preset(db, preset_id), payload))


@blueprint.delete("/evaluationV2Presets/<id:preset_id>")
def delete_preset(preset_id: str) -> Response:
    """``DELETE evaluationV2Presets/{id}``: delete a preset."""
    with nucleus().database.write() as db:
        evaluations.delete_preset(db, evaluations.find_preset(db, preset_id))
    return reply({"message": "Preset deleted.", "id": preset_id})
