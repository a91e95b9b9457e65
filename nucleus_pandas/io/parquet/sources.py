"""Where Parquet files are: a file, a folder, a pattern, on this machine or elsewhere."""

from __future__ import annotations

import glob
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from nucleus_pandas.errors import InvalidInputError, MissingExtraError

ParquetPaths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_ENDINGS = (".parquet", ".parq", ".pq")
_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_PATTERN = re.compile(r"[*?\[]")
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class ParquetSource:
    """One file.

    Attributes
    ----------
    name : str
        The name in errors, rejects and the journal: a path below the folder of the journal, or an address without
        anything secret.
    place : str
        Its path in the file system.
    filesystem : pyarrow.fs.FileSystem
        Where it is.
    partitions : dict of str to str, int or None
        The values that the names of its folders give to all rows (``split=train/``).
    size : int
        Bytes.
    modified : int or None
        Nanoseconds, where the file system tells.
    """

    name: str
    place: str
    filesystem: Any
    partitions: Mapping[str, str | int | None]
    size: int
    modified: int | None

    @cached_property
    def metadata(self) -> Any:
        """What the footer says: columns, row groups and their sizes."""
        return self._footer[0]

    @cached_property
    def _footer(self) -> tuple[Any, str]:
        try:
            with self.filesystem.open_input_file(self.place) as file:
                tail = _tail(file, self.size, self.name)
                return pq.read_metadata(file), blake2b(tail, digest_size=16).hexdigest()
        except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
            if isinstance(error, InvalidInputError):
                raise
            raise InvalidInputError(f"The file '{self.name}' cannot be read as Parquet: {first_line(error)}.") from None

    @cached_property
    def groups(self) -> list[tuple[int, int]]:
        """How many rows and bytes each row group has."""
        found = map(self.metadata.row_group, range(self.metadata.num_row_groups))
        return [(group.num_rows, group.total_byte_size) for group in found]

    @property
    def identity(self) -> str:
        """What tells it from another version of itself."""
        return f"{self.size} {self.modified} {self._footer[1]}"

    @property
    def schema(self) -> Any:
        """The columns, as Arrow has them."""
        return self.metadata.schema.to_arrow_schema()

    def is_same(self, identity: str | None) -> bool:
        """Return whether an identity is this one, but for the time."""
        first, second = self.identity.split(), (identity or "").split()
        return len(second) == 3 and (first[0], first[2]) == (second[0], second[2])

    def open(self) -> Any:
        """Open it for reading row groups, each alone in memory."""
        file = self.filesystem.open_input_file(self.place)
        return pq.ParquetFile(file, metadata=self.metadata, pre_buffer=False, page_checksum_verification=True)

    def state(self) -> tuple[int, int | None]:
        """Ask for its size and time, which tell whether it changes."""
        info = self.filesystem.get_file_info(self.place)
        return info.size or 0, info.mtime_ns

    def is_found(self, state: tuple[int, int | None]) -> bool:
        """Return whether it is unchanged; elsewhere a list may have finer times than who asks for one file."""
        exact = isinstance(self.filesystem, fs.LocalFileSystem)
        return state == (self.size, self.modified) if exact else state[0] == self.size


class SourceFile(Protocol):
    """What rows are imported from, a group of rows after the other; see `ParquetSource`."""

    @property
    def name(self) -> str:
        """What errors, rejects and the journal call it."""
        ...

    @property
    def partitions(self) -> Mapping[str, str | int | None]:
        """Columns that have one value in all rows."""
        ...

    @property
    def schema(self) -> Any:
        """The columns, as Arrow has them."""
        ...

    @property
    def groups(self) -> Sequence[tuple[int, int]]:
        """How many rows and bytes each group has."""
        ...

    @property
    def identity(self) -> str:
        """What tells it from another version of itself."""
        ...

    def state(self) -> object:
        """Ask for what tells whether it changes while it is read."""
        ...

    def is_found(self, state: Any) -> bool:
        """Return whether a state is that in which it was found."""
        ...

    def is_same(self, identity: str | None) -> bool:
        """Return whether an identity is this one, as far as its content goes."""
        ...

    def open(self) -> Any:
        """Return what reads groups: ``read_row_group(number, columns=names)``."""
        ...


@dataclass(frozen=True)
class SourceFiles:
    """The files of a source, in the order of their names.

    Attributes
    ----------
    files : list of SourceFile
        They may be none.
    root : str
        The folder, or the address, below which they are.
    is_local : bool
        Whether that is a folder of this machine.
    """

    files: Sequence[SourceFile]
    root: str
    is_local: bool


