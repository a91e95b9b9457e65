"""Small copies of images: made once, on demand, and safely."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nucleus_pandas.images import thumbnails
from nucleus_pandas.server.media import thumbnails as cache
from nucleus_pandas.server.media.files import FileStore
from nucleus_pandas.server.media.thumbnails import PIXELS, Thumbnails
from tests.factories import png_claiming


class Shelf:
    """FileStore and their copies."""

    def __init__(self, folder: Path) -> None:
        self.images = FileStore(folder / "images")
        (folder).mkdir(exist_ok=True)
        self.copies = Thumbnails(self.images, folder / "thumbnails")

    def add(self, content: bytes, name: str = "a.png") -> str:
        staged = self.images.stage(io.BytesIO(content), name)
        self.images.publish([staged])
        return staged.image.name

    def copy(self, content: bytes, name: str = "a.png") -> Image.Image | None:
        path = self.copies.path(self.add(content, name), "small")
        return None if path is None else Image.open(io.BytesIO(path.read_bytes()))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def plain_image(width: int = 400, height: int = 300, mode: str = "RGB") -> Image.Image:
    return Image.new("RGB", (width, height), (200, 30, 30)).convert(mode)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_a_copy_has_the_shape_of_its_image(shelf: Shelf, kind: str) -> None:
    copy = shelf.copy(encoded(plain_image(800, 600), kind))
    assert copy is not None
    assert (copy.format, copy.mode, copy.size) == ("JPEG", "RGB", (320, 240))
    assert np.allclose(np.asarray(copy).mean(axis=(0, 1)), (200, 30, 30), atol=6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I", "I;16", "CMYK"])
def test_pixels_of_every_kind_are_copied(shelf: Shelf, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.arange(120_000, dtype=np.uint32).reshape(300, 400).astype(np.uint16))
    else:
        image = plain_image(mode="L" if mode == "I" else mode.replace("CMYK", "RGB")).convert(mode)
    copy = shelf.copy(encoded(image, "TIFF" if mode in ("CMYK", "I") else "PNG"))
    assert copy is not None
    assert copy.size == (320, 240)


def test_a_small_image_is_not_blown_up(shelf: Shelf) -> None:
    copy = shelf.copy(encoded(plain_image(40, 30), "PNG"))
    assert copy is not None
    assert copy.size == (40, 30)


def test_what_lets_shine_through_lies_on_light_grey(shelf: Shelf) -> None:
    copy = shelf.copy(encoded(Image.new("RGBA", (40, 30), (255, 255, 255, 0)), "PNG"))
    assert copy is not None
    assert np.asarray(copy).mean() == pytest.approx(232, abs=2)


def test_pixels_stay_where_boxes_expect_them(shelf: Shelf) -> None:
    image = plain_image(400, 200)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, says the camera
    copy = shelf.copy(encoded(image, "JPEG", exif=exif))
    assert copy is not None
    assert copy.size == (320, 160)
    assert 0x0112 not in copy.getexif()


def test_a_copy_is_made_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    name = shelf.add(encoded(plain_image(), "PNG"))
    path = shelf.copies.path(name, "small")
    assert path is not None
    before = path.stat()

    def fail(*arguments: object) -> None:
        raise AssertionError("it was made before")

    monkeypatch.setattr(cache, "thumbnail", fail)
    again = Thumbnails(shelf.images, shelf.copies.folder)  # after a new start too
    assert again.path(name, "small") == path
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_what_is_no_image_is_decoded_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    name = shelf.add(b"no image at all")
    assert shelf.copies.path(name, "small") is None
    monkeypatch.setattr(cache, "thumbnail", lambda *arguments: pytest.fail("it was tried before"))
    assert shelf.copies.path(name, "small") is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_damaged_image_does_no_harm(shelf: Shelf, kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    shelf.copy(whole[: int(len(whole) * share)])
    broken = bytearray(whole)
    for at in range(40, len(broken), 97):
        broken[at] ^= 0xFF
    shelf.copy(bytes(broken))
    assert not list(shelf.copies.incoming.iterdir())


def test_a_header_that_promises_too_much_is_believed_and_nothing_is_decoded(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "MAX_PIXELS", 10_000)
    decoded: list[object] = []
    monkeypatch.setattr(Image.Image, "thumbnail", lambda image, *rest: decoded.append(image))
    assert shelf.copy(encoded(plain_image(101, 100), "PNG")) is None
    assert shelf.copy(png_claiming(60_000, 60_000)) is None
    assert decoded == []
    shelf.copy(encoded(plain_image(100, 100), "PNG"))
    assert len(decoded) == 1


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_not_decoded_without_warnings_as_errors_either(shelf: Shelf) -> None:
    assert shelf.copy(png_claiming(10_000, 9_000)) is None


def test_formats_that_call_programs_are_not_read(shelf: Shelf) -> None:
    assert shelf.copy(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n", "a.eps") is None
    assert set(thumbnails._formats()) <= {"JPEG", "JPEG2000", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "AVIF"}
    assert {"JPEG", "PNG"} <= set(thumbnails._formats())


def test_many_who_ask_at_once_get_the_same_copy(shelf: Shelf) -> None:
    name = shelf.add(encoded(plain_image(1600, 1200), "PNG"))
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: shelf.copies.path(name, "small"), range(16)))
    assert len(set(paths)) == 1
    assert paths[0] is not None
    assert not list(shelf.copies.incoming.iterdir())


def test_copies_go_with_their_image(shelf: Shelf) -> None:
    name = shelf.add(encoded(plain_image(), "PNG"))
    paths = [shelf.copies.path(name, size) for size in PIXELS]
    assert all(path is not None and path.exists() for path in paths)
    shelf.copies.remove(name)
    assert not any(path is not None and path.exists() for path in paths)
    shelf.copies.remove(name)


def test_the_store_removes_copies_of_images_that_nobody_names(store: Path, image: Path) -> None:
    import nucleus_pandas as npd
    from nucleus_pandas.server.nucleus import EmbeddedNucleus

    nucleus = EmbeddedNucleus(store)
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("D")
        dataset.append([{"reference_id": "a", "image_url": str(image)}])
        name = "/".join(Path(dataset.iloc[0]["image_url"]).parts[-2:])
        copy = nucleus.thumbnails.path(name, "small")
        assert copy is not None
        client.delete_dataset(dataset)
    assert not copy.exists()
    nucleus.close()


def test_what_a_killed_process_left_is_removed(store: Path) -> None:
    from nucleus_pandas.server.nucleus import EmbeddedNucleus

    EmbeddedNucleus(store).close()
    left = store / "thumbnails" / "incoming" / "half"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a copy")
    os.utime(left, (0, 0))
    EmbeddedNucleus(store).close()
    assert not left.exists()


@pytest.mark.parametrize(
    "name", ["", "aa", "../nucleus.sqlite", "aa/../../nucleus.sqlite", "incoming/x", "aa/" + "0" * 64]
)
def test_no_other_file_is_read(shelf: Shelf, name: str) -> None:
    (shelf.images.folder.parent / "nucleus.sqlite").write_bytes(b"secret")
    assert shelf.copies.path(name, "small") is None
