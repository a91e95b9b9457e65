"""Outcomes of a match: those of the boxes of one item, and a page of those that pass a filter."""

from __future__ import annotations

import sqlite3
import time
from typing import NamedTuple

from nucleus_pandas.server.store import commits, datasets, matches
from nucleus_pandas.server.store.ids import item_range
from nucleus_pandas.server.store.matches import MatchSource, StoredMatch
from nucleus_pandas.server.store.models import RunEntry
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.server.store.subsets import SCAN_SECONDS, adaptive_windows


class BoxOutcome(NamedTuple):
    """The outcome of a box, ``TP``, ``FP`` or ``FN``, with the key of its partner and their IoU."""

    outcome: str
    partner: str | None
    iou: float | None


class ItemOutcomes(NamedTuple):
    """The outcomes of the boxes of an item, by key."""

    ground_truth: dict[str, BoxOutcome]
    predictions: dict[str, BoxOutcome]


def item_outcomes(db: sqlite3.Connection, run: RunEntry, item: int, iou_threshold: float) -> ItemOutcomes | None:
    """Return the outcomes of a committed run on an item; None for an open run.

    A pair below the threshold is no pair: both boxes have no partner. Its IoU is shown beside the prediction only.
    """
    if run.committed_at is None:
        return None
    outcomes = ItemOutcomes({}, {})
    for ground_truth, prediction, iou, is_close, is_right in commits.of_item(db, run.number, item, iou_threshold):
        if ground_truth is not None:
            partner, shown_iou = (prediction, iou) if is_close else (None, None)
            outcomes.ground_truth[ground_truth] = BoxOutcome("TP" if is_right else "FN", partner, shown_iou)
        if prediction is not None:
            partner = ground_truth if is_close else None
            outcomes.predictions[prediction] = BoxOutcome("TP" if is_right else "FP", partner, iou)
    return outcomes


class OutcomePage(NamedTuple):
    """Outcomes in the order of the images, and the (item, number) behind which to continue; None at the end."""

    rows: list[StoredMatch]
    after: tuple[int, int] | None


def by_image(
    db: sqlite3.Connection, source: MatchSource, condition: Condition, after: tuple[int, int], limit: int
) -> OutcomePage:
    """Find outcomes from behind (item, number) on, until the page is full or the time is up.

    Few outcomes may pass among many that do not, so items are scanned in windows, each as long as the one before took
    too little or too much time. Everything before (item, number) has been scanned at any moment, so the search can
    stop behind any window, and the next page continues there without gaps.
    """
    rows: list[StoredMatch] = []
    deadline = time.monotonic() + SCAN_SECONDS
    item, number = after
    for dataset in source.datasets:
        first, behind = item_range(dataset)
        if item >= behind:
            continue
        end = first + datasets.positions(db, dataset)
        if item < first:
            item, number = first, -1
        for _, high in adaptive_windows(item, end, deadline):
            rows += matches.page(db, source, condition, (item, number), high, limit + 1 - len(rows))
            if len(rows) > limit:
                return OutcomePage(rows[:limit], (rows[limit - 1].item, rows[limit - 1].number))
            item, number = high, -1
        if time.monotonic() > deadline:
            return OutcomePage(rows, (item, number))
    return OutcomePage(rows, None)


def keys_of(
    db: sqlite3.Connection, source: MatchSource, condition: Condition, item: int
) -> tuple[set[str | None], set[str | None]]:
    """Return the keys of the ground truths and of the predictions of an item that are in outcomes."""
    rows = matches.of_item(db, source, condition, item)
    return {ground_truth for ground_truth, _ in rows}, {prediction for _, prediction in rows}
