"""Does reading cost the same among a million annotations of all types as among ten thousand?

python tests/benchmarks/bench_mixed.py [--items N] [--annotations N]

Two stores hold annotations of every type, in turn, spread over their items. The same look-ups, pages and slices of
10,000 are read from both through the in-process client, the stores taking turns; then half of all items are deleted at
random, and everything is read again. The peer of the large store is the small one: wanted is at most twice its time.
Pages and slices are of the size that the small store has left, in both stores, and hold as many annotations.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import nucleus_pandas as npd

SMALL = 10_000  # items, and annotations
PART = 100_000  # rows a call
LOOKUPS, PAGES = 200, 9  # readings of each kind
WANTED = 2.0
BOX = "box"
SHAPES: list[tuple[str, str | None, dict[str, Any] | None]] = [
    (BOX, "car", None),
    ("polygon", "lake", {"vertices": [{"x": 0.0, "y": 0.0}, {"x": 9.5, "y": 0.25}, {"x": 0.0, "y": 9.0}]}),
    (BOX, "person", None),
    ("line", "lane", {"vertices": [{"x": 0.5, "y": 1.0}, {"x": 2.0, "y": 3.0}]}),
    (BOX, "dog", None),
    ("keypoints", "person", {"keypoints": [{"x": 1.0, "y": 2.0, "visible": True}], "names": ["head"]}),
    ("cuboid", "bus", {"position": {"x": 1, "y": 2, "z": 3}, "dimensions": {"x": 4, "y": 5, "z": 6}, "yaw": 0.5}),
    ("category", "rainy", {"taxonomy_name": "weather"}),
    ("multicategory", None, {"labels": ["wet", "dark"], "taxonomy_name": "road"}),
    ("mask", None, {"mask_url": "https://example.org/m.png", "annotations": [{"label": "sky", "index": 1}]}),
]


@dataclass
class Store:
    """A filled store, and what of it is read."""

    client: npd.NucleusClient
    dataset: npd.Dataset
    names: list[str]
    part: npd.Slice

    @classmethod
    def filled(cls, folder: Path, items: int, annotations: int) -> Store:
        client = npd.NucleusClient.local(folder)
        dataset = client.create_dataset("Benchmark")
        names = [f"camera/{number:08d}.jpg" for number in range(items)]
        for start in range(0, items, PART):
            some = pd.DataFrame({"reference_id": names[start : start + PART]})
            dataset.append(some.assign(image_url="https://example.org/x.jpg"), progress=False)
        for start in range(0, annotations, PART):
            dataset.annotate(mixed(names, annotations, range(start, min(start + PART, annotations))), progress=False)
        chosen = random.Random(5).sample(names, SMALL)
        return cls(client, dataset, names, dataset.create_slice("part", chosen))

    def delete_half(self) -> None:
        """Delete a random half of the items; a new slice has as many as the small store has left."""
        draw = random.Random(11)
        gone = set(draw.sample(self.names, len(self.names) // 2))
        for start in range(0, len(self.names), PART):
            chosen = [name for name in self.names[start : start + PART] if name in gone]
            self.dataset.delete_items(reference_ids=chosen)
        self.names = [name for name in self.names if name not in gone]
        self.part = self.dataset.create_slice("part of the half", draw.sample(self.names, SMALL // 2))

    def readings(self) -> dict[str, Callable[[random.Random], object]]:
        dataset, names, length, part, size = self.dataset, self.names, len(self.names), self.part, len(self.part)

        def page(draw: random.Random) -> slice:
            start = draw.randrange(length - size + 1)
            return slice(start, start + size)

        return {
            "refloc, random": lambda draw: dataset.refloc(draw.choice(names)),
            "iloc, first": lambda _: dataset.iloc(0),
            "iloc, random": lambda draw: dataset.iloc(draw.randrange(length)),
            "iloc, last": lambda _: dataset.iloc(-1),
            "slice, iloc": lambda draw: part.iloc[draw.randrange(size)],
            "page of items": lambda draw: dataset.iloc[page(draw)],
            "page of annotations": lambda draw: dataset.annotations.iloc[page(draw)],
            "slice of items": lambda _: part.to_frame(),
            "slice of annotations": lambda _: part.annotations.to_frame(),
        }


def mixed(names: list[str], annotations: int, numbers: range) -> pd.DataFrame:
    """Annotations of every type, in turn, those of an item one after the other."""
    shapes = [SHAPES[number % len(SHAPES)] for number in numbers]
    frame = pd.DataFrame(shapes, columns=["type", "label", "geometry"])
    frame["reference_id"] = [names[number * len(names) // annotations] for number in numbers]
    frame["annotation_id"] = [f"a{number}" for number in numbers]
    boxes = frame["type"] == BOX
    for side, value in (("x", 10.5), ("y", 20.25), ("width", 30.0), ("height", 40.0)):
        frame[side] = pd.Series(value, frame.index).where(boxes)
    return frame


def print_readings(title: str, small: Store, large: Store) -> bool:
    print(f"\n{title}: medians, ms")
    print(f"{'':22}{len(small.names):>12,} items{len(large.names):>12,} items{'ratio':>8}")
    kept = True
    both = (small.readings(), large.readings())
    for kind in both[0]:
        turns = PAGES if kind.startswith(("page", "slice of")) else LOOKUPS
        taken: tuple[list[float], list[float]] = ([], [])
        draws = (random.Random(1), random.Random(1))
        for _ in range(turns + 2):
            for which in (0, 1):
                began = time.perf_counter()
                both[which][kind](draws[which])
                taken[which].append(time.perf_counter() - began)
        one, other = (statistics.median(seconds[2:]) * 1e3 for seconds in taken)
        kept &= other / one <= WANTED
        print(f"{kind:22}{one:>18.3f}{other:>18.3f}{other / one:>8.2f}")
    print(f"wanted at most {WANTED:g}: {'kept' if kept else 'BROKEN'}", flush=True)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000, help="of the large store (%(default)s)")
    parser.add_argument("--annotations", type=int, default=1_000_000, help="of the large store (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench_mixed-") as name:
        began = time.perf_counter()
        small = Store.filled(Path(name) / "small", SMALL, SMALL)
        large = Store.filled(Path(name) / "large", options.items, options.annotations)
        print(f"Filled in {time.perf_counter() - began:.0f} s.")
        kept = print_readings("Freshly filled", small, large)
        for store in (small, large):
            began = time.perf_counter()
            store.delete_half()
            print(f"{'' if store is large else chr(10)}Half deleted in {time.perf_counter() - began:.1f} s.")
        kept &= print_readings("Half of the items deleted at random", small, large)
        small.client.close()
        large.client.close()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
