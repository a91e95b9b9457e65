"""The pictures of a dataset, a page at a time."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple, cast

from flask import Response, redirect, request, url_for

from nucleus_pandas.errors import BadRequestError, NotFoundError
from nucleus_pandas.local.store import datasets, items, layers
from nucleus_pandas.local.store.datasets import Dataset
from nucleus_pandas.local.store.ids import ITEM_BITS, POSITION, item_id
from nucleus_pandas.local.store.items import ItemRow
from nucleus_pandas.local.web.figures import Drawn, Figure, figure, shape_of
from nucleus_pandas.local.web.layering import Named, RunEntry, ground_truth, predictions, runs_on, some_of
from nucleus_pandas.local.web.page import blueprint, page, render
from nucleus_pandas.local.web.ranks import rank
from nucleus_pandas.local.web.scanning import Condition, Found, position, scan

PAGE = 48  # pictures
_SHAPES = 40  # drawn over a small picture, of each layer


class Card(NamedTuple):
    """A picture of the grid."""

    id: str
    reference_id: str
    figure: Figure
    counts: list[int]


def whole(name: str) -> int | None:
    """Read a whole number, 0 or more, of the address."""
    text = request.args.get(name)
    if text is None or text == "":
        return None
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


@blueprint.get("/datasets/<id:dataset_id>")
def grid(dataset_id: str) -> Response:
    """Show a page of pictures."""
    with page().nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        if (at := whole("at")) is not None:
            return _to_place(db, dataset, at)
        runs = runs_on(db, dataset)
        run = chosen_run(runs)
        shown = [ground_truth(dataset), *([] if run is None else [predictions(run)])]
        condition = Condition()
        found = _found(db, dataset, condition)
        cards = _cards(db, dataset, found.rows, shown)
        first_rank = rank(db, found.rows[0].id) if found.rows and condition == Condition() else None
        (positions,) = db.execute("SELECT positions FROM dataset WHERE id = ?", (dataset.id,)).fetchone()
    kept = {name: value for name, value in request.args.items() if name in ("run",) and value}
    address = lambda **place: url_for("page.grid", dataset_id=dataset_id, **kept, **place)  # noqa: E731
    return render(
        "grid.html",
        dataset=dataset,
        runs=runs,
        run=run,
        layers=shown,
        cards=cards,
        first_rank=first_rank,
        kept=kept,
        before=address(until=found.first) if found.first > 0 else None,
        after=address(start=found.behind) if found.behind < positions else None,
        first=address(),
        last=address(until=positions),
        line=_line(dataset, first_rank, len(cards)),
    )


def _to_place(db: sqlite3.Connection, dataset: Dataset, place: int) -> Response:
    """Go to the page that begins with the picture at a place, counted from 1."""
    number = items.at_positions(db, dataset, [max(0, min(place, dataset.length) - 1)])[0]
    others = {name: value for name, value in request.args.items() if name != "at" and value}
    start = {} if number is None else {"start": number & POSITION}
    return cast(Response, redirect(url_for("page.grid", dataset_id=dataset.public_id, **others | start), 303))


def _found(db: sqlite3.Connection, dataset: Dataset, condition: Condition) -> Found:
    until = whole("until")
    if until is None:
        return scan(db, dataset, condition, start=whole("start") or 0, limit=PAGE)
    found = scan(db, dataset, condition, start=until, limit=PAGE, direction="backward")
    if found.first == 0 and len(found.rows) < PAGE:  # the first page is a full one
        return scan(db, dataset, condition, start=0, limit=PAGE)
    return found


def _cards(db: sqlite3.Connection, dataset: Dataset, rows: list[ItemRow], shown: list[Named]) -> list[Card]:
    numbers = [row.id for row in rows]
    counts = [layers.counts(db, named.layer, numbers) for named in shown]
    cards = []
    for row in rows:
        drawn = [
            [Drawn(shape_of(one)) for one in some_of(db, named.layer, row.id, _SHAPES)] if row.id in many else []
            for named, many in zip(shown, counts, strict=True)
        ]
        picture = figure(row, drawn, small=True)
        cards.append(
            Card(item_id(dataset.tag, row.id), row.reference_id, picture, [many.get(row.id, 0) for many in counts])
        )
    return cards


def _line(dataset: Dataset, first: int | None, count: int) -> str:
    start = first or 0
    return f'client.get_dataset("{dataset.public_id}").iloc[{start}:{start + count}]'
