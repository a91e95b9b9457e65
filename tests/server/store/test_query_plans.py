"""Searches of annotations and predictions read the rows of each image, not all rows for each image."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.server.store.database import Database


@contextmanager
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, sqlite3.Connection]]]:
    """Record the statements of all connections, with their values filled in."""
    found: list[tuple[str, sqlite3.Connection]] = []
    connect = Database._connect

    def tracing(self: Database) -> sqlite3.Connection:
        db = connect(self)
        db.set_trace_callback(lambda sql: found.append((sql, db)))
        return db

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_connect", tracing)
        yield found


@pytest.mark.parametrize("kind", ["annotations", "predictions"])
@pytest.mark.parametrize("in_slice", [False, True])
def test_rows_of_a_query_are_searched_by_their_image(
    store: Any, monkeypatch: pytest.MonkeyPatch, kind: str, in_slice: bool
) -> None:
    with statements(monkeypatch) as found, npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("D")
        pd.DataFrame({"reference_id": ["a", "b"], "image_url": "https://example.org/x"}).nucleus.append(dataset)
        boxes = pd.DataFrame(
            {"reference_id": ["a", "b"], "label": "car", "x": 1.0, "y": 1.0, "width": 5.0, "height": 5.0}
        )
        boxes.nucleus.annotate(dataset)
        run = dataset.create_model_run(client.add_model("M", reference_id="m"))
        boxes.assign(confidence=0.9).nucleus.predict(run)
        rows = dataset.create_slice("s", ["a", "b"]) if in_slice else dataset
        del found[:]
        options: Any = {"run": run} if kind == "predictions" else {}
        assert len(rows.query("label = 'car'", kind=kind, **options)) == 2
        selects = [(sql, db) for sql, db in found if sql.startswith("SELECT") and " AS object" in sql]
        assert selects
        for sql, db in selects:
            db.set_trace_callback(None)
            plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}"))
            assert "SEARCH object USING" in plan
            assert "item=?" in plan.partition("SEARCH object USING")[2], plan
