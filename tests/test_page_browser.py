"""The page in a real browser, by mouse and by keyboard, with JavaScript and without."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from browsing import Watched, chromium, served
from paged import SIDES, Site, sides
from test_page_hostile import HOSTILE, World, world

import nucleus_pandas as npd
from nucleus_pandas.local import computing
from nucleus_pandas.local.embedded import EmbeddedNucleus
from nucleus_pandas.local.web.routes import grid

pytestmark = pytest.mark.browser

KEY = "a-key-0123456789"
Open = Callable[..., Watched]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def origin(site: Site) -> Iterator[str]:
    with served(site.nucleus.folder) as address:
        yield address


@pytest.fixture
def tabs(browser: Any) -> Iterator[Open]:
    """Opens tabs, which are closed afterwards; what went wrong in one fails."""
    opened: list[Watched] = []

    def make(origin: str, **options: Any) -> Watched:
        opened.append(Watched(browser, origin, **options))
        return opened[-1]

    yield make
    for tab in opened:
        tab.close()


@pytest.fixture
def tab(tabs: Open, origin: str) -> Watched:
    return tabs(origin)


def pages_of(site: Site) -> list[str]:
    run, other = site.runs[1].id, site.runs[2].id
    return [
        "/",
        site.grid,
        f"{site.grid}?run={run}&match=FP&label=car",
        f"{site.grid}?query=annotations.car+%3E%3E+1",
        f"{site.grid}/items/{site.items.index[2]}?run={run}",
        f"{site.grid}/runs",
        f"{site.grid}/slices",
        f"/runs/{run}",
        f"/runs/{run}/examples?match=FP",
        f"/compare?run={run}&run={other}",
    ]


# Walking through


def test_one_opens_filters_and_pages(tab: Watched, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "PAGE", 5)
    page = tab.page
    tab.go("/")
    page.get_by_role("link", name="Sample").click()
    assert tab.texts(".caption") == site.items["reference_id"].tolist()[:5]
    page.get_by_role("link", name="Next").first.click()
    page.wait_for_url("**start=*")
    assert tab.texts(".caption") == site.items["reference_id"].tolist()[5:10]
    page.get_by_role("link", name="Before").first.click()
    page.wait_for_url("**until=*")
    assert tab.texts(".caption") == site.items["reference_id"].tolist()[:5]
    page.get_by_label("Label", exact=True).fill("car")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**label=car*")
    cars = site.truth[site.truth["label"] == "car"]["reference_id"].unique().tolist()
    assert tab.texts(".caption") == cars
    page.get_by_label("Predictions").select_option(label="\u2068eager detector\u2069")
    page.wait_for_url(f"**run={site.runs[1].id}**")
    assert page.locator(".guess rect").count() > 0


def test_a_confusion_cell_opens_exactly_its_examples(tab: Watched, site: Site) -> None:
    run = site.runs[1]
    found = run.matches(iou_threshold=0.5)
    pairs = found[(found["match_type"] == "FP") & found["label"].notna()]
    truth, predicted = pairs.groupby(["label", "predicted_label"]).size().idxmax()
    expected = pairs[(pairs["label"] == truth) & (pairs["predicted_label"] == predicted)]
    tab.go(f"/runs/{run.id}")
    name = f"{len(expected)}, \u2068{truth}\u2069 taken for \u2068{predicted}\u2069"
    tab.page.locator("table.matrix").get_by_role("link", name=name).click()
    tab.page.wait_for_url("**/examples**")
    assert tab.page.locator(".card").count() == len(expected)
    assert tab.texts(".caption") == [f"FP {truth} → {predicted}"] * len(expected)
    tab.page.locator(".card-link").first.click()
    tab.page.wait_for_url("**/items/**")
    lit = tab.page.locator("#stage .s.lit")
    assert lit.count() == 2
    first = expected.iloc[0]
    rows = site.dataset.annotations.to_frame()
    box = rows[
        (rows["dataset_item_id"] == first["dataset_item_id"]) & (rows["annotation_id"] == first["annotation_id"])
    ]
    assert [float(lit.first.get_attribute(side) or "nan") for side in SIDES] == list(sides(box)[0])
    assert tab.page.locator("#stage").get_attribute("viewBox") != "0 0 1 1"


# A picture


def frames_of(site: Site, place: int) -> list[Any]:
    key = site.items.index[place]
    every = [site.truth, *(run.predictions.to_frame() for run in site.runs[:2])]
    return [frame[frame["dataset_item_id"] == key] for frame in every]


def on_screen(tab: Watched, layer: int) -> list[tuple[float, float, float, float]]:
    """Where the boxes of a layer are on the screen, without their strokes, relative to the picture's corner."""
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
    tabs: Open, origin: str, site: Site, place: int, width: int
) -> None:
    tab = tabs(origin, viewport={"width": width, "height": 900})
    runs = "&".join(f"run={run.id}" for run in site.runs[:2])
    tab.go(f"{site.grid}/items/{site.items.index[place]}?{runs}")
    frames = frames_of(site, place)
    scale = image_width(tab) / site.items["width"].iloc[place]
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


