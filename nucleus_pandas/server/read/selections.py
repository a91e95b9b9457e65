"""Selections of items and of annotations, column by column."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.read.render import EMPTY, FileUrl, JsonObject
from nucleus_pandas.server.store import datasets, items, layers
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import ALL_ITEMS, dataset_of, item_id, item_range
from nucleus_pandas.server.store.layers import AnnotationLayer, RowValues
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.server.store.subsets import PageTokens, Subset
from nucleus_pandas.wire.bulk import ROWS, Selection
from nucleus_pandas.wire.entities import DETAILS

Stored: TypeAlias = dict[str, Sequence[Any]]
"""What was read of rows, column by column."""

_KEYS = 1_000  # whose annotations are counted at once, before those that the answer holds are read

# The stored columns behind each column of an answer. What few rows have and may be long is read of those alone.
_OF_ITEMS: dict[str, tuple[str, ...]] = {
    "dataset_item_id": ("id",),
    "reference_id": ("reference_id",),
    "image_url": ("url", "file"),
    "width": ("width",),
    "height": ("height",),
    "metadata": ("metadata",),
}
_EXTRA = "CASE WHEN object.type <> 'box' OR object.key < ' ' THEN object.extra END AS own"
_OF_ANNOTATIONS: dict[str, tuple[str, ...]] = {
    "dataset_item_id": ("item",),
    "reference_id": ("item",),
    "annotation_id": ("key", _EXTRA),
    "label": ("label",),
    "type": ("type",),
    "x": ("x",),
    "y": ("y",),
    "width": ("width",),
    "height": ("height",),
    "confidence": ("confidence",),
    **dict.fromkeys(DETAILS, ("extra",)),
    "geometry": ("type", "geometry", _EXTRA),
    "metadata": ("metadata",),
}


def read_items(db: sqlite3.Connection, subset: Subset, wanted: Selection, file_url: FileUrl) -> JsonObject:
    """Answer a selection of items, in the shape of an `ItemPage`."""
    names, needed = _needed(wanted, _OF_ITEMS, ("id",))
    numbers = _numbers(db, subset, wanted)
    missing: list[int] = []
    after: str | None = None
    rows: list[RowValues]
    if numbers is None:
        behind = None if wanted.after is None else subset.parse_token(wanted.after, arrivals=False)[0]
        marked = subset.page(db, behind, wanted.limit + 1, ", ".join(needed))
        if len(marked) > wanted.limit:
            del marked[wanted.limit :]
            after = subset.token(marked[-1][0])
        rows = [row[1:] for row in marked]
    else:
        there = {row[0]: row for row in items.select(db, _known(numbers), ", ".join(needed))}
        rows = [there[number] for number in numbers if number in there]
        missing = [place for place, number in enumerate(numbers) if number not in there]
    stored = _transposed(needed, rows)
    columns = {name: _item_column(name, stored, subset.dataset, file_url) for name in names}
    return {"columns": columns, "missing": missing, "next": after}


def _item_column(name: str, stored: Stored, dataset: Dataset, file_url: FileUrl) -> Sequence[Any]:
    if name == "dataset_item_id":
        return [item_id(dataset.tag, number) for number in stored["id"]]
    if name == "image_url":
        pairs = zip(stored["url"], stored["file"], strict=True)
        return [url if file is None else file_url("images", file) for url, file in pairs]
    if name == "metadata":
        return _metadata(stored)
    return stored[name]


def read_annotations(
    db: sqlite3.Connection,
    layer: AnnotationLayer,
    subset: Subset | None,
    wanted: Selection,
    file_url: FileUrl,
    condition: Condition | None = None,
) -> JsonObject:
    """Answer a selection of annotations or predictions, in the shape of an `AnnotationPage`.

    Without a subset the layer is that of a run that spans datasets. A condition is one of annotations.
    """
    names, stored_names = _needed(wanted, _OF_ANNOTATIONS, ("item", "arrival"))
    needed = [name if name == _EXTRA else f"object.{name}" for name in stored_names]
    numbers = _numbers(db, subset, wanted)
    missing: list[int] = []
    lengths: list[int] = []
    after: str | None = None
    if numbers is None:
        tokens = PageTokens() if subset is None else subset
        behind = None if wanted.after is None else tokens.parse_token(wanted.after, arrivals=True)
        marked = _page(db, layer, subset, behind, wanted.limit + 1, ", ".join(needed), condition)
        if len(marked) > wanted.limit:
            del marked[wanted.limit :]
            after = tokens.token(marked[-1][0], marked[-1][2])
        rows = [row[1:] for row in marked]
    else:
        rows, lengths = _of_keys(db, layer, numbers, ", ".join(needed))
        there = {number for (number,) in items.select(db, _known(numbers[: len(lengths)]), "id")}
        missing = [place for place, number in enumerate(numbers[: len(lengths)]) if number not in there]
    stored = _transposed(stored_names, rows)
    describe = _annotation_columns(db, None if subset is None else subset.dataset, stored, file_url)
    columns = {name: describe[name]() if name in describe else stored[name] for name in names}
    return {"columns": columns, "missing": missing, "lengths": lengths, "next": after}


def _page(
    db: sqlite3.Connection,
    layer: AnnotationLayer,
    subset: Subset | None,
    after: tuple[int, int] | None,
    limit: int,
    columns: str,
    condition: Condition | None,
) -> list[RowValues]:
    """Read a page of annotations, each behind the marker of its item; the first two columns are item and arrival."""
    if subset is None or (subset.slice is None and not subset.has_condition and condition is None):
        first, end = ALL_ITEMS if subset is None else item_range(subset.owner)
        return layers.select_page(db, layer, after or (first, -1), end, limit, f"item, {columns}")
    return subset.objects(db, layer, after, limit, columns, condition or Condition())


def _of_keys(
    db: sqlite3.Connection, layer: AnnotationLayer, numbers: Sequence[int | None], columns: str
) -> tuple[list[RowValues], list[int]]:
    """Read the annotations of items, whole items only, up to the first with which there are enough rows."""
    rows: list[RowValues] = []
    lengths: list[int] = []
    for start in range(0, len(numbers), _KEYS):
        part = numbers[start : start + _KEYS]
        counts = layers.counts(db, layer, set(_known(part)))
        total = len(rows)
        answered: list[int] = []
        for number in part:
            count = 0 if number is None else counts.get(number, 0)
            lengths.append(count)
            total += count
            if number is not None and count:
                answered.append(number)
            if total >= ROWS:
                break
        by_item: defaultdict[int, list[RowValues]] = defaultdict(list)
        for row in layers.select(db, layer, answered, columns):
            by_item[row[0]].append(row)
        for number in answered:
            rows += by_item[number]
        if total >= ROWS:
            break
    return rows, lengths


def _annotation_columns(
    db: sqlite3.Connection, dataset: Dataset | None, stored: Stored, file_url: FileUrl
) -> dict[str, Callable[[], Sequence[Any]]]:
    """Return the columns of an answer that are not stored as they are, each made when it is asked for."""

    def dataset_item_ids() -> list[str]:
        tags = {dataset.id: dataset.tag} if dataset else datasets.tags_by_number(db)
        ids = {number: item_id(tags[dataset_of(number)], number) for number in set(stored["item"])}
        return [ids[number] for number in stored["item"]]

    def reference_ids() -> list[str]:
        known: dict[int, str] = dict(items.select(db, stored["item"], "id, reference_id"))
        return [known[number] for number in stored["item"]]

    def annotation_ids() -> list[str]:
        pairs = zip(stored["key"], stored["own"], strict=True)
        return [key if extra is None else msgspec.json.decode(extra).get("annotation_id", key) for key, extra in pairs]

    def geometries() -> list[object]:
        rows = zip(stored["type"], stored["geometry"], stored["own"], strict=True)
        return [None if kind == "box" else _geometry(kind, geometry, extra, file_url) for kind, geometry, extra in rows]

    @cache
    def extras() -> list[dict[str, object]]:
        return [{} if extra is None else msgspec.json.decode(extra) for extra in stored["extra"]]

    def detail(name: str) -> list[object]:
        return [extra.get(name) for extra in extras()]

    return {
        "dataset_item_id": dataset_item_ids,
        "reference_id": reference_ids,
        "annotation_id": annotation_ids,
        "geometry": geometries,
        "metadata": lambda: _metadata(stored),
        **{name: partial(detail, name) for name in DETAILS},
    }


def _geometry(kind: str, geometry: str | None, extra: str | None, file_url: FileUrl) -> object:
    """Describe the shape of what is no box, with the fields that only its type has."""
    if geometry is not None:
        return Raw(geometry.encode())
    fields = msgspec.json.decode(extra or "{}")
    if kind == "mask" and (file := fields.pop("mask_file", None)) is not None:
        fields["mask_url"] = file_url("masks", file)
    own = ("mask_url", "annotations") if kind == "mask" else ("labels", "taxonomy_name")
    return {name: fields[name] for name in own if name in fields}


def _needed(
    wanted: Selection, sources: dict[str, tuple[str, ...]], always: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """Return the columns to answer with, and the stored columns that they need."""
    names = list(dict.fromkeys(sources if wanted.columns is None else wanted.columns))
    unknown = [name for name in names if name not in sources]
    if unknown:
        raise BadRequestError(
            f"There is no column {', '.join(repr(name[:50]) for name in unknown[:5])}; there are "
            f"{', '.join(sources)} - at `$.columns`."
        )
    return names, list(dict.fromkeys([*always, *(column for name in names for column in sources[name])]))


def _numbers(db: sqlite3.Connection, subset: Subset | None, wanted: Selection) -> list[int | None] | None:
    """Return the item number of each key, None where there is none; None without keys."""
    given = [name for name in ("positions", "reference_ids", "item_ids") if getattr(wanted, name) is not None]
    if len(given) > 1:
        raise BadRequestError(
            f"A selection has at most one list of keys, not {' and '.join(map('`{}`'.format, given))}."
        )
    if given and wanted.query is not None:
        raise BadRequestError(f"A query looks for items by itself; leave `{given[0]}` out - at `$.query`.")
    if given and wanted.after is not None:
        raise BadRequestError(f"A selection of `{given[0]}` has no pages, so `after` means nothing - at `$.after`.")
    if wanted.item_ids is not None:
        known = items.existing(db, wanted.item_ids)
        if subset is not None:
            known = subset.members(db, known)
        return list(map(known.get, wanted.item_ids))
    if not given:
        return None
    if subset is None:
        raise BadRequestError(
            f"This run spans datasets, where `{given[0]}` names no single item; name items by `item_ids`."
        )
    if wanted.reference_ids is not None:
        known = subset.members(db, items.ids_of(db, subset.dataset, wanted.reference_ids))
        return list(map(known.get, wanted.reference_ids))
    return subset.at_positions(db, wanted.positions or [])


def _known(numbers: Iterable[int | None]) -> list[int]:
    return [number for number in numbers if number is not None]


def _transposed(names: Sequence[str], rows: Sequence[RowValues]) -> Stored:
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name.rpartition(" ")[2]: column for name, column in zip(names, columns, strict=True)}


def _metadata(stored: Stored) -> list[Raw]:
    return [EMPTY if text is None else Raw(text.encode()) for text in stored["metadata"]]
