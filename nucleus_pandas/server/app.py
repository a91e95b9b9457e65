"""The WSGI application of an embedded Nucleus: its REST API and its web page."""

from __future__ import annotations

import errno
import hmac
import logging
import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Config, Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from nucleus_pandas._util.threads import ForkSafeLock
from nucleus_pandas.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ServerError,
    TooLargeError,
    ValidationError,
)
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.routes import (
    benchmarks,
    bulk,
    datasets,
    evaluations,
    exports,
    files,
    items,
    jobs,
    models,
    runs,
    slices,
    unsupported,
)
from nucleus_pandas.server.routes.request import IN_PROCESS, MAX_JSON, PREFIX, ItemId, RawId, RestOfPath, reply
from nucleus_pandas.server.web import page
from nucleus_pandas.server.web import routes as page_routes

log = logging.getLogger("nucleus_pandas.server")

MAX_UPLOAD = 512 << 20  # bytes of a signed upload, or of the images of one request
_BUILDING = ForkSafeLock()  # Python 3.11 may fail if two threads compile routes at once
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def create_app(
    nucleus: EmbeddedNucleus,
    *,
    api_keys: Sequence[str] = (),
    hosts: Sequence[str] = LOOPBACK,
    public_url: str | None = None,
    has_page: bool = True,
    remote_images: bool = False,
) -> Flask:
    """Create the application of a store.

    Parameters
    ----------
    nucleus : EmbeddedNucleus
        The open store.
    api_keys : sequence of str
        The accepted keys; without any, requests need no key.
    hosts : sequence of str
        The accepted values of the Host header.
    public_url : str, optional
        The beginning of URLs of this server; by default that of the request.
    has_page : bool
        Whether there is a web page in addition to the API.
    remote_images : bool
        Whether the page lets the browser load images from other servers.
    """
    keys = tuple(key.encode() for key in api_keys)
    with _BUILDING:
        application = copy(_routed(has_page))
    application.config = Config(application.root_path, application.config)
    application.config["PUBLIC_URL"] = public_url
    application.extensions = {"nucleus": nucleus}
    application.before_request_funcs = defaultdict(list, application.before_request_funcs)
    application.before_request_funcs[None] = [_guard(keys, frozenset(hosts))]
    application.wsgi_app = _RawPath(application.wsgi_app)  # type: ignore[method-assign]
    if has_page:
        page.install(application, nucleus, keys, remote_images=remote_images)
    return application


@cache
def _routed(has_page: bool) -> Flask:
    """Create an application with all routes and no store, of which every application is a copy.

    Routes are compiled once per process: that takes 100 ms, ten times as long as opening a store.
    """
    app = Flask("nucleus_pandas.server", static_folder=None)
    app.config.update(MAX_FORM_MEMORY_SIZE=MAX_JSON, MAX_FORM_PARTS=1000)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    app.url_map.converters.update(id=RawId, item=ItemId, rest=RestOfPath)
    api = (datasets, items, exports, slices, models, runs, jobs, evaluations, benchmarks, files, bulk, unsupported)
    for routes in api:
        app.register_blueprint(routes.blueprint, url_prefix=PREFIX)
    app.register_error_handler(APIError, _error_response)
    app.register_error_handler(ValidationError, _invalid)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _failure)
    if has_page:
        page_routes.register(app)
    app.url_map.update()
    return app


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


