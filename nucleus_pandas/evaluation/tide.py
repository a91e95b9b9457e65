"""TIDE: why predictions are wrong and what was missed, in counts.

The six categories are those of Bolya, Foley, Hays and Hoffman, *TIDE: A General Toolbox for Identifying Object
Detection Errors* (2020), with a foreground of IoU 0.5 and a background of 0.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.evaluation.arrays import NONE, EvaluationInputs, take_or
from nucleus_pandas.evaluation.coco_assignment import Agreement, assign
from nucleus_pandas.evaluation.matching import Pairs
from nucleus_pandas.evaluation.overlaps import overlaps
from nucleus_pandas.evaluation.parameters import Parameters

FOREGROUND_IOU = 0.5
BACKGROUND_IOU = 0.1
ERRORS = ("classification", "localization", "both", "duplicate", "background", "missed")


@dataclass(frozen=True, eq=False)
class BestOverlap:
    """The ground truth that each prediction overlaps most, -1 where it overlaps nothing; crowds are left out."""

    iou: Floats
    ground_truth: Indices

    @classmethod
    def nothing(cls, count: int) -> BestOverlap:
        """Return no overlap for each of so many predictions."""
        return cls(np.zeros(count), np.full(count, NONE, dtype=np.intp))

    def update(self, pairs: Pairs) -> None:
        """Record the best of more pairs; a prediction's pairs must come together. Of equal ones the first row stays."""
        if not len(pairs.iou):
            return
        order = np.lexsort((pairs.ground_truth, -pairs.iou, pairs.prediction))
        p = pairs.prediction[order]
        best = pairs.take(order[np.concatenate(([True], p[1:] != p[:-1]))])
        self.iou[best.prediction], self.ground_truth[best.prediction] = best.iou, best.ground_truth


@dataclass(frozen=True, eq=False)
class TideResult:
    """The category of each prediction, and the ground truth boxes that no prediction comes near.

    Attributes
    ----------
    kept : numpy.ndarray of intp
        Rows of the predictions that are judged: the first of each label in each image, up to `max_dets`.
    true_positive, ignored : numpy.ndarray of bool
        True positives, and predictions in crowds, among them.
    errors : dict of str to numpy.ndarray of bool
        For each category but ``missed``: the predictions in it. Each of `kept` is a true positive, ignored or in one.
    missed : numpy.ndarray of bool
        The ground truth boxes (crowds left out) in ``missed``.
    found : numpy.ndarray of bool
        The ground truth boxes that were found.
    """

    kept: Indices
    true_positive: Bools
    ignored: Bools
    errors: dict[str, Bools]
    missed: Bools
    found: Bools


def tide(inputs: EvaluationInputs, parameters: Parameters) -> TideResult:
    """Put every prediction that is wrong into one category, and every ground truth that nothing came near.

    Predictions take ground truth boxes as COCO does at IoU 0.5. Of the others, the first category that fits:

    * localization: the most it overlaps ground truth of its label is IoU 0.1 or more, but below 0.5;
    * classification: it overlaps ground truth of another label by 0.5 or more;
    * duplicate: it overlaps ground truth of its label by 0.5 or more, which a more confident one took;
    * background: it overlaps no ground truth by more than 0.1;
    * both: the rest, off in place and in label.

    A ground truth is missed if it was not found, and is not the nearest of a prediction that is off in its place or
    in its label. So every prediction that is kept is in exactly one of the true positives, the ignored and the five
    categories, and every missed ground truth is an error of its own.
    """
    ground_truth = inputs.ground_truth
    kept = np.flatnonzero(inputs.predictions.place < parameters.max_dets[-1])
    predictions = inputs.predictions.take(kept)
    agreement = Agreement(inputs.labels, parameters.rule)
    same, other = BestOverlap.nothing(len(kept)), BestOverlap.nothing(len(kept))
    close = []
    for pairs in overlaps(ground_truth, predictions):
        agrees = agreement.of(ground_truth.label[pairs.ground_truth], predictions.label[pairs.prediction])
        counts = ~ground_truth.crowd[pairs.ground_truth]
        same.update(pairs.take(agrees & counts))
        other.update(pairs.take(~agrees & counts))
        close.append(pairs.take(agrees & (pairs.iou >= FOREGROUND_IOU)))
    threshold, crowds = np.array([FOREGROUND_IOU]), ground_truth.crowd[None, :]
    partner = assign(Pairs.concatenated(close), ground_truth, predictions, threshold, crowds)[0, 0]
    is_assigned, ignored = partner != NONE, take_or(ground_truth.crowd, partner, False)
    true_positive = is_assigned & ~ignored
    errors, rest = {}, ~is_assigned
    for name, fits in (
        ("localization", (same.iou >= BACKGROUND_IOU) & (same.iou < FOREGROUND_IOU)),
        ("classification", other.iou >= FOREGROUND_IOU),
        ("duplicate", same.iou >= FOREGROUND_IOU),
        ("background", np.maximum(same.iou, other.iou) <= BACKGROUND_IOU),
        ("both", np.ones(len(kept), dtype=np.bool_)),
    ):
        errors[name] = rest & fits
        rest = rest & ~fits
    found, near = np.zeros(len(ground_truth), dtype=np.bool_), np.zeros(len(ground_truth), dtype=np.bool_)
    found[partner[true_positive]] = True
    near[same.ground_truth[errors["localization"]]] = True
    near[other.ground_truth[errors["classification"]]] = True
    countable = ~ground_truth.crowd
    return TideResult(kept, true_positive, ignored, errors, (~found & ~near)[countable], found[countable])


def tide_table(result: TideResult) -> pd.DataFrame:
    """Count the categories."""
    counts = [int((result.missed if name == "missed" else result.errors[name]).sum()) for name in ERRORS]
    total = sum(counts)
    index = pd.Index(pd.Series(list(ERRORS), dtype=TEXT), name="error")
    shares = np.array(counts, dtype=np.float64) / total if total else np.full(len(counts), np.nan)
    return pd.DataFrame({"count": np.array(counts, dtype=np.int64), "share": shares}, index=index)
