"""What an evaluation counts: requests are validated, boxes excluded by rules, and items selected by filters."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.evaluation.arrays import StoredBoxes
from nucleus_pandas.server.query import compile_query
from nucleus_pandas.server.store import slices
from nucleus_pandas.server.store.evaluations import EvaluationRequest
from nucleus_pandas.server.store.ids import owner_sql
from nucleus_pandas.server.store.scopes import BoxSide, Scope
from nucleus_pandas.server.store.sql_conditions import BoundValues, Condition, metadata
from nucleus_pandas.wire.evaluations import AreaRule, ExclusionRule, LabelsRule, MetadataRule, OutcomeFilters

# The run whose predictions an item of an evaluation has; the statement binds the evaluation.
_RUN = "(SELECT run FROM evaluation_source WHERE evaluation = :evaluation AND evaluation_source.dataset = item.dataset)"


def check_request(request: EvaluationRequest) -> None:
    """Raise BadRequestError where rollup groups overlap, or an exclusion rule is invalid."""
    grouped: set[str] = set()
    names: set[str] = set()
    for number, group in enumerate(request.rollup_groups or ()):
        if group.class_name in names:
            raise BadRequestError(f"Two groups are named '{group.class_name}' - at `$.rollupGroups[{number}]`.")
        if twice := grouped.intersection(group.labels):
            raise BadRequestError(
                f"A label belongs to one group at most; '{min(twice)}' is in two - at `$.rollupGroups[{number}]`."
            )
        names.add(group.class_name)
        grouped.update(group.labels)
    for number, rule in enumerate(request.exclusion_rules or ()):
        place = f"$.exclusionRules[{number}]"
        if isinstance(rule, MetadataRule):
            metadata(rule, "NULL", BoundValues(), place)
        elif isinstance(rule, AreaRule):
            if rule.min is None and rule.max is None:
                raise BadRequestError(f"A rule on areas needs `min` or `max` - at `{place}`.")
            if rule.min is not None and rule.max is not None and rule.min > rule.max:
                raise BadRequestError(f"`min` is above `max`, so every box would be excluded - at `{place}`.")


def read_boxes(scope: Scope, target: BoxSide, rules: Sequence[ExclusionRule] = ()) -> tuple[StoredBoxes, list[int]]:
    """Read the boxes of one side that no rule excludes.

    Returns
    -------
    boxes : StoredBoxes
        The boxes left.
    excluded : list of int
        How many boxes each rule excluded that no rule before it had excluded.
    """
    stored = StoredBoxes.read(scope.boxes(target), are_predictions=target == "prediction")
    boxes = stored.boxes
    kept = np.ones(len(boxes), dtype=np.bool_)
    counts: list[int] = []
    for rule in rules:
        excluded = np.zeros(len(boxes), dtype=np.bool_)
        if not isinstance(rule, MetadataRule) and rule.scope == "annotation" and rule.target == target:
            if isinstance(rule, LabelsRule):
                excluded = stored.has_label(rule.labels)
            else:
                excluded = boxes.area < (-np.inf if rule.min is None else rule.min)
                excluded |= boxes.area > (np.inf if rule.max is None else rule.max)
        counts.append(int(np.count_nonzero(kept & excluded)))
        kept &= ~excluded
    return replace(stored, boxes=boxes.take(kept)), counts


def exclusion_statistics(
    scope: Scope,
    rules: Sequence[ExclusionRule],
    items: Sequence[int],
    ground_truth: Sequence[int],
    predictions: Sequence[int],
) -> dict[str, Any] | None:
    """Return how many items and boxes the rules excluded; each is counted for the first rule that excludes it."""
    if not rules:
        return None
    excluded = map(sum, zip(items, ground_truth, predictions, strict=True))
    return {
        "items": scope.count(),
        "excluded_items": scope.count_excluded(),
        "excluded_ground_truth": sum(ground_truth),
        "excluded_predictions": sum(predictions),
        "rules": [
            {**msgspec.to_builtins(rule), "excluded": count} for rule, count in zip(rules, excluded, strict=True)
        ],
    }


def item_condition(db: sqlite3.Connection, filters: OutcomeFilters | None, query: str | None) -> Condition | None:
    """Return the condition that slices and a query set on items; None without either.

    Raises
    ------
    NotFoundError
        A slice does not exist.
    BadRequestError
        The query is invalid.
    """
    queried = compile_query(query, "item", _RUN)
    if filters is None or filters.slice_ids is None:
        return queried
    values = BoundValues("s")
    numbers = values.bind_all(slices.find(db, public_id).id for public_id in filters.slice_ids)
    in_slices = (
        f"EXISTS (SELECT 1 FROM slice_item WHERE slice_item.item = item.id AND {owner_sql('place')} IN {numbers})"
    )
    if queried is None:
        return Condition(in_slices, values.named)
    return Condition(f"{in_slices} AND ({queried.sql})", {**values.named, **queried.values})
