"""The names that users chose: keys of metadata and labels, and which of them exist."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Sequence
from typing import Literal, TypeAlias

from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import item_range
from nucleus_pandas.server.store.layers import taxonomy_key

Owner: TypeAlias = Literal["items", "annotations", "predictions"]

_LOOKED_AT = 2_000  # rows in which similar keys are looked for
_NEAR = 3
_KEYS = (
    "SELECT DISTINCT each.key FROM (SELECT metadata FROM {} AND metadata IS NOT NULL LIMIT :most) AS part,"
    " json_each(part.metadata, :parent) AS each WHERE typeof(each.key) = 'text'"
)
_LABELS = "SELECT DISTINCT label FROM {} AND label IS NOT NULL LIMIT :most"
_TAXONOMIES = "SELECT DISTINCT substr(key, length(:start) + 1) FROM {} AND substr(key, 1, length(:start)) = :start"
_ONE: dict[Owner, str] = {"items": "item", "annotations": "annotation", "predictions": "prediction"}


def doubt(
    db: sqlite3.Connection,
    dataset: Dataset,
    what: Literal["key", "label", "taxonomy"],
    owner: Owner,
    names: Sequence[str],
    run: int | None = None,
) -> str | None:
    """Return a sentence if no row of a dataset has a name; None if one has it, or there are no such rows.

    Parameters
    ----------
    what : {"key", "label", "taxonomy"}
        A key of metadata, whose path is in `names`; a label; or a taxonomy that a category is of.
    owner : {"items", "annotations", "predictions"}
        The rows.
    run : int, optional
        The run whose predictions are meant; by default all on the dataset.
    """
    rows, values = _rows(owner, dataset, run)
    test, values["name"], beside = {
        "key": ("json_type(metadata, :name) IS NOT NULL", _path(names), _KEYS),
        "label": ("label = :name", names[0], _LABELS),
        "taxonomy": ("key = :name", taxonomy_key(names[0]), _TAXONOMIES),
    }[what]
    if db.execute(f"SELECT 1 FROM {rows} AND {test} LIMIT 1", values).fetchone() is not None:
        return None
    if db.execute(f"SELECT 1 FROM {rows} LIMIT 1", values).fetchone() is None:
        return None
    values |= {"parent": _path(names[:-1]), "most": _LOOKED_AT, "start": taxonomy_key("")}
    others = [str(name) for (name,) in db.execute(beside.format(rows), values)]
    kind = {"key": "metadata key", "label": "label", "taxonomy": "category of a taxonomy"}[what]
    return f"No {_ONE[owner]} has the {kind} {'.'.join(names)!r}{_near(names[-1], others)}"


def _rows(owner: Owner, dataset: Dataset, run: int | None) -> tuple[str, dict[str, object]]:
    """Return the rows of a dataset as FROM and WHERE, with values."""
    first, end = item_range(dataset.id)
    values: dict[str, object] = {"first": first, "end": end}
    if owner == "items":
        return "item WHERE id >= :first AND id < :end", values
    if owner == "annotations":
        return "annotation WHERE item >= :first AND item < :end", values
    if run is not None:
        return "prediction WHERE run = :run AND item >= :first AND item < :end", {**values, "run": run}
    of_run = "run IN (SELECT id FROM run WHERE (dataset = :dataset OR dataset IS NULL) AND NOT deleted)"
    return f"prediction WHERE {of_run} AND item >= :first AND item < :end", {**values, "dataset": dataset.id}


def _path(keys: Sequence[str]) -> str:
    return "$" + "".join(f'."{key}"' for key in keys)


def _near(name: str, names: Sequence[str]) -> str:
    """Return the end of a sentence: which name may be meant, or which exist."""
    folded = {each.casefold(): each for each in names}
    near = [folded[each] for each in difflib.get_close_matches(name.casefold(), folded, _NEAR, 0.6)]
    if near:
        return f". Is {' or '.join(map(repr, near))} meant?"
    some = sorted(names)[:_NEAR]
    return f"; there are {', '.join(map(repr, some))}{', …' if len(names) > _NEAR else ''}." if some else "."
