"""The client: how it is made, what it shows, how it keeps on trying."""

from __future__ import annotations

import datetime as dt
import email.utils
import gc
import logging
import pickle
import re
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import requests
import responses
from urllib3.exceptions import NewConnectionError

import nucleus_pandas as npd
from nucleus_pandas.transport.multipart import Multipart
from nucleus_pandas.transport.session import quoted
from tests.support.private import dataset_handle, transport_of

KEY = "live_0123456789abcdef"
HOST = "https://nucleus.example.org/v1/nucleus"
NO_SIGNED_ADDRESSES = re.compile(f"{HOST}/dataset/ds_1/signedUrl/.*")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is made."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


@pytest.fixture
def hosted() -> npd.NucleusClient:
    return npd.NucleusClient(KEY, HOST, max_retries=2)


def test_without_key_and_endpoint_the_ways_out_are_told() -> None:
    with pytest.raises(npd.ConfigurationError, match=r"NUCLEUS_API_KEY.*NucleusClient\.local"):
        npd.NucleusClient()


def test_key_and_endpoint_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUCLEUS_API_KEY", KEY)
    assert repr(npd.NucleusClient()) == "<NucleusClient https://api.scale.com/v1/nucleus>"
    monkeypatch.setenv("NUCLEUS_ENDPOINT", HOST)
    assert repr(npd.NucleusClient()) == f"<NucleusClient {HOST}>"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"api_key": KEY, "limited_access_key": KEY}, "not both"),
        ({"api_key": "with\nnewline"}, "printable ASCII"),
        ({"api_key": ""}, "printable ASCII"),
        ({"endpoint": "ftp://example.org"}, "http or https"),
        ({"endpoint": "nucleus"}, "http or https"),
        ({"endpoint": f"https://{KEY}:@example.org"}, "must not contain a key"),
        ({"api_key": KEY, "max_retries": -1}, "max_retries"),
        ({"api_key": KEY, "max_concurrency": 0}, "max_concurrency"),
        ({"api_key": KEY, "timeout": 0}, "timeout"),
    ],
)
def test_wrong_arguments_are_told_without_the_key(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(npd.ConfigurationError, match=words) as caught:
        npd.NucleusClient(**arguments)
    assert KEY not in str(caught.value)


def test_reprs_say_what_things_are(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    model = client.add_model("M", reference_id="m")
    run = dataset.create_model_run(model)
    assert repr(client).startswith("<NucleusClient ")
    assert repr(dataset).startswith(f"<Dataset {dataset.id} 'Street scenes'")
    assert repr(model).startswith(f"<Model {model.id}")
    assert repr(run).startswith(f"<ModelRun {run.id}")
    assert repr(dataset.refloc) == f"<refloc of dataset/{dataset.id}>"


@responses.activate
def test_the_key_is_sent_and_never_shown(hosted: npd.NucleusClient, caplog: pytest.LogCaptureFixture) -> None:
    responses.get(f"{HOST}/dataset/", status=401, json={"error": "no", "status_code": 401})
    caplog.set_level(logging.DEBUG)
    with pytest.raises(npd.AuthenticationError) as caught:
        hosted.list_datasets()
    assert responses.calls[0].request.headers["Authorization"].startswith("Basic ")
    shown = [
        repr(hosted),
        str(hosted),
        repr(vars(hosted)),
        repr(caught.value),
        caplog.text,
        str(vars(transport_of(hosted))),
    ]
    assert not any(KEY in text for text in shown)
    assert KEY.encode() not in pickle.dumps(hosted)
    with pytest.raises(npd.NucleusError, match="cannot be pickled"):
        pickle.dumps(transport_of(hosted)._key)


@responses.activate
def test_a_limited_access_key_has_its_own_header() -> None:
    responses.get(f"{HOST}/dataset/", json=[])
    npd.NucleusClient(endpoint=HOST, limited_access_key=KEY).list_datasets()
    headers = responses.calls[0].request.headers
    assert headers["x-limited-access-key"] == KEY
    assert "Authorization" not in headers


@responses.activate
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 520, 524])
def test_passing_failures_are_retried(hosted: npd.NucleusClient, waits: list[float], status: int) -> None:
    responses.get(f"{HOST}/dataset/", status=status, body="<html>busy</html>")
    responses.get(f"{HOST}/dataset/", json=["ds_1"])
    assert hosted.list_datasets() == ["ds_1"]
    assert len(waits) == 1


