"""The first page: all datasets."""

from __future__ import annotations

from flask import Response

from nucleus_pandas.server.web.page import blueprint, page, render


@blueprint.get("/")
def datasets() -> Response:
    """List the datasets, newest first."""
    with page().nucleus.database.read() as db:
        rows = db.execute(
            "SELECT tag, name, length, created_at, (SELECT count(*) FROM run WHERE run.dataset = dataset.id AND NOT"
            " run.deleted) FROM dataset WHERE NOT deleted ORDER BY id DESC"
        ).fetchall()
    names = ("id", "name", "length", "created_at", "runs")
    found = [dict(zip(names, (f"ds_{tag}", *rest), strict=True)) for tag, *rest in rows]
    return render("datasets.html", datasets=found)
