"""COCO's assignment: predictions by falling confidence, each to the free ground truth that it overlaps most.

The protocol is that of ``COCOeval.evaluateImg`` in pycocotools, ties included, for all thresholds and all area ranges
at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas.evaluation.arrays import NONE, BoxArrays, counted_from_0, places_in
from nucleus_pandas.evaluation.matching import LabelRule, Pairs

_LARGEST = 1 - 1e-10  # COCO: at a threshold of 1, nearly 1 is enough


class Agreement:
    """Which labels a prediction may find: equal ones, or those of the given pairs.

    Parameters
    ----------
    labels : sequence of str
        The names of the labels.
    rule : LabelRule
        Its pairs, if it has any. Whether other labels may match in the Nucleus match does not matter here.
    """

    def __init__(self, labels: Sequence[str], rule: LabelRule) -> None:
        self._pairs: Indices | None = None
        self._count = len(labels)
        if rule.allowed is not None:
            code = {label: number for number, label in enumerate(labels)}
            codes = [(code[gt], code[other]) for gt, other in rule.allowed if gt in code and other in code]
            self._pairs = np.array(sorted(gt * self._count + other for gt, other in codes), dtype=np.intp)

    def of(self, ground_truth: Indices, prediction: Indices) -> Bools:
        """Return which pairs of labels, given by their numbers, agree."""
        if self._pairs is None:
            return np.asarray(ground_truth == prediction)
        return np.asarray(np.isin(ground_truth * self._count + prediction, self._pairs))

    def predicted_for(self, ground_truth: int) -> Indices:
        """Return the predicted labels that may find ground truth of a label."""
        if self._pairs is None:
            return np.array([ground_truth], dtype=np.intp)
        return np.asarray(self._pairs[self._pairs // self._count == ground_truth] % self._count)


def assign(
    pairs: Pairs, ground_truth: BoxArrays, predictions: BoxArrays, thresholds: Floats, ignored: Bools
) -> Indices:
    """Assign ground truth boxes to predictions.

    Predictions have turns: the first of every image, then the second of every image, and so on. Those of one turn lie
    in different images, so they cannot take from each other, and a turn is one array operation over all thresholds and
    area ranges. The pairs of a prediction are sorted so that its best one comes last: by IoU, then by row, as
    pycocotools lets a later ground truth of equal IoU win. A ground truth that counts goes before an ignored one.

    Parameters
    ----------
    pairs : Pairs
        All pairs that may be assigned to each other and reach the lowest threshold.
    ground_truth, predictions : BoxArrays
        The two sides.
    thresholds : numpy.ndarray of shape (t,), float64
        IoU thresholds.
    ignored : numpy.ndarray of shape (a, n), bool
        For each area range the ground truth boxes that do not count; crowds are among them.

    Returns
    -------
    numpy.ndarray of shape (t, a, m), intp
        The ground truth of each prediction, -1 where there is none. Crowds may be assigned more than once.
    """
    assigned = np.full((len(thresholds), len(ignored), len(predictions)), NONE, dtype=np.intp)
    if not len(pairs.iou):
        return assigned
    rank = places_in(predictions.ranked)
    at_least = np.minimum(thresholds, _LARGEST)
    order = np.lexsort((pairs.ground_truth, pairs.iou, rank[pairs.prediction], predictions.image[pairs.prediction]))
    g, p, iou = pairs.take(order)
    first = np.flatnonzero(np.concatenate(([True], p[1:] != p[:-1])))  # of each prediction
    paired = p[first]
    turn = counted_from_0(predictions.image[paired])
    taken = np.zeros((len(thresholds), len(ignored), len(ground_truth)), dtype=np.bool_)
    order = np.argsort(turn, kind="stable")
    ends = np.append(first[1:], len(p))
    for at in np.split(order, np.flatnonzero(np.diff(turn[order])) + 1):
        lengths = ends[at] - first[at]
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        rows = np.repeat(first[at] - starts, lengths) + np.arange(int(lengths.sum()))
        candidate = g[rows]
        free = ~taken[:, :, candidate] & (iou[rows] >= at_least[:, None])[:, None, :]
        position = np.arange(len(rows))
        counts = np.where(free & ~ignored[:, candidate], position, -1)
        best = np.maximum.reduceat(counts, starts, axis=2)
        if ignored[:, candidate].any():
            other = np.maximum.reduceat(np.where(free, position, -1), starts, axis=2)
            best = np.where(best < 0, other, best)
        hit = best >= 0
        partner = np.where(hit, candidate[best], NONE)
        assigned[:, :, paired[at]] = partner
        t, a, k = np.nonzero(hit)
        winners = partner[t, a, k]
        once = ~ground_truth.crowd[winners]
        taken[t[once], a[once], winners[once]] = True
    return assigned
