"""What lies over a picture: boxes and names, as SVG whose unit is a pixel of the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal, TypeAlias

from nucleus_pandas.gallery.marks import Mark
from nucleus_pandas.markup import cut, safe, unturned

Colour: TypeAlias = Literal["label", "match_type"]

MOST = 200
"""Marks that are drawn on a picture."""

# White reads on all of them, and each stands out from white and from black.
PALETTE = (
    "#0072b2",
    "#c24e00",
    "#00795a",
    "#a8327d",
    "#7a5200",
    "#5a4fcf",
    "#c62828",
    "#006d83",
    "#5e6b00",
    "#6b4a8c",
)
FOUND = {"TP": "#0072b2", "FP": "#c24e00", "FN": "#a8327d"}
NEUTRAL = "#595959"
_LETTERS = 24  # of a name beside its box
_TYPE = 11.0  # pixels of the page
_DASHES = "7 4"


@dataclass(frozen=True)
class Colours:
    """Which colour marks have.

    Attributes
    ----------
    by : {"label", "match_type"}
        What it tells.
    labels : dict of str to str
        The colour of each label; those of frequent ones differ.
    """

    by: Colour
    labels: Mapping[str, str]

    def of(self, mark: Mark) -> str:
        """Give the colour of a mark."""
        if self.by == "match_type":
            return FOUND.get(mark.match_type or "", NEUTRAL)
        return self.labels.get(mark.label, NEUTRAL)


def chosen(marks: Sequence[Mark]) -> list[Mark]:
    """Give the marks that are drawn, large ones first so that small ones lie above them.

    Of too many these are the most confident ones, then the largest.
    """
    placed = [mark for mark in marks if mark.points]
    placed.sort(key=lambda mark: (-1.0 if isnan(mark.confidence) else mark.confidence, mark.area), reverse=True)
    return sorted(placed[:MOST], key=lambda mark: -mark.area)


def drawing(marks: Sequence[Mark], size: tuple[int, int], scale: float, colours: Colours) -> str:
    """Draw marks.

    Parameters
    ----------
    marks : sequence of Mark
        What `chosen` gives.
    size : (int, int)
        Width and height of the picture.
    scale : float
        Pixels of the page for one of the picture, so that all type has one size.
    colours : Colours
        Which colours they have.
    """
    unit = 1 / scale
    shapes = "".join(_mark(mark, size, unit, colours.of(mark)) for mark in marks)
    return (
        f'<svg class="npd-marks" viewBox="0 0 {size[0]} {size[1]}" preserveAspectRatio="none" aria-hidden="true" '
        f'style="position:absolute;left:0;top:0;width:100%;height:100%;overflow:hidden">{shapes}</svg>'
    )


def told(mark: Mark) -> str:
    """Say in words what a mark is."""
    parts = [mark.match_type or "", mark.side]
    if not isnan(mark.confidence):
        parts.append(f"confidence {mark.confidence:.3g}")
    if not isnan(mark.iou):
        parts.append(f"IoU {mark.iou:.2f}")
    return ", ".join(filter(None, parts))


def line(colour: str, *, dashed: bool) -> str:
    """Give how a line is drawn: white below, so that it is seen on any picture."""
    dashes = f' stroke-dasharray="{_DASHES}"' if dashed else ""
    return f'fill="none" stroke="{colour}" stroke-width="2" vector-effect="non-scaling-stroke"{dashes}'


def _mark(mark: Mark, size: tuple[int, int], unit: float, colour: str) -> str:
    shape = _shape(mark, unit)
    below = '<g fill="none" stroke="#fff" stroke-width="4" stroke-opacity="0.85">'
    title = f"<title>{safe(told(mark))}\n{safe(mark.label)}</title>"
    name = _name(mark, size, unit, colour)
    above = shape.replace("/>", f" {line(colour, dashed=mark.side == 'prediction')}/>")
    under = shape.replace("/>", ' vector-effect="non-scaling-stroke"/>')
    return f"<g>{title}{below}{under}</g>{above}{name}</g>"


def _shape(mark: Mark, unit: float) -> str:
    if mark.shape == "box":
        (left, top), (right, bottom) = mark.points
        return f'<rect x="{left:.6g}" y="{top:.6g}" width="{right - left:.6g}" height="{bottom - top:.6g}"/>'
    if mark.shape == "points":
        return "".join(f'<circle cx="{x:.6g}" cy="{y:.6g}" r="{3 * unit:.4g}"/>' for x, y in mark.points)
    points = " ".join(f"{x:.6g},{y:.6g}" for x, y in mark.points)
    return f'<{"polygon" if mark.shape == "polygon" else "polyline"} points="{points}"/>'


def _name(mark: Mark, size: tuple[int, int], unit: float, colour: str) -> str:
    """Write what a mark is: ground truth above it, a prediction below it, so that the names of a pair lie apart."""
    width, height = size
    left, top, right, bottom = mark.extent
    em = _TYPE * unit
    if mark.side == "ground truth":
        y = top - 0.35 * em if top >= 1.3 * em else top + 1.1 * em
    else:
        y = bottom + 1.1 * em if bottom <= height - 1.4 * em else bottom - 0.4 * em
    y = min(max(y, em), height - 0.3 * em)
    to_left = left > 0.6 * width  # the name would leave the picture
    x = min(right, width) - 0.2 * em if to_left else max(left, 0) + 0.2 * em
    number = "" if isnan(mark.confidence) else f" {mark.confidence:.2f}"
    kind = f"{mark.match_type} " if mark.match_type else ""
    label = safe(cut(" ".join(unturned(mark.label).split()), _LETTERS))
    return (
        f'<text x="{x:.6g}" y="{y:.6g}" font-size="{em:.4g}" fill="#fff" stroke="{colour}" '
        f'stroke-width="{0.36 * em:.3g}" stroke-linejoin="round" paint-order="stroke" direction="ltr" '
        f'text-anchor="{"end" if to_left else "start"}">{kind}<tspan style="unicode-bidi:isolate">{label}</tspan>'
        f"{number}</text>"
    )
