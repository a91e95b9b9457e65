"""How long do a million boxes take from a DataFrame to the server, and how much memory, beside the official client?

The peer is `scale-nucleus`, unmodified. Both begin with the same DataFrame: the official client's users make an object
of each row first, which is counted, and shown apart. Each run is a process of its own, the two take turns, medians are
printed. The server is one that answers at once (``--pause`` adds a delay to every answer), or an embedded Nucleus over
loopback (``--embedded``), durable. ``--stdlib`` takes Python's own HTTP server instead, which reads bodies in one
process. All checks of this package are on; a batch is 5,000 rows for both.

A million annotations with 20 ms per answer took 1.8 s beside 26.9 s of the official client on the server of the
standard library, and 1.6 s beside 25.8 s on the null server (two busy cores). The servers used 0.2 s of processor time,
this client 1.8 s: the pauses overlap on eight connections, and what remains is the writing of the bodies.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PER_IMAGE = 40
HERE = Path(__file__).parent


def boxes(count: int) -> pd.DataFrame:
    """Predictions as a detector writes them: 40 an image, 80 classes, coordinates with two decimals."""
    random = np.random.default_rng(0)
    images = pd.Series([f"camera/{number:06d}.jpg" for number in range(-(-count // PER_IMAGE))])
    labels = pd.Series([f"class {number}" for number in range(80)])
    sides = np.round(random.random((count, 4)) * 500, 2)
    return pd.DataFrame(
        {
            "reference_id": images.repeat(PER_IMAGE).iloc[:count].to_numpy(),
            "label": labels.iloc[random.integers(0, 80, count)].to_numpy(),
            **dict(zip(("x", "y", "width", "height"), sides.T, strict=True)),
            "confidence": random.random(count),
        }
    )


def ours(frame: pd.DataFrame, verb: str, endpoint: str, target: str) -> dict[str, float]:
    import nucleus_pandas as npd
    from nucleus_pandas.api.dataset import Dataset
    from nucleus_pandas.api.model_run import ModelRun

    client = npd.NucleusClient("key", endpoint)
    began = time.perf_counter()
    if verb == "append":
        assert npd.append(frame, Dataset(client._transport, target), metadata=["hour"]).new_items
    elif verb == "annotate":
        result = npd.annotate(frame, Dataset(client._transport, target))
        assert result.annotations_processed == len(frame)
    else:
        result = npd.predict(frame, ModelRun(client._transport, target))
        assert result.predictions_processed == len(frame)
    return {"seconds": time.perf_counter() - began}


def items_of(count: int) -> pd.DataFrame:
    """Remote images with one key of metadata."""
    names = "camera/" + pd.Series(range(count)).astype(str) + ".jpg"
    return pd.DataFrame({"reference_id": names, "image_url": "https://example.org/" + names, "hour": 7})


def official_append(frame: pd.DataFrame, dataset: Any) -> dict[str, float]:
    import nucleus

    began = time.perf_counter()
    rows = [
        nucleus.DatasetItem(image_location=url, reference_id=name, metadata={"hour": hour})
        for name, url, hour in zip(frame["reference_id"], frame["image_url"], frame["hour"].tolist(), strict=True)
    ]
    made = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        job = dataset.append(rows)
        sent = time.perf_counter()
        job.sleep_until_complete()
    return {"seconds": time.perf_counter() - began, "objects": made - began, "unwatched": sent - began}


def official(frame: pd.DataFrame, verb: str, endpoint: str, target: str) -> dict[str, float]:
    import nucleus
    from nucleus.dataset import Dataset
    from nucleus.model_run import ModelRun

    client = nucleus.NucleusClient("key", endpoint=endpoint)
    if verb == "append":
        return official_append(frame, Dataset(target, client))
    began = time.perf_counter()
    names = ["reference_id", "label", "x", "y", "width", "height"]
    columns = [frame[name] for name in names]
    rows: list[Any]
    if verb == "annotate":
        rows = [
            nucleus.BoxAnnotation(reference_id=r, label=name, x=x, y=y, width=w, height=h)
            for r, name, x, y, w, h in zip(*columns, strict=True)
        ]
    else:
        rows = [
            nucleus.BoxPrediction(reference_id=r, label=name, x=x, y=y, width=w, height=h, confidence=c)
            for r, name, x, y, w, h, c in zip(*columns, frame["confidence"], strict=True)
        ]
    made = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        if verb == "annotate":
            Dataset(target, client).annotate(rows)
        else:
            ModelRun(target, "ds_1", client).predict(rows)
    ended = time.perf_counter()
    return {"seconds": ended - began, "objects": made - began}


def peak(*, forget: bool = False) -> float:
    """The largest amount of memory so far, or since it was last forgotten, in MB."""
    if not Path("/proc/self/clear_refs").exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def worker(arguments: argparse.Namespace) -> None:
    frame = items_of(arguments.rows) if arguments.verb == "append" else boxes(arguments.rows)
    importlib.import_module("nucleus_pandas" if arguments.worker == "ours" else "nucleus")
    before = peak(forget=True)
    client = ours if arguments.worker == "ours" else official
    measured = client(frame, arguments.verb, arguments.endpoint, arguments.target)
    print(json.dumps({**measured, "memory": peak() - before}))


def run(client: str, rows: int, verb: str, endpoint: str, target: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", client, "--rows", str(rows), "--verb", verb]
    done = subprocess.run(
        [*command, "--endpoint", endpoint, "--target", target], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


@contextlib.contextmanager
def null_server(pause: float, options: list[str]) -> Any:
    command = [sys.executable, str(HERE / "null_server.py"), "--pause", str(pause), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1/nucleus"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def embedded(folder: str) -> Any:
    command = [sys.executable, "-m", "nucleus_pandas.cli", "serve", folder, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


def target_on(endpoint: str, rows: int, verb: str) -> str:
    """Create an empty target with the items that the boxes need."""
    import nucleus_pandas as npd

    client = npd.NucleusClient(endpoint=endpoint)
    dataset = client.create_dataset("Benchmark")
    items = boxes(rows)[["reference_id"]].drop_duplicates()
    items.assign(image_url="https://example.org/" + items["reference_id"]).nucleus.append(dataset)
    if verb == "annotate":
        return dataset.id
    return dataset.create_model_run(client.add_model("Detector", "det")).id


def compare(rows: int, verb: str, pause: float, runs: int, *, on_embedded: bool, stdlib: bool) -> None:
    found: dict[str, list[dict[str, float]]] = {"ours": [], "official": []}
    for _ in range(runs):
        for client, measured in found.items():
            if on_embedded:
                with tempfile.TemporaryDirectory() as folder, embedded(folder) as endpoint:
                    measured.append(run(client, rows, verb, endpoint, target_on(endpoint, rows, verb)))
            else:
                with null_server(pause, ["--stdlib"] * stdlib) as endpoint:
                    measured.append(run(client, rows, verb, endpoint, "run_1" if verb == "predict" else "ds_1"))
    middle = {
        client: {key: statistics.median(each[key] for each in measured) for key in measured[0]}
        for client, measured in found.items()
    }
    mine, peer = middle["ours"], middle["official"]
    server = "stdlib" if stdlib else "null"
    where = "embedded" if on_embedded else f"{server} +{pause * 1000:.0f} ms" if pause else server
    print(
        f"{verb:8} {rows:>9,} {where:>13}  ours {mine['seconds']:7.3f} s {rows / mine['seconds'] / 1e6:5.2f} M rows/s"
        f" {mine['memory']:6.0f} MB   official {peer['seconds']:7.3f} s (objects {peer['objects']:6.3f} s)"
        f" {peer['memory']:6.0f} MB   {peer['seconds'] / mine['seconds']:5.1f} times as fast,"
        f" {(peer['seconds'] - peer['objects']) / mine['seconds']:5.1f} without making objects,"
        f" memory {mine['memory'] / peer['memory']:4.2f}"
        + (
            f", {peer['unwatched'] / mine['seconds']:.1f} without its waiting for the job"
            if "unwatched" in peer
            else ""
        ),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--verb", nargs="+", default=["annotate", "predict"], choices=["annotate", "predict", "append"])
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that the null server waits")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--embedded", action="store_true")
    parser.add_argument("--stdlib", action="store_true", help="answer by Python's own HTTP server")
    parser.add_argument("--worker", choices=["ours", "official"], help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", help=argparse.SUPPRESS)
    parser.add_argument("--target", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        arguments.rows, arguments.verb = arguments.rows[0], arguments.verb[0]
        worker(arguments)
        return
    for rows in arguments.rows:
        for verb in arguments.verb:
            compare(
                rows, verb, arguments.pause, arguments.runs, on_embedded=arguments.embedded, stdlib=arguments.stdlib
            )


if __name__ == "__main__":
    main()
