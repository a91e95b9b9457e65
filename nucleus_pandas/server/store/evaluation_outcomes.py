"""What the stored match of an evaluation means at an IoU threshold, filtered, sorted and paged by the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from nucleus_pandas.server.store.evaluations import Evaluation
from nucleus_pandas.server.store.ids import owner_sql
from nucleus_pandas.server.store.sql_conditions import Condition, Values, metadata, within
from nucleus_pandas.wire.evaluations import ExamplesRequest, Filters

_TRUTH = ("annotation_id", "label", "class", "x", "y", "width", "height")
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
"""Of one key of metadata that a filter schema lists."""

_RIGHT = "coalesce(iou >= :iou_threshold AND agrees, 0)"
_CLOSE = "coalesce(iou >= :iou_threshold, 0)"


def _side(columns: tuple[str, ...], shown: str) -> str:
    if shown == "1":
        return ", ".join(columns)
    if shown == "0":
        return ", ".join(f"NULL AS {name}" for name in columns)
    return ", ".join(f"CASE WHEN {shown} THEN {name} END AS {name}" for name in columns)


def _kind(number: int, name: str, where: str, truth: str, prediction: str) -> str:
    iou = f"CASE WHEN {truth} AND {prediction} THEN iou END AS iou"
    missed = "missed" if name != "FP" else "0 AS missed"
    return (
        f"SELECT item, number, {number} AS kind, '{name}' AS match_type, {iou}, {_CLOSE} AND NOT agrees AS confused,"
        f" {missed}, {_side(_TRUTH, truth)}, {_side(_PREDICTION, prediction)} FROM evaluation_match"
        f" WHERE evaluation = :evaluation AND NOT crowd AND {where}"
    )


# Each stored row is one outcome or two: a pair below the threshold, or of labels that do not agree, is an FP and an FN.
_OUTCOMES = " UNION ALL ".join(
    [
        _kind(0, "TP", _RIGHT, "1", "1"),
        _kind(1, "FP", f"prediction_id IS NOT NULL AND NOT {_RIGHT}", _CLOSE, "1"),
        _kind(2, "FN", f"annotation_id IS NOT NULL AND NOT {_RIGHT}", "1", "0"),
    ]
)
_WITH = f"WITH outcome AS ({_OUTCOMES})"
_SOURCE = (
    "JOIN evaluation_source AS source ON source.evaluation = :evaluation"
    f" AND source.dataset = {owner_sql('outcome.item')}"
)
_SORTED = {"confidence": "outcome.confidence", "iou": "outcome.iou", "gt_area": "outcome.width * outcome.height"}


class Outcome(NamedTuple):
    """One outcome, with what is known of its sides."""

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


class Cell(NamedTuple):
    """Outcomes that have much in common.

    The FN of a pair whose labels do not agree has no class: its FP shows both. `missed` counts the ground truths that
    TIDE says were missed.
    """

    match_type: str
    label_class: str | None
    predicted_class: str | None
    tide: str | None
    outcomes: int
    with_confidence: int
    missed: int


class Selected:
    """The outcomes of an evaluation at an IoU threshold that pass filters.

    Parameters
    ----------
    evaluation : Evaluation
        Its match.
    iou_threshold : float
        In (0, 1].
    filters : Filters, optional
        All of which an outcome must pass.
    chosen : Condition, optional
        What holds of its item.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        iou_threshold: float,
        filters: Filters | None = None,
        chosen: Condition | None = None,
    ) -> None:
        self._values = Values(evaluation=evaluation.id, iou_threshold=iou_threshold)
        self._conditions = ["1", *_conditions(filters or Filters(), self._values)]
        if chosen is not None:
            self._conditions.append(_of_chosen(chosen, self._values, "outcome"))

    def narrow(self, condition: str) -> None:
        """Take one more condition, on the columns of outcomes."""
        self._conditions.append(condition)

    @property
    def _from(self) -> str:
        return f"FROM outcome {_SOURCE} WHERE {' AND '.join(self._conditions)}"

    def _run(self, db: sqlite3.Connection, select: str, **values: object) -> sqlite3.Cursor:
        return db.execute(f"{_WITH} {select}", {**self._values.named, **values})

    def count(self, db: sqlite3.Connection) -> int:
        """Count the outcomes."""
        return int(self._run(db, f"SELECT count(*) {self._from}").fetchone()[0])

    def page(self, db: sqlite3.Connection, wanted: ExamplesRequest) -> Iterator[Outcome]:
        """Walk a page of the outcomes; those without what is sorted by come last, equal ones in the order of items."""
        direction = wanted.sort_order or "ASC"
        order = "outcome.item, outcome.number, outcome.kind"
        if wanted.sort_by == "dataset_item_id":
            order = f"source.dataset_tag {direction}, outcome.item {direction}, outcome.number, outcome.kind"
        elif wanted.sort_by is not None:
            key = _SORTED[wanted.sort_by]
            order = f"{key} IS NULL, {key} {direction}, {order}"
        elif direction == "DESC":
            order = "outcome.item DESC, outcome.number DESC, outcome.kind DESC"
        page = f"ORDER BY {order} LIMIT :limit OFFSET :offset"
        some = f"SELECT outcome.*, source.dataset_tag, source.run {self._from} {page}"
        rows = self._run(
            db,
            "SELECT outcome.item, outcome.number, match_type, dataset_tag, item.reference_id, item.metadata, iou,"
            " outcome.annotation_id, outcome.label, class, outcome.x, outcome.y, outcome.width, outcome.height,"
            " annotation.metadata, outcome.prediction_id, predicted_label, predicted_class, outcome.confidence,"
            " predicted_x, predicted_y, predicted_width, predicted_height, prediction.metadata"
            f" FROM ({some}) AS outcome LEFT JOIN item ON item.id = outcome.item"
            " LEFT JOIN annotation ON annotation.item = outcome.item AND annotation.key = outcome.annotation_id"
            " LEFT JOIN prediction ON prediction.run = outcome.run AND prediction.item = outcome.item"
            f" AND prediction.key = outcome.prediction_id ORDER BY {order.replace('source.', 'outcome.')}",
            limit=wanted.limit,
            offset=wanted.offset,
        )
        return map(Outcome._make, rows)

    def cells(self, db: sqlite3.Connection) -> list[Cell]:
        """Count by all that charts show but confidence."""
        rows = self._run(
            db,
            "SELECT match_type, CASE WHEN match_type <> 'FN' OR NOT confused THEN class END, predicted_class, tide,"
            f" count(*), count(confidence), sum(missed) {self._from} GROUP BY 1, 2, 3, 4",
        )
        return list(map(Cell._make, rows.fetchall()))

    def confidences(self, db: sqlite3.Connection) -> list[tuple[float, int]]:
        """Count predictions by confidence."""
        return self._run(
            db, f"SELECT confidence, count(*) {self._from} AND confidence IS NOT NULL GROUP BY 1"
        ).fetchall()

    def scores(self, db: sqlite3.Connection) -> tuple[list[tuple[float | None, bool]], int]:
        """Return confidence and rightness of every prediction, and the number of ground truths."""
        rows = self._run(db, f"SELECT confidence, match_type = 'TP' {self._from} AND prediction_id IS NOT NULL")
        found = rows.fetchall()
        (truths,) = self._run(db, f"SELECT count(*) {self._from} AND match_type <> 'FP'").fetchone()
        return found, truths


