"""Finding Parquet files: a file, a folder or a pattern, local or at a URL.

Folder names such as ``split=train`` become columns. They are parsed here and not by pyarrow.dataset, which reads the
value ``007`` as the number 7.
"""

from __future__ import annotations

import glob
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
_NULL = "__HIVE_DEFAULT_PARTITION__"
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_PATTERN = re.compile(r"[*?\[]")
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class ParquetSource:
    """One Parquet file.

    Attributes
    ----------
    name : str
        The name in errors, rejects and the journal: a path below the folder of the journal, or an address without
        anything secret.
    place : str
        Its path in the file system.
    filesystem : pyarrow.fs.FileSystem
        The file system of `place`.
    partitions : dict of str to str, int or None
        The values that the names of its folders give to all rows (``split=train/``).
    size : int
        Bytes.
    modified : int or None
        Nanoseconds, where the file system has it.
    """

    name: str
    place: str
    filesystem: Any
    partitions: Mapping[str, str | int | None]
    size: int
    modified: int | None

    @cached_property
    def metadata(self) -> Any:
        """The content of the footer: columns, row groups and their sizes."""
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
        """The number of rows and bytes of each row group."""
        groups = map(self.metadata.row_group, range(self.metadata.num_row_groups))
        return [(group.num_rows, group.total_byte_size) for group in groups]

    @property
    def identity(self) -> str:
        """Differs between versions of the file: size, time, and a hash of the footer."""
        return f"{self.size} {self.modified} {self._footer[1]}"

    @property
    def schema(self) -> Any:
        """The Arrow schema."""
        return self.metadata.schema.to_arrow_schema()

    def is_same(self, identity: str | None) -> bool:
        """Return True if an identity is this one, apart from the time."""
        this, other = self.identity.split(), (identity or "").split()
        return len(other) == 3 and (this[0], this[2]) == (other[0], other[2])

    def open(self) -> Any:
        """Open the file to read single row groups."""
        file = self.filesystem.open_input_file(self.place)
        return pq.ParquetFile(file, metadata=self.metadata, pre_buffer=False, page_checksum_verification=True)

    def state(self) -> tuple[int, int | None]:
        """Return the current size and time, which change with the file."""
        info = self.filesystem.get_file_info(self.place)
        return info.size or 0, info.mtime_ns

    def is_found(self, state: tuple[int, int | None]) -> bool:
        """Return True if the file is unchanged; remote times may differ between a list and a single request."""
        exact = isinstance(self.filesystem, fs.LocalFileSystem)
        return state == (self.size, self.modified) if exact else state[0] == self.size


class SourceFile(Protocol):
    """A file that rows are imported from, group by group; see `ParquetSource`."""

    @property
    def name(self) -> str:
        """Its name in errors, rejects and the journal."""

    @property
    def partitions(self) -> Mapping[str, str | int | None]:
        """Columns with one value in all rows."""

    @property
    def schema(self) -> Any:
        """The Arrow schema."""

    @property
    def groups(self) -> Sequence[tuple[int, int]]:
        """The number of rows and bytes of each group."""

    @property
    def identity(self) -> str:
        """Differs between versions of the file: size, time, and a hash of the footer."""

    def state(self) -> object:
        """Return the current state, which changes with the file."""

    def is_found(self, state: Any) -> bool:
        """Return True if a state is the one in which the file was found."""

    def is_same(self, identity: str | None) -> bool:
        """Return True if an identity has the same content."""

    def open(self) -> Any:
        """Return an object with ``read_row_group(number, columns=names)``."""


@dataclass(frozen=True)
class SourceFiles:
    """The files of a source, sorted by name.

    Attributes
    ----------
    files : list of SourceFile
        At least one.
    root : str
        The folder or URL that contains them.
    is_local : bool
        Whether it is a local folder.
    folders : sequence of str
        The local folders that the caller named, by themselves, by a file in them, or by a pattern.
    """

    files: Sequence[SourceFile]
    root: str
    is_local: bool
    folders: Sequence[str] = ()


