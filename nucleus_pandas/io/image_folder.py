"""Folders of images: listed as a frame of items, and found by the names in annotation files."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from nucleus_pandas._util.threads import side_by_side
from nucleus_pandas.errors import InvalidInputError, ValidationError
from nucleus_pandas.io.files import Faults, escapes, files_below
from nucleus_pandas.schema import IMAGES, frame, is_remote, warn
from nucleus_pandas.schema.image_headers import EXTENSIONS, read_size
from nucleus_pandas.schema.image_urls import Folders

_THREADS = 4
_FILES = 256  # per call that reads headers
_Header: TypeAlias = tuple[int | None, int | None, str | None]


def read_images(folder: str | os.PathLike[str], *, pattern: str | None = None) -> pd.DataFrame:
    """List the images in and below a folder, with their sizes, as items that can be appended.

    Sizes are read from the headers of the files, in parallel; no pixels are decoded. JPEG, PNG, GIF, BMP, WebP,
    TIFF, JPEG 2000, AVIF and HEIF need no extra; other formats need Pillow (``pip install 'nucleus_pandas[local]'``).

    Parameters
    ----------
    folder : str or path-like
        Files and subfolders with names that begin with a dot are left out. Linked folders are followed, each
        once; a folder that can be reached without links is listed by that path.
    pattern : str, optional
        A shell pattern for the ``reference_id``, in which ``*`` matches slashes too: ``"*.jpg"``, ``"train/*"``. By
        default all files with the extension of an image format, in any case.

    Returns
    -------
    pandas.DataFrame
        One row per image, sorted by ``reference_id`` (the path below the folder, with forward slashes), with
        ``image_url`` (the path), ``image_width`` and ``image_height`` in pixels as they are stored (``Int64``; the EXIF
        orientation is not applied), and ``image_error``: why a file cannot be read as an image, missing otherwise.
        `append` rejects such rows with that reason.

    Raises
    ------
    InvalidInputError
        The folder does not exist, or it or a subfolder cannot be read.

    Warns
    -----
    NucleusWarning
        There are files, but no images among them.

    Examples
    --------
    >>> from nucleus_pandas import sample
    >>> folder = Path(sample.items()["image_url"].iloc[0]).parent
    >>> images = read_images(folder, pattern="*213.jpg")
    >>> images[["reference_id", "image_width", "image_height"]].to_dict("list")
    {'reference_id': ['000000030213.jpg'], 'image_width': [320], 'image_height': [224]}
    """
    try:
        root = Path(folder).expanduser()
        is_folder = root.is_dir()
    except (TypeError, ValueError, RuntimeError, OSError):
        is_folder = False
    if not is_folder:
        raise InvalidInputError(f"{str(folder)[:200]!r} is not a folder.")
    every = sorted(_files(root))
    names = [name for name in every if _is_wanted(name, pattern)]
    if every and not names:
        count = f"{len(every)} {'file' if len(every) == 1 else 'files'}"
        if pattern is None:
            warn(f"None of the {count} in '{root}' has the extension of an image; pattern='*' takes them all.")
        else:
            warn(f"None of the {count} in '{root}' matches {pattern!r}; the first is '{every[0]}'.")
    top, starts = str(root), range(0, len(names), _FILES)
    parts = side_by_side(
        lambda start: [_read_header(top, name) for name in names[start : start + _FILES]],
        starts,
        min(_THREADS, len(starts)),
        "nucleus_pandas-headers",
    )
    widths, heights, errors = zip(*chain.from_iterable(parts), strict=True) if names else ((), (), ())
    texts = [_as_text(name) for name in names]
    columns = {
        "reference_id": texts,
        "image_url": [os.path.join(_as_text(str(root)), name) for name in texts],
        "image_width": widths,
        "image_height": heights,
        "image_error": errors,
    }
    return frame(columns, IMAGES)


def _files(root: Path) -> Iterator[str]:
    """Yield the files below a folder by their relative paths with forward slashes.

    A folder that is reached by several ways has the name by which it is reached without links: links to folders wait
    until all other folders were visited.
    """
    visited: set[tuple[int, int]] = set()
    waiting = deque([root])

    def fail(error: OSError) -> None:
        raise InvalidInputError(f"The folder '{error.filename}' cannot be read ({error.strerror}).") from None

    while waiting:
        for place, folders, names in os.walk(waiting.popleft(), onerror=fail):
            state = os.stat(place)
            if (state.st_dev, state.st_ino) in visited:
                folders.clear()
                continue
            visited.add((state.st_dev, state.st_ino))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            waiting += [path for name in folders if (path := Path(place, name)).is_symlink()]
            below = Path(place).relative_to(root).as_posix()
            yield from (name if below == "." else f"{below}/{name}" for name in names if not name.startswith("."))


def _is_wanted(name: str, pattern: str | None) -> bool:
    if pattern is None:
        return os.path.splitext(name)[1].lower() in EXTENSIONS
    return fnmatchcase(name, pattern)


def _read_header(top: str, name: str) -> _Header:
    try:
        if _as_text(name) != name:
            return None, None, "has a name that is not UTF-8"
        return *read_size(os.path.join(top, name)), None
    except ValidationError as error:
        return None, None, error.reason
    except OSError as error:
        return None, None, f"cannot be read ({error.strerror or error})"


def _as_text(name: str) -> str:
    """Return a name as Unicode, whatever bytes the file system has for it."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def folder_of(path: str | os.PathLike[str], parameter: str) -> Path:
    """Return an existing folder, or raise InvalidInputError."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InvalidInputError(
            f"{parameter}=: {folder} {what}. Name the folder that holds the files.", argument=parameter
        )
    return folder


def is_known_remote(url: str) -> bool:
    """Return True for a URL of a known scheme; False for a path and for any other URL."""
    try:
        return is_remote(url)
    except ValidationError:
        return False


def size_of(path: Path, faults: Faults) -> tuple[int, int] | None:
    """Read the width and the height of an image from its header, or record why that is not possible."""
    try:
        return read_size(path)
    except ValidationError as error:
        reason = error.reason
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
    faults.add(str(path), f"{reason}. Replace it, move it out of the folder, or pass its size by sizes=.")
    return None


@dataclass(frozen=True)
class ImageFolder:
    """The folder that contains the images which files name; what else they name is a fault.

    Such files may come from anywhere, and the images that they name are uploaded.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    allow_outside : bool
        Whether the images may be elsewhere.
    """

    path: Path
    allow_outside: bool = False

    def url(self, name: str, place: str, faults: Faults) -> str | None:
        """Return the path of an image by its name in an annotation file, or record that it is outside the folder."""
        if "\0" not in name and self._contains(self.path / name):
            return str(self.path / name)
        reason = escapes(name) or "leads elsewhere"
        faults.add(
            place,
            f"is {name!r}, which {reason}: it is not below images={str(self.path)!r}, or is hidden there. Correct the "
            "name; or leave images= out and fill the column 'image_url'; or trust the files: allow_outside=True.",
        )
        return None

    def images(self, faults: Faults) -> dict[str, Path]:
        """Return the images in the folder and its subfolders by name, and record links to files elsewhere."""
        files = files_below(self.path, EXTENSIONS)
        for path in files.values():
            if path.is_symlink() and not self._contains(path):
                faults.add(
                    str(path),
                    f"is a link to '{os.path.realpath(path)}', which is not below images={str(self.path)!r}, or is "
                    "hidden there. Remove it, or trust the files: allow_outside=True.",
                )
        return files

    def _contains(self, path: Path) -> bool:
        return self.allow_outside or (path != self.path and self._folders.contain(path))

    @cached_property
    def _folders(self) -> Folders:
        return Folders([self.path])