def test_zooming_keeps_boxes_on_their_objects(tab: Watched, site: Site) -> None:
    tab.go(f"{site.grid}/items/{site.items.index[4]}?run={site.runs[0].id}")
    stored = sides(frames_of(site, 4)[0])

    def check() -> float:
        scale = image_width(tab) / site.items["width"].iloc[4]
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


def test_rows_light_their_boxes_and_boxes_their_rows(tab: Watched, site: Site) -> None:
    tab.go(f"{site.grid}/items/{site.items.index[4]}?run={site.runs[0].id}")
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


def test_predictions_can_be_hidden_by_their_confidence(tab: Watched, site: Site) -> None:
    tab.go(f"{site.grid}/items/{site.items.index[4]}?run={site.runs[1].id}")
    guesses = site.runs[1].predictions.to_frame()
    guesses = guesses[guesses["dataset_item_id"] == site.items.index[4]]
    tab.page.locator("#surer").fill("0.6")
    assert len(on_screen(tab, 1)) == (guesses["confidence"] >= 0.6).sum() < len(guesses)
    assert len(on_screen(tab, 0)) == len(frames_of(site, 4)[0])
    assert tab.page.locator("output").inner_text() == "0.60"


def test_a_picture_whose_size_nobody_told_is_measured(tabs: Open, store: Path, tmp_path: Path, picture: Path) -> None:
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Unsized")
        dataset.append([{"reference_id": "a", "image_url": str(picture)}])
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


def test_a_slice_is_made_by_mouse_and_read_by_the_client(tabs: Open, own: Site) -> None:
    with served(own.nucleus.folder) as origin:
        tab = tabs(origin)
        tab.go(own.grid)
        picks = tab.page.locator("input[data-pick]")
        picks.nth(1).check()
        picks.nth(4).click(modifiers=["Shift"])
        picks.nth(2).uncheck()
        assert tab.texts("[data-picked]") == ["3"]
        tab.page.get_by_label("Slice", exact=True).fill("By mouse")
        tab.page.get_by_role("button", name="Make it of 3 picked").click()
        tab.page.wait_for_url("**slice=slc_*")
        expected = [own.items.index[place] for place in (1, 3, 4)]
        assert tab.texts(".caption") == own.items.loc[expected, "reference_id"].tolist()
        made = own.dataset.slices[0]
        assert (made.name, made.to_frame().index.tolist()) == ("By mouse", expected)


def test_a_slice_is_made_of_what_a_query_finds(tabs: Open, own: Site) -> None:
    with served(own.nucleus.folder) as origin:
        tab = tabs(origin)
        tab.go(own.grid)
        tab.page.get_by_label("Query").fill('metadata.scene = "street"')
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_url("**query=**")
        tab.page.get_by_label("Slice", exact=True).fill("Streets")
        tab.page.get_by_role("button", name="Make it of all that match").click()
        tab.page.wait_for_url("**slice=slc_*")
        made = own.dataset.slices[0]
        assert made.to_frame().index.tolist() == own.dataset.query('metadata.scene = "street"').index.tolist()


