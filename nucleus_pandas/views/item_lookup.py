"""The call form of the indexers, that of the original client: plain dicts as on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from nucleus_pandas.errors import InvalidInputError, NotFoundError, PositionError
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.views.source import Locator
from nucleus_pandas.wire.responses import AnnotationsByType, ItemAnswer, PredictionsAnswer


def look_up(
    transport: Transport, route: tuple[str, ...], by: Locator, key: object, length: Callable[[], int]
) -> dict[str, Any]:
    """Look one item up: ``{"item": …, "annotations": […]}`` of a dataset, ``{"annotations": […]}`` of a run."""
    path = (*route, by, _text(by, key, length))
    try:
        if route[0] == "dataset":
            view = transport.read(ItemAnswer, *path)
            return {"item": view.item, "annotations": _flat(view.annotations)}
        return {"annotations": _flat(transport.read(PredictionsAnswer, *path).annotations)}
    except NotFoundError as error:
        if by != "iloc" or isinstance(error, PositionError):
            raise
        _raise_outside(key, length, error)


def _raise_outside(key: object, length: Callable[[], int], error: NotFoundError) -> NoReturn:
    """Return of a position what a server that knows only the contract leaves open."""
    try:
        size = length()
    except InvalidInputError:  # a run whose dataset nobody told
        raise error from None
    raise PositionError(f"Position {key} is outside the dataset, which holds {size} items.") from None


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


def _flat(annotations: AnnotationsByType) -> list[dict[str, Any]]:
    if isinstance(annotations, list):
        return annotations
    found = []
    for kind, group in (annotations or {}).items():
        for row in [group] if isinstance(group, dict) else group or []:
            found.append(row if row.get("type") else {**row, "type": "mask" if kind == "segmentation" else kind})
    return found
