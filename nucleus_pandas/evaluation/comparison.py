"""Two evaluations of the same ground truth, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas._util.html import safe
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.match_rows import MatchRows
from nucleus_pandas.evaluation.outcomes import MatchFlags
from nucleus_pandas.schema import frame
from nucleus_pandas.wire.column_json import TEXT as ARROW_TEXT

CHANGES: dict[str, str] = {
    "dataset_item_id": TEXT,
    "reference_id": TEXT,
    "annotation_id": TEXT,
    "label": TEXT,
    "prediction_id": TEXT,
    "prediction_id_other": TEXT,
    "iou": "float64",
    "iou_other": "float64",
    "confidence": "float64",
    "confidence_other": "float64",
}
"""Columns of the frames of ground truth that was won and lost."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """What another evaluation finds better and worse than this one. Differences are the other less this one.

    Attributes
    ----------
    summary : pandas.DataFrame
        Indexed by the names of `Evaluation.summary`: ``this``, ``other``, ``difference`` (float64).
    per_class : pandas.DataFrame
        Indexed by ``label``, every label of either: for each of ``AP``, ``AP50``, ``AR`` (float64) and ``TP``, ``FP``,
        ``FN`` (int64) a column of this one, one ``…_other`` and one ``…_difference``; ``won`` and ``lost`` (int64),
        ground truths of the label that only the other one, or only this one, finds.
    per_item : pandas.DataFrame
        A row for each image, in their order: ``dataset_item_id``, ``reference_id`` (text); for each of ``TP``,
        ``FP``, ``FN`` the three columns; ``won`` and ``lost`` (int64).
    won, lost : pandas.DataFrame
        The ground truths that only the other one, or only this one, finds: ``dataset_item_id``, ``reference_id``,
        ``annotation_id``, ``label``, ``prediction_id``, ``prediction_id_other`` (text), ``iou``, ``iou_other``,
        ``confidence``, ``confidence_other`` (float64). What both matched is shown, also where a match is too loose or
        of a wrong label; null and NaN where one matched nothing.
    """

    summary: pd.DataFrame
    per_class: pd.DataFrame
    per_item: pd.DataFrame
    won: pd.DataFrame
    lost: pd.DataFrame

    def __repr__(self) -> str:
        ap = float(self.summary["difference"]["AP"])
        return f"Comparison(AP {ap:+.3f}; {len(self.won)} ground truths won, {len(self.lost)} lost)"

    def _repr_html_(self) -> str:
        return f"<p>{safe(repr(self))}</p>{self.summary.to_html(float_format='{:.3f}'.format, na_rep='NaN')}"


@dataclass(frozen=True, eq=False)
class Compared:
    """What of an evaluation is compared."""

    sides: EvaluationInputs
    rows: MatchRows
    flags: MatchFlags[Bools]
    parameters: Mapping[str, Any]
    summary: pd.Series[float]
    per_class: pd.DataFrame
    images: pd.DataFrame


def compare(this: Compared, other: Compared) -> Comparison:
    """Compare two evaluations; see `Evaluation.compare`.

    Raises
    ------
    InvalidInputError
        The ground truths or the parameters differ.
    """
    differing = [name for name, value in this.parameters.items() if other.parameters[name] != value]
    if differing:
        listed = "; ".join(f"{name} is {this.parameters[name]!r} and {other.parameters[name]!r}" for name in differing)
        raise InvalidInputError(f"Evaluations with different parameters cannot be compared: {listed}.")
    place = _places(this.sides, other.sides)
    first, second = _found(this), _found(other).moved(place)
    won, lost = second.right & ~first.right, first.right & ~second.right
    labels, images = this.sides.countable.label, this.sides.countable.image
    per_class = _beside(this.per_class, other.per_class, ("AP", "AP50", "AR", "TP", "FP", "FN"))
    names = pd.Index(pd.Series(list(this.sides.labels), dtype=TEXT))
    for name, which in (("won", won), ("lost", lost)):
        counts = np.bincount(labels[which], minlength=len(names)).astype(np.int64)
        per_class[name] = pd.Series(counts, names).reindex(per_class.index, fill_value=0)
    ids = ["dataset_item_id", "reference_id"]
    order = pd.Index(other.sides.images.ids).get_indexer(pd.Index(this.sides.images.ids))
    per_item = this.images[ids].join(
        _beside(this.images, other.images.iloc[order].reset_index(drop=True), ("TP", "FP", "FN"))
    )
    for name, which in (("won", won), ("lost", lost)):
        per_item[name] = np.bincount(images[which], minlength=len(per_item)).astype(np.int64)
    summary = pd.DataFrame({"this": this.summary, "other": other.summary})
    return Comparison(
        summary=summary.assign(difference=summary["other"] - summary["this"]),
        per_class=per_class,
        per_item=per_item,
        won=_changes(this.sides, other.sides, won, first, second),
        lost=_changes(this.sides, other.sides, lost, first, second),
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """What each ground truth was matched with."""

    right: Bools
    prediction: Indices  # -1 where it was matched with nothing
    iou: Floats

    def moved(self, place: Indices) -> _Found:
        return _Found(self.right[place], self.prediction[place], self.iou[place])


def _found(one: Compared) -> _Found:
    count = len(one.sides.countable)
    right, prediction = np.zeros(count, dtype=np.bool_), np.full(count, -1, dtype=np.intp)
    iou = np.full(count, np.nan)
    there = one.rows.ground_truth >= 0
    at = one.rows.ground_truth[there]
    right[at], prediction[at], iou[at] = one.flags.true_positive[there], one.rows.prediction[there], one.rows.iou[there]
    return _Found(right, prediction, iou)


def _places(this: EvaluationInputs, other: EvaluationInputs) -> Indices:
    """Find each ground truth of this one in the other."""
    keys = [_keys(sides) for sides in (this, other)]
    place = {key: at for at, key in enumerate(keys[1])}
    missing = [key for key in keys[0] if key not in place]
    strange = len(keys[1]) - (len(keys[0]) - len(missing))
    images = set(this.images.ids) ^ set(other.images.ids)
    if missing or strange or images:
        such = f", such as {missing[0][1]!r} on {missing[0][0]!r}" if missing else ""
        raise InvalidInputError(
            f"Only evaluations of the same ground truth can be compared: of {len(keys[0])} ground truths "
            f"{len(missing)} are not in the other evaluation{such}, which has {strange} others, and {len(images)} "
            "images are in only one of them."
        )
    return np.fromiter((place[key] for key in keys[0]), np.intp, len(keys[0]))


def _keys(sides: EvaluationInputs) -> list[tuple[str, str, str]]:
    ground_truth = sides.countable
    labels = (
        np.array(sides.labels, dtype=object)[ground_truth.label] if len(ground_truth) else np.empty(0, dtype=object)
    )
    return list(
        zip(sides.images.ids[ground_truth.image].tolist(), ground_truth.ids.to_pylist(), labels.tolist(), strict=True)
    )


def _beside(this: pd.DataFrame, other: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    index = this.index.union(other.index) if not this.index.equals(other.index) else this.index
    columns: dict[str, pd.Series[Any]] = {}
    for name in names:
        fill = 0 if pd.api.types.is_integer_dtype(this[name].dtype) else np.nan
        one, two = (frame[name].reindex(index, fill_value=fill) for frame in (this, other))
        columns |= {name: one, f"{name}_other": two, f"{name}_difference": two - one}
    return pd.DataFrame(columns, index=index)


def _changes(
    this: EvaluationInputs, other: EvaluationInputs, which: Bools, first: _Found, second: _Found
) -> pd.DataFrame:
    at = np.flatnonzero(which)
    ground_truth = this.countable
    image = pa.array(ground_truth.image[at])
    columns: dict[str, Any] = {
        "dataset_item_id": this.images.dataset_item_ids.take(image),
        "reference_id": this.images.reference_ids.take(image),
        "annotation_id": ground_truth.ids.take(pa.array(at)),
        "label": pa.array(this.labels, ARROW_TEXT).take(pa.array(ground_truth.label[at])),
    }
    for suffix, sides, found in (("", this, first), ("_other", other, second)):
        prediction = found.prediction[at]
        missing = prediction < 0
        confidence = np.full(len(at), np.nan)
        assert sides.predictions.confidence is not None
        confidence[~missing] = sides.predictions.confidence[prediction[~missing]]
        columns[f"prediction_id{suffix}"] = sides.predictions.ids.take(pa.array(prediction, mask=missing))
        columns[f"iou{suffix}"] = found.iou[at]
        columns[f"confidence{suffix}"] = confidence
    return frame(columns, CHANGES)
