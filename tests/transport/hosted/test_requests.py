"""Every request that the client makes of the hosted service, and what it takes back."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from contextlib import closing
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import responses

import nucleus_pandas as npd
from nucleus_pandas.views import (
    AnnotationsView,
    DatasetIndexer,
    DatasetPredictionsView,
    ItemsView,
    ModelPredictionsView,
    PredictionsView,
    RunIndexer,
    SliceAnnotationsView,
    SliceItemsView,
    SlicePredictionsView,
)
from nucleus_pandas.views.annotation_indexer import AnnotationIndexer
from nucleus_pandas.views.base import View
from nucleus_pandas.views.item_indexer import ItemIndexer
from tests.transport.hosted.client_cases import clients
from tests.transport.hosted.exchanges import (
    BUCKET,
    HEX,
    HOST,
    KEY,
    PROCESSED,
    Case,
    Host,
    Lines,
    Parts,
    at,
    box_frame,
    get,
    listen,
    post,
)
from tests.transport.hosted.model_cases import of_models
from tests.transport.hosted.page_cases import pages
from tests.transport.hosted.query_cases import queries
from tests.transport.hosted.resource_cases import resources
from tests.transport.hosted.slice_cases import slices
from tests.transport.hosted.upload_cases import uploads
from tests.transport.hosted.view_cases import views

CASES = [*clients(), *uploads(), *resources(), *views(), *of_models(), *slices(), *queries(), *pages()]


ASKING = [case for case in CASES if case.exchanges]


LOOK_UPS = [case for case in ASKING if "Indexer" in case.member]


def titles(cases: Sequence[Case]) -> list[str]:
    counts: dict[str, int] = {}
    found = []
    for case in cases:
        counts[case.member] = counts.get(case.member, 0) + 1
        found.append(f"{case.member} {counts[case.member]}")
    return found


each_case = pytest.mark.parametrize("case", CASES, ids=titles(CASES))


each_asking_case = pytest.mark.parametrize("case", ASKING, ids=titles(ASKING))


CLASSES = [npd.NucleusClient, npd.Dataset, npd.Model, npd.ModelRun, npd.Job, npd.UploadResult]


CLASSES += [npd.Slice, SliceItemsView, SliceAnnotationsView, SlicePredictionsView]


CLASSES += [DatasetPredictionsView, ModelPredictionsView]


CLASSES += [ItemsView, AnnotationsView, PredictionsView, DatasetIndexer, RunIndexer, ItemIndexer, AnnotationIndexer]


def test_every_member_has_a_case_and_every_case_its_member() -> None:
    members = {
        f"{kind.__name__}.{name}"
        for kind in CLASSES
        for name in dir(kind)
        if not name.startswith("_") or (name in ("__getitem__", "__len__", "__call__") and getattr(kind, name))
    }
    elsewhere = {"NucleusClient.local"}  # asks nobody but its own process
    # of views, and what a dataset has of its items: they read by `to_frame`, `iter_frames`, `iloc` or the length
    derived = {"__getitem__", "empty", "head", "sample", "shape", "tail", "to_arrow", "to_polars"}
    elsewhere |= {f"{kind.__name__}.{name}" for kind in CLASSES if issubclass(kind, View) for name in derived}
    assert {case.member for case in CASES} == members - elsewhere - {"Dataset.to_frame", "ModelRun.name"}


@each_case
@pytest.mark.parametrize("kind", ["api key", "limited access key"])
def test_requests_are_those_of_the_contract(mock: responses.RequestsMock, image: Path, case: Case, kind: str) -> None:
    host = Host(case.exchanges)
    listen(mock, host.answer)
    keys: dict[str, Any] = {"api_key": KEY} if kind == "api key" else {"limited_access_key": KEY}
    with closing(npd.NucleusClient(**keys, max_retries=0, max_concurrency=1)) as client:
        assert plain(case.act(at(client, image))) == case.gives
    assert host.probes <= 1
    assert len(host.sent) == len(case.exchanges)
    for (request, body), exchange in zip(host.sent, case.exchanges, strict=True):
        url = exchange.path if exchange.path.startswith("https://") else f"{HOST}/{exchange.path}"
        assert (request.method, re.sub("[0-9a-f]{32}", HEX, str(request.url))) == (exchange.method, url)
        check_body(request.headers, re.sub(rb"[0-9a-f]{32}", HEX.encode(), body), body, exchange.body)
        if url == BUCKET:
            assert not {"Authorization", "x-limited-access-key"} & set(request.headers)
            continue
        assert request.headers["Accept"] == "application/json"
        basic = f"Basic {base64.b64encode(f'{KEY}:'.encode()).decode()}"
        assert request.headers.get("Authorization") == (basic if kind == "api key" else None)
        assert request.headers.get("x-limited-access-key") == (None if kind == "api key" else KEY)
        assert "Idempotency-Key" not in request.headers


def plain(value: Any) -> Any:
    """What was given, with NumPy's and pandas' numbers as Python's."""
    return json.loads(json.dumps(value)) if isinstance(value, dict) else value


