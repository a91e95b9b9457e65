"""The commit of a run: its predictions are matched with the ground truth, the matches stored, and the run frozen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from nucleus_pandas.evaluation.arrays import take_or
from nucleus_pandas.evaluation.match_rows import lay_out
from nucleus_pandas.evaluation.matching import LabelRule, MatchBoxes, match
from nucleus_pandas.server.evaluation.arrays import nan_to_none
from nucleus_pandas.server.store import commits
from nucleus_pandas.server.store.ids import item_range
from nucleus_pandas.server.store.models import Run, datasets_of

COUNTED_IOU = 0.5
"""The IoU threshold at which the outcomes of a run are counted without being asked for another."""

_PORTION = 100_000  # boxes of one side held at once, unless one item has more
_HASHED_ROWS = 10_000  # encoded at a time; a part of the stored hashes' definition


def commit(db: sqlite3.Connection, run: Run, rule: LabelRule) -> None:
    """Match a run's boxes with the ground truth, store the matches, and freeze the run."""
    calculate(db, run, rule)
    commits.freeze(db, run)


def calculate(db: sqlite3.Connection, run: Run, rule: LabelRule) -> None:
    """Match a run's boxes with the ground truth, and store the matches in place of those stored before.

    Crowds (annotations with ``iscrowd`` in their metadata) and shapes other than boxes are left out.

    Only boxes of the same item match, so the items are matched in portions: ranges of items with at most `_PORTION`
    boxes of either side, or a single item with more. The portions follow each other without gaps, and the matches are
    the same as if all items were matched at once; memory is bounded by the portion.
    """
    commits.delete_matches(db, run)
    for dataset in datasets_of(db, run):
        first, end = item_range(dataset)
        while first < end:
            behind = commits.portion_end(db, run, first, end, _PORTION)
            commits.add_matches(db, run, _match_portion(db, run, rule, first, behind))
            first = behind
    parameters = {
        "matcher": "nucleus",
        "class_agnostic": rule.class_agnostic,
        "allowed_label_matches": None if rule.allowed is None else sorted(rule.allowed),
    }
    commits.set_parameters(db, run, parameters, content(db, run))


def _match_portion(
    db: sqlite3.Connection, run: Run, rule: LabelRule, first: int, end: int
) -> Iterator[tuple[object, ...]]:
    """Match the boxes of a range of items, and return the rows to store: by item, numbered in their order."""
    rows = commits.boxes(db, run, first, end)
    if not any(rows):
        return iter(())
    ground_truth = _match_boxes(rows[0], with_confidence=False)
    predictions = _match_boxes(rows[1], with_confidence=True)
    matches = lay_out(ground_truth, predictions, match(ground_truth, predictions, rule), rule)
    g, p = matches.ground_truth, matches.prediction
    item = take_or(predictions.item, p, -1)
    item = np.where(item < 0, take_or(ground_truth.item, g, -1), item)
    assert predictions.confidence is not None
    return zip(
        item.tolist(),
        range(len(item)),
        take_or(ground_truth.annotation_id, g, None).tolist(),
        take_or(predictions.annotation_id, p, None).tolist(),
        take_or(ground_truth.label, g, None).tolist(),
        take_or(predictions.label, p, None).tolist(),
        nan_to_none(take_or(predictions.confidence, p, np.nan)),
        nan_to_none(matches.iou),
        matches.agrees.tolist(),
        strict=True,
    )


def _match_boxes(rows: list[tuple[Any, ...]], *, with_confidence: bool) -> MatchBoxes:
    columns = list(zip(*rows, strict=True)) or [()] * (8 if with_confidence else 7)
    sides = np.array(columns[3:7], dtype=np.float64).reshape(4, -1).T
    return MatchBoxes(
        item=np.array(columns[0], dtype=np.int64),
        label=np.array(columns[2], dtype=object),
        box=np.ascontiguousarray(sides),
        annotation_id=np.array(columns[1], dtype=object),
        confidence=np.array(columns[7], dtype=np.float64) if with_confidence else None,
    )


def content(db: sqlite3.Connection, run: Run) -> str:
    """Hash the boxes that a commit matches, in an order that does not depend on the order of arrival.

    A committed run is stale when the hash of its boxes now differs from the one that was stored with its matches.
    """
    digest = blake2b(digest_size=16)
    for table, rows in commits.boxes_by_key(db, run):
        digest.update(table.encode())
        while chunk := rows.fetchmany(_HASHED_ROWS):
            digest.update(msgspec.json.encode(chunk))
    return digest.hexdigest()


def is_stale(db: sqlite3.Connection, run: Run) -> bool:
    """Return whether the boxes that a committed run was matched from have changed since."""
    return commits.stored_content(db, run) != content(db, run)
