"""Names, labels, metadata and ids that try to be more than text stay text, on every page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

import nucleus_pandas as npd
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.support.html_tree import Node
from tests.support.sample_page import Visitor, ids_on, lines, run_line

LONG = 5_000
HOSTILE = {
    "markup": "\"'><img src=x onerror=alert(1)><script>alert(2)</script>&amp;&lt;</td></tr></table>",
    "template": "{{ 7 * 7 }}{% raw %}${7*7}#{7*7}<%= 7 %>",
    "direction": "\u202egnp.exe\u2066\u200f\u061c\u05d0\u2069",
    "quotes": """a'b"c`d\\e%27%22&#39;&quot;""",
    "control": "a\tb\nc\x0bd\x1fe\x7f\u2028f\u0000g",
    "address": "javascript:alert(1)//../..//%2e%2e/?a=b&c=d#e",
    "mark": "~0123456789",
    "long": "w" * LONG,
    "long markup": '<i title="' * (LONG // 10),
    "wide": "ﷺ" * LONG,
}
WEIGHT = 1_000_000  # bytes of a page
KINDS = ("dataset", "item", "label", "other", "annotation", "prediction", "key", "value", "model", "run", "slice")
Texts = dict[str, str]


def text_for(kind: str, text: str) -> str:
    """Text that is told apart by what it names."""
    return f"{kind} {text}"


@dataclass
class HostileSite:
    """A store in which everything that has a name has a hostile one."""

    client: npd.NucleusClient
    visitor: Visitor
    dataset: npd.Dataset
    run: npd.ModelRun
    other: npd.ModelRun
    names: Texts

    @property
    def pages(self) -> dict[str, str]:
        """The addresses of every kind of page."""
        grid, run = f"/datasets/{self.dataset.id}", f"/runs/{self.run.id}"
        key = self.dataset.items.to_frame().index[0]
        return {
            "datasets": "/",
            "grid": f"{grid}?run={self.run.id}",
            "runs": f"{grid}/runs",
            "slices": f"{grid}/slices",
            "image": f"{grid}/items/{key}?run={self.run.id}",
            "run": run,
            "run by labels": f"{run}?sort=label",
            "examples": f"{run}/examples?match=FP",
            "compare": f"/compare?run={self.run.id}&run={self.other.id}",
        }

    def query(self, path: str, **asked: str) -> str:
        return f"{path}?{urlencode(asked)}"


def store_hostile_names(folder: Path, text: str) -> HostileSite:
    names = {kind: text_for(kind, text) for kind in KINDS}
    nucleus = EmbeddedNucleus(folder)
    client = npd.NucleusClient.local(folder)
    dataset = client.create_dataset(names["dataset"])
    items = [
        {
            "reference_id": f"{names['item']} {number}",
            "image_url": "https://example.org/a.png",
            "metadata": {names["key"]: names["value"], "nested": {names["key"]: [names["value"]]}},
        }
        for number in range(3)
    ]
    dataset.append(items)
    boxes = [
        {
            "type": "box",
            "reference_id": item["reference_id"],
            "annotation_id": f"{names['annotation']} {number}",
            "label": names["label"] if number % 2 else names["other"],
            "geometry": {"x": 20 * number, "y": 5, "width": 15, "height": 15},
            "metadata": {names["key"]: names["value"]},
        }
        for item in items
        for number in range(4)
    ]
    dataset.annotate(boxes)
    model = client.add_model(names["model"], reference_id="model")
    runs = []
    for shift in (0, 6):
        run = dataset.create_model_run(model, name=names["run"])
        guesses = [
            {
                **box,
                "annotation_id": box["annotation_id"].replace("annotation", "prediction", 1),
                "label": names["label"],
                "confidence": 0.5,
                "geometry": {**box["geometry"], "x": box["geometry"]["x"] + shift},
            }
            for box in boxes
        ]
        run.predict(guesses)
        run.commit()
        runs.append(run)
    dataset.create_slice(names["slice"], [item["reference_id"] for item in items[:2]])
    return HostileSite(client, Visitor(nucleus), dataset, *runs, names)


@pytest.fixture(scope="module")
def tame(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileSite]:
    made = store_hostile_names(tmp_path_factory.mktemp("tame"), "thing")
    with closing(made.client):
        yield made
    made.visitor.http.application.extensions["nucleus"].close()


@pytest.fixture(scope="module", params=HOSTILE)
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileSite]:
    made = store_hostile_names(tmp_path_factory.mktemp("hostile"), HOSTILE[request.param])
    with closing(made.client):
        yield made
    made.visitor.http.application.extensions["nucleus"].close()


