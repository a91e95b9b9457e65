"""The images of a dataset, a page at a time."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple, cast

from flask import Response, redirect

from nucleus_pandas.server.evaluation.metrics import THRESHOLDS
from nucleus_pandas.server.store import datasets, layers, slices
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import item_id
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.layers import AnnotationRow
from nucleus_pandas.server.store.subsets import Scan, Subset
from nucleus_pandas.server.web import snippets
from nucleus_pandas.server.web.facets import facets_of, offered_labels, predicted_labels
from nucleus_pandas.server.web.figures import Drawn, Figure, figure, shape_of
from nucleus_pandas.server.web.filters import (
    ImageFilters,
    ImageQuery,
    filter_parameters,
    image_query,
    whole_number,
)
from nucleus_pandas.server.web.outcomes import keys_of
from nucleus_pandas.server.web.page import blueprint, link, page, render

PAGE = 48  # images
_SHAPES = 40  # drawn on a small image, of each layer


class Card(NamedTuple):
    """An image of the grid."""

    id: str
    reference_id: str
    figure: Figure
    counts: list[int]


@blueprint.get("/datasets/<id:dataset_id>")
def grid(dataset_id: str) -> Response:
    """Show a page of images."""
    with page().nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        selected = image_query(db, dataset)
        subset = selected.subset
        if (number := whole_number("at", None)) is not None:
            return _to_image(db, subset, number)
        facets = facets_of(db, dataset)
        scan = _scan(db, subset) if not selected.error else Scan([], 0, 0)
        cards = _cards(db, dataset, scan.rows, selected)
        first = subset.position(db, scan.rows[0].id) if scan.rows and not subset.has_condition else None
        first_rank = None if first is None else subset.rank(db, first)
        positions = subset.positions(db)
        dataset_slices = slices.listing(db, dataset)
    kept = filter_parameters()

    def url(**position: int) -> str:
        return link("grid", dataset_id=dataset_id, **kept, **position)

    return render(
        "grid.html",
        dataset=dataset,
        runs=selected.runs,
        run=selected.run,
        filters=selected.filters,
        error=selected.error,
        cards=cards,
        most=PAGE,
        first_rank=first_rank,
        subset=subset,
        slices=dataset_slices[::-1],
        kept=kept,
        kept_short=filter_parameters(short=True),
        labels=offered_labels(facets, predicted_labels(dataset, selected.run)),
        metadata=facets.metadata,
        thresholds=THRESHOLDS,
        before=url(until=scan.first) if scan.first > 0 else None,
        after=url(start=scan.end) if scan.end < positions and not selected.error else None,
        first=url(),
        last=url(until=positions),
        searched=scan.end - scan.first,
        lines=_lines(selected, first_rank, [card.id for card in cards]),
    )


def _to_image(db: sqlite3.Connection, subset: Subset, number: int) -> Response:
    """Redirect to the page that begins with the image of a number, counted from 1."""
    item = subset.at_positions(db, [max(0, min(number, subset.length) - 1)])[0]
    start = None if item is None else subset.position(db, item)
    return cast(
        Response, redirect(link("grid", dataset_id=subset.dataset.public_id, **filter_parameters(), start=start), 303)
    )


def _scan(db: sqlite3.Connection, subset: Subset) -> Scan:
    until = whole_number("until", None)
    if until is None:
        return subset.scan(db, start=whole_number("start", 0), limit=PAGE)
    scan = subset.scan(db, start=until, limit=PAGE, direction="backward")
    if scan.first == 0 and len(scan.rows) < PAGE:  # the first page is a full one
        return subset.scan(db, start=0, limit=PAGE)
    return scan


def _lines(selected: ImageQuery, first: int | None, ids: list[str]) -> list[str]:
    subset = selected.subset
    if selected.error or not ids:
        return []
    if first is not None:
        return [snippets.positions(subset, first, len(ids))]
    line = snippets.items(subset.dataset, ids)
    return [snippets.query(subset, selected.filters.query), line] if selected.filters.is_query else [line]


def _cards(db: sqlite3.Connection, dataset: Dataset, rows: list[ItemRow], selected: ImageQuery) -> list[Card]:
    shown = [dataset.layer, *([] if selected.run is None else [selected.run.layer])]
    counts = [layers.counts(db, layer, [row.id for row in rows]) for layer in shown]
    source, filters = selected.source, selected.filters
    condition = None if source is None else filters.outcomes().condition(source)
    cards = []
    for row in rows:
        matching = None if condition is None or source is None else keys_of(db, source, condition, row.id)
        drawn = []
        for side, (layer, count_of) in enumerate(zip(shown, counts, strict=True)):
            boxes = layers.page_of_item(db, layer, row.id, _SHAPES) if row.id in count_of else []
            keys = None if matching is None else matching[side]
            shapes = [(box, shape_of(box, small=True, guess=side > 0)) for box in boxes]
            drawn.append([Drawn(shape, words=_classes(box, keys, filters)) for box, shape in shapes])
        image = figure(row, drawn, small=True)
        cards.append(
            Card(
                item_id(dataset.tag, row.id), row.reference_id, image, [count_of.get(row.id, 0) for count_of in counts]
            )
        )
    return cards


def _classes(row: AnnotationRow, keys: set[str | None] | None, filters: ImageFilters) -> str:
    """Return the style classes of a box: one that does not pass the filters is faint."""
    if keys is not None:
        return "" if row.key in keys else "off"
    low, high = filters.confidence
    passes = not filters.label or row.label == filters.label
    if row.confidence is not None:
        passes &= (low is None or row.confidence >= low) and (high is None or row.confidence <= high)
    return "" if passes else "off"
