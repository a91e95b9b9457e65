"""The axes that are drawn on, and what all plots share: colours, titles, names, sentences."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pandas as pd

from nucleus_pandas._util.colours import PALETTE
from nucleus_pandas.errors import MissingExtraError
from nucleus_pandas.evaluation.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE = PALETTE[:2]
DARK, GREY, PALE = "#222222", "#767676", "#C4C4C4"
HATCH = "////"
"""Tells the second of two categories from the first without colour."""
LEGIBLE = 4.5
"""The smallest type, in points."""
_LONGEST = 28  # characters of a name that is shown whole


class Tables(Protocol):
    """What plots draw: the tables of an `Evaluation`."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What it was evaluated with."""

    @property
    def notes(self) -> list[str]:
        """What a reader has to know."""

    @property
    def summary(self) -> pd.Series[float]:
        """The numbers of the whole."""

    @property
    def per_class(self) -> pd.DataFrame:
        """Numbers by label."""

    @property
    def pr_curve(self) -> pd.DataFrame:
        """Precision over recall."""

    @property
    def f1_curve(self) -> pd.DataFrame:
        """F1 over confidence."""

    @property
    def counts(self) -> pd.DataFrame:
        """TP, FP and FN by label."""

    @property
    def confusion_matrix(self) -> pd.DataFrame:
        """Predicted labels over true ones."""

    @property
    def score_histogram(self) -> pd.DataFrame:
        """TP and FP by confidence."""

    @property
    def tide(self) -> pd.DataFrame:
        """Errors by category."""

    def compare(self, other: Any) -> Comparison:
        """Compare with another evaluation."""
        ...


def begin(
    ax: Axes | None,
    what: str,
    how: str,
    *,
    x: str,
    y: str = "",
    width: float = 6.4,
    height: float = 4.8,
) -> Axes:
    """Return titled axes to draw on: the caller's, or those of a new figure of pyplot.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        Those of the caller.
    what, how : str
        What is drawn, and in a second line how it was computed.
    x, y : str
        The labels of both directions; an empty one is left as it is.
    width, height : float
        Of a new figure, in inches.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed; the text holds the line to type.
    """
    if ax is None:
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise MissingExtraError("Plots need matplotlib: pip install 'nucleus_pandas[plot]'") from error
        _, ax = pyplot.subplots(figsize=(width, height), layout="constrained")
    ax.set_title(f"{what}\n{how}", loc="left", fontsize="medium", linespacing=1.4)
    ax.set_xlabel(x)
    if y:
        ax.set_ylabel(y)
    return ax


def matched(evaluation: Tables) -> str:
    """Return the rules of the Nucleus match of an evaluation, for a title."""
    parameters = evaluation.parameters
    if parameters["allowed_label_matches"] is not None:
        labels = ", pairs of labels"
    else:
        labels = ", any labels" if parameters["class_agnostic"] else ""
    return f"matcher: nucleus, {overlap(evaluation)} ≥ {parameters['iou_threshold']:g}{labels}"


def overlap(evaluation: Tables) -> str:
    """Return the name of the overlap: the IoU of boxes, or that of masks."""
    return "mask IoU" if evaluation.parameters["iou_type"] == "segm" else "IoU"


def coco(evaluation: Tables, at: str) -> str:
    """Return the rules of the COCO matcher, for a title."""
    return f"matcher: coco, {overlap(evaluation)} {at}, max_dets {evaluation.parameters['max_dets'][-1]}"


def sentence(ax: Axes, *texts: str) -> Axes:
    """Write why there is nothing to draw."""
    letters = max(12, int(extent(ax, "x") / 6))
    text = "\n".join(fill(each, letters) for each in texts)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY)
    ax.set(xticks=[], yticks=[])
    return ax


def plain(ax: Axes, grid: Literal["x", "y", "both"] | None = None) -> None:
    """Hide the lines that carry no information; draw a pale grid along an axis."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    if grid is not None:
        ax.grid(visible=True, axis=grid, color=PALE, linewidth=0.6, alpha=0.6)


def short(label: str) -> str:
    """Shorten a long name in its middle, since both ends tell names apart.

    Examples
    --------
    >>> short("traffic light"), short("construction vehicle with a raised arm")
    ('traffic light', 'construction v…h a raised arm')
    """
    text = " ".join(label.split())
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2]}…{text[-(_LONGEST // 2) :]}".replace(" …", "…").replace("… ", "…")


def size(ax: Axes, count: int, axis: Literal["x", "y"] = "y") -> float:
    """Return the size of type, in points, that lets so many names stand beside each other."""
    return min(9.0, 0.85 * extent(ax, axis) / max(count, 1))


def extent(ax: Axes, axis: Literal["x", "y"]) -> float:
    """Return the width or height of axes in points."""
    assert ax.figure is not None
    box = ax.get_window_extent()
    return float((box.height if axis == "y" else box.width) / ax.figure.dpi * 72)


def names(ax: Axes, labels: Sequence[str], axis: Literal["x", "y"] = "y") -> None:
    """Write a name beside each row or below each column; every second, third… where all would not be legible."""
    fitting = size(ax, len(labels), axis)
    step = max(1, ceil(LEGIBLE / fitting))
    at, texts = range(0, len(labels), step), [short(label) for label in labels[::step]]
    # a dollar sign in a name does not begin a formula
    set_ticks, rotation = (ax.set_yticks, 0) if axis == "y" else (ax.set_xticks, 90)
    set_ticks(at, texts, fontsize=max(LEGIBLE, fitting), rotation=rotation, parse_math=False)
    ax.tick_params(axis=axis, length=0)
