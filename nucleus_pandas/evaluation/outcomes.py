"""Outcomes of stored matches at an IoU threshold: true positives, false positives, false negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices

__all__ = ["MatchFlags", "OutcomeRows", "classify", "outcome_rows"]

Flag = TypeVar("Flag")


class MatchFlags(NamedTuple, Generic[Flag]):
    """What rows of a match are at an IoU threshold, as boolean arrays, or as bools for one row.

    `close` pairs reach the threshold, whether their labels agree or not; a close pair that is not a `true_positive` is
    a confusion of labels.
    """

    close: Flag
    true_positive: Flag
    false_positive: Flag
    false_negative: Flag


@overload
def classify(
    iou: Floats, has_ground_truth: Bools, has_prediction: Bools, agrees: Bools, iou_threshold: float
) -> MatchFlags[Bools]: ...


@overload
def classify(
    iou: float, has_ground_truth: bool, has_prediction: bool, agrees: bool, iou_threshold: float
) -> MatchFlags[bool]: ...


def classify(
    iou: Any, has_ground_truth: Any, has_prediction: Any, agrees: Any, iou_threshold: float
) -> MatchFlags[Any]:
    """Apply an IoU threshold to rows of a match: arrays, or the values of one row.

    A pair at or above the threshold whose labels agree is a true positive. Every other prediction is a false positive
    and every other ground truth a false negative, so a pair can be both. Crowds are no rows of a match. The server
    applies the same rule in SQL, see `server.store.matches.outcome_tests`.

    Parameters
    ----------
    iou : numpy.ndarray of float64, or float
        NaN where a side is missing.
    has_ground_truth, has_prediction : numpy.ndarray of bool, or bool
        Which sides a row has.
    agrees : numpy.ndarray of bool, or bool
        Whether the labels of a pair agree, see :meth:`LabelRule.agrees`; ignored where a side is missing.
    iou_threshold : float
        The threshold.

    Examples
    --------
    >>> classify(0.4, True, True, True, 0.5)
    MatchFlags(close=False, true_positive=False, false_positive=True, false_negative=True)
    """
    close = has_ground_truth & has_prediction & (iou >= iou_threshold)
    true_positive = close & agrees
    wrong = true_positive ^ True
    return MatchFlags(close, true_positive, has_prediction & wrong, has_ground_truth & wrong)


@dataclass(frozen=True, eq=False)
class OutcomeRows:
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


def outcome_rows(
    iou: Floats,
    has_ground_truth: Bools,
    has_prediction: Bools,
    agrees: Bools,
    iou_threshold: float | None = None,
) -> OutcomeRows:
    """Return the outcomes of stored matches at an IoU threshold, a row per outcome.

    There is one stored row per matched pair, per prediction without a match and per ground truth without one, and
    `classify` says what it is. A pair at or above the threshold whose labels do not agree is an FP with both sides (a
    confusion) and an FN; a pair below the threshold, like two boxes without a match, is an FP and an FN. Each ground
    truth thus is one TP or FN and each prediction one TP or FP, at every threshold.

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
    OutcomeRows
        One row per outcome, in the order of the stored rows, FP before FN.

    Raises
    ------
    ValueError
        If the threshold is not a number from 0 to 1.

    Examples
    --------
    >>> yes = np.ones(2, bool)
    >>> rows = outcome_rows(np.array([0.9, 0.4]), yes, yes, yes, iou_threshold=0.5)
    >>> list(zip(rows.row.tolist(), rows.match_type.tolist()))
    [(0, 'TP'), (1, 'FP'), (1, 'FN')]
    """
    threshold = 0.0 if iou_threshold is None else iou_threshold
    if not 0 <= threshold <= 1:
        raise ValueError(f"iou_threshold must be from 0 to 1, got {iou_threshold}.")
    flags = classify(iou, has_ground_truth, has_prediction, agrees, threshold)
    per_row = flags.true_positive.astype(np.intp) + flags.false_positive + flags.false_negative
    row = np.repeat(np.arange(len(iou)), per_row)
    second = np.zeros(len(row), dtype=np.bool_)
    second[1:] = row[1:] == row[:-1]
    is_negative = second | ~has_prediction[row]
    match_type = np.where(flags.true_positive[row], "TP", np.where(is_negative, "FN", "FP"))
    return OutcomeRows(row, match_type, is_negative | flags.close[row], ~is_negative)
