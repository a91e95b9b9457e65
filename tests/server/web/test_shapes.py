"""Shapes of every kind over images: what is drawn, where, and what the page says of the rest."""

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
from nucleus_pandas._util.colours import PALETTE as HEX
from nucleus_pandas._util.colours import RGB as PALETTE
from nucleus_pandas.images import mask_overlays
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.web.page import _asset
from tests.factories import png_of
from tests.support.browsing import Open, served
from tests.support.sample_page import SampleSite, Visitor, layer_of


def vertices(*places: tuple[float, float]) -> dict[str, Any]:
    return {"vertices": [{"x": x, "y": y} for x, y in places]}


POSE = {
    "keypoints": [{"x": 1, "y": 2, "visible": True}, {"x": 30, "y": 2, "visible": False}, {"visible": False}],
    "names": ["nose", "ear", "toe"],
    "skeleton": [[0, 1], [0, 2], [-2, 0]],
}
CUBOID = {"position": {"x": 1, "y": 2, "z": 3}, "dimensions": {"x": 1, "y": 2, "z": 3}, "yaw": 0.5}
SHAPES: list[dict[str, Any]] = [
    {"type": "polygon", "label": "roof", "geometry": vertices((0, 0), (20.5, 3), (1, 9))},
    {"type": "line", "label": "lane", "geometry": vertices((5, 5), (50, 60))},
    {"type": "keypoints", "label": "man", "geometry": POSE},
    {"type": "category", "label": "night", "taxonomy_name": "light"},
    {"type": "multicategory", "labels": ["rain", "fog"], "taxonomy_name": "weather"},
    {"type": "cuboid", "label": "van", "geometry": CUBOID},
    {"type": "mask", "mask_url": "s3://m.png", "annotations": [{"label": "sky", "index": 1}]},
    {"type": "keypoints", "label": "ghost", "geometry": {"keypoints": [{"visible": False}], "names": ["nose"]}},
]


def test_shapes_of_every_kind_are_drawn_or_listed(own_sample_site: SampleSite) -> None:
    made = own_sample_site.client.create_dataset("Shapes")
    made.append([{"reference_id": "a", "image_url": "s3://bucket/a.png"}])
    made.annotate([{**shape, "reference_id": "a", "annotation_id": str(n)} for n, shape in enumerate(SHAPES)])
    key = made.items.to_frame().index[0]
    page = own_sample_site.get(f"/datasets/{made.id}/items/{key}")
    layer = layer_of(page, 0)
    assert layer.one("polygon")["points"] == "0,0 20.5,3 1,9"
    assert layer.one("polyline")["points"] == "5,5 50,60"
    assert layer.one("path")["d"] == "M1 2h0M30 2h0M1 2L30 2M30 2L1 2"
    stage = page.one(id="stage")
    assert (stage["viewbox"], stage.attributes.get("data-unsized")) == ("0 0 50 60", "")
    labels = [row.one("span", "label").text for row in page.all("tr", tabindex="0")]
    assert labels == ["roof", "lane", "man", "night", "rain, fog", "van", "sky", "ghost"]
    places = {row.one("span", "label").text: row.one("td", "row-place").text for row in page.all("tr", tabindex="0")}
    times = "\N{MULTIPLICATION SIGN}"
    assert places["van"] == f"1, 2, 3 · 1 {times} 2 {times} 3"
    assert page.one("p", "notice").text == (
        "Not drawn: 1 cuboid, because a cuboid lies in the scene, and no camera says where that is in the image;"
        " 1 mask, because its mask is on another server; 1 keypoints, because none of its keypoints has a place."
    )
    assert "Kept in s3" in page.text
    assert own_sample_site.get(f"/datasets/{made.id}").one(cls="card-facts").text == "8 annotated"


# Masks


NUMBERS = np.zeros((48, 64), dtype=np.uint8)
NUMBERS[:20] = 1
NUMBERS[30:] = 7
NUMBERS[20:30, 40:] = 9
SEGMENTS = [{"label": "sky", "index": 1}, {"label": "road", "index": 7}, {"label": "sky", "index": 300}]


