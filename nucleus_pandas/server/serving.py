"""An embedded Nucleus as an HTTP server, on waitress.

Waitress has no public means for what a server of large uploads needs: to stop gracefully, to limit the time in which a
request must arrive, to answer its own errors as JSON, and to let the client read why its body was rejected. So this
module uses parts of waitress 3 that are not documented, which is why setup.cfg bounds its version below 4:
``wasyncore.loop`` and the server's ``_map`` (the loop is run turn by turn), ``active_channels``, ``channel_class``,
``pull_trigger`` and ``task_dispatcher`` of the server; ``request``, ``requests``, ``requests_lock``,
``total_outbufs_len``, ``close_when_flushed``, ``will_close``, ``_flush_some``, ``_flush_exception``, ``received`` and
``error_task_class`` of `HTTPChannel`; `ErrorTask`. tests/server/test_serving.py tests what they are used for.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec
from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask
from waitress.utilities import Error

from nucleus_pandas.errors import ConfigurationError
from nucleus_pandas.server import app
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.routes.request import PREFIX

REQUEST_SECONDS = 600.0
FINISH_SECONDS = 60.0  # for requests in progress when the server stops
LINGER_SECONDS = 5.0  # in which a client may continue to send a rejected body
_THREADS = 8
_DISCARDED_BYTES = 1 << 18  # per read
_CONNECTIONS = 500


def create_app(path: str | os.PathLike[str]) -> Flask:
    """Create the WSGI application of a store, to run it in another server.

    Parameters
    ----------
    path : str or path-like
        The folder of the store; created if absent.

    Returns
    -------
    flask.Flask
        It accepts requests to loopback hosts only. ``application.extensions["nucleus"].close()`` closes the store.

    Examples
    --------
    >>> application = create_app(getfixture("tmp_path"))
    >>> application.test_client().get("/v1/nucleus/dataset/", base_url="http://127.0.0.1").json
    []
    >>> application.extensions["nucleus"].close()
    """
    return app.create_app(EmbeddedNucleus(path))


class Server:
    """A store with an HTTP server; to be used in a ``with`` block.

    Parameters
    ----------
    path, host, port, api_keys, public_url, request_seconds, remote_images
        As of `serve`.

    Attributes
    ----------
    endpoint : str
        The base URL of the API.
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
        remote_images: bool = False,
    ) -> None:
        _check(host, port, api_keys, public_url, request_seconds)
        self._listener = _listen(host, port)
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns whenever all threads are busy
        try:
            self._nucleus = EmbeddedNucleus(path)
        except BaseException:
            self._listener.close()
            raise
        self._stopping = threading.Event()
        hosts = [*app.LOOPBACK, host.lower()]
        if public_url is not None:
            hosts.append(urlsplit(public_url).hostname or "")
        server: Any = create_server(
            app.create_app(
                self._nucleus, api_keys=api_keys, hosts=hosts, public_url=public_url, remote_images=remote_images
            ),
            sockets=[self._listener],
            threads=_THREADS,
            max_request_body_size=app.MAX_UPLOAD,
            channel_timeout=math.ceil(request_seconds),
            connection_limit=_CONNECTIONS,
            asyncore_use_poll=True,
            ident="nucleus_pandas",
        )
        settings = {"request_seconds": request_seconds, "stopping": self._stopping}
        server.channel_class = type("Channel", (_Channel,), settings)
        self._server = server
        shown = f"[{host}]" if ":" in host else host
        origin = public_url.rstrip("/") if public_url else f"http://{shown}:{self._listener.getsockname()[1]}"
        self.endpoint = f"{origin}{PREFIX}"

    def run(self) -> None:
        """Serve until `stop` is called, then finish the requests in progress."""
        while not self._stopping.is_set():
            self._turn(1.0)
        wasyncore.dispatcher.close(self._server)  # closes only the listening socket; the loop continues
        deadline = time.monotonic() + FINISH_SECONDS
        while self._is_answering() and time.monotonic() < deadline:
            self._turn(0.1)

    def stop(self) -> None:
        """Request that `run` returns soon; may be called from another thread or a signal handler."""
        self._stopping.set()
        with suppress(OSError):  # the loop may end before it is woken
            self._server.pull_trigger()

    def _turn(self, seconds: float) -> None:
        """Handle what is ready on the connections, or wait for it."""
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._server._map, count=1)

    def _is_answering(self) -> bool:
        """Return True if a request is in progress; close the other connections."""
        for channel in list(self._server.active_channels.values()):
            if not channel.requests and not channel.total_outbufs_len:  # in this order
                channel.handle_close()
        return bool(self._server.active_channels)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()
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
    remote_images: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the REST API of a store over HTTP, and a web page at ``/``, until the process is asked to stop.

    Several processes may serve one store on a local disk, each on its own port. In the main thread, SIGINT (Ctrl+C) and
    SIGTERM shut it down gracefully: it stops listening, answers the requests in progress, which may take a minute,
    finishes its jobs, and returns. A second signal has its default effect.

    Parameters
    ----------
    path : str or path-like
        The folder of the store; created if absent.
    host : str
        The address to listen on; other addresses than loopback require `api_keys`.
    port : int
        The port; 0 for a free one.
    api_keys : sequence of str
        The accepted keys. Without any, requests need no key, on loopback only.
    public_url : str, optional
        The URL under which clients reach this server, such as ``https://nucleus.example.org``: URLs of images and of
        signed uploads begin with it, and its host is accepted. Required if `host` is a wildcard address.
    request_seconds : float
        The time in which a request must arrive, and for which a connection may be idle.
    remote_images : bool
        Whether the page lets the browser load images from the http and https URLs of items. The server itself loads
        nothing from elsewhere, but the hosts of these images learn who views them.
    ready : callable, optional
        Called with the endpoint once the server listens.

    Raises
    ------
    ConfigurationError
        An argument is invalid, the port is in use, or keys are required.
    """
    options: dict[str, Any] = {
        "public_url": public_url,
        "request_seconds": request_seconds,
        "remote_images": remote_images,
    }
    with Server(path, host, port, api_keys=api_keys, **options) as server, _signals(server.stop):
        if ready is not None:
            ready(server.endpoint)
        server.run()


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first SIGINT or SIGTERM."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before[signal.SIGINT] is signal.SIG_IGN:  # a shell started this process in the background
        del before[signal.SIGINT]

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def handle(number: int, frame: object) -> None:
        restore()
        stop()

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()


def _check(host: str, port: int, api_keys: Sequence[str], public_url: str | None, request_seconds: float) -> None:
    if isinstance(api_keys, str) or not all(isinstance(key, str) and key.isascii() and key for key in api_keys):
        raise ConfigurationError("api_keys must be non-empty strings of ASCII characters.")
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"port must be from 0 to 65535, not {port}; 0 selects a free port.")
    if not request_seconds > 0:
        raise ConfigurationError(f"request_seconds must be greater than 0, not {request_seconds}.")
    if not _is_loopback(host) and not api_keys:
        raise ConfigurationError(
            f"'{host}' is not a loopback address, so API keys are required: use --api-key-file with a file of one key "
            "per line, or set NUCLEUS_PANDAS_API_KEYS to the keys, separated by commas."
        )
    if host in ("", "0.0.0.0", "::") and public_url is None:
        raise ConfigurationError(
            f"'{host}' is a wildcard address; use --public-url to set the URL under which clients reach the server."
        )
    if public_url is not None:
        parts = urlsplit(public_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigurationError(f"public_url must be an http or https URL without a path, not '{public_url}'.")
        if parts.username or parts.password:
            raise ConfigurationError("public_url must not contain a user name or key.")


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigurationError(f"Cannot listen on {host}:{port}: {reason}. Port 0 selects a free port.") from error


class _JsonErrorTask(ErrorTask):
    """Errors of waitress itself as JSON, such as that a body is too large."""

    def execute(self) -> None:
        """Send the error."""
        task: Any = self  # the stubs know less than the classes
        error = task.request.error
        body = msgspec.json.encode({"status_code": error.code, "error": f"{error.reason}: {error.body}"})
        self.status = f"{error.code} {error.reason}"
        task.response_headers.append(("Content-Type", "application/json"))
        task.channel.rejected = True
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _RequestTimeout(Error):
    code = 408
    reason = "Request Timeout"


class _Channel(HTTPChannel):
    """A connection whose requests must arrive in time: a very slow client would occupy it forever.

    After it rejected a body, the server discards for a while what the client still sends: a connection that is closed
    at once is reset, and the client may then never read the error.
    """

    error_task_class = _JsonErrorTask
    request_seconds = REQUEST_SECONDS
    stopping: threading.Event
    rejected = False
    _began: float | None = None
    _discards_until: float | None = None

    def readable(self) -> bool:
        """Return True if more bytes are wanted."""
        if self.stopping.is_set():
            return False
        return self._discards_until is not None or bool(super().readable())

    def handle_read(self) -> None:
        """Read some bytes."""
        if self._discards_until is None:
            super().handle_read()
        elif self.recv(_DISCARDED_BYTES) and time.monotonic() > self._discards_until:
            self.handle_close()

    def handle_close(self) -> None:
        """Close the connection, and the temporary file of an incomplete body."""
        if self.request is not None:
            self.request.close()
        super().handle_close()

    def handle_write(self) -> None:
        """Send what is buffered; after an error, also signal the end of the output."""
        if not (self.rejected and self.close_when_flushed):
            super().handle_write()
            return
        channel: Any = self  # the stubs know less than the class
        channel._flush_exception(channel._flush_some)
        if self.will_close:  # it is broken
            self.handle_close()
        elif not self.total_outbufs_len:
            self.close_when_flushed = False
            self._discards_until = time.monotonic() + LINGER_SECONDS
            channel.socket.shutdown(socket.SHUT_WR)

    def received(self, data: bytes) -> bool:
        """Receive bytes of a request."""
        now = time.monotonic()
        if self.request is None:
            self._began = now
        elif self._began is not None and now - self._began > self.request_seconds:
            self._reject(_RequestTimeout(f"a request must arrive within {self.request_seconds:g} seconds"))
            return True
        return bool(super().received(data))

    def _reject(self, error: Error) -> None:
        """Answer with an error, and read no more of the request."""
        channel: Any = self
        with channel.requests_lock:
            channel.request.error, channel.request.completed = error, True
            channel.requests.append(channel.request)
            channel.request = None
            channel.server.add_task(self)


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost"):
        return host == "localhost"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        addresses = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        raise ConfigurationError(f"'{host}' is neither a local address nor a known host name.") from None
    return all(ipaddress.ip_address(str(info[4][0])).is_loopback for info in addresses)
