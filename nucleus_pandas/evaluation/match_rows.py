"""The Nucleus match of two sides as rows: pairs, predictions without a match, ground truths without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas.evaluation.arrays import EvaluationInputs, stable_order
from nucleus_pandas.evaluation.matching import LabelRule, MatchBoxes, Matches, match, match_pairs
from nucleus_pandas.evaluation.outcomes import MatchFlags, OutcomeRows, classify, outcome_rows
from nucleus_pandas.evaluation.overlaps import Overlaps, overlaps
from nucleus_pandas.evaluation.parameters import Parameters
from nucleus_pandas.schema import MATCHES, frame
from nucleus_pandas.wire.column_json import TEXT

NONE = -1


@dataclass(frozen=True, eq=False)
class MatchRows:
    """The rows that a commit stores: by image, in it the predictions in their order, then the ground truths left over.

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
        matches = match_pairs(*boxes, parameters.rule, _mask_pairs(inputs))
    else:
        matches = match(*boxes, parameters.rule)
    return lay_out(*boxes, matches, parameters.rule)


def _mask_pairs(inputs: EvaluationInputs) -> Overlaps:
    return Overlaps.concatenated([Overlaps.none(), *overlaps(inputs.countable, inputs.predictions)])


def lay_out(ground_truth: MatchBoxes, predictions: MatchBoxes, matches: Matches, rule: LabelRule) -> MatchRows:
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
    return frame({**columns, "match_type": pa.array(outcomes.match_type.astype(object), TEXT)}, MATCHES)


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
    has_prediction = prediction != NONE
    image = np.empty(len(at), dtype=np.intp)
    image[has_prediction] = predictions.image[prediction[has_prediction]]
    image[~has_prediction] = inputs.countable.image[ground_truth[~has_prediction]]
    g, p = pa.array(ground_truth, mask=~with_truth), pa.array(prediction, mask=~with_prediction)
    names = pa.array(inputs.labels, TEXT)
    confidence = np.full(len(at), np.nan)
    assert predictions.confidence is not None
    confidence[with_prediction] = predictions.confidence[prediction[with_prediction]]
    return {
        "dataset_item_id": inputs.images.dataset_item_ids.take(pa.array(image)),
        "reference_id": inputs.images.reference_ids.take(pa.array(image)),
        "annotation_id": inputs.countable.ids.take(g),
        "prediction_id": predictions.ids.take(p),
        "label": names.take(pa.array(inputs.countable.label).take(g)),
        "predicted_label": names.take(pa.array(predictions.label).take(p)),
        "confidence": confidence,
        "iou": np.where(with_truth & with_prediction, rows.iou[at], np.nan),
    }
