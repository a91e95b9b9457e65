"""The metrics of a run for every IoU threshold at once, and the differences of two runs."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from nucleus_pandas.errors import MissingExtraError
from nucleus_pandas.evaluation.match_rows import MatchFlags, classify
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.evaluation.tables import BINS
from nucleus_pandas.evaluation.tide import ERRORS
from nucleus_pandas.server.evaluation import commit, compute
from nucleus_pandas.server.evaluation.arrays import to_inputs
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS, EngineMetrics, compute_metrics, tide_errors
from nucleus_pandas.server.evaluation.scope import read_boxes
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import evaluations, matches
from nucleus_pandas.server.store.evaluations import EvaluationSource
from nucleus_pandas.server.store.matches import MISPLACED, MatchSource, OutcomeFilter
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.scopes import Scope
from nucleus_pandas.server.web.result_cache import Computation, ResultCache

_VERSION = 3  # raised when the meaning of what is cached changes


class PairGroup(NamedTuple):
    """Rows of a match with equal labels and an IoU between the same thresholds; a missing side has no label.

    `level` is the number of thresholds that the IoU reaches: a pair counts at the threshold of a number if its level
    is above the number. `is_near` says whether the IoU is above that of background.
    """

    truth: str | None
    predicted: str | None
    agrees: bool
    is_near: bool
    level: int
    size: int


class ScoreGroup(NamedTuple):
    """Predictions in one bin of confidence that are right at as many thresholds."""

    bin: int
    level: int
    size: int


class RunMetrics(Struct, kw_only=True):
    """What is cached of a match.

    Attributes
    ----------
    pairs, scores : list
        Counts.
    measures : EngineMetrics or None
        The results of the engine; None if it failed, for the `reason`.
    tide : dict of str to int
        Predictions and ground truths by TIDE category.
    stale : bool
        Whether boxes have changed since the match.
    """

    pairs: list[PairGroup]
    scores: list[ScoreGroup]
    measures: EngineMetrics | None
    reason: str = ""
    engine: str = ""
    tide: dict[str, int]
    stale: bool


def _flags_by_level(threshold: int) -> tuple[list[MatchFlags[bool]], list[MatchFlags[bool]]]:
    """Return the outcomes of pairs at the threshold of a number, by level: of those that do not agree, and that do.

    Levels stand for IoUs here: an IoU reaches a threshold exactly if its level is at least the threshold's number plus
    one. A row with a missing side has level 0, as a pair that reaches no threshold.
    """
    levels = range(len(THRESHOLDS) + 1)
    disagreeing, agreeing = (
        [classify(level, True, True, agrees, threshold + 1) for level in levels] for agrees in (False, True)
    )
    return disagreeing, agreeing


def metrics_computation(db: sqlite3.Connection, source: MatchSource) -> Computation[RunMetrics]:
    """Return the computation of the metrics of a match: the key and the revision of its result."""
    is_small = matches.count_arrivals(db, source) <= compute.SMALL
    if source.evaluation is not None:
        revisions = [evaluations.revisions(db, evaluated) for evaluated in evaluations.sources(db, source.evaluation)]
        return Computation(source.evaluation.public_id, [_VERSION, revisions], RunMetrics, is_small)
    revisions = [evaluations.revisions(db, evaluated) for evaluated in _sources(source)]
    return Computation(source.run.public_id, [_VERSION, source.run.committed_at, revisions], RunMetrics, is_small)


def _sources(source: MatchSource) -> list[EvaluationSource]:
    return [EvaluationSource(dataset, "", source.run.id, source.run.tag, 0, 0) for dataset in source.datasets]


def metrics_of(
    nucleus: EmbeddedNucleus, cache: ResultCache, source: MatchSource, computation: Computation[RunMetrics]
) -> RunMetrics:
    """Return the metrics of a match, or raise Pending."""
    return cache.get(computation, lambda: _compute(nucleus, source))


def _compute(nucleus: EmbeddedNucleus, source: MatchSource) -> RunMetrics:
    """Count the stored match, and read the engine's results of an evaluation, or compute those of a commit.

    One scan of the match counts rows by IoU level rather than by outcome, so the counts serve every threshold.
    """
    evaluation = source.evaluation
    stale = evaluation is not None and compute.is_stale(nucleus, evaluation)
    with nucleus.database.read() as db:
        pairs = [
            PairGroup(label, predicted, bool(agrees), bool(is_near), level, count)
            for label, predicted, agrees, is_near, level, count in matches.count_pairs(db, source, THRESHOLDS)
        ]
        scores = list(map(ScoreGroup._make, matches.count_scores(db, source, THRESHOLDS)))
        if evaluation is not None:
            parameters = evaluation.parameters or {}
            return RunMetrics(
                pairs=pairs,
                scores=scores,
                measures=msgspec.json.decode(evaluations.results(db, evaluation), type=EngineMetrics),
                engine=f"{parameters.get('engine', '')} {parameters.get('engine_version', '')}".strip(),
                tide=matches.count_tide_errors(db, evaluation),
                stale=stale,
            )
        stale = commit.is_stale(db, source.run)
        scope = Scope(db, _sources(source), None)
        ground_truth, _ = read_boxes(scope, "groundTruth")
        predictions, _ = read_boxes(scope, "prediction")
        reference_ids = scope.reference_ids()
    rule = _rule_of(source.run)
    inputs = to_inputs(ground_truth, predictions, reference_ids, lambda label: label)
    try:
        measures, engine, version = compute_metrics(inputs, rule)
    except MissingExtraError as error:
        return RunMetrics(pairs=pairs, scores=scores, measures=None, reason=str(error), tide={}, stale=stale)
    errors, is_missed = tide_errors(inputs, rule)
    tide = Counter(name for name in errors.tolist() if name is not None)
    return RunMetrics(
        pairs=pairs,
        scores=scores,
        measures=measures,
        engine=f"{engine} {version}",
        tide={**tide, "missed": int(is_missed.sum())},
        stale=stale,
    )


def _rule_of(run: Run) -> LabelRule:
    parameters = run.parameters or {}
    pairs = parameters.get("allowed_label_matches")
    allowed = None if pairs is None else frozenset((label, predicted) for label, predicted in pairs)
    return LabelRule(bool(parameters.get("class_agnostic", True)), allowed)


class LabelMetrics(NamedTuple):
    """The metrics of a label at a threshold; `misplaced` are a part of `fn`."""

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
        """True positives per prediction."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """True positives per ground truth."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both."""
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn) if self.tp + self.fp + self.fn else None


