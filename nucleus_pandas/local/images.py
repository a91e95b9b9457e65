"""Files of a store: uploaded pictures and masks, named by their content."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from nucleus_pandas.errors import BadRequestError

_CHUNK = 1 << 20
_EXTENSION = re.compile(r"\.[a-z0-9]{1,5}")
_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}(\.[a-z0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that is on the disk but not yet in its place.

    `width` and `height` are in pixels, None where the file is no picture that Pillow can open.
    """

    path: Path
    name: str
    width: int | None
    height: int | None


class Images:
    """A folder of files named by the SHA-256 of their content.

    A file is staged (written and synced) before the transaction that names it begins, and published (moved to its
    place) inside it, so that a row never names a file that is not there.

    Parameters
    ----------
    folder : pathlib.Path
        Made when absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.incoming = folder / "incoming"

    def stage(self, stream: BinaryIO, filename: str | None) -> Staged:
        """Write a stream to the disk.

        Only the extension of `filename` is used, never its path.

        Raises
        ------
        BadRequestError
            The stream is empty.
        """
        make_folder(self.folder)
        make_folder(self.incoming)
        path = self.incoming / secrets.token_hex(16)
        digest = hashlib.sha256()
        size = 0
        try:
            with path.open("xb") as out:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            if not size:
                raise BadRequestError("The picture is an empty file.")
            width, height = _size(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        extension = os.path.splitext(filename or "")[1].lower()
        extension = extension if _EXTENSION.fullmatch(extension) else ""
        name = digest.hexdigest()
        return Staged(path, f"{name[:2]}/{name}{extension}", width, height)

    def publish(self, staged: Staged) -> None:
        """Move a staged file to its place."""
        target = self.folder / staged.name
        make_folder(target.parent)
        os.replace(staged.path, target)
        sync_folder(target.parent)

    def discard(self, staged: Staged) -> None:
        """Remove a staged file that was not published."""
        staged.path.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file that no row names any more."""
        (self.folder / name).unlink(missing_ok=True)

    def path(self, name: str) -> Path | None:
        """Give the place of a file, or None when the name is none that this folder gives or the file is gone."""
        if not _NAME.fullmatch(name):
            return None
        path = self.folder / name
        return path if path.is_file() else None


def make_folder(folder: Path) -> None:
    """Make a folder that survives power loss, unless it is there."""
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder survive power loss."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(path: Path) -> tuple[int | None, int | None]:
    """Read a picture's size from its header.

    Any file may be stored: Nucleus takes formats that Pillow does not know.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except Exception:  # the readers of damaged and unknown formats raise all kinds
        return None, None
