"""Keys and signed addresses are shown to the server that they are for, and to nobody else, whatever goes wrong."""

from __future__ import annotations

import base64
import copy
import logging
import pickle
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
import responses

import nucleus_pandas as npd
from nucleus_pandas.server.in_process import InProcessAdapter
from nucleus_pandas.server.serving import Server
from nucleus_pandas.transport.auth import Key
from tests.support.faulty_proxy import FAULTS, FaultyProxy, Request
from tests.support.private import dataset_handle, job_handle, run_handle, session_of, transport_of

KEY = "live_0123456789abcdef"
SECRETS = (KEY, base64.b64encode(f"{KEY}:".encode()).decode(), base64.b64encode(KEY.encode()).decode().rstrip("="))
HOST = "https://nucleus.example.org/v1/nucleus"


class Quick:
    """The module `time`, where nobody sleeps."""

    def __init__(self) -> None:
        import time

        self.time, self.monotonic, self.perf_counter = time.time, time.monotonic, time.perf_counter
        self.sleep: Callable[[float], None] = lambda seconds: None


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a server that lets the key in, and nobody else."""
    with Server(tmp_path_factory.mktemp("guarded"), port=0, api_keys=[KEY]) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server.endpoint
        server.stop()
        thread.join(timeout=20)


@pytest.fixture(params=["api_key", "limited_access_key"])
def kind(request: pytest.FixtureRequest) -> str:
    """How the key is given."""
    return str(request.param)


def forms(thing: object) -> list[str]:
    """All that a thing shows of itself."""
    shown = [repr(thing), str(thing), format(thing)]
    html = getattr(thing, "_repr_html_", None)
    shown += [html()] if html is not None else []
    try:
        shown.append(pickle.dumps(thing).decode("latin-1"))
    except Exception as error:  # what is refused is told by a sentence, which must be clean as well
        shown.append(everything_told(error))
    return shown


def everything_told(error: BaseException) -> str:
    """All that an error tells, with what stands behind it, and whatever hangs on it."""
    seen: set[int] = set()
    texts = ["".join(traceback.format_exception(error))]

    def visit(thing: object) -> None:
        if id(thing) in seen or thing is None:
            return
        seen.add(id(thing))
        assert not isinstance(thing, (requests.Request, requests.PreparedRequest, requests.Response)), thing
        if isinstance(thing, BaseException):
            texts.extend([repr(thing), str(thing)])
            for part in (thing.__cause__, thing.__context__, thing.args, vars(thing)):
                visit(part)
        elif isinstance(thing, dict):
            visit(list(thing.items()))
        elif isinstance(thing, (list, tuple, set)):
            for part in thing:
                visit(part)
        else:
            texts.append(repr(thing))
            if isinstance(thing, npd.UploadResult):
                texts.extend([thing.rows.to_csv(), *map(repr, thing.jobs), str(thing._repr_html_())])

    visit(error)
    return "\n".join(texts)


def clean(texts: list[str], *more: str) -> None:
    for secret in (*SECRETS, *more):
        for text in texts:
            assert secret not in text, text[max(0, text.find(secret) - 200) :][:500]


def operations(client: npd.NucleusClient, dataset_id: str, run_id: str, image: Path) -> Iterator[Callable[[], Any]]:
    """Operations of every kind."""
    dataset = dataset_handle(client, dataset_id)
    run = run_handle(client, run_id, dataset_id)
    items = pd.DataFrame({"reference_id": list("ab"), "image_url": "https://example.org/a"})
    boxes = pd.DataFrame({"reference_id": list("ab"), "label": "car", "x": 1, "y": 2, "width": 3, "height": 4})
    yield lambda: client.list_datasets()
    yield lambda: client.create_dataset("made")
    yield lambda: dataset.append(items)
    yield lambda: dataset.append([{"reference_id": "c", "image_url": str(image)}], if_exists="update")
    yield lambda: dataset.annotate(boxes, batch_size=1)
    yield lambda: run.predict(boxes.assign(confidence=0.5))
    yield lambda: dataset.refloc[["a", "b"]]
    yield lambda: dataset.items.to_frame()
    yield lambda: run.matches()
    yield lambda: client.delete_model_run("run_none")
    yield lambda: client.get_job("job_none")


@pytest.mark.parametrize("fault", [None, *(fault for fault in FAULTS if fault != "too late")])
def test_nothing_shows_the_key_or_a_signed_address(
    guarded: str,
    kind: str,
    fault: str | None,
    image: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nucleus_pandas.transport.session.time", Quick())
    monkeypatch.setattr("nucleus_pandas.uploads.jobs.time", Quick())
    owner = npd.NucleusClient(KEY, guarded)
    dataset = owner.create_dataset("d")
    run = dataset.create_model_run(owner.add_model("M", reference_id="m"))
    caplog.set_level(logging.DEBUG)
    for name in ("nucleus_pandas", "urllib3", "urllib3.connectionpool", "urllib3.util.retry", "requests"):
        caplog.set_level(logging.DEBUG, logger=name)
    shown: list[str] = []
    calls = 0

    def plan(request: Request) -> str | None:
        nonlocal calls
        calls += 1
        return fault if calls % 3 and not request.target.endswith("_nucleus_pandas") else None

    with (
        FaultyProxy(guarded) as elsewhere,
        FaultyProxy(guarded, hide_extensions=True, elsewhere=elsewhere.endpoint) as proxy,
        npd.NucleusClient(endpoint=proxy.endpoint, **{kind: KEY}, max_retries=1, max_concurrency=2) as client,
        proxy.breaking(plan),
    ):
        for operation in operations(client, dataset.id, run.id, image):
            try:
                shown += forms(operation())
            except npd.NucleusError as error:
                shown += [everything_told(error), *forms(error)]
                shown += forms(error.result) if isinstance(error, npd.UploadError) else []
        shown += [text for thing in (client, transport_of(client)) for text in forms(thing)]
    assert elsewhere.requests == []  # redirects are not followed
    signed = {request.target for request in proxy.requests if "/_upload/" in request.target}
    assert signed or fault is not None
    assert len(caplog.records) > 20
    clean([*shown, caplog.text, *map(repr, caplog.records)], *(target.rsplit("/", 1)[1] for target in signed))
    check_wire(proxy.requests, kind, image)


def check_wire(sent: list[Request], kind: str, image: Path) -> None:
    """The key goes in one header of every request to the API, and nowhere else; no path of this machine goes at all."""
    header, value = {
        "api_key": ("Authorization", f"Basic {SECRETS[1]}"),
        "limited_access_key": ("x-limited-access-key", KEY),
    }[kind]
    for request in sent:
        others = [f"{name}: {text}" for name, text in request.headers if name != header]
        clean([request.method, request.target, *others, request.body.decode("latin-1")])
        assert request.header(header) == (None if "/_upload/" in request.target else value)
        everything = "\n".join([request.target, *others, request.body.decode("latin-1")])
        assert str(image.parent) not in everything
        assert str(image.parent).replace("/", "%2F") not in everything
    names = [request.body for request in sent if b"multipart" in str(request.header("Content-Type")).encode()]
    assert all(b'filename="my_img_001.png"' in body for body in names if body)


@responses.activate
@pytest.mark.parametrize("status", [200, 400, 401, 404, 500, 503])
@pytest.mark.parametrize("form", ["json", "text", "type"])
def test_a_server_that_says_the_key_is_not_repeated(kind: str, status: int, form: str) -> None:
    said = f"No entry for {SECRETS[0]}, which is Basic {SECRETS[1]}."
    answer: dict[str, Any] = {"body": said, "content_type": "text/plain"}
    if form == "json":
        answer = {"json": {"error": said, "status_code": status}}
    elif form == "type":
        answer = {"body": "x", "content_type": f"text/plain; key={KEY}"}
    responses.get(f"{HOST}/dataset/", status=status, **answer)
    client = npd.NucleusClient(endpoint=HOST, **{kind: KEY}, max_retries=0)
    with pytest.raises(npd.APIError) as caught:
        client.list_datasets()
    clean([everything_told(caught.value)])


@responses.activate
@pytest.mark.parametrize(
    "address", ["secret-token", "ftp://a.org/secret-token", "http://[secret-token", "https://", ""]
)
def test_a_signed_address_that_is_none_is_not_told(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.get(re.compile(f"{HOST}/dataset/ds_1/signedUrl/.*"), json={"signed_url": address})
    dataset = dataset_handle(npd.NucleusClient(KEY, HOST, max_retries=0), "ds_1")
    with pytest.raises(npd.ServerError, match="returned an invalid upload URL") as caught:
        dataset.append([{"reference_id": "a", "image_url": "https://example.org/a"}])
    clean([everything_told(caught.value), caplog.text], "secret-token")


def test_things_show_no_key(guarded: str, kind: str, store: Path) -> None:
    with npd.NucleusClient(endpoint=guarded, **{kind: KEY}) as client, npd.NucleusClient.local(store) as local:
        dataset = client.create_dataset("d")
        model = client.add_model("M", reference_id="m")
        run = dataset.create_model_run(model)
        things = [client, dataset, model, run, job_handle(client, "job_1"), client.datasets, client.models]
        things += [dataset.items, dataset.annotations, run.predictions, dataset.iloc, run.refloc, dataset.items.loc]
        things += [dataset.append([{"reference_id": "a", "image_url": "https://example.org/a"}]), dataset.info]
        things += [transport_of(client), session_of(client), transport_of(local), local]
        things += [Key(KEY), Key(limited_access_key=KEY), vars(client), vars(transport_of(client)), vars(dataset)]
        adapters = [*session_of(client).adapters.values(), *session_of(local).adapters.values()]
        assert any(isinstance(adapter, InProcessAdapter) for adapter in adapters)
        clean([text for thing in [*things, *adapters] for text in forms(thing)])


@pytest.mark.parametrize("thing", [Key(KEY), Key(limited_access_key=KEY)])
def test_keys_are_neither_pickled_nor_copied(thing: Key) -> None:
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(npd.NucleusError, match="cannot be pickled") as caught:
            act(thing)
        clean([everything_told(caught.value)])


@pytest.mark.parametrize("verb", ["annotate", "predict"])
def test_errors_of_uploads_survive_pickling(client: npd.NucleusClient, dataset: npd.Dataset, verb: str) -> None:
    run = dataset.create_model_run(client.add_model("M", reference_id="m"))
    rows = [{"reference_id": "none", "label": "car", "type": "category"}]
    with pytest.raises(npd.UploadError) as caught:
        (dataset.annotate if verb == "annotate" else run.predict)(rows)
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is npd.UploadError
    assert str(error) == str(caught.value)
    assert error.result.failed == rows
    pd.testing.assert_frame_equal(error.result.rows, caught.value.result.rows)


def test_what_urllib3_notes_of_other_requests_is_kept(guarded: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="urllib3.connectionpool")
    npd.NucleusClient(KEY, guarded).list_datasets()
    assert any("GET /v1/nucleus/dataset/" in record.getMessage() for record in caplog.records)


def test_a_server_that_fails_logs_no_signed_address(
    guarded: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr("nucleus_pandas.server.nucleus.EmbeddedNucleus.receive", fail)
    dataset = npd.NucleusClient(KEY, guarded).create_dataset("d")
    item = {"reference_id": "a", "image_url": "https://example.org/a"}
    with FaultyProxy(guarded, hide_extensions=True) as proxy:
        client = npd.NucleusClient(KEY, proxy.endpoint, max_retries=0)
        with pytest.raises(npd.UploadError, match="answered with 500"):
            dataset_handle(client, dataset.id).append([item])
        client.close()
    (secret,) = {r.target.rsplit("/", 1)[1] for r in proxy.requests if "/_upload/" in r.target}
    assert "the disk is gone" in caplog.text
    assert secret not in caplog.text


def test_an_error_keeps_nothing_of_the_request(guarded: str) -> None:
    with FaultyProxy(guarded) as proxy:
        proxy.plan = lambda request: "answer lost"
        with pytest.raises(npd.NetworkError) as caught:
            npd.NucleusClient(KEY, proxy.endpoint, max_retries=0).list_datasets()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
