"""Views of what a query finds (items, annotations or predictions), and the sources that they read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import Backend, no_backend, warn
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.views.annotations import AnnotationsView, PredictionsView
from nucleus_pandas.views.base import MetadataAs
from nucleus_pandas.views.bulk_source import BulkSource
from nucleus_pandas.views.items import ItemsView
from nucleus_pandas.views.rest_source import ItemRows, RestAnnotations, RestItems, listed
from nucleus_pandas.views.source import RowSource
from nucleus_pandas.wire.bulk import DoubtQuery, QueryDoubts, RowSelection
from nucleus_pandas.wire.lenient_responses import (
    ItemsPage,
    LenientItem,
    LenientPrediction,
    QueryItems,
    QueryObjects,
    RawItem,
    RawPrediction,
)

QueryKind: TypeAlias = Literal["items", "annotations", "predictions"]


@dataclass(frozen=True, slots=True)
class Query:
    """A query of items, annotations or predictions.

    Attributes
    ----------
    text : str
        The query.
    run_id : str, optional
        The run whose predictions it is about.
    """

    text: str
    run_id: str | None = None


def check_query(text: object, kind: object, run_id: object) -> None:
    """Validate the arguments of a query before it is sent.

    Raises
    ------
    InvalidInputError
        The message says what is allowed.
    """
    if not isinstance(text, str):
        raise InvalidInputError(
            f"A query is a string, such as 'metadata.weather = \"rain\" and annotations.count > 6', not {text!r}."
        )
    if kind not in get_args(QueryKind):
        raise InvalidInputError(f"kind is 'items', 'annotations' or 'predictions', not {kind!r}.", argument="kind")
    if run_id is not None and (not isinstance(run_id, str) or not run_id):
        raise InvalidInputError(f"run is a ModelRun or its id, not {run_id!r}.", argument="run")
    if kind == "predictions" and run_id is None:
        raise InvalidInputError(
            "Predictions belong to a run; pass run=: dataset.query(text, kind='predictions', run=run)."
        )


def query_frame(
    transport: Transport,
    route: tuple[str, str],
    dataset: Callable[[], str],
    query: Query,
    kind: QueryKind,
    metadata_as: MetadataAs = "dict",
    dtype_backend: Backend = no_backend,
) -> pd.DataFrame:
    """Read what a query finds.

    Parameters
    ----------
    route : tuple of (str, str)
        Where to look: ``("dataset", id)`` or, on an embedded Nucleus, ``("slice", id)``.
    """
    if "query-doubts" in transport.extensions:
        asked = DoubtQuery(query=query.text, kind=kind, model_run_id=query.run_id)
        route_of_doubts = ("_nucleus_pandas", "dataset", dataset(), "queryDoubts")
        for doubt in transport.look_up(QueryDoubts, *route_of_doubts, body=asked).doubts:
            warn(doubt)
    views: dict[str, type[_QueriedItemsView | _QueriedAnnotationsView | _QueriedPredictionsView]]
    views = {"items": _QueriedItemsView, "annotations": _QueriedAnnotationsView, "predictions": _QueriedPredictionsView}
    return views[kind](transport, route, dataset, query).to_frame(metadata_as, dtype_backend)


class _QueryView:
    """The query, which the views of this module have in addition."""

    def __init__(self, transport: Transport, route: tuple[str, str], dataset: Callable[[], str], query: Query) -> None:
        super().__init__(transport, route, dataset)  # type: ignore[call-arg]  # that of a view
        self._query = query


class _QueriedItemsView(_QueryView, ItemsView):
    """The items that a query finds."""

    def _source(self) -> RowSource:
        """Create the source that the query reads."""
        if "queries" in self._transport.extensions:
            return _BulkQuerySource(self._transport, self._dataset, (*self._route, "items"), self._query)
        if self._query.run_id is not None:
            raise InvalidInputError("The hosted service takes no run where items are queried; leave run= out.")
        return _RestQueriedItems(self._transport, self._dataset, self._query)


class _QueriedAnnotationsView(_QueryView, AnnotationsView):
    """The ground truth that a query finds."""

    def _source(self) -> RowSource:
        """Create the source that the query reads."""
        if "queries" in self._transport.extensions:
            return _BulkQuerySource(self._transport, self._dataset, (*self._route, "annotations"), self._query)
        return _RestQueriedObjects(self._transport, self._dataset, self._query, "ground_truth_only")


class _QueriedPredictionsView(_QueryView, PredictionsView):
    """The predictions that a query finds."""

    def _source(self) -> RowSource:
        """Create the source that the query reads."""
        if "queries" in self._transport.extensions:
            run = ("modelRun", self._query.run_id or "", "predictions")
            route = (*self._route, *run) if self._route[0] == "slice" else run
            return _BulkQuerySource(self._transport, self._dataset, route, self._query)
        return _RestQueriedObjects(self._transport, self._dataset, self._query, "predictions_only")


class _BulkQuerySource(BulkSource):
    """Reads what a query finds by the bulk routes."""

    def __init__(self, transport: Transport, dataset: Callable[[], str], route: tuple[str, ...], query: Query) -> None:
        super().__init__(transport, dataset, route)
        self._query = query

    def _selection(self, rows: int, columns: list[str]) -> RowSelection:
        return RowSelection(limit=rows, columns=columns, query=self._query.text, model_run_id=self._query.run_id)


class _RestQueriedItems(RestItems):
    """Asks by the REST API for items."""

    def __init__(self, transport: Transport, dataset: Callable[[], str], query: Query) -> None:
        super().__init__(transport, dataset)
        self._query = query

    def _pages(self, rows: int, raw: bool) -> Iterator[list[LenientItem]]:
        shape = ItemsPage[RawItem] if raw else ItemsPage[LenientItem]
        wanted = QueryItems(page_size=rows, query=self._query.text)
        return (page.items for page in self._paged(shape, "queryItemsPage", wanted))


class _RestQueriedObjects(RestAnnotations):
    """Asks by the REST API for annotations or predictions, which name their items themselves."""

    def __init__(
        self,
        transport: Transport,
        dataset: Callable[[], str],
        query: Query,
        mode: Literal["ground_truth_only", "predictions_only"],
    ) -> None:
        super().__init__(transport, dataset)
        self._query = query
        self._mode = mode

    def _pages(self, rows: int, raw: bool) -> Iterator[list[ItemRows]]:
        shape = ItemsPage[RawPrediction] if raw else ItemsPage[LenientPrediction]
        wanted = QueryObjects(
            page_size=rows, query=self._query.text, patch_mode=self._mode, model_run_id=self._query.run_id
        )
        for page in self._paged(shape, "queryObjectsPage", wanted):
            yield [ItemRows(row.dataset_item_id or row.item_id, row.reference_id, [row]) for row in listed(page.items)]
