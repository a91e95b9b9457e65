"""Average precision: what an engine or the own accumulation found, and the numbers of COCO that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas._util.version import __version__
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.coco_assignment import UNASSIGNED, Agreement, assign
from nucleus_pandas.evaluation.overlaps import Overlaps, overlaps
from nucleus_pandas.evaluation.parameters import IOU_THRESHOLDS, RECALLS, Parameters

NAME = "nucleus_pandas"
"""Of the own accumulation, beside the names of engines."""
NO_CONFIDENCE = -1.0
"""Stands for a missing confidence where predictions are ranked: below all others."""


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall as pycocotools accumulates them; NaN where it has -1.

    Attributes
    ----------
    precision : numpy.ndarray of shape (10, 101, labels, area ranges, max_dets), float64
        At each IoU threshold and recall.
    recall : numpy.ndarray of shape (10, labels, area ranges, max_dets), float64
        The highest recall that is reached.
    scores : numpy.ndarray of shape (10, 101, labels, area ranges, max_dets), float64
        From which confidence on the precision holds; 0 where the recall is not reached.
    engine, version : str
        What computed them.
    """

    precision: Floats
    recall: Floats
    scores: Floats
    engine: str
    version: str

    def ap(self, iou_threshold: float | None = None, area: int = 0) -> Floats:
        """Average precision of each label at one threshold, or over all ten; NaN where there is none."""
        found: Floats = self.precision[_thresholds(iou_threshold), :, :, area, -1].mean(axis=(0, 1))
        return found

    def ar(self, area: int = 0, max_dets: int = -1) -> Floats:
        """Average recall of each label over all ten thresholds; NaN where there is none."""
        found: Floats = self.recall[:, :, area, max_dets].mean(axis=0)
        return found

    def mean_ap(self, iou_threshold: float | None = None, area: int = 0) -> float:
        """Mean average precision over the labels that have one."""
        return _mean(self.precision[_thresholds(iou_threshold), :, :, area, -1])

    def mean_ar(self, area: int = 0, max_dets: int = -1) -> float:
        """Mean average recall over the labels that have one."""
        return _mean(self.recall[:, :, area, max_dets])


def _thresholds(one: float | None) -> slice:
    if one is None:
        return slice(None)
    at = IOU_THRESHOLDS.index(one)
    return slice(at, at + 1)


def _mean(values: Floats) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else np.nan


def empty(sides: EvaluationInputs, parameters: Parameters) -> tuple[Floats, Floats, Floats]:
    """Return arrays of the shapes of `PrecisionRecall`, full of NaN."""
    shape = len(sides.labels), len(parameters.area_ranges), len(parameters.max_dets)
    precision = np.full((len(IOU_THRESHOLDS), RECALLS, *shape), np.nan)
    return precision, np.full((len(IOU_THRESHOLDS), *shape), np.nan), precision.copy()


