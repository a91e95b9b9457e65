"""Requests that are refused: each with its status and a reason, in JSON."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.support.contract_requests import PREFIX, WRONG, Api, Ask, OverSocket

every_mistake = pytest.mark.parametrize(
    ("method", "route", "body", "status"), WRONG, ids=[f"{w[0]} {w[1]} {str(w[2])[:20]}" for w in WRONG]
)


@every_mistake
def test_every_mistake_has_its_status(ask: Ask, method: str, route: str, body: Any, status: int) -> None:
    assert ask(method, route, body).status == status


@every_mistake
def test_every_refusal_tells_status_and_error(ask: Ask, method: str, route: str, body: Any, status: int) -> None:
    answer = ask(method, route, body)
    assert (answer.json["status_code"], bool(answer.json["error"])) == (answer.status, True)


@every_mistake
def test_every_refusal_is_json(ask: Ask, method: str, route: str, body: Any, status: int) -> None:
    assert ask(method, route, body).headers["Content-Type"] == "application/json"


@every_mistake
def test_no_refusal_shows_a_trace(ask: Ask, method: str, route: str, body: Any, status: int) -> None:
    assert b"Traceback" not in ask(method, route, body).content


def test_a_path_outside_the_prefix_is_refused_in_json(anywhere: Api) -> None:
    answer = anywhere.send("GET", "/nowhere", None, {})
    assert (answer.status, answer.json["status_code"]) == (404, 404)


def announce(over_socket: OverSocket, length: int, path: str, content_type: str) -> bytes:
    """Announce a body, send a few bytes of it, and return what comes back."""
    host, port = over_socket.netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        head = (
            f"POST {PREFIX}/{path} HTTP/1.1\r\nHost: {over_socket.netloc}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {length}\r\n\r\n"
        )
        connection.sendall(head.encode() + b'{"name": ')
        received = b""
        while b"\r\n\r\n" not in received or b"}" not in received:
            some = connection.recv(65536)
            if not some:
                break
            received += some
    return received


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=b"])
def test_a_gigabyte_that_is_announced_is_refused_promptly(over_socket: OverSocket, content_type: str) -> None:
    assert announce(over_socket, 1 << 30, "dataset/create", content_type).split()[1] == b"413"


def test_a_gigabyte_that_is_announced_is_refused_in_json(over_socket: OverSocket) -> None:
    head, _, content = announce(over_socket, 1 << 30, "dataset/create", "application/json").partition(b"\r\n\r\n")
    assert b"application/json" in head, (head, content)


def test_json_beyond_its_limit_is_refused(api: Api) -> None:
    body = b'{"name": "' + b"x" * (65 << 20) + b'"}'
    assert api.status("POST", "dataset/create", body) == 413
