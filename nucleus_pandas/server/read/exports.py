"""Items, alone or with their annotations, page by page, as the contract's exports give them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from msgspec import Struct

from nucleus_pandas.errors import BadRequestError, UnsupportedError
from nucleus_pandas.server.read import render
from nucleus_pandas.server.read.render import FileUrl, JsonObject
from nucleus_pandas.server.store import items, layers
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.layers import AnnotationLayer, AnnotationRow
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.subsets import Subset

ITEMS = 100_000  # that one page holds at most
ROWS = 10_000  # items with their annotations that one page holds at most
OBJECTS = 50_000  # annotations, after whose item a page ends


_Page: TypeAlias = Callable[[int | None, int], tuple[list[JsonObject], str | None]]


class Paging(
    Struct, kw_only=True, rename={"page_token": "pageToken", "page_size": "pageSize", "recent": "onlyMostRecentTask"}
):
    """What every paged request of the contract may hold; a `page_size` above what a route takes is lowered to that."""

    page_token: str | None = None
    page_size: int | None = None
    query: str | None = None
    chip: bool | None = None
    recent: bool | None = None

    def limit(self, most: int) -> int:
        """Return the number of rows that a page of a route holds."""
        size = most if self.page_size is None else self.page_size
        if size < 1:
            raise BadRequestError("A page holds at least 1 row - at `$.pageSize`.")
        return min(size, most)

    def after(self, subset: Subset) -> int | None:
        """Return the marker of the item that the page before ended with."""
        return subset.parse_token(self.page_token, arrivals=False)[0] if self.page_token else None


@dataclass(frozen=True, slots=True)
class Export:
    """Items in an order, and how they are shown.

    Parameters
    ----------
    db : sqlite3.Connection
        In a transaction.
    subset : Subset
        Which items.
    file_url : FileUrl
        Gives the addresses of uploaded files.
    run : Run, optional
        Whose predictions are shown instead of the ground truth.
    """

    db: sqlite3.Connection
    subset: Subset
    file_url: FileUrl
    run: Run | None = None

    def items(self, after: int | None, limit: int) -> tuple[list[JsonObject], str | None]:
        """Return a page of items, and the token of the next."""
        found = self._page(after, limit + 1)
        following = self.subset.token(found[limit - 1][0]) if len(found) > limit else None
        return [render.item(row, self.subset.dataset.tag, self.file_url) for _, row in found[:limit]], following

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
        return AnnotationLayer(None, ("dataset", self.subset.dataset.id)) if self.run is None else self.run.layer

    def rows(self, after: int | None, limit: int) -> tuple[list[JsonObject], str | None]:
        """Return a page of items with their annotations, and the token of the next; it ends early where there are many.

        A mask, of which an item has one at most, stands alone.
        """
        found = self._page(after, limit + 1)
        shown = found[: self._reach([row.id for _, row in found[:limit]])]
        by_item = self._annotations([row.id for _, row in shown])
        rows = [self._row(row, by_item.get(row.id, [])) for _, row in shown]
        return rows, self.subset.token(shown[-1][0]) if len(shown) < len(found) else None

    def _reach(self, numbers: Sequence[int]) -> int:
        """Return with how many items a page is full."""
        counts = layers.counts(self.db, self._layer, numbers)
        objects = 0
        for place, number in enumerate(numbers):
            objects += counts.get(number, 0)
            if objects >= OBJECTS:
                return place + 1
        return len(numbers)

    def _annotations(self, numbers: Sequence[int]) -> dict[int, list[AnnotationRow]]:
        found: dict[int, list[AnnotationRow]] = {}
        for row in layers.select(self.db, self._layer, numbers, ", ".join(AnnotationRow._fields)):
            found.setdefault(row[0], []).append(AnnotationRow._make(row))
        return found

    def _row(self, row: ItemRow, annotations: Sequence[AnnotationRow]) -> JsonObject:
        own = [
            render.annotation(one, self.subset.dataset.tag, row.reference_id, self.file_url, self.run)
            for one in annotations
        ]
        groups = render.grouped(own, predictions=False)
        masks = groups.pop("segmentation")
        described = render.item(row, self.subset.dataset.tag, self.file_url)
        return {"item": described, **groups, "segmentation": masks[0] if masks else None}

    def every(self) -> msgspec.Raw:
        """Write all items with their annotations down, as a JSON array."""
        return _written(self._paged(self.rows))

    def every_item(self, shape: Callable[[list[JsonObject]], list[JsonObject]] = list) -> msgspec.Raw:
        """Write all items down, as a JSON array of what they are shaped into."""
        return _written(map(shape, self._paged(self.items)))

    def _paged(self, page: _Page) -> Iterator[list[JsonObject]]:
        after: int | None = None
        following: str | None = ""
        while following is not None:
            rows, following = page(after, ROWS)
            yield rows
            if following is not None:
                after, _ = self.subset.parse_token(following, arrivals=False)


def _written(pages: Iterator[list[JsonObject]]) -> msgspec.Raw:
    # each page is written down at once, since its text is far smaller than its objects
    texts = [msgspec.json.encode(rows)[1:-1] for rows in pages]
    return msgspec.Raw(b"[" + b",".join(text for text in texts if text) + b"]")
