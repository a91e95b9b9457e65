"""How fast do boxes get from Parquet to the server, in how much memory, beside the official client?

The file has row groups of 100,000 rows. The peers: what remains when nothing is read and nothing sent (frame to bytes,
with all checks, group by group), and the official client in the fastest loop that its users can write: read a row group
with pandas, make its objects, upload them. The server answers at once (``--pause`` adds a delay); with ``--embedded``
it is an embedded Nucleus over loopback, durable, the peer a bare ``executemany`` of finished rows under the same
settings, and the boxes are read back into a DataFrame. Each run is a process of its own; memory is its peak above that
of an interpreter that has pandas loaded.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

GROUP = 100_000


def write(rows: int, path: Path) -> None:
    """Write boxes, a million at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from bench_upload import boxes

    part = pa.Table.from_pandas(boxes(min(rows, 1_000_000)), preserve_index=False)
    with pq.ParquetWriter(path, part.schema, compression="zstd") as writer:
        for _ in range(0, rows, 1_000_000):
            writer.write_table(part, row_group_size=GROUP)


def imported(path: str, endpoint: str, target: str) -> float:
    import nucleus_pandas as npd
    from nucleus_pandas.api.dataset import Dataset

    dataset = Dataset(npd.NucleusClient("key", endpoint)._transport, target)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = npd.import_parquet(path, dataset, "annotations", journal=f"{folder}/journal", progress=False)
        seconds = time.perf_counter() - began
    assert result.failed == 0
    assert result.new + result.processed == result.rows
    return seconds


def official(path: str, endpoint: str, target: str) -> float:
    import nucleus
    import pyarrow.parquet as pq
    from nucleus.dataset import Dataset

    dataset = Dataset(target, nucleus.NucleusClient("key", endpoint=endpoint))
    names = ["reference_id", "label", "x", "y", "width", "height"]
    began = time.perf_counter()
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        frame = file.read_row_group(group, columns=names).to_pandas()
        rows = [
            nucleus.BoxAnnotation(reference_id=r, label=name, x=x, y=y, width=w, height=h)
            for r, name, x, y, w, h in zip(*(frame[name] for name in names), strict=True)
        ]
        with contextlib.redirect_stderr(io.StringIO()):
            dataset.annotate(rows)
    return time.perf_counter() - began


def to_bytes(path: str, endpoint: str, target: str) -> float:
    """Check frames that are in memory, and write the bodies of their requests."""
    import pyarrow.parquet as pq

    from nucleus_pandas.schema.validate import ColumnLayout, validate
    from nucleus_pandas.uploads.batches import BATCH, cut

    file = pq.ParquetFile(path)
    seconds = 0.0
    for group in range(file.num_row_groups):
        frame = file.read_row_group(group).to_pandas()
        began = time.perf_counter()
        _, checked = validate("annotations", frame, ColumnLayout())
        for batch in cut(checked.units, BATCH):
            checked.units.objects(batch.start, batch.stop)
        seconds += time.perf_counter() - began
    return seconds


CLIENTS = {"import": imported, "official": official, "frame to bytes": to_bytes}


def worker(arguments: argparse.Namespace) -> None:
    from bench_upload import peak

    before = peak(forget=True)
    seconds = CLIENTS[arguments.worker](arguments.path, arguments.endpoint, arguments.target)
    print(json.dumps({"seconds": seconds, "memory": peak() - before}))


def run(client: str, path: Path, endpoint: str, target: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", client, "--path", str(path), "--endpoint", endpoint]
    done = subprocess.run([*command, "--target", target], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def to_null_server(path: Path, rows: int, pause: float, runs: int, clients: list[str]) -> None:
    from bench_upload import null_server

    found: dict[str, list[dict[str, float]]] = {client: [] for client in clients}
    for _ in range(runs):
        for client, measured in found.items():
            with null_server(pause) as endpoint:
                measured.append(run(client, path, endpoint, "ds_1"))
    middle = {
        client: {key: statistics.median(each[key] for each in measured) for key in measured[0]}
        for client, measured in found.items()
    }
    ours = middle["import"]
    for client, measured in middle.items():
        ratio = measured["seconds"] / ours["seconds"]
        print(
            f"{rows:>11,} boxes, {client:<15} {rows / measured['seconds'] / 1e6:5.2f} M rows/s  "
            f"{measured['memory']:6.0f} MB above pandas  {ratio:5.1f} times our time"
        )


def to_embedded(path: Path, rows: int, runs: int) -> None:
    from bench_ingest import bare
    from bench_upload import boxes, embedded, target_on

    import nucleus_pandas as npd

    frame = boxes(rows)
    seconds: dict[str, list[float]] = {"import": [], "read back": [], "executemany": []}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder, embedded(folder) as endpoint:
            dataset = target_on(endpoint, rows, "annotate")
            seconds["import"].append(run("import", path, endpoint, dataset)["seconds"])
            began = time.perf_counter()
            read = npd.NucleusClient(endpoint=endpoint).get_dataset(dataset).annotations.to_frame()
            seconds["read back"].append(time.perf_counter() - began)
            assert len(read) == rows
            pd.testing.assert_series_equal(read["x"], frame["x"])
        seconds["executemany"].append(bare(frame))
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    for name, median in middle.items():
        rate, ratio = rows / median / 1e6, middle["executemany"] / median
        print(f"{rows:>11,} boxes, embedded, durable: {name:<12} {rate:5.2f} M rows/s  {ratio:5.2f} of executemany")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--embedded", action="store_true")
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    for name in ("worker", "path", "endpoint", "target"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boxes.parquet"
        write(arguments.rows, path)
        if arguments.embedded:
            to_embedded(path, arguments.rows, arguments.runs)
        else:
            to_null_server(path, arguments.rows, arguments.pause, arguments.runs, arguments.clients)


if __name__ == "__main__":
    main()