def find(source: ParquetPaths, filesystem: Any = None) -> SourceFiles:
    """Find Parquet files.

    Parameters
    ----------
    source : str, path-like, or several
        A file, a folder (with the folders in it; ``key=value`` in their names become columns), a pattern with ``*``,
        ``?``, ``[…]`` and ``**``, or a URL such as ``s3://bucket/folder``.
    filesystem : pyarrow.fs.FileSystem or fsspec file system, optional
        The file system of the paths.

    Raises
    ------
    InvalidInputError
        There is no such file, or the folder has no Parquet file.
    MissingExtraError
        The package for this kind of URL is not installed.
    """
    if isinstance(source, (str, os.PathLike)):
        return _find_one(os.fspath(source), filesystem)
    if (
        not isinstance(source, Sequence)
        or not source
        or not all(isinstance(path, (str, os.PathLike)) for path in source)
    ):
        raise InvalidInputError(
            f"A source is a path, a URL, or a list of these, not {source!r:.80}. Send a frame in memory by "
            "df.nucleus.append, .annotate or .predict."
        )
    parts = [_find_one(os.fspath(path), filesystem) for path in source]
    files = [file for part in parts for file in part.files if isinstance(file, ParquetSource)]
    is_local = all(part.is_local for part in parts)
    if is_local:
        root = os.path.commonpath([part.root for part in parts])
        files = [_named_below(file, root) for file in files]
    else:
        root = " ".join(sorted({part.root for part in parts}))
    repeated = sorted({file.name for file in files if sum(file.name == other.name for other in files) > 1})
    if repeated:
        raise InvalidInputError(f"The source names '{repeated[0]}' twice.")
    return SourceFiles(files, root, is_local, [folder for part in parts for folder in part.folders])


def _named_below(file: ParquetSource, folder: str) -> ParquetSource:
    return replace(file, name=Path(file.place).relative_to(folder).as_posix())


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
    except UnicodeError:  # from Arrow, which takes names as strings
        raise InvalidInputError(f"'{shown}' has, or holds, a name that is not UTF-8. Rename it.") from None
    except OSError as error:
        raise InvalidInputError(f"'{shown}' cannot be read: {first_line(error)}.") from None


def _local(source: str) -> SourceFiles:
    system = fs.LocalFileSystem()
    path = Path(os.path.abspath(source))
    if path.is_dir():
        infos, folder = _in_folder(system, str(path)), path
    elif path.is_file():
        infos, folder = [system.get_file_info(str(path))], path.parent
    elif _PATTERN.search(source):
        fixed = re.split(r"[*?\[]", source, maxsplit=1)[0]
        folder = Path(os.path.abspath(os.path.dirname(fixed) or "."))
        names = sorted(name for name in glob.glob(source, recursive=True) if os.path.isfile(name))
        infos = [system.get_file_info(os.path.abspath(name)) for name in names if not _is_hidden(name, str(folder))]
        if not infos:
            raise InvalidInputError(f"No file matches '{source}'.")
    else:
        raise InvalidInputError(f"There is no file '{source}'.{_similar(path)}")
    if not infos:
        raise InvalidInputError(f"The folder '{source}' contains no file that ends in {' or '.join(_ENDINGS)}.")
    return SourceFiles(
        list(_sources(infos, system, f"{folder.as_posix().rstrip('/')}/", "")), str(folder), True, [str(folder)]
    )


def _similar(path: Path) -> str:
    try:
        names = sorted(path_beside.name for path_beside in path.parent.iterdir() if path_beside.suffix in _ENDINGS)
    except OSError:
        return f" Its folder '{path.parent}' does not exist either."
    others = [name for name in names if not name.startswith((".", "_"))]
    stems = {Path(name).stem: name for name in others}
    similar = get_close_matches(path.stem, stems, 1)
    if similar:
        return f" Did you mean {stems[similar[0]]!r}?"
    return f" Its folder holds {', '.join(map(repr, others[:5]))}." if others else ""


def _elsewhere(source: str) -> tuple[Any, str]:
    """Return the file system and path of a URL, by Arrow or else by fsspec."""
    scheme = urlsplit(source).scheme.lower()
    try:
        located: tuple[Any, str] = fs.FileSystem.from_uri(source)
        return located
    except (pa.ArrowException, ValueError, OSError, ImportError):
        pass
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError(
            f"Arrow cannot read '{scheme}' URLs here; fsspec may: pip install fsspec, and the package "
            f"that it needs for '{scheme}'."
        ) from None
    try:
        system, place = url_to_fs(source)
    except ImportError as error:
        raise MissingExtraError(f"Reading '{scheme}' URLs needs another package: {first_line(error)}") from None
    except ValueError:
        raise InvalidInputError(f"'{scheme}' URLs are not supported: '{_without_secrets(source)}'.") from None
    return fs.PyFileSystem(fs.FSSpecHandler(system)), place


