"""Lists: all datasets, and the runs and slices of one."""

from __future__ import annotations

import re
from typing import cast

from flask import Response, redirect, request

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.store import datasets, items, models, slices
from nucleus_pandas.server.store.ids import dataset_of
from nucleus_pandas.server.web import snippets
from nucleus_pandas.server.web.filters import image_query
from nucleus_pandas.server.web.page import blueprint, link, page, render

LONGEST_NAME = 1_000  # characters
_ITEM_ID = re.compile(r"di_[0-9a-f]+")


@blueprint.get("/", endpoint="datasets")
def all_datasets() -> Response:
    """List the datasets, newest first."""
    with page().nucleus.database.read() as db:
        return render("datasets.html", datasets=datasets.entries(db))


@blueprint.get("/datasets/<id:dataset_id>/runs")
def runs(dataset_id: str) -> Response:
    """List the runs on a dataset, newest first."""
    return _list("runs.html", dataset_id)


@blueprint.get("/datasets/<id:dataset_id>/slices")
def slices_of(dataset_id: str) -> Response:
    """List the slices of a dataset, newest first."""
    return _list("slices.html", dataset_id)


def _list(template: str, dataset_id: str) -> Response:
    with page().nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        return render(
            template,
            dataset=dataset,
            runs=models.runs_on(db, dataset),
            slices=slices.listing(db, dataset)[::-1],
            line=snippets.slices(dataset),
        )


@blueprint.get("/slices/<id:slice_id>")
def slice_grid(slice_id: str) -> Response:
    """Redirect to the images of a slice."""
    with page().nucleus.database.read() as db:
        dataset_tag = slices.find(db, slice_id).dataset_tag
    return cast(Response, redirect(link("grid", dataset_id=f"ds_{dataset_tag}", slice=slice_id), 303))


@blueprint.post("/datasets/<id:dataset_id>/slices")
def create_slice(dataset_id: str) -> Response:
    """Create a slice of the selected images, or of all that match the filters, and redirect to it."""
    name = request.form.get("name", "").strip()
    if not name or len(name) > LONGEST_NAME:
        raise BadRequestError(f"A slice needs a name of at most {LONGEST_NAME} characters. Go back and enter one.")
    with page().nucleus.database.write() as db:
        dataset = datasets.find(db, dataset_id)
        if request.form.get("what") == "all":
            selected = image_query(db, dataset)
            if selected.error:
                raise BadRequestError(selected.error)
            numbers = list(selected.subset.numbers(db))
        else:
            item_ids = [item_id for item_id in request.form.getlist("item") if _ITEM_ID.fullmatch(item_id)]
            number_of = items.existing(db, item_ids)
            numbers = [number_of[item_id] for item_id in item_ids if item_id in number_of]
            numbers = [number for number in numbers if dataset_of(number) == dataset.id]
        if not numbers:
            raise BadRequestError("No image is selected. Go back and select the images of the slice.")
        slice_id = slices.create(db, dataset, name, numbers).public_id
    return cast(Response, redirect(link("grid", dataset_id=dataset_id, slice=slice_id), 303))
