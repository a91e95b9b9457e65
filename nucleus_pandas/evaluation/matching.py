"""Matching of predictions with ground truth by IoU.

Within each item, all pairs that overlap and that the label rule lets pair are taken greedily, highest IoU
first, and each box is used at most once. Ties go to the higher confidence, then to the smaller prediction id,
then to the smaller ground-truth id, so that the order of the input never matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices, Strings
from nucleus_pandas.evaluation.pair_blocks import blocks, ranges
from nucleus_pandas.schema.boxes import edge_iou, edges

__all__ = ["LabelRule", "MatchBoxes", "Matches", "match", "match_pairs"]


PAIR_BUDGET = 1 << 21  # overlapping pairs held at a time: some 300 MB at the peak
_BLOCK = 1 << 14  # candidate pairs compared at a time: few, to stay in the processor's cache
_SLICE = 1 << 11  # sorted pairs between two looks at which boxes are still free


@dataclass(frozen=True, eq=False)
class MatchBoxes:
    """The boxes of one side, ground truth or predictions, one row per box.

    Attributes
    ----------
    item : numpy.ndarray of shape (n,), int64
        The item (image) of each box; only boxes of the same item match.
    label : numpy.ndarray of shape (n,), object or str
        Label of each box.
    box : numpy.ndarray of shape (n, 4), float64
        ``(x, y, width, height)`` in pixels, finite.
    annotation_id : numpy.ndarray of shape (n,), object or str
        Unique within an item; compared as strings, by code point.
    confidence : numpy.ndarray of shape (n,), float64, optional
        Confidence of each prediction, NaN where unknown; None for ground truth.
    """

    item: NDArray[np.int64]
    label: Strings
    box: Floats
    annotation_id: Strings
    confidence: Floats | None = None


@dataclass(frozen=True)
class LabelRule:
    """Which labels may pair, and which of those pairs are right.

    Attributes
    ----------
    class_agnostic : bool
        Whether any two labels may pair. Otherwise only those pairs may that are right, see :meth:`agrees`.
    allowed : frozenset of (str, str), optional
        The pairs of a ground-truth label and a prediction label that alone may match.

    Raises
    ------
    ValueError
        If `class_agnostic` is true although `allowed` is given.
    """

    class_agnostic: bool = True
    allowed: frozenset[tuple[str, str]] | None = None

    def __post_init__(self) -> None:
        if self.class_agnostic and self.allowed is not None:
            raise ValueError(
                "class_agnostic=True lets any two labels match, allowed_label_matches only the given pairs; "
                "leave one of the two out."
            )

    @classmethod
    def of(
        cls,
        class_agnostic: bool | None = None,
        allowed_label_matches: Iterable[tuple[str, str]] | None = None,
    ) -> LabelRule:
        """Create the rule that the two arguments of an evaluation stand for.

        Parameters
        ----------
        class_agnostic : bool, optional
            Whether any two labels may pair. By default they may, unless `allowed_label_matches` is given.
        allowed_label_matches : iterable of (str, str), optional
            Pairs of a ground-truth label and a prediction label. They alone may match, and are right; an
            empty iterable lets nothing match.

        Returns
        -------
        LabelRule
            The rule.

        Raises
        ------
        ValueError
            If `class_agnostic` is true although `allowed_label_matches` is given.

        Examples
        --------
        >>> LabelRule.of()
        LabelRule(class_agnostic=True, allowed=None)
        >>> LabelRule.of(allowed_label_matches=[("car", "vehicle")])
        LabelRule(class_agnostic=False, allowed=frozenset({('car', 'vehicle')}))
        """
        if allowed_label_matches is None:
            return cls(class_agnostic is None or class_agnostic)
        return cls(class_agnostic or False, frozenset((gt, other) for gt, other in allowed_label_matches))

    def agrees(self, ground_truth: Strings, prediction: Strings) -> Bools:
        """Return which pairs of labels are right, so that a match of them is a true positive.

        Parameters
        ----------
        ground_truth, prediction : numpy.ndarray of shape (n,), object or str
            The labels of each pair.

        Returns
        -------
        numpy.ndarray of shape (n,), bool
            Whether the labels are equal or, if the rule names the allowed pairs, whether they are allowed.

        Examples
        --------
        >>> rule = LabelRule.of(allowed_label_matches=[("car", "vehicle")])
        >>> rule.agrees(np.array(["car", "car"]), np.array(["vehicle", "car"])).tolist()
        [True, False]
        """
        if self.allowed is None:
            return np.asarray(ground_truth == prediction, dtype=np.bool_)
        pairs = zip(ground_truth.tolist(), prediction.tolist(), strict=True)
        return np.fromiter((pair in self.allowed for pair in pairs), np.bool_, len(ground_truth))


@dataclass(frozen=True, eq=False)
class Matches:
    """Matched pairs, one row per pair, sorted by prediction.

    Attributes
    ----------
    ground_truth, prediction : numpy.ndarray of shape (m,), intp
        Rows of the matched boxes in the input.
    iou : numpy.ndarray of shape (m,), float64
        Their IoU, above 0.
    """

    ground_truth: Indices
    prediction: Indices
    iou: Floats


def match(
    ground_truth: MatchBoxes, predictions: MatchBoxes, rule: LabelRule, *, pair_budget: int = PAIR_BUDGET
) -> Matches:
    """Match predictions with ground truth, item by item.

    Parameters
    ----------
    ground_truth, predictions : MatchBoxes
        The two sides, in any order.
    rule : LabelRule
        Which labels may pair.
    pair_budget : int, optional
        How many overlapping pairs to hold at a time, about. Bounds the memory, never changes the result.

    Returns
    -------
    Matches
        Indices into the two sides. No box occurs twice, and boxes without area never occur.

    Raises
    ------
    ValueError
        If `pair_budget` is below 1.

    Notes
    -----
    An item with more overlapping pairs than the budget is matched in passes. Each pass finds the best pairs,
    as many as the budget allows, and matches them; as these come first in the greedy order, the pairs of the
    boxes left over can wait for the next pass.

    Examples
    --------
    >>> def boxes(*xs, confidence=None):
    ...     n = len(xs)
    ...     box = np.array([[x, 0, 10, 10] for x in xs], dtype=float)
    ...     return MatchBoxes(np.zeros(n, int), np.full(n, "car"), box, np.arange(n).astype(str), confidence)
    >>> found = match(boxes(0, 4), boxes(2, 4, 90, confidence=np.array([0.9, 0.8, 0.7])), LabelRule())
    >>> found.prediction.tolist(), found.ground_truth.tolist(), found.iou.round(3).tolist()
    ([0, 1], [0, 1], [0.667, 1.0])
    """
    if pair_budget < 1:
        raise ValueError(f"pair_budget must be at least 1, got {pair_budget}.")
    sides, allowed = _sorted_sides(ground_truth, predictions, rule)
    found: list[tuple[Indices, Indices, Floats]] = [(sides[0].row[:0], sides[1].row[:0], np.empty(0))]
    for ground_truths, predicted in _parts(*sides, pair_budget):
        complete = False
        while not complete:
            g, p, iou, complete = _best_pairs(ground_truths, predicted, allowed, pair_budget)
            chosen = _greedy(g, p, iou, len(ground_truths.row), len(predicted.row))
            g, p = g[chosen], p[chosen]
            found.append((ground_truths.row[g], predicted.row[p], iou[chosen]))
            if not complete:
                ground_truths, predicted = ground_truths.without(g), predicted.without(p)
    g, p, iou = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(p)
    return Matches(g[order], p[order], iou[order])


def match_pairs(
    ground_truth: MatchBoxes, predictions: MatchBoxes, rule: LabelRule, pairs: tuple[Indices, Indices, Floats]
) -> Matches:
    """Match predictions with ground truth whose overlaps are known, as those of masks.

    Parameters
    ----------
    ground_truth, predictions : MatchBoxes
        The two sides, in any order; their boxes do not matter.
    rule : LabelRule
        Which labels may pair.
    pairs : (numpy.ndarray of intp, numpy.ndarray of intp, numpy.ndarray of float64)
        Rows of the two sides of all pairs of the same item whose IoU is above 0, and their IoU.

    Returns
    -------
    Matches
        As `match` gives it.

    Examples
    --------
    >>> one = MatchBoxes(np.zeros(1, int), np.array(["car"]), np.zeros((1, 4)), np.array(["a"]))
    >>> match_pairs(one, one, LabelRule(), (np.array([0]), np.array([0]), np.array([0.7]))).iou.tolist()
    [0.7]
    """
    g, p, iou = pairs
    if not rule.class_agnostic:
        allowed = rule.agrees(ground_truth.label[g], predictions.label[p])
        g, p, iou = g[allowed], p[allowed], iou[allowed]
    (ground_truths, predicted), _ = _sorted_sides(ground_truth, predictions, LabelRule())
    place_g, place_p = np.argsort(ground_truths.row), np.argsort(predicted.row)
    order = np.lexsort((place_g[g], place_p[p]))
    g, p, iou = g[order], p[order], iou[order]
    chosen = _greedy(place_g[g], place_p[p], iou, len(place_g), len(place_p))
    chosen = chosen[np.argsort(p[chosen])]
    return Matches(g[chosen], p[chosen], iou[chosen])


@dataclass(frozen=True, eq=False)
class _RankedBoxes:
    """One side, sorted by group, then by confidence and id: positions are ranks within the group."""

    row: Indices  # in the input
    group: NDArray[np.int64]  # only boxes of the same group may pair
    edges: Floats  # (4, n)
    code: NDArray[np.int64]  # of the label, if only certain labels may pair

    def take(self, which: slice | Bools) -> _RankedBoxes:
        return _RankedBoxes(self.row[which], self.group[which], self.edges[:, which], self.code[which])

    def without(self, used: Indices) -> _RankedBoxes:
        free = np.ones(len(self.row), dtype=np.bool_)
        free[used] = False
        return self.take(free)


def _sorted_sides(
    ground_truth: MatchBoxes, predictions: MatchBoxes, rule: LabelRule
) -> tuple[tuple[_RankedBoxes, _RankedBoxes], NDArray[np.int64] | None]:
    """Sort both sides; with them come the allowed ``truth code * 2**32 + prediction code``, if limited."""
    boxes, split = (ground_truth, predictions), [len(ground_truth.item)]
    group = np.concatenate([side.item for side in boxes])
    code, allowed = np.zeros_like(group), None
    if not rule.class_agnostic:
        labels = [label for side in boxes for label in side.label.tolist()]
        codes = {label: number for number, label in enumerate(set(labels))}
        code = np.fromiter(map(codes.__getitem__, labels), np.int64, len(labels))
        if rule.allowed is None:
            group = np.unique(group, return_inverse=True)[1] * len(codes) + code
        else:
            known = [(codes[a], codes[b]) for a, b in rule.allowed if a in codes and b in codes]
            allowed = np.array([(a << 32) + b for a, b in known], dtype=np.int64)
    sides = []
    for side, groups, label_codes in zip(boxes, np.split(group, split), np.split(code, split), strict=True):
        row = _by_rank(groups, side.confidence, side.annotation_id)
        sides.append(_RankedBoxes(row, groups[row], edges(side.box)[:, row], label_codes[row]))
    return (sides[0], sides[1]), allowed


def _by_rank(group: NDArray[np.int64], confidence: Floats | None, annotation_id: Strings) -> Indices:
    """Order by group, then highest confidence (NaN last), then smallest id."""
    lowest_first = np.zeros(len(group)) if confidence is None else -confidence
    order = np.argsort(lowest_first)
    order = order[np.argsort(group[order], kind="stable")]
    confidences, groups = lowest_first[order], group[order]
    same = (confidences[1:] == confidences[:-1]) | np.isnan(confidences[:-1])

    def rank(rows: Indices) -> Indices:
        names = annotation_id[rows].tolist()
        ranks = np.empty(len(rows), dtype=np.intp)
        ranks[sorted(range(len(rows)), key=names.__getitem__)] = np.arange(len(rows))
        return ranks

    return _break_ties(order, same & (groups[1:] == groups[:-1]), rank)


def _break_ties(order: Indices, tied: Bools, rank: Callable[[Indices], Indices]) -> Indices:
    """Reorder each run of ties by `rank`, which is asked for the tied entries only.

    Strings are slow to sort, and so are floats when the sort has to be stable; ties are few.
    """
    starts = np.concatenate(([True], ~tied))[: len(order)]
    member = ~starts
    member[:-1] |= tied
    slots = np.flatnonzero(member)
    entries = order[slots]
    ranks = rank(entries)
    run = np.cumsum(starts)[slots]
    order[slots] = entries[np.argsort(run * (ranks.max(initial=0) + 1) + ranks)]
    return order


def _parts(
    ground_truths: _RankedBoxes, predicted: _RankedBoxes, budget: int
) -> Iterator[tuple[_RankedBoxes, _RankedBoxes]]:
    """Split between groups, so that a part has few enough pairs or a single group."""
    group = predicted.group
    start, stop = ranges(ground_truths.group, predicted.group)
    pairs = np.concatenate(([0], np.cumsum(stop - start)))
    low = 0
    while low < len(group):
        high = int(np.searchsorted(pairs, pairs[low] + budget, side="right")) - 1
        if high < len(group):
            high = int(np.searchsorted(group, group[high], side="left"))
            high = high if high > low else int(np.searchsorted(group, group[low], side="right"))
        yield ground_truths.take(slice(start[low], stop[high - 1])), predicted.take(slice(low, high))
        low = high


def _best_pairs(
    ground_truths: _RankedBoxes, predicted: _RankedBoxes, allowed: NDArray[np.int64] | None, budget: int
) -> tuple[Indices, Indices, Floats, bool]:
    """Find the best pairs that may match, and whether they are all of them."""
    none = ground_truths.row[:0]
    held: list[tuple[Indices, Indices, Floats]] = [(none, none, np.empty(0))]
    total, floor, complete = 0, 0.0, True
    (left, _, right, _), (p_left, _, p_right, _) = ground_truths.edges, predicted.edges
    for g, p in blocks(ground_truths.group, predicted.group, min(budget, _BLOCK)):
        meet = (left[g] < p_right[p]) & (p_left[p] < right[g])
        if allowed is not None:
            meet &= np.isin((ground_truths.code[g] << 32) + predicted.code[p], allowed)
        g, p = g[meet], p[meet]
        iou = edge_iou([edge[g] for edge in ground_truths.edges], [edge[p] for edge in predicted.edges])
        above = iou > floor
        held.append((g[above], p[above], iou[above]))
        total += len(held[-1][2])
        if total > 2 * budget:
            g, p, iou = (np.concatenate(column) for column in zip(*held, strict=True))
            floor = float(np.partition(iou, total - budget)[total - budget])
            # pairs come by rank: of those at the floor the first are the best, and no later one beats them
            keep = iou > floor
            keep[np.flatnonzero(iou == floor)[: budget - np.count_nonzero(keep)]] = True
            held, total, complete = [(g[keep], p[keep], iou[keep])], budget, False
            if floor >= 1.0:
                break
    g, p, iou = (np.concatenate(column) for column in zip(*held, strict=True))
    return g, p, iou, complete


def _greedy(g: Indices, p: Indices, iou: Floats, ground_truths: int, predicted: int) -> Indices:
    """Choose pairs by IoU, in their given order where equal, so that no box is in two."""
    order = np.argsort(-iou)
    best = iou[order]
    order = _break_ties(order, best[1:] == best[:-1], lambda pairs: pairs)
    free_g, free_p = np.ones(ground_truths, dtype=np.bool_), np.ones(predicted, dtype=np.bool_)
    first_g, first_p = np.empty(ground_truths, dtype=np.intp), np.empty(predicted, dtype=np.intp)
    chosen = [order[:0]]
    for low in range(0, len(order), _SLICE):
        pairs = order[low : low + _SLICE]
        pairs = pairs[free_g[g[pairs]] & free_p[p[pairs]]]
        while len(pairs):
            # a pair that comes first for both of its boxes is one that the greedy order takes
            ground_truth, prediction, rank = g[pairs], p[pairs], np.arange(len(pairs))
            first_g[ground_truth[::-1]] = rank[::-1]
            first_p[prediction[::-1]] = rank[::-1]
            taken = (first_g[ground_truth] == rank) & (first_p[prediction] == rank)
            chosen.append(pairs[taken])
            free_g[ground_truth[taken]] = free_p[prediction[taken]] = False
            pairs = pairs[free_g[ground_truth] & free_p[prediction]]
    return np.concatenate(chosen)
