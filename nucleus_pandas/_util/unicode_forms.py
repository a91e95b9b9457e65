"""Ids that print alike but differ: names of files on macOS are decomposed (NFD), most others are composed (NFC)."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Literal
from unicodedata import normalize

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")


def hints_of_form(names: Iterable[str], known_of: Callable[[Sequence[str]], Container[str]]) -> dict[str, str]:
    """Return a sentence for every unknown id that is known in the other form of Unicode.

    Parameters
    ----------
    names : iterable of str
        The unknown ids.
    known_of : callable
        Returns which of some ids are known. It is called at most once, and not for ids in ASCII.

    Examples
    --------
    >>> list(hints_of_form(["cafe\u0301", "b.jpg"], lambda names: {"caf\u00e9"}).values())
    ["There is one that prints alike, in Unicode's form NFC: convert ids by .str.normalize('NFC')."]
    """
    others = [
        (name, form, other)
        for name in dict.fromkeys(names)
        if not name.isascii()
        for form in _FORMS
        if (other := normalize(form, name)) != name
    ]
    if not others:
        return {}
    known = known_of([other for _, _, other in others])
    return {
        name: f"There is one that prints alike, in Unicode's form {form}: convert ids by .str.normalize('{form}')."
        for name, form, other in others
        if other in known
    }
