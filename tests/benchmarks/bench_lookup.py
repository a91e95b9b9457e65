"""Does looking one item up cost the same in a large dataset as in a small one, and how fast are they filled?

Two stores are filled through the embedded Nucleus's own ingest functions, in transactions of 5,000 rows. The peer is a
bare ``sqlite3`` that is given the same rows, with the same schema, pragmas and transactions. Then items are looked up
through the in-process client, the two stores taking turns. Wanted: the large store takes at most twice as long.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import nucleus_pandas as npd
from nucleus_pandas.server.ingest.rows import store_annotations, store_items
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import datasets, items, layers
from nucleus_pandas.server.store.ids import item_id, item_number
from nucleus_pandas.server.store.layers import AnnotationLayer
from nucleus_pandas.wire.entities import Box, BoxGeometry, Item
from nucleus_pandas.wire.requests import CreateDataset

TRANSACTION = 5_000  # rows
SMALL = (10_000, 50_000)  # items, boxes
LOOKUPS = 500  # of each kind
WANTED = 2.0
LABELS = ("car", "person", "bicycle", "dog", "traffic light", "bus", "truck", "chair")
ITEM_COLUMNS = 9
BOX_COLUMNS = 13


@dataclass
class Store:
    """A filled store."""

    folder: Path
    items: int
    boxes: int
    dataset_id: str = ""
    tag: str = ""
    removed: frozenset[int] = frozenset()
    own: dict[str, float] = field(default_factory=lambda: {"items": 0.0, "boxes": 0.0})  # seconds
    peer: dict[str, float] = field(default_factory=lambda: {"items": 0.0, "boxes": 0.0})


def name_of(number: int) -> str:
    return f"camera/{number:08d}.jpg"


def batches(count: int) -> Iterator[range]:
    for start in range(0, count, TRANSACTION):
        yield range(start, min(start + TRANSACTION, count))


def new_items(numbers: range) -> list[Item]:
    return [
        Item(
            reference_id=name_of(n),
            image_url=f"https://example.org/{name_of(n)}",
            width=1920,
            height=1080,
            metadata={"rain": n % 3 == 0},
        )
        for n in numbers
    ]


def new_boxes(numbers: range, store: Store, draw: random.Random) -> list[Box]:
    """Boxes spread over all items, those of an item one after the other."""
    return [
        Box(
            reference_id=name_of(n * store.items // store.boxes),
            label=draw.choice(LABELS),
            geometry=BoxGeometry(draw.random() * 1800, draw.random() * 1000, 1 + draw.random() * 99, 1 + 60.0),
        )
        for n in numbers
    ]


def open_peer(folder: Path) -> sqlite3.Connection:
    folder.mkdir()
    peer = sqlite3.connect(folder / "peer.sqlite", isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY", "cache_size = -32000"):
        peer.execute(f"PRAGMA {pragma}")
    peer.executescript(files("nucleus_pandas.server").joinpath("schema.sql").read_text("utf-8"))
    return peer


def peer_write(peer: sqlite3.Connection, table: str, columns: int, rows: list[tuple[object, ...]]) -> float:
    start = time.perf_counter()
    peer.execute("BEGIN IMMEDIATE")
    peer.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})", rows)
    peer.execute("COMMIT")
    return time.perf_counter() - start


def fill(store: Store) -> None:
    """Fill a store and its peer, a transaction of the one after a transaction of the other."""
    draw = random.Random(7)
    nucleus = EmbeddedNucleus(store.folder)
    peer = open_peer(store.folder / "peer")
    with nucleus.database.write() as db:
        dataset = datasets.create(db, CreateDataset(name="Benchmark"))
    store.dataset_id, store.tag = dataset.public_id, dataset.tag
    layer = AnnotationLayer(None, ("dataset", dataset.id))
    for numbers in batches(store.items):
        wanted = new_items(numbers)
        start = time.perf_counter()
        with nucleus.database.write() as db:
            store_items(db, dataset, wanted, update=False)
        store.own["items"] += time.perf_counter() - start
        rows: list[tuple[object, ...]] = [
            (
                item_number(dataset.id, n),
                dataset.id,
                item.reference_id,
                item.image_url,
                None,
                item.width,
                item.height,
                datasets.json_or_none(item.metadata),
                None,
            )
            for n, item in zip(numbers, wanted, strict=True)
        ]
        store.peer["items"] += peer_write(peer, "item", ITEM_COLUMNS, rows)
    for numbers in batches(store.boxes):
        boxes = new_boxes(numbers, store, draw)
        start = time.perf_counter()
        with nucleus.database.write() as db:
            store_annotations(db, layer, dataset, boxes, update=False)
        store.own["boxes"] += time.perf_counter() - start
        rows = [
            tuple(layers.to_row(box, item_number(dataset.id, n * store.items // store.boxes), n))
            for n, box in zip(numbers, boxes, strict=True)
        ]
        store.peer["boxes"] += peer_write(peer, "annotation", BOX_COLUMNS, rows)
    with nucleus.database.read() as db:
        assert datasets.find(db, dataset.public_id).length == store.items
        assert db.execute("SELECT count(*) FROM annotation").fetchone() == (store.boxes,)
    nucleus.close()
    peer.close()
    shutil.rmtree(store.folder / "peer")


def delete_half(store: Store) -> float:
    """Delete a random half of the items, and tell how many seconds that took."""
    nucleus = EmbeddedNucleus(store.folder)
    chosen = random.Random(11).sample(range(store.items), store.items // 2)
    start = time.perf_counter()
    for numbers in batches(len(chosen)):
        with nucleus.database.write() as db:
            dataset = datasets.find(db, store.dataset_id)
            for n in numbers:
                items.delete(db, dataset, items.by_reference_id(db, dataset, name_of(chosen[n])).id)
    seconds = time.perf_counter() - start
    nucleus.close()
    store.removed = frozenset(chosen)
    return seconds


def lookups(client: npd.NucleusClient, store: Store) -> dict[str, Callable[[random.Random], object]]:
    dataset = client.get_dataset(store.dataset_id)
    length = len(dataset)

    def there(draw: random.Random) -> int:
        while (number := draw.randrange(store.items)) in store.removed:
            pass
        return number

    refloc, iloc, loc = dataset.refloc, dataset.iloc, dataset.loc
    return {
        "refloc, random": lambda draw: refloc(name_of(there(draw))),
        "iloc, first": lambda _: iloc(0),
        "iloc, last": lambda _: iloc(length - 1),
        "iloc, random": lambda draw: iloc(draw.randrange(length)),
        "loc, random": lambda draw: loc(item_id(store.tag, there(draw))),
    }


def medians(small: Store, large: Store) -> dict[str, tuple[float, float]]:
    """Median milliseconds of each kind of look-up, by store; the stores take turns, and 20 look-ups warm them up."""
    with npd.NucleusClient.local(small.folder) as one, npd.NucleusClient.local(large.folder) as other:
        calls = (lookups(one, small), lookups(other, large))
        found: dict[str, tuple[float, float]] = {}
        for kind in calls[0]:
            draws = (random.Random(1), random.Random(1))
            taken: tuple[list[float], list[float]] = ([], [])
            for turn in range(LOOKUPS + 20):
                for which in (0, 1):
                    start = time.perf_counter()
                    calls[which][kind](draws[which])
                    seconds = time.perf_counter() - start
                    if turn >= 20:
                        taken[which].append(seconds)
            found[kind] = (statistics.median(taken[0]) * 1e3, statistics.median(taken[1]) * 1e3)
        return found


def print_lookups(title: str, small: Store, large: Store) -> bool:
    print(f"\n{title}: median of {LOOKUPS} look-ups, ms")
    print(f"{'':16}{small.items:>12,} items{large.items:>12,} items{'ratio':>8}")
    worst = 0.0
    for kind, (one, other) in medians(small, large).items():
        print(f"{kind:16}{one:>18.3f}{other:>18.3f}{other / one:>8.2f}")
        worst = max(worst, other / one)
    print(f"worst ratio {worst:.2f}, wanted at most {WANTED:g}: {'kept' if worst <= WANTED else 'BROKEN'}")
    return worst <= WANTED


def print_ingest(store: Store) -> None:
    print(f"\nIngest into {store.items:,} items, {store.boxes:,} boxes, {TRANSACTION:,} rows a transaction: rows/s")
    print(f"{'':8}{'nucleus_pandas':>16}{'bare sqlite3':>16}{'share':>8}")
    for kind, count in (("items", store.items), ("boxes", store.boxes)):
        own, peer = count / store.own[kind], count / store.peer[kind]
        print(f"{kind:8}{own:>16,.0f}{peer:>16,.0f}{own / peer:>8.0%}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000, help="of the large store (%(default)s)")
    parser.add_argument("--boxes", type=int, default=5_000_000, help="of the large store (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where the stores go; by default a temporary folder")
    parser.add_argument("--delete-half", action="store_true", help="delete half of all items, and look up again")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench_lookup-", dir=options.folder))
    try:
        small = Store(folder / "small", *SMALL)
        large = Store(folder / "large", options.items, options.boxes)
        for store in (small, large):
            fill(store)
            print_ingest(store)
        kept = print_lookups("Freshly filled", small, large)
        if options.delete_half:
            for store in (small, large):
                print(f"\nDeleted {store.items // 2:,} of {store.items:,} items in {delete_half(store):.1f} s.")
            kept &= print_lookups("Half of the items deleted at random", small, large)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
