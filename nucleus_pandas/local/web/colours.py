"""The colours of labels."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from flask import g, has_app_context

COLOURS = 12
"""How many there are; the style sheet names them."""


def use(labels: Iterable[str]) -> None:
    """Give each label of a dataset its colour for this request, the most frequent ones different ones."""
    g.colours = {label: at % COLOURS for at, label in enumerate(labels)}


def colour(label: str | None) -> int:
    """Give the colour of a label, which is the same on every page.

    Examples
    --------
    >>> colour("car") == colour("car"), 0 <= colour("dog") < COLOURS
    (True, True)
    """
    known: dict[str | None, int] = g.get("colours", {}) if has_app_context() else {}
    return known[label] if label in known else _drawn(label or "")


@lru_cache(4_096)
def _drawn(label: str) -> int:
    """Draw a colour, where nobody knows how frequent labels are."""
    return blake2b(label.encode("utf-8", "replace"), digest_size=1).digest()[0] % COLOURS
