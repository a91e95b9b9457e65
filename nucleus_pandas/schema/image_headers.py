"""Width and height of images, read from their headers: no pixel is decoded, and no file is read whole.

A size is that of the stored pixels. EXIF's orientation, by which viewers turn an image, is left alone: boxes are drawn
in stored pixels by the tools that read files as they are.

JPEG, PNG, GIF, BMP, WebP, TIFF, JPEG 2000, AVIF and HEIF are read here, since Pillow rejects images whose headers
claim very many pixels, and reads some kinds whole. Every other kind is left to Pillow, if it is installed.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from nucleus_pandas.errors import ValidationError
from nucleus_pandas.schema.file_kinds import HEAD, other_kind

_NAMES = "apng avif bmp dib gif heic heif j2k jfif jp2 jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp"
EXTENSIONS = frozenset(f".{name}" for name in _NAMES.split())
"""The extensions of image files, in lower case."""

_PARTS = 10_000  # segments, boxes or entries that are read; no image has that many before its size
_LARGEST = 2**31  # pixels per side
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's markers of a frame, which begins with its size
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # JPEG's markers without a segment
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # of whole numbers

_Pair: TypeAlias = tuple[int, int]


class OtherKindError(ValidationError):
    """A file is known to be something else than an image."""


class ImageSize(NamedTuple):
    """Pixels of an image as it is stored."""

    width: int
    height: int


def read_size(path: str | os.PathLike[str]) -> ImageSize:
    """Read the size of a local image; see `size_of`.

    Raises
    ------
    ValidationError
        It is not an image of a known kind, or is cut off or damaged before its size.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "a.gif"
    >>> path.write_bytes(b"GIF89a" + bytes([64, 0, 48, 0])) and read_size(path)
    ImageSize(width=64, height=48)
    """
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValidationError("is not a file", subject="The image")
        return size_of(file)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would be waited for


def size_of(file: BinaryIO) -> ImageSize:
    """Read the size of an image from its header; the file is left somewhere behind it.

    Raises
    ------
    ValidationError
        It is not an image of a known kind, or is cut off or damaged before its size. `OtherKindError` where it is
        known to be something else.
    """
    file.seek(0)
    head = file.read(HEAD)
    if not head:
        raise ValidationError("is an empty file", subject="The image")
    reader = next((read for is_kind, read in _READERS if is_kind(head)), None)
    if reader is None:
        if (kind := other_kind(head)) is not None:
            raise OtherKindError(f"is {kind}, not an image", subject="The image")
        return _checked(_by_pillow(file))
    file.seek(0)
    try:
        pair = reader(file)
    except (struct.error, EOFError, OverflowError):
        raise ValidationError("is truncated or damaged before its size", subject="The image") from None
    return _checked(pair)


def _checked(pair: _Pair) -> ImageSize:
    if not all(0 < side < _LARGEST for side in pair):
        raise ValidationError(f"claims to have {pair[0]} by {pair[1]} pixels", subject="The image")
    return ImageSize(*pair)


def unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    """Read on; a struct.error where the file ends."""
    return struct.unpack(form, file.read(struct.calcsize(form)))


def jpeg_segments(file: BinaryIO) -> Iterator[int]:
    """Walk the segments of a JPEG up to its pixels: the marker of each, with the file at its content."""
    file.seek(2)
    for _ in range(_PARTS):
        first, marker, length = unpack(file, ">BBH")
        if first != 0xFF or marker == 0xD9:  # the end
            return
        if marker == 0xFF:  # a byte that fills
            file.seek(-3, 1)
        elif marker in _ALONE:
            file.seek(-2, 1)
        else:
            at = file.tell()
            yield marker
            if marker == 0xDA:  # the pixels
                return
            file.seek(at + length - 2)


def _jpeg(file: BinaryIO) -> _Pair:
    """Read the frame header: ISO/IEC 10918-1, B.2.2."""
    for marker in jpeg_segments(file):
        if marker in _FRAMES:
            height, width = unpack(file, ">xHH")
            return width, height
    raise EOFError


def _png(file: BinaryIO) -> _Pair:
    """Read the chunk IHDR, which is the first: ISO/IEC 15948, 11.2.2. Apple's own kind has one before it."""
    file.seek(8)
    length, name = unpack(file, ">I4s")
    if name == b"CgBI":
        file.seek(length + 4, 1)
        _, name = unpack(file, ">I4s")
    if name != b"IHDR":
        raise EOFError
    width, height = unpack(file, ">II")
    return width, height


def _gif(file: BinaryIO) -> _Pair:
    """Read the logical screen: GIF89a, 18."""
    file.seek(6)
    width, height = unpack(file, "<HH")
    return width, height


def _bmp(file: BinaryIO) -> _Pair:
    """Read the header; a negative height says that the rows begin at the top."""
    file.seek(14)
    (size,) = unpack(file, "<I")
    width, height = unpack(file, "<HH" if size == 12 else "<ii")
    return width, abs(height)


