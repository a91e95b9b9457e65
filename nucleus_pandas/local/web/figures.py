"""A picture with what is drawn over it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from markupsafe import Markup

from nucleus_pandas.local.store.items import ItemRow
from nucleus_pandas.local.store.layers import AnnotationRow
from nucleus_pandas.local.web.colours import colour
from nucleus_pandas.local.web.page import link, page
from nucleus_pandas.local.web.text import coordinate

T = TypeVar("T")

_SHOWN = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".avif", ".svg")  # what browsers can show
_MOST_POINTS = 1_000  # of one shape; of those that have more some are left out


@dataclass(frozen=True, slots=True)
class Shape:
    """What is drawn of an annotation or of a prediction.

    Attributes
    ----------
    kind : {"rect", "polygon", "polyline", "path"}
        The element of SVG.
    attributes : dict of str to str
        Its geometry, in pixels of the picture.
    label : str or None
        What gives the colour.
    extent : (float, float)
        How far it reaches right and down.
    """

    kind: Literal["rect", "polygon", "polyline", "path"]
    attributes: dict[str, str]
    label: str | None
    extent: tuple[float, float]


@dataclass(slots=True)
class Drawn:
    """A shape with its place among the rows beside the picture.

    Attributes
    ----------
    shape : Shape or None
        None for what has no place in the picture.
    name : str
        Unique on a page: what ties the shape to its row.
    words : str
        Further classes, such as the outcome of a match.
    partner : str
        The name of the other side of its pair.
    """

    shape: Shape | None
    name: str = ""
    words: str = ""
    partner: str = ""

    @property
    def element(self) -> Markup:
        """The element of SVG; written here, since templates take ten times as long for thousands of them."""
        if self.shape is None:
            return Markup("")
        attributes = [f'class="s l{colour(self.shape.label)}{f" {self.words}" if self.words else ""}"']
        attributes += [f'data-n="{self.name}"'] if self.name else []
        attributes += [f'data-p="{self.partner}"'] if self.partner else []
        attributes += [f'{name}="{value}"' for name, value in self.shape.attributes.items()]
        return Markup(f"<{self.shape.kind} {' '.join(attributes)}/>")  # numbers, and names of our own


@dataclass(slots=True)
class Figure:
    """A picture, and layers of shapes.

    Attributes
    ----------
    source : str or None
        The address of the picture; None where it cannot be shown, and `reason` says why.
    width, height : float
        Of the picture in pixels, or of what is drawn where that is unknown.
    is_sized : bool
        Whether the size is that of the picture.
    """

    source: str | None
    reason: str
    width: float
    height: float
    is_sized: bool
    layers: list[list[Drawn]] = field(default_factory=list)


def shape_of(row: AnnotationRow) -> Shape | None:
    """Draw an annotation; None for what has no place in a picture, or has it in a file of its own."""
    if row.type == "box":
        x, y, width, height = row.x or 0.0, row.y or 0.0, row.width or 0.0, row.height or 0.0
        return rectangle((x, y, width, height), row.label)
    if row.geometry is None:
        return None
    geometry = msgspec.json.decode(row.geometry)
    if row.type in ("polygon", "line"):
        points = _points(geometry.get("vertices"))
        text = " ".join(_pair(point, ",") for point in _thinned(points))
        kind: Literal["polygon", "polyline"] = "polygon" if row.type == "polygon" else "polyline"
        return Shape(kind, {"points": text}, row.label, _extent(points)) if points else None
    if row.type == "keypoints":
        points = _points(geometry.get("keypoints"))
        named = [_pair(point, " ") for point in points]
        dots = "".join(f"M{one}h0" for one in _thinned(named))
        ends = [(a, b) for a, b in geometry.get("skeleton") or () if min(a, b) >= 0 and max(a, b) < len(points)]
        bones = "".join(f"M{named[a]}L{named[b]}" for a, b in ends[:_MOST_POINTS])
        return Shape("path", {"d": dots + bones}, row.label, _extent(points)) if points else None
    return None


def rectangle(box: tuple[float, float, float, float], label: str | None) -> Shape:
    """Draw a box."""
    x, y, width, height = box
    names = ("x", "y", "width", "height")
    return Shape("rect", dict(zip(names, map(coordinate, box), strict=True)), label, (x + width, y + height))


def _points(places: Sequence[dict[str, Any]] | None) -> list[tuple[float, float]]:
    return [(float(place["x"]), float(place["y"])) for place in places or ()]


def _thinned(points: list[T]) -> list[T]:
    return points[:: math.ceil(len(points) / _MOST_POINTS)] if points else []


def _pair(point: tuple[float, float], between: str) -> str:
    return f"{coordinate(point[0])}{between}{coordinate(point[1])}"


def _extent(points: Iterable[tuple[float, float]]) -> tuple[float, float]:
    across, down = zip(*points, strict=True)
    return max(across), max(down)


def figure(item: ItemRow, layers: list[list[Drawn]], *, small: bool) -> Figure:
    """Lay shapes over the picture of an item, the whole picture or a small copy."""
    source, reason = _source(item, small=small)
    width, height = item.width or 0, item.height or 0
    is_sized = width > 0 and height > 0
    shapes = [drawn.shape.extent for layer in layers for drawn in layer if drawn.shape is not None]
    return Figure(
        source,
        reason,
        width if is_sized else max([1.0, *(right for right, _ in shapes)]),
        height if is_sized else max([1.0, *(down for _, down in shapes)]),
        is_sized,
        layers,
    )


def _source(item: ItemRow, *, small: bool) -> tuple[str | None, str]:
    if item.file is not None:
        if small:
            return link("thumbnail", name=item.file), ""
        return link("picture" if item.file.endswith(_SHOWN) else "large", name=item.file), ""
    if item.url is None:
        return None, "No picture"
    scheme = urlsplit(item.url).scheme.lower()
    if scheme not in ("http", "https"):
        return None, f"Kept in {scheme}" if scheme in ("s3", "gs", "gcs") else "Kept elsewhere"
    return (item.url, "") if page().remote_images else (None, "On another server")
