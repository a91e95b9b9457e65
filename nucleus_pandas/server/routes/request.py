"""What all routes share: ids in paths, bodies, answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from hashlib import blake2b
from itertools import groupby
from typing import Any, TypeVar, cast
from urllib.parse import unquote

import msgspec
from flask import Response, current_app, request
from msgspec import UNSET, Struct
from werkzeug.exceptions import BadRequest
from werkzeug.routing import BaseConverter

from nucleus_pandas.errors import TooLargeError
from nucleus_pandas.server.media.files import Images
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import idempotency, jobs
from nucleus_pandas.wire.decoding import decode

T = TypeVar("T")

PREFIX = "/v1/nucleus"
MAX_JSON = 64 << 20  # bytes
IN_PROCESS = "nucleus_pandas.in_process"  # set in the WSGI environment by the in-process adapter


class RawId(BaseConverter):
    """One segment of the path as it was sent, unquoted."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        """Unquote the segment."""
        try:
            return unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise BadRequest("An id in the path is not UTF-8 text.") from None


class ItemId(RawId):
    """A segment that can be an item id."""

    regex = "di_[^/]+"


class RestOfPath(RawId):
    """The rest of the path: some clients send ids unquoted, slashes and all."""

    regex = ".+"
    part_isolating = False


def nucleus() -> EmbeddedNucleus:
    """Return the store that this application answers for."""
    return cast(EmbeddedNucleus, current_app.extensions["nucleus"])


def reply(body: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(body), status, content_type="application/json")


def body(shape: type[T]) -> T:
    """Read the request's body as one of the wire's Structs; an absent body counts as an empty object."""
    return decode(request.get_data(cache=True) or b"{}", shape)


def creation(create: Callable[[sqlite3.Connection], object]) -> Response:
    """Answer a request that makes something: the same Idempotency-Key again gets the same answer, and makes nothing."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        with nucleus().database.write() as db:
            return reply(create(db))
    seal = blake2b(f"{request.method} {request.path}\n".encode(), digest_size=16)
    seal.update(request.get_data(cache=True))
    with nucleus().database.write() as db:
        answer = idempotency.recall(db, key, seal.hexdigest())
        if answer is None:
            answer = msgspec.json.encode(create(db))
            idempotency.remember(db, key, seal.hexdigest(), answer)
    return Response(answer, content_type="application/json")


def end_stale_jobs() -> None:
    """End the jobs whose process is gone, so that nobody waits for them."""
    with nucleus().database.read() as db:
        stale = jobs.any_stale(db)
    if stale:
        with nucleus().database.write() as db:
            jobs.end_stale(db)


def is_async() -> bool:
    """Return whether the caller wants a job."""
    return request.args.get("async") in ("1", "true", "True")


class _MaybeUpload(Struct, rename={"request_id": "requestId"}):
    request_id: Any = UNSET


def names_upload() -> bool:
    """Return whether the body names a signed upload instead of holding rows."""
    text = request.get_data(cache=True)
    if b"requestId" not in text and b"\\u" not in text:  # so that rows are not parsed twice
        return False
    return body(_MaybeUpload).request_id is not UNSET


def is_multipart() -> bool:
    """Return whether the body holds files."""
    return request.mimetype == "multipart/form-data"


def form_field(name: str) -> bytes | None:
    """Return a part of a multipart body that is no file, however the client labelled it."""
    if name in request.form:
        return request.form[name].encode()
    if name not in request.files:
        return None
    text = request.files[name].stream.read(MAX_JSON + 1)
    if len(text) > MAX_JSON:
        raise TooLargeError(f"The part `{name}` is larger than {MAX_JSON >> 20} MiB.")
    return text


def file_url(kind: str, name: str) -> str:
    """Return the address of an uploaded file: on this host, or in process its path."""
    files: Images = nucleus().images if kind == "images" else nucleus().masks
    if request.environ.get(IN_PROCESS):
        return str(files.folder / name)
    return f"{own_address()}/_nucleus_pandas/{kind}/{name}"


def own_address() -> str:
    """Return the address of this API, as the caller reaches it."""
    origin: str = current_app.config.get("PUBLIC_URL") or request.host_url
    return f"{origin.rstrip('/')}{PREFIX}"


def is_extension() -> bool:
    """Return whether the request came to a route beyond the contract."""
    return request.path.startswith(f"{PREFIX}/_nucleus_pandas/")


def summary(stored: Any) -> dict[str, object]:
    """Return the outcome of every row: run-length pairs, and the reasons of those that were refused."""
    runs = [[outcome, sum(1 for _ in rows)] for outcome, rows in groupby(stored.outcomes)]
    return {"outcomes": runs, "row_errors": [[row, text] for row, text in sorted(stored.errors.items())]}
