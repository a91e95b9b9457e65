"""Logging in and out, where the server has API keys."""

from __future__ import annotations

import re
from typing import cast

from flask import Response, redirect, request

from nucleus_pandas.server.web.page import begin, blueprint, is_key, link, page, render

_OWN_PATH = re.compile(r"/(?![/\\])[!-~]*")  # a path of this server that browsers do not take for another server


def _next() -> str:
    """Return the URL to go to afterwards."""
    target = request.values.get("next", "")
    return target if _OWN_PATH.fullmatch(target) else link("datasets")


@blueprint.get("/login")
def login() -> Response:
    """Ask for an API key."""
    if not page().keys:
        return cast(Response, redirect(_next(), 303))
    return render("login.html", next=_next(), wrong=False)


@blueprint.post("/login")
def log_in() -> Response:
    """Check an API key and begin a session that is known to have one."""
    if not is_key(request.form.get("key", "")):
        return render("login.html", 403, next=_next(), wrong=True)
    begin(page().sessions.new(is_known=True))
    return cast(Response, redirect(_next(), 303))


@blueprint.post("/logout")
def log_out() -> Response:
    """Begin a session that is not known."""
    begin(page().sessions.new(is_known=False))
    return cast(Response, redirect(link("login"), 303))
