"""Parquet files to import, and what is there afterwards."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import nucleus_pandas as npd
from tests.factories import marked_png
from tests.support.faulty_network import handle
from tests.support.private import run_handle

IMAGES = 6  # that boxes are on
JOURNAL = ".nucleus_import.sqlite"


def image_items(count: int = 12, start: int = 0) -> pd.DataFrame:
    """Items, each with metadata."""
    names = [f"{number:02}.jpg" for number in range(start, start + count)]
    frame = pd.DataFrame({"reference_id": names, "image_url": [f"https://example.org/{name}" for name in names]})
    return frame.assign(**{"metadata.number": range(start, start + count)})


def with_files(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The same items, as local images."""
    folder.mkdir(exist_ok=True)
    paths = [folder / name for name in frame["reference_id"]]
    for path in paths:
        path.write_bytes(marked_png(path.name.encode() * 100))
    return frame.assign(image_url=[str(path) for path in paths])


def masks(folder: Path) -> pd.DataFrame:
    """A mask of each image, which is a local file."""
    folder.mkdir(exist_ok=True)
    geometry = []
    for number in range(IMAGES):
        path = folder / f"{number}.png"
        Image.new("L", (8, 6), number).save(path)
        geometry.append(json.dumps({"mask_url": str(path), "annotations": [{"label": "sky", "index": 1}]}))
    names = [f"{number:02}.jpg" for number in range(IMAGES)]
    return pd.DataFrame({"reference_id": names, "type": "mask", "geometry": geometry})


def box_rows(count: int = 13, later: int = 8) -> pd.DataFrame:
    """Boxes without ids; the third is repeated at once, the second in a later row group."""
    numbers = np.arange(count)
    numbers[[3, later]] = numbers[[2, 1]]
    frame = pd.DataFrame({"reference_id": [f"{number % IMAGES:02}.jpg" for number in numbers], "label": "car"})
    frame = frame.assign(x=numbers * 1.5, y=1.0, width=10.0, height=20.0)
    return frame.assign(**{"metadata.number": numbers, "confidence": numbers / (2 * count)})


def with_refused(frame: pd.DataFrame) -> pd.DataFrame:
    """The same, with rows of which one is refused by the look at them, and two by the server."""
    refused = frame.iloc[[0, 1, 2]].assign(reference_id=["00.jpg", "absent.jpg", "absent.jpg"], width=[-1.0, 2.0, 3.0])
    return pd.concat([frame.iloc[:4], refused.iloc[:2], frame.iloc[4:], refused.iloc[2:]], ignore_index=True)


def write(frame: pd.DataFrame, path: Path, row_group_size: int = 5, **options: Any) -> Path:
    """Write a Parquet file of small row groups."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table, path, row_group_size=row_group_size, **options)
    return path


@dataclass
class Destination:
    """A dataset of six images, or an empty one for items, and a run on it."""

    kind: Any
    dataset: npd.Dataset
    run: npd.ModelRun | None

    @classmethod
    def make(cls, client: npd.NucleusClient, kind: str) -> Destination:
        """Create one."""
        dataset = client.create_dataset(f"For {kind}")
        if kind == "items":
            return cls(kind, dataset, None)
        dataset.append(image_items(IMAGES))
        if kind == "annotations":
            return cls(kind, dataset, None)
        model = client.add_model("M", reference_id=dataset.id)
        return cls(kind, dataset, dataset.create_model_run(model))

    def imported(self, client: npd.NucleusClient, source: Any, batch_size: int = 2, **options: Any) -> npd.ImportResult:
        """Import with a client of its own."""
        there = self.at(client)
        return npd.import_parquet(source, there.dataset, self.kind, there.run, batch_size=batch_size, **options)

    def arguments(self, source: Path, batch_size: int) -> list[str]:
        """Return the command that imports."""
        options = ["--kind", self.kind, "--batch-size", str(batch_size), "--no-progress"]
        options += [] if self.run is None else ["--run", self.run.id]
        return ["import", str(source), self.dataset.id, *options]

    def at(self, client: npd.NucleusClient) -> Destination:
        """The same, reached by another client."""
        run = None if self.run is None else run_handle(client, self.run.id, self.dataset.id)
        return Destination(self.kind, handle(client, self.dataset), run)

    def rows(self, *, ordered: bool = True) -> pd.DataFrame:
        """Read everything that is there, but for the ids that the server gave; in their order, where they have one."""
        if self.kind == "items":
            frame = self.dataset.items.to_frame().reset_index()
            # the server's own addresses hold its host, in process they are paths; the name is a hash of the content
            frame["image_url"] = frame["image_url"].str.replace(r".*/images/(.*/)?", "", regex=True)
        elif self.run is None:
            frame = self.dataset.annotations.to_frame()
        else:
            frame = self.run.predictions.to_frame()
        frame = frame.drop(columns="dataset_item_id")
        if "geometry" in frame:
            frame["geometry"] = [
                shape and {**shape, "mask_url": Path(shape["mask_url"]).name} for shape in frame["geometry"]
            ]
        if ordered:
            return frame
        return sorted_rows(frame)


def sorted_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by their ids."""
    keys = [name for name in ("reference_id", "annotation_id") if name in frame]
    return frame.sort_values(keys, ignore_index=True)


@dataclass(frozen=True)
class Noted:
    """What a journal holds: rows that were answered by row group, and the counts of those that were answered whole."""

    answered: Mapping[str, int]
    finished: Mapping[str, int]


def read_journal(path: Path) -> Noted:
    """Read a journal without the package, and see that it is sound."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not db.execute("SELECT 1 FROM sqlite_schema").fetchall():
            return Noted({}, {})  # who began it was ended at once
        sums = "SELECT batch.part, sum(json_extract(run.value, '$[1]')) FROM batch, json_each(batch.outcomes) AS run"
        answered = dict(db.execute(f"{sums} GROUP BY 1").fetchall())
        counted = "SELECT part, sum(value) FROM part, json_each(counts) AS one WHERE one.key != 'repeats' GROUP BY 1"
        return Noted(answered, dict(db.execute(counted).fetchall()))


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Two frames hold the same, row by row."""
    pd.testing.assert_frame_equal(found, expected)


def read_rejects(path: Path | None) -> pd.DataFrame:
    """Read where refused rows stood, and why."""
    assert path is not None
    frame = pd.read_parquet(path)
    return frame[[name for name in frame if name.startswith("reject_")]]
