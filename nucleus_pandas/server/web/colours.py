"""The colours of labels on a page."""

from __future__ import annotations

from collections.abc import Iterable

from flask import g, has_app_context

from nucleus_pandas._util.colours import colours_of, own_colour


def use(labels: Iterable[str]) -> None:
    """Set the colours of the labels of a dataset, the most frequent first, for this request."""
    g.colours = colours_of(labels)


def colour(label: str | None) -> int:
    """Return the number of the colour of a label, by which the style sheet knows it.

    Examples
    --------
    >>> colour("car") == colour("car")
    True
    """
    colours: dict[str | None, int] = g.get("colours", {}) if has_app_context() else {}
    return colours[label] if label in colours else own_colour(label or "")
