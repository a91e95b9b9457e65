"""Small copies of images: one decoder for galleries and for the page."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleus_pandas.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

MIMETYPE = "image/jpeg"
MAX_PIXELS = 80_000_000
"""Images with more are never decoded; JPEG is decoded at a fraction of its size."""

# Those that Pillow decodes by itself: others call programs, as EPS, or read more files.
_FORMATS = frozenset({"AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"})
_MAX_BYTES = 512 << 20  # of a file
_QUALITY = 80  # of JPEG; an image of 280 pixels takes about 12 kB
_BACKGROUND = "#e8e8e8"  # of what is transparent
_TURNS = {5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}  # the EXIF orientations that change sides


class UnshowableError(Exception):
    """An image cannot be shown; the text says why."""


@dataclass(frozen=True)
class Thumbnail:
    """A small copy of an image.

    Attributes
    ----------
    content : bytes
        The copy, a JPEG.
    width, height : int
        Of the image itself, in pixels.
    """

    content: bytes
    width: int
    height: int

    @property
    def uri(self) -> str:
        """The copy as a ``data:`` URL."""
        return f"data:{MIMETYPE};base64,{b64encode(self.content).decode()}"


def thumbnail(source: Path | bytes, size: int, box_size: tuple[int, int] | None = None) -> Thumbnail:
    """Create a small copy of an image.

    Parameters
    ----------
    source : pathlib.Path or bytes
        A file, or its content.
    size : int
        Of the copy's longer side, in pixels; a smaller image is not enlarged.
    box_size : (int, int), optional
        The width and height that the boxes on the image go by. A photograph that its EXIF data turn is turned if
        that gives these; else its pixels are shown as they are stored.

    Raises
    ------
    UnshowableError
        It is not an image, damaged, too large to decode, or cannot be read.
    MissingExtraError
        Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtraError(
            "Local images are scaled down by Pillow, which is not installed: pip install pillow"
        ) from error
    file = _checked(source) if isinstance(source, Path) else io.BytesIO(source)
    try:
        with Image.open(file, formats=_formats()) as image:
            return _small(image, size, box_size)
    except UnshowableError:
        raise
    except UnidentifiedImageError:
        raise UnshowableError("is not an image of a known format") from None
    except Image.DecompressionBombError:
        raise UnshowableError("has too many pixels to be decoded") from None
    except Exception as error:  # the readers of damaged images raise all kinds
        raise UnshowableError(f"cannot be read: {error}") from None


@cache
def _formats() -> list[str]:
    """Return those of the formats that this Pillow knows."""
    from PIL import Image

    Image.init()
    return sorted(_FORMATS & set(Image.OPEN))


def _checked(path: Path) -> Path:
    try:
        path = path.expanduser()
        if not path.exists():
            raise UnshowableError("does not exist")
        if not path.is_file():  # a pipe or a device may never end
            raise UnshowableError("is not a file")
        if path.stat().st_size > _MAX_BYTES:
            raise UnshowableError(f"has more than {_MAX_BYTES >> 20} MiB")
    except (OSError, ValueError, RuntimeError) as error:
        raise UnshowableError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return path


def _small(image: Image, size: int, box_size: tuple[int, int] | None) -> Thumbnail:
    from PIL.Image import Resampling, Transpose

    sides = image.size
    turn = _TURNS.get(image.getexif().get(0x0112, 1)) if box_size == sides[::-1] != sides else None
    image.draft("RGB", (size, size))
    if image.width * image.height > MAX_PIXELS:
        raise UnshowableError(
            f"has {image.width * image.height / 1e6:.0f} million pixels; at most {MAX_PIXELS // 10**6} are decoded"
        )
    is_deep = image.mode[0] in "IF"  # more than eight bits per pixel
    small: Any = image.convert("F") if is_deep else image
    if small.mode in ("1", "P", "PA"):  # whose pixels cannot be mixed
        small = small.convert("RGBA" if small.has_transparency_data else "RGB")
    small.thumbnail((size, size), Resampling.LANCZOS)
    small = _stretched(small) if is_deep else _opaque(small)
    if turn is not None:
        small, sides = small.transpose(Transpose[turn]), sides[::-1]
    written = io.BytesIO()
    small.save(written, "JPEG", quality=_QUALITY, optimize=True, exif=b"", icc_profile=None)
    return Thumbnail(written.getvalue(), *sides)


def _opaque(image: Image) -> Image:
    """Lay what is transparent over the background."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, _BACKGROUND), layer).convert("RGB")


def _stretched(image: Image) -> Image:
    """Spread the values of an image over black to white."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(image), posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    return Image.fromarray(((values - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)).convert("RGB")
