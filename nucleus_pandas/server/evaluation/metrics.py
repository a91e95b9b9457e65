"""What the engine measures, asked for in one place: average precision, precision over recall, and what TIDE says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.average_precision import precision_recall
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.evaluation.parameters import IOU_THRESHOLDS, RECALLS, Parameters
from nucleus_pandas.evaluation.tide import ERRORS, tide

THRESHOLDS = IOU_THRESHOLDS
"""The IoU thresholds for which average precision is computed."""
RECALL_POINTS: tuple[float, ...] = tuple(np.linspace(0.0, 1.0, RECALLS).tolist())

_SIZES = ("small", "medium", "large")
_NO_TRUTH = "There is no ground truth, so there is no average precision."
_NO_CONFIDENCE = "No prediction has a confidence, so predictions have no order and there is no average precision."
_NO_SIZE = "There is no ground truth of this size."


class Measures(Struct, kw_only=True):
    """What the engine computed; null where a number does not exist.

    Attributes
    ----------
    classes : list of str
        The classes that have ground truth.
    ap : list of list
        By threshold, then by class.
    precision : list of list of list
        By threshold, class and recall point.
    reasons : dict of str to str
        Why numbers do not exist, or do not count everything.
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


@dataclass(frozen=True, eq=False)
class Told:
    """What TIDE says of each prediction (None where it did not look), and which countable ground truths it misses."""

    prediction: npt.NDArray[np.object_]
    missed: npt.NDArray[np.bool_]


def parameters_of(rule: LabelRule, areas: tuple[float, float] | None = None) -> Parameters:
    """Return the parameters of an evaluation; `areas` are square pixels that the ground truth is to have."""
    return Parameters.of(
        class_agnostic=rule.class_agnostic,
        allowed_label_matches=None if rule.allowed is None else sorted(rule.allowed),
        area_ranges=None if areas is None else {"asked": areas},
    )


def measure(
    sides: EvaluationInputs, rule: LabelRule, areas: tuple[float, float] | None = None
) -> tuple[Measures, str, str]:
    """Compute average precision, and tell by which engine of which version."""
    parameters = parameters_of(rule, areas)
    found = precision_recall(sides, parameters)
    ranked = not len(sides.predictions) or sides.predictions.has_ranks
    area = 0 if areas is None else 1
    reasons: dict[str, str] = {}
    beyond = int(np.count_nonzero(sides.predictions.place >= parameters.max_dets[-1]))
    if beyond:
        reasons["maxDets"] = (
            f"{beyond} predictions count neither in average precision nor in TIDE: of one class in one image those "
            f"with the {parameters.max_dets[-1]} highest confidences do."
        )
    if not ranked:
        there = np.empty(0, dtype=np.intp)
        reasons["mapSummary"] = _NO_CONFIDENCE
    else:
        there = np.flatnonzero(~np.isnan(found.precision[0, 0, :, area, -1]))
        if not len(there):
            reasons["mapSummary"] = _NO_TRUTH
    measures = Measures(
        classes=[sides.labels[at] for at in there.tolist()],
        ap=[found.ap(threshold, area)[there].tolist() for threshold in THRESHOLDS],
        precision=[curves[:, there].T.tolist() for curves in found.precision[:, :, :, area, -1]],
        reasons=reasons,
    )
    if not len(there):
        reasons["apBySize"] = reasons["mapSummary"]
    else:
        measures.map_at_50 = _number(found.mean_ap(0.5, area))
        measures.map_at_75 = _number(found.mean_ap(0.75, area))
        measures.map_at_50_95 = _number(found.mean_ap(None, area))
        if areas is None:
            for at, size in enumerate(_SIZES, start=1):
                setattr(measures, size, _number(found.mean_ap(None, at)))
                if getattr(measures, size) is None:
                    reasons[f"apBySize.{size}"] = _NO_SIZE
        else:
            reasons["apBySize"] = "The ground truth was chosen by its area already."
    return measures, found.engine, found.version


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def told_by_tide(sides: EvaluationInputs, rule: LabelRule) -> Told:
    """Ask TIDE about each prediction and each ground truth."""
    found = tide(sides, parameters_of(rule))
    names = np.full(len(sides.predictions), None, dtype=object)
    names[found.kept[found.right]] = "truePositive"
    for name in _errors():
        names[found.kept[found.errors[name]]] = name
    return Told(names, found.missed)


def _errors() -> Sequence[str]:
    return [name for name in ERRORS if name != "missed"]
