"""The charts of an evaluation: what its match and its engine say, narrowed down by filters."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from typing import NamedTuple

import msgspec
import numpy as np

from nucleus_pandas.evaluation.counts import BACKGROUND, BINS
from nucleus_pandas.evaluation.parameters import AREA_RANGES, EVERY
from nucleus_pandas.server.evaluation import metrics as measures
from nucleus_pandas.server.evaluation.arrays import Rows, sides_of
from nucleus_pandas.server.evaluation.item_filter import chosen_items
from nucleus_pandas.server.evaluation.metrics import RECALL_POINTS, THRESHOLDS, Measures
from nucleus_pandas.server.store import evaluation_outcomes, evaluations
from nucleus_pandas.server.store.evaluation_outcomes import Cell, Selected
from nucleus_pandas.server.store.evaluations import Evaluation
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.wire.evaluations import (
    ApBySize,
    Bucket,
    Charts,
    ChartsRequest,
    ClassAp,
    Confusion,
    CurvePoint,
    Filters,
    MapSummary,
    Tide,
    TotalCounts,
)

_OF_OUTCOMES = {
    "iou_range": "iouRange",
    "label_equality": "labelEquality",
    "has_ground_truth": "hasGroundTruth",
    "tide_background": "tideBackground",
}
_THRESHOLD = "Average precision by class and its curve exist at the IoU thresholds in `computedIouRanges`."


class Measured(NamedTuple):
    """What the engine computed, or why it computed nothing."""

    measures: Measures | None
    reason: str = ""


def charts(db: sqlite3.Connection, evaluation: Evaluation, wanted: ChartsRequest, *, stale: bool) -> Charts:
    """Draw the charts of a finished evaluation."""
    filters = wanted.filters
    chosen = chosen_items(db, filters, wanted.query)
    selected = Selected(evaluation, wanted.iou_threshold, filters, chosen)
    measured = _measured(db, evaluation, filters or Filters(), chosen)
    found = measured.measures or Measures(classes=[], ap=[], precision=[], reasons={})
    reasons = dict(found.reasons)
    if measured.measures is None:
        reasons |= dict.fromkeys(("mapSummary", "apBySize", "perClassAp", "prCurve"), measured.reason)
    at = _place(wanted.iou_threshold)
    if at is None:
        reasons |= dict.fromkeys(("perClassAp", "prCurve"), _THRESHOLD)
    per_class, curve = _by_class(found, at) if measured.measures is not None and at is not None else ([], [])
    cells = selected.cells(db)
    return Charts(
        map_summary=MapSummary(mapAt50=found.map_at_50, mapAt75=found.map_at_75, mapAt5095=found.map_at_50_95),
        per_class_ap=per_class,
        confusion_matrix=_confusion(cells),
        score_histogram=_histogram(selected.confidences(db)),
        computed_iou_ranges=[round(threshold, 2) for threshold in THRESHOLDS],
        total_counts=_totals(cells),
        ap_by_size=ApBySize(small=found.small, medium=found.medium, large=found.large),
        pr_curve=curve,
        tide_attribution=_tide(cells),
        reasons=reasons,
        stale=stale,
    )


def _place(iou_threshold: float) -> int | None:
    for at, threshold in enumerate(THRESHOLDS):
        if math.isclose(threshold, iou_threshold, abs_tol=1e-9):
            return at
    return None


def _by_class(found: Measures, at: int) -> tuple[list[ClassAp], list[CurvePoint]]:
    per_class, points = [], []
    for name, ap, precision in zip(found.classes, found.ap[at], found.precision[at], strict=True):
        if ap is not None:
            per_class.append(ClassAp(class_label=name, ap=ap))
            points += [
                CurvePoint(class_label=name, recall=recall, precision=value)
                for recall, value in zip(RECALL_POINTS, precision, strict=True)
            ]
    return per_class, points


def _confusion(cells: list[Cell]) -> list[Confusion]:
    """Count pairs by both labels; a side that is missing is the background."""
    counts: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        if cell.match_type != "FN" or cell.label_class is not None:  # else the FP of its pair shows both sides
            counts[cell.label_class or BACKGROUND, cell.predicted_class or BACKGROUND] += cell.outcomes
    return [
        Confusion(gt_label=truth, pred_label=predicted, count=n) for (truth, predicted), n in sorted(counts.items())
    ]


def _totals(cells: list[Cell]) -> TotalCounts:
    totals: Counter[str] = Counter()
    for cell in cells:
        totals[cell.match_type] += cell.outcomes
    confident = sum(cell.with_confidence for cell in cells)
    return TotalCounts(tp=totals["TP"], fp=totals["FP"], fn=totals["FN"], preds_with_confidence=confident)


def _tide(cells: list[Cell]) -> Tide:
    counts: Counter[str] = Counter()
    for cell in cells:
        if cell.tide is not None:
            counts[cell.tide] += cell.outcomes
    return msgspec.convert({**counts, "missed": sum(cell.missed for cell in cells)}, Tide)


def _histogram(confidences: list[tuple[float, int]]) -> list[Bucket]:
    values, weights = np.array(confidences, dtype=np.float64).reshape(-1, 2).T
    edges = np.linspace(0.0, 1.0, BINS + 1)
    counts, _ = np.histogram(values, edges, weights=weights)
    rows = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    return [Bucket(bucket_min=low, bucket_max=high, count=int(count)) for low, high, count in rows]


def _measured(db: sqlite3.Connection, evaluation: Evaluation, filters: Filters, chosen: Condition | None) -> Measured:
    """Return the stored measures, or measure again what filters on items and on either side leave."""
    if filters == Filters() and chosen is None:
        return Measured(msgspec.json.decode(evaluations.results(db, evaluation), type=Measures))
    asked = [name for field, name in _OF_OUTCOMES.items() if getattr(filters, field) is not None]
    if asked:
        names = ", ".join(f"`{name}`" for name in asked)
        return Measured(None, f"Average precision does not exist for outcomes that are chosen by {names}.")
    areas = None
    if filters.gt_area_range is not None:
        low, high = filters.gt_area_range.min, filters.gt_area_range.max
        areas = (max(0.0, low or 0.0), AREA_RANGES[EVERY][1] if high is None else high)
        if areas[0] > areas[1]:
            return Measured(None, "No area lies in `gtAreaRange`.")
    request = evaluation.request
    wanted_truth, wanted_predictions = filters.gt_labels, filters.pred_labels
    if request.rule.allowed is None:  # classes are measured one by one: those that both filters let through
        both = [set(names) for names in (wanted_truth, wanted_predictions) if names is not None]
        wanted_truth = wanted_predictions = sorted(set.intersection(*both)) if both else None
    truth = _rows(evaluation_outcomes.truths(db, evaluation, filters, wanted_truth, chosen), with_confidence=False)
    found = evaluation_outcomes.predictions(db, evaluation, filters, wanted_predictions, chosen)
    predictions = _rows(found, with_confidence=True)
    reference_ids = evaluation_outcomes.reference_ids(db, evaluation)
    sides = sides_of(truth, predictions, reference_ids, lambda name: name)  # stored classes are classes already
    return Measured(measures.measure(sides, request.rule, areas)[0])


def _rows(found: sqlite3.Cursor, *, with_confidence: bool) -> Rows:
    collector = Rows.collector(with_confidence=with_confidence)
    while some := found.fetchmany(20_000):
        collector.add(some)
    return collector.rows()
