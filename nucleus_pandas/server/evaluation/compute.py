"""Computes evaluations: at once when they are small, else in the worker thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nucleus_pandas._util.arrays import Indices
from nucleus_pandas.errors import APIError, MissingExtraError
from nucleus_pandas.evaluation.arrays import BoxArrays, EvaluationInputs
from nucleus_pandas.evaluation.match_rows import NONE, match_rows
from nucleus_pandas.server.evaluation import metrics
from nucleus_pandas.server.evaluation.arrays import AREA, ONE_CLASS, ClassOf, Rows, sides_of
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS, Told
from nucleus_pandas.server.evaluation.scope import Scope, kept, statistics
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import evaluations, jobs
from nucleus_pandas.server.store.evaluations import Evaluation, Request

log = logging.getLogger("nucleus_pandas.server")

SMALL = 20_000  # boxes of both sides together; such an evaluation ends before it is answered
_ROWS = 20_000  # a transaction
_BEAT_SECONDS = 10.0


def run(nucleus: EmbeddedNucleus, evaluation: Evaluation) -> None:
    """Compute an evaluation that was just made."""
    with nucleus.database.read() as db:
        small = Scope(db, evaluations.sources(db, evaluation), evaluation.benchmark).size() <= SMALL
    if small:
        compute(nucleus, evaluation)
    else:
        nucleus.submit(lambda: compute(nucleus, evaluation))


def compute(nucleus: EmbeddedNucleus, evaluation: Evaluation) -> None:
    """Compute an evaluation, unless it was cancelled meanwhile."""
    with nucleus.database.write() as db:
        if not jobs.is_running(db, evaluation.job):
            return
        jobs.progress(db, evaluation.job, 1, 3)
    try:
        with _Heart(nucleus):
            _compute(nucleus, evaluation)
    except (APIError, MissingExtraError) as error:
        _fail(nucleus, evaluation, "Errored", str(error))
    except BaseException as error:
        _fail(nucleus, evaluation, "Errored_Server", "The server failed; its log says why.")
        if not isinstance(error, Exception):
            raise
        log.exception("The evaluation '%s' failed.", evaluation.public_id)


def _fail(nucleus: EmbeddedNucleus, evaluation: Evaluation, status: str, text: str) -> None:
    with nucleus.database.write() as db:
        evaluations.drop_matches(db, evaluation)
        jobs.finish(db, evaluation.job, status, {"final_error": text})


class _Heart:
    """Beats while the engine computes, which says nothing until it has finished."""

    def __init__(self, nucleus: EmbeddedNucleus) -> None:
        self._nucleus = nucleus
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="nucleus_pandas heart", daemon=True)

    def _beat(self) -> None:
        while not self._done.wait(_BEAT_SECONDS):
            with self._nucleus.database.write() as db:
                jobs.beat(db, self._nucleus.owner)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()


def class_of(request: Request) -> ClassOf:
    """Return what a label is evaluated as."""
    if request.one_class:
        return lambda label: ONE_CLASS
    names = {label: group.class_name for group in request.rollup_groups or () for label in group.labels}
    return lambda label: names.get(label, label)


def _compute(nucleus: EmbeddedNucleus, evaluation: Evaluation) -> None:
    request = evaluation.request
    rules = request.exclusion_rules or []
    with nucleus.database.read() as db:
        scope = Scope(db, evaluations.sources(db, evaluation), evaluation.benchmark)
        content = scope.content(request)
        item_counts = scope.exclude_items(rules)
        truth, truth_counts = kept(scope.rows("groundTruth"), rules, "groundTruth")
        predictions, prediction_counts = kept(scope.rows("prediction"), rules, "prediction")
        reference_ids = scope.reference_ids()
        counts = {"groundTruth": truth_counts, "prediction": prediction_counts}
        exclusions = statistics(scope.counts(), rules, item_counts, counts)
        sources = scope.sources
    sides = sides_of(truth, predictions, reference_ids, class_of(request))
    results, engine, version = metrics.measure(sides, request.rule)
    rows = _rows(sides, truth, predictions, request, metrics.told_by_tide(sides, request.rule))
    for some in rows:
        with nucleus.database.write() as db:
            if not jobs.is_running(db, evaluation.job):
                evaluations.drop_matches(db, evaluation)
                return
            evaluations.add_matches(db, evaluation, some)
            jobs.progress(db, evaluation.job, 2, 3)
            jobs.beat(db, nucleus.owner)
    parameters = describe(request) | {"engine": engine, "engine_version": version}
    with nucleus.database.write() as db:
        if not jobs.is_running(db, evaluation.job):
            evaluations.drop_matches(db, evaluation)
            return
        evaluations.note_staleness(db, evaluation, False, sources)
        evaluations.finish(
            db, evaluation, parameters=parameters, results=results, exclusions=exclusions, content=content
        )


def describe(request: Request) -> dict[str, Any]:
    """Return the parameters of an evaluation, as they are shown."""
    parameters = metrics.parameters_of(request.rule)
    return {
        "matcher": "nucleus",
        "class_agnostic": request.class_agnostic,
        "allowed_label_matches": request.allowed_label_matches,
        "one_class": request.one_class,
        "types": ["box"],
        "area": AREA,
        "max_dets": parameters.max_dets[-1],
        "area_ranges": parameters.area_ranges,
        "iou_thresholds": [round(threshold, 2) for threshold in THRESHOLDS],
    }


def _rows(
    sides: EvaluationInputs, truth: Rows, predictions: Rows, request: Request, told: Told
) -> Iterator[list[tuple[object, ...]]]:
    """Lay out the stored rows, some at a time, in the order of `evaluations.MATCH`: the match, then the crowds."""
    matched = match_rows(sides, metrics.parameters_of(request.rule))
    countable, crowd = np.flatnonzero(~truth.crowd), np.flatnonzero(truth.crowd)
    none = np.full(len(crowd), NONE, dtype=np.intp)
    t = np.concatenate([np.append(countable, NONE)[matched.ground_truth], crowd])  # the last one stands for -1
    p = np.concatenate([matched.prediction, none])
    missed = np.zeros(len(truth.item), dtype=np.bool_)
    missed[countable] = told.missed
    iou = np.concatenate([matched.iou, np.full(len(crowd), np.nan)])
    agrees = np.concatenate([matched.agrees, np.zeros(len(crowd), dtype=np.bool_)])
    no_tide = np.full(len(truth.item), None, dtype=object)
    for start in range(0, len(t), _ROWS):
        some = slice(start, start + _ROWS)
        g, by = t[some], p[some]
        left = _side(truth, sides.ground_truth, sides, g, no_tide)
        right = _side(predictions, sides.predictions, sides, by, told.prediction)
        item = np.where(g == NONE, _at(predictions.item, by, 0), _at(truth.item, g, 0))
        yield list(
            zip(
                item.tolist(),
                range(start, start + len(g)),
                left.key,
                right.key,
                left.label,
                right.label,
                left.name,
                right.name,
                _or_none(_at(predictions.confidence, by, np.nan)),
                _or_none(iou[some]),
                agrees[some].tolist(),
                _at(truth.crowd, g, False).tolist(),
                right.tide,
                _at(missed, g, False).tolist(),
                *left.box,
                *right.box,
                strict=True,
            )
        )


class _Half(NamedTuple):
    """The stored columns of one side, None where it is missing."""

    key: list[str | None]
    label: list[str | None]
    name: list[str | None]
    tide: list[str | None]
    box: list[list[float | None]]


def _side(rows: Rows, side: BoxArrays, sides: EvaluationInputs, at: Indices, tide: npt.NDArray[np.object_]) -> _Half:
    def named(codes: Indices, names: Sequence[str]) -> list[str | None]:
        return [None if code == NONE else names[code] for code in _at(codes, at, NONE).tolist()]

    return _Half(
        key=named(np.arange(len(rows.key)), rows.key),
        label=named(rows.label, rows.labels),
        name=named(side.label, sides.labels),
        tide=_at(tide, at, None).tolist(),
        box=[_or_none(_at(rows.box[:, edge], at, np.nan)) for edge in range(4)],
    )


def _at(values: npt.NDArray[Any], places: Indices, missing: object) -> npt.NDArray[Any]:
    """Take values at places, another one where there is none."""
    found = np.full(len(places), missing, dtype=values.dtype)
    there = places != NONE
    found[there] = values[places[there]]
    return found


def _or_none(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def is_stale(nucleus: EmbeddedNucleus, evaluation: Evaluation) -> bool:
    """Return whether ground truth or predictions of a finished evaluation are others than those that it evaluated.

    Their hash is computed only when a dataset or a run has changed since the last time; what it told then is kept.
    """
    if evaluation.status != "succeeded":
        return False
    with nucleus.database.read() as db:
        sources = evaluations.sources(db, evaluation)
        if all(evaluations.revisions(db, source) == (source.revision, source.arrivals) for source in sources):
            return evaluation.stale
        scope = Scope(db, sources, evaluation.benchmark)
        stale = scope.content(evaluation.request) != evaluation.content
    with nucleus.database.write() as db:
        evaluations.note_staleness(db, evaluation, stale, scope.sources)
    return stale
