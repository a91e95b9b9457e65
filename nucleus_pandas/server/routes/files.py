"""Routes of uploaded files: images that are sent before their items, and the stored images and masks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from flask import Blueprint, Response, request, send_file
from werkzeug.formparser import FormDataParser

from nucleus_pandas.errors import BadRequestError, NotFoundError
from nucleus_pandas.server.ingest.uploaded_files import StagedFile, published
from nucleus_pandas.server.media.files import FileStore, IncomingFile
from nucleus_pandas.server.routes.request import is_multipart, nucleus, reply
from nucleus_pandas.wire.bulk import FILES, ReceivedImage, ReceivedImages

blueprint = Blueprint("files", __name__)

_FIELD = 1 << 20  # bytes of a part that is not a file; the parser reads ahead by a fraction of it


@blueprint.post("/_nucleus_pandas/images")
def receive_images() -> Response:
    """``POST _nucleus_pandas/images``: store images whose items follow, each named by its content."""
    if not is_multipart():
        raise BadRequestError("Send images as a multipart body, each in a part `image`.")
    with _arriving_images() as arriving:
        if not arriving:
            raise BadRequestError("The request has no images; send each as a file in a part named `image`.")
        staged_files = [_staged(file) for file in arriving]
        with published(nucleus(), "images", staged_files):
            pass
    return reply(ReceivedImages(images=[_received(file) for file in staged_files]))


@contextmanager
def _arriving_images() -> Iterator[list[IncomingFile]]:
    """Read the files of a request straight into the staging folder, and remove at the end those not published."""
    images = nucleus().images
    with ExitStack() as stack:

        def open_stream(
            total_content_length: int | None,
            content_type: str | None,
            filename: str | None,
            content_length: int | None = None,
        ) -> Any:
            file = images.arriving(filename)
            stack.callback(file.discard)
            return file

        parser = FormDataParser(stream_factory=open_stream, max_form_memory_size=_FIELD, max_form_parts=FILES)
        options = request.mimetype_params
        _, fields, files = parser.parse(request.stream, request.mimetype, request.content_length, options)
        unknown = sorted({*fields, *files} - {"image"})
        if unknown:
            raise BadRequestError(f"Send each image in a part `image`; the request has a part `{unknown[0][:50]}`.")
        streams: list[Any] = [file.stream for file in files.getlist("image")]
        yield streams


def _staged(file: IncomingFile) -> StagedFile:
    try:
        return file.end()
    except BadRequestError as error:
        return error


def _received(file: StagedFile) -> ReceivedImage:
    if isinstance(file, BadRequestError):
        return ReceivedImage(error=str(file))
    name, width, height = file.image
    return ReceivedImage(image=name, width=width, height=height)


@blueprint.get("/_nucleus_pandas/<any(images, masks):kind>/<rest:name>")
def read_file(kind: str, name: str) -> Response:
    """``GET _nucleus_pandas/{images,masks}/{name}``: return an uploaded file."""
    folder: FileStore = getattr(nucleus(), kind)
    path = folder.path(name)
    if path is None:
        raise NotFoundError(f"There is no file '{name}'.")
    response = send_file(path, max_age=31_536_000, conditional=True)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"  # an SVG may contain scripts
    return response