def per_class(metrics: RunMetrics, threshold: int) -> list[LabelMetrics]:
    """Count by label at the threshold of a number, the most frequent label first."""
    ground_truths, predictions, tp, fp, misplaced = (defaultdict[str, int](int) for _ in range(5))
    by_level = _flags_by_level(threshold)
    for label, predicted, agrees, is_near, level, size in metrics.pairs:
        is_close, is_true, _, _ = by_level[agrees][level]
        if label is not None:
            ground_truths[label] += size
            tp[label] += size if is_true else 0
            misplaced[label] += size if agrees and is_near and not is_close else 0
        if predicted is not None:
            predictions[predicted] += size
            fp[predicted] += 0 if is_true else size
    ap = _average_precision(metrics)
    rows = [
        LabelMetrics(
            label,
            ground_truths[label],
            predictions[label],
            tp[label],
            fp[label],
            ground_truths[label] - tp[label],
            misplaced[label],
            *ap.get(label, (None, None, None)),
        )
        for label in {**ground_truths, **predictions}
    ]
    return sorted(rows, key=lambda row: (-row.truths, -row.predictions, row.label))


def _average_precision(metrics: RunMetrics) -> dict[str, tuple[float | None, float | None, float | None]]:
    """Return AP over all thresholds, at 0.5 and at 0.75 of each label that has ground truth."""
    if metrics.measures is None:
        return {}
    by_label = {}
    for code, label in enumerate(metrics.measures.classes):
        values = [ap[code] for ap in metrics.measures.ap]
        numbers = [value for value in values if value is not None]
        mean = math.fsum(numbers) / len(numbers) if len(numbers) == len(values) else None
        by_label[label] = (mean, values[0], values[5])
    return by_label


