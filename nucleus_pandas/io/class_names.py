"""The names of classes, which YOLO's label files only number."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io.files import Faults, read_text

NamesSource: TypeAlias = str | os.PathLike[str] | Sequence[str] | Mapping[int, str]
"""The path of a names file, or the names in the order of their numbers, or by their numbers."""

_USUAL = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", "classes.txt", "obj.names")
_SAY = "Give the names in their order: names=['person', 'cat', …], or the path of a file with one name a line."


def names_from(source: NamesSource) -> dict[int, str]:
    """Take names of classes by their numbers.

    Raises
    ------
    InvalidInputError
        A name is no text, or the file is not simple enough to be read without a YAML library.
    """
    if isinstance(source, (str, os.PathLike)):
        return read_names(Path(source).expanduser())
    pairs = list(source.items() if isinstance(source, Mapping) else enumerate(source))
    for number, name in pairs:
        if not isinstance(name, str) or not name or isinstance(number, bool) or not isinstance(number, int):
            raise InvalidInputError(
                f"names= has {name!r} for class {number!r}; names are texts by whole numbers.", argument="names"
            )
    return dict(pairs)


def find_names(labels: Path) -> Path:
    """Find the names file that belongs to a folder of labels: in it, or up to two folders above."""
    for folder in (labels, *labels.resolve().parents[:2]):
        found = [folder / name for name in _USUAL if (folder / name).is_file()]
        found += [path for path in sorted(folder.glob("*.names")) if path not in found]
        if len(found) == 1:
            return found[0]
        if found:
            there = ", ".join(path.name for path in found)
            raise InvalidInputError(
                f"{folder} holds several files of names ({there}). Name the right one by names=.", argument="names"
            )
    raise InvalidInputError(
        f"{labels}: the labels are numbers, and no file of names ({', '.join(_USUAL)}) is in it or above it. {_SAY}",
        argument="names",
    )


def read_names(path: Path) -> dict[int, str]:
    """Read a names file: one name a line, or the ``names`` of a data.yaml."""
    text = read_text(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return yaml_names(text, str(path))
    lines = [line.strip() for line in text.split("\n")]
    return {number: line for number, line in enumerate(lines) if line}


def yaml_names(text: str, source: str) -> dict[int, str]:
    r"""Read the ``names`` of a data.yaml: a list or a mapping, in lines of their own or in brackets.

    Raises
    ------
    InvalidInputError
        They are written in another way, or there is no such key.

    Examples
    --------
    >>> yaml_names("nc: 2\nnames:\n  0: person  # a comment\n  1: 'traffic light'\n", "data.yaml")
    {0: 'person', 1: 'traffic light'}
    >>> yaml_names("names: [person, cat]", "data.yaml")
    {0: 'person', 1: 'cat'}
    """
    faults = Faults(source)
    lines = text.replace("\r\n", "\n").split("\n")
    if any(re.match(r"kpt_shape\s*:", line) for line in lines):
        raise faults.error("kpt_shape", "is there: these are labels of poses, and read_yolo reads boxes and polygons.")
    start = next((at for at, line in enumerate(lines) if re.match(r"names\s*:", line)), None)
    if start is None:
        raise faults.error("", f"there is no 'names:' in it. {_SAY}")
    rest = lines[start].partition(":")[2].strip()
    try:
        if rest[:1] in ("[", "{"):
            names = _in_brackets("\n".join([rest, *lines[start + 1 :]]))
        elif not rest or rest.startswith("#"):
            names = _in_lines(lines[start + 1 :])
        else:
            raise ValueError(f"{rest!r} is neither a list nor a mapping")
    except ValueError as error:
        raise faults.error("names", f"cannot be read without a YAML library ({error}). {_SAY}") from None
    return names


def _in_lines(lines: Sequence[str]) -> dict[int, str]:
    names: dict[int, str] = {}
    depth: int | None = None
    for line in lines:
        body = line.strip()
        if not body or body.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip(" "))
        is_item = body.startswith("- ") or body == "-"
        if indent == 0 and not is_item:
            break  # the next key
        if depth is None:
            depth = indent
        if indent != depth or line[indent : indent + 1] == "\t":
            raise ValueError(f"{line!r} is indented otherwise than the line before")
        if is_item:
            _add(names, len(names), *_scalar(body[1:].lstrip(), ""))
            continue
        key, rest = _scalar(body, ":")
        if not rest.startswith(":"):
            raise ValueError(f"{body!r} is neither '- name' nor 'number: name'")
        _add(names, _number(key), *_scalar(rest[1:].lstrip(), ""))
    return names


def _add(names: dict[int, str], number: int, name: str, rest: str) -> None:
    if rest.strip() and not rest.lstrip().startswith("#"):
        raise ValueError(f"{rest.strip()!r} follows {name!r}")
    if number in names:
        raise ValueError(f"class {number} has two names")
    if not name:
        raise ValueError(f"class {number} has no name")
    names[number] = name


def _number(key: str) -> int:
    if not key.isascii() or not key.isdigit():
        raise ValueError(f"{key!r} is no number of a class")
    return int(key)


def _in_brackets(text: str) -> dict[int, str]:
    closing = "]" if text[0] == "[" else "}"
    names: dict[int, str] = {}
    rest = _skipped(text[1:])
    while not rest.startswith(closing):
        first, rest = _scalar(rest, ":,[]{}" if closing == "}" else ",[]{}")
        rest = _skipped(rest)
        if closing == "]":
            number, name = len(names), first
        else:
            if not rest.startswith(":"):
                raise ValueError(f"{first!r} has no name")
            number = _number(first)
            name, rest = _scalar(_skipped(rest[1:]), ",[]{}")
            rest = _skipped(rest)
        _add(names, number, name, "")
        if rest.startswith(","):
            rest = _skipped(rest[1:])
        elif not rest.startswith(closing):
            raise ValueError("a bracket or a comma is missing")
    return names


def _skipped(text: str) -> str:
    """Leave out white space and comments."""
    return re.sub(r"\A(?:\s+|#[^\n]*)+", "", text)


_ESCAPES = {"0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b"}
_ESCAPES |= {each: each for each in ' "/\\'} | {"N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029"}


def _scalar(text: str, ends: str) -> tuple[str, str]:
    """Take a text, quoted or not, up to one of some characters or the end of the line, and what follows it."""
    if text[:1] == "'":
        found = re.match(r"'((?:[^'\n]|'')*)'", text)
        if not found:
            raise ValueError("a quotation mark is missing")
        return found[1].replace("''", "'"), text[found.end() :]
    if text[:1] == '"':
        found = re.match(r'"((?:[^"\\\n]|\\.)*)"', text)
        if not found:
            raise ValueError("a quotation mark is missing")
        return re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", _unescaped, found[1]), text[
            found.end() :
        ]
    if text[:1] and text[0] in "&*!|>%@`[]{},?":
        raise ValueError(f"{text.splitlines()[0]!r} is more than a plain text")
    stop = next((at for at, letter in enumerate(text) if letter in "\n" + ends or text[at : at + 2] == " #"), len(text))
    value = text[:stop].strip()
    if ": " in value or value.endswith(":"):
        raise ValueError(f"{value!r} is a mapping")
    return value, text[stop:]


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    if code not in _ESCAPES:
        raise ValueError(f"\\{code} is no escape")
    return _ESCAPES[code]


def as_yaml(names: Sequence[str]) -> str:
    """Write names as a mapping in YAML, which any YAML library reads."""
    lines = [f"  {number}: {_quoted(name)}" for number, name in enumerate(names)]
    return "\n".join(["names:" if lines else "names: {}", *lines, ""])


def _quoted(name: str) -> str:
    """Quote a text; what YAML does not show as it is (control characters, other line ends) is escaped."""
    return re.sub(
        "[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]",
        lambda found: f"\\u{ord(found[0]):04x}",
        json.dumps(name, ensure_ascii=False),
    )
