"""Docstrings, messages and templates say things in the terms of the field."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nucleus_pandas as npd

PACKAGE = Path(npd.__file__).parent
BANNED = re.compile(
    r"\b(pictures?|lest|whence|hence|told(?! apart)|(?<!connection was )(?<!connection )refuse[sd]?(?!-existing)|"
    r"goes on|looks? at|of this machine|is none of)\b",
    re.IGNORECASE,
)
OPENINGS = re.compile(r"(Give|Gives|Tell|Tells|Say|Says|Whether|Take|Look|Note|Make|Let|Have|Part) ")


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return all strings of a module with their lines: docstrings and messages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_strings_are_written_in_the_terms_of_the_field(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    hits = [f"{line}: {found[0]!r} in {text[:80]!r}" for line, text in texts(tree) if (found := BANNED.search(text))]
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            docstring = ast.get_docstring(node) or ""
            if OPENINGS.match(docstring):
                hits.append(f"{node.lineno}: {docstring.splitlines()[0]!r}")
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.html")), ids=lambda path: path.name)
def test_templates_are_written_in_the_terms_of_the_field(path: Path) -> None:
    text = re.sub(r"{[{%#].*?[}%#]}|<[^>]*>", " ", path.read_text("utf-8"), flags=re.DOTALL)
    assert not BANNED.findall(text)