@responses.activate
def test_retry_after_is_honoured(hosted: npd.NucleusClient, waits: list[float]) -> None:
    responses.get(f"{HOST}/dataset/", status=429, headers={"Retry-After": "7"})
    responses.get(f"{HOST}/dataset/", json=[])
    hosted.list_datasets()
    assert waits == [7.0]


@responses.activate
def test_a_date_may_say_when_to_try_again(hosted: npd.NucleusClient, waits: list[float]) -> None:
    soon = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30), usegmt=True)
    for date in (soon, "Fri, 01 Jan 2100 00:00:00 GMT"):
        responses.get(f"{HOST}/dataset/", status=503, headers={"Retry-After": date})
    responses.get(f"{HOST}/dataset/", json=[])
    hosted.list_datasets()
    assert 25 < waits[0] <= 30
    assert waits[1] == 60  # no server is waited for longer


@responses.activate
@pytest.mark.parametrize("failure", [requests.ConnectionError("reset"), requests.Timeout("late"), 502])
def test_what_may_be_done_twice_is_sent_again(
    hosted: npd.NucleusClient, waits: list[float], failure: int | Exception
) -> None:
    box = {"reference_id": "a", "label": "car", "type": "box", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.get(f"{HOST}/dataset/ds_1/name", json={"name": "d"})
    responses.get(f"{HOST}/modelRun/run_1/info", json={})
    dataset, run = hosted.get_dataset("ds_1"), hosted.get_model_run("run_1", "ds_1")
    for send, method, route, answer in (
        (lambda: dataset.annotate([box])["annotations_processed"], "POST", "dataset/ds_1/annotate", "annotations"),
        (lambda: run.predict([box])["predictions_processed"], "POST", "modelRun/run_1/predict", "predictions"),
        (lambda: run.commit()["runs_processed"], "POST", "modelRun/run_1/commit", "runs"),
        (lambda: hosted.delete_dataset(dataset)["datasets_processed"], "DELETE", "dataset/ds_1", "datasets"),
    ):
        fails = {"status": failure} if isinstance(failure, int) else {"body": failure}
        responses.add(method, f"{HOST}/{route}", **fails)  # type: ignore[arg-type]
        responses.add(method, f"{HOST}/{route}", json={f"{answer}_processed": 1, "model_run_id": "run_1"})
        assert send() == 1
    assert len(waits) == 4


@responses.activate
@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("0", 0, 0),
        ("100000", 60, 60),
        ("9" * 400, 60, 60),
        ("Tue, 01 Jan 2002 00:00:00 GMT", 0, 0),
        ("Fri, 01 Jan 2100 00:00:00", 60, 60),
        ("²", 0.25, 0.5),
        ("-5", 0.25, 0.5),
        ("soon", 0.25, 0.5),
        ("", 0.25, 0.5),
        ("Fri, 99 Jan 99999 00:00:00 GMT", 0.25, 0.5),
    ],
)
def test_no_retry_after_does_harm(
    hosted: npd.NucleusClient, waits: list[float], said: str, least: float, most: float
) -> None:
    responses.get(f"{HOST}/dataset/", status=503, headers={"Retry-After": said})
    responses.get(f"{HOST}/dataset/", json=[])
    assert hosted.list_datasets() == []
    (pause,) = waits
    assert least <= pause <= most


