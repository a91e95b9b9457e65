"""HTML as a tree, to look things up in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "img", "br", "hr"}
INLINE = {"a", "bdi", "b", "code", "kbd", "label", "option", "output", "small", "span", "time"}


@dataclass
class Node:
    """An element: its tag, its attributes, and its children in their order, texts among them."""

    tag: str
    attributes: dict[str, str]
    children: list[Node | str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    @property
    def text(self) -> str:
        """What stands in it, with single spaces."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child._texts()
                yield "" if child.tag in INLINE else " "

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    def all(self, tag: str | None = None, cls: str | None = None, **attributes: str) -> list[Node]:
        """Find elements below, by tag, class and attributes; of an attribute's name ``-`` is written ``_``."""
        return list(self._all(tag, cls, attributes))

    def _all(self, tag: str | None, cls: str | None, attributes: dict[str, str]) -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, str):
                continue
            wanted = {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
            fits = tag in (None, child.tag) and (cls is None or cls in child.classes)
            if fits and all(child.attributes.get(name) == value for name, value in wanted.items()):
                yield child
            yield from child._all(tag, cls, attributes)

    def one(self, tag: str | None = None, cls: str | None = None, **attributes: str) -> Node:
        found = self.all(tag, cls, **attributes)
        assert len(found) == 1, f"{len(found)} elements are {tag} {cls} {attributes}"
        return found[0]


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        assert len(node.attributes) == len(attrs), f"an attribute of {tag} stands twice"
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(html: str) -> Node:
    """Read a page; elements that are not closed in their order fail."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    assert builder.open == [builder.root], f"<{builder.open[-1].tag}> is not closed"
    return builder.root
