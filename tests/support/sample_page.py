"""A store and its page, asked without a browser."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pandas as pd
from flask.testing import FlaskClient

import nucleus_pandas as npd
from nucleus_pandas import sample
from nucleus_pandas.server.app import create_app
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.factories import SIDES
from tests.support.html_tree import Node, parse

HOST = "http://127.0.0.1"
DASH = "\N{EN DASH}"


class Visitor:
    """Somebody who looks at the page of a store, with a cookie jar of their own."""

    def __init__(self, nucleus: EmbeddedNucleus, **options: Any) -> None:
        self.http: FlaskClient = create_app(nucleus, **options).test_client()

    def ask(self, path: str, method: str = "GET", **options: Any) -> Any:
        """Send a request; the path may be a whole address."""
        return self.http.open(path, method=method, base_url=HOST, buffered=True, **options)

    def get(self, path: str, status: int = 200) -> Node:
        """Look at a page."""
        response = self.ask(path)
        assert response.status_code == status, response.text
        assert response.content_type == "text/html; charset=utf-8"
        return parse(response.text)

    def post(self, path: str, status: int = 303, **fields: Any) -> Any:
        """Send a form."""
        response = self.ask(path, "POST", data=fields)
        assert response.status_code == status, response.text
        return response

    def token(self, path: str = "/login") -> str:
        """Return the token that the forms of a page carry."""
        return self.get(path).all("input", name="token")[0]["value"]


@dataclass
class SampleSite:
    """The packaged sample in a store: its page, and a client of the same store.

    The runs: a careful detector whose labels had to be equal, and an eager and a careful one whose labels need not be.
    """

    client: npd.NucleusClient
    visitor: Visitor
    dataset: npd.Dataset
    runs: list[npd.ModelRun]

    def __post_init__(self) -> None:
        self.items = self.dataset.items.to_frame()
        self.truth = self.dataset.annotations.to_frame()
        self.grid = f"/datasets/{self.dataset.id}"

    @property
    def nucleus(self) -> EmbeddedNucleus:
        """The store behind the page."""
        made: EmbeddedNucleus = self.visitor.http.application.extensions["nucleus"]
        return made

    def get(self, path: str, status: int = 200, **asked: Any) -> Node:
        """Look at a page."""
        return self.visitor.get(f"{path}?{urlencode(asked, doseq=True)}" if asked else path, status)

    def shown(self, **asked: Any) -> list[str]:
        """Return the ids of all images that a filter finds, from page to page."""
        found: list[str] = []
        page = self.get(self.grid, **asked)
        while True:
            found += ids_on(page)
            following = page.all("a", rel="next")
            if not following:
                return found
            page = self.get(following[0]["href"])

    def ids(self, reference_ids: Iterable[str]) -> list[str]:
        """Return the ids of images in their order."""
        wanted = set(reference_ids)
        return [key for key, name in self.items["reference_id"].items() if name in wanted]


def store_sample(folder: Any) -> SampleSite:
    """Create the sample's store and its page; both the store and the client are to be closed."""
    client = npd.NucleusClient.local(folder)
    dataset = client.create_dataset("Sample")
    dataset.append(sample.items())
    dataset.annotate(sample.ground_truth())
    runs = []
    for name, agnostic in (("careful", False), ("eager", True), ("careful", True)):
        run = dataset.create_model_run(client.add_model(f"{name} detector", reference_id=name))
        run.predict(sample.detections(name))
        run.commit(class_agnostic=agnostic)
        runs.append(run)
    return SampleSite(client, Visitor(EmbeddedNucleus(folder)), dataset, runs)


def run_line(client: npd.NucleusClient, line: str) -> Any:
    """Run a line of Python that a page shows."""
    return eval(line, {"client": client})  # it is ours


def lines(page: Node) -> list[str]:
    """Return the lines of Python on a page."""
    return [block.one("code").text for block in page.all(cls="python")]


def last_segment(link: Node) -> str:
    """Return the id that an address ends with."""
    return urlsplit(link["href"]).path.split("/")[-1]


def asked_by(link: Node) -> dict[str, str]:
    """Return what an address asks for."""
    return dict(parse_qsl(urlsplit(link["href"]).query))


def ids_on(page: Node) -> list[str]:
    """Return the ids of the images on a page."""
    return [last_segment(link) for link in page.all("a", "card-link")]


def place_on(page: Node) -> str:
    """Return what a page of the grid says of its place."""
    return page.all(cls="pages-here")[0].text


def boxes_of(figure: Node) -> list[tuple[float, ...]]:
    """Return boxes that are drawn, in pixels of the image."""
    return [tuple(float(rect[side]) for side in SIDES) for rect in figure.all("rect", "s")]


def sides(frame: pd.DataFrame) -> list[tuple[float, ...]]:
    """Return the boxes of a frame."""
    return [tuple(row) for row in frame[SIDES].to_numpy().tolist()]


def layer_of(page: Node, place: int) -> Node:
    """Return the shapes of a layer of an image."""
    return next(group for group in page.one(id="stage").all("g", f"layer-{place}") if "layer" in group.classes)


def rows_of(page: Node, place: int) -> list[Node]:
    """Return the rows of a layer beside an image."""
    return page.one("section", f"layer-{place}").all("tr", tabindex="0")


def pages_of(sample_site: SampleSite) -> list[str]:
    """Return the addresses of all kinds of pages."""
    run, other = sample_site.runs[1].id, sample_site.runs[2].id
    return [
        "/",
        sample_site.grid,
        f"{sample_site.grid}?run={run}&match=FP&label=car",
        f"{sample_site.grid}?query=annotations.car+%3E%3E+1",
        f"{sample_site.grid}/items/{sample_site.items.index[2]}?run={run}",
        f"{sample_site.grid}/runs",
        f"{sample_site.grid}/slices",
        f"/runs/{run}",
        f"/runs/{run}/examples?match=FP",
        f"/runs/{run}/examples?match=misplaced&iou=0.8",
        f"/compare?run={run}&run={other}",
    ]
