"""The indexers of items: by position, item id or reference id, with the results of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Indices
from nucleus_pandas.schema import indexed
from nucleus_pandas.views.indexer import CallForm, Indexer
from nucleus_pandas.views.keys import Called, L, Many, calls, id_strings, is_mask, members, settled, split
from nucleus_pandas.views.source import PageColumns, RowSource, joined
from nucleus_pandas.wire.bulk import ROWS


class ItemIndexer(Indexer[L]):
    """One of ``iloc``, ``loc`` and ``refloc`` of the items of a dataset.

    ``x[key]`` equals the same indexer on ``dataset.items.to_frame()`` (for ``refloc`` on that frame indexed by
    ``reference_id``), in value, dtype, order and exception, but reads those rows and columns alone. Two differences: a
    slice from one id to another raises TypeError, and an error names all keys that are missing. A callable costs a
    full read, because it is given the whole frame; a boolean Series costs a read of all ids, because pandas aligns it.
    """

    _advice = "Send items again: dataset.append(items, if_exists='update')."

    @overload
    def __getitem__(self, key: L | tuple[L, Many] | tuple[Many, L]) -> pd.Series[Any]: ...

    @overload
    def __getitem__(self, key: Many | tuple[Many] | tuple[Many, Many]) -> pd.DataFrame: ...

    @overload
    def __getitem__(self, key: tuple[L, L] | tuple[Called, Any] | tuple[Any, Called] | Called) -> Any: ...

    def __getitem__(self, key: Any) -> Any:
        """Read items.

        Parameters
        ----------
        key : object
            What the same indexer of a DataFrame takes.

        Returns
        -------
        pandas.DataFrame, pandas.Series or scalar
            What the same indexer of ``dataset.items.to_frame()`` gives.

        Raises
        ------
        NotFoundError
            Items are missing; a KeyError. The text names all of them.
        PositionError
            A position lies outside; an IndexError.
        TypeError
            A slice from one id to another, or what pandas rejects with it.
        """
        key = settled(key)
        if calls(key) or (self._by != "iloc" and _nests(key)):
            whole = self._view.to_frame()
            return whole.iloc[key] if self._by == "iloc" else self._indexed(whole.reset_index()).loc[key]
        source = self._view._source()
        return self._by_position(key, source) if self._by == "iloc" else self._by_label(key, source)

    def _indexed(self, rows: pd.DataFrame) -> pd.DataFrame:
        return indexed(rows, "reference_id" if self._by == "refloc" else "dataset_item_id")

    def _by_position(self, key: Any, source: RowSource) -> Any:
        names = list(self._view._kinds)[1:]
        place = self._place(key, source, len(names))
        codes, unique = pd.factorize(np.atleast_1d(place.rows))
        columns = [names[column] for column in np.atleast_1d(place.columns)]
        found = self._at(unique, columns, source)
        at: Any = (codes if isinstance(place.rows, np.ndarray) else 0, place.columns)
        return found.iloc[at]

    def _by_label(self, key: Any, source: RowSource) -> Any:
        rows, columns = split(key)
        self._check_slice_has_no_labels(rows)
        empty = self._indexed(self._view._partial({}, 0))
        names = list(empty.columns)
        if not isinstance(columns, tuple):  # which means different things to different pandas
            try:
                selected = empty.loc[:, columns]
                names = list(map(str, [selected.name] if isinstance(selected, pd.Series) else selected.columns))
            except KeyError:
                if _misses_at_most(rows):
                    raise
                names = []
            except Exception:
                names = []  # pandas refuses the rows or the columns, whichever it looks at first
        if isinstance(rows, slice) or is_mask(rows):
            positions = self._in_order(key, source, source, empty.columns)
            found = self._at(positions, names, source)
            return found.loc[:, columns] if type(key) is tuple else found
        labels = id_strings(rows)
        picked: PageColumns = {}
        if labels:
            picked = source.pick(self._by, labels, self._wanted(names)).columns
        found = self._framed(picked)
        try:
            return found.loc[key]
        except KeyError:
            missing = [label for label in members(rows) if not (isinstance(label, str) and label in found.index)]
            if not missing:
                raise
            self._raise_missing(missing, source)

    def _at(self, positions: Indices, names: Sequence[str], source: RowSource) -> pd.DataFrame:
        """Read the items at positions of which no two are equal."""
        wanted = self._wanted(names)
        if len(positions) == source.known_size:
            return self._framed(joined(source.pages(wanted, ROWS), wanted)).iloc[positions]
        if not len(positions):
            return self._framed({})
        picked = source.pick("iloc", positions.tolist(), wanted)
        if picked.missing:
            self._raise_outside([int(positions[place]) for place in picked.missing], source)
        return self._framed(picked.columns)

    def _wanted(self, names: Sequence[str]) -> list[str]:
        index = "reference_id" if self._by == "refloc" else "dataset_item_id"
        return list(dict.fromkeys([index, *names]))

    def _framed(self, columns: PageColumns) -> pd.DataFrame:
        return self._indexed(self._view._partial(columns, len(next(iter(columns.values()), []))))


class DatasetIndexer(CallForm, ItemIndexer[L]):
    """``iloc``, ``loc`` and ``refloc`` of a dataset: its items in brackets, an item with its annotations as a call."""


def _misses_at_most(rows: Any) -> bool:
    """Return whether nothing but a missing key can be wrong with the rows."""
    if isinstance(rows, slice):
        return rows.step is None
    return isinstance(rows, str) or (isinstance(rows, list) and all(isinstance(label, str) for label in rows))


def _nests(key: Any) -> bool:
    """Return whether the rows are a tuple of other values than ids, which pandas versions read differently."""
    rows = split(key)[0]
    return isinstance(rows, tuple) and not (rows and all(isinstance(label, str) for label in rows))
