"""Ids of items that the caller names: by a list, a column, or a whole frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema.coerce import to_strings
from nucleus_pandas.schema.column_names import NamedColumns
from nucleus_pandas.schema.problems import Problems

ItemKeys: TypeAlias = "pd.DataFrame | Iterable[Any]"
"""A frame with ``reference_id`` or ``dataset_item_id``, in a column or the index; or ids, one by one."""


class NamedItems(NamedTuple):
    """Which items are named: each once, in the order of the caller."""

    by: Literal["reference_id", "dataset_item_id"]
    ids: list[str]


def item_ids(given: ItemKeys | None, by: Literal["reference_id", "dataset_item_id"] = "reference_id") -> NamedItems:
    """Take ids of items.

    Parameters
    ----------
    given : pandas.DataFrame, or iterable of str or int
        A frame's ``reference_id`` wins over its ``dataset_item_id``, as it does when frames are sent. None names none.
    by : {"reference_id", "dataset_item_id"}
        What ids are that stand alone.

    Raises
    ------
    InvalidInputError
        An id is missing or is no text, or a frame has no column of them.

    Examples
    --------
    >>> item_ids(pd.DataFrame({"reference_id": [7, 7, 8], "label": "car"}))
    NamedItems(by='reference_id', ids=['7', '8'])
    >>> item_ids(["di_1"], "dataset_item_id").ids
    ['di_1']
    """
    if given is None:
        return NamedItems(by, [])
    if isinstance(given, pd.DataFrame):
        named = NamedColumns(given, None)
        column = named.get("reference_id")
        by = "reference_id"
        if column is None:
            column, by = named.get("dataset_item_id"), "dataset_item_id"
        if column is None:
            raise InvalidInputError(
                f"{named.missing('reference_id')} Items are named by 'reference_id' or 'dataset_item_id', in a column "
                "or the index."
            )
    else:
        if isinstance(given, (str, bytes, dict)) or not isinstance(given, Iterable):
            raise InvalidInputError(
                f"Items are named by a list of ids, or by a DataFrame, not by {type(given).__name__}."
            )
        values = given if isinstance(given, pd.Series) else list(given)
        column = pd.Series(values, dtype=None if len(values) else object)
    problems = Problems(column.index)
    found = to_strings(column.rename(by), problems, required=np.ones(len(column), dtype=bool))
    for row, reason in problems.reasons().items():
        raise InvalidInputError(f"In {problems.label(row)}, {reason}")
    return NamedItems(by, list(dict.fromkeys(found.to_pylist())))
