"""Charts as the numbers that SVG draws; templates hold the elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from nucleus_pandas.evaluation.counts import BINS
from nucleus_pandas.server.evaluation.metrics import RECALL_POINTS, EngineMetrics

CURVES = 60
"""Labels whose curve is drawn."""


class Plot(NamedTuple):
    """Where a chart's axes lie in its image, in the units of its view box."""

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float

    def x(self, share: float) -> float:
        """Go from left to right."""
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def y(self, share: float) -> float:
        """Go up."""
        return round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 1)


class Curve(NamedTuple):
    """Precision over recall of a label; of all of them together without a label."""

    label: str | None
    ap: float | None
    points: str


CURVE_PLOT = Plot(460, 330, 38, 8, 10, 34)
BAR_PLOT = Plot(460, 220, 44, 8, 10, 34)


def curves(metrics: EngineMetrics, threshold: int, labels: Sequence[str]) -> list[Curve]:
    """Draw the curves of labels, the mean of all labels last, so that it lies above."""
    at = {label: place for place, label in enumerate(metrics.classes)}
    found = []
    for label in [label for label in labels if label in at][:CURVES]:
        found.append(Curve(label, metrics.ap[threshold][at[label]], _line(metrics.precision[threshold][at[label]])))
    every = metrics.precision[threshold]
    if every:
        mean = [sum(column) / len(every) for column in zip(*every, strict=True)]
        found.append(Curve(None, sum(mean) / len(mean), _line(mean)))
    return found


def _line(precision: Sequence[float]) -> str:
    """Join the points that are needed: runs of equal precision are one stroke."""
    points: list[tuple[float, float]] = []
    last = len(precision) - 1
    for place, (recall, value) in enumerate(zip(RECALL_POINTS, precision, strict=True)):
        before = precision[place - 1] if place else None
        behind = precision[place + 1] if place < last else None
        if value != before or value != behind:
            points.append((CURVE_PLOT.x(recall), CURVE_PLOT.y(value)))
    return " ".join(f"{x:g},{y:g}" for x, y in points)


class Bar(NamedTuple):
    """True and false positives in a bin of confidence, one above the other.

    `last` is the highest confidence in it: the next one begins the next bin.
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


def bars(counts: Sequence[tuple[int, int]]) -> tuple[list[Bar], int]:
    """Draw the histogram, and return its highest count."""
    most = max((right + wrong for right, wrong in counts), default=0)
    found = []
    for place, (right, wrong) in enumerate(counts):
        low, high = place / BINS, (place + 1) / BINS
        x, end = BAR_PLOT.x(low), BAR_PLOT.x(high)
        floor, middle, top = (BAR_PLOT.y(count / (most or 1)) for count in (0, right, right + wrong))
        found.append(
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
    return found, most


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
