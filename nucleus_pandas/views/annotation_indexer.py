"""The annotations or predictions of items that are named by position, item id or reference id."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.schema import frame, indexed
from nucleus_pandas.views.base import View
from nucleus_pandas.views.indexer import CallForm, Indexer, is_whole
from nucleus_pandas.views.items import ItemsView
from nucleus_pandas.views.keys import Called, L, Many, calls, id_strings, is_mask, members, settled, split
from nucleus_pandas.views.source import Locator, RowSource, joined
from nucleus_pandas.wire.bulk import ROWS


class AnnotatedItems(View):
    """Rows that belong to items, which have a view of their own."""

    @abstractmethod
    def _items_view(self) -> ItemsView:
        """Return the items, or raise InvalidInputError where positions and reference ids have no meaning."""


class AnnotationIndexer(Indexer[L]):
    """One of ``iloc``, ``loc`` and ``refloc`` of the annotations of a dataset, or of the predictions of a run.

    The first part of a key names *items*, as the same indexer of the items does: one, a list in any order and with
    repeats, a slice, a mask. The second part names columns. A callable in the first part is given the frame of all
    items (for ``refloc`` indexed by ``reference_id``), which costs a full read of them; one in the second part is
    given an empty frame of the columns.
    """

    _view: AnnotatedItems

    @property
    def _advice(self) -> str:  # type: ignore[override]
        call = "run.predict" if "confidence" in self._view._kinds else "dataset.annotate"
        return f"Send rows again: {call}(rows, if_exists='update')."

    def __getitem__(
        self, key: L | Many | Called | tuple[L | Many | Called] | tuple[L | Many | Called, L | Many | Called]
    ) -> pd.DataFrame:
        """Read the rows of items.

        Parameters
        ----------
        key : object
            What the same indexer of the items takes.

        Returns
        -------
        pandas.DataFrame
            Always a frame with a RangeIndex: a single column is a frame of one column, an item without any rows gives
            an empty frame with all dtypes.

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
        if calls(key):
            key = self._called(key)
        if self._by != "loc":
            self._view._items_view()  # raises where positions and reference ids have no meaning
        source = self._view._source()
        if self._by == "iloc":
            names = list(self._view._kinds)
            place = self._place(key, source, len(names))
            columns = [names[column] for column in np.atleast_1d(place.columns)]
            return self._rows("iloc", np.atleast_1d(place.rows), columns, source)
        rows, asked = split(key)
        self._check_slice_has_no_labels(rows)
        selected = self._view._empty_frame().loc[:, asked]
        columns = list(map(str, [selected.name] if isinstance(selected, pd.Series) else selected.columns))
        if isinstance(rows, slice) or is_mask(rows):
            return self._rows(
                "iloc", self._in_order(rows, source, self._view._items_view()._source(), ["row"]), columns, source
            )
        return self._rows(self._by, self._labels(rows, source), columns, source)

    def _called(self, key: Any) -> Any:
        """Call what is callable in a key."""
        if type(key) is not tuple:
            return settled(self._call_rows(key))
        columns = [part(self._view._empty_frame()) if callable(part) else part for part in key[1:]]
        return settled((self._call_rows(key[0]), *columns))

    def _call_rows(self, rows: Any) -> Any:
        if not callable(rows):
            return rows
        whole = self._view._items_view().to_frame()
        found = rows(indexed(whole.reset_index(), "reference_id") if self._by == "refloc" else whole)
        if type(found) is not tuple:
            return found
        if self._by == "iloc":
            raise ValueError("A callable gives rows, not a tuple of rows and columns.")
        return list(found)

    def _labels(self, rows: Any, source: RowSource) -> np.ndarray[Any, Any]:
        """Return the labels of a key that name rows, in the order that pandas gives them."""
        labels = id_strings(rows)
        stand_in = pd.DataFrame({"row": range(len(labels))}, index=pd.Index(labels, dtype=TEXT))
        try:
            found = stand_in.loc[rows]
        except KeyError:
            known = set(labels)
            if labels:
                gone = source.pick(self._by, labels, ["dataset_item_id"]).missing
                known -= {labels[place] for place in gone}
            missing = [label for label in members(rows) if not (isinstance(label, str) and label in known)]
            self._raise_missing(missing, source)
        named = [found.name] if isinstance(found, pd.Series) else found.index.tolist()
        return np.fromiter(map(str, named), dtype=object, count=len(named))

    def _rows(self, by: Locator, keys: np.ndarray[Any, Any], columns: Sequence[str], source: RowSource) -> pd.DataFrame:
        wanted = list(dict.fromkeys(columns)) or ["dataset_item_id"]
        kinds = {name: self._view._kinds[name] for name in wanted}
        if by == "iloc" and is_whole(keys, source):
            return frame(joined(source.pages(wanted, ROWS), wanted), kinds).loc[:, list(columns)]
        codes, unique = pd.factorize(keys)
        picked = source.pick(by, unique.tolist(), wanted)
        if picked.missing:
            missing = [unique[place] for place in picked.missing]
            if by == "iloc":
                self._raise_outside(missing, source)
            self._raise_missing(missing, source)
        found = frame(picked.columns, kinds)
        if len(unique) < len(keys):
            found = found.iloc[_repeated(np.array(picked.lengths), codes)].reset_index(drop=True)
        return found.loc[:, list(columns)]


class RunIndexer(CallForm, AnnotationIndexer[L]):
    """``iloc``, ``loc`` and ``refloc`` of a run: predictions in brackets, and those of one item as a call."""

    _view: AnnotatedItems


def _repeated(lengths: np.ndarray[Any, Any], codes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the rows of groups that stand one after another, group by group, as often as asked.

    Examples
    --------
    >>> _repeated(np.array([2, 1]), np.array([1, 0, 1])).tolist()
    [2, 0, 1, 2]
    """
    starts = np.cumsum(lengths) - lengths
    asked = lengths[codes]
    before = np.cumsum(asked) - asked
    return np.repeat(starts[codes] - before, asked) + np.arange(asked.sum())
