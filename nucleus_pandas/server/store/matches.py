"""Stored matches of commits and evaluations: SQL for the outcomes of their rows, and the statements that read them."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nucleus_pandas.errors import ConflictError, NotFoundError
from nucleus_pandas.evaluation.match_rows import MatchFlags, classify
from nucleus_pandas.evaluation.tables import BINS
from nucleus_pandas.evaluation.tide import BACKGROUND_IOU
from nucleus_pandas.server.store import evaluations
from nucleus_pandas.server.store.evaluations import StoredEvaluation
from nucleus_pandas.server.store.models import Run, datasets_of
from nucleus_pandas.server.store.sql_conditions import BoundValues, Condition, within

COMMIT = "commit"
MISPLACED = "misplaced"
"""A false negative near a prediction with a right label: their IoU is below the threshold, but above background."""
MATCH_TYPES = ("TP", "FP", "FN", MISPLACED)


class OutcomeTests(NamedTuple):
    """SQL tests of a row of a stored match, each 0 or 1."""

    close: str
    true_positive: str
    false_positive: str
    false_negative: str


def outcome_tests(alias: str = "", threshold: str = ":iou_threshold") -> OutcomeTests:
    """Write `evaluation.match_rows.classify` in SQL, for rows that are no crowds.

    A missing side has no IoU, and NULL is neither close nor a true positive. The tests need no
    further parentheses.

    Parameters
    ----------
    alias : str
        Name of the table, where the statement has several.
    threshold : str
        Expression of the IoU threshold.
    """
    row = f"{alias}." if alias else ""
    close = f"coalesce({row}iou >= {threshold}, 0)"
    true_positive = f"coalesce({row}iou >= {threshold} AND {row}agrees, 0)"
    return OutcomeTests(
        close,
        true_positive,
        f"({row}prediction_id IS NOT NULL AND NOT {true_positive})",
        f"({row}annotation_id IS NOT NULL AND NOT {true_positive})",
    )


_BIN = f"min(CAST(confidence * {BINS} AS INTEGER), {BINS - 1})"  # or one too high, where the product is rounded up
CONFIDENCE_BIN = f"({_BIN} - (confidence < {_BIN} / {BINS}.0))"
"""The bin between `evaluation.tables.BIN_EDGES`, in SQL."""


@dataclass(frozen=True, slots=True)
class MatchSource:
    """A stored match: that of a commit, or that of an evaluation, whose tables differ in names of columns.

    Attributes
    ----------
    id : str
        ``commit``, or the id of the evaluation.
    run : Run
        The run whose predictions were matched.
    evaluation : StoredEvaluation or None
        None for the commit.
    datasets : list of int
        Datasets whose items were matched.
    """

    id: str
    run: Run
    evaluation: StoredEvaluation | None
    datasets: list[int]

    @property
    def table(self) -> str:
        """The table of its rows."""
        return "match" if self.evaluation is None else "evaluation_match"

    @property
    def owner(self) -> str:
        """The column of the run or the evaluation."""
        return "run" if self.evaluation is None else "evaluation"

    @property
    def owner_id(self) -> int:
        """The value of that column."""
        return self.run.id if self.evaluation is None else self.evaluation.id

    @property
    def label(self) -> str:
        """The column of the ground truth's label."""
        return "label" if self.evaluation is None else "class"

    @property
    def predicted_label(self) -> str:
        """The column of the predicted label."""
        return "predicted_label" if self.evaluation is None else "predicted_class"

    @property
    def countable(self) -> str:
        """A test that leaves crowds out, which are no outcomes; a commit stores none."""
        return "1" if self.evaluation is None else "NOT crowd"


def sources_of(db: sqlite3.Connection, run: Run) -> list[MatchSource]:
    """List the matches of a run: its commit, then its finished evaluations, newest first."""
    sources = [] if run.committed_at is None else [MatchSource(COMMIT, run, None, datasets_of(db, run))]
    for evaluation in evaluations.listing(db, "run", run.id):
        if evaluation.status == "succeeded":
            datasets = [source.dataset for source in evaluations.sources(db, evaluation)]
            sources.append(MatchSource(evaluation.public_id, run, evaluation, datasets))
    return sources


