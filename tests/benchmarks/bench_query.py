"""Measure queries over a million annotations: python tests/benchmarks/bench_query.py [annotations] [per item]."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import nucleus_pandas as npd

QUERIES = [
    ('metadata.weather = "rain" and annotations.count > 6', "items"),
    ("annotations.count > 6", "items"),
    ('metadata.weather = "rain"', "items"),
    ("metadata.hour % 5 = 0", "items"),
    ("annotations.car >= 3", "items"),
    ('annotations.label = "truck" and metadata.hour < 2', "items"),
    ('annotations[label = "car" and width > 95].count > 1', "items"),
    ("annotations.metadata.occluded = true", "items"),
    ('reference_id = "77.jpg"', "items"),
    ('label = "truck" and width > 99', "annotations"),
    ('item.metadata.weather = "rain" and label = "truck" and width > 98', "annotations"),
]


def fill(client: npd.NucleusClient, annotations: int, per_item: int) -> npd.Dataset:
    """Create a dataset of that many boxes, with metadata on the items and on some of the boxes."""
    draw = np.random.default_rng(1)
    items = max(1, annotations // per_item)
    names = [f"{number}.jpg" for number in range(items)]
    frame = pd.DataFrame({"reference_id": names, "image_url": "https://example.org/x.jpg"})
    frame["metadata.weather"] = draw.choice(["rain", "sun", "fog", "snow"], items)
    frame["metadata.hour"] = draw.integers(0, 24, items)
    frame["metadata.camera"] = draw.choice(["front", "rear"], items)
    dataset = client.create_dataset("Bench")
    dataset.append(frame, progress=False)
    at = np.sort(draw.integers(0, items, annotations))
    boxes = pd.DataFrame({"reference_id": np.array(names, dtype=object)[at]})
    boxes["annotation_id"] = np.arange(annotations)
    boxes["label"] = draw.choice(["car", "bus", "person", "truck"], annotations)
    for side in ("x", "y", "width", "height"):
        boxes[side] = draw.uniform(0, 100, annotations)
    boxes["metadata.occluded"] = pd.Series(draw.random(annotations) < 0.01).where(draw.random(annotations) < 0.2)
    for start in range(0, annotations, 100_000):
        dataset.annotate(boxes.iloc[start : start + 100_000], progress=False)
    return dataset


def main(annotations: int, per_item: int) -> None:
    """Time every query: the whole frame, the best of three."""
    with (
        tempfile.TemporaryDirectory() as folder,
        npd.NucleusClient.local(Path(folder) / "store") as client,
    ):
        began = time.perf_counter()
        dataset = fill(client, annotations, per_item)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        print(
            f"{annotations:,} annotations on {len(dataset):,} items in {time.perf_counter() - began:.1f} s,"
            f" {size >> 20} MiB"
        )
        for text, kind in QUERIES:
            times = []
            for _ in range(3):
                began = time.perf_counter()
                found = dataset.query(text, kind=kind)
                times.append(time.perf_counter() - began)
            print(f"{min(times):8.3f} s {len(found):9,} {kind:12} {text}")


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(1_000_000, 7)[len(given) :])
