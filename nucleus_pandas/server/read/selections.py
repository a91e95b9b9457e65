"""Selections of items and annotations, as columns."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.read.render import FileUrl, raw_metadata
from nucleus_pandas.server.store import datasets, items, layers
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import ALL_ITEMS, dataset_of, item_id, item_range
from nucleus_pandas.server.store.layers import AnnotationLayer, RowValues
from nucleus_pandas.server.store.sql_conditions import Condition
from nucleus_pandas.server.store.subsets import PageTokens, Subset
from nucleus_pandas.wire.bulk import ROWS, RowSelection
from nucleus_pandas.wire.entities import DETAILS, JsonObject

ColumnData: TypeAlias = dict[str, Sequence[Any]]
"""Stored values by column."""

_KEYS = 1_000  # items whose annotations are counted at once, before those in the answer are read

# The stored columns of which each column of an answer is made. `extra` may be long and is read only where needed.
_DETAILS_OF_ITEMS = ("phash", "processed_url", "embedding_info")
_OF_ITEMS: dict[str, tuple[str, ...]] = {
    "dataset_item_id": ("id",),
    "reference_id": ("reference_id",),
    "image_url": ("url", "file"),
    "width": ("width",),
    "height": ("height",),
    "metadata": ("metadata",),
    **dict.fromkeys(_DETAILS_OF_ITEMS, ("extra",)),
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


def read_items(db: sqlite3.Connection, subset: Subset, selection: RowSelection, file_url: FileUrl) -> JsonObject:
    """Read a selection of items, as an `ItemPage`."""
    names, needed = _needed(selection, _OF_ITEMS, ("id",))
    numbers = _numbers(db, subset, selection)
    missing: list[int] = []
    after: str | None = None
    rows: list[RowValues]
    if numbers is None:
        previous = None if selection.after is None else subset.parse_token(selection.after, arrivals=False)[0]
        marked = subset.page(db, previous, selection.limit + 1, ", ".join(needed))
        if len(marked) > selection.limit:
            del marked[selection.limit :]
            after = subset.token(marked[-1][0])
        rows = [row[1:] for row in marked]
    else:
        by_number = {row[0]: row for row in items.select(db, _without_none(numbers), ", ".join(needed))}
        rows = [by_number[number] for number in numbers if number in by_number]
        missing = [key for key, number in enumerate(numbers) if number not in by_number]
    stored = _transposed(needed, rows)
    columns = {name: _item_column(name, stored, subset.dataset, file_url) for name in names}
    return {"columns": columns, "missing": missing, "next": after}


def _item_column(name: str, stored: ColumnData, dataset: Dataset, file_url: FileUrl) -> Sequence[Any]:
    if name == "dataset_item_id":
        return [item_id(dataset.tag, number) for number in stored["id"]]
    if name == "image_url":
        pairs = zip(stored["url"], stored["file"], strict=True)
        return [url if file is None else file_url("images", file) for url, file in pairs]
    if name == "metadata":
        return list(map(raw_metadata, stored["metadata"]))
    if name in _DETAILS_OF_ITEMS:
        return [None if extra is None else msgspec.json.decode(extra).get(name) for extra in stored["extra"]]
    return stored[name]


def read_annotations(
    db: sqlite3.Connection,
    layer: AnnotationLayer,
    subset: Subset | None,
    selection: RowSelection,
    file_url: FileUrl,
    condition: Condition | None = None,
) -> JsonObject:
    """Read a selection of annotations or predictions, as an `AnnotationPage`.

    Without a subset, the layer is that of a run that spans datasets. The condition is on annotations.
    """
    names, stored_names = _needed(selection, _OF_ANNOTATIONS, ("item", "arrival"))
    needed = [name if name == _EXTRA else f"object.{name}" for name in stored_names]
    numbers = _numbers(db, subset, selection)
    missing: list[int] = []
    lengths: list[int] = []
    after: str | None = None
    if numbers is None:
        tokens = PageTokens() if subset is None else subset
        previous = None if selection.after is None else tokens.parse_token(selection.after, arrivals=True)
        marked = _page(db, layer, subset, previous, selection.limit + 1, ", ".join(needed), condition)
        if len(marked) > selection.limit:
            del marked[selection.limit :]
            after = tokens.token(marked[-1][0], marked[-1][2])
        rows = [row[1:] for row in marked]
    else:
        rows, lengths = _of_keys(db, layer, numbers, ", ".join(needed))
        existing = {number for (number,) in items.select(db, _without_none(numbers[: len(lengths)]), "id")}
        missing = [key for key, number in enumerate(numbers[: len(lengths)]) if number not in existing]
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
    """Read a page of annotations: the marker of the item, and the columns, of which the first are item and arrival."""
    if subset is None or (subset.slice is None and not subset.has_condition and condition is None):
        first, end = ALL_ITEMS if subset is None else item_range(subset.owner)
        return layers.select_page(db, layer, after or (first, -1), end, limit, f"item, {columns}")
    return subset.objects(db, layer, after, limit, columns, condition or Condition())


def _of_keys(
    db: sqlite3.Connection, layer: AnnotationLayer, numbers: Sequence[int | None], columns: str
) -> tuple[list[RowValues], list[int]]:
    """Read the annotations of the first items, at least `ROWS` rows if there are as many.

    Annotations of an item are never split. Returned are also the counts per item, which tell how many of the items were
    read: the client asks again for the others. Counting first keeps the rows of one answer bounded.
    """
    rows: list[RowValues] = []
    lengths: list[int] = []
    for start in range(0, len(numbers), _KEYS):
        part = numbers[start : start + _KEYS]
        counts = layers.counts(db, layer, set(_without_none(part)))
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
    db: sqlite3.Connection, dataset: Dataset | None, stored: ColumnData, file_url: FileUrl
) -> dict[str, Callable[[], Sequence[Any]]]:
    """Return functions that compute the columns of an answer that are not stored as such."""

    def dataset_item_ids() -> list[str]:
        tags = {dataset.id: dataset.tag} if dataset else datasets.tags_by_number(db)
        ids = {number: item_id(tags[dataset_of(number)], number) for number in set(stored["item"])}
        return [ids[number] for number in stored["item"]]

    def reference_ids() -> list[str]:
        names: dict[int, str] = dict(items.select(db, stored["item"], "id, reference_id"))
        return [names[number] for number in stored["item"]]

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
        "metadata": lambda: list(map(raw_metadata, stored["metadata"])),
        **{name: partial(detail, name) for name in DETAILS},
    }


def _geometry(kind: str, geometry: str | None, extra: str | None, file_url: FileUrl) -> object:
    """Return the geometry of any other type than a box, with the fields that only this type has."""
    if geometry is not None:
        return Raw(geometry.encode())
    fields = msgspec.json.decode(extra or "{}")
    if kind == "mask" and (file := fields.pop("mask_file", None)) is not None:
        fields["mask_url"] = file_url("masks", file)
    names = ("mask_url", "annotations") if kind == "mask" else ("labels", "taxonomy_name")
    return {name: fields[name] for name in names if name in fields}


def _needed(
    selection: RowSelection, sources: dict[str, tuple[str, ...]], always: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """Return the columns to answer with, and the stored columns that they need."""
    asked = selection.columns
    names = [name for name in sources if name not in _DETAILS_OF_ITEMS] if asked is None else list(dict.fromkeys(asked))
    unknown = [name for name in names if name not in sources]
    if unknown:
        raise BadRequestError(
            f"Unknown columns: {', '.join(repr(name[:50]) for name in unknown[:5])}. Known columns: "
            f"{', '.join(sources)} - at `$.columns`."
        )
    return names, list(dict.fromkeys([*always, *(column for name in names for column in sources[name])]))


def _numbers(db: sqlite3.Connection, subset: Subset | None, selection: RowSelection) -> list[int | None] | None:
    """Return the item number of each key, None for unknown keys; None for a selection without keys."""
    key_lists = [name for name in ("positions", "reference_ids", "item_ids") if getattr(selection, name) is not None]
    if len(key_lists) > 1:
        raise BadRequestError(
            f"A selection may have one list of keys, not {' and '.join(map('`{}`'.format, key_lists))}."
        )
    if key_lists and selection.query is not None:
        raise BadRequestError(f"A query cannot be combined with `{key_lists[0]}`; leave one out - at `$.query`.")
    if key_lists and selection.after is not None:
        raise BadRequestError(f"A selection by `{key_lists[0]}` has no pages; leave `after` out - at `$.after`.")
    if selection.item_ids is not None:
        numbers = items.existing(db, selection.item_ids)
        if subset is not None:
            numbers = subset.members(db, numbers)
        return list(map(numbers.get, selection.item_ids))
    if not key_lists:
        return None
    if subset is None:
        raise BadRequestError(f"This run spans datasets, in which `{key_lists[0]}` are ambiguous; use `item_ids`.")
    if selection.reference_ids is not None:
        numbers = subset.members(db, items.ids_of(db, subset.dataset, selection.reference_ids))
        return list(map(numbers.get, selection.reference_ids))
    return subset.at_positions(db, selection.positions or [])


def _without_none(numbers: Iterable[int | None]) -> list[int]:
    return [number for number in numbers if number is not None]


def _transposed(names: Sequence[str], rows: Sequence[RowValues]) -> ColumnData:
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name.rpartition(" ")[2]: column for name, column in zip(names, columns, strict=True)}
