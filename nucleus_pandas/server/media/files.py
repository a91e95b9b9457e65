"""Files of a store: uploaded images and masks, named by their content."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from nucleus_pandas.errors import BadRequestError, ValidationError
from nucleus_pandas.images.sizes import read_size, size_of
from nucleus_pandas.server.store.pending_files import StoredFile

_CHUNK = 1 << 20
_SYNCS = 4  # at once: file systems do several in little more than the time of one
_IN_MEMORY = 256 << 10  # bytes; a larger file is written to the disk while it arrives
_EXTENSION = re.compile(r"\.[a-z0-9]{1,5}")
_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}(\.[a-z0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that has arrived but is not yet in its place; a small one is not on the disk yet, but is `content`."""

    path: Path
    content: bytes | None
    length: int
    image: StoredFile


class Arriving:
    """A file while it arrives, to be written to.

    Parameters
    ----------
    folder : pathlib.Path
        Where a large one is written.
    filename : str, optional
        Only its extension is used, never its path.
    """

    def __init__(self, folder: Path, filename: str | None) -> None:
        self._path = folder / secrets.token_hex(16)
        self._file: BinaryIO = BytesIO()
        self._digest = hashlib.sha256()
        self._length = 0
        extension = os.path.splitext(filename or "")[1].lower()
        self._extension = extension if _EXTENSION.fullmatch(extension) else ""

    def write(self, data: bytes) -> int:
        """Take more of it."""
        self._digest.update(data)
        self._length += len(data)
        if isinstance(self._file, BytesIO) and self._length > _IN_MEMORY:
            content = self._file.getvalue()
            self._file = self._path.open("x+b")
            self._file.write(content)
        return self._file.write(data)

    def seek(self, position: int) -> int:
        """Stay at the end; who has parsed a body goes back to the beginning of its files."""
        return self._length

    def end(self) -> Staged:
        """Look at what arrived; nothing follows.

        Raises
        ------
        BadRequestError
            It is empty.
        """
        if not self._length:
            raise BadRequestError("The image is an empty file.")
        width: int | None
        try:
            width, height = size_of(self._file)
        except (ValidationError, OSError):  # any file may be stored: Nucleus takes kinds that are not known here
            width = height = None
        content = self._file.getvalue() if isinstance(self._file, BytesIO) else None
        self._file.close()
        digest = self._digest.hexdigest()
        name = f"{digest[:2]}/{digest}{self._extension}"
        return Staged(self._path, content, self._length, StoredFile(name, width, height))

    def discard(self) -> None:
        """Remove what was not published."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class Images:
    """A folder of files named by the SHA-256 of their content.

    A file is staged while it arrives, and published (synced and moved to its place) before the transaction that names
    it begins, so that a row never names a file that is not there.

    Parameters
    ----------
    folder : pathlib.Path
        Made when absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.incoming = folder / "incoming"

    def arriving(self, filename: str | None) -> Arriving:
        """Return what takes a file that arrives."""
        make_folder(self.folder)
        make_folder(self.incoming)
        return Arriving(self.incoming, filename)

    def stage(self, stream: BinaryIO, filename: str | None) -> Staged:
        """Take a whole stream.

        Raises
        ------
        BadRequestError
            The stream is empty.
        """
        arriving = self.arriving(filename)
        try:
            while chunk := stream.read(_CHUNK):
                arriving.write(chunk)
            return arriving.end()
        except BaseException:
            arriving.discard()
            raise

    def publish(self, files: Iterable[Staged]) -> None:
        """Put staged files in their place, whence no power loss takes them; what is there is not written again.

        Whoever calls this has noted before that they are waited for, lest another process removes one that is there.
        """
        new: dict[Path, Staged] = {}
        folders: dict[Path, None] = {}
        for file in files:
            target = self.folder / file.image.name
            folders[target.parent] = None  # also of what another thread has just moved there, and not synced yet
            if target in new or _is_whole(target, file.length):
                self.discard(file)
            else:
                new[target] = file
        with ThreadPoolExecutor(_SYNCS) as threads:
            list(threads.map(_write, new.values()))
            for target, file in new.items():
                make_folder(target.parent)
                os.replace(file.path, target)
            list(threads.map(sync_folder, folders))

    def discard(self, staged: Staged) -> None:
        """Remove a staged file that was not published."""
        staged.path.unlink(missing_ok=True)

    def look_at(self, name: str) -> StoredFile:
        """Return a file that is in its place, with its size."""
        try:
            return StoredFile(name, *read_size(self.folder / name))
        except (ValidationError, OSError):
            return StoredFile(name, None, None)

    def remove(self, name: str) -> None:
        """Remove a file that no row names any more."""
        (self.folder / name).unlink(missing_ok=True)

    def path(self, name: str) -> Path | None:
        """Return the place of a file, or None when the name is none that this folder gives or the file is gone."""
        if not _NAME.fullmatch(name):
            return None
        path = self.folder / name
        return path if path.is_file() else None


def _write(file: Staged) -> None:
    """Have a file on the disk for good."""
    with file.path.open("r+b" if file.content is None else "xb") as out:
        if file.content is not None:
            out.write(file.content)
            out.flush()
        os.fsync(out.fileno())


def _is_whole(path: Path, length: int) -> bool:
    try:
        return path.stat().st_size == length
    except FileNotFoundError:
        return False


def make_folder(folder: Path) -> None:
    """Create a folder that survives power loss, unless it is there."""
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Create a rename in a folder survive power loss."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
