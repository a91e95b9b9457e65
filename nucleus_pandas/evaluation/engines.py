"""The engines that compute COCO's precision and recall; both are fed from arrays."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np

from nucleus_pandas._util.arrays import Floats
from nucleus_pandas.errors import MissingExtraError
from nucleus_pandas.evaluation.arrays import BoxArrays, EvaluationInputs
from nucleus_pandas.evaluation.average_precision import NO_CONFIDENCE, PrecisionRecall, accumulate, empty
from nucleus_pandas.evaluation.parameters import Engine, Parameters

_EXTENT = 1 << 16  # pixels of an image whose size does not matter, as its masks carry theirs
_INSTALL: dict[Engine, str] = {
    "hotcoco": "pip install 'nucleus_pandas[evaluate]'",
    "pycocotools": "pip install pycocotools",
}


def require(engine: Engine) -> str:
    """Look whether an engine is installed, and return its version.

    Raises
    ------
    MissingExtraError
        It is not; the text holds the line to type.
    """
    try:
        import_module(engine)
    except ImportError as error:
        raise MissingExtraError(f"The engine {engine} is not installed: {_INSTALL[engine]}") from error
    return version(engine)


def accumulated(sides: EvaluationInputs, parameters: Parameters) -> PrecisionRecall:
    """Compute precision and recall at all thresholds, labels, area ranges and numbers of predictions.

    Pairs of labels go to the own accumulation, since no engine knows them; all else to the engine.

    Parameters
    ----------
    sides : EvaluationInputs
        Ground truth and predictions.
    parameters : Parameters
        What is asked for, and of which engine.

    Returns
    -------
    PrecisionRecall
        NaN where a label has no ground truth.
    """
    if parameters.rule.allowed is not None:
        return accumulate(sides, parameters)
    engine = parameters.engine
    installed = require(engine)
    if not len(sides.countable) or (len(sides.predictions) and not sides.predictions.has_ranks):
        return PrecisionRecall(*empty(sides, parameters), engine, installed)
    # engines refuse an empty side, each in its own way
    if not len(sides.predictions):
        precision, recall, scores = empty(sides, parameters)
        for at, (low, high) in enumerate(parameters.area_ranges.values()):
            inside = (sides.countable.area >= low) & (sides.countable.area <= high)
            there = np.unique(sides.countable.label[inside])
            precision[:, :, there, at], recall[:, there, at], scores[:, :, there, at] = 0.0, 0.0, 0.0
        return PrecisionRecall(precision, recall, scores, engine, installed)
    compute: Callable[[EvaluationInputs, Parameters], Mapping[str, Any]] = (
        _hotcoco if engine == "hotcoco" else _pycocotools
    )
    found = compute(sides, parameters)
    precision, recall = (np.where(found[name] == -1, np.nan, found[name]) for name in ("precision", "recall"))
    scores = np.where(np.isnan(precision), np.nan, found["scores"])  # where -1 may be a missing confidence
    return PrecisionRecall(precision, recall, scores, engine, installed)


def _confidence(predictions: BoxArrays) -> Floats:
    assert predictions.confidence is not None
    return np.where(np.isnan(predictions.confidence), NO_CONFIDENCE, predictions.confidence)


def _images(sides: EvaluationInputs) -> list[dict[str, int]]:
    return [{"id": number, "width": _EXTENT, "height": _EXTENT} for number in range(1, len(sides.images) + 1)]


def _hotcoco(sides: EvaluationInputs, parameters: Parameters) -> Mapping[str, Any]:
    hotcoco: Any = import_module("hotcoco")
    ground_truth = sides.ground_truth
    # what no number can depend on is not handed over
    predictions = sides.predictions.take(sides.predictions.place < parameters.max_dets[-1])
    images = _images(sides)
    labels = [{"id": number, "name": str(number)} for number in range(1, len(sides.labels) + 1)]
    rank = sides.images.rank + 1
    loaded = hotcoco.COCO.from_arrays(
        images,
        labels,
        rank[ground_truth.image],
        ground_truth.label + 1,
        ground_truth.box,
        ids=np.arange(1, len(ground_truth) + 1),
        area=ground_truth.area,
        iscrowd=ground_truth.crowd.astype(np.int64),
        segmentation=ground_truth.masks,
    )
    rows = np.column_stack((rank[predictions.image], predictions.box, _confidence(predictions), predictions.label + 1))
    results = loaded.load_res(rows, segmentation=predictions.masks)
    if predictions.masks is not None:  # it takes the areas of the boxes
        results.update_anns(ids=np.arange(1, len(predictions) + 1), area=predictions.area)
    evaluation = hotcoco.COCOeval(loaded, results, parameters.iou_type)
    # attributes are copies: whole values are assigned
    evaluation.params.max_dets = list(parameters.max_dets)
    evaluation.params.area_rng = [list(bounds) for bounds in parameters.area_ranges.values()]
    evaluation.params.area_rng_lbl = list(parameters.area_ranges)
    evaluation.evaluate()
    evaluation.accumulate()
    found: Mapping[str, Any] = evaluation.eval
    return found


def _pycocotools(sides: EvaluationInputs, parameters: Parameters) -> Mapping[str, Any]:
    COCO = import_module("pycocotools.coco").COCO
    COCOeval = import_module("pycocotools.cocoeval").COCOeval
    rank = sides.images.rank + 1
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        loaded, results = COCO(), COCO()
        for coco, side in ((loaded, sides.ground_truth), (results, sides.predictions)):
            coco.dataset = {
                "images": _images(sides),
                "categories": [{"id": number} for number in range(1, len(sides.labels) + 1)],
                "annotations": _annotations(side, rank[side.image].tolist()),
            }
            coco.createIndex()
        evaluation = COCOeval(loaded, results, parameters.iou_type)
        evaluation.params.maxDets = list(parameters.max_dets)
        evaluation.params.areaRng = [list(bounds) for bounds in parameters.area_ranges.values()]
        evaluation.params.areaRngLbl = list(parameters.area_ranges)
        evaluation.evaluate()
        evaluation.accumulate()
    found: Mapping[str, Any] = evaluation.eval
    return found


def _annotations(side: BoxArrays, images: list[int]) -> list[dict[str, Any]]:
    score = [0.0] * len(side) if side.confidence is None else _confidence(side).tolist()
    columns = zip(
        images,
        (side.label + 1).tolist(),
        side.box.tolist(),
        side.area.tolist(),
        side.crowd.tolist(),
        score,
        strict=True,
    )
    return [
        {
            "id": number,
            "image_id": image,
            "category_id": label,
            "bbox": box,
            "area": area,
            "iscrowd": int(crowd),
            "score": confidence,
            **({} if side.masks is None else {"segmentation": side.masks[number - 1]}),
        }
        for number, (image, label, box, area, crowd, confidence) in enumerate(columns, start=1)
    ]
