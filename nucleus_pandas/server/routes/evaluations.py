"""Routes of evaluations: making them, their charts and examples, and presets."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from flask import Blueprint, Response, request
from msgspec import UNSET

from nucleus_pandas.errors import BadRequestError, ConflictError, NotFoundError
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.server.evaluation import compute, results
from nucleus_pandas.server.evaluation.compute import is_stale
from nucleus_pandas.server.evaluation.scope import check_request
from nucleus_pandas.server.routes.request import body, creation, end_stale_jobs, nucleus, reply
from nucleus_pandas.server.store import benchmarks, datasets, evaluations, free_runs, models, presets
from nucleus_pandas.server.store.benchmarks import Benchmark
from nucleus_pandas.server.store.evaluations import Evaluation, EvaluationRequest, EvaluationSource
from nucleus_pandas.server.store.models import Model, Run
from nucleus_pandas.wire.decoding import decode
from nucleus_pandas.wire.evaluations import (
    ChangePreset,
    ChartsRequest,
    CreateBenchmarkEvaluation,
    CreateEvaluation,
    CreatePreset,
    ExamplesRequest,
    Filters,
)
from nucleus_pandas.wire.requests import LabelPair

blueprint = Blueprint("evaluations", __name__)


def label_rule(class_agnostic: bool | None, pairs: list[LabelPair] | None) -> LabelRule:
    """Create the rule that a request stands for."""
    try:
        return LabelRule.of(
            class_agnostic,
            None if pairs is None else [(pair.ground_truth_label, pair.model_prediction_label) for pair in pairs],
        )
    except ValueError as error:
        raise BadRequestError(str(error)) from None


@blueprint.post("/modelRun/<id:run_id>/evaluationsV2")
def create(run_id: str) -> Response:
    """Evaluate a run on its datasets."""
    wanted = body(CreateEvaluation)
    if wanted.allowed_label_matches_id is not None:
        raise no_label_matches(wanted.allowed_label_matches_id)
    rule = label_rule(wanted.class_agnostic, wanted.allowed_label_matches)
    if wanted.rollup_groups is not None and rule.allowed is not None:
        raise BadRequestError("`allowed_label_matches` and `rollupGroups` exclude each other; leave one of them out.")
    asked = EvaluationRequest(
        class_agnostic=rule.class_agnostic,
        allowed_label_matches=None if rule.allowed is None else sorted(rule.allowed),
        rollup_groups=wanted.rollup_groups,
        exclusion_rules=wanted.exclusion_rules,
    )
    check_request(asked)

    def make(db: sqlite3.Connection) -> Evaluation:
        run = models.find_run(db, run_id)
        return evaluations.create(
            db,
            model=run.model,
            run=run.id,
            benchmark=None,
            name=wanted.name,
            request=asked,
            sources=[_source(db, number, run) for number in models.datasets_of(db, run)],
            owner=nucleus().owner,
        )

    return _started(make)


def no_label_matches(public_id: str) -> NotFoundError:
    """Say that label matches are stored nowhere."""
    return NotFoundError(
        f"There are no stored label matches '{public_id}': this server keeps none. Give `allowed_label_matches` to the "
        "evaluation of a run, or `rollupGroups`."
    )


@blueprint.post("/benchmarks/<id:benchmark_id>/evaluationsV2")
def create_on_benchmark(benchmark_id: str) -> Response:
    """Evaluate a model, or a run, on the items of a benchmark."""
    wanted = body(CreateBenchmarkEvaluation)
    if (wanted.model_id is None) == (wanted.model_run_id is None):
        raise BadRequestError("An evaluation on a benchmark names exactly one of `model_id` and `model_run_id`.")

    def make(db: sqlite3.Connection) -> Evaluation:
        benchmark = benchmarks.find(db, benchmark_id)
        benchmark.check_ready()
        run = None if wanted.model_run_id is None else models.find_run(db, wanted.model_run_id)
        model = models.find(db, wanted.model_id or wanted.model_run_id or "")
        free = free_runs.find(db, model)
        asked = _asked(benchmark, wanted)
        check_request(asked)
        return evaluations.create(
            db,
            model=model.id,
            run=None if run is None else run.id,
            benchmark=benchmark.id,
            name=wanted.name,
            request=asked,
            sources=[
                _source(db, number, run or free or _newest(db, model, number))
                for number in benchmarks.dataset_numbers(db, benchmark)
            ],
            owner=nucleus().owner,
        )

    return _started(make)


def _asked(benchmark: Benchmark, wanted: CreateBenchmarkEvaluation) -> EvaluationRequest:
    """Take the classes of the benchmark, unless the request brings its own."""
    own = wanted.rollup_groups is not None
    return EvaluationRequest(
        class_agnostic=True if own else benchmark.class_agnostic is not False,
        one_class=not own and benchmark.class_agnostic is True,
        rollup_groups=wanted.rollup_groups if own else benchmark.rollup_groups,
        exclusion_rules=wanted.exclusion_rules,
    )


def _newest(db: sqlite3.Connection, model: Model, dataset: int) -> Run | None:
    try:
        return models.newest_run(db, model, datasets.by_number(db, dataset))
    except NotFoundError:
        return None


def _source(db: sqlite3.Connection, dataset: int, run: Run | None) -> EvaluationSource:
    if run is not None and run.dataset not in (None, dataset):
        run = None  # a run on another dataset says nothing of this one's items
    number, tag = (None, None) if run is None else (run.id, models.seen_tag(db, run))
    source = EvaluationSource(dataset, datasets.by_number(db, dataset).tag, number, tag, 0, 0)
    revision, arrivals = evaluations.revisions(db, source)
    return source._replace(revision=revision, arrivals=arrivals)


def _started(make: Callable[[sqlite3.Connection], Evaluation]) -> Response:
    made: list[Evaluation] = []

    def create(db: sqlite3.Connection) -> object:
        made.append(make(db))
        return {"evaluation_id": made[0].public_id}

    response = creation(create)
    for evaluation in made:  # none, where the answer of an earlier request was remembered
        compute.run(nucleus(), evaluation)
    return response


def _found(evaluation_id: str) -> Evaluation:
    end_stale_jobs()
    with nucleus().database.read() as db:
        return evaluations.find(db, evaluation_id)


def _entry(evaluation: Evaluation) -> object:
    stale = is_stale(nucleus(), evaluation)
    with nucleus().database.read() as db:
        return evaluation.entry(evaluations.sources(db, evaluation), stale=stale)


@blueprint.get("/evaluationsV2/<id:evaluation_id>")
def info(evaluation_id: str) -> Response:
    """Describe an evaluation."""
    return reply(_entry(_found(evaluation_id)))


@blueprint.get("/model/<id:model_id>/evaluationsV2")
def of_model(model_id: str) -> Response:
    """List the evaluations of a model and of its runs, newest first."""
    end_stale_jobs()
    with nucleus().database.read() as db:
        found = evaluations.listing(db, "model", models.find(db, model_id).id)
    return reply([_entry(one) for one in found])


@blueprint.get("/modelRun/<id:run_id>/evaluationsV2")
def of_run(run_id: str) -> Response:
    """List the evaluations of a run, newest first."""
    end_stale_jobs()
    with nucleus().database.read() as db:
        found = evaluations.listing(db, "run", models.find_run(db, run_id).id)
    return reply([_entry(one) for one in found])


def _charts(evaluation_id: str, wanted: ChartsRequest) -> Response:
    evaluation = _found(evaluation_id)
    evaluation.check_succeeded()
    stale = is_stale(nucleus(), evaluation)
    with nucleus().database.read() as db:
        return reply(results.charts(db, evaluation, wanted, stale=stale))


@blueprint.post("/evaluationsV2/<id:evaluation_id>/charts")
def draw(evaluation_id: str) -> Response:
    """Return the charts of an evaluation."""
    return _charts(evaluation_id, body(ChartsRequest))


@blueprint.get("/evaluationsV2/<id:evaluation_id>/charts")
def draw_from_query(evaluation_id: str) -> Response:
    """Return the charts as an older generation asks for them: with filters as JSON in the address."""
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
            filters=decode(filters.encode("utf-8", "replace"), Filters, "`filters`") if filters else None,
            query=request.args.get("query"),
        ),
    )


@blueprint.post("/evaluationsV2/<id:evaluation_id>/examples")
def page(evaluation_id: str) -> Response:
    """Return a page of the outcomes of an evaluation."""
    wanted = body(ExamplesRequest)
    evaluation = _found(evaluation_id)
    evaluation.check_succeeded()
    stale = is_stale(nucleus(), evaluation)
    with nucleus().database.read() as db:
        return reply(results.examples(db, evaluation, wanted, stale=stale))


@blueprint.get("/evaluationsV2/<id:evaluation_id>/filterSchema")
def filter_schema(evaluation_id: str) -> Response:
    """Return what the outcomes of an evaluation can be filtered by."""
    evaluation = _found(evaluation_id)
    evaluation.check_succeeded()
    with nucleus().database.read() as db:
        return reply(results.filter_schema(db, evaluation))


@blueprint.post("/evaluationsV2/<id:evaluation_id>/cancel")
def cancel(evaluation_id: str) -> Response:
    """Stop an evaluation that is not finished."""
    end_stale_jobs()
    with nucleus().database.write() as db:
        evaluations.cancel(db, evaluations.find(db, evaluation_id))
    return reply({"evaluation_id": evaluation_id, "status": "cancelled"})


@blueprint.post("/evaluationsV2/<id:evaluation_id>/retry")
def retry(evaluation_id: str) -> Response:
    """Create a failed evaluation again, as a new one."""
    end_stale_jobs()

    def make(db: sqlite3.Connection) -> Evaluation:
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

    return _started(make)


@blueprint.delete("/evaluationsV2/<id:evaluation_id>")
def delete(evaluation_id: str) -> Response:
    """Delete an evaluation with its results."""
    with nucleus().database.write() as db:
        evaluations.delete(db, evaluations.find(db, evaluation_id))
    nucleus().purge()
    return reply({"message": "Evaluation deleted.", "evaluation_id": evaluation_id})


@blueprint.get("/dataset/<id:dataset_id>/labelSchema")
def label_schema(dataset_id: str) -> Response:
    """List the labels of a dataset's ground truth, and those of the predictions on it."""
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
        truth, predicted = datasets.truth_labels(db, dataset), datasets.predicted_labels(db, dataset)
    return reply({"gt_labels": truth, "prediction_labels": predicted})


