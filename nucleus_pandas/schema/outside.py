"""Boxes that reach beyond their images, and why they may do so."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nucleus_pandas._util.arrays import Bools, Floats
from nucleus_pandas.schema.boxes import BoxFormat, to_xywh

_TOLERANCE = 1.0  # pixels: coordinates are rounded, and some count from 1
_MOST = 0.9  # of the boxes that one cause explains


class Outside(NamedTuple):
    """How many boxes reach beyond images whose size is known, and how many of these would not if read otherwise.

    Attributes
    ----------
    boxes : int
        Boxes with an edge that is more than a pixel beyond the image.
    corners, centres : int
        How many of them would lie inside if their numbers were two corners, or centre and size.
    turned : int
        How many would lie inside if width and height of their images were swapped.
    """

    boxes: int = 0
    corners: int = 0
    centres: int = 0
    turned: int = 0

    def plus(self, other: Outside) -> Outside:
        """Return the sum of both."""
        return Outside(*(one + two for one, two in zip(self, other, strict=True)))

    def text(self, count: int, bbox_format: BoxFormat | None = None, columns: tuple[object, ...] = ()) -> str:
        """Return what to say of these boxes.

        Parameters
        ----------
        count : int
            The number of all rows.
        bbox_format : {"xywh", "xyxy", "cxcywh"}, optional
            How their numbers were read.
        columns : tuple, optional
            The four columns that hold the boxes, if `bbox` did not name them.
        """
        boxes = "1 box reaches" if self.boxes == 1 else f"{self.boxes} boxes reach"
        found = f"Of {count} {'row' if count == 1 else 'rows'} {boxes} beyond images whose size is known"
        named = f"bbox={columns!r}, " if columns else ""
        they = "it lies" if self.boxes == 1 else "they lie"
        if self.corners >= _MOST * self.boxes and bbox_format in (None, "xywh"):
            return f"{found}. As two corners {they} inside: were corners sent as sizes? Use {named}bbox_format='xyxy'."
        if self.centres >= _MOST * self.boxes and bbox_format in (None, "xywh"):
            return (
                f"{found}. As centre and size {they} inside: were centres sent as corners? Use {named}"
                "bbox_format='cxcywh'."
            )
        if self.turned >= _MOST * self.boxes:
            return (
                f"{found}, and {they} inside if width and height of the images are swapped. Boxes are in pixels of the "
                "file, before an EXIF orientation turns the image."
            )
        return f"{found}. Are the coordinates those of a resized copy, or the reference ids of other images?"


NONE_OUTSIDE = Outside()


def outside(sides: Floats, width: Floats, height: Floats) -> tuple[Bools, Outside]:
    """Find the boxes that reach beyond their images.

    Parameters
    ----------
    sides : numpy.ndarray of shape (4, n), float64
        x, y, width and height in pixels; NaN for rows without a box.
    width, height : numpy.ndarray of shape (n,), float64
        Sizes of the images in pixels; NaN where one is not known.

    Returns
    -------
    (numpy.ndarray of bool, Outside)
        Which boxes reach beyond their images, and their counts.

    Examples
    --------
    >>> sides = np.array([[10.0, 500.0], [10.0, 10.0], [90.0, 20.0], [90.0, 20.0]])
    >>> outside(sides, np.array([640.0, 510.0]), np.array([480.0, 480.0]))
    (array([False,  True]), Outside(boxes=1, corners=0, centres=1, turned=0))
    """
    beyond = _beyond(sides, width, height)
    rows = np.flatnonzero(beyond)
    if not len(rows):
        return beyond, NONE_OUTSIDE
    some, wide, high = sides[:, rows], width[rows], height[rows]
    readings = [to_xywh(some.T, form).T for form in _READINGS]
    fits = [~_beyond(read, wide, high) & (read[2:] >= 0).all(axis=0) for read in readings]
    turned = ~_beyond(some, high, wide)
    return beyond, Outside(len(rows), *(int(np.count_nonzero(each)) for each in (*fits, turned)))


_READINGS: tuple[BoxFormat, ...] = ("xyxy", "cxcywh")


def _beyond(sides: Floats, width: Floats, height: Floats) -> Bools:
    x, y, wide, high = sides
    with np.errstate(invalid="ignore"):
        low = (x < -_TOLERANCE) | (y < -_TOLERANCE)
        far = (x + wide > width + _TOLERANCE) | (y + high > height + _TOLERANCE)
    found: Bools = (low | far) & ~(np.isnan(width) | np.isnan(height))
    return found
