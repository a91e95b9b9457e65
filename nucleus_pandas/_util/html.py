"""Strings of users in HTML: whatever they hold, they stay text.

Every function that returns HTML returns `markupsafe.Markup`, whose ``format`` and ``join`` escape everything that is
not markup itself. A template that is filled by them cannot leave a string unescaped by mistake.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

LONGEST = 120
"""Characters of a string that are shown; its tooltip, and screen readers, have the whole."""

# HTML has no place for most control characters.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# What turns the direction of all that follows; marks of single letters are left, since names in Arabic need them.
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ISOLATE, _POP = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"


def safe(value: object) -> Markup:
    r"""Return a string escaped for a place between tags or in quotes.

    Examples
    --------
    >>> print(safe('<b> & "c"'))
    &lt;b&gt; &amp; &#34;c&#34;
    >>> print(safe("half a pair: \ud800"))
    half a pair: ?
    """
    text = str(value)
    if not text.isprintable():
        text = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.encode("utf-8", "replace").decode())
    return escape(text)


def cut(text: str, longest: int = LONGEST) -> str:
    """Shorten a long string at its end.

    Examples
    --------
    >>> cut("traffic light", 8)
    'traffic…'
    """
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def isolated(value: object, longest: int | None = LONGEST, *, tooltip: bool = True) -> Markup:
    """Return an element whose text does not change the writing direction of what surrounds it.

    Parameters
    ----------
    longest : int, optional
        Characters that are shown; None for all of them.
    tooltip : bool
        Whether the element of a shortened string has the whole as its title.

    Examples
    --------
    >>> print(isolated("a.jpg"))
    <bdi>a.jpg</bdi>
    >>> print(isolated("construction vehicle", 8))
    <bdi title="construction vehicle">constru…</bdi>
    """
    text = str(value)
    shown = text if longest is None else cut(text, longest)
    title = f' title="{safe(text)}"' if tooltip and shown is not text else ""
    return Markup(f"<bdi{title}>{safe(shown)}</bdi>")  # pages have thousands: `Markup.format` takes four times as long


def isolated_text(value: object, longest: int = LONGEST) -> str:
    """Return a string that does not change the writing direction of what surrounds it, where no element can be.

    That is an attribute, or the text of an option.
    """
    return f"{_ISOLATE}{cut(str(value), longest)}{_POP}"


def unturned(value: object) -> str:
    r"""Return a string without the characters that change the writing direction of what follows.

    Examples
    --------
    >>> unturned("gpj\u202eexe")
    'gpjexe'
    """
    return _TURNS.sub("", str(value))
