"""XML without its dangers: elements, attributes and text; nothing is fetched or expanded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import defusedxml.ElementTree
from defusedxml import DTDForbidden

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
        The file is empty, not XML, nested too deeply, or has a document type.
    """
    data = path.read_bytes()
    if not data.strip():
        raise InvalidInputError(f"{path} is empty. Export it again.")
    declared = _ENCODING.match(data.lstrip())
    # Expat reads data with NUL characters as UTF-16 in any case. That hides nothing: the parser itself finds document
    # types, in the encoding that it uses.
    text = text_of(data, str(path), declared[1].decode() if declared else "utf-8")
    try:
        root: Element = defusedxml.ElementTree.fromstring(text.strip(), forbid_dtd=True)
    except DTDForbidden:
        raise InvalidInputError(
            f"{path} has a document type (<!DOCTYPE …>), which can make a parser read other files or fill the memory; "
            "annotations need none. Remove it if you trust the file."
        ) from None
    except (ElementTree.ParseError, ValueError) as error:
        raise InvalidInputError(
            f"{path} is not valid XML: {error}. Is it complete, and in UTF-8? Export it again."
        ) from None
    level = [root]
    for _ in range(_DEEPEST):
        level = [child for element in level for child in element]
        if not level:
            return root
    raise InvalidInputError(f"{path} is nested more than {_DEEPEST} levels deep, which annotations are not.")


def value_of(element: Element) -> Any:
    """Return an element as JSON can hold it, without white space around its text.

    A string where it has neither children nor attributes, else a dict of its children, where those that repeat are a
    list, its attributes (``@name``) and its text (``#text``).

    Examples
    --------
    >>> value_of(ElementTree.fromstring("<a><b>1</b><c k='v'>x</c><d>2</d><d>3</d></a>"))
    {'b': '1', 'c': {'@k': 'v', '#text': 'x'}, 'd': ['2', '3']}
    """
    text = (element.text or "").strip()
    parts: dict[str, Any] = {f"@{name}": value for name, value in element.attrib.items()}
    for child in element:
        value = value_of(child)
        if child.tag not in parts:
            parts[child.tag] = value
        elif isinstance(parts[child.tag], list):
            parts[child.tag].append(value)
        else:
            parts[child.tag] = [parts[child.tag], value]
    if not parts:
        return text
    return parts | ({"#text": text} if text else {})


def document(root: str, value: Any) -> bytes:
    """Write a dict, in the form that `value_of` returns, as an XML document."""
    element = _element(root, value)
    ElementTree.indent(element, "\t")
    # In attributes line ends are escaped; in texts a carriage return would be read as a line feed.
    text = ElementTree.tostring(element, encoding="unicode").replace("\r", "&#13;")
    return f"{text}\n".encode()


def _element(name: str, value: Any) -> Element:
    element = Element(name)
    if not isinstance(value, dict):
        element.text = _string(value) or None
        return element
    for key, part in value.items():
        if key == "#text":
            element.text = _string(part)
        elif key[0] == "@":
            element.set(key[1:], _string(part))
        else:
            element.extend(_element(key, each) for each in (part if isinstance(part, list) else [part]))
    return element


def _string(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def unwritable(value: Any) -> str | None:
    r"""Return why a value does not survive XML and `value_of`; None if it does.

    Examples
    --------
    >>> unwritable({"pose": "Left"}) is None, unwritable("a\x00")
    (True, "holds the character '\\x00', which XML cannot")
    """
    if isinstance(value, dict):
        for key, part in value.items():
            if not _NAME.fullmatch(key.removeprefix("@")) and key != "#text":
                return f"has the key {key!r}, which cannot name an XML element"
            if (reason := unwritable(part)) is not None:
                return reason
        return None
    if isinstance(value, list):
        return next((reason for reason in map(unwritable, value) if reason is not None), None)
    if isinstance(value, str):
        if forbidden := _FORBIDDEN.search(value):
            return f"holds the character {forbidden[0]!r}, which XML cannot"
        if value != value.strip():
            return "has white space around it, which is not kept in XML"
    return None