# Presets


@blueprint.get("/evaluationV2Presets")
def list_presets() -> Response:
    """List the presets."""
    with nucleus().database.read() as db:
        return reply(presets.listing(db))


@blueprint.post("/evaluationV2Presets")
def create_preset() -> Response:
    """Create a preset."""
    wanted = body(CreatePreset)
    check_request(EvaluationRequest(rollup_groups=wanted.rollup_groups, exclusion_rules=wanted.exclusion_rules))
    return creation(lambda db: presets.create(db, wanted))


@blueprint.patch("/evaluationV2Presets/<id:preset_id>")
def change_preset(preset_id: str) -> Response:
    """Change a preset."""
    wanted = body(ChangePreset)
    groups = None if wanted.rollup_groups is UNSET else wanted.rollup_groups
    rules = None if wanted.exclusion_rules is UNSET else wanted.exclusion_rules
    check_request(EvaluationRequest(rollup_groups=groups, exclusion_rules=rules))
    with nucleus().database.write() as db:
        return reply(presets.change(db, presets.find(db, preset_id), wanted))


@blueprint.delete("/evaluationV2Presets/<id:preset_id>")
def delete_preset(preset_id: str) -> Response:
    """Delete a preset."""
    with nucleus().database.write() as db:
        presets.delete(db, presets.find(db, preset_id))
    return reply({"message": "Preset deleted.", "id": preset_id})
