"""All pairs of two sides that lie in the same group, some at a time, so that no matrix of a whole group is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Indices

Groups: TypeAlias = NDArray[np.integer]


def ranges(ground_truths: Groups, predicted: Groups) -> tuple[Indices, Indices]:
    """Return the first and the last + 1 ground truth of the group of each prediction; both sides are sorted by group.

    Examples
    --------
    >>> first, last = ranges(np.array([1, 1, 3]), np.array([1, 2, 3]))
    >>> first.tolist(), last.tolist()
    ([0, 2, 2], [2, 2, 3])
    """
    return np.searchsorted(ground_truths, predicted, side="left"), np.searchsorted(
        ground_truths, predicted, side="right"
    )


def blocks(ground_truths: Groups, predicted: Groups, size: int) -> Iterator[tuple[Indices, Indices]]:
    """Return all pairs of the same group, by the prediction, then by the ground truth.

    Parameters
    ----------
    truths, predicted : numpy.ndarray of int
        The groups of both sides, sorted.
    size : int
        How many pairs to give at a time, about; a prediction's pairs come together.

    Yields
    ------
    (numpy.ndarray of intp, numpy.ndarray of intp)
        Ground truth and prediction of each pair.

    Examples
    --------
    >>> [(g.tolist(), p.tolist()) for g, p in blocks(np.array([1, 1, 3]), np.array([1, 3, 3]), 2)]
    [([0, 1], [0, 0]), ([2, 2], [1, 2])]
    """
    start, stop = ranges(ground_truths, predicted)
    count = stop - start
    pairs = np.concatenate(([0], np.cumsum(count)))
    low = 0
    while low < len(count):
        high = max(int(np.searchsorted(pairs, pairs[low] + size, side="right")) - 1, low + 1)
        some = slice(low, high)
        p = np.repeat(np.arange(low, high), count[some])
        yield np.arange(len(p)) + np.repeat(start[some] - (pairs[some] - pairs[low]), count[some]), p
        low = high
