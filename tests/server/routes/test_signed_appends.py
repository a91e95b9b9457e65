"""Appends of items by signed addresses and jobs, as current clients send them."""

from __future__ import annotations

import uuid

import pytest

from tests.factories import item
from tests.support.contract_requests import (
    JOB,
    Api,
    append_files,
    array_of,
    consume,
    file_of,
    finished,
    image_bytes,
    ndjson,
    new_dataset,
    new_run,
    put,
    sign,
    upload,
)


def test_a_signed_address_is_absolute_and_on_this_server(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    signed = anywhere.ok("GET", f"dataset/{dataset}/signedUrl/{uuid.uuid4().hex}")["signed_url"]
    assert signed.startswith(f"{anywhere.origin}/")


def test_a_signed_address_may_name_a_storage(api: Api) -> None:
    dataset = new_dataset(api)
    query = "?s3Endpoint=http%3A%2F%2F127.0.0.1%3A9"
    assert "signed_url" in api.ok("GET", f"dataset/{dataset}/signedUrl/{uuid.uuid4().hex}{query}")


def test_a_signed_address_cannot_be_guessed(api: Api) -> None:
    assert len(sign(api, new_dataset(api), "1").rpartition("/")[2]) >= 20


def test_a_signed_address_does_not_show_the_request_id(api: Api) -> None:
    request_id = uuid.uuid4().hex
    assert request_id not in sign(api, new_dataset(api), request_id)


def test_a_signed_address_needs_a_dataset(api: Api) -> None:
    assert api.status("GET", "dataset/ds_0/signedUrl/1") == 404


def test_an_address_that_was_not_signed_takes_nothing(api: Api) -> None:
    path = sign(api, new_dataset(api), "1")
    assert put(api, path.rpartition("/")[0] + "/" + "A" * 43, b"{}\n").status == 404


def test_a_signed_append_is_a_job(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    job = consume(anywhere, f"dataset/{dataset}/append", upload(anywhere, dataset, item("a.jpg", metadata={})))
    assert set(job) == JOB


def test_a_signed_append_has_its_own_type_of_job(api: Api) -> None:
    dataset = new_dataset(api)
    job = consume(api, f"dataset/{dataset}/append", upload(api, dataset, item("a.jpg")))
    assert job["job_type"] == "uploadDatasetItems"


def test_a_signed_append_is_completed_at_once(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    job = consume(anywhere, f"dataset/{dataset}/append", upload(anywhere, dataset, item("a.jpg")))
    assert job["job_last_known_status"] == "Completed"


def test_a_signed_append_stores_items_in_order(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    rows = [item(name, metadata={"name": name}) for name in ("b.jpg", "a.jpg", "🚗.jpg")]
    finished(anywhere, consume(anywhere, f"dataset/{dataset}/append", upload(anywhere, dataset, *rows)))
    found = anywhere.get(f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [one["metadata"]["name"] for one in found] == ["b.jpg", "a.jpg", "🚗.jpg"]


@pytest.mark.parametrize(("update", "expected"), [(False, 1), (True, 2)])
def test_a_signed_append_heeds_update(api: Api, update: bool, expected: int) -> None:
    dataset = new_dataset(api)
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg", metadata={"k": 1})]})
    request_id = upload(api, dataset, item("a.jpg", metadata={"k": 2}))
    finished(api, consume(api, f"dataset/{dataset}/append", request_id, update=update))
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["metadata"] == {"k": expected}


def test_a_second_put_replaces_the_first(anywhere: Api) -> None:
    dataset, request_id = new_dataset(anywhere), uuid.uuid4().hex
    path = sign(anywhere, dataset, request_id)
    put(anywhere, path, ndjson(item("first.jpg")))
    put(anywhere, path, ndjson(item("last.jpg")))
    finished(anywhere, consume(anywhere, f"dataset/{dataset}/append", request_id))
    found = anywhere.get(f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [one["reference_id"] for one in found] == ["last.jpg"]


def test_a_request_id_signed_twice_takes_one_upload(api: Api) -> None:
    dataset, request_id = new_dataset(api), uuid.uuid4().hex
    put(api, sign(api, dataset, request_id), ndjson(item("a.jpg")))
    sign(api, dataset, request_id)
    assert finished(api, consume(api, f"dataset/{dataset}/append", request_id))["status"] == "Completed"


def test_a_consuming_request_sent_again_is_the_same_job(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    request_id = upload(anywhere, dataset, item("a.jpg"))
    jobs = [consume(anywhere, f"dataset/{dataset}/append", request_id)["job_id"] for _ in range(2)]
    assert jobs[0] == jobs[1]


def test_a_consuming_request_sent_again_stores_nothing(api: Api) -> None:
    dataset = new_dataset(api)
    request_id = upload(api, dataset, item("a.jpg"))
    consume(api, f"dataset/{dataset}/append", request_id)
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    consume(api, f"dataset/{dataset}/append", request_id)
    assert api.get(f"dataset/{dataset}/size") == {"count": 0}


@pytest.mark.parametrize("route", ["dataset/{dataset}/append", "dataset/{dataset}/annotate", "modelRun/{run}/predict"])
def test_a_request_id_without_an_upload_is_refused(api: Api, route: str) -> None:
    dataset = new_dataset(api)
    route = route.format(dataset=dataset, run=new_run(api, dataset))
    sign(api, dataset, "signed")
    assert api.status("POST", f"{route}?async=1", {"requestId": "signed", "update": False}) == 400


@pytest.mark.parametrize("request_id", ["unknown", "", None, 7])
@pytest.mark.parametrize("route", ["append", "annotate"])
def test_an_unknown_request_id_is_refused(api: Api, route: str, request_id: object) -> None:
    body = {"requestId": request_id, "update": False}
    assert api.status("POST", f"dataset/{new_dataset(api)}/{route}?async=1", body) == 400


def test_an_upload_belongs_to_its_dataset(api: Api) -> None:
    request_id = upload(api, new_dataset(api), item("a.jpg"))
    body = {"requestId": request_id, "update": False}
    assert api.status("POST", f"dataset/{new_dataset(api)}/append?async=1", body) == 400


def test_a_large_upload_is_never_queued(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    rows = [item(f"{number}.jpg", metadata={"padding": "x" * 1000}) for number in range(5_100)]
    job = consume(anywhere, f"dataset/{dataset}/append", upload(anywhere, dataset, *rows))
    assert job["job_last_known_status"] in ("Running", "Completed")
    finished(anywhere, job)


def test_a_large_upload_is_stored_whole(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    rows = [item(f"{number}.jpg", metadata={"padding": "x" * 1000}) for number in range(5_100)]
    finished(anywhere, consume(anywhere, f"dataset/{dataset}/append", upload(anywhere, dataset, *rows)))
    assert anywhere.get(f"dataset/{dataset}/size") == {"count": 5_100}


def test_an_upload_of_nothing_is_completed(api: Api) -> None:
    dataset, request_id = new_dataset(api), uuid.uuid4().hex
    put(api, sign(api, dataset, request_id), b"\n")
    assert finished(api, consume(api, f"dataset/{dataset}/append", request_id))["status"] == "Completed"


def test_lines_that_are_no_items_do_not_stop_the_others(api: Api) -> None:
    dataset, request_id = new_dataset(api), uuid.uuid4().hex
    rows = [item("a.jpg"), {"reference_id": "nowhere.jpg"}, item("b.jpg")]
    put(api, sign(api, dataset, request_id), ndjson(*rows))
    finished(api, consume(api, f"dataset/{dataset}/append", request_id))
    assert api.get(f"dataset/{dataset}/size") == {"count": 2}


def test_lines_that_are_no_items_are_named_as_errors(api: Api) -> None:
    dataset = new_dataset(api)
    job = consume(api, f"dataset/{dataset}/append", upload(api, dataset, item("a.jpg"), {"reference_id": "nowhere"}))
    (error,) = api.get(f"job/{job['job_id']}/errors")
    assert error.startswith("Line 2")


def test_an_upload_that_is_no_json_ends_with_errors(api: Api) -> None:
    dataset, request_id = new_dataset(api), uuid.uuid4().hex
    put(api, sign(api, dataset, request_id), b"\x89PNG\r\n\x1a\n\xff\xff\n")
    assert finished(api, consume(api, f"dataset/{dataset}/append", request_id))["status"].startswith("Errored")


def test_an_upload_without_a_last_newline_is_whole(api: Api) -> None:
    dataset, request_id = new_dataset(api), uuid.uuid4().hex
    put(api, sign(api, dataset, request_id), ndjson(item("a.jpg"), item("b.jpg")).rstrip())
    finished(api, consume(api, f"dataset/{dataset}/append", request_id))
    assert api.get(f"dataset/{dataset}/size") == {"count": 2}


def test_a_signed_append_into_a_scene_dataset_ends_with_an_error(api: Api) -> None:
    dataset = new_dataset(api, is_scene=True)
    job = consume(api, f"dataset/{dataset}/append", upload(api, dataset, item("a.jpg")))
    assert finished(api, job)["status"].startswith("Errored")


def test_an_array_of_files_as_a_job(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    parts = [array_of(item("a", update=False)), file_of(image_bytes())]
    assert set(append_files(anywhere, dataset, *parts, query="?async=1")) == JOB


def test_an_array_of_files_as_a_job_is_completed_at_once(api: Api) -> None:
    dataset = new_dataset(api)
    parts = [array_of(item("a", update=False)), file_of(image_bytes())]
    assert append_files(api, dataset, *parts, query="?async=1")["job_last_known_status"] == "Completed"


def test_every_array_of_files_is_a_job_of_its_own(api: Api) -> None:
    dataset = new_dataset(api)
    jobs = [
        append_files(api, dataset, array_of(item(name, update=False)), file_of(image_bytes()), query="?async=1")
        for name in ("a", "b")
    ]
    assert jobs[0]["job_id"] != jobs[1]["job_id"]


def test_an_array_of_files_as_a_job_stores_items(api: Api) -> None:
    dataset = new_dataset(api)
    parts = [array_of(*[item(str(n), update=False) for n in range(10)]), *[file_of(image_bytes())] * 10]
    append_files(api, dataset, *parts, query="?async=1")
    assert api.get(f"dataset/{dataset}/size") == {"count": 10}
