"""What holds for every call, and what is installed."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType

from nucleus_pandas._util.compat import __version__
from nucleus_pandas.errors import InvalidInputError

_NEEDED = ("pandas", "numpy", "pyarrow", "msgspec", "requests", "tqdm")
_OPTIONAL = ("hotcoco", "flask", "waitress", "pillow", "lark", "matplotlib", "fsspec", "dask", "scale-nucleus")

_progress: bool | None = None


def shows_progress(wanted: bool | None) -> bool | None:
    """Return whether a bar is shown, where a call says nothing; None shows it where somebody watches."""
    return _progress if wanted is None else wanted


class set_options:  # used as a function is
    """Set what holds for every call, from now on or in a ``with`` block.

    Parameters
    ----------
    progress : bool or None
        Whether calls that are given no ``progress=`` show a bar: always, never, or (None, as it is at first) on a
        terminal and in a notebook.

    Raises
    ------
    InvalidInputError
        An option has no such value.

    Examples
    --------
    >>> with set_options(progress=False):
    ...     pass  # no bars in here
    """

    def __init__(self, *, progress: bool | None) -> None:
        global _progress
        if progress is not None and not isinstance(progress, bool):
            raise InvalidInputError(f"progress is True, False or None, not {progress!r}.", argument="progress")
        self._before = _progress
        _progress = progress

    def __enter__(self) -> None:
        """Leave it set until the block ends."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        global _progress
        _progress = self._before


def show_versions(as_json: bool = False) -> None:
    """Print the versions of Python, of this package and of those that it uses, as a report of an error needs them.

    Parameters
    ----------
    as_json : bool
        Whether to print JSON; what is not installed is null.

    Examples
    --------
    >>> show_versions()
    nucleus_pandas ...
    """
    found: dict[str, str | None] = {
        "nucleus_pandas": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for name in (*_NEEDED, *_OPTIONAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    if as_json:
        text = json.dumps(found)
    else:
        width = max(map(len, found))
        text = "\n".join(f"{name:<{width}}  {told or 'not installed'}" for name, told in found.items())
    sys.stdout.write(f"{text}\n")
