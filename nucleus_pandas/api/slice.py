"""Slices: named, ordered subsets of the items of a dataset."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from nucleus_pandas.api.model import Model, of_model_or_run
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.api.names import NamedList
from nucleus_pandas.api.web_urls import page_url
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import Backend, ItemKeys, item_ids, no_backend
from nucleus_pandas.schema.items import NamedItems
from nucleus_pandas.transport.resource import Resource
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.jobs import Job
from nucleus_pandas.views import (
    ItemIndexer,
    ItemsView,
    MetadataAs,
    Position,
    Query,
    QueryKind,
    SliceAnnotationsView,
    SliceItemsView,
    SlicePredictionsView,
    check_query,
    query_frame,
)
from nucleus_pandas.wire.bulk import BuildSliceOnce, CreateSliceOnce
from nucleus_pandas.wire.slices import (
    SLICE_IDS,
    AppendedToSlice,
    AppendToSlice,
    BuildFilters,
    BuildSlice,
    CreateSlice,
    LenientSlice,
    LenientSliceEntry,
    SliceBuilt,
    SliceCreated,
    SliceTags,
)


class Slice(Resource):
    """A slice: a named subset of the items of a dataset, in the order in which they were added.

    Created by `Dataset.create_slice` and `Dataset.build_slice`, found by `NucleusClient.get_slice` and
    `Dataset.slices`. Deleted items disappear from it.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> client = npd.NucleusClient.local()
    >>> dataset = client.create_dataset("Doc")
    >>> names = ["a.jpg", "b.jpg", "c.jpg"]
    >>> _ = dataset.append([{"reference_id": n, "image_url": f"https://example.org/{n}"} for n in names])
    >>> rainy = dataset.create_slice("rainy", ["c.jpg", "a.jpg"])
    >>> rainy.to_frame()["reference_id"].tolist(), rainy.iloc[-1, 0]
    (['c.jpg', 'a.jpg'], 'a.jpg')
    >>> _ = rainy.append(["b.jpg"])
    >>> len(rainy), dataset.slices
    (3, [<Slice slc_... 'rainy'>])
    >>> client.close()
    """

    _views: ClassVar = {"items": SliceItemsView, "annotations": SliceAnnotationsView}

    def __init__(
        self, transport: Transport, slice_id: str, name: str | None = None, dataset_id: str | None = None
    ) -> None:
        super().__init__(transport, slice_id)
        self._name = name
        self._dataset_id = dataset_id

    @property
    def info(self) -> dict[str, Any]:
        """``name``, ``dataset_id``, ``type``, ``tags``, ``created_at`` and more, as the server has them now."""
        return self._transport.get("slice", self.id, "info")

    @property
    def url(self) -> str:
        """The URL of the page that shows the images; see `NucleusClient.url`."""
        return page_url(self._transport, "slices", self.id, dataset=self._read_dataset_id)

    def _read(self) -> LenientSlice:
        info = self._transport.read(LenientSlice, "slice", self.id, "info")
        self._name, self._dataset_id = info.name, info.dataset_id
        return info

    @property
    def name(self) -> str:
        """The name, unique in the dataset."""
        return self._read().name if self._name is None else self._name

    @property
    def dataset_id(self) -> str:
        """The id of its dataset."""
        return self._read().dataset_id if self._dataset_id is None else self._dataset_id

    def _read_dataset_id(self) -> str:
        return self.dataset_id

    @property
    def tags(self) -> list[str]:
        """The tags, as the server has them now."""
        return self._read().tags or []

    def __getitem__(self, key: str) -> str:
        if key == "slice_id":
            return self.id
        if key in ("name", "dataset_id"):
            return str(getattr(self, key))
        raise KeyError(f"{key!r} is not a key of a slice; there are 'slice_id', 'name', 'dataset_id'.")

    def __len__(self) -> int:
        return len(self.items)

    __iter__ = None  # items are read by position or by id

    def __bool__(self) -> bool:
        return True  # an empty slice is a slice

    @property
    def items(self) -> ItemsView:
        """The items in the order of the slice, as a frame that is read on demand."""
        return SliceItemsView(self._transport, ("slice", self.id), self._read_dataset_id)

    @property
    def annotations(self) -> SliceAnnotationsView:
        """The ground truth of the items, as a frame that is read on demand."""
        return SliceAnnotationsView(self._transport, ("slice", self.id), self._read_dataset_id)

    def predictions(self, run: ModelRun | Model | str) -> SlicePredictionsView:
        """Return the predictions of a run on the items, as a frame that is read on demand.

        Parameters
        ----------
        run : ModelRun, Model or str
            The run, or the model whose newest run on the dataset is read; or the id of either. The hosted service
            returns all predictions of a run, and those on other items are dropped here.
        """
        return SlicePredictionsView(self._transport, ("slice", self.id), self._read_dataset_id, of_model_or_run(run))

    def to_frame(self, metadata_as: MetadataAs = "dict", dtype_backend: Backend = no_backend) -> pd.DataFrame:
        """Read the items into one frame, as ``slice.items.to_frame`` does."""
        return self.items.to_frame(metadata_as, dtype_backend)

    @property
    def iloc(self) -> ItemIndexer[Position]:
        """Items by position in the slice, as ``slice.to_frame().iloc``; see `Dataset.iloc`."""
        return self.items.iloc

    @property
    def loc(self) -> ItemIndexer[str]:
        """Items of the slice by item id, as ``slice.to_frame().loc``; see `Dataset.loc`."""
        return self.items.loc

    @property
    def refloc(self) -> ItemIndexer[str]:
        """Items of the slice by reference id; see `Dataset.refloc`."""
        return self.items.refloc

    def query(
        self,
        text: str,
        kind: QueryKind = "items",
        *,
        run: ModelRun | str | None = None,
        metadata_as: MetadataAs = "dict",
        dtype_backend: Backend = no_backend,
    ) -> pd.DataFrame:
        """Find items of the slice, or their annotations or predictions, in the order of the slice.

        The hosted service only queries whole datasets: there all matches in the dataset are read, and those outside
        the slice are dropped.

        Parameters
        ----------
        text, kind, run, metadata_as, dtype_backend
            As in `Dataset.query`.

        Returns
        -------
        pandas.DataFrame
            As in `Dataset.query`.
        """
        run_id = run.id if isinstance(run, ModelRun) else run
        check_query(text, kind, run_id)
        embedded = "queries" in self._transport.extensions
        route = ("slice", self.id) if embedded else ("dataset", self.dataset_id)
        query = Query(text, run_id)
        rows = query_frame(self._transport, route, self._read_dataset_id, query, kind, metadata_as, dtype_backend)
        return rows if embedded else self._rows_in_slice(rows, kind)

    def _rows_in_slice(self, rows: pd.DataFrame, kind: QueryKind) -> pd.DataFrame:
        """Return the rows on items of the slice, in the order of the slice."""
        reference_ids = self.to_frame(metadata_as=False)["reference_id"]
        position_of = pd.Series(range(len(reference_ids)), index=reference_ids)
        positions = rows["reference_id"].map(position_of).to_numpy(np.float64, na_value=-1)
        order = np.argsort(positions, kind="stable")
        selected = rows.iloc[order[positions[order] >= 0]]
        return selected if kind == "items" else selected.reset_index(drop=True)

    def append(self, reference_ids: ItemKeys) -> dict[str, Any]:
        """Append items of the dataset to the slice; items that it already contains keep their position.

        Parameters
        ----------
        reference_ids : iterable of str, or pandas.DataFrame
            Reference ids; or a frame with ``reference_id`` or ``dataset_item_id``, in a column or the index, such as
            the result of ``dataset.query(…)``.

        Returns
        -------
        dict
            ``{"slice_id": …, "new_items": […]}``: the ids of the added items.

        Raises
        ------
        NotFoundError
            Items are not in the dataset. A request of up to 10,000 items is rejected as a whole; those of earlier
            requests are in the slice.
        """
        new: list[Any] = []
        for batch in _batches(self._reference_ids(item_ids(reference_ids))):
            body = AppendToSlice(reference_ids=batch, dataset_id=self.dataset_id)
            new += self._transport.look_up(AppendedToSlice, "slice", self.id, "append", body=body).new_items
        return {"slice_id": self.id, "new_items": new}

    def _reference_ids(self, named: NamedItems) -> list[str]:
        if named.by == "reference_id" or not named.ids:
            return named.ids
        # the contract only appends by reference id
        items = ItemsView(self._transport, ("dataset", self.dataset_id), self._read_dataset_id)
        reference_ids: list[str] = items.loc[named.ids, "reference_id"].tolist()
        return reference_ids

    def add_tags(self, tags: Iterable[str]) -> list[str]:
        """Add tags, and return all tags of the slice."""
        return self._change_tags("POST", tags)

    def remove_tags(self, tags: Iterable[str]) -> list[str]:
        """Remove tags, and return the remaining ones. The hosted service's contract does not have this request."""
        return self._change_tags("DELETE", tags)

    def _change_tags(self, method: str, tags: Iterable[str]) -> list[str]:
        names = [tags] if isinstance(tags, str) else list(tags)
        if not all(isinstance(tag, str) and tag for tag in names):
            raise InvalidInputError(f"Tags must be strings, as in add_tags(['night', 'wet']), not {names!r}.")
        self._transport.request(method, "slice", self.id, "tag", body=SliceTags(slice_tags=names))
        return self.tags

    def _known(self) -> dict[str, object]:
        return {"name": self._name, "dataset_id": self._dataset_id}


