"""What stands in a gallery."""

from __future__ import annotations

import io
from base64 import b64decode
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import pandas as pd
from PIL import Image

import nucleus_pandas as npd

VOID = {"img", "meta"}


HOSTILE = (
    "\"><script>alert(1)</script><img src=x onerror=alert(2)>'`{{7*7}}&amp;\u202egnp.exe\u2069\u200f\u05e9"
    + "x" * 5_000
)


@dataclass
class Node:
    """An element, or a text."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    own: str = ""

    def all(self, tag: str, **attributes: str) -> list[Node]:
        found = [child for child in self.children if child.tag == tag and child.fits(attributes)]
        for child in self.children:
            found += child.all(tag, **attributes)
        return found

    def fits(self, wanted: dict[str, str]) -> bool:
        return all(
            value in self.attributes.get(name.rstrip("_").replace("_", "-"), "").split()
            for name, value in wanted.items()
        )

    @property
    def text(self) -> str:
        return self.own + "".join(child.text for child in self.children)


class Tree(HTMLParser):
    """HTML as browsers read it, as far as a gallery has it; whatever is not closed in its order fails."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("root")]
        self.feed(html)
        self.close()
        assert [node.tag for node in self.open] == ["root"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(Node("", own=data))


def parsed(gallery: npd.Gallery) -> Node:
    return Tree(gallery.html).open[0]


def tiles(gallery: npd.Gallery) -> list[Node]:
    return parsed(gallery).all("figure")


def names(gallery: npd.Gallery) -> list[str]:
    return [tile.all("bdi", class_="npd-name")[0].attributes["title"] for tile in tiles(gallery)]


def boxes(tile: Node) -> list[list[float]]:
    """Each box as it is drawn; below the coloured line lies a white one."""
    rects = [rect for group in tile.all("g") if "stroke-width" in group.attributes for rect in group.all("rect")]
    found = [[float(rect.attributes[side]) for side in ("x", "y", "width", "height")] for rect in rects]
    assert found[::2] == found[1::2]
    return found[::2]


def tooltips(tile: Node) -> list[str]:
    """What a pointer finds on each box."""
    return [title.text for title in tile.all("title")]


def dashed(tile: Node) -> list[bool]:
    return ["stroke-dasharray" in group.attributes for group in tile.all("g", stroke_width="1.75")]


def written(tile: Node) -> list[str]:
    return [text.text for text in tile.all("text")]


def legend(gallery: npd.Gallery) -> list[str]:
    return [entry.text for entry in parsed(gallery).all("li")]


def inlined(tile: Node) -> Image.Image:
    source = tile.all("img")[0].attributes["src"]
    assert source.startswith("data:image/jpeg;base64,")
    return Image.open(io.BytesIO(b64decode(source.partition(",")[2])))


def boxed(*ids: str, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"reference_id": ids, "label": "car", "x": 4.0, "y": 6.0, "width": 20.0, "height": 30.0}
    ).assign(**columns)
