"""Items and predictions looked up one by one, in the call form of the original client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.transport import Transport
from nucleus_pandas.wire import ItemView, PredictionsView

Locator: TypeAlias = Literal["refloc", "iloc", "loc"]


class Indexer:
    """One of ``refloc``, ``iloc`` and ``loc`` of a dataset or of a model run.

    Called with a key, it gives what the original client gave: for a dataset ``{"item": …, "annotations": […]}``, for a
    run ``{"annotations": […]}``; plain dicts as on the wire, in a flat list, each with its ``type``.
    """

    def __init__(
        self, transport: Transport, route: tuple[str, str], by: Locator, length: Callable[[], int] | None = None
    ) -> None:
        self._transport = transport
        self._route = route
        self._by = by
        self._length = length

    def __call__(self, key: str | int) -> dict[str, Any]:
        """Look one item up.

        Parameters
        ----------
        key : str or int
            A reference id for ``refloc``, an item id for ``loc``, a position for ``iloc``: 0 is the first item, -1
            the last.

        Raises
        ------
        NotFoundError
            There is no such item.
        PositionError
            The position lies outside the dataset.
        """
        route = (*self._route, self._by, self._text(key))
        if self._route[0] == "dataset":
            view = self._transport.read(ItemView, *route)
            return {"item": view.item, "annotations": _flat(view.annotations)}
        return {"annotations": _flat(self._transport.read(PredictionsView, *route).annotations)}

    def _text(self, key: object) -> str:
        if self._by == "iloc":
            if isinstance(key, bool) or not hasattr(key, "__index__"):
                raise InvalidInputError(f"iloc takes a whole number, not {key!r}.")
            position = key.__index__()
            if position < 0 and self._length is not None:
                position += self._length()
            return str(position)
        if self._by == "refloc" and isinstance(key, int) and not isinstance(key, bool):
            return str(key)
        if not isinstance(key, str) or not key:
            kind = "a reference id" if self._by == "refloc" else "an item id"
            raise InvalidInputError(f"{self._by} takes {kind}, not {key!r}.")
        return key

    def __repr__(self) -> str:
        return f"<{self._by} of {'/'.join(self._route)}>"


def _flat(annotations: dict[str, list[dict[str, Any]]] | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(annotations, list):
        return annotations
    return [annotation for group in annotations.values() for annotation in group]
