"""Names beside boxes, where there is room for them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from nucleus_pandas._util.html import cut, safe, unturned
from nucleus_pandas.images.gallery.marks import Mark

TYPE = 11.0
"""Pixels of the page."""

_LETTERS = 24  # of a label
_LINE = 1.2  # its height for one of the type
_EDGE = 0.2  # between a name and the edge of its box


@dataclass(frozen=True)
class _Place:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Place) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def names(marks: Sequence[Mark], size: tuple[int, int], unit: float, colours: Sequence[str]) -> str:
    """Write what marks are: ground truth above its box, a prediction below, so that the names of a pair lie apart.

    What is wrong comes first, then the most confident; a name that would lie over another is shortened to TP, FP or FN,
    or left out. A pointer that rests on the box finds it. Of a true positive the prediction alone is named.

    Parameters
    ----------
    marks : sequence of Mark
        With points.
    size : (int, int)
        Width and height of the image.
    unit : float
        Pixels of the image for one of the page.

    colours : sequence of str
        Of the marks.

    Returns
    -------
    str
        SVG.
    """
    written, taken = list[str](), list[_Place]()
    for at in sorted(range(len(marks)), key=lambda at: _rank(marks[at])):
        mark = marks[at]
        if mark.match_type == "TP" and mark.side == "ground truth":
            continue
        label = " ".join(unturned(mark.label).split())
        number = "" if isnan(mark.confidence) else f"{mark.confidence:.2f}"
        for parts in ((mark.match_type, cut(label, _LETTERS), number), (mark.match_type, None, None)):
            if not any(parts):
                continue
            place = _place(mark, size, _width(" ".join(filter(None, parts))) * TYPE * unit, TYPE * unit)
            if not any(map(place.meets, taken)):
                taken.append(place)
                written.append(_text(parts, place, TYPE * unit, colours[at]))
                break
    return "".join(written)


def _rank(mark: Mark) -> tuple[bool, float]:
    return mark.match_type not in ("FP", "FN"), -2.0 if isnan(mark.confidence) else -mark.confidence


def _width(text: str) -> float:
    """Estimate the width of a text for one of its type."""
    return sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.62 for letter in text) + 2 * _EDGE


def _place(mark: Mark, size: tuple[int, int], width: float, em: float) -> _Place:
    left, top, _, bottom = mark.extent
    high = _LINE * em
    if mark.side == "ground truth":
        above = top - high if top >= high else top
    else:
        above = bottom if bottom <= size[1] - high else bottom - high
    above = max(min(above, size[1] - high), 0.0)
    left = max(min(left, size[0] - width), 0.0)
    return _Place(left, above, left + width, above + high)


def _text(parts: tuple[str | None, ...], place: _Place, em: float, colour: str) -> str:
    kind, label, number = (safe(part) if part else "" for part in parts)
    isolated = f'<tspan style="unicode-bidi:isolate">{label}</tspan>' if label else ""
    words = " ".join(filter(None, (kind, isolated, number)))
    return (
        f'<text x="{place.left + _EDGE * em:.6g}" y="{place.bottom - 0.3 * em:.6g}" font-size="{em:.4g}" '
        f'stroke="{colour}" stroke-width="{0.3 * em:.3g}" direction="ltr">{words}</text>'
    )