@responses.activate
def test_pauses_grow_to_16_seconds(waits: list[float]) -> None:
    responses.get(f"{HOST}/dataset/", status=503)
    with pytest.raises(npd.ServerError):
        npd.NucleusClient(KEY, HOST, max_retries=9).list_datasets()
    for attempt, pause in enumerate(waits):
        assert 0.5 <= pause / min(0.5 * 2**attempt, 16) <= 1
    assert len(set(waits)) == 9


@responses.activate
@pytest.mark.parametrize("body", ["<html></html>", '{"id": "ds_1"}', ""])
def test_a_creation_without_a_right_answer_may_exist(hosted: npd.NucleusClient, body: str) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.post(f"{HOST}/dataset/create", body=body)
    with pytest.raises(npd.ServerError, match="may exist nevertheless: check before you create it again"):
        hosted.create_dataset("once")


@responses.activate
def test_a_creation_under_a_key_may_exist_when_all_tries_are_lost(
    hosted: npd.NucleusClient, waits: list[float]
) -> None:
    refused = requests.ConnectionError(type("Retry", (), {"reason": NewConnectionError(None, "refused")})())  # type: ignore[arg-type]
    responses.get(f"{HOST}/_nucleus_pandas", json={"version": "1", "extensions": ["idempotency"]})
    responses.post(f"{HOST}/dataset/create", body=requests.ConnectionError("reset"))
    responses.post(f"{HOST}/dataset/create", body=refused)
    with pytest.raises(npd.NetworkError, match="may exist"):
        hosted.create_dataset("once")
    responses.remove(responses.POST, f"{HOST}/dataset/create")
    responses.post(f"{HOST}/dataset/create", body=refused)
    with pytest.raises(npd.NetworkError) as caught:
        hosted.create_dataset("once")
    assert "may exist" not in str(caught.value)


@responses.activate
def test_a_delete_whose_answer_was_lost_has_deleted(hosted: npd.NucleusClient, waits: list[float]) -> None:
    responses.delete(f"{HOST}/dataset/ds_1", body=requests.ConnectionError("reset"))
    responses.delete(f"{HOST}/dataset/ds_1", status=404, json={"error": "There is no dataset 'ds_1'."})
    assert "may have deleted it" in hosted.delete_dataset("ds_1")["message"]
    with pytest.raises(npd.NotFoundError):
        hosted.delete_dataset("ds_1")


@responses.activate
@pytest.mark.parametrize(
    "answer",
    [
        {"outcomes": 5, "row_errors": []},
        {"outcomes": [["new", 1]]},
        {"outcomes": [["new", 1]], "row_errors": []},
        {"outcomes": [["new", 3]], "row_errors": []},
        {"outcomes": [["stored", 2]], "row_errors": []},
        {"outcomes": [["error", 2]], "row_errors": [[7, "no"]]},
        {"annotations_processed": "2"},
        {"dataset_id": "ds_1"},
        {"job_id": 7},
        [],
        None,
    ],
)
def test_an_answer_that_tells_nothing_of_the_rows_is_a_doubt(hosted: npd.NucleusClient, answer: object) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", json={"extensions": ["outcomes"]})
    responses.post(f"{HOST}/_nucleus_pandas/dataset/ds_1/annotate", json=answer)
    rows = [{"reference_id": name, "label": "car", "type": "category"} for name in "ab"]
    with pytest.raises(npd.UploadError, match="may be stored; sending them again stores nothing twice") as caught:
        dataset_handle(hosted, "ds_1").annotate(rows)
    assert caught.value.result.failed == rows