def masked(store: Path, image: Path, content: bytes, *, predicted: bool = False) -> tuple[str, str | None]:
    """Store an image with a mask; return the address of its page."""
    file = store.parent / "mask.png"
    file.write_bytes(content)
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Masked", exist_ok=True)
        dataset.append([{"reference_id": "a", "image_url": str(image)}])
        mask = {"type": "mask", "reference_id": "a", "mask_url": str(file), "annotations": SEGMENTS}
        run = None
        if predicted:
            run = dataset.create_model_run(client.add_model("Painter", reference_id="p"))
            run.predict([{**mask, "annotation_id": "m"}])
        else:
            dataset.annotate([{**mask, "annotation_id": "m"}])
        return f"/datasets/{dataset.id}/items/{dataset.items.to_frame().index[0]}", run and run.id


def coloured(visitor: Visitor, address: str) -> Any:
    response = visitor.ask(address)
    assert (response.status_code, response.content_type) == (200, "image/png")
    assert "immutable" in response.headers["Cache-Control"]
    return np.asarray(Image.open(io.BytesIO(response.data)).convert("RGBA"))


@pytest.fixture
def visitor(store: Path) -> Any:
    nucleus = EmbeddedNucleus(store)
    yield Visitor(nucleus)
    nucleus.close()


def test_a_mask_lies_over_its_image_in_the_colours_of_its_labels(store: Path, image: Path, visitor: Visitor) -> None:
    address, _ = masked(store, image, png_of(NUMBERS))
    page = visitor.get(address)
    image = page.one(id="stage").one("image", "s")
    assert {side: image[side] for side in ("width", "height", "preserveaspectratio")} == {
        "width": "64",
        "height": "48",
        "preserveaspectratio": "none",
    }
    row = page.one("tr", data_n=image["data-n"])
    assert [label.text for label in row.all("span", "label")] == ["sky", "road"]
    swatches = [re.findall(r"\bl(\d+)\b", one["class"])[0] for one in row.all("span", "swatch")]
    sky, road = (PALETTE[int(number)] for number in swatches)
    pixels = coloured(visitor, image["href"])
    assert pixels.shape == (48, 64, 4)
    assert {tuple(one) for one in pixels[:20].reshape(-1, 4).tolist()} == {(*sky, mask_overlays._STRONG)}
    assert {tuple(one) for one in pixels[30:].reshape(-1, 4).tolist()} == {(*road, mask_overlays._STRONG)}
    assert not pixels[20:30, :, 3].any()  # without a label
    assert not page.all("p", "notice")
    small = visitor.get(address.split("/items/")[0]).one("li", "card").one("image", "s")
    assert (coloured(visitor, small["href"]) == pixels).all()


def test_masks_of_predictions_are_striped(store: Path, image: Path, visitor: Visitor) -> None:
    address, run = masked(store, image, png_of(NUMBERS), predicted=True)
    image = visitor.get(f"{address}?run={run}").one(id="stage").one("image", "s")
    opacities = coloured(visitor, image["href"])[:20, :, 3]
    assert set(opacities.ravel().tolist()) == {mask_overlays._STRONG, mask_overlays._WEAK}


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_masks_of_every_depth_are_coloured(tmp_path: Path, mode: str) -> None:
    numbers = (NUMBERS == 1).astype(np.uint8)
    if mode == "I;16":
        content = png_of(Image.fromarray(numbers.astype(np.uint16) * 300))
    elif mode == "P":
        image = Image.fromarray(numbers).convert("P")
        image.putpalette([9, 9, 9, 200, 0, 0])
        content = png_of(image)
    else:
        content = png_of(Image.fromarray(numbers * 255).convert("1") if mode == "1" else numbers)
    path = tmp_path / "m.png"
    path.write_bytes(content)
    with Image.open(path) as image:
        assert image.mode == mode
    found = mask_overlays.overlay(path, {300 if mode == "I;16" else 1: 3}, PALETTE, 2048, striped=False)
    assert found is not None
    pixels = np.asarray(Image.open(io.BytesIO(found)).convert("RGBA"))
    assert ((pixels[..., 3] > 0) == (numbers == 1)).all()


