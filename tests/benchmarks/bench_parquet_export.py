"""How fast, and in how much memory, do annotations get from an embedded Nucleus into a Parquet file?

`Dataset.to_parquet` beside ``dataset.annotations.to_frame().to_parquet()``, on the same store of boxes with small
metadata. They take turns, each time in a process of its own, whose baseline is what it holds after it has read one
image. The peer writes dicts as structs, so its file is none that keeps everything. Medians.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from bench_upload import boxes

import nucleus_pandas as npd


def fill(store: Path, rows: int) -> None:
    frame = boxes(rows).drop(columns="confidence")
    frame["metadata"] = [f'{{"iscrowd":false,"track":{number % 997}}}' for number in range(rows)]
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Bench")
        names = frame["reference_id"].unique()
        items = pd.DataFrame({"reference_id": names, "image_url": "https://example.org/" + pd.Series(names)})
        dataset.append(items, progress=False)
        dataset.annotate(frame, progress=False)


def export(who: str, store: Path) -> None:
    """What one process does."""
    with npd.NucleusClient.local(store) as client, tempfile.TemporaryDirectory() as folder:
        dataset = client.create_dataset("Bench", exist_ok=True)
        path = Path(folder, "export")
        assert len(dataset.annotations.iloc[0])
        held = peak()
        began, worked = time.perf_counter(), time.process_time()
        if who == "ours":
            files = dataset.to_parquet(path, what=["annotations"])
            rows, size = int(files["rows"][0]), int(files["bytes"][0])
        else:
            frame = dataset.annotations.to_frame()
            frame.to_parquet(path, compression="zstd")
            rows, size = len(frame), path.stat().st_size
        seconds, work = time.perf_counter() - began, time.process_time() - worked
        print(json.dumps({"rows": rows, "seconds": seconds, "work": work, "memory": peak() - held, "size": size}))


def peak() -> int:
    """Bytes at most so far; Linux tells, and of this program alone, whatever its parent held."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--export", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.export:
        export(arguments.export[0], Path(arguments.export[1]))
        return
    names = {"ours": "dataset.to_parquet(what=['annotations'])", "peer": "dataset.annotations.to_frame().to_parquet()"}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store")
        fill(store, arguments.rows)
        found: dict[str, list[dict[str, float]]] = {who: [] for who in names}
        for _ in range(arguments.runs):
            for who in names:
                command = [sys.executable, __file__, "--export", who, str(store)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[who].append(json.loads(done.stdout))
                assert found[who][-1]["rows"] == arguments.rows
    table = pd.DataFrame({who: pd.DataFrame(runs).median() for who, runs in found.items()})
    for who, name in names.items():
        one = table[who]
        print(
            f"{name:48} {one['seconds']:7.2f} s  {arguments.rows / one['seconds'] / 1e6:5.3f} M rows/s  "
            f"{one['work']:6.2f} s of a processor  {one['memory'] / 1e6:7.0f} MB more memory  "
            f"{one['size'] / 1e6:6.1f} MB written"
        )
    ratio = table["ours"] / table["peer"]
    print(
        f"ours / peer: {ratio['seconds']:.2f} of the time, {ratio['work']:.2f} of the processor's, "
        f"{ratio['memory']:.2f} of the memory, {ratio['size']:.2f} of the size"
    )


if __name__ == "__main__":
    main()
