"""The page in a real browser: by mouse and by keyboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import nucleus_pandas as npd
from nucleus_pandas.server.evaluation import compute
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.web.routes import grid
from tests.factories import SIDES
from tests.support.browsing import Open, Watched, served
from tests.support.sample_page import SampleSite, sides

pytestmark = pytest.mark.browser


# Walking through


def test_one_opens_filters_and_pages(tab: Watched, sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "PAGE", 5)
    page = tab.page
    tab.go("/")
    page.get_by_role("link", name="Sample").click()
    assert tab.texts(".caption") == sample_site.items["reference_id"].tolist()[:5]
    page.get_by_role("link", name="Next").first.click()
    page.wait_for_url("**start=*")
    assert tab.texts(".caption") == sample_site.items["reference_id"].tolist()[5:10]
    page.get_by_role("link", name="Previous").first.click()
    page.wait_for_url("**until=*")
    assert tab.texts(".caption") == sample_site.items["reference_id"].tolist()[:5]
    page.get_by_label("Label", exact=True).fill("car")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**label=car*")
    cars = sample_site.truth[sample_site.truth["label"] == "car"]["reference_id"].unique().tolist()
    assert tab.texts(".caption") == cars
    page.get_by_label("Predictions").select_option(label="\u2068eager detector\u2069")
    page.wait_for_url(f"**run={sample_site.runs[1].id}**")
    assert page.locator(".guess rect").count() > 0


def test_a_confusion_cell_opens_exactly_its_examples(tab: Watched, sample_site: SampleSite) -> None:
    run = sample_site.runs[1]
    found = run.matches(iou_threshold=0.5)
    pairs = found[(found["match_type"] == "FP") & found["label"].notna()]
    truth, predicted = pairs.groupby(["label", "predicted_label"]).size().idxmax()
    expected = pairs[(pairs["label"] == truth) & (pairs["predicted_label"] == predicted)]
    tab.go(f"/runs/{run.id}")
    name = f"{len(expected)}, \u2068{truth}\u2069 predicted as \u2068{predicted}\u2069"
    tab.page.locator("table.matrix").get_by_role("link", name=name).click()
    tab.page.wait_for_url("**/examples**")
    assert tab.page.locator(".card").count() == len(expected)
    assert tab.texts(".caption") == [f"FP {truth} → {predicted}"] * len(expected)
    tab.page.locator(".card-link").first.click()
    tab.page.wait_for_url("**/items/**")
    lit = tab.page.locator("#stage .s.lit")
    assert lit.count() == 2
    first = expected.iloc[0]
    rows = sample_site.dataset.annotations.to_frame()
    box = rows[
        (rows["dataset_item_id"] == first["dataset_item_id"]) & (rows["annotation_id"] == first["annotation_id"])
    ]
    assert [float(lit.first.get_attribute(side) or "nan") for side in SIDES] == list(sides(box)[0])
    assert tab.page.locator("#stage").get_attribute("viewBox") != "0 0 1 1"


@pytest.mark.parametrize("width", [1280, 400])
def test_an_example_opens_at_its_image(tabs: Open, origin: str, sample_site: SampleSite, width: int) -> None:
    tab = tabs(origin, viewport={"width": width, "height": 700})
    missed = sample_site.runs[0].matches(iou_threshold=0.5)
    missed = missed[(missed["match_type"] == "FN") & (missed["dataset_item_id"] == sample_site.items.index[4])].iloc[-1]
    tab.go(
        f"{sample_site.grid}/items/{missed['dataset_item_id']}?run={sample_site.runs[0].id}&see_truth={missed['annotation_id']}"
    )
    lit = tab.page.locator("#stage .s.lit")

    def check() -> None:
        tab.page.wait_for_timeout(100)
        box = lit.bounding_box()
        assert box is not None
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 700

    check()
    tab.page.locator("tr.lit").first.focus()
    tab.page.keyboard.press("Enter")
    check()


# An image


def frames_of(sample_site: SampleSite, place: int) -> list[Any]:
    key = sample_site.items.index[place]
    every = [sample_site.truth, *(run.predictions.to_frame() for run in sample_site.runs[:2])]
    return [frame[frame["dataset_item_id"] == key] for frame in every]


def on_screen(tab: Watched, layer: int) -> list[tuple[float, float, float, float]]:
    """Where the boxes of a layer are on the screen, without their strokes, relative to the image's corner."""
    found: list[list[float]] = tab.page.evaluate(
        """layer => {
          const image = document.querySelector("#stage image");
          const stage = document.querySelector("#stage");
          const at = (element, x, y) => new DOMPoint(x, y).matrixTransform(element.getScreenCTM());
          const corner = at(image, 0, 0);
          const every = [...stage.querySelectorAll(`.layer-${layer} rect`)];
          return every.filter(rect => rect.getClientRects().length).map(rect => {
            const box = rect.getBBox();
            const one = at(rect, box.x, box.y), other = at(rect, box.x + box.width, box.y + box.height);
            return [one.x - corner.x, one.y - corner.y, other.x - one.x, other.y - one.y];
          });
        }""",
        layer,
    )
    return [(x, y, width, height) for x, y, width, height in found]


