"""Parsing of requests and replies, as all routes share them."""

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
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest
from werkzeug.routing import BaseConverter

from nucleus_pandas.errors import BadRequestError, NotFoundError, TooLargeError
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.server.ingest.rows import StoredRows
from nucleus_pandas.server.media.files import FileStore
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import idempotency, items, jobs, layers
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.layers import AnnotationLayer, AnnotationRow
from nucleus_pandas.wire.bulk import AnnotateRows
from nucleus_pandas.wire.decoding import decode
from nucleus_pandas.wire.requests import Annotate, LabelPair

T = TypeVar("T")

PREFIX = "/v1/nucleus"
MAX_JSON = 64 << 20  # bytes
IN_PROCESS = "nucleus_pandas.in_process"  # in the WSGI environment of the in-process adapter: a list of failures


class RawId(BaseConverter):
    """One segment of the path, unquoted after routing."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        """Unquote the segment."""
        try:
            return unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise BadRequest("An id in the path is not valid UTF-8.") from None


class ItemId(RawId):
    """A segment that can be an item id."""

    regex = "di_[^/]+"


class RestOfPath(RawId):
    """The rest of the path: some clients send ids unquoted, including their slashes."""

    regex = ".+"
    part_isolating = False


def nucleus() -> EmbeddedNucleus:
    """Return the embedded Nucleus that this application serves."""
    return cast(EmbeddedNucleus, current_app.extensions["nucleus"])


def reply(body: object, status: int = 200) -> Response:
    """Create a JSON response."""
    return Response(msgspec.json.encode(body), status, content_type="application/json")


def reply_from(read: Callable[[sqlite3.Connection], object]) -> Response:
    """Reply with what a function returns, which reads the store in one transaction."""
    with nucleus().database.read() as db:
        return reply(read(db))


def body(shape: type[T]) -> T:
    """Read the request's body as a Struct; a missing body counts as an empty object."""
    return decode(request.get_data(cache=True) or b"{}", shape)


def create_once(create: Callable[[sqlite3.Connection], object]) -> Response:
    """Reply to a request that creates something, once per Idempotency-Key: a repeated one gets the first reply.

    An empty key is none.
    """
    key = request.headers.get("Idempotency-Key")
    if not key:
        with nucleus().database.write() as db:
            return reply(create(db))
    digest = blake2b(f"{request.method} {request.path}\n".encode(), digest_size=16)
    digest.update(request.get_data(cache=True))
    with nucleus().database.write() as db:
        answer = idempotency.recall(db, key, digest.hexdigest())
        if answer is None:
            answer = msgspec.json.encode(create(db))
            idempotency.remember(db, key, digest.hexdigest(), answer)
    return Response(answer, content_type="application/json")


def end_stale_jobs() -> None:
    """End the jobs whose process has stopped, so that nobody waits for them."""
    with nucleus().database.read() as db:
        stale = jobs.any_stale(db)
    if stale:
        with nucleus().database.write() as db:
            jobs.end_stale(db)


def is_async() -> bool:
    """Return True if the caller asks for a job."""
    return request.args.get("async") in ("1", "true", "True")


class _MaybeUpload(Struct, rename={"request_id": "requestId"}):
    request_id: Any = UNSET


def names_upload() -> bool:
    """Return True if the body names a signed upload instead of holding rows."""
    text = request.get_data(cache=True)
    if b"requestId" not in text and b"\\u" not in text:  # avoids parsing rows twice
        return False
    return body(_MaybeUpload).request_id is not UNSET


def is_multipart() -> bool:
    """Return True if the body is multipart, with files."""
    return request.mimetype == "multipart/form-data"


def form_field(name: str) -> bytes | None:
    """Return a part of a multipart body that is not a file, however the client labelled it; None if it is missing."""
    if name in request.form:
        return request.form[name].encode()
    if name not in request.files:
        return None
    text = request.files[name].stream.read(MAX_JSON + 1)
    if len(text) > MAX_JSON:
        raise TooLargeError(f"The part `{name}` is larger than {MAX_JSON >> 20} MiB.")
    return text


def file_url(kind: str, name: str) -> str:
    """Return the URL of an uploaded file, or its path for a client in this process."""
    files: FileStore = nucleus().images if kind == "images" else nucleus().masks
    if IN_PROCESS in request.environ:
        return str(files.folder / name)
    return f"{api_url()}/_nucleus_pandas/{kind}/{name}"


