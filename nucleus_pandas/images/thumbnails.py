"""Small copies of images, as text that an HTML page holds."""

from __future__ import annotations

import io
import warnings
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleus_pandas.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = frozenset({"AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"})
"""What is read: pixels, and no language that an image is written in, as EPS."""

_MOST_PIXELS = 64_000_000  # that are decoded; JPEG is decoded at an eighth of its size
_MOST_BYTES = 512 << 20  # of a file
_QUALITY = 78  # of JPEG; an image of 280 pixels takes about 12 kB
_TURNS = {5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}  # the EXIF orientations that change sides


class UnshowableError(Exception):
    """An image cannot be shown; the text says why."""


@dataclass(frozen=True)
class Thumbnail:
    """A small copy of an image.

    Attributes
    ----------
    uri : str
        The copy, as a ``data:`` address.
    width, height : int
        Of the image itself, in pixels.
    """

    uri: str
    width: int
    height: int


def thumbnail(source: Path | bytes, size: int, known: tuple[int, int] | None = None) -> Thumbnail:
    """Create a small copy of an image.

    Parameters
    ----------
    source : pathlib.Path or bytes
        A file, or what it holds.
    size : int
        Of the copy's longer side, in pixels; a smaller image is not enlarged.
    known : (int, int), optional
        The width and height that the boxes on the image go by. A photograph whose EXIF data turn it is turned where
        that gives these; else its pixels are shown as they are stored.

    Raises
    ------
    UnshowableError
        It is no image, damaged, too large to decode, or cannot be read.
    MissingExtraError
        Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtraError(
            "Local images are made small by Pillow, which is not installed: pip install pillow"
        ) from error
    if isinstance(source, Path):
        source = _checked(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what readers find odd in an image does not matter here
        try:
            known_formats = sorted(_FORMATS & set(Image.registered_extensions().values()))
            with Image.open(
                io.BytesIO(source) if isinstance(source, bytes) else source, formats=known_formats
            ) as image:
                return _small(image, size, known)
        except UnshowableError:
            raise
        except UnidentifiedImageError:
            raise UnshowableError("is no image of a known format") from None
        except Image.DecompressionBombError:
            raise UnshowableError("has too many pixels to be decoded") from None
        except Exception as error:  # the readers of damaged images raise all kinds
            raise UnshowableError(f"cannot be read: {error}") from None


def _checked(path: Path) -> Path:
    try:
        path = path.expanduser()
        if not path.exists():
            raise UnshowableError("does not exist")
        if not path.is_file():  # of pipes and devices nobody knows when they end
            raise UnshowableError("is no file")
        if path.stat().st_size > _MOST_BYTES:
            raise UnshowableError(f"has more than {_MOST_BYTES >> 20} MiB")
    except (OSError, ValueError, RuntimeError) as error:
        raise UnshowableError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return path


def _small(image: Image, size: int, known: tuple[int, int] | None) -> Thumbnail:
    from PIL.Image import Resampling, Transpose

    sides = image.size
    turn = _TURNS.get(image.getexif().get(0x0112, 1)) if known == sides[::-1] != sides else None
    image.draft("RGB", (size, size))
    if image.width * image.height > _MOST_PIXELS:
        raise UnshowableError(
            f"has {image.width * image.height / 1e6:.0f} million pixels; at most {_MOST_PIXELS // 10**6} are decoded"
        )
    small = _colours(image)
    small.thumbnail((size, size), Resampling.LANCZOS)
    if turn is not None:
        small, sides = small.transpose(Transpose[turn]), sides[::-1]
    written = io.BytesIO()
    small.save(written, "JPEG", quality=_QUALITY, optimize=True, exif=b"", icc_profile=None)
    return Thumbnail(f"data:image/jpeg;base64,{b64encode(written.getvalue()).decode()}", *sides)


def _colours(image: Any) -> Any:
    """Return the image in colours that a JPEG holds: light behind what is transparent, deep greys spread out."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        pixels = np.asarray(image, dtype=np.float64)
        low, high = np.nanmin(pixels), np.nanmax(pixels)
        return Image.fromarray(np.nan_to_num((pixels - low) * (255 / max(high - low, 1))).astype(np.uint8)).convert(
            "RGB"
        )
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "#e8e8e8"), layer).convert("RGB")
    return image.convert("RGB")
