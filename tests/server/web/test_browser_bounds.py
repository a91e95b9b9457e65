"""The page in a real browser: for everybody, without JavaScript, and against those who mean no good."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

import nucleus_pandas as npd
from tests.server.web.test_hostile_text import HOSTILE, HostileSite, store_hostile_names
from tests.support.browsing import Open, Watched, served
from tests.support.sample_page import SampleSite, pages_of

pytestmark = pytest.mark.browser

KEY = "a-key-0123456789"


def test_focus_can_be_seen_everywhere(tab: Watched, sample_site: SampleSite) -> None:
    for path in pages_of(sample_site):
        tab.go(path)
        for _ in range(12):
            tab.page.keyboard.press("Tab")
            style = tab.page.evaluate(
                "() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]; }"
            )
            if tab.focused("tagName") == "BODY":  # behind the last one
                continue
            assert style[0] != "none", (path, tab.focused("outerHTML")[:200])
            assert float(style[1].removesuffix("px")) >= 1


# Looks


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(tabs: Open, origin: str, sample_site: SampleSite, width: int, scheme: str) -> None:
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text()
    tab = tabs(origin, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for path in pages_of(sample_site):
        tab.go(path)
        tab.page.evaluate(axe)
        found = tab.page.evaluate("axe.run()")["violations"]
        told = [
            (one["id"], one["impact"], node["html"], node["failureSummary"]) for one in found for node in one["nodes"]
        ]
        assert [one for one in told if one[1] in ("serious", "critical")] == [], path
        assert found == [], path


@pytest.mark.parametrize("width", [1280, 400, 320])
def test_nothing_sticks_out(tabs: Open, origin: str, sample_site: SampleSite, width: int) -> None:
    tab = tabs(origin, viewport={"width": width, "height": 900})
    for path in pages_of(sample_site):
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


def test_everything_can_be_read_without_javascript(tabs: Open, own_sample_site: SampleSite) -> None:
    with served(own_sample_site.nucleus.folder) as origin:
        tab = tabs(origin, java_script_enabled=False)
        page = tab.page
        for path in pages_of(own_sample_site):
            tab.go(path)
            assert page.locator("main").inner_text()
            assert page.locator(".js-only:visible").count() == 0
        tab.go(own_sample_site.grid)
        page.get_by_label("Predictions").select_option(index=1)
        page.get_by_label("Label", exact=True).fill("car")
        page.get_by_role("button", name="Show", exact=True).click()
        assert "label=car" in page.url
        page.locator("input[data-select]").first.check()
        page.get_by_label("Slice", exact=True).fill("Plain")
        page.get_by_role("button", name="selected").click()
        assert own_sample_site.dataset.slices[0].name == "Plain"
        tab.go(f"{own_sample_site.grid}/items/{own_sample_site.items.index[4]}?run={own_sample_site.runs[0].id}")
        assert page.locator(".layer-0 rect.s").first.is_visible()
        page.locator("#layer-0").uncheck()
        assert not page.locator(".layer-0 rect.s").first.is_visible()
        assert page.locator(".layer-1 rect.s").first.is_visible()


# What the browser is kept from


@pytest.fixture(
    scope="module", params=["markup", "template", "direction", "quotes", "control", "address", "long markup"]
)
def hostile(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HostileSite, str]]:
    made = store_hostile_names(tmp_path_factory.mktemp("hostile"), HOSTILE[request.param])
    nucleus = made.visitor.http.application.extensions["nucleus"]
    with served(nucleus.folder) as address:
        yield made, address
    made.client.close()
    nucleus.close()


@pytest.mark.parametrize("width", [1280, 400])
def test_hostile_names_run_nothing_and_break_nothing(tabs: Open, hostile: tuple[HostileSite, str], width: int) -> None:
    made, origin = hostile
    tab = tabs(origin, viewport={"width": width, "height": 900})
    for path in made.pages.values():
        assert tab.go(path).status == 200
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, path
    tab.go(made.pages["image"])
    for row in tab.page.locator("tr[data-n]").all():
        row.hover()
    tab.go(made.pages["run"])
    for row in tab.page.locator("tr[data-curve]").all():
        row.hover()
        assert tab.page.locator("polyline.lit").count() == 1


class Elsewhere:
    """Another server, which has an image, and notes who sends people there."""

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
def elsewhere(image: Path) -> Iterator[Elsewhere]:
    made = Elsewhere(image.read_bytes())
    yield made
    made.close()


def test_the_policy_holds(tab: Watched, sample_site: SampleSite, elsewhere: Elsewhere) -> None:
    tab.go(sample_site.grid)
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
def test_images_from_elsewhere_are_loaded_only_where_they_may_be(
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


def test_one_logs_in_with_a_key_and_out_again(tabs: Open, own_sample_site: SampleSite) -> None:
    with served(own_sample_site.nucleus.folder, api_keys=[KEY]) as origin:
        tab = tabs(origin)
        tab.go(own_sample_site.grid)
        assert "/login?next=" in tab.page.url
        tab.page.get_by_label("API key").fill("wrong")
        tab.page.keyboard.press("Enter")
        tab.page.get_by_role("alert").wait_for()
        assert tab.errors.pop().startswith("error: Failed to load resource: the server responded with a status of 403")
        tab.page.get_by_label("API key").fill(KEY)
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_url(f"**{own_sample_site.grid}")
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
