"""`nucleus-pandas serve`: several processes on one store, a clean end, keys, public addresses, limits."""

from __future__ import annotations

import base64
import http.client
import json
import signal
import socket
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

import nucleus_pandas as npd
from nucleus_pandas.cli import main
from nucleus_pandas.server import app, serving
from nucleus_pandas.server.serving import Server
from nucleus_pandas.wire.responses import SignedUrl
from tests.factories import marked_png
from tests.support.private import read_as, send_request, transport_of

if sys.platform == "win32":
    pytest.skip("has no signals to end a process", allow_module_level=True)
from tests.support.server_process import Served

PREFIX = "/v1/nucleus"


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    body: Any
    closes: bool


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    connection.request(method, path, body, headers or {})
    return answer_of(connection)


def answer_of(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    content = response.read()
    assert response.headers["Content-Type"] == "application/json"
    return Answer(response.status, json.loads(content), response.headers.get("Connection") == "close")


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


@contextmanager
def connected(endpoint: str) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=20)) as connection:
        yield connection


def plugged(endpoint: str) -> socket.socket:
    parts = urlsplit(endpoint)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


@contextmanager
def waiting(endpoint: str, name: str) -> Iterator[socket.socket]:
    """Ask for a dataset while every writer waits; the server has the request, since one sent along is answered."""
    body = json.dumps({"name": name}).encode()
    first = f"GET {PREFIX}/dataset/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    second = f"POST {PREFIX}/dataset/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with plugged(endpoint) as connection:
        connection.sendall(f"{first}{second}".encode() + body)
        assert status_on(connection) == 200
        yield connection


def status_on(connection: socket.socket) -> int:
    """Read an answer."""
    with closing(http.client.HTTPResponse(connection)) as response:
        response.begin()
        response.read()
        return response.status


