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
from nucleus_pandas.evaluation.arrays import BoxArrays, EvaluationInputs
from nucleus_pandas.evaluation.coco_assignment import UNASSIGNED, Agreement, assign
from nucleus_pandas.evaluation.overlaps import Overlaps, overlaps
from nucleus_pandas.evaluation.parameters import Parameters

FOREGROUND_IOU = 0.5
BACKGROUND_IOU = 0.1
ERRORS = ("classification", "localization", "both", "duplicate", "background", "missed")


@dataclass(frozen=True, eq=False)
class Best:
    """The ground truth that each prediction overlaps most, of labels that agree or of others; crowds are left out."""

    iou: Floats
    ground_truth: Indices

    @classmethod
    def of(cls, count: int) -> Best:
        """Begin with nothing."""
        return cls(np.zeros(count), np.full(count, UNASSIGNED, dtype=np.intp))

    def see(self, pairs: Overlaps) -> None:
        """Take the best of more pairs; a prediction's pairs must come together. Of equal ones the first row stays."""
        if not len(pairs.iou):
            return
        order = np.lexsort((pairs.ground_truth, -pairs.iou, pairs.prediction))
        p = pairs.prediction[order]
        first = order[np.concatenate(([True], p[1:] != p[:-1]))]
        p = pairs.prediction[first]
        self.iou[p], self.ground_truth[p] = pairs.iou[first], pairs.ground_truth[first]


@dataclass(frozen=True, eq=False)
class Tide:
    """What became of each prediction, and which ground truths no prediction comes near.

    Attributes
    ----------
    kept : numpy.ndarray of intp
        Rows of the predictions that were looked at: the first of each label in each image, up to `max_dets`.
    right, ignored : numpy.ndarray of bool
        True positives, and predictions in crowds, among them.
    errors : dict of str to numpy.ndarray of bool
        For each category but ``missed``: the predictions in it. Every one of `kept` is right, ignored or in one.
    missed : numpy.ndarray of bool
        The ground truths (crowds left out) in ``missed``.
    found : numpy.ndarray of bool
        The ground truths that were found.
    """

    kept: Indices
    right: Bools
    ignored: Bools
    errors: dict[str, Bools]
    missed: Bools
    found: Bools


def tide(sides: EvaluationInputs, parameters: Parameters) -> Tide:
    """Put every prediction that is wrong into one category, and every ground truth that nothing came near.

    Predictions take ground truths as COCO does at IoU 0.5. Of the others, the first category that fits:

    * localization: the most it overlaps ground truth of its label is IoU 0.1 or more, but below 0.5;
    * classification: it overlaps ground truth of another label by 0.5 or more;
    * duplicate: it overlaps ground truth of its label by 0.5 or more, which a more confident one took;
    * background: it overlaps no ground truth by more than 0.1;
    * both: what is left, off in place and in label.

    A ground truth is missed if it was not found, and is not the nearest of a prediction that is off in its place or
    in its label.
    """
    ground_truth = sides.ground_truth
    kept = np.flatnonzero(sides.predictions.place < parameters.max_dets[-1])
    predictions = sides.predictions.take(kept)
    agreement = Agreement(sides.labels, parameters.rule)
    own, other = Best.of(len(predictions)), Best.of(len(predictions))
    near: list[Overlaps] = []
    for some in overlaps(ground_truth, predictions):
        agreed = agreement.of(ground_truth.label[some.ground_truth], predictions.label[some.prediction])
        counts = ~ground_truth.crowd[some.ground_truth]
        own.see(_some(some, agreed & counts))
        other.see(_some(some, ~agreed & counts))
        near.append(_some(some, agreed & (some.iou >= FOREGROUND_IOU)))
    took = _assigned(near, ground_truth, predictions)
    hit = took != UNASSIGNED
    ignored = np.zeros(len(kept), dtype=np.bool_)
    ignored[hit] = ground_truth.crowd[took[hit]]
    right = hit & ~ignored
    errors, rest = {}, ~hit
    for name, fits in (
        ("localization", (own.iou >= BACKGROUND_IOU) & (own.iou < FOREGROUND_IOU)),
        ("classification", other.iou >= FOREGROUND_IOU),
        ("duplicate", own.iou >= FOREGROUND_IOU),
        ("background", np.maximum(own.iou, other.iou) <= BACKGROUND_IOU),
        ("both", np.ones(len(kept), dtype=np.bool_)),
    ):
        errors[name] = rest & fits
        rest = rest & ~fits
    found, near_by = np.zeros(len(ground_truth), dtype=np.bool_), np.zeros(len(ground_truth), dtype=np.bool_)
    found[took[right]] = True
    near_by[own.ground_truth[errors["localization"]]] = True
    near_by[other.ground_truth[errors["classification"]]] = True
    countable = ~ground_truth.crowd
    return Tide(kept, right, ignored, errors, (~found & ~near_by)[countable], found[countable])


def _some(pairs: Overlaps, which: Bools) -> Overlaps:
    at = np.flatnonzero(which)
    return Overlaps(pairs.ground_truth[at], pairs.prediction[at], pairs.iou[at])


def _assigned(near: list[Overlaps], ground_truth: BoxArrays, predictions: BoxArrays) -> Indices:
    none = np.empty(0, dtype=np.intp)
    near.append(Overlaps(none, none, np.empty(0)))
    pairs = Overlaps(*(np.concatenate(column) for column in zip(*near, strict=True)))
    found: Indices = assign(pairs, ground_truth, predictions, np.array([FOREGROUND_IOU]), ground_truth.crowd[None, :])[
        0, 0
    ]
    return found


def table(result: Tide) -> pd.DataFrame:
    """Count the categories."""
    counts = [int((result.missed if name == "missed" else result.errors[name]).sum()) for name in ERRORS]
    total = sum(counts)
    index = pd.Index(pd.Series(list(ERRORS), dtype=TEXT), name="error")
    shares = np.array(counts, dtype=np.float64) / total if total else np.full(len(counts), np.nan)
    return pd.DataFrame({"count": np.array(counts, dtype=np.int64), "share": shares}, index=index)
