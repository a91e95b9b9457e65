"""The call form of the indexers, that of the original client: plain dicts as on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.transport import Transport
from nucleus_pandas.views.source import Locator
from nucleus_pandas.wire import ItemView, PredictionsView


def look_up(
    transport: Transport, route: tuple[str, str], by: Locator, key: object, length: Callable[[], int]
) -> dict[str, Any]:
    """Look one item up: ``{"item": …, "annotations": […]}`` of a dataset, ``{"annotations": […]}`` of a run."""
    path = (*route, by, _text(by, key, length))
    if route[0] == "dataset":
        view = transport.read(ItemView, *path)
        return {"item": view.item, "annotations": _flat(view.annotations)}
    return {"annotations": _flat(transport.read(PredictionsView, *path).annotations)}


def _text(by: Locator, key: object, length: Callable[[], int]) -> str:
    if by == "iloc":
        if isinstance(key, bool) or not hasattr(key, "__index__"):
            raise InvalidInputError(f"iloc takes a whole number, not {key!r}.")
        position: int = key.__index__()
        return str(position if position >= 0 else position + length())
    if by == "refloc" and isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    if not isinstance(key, str) or not key:
        kind = "a reference id" if by == "refloc" else "an item id"
        raise InvalidInputError(f"{by} takes {kind}, not {key!r}.")
    return key


def _flat(annotations: dict[str, list[dict[str, Any]]] | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(annotations, list):
        return annotations
    return [annotation for group in annotations.values() for annotation in group]
