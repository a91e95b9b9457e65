"""How fast do boxes become bytes with all checks on, and bytes frames, beside other ways to do it?

Frame to bytes: bodies of 5,000 predictions in the contract's form, as many threads as the client uses. Peers: what
one writes by hand (``to_dict`` and ``json``), Structs by `map` over column lists, and the bound, msgspec on dicts that
exist already. Bytes to frame: annotations as the contract pages them (500 images a page) and as the embedded
Nucleus does (columns). Peers: ``json`` and a frame of records; the bound, decoding into Structs alone. Peers neither
check nor compute ids. Medians; all in one run.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pandas as pd
import requests
from bench_upload import PER_IMAGE, boxes
from requests.adapters import BaseAdapter

from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.schema import check_annotations
from nucleus_pandas.transport.auth import Key
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.wire.entities import Box, BoxGeometry

BATCH = 5_000
PAGE = 10_000


def ours(frame: pd.DataFrame) -> int:
    units = check_annotations(frame, "predictions").units

    def write(start: int) -> int:
        return len(units.objects(start, min(start + BATCH, len(frame))))

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(write, range(0, len(frame), BATCH)))


def dicts_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.to_dict("records")
    for row in rows:
        row["type"] = "box"
        row["geometry"] = {side: row.pop(side) for side in ("x", "y", "width", "height")}
    return rows


def by_hand(frame: pd.DataFrame) -> int:
    rows = dicts_of(frame)
    return sum(len(json.dumps(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH))


def structs(frame: pd.DataFrame) -> int:
    names, labels, confidences = (frame[name].tolist() for name in ("reference_id", "label", "confidence"))
    shapes = map(BoxGeometry, *(frame[side].tolist() for side in ("x", "y", "width", "height")))
    rows = [
        Box(reference_id=name, label=label, geometry=shape, confidence=confidence)
        for name, label, shape, confidence in zip(names, labels, shapes, confidences, strict=True)
    ]
    encoder = msgspec.json.Encoder()
    return sum(len(encoder.encode(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH))


class Replay(BaseAdapter):
    """Answers with pages that were made before."""

    def __init__(self, pages: list[bytes], extensions: list[str]) -> None:
        super().__init__()
        self.pages = pages
        self.extensions = extensions
        self.at = 0

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        url = str(request.url)
        if url.endswith("_nucleus_pandas"):
            body = msgspec.json.encode({"version": "", "extensions": self.extensions})
        elif url.endswith("size"):
            body = b'{"count":1}'
        else:
            body = self.pages[self.at]
            self.at += 1
        response = requests.Response()
        response.status_code = 200
        response.raw = io.BytesIO(body)
        response._content = body
        return response

    def close(self) -> None:
        pass


def contract_pages(frame: pd.DataFrame) -> Iterator[bytes]:
    rows = dicts_of(frame.drop(columns="confidence"))
    images = [rows[start : start + PER_IMAGE] for start in range(0, len(rows), PER_IMAGE)]
    for start in range(0, len(images), 500):
        last = start + 500 >= len(images)
        data = []
        for number, found in enumerate(images[start : start + 500], start):
            name = found[0]["reference_id"]
            item_id = f"di_{number:020x}"
            item = {"id": item_id, "dataset_item_id": item_id, "ref_id": name, "reference_id": name, "image_url": name}
            box = [
                {
                    **row,
                    "id": f"ann_{at}",
                    "annotation_id": f"{number}-{at}",
                    "dataset_item_id": item_id,
                    "metadata": {},
                }
                for at, row in enumerate(found)
            ]
            types = ("polygon", "line", "keypoints", "cuboid", "category", "multicategory")
            empty: dict[str, Any] = {kind: [] for kind in types}
            data.append({"item": {**item, "metadata": {}}, "box": box, "segmentation": None, **empty})
        yield msgspec.json.encode({"data": data, "nextPageToken": None if last else "more"})


def column_pages(frame: pd.DataFrame) -> Iterator[bytes]:
    for start in range(0, len(frame), PAGE):
        part = frame.iloc[start : start + PAGE]
        count = len(part)
        columns = {name: part[name].tolist() for name in ("reference_id", "label", "x", "y", "width", "height")}
        columns["dataset_item_id"] = [f"di_{row // PER_IMAGE:020x}" for row in range(start, start + count)]
        columns["annotation_id"] = [f"{row:032x}" for row in range(start, start + count)]
        columns |= {"type": ["box"] * count, "geometry": [None] * count, "metadata": [{}] * count}
        last = start + PAGE >= len(frame)
        yield msgspec.json.encode({"columns": columns, "next": None if last else "more"})


def read(pages: list[bytes], extensions: list[str]) -> int:
    transport = Transport(
        "http://replay.invalid/v1/nucleus",
        Key(),
        max_retries=0,
        timeout=1.0,
        max_concurrency=1,
        reopen=(read, (pages, extensions)),
        adapter=Replay(pages, extensions),
    )
    return len(Dataset(transport, "ds_1").annotations.to_frame())


def records(pages: list[bytes]) -> int:
    rows = []
    for page in pages:
        for row in json.loads(page)["data"]:
            for box in row["box"]:
                shape = box.pop("geometry")
                rows.append({**box, **shape})
    return len(pd.DataFrame.from_records(rows))


class _Row(msgspec.Struct):
    box: list[Box]


class _Page(msgspec.Struct):
    data: list[_Row]


def decoded(pages: list[bytes]) -> int:
    decoder = msgspec.json.Decoder(_Page)
    return sum(len(row.box) for page in pages for row in decoder.decode(page).data)


def measure(what: str, count: int, runs: int, work: Callable[[], int]) -> None:
    seconds = []
    for _ in range(runs):
        gc.collect()
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    middle = statistics.median(seconds)
    print(f"{what:58} {middle:7.3f} s  {count / middle / 1e6:5.2f} M rows/s", flush=True)


def measure_bound(rows: list[dict[str, Any]], runs: int) -> None:
    encoder = msgspec.json.Encoder()
    measure("bound: msgspec on dicts that exist", len(rows), runs, lambda: len(encoder.encode(rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    count, runs = arguments.rows, arguments.runs
    frame = boxes(count)
    measure("frame to bytes: nucleus_pandas, checks and ids", count, runs, lambda: ours(frame))
    measure(
        "frame to bytes: the checks and ids of it",
        count,
        runs,
        lambda: len(check_annotations(frame, "predictions").units),
    )
    measure("frame to bytes: to_dict and json", count, 1, lambda: by_hand(frame))
    measure("frame to bytes: Structs by map", count, runs, lambda: structs(frame))
    measure_bound(dicts_of(frame), runs)
    pages = list(contract_pages(frame))
    measure("bytes to frame: nucleus_pandas, the contract's pages", count, runs, lambda: read(pages, []))
    measure("bytes to frame: json and records", count, 1, lambda: records(pages))
    measure("bound: msgspec into Structs", count, runs, lambda: decoded(pages))
    pages = list(column_pages(frame))
    measure("bytes to frame: nucleus_pandas, pages of columns", count, runs, lambda: read(pages, ["lookup"]))


if __name__ == "__main__":
    main()