@responses.activate
@pytest.mark.parametrize(("status", "asked"), [(503, 3), (429, 3), (302, 1), (401, 1), (500, 12), (400, 4)])
def test_nothing_more_is_sent_where_it_would_meet_the_same(
    hosted: npd.NucleusClient, waits: list[float], status: int, asked: int
) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", json={"extensions": ["outcomes"]})
    responses.post(f"{HOST}/_nucleus_pandas/dataset/ds_1/annotate", status=status, json={"error": "no"})
    rows = [{"reference_id": name, "label": "car", "type": "category"} for name in "abcd"]
    result = dataset_handle(hosted, "ds_1").annotate(rows, batch_size=1, on_error="collect")
    assert result.failed == rows
    assert result.rows["error"].str.startswith("Not sent").sum() == (3 if asked < 4 else 0)
    assert result.rows["error"].str.endswith("may be stored nevertheless.").sum() == {503: 1, 500: 4}.get(status, 0)
    assert len(responses.calls) == 1 + asked


@responses.activate
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 501])
def test_refusals_are_not_retried(hosted: npd.NucleusClient, waits: list[float], status: int) -> None:
    responses.get(f"{HOST}/dataset/", status=status, json={"error": "a sentence", "status_code": status})
    with pytest.raises(npd.APIError, match="^a sentence$") as caught:
        hosted.list_datasets()
    assert (caught.value.status_code, len(responses.calls), waits) == (status, 1, [])


@responses.activate
def test_retries_end(hosted: npd.NucleusClient, waits: list[float]) -> None:
    responses.get(f"{HOST}/dataset/", status=503, body="<h1>busy</h1>")
    with pytest.raises(npd.ServerError, match="503.*busy"):
        hosted.list_datasets()
    assert len(responses.calls) == 3
    assert len(waits) == 2


@responses.activate
def test_a_page_instead_of_json_is_told(hosted: npd.NucleusClient) -> None:
    responses.get(f"{HOST}/dataset/", body="<html></html>", content_type="text/html")
    with pytest.raises(npd.ServerError, match="answered with text/html instead of JSON"):
        hosted.list_datasets()


@responses.activate
def test_a_creation_is_not_sent_twice_to_a_server_without_keys(hosted: npd.NucleusClient, waits: list[float]) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.post(f"{HOST}/dataset/create", body=requests.ConnectionError("reset"))
    with pytest.raises(npd.NetworkError, match="may exist"):
        hosted.create_dataset("once")
    assert [call.request.method for call in responses.calls] == ["GET", "POST"]


@responses.activate
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 524])
def test_a_creation_that_may_have_happened_is_not_sent_again(
    hosted: npd.NucleusClient, waits: list[float], status: int
) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.post(f"{HOST}/dataset/create", status=status, body="busy")
    with pytest.raises(npd.ServerError, match="may exist nevertheless"):
        hosted.create_dataset("once")
    assert [call.request.method for call in responses.calls] == ["GET", "POST"]


@responses.activate
def test_a_creation_that_was_put_off_is_sent_again(hosted: npd.NucleusClient, waits: list[float]) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.post(f"{HOST}/dataset/create", status=429)
    responses.post(f"{HOST}/dataset/create", json={"dataset_id": "ds_1"})
    assert hosted.create_dataset("once").id == "ds_1"


@responses.activate
def test_a_creation_that_was_never_reached_is_sent_again(hosted: npd.NucleusClient, waits: list[float]) -> None:
    refused = requests.ConnectionError(type("Retry", (), {"reason": NewConnectionError(None, "refused")})())  # type: ignore[arg-type]
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.post(f"{HOST}/dataset/create", body=refused)
    responses.post(f"{HOST}/dataset/create", json={"dataset_id": "ds_1"})
    assert hosted.create_dataset("once").id == "ds_1"


@responses.activate
def test_a_creation_is_sent_again_under_its_key(hosted: npd.NucleusClient, waits: list[float]) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", json={"version": "1", "extensions": ["idempotency"]})
    responses.post(f"{HOST}/dataset/create", status=502)
    responses.post(f"{HOST}/dataset/create", json={"dataset_id": "ds_1"})
    assert hosted.create_dataset("once").id == "ds_1"
    first, second = (call.request.headers["Idempotency-Key"] for call in list(responses.calls)[1:])
    assert first == second


