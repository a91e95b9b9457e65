"""The place of an item among those that are there."""

from __future__ import annotations

import sqlite3

from nucleus_pandas.local.store.ids import POSITION
from nucleus_pandas.local.store.items import FAN_OUT_BITS, TOP_LEVEL


def rank(db: sqlite3.Connection, number: int) -> int:
    """Count the items of its dataset that stand before an item, from the largest blocks down to the smallest."""
    dataset, position = number - (number & POSITION), number & POSITION
    before = 0
    for level in range(TOP_LEVEL, 0, -1):
        block = position >> FAN_OUT_BITS * level
        first = 0 if level == TOP_LEVEL else block >> FAN_OUT_BITS << FAN_OUT_BITS
        (holes,) = db.execute(
            "SELECT coalesce(sum(count), 0) FROM hole WHERE dataset = ? AND level = ? AND block >= ? AND block < ?",
            (dataset >> 32, level, first, block),
        ).fetchone()
        before += ((block - first) << FAN_OUT_BITS * level) - holes
    start = dataset | position >> FAN_OUT_BITS << FAN_OUT_BITS
    (there,) = db.execute("SELECT count(*) FROM item WHERE id >= ? AND id < ?", (start, number)).fetchone()
    return int(before + there)
