"""Ground truth that is probably wrong, judged by confident predictions."""

from __future__ import annotations

import numbers

import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Bools, Floats
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.arrays import EvaluationInputs, take_or
from nucleus_pandas.evaluation.match_rows import MatchFlags, MatchRows, columns_of
from nucleus_pandas.evaluation.overlaps import overlaps
from nucleus_pandas.evaluation.tide import BACKGROUND_IOU
from nucleus_pandas.schema import MATCHES, frame

SUSPECTS: dict[str, str] = {
    **{name: kind for name, kind in MATCHES.items() if name != "match_type"},
    "suspicion": TEXT,
    "score": "float64",
}
"""Columns of the frame of suspects."""


def suspects(
    inputs: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools], min_confidence: float
) -> pd.DataFrame:
    """Find suspicious ground truth; see `Evaluation.suspects`.

    The kinds exclude each other: a row of the match is a pair at the threshold (a wrong label), a pair below it (a
    wrong box), or has a side that nothing overlaps by the background's IoU (an annotation that is missing, or is
    where nothing is). Only predictions that are sure count as evidence, but any prediction clears a ground truth.

    Parameters
    ----------
    inputs : EvaluationInputs
        Both sides.
    rows : MatchRows
        The Nucleus match.
    flags : MatchFlags
        Its outcomes at the threshold.
    min_confidence : float in [0, 1]
        Predictions below it are ignored.

    Returns
    -------
    pandas.DataFrame
        Columns of `SUSPECTS`, by falling score.

    Raises
    ------
    InvalidInputError
        `min_confidence` is not a number from 0 to 1.
    """
    if not isinstance(min_confidence, numbers.Real) or isinstance(min_confidence, bool) or not 0 <= min_confidence <= 1:
        raise InvalidInputError(
            f"min_confidence must be a number from 0 to 1, not {min_confidence!r}.", argument="min_confidence"
        )
    assert inputs.predictions.confidence is not None
    confidence = take_or(inputs.predictions.confidence, rows.prediction, np.nan)
    with np.errstate(invalid="ignore"):
        is_sure = confidence >= min_confidence
        is_apart = (rows.iou >= BACKGROUND_IOU) & ~flags.close & rows.agrees
    of_ground_truth, of_predictions = _highest_iou(inputs)
    is_alone = ~flags.close & (take_or(of_predictions, rows.prediction, 1.0) < BACKGROUND_IOU)
    is_unseen = take_or(of_ground_truth, rows.ground_truth, 1.0) < BACKGROUND_IOU
    scores = {
        "missing annotation": (is_alone & is_sure, confidence),
        "wrong label": (flags.close & ~flags.true_positive & is_sure, confidence * rows.iou),
        "wrong box": (is_apart & is_sure, confidence * (1 - rows.iou)),
        "nothing there": (is_unseen, _recall_of_label(inputs, rows, flags) / 2),
    }
    at = np.concatenate([np.flatnonzero(is_suspect) for is_suspect, _ in scores.values()])
    score = np.concatenate([values[is_suspect] for is_suspect, values in scores.values()])
    kind = np.repeat(np.array(list(scores), dtype=object), [is_suspect.sum() for is_suspect, _ in scores.values()])
    order = np.lexsort((at, -score))
    at, score, kind = at[order], score[order], kind[order]
    columns = columns_of(inputs, rows, at, kind != "missing annotation", kind != "nothing there")
    return frame({**columns, "suspicion": kind, "score": score}, SUSPECTS)


def _highest_iou(inputs: EvaluationInputs) -> tuple[Floats, Floats]:
    """Return the highest IoU of each ground truth (crowds left out), and of each prediction with any ground truth."""
    of_ground_truth, of_predictions = np.zeros(len(inputs.ground_truth)), np.zeros(len(inputs.predictions))
    for pairs in overlaps(inputs.ground_truth, inputs.predictions):
        np.maximum.at(of_ground_truth, pairs.ground_truth, pairs.iou)
        np.maximum.at(of_predictions, pairs.prediction, pairs.iou)
    return of_ground_truth[~inputs.ground_truth.crowd], of_predictions


def _recall_of_label(inputs: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> Floats:
    """Return for each row the share of the ground truth of its label that was found."""
    label, count = inputs.countable.label, len(inputs.labels)
    total = np.bincount(label, minlength=count)
    tp = np.bincount(label[rows.ground_truth[flags.true_positive]], minlength=count)
    recall = np.divide(tp, total, out=np.zeros(count), where=total > 0)
    return take_or(recall[label], rows.ground_truth, 0.0)
