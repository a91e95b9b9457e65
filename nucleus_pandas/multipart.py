"""Multipart bodies: fields, and files that are read while they are sent."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from nucleus_pandas.errors import InvalidInputError

_READ = 1 << 16  # bytes


class Multipart:
    """A multipart body that reads its files while it is sent: its memory does not grow with their size.

    A file that changes meanwhile, or goes, ends the request by an InvalidInputError before its body is whole.

    Parameters
    ----------
    fields : dict of str to bytes
        The first parts, JSON.
    files : sequence of (str, pathlib.Path, str)
        Name of the part, file, and file name to send.
    """

    def __init__(self, fields: Mapping[str, bytes], files: Sequence[tuple[str, Path, str]]) -> None:
        boundary = uuid.uuid4().hex
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts: list[bytes | tuple[Path, int]] = []
        self._length = 0
        for name, text in fields.items():
            disposition = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
            field = f"{disposition}Content-Type: application/json\r\n\r\n".encode() + text + b"\r\n"
            self._parts.append(field)
            self._length += len(field)
        for part, path, filename in files:
            kind = re.sub(r"[^a-z0-9]", "", path.suffix.lower()) or "octet-stream"
            disposition = f'form-data; name="{part}"; filename="{quote(filename)}"'
            head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: image/{kind}\r\n\r\n"
            size = path.stat().st_size
            self._parts += [head.encode(), (path, size), b"\r\n"]
            self._length += len(head.encode()) + size + 2
        tail = f"--{boundary}--\r\n".encode()
        self._parts.append(tail)
        self._length += len(tail)
        self._chunks: Iterator[bytes] | None = None
        self._rest = b""

    def __len__(self) -> int:
        return self._length

    def _read(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
            else:
                yield from _chunks(*part)

    def read(self, size: int = -1) -> bytes:
        """Read on, as a file."""
        if self._chunks is None:
            self._chunks = self._read()
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest += chunk
        end = len(self._rest) if size < 0 else size
        given, self._rest = self._rest[:end], self._rest[end:]
        return given

    def rewind(self) -> None:
        """Begin again, for a retry."""
        self._chunks, self._rest = None, b""


def _chunks(path: Path, size: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            left = size
            while chunk := file.read(_READ):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except OSError as error:
        raise InvalidInputError(f"The picture '{path}' cannot be read any more: {error.strerror}.") from None
    if left:
        raise InvalidInputError(f"The picture '{path}' changed while it was sent.")
