"""The n-th of ordered rows, some of which were deleted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucleus_pandas._util.arrays import Integers
from nucleus_pandas.server.store.ids import POSITION, item_number, item_range, split_number

FAN_OUT_BITS = 6  # 64 positions per block, 64 blocks per block of the next level
TOP_LEVEL = 4  # 64^4: sixteen million positions
_FEW = 16  # ranks that are looked up one by one sooner than all blocks with holes are read


@dataclass(frozen=True, slots=True)
class PositionIndex:
    """Converts between positions and ranks of rows whose integer key is `item_number(owner, position)`.

    Positions are assigned once, in order; a deleted row leaves a hole and no other row moves. The rank of a row is
    the number of rows of its owner before it that still exist, so rank = position - holes before it.

    Holes are counted in a tree: level 1 has blocks of 64 positions, each further level blocks of 64 blocks of the
    level below. The table of holes has a row (owner, level, block, count) for each block with at least one hole.
    Invariant: at every level, the count of a block is the number of holes among its positions; a block without a row
    has none. A deletion therefore writes `TOP_LEVEL` rows, and the row at a rank is found from the top down: on each
    level, whole blocks are skipped while the rank lies behind their existing rows, which takes at most 64 rows of
    counts per level, however many positions there are; within the last block the table itself is read.

    Parameters
    ----------
    table, key : str
        The table of the rows, and the name of their key.
    holes, owner : str
        The table of the holes, and the name of its column for the owner.
    """

    table: str
    key: str
    holes: str
    owner: str

    def add_hole(self, db: sqlite3.Connection, key: int) -> None:
        """Record that a row was deleted."""
        owner, position = split_number(key)
        db.executemany(
            f"INSERT INTO {self.holes} ({self.owner}, level, block, count) VALUES (?, ?, ?, 1)"
            f" ON CONFLICT ({self.owner}, level, block) DO UPDATE SET count = count + 1",
            [(owner, level, position >> FAN_OUT_BITS * level) for level in range(1, TOP_LEVEL + 1)],
        )

    def at_rank(self, db: sqlite3.Connection, owner: int, rank: int) -> int:
        """Return the key of the row at an existing rank."""
        # invariant: the row is among the blocks first..last of the level, and `rank` counts from the start of `first`
        first, last = 0, POSITION + 1
        for level in range(TOP_LEVEL, 0, -1):
            size = 1 << FAN_OUT_BITS * level
            blocks_with_holes = db.execute(
                f"SELECT block, count FROM {self.holes} WHERE {self.owner} = ? AND level = ? AND block >= ?"
                " AND block < ? ORDER BY block",
                (owner, level, first, last),
            )
            for block, count in blocks_with_holes:
                without_holes = (block - first) * size
                if rank < without_holes:
                    return item_number(owner, first * size + rank)
                rank -= without_holes
                if rank < size - count:
                    first, last = block << FAN_OUT_BITS, (block + 1) << FAN_OUT_BITS
                    break
                rank -= size - count
                first = block + 1
            else:
                return item_number(owner, first * size + rank)
        row = db.execute(
            f"SELECT {self.key} FROM {self.table} WHERE {self.key} >= ? ORDER BY {self.key} LIMIT 1 OFFSET ?",
            (item_number(owner, first), rank),
        ).fetchone()
        return int(row[0])

    def rank(self, db: sqlite3.Connection, key: int) -> int:
        """Count the existing rows of the same owner before a key."""
        owner, position = split_number(key)
        rank = 0
        for level in range(TOP_LEVEL, 0, -1):
            block = position >> FAN_OUT_BITS * level
            first = 0 if level == TOP_LEVEL else block >> FAN_OUT_BITS << FAN_OUT_BITS
            (holes,) = db.execute(
                f"SELECT coalesce(sum(count), 0) FROM {self.holes} WHERE {self.owner} = ? AND level = ? AND block >= ?"
                " AND block < ?",
                (owner, level, first, block),
            ).fetchone()
            rank += ((block - first) << FAN_OUT_BITS * level) - holes
        start = item_number(owner, position >> FAN_OUT_BITS << FAN_OUT_BITS)
        (in_block,) = db.execute(
            f"SELECT count(*) FROM {self.table} WHERE {self.key} >= ? AND {self.key} < ?", (start, key)
        ).fetchone()
        return int(rank + in_block)

    def at_ranks(
        self, db: sqlite3.Connection, owner: int, ranks: Sequence[int], length: int, positions: int
    ) -> list[int | None]:
        """Return the keys of the rows at some ranks, None outside.

        Parameters
        ----------
        length, positions : int
            The number of existing rows, and of all rows that ever were.
        """
        inside = np.unique(np.array([rank for rank in ranks if rank < length], dtype=np.int64))
        first = item_range(owner)[0]
        if positions == length:
            keys = first + inside
        elif len(inside) <= _FEW:
            keys = np.array([self.at_rank(db, owner, rank) for rank in inside.tolist()], dtype=np.int64)
        elif inside[-1] - inside[0] == len(inside) - 1:
            rows = db.execute(
                f"SELECT {self.key} FROM {self.table} WHERE {self.key} >= ? ORDER BY {self.key} LIMIT ?",
                (self.at_rank(db, owner, int(inside[0])), len(inside)),
            )
            keys = np.array(rows.fetchall(), dtype=np.int64)[:, 0]
        else:
            keys = first + self._positions_of(db, owner, inside)
        key_of = dict(zip(inside.tolist(), keys.tolist(), strict=True))
        return [key_of.get(rank) for rank in ranks]

    def _positions_of(self, db: sqlite3.Connection, owner: int, ranks: Integers) -> Integers:
        """Do what `at_rank` does for ascending ranks at once, with all smallest blocks that have holes in memory.

        `starts` holds the rank of the first existing row in or after each of those blocks. A rank belongs to the last
        block that starts at or before it: either it is inside that block, and the bits of the block tell the
        position, or it lies after it, where there are no holes up to the next block: position = rank + holes so far.
        """
        rows = db.execute(
            f"SELECT block, count FROM {self.holes} WHERE {self.owner} = ? AND level = 1 ORDER BY block", (owner,)
        )
        blocks, holes = np.array(rows.fetchall(), dtype=np.int64).reshape(-1, 2).T
        holes_so_far = np.cumsum(holes)
        starts = (blocks << FAN_OUT_BITS) - (holes_so_far - holes)
        nearest = np.searchsorted(starts, ranks, side="right") - 1
        offsets = ranks - np.where(nearest < 0, 0, starts[nearest])
        in_block = (nearest >= 0) & (offsets < (1 << FAN_OUT_BITS) - holes[nearest])
        positions: Integers = ranks + np.where(nearest < 0, 0, holes_so_far[nearest])
        if in_block.any():
            distinct, inverse = np.unique(blocks[nearest[in_block]], return_inverse=True)
            exists = self._existing(db, owner, distinct)[inverse]
            nth = (np.cumsum(exists, axis=1) > offsets[in_block, None]).argmax(axis=1)
            positions[in_block] = (distinct[inverse] << FAN_OUT_BITS) + nth
        return positions

    def _existing(self, db: sqlite3.Connection, owner: int, blocks: Integers) -> npt.NDArray[np.uint8]:
        """Return 1 or 0 for each of the 64 positions of smallest blocks: whether its row exists."""
        starts = (item_range(owner)[0] + (blocks << FAN_OUT_BITS)).tolist()
        rows = db.execute(  # the bits of a block are different, so their sum is their union, the sign bit included
            f"SELECT (SELECT sum(1 << ({self.key} & 63)) FROM {self.table} WHERE {self.key} >= value"
            f" AND {self.key} < value + 64) FROM json_each(?)",
            (json.dumps(starts),),
        )
        words = np.array([bits or 0 for (bits,) in rows], dtype="<i8")
        return np.unpackbits(words.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
