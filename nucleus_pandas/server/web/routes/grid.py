"""The images of a dataset, a page at a time."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple, TypeVar, cast

from flask import Response, redirect, request

from nucleus_pandas.errors import BadRequestError, NotFoundError, UnsupportedError
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS
from nucleus_pandas.server.store import datasets, layers, models, slices
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import POSITION, item_id
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.layers import AnnotationRow
from nucleus_pandas.server.store.matches import MatchSource, sources_of
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.server.store.subsets import Scan, Subset
from nucleus_pandas.server.web import snippets
from nucleus_pandas.server.web.facets import describe, offered, predicted
from nucleus_pandas.server.web.figures import Drawn, Figure, figure, shape_of
from nucleus_pandas.server.web.filters import NAMES, Filters
from nucleus_pandas.server.web.layers import Named, RunEntry, ground_truth, predictions, runs_on, some_of
from nucleus_pandas.server.web.outcomes import keys_of
from nucleus_pandas.server.web.page import blueprint, link, page, render
from nucleus_pandas.server.web.routes.run import chosen_threshold

T = TypeVar("T")

PAGE = 48  # images
_IN_ADDRESSES = 1_000  # characters of filters in addresses that are on the page many times
_SHAPES = 40  # drawn over a small image, of each layer


class Card(NamedTuple):
    """An image of the grid."""

    id: str
    reference_id: str
    figure: Figure
    counts: list[int]


def whole(name: str, absent: T) -> int | T:
    """Read a whole number, 0 or more, of the address."""
    text = request.args.get(name)
    if not text:
        return absent
    if not (text.isascii() and text.isdigit()) or int(text) > POSITION:
        raise BadRequestError(f"`{name}` is a whole number, not '{text[:50]}'.")
    return int(text)


def chosen_run(runs: list[RunEntry]) -> RunEntry | None:
    """Find the run that the address names."""
    wanted = request.args.get("run")
    if not wanted:
        return None
    for run in runs:
        if run.id == wanted:
            return run
    raise NotFoundError(f"There is no run '{wanted[:50]}' on this dataset.")


class Asked(NamedTuple):
    """What the address of a grid asks for.

    `refusal` says why it cannot be.
    """

    runs: list[RunEntry]
    run: RunEntry | None
    source: MatchSource | None
    filters: Filters
    subset: Subset
    refusal: str


def asked_for(db: sqlite3.Connection, dataset: Dataset) -> Asked:
    """Read which images the address asks for."""
    runs = runs_on(db, dataset)
    run = chosen_run(runs)
    filters = Filters.of(request.args, THRESHOLDS[chosen_threshold()])
    source: MatchSource | None = None
    if run is not None and filters.needs_match:
        found = sources_of(db, models.find_run(db, run.id))
        source = found[0] if found else None
    one = None
    if name := request.args.get("slice"):
        one = slices.find(db, name)
        one.check_of(dataset)
    try:
        return Asked(runs, run, source, filters, Subset(dataset, one, filters.condition(run, source)), "")
    except (BadRequestError, UnsupportedError) as error:
        return Asked(runs, run, source, filters, Subset(dataset, one, Condition("0")), str(error))


def kept_filters(*, short: bool = False) -> dict[str, Any]:
    """Return the parts of the address that say which images are wanted.

    For addresses that are on the page many times they are left out where they are long.
    """
    found = {name: value for name in NAMES if (value := request.args.get(name))}
    if short and sum(map(len, found.values())) > _IN_ADDRESSES:
        return {name: value for name, value in found.items() if name == "run"}
    return found


@blueprint.get("/datasets/<id:dataset_id>")
def grid(dataset_id: str) -> Response:
    """Show a page of images."""
    nucleus = page().nucleus
    with nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        asked = asked_for(db, dataset)
        subset = asked.subset
        if (at := whole("at", None)) is not None:
            return _to_place(db, asked, at)
        described = describe(nucleus, page().memory, db, dataset)
        others = predicted(nucleus, page().memory, dataset, asked.run)
        shown = [ground_truth(dataset), *([] if asked.run is None else [predictions(asked.run)])]
        found = _found(db, subset) if not asked.refusal else Scan([], 0, 0)
        cards = _cards(db, dataset, found.rows, shown, asked)
        first = subset.position(db, found.rows[0].id) if found.rows and not subset.has_condition else None
        first_rank = None if first is None else subset.rank(db, first)
        positions = subset.positions(db)
        known = slices.listing(db, dataset)
    kept = kept_filters()

    def address(**place: int) -> str:
        return link("grid", dataset_id=dataset_id, **kept, **place)

    return render(
        "grid.html",
        dataset=dataset,
        runs=asked.runs,
        run=asked.run,
        filters=asked.filters,
        refusal=asked.refusal,
        layers=shown,
        cards=cards,
        most=PAGE,
        first_rank=first_rank,
        subset=subset,
        slices=known[::-1],
        kept=kept,
        kept_short=kept_filters(short=True),
        labels=offered(described, others),
        metadata=described.metadata,
        thresholds=THRESHOLDS,
        before=address(until=found.first) if found.first > 0 else None,
        after=address(start=found.end) if found.end < positions and not asked.refusal else None,
        first=address(),
        last=address(until=positions),
        looked_through=(found.first, found.end),
        lines=_lines(asked, first_rank, [card.id for card in cards]),
    )


def _to_place(db: sqlite3.Connection, asked: Asked, place: int) -> Response:
    """Go to the page that begins with the image at a place, counted from 1."""
    subset = asked.subset
    number = subset.at_positions(db, [max(0, min(place, subset.length) - 1)])[0]
    start = None if number is None else subset.position(db, number)
    address = link("grid", dataset_id=subset.dataset.public_id, **kept_filters(), start=start)
    return cast(Response, redirect(address, 303))


def _found(db: sqlite3.Connection, subset: Subset) -> Scan:
    until = whole("until", None)
    if until is None:
        return subset.scan(db, start=whole("start", 0), limit=PAGE)
    found = subset.scan(db, start=until, limit=PAGE, direction="backward")
    if found.first == 0 and len(found.rows) < PAGE:  # the first page is a full one
        return subset.scan(db, start=0, limit=PAGE)
    return found


def _lines(asked: Asked, first: int | None, ids: list[str]) -> list[str]:
    subset = asked.subset
    if asked.refusal or not ids:
        return []
    if first is not None:
        return [snippets.places(subset.dataset, subset.slice, first, len(ids))]
    found = [snippets.items(subset.dataset, ids)]
    return (
        [snippets.query(subset.dataset, subset.slice, asked.filters.query), *found] if asked.filters.is_query else found
    )


def _cards(
    db: sqlite3.Connection, dataset: Dataset, rows: list[ItemRow], shown: list[Named], asked: Asked
) -> list[Card]:
    numbers = [row.id for row in rows]
    counts = [layers.counts(db, named.layer, numbers) for named in shown]
    wanted = None if asked.source is None else asked.filters.outcomes().condition(asked.source)
    cards = []
    for row in rows:
        meant = None if wanted is None or asked.source is None else keys_of(db, asked.source, wanted, row.id)
        drawn = []
        for place, (named, many) in enumerate(zip(shown, counts, strict=True)):
            some = some_of(db, named.layer, row.id, _SHAPES) if row.id in many else []
            keys = None if meant is None else meant[place]
            shapes = [(one, shape_of(one, small=True, guess=place > 0)) for one in some]
            drawn.append([Drawn(shape, words=_words(one, keys, asked.filters)) for one, shape in shapes])
        image = figure(row, drawn, small=True)
        cards.append(
            Card(item_id(dataset.tag, row.id), row.reference_id, image, [many.get(row.id, 0) for many in counts])
        )
    return cards


def _words(row: AnnotationRow, keys: set[str | None] | None, filters: Filters) -> str:
    """Let what was not looked for stand back."""
    if keys is not None:
        return "" if row.key in keys else "off"
    low, high = filters.confidence
    fits = not filters.label or row.label == filters.label
    if row.confidence is not None:
        fits &= (low is None or row.confidence >= low) and (high is None or row.confidence <= high)
    return "" if fits else "off"
