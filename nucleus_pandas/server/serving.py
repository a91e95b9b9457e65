"""An embedded Nucleus as a server."""

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
FINISH_SECONDS = 60.0  # that a server which stops leaves to requests that it answers
LINGER_SECONDS = 5.0  # that a client may go on sending a body that was refused
_THREADS = 8
_SWALLOW = 1 << 18  # bytes
_CONNECTIONS = 500  # at once; clients keep some, and those that drip hold one each


def create_app(path: str | os.PathLike[str]) -> Flask:
    """Create the WSGI application of a store, for a server of your own.

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
    path, host, port, api_keys, public_url, request_seconds, remote_images
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
        """Answer until `stop` is called; what is being answered then is finished."""
        while not self._stopping.is_set():
            self._turn(1.0)
        wasyncore.dispatcher.close(self._server)  # the listening socket alone: the loop goes on
        deadline = time.monotonic() + FINISH_SECONDS
        while self._is_answering() and time.monotonic() < deadline:
            self._turn(0.1)

    def stop(self) -> None:
        """Create `run` return soon; may be called in another thread or by a signal."""
        self._stopping.set()
        with suppress(OSError):  # the loop may end by itself before it is woken
            self._server.pull_trigger()

    def _turn(self, seconds: float) -> None:
        """Do what there is to do on the connections, or wait for it."""
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._server._map, count=1)

    def _is_answering(self) -> bool:
        """Return whether a request is being answered; connections on which none is are closed."""
        for channel in list(self._server.active_channels.values()):
            if not channel.requests and not channel.total_outbufs_len:  # in this order: answers come before they end
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
    """Serve a store over HTTP until the process is told to end: its REST API, and a page for people at ``/``.

    Any number of processes may serve one store, on a local disk, each on its own port. In the main thread SIGINT
    (Ctrl+C) and SIGTERM end it well: it listens no more, answers the requests that it has got, which may take a minute,
    finishes its jobs, and returns. A second signal ends the process as if there had been no server.

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
        Where others reach this server, such as ``https://nucleus.example.org``: addresses of images and of signed
        uploads begin with it, and requests may name its host. Needed where `host` stands for all addresses.
    request_seconds : float
        How long a request may take to arrive, and a connection may be silent.
    remote_images : bool
        Whether the page has the browser load images from the http and https addresses that items name. This server
        loads nothing from elsewhere, but whoever keeps those images sees who looks at them.
    ready : callable, optional
        Called with the endpoint as soon as the server listens.

    Raises
    ------
    ConfigurationError
        The port is taken, or beyond loopback there is no key.
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
    """Have the first signal to end call `stop`."""
    if threading.current_thread() is not threading.main_thread():  # others get no signals
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
            raise ConfigurationError(f"public_url is an http or https address without a path, not '{public_url}'.")
        if parts.username or parts.password:
            raise ConfigurationError("public_url holds no key.")


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
        task.channel.refused = True
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _RequestTimeout(Error):
    code = 408
    reason = "Request Timeout"


class _Channel(HTTPChannel):
    """A connection whose requests have to arrive in time: one that drips would hold its place for ever.

    When the server has refused to read a request, it swallows for a while what the client goes on sending: a
    connection closed at once would be reset, and the client might never see why.
    """

    error_task_class = _JsonErrorTask
    request_seconds = REQUEST_SECONDS
    stopping: threading.Event
    refused = False
    _began: float | None = None
    _swallows_until: float | None = None

    def readable(self) -> bool:
        """Return whether there is a use for more bytes."""
        if self.stopping.is_set():
            return False
        return self._swallows_until is not None or bool(super().readable())

    def handle_read(self) -> None:
        """Read some bytes."""
        if self._swallows_until is None:
            super().handle_read()
        elif self.recv(_SWALLOW) and time.monotonic() > self._swallows_until:
            self.handle_close()

    def handle_close(self) -> None:
        """Close the connection, and the file of a body that will not be whole."""
        if self.request is not None:
            self.request.close()
        super().handle_close()

    def handle_write(self) -> None:
        """Send what there is to send; after a refusal say that nothing follows."""
        if not (self.refused and self.close_when_flushed):
            super().handle_write()
            return
        channel: Any = self  # the stubs know less than the class
        channel._flush_exception(channel._flush_some)
        if self.will_close:  # it is broken
            self.handle_close()
        elif not self.total_outbufs_len:
            self.close_when_flushed = False
            self._swallows_until = time.monotonic() + LINGER_SECONDS
            channel.socket.shutdown(socket.SHUT_WR)

    def received(self, data: bytes) -> bool:
        """Take bytes of a request."""
        now = time.monotonic()
        if self.request is None:
            self._began = now
        elif self._began is not None and now - self._began > self.request_seconds:
            self._refuse(_RequestTimeout(f"a request has to arrive within {self.request_seconds:g} seconds"))
            return True
        return bool(super().received(data))

    def _refuse(self, error: Error) -> None:
        """Answer with an error, and read no more of the request."""
        channel: Any = self
        with channel.requests_lock:
            channel.request.error, channel.request.completed = error, True
            channel.requests.append(channel.request)
            channel.request = None
            channel.server.add_task(self)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost"):
        return host == "localhost"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        raise ConfigurationError(f"'{host}' is no address of this machine, and no name of one.") from None
    return all(ipaddress.ip_address(str(info[4][0])).is_loopback for info in found)
