"""What stored matches mean at an IoU threshold: true positives, false positives, false negatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices

__all__ = ["Outcomes", "outcomes"]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """True positives, false positives and false negatives at one threshold, one row per outcome.

    Attributes
    ----------
    row : numpy.ndarray of shape (k,), intp
        The stored row that the outcome comes from, ascending; FP comes before FN of the same row.
    match_type : numpy.ndarray of shape (k,), str
        "TP", "FP" or "FN".
    ground_truth, prediction : numpy.ndarray of shape (k,), bool
        Which sides of the stored row the outcome shows. An FP with both sides is a confusion of labels.
    """

    row: Indices
    match_type: NDArray[np.str_]
    ground_truth: Bools
    prediction: Bools


def outcomes(
    iou: Floats,
    has_ground_truth: Bools,
    has_prediction: Bools,
    agrees: Bools,
    iou_threshold: float | None = None,
) -> Outcomes:
    """Report stored matches at an IoU threshold.

    There is one stored row per matched pair, per prediction without a match and per ground truth without one.
    A pair at or above the threshold is a TP if its labels agree, otherwise an FP with both sides (a confusion)
    and an FN. A pair below the threshold, like two boxes without a match, is an FP and an FN. Thus TP and FN
    together are as many as the ground truths, TP and FP as many as the predictions, at every threshold.

    Parameters
    ----------
    iou : numpy.ndarray of shape (n,), float64
        IoU of each pair, NaN where a side is missing.
    has_ground_truth, has_prediction : numpy.ndarray of shape (n,), bool
        Which sides a stored row has.
    agrees : numpy.ndarray of shape (n,), bool
        Whether the labels of a pair are right, see :meth:`LabelRule.agrees`; ignored where a side is missing.
    iou_threshold : float, optional
        From 0 to 1. By default every stored pair counts, as at 0.

    Returns
    -------
    Outcomes
        One row per outcome, in the order of the stored rows, FP before FN.

    Raises
    ------
    ValueError
        If the threshold is not a number from 0 to 1.

    Examples
    --------
    >>> yes = np.ones(2, bool)
    >>> found = outcomes(np.array([0.9, 0.4]), yes, yes, yes, iou_threshold=0.5)
    >>> list(zip(found.row.tolist(), found.match_type.tolist()))
    [(0, 'TP'), (1, 'FP'), (1, 'FN')]
    """
    threshold = 0.0 if iou_threshold is None else iou_threshold
    if not 0 <= threshold <= 1:
        raise ValueError(f"iou_threshold must be from 0 to 1, got {iou_threshold}.")
    close = has_ground_truth & has_prediction & (iou >= threshold)
    right = close & agrees
    false_positive, false_negative = has_prediction & ~right, has_ground_truth & ~right
    row = np.repeat(np.arange(len(iou)), right.astype(np.intp) + false_positive + false_negative)
    second = np.zeros(len(row), dtype=np.bool_)
    second[1:] = row[1:] == row[:-1]
    is_negative = second | ~has_prediction[row]
    match_type = np.where(right[row], "TP", np.where(is_negative, "FN", "FP"))
    return Outcomes(row, match_type, is_negative | close[row], ~is_negative)
