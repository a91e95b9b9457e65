"""Build a gallery from frames."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from numbers import Integral
from pathlib import Path
from typing import TypeAlias, get_args

import pandas as pd

from nucleus_pandas._util.html import cut
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.inputs import FrameColumns
from nucleus_pandas.images.gallery.html import Gallery, GalleryTile
from nucleus_pandas.images.gallery.marks import AnnotationSide, Mark, Marks
from nucleus_pandas.images.gallery.selection import PREDICTED, LocatedImage, Selection, locate_images, select_images
from nucleus_pandas.images.gallery.svg import ColourBy
from nucleus_pandas.images.mask_overlays import inspect_mask
from nucleus_pandas.images.thumbnails import UnshowableError, thumbnail
from nucleus_pandas.schema import BoxColumn, NamedColumns
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.unfolding import unfolded

SIZE = 280
"""Pixels of the page for the longer side of an image."""

_SIZES = range(32, 2049)
_WEB = ("http", "https")

FrameSource: TypeAlias = pd.DataFrame | Callable[[str, list[str]], pd.DataFrame]
"""A frame, or a function that returns one for images by their ``reference_id`` or ``dataset_item_id``."""

Fetch: TypeAlias = Callable[[str], bytes | None]
"""Returns an image from its own server; None for other URLs."""


def gallery(
    frame: pd.DataFrame,
    n: int = 12,
    *,
    items: FrameSource | None = None,
    ground_truth: FrameSource | None = None,
    predictions: FrameSource | None = None,
    color: ColourBy | None = None,
    size: int = SIZE,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat | None = None,
    fetch: Fetch | None = None,
) -> Gallery:
    """Show the first images that a frame names; see `nucleus_pandas.show`.

    Parameters
    ----------
    frame : pandas.DataFrame
        Items, boxes, examples or matches.
    n, color, size, columns, bbox, bbox_format
        As in `nucleus_pandas.show`.
    items, ground_truth, predictions : pandas.DataFrame or callable, optional
        Further images and boxes; a function is called with the images that are shown only.
    fetch : callable, optional
        Returns images of its own server, which are embedded in the page as local files are.
    """
    check_size(n, size)
    if color is not None and color not in get_args(ColourBy):
        raise InvalidInputError(f"color is 'label', 'match_type' or None, not {color!r}.", argument="color")
    if isinstance(columns, Integral):
        raise InvalidInputError(
            "columns= is a dict such as {'reference_id': 'your_column'}. As many images stand side by side as there "
            "is room for; size= sets how large they are.",
            argument="columns",
        )
    layout = FrameColumns(columns, bbox, bbox_format)
    frame = _one_box_per_row(frame, layout)
    named = NamedColumns(frame, columns)
    selection = select_images(named, int(n), NamedColumns(items, None) if isinstance(items, pd.DataFrame) else None)
    items_frame = _requested(items, selection)
    given_frames: dict[AnnotationSide, pd.DataFrame | None] = {
        "ground truth": _requested(ground_truth, selection),
        "prediction": _requested(predictions, selection),
    }
    other_boxes = {side: _one_box_per_row(boxes, layout) for side, boxes in given_frames.items() if boxes is not None}
    is_examples = named.holds(PREDICTED[0])
    has_boxes = is_examples or bbox is not None or any(map(named.has, ("x", "y", "geometry")))
    images = locate_images(
        selection, named, None if items_frame is None else NamedColumns(items_frame, None), boxes=has_boxes
    )
    marks = Marks(selection)
    if is_examples:
        marks.add_examples(named)
    elif has_boxes:
        marks.add_own(named, "prediction" if named.has("confidence") else "ground truth", layout)
    if not has_boxes and any(map(named.holds, ("annotation_id", "prediction_id"))):
        if not other_boxes:
            raise InvalidInputError(
                "This frame names boxes by their ids alone. Pass ground_truth= and predictions= too: the "
                "frames, or the dataset and the run, that hold them."
            )
        marks.add_matches(named, other_boxes, layout)
    else:
        for side, boxes in other_boxes.items():
            marks.add_others(boxes, side, layout)
    source_of = cache(partial(_source, longer_side=int(size), fetch=fetch))  # each image is scaled down once
    tiles = [
        _tile(image, source_of(image.url, image.size), *_load_masks(marks.of_tile[at], marks.problems[at], fetch))
        for at, image in enumerate(images)
    ]
    if color is None:
        color = "match_type" if any(mark.match_type for tile in tiles for mark in tile.marks) else "label"
    return Gallery(tiles, selection.total, "examples" if is_examples else "images", color, int(size))


def check_size(n: object, size: object) -> None:
    """Check the number of images and their size in pixels.

    Raises
    ------
    InvalidInputError
        The text says what is allowed.
    """
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise InvalidInputError(f"n is the number of images to show, at least 1, not {n!r}.", argument="n")
    if isinstance(size, bool) or not isinstance(size, Integral) or int(size) not in _SIZES:
        raise InvalidInputError(
            f"size is in pixels, from {_SIZES.start} to {_SIZES.stop - 1}, not {size!r}.", argument="size"
        )


def _one_box_per_row(frame: pd.DataFrame, layout: FrameColumns) -> pd.DataFrame:
    """Return a frame of one row per box; rows whose lists differ in length are explained below their image."""
    of_frame = layout if not isinstance(layout.columns, Mapping) else layout.of(frame)
    return unfolded(frame, of_frame.columns, of_frame.bbox)[0]


def _requested(frames: FrameSource | None, selection: Selection) -> pd.DataFrame | None:
    if frames is None or isinstance(frames, pd.DataFrame):
        return frames
    if selection.key == "image_url":
        raise InvalidInputError(
            "The frame names its images by 'image_url' alone. A dataset knows them by 'reference_id'; "
            "columns={'reference_id': 'your_column'} names another column."
        )
    return frames(selection.key, selection.ids)


def _load_masks(marks: list[Mark], problems: list[str], fetch: Fetch | None) -> tuple[list[Mark], list[str]]:
    """Load masks, and say which ones cannot be drawn."""
    loaded, reasons = [], list(problems)
    for mark in marks:
        if mark.source is not None:
            source = mark.source
            if isinstance(source, str):
                source = (fetch(source) if fetch is not None else None) or b""
            reason = inspect_mask(source).reason if source else "it is on another server"
            if reason:
                reasons.append(f"a mask is not drawn, since {reason}")
                continue
            mark = replace(mark, source=source)
        loaded.append(mark)
    return loaded, reasons


def _tile(image: LocatedImage, source: _Source, marks: list[Mark], problems: list[str]) -> GalleryTile:
    size = image.size or source.size
    reason = source.reason
    if source.uri is not None and size is None and any(mark.is_placed for mark in marks):
        reason = (
            "The size of this image is not known, so its boxes cannot be placed. Pass items= with image_width and "
            "image_height."
        )
    return GalleryTile(image.name, source.uri, size, marks, image.metadata, reason, problems)


@dataclass(frozen=True)
class _Source:
    """The URL that the page loads, the size of the image, and why there is nothing to load."""

    uri: str | None
    size: tuple[int, int] | None = None
    reason: str = ""


def _source(url: str | None, size: tuple[int, int] | None, longer_side: int, fetch: Fetch | None) -> _Source:
    """Find what the page loads for an image, whose size is that of the boxes on it."""
    if url is None:
        return _Source(None, None, "has no URL")
    scheme, separator, _ = url.partition("://")
    content: Path | bytes | None = None if separator else Path(url)
    if separator and scheme.lower() in _WEB:
        content = None if fetch is None else fetch(url)
        if content is None:
            return _Source(url)
    elif separator:
        return _Source(None, None, f"is in {cut(scheme, 12)}://, which no browser opens")
    assert content is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a decoder's remarks on an image do not matter here
            small = thumbnail(content, longer_side, size)
    except UnshowableError as error:
        return _Source(None, None, str(error))
    return _Source(small.uri, (small.width, small.height))
