"""Rows in an order, found by their place among those that are still there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nucleus_pandas.server.store.ids import POSITION, item_number, item_range, split_number

Numbers: TypeAlias = npt.NDArray[np.int64]

FAN_OUT_BITS = 6  # 64 positions a block, 64 blocks a block of the next level
TOP_LEVEL = 4  # 64^4: sixteen million positions
_FEW = 16  # places that are looked up one by one sooner than all blocks with holes are read


@dataclass(frozen=True, slots=True)
class Places:
    """The places of rows whose integer key is `item_number(owner, position)`.

    Positions are given once, in order; a row that goes leaves a hole. How many there are is counted for blocks of
    positions, so that the n-th row that is left is found without walking those before it.

    Parameters
    ----------
    table, key : str
        Where the rows lie, and the name of their key.
    holes, owner : str
        Where the holes are counted, and the name of the column that holds the owner there.
    """

    table: str
    key: str
    holes: str
    owner: str

    def leave(self, db: sqlite3.Connection, key: int) -> None:
        """Record that a row is gone."""
        owner, position = split_number(key)
        db.executemany(
            f"INSERT INTO {self.holes} ({self.owner}, level, block, count) VALUES (?, ?, ?, 1)"
            f" ON CONFLICT ({self.owner}, level, block) DO UPDATE SET count = count + 1",
            [(owner, level, position >> FAN_OUT_BITS * level) for level in range(1, TOP_LEVEL + 1)],
        )

    def find(self, db: sqlite3.Connection, owner: int, live: int) -> int:
        """Return the key of the row at a place that is there, counted from 0, from the largest blocks down."""
        first, last = 0, POSITION + 1
        for level in range(TOP_LEVEL, 0, -1):
            size = 1 << FAN_OUT_BITS * level
            rows = db.execute(
                f"SELECT block, count FROM {self.holes} WHERE {self.owner} = ? AND level = ? AND block >= ?"
                " AND block < ? ORDER BY block",
                (owner, level, first, last),
            )
            for block, count in rows:
                before = (block - first) * size
                if live < before:
                    return item_number(owner, first * size + live)
                live -= before
                if live < size - count:
                    first, last = block << FAN_OUT_BITS, (block + 1) << FAN_OUT_BITS
                    break
                live -= size - count
                first = block + 1
            else:
                return item_number(owner, first * size + live)
        row = db.execute(
            f"SELECT {self.key} FROM {self.table} WHERE {self.key} >= ? ORDER BY {self.key} LIMIT 1 OFFSET ?",
            (item_number(owner, first), live),
        ).fetchone()
        return int(row[0])

    def before(self, db: sqlite3.Connection, key: int) -> int:
        """Count the rows of the same owner that stand before a key, from the largest blocks down."""
        owner, position = split_number(key)
        found = 0
        for level in range(TOP_LEVEL, 0, -1):
            block = position >> FAN_OUT_BITS * level
            first = 0 if level == TOP_LEVEL else block >> FAN_OUT_BITS << FAN_OUT_BITS
            (holes,) = db.execute(
                f"SELECT coalesce(sum(count), 0) FROM {self.holes} WHERE {self.owner} = ? AND level = ? AND block >= ?"
                " AND block < ?",
                (owner, level, first, block),
            ).fetchone()
            found += ((block - first) << FAN_OUT_BITS * level) - holes
        start = item_number(owner, position >> FAN_OUT_BITS << FAN_OUT_BITS)
        (there,) = db.execute(
            f"SELECT count(*) FROM {self.table} WHERE {self.key} >= ? AND {self.key} < ?", (start, key)
        ).fetchone()
        return int(found + there)

    def find_many(
        self, db: sqlite3.Connection, owner: int, lives: Sequence[int], length: int, positions: int
    ) -> list[int | None]:
        """Return the keys of the rows at places, None for places outside.

        Parameters
        ----------
        lives : sequence of int
            The places, from 0.
        length, positions : int
            How many rows there are, and how many there ever were.
        """
        inside = np.unique(np.array([live for live in lives if live < length], dtype=np.int64))
        first = item_range(owner)[0]
        if positions == length:
            found = first + inside
        elif len(inside) <= _FEW:
            found = np.array([self.find(db, owner, live) for live in inside.tolist()], dtype=np.int64)
        elif inside[-1] - inside[0] == len(inside) - 1:
            found = self._from(db, self.find(db, owner, int(inside[0])), len(inside))
        else:
            found = first + self._skip_holes(db, owner, inside)
        keys = dict(zip(inside.tolist(), found.tolist(), strict=True))
        return [keys.get(live) for live in lives]

    def _from(self, db: sqlite3.Connection, key: int, count: int) -> Numbers:
        """Walk that many keys from a key on."""
        rows = db.execute(
            f"SELECT {self.key} FROM {self.table} WHERE {self.key} >= ? ORDER BY {self.key} LIMIT ?", (key, count)
        )
        return np.array(rows.fetchall(), dtype=np.int64)[:, 0]

    def _skip_holes(self, db: sqlite3.Connection, owner: int, lives: Numbers) -> Numbers:
        """Do what `find` does, for ascending places at once: with every smallest block that has holes at hand."""
        rows = db.execute(
            f"SELECT block, count FROM {self.holes} WHERE {self.owner} = ? AND level = 1 ORDER BY block", (owner,)
        )
        blocks, holes = np.array(rows.fetchall(), dtype=np.int64).reshape(-1, 2).T
        upto = np.cumsum(holes)
        starts = (blocks << FAN_OUT_BITS) - (upto - holes)  # the place of the first row in or behind each block
        nearest = np.searchsorted(starts, lives, side="right") - 1
        behind = np.where(nearest < 0, 0, upto[nearest])
        inside = lives - np.where(nearest < 0, 0, starts[nearest])
        amid = (nearest >= 0) & (inside < (1 << FAN_OUT_BITS) - holes[nearest])
        found: Numbers = lives + behind
        if amid.any():
            wanted, which = np.unique(blocks[nearest[amid]], return_inverse=True)
            there = self._filled(db, owner, wanted)[which]
            nth = (np.cumsum(there, axis=1) > inside[amid, None]).argmax(axis=1)
            found[amid] = (wanted[which] << FAN_OUT_BITS) + nth
        return found

    def _filled(self, db: sqlite3.Connection, owner: int, blocks: Numbers) -> npt.NDArray[np.uint8]:
        """Return for each of the positions of smallest blocks whether a row is there."""
        starts = (item_range(owner)[0] + (blocks << FAN_OUT_BITS)).tolist()
        rows = db.execute(  # the bits of a block are different, so their sum is their union, the sign bit included
            f"SELECT (SELECT sum(1 << ({self.key} & 63)) FROM {self.table} WHERE {self.key} >= value"
            f" AND {self.key} < value + 64) FROM json_each(?)",
            (json.dumps(starts),),
        )
        words = np.array([bits or 0 for (bits,) in rows], dtype="<i8")
        return np.unpackbits(words.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