@responses.activate
def test_a_server_that_only_counts_is_understood(hosted: npd.NucleusClient) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.get(NO_SIGNED_ADDRESSES, status=404, body="not found")
    responses.get(f"{HOST}/dataset/ds_1/name", json={"name": "d"})
    counters = {"dataset_id": "ds_1", "new_items": 1, "updated_items": 0, "ignored_items": 1, "upload_errors": 0}
    responses.post(f"{HOST}/dataset/ds_1/append", json=counters)
    responses.post(f"{HOST}/dataset/ds_1/annotate", json={"dataset_id": "ds_1", "annotations_processed": 1})
    dataset = hosted.get_dataset("ds_1")
    result = dataset.append([{"reference_id": name, "image_url": "https://e.org/a"} for name in "ab"])
    assert result.rows["status"].tolist() == ["accepted", "accepted"]
    assert (result.new_items, result.ignored_items) == (1, 1)
    sent = msgspec.json.decode(responses.calls[-1].request.body or b"")
    assert sent == {"items": [{"reference_id": n, "image_url": "https://e.org/a"} for n in "ab"], "update": False}
    geometry = {"x": 1, "y": 2, "width": 3, "height": 4}
    annotated = dataset.annotate([{"reference_id": "a", "label": "car", "type": "box", "geometry": geometry}])
    assert annotated.rows["status"].tolist() == ["processed"]
    (row,) = msgspec.json.decode(responses.calls[-1].request.body or b"")["annotations"]
    assert (row["type"], len(row["annotation_id"])) == ("box", 32)


@responses.activate
def test_items_go_one_batch_after_the_other_where_their_order_counts(hosted: npd.NucleusClient) -> None:
    lock, now, most, names = threading.Lock(), [0], [0], []

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        names.extend(item["reference_id"] for item in msgspec.json.decode(request.body or b"")["items"])
        threading.Event().wait(0.01)
        with lock:
            now[0] -= 1
        return 200, {}, '{"dataset_id": "ds_1", "new_items": 1}'

    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.get(NO_SIGNED_ADDRESSES, status=404, body="not found")
    responses.get(f"{HOST}/dataset/ds_1/name", json={"name": "d"})
    responses.add_callback("POST", f"{HOST}/dataset/ds_1/append", answer)
    items = [{"reference_id": name, "image_url": "https://e.org/a"} for name in "badc"]
    assert hosted.get_dataset("ds_1").append(items, batch_size=1).new_items == 4
    assert (names, most) == (list("badc"), [1])


