"""Boxes around segmentations as COCO writes them: polygons and run-length encodings (RLE).

The encoding: runs of zeros and ones in turn, beginning with zeros, column by column from the top; compressed, each run
is a base-32 number of characters from ``0`` on, the least digit first, and from the fourth on the difference to the
last but one (https://github.com/cocodataset/cocoapi, ``common/maskApi.c``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nucleus_pandas._util.arrays import Integers

_FIRST, _LAST = ord("0"), ord("0") + 63
_MORE, _SIGN, _DIGIT = 0x20, 0x10, 0x1F
_DIGITS = 12  # of a run; more do not fit into 64 bits


def is_empty(segmentation: object) -> bool:
    """Return True if there is no segmentation: missing, ``[]``, ``{}``, ``""`` or polygons without points."""
    if segmentation is None or (isinstance(segmentation, float) and np.isnan(segmentation)):
        return True
    if not isinstance(segmentation, (str, Mapping, Sequence)):
        return False
    return len(segmentation) == 0 or (
        isinstance(segmentation, list) and all(isinstance(part, list) and not part for part in segmentation)
    )


def box_around(segmentation: Any) -> tuple[float, float, float, float]:
    """Return the box around a segmentation.

    Parameters
    ----------
    segmentation : list or dict
        Polygons ``[[x1, y1, x2, y2, …], …]`` in pixels, or ``{"size": [height, width], "counts": …}`` with counts as a
        list or compressed.

    Returns
    -------
    tuple of four float
        x, y, width and height in pixels, as pycocotools computes them; all are 0 for a mask without pixels.

    Raises
    ------
    ValueError
        This is not a segmentation; the message says why.

    Examples
    --------
    >>> box_around([[10, 20, 40, 20, 40, 80]])
    (10.0, 20.0, 30.0, 60.0)
    >>> box_around({"size": [4, 3], "counts": [5, 2, 5]})
    (1.0, 1.0, 1.0, 2.0)
    """
    if isinstance(segmentation, Mapping):
        return _around_runs(*_runs(segmentation))
    if not isinstance(segmentation, (list, tuple)):
        raise ValueError(f"it is a {type(segmentation).__name__}, neither a list of polygons nor an RLE")
    polygons = segmentation
    if segmentation and not any(isinstance(part, (list, tuple)) for part in segmentation):
        polygons = [segmentation]  # one polygon that is not in a list
    x: list[float] = []
    y: list[float] = []
    for polygon in polygons:
        if not isinstance(polygon, (list, tuple)) or len(polygon) % 2 or len(polygon) < 4:
            raise ValueError("a polygon is a list x1, y1, x2, y2, … of pixels")
        try:
            points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
        except (TypeError, ValueError, OverflowError):
            raise ValueError("a polygon holds values that are not numbers") from None
        if not np.isfinite(points).all():
            raise ValueError("a polygon holds numbers that are not finite")
        x += [float(points[:, 0].min()), float(points[:, 0].max())]
        y += [float(points[:, 1].min()), float(points[:, 1].max())]
    return min(x), min(y), max(x) - min(x), max(y) - min(y)


def _runs(mask: Mapping[str, Any]) -> tuple[int, Integers]:
    """Return the height and the lengths of the runs, which add up to all pixels."""
    size, counts = mask.get("size"), mask.get("counts")
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(_is_side(side) for side in size):
        raise ValueError("an RLE has 'size': [height, width]")
    height, width = int(size[0]), int(size[1])
    if isinstance(counts, (str, bytes)):
        runs = _decompressed(counts.encode() if isinstance(counts, str) else counts)
    elif isinstance(counts, (list, tuple)) and all(type(count) is int for count in counts):
        runs = np.array([min(count, height * width + 1) for count in counts], dtype=np.int64)
    else:
        raise ValueError("an RLE has 'counts', a list of whole numbers or a string")
    wrong = (runs < 0) | (runs > height * width)
    if wrong.any() or runs.sum(dtype=np.float64) >= 2.0**63 or int(runs.sum()) != height * width:
        raise ValueError(f"the runs of the RLE do not add up to {width} by {height} pixels")
    return height, runs


def _is_side(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 2**31 and value == int(value)


def _decompressed(text: bytes) -> Integers:
    codes = np.frombuffer(text, np.uint8).astype(np.int64)
    if not len(codes):
        return codes
    if ((codes < _FIRST) | (codes > _LAST)).any() or (codes[-1] - _FIRST) & _MORE:
        raise ValueError("the counts of the RLE are not in its compressed form")
    digits = codes - _FIRST
    ends = np.flatnonzero(digits & _MORE == 0)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    if lengths.max() > _DIGITS:
        raise ValueError("the counts of the RLE are not in its compressed form")
    place = np.arange(len(digits)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((digits & _DIGIT) << (5 * place), starts)
    numbers -= np.where(digits[ends] & _SIGN != 0, np.int64(1) << (5 * lengths), 0)
    # From the fourth number on, each is the difference to the last but one: sums over every other.
    runs = numbers.copy()
    for first in (1, 2):
        runs[first::2] = np.cumsum(numbers[first::2])
    return runs


def _around_runs(height: int, runs: Integers) -> tuple[float, float, float, float]:
    ends = np.cumsum(runs)
    first, last = ends[:-1:2], ends[1::2] - 1  # of each run of ones
    filled = last >= first
    first, last = first[filled], last[filled]
    if not len(first):
        return 0.0, 0.0, 0.0, 0.0
    left, right = first // height, last // height
    top, bottom = first % height, last % height
    if (left < right).any():
        wraps = left < right  # a run that continues in the next column reaches the bottom and the top
        top, bottom = np.where(wraps, 0, top), np.where(wraps, height - 1, bottom)
    x, y = float(left.min()), float(top.min())
    return x, y, float(right.max()) - x + 1, float(bottom.max()) - y + 1
