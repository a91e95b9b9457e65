"""A proxy on loopback between a client and a server, which breaks requests and answers as it is told to."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import HTTPConnection
from typing import TypeAlias
from urllib.parse import urlsplit

EXTENSIONS = "/_nucleus_pandas"
PAGE = b"<html><head><title>Sorry</title></head><body><h1>Come back later</h1></body></html>"


@dataclass
class Request:
    """A request as it came, and what the proxy did to it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    fault: str | None = None
    connection: int = 0

    def header(self, name: str) -> str | None:
        """Return a header's value."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def length(self) -> int:
        """How long the body was announced to be, in bytes."""
        return int(self.header("Content-Length") or 0)


@dataclass
class Answer:
    """An answer, before it is written."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    reason: str = "Whatever"

    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {self.reason}", *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def whole(self) -> bytes:
        self.headers["Content-Length"] = str(len(self.body))
        return self.head() + self.body


def _status(status: int, **headers: str) -> Callable[[], Answer]:
    return lambda: Answer(status, b'{"error":"%d for now"}' % status, {"Content-Type": "application/json"} | headers)


def _page(status: int) -> Callable[[], Answer]:
    return lambda: Answer(status, PAGE, {"Content-Type": "text/html"})


REFUSALS: dict[str, Callable[[], Answer]] = {
    "429": _status(429),
    "429, seconds": _status(429, **{"Retry-After": "7"}),
    "429, date": lambda: _status(429, **{"Retry-After": formatdate(time.time() + 30, usegmt=True)})(),
    "507": _status(507),
    "302": _status(302, Location=""),
    "307": _status(307, Location=""),
}
"""Answers in the server's place, which say that nothing was done."""

ANSWERS: dict[str, Callable[[], Answer]] = {
    **{str(status): _status(status) for status in (500, 502, 503, 504, 520, 524)},
    "page, 502": _page(502),
    "page, 200": _page(200),
    "empty, 200": lambda: Answer(200, b"", {}),
    "a list, 200": lambda: Answer(200, json.dumps(["not", "what", "was", 1]).encode()),
    "an object, 200": lambda: Answer(200, json.dumps({"not": "what", "was": 1}).encode()),
}
"""Answers in the server's place, which do not say whether it has acted."""

BEFORE = ("cut before", "cut inside the request")
AFTER = ("answer lost", "too late", "half a status line", "half an answer", "half a chunk")
FAULTS = (*BEFORE, *AFTER, *REFUSALS, *ANSWERS, *(f"{name}, done" for name in ANSWERS))
Plan: TypeAlias = Callable[[Request], str | None]
"""Gives the fault that a request meets; None lets it pass. One ending in ", done" comes after the server acted."""


