"""The numbers of a run, for every IoU threshold at once."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from nucleus_pandas.errors import MissingExtraError
from nucleus_pandas.evaluation.counts import BINS
from nucleus_pandas.evaluation.tide import BACKGROUND_IOU, ERRORS
from nucleus_pandas.server.evaluation import commit, compute
from nucleus_pandas.server.evaluation import metrics as measures
from nucleus_pandas.server.evaluation.arrays import sides_of
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS, Measures
from nucleus_pandas.server.evaluation.scope import Scope
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import evaluations as stored
from nucleus_pandas.server.store.evaluations import Request
from nucleus_pandas.server.web.match_source import Source
from nucleus_pandas.server.web.result_cache import Memory, Question

_FORM = 2  # grows when what is kept changes its meaning


class Pairs(NamedTuple):
    """Rows of a match that have much in common; a side that is missing has no label.

    `level` is the number of thresholds that their IoU reaches, `near` whether it is that of a place at least.
    """

    truth: str | None
    predicted: str | None
    agrees: bool
    near: bool
    level: int
    many: int


class Scores(NamedTuple):
    """Predictions whose confidence lies in one bin."""

    bin: int
    right_level: int
    many: int


class Facts(Struct, kw_only=True):
    """What is kept of a match.

    Attributes
    ----------
    pairs, scores : list
        Counts.
    measures : Measures or None
        What the engine computed; None where it could not, and `reason` says why.
    tide : dict of str to int
        Predictions and ground truths by the category of their error.
    stale : bool
        Whether boxes have changed since the match.
    """

    pairs: list[Pairs]
    scores: list[Scores]
    measures: Measures | None
    reason: str
    engine: str
    tide: dict[str, int]
    stale: bool


def question(db: sqlite3.Connection, source: Source) -> Question[Facts]:
    """Say what the facts of a source depend on."""
    if source.evaluation is not None:
        now = [stored.revisions(db, one) for one in stored.sources(db, source.evaluation)]
        (many,) = db.execute("SELECT arrivals FROM run WHERE id = ?", (source.run.id,)).fetchone()
        return Question(source.evaluation.public_id, [_FORM, now], Facts, many <= compute.SMALL)
    now = [stored.revisions(db, one) for one in _sources(db, source)]
    arrivals = [now[0][1] if now else 0]
    for dataset in source.datasets:
        arrivals += db.execute("SELECT arrivals FROM dataset WHERE id = ?", (dataset,)).fetchone()
    small = sum(arrivals) <= compute.SMALL
    return Question(source.run.public_id, [_FORM, source.run.committed_at, now], Facts, small)


def _sources(db: sqlite3.Connection, source: Source) -> list[stored.Source]:
    return [stored.Source(dataset, "", source.run.id, source.run.tag, 0, 0) for dataset in source.datasets]


def facts(nucleus: EmbeddedNucleus, memory: Memory, source: Source, asked: Question[Facts]) -> Facts:
    """Return the facts of a source, or raise Pending."""
    return memory.answer(asked, lambda: _compute(nucleus, source))


def _compute(nucleus: EmbeddedNucleus, source: Source) -> Facts:
    stale = False if source.evaluation is None else compute.is_stale(nucleus, source.evaluation)
    with nucleus.database.read() as db:
        pairs, scores = _counts(db, source)
        if source.evaluation is not None:
            found = msgspec.json.decode(stored.results(db, source.evaluation), type=Measures)
            told = source.evaluation.parameters or {}
            engine = f"{told.get('engine', '')} {told.get('engine_version', '')}".strip()
            return Facts(
                pairs=pairs,
                scores=scores,
                measures=found,
                reason="",
                engine=engine,
                tide=_stored_tide(db, source),
                stale=stale,
            )
        stale = commit.is_stale(db, source.run)
        scope = Scope(db, _sources(db, source), None)
        truth, predictions = scope.rows("groundTruth"), scope.rows("prediction")
        reference_ids = scope.reference_ids()
    request = _request(source)
    sides = sides_of(truth, predictions, reference_ids, lambda label: label)
    try:
        measured, engine, version = measures.measure(sides, request.rule)
    except MissingExtraError as error:
        return Facts(pairs=pairs, scores=scores, measures=None, reason=str(error), engine="", tide={}, stale=stale)
    told_of = measures.told_by_tide(sides, request.rule)
    tide = Counter(name for name in told_of.prediction.tolist() if name is not None)
    return Facts(
        pairs=pairs,
        scores=scores,
        measures=measured,
        reason="",
        engine=f"{engine} {version}",
        tide={**tide, "missed": int(told_of.missed.sum())},
        stale=stale,
    )


def _request(source: Source) -> Request:
    rule = source.run.parameters or {}
    pairs = rule.get("allowed_label_matches")
    return Request(
        class_agnostic=bool(rule.get("class_agnostic", True)),
        allowed_label_matches=None if pairs is None else [(truth, predicted) for truth, predicted in pairs],
    )


def _counts(db: sqlite3.Connection, source: Source) -> tuple[list[Pairs], list[Scores]]:
    level = " + ".join(f"(iou >= {threshold!r})" for threshold in THRESHOLDS)
    level = f"coalesce({level}, 0)"
    where = f"FROM {source.table} WHERE {source.owner} = ? AND {source.counted}"
    pairs = db.execute(
        f"SELECT CASE WHEN annotation_id IS NOT NULL THEN {source.truth} END, CASE WHEN prediction_id IS NOT NULL THEN"
        f" {source.predicted} END, agrees, coalesce(iou >= {BACKGROUND_IOU}, 0), {level}, count(*) {where}"
        " GROUP BY 1, 2, 3, 4, 5",
        (source.owner_id,),
    ).fetchall()
    scores = db.execute(
        f"SELECT min(CAST(confidence * {BINS} AS INTEGER), {BINS - 1}), CASE WHEN agrees THEN {level} ELSE 0 END,"
        f" count(*) {where} AND confidence IS NOT NULL GROUP BY 1, 2",
        (source.owner_id,),
    ).fetchall()
    return [Pairs(a, b, bool(agrees), bool(near), *rest) for a, b, agrees, near, *rest in pairs], list(
        map(Scores._make, scores)
    )


def _stored_tide(db: sqlite3.Connection, source: Source) -> dict[str, int]:
    rows = db.execute(
        "SELECT tide, count(*) FROM evaluation_match WHERE evaluation = ? AND tide IS NOT NULL GROUP BY 1",
        (source.owner_id,),
    )
    found: dict[str, int] = dict(rows.fetchall())
    (missed,) = db.execute(
        "SELECT coalesce(sum(missed), 0) FROM evaluation_match WHERE evaluation = ? AND NOT crowd", (source.owner_id,)
    ).fetchone()
    return {**found, "missed": missed}


class Row(NamedTuple):
    """The numbers of a label at a threshold; `misplaced` are a part of `fn`."""

    label: str
    truths: int
    predictions: int
    tp: int
    fp: int
    fn: int
    misplaced: int
    ap: float | None
    ap50: float | None
    ap75: float | None

    @property
    def precision(self) -> float | None:
        """Right predictions among all."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """Ground truths that were found among all."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both."""
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn) if self.tp + self.fp + self.fn else None