class _RawPath:
    """Passes the path as it was sent: ids may contain slashes, which are distinct only in the quoted path."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        uri = environ.get("REQUEST_URI")
        if uri is None:
            uri = quote(environ.get("PATH_INFO", "").encode("latin-1"))
        elif not uri.startswith("/"):  # the form of proxies, with the host
            uri = "/" + uri.partition("://")[2].partition("/")[2]
        path = uri.split("?", 1)[0].split("#", 1)[0]
        path = re.sub(rf"^{PREFIX}/{{2,}}", f"{PREFIX}/", path)
        # the contract has routes with and without a trailing slash; the slash may also be part of an id at the end
        environ["PATH_INFO"] = path if re.search("/((ref)?loc|referenceId|taxonomy|scene)/", path) else path.rstrip("/")
        environ["SCRIPT_NAME"] = ""
        return self.application(environ, start_response)


def _guard(keys: tuple[bytes, ...], hosts: frozenset[str]) -> Callable[[], None]:
    def guard() -> None:
        # TRUSTED_HOSTS does not support IPv6 addresses
        if _hostname(request.host) not in hosts:
            raise BadRequestError("The Host header of the request is not an address of this server; see --public-url.")
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            raise AuthenticationError("Requests from pages of other sites are rejected.", 403)
        if request.blueprint == page.blueprint.name:  # it has sessions of its own
            request.max_content_length = page.MAX_FORM
            return
        is_upload = request.endpoint == jobs.RECEIVE_UPLOAD or request.mimetype == "multipart/form-data"
        request.max_content_length = MAX_UPLOAD if is_upload else MAX_JSON
        if not keys or request.endpoint == jobs.RECEIVE_UPLOAD:  # a signed URL contains its own secret
            return
        key = request.authorization.username if request.authorization is not None else None
        key = key or request.headers.get("x-limited-access-key") or ""
        # every key is compared, so that the time does not depend on which one is similar
        if not sum(hmac.compare_digest(key.encode("utf-8", "replace"), accepted) for accepted in keys):
            reason = "an invalid one" if key else "none"
            raise AuthenticationError(f"This server requires an API key; the request has {reason}.")

    return guard


def _error_response(error: APIError) -> Response:
    if page.is_page():
        return page.problem(error.status_code or 500, str(error))
    body = {"status_code": error.status_code, "error": str(error), "error_type": type(error).__name__}
    response = reply(body, error.status_code)
    if error.status_code == 401:
        response.headers["WWW-Authenticate"] = "Basic"
    return response


def _invalid(error: ValidationError) -> Response:
    """Answer an invalid request with 400: what validates a value does not know that it came over HTTP."""
    return _error_response(BadRequestError(str(error)))


def _http_error(error: HTTPException) -> Response:
    code = error.code or 500
    text = error.description or error.name
    if isinstance(error, RequestEntityTooLarge):
        limit = (request.max_content_length or 0) >> 20
        return _error_response(TooLargeError(f"The body of the request is larger than the {limit} MiB allowed here."))
    if code == 404:
        text = f"There is no route {request.method} {request.path}."
        if not request.path.startswith(PREFIX):
            text += f" The API is under {PREFIX}."
    elif code == 405:
        text = f"The route {request.path} does not support {request.method}."
    if page.is_page():
        return page.problem(code, "There is no such page." if code == 404 else text)
    response = reply({"status_code": code, "error": text, "error_type": "APIError"}, code)
    if code == 405 and error.response is None:
        response.headers["Allow"] = ", ".join(getattr(error, "valid_methods", None) or ())
    return response


def _is_full(error: Exception) -> bool:
    """Return True if the disk or the quota is full, so that a retry is pointless."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in _FULL
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _failure(error: Exception) -> Response:
    is_secret = request.endpoint == jobs.RECEIVE_UPLOAD  # whoever knows its path may write there
    log.error("%s %s failed.", request.method, request.url_rule if is_secret else request.path, exc_info=error)
    if _is_full(error):
        return _error_response(
            ServerError(f"The store cannot be written: {error}; nothing was stored. Free some disk space.", 507)
        )
    if isinstance(error, sqlite3.OperationalError):
        return _error_response(ServerError(f"The store failed: {error}."))
    if IN_PROCESS in request.environ:
        request.environ[IN_PROCESS].append(error)
        return _error_response(ServerError(f"The embedded Nucleus failed in this process: {error!r}."))
    return _error_response(ServerError("The server failed; see its log for the reason."))
