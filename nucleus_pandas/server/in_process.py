"""Sends requests to an embedded Nucleus in the same process, without a socket."""

from __future__ import annotations

import io
from collections.abc import Mapping
from http.client import responses
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3 import HTTPHeaderDict, HTTPResponse
from werkzeug.test import run_wsgi_app

from nucleus_pandas.server.app import create_app
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.routes.request import IN_PROCESS, PREFIX

HOST = "nucleus.local"
ENDPOINT = f"http://{HOST}{PREFIX}"


class InProcessAdapter(BaseAdapter):
    """A requests transport adapter that owns an embedded Nucleus.

    Parameters
    ----------
    nucleus : EmbeddedNucleus
        The nucleus, which is closed together with the adapter.
    """

    def __init__(self, nucleus: EmbeddedNucleus) -> None:
        super().__init__()
        self.nucleus = nucleus
        self._application = create_app(nucleus, hosts=[HOST], has_page=False)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer a prepared request; the arguments about sockets are ignored."""
        self.nucleus.check_open()
        failures: list[Exception] = []
        environ = _environ(request) | {IN_PROCESS: failures}
        chunks, line, fields = run_wsgi_app(self._application.wsgi_app, environ, buffered=True)
        status, headers = int(line.split(" ", 1)[0]), fields.to_wsgi_list()
        response = requests.Response()
        response.status_code = status
        response.headers = CaseInsensitiveDict(headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw = HTTPResponse(
            body=io.BytesIO(b"".join(chunks)), headers=HTTPHeaderDict(headers), status=status, preload_content=False
        )
        response.reason = responses.get(status, "")
        response.url = str(request.url)
        response.request = request
        response.failure = failures[0] if failures else None  # type: ignore[attr-defined]
        return response

    def close(self) -> None:
        """Close the store."""
        self.nucleus.close()


def _environ(request: requests.PreparedRequest) -> dict[str, Any]:
    parts = urlsplit(str(request.url))
    body: Any = request.body  # None, bytes or a file
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(parts.path).decode("latin-1"),
        "QUERY_STRING": parts.query,
        "REQUEST_URI": parts.path + (f"?{parts.query}" if parts.query else ""),
        "SERVER_NAME": parts.hostname or "",
        "SERVER_PORT": str(parts.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": body if hasattr(body, "read") else io.BytesIO(body or b""),
        "wsgi.input_terminated": True,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "HTTP_HOST": parts.netloc,
    }
    for name, value in request.headers.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = text
    return environ
