"""Keys, foreign hosts and foreign pages."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

import pytest

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.factories import item
from tests.support.contract_requests import JSON, KEYS, Api, InProcess, ndjson, put


@pytest.fixture
def locked(nucleus: EmbeddedNucleus) -> Api:
    return InProcess(nucleus, api_keys=("first key", "second key ü"))


def basic(key: str, password: str = "") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    "headers",
    [
        basic("first key"),
        basic("second key ü"),
        {"x-limited-access-key": "first key"},
    ],
    ids=["basic", "basic, not ASCII", "limited access"],
)
def test_a_right_key_is_let_in(locked: Api, headers: dict[str, str]) -> None:
    assert locked.status("GET", "dataset/", None, headers) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("wrong"),
        basic(""),
        basic("first"),
        basic("first key "),
        {"x-limited-access-key": "wrong"},
        {"x-limited-access-key": ""},
        {"Authorization": "Bearer first key"},
        {"Authorization": "Basic !!!"},
        {"Authorization": ""},
    ],
)
def test_no_other_key_is_let_in(locked: Api, headers: dict[str, str]) -> None:
    assert locked.status("GET", "dataset/", None, headers) == 401


def test_a_locked_server_explains_itself_in_json(locked: Api) -> None:
    answer = locked.call("GET", "dataset/", None, {})
    assert (answer.json["status_code"], "key" in answer.json["error"]) == (401, True)


def test_a_refusal_does_not_repeat_the_key(locked: Api) -> None:
    assert b"secret" not in locked.call("GET", "dataset/", None, basic("secret")).content


@pytest.mark.parametrize("route", ["nowhere", "dataset/ds_0/info", "models/", "job/job_0"])
def test_a_locked_server_locks_every_route(locked: Api, route: str) -> None:
    assert locked.status("GET", route, None, {}) in (401, 404)


def test_a_signed_address_needs_no_key(locked: Api) -> None:
    headers = {"Content-Type": "application/json", **basic("first key")}
    dataset = locked.ok("POST", "dataset/create", {"name": "Streets"}, headers)["dataset_id"]
    signed = locked.ok("GET", f"dataset/{dataset}/signedUrl/1", None, headers)["signed_url"]
    assert put(locked, urlsplit(signed).path, ndjson(item("a.jpg"))).status == 200


@pytest.mark.parametrize("headers", [{}, basic("anything"), {"x-limited-access-key": "anything"}])
def test_a_server_without_keys_lets_everyone_in(anywhere: Api, headers: dict[str, str]) -> None:
    assert anywhere.status("GET", "dataset/", None, headers) == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "10.0.0.1"])
def test_a_foreign_host_is_refused(anywhere: Api, host: str) -> None:
    assert anywhere.status("GET", "dataset/", None, {"Host": host, **KEYS}) == 400


def test_a_foreign_host_is_refused_in_json(anywhere: Api) -> None:
    assert anywhere.call("GET", "dataset/", None, {"Host": "evil.example"}).json["status_code"] == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "localhost:8765"])
def test_hosts_of_this_machine_are_let_in(api: Api, host: str) -> None:
    assert api.status("GET", "dataset/", None, {"Host": host, **KEYS}) == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "", "file://"])
@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", {"name": "Streets"})])
def test_a_foreign_page_is_refused(anywhere: Api, method: str, body: object, origin: str) -> None:
    route = "dataset/" if method == "GET" else "dataset/create"
    assert anywhere.status(method, route, body, {"Origin": origin, **JSON}) == 403


def test_a_page_of_this_server_is_let_in(anywhere: Api) -> None:
    assert anywhere.status("GET", "dataset/", None, {"Origin": anywhere.origin, **KEYS}) == 200


def test_a_refused_page_changes_nothing(empty: Api) -> None:
    empty.call("POST", "dataset/create", {"name": "Streets"}, {"Origin": "https://evil.example", **JSON})
    assert empty.get("dataset/") == []


@pytest.mark.parametrize(
    "name", ["../nucleus.sqlite", "%2e%2e/nucleus.sqlite", "aa/../../nucleus.sqlite", "aa/" + "0" * 64]
)
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_only_uploaded_files_are_served(anywhere: Api, kind: str, name: str) -> None:
    assert anywhere.status("GET", f"_nucleus_pandas/{kind}/{name}") == 404
