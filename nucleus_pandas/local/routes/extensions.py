"""Routes beyond the contract, all under ``_nucleus_pandas/``; `append`, `annotate` and `predict` stand by their kin."""

from __future__ import annotations

from flask import Blueprint, Response, request, send_file

from nucleus_pandas._version import __version__
from nucleus_pandas.errors import BadRequestError, ConflictError, NotFoundError
from nucleus_pandas.local import evaluations
from nucleus_pandas.local.images import Images
from nucleus_pandas.local.routes.common import nucleus, reply
from nucleus_pandas.local.store import models
from nucleus_pandas.local.store.ids import item_id

blueprint = Blueprint("extensions", __name__)

EXTENSIONS = ("idempotency", "matches", "outcomes")
_PAGE = 10_000


@blueprint.get("/_nucleus_pandas")
def discover() -> Response:
    """Tell what this server can do beyond the contract."""
    return reply({"version": __version__, "extensions": EXTENSIONS})


@blueprint.get("/_nucleus_pandas/modelRun/<id:run_id>/matches")
def matches(run_id: str) -> Response:
    """Give a page of the matches that a commit found, as columns."""
    try:
        item, number = map(int, request.args.get("after", "-1,-1").split(","))
        limit = min(int(request.args.get("limit", _PAGE)), _PAGE)
    except ValueError:
        raise BadRequestError("`after` is what the page before gave as `next`; `limit` is a whole number.") from None
    if limit < 1 or max(abs(item), abs(number)) >= 1 << 62:
        raise BadRequestError("`limit` is at least 1, and `after` is what the page before gave as `next`.")
    with nucleus().database.read() as db:
        run = models.find_run(db, run_id)
        if run.committed_at is None:
            raise ConflictError(f"The run '{run_id}' is not committed; run.commit() computes its matches.")
        page = evaluations.page(db, run, (item, number), limit)
    names = (
        "dataset_item_id",
        "reference_id",
        "annotation_id",
        "prediction_id",
        "label",
        "predicted_label",
        "confidence",
        "iou",
        "agrees",
    )
    rows = [(tag and item_id(tag, number), *rest) for number, _, tag, *rest in page.rows]
    columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())
    after = None if page.after is None else f"{page.after[0]},{page.after[1]}"
    return reply({"columns": columns, "next": after, "parameters": run.parameters})


@blueprint.get("/_nucleus_pandas/<any(images, masks):kind>/<rest:name>")
def file(kind: str, name: str) -> Response:
    """Serve an uploaded file."""
    folder: Images = getattr(nucleus(), kind)
    path = folder.path(name)
    if path is None:
        raise NotFoundError(f"There is no file '{name}'.")
    response = send_file(path, max_age=31_536_000, conditional=True)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"  # an SVG may hold scripts
    return response
