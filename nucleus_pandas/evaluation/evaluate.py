"""Evaluate frames of predictions against frames of ground truth."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import pandas as pd

from nucleus_pandas.evaluation.average_precision import require
from nucleus_pandas.evaluation.inputs import FrameColumns, evaluation_inputs, grouping_frames
from nucleus_pandas.evaluation.parameters import Engine, IouType, LabelPairs, Parameters
from nucleus_pandas.evaluation.report import Evaluation
from nucleus_pandas.evaluation.tables import left_out
from nucleus_pandas.schema import BoxColumn, warn
from nucleus_pandas.schema.boxes import BoxFormat


def evaluate(
    predictions: pd.DataFrame,
    ground_truth: pd.DataFrame,
    *,
    iou_threshold: float = 0.5,
    class_agnostic: bool | None = None,
    allowed_label_matches: LabelPairs | None = None,
    max_dets: int | Iterable[int] = 100,
    area_ranges: Mapping[str, tuple[float, float]] | None = None,
    engine: Engine | None = None,
    iou_type: IouType = "bbox",
    items: pd.DataFrame | None = None,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat = "xywh",
) -> Evaluation:
    """Evaluate predictions against ground truth; documented as `nucleus_pandas.evaluate`."""
    parameters = Parameters.of(
        iou_threshold=iou_threshold,
        class_agnostic=class_agnostic,
        allowed_label_matches=allowed_label_matches,
        max_dets=max_dets,
        area_ranges=area_ranges,
        engine=engine,
        iou_type=iou_type,
    )
    require(parameters)
    layout = FrameColumns(columns, bbox, bbox_format)
    sides = evaluation_inputs(predictions, ground_truth, items, layout, parameters.iou_type)
    if (cut := left_out(sides, parameters)) is not None:
        warn(cut)
    return Evaluation(sides, parameters, grouping_frames(predictions, ground_truth, items, layout))
