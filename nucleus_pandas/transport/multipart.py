"""Multipart bodies: fields, and files that are read while they are sent."""

from __future__ import annotations

import os
import re
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from nucleus_pandas.errors import InvalidInputError

_READ = 1 << 16  # bytes


class UnreadableFileError(InvalidInputError):
    """A file of a body cannot be sent.

    Attributes
    ----------
    number : int
        The position of the file in the body, from 0.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Multipart:
    """A multipart body that reads its files while it is sent, so that its memory does not grow with their size.

    If a file changes or disappears meanwhile, UnreadableFileError ends the request before its body is complete.

    Attributes
    ----------
    failure : UnreadableFileError or None
        Why the body is incomplete, even if there was an answer to the request.

    Parameters
    ----------
    fields : dict of str to bytes
        The first parts, as JSON.
    files : sequence of (str, pathlib.Path, str)
        Name of the part, path of the file, and file name to send.

    Raises
    ------
    UnreadableFileError
        A file does not exist any more, or is empty.
    """

    def __init__(self, fields: Mapping[str, bytes], files: Sequence[tuple[str, Path, str]]) -> None:
        boundary = uuid.uuid4().hex
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.failure: UnreadableFileError | None = None
        self._parts: list[bytes | tuple[int, Path, os.stat_result]] = []
        for name, text in fields.items():
            disposition = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
            self._parts.append(f"{disposition}Content-Type: application/json\r\n\r\n".encode() + text + b"\r\n")
        for number, (part, path, filename) in enumerate(files):
            kind = re.sub(r"[^a-z0-9]", "", path.suffix.lower()) or "octet-stream"
            disposition = f'form-data; name="{part}"; filename="{quote(filename)}"'
            head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: image/{kind}\r\n\r\n"
            self._parts += [head.encode(), (number, path, _stat(number, path)), b"\r\n"]
        self._parts.append(f"--{boundary}--\r\n".encode())
        self._length = sum(len(part) if isinstance(part, bytes) else part[2].st_size for part in self._parts)
        self._chunks: Iterator[bytes] | None = None
        self._rest = b""

    def __len__(self) -> int:
        return self._length

    def _read(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
            else:
                try:
                    yield from _chunks(*part)
                except UnreadableFileError as error:
                    self.failure = error
                    raise

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes, as a file does."""
        if self._chunks is None:
            self._chunks = self._read()
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest += chunk
        end = len(self._rest) if size < 0 else size
        result, self._rest = self._rest[:end], self._rest[end:]
        return result

    def rewind(self) -> None:
        """Start again, for a retry."""
        self._chunks, self._rest = None, b""


def _stat(number: int, path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(number, path, error) from None
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        now = "empty" if stat.S_ISREG(status.st_mode) else "not a file"
        raise UnreadableFileError(f"The image '{path}' is {now} now.", number)
    return status


def _chunks(number: int, path: Path, before: os.stat_result) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            left = before.st_size
            while chunk := file.read(_READ):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
            changed_at = os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        raise _unreadable(number, path, error) from None
    if left or changed_at != before.st_mtime_ns:
        raise UnreadableFileError(f"The image '{path}' changed while it was sent.", number)


def _unreadable(number: int, path: Path, error: OSError) -> UnreadableFileError:
    return UnreadableFileError(f"The image '{path}' can no longer be read: {error.strerror}.", number)