def _webp(file: BinaryIO) -> _Pair:
    """Read the first chunk: RFC 9649, 2.5 to 2.7."""
    file.seek(12)
    kind = file.read(4)
    file.seek(20)
    if kind == b"VP8X":
        low_w, high_w, low_h, high_h = unpack(file, "<4xHBHB")
        return (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1
    if kind == b"VP8L":
        signature, bits = unpack(file, "<BI")
        if signature == 0x2F:
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        start, width, height = unpack(file, "<3x3sHH")
        if start == b"\x9d\x01\x2a":
            return width & 0x3FFF, height & 0x3FFF
    raise EOFError


def tiff_entries(file: BinaryIO) -> Iterator[tuple[int, str, int, bytes]]:
    """Walk the tags of the first image: TIFF 6.0, 2; BigTIFF has wider numbers.

    Yields
    ------
    (int, str, int, bytes)
        The tag, the format of its numbers for `struct`, how many there are, and those numbers or their offset.
    """
    order = "<" if file.read(2) == b"II" else ">"
    (version,) = unpack(file, f"{order}H")
    offset, count, entry = (f"{order}4xQ", f"{order}Q", f"{order}HHQ8s") if version == 43 else ("I", "H", "HHI4s")
    offset, count, entry = (form if form[0] in "<>" else order + form for form in (offset, count, entry))
    file.seek(unpack(file, offset)[0])
    (entries,) = unpack(file, count)
    for _ in range(min(entries, _PARTS)):
        tag, kind, number, value = unpack(file, entry)
        if kind in _TIFF_TYPES:
            yield tag, order + _TIFF_TYPES[kind], number, value


def _tiff(file: BinaryIO) -> _Pair:
    """Read the tags ImageWidth and ImageLength."""
    sides: dict[int, int] = {}
    for tag, form, _, value in tiff_entries(file):
        if tag in (256, 257):
            (sides[tag],) = struct.unpack_from(form, value)
        if len(sides) == 2:
            return sides[256], sides[257]
    raise EOFError


def boxes(file: BinaryIO, end: int | None) -> Iterator[tuple[bytes, int, int]]:
    """Walk boxes, the layout of JPEG 2000 and ISO/IEC 14496-12: kind, start and end of each.

    The caller may read elsewhere in between.
    """
    at = file.tell()
    for _ in range(_PARTS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head)
        if size == 1:
            (size,) = unpack(file, ">Q")
        if size == 0:
            size = (end or file.seek(0, 2)) - at
        if size < 8:
            raise EOFError
        start = at + (16 if head[:4] == b"\0\0\0\1" else 8)
        file.seek(start)
        yield kind, start, at + size
        at += size
        if end is not None and at >= end:
            return


def _box(file: BinaryIO, end: int | None, *kinds: bytes) -> int:
    """Go to the content of a box in boxes, and return its end."""
    for wanted in kinds:
        found = next(((start, stop) for kind, start, stop in boxes(file, end) if kind == wanted), None)
        if found is None:
            raise EOFError
        start, end = found
        file.seek(start)
    assert end is not None
    return end


def _jpeg_2000(file: BinaryIO) -> _Pair:
    """Read the box ``ihdr``, or the segment SIZ where there are no boxes: ISO/IEC 15444-1, I.5.3.1 and A.5.1."""
    if file.read(4) == b"\xff\x4f\xff\x51":
        right, bottom, left, top = unpack(file, ">4x4I")
        return right - left, bottom - top
    file.seek(0)
    _box(file, None, b"jp2h", b"ihdr")
    height, width = unpack(file, ">II")
    return width, height


def _heif(file: BinaryIO) -> _Pair:
    """Read the property ``ispe`` of the primary item: ISO/IEC 23008-12, 6.5.3; an iPhone's image has many items."""
    end = _box(file, None, b"meta")
    file.seek(4, 1)
    start = file.tell()
    _box(file, end, b"pitm")
    primary = _full_number(file)
    file.seek(start)
    end = _box(file, end, b"iprp")
    start = file.tell()
    wanted = set()
    file.seek(start)
    for kind, _, _ in boxes(file, end):
        if kind == b"ipma":
            wanted |= _properties_of(file, primary)
    file.seek(start)
    end = _box(file, end, b"ipco")
    for number, (kind, _, _) in enumerate(boxes(file, end), 1):
        if kind == b"ispe" and number in wanted:
            width, height = unpack(file, ">4xII")
            return width, height
    raise EOFError


def _full_number(file: BinaryIO) -> int:
    (version,) = unpack(file, ">B3x")
    (number,) = unpack(file, ">I" if version else ">H")
    return int(number)


def _properties_of(file: BinaryIO, item: int) -> set[int]:
    """Read the numbers of an item's properties from a box ``ipma``."""
    version, flags, count = unpack(file, ">B2xBI")
    found: set[int] = set()
    for _ in range(min(count, _PARTS)):
        own, several = unpack(file, ">IB" if version else ">HB")
        properties = unpack(file, f">{several}{'H' if flags & 1 else 'B'}")
        if own == item:
            found |= {number & (0x7FFF if flags & 1 else 0x7F) for number in properties}
    return found


def _by_pillow(file: BinaryIO) -> _Pair:
    try:
        from PIL import Image
    except ImportError:
        raise ValidationError(
            "is not of a format that can be read without Pillow: pip install 'nucleus_pandas[local]'",
            subject="The image",
        ) from None
    try:
        file.seek(0)
        with Image.open(file) as image:
            return image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValidationError("claims to have more pixels than Pillow opens", subject="The image") from None
    except Exception:  # the readers of damaged and unknown formats raise all kinds
        raise ValidationError("is not of a known image format", subject="The image") from None


def _is_heif(head: bytes) -> bool:
    brands = (b"avif", b"avis", b"heic", b"heim", b"heis", b"heix", b"mif1", b"msf1")
    return head[4:8] == b"ftyp" and head[8:12] in brands


_READERS: list[tuple[Callable[[bytes], bool], Callable[[BinaryIO], _Pair]]] = [
    (lambda head: head.startswith(b"\xff\xd8\xff"), _jpeg),
    (lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda head: head.startswith((b"GIF87a", b"GIF89a")), _gif),
    (lambda head: head.startswith(b"BM") and head[6:10] == b"\0\0\0\0", _bmp),
    (lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP", _webp),
    (lambda head: head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), _tiff),
    (lambda head: head.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")), _jpeg_2000),
    (_is_heif, _heif),
]
