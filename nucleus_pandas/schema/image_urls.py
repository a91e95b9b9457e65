"""URLs of images and masks: remote, or local files, and which local files are sent."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO
from urllib.request import url2pathname

from nucleus_pandas.errors import InvalidInputError, ValidationError
from nucleus_pandas.schema.checked_rows import warn
from nucleus_pandas.schema.image_ends import doubt_about

STORE_FILE = "nucleus.sqlite"
"""The database in the folder of a store."""

STORED_NAME = r"[0-9a-f]{2}/[0-9a-f]{64}(?:\.[a-z0-9]{1,5})?"
"""A pattern for the name of an image or a mask in a store: the SHA-256 of its content."""

REMOTE = ("http", "https", "s3", "gs", "gcs")
_PNG = b"\x89PNG\r\n\x1a\n"
_STORED = re.compile(rf"(.+)/(?:images|masks)/{STORED_NAME}")
_SAMPLE = os.path.join(os.path.realpath(Path(__file__).parents[1] / "sample"), "")
_SHOWN = 3  # files in a warning


def is_remote(url: str) -> bool:
    """Return whether an image stays where it is; a path has no ``://``, or begins with ``file://``.

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


class Folders:
    """Folders that contain the local files which rows out of a file may name; links are resolved.

    Such a file may come from anywhere, and what it names is uploaded: without folders it could name a private key.

    Parameters
    ----------
    folders : sequence of path-like
        None of them contains what is hidden below it, in a file or a folder whose name begins with a dot.

    Examples
    --------
    >>> data = Folders(["/data"])
    >>> data.contain("/data/train/a.jpg"), data.contain("/data/../a.jpg"), data.contain("/data/.ssh/key")
    (True, False, False)
    """

    def __init__(self, folders: Sequence[str | os.PathLike[str]]) -> None:
        self._names = [os.path.abspath(folder) for folder in folders]
        self._tops = [os.path.join(os.path.realpath(name), "") for name in self._names]
        self._resolved: dict[str, str] = {}

    def contain(self, path: str | os.PathLike[str], *, hidden: bool = False) -> bool:
        """Return True if a file is below one of the folders, in a store (as in exports), or in the packaged sample."""
        real = self._real(os.path.abspath(path))
        below = [real[len(top) :] for top in self._tops if real.startswith(top)]
        if any(hidden or f"{os.sep}." not in f"{os.sep}{name}" for name in below):
            return True
        return real.startswith(_SAMPLE) or _is_stored(real)

    def holding(self, name: str) -> str | None:
        """Return the folder that contains a file of a relative name; None if none does."""
        paths = ((folder, os.path.join(folder, name)) for folder in self._names)
        return next((folder for folder, path in paths if os.path.isfile(path) and self.contain(path)), None)

    def why_not(self, path: str | os.PathLike[str]) -> str:
        """Return a predicate that says why a file is not contained."""
        real = self._real(os.path.abspath(path))
        where = "is hidden" if any(real.startswith(top) for top in self._tops) else "is not"
        return f"leads to '{real}', which {where} in {self}"

    def __str__(self) -> str:
        return " or ".join(f"'{name}'" for name in self._names) or "a local folder"

    def _real(self, path: str) -> str:
        """Resolve the links in an absolute path; those of each folder once."""
        folder, name = os.path.split(path)
        if folder not in self._resolved:
            self._resolved[folder] = os.path.realpath(folder)
        real = os.path.join(self._resolved[folder], name)
        return os.path.realpath(real) if os.path.islink(real) else real


def _is_stored(path: str) -> bool:
    """Return True for a file that an embedded Nucleus has stored; its name cannot be guessed."""
    match = _STORED.fullmatch(path.replace(os.sep, "/"))
    return match is not None and os.path.isfile(os.path.join(match[1], STORE_FILE))