@responses.activate
def test_rows_that_a_counting_server_did_not_take_are_told(hosted: npd.NucleusClient) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.get(NO_SIGNED_ADDRESSES, status=404, body="not found")
    responses.get(f"{HOST}/dataset/ds_1/name", json={"name": "d"})
    dataset = hosted.get_dataset("ds_1")
    geometry = {"x": 1, "y": 2, "width": 3, "height": 4}
    rows = [{"reference_id": name, "label": "car", "type": "box", "geometry": geometry} for name in "ab"]
    answer = {"dataset_id": "ds_1", "annotations_processed": 1, "annotations_ignored": 0, "errors": ["no item b"]}
    responses.post(f"{HOST}/dataset/ds_1/annotate", json=answer)
    with pytest.raises(npd.UploadError, match="Of 2 rows .* stored 1. It says: no item b") as caught:
        dataset.annotate(rows)
    assert caught.value.result.rows["status"].tolist() == ["accepted", "accepted"]
    assert caught.value.result.annotations_processed == 1
    named = {**answer, "errors": ["Item with id b doesn't exist"]}
    responses.replace(responses.POST, f"{HOST}/dataset/ds_1/annotate", json=named)
    with pytest.raises(npd.UploadError, match="1 of 2 rows were rejected:\n.*row 1: Item with id b") as caught:
        dataset.annotate(rows)
    assert caught.value.result.rows["status"].tolist() == ["processed", "error"]
    assert (caught.value.result.failed, caught.value.result.annotations_processed) == (rows[1:], 1)
    with pytest.raises(npd.UploadError, match="Of 3 rows .* stored 1") as caught:  # the sentence explains one of two
        dataset.annotate([*rows, {**rows[0], "reference_id": "c"}])
    assert caught.value.result.rows["status"].tolist() == ["accepted"] * 3
    responses.replace(responses.POST, f"{HOST}/dataset/ds_1/annotate", json={**answer, "annotations_processed": 0})
    with pytest.raises(npd.UploadError, match="2 of 2 rows were rejected.*\n.*no item b") as caught:
        dataset.annotate(rows)
    assert caught.value.result.failed == rows
    counters = {"dataset_id": "ds_1", "new_items": 0, "updated_items": 0, "ignored_items": 0, "upload_errors": 1}
    responses.post(f"{HOST}/dataset/ds_1/append", json=counters)
    result = dataset.append([{"reference_id": "a", "image_url": "https://e.org/a"}], on_error="collect")
    assert (result.rows["status"].tolist(), result.upload_errors) == (["error"], 1)


@responses.activate
def test_a_lost_connection_ends_the_upload_and_keeps_account(hosted: npd.NucleusClient, waits: list[float]) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.get(NO_SIGNED_ADDRESSES, status=404, body="not found")
    responses.get(f"{HOST}/dataset/ds_1/name", json={"name": "d"})
    responses.post(f"{HOST}/dataset/ds_1/append", json={"dataset_id": "ds_1", "new_items": 1})
    responses.post(f"{HOST}/dataset/ds_1/append", body=requests.ConnectionError("reset"))
    items = [{"reference_id": name, "image_url": "https://e.org/a"} for name in "abcd"]
    with pytest.raises(npd.UploadError, match="may be stored; sending them again stores nothing twice") as caught:
        hosted.get_dataset("ds_1").append(items, batch_size=1)
    assert caught.value.result.rows["status"].tolist() == ["new", "error", "error", "error"]
    assert caught.value.result.failed == items[1:]
    assert len(responses.calls) == 3 + 1 + 3


@responses.activate
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404, "body": "not found", "content_type": "text/plain"},
        {"status": 200, "body": "<html></html>", "content_type": "text/html"},
        {"status": 200, "json": {"version": "1"}},
        {"status": 200, "json": ["extensions"]},
        {"status": 200, "json": {"extensions": "all"}},
    ],
)
def test_a_server_that_names_no_extensions_counts_as_hosted(hosted: npd.NucleusClient, answer: dict[str, Any]) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", **answer)
    responses.post(f"{HOST}/dataset/create", json={"dataset_id": "ds_1"})
    assert [hosted.create_dataset("d").id for _ in range(2)] == ["ds_1", "ds_1"]
    posts = [call.request for call in responses.calls if call.request.method == "POST"]
    assert not any("Idempotency-Key" in post.headers for post in posts)
    assert len([call for call in responses.calls if call.request.method == "GET"]) == 1


@responses.activate
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_is_asked_again_what_it_can_do(
    hosted: npd.NucleusClient, waits: list[float], status: int
) -> None:
    for _ in range(6):
        responses.get(f"{HOST}/_nucleus_pandas", status=status, body="busy")
    responses.get(f"{HOST}/_nucleus_pandas", json={"extensions": ["idempotency"]})
    made = responses.post(f"{HOST}/dataset/create", json={"dataset_id": "ds_1"})
    responses.get(f"{HOST}/dataset/ds_1/name", json={"name": "d"})
    with pytest.raises(npd.APIError, match="busy"):
        hosted.create_dataset("d")
    with pytest.raises(npd.APIError, match="busy") as caught:
        hosted.get_dataset("ds_1").append([{"reference_id": "a", "image_url": "https://example.org/a"}])
    assert "may" not in str(caught.value)
    assert made.call_count == 0
    hosted.create_dataset("d")
    assert "Idempotency-Key" in made.calls[0].request.headers


