"""Evaluations on benchmarks, ranked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nucleus_pandas.server.store import benchmarks, evaluations, models
from nucleus_pandas.server.store.evaluation_outcomes import Selected
from nucleus_pandas.server.store.evaluations import Evaluation
from nucleus_pandas.wire.evaluations import CurveRequest, F1Curve, F1Point, RankingRequest, Standing

IOU_THRESHOLD = 0.5  # at which precision, recall and F1 are counted
STEPS = 101  # confidence thresholds of a curve: 0, 0.01, … 1

_MEASURES = {
    "MAP_50": "map_at_50",
    "MAP_50_95": "map_at_50_95",
    "AP_SMALL": "small",
    "AP_MEDIUM": "medium",
    "AP_LARGE": "large",
}

Counts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]
"""True positives and predictions at each confidence threshold, and the number of ground truths."""


def finished(db: sqlite3.Connection, benchmark_ids: Sequence[str], model_ids: Sequence[str] | None) -> list[Evaluation]:
    """List the finished evaluations on benchmarks, of some models or of all, oldest first."""
    wanted = None if model_ids is None else {models.find(db, model_id).id for model_id in model_ids}
    found = [
        evaluation
        for public_id in dict.fromkeys(benchmark_ids)
        for evaluation in evaluations.listing(db, "benchmark", benchmarks.find(db, public_id).id)
    ]
    return [
        one
        for one in sorted(found, key=lambda one: one.id)
        if one.status == "succeeded" and (wanted is None or one.model in wanted)
    ]


def ranking(
    db: sqlite3.Connection, request: RankingRequest, found: Sequence[Evaluation], is_stale: Callable[[Evaluation], bool]
) -> list[Standing]:
    """Rank evaluations by a metric, best first; where it does not exist they are left out.

    Precision, recall and F1, at IoU 0.5, are those of the predictions from a confidence threshold on, else of all.
    """
    scores = []
    for evaluation in found:
        score = _score(db, evaluation, request)
        if score is not None:
            scores.append((score, evaluation))
    scores.sort(key=lambda pair: (-pair[0], pair[1].id))
    if request.collapse == "bestPerModel":
        best: dict[int, tuple[float, Evaluation]] = {}
        for pair in scores:
            best.setdefault(pair[1].model, pair)
        scores = list(best.values())
    return [
        Standing(**_names(evaluation), benchmark_id=f"bm_{evaluation.benchmark_tag}", score=score, rank=rank,
                 stale=is_stale(evaluation))
        for rank, (score, evaluation) in zip(_ranks([score for score, _ in scores]), scores, strict=True)
    ]  # fmt: skip


def _ranks(scores: Iterable[float]) -> list[int]:
    """Return the ranks of falling scores, from 1; equal ones share a rank."""
    found: list[int] = []
    last: float | None = None
    for place, score in enumerate(scores, start=1):
        found.append(found[-1] if score == last else place)
        last = score
    return found


def _names(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "evaluation_id": evaluation.public_id,
        "evaluation_name": evaluation.name,
        "model_run_id": None if evaluation.run is None else f"run_{evaluation.run_tag}",
        "model_run_name": evaluation.run_name,
        "model_id": f"prj_{evaluation.model_tag}",
        "model_name": evaluation.model_name,
    }


def _score(db: sqlite3.Connection, evaluation: Evaluation, request: RankingRequest) -> float | None:
    if request.metric_type in _MEASURES:
        return evaluations.measure(db, evaluation, _MEASURES[request.metric_type])
    threshold = request.confidence_threshold
    tp, kept, truths = _counts(db, evaluation, None if threshold is None else np.array([threshold]))
    if request.metric_type == "PRECISION":
        return _ratio(tp[0], kept[0])
    if request.metric_type == "RECALL":
        return _ratio(tp[0], truths)
    return _ratio(2 * tp[0], kept[0] + truths)


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _counts(db: sqlite3.Connection, evaluation: Evaluation, thresholds: npt.NDArray[np.float64] | None) -> Counts:
    """Count at each threshold the predictions from it on; without thresholds all, also those without a confidence."""
    rows, truths = Selected(evaluation, IOU_THRESHOLD).scores(db)
    columns = list(zip(*rows, strict=True)) or [(), ()]
    right = np.array(columns[1], dtype=np.int64)
    if thresholds is None:
        return np.array([right.sum()]), np.array([len(right)]), truths
    confidence = np.array(columns[0], dtype=np.float64)
    confidence, right = confidence[~np.isnan(confidence)], right[~np.isnan(confidence)]
    order = np.argsort(confidence)
    first = np.searchsorted(confidence[order], thresholds, side="left")
    before = np.concatenate(([0], np.cumsum(right[order])))
    return before[-1] - before[first], len(right) - first, truths


def curves(
    db: sqlite3.Connection, request: CurveRequest, found: Sequence[Evaluation], is_stale: Callable[[Evaluation], bool]
) -> list[F1Curve]:
    """Return F1 over confidence of the best evaluation of each model, those of the best models, at IoU 0.5."""
    thresholds = np.linspace(0.0, 1.0, STEPS)
    drawn = []
    for evaluation in found:
        tp, kept, truths = _counts(db, evaluation, thresholds)
        if truths:
            drawn.append((2 * tp / (kept + truths), evaluation))
    drawn.sort(key=lambda pair: (-pair[0].max(), pair[1].id))
    best: dict[int, tuple[npt.NDArray[np.float64], Evaluation]] = {}
    for pair in drawn:
        best.setdefault(pair[1].model, pair)
    top = list(best.values())[: request.top_n]
    return [
        F1Curve(
            **_names(evaluation),
            best_f1=float(f1.max()),
            points=[
                F1Point(confidence_threshold=threshold, score=score)
                for threshold, score in zip(thresholds.tolist(), f1.tolist(), strict=True)
            ],
            rank=rank,
            stale=is_stale(evaluation),
        )
        for rank, (f1, evaluation) in zip(_ranks([float(f1.max()) for f1, _ in top]), top, strict=True)
    ]
