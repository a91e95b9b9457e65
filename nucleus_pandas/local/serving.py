"""An embedded Nucleus as a server."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask

from nucleus_pandas.errors import ConfigurationError
from nucleus_pandas.local import app
from nucleus_pandas.local.embedded import EmbeddedNucleus
from nucleus_pandas.local.routes.common import PREFIX

_THREADS = 8


def create_app(path: str | os.PathLike[str]) -> Flask:
    """Make the WSGI application of a store, for a server of your own.

    Parameters
    ----------
    path : str or path-like
        The folder of the store; made when absent.

    Returns
    -------
    flask.Flask
        It answers requests to loopback hosts only. ``application.extensions["nucleus"].close()`` closes the store.

    Examples
    --------
    >>> application = create_app(getfixture("tmp_path"))
    >>> application.test_client().get("/v1/nucleus/dataset/", base_url="http://127.0.0.1").json
    []
    >>> application.extensions["nucleus"].close()
    """
    return app.create_app(EmbeddedNucleus(path))


def serve(
    path: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a store over HTTP until interrupted.

    Parameters
    ----------
    path : str or path-like
        The folder of the store; made when absent.
    host : str
        An address of this machine; only loopback addresses are taken.
    port : int
        0 takes a free port.
    ready : callable, optional
        Called with the endpoint as soon as the server listens.

    Raises
    ------
    ConfigurationError
        `host` is no loopback address, or the port is taken.
    """
    if not _is_loopback(host):
        raise ConfigurationError(f"'{host}' is no loopback address. The server takes requests of this machine only.")
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"A port is a number from 0 to 65535, not {port}; 0 takes a free one.")
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = f"Cannot listen on {host}:{port}: {_reason(error)}. Port 0 takes a free one."
        raise ConfigurationError(reason) from error
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns whenever all threads are busy
    with listener, closing(EmbeddedNucleus(path)) as nucleus:
        server: Any = create_server(
            app.create_app(nucleus, hosts=(*app.LOOPBACK, host)),
            sockets=[listener],
            threads=_THREADS,
            max_request_body_size=app.MAX_UPLOAD,
            ident="nucleus_pandas",
        )
        server.channel_class = _Channel
        with closing(server):
            if ready is not None:
                shown = f"[{host}]" if ":" in host else host
                ready(f"http://{shown}:{listener.getsockname()[1]}{PREFIX}")
            server.run()


class _JsonErrorTask(ErrorTask):
    """Waitress' own refusals, such as that of a body announced too large, as JSON."""

    def execute(self) -> None:
        """Answer with the error."""
        task: Any = self  # the stubs know less than the classes
        error = task.request.error
        body = msgspec.json.encode({"status_code": error.code, "error": f"{error.reason}: {error.body}"})
        self.status = f"{error.code} {error.reason}"
        task.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    error_task_class = _JsonErrorTask


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or all(
            ipaddress.ip_address(str(info[4][0])).is_loopback for info in socket.getaddrinfo(host, None)
        )
