"""Positions of items: what the store says is what a plain list says."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nucleus_pandas as npd
from nucleus_pandas.server.ingest.rows import store_items
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import datasets, items
from nucleus_pandas.server.store import positions as places
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.wire.requests import CreateDataset
from tests.server.store.store_http import new_items


class Positions:
    """A dataset beside the plain list that it should be."""

    def __init__(self, nucleus: EmbeddedNucleus) -> None:
        self.nucleus = nucleus
        self.names: list[str] = []
        self.given = 0
        with nucleus.database.write() as db:
            self.public_id = datasets.create(db, CreateDataset(name="Positions")).public_id

    def find(self, db: sqlite3.Connection) -> Dataset:
        return datasets.find(db, self.public_id)

    def append(self, count: int) -> None:
        names = [f"{self.given + n}.jpg" for n in range(count)]
        self.given += count
        with self.nucleus.database.write() as db:
            assert store_items(db, self.find(db), new_items(names), update=False).outcomes == ["new"] * count
        self.names += names

    def delete(self, places: set[int]) -> None:
        with self.nucleus.database.write() as db:
            for place in places:
                items.delete(
                    db,
                    self.find(db),
                    items.by_reference_id(db, dataset=self.find(db), reference_id=self.names[place]).id,
                )
        self.names = [name for place, name in enumerate(self.names) if place not in places]

    def check(self, places: Sequence[int] | None = None) -> None:
        with self.nucleus.database.read() as db:
            dataset = self.find(db)
            assert dataset.length == len(self.names)
            for place in range(len(self.names)) if places is None else places:
                assert items.at_position(db, dataset, place).reference_id == self.names[place]
            assert [row.reference_id for row in items.page(db, dataset)] == self.names
            for outside in (-1, len(self.names), len(self.names) + 64, 1 << 32, 1 << 70, -(1 << 70)):
                with pytest.raises(npd.PositionError):
                    items.at_position(db, dataset, outside)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 150), st.floats(0, 1), st.randoms(use_true_random=False)), max_size=5),
    bits=st.sampled_from([1, 2, 6]),
)
def test_positions_are_those_of_a_list(
    shared: EmbeddedNucleus, steps: list[tuple[int, float, random.Random]], bits: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "FAN_OUT_BITS", bits)  # small blocks: few items reach every level
        positions = Positions(shared)
        for count, share, draw in steps:
            positions.append(count)
            positions.delete({place for place in range(len(positions.names)) if draw.random() < share})
            positions.check()


def test_positions_among_several_thousand_items(shared: EmbeddedNucleus) -> None:
    draw = random.Random(3)
    positions = Positions(shared)
    positions.append(9_000)  # two blocks of level 2, and some of a third
    positions.check(draw.sample(range(9_000), 100))
    # random ones; whole blocks of 64, one beside the other; the first and the last; a whole block of 4,096
    kept = draw.sample(range(9_000), 2_500)
    positions.delete(set(kept) | set(range(640, 896)) | {0, 8_999})
    left = len(positions.names)
    positions.check([0, 1, left - 1, *draw.sample(range(left), 1_000)])
    positions.append(70)
    positions.check([left - 1, left, left + 69])
    second = [place for place, name in enumerate(positions.names) if 4_096 <= int(name.split(".")[0]) < 8_192]
    positions.delete(set(second))
    left = len(positions.names)
    positions.check([0, left - 1, second[0] - 1, second[0], *draw.sample(range(left), 500)])


def test_whole_blocks_empty(shared: EmbeddedNucleus) -> None:
    positions = Positions(shared)
    positions.append(64 * 5)
    for block in (slice(64, 128), slice(0, 64), slice(128, 192)):  # a middle one, the first, then the last
        positions.delete(set(range(len(positions.names))[block]))
        positions.check()
    positions.delete(set(range(len(positions.names))))
    positions.check()
    positions.append(65)
    positions.check()


def test_an_item_that_comes_back_stands_at_the_end(shared: EmbeddedNucleus) -> None:
    positions = Positions(shared)
    positions.append(3)
    positions.delete({0})
    with shared.database.write() as db:
        assert store_items(db, positions.find(db), new_items(["0.jpg"]), update=False).outcomes == ["new"]
    positions.names.append("0.jpg")
    positions.check()
