"""Files of requests: images that come before their items, and those that come with rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, TypeAlias

from flask import Blueprint, Response, request
from werkzeug.formparser import FormDataParser

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.media.files import Arriving, Images, Staged
from nucleus_pandas.server.routes.request import is_multipart, nucleus, reply
from nucleus_pandas.server.store import items, pending_files
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.pending_files import Image
from nucleus_pandas.wire.bulk import FILES, ItemWithImage, ReceivedImage, ReceivedImages

blueprint = Blueprint("images", __name__)

FileKind: TypeAlias = Literal["images", "masks"]
StagedFiles: TypeAlias = list[Staged | BadRequestError]

_FIELD = 1 << 20  # bytes of a part that is no file; the parser reads ahead by a part of it


@blueprint.post("/_nucleus_pandas/images")
def receive() -> Response:
    """Take images whose items follow: each is stored by its content, and waits for an item that names it."""
    if not is_multipart():
        raise BadRequestError("Images come as a multipart body, each in a part `image`.")
    with _arrived() as files:
        if not files:
            raise BadRequestError("The request holds no image, as a file in a part named `image`.")
        staged = [_staged(file) for file in files]
        with _waiting("images", staged):
            pass
    return reply(ReceivedImages(images=[_received(one) for one in staged]))


@contextmanager
def _arrived() -> Iterator[list[Arriving]]:
    """Read the files of a request straight to where they are staged, and remove in the end those that are there."""
    images = nucleus().images
    with ExitStack() as stack:

        def arriving(
            total_content_length: int | None,
            content_type: str | None,
            filename: str | None,
            content_length: int | None = None,
        ) -> Any:
            file = images.arriving(filename)
            stack.callback(file.discard)
            return file

        parser = FormDataParser(stream_factory=arriving, max_form_memory_size=_FIELD, max_form_parts=FILES)
        options = request.mimetype_params
        _, fields, files = parser.parse(request.stream, request.mimetype, request.content_length, options)
        unknown = sorted({*fields, *files} - {"image"})
        if unknown:
            raise BadRequestError(f"Each image comes in a part `image`; there is one in a part `{unknown[0][:50]}`.")
        streams: list[Any] = [file.stream for file in files.getlist("image")]
        yield streams


def _staged(file: Arriving) -> Staged | BadRequestError:
    try:
        return file.end()
    except BadRequestError as error:
        return error


def _received(file: Staged | BadRequestError) -> ReceivedImage:
    if isinstance(file, BadRequestError):
        return ReceivedImage(error=str(file))
    name, width, height = file.image
    return ReceivedImage(image=name, width=width, height=height)


@contextmanager
def _waiting(kind: FileKind, staged: StagedFiles) -> Iterator[None]:
    """Publish files, which wait in the store meanwhile: should no row come to name them, they go after a day.

    Where the block fails, they go at once.
    """
    folder: Images = getattr(nucleus(), kind)
    good = [file for file in staged if isinstance(file, Staged)]
    with nucleus().database.write() as db:
        pending_files.add(db, kind, [file.image for file in good])
    try:
        folder.publish(good)
        yield
    except BaseException:
        with nucleus().database.write() as db:
            pending_files.settle(db, kind, [file.image.name for file in good])
        nucleus().purge()
        raise
    nucleus().purge()


@contextmanager
def files_with_rows(kind: FileKind, uploaded: Sequence[Any]) -> Iterator[list[Image | BadRequestError]]:
    """Return files that came with rows, which the block has to store and to `settle`."""
    folder: Images = getattr(nucleus(), kind)
    staged: StagedFiles = []
    try:
        for file in uploaded:
            try:
                staged.append(folder.stage(file.stream, file.filename))
            except BadRequestError as error:
                staged.append(error)
        with _waiting(kind, staged):
            yield [one.image if isinstance(one, Staged) else one for one in staged]
    finally:
        for one in staged:
            if isinstance(one, Staged):
                folder.discard(one)


def settle(db: sqlite3.Connection, kind: FileKind, files: Sequence[Image | BadRequestError | None] | None) -> None:
    """Record that rows were stored, with these files or without them."""
    pending_files.settle(db, kind, [file.name for file in files or () if isinstance(file, Image)])


def named_images(
    db: sqlite3.Connection, dataset: Dataset, wanted: Sequence[ItemWithImage], *, update: bool
) -> list[Image | BadRequestError | None] | None:
    """Find the images that items name; None where none does.

    An item that is there already and is not replaced needs its image no more: its request may come twice.
    """
    if not any(item.image is not None for item in wanted):
        return None
    found = [None if item.image is None else _find(db, item.image) for item in wanted]
    lost = {n: item for n, item in enumerate(wanted) if isinstance(found[n], BadRequestError)}
    there = items.ids_of(db, dataset, (item.reference_id for item in lost.values()))
    for number, item in lost.items():
        if item.reference_id in there and not (update if item.update is None else item.update):
            found[number] = Image(str(item.image), None, None)
    return found


def _find(db: sqlite3.Connection, name: str) -> Image | BadRequestError:
    """Find an image that waits, or that another item names."""
    images = nucleus().images
    found = pending_files.find(db, "images", name)
    if images.path(name) is None or (found is None and not pending_files.is_named(db, "images", name)):
        return BadRequestError(f"No image '{name[:100]}' waits here, or not any more. Send it again, then the item.")
    return found or images.look_at(name)
