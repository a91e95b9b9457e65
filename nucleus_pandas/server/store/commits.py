"""Rows of commits: the boxes that a commit matches, and the matches that it stores.

A match is a pair of a ground truth and a prediction, or one of them without a partner. Matches of an item are numbered
from 0; (item, number) is their order, and the place where a page ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from nucleus_pandas.evaluation.crowds import NOT_CROWD
from nucleus_pandas.server.store.ids import item_range, now, owner_sql
from nucleus_pandas.server.store.matches import outcome_tests
from nucleus_pandas.server.store.models import Run, datasets_of
from nucleus_pandas.server.store.sql_conditions import Condition

ObjectKind: TypeAlias = Literal["iou", "false_positive", "false_negative"]

_BOX = "item, key, label, x, y, width, height"
_NOT_CROWD = ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in NOT_CROWD)
IS_CROWD = (
    f"CASE WHEN metadata IS NULL THEN 0 ELSE coalesce(json_extract(metadata, '$.iscrowd'), 0) NOT IN ({_NOT_CROWD}) END"
)
"""`evaluation.crowds.is_crowd` of the metadata of an annotation, in SQL."""


def portion_end(db: sqlite3.Connection, run: Run, first: int, end: int, boxes: int) -> int:
    """Return the end of the range of items from `first` on that holds at most so many boxes of either side.

    A range has one item at least, however many boxes it has; it ends at `end` at the latest.
    """
    ends = [end]
    for table, test, values in (("annotation", "", ()), ("prediction", "run = ? AND ", (run.id,))):
        row = db.execute(
            f"SELECT item FROM {table} WHERE {test}item >= ? AND item < ? ORDER BY item LIMIT 1 OFFSET ?",
            (*values, first, end, boxes),
        ).fetchone()
        if row is not None:
            ends.append(row[0])
    return max(min(ends), first + 1)


def boxes(
    db: sqlite3.Connection, run: Run, first: int, end: int
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Read the boxes of ground truth (without crowds) and predictions on a range of items, in the order of arrival.

    Rows are (item, key, label, x, y, width, height), with the confidence behind them for predictions.
    """
    ground_truth = db.execute(
        f"SELECT {_BOX} FROM annotation WHERE NOT {IS_CROWD} AND item >= ? AND item < ? AND type = 'box'"
        " ORDER BY item, arrival",
        (first, end),
    ).fetchall()
    predictions = db.execute(
        f"SELECT {_BOX}, confidence FROM prediction WHERE run = ? AND item >= ? AND item < ? AND type = 'box'"
        " ORDER BY item, arrival",
        (run.id, first, end),
    ).fetchall()
    return ground_truth, predictions


def boxes_by_key(db: sqlite3.Connection, run: Run) -> Iterator[tuple[str, sqlite3.Cursor]]:
    """Read the boxes that a commit of the run matches, by item and key: a table's name and its rows, by dataset."""
    for dataset in datasets_of(db, run):
        for table, test, values in (("annotation", f"NOT {IS_CROWD}", ()), ("prediction", "run = ?", (run.id,))):
            yield (
                table,
                db.execute(
                    f"SELECT {_BOX}, confidence FROM {table} WHERE {test} AND item >= ? AND item < ? AND type = 'box'"
                    " ORDER BY item, key",
                    (*values, *item_range(dataset)),
                ),
            )


def delete_matches(db: sqlite3.Connection, run: Run) -> None:
    """Delete the matches of a run."""
    db.execute("DELETE FROM match WHERE run = ?", (run.id,))


