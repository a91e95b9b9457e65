"""The interface of row sources: what a view reads its rows with, for every kind of server.

`bulk_source` reads by the bulk routes of an embedded Nucleus, `rest_source` by the hosted REST API.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from nucleus_pandas.transport.session import Transport
from nucleus_pandas.wire.responses import DatasetSize

Locator: TypeAlias = Literal["refloc", "iloc", "loc"]
PageValues: TypeAlias = Any
"""A list with None where a value is missing, a `numpy.ndarray` of float64, or a `pyarrow.LargeStringArray`."""

PageColumns: TypeAlias = dict[str, PageValues]
"""Values by column, all of one length; a column has the same type in all pages of a source."""

LookUpKeys: TypeAlias = Sequence[str] | Sequence[int]
"""Reference ids for ``refloc``, item ids for ``loc``, positions from 0 for ``iloc``."""

WIRE_NAMES = {"image_width": "width", "image_height": "height"}
"""The fields of items that are called otherwise in frames, where ``width`` and ``height`` are those of boxes."""


@dataclass(frozen=True)
class Picked:
    """The rows of some items.

    Attributes
    ----------
    columns : dict of str to values
        The rows, grouped by key in the order of the keys.
    lengths : list of int
        How many rows each key has.
    missing : list of int
        Places of the keys that name no item.
    """

    columns: PageColumns
    lengths: list[int]
    missing: list[int]


class RowSource(ABC):
    """Reads items, annotations or predictions, column by column.

    One source serves one operation, so that it asks for the size of the dataset once at most.

    Parameters
    ----------
    transport : Transport
        Sends the requests.
    dataset : callable
        Returns the id of the dataset, or raises an error that explains why there is none.
    """

    def __init__(self, transport: Transport, dataset: Callable[[], str]) -> None:
        self._transport = transport
        self._dataset = dataset

        self._size: int | None = None

    @property
    def size(self) -> int:
        """The number of items, asked for once."""
        if self._size is None:
            self._size = self._read_size()
        return self._size

    @property
    def known_size(self) -> int | None:
        """The number of items, as far as it is known without a request."""
        return self._size

    def _read_size(self) -> int:
        return self._transport.read(DatasetSize, "dataset", self._dataset(), "size").count

    @abstractmethod
    def pages(self, wanted: Sequence[str], rows: int, *, raw: bool = False) -> Iterator[PageColumns]:
        """Read all rows in order, page by page.

        Parameters
        ----------
        wanted : sequence of str
            The columns to read.
        rows : int
            Rows per page, approximately.
        raw : bool
            Whether metadata is returned as JSON strings instead of dicts.
        """

    @abstractmethod
    def pick(self, by: Locator, keys: LookUpKeys, wanted: Sequence[str], *, raw: bool = False) -> Picked:
        """Read the rows of some items, in the order of their keys, which are distinct."""


def joined(pages: Iterable[PageColumns], wanted: Sequence[str]) -> PageColumns:
    """Concatenate pages.

    Examples
    --------
    >>> joined([{"x": [1]}, {"x": [2, 3]}], ["x"]), joined([], ["x"])
    ({'x': [1, 2, 3]}, {'x': []})
    """
    parts: dict[str, list[PageValues]] = {name: [] for name in wanted}
    for page in pages:
        for name, values in parts.items():
            values.append(page[name])
    return {name: _stacked(values) for name, values in parts.items()}


def _stacked(parts: Sequence[PageValues]) -> PageValues:
    if parts and isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    if parts and isinstance(parts[0], pa.Array):
        return pa.concat_arrays(parts)
    return list(chain.from_iterable(parts))
