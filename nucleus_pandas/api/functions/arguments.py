"""What callers gave, or a sentence about it."""

from __future__ import annotations

from typing import TypeVar

import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema.kinds import RowKind

T = TypeVar("T")

_KINDS: tuple[RowKind, ...] = ("items", "annotations", "predictions")


def frame_of(frame: object) -> pd.DataFrame:
    """Return a frame, or raise InvalidInputError."""
    if not isinstance(frame, pd.DataFrame):
        raise InvalidInputError(
            f"Expected a DataFrame, got {type(frame).__name__}. Lists of dicts and payloads go to dataset.append, "
            "dataset.annotate and run.predict."
        )
    return frame


def of_type(thing: object, wanted: type[T], verb: str) -> T:
    """Return a thing of a type, or raise InvalidInputError."""
    if not isinstance(thing, wanted):
        raise InvalidInputError(f"{verb} takes a {wanted.__name__}, not {type(thing).__name__}.")
    return thing


def kind_of(kind: str) -> RowKind:
    """Return a kind of rows, or raise InvalidInputError."""
    for known in _KINDS:
        if kind == known:
            return known
    raise InvalidInputError(f"kind is {', '.join(map(repr, _KINDS))} or None, not {kind!r}.", argument="kind")