def test_a_large_mask_is_made_small_without_new_numbers(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    path.write_bytes(png_of(np.kron(NUMBERS, np.ones((50, 50), dtype=np.uint8))))
    found = mask_overlays.overlay(path, {1: 0, 7: 1}, PALETTE, 320, striped=False)
    assert found is not None
    image = Image.open(io.BytesIO(found))
    assert image.size == (320, 240)
    assert len(image.convert("RGBA").getcolors() or ()) == 3


@pytest.mark.filterwarnings("ignore:1 local mask may be damaged")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png_of(np.zeros((4, 4, 3), dtype=np.uint8)), "it has colours instead of numbers"),
        (b"\x89PNG\r\n\x1a\nno image", "it is not a readable PNG"),
        (png_of(NUMBERS)[:60], None),
        (png_of(Image.new("1", (9_000, 9_000))), "it has more than 80 million pixels"),
    ],
    ids=["colours", "no image", "cut off", "large"],
)
def test_what_is_no_mask_is_told_and_does_no_harm(
    store: Path, image: Path, visitor: Visitor, content: bytes, reason: str | None
) -> None:
    address, _ = masked(store, image, content)
    page = visitor.get(address)
    if reason is None:  # a damaged one, whose header is whole
        assert visitor.ask(page.one(id="stage").one("image", "s")["href"]).status_code == 404
    else:
        assert page.one("p", "notice").text == f"Not drawn: 1 mask, because {reason}."
        assert not page.one(id="stage").all("image", "s")


def test_many_labels_of_a_mask_stay_within_bounds(store: Path, image: Path, visitor: Visitor, tmp_path: Path) -> None:
    file = tmp_path / "m.png"
    file.write_bytes(png_of(NUMBERS))
    labels = [{"label": f"label {number}", "index": number} for number in range(5_000)]
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Masks")
        dataset.append([{"reference_id": "a", "image_url": str(image)}])
        dataset.annotate([{"type": "mask", "reference_id": "a", "mask_url": str(file), "annotations": labels}])
        key = dataset.items.to_frame().index[0]
    page = visitor.get(f"/datasets/{dataset.id}/items/{key}")
    assert "label 39 and 4,960 more labels" in " ".join(page.all("tr", tabindex="0")[0].text.split())
    image = page.one(id="stage").one("image", "s")
    assert len(image["href"]) < 2_500
    coloured(visitor, image["href"])


def test_a_mask_whose_file_is_gone_is_told(store: Path, image: Path, visitor: Visitor) -> None:
    address, _ = masked(store, image, png_of(NUMBERS))
    for file in (store / "masks").rglob("*.png"):
        file.unlink()
    assert "because the file of its mask is gone" in visitor.get(address).one("p", "notice").text


@pytest.mark.parametrize("name", ["x", "../nucleus.db", "ab/" + "0" * 64 + ".png", "%2e%2e/nucleus.db"])
def test_no_other_file_is_a_mask(visitor: Visitor, name: str) -> None:
    assert visitor.ask(f"/masks/{name}?c=1-1").status_code == 404
    assert visitor.ask(f"/masks/{name}?c={'1-1.' * 300}").status_code == 400
    assert visitor.ask(f"/masks/{name}?c=x").status_code == 400


def test_colours_of_masks_are_those_of_the_style_sheet() -> None:
    sheet = _asset("page.css")[0].decode()
    named = dict(re.findall(r"--l(\d+): #([0-9a-f]{6})", sheet))
    assert [bytes(colour).hex() for colour in PALETTE] == [named[str(number)] for number in range(len(PALETTE))]


def test_a_label_has_one_colour_in_galleries_on_the_page_and_in_plots(
    own_sample_site: SampleSite, pyplot: object
) -> None:
    labels = ["car"] * 3 + ["bus"] * 2 + ["dog"]
    boxes = pd.DataFrame({"reference_id": "a", "label": labels, "x": range(6), "y": 1, "width": 9, "height": 9})
    items = pd.DataFrame({"reference_id": ["a"], "image_url": "https://example.org/a.png", "width": 64, "height": 48})
    dataset = own_sample_site.client.create_dataset("Colours")
    items.nucleus.append(dataset)
    boxes.nucleus.annotate(dataset)

    page = own_sample_site.get(f"/datasets/{dataset.id}/items/{dataset.items.to_frame().index[0]}")
    classes = [rect["class"].split() for rect in layer_of(page, 0).all("rect")]
    on_page = {HEX[int(name[1:])] for names in classes for name in names if re.fullmatch(r"l\d", name)}
    html = boxes.nucleus.show(items=items).html
    in_gallery = {label: colour for colour, label in re.findall(r'background:(#\w+)"></span><bdi>(\w+)</bdi>', html)}
    lines = npd.evaluate(boxes.assign(confidence=0.9), boxes).plot_pr_curve().get_lines()
    in_plot = {str(line.get_label()).split()[-1]: line.get_color() for line in lines}
    assert set(in_gallery) == {"car", "bus", "dog"}
    assert on_page == set(in_gallery.values())
    assert {label: in_plot[label] for label in in_gallery} == in_gallery


