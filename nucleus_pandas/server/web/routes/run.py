"""The metrics of a run, its errors, and its confusion matrix."""

from __future__ import annotations

from collections import Counter
from math import isnan
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from flask import Response, request

from nucleus_pandas._util.html import isolated, isolated_text
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS
from nucleus_pandas.server.store import datasets, models
from nucleus_pandas.server.store.matches import choose_source, sources_of
from nucleus_pandas.server.web import charts, run_metrics, snippets
from nucleus_pandas.server.web.facets import assign_colours
from nucleus_pandas.server.web.filters import run_parameters, threshold_number
from nucleus_pandas.server.web.formatting import label_key
from nucleus_pandas.server.web.page import blueprint, link, page, render, waiting
from nucleus_pandas.server.web.result_cache import Pending
from nucleus_pandas.server.web.run_metrics import LabelMetrics, RunMetrics

LABELS = 40
"""Labels in the confusion matrix."""
ROWS = 300
"""Labels in the table."""
_CONFUSIONS = 15  # listed
_SORTS = ("truths", "predictions", "ap", "ap50", "tp", "fp", "fn", "misplaced", "precision", "recall", "f1")


class Cell(NamedTuple):
    """A cell of the confusion matrix."""

    truth: str | None
    predicted: str | None
    size: int
    heat: int
    is_correct: bool
    query: str  # of the URL of its examples


@blueprint.get("/runs/<id:run_id>")
def run(run_id: str) -> Response:
    """Show a run."""
    threshold = threshold_number()
    nucleus = page().nucleus
    with nucleus.database.read() as db:
        run = models.find_run(db, run_id)
        run_datasets = [datasets.by_number(db, number) for number in models.datasets_of(db, run)]
        assign_colours(db, run_datasets)
        sources = sources_of(db, run)
        shared: dict[str, Any] = {
            "run": run, "model": models.find(db, run_id), "datasets": run_datasets, "sources": sources,
            "threshold": threshold, "thresholds": THRESHOLDS,
        }  # fmt: skip
        if not sources:
            return render("run_open.html", **shared)
        source = choose_source(sources, run, request.args.get("by"))
        computation = run_metrics.metrics_computation(db, source)
    shared |= {"source": source, "kept": run_parameters(source, threshold)}
    try:
        metrics = run_metrics.metrics_of(nucleus, page().cache, source, computation)
    except Pending:
        return waiting(**shared)
    return render(
        "run.html",
        **shared,
        **_tables(metrics, threshold),
        examples_at=link("examples", run_id=run_id, **shared["kept"]),
        lines=snippets.evaluation(run, source, THRESHOLDS[threshold]),
    )


def _tables(metrics: RunMetrics, threshold: int) -> dict[str, Any]:
    rows = run_metrics.per_class(metrics, threshold)
    frequent = [row.label for row in rows]
    listed = frequent[:LABELS]
    sort = request.args.get("sort", "")
    cells = run_metrics.confusion(metrics, threshold)
    bins, highest = charts.draw_bars(run_metrics.histogram(metrics, threshold))
    confused = [(a, b, n) for (a, b), n in cells.items() if a is not None and b is not None and a != b]
    tide = run_metrics.errors(metrics)
    return {
        "metrics": metrics,
        "measures": metrics.measures,
        "total": run_metrics.total(rows),
        "rows": _sorted(rows, sort)[:ROWS],
        "more_rows": max(0, len(rows) - ROWS),
        "sort": sort,
        "curves": [] if metrics.measures is None else charts.draw_curves(metrics.measures, threshold, frequent),
        "curve_plot": charts.CURVE_PLOT,
        "bar_plot": charts.BAR_PLOT,
        "bars": bins,
        "bar_most": highest,
        "bar_ticks": charts.ticks(highest),
        "matrix": _matrix(cells, listed),
        "matrix_labels": [(label, isolated(label, 24, tooltip=False), isolated_text(label, 60)) for label in listed],
        "matrix_more": max(0, len(frequent) - LABELS),
        "mistakes": sorted(confused, key=lambda cell: (-cell[2], cell[0], cell[1]))[:_CONFUSIONS],
        "tide": tide,
        "tide_most": max((count for _, count in tide), default=0),
    }


def _sorted(rows: list[LabelMetrics], sort: str) -> list[LabelMetrics]:
    """Return the rows by label, or by a number in descending order; labels without it are last."""
    if sort == "label":
        return sorted(rows, key=lambda row: row.label.lower())

    def key(row: LabelMetrics) -> float:
        number = getattr(row, sort)
        return 2.0 if number is None or isnan(number) else -number

    return sorted(rows, key=key) if sort in _SORTS else rows


def _matrix(counts: Counter[tuple[str | None, str | None]], labels: list[str]) -> list[tuple[str | None, list[Cell]]]:
    """Return the cells, a row for each label of the ground truth, the background last."""
    names: list[str | None] = [*labels, None]
    quoted = {label: quote_plus(label_key(label)) for label in labels}
    matrix = []
    for truth in names:
        highest = max((counts[truth, predicted] for predicted in names), default=0)
        row = []
        for predicted in names:
            count = counts[truth, predicted] if truth is not None or predicted is not None else 0
            heat = 0 if not count else 1 + round(8 * count / highest)
            query = "" if truth is None else f"&truth={quoted[truth]}"
            query += "" if predicted is None else f"&predicted={quoted[predicted]}"
            query += "&alone=1" if truth is None or predicted is None else ""
            row.append(Cell(truth, predicted, count, heat, truth == predicted and truth is not None, query))
        matrix.append((truth, row))
    return matrix
