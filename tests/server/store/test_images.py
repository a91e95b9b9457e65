"""Image files in the store."""

from __future__ import annotations

import hashlib
import io
import random

import pytest
from PIL import Image

from nucleus_pandas.server.media.files import FileStore
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.factories import png
from tests.server.store.store_http import StoreHttp, annotate_masks, append_files, rows_in, stored_files


def test_a_image_is_named_by_its_content(images: FileStore) -> None:
    content = png("red", (64, 48))
    digest = hashlib.sha256(content).hexdigest()
    staged = [images.stage(io.BytesIO(content), name) for name in ("a.png", "b.PNG", "/x/y/c.png")]
    assert {one.image for one in staged} == {(f"{digest[:2]}/{digest}.png", 64, 48)}
    images.publish(staged)
    assert [path.read_bytes() for path in stored_files(images.folder)] == [content]
    assert images.path(staged[0].image.name) == images.folder / staged[0].image.name


@pytest.mark.parametrize(
    ("filename", "extension"),
    [
        (None, ""),
        ("", ""),
        ("a.jpeg", ".jpeg"),
        ("A.JPG", ".jpg"),
        ("../../etc/passwd", ""),
        ("a.png/../../b", ""),
        ("a./../../x", ""),
        ("a.p\\..\\g", ""),
        ("a.toolong", ""),
        ("a.p g", ""),
        ("a.png\n", ""),
        ("a.\u017f", ""),
        ("a.\0", ""),
        (".png", ""),
    ],
)
def test_only_a_plain_extension_is_kept(images: FileStore, filename: str | None, extension: str) -> None:
    staged = images.stage(io.BytesIO(b"x"), filename)
    assert staged.image.name == f"2d/{hashlib.sha256(b'x').hexdigest()}{extension}"
    images.publish([staged])
    assert stored_files(images.folder.parent) == [images.folder / staged.image.name]


@pytest.mark.parametrize("name", ["../nucleus.sqlite", "incoming/x", "/etc/passwd", "", "2d", "2d/..", "2d/../../x"])
def test_no_other_file_is_handed_out(http: StoreHttp, nucleus: EmbeddedNucleus, name: str) -> None:
    assert nucleus.images.path(name) is None
    http("GET", f"_nucleus_pandas/images/{name}", status=404 if name else 405)  # images are sent to the folder itself


def test_what_is_no_image_has_no_size(http: StoreHttp, images: FileStore) -> None:
    broken = png("red")[:20]
    for content in (b"text", broken, b"\0" * 1000, b"GIF89a", b"\xff\xd8\xff"):
        staged = images.stage(io.BytesIO(content), "a.png")
        assert staged.image[1:] == (None, None)
    dataset = http.new_dataset()
    append_files(http, dataset, {"a.raw": b"text", "b.png": png("red", (5, 7))})
    found = [http("GET", f"dataset/{dataset}/iloc/{n}")["item"] for n in (0, 1)]
    assert [(i["width"], i["height"]) for i in found] == [(None, None), (5, 7)]
    for described, content in zip(found, (b"text", png("red", (5, 7))), strict=True):
        with http.client.get(described["image_url"]) as response:
            assert response.data == content


def test_damaged_images_are_stored_all_the_same(images: FileStore) -> None:
    draw = random.Random(5)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA"):
        out = io.BytesIO()
        Image.new("RGB", (40, 30), "red").save(out, kind)
        for _ in range(15):
            content = bytearray(out.getvalue())
            for _ in range(draw.randrange(1, 12)):
                content[draw.randrange(min(len(content), 200))] = draw.randrange(256)
            staged = images.stage(io.BytesIO(content), "a.png")
            images.publish([staged])
            assert (images.folder / staged.image.name).read_bytes() == content


def test_a_image_of_a_kind_that_pillow_cannot_read_has_no_size(images: FileStore) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, "DDS")
    content = bytearray(out.getvalue())
    content[80:84] = b"\0\0\0\x01"  # flags of a pixel format that nobody knows
    staged = images.stage(io.BytesIO(content), "a.dds")
    assert staged.image[1:] == (None, None)


def test_a_refused_append_leaves_no_files(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    scenes = http.new_dataset(is_scene=True)
    append_files(http, scenes, {"a.png": png("red")}, 400)
    append_files(http, "ds_000000000000", {"a.png": png("red")}, 404)
    assert stored_files(nucleus.images.folder) == []


def test_an_empty_image_refuses_its_row_only(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset()
    answer = append_files(http, dataset, {"a.png": png("red"), "b.png": b"", "c.png": png("blue")})
    assert (answer["new_items"], answer["upload_errors"]) == (2, 1)
    append_files(http, dataset, {"a.png": png("green")})  # is there already: the file is not kept
    assert {path.read_bytes() for path in stored_files(nucleus.images.folder)} == {png("red"), png("blue")}


def test_an_empty_mask_refuses_all(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset_of(1)
    annotate_masks(http, dataset, b"", 400)
    assert stored_files(nucleus.masks.folder) == []
    assert rows_in(nucleus, "annotation") == {"annotation": 0}


def test_a_stream_that_breaks_leaves_no_file(images: FileStore) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise ConnectionResetError
            return super().read(4)

    with pytest.raises(ConnectionResetError):
        images.stage(Broken(b"some bytes"), "a.png")
    assert stored_files(images.folder) == []
