"""Two runs side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import Response, request

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS, EngineMetrics
from nucleus_pandas.server.store import datasets, models
from nucleus_pandas.server.store.matches import choose_source, sources_of
from nucleus_pandas.server.web import charts, run_metrics
from nucleus_pandas.server.web.facets import paint
from nucleus_pandas.server.web.page import blueprint, page, render
from nucleus_pandas.server.web.result_cache import Pending
from nucleus_pandas.server.web.routes.run import ROWS, chosen_threshold, waiting
from nucleus_pandas.server.web.run_metrics import LabelDifference, LabelMetrics, RunMetrics
from nucleus_pandas.server.web.snippets import compare_line

_ABSENT = LabelMetrics("", 0, 0, 0, 0, 0, 0, None, None, None)


class Number(NamedTuple):
    """A number of both runs, and how much larger the second one is."""

    name: str
    first: Any
    second: Any
    difference: Any
    better: int  # 1 where the second run is better, -1 where it is worse


class Label(NamedTuple):
    """A label in both runs."""

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
    names = list(dict.fromkeys(filter(None, request.args.getlist("run"))))
    if len(names) != 2:
        raise BadRequestError("Choose two runs to compare; go back and tick two.")
    threshold = chosen_threshold()
    memory, nucleus = page().memory, page().nucleus
    with nucleus.database.read() as db:
        runs = [models.find_run(db, name) for name in names]
        sources = [choose_source(sources_of(db, run), run, None) for run in runs]
        first, second = sources
        if set(first.datasets) != set(second.datasets):
            raise BadRequestError("These two runs are on different datasets, so there is nothing to compare.")
        on = [datasets.by_number(db, number) for number in first.datasets]
        paint(page().nucleus, page().memory, db, on)
        asked = [run_metrics.metrics_question(db, source) for source in sources]
        versus = run_metrics.differences_question(db, first, second, threshold)
    shared: dict[str, Any] = {
        "runs": runs,
        "datasets": on,
        "threshold": threshold,
        "thresholds": THRESHOLDS,
        "kept": {"iou": f"{THRESHOLDS[threshold]:g}"},
    }
    found: list[RunMetrics] = []
    alone: list[LabelDifference] | None = None
    try:
        found = [run_metrics.metrics_of(nucleus, memory, *pair) for pair in zip(sources, asked, strict=True)]
        alone = run_metrics.differences_of(nucleus, memory, first, second, versus)
    except Pending:
        return waiting(**shared, run=runs[0], model=models_of(runs[0].model_tag), created_at="")
    same_rule = runs[0].parameters == runs[1].parameters
    tables = [run_metrics.per_class(one, threshold) for one in found]
    labels = _labels(tables, alone)
    if request.args.get("sort") == "difference":
        labels.sort(key=lambda row: (row.difference is None, row.difference or 0.0, row.label))
    return render(
        "compare.html",
        **shared,
        numbers=_numbers([one.measures for one in found], [run_metrics.total(rows) for rows in tables]),
        labels=labels[:ROWS],
        more_rows=max(0, len(labels) - ROWS),
        sort=request.args.get("sort", ""),
        only_counts=[sum(row.only_first for row in labels), sum(row.only_second for row in labels)],
        curves=[
            None
            if one.measures is None or not one.measures.classes
            else charts.draw_curves(one.measures, threshold, [])[-1]
            for one in found
        ],
        curve_plot=charts.CURVE_PLOT,
        stale=any(one.stale for one in found),
        reasons=list(dict.fromkeys(one.reason for one in found if one.reason)),
        same_rule=same_rule,
        line=compare_line(runs[0], runs[1], THRESHOLDS[threshold]) if same_rule else None,
    )


def models_of(tag: str) -> Any:
    """Find a model."""
    with page().nucleus.database.read() as db:
        return models.find(db, f"prj_{tag}")


def _numbers(measured: list[EngineMetrics | None], totals: list[LabelMetrics]) -> list[Number]:
    one, two = measured
    found = []
    if one is not None and two is not None:
        names = {"AP": "map_at_50_95", "AP50": "map_at_50", "AP75": "map_at_75"}
        names |= {"AP, small": "small", "AP, medium": "medium", "AP, large": "large"}
        found += [_number(name, getattr(one, field), getattr(two, field)) for name, field in names.items()]
    first, second = totals
    found += [
        _number("Precision", first.precision, second.precision),
        _number("Recall", first.recall, second.recall),
        _number("F1", first.f1, second.f1),
        _number("True positives", first.tp, second.tp),
        _number("False positives", first.fp, second.fp, less=True),
        _number("False negatives", first.fn, second.fn, less=True),
    ]
    return found


def _number(name: str, first: Any, second: Any, *, less: bool = False) -> Number:
    if first is None or second is None:
        return Number(name, first, second, None, 0)
    difference = second - first
    sign = (difference > 1e-9) - (difference < -1e-9)
    return Number(name, first, second, difference, -sign if less else sign)


def _labels(tables: list[list[LabelMetrics]], alone: list[LabelDifference]) -> list[Label]:
    """Join the tables of both runs, the most frequent label first."""
    first, second = ({row.label: row for row in rows} for rows in tables)
    only = {one.label: one for one in alone}
    found = []
    for label in dict.fromkeys([*first, *second]):
        one, two = first.get(label, _ABSENT), second.get(label, _ABSENT)
        both = one.ap is not None and two.ap is not None
        found.append(
            Label(
                label,
                max(one.truths, two.truths),
                one.ap,
                two.ap,
                round((two.ap or 0.0) - (one.ap or 0.0), 4) if both else None,
                only[label].first if label in only else 0,
                only[label].second if label in only else 0,
            )
        )
    return sorted(found, key=lambda row: (-row.truths, row.label))
