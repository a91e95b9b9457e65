"""Sizes of images are those that Pillow reads, without Pillow, without pixels, and whatever the header claims."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nucleus_pandas.errors import ValidationError
from nucleus_pandas.schema.image_headers import ImageSize, read_size, size_of

HUGE = 60_000
EXIF = Image.Exif()
EXIF[0x0112] = 6  # to be turned by a quarter
WAYS: list[tuple[str, str, dict[str, Any]]] = [
    *[("JPEG", mode, {}) for mode in ("RGB", "L", "CMYK")],
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "RGB", {"exif": EXIF}),
    ("JPEG", "RGB", {"icc_profile": b"x" * 200_000, "comment": b"\xff\xc0" * 1_000}),
    *[("PNG", mode, {}) for mode in ("RGB", "RGBA", "L", "P", "1", "I;16")],
    ("GIF", "P", {}),
    ("GIF", "RGB", {}),
    ("BMP", "RGB", {}),
    ("BMP", "L", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("WEBP", "RGB", {"exif": EXIF}),
    *[("TIFF", mode, {}) for mode in ("RGB", "L", "1")],
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"big_tiff": True}),
    ("JPEG2000", "RGB", {}),
    ("JPEG2000", "L", {"no_jp2": True}),
    ("AVIF", "RGB", {}),
    ("AVIF", "RGBA", {}),
    *[(kind, "RGB", {}) for kind in ("PPM", "TGA", "PCX", "DDS", "SGI")],
]


def written(kind: str, mode: str, options: dict[str, Any], size: tuple[int, int]) -> bytes:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    if "big_tiff" in options and tuple(map(int, Image.__version__.split(".")[:2])) < (11, 1):
        pytest.skip("this Pillow writes no BigTIFF")
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("size", [(16, 17), (251, 37)])
@pytest.mark.parametrize(("kind", "mode", "options"), WAYS)
def test_sizes_are_those_that_pillow_reads(
    kind: str, mode: str, options: dict[str, Any], size: tuple[int, int]
) -> None:
    content = written(kind, mode, options, size)
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == size
    assert size_of(io.BytesIO(content)) == size


def test_the_orientation_that_exif_names_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (64, 48)).save(path, exif=EXIF)
    with Image.open(path) as image:
        assert image.getexif()[0x0112] == 6
    assert read_size(path) == ImageSize(64, 48)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def heif(width: int, height: int) -> bytes:
    """An image of tiles, as telephones make it: each tile is an item with a size, and so is the whole."""

    def size(*sides: int) -> bytes:
        return box(b"ispe", struct.pack(">4xII", *sides))

    def properties(item: int, *numbers: int) -> bytes:
        return struct.pack(">HB", item, len(numbers)) + bytes(0x80 | number for number in numbers)

    owners = [properties(1, 1, 3), properties(2, 1, 3), properties(7, 3, 2)]
    association = box(b"ipma", struct.pack(">4xI", len(owners)), *owners)
    container = box(b"ipco", size(512, 512), size(width, height), box(b"colr", b"nclx" + bytes(7)))
    meta = box(b"meta", bytes(4), box(b"pitm", struct.pack(">4xH", 7)), box(b"iprp", container, association))
    return box(b"ftyp", b"heic", bytes(4), b"mif1heic") + meta + box(b"mdat", b"\1" * 100)


def claiming(kind: str, width: int, height: int) -> bytes:
    """A header that claims a size, and hardly anything behind it."""
    if kind == "PNG":
        ihdr = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + ihdr + chunk(b"IDAT", b"no pixels") + chunk(b"IEND", b"")
    if kind == "JPEG":
        return b"\xff\xd8\xff\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03\x01\x22\x00"
    if kind == "GIF":
        return b"GIF89a" + struct.pack("<HH", width, height) + bytes(3)
    if kind == "BMP":
        return b"BM" + bytes(12) + struct.pack("<Iii", 40, width, -height) + bytes(28)
    if kind == "WEBP":
        sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        return b"RIFF" + bytes(4) + b"WEBPVP8X" + struct.pack("<II", 10, 0) + sides
    if kind == "TIFF":
        entries = [struct.pack(">HHII", tag, 4, 1, side) for tag, side in ((256, width), (257, height))]
        return b"MM\0*" + struct.pack(">IH", 8, 2) + b"".join(entries)
    if kind == "JPEG 2000":
        head = b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"ftyp", b"jp2 ")
        return head + box(b"jp2h", box(b"ihdr", struct.pack(">II", height, width) + bytes(6)))
    return heif(width, height)


KINDS = ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "JPEG 2000", "HEIF"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_that_is_claimed_is_believed_and_nothing_is_decoded(kind: str) -> None:
    tracemalloc.start()
    try:
        assert size_of(io.BytesIO(claiming(kind, HUGE, HUGE - 1))) == (HUGE, HUGE - 1)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_large_file_the_header_alone_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(claiming(kind, 640, 480))
    with path.open("r+b") as file:
        file.truncate(300 << 20)
    tracemalloc.start()
    try:
        assert read_size(path) == (640, 480)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_that_is_cut_off_is_refused(kind: str) -> None:
    content = claiming(kind, 640, 480)
    outcomes = []
    for length in range(1, len(content)):
        try:
            outcomes.append(size_of(io.BytesIO(content[:length])) == (640, 480))
        except ValidationError:
            outcomes.append(False)
    assert outcomes == sorted(outcomes)  # from some length on the size is there


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_is_refused_or_has_a_size(kind: str) -> None:
    draw = random.Random(kind)
    for _ in range(300):
        content = bytearray(claiming(kind, 640, 480))
        for _ in range(draw.randrange(1, 8)):
            content[draw.randrange(len(content))] = draw.choice((0, 1, 255, draw.randrange(256)))
        try:
            found = size_of(io.BytesIO(content))
        except ValidationError:
            continue
        assert all(0 < side < 2**31 for side in found)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (2**31, 5)])
def test_a_image_without_sides_or_with_endless_ones_is_refused(width: int, height: int) -> None:
    with pytest.raises(ValidationError, match=f"claims to have {width} by {height} pixels"):
        size_of(io.BytesIO(claiming("PNG", width, height)))


@pytest.mark.parametrize("content", [b"\0" * 1000, b"\0\0\0\x18ftypxxxx" + bytes(200), b"\1\2\3"])
def test_what_is_of_no_known_kind_is_rejected(content: bytes) -> None:
    with pytest.raises(ValidationError, match="is not of a known image format"):
        size_of(io.BytesIO(content))


def test_of_rare_kinds_pillow_refuses_those_that_claim_too_many_pixels() -> None:
    with pytest.raises(ValidationError, match="claims to have more pixels than Pillow opens"):
        size_of(io.BytesIO(b"P6 60000 60000 255\n"))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    with pytest.raises(ValidationError, match="is an empty file"):
        read_size(path)


WITHOUT_PILLOW = """
import sys
sys.modules["PIL"] = None
from pathlib import Path
from nucleus_pandas import read_images
print(read_images(sys.argv[1], pattern="*").to_json(orient="values"))
"""


def test_pillow_is_needed_for_rare_kinds_alone(tmp_path: Path) -> None:
    Image.new("RGB", (6, 5)).save(tmp_path / "a.jpg")
    Image.new("RGB", (6, 5)).save(tmp_path / "b.tga")
    command = [sys.executable, "-W", "error", "-c", WITHOUT_PILLOW, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert '6,5,null],["b.tga"' in told
    assert "is not of a format that can be read without Pillow: pip install 'nucleus_pandas[local]'" in told
