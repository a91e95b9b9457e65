"""Masks as overlays of their images: each label in its colour, everything else transparent."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from nucleus_pandas.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 80_000_000
"""Masks with more are never decoded."""
MIMETYPE = "image/png"
Rgb: TypeAlias = tuple[int, int, int]

_FORMATS = ("PNG",)
_MODES = ("1", "L", "P", "I", "I;16")  # one number per pixel
_CLEAR, _STRONG, _WEAK = 0, 150, 70  # opacities, of 255
_STRIPE = 5  # pixels, of those of predictions
_HIGHEST = 0xFFFF  # that a pixel of a PNG can hold


class MaskHeader(NamedTuple):
    """The size of a mask in pixels, and why it cannot be drawn; empty if it can."""

    width: int
    height: int
    reason: str


def inspect_mask(mask: Path | bytes) -> MaskHeader:
    """Check by its header alone whether a file, or its content, is a mask that can be drawn.

    Raises
    ------
    MissingExtraError
        Pillow is not installed.
    """
    _pillow()
    try:
        with _opened(mask) as image:
            reason = ""
            if image.mode not in _MODES:
                reason = "it has colours instead of numbers"
            elif image.width * image.height > MAX_PIXELS:
                reason = f"it has more than {MAX_PIXELS // 1_000_000} million pixels"
            return MaskHeader(image.width, image.height, reason)
    except Exception:  # the readers of damaged images raise all kinds
        return MaskHeader(0, 0, "it is not a readable PNG")


def overlay(
    mask: Path | bytes, colours: Mapping[int, int], palette: Sequence[Rgb], longer_side: int, *, striped: bool
) -> bytes | None:
    """Colour a mask.

    Parameters
    ----------
    mask : pathlib.Path or bytes
        The file, or its content: a PNG whose pixels are numbers.
    colours : mapping of int to int
        For each number the position of its colour in the palette; all others are transparent.
    palette : sequence of (int, int, int)
        Red, green and blue from 0 to 255, of at most 127 colours.
    most : int
        The longer side of the result, in pixels; it is never larger than the mask.
    striped : bool
        Whether every second stripe is weaker, which distinguishes predictions from ground truth.

    Returns
    -------
    bytes or None
        A PNG; None if the file is not such a mask.

    Raises
    ------
    MissingExtraError
        Pillow is not installed.
    """
    numbers = _numbers(mask, longer_side)
    if numbers is None:
        return None
    colour_of_number = np.zeros(_HIGHEST + 1, dtype=np.uint8)
    for number, colour in colours.items():
        if number <= _HIGHEST:
            colour_of_number[number] = 1 + colour
    pixels = colour_of_number[numbers]
    if striped:
        down, across = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
        weak = ((down + across) // _STRIPE % 2 == 1) & (pixels > 0)
        pixels[weak] += len(palette)
    image = _pillow().frombytes("P", pixels.shape[::-1], pixels.tobytes())
    image.putpalette([side for colour in ((0, 0, 0), *palette, *palette) for side in colour])
    opacity = bytes([_CLEAR, *[_STRONG] * len(palette), *[_WEAK] * len(palette)])
    out = io.BytesIO()
    image.save(out, "PNG", transparency=opacity)
    return out.getvalue()


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("Masks are coloured by Pillow, which is not installed: pip install pillow") from error
    return Image


def _opened(mask: Path | bytes) -> Image:
    image: Image = _pillow().open(io.BytesIO(mask) if isinstance(mask, bytes) else mask, formats=_FORMATS)
    return image


def _numbers(mask: Path | bytes, longer_side: int) -> npt.NDArray[np.int64] | None:
    """Read the numbers of a mask, of every n-th pixel if it is large."""
    if inspect_mask(mask).reason:
        return None
    try:
        with _opened(mask) as image:
            scale = min(1.0, longer_side / max(image.size))
            width, height = (max(1, round(side * scale)) for side in image.size)
            small = image.resize((width, height), _pillow().Resampling.NEAREST)
            numbers: npt.NDArray[np.int64] = np.clip(np.asarray(small).astype(np.int64), 0, _HIGHEST)
            return numbers
    except Exception:  # the readers of damaged images raise all kinds
        return None
