"""Bars: confidence, TIDE, labels, and labels of two evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.parameters import one_of
from nucleus_pandas.evaluation.plots import canvas
from nucleus_pandas.evaluation.plots.canvas import BLUE, DARK, GREY, HATCH, LEGIBLE, ORANGE, Tables
from nucleus_pandas.evaluation.tide import BACKGROUND_IOU, FOREGROUND_IOU

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ClassMetric = Literal["AP", "AP50", "AP75", "AR"]
ComparedMetric = Literal["AP", "AP50", "AR"]
_ROW = 0.2  # inches


def score_histogram(evaluation: Tables, *, ax: Axes | None = None) -> Axes:
    """Draw how many predictions of each confidence are true and false positives, on top of each other.

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
    >>> found.plot_score_histogram().get_legend_handles_labels()[1]
    ['TP: 1', 'FP: 1']
    """
    how = canvas.matched(evaluation)
    ax = canvas.begin(ax, "Confidence of true and false positives", how, x="confidence", y="predictions")
    bins = evaluation.score_histogram
    right, wrong = bins["TP"], bins["FP"]
    if not (right + wrong).any():
        return canvas.sentence(ax, *evaluation.notes)
    left, width = bins["low"], bins["high"] - bins["low"]
    style: dict[str, Any] = {"align": "edge", "edgecolor": "white", "linewidth": 0.6}
    ax.bar(left, right, width, color=BLUE, label=f"TP: {right.sum()}", **style)
    ax.bar(left, wrong, width, bottom=right, color=ORANGE, hatch=HATCH, label=f"FP: {wrong.sum()}", **style)
    missing = int(evaluation.counts["predictions"].sum() - right.sum() - wrong.sum())
    if missing:
        ax.set_xlabel(f"confidence ({missing} predictions without one are not drawn)")
    ax.set(xlim=(0, 1), ylim=(0, 1.2 * float((right + wrong).max())))
    ax.locator_params(axis="y", integer=True)
    canvas.plain(ax, "y")
    ax.legend(fontsize="small")
    return ax


def tide(evaluation: Tables, *, ax: Axes | None = None) -> Axes:
    """Draw the errors by category, in counts and in shares of all errors.

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
    >>> found = npd.evaluate(truth.assign(confidence=[0.9, 0.3], x=[5, 28]), truth)
    >>> [text.get_text() for text in found.plot_tide().texts]
    ['0', '2 (100%)', '0', '0', '0', '0']
    """
    near = f"foreground from {canvas.overlap(evaluation)} {FOREGROUND_IOU:g}, background up to {BACKGROUND_IOU:g}"
    ax = canvas.begin(ax, "Errors by category", f"matcher: tide, {near}", x="errors", height=3.6)
    errors = evaluation.tide
    counts = errors["count"].to_numpy()
    if not evaluation.counts[["ground_truths", "predictions"]].to_numpy().any():
        return canvas.sentence(ax, *evaluation.notes)
    rows = np.arange(len(errors))
    missed = errors.index == "missed"
    for which, colour, hatch, label in (
        (~missed, ORANGE, None, "predictions that are wrong"),
        (missed, BLUE, HATCH, "ground truth boxes that nothing came near"),
    ):
        ax.barh(rows[which], counts[which], color=colour, edgecolor="white", hatch=hatch, height=0.72, label=label)
    for row, (count, share) in enumerate(zip(counts, errors["share"], strict=True)):
        text = f"{count} ({share:.0%})" if count else "0"
        ax.annotate(text, (count, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize="small")
    canvas.names(ax, errors.index.tolist())
    ax.invert_yaxis()
    ax.set_xlim(0, max(1.0, 1.18 * counts.max()))
    ax.locator_params(axis="x", integer=True)
    canvas.plain(ax, "x")
    ax.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return ax


def per_class(
    evaluation: Tables,
    *,
    metric: ClassMetric = "AP",
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a number of each label, the highest first.

    Labels whose number does not exist stand last, with the reason.

    Parameters
    ----------
    metric : {"AP", "AP50", "AP75", "AR"}
        A column of `Evaluation.per_class`.
    labels : sequence of str, optional
        Those to draw; without it all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it in a new figure of pyplot, which grows with the labels.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new one.

    Raises
    ------
    InvalidInputError
        There is no such label or metric.
    MissingExtraError
        matplotlib is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> truth = pd.DataFrame({"reference_id": "a.jpg", "label": ["car", "bus"],
    ...                       "x": [0, 20], "y": 0, "width": 10, "height": 10})
    >>> found = npd.evaluate(truth.assign(confidence=[0.9, 0.3], x=[0, 28]), truth)
    >>> [name.get_text() for name in found.plot_per_class().get_yticklabels()]
    ['car', 'bus']
    """
    one_of(metric, "metric", get_args(ClassMetric))
    table = _rows_of(evaluation.per_class, labels).sort_values(metric, ascending=False, kind="stable")
    how = canvas.coco(evaluation, _range(metric))
    ax = canvas.begin(ax, f"{_long(metric)} by label", how, x=metric, height=_height(len(table)))
    if not len(table):
        return canvas.sentence(ax, *evaluation.notes)
    points = _draw(ax, table[metric])
    for row, (value, reason) in enumerate(zip(table[metric], table["reason"], strict=True)):
        _beside(ax, row, value, f"{value:.3f}", reason, points)
    defined = table[metric].dropna().to_numpy()
    if len(defined) > 1:
        mean = defined.mean()
        averaged = "all" if labels is None else "these"
        ax.axvline(mean, color=DARK, linewidth=1.0, linestyle="--")
        ax.set_xlabel(f"{metric} (dashed: the mean of {averaged}, {mean:.3f})")
    ax.set_xlim(0, 1.08)
    return ax