def _conditions(filters: Filters, values: Values) -> Iterator[str]:
    ranges = {"confidence": filters.confidence_range, "iou": filters.iou_range, "width * height": filters.gt_area_range}
    for expression, bounds in ranges.items():
        if bounds is not None:
            yield from within(expression, bounds.min, bounds.max, values)
    if filters.pred_labels is not None:
        yield f"predicted_class IN {values.bind_all(filters.pred_labels)}"
    if filters.gt_labels is not None:
        yield f"class IN {values.bind_all(filters.gt_labels)}"
    yield from _of_items(filters, values, "outcome")
    yield from _of_prediction_metadata(filters, values, "outcome")
    if filters.label_equality is not None:
        yield f"class {'=' if filters.label_equality == 'EQ' else '<>'} predicted_class"
    if filters.has_ground_truth is not None:
        yield f"annotation_id IS {'NOT ' if filters.has_ground_truth else ''}NULL"
    if filters.tide_background is not None:
        yield f"coalesce(tide = 'background', 0) = {int(filters.tide_background)}"


def _of_items(filters: Filters, values: Values, table: str) -> Iterator[str]:
    for number, predicate in enumerate(filters.item_metadata or ()):
        yield _own_items(metadata(predicate, "item.metadata", values, f"$.filters.itemMetadata[{number}]"), table)


def _of_chosen(chosen: Condition, values: Values, table: str) -> str:
    values.named |= chosen.values
    return _own_items(chosen.sql, table)


def _own_items(test: str, table: str) -> str:
    """Say that the item of a row is one of the evaluation's, of which something holds."""
    return (
        f"{table}.item IN (SELECT item.id FROM (SELECT DISTINCT item FROM evaluation_match WHERE evaluation ="
        f" :evaluation) AS own CROSS JOIN item ON item.id = own.item WHERE {test})"
    )


