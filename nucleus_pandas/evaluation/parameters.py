"""The parameters of an evaluation, checked before anything is computed."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.matching import LabelRule

Engine: TypeAlias = Literal["nucleus_pandas", "hotcoco"]
IouType: TypeAlias = Literal["bbox", "segm"]
LabelPairs: TypeAlias = Iterable[tuple[str, str]] | Iterable[Mapping[str, str]]
"""Pairs of a ground-truth label and a predicted label, as tuples or as the objects of the REST contract."""

IOU_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""The ten thresholds of COCO: 0.5, 0.55, … 0.95, to the last bit as in pycocotools."""
RECALLS = 101
"""The recall points of COCO: 0, 0.01, … 1."""
EVERY = "all"
AREA_RANGES: dict[str, tuple[float, float]] = {
    EVERY: (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
"""The area ranges of COCO in square pixels, both ends included."""


@dataclass(frozen=True)
class Parameters:
    """The checked parameters of an evaluation.

    Attributes
    ----------
    iou_threshold : float in (0, 1]
        The lowest IoU at which a pair of the Nucleus match counts.
    rule : LabelRule
        Which labels may pair in the Nucleus match; its pairs also rule the COCO numbers and TIDE.
    max_dets : tuple of int
        Ascending: how many predictions of a label in an image the COCO numbers see at most. The last one holds for
        all of them but the average recalls, which are given for each.
    area_ranges : dict of str to (float, float)
        Names and bounds in square pixels; the first is ``all``.
    engine : {"nucleus_pandas", "hotcoco"} or None
        What computes the COCO numbers; None takes hotcoco where it is installed.
    iou_type : {"bbox", "segm"}
        Whether boxes or masks are compared.
    """

    iou_threshold: float
    rule: LabelRule
    max_dets: tuple[int, ...]
    area_ranges: dict[str, tuple[float, float]]
    engine: Engine | None
    iou_type: IouType

    @classmethod
    def of(
        cls,
        *,
        iou_threshold: float = 0.5,
        class_agnostic: bool | None = None,
        allowed_label_matches: LabelPairs | None = None,
        max_dets: int | Iterable[int] = 100,
        area_ranges: Mapping[str, tuple[float, float]] | None = None,
        engine: Engine | None = None,
        iou_type: IouType = "bbox",
    ) -> Parameters:
        """Check the arguments of an evaluation.

        Raises
        ------
        InvalidInputError
            One of them is invalid; the text says what is allowed.

        Examples
        --------
        >>> Parameters.of(max_dets=300).max_dets, Parameters.of(max_dets=5).max_dets
        ((1, 10, 300), (1, 5))
        """
        return cls(
            _threshold(iou_threshold),
            _rule(class_agnostic, allowed_label_matches),
            _max_dets(max_dets),
            _area_ranges(area_ranges),
            None if engine is None else one_of(engine, "engine", get_args(Engine)),
            one_of(iou_type, "iou_type", get_args(IouType)),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the parameters as plain data, under the names of the arguments."""
        allowed = self.rule.allowed
        return {
            "iou_threshold": self.iou_threshold,
            "class_agnostic": self.rule.class_agnostic,
            "allowed_label_matches": None if allowed is None else sorted(allowed),
            "max_dets": self.max_dets,
            "area_ranges": dict(self.area_ranges),
            "iou_type": self.iou_type,
        }


def label_pairs(pairs: object) -> list[tuple[str, str]]:
    """Read directed pairs of labels; integers become decimal strings, as in the labels of frames.

    Raises
    ------
    InvalidInputError
        An entry is not a pair.

    Examples
    --------
    >>> label_pairs([("car", "vehicle"), {"ground_truth_label": "bus", "model_prediction_label": "vehicle"}])
    [('car', 'vehicle'), ('bus', 'vehicle')]
    """
    if isinstance(pairs, (str, bytes, Mapping)) or not isinstance(pairs, Iterable):
        raise InvalidInputError(f"allowed_label_matches must hold pairs, not {pairs!r}.")
    return [_pair(pair) for pair in pairs]


def _pair(pair: object) -> tuple[str, str]:
    if isinstance(pair, Mapping):
        pair = (pair.get("ground_truth_label"), pair.get("model_prediction_label"))
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        ground_truth, predicted = (
            str(int(label)) if isinstance(label, numbers.Integral) and not isinstance(label, bool) else label
            for label in pair
        )
        if isinstance(ground_truth, str) and isinstance(predicted, str):
            return ground_truth, predicted
    raise InvalidInputError(f"allowed_label_matches holds pairs (ground-truth label, predicted label), not {pair!r}.")


def _rule(class_agnostic: bool | None, pairs: LabelPairs | None) -> LabelRule:
    if class_agnostic is not None and not isinstance(class_agnostic, bool):
        raise InvalidInputError(
            f"class_agnostic is True, False or None, not {class_agnostic!r}.", argument="class_agnostic"
        )
    allowed = None if pairs is None else label_pairs(pairs)
    try:
        return LabelRule.of(class_agnostic, allowed)
    except ValueError as error:
        raise InvalidInputError(str(error)) from None


def _threshold(value: object) -> float:
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 < float(value) <= 1:
        return float(value)
    raise InvalidInputError(f"iou_threshold is a number above 0, at most 1, not {value!r}.", argument="iou_threshold")


def _max_dets(value: Any) -> tuple[int, ...]:
    if is_count(value):
        return tuple(sorted({least for least in (1, 10) if least < int(value)} | {int(value)}))
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        counts = list(value)
        if counts and all(map(is_count, counts)) and counts == sorted(set(counts)):
            return tuple(map(int, counts))
    raise InvalidInputError(
        f"max_dets is a number of predictions, at least 1, or some in ascending order such as (1, 10, 100), "
        f"not {value!r}.",
        argument="max_dets",
    )


def is_count(value: Any, least: int = 1) -> bool:
    """Return True if a value is a whole number of at least so many."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least


def _area_ranges(ranges: object) -> dict[str, tuple[float, float]]:
    if ranges is None:
        return dict(AREA_RANGES)
    if not isinstance(ranges, Mapping):
        raise InvalidInputError(
            f"area_ranges is a dict such as {{'tiny': (0, 256)}}, not {ranges!r}.", argument="area_ranges"
        )
    bounds_by_name = {EVERY: AREA_RANGES[EVERY]}
    for name, bounds in ranges.items():
        if not isinstance(name, str) or not name:
            raise InvalidInputError(f"area_ranges names its ranges by strings, not by {name!r}.")
        is_pair = isinstance(bounds, (tuple, list)) and len(bounds) == 2
        if not is_pair or not all(isinstance(bound, numbers.Real) and float(bound) >= 0 for bound in bounds):
            raise InvalidInputError(f"The area range {name!r} is two numbers (low, high) from 0 on, not {bounds!r}.")
        low, high = float(bounds[0]), float(bounds[1])
        if low > high:
            raise InvalidInputError(f"The area range {name!r} ends at {high:g}, before it begins at {low:g}.")
        bounds_by_name[name] = (low, high)
    return bounds_by_name


def one_of(value: Any, name: str, allowed: tuple[str | None, ...]) -> Any:
    """Return the value of an argument, one of those that are allowed.

    Raises
    ------
    InvalidInputError
        It is another; the text lists them.
    """
    if value in allowed:
        return value
    listed = f"{', '.join(map(repr, allowed[:-1]))} or {allowed[-1]!r}"
    raise InvalidInputError(f"{name} is {listed}, not {value!r}.", argument=name)
