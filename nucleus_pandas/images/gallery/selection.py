"""The images that a frame names, and their URLs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Indices
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import NamedColumns, Problems, floats, label_of, to_strings
from nucleus_pandas.schema.metadata import metadata

KEYS = ("reference_id", "dataset_item_id")
PREDICTED = ("predicted_x", "predicted_y", "predicted_width", "predicted_height")
"""Columns of the frames of examples, which hold the boxes of both sides."""


@dataclass(frozen=True)
class SelectedImage:
    """An image that a frame names.

    Attributes
    ----------
    id : str or None
        Its id, in the column by which the frame names images.
    rows : numpy.ndarray of intp
        The rows of the frame, by position, that refer to it.
    """

    id: str | None
    rows: Indices


@dataclass(frozen=True)
class Selection:
    """The first images that a frame names, in its order.

    Attributes
    ----------
    key : {"reference_id", "dataset_item_id", "image_url"}
        The column that names them.
    images : list of SelectedImage
        One per image; one per row of a frame of examples.
    total : int
        Their number without the limit.
    """

    key: str
    images: list[SelectedImage]
    total: int

    @property
    def ids(self) -> list[str]:
        """The distinct ids, in the order of the images."""
        return list(dict.fromkeys(image.id for image in self.images if image.id is not None))


@dataclass(frozen=True)
class LocatedImage:
    """An image of a gallery.

    Attributes
    ----------
    name : str
        Its name.
    url : str or None
        Where it is: a URL, or a local path.
    size : (int, int) or None
        Width and height in pixels, to which its boxes refer; None if unknown.
    metadata : str
        The metadata of its item, as JSON; empty without any.
    """

    name: str
    url: str | None = None
    size: tuple[int, int] | None = None
    metadata: str = ""


def select_images(named: NamedColumns, n: int, items: NamedColumns | None = None) -> Selection:
    """Find the first images that a frame names.

    Parameters
    ----------
    named : NamedColumns
        The frame.
    n : int
        The maximum number of images.
    items : NamedColumns, optional
        The items in which they will be looked up.

    Raises
    ------
    InvalidInputError
        No column names them, or the items have another one.
    """
    key = _key(named, items)
    ids = to_strings(named.need(key), Problems(named.index), addresses=key == "image_url")
    missing = ids.is_null().to_numpy(zero_copy_only=False)
    if named.holds(PREDICTED[0]):
        first = ids.slice(0, n).to_pylist()
        images = [SelectedImage(image_id, np.array([row])) for row, image_id in enumerate(first)]
        return Selection(key, images, len(ids))
    codes = ids.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.float64)
    codes[missing] = -1.0 - np.arange(np.count_nonzero(missing))  # each an image of its own
    numbers, distinct = pd.factorize(codes)
    images = []
    for number in range(min(n, len(distinct))):
        rows = np.flatnonzero(numbers == number)
        images.append(SelectedImage(ids[int(rows[0])].as_py(), rows))
    return Selection(key, images, len(distinct))


def _key(named: NamedColumns, items: NamedColumns | None) -> str:
    keys = [key for key in KEYS if named.has(key)]
    shared = [key for key in keys if items is None or items.has(key)]
    if keys and not shared:
        assert items is not None
        raise InvalidInputError(f"The frame names its images by {keys[0]!r}. {items.missing(keys[0])}")
    if not keys:
        if named.has("image_url"):
            return "image_url"
        named.need("reference_id")  # raises the error
    complete = [key for key in shared if not bool(named.need(key).isna().any())]
    return (complete or shared)[0]


def locate_images(
    selection: Selection, named: NamedColumns, items: NamedColumns | None, *, boxes: bool
) -> list[LocatedImage]:
    """Return where the images are: from the items if these have them, else from the frame itself.

    Parameters
    ----------
    selection : Selection
        The images.
    named, items : NamedColumns
        The frame that names them, and the items if there are any.
    boxes : bool
        Whether the frame's ``width`` and ``height`` are those of its boxes.

    Raises
    ------
    InvalidInputError
        No frame has the URLs of the images.
    """
    if items is None and not named.has("image_url"):
        raise InvalidInputError(
            f"{named.missing(named.name('image_url'))} It holds the URLs of the images. Pass items=dataset, or a "
            "frame of items: items=dataset.items.to_frame()."
        )
    first_rows = [int(image.rows[0]) for image in selection.images]
    labels = [label_of(named.index, row) for row in first_rows]
    if not named.has("image_url"):
        images = [LocatedImage(image.id or name) for image, name in zip(selection.images, labels, strict=True)]
    else:
        images = _describe(named, first_rows, labels, sized=not boxes)
    if items is None:
        return images
    keys = to_strings(items.need(selection.key), Problems(items.index)).to_pylist()
    row_of_id = {image_id: row for row, image_id in reversed(list(enumerate(keys)))}
    positions = [at for at, image in enumerate(selection.images) if image.id is not None and image.id in row_of_id]
    from_items = _describe(
        items,
        [row_of_id[selection.images[at].id] for at in positions],
        [images[at].name for at in positions],
        sized=True,
    )
    for at, image in zip(positions, from_items, strict=True):
        images[at] = image if image.url is not None else images[at]
    return images


def _describe(named: NamedColumns, rows: list[int], fallbacks: list[str], *, sized: bool) -> list[LocatedImage]:
    """Describe the images of some rows."""
    selected = named.some(rows)
    problems = Problems(selected.index)
    names = strings_of(selected, "reference_id" if selected.has("reference_id") else "dataset_item_id")
    urls = strings_of(selected, "image_url")
    sides = []
    for side in ("width", "height"):
        series = selected.image_side(side, has_boxes=not sized)
        sides.append(np.full(len(rows), np.nan) if series is None else floats(series, problems))
    metadata_of_rows = _metadata(selected, problems) if sized else None
    return [
        LocatedImage(
            name=name or url or other,
            url=url,
            size=(round(width), round(height)) if width >= 1 and height >= 1 else None,
            metadata="" if metadata_of_rows is None else metadata_of_rows[row].as_py() or "",
        )
        for row, (name, url, other, width, height) in enumerate(zip(names, urls, fallbacks, *sides, strict=True))
    ]


def _metadata(named: NamedColumns, problems: Problems) -> Any:
    try:
        return metadata(named, True, problems)
    except InvalidInputError:  # a duplicate key, which matters for uploads only
        return None


def strings_of(named: NamedColumns, canonical: str) -> list[str | None]:
    """Return the strings of a column; None where a row, or the whole frame, has none."""
    series = named.get(canonical)
    if series is None:
        return [None] * len(named)
    strings = to_strings(series, Problems(named.index), addresses=canonical == "image_url")
    return list(strings.to_pylist())