def _without_secrets(source: str) -> str:
    """Return a URL without user, password and parameters, any of which may contain a key."""
    parts = urlsplit(source)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _files_at(system: Any, place: str, shown: str, *, prefix: str = "") -> SourceFiles:
    place = place.rstrip("/")
    try:
        info = system.get_file_info(place)
        if info.type == fs.FileType.Directory:
            infos, root = _in_folder(system, place), f"{place}/"
        elif info.type == fs.FileType.File:
            infos, root = [info], _folder_of(place)
        elif _PATTERN.search(place):
            root = _folder_of(_PATTERN.split(place, maxsplit=1)[0])
            below = system.get_file_info(fs.FileSelector(root.rstrip("/"), recursive=True, allow_not_found=True))
            infos = [each for each in below if each.type == fs.FileType.File and _matches(each.path, place)]
            infos = [each for each in infos if not _is_hidden(each.path, root)]
        else:
            raise InvalidInputError(f"There is no file '{shown}'.")
    except OSError as error:
        raise InvalidInputError(f"'{shown}' cannot be reached: {first_line(error)}.") from None
    if not infos:
        raise InvalidInputError(f"'{shown}' contains no Parquet file.")
    files = list(_sources(sorted(infos, key=lambda each: each.path), system, root, prefix))
    folders = [root or os.curdir] if isinstance(system, fs.LocalFileSystem) else []
    return SourceFiles(files, f"{prefix}{root}", False, folders)


def _folder_of(place: str) -> str:
    return place[: place.rfind("/") + 1]


def _matches(path: str, pattern: str) -> bool:
    """Return True if a path matches a pattern; ``**`` matches across folders, ``*`` within one.

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
    infos = [info for info in below if info.type == fs.FileType.File and info.path.lower().endswith(_ENDINGS)]
    return sorted((info for info in infos if not _is_hidden(info.path, root)), key=lambda info: info.path)


def _is_hidden(path: str, root: str) -> bool:
    """Return True if a folder or file below the root is hidden: it begins with a dot or an underscore."""
    below = os.path.abspath(path)[len(os.path.abspath(root)) :] if os.path.isabs(root) else path[len(root) :]
    return any(part.startswith((".", "_")) for part in PurePosixPath(below.replace(os.sep, "/")).parts if part != "/")


def _sources(infos: Sequence[Any], system: Any, root: str, prefix: str) -> Iterator[ParquetSource]:
    """Yield the files that were found below a root; partitions are numbers where all values of a key are."""
    names = [info.path.replace(os.sep, "/").removeprefix(root) for info in infos]
    partitions = [_partitions(name) for name in names]
    numbers = {
        key
        for key in {key for values in partitions for key in values}
        if all(values.get(key) is None or _WHOLE_NUMBER.fullmatch(str(values[key])) for values in partitions)
    }
    for info, name, strings in zip(infos, names, partitions, strict=True):
        values = {key: int(text) if text is not None and key in numbers else text for key, text in strings.items()}
        full_name = f"{prefix}{root}{name}" if prefix else name
        yield ParquetSource(full_name, info.path, system, values, info.size or 0, info.mtime_ns)


def _partitions(name: str) -> dict[str, str | None]:
    partitions: dict[str, str | None] = {}
    for part in name.split("/")[:-1]:
        key, separator, value = part.partition("=")
        if separator and key:
            partitions[unquote(key)] = None if value == _NULL else unquote(value)
    return partitions


def _tail(file: Any, size: int, name: str) -> bytes:
    """Read the footer, or raise an error that says what is wrong with the file."""
    if not size:
        raise InvalidInputError(f"The file '{name}' is empty: 0 bytes.")
    if size < 12:
        raise InvalidInputError(f"The file '{name}' is not a Parquet file: it has {size} bytes.")
    file.seek(0)
    start = bytes(file.read(4))
    file.seek(size - 8)
    end = bytes(file.read(8))
    if end[4:] == _ENCRYPTED:
        raise InvalidInputError(f"The file '{name}' is encrypted; decrypt it first.")
    if end[4:] != _MAGIC:
        if start == _MAGIC:
            raise InvalidInputError(
                f"The file '{name}' is truncated: it begins as Parquet, but has no footer. Copy it again."
            )
        raise InvalidInputError(
            f"The file '{name}' is not a Parquet file. Annotation files of other formats are imported by import_files: "
            "form='coco', form='yolo' or form='voc'. CSV is read by pd.read_csv."
        )
    (length,) = struct.unpack("<i", end[:4])
    if not 0 < length <= size - 12:
        raise InvalidInputError(f"The file '{name}' is damaged: its footer cannot be {length} bytes long.")
    file.seek(size - 8 - length)
    tail = bytes(file.read(length))
    file.seek(0)
    return tail


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().partition("\n")[0].rstrip(".")
