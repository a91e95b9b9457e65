"""Which items of an evaluation count: those of slices, and those that a query finds."""

from __future__ import annotations

import sqlite3

from nucleus_pandas.server.query import compile_query
from nucleus_pandas.server.store import slices
from nucleus_pandas.server.store.ids import owner_sql
from nucleus_pandas.server.store.sql_conditions import Condition, Values
from nucleus_pandas.wire.evaluations import Filters

# Whose predictions an item of an evaluation has; the statement binds the evaluation.
_RUN = "(SELECT run FROM evaluation_source WHERE evaluation = :evaluation AND evaluation_source.dataset = item.dataset)"


def chosen_items(db: sqlite3.Connection, filters: Filters | None, query: str | None) -> Condition | None:
    """Say what must hold of an item; None where nothing is asked of it.

    Raises
    ------
    NotFoundError
        There is no such slice.
    BadRequestError
        The query is wrong.
    """
    asked = compile_query(query, "item", _RUN)
    if filters is None or filters.slice_ids is None:
        return asked
    values = Values("s")
    numbers = values.bind_all(slices.find(db, public_id).id for public_id in filters.slice_ids)
    of_slices = f"{owner_sql('place')} IN {numbers}"
    inside = f"EXISTS (SELECT 1 FROM slice_item WHERE slice_item.item = item.id AND {of_slices})"
    if asked is None:
        return Condition(inside, values.named)
    return Condition(f"{inside} AND ({asked.sql})", {**values.named, **asked.values})
