"""What all views have in common: reading everything at once or frame by frame, and the forms of metadata."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar, overload

import msgspec
import pandas as pd
import pyarrow as pa

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas._util.html import isolated, safe
from nucleus_pandas.errors import InvalidInputError, MissingExtraError
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

    _kinds: dict[str, str]
    """Columns and dtypes of the frame, the index included."""

    _details: ClassVar[dict[str, str]] = {}
    """Columns and dtypes that are read only if they are named."""

    _noun: str

    def __init__(self, transport: Transport, route: tuple[str, ...], dataset: Callable[[], str]) -> None:
        self._transport = transport
        self._route = route
        self._dataset = dataset

    @abstractmethod
    def _source(self) -> RowSource:
        """Create the source that one operation reads."""

    def _read_route(self, shape: type[T], *path: str) -> T:
        """Read a route below that of what the rows belong to."""
        return self._transport.read(shape, *self._route, *path)

    def _empty_frame(self) -> pd.DataFrame:
        """Return the frame without rows."""
        return self._finished(self._partial({}, 0), "dict", no_backend)

    def _partial(self, columns: PageColumns, rows: int) -> pd.DataFrame:
        """Return a frame of all columns with a RangeIndex, where those that were not read are missing values."""
        return frame({name: columns.get(name, [None] * rows) for name in self._kinds}, self._kinds)

    @property
    def columns(self) -> pd.Index[Any]:
        """The columns of the frame, without a request."""
        return self._empty_frame().columns

    @property
    def dtypes(self) -> pd.Series[Any]:
        """The dtype of each column, without a request."""
        return self._empty_frame().dtypes

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return len(self), len(self.columns)

    @property
    def empty(self) -> bool:
        """True if there are no rows."""
        return not len(self)

    def head(self, n: int = 5) -> pd.DataFrame:
        """Read the first rows; with a negative `n` all but the last ones, as pandas does."""
        rows = _count_of(n)
        return next(self.iter_frames(max(rows, 1))).head(rows) if rows >= 0 else self.to_frame().head(rows)

    def tail(self, n: int = 5) -> pd.DataFrame:
        """Read the last rows; with a negative `n` all but the first ones, as pandas does."""
        return self.to_frame().tail(_count_of(n))

    def sample(self, n: int = 1, random_state: Any = None) -> pd.DataFrame:
        """Read random rows: those that ``to_frame().sample(n, random_state=random_state)`` returns."""
        return self.to_frame().sample(_count_of(n), random_state=random_state)

    @overload
    def __getitem__(self, key: str) -> pd.Series[Any]: ...

    @overload
    def __getitem__(self, key: list[str] | pd.Index[Any]) -> pd.DataFrame: ...

    def __getitem__(self, key: Any) -> Any:
        """Read one column as a Series, or a list of columns as a DataFrame; no other columns are read if possible."""
        if isinstance(key, str):
            return self.to_frame(columns=[key])[key]
        if isinstance(key, (list, pd.Index)) and all(isinstance(name, str) for name in key):
            return self.to_frame(columns=list(key))
        raise TypeError(
            f"[…] of a view takes the name of a column or a list of names, not {type(key).__name__}. Rows are read by "
            ".iloc[…], .loc[…], .refloc[…] and .head(); .to_frame() returns a DataFrame."
        )

    def to_frame(
        self,
        metadata_as: MetadataAs = "dict",
        dtype_backend: Backend = no_backend,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Read everything into one frame.

        Methods of pandas that compare or hash values, such as ``drop_duplicates``, fail on columns of dicts, and
        ``to_csv`` writes dicts as text that cannot be read back: use ``metadata_as="json"`` or ``"columns"`` for them.
        ``frame.to_parquet`` fails where no row has metadata, since Parquet has no dicts without keys: use
        ``metadata_as="json"`` for it, or ``dataset.to_parquet``.

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
        columns : list of str, optional
            The columns to read, in this order; by default all.

        Returns
        -------
        pandas.DataFrame
            Dtypes do not depend on the rows, and an empty frame has them too.

        Raises
        ------
        InvalidInputError
            `metadata_as` or `dtype_backend` has another value.
        KeyError
            `columns` names a column that the frame does not have.
        """
        check_form(metadata_as)
        check_backend(dtype_backend)
        read = None if columns is None else self._known_columns(columns)
        pages = self._frames(ROWS, metadata_as, dtype_backend, read)
        rows = self._finished(stacked(list(pages)), metadata_as, dtype_backend)
        if columns is None or (metadata_as == "columns" and "metadata" in columns):
            return rows
        return rows[list(columns)]

    def _known_columns(self, columns: Sequence[str]) -> list[str]:
        """Return the columns to read for some columns of the frame: its index too."""
        names = [columns] if isinstance(columns, str) else list(columns)
        known = self.columns
        if unknown := [name for name in names if name not in known and name not in self._details]:
            near = get_close_matches(str(unknown[0]), [*known, *self._details], 1)
            hint = f" Is {near[0]!r} meant?" if near else f" There are {', '.join(map(repr, known))}."
            raise KeyError(f"The {self._noun} have no column {unknown[0]!r}.{hint}")
        return [
            name for name in [*self._kinds, *self._details] if name in names or name not in [*known, *self._details]
        ]

    def to_arrow(self) -> pa.Table:
        """Read everything into an Arrow table; the index is a column, dicts are JSON strings.

        Returns
        -------
        pyarrow.Table
        """
        rows = self.to_frame(metadata_as="json")
        rows = rows.reset_index(drop=rows.index.name is None)
        for name in [name for name in rows.columns if rows[name].dtype == object]:
            rows[name] = [_json_text(value) if isinstance(value, dict) else value for value in rows[name]]
        return pa.Table.from_pandas(rows, preserve_index=False)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export `to_arrow` to a library that reads Arrow's C stream, such as Polars and DuckDB."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_polars(self) -> Any:
        """Read everything into a Polars DataFrame, as `to_arrow` has it.

        Raises
        ------
        MissingExtraError
            Polars is not installed.
        """
        try:
            import polars  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise MissingExtraError("to_polars needs Polars: pip install polars") from None
        return polars.from_arrow(self.to_arrow())

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

    def _frames(
        self, rows: int, metadata_as: MetadataAs, backend: Backend, columns: Sequence[str] | None = None
    ) -> Iterator[pd.DataFrame]:
        kinds = kinds_for(self._kinds, metadata_as)
        if columns is not None:
            kinds = {name: kind for name, kind in (kinds | self._details).items() if name in columns}
        pages = self._source().pages(list(kinds), rows, raw=metadata_as == "json")
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
        names = ", ".join(f"<code>{safe(name)}</code>" for name in self._kinds)
        return (
            f"<table><tr><th>{self._noun} of</th><td>{isolated('/'.join(self._route))}</td></tr>"
            f"<tr><th>columns</th><td>{names}</td></tr><tr><th>read by</th><td><code>.to_frame()</code>, "
            "<code>.iter_frames()</code>, <code>.iloc[…]</code>, <code>.loc[…]</code>, <code>.refloc[…]</code></td>"
            "</tr></table>"
        )

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(f"{type(self).__name__!r} is not iterable: use .iter_frames() for frames, or .to_frame().")

    def __contains__(self, key: object) -> bool:
        raise TypeError(f"{type(self).__name__!r} does not support 'in': use .to_frame() or .columns.")

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise TypeError(f"{type(self).__name__!r} is not an array: use .to_frame().to_numpy().")

    if not TYPE_CHECKING:  # type checkers would let every name pass

        def __getattr__(self, name: str) -> Any:
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_") and hasattr(pd.DataFrame, name):
                text += f"; .to_frame() returns a DataFrame, which has it: .to_frame().{name}"
            raise AttributeError(text, name=name, obj=self)

    def __bool__(self) -> bool:
        return True  # without asking how many rows there are

    @abstractmethod
    def __len__(self) -> int: ...


def _json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _count_of(n: object) -> int:
    if isinstance(n, bool) or not isinstance(n, Integral):
        raise InvalidInputError(f"n is a number of rows, not {n!r}.", argument="n")
    return int(n)


def stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate frames of the same columns and dtypes; at least one."""
    filled = [part for part in frames if len(part)]
    if not filled:
        return frames[0]
    return filled[0] if len(filled) == 1 else pd.concat(filled, ignore_index=True)
