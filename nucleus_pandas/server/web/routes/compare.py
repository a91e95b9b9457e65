"""Two runs side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import Response, request

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS, EngineMetrics
from nucleus_pandas.server.store import datasets, models
from nucleus_pandas.server.store.matches import choose_source, sources_of
from nucleus_pandas.server.web import charts, run_metrics
from nucleus_pandas.server.web.facets import assign_colours
from nucleus_pandas.server.web.filters import threshold_number
from nucleus_pandas.server.web.page import blueprint, page, render, waiting
from nucleus_pandas.server.web.result_cache import Pending
from nucleus_pandas.server.web.run_metrics import LabelDifference, LabelMetrics
from nucleus_pandas.server.web.snippets import comparison

ROWS = 300
"""Labels in the table."""
_ABSENT = LabelMetrics("", 0, 0, 0, 0, 0, 0, None, None, None)


class Number(NamedTuple):
    """A number of both runs, and the second minus the first."""

    name: str
    first: Any
    second: Any
    difference: Any
    better: int  # 1 if the second run is better, -1 if it is worse


class ComparedLabel(NamedTuple):
    """The average precision of a label in both runs, and the ground truths that only one of them finds."""

    label: str
    truths: int
    first: float | None
    second: float | None
    difference: float | None
    only_first: int
    only_second: int


@blueprint.get("/compare")
def compare() -> Response:
    """Compare two runs."""
    run_ids = list(dict.fromkeys(filter(None, request.args.getlist("run"))))
    if len(run_ids) != 2:
        raise BadRequestError("Select exactly two runs to compare: go back and tick two.")
    threshold = threshold_number()
    cache, nucleus = page().cache, page().nucleus
    with nucleus.database.read() as db:
        runs = [models.find_run(db, run_id) for run_id in run_ids]
        sources = [choose_source(sources_of(db, run), run, None) for run in runs]
        first, second = sources
        if set(first.datasets) != set(second.datasets):
            raise BadRequestError("These two runs are on different datasets and cannot be compared.")
        run_datasets = [datasets.by_number(db, number) for number in first.datasets]
        assign_colours(db, run_datasets)
        computations = [run_metrics.metrics_computation(db, source) for source in sources]
        differences_computation = run_metrics.differences_computation(db, first, second, threshold)
        model = models.find(db, run_ids[0])
    shared: dict[str, Any] = {
        "runs": runs,
        "datasets": run_datasets,
        "threshold": threshold,
        "thresholds": THRESHOLDS,
        "kept": {"iou": f"{THRESHOLDS[threshold]:g}"},
    }
    try:
        metrics = [run_metrics.metrics_of(nucleus, cache, *pair) for pair in zip(sources, computations, strict=True)]
        differences = run_metrics.differences_of(nucleus, cache, first, second, differences_computation)
    except Pending:
        return waiting(**shared, run=runs[0], model=model)
    same_rule = runs[0].parameters == runs[1].parameters
    tables = [run_metrics.per_class(side, threshold) for side in metrics]
    labels = _labels(tables, differences)
    if request.args.get("sort") == "difference":
        labels.sort(key=lambda row: (row.difference is None, row.difference or 0.0, row.label))
    measures = [side.measures for side in metrics]
    return render(
        "compare.html",
        **shared,
        numbers=_numbers(measures, [run_metrics.total(rows) for rows in tables]),
        labels=labels[:ROWS],
        more_rows=max(0, len(labels) - ROWS),
        sort=request.args.get("sort", ""),
        only_counts=[sum(row.only_first for row in labels), sum(row.only_second for row in labels)],
        curves=[charts.draw_curves(side, threshold, [])[-1] if side and side.classes else None for side in measures],
        curve_plot=charts.CURVE_PLOT,
        stale=any(side.stale for side in metrics),
        reasons=list(dict.fromkeys(side.reason for side in metrics if side.reason)),
        same_rule=same_rule,
        line=comparison(runs[0], runs[1], THRESHOLDS[threshold]) if same_rule else None,
    )


def _numbers(measures: list[EngineMetrics | None], totals: list[LabelMetrics]) -> list[Number]:
    numbers = []
    first_measures, second_measures = measures
    if first_measures is not None and second_measures is not None:
        fields = {"AP": "map_at_50_95", "AP50": "map_at_50", "AP75": "map_at_75"}
        fields |= {"AP, small": "small", "AP, medium": "medium", "AP, large": "large"}
        numbers += [
            _number(name, getattr(first_measures, field), getattr(second_measures, field))
            for name, field in fields.items()
        ]
    first, second = totals
    return [
        *numbers,
        _number("Precision", first.precision, second.precision),
        _number("Recall", first.recall, second.recall),
        _number("F1", first.f1, second.f1),
        _number("True positives", first.tp, second.tp),
        _number("False positives", first.fp, second.fp, less=True),
        _number("False negatives", first.fn, second.fn, less=True),
    ]


def _number(name: str, first: Any, second: Any, *, less: bool = False) -> Number:
    if first is None or second is None:
        return Number(name, first, second, None, 0)
    difference = second - first
    sign = (difference > 1e-9) - (difference < -1e-9)
    return Number(name, first, second, difference, -sign if less else sign)


def _labels(tables: list[list[LabelMetrics]], differences: list[LabelDifference]) -> list[ComparedLabel]:
    """Join the tables of both runs, the most frequent label first."""
    first_rows, second_rows = ({row.label: row for row in rows} for rows in tables)
    difference_of = {row.label: row for row in differences}
    labels = []
    for label in dict.fromkeys([*first_rows, *second_rows]):
        first, second = first_rows.get(label, _ABSENT), second_rows.get(label, _ABSENT)
        only = difference_of.get(label, LabelDifference(label, 0, 0))
        labels.append(
            ComparedLabel(
                label,
                max(first.truths, second.truths),
                first.ap,
                second.ap,
                None if first.ap is None or second.ap is None else round(second.ap - first.ap, 4),
                only.first,
                only.second,
            )
        )
    return sorted(labels, key=lambda row: (-row.truths, row.label))