def total(rows: Iterable[LabelMetrics]) -> LabelMetrics:
    """Add the counts of all labels."""
    labels = list(rows)
    counts = {name: sum(getattr(row, name) for row in labels) for name in LabelMetrics._fields[1:7]}
    return LabelMetrics("", **counts, ap=None, ap50=None, ap75=None)


def confusion(metrics: RunMetrics, threshold: int) -> Counter[tuple[str | None, str | None]]:
    """Count pairs by both labels; None stands for a missing side."""
    cells: Counter[tuple[str | None, str | None]] = Counter()
    by_level = _flags_by_level(threshold)
    for label, predicted, agrees, _, level, size in metrics.pairs:
        if by_level[agrees][level].close:
            cells[label, predicted] += size
            continue
        if label is not None:
            cells[label, None] += size
        if predicted is not None:
            cells[None, predicted] += size
    return cells


def count_outcomes(metrics: RunMetrics, outcomes: OutcomeFilter, threshold: int) -> int | None:
    """Count the outcomes that pass a filter; None where the cached counts do not suffice."""
    if outcomes.confidence != (None, None) or outcomes.iou != (None, None):
        return None
    count = 0
    by_level = _flags_by_level(threshold)
    for pair in metrics.pairs:
        flags = by_level[pair.agrees][pair.level]
        passes = {
            None: True,
            "TP": flags.true_positive,
            "FP": pair.predicted is not None and flags.false_positive,
            "FN": pair.truth is not None and flags.false_negative,
            MISPLACED: pair.agrees and pair.is_near and not flags.close,
        }[outcomes.match]
        passes &= outcomes.truth is None or pair.truth == outcomes.truth
        passes &= outcomes.predicted is None or pair.predicted == outcomes.predicted
        if outcomes.alone:
            passes &= not flags.close
        elif outcomes.truth is not None and outcomes.predicted is not None:
            passes &= flags.close
        count += pair.size if passes else 0
    return count


def histogram(metrics: RunMetrics, threshold: int) -> list[tuple[int, int]]:
    """Count true and false positives in each bin of confidence."""
    bins = [[0, 0] for _ in range(BINS)]
    _, agreeing = _flags_by_level(threshold)
    for score in metrics.scores:
        bins[score.bin][0 if agreeing[score.level].true_positive else 1] += score.size
    return [(true, false) for true, false in bins]


def errors(metrics: RunMetrics) -> list[tuple[str, int]]:
    """Return TIDE's counts in its order."""
    return [(name, metrics.tide.get(name, 0)) for name in ERRORS] if metrics.tide else []


class LabelDifference(NamedTuple):
    """The numbers of ground truths of a label that only the first and only the second run finds."""

    label: str
    first: int
    second: int


def differences_computation(
    db: sqlite3.Connection, first: MatchSource, second: MatchSource, threshold: int
) -> Computation[list[LabelDifference]]:
    """Return the computation of the differences of two runs."""
    sides = [metrics_computation(db, source) for source in (first, second)]
    return Computation(
        "__".join([*(side.subject for side in sides), str(threshold)]),
        [[side.inputs for side in sides], threshold],
        list[LabelDifference],
        all(side.is_small for side in sides),
    )


def differences_of(
    nucleus: EmbeddedNucleus,
    cache: ResultCache,
    first: MatchSource,
    second: MatchSource,
    computation: Computation[list[LabelDifference]],
) -> list[LabelDifference]:
    """Count by label the ground truths that only one of two runs finds, or raise Pending."""
    threshold = computation.inputs[1]  # type: ignore[index]

    def compute_differences() -> list[LabelDifference]:
        with nucleus.database.read() as db:
            rows = matches.count_differences(db, first, second, THRESHOLDS[threshold])
        return list(map(LabelDifference._make, rows))

    return cache.get(computation, compute_differences)
