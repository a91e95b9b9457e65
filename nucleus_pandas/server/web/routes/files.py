"""Images and masks for the page: the cookie gives access to them, while those of the API need a key."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path

from flask import Response, request, send_file

from nucleus_pandas._util.colours import RGB
from nucleus_pandas.errors import BadRequestError, NotFoundError
from nucleus_pandas.images import mask_overlays
from nucleus_pandas.images.thumbnails import MIMETYPE
from nucleus_pandas.server.media.thumbnails import AT_ONCE, PIXELS, CopySize
from nucleus_pandas.server.web.figures import MOST_SEGMENTS
from nucleus_pandas.server.web.page import blueprint, page

_COLOURED = re.compile(rf"(\d{{1,10}}-\d{{1,2}}(\.\d{{1,10}}-\d{{1,2}}){{0,{MOST_SEGMENTS - 1}}})?", re.ASCII)
_YEAR = 31_536_000  # seconds; the content of a name never changes
_BROKEN = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 30" width="320" height="240">'
    b'<path d="M14 10h12v10H14zM14 10l12 10M26 10 14 20" fill="none" stroke="#8a8f98"/></svg>'
)


def _send(path: Path, mimetype: str) -> Response:
    response = send_file(path, mimetype, max_age=_YEAR, conditional=True)
    response.headers["Cache-Control"] = f"private, max-age={_YEAR}, immutable"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"  # an SVG may hold scripts
    return response


@blueprint.get("/thumbnails/<rest:name>", defaults={"size": "small"}, endpoint="thumbnail")
@blueprint.get("/large/<rest:name>", defaults={"size": "large"}, endpoint="large")
def resized(name: str, size: CopySize) -> Response:
    """Send a copy of an image in a format that browsers can show."""
    path = page().nucleus.thumbnails.path(name, size)
    if path is not None:
        return _send(path, MIMETYPE)
    if page().nucleus.images.path(name) is None:
        raise NotFoundError("There is no such image.")
    return Response(_BROKEN, content_type="image/svg+xml")


@blueprint.get("/images/<rest:name>")
def image(name: str) -> Response:
    """Send an image as it was uploaded."""
    path = page().nucleus.images.path(name)
    if path is None:
        raise NotFoundError("There is no such image.")
    kind = mimetypes.guess_type(name)[0] or ""
    return _send(path, kind if kind.startswith("image/") else "application/octet-stream")


@blueprint.get("/masks/<rest:name>")
def mask(name: str) -> Response:
    """Send a mask in colours: with ``c=1-3.2-5``, pixels of 1 have colour 3, and those of 2 colour 5."""
    text = request.args.get("c", "")
    size: CopySize = "large" if request.args.get("size") == "large" else "small"
    if not _COLOURED.fullmatch(text):
        raise BadRequestError("`c` must be pairs of a number and its colour, such as 1-3.2-5.")
    pairs = [[int(number) for number in pair.split("-")] for pair in text.split(".") if pair]
    path = page().nucleus.masks.path(name)
    if path is None:
        raise NotFoundError("There is no such mask.")
    colours = {number: colour % len(RGB) for number, colour in pairs}
    striped = bool(request.args.get("striped"))
    with AT_ONCE:
        content = mask_overlays.overlay(path, colours, RGB, PIXELS[size], striped=striped)
    if content is None:
        raise NotFoundError("This mask cannot be drawn.")
    response = Response(content, content_type=mask_overlays.MIMETYPE)
    response.headers["Cache-Control"] = f"private, max-age={_YEAR}, immutable"
    return response
