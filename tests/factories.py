"""Rows, frames and files of images that many tests need: one maker for each."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from PIL import Image

Row = dict[str, Any]

SIDES = ["x", "y", "width", "height"]
SQUARE = {"x": 1, "y": 2, "width": 3, "height": 4}
TRIANGLE = {"vertices": [{"x": 0, "y": 0}, {"x": 1, "y": 0}, {"x": 1, "y": 1}]}
POSE = {"keypoints": [{"x": 1, "y": 2, "visible": True}], "names": ["nose"], "skeleton": [[0, 0]]}
CUBOID = {"position": {"x": 1, "y": 2, "z": 3}, "dimensions": {"x": 4, "y": 5, "z": 6}, "yaw": 0.5}
MASK_URL = "https://example.org/mask.png"
SEGMENTS = [{"label": "sky", "index": 1}]


# Rows as requests hold them


def image_url(reference_id: str) -> str:
    """Address a remote image by the id of its item, whatever stands in it."""
    return f"https://example.org/{quote(reference_id[:100], safe='', errors='replace')}"


def item(reference_id: str = "a.jpg", **fields: Any) -> Row:
    """An item whose image is a remote one."""
    return {"reference_id": reference_id, "image_url": image_url(reference_id), **fields}


def box(reference_id: str | None = "a.jpg", annotation_id: str | None = None, **fields: Any) -> Row:
    """A box round `SQUARE` with the label `car`; without an id unless one is given."""
    named = {} if annotation_id is None else {"annotation_id": annotation_id}
    return {"type": "box", "label": "car", "reference_id": reference_id, "geometry": SQUARE, **named, **fields}


def box_at(reference_id: str, annotation_id: str, label: str = "car", x: float = 0, **fields: Any) -> Row:
    """A box of 10 by 10 pixels at the upper edge of an image."""
    geometry = {"x": x, "y": 0, "width": 10, "height": 10}
    return {**box(reference_id, annotation_id, label=label, geometry=geometry), "metadata": {}, **fields}


# Frames


def flat_box(
    reference_id: str, label: str | None, x: float | None, width: float | None = 10.0, **columns: Any
) -> dict[str, Any]:
    """A row of a frame of boxes: 10 pixels high, at the upper edge of an image."""
    height, y = None if width is None else 10.0, None if x is None else 0.0
    return {"reference_id": reference_id, "label": label, "x": x, "y": y, "width": width, "height": height, **columns}


def item_frame(*reference_ids: str, **columns: Any) -> pd.DataFrame:
    """Items whose images are remote ones."""
    names = list(reference_ids)
    return pd.DataFrame({"reference_id": names, "image_url": list(map(image_url, names))}).assign(**columns)


def box_frame(*reference_ids: str, **columns: Any) -> pd.DataFrame:
    """Boxes of the label `car`, one on each item."""
    frame = pd.DataFrame({"reference_id": list(reference_ids), "label": "car"})
    return frame.assign(**{"x": 10.0, "y": 20.0, "width": 30.0, "height": 60.0, **columns})


# Images


def png_of(pixels: Any, mode: str | None = None) -> bytes:
    """Encode an array or an image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(out, "PNG")
    return out.getvalue()


def png(colour: str | int = "red", size: tuple[int, int] = (8, 6)) -> bytes:
    """An image of one colour, or of one shade of grey."""
    return png_of(Image.new("L" if isinstance(colour, int) else "RGB", size, colour))


def noise_png(seed: int) -> bytes:
    """An image of 64 by 48 random pixels."""
    return png_of(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def chunk_of_png(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def marked_png(mark: bytes) -> bytes:
    """A PNG of one pixel with some bytes in it, none like another."""
    whole = png(0, (1, 1))
    return whole[:33] + chunk_of_png(b"maRk", mark) + whole[33:]  # behind the header


def png_claiming(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header promises more than its data hold."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk_of_png(b"IHDR", head) + chunk_of_png(b"IDAT", zlib.compress(data)) + chunk_of_png(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def image_files(folder: Path, **sizes: tuple[int, int]) -> list[Path]:
    """Write PNG files of given sizes; in their names ``__`` stands for a folder."""
    paths = [folder / f"{name.replace('__', '/')}.png" for name in sizes]
    for path, size in zip(paths, sizes.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("1", size).save(path)
    return paths


def numbered_images(folder: Path, count: int, size: tuple[int, int] = (4, 4)) -> list[Path]:
    """Write PNG files, each one pixel wider than the one before."""
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (size[0] + number, size[1]), "red").save(path)
    return paths


def image_frame(paths: list[Path]) -> pd.DataFrame:
    """Items whose images are local files."""
    return pd.DataFrame({"reference_id": [path.name for path in paths], "image_url": list(map(str, paths))})


def touched(path: Path) -> Path:
    """Create an empty file."""
    path.touch()
    return path
