"""A store and its page, asked without a browser."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from markup import Node, parse

import nucleus_pandas as npd
from nucleus_pandas.local.app import create_app
from nucleus_pandas.local.embedded import EmbeddedNucleus

HOST = "http://127.0.0.1"


class Visitor:
    """Somebody who looks at the page of a store, with a cookie jar of their own."""

    def __init__(self, nucleus: EmbeddedNucleus, **options: Any) -> None:
        self.http: FlaskClient = create_app(nucleus, **options).test_client()

    def ask(self, path: str, method: str = "GET", **options: Any) -> Any:
        """Send a request; the path may be a whole address."""
        return self.http.open(path, method=method, base_url=HOST, buffered=True, **options)

    def get(self, path: str, status: int = 200) -> Node:
        """Look at a page."""
        response = self.ask(path)
        assert response.status_code == status, response.text
        assert response.content_type == "text/html; charset=utf-8"
        return parse(response.text)

    def post(self, path: str, status: int = 303, **fields: Any) -> Any:
        """Send a form."""
        response = self.ask(path, "POST", data=fields)
        assert response.status_code == status, response.text
        return response

    def token(self, path: str = "/login") -> str:
        """Give the token that the forms of a page carry."""
        return self.get(path).all("input", name="token")[0]["value"]


def run_line(client: npd.NucleusClient, line: str) -> Any:
    """Run a line of Python that a page shows."""
    return eval(line, {"client": client})  # it is ours


def lines(page: Node) -> list[str]:
    return [block.one("code").text for block in page.all(cls="python")]
