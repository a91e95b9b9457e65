"""Evaluations: computed during the request when they are small, else in the worker thread."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Indices
from nucleus_pandas.errors import APIError, MissingExtraError
from nucleus_pandas.evaluation.arrays import NONE, BoxArrays, EvaluationInputs, take_or
from nucleus_pandas.evaluation.match_rows import match_rows
from nucleus_pandas.server.evaluation import metrics
from nucleus_pandas.server.evaluation.arrays import AREA, ONE_CLASS, ClassOf, StoredBoxes, nan_to_none, to_inputs
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS
from nucleus_pandas.server.evaluation.scope import exclusion_statistics, read_boxes
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import evaluations, jobs
from nucleus_pandas.server.store.evaluations import EvaluationRequest, StoredEvaluation
from nucleus_pandas.server.store.scopes import Scope
from nucleus_pandas.wire.column_json import ARROW_STRING

log = logging.getLogger("nucleus_pandas.server")

SMALL = 20_000  # boxes of both sides together; such an evaluation is computed before the request is answered
_ROWS = 20_000  # per transaction
_BEAT_SECONDS = 10.0


def run(nucleus: EmbeddedNucleus, evaluation: StoredEvaluation) -> None:
    """Compute a new evaluation, or have the worker thread compute it."""
    with nucleus.database.read() as db:
        small = Scope(db, evaluations.sources(db, evaluation), evaluation.benchmark).size() <= SMALL
    if small:
        compute(nucleus, evaluation)
    else:
        nucleus.submit(lambda: compute(nucleus, evaluation))


def compute(nucleus: EmbeddedNucleus, evaluation: StoredEvaluation) -> None:
    """Compute an evaluation, unless it was cancelled."""
    with nucleus.database.write() as db:
        if not jobs.is_running(db, evaluation.job):
            return
        jobs.progress(db, evaluation.job, 1, 3)
    try:
        with _Heartbeat(nucleus):
            _compute(nucleus, evaluation)
    except (APIError, MissingExtraError) as error:
        _fail(nucleus, evaluation, "Errored", str(error))
    except BaseException as error:
        _fail(nucleus, evaluation, "Errored_Server", "The server failed; see its log for the reason.")
        if not isinstance(error, Exception):
            raise
        log.exception("The evaluation '%s' failed.", evaluation.public_id)


def _fail(nucleus: EmbeddedNucleus, evaluation: StoredEvaluation, status: str, text: str) -> None:
    with nucleus.database.write() as db:
        evaluations.drop_matches(db, evaluation)
        jobs.finish(db, evaluation.job, status, {"final_error": text})


class _Heartbeat:
    """Keeps the jobs of the server alive while the engine computes, which reports nothing until it has finished."""

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


def class_of(request: EvaluationRequest) -> ClassOf:
    """Return the function that maps a label to the class as which it is evaluated."""
    if request.one_class:
        return lambda label: ONE_CLASS
    names = {label: group.class_name for group in request.rollup_groups or () for label in group.labels}
    return lambda label: names.get(label, label)


def _compute(nucleus: EmbeddedNucleus, evaluation: StoredEvaluation) -> None:
    """Read, match, measure and store.

    Everything is read in one transaction, so the hash `content` and the revisions of the sources belong to exactly
    the rows that are evaluated. Rows of the match are stored in many short transactions, which others may interleave;
    they become visible with the results, in the last one, and only if the job was not cancelled before.
    """
    request = evaluation.request
    rules = request.exclusion_rules or []
    with nucleus.database.read() as db:
        scope = Scope(db, evaluations.sources(db, evaluation), evaluation.benchmark)
        content = scope.content(request)
        excluded_items = scope.exclude_items(rules)
        ground_truth, excluded_ground_truth = read_boxes(scope, "groundTruth", rules)
        predictions, excluded_predictions = read_boxes(scope, "prediction", rules)
        reference_ids = scope.reference_ids()
        exclusions = exclusion_statistics(scope, rules, excluded_items, excluded_ground_truth, excluded_predictions)
    inputs = to_inputs(ground_truth, predictions, reference_ids, class_of(request))
    results, engine, version = metrics.compute_metrics(inputs, request.rule)
    tide, missed = metrics.tide_errors(inputs, request.rule)
    for rows in _stored_rows(inputs, ground_truth, predictions, request, tide, missed):
        with nucleus.database.write() as db:
            if _was_cancelled(db, evaluation):
                return
            evaluations.add_matches(db, evaluation, rows)
            jobs.progress(db, evaluation.job, 2, 3)
            jobs.beat(db, nucleus.owner)
    parameters = describe(request) | {"engine": engine, "engine_version": version}
    with nucleus.database.write() as db:
        if _was_cancelled(db, evaluation):
            return
        evaluations.note_staleness(db, evaluation, False, scope.sources)
        evaluations.finish(
            db, evaluation, parameters=parameters, results=results, exclusions=exclusions, content=content
        )


def _was_cancelled(db: sqlite3.Connection, evaluation: StoredEvaluation) -> bool:
    if jobs.is_running(db, evaluation.job):
        return False
    evaluations.drop_matches(db, evaluation)
    return True


def describe(request: EvaluationRequest) -> dict[str, Any]:
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


def _stored_rows(
    inputs: EvaluationInputs,
    ground_truth: StoredBoxes,
    predictions: StoredBoxes,
    request: EvaluationRequest,
    tide: NDArray[np.object_],
    missed: Bools,
) -> Iterator[list[tuple[object, ...]]]:
    """Return the rows to store, some at a time, in the order of `evaluations.MATCH`.

    First come the rows of the match, then the crowds, each alone. The match counts ground truths without crowds, so
    its row numbers are mapped back to rows of `ground_truth`.
    """
    matched = match_rows(inputs, metrics.parameters_of(request.rule))
    is_crowd = ground_truth.boxes.crowd
    countable, crowd = np.flatnonzero(~is_crowd), np.flatnonzero(is_crowd)
    all_g = np.concatenate([take_or(countable, matched.ground_truth, NONE), crowd])
    all_p = np.concatenate([matched.prediction, np.full(len(crowd), NONE, dtype=np.intp)])
    iou = np.concatenate([matched.iou, np.full(len(crowd), np.nan)])
    agrees = np.concatenate([matched.agrees, np.zeros(len(crowd), dtype=np.bool_)])
    is_missed = np.zeros(len(is_crowd), dtype=np.bool_)
    is_missed[countable] = missed
    confidence = inputs.predictions.confidence
    assert confidence is not None
    for start in range(0, len(all_g), _ROWS):
        part = slice(start, start + _ROWS)
        g, p = all_g[part], all_p[part]
        left = _names(ground_truth, inputs.ground_truth, inputs.labels, g)
        right = _names(predictions, inputs.predictions, inputs.labels, p)
        item = np.where(g == NONE, take_or(predictions.boxes.image, p, 0), take_or(ground_truth.boxes.image, g, 0))
        yield list(
            zip(
                item.tolist(),
                range(start, start + len(g)),
                *chain.from_iterable(zip(left, right, strict=True)),
                nan_to_none(take_or(confidence, p, np.nan)),
                nan_to_none(iou[part]),
                agrees[part].tolist(),
                take_or(is_crowd, g, False).tolist(),
                take_or(tide, p, None).tolist(),
                take_or(is_missed, g, False).tolist(),
                *map(nan_to_none, take_or(ground_truth.boxes.box, g, np.nan).T),
                *map(nan_to_none, take_or(predictions.boxes.box, p, np.nan).T),
                strict=True,
            )
        )


def _names(stored: StoredBoxes, side: BoxArrays, classes: Sequence[str], rows: Indices) -> list[list[str | None]]:
    """Return the keys, the labels and the classes of rows of one side, with None where a row is missing."""
    at = pa.array(rows, mask=rows == NONE)
    numbered = ((stored.labels, stored.boxes.label), (classes, side.label))
    names = [pa.array(texts, ARROW_STRING).take(pa.array(codes).take(at)) for texts, codes in numbered]
    return [column.to_pylist() for column in (stored.boxes.ids.take(at), *names)]


def is_stale(nucleus: EmbeddedNucleus, evaluation: StoredEvaluation) -> bool:
    """Return whether ground truth or predictions of a finished evaluation have changed since it was computed.

    The hash of the contents is computed only if the revision of a dataset or a run has changed since the last
    comparison, whose result is stored with the revisions that it saw. The revisions and the hash are read in one
    transaction, so a later change always raises a revision above the stored one.
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
