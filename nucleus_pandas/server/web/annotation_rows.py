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
from nucleus_pandas.server.store.models import RunEntry
from nucleus_pandas.server.web.figures import Drawn, segments, shape_of, undrawn
from nucleus_pandas.server.web.formatting import MARK, pixels, short, value
from nucleus_pandas.server.web.outcomes import BoxOutcome, ItemOutcomes, item_outcomes

ROWS = 500
"""Annotations on a page, of each layer."""
_LABELS = 40  # listed of one mask
_LETTERS = "abcde"  # the first characters of the names of the rows, by layer
_TEXT = 200_000  # characters of ids, labels and metadata on a page; the longest are shortened first


class RowRange(NamedTuple):
    """The rows of a layer to show: those behind an arrival, or those from the row with a `row_key` on."""

    after: int
    highlight: str | None


@dataclass(slots=True)
class DisplayRow:
    """An annotation or a prediction beside the image.

    Attributes
    ----------
    name : str
        Unique on the page.
    labels : list of str
        Its label; of a mask the first labels.
    more : int
        The number of further labels of a mask.
    undrawn : str
        Why it is not drawn; empty if it is.
    partner : str
        The name of the row that it is matched with, if that is on the page.
    """

    name: str
    id: str
    labels: list[str]
    more: int
    type: str
    place: str
    confidence: float | None
    metadata: str
    outcome: BoxOutcome | None
    partner: str
    drawn: Drawn
    undrawn: str


class Section(NamedTuple):
    """The rows of a layer.

    Attributes
    ----------
    name : str
        The heading.
    run : RunEntry or None
        None for the ground truth.
    total : int
        The number of rows on all pages.
    after : int or None
        The arrival of the last row if more follow.
    is_matched : bool
        Whether the layer is matched, so that rows have an outcome.
    highlight : str
        The name of the row to highlight; empty for none.
    """

    name: str
    run: RunEntry | None
    rows: list[DisplayRow]
    total: int
    after: int | None
    is_matched: bool
    highlight: str


def row_key(row: AnnotationRow) -> str:
    """Return the string that stands for a row in a URL."""
    return short(row.key, f"{row.arrival:x}")


def sections(
    db: sqlite3.Connection,
    dataset: Dataset,
    item: int,
    runs: Sequence[RunEntry],
    ranges: Sequence[RowRange],
    threshold: float,
) -> list[Section]:
    """Read the rows of an item: a section for the ground truth and one for each run.

    `threshold` is the IoU from which on a pair counts as a match.
    """
    sides = [("Ground truth", None, dataset.layer), *((run.name, run, run.layer) for run in runs)]
    matched = [item_outcomes(db, run, item, threshold) for run in runs]
    outcomes = [_of_ground_truth(matched), *(None if match is None else match.predictions for match in matched)]
    stored = [_read(db, layer, item, rows) for (_, _, layer), rows in zip(sides, ranges, strict=True)]
    names = [
        {row.key: f"{letter}{number}" for number, row in enumerate(rows[:ROWS])}
        for letter, rows in zip(_LETTERS, stored, strict=False)
    ]
    listed = []
    for side, (name, run, layer) in enumerate(sides):
        shown, outcome_of, name_of = stored[side][:ROWS], outcomes[side], names[side]
        partners = names[0] if side else names[1] if len(runs) == 1 else {}
        highlighted = [name_of[row.key] for row in shown if ranges[side].highlight == row_key(row)]
        listed.append(
            Section(
                name,
                run,
                [_row(name_of[row.key], row, (outcome_of or {}).get(row.key), partners, side > 0) for row in shown],
                layers.counts(db, layer, [item]).get(item, 0),
                shown[-1].arrival if len(stored[side]) > ROWS else None,
                outcome_of is not None,
                "".join(highlighted),
            )
        )
    _shorten([row for section in listed for row in section.rows])
    return listed


