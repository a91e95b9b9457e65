"""The shapes of annotations as elements of SVG whose unit is a pixel of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

T = TypeVar("T")
Point: TypeAlias = tuple[float, float]
Extent: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom edge."""

CUBOID = "a cuboid lies in the scene, and no camera says where that is in the image"
"""Why a cuboid is not drawn."""
_MOST_POINTS = 1_000  # of one shape; of those that have more some are left out


@dataclass(frozen=True, slots=True)
class SvgShape:
    """An annotation or a prediction as it is drawn.

    Attributes
    ----------
    element : {"rect", "polygon", "polyline", "path", "image"}
        The element of SVG. Keypoints are a path of dots and of the bones between them.
    attributes : dict of str to str
        Its geometry, in pixels of the image; a mask is stretched over the whole of it.
    label : str or None
        What its colour stands for.
    extent : (float, float, float, float) or None
        Its left, upper, right and lower edge; None of a mask.
    """

    element: Literal["rect", "polygon", "polyline", "path", "image"]
    attributes: dict[str, str]
    label: str | None
    extent: Extent | None

    @property
    def markup(self) -> str:
        """The element; numbers and our own names need no escaping."""
        attributes = " ".join(f'{name}="{value}"' for name, value in self.attributes.items())
        return f"<{self.element} {attributes}/>"


def coordinate(value: float) -> str:
    """Write a coordinate, as short as it can be read back.

    Examples
    --------
    >>> coordinate(12.0), coordinate(0.1)
    ('12', '0.1')
    """
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def rectangle(box: tuple[float, float, float, float], label: str | None) -> SvgShape:
    """Draw a box: x, y, width and height."""
    x, y, width, height = box
    names = ("x", "y", "width", "height")
    return SvgShape("rect", dict(zip(names, map(coordinate, box), strict=True)), label, (x, y, x + width, y + height))


def polygon(points: Sequence[Point], label: str | None, *, closed: bool) -> SvgShape | None:
    """Draw a polygon, or a line; None without points."""
    if not points:
        return None
    text = " ".join(_pair(point, ",") for point in _thinned(points))
    return SvgShape("polygon" if closed else "polyline", {"points": text}, label, _extent(points))


def keypoints(points: Sequence[Point | None], bones: Sequence[Sequence[int]], label: str | None) -> SvgShape | None:
    """Draw the keypoints that have a place, and the bones between them; None if none has one."""
    placed = [point for point in points if point is not None]
    if not placed:
        return None
    dots = "".join(f"M{_pair(point, ' ')}h0" for point in _thinned(placed))
    ends = [(points[start], points[end]) for start, end in bones[:_MOST_POINTS]]
    lines = "".join(f"M{_pair(a, ' ')}L{_pair(b, ' ')}" for a, b in ends if a is not None and b is not None)
    return SvgShape("path", {"d": dots + lines}, label, _extent(placed))


def _thinned(points: Sequence[T]) -> Sequence[T]:
    return points[:: math.ceil(len(points) / _MOST_POINTS)]


def _pair(point: Point, between: str) -> str:
    return f"{coordinate(point[0])}{between}{coordinate(point[1])}"


def _extent(points: Sequence[Point]) -> Extent:
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)
