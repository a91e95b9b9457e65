"""An evaluation as a small table for notebooks: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from nucleus_pandas._util.html import cut, isolated, safe

_CLASSES = 10  # labels shown
_NOTE = 1_000  # characters


def as_html(
    title: str, summary: pd.Series[float], per_class: pd.DataFrame, said: Mapping[str, Any], notes: list[str]
) -> str:
    """Set the numbers of an evaluation.

    Parameters
    ----------
    title : str
        What was evaluated.
    summary : pandas.Series
        Numbers by name.
    per_class : pandas.DataFrame
        ``AP``, ``AP50``, ``ground_truths``, ``TP``, ``FP`` and ``FN`` by label; the most frequent labels are shown.
    said : dict
        What has to stand beside numbers: matchers, engine, parameters.
    notes : list of str
        Why numbers are missing.
    """
    shown = per_class.sort_values("ground_truths", ascending=False, kind="stable").iloc[:_CLASSES]
    columns = ["AP", "AP50", "ground_truths", "TP", "FP", "FN"]
    rows = zip(shown.index, shown[columns].to_numpy(object), strict=True)
    beside = "; ".join(f"{name} {cut(str(value))}" for name, value in said.items())
    small = Markup("<p><small>{}</small></p>").format
    parts = [
        Markup("<p><b>Evaluation</b> of {}</p>").format(safe(title)),
        _table([str(name) for name in summary.index], [[_number(value) for value in summary]]),
        _table(
            ["label", *columns],
            [[isolated(label), *map(_number, row)] for label, row in rows],
        ),
    ]
    if len(per_class) > len(shown):
        parts.append(Markup("<p>The {} most frequent of {} labels.</p>").format(len(shown), len(per_class)))
    parts += [small(safe(beside)), *(small(safe(cut(note, _NOTE))) for note in notes)]
    return str(Markup("<div>{}</div>").format(Markup().join(parts)))


def _table(head: list[str], rows: list[list[str]]) -> Markup:
    cells = Markup().join(map(Markup("<th>{}</th>").format, head))
    body = Markup().join(
        Markup("<tr>{}</tr>").format(Markup().join(map(Markup("<td>{}</td>").format, row))) for row in rows
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(cells, body)


def _number(value: Any) -> str:
    if isinstance(value, (int, np.integer)):
        return str(value)
    return "NaN" if np.isnan(value) else f"{value:.3f}"