def test_the_line_of_python_is_copied(tabs: Open, origin: str, site: Site) -> None:
    tab = tabs(origin, permissions=["clipboard-read", "clipboard-write"])
    tab.go(site.grid)
    tab.page.get_by_role("button", name="Copy").click()
    tab.page.get_by_role("button", name="Copied").wait_for()
    line = tab.page.evaluate("navigator.clipboard.readText()")
    assert eval(line, {"client": site.client}).index.tolist() == site.items.index.tolist()


# By keyboard alone


def focused(tab: Watched, expression: str = "innerText") -> str:
    found: str = tab.page.evaluate(f"document.activeElement.{expression}")
    return found


def test_one_comes_everywhere_by_keyboard(tab: Watched, site: Site) -> None:
    press = tab.page.keyboard.press
    names = site.items["reference_id"].tolist()
    tab.go("/")
    press("Tab")
    assert focused(tab) == "Skip to content"
    press("ArrowDown")
    assert focused(tab) == "Sample"
    press("Enter")
    tab.page.wait_for_url("**/datasets/**")
    press("ArrowRight")
    assert names[0] in focused(tab)
    press("ArrowRight")
    press("ArrowDown")
    across = tab.page.evaluate(
        "getComputedStyle(document.querySelector('.cards')).gridTemplateColumns.split(' ').length"
    )
    assert names[1 + across] in focused(tab)
    press("ArrowUp")
    press("ArrowLeft")
    assert names[0] in focused(tab)
    press("x")
    assert tab.page.locator("input[data-pick]").first.is_checked()
    press("Enter")
    tab.page.wait_for_url("**/items/**")
    press("ArrowRight")
    tab.page.wait_for_url(f"**/items/{site.items.index[1]}**")
    press("ArrowLeft")
    tab.page.wait_for_url(f"**/items/{site.items.index[0]}**")
    press("1")
    assert on_screen(tab, 0) == []
    press("1")
    shown = tab.page.locator("#names").is_checked()
    press("l")
    assert tab.page.locator("#names").is_checked() != shown
    press("ArrowDown")
    assert focused(tab, "dataset.n") == "a0"
    for _ in range(9):
        press("ArrowDown")
    assert focused(tab, "dataset.n") == "a9"
    view = tab.page.locator("#stage").get_attribute("viewBox")
    press("Enter")
    assert tab.page.locator("#stage").get_attribute("viewBox") != view
    press("u")
    tab.page.wait_for_url(lambda url: "/items/" not in url)
    press("/")
    assert focused(tab, "name") == "label"
    press("n")  # a letter here
    assert focused(tab, "value") == "n"
    press("Escape")
    tab.page.locator("h1").click()
    press("?")
    assert tab.page.locator("dialog").is_visible()
    press("n")
    press("Escape")
    assert not tab.page.locator("dialog").is_visible()
    press("u")
    tab.page.wait_for_url(re.compile("/$"))


def test_pages_are_turned_by_keyboard(tab: Watched, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "PAGE", 5)
    tab.go(site.grid)
    tab.page.keyboard.press("n")
    tab.page.wait_for_url("**start=5*")
    tab.page.keyboard.press("p")
    tab.page.wait_for_url("**until=5*")
    assert tab.texts(".caption") == site.items["reference_id"].tolist()[:5]


def test_focus_can_be_seen_everywhere(tab: Watched, site: Site) -> None:
    for path in pages_of(site):
        tab.go(path)
        for _ in range(12):
            tab.page.keyboard.press("Tab")
            style = tab.page.evaluate(
                "() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]; }"
            )
            if focused(tab, "tagName") == "BODY":  # behind the last one
                continue
            assert style[0] != "none", (path, focused(tab, "outerHTML")[:200])
            assert float(style[1].removesuffix("px")) >= 1


