"""Outcomes of a match, a page at a time."""

from __future__ import annotations

import sqlite3
import time
from typing import Literal, NamedTuple, TypeAlias

from nucleus_pandas.server.store import datasets
from nucleus_pandas.server.store.ids import item_range
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.server.store.subsets import SCAN_SECONDS, adaptive_windows
from nucleus_pandas.server.web.match_source import Outcomes, Source

Sort: TypeAlias = Literal["image", "surest", "unsurest", "nearest", "farthest"]

SORTS: dict[Sort, str] = {
    "surest": "one.confidence IS NULL, one.confidence DESC, one.item, one.number",
    "unsurest": "one.confidence IS NULL, one.confidence, one.item, one.number",
    "nearest": "{iou} IS NULL, {iou} DESC, one.item, one.number",
    "farthest": "{iou} IS NULL, {iou}, one.item, one.number",
}
"""The orders beside that of the images; `iou` is what the outcome shows."""


class Outcome(NamedTuple):
    """A row of a match."""

    item: int
    number: int
    truth_key: str | None
    prediction_key: str | None
    truth: str | None
    predicted: str | None
    confidence: float | None
    iou: float | None
    agrees: int


class Found(NamedTuple):
    """Outcomes in the order of the images, and behind which one to go on; None at the end."""

    rows: list[Outcome]
    after: tuple[int, int] | None


def _select(source: Source) -> str:
    return (
        f"SELECT one.item, one.number, one.annotation_id, one.prediction_id, one.{source.truth},"
        f" one.{source.predicted}, one.confidence, one.iou, one.agrees FROM {source.table} AS one"
        f" WHERE one.{source.owner} = :owner"
    )


def by_image(db: sqlite3.Connection, source: Source, condition: Condition, after: tuple[int, int], limit: int) -> Found:
    """Find outcomes from behind (item, number) on, until there are enough or the time is up."""
    rows: list[Outcome] = []
    deadline = time.monotonic() + SCAN_SECONDS
    item, number = after
    for dataset in source.datasets:
        first, last = item_range(dataset)
        if item >= last:
            continue
        end = first + datasets.positions(db, dataset)
        if item < first:
            item, number = first, -1
        for _, high in adaptive_windows(item, end, deadline):
            rows += map(
                Outcome._make,
                db.execute(
                    f"{_select(source)} AND (one.item, one.number) > (:item, :number) AND one.item < :high AND"
                    f" ({condition.sql}) ORDER BY one.item, one.number LIMIT :limit",
                    {
                        **condition.values,
                        "owner": source.owner_id,
                        "item": item,
                        "number": number,
                        "high": high,
                        "limit": limit + 1 - len(rows),
                    },
                ),
            )
            if len(rows) > limit:
                return Found(rows[:limit], (rows[limit - 1].item, rows[limit - 1].number))
            item, number = high, -1
        if time.monotonic() > deadline:
            return Found(rows, (item, number))
    return Found(rows, None)


def sorted_by(
    db: sqlite3.Connection, source: Source, wanted: Outcomes, sort: Sort, offset: int, limit: int
) -> list[Outcome]:
    """Return outcomes in another order than that of the images."""
    condition = wanted.condition(source)
    order = SORTS[sort].format(iou=wanted.shown_iou)
    rows = db.execute(
        f"{_select(source)} AND ({condition.sql}) ORDER BY {order} LIMIT :limit OFFSET :offset",
        {**condition.values, "owner": source.owner_id, "limit": limit, "offset": offset},
    )
    return list(map(Outcome._make, rows))


def keys_of(
    db: sqlite3.Connection, source: Source, condition: Condition, item: int
) -> tuple[set[str | None], set[str | None]]:
    """Return the keys of an item's ground truths and of its predictions that are in outcomes."""
    rows = db.execute(
        f"SELECT one.annotation_id, one.prediction_id FROM {source.table} AS one WHERE one.{source.owner} = :owner AND"
        f" one.item = :item AND ({condition.sql})",
        {**condition.values, "owner": source.owner_id, "item": item},
    ).fetchall()
    return {truth for truth, _ in rows}, {prediction for _, prediction in rows}