def slice_of(transport: Transport, dataset_id: str, name: str, named: NamedItems, *, exist_ok: bool = False) -> Slice:
    """Create a slice of any number of items on the server; with `exist_ok` it may be there already."""
    _check_name(name)
    first, *others = _batches(named.ids) or [[]]
    is_known = exist_ok and "exist-ok" in transport.extensions
    if exist_ok and not is_known and (existing := _slice_named(transport, dataset_id, name)) is not None:
        for batch in _batches(named.ids):
            existing.append(pd.DataFrame({named.by: batch}))
        return existing
    body = CreateSliceOnce(name=name, exist_ok=True) if is_known else CreateSlice(name=name)
    if not first:
        body.allow_empty = 1
    elif named.by == "reference_id":
        body.reference_ids = first
    else:
        body.dataset_item_ids = first
    prefix = ("_nucleus_pandas",) if is_known else ()
    created = transport.create(SliceCreated, *prefix, "dataset", dataset_id, "create_slice", body=body)
    new_slice = Slice(transport, created.slice_id, name, dataset_id)
    for batch in others:
        new_slice.append(pd.DataFrame({named.by: batch}))
    return new_slice


def _slice_named(transport: Transport, dataset_id: str, name: str) -> Slice | None:
    return next((one for one in slices_of(transport, dataset_id) if one.name == name), None)


