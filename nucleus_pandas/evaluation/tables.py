"""The tables of an evaluation, from arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.average_precision import PrecisionRecall
from nucleus_pandas.evaluation.counts import index_of
from nucleus_pandas.evaluation.match_rows import MatchRows
from nucleus_pandas.evaluation.outcomes import MatchFlags
from nucleus_pandas.evaluation.parameters import IOU_THRESHOLDS, RECALLS, Parameters
from nucleus_pandas.schema import column

COUNTS = ("ground_truths", "predictions", "TP", "FP", "FN")
_SHOWN = 5  # labels in a sentence
_NO_TRUTH = "no ground truth"
_ONLY_CROWDS = "no ground truth but crowds"
_NO_CONFIDENCE = "no prediction has a confidence"


def summary(
    found: PrecisionRecall, parameters: Parameters, counts: pd.DataFrame, f1_curve: pd.DataFrame
) -> pd.Series[float]:
    """Return the twelve numbers of COCO, then precision, recall, F1 and the confidence that maximizes F1."""
    sizes = list(enumerate(parameters.area_ranges))[1:]
    numbers = {"AP": found.mean_ap(), "AP50": found.mean_ap(0.5), "AP75": found.mean_ap(0.75)}
    numbers |= {f"AP_{name}": found.mean_ap(area=at) for at, name in sizes}
    numbers |= {f"AR_{most}": found.mean_ar(max_dets=at) for at, most in enumerate(parameters.max_dets)}
    numbers |= {f"AR_{name}": found.mean_ar(area=at) for at, name in sizes}
    tp, fp, fn = (int(counts[name].sum()) for name in ("TP", "FP", "FN"))
    numbers["precision"] = tp / (tp + fp) if tp + fp else np.nan
    numbers["recall"] = tp / (tp + fn) if tp + fn else np.nan
    numbers["F1"] = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else np.nan
    best = f1_curve["F1"].to_numpy()
    numbers["best_confidence"] = float(f1_curve["confidence"].iloc[int(best.argmax())]) if best.any() else np.nan
    return pd.Series(numbers, dtype=np.float64, name="value")


def per_class(
    sides: EvaluationInputs, found: PrecisionRecall, parameters: Parameters, counts: pd.DataFrame
) -> pd.DataFrame:
    """Return the numbers of each label."""
    numbers = {"AP": found.ap(), "AP50": found.ap(0.5), "AP75": found.ap(0.75)}
    numbers |= {f"AP_{name}": found.ap(area=at) for at, name in list(enumerate(parameters.area_ranges))[1:]}
    frame = pd.DataFrame({**numbers, "AR": found.ar()}, index=index_of(sides))
    frame = frame.join(counts[list(COUNTS)])
    ignored = frame["ground_truths"].to_numpy() == 0
    crowds = np.bincount(sides.ground_truth.label[sides.ground_truth.crowd], minlength=len(sides.labels)) > 0
    why: list[str | None] = [_NO_CONFIDENCE if _unranked(sides) else None] * len(frame)
    for at in np.flatnonzero(ignored).tolist():
        why[at] = _ONLY_CROWDS if crowds[at] else _NO_TRUTH
    reason = column(pa.array(why, pa.large_string()), TEXT)
    return frame.assign(ignored_by_map=ignored, reason=reason.set_axis(frame.index))


def pr_curve(sides: EvaluationInputs, found: PrecisionRecall) -> pd.DataFrame:
    """Return precision over recall for each label that has ground truth and each threshold."""
    precision, scores = found.precision[..., 0, -1], found.scores[..., 0, -1]
    there = np.flatnonzero(~np.isnan(precision[0, 0]))
    count, steps = len(there), len(IOU_THRESHOLDS) * RECALLS
    labels = pa.array(sides.labels, pa.large_string()).take(pa.array(np.repeat(there, steps)))
    values = precision[:, :, there].transpose(2, 0, 1).ravel()
    confidence = scores[:, :, there].transpose(2, 0, 1).ravel()
    reached = confidence != -1
    if count:
        reached &= _reached(found, there).ravel()
    return pd.DataFrame(
        {
            "label": column(labels, TEXT),
            "iou_threshold": np.tile(np.repeat(np.round(IOU_THRESHOLDS, 2), RECALLS), count),
            "recall": np.tile(np.round(np.linspace(0.0, 1.0, RECALLS), 2), count * len(IOU_THRESHOLDS)),
            "precision": values,
            "confidence": np.where(reached, confidence, np.nan),
        }
    )


def _reached(found: PrecisionRecall, labels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which recalls are reached, of shape (labels, 10, 101)."""
    highest = found.recall[:, labels, 0, -1].T
    return np.asarray(np.linspace(0.0, 1.0, RECALLS) <= highest[:, :, None])


