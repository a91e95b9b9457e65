"""The layers that can be laid over images: ground truth, and the predictions of runs."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import item_range
from nucleus_pandas.server.store.layers import AnnotationLayer, AnnotationRow

_COLUMNS = ", ".join(AnnotationRow._fields)


class RunEntry(NamedTuple):
    """A run as lists show it."""

    number: int
    id: str
    name: str
    model_id: str
    model: str
    created_at: str
    committed_at: str | None
    arrivals: int


class Named(NamedTuple):
    """A layer with what it is called."""

    name: str
    layer: AnnotationLayer
    run: RunEntry | None


def runs_on(db: sqlite3.Connection, dataset: Dataset) -> list[RunEntry]:
    """List the runs that can have predictions on a dataset, newest first."""
    first, end = item_range(dataset.id)
    rows = db.execute(
        "SELECT run.id, run.tag, run.name, model.tag, model.name, run.created_at, run.committed_at, run.arrivals"
        " FROM run JOIN model ON model.id = run.model WHERE NOT run.deleted AND (run.dataset = :dataset OR"
        " run.dataset IS NULL AND EXISTS (SELECT 1 FROM prediction WHERE prediction.run = run.id AND item >= :first"
        " AND item < :end)) ORDER BY run.id DESC",
        {"dataset": dataset.id, "first": first, "end": end},
    )
    return [
        RunEntry(number, f"run_{tag}", name or model, f"prj_{model_tag}", model, *rest)
        for number, tag, name, model_tag, model, *rest in rows
    ]


def ground_truth(dataset: Dataset) -> Named:
    """Return the layer of the ground truth."""
    return Named("Ground truth", AnnotationLayer(None, ("dataset", dataset.id)), None)


def predictions(run: RunEntry) -> Named:
    """Return the layer of a run."""
    return Named(run.name, AnnotationLayer(run.number, ("run", run.number)), run)


def some_of(
    db: sqlite3.Connection, layer: AnnotationLayer, item: int, limit: int, after: int = -1
) -> list[AnnotationRow]:
    """Read the first annotations of an item, from behind an arrival."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM {layer.table} WHERE {layer.where}item = ? AND arrival > ? ORDER BY item, arrival"
        " LIMIT ?",
        (*layer.owners, item, after, limit),
    )
    return list(map(AnnotationRow._make, rows))