def choose_source(sources: Sequence[MatchSource], run: Run, source_id: str | None) -> MatchSource:
    """Return the source with an id, by default the first.

    Raises
    ------
    ConflictError
        The run has no match.
    NotFoundError
        None of the sources has the id.
    """
    if not sources:
        raise ConflictError(
            f"The run '{run.public_id}' is open: run.commit() matches its predictions with the ground truth."
        )
    if not source_id:
        return sources[0]
    for source in sources:
        if source.id == source_id:
            return source
    raise NotFoundError(f"The run '{run.public_id}' has no '{source_id[:50]}'.")


@dataclass(frozen=True, slots=True)
class OutcomeFilter:
    """Selects outcomes of a match.

    Attributes
    ----------
    threshold : float
        The IoU threshold.
    match : str or None
        One of `MATCH_TYPES`.
    truth, predicted : str or None
        The label of either side.
    label : str or None
        The label of any side that the outcome shows.
    alone : bool
        Select sides without a partner: with `truth` ground truth, with `predicted` predictions.
    confidence, iou : (float or None, float or None)
        Bounds, inclusive. An outcome that shows a single side has no IoU; only predictions have a confidence.
    unlike : MatchSource or None
        Another match, in which the ground truth is not a true positive.
    """

    threshold: float
    match: str | None = None
    truth: str | None = None
    predicted: str | None = None
    label: str | None = None
    alone: bool = False
    confidence: tuple[float | None, float | None] = (None, None)
    iou: tuple[float | None, float | None] = (None, None)
    unlike: MatchSource | None = None

    @property
    def shown_iou(self) -> str:
        """The IoU that the outcome shows, as SQL."""
        if self.match == MISPLACED or (self.match is None and not self.alone):
            return "stored.iou"
        return "NULL" if self.match == "FN" else f"CASE WHEN {_TESTS.close} THEN stored.iou END"

    @property
    def shows_confidence(self) -> bool:
        """True if the outcome shows the confidence of a prediction."""
        return self.match != "FN" and not (self.alone and self.truth is not None)

    def condition(self, source: MatchSource) -> Condition:
        """Write the filter in SQL, for the rows ``stored`` of the source's table."""
        values = BoundValues("m", iou_threshold=self.threshold)
        tests = [source.countable]
        if self.match is not None:
            tests.append(_MATCH_TESTS[self.match])
        label, predicted = f"stored.{source.label}", f"stored.{source.predicted_label}"
        if self.truth is not None:
            tests.append(f"stored.annotation_id IS NOT NULL AND {label} = {values.bind(self.truth)}")
        if self.predicted is not None:
            tests.append(f"stored.prediction_id IS NOT NULL AND {predicted} = {values.bind(self.predicted)}")
        if self.alone:
            tests.append(f"NOT {_TESTS.close}")
        elif self.truth is not None and self.predicted is not None:
            tests.append(_TESTS.close)
        if self.label is not None:
            name = values.bind(self.label)
            sides = [] if self.match == "FP" else [f"(stored.annotation_id IS NOT NULL AND {label} = {name})"]
            sides += [] if self.match == "FN" else [f"(stored.prediction_id IS NOT NULL AND {predicted} = {name})"]
            tests.append(" OR ".join(sides))
        confidence = "stored.confidence" if self.shows_confidence else "NULL"
        for expression, bounds in ((confidence, self.confidence), (self.shown_iou, self.iou)):
            if bounds != (None, None):
                tests += within(expression, *bounds, values)
        if self.unlike is not None:
            tests.append(
                f"EXISTS (SELECT 1 FROM {self.unlike.table} AS other"
                f" WHERE other.{self.unlike.owner} = {values.bind(self.unlike.owner_id)} AND other.item = stored.item"
                f" AND other.annotation_id = stored.annotation_id AND NOT {_OTHER_TESTS.true_positive})"
            )
        return Condition(" AND ".join(f"({test})" for test in tests), values.named)


