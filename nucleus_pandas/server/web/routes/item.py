"""One image with all that is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from flask import Response, request

from nucleus_pandas._util.html import cut
from nucleus_pandas.errors import NotFoundError
from nucleus_pandas.server.store import datasets, items
from nucleus_pandas.server.store.ids import item_id, position_of
from nucleus_pandas.server.store.subsets import Subset
from nucleus_pandas.server.web import annotation_rows, snippets
from nucleus_pandas.server.web.annotation_rows import Section, Wanted
from nucleus_pandas.server.web.facets import describe
from nucleus_pandas.server.web.figures import figure
from nucleus_pandas.server.web.formatting import value
from nucleus_pandas.server.web.layers import RunEntry
from nucleus_pandas.server.web.page import blueprint, link, page, render
from nucleus_pandas.server.web.routes.grid import asked_for, kept_filters, whole

RUNS = 4
"""Runs laid over an image at once."""
_LOOK = 0.06  # seconds, for the image before and for the next one
_METADATA = 200_000  # characters of metadata on a page
_KEYS = 500  # of metadata on a page
_NAMED = 60  # rows; of more the labels would hide the image


@blueprint.get("/datasets/<id:dataset_id>/items/<id:item_id>")
def item(dataset_id: str, item_id: str) -> Response:
    """Show an image with its boxes, and a row for each."""
    with page().nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        row = items.by_item_id(db, dataset, item_id)
        describe(page().nucleus, page().memory, db, dataset)
        asked = asked_for(db, dataset)
        chosen = _chosen(asked.runs)
        wanted = [_wanted(at) for at in range(len(chosen) + 1)]
        sections = annotation_rows.sections(db, dataset, row.id, chosen, wanted, asked.filters.threshold)
        subset = asked.subset
        at = subset.position(db, row.id)
        if at is None:  # it is not in the slice
            subset, at = Subset(dataset), position_of(row.id)
        place = subset.rank(db, at)
        before = subset.scan(db, start=at, limit=1, direction="backward", seconds=_LOOK).rows
        after = subset.scan(db, start=at + 1, limit=1, seconds=_LOOK).rows
    runs = [run.id for run in chosen]

    def address(number: int, runs: Sequence[str]) -> str:
        return link(
            "item", dataset_id=dataset_id, item_id=_public(dataset.tag, number), **kept_filters() | {"run": runs}
        )

    return render(
        "item.html",
        dataset=dataset,
        item=row,
        item_id=item_id,
        place=place,
        subset=subset,
        threshold=asked.filters.threshold,
        figure=figure(row, [[one.drawn for one in section.rows] for section in sections], small=False),
        sections=sections,
        following=[_following(at, section) for at, section in enumerate(sections)],
        undrawn=Counter((one.type, one.undrawn) for section in sections for one in section.rows if one.undrawn),
        metadata=_metadata(row.metadata),
        chosen=chosen,
        others=[run for run in asked.runs if run not in chosen] if len(chosen) < RUNS else [],
        with_run=lambda run: address(row.id, [*runs, run.id]),
        without_run=lambda run: address(row.id, [one for one in runs if one != run.id]),
        before=address(before[0].id, runs) if before else None,
        after=address(after[0].id, runs) if after else None,
        back=link("grid", dataset_id=dataset_id, **kept_filters() | {"start": at, "run": runs[:1]}),
        lines=snippets.boxes(dataset, item_id, runs),
        names=sum(len(section.rows) for section in sections) <= _NAMED,
        see=" ".join(section.seen for section in sections[1::-1] if section.seen),
    )


_public = item_id  # what the address names is called so too


def _chosen(runs: Sequence[RunEntry]) -> list[RunEntry]:
    known = {run.id: run for run in runs}
    found = []
    for wanted in dict.fromkeys(filter(None, request.args.getlist("run"))):
        if wanted not in known:
            raise NotFoundError(f"There is no run '{wanted[:50]}' on this dataset.")
        found.append(known[wanted])
    return found[:RUNS]


def _wanted(layer: int) -> Wanted:
    """Say which rows of a layer the address asks for."""
    name = {0: "see_truth", 1: "see"}.get(layer)
    return Wanted(whole(f"after_{layer}", -1), request.args.get(name) if name else None)


def _following(layer: int, section: Section) -> str | None:
    if section.after is None:
        return None
    asked: dict[str, Any] = request.args.to_dict(flat=False)
    return link("item", **(request.view_args or {}), **asked | {f"after_{layer}": section.after})


def _metadata(text: str | None) -> list[tuple[str, str]]:
    """Return the metadata as texts, the longest ones cut where all of them would make the page too large."""
    found = [] if text is None else [(key, value(one)) for key, one in msgspec.json.decode(text).items()][:_KEYS]
    limit = _METADATA
    while limit > 50 and sum(min(len(one), limit) for pair in found for one in pair) > _METADATA:
        limit //= 2
    return [(cut(key, limit), cut(one, limit)) for key, one in found]
