"""Datasets, their tags and their taxonomies."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from nucleus_pandas.errors import ConflictError, NotFoundError
from nucleus_pandas.server.store import generations, layers
from nucleus_pandas.server.store.ids import dataset_of, item_range, new_tag, now, tag_of
from nucleus_pandas.server.store.layers import AnnotationLayer
from nucleus_pandas.wire.requests import AddTaxonomy, CreateDataset
from nucleus_pandas.wire.responses import DatasetInfo

_COLUMNS = "id, tag, name, is_scene, use_privacy_mode, length"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A stored dataset; `length` is the number of its items."""

    id: int
    tag: str
    name: str
    is_scene: bool
    use_privacy_mode: bool
    length: int

    @property
    def public_id(self) -> str:
        """The public id."""
        return f"ds_{self.tag}"

    @property
    def layer(self) -> AnnotationLayer:
        """The ground truth of the dataset."""
        return AnnotationLayer(None, ("dataset", self.id))


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


def named(db: sqlite3.Connection, name: str) -> list[Dataset]:
    """List the datasets of a name, oldest first."""
    rows = db.execute("SELECT tag FROM dataset WHERE name = ? AND NOT deleted ORDER BY id", (name,)).fetchall()
    return [find(db, f"ds_{tag}") for (tag,) in rows]


def rename(db: sqlite3.Connection, dataset: Dataset, name: str) -> None:
    """Change the name of a dataset."""
    db.execute("UPDATE dataset SET name = ? WHERE id = ?", (name, dataset.id))


