"""Picture files: which ones a folder holds, and how large they are."""

from __future__ import annotations

import os
from pathlib import Path

from nucleus_pandas.errors import InvalidInputError, MissingExtraError
from nucleus_pandas.formats.faults import Faults
from nucleus_pandas.formats.files import escapes, files_below

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("bmp", "dib", "dng", "gif", "heic", "heif", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg", "mpo"),
        *("pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"),
    )
)


def folder_of(path: str | os.PathLike[str], parameter: str) -> Path:
    """Give a folder that is there."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise InvalidInputError(f"{parameter}: {folder} {what}. Name the folder that holds the files.")
    return folder


def pictures_in(folder: Path) -> dict[str, Path]:
    """Give the pictures of a folder and its subfolders by their names below it, sorted; ``/`` parts folders."""
    return files_below(folder, SUFFIXES)


def size_of(path: Path, faults: Faults) -> tuple[int, int] | None:
    """Read the width and the height of a picture from its header; no pixel is decoded.

    Raises
    ------
    MissingExtraError
        Pillow is not installed; the text holds the line to type.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "The sizes of pictures are read by Pillow: pip install 'nucleus_pandas[local]'; or give them by sizes=."
        ) from error
    try:
        with Image.open(path) as image:
            width, height = image.size
            return width, height
    except Exception as error:  # Pillow raises whatever a broken header leads to
        faults.add(str(path), f"is no picture that can be read ({error}). Replace it, or take it out of the folder.")
        return None


def local_url(folder: Path, name: str, place: str, faults: Faults) -> str | None:
    """Give the path of a picture below a folder, by the name that a file has for it.

    A file from elsewhere may name anything, and what is named is uploaded: a name that leads out of the folder is a
    fault.
    """
    base = os.path.abspath(folder)
    path = os.path.normpath(os.path.join(base, name))
    if "\0" in name or os.path.commonpath([base, path]) != base or path == base:
        reason = escapes(name) or "leads elsewhere"
        faults.add(
            place,
            f"is {name!r}, which {reason}: it is not below images={str(folder)!r}. Correct the name, or "
            "leave images= out and fill the column 'image_url'.",
        )
        return None
    return str(Path(folder, name))