def comparison(
    evaluation: Tables,
    other: Tables,
    *,
    metric: ComparedMetric = "AP",
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw by how much another evaluation is better or worse for each label, the most won first.

    Beside the bars are the ground truth boxes that only the other one finds (+), and that only this one finds (-).

    Parameters
    ----------
    other : Evaluation
        Of the same ground truth, with the same parameters.
    metric : {"AP", "AP50", "AR"}
        What is compared: the other less this one.
    labels : sequence of str, optional
        Those to draw; without it all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it in a new figure of pyplot, which grows with the labels.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new one.

    Raises
    ------
    InvalidInputError
        There is no such label or metric, or the ground truth boxes or the parameters differ.
    MissingExtraError
        matplotlib is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> truth = pd.DataFrame({"reference_id": "a.jpg", "label": ["car", "bus"],
    ...                       "x": [0, 20], "y": 0, "width": 10, "height": 10})
    >>> old = npd.evaluate(truth.assign(confidence=0.9, x=[0, 28]), truth)
    >>> new = npd.evaluate(truth.assign(confidence=0.9), truth)
    >>> [text.get_text() for text in old.plot_comparison(new).texts]
    ['+1.000', '+1', '0.000', '0', 'won, lost']
    """
    one_of(metric, "metric", get_args(ComparedMetric))
    compared = evaluation.compare(other)
    column = f"{metric}_difference"
    table = _rows_of(compared.per_class, labels).sort_values([column, "won"], ascending=False, kind="stable")
    name = f"AR_{evaluation.parameters['max_dets'][-1]}" if metric == "AR" else metric
    before, after, change = compared.summary.loc[name, ["this", "other", "difference"]]
    ax = canvas.begin(
        ax,
        f"{_long(metric)} by label; in all {before:.3f} → {after:.3f} ({change:+.3f})",
        f"{canvas.coco(evaluation, _range(metric))}\nwon and lost: {canvas.matched(evaluation)}",
        x=f"{metric} of the other less {metric} of this one\n← this one is better | the other is better →",
        height=_height(len(table)),
    )
    if not len(table):
        return canvas.sentence(ax, *evaluation.notes)
    points = _draw(ax, table[column], "white")
    reasons = evaluation.per_class["reason"].combine_first(other.per_class["reason"]).reindex(table.index)
    columns = (table[column], reasons, table["won"], table["lost"])
    for row, (value, reason, won, lost) in enumerate(zip(*columns, strict=True)):
        _beside(ax, row, value, f"{value:+.3f}" if value else "0.000", reason, points)
        text = " ".join(f"{sign}{count}" for sign, count in (("+", won), ("-", lost)) if count) or "0"
        if points >= LEGIBLE:
            ax.text(1.01, row, text, transform=ax.get_yaxis_transform(), va="center", fontsize=points)
    if points >= LEGIBLE:
        ax.text(1.01, -0.01, "won, lost", transform=ax.transAxes, va="top", fontsize="small")
    reach = 1.45 * max(0.02, float(np.nanmax(table[column].abs().to_numpy(), initial=0.0)))
    ax.axvline(0, color=DARK, linewidth=0.8)
    ax.set_xlim(-reach, reach)
    return ax


def _rows_of(table: pd.DataFrame, labels: Sequence[str] | None) -> pd.DataFrame:
    if labels is None:
        return table
    strange = [label for label in labels if label not in table.index]
    if strange:
        raise InvalidInputError(f"There is no label {strange[0]!r}.")
    return table.loc[list(labels)]


def _height(rows: int) -> float:
    return min(40.0, max(2.6, 1.3 + _ROW * rows))


def _draw(ax: Axes, values: pd.Series[float], edgecolor: str | None = None) -> float:
    """Draw a bar for each label, and return the size of type that fits beside it."""
    numbers, rows = values.to_numpy(), np.arange(len(values))
    for which, colour, hatch in ((numbers >= 0, BLUE, None), (numbers < 0, ORANGE, HATCH)):
        ax.barh(rows[which], numbers[which], color=colour, edgecolor=edgecolor, hatch=hatch, height=0.76)
    canvas.names(ax, values.index.tolist())
    ax.set_ylim(len(values) - 0.4, -0.6)
    canvas.plain(ax, "x")
    return canvas.size(ax, len(values))


def _beside(ax: Axes, row: int, value: float, text: str, reason: str, points: float) -> None:
    """Write beside the end of a bar, or why there is none, if that is legible."""
    if points < LEGIBLE:
        return
    is_missing = np.isnan(value)
    ax.annotate(
        f"NaN: {reason}" if is_missing else text,
        (0.0 if is_missing else value, row),
        xytext=(-3 if value < 0 else 3, 0),
        textcoords="offset points",
        ha="right" if value < 0 else "left",
        va="center",
        fontsize=points,
        color=GREY if is_missing else DARK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )


def _long(metric: str) -> str:
    return "Average recall" if metric == "AR" else "Average precision"


def _range(metric: str) -> str:
    return f"≥ 0.{metric[2:]}" if metric[2:] else "0.5 to 0.95"
