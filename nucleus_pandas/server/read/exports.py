"""Exports of the REST API: pages of items, with or without their annotations."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from msgspec import Struct

from nucleus_pandas.errors import BadRequestError, UnsupportedError
from nucleus_pandas.server.read import render
from nucleus_pandas.server.read.render import FileUrl
from nucleus_pandas.server.store import items, layers
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.layers import AnnotationLayer, AnnotationRow
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.subsets import Subset
from nucleus_pandas.wire.entities import JsonObject

ITEMS = 100_000  # per page, at most
ROWS = 10_000  # items with their annotations per page, at most
OBJECTS = 50_000  # annotations; a page ends after the item that reaches this number


_Page: TypeAlias = Callable[[int | None, int], tuple[list[JsonObject], str | None]]


class Paging(
    Struct, kw_only=True, rename={"page_token": "pageToken", "page_size": "pageSize", "recent": "onlyMostRecentTask"}
):
    """The parameters of paged requests; a `page_size` above the limit of a route is reduced to it."""

    page_token: str | None = None
    page_size: int | None = None
    query: str | None = None
    chip: bool | None = None
    recent: bool | None = None

    def limit(self, most: int) -> int:
        """Return the number of rows of a page, at most `most`."""
        size = most if self.page_size is None else self.page_size
        if size < 1:
            raise BadRequestError("pageSize must be at least 1 - at `$.pageSize`.")
        return min(size, most)

    def after(self, subset: Subset) -> int | None:
        """Return the marker of the last item of the previous page."""
        return subset.parse_token(self.page_token, arrivals=False)[0] if self.page_token else None


@dataclass(frozen=True, slots=True)
class Export:
    """An export of items in order.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection in a transaction.
    subset : Subset
        The items.
    file_url : FileUrl
        Returns the URLs of uploaded files.
    run : Run, optional
        The run whose predictions replace the ground truth.
    """

    db: sqlite3.Connection
    subset: Subset
    file_url: FileUrl
    run: Run | None = None

    def items(self, after: int | None, limit: int) -> tuple[list[JsonObject], str | None]:
        """Return a page of items, and the token of the next page."""
        page = self._page(after, limit + 1)
        next_token = self.subset.token(page[limit - 1][0]) if len(page) > limit else None
        return [render.item(row, self.subset.dataset.tag, self.file_url) for _, row in page[:limit]], next_token

    def items_page(self, paging: Paging) -> JsonObject:
        """Answer a request for a page of items."""
        rows, next_token = self.items(paging.after(self.subset), paging.limit(ITEMS))
        return {"items": rows, "nextPageToken": next_token}

    def rows_page(self, paging: Paging) -> JsonObject:
        """Answer a request for a page of items with their annotations."""
        if paging.chip:
            raise UnsupportedError("Cutting images into chips is not supported by this server; leave `chip` out.")
        rows, next_token = self.rows(paging.after(self.subset), paging.limit(ROWS))
        return {"data": rows, "nextPageToken": next_token}

    def _page(self, after: int | None, limit: int) -> list[tuple[int, ItemRow]]:
        rows = self.subset.page(self.db, after, limit, items.COLUMNS)
        return [(row[0], ItemRow._make(row[1:])) for row in rows]

    @property
    def _layer(self) -> AnnotationLayer:
        return self.subset.dataset.layer if self.run is None else self.run.layer

    def rows(self, after: int | None, limit: int) -> tuple[list[JsonObject], str | None]:
        """Return a page of items with their annotations, and the token of the next page; many annotations end it early.

        An item has at most one mask, which is not in a list.
        """
        page = self._page(after, limit + 1)
        shown = page[: self._full_after([row.id for _, row in page[:limit]])]
        by_item = self._annotations([row.id for _, row in shown])
        rows = [self._row(row, by_item.get(row.id, [])) for _, row in shown]
        return rows, self.subset.token(shown[-1][0]) if len(shown) < len(page) else None

    def _full_after(self, numbers: Sequence[int]) -> int:
        """Return the number of items after which a page is full."""
        counts = layers.counts(self.db, self._layer, numbers)
        objects = 0
        for count, number in enumerate(numbers, 1):
            objects += counts.get(number, 0)
            if objects >= OBJECTS:
                return count
        return len(numbers)

    def _annotations(self, numbers: Sequence[int]) -> dict[int, list[AnnotationRow]]:
        by_item: dict[int, list[AnnotationRow]] = {}
        for row in layers.select(self.db, self._layer, numbers, ", ".join(AnnotationRow._fields)):
            by_item.setdefault(row[0], []).append(AnnotationRow._make(row))
        return by_item

    def _row(self, row: ItemRow, annotations: Sequence[AnnotationRow]) -> JsonObject:
        tag = self.subset.dataset.tag
        described = [render.annotation(each, tag, row.reference_id, self.file_url, self.run) for each in annotations]
        groups = render.grouped(described, predictions=False)
        masks = groups.pop("segmentation")
        item = render.item(row, tag, self.file_url)
        return {"item": item, **groups, "segmentation": masks[0] if masks else None}

    def every(self) -> msgspec.Raw:
        """Return all items with their annotations, as a JSON array."""
        return _written(self._paged(self.rows))

    def every_item(self, shape: Callable[[list[JsonObject]], list[JsonObject]] = list) -> msgspec.Raw:
        """Return all items, as a JSON array of what `shape` makes of each page."""
        return _written(map(shape, self._paged(self.items)))

    def _paged(self, page: _Page) -> Iterator[list[JsonObject]]:
        after: int | None = None
        next_token: str | None = ""
        while next_token is not None:
            rows, next_token = page(after, ROWS)
            yield rows
            if next_token is not None:
                after, _ = self.subset.parse_token(next_token, arrivals=False)


def _written(pages: Iterator[list[JsonObject]]) -> msgspec.Raw:
    # each page is encoded at once, since JSON is far smaller than the objects
    texts = [msgspec.json.encode(rows)[1:-1] for rows in pages]
    return msgspec.Raw(b"[" + b",".join(text for text in texts if text) + b"]")
