"""Writes into a store while others do."""

from __future__ import annotations

from collections import Counter
from multiprocessing.connection import Connection

import pandas as pd

import nucleus_pandas as npd

CALLS, ROWS = 10, 10  # calls of each kind; rows of its own, and as many that all writers send, in each


def write(client: npd.NucleusClient, number: int) -> Counter[str]:
    """Append items and their boxes, half of them those that every writer sends; count the outcomes."""
    dataset = client.get_dataset(client.list_datasets()[0])
    counts: Counter[str] = Counter()
    for call in range(CALLS):
        names = [name for n in range(ROWS) for name in (f"own-{number}-{call}-{n}", f"shared-{call}-{n}")]
        items = pd.DataFrame({"reference_id": names, "image_url": [f"https://example.org/{name}" for name in names]})
        boxes = pd.DataFrame(
            {"reference_id": names, "annotation_id": "same", "label": "car", "x": 1, "y": 2, "width": 3, "height": 4}
        )
        mine = boxes.assign(annotation_id=f"of {number}")
        counts.update(f"item {status}" for status in dataset.append(items).rows["status"])
        counts.update(f"box {status}" for status in dataset.annotate(pd.concat([boxes, mine])).rows["status"])
    return counts


def work(folder: str, number: int, word: Connection) -> None:
    """Say that the store is open, wait for the word, write, and tell the counts."""
    with npd.NucleusClient.local(folder) as client:
        word.send("open")
        word.recv()
        word.send(write(client, number))
