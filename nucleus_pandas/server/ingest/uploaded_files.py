"""Uploaded images and masks between their arrival and the row that names them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.media.files import FileStore, ReceivedFile
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import items, pending_files
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.pending_files import StoredFile
from nucleus_pandas.wire.bulk import ItemWithImage

FileKind: TypeAlias = Literal["images", "masks"]
StagedFile: TypeAlias = ReceivedFile | BadRequestError
UploadedFile: TypeAlias = StoredFile | BadRequestError
"""A file, or why it is invalid."""


@contextmanager
def published(nucleus: EmbeddedNucleus, kind: FileKind, staged_files: Sequence[StagedFile]) -> Iterator[None]:
    """Publish files and record them as pending: a file that no row names within a day is removed.

    If the block fails, they are removed at once.
    """
    folder: FileStore = getattr(nucleus, kind)
    valid = [file for file in staged_files if isinstance(file, ReceivedFile)]
    with nucleus.database.write() as db:
        pending_files.add(db, kind, [file.image for file in valid])
    try:
        folder.publish(valid)
        yield
    except BaseException:
        with nucleus.database.write() as db:
            pending_files.settle(db, kind, [file.image.name for file in valid])
        nucleus.purge()
        raise
    nucleus.purge()


@contextmanager
def uploaded_files(nucleus: EmbeddedNucleus, kind: FileKind, parts: Sequence[Any]) -> Iterator[list[UploadedFile]]:
    """Publish the files of a multipart body; the block stores the rows that name them, then calls `settle`."""
    folder: FileStore = getattr(nucleus, kind)
    staged_files: list[StagedFile] = []
    try:
        for part in parts:
            try:
                staged_files.append(folder.stage(part.stream, part.filename))
            except BadRequestError as error:
                staged_files.append(error)
        with published(nucleus, kind, staged_files):
            yield [file.image if isinstance(file, ReceivedFile) else file for file in staged_files]
    finally:
        for file in staged_files:
            if isinstance(file, ReceivedFile):
                folder.discard(file)


def settle(db: sqlite3.Connection, kind: FileKind, files: Sequence[UploadedFile | None] | None) -> None:
    """Record that the rows of these files are stored, so that the files are no longer pending."""
    pending_files.settle(db, kind, [file.name for file in files or () if isinstance(file, StoredFile)])


def named_images(
    nucleus: EmbeddedNucleus, db: sqlite3.Connection, dataset: Dataset, rows: Sequence[ItemWithImage], *, update: bool
) -> list[UploadedFile | None] | None:
    """Find the images that items name; None if no item names one.

    A request may arrive twice: an item that exists and is not replaced no longer needs its image.
    """
    if not any(item.image is not None for item in rows):
        return None
    files = [None if item.image is None else _find_image(nucleus, db, item.image) for item in rows]
    missing = {row: item for row, item in enumerate(rows) if isinstance(files[row], BadRequestError)}
    existing = items.ids_of(db, dataset, (item.reference_id for item in missing.values()))
    for row, item in missing.items():
        if item.reference_id in existing and not (update if item.update is None else item.update):
            files[row] = StoredFile(str(item.image), None, None)
    return files


def _find_image(nucleus: EmbeddedNucleus, db: sqlite3.Connection, name: str) -> UploadedFile:
    """Find an image that is pending, or that another item names."""
    pending = pending_files.find(db, "images", name)
    if nucleus.images.path(name) is None or (pending is None and not pending_files.is_named(db, "images", name)):
        return BadRequestError(f"The image '{name[:100]}' is not stored, or has expired. Send it again, then the item.")
    return pending or nucleus.images.describe(name)
