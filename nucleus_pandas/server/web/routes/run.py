"""One run: what it found, what it confused, what it missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from flask import Response, request

from nucleus_pandas._util.html import isolated, isolated_text
from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS
from nucleus_pandas.server.store import datasets, models, slices
from nucleus_pandas.server.store.matches import COMMIT, MatchSource, choose_source, sources_of
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.web import charts, run_metrics
from nucleus_pandas.server.web.facets import paint
from nucleus_pandas.server.web.formatting import label_key
from nucleus_pandas.server.web.layers import runs_on
from nucleus_pandas.server.web.page import blueprint, link, page, render
from nucleus_pandas.server.web.result_cache import Pending
from nucleus_pandas.server.web.run_metrics import LabelMetrics, RunMetrics

LABELS = 40
"""Labels in the confusion matrix."""
ROWS = 300
"""Labels in the table."""
_CONFUSIONS = 15  # in the list of the largest ones
_SORTED: dict[str, Callable[[LabelMetrics], Any]] = {
    "label": lambda row: row.label.lower(),
    "truths": lambda row: -row.truths,
    "predictions": lambda row: -row.predictions,
    "ap": lambda row: _down(row.ap),
    "ap50": lambda row: _down(row.ap50),
    "tp": lambda row: -row.tp,
    "fp": lambda row: -row.fp,
    "fn": lambda row: -row.fn,
    "misplaced": lambda row: -row.misplaced,
    "precision": lambda row: _down(row.precision),
    "recall": lambda row: _down(row.recall),
    "f1": lambda row: _down(row.f1),
}


def _down(number: float | None) -> float:
    return 2.0 if number is None or number != number else -number


def chosen_threshold() -> int:
    """Return the number of the IoU threshold in the address."""
    text = request.args.get("iou") or "0.5"
    for at, threshold in enumerate(THRESHOLDS):
        if text in (f"{threshold:.2f}", f"{threshold:g}"):
            return at
    raise BadRequestError(f"`iou` is one of 0.5, 0.55, … 0.95, not '{text[:20]}'.")


class Cell(NamedTuple):
    """A cell of the confusion matrix."""

    truth: str | None
    predicted: str | None
    many: int
    heat: int
    is_right: bool
    query: str  # of the address of its examples


@blueprint.get("/runs/<id:run_id>")
def run(run_id: str) -> Response:
    """Show a run."""
    threshold = chosen_threshold()
    nucleus = page().nucleus
    with nucleus.database.read() as db:
        one = models.find_run(db, run_id)
        model = models.find(db, f"prj_{one.model_tag}")
        on = [datasets.by_number(db, number) for number in models.datasets_of(db, one)]
        paint(page().nucleus, page().memory, db, on)
        sources = sources_of(db, one)
        (created_at,) = db.execute("SELECT created_at FROM run WHERE id = ?", (one.id,)).fetchone()
        shared: dict[str, Any] = {
            "run": one, "model": model, "datasets": on, "sources": sources, "created_at": created_at,
            "threshold": threshold, "thresholds": THRESHOLDS,
        }  # fmt: skip
        if not sources:
            return render("run_open.html", **shared)
        source = choose_source(sources, one, request.args.get("by"))
        asked = run_metrics.metrics_question(db, source)
    shared |= {"source": source, "kept": kept(source, threshold)}
    try:
        found = run_metrics.metrics_of(nucleus, page().memory, source, asked)
    except Pending:
        return waiting(**shared)
    return render(
        "run.html",
        **shared,
        **_tables(found, threshold),
        examples_at=link("examples", run_id=run_id, **shared["kept"]),
        lines=_lines(one, source, threshold),
    )


def waiting(**values: Any) -> Response:
    """Say that numbers are being computed, and ask again soon."""
    response = render("waiting.html", 202, **values)
    response.headers["Refresh"] = "2"
    return response


def kept(source: MatchSource, threshold: int) -> dict[str, str]:
    """Return what links from a run's page carry on."""
    found = {"iou": f"{THRESHOLDS[threshold]:g}"}
    if request.args.get("by"):
        found["by"] = source.id
    return found


def _tables(found: RunMetrics, threshold: int) -> dict[str, Any]:
    rows = run_metrics.per_class(found, threshold)
    frequent = [row.label for row in rows]
    sort = request.args.get("sort", "")
    cells = run_metrics.confusion(found, threshold)
    bins, most = charts.draw_bars(run_metrics.histogram(found, threshold))
    confused = [(a, b, n) for (a, b), n in cells.items() if a is not None and b is not None and a != b]
    mistakes = sorted(confused, key=lambda cell: (-cell[2], cell[0], cell[1]))
    ordered = sorted(rows, key=_SORTED[sort]) if sort in _SORTED else rows
    tide = run_metrics.errors(found)
    listed = frequent[:LABELS]
    return {
        "found": found,
        "measures": found.measures,
        "total": run_metrics.total(rows),
        "rows": ordered[:ROWS],
        "more_rows": max(0, len(rows) - ROWS),
        "sort": sort,
        "curves": [] if found.measures is None else charts.draw_curves(found.measures, threshold, frequent),
        "curve_plot": charts.CURVE_PLOT,
        "bar_plot": charts.BAR_PLOT,
        "bars": bins,
        "bar_most": most,
        "bar_ticks": charts.ticks(most),
        "matrix": _matrix(cells, listed),
        "matrix_labels": [
            (label, isolated(label, 24, tooltip=False), isolated_text(label, 60)) for label in frequent[:LABELS]
        ],
        "matrix_more": max(0, len(frequent) - LABELS),
        "mistakes": mistakes[:_CONFUSIONS],
        "tide": tide,
        "tide_most": max((count for _, count in tide), default=0),
    }


def _matrix(cells: Any, labels: list[str]) -> list[tuple[str | None, list[Cell]]]:
    """Lay the cells out, a row for each label of the ground truth, the background last."""
    names: list[str | None] = [*labels, None]
    quoted = {label: quote_plus(label_key(label)) for label in labels}
    found = []
    for truth in names:
        most = max((cells[truth, predicted] for predicted in names), default=0)
        row = []
        for predicted in names:
            count = cells[truth, predicted] if truth is not None or predicted is not None else 0
            heat = 0 if not count else 1 + round(8 * count / most)
            query = "" if truth is None else f"&truth={quoted[truth]}"
            query += "" if predicted is None else f"&predicted={quoted[predicted]}"
            query += "&alone=1" if truth is None or predicted is None else ""
            row.append(Cell(truth, predicted, count, heat, truth == predicted and truth is not None, query))
        found.append((truth, row))
    return found


def _lines(one: Run, source: MatchSource, threshold: int) -> list[str]:
    name = f'client.get_model_run("{one.public_id}")'
    if source.id != COMMIT:
        return [f"{name}.evaluate(iou_threshold={THRESHOLDS[threshold]:g}).summary"]
    evaluate = f"{name}.evaluate(iou_threshold={THRESHOLDS[threshold]:g})"
    return [f"{evaluate}.per_class", f"{evaluate}.confusion_matrix"]


@blueprint.get("/datasets/<id:dataset_id>/runs")
def runs(dataset_id: str) -> Response:
    """List the runs on a dataset, newest first."""
    with page().nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        found = runs_on(db, dataset)
        known = slices.listing(db, dataset)
    return render("runs.html", dataset=dataset, runs=found, slices=known)