def bones(page: Node) -> Counter[tuple[str, ...]]:
    """The elements of a page with the names of their attributes."""
    return Counter((node.tag, *sorted(node.attributes)) for node in page.all())


def seen(text: str) -> str:
    """What a parser of HTML makes of a text, with single spaces; what HTML has no place for is replaced."""
    return " ".join(re.sub("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "\ufffd", text).split())


PAGES = ("datasets", "grid", "runs", "slices", "image", "run", "run by labels", "examples", "compare")


@pytest.mark.parametrize("page", PAGES)
def test_no_name_becomes_an_element_or_an_attribute(hostile: HostileSite, tame: HostileSite, page: str) -> None:
    ours, theirs = (bones(one.visitor.get(one.pages[page])) for one in (hostile, tame))
    if len(hostile.names["label"]) > 1_000:  # such names are not offered to filter by
        ours["option", "value"], theirs["option", "value"] = 0, 0
    assert ours == theirs


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_heavy(hostile: HostileSite, page: str) -> None:
    assert len(hostile.visitor.ask(hostile.pages[page]).data) < WEIGHT


SHOWN = {
    "datasets": ("dataset",),
    "grid": ("dataset", "item"),
    "runs": ("dataset", "run", "model"),
    "slices": ("dataset", "slice"),
    "run": ("run", "model", "label", "other"),
    "compare": ("run", "label", "other"),
    "examples": ("run", "model"),
}


@pytest.mark.parametrize("page", SHOWN)
def test_every_name_is_shown_as_text(hostile: HostileSite, page: str) -> None:
    text = hostile.visitor.get(hostile.pages[page]).text
    for kind in SHOWN[page]:
        assert seen(hostile.names[kind][:50]) in text


def test_a_image_shows_its_texts_in_full(hostile: HostileSite) -> None:
    page = hostile.visitor.get(hostile.pages["image"])
    assert seen(f"{hostile.names['item']} 0"[: LONG - 1]) in page.one("h1").text
    pairs = {row.one("dt").text: row.one("dd").text for row in page.one("dl").all("div")}
    assert pairs[seen(hostile.names["key"])] == seen(hostile.names["value"])
    for row, kind in ((page.all("tr", tabindex="0")[1], "annotation"), (page.all("tr", tabindex="0")[5], "prediction")):
        assert seen(hostile.names[kind][:1000]) in row.one("td", "id").text
        assert seen(hostile.names["label"][:1000]) in row.one("span", "label").text
        assert seen(hostile.names["key"][:1000]) in row.one("span", "row-metadata").text


def test_marks_of_direction_turn_nothing_else(hostile: HostileSite) -> None:
    marks = re.compile("[\u202a-\u202e\u2066\u2067\u200f\u061c]")
    for page in PAGES:
        for node in hostile.visitor.get(hostile.pages[page]).all():
            texts = [(text, node.tag == "bdi") for text in node.children if isinstance(text, str)]
            texts += [(node.attributes[name], False) for name in ("aria-label", "title") if name in node.attributes]
            for text, alone in texts:
                outside = re.sub("\u2068.*\u2069", "", text, flags=re.DOTALL)
                assert alone or not marks.search(outside), (page, node.tag, text)


def test_every_address_on_a_page_leads_somewhere(hostile: HostileSite) -> None:
    for page in PAGES:
        for link in hostile.visitor.get(hostile.pages[page]).all("a"):
            address = link["href"]
            assert address == "#main" or address.startswith("/")
            assert not address.startswith("//")
            assert len(address) < 2_000
    for page in ("run", "compare", "grid"):
        shown = hostile.visitor.get(hostile.pages[page])
        for address in sorted({link["href"] for link in shown.all("a")} - {"#main"}):
            assert hostile.visitor.ask(address).status_code == 200, address


def test_cells_with_hostile_labels_open_their_examples(hostile: HostileSite) -> None:
    page = hostile.visitor.get(f"/runs/{hostile.run.id}")
    cells = [(cell.text, cell.one("a")["href"]) for cell in page.one("table", "matrix").all("td") if cell.text]
    assert sorted(count for count, _ in cells) == ["6", "6"]
    for count, address in cells:
        examples = hostile.visitor.get(address)
        assert len(ids_on(examples)) == int(count)
        assert len(run_line(hostile.client, lines(examples)[0])) == int(count)


def test_filters_find_hostile_names(hostile: HostileSite) -> None:
    grid = f"/datasets/{hostile.dataset.id}"
    every = hostile.dataset.items.to_frame().index.tolist()
    asked: dict[str, Callable[[], str]] = {
        "label": lambda: hostile.query(grid, label=hostile.names["label"]),
        "metadata": lambda: hostile.query(grid, key=hostile.names["key"], value=hostile.names["value"]),
    }
    if "\0" in hostile.names["key"]:  # where SQLite ends texts in JSON
        del asked["metadata"]
    for address in asked.values():
        page = hostile.visitor.get(address())
        assert ids_on(page) == every
        assert len(hostile.visitor.ask(address()).data) < WEIGHT
    page = hostile.visitor.get(asked["label"]())
    assert page.one("input", name="label")["value"] == hostile.names["label"].replace("\0", "\ufffd")


def test_lines_of_python_hold_nothing_that_python_would_run(hostile: HostileSite) -> None:
    for page in PAGES:
        for line in lines(hostile.visitor.get(hostile.pages[page])):
            assert line.isascii()
            run_line(hostile.client, line)


def test_a_slice_takes_a_hostile_name(hostile: HostileSite) -> None:
    form = hostile.visitor.get(f"/datasets/{hostile.dataset.id}").one("form", method="post")
    token = form.one("input", name="token")["value"]
    name = f"made {hostile.names['slice'][:900]}".strip()
    key = hostile.dataset.items.to_frame().index[0]
    hostile.visitor.post(form["action"], token=token, name=name, what="selected", item=key)
    made = hostile.dataset.slices[-1]
    assert (made.name, made.to_frame().index.tolist()) == (name, [key])
    assert "has a slice" in hostile.visitor.post(form["action"], 409, token=token, name=name, item=key).text
    hostile.client.delete_slice(made)


@pytest.mark.parametrize("text", [text[:200] for text in HOSTILE.values()], ids=list(HOSTILE))
@pytest.mark.parametrize("name", ["run", "slice", "match", "iou", "op", "query", "at", "start", "confidence_from"])
def test_what_is_asked_for_is_told_as_text(tame: HostileSite, name: str, text: str) -> None:
    response = tame.visitor.ask(tame.query(f"/datasets/{tame.dataset.id}", **{name: text}))
    assert response.status_code in (200, 400, 404)
    assert "<img src=x" not in response.text
    assert "<script>" not in response.text
    for path in ("/datasets/", "/runs/", "/slices/", "/nothing/"):
        answer = tame.visitor.ask(path + quote(text, safe=""), headers={"Accept": "text/html"})
        assert answer.status_code in (400, 404)
        assert "<img src=x" not in answer.text


def test_a_crowd_of_long_names_fits_on_its_pages(store: Path) -> None:
    nucleus = EmbeddedNucleus(store)
    visitor = Visitor(nucleus)
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Crowd")
        names = [f"{number}-" + "n" * LONG for number in range(60)]
        url = "https://example.org/a.png"
        dataset.append(
            [{"reference_id": name, "image_url": url, "metadata": {name: name, f"{name}2": [name]}} for name in names]
        )
        box: dict[str, Any] = {"type": "box", "geometry": {"x": 1.25, "y": 2.5, "width": 30.125, "height": 40.5}}
        dataset.annotate(
            [
                {**box, "reference_id": names[0], "label": names[n % 60], "annotation_id": f"{n}{'i' * 300}"}
                for n in range(3_000)
            ]
        )
        dataset.annotate([{**box, "reference_id": name, "label": names[3]} for name in names[1:]])
        run = dataset.create_model_run(client.add_model("m" * LONG, "m"), name="r" * LONG)
        run.predict(
            [
                {
                    **box,
                    "reference_id": names[0],
                    "label": names[n * 7 % 60],
                    "annotation_id": f"{n}",
                    "confidence": 0.5,
                }
                for n in range(3_000)
            ]
        )
        run.commit()
        key = dataset.items.to_frame().index[0]
        grid = f"/datasets/{dataset.id}"
        for path in (
            grid,
            f"{grid}?run={run.id}",
            f"{grid}/items/{key}?run={run.id}",
            f"/runs/{run.id}",
            f"/runs/{run.id}/examples?match=FP",
            f"/compare?run={run.id}&run={run.id}",
        ):
            response = visitor.ask(path)
            assert response.status_code in (200, 400)
            assert len(response.data) < WEIGHT, path
    nucleus.close()
