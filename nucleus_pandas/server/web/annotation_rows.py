"""The rows beside an image: its ground truth, and the predictions of runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from nucleus_pandas._util.html import cut
from nucleus_pandas.server.store import layers
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.layers import AnnotationLayer, AnnotationRow
from nucleus_pandas.server.web.figures import Drawn, segments, shape_of, undrawn
from nucleus_pandas.server.web.formatting import MARK, pixels, short, value
from nucleus_pandas.server.web.layers import Named, RunEntry, ground_truth, predictions, some_of
from nucleus_pandas.server.web.outcomes import BoxOutcome, ItemOutcomes, item_outcomes

ROWS = 500
"""Annotations on a page, of each layer."""
_LABELS = 40  # of a mask that are listed
_LETTERS = "abcde"  # what the names of the rows of each layer begin with
_TEXT = 200_000  # characters of ids, labels and metadata on a page; more are cut, the longest ones first


class Wanted(NamedTuple):
    """Which rows of a layer: those from behind an arrival, or from one that is to be seen, named by `row_key`."""

    after: int
    seen: str | None


@dataclass(slots=True)
class Row:
    """An annotation or a prediction beside the image.

    Attributes
    ----------
    name : str
        Unique on the page.
    labels : list of str
        What it is said to be: of a mask its first labels.
    more : int
        Further labels of a mask.
    undrawn : str
        Why it is not drawn.
    partner : str
        The name of the other side of its pair, where it is on the page.
    """

    name: str
    id: str
    labels: list[str]
    more: int
    type: str
    place: str
    confidence: float | None
    metadata: str
    fate: BoxOutcome | None
    partner: str
    drawn: Drawn
    undrawn: str


class Section(NamedTuple):
    """The rows of a layer.

    Attributes
    ----------
    total : int
        How many there are, on other pages too.
    after : int or None
        The arrival of the last one, where more follow.
    has_fates : bool
        Whether it is known what became of each.
    seen : str
        The name of the row that is to be seen.
    """

    named: Named
    rows: list[Row]
    total: int
    after: int | None
    has_fates: bool
    seen: str


def row_key(row: AnnotationRow) -> str:
    """Return what stands for a row in an address."""
    return short(row.key, f"{row.arrival:x}")


def sections(
    db: sqlite3.Connection,
    dataset: Dataset,
    item: int,
    runs: Sequence[RunEntry],
    wanted: Sequence[Wanted],
    threshold: float,
) -> list[Section]:
    """Read the rows of an item, a section for the ground truth and one for each run; pairs count from an IoU on."""
    named = [ground_truth(dataset), *map(predictions, runs)]
    matched = [item_outcomes(db, run, item, threshold) for run in runs]
    told = [_of_truth(matched), *(None if found is None else found.predictions for found in matched)]
    read = [_read(db, one.layer, item, asked) for one, asked in zip(named, wanted, strict=True)]
    names = [
        {row.key: f"{letter}{at}" for at, row in enumerate(found[:ROWS])}
        for letter, found in zip(_LETTERS, read, strict=False)
    ]
    found = []
    for at, (one, rows, asked) in enumerate(zip(named, read, wanted, strict=True)):
        partners = names[0] if at else names[1] if len(runs) == 1 else {}
        known = told[at]
        seen = [names[at][row.key] for row in rows[:ROWS] if asked.seen and row_key(row) == asked.seen]
        found.append(
            Section(
                one,
                [_row(names[at][row.key], row, (known or {}).get(row.key), partners, at > 0) for row in rows[:ROWS]],
                layers.counts(db, one.layer, [item]).get(item, 0),
                rows[ROWS - 1].arrival if len(rows) > ROWS else None,
                known is not None,
                "".join(seen),
            )
        )
    _fit([row for section in found for row in section.rows])
    return found


def _of_truth(matched: Sequence[ItemOutcomes | None]) -> dict[str, BoxOutcome] | None:
    """Return what became of the ground truth, where there is one run to tell."""
    return matched[0].ground_truth if len(matched) == 1 and matched[0] is not None else None


def _read(db: sqlite3.Connection, layer: AnnotationLayer, item: int, wanted: Wanted) -> list[AnnotationRow]:
    rows = some_of(db, layer, item, ROWS + 1, wanted.after)
    if not wanted.seen or len(rows) <= ROWS or any(row_key(row) == wanted.seen for row in rows[:ROWS]):
        return rows
    arrival: int | None = None
    if wanted.seen.startswith(MARK):
        digits = wanted.seen.removeprefix(MARK)
        arrival = int(digits, 16) if digits.isalnum() and digits.isascii() and len(digits) <= 12 else None
    else:
        found = layers.by_key(db, layer, item, wanted.seen)
        arrival = None if found is None else found.arrival
    return rows if arrival is None else some_of(db, layer, item, ROWS + 1, arrival - 1)


def _row(name: str, row: AnnotationRow, fate: BoxOutcome | None, partners: dict[str, str], guess: bool) -> Row:
    extra = msgspec.json.decode(row.extra) if row.extra else {}
    partner = "" if fate is None or fate.partner is None else partners.get(fate.partner, "")
    labels = _labels(row, extra)
    return Row(
        name=name,
        id=str(extra.get("annotation_id", row.key)),
        labels=labels[:_LABELS],
        more=max(0, len(labels) - _LABELS),
        type=row.type,
        place=_place(row, extra),
        confidence=row.confidence,
        metadata=_metadata(row.metadata),
        fate=fate,
        partner=partner,
        drawn=Drawn(
            shape_of(row, small=False, guess=guess), name, "" if fate is None else fate.outcome.lower(), partner
        ),
        undrawn=undrawn(row),
    )


def _labels(row: AnnotationRow, extra: dict[str, Any]) -> list[str]:
    """Return what an annotation is said to be: of several labels of the whole image one text."""
    if row.type == "mask":
        return list(dict.fromkeys(label for label, _ in segments(row)))
    several = extra.get("labels")
    return [", ".join(map(str, several)) if isinstance(several, list) else row.label or ""]


def _place(row: AnnotationRow, extra: dict[str, Any]) -> str:
    """Say where an annotation is, in pixels."""
    if row.type == "box":
        x, y, width, height = (pixels(side, 1) for side in (row.x, row.y, row.width, row.height))
        return f"{x}, {y} \N{MIDDLE DOT} {width} \N{MULTIPLICATION SIGN} {height}"
    if row.geometry is not None:
        geometry = msgspec.json.decode(row.geometry)
        points = geometry.get("vertices") or geometry.get("keypoints")
        if row.type == "cuboid":
            centre, sides = (
                between.join(pixels(geometry[name][side]) for side in ("x", "y", "z"))
                for name, between in (("position", ", "), ("dimensions", " \N{MULTIPLICATION SIGN} "))
            )
            return f"{centre} \N{MIDDLE DOT} {sides}"
        return f"{len(points)} points" if points else ""
    return str(extra.get("taxonomy_name") or "")


def _metadata(text: str | None) -> str:
    found = {} if text is None else msgspec.json.decode(text)
    return ", ".join(f"{key}: {value(one)}" for key, one in found.items())


def _fit(rows: Sequence[Row]) -> None:
    """Shorten the longest texts where all of them together would make the page too large."""
    limit = 5_000
    while limit > 20 and sum(min(len(text), limit) for r in rows for text in (r.id, r.metadata, *r.labels)) > _TEXT:
        limit //= 2
    for row in rows:
        row.id, row.metadata = cut(row.id, limit), cut(row.metadata, limit)
        row.labels = [cut(label, limit) for label in row.labels]
