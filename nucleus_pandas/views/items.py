"""The items of a dataset."""

from __future__ import annotations

from typing import Any

import pandas as pd

from nucleus_pandas.images.gallery import SIZE, Gallery, check_size, gallery
from nucleus_pandas.schema import ITEM_DETAILS, ITEMS, Backend, indexed
from nucleus_pandas.views.base import MetadataAs, View
from nucleus_pandas.views.bulk_source import BulkSource
from nucleus_pandas.views.item_indexer import ItemIndexer
from nucleus_pandas.views.keys import Position
from nucleus_pandas.views.rest_source import RestItems
from nucleus_pandas.views.source import RowSource


class ItemsView(View):
    """The items of a dataset, as a frame read on demand: `Dataset.items`.

    ``to_frame()`` is indexed by ``dataset_item_id`` in the order in which the items were added; its columns are
    ``reference_id`` and ``image_url`` (text), ``image_width`` and ``image_height`` (``Int64``, pixels) and ``metadata``
    (dicts). Servers may have more of an item, which is read on demand, as by ``to_frame(columns=["phash"])``: ``phash``
    (text, 64 digits), ``processed_url`` (text) and ``embedding_info`` (dicts). On the hosted service an item without an
    ``image_url`` has its ``processed_url`` in that column.
    ``iloc``, ``loc`` and ``refloc`` take and give what they would on that frame, but read those rows alone.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> client = npd.NucleusClient.local()
    >>> dataset = client.create_dataset("Doc")
    >>> names = ["a.jpg", "b.jpg", "c.jpg"]
    >>> _ = dataset.append([{"reference_id": n, "image_url": f"https://example.org/{n}", "width": 640} for n in names])
    >>> dataset.items.to_frame()["reference_id"].tolist()
    ['a.jpg', 'b.jpg', 'c.jpg']
    >>> dataset.items.iloc[::-2, 0].tolist()
    ['c.jpg', 'a.jpg']
    >>> dataset.items.refloc[["c.jpg", "a.jpg"], "image_width"]
    reference_id
    c.jpg    640
    a.jpg    640
    Name: image_width, dtype: Int64
    >>> len(dataset.items)
    3
    >>> client.close()
    """

    _kinds = ITEMS
    _details = ITEM_DETAILS
    _noun = "items"

    def _source(self) -> RowSource:
        """Create the source that one operation reads."""
        if "lookup" in self._transport.extensions:
            return BulkSource(self._transport, self._dataset, (*self._route, "items"))
        return RestItems(self._transport, self._dataset)

    @property
    def iloc(self) -> ItemIndexer[Position]:
        """Items by position, as ``to_frame().iloc``; see `Dataset.iloc`."""
        return ItemIndexer(self, "iloc")

    @property
    def loc(self) -> ItemIndexer[str]:
        """Items by item id, as ``to_frame().loc``; see `Dataset.loc`."""
        return ItemIndexer(self, "loc")

    @property
    def refloc(self) -> ItemIndexer[str]:
        """Items by reference id, as ``to_frame().reset_index().set_index("reference_id").loc``."""
        return ItemIndexer(self, "refloc")

    def tail(self, n: int = 5) -> pd.DataFrame:
        """Read the last rows; with a negative `n` all but the first ones, as pandas does."""
        rows: pd.DataFrame = self.iloc[-n:] if n else self.iloc[:0]
        return rows

    def sample(self, n: int = 1, random_state: Any = None) -> pd.DataFrame:
        """Read random rows: those that ``to_frame().sample(n, random_state=random_state)`` returns."""
        positions = pd.Series(range(len(self))).sample(n, random_state=random_state)
        rows: pd.DataFrame = self.iloc[positions.tolist()]
        return rows

    def show(self, n: int = 12, *, size: int = SIZE) -> Gallery:
        """Show the first images.

        ``dataset.items.iloc[100:112].nucleus.show()`` shows others, and
        ``dataset.annotations.show()`` what lies on them.

        Parameters
        ----------
        n : int
            How many.
        size : int
            Of an image's longer side, in pixels of the page.

        Returns
        -------
        Gallery
            See `nucleus_pandas.show`. Images that an embedded Nucleus keeps are put into it.

        Raises
        ------
        MissingExtraError
            Pillow is not installed, and images have to be made small.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> from nucleus_pandas import sample
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     _ = dataset.append(sample.items())
        ...     dataset.items.show(4)
        <Gallery of 4 images>
        """
        check_size(n, size)
        return gallery(self.iloc[: int(n)], int(n), size=size, fetch=self._transport.image)

    def _finished(self, rows: pd.DataFrame, metadata_as: MetadataAs, backend: Backend) -> pd.DataFrame:
        return indexed(super()._finished(rows, metadata_as, backend), "dataset_item_id")

    def __len__(self) -> int:
        return self._source().size