def _of_prediction_metadata(filters: Filters, values: Values, table: str) -> Iterator[str]:
    for number, predicate in enumerate(filters.prediction_metadata or ()):
        test = metadata(predicate, "prediction.metadata", values, f"$.filters.predictionMetadata[{number}]")
        yield (
            f"EXISTS (SELECT 1 FROM prediction WHERE prediction.run = source.run AND prediction.item = {table}.item"
            f" AND prediction.key = {table}.prediction_id AND {test})"
        )


# What is left of either side by filters on items and on that side, as rows of (item, key, class, x, y, width, height,
# confidence, crowd)


def truths(
    db: sqlite3.Connection,
    evaluation: Evaluation,
    filters: Filters,
    classes: list[str] | None,
    chosen: Condition | None = None,
) -> sqlite3.Cursor:
    """Walk the ground truth, crowds among it, by item."""
    values = Values(evaluation=evaluation.id)
    conditions = ["annotation_id IS NOT NULL", *_of_items(filters, values, "stored")]
    if chosen is not None:
        conditions.append(_of_chosen(chosen, values, "stored"))
    if classes is not None:
        conditions.append(f"class IN {values.bind_all(classes)}")
    return db.execute(
        "SELECT item, annotation_id, class, x, y, width, height, NULL, crowd FROM evaluation_match AS stored"
        f" WHERE evaluation = :evaluation AND {' AND '.join(conditions)} ORDER BY item, number",
        values.named,
    )


def predictions(
    db: sqlite3.Connection,
    evaluation: Evaluation,
    filters: Filters,
    classes: list[str] | None,
    chosen: Condition | None = None,
) -> sqlite3.Cursor:
    """Walk the predictions, by item."""
    values = Values(evaluation=evaluation.id)
    conditions = ["prediction_id IS NOT NULL", *_of_items(filters, values, "stored")]
    if chosen is not None:
        conditions.append(_of_chosen(chosen, values, "stored"))
    conditions += _of_prediction_metadata(filters, values, "stored")
    if filters.confidence_range is not None:
        conditions += within("confidence", filters.confidence_range.min, filters.confidence_range.max, values)
    if classes is not None:
        conditions.append(f"predicted_class IN {values.bind_all(classes)}")
    return db.execute(
        "SELECT item, prediction_id, predicted_class, predicted_x, predicted_y, predicted_width, predicted_height,"
        " confidence, 0 FROM evaluation_match AS stored JOIN evaluation_source AS source ON source.evaluation ="
        f" :evaluation AND source.dataset = {owner_sql('stored.item')} WHERE stored.evaluation = :evaluation AND"
        f" {' AND '.join(conditions)} ORDER BY item, number",
        values.named,
    )


def reference_ids(db: sqlite3.Connection, evaluation: Evaluation) -> dict[int, str]:
    """Return the reference ids of the items of an evaluation, as far as they are still there."""
    rows = db.execute(
        "SELECT item.id, reference_id FROM (SELECT DISTINCT item FROM evaluation_match WHERE evaluation = ?) AS own"
        " CROSS JOIN item ON item.id = own.item",
        (evaluation.id,),
    )
    return dict(rows.fetchall())


def labels(db: sqlite3.Connection, evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """List the classes of the ground truth and those of the predictions."""
    found = []
    for column, side in (("class", "annotation_id"), ("predicted_class", "prediction_id")):
        rows = db.execute(
            f"SELECT DISTINCT {column} FROM evaluation_match WHERE evaluation = ? AND NOT crowd AND {side} IS NOT NULL"
            " ORDER BY 1",
            (evaluation.id,),
        )
        found.append([name for (name,) in rows])
    return found[0], found[1]


def metadata_fields(db: sqlite3.Connection, evaluation: Evaluation) -> list[tuple[str, set[str], list[str]]]:
    """List the keys of the items' metadata that have plain values: (key, JSON types, some values as text)."""
    rows = db.execute(
        "SELECT key, type, text FROM (SELECT key, type, text, row_number() OVER (PARTITION BY key ORDER BY text) AS"
        " place FROM (SELECT DISTINCT entry.key AS key, entry.type AS type, CASE WHEN entry.type IN ('true', 'false')"
        " THEN entry.type ELSE CAST(entry.atom AS TEXT) END AS text FROM"
        " (SELECT DISTINCT item FROM evaluation_match WHERE evaluation = ?) AS own"
        " CROSS JOIN item ON item.id = own.item CROSS JOIN json_each(item.metadata) AS entry"
        f" WHERE entry.type NOT IN ('null', 'array', 'object'))) WHERE place <= {MOST_VALUES} ORDER BY key, place",
        (evaluation.id,),
    )
    fields: dict[str, tuple[set[str], list[str]]] = {}
    for key, kind, text in rows:
        kinds, texts = fields.setdefault(key, (set(), []))
        kinds.add(kind)
        if text not in texts[-1:]:
            texts.append(text)
    return [(key, kinds, texts) for key, (kinds, texts) in fields.items()]
