"""Evaluations on benchmarks, ranked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Floats
from nucleus_pandas.server.store import benchmarks, evaluations, models
from nucleus_pandas.server.store.evaluation_outcomes import SelectedOutcomes
from nucleus_pandas.server.store.evaluations import StoredEvaluation
from nucleus_pandas.wire.evaluations import CurveRequest, F1Curve, F1Point, RankingRequest, RankingRow

IOU_THRESHOLD = 0.5  # at which precision, recall and F1 are counted
STEPS = 101  # confidence thresholds of a curve: 0, 0.01, … 1

_MEASURES = {
    "MAP_50": "map_at_50",
    "MAP_50_95": "map_at_50_95",
    "AP_SMALL": "small",
    "AP_MEDIUM": "medium",
    "AP_LARGE": "large",
}

ThresholdCounts: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], int]
"""True positives and predictions at each confidence threshold, and the number of ground truths."""


def finished(
    db: sqlite3.Connection, benchmark_ids: Sequence[str], model_ids: Sequence[str] | None
) -> list[StoredEvaluation]:
    """List the finished evaluations on benchmarks, of some models or of all, oldest first."""
    selected = None if model_ids is None else {models.find(db, model_id).id for model_id in model_ids}
    on_benchmarks = [
        evaluation
        for public_id in dict.fromkeys(benchmark_ids)
        for evaluation in evaluations.listing(db, "benchmark", benchmarks.find(db, public_id).id)
    ]
    return [
        evaluation
        for evaluation in sorted(on_benchmarks, key=lambda evaluation: evaluation.id)
        if evaluation.status == "succeeded" and (selected is None or evaluation.model in selected)
    ]


def ranking(
    db: sqlite3.Connection,
    request: RankingRequest,
    candidates: Sequence[StoredEvaluation],
    is_stale: Callable[[StoredEvaluation], bool],
) -> list[RankingRow]:
    """Rank evaluations by a metric, best first; those without the metric are left out.

    Precision, recall and F1 are at IoU 0.5, of the predictions from a confidence threshold on, by default of all.
    """
    scores = ((_score(db, evaluation, request), evaluation) for evaluation in candidates)
    defined = [(score, evaluation) for score, evaluation in scores if score is not None]
    return [
        RankingRow(**_names(evaluation), benchmark_id=f"bm_{evaluation.benchmark_tag}", score=score, rank=rank,
                 stale=is_stale(evaluation))
        for rank, score, evaluation in _ranked(defined, one_per_model=request.collapse == "bestPerModel")
    ]  # fmt: skip


def _ranked(
    scores: list[tuple[float, StoredEvaluation]], *, one_per_model: bool
) -> list[tuple[int, float, StoredEvaluation]]:
    """Return evaluations by falling score with their ranks, from 1; equal scores share a rank."""
    ranked: list[tuple[int, float, StoredEvaluation]] = []
    models: set[int] = set()
    for score, evaluation in sorted(scores, key=lambda pair: (-pair[0], pair[1].id)):
        if not one_per_model or evaluation.model not in models:
            is_shared = bool(ranked) and ranked[-1][1] == score
            ranked.append((ranked[-1][0] if is_shared else len(ranked) + 1, score, evaluation))
            models.add(evaluation.model)
    return ranked


def _names(evaluation: StoredEvaluation) -> dict[str, Any]:
    return {
        "evaluation_id": evaluation.public_id,
        "evaluation_name": evaluation.name,
        "model_run_id": None if evaluation.run is None else f"run_{evaluation.run_tag}",
        "model_run_name": evaluation.run_name,
        "model_id": f"prj_{evaluation.model_tag}",
        "model_name": evaluation.model_name,
    }


def _score(db: sqlite3.Connection, evaluation: StoredEvaluation, request: RankingRequest) -> float | None:
    if request.metric_type in _MEASURES:
        return evaluations.measure(db, evaluation, _MEASURES[request.metric_type])
    threshold = request.confidence_threshold
    tp, kept, ground_truths = _counts(db, evaluation, None if threshold is None else np.array([threshold]))
    parts = {
        "PRECISION": (tp[0], kept[0]),
        "RECALL": (tp[0], ground_truths),
        "F1": (2 * tp[0], kept[0] + ground_truths),
    }
    part, whole = parts[request.metric_type]
    return float(part / whole) if whole else None


def _counts(db: sqlite3.Connection, evaluation: StoredEvaluation, thresholds: Floats | None) -> ThresholdCounts:
    """Count the predictions from each threshold on; without thresholds all of them, with or without a confidence.

    Predictions are sorted by confidence once; those from a threshold on are a suffix, found by binary search, and its
    true positives are a difference of cumulative sums.
    """
    rows, ground_truths = SelectedOutcomes(evaluation, IOU_THRESHOLD).scores(db)
    columns = list(zip(*rows, strict=True)) or [(), ()]
    is_true = np.array(columns[1], dtype=np.int64)
    if thresholds is None:
        return np.array([is_true.sum()]), np.array([len(is_true)]), ground_truths
    confidence = np.array(columns[0], dtype=np.float64)
    confidence, is_true = confidence[~np.isnan(confidence)], is_true[~np.isnan(confidence)]
    order = np.argsort(confidence)
    first = np.searchsorted(confidence[order], thresholds, side="left")
    before = np.concatenate(([0], np.cumsum(is_true[order])))
    return before[-1] - before[first], len(is_true) - first, ground_truths


def curves(
    db: sqlite3.Connection,
    request: CurveRequest,
    candidates: Sequence[StoredEvaluation],
    is_stale: Callable[[StoredEvaluation], bool],
) -> list[F1Curve]:
    """Return F1 over confidence, at IoU 0.5, of the best evaluation of each of the best models."""
    thresholds = np.linspace(0.0, 1.0, STEPS)
    f1_of: dict[int, Floats] = {}
    scores = []
    for evaluation in candidates:
        tp, kept, ground_truths = _counts(db, evaluation, thresholds)
        if ground_truths:
            f1_of[evaluation.id] = 2 * tp / (kept + ground_truths)
            scores.append((float(f1_of[evaluation.id].max()), evaluation))
    return [
        F1Curve(
            **_names(evaluation),
            best_f1=best,
            points=[
                F1Point(confidence_threshold=threshold, score=score)
                for threshold, score in zip(thresholds.tolist(), f1_of[evaluation.id].tolist(), strict=True)
            ],
            rank=rank,
            stale=is_stale(evaluation),
        )
        for rank, best, evaluation in _ranked(scores, one_per_model=True)[: request.top_n]
    ]