# Looks


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(tabs: Open, origin: str, site: Site, width: int, scheme: str) -> None:
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text()
    tab = tabs(origin, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for path in pages_of(site):
        tab.go(path)
        tab.page.evaluate(axe)
        found = tab.page.evaluate("axe.run()")["violations"]
        told = [
            (one["id"], one["impact"], node["html"], node["failureSummary"]) for one in found for node in one["nodes"]
        ]
        assert [one for one in told if one[1] in ("serious", "critical")] == [], path
        assert found == [], path


@pytest.mark.parametrize("width", [1280, 400, 320])
def test_nothing_sticks_out(tabs: Open, origin: str, site: Site, width: int) -> None:
    tab = tabs(origin, viewport={"width": width, "height": 900})
    for path in pages_of(site):
        tab.go(path)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_the_dark_page_is_dark(tabs: Open, origin: str) -> None:
    light = {}
    for scheme in ("light", "dark"):
        tab = tabs(origin, color_scheme=scheme)
        tab.go("/")
        colours = tab.page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        light[scheme] = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 765 for colour in colours]
    assert light["light"][0] > 0.9 > 0.3 > light["light"][1]
    assert light["dark"][0] < 0.2 < 0.8 < light["dark"][1]


# Without JavaScript


def test_everything_can_be_read_without_javascript(tabs: Open, own: Site) -> None:
    with served(own.nucleus.folder) as origin:
        tab = tabs(origin, java_script_enabled=False)
        page = tab.page
        for path in pages_of(own):
            tab.go(path)
            assert page.locator("main").inner_text()
            assert page.locator(".js-only:visible").count() == 0
        tab.go(own.grid)
        page.get_by_label("Predictions").select_option(index=1)
        page.get_by_label("Label", exact=True).fill("car")
        page.get_by_role("button", name="Show", exact=True).click()
        assert "label=car" in page.url
        page.locator("input[data-pick]").first.check()
        page.get_by_label("Slice", exact=True).fill("Plain")
        page.get_by_role("button", name="picked").click()
        assert own.dataset.slices[0].name == "Plain"
        tab.go(f"{own.grid}/items/{own.items.index[4]}?run={own.runs[0].id}")
        assert page.locator(".layer-0 rect.s").first.is_visible()
        page.locator("#layer-0").uncheck()
        assert not page.locator(".layer-0 rect.s").first.is_visible()
        assert page.locator(".layer-1 rect.s").first.is_visible()


# What the browser is kept from


@pytest.fixture(
    scope="module", params=["markup", "template", "direction", "quotes", "control", "address", "long markup"]
)
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    made = world(tmp_path_factory.mktemp("hostile"), HOSTILE[request.param])
    nucleus = made.visitor.http.application.extensions["nucleus"]
    with served(nucleus.folder) as address:
        yield made, address
    made.client.close()
    nucleus.close()


@pytest.mark.parametrize("width", [1280, 400])
def test_hostile_names_run_nothing_and_break_nothing(tabs: Open, hostile: tuple[World, str], width: int) -> None:
    made, origin = hostile
    tab = tabs(origin, viewport={"width": width, "height": 900})
    for path in made.pages.values():
        assert tab.go(path).status == 200
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, path
    tab.go(made.pages["picture"])
    for row in tab.page.locator("tr[data-n]").all():
        row.hover()
    tab.go(made.pages["run"])
    for row in tab.page.locator("tr[data-curve]").all():
        row.hover()
        assert tab.page.locator("polyline.lit").count() == 1


