"""Which images a frame names, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import NamedColumns, Problems, floats, label_of, texts
from nucleus_pandas.schema.metadata import metadata

KEYS = ("reference_id", "dataset_item_id")
PREDICTED = ("predicted_x", "predicted_y", "predicted_width", "predicted_height")
"""Columns of the frames of examples, which hold the boxes of both sides."""

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Tile:
    """An image that a frame names.

    Attributes
    ----------
    id : str or None
        Its id, in the column by which the frame names images.
    rows : numpy.ndarray of intp
        The rows of the frame, by position, that are about it.
    """

    id: str | None
    rows: Rows


@dataclass(frozen=True)
class Choice:
    """The first images that a frame names, in its order.

    Attributes
    ----------
    key : {"reference_id", "dataset_item_id", "image_url"}
        The column that names them.
    tiles : list of Tile
        A tile an image; of a frame of examples a tile a row.
    total : int
        How many there would be without a limit.
    """

    key: str
    tiles: list[Tile]
    total: int

    @property
    def ids(self) -> list[str]:
        """The distinct ids, in the order of the tiles."""
        return list(dict.fromkeys(tile.id for tile in self.tiles if tile.id is not None))


@dataclass(frozen=True)
class Image:
    """An image of a gallery.

    Attributes
    ----------
    name : str
        What it is called.
    url : str or None
        Where it is: an address, or a path of this machine.
    size : (int, int) or None
        Width and height in pixels, by which its boxes go; None where nobody told.
    metadata : str
        What its item says, as JSON; empty where it says nothing.
    """

    name: str
    url: str | None = None
    size: tuple[int, int] | None = None
    metadata: str = ""


def chosen(named: NamedColumns, n: int, items: NamedColumns | None = None) -> Choice:
    """Find the first images that a frame names.

    Parameters
    ----------
    named : NamedColumns
        The frame.
    n : int
        How many to take at most.
    items : NamedColumns, optional
        The items among which they will be looked for.

    Raises
    ------
    InvalidInputError
        No column names them, or the items are named by another one.
    """
    key = _key(named, items)
    ids = texts(named.need(key), Problems(named.index), addresses=key == "image_url")
    missing = ids.is_null().to_numpy(zero_copy_only=False)
    if named.holds(PREDICTED[0]):
        first = ids.slice(0, n).to_pylist()
        return Choice(key, [Tile(one, np.array([row])) for row, one in enumerate(first)], len(ids))
    codes = ids.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.float64)
    codes[missing] = -1.0 - np.arange(np.count_nonzero(missing))  # each an image of its own
    numbers, distinct = pd.factorize(codes)
    tiles = []
    for number in range(min(n, len(distinct))):
        rows = np.flatnonzero(numbers == number)
        tiles.append(Tile(ids[int(rows[0])].as_py(), rows))
    return Choice(key, tiles, len(distinct))


def _key(named: NamedColumns, items: NamedColumns | None) -> str:
    there = [key for key in KEYS if named.has(key)]
    shared = [key for key in there if items is None or items.has(key)]
    if there and not shared:
        assert items is not None
        raise InvalidInputError(f"The frame names its images by {there[0]!r}. {items.missing(there[0])}")
    if not there:
        if named.has("image_url"):
            return "image_url"
        named.need("reference_id")  # raises what is wrong
    whole = [key for key in shared if not bool(named.need(key).isna().any())]
    return (whole or shared)[0]


def located(choice: Choice, named: NamedColumns, items: NamedColumns | None, *, boxes: bool) -> list[Image]:
    """Return where the images are: by the items, where these have them, else by the frame itself.

    Parameters
    ----------
    choice : Choice
        The images.
    named, items : NamedColumns
        The frame that names them, and the items if there are any.
    boxes : bool
        Whether the frame's ``width`` and ``height`` are those of its boxes.

    Raises
    ------
    InvalidInputError
        No frame tells where images are.
    """
    if items is None and not named.has("image_url"):
        raise InvalidInputError(
            f"{named.missing(named.name('image_url'))} It says where the images are. Give items=dataset, or a frame "
            "of items: items=dataset.items.to_frame()."
        )
    own = [int(tile.rows[0]) for tile in choice.tiles]
    unknown = [label_of(named.index, row) for row in own]
    if not named.has("image_url"):
        described = [Image(tile.id or name) for tile, name in zip(choice.tiles, unknown, strict=True)]
    else:
        described = _described(named, own, unknown, sized=not boxes)
    if items is None:
        return described
    keys = texts(items.need(choice.key), Problems(items.index)).to_pylist()
    place = {one: row for row, one in reversed(list(enumerate(keys)))}
    found = [at for at, tile in enumerate(choice.tiles) if tile.id is not None and tile.id in place]
    theirs = _described(
        items, [place[choice.tiles[at].id] for at in found], [described[at].name for at in found], sized=True
    )
    for at, image in zip(found, theirs, strict=True):
        described[at] = image if image.url is not None else described[at]
    return described


def _described(named: NamedColumns, rows: list[int], unknown: list[str], *, sized: bool) -> list[Image]:
    """Describe the images of some rows."""
    some = named.some(rows)
    problems = Problems(some.index)
    names = _texts(some, "reference_id", problems) or _texts(some, "dataset_item_id", problems) or [None] * len(rows)
    urls = _texts(some, "image_url", problems) or [None] * len(rows)
    sides = []
    for side in ("width", "height"):
        name = f"image_{side}" if some.has(f"image_{side}") else side
        series = some.get(name) if sized or name != side else None
        sides.append(np.full(len(rows), np.nan) if series is None else floats(series, problems))
    said = _said(some, problems) if sized else None
    return [
        Image(
            name=name or url or other,
            url=url,
            size=(round(width), round(height)) if width >= 1 and height >= 1 else None,
            metadata="" if said is None else said[row].as_py() or "",
        )
        for row, (name, url, other, width, height) in enumerate(zip(names, urls, unknown, *sides, strict=True))
    ]


def _said(named: NamedColumns, problems: Problems) -> Any:
    try:
        return metadata(named, True, problems)
    except InvalidInputError:  # a key that stands twice; what is sent with it is not asked here
        return None


def _texts(named: NamedColumns, canonical: str, problems: Problems) -> list[str | None] | None:
    series = named.get(canonical)
    if series is None:
        return None
    found: list[str | None] = texts(series, problems, addresses=canonical == "image_url").to_pylist()
    return found
