"""Files of other formats and folders of images, imported as Parquet files are: in groups of rows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io import Frames, read_coco, read_voc, read_yolo
from nucleus_pandas.io.image_folder import read_images
from nucleus_pandas.schema import CANONICAL

FileFormat: TypeAlias = Literal["coco", "yolo", "voc", "images"]

FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
_ARGUMENTS = {"coco": ("images", "ground_truth"), "yolo": ("images", "names"), "voc": ("images",), "images": ()}


_ROWS, _IMAGES = 100_000, 1_000  # per group; with local images

_NESTED = ("metadata", "geometry", "class_pdf", "embedding_vector")


class FrameFile:
    """A frame that was read from files.

    Parameters
    ----------
    name : str
        Its name in errors, rejects and the journal.
    frame : pandas.DataFrame
        Its rows; dicts in ``metadata``, ``geometry`` and ``class_pdf``, lists in ``embedding_vector``.
    identity : str
        Differs between versions of its files.
    images : bool
        Whether rows are sent with local files.
    """

    def __init__(self, name: str, frame: pd.DataFrame, identity: str, *, images: bool = False) -> None:
        self.name = name
        self.identity = identity
        self.partitions: Mapping[str, str | int | None] = {}
        self._frame = frame.assign(**{key: _as_json(frame[key]) for key in _NESTED if key in frame})
        self._size = _IMAGES if images else _ROWS
        self.schema = pa.Schema.from_pandas(self._frame, preserve_index=False)

    @property
    def groups(self) -> Sequence[tuple[int, int]]:
        """The number of rows of each group, and 0 bytes: the frame is in memory already."""
        starts = range(0, len(self._frame), self._size)
        return [(min(self._size, len(self._frame) - start), 0) for start in starts]

    def state(self) -> object:
        """Return a state that never changes: the frame is in memory."""
        return self.identity

    def is_found(self, state: object) -> bool:
        """Return True if a state is the one at the beginning."""
        return state == self.identity

    def is_same(self, identity: str | None) -> bool:
        """Return True if an identity is this one."""
        return identity == self.identity

    def open(self) -> FrameFile:
        """Return the reader of groups, which is this object."""
        return self

    def read_row_group(self, number: int, columns: Sequence[str]) -> Any:
        """Return some rows as an Arrow table."""
        rows = self._frame.iloc[number * self._size : (number + 1) * self._size]
        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_pandas(rows[list(columns)], schema=schema, preserve_index=False)


def _as_json(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return dicts and lists as JSON: in a column of Arrow structs, each would have the keys of all."""
    encode = msgspec.json.Encoder().encode
    texts = [encode(value).decode() if isinstance(value, (Mapping, list)) else None for value in column]
    return pd.Series(np.array(texts, dtype=object), index=column.index, dtype=object)


def state_of(paths: Iterable[str | os.PathLike[str]]) -> str:
    """Return a hash of the names, sizes and times of files, and of all files in folders."""
    digest = blake2b(digest_size=16)
    for path in map(Path, paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if any(part.startswith((".", "_")) for part in file.relative_to(path).parts):
                continue
            with suppress(OSError):  # a file without a state was not read
                state = file.stat()
                if stat.S_ISREG(state.st_mode):
                    name = os.fsencode(file.relative_to(path))
                    digest.update(b"%b\0%d\0%d\0" % (name, state.st_size, state.st_mtime_ns))
    return digest.hexdigest()


@dataclass(frozen=True)
class FileContent:
    """The content of annotation files.

    Attributes
    ----------
    items : FrameFile
        Images.
    annotations : FrameFile or None
        Boxes; None for a folder of images.
    predicted : bool
        Whether the boxes have confidences.
    folder : pathlib.Path
        The folder of the files.
    """

    items: FrameFile
    annotations: FrameFile | None
    predicted: bool
    folder: Path


def formats_with(name: str) -> list[str]:
    """Return the formats that have an argument: ``images``, ``names`` or ``ground_truth``."""
    return [form for form, arguments in _ARGUMENTS.items() if name in arguments]


def read_files(
    source: str | os.PathLike[str],
    form: FileFormat,
    *,
    images: str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | None = None,
    ground_truth: str | os.PathLike[str] | None = None,
    allow_outside: bool = False,
) -> FileContent:
    """Read files.

    Raises
    ------
    InvalidInputError
        A file is invalid, or an argument does not apply to its format.
    """
    if form not in FILE_FORMATS:
        raise InvalidInputError(f"form is {' or '.join(map(repr, FILE_FORMATS))}, not {form!r}.", argument="form")
    arguments = {"images": images, "names": names, "ground_truth": ground_truth}
    for name, value in arguments.items():
        if value is not None and name not in _ARGUMENTS[form]:
            raise InvalidInputError(
                f"{name}= applies to {' and '.join(map(repr, formats_with(name)))}, not to {form!r}.", argument=name
            )
    path = Path(os.path.expanduser(source)).absolute()
    if not path.exists():
        raise InvalidInputError(f"There is no file '{source}'.")
    if form == "images":
        frame_file = FrameFile(path.name, read_images(path), state_of([path]), images=True)
        return FileContent(frame_file, None, False, path)
    if form == "yolo" and images is None:
        images = next((folder for folder in _beside(path) if folder.name == "images" and folder.is_dir()), None)
    frames = _frames(path, form, images, names, ground_truth, allow_outside)
    if images is None and frames.items["image_url"].isna().any():
        images = next((folder for folder in _beside(path) if _holds(folder, frames.items)), None)
        if images is not None:
            frames = _frames(path, form, images, names, ground_truth, allow_outside)
        elif frames.items["image_url"].isna().all() and len(frames.items) and "confidence" not in frames.annotations:
            raise InvalidInputError(
                f"No image of '{source}' has a URL, and the files are not beside it. Name their folder: "
                "images='your_folder'.",
                argument="images",
            )
    state = state_of([path, *(place for place in (images, names, ground_truth) if place is not None)])
    return FileContent(
        FrameFile(path.name, _to_send(frames.items), state, images=images is not None),
        FrameFile(path.name, _to_send(frames.annotations), state),
        "confidence" in frames.annotations,
        path if path.is_dir() else path.parent,
    )


def _frames(
    path: Path,
    form: FileFormat,
    images: str | os.PathLike[str] | None,
    names: str | os.PathLike[str] | None,
    ground_truth: str | os.PathLike[str] | None,
    allow_outside: bool,
) -> Frames:
    if form == "coco":
        return read_coco(path, images=images, ground_truth=ground_truth, allow_outside=allow_outside)
    if form == "yolo":
        return read_yolo(path, images=images, names=names, allow_outside=allow_outside)
    return read_voc(path, images=images, allow_outside=allow_outside)


def _beside(path: Path) -> list[Path]:
    """Return the folders that usually hold the images."""
    folder = path if path.is_dir() else path.parent
    return [folder / "images", folder.parent / "images", folder, folder.parent.parent / "images"]


def _holds(folder: Path, items: pd.DataFrame) -> bool:
    """Return True if a folder holds all images."""
    return folder.is_dir() and all((folder / name).is_file() for name in items["reference_id"])


def _to_send(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that are sent; the metadata holds the others."""
    return frame[[name for name in frame if name in CANONICAL]]