def image_width(tab: Watched) -> float:
    width: float = tab.page.evaluate(
        """() => { const image = document.querySelector("#stage image");
          return image.getBBox().width * image.getScreenCTM().a; }"""
    )
    return width


@pytest.mark.parametrize("place", [2, 4])
@pytest.mark.parametrize("width", [1280, 400])
def test_boxes_lie_where_they_are_stored_and_layers_can_be_hidden(
    tabs: Open, origin: str, sample_site: SampleSite, place: int, width: int
) -> None:
    tab = tabs(origin, viewport={"width": width, "height": 900})
    runs = "&".join(f"run={run.id}" for run in sample_site.runs[:2])
    tab.go(f"{sample_site.grid}/items/{sample_site.items.index[place]}?{runs}")
    frames = frames_of(sample_site, place)
    scale = image_width(tab) / sample_site.items["image_width"].iloc[place]
    for layer, frame in enumerate(frames):
        shown = on_screen(tab, layer)
        assert len(shown) == len(frame)
        for ours, stored in zip(shown, sides(frame), strict=True):
            assert ours == pytest.approx([scale * side for side in stored], abs=0.02)
    for layer in range(3):
        tab.page.locator(f"#layer-{layer}").uncheck()
        assert on_screen(tab, layer) == []
        assert not tab.page.locator(f"section.layer-{layer}").is_visible()
        others = [len(on_screen(tab, other)) for other in range(3)]
        assert others == [0 if other <= layer else len(frames[other]) for other in range(3)]
    tab.page.locator("#layer-1").check()
    assert len(on_screen(tab, 1)) == len(frames[1])


def test_zooming_keeps_boxes_on_their_objects(tab: Watched, sample_site: SampleSite) -> None:
    tab.go(f"{sample_site.grid}/items/{sample_site.items.index[4]}?run={sample_site.runs[0].id}")
    stored = sides(frames_of(sample_site, 4)[0])

    def check() -> float:
        scale = image_width(tab) / sample_site.items["image_width"].iloc[4]
        for ours, box in zip(on_screen(tab, 0), stored, strict=True):
            assert ours == pytest.approx([scale * side for side in box], abs=0.05)
        return scale

    before = check()
    tab.page.get_by_role("button", name="Zoom in").click()
    closer = check()
    assert closer == pytest.approx(before * 1.6)
    tab.page.keyboard.press("+")
    assert check() == pytest.approx(closer * 1.6)
    tab.page.keyboard.press("-")
    assert check() == pytest.approx(closer)
    tab.page.get_by_role("button", name="Fit").click()
    assert check() == pytest.approx(before)
    tab.page.locator("#stage").dblclick(position={"x": 200, "y": 200})
    assert check() == pytest.approx(before * 2)
    view = tab.page.locator("#stage").get_attribute("viewBox")
    tab.page.mouse.move(300, 400)
    tab.page.mouse.down()
    tab.page.mouse.move(200, 350, steps=4)
    tab.page.mouse.up()
    assert tab.page.locator("#stage").get_attribute("viewBox") != view
    check()
    tab.page.keyboard.down("Control")
    tab.page.mouse.wheel(0, -240)
    tab.page.keyboard.up("Control")
    assert check() > before * 2
    tab.page.keyboard.press("0")
    assert check() == pytest.approx(before)


