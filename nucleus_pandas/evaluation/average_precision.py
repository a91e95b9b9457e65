"""Average precision as COCO defines it: precision and recall, and the numbers that follow from them.

Two engines accumulate precision and recall: this package, which needs nothing but NumPy, and hotcoco, which is faster.
Both return the numbers of pycocotools to the last bit, so a result does not depend on what is installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas._util.compat import __version__
from nucleus_pandas.errors import MissingExtraError
from nucleus_pandas.evaluation.arrays import NONE, BoxArrays, EvaluationInputs
from nucleus_pandas.evaluation.coco_assignment import Agreement, assign
from nucleus_pandas.evaluation.matching import Pairs
from nucleus_pandas.evaluation.overlaps import overlaps
from nucleus_pandas.evaluation.parameters import IOU_THRESHOLDS, RECALLS, Engine, Parameters

_NO_CONFIDENCE = -1.0  # where predictions are ranked: below all others
_EXTENT = 1 << 16  # pixels of an image whose size does not matter, as its masks carry theirs


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall as pycocotools accumulates them; NaN where it has -1.

    Attributes
    ----------
    precision : numpy.ndarray of shape (10, 101, labels, area ranges, max_dets), float64
        At each IoU threshold and recall.
    recall : numpy.ndarray of shape (10, labels, area ranges, max_dets), float64
        The highest recall that is reached.
    scores : numpy.ndarray of shape (10, 101, labels, area ranges, max_dets), float64
        The lowest confidence for which the precision holds; 0 where the recall is not reached.
    engine, version : str
        What computed them.
    """

    precision: Floats
    recall: Floats
    scores: Floats
    engine: Engine
    version: str

    def ap(self, iou_threshold: float | None = None, area: int = 0) -> Floats:
        """Average precision of each label at one threshold, or over all ten; NaN where it does not exist."""
        values: Floats = self.precision[_thresholds(iou_threshold), :, :, area, -1].mean(axis=(0, 1))
        return values

    def ar(self, area: int = 0, max_dets: int = -1) -> Floats:
        """Average recall of each label over all ten thresholds; NaN where it does not exist."""
        values: Floats = self.recall[:, :, area, max_dets].mean(axis=0)
        return values

    def mean_ap(self, iou_threshold: float | None = None, area: int = 0) -> float:
        """Mean average precision over the labels that have one."""
        return _mean(self.precision[_thresholds(iou_threshold), :, :, area, -1])

    def mean_ar(self, area: int = 0, max_dets: int = -1) -> float:
        """Mean average recall over the labels that have one."""
        return _mean(self.recall[:, :, area, max_dets])


def _thresholds(iou_threshold: float | None) -> slice:
    if iou_threshold is None:
        return slice(None)
    number = IOU_THRESHOLDS.index(iou_threshold)
    return slice(number, number + 1)


def _mean(values: Floats) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def require(parameters: Parameters) -> None:
    """Check that what an evaluation asks for is installed.

    Raises
    ------
    MissingExtraError
        hotcoco is not, and the engine or the masks need it.
    """
    needs = None
    if parameters.iou_type == "segm":
        needs = "iou_type='segm'"
    elif parameters.engine == "hotcoco" and parameters.rule.allowed is None:
        needs = "engine='hotcoco'"
    if needs is not None and _hotcoco_version() is None:
        raise MissingExtraError(
            f"{needs} needs hotcoco, which is not installed: pip install 'nucleus_pandas[evaluate]'"
        )


def _hotcoco_version() -> str | None:
    try:
        return str(import_module("hotcoco").__version__)
    except ImportError:
        return None


def engine_of(inputs: EvaluationInputs, parameters: Parameters) -> tuple[Engine, str]:
    """Return which engine computes average precision, and its version.

    hotcoco computes it where it is installed and no other engine is asked for. It does not know pairs of labels, and
    rejects inputs without ground truth or without predictions.
    """
    installed = _hotcoco_version() if parameters.engine != "nucleus_pandas" else None
    if installed is None or parameters.rule.allowed is not None:
        return "nucleus_pandas", __version__
    if not len(inputs.countable) or not inputs.predictions.has_ranks:
        return "nucleus_pandas", __version__
    return "hotcoco", installed


