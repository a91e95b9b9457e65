"""Whether the file of an image ends where its kind says so: a download or a copy that broke off does not.

Only the ends and the lengths of parts are read, no pixels. What is written behind an image, as telephones do, is
passed over.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import BinaryIO

from nucleus_pandas.errors import ValidationError
from nucleus_pandas.schema.image_headers import (
    OtherKindError,
    boxes,
    jpeg_segments,
    size_of,
    tiff_entries,
    unpack,
)

_TAIL = 64
_CHUNK = 1 << 20
_JPEG_END = b"\xff\xd9"
_STRIPS, _TILES = (273, 279), (324, 325)  # TIFF's tags of offsets and lengths


def doubt_about(file: BinaryIO) -> str | None:
    """Return why a file may be no image, or not all of one, as a predicate; None if it is whole.

    Raises
    ------
    OtherKindError
        It is known to be something else.

    Examples
    --------
    >>> from io import BytesIO
    >>> doubt_about(BytesIO(b"GIF89a" + bytes([64, 0, 48, 0])))
    'is truncated: its end is missing'
    """
    try:
        size_of(file)
    except OtherKindError:
        raise
    except ValidationError as error:
        return error.reason
    try:
        whole = _is_whole(file)
    except (struct.error, EOFError, OverflowError):
        whole = False
    return None if whole else "is truncated: its end is missing"


def _is_whole(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_TAIL)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    if head.startswith(b"\xff\xd8"):
        return tail.rstrip(b"\0\r\n").endswith(_JPEG_END) or _jpeg_ends(file)
    if head.startswith(b"\x89PNG"):
        return tail.endswith(b"IEND\xae\x42\x60\x82") or _png_ends(file)
    if head.startswith(b"GIF8"):
        return tail.rstrip(b"\0\r\n").endswith(b";")
    if head.startswith(b"RIFF"):
        return int(struct.unpack_from("<I", head, 4)[0]) + 8 <= size
    if head.startswith(b"BM"):
        return _bmp_ends(head, size)
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _tiff_ends(file, size)
    if head.startswith(b"\xff\x4f\xff\x51"):
        return tail.rstrip(b"\0").endswith(_JPEG_END)
    if head[4:8] in (b"ftyp", b"jP  "):
        file.seek(0)
        return all(end <= size for _, _, end in boxes(file, None))
    return True


def _jpeg_ends(file: BinaryIO) -> bool:
    """Search for the marker EOI behind that of the pixels, in which it cannot occur."""
    if 0xDA not in jpeg_segments(file):
        return False
    before = b""
    while chunk := file.read(_CHUNK):
        if _JPEG_END in before + chunk:
            return True
        before = chunk[-1:]
    return False


def _png_ends(file: BinaryIO) -> bool:
    file.seek(8)
    while True:
        length, kind = unpack(file, ">I4s")
        if kind == b"IEND":
            unpack(file, ">I")  # its checksum
            return True
        file.seek(length + 4, os.SEEK_CUR)


def _bmp_ends(head: bytes, size: int) -> bool:
    """Compare with the size of the pixels, where they are not compressed; many a header has a wrong length."""
    start, length, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", head, 10)
    return length < 40 or compression not in (0, 3) or start + (width * bits + 31) // 32 * 4 * abs(height) <= size


def _tiff_ends(file: BinaryIO, size: int) -> bool:
    """Compare with the offsets and lengths of strips or tiles."""
    file.seek(0)
    numbers = {entry[0]: entry[1:] for entry in tiff_entries(file) if entry[0] in (*_STRIPS, *_TILES)}
    for offsets, lengths in (_STRIPS, _TILES):
        if offsets in numbers and lengths in numbers:
            starts, counts = _numbers(file, *numbers[offsets]), _numbers(file, *numbers[lengths])
            if any(start + count > size for start, count in zip(starts, counts, strict=False)):
                return False
    return True


def _numbers(file: BinaryIO, form: str, count: int, value: bytes) -> Sequence[int]:
    """Read the numbers of a tag of TIFF, which stand elsewhere if they are many."""
    every = f"{form[0]}{count}{form[1]}"
    if struct.calcsize(every) <= len(value):
        return struct.unpack_from(every, value)
    file.seek(struct.unpack(f"{form[0]}{'I' if len(value) == 4 else 'Q'}", value)[0])
    return unpack(file, every)
