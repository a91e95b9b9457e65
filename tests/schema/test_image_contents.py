"""Files that are sent as images: those known to be something else, of unknown kinds, or broken off."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import threading
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd

IMAGES = [
    "JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "JPEG2000", "PCX", "SGI", "DDS", "TGA", "AVIF", "MPO",
    "XBM", "IM", "DIB",
]  # fmt: skip
WHOLE_KINDS = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF"]


def encoded(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    if kind == "XBM":
        image = image.convert("1")
    buffer = io.BytesIO()
    try:
        image.save(buffer, format=kind)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {kind}")
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.jpg", b"")
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.jpg"))
    return buffer.getvalue()


OTHERS = {
    "an HTML page": b"<!DOCTYPE html>\n<html><head><title>403</title></head><body>Forbidden</body></html>",
    "an HTML page ": b"\xef\xbb\xbf\n\n<HTML>\n<body>Log in</body></HTML>",
    "XML": b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>',
    "JSON": json.dumps({"error": "not found"}).encode(),
    "JSON ": json.dumps([1, 2, 3], indent=1).encode(),
    "text": b"Not found",
    "text ": "Datei nicht gefunden: größe.jpg".encode(),
    "text  ": "Nicht gefunden".encode("utf-16"),
    "a ZIP archive": archive(),
    "a gzip archive": gzip.compress(b"x"),
    "a tar archive": tar(),
    "a program": b"\x7fELF\x02\x01\x01" + bytes(60),
    "a program ": b"MZ\x90\x00" + bytes(60),
    "a script": b"#!/bin/sh\necho no\n",
    "a key or a certificate": b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n",
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
    "a Parquet file": b"PAR1\x15\x04",
    "a NumPy array": b"\x93NUMPY\x01\x00v\x00{'descr'",
    "a video": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + bytes(40),
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n",
}


def one(folder: Path, content: bytes, name: str = "a.jpg") -> pd.DataFrame:
    path = folder / name
    path.write_bytes(content)
    return pd.DataFrame({"reference_id": ["a"], "image_url": [str(path)]})


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_known_to_be_something_else_is_rejected(kind: str, tmp_path: Path) -> None:
    frame = one(tmp_path, OTHERS[kind])
    with npd.NucleusClient.local() as client:
        dataset = client.create_dataset("D")
        with pytest.raises(npd.InvalidInputError) as caught:
            dataset.append(frame, local=True)
        assert f"is {kind.strip()}" in str(caught.value)
        assert len(dataset.items) == 0
        assert dataset.append(frame, local=True, image_check=False).new_items == 1  # the remedy of the error


@pytest.mark.parametrize("kind", OTHERS)
def test_check_lists_what_append_rejects(kind: str, tmp_path: Path) -> None:
    frame = one(tmp_path, OTHERS[kind])
    assert npd.check(frame, "items", local=True)["column"].tolist() == ["image_url"]
    assert npd.check(frame, "items", local=True, image_check=False).empty


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("name", ["a.jpg", "a"])
def test_images_of_every_kind_pass(kind: str, name: str, tmp_path: Path) -> None:
    frame = one(tmp_path, encoded(kind), name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", npd.NucleusWarning)  # of kinds without a header of their own
        assert npd.check(frame, "items", local=True).empty


@pytest.mark.parametrize("kind", WHOLE_KINDS)
def test_known_images_pass_without_a_word(kind: str, tmp_path: Path) -> None:
    assert npd.check(one(tmp_path, encoded(kind)), "items", local=True).empty


@pytest.mark.parametrize("kind", WHOLE_KINDS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_images_are_warned_of_and_sent(kind: str, share: float, tmp_path: Path) -> None:
    content = encoded(kind)
    frame = one(tmp_path, content[: int(len(content) * share)])
    with npd.NucleusClient.local() as client:
        dataset = client.create_dataset("D")
        with pytest.warns(npd.NucleusWarning, match="1 local image may be damaged"):
            assert dataset.append(frame, local=True).new_items == 1


def test_unknown_kinds_are_warned_of_once(tmp_path: Path) -> None:
    frame = pd.concat([one(tmp_path, bytes(range(1, 30)) * 9, f"{name}.raw") for name in "abcde"], ignore_index=True)
    frame["reference_id"] = list("abcde")
    with pytest.warns(npd.NucleusWarning, match=r"5 local images may be damaged.*; and 2 more") as caught:
        assert npd.check(frame, "items", local=True).empty
    assert len(caught) == 1


def test_random_bytes_are_never_taken_for_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = [one(tmp_path, rng.bytes(int(size)), f"{size}.bin") for size in range(64, 2_064, 100)]
    frame = pd.concat(frames, ignore_index=True).assign(reference_id=[f"{number}" for number in range(len(frames))])
    with pytest.warns(npd.NucleusWarning, match="20 local images may be damaged"):
        assert npd.check(frame, "items", local=True).empty


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with a name")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    frame = pd.DataFrame({"reference_id": ["a"], "image_url": [str(tmp_path / "a.jpg")]})
    found: list[pd.DataFrame] = []
    thread = threading.Thread(target=lambda: found.append(npd.check(frame, "items", local=True)), daemon=True)
    thread.start()
    thread.join(20)
    assert "is no file" in found[0]["reason"][0]


def test_a_page_among_images_costs_its_row_alone(tmp_path: Path) -> None:
    frame = pd.concat([one(tmp_path, encoded("PNG"), "a.png"), one(tmp_path, b"<html></html>", "b.png")])
    frame = frame.assign(reference_id=["a", "b"])
    with npd.NucleusClient.local() as client:
        dataset = client.create_dataset("D")
        with pytest.raises(npd.InvalidInputError):
            dataset.append(frame, local=True)
        result = dataset.append(frame, local=True, on_error="collect")
        assert (result.new_items, result.failed["reference_id"].tolist()) == (1, ["b"])
