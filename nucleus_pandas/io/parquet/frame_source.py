"""Frames that are imported as files are: in groups of rows, which the journal knows by their source."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

_ROWS, _IMAGES = 100_000, 1_000  # of a group; of local images

_OBJECTS = ("metadata", "geometry", "class_pdf", "embedding_vector")


class FrameFile:
    """A frame that was read from files.

    Parameters
    ----------
    name : str
        What errors, rejects and the journal call it.
    frame : pandas.DataFrame
        Its rows; dicts in ``metadata``, ``geometry`` and ``class_pdf``, lists in ``embedding_vector``.
    identity : str
        What tells its files from another version of them.
    images : bool
        Whether rows go with local files.
    """

    def __init__(self, name: str, frame: pd.DataFrame, identity: str, *, images: bool = False) -> None:
        self.name = name
        self.identity = identity
        self.partitions: Mapping[str, str | int | None] = {}
        self._frame = frame.assign(**{key: _texts(frame[key]) for key in _OBJECTS if key in frame})
        self._size = _IMAGES if images else _ROWS
        self.schema = pa.Schema.from_pandas(self._frame, preserve_index=False)

    @property
    def groups(self) -> Sequence[tuple[int, int]]:
        """How many rows each group has; they take no memory that is not taken yet."""
        starts = range(0, len(self._frame), self._size)
        return [(min(self._size, len(self._frame) - start), 0) for start in starts]

    def state(self) -> object:
        """Return that it does not change: it is in memory."""
        return self.identity

    def is_found(self, state: object) -> bool:
        """Return whether a state is that in which it was found."""
        return state == self.identity

    def is_same(self, identity: str | None) -> bool:
        """Return whether an identity is this one."""
        return identity == self.identity

    def open(self) -> FrameFile:
        """Return what reads groups."""
        return self

    def read_row_group(self, number: int, columns: Sequence[str]) -> Any:
        """Return some rows as an Arrow table."""
        some = self._frame.iloc[number * self._size : (number + 1) * self._size]
        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_pandas(some[list(columns)], schema=schema, preserve_index=False)


def _texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """Write dicts and lists as JSON: a column of Arrow's structs would give each the keys of all."""
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
            with suppress(OSError):  # of what cannot be looked at nothing was read
                state = file.stat()
                if stat.S_ISREG(state.st_mode):
                    name = os.fsencode(file.relative_to(path))
                    digest.update(b"%b\0%d\0%d\0" % (name, state.st_size, state.st_mtime_ns))
    return digest.hexdigest()
