"""The colours of labels."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from flask import g, has_app_context

PALETTE = (
    (0xFF, 0x5A, 0x5F), (0x38, 0xB2, 0x6A), (0xFF, 0xC6, 0x1A), (0x4A, 0x90, 0xFF), (0xFF, 0x8A, 0x2B),
    (0xB5, 0x65, 0xF0), (0x25, 0xC5, 0xD9), (0xFF, 0x5F, 0xC4), (0xA6, 0xD9, 0x2D), (0xFF, 0x9F, 0x9F),
    (0x17, 0xA3, 0x98), (0xD0, 0xA1, 0x5F),
)  # fmt: skip
"""Red, green and blue of each, as the style sheet has them too."""
COLOURS = len(PALETTE)


def use(labels: Iterable[str]) -> None:
    """Return each label of a dataset its colour for this request, the most frequent ones different ones."""
    g.colours = {label: at % COLOURS for at, label in enumerate(labels)}


def colour(label: str | None) -> int:
    """Return the colour of a label, which is the same on every page.

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