def check_body(headers: Any, text: bytes, body: bytes, expected: Any) -> None:
    if expected is None:
        assert (body, headers.get("Content-Type")) == (b"", None)
        return
    assert headers["Content-Length"] == str(len(body))
    if isinstance(expected, Lines):
        assert "Content-Type" not in headers
        assert text.isascii()
        assert text.endswith(b"\n")
        assert [json.loads(line) for line in text[:-1].split(b"\n")] == list(expected.objects)
    elif isinstance(expected, Parts):
        head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
        found = [
            (
                part.get_param("name", header="Content-Disposition"),
                part.get_param("filename", header="Content-Disposition"),
                part["Content-Type"],
                part.get_payload(decode=True),
            )
            for part in message_from_bytes(head + body).get_payload()
        ]
        name, filename, kind, content = found[0]
        assert [(name, filename, kind, json.loads(content)), *found[1:]] == list(expected.parts)
    else:
        assert headers["Content-Type"] == "application/json"
        assert json.loads(text) == expected


def widened(answer: Any) -> Any:
    """An answer with a field more in every object that stands for something."""
    if isinstance(answer, list):
        return [widened(one) for one in answer]
    if not isinstance(answer, dict):
        return answer
    inner = {key: part if key in ("metadata", "geometry", "message") else widened(part) for key, part in answer.items()}
    by_type = "line" in answer and "item" not in answer
    return inner if by_type else {**inner, "extra": {"nobody": ["knows", 1]}}


def narrowed(value: Any) -> Any:
    """What was given, without that field."""
    if isinstance(value, (list, tuple)):
        return type(value)(narrowed(one) for one in value)
    if isinstance(value, dict):
        return {key: narrowed(part) for key, part in value.items() if key != "extra"}
    return value


@each_asking_case
def test_fields_that_nobody_knows_change_nothing(mock: responses.RequestsMock, image: Path, case: Case) -> None:
    exchanges = [exchange._replace(answer=widened(exchange.answer)) for exchange in case.exchanges]
    listen(mock, Host(exchanges).answer)
    with closing(npd.NucleusClient(KEY, max_retries=0, max_concurrency=1)) as client:
        assert narrowed(case.act(at(client, image))) == case.gives


FAILURES: list[tuple[int, Any, type[npd.APIError]]] = [
    (400, {"status_code": 400, "error": "A sentence."}, npd.BadRequestError),
    (400, {"error": "A sentence."}, npd.BadRequestError),
    (401, {"status_code": 401, "error": "A sentence."}, npd.AuthenticationError),
    (403, "A sentence.", npd.AuthenticationError),
    (404, {"error": "A sentence."}, npd.NotFoundError),
    (404, "A sentence.", npd.NotFoundError),
    (409, {"error": "A sentence."}, npd.ConflictError),
    (413, "<html><h1>A sentence.</h1></html>", npd.TooLargeError),
    (429, {"error": "A sentence."}, npd.APIError),
    (500, "<html><h1>A sentence.</h1></html>", npd.ServerError),
]


@each_asking_case
def test_refusals_are_told_in_the_words_of_the_server(mock: responses.RequestsMock, image: Path, case: Case) -> None:
    refusal: tuple[int, dict[str, str], str]
    listen(mock, lambda request: refusal)
    for status, answer, kind in FAILURES:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        refusal = status, {"Content-Type": "text/plain" if text == answer else "application/json"}, text
        with (
            closing(npd.NucleusClient(KEY, max_retries=0, max_concurrency=1)) as client,
            pytest.raises((kind, npd.UploadError), match="A sentence.") as caught,
        ):
            case.act(at(client, image))
        assert KEY not in str(caught.value)
        assert isinstance(caught.value, npd.UploadError) or caught.value.status_code == status


def test_the_extensions_are_asked_for_once(mock: responses.RequestsMock, image: Path) -> None:
    host = Host([post("dataset/ds_1/annotate", None, PROCESSED)] * 3)
    listen(mock, host.answer)
    with closing(npd.NucleusClient(KEY, max_retries=0)) as client:
        for _ in range(3):
            at(client, image).dataset.annotate(box_frame("a", "b"))
    assert host.probes == 1


def test_an_endpoint_may_end_with_a_slash(mock: responses.RequestsMock) -> None:
    host = Host([get("dataset/", [])])
    listen(mock, host.answer)
    with closing(npd.NucleusClient(KEY, f"{HOST}/")) as client:
        client.list_datasets()
    assert host.sent[0][0].url == f"{HOST}/dataset/"
