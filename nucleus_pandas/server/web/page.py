"""What all routes of the page share: access control, the headers of every response, and rendering."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, g, redirect, render_template, request, url_for

from nucleus_pandas.errors import AuthenticationError
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.routes.request import PREFIX
from nucleus_pandas.server.web.result_cache import ResultCache
from nucleus_pandas.server.web.sessions import SECONDS, Session, Sessions

MAX_FORM = 1 << 20  # bytes
_PUBLIC = ("page.login", "page.log_in", "page.static")
_YEAR = 31_536_000  # seconds

blueprint = Blueprint("page", __name__, template_folder="templates")


@dataclass(frozen=True)
class Page:
    """The page of one application.

    Attributes
    ----------
    nucleus : EmbeddedNucleus
        The store that it shows.
    keys : tuple of bytes
        The valid API keys; with none, every visitor has access.
    sessions : Sessions
        Cookies and tokens.
    remote_images : bool
        Whether the browser may load images from other servers.
    cache : ResultCache
        Expensive results.
    """

    nucleus: EmbeddedNucleus
    keys: tuple[bytes, ...]
    sessions: Sessions
    remote_images: bool
    cache: ResultCache

    @property
    def policy(self) -> str:
        """The Content Security Policy: nothing from other servers, and no code in the markup."""
        images = "'self' http: https:" if self.remote_images else "'self'"
        return (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; form-action 'self';"
            " base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        )


def install(app: Flask, nucleus: EmbeddedNucleus, keys: tuple[bytes, ...], *, remote_images: bool) -> None:
    """Connect the page of an application to a store."""
    app.extensions["page"] = Page(nucleus, keys, Sessions(nucleus.folder, keys), remote_images, ResultCache(nucleus))


def page() -> Page:
    """Return the page of this application."""
    return cast(Page, current_app.extensions["page"])


def is_page() -> bool:
    """Return True if the response must be a page, also if there is no such route."""
    if "page" not in current_app.extensions:
        return False
    if request.blueprint is not None:
        return request.blueprint == blueprint.name
    accepted = request.accept_mimetypes
    return not request.path.startswith(f"{PREFIX}/") and accepted["text/html"] > accepted["application/json"]


def _cookie_name() -> str:
    """Return a name with the port: browsers send cookies of a host to all of its ports."""
    port = request.host.rpartition(":")[2]
    return f"nucleus_pandas_{port if port.isascii() and port.isdigit() else 0}"


@blueprint.before_request
def _check() -> Response | None:
    """Read the session, and reject unknown visitors and forms of other sites."""
    session = page().sessions.read(request.cookies.get(_cookie_name()))
    begin(session or page().sessions.new(is_known=False), is_new=session is None)
    if page().keys and not g.session.is_known and request.endpoint not in _PUBLIC:
        if request.method == "GET":
            return cast(Response, redirect(url_for("page.login", next=request.full_path.rstrip("?")), 303))
        raise AuthenticationError("Log in first; this server needs an API key.")
    if request.method == "POST" and not page().sessions.is_token(g.session, request.form.get("token", "")):
        raise AuthenticationError(
            "This form has expired, or belongs to another site. Go back, reload the page and send it again.", 403
        )
    return None


def begin(session: Session, *, is_new: bool = True) -> None:
    """Use a session for this request and the next ones of this browser."""
    g.session, g.is_new_session = session, is_new


def is_key(key: str) -> bool:
    """Return True if an API key is valid; it is compared with all, so that the time reveals nothing."""
    return bool(sum(hmac.compare_digest(key.encode("utf-8", "replace"), valid) for valid in page().keys))


def render(template: str, status: int = 200, /, **values: Any) -> Response:
    """Return a response from a template."""
    session: Session | None = g.get("session")
    text = render_template(
        template,
        static=static_url,
        token="" if session is None else page().sessions.token(session),
        can_log_out=session is not None and session.is_known,
        remote_images=page().remote_images,
        **values,
    )
    text = text.replace("\0", "\ufffd")  # browsers drop it
    return Response(text.encode("utf-8", "replace"), status, content_type="text/html; charset=utf-8")


def waiting(**values: Any) -> Response:
    """Return a page that reloads itself until the results are computed."""
    response = render("waiting.html", 202, **values)
    response.headers["Refresh"] = "2"
    return response


def link(endpoint: str, **values: Any) -> str:
    """Return the URL of a page."""
    return url_for(f"page.{endpoint}", **values)


def problem(status: int, text: str) -> Response:
    """Return a page with an error message."""
    return dress(render("problem.html", status, status=status, text=text))


@blueprint.after_request
def dress(response: Response) -> Response:
    """Add the headers that isolate the page from other sites, and the cookie of a new session."""
    headers = response.headers
    if "Content-Security-Policy" not in headers:
        headers["Content-Security-Policy"] = page().policy
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"  # with no-referrer the browser would hide the origin of our own forms
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if "Cache-Control" not in headers or headers["Cache-Control"] == "no-cache":
        headers["Cache-Control"] = "no-store" if page().keys else "private, no-cache"
    session: Session | None = g.get("session")
    if session is not None and g.is_new_session and response.mimetype == "text/html":
        response.set_cookie(
            _cookie_name(),
            page().sessions.write(session),
            max_age=SECONDS,
            secure=(current_app.config.get("PUBLIC_URL") or request.host_url).startswith("https:"),
            httponly=True,
            samesite="Lax",
        )
    return response


_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@cache
def _asset(name: str) -> tuple[bytes, str]:
    """Return a static file and a digest of it."""
    content = files(__package__).joinpath("static", name).read_bytes()
    return content, sha256(content).hexdigest()[:12]


def static_url(name: str) -> str:
    """Return the URL of a static file."""
    return url_for("page.static", name=name, v=_asset(name)[1])


@blueprint.get("/static/<any(page.css, page.js, icon.svg):name>")
def static(name: str) -> Response:
    """Send a static file."""
    content, version = _asset(name)
    response = Response(content, content_type=f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8")
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
    response.set_etag(version)
    return response
