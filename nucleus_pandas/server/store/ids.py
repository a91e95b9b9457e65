"""Public ids, and the integers behind them.

The number of an item holds the number of its dataset and the item's position in that dataset: the position in the
lower 32 bits, the dataset above. Items of one dataset are thus a range of numbers, in their order. The places of
items in a slice are numbered alike, with the number of the slice instead of that of the dataset.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

T = TypeVar("T")

_POSITION_BITS = 32
POSITION = (1 << _POSITION_BITS) - 1
"""The highest position."""
ALL_ITEMS = (0, 1 << 62)
"""The numbers of the items of all datasets: the first, and the one behind the last."""
_BATCH = 10_000  # values per statement; SQLite allows 32,766 variables
_ITEM = re.compile(r"di_([0-9a-f]{12})([0-9a-f]{8})")


def item_number(dataset: int, position: int) -> int:
    """Return the number of the item at a position of a dataset (or the place at a position of a slice).

    Examples
    --------
    >>> split_number(item_number(7, 3))
    (7, 3)
    """
    return dataset << _POSITION_BITS | position


def dataset_of(item: int) -> int:
    """Return the dataset of an item (or the slice of a place)."""
    return item >> _POSITION_BITS


def position_of(item: int) -> int:
    """Return the position of an item in its dataset (or of a place in its slice)."""
    return item & POSITION


def split_number(number: int) -> tuple[int, int]:
    """Return `dataset_of` and `position_of` a number."""
    return number >> _POSITION_BITS, number & POSITION


def item_range(dataset: int) -> tuple[int, int]:
    """Return the first number that an item of a dataset (or a place of a slice) can have, and the one behind the last.

    Examples
    --------
    >>> first, end = item_range(7)
    >>> first == item_number(7, 0), end == item_number(8, 0)
    (True, True)
    """
    return dataset << _POSITION_BITS, (dataset + 1) << _POSITION_BITS


def owner_sql(number: str) -> str:
    """Write `dataset_of` in SQL; `number` is an expression. An index on places has this very text."""
    return f"{number} >> {_POSITION_BITS}"


def position_sql(number: str) -> str:
    """Write `position_of` in SQL."""
    return f"{number} & {POSITION}"


def new_tag() -> str:
    """Return a new random tag, the random part of a public id."""
    return secrets.token_hex(6)


def now() -> str:
    """Return the current time in UTC, in the stored format."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def tag_of(public_id: str, prefix: str) -> str | None:
    """Return the tag in a public id, None if the id has another prefix.

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
    >>> item_id("00ff00ff00ff", item_number(7, 3))
    'di_00ff00ff00ff00000003'
    """
    return f"di_{dataset_tag}{position_of(item):08x}"


def split_item_id(public_id: str) -> tuple[str, int] | None:
    """Return the tag of the dataset and the position in the public id of an item, None for any other id."""
    parts = _ITEM.fullmatch(public_id)
    return (parts[1], int(parts[2], 16)) if parts else None


def annotation_id(dataset_tag: str, item: int, arrival: int) -> str:
    """Return the public id of an annotation."""
    return f"ann_{dataset_tag}{position_of(item):08x}{arrival:08x}"


def prediction_id(run_tag: str, item: int, arrival: int) -> str:
    """Return the public id of a prediction."""
    return f"pred_{run_tag}{item:016x}{arrival:08x}"


def batches(values: Iterable[T]) -> Iterator[tuple[list[T], str]]:
    """Split values into batches that fit into one statement, each with its placeholders.

    Examples
    --------
    >>> list(batches([7, 8]))
    [([7, 8], '?,?')]
    """
    listed = list(values)
    for start in range(0, len(listed), _BATCH):
        part = listed[start : start + _BATCH]
        yield part, ",".join("?" * len(part))
