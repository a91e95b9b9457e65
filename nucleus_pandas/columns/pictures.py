"""Addresses of pictures: elsewhere, or on this machine."""

from __future__ import annotations

import stat
from pathlib import Path

from nucleus_pandas.errors import BadRequestError

REMOTE = ("http", "https", "s3", "gs", "gcs")


def is_remote(url: str) -> bool:
    """Tell whether a picture stays where it is; a path has no ``://``.

    Raises
    ------
    BadRequestError
        The address is of a kind that nobody takes.

    Examples
    --------
    >>> is_remote("s3://bucket/a.jpg"), is_remote("a.jpg")
    (True, False)
    """
    scheme, parted, _ = url.partition("://")
    scheme = scheme.lower() if parted else ""
    if scheme and scheme not in REMOTE:
        raise BadRequestError(f"'{scheme}' addresses are not taken, only {', '.join(REMOTE)} and local paths.")
    return bool(scheme)


def readable(name: str) -> Path:
    """Give the path of a picture that can be read.

    Raises
    ------
    BadRequestError
        There is none, or it is empty, a folder or forbidden, or no file: a pipe would be waited for.
    """
    path = Path(name)
    reason = None
    try:
        path = path.expanduser()
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            reason = "is a folder" if stat.S_ISDIR(found.st_mode) else "is no file"
        elif not found.st_size:
            reason = "is an empty file"
        else:
            path.open("rb").close()
    except FileNotFoundError:
        reason = "does not exist"
    except (OSError, ValueError, RuntimeError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if reason is not None:
        raise BadRequestError(f"The picture '{name}' {reason}.")
    return path
