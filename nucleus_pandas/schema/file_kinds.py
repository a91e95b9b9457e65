"""Files that are not images, recognised by their first bytes."""

from __future__ import annotations

import re

HEAD = 1024
"""Bytes from the start of a file by which it is recognised."""

_TEXT = bytes({*range(0x20, 0x7F), *range(0x80, 0x100), *b"\b\t\n\v\f\r\x1b"})
_PRINTED = bytes({*range(0x20, 0x7F), *b"\t\n\r"})
_ASCII_SHARE = 0.75  # of a text in an encoding of one byte per letter; pixels without a header have fewer
_IMAGES_OF_TEXT = re.compile(
    rb"P[1-6Ff]\s+[#\d]|P7\s+[#A-Z]|/\* XPM|#define \w+_(?:width|height)|#\?RADIANCE|#\?RGBE|SIMPLE  ="
)
_JSON = re.compile(rb"\{\s*[\"}]|\[\s*(?:[\[{\"\]\d-]|true|false|null)")

_SIGNATURES: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("a ZIP archive", (b"PK\3\4", b"PK\5\6", b"PK\7\x08")),
    ("a gzip archive", (b"\x1f\x8b",)),
    ("a bzip2 archive", tuple(b"BZh%d1AY&SY" % level for level in range(1, 10))),
    ("an XZ archive", (b"\xfd7zXZ\0",)),
    ("a 7-Zip archive", (b"7z\xbc\xaf\x27\x1c",)),
    ("a RAR archive", (b"Rar!\x1a\x07",)),
    ("a Zstandard archive", (b"\x28\xb5\x2f\xfd",)),
    ("an LZ4 archive", (b"\x04\x22\x4d\x18",)),
    ("an archive", (b"MSCF\0\0\0\0", b"!<arch>\n", b"LZIP", b"\x1f\x9d", b"\x1f\xa0", b"\xed\xab\xee\xdb", b"xar!")),
    ("a program", (b"\x7fELF", b"MZ", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe")),
    ("a program", (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\0asm", b"dex\n03")),
    ("a PDF document", (b"%PDF-",)),
    ("an Office document", (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)),
    ("a SQLite database", (b"SQLite format 3\0",)),
    ("a Parquet file", (b"PAR1", b"PARE")),
    ("an Arrow file", (b"ARROW1\0\0",)),
    ("an Avro file", (b"Obj\1",)),
    ("an HDF5 file", (b"\x89HDF\r\n\x1a\n",)),
    ("a NumPy array", (b"\x93NUMPY",)),
    ("a pickle", (b"\x80\5\x95", b"\x80\4\x95", b"\x80\3", b"\x80\2}", b"\x80\2c", b"\x80\2]")),
    ("a MATLAB file", (b"MATLAB 5.0 MAT-file",)),
    ("a key or a password store", (b"\xfe\xed\xfe\xed\0\0\0", b"\x03\xd9\xa2\x9a")),
    ("a video", (b"\x1a\x45\xdf\xa3", b"FLV\1", b"\0\0\1\xba", b"\0\0\1\xb3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")),
    ("a video or a sound", (b"OggS\0",)),
    ("a sound", (b"ID3", b"fLaC", b"MThd\0\0\0\6", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")),
    ("a point cloud", (b"# .PCD", b"ply\n", b"ply\r\n", b"LASF", b"ASTM-E57")),
    ("a resource fork of macOS", (b"\0\5\x16\7\0\2\0\0", b"\0\5\x16\0\0\2\0\0")),
)
_BRANDS = re.compile(rb"(?:isom|iso[2-9]|mp4[12]|avc[1-3]|qt  |M4[VABP] |3g[p2]|dash|f4v|F4V|mmp4|MSNV|XAVC)")
"""Major brands of films in ISO/IEC 14496-12, whose layout HEIF and AVIF share."""


def other_kind(head: bytes) -> str | None:
    r"""Return what a file is instead of an image, as a phrase with its article; None for images and unknown kinds.

    Parameters
    ----------
    head : bytes
        The first `HEAD` bytes, or all if there are fewer.

    Examples
    --------
    >>> other_kind(b"<!DOCTYPE html><title>Not found</title>"), other_kind(b'[{"id": 7}]')
    ('an HTML page', 'JSON')
    >>> other_kind(b"PK\x03\x04\x14\x00"), other_kind(b"\x89PNG\r\n\x1a\n"), other_kind(b"\x00\x01\x02")
    ('a ZIP archive', None, None)
    """
    if _IMAGES_OF_TEXT.match(head):
        return None
    for kind, signatures in _SIGNATURES:
        if head.startswith(signatures):
            return kind
    if head[257:262] == b"ustar":
        return "a tar archive"
    return _kind_of_text(head) or _kind_of_film(head)


def _kind_of_film(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WAVE"):
        return "a video" if head[8:12] == b"AVI " else "a sound"
    is_film = head[4:8] in (b"moov", b"mdat", b"wide") or (head[4:8] == b"ftyp" and _BRANDS.match(head[8:12]))
    is_stream = head[0:1] == head[188:189] == head[376:377] == b"G"  # packets of MPEG
    return "a video" if is_film or is_stream else None


def _kind_of_text(head: bytes) -> str | None:
    text = _plain(head)
    if text is None:
        return None
    text = text.lstrip()
    lower = text.lower()
    if lower.startswith(b"version https://git-lfs."):
        return "a pointer of Git LFS (`git lfs pull` gets the file)"
    if b"<html" in lower or b"<!doctype html" in lower:
        return "an HTML page"
    if b"<svg" in lower:
        return "an SVG drawing"
    if lower.startswith(b"<"):
        return "XML"
    if _JSON.match(text):
        return "JSON"
    if lower.startswith(b"-----begin "):
        return "a key or a certificate"
    return "a script" if lower.startswith(b"#!") else "text"


def _plain(head: bytes) -> bytes | None:
    """Return text as UTF-8 or as it is; None for binary data."""
    for mark, encoding, unit in (
        (b"\xff\xfe\0\0", "utf-32", 4),
        (b"\xff\xfe", "utf-16", 2),
        (b"\xfe\xff", "utf-16", 2),
    ):
        if head.startswith(mark):
            try:
                text = head[: len(head) // unit * unit].decode(encoding)
            except UnicodeDecodeError as error:
                if error.start < len(head) - 4:  # not a letter that the end cuts
                    return None
                text = head[: error.start].decode(encoding)
            return (
                None if any(ord(letter) < 32 and letter not in "\b\t\n\v\f\r\x1b" for letter in text) else text.encode()
            )
    if not head or head.translate(None, _TEXT):
        return None
    try:
        head.decode()
    except UnicodeDecodeError as error:
        is_cut = error.reason == "unexpected end of data"
        if not is_cut and len(head.translate(None, _PRINTED)) > (1 - _ASCII_SHARE) * len(head):
            return None
    return head.removeprefix(b"\xef\xbb\xbf")
