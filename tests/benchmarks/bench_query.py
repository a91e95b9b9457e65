"""Queries of predictions beside pandas' own `DataFrame.query` on the same rows.

Usage: ``python tests/benchmarks/bench_query.py [rows ...]``; by default 10,000, 100,000 and 1,000,000 predictions, 50
per image. Prints CPU seconds and their ratio: at most 2 is wanted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

import nucleus_pandas as npd

PER_IMAGE = 50
QUERY = "confidence > 0.99"


def cpu(work: Callable[[], pd.DataFrame]) -> tuple[float, int]:
    """Return the CPU seconds of a call and the rows of its result."""
    began = time.process_time()
    rows = len(work())
    return time.process_time() - began, rows


def main() -> None:
    """Store predictions, and query them both ways."""
    for count in [int(argument) for argument in sys.argv[1:]] or [10_000, 100_000, 1_000_000]:
        images = count // PER_IMAGE
        random = np.random.default_rng(0)
        ids = np.array([f"i{number}" for number in range(images)])
        boxes = {
            "reference_id": ids[np.arange(count) % images],
            "label": "car",
            "x": random.random(count) * 100,
            "y": 1.0,
        }
        boxes |= {"width": 10.0, "height": 10.0, "confidence": random.random(count)}
        with npd.NucleusClient.local() as client:
            dataset = client.create_dataset("Queries")
            items = pd.DataFrame({"reference_id": ids, "image_url": "https://example.org/x"})
            items.nucleus.append(dataset, progress=False)
            run = dataset.create_model_run(client.add_model("M", reference_id="m"))
            pd.DataFrame(boxes).nucleus.predict(run, progress=False)
            ours, found = cpu(lambda: dataset.query(QUERY, kind="predictions", run=run))  # noqa: B023
            theirs, expected = cpu(lambda: run.predictions.to_frame().query(QUERY))  # noqa: B023
        assert found == expected
        print(
            f"{count:>9,} predictions: query {ours:.3f} s, to_frame().query() {theirs:.3f} s, ratio {ours / theirs:.2f}"
        )


if __name__ == "__main__":
    main()
