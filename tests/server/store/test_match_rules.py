"""Rules that the store applies in SQL are those that frames are evaluated by."""

from __future__ import annotations

import itertools
import json
import math
import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nucleus_pandas.evaluation.crowds import is_crowd
from nucleus_pandas.evaluation.match_rows import classify, outcome_rows
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.evaluation.tables import BIN_EDGES, BINS
from nucleus_pandas.server.store.commits import IS_CROWD
from nucleus_pandas.server.store.matches import (
    CONFIDENCE_BIN,
    MISPLACED,
    MatchSource,
    OutcomeFilter,
    StoredMatch,
    outcome_tests,
)

RULES = {
    "any label": LabelRule(),
    "equal labels": LabelRule(class_agnostic=False),
    "pairs": LabelRule(class_agnostic=False, allowed=frozenset({("car", "bus"), ("bus", "bus")})),
}
THRESHOLDS = (0.0, 0.1, 0.3, 0.5, 0.55, 0.95, 1.0)
Stored = tuple[str | None, str | None, str | None, str | None, float | None, bool]


def around(number: float) -> list[float]:
    """A number and its neighbours."""
    return [math.nextafter(number, -1.0), number, math.nextafter(number, 2.0)]


def stored_rows(rule: LabelRule) -> list[Stored]:
    """Rows of a match: both sides with labels that agree, differ or are an allowed pair, and either side alone."""
    ious = sorted({iou for threshold in THRESHOLDS for iou in around(threshold) if 0 <= iou <= 1})
    rows: list[Stored] = [("g", None, "car", None, None, False), (None, "p", None, "car", None, False)]
    for label, predicted, iou in itertools.product(("car", "bus"), ("car", "bus"), ious):
        agrees = rule.agrees(np.array([label], dtype=object), np.array([predicted], dtype=object))
        rows.append(("g", "p", label, predicted, iou, bool(agrees[0])))
    return rows


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


def fill(db: sqlite3.Connection, rows: list[Stored]) -> None:
    db.execute(
        "CREATE TABLE match (run INTEGER, item INTEGER, number INTEGER, annotation_id TEXT, prediction_id TEXT,"
        " label TEXT, predicted_label TEXT, confidence REAL, iou REAL, agrees INTEGER)"
    )
    db.executemany(
        "INSERT INTO match VALUES (1, 1, ?, ?, ?, ?, ?, 0.5, ?, ?)", [(at, *row) for at, row in enumerate(rows)]
    )


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
class TestOutcomes:
    def test_sql_arrays_and_values_are_classified_alike(
        self, db: sqlite3.Connection, rule: LabelRule, threshold: float
    ) -> None:
        rows = stored_rows(rule)
        fill(db, rows)
        arrays = classify(
            np.array([math.nan if row[4] is None else row[4] for row in rows]),
            np.array([row[0] is not None for row in rows]),
            np.array([row[1] is not None for row in rows]),
            np.array([row[5] for row in rows]),
            threshold,
        )
        expected = list(zip(*(flags.tolist() for flags in arrays), strict=True))
        for alias in ("", "stored"):
            found = db.execute(
                f"SELECT {', '.join(outcome_tests(alias))} FROM match AS stored ORDER BY number",
                {"iou_threshold": threshold},
            ).fetchall()
            assert [tuple(map(bool, row)) for row in found] == expected
            assert all(flag in (0, 1) for row in found for flag in row)  # never NULL
        for at, (annotation, prediction, label, predicted, iou, agrees) in enumerate(rows):
            row = StoredMatch(1, at, annotation, prediction, label, predicted, 0.5, iou, agrees)
            assert tuple(row.classify(threshold)) == expected[at]

    def test_filters_select_the_outcomes(self, db: sqlite3.Connection, rule: LabelRule, threshold: float) -> None:
        rows = stored_rows(rule)
        fill(db, rows)
        outcomes = outcome_rows(
            np.array([math.nan if row[4] is None else row[4] for row in rows]),
            np.array([row[0] is not None for row in rows]),
            np.array([row[1] is not None for row in rows]),
            np.array([row[5] for row in rows]),
            threshold,
        )
        commit: Any = MatchSource("commit", run=None, evaluation=None, datasets=[])  # type: ignore[arg-type]
        for match_type in ("TP", "FP", "FN"):
            condition = OutcomeFilter(threshold, match=match_type).condition(commit)
            found = db.execute(
                f"SELECT number FROM match AS stored WHERE {condition.sql} ORDER BY number", condition.values
            )
            assert [at for (at,) in found] == outcomes.row[outcomes.match_type == match_type].tolist()

    def test_misplaced_are_agreeing_pairs_between_background_and_threshold(
        self, db: sqlite3.Connection, rule: LabelRule, threshold: float
    ) -> None:
        rows = stored_rows(rule)
        fill(db, rows)
        commit: Any = MatchSource("commit", run=None, evaluation=None, datasets=[])  # type: ignore[arg-type]
        condition = OutcomeFilter(threshold, match=MISPLACED).condition(commit)
        found = db.execute(
            f"SELECT number FROM match AS stored WHERE {condition.sql} ORDER BY number", condition.values
        )
        expected = [at for at, row in enumerate(rows) if row[4] is not None and row[5] and 0.1 <= row[4] < threshold]
        assert [at for (at,) in found] == expected


