"""Rows of datasets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from nucleus_pandas.errors import NotFoundError
from nucleus_pandas.server.store.ids import item_range, new_tag, now, tag_of
from nucleus_pandas.wire.requests import CreateDataset
from nucleus_pandas.wire.responses import DatasetInfo

_COLUMNS = "id, tag, name, is_scene, use_privacy_mode, length"


@dataclass(frozen=True, slots=True)
class Dataset:
    """What most requests need to know of a dataset."""

    id: int
    tag: str
    name: str
    is_scene: bool
    use_privacy_mode: bool
    length: int

    @property
    def public_id(self) -> str:
        """The id that users see."""
        return f"ds_{self.tag}"


def json_or_none(value: object) -> str | None:
    """Write a value as JSON text, None as NULL."""
    return None if value is None else msgspec.json.encode(value).decode()


def create(db: sqlite3.Connection, request: CreateDataset) -> Dataset:
    """Create a dataset."""
    tag = new_tag()
    db.execute(
        "INSERT INTO dataset (tag, name, is_scene, use_privacy_mode, annotation_metadata_schema, item_metadata_schema,"
        " created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            tag,
            request.name,
            bool(request.is_scene),
            bool(request.use_privacy_mode),
            json_or_none(request.annotation_metadata_schema),
            json_or_none(request.item_metadata_schema),
            now(),
        ),
    )
    return find(db, f"ds_{tag}")


def find(db: sqlite3.Connection, public_id: str) -> Dataset:
    """Find a dataset, or raise NotFoundError."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM dataset WHERE tag = ? AND NOT deleted", (tag_of(public_id, "ds_"),)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no dataset '{public_id}'.")
    return Dataset(row[0], row[1], row[2], bool(row[3]), bool(row[4]), row[5])


def by_number(db: sqlite3.Connection, number: int) -> Dataset:
    """Find a dataset by what its items' numbers begin with, or raise NotFoundError."""
    row = db.execute("SELECT tag FROM dataset WHERE id = ?", (number,)).fetchone()
    return find(db, f"ds_{row and row[0]}")


def positions(db: sqlite3.Connection, number: int) -> int:
    """Return how many positions a dataset has given to items, those of deleted items included."""
    return int(db.execute("SELECT positions FROM dataset WHERE id = ?", (number,)).fetchone()[0])


def tags_by_number(db: sqlite3.Connection) -> dict[int, str]:
    """Return the tag of every dataset that is not deleted, by the number of the dataset."""
    return dict(db.execute("SELECT id, tag FROM dataset WHERE NOT deleted").fetchall())


def listing(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """List id and name of every dataset, oldest first."""
    return [
        (f"ds_{tag}", name) for tag, name in db.execute("SELECT tag, name FROM dataset WHERE NOT deleted ORDER BY id")
    ]


def info(db: sqlite3.Connection, dataset: Dataset) -> DatasetInfo:
    """Describe a dataset."""
    annotation_schema, item_schema = db.execute(
        "SELECT annotation_metadata_schema, item_metadata_schema FROM dataset WHERE id = ?", (dataset.id,)
    ).fetchone()
    return DatasetInfo(
        dataset_id=dataset.public_id,
        name=dataset.name,
        length=dataset.length,
        model_run_ids=run_ids(db, dataset),
        slice_ids=slice_ids(db, dataset),
        annotation_metadata_schema=annotation_schema and msgspec.json.decode(annotation_schema),
        item_metadata_schema=item_schema and msgspec.json.decode(item_schema),
        tags=tags(db, dataset),
    )


def item_schema(db: sqlite3.Connection, dataset: Dataset) -> str | None:
    """Return the metadata schema of the items of a dataset, as JSON; None without one."""
    text: str | None = db.execute("SELECT item_metadata_schema FROM dataset WHERE id = ?", (dataset.id,)).fetchone()[0]
    return text


def run_ids(db: sqlite3.Connection, dataset: Dataset) -> list[str]:
    """List the runs on a dataset, oldest first."""
    rows = db.execute("SELECT tag FROM run WHERE dataset = ? AND NOT deleted ORDER BY id", (dataset.id,))
    return [f"run_{tag}" for (tag,) in rows]


def slice_ids(db: sqlite3.Connection, dataset: Dataset) -> list[str]:
    """List the slices of a dataset, oldest first."""
    rows = db.execute("SELECT tag FROM slice WHERE dataset = ? AND NOT deleted ORDER BY id", (dataset.id,))
    return [f"slc_{tag}" for (tag,) in rows]


def tags(db: sqlite3.Connection, dataset: Dataset) -> list[str]:
    """List the tags of a dataset in the order in which they came."""
    rows = db.execute("SELECT tag FROM dataset_tag WHERE dataset = ? ORDER BY number", (dataset.id,))
    return [tag for (tag,) in rows]


def add_tags(db: sqlite3.Connection, dataset: Dataset, wanted: Iterable[str]) -> None:
    """Tag a dataset; what it is tagged with already stays in its place."""
    for tag in wanted:
        db.execute(
            "INSERT OR IGNORE INTO dataset_tag SELECT ?1, ?2, (SELECT 1 + coalesce(max(number), 0) FROM dataset_tag"
            " WHERE dataset = ?1)",
            (dataset.id, tag),
        )


def remove_tags(db: sqlite3.Connection, dataset: Dataset, wanted: Iterable[str]) -> None:
    """Take tags off a dataset; those that it has not are passed over."""
    db.executemany("DELETE FROM dataset_tag WHERE dataset = ? AND tag = ?", [(dataset.id, tag) for tag in wanted])


def truth_labels(db: sqlite3.Connection, dataset: Dataset) -> list[str]:
    """List the labels of the ground truth."""
    rows = db.execute(
        "SELECT DISTINCT label FROM annotation WHERE item >= ? AND item < ? AND label IS NOT NULL ORDER BY 1",
        item_range(dataset.id),
    )
    return [label for (label,) in rows]


def predicted_labels(db: sqlite3.Connection, dataset: Dataset) -> list[str]:
    """List the labels of the predictions of every run."""
    rows = db.execute(
        "SELECT DISTINCT label FROM run CROSS JOIN prediction ON prediction.run = run.id AND item >= ? AND item < ?"
        " WHERE (dataset = ? OR dataset IS NULL) AND NOT deleted AND label IS NOT NULL ORDER BY 1",
        (*item_range(dataset.id), dataset.id),
    )
    return [label for (label,) in rows]


def mark_deleted(db: sqlite3.Connection, dataset: Dataset) -> None:
    """Hide a dataset and its runs from everybody; `purge` removes the rows."""
    db.execute("UPDATE dataset SET deleted = 1 WHERE id = ?", (dataset.id,))
    db.execute("UPDATE run SET deleted = 1 WHERE dataset = ?", (dataset.id,))