def test_rows_light_their_boxes_and_boxes_their_rows(tab: Watched, sample_site: SampleSite) -> None:
    tab.go(f"{sample_site.grid}/items/{sample_site.items.index[4]}?run={sample_site.runs[0].id}")
    page = tab.page
    row = page.locator("tr[data-p]").first
    name, partner = row.get_attribute("data-n"), row.get_attribute("data-p")
    row.hover()
    assert [one.get_attribute("data-n") for one in page.locator("#stage .s.lit").all()] == [name]
    assert [one.get_attribute("data-n") for one in page.locator("#stage .s.paired").all()] == [partner]
    page.mouse.move(1, 1)
    assert page.locator("#stage .s.lit").count() == 0
    shape = page.locator(f"#stage .s[data-n={partner}]")
    shape.dispatch_event("mouseenter")
    assert [one.get_attribute("data-n") for one in page.locator("tr.lit").all()] == [partner]
    shape.dispatch_event("mouseleave")
    shape.dispatch_event("click")
    assert page.evaluate("document.activeElement.dataset.n") == partner
    assert page.locator("#stage .s.lit").get_attribute("data-n") == partner


def test_predictions_can_be_hidden_by_their_confidence(tab: Watched, sample_site: SampleSite) -> None:
    tab.go(f"{sample_site.grid}/items/{sample_site.items.index[4]}?run={sample_site.runs[1].id}")
    guesses = sample_site.runs[1].predictions.to_frame()
    guesses = guesses[guesses["dataset_item_id"] == sample_site.items.index[4]]
    tab.page.locator("#min-confidence").fill("0.6")
    assert len(on_screen(tab, 1)) == (guesses["confidence"] >= 0.6).sum() < len(guesses)
    assert len(on_screen(tab, 0)) == len(frames_of(sample_site, 4)[0])
    assert tab.page.locator("output").inner_text() == "0.60"


def test_a_image_whose_size_nobody_told_is_measured(tabs: Open, store: Path, tmp_path: Path, image: Path) -> None:
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Unsized")
        dataset.append([{"reference_id": "a", "image_url": str(image)}])
        box = {"type": "box", "label": "car", "geometry": {"x": 4, "y": 5, "width": 6, "height": 7}}
        dataset.annotate([{**box, "reference_id": "a"}])
        key = dataset.items.to_frame().index[0]
    nucleus = EmbeddedNucleus(store)
    with nucleus.database.write() as db:
        db.execute("UPDATE item SET width = NULL, height = NULL")
    nucleus.close()
    with served(store) as origin:
        tab = tabs(origin)
        tab.go(f"/datasets/{dataset.id}/items/{key}")
        tab.page.wait_for_function("document.querySelector('#stage').getAttribute('viewBox') === '0 0 64 48'")
        assert on_screen(tab, 0)[0] == pytest.approx([side * image_width(tab) / 64 for side in (4, 5, 6, 7)], abs=0.02)


# Slices, lines of Python


def test_a_slice_is_made_by_mouse_and_read_by_the_client(tabs: Open, own_sample_site: SampleSite) -> None:
    with served(own_sample_site.nucleus.folder) as origin:
        tab = tabs(origin)
        tab.go(own_sample_site.grid)
        picks = tab.page.locator("input[data-select]")
        picks.nth(1).check()
        picks.nth(4).click(modifiers=["Shift"])
        picks.nth(2).uncheck()
        assert tab.texts("[data-selected]") == ["3"]
        tab.page.get_by_label("Slice", exact=True).fill("By mouse")
        tab.page.get_by_role("button", name="Create from 3 selected").click()
        tab.page.wait_for_url("**slice=slc_*")
        expected = [own_sample_site.items.index[place] for place in (1, 3, 4)]
        assert tab.texts(".caption") == own_sample_site.items.loc[expected, "reference_id"].tolist()
        made = own_sample_site.dataset.slices[0]
        assert (made.name, made.to_frame().index.tolist()) == ("By mouse", expected)


def test_a_slice_is_made_of_what_a_query_finds(tabs: Open, own_sample_site: SampleSite) -> None:
    with served(own_sample_site.nucleus.folder) as origin:
        tab = tabs(origin)
        tab.go(own_sample_site.grid)
        tab.page.get_by_label("Query").fill('metadata.scene = "street"')
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_url("**query=**")
        tab.page.get_by_label("Slice", exact=True).fill("Streets")
        tab.page.get_by_role("button", name="Create from all matching images").click()
        tab.page.wait_for_url("**slice=slc_*")
        made = own_sample_site.dataset.slices[0]
        assert (
            made.to_frame().index.tolist() == own_sample_site.dataset.query('metadata.scene = "street"').index.tolist()
        )