class _Noted:
    """How many files there is something to say about, and what about the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(text)

    def __str__(self) -> str:
        more = f"; and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
        return f"{'; '.join(self.first)}{more}"


@dataclass
class LocalFiles:
    """Which local files the rows of one call may name, and what there is to say about those that they named.

    Parameters
    ----------
    local : bool
        If True, every ``image_url`` is a path; otherwise those without ``://`` and those of ``file://``.
    check : bool
        Whether the content of images is checked: one that is known to be something else is rejected, one that is of an
        unknown kind or truncated is warned of.
    folders : Folders, optional
        The folders that have to contain the files; None allows every file.
    base : pathlib.Path, optional
        The folder that relative paths begin in; by default the working folder.
    warns_outside : bool
        Whether to warn of files outside the working folder.
    """

    local: bool = False
    check: bool = True
    folders: Folders | None = None
    base: Path | None = None
    warns_outside: bool = False
    _doubtful: dict[str, _Noted] = field(default_factory=dict, init=False)
    _outside: _Noted = field(default_factory=_Noted, init=False)

    def image(self, url: str) -> Path | None:
        """Return the local file of an image that is sent; None for a remote URL.

        Raises
        ------
        InvalidInputError
            It may not be sent, cannot be read, or is known to be no image; or the URL is of an unknown kind.
        """
        return None if not self.local and is_remote(url) else self._file(url, "image", self._check_image)

    def mask(self, url: str) -> Path | None:
        """Return the local PNG file of a mask that is sent; None for a remote URL.

        Raises
        ------
        InvalidInputError
            It may not be sent, cannot be read, or is no PNG; or the URL is of an unknown kind.
        """
        return None if is_remote(url) else self._file(url, "mask", self._check_mask)

    def warn(self) -> None:
        """Warn of what was noted since the last call, once of damaged files and once of those outside."""
        doubtful, self._doubtful = self._doubtful, {}
        outside, self._outside = self._outside, _Noted()
        for noun, noted in doubtful.items():
            off = "; image_check=False turns off this check" if noun == "image" else ""
            said = f"{_counted(noted, noun)} may be damaged, or no {noun}: {noted}."
            warn(f"{said} Replace those that cannot be opened{off}.")
        if outside.count:
            warn(
                f"{_counted(outside, 'file')} outside the working folder, to be uploaded: {outside}. local=True says "
                "that this is intended."
            )

    def _file(self, name: str, noun: str, check: Callable[[str, Path], object]) -> Path:
        """Return the path of a file that may be sent and was checked."""
        try:
            path = Path(_path_of(name)).expanduser()
            path = path if self.base is None else self.base / path
            self._confine(path)
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
                raise ValidationError("is a folder" if stat.S_ISDIR(found.st_mode) else "is no file")
            if not found.st_size:
                raise ValidationError("is an empty file")
            check(name, path)
        except FileNotFoundError:
            reason = "does not exist"
        except ValidationError as error:
            reason = error.reason
        except (OSError, ValueError, RuntimeError) as error:
            reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        else:
            return path
        raise InvalidInputError(f"The {noun} '{name}' {reason}.")

    def _confine(self, path: Path) -> None:
        """Reject a path outside the folders, or note one outside the working folder."""
        if self.folders is None:
            if self.warns_outside and not self._near.contain(path, hidden=True):
                self._outside.add(f"'{path}'")
        elif not self.folders.contain(path):
            is_relative = self.base is None and not path.is_absolute()
            if is_relative and (holder := self.folders.holding(str(path))) is not None:
                raise ValidationError(
                    f"is relative to the working folder '{os.getcwd()}', and not in {self.folders}. images={holder!r} "
                    "makes relative paths begin there"
                )
            raise ValidationError(
                f"{self.folders.why_not(path)}. Rows out of a file could name any file of this computer to be "
                "uploaded: images='your_folder' names the folder of the images, allow_outside=True allows all files"
            )

    @cached_property
    def _near(self) -> Folders:
        return Folders([os.curdir])

    def _check_image(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            self._check(name, file, "image")

    def _check_mask(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            if path.suffix.lower() != ".png" or file.read(len(_PNG)) != _PNG:
                raise ValidationError("is no PNG file, by its name or by its content")
            self._check(name, file, "mask")

    def _check(self, name: str, file: BinaryIO, noun: str) -> None:
        """Reject what is known to be no image, and note what may be damaged."""
        if not self.check:
            return
        try:
            doubt = doubt_about(file)
        except ValidationError as error:
            raise ValidationError(f"{error.reason}. Replace the file; image_check=False sends it unchecked") from None
        if doubt is not None:
            self._doubtful.setdefault(noun, _Noted()).add(f"'{name}' {doubt}")


def _counted(noted: _Noted, noun: str) -> str:
    return f"{noted.count:,} local {noun if noted.count == 1 else f'{noun}s'}"


def _path_of(name: str) -> str:
    """Return a path as it is, and that of a URL such as ``file:///data/a%20b.jpg``; ``#`` and ``?`` are letters of it.

    Examples
    --------
    >>> _path_of("file:///data/a%20b#1.jpg"), _path_of("a%20b.jpg")
    ('/data/a b#1.jpg', 'a%20b.jpg')
    """
    if name[:6].lower() != "file:/":
        return name
    host, slash, below = name[7:].partition("/") if name[6:7] == "/" else ("", "/", name[6:])
    if host.lower() not in ("", "localhost") or not slash:
        raise ValidationError(f"is on the host '{host}', and only local files can be read: file:///folder/name")
    return url2pathname(f"/{below.lstrip('/')}")
