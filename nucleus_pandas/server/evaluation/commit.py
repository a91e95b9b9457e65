"""What a run matched in the ground truth, computed and kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np

from nucleus_pandas.evaluation.matching import LabelRule, MatchBoxes, Matches, match
from nucleus_pandas.server.store.ids import item_range, now, owner_sql
from nucleus_pandas.server.store.models import Run, datasets_of
from nucleus_pandas.server.store.sql_conditions import Condition

Kind: TypeAlias = Literal["iou", "false_positive", "false_negative"]

_PORTION = 100_000  # boxes of one side held at once, unless one item has more
_BOX = "item, key, label, x, y, width, height"
_COUNTED = "(metadata IS NULL OR coalesce(json_extract(metadata, '$.iscrowd'), 0) IN (0, '', '0'))"  # no crowd


def commit(db: sqlite3.Connection, run: Run, rule: LabelRule) -> None:
    """Match a run's boxes with the ground truth, keep the matches, and freeze the run."""
    calculate(db, run, rule)
    db.execute("UPDATE run SET committed_at = ? WHERE id = ?", (now(), run.id))


def calculate(db: sqlite3.Connection, run: Run, rule: LabelRule) -> None:
    """Match a run's boxes with the ground truth, and keep the matches.

    A second time matches again, with other parameters perhaps. Annotations that say ``iscrowd`` in their metadata
    are left out, as are shapes that are no boxes.
    """
    db.execute("DELETE FROM match WHERE run = ?", (run.id,))
    for first, last in _portions(db, run):
        rows = _match_portion(db, run, rule, first, last)
        db.executemany(
            "INSERT INTO match (run, item, number, annotation_id, prediction_id, label, predicted_label, confidence,"
            " iou, agrees) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    parameters = {
        "matcher": "nucleus",
        "class_agnostic": rule.class_agnostic,
        "allowed_label_matches": None if rule.allowed is None else sorted(rule.allowed),
    }
    db.execute(
        "UPDATE run SET parameters = ?, content = ? WHERE id = ?",
        (msgspec.json.encode(parameters).decode(), content(db, run), run.id),
    )


def _portions(db: sqlite3.Connection, run: Run) -> Iterator[tuple[int, int]]:
    """Cut the items that matter into ranges (first and last number) that hold a bounded number of boxes."""
    for dataset in datasets_of(db, run):
        first, end = item_range(dataset)
        while first < end:
            ends = [end]
            for table, where, owner in (("annotation", "", ()), ("prediction", "run = ? AND ", (run.id,))):
                row = db.execute(
                    f"SELECT item FROM {table} WHERE {where}item >= ? AND item < ? ORDER BY item LIMIT 1 OFFSET ?",
                    (*owner, first, end, _PORTION),
                ).fetchone()
                if row is not None:
                    ends.append(row[0])
            last = max(min(ends) - 1, first)
            yield first, last
            first = last + 1


def _match_portion(
    db: sqlite3.Connection, run: Run, rule: LabelRule, first: int, last: int
) -> Iterator[tuple[object, ...]]:
    truth = db.execute(
        f"SELECT {_BOX} FROM annotation WHERE {_COUNTED} AND item BETWEEN ? AND ? AND type = 'box'"
        " ORDER BY item, arrival",
        (first, last),
    ).fetchall()
    predicted = db.execute(
        f"SELECT {_BOX}, confidence FROM prediction WHERE run = ? AND item BETWEEN ? AND ? AND type = 'box'"
        " ORDER BY item, arrival",
        (run.id, first, last),
    ).fetchall()
    if not truth and not predicted:
        return iter(())
    truths, predictions = _boxes(truth, with_confidence=False), _boxes(predicted, with_confidence=True)
    return _rows(run, truths, predictions, match(truths, predictions, rule), rule)


def _boxes(rows: list[tuple[Any, ...]], *, with_confidence: bool) -> MatchBoxes:
    columns = list(zip(*rows, strict=True)) or [()] * (8 if with_confidence else 7)
    sides = np.array(columns[3:7], dtype=np.float64).reshape(4, -1).T
    return MatchBoxes(
        item=np.array(columns[0], dtype=np.int64),
        label=np.array(columns[2], dtype=object),
        box=np.ascontiguousarray(sides),
        annotation_id=np.array(columns[1], dtype=object),
        confidence=np.array(columns[7], dtype=np.float64) if with_confidence else None,
    )


