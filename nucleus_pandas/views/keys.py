"""The key resolver of the indexers: which rows and columns a key selects, by the rules of pandas.

pandas itself resolves every key, on a stand-in for the frame that was not read: a grid in which each cell holds the
position of its row, broadcast so that it takes no memory. So a key is accepted if and only if pandas accepts it, and
the cells of the result are the positions to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_integer, is_iterator, is_list_like
from pandas.errors import IndexingError

from nucleus_pandas._util.arrays import Indices
from nucleus_pandas._util.compat import TEXT

if TYPE_CHECKING:
    from pandas.api.extensions import ExtensionArray

L = TypeVar("L")
"""One label of an indexer: a `Position` of ``iloc``, a string of ``loc`` and ``refloc``."""

Position: TypeAlias = "int | np.integer[Any]"

Many: TypeAlias = (
    "slice | range | EllipsisType | list[Any] | np.ndarray[Any, Any] | pd.Index[Any] | pd.Series[Any] | ExtensionArray"
)
"""What selects many rows or columns: labels, a slice or a mask, as pandas types them."""

Called: TypeAlias = Callable[[pd.DataFrame], Any]
"""What is called with the frame, and returns a key."""


@dataclass(frozen=True)
class KeyPlace:
    """Rows and columns by position; a plain number where the key named a single one."""

    rows: int | Indices
    columns: int | Indices


def settled(key: Any) -> Any:
    """Turn iterators into lists: a key is resolved more than once."""
    if type(key) is tuple:
        return tuple(list(part) if is_iterator(part) else part for part in key)
    return list(key) if is_iterator(key) else key


def calls(key: Any) -> bool:
    """Return True if a key holds a callable."""
    return any(map(callable, key)) if type(key) is tuple else callable(key)


def split(key: Any) -> tuple[Any, Any]:
    """Split a key into its row part and its column part, or raise what pandas raises."""
    parts = key if type(key) is tuple else (key,)
    if any(isinstance(part, (set, dict)) for part in parts):
        raise TypeError("A set or a dict has no order; pass a list.")
    if len(parts) > 1 and any(part is Ellipsis for part in parts) and parts.count(Ellipsis) > 1:
        raise IndexingError("A key holds '...' at most once.")
    if len(parts) > 2 and parts[0] is Ellipsis:
        parts = parts[1:]
    if len(parts) > 2:
        raise IndexingError("Too many indexers: there are rows and columns.")
    everything = slice(None)
    rows, columns = (*parts, everything, everything)[:2]
    return everything if rows is Ellipsis else rows, everything if columns is Ellipsis else columns


def by_position(key: Any, size: int, width: int) -> KeyPlace:
    """Resolve a key of ``iloc`` on a frame of this shape, or raise what pandas raises.

    Examples
    --------
    >>> by_position((slice(None, None, 2), -1), size=5, width=3)
    KeyPlace(rows=array([0, 2, 4]), columns=2)
    """
    parts = key if type(key) is tuple else (key,)
    # A boolean Series is aligned by pandas: the labels of the frame that was not read are strings.
    series = any(isinstance(part, pd.Series) for part in parts)
    index = pd.Index(list(map(str, range(size))), dtype=TEXT) if series else pd.RangeIndex(size)
    # Negative labels tell a Series that is a column from one that is a row.
    found = _grid(index, pd.RangeIndex(-width, 0)).iloc[key]
    if isinstance(found, pd.DataFrame):
        return KeyPlace(_numbers(found.index), _numbers(found.columns) + width)
    if isinstance(found, pd.Series):
        name: Any = found.name
        if isinstance(name, str) or name >= 0:
            return KeyPlace(int(name), _numbers(found.index) + width)
        return KeyPlace(_numbers(found.index), int(name) + width)
    return KeyPlace(int(found), range(width)[int(np.asarray(key[-1]))])


def by_order(key: Any, index: pd.Index[Any], columns: Iterable[str]) -> Indices:
    """Resolve the rows of a ``loc`` key that names no labels, a slice or a mask, or raise what pandas raises."""
    found = _grid(index, pd.Index(list(columns))).loc[key]
    places = index.get_indexer(found.index)  # type: ignore[no-untyped-call, unused-ignore]
    return np.asarray(places, dtype=np.intp)


def _grid(index: pd.Index[Any], columns: pd.Index[Any]) -> pd.DataFrame:
    cells = np.broadcast_to(np.arange(len(index))[:, None], (len(index), len(columns)))
    return pd.DataFrame(cells, index=index, columns=columns, copy=False)


def _numbers(index: pd.Index[Any]) -> Indices:
    return index.to_numpy().astype(np.intp)


def least_size(rows: Any) -> int | None:
    """Return the least length of a frame that holds these positions; None if they depend on its length.

    Examples
    --------
    >>> least_size([2, 0]), least_size(-1), least_size(slice(2))
    (3, None, None)
    """
    if is_integer(rows):
        return int(rows) + 1 if rows >= 0 else None
    if isinstance(rows, (list, range, np.ndarray, pd.Index, pd.Series)) and getattr(rows, "ndim", 1) == 1:
        if len(rows) == 0:
            return None if is_mask(rows) else 0
        if isinstance(rows, range) or infer_dtype(rows, skipna=False) == "integer":
            return int(max(rows)) + 1 if min(rows) >= 0 else None
    return None


def outside(rows: Any, size: int) -> list[int]:
    """Return the positions in a key that lie outside a frame of this size."""
    parts = members(rows)
    return [int(part) for part in parts if is_integer(part) and not -size <= part < size]


def is_mask(rows: Any) -> bool:
    """Return True if pandas takes these rows for a boolean mask.

    Examples
    --------
    >>> is_mask([True, False]), is_mask([True, "a"]), is_mask([])
    (True, False, False)
    """
    if isinstance(rows, (pd.Series, pd.Index, np.ndarray, pd.api.extensions.ExtensionArray)):
        if rows.dtype != object:
            return is_bool_dtype(rows.dtype)
        return infer_dtype(np.asarray(rows).ravel(), skipna=False) == "boolean"
    return isinstance(rows, list) and infer_dtype(rows, skipna=False) == "boolean"


def members(rows: Any) -> list[Any]:
    """Return the labels in the row part of a key: many, or one."""
    if isinstance(rows, np.ndarray) and rows.ndim == 0:
        rows = rows.item()
    if isinstance(rows, (dict, set, pd.DataFrame)) or not is_list_like(rows):
        return [rows]
    return list(rows)


def id_strings(rows: Any) -> list[str]:
    """Return the strings among the labels of a key that can be ids, each once."""
    return list(dict.fromkeys(str.__str__(label) for label in members(rows) if _can_be_id(label)))


def _can_be_id(label: object) -> bool:
    if not isinstance(label, str) or not label:
        return False
    try:
        str.encode(label)
    except UnicodeEncodeError:  # half a surrogate pair is not Unicode, so no item has it
        return False
    return True
