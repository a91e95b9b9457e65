"""The tables of an evaluation, from arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices, Integers
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.evaluation.arrays import NONE, EvaluationInputs
from nucleus_pandas.evaluation.average_precision import PrecisionRecall
from nucleus_pandas.evaluation.match_rows import MatchFlags, MatchRows
from nucleus_pandas.evaluation.parameters import IOU_THRESHOLDS, RECALLS, Parameters
from nucleus_pandas.schema import column

BACKGROUND = "__background__"
"""Stands for the missing side of a pair in the confusion matrix."""
BINS = 20
"""Bins of the score histogram, from 0 to 1."""


BIN_EDGES: Floats = np.arange(BINS + 1) / BINS  # 0.6 begins a bin, as 12 times 0.05 does not
"""The server counts in SQL by the same edges, see `server.store.matches.CONFIDENCE_BIN`."""
COUNTS = ("ground_truths", "predictions", "TP", "FP", "FN")
_SHOWN = 5  # labels in a sentence
_NO_GROUND_TRUTH = "no ground truth"
_ONLY_CROWDS = "no ground truth but crowds"
_NO_CONFIDENCE = "no prediction has a confidence"


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


def scores(tp: NDArray[np.integer], fp: NDArray[np.integer], fn: NDArray[np.integer]) -> dict[str, Floats]:
    """Return precision, recall and F1 of counts; NaN where they do not exist."""
    return {"precision": ratio(tp, tp + fp), "recall": ratio(tp, tp + fn), "F1": ratio(2 * tp, 2 * tp + fp + fn)}


def by_label(inputs: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> pd.DataFrame:
    """Count ground truth boxes, predictions, TP, FP and FN of each label."""
    counts = _counts(inputs.countable.label, inputs.predictions.label, rows, flags, len(inputs.labels))
    return pd.DataFrame({**counts, **scores(counts["TP"], counts["FP"], counts["FN"])}, index=index_of(inputs))


def by_image(inputs: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> dict[str, Integers]:
    """Count ground truth boxes, predictions, TP, FP and FN in each image."""
    return _counts(inputs.countable.image, inputs.predictions.image, rows, flags, len(inputs.images))


def _counts(
    ground_truth: Indices, predictions: Indices, rows: MatchRows, flags: MatchFlags[Bools], count: int
) -> dict[str, Integers]:
    """Count boxes and outcomes by a number that each box of both sides has, below `count`."""
    numbers = (
        ground_truth,
        predictions,
        ground_truth[rows.ground_truth[flags.true_positive]],
        predictions[rows.prediction[flags.false_positive]],
        ground_truth[rows.ground_truth[flags.false_negative]],
    )
    return {
        name: np.bincount(each, minlength=count).astype(np.int64) for name, each in zip(COUNTS, numbers, strict=True)
    }


def confusion(inputs: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> pd.DataFrame:
    """Count pairs at the threshold by both labels; the rest is paired with the background."""
    count = len(inputs.labels)
    truth_label, predicted_label = inputs.countable.label, inputs.predictions.label
    close = flags.close
    cells = np.concatenate(
        [
            truth_label[rows.ground_truth[close]] * (count + 1) + predicted_label[rows.prediction[close]],
            count * (count + 1) + predicted_label[rows.prediction[flags.false_positive & ~close]],
            truth_label[rows.ground_truth[flags.false_negative & ~close]] * (count + 1) + count,
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
        columns[name] = np.histogram(values[~np.isnan(values)], BIN_EDGES)[0].astype(np.int64)
    return pd.DataFrame({"low": BIN_EDGES[:-1], "high": BIN_EDGES[1:], **columns})


def over_confidence(inputs: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> pd.DataFrame:
    """Count the outcomes of the predictions from a confidence on, for each confidence that occurs.

    Predictions are sorted by falling confidence, so those from a confidence on are a prefix, up to the last of equal
    ones, and their true positives are a cumulative sum. Ground truth boxes that no such prediction finds are missed.
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
    fp, fn = last + 1 - tp, len(inputs.countable) - tp
    return pd.DataFrame({"confidence": values[last], "TP": tp, "FP": fp, "FN": fn, **scores(tp, fp, fn)})