def precision_recall(inputs: EvaluationInputs, parameters: Parameters) -> PrecisionRecall:
    """Compute precision and recall at all thresholds, labels, area ranges and numbers of predictions.

    Parameters
    ----------
    inputs : EvaluationInputs
        Ground truth and predictions.
    parameters : Parameters
        Their rule, `max_dets`, `area_ranges` and engine.

    Returns
    -------
    PrecisionRecall
        NaN where a label has no ground truth.
    """
    engine, engine_version = engine_of(inputs, parameters)
    compute = _by_hotcoco if engine == "hotcoco" else accumulate
    return PrecisionRecall(*compute(inputs, parameters), engine, engine_version)


def accumulate(inputs: EvaluationInputs, parameters: Parameters) -> tuple[Floats, Floats, Floats]:
    """Accumulate precision, recall and scores over COCO's assignment.

    Predictions take ground truth as in pycocotools, but of all labels that the pairs allow. For a ground-truth label
    a prediction is a true positive if it took one of that label; a false positive if it could have, and took nothing;
    and does not count if it took one of another label. So a prediction "vehicle" is not held against "car" because
    it found a truck. With pairs of equal labels this is pycocotools' average precision, to the last bit.

    The bits are equal because the predictions are in the same order (by falling confidence, then by image id, then by
    row), and because counts, which floats hold exactly, are divided by the same formula with the same epsilon.

    Returns
    -------
    tuple of numpy.ndarray
        As in `PrecisionRecall`; labels are those of the ground truth.
    """
    ground_truth, predictions = inputs.ground_truth, inputs.predictions
    shape = len(inputs.labels), len(parameters.area_ranges), len(parameters.max_dets)
    precision = np.full((len(IOU_THRESHOLDS), RECALLS, *shape), np.nan)
    recall, scores = np.full((len(IOU_THRESHOLDS), *shape), np.nan), precision.copy()
    if len(predictions) and not predictions.has_ranks:
        return precision, recall, scores
    place = predictions.place
    kept = np.flatnonzero(place < parameters.max_dets[-1])
    predictions, place = predictions.take(kept), place[kept]
    agreement = Agreement(inputs.labels, parameters.rule)
    bounds = np.array(list(parameters.area_ranges.values()))
    ignored = ground_truth.crowd | _outside(ground_truth.area, bounds)
    pairs = Pairs.concatenated(_close_pairs(ground_truth, predictions, agreement))
    assigned = assign(pairs, ground_truth, predictions, np.array(IOU_THRESHOLDS), ignored)
    beyond = _outside(predictions.area, bounds)

    order = np.lexsort((np.arange(len(place)), inputs.images.rank[predictions.image]))
    confidence = _ranking_confidence(predictions)
    order = order[np.argsort(-confidence[order], kind="stable")]
    for label in range(len(inputs.labels)):
        of_label = ground_truth.label == label
        rows = order[np.isin(predictions.label[order], agreement.predicted_for(label))]
        for area in range(len(bounds)):
            positives = int(np.count_nonzero(of_label & ~ignored[area]))
            if not positives:
                continue
            partner = assigned[:, area, rows]
            free = partner == NONE
            right = ~free & of_label[partner] & ~ignored[area][partner]
            wrong = free & ~beyond[area][rows]
            for at, most in enumerate(parameters.max_dets):
                counted = place[rows] < most
                curve = _curve(right[:, counted], wrong[:, counted], positives, confidence[rows[counted]])
                precision[:, :, label, area, at], recall[:, label, area, at], scores[:, :, label, area, at] = curve
    return precision, recall, scores


def _close_pairs(ground_truth: BoxArrays, predictions: BoxArrays, agreement: Agreement) -> Iterator[Pairs]:
    """Find the pairs that may be assigned at the lowest threshold, some at a time."""
    for pairs in overlaps(ground_truth, predictions):
        close = pairs.take(pairs.iou >= IOU_THRESHOLDS[0])
        labels = ground_truth.label[close.ground_truth], predictions.label[close.prediction]
        yield close.take(agreement.of(*labels))


