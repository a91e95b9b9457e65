"""Images in galleries: files of any kind, and those that cannot be shown."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.images import thumbnails
from tests.factories import png_claiming
from tests.images.gallery.tiles import boxed, boxes, inlined, names, tiles
from tests.support.effort import decoded_pixels


class TestImages:
    def test_images_of_the_web_are_linked(self) -> None:
        url = "https://example.org/a.jpg?x=1&y='2'"
        items = pd.DataFrame({"reference_id": ["a"], "image_url": [url], "width": 640, "height": 480})
        (tile,) = tiles(boxed("a").nucleus.show(items=items))
        (img,) = tile.all("img")
        assert (img.attributes["src"], img.attributes["alt"]) == (url, "a")
        assert img.attributes["referrerpolicy"] == "no-referrer"
        assert boxes(tile) == [[4, 6, 20, 30]]

    def test_boxes_on_a_image_of_the_web_need_its_size(self) -> None:
        items = pd.DataFrame({"reference_id": ["a"], "image_url": ["https://example.org/a.jpg"]})
        (tile,) = tiles(boxed("a").nucleus.show(items=items))
        assert boxes(tile) == []
        assert "The size of this image is not known, so its boxes cannot be placed." in tile.text

    @pytest.mark.parametrize(
        ("made", "reason"),
        [
            (lambda folder: folder / "missing.jpg", "does not exist"),
            (lambda folder: folder, "is not a file"),
            (lambda folder: write(folder / "empty.jpg", b""), "is not an image of a known format"),
            (lambda folder: write(folder / "text.jpg", b"hello"), "is not an image of a known format"),
            (lambda folder: write(folder / "a.eps", EPS), "is not an image of a known format"),
            (lambda folder: write(folder / "cut.jpg", noise("JPEG")[:3_000]), "image file is truncated"),
            (lambda folder: write(folder / "cut.png", noise("PNG")[:3_000]), "image file is truncated"),
            (lambda folder: write(folder / "bomb.png", png_claiming(60_000, 60_000)), "too many pixels to be decoded"),
            (
                lambda folder: write(folder / "big.png", png_claiming(9_000, 9_000)),
                "has 81 million pixels; at most 80 are",
            ),
            (lambda folder: "x" * 5_000, "cannot be read: File name too long"),
            (lambda folder: "nul\0byte", "does not exist|cannot be read"),
            (lambda folder: "/dev/zero", "is not a file"),
            (lambda folder: "~nobody-of-that-name/a.jpg", "cannot be read|does not exist"),
            (lambda folder: "s3://bucket/a.jpg", "is in s3://, which no browser opens"),
            (lambda folder: "file:///etc/passwd", "is in file://, which no browser opens"),
            (lambda folder: "javascript:alert(1)", "does not exist"),
            (lambda folder: None, "has no URL"),
        ],
    )
    def test_a_broken_image_leaves_its_name_and_the_reason(
        self, image_items: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Any, reason: str
    ) -> None:
        frame = image_items.assign(image_url=[image_items["image_url"][0], made(tmp_path), image_items["image_url"][2]])
        with decoded_pixels(monkeypatch) as sizes:
            gallery = frame.nucleus.show()
        assert sum(sizes) < 64_000_000  # the two that can be shown, and no more than what is taken of another
        assert names(gallery) == ["a.png", "b.png", "c.png"]
        assert [len(tile.all("img")) for tile in tiles(gallery)] == [1, 0, 1]
        assert re.search(f"This image .*({reason})", tiles(gallery)[1].text)

    @pytest.mark.parametrize(
        ("image", "low", "high"),
        [
            (Image.fromarray(np.linspace(300, 4_000, 64 * 48).reshape(48, 64).astype(np.uint16)), 0, 255),
            (Image.fromarray(np.linspace(-1, 1, 64 * 48).reshape(48, 64).astype(np.float32)), 0, 255),
            (Image.fromarray(np.full((48, 64), 7, dtype=np.uint16)), 0, 0),
            (Image.new("RGBA", (64, 48), (0, 0, 0, 0)), 232, 232),
            (Image.new("1", (64, 48), 1), 255, 255),
            (Image.new("P", (64, 48), 0), 0, 0),
            (Image.new("CMYK", (64, 48), (0, 0, 0, 0)), 255, 255),
        ],
        ids=["16 bits", "floats", "flat", "transparent", "1 bit", "palette", "CMYK"],
    )
    def test_images_of_all_kinds_are_seen(self, tmp_path: Path, image: Image.Image, low: int, high: int) -> None:
        path = tmp_path / ("a.tif" if image.mode in ("F", "CMYK") else "a.png")
        image.save(path)
        (tile,) = tiles(pd.DataFrame({"reference_id": ["a"], "image_url": [path]}).nucleus.show())
        seen = inlined(tile).convert("L").getextrema()
        assert seen == pytest.approx((low, high), abs=6)

    def test_a_photograph_is_turned_where_its_boxes_go_by_its_turned_size(self, tmp_path: Path) -> None:
        photograph = Image.new("RGB", (64, 48), "white")
        photograph.paste("black", (0, 0, 64, 8))  # the top as stored, the right side when it is turned
        exif = Image.Exif()
        exif[0x0112] = 6
        photograph.save(tmp_path / "a.jpg", exif=exif, quality=95)
        frame = pd.DataFrame({"reference_id": ["a"], "image_url": [tmp_path / "a.jpg"]})
        stored, turned = (inlined(tiles(one.nucleus.show())[0]) for one in (frame, frame.assign(width=48, height=64)))
        assert (stored.size, turned.size) == ((64, 48), (48, 64))
        assert stored.convert("L").getpixel((32, 2)) < 50  # type: ignore[operator]
        assert turned.convert("L").getpixel((46, 32)) < 50  # type: ignore[operator]

    def test_a_large_photograph_is_not_decoded_whole(self, tmp_path: Path) -> None:
        Image.new("RGB", (10_000, 9_000), "navy").save(tmp_path / "large.jpg")
        (tile,) = tiles(pd.DataFrame({"reference_id": ["a"], "image_url": [tmp_path / "large.jpg"]}).nucleus.show())
        assert inlined(tile).size == (280, 252)

    def test_without_pillow_images_of_the_web_are_shown_and_others_ask_for_it(
        self, image_items: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(__import__("sys").modules, "PIL", None)
        remote = image_items.assign(image_url="https://example.org/a.jpg")
        assert len(remote.nucleus.show()) == 3
        with pytest.raises(npd.MissingExtraError, match="pip install pillow"):
            image_items.nucleus.show()

    def test_a_image_is_made_small_once(self, image_items: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
        made = []
        monkeypatch.setattr(thumbnails, "_small", lambda *args, small=thumbnails._small: made.append(1) or small(*args))
        frame = boxed(*["a.png"] * 5).assign(predicted_x=1, predicted_y=1, predicted_width=5, predicted_height=5)
        frame = frame.assign(predicted_label="car", match_type="TP")
        assert len(frame.nucleus.show(items=image_items)) == 5
        assert len(made) == 1


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def noise(kind: str) -> bytes:
    written = io.BytesIO()
    Image.effect_noise((200, 150), 90).convert("RGB").save(written, kind)
    return written.getvalue()