def summary(
    curves: PrecisionRecall, parameters: Parameters, counts: pd.DataFrame, f1_curve: pd.DataFrame
) -> pd.Series[float]:
    """Return the twelve numbers of COCO, then precision, recall, F1 and the confidence that maximizes F1."""
    sizes = list(enumerate(parameters.area_ranges))[1:]
    numbers = {"AP": curves.mean_ap(), "AP50": curves.mean_ap(0.5), "AP75": curves.mean_ap(0.75)}
    numbers |= {f"AP_{name}": curves.mean_ap(area=at) for at, name in sizes}
    numbers |= {f"AR_{most}": curves.mean_ar(max_dets=at) for at, most in enumerate(parameters.max_dets)}
    numbers |= {f"AR_{name}": curves.mean_ar(area=at) for at, name in sizes}
    totals = counts[["TP", "FP", "FN"]].to_numpy().sum(axis=0)
    numbers |= {name: float(score) for name, score in scores(*totals).items()}
    f1 = f1_curve["F1"].to_numpy()
    numbers["best_confidence"] = float(f1_curve["confidence"].iloc[int(f1.argmax())]) if f1.any() else np.nan
    return pd.Series(numbers, dtype=np.float64, name="value")


def per_class(
    inputs: EvaluationInputs, curves: PrecisionRecall, parameters: Parameters, counts: pd.DataFrame
) -> pd.DataFrame:
    """Return the numbers of each label."""
    numbers = {"AP": curves.ap(), "AP50": curves.ap(0.5), "AP75": curves.ap(0.75)}
    numbers |= {f"AP_{name}": curves.ap(area=at) for at, name in list(enumerate(parameters.area_ranges))[1:]}
    frame = pd.DataFrame({**numbers, "AR": curves.ar()}, index=index_of(inputs))
    frame = frame.join(counts[list(COUNTS)])
    is_ignored = frame["ground_truths"].to_numpy() == 0
    crowds = np.bincount(inputs.ground_truth.label[inputs.ground_truth.crowd], minlength=len(inputs.labels)) > 0
    reasons_of_labels = np.full(len(frame), _NO_CONFIDENCE if _unranked(inputs) else None, dtype=object)
    reasons_of_labels[is_ignored] = np.where(crowds[is_ignored], _ONLY_CROWDS, _NO_GROUND_TRUTH)
    reason = column(pa.array(reasons_of_labels, pa.large_string()), TEXT)
    return frame.assign(ignored_by_map=is_ignored, reason=reason.set_axis(frame.index))


def pr_curve(inputs: EvaluationInputs, curves: PrecisionRecall) -> pd.DataFrame:
    """Return precision over recall for each label that has ground truth and each threshold."""
    precision, scores = curves.precision[..., 0, -1], curves.scores[..., 0, -1]
    has_curve = np.flatnonzero(~np.isnan(precision[0, 0]))
    count, steps = len(has_curve), len(IOU_THRESHOLDS) * RECALLS
    labels = pa.array(inputs.labels, pa.large_string()).take(pa.array(np.repeat(has_curve, steps)))
    values = precision[:, :, has_curve].transpose(2, 0, 1).ravel()
    confidence = scores[:, :, has_curve].transpose(2, 0, 1).ravel()
    is_reached = confidence != -1
    if count:
        highest = curves.recall[:, has_curve, 0, -1].T[:, :, None]
        is_reached &= (np.linspace(0.0, 1.0, RECALLS) <= highest).ravel()
    return pd.DataFrame(
        {
            "label": column(labels, TEXT),
            "iou_threshold": np.tile(np.repeat(np.round(IOU_THRESHOLDS, 2), RECALLS), count),
            "recall": np.tile(np.round(np.linspace(0.0, 1.0, RECALLS), 2), count * len(IOU_THRESHOLDS)),
            "precision": values,
            "confidence": np.where(is_reached, confidence, np.nan),
        }
    )