def find(db: sqlite3.Connection, public_id: str) -> Dataset:
    """Find a dataset, or raise NotFoundError."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM dataset WHERE tag = ? AND NOT deleted", (tag_of(public_id, "ds_"),)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no dataset '{public_id}'.")
    return Dataset(row[0], row[1], row[2], bool(row[3]), bool(row[4]), row[5])


def by_number(db: sqlite3.Connection, number: int) -> Dataset:
    """Find a dataset by its number, or raise NotFoundError."""
    row = db.execute("SELECT tag FROM dataset WHERE id = ?", (number,)).fetchone()
    return find(db, f"ds_{row and row[0]}")


def datasets_of_rows(db: sqlite3.Connection, table: str, owner: str, number: int) -> list[int]:
    """List the datasets of the items of a run's or benchmark's rows.

    Each look-up seeks the first row after the last dataset, so there is one per dataset, however many rows there are.
    The table needs an index on the owner and then on ``item``.
    """
    numbers: list[int] = []
    after = 0
    while row := db.execute(
        f"SELECT item FROM {table} WHERE {owner} = ? AND item >= ? ORDER BY item LIMIT 1", (number, after)
    ).fetchone():
        numbers.append(dataset_of(row[0]))
        after = item_range(numbers[-1])[1]
    existing = tags_by_number(db)
    return [number for number in numbers if number in existing]


def positions(db: sqlite3.Connection, number: int) -> int:
    """Return how many positions of a dataset are used, those of deleted items included."""
    return int(db.execute("SELECT positions FROM dataset WHERE id = ?", (number,)).fetchone()[0])


def tags_by_number(db: sqlite3.Connection) -> dict[int, str]:
    """Return the tag of every dataset that is not deleted, by the number of the dataset."""
    return dict(db.execute("SELECT id, tag FROM dataset WHERE NOT deleted").fetchall())


def listing(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """List id and name of every dataset, oldest first."""
    return [
        (f"ds_{tag}", name) for tag, name in db.execute("SELECT tag, name FROM dataset WHERE NOT deleted ORDER BY id")
    ]


class DatasetEntry(NamedTuple):
    """A dataset as lists show it."""

    id: str
    name: str
    length: int
    created_at: str
    runs: int


def entries(db: sqlite3.Connection) -> list[DatasetEntry]:
    """List the datasets with the number of their runs, newest first."""
    rows = db.execute(
        "SELECT 'ds_' || tag, name, length, created_at, (SELECT count(*) FROM run WHERE run.dataset = dataset.id AND"
        " NOT run.deleted) FROM dataset WHERE NOT deleted ORDER BY id DESC"
    )
    return list(map(DatasetEntry._make, rows))


def counters(db: sqlite3.Connection, number: int) -> tuple[int, int]:
    """Return the revision of a dataset, which every change increases, and the number of annotations that arrived."""
    revision, arrivals = db.execute("SELECT revision, arrivals FROM dataset WHERE id = ?", (number,)).fetchone()
    return revision, arrivals


def tag_of_each(db: sqlite3.Connection) -> dict[int, str]:
    """Return the tag of every dataset by its number, those of deleted datasets included."""
    return dict(db.execute("SELECT id, tag FROM dataset").fetchall())


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
    """List the tags of a dataset in the order in which they were added."""
    rows = db.execute("SELECT tag FROM dataset_tag WHERE dataset = ? ORDER BY number", (dataset.id,))
    return [tag for (tag,) in rows]


def add_tags(db: sqlite3.Connection, dataset: Dataset, tags: Iterable[str]) -> None:
    """Add tags to a dataset; existing ones keep their order."""
    for tag in tags:
        db.execute(
            "INSERT OR IGNORE INTO dataset_tag SELECT ?1, ?2, (SELECT 1 + coalesce(max(number), 0) FROM dataset_tag"
            " WHERE dataset = ?1)",
            (dataset.id, tag),
        )


def remove_tags(db: sqlite3.Connection, dataset: Dataset, tags: Iterable[str]) -> None:
    """Remove tags from a dataset; unknown ones are ignored."""
    db.executemany("DELETE FROM dataset_tag WHERE dataset = ? AND tag = ?", [(dataset.id, tag) for tag in tags])


def ground_truth_labels(db: sqlite3.Connection, dataset: Dataset) -> list[str]:
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
    """Hide a dataset and its runs; `purge` removes the rows."""
    db.execute("UPDATE dataset SET deleted = 1 WHERE id = ?", (dataset.id,))
    db.execute("UPDATE run SET deleted = 1 WHERE dataset = ?", (dataset.id,))


class Taxonomy(NamedTuple):
    """The labels that categories of a taxonomy may have, as stored."""

    type: str
    labels: list[str]


def taxonomies(db: sqlite3.Connection, dataset: int) -> dict[str, Taxonomy]:
    """Return the taxonomies of a dataset by name."""
    rows = db.execute("SELECT name, type, labels FROM taxonomy WHERE dataset = ? ORDER BY name", (dataset,))
    return {name: Taxonomy(kind, msgspec.json.decode(labels)) for name, kind, labels in rows}


def add_taxonomy(db: sqlite3.Connection, dataset: Dataset, request: AddTaxonomy) -> str:
    """Create a taxonomy, or add labels to it if the request says `update`; return what was done, as a sentence.

    Raises
    ------
    ConflictError
        The existing taxonomy has another type.
    """
    taxonomy = taxonomies(db, dataset.id).get(request.taxonomy_name)
    if taxonomy is None:
        db.execute(
            "INSERT INTO taxonomy VALUES (?, ?, ?, ?)",
            (dataset.id, request.taxonomy_name, request.type, json_or_none(list(dict.fromkeys(request.labels)))),
        )
        return "Taxonomy created"
    if not request.update:
        return "Taxonomy already exists"
    if taxonomy.type != request.type:
        raise ConflictError(
            f"The taxonomy '{request.taxonomy_name}' has the type {taxonomy.type}, which cannot become {request.type}; "
            "delete it, or choose another name."
        )
    labels = list(dict.fromkeys([*taxonomy.labels, *request.labels]))
    db.execute(
        "UPDATE taxonomy SET labels = ? WHERE dataset = ? AND name = ?",
        (json_or_none(labels), dataset.id, request.taxonomy_name),
    )
    return "Taxonomy updated"


def delete_taxonomy(db: sqlite3.Connection, dataset: Dataset, name: str) -> None:
    """Delete a taxonomy with its annotations and predictions, or raise NotFoundError."""
    if not db.execute("DELETE FROM taxonomy WHERE dataset = ? AND name = ?", (dataset.id, name)).rowcount:
        raise NotFoundError(f"The dataset '{dataset.public_id}' has no taxonomy '{name}'.")
    rows = (*item_range(dataset.id), layers.taxonomy_key(name))
    generations.record_deletion(db, dataset.id)
    count = db.execute("DELETE FROM annotation WHERE item >= ? AND item < ? AND key = ?", rows).rowcount
    for run in db.execute("SELECT id FROM run WHERE dataset = ? OR dataset IS NULL", (dataset.id,)).fetchall():
        count += db.execute(
            "DELETE FROM prediction WHERE run = ? AND item >= ? AND item < ? AND key = ?", (*run, *rows)
        ).rowcount
    if count:
        db.execute("UPDATE dataset SET revision = revision + 1 WHERE id = ?", (dataset.id,))