def find(source: ParquetPaths, filesystem: Any = None) -> SourceFiles:
    """Find Parquet files.

    Parameters
    ----------
    source : str, path-like, or several
        A file, a folder (with the folders in it; ``key=value`` in their names become columns), a pattern with ``*``,
        ``?``, ``[…]`` and ``**``, or an address such as ``s3://bucket/folder``.
    filesystem : pyarrow.fs.FileSystem or fsspec file system, optional
        Where paths are looked for.

    Raises
    ------
    InvalidInputError
        There is no such file, or no Parquet file in the folder.
    MissingExtraError
        A package that knows the kind of address is not installed.
    """
    if isinstance(source, (str, os.PathLike)):
        return _find_one(os.fspath(source), filesystem)
    if not isinstance(source, Sequence) or not source or not all(isinstance(one, (str, os.PathLike)) for one in source):
        raise InvalidInputError(
            f"A source is a path, an address, or a list of these, not {source!r:.80}. A frame that is in memory is "
            "sent by df.nucleus.append, .annotate or .predict."
        )
    parts = [_find_one(os.fspath(one), filesystem) for one in source]
    files = [file for part in parts for file in part.files if isinstance(file, ParquetSource)]
    is_local = all(part.is_local for part in parts)
    if is_local:
        root = os.path.commonpath([part.root for part in parts])
        files = [_named_below(file, root) for file in files]
    else:
        root = " ".join(sorted({part.root for part in parts}))
    twice = sorted({file.name for file in files if sum(file.name == other.name for other in files) > 1})
    if twice:
        raise InvalidInputError(f"The source names '{twice[0]}' twice.")
    return SourceFiles(files, root, is_local)


def _named_below(file: ParquetSource, folder: str) -> ParquetSource:
    name = Path(file.place).relative_to(folder).as_posix()
    return ParquetSource(name, file.place, file.filesystem, file.partitions, file.size, file.modified)


def _find_one(source: str, filesystem: Any) -> SourceFiles:
    if filesystem is not None:
        system = filesystem if isinstance(filesystem, fs.FileSystem) else fs.PyFileSystem(fs.FSSpecHandler(filesystem))
        return _files_at(system, source.strip("/") if "://" not in source else source, source)
    if "://" in source and not source.lower().startswith("file://"):
        system, place = _elsewhere(source)
        shown, root = _without_secrets(source), place
        prefix = shown[: len(shown) - len(root)] if shown.endswith(root) else f"{urlsplit(shown).scheme}://"
        return _files_at(system, place, shown, prefix=prefix)
    local = unquote(urlsplit(source).path) if source.lower().startswith("file://") else os.path.expanduser(source)
    shown = os.fsencode(source).decode("utf-8", "replace")
    try:
        return _local(local)
    except UnicodeError:  # of Arrow, which takes names as text
        raise InvalidInputError(f"'{shown}' has, or holds, a name that is not UTF-8. Rename it.") from None
    except OSError as error:
        raise InvalidInputError(f"'{shown}' cannot be read: {first_line(error)}.") from None


def _local(source: str) -> SourceFiles:
    system = fs.LocalFileSystem()
    path = Path(os.path.abspath(source))
    if path.is_dir():
        found, folder = _in_folder(system, str(path)), path
    elif path.is_file():
        found, folder = [system.get_file_info(str(path))], path.parent
    elif _PATTERN.search(source):
        fixed = re.split(r"[*?\[]", source, maxsplit=1)[0]
        folder = Path(os.path.abspath(os.path.dirname(fixed) or "."))
        names = sorted(name for name in glob.glob(source, recursive=True) if os.path.isfile(name))
        found = [system.get_file_info(os.path.abspath(name)) for name in names if not _is_hidden(name, str(folder))]
        if not found:
            raise InvalidInputError(f"No file matches '{source}'.")
    else:
        raise InvalidInputError(f"There is no file '{source}'.{_near(path)}")
    if not found:
        raise InvalidInputError(f"The folder '{source}' holds no file that ends in {' or '.join(_ENDINGS)}.")
    return SourceFiles(list(_sources(found, system, f"{folder.as_posix().rstrip('/')}/", "")), str(folder), True)


def _near(path: Path) -> str:
    try:
        there = sorted(one.name for one in path.parent.iterdir() if one.suffix in _ENDINGS)
    except OSError:
        return f" Its folder '{path.parent}' does not exist either."
    others = [name for name in there if not name.startswith((".", "_"))]
    stems = {Path(name).stem: name for name in others}
    near = get_close_matches(path.stem, stems, 1)
    if near:
        return f" Is {stems[near[0]]!r} meant?"
    return f" Its folder holds {', '.join(map(repr, others[:5]))}." if others else ""


def _elsewhere(source: str) -> tuple[Any, str]:
    """Find the file system of an address, by Arrow or else by fsspec."""
    scheme = urlsplit(source).scheme.lower()
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(source)
        return found
    except (pa.ArrowException, ValueError, OSError, ImportError):
        pass
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError(
            f"Arrow alone does not read '{scheme}' addresses here; fsspec may: pip install fsspec, and the package "
            f"that it needs for '{scheme}'."
        ) from None
    try:
        system, place = url_to_fs(source)
    except ImportError as error:
        raise MissingExtraError(f"Reading '{scheme}' addresses needs another package: {first_line(error)}") from None
    except ValueError:
        raise InvalidInputError(f"Nobody knows '{scheme}' addresses: '{_without_secrets(source)}'.") from None
    return fs.PyFileSystem(fs.FSSpecHandler(system)), place


