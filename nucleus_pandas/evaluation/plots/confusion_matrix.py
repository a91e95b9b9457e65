"""The confusion matrix as an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.parameters import one_of
from nucleus_pandas.evaluation.plots import canvas
from nucleus_pandas.evaluation.plots.canvas import DARK, GREY, LEGIBLE, PALE, Tables
from nucleus_pandas.evaluation.tables import BACKGROUND

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

_WRITTEN = 24  # rows up to which numbers are written into the cells
_OF = {"truth": "ground truth boxes", "predicted": "predictions"}


def confusion_matrix(
    evaluation: Tables,
    *,
    normalize: Literal["truth", "predicted"] | None = None,
    top: int | None = 20,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often predictions of each label met ground truth of each label.

    The background comes last, for boxes that met nothing. Empty cells are white; numbers are written into the cells if
    there are few, and are read from the colours if there are many.

    Parameters
    ----------
    normalize : {"truth", "predicted"}, optional
        Draw shares of the ground truth boxes of a label, so that rows sum to 1, or of the predictions, so that
        columns do. Without it counts, in colours of a logarithmic scale.
    top : int or None
        Show so many labels, those with the most ground truth boxes and predictions together, and sum all the others
        into one row and one column. `None` shows all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it in a new figure of pyplot.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new one.

    Raises
    ------
    InvalidInputError
        `normalize` or `top` is invalid.
    MissingExtraError
        matplotlib is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> truth = pd.DataFrame({"reference_id": "a.jpg", "label": ["car", "bus", "bus"],
    ...                       "x": [0, 20, 40], "y": 0, "width": 10, "height": 10})
    >>> found = npd.evaluate(truth.assign(confidence=0.9, label="bus"), truth, class_agnostic=True)
    >>> ax = found.plot_confusion_matrix()
    >>> [text.get_text() for text in ax.texts]
    ['2', '1']
    """
    one_of(normalize, "normalize", (*_OF, None))
    if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
        raise InvalidInputError(f"top is a number of labels, at least 1, or None, not {top!r}.", argument="top")
    counts, labels, note = _grouped(evaluation.confusion_matrix, top)
    cells = len(counts) * (0.34 if len(counts) <= _WRITTEN else 0.15)
    beside = 0.7 + 0.085 * max(len(canvas.short(label)) for label in labels)
    shown = f"shares of the {_OF[normalize]}" if normalize else "counts"
    ax = canvas.begin(
        ax,
        f"Confusion matrix, {shown}",
        canvas.matched(evaluation) + note,
        x="predicted label",
        y="label of the ground truth",
        width=min(24.0, max(2.6, cells) + beside + 0.9),
        height=min(24.0, max(2.6, cells) + beside),
    )
    if not counts.any():
        return canvas.sentence(ax, *evaluation.notes)
    values = counts.astype(np.float64)
    if normalize:
        total = counts.sum(axis=1 if normalize == "truth" else 0, keepdims=True)
        values = np.divide(values, total, out=np.full(values.shape, np.nan), where=total > 0)
    _draw(ax, values, normalize, labels)
    return ax


def _grouped(matrix: pd.DataFrame, top: int | None) -> tuple[np.ndarray, list[str], str]:
    """Sum the less frequent labels into one; return the counts, the names and what has to be said."""
    counts, labels = matrix.to_numpy(), matrix.index.tolist()
    last = len(labels) - 1
    if top is None or last <= top + 1:  # one label alone is shown itself
        return counts, _named(labels), ""
    order = np.argsort(-(counts.sum(axis=0) + counts.sum(axis=1))[:last], kind="stable")
    kept, rest = np.sort(order[:top]), np.sort(order[top:])
    place = np.full(last + 1, top)
    place[kept], place[last] = np.arange(top), top + 1
    grouped = np.zeros((top + 2, top + 2), dtype=counts.dtype)
    np.add.at(grouped, (place[:, None], place[None, :]), counts)
    same = int(counts[rest, rest].sum())
    note = f"\namong the others: {same} pairs of one label, {int(grouped[top, top]) - same} of two"
    return grouped, _named([*(labels[at] for at in kept), f"{len(rest)} others", BACKGROUND]), note


def _named(labels: list[str]) -> list[str]:
    background = BACKGROUND if "background" in labels else "background"  # which is a label of some
    return [background if label == BACKGROUND else label for label in labels]


def _draw(ax: Axes, values: np.ndarray, normalize: str | None, labels: list[str]) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    assert ax.figure is not None
    count = len(values)
    colours = ListedColormap(colormaps["Blues"](np.linspace(0.15, 1.0, 256)))  # the palest differs from white
    norm = Normalize(0, 1) if normalize else LogNorm(1, max(2.0, float(values.max())))
    image = ax.imshow(np.ma.masked_where(~(values > 0), values), cmap=colours, norm=norm, aspect="equal")
    canvas.names(ax, labels, "x")
    canvas.names(ax, labels, "y")
    ax.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    ax.tick_params(which="minor", length=0)
    ax.grid(visible=True, which="minor", color=PALE, linewidth=0.4, alpha=0.7)
    for line in (ax.axhline, ax.axvline):  # parts the background from the labels
        line(count - 1.5, color=GREY, linewidth=1.0)
    canvas.plain(ax)
    # what met nothing on either side is nothing
    ax.fill_between([count - 1.5, count - 0.5], count - 1.5, count - 0.5, facecolor="none", edgecolor=PALE, hatch="xxx")
    if count <= _WRITTEN:
        _write(ax, values, norm, normalize)
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.04, pad=0.02, format=None if normalize else "{x:g}")
    bar.ax.tick_params(which="minor", labelsize=0)
    bar.set_label(f"share of the {_OF[normalize]}" if normalize else "pairs, or boxes that met nothing")
    bar.outline.set_visible(False)


def _write(ax: Axes, values: np.ndarray, norm: Normalize, normalize: str | None) -> None:
    """Write the numbers into the cells, if there they are legible."""
    filled = np.argwhere(values > 0).tolist()
    texts = [_text(float(values[row, column]), normalize is not None) for row, column in filled]
    # a digit is 0.65 times as wide as type is high, and names and scale take a fifth of the axes
    cell = 0.8 * min(canvas.extent(ax, "x"), canvas.extent(ax, "y")) / len(values)
    points = min(9.0, cell / (0.65 * max(map(len, texts))))
    if points < LEGIBLE:
        return
    for (row, column), text in zip(filled, texts, strict=True):
        colour = "white" if norm(values[row, column]) > 0.55 else DARK
        ax.text(column, row, text, ha="center", va="center", fontsize=points, color=colour)


def _text(value: float, share: bool) -> str:
    if not share:
        return f"{value:.0f}"
    return f"{value:.2f}".removeprefix("0") if value >= 0.005 else "<.01"
