"""Boxes as arrays: formats, areas and intersection over union (IoU).

A box is ``(x, y, width, height)`` in pixels. ``x`` and ``y`` are its top-left corner, and the origin is the
top-left corner of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from nucleus_pandas._util.arrays import Floats

__all__ = ["BoxFormat", "to_xywh", "areas", "edges", "edge_iou", "iou_pairs", "iou_matrix"]

BoxFormat: TypeAlias = Literal["xywh", "xyxy", "cxcywh"]
"""Corner and size, two opposite corners (top-left, bottom-right), or centre and size."""


def to_xywh(boxes: ArrayLike, box_format: BoxFormat) -> Floats:
    """Convert boxes to ``(x, y, width, height)``.

    Parameters
    ----------
    boxes : array-like of shape (n, 4)
        Boxes in pixels; left as they are. An empty sequence stands for no boxes.
    box_format : {"xywh", "xyxy", "cxcywh"}
        What the four numbers mean: corner and size, top-left and bottom-right corner, or centre and size.

    Returns
    -------
    numpy.ndarray of shape (n, 4), float64
        A new array.

    Raises
    ------
    ValueError
        If the format is unknown or a box does not have four numbers.

    Examples
    --------
    >>> to_xywh([[10, 20, 40, 80]], "xyxy").tolist()
    [[10.0, 20.0, 30.0, 60.0]]
    >>> to_xywh([[10, 20, 4, 8]], "cxcywh").tolist()
    [[8.0, 16.0, 4.0, 8.0]]
    """
    if box_format not in get_args(BoxFormat):
        allowed = ", ".join(map(repr, get_args(BoxFormat)))
        raise ValueError(f"Unknown box format {box_format!r}; use one of {allowed}.")
    converted = _as_boxes(boxes).copy()
    if box_format == "xyxy":
        converted[:, 2:] -= converted[:, :2]
    elif box_format == "cxcywh":
        converted[:, :2] -= converted[:, 2:] / 2
    return converted


def areas(boxes: ArrayLike) -> Floats:
    """Area of each box.

    Parameters
    ----------
    boxes : array-like of shape (n, 4)
        Boxes as ``(x, y, width, height)`` in pixels.

    Returns
    -------
    numpy.ndarray of shape (n,), float64
        Width times height, in square pixels.

    Raises
    ------
    ValueError
        If a box does not have four numbers.

    Examples
    --------
    >>> areas([[0, 0, 4, 5], [7, 7, 0, 3]]).tolist()
    [20.0, 0.0]
    """
    size = _as_boxes(boxes)[:, 2:]
    return size[:, 0] * size[:, 1]


def iou_pairs(a: ArrayLike, b: ArrayLike) -> Floats:
    """IoU of each box of `a` with the box of `b` in the same row.

    Parameters
    ----------
    a, b : array-like of shape (n, 4)
        Boxes as ``(x, y, width, height)`` in pixels.

    Returns
    -------
    numpy.ndarray of shape (n,), float64
        Between 0 and 1; 0 where the boxes do not overlap or have no area.

    Raises
    ------
    ValueError
        If a box does not have four numbers, or `a` and `b` differ in length.

    Notes
    -----
    The formula is that of Pascal VOC (Everingham et al., 2010, section 4.2) for continuous coordinates:
    ``intersection / (area_a + area_b - intersection)``. Both areas are measured between the same rounded
    edges as the intersection, so that a box has an IoU of exactly 1 with itself.

    Examples
    --------
    >>> iou_pairs([[0, 0, 4, 4], [0, 0, 1, 1]], [[0, 2, 4, 2], [5, 5, 1, 1]]).tolist()
    [0.5, 0.0]
    """
    first, second = edges(a), edges(b)
    if first.shape != second.shape:
        raise ValueError(f"Expected as many boxes in a as in b, got {first.shape[1]} and {second.shape[1]}.")
    return edge_iou(first, second)


def iou_matrix(a: ArrayLike, b: ArrayLike) -> Floats:
    """IoU of each box of `a` with each box of `b`.

    Parameters
    ----------
    a : array-like of shape (n, 4)
        Boxes as ``(x, y, width, height)`` in pixels.
    b : array-like of shape (m, 4)
        Boxes of the same format.

    Returns
    -------
    numpy.ndarray of shape (n, m), float64
        The same values, to the last bit, as :func:`iou_pairs` gives for the same boxes.

    Raises
    ------
    ValueError
        If a box does not have four numbers.

    Examples
    --------
    >>> iou_matrix([[0, 0, 4, 4]], [[0, 2, 4, 2], [5, 5, 1, 1]]).tolist()
    [[0.5, 0.0]]
    """
    return edge_iou(edges(a)[:, :, None], edges(b)[:, None, :])


def edges(boxes: ArrayLike) -> Floats:
    """Left, top, right and bottom edge of each box.

    Parameters
    ----------
    boxes : array-like of shape (n, 4)
        Boxes as ``(x, y, width, height)`` in pixels.

    Returns
    -------
    numpy.ndarray of shape (4, n), float64
        One row per edge, in pixels.

    Raises
    ------
    ValueError
        If a box does not have four numbers.

    Examples
    --------
    >>> edges([[10, 20, 30, 60]]).tolist()
    [[10.0], [20.0], [40.0], [80.0]]
    """
    x, y, width, height = _as_boxes(boxes).T
    return np.stack((x, y, x + width, y + height))


def edge_iou(a: Floats | Sequence[Floats], b: Floats | Sequence[Floats]) -> Floats:
    """IoU of boxes given by their edges; every IoU of this package comes from here.

    Parameters
    ----------
    a, b : numpy.ndarray of shape (4, ...), or four numpy.ndarray, float64
        Left, top, right and bottom edges in pixels, as from :func:`edges`; the other axes are broadcast.

    Returns
    -------
    numpy.ndarray, float64
        Of the broadcast shape, without the first axis; 0 where the intersection is empty.

    Examples
    --------
    >>> edge_iou(edges([[0, 0, 4, 4]]), edges([[0, 2, 4, 2]])).tolist()
    [0.5]
    """
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    intersection = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    # a box with area in common with another has area itself: the union is positive wherever it divides
    overlap: Floats = np.divide(intersection, union, out=np.zeros_like(intersection), where=intersection > 0)
    return overlap


def _as_boxes(boxes: ArrayLike) -> Floats:
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0 and array.ndim < 2:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"Expected boxes of shape (n, 4), got {array.shape}.")
    return array
