"""One image with its boxes and metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from flask import Response, request

from nucleus_pandas._util.html import cut
from nucleus_pandas.server.store import datasets, items
from nucleus_pandas.server.store.ids import item_id as public_item_id
from nucleus_pandas.server.store.ids import position_of
from nucleus_pandas.server.store.subsets import Subset
from nucleus_pandas.server.web import annotation_rows, snippets
from nucleus_pandas.server.web.annotation_rows import RowRange, Section
from nucleus_pandas.server.web.facets import facets_of
from nucleus_pandas.server.web.figures import figure
from nucleus_pandas.server.web.filters import filter_parameters, image_query, selected_runs, whole_number
from nucleus_pandas.server.web.formatting import value
from nucleus_pandas.server.web.page import blueprint, link, page, render

RUNS = 4
"""Runs laid over an image at once."""
_NEIGHBOUR_SECONDS = 0.06  # for the search of the previous and of the next image
_METADATA = 200_000  # characters of metadata on a page
_KEYS = 500  # of metadata on a page
_NAMED = 60  # rows; the labels of more would hide the image


@blueprint.get("/datasets/<id:dataset_id>/items/<id:item_id>")
def item(dataset_id: str, item_id: str) -> Response:
    """Show an image with its boxes, and a row for each."""
    with page().nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        row = items.by_item_id(db, dataset, item_id)
        facets_of(db, dataset)
        selected = image_query(db, dataset)
        shown_runs = selected_runs(selected.runs)[:RUNS]
        ranges = [_range(layer) for layer in range(len(shown_runs) + 1)]
        sections = annotation_rows.sections(db, dataset, row.id, shown_runs, ranges, selected.filters.threshold)
        subset = selected.subset
        position = subset.position(db, row.id)
        if position is None:  # it is not in the slice
            subset, position = Subset(dataset), position_of(row.id)
        rank = subset.rank(db, position)
        before = subset.scan(db, start=position, limit=1, direction="backward", seconds=_NEIGHBOUR_SECONDS).rows
        after = subset.scan(db, start=position + 1, limit=1, seconds=_NEIGHBOUR_SECONDS).rows
    run_ids = [run.id for run in shown_runs]

    def url(number: int, runs: Sequence[str]) -> str:
        public_id = public_item_id(dataset.tag, number)
        return link("item", dataset_id=dataset_id, item_id=public_id, **filter_parameters() | {"run": runs})

    return render(
        "item.html",
        dataset=dataset,
        item=row,
        item_id=item_id,
        rank=rank,
        subset=subset,
        threshold=selected.filters.threshold,
        figure=figure(row, [[shown.drawn for shown in section.rows] for section in sections], small=False),
        sections=sections,
        following=[_following(layer, section) for layer, section in enumerate(sections)],
        undrawn=Counter((shown.type, shown.undrawn) for section in sections for shown in section.rows if shown.undrawn),
        metadata=_metadata(row.metadata),
        shown_runs=shown_runs,
        others=[run for run in selected.runs if run not in shown_runs] if len(shown_runs) < RUNS else [],
        with_run=lambda run: url(row.id, [*run_ids, run.id]),
        without_run=lambda run: url(row.id, [run_id for run_id in run_ids if run_id != run.id]),
        before=url(before[0].id, run_ids) if before else None,
        after=url(after[0].id, run_ids) if after else None,
        back=link("grid", dataset_id=dataset_id, **filter_parameters() | {"start": position, "run": run_ids[:1]}),
        lines=snippets.boxes(dataset, item_id, run_ids),
        names=sum(len(section.rows) for section in sections) <= _NAMED,
        highlight=" ".join(section.highlight for section in sections[1::-1] if section.highlight),
    )


def _range(layer: int) -> RowRange:
    """Return which rows of a layer the URL selects."""
    name = {0: "see_truth", 1: "see"}.get(layer)
    return RowRange(whole_number(f"after_{layer}", -1), request.args.get(name) if name else None)


def _following(layer: int, section: Section) -> str | None:
    """Return the URL of the next rows of a layer."""
    if section.after is None:
        return None
    parameters: dict[str, Any] = request.args.to_dict(flat=False)
    return link("item", **(request.view_args or {}), **parameters | {f"after_{layer}": section.after})


def _metadata(text: str | None) -> list[tuple[str, str]]:
    """Return the metadata as strings, the longest shortened where all of them would make the page too large."""
    metadata = {} if text is None else msgspec.json.decode(text)
    pairs = [(key, value(entry)) for key, entry in metadata.items()][:_KEYS]
    limit = _METADATA
    while limit > 50 and sum(min(len(part), limit) for pair in pairs for part in pair) > _METADATA:
        limit //= 2
    return [(cut(key, limit), cut(entry, limit)) for key, entry in pairs]
