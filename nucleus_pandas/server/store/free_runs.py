"""Predictions that belong to a model and to no run: they lie in a run of their own, which nobody else sees."""

from __future__ import annotations

import sqlite3

from nucleus_pandas.server.store import models
from nucleus_pandas.server.store.ids import owner_sql
from nucleus_pandas.server.store.models import Model, Run
from nucleus_pandas.wire.requests import CreateModelRun

TYPES = ("box", "polygon", "cuboid")


def find(db: sqlite3.Connection, model: Model) -> Run | None:
    """Return the run that holds such predictions of a model; None where it never had any."""
    return models.run_where(db, "run.id = (SELECT run FROM free_run WHERE model = ?)", model.id)


def find_or_make(db: sqlite3.Connection, model: Model) -> Run:
    """Return the run that is to hold such predictions of a model."""
    run = find(db, model)
    if run is None:
        run = models.create_run(db, model, None, CreateModelRun())
        db.execute("INSERT INTO free_run VALUES (?, ?)", (model.id, run.id))
    return run


def copy(db: sqlite3.Connection, source: Run, model: Model) -> tuple[int, int]:
    """Copy the predictions of a run; those whose ids their items have already are left out.

    Returns
    -------
    (int, int)
        How many were copied, and how many were not since they are of other types.
    """
    into = find_or_make(db, model)
    there = f"{owner_sql('item')} IN (SELECT id FROM dataset WHERE NOT deleted)"
    of_type = f"type IN ({', '.join(map(repr, TYPES))})"
    (arrivals,) = db.execute("SELECT arrivals FROM run WHERE id = ?", (into.id,)).fetchone()
    copied = db.execute(
        "INSERT INTO prediction SELECT ?, item, arrival + ?, key, type, label, x, y, width, height, geometry,"
        f" confidence, metadata, extra FROM prediction WHERE run = ? AND {of_type} AND {there}"
        " ON CONFLICT (run, item, key) DO NOTHING",
        (into.id, arrivals, source.id),
    ).rowcount
    db.execute(
        "UPDATE run SET arrivals = arrivals + (SELECT arrivals FROM run AS source WHERE source.id = ?) WHERE id = ?",
        (source.id, into.id),
    )
    (skipped,) = db.execute(
        f"SELECT count(*) FROM prediction WHERE run = ? AND NOT {of_type} AND {there}", (source.id,)
    ).fetchone()
    return copied, skipped
