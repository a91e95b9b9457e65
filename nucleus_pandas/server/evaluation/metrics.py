"""Metrics of the engine: average precision, precision over recall, and the errors of TIDE."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.average_precision import precision_recall
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.evaluation.parameters import IOU_THRESHOLDS, RECALLS, Parameters
from nucleus_pandas.evaluation.tide import tide

THRESHOLDS = IOU_THRESHOLDS
"""The IoU thresholds for which average precision is computed."""
RECALL_POINTS: tuple[float, ...] = tuple(np.linspace(0.0, 1.0, RECALLS).tolist())

_NO_TRUTH = "There is no ground truth, so there is no average precision."
_NO_CONFIDENCE = "No prediction has a confidence, so predictions have no order and there is no average precision."
_NO_SIZE = "There is no ground truth of this size."


class EngineMetrics(Struct, kw_only=True):
    """The results of the engine, as stored; None where a number does not exist.

    Attributes
    ----------
    classes : list of str
        The classes that have ground truth.
    ap : list of list
        By threshold, then by class.
    precision : list of list of list
        By threshold, class and recall point.
    reasons : dict of str to str
        Reasons why numbers do not exist or are incomplete, by their name.
    """

    classes: list[str]
    ap: list[list[float | None]]
    precision: list[list[list[float]]]
    map_at_50: float | None = None
    map_at_75: float | None = None
    map_at_50_95: float | None = None
    small: float | None = None
    medium: float | None = None
    large: float | None = None
    reasons: dict[str, str]


def parameters_of(rule: LabelRule, areas: tuple[float, float] | None = None) -> Parameters:
    """Return the parameters of an evaluation; `areas` is a range for the ground truth, in square pixels."""
    return Parameters.of(
        class_agnostic=rule.class_agnostic,
        allowed_label_matches=None if rule.allowed is None else sorted(rule.allowed),
        area_ranges=None if areas is None else {"asked": areas},
    )


def compute_metrics(
    inputs: EvaluationInputs, rule: LabelRule, areas: tuple[float, float] | None = None
) -> tuple[EngineMetrics, str, str]:
    """Compute average precision.

    Returns
    -------
    metrics : EngineMetrics
    engine, version : str
        Name and version of the engine.
    """
    parameters = parameters_of(rule, areas)
    curves = precision_recall(inputs, parameters)
    is_ranked = not len(inputs.predictions) or inputs.predictions.has_ranks
    area = 0 if areas is None else 1
    reasons: dict[str, str] = {}
    beyond = int(np.count_nonzero(inputs.predictions.place >= parameters.max_dets[-1]))
    if beyond:
        reasons["maxDets"] = (
            f"{beyond} predictions count neither in average precision nor in TIDE: of one class in one image those "
            f"with the {parameters.max_dets[-1]} highest confidences do."
        )
    # without an order of predictions no class has a precision
    classes = np.flatnonzero(~np.isnan(curves.precision[0, 0, :, area, -1]))
    sizes = enumerate(() if areas else ("small", "medium", "large"), start=1)
    by_size = {size: _number(curves.mean_ap(area=number)) for number, size in sizes}
    if not len(classes):
        reasons["mapSummary"] = reasons["apBySize"] = _NO_TRUTH if is_ranked else _NO_CONFIDENCE
    elif areas is not None:
        reasons["apBySize"] = "The ground truth is already filtered by area."
    else:
        reasons |= {f"apBySize.{size}": _NO_SIZE for size, ap in by_size.items() if ap is None}
    metrics = EngineMetrics(
        classes=[inputs.labels[code] for code in classes.tolist()],
        ap=[curves.ap(threshold, area)[classes].tolist() for threshold in THRESHOLDS],
        precision=[by_recall[:, classes].T.tolist() for by_recall in curves.precision[:, :, :, area, -1]],
        map_at_50=_number(curves.mean_ap(0.5, area)),
        map_at_75=_number(curves.mean_ap(0.75, area)),
        map_at_50_95=_number(curves.mean_ap(None, area)),
        **by_size,
        reasons=reasons,
    )
    return metrics, curves.engine, curves.version


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def tide_errors(inputs: EvaluationInputs, rule: LabelRule) -> tuple[NDArray[np.object_], Bools]:
    """Return the TIDE category of each prediction (None beyond `max_dets`), and which ground truths are missed.

    The ground truths are those that count: crowds are left out.
    """
    result = tide(inputs, parameters_of(rule))
    names = np.full(len(inputs.predictions), None, dtype=object)
    names[result.kept[result.true_positive]] = "truePositive"
    for name, is_error in result.errors.items():
        names[result.kept[is_error]] = name
    return names, result.missed