@responses.activate
def test_an_answer_in_another_form_is_told(hosted: npd.NucleusClient) -> None:
    responses.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
    responses.post(f"{HOST}/dataset/create", json={"id": "ds_1"})
    with pytest.raises(npd.ServerError, match="create was answered in an unexpected form: .*`dataset_id`"):
        hosted.create_dataset("d")


@responses.activate
@pytest.mark.parametrize("annotations", [{"box": [{"type": "box"}], "line": []}, [{"type": "box"}]])
def test_both_forms_of_annotations_are_read(hosted: npd.NucleusClient, annotations: object) -> None:
    responses.get(f"{HOST}/dataset/ds_1/name", json={"name": "d"})
    responses.get(f"{HOST}/dataset/ds_1/refloc/a", json={"item": {"id": "di_1"}, "annotations": annotations})
    assert hosted.get_dataset("ds_1").refloc("a") == {"item": {"id": "di_1"}, "annotations": [{"type": "box"}]}


@responses.activate
@pytest.mark.parametrize("failure", [{"status": 503}, {"body": requests.ConnectionError()}], ids=["503", "no answer"])
def test_a_client_that_is_closed_in_a_pause_sends_nothing_more(
    hosted: npd.NucleusClient, monkeypatch: pytest.MonkeyPatch, failure: dict[str, Any]
) -> None:
    responses.get(f"{HOST}/dataset/", **failure)
    monkeypatch.setattr(time, "sleep", lambda seconds: hosted.close())
    with pytest.raises((npd.ServerError, npd.NetworkError)):
        hosted.list_datasets()
    assert len(responses.calls) == 1


def test_nothing_listens() -> None:
    client = npd.NucleusClient(endpoint="http://127.0.0.1:9/v1/nucleus", max_retries=0)
    with pytest.raises(npd.NetworkError, match="the connection was refused"):
        client.list_datasets()


def test_a_name_in_place_of_an_id_is_told_how_to_find_it(store: Path) -> None:
    with npd.NucleusClient.local(store) as client:
        made = client.create_dataset("Street scenes")
        with pytest.raises(
            npd.NotFoundError, match=r"no dataset 'Street scenes'.*'ds_'.*client\.datasets.*get_dataset\(name="
        ):
            client.get_dataset("Street scenes")
        with pytest.raises(npd.NotFoundError, match=r"There is no dataset 'ds_000000000000'\.$"):
            client.get_dataset("ds_000000000000")
        assert client.create_dataset("Street scenes", exist_ok=True).id == made.id


def test_a_closed_store_is_told(store: Path) -> None:
    client = npd.NucleusClient.local(store)
    client.close()
    with pytest.raises(npd.StoreError, match="is closed"):
        client.list_datasets()


def test_a_temporary_store_goes_with_its_client() -> None:
    with npd.NucleusClient.local() as client:
        folder = transport_of(client).folder
        assert folder is not None
        assert folder.is_dir()
    assert not folder.exists()


def test_a_temporary_store_goes_when_nobody_holds_its_client() -> None:
    client = npd.NucleusClient.local()
    folder = transport_of(client).folder
    assert folder is not None
    assert folder.is_dir()
    del client
    gc.collect()
    assert not folder.exists()


def test_exist_ok_gives_the_oldest_dataset_of_a_name(client: npd.NucleusClient) -> None:
    first, second = client.create_dataset("same"), client.create_dataset("same")
    assert first != second
    assert client.create_dataset("same", exist_ok=True) == first
    assert client.create_dataset({"name": "new"}, exist_ok=True).info["length"] == 0


