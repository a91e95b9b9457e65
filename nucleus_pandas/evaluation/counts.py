"""Counts of the Nucleus match: by label, in a confusion matrix, over confidence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.match_rows import NONE, MatchRows
from nucleus_pandas.evaluation.outcomes import MatchFlags

BACKGROUND = "__background__"
"""Stands for the missing side of a pair in the confusion matrix."""
BINS = 20
"""Bins of the score histogram, from 0 to 1."""


BIN_EDGES: Floats = np.arange(BINS + 1) / BINS  # 0.6 begins a bin, as 12 times 0.05 does not


def bin_of(confidence: Floats) -> Indices:
    """Return the bin of each confidence in [0, 1]: the number of edges after 0 and before 1 that it reaches.

    The server counts in SQL by the same edges, see `server.store.matches.CONFIDENCE_BIN`.

    Examples
    --------
    >>> bin_of(np.array([0.0, 0.6, 1.0])).tolist()
    [0, 12, 19]
    """
    return np.searchsorted(BIN_EDGES[1:-1], confidence, side="right")


def index_of(inputs: EvaluationInputs) -> pd.Index[str]:
    """Return the labels as an index."""
    return pd.Index(pd.Series(list(inputs.labels), dtype=TEXT), name="label")


def ratio(part: NDArray[np.integer], whole: NDArray[np.integer]) -> Floats:
    """Divide counts; NaN where the divisor is 0.

    Examples
    --------
    >>> ratio(np.array([1, 0]), np.array([2, 0])).tolist()
    [0.5, nan]
    """
    ratios: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)
    return ratios


def by_label(inputs: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> pd.DataFrame:
    """Count ground truths, predictions, TP, FP and FN of each label."""
    count = len(inputs.labels)
    truth_label, predicted_label = inputs.countable.label, inputs.predictions.label
    tp = np.bincount(truth_label[rows.ground_truth[flags.true_positive]], minlength=count)
    fp = np.bincount(predicted_label[rows.prediction[flags.false_positive]], minlength=count)
    fn = np.bincount(truth_label[rows.ground_truth[flags.false_negative]], minlength=count)
    columns = {
        "ground_truths": np.bincount(truth_label, minlength=count),
        "predictions": np.bincount(predicted_label, minlength=count),
        "TP": tp,
        "FP": fp,
        "FN": fn,
    }
    table = pd.DataFrame({name: column.astype(np.int64) for name, column in columns.items()}, index=index_of(inputs))
    return table.assign(precision=ratio(tp, tp + fp), recall=ratio(tp, tp + fn), F1=ratio(2 * tp, 2 * tp + fp + fn))


def confusion(inputs: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> pd.DataFrame:
    """Count pairs at the threshold by both labels; the rest is paired with the background."""
    count = len(inputs.labels)
    truth_label, predicted_label = inputs.countable.label, inputs.predictions.label
    close = flags.close
    lone_p = rows.prediction[flags.false_positive & ~close]
    lone_g = rows.ground_truth[flags.false_negative & ~close]
    cells = np.concatenate(
        [
            truth_label[rows.ground_truth[close]] * (count + 1) + predicted_label[rows.prediction[close]],
            count * (count + 1) + predicted_label[lone_p],
            truth_label[lone_g] * (count + 1) + count,
        ]
    )
    table = np.bincount(cells, minlength=(count + 1) ** 2).reshape(count + 1, count + 1).astype(np.int64)
    names = pd.Series([*inputs.labels, BACKGROUND], dtype=TEXT)
    return pd.DataFrame(table, index=pd.Index(names, name="label"), columns=pd.Index(names, name="predicted_label"))


def histogram(inputs: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> pd.DataFrame:
    """Count true and false positives by confidence; predictions without one are in no bin."""
    confidence = inputs.predictions.confidence
    assert confidence is not None
    columns = {}
    for name, is_counted in (("TP", flags.true_positive), ("FP", flags.false_positive)):
        values = confidence[rows.prediction[is_counted]]
        columns[name] = np.bincount(bin_of(values[~np.isnan(values)]), minlength=BINS).astype(np.int64)
    return pd.DataFrame({"low": BIN_EDGES[:-1], "high": BIN_EDGES[1:], **columns})


def over_confidence(inputs: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> pd.DataFrame:
    """Count the outcomes of the predictions from a confidence on, for each confidence that occurs.

    Predictions are sorted by falling confidence, so those from a confidence on are a prefix, up to the last of equal
    ones, and their true positives are a cumulative sum. Ground truths that no such prediction finds are missed.
    """
    confidence = inputs.predictions.confidence
    assert confidence is not None
    has_prediction = rows.prediction != NONE
    values, is_true = confidence[rows.prediction[has_prediction]], flags.true_positive[has_prediction]
    is_known = ~np.isnan(values)
    values, is_true = values[is_known], is_true[is_known]
    order = np.argsort(-values)
    values, is_true = values[order], is_true[order]
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True)[: len(values)])
    tp = np.cumsum(is_true)[last].astype(np.int64)
    kept = (last + 1).astype(np.int64)
    ground_truths = np.full(len(last), len(inputs.countable), dtype=np.int64)
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
