"""The files of a store: uploaded images and masks, named by their content."""

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
from nucleus_pandas.schema.image_headers import read_size, size_of
from nucleus_pandas.schema.image_urls import STORED_NAME
from nucleus_pandas.server.store.pending_files import StoredFile

_CHUNK = 1 << 20
_SYNC_THREADS = 4  # file systems sync several files in little more than the time of one
_IN_MEMORY = 256 << 10  # bytes; larger files are written to disk while they arrive
_EXTENSION = re.compile(r"\.[a-z0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A received file that is not published yet; a small one is not on disk yet but in `content`."""

    path: Path
    content: bytes | None
    length: int
    image: StoredFile


class IncomingFile:
    """Receives a file; a stream to write to.

    Parameters
    ----------
    folder : pathlib.Path
        The folder for a large file.
    filename : str, optional
        The name; only its extension is used, never its path.
    """

    def __init__(self, folder: Path, filename: str | None) -> None:
        self._path = folder / secrets.token_hex(16)
        self._file: BinaryIO = BytesIO()
        self._digest = hashlib.sha256()
        self._length = 0
        extension = os.path.splitext(filename or "")[1].lower()
        self._extension = extension if _EXTENSION.fullmatch(extension) else ""

    def write(self, data: bytes) -> int:
        """Write some bytes."""
        self._digest.update(data)
        self._length += len(data)
        if isinstance(self._file, BytesIO) and self._length > _IN_MEMORY:
            content = self._file.getvalue()
            self._file = self._path.open("x+b")
            self._file.write(content)
        return self._file.write(data)

    def seek(self, position: int) -> int:
        """Return the end: the parser of a form seeks to the start of each file, which is not needed here."""
        return self._length

    def end(self) -> ReceivedFile:
        """Finish the file, and read the size of the image.

        Raises
        ------
        BadRequestError
            The file is empty.
        """
        if not self._length:
            raise BadRequestError("The image is an empty file.")
        width: int | None
        try:
            width, height = size_of(self._file)
        except (ValidationError, OSError):  # any file may be stored: Nucleus supports types that are unknown here
            width = height = None
        content = self._file.getvalue() if isinstance(self._file, BytesIO) else None
        self._file.close()
        digest = self._digest.hexdigest()
        name = f"{digest[:2]}/{digest}{self._extension}"
        return ReceivedFile(self._path, content, self._length, StoredFile(name, width, height))

    def discard(self) -> None:
        """Delete the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class FileStore:
    """A folder of files named by the SHA-256 of their content.

    A file is staged while it arrives, and published (synced and renamed to its final name) before the transaction that
    names it begins, so that a row never names a missing file.

    Parameters
    ----------
    folder : pathlib.Path
        The folder, created if absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.incoming = folder / "incoming"

    def arriving(self, filename: str | None) -> IncomingFile:
        """Return a stream that receives a file."""
        make_folder(self.folder)
        make_folder(self.incoming)
        return IncomingFile(self.incoming, filename)

    def stage(self, stream: BinaryIO, filename: str | None) -> ReceivedFile:
        """Stage a whole stream.

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

    def publish(self, files: Iterable[ReceivedFile]) -> None:
        """Move staged files to their final names durably (fsynced); existing files are not written again.

        The caller must have recorded them as pending before, otherwise another process may remove an existing one.
        """
        new: dict[Path, ReceivedFile] = {}
        folders: dict[Path, None] = {}
        for file in files:
            target = self.folder / file.image.name
            folders[target.parent] = None  # also for files that another thread has just moved there and not synced yet
            if target in new or _is_whole(target, file.length):
                self.discard(file)
            else:
                new[target] = file
        with ThreadPoolExecutor(_SYNC_THREADS) as threads:
            list(threads.map(_write, new.values()))
            for target, file in new.items():
                make_folder(target.parent)
                os.replace(file.path, target)
            list(threads.map(sync_folder, folders))

    def discard(self, staged: ReceivedFile) -> None:
        """Delete a staged file that was not published."""
        staged.path.unlink(missing_ok=True)

    def describe(self, name: str) -> StoredFile:
        """Return a published file with its image size."""
        try:
            return StoredFile(name, *read_size(self.folder / name))
        except (ValidationError, OSError):
            return StoredFile(name, None, None)

    def remove(self, name: str) -> None:
        """Delete a file that no row names any more."""
        (self.folder / name).unlink(missing_ok=True)

    def path(self, name: str) -> Path | None:
        """Return the path of a file, None if the name is invalid or the file does not exist."""
        if not re.fullmatch(STORED_NAME, name):
            return None
        path = self.folder / name
        return path if path.is_file() else None


def _write(file: ReceivedFile) -> None:
    """Write a staged file and sync it."""
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
    """Create a folder if absent, so that it survives power loss."""
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder to disk, so that renames in it survive power loss."""
    if os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
