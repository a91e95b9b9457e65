"""One picture with all that is known of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from flask import Response, request

from nucleus_pandas.errors import NotFoundError
from nucleus_pandas.local.store import datasets, items, layers
from nucleus_pandas.local.store.datasets import Dataset
from nucleus_pandas.local.store.ids import POSITION, item_id
from nucleus_pandas.local.store.layers import AnnotationRow
from nucleus_pandas.local.web import python
from nucleus_pandas.local.web.figures import Drawn, figure, shape_of
from nucleus_pandas.local.web.layering import Named, RunEntry, ground_truth, predictions, some_of
from nucleus_pandas.local.web.matched import THRESHOLD, Fate, Fates, fates
from nucleus_pandas.local.web.page import blueprint, link, page, render
from nucleus_pandas.local.web.routes.grid import asked_for, kept_filters, whole
from nucleus_pandas.local.web.text import cut, pixels, value
from nucleus_pandas.local.web.walking import Walk

ROWS = 500
"""Annotations on a page, of each layer."""
RUNS = 4
"""Runs laid over a picture at once."""
_LETTERS = "abcde"  # what the names of the rows of each layer begin with
_LOOK = 0.06  # seconds, for the picture before and for the next one
_TEXT = 200_000  # characters of ids, labels and metadata on a page; more are cut, the longest ones first


@dataclass(slots=True)
class Row:
    """An annotation or a prediction beside the picture."""

    name: str
    key: str
    id: str
    label: str | None
    type: str
    place: str
    confidence: float | None
    metadata: str
    fate: Fate | None
    partner: str
    drawn: Drawn


class Section(NamedTuple):
    """The rows of a layer."""

    named: Named
    rows: list[Row]
    total: int
    after: str | None
    has_fates: bool


@blueprint.get("/datasets/<id:dataset_id>/items/<id:item_id>")
def item(dataset_id: str, item_id: str) -> Response:
    """Show a picture with its boxes, and a row for each."""
    with page().nucleus.database.read() as db:
        dataset = datasets.find(db, dataset_id)
        row = items.by_item_id(db, dataset, item_id)
        asked = asked_for(db, dataset)
        runs = asked.runs
        chosen = _chosen(runs)
        sections = _sections(db, dataset, row.id, chosen)
        walk = asked.walk
        at = walk.position(db, row.id)
        if at is None:  # it is not in the slice
            walk, at = Walk(dataset), row.id & POSITION
        place = walk.rank(db, at)
        before = walk.find(db, start=at, limit=1, direction="backward", seconds=_LOOK).rows
        after = walk.find(db, start=at + 1, limit=1, seconds=_LOOK).rows
    _fit(sections)
    kept: dict[str, Any] = kept_filters() | {"run": [run.id for run in chosen]}

    def address(number: int, **more: Any) -> str:
        return link("item", dataset_id=dataset_id, item_id=public(dataset, number), **kept | more)

    metadata = {} if row.metadata is None else msgspec.json.decode(row.metadata)
    drawn = [[one.drawn for one in section.rows] for section in sections]
    return render(
        "item.html",
        dataset=dataset,
        item=row,
        item_id=item_id,
        place=place,
        walk=walk,
        figure=figure(row, drawn, small=False),
        sections=sections,
        metadata=metadata,
        runs=runs,
        chosen=chosen,
        others=[run for run in runs if run not in chosen] if len(chosen) < RUNS else [],
        with_run=lambda run: address(row.id, run=[*kept["run"], run.id]),
        without_run=lambda run: address(row.id, run=[one for one in kept["run"] if one != run.id]),
        before=address(before[0].id) if before else None,
        after=address(after[0].id) if after else None,
        back=link("grid", dataset_id=dataset_id, **kept | {"start": at, "run": kept["run"][:1]}),
        lines=python.boxes(dataset, item_id, kept["run"]),
        names=sum(len(section.rows) for section in sections) <= 60,
        see=" ".join(_seen(sections)),
    )


def public(dataset: Dataset, number: int) -> str:
    """Give the public id of an item of a dataset."""
    return item_id(dataset.tag, number)


def _chosen(runs: Sequence[RunEntry]) -> list[RunEntry]:
    known = {run.id: run for run in runs}
    found = []
    for wanted in dict.fromkeys(filter(None, request.args.getlist("run"))):
        if wanted not in known:
            raise NotFoundError(f"There is no run '{wanted[:50]}' on this dataset.")
        found.append(known[wanted])
    return found[:RUNS]


def _seen(sections: Sequence[Section]) -> list[str]:
    """Name the rows that the address wants to be seen: a prediction first, then a ground truth."""
    found = []
    for at, name in ((1, "see"), (0, "see_truth")):
        key = request.args.get(name)
        if key and at < len(sections):
            found += [row.name for row in sections[at].rows if row.key == key]
    return found


def _sections(db: sqlite3.Connection, dataset: Dataset, number: int, chosen: Sequence[RunEntry]) -> list[Section]:
    matched = [fates(db, run, number, THRESHOLD) for run in chosen]
    named = [ground_truth(dataset), *map(predictions, chosen)]
    found = []
    read = []
    for letter, one in zip(_LETTERS, named, strict=False):
        rows = some_of(db, one.layer, number, ROWS + 1, whole(f"after_{letter}", -1))
        seen = request.args.get({"a": "see_truth", "b": "see"}.get(letter, ""))
        if seen and len(rows) > ROWS and all(row.key != seen for row in rows[:ROWS]):
            wanted = layers.by_key(db, one.layer, number, seen)
            rows = rows if wanted is None else some_of(db, one.layer, number, ROWS + 1, wanted.arrival - 1)
        read.append(rows)
    names = [
        {row.key: f"{letter}{place}" for place, row in enumerate(rows[:ROWS])}
        for letter, rows in zip(_LETTERS, read, strict=False)
    ]
    for place, (letter, one, rows) in enumerate(zip(_LETTERS, named, read, strict=False)):
        told = _told(place, matched)
        partners = names[0] if place else names[1] if len(chosen) == 1 else {}
        following = {f"after_{letter}": rows[ROWS - 1].arrival} if len(rows) > ROWS else None
        found.append(
            Section(
                one,
                [_row(names[place][row.key], row, (told or {}).get(row.key), partners) for row in rows[:ROWS]],
                layers.counts(db, one.layer, [number]).get(number, 0),
                None if following is None else _following(following),
                told is not None,
            )
        )
    return found


def _told(place: int, matched: Sequence[Fates | None]) -> dict[str, Fate] | None:
    """Give what became of the boxes of a layer; of the ground truth where there is one run to tell."""
    if place:
        found = matched[place - 1]
        return None if found is None else found.predictions
    only = matched[0] if len(matched) == 1 else None
    return None if only is None else only.truths


def _following(place: dict[str, int]) -> str:
    asked: dict[str, Any] = request.args.to_dict(flat=False)
    return link("item", **(request.view_args or {}), **asked | place)


def _row(name: str, row: AnnotationRow, fate: Fate | None, partners: dict[str, str]) -> Row:
    extra = msgspec.json.decode(row.extra) if row.extra else {}
    partner = "" if fate is None or fate.partner is None else partners.get(fate.partner, "")
    labels = extra.get("labels")
    return Row(
        name=name,
        key=row.key,
        id=str(extra.get("annotation_id", row.key)),
        label=", ".join(map(str, labels)) if isinstance(labels, list) else row.label,
        type=row.type,
        place=_place(row, extra),
        confidence=row.confidence,
        metadata=_metadata(row.metadata),
        fate=fate,
        partner=partner,
        drawn=Drawn(shape_of(row), name, "" if fate is None else fate.outcome.lower(), partner),
    )


def _place(row: AnnotationRow, extra: dict[str, Any]) -> str:
    """Say where an annotation is, in pixels."""
    if row.type == "box":
        x, y, width, height = (pixels(side, 1) for side in (row.x, row.y, row.width, row.height))
        return f"{x}, {y} \N{MIDDLE DOT} {width} \N{MULTIPLICATION SIGN} {height}"
    if row.geometry is not None:
        geometry = msgspec.json.decode(row.geometry)
        points = geometry.get("vertices") or geometry.get("keypoints")
        return f"{len(points)} points" if points else ""
    return str(extra.get("taxonomy_name") or "")


def _metadata(text: str | None) -> str:
    found = {} if text is None else msgspec.json.decode(text)
    return ", ".join(f"{key}: {value(one)}" for key, one in found.items())


def _fit(sections: Sequence[Section]) -> None:
    """Shorten the longest texts where all of them together would make the page too large."""
    rows = [row for section in sections for row in section.rows]
    limit = 5_000
    while limit > 20 and sum(min(len(t or ""), limit) for r in rows for t in (r.id, r.label, r.metadata)) > _TEXT:
        limit //= 2
    for row in rows:
        row.id, row.metadata = cut(row.id, limit), cut(row.metadata, limit)
        row.label = None if row.label is None else cut(row.label, limit)
