"""Public ids, and the integers behind them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

T = TypeVar("T")

ITEM_BITS = 32
POSITION = (1 << ITEM_BITS) - 1
_IN = 10_000  # variables in one statement; SQLite takes 32,766
_ITEM = re.compile(r"di_([0-9a-f]{12})([0-9a-f]{8})")


def new_tag() -> str:
    """Draw the random part of a public id."""
    return secrets.token_hex(6)


def now() -> str:
    """Return the time, in UTC, as stored."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def tag_of(public_id: str, prefix: str) -> str | None:
    """Return the random part of a public id, or None when it is no such id.

    Examples
    --------
    >>> tag_of("ds_00ff00ff00ff", "ds_")
    '00ff00ff00ff'
    """
    return public_id[len(prefix) :] if public_id.startswith(prefix) else None


def item_id(dataset_tag: str, item: int) -> str:
    """Return the public id of an item.

    Examples
    --------
    >>> item_id("00ff00ff00ff", (7 << 32) + 3)
    'di_00ff00ff00ff00000003'
    """
    return f"di_{dataset_tag}{item & POSITION:08x}"


def split_item_id(public_id: str) -> tuple[str, int] | None:
    """Return the dataset's tag and the position in an item's public id, or None when it is no item id."""
    found = _ITEM.fullmatch(public_id)
    return (found[1], int(found[2], 16)) if found else None


def annotation_id(dataset_tag: str, item: int, arrival: int) -> str:
    """Return the public id of an annotation."""
    return f"ann_{dataset_tag}{item & POSITION:08x}{arrival:08x}"


def prediction_id(run_tag: str, item: int, arrival: int) -> str:
    """Return the public id of a prediction."""
    return f"pred_{run_tag}{item:016x}{arrival:08x}"


def batches(values: Iterable[T]) -> Iterator[tuple[list[T], str]]:
    """Part values into as many as one statement takes, each with the question marks that stand for them.

    Examples
    --------
    >>> list(batches([7, 8]))
    [([7, 8], '?,?')]
    """
    every = list(values)
    for start in range(0, len(every), _IN):
        part = every[start : start + _IN]
        yield part, ",".join("?" * len(part))
