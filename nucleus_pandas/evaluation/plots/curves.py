"""Curves: precision over recall, F1 over confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nucleus_pandas._util.colours import PALETTE, colours_of, own_colour
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.plots import canvas
from nucleus_pandas.evaluation.plots.canvas import BLUE, DARK, GREY, ORANGE, PALE, Tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_FEW = 6  # labels in colour
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
_MARKS = "osD^vPX*<>"


def pr_curve(
    evaluation: Tables,
    *,
    labels: Sequence[str] | None = None,
    iou_thresholds: float | Sequence[float] = 0.5,
    ax: Axes | None = None,
) -> Axes:
    """Draw precision over recall.

    At one IoU threshold: the mean over all labels in bold, some labels in colour, all others pale. At several: the
    mean at each. The area under a curve is the average precision in the legend.

    Parameters
    ----------
    labels : sequence of str, optional
        At one threshold, the labels in colour: without it the most frequent six. At several, the labels whose mean is
        drawn: without it all that have ground truth.
    iou_thresholds : float or sequence of float
        One or some of 0.5, 0.55, … 0.95.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it in a new figure of pyplot.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new one.

    Raises
    ------
    InvalidInputError
        A label or a threshold has no curve.
    MissingExtraError
        matplotlib is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> truth = pd.DataFrame({"reference_id": "a.jpg", "label": ["car", "bus"],
    ...                       "x": [0, 20], "y": 0, "width": 10, "height": 10})
    >>> found = npd.evaluate(truth.assign(confidence=0.9, x=[0, 25]), truth)
    >>> ax = found.plot_pr_curve(iou_thresholds=[0.5, 0.75])
    >>> ax.get_legend_handles_labels()[1]
    ['IoU 0.50: AP 0.500', 'IoU 0.75: AP 0.500']
    """
    thresholds = list(np.atleast_1d(np.asarray(iou_thresholds, dtype=np.float64)))
    curves = _curves(evaluation.pr_curve, labels, thresholds)
    how = canvas.coco(evaluation, f"≥ {thresholds[0]:g}" if len(thresholds) == 1 else "as named")
    y = "precision, the highest at this recall or beyond"
    ax = canvas.begin(ax, "Precision over recall", how, x="recall", y=y)
    if not len(evaluation.pr_curve):
        return canvas.sentence(ax, *evaluation.notes)
    if len(thresholds) > 1:
        for at, curve in enumerate(curves):
            mean = (curve if labels is None else curve[list(labels)]).mean(axis=1)
            ax.plot(
                mean.index,
                mean,
                color=PALETTE[at],
                linestyle=_DASHES[at % len(_DASHES)],
                linewidth=1.8,
                marker=_MARKS[at],
                markevery=(at * 2, 20),
                markersize=5,
                label=f"IoU {thresholds[at]:.2f}: AP {mean.mean():.3f}",
            )
    else:
        _draw_labels(ax, curves[0], evaluation.per_class["ground_truths"], labels, f"AP{100 * thresholds[0]:g}")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
    canvas.plain(ax, "both")
    for text in ax.legend(loc="lower left", fontsize="small", framealpha=0.9).get_texts():
        text.set_parse_math(False)
    return ax


def _curves(frame: pd.DataFrame, labels: Sequence[str] | None, thresholds: list[float]) -> list[pd.DataFrame]:
    """Return for each threshold a frame of precision, indexed by recall, one column per label."""
    drawable = frame["label"].unique().tolist()
    unknown = [label for label in labels or () if label not in drawable]
    if unknown:
        raise InvalidInputError(f"There is no curve of {unknown[0]!r}: it has no ground truth, or is not a label.")
    if not thresholds:
        raise InvalidInputError("iou_thresholds names none: curves are drawn at some of 0.5, 0.55, … 0.95.")
    curves = []
    for threshold in thresholds:
        at = frame[np.isclose(frame["iou_threshold"], threshold)]
        if len(frame) and not len(at):
            raise InvalidInputError(f"There is no curve at IoU {threshold:g}: there is at 0.5, 0.55, … 0.95.")
        curves.append(at.pivot(index="recall", columns="label", values="precision"))
    return curves


def _draw_labels(ax: Axes, curve: pd.DataFrame, counts: pd.Series[int], labels: Sequence[str] | None, ap: str) -> None:
    """Draw the curves of labels, and their mean above them; the legend has their means, called `ap`."""
    by_frequency = counts[counts.index.isin(curve.columns)].sort_values(ascending=False, kind="stable").index.tolist()
    colours = colours_of(by_frequency)
    in_colour = by_frequency[:_FEW] if labels is None else list(labels)
    rest = [label for label in curve.columns if label not in in_colour]
    for at, label in enumerate(rest):
        name = f"the {len(rest)} other labels" if len(rest) > 1 else "the other label"
        ax.plot(curve.index, curve[label], color=PALE, linewidth=0.6, label=name if at == 0 else "_rest", zorder=1)
    for at, label in enumerate(in_colour):
        ax.plot(
            curve.index,
            curve[label],
            color=PALETTE[colours.get(label, own_colour(label))],
            linestyle=_DASHES[at % len(_DASHES)],
            linewidth=1.2,
            marker=_MARKS[at % len(_MARKS)],
            markevery=(at * 2 % 12, 12),
            markersize=4,
            label=f"{ap} {curve[label].mean():.3f}  {canvas.short(label)}",
            zorder=2,
        )
    mean = curve.mean(axis=1)
    words = f"mean of {curve.shape[1]} labels" if curve.shape[1] > 1 else "mean of the one label"
    ax.plot(mean.index, mean, color=DARK, linewidth=2.8, label=f"{ap} {mean.mean():.3f}  {words}", zorder=3)


def f1_curve(evaluation: Tables, *, ax: Axes | None = None) -> Axes:
    """Draw F1, precision and recall over the lowest confidence that is kept.

    The best point is marked. Matches are not made anew for each confidence.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it in a new figure of pyplot.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new one.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> truth = pd.DataFrame({"reference_id": "a.jpg", "label": ["car", "bus"],
    ...                       "x": [0, 20], "y": 0, "width": 10, "height": 10})
    >>> found = npd.evaluate(truth.assign(confidence=[0.9, 0.3], x=[0, 28]), truth)
    >>> found.plot_f1_curve().get_legend_handles_labels()[1]
    ['F1', 'precision', 'recall', 'best: F1 0.667 from 0.9 on']
    """
    how = f"{canvas.matched(evaluation)}, all labels together"
    ax = canvas.begin(ax, "F1 over confidence", how, x="lowest confidence that is kept", y="F1, precision, recall")
    curve = evaluation.f1_curve
    if not len(curve):
        return canvas.sentence(ax, *evaluation.notes)
    # predictions from a confidence on are kept: up to each confidence that occurs, its row holds
    lines = (("F1", DARK, "-", 2.4), ("precision", BLUE, "--", 1.3), ("recall", ORANGE, "-.", 1.3))
    for name, colour, dashes, width in lines:
        x, y = curve["confidence"][::-1], curve[name][::-1]
        ax.plot(x, y, color=colour, linestyle=dashes, linewidth=width, drawstyle="steps-pre", label=name)
    best = curve[curve["confidence"] == evaluation.summary["best_confidence"]]
    if len(best):
        confidence, f1 = float(best["confidence"].iloc[0]), float(best["F1"].iloc[0])
        ax.axvline(confidence, color=GREY, linewidth=0.8, linestyle=":")
        words = f"best: F1 {f1:.3f} from {confidence:.3g} on"
        ax.plot(
            [confidence], [f1], marker="*", markersize=14, color=ORANGE, markeredgecolor=DARK, linestyle="", label=words
        )
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
    canvas.plain(ax, "both")
    ax.legend(loc="best", fontsize="small", framealpha=0.9)
    return ax