def accumulate(sides: EvaluationInputs, parameters: Parameters) -> PrecisionRecall:
    """Accumulate precision and recall over COCO's assignment under a rule of label pairs.

    Predictions take ground truths as in pycocotools, but of all labels that the pairs allow. For a ground-truth label
    a prediction is a true positive if it took one of that label; a false positive if it could have, and took nothing;
    and does not count if it took one of another label. So a prediction "vehicle" is not held against "car" because
    it found a truck. With pairs of equal labels this is pycocotools' average precision, to the last bit.

    Parameters
    ----------
    sides : EvaluationInputs
        Ground truth and predictions.
    parameters : Parameters
        Their rule, `max_dets` and `area_ranges`.

    Returns
    -------
    PrecisionRecall
        Labels are those of the ground truth.
    """
    ground_truth, predictions = sides.ground_truth, sides.predictions
    precision, recall, scores = empty(sides, parameters)
    if len(predictions) and not predictions.has_ranks:
        return PrecisionRecall(precision, recall, scores, NAME, __version__)
    place = predictions.place
    kept = np.flatnonzero(place < parameters.max_dets[-1])
    predictions, place = predictions.take(kept), place[kept]
    agreement = Agreement(sides.labels, parameters.rule)
    pairs = near_pairs(sides, kept, agreement)
    bounds = np.array(list(parameters.area_ranges.values()))
    ignored = ground_truth.crowd | outside(ground_truth.area, bounds)
    thresholds = np.array(IOU_THRESHOLDS)
    assigned = assign(pairs, ground_truth, predictions, thresholds, ignored)
    beyond = outside(predictions.area, bounds)

    order = np.lexsort((np.arange(len(place)), sides.images.rank[predictions.image]))
    assert predictions.confidence is not None
    confidence = np.where(np.isnan(predictions.confidence), NO_CONFIDENCE, predictions.confidence)
    order = order[np.argsort(-confidence[order], kind="stable")]
    for label in range(len(sides.labels)):
        own = ground_truth.label == label
        rows = order[np.isin(predictions.label[order], agreement.predicted_for(label))]
        for area in range(len(bounds)):
            positives = int(np.count_nonzero(own & ~ignored[area]))
            if not positives:
                continue
            took = assigned[:, area, rows]
            free = took == UNASSIGNED
            right = ~free & own[took] & ~ignored[area][took]
            wrong = free & ~beyond[area][rows]
            for at, most in enumerate(parameters.max_dets):
                some = place[rows] < most
                curve = _curve(right[:, some], wrong[:, some], positives, confidence[rows[some]])
                precision[:, :, label, area, at], recall[:, label, area, at], scores[:, :, label, area, at] = curve
    return PrecisionRecall(precision, recall, scores, NAME, __version__)


def near_pairs(sides: EvaluationInputs, kept: Indices, agreement: Agreement) -> Overlaps:
    """Find the pairs that may be assigned at the lowest threshold; predictions are numbered as in `kept`."""
    predictions = sides.predictions.take(kept)
    ground_truth = sides.ground_truth
    found: list[Overlaps] = []
    for some in overlaps(ground_truth, predictions):
        near = np.flatnonzero(some.iou >= IOU_THRESHOLDS[0])
        g, p = some.ground_truth[near], some.prediction[near]
        agreed = agreement.of(ground_truth.label[g], predictions.label[p])
        found.append(Overlaps(g[agreed], p[agreed], some.iou[near][agreed]))
    none = np.empty(0, dtype=np.intp)
    found.append(Overlaps(none, none, np.empty(0)))
    return Overlaps(*(np.concatenate(column) for column in zip(*found, strict=True)))


def outside(area: Floats, bounds: NDArray[np.float64]) -> Bools:
    """Return for each range, of shape (a, 2), which areas lie outside of it."""
    found: Bools = (area < bounds[:, :1]) | (area > bounds[:, 1:])
    return found


def _curve(right: Bools, wrong: Bools, positives: int, confidence: Floats) -> tuple[Floats, Floats, Floats]:
    """Return precision at 101 recalls, the highest recall, and the confidences, for each threshold."""
    count = right.shape[0]
    precision, scores = np.zeros((count, RECALLS)), np.zeros((count, RECALLS))
    if not right.shape[1]:
        return precision, np.zeros(count), scores
    found, false = np.cumsum(right, axis=1, dtype=float), np.cumsum(wrong, axis=1, dtype=float)
    recall = found / positives
    exact = found / (false + found + np.spacing(1))
    envelope = np.maximum.accumulate(exact[:, ::-1], axis=1)[:, ::-1]
    points = np.linspace(0.0, 1.0, RECALLS)
    for row in range(count):
        at = np.searchsorted(recall[row], points, side="left")
        reached = at < recall.shape[1]
        precision[row, reached] = envelope[row, at[reached]]
        scores[row, reached] = confidence[at[reached]]
    return precision, recall[:, -1], scores
