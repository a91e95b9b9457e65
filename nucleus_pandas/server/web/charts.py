"""Charts as the numbers that SVG draws; templates hold the elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from nucleus_pandas.evaluation.tables import BIN_EDGES
from nucleus_pandas.server.evaluation.metrics import RECALL_POINTS, EngineMetrics

CURVES = 60
"""The largest number of curves of labels."""


class Plot(NamedTuple):
    """The size and margins of a chart, in the units of its view box."""

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float

    def x(self, share: float) -> float:
        """Return the x of a share of the axis."""
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def y(self, share: float) -> float:
        """Return the y of a share of the axis."""
        return round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 1)


class Curve(NamedTuple):
    """Precision over recall of a label, or the mean over all labels if the label is None."""

    label: str | None
    ap: float | None
    points: str


CURVE_PLOT = Plot(460, 330, 38, 8, 10, 34)
BAR_PLOT = Plot(460, 220, 44, 8, 10, 34)


def draw_curves(metrics: EngineMetrics, threshold: int, labels: Sequence[str]) -> list[Curve]:
    """Return the curves of labels, the mean of all labels last, so that it is drawn on top."""
    codes = {label: code for code, label in enumerate(metrics.classes)}
    ap, precision = metrics.ap[threshold], metrics.precision[threshold]
    drawn = [label for label in labels if label in codes][:CURVES]
    curves = [Curve(label, ap[codes[label]], _line(precision[codes[label]])) for label in drawn]
    if precision:
        mean = [sum(column) / len(precision) for column in zip(*precision, strict=True)]
        curves.append(Curve(None, sum(mean) / len(mean), _line(mean)))
    return curves


def _line(precision: Sequence[float]) -> str:
    """Return the points of a curve, of a run of equal precision only the first and the last."""
    points: list[tuple[float, float]] = []
    neighbours = [None, *precision, None]
    for number, (recall, value) in enumerate(zip(RECALL_POINTS, precision, strict=True)):
        if value != neighbours[number] or value != neighbours[number + 2]:
            points.append((CURVE_PLOT.x(recall), CURVE_PLOT.y(value)))
    return " ".join(f"{x:g},{y:g}" for x, y in points)


class Bar(NamedTuple):
    """True and false positives in a bin of confidence, one above the other.

    `last` is the highest confidence in the bin.
    """

    low: float
    high: float
    last: float
    right: int
    wrong: int
    x: float
    width: float
    right_y: float
    right_height: float
    wrong_y: float
    wrong_height: float


def draw_bars(counts: Sequence[tuple[int, int]]) -> tuple[list[Bar], int]:
    """Return the bars of a histogram, and its highest count."""
    most = max((right + wrong for right, wrong in counts), default=0)
    bars = []
    for (low, high), (right, wrong) in zip(pairwise(BIN_EDGES.tolist()), counts, strict=True):
        x, end = BAR_PLOT.x(low), BAR_PLOT.x(high)
        floor, middle, top = (BAR_PLOT.y(count / (most or 1)) for count in (0, right, right + wrong))
        bars.append(
            Bar(
                low,
                high,
                high if high == 1 else math.nextafter(high, 0.0),
                right,
                wrong,
                round(x + 0.75, 2),
                round(end - x - 1.5, 2),
                middle,
                round(floor - middle, 1),
                top,
                round(middle - top, 1),
            )
        )
    return bars, most


def ticks(most: int) -> list[int]:
    """Return round numbers up to a count.

    Examples
    --------
    >>> ticks(43)
    [0, 20, 40]
    """
    if most <= 0:
        return [0]
    step = 1
    while most / step > 4:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return list(range(0, most + 1, step))