class FaultyProxy:
    """Hands requests on to a server, and its answers back; to be used in a ``with`` block.

    Parameters
    ----------
    endpoint : str
        Of the server behind it.
    hide_extensions : bool
        Whether ``_nucleus_pandas`` is answered as the hosted service does: by a text that says 404.
    elsewhere : str
        Where redirects lead.

    Attributes
    ----------
    endpoint : str
        Of the proxy.
    plan : callable
        What to break.
    requests : list of Request
        All that came.
    pause : callable
        Gives the seconds that a request waits here once it has come.
    """

    def __init__(
        self, endpoint: str, *, hide_extensions: bool = False, elsewhere: str = "http://127.0.0.1:9/elsewhere"
    ) -> None:
        parts = urlsplit(endpoint)
        self._server = (parts.hostname or "", parts.port or 80)
        self._elsewhere = elsewhere
        self._hide = f"{parts.path}{EXTENSIONS}" if hide_extensions else None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        self.plan: Plan = lambda request: None
        self.pause: Callable[[Request], float] = lambda request: 0.0
        self.requests: list[Request] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> FaultyProxy:
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed = True
        with suppress(OSError):  # wake the thread that accepts
            socket.create_connection(self._listener.getsockname()).close()
        self._threads[0].join(20)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    @contextmanager
    def breaking(self, plan: Plan) -> Iterator[list[Request]]:
        """Break what comes meanwhile; return the requests as they come."""
        start, before = len(self.requests), self.plan
        seen: list[Request] = []
        self.plan = plan
        try:
            yield seen
        finally:
            self.plan = before
            seen += self.requests[start:]

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._closed:
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection, len(self._threads)))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as reader:
            while (request := _read_head(reader)) is not None:
                request.connection = number
                with self._lock:
                    self.requests.append(request)
                    request.fault = self.plan(request)
                if not self._answer(connection, reader, request):
                    break
        with self._lock:
            self._open.discard(connection)

    def _answer(self, connection: socket.socket, reader: object, request: Request) -> bool:
        """Answer a request; False where the connection is to be closed."""
        fault = request.fault
        if fault == "cut before":
            return _reset(connection)
        if fault == "cut inside the request":
            half = reader.read(request.length // 2)  # type: ignore[attr-defined]
            self._cut_inside(request, half)
            return _reset(connection)
        request.body = reader.read(request.length)  # type: ignore[attr-defined]
        if len(request.body) < request.length:
            return False  # the client is gone
        time.sleep(self.pause(request))
        if fault in REFUSALS or fault in ANSWERS:
            answer = (REFUSALS | ANSWERS)[fault]()
            if "Location" in answer.headers:
                answer.headers["Location"] = self._elsewhere
            connection.sendall(answer.whole())
            return True
        answer = self._ask(request)
        if fault is None:
            connection.sendall(answer.whole())
            return True
        if fault.endswith(", done"):
            connection.sendall(ANSWERS[fault.removesuffix(", done")]().whole())
            return True
        return _break(connection, fault, answer)

    def _ask(self, request: Request) -> Answer:
        if self._hide is not None and urlsplit(request.target).path.startswith(self._hide):
            return Answer(404, b"Not found", {"Content-Type": "text/plain"})
        server = HTTPConnection(*self._server, timeout=30)
        try:
            server.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers:
                server.putheader(name, value)
            server.endheaders(request.body)
            answer = server.getresponse()
            return Answer(
                answer.status,
                answer.read(),
                {"Content-Type": answer.getheader("Content-Type") or "text/plain"},
                answer.reason,
            )
        finally:
            server.close()

    def _cut_inside(self, request: Request, half: bytes) -> None:
        """Let the server see a part of the request, and nothing more."""
        lines = [
            f"{request.method} {request.target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in request.headers),
        ]
        with socket.create_connection(self._server, timeout=30) as server:
            server.sendall("\r\n".join([*lines, "", ""]).encode("latin-1")[: None if half else -2] + half)


def _read_head(reader: object) -> Request | None:
    line = reader.readline().decode("latin-1").split()  # type: ignore[attr-defined]
    if len(line) != 3:
        return None
    headers = []
    while text := reader.readline().decode("latin-1").rstrip("\r\n"):  # type: ignore[attr-defined]
        name, _, value = text.partition(":")
        headers.append((name, value.strip()))
    return Request(line[0], line[1], headers)


def _break(connection: socket.socket, fault: str, answer: Answer) -> bool:
    """Return a part of an answer."""
    if fault == "too late":
        connection.settimeout(30)
        connection.recv(1)  # until the client has enough of waiting
    elif fault == "half a status line":
        connection.sendall(b"HTTP/1.")
    elif fault == "half an answer":
        whole = answer.whole()
        connection.sendall(whole[: -max(1, len(answer.body) // 2)])
    elif fault == "half a chunk":
        answer.headers["Transfer-Encoding"] = "chunked"
        connection.sendall(answer.head() + b"%x\r\n" % len(answer.body) + answer.body[: len(answer.body) // 2])
    elif fault != "answer lost":
        raise ValueError(f"There is no fault {fault!r}.")
    return _reset(connection) if fault == "answer lost" else False


def _reset(connection: socket.socket) -> bool:
    """Close a connection so that its other end is told of an error."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False