@contextmanager
def in_thread(store: Path, **options: Any) -> Iterator[str]:
    with Server(store, port=0, **options) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server.endpoint
        finally:
            server.stop()
            thread.join(20)


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Have every writer wait."""
    with closing(sqlite3.connect(store / "nucleus.sqlite", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


def wait_until_refused(endpoint: str) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            plugged(endpoint).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass  # it was let in at the moment when the listener closed
        assert time.monotonic() < until, "it still listens"
        time.sleep(0.01)


# Several servers of one store


def test_servers_of_one_store_see_each_others_writes_at_once(store: Path) -> None:
    with Served(store) as one, Served(store) as other, one.client() as here, other.client() as there:
        assert one.endpoint != other.endpoint
        dataset = here.create_dataset("Both")
        for number in range(20):
            writer, reader = (here, there) if number % 2 else (there, here)
            name = f"{number}.jpg"
            writer.get_dataset(dataset.id).append([{"reference_id": name, "image_url": f"https://example.org/{name}"}])
            assert reader.get_dataset(dataset.id).iloc[-1]["reference_id"] == name


def test_any_server_of_a_store_answers_a_creation_sent_again(store: Path) -> None:
    with Served(store) as one, Served(store) as other, one.client() as here, other.client() as there:
        key, body = uuid.uuid4().hex, {"name": "Once"}
        made = [send_request(c, "POST", "dataset", "create", body=body, idempotency_key=key) for c in (here, there)]
        assert made[0] == made[1]
        assert here.list_datasets() == there.list_datasets() == [made[0]["dataset_id"]]


def test_an_upload_signed_by_one_server_is_taken_by_another(store: Path) -> None:
    row = b'{"reference_id": "a", "image_url": "https://example.org/a"}'
    with Served(store) as one, Served(store) as other, one.client() as here, other.client() as there:
        route = ("dataset", here.create_dataset("Both").id)
        url = read_as(here, SignedUrl, *route, "signedUrl", "1").signed_url
        transport_of(there).put(
            url.replace(transport_of(here).endpoint, transport_of(there).endpoint), BytesIO(row), len(row)
        )
        consume: dict[str, Any] = {"params": {"async": 1}, "body": {"requestId": "1"}}
        job = send_request(here, "POST", *route, "append", **consume)
        assert there.get_job(job["job_id"]).status == "Completed"
        assert send_request(there, "POST", *route, "append", **consume)["job_id"] == job["job_id"]
        assert len(there.get_dataset(route[1])) == 1


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_is_answered_before_the_end(store: Path, number: signal.Signals) -> None:
    with Served(store) as server, ExitStack() as stack:
        with locked(store):
            connection = stack.enter_context(waiting(server.endpoint, "Waits for its turn"))
            server.end(number)
            wait_until_refused(server.endpoint)
            assert server.process.is_alive()
        assert status_on(connection) == 200
        server.process.join(20)
        assert server.process.exitcode == 0
    with npd.NucleusClient.local(store) as client:
        assert client.datasets["name"].tolist() == ["Waits for its turn"]


def test_a_large_answer_arrives_whole_before_the_end(store: Path) -> None:
    rows = [
        {"reference_id": str(n), "image_url": "https://example.org/a", "metadata": {"pad": "x" * 4_000}}
        for n in range(4_000)
    ]
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Large")
        dataset.append(rows)
    with Served(store) as server, connected(server.endpoint) as connection:
        connection.request("GET", f"{PREFIX}/dataset/{dataset.id}/datasetItems")
        response = connection.getresponse()
        server.end(signal.SIGTERM)
        wait_until_refused(server.endpoint)
        time.sleep(0.2)
        assert server.process.is_alive()
        assert len(json.loads(response.read())["dataset_items"]) == len(rows)
        server.process.join(20)
        assert server.process.exitcode == 0


def test_a_job_is_finished_before_the_end(store: Path) -> None:
    rows = [
        {"reference_id": str(n), "image_url": "https://example.org/a", "metadata": {"pad": "x" * 400}}
        for n in range(11_000)
    ]
    lines = "\n".join(map(json.dumps, rows)).encode()
    with Served(store) as server, server.client() as client:
        route = ("dataset", client.create_dataset("Large").id)
        transport = transport_of(client)
        transport.put(transport.read(SignedUrl, *route, "signedUrl", "1").signed_url, BytesIO(lines), len(lines))
        consume: dict[str, Any] = {"params": {"async": 1}, "body": {"requestId": "1"}}
        job = transport.request("POST", *route, "append", **consume)
        assert job["job_last_known_status"] == "Running"
        server.end(signal.SIGTERM)
        server.process.join(20)
        assert server.process.exitcode == 0
    with npd.NucleusClient.local(store) as client:
        assert client.get_job(job["job_id"]).status == "Completed"
        assert len(client.get_dataset(route[1])) == len(rows)


def test_connections_without_a_whole_request_do_not_delay_the_end(store: Path) -> None:
    with Served(store) as server, connected(server.endpoint) as idle, plugged(server.endpoint) as half:
        assert ask(idle, "GET", f"{PREFIX}/dataset/").status == 200
        half.sendall(f"POST {PREFIX}/dataset/create HTTP/1.1\r\nContent-Length: 100\r\n\r\n{{".encode())
        server.end(signal.SIGTERM)
        server.process.join(serving.FINISH_SECONDS / 3)
        assert server.process.exitcode == 0
        assert half.recv(1) == b""


def test_a_second_signal_ends_a_server_at_once(store: Path) -> None:
    with Served(store) as server, locked(store), waiting(server.endpoint, "Never"):
        server.end(signal.SIGTERM)
        wait_until_refused(server.endpoint)
        server.end(signal.SIGTERM)
        server.process.join(20)
        assert server.process.exitcode == -signal.SIGTERM
    with npd.NucleusClient.local(store) as client:
        assert client.list_datasets() == []


def test_a_server_that_stops_leaves_requests_a_time(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "FINISH_SECONDS", 0.2)
    with Server(store, port=0) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        with locked(store), waiting(server.endpoint, "Late"):
            server.stop()
            thread.join(5)
            assert not thread.is_alive()


# Keys


@pytest.mark.parametrize("host", ["192.0.2.7", "0.0.0.0", "::", "2001:db8::7", ""])
def test_beyond_this_machine_keys_are_needed(store: Path, capsys: pytest.CaptureFixture[str], host: str) -> None:
    assert main(["serve", str(store), "--host", host, "--port", "0"]) == 1
    told = capsys.readouterr().err
    assert f"'{host}' is not a loopback address" in told
    assert "--api-key-file" in told
    assert "NUCLEUS_PANDAS_API_KEYS" in told
    assert not store.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_all_addresses_need_a_public_one(store: Path, tmp_path: Path, capsys: Any, host: str) -> None:
    (tmp_path / "keys").write_text("a key\n")
    assert main(["serve", str(store), "--host", host, "--api-key-file", str(tmp_path / "keys")]) == 1
    assert "use --public-url" in capsys.readouterr().err
    assert not store.exists()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        pytest.param("127.0.0.2", marks=pytest.mark.skipif(sys.platform != "linux", reason="has one loopback address")),
    ],
)
def test_loopback_needs_no_keys(store: Path, host: str) -> None:
    with in_thread(store, host=host) as endpoint, npd.NucleusClient("any key", endpoint=endpoint) as client:
        assert urlsplit(endpoint).netloc.startswith(f"{host}:")
        assert client.list_datasets() == []


@pytest.fixture(params=["file", "environment"])
def keyed(request: pytest.FixtureRequest, store: Path, tmp_path: Path) -> Iterator[Served]:
    """A server that lets two keys in."""
    (tmp_path / "keys").write_text("first key\n\n  second key \n")
    if request.param == "file":
        server = Served(store, "--api-key-file", str(tmp_path / "keys"))
    else:
        server = Served(store, environment={"NUCLEUS_PANDAS_API_KEYS": "first key, second key"})
    with server:
        yield server


PATHS = ["/nowhere", "/favicon.ico", f"{PREFIX}/dataset/", f"{PREFIX}/_nucleus_pandas", f"{PREFIX}/nowhere"]


def test_a_server_with_keys_lets_nobody_else_in(keyed: Served) -> None:
    with connected(keyed.endpoint) as connection:
        for path in PATHS:
            for headers in ({}, basic("third key"), basic(""), {"x-limited-access-key": "third key"}):
                answer = ask(connection, "GET", path, headers=headers)
                assert answer.status == 401, (path, headers)
                assert "third" not in answer.body["error"]
            for headers in (basic("first key"), basic("second key"), {"x-limited-access-key": "first key"}):
                assert ask(connection, "GET", path, headers=headers).status in (200, 404), (path, headers)


def test_the_client_is_told_that_its_key_is_wrong(keyed: Served) -> None:
    with npd.NucleusClient("third key", endpoint=keyed.endpoint) as client:
        with pytest.raises(npd.AuthenticationError, match="the request has an invalid one") as caught:
            client.list_datasets()
        assert "third" not in str(caught.value)
    with npd.NucleusClient("first key", endpoint=keyed.endpoint) as client:
        assert client.list_datasets() == []


def test_a_image_needs_a_key_and_a_signed_address_none(keyed: Served, image: Path) -> None:
    with npd.NucleusClient("first key", endpoint=keyed.endpoint) as client, connected(keyed.endpoint) as connection:
        dataset = client.create_dataset("Locked")
        dataset.append({"items": [{"reference_id": "a", "image_url": str(image)}]}, local=True)
        path = urlsplit(dataset.iloc[0]["image_url"]).path
        assert ask(connection, "GET", path).status == 401
        connection.request("GET", path, headers=basic("first key"))
        assert connection.getresponse().read() == image.read_bytes()
        url = read_as(client, SignedUrl, "dataset", dataset.id, "signedUrl", "1").signed_url
        assert ask(connection, "PUT", urlsplit(url).path, b"{}").status == 200


def test_a_name_that_no_host_can_have_is_told(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(store), "--host", "a..b"]) == 1
    assert "'a..b' is neither a local address" in capsys.readouterr().err
    assert not store.exists()


# Public addresses


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def test_addresses_begin_with_the_public_one(store: Path, image: Path) -> None:
    public, port = "https://nucleus.example.org", free_port()
    with Served(store, "--public-url", f"{public}/", "--port", str(port)) as server:
        assert server.endpoint == f"{public}{PREFIX}"
        with npd.NucleusClient(endpoint=f"http://127.0.0.1:{port}{PREFIX}") as client:
            dataset = client.create_dataset("Public")
            dataset.append({"items": [{"reference_id": "a", "image_url": str(image)}]}, local=True)
            image_url = dataset.iloc[0]["image_url"]
            signed_url = read_as(client, SignedUrl, "dataset", dataset.id, "signedUrl", "1").signed_url
            frame = dataset.items.to_frame()
        assert frame["image_url"].tolist() == [image_url]
        assert image_url.startswith(f"{public}{PREFIX}/_nucleus_pandas/images/")
        assert signed_url.startswith(f"{public}{PREFIX}/_upload/")
        with connected(f"http://127.0.0.1:{port}") as connection:
            connection.request("GET", urlsplit(image_url).path, headers={"Host": "nucleus.example.org"})
            assert connection.getresponse().read() == image.read_bytes()
            behind_a_proxy = {"Host": "nucleus.example.org", "Origin": public}
            assert ask(connection, "GET", f"{PREFIX}/dataset/", headers=behind_a_proxy).status == 200
            assert ask(connection, "PUT", urlsplit(signed_url).path, b"{}").status == 200
            assert ask(connection, "GET", f"{PREFIX}/dataset/", headers={"Host": "other.example.org"}).status == 400


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nucleus.example.org", "public_url must be an http or https URL without a path"),
        ("ftp://example.org", "public_url must be an http or https URL without a path"),
        ("https://example.org/below", "public_url must be an http or https URL without a path"),
        ("https://key@example.org", "must not contain"),
    ],
)
def test_a_wrong_public_address_is_told(store: Path, capsys: Any, url: str, words: str) -> None:
    assert main(["serve", str(store), "--public-url", url]) == 1
    assert words in capsys.readouterr().err
    assert not store.exists()


# Limits

MIB = 1 << 20


def test_a_body_too_large_is_refused_and_the_connection_goes_on(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MAX_JSON", MIB)
    with in_thread(store) as endpoint, connected(endpoint) as connection:
        answer = ask(connection, "POST", f"{PREFIX}/dataset/create", b" " * 2 * MIB)
        assert (answer.status, answer.closes) == (413, False)
        assert "larger than the 1 MiB" in answer.body["error"]
        assert ask(connection, "POST", f"{PREFIX}/dataset/create", b'{"name": "Small"}').status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_no_route_takes_is_refused_so_that_the_client_sees_it(
    store: Path, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.setattr(app, "MAX_UPLOAD", MIB)
    with in_thread(store) as endpoint:
        for _ in range(5):
            with connected(endpoint) as connection:
                body = (b" " * MIB for _ in range(40)) if chunked else b" " * 40 * MIB
                connection.request("PUT", f"{PREFIX}/_upload/x", body, encode_chunked=chunked)
                answer = answer_of(connection)
                assert (answer.status, answer.closes) == (413, True)
                assert answer.body["status_code"] == 413


def test_images_and_uploads_may_be_larger_than_json(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MAX_JSON", MIB)
    with in_thread(store) as endpoint, npd.NucleusClient(endpoint=endpoint) as client:
        dataset = client.create_dataset("Large")
        url = read_as(client, SignedUrl, "dataset", dataset.id, "signedUrl", "1").signed_url
        transport_of(client).put(url, BytesIO(b" " * 2 * MIB), 2 * MIB)
        (store.parent / "large.raw").write_bytes(marked_png(b" " * 2 * MIB))
        rows = [{"reference_id": "a", "image_url": str(store.parent / "large.raw")}]
        assert dataset.append({"items": rows}, local=True).new_items == 1


def drip(sent: socket.socket, seconds: float) -> bytes:
    """Send a byte now and then, until there is an answer or the time is up."""
    until = time.monotonic() + seconds
    sent.settimeout(0.05)
    while time.monotonic() < until:
        sent.sendall(b" ")
        try:
            answer = sent.recv(65_536)
        except TimeoutError:
            continue
        while more := sent.recv(65_536):
            answer += more
        return answer
    return b""


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_request_that_drips_is_ended_while_others_are_served(store: Path, part: str) -> None:
    with Served(store, "--request-seconds", "0.5") as server, plugged(server.endpoint) as slow:
        head = f"POST {PREFIX}/dataset/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        slow.sendall(f"{head}\r\n{{".encode() if part == "body" else f"{head}X-Slow: ".encode())
        answers: list[bytes] = []
        dripping = threading.Thread(target=lambda: answers.append(drip(slow, 10)))
        dripping.start()
        answered = 0
        with server.client() as client:
            while dripping.is_alive():
                client.list_datasets()
                answered += 1
        assert answered > 1
        line, _, body = answers[0].partition(b"\r\n\r\n")
        assert line.split(b" ")[1] == b"408"
        assert "within 0.5 seconds" in json.loads(body)["error"]


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_a_time_that_is_none_is_told(store: Path, capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    assert main(["serve", str(store), "--request-seconds", seconds]) == 1
    assert "request_seconds must be greater than 0" in capsys.readouterr().err
    assert not store.exists()


def test_who_drips_on_after_a_refusal_is_cut_off(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LINGER_SECONDS", 0.2)
    with in_thread(store, request_seconds=0.2) as endpoint, plugged(endpoint) as slow:
        slow.sendall(f"POST {PREFIX}/dataset/create HTTP/1.1\r\nContent-Length: 100000\r\n\r\n".encode())
        assert b"408" in drip(slow, 10)
        until = time.monotonic() + 10
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012
            while time.monotonic() < until:
                slow.sendall(b" ")
                time.sleep(0.02)


def test_slow_requests_do_not_take_all_connections(store: Path) -> None:
    with in_thread(store) as endpoint:
        slow = [plugged(endpoint) for _ in range(200)]
        try:
            for sent in slow:
                sent.sendall(b"POST ")
            with npd.NucleusClient(endpoint=endpoint, timeout=5, max_retries=0) as client:
                assert client.list_datasets() == []
        finally:
            for sent in slow:
                sent.close()
