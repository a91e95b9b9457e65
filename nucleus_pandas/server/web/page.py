"""What all routes of the page share: who may come, what goes out with every answer, and how templates are filled."""

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
from nucleus_pandas.server.web.colours import colour
from nucleus_pandas.server.web.formatting import FILTERS
from nucleus_pandas.server.web.result_cache import Memory
from nucleus_pandas.server.web.sessions import SECONDS, Session, Sessions

MAX_FORM = 1 << 20  # bytes
_OPEN = ("page.login", "page.let_in", "page.static")  # before somebody is known
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
        The keys that are let in; with none, everybody is.
    sessions : Sessions
        Cookies and tokens.
    remote_images : bool
        Whether the browser may load images from other servers.
    memory : Memory
        What took long to compute.
    """

    nucleus: EmbeddedNucleus
    keys: tuple[bytes, ...]
    sessions: Sessions
    remote_images: bool
    memory: Memory

    @property
    def policy(self) -> str:
        """What the browser may load, run and send: nothing from elsewhere, and no code in the markup."""
        images = "'self' http: https:" if self.remote_images else "'self'"
        return (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; form-action 'self';"
            " base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        )


def register(app: Flask) -> None:
    """Add the routes and templates of the page to an application."""
    app.jinja_env.filters.update(FILTERS, colour=colour)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(blueprint)


def install(app: Flask, nucleus: EmbeddedNucleus, keys: tuple[bytes, ...], *, remote_images: bool) -> None:
    """Let an application with the routes of the page show a store."""
    app.extensions["page"] = Page(nucleus, keys, Sessions(nucleus.folder, keys), remote_images, Memory(nucleus))


def page() -> Page:
    """Return the page of this application."""
    return cast(Page, current_app.extensions["page"])


def is_page() -> bool:
    """Return whether a person asks, who is to be answered with a page: also where there is no such route."""
    if "page" not in current_app.extensions:
        return False
    if request.blueprint is not None:
        return request.blueprint == blueprint.name
    wants = request.accept_mimetypes
    return not request.path.startswith(f"{PREFIX}/") and wants["text/html"] > wants["application/json"]


def _cookie_name() -> str:
    """Name the cookie by the port: those of one host are sent to all of its servers."""
    port = request.host.rpartition(":")[2]
    return f"nucleus_pandas_{port if port.isascii() and port.isdigit() else 0}"


@blueprint.before_request
def _check() -> Response | None:
    """Find the session, and turn away who is not known, and forms that were made elsewhere."""
    known = page().sessions.read(request.cookies.get(_cookie_name()))
    begin(page().sessions.new(is_known=False) if known is None else known, is_new=known is None)
    if page().keys and not g.session.is_known and request.endpoint not in _OPEN:
        if request.method == "GET":
            return cast(Response, redirect(url_for("page.login", next=request.full_path.rstrip("?")), 303))
        raise AuthenticationError("Log in first; this server needs an API key.")
    if request.method == "POST" and not page().sessions.is_token(g.session, request.form.get("token", "")):
        raise AuthenticationError(
            "This form is too old, or was not made by this page. Go back, reload, try again.", 403
        )
    return None


def begin(session: Session, *, is_new: bool = True) -> None:
    """Answer this request, and the next ones of this browser, in a session."""
    g.session, g.is_new_session = session, is_new


def is_key(given: str) -> bool:
    """Return whether a text is one of the keys; every one is compared, so that the time tells nothing."""
    return bool(sum(hmac.compare_digest(given.encode("utf-8", "replace"), key) for key in page().keys))


def render(template: str, status: int = 200, /, **values: Any) -> Response:
    """Fill a template."""
    session: Session | None = g.get("session")
    text = render_template(
        template,
        static=static_url,
        token="" if session is None else page().sessions.token(session),
        can_leave=session is not None and session.is_known,
        remote_images=page().remote_images,
        **values,
    )
    text = text.replace("\0", "\ufffd")  # browsers drop it from texts
    return Response(text.encode("utf-8", "replace"), status, content_type="text/html; charset=utf-8")


def link(endpoint: str, **values: Any) -> str:
    """Return the address of a part of the page."""
    return url_for(f"page.{endpoint}", **values)


def problem(status: int, text: str) -> Response:
    """Say on a page what went wrong."""
    return dress(render("problem.html", status, status=status, text=text))


@blueprint.after_request
def dress(response: Response) -> Response:
    """Add the headers that keep a page to itself."""
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


def forget() -> None:
    """End the session of this browser."""
    begin(page().sessions.new(is_known=False))


_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@cache
def _asset(name: str) -> tuple[bytes, str]:
    """Return a file of the page, and a version that changes with it."""
    content = files(__package__).joinpath("static", name).read_bytes()
    return content, sha256(content).hexdigest()[:12]


def static_url(name: str) -> str:
    """Return the address of a file of the page."""
    return url_for("page.static", name=name, v=_asset(name)[1])


@blueprint.get("/static/<any(page.css, page.js, icon.svg):name>")
def static(name: str) -> Response:
    """Return a file of the page."""
    content, version = _asset(name)
    response = Response(content, content_type=f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8")
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
    response.set_etag(version)
    return response
