"""Rows of taxonomies: the labels that categories may have."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

import msgspec

from nucleus_pandas.errors import ConflictError, NotFoundError
from nucleus_pandas.server.store import layers
from nucleus_pandas.server.store.datasets import Dataset, json_or_none
from nucleus_pandas.server.store.ids import item_range
from nucleus_pandas.wire.requests import AddTaxonomy


class Taxonomy(NamedTuple):
    """A taxonomy as stored."""

    type: str
    labels: list[str]


def of_dataset(db: sqlite3.Connection, dataset: int) -> dict[str, Taxonomy]:
    """Return the taxonomies of a dataset by name."""
    rows = db.execute("SELECT name, type, labels FROM taxonomy WHERE dataset = ? ORDER BY name", (dataset,))
    return {name: Taxonomy(kind, msgspec.json.decode(labels)) for name, kind, labels in rows}


def add(db: sqlite3.Connection, dataset: Dataset, wanted: AddTaxonomy) -> str:
    """Create a taxonomy, or let one grow where the request says `update`; tell which of the two in a sentence.

    Raises
    ------
    ConflictError
        The taxonomy that is to grow is of the other type.
    """
    known = of_dataset(db, dataset.id).get(wanted.taxonomy_name)
    if known is None:
        db.execute(
            "INSERT INTO taxonomy VALUES (?, ?, ?, ?)",
            (dataset.id, wanted.taxonomy_name, wanted.type, json_or_none(list(dict.fromkeys(wanted.labels)))),
        )
        return "Taxonomy created"
    if not wanted.update:
        return "Taxonomy already exists"
    if known.type != wanted.type:
        raise ConflictError(
            f"The taxonomy '{wanted.taxonomy_name}' is of the type {known.type}, which cannot become {wanted.type}; "
            "delete it, or choose another name."
        )
    labels = list(dict.fromkeys([*known.labels, *wanted.labels]))
    db.execute(
        "UPDATE taxonomy SET labels = ? WHERE dataset = ? AND name = ?",
        (json_or_none(labels), dataset.id, wanted.taxonomy_name),
    )
    return "Taxonomy updated"


def delete(db: sqlite3.Connection, dataset: Dataset, name: str) -> None:
    """Remove a taxonomy with its annotations and predictions, or raise NotFoundError."""
    if not db.execute("DELETE FROM taxonomy WHERE dataset = ? AND name = ?", (dataset.id, name)).rowcount:
        raise NotFoundError(f"The dataset '{dataset.public_id}' has no taxonomy '{name}'.")
    key = layers.taxonomy_key(name)
    place = (*item_range(dataset.id), key)
    count = db.execute("DELETE FROM annotation WHERE item >= ? AND item < ? AND key = ?", place).rowcount
    for run in db.execute("SELECT id FROM run WHERE dataset = ? OR dataset IS NULL", (dataset.id,)).fetchall():
        count += db.execute(
            "DELETE FROM prediction WHERE run = ? AND item >= ? AND item < ? AND key = ?", (*run, *place)
        ).rowcount
    if count:
        db.execute("UPDATE dataset SET revision = revision + 1 WHERE id = ?", (dataset.id,))