def test_the_line_of_python_is_copied(tabs: Open, origin: str, sample_site: SampleSite) -> None:
    tab = tabs(origin, permissions=["clipboard-read", "clipboard-write"])
    tab.go(sample_site.grid)
    tab.page.get_by_role("button", name="Copy").click()
    tab.page.get_by_role("button", name="Copied").wait_for()
    line = tab.page.evaluate("navigator.clipboard.readText()")
    assert eval(line, {"client": sample_site.client}).index.tolist() == sample_site.items.index.tolist()


# By keyboard alone


def test_one_comes_everywhere_by_keyboard(tab: Watched, sample_site: SampleSite) -> None:
    press = tab.page.keyboard.press
    names = sample_site.items["reference_id"].tolist()
    tab.go("/")
    press("Tab")
    assert tab.focused() == "Skip to content"
    press("ArrowDown")
    assert tab.focused() == "Sample"
    press("Enter")
    tab.page.wait_for_url("**/datasets/**")
    press("ArrowRight")
    assert names[0] in tab.focused()
    press("ArrowRight")
    press("ArrowDown")
    across = tab.page.evaluate(
        "getComputedStyle(document.querySelector('.cards')).gridTemplateColumns.split(' ').length"
    )
    assert names[1 + across] in tab.focused()
    press("ArrowUp")
    press("ArrowLeft")
    assert names[0] in tab.focused()
    press("x")
    assert tab.page.locator("input[data-select]").first.is_checked()
    press("Enter")
    tab.page.wait_for_url("**/items/**")
    press("ArrowRight")
    tab.page.wait_for_url(f"**/items/{sample_site.items.index[1]}**")
    press("ArrowLeft")
    tab.page.wait_for_url(f"**/items/{sample_site.items.index[0]}**")
    press("1")
    assert on_screen(tab, 0) == []
    press("1")
    shown = tab.page.locator("#names").is_checked()
    press("l")
    assert tab.page.locator("#names").is_checked() != shown
    press("ArrowDown")
    assert tab.focused("dataset.n") == "a0"
    for _ in range(9):
        press("ArrowDown")
    assert tab.focused("dataset.n") == "a9"
    view = tab.page.locator("#stage").get_attribute("viewBox")
    press("Enter")
    assert tab.page.locator("#stage").get_attribute("viewBox") != view
    press("u")
    tab.page.wait_for_url(lambda url: "/items/" not in url)
    press("/")
    assert tab.focused("name") == "label"
    press("n")  # a letter here
    assert tab.focused("value") == "n"
    press("Escape")
    tab.page.locator("h1").click()
    press("?")
    assert tab.page.locator("dialog").is_visible()
    press("n")
    press("Escape")
    assert not tab.page.locator("dialog").is_visible()
    press("u")
    tab.page.wait_for_url(re.compile("/$"))


def test_pages_are_turned_by_keyboard(tab: Watched, sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "PAGE", 5)
    tab.go(sample_site.grid)
    tab.page.keyboard.press("n")
    tab.page.wait_for_url("**start=5*")
    tab.page.keyboard.press("p")
    tab.page.wait_for_url("**until=5*")
    assert tab.texts(".caption") == sample_site.items["reference_id"].tolist()[:5]


def test_numbers_come_by_themselves_when_they_are_computed(
    tabs: Open, own_sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "SMALL", 10)
    with served(own_sample_site.nucleus.folder) as origin:
        tab = tabs(origin)
        assert tab.page.goto(f"/runs/{own_sample_site.runs[0].id}").status == 202
        tab.page.locator("dl.numbers").wait_for(timeout=30_000)


def test_links_of_the_client_open(tabs: Open, own_sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    made = own_sample_site.dataset.create_slice("S", own_sample_site.items["reference_id"].tolist()[:2])
    with served(own_sample_site.nucleus.folder) as origin, npd.NucleusClient(endpoint=f"{origin}/v1/nucleus") as client:
        tab = tabs(origin)
        assert tab.go(client.url()).status == 200
        dataset = client.get_dataset(own_sample_site.dataset.id)
        assert shown == [] != [dataset.open()]
        assert tab.go(shown[0]).status == 200
        assert tab.texts("h1") == ["Sample"]
        run = client.get_model_run(own_sample_site.runs[0].id)
        assert client.url(run) == run.url
        assert tab.go(run.url).status == 200
        assert tab.texts("h1") == ["careful detector"]
        tab.go(client.get_slice(made.id).url)
        assert len(tab.texts(".caption")) == 2