_TESTS, _OTHER_TESTS = outcome_tests("stored"), outcome_tests("other")
_MATCH_TESTS = {
    "TP": _TESTS.true_positive,
    "FP": _TESTS.false_positive,
    "FN": _TESTS.false_negative,
    MISPLACED: f"{outcome_tests('stored', repr(BACKGROUND_IOU)).true_positive} AND NOT {_TESTS.close}",
}

SORTS = {
    "surest": "stored.confidence IS NULL, stored.confidence DESC, stored.item, stored.number",
    "unsurest": "stored.confidence IS NULL, stored.confidence, stored.item, stored.number",
    "nearest": "{iou} IS NULL, {iou} DESC, stored.item, stored.number",
    "farthest": "{iou} IS NULL, {iou}, stored.item, stored.number",
}
"""The orders other than that of the items; `iou` is what the outcome shows."""


class StoredMatch(NamedTuple):
    """A row of a match: a pair, or one side without a partner."""

    item: int
    number: int
    truth_key: str | None
    prediction_key: str | None
    truth: str | None
    predicted: str | None
    confidence: float | None
    iou: float | None
    agrees: int

    def classify(self, iou_threshold: float) -> MatchFlags[bool]:
        """Return the outcomes of the row at an IoU threshold."""
        iou = math.nan if self.iou is None else self.iou
        has_ground_truth, has_prediction = self.truth_key is not None, self.prediction_key is not None
        return classify(iou, has_ground_truth, has_prediction, bool(self.agrees), iou_threshold)


def _select(source: MatchSource) -> str:
    return (
        "SELECT stored.item, stored.number, stored.annotation_id, stored.prediction_id,"
        f" stored.{source.label}, stored.{source.predicted_label}, stored.confidence, stored.iou, stored.agrees"
        f" FROM {source.table} AS stored WHERE stored.{source.owner} = :owner"
    )


def page(
    db: sqlite3.Connection, source: MatchSource, condition: Condition, after: tuple[int, int], end: int, limit: int
) -> list[StoredMatch]:
    """Read rows from behind (item, number) on, before the item `end`."""
    values = {"owner": source.owner_id, "item": after[0], "number": after[1], "end": end, "limit": limit}
    rows = db.execute(
        f"{_select(source)} AND (stored.item, stored.number) > (:item, :number) AND stored.item < :end AND"
        f" ({condition.sql}) ORDER BY stored.item, stored.number LIMIT :limit",
        {**condition.values, **values},
    )
    return list(map(StoredMatch._make, rows))


def sorted_page(
    db: sqlite3.Connection, source: MatchSource, outcomes: OutcomeFilter, sort: str, offset: int, limit: int
) -> list[StoredMatch]:
    """Read rows in one of the orders `SORTS`."""
    condition = outcomes.condition(source)
    rows = db.execute(
        f"{_select(source)} AND ({condition.sql}) ORDER BY {SORTS[sort].format(iou=outcomes.shown_iou)}"
        " LIMIT :limit OFFSET :offset",
        {**condition.values, "owner": source.owner_id, "limit": limit, "offset": offset},
    )
    return list(map(StoredMatch._make, rows))


def of_item(
    db: sqlite3.Connection, source: MatchSource, condition: Condition, item: int
) -> list[tuple[str | None, str | None]]:
    """Read the keys of both sides of the rows of an item."""
    return db.execute(
        f"SELECT stored.annotation_id, stored.prediction_id FROM {source.table} AS stored"
        f" WHERE stored.{source.owner} = :owner AND stored.item = :item AND ({condition.sql})",
        {**condition.values, "owner": source.owner_id, "item": item},
    ).fetchall()


