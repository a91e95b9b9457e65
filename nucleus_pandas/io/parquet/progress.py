"""A bar that tells how far an import is: rows, rate, the time that is left, and what became of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from nucleus_pandas._util.options import shows_progress

_SHOWN = ("new", "updated", "processed", "ignored", "skipped", "failed")


class Progress:
    """A bar, on a terminal or in a notebook.

    Parameters
    ----------
    what : str
        What is sent.
    total : int
        Rows of all files.
    wanted : bool or None
        Whether it is shown; None shows it where somebody watches.
    """

    def __init__(self, what: str, total: int, wanted: bool | None) -> None:
        self._bar: Any = None
        self._done = 0  # rows of the row groups that are done
        self._rows = self._units = self._sent = 0  # of the row group that is being sent
        wanted = shows_progress(wanted)
        if wanted is not False:
            from tqdm.auto import tqdm

            disable = None if wanted is None else False
            self._bar = tqdm(total=total, desc=what, unit="row", unit_scale=True, disable=disable)

    def begin(self, rows: int, units: int) -> None:
        """Begin a row group, from whose rows so many units are made."""
        self._rows, self._units, self._sent = rows, units, 0

    def sent(self, units: int) -> None:
        """Return that some of them were sent."""
        self._sent += units
        self._show(self._done + self._rows * self._sent // max(self._units, 1))

    def end(self, rows: int, counts: Mapping[str, int]) -> None:
        """Return that all rows of a row group are done, and what became of all until now."""
        self._done += rows
        if self._bar is not None:
            # As text: tqdm would write numbers in three digits, 12,345 as 1.23e+4.
            shown = {name: f"{counts[name]:,}" for name in _SHOWN if counts.get(name)}
            self._bar.set_postfix(shown, refresh=False)
        self._show(self._done)

    def _show(self, rows: int) -> None:
        if self._bar is not None:
            self._bar.update(rows - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
