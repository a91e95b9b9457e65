"""The layer over an image: marks and their names, as SVG whose unit is a pixel of the image."""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal, NamedTuple, TypeAlias

from markupsafe import Markup

from nucleus_pandas._util.colours import MATCH_COLOURS, NEUTRAL, PALETTE
from nucleus_pandas._util.html import cut, safe, unturned
from nucleus_pandas.images.gallery.marks import Mark
from nucleus_pandas.images.mask_overlays import MIMETYPE, overlay

ColourBy: TypeAlias = Literal["label", "match_type"]

MAX_MARKS = 200
"""Marks that are drawn on an image."""
MAX_MASKS = 20
"""Masks that are drawn on an image."""
DASHES = "6 4"
"""Of the lines of predictions, in pixels of the page."""

_TYPE = 11.0  # pixels of the page
_LETTERS = 24  # of a label
_LINE = 1.2  # its height, in sizes of the type
_EDGE = 0.2  # between a name and the edge of its box


@dataclass(frozen=True)
class MarkColours:
    """Which colour marks have.

    Attributes
    ----------
    by : {"label", "match_type"}
        What it stands for.
    labels : dict of str to int
        The colours of the most frequent labels, by their numbers in the palette; all others are grey.
    """

    by: ColourBy
    labels: Mapping[str, int]

    def of(self, mark: Mark) -> str:
        """Return the colour of a mark."""
        if self.by == "match_type":
            return MATCH_COLOURS.get(mark.match_type or "", NEUTRAL)
        return self.of_label(mark.label)

    def of_label(self, label: str) -> str:
        """Return the colour of a label."""
        return PALETTE[self.labels[label]] if label in self.labels else NEUTRAL


def drawn_marks(marks: Sequence[Mark]) -> list[Mark]:
    """Return the marks that are drawn, large ones first so that small ones lie above them.

    Of too many these are the most confident ones, then the largest.
    """
    placed = [mark for mark in marks if mark.shape is not None]
    placed.sort(key=lambda mark: (-1.0 if isnan(mark.confidence) else mark.confidence, mark.area), reverse=True)
    return sorted(placed[:MAX_MARKS], key=lambda mark: -mark.area)


def drawing(marks: Sequence[Mark], size: tuple[int, int], scale: float, colours: MarkColours) -> Markup:
    """Draw marks, masks below all others.

    Parameters
    ----------
    marks : sequence of Mark
        Of the image; those that `drawn_marks` returns are drawn, and the first masks.
    size : (int, int)
        Width and height of the image.
    scale : float
        Pixels of the page per pixel of the image, so that all type has one size.
    colours : MarkColours
        Which colours they have.
    """
    masks = [mark for mark in marks if mark.source is not None][:MAX_MASKS]
    below = "".join(_mask(mark, size, scale, colours) for mark in masks)
    marks = drawn_marks(marks)
    mark_colours = list(map(colours.of, marks))
    shapes = "".join(map(_mark, marks, mark_colours))
    written = _names(marks, size, _TYPE / scale, mark_colours)
    return Markup(
        f'<svg class="npd-marks" viewBox="0 0 {size[0]} {size[1]}" preserveAspectRatio="none" aria-hidden="true" '
        f'style="position:absolute;left:0;top:0;width:100%;height:100%;overflow:hidden">{below}{shapes}{written}</svg>'
    )


def described(mark: Mark) -> str:
    """Describe a mark in words."""
    parts = [mark.match_type or "", mark.side]
    if not isnan(mark.confidence):
        parts.append(f"confidence {mark.confidence:.3g}")
    if not isnan(mark.iou):
        parts.append(f"IoU {mark.iou:.2f}")
    return ", ".join(filter(None, parts))


