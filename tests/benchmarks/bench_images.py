"""How long do two thousand images take from a frame of paths to an embedded Nucleus, and how much memory?

The server is a process of its own behind loopback, durable; ``--delay`` adds a pause before every answer, as a distant
one would. The peer, ``in turn``, is how images travelled before there was the extension for them: ten a request by
multipart, one request after the other. ``one connection`` is this package with ``max_concurrency=1``, ``in process``
has no socket. Each run is a process of its own with a store of its own, the ways take turns, medians are printed, and
beside them what the sizes of all images take from their headers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench_upload import peak

WAYS = ("in turn", "one connection", "ours", "in process")
TEN = 10


def make_images(folder: Path, count: int) -> None:
    """Write JPEGs of 320 by 240 pixels, 20 kB each, none like another."""
    from PIL import Image

    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 320, dtype=np.float32)[None, :, None] * np.ones((240, 1, 3), np.float32)
    for number in range(count):
        noise = random.integers(0, 56, (240, 320, 3))
        Image.fromarray((ramp + noise).astype(np.uint8)).save(folder / f"{number:05}.jpg", quality=60)


def paths_in(folder: Path) -> pd.DataFrame:
    """The frame of paths that is sent."""
    names = sorted(path.name for path in folder.iterdir())
    return pd.DataFrame({"reference_id": names, "image_url": [str(folder / name) for name in names]})


def in_turn(frame: pd.DataFrame, client: Any, dataset: Any) -> int:
    """Send ten images a request, one request after the other, and count those that are stored."""
    from nucleus_pandas.transport.multipart import Multipart

    stored = 0
    for start in range(0, len(frame), TEN):
        rows = frame.iloc[start : start + TEN]
        paths = [Path(path) for path in rows["image_url"]]
        items = [
            {"reference_id": name, "image_url": path.name, "update": False}
            for name, path in zip(rows["reference_id"], paths, strict=True)
        ]
        body = Multipart({"items": json.dumps(items).encode()}, [("image", path, path.name) for path in paths])
        route = ("_nucleus_pandas", "dataset", dataset.id, "append")
        stored += client._transport.request("POST", *route, multipart=body)["new_items"]
    return stored


def worker(arguments: argparse.Namespace) -> None:
    """Send once, and print the seconds and the memory."""
    import nucleus_pandas as npd

    frame = paths_in(Path(arguments.folder))
    if arguments.worker == "in process":
        client = npd.NucleusClient.local(arguments.target)
    else:
        connections = 8 if arguments.worker == "ours" else 1
        client = npd.NucleusClient(endpoint=arguments.target, max_concurrency=connections)
    with client:
        dataset = client.create_dataset("Benchmark")
        client._transport.extensions  # noqa: B018  # asked before the clock runs
        before, began = peak(forget=True), time.perf_counter()
        if arguments.worker == "in turn":
            stored = in_turn(frame, client, dataset)
        else:
            stored = npd.append(frame, dataset).new_items
        seconds = time.perf_counter() - began
        assert stored == len(frame) == len(dataset)
        assert dataset.items.to_frame()["reference_id"].tolist() == frame["reference_id"].tolist()
    print(json.dumps({"seconds": seconds, "memory": peak() - before}))


def serve(folder: str, delay: float) -> None:
    """Serve a store, and let every answer wait."""
    from nucleus_pandas.server import app, serving

    build = app.create_app

    def slow(*arguments: Any, **options: Any) -> Any:
        application = build(*arguments, **options)
        application.before_request(lambda: time.sleep(delay))
        return application

    app.create_app = slow
    serving.serve(folder, port=0, ready=lambda endpoint: print(endpoint, flush=True))


@contextlib.contextmanager
def server(folder: str, delay: float) -> Any:
    """Return the process of a server, and its endpoint."""
    command = [sys.executable, __file__, "--serve", folder, "--delay", str(delay)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def run(way: str, folder: Path, delay: float) -> dict[str, float]:
    """Run one way in a process of its own; `server` is the memory that the server's process took at most, in MB."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as store, contextlib.ExitStack() as stack:
        target, process = store, None
        if way != "in process":
            process, target = stack.enter_context(server(store, delay))
            before = _peak_of(process.pid)
        command = [sys.executable, __file__, "--worker", way, "--folder", str(folder), "--target", target]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        measured["server"] = _peak_of(process.pid) - before if process is not None else 0.0
        return measured


def _peak_of(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def compare(ways: list[str], folder: Path, delay: float, runs: int, what: str) -> None:
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(runs):
        for way, measured in found.items():
            measured.append(run(way, folder, delay))
    middle = {
        way: {key: statistics.median(each[key] for each in measured) for key in measured[0]}
        for way, measured in found.items()
    }
    peer = next(iter(middle.values()))
    for way, own in middle.items():
        print(
            f"{what:24} +{delay * 1000:2.0f} ms  {way:15} {own['seconds']:7.3f} s, "
            f"{peer['seconds'] / own['seconds']:5.1f} times as fast as in turn; peak memory "
            f"{own['memory']:5.1f} MB, of the server {own['server']:5.1f} MB",
            flush=True,
        )


def read_headers(folder: Path) -> None:
    """Compare the reading of all sizes with Pillow's, one file after the other."""
    from PIL import Image

    import nucleus_pandas as npd

    began = time.perf_counter()
    sizes = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            sizes.append(image.size)
    pillow = time.perf_counter() - began
    began = time.perf_counter()
    frame = npd.read_images(folder)
    ours = time.perf_counter() - began
    assert list(zip(frame["width"], frame["height"], strict=True)) == sizes
    print(f"{len(frame):,} headers: read_images {ours:.3f} s, Pillow in turn {pillow:.3f} s, {pillow / ours:.1f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--delay", type=float, nargs="+", default=[0.0, 0.02])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large", type=int, default=200, help="megabytes of the one large file")
    parser.add_argument("--worker", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--target", help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.delay[0])
        return
    if arguments.worker:
        worker(arguments)
        return
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:  # a disk, not memory
        small, large = Path(folder) / "small", Path(folder) / "large"
        make_images(small, arguments.images)
        if arguments.images:
            read_headers(small)
            for delay in arguments.delay:
                ways = [way for way in arguments.ways if way != "in process" or not delay]
                compare(ways, small, delay, arguments.runs, f"{arguments.images:,} images")
        make_images(large, 1)
        with next(large.iterdir()).open("r+b") as file:
            file.truncate(arguments.large << 20)  # what follows the end of an image is not looked at
        compare(arguments.ways, large, 0.0, arguments.runs, f"1 image of {arguments.large} MB")


if __name__ == "__main__":
    main()