def count_pairs(
    db: sqlite3.Connection, source: MatchSource, thresholds: Sequence[float]
) -> list[tuple[str | None, str | None, int, int, int, int]]:
    """Count rows by label, predicted label, whether they agree, whether the IoU is above background, and IoU level.

    The level is the number of thresholds that the IoU reaches, so that one scan serves all of them.
    """
    return db.execute(
        f"SELECT CASE WHEN annotation_id IS NOT NULL THEN {source.label} END,"
        f" CASE WHEN prediction_id IS NOT NULL THEN {source.predicted_label} END, agrees,"
        f" {outcome_tests(threshold=repr(BACKGROUND_IOU)).close}, {_level(thresholds)}, count(*) FROM {source.table}"
        f" WHERE {source.owner} = ? AND {source.countable} GROUP BY 1, 2, 3, 4, 5",
        (source.owner_id,),
    ).fetchall()


def count_scores(
    db: sqlite3.Connection, source: MatchSource, thresholds: Sequence[float]
) -> list[tuple[int, int, int]]:
    """Count predictions by bin of confidence, and by the IoU level below which they are right (see `count_pairs`)."""
    return db.execute(
        f"SELECT {CONFIDENCE_BIN}, CASE WHEN agrees THEN {_level(thresholds)} ELSE 0 END, count(*) FROM {source.table}"
        f" WHERE {source.owner} = ? AND {source.countable} AND confidence IS NOT NULL GROUP BY 1, 2",
        (source.owner_id,),
    ).fetchall()


def _level(thresholds: Sequence[float]) -> str:
    return f"coalesce({' + '.join(f'(iou >= {threshold!r})' for threshold in thresholds)}, 0)"


def count_differences(
    db: sqlite3.Connection, first: MatchSource, second: MatchSource, iou_threshold: float
) -> list[tuple[str, int, int]]:
    """Count by label the ground truths that are true positives in the first match alone, and in the second alone.

    The rows of both are joined by item and ground truth. Every countable ground truth has one row in each match, so
    each is counted at most once; what was added or deleted between both matches has no partner and is left out.
    """
    return db.execute(
        f"SELECT stored.{first.label}, sum({_TESTS.true_positive} > {_OTHER_TESTS.true_positive}),"
        f" sum({_TESTS.true_positive} < {_OTHER_TESTS.true_positive}) FROM {first.table} AS stored CROSS JOIN"
        f" {second.table} AS other ON other.{second.owner} = :other AND other.item = stored.item"
        " AND other.annotation_id = stored.annotation_id"
        f" WHERE stored.{first.owner} = :owner AND stored.annotation_id IS NOT NULL GROUP BY 1",
        {"owner": first.owner_id, "other": second.owner_id, "iou_threshold": iou_threshold},
    ).fetchall()


def count_tide_errors(db: sqlite3.Connection, evaluation: StoredEvaluation) -> dict[str, int]:
    """Count the predictions of each TIDE category of an evaluation, and the missed ground truths."""
    rows = db.execute(
        "SELECT tide, count(*) FROM evaluation_match WHERE evaluation = ? AND tide IS NOT NULL GROUP BY 1",
        (evaluation.id,),
    )
    counts: dict[str, int] = dict(rows.fetchall())
    (missed,) = db.execute(
        "SELECT coalesce(sum(missed), 0) FROM evaluation_match WHERE evaluation = ? AND NOT crowd", (evaluation.id,)
    ).fetchone()
    return {**counts, "missed": missed}


def count_arrivals(db: sqlite3.Connection, source: MatchSource) -> int:
    """Return an upper bound of the boxes that the metrics of a match are computed from.

    Those of an evaluation are stored, so that only its predictions count.
    """
    (arrivals,) = db.execute("SELECT arrivals FROM run WHERE id = ?", (source.run.id,)).fetchone()
    if source.evaluation is None:
        for dataset in source.datasets:
            arrivals += db.execute("SELECT arrivals FROM dataset WHERE id = ?", (dataset,)).fetchone()[0]
    return int(arrivals)
