"""What all views have in common: reading everything at once or frame by frame, and the forms of metadata."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from numbers import Integral
from typing import Any, Literal, TypeAlias, TypeVar

import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas._util.html import isolated, safe
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import Backend, check_backend, frame, no_backend
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.views.source import PageColumns, RowSource
from nucleus_pandas.wire.bulk import ROWS
from nucleus_pandas.wire.decoding import uncollected

T = TypeVar("T")
MetadataAs: TypeAlias = Literal["dict", "columns", "json", False]


def check_form(metadata_as: object) -> None:
    """Raise InvalidInputError unless this is a form of metadata."""
    if metadata_as is not False and metadata_as not in ("dict", "columns", "json"):
        raise InvalidInputError(
            f"metadata_as is 'dict', 'columns', 'json' or False, not {metadata_as!r}.", argument="metadata_as"
        )


def kinds_for(kinds: Mapping[str, str], metadata_as: MetadataAs) -> dict[str, str]:
    """Return a table of dtypes adapted to a form of metadata."""
    fitted = dict(kinds)
    if metadata_as is False:
        del fitted["metadata"]
    elif metadata_as == "json":
        fitted["metadata"] = TEXT
    return fitted


def spread(frame: pd.DataFrame, backend: Backend) -> pd.DataFrame:
    """Split the column ``metadata``, one level deep, into columns ``metadata.<key>`` in order of first appearance.

    pandas infers their dtypes from the values; absent keys and null are missing values.

    Examples
    --------
    >>> spread(pd.DataFrame({"metadata": [{"rain": True, "hour": 7}, {"hour": 8}]}), no_backend)
      metadata.rain  metadata.hour
    0          True              7
    1          None              8
    """
    rows: list[dict[str, Any]] = frame["metadata"].tolist()
    names = dict.fromkeys(chain.from_iterable(rows))
    key_columns = pd.DataFrame(
        {f"metadata.{name}": pd.Series([row.get(name) for row in rows], index=frame.index) for name in names},
        index=frame.index,
    )
    if backend is not no_backend:
        key_columns = key_columns.convert_dtypes(dtype_backend=backend)
    return pd.concat([frame.drop(columns="metadata"), key_columns], axis=1)


class View(ABC):
    """Rows on a server, read on demand.

    Parameters
    ----------
    transport : Transport
        Sends the requests.
    route : tuple of str
        What the rows belong to: ``("dataset", id)``, ``("modelRun", id)``, ``("model", id)``, or two of them.
    dataset : callable
        Returns the id of the dataset, or raises an error that explains why there is none.
    """

    kinds: dict[str, str]
    """Columns and dtypes of the frame, the index included."""

    _noun: str

    def __init__(self, transport: Transport, route: tuple[str, ...], dataset: Callable[[], str]) -> None:
        self._transport = transport
        self._route = route
        self._dataset = dataset

    @abstractmethod
    def source(self) -> RowSource:
        """Create the source that one operation reads."""

    def _read_route(self, shape: type[T], *path: str) -> T:
        """Read a route below that of what the rows belong to."""
        return self._transport.read(shape, *self._route, *path)

    def empty(self) -> pd.DataFrame:
        """Return the frame without rows."""
        return self._finished(self.partial({}, 0), "dict", no_backend)

    def partial(self, columns: PageColumns, rows: int) -> pd.DataFrame:
        """Return a frame of all columns with a RangeIndex, where those that were not read are missing values."""
        return frame({name: columns.get(name, [None] * rows) for name in self.kinds}, self.kinds)

    def to_frame(self, metadata_as: MetadataAs = "dict", dtype_backend: Backend = no_backend) -> pd.DataFrame:
        """Read everything into one frame.

        Parameters
        ----------
        metadata_as : {"dict", "columns", "json", False}
            ``"dict"``: a column ``metadata`` of dicts, nothing lost. ``"json"``: the same as JSON text, numbers
            written as they were stored. ``"columns"``: a column ``metadata.<key>`` for each key, in order of first
            appearance, with dtypes that depend on the values; one level deep, and null is the same as absent.
            False: none.
        dtype_backend : {"numpy_nullable", "pyarrow"}, optional
            As in pandas: nullable dtypes, or Arrow's, for every column that does not hold Python objects, and for the
            index.

        Returns
        -------
        pandas.DataFrame
            Dtypes do not depend on the rows, and an empty frame has them too.

        Raises
        ------
        InvalidInputError
            `metadata_as` or `dtype_backend` has another value.
        """
        check_form(metadata_as)
        check_backend(dtype_backend)
        return self._finished(stacked(list(self._frames(ROWS, metadata_as, dtype_backend))), metadata_as, dtype_backend)

    def iter_frames(
        self, chunksize: int = 10_000, *, metadata_as: MetadataAs = "dict", dtype_backend: Backend = no_backend
    ) -> Iterator[pd.DataFrame]:
        """Read frame by frame, so that memory does not grow with the number of rows.

        Concatenated by ``pd.concat``, the frames are what `to_frame` gives: a RangeIndex continues from frame to
        frame. With ``metadata_as="columns"`` each frame has the columns of its own rows.

        Parameters
        ----------
        chunksize : int
            Rows of a frame; the last one may have fewer. Without any rows there is one frame, which is empty.
        metadata_as, dtype_backend
            As in `to_frame`.

        Yields
        ------
        pandas.DataFrame
        """
        if isinstance(chunksize, bool) or not isinstance(chunksize, Integral) or chunksize < 1:
            raise InvalidInputError(
                f"chunksize is a number of rows, at least 1, not {chunksize!r}.", argument="chunksize"
            )
        check_form(metadata_as)
        check_backend(dtype_backend)
        return self._chunks(int(chunksize), metadata_as, dtype_backend)

    def _chunks(self, rows: int, metadata_as: MetadataAs, backend: Backend) -> Iterator[pd.DataFrame]:
        waiting: list[pd.DataFrame] = []
        start = 0
        for page in self._frames(rows, metadata_as, backend):
            waiting.append(page)
            if sum(map(len, waiting)) >= rows:
                whole = stacked(waiting)
                full = len(whole) - len(whole) % rows
                for first in range(0, full, rows):
                    yield self._chunk(whole.iloc[first : first + rows], start, metadata_as, backend)
                    start += rows
                waiting = [whole.iloc[full:]]
        if start == 0 or any(map(len, waiting)):
            yield self._chunk(stacked(waiting), start, metadata_as, backend)

    def _chunk(self, rows: pd.DataFrame, start: int, metadata_as: MetadataAs, backend: Backend) -> pd.DataFrame:
        numbered = rows.set_axis(pd.RangeIndex(start, start + len(rows)), axis=0)
        return self._finished(numbered, metadata_as, backend)

    def _frames(self, rows: int, metadata_as: MetadataAs, backend: Backend) -> Iterator[pd.DataFrame]:
        kinds = kinds_for(self.kinds, metadata_as)
        pages = self.source().pages(list(kinds), rows, raw=metadata_as == "json")
        page_frame: pd.DataFrame | None = frame({name: [] for name in kinds}, kinds, backend)
        while page_frame is not None:
            yield page_frame
            with uncollected():
                page_frame = next((frame(page, kinds, backend) for page in pages), None)

    def _finished(self, rows: pd.DataFrame, metadata_as: MetadataAs, backend: Backend) -> pd.DataFrame:
        return spread(rows, backend) if metadata_as == "columns" else rows

    def __repr__(self) -> str:
        return f"<{self._noun} of {'/'.join(self._route)}>"

    def _repr_html_(self) -> str:
        names = ", ".join(f"<code>{safe(name)}</code>" for name in self.kinds)
        return (
            f"<table><tr><th>{self._noun} of</th><td>{isolated('/'.join(self._route))}</td></tr>"
            f"<tr><th>columns</th><td>{names}</td></tr><tr><th>read by</th><td><code>.to_frame()</code>, "
            "<code>.iter_frames()</code>, <code>.iloc[…]</code>, <code>.loc[…]</code>, <code>.refloc[…]</code></td>"
            "</tr></table>"
        )

    __iter__ = None  # rows are read by position or by id
    __contains__: Any = None

    def __bool__(self) -> bool:
        return True  # without asking how many rows there are

    @abstractmethod
    def __len__(self) -> int: ...


def stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate frames of the same columns and dtypes; at least one."""
    filled = [part for part in frames if len(part)]
    if not filled:
        return frames[0]
    return filled[0] if len(filled) == 1 else pd.concat(filled, ignore_index=True)
