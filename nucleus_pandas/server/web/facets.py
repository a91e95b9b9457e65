"""What a dataset can be filtered by: its labels and the keys of its metadata."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from nucleus_pandas._util.html import cut
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import item_range
from nucleus_pandas.server.web import colours
from nucleus_pandas.server.web.layers import RunEntry
from nucleus_pandas.server.web.result_cache import Memory, Pending, Question

MOST = 500
"""Labels, and keys, that are offered."""
_VALUES = 40  # of one key
_LOOKED_AT = 100_000  # items whose metadata is read
_SMALL = 20_000  # rows that are read while somebody waits
_LONG = 200  # characters; longer ones are not offered


class Description(Struct, kw_only=True):
    """What there is to filter by.

    Attributes
    ----------
    labels : list of (str, int)
        The labels of the ground truth with their counts, the most frequent first.
    metadata : dict of str to list of str
        Keys of the items' metadata, each with some of its values as text.
    """

    labels: list[tuple[str, int]] = []
    metadata: dict[str, list[str]] = {}


class Predicted(Struct):
    """The labels of a run's predictions, the most frequent first."""

    labels: list[str] = []


def describe(nucleus: EmbeddedNucleus, memory: Memory, db: sqlite3.Connection, dataset: Dataset) -> Description:
    """Return what there is to filter by, as far as it is known already, and have labels their colours."""
    revision, arrivals = db.execute("SELECT revision, arrivals FROM dataset WHERE id = ?", (dataset.id,)).fetchone()
    asked = Question(dataset.public_id, revision, Description, max(arrivals, dataset.length) <= _SMALL)
    found = Description()
    with suppress(Pending):
        found = memory.answer(asked, lambda: _description(nucleus, dataset))
    colours.use(label for label, _ in found.labels)
    return found


def paint(nucleus: EmbeddedNucleus, memory: Memory, db: sqlite3.Connection, every: Sequence[Dataset]) -> None:
    """Have labels the colours of the first of some datasets."""
    for dataset in every[:1]:
        describe(nucleus, memory, db, dataset)


def predicted(nucleus: EmbeddedNucleus, memory: Memory, dataset: Dataset, run: RunEntry | None) -> Predicted:
    """Return the labels of the predictions of a run, as far as they are known already."""
    found = Predicted()
    if run is not None:
        asked = Question(f"{run.id}_labels_{dataset.tag}", run.arrivals, Predicted, run.arrivals <= _SMALL)
        with suppress(Pending):
            found = memory.answer(asked, lambda: Predicted(_labels(nucleus, dataset, run)))
    return found


def offered(found: Description, others: Predicted) -> Sequence[str]:
    """Return the labels of both sides."""
    every = dict.fromkeys([*(label for label, _ in found.labels), *others.labels])
    return [label for label in every if cut(label, _LONG) == label][:MOST]


def _labels(nucleus: EmbeddedNucleus, dataset: Dataset, run: RunEntry) -> list[str]:
    with nucleus.database.read() as db:
        rows = db.execute(
            "SELECT label FROM prediction WHERE run = ? AND item >= ? AND item < ? AND label IS NOT NULL"
            f" GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {MOST}",
            (run.number, *item_range(dataset.id)),
        )
        return [label for (label,) in rows]


def _description(nucleus: EmbeddedNucleus, dataset: Dataset) -> Description:
    with nucleus.database.read() as db:
        labels = db.execute(
            "SELECT label, count(*) FROM annotation WHERE item >= ? AND item < ? AND label IS NOT NULL"
            f" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MOST}",
            item_range(dataset.id),
        ).fetchall()
        rows = db.execute(
            "SELECT key, text FROM (SELECT key, text, count(*) AS many, row_number() OVER (PARTITION BY key ORDER BY"
            " count(*) DESC, text) AS place FROM (SELECT entry.key AS key, CASE WHEN entry.type IN ('true', 'false')"
            " THEN entry.type ELSE CAST(entry.atom AS TEXT) END AS text FROM (SELECT metadata FROM item WHERE id >= ?"
            f" AND id < ? AND metadata IS NOT NULL LIMIT {_LOOKED_AT}) AS some CROSS JOIN json_each(some.metadata) AS"
            " entry WHERE entry.type NOT IN ('null', 'array', 'object')) GROUP BY 1, 2)"
            f" WHERE place <= {_VALUES} ORDER BY key, place",
            item_range(dataset.id),
        ).fetchall()
    metadata: dict[str, list[str]] = {}
    for key, text in rows:
        if len(key) <= _LONG and (key in metadata or len(metadata) < MOST):
            values = metadata.setdefault(key, [])
            if len(text) <= _LONG:
                values.append(text)
    return Description(labels=labels, metadata=metadata)
