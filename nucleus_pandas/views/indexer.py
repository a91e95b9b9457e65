"""What the indexers of items and of annotations have in common.

The call form, which the original client has, looks one item up and returns plain dicts as on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from numbers import Integral
from typing import Any, Generic, NoReturn

import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Indices
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas._util.unicode_forms import hints_of_form
from nucleus_pandas.errors import InvalidInputError, NotFoundError, PositionError
from nucleus_pandas.views.base import View
from nucleus_pandas.views.keys import KeyPlace, L, by_order, by_position, least_size, outside, split
from nucleus_pandas.views.source import Locator, RowSource
from nucleus_pandas.wire.bulk import ROWS
from nucleus_pandas.wire.responses import AnnotationsByType, ItemAnswer, PredictionsAnswer

_STAND_IN = 1_000_000  # rows; a key that needs more asks for the true size first, to bound memory


class Indexer(Generic[L]):
    """One of ``iloc``, ``loc`` and ``refloc`` of a view.

    Parameters
    ----------
    view : View
        Whose rows to read.
    by : {"iloc", "loc", "refloc"}
        What its keys are: positions, item ids, or reference ids.
    """

    _advice: str

    def __init__(self, view: View, by: Locator) -> None:
        self._view = view
        self._by = by

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise TypeError(f"{self._by} only reads. {self._advice}")

    def __delitem__(self, key: object) -> NoReturn:
        raise TypeError(f"{self._by} only reads; nothing is deleted by it.")

    __iter__ = None  # Python would count positions up from 0, a request each
    __contains__: Any = None

    def __repr__(self) -> str:
        return f"<{self._by} of {self._view!r}>"

    @property
    def _owner(self) -> str:
        kind, public_id = self._view._route[:2]
        return f"the {'run' if kind == 'modelRun' else kind} '{public_id}'"

    def _place(self, key: Any, source: RowSource, width: int) -> KeyPlace:
        """Resolve a key of ``iloc``, without asking for the number of items where it does not matter."""
        with suppress(Exception):  # then the true size decides, or explains what is wrong
            least = least_size(split(key)[0])
            if least is not None and least <= _STAND_IN:
                return by_position(key, least, width)
        try:
            return by_position(key, source.size, width)
        except IndexError:
            places: list[int] = []
            with suppress(Exception):
                places = outside(split(key)[0], source.size)
            if not places:
                raise
            self._raise_outside(places, source)

    def _raise_outside(self, places: Sequence[int], source: RowSource) -> NoReturn:
        named = ", ".join(map(str, places))
        what = f"Position {named} is" if len(places) == 1 else f"Positions {named} are"
        holder = "slice" if self._view._route[0] == "slice" else "dataset"
        raise PositionError(f"{what} outside the {holder}, which holds {source.size} items.") from None

    def _check_slice_has_no_labels(self, rows: Any) -> None:
        if isinstance(rows, slice) and not (rows.start is None and rows.stop is None):
            raise TypeError(
                f"{self._by} takes no slice from one id to another: ids have no order. Slice positions by iloc, or "
                "pass a list of ids."
            )

    def _in_order(self, key: Any, source: RowSource, items: RowSource, columns: Iterable[str]) -> Indices:
        """Resolve a slice without labels, or a mask."""
        rows = split(key)[0]
        if isinstance(rows, pd.Series):  # pandas aligns it, on the index
            name = "reference_id" if self._by == "refloc" else "dataset_item_id"
            ids = [value for page in items.pages([name], ROWS) for value in page[name]]
            return by_order(key, pd.Index(ids, dtype=TEXT), columns)
        return by_order(key, pd.RangeIndex(source.size), columns)

    def _raise_missing(self, missing: Sequence[Any], source: RowSource) -> NoReturn:
        named = list(dict.fromkeys(map(repr, missing)))
        text = f"There is no item {named[0]}" if len(named) == 1 else f"There are no items {', '.join(named)}"
        text += f" in {self._owner}."
        strings = [label for label in missing if isinstance(label, str)]
        if self._by == "loc" and any(not label.startswith("di_") for label in strings):
            text += " Item ids start with 'di_'; use refloc for reference ids."
        if self._by == "refloc" and any(label.startswith("di_") for label in strings):
            text += " What starts with 'di_' is an item id; use loc for item ids."
        if numbers := [label for label in missing if isinstance(label, (int, np.integer))]:
            text += f" Ids are strings: use '{numbers[0]}' instead of {numbers[0]}; iloc takes positions."
        if self._by == "refloc" and (hints := hints_of_form(strings, partial(self._known, source))):
            text += f" {next(iter(hints.values()))}"
        raise NotFoundError(text) from None

    def _known(self, source: RowSource, labels: Sequence[str]) -> set[str]:
        """Return which labels there are."""
        names = list(dict.fromkeys(labels))
        absent = {names[place] for place in source.pick(self._by, names, ["reference_id"]).missing}
        return {*names} - absent


def is_whole(positions: Indices, source: RowSource) -> bool:
    """Return whether positions are those of all items in order, as far as that is known without a request."""
    size = source.known_size
    return size is not None and len(positions) == size and bool((positions == np.arange(size)).all())


class CallForm:
    """The call form of an indexer, beside its brackets."""

    _by: Locator
    _view: View

    def __call__(self, key: str | int) -> dict[str, Any]:
        """Read one item, and return what the original client returns: plain dicts as on the wire.

        Parameters
        ----------
        key : str or int
            A reference id for ``refloc``, an item id for ``loc``, a position for ``iloc``: 0 is the first item, -1
            the last.

        Returns
        -------
        dict
            For a dataset ``{"item": …, "annotations": […]}``, for a run ``{"annotations": […]}``: a flat list, each
            with its ``type``.

        Raises
        ------
        NotFoundError
            There is no such item.
        PositionError
            The position lies outside the dataset.
        """
        return look_up(self._view, self._by, key)

    def __repr__(self) -> str:
        return f"<{self._by} of {'/'.join(self._view._route)}>"


def look_up(view: View, by: Locator, key: object) -> dict[str, Any]:
    """Read one item: ``{"item": …, "annotations": […]}`` of a dataset, ``{"annotations": […]}`` of a run."""
    path = (by, _key_segment(view, by, key))
    try:
        if view._route[0] == "dataset":
            answer = view._read_route(ItemAnswer, *path)
            return {"item": answer.item, "annotations": _flat(answer.annotations)}
        return {"annotations": _flat(view._read_route(PredictionsAnswer, *path).annotations)}
    except NotFoundError as error:
        if by != "iloc" or isinstance(error, PositionError):
            raise
        _raise_position_error(view, key, error)


def _raise_position_error(view: View, key: object, error: NotFoundError) -> NoReturn:
    """Raise PositionError for an answer that does not say whether the position or the dataset is missing."""
    try:
        size = view._source().size
    except InvalidInputError:  # a run whose dataset is not known
        raise error from None
    raise PositionError(f"Position {key} is outside the dataset, which holds {size} items.") from None


def _key_segment(view: View, by: Locator, key: object) -> str:
    """Return a key as the last segment of a route."""
    if by == "iloc":
        if isinstance(key, bool) or not hasattr(key, "__index__"):
            raise InvalidInputError(f"iloc takes a whole number, not {key!r}.")
        position: int = key.__index__()
        return str(position if position >= 0 else position + view._source().size)
    if by == "refloc" and isinstance(key, Integral) and not isinstance(key, bool):
        return str(key)
    if not isinstance(key, str) or not key:
        kind = "a reference id" if by == "refloc" else "an item id"
        raise InvalidInputError(f"{by} takes {kind}, not {key!r}.")
    return key


def _flat(annotations: AnnotationsByType) -> list[dict[str, Any]]:
    if isinstance(annotations, list):
        return annotations
    rows = []
    for kind, group in (annotations or {}).items():
        for row in [group] if isinstance(group, dict) else group or []:
            rows.append(row if row.get("type") else {**row, "type": "mask" if kind == "segmentation" else kind})
    return rows
