"""Items with their annotations, page by page, as the contract's exports give them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import groupby

from msgspec import Struct

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.local import render
from nucleus_pandas.local.reading import parse_token, token
from nucleus_pandas.local.render import FileUrl, JsonObject
from nucleus_pandas.local.store import items, layers
from nucleus_pandas.local.store.datasets import Dataset
from nucleus_pandas.local.store.layers import Layer

ITEMS = 100_000  # that one page holds at most
ROWS = 10_000  # items with their annotations that one page holds at most
OBJECTS = 50_000  # annotations, after whose item a page ends


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

    def after(self, dataset: Dataset) -> int | None:
        """Give the item that the page before ended with."""
        return parse_token(self.page_token, dataset, arrivals=False)[0] if self.page_token else None


def item_page(
    db: sqlite3.Connection, dataset: Dataset, after: int | None, limit: int, file_url: FileUrl
) -> tuple[list[JsonObject], str | None]:
    """Give a page of items, and the token of the next."""
    found = list(items.page(db, dataset, after, limit + 1))
    following = token(found[limit - 1].id) if len(found) > limit else None
    return [render.item(row, dataset.tag, file_url) for row in found[:limit]], following


def page(
    db: sqlite3.Connection, dataset: Dataset, after: int | None, limit: int, file_url: FileUrl
) -> tuple[list[JsonObject], str | None]:
    """Give a page of items with their annotations, and the token of the next; it ends early where there are many."""
    found = list(items.page(db, dataset, after, limit + 1))
    rows: list[JsonObject] = []
    if not found:
        return rows, None
    ground_truth = Layer(None, ("dataset", dataset.id))
    groups = groupby(layers.of_items(db, ground_truth, found[0].id, found[-1].id), lambda row: row.item)
    number, group = next(groups, (None, iter(())))
    objects = 0
    for row in found[:limit]:
        own: list[JsonObject] = []
        if number == row.id:
            own = [render.annotation(a, dataset.tag, row.reference_id, file_url) for a in group]
            number, group = next(groups, (None, iter(())))
        rows.append(_row(render.item(row, dataset.tag, file_url), own))
        objects += len(own)
        if objects >= OBJECTS:
            break
    return rows, token(found[len(rows) - 1].id) if len(rows) < len(found) else None


def every(db: sqlite3.Connection, dataset: Dataset, file_url: FileUrl) -> Iterator[list[JsonObject]]:
    """Walk all items with their annotations, a page at a time."""
    after: int | None = None
    following: str | None = ""
    while following is not None:
        rows, following = page(db, dataset, after, ROWS, file_url)
        yield rows
        if following is not None:
            after, _ = parse_token(following, dataset, arrivals=False)


def _row(described: JsonObject, annotations: list[JsonObject]) -> JsonObject:
    groups = render.grouped(annotations, predictions=False)
    masks = groups.pop("segmentation")
    return {"item": described, **groups, "segmentation": masks[0] if masks else None}
