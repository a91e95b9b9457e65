"""Letting people in, where the server has keys."""

from __future__ import annotations

import re
from typing import cast

from flask import Response, redirect, request

from nucleus_pandas.server.web.page import begin, blueprint, forget, is_key, link, page, render

_OWN = re.compile(r"/(?![/\\])[!-~]*")  # a path of this server, and no address that a browser takes for another's


def _next() -> str:
    """Where to go afterwards."""
    asked = request.values.get("next", "")
    return asked if _OWN.fullmatch(asked) else link("datasets")


@blueprint.get("/login")
def login() -> Response:
    """Ask for a key."""
    if not page().keys:
        return cast(Response, redirect(_next(), 303))
    return render("login.html", next=_next(), wrong=False)


@blueprint.post("/login")
def let_in() -> Response:
    """Take a key, and remember by a cookie that it was right."""
    if not is_key(request.form.get("key", "")):
        return render("login.html", 403, next=_next(), wrong=True)
    begin(page().sessions.new(is_known=True))
    return cast(Response, redirect(_next(), 303))


@blueprint.post("/logout")
def leave() -> Response:
    """Forget who this is."""
    forget()
    return cast(Response, redirect(link("login"), 303))
