"""Views of the items of a slice, of their annotations and their predictions, and the sources that they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from nucleus_pandas.transport.session import Transport
from nucleus_pandas.views.annotations import AnnotationsView, PredictionsView
from nucleus_pandas.views.bulk_source import BulkSource
from nucleus_pandas.views.items import ItemsView
from nucleus_pandas.views.rest_source import RestAnnotations, RestItems, RestRunPredictions, RestSource
from nucleus_pandas.views.source import RowSource
from nucleus_pandas.wire.bulk import ROWS
from nucleus_pandas.wire.lenient_responses import PagingRequest, SliceExportRequest
from nucleus_pandas.wire.slices import SliceSize

R = TypeVar("R")


class SliceItemsView(ItemsView):
    """The items of a slice, in its order: `Slice.items`, a frame that is read on demand.

    As `Dataset.items`; positions are those in the slice. The hosted REST API returns slices page by page only, so that
    a look-up costs a full read there.
    """

    def _source(self) -> RowSource:
        """Create the source that one operation reads."""
        if "slices" in self._transport.extensions:
            return _BulkSliceSource(self._transport, self._dataset, (*self._route, self._noun), self._route[1])
        return _SliceItemsSource(self._transport, self._dataset, slice_id=self._route[1])


class SliceAnnotationsView(AnnotationsView):
    """The ground truth of the items of a slice, in its order: `Slice.annotations`, read on demand."""

    def _source(self) -> RowSource:
        """Create the source that one operation reads."""
        if "slices" in self._transport.extensions:
            return _BulkSliceSource(self._transport, self._dataset, (*self._route, self._noun), self._route[1])
        return _SliceAnnotationsSource(self._transport, self._dataset, slice_id=self._route[1])

    def _items_view(self) -> ItemsView:
        """Return the view of the items of the slice."""
        return SliceItemsView(self._transport, self._route, self._dataset)


class SlicePredictionsView(PredictionsView):
    """The predictions of a run, or of the newest run of a model, on the items of a slice: `Slice.predictions`.

    They are in the order of the slice, and are read on demand.

    Parameters
    ----------
    of : (str, str)
        ``("modelRun", id)`` or ``("model", id)``.
    """

    def __init__(
        self, transport: Transport, route: tuple[str, str], dataset: Callable[[], str], of: tuple[str, str]
    ) -> None:
        super().__init__(transport, route, dataset)
        self._of = of

    def _source(self) -> RowSource:
        """Create the source that one operation reads."""
        extension = "slices" if self._of[0] == "modelRun" else "model-predictions"
        if extension in self._transport.extensions:
            route = (*self._route, *self._of, self._noun)
            return _BulkSliceSource(self._transport, self._dataset, route, self._route[1])
        source = _SliceRunPredictionsSource if self._of[0] == "modelRun" else _SliceModelPredictionsSource
        return source(self._transport, self._dataset, self._of[1], slice_id=self._route[1])

    def _items_view(self) -> ItemsView:
        """Return the view of the items of the slice."""
        return SliceItemsView(self._transport, self._route, self._dataset)


class _BulkSliceSource(BulkSource):
    """Reads by the bulk routes of slices."""

    def __init__(self, transport: Transport, dataset: Callable[[], str], route: tuple[str, ...], slice_id: str) -> None:
        super().__init__(transport, dataset, route)
        self._slice_id = slice_id

    def _read_size(self) -> int:
        return self._transport.read(SliceSize, "slice", self._slice_id, "info").length


class _RestSliceSource(RestSource[R]):
    """Reads a slice by the REST API, which returns slices page by page only."""

    def __init__(self, transport: Transport, dataset: Callable[[], str], *run_id: str, slice_id: str) -> None:
        super().__init__(transport, dataset, *run_id)
        self._slice_id = slice_id

    def _read_size(self) -> int:
        return sum(map(len, self._pages(ROWS, False)))  # no route of the REST API returns it

    def _place(self) -> tuple[str, ...]:
        return "slice", self._slice_id

    def _costs_more_than_paging(self, look_ups: int) -> bool:
        return True

    def _export_request(self, rows: int) -> PagingRequest:
        return SliceExportRequest(page_size=rows)


class _SliceItemsSource(_RestSliceSource[Any], RestItems):
    """Reads items."""


class _SliceAnnotationsSource(_RestSliceSource[Any], RestAnnotations):
    """Reads ground truth."""


class _SliceRunPredictionsSource(_RestSliceSource[Any], RestRunPredictions):
    """Reads the predictions of a run, all of them, and keeps those on the items of the slice."""


class _SliceModelPredictionsSource(_RestSliceSource[Any], RestAnnotations):
    """Reads the predictions of the newest run of a model, which the REST API exports as it does ground truth."""

    def __init__(self, transport: Transport, dataset: Callable[[], str], model_id: str, *, slice_id: str) -> None:
        super().__init__(transport, dataset, slice_id=slice_id)
        self._model_id = model_id

    def _place(self) -> tuple[str, ...]:
        return "slice", self._slice_id, self._model_id