class TestBins:
    EDGES = (0.15, 0.3, 0.35, 0.6, 0.7, 0.85, 0.95)

    @staticmethod
    def bins(confidences: list[float]) -> list[int]:
        """Return the bin of each confidence, as the tables of an evaluation count them."""
        return [int(np.histogram([confidence], BIN_EDGES)[0].argmax()) for confidence in confidences]

    @pytest.mark.parametrize("confidence", EDGES)
    def test_an_edge_begins_its_bin(self, confidence: float) -> None:
        assert self.bins([confidence]) == [round(confidence * BINS)]

    def test_both_ends_are_in_a_bin(self) -> None:
        assert self.bins([0.0, 1.0]) == [0, BINS - 1]

    def test_sql_bins_alike(self, db: sqlite3.Connection) -> None:
        values = {value for edge in BIN_EDGES.tolist() for value in around(edge) if 0 <= value <= 1}
        values |= set(np.random.default_rng(0).random(500).tolist()) | {n / 100 for n in range(101)}
        confidences = sorted(values)
        db.execute("CREATE TABLE prediction (confidence REAL)")
        db.executemany("INSERT INTO prediction VALUES (?)", [(value,) for value in confidences])
        found = db.execute(f"SELECT {CONFIDENCE_BIN} FROM prediction ORDER BY confidence").fetchall()
        assert [number for (number,) in found] == self.bins(confidences)


CROWDS = (0, 1, 2, -1, 0.0, 0.5, True, False, None, "", "0", "1", "false", " ", "0.0", [], [0], {}, {"a": 1})


@pytest.mark.parametrize("value", CROWDS, ids=repr)
def test_crowds_in_sql_are_those_of_frames(db: sqlite3.Connection, value: object) -> None:
    db.execute("CREATE TABLE annotation (metadata TEXT)")
    db.execute("INSERT INTO annotation VALUES (?)", (json.dumps({"iscrowd": value}),))
    assert db.execute(f"SELECT {IS_CROWD} FROM annotation").fetchone() == (int(is_crowd(value)),)


@pytest.mark.parametrize("metadata", [None, "{}", '{"is_crowd": 1}'])
def test_other_metadata_is_no_crowd(db: sqlite3.Connection, metadata: str | None) -> None:
    db.execute("CREATE TABLE annotation (metadata TEXT)")
    db.execute("INSERT INTO annotation VALUES (?)", (metadata,))
    assert db.execute(f"SELECT {IS_CROWD} FROM annotation").fetchone() == (0,)


def test_crowds_of_an_evaluation_are_no_outcomes() -> None:
    commit, evaluation = (
        MatchSource("", run=None, evaluation=evaluation, datasets=[])  # type: ignore[arg-type]
        for evaluation in (None, object())
    )
    assert (commit.countable, evaluation.countable) == ("1", "NOT crowd")
