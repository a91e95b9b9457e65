"""Labels, other strings of users, and numbers as the page shows them and as its URLs hold them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import partial
from hashlib import blake2b
from typing import Any

from flask import g, has_app_context
from markupsafe import Markup

from nucleus_pandas._util.colours import colours_of, own_colour
from nucleus_pandas._util.html import isolated, isolated_text
from nucleus_pandas.images.svg_shapes import coordinate

NOTHING = "-"
"""Shown for a number that does not exist."""
MARK = "~"
"""The first character of what replaces a long string in a URL."""
_IN_URL = 80  # characters


def short(text: str, other: str) -> str:
    """Return a string for a URL, or another one behind a mark where it would make hundreds of URLs long."""
    return text if len(text) <= _IN_URL and not text.startswith(MARK) else f"{MARK}{other}"


def label_key(label: str) -> str:
    """Return what stands for a label in a URL: the label, or a digest of a long one.

    Examples
    --------
    >>> label_key("car"), len(label_key("c" * 5_000))
    ('car', 25)
    """
    return short(label, blake2b(label.encode("utf-8", "replace"), digest_size=12).hexdigest())


def use_colours(labels: Iterable[str]) -> None:
    """Set the colours of the labels of a dataset, the most frequent first, for this request."""
    g.colours = colours_of(labels)


def colour(label: str | None) -> int:
    """Return the number of the colour of a label, by which the style sheet knows it.

    Examples
    --------
    >>> colour("car") == colour("car")
    True
    """
    colours: dict[str | None, int] = g.get("colours", {}) if has_app_context() else {}
    return colours[label] if label in colours else own_colour(label or "")


def count(number: int | None) -> str:
    """Format a whole number.

    Examples
    --------
    >>> count(1234567), count(None)
    ('1,234,567', '-')
    """
    return NOTHING if number is None else f"{number:,}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Format a number of things.

    Examples
    --------
    >>> counted(1, "image"), counted(2, "box", "boxes")
    ('1 image', '2 boxes')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def ratio(number: float | None, digits: int = 3) -> str:
    """Format a number from 0 to 1.

    Examples
    --------
    >>> ratio(0.5), ratio(None)
    ('0.500', '-')
    """
    return NOTHING if number is None or math.isnan(number) else f"{number:.{digits}f}"


def difference(number: float | None, digits: int = 3) -> str:
    """Format a difference of two numbers, with its sign.

    Examples
    --------
    >>> difference(-0.25), difference(0.25)
    ('-0.250', '+0.250')
    """
    return NOTHING if number is None or math.isnan(number) else f"{number:+.{digits}f}"


def pixels(number: float | None, digits: int = 2) -> str:
    """Format a coordinate.

    Examples
    --------
    >>> pixels(12.0), pixels(12.345, 1)
    ('12', '12.3')
    """
    return NOTHING if number is None else f"{number:.{digits}f}".rstrip("0").rstrip(".")


def day(time: str) -> Markup:
    """Format a stored time, to the minute."""
    return Markup('<time datetime="{}">{}</time>').format(time, time[:16].replace("T", " "))


def value(thing: Any) -> str:
    """Format a value of metadata: a string as it is, everything else as JSON."""
    return thing if isinstance(thing, str) else json.dumps(thing, ensure_ascii=False)


FILTERS = {
    "isolated": partial(isolated, tooltip=False),
    "isolated_text": isolated_text,
    "count": count,
    "counted": counted,
    "ratio": ratio,
    "difference": difference,
    "pixels": pixels,
    "coordinate": coordinate,
    "day": day,
    "label_key": label_key,
    "colour": colour,
}
"""The filters of the templates."""