def _outside(area: Floats, bounds: Floats) -> Bools:
    """Return for each range, of shape (a, 2), which areas lie outside of it."""
    outside: Bools = (area < bounds[:, :1]) | (area > bounds[:, 1:])
    return outside


def _ranking_confidence(predictions: BoxArrays) -> Floats:
    assert predictions.confidence is not None
    return np.where(np.isnan(predictions.confidence), _NO_CONFIDENCE, predictions.confidence)


def _curve(right: Bools, wrong: Bools, positives: int, confidence: Floats) -> tuple[Floats, Floats, Floats]:
    """Return precision at 101 recalls, the highest recall, and the confidences, for each threshold.

    Columns are predictions by falling confidence. The precision at a recall is the highest one at this recall or
    beyond: a running maximum from the right, read at the first prediction that reaches the recall.
    """
    count = right.shape[0]
    precision, scores = np.zeros((count, RECALLS)), np.zeros((count, RECALLS))
    if not right.shape[1]:
        return precision, np.zeros(count), scores
    tp, fp = np.cumsum(right, axis=1, dtype=float), np.cumsum(wrong, axis=1, dtype=float)
    recall = tp / positives
    exact = tp / (fp + tp + np.spacing(1))
    envelope = np.maximum.accumulate(exact[:, ::-1], axis=1)[:, ::-1]
    points = np.linspace(0.0, 1.0, RECALLS)
    for row in range(count):
        at: Indices = np.searchsorted(recall[row], points, side="left")
        reached = at < recall.shape[1]
        precision[row, reached] = envelope[row, at[reached]]
        scores[row, reached] = confidence[at[reached]]
    return precision, recall[:, -1], scores


def _by_hotcoco(inputs: EvaluationInputs, parameters: Parameters) -> tuple[Floats, Floats, Floats]:
    """Accumulate precision, recall and scores by hotcoco; see `accumulate`."""
    hotcoco: Any = import_module("hotcoco")
    ground_truth = inputs.ground_truth
    # what no number can depend on is not handed over
    predictions = inputs.predictions.take(inputs.predictions.place < parameters.max_dets[-1])
    rank = inputs.images.rank + 1
    dataset = hotcoco.COCO.from_arrays(
        [{"id": number, "width": _EXTENT, "height": _EXTENT} for number in range(1, len(inputs.images) + 1)],
        [{"id": number, "name": str(number)} for number in range(1, len(inputs.labels) + 1)],
        rank[ground_truth.image],
        ground_truth.label + 1,
        ground_truth.box,
        ids=np.arange(1, len(ground_truth) + 1),
        area=ground_truth.area,
        iscrowd=ground_truth.crowd.astype(np.int64),
        segmentation=ground_truth.masks,
    )
    confidence = _ranking_confidence(predictions)
    rows = np.column_stack((rank[predictions.image], predictions.box, confidence, predictions.label + 1))
    results = dataset.load_res(rows, segmentation=predictions.masks)
    if predictions.masks is not None:  # it takes the areas of the boxes
        results.update_anns(ids=np.arange(1, len(predictions) + 1), area=predictions.area)
    evaluation = hotcoco.COCOeval(dataset, results, parameters.iou_type)
    # attributes are copies: whole values are assigned
    evaluation.params.max_dets = list(parameters.max_dets)
    evaluation.params.area_rng = [list(bounds) for bounds in parameters.area_ranges.values()]
    evaluation.params.area_rng_lbl = list(parameters.area_ranges)
    evaluation.evaluate()
    evaluation.accumulate()
    curves: Mapping[str, Floats] = evaluation.eval
    precision, recall = (np.where(curves[name] == -1, np.nan, curves[name]) for name in ("precision", "recall"))
    # a score of -1 may also be a missing confidence
    return precision, recall, np.where(np.isnan(precision), np.nan, curves["scores"])
