"""What a dataset can be filtered by: its labels, and the keys and values of its metadata.

Facets are computed from all annotations of a dataset, which takes seconds for a large one. They are therefore cached
under the dataset's revision, and a page never waits for those of a large dataset: it offers nothing until they are
there. Labels take their colours from the facets, so every page of a dataset asks for them before it draws.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import datasets, items, layers
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.models import RunEntry
from nucleus_pandas.server.web.formatting import use_colours
from nucleus_pandas.server.web.page import page
from nucleus_pandas.server.web.result_cache import Computation, Pending

MOST = 500
"""Labels, and keys, that are offered."""
_VALUES = 40  # of one key
_ITEMS = 100_000  # whose metadata is read
_SMALL = 20_000  # rows that are read while the user waits
_LONGEST = 200  # characters; longer labels, keys and values are not offered


class Facets(Struct, kw_only=True):
    """What the images of a dataset can be filtered by.

    Attributes
    ----------
    labels : list of (str, int)
        The labels of the ground truth with their counts, the most frequent first.
    metadata : dict of str to list of str
        Keys of the items' metadata, each with its most frequent values as text.
    """

    labels: list[tuple[str, int]] = []
    metadata: dict[str, list[str]] = {}


class PredictedLabels(Struct):
    """The labels of a run's predictions on a dataset, the most frequent first."""

    labels: list[str] = []


def facets_of(db: sqlite3.Connection, dataset: Dataset) -> Facets:
    """Return the facets of a dataset, empty ones until they are computed, and assign its labels their colours."""
    nucleus = page().nucleus
    revision, arrivals = datasets.counters(db, dataset.id)
    computation = Computation(dataset.public_id, revision, Facets, max(arrivals, dataset.length) <= _SMALL)
    facets = Facets()
    with suppress(Pending):
        facets = page().cache.get(computation, lambda: _facets(nucleus, dataset))
    use_colours(label for label, _ in facets.labels)
    return facets


def assign_colours(db: sqlite3.Connection, shown: Sequence[Dataset]) -> None:
    """Assign labels the colours that they have in the first of some datasets."""
    for dataset in shown[:1]:
        facets_of(db, dataset)


def predicted_labels(dataset: Dataset, run: RunEntry | None) -> list[str]:
    """Return the labels of the predictions of a run, none until they are computed."""
    if run is not None:
        nucleus = page().nucleus
        computation = Computation(
            f"{run.id}_labels_{dataset.tag}", run.arrivals, PredictedLabels, run.arrivals <= _SMALL
        )
        with suppress(Pending):
            return page().cache.get(computation, lambda: _predicted_labels(nucleus, dataset, run)).labels
    return []


def offered_labels(facets: Facets, predicted: Sequence[str]) -> list[str]:
    """Return the labels of both sides that are offered."""
    labels = dict.fromkeys([*(label for label, _ in facets.labels), *predicted])
    return [label for label in labels if len(label) <= _LONGEST][:MOST]


def _predicted_labels(nucleus: EmbeddedNucleus, dataset: Dataset, run: RunEntry) -> PredictedLabels:
    with nucleus.database.read() as db:
        return PredictedLabels([label for label, _ in layers.label_counts(db, run.layer, dataset.id, MOST)])


def _facets(nucleus: EmbeddedNucleus, dataset: Dataset) -> Facets:
    metadata: dict[str, list[str]] = {}
    with nucleus.database.read() as db:
        labels = layers.label_counts(db, dataset.layer, dataset.id, MOST)
        for key, text in items.metadata_values(db, dataset, items=_ITEMS, values=_VALUES):
            if len(key) <= _LONGEST and (key in metadata or len(metadata) < MOST):
                values = metadata.setdefault(key, [])
                if len(text) <= _LONGEST:
                    values.append(text)
    return Facets(labels=labels, metadata=metadata)
