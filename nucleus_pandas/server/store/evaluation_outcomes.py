"""Outcomes of the stored match of an evaluation at an IoU threshold: filtered, sorted, paged and counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from nucleus_pandas.server.store.evaluations import StoredEvaluation
from nucleus_pandas.server.store.ids import owner_sql
from nucleus_pandas.server.store.matches import CONFIDENCE_BIN, outcome_tests
from nucleus_pandas.server.store.scopes import BoxSide
from nucleus_pandas.server.store.sql_conditions import BoundValues, Condition, metadata, within
from nucleus_pandas.wire.evaluations import ExamplesRequest, OutcomeFilters

_GROUND_TRUTH = ("annotation_id", "label", "class", "x", "y", "width", "height")
_PREDICTION = (
    "prediction_id",
    "predicted_label",
    "predicted_class",
    "confidence",
    "tide",
    "predicted_x",
    "predicted_y",
    "predicted_width",
    "predicted_height",
)
MOST_VALUES = 1_000
"""Values of one key of metadata that a filter schema lists at most."""

_TESTS = outcome_tests()


def _side(columns: tuple[str, ...], shown: str) -> str:
    if shown == "1":
        return ", ".join(columns)
    if shown == "0":
        return ", ".join(f"NULL AS {name}" for name in columns)
    return ", ".join(f"CASE WHEN {shown} THEN {name} END AS {name}" for name in columns)


def _outcome(kind: int, name: str, where: str, ground_truth: str, prediction: str) -> str:
    iou = f"CASE WHEN {ground_truth} AND {prediction} THEN iou END AS iou"
    missed = "missed" if name != "FP" else "0 AS missed"
    return (
        f"SELECT item, number, {kind} AS kind, '{name}' AS match_type, {iou},"
        f" {_TESTS.close} AND NOT agrees AS confused,"
        f" {missed}, {_side(_GROUND_TRUTH, ground_truth)}, {_side(_PREDICTION, prediction)} FROM evaluation_match"
        f" WHERE evaluation = :evaluation AND NOT crowd AND {where}"
    )


# Each stored row is one outcome or two: a pair below the threshold, or of labels that do not agree, is an FP and an FN.
# So the three parts need not be disjoint: (item, number, kind) is the key of an outcome, and with `kind` in the order
# an FP comes before the FN of the same row. A side is shown where the outcome has it: an FP shows the ground truth of
# its pair only if that is close, an FN never shows a prediction.
_OUTCOMES = " UNION ALL ".join(
    [
        _outcome(0, "TP", _TESTS.true_positive, "1", "1"),
        _outcome(1, "FP", _TESTS.false_positive, _TESTS.close, "1"),
        _outcome(2, "FN", _TESTS.false_negative, "1", "0"),
    ]
)
_WITH = f"WITH outcome AS ({_OUTCOMES})"
_SOURCE = (
    "JOIN evaluation_source AS source ON source.evaluation = :evaluation"
    f" AND source.dataset = {owner_sql('outcome.item')}"
)
_SORTED = {"confidence": "outcome.confidence", "iou": "outcome.iou", "gt_area": "outcome.width * outcome.height"}


class ExampleRow(NamedTuple):
    """One outcome with both sides; columns of a side that it does not show are None."""

    item: int
    number: int
    match_type: Any
    dataset_tag: str
    reference_id: str | None
    item_metadata: str | None
    iou: float | None
    annotation_id: str | None
    label: str | None
    label_class: str | None
    x: float | None
    y: float | None
    width: float | None
    height: float | None
    annotation_metadata: str | None
    prediction_id: str | None
    predicted_label: str | None
    predicted_class: str | None
    confidence: float | None
    predicted_x: float | None
    predicted_y: float | None
    predicted_width: float | None
    predicted_height: float | None
    prediction_metadata: str | None


class OutcomeGroup(NamedTuple):
    """Counts of the outcomes that have match type, classes and TIDE category in common.

    The FN of a pair whose labels do not agree has no class: its FP shows both. `missed` counts the ground truths that
    are missed according to TIDE.
    """

    match_type: str
    label_class: str | None
    predicted_class: str | None
    tide: str | None
    outcomes: int
    with_confidence: int
    missed: int


class SelectedOutcomes:
    """The outcomes of an evaluation at an IoU threshold that pass filters.

    Parameters
    ----------
    evaluation : StoredEvaluation
        Its match.
    iou_threshold : float
        In (0, 1].
    filters : OutcomeFilters, optional
        An outcome has to pass all of them.
    items : Condition, optional
        A condition on its item.
    """

    def __init__(
        self,
        evaluation: StoredEvaluation,
        iou_threshold: float,
        filters: OutcomeFilters | None = None,
        items: Condition | None = None,
    ) -> None:
        self._values = BoundValues(evaluation=evaluation.id, iou_threshold=iou_threshold)
        self._conditions = ["1", *_conditions(filters or OutcomeFilters(), self._values)]
        if items is not None:
            self._conditions.append(_on_items(items, self._values))

    def narrow(self, condition: str) -> None:
        """Add a condition on the columns of outcomes."""
        self._conditions.append(condition)

    @property
    def _from(self) -> str:
        return f"FROM outcome {_SOURCE} WHERE {' AND '.join(self._conditions)}"

    def _run(self, db: sqlite3.Connection, select: str, **values: object) -> sqlite3.Cursor:
        return db.execute(f"{_WITH} {select}", {**self._values.named, **values})

    def count(self, db: sqlite3.Connection) -> int:
        """Count the outcomes."""
        return int(self._run(db, f"SELECT count(*) {self._from}").fetchone()[0])

    def page(self, db: sqlite3.Connection, request: ExamplesRequest) -> Iterator[ExampleRow]:
        """Read a page of outcomes; those without the value that sorts come last, equal ones in the order of items."""
        direction = request.sort_order or "ASC"
        order = "outcome.item, outcome.number, outcome.kind"
        if request.sort_by == "dataset_item_id":
            order = f"source.dataset_tag {direction}, outcome.item {direction}, outcome.number, outcome.kind"
        elif request.sort_by is not None:
            key = _SORTED[request.sort_by]
            order = f"{key} IS NULL, {key} {direction}, {order}"
        elif direction == "DESC":
            order = "outcome.item DESC, outcome.number DESC, outcome.kind DESC"
        page = f"ORDER BY {order} LIMIT :limit OFFSET :offset"
        page_of = f"SELECT outcome.*, source.dataset_tag, source.run {self._from} {page}"
        rows = self._run(
            db,
            "SELECT outcome.item, outcome.number, match_type, dataset_tag, item.reference_id, item.metadata, iou,"
            " outcome.annotation_id, outcome.label, class, outcome.x, outcome.y, outcome.width, outcome.height,"
            " annotation.metadata, outcome.prediction_id, predicted_label, predicted_class, outcome.confidence,"
            " predicted_x, predicted_y, predicted_width, predicted_height, prediction.metadata"
            f" FROM ({page_of}) AS outcome LEFT JOIN item ON item.id = outcome.item"
            " LEFT JOIN annotation ON annotation.item = outcome.item AND annotation.key = outcome.annotation_id"
            " LEFT JOIN prediction ON prediction.run = outcome.run AND prediction.item = outcome.item"
            f" AND prediction.key = outcome.prediction_id ORDER BY {order.replace('source.', 'outcome.')}",
            limit=request.limit,
            offset=request.offset,
        )
        return map(ExampleRow._make, rows)

    def groups(self, db: sqlite3.Connection) -> list[OutcomeGroup]:
        """Count by everything that charts show except confidence."""
        rows = self._run(
            db,
            "SELECT match_type, CASE WHEN match_type <> 'FN' OR NOT confused THEN class END, predicted_class, tide,"
            f" count(*), count(confidence), sum(missed) {self._from} GROUP BY 1, 2, 3, 4",
        )
        return list(map(OutcomeGroup._make, rows.fetchall()))

    def confidence_bins(self, db: sqlite3.Connection) -> dict[int, int]:
        """Count predictions by bin of confidence."""
        rows = self._run(db, f"SELECT {CONFIDENCE_BIN}, count(*) {self._from} AND confidence IS NOT NULL GROUP BY 1")
        return dict(rows.fetchall())

    def scores(self, db: sqlite3.Connection) -> tuple[list[tuple[float | None, bool]], int]:
        """Return confidence and whether it is a true positive of each prediction, and the number of ground truths."""
        rows = self._run(db, f"SELECT confidence, match_type = 'TP' {self._from} AND prediction_id IS NOT NULL")
        scores = rows.fetchall()
        (count,) = self._run(db, f"SELECT count(*) {self._from} AND match_type <> 'FP'").fetchone()
        return scores, count


def _conditions(filters: OutcomeFilters, values: BoundValues) -> Iterator[str]:
    ranges = {"confidence": filters.confidence_range, "iou": filters.iou_range, "width * height": filters.gt_area_range}
    for expression, bounds in ranges.items():
        if bounds is not None:
            yield from within(expression, bounds.min, bounds.max, values)
    if filters.pred_labels is not None:
        yield f"predicted_class IN {values.bind_all(filters.pred_labels)}"
    if filters.gt_labels is not None:
        yield f"class IN {values.bind_all(filters.gt_labels)}"
    yield from _on_item_metadata(filters, values)
    yield from _on_prediction_metadata(filters, values)
    if filters.label_equality is not None:
        yield f"class {'=' if filters.label_equality == 'EQ' else '<>'} predicted_class"
    if filters.has_ground_truth is not None:
        yield f"annotation_id IS {'NOT ' if filters.has_ground_truth else ''}NULL"
    if filters.tide_background is not None:
        yield f"coalesce(tide = 'background', 0) = {int(filters.tide_background)}"


def _on_item_metadata(filters: OutcomeFilters, values: BoundValues) -> Iterator[str]:
    for number, predicate in enumerate(filters.item_metadata or ()):
        yield _item_test(metadata(predicate, "item.metadata", values, f"$.filters.itemMetadata[{number}]"))


def _on_items(items: Condition, values: BoundValues) -> str:
    values.named |= items.values
    return _item_test(items.sql)


def _item_test(test: str) -> str:
    """Apply a test to the item of an outcome; it is evaluated once for each item of the evaluation."""
    return (
        "outcome.item IN (SELECT item.id FROM (SELECT DISTINCT item FROM evaluation_match WHERE evaluation ="
        f" :evaluation) AS evaluated CROSS JOIN item ON item.id = evaluated.item WHERE {test})"
    )


def _on_prediction_metadata(filters: OutcomeFilters, values: BoundValues) -> Iterator[str]:
    for number, predicate in enumerate(filters.prediction_metadata or ()):
        test = metadata(predicate, "prediction.metadata", values, f"$.filters.predictionMetadata[{number}]")
        yield (
            "EXISTS (SELECT 1 FROM prediction WHERE prediction.run = source.run AND prediction.item = outcome.item"
            f" AND prediction.key = outcome.prediction_id AND {test})"
        )


_SIDES: dict[BoxSide, tuple[str, str, str]] = {
    "groundTruth": ("annotation_id", "class", "x, y, width, height, NULL, crowd"),
    "prediction": (
        "prediction_id",
        "predicted_class",
        "predicted_x, predicted_y, predicted_width, predicted_height, confidence, 0",
    ),
}
"""By side, the columns of the key, of the class, and of the rest of a box."""


def boxes(
    db: sqlite3.Connection,
    evaluation: StoredEvaluation,
    side: BoxSide,
    filters: OutcomeFilters,
    classes: list[str] | None,
    items: Condition | None = None,
) -> sqlite3.Cursor:
    """Read the boxes of one side that pass the filters on items and on that side, by item; ground truth with crowds.

    Rows are (item, key, class, x, y, width, height, confidence, is crowd).
    """
    key, class_name, columns = _SIDES[side]
    values = BoundValues(evaluation=evaluation.id)
    conditions = [f"{key} IS NOT NULL", *_on_item_metadata(filters, values)]
    if items is not None:
        conditions.append(_on_items(items, values))
    if side == "prediction":
        conditions += _on_prediction_metadata(filters, values)
        if filters.confidence_range is not None:
            conditions += within("confidence", filters.confidence_range.min, filters.confidence_range.max, values)
    if classes is not None:
        conditions.append(f"{class_name} IN {values.bind_all(classes)}")
    source = _SOURCE if side == "prediction" else ""
    return db.execute(
        f"SELECT item, {key}, {class_name}, {columns} FROM evaluation_match AS outcome {source}"
        f" WHERE outcome.evaluation = :evaluation AND {' AND '.join(conditions)} ORDER BY item, number",
        values.named,
    )


def reference_ids(db: sqlite3.Connection, evaluation: StoredEvaluation) -> dict[int, str]:
    """Return the reference ids of the items of an evaluation that still exist."""
    rows = db.execute(
        "SELECT item.id, reference_id FROM (SELECT DISTINCT item FROM evaluation_match WHERE evaluation = ?)"
        " AS evaluated CROSS JOIN item ON item.id = evaluated.item",
        (evaluation.id,),
    )
    return dict(rows.fetchall())


def labels(db: sqlite3.Connection, evaluation: StoredEvaluation) -> tuple[list[str], list[str]]:
    """List the classes of the ground truth and those of the predictions."""

    def distinct(column: str, key: str) -> list[str]:
        rows = db.execute(
            f"SELECT DISTINCT {column} FROM evaluation_match WHERE evaluation = ? AND NOT crowd AND {key} IS NOT NULL"
            " ORDER BY 1",
            (evaluation.id,),
        )
        return [name for (name,) in rows]

    return distinct("class", "annotation_id"), distinct("predicted_class", "prediction_id")


def metadata_fields(db: sqlite3.Connection, evaluation: StoredEvaluation) -> list[tuple[str, set[str], list[str]]]:
    """List the keys of the items' metadata with scalar values: (key, JSON types, some values as strings)."""
    rows = db.execute(
        "SELECT key, type, text FROM (SELECT key, type, text, row_number() OVER (PARTITION BY key ORDER BY text) AS"
        " place FROM (SELECT DISTINCT entry.key AS key, entry.type AS type, CASE WHEN entry.type IN ('true', 'false')"
        " THEN entry.type ELSE CAST(entry.atom AS TEXT) END AS text FROM"
        " (SELECT DISTINCT item FROM evaluation_match WHERE evaluation = ?) AS evaluated"
        " CROSS JOIN item ON item.id = evaluated.item CROSS JOIN json_each(item.metadata) AS entry"
        f" WHERE entry.type NOT IN ('null', 'array', 'object'))) WHERE place <= {MOST_VALUES} ORDER BY key, place",
        (evaluation.id,),
    )
    fields: dict[str, tuple[set[str], list[str]]] = {}
    for key, json_type, value in rows:
        types, values = fields.setdefault(key, (set(), []))
        types.add(json_type)
        if value not in values[-1:]:
            values.append(value)
    return [(key, types, values) for key, (types, values) in fields.items()]
