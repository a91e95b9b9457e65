"""Items, alone or with their annotations, page by page, as the contract's exports give them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from msgspec import Struct

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.local import render
from nucleus_pandas.local.reading import parse_token, token
from nucleus_pandas.local.render import FileUrl, JsonObject
from nucleus_pandas.local.store import items, layers, slices
from nucleus_pandas.local.store.datasets import Dataset
from nucleus_pandas.local.store.items import ItemRow
from nucleus_pandas.local.store.layers import AnnotationRow, Layer
from nucleus_pandas.local.store.models import Run
from nucleus_pandas.local.store.slices import Slice

ITEMS = 100_000  # that one page holds at most
ROWS = 10_000  # items with their annotations that one page holds at most
OBJECTS = 50_000  # annotations, after whose item a page ends

Walk: TypeAlias = Callable[[int | None, int], list[tuple[int, ItemRow]]]
"""Gives some items in an order, each behind a number that says where it stands, from behind such a number on."""


class Paging(
    Struct, kw_only=True, rename={"page_token": "pageToken", "page_size": "pageSize", "recent": "onlyMostRecentTask"}
):
    """What every paged request of the contract may hold; a `page_size` above what a route takes is lowered to that."""

    page_token: str | None = None
    page_size: int | None = None
    query: object = None
    chip: bool | None = None
    recent: bool | None = None

    def limit(self, most: int) -> int:
        """Give the number of rows that a page of a route holds."""
        size = most if self.page_size is None else self.page_size
        if size < 1:
            raise BadRequestError("A page holds at least 1 row - at `$.pageSize`.")
        return min(size, most)

    def after(self, owner: int) -> int | None:
        """Give what the page before ended with: an item of the dataset, a place in the slice of that number."""
        return parse_token(self.page_token, owner, arrivals=False)[0] if self.page_token else None


@dataclass(frozen=True, slots=True)
class Export:
    """Items of one dataset in an order, and how they are shown.

    Parameters
    ----------
    db : sqlite3.Connection
        In a transaction.
    dataset_tag : str
        The dataset's.
    walk : Walk
        Which items.
    file_url : FileUrl
        Gives the addresses of uploaded files.
    layer : Layer, optional
        Where their annotations lie.
    run : Run, optional
        Whose predictions these are.
    """

    db: sqlite3.Connection
    dataset_tag: str
    walk: Walk
    file_url: FileUrl
    layer: Layer
    run: Run | None = None

    def items(self, after: int | None, limit: int) -> tuple[list[JsonObject], str | None]:
        """Give a page of items, and the token of the next."""
        found = self.walk(after, limit + 1)
        following = token(found[limit - 1][0]) if len(found) > limit else None
        return [render.item(row, self.dataset_tag, self.file_url) for _, row in found[:limit]], following

    def rows(self, after: int | None, limit: int) -> tuple[list[JsonObject], str | None]:
        """Give a page of items with their annotations, and the token of the next; it ends early where there are many.

        A mask, of which an item has one at most, stands alone.
        """
        found = self.walk(after, limit + 1)
        shown = found[: self._reach([row.id for _, row in found[:limit]])]
        by_item = self._annotations([row.id for _, row in shown])
        rows = [self._row(row, by_item.get(row.id, [])) for _, row in shown]
        return rows, token(shown[-1][0]) if len(shown) < len(found) else None

    def _reach(self, numbers: Sequence[int]) -> int:
        """Tell with how many items a page is full."""
        counts = layers.counts(self.db, self.layer, numbers)
        objects = 0
        for place, number in enumerate(numbers):
            objects += counts.get(number, 0)
            if objects >= OBJECTS:
                return place + 1
        return len(numbers)

    def _annotations(self, numbers: Sequence[int]) -> dict[int, list[AnnotationRow]]:
        found: dict[int, list[AnnotationRow]] = {}
        for row in layers.select(self.db, self.layer, numbers, ", ".join(AnnotationRow._fields)):
            found.setdefault(row[0], []).append(AnnotationRow._make(row))
        return found

    def _row(self, row: ItemRow, annotations: Sequence[AnnotationRow]) -> JsonObject:
        own = [
            render.annotation(one, self.dataset_tag, row.reference_id, self.file_url, self.run) for one in annotations
        ]
        groups = render.grouped(own, predictions=False)
        masks = groups.pop("segmentation")
        described = render.item(row, self.dataset_tag, self.file_url)
        return {"item": described, **groups, "segmentation": masks[0] if masks else None}

    def every(self) -> msgspec.Raw:
        """Write all items with their annotations down, as a JSON array."""
        return _written(_paged(lambda after: self.rows(after, ROWS)))

    def every_item(self, shape: Callable[[list[JsonObject]], list[JsonObject]] = list) -> msgspec.Raw:
        """Write all items down, as a JSON array of what they are shaped into."""
        return _written(map(shape, _paged(lambda after: self.items(after, ROWS))))


def of_dataset(db: sqlite3.Connection, dataset: Dataset, file_url: FileUrl, walk: Walk | None = None) -> Export:
    """Export the items of a dataset in their order, or those of a walk, with their ground truth."""

    def everything(after: int | None, limit: int) -> list[tuple[int, ItemRow]]:
        return [(row.id, row) for row in items.page(db, dataset, after, limit)]

    layer = Layer(None, ("dataset", dataset.id))
    return Export(db, dataset.tag, walk or everything, file_url, layer)


def of_slice(db: sqlite3.Connection, one: Slice, file_url: FileUrl, run: Run | None = None) -> Export:
    """Export the items of a slice in its order, with their ground truth or a run's predictions."""

    def walk(after: int | None, limit: int) -> list[tuple[int, ItemRow]]:
        rows = slices.select_page(db, one, after, limit, items.COLUMNS)
        return [(row[0], ItemRow._make(row[1:])) for row in rows]

    layer = Layer(None, ("dataset", one.dataset)) if run is None else run.layer
    return Export(db, one.dataset_tag, walk, file_url, layer, run)


def _paged(page: Callable[[int | None], tuple[list[JsonObject], str | None]]) -> Iterator[list[JsonObject]]:
    after: int | None = None
    following: str | None = ""
    while following is not None:
        rows, following = page(after)
        yield rows
        if following is not None:
            after, _ = parse_token(following, None, arrivals=False)


def _written(pages: Iterator[list[JsonObject]]) -> msgspec.Raw:
    # each page is written down at once, since its text is far smaller than its objects
    texts = [msgspec.json.encode(rows)[1:-1] for rows in pages]
    return msgspec.Raw(b"[" + b",".join(text for text in texts if text) + b"]")