def _rows(
    run: Run, truths: MatchBoxes, predictions: MatchBoxes, found: Matches, rule: LabelRule
) -> Iterator[tuple[object, ...]]:
    """Lay pairs, single predictions and single truths out: by item, in it predictions by arrival, then truths."""
    partner = np.full(len(predictions.item), -1)
    partner[found.prediction] = found.ground_truth
    overlap = np.full(len(predictions.item), np.nan)
    overlap[found.prediction] = found.iou
    agrees = np.zeros(len(predictions.item), dtype=bool)
    agrees[found.prediction] = rule.agrees(truths.label[found.ground_truth], predictions.label[found.prediction])
    alone = np.setdiff1d(np.arange(len(truths.item)), found.ground_truth)

    item = np.concatenate([predictions.item, truths.item[alone]])
    order = np.argsort(item, kind="stable")
    truth = np.concatenate([partner, alone])[order].tolist()
    predicted = np.concatenate([np.arange(len(partner)), np.full(len(alone), -1)])[order].tolist()
    confidence = [] if predictions.confidence is None else predictions.confidence.tolist()
    overlaps, agreements = overlap.tolist(), agrees.tolist()
    for number, (at, t, p) in enumerate(zip(item[order].tolist(), truth, predicted, strict=True)):
        yield (
            run.id,
            at,
            number,
            None if t < 0 else truths.annotation_id[t],
            None if p < 0 else predictions.annotation_id[p],
            None if t < 0 else truths.label[t],
            None if p < 0 else predictions.label[p],
            None if p < 0 or confidence[p] != confidence[p] else confidence[p],
            None if t < 0 or p < 0 else overlaps[p],
            p >= 0 and agreements[p],
        )


def content(db: sqlite3.Connection, run: Run) -> str:
    """Hash what a commit matches: boxes of both sides, in an order that does not depend on the order of arrival."""
    digest = blake2b(digest_size=16)
    for dataset in datasets_of(db, run):
        for table, where, owner in (("annotation", _COUNTED, ()), ("prediction", "run = ?", (run.id,))):
            rows = db.execute(
                f"SELECT {_BOX}, confidence FROM {table} WHERE {where} AND item >= ? AND item < ? AND type = 'box'"
                " ORDER BY item, key",
                (*owner, *item_range(dataset)),
            )
            digest.update(table.encode())
            while some := rows.fetchmany(10_000):
                digest.update(msgspec.json.encode(some))
    return digest.hexdigest()


def is_stale(db: sqlite3.Connection, run: Run) -> bool:
    """Return whether what a committed run was matched from has changed since."""
    (matched,) = db.execute("SELECT content FROM run WHERE id = ?", (run.id,)).fetchone()
    return bool(matched != content(db, run))


class MatchPage(NamedTuple):
    """Rows of matches, and where the next page begins."""

    rows: list[tuple[Any, ...]]
    after: tuple[int, int] | None


def page(db: sqlite3.Connection, run: Run, after: tuple[int, int], limit: int) -> MatchPage:
    """Read the matches of a committed run in their order, from behind `after` (item number, number)."""
    rows = db.execute(
        "SELECT match.item, match.number, dataset.tag, item.reference_id, annotation_id, prediction_id, label,"
        " predicted_label, confidence, iou, agrees FROM match LEFT JOIN item ON item.id = match.item"
        f" LEFT JOIN dataset ON dataset.id = {owner_sql('match.item')}"
        " WHERE run = ? AND (match.item, match.number) > (?, ?) ORDER BY match.item, match.number LIMIT ?",
        (run.id, *after, limit),
    ).fetchall()
    return MatchPage(rows, (rows[-1][0], rows[-1][1]) if len(rows) == limit else None)


COUNTED = 0.5
"""The IoU threshold of `counts`."""


def counts(db: sqlite3.Connection, run: Run) -> dict[str, int]:
    """Count what was matched, at IoU 0.5."""
    right = "coalesce(iou >= :t AND agrees, 0)"
    row = db.execute(
        f"SELECT coalesce(sum({right}), 0), coalesce(sum(prediction_id IS NOT NULL AND NOT {right}), 0),"
        f" coalesce(sum(annotation_id IS NOT NULL AND NOT {right}), 0) FROM match WHERE run = :run",
        {"t": COUNTED, "run": run.id},
    ).fetchone()
    return dict(zip(("true_positives", "false_positives", "false_negatives"), row, strict=True))


def objects(
    db: sqlite3.Connection,
    run: Run,
    kind: Kind,
    items: tuple[int, int],
    after: tuple[int, int],
    limit: int,
    condition: Condition,
) -> list[tuple[Any, ...]]:
    """Read pairs, false positives or false negatives on a range of items, from behind `after` (item number, number).

    No IoU threshold is applied. A pair whose labels do not agree is a pair, a false positive that shows both sides,
    and a false negative that shows the ground truth alone.
    """
    where = {
        "iou": "object.iou IS NOT NULL",
        "false_positive": "prediction_id IS NOT NULL AND NOT (object.iou IS NOT NULL AND agrees)",
        "false_negative": "annotation_id IS NOT NULL AND NOT (object.iou IS NOT NULL AND agrees)",
    }[kind]
    shown = "prediction_id, predicted_label, coalesce(object.iou, 0.0)"
    if kind == "false_negative":
        shown = "NULL, NULL, 0.0"
    return db.execute(
        f"SELECT object.item, number, annotation_id, label, object.iou IS NOT NULL AND agrees, {shown}"
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
