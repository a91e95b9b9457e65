"""How fast do boxes get from a DataFrame through HTTP into a store that survives a power loss?

A `nucleus-pandas serve` process on loopback takes a frame of boxes: checked, with ids computed, written as JSON, sent,
read, looked up, inserted, committed in every request (5,000 rows). The peer does none of that: a bare `executemany` of
finished rows into the same schema under the same settings, in transactions of the same size, in this process. They
take turns on the same disk; medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd
from bench_lookup import open_peer, peer_write
from bench_upload import boxes, embedded, target_on

import nucleus_pandas as npd

BATCH = 5_000
COLUMNS = 13  # of the table of annotations


def through_http(frame: pd.DataFrame) -> float:
    with tempfile.TemporaryDirectory() as folder, embedded(folder) as endpoint:
        dataset = npd.NucleusClient(endpoint=endpoint).get_dataset(target_on(endpoint, len(frame), "annotate"))
        began = time.perf_counter()
        result = frame.nucleus.annotate(dataset, progress=False)
        seconds = time.perf_counter() - began
        assert result.annotations_processed == len(frame)
        return seconds


def bare(frame: pd.DataFrame) -> float:
    items = pd.factorize(frame["reference_id"])[0].tolist()
    sides = [frame[name].tolist() for name in ("x", "y", "width", "height")]
    rows = [
        (item, arrival, f"{hash((item, arrival)) & (1 << 64) - 1:032x}", "box", label, *box, None, None, None, None)
        for arrival, (item, label, box) in enumerate(
            zip(items, frame["label"].tolist(), zip(*sides, strict=True), strict=True)
        )
    ]
    with tempfile.TemporaryDirectory() as folder:
        peer = open_peer(Path(folder) / "peer")
        seconds = sum(
            peer_write(peer, "annotation", COLUMNS, rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)
        )
        peer.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    frame = boxes(arguments.rows).drop(columns="confidence")
    found: dict[str, list[float]] = {"through HTTP": [], "bare executemany": []}
    for _ in range(arguments.runs):
        found["through HTTP"].append(through_http(frame))
        found["bare executemany"].append(bare(frame))
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    for name, seconds in middle.items():
        print(f"{name:18} {seconds:7.2f} s  {arguments.rows / seconds / 1e6:5.2f} M rows/s", flush=True)
    print(f"through HTTP runs at {middle['bare executemany'] / middle['through HTTP']:.2f} of the bare speed")


if __name__ == "__main__":
    main()