# In a browser


@pytest.mark.browser
def test_a_mask_is_loaded_and_goes_with_its_layer(tabs: Open, store: Path, image: Path) -> None:
    address, _ = masked(store, image, png_of(NUMBERS))
    with served(store) as origin:
        tab = tabs(origin)
        tab.go(address)
        loaded = (
            "async href => { const image = new Image(); image.src = href; await image.decode(); return image.width }"
        )
        mask = tab.page.locator("#stage image.s")
        assert tab.page.evaluate(loaded, mask.get_attribute("href")) == 64
        assert mask.is_visible()
        tab.page.keyboard.press("1")
        assert not mask.is_visible()


def overlapping(tab: Any) -> int:
    found: int = tab.page.evaluate(
        """() => { const shown = [...document.querySelectorAll("#stage .names text")]
             .map(name => name.getBoundingClientRect()).filter(rect => rect.width);
           return shown.filter((a, at) => shown.slice(at + 1).some(b =>
             a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)).length; }"""
    )
    return found


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_names_lie_apart_and_inside_and_come_with_their_rows(tabs: Open, store: Path, image: Path, width: int) -> None:
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Crowd")
        dataset.append([{"reference_id": "a", "image_url": str(image)}])
        corners = [(x, y) for x in (0, 2, 30, 55) for y in (0, 1, 20, 40)]
        boxes = [{"x": x, "y": y, "width": 8, "height": 7} for x, y in corners]
        dataset.annotate([{"type": "box", "label": "traffic light", "reference_id": "a", "geometry": b} for b in boxes])
        address = f"/datasets/{dataset.id}/items/{dataset.items.to_frame().index[0]}"
    with served(store) as origin:
        tab = tabs(origin, viewport={"width": width, "height": 900})
        tab.go(address)
        names = tab.page.locator("#stage .names text")
        tab.page.wait_for_function("document.querySelector('#stage text.crowded')")
        assert 3 < names.locator("visible=true").count() < names.count()
        assert overlapping(tab) == 0
        stage = tab.page.locator("#stage").bounding_box()
        for name in names.locator("visible=true").all():
            box = name.bounding_box()
            assert stage["x"] - 1 <= box["x"]
            assert box["x"] + box["width"] <= stage["x"] + stage["width"] + 1
            assert stage["y"] - 2 <= box["y"]
            assert box["y"] + box["height"] <= stage["y"] + stage["height"] + 2
        hidden = tab.page.locator("#stage text.crowded").first
        tab.page.locator(f"tr[data-n={hidden.get_attribute('data-n')}]").hover()
        assert hidden.is_visible()


@pytest.mark.browser
def test_predictions_stay_broken_lines_when_they_are_lit_or_paired(tabs: Open, store: Path, image: Path) -> None:
    box = {"x": 5, "y": 5, "width": 20, "height": 20}
    rows = [
        {"type": "box", "label": "man", "reference_id": "a", "geometry": box},
        {"type": "keypoints", "label": "man", "reference_id": "a", "geometry": POSE},
    ]
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Poses")
        dataset.append([{"reference_id": "a", "image_url": str(image)}])
        dataset.annotate(rows)
        run = dataset.create_model_run(client.add_model("Detector", "det"))
        run.predict([{**row, "confidence": 0.9} for row in rows])
        address = f"/datasets/{dataset.id}/items/{dataset.items.to_frame().index[0]}?run={run.id}"
    with served(store) as origin:
        tab = tabs(origin)
        tab.go(address)
        lines = tab.page.evaluate(
            """() => [...document.querySelectorAll("#stage .s")].flatMap(shape =>
                 ["", "lit", "paired"].map(state => {
                   shape.classList.remove("lit", "paired");
                   if (state) shape.classList.add(state);
                   const style = getComputedStyle(shape);
                   return [Boolean(shape.closest(".guess")), style.strokeDasharray, parseFloat(style.strokeWidth)];
                 }))"""
        )
        assert [is_guess for is_guess, _, _ in lines].count(True) == 6
        for is_guess, dashes, width in lines:
            gaps = [float(length.removesuffix("px")) for length in dashes.split(",")][1:] if dashes != "none" else []
            assert (gaps[0] > width) if is_guess else not gaps  # round ends lengthen each dash by the line's width
