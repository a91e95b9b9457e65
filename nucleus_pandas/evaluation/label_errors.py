"""Ground truth that is probably wrong, by what confident predictions say of it."""

from __future__ import annotations

import numbers

import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Bools, Floats
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.match_rows import NONE, MatchRows, columns_of
from nucleus_pandas.evaluation.outcomes import MatchFlags
from nucleus_pandas.evaluation.overlaps import overlaps
from nucleus_pandas.evaluation.tide import BACKGROUND_IOU
from nucleus_pandas.schema import MATCHES, frame

SUSPECTS: dict[str, str] = {
    **{name: kind for name, kind in MATCHES.items() if name != "match_type"},
    "suspicion": TEXT,
    "score": "float64",
}
"""Columns of the frame of suspects."""

KINDS = ("missing annotation", "wrong label", "wrong box", "nothing there")


def suspects(sides: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools], min_confidence: float) -> pd.DataFrame:
    """Find suspicious ground truth; see `Evaluation.suspects`.

    Parameters
    ----------
    sides : EvaluationInputs
        Both sides.
    rows : MatchRows
        The Nucleus match.
    flags : MatchFlags
        Its outcomes at the threshold.
    min_confidence : float in [0, 1]
        Predictions below it say nothing.

    Returns
    -------
    pandas.DataFrame
        Columns of `SUSPECTS`, by falling score.

    Raises
    ------
    InvalidInputError
        `min_confidence` is no number from 0 to 1.
    """
    if not isinstance(min_confidence, numbers.Real) or isinstance(min_confidence, bool) or not 0 <= min_confidence <= 1:
        raise InvalidInputError(
            f"min_confidence is a number from 0 to 1, not {min_confidence!r}.", argument="min_confidence"
        )
    given = sides.predictions.confidence
    assert given is not None
    both = (rows.ground_truth != NONE) & (rows.prediction != NONE)
    has_prediction = rows.prediction != NONE
    confidence = np.full(len(rows.iou), np.nan)
    confidence[has_prediction] = given[rows.prediction[has_prediction]]
    with np.errstate(invalid="ignore"):
        sure = confidence >= min_confidence
        apart = both & (rows.iou >= BACKGROUND_IOU) & ~flags.close & rows.agrees
    of_truth, of_predictions = _nearest(sides)
    alone = has_prediction & ~flags.close
    alone[alone] = of_predictions[rows.prediction[alone]] < BACKGROUND_IOU
    unseen = rows.ground_truth != NONE
    unseen[unseen] = of_truth[rows.ground_truth[unseen]] < BACKGROUND_IOU
    trust = _precision(sides, rows, flags)
    scores = {
        "missing annotation": (alone & sure, confidence),
        "wrong label": (flags.close & ~flags.true_positive & sure, confidence * rows.iou),
        "wrong box": (apart & sure, confidence * (1 - rows.iou)),
        "nothing there": (unseen, trust / 2),
    }
    at = np.concatenate([np.flatnonzero(which) for which, _ in scores.values()])
    score = np.concatenate([values[which] for which, values in scores.values()])
    kind = np.repeat(np.array(KINDS, dtype=object), [int(which.sum()) for which, _ in scores.values()])
    order = np.lexsort((at, -score))
    at, score, kind = at[order], score[order], kind[order]
    with_truth, with_prediction = kind != "missing annotation", kind != "nothing there"
    columns = columns_of(sides, rows, at, with_truth, with_prediction)
    return frame({**columns, "suspicion": kind, "score": score}, SUSPECTS)


def _nearest(sides: EvaluationInputs) -> tuple[Floats, Floats]:
    """Return the highest IoU of each ground truth (crowds left out), and of each prediction with any ground truth."""
    best = np.zeros(len(sides.ground_truth))
    of_predictions = np.zeros(len(sides.predictions))
    for some in overlaps(sides.ground_truth, sides.predictions):
        np.maximum.at(best, some.ground_truth, some.iou)
        np.maximum.at(of_predictions, some.prediction, some.iou)
    return best[~sides.ground_truth.crowd], of_predictions


def _precision(sides: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> Floats:
    """Return for each row the share of the ground truth of its label that was found."""
    label = sides.countable.label
    every = np.bincount(label, minlength=len(sides.labels))
    right = np.bincount(label[rows.ground_truth[flags.true_positive]], minlength=len(sides.labels))
    share = np.divide(right, every, out=np.zeros(len(every)), where=every > 0)
    values = np.zeros(len(rows.iou))
    there = rows.ground_truth != NONE
    values[there] = share[label[rows.ground_truth[there]]]
    return values