def ap_by_size(sides: EvaluationInputs, found: PrecisionRecall, parameters: Parameters) -> pd.DataFrame:
    """Return average precision by area."""
    rows = []
    for at, (low, high) in enumerate(parameters.area_ranges.values()):
        inside = (sides.countable.area >= low) & (sides.countable.area <= high)
        rows.append(
            {
                "low": low,
                "high": high,
                "AP": found.mean_ap(area=at),
                "AP50": found.mean_ap(0.5, at),
                "AP75": found.mean_ap(0.75, at),
                "AR": found.mean_ar(at),
                "ground_truths": int(np.count_nonzero(inside)),
            }
        )
    names = pd.Index(pd.Series(list(parameters.area_ranges), dtype=TEXT), name="area")
    return pd.DataFrame(rows, index=names)


def by_image(sides: EvaluationInputs, rows: MatchRows, flags: MatchFlags[Bools]) -> dict[str, NDArray[np.int64]]:
    """Count ground truths, predictions, TP, FP and FN in each image."""
    count = len(sides.images)
    of_truth, of_predictions = sides.countable.image, sides.predictions.image
    every = (
        of_truth,
        of_predictions,
        of_truth[rows.ground_truth[flags.true_positive]],
        of_predictions[rows.prediction[flags.false_positive]],
        of_truth[rows.ground_truth[flags.false_negative]],
    )
    return {
        name: np.bincount(images, minlength=count).astype(np.int64) for name, images in zip(COUNTS, every, strict=True)
    }


def by_group(rows: Sequence[Mapping[str, Any]], names: pd.Index[Any], numbers: Sequence[str]) -> pd.DataFrame:
    """Return the numbers of groups of images."""
    kinds = dict.fromkeys(("images", *COUNTS), "int64") | dict.fromkeys(numbers, "float64")
    return pd.DataFrame(list(rows), index=names, columns=list(kinds)).astype(kinds)


def _unranked(sides: EvaluationInputs) -> bool:
    return bool(len(sides.predictions)) and not sides.predictions.has_ranks


def reasons(sides: EvaluationInputs, parameters: Parameters, f1_curve: pd.DataFrame) -> list[str]:
    """Say why numbers are NaN, and what predictions without a confidence mean."""
    found = []
    confidence = sides.predictions.confidence
    missing = 0 if confidence is None else int(np.isnan(confidence).sum())
    if not len(sides.countable):
        crowds = " but crowds" if sides.ground_truth.crowd.any() else ""
        found.append(f"There is no ground truth{crowds}: average precision and recall do not exist and are NaN.")
    else:
        found += _without_truth(sides, parameters)
    if not len(sides.predictions):
        found.append("There are no predictions: precision does not exist and is NaN; average precision is 0.")
    elif _unranked(sides):
        found.append("No prediction has a confidence: they cannot be ranked, and average precision is NaN.")
    elif missing:
        found.append(
            f"{missing} predictions have no confidence: they are ranked behind all others, and are in no bin of the "
            "score histogram."
        )
    if len(sides.predictions) and not f1_curve["TP"].any():
        found.append("No prediction with a confidence is right: none maximizes F1, and best_confidence is NaN.")
    return found


def _without_truth(sides: EvaluationInputs, parameters: Parameters) -> list[str]:
    found = []
    labels = np.setdiff1d(sides.predictions.label, sides.countable.label).tolist()
    if labels:
        names = ", ".join(repr(sides.labels[label]) for label in labels[:_SHOWN]) + (", …" if labels[_SHOWN:] else "")
        found.append(f"Without ground truth, and so not in the mean over the labels: {names}.")
    area = sides.countable.area
    for name, (low, high) in parameters.area_ranges.items():
        if not ((area >= low) & (area <= high)).any():
            found.append(f"No ground truth has an area of {low:g} to {high:g}: the numbers of {name!r} are NaN.")
    return found


def left_out(sides: EvaluationInputs, parameters: Parameters) -> str | None:
    """Return of predictions that the COCO numbers and TIDE do not see; None where they see all."""
    most = parameters.max_dets[-1]
    rows = np.flatnonzero(sides.predictions.place >= most)
    if not len(rows):
        return None
    images = np.unique(sides.predictions.image[rows])
    return (
        f"{len(rows)} predictions in {len(images)} images, such as {sides.images.ids[images[0]]!r}, are beyond "
        f"max_dets={most}, the most of one label in an image: the COCO numbers and TIDE leave the least confident "
        "out. The Nucleus match takes all. Raise max_dets to count them."
    )
