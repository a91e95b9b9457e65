"""XML without its dangers: elements, their attributes and their text, and nothing that is fetched or expanded.

Entities and what is fetched from elsewhere are declared in a document type, so a file that has one is refused before
it is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io.files import text_of

Element = ElementTree.Element

_DEEPEST = 30  # levels of elements
_ENCODING = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._-]*)[\"']")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


def parse_xml(path: Path) -> Element:
    """Parse a file.

    Raises
    ------
    InvalidInputError
        It is empty, no XML, too deep, or has a document type.
    """
    data = path.read_bytes()
    if not data.strip():
        raise InvalidInputError(f"{path} is empty. Export it again.")
    declared = _ENCODING.match(data.lstrip())
    text = text_of(data, str(path), declared[1].decode() if declared else "utf-8")
    # What is searched here is what is parsed below, whatever encoding the file declares; without a NUL the parser takes
    # nothing for UTF-16.
    if "\0" in text:
        raise InvalidInputError(f"{path} is no XML: it holds a NUL character. Save it as UTF-8.")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InvalidInputError(
            f"{path} has a document type (<!DOCTYPE …>), which can make a parser read other files or fill the memory; "
            "annotations need none. Remove it if you trust the file."
        )
    try:
        root = ElementTree.fromstring(text.strip(), ElementTree.XMLParser(encoding="utf-8"))
    except (ElementTree.ParseError, ValueError) as error:
        raise InvalidInputError(f"{path} is no XML: {error}. Is it whole? Export it again.") from None
    level = [root]
    for _ in range(_DEEPEST):
        level = [child for element in level for child in element]
        if not level:
            return root
    raise InvalidInputError(f"{path} is nested more than {_DEEPEST} levels deep, which annotations are not.")


def value_of(element: Element) -> Any:
    """Return an element as JSON can hold it, white space around texts apart.

    A text where it has neither children nor attributes, else a dict of its children, where those that repeat are a
    list, its attributes (``@name``) and its text (``#text``).

    Examples
    --------
    >>> value_of(ElementTree.fromstring("<a><b>1</b><c k='v'>x</c><d>2</d><d>3</d></a>"))
    {'b': '1', 'c': {'@k': 'v', '#text': 'x'}, 'd': ['2', '3']}
    """
    text = (element.text or "").strip()
    found: dict[str, Any] = {f"@{name}": value for name, value in element.attrib.items()}
    for child in element:
        value = value_of(child)
        if child.tag not in found:
            found[child.tag] = value
        elif isinstance(found[child.tag], list):
            found[child.tag].append(value)
        else:
            found[child.tag] = [found[child.tag], value]
    if not found:
        return text
    return found | ({"#text": text} if text else {})


def document(root: str, value: Any) -> bytes:
    """Write a dict as `value_of` gives them as a whole file."""
    return ("\n".join(_lines(root, value, "")) + "\n").encode()


def _lines(name: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _lines(name, each, indent)
        return
    if not isinstance(value, dict):
        yield f"{indent}<{name}>{_text(value)}</{name}>" if value not in ("", None) else f"{indent}<{name}/>"
        return
    attributes = "".join(f' {key[1:]}="{_text(each)}"' for key, each in value.items() if key[0] == "@")
    children = {key: each for key, each in value.items() if key[0] not in "@#"}
    text = _text(value.get("#text", ""))
    if not children:
        yield f"{indent}<{name}{attributes}>{text}</{name}>"
        return
    yield f"{indent}<{name}{attributes}>{text}"
    for key, each in children.items():
        yield from _lines(key, each, indent + "\t")
    yield f"{indent}</{name}>"


def _text(value: Any) -> str:
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return escape(text, {'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


def unwritable(value: Any) -> str | None:
    r"""Return why XML cannot hold a value so that `value_of` gives it back; None if it can.

    Examples
    --------
    >>> unwritable({"pose": "Left"}) is None, unwritable("a\x00")
    (True, "holds the character '\\x00', which XML cannot")
    """
    if isinstance(value, dict):
        for key, part in value.items():
            if not _NAME.fullmatch(key.removeprefix("@")) and key != "#text":
                return f"has the key {key!r}, which is no name of an XML element"
            if (reason := unwritable(part)) is not None:
                return reason
        return None
    if isinstance(value, list):
        return next((reason for reason in map(unwritable, value) if reason is not None), None)
    if isinstance(value, str):
        if found := _FORBIDDEN.search(value):
            return f"holds the character {found[0]!r}, which XML cannot"
        if value != value.strip():
            return "has white space around it, which XML does not keep"
    return None