def test_update_replaces_items_and_annotations(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    item = {"reference_id": "a.jpg", "image_url": "https://example.org/new.jpg", "metadata": {"k": 1}}
    assert dataset.append([item]).ignored_items == 1
    assert dataset.append([item], if_exists="update").updated_items == 1
    assert dataset.iloc(0)["item"]["image_url"] == "https://example.org/new.jpg"
    geometry = {"x": 1, "y": 2, "width": 3, "height": 4}
    row = {"reference_id": "a.jpg", "label": "car", "type": "box", "geometry": geometry}
    for status in ("new", "ignored"):
        with pytest.warns(npd.NucleusWarning, match="1 row repeats another exactly, the first is row 1"):
            assert dataset.annotate([row, row]).rows["status"].tolist() == [status, status]
    result = dataset.annotate([{**row, "metadata": {"k": 2}}], if_exists="update")
    assert result.rows["status"].tolist() == ["updated"]
    assert [a["metadata"] for a in dataset.refloc("a.jpg")["annotations"]] == [{"k": 2}, {}]


def test_local_images_travel_before_their_items_without_their_path(
    client: npd.NucleusClient, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    rewind = Multipart.rewind

    def note(self: Multipart) -> None:
        rewind(self)
        sent.append(self.read())
        rewind(self)

    monkeypatch.setattr(Multipart, "rewind", note)
    dataset = client.create_dataset("local")
    result = dataset.append([{"reference_id": f"{n}", "image_url": str(image)} for n in range(71)])
    assert result.new_items == 71
    assert sorted(body.count(b"Content-Type: image/png") for body in sent) == [7, 32, 32]
    assert not any(str(image.parent).encode() in body for body in sent)
    item = dataset.iloc(70)["item"]
    assert (item["width"], item["height"]) == (64, 48)
    stored = item["image_url"]
    content = requests.get(stored, timeout=5).content if stored.startswith("http") else Path(stored).read_bytes()
    assert content == image.read_bytes()


def test_a_multipart_body_is_read_as_it_is_long(image: Path) -> None:
    body = Multipart({"items": b"[]", "if_exists": b"error"}, [("image", image, "ä b.png")] * 3)
    whole = body.read()
    assert len(whole) == len(body)
    body.rewind()
    parts = []
    while chunk := body.read(7):
        parts.append(chunk)
    assert b"".join(parts) == whole
    assert max(map(len, parts)) == 7


def test_memory_does_not_grow_with_a_image(client: npd.NucleusClient, image: Path) -> None:
    with image.open("r+b") as file:
        file.truncate(64 << 20)  # what follows the end of an image is not looked at
    dataset = client.create_dataset("large")
    tracemalloc.start()
    try:
        dataset.append([{"reference_id": "large", "image_url": str(image)}])
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert dataset.iloc(0)["item"]["width"] == 64


@pytest.mark.parametrize(("name", "segment"), [("..", "%2E%2E"), (".", "%2E"), ("a/b?", "a%2Fb%3F"), ("...", "...")])
def test_ids_are_quoted(name: str, segment: str) -> None:
    assert quoted(name) == segment


def test_what_a_model_can_have_is_listed() -> None:
    with pytest.raises(
        npd.InvalidInputError, match="has no field 'ref_id'; its fields are 'name', 'reference_id', 'metadata'"
    ):
        npd.NucleusClient(KEY, HOST).add_model("M", ref_id="m")


def test_settings_may_be_numpy_integers(waits: list[float]) -> None:
    client = npd.NucleusClient(KEY, HOST, max_retries=np.int64(1), max_concurrency=np.int32(2))
    with responses.RequestsMock() as mock:
        mock.get(f"{HOST}/dataset/", status=503)
        mock.get(f"{HOST}/dataset/", json=[])
        assert client.list_datasets() == []
    assert len(waits) == 1
