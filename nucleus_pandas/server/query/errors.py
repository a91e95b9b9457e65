"""Errors of queries: a sentence, the line of the query, and a caret under the position."""

from __future__ import annotations

from nucleus_pandas.errors import APIError, BadRequestError, UnsupportedError

_BEFORE, _AFTER = 50, 40  # characters of a long line that are shown around the position


class QueryErrors:
    """Creates the errors of one query.

    Parameters
    ----------
    text : str
        The query.

    Examples
    --------
    >>> raise QueryErrors("width > > 5").error(8, "A comparison has one operator.")
    Traceback (most recent call last):
        ...
    nucleus_pandas.errors.BadRequestError: A comparison has one operator. - line 1, column 9 of the query:
        width > > 5
                ^
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def error(self, at: int, sentence: str) -> APIError:
        """Return an error at a position."""
        return BadRequestError(self._message(at, sentence))

    def unsupported(self, at: int, sentence: str) -> APIError:
        """Return an error about an unsupported feature at a position."""
        return UnsupportedError(self._message(at, sentence))

    def _message(self, at: int, sentence: str) -> str:
        before = self._text[:at]
        line = before.count("\n") + 1
        start = before.rfind("\n") + 1
        end = self._text.find("\n", at)
        column = at - start
        whole = self._text[start : len(self._text) if end < 0 else end]
        first = max(0, column - _BEFORE)
        shown = whole[first : column + _AFTER]
        left, right = "…" if first else "", "…" if len(whole) > column + _AFTER else ""
        caret = " " * (column - first + len(left))
        where = f"line {line}, column {column + 1} of the query"
        return f"{_printable(sentence)} - {where}:\n    {left}{_printable(shown)}{right}\n    {caret}^"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
