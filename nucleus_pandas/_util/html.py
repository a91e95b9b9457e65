"""Texts of others in HTML: shown as text, whatever they hold."""

from __future__ import annotations

import re
from html import escape

LONGEST = 120
"""Characters of a text that are shown; a pointer resting on it, and screen readers, find the whole."""

# HTML has no place for most control characters.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# What turns the direction of all that follows; marks of single letters are left, since names in Arabic need them.
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def safe(value: object) -> str:
    r"""Return a text that can stand between tags and in quotes.

    Examples
    --------
    >>> safe('<b> & "c"')
    '&lt;b&gt; &amp; &quot;c&quot;'
    >>> safe("half a pair: \ud800")
    'half a pair: ?'
    """
    text = str(value).encode("utf-8", "replace").decode()
    return escape(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text))


def cut(text: str, longest: int = LONGEST) -> str:
    """Shorten a long text at its end.

    Examples
    --------
    >>> cut("traffic light", 8)
    'traffic…'
    """
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def isolated(value: object, longest: int = LONGEST) -> str:
    """Return an element whose text neither turns the direction of what stands around it nor takes more than a line.

    Examples
    --------
    >>> isolated("a.jpg")
    '<bdi>a.jpg</bdi>'
    >>> isolated("construction vehicle", 8)
    '<bdi title="construction vehicle">constru…</bdi>'
    """
    text = str(value)
    title = f' title="{safe(text)}"' if len(text) > longest else ""
    return f"<bdi{title}>{safe(cut(text, longest))}</bdi>"


def unturned(value: object) -> str:
    r"""Return a text without the characters that turn the direction of what follows, where no element isolates it.

    Examples
    --------
    >>> unturned("gpj\u202eexe")
    'gpjexe'
    """
    return _TURNS.sub("", str(value))