def sample_of(
    transport: Transport,
    dataset_id: str,
    name: str,
    size: int,
    method: str,
    source: str | None,
    seed: int | None,
    *,
    exist_ok: bool = False,
) -> Slice:
    """Create a slice of a random sample, drawn by the server; with `exist_ok` it may be there already."""
    _check_name(name)
    if method not in ("Random", "Uniqueness"):
        raise InvalidInputError(
            f"sample_method must be 'Random' or 'Uniqueness', not {method!r}.", argument="sample_method"
        )
    if isinstance(size, bool) or not hasattr(size, "__index__") or not 0 < size.__index__() < 2**31:
        raise InvalidInputError(f"sample_size must be an integer of at least 1, not {size!r}.", argument="sample_size")
    if seed is not None and "slices" not in transport.extensions:
        raise InvalidInputError("Only an embedded Nucleus supports seed=; omit it.")
    is_known = exist_ok and "exist-ok" in transport.extensions
    if exist_ok and not is_known and (existing := _slice_named(transport, dataset_id, name)) is not None:
        return existing
    shape = partial(BuildSliceOnce, exist_ok=True) if is_known else BuildSlice
    body = shape(
        name=name,
        sample_size=size.__index__(),
        sample_method=method,  # type: ignore[arg-type]
        filters=BuildFilters(slice_id=source),
        seed=seed,
    )
    prefix = ("_nucleus_pandas",) if is_known else ()
    built = transport.create(SliceBuilt, *prefix, "dataset", dataset_id, "build_slice", body=body)
    if built.job_id is not None:
        view = Job(transport, built.job_id).ended()
        if view.status.startswith("Errored"):
            raise InvalidInputError(f"The slice '{name}' could not be sampled: {view.message}")
    return Slice(transport, built.slice_id, name, dataset_id)


def slices_of(transport: Transport, dataset_id: str) -> NamedList[Slice]:
    """List the slices of a dataset."""
    entries = transport.read(list[LenientSliceEntry], "dataset", dataset_id, "slices")
    return NamedList(Slice(transport, entry.id, entry.name, dataset_id) for entry in entries)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidInputError(f"A slice needs a name: create_slice('rainy', ['a.jpg']), not {name!r}.")


def _batches(ids: list[str]) -> list[list[str]]:
    return [ids[start : start + SLICE_IDS] for start in range(0, len(ids), SLICE_IDS)]
