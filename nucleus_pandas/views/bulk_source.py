"""The row source for the bulk routes of an embedded Nucleus, which look up many keys at once and answer in columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from msgspec import Raw

from nucleus_pandas.errors import ServerError
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.views.source import WIRE_NAMES, Locator, LookUpKeys, PageColumns, Picked, RowSource
from nucleus_pandas.wire.bulk import KEYS, ROWS, AnnotationPage, ItemPage, RowSelection
from nucleus_pandas.wire.entities import JsonObject

_Page: TypeAlias = ItemPage[Any] | AnnotationPage[Any]

_FIELDS: dict[Locator, str] = {"iloc": "positions", "refloc": "reference_ids", "loc": "item_ids"}


class BulkSource(RowSource):
    """Reads by the bulk routes.

    Parameters
    ----------
    transport, dataset
        As for every source.
    route : tuple of str
        The path below ``_nucleus_pandas/``; the last segment is ``items`` where items are read.
    """

    def __init__(self, transport: Transport, dataset: Callable[[], str], route: tuple[str, ...]) -> None:
        super().__init__(transport, dataset)
        self._route = route

    def _ask(self, selection: RowSelection, raw: bool) -> _Page:
        page: Any = ItemPage if self._route[-1] == "items" else AnnotationPage
        shape: type[_Page] = page[Raw if raw else JsonObject]
        if selection.columns is not None:
            selection.columns = [WIRE_NAMES.get(name, name) for name in selection.columns]
        return self._transport.look_up(shape, "_nucleus_pandas", *self._route, body=selection)

    def pages(self, wanted: Sequence[str], rows: int, *, raw: bool = False) -> Iterator[PageColumns]:
        """Read everything in order, page by page."""
        selection = self._selection(min(rows, ROWS), list(wanted))
        while True:
            page = self._ask(selection, raw)
            selection.after = page.next
            yield _columns(page, wanted, raw)
            if selection.after is None:
                return

    def _selection(self, rows: int, columns: list[str]) -> RowSelection:
        return RowSelection(limit=rows, columns=columns)

    def pick(self, by: Locator, keys: LookUpKeys, wanted: Sequence[str], *, raw: bool = False) -> Picked:
        """Read the rows of some items, up to `KEYS` keys per request.

        A server may answer fewer keys than a request names, always the first ones: `lengths` has one entry per
        answered key, so its length is where the next request starts.
        """
        columns: PageColumns = {name: [] for name in wanted}
        lengths: list[int] = []
        missing: list[int] = []
        while (done := len(lengths)) < len(keys):
            asked: list[Any] = list(keys[done : done + KEYS])
            page = self._ask(RowSelection(**{_FIELDS[by]: asked}, columns=list(wanted)), raw)  # type: ignore[arg-type]
            answered = _lengths(page, len(asked))
            if not 0 < len(answered) <= len(asked):
                raise ServerError(f"{len(answered)} of {len(asked)} keys were answered.")
            lengths += answered
            missing += [done + place for place in page.missing]
            for name, values in _columns(page, wanted, raw).items():
                columns[name] += values
        return Picked(columns, lengths, missing)


def _lengths(page: _Page, asked: int) -> list[int]:
    if isinstance(page, AnnotationPage):
        return page.lengths
    lengths = [1] * asked
    for place in page.missing:
        lengths[place] = 0
    return lengths


def _columns(page: _Page, wanted: Sequence[str], raw: bool) -> PageColumns:
    columns = {name: getattr(page.columns, WIRE_NAMES.get(name, name)) for name in wanted}
    if raw and "metadata" in columns:
        columns["metadata"] = [str(text, "utf-8") for text in columns["metadata"]]
    return columns