def ap_by_size(inputs: EvaluationInputs, curves: PrecisionRecall, parameters: Parameters) -> pd.DataFrame:
    """Return average precision by area."""
    rows = []
    for at, (low, high) in enumerate(parameters.area_ranges.values()):
        inside = (inputs.countable.area >= low) & (inputs.countable.area <= high)
        rows.append(
            {
                "low": low,
                "high": high,
                "AP": curves.mean_ap(area=at),
                "AP50": curves.mean_ap(0.5, at),
                "AP75": curves.mean_ap(0.75, at),
                "AR": curves.mean_ar(at),
                "ground_truths": int(np.count_nonzero(inside)),
            }
        )
    names = pd.Index(pd.Series(list(parameters.area_ranges), dtype=TEXT), name="area")
    return pd.DataFrame(rows, index=names)


def by_group(rows: Sequence[Mapping[str, Any]], names: pd.Index[Any], numbers: Sequence[str]) -> pd.DataFrame:
    """Return the numbers of groups of images."""
    kinds = dict.fromkeys(("images", *COUNTS), "int64") | dict.fromkeys(numbers, "float64")
    return pd.DataFrame(list(rows), index=names, columns=list(kinds)).astype(kinds)


def _unranked(inputs: EvaluationInputs) -> bool:
    return bool(len(inputs.predictions)) and not inputs.predictions.has_ranks


def reasons(inputs: EvaluationInputs, parameters: Parameters, f1_curve: pd.DataFrame) -> list[str]:
    """Return notes on why numbers are NaN, and on how predictions without a confidence are ranked."""
    notes = []
    confidence = inputs.predictions.confidence
    missing_confidences = 0 if confidence is None else int(np.isnan(confidence).sum())
    if not len(inputs.countable):
        crowds = " but crowds" if inputs.ground_truth.crowd.any() else ""
        notes.append(f"There is no ground truth{crowds}: average precision and recall do not exist and are NaN.")
    else:
        notes += _without_ground_truth(inputs, parameters)
    if not len(inputs.predictions):
        notes.append("There are no predictions: precision does not exist and is NaN; average precision is 0.")
    elif _unranked(inputs):
        notes.append("No prediction has a confidence: they cannot be ranked, and average precision is NaN.")
    elif missing_confidences:
        notes.append(
            f"{missing_confidences} predictions have no confidence: they are ranked behind all "
            "others, and are in no bin of the score histogram."
        )
    if len(inputs.predictions) and not f1_curve["TP"].any():
        notes.append("No prediction with a confidence is right: none maximizes F1, and best_confidence is NaN.")
    return notes


def _without_ground_truth(inputs: EvaluationInputs, parameters: Parameters) -> list[str]:
    notes = []
    labels = np.setdiff1d(inputs.predictions.label, inputs.countable.label).tolist()
    if labels:
        names = ", ".join(repr(inputs.labels[label]) for label in labels[:_SHOWN]) + (", …" if labels[_SHOWN:] else "")
        notes.append(f"Without ground truth, and so not in the mean over the labels: {names}.")
    area = inputs.countable.area
    for name, (low, high) in parameters.area_ranges.items():
        if not ((area >= low) & (area <= high)).any():
            notes.append(f"No ground truth has an area of {low:g} to {high:g}: the numbers of {name!r} are NaN.")
    return notes


def left_out(inputs: EvaluationInputs, parameters: Parameters) -> list[str]:
    """Return a note on how many predictions the COCO numbers and TIDE leave out, unless they use all."""
    most = parameters.max_dets[-1]
    rows = np.flatnonzero(inputs.predictions.place >= most)
    if not len(rows):
        return []
    images = np.unique(inputs.predictions.image[rows])
    return [
        f"{len(rows)} predictions in {len(images)} images, such as {inputs.images.ids[images[0]]!r}, are beyond "
        f"max_dets={most}, the most of one label in an image: the COCO numbers and TIDE leave the least confident "
        "out. The Nucleus match takes all. Raise max_dets to count them."
    ]
