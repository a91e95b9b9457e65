"""Polygons and lines in the forms that other libraries have them, as vertices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nucleus_pandas.errors import ValidationError
from nucleus_pandas.schema.checked_rows import shown

_SUBJECT = "The geometry"
_GEOJSON = {"polygon": ("Polygon", "MultiPolygon"), "line": ("LineString", "MultiLineString", "LinearRing")}
_FORMS = "Points are [[x, y], …], [x1, y1, x2, y2, …] or {'vertices': [{'x': …, 'y': …}, …]}."


def as_vertices(value: Any, kind: str) -> Any:
    """Return the geometry of a polygon or a line as ``{"vertices": [{"x": …, "y": …}, …]}``.

    Parameters
    ----------
    value : object
        Points as ``[[x, y], …]`` or ``[{"x": …, "y": …}, …]``; COCO's flat list, or its list of one; an array; or what
        has `__geo_interface__`, as shapes of Shapely and GeoPandas, or GeoJSON. Another dict is returned as it is.
    kind : {"polygon", "line"}
        The type of the annotation.

    Raises
    ------
    ValidationError
        The geometry has holes or several parts, or another form.

    Examples
    --------
    >>> as_vertices([[1, 2, 3, 4, 5, 2]], "polygon") == as_vertices([[1, 2], [3, 4], [5, 2]], "polygon")
    True
    """
    interface = getattr(value, "__geo_interface__", None)
    if isinstance(interface, Mapping):
        value = interface
    if isinstance(value, Mapping):
        return _of_geojson(value, kind) if "coordinates" in value and "type" in value else value
    if isinstance(value, bytes):
        raise ValidationError("is bytes. shapely.from_wkb(column) converts WKB to shapes.", subject=_SUBJECT)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or not value:
        return value
    parts = [part.tolist() if isinstance(part, np.ndarray) else part for part in value]
    if all(isinstance(part, Mapping) for part in parts):
        return {"vertices": _enough(parts, kind)}
    if not any(isinstance(part, (list, tuple)) for part in parts):
        return {"vertices": _enough(_pairs(parts), kind)}
    if not all(isinstance(part, (list, tuple)) for part in parts):
        raise ValidationError(f"is {shown(value)}. {_FORMS}", subject=_SUBJECT)
    nested = [part for part in parts if part and isinstance(part[0], (list, tuple, np.ndarray))]
    if nested:  # [[[x, y], …]]
        return as_vertices(_single(parts, kind), kind)
    if all(len(part) == 2 for part in parts):
        return {"vertices": _enough([{"x": x, "y": y} for x, y in parts], kind)}
    if all(len(part) >= 4 and len(part) % 2 == 0 for part in parts):
        return {"vertices": _enough(_pairs(_single(parts, kind)), kind)}
    raise ValidationError(f"is {shown(value)}. {_FORMS}", subject=_SUBJECT)


def _single(parts: list[Any], kind: str) -> Any:
    if len(parts) > 1:
        raise ValidationError(
            f"has {len(parts)} parts, and a {kind} of Nucleus has one. Give each part a row: "
            "frame.explode('geometry'); or send all of them as one mask.",
            subject=_SUBJECT,
        )
    return parts[0]


def _enough(vertices: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Reject shapes without points, and single points, as exploding a list of points leaves them."""
    least = 3 if kind == "polygon" else 2
    if len(vertices) < least:
        remedy = "Explode only rows of several parts" if vertices else "Drop the row"
        raise ValidationError(
            f"has {len(vertices)} points, and a {kind} has at least {least}. {remedy}.", subject=_SUBJECT
        )
    return vertices


def _pairs(numbers: Any) -> list[dict[str, Any]]:
    if len(numbers) % 2:
        raise ValidationError(f"has {len(numbers)} numbers, and each point has two. {_FORMS}", subject=_SUBJECT)
    return [{"x": x, "y": y} for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


def _of_geojson(value: Mapping[str, Any], kind: str) -> dict[str, Any]:
    named, coordinates = value["type"], value["coordinates"]
    if named not in _GEOJSON[kind]:
        other = next((known for known, names in _GEOJSON.items() if named in names), None)
        remedy = f"Set 'type' to {other!r}." if other else f"A {kind} is one of {', '.join(_GEOJSON[kind])}."
        raise ValidationError(f"is a {named}, and the row is of type {kind!r}. {remedy}", subject=_SUBJECT)
    if named.startswith("Multi"):
        if len(coordinates) != 1:
            raise ValidationError(
                f"is a {named} of {len(coordinates)} parts, and a {kind} of Nucleus has one. Give each part a row: "
                "frame.explode() of a GeoDataFrame does; or send all of them as one mask.",
                subject=_SUBJECT,
            )
        coordinates = coordinates[0]
    if kind == "polygon":
        if len(coordinates) > 1:
            holes = len(coordinates) - 1
            raise ValidationError(
                f"has {holes} {'hole' if holes == 1 else 'holes'}, which polygons of Nucleus cannot have. Send it as a "
                "mask, or its outline alone: [shapely.Polygon(polygon.exterior) for polygon in frame['geometry']].",
                subject=_SUBJECT,
            )
        coordinates = coordinates[0] if coordinates else ()
    points = [tuple(point) for point in coordinates]
    if any(len(point) != 2 for point in points):
        raise ValidationError(
            "has points of three numbers, and pixels have two. Drop z, as shapely.force_2d does.", subject=_SUBJECT
        )
    if kind == "polygon" and len(points) > 1 and points[0] == points[-1]:
        points.pop()  # rings repeat their first point
    return {"vertices": _enough([{"x": x, "y": y} for x, y in points], kind)}
