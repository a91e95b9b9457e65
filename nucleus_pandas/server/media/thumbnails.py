"""A cache on disk of small copies of uploaded images, made when they are first requested."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from nucleus_pandas.images.thumbnails import UnshowableError, thumbnail
from nucleus_pandas.server.media.files import FileStore

CopySize: TypeAlias = Literal["small", "large"]

PIXELS: dict[CopySize, int] = {"small": 320, "large": 2048}
"""The longer side of a copy."""
AT_ONCE = threading.BoundedSemaphore(2)  # an image may take 300 MB while it is decoded


class Thumbnails:
    """A folder of copies, named by the images' names, which are made from their content.

    What cannot be copied is remembered by an empty file.

    Parameters
    ----------
    images : FileStore
        The images.
    folder : pathlib.Path
        Where the copies go; made when absent. It may be removed at any time.
    """

    def __init__(self, images: FileStore, folder: Path) -> None:
        self._images = images
        self.folder = folder
        self.incoming = folder / "incoming"

    def path(self, name: str, size: CopySize) -> Path | None:
        """Return the path of a copy, made if it is missing; None if there is no such image, or it cannot be read."""
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

    def _target(self, name: str, size: CopySize) -> Path:
        return self.folder / size / f"{name}.jpg"

    def _write(self, target: Path, source: Path, pixels: int) -> None:
        for folder in (self.incoming, target.parent):
            folder.mkdir(parents=True, exist_ok=True)
        incoming = self.incoming / secrets.token_hex(16)
        try:
            with incoming.open("xb") as out, suppress(UnshowableError):
                out.write(thumbnail(source, pixels).content)
            os.replace(incoming, target)
        finally:
            incoming.unlink(missing_ok=True)
