"""What the matches of a run say of the boxes of one item."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from nucleus_pandas.server.web.layers import RunEntry


class Fate(NamedTuple):
    """What became of a box: ``TP``, ``FP`` or ``FN``, with which box of the other side, and at which IoU."""

    outcome: str
    partner: str | None
    iou: float | None


class Fates(NamedTuple):
    """What became of the boxes of an item, by key."""

    truths: dict[str, Fate]
    predictions: dict[str, Fate]


def fates(db: sqlite3.Connection, run: RunEntry, item: int, threshold: float) -> Fates | None:
    """Read the matches of a run on an item; None where it is not committed."""
    if run.committed_at is None:
        return None
    found = Fates({}, {})
    rows = db.execute(
        "SELECT annotation_id, prediction_id, iou, agrees FROM match WHERE run = ? AND item = ?", (run.number, item)
    )
    for truth, prediction, iou, agrees in rows:
        near = iou is not None and iou >= threshold
        right = near and bool(agrees)
        partner_of_truth, partner_of_prediction = (prediction, truth) if near else (None, None)
        if truth is not None:
            found.truths[truth] = Fate("TP" if right else "FN", partner_of_truth, iou if near else None)
        if prediction is not None:
            found.predictions[prediction] = Fate("TP" if right else "FP", partner_of_prediction, iou)
    return found
