"""Where the rows of a view come from: one interface for every kind of server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from nucleus_pandas.transport import Transport
from nucleus_pandas.wire import DatasetSize

Locator: TypeAlias = Literal["refloc", "iloc", "loc"]
Columns: TypeAlias = dict[str, list[Any]]
"""Values by column, None where one is missing."""

Keys: TypeAlias = Sequence[str] | Sequence[int]
"""Reference ids for ``refloc``, item ids for ``loc``, positions from 0 for ``iloc``."""


@dataclass(frozen=True)
class Picked:
    """The rows of some items.

    Attributes
    ----------
    columns : dict of str to list
        The rows, those of one key after those of another.
    lengths : list of int
        How many rows each key has.
    missing : list of int
        Places of the keys that name no item.
    """

    columns: Columns
    lengths: list[int]
    missing: list[int]


class Source(ABC):
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
    def pages(self, wanted: Sequence[str], rows: int, *, raw: bool = False) -> Iterator[Columns]:
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
    def pick(self, by: Locator, keys: Keys, wanted: Sequence[str], *, raw: bool = False) -> Picked:
        """Read the rows of some items, in the order of their keys, of which no two are equal."""


def joined(pages: Iterator[Columns], wanted: Sequence[str]) -> Columns:
    """Put pages together."""
    whole: Columns = {name: [] for name in wanted}
    for page in pages:
        for name, values in whole.items():
            values += page[name]
    return whole