def api_url() -> str:
    """Return the URL of this API, as the caller reaches it."""
    origin: str = current_app.config.get("PUBLIC_URL") or request.host_url
    return f"{origin.rstrip('/')}{PREFIX}"


def is_bulk() -> bool:
    """Return True if the request came through a route of the bulk API."""
    return request.path.startswith(f"{PREFIX}/_nucleus_pandas/")


def annotation_request() -> tuple[Annotate, list[FileStorage] | None]:
    """Read the body of a request that stores annotations, and its mask files; None for a JSON body."""
    shape = AnnotateRows if is_bulk() else Annotate
    if not is_multipart():
        return body(shape), None
    text = form_field("serialized_request")
    if text is None:
        raise BadRequestError("A multipart request with masks has a part `serialized_request`.")
    return decode(text, shape, "The part `serialized_request`"), request.files.getlist("mask")


def since() -> int | None:
    """Return the arrival of the first row of the upload that the request is a part of, if it says so."""
    return request.args.get("since", type=int) if is_bulk() else None


def reply_stored(ids: dict[str, object], noun: str, stored: StoredRows) -> Response:
    """Reply to a request that stored annotations or predictions."""
    described = {
        **ids,
        f"{noun}_processed": stored.count("new", "updated"),
        f"{noun}_ignored": stored.count("ignored"),
    }
    if stored.errors:
        described["errors"] = [stored.errors[row] for row in sorted(stored.errors)]
    return reply(described | (row_outcomes(stored) if is_bulk() else {}))


def row_outcomes(stored: StoredRows) -> dict[str, object]:
    """Return the outcome of every row as run-length pairs, and the errors of the rejected rows."""
    runs = [[outcome, sum(1 for _ in rows)] for outcome, rows in groupby(stored.outcomes)]
    described = {"outcomes": runs, "row_errors": [[row, text] for row, text in sorted(stored.errors.items())]}
    if stored.since is not None:
        described |= {"since": stored.since, "beside": stored.beside}
    return described | ({"outside": stored.outside} if stored.outside.boxes else {})


def find_item(db: sqlite3.Connection, dataset: Dataset, by: str, key: str) -> ItemRow:
    """Find the item that a path names by ``refloc``, ``iloc`` or ``loc``."""
    if by == "refloc":
        return items.by_reference_id(db, dataset, key)
    if by == "loc":
        return items.by_item_id(db, dataset, key)
    try:
        position = int(key)
    except ValueError:
        raise BadRequestError(f"A position is an integer, not '{key[:50]}'.") from None
    return items.at_position(db, dataset, position)


def find_annotation(db: sqlite3.Connection, dataset: Dataset, layer: AnnotationLayer) -> tuple[ItemRow, AnnotationRow]:
    """Find what a path ``…/loc/{reference id}/{annotation id}`` names; either id may contain unquoted slashes."""
    parts = [unquote(part) for part in request.path.split("/loc/", 1)[1].split("/")]
    for cut in range(1, len(parts)):
        reference_id, annotation_id = "/".join(parts[:cut]), "/".join(parts[cut:])
        for number in items.ids_of(db, dataset, [reference_id]).values():
            row = layers.find(db, layer, number, annotation_id)
            if row is not None:
                return items.by_reference_id(db, dataset, reference_id), row
    raise NotFoundError(f"There is no annotation '{'/'.join(parts)}' (reference id / annotation id).")


def label_rule(class_agnostic: bool | None, pairs: list[LabelPair] | None) -> LabelRule:
    """Return the rule that the fields of a request describe."""
    try:
        return LabelRule.of(
            class_agnostic,
            None if pairs is None else [(pair.ground_truth_label, pair.model_prediction_label) for pair in pairs],
        )
    except ValueError as error:
        raise BadRequestError(str(error)) from None


def check_label_matches_id(public_id: str | None) -> None:
    """Raise NotFoundError if a request names stored label matches, which this server does not have."""
    if public_id is not None:
        raise NotFoundError(
            f"There are no stored label matches '{public_id}', because this server stores none. Pass "
            "`allowed_label_matches` to the evaluation of a run, or `rollupGroups`."
        )
