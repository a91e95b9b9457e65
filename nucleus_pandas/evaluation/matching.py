"""Matching of predictions with ground truth by IoU.

Within each item, all pairs that overlap and that the label rule lets pair are taken greedily, highest IoU
first, and each box is used at most once. Of pairs of equal IoU, those whose labels agree come first, then those of
higher confidence, then those of the smaller prediction id, then those of the smaller ground-truth id, so that the
order of the input never matters. `_priority` has the first two of these; pairs come in the order of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices, Integers, Strings
from nucleus_pandas.schema.boxes import edge_iou, edges

PAIR_BUDGET = 1 << 21  # overlapping pairs held at a time: some 300 MB at the peak
_BLOCK = 1 << 14  # candidate pairs compared at a time: few, to stay in the processor's cache
_SLICE = 1 << 11  # sorted pairs from which those of used boxes are dropped at a time

Groups: TypeAlias = NDArray[np.integer]
"""What boxes have to share to be paired: the number of an image, or of an image and a label."""


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

    item: Integers
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


class Pairs(NamedTuple):
    """Pairs of a ground truth and a prediction that overlap, one row each.

    Attributes
    ----------
    ground_truth, prediction : numpy.ndarray of shape (m,), intp
        Rows of the two sides.
    iou : numpy.ndarray of shape (m,), float64
        Above 0. With a crowd: the share of the prediction's area that lies in it.
    """

    ground_truth: Indices
    prediction: Indices
    iou: Floats

    @classmethod
    def concatenated(cls, blocks: Iterable[Pairs]) -> Pairs:
        """Return the pairs of all blocks; without one there is no pair."""
        rows = np.empty(0, dtype=np.intp)
        none = cls(rows, rows, np.empty(0))
        return cls(*(np.concatenate(column) for column in zip(none, *blocks, strict=True)))

    def take(self, rows: Indices | Bools) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.ground_truth[rows], self.prediction[rows], self.iou[rows])


def match(
    ground_truth: MatchBoxes, predictions: MatchBoxes, rule: LabelRule, *, pair_budget: int = PAIR_BUDGET
) -> Pairs:
    """Match predictions with ground truth, item by item.

    Parameters
    ----------
    ground_truth, predictions : MatchBoxes
        The two sides, in any order.
    rule : LabelRule
        Which labels may pair.
    pair_budget : int, optional
        Approximate number of overlapping pairs held at a time. Bounds the memory, never changes the result.

    Returns
    -------
    Pairs
        Sorted by prediction. No box occurs twice, and boxes without area never occur.

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
    >>> matches = match(boxes(0, 4), boxes(2, 4, 90, confidence=np.array([0.9, 0.8, 0.7])), LabelRule())
    >>> matches.prediction.tolist(), matches.ground_truth.tolist(), matches.iou.round(3).tolist()
    ([0, 1], [0, 1], [0.667, 1.0])
    """
    if pair_budget < 1:
        raise ValueError(f"pair_budget must be at least 1, got {pair_budget}.")
    gt, predicted, allowed = _ranked(ground_truth, predictions, rule)
    matched = []
    for gt_left, predicted_left in _parts(gt, predicted, pair_budget):
        complete = False
        while not complete:
            g, p, iou, priority, complete = _best_pairs(gt_left, predicted_left, allowed, pair_budget)
            taken = _greedy(g, p, priority, len(gt_left.row), len(predicted_left.row))
            g, p = g[taken], p[taken]
            matched.append(Pairs(gt_left.row[g], predicted_left.row[p], iou[taken]))
            if not complete:
                gt_left, predicted_left = gt_left.without(g), predicted_left.without(p)
    pairs = Pairs.concatenated(matched)
    return pairs.take(np.argsort(pairs.prediction))


def match_pairs(ground_truth: MatchBoxes, predictions: MatchBoxes, rule: LabelRule, pairs: Pairs) -> Pairs:
    """Match predictions with ground truth whose overlaps are known, as those of masks.

    Parameters
    ----------
    ground_truth, predictions : MatchBoxes
        The two sides, in any order; their boxes do not matter.
    rule : LabelRule
        Which labels may pair.
    pairs : Pairs
        All pairs of the same item that overlap.

    Returns
    -------
    Pairs
        As `match` returns them.

    Examples
    --------
    >>> box = MatchBoxes(np.zeros(1, int), np.array(["car"]), np.zeros((1, 4)), np.array(["a"]))
    >>> match_pairs(box, box, LabelRule(), Pairs(np.array([0]), np.array([0]), np.array([0.7]))).iou.tolist()
    [0.7]
    """
    agrees = rule.agrees(ground_truth.label[pairs.ground_truth], predictions.label[pairs.prediction])
    if not rule.class_agnostic:
        pairs, agrees = pairs.take(agrees), agrees[agrees]
    gt, predicted, _ = _ranked(ground_truth, predictions, LabelRule())
    rank_g, rank_p = np.argsort(gt.row), np.argsort(predicted.row)
    order = np.lexsort((rank_g[pairs.ground_truth], rank_p[pairs.prediction]))
    pairs, priority = pairs.take(order), _priority(pairs.iou, agrees)[order]
    taken = _greedy(rank_g[pairs.ground_truth], rank_p[pairs.prediction], priority, len(rank_g), len(rank_p))
    return pairs.take(taken[np.argsort(pairs.prediction[taken])])


@dataclass(frozen=True, eq=False)
class _RankedBoxes:
    """One side, sorted by group, then by confidence and id: positions are ranks within the group."""

    row: Indices  # in the input
    group: Integers  # only boxes of the same group may pair
    edges: Floats  # (4, n)
    code: Integers  # of the label

    def take(self, rows: slice | Bools) -> _RankedBoxes:
        return _RankedBoxes(self.row[rows], self.group[rows], self.edges[:, rows], self.code[rows])

    def without(self, used: Indices) -> _RankedBoxes:
        free = np.ones(len(self.row), dtype=np.bool_)
        free[used] = False
        return self.take(free)


def _ranked(
    ground_truth: MatchBoxes, predictions: MatchBoxes, rule: LabelRule
) -> tuple[_RankedBoxes, _RankedBoxes, Integers | None]:
    """Sort both sides; with them come the allowed ``ground-truth code * 2**32 + prediction code``, if limited."""
    both, split = (ground_truth, predictions), [len(ground_truth.item)]
    group, allowed = np.concatenate([boxes.item for boxes in both]), None
    labels = [label for boxes in both for label in boxes.label.tolist()]
    codes = {label: number for number, label in enumerate(set(labels))}
    code = np.fromiter(map(codes.__getitem__, labels), np.int64, len(labels))
    if not rule.class_agnostic:
        if rule.allowed is None:
            group = np.unique(group, return_inverse=True)[1] * len(codes) + code
        else:
            pairs = [(codes[a], codes[b]) for a, b in rule.allowed if a in codes and b in codes]
            allowed = np.array([(a << 32) + b for a, b in pairs], dtype=np.int64)
    ranked = []
    for boxes, groups, label_codes in zip(both, np.split(group, split), np.split(code, split), strict=True):
        row = _by_rank(groups, boxes.confidence, boxes.annotation_id)
        ranked.append(_RankedBoxes(row, groups[row], edges(boxes.box)[:, row], label_codes[row]))
    return ranked[0], ranked[1], allowed


def _by_rank(group: Integers, confidence: Floats | None, annotation_id: Strings) -> Indices:
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
    """Reorder each run of ties by `rank`, which is called with the tied entries only.

    Strings are slow to sort, and so are floats when the sort has to be stable; ties are few. `tied` holds whether an
    entry ties with the one before it. Each run keeps its slots; its entries are sorted among these.
    """
    starts = np.concatenate(([True], ~tied))[: len(order)]
    is_tied = ~starts
    is_tied[:-1] |= tied
    slots = np.flatnonzero(is_tied)
    entries = order[slots]
    ranks = rank(entries)
    run = np.cumsum(starts)[slots]
    order[slots] = entries[np.argsort(run * (ranks.max(initial=0) + 1) + ranks)]
    return order


def _group_ranges(ground_truth: Groups, predicted: Groups) -> tuple[Indices, Indices]:
    """Return the first and the last + 1 ground truth of the group of each prediction; both sides are sorted by group.

    Examples
    --------
    >>> first, end = _group_ranges(np.array([1, 1, 3]), np.array([1, 2, 3]))
    >>> first.tolist(), end.tolist()
    ([0, 2, 2], [2, 2, 3])
    """
    return np.searchsorted(ground_truth, predicted, side="left"), np.searchsorted(ground_truth, predicted, side="right")


def pair_blocks(ground_truth: Groups, predicted: Groups, size: int) -> Iterator[tuple[Indices, Indices]]:
    """Return all pairs of the same group, by the prediction, then by the ground truth.

    No matrix of a whole group is held. Of all pairs in this order, ``pairs[k]`` is the number of the first pair of
    prediction k; a block is a run of whole predictions, so a pair's ground truth follows from its number alone.

    Parameters
    ----------
    ground_truth, predicted : numpy.ndarray of int
        The groups of both sides, sorted.
    size : int
        Approximate number of pairs per block; a prediction's pairs come together.

    Yields
    ------
    (numpy.ndarray of intp, numpy.ndarray of intp)
        Ground truth and prediction of each pair.

    Examples
    --------
    >>> [(g.tolist(), p.tolist()) for g, p in pair_blocks(np.array([1, 1, 3]), np.array([1, 3, 3]), 2)]
    [([0, 1], [0, 0]), ([2, 2], [1, 2])]
    """
    start, end = _group_ranges(ground_truth, predicted)
    count = end - start
    pairs = np.concatenate(([0], np.cumsum(count)))
    low = 0
    while low < len(count):
        high = max(int(np.searchsorted(pairs, pairs[low] + size, side="right")) - 1, low + 1)
        block = slice(low, high)
        p = np.repeat(np.arange(low, high), count[block])
        yield np.arange(len(p)) + np.repeat(start[block] - (pairs[block] - pairs[low]), count[block]), p
        low = high


def _parts(
    ground_truth: _RankedBoxes, predicted: _RankedBoxes, budget: int
) -> Iterator[tuple[_RankedBoxes, _RankedBoxes]]:
    """Split between groups, so that a part has few enough pairs or a single group."""
    group = predicted.group
    start, end = _group_ranges(ground_truth.group, group)
    pairs = np.concatenate(([0], np.cumsum(end - start)))
    low = 0
    while low < len(group):
        high = int(np.searchsorted(pairs, pairs[low] + budget, side="right")) - 1
        if high < len(group):
            high = int(np.searchsorted(group, group[high], side="left"))
            high = high if high > low else int(np.searchsorted(group, group[low], side="right"))
        yield ground_truth.take(slice(start[low], end[high - 1])), predicted.take(slice(low, high))
        low = high


def _best_pairs(
    ground_truth: _RankedBoxes, predicted: _RankedBoxes, allowed: Integers | None, budget: int
) -> tuple[Indices, Indices, Floats, Integers, bool]:
    """Find the best pairs that may match, with their IoU and priority, and whether they are all of them.

    Pairs come by rank, and at most twice the budget is held. When there are more, all below the budget-th best
    priority (the floor) are dropped, and later pairs have to be above it. So what is held is always the best of what
    came, and it is a prefix of the greedy order: of the pairs at the floor the first ones are the best, and no later
    one at the floor comes before them.
    """
    rows = ground_truth.row[:0]
    held: list[tuple[Indices, Indices, Floats, Integers]] = [(rows, rows, np.empty(0), np.empty(0, dtype=np.int64))]
    total, floor, complete = 0, int(_priority(np.zeros(1), np.ones(1, dtype=np.bool_))[0]), True
    (left, _, right, _), (p_left, _, p_right, _) = ground_truth.edges, predicted.edges
    for g, p in pair_blocks(ground_truth.group, predicted.group, min(budget, _BLOCK)):
        meet = (left[g] < p_right[p]) & (p_left[p] < right[g])
        if allowed is not None:
            meet &= np.isin((ground_truth.code[g] << 32) + predicted.code[p], allowed)
        g, p = g[meet], p[meet]
        iou = edge_iou([edge[g] for edge in ground_truth.edges], [edge[p] for edge in predicted.edges])
        # labels that do not agree may only pair if all may
        agrees = ground_truth.code[g] == predicted.code[p] if allowed is None else np.ones(len(g), dtype=np.bool_)
        priority = _priority(iou, agrees)
        above = priority > floor
        held.append((g[above], p[above], iou[above], priority[above]))
        total += len(held[-1][2])
        if total > 2 * budget:
            g, p, iou, priority = (np.concatenate(column) for column in zip(*held, strict=True))
            floor = int(np.partition(priority, total - budget)[total - budget])
            keep = priority > floor
            keep[np.flatnonzero(priority == floor)[: budget - np.count_nonzero(keep)]] = True
            held, total, complete = [(g[keep], p[keep], iou[keep], priority[keep])], budget, False
            if floor >= _HIGHEST_PRIORITY:
                break
    g, p, iou, priority = (np.concatenate(column) for column in zip(*held, strict=True))
    return g, p, iou, priority, complete


def _priority(iou: Floats, agrees: Bools) -> Integers:
    """Return numbers that order pairs by IoU and, where it is equal, by whether their labels agree.

    The bits of floats from 0 to 1 are integers in the order of the floats; the label is one more bit below them.

    Examples
    --------
    >>> low, high = _priority(np.array([0.5, 0.5]), np.array([False, True]))
    >>> bool(low < high < _priority(np.array([np.nextafter(0.5, 1)]), np.array([False]))[0])
    True
    """
    return (iou.view(np.int64) << 1) + agrees


_HIGHEST_PRIORITY = int(_priority(np.ones(1), np.ones(1, dtype=np.bool_))[0])


def _greedy(g: Indices, p: Indices, priority: Integers, ground_truths: int, predictions: int) -> Indices:
    """Choose pairs by priority, in their given order where equal, so that no box is in two.

    A pair that comes first for both of its boxes is one that the greedy order takes, so all such pairs are taken at
    once. Then those of used boxes are dropped, until none is left.
    """
    order = np.argsort(-priority)
    best = priority[order]
    order = _break_ties(order, best[1:] == best[:-1], lambda pairs: pairs)
    free_g, free_p = np.ones(ground_truths, dtype=np.bool_), np.ones(predictions, dtype=np.bool_)
    first_g, first_p = np.empty(ground_truths, dtype=np.intp), np.empty(predictions, dtype=np.intp)
    chosen = [order[:0]]
    for low in range(0, len(order), _SLICE):
        pairs = order[low : low + _SLICE]
        pairs = pairs[free_g[g[pairs]] & free_p[p[pairs]]]
        while len(pairs):
            gt, predicted, rank = g[pairs], p[pairs], np.arange(len(pairs))
            first_g[gt[::-1]] = rank[::-1]
            first_p[predicted[::-1]] = rank[::-1]
            taken = (first_g[gt] == rank) & (first_p[predicted] == rank)
            chosen.append(pairs[taken])
            free_g[gt[taken]] = free_p[predicted[taken]] = False
            pairs = pairs[free_g[gt] & free_p[predicted]]
    return np.concatenate(chosen)
