"""Where the rows of a view come from: one interface for every kind of server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
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
"""Values by column, all of one length; those of one column are of one kind in all pages of a source."""

LookUpKeys: TypeAlias = Sequence[str] | Sequence[int]
"""Reference ids for ``refloc``, item ids for ``loc``, positions from 0 for ``iloc``."""


@dataclass(frozen=True)
class Picked:
    """The rows of some items.

    Attributes
    ----------
    columns : dict of str to values
        The rows, those of one key after those of another.
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

    It lives as long as one operation does, so it asks for the size of the dataset once.

    Parameters
    ----------
    transport : Transport
        What to ask with.
    dataset : callable
        Gives the id of the dataset, or raises an error that says why there is none.
    """

    def __init__(self, transport: Transport, dataset: Callable[[], str]) -> None:
        self._transport = transport
        self._dataset = dataset

    @cached_property
    def size(self) -> int:
        """The number of items."""
        return self._transport.read(DatasetSize, "dataset", self._dataset(), "size").count

    @abstractmethod
    def pages(self, wanted: Sequence[str], rows: int, *, raw: bool = False) -> Iterator[PageColumns]:
        """Read everything in order, about so many rows at a time.

        Parameters
        ----------
        wanted : sequence of str
            The columns to give.
        rows : int
            Rows of a page; a source may have reasons to give more or fewer.
        raw : bool
            Whether metadata is given as JSON text instead of dicts.
        """

    @abstractmethod
    def pick(self, by: Locator, keys: LookUpKeys, wanted: Sequence[str], *, raw: bool = False) -> Picked:
        """Read the rows of some items, in the order of their keys, of which no two are equal."""


def joined(pages: Iterable[PageColumns], wanted: Sequence[str]) -> PageColumns:
    """Put pages together.

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
