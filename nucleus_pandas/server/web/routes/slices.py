"""The slices of a dataset, and making them."""

from __future__ import annotations

import re
from typing import cast

from flask import Response, redirect, request

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.store import datasets, items, slices
from nucleus_pandas.server.store.ids import dataset_of
from nucleus_pandas.server.web import snippets
from nucleus_pandas.server.web.layers import runs_on
from nucleus_pandas.server.web.page import blueprint, link, page, render
from nucleus_pandas.server.web.routes.grid import asked_for

LONGEST_NAME = 1_000  # characters
_ID = re.compile(r"di_[0-9a-f]+")


@blueprint.get("/datasets/<id:dataset_id>/slices")
def slices_of(dataset_id: str) -> Response:
    """List the slices of a dataset, newest first."""
    with page().nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        found = slices.listing(db, dataset)[::-1]
        runs = runs_on(db, dataset)
    return render("slices.html", dataset=dataset, runs=runs, slices=found, line=snippets.slices(dataset))


@blueprint.get("/slices/<id:slice_id>")
def slice_grid(slice_id: str) -> Response:
    """Go to the images of a slice."""
    with page().nucleus.database.read() as db:
        one = slices.find(db, slice_id)
    return cast(Response, redirect(link("grid", dataset_id=f"ds_{one.dataset_tag}", slice=slice_id), 303))


@blueprint.post("/datasets/<id:dataset_id>/slices")
def make_slice(dataset_id: str) -> Response:
    """Create a slice of the images that are picked, or of all that the grid shows, and go to it."""
    name = request.form.get("name", "").strip()
    if not name or len(name) > LONGEST_NAME:
        raise BadRequestError(f"A slice needs a name of at most {LONGEST_NAME} characters. Go back, and give one.")
    with page().nucleus.database.write() as db:
        dataset = datasets.find(db, dataset_id)
        if request.form.get("what") == "all":
            asked = asked_for(db, dataset)
            if asked.refusal:
                raise BadRequestError(asked.refusal)
            numbers = list(asked.subset.numbers(db))
        else:
            wanted = [given for given in request.form.getlist("item") if _ID.fullmatch(given)]
            known = items.existing(db, wanted)
            numbers = [known[given] for given in wanted if given in known and dataset_of(known[given]) == dataset.id]
        if not numbers:
            raise BadRequestError("Tick the images that belong to the slice first; go back, and tick some.")
        made = slices.create(db, dataset, name, numbers)
    return cast(Response, redirect(link("grid", dataset_id=dataset_id, slice=made.public_id), 303))
