"""Two evaluations of the same ground truth, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas._util.arrays import Bools, Indices
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas._util.html import safe
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.arrays import NONE, EvaluationInputs, take_or
from nucleus_pandas.evaluation.match_rows import MatchFlags, MatchRows
from nucleus_pandas.schema import frame
from nucleus_pandas.wire.column_json import ARROW_STRING

CHANGES: dict[str, str] = {
    **dict.fromkeys(("dataset_item_id", "reference_id", "annotation_id", "label"), TEXT),
    **dict.fromkeys(("prediction_id", "prediction_id_other"), TEXT),
    **dict.fromkeys(("iou", "iou_other", "confidence", "confidence_other"), "float64"),
}
"""Columns of the frames of ground truth that was won and lost."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """The differences between two evaluations: the other one less this one.

    Attributes
    ----------
    summary : pandas.DataFrame
        Indexed by the names of `Evaluation.summary`: ``this``, ``other``, ``difference`` (float64).
    per_class : pandas.DataFrame
        Indexed by ``label``, every label of either: for each of ``AP``, ``AP50``, ``AR`` (float64) and ``TP``, ``FP``,
        ``FN`` (int64) a column of this one, one ``…_other`` and one ``…_difference``; ``won`` and ``lost`` (int64),
        ground truth boxes of the label that only the other one, or only this one, finds.
    per_item : pandas.DataFrame
        A row for each image, in their order: ``dataset_item_id``, ``reference_id`` (text); for each of ``TP``,
        ``FP``, ``FN`` the three columns; ``won`` and ``lost`` (int64).
    won, lost : pandas.DataFrame
        The ground truth boxes that only the other one, or only this one, finds: ``dataset_item_id``, ``reference_id``,
        ``annotation_id``, ``label``, ``prediction_id``, ``prediction_id_other`` (text), ``iou``, ``iou_other``,
        ``confidence``, ``confidence_other`` (float64). The partners in both are shown, also where a match is too loose
        or of a wrong label; null and NaN where one matched nothing.
    """

    summary: pd.DataFrame
    per_class: pd.DataFrame
    per_item: pd.DataFrame
    won: pd.DataFrame
    lost: pd.DataFrame

    def __repr__(self) -> str:
        ap = float(self.summary["difference"]["AP"])
        return f"Comparison(AP {ap:+.3f}; {len(self.won)} ground truth boxes won, {len(self.lost)} lost)"

    def _repr_html_(self) -> str:
        return f"<p>{safe(repr(self))}</p>{self.summary.to_html(float_format='{:.3f}'.format, na_rep='NaN')}"


@dataclass(frozen=True, eq=False)
class ComparedEvaluation:
    """The results of an evaluation that are compared."""

    inputs: EvaluationInputs
    rows: MatchRows
    flags: MatchFlags[Bools]
    parameters: Mapping[str, Any]
    summary: pd.Series[float]
    per_class: pd.DataFrame
    images: pd.DataFrame


def compare(this: ComparedEvaluation, other: ComparedEvaluation) -> Comparison:
    """Compare two evaluations; see `Evaluation.compare`.

    Raises
    ------
    InvalidInputError
        The ground truth boxes or the parameters differ.
    """
    differing = [name for name, value in this.parameters.items() if other.parameters[name] != value]
    if differing:
        listed = "; ".join(f"{name} is {this.parameters[name]!r} and {other.parameters[name]!r}" for name in differing)
        raise InvalidInputError(f"Evaluations with different parameters cannot be compared: {listed}.")
    first, second = _match_of_each(this.rows), _match_of_each(other.rows)[_rows_in(other.inputs, this.inputs)]
    is_found, is_found_by_other = this.flags.true_positive[first], other.flags.true_positive[second]
    won, lost = is_found_by_other & ~is_found, is_found & ~is_found_by_other
    labels, images = this.inputs.countable.label, this.inputs.countable.image
    per_class = _beside(this.per_class, other.per_class, ("AP", "AP50", "AR", "TP", "FP", "FN"))
    names = pd.Index(pd.Series(list(this.inputs.labels), dtype=TEXT))
    order = pd.Index(other.inputs.images.ids).get_indexer(pd.Index(this.inputs.images.ids))
    per_item = this.images[["dataset_item_id", "reference_id"]].join(
        _beside(this.images, other.images.iloc[order].reset_index(drop=True), ("TP", "FP", "FN"))
    )
    for name, is_changed in (("won", won), ("lost", lost)):
        counts = np.bincount(labels[is_changed], minlength=len(names)).astype(np.int64)
        per_class[name] = pd.Series(counts, names).reindex(per_class.index, fill_value=0)
        per_item[name] = np.bincount(images[is_changed], minlength=len(per_item)).astype(np.int64)
    summary = pd.DataFrame({"this": this.summary, "other": other.summary})
    return Comparison(
        summary=summary.assign(difference=summary["other"] - summary["this"]),
        per_class=per_class,
        per_item=per_item,
        won=_changes(this, other, won, first, second),
        lost=_changes(this, other, lost, first, second),
    )


def _match_of_each(rows: MatchRows) -> Indices:
    """Return the row of the match that each ground truth is in: every one is in exactly one."""
    has_ground_truth = np.flatnonzero(rows.ground_truth != NONE)
    return has_ground_truth[np.argsort(rows.ground_truth[has_ground_truth])]


def _rows_in(other: EvaluationInputs, this: EvaluationInputs) -> Indices:
    """Find the row in the other one of each ground truth of this one."""
    keys, other_keys = _keys(this), _keys(other)
    row = {key: at for at, key in enumerate(other_keys)}
    missing = [key for key in keys if key not in row]
    additional = len(other_keys) - (len(keys) - len(missing))
    images = set(this.images.ids) ^ set(other.images.ids)
    if missing or additional or images:
        example = f", such as {missing[0][1]!r} on {missing[0][0]!r}" if missing else ""
        raise InvalidInputError(
            f"Only evaluations of the same ground truth can be compared: of {len(keys)} ground truth boxes "
            f"{len(missing)} are not in the other evaluation{example}, which has {additional} others, and "
            f"{len(images)} images are in only one of them."
        )
    return np.fromiter(map(row.__getitem__, keys), np.intp, len(keys))


def _keys(inputs: EvaluationInputs) -> list[tuple[str, str, str]]:
    """Return the image, the id and the label of each ground truth."""
    boxes = inputs.countable
    labels = [inputs.labels[label] for label in boxes.label.tolist()]
    return list(zip(inputs.images.ids[boxes.image].tolist(), boxes.ids.to_pylist(), labels, strict=True))


def _beside(this: pd.DataFrame, other: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    index = this.index.union(other.index) if not this.index.equals(other.index) else this.index
    columns: dict[str, pd.Series[Any]] = {}
    for name in names:
        fill = 0 if pd.api.types.is_integer_dtype(this[name].dtype) else np.nan
        first, second = (frame[name].reindex(index, fill_value=fill) for frame in (this, other))
        columns |= {name: first, f"{name}_other": second, f"{name}_difference": second - first}
    return pd.DataFrame(columns, index=index)


def _changes(
    this: ComparedEvaluation, other: ComparedEvaluation, is_changed: Bools, first: Indices, second: Indices
) -> pd.DataFrame:
    inputs, boxes = this.inputs, this.inputs.countable.take(is_changed)
    columns: dict[str, Any] = {
        "dataset_item_id": inputs.images.dataset_item_ids.take(boxes.image),
        "reference_id": inputs.images.reference_ids.take(boxes.image),
        "annotation_id": boxes.ids,
        "label": pa.array(inputs.labels, ARROW_STRING).take(boxes.label),
    }
    for suffix, evaluation, matches in (("", this, first[is_changed]), ("_other", other, second[is_changed])):
        predictions, prediction = evaluation.inputs.predictions, evaluation.rows.prediction[matches]
        assert predictions.confidence is not None
        columns[f"prediction_id{suffix}"] = predictions.ids.take(pa.array(prediction, mask=prediction == NONE))
        columns[f"iou{suffix}"] = evaluation.rows.iou[matches]
        columns[f"confidence{suffix}"] = take_or(predictions.confidence, prediction, np.nan)
    return frame(columns, CHANGES)