def _without_secrets(source: str) -> str:
    """Return an address without user, password and parameters, any of which may hold a key."""
    parts = urlsplit(source)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _files_at(system: Any, place: str, shown: str, *, prefix: str = "") -> SourceFiles:
    place = place.rstrip("/")
    try:
        info = system.get_file_info(place)
        if info.type == fs.FileType.Directory:
            found, root = _in_folder(system, place), f"{place}/"
        elif info.type == fs.FileType.File:
            found, root = [info], _folder_of(place)
        elif _PATTERN.search(place):
            root = _folder_of(_PATTERN.split(place, maxsplit=1)[0])
            below = system.get_file_info(fs.FileSelector(root.rstrip("/"), recursive=True, allow_not_found=True))
            found = [one for one in below if one.type == fs.FileType.File and _matches(one.path, place)]
            found = [one for one in found if not _is_hidden(one.path, root)]
        else:
            raise InvalidInputError(f"There is no file '{shown}'.")
    except OSError as error:
        raise InvalidInputError(f"'{shown}' cannot be reached: {first_line(error)}.") from None
    if not found:
        raise InvalidInputError(f"'{shown}' holds no Parquet file.")
    files = list(_sources(sorted(found, key=lambda one: one.path), system, root, prefix))
    return SourceFiles(files, f"{prefix}{root}", False)


def _folder_of(place: str) -> str:
    return place[: place.rfind("/") + 1]


def _matches(path: str, pattern: str) -> bool:
    """Return whether a path fits a pattern; ``**`` stands for any folders, ``*`` stays in one.

    Examples
    --------
    >>> [_matches(path, "b/**/c-*.parquet") for path in ("b/c-1.parquet", "b/x/y/c-1.parquet", "b/c-1/x.parquet")]
    [True, True, False]
    """
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    parts = [
        _WILD.get(piece) or (piece.replace("[!", "[^") if piece[:1] == "[" else re.escape(piece)) for piece in pieces
    ]
    return re.fullmatch("".join(parts), path, re.DOTALL) is not None


def _in_folder(system: Any, root: str) -> list[Any]:
    below = system.get_file_info(fs.FileSelector(root, recursive=True))
    found = [one for one in below if one.type == fs.FileType.File and one.path.lower().endswith(_ENDINGS)]
    return sorted((one for one in found if not _is_hidden(one.path, root)), key=lambda one: one.path)


def _is_hidden(path: str, root: str) -> bool:
    """Return whether a name below the root begins as those that writers of tables keep for themselves."""
    below = os.path.abspath(path)[len(os.path.abspath(root)) :] if os.path.isabs(root) else path[len(root) :]
    return any(part.startswith((".", "_")) for part in PurePosixPath(below.replace(os.sep, "/")).parts if part != "/")


def _sources(found: Sequence[Any], system: Any, root: str, prefix: str) -> Iterator[ParquetSource]:
    """Create the files of what a file system found below a root."""
    names = [one.path.replace(os.sep, "/").removeprefix(root) for one in found]
    raw = [_partitions(name) for name in names]
    numbers = {
        key
        for key in {key for one in raw for key in one}
        if all(one.get(key) is None or _WHOLE_NUMBER.fullmatch(str(one[key])) for one in raw)
    }
    for info, name, texts in zip(found, names, raw, strict=True):
        values = {key: int(text) if text is not None and key in numbers else text for key, text in texts.items()}
        whole = f"{prefix}{root}{name}" if prefix else name
        yield ParquetSource(whole, info.path, system, values, info.size or 0, info.mtime_ns)


def _partitions(name: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for part in name.split("/")[:-1]:
        key, parted, value = part.partition("=")
        if parted and key:
            found[unquote(key)] = None if value == _NO_VALUE else unquote(value)
    return found


def _tail(file: Any, size: int, name: str) -> bytes:
    """Read the footer, and say what a file is that has none."""
    if not size:
        raise InvalidInputError(f"The file '{name}' is empty: 0 bytes.")
    if size < 12:
        raise InvalidInputError(f"The file '{name}' is no Parquet file: it has {size} bytes.")
    file.seek(0)
    start = bytes(file.read(4))
    file.seek(size - 8)
    end = bytes(file.read(8))
    if end[4:] == _ENCRYPTED:
        raise InvalidInputError(f"The file '{name}' is encrypted; decrypt it first.")
    if end[4:] != _MAGIC:
        if start == _MAGIC:
            raise InvalidInputError(
                f"The file '{name}' is cut off: it begins as Parquet, but has no footer. Copy it again."
            )
        raise InvalidInputError(
            f"The file '{name}' is no Parquet file. Annotation files of other kinds are read by npd.read_coco, "
            "npd.read_yolo and npd.read_voc, and CSV by pd.read_csv."
        )
    (length,) = struct.unpack("<i", end[:4])
    if not 0 < length <= size - 12:
        raise InvalidInputError(f"The file '{name}' is damaged: its footer cannot be {length} bytes long.")
    file.seek(size - 8 - length)
    tail = bytes(file.read(length))
    file.seek(0)
    return tail


def first_line(error: BaseException) -> str:
    """Return what an error says at first."""
    return str(error).strip().partition("\n")[0].rstrip(".")
