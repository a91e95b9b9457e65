"""Addresses of images: elsewhere, or on this machine."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from nucleus_pandas.errors import InvalidInputError

REMOTE = ("http", "https", "s3", "gs", "gcs")
_PNG = b"\x89PNG\r\n\x1a\n"


def is_remote(url: str) -> bool:
    """Return whether an image stays where it is; a path has no ``://``.

    Raises
    ------
    InvalidInputError
        The address is of a kind that nobody takes.

    Examples
    --------
    >>> is_remote("s3://bucket/a.jpg"), is_remote("a.jpg")
    (True, False)
    """
    scheme, parted, _ = url.partition("://")
    scheme = scheme.lower() if parted else ""
    if scheme == "file":
        return False
    if scheme and scheme not in REMOTE:
        raise InvalidInputError(f"'{scheme}' addresses are not taken, only {', '.join(REMOTE)} and local paths.")
    return bool(scheme)


def readable(name: str) -> Path:
    """Return the path of an image that can be read.

    Raises
    ------
    InvalidInputError
        There is none, or it is empty, a folder or forbidden, or no file: a pipe would be waited for.
    """
    reason, path = None, Path(_path_of(name))
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
        raise InvalidInputError(f"The image '{name}' {reason}.")
    return path


def _path_of(name: str) -> str:
    """Return a path as it is, and that of a URL such as ``file:///data/a%20b.jpg``."""
    if name[:7].lower() != "file://":
        return name
    parts = urlsplit(name)
    if parts.netloc not in ("", "localhost"):
        raise InvalidInputError(f"The image '{name}' is on the host '{parts.netloc}'; only local files can be read.")
    return url2pathname(parts.path)


def mask_file(url: str) -> Path | None:
    """Return the PNG local file that the address of a mask stands for; None where it stays where it is.

    Raises
    ------
    InvalidInputError
        There is none that can be read, or it is no PNG; or the address is of a kind that nobody takes.
    """
    if is_remote(url):
        return None
    path = readable(url)
    try:
        with path.open("rb") as file:
            is_png = path.suffix.lower() == ".png" and file.read(len(_PNG)) == _PNG
    except OSError as error:
        raise InvalidInputError(f"The mask '{url}' cannot be read ({error.strerror}).") from None
    if not is_png:
        raise InvalidInputError(f"The mask '{url}' is no PNG file, by its name or by its content.")
    return path
