"""An embedded Nucleus as a server."""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec
from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask

from nucleus_pandas.errors import ConfigurationError
from nucleus_pandas.local import app
from nucleus_pandas.local.embedded import EmbeddedNucleus
from nucleus_pandas.local.routes.common import PREFIX

REQUEST_SECONDS = 600.0
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


class Server:
    """A store that listens; to be used in a ``with`` block.

    Parameters
    ----------
    path, host, port, api_keys, public_url, request_seconds
        As `serve` takes them.

    Attributes
    ----------
    endpoint : str
        Where the API stands.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        host: str = "127.0.0.1",
        port: int = 8765,
        *,
        api_keys: Sequence[str] = (),
        public_url: str | None = None,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        _check(host, port, api_keys, public_url, request_seconds)
        self._listener = _listen(host, port)
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns whenever all threads are busy
        try:
            self._nucleus = EmbeddedNucleus(path)
        except BaseException:
            self._listener.close()
            raise
        hosts = [*app.LOOPBACK, host]
        if public_url is not None:
            hosts.append(urlsplit(public_url).hostname or "")
        server: Any = create_server(
            app.create_app(self._nucleus, api_keys=api_keys, hosts=hosts, public_url=public_url),
            sockets=[self._listener],
            threads=_THREADS,
            max_request_body_size=app.MAX_UPLOAD,
            channel_timeout=math.ceil(request_seconds),
            ident="nucleus_pandas",
        )
        server.channel_class = type("Channel", (_Channel,), {"request_seconds": request_seconds})
        self._server = server
        shown = f"[{host}]" if ":" in host else host
        origin = public_url.rstrip("/") if public_url else f"http://{shown}:{self._listener.getsockname()[1]}"
        self.endpoint = f"{origin}{PREFIX}"

    def run(self) -> None:
        """Answer until `stop` is called, or until interrupted."""
        self._server.run()

    def stop(self) -> None:
        """Make `run`, in another thread, return."""
        with suppress(OSError):  # the loop may wake, and close everything, before it is woken
            self._server.trigger.pull_trigger(self._close_all)

    def _close_all(self) -> None:
        for channel in list(self._server._map.values()):
            channel.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.task_dispatcher.shutdown()
        self._server.close()
        self._listener.close()
        self._nucleus.close()


def serve(
    path: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    api_keys: Sequence[str] = (),
    public_url: str | None = None,
    request_seconds: float = REQUEST_SECONDS,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a store over HTTP until interrupted.

    Any number of processes may serve one store, on a local disk, each on its own port.

    Parameters
    ----------
    path : str or path-like
        The folder of the store; made when absent.
    host : str
        An address of this machine. Beyond loopback `api_keys` are needed.
    port : int
        0 takes a free port.
    api_keys : sequence of str
        The keys that are let in. With none, any key and none are, on loopback only.
    public_url : str, optional
        Where others reach this server, such as ``https://nucleus.example.org``: addresses of pictures and of signed
        uploads begin with it, and requests may name its host. Needed where `host` stands for all addresses.
    request_seconds : float
        How long a request may take to arrive, and a connection may be silent.
    ready : callable, optional
        Called with the endpoint as soon as the server listens.

    Raises
    ------
    ConfigurationError
        The port is taken, or beyond loopback there is no key.
    """
    options: dict[str, Any] = {"public_url": public_url, "request_seconds": request_seconds}
    with Server(path, host, port, api_keys=api_keys, **options) as server:
        if ready is not None:
            ready(server.endpoint)
        server.run()


def _check(host: str, port: int, api_keys: Sequence[str], public_url: str | None, request_seconds: float) -> None:
    if isinstance(api_keys, str) or not all(isinstance(key, str) and key.isascii() and key for key in api_keys):
        raise ConfigurationError("api_keys are texts of ASCII characters, and none is empty.")
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"A port is a number from 0 to 65535, not {port}; 0 takes a free one.")
    if not request_seconds > 0:
        raise ConfigurationError(f"request_seconds is a number above 0, not {request_seconds}.")
    if not _is_loopback(host) and not api_keys:
        raise ConfigurationError(
            f"'{host}' is no loopback address, and beyond this machine keys are needed: name a file that holds them, a "
            "line each, by --api-key-file, or put them into NUCLEUS_PANDAS_API_KEYS, parted by commas."
        )
    if host in ("", "0.0.0.0", "::") and public_url is None:
        raise ConfigurationError(
            f"'{host}' stands for all addresses of this machine; --public-url says by which one requests come."
        )
    if public_url is not None:
        parts = urlsplit(public_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigurationError(f"'{public_url}' is no http or https address without a path.")
        if parts.username or parts.password:
            raise ConfigurationError("A public URL holds no key.")


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = f"Cannot listen on {host}:{port}: {_reason(error)}. Port 0 takes a free one."
        raise ConfigurationError(reason) from error


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
    """A connection whose requests have to arrive in time: one that drips would hold its place for ever."""

    error_task_class = _JsonErrorTask
    request_seconds = REQUEST_SECONDS
    _began: float | None = None

    def received(self, data: bytes) -> bool:
        """Take bytes of a request."""
        now = time.monotonic()
        if self.request is None:
            self._began = now
        elif self._began is not None and now - self._began > self.request_seconds:
            self.handle_close()
            return False
        return bool(super().received(data))


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or all(
            ipaddress.ip_address(str(info[4][0])).is_loopback for info in socket.getaddrinfo(host, None)
        )