def _of_ground_truth(matched: Sequence[ItemOutcomes | None]) -> dict[str, BoxOutcome] | None:
    """Return the outcomes of the ground truth, which are those of the run if there is exactly one."""
    return matched[0].ground_truth if len(matched) == 1 and matched[0] is not None else None


def _read(db: sqlite3.Connection, layer: AnnotationLayer, item: int, rows: RowRange) -> list[AnnotationRow]:
    """Read one row more than are shown, from the highlighted row on if it is not among the others."""
    stored = layers.page_of_item(db, layer, item, ROWS + 1, rows.after)
    if not rows.highlight or len(stored) <= ROWS or any(row_key(row) == rows.highlight for row in stored[:ROWS]):
        return stored
    arrival: int | None = None
    if rows.highlight.startswith(MARK):
        digits = rows.highlight.removeprefix(MARK)
        arrival = int(digits, 16) if digits.isalnum() and digits.isascii() and len(digits) <= 12 else None
    elif (highlighted := layers.by_key(db, layer, item, rows.highlight)) is not None:
        arrival = highlighted.arrival
    return stored if arrival is None else layers.page_of_item(db, layer, item, ROWS + 1, arrival - 1)


def _row(
    name: str, row: AnnotationRow, outcome: BoxOutcome | None, partners: dict[str, str], is_prediction: bool
) -> DisplayRow:
    extra = msgspec.json.decode(row.extra) if row.extra else {}
    partner = "" if outcome is None or outcome.partner is None else partners.get(outcome.partner, "")
    labels = _labels(row, extra)
    shape = shape_of(row, small=False, guess=is_prediction)
    return DisplayRow(
        name=name,
        id=str(extra.get("annotation_id", row.key)),
        labels=labels[:_LABELS],
        more=max(0, len(labels) - _LABELS),
        type=row.type,
        place=_place(row, extra),
        confidence=row.confidence,
        metadata=_metadata(row.metadata),
        outcome=outcome,
        partner=partner,
        drawn=Drawn(shape, name, "" if outcome is None else outcome.outcome.lower(), partner),
        undrawn=undrawn(row),
    )


def _labels(row: AnnotationRow, extra: dict[str, Any]) -> list[str]:
    """Return the labels of an annotation; several labels of the whole image are one string."""
    if row.type == "mask":
        return list(dict.fromkeys(label for label, _ in segments(row)))
    several = extra.get("labels")
    return [", ".join(map(str, several)) if isinstance(several, list) else row.label or ""]


def _place(row: AnnotationRow, extra: dict[str, Any]) -> str:
    """Return the position and size of an annotation, in pixels."""
    if row.type == "box":
        x, y, width, height = (pixels(side, 1) for side in (row.x, row.y, row.width, row.height))
        return f"{x}, {y} \N{MIDDLE DOT} {width} \N{MULTIPLICATION SIGN} {height}"
    if row.geometry is not None:
        geometry = msgspec.json.decode(row.geometry)
        if row.type == "cuboid":
            centre, sides = (
                between.join(pixels(geometry[name][side]) for side in ("x", "y", "z"))
                for name, between in (("position", ", "), ("dimensions", " \N{MULTIPLICATION SIGN} "))
            )
            return f"{centre} \N{MIDDLE DOT} {sides}"
        points = geometry.get("vertices") or geometry.get("keypoints")
        return f"{len(points)} points" if points else ""
    return str(extra.get("taxonomy_name") or "")


def _metadata(text: str | None) -> str:
    metadata = {} if text is None else msgspec.json.decode(text)
    return ", ".join(f"{key}: {value(entry)}" for key, entry in metadata.items())


def _shorten(rows: Sequence[DisplayRow]) -> None:
    """Shorten the longest strings where all of them together would make the page too large."""
    limit = 5_000
    while limit > 20 and sum(min(len(text), limit) for r in rows for text in (r.id, r.metadata, *r.labels)) > _TEXT:
        limit //= 2
    for row in rows:
        row.id, row.metadata = cut(row.id, limit), cut(row.metadata, limit)
        row.labels = [cut(label, limit) for label in row.labels]