def add_matches(db: sqlite3.Connection, run: Run, rows: Iterable[tuple[object, ...]]) -> None:
    """Store matches: (item, number, annotation_id, prediction_id, label, predicted_label, confidence, iou, agrees)."""
    db.executemany(
        "INSERT INTO match (run, item, number, annotation_id, prediction_id, label, predicted_label, confidence,"
        f" iou, agrees) VALUES ({run.id}, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def set_parameters(db: sqlite3.Connection, run: Run, parameters: dict[str, Any], content: str) -> None:
    """Store how a run was matched, and the hash of the boxes."""
    db.execute(
        "UPDATE run SET parameters = ?, content = ? WHERE id = ?",
        (msgspec.json.encode(parameters).decode(), content, run.id),
    )


def stored_content(db: sqlite3.Connection, run: Run) -> str | None:
    """Return the hash of the boxes from which a run was matched."""
    content: str | None = db.execute("SELECT content FROM run WHERE id = ?", (run.id,)).fetchone()[0]
    return content


def freeze(db: sqlite3.Connection, run: Run) -> None:
    """Store that a run is committed."""
    db.execute("UPDATE run SET committed_at = ? WHERE id = ?", (now(), run.id))


class CommitPage(NamedTuple):
    """Matches of a committed run, and behind which (item, number) the next page begins."""

    rows: list[tuple[Any, ...]]
    after: tuple[int, int] | None


def page(db: sqlite3.Connection, run: Run, after: tuple[int, int], limit: int) -> CommitPage:
    """Read matches in their order, from behind (item, number)."""
    rows = db.execute(
        "SELECT match.item, match.number, dataset.tag, item.reference_id, annotation_id, prediction_id, label,"
        " predicted_label, confidence, iou, agrees FROM match LEFT JOIN item ON item.id = match.item"
        f" LEFT JOIN dataset ON dataset.id = {owner_sql('match.item')}"
        " WHERE run = ? AND (match.item, match.number) > (?, ?) ORDER BY match.item, match.number LIMIT ?",
        (run.id, *after, limit),
    ).fetchall()
    return CommitPage(rows, (rows[-1][0], rows[-1][1]) if len(rows) == limit else None)


def of_item(
    db: sqlite3.Connection, run_number: int, item: int, iou_threshold: float
) -> list[tuple[str | None, str | None, float | None, int, int]]:
    """Read the matches of an item: (annotation_id, prediction_id, iou, is close, is a true positive)."""
    tests = outcome_tests()
    return db.execute(
        f"SELECT annotation_id, prediction_id, iou, {tests.close}, {tests.true_positive} FROM match"
        " WHERE run = :run AND item = :item",
        {"run": run_number, "item": item, "iou_threshold": iou_threshold},
    ).fetchall()


def counts(db: sqlite3.Connection, run: Run, iou_threshold: float) -> dict[str, int]:
    """Count true positives, false positives and false negatives."""
    tests = outcome_tests()
    row = db.execute(
        f"SELECT coalesce(sum({tests.true_positive}), 0), coalesce(sum({tests.false_positive}), 0),"
        f" coalesce(sum({tests.false_negative}), 0) FROM match WHERE run = :run",
        {"iou_threshold": iou_threshold, "run": run.id},
    ).fetchone()
    return dict(zip(("true_positives", "false_positives", "false_negatives"), row, strict=True))


_EVERY_PAIR = outcome_tests("object", "0")


def objects(
    db: sqlite3.Connection,
    run: Run,
    kind: ObjectKind,
    items: tuple[int, int],
    after: tuple[int, int],
    limit: int,
    condition: Condition,
) -> list[tuple[Any, ...]]:
    """Read pairs, false positives or false negatives on a range of items, from behind (item, number).

    No IoU threshold is applied. A pair whose labels do not agree is a pair, a false positive that shows both sides,
    and a false negative that shows the ground truth alone.
    """
    where = {
        "iou": _EVERY_PAIR.close,
        "false_positive": _EVERY_PAIR.false_positive,
        "false_negative": _EVERY_PAIR.false_negative,
    }[kind]
    shown = "prediction_id, predicted_label, coalesce(object.iou, 0.0)"
    if kind == "false_negative":
        shown = "NULL, NULL, 0.0"
    return db.execute(
        f"SELECT object.item, number, annotation_id, label, {_EVERY_PAIR.true_positive}, {shown}"
        " FROM match AS object CROSS JOIN item ON item.id = object.item WHERE object.run = :run"
        " AND object.item >= :first AND object.item < :end AND (object.item, number) > (:item, :number)"
        f" AND {where} AND ({condition.sql}) ORDER BY object.item, number LIMIT :limit",
        {
            **condition.values,
            "run": run.id,
            "first": items[0],
            "end": items[1],
            "item": after[0],
            "number": after[1],
            "limit": limit,
        },
    ).fetchall()
