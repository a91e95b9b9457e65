"""Results of a finished evaluation under filters: charts, pages of examples, and what can be filtered by."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from itertools import pairwise
from typing import Any, Literal

import msgspec

from nucleus_pandas.evaluation.parameters import AREA_RANGES, EVERY
from nucleus_pandas.evaluation.tables import BACKGROUND, BIN_EDGES
from nucleus_pandas.schema.geometry import SIDES
from nucleus_pandas.server.evaluation.arrays import StoredBoxes, to_inputs
from nucleus_pandas.server.evaluation.metrics import RECALL_POINTS, THRESHOLDS, EngineMetrics, compute_metrics
from nucleus_pandas.server.evaluation.scope import item_condition
from nucleus_pandas.server.read.render import raw_metadata
from nucleus_pandas.server.store import evaluation_outcomes, evaluations
from nucleus_pandas.server.store.evaluation_outcomes import ExampleRow, OutcomeGroup, SelectedOutcomes
from nucleus_pandas.server.store.evaluations import StoredEvaluation
from nucleus_pandas.server.store.ids import item_id, position_of
from nucleus_pandas.server.store.layers import id_of_key
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.wire.evaluations import (
    ApBySize,
    Bucket,
    Charts,
    ChartsRequest,
    ClassAp,
    Confusion,
    CurvePoint,
    EvaluationExample,
    ExamplesPage,
    ExamplesRequest,
    FilterSchema,
    MapSummary,
    MetadataField,
    OutcomeFilters,
    Tide,
    TotalCounts,
)

_OUTCOME_FILTERS = {
    "iou_range": "iouRange",
    "label_equality": "labelEquality",
    "has_ground_truth": "hasGroundTruth",
    "tide_background": "tideBackground",
}
_OTHER_THRESHOLD = "Average precision by class and its curve exist at the IoU thresholds in `computedIouRanges`."


def charts(db: sqlite3.Connection, evaluation: StoredEvaluation, request: ChartsRequest, *, stale: bool) -> Charts:
    """Return the charts of a finished evaluation."""
    filters = request.filters
    items = item_condition(db, filters, request.query)
    selected = SelectedOutcomes(evaluation, request.iou_threshold, filters, items)
    metrics = _filtered_metrics(db, evaluation, filters or OutcomeFilters(), items)
    reasons = dict(metrics.reasons)
    number = _number_of(request.iou_threshold)
    if number is None:
        reasons |= dict.fromkeys(("perClassAp", "prCurve"), _OTHER_THRESHOLD)
    per_class, curve = _by_class(metrics, number) if metrics.ap and number is not None else ([], [])
    groups = selected.groups(db)
    return Charts(
        map_summary=MapSummary(mapAt50=metrics.map_at_50, mapAt75=metrics.map_at_75, mapAt5095=metrics.map_at_50_95),
        per_class_ap=per_class,
        confusion_matrix=_confusion(groups),
        score_histogram=_histogram(selected.confidence_bins(db)),
        computed_iou_ranges=[round(threshold, 2) for threshold in THRESHOLDS],
        total_counts=_totals(groups),
        ap_by_size=ApBySize(small=metrics.small, medium=metrics.medium, large=metrics.large),
        pr_curve=curve,
        tide_attribution=_tide(groups),
        reasons=reasons,
        stale=stale,
    )


def _number_of(iou_threshold: float) -> int | None:
    close = (at for at, threshold in enumerate(THRESHOLDS) if math.isclose(threshold, iou_threshold, abs_tol=1e-9))
    return next(close, None)


def _by_class(metrics: EngineMetrics, threshold: int) -> tuple[list[ClassAp], list[CurvePoint]]:
    per_class, points = [], []
    for name, ap, precision in zip(metrics.classes, metrics.ap[threshold], metrics.precision[threshold], strict=True):
        if ap is not None:
            per_class.append(ClassAp(class_label=name, ap=ap))
            points += [
                CurvePoint(class_label=name, recall=recall, precision=value)
                for recall, value in zip(RECALL_POINTS, precision, strict=True)
            ]
    return per_class, points


def _confusion(groups: list[OutcomeGroup]) -> list[Confusion]:
    """Count pairs by both labels; a missing side is the background."""
    counts: Counter[tuple[str, str]] = Counter()
    for group in groups:
        if group.match_type != "FN" or group.label_class is not None:  # else the FP of its pair shows both sides
            counts[group.label_class or BACKGROUND, group.predicted_class or BACKGROUND] += group.outcomes
    return [
        Confusion(gt_label=label, pred_label=predicted, count=n) for (label, predicted), n in sorted(counts.items())
    ]


def _totals(groups: list[OutcomeGroup]) -> TotalCounts:
    totals: Counter[str] = Counter()
    for group in groups:
        totals[group.match_type] += group.outcomes
    confident = sum(group.with_confidence for group in groups)
    return TotalCounts(tp=totals["TP"], fp=totals["FP"], fn=totals["FN"], preds_with_confidence=confident)


def _tide(groups: list[OutcomeGroup]) -> Tide:
    counts: Counter[str] = Counter()
    for group in groups:
        if group.tide is not None:
            counts[group.tide] += group.outcomes
    return msgspec.convert({**counts, "missed": sum(group.missed for group in groups)}, Tide)


def _histogram(counts: dict[int, int]) -> list[Bucket]:
    return [
        Bucket(bucket_min=low, bucket_max=high, count=counts.get(number, 0))
        for number, (low, high) in enumerate(pairwise(BIN_EDGES.tolist()))
    ]


def _filtered_metrics(
    db: sqlite3.Connection, evaluation: StoredEvaluation, filters: OutcomeFilters, items: Condition | None
) -> EngineMetrics:
    """Return the stored metrics, or compute those of the boxes that filters on items and on either side leave."""
    if filters == OutcomeFilters() and items is None:
        return msgspec.json.decode(evaluations.results(db, evaluation), type=EngineMetrics)
    on_outcomes = [name for field, name in _OUTCOME_FILTERS.items() if getattr(filters, field) is not None]
    if on_outcomes:
        names = ", ".join(f"`{name}`" for name in on_outcomes)
        return _no_metrics(f"Average precision does not exist for outcomes that are chosen by {names}.")
    areas = None
    if filters.gt_area_range is not None:
        low, high = filters.gt_area_range.min, filters.gt_area_range.max
        areas = (max(0.0, low or 0.0), AREA_RANGES[EVERY][1] if high is None else high)
        if areas[0] > areas[1]:
            return _no_metrics("No area lies in `gtAreaRange`.")
    rule = evaluation.request.rule
    classes, predicted_classes = filters.gt_labels, filters.pred_labels
    if rule.allowed is None:  # classes are measured one by one: those that pass both filters
        filtered = [set(names) for names in (classes, predicted_classes) if names is not None]
        classes = predicted_classes = sorted(set.intersection(*filtered)) if filtered else None
    ground_truth = evaluation_outcomes.boxes(db, evaluation, "groundTruth", filters, classes, items)
    predictions = evaluation_outcomes.boxes(db, evaluation, "prediction", filters, predicted_classes, items)
    inputs = to_inputs(
        StoredBoxes.read([ground_truth], are_predictions=False),
        StoredBoxes.read([predictions], are_predictions=True),
        evaluation_outcomes.reference_ids(db, evaluation),
        lambda name: name,  # stored classes are classes already
    )
    return compute_metrics(inputs, rule, areas)[0]


def _no_metrics(reason: str) -> EngineMetrics:
    reasons = dict.fromkeys(("mapSummary", "apBySize", "perClassAp", "prCurve"), reason)
    return EngineMetrics(classes=[], ap=[], precision=[], reasons=reasons)


def examples(
    db: sqlite3.Connection, evaluation: StoredEvaluation, request: ExamplesRequest, *, stale: bool
) -> ExamplesPage:
    """Return a page of examples, and the number of all."""
    items = item_condition(db, request.filters, request.query)
    selected = SelectedOutcomes(evaluation, request.iou_threshold, request.filters, items)
    if request.match_type is not None:
        selected.narrow(f"match_type = '{request.match_type}'")
    rows = [_example(evaluation, row) for row in selected.page(db, request)]
    return ExamplesPage(rows=rows, total=selected.count(db), stale=stale)


def _example(evaluation: StoredEvaluation, row: ExampleRow) -> EvaluationExample:
    item = item_id(row.dataset_tag, row.item)
    annotation = prediction = None
    if row.annotation_id is not None:
        box = (row.x, row.y, row.width, row.height)
        annotation = _box_row(row, item, row.annotation_id, row.label, box, row.annotation_metadata)
    if row.prediction_id is not None:
        box = (row.predicted_x, row.predicted_y, row.predicted_width, row.predicted_height)
        prediction = _box_row(row, item, row.prediction_id, row.predicted_label, box, row.prediction_metadata)
        prediction["confidence"] = row.confidence
    return EvaluationExample(
        id=f"ex_{row.dataset_tag}{position_of(row.item):08x}{row.number:08x}_{row.match_type}",
        evaluation_id=evaluation.public_id,
        dataset_item_id=item,
        true_positive=row.match_type == "TP",
        match_type=row.match_type,
        model_prediction_id=id_of_key(row.prediction_id),
        ground_truth_annotation_id=id_of_key(row.annotation_id),
        pred_canonical_label=row.predicted_class,
        gt_canonical_label=row.label_class,
        pred_raw_label=row.predicted_label,
        gt_raw_label=row.label,
        iou=row.iou,
        confidence=row.confidence,
        gt_area=None if row.width is None or row.height is None else row.width * row.height,
        item_metadata=raw_metadata(row.item_metadata),
        prediction_metadata=None if prediction is None else prediction["metadata"],
        prediction_row=prediction,
        annotation_row=annotation,
    )


def _box_row(
    row: ExampleRow, item: str, key: str, label: str | None, box: tuple[float | None, ...], metadata: str | None
) -> dict[str, Any]:
    return {
        "type": "box",
        "dataset_item_id": item,
        "reference_id": row.reference_id,
        "annotation_id": id_of_key(key),
        "label": label,
        "geometry": dict(zip(SIDES, box, strict=True)),
        "metadata": raw_metadata(metadata),
    }


def filter_schema(db: sqlite3.Connection, evaluation: StoredEvaluation) -> FilterSchema:
    """Return the labels and the metadata that results can be filtered by."""
    labels, predicted_labels = evaluation_outcomes.labels(db, evaluation)
    fields = [
        MetadataField(key=key, value_type=_value_type(types), values=values)
        for key, types, values in evaluation_outcomes.metadata_fields(db, evaluation)
    ]
    return FilterSchema(gt_labels=labels, pred_labels=predicted_labels, metadata_fields=fields)


def _value_type(types: set[str]) -> Literal["string", "number", "boolean"]:
    if types <= {"integer", "real"}:
        return "number"
    return "boolean" if types <= {"true", "false"} else "string"
