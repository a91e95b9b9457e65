"""A folder that appears whole, or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path

from nucleus_pandas.errors import FileError, InvalidInputError, NucleusError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_OLD = ".old"


@contextmanager
def whole_folder(path: str | os.PathLike[str], ours: Sequence[str], *, overwrite: bool) -> Iterator[Path]:
    """Yield a folder to write into, which gets its name if the block succeeds, and is removed otherwise.

    The remains of a process that was killed are removed when the next one writes a folder of that name.

    Parameters
    ----------
    path : str or path-like
        The name. The folders above it are made when absent.
    ours : sequence of str
        Patterns of the files of such a folder; a folder with other files is not replaced.
    overwrite : bool
        Whether to replace a folder of that name that is not empty.

    Yields
    ------
    pathlib.Path
        A folder beside the named one.

    Raises
    ------
    InvalidInputError
        Something has that name, and cannot or must not be replaced.
    FileError
        The disk is full, or writing fails for another reason.
    """
    folder = _resolved(path)
    try:
        _check(folder, ours, overwrite)
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in _left(folder):
            # Of a process that was killed during the replacement both folders stay until another has the name.
            if left.suffix != _OLD and not _earlier(left).exists():
                _remove(left)
        with _held(folder) as made:
            yield made
            _sync(made)
            _check(folder, ours, overwrite)
            _rename(made, folder)
        for left in _left(folder):
            _remove(left)
    except NucleusError:
        raise  # some are OSErrors too
    except OSError as error:
        raise FileError(f"'{folder}' cannot be written, and nothing was kept: {error}.") from error


def _prefix(folder: Path) -> str:
    """Return the prefix of temporary folders for this one."""
    return f".nucleus-export-{blake2b(os.fsencode(folder.name), digest_size=6).hexdigest()}-"


def _earlier(made: Path) -> Path:
    """Return the temporary name of the folder that is being replaced."""
    return made.with_name(f"{made.name}{_OLD}")


@contextmanager
def _held(folder: Path) -> Iterator[Path]:
    """Create a temporary folder, locked while this process lives, and remove it at the end if it was not renamed."""
    while True:
        made = folder.with_name(f"{_prefix(folder)}{secrets.token_hex(8)}")
        made.mkdir()
        with _locked(made, wait=True):
            if not made.exists():  # another process removed it before it was locked
                continue
            try:
                yield made
            finally:
                shutil.rmtree(made, ignore_errors=True)
            return


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Lock a folder, and yield True if that worked; a lock ends with its process."""
    if fcntl is None:
        yield False
        return
    try:
        number = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process holds it, or this file system has no locks
            yield False
        else:
            yield True
    finally:
        os.close(number)


def _left(folder: Path) -> list[Path]:
    """Return the temporary folders for this one."""
    begin = _prefix(folder)
    return sorted(path for path in folder.parent.iterdir() if path.name.startswith(begin) and not path.is_symlink())


def _remove(left: Path) -> None:
    """Remove the folder of a dead process; that of a running one is locked, and stays."""
    with _locked(left, wait=False) as is_dead:
        if is_dead:
            shutil.rmtree(left, ignore_errors=True)


def _resolved(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser().resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, a NUL, an unknown ~user
        raise InvalidInputError(f"{str(path)[:200]!r} is not a valid folder name: {error}.") from None


def _check(folder: Path, ours: Sequence[str], overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InvalidInputError(f"'{folder}' is a file, but an export is a folder. Choose another name.")
    if folder.is_mount() or Path.cwd().is_relative_to(folder):
        raise InvalidInputError(
            f"'{folder}' is the working folder or a mount point, and cannot be replaced. Name a new folder in it."
        )
    for file in folder.rglob("*"):
        if file.is_dir() and not file.is_symlink():
            continue
        if not overwrite:
            raise InvalidInputError(
                f"'{folder}' is not empty. overwrite=True replaces an earlier export.", argument="overwrite"
            )
        if not any(_fits(file.relative_to(folder).parts, pattern.split("/")) for pattern in ours):
            raise InvalidInputError(
                f"'{folder}' contains other files than an export, such as '{file.relative_to(folder)}', and is not "
                "replaced. Choose another name."
            )


def _fits(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _rename(made: Path, folder: Path) -> None:
    before = _earlier(made)
    if folder.exists():
        folder.rename(before)
    try:
        made.rename(folder)
    except BaseException:
        if before.exists():
            before.rename(folder)
        raise
    _sync_entries(folder.parent)
    shutil.rmtree(before, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Write everything to the disk, so that the folder is complete after a power loss."""
    for parent, _, files in os.walk(folder):
        for name in files:
            with open(os.path.join(parent, name), "rb+") as file:
                os.fsync(file.fileno())
        _sync_entries(Path(parent))


def _sync_entries(folder: Path) -> None:
    with suppress(PermissionError):  # Windows opens no folders
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
