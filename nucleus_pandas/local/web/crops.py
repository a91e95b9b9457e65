"""The part of a picture that an example is about."""

from __future__ import annotations

from typing import NamedTuple

from nucleus_pandas.local.thumbnails import PIXELS
from nucleus_pandas.local.web.figures import Figure

_AROUND = 0.6  # of the size of what is shown, on each side
_ENOUGH = 72  # pixels of the small copy that a part has to have, to be more than a few coloured squares
_SHAPE = 4 / 3


class Crop(NamedTuple):
    """A view box, in pixels of the picture."""

    x: float
    y: float
    width: float
    height: float


def crop(figure: Figure) -> Crop:
    """Choose what to show of a picture: around its shapes, but not closer than its small copy is worth."""
    whole = Crop(0, 0, figure.width, figure.height)
    rects = [drawn.shape for layer in figure.layers for drawn in layer if drawn.shape is not None]
    boxes = [shape.attributes for shape in rects if shape.kind == "rect"]
    if not boxes or figure.source is None:
        return whole
    left, top = (min(float(box[name]) for box in boxes) for name in ("x", "y"))
    right = max(float(box["x"]) + float(box["width"]) for box in boxes)
    bottom = max(float(box["y"]) + float(box["height"]) for box in boxes)
    longer = max(figure.width, figure.height)
    least = _ENOUGH * max(1.0, longer / PIXELS["small"])
    width = max((right - left) * (1 + 2 * _AROUND), least)
    height = max((bottom - top) * (1 + 2 * _AROUND), least / _SHAPE)
    width, height = max(width, height * _SHAPE), max(height, width / _SHAPE)
    if width >= figure.width or height >= figure.height:
        return whole
    x = min(max((left + right - width) / 2, 0), figure.width - width)
    y = min(max((top + bottom - height) / 2, 0), figure.height - height)
    return Crop(round(x, 2), round(y, 2), round(width, 2), round(height, 2))
