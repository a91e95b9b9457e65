"""Certificates, proxies, redirects, sessions, copies and pickles of connections."""

from __future__ import annotations

import copy
import dataclasses
import http.server
import json
import multiprocessing
import pickle
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

import nucleus_pandas as npd
from nucleus_pandas.server.nucleus import EmbeddedNucleus

CERTIFICATE = Path(__file__).parent.parent / "data" / "certificates" / "localhost.pem"
SECRET = "live_0123456789abcdef"
Answer = tuple[int, dict[str, str], object]


@contextmanager
def answering(answer: Callable[[str, str, dict[str, str]], Answer], *, tls: bool = False) -> Iterator[str]:
    """Serve answers to (method, path, headers) on loopback, and return the root URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, body = answer(self.command, self.path, dict(self.headers))
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = respond

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: Any) -> None:
            pass  # rejected handshakes

    with Quiet(("127.0.0.1", 0), Handler) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"{'https' if tls else 'http'}://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def names(method: str, path: str, headers: dict[str, str]) -> Answer:
    return 200, {}, {"name": "D"}


@pytest.fixture(autouse=True)
def _no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def client_of(root: str, **options: Any) -> npd.NucleusClient:
    return npd.NucleusClient(SECRET, f"{root}/v1/nucleus", **options)


# Certificates


def test_an_untrusted_certificate_is_named_at_once_with_what_to_set() -> None:
    with answering(names, tls=True) as root, client_of(root) as client, pytest.raises(npd.NetworkError) as caught:
        client.get_dataset("ds_1")
    text = str(caught.value)
    assert "certificate of localhost is not trusted" in text
    assert "REQUESTS_CA_BUNDLE" in text
    assert "verify=" in text
    assert SECRET not in text


def test_certificates_are_trusted_by_argument_and_by_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(names, tls=True) as root:
        with client_of(root, verify=CERTIFICATE) as client:
            assert client.get_dataset("ds_1").name == "D"
        session = requests.Session()
        session.verify = str(CERTIFICATE)
        with client_of(root, session=session) as client:
            assert client.get_dataset("ds_1").name == "D"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
        with client_of(root) as client:
            assert client.get_dataset("ds_1").name == "D"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_verification_is_turned_off_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(names, tls=True) as root:
        with client_of(root, verify=False) as client:
            assert client.get_dataset("ds_1").name == "D"
        monkeypatch.setenv("NUCLEUS_SKIP_SSL_VERIFY", "1")
        with pytest.warns(npd.NucleusWarning, match="NUCLEUS_SKIP_SSL_VERIFY is set"), client_of(root) as client:
            assert client.get_dataset("ds_1").name == "D"


def test_a_missing_file_of_certificates_is_an_error_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(names, tls=True) as root, client_of(root, verify="/none.pem") as client:
        with pytest.raises(npd.ConfigurationError, match=r"/none\.pem.*Correct verify="):
            client.get_dataset("ds_1")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
        with client_of(root) as other, pytest.raises(npd.ConfigurationError, match="REQUESTS_CA_BUNDLE"):
            other.get_dataset("ds_1")


# Proxies


def test_a_dead_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:secretword@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    client = npd.NucleusClient(SECRET, "http://nucleus.example.org/v1/nucleus", max_retries=0)
    with client, pytest.raises(npd.NetworkError, match=r"proxy of http_proxy \(127\.0\.0\.1:9\)") as caught:
        client.get_dataset("ds_1")
    assert "secretword" not in str(caught.value)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_reads_follow_redirects_on_the_same_server(status: int) -> None:
    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        if path.startswith("/v1"):
            return status, {"Location": path.replace("/v1", "/v2")}, {}
        assert "Authorization" in headers
        return names(method, path, headers)

    with answering(answer) as root, client_of(root) as client:
        assert client.get_dataset("ds_1").name == "D"


def test_a_key_is_not_sent_to_another_server() -> None:
    seen = []

    def elsewhere(method: str, path: str, headers: dict[str, str]) -> Answer:
        seen.append(headers)
        return names(method, path, headers)

    with answering(elsewhere) as other:
        location = f"{other}/v1/nucleus/dataset/ds_1/name?X-Secret=abcdefghij"
        shown = f"redirected to {other}/v1/nucleus/dataset/ds_1/name"
        with (
            answering(lambda *_: (307, {"Location": location}, {})) as root,
            client_of(root) as client,
            pytest.raises(npd.APIError, match=shown) as caught,
        ):
            client.get_dataset("ds_1")
    assert not seen
    assert "abcdefghij" not in str(caught.value)


def test_a_loop_of_redirects_ends() -> None:
    with (
        answering(lambda method, path, headers: (307, {"Location": path}, {})) as root,
        client_of(root) as client,
        pytest.raises(npd.APIError, match="307"),
    ):
        client.get_dataset("ds_1")


@pytest.mark.parametrize("status", [301, 307, 308])
def test_signed_uploads_follow_redirects(status: int, tmp_path: Path) -> None:
    received = []

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        received.append((path, headers.get("Content-Length"), "Authorization" in headers))
        return (status, {"Location": "/region/file"}, {}) if path.startswith("/bucket") else (200, {}, {})

    file = tmp_path / "rows"
    file.write_bytes(b"12345")
    with answering(answer) as root, client_of(root) as client, file.open("rb") as body:
        client._transport.put(f"{root}/bucket/file?X-Amz-Signature=abc", body, 5)
    assert received == [("/bucket/file?X-Amz-Signature=abc", "5", False), ("/region/file", "5", False)]


# Sessions


def test_a_session_sends_the_requests_and_is_not_changed() -> None:
    seen = []

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        seen.append(headers)
        return names(method, path, headers)

    session = requests.Session()
    session.headers["X-Team"] = "vision"
    with answering(answer) as root:
        with client_of(root, session=session) as client:
            assert client.get_dataset("ds_1").name == "D"
        assert session.get(f"{root}/other").status_code == 200  # closing the client leaves the session open
    assert [headers.get("X-Team") for headers in seen] == ["vision"] * 2
    assert ["Authorization" in headers for headers in seen] == [True, False]
    assert session.auth is None
    with pytest.raises(npd.ConfigurationError, match="session must be"):
        npd.NucleusClient(SECRET, session="x")  # type: ignore[arg-type]


# Copies and pickles


def things(client: npd.NucleusClient) -> dict[str, Any]:
    dataset = client.create_dataset("D")
    dataset.append([{"reference_id": "a", "image_url": "https://example.org/a"}])
    model = client.add_model("M", reference_id="m")
    run = dataset.create_model_run(model)
    slice_ = dataset.create_slice("s", ["a"])
    return {
        "client": client,
        "dataset": dataset,
        "model": model,
        "run": run,
        "slice": slice_,
        "items": dataset.items,
        "annotations": dataset.annotations,
        "predictions": run.predictions,
        "slice items": slice_.items,
        "iloc": dataset.items.iloc,
        "refloc": dataset.refloc,
    }


def test_frames_carry_datasets_in_their_attributes(client: npd.NucleusClient) -> None:
    for name, thing in things(client).items():
        frame = pd.DataFrame({"a": [1, 2]})
        frame.attrs[name] = thing
        for derived in (frame.copy(), frame.head(), frame[frame.a > 1], pd.concat([frame, frame]), frame.assign(b=1)):
            assert type(derived.attrs[name]) is type(thing)


def test_copies_use_the_same_connection(client: npd.NucleusClient) -> None:
    @dataclasses.dataclass
    class Settings:
        dataset: npd.Dataset

    dataset = things(client)["dataset"]
    for copied in (copy.copy(dataset), copy.deepcopy(dataset), dataclasses.asdict(Settings(dataset))["dataset"]):
        assert copied == dataset
        assert len(copied) == 1
    assert copy.deepcopy(client).list_datasets() == [dataset.id]


def test_pickles_are_references_within_a_process(client: npd.NucleusClient) -> None:
    for thing in things(client).values():
        loaded = pickle.loads(pickle.dumps(thing))
        assert type(loaded) is type(thing)
        if isinstance(thing, npd.Dataset):
            assert loaded._transport is thing._transport


def test_pickles_open_the_store_or_the_endpoint_elsewhere(client: npd.NucleusClient) -> None:
    dataset = things(client)["dataset"]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(len, [dataset, dataset.items]) == [1, 1]


def test_a_key_is_neither_in_a_pickle_nor_needed_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of("http://localhost:1") as client:
        pickled = pickle.dumps([client, client._transport])
    assert SECRET.encode() not in pickled
    del client
    with pytest.raises(npd.ConfigurationError, match="set NUCLEUS_API_KEY"):
        pickle.loads(pickled)
    monkeypatch.setenv("NUCLEUS_API_KEY", "live_another0123")
    loaded, _ = pickle.loads(pickled)
    assert isinstance(loaded, npd.NucleusClient)
    assert loaded._transport.endpoint == "http://localhost:1/v1/nucleus"


def test_a_pickle_of_a_store_that_is_gone_says_so(tmp_path: Path) -> None:
    with npd.NucleusClient.local() as client:
        pickled = pickle.dumps(client)
    del client
    with pytest.raises(npd.StoreError, match="does not exist here, or was temporary"):
        pickle.loads(pickled)


# Failures in process


def test_a_failure_in_process_tells_and_chains_its_cause(
    local: npd.NucleusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such table")

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedNucleus, "database", property(fail), raising=False)
        with pytest.raises(npd.ServerError, match="failed in this process: RuntimeError") as caught:
            local.list_datasets()
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_the_repr_of_a_client_that_was_not_opened() -> None:
    client = npd.NucleusClient.__new__(npd.NucleusClient)
    assert repr(client) == "<NucleusClient that is not connected>"