class Elsewhere:
    """Another server, which has a picture, and notes who sends people there."""

    def __init__(self, content: bytes) -> None:
        self.asked: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                self.asked.append(handler.headers.get("Referer", ""))
                handler.send_response(200)
                handler.send_header("Content-Type", "image/png")
                handler.end_headers()
                handler.wfile.write(content)

            def log_message(handler, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/a.png"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


@pytest.fixture
def elsewhere(picture: Path) -> Iterator[Elsewhere]:
    made = Elsewhere(picture.read_bytes())
    yield made
    made.close()


def test_the_policy_holds(tab: Watched, site: Site, elsewhere: Elsewhere) -> None:
    tab.go(site.grid)
    blocked = tab.page.evaluate(
        """async elsewhere => {
          const found = [];
          document.addEventListener("securitypolicyviolation", event => found.push(event.effectiveDirective));
          const add = (tag, fields) => document.body.append(Object.assign(document.createElement(tag), fields));
          try { add("script", { textContent: "window.ran = true" }); } catch (error) { found.push(error.name); }
          const markup = "<img src=x onerror='window.ran = true'>";
          try { document.body.innerHTML = markup; } catch (error) { found.push(error.name); }
          add("img", { src: elsewhere });
          add("iframe", { src: "/" });
          const style = document.createElement("p");
          style.setAttribute("style", "color: red");
          document.body.append(style);
          const form = Object.assign(document.createElement("form"), { action: elsewhere, method: "get" });
          document.body.append(form);
          form.submit();
          await new Promise(done => setTimeout(done, 300));
          return [found, window.ran === undefined];
        }""",
        elsewhere.url,
    )
    assert blocked[1]
    assert {"TypeError", "img-src", "frame-src", "style-src-attr", "form-action"} <= set(blocked[0])
    assert all("Content Security Policy" in error or "Trusted" in error for error in tab.errors), tab.errors
    assert elsewhere.asked == []
    tab.errors.clear()


@pytest.mark.parametrize("remote", [True, False])
def test_pictures_from_elsewhere_are_loaded_only_where_they_may_be(
    tabs: Open, store: Path, elsewhere: Elsewhere, remote: bool
) -> None:
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Remote")
        dataset.append([{"reference_id": "a", "image_url": elsewhere.url}])
        key = dataset.items.to_frame().index[0]
    with served(store, remote_images=remote) as origin:
        tab = tabs(origin)
        tab.go(f"/datasets/{dataset.id}")
        tab.go(f"/datasets/{dataset.id}/items/{key}")
        if remote:
            tab.page.wait_for_function("document.querySelector('#stage').getAttribute('viewBox') === '0 0 64 48'")
    assert bool(elsewhere.asked) == remote
    assert set(elsewhere.asked) <= {""}


def test_one_logs_in_with_a_key_and_out_again(tabs: Open, own: Site) -> None:
    with served(own.nucleus.folder, api_keys=[KEY]) as origin:
        tab = tabs(origin)
        tab.go(own.grid)
        assert "/login?next=" in tab.page.url
        tab.page.get_by_label("API key").fill("wrong")
        tab.page.keyboard.press("Enter")
        tab.page.get_by_role("alert").wait_for()
        assert tab.errors.pop().startswith("error: Failed to load resource: the server responded with a status of 403")
        tab.page.get_by_label("API key").fill(KEY)
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_url(f"**{own.grid}")
        tab.page.wait_for_load_state("networkidle")
        assert tab.page.locator("img").first.evaluate("image => image.naturalWidth") > 0
        (cookie,) = tab.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        assert KEY not in str(cookie)
        assert KEY not in "".join(tab.requests)
        assert tab.page.evaluate("document.cookie") == ""
        tab.page.get_by_role("button", name="Log out").click()
        tab.page.wait_for_url("**/login")
        tab.go("/")
        assert "/login" in tab.page.url


def test_numbers_come_by_themselves_when_they_are_computed(
    tabs: Open, own: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computing, "SMALL", 10)
    with served(own.nucleus.folder) as origin:
        tab = tabs(origin)
        assert tab.page.goto(f"/runs/{own.runs[0].id}").status == 202
        tab.page.locator("dl.numbers").wait_for(timeout=30_000)


def test_links_of_the_client_open(tabs: Open, own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    made = own.dataset.create_slice("S", own.items["reference_id"].tolist()[:2])
    with served(own.nucleus.folder) as origin, npd.NucleusClient(endpoint=f"{origin}/v1/nucleus") as client:
        tab = tabs(origin)
        assert tab.go(client.url()).status == 200
        dataset = client.get_dataset(own.dataset.id)
        assert shown == [] != [dataset.open()]
        assert tab.go(shown[0]).status == 200
        assert tab.texts("h1") == ["Sample"]
        run = client.get_model_run(own.runs[0].id)
        assert client.url(run) == run.url
        assert tab.go(run.url).status == 200
        assert tab.texts("h1") == ["careful detector"]
        tab.go(client.get_slice(made.id).url)
        assert len(tab.texts(".caption")) == 2
