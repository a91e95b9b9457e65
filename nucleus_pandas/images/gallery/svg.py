"""What lies over an image: boxes and names, as SVG whose unit is a pixel of the image."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal, TypeAlias

from markupsafe import Markup

from nucleus_pandas._util.html import safe
from nucleus_pandas.images.gallery.labels import names
from nucleus_pandas.images.gallery.marks import Mark
from nucleus_pandas.images.mask_overlays import MIMETYPE, overlay

Colour: TypeAlias = Literal["label", "match_type"]

MOST = 200
"""Marks that are drawn on an image."""
MOST_MASKS = 20
"""Masks that are drawn on an image."""

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
DASHES = "6 4"
"""Of the lines of predictions, in pixels of the page."""


@dataclass(frozen=True)
class Colours:
    """Which colour marks have.

    Attributes
    ----------
    by : {"label", "match_type"}
        What it tells.
    labels : dict of str to str
        The colours of the most frequent labels; all others are grey.
    """

    by: Colour
    labels: Mapping[str, str]

    def of(self, mark: Mark) -> str:
        """Return the colour of a mark."""
        if self.by == "match_type":
            return FOUND.get(mark.match_type or "", NEUTRAL)
        return self.of_label(mark.label)

    def of_label(self, label: str) -> str:
        """Return the colour of a label."""
        return self.labels.get(label, NEUTRAL)


def chosen(marks: Sequence[Mark]) -> list[Mark]:
    """Return the marks that are drawn, large ones first so that small ones lie above them.

    Of too many these are the most confident ones, then the largest.
    """
    placed = [mark for mark in marks if mark.points]
    placed.sort(key=lambda mark: (-1.0 if isnan(mark.confidence) else mark.confidence, mark.area), reverse=True)
    return sorted(placed[:MOST], key=lambda mark: -mark.area)


def drawing(marks: Sequence[Mark], size: tuple[int, int], scale: float, colours: Colours) -> Markup:
    """Draw marks, masks below all others.

    Parameters
    ----------
    marks : sequence of Mark
        Of the image; those that `chosen` gives are drawn, and the first masks.
    size : (int, int)
        Width and height of the image.
    scale : float
        Pixels of the page for one of the image, so that all type has one size.
    colours : Colours
        Which colours they have.
    """
    masks = [mark for mark in marks if mark.shape == "mask"][:MOST_MASKS]
    below = "".join(_mask(mark, size, scale, colours) for mark in masks)
    marks = chosen(marks)
    unit = 1 / scale
    every = [colours.of(mark) for mark in marks]
    shapes = "".join(_mark(mark, unit, colour) for mark, colour in zip(marks, every, strict=True))
    written = names(marks, size, unit, every)
    return Markup(
        f'<svg class="npd-marks" viewBox="0 0 {size[0]} {size[1]}" preserveAspectRatio="none" aria-hidden="true" '
        f'style="position:absolute;left:0;top:0;width:100%;height:100%;overflow:hidden">{below}{shapes}{written}</svg>'
    )


def told(mark: Mark) -> str:
    """Say in words what a mark is."""
    parts = [mark.match_type or "", mark.side]
    if not isnan(mark.confidence):
        parts.append(f"confidence {mark.confidence:.3g}")
    if not isnan(mark.iou):
        parts.append(f"IoU {mark.iou:.2f}")
    return ", ".join(filter(None, parts))


def _mark(mark: Mark, unit: float, colour: str) -> str:
    """Draw a mark: its line in white, then in its colour, so that it is seen on any image."""
    title = f"<title>{safe(told(mark))}\n{safe(mark.label)}</title>"
    dashes = f' stroke-dasharray="{DASHES}"' if mark.side == "prediction" else ""
    shape = _shape(mark, unit)
    return (
        f'<g fill="none" stroke="{colour}" pointer-events="all">{title}'
        f'<g stroke="#fff" stroke-width="3.5" stroke-opacity="0.8">{shape}</g>'
        f'<g stroke-width="1.75"{dashes}>{shape}</g></g>'
    )


def _mask(mark: Mark, size: tuple[int, int], scale: float, colours: Colours) -> str:
    """Draw a mask; one of a prediction is striped."""
    palette = list(dict.fromkeys(map(colours.of_label, mark.labels)))
    places = {number: palette.index(colours.of_label(label)) for label, number in mark.segments}
    rgb = [(one[0], one[1], one[2]) for one in (bytes.fromhex(colour.removeprefix("#")) for colour in palette)]
    assert not isinstance(mark.source, str)
    most = max(1, round(scale * max(size)))
    content = overlay(mark.source, places, rgb, most, striped=mark.side == "prediction")
    if content is None:
        return ""
    uri = f"data:{MIMETYPE};base64,{b64encode(content).decode()}"
    return (
        f'<image href="{uri}" width="{size[0]}" height="{size[1]}" preserveAspectRatio="none" pointer-events="none"/>'
    )


def _shape(mark: Mark, unit: float) -> str:
    if mark.shape == "box":
        (left, top), (right, bottom) = mark.points
        return f'<rect x="{left:.6g}" y="{top:.6g}" width="{right - left:.6g}" height="{bottom - top:.6g}"/>'
    if mark.shape == "points":
        bones = "".join(f'<line x1="{a:.6g}" y1="{b:.6g}" x2="{c:.6g}" y2="{d:.6g}"/>' for (a, b), (c, d) in mark.bones)
        return bones + "".join(f'<circle cx="{x:.6g}" cy="{y:.6g}" r="{3 * unit:.4g}"/>' for x, y in mark.points)
    points = " ".join(f"{x:.6g},{y:.6g}" for x, y in mark.points)
    return f'<{"polygon" if mark.shape == "polygon" else "polyline"} points="{points}"/>'
