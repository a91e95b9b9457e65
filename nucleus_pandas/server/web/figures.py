"""An image with what is drawn over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from markupsafe import Markup, escape

from nucleus_pandas.images.mask_overlays import inspect_mask
from nucleus_pandas.images.svg_shapes import CUBOID, SvgShape, coordinate, keypoints, polygon, rectangle
from nucleus_pandas.server.media.thumbnails import PIXELS
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.layers import AnnotationRow
from nucleus_pandas.server.web.formatting import colour
from nucleus_pandas.server.web.page import link, page

_SHOWN = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".avif", ".svg")  # what browsers can show
MOST_SEGMENTS = 256
"""Labels of a mask that are drawn."""


class Name(NamedTuple):
    """Where the name of a shape begins, or where it ends; `dx` and `dy` are parts of the size of its type."""

    x: float
    y: float
    dx: float
    dy: float
    anchor: Literal["start", "end"]


@dataclass(slots=True)
class Drawn:
    """A shape with its place among the rows beside the image.

    Attributes
    ----------
    shape : SvgShape or None
        None for what has no place in the image.
    name : str
        Unique on a page: what ties the shape to its row.
    words : str
        Further classes, such as the outcome of a match.
    partner : str
        The name of the other side of its pair.
    """

    shape: SvgShape | None
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
        return Markup(f"<{self.shape.element} {' '.join(attributes)}/>")  # numbers, and names of our own


@dataclass(slots=True)
class Figure:
    """An image, and layers of shapes.

    Attributes
    ----------
    source : str or None
        The address of the image; None where it cannot be shown, and `reason` says why.
    width, height : float
        Of the image in pixels, or of what is drawn where that is unknown.
    is_sized : bool
        Whether the size is that of the image.
    """

    source: str | None
    reason: str
    width: float
    height: float
    is_sized: bool
    layers: list[list[Drawn]] = field(default_factory=list)

    @property
    def masks(self) -> list[list[Drawn]]:
        """The masks of each layer, which lie below everything else."""
        return [
            [drawn for drawn in layer if drawn.shape is not None and drawn.shape.element == "image"]
            for layer in self.layers
        ]

    @property
    def shapes(self) -> list[list[Drawn]]:
        """What each layer has beside its masks."""
        return [
            [drawn for drawn in layer if drawn.shape is not None and drawn.shape.element != "image"]
            for layer in self.layers
        ]

    @property
    def type_size(self) -> float:
        """How large names are written, in pixels of the image, where no script fits them to the screen."""
        return round(self.width / 48, 2)

    def name(self, shape: SvgShape, *, guess: bool) -> Name | None:
        """Place the name of a shape at its upper edge: that of ground truth above, that of a prediction below.

        Names stay within the image. A mask has none.
        """
        if shape.extent is None:
            return None
        left, top, right, _ = shape.extent
        is_far_right = left > 0.6 * self.width
        is_below = top < 1.3 * self.type_size or (guess and top < self.height - 1.3 * self.type_size)
        return Name(
            x=min(right, self.width) if is_far_right else max(left, 0.0),
            y=min(max(top, 0.0), self.height),
            dx=-0.2 if is_far_right else 0.2,
            dy=1.05 if is_below else -0.3,
            anchor="end" if is_far_right else "start",
        )


def shape_of(row: AnnotationRow, *, small: bool, guess: bool) -> SvgShape | None:
    """Draw an annotation; None for what has no place in an image, or none that is known (see `undrawn`).

    Parameters
    ----------
    row : AnnotationRow
        It.
    small : bool
        Whether it is drawn over a small copy of the image.
    guess : bool
        Whether it is a prediction, whose masks are striped.
    """
    if row.type == "box":
        x, y, width, height = row.x or 0.0, row.y or 0.0, row.width or 0.0, row.height or 0.0
        return rectangle((x, y, width, height), row.label)
    if row.type == "mask":
        return _mask(row, small=small, guess=guess)
    if row.geometry is None:
        return None
    geometry = msgspec.json.decode(row.geometry)
    if row.type in ("polygon", "line"):
        vertices = [(float(vertex["x"]), float(vertex["y"])) for vertex in geometry.get("vertices") or ()]
        return polygon(vertices, row.label, closed=row.type == "polygon")
    if row.type == "keypoints":
        places = [(point.get("x"), point.get("y")) for point in geometry.get("keypoints") or ()]
        points = [None if x is None or y is None else (float(x), float(y)) for x, y in places]
        return keypoints(points, geometry.get("skeleton") or (), row.label)
    return None


def undrawn(row: AnnotationRow) -> str:
    """Return why a localized annotation is not drawn; empty if it is drawn, or belongs to the whole image."""
    if row.type == "cuboid":
        return CUBOID
    if row.type == "keypoints" and shape_of(row, small=False, guess=False) is None:
        return "none of its keypoints has a place"
    if row.type != "mask":
        return ""
    file = _extra(row).get("mask_file")
    if file is None:
        return "its mask is on another server"
    path = page().nucleus.masks.path(file)
    return "the file of its mask is gone" if path is None else inspect_mask(path).reason


def segments(row: AnnotationRow) -> list[tuple[str, int]]:
    """Return the labels of a mask, each with the number that stands for it."""
    return [(segment["label"], segment["index"]) for segment in _extra(row).get("annotations") or ()]


def _extra(row: AnnotationRow) -> dict[str, Any]:
    extra: dict[str, Any] = msgspec.json.decode(row.extra) if row.extra else {}
    return extra


def _mask(row: AnnotationRow, *, small: bool, guess: bool) -> SvgShape | None:
    if undrawn(row):
        return None
    numbers = [f"{index}-{colour(label)}" for label, index in segments(row)[:MOST_SEGMENTS]]
    parameters = {"c": ".".join(numbers), "size": "small" if small else "large"}
    parameters |= {"striped": "1"} if guess else {}
    address = link("mask", name=_extra(row)["mask_file"], **parameters)
    return SvgShape("image", {"href": str(escape(address)), "preserveAspectRatio": "none"}, None, None)


def figure(item: ItemRow, layers: list[list[Drawn]], *, small: bool) -> Figure:
    """Lay shapes over the image of an item, the whole image or a small copy."""
    source, reason = _source(item, small=small)
    shapes = [drawn.shape for layer in layers for drawn in layer if drawn.shape is not None]
    extents = [shape.extent for shape in shapes if shape.extent is not None]
    is_sized = bool(item.width and item.height)
    width = float(item.width or 0) if is_sized else max([1.0, *(extent[2] for extent in extents)])
    height = float(item.height or 0) if is_sized else max([1.0, *(extent[3] for extent in extents)])
    for shape in shapes:
        if shape.element == "image":
            shape.attributes.update(width=coordinate(width), height=coordinate(height))
    return Figure(source, reason, width, height, is_sized, layers)


def _source(item: ItemRow, *, small: bool) -> tuple[str | None, str]:
    if item.file is not None:
        if small:
            return link("thumbnail", name=item.file), ""
        return link("image" if item.file.endswith(_SHOWN) else "large", name=item.file), ""
    if item.url is None:
        return None, "No image"
    scheme = urlsplit(item.url).scheme.lower()
    if scheme not in ("http", "https"):
        return None, f"Kept in {scheme}" if scheme in ("s3", "gs", "gcs") else "Kept elsewhere"
    return (item.url, "") if page().remote_images else (None, "On another server")


_AROUND = 0.6  # of the size of what is shown, on each side
_ENOUGH = 72  # pixels of the small copy that a part has to have, to be more than a few coloured squares
_SHAPE = 4 / 3


class Crop(NamedTuple):
    """A view box, in pixels of the image."""

    x: float
    y: float
    width: float
    height: float


def crop(figure: Figure) -> Crop:
    """Choose what to show of an image: around its shapes, but not closer than its small copy is worth."""
    whole = Crop(0, 0, figure.width, figure.height)
    rects = [drawn.shape for layer in figure.layers for drawn in layer if drawn.shape is not None]
    boxes = [shape.attributes for shape in rects if shape.element == "rect"]
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