def per_class(found: Facts, threshold: int) -> list[Row]:
    """Count by label at the threshold of a number, the most frequent label first."""
    truths, predictions, right, wrong, misplaced = (defaultdict[str, int](int) for _ in range(5))
    for truth, predicted, agrees, near, level, many in found.pairs:
        is_right = agrees and level > threshold
        if truth is not None:
            truths[truth] += many
            right[truth] += many if is_right else 0
            misplaced[truth] += many if agrees and near and not is_right else 0
        if predicted is not None:
            predictions[predicted] += many
            wrong[predicted] += 0 if is_right else many
    ap = _average_precision(found)
    rows = [
        Row(
            label,
            truths[label],
            predictions[label],
            right[label],
            wrong[label],
            truths[label] - right[label],
            misplaced[label],
            *ap.get(label, (None, None, None)),
        )
        for label in {**truths, **predictions}
    ]
    return sorted(rows, key=lambda row: (-row.truths, -row.predictions, row.label))


def _average_precision(found: Facts) -> dict[str, tuple[float | None, float | None, float | None]]:
    """Return AP over all thresholds, at 0.5 and at 0.75 of each label that has ground truth."""
    if found.measures is None:
        return {}
    numbers = {}
    for at, label in enumerate(found.measures.classes):
        values = [of_threshold[at] for of_threshold in found.measures.ap]
        known = [value for value in values if value is not None]
        mean = math.fsum(known) / len(known) if len(known) == len(values) else None
        numbers[label] = (mean, values[0], values[5])
    return numbers


def total(rows: Iterable[Row]) -> Row:
    """Add the counts of all labels."""
    every = list(rows)
    truths, predictions, tp, fp, fn, misplaced = (sum(getattr(row, name) for row in every) for name in Row._fields[1:7])
    return Row("", truths, predictions, tp, fp, fn, misplaced, None, None, None)


def confusion(found: Facts, threshold: int) -> Counter[tuple[str | None, str | None]]:
    """Count pairs by both labels; None stands for the side that is missing."""
    cells: Counter[tuple[str | None, str | None]] = Counter()
    for pair in found.pairs:
        if pair.level > threshold:
            cells[pair.truth, pair.predicted] += pair.many
            continue
        if pair.truth is not None:
            cells[pair.truth, None] += pair.many
        if pair.predicted is not None:
            cells[None, pair.predicted] += pair.many
    return cells


def histogram(found: Facts, threshold: int) -> list[tuple[int, int]]:
    """Count true and false positives in each bin of confidence."""
    bins = [[0, 0] for _ in range(BINS)]
    for score in found.scores:
        bins[score.bin][0 if score.right_level > threshold else 1] += score.many
    return [(right, wrong) for right, wrong in bins]


def errors(found: Facts) -> list[tuple[str, int]]:
    """Return TIDE's counts in its order."""
    return [(name, found.tide.get(name, 0)) for name in ERRORS] if found.tide else []
