"""The Nucleus match of two sides as rows, and their outcomes at an IoU threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas.evaluation.arrays import NONE, EvaluationInputs, stable_order, take_or
from nucleus_pandas.evaluation.matching import LabelRule, MatchBoxes, Pairs, match, match_pairs
from nucleus_pandas.evaluation.overlaps import overlaps
from nucleus_pandas.evaluation.parameters import Parameters
from nucleus_pandas.schema import MATCHES, frame
from nucleus_pandas.wire.column_json import ARROW_STRING

Flag = TypeVar("Flag", Bools, bool)


class MatchFlags(NamedTuple, Generic[Flag]):
    """What rows of a match are at an IoU threshold, as boolean arrays, or as bools for one row.

    `close` pairs reach the threshold, whether their labels agree or not; a close pair that is not a `true_positive` is
    a confusion of labels.
    """

    close: Flag
    true_positive: Flag
    false_positive: Flag
    false_negative: Flag


def classify(
    iou: Any, has_ground_truth: Flag, has_prediction: Flag, agrees: Flag, iou_threshold: float
) -> MatchFlags[Flag]:
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
    close: Any = has_ground_truth & has_prediction & (iou >= iou_threshold)
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


@dataclass(frozen=True, eq=False)
class MatchRows:
    """The rows that a commit stores: by image, then the predictions in their order, then unmatched ground truth.

    Attributes
    ----------
    ground_truth, prediction : numpy.ndarray of shape (n,), intp
        Rows of the ground truth without crowds, and of the predictions; -1 where a side is missing.
    iou : numpy.ndarray of shape (n,), float64
        NaN where a side is missing.
    agrees : numpy.ndarray of shape (n,), bool
        Whether the labels of a pair agree.
    """

    ground_truth: Indices
    prediction: Indices
    iou: Floats
    agrees: Bools

    def classify(self, iou_threshold: float) -> MatchFlags[Bools]:
        """Return the outcomes of each row at an IoU threshold."""
        return classify(self.iou, self.ground_truth != NONE, self.prediction != NONE, self.agrees, iou_threshold)

    def outcomes(self, iou_threshold: float | None) -> OutcomeRows:
        """Return true positives, false positives and false negatives at a threshold; None lets every pair count."""
        return outcome_rows(self.iou, self.ground_truth != NONE, self.prediction != NONE, self.agrees, iou_threshold)


def match_rows(inputs: EvaluationInputs, parameters: Parameters) -> MatchRows:
    """Match the predictions with the ground truth; crowds are left out."""
    ground_truth, predictions = inputs.countable, inputs.predictions
    boxes = inputs.boxes(ground_truth), inputs.boxes(predictions)
    if parameters.iou_type == "segm":
        matches = match_pairs(*boxes, parameters.rule, Pairs.concatenated(overlaps(ground_truth, predictions)))
    else:
        matches = match(*boxes, parameters.rule)
    return lay_out(*boxes, matches, parameters.rule)


def lay_out(ground_truth: MatchBoxes, predictions: MatchBoxes, matches: Pairs, rule: LabelRule) -> MatchRows:
    """Lay pairs and boxes without a partner out as rows.

    Every box is in exactly one row. There is a row for each prediction, with its partner if it has one, then one for
    each ground truth without a partner; a stable sort by item keeps this order within each item.
    """
    count = len(predictions.item)
    partner, iou = np.full(count, NONE, dtype=np.intp), np.full(count, np.nan)
    agrees = np.zeros(count, dtype=np.bool_)
    paired = matches.prediction
    partner[paired], iou[paired] = matches.ground_truth, matches.iou
    agrees[paired] = rule.agrees(ground_truth.label[matches.ground_truth], predictions.label[paired])
    is_alone = np.ones(len(ground_truth.item), dtype=np.bool_)
    is_alone[matches.ground_truth] = False
    alone = np.flatnonzero(is_alone)
    order = stable_order(np.concatenate([predictions.item, ground_truth.item[alone]]))
    return MatchRows(
        ground_truth=np.concatenate([partner, alone])[order],
        prediction=np.concatenate([np.arange(count), np.full(len(alone), NONE)])[order],
        iou=np.concatenate([iou, np.full(len(alone), np.nan)])[order],
        agrees=np.concatenate([agrees, np.zeros(len(alone), dtype=np.bool_)])[order],
    )


def matches_frame(inputs: EvaluationInputs, rows: MatchRows, iou_threshold: float | None) -> pd.DataFrame:
    """Return the matches at a threshold as `ModelRun.matches` does."""
    outcomes = rows.outcomes(iou_threshold)
    columns = columns_of(inputs, rows, outcomes.row, outcomes.ground_truth, outcomes.prediction)
    return frame({**columns, "match_type": pa.array(outcomes.match_type.astype(object), ARROW_STRING)}, MATCHES)


def columns_of(
    inputs: EvaluationInputs, rows: MatchRows, at: Indices, with_truth: Bools, with_prediction: Bools
) -> dict[str, Any]:
    """Return the columns of the frame of matches except its last one, for some of the rows.

    Parameters
    ----------
    inputs : EvaluationInputs
        Both sides.
    rows : MatchRows
        Their match.
    at : numpy.ndarray of intp
        The rows to show.
    with_truth, with_prediction : numpy.ndarray of bool
        Which sides of each row are shown.
    """
    ground_truth, prediction = rows.ground_truth[at], rows.prediction[at]
    predictions = inputs.predictions
    image = take_or(predictions.image, prediction, NONE)
    image = np.where(image == NONE, take_or(inputs.countable.image, ground_truth, NONE), image)
    g, p = pa.array(ground_truth, mask=~with_truth), pa.array(prediction, mask=~with_prediction)
    names = pa.array(inputs.labels, ARROW_STRING)
    assert predictions.confidence is not None
    return {
        "dataset_item_id": inputs.images.dataset_item_ids.take(pa.array(image)),
        "reference_id": inputs.images.reference_ids.take(pa.array(image)),
        "annotation_id": inputs.countable.ids.take(g),
        "prediction_id": predictions.ids.take(p),
        "label": names.take(pa.array(inputs.countable.label).take(g)),
        "predicted_label": names.take(pa.array(predictions.label).take(p)),
        "confidence": take_or(predictions.confidence, np.where(with_prediction, prediction, NONE), np.nan),
        "iou": np.where(with_truth & with_prediction, rows.iou[at], np.nan),
    }
