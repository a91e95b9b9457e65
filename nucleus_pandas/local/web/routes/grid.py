"""The pictures of a dataset, a page at a time."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple, TypeVar, cast

from flask import Response, redirect, request

from nucleus_pandas.errors import BadRequestError, NotFoundError
from nucleus_pandas.local.measures import THRESHOLDS
from nucleus_pandas.local.store import datasets, items, layers, models
from nucleus_pandas.local.store.datasets import Dataset
from nucleus_pandas.local.store.ids import POSITION, item_id
from nucleus_pandas.local.store.items import ItemRow
from nucleus_pandas.local.store.layers import AnnotationRow
from nucleus_pandas.local.web import python
from nucleus_pandas.local.web.describing import describe, offered
from nucleus_pandas.local.web.figures import Drawn, Figure, figure, shape_of
from nucleus_pandas.local.web.filters import NAMES, Filters
from nucleus_pandas.local.web.layering import Named, RunEntry, ground_truth, predictions, runs_on, some_of
from nucleus_pandas.local.web.outcomes import keys_of
from nucleus_pandas.local.web.page import blueprint, link, page, render
from nucleus_pandas.local.web.ranks import rank
from nucleus_pandas.local.web.routes.run import chosen_threshold
from nucleus_pandas.local.web.scanning import Condition, Found, scan
from nucleus_pandas.local.web.sources import Source, sources_of

T = TypeVar("T")

PAGE = 48  # pictures
_SHAPES = 40  # drawn over a small picture, of each layer


class Card(NamedTuple):
    """A picture of the grid."""

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
    source: Source | None
    filters: Filters
    condition: Condition
    refusal: str


def asked_for(db: sqlite3.Connection, dataset: Dataset) -> Asked:
    """Read which pictures the address asks for."""
    runs = runs_on(db, dataset)
    run = chosen_run(runs)
    filters = Filters.of(request.args, THRESHOLDS[chosen_threshold()])
    source: Source | None = None
    if run is not None and filters.needs_match:
        found = sources_of(db, models.find_run(db, run.id))
        source = found[0] if found else None
    try:
        return Asked(runs, run, source, filters, filters.condition(run, source), "")
    except BadRequestError as error:
        return Asked(runs, run, source, filters, Condition("0"), str(error))


def kept_filters() -> dict[str, str]:
    """Give the parts of the address that say which pictures are wanted."""
    return {name: value for name in NAMES if (value := request.args.get(name))}


@blueprint.get("/datasets/<id:dataset_id>")
def grid(dataset_id: str) -> Response:
    """Show a page of pictures."""
    nucleus = page().nucleus
    with nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        if (at := whole("at", None)) is not None:
            return _to_place(db, dataset, at)
        asked = asked_for(db, dataset)
        shown = [ground_truth(dataset), *([] if asked.run is None else [predictions(asked.run)])]
        is_whole = asked.condition == Condition()
        found = _found(db, dataset, asked.condition) if not asked.refusal else Found([], 0, 0)
        cards = _cards(db, dataset, found.rows, shown, asked)
        first_rank = rank(db, found.rows[0].id) if found.rows and is_whole else None
        (positions,) = db.execute("SELECT positions FROM dataset WHERE id = ?", (dataset.id,)).fetchone()
        described, predicted = describe(nucleus, page().memory, db, dataset, asked.run)
    kept = kept_filters()

    def address(**place: int) -> str:
        return link("grid", dataset_id=dataset_id, **kept, **place)

    ids = [card.id for card in cards]
    return render(
        "grid.html",
        dataset=dataset,
        runs=asked.runs,
        run=asked.run,
        filters=asked.filters,
        refusal=asked.refusal,
        layers=shown,
        cards=cards,
        first_rank=first_rank,
        is_whole=is_whole,
        kept=kept,
        labels=offered(described, predicted),
        metadata=described.metadata,
        thresholds=THRESHOLDS,
        before=address(until=found.first) if found.first > 0 else None,
        after=address(start=found.behind) if found.behind < positions and not asked.refusal else None,
        first=address(),
        last=address(until=positions),
        looked_through=(found.first, found.behind),
        line=python.places(dataset, first_rank or 0, len(cards)) if is_whole else python.items(dataset, ids),
    )


def _to_place(db: sqlite3.Connection, dataset: Dataset, place: int) -> Response:
    """Go to the page that begins with the picture at a place, counted from 1."""
    number = items.at_positions(db, dataset, [max(0, min(place, dataset.length) - 1)])[0]
    others = {name: value for name, value in request.args.items() if name != "at" and value}
    start = {} if number is None else {"start": number & POSITION}
    return cast(Response, redirect(link("grid", dataset_id=dataset.public_id, **others | start), 303))


def _found(db: sqlite3.Connection, dataset: Dataset, condition: Condition) -> Found:
    until = whole("until", None)
    if until is None:
        return scan(db, dataset, condition, start=whole("start", 0), limit=PAGE)
    found = scan(db, dataset, condition, start=until, limit=PAGE, direction="backward")
    if found.first == 0 and len(found.rows) < PAGE:  # the first page is a full one
        return scan(db, dataset, condition, start=0, limit=PAGE)
    return found


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
            drawn.append([Drawn(shape_of(one), words=_words(one, keys, asked.filters)) for one in some])
        picture = figure(row, drawn, small=True)
        cards.append(
            Card(item_id(dataset.tag, row.id), row.reference_id, picture, [many.get(row.id, 0) for many in counts])
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
