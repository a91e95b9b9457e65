"""Options for all calls, and the versions of installed packages."""

from __future__ import annotations

import json
import platform
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from nucleus_pandas._util.compat import __version__
from nucleus_pandas.errors import InvalidInputError

_REQUIRED = ("pandas", "numpy", "pyarrow", "msgspec", "requests", "tqdm")
_OPTIONAL = ("hotcoco", "flask", "waitress", "pillow", "lark", "matplotlib", "fsspec", "dask", "scale-nucleus")

_progress: bool | None = None


def shows_progress(progress: bool | None) -> bool | None:
    """Return the effective `progress=` of a call; None means on a terminal and in a notebook."""
    return _progress if progress is None else progress


def new_bar(progress: bool | None, total: int, what: str, **options: Any) -> Any:
    """Return a bar of tqdm for rows: a widget in notebooks that have ipywidgets, else text.

    Parameters
    ----------
    progress : True or None
        What `shows_progress` returned.
    total : int
        Number of rows.
    what : str
        The text before the bar.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")  # without ipywidgets text will do
        from tqdm.auto import tqdm
    is_notebook = "ipykernel.zmqshell" in sys.modules  # there no stream is a terminal, and stderr is printed in red
    disable = None if progress is None and not is_notebook else False  # None: shown on a terminal only
    file = sys.stdout if is_notebook else None
    return tqdm(total=total, desc=what, unit="row", disable=disable, file=file, **options)


class set_options:  # used as a function is
    """Set options for all calls, permanently or in a ``with`` block.

    Parameters
    ----------
    progress : bool or None
        Whether calls without ``progress=`` show a progress bar: always, never, or (None, the default) on a terminal and
        in a notebook.

    Raises
    ------
    InvalidInputError
        A value is invalid.

    Examples
    --------
    >>> with set_options(progress=False):
    ...     pass  # no bars in here
    """

    def __init__(self, *, progress: bool | None) -> None:
        global _progress
        if progress is not None and not isinstance(progress, bool):
            raise InvalidInputError(f"progress must be True, False or None, not {progress!r}.", argument="progress")
        self._before = _progress
        _progress = progress

    def __enter__(self) -> None:
        """Keep the options until the block ends."""

    def __exit__(self, *error: object) -> None:
        global _progress
        _progress = self._before


def show_versions(as_json: bool = False) -> None:
    """Print the versions of Python, of this package and of its dependencies, for bug reports.

    Parameters
    ----------
    as_json : bool
        Whether to print JSON; packages that are not installed are null.

    Examples
    --------
    >>> show_versions()
    nucleus_pandas ...
    """
    versions: dict[str, str | None] = {
        "nucleus_pandas": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for name in (*_REQUIRED, *_OPTIONAL):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    if as_json:
        text = json.dumps(versions)
    else:
        width = max(map(len, versions))
        text = "\n".join(f"{name:<{width}}  {installed or 'not installed'}" for name, installed in versions.items())
    sys.stdout.write(f"{text}\n")
