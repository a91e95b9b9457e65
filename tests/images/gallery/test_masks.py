"""Masks in galleries: where they lie, in whose colours, and what is said of those that cannot be drawn."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.images.gallery.svg import NEUTRAL
from tests.images.gallery.tiles import HOSTILE, Node, Tree

NUMBERS = np.zeros((48, 64), dtype=np.uint8)
NUMBERS[:20] = 1
NUMBERS[30:] = 7


def segments(*labels: str) -> list[dict[str, Any]]:
    return [{"label": label, "index": index} for label, index in zip(labels, (1, 7), strict=False)]


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    path = tmp_path / "mask.png"
    Image.fromarray(NUMBERS).save(path)
    return path


@pytest.fixture
def items(image: Path) -> pd.DataFrame:
    return pd.DataFrame({"reference_id": ["a"], "image_url": [str(image)]})


def frame(*urls: object, labels: list[str] | None = None, **columns: Any) -> pd.DataFrame:
    geometry = [{"mask_url": str(url), "annotations": segments(*(labels or ["sky", "road"]))} for url in urls]
    return pd.DataFrame({"reference_id": "a", "type": "mask", "geometry": geometry}).assign(**columns)


def tile(gallery: npd.Gallery) -> Node:
    (found,) = Tree(gallery.html).open[0].all("figure")
    return found


def pixels(image: Node) -> Any:
    kind, _, text = image.attributes["href"].partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(b64decode(text))).convert("RGBA"))


def colours(gallery: npd.Gallery) -> dict[str, tuple[int, ...]]:
    """The colours of the legend by label."""
    found = {}
    for entry in Tree(gallery.html).open[0].all("li"):
        for swatch in entry.all("span", class_="npd-swatch"):
            (colour,) = re.findall(r"#([0-9a-f]{6})", swatch.attributes["style"])
            found[entry.text] = tuple(bytes.fromhex(colour))
    return found


def test_a_mask_lies_over_its_image_in_the_colours_of_its_labels(items: pd.DataFrame, mask: Path) -> None:
    box = pd.DataFrame({"reference_id": ["a"], "label": "road", "x": 1, "y": 1, "width": 9, "height": 9})
    gallery = pd.concat([box, frame(mask)]).nucleus.show(items=items)
    (image,) = tile(gallery).all("image")
    assert {side: image.attributes[side] for side in ("width", "height", "preserveaspectratio")} == {
        "width": "64",
        "height": "48",
        "preserveaspectratio": "none",
    }
    found, known = pixels(image), colours(gallery)
    assert {tuple(one) for one in found[:20, :, :3].reshape(-1, 3).tolist()} == {known["sky"]}
    assert {tuple(one) for one in found[30:, :, :3].reshape(-1, 3).tolist()} == {known["road"]}
    assert not found[20:30, :, 3].any()
    assert "64 × 48 · 2 ground truth" in tile(gallery).text  # noqa: RUF001
    over = tile(gallery).all("svg", class_="npd-marks")[0]
    assert [child.tag for child in over.children][:2] == ["image", "g"]  # below the box


def test_masks_of_predictions_are_striped(items: pd.DataFrame, mask: Path) -> None:
    gallery = frame(mask, confidence=0.5).nucleus.show(items=items)
    (image,) = tile(gallery).all("image")
    assert len(np.unique(pixels(image)[:20, :, 3])) == 2


def test_masks_that_a_server_keeps_are_fetched(served: str, items: pd.DataFrame, mask: Path) -> None:
    with npd.NucleusClient(endpoint=served, max_retries=0) as client:
        dataset = client.create_dataset("Masks")
        items.nucleus.append(dataset)
        frame(mask).nucleus.annotate(dataset)
        for gallery in (dataset.annotations.show(), items.nucleus.show(ground_truth=dataset)):
            (image,) = tile(gallery).all("image")
            assert not pixels(image)[20:30, :, 3].any()
            assert pixels(image)[:20, :, 3].all()
            assert "not drawn" not in tile(gallery).text


def test_a_mask_in_process_is_drawn_from_the_store(store: Path, items: pd.DataFrame, mask: Path) -> None:
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Masks")
        items.nucleus.append(dataset)
        frame(mask).nucleus.annotate(dataset)
        assert len(tile(dataset.annotations.show()).all("image")) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it is on another server"),
        (b"\x89PNG\r\n\x1a\nno image", "it is not a readable PNG"),
        (Image.new("RGB", (4, 4)), "it has colours instead of numbers"),
    ],
    ids=["elsewhere", "damaged", "colours"],
)
def test_what_cannot_be_drawn_is_told(items: pd.DataFrame, mask: Path, content: Any, reason: str) -> None:
    if isinstance(content, Image.Image):
        content.save(mask)
    elif content is not None:
        mask.write_bytes(content)
    gallery = frame("https://example.org/m.png" if content is None else mask).nucleus.show(items=items)
    assert not tile(gallery).all("image")
    assert f"1 row not drawn: a mask is not drawn, since {reason}" in tile(gallery).text


def test_a_mask_that_breaks_off_does_no_harm(items: pd.DataFrame, mask: Path) -> None:
    mask.write_bytes(mask.read_bytes()[:60])
    assert not tile(frame(mask).nucleus.show(items=items)).all("image")


def test_hostile_labels_of_a_mask_are_text(items: pd.DataFrame, mask: Path) -> None:
    gallery = frame(mask, labels=[HOSTILE, "road"]).nucleus.show(items=items)
    assert not Tree(gallery.html).open[0].all("script")
    assert not [one for one in Tree(gallery.html).open[0].all("img") if one.attributes.get("src") == "x"]
    assert len(gallery.html) < 60_000


def test_many_labels_have_the_colours_that_there_are(items: pd.DataFrame, mask: Path) -> None:
    labels = [f"label {number:02}" for number in range(30)]
    geometry = {
        "mask_url": str(mask),
        "annotations": [{"label": label, "index": 1 + number} for number, label in enumerate(labels)],
    }
    gallery = pd.DataFrame({"reference_id": ["a"], "type": "mask", "geometry": [geometry]}).nucleus.show(items=items)
    assert "20 other labels" in Tree(gallery.html).open[0].text
    (image,) = tile(gallery).all("image")
    assert tuple(pixels(image)[0, 0, :3]) != tuple(bytes.fromhex(NEUTRAL[1:]))