def _mark(mark: Mark, colour: str) -> str:
    """Draw a mark: its line in white, then in its colour, so that it is seen on any image."""
    assert mark.shape is not None
    title = f"<title>{safe(described(mark))}\n{safe(mark.label)}</title>"
    # of keypoints the dots are as wide as the lines, and round ends would fill shorter gaps
    width, caps, dashes = (
        (4.5, ' stroke-linecap="round"', ".1 7") if mark.shape.element == "path" else (1.75, "", DASHES)
    )
    dashes = f' stroke-dasharray="{dashes}"' if mark.side == "prediction" else ""
    shape = mark.shape.markup
    return (
        f'<g fill="none" stroke="{colour}"{caps} pointer-events="all">{title}'
        f'<g stroke="#fff" stroke-width="{width + 1.75}" stroke-opacity="0.8">{shape}</g>'
        f'<g stroke-width="{width}"{dashes}>{shape}</g></g>'
    )


def _mask(mark: Mark, size: tuple[int, int], scale: float, colours: MarkColours) -> str:
    """Draw a mask; one of a prediction is striped."""
    palette = list(dict.fromkeys(map(colours.of_label, mark.labels)))
    numbers = {number: palette.index(colours.of_label(label)) for label, number in mark.segments}
    rgb = [(red, green, blue) for red, green, blue in (bytes.fromhex(colour[1:]) for colour in palette)]
    assert mark.source is not None
    assert not isinstance(mark.source, str)
    longer_side = max(1, round(scale * max(size)))
    content = overlay(mark.source, numbers, rgb, longer_side, striped=mark.side == "prediction")
    if content is None:
        return ""
    uri = f"data:{MIMETYPE};base64,{b64encode(content).decode()}"
    return (
        f'<image href="{uri}" width="{size[0]}" height="{size[1]}" preserveAspectRatio="none" pointer-events="none"/>'
    )


class _NamePlace(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _NamePlace) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _names(marks: Sequence[Mark], size: tuple[int, int], em: float, colours: Sequence[str]) -> str:
    """Write what marks are: ground truth above its box, a prediction below, so that the names of a pair lie apart.

    What is wrong comes first, then the most confident; a name that would lie over another is shortened to TP, FP or FN,
    or left out. A pointer that rests on the box finds it. Of a true positive the prediction alone is named. `em` is
    the size of the type in pixels of the image.
    """
    written, taken = list[str](), list[_NamePlace]()
    for at in sorted(range(len(marks)), key=lambda at: _name_rank(marks[at])):
        mark = marks[at]
        if mark.match_type == "TP" and mark.side == "ground truth":
            continue
        label = " ".join(unturned(mark.label).split())
        number = "" if isnan(mark.confidence) else f"{mark.confidence:.2f}"
        for parts in ((mark.match_type, cut(label, _LETTERS), number), (mark.match_type, None, None)):
            if not any(parts):
                continue
            place = _name_place(mark, size, _text_width(" ".join(filter(None, parts))) * em, em)
            if not any(map(place.meets, taken)):
                taken.append(place)
                written.append(_text(parts, place, em, colours[at]))
                break
    return "".join(written)


def _name_rank(mark: Mark) -> tuple[bool, float]:
    return mark.match_type not in ("FP", "FN"), -2.0 if isnan(mark.confidence) else -mark.confidence


def _text_width(text: str) -> float:
    """Estimate the width of a text, in sizes of its type."""
    return sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.62 for letter in text) + 2 * _EDGE


def _name_place(mark: Mark, size: tuple[int, int], width: float, em: float) -> _NamePlace:
    left, top, _, bottom = mark.extent
    height = _LINE * em
    if mark.side == "ground truth":
        above = top - height if top >= height else top
    else:
        above = bottom if bottom <= size[1] - height else bottom - height
    above = max(min(above, size[1] - height), 0.0)
    left = max(min(left, size[0] - width), 0.0)
    return _NamePlace(left, above, left + width, above + height)


def _text(parts: tuple[str | None, ...], place: _NamePlace, em: float, colour: str) -> str:
    kind, label, number = (safe(part) if part else "" for part in parts)
    isolated = f'<tspan style="unicode-bidi:isolate">{label}</tspan>' if label else ""
    words = " ".join(filter(None, (kind, isolated, number)))
    return (
        f'<text x="{place.left + _EDGE * em:.6g}" y="{place.bottom - 0.3 * em:.6g}" font-size="{em:.4g}" '
        f'stroke="{colour}" stroke-width="{0.3 * em:.3g}" direction="ltr">{words}</text>'
    )
