"""Small copies of uploaded images, made when they are asked for the first time."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from nucleus_pandas.server.media.files import Images

Size: TypeAlias = Literal["small", "large"]

PIXELS: dict[Size, int] = {"small": 320, "large": 2048}
"""The longer side of a copy."""
MAX_PIXELS = 80_000_000
"""Images with more are never decoded."""
MIMETYPE = "image/jpeg"

# Those that Pillow decodes by itself: others call programs, or read more files.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "MPO", "PPM", "TIFF", "AVIF")
AT_ONCE = threading.BoundedSemaphore(2)  # an image may take 300 MB while it is decoded
_BACKGROUND = (128, 128, 128)


class Thumbnails:
    """A folder of copies, named by the images' names, which are made from their content.

    What cannot be copied is remembered by an empty file.

    Parameters
    ----------
    images : Images
        The images.
    folder : pathlib.Path
        Where the copies go; made when absent. It may be removed at any time.
    """

    def __init__(self, images: Images, folder: Path) -> None:
        self._images = images
        self.folder = folder
        self.incoming = folder / "incoming"

    def path(self, name: str, size: Size) -> Path | None:
        """Return the place of a copy, which is made if need be; None where there is no such image, or it is none."""
        source = self._images.path(name)
        if source is None:
            return None
        target = self._target(name, size)
        with suppress(FileNotFoundError):
            return target if target.stat().st_size else None
        with AT_ONCE:
            if not target.exists():  # else another thread was faster
                self._write(target, source, PIXELS[size])
        return target if target.stat().st_size else None

    def remove(self, name: str) -> None:
        """Remove the copies of an image that is gone."""
        for size in PIXELS:
            self._target(name, size).unlink(missing_ok=True)

    def _target(self, name: str, size: Size) -> Path:
        return self.folder / size / f"{name}.jpg"

    def _write(self, target: Path, source: Path, pixels: int) -> None:
        for folder in (self.incoming, target.parent):
            folder.mkdir(parents=True, exist_ok=True)
        incoming = self.incoming / secrets.token_hex(16)
        try:
            with incoming.open("xb") as out:
                copy = _copy(source, pixels)
                if copy is not None:
                    copy.save(out, "JPEG", quality=82)
            os.replace(incoming, target)
        finally:
            incoming.unlink(missing_ok=True)


@cache
def _formats() -> tuple[str, ...]:
    """Return those of the formats that this Pillow knows."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _copy(source: Path, pixels: int) -> Image.Image | None:
    """Decode an image at the size that is needed; pixels stay where boxes expect them, whatever EXIF says."""
    try:
        with Image.open(source, formats=_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            deep = image.mode[0] in "IF"  # more than eight bits
            whole = image.convert("F") if deep else image
            whole.thumbnail((pixels, pixels), Image.Resampling.BILINEAR)
            if deep:
                return _stretched(whole)
            if not whole.has_transparency_data:
                return whole.convert("RGB")
            whole = whole.convert("RGBA")
            flat = Image.new("RGB", whole.size, _BACKGROUND)
            flat.paste(whole, mask=whole.getchannel("A"))
            return flat
    except Exception:  # the readers of damaged images raise all kinds
        return None


def _stretched(image: Image.Image) -> Image.Image:
    """Spread the values of an image over black to white."""
    values = np.nan_to_num(np.asarray(image), posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    return Image.fromarray(((values - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8))
