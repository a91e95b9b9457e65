"""What is wrong in files: collected, then told with its places."""

from __future__ import annotations

import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import InvalidInputError

_SHOWN = 5  # faults in an error's text


class Faults:
    """Places and reasons.

    Parameters
    ----------
    source : str
        What is read, for the reader: a path.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: list[tuple[str, str]] = []

    def add(self, place: str, reason: str) -> None:
        """Note a fault: where it is, such as ``annotations[17].bbox``, and a sentence that continues it."""
        self._found.append((place, reason))

    def error(self, place: str, reason: str) -> InvalidInputError:
        """Note a fault after which nothing more can be read, and give the error that tells all."""
        self.add(place, reason)
        return self._error()

    def check(self) -> None:
        """Raise InvalidInputError if anything was found; its `problems` hold every place and reason."""
        if self._found:
            raise self._error()

    def _error(self) -> InvalidInputError:
        lines = [f"{place} {reason}".strip() for place, reason in self._found]
        problems = pd.DataFrame(self._found, columns=["place", "reason"], dtype=TEXT)
        if len(lines) == 1:
            return InvalidInputError(f"{self.source}: {lines[0]}", problems=problems)
        shown = [f"{self.source}: {len(lines)} faults:", *(f"  {line}" for line in lines[:_SHOWN])]
        if len(lines) > _SHOWN:
            shown.append(f"  … and {len(lines) - _SHOWN} more; .problems lists all.")
        return InvalidInputError("\n".join(shown), problems=problems)
