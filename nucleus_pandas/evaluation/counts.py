"""Counts of the Nucleus match: by label, in a confusion matrix, over confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.match_rows import MatchRows

BACKGROUND = "__background__"
"""Stands for the missing side of a pair in the confusion matrix."""
BINS = 20
"""Of the score histogram, from 0 to 1."""


@dataclass(frozen=True, eq=False)
class Counted:
    """Which rows of the match are what at a threshold.

    Attributes
    ----------
    right : numpy.ndarray of bool
        Pairs that are true positives.
    confused : numpy.ndarray of bool
        Pairs at the threshold whose labels do not agree.
    ground_truth, prediction : numpy.ndarray of intp
        As in `MatchRows`.
    """

    right: Bools
    confused: Bools
    ground_truth: Indices
    prediction: Indices


def counted(rows: MatchRows, iou_threshold: float) -> Counted:
    """Apply a threshold to the stored rows."""
    with np.errstate(invalid="ignore"):
        close = rows.iou >= iou_threshold
    return Counted(close & rows.agrees, close & ~rows.agrees, rows.ground_truth, rows.prediction)


def index_of(sides: EvaluationInputs) -> pd.Index[str]:
    """Return the labels as an index."""
    return pd.Index(pd.Series(list(sides.labels), dtype=TEXT), name="label")


def ratio(part: NDArray[np.integer], whole: NDArray[np.integer]) -> Floats:
    """Divide counts; NaN where nothing is divided by.

    Examples
    --------
    >>> ratio(np.array([1, 0]), np.array([2, 0])).tolist()
    [0.5, nan]
    """
    found: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)
    return found


def by_label(sides: EvaluationInputs, found: Counted) -> pd.DataFrame:
    """Count what each label has of ground truth, predictions, TP, FP and FN."""
    count = len(sides.labels)
    truth_label, predicted_label = sides.countable.label, sides.predictions.label
    has_truth, has_prediction = found.ground_truth >= 0, found.prediction >= 0
    tp = np.bincount(truth_label[found.ground_truth[found.right]], minlength=count)
    fp = np.bincount(predicted_label[found.prediction[has_prediction & ~found.right]], minlength=count)
    fn = np.bincount(truth_label[found.ground_truth[has_truth & ~found.right]], minlength=count)
    columns = {
        "ground_truths": np.bincount(truth_label, minlength=count),
        "predictions": np.bincount(predicted_label, minlength=count),
        "TP": tp,
        "FP": fp,
        "FN": fn,
    }
    table = pd.DataFrame({name: column.astype(np.int64) for name, column in columns.items()}, index=index_of(sides))
    return table.assign(precision=ratio(tp, tp + fp), recall=ratio(tp, tp + fn), F1=ratio(2 * tp, 2 * tp + fp + fn))


def confusion(sides: EvaluationInputs, found: Counted) -> pd.DataFrame:
    """Count pairs at the threshold by both labels; the rest is paired with the background."""
    count = len(sides.labels)
    truth_label, predicted_label = sides.countable.label, sides.predictions.label
    close = found.right | found.confused
    lone_p = found.prediction[(found.prediction >= 0) & ~close]
    lone_g = found.ground_truth[(found.ground_truth >= 0) & ~close]
    cells = np.concatenate(
        [
            truth_label[found.ground_truth[close]] * (count + 1) + predicted_label[found.prediction[close]],
            count * (count + 1) + predicted_label[lone_p],
            truth_label[lone_g] * (count + 1) + count,
        ]
    )
    table = np.bincount(cells, minlength=(count + 1) ** 2).reshape(count + 1, count + 1).astype(np.int64)
    names = pd.Series([*sides.labels, BACKGROUND], dtype=TEXT)
    return pd.DataFrame(table, index=pd.Index(names, name="label"), columns=pd.Index(names, name="predicted_label"))


def histogram(sides: EvaluationInputs, found: Counted) -> pd.DataFrame:
    """Count true and false positives by confidence; predictions without one are in no bin."""
    edges = np.arange(BINS + 1) / BINS  # 0.6 begins a bin, as 12 times 0.05 does not
    confidence = sides.predictions.confidence
    assert confidence is not None
    has_prediction = found.prediction >= 0
    columns = {}
    for name, rows in (("TP", found.right), ("FP", has_prediction & ~found.right)):
        values = confidence[found.prediction[rows]]
        counts, _ = np.histogram(values[~np.isnan(values)], edges)
        columns[name] = counts.astype(np.int64)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], **columns})


def over_confidence(sides: EvaluationInputs, found: Counted) -> pd.DataFrame:
    """Count what is left when only predictions from a confidence on are kept, for each confidence that occurs."""
    confidence = sides.predictions.confidence
    assert confidence is not None
    rows = found.prediction >= 0
    values, right = confidence[found.prediction[rows]], found.right[rows]
    there = ~np.isnan(values)
    values, right = values[there], right[there]
    order = np.argsort(-values)
    values, right = values[order], right[order]
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True)[: len(values)])
    tp = np.cumsum(right)[last].astype(np.int64)
    kept = (last + 1).astype(np.int64)
    ground_truths = np.full(len(last), len(sides.countable), dtype=np.int64)
    return pd.DataFrame(
        {
            "confidence": values[last],
            "TP": tp,
            "FP": kept - tp,
            "FN": ground_truths - tp,
            "precision": ratio(tp, kept),
            "recall": ratio(tp, ground_truths),
            "F1": ratio(2 * tp, kept + ground_truths),
        }
    )
