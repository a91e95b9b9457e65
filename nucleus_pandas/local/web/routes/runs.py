"""The runs of a dataset."""

from __future__ import annotations

from flask import Response

from nucleus_pandas.local.store import datasets, slices
from nucleus_pandas.local.web.layering import runs_on
from nucleus_pandas.local.web.page import blueprint, page, render


@blueprint.get("/datasets/<id:dataset_id>/runs")
def runs(dataset_id: str) -> Response:
    """List the runs on a dataset, newest first."""
    with page().nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        found = runs_on(db, dataset)
        known = slices.listing(db, dataset)
    return render("runs.html", dataset=dataset, runs=found, slices=known)
