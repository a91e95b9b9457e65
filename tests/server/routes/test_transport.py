"""What holds for every route: JSON, slashes, bodies, connections, threads."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any

import pytest

from tests.factories import item
from tests.support.contract_requests import JSON, PREFIX, ROUTES, Api, Ask, OverSocket, fresh, new_dataset

every_route = pytest.mark.parametrize(
    ("method", "route", "body"), ROUTES, ids=[f"{method} {route}" for method, route, _ in ROUTES]
)


@every_route
def test_every_route_answers(ask: Ask, method: str, route: str, body: Any) -> None:
    assert ask(method, route, body).status == 200


@every_route
def test_every_answer_is_json(ask: Ask, method: str, route: str, body: Any) -> None:
    answer = ask(method, route, body)
    assert (answer.headers["Content-Type"], bool(answer.content), answer.json is not None) == (
        "application/json",
        True,
        True,
    )


@every_route
def test_no_success_holds_a_status_code(ask: Ask, method: str, route: str, body: Any) -> None:
    assert b'"status_code"' not in ask(method, route, body).content


@every_route
def test_every_route_answers_behind_two_slashes(ask: Ask, method: str, route: str, body: Any) -> None:
    assert ask(method, f"/{route}", body).status == 200


@pytest.mark.parametrize(
    ("method", "route", "status"),
    [
        ("GET", "dataset", 200),
        ("GET", "models", 200),
        ("POST", "jobs", 200),
        ("POST", "dataset/create", 200),
        ("GET", "dataset/details", 200),
        ("POST", "models/add", 200),
        ("POST", "model/run/prj_0", 501),
    ],
)
@pytest.mark.parametrize("ending", ["", "/"])
def test_the_last_slash_makes_no_difference(empty: Api, method: str, route: str, status: int, ending: str) -> None:
    body = {"name": "YOLO", "reference_id": fresh("yolo")} if method == "POST" else {}
    assert empty.status(method, f"{route}{ending}", body) == status


@pytest.mark.parametrize("body", [None, {}])
def test_get_needs_no_body_and_takes_one(anywhere: Api, body: object) -> None:
    assert anywhere.ok("GET", "dataset/details", body) is not None


def test_delete_needs_no_body(api: Api) -> None:
    assert api.status("DELETE", f"dataset/{new_dataset(api)}") == 200


def test_a_chunked_body_is_read(over_socket: OverSocket) -> None:
    connection = http.client.HTTPConnection(over_socket.netloc, timeout=20)
    chunks = iter([b'{"name": ', b'"Streets"}'])
    connection.request("POST", f"{PREFIX}/dataset/create", chunks, JSON, encode_chunked=True)
    response = connection.getresponse()
    assert json.loads(response.read())["name"] == "Streets"
    connection.close()


def test_a_connection_is_kept_through_bodies_of_get(over_socket: OverSocket) -> None:
    connection = http.client.HTTPConnection(over_socket.netloc, timeout=20)
    connection.connect()
    sockets, statuses = set(), []
    for _ in range(4):
        connection.request("GET", f"{PREFIX}/dataset/details", b"{}", JSON)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
        sockets.add(id(connection.sock))
    connection.close()
    assert (statuses, len(sockets), None in sockets) == ([200] * 4, 1, False)


def test_a_connection_is_kept_after_a_refusal(over_socket: OverSocket) -> None:
    connection = http.client.HTTPConnection(over_socket.netloc, timeout=20)
    statuses = []
    for body in (b"{" * 1000, b'{"name": "Streets"}'):
        connection.request("POST", f"{PREFIX}/dataset/create", body, JSON)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses == [400, 200]


def test_appends_from_many_threads_are_all_stored(over_socket: OverSocket) -> None:
    dataset = new_dataset(over_socket)
    threads = [
        threading.Thread(target=over_socket.post, args=(f"dataset/{dataset}/append", {"items": [item(f"{n}.jpg")]}))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert over_socket.get(f"dataset/{dataset}/size") == {"count": 16}
