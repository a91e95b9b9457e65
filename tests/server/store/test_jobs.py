"""Jobs of the store: they run once, in order, and go on after a restart."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nucleus_pandas.server.ingest import upload_jobs
from nucleus_pandas.server.ingest.rows import StoredRows, store_items
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import jobs
from tests.server.store.store_http import StoreHttp, box_row, image_row, rows_in, stored_files
from tests.support.waiting import wait_for


def test_a_job_whose_process_is_gone_ends(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    with nucleus.database.write() as db:
        gone = jobs.create(db, "uploadDatasetItems", None, "another process").public_id
        alive = jobs.create(db, "uploadDatasetItems", None, "one more").public_id
        old = time.time() - jobs.STALE_SECONDS - 1
        db.execute("UPDATE job SET heartbeat = ? WHERE tag = ?", (old, gone.removeprefix("job_")))
    assert http("GET", f"job/{gone}")["status"] == "Errored_Server"
    assert "send the request again" in http("GET", f"job/{gone}")["message"]["final_error"]
    assert http("GET", f"job/{alive}")["status"] == "Running"
    listed = {entry["job_id"]: entry["job_last_known_status"] for entry in http("POST", "jobs/", {})}
    assert listed == {gone: "Errored_Server", alive: "Running"}


def test_a_job_that_waits_for_another_is_not_given_up(http: StoreHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: Any, **options: Any) -> StoredRows:
        time.sleep(0.05)
        return store_items(*arguments, **options)

    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    monkeypatch.setattr(upload_jobs, "_ROWS", 1)
    monkeypatch.setattr(upload_jobs, "store_items", slow)
    monkeypatch.setattr(jobs, "STALE_SECONDS", 0.5)
    dataset = http.new_dataset()
    lines = [json.dumps(image_row(str(n))).encode() for n in range(20)]  # a second and more
    made = [http.upload(dataset, lines, f"dataset/{dataset}/append", name)["job_id"] for name in ("first", "second")]
    seen = {"Running"}
    while "Running" in (now := {http("GET", f"job/{job}")["status"] for job in made}):
        seen |= now
        time.sleep(0.02)
    assert seen | now == {"Running", "Completed"}


def test_a_job_that_was_given_up_stores_nothing_more(
    http: StoreHttp, nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    dataset = http.new_dataset()
    release = threading.Event()
    nucleus.submit(lambda: release.wait(10) and None)
    job = http.upload(dataset, [json.dumps(image_row("0")).encode()], f"dataset/{dataset}/append")["job_id"]
    with nucleus.database.write() as db:
        db.execute("UPDATE job SET heartbeat = 0")
    assert http("GET", f"job/{job}")["status"] == "Errored_Server"
    release.set()
    done = threading.Event()
    nucleus.submit(done.set)
    assert done.wait(10)
    assert http("GET", f"job/{job}")["status"] == "Errored_Server"
    assert http("GET", f"dataset/{dataset}/size") == {"count": 0}


def watch_threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    work = upload_jobs._store_upload

    def watched(*arguments: Any, **options: Any) -> None:
        names.append(threading.current_thread().name)
        work(*arguments, **options)

    monkeypatch.setattr(upload_jobs, "_store_upload", watched)
    return names


def test_a_small_upload_is_finished_when_answered(
    http: StoreHttp, nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = watch_threads(monkeypatch)
    dataset = http.new_dataset()
    lines = [json.dumps(image_row(str(n))).encode() for n in range(30)]
    job = http.upload(dataset, [*lines, lines[0]], f"dataset/{dataset}/append")
    assert job["job_last_known_status"] == "Completed"
    assert names == [threading.current_thread().name]
    assert http("GET", f"job/{job['job_id']}")["message"] == {
        "new_items": 30,
        "updated_items": 0,
        "ignored_items": 1,
        "upload_errors": 0,
    }
    assert list(nucleus.uploads.iterdir()) == []
    again = http("POST", f"dataset/{dataset}/append?async=1", {"requestId": "first"})
    assert again["job_id"] == job["job_id"]


def test_a_larger_upload_runs_in_the_worker(
    http: StoreHttp, nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    monkeypatch.setattr(upload_jobs, "_ROWS", 7)
    names = watch_threads(monkeypatch)
    dataset = http.new_dataset_of(20)
    lines = [json.dumps(box_row(str(n % 20), str(n))).encode() for n in range(100)]
    job = http.upload(dataset, lines, f"dataset/{dataset}/annotate")["job_id"]
    wait_for(lambda: http("GET", f"job/{job}")["status"] != "Running")
    status = http("GET", f"job/{job}")
    assert (status["status"], status["job_progress"]) == ("Completed", "1.00")
    told = status["message"]["annotation_upload"]
    assert {name: told[name] for name in ("total", "processed", "ignored", "errored")} == {
        "total": 100,
        "processed": 100,
        "ignored": 0,
        "errored": 0,
    }
    assert names[0].startswith("nucleus_pandas")
    assert len(http("GET", f"dataset/{dataset}/iloc/3")["annotations"]["box"]) == 5
    wait_for(lambda: list(nucleus.uploads.iterdir()) == [])


def test_malformed_lines_are_told_by_their_number(http: StoreHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_jobs, "_ROWS", 2)
    dataset = http.new_dataset()
    good = [json.dumps(image_row(str(n))).encode() for n in range(4)]
    lines = [good[0], b"{", good[1], b"", b'{"reference_id": 5}', good[2], b"[]", b"\xff", good[3]]
    job = http.upload(dataset, lines, f"dataset/{dataset}/append")
    assert job["job_last_known_status"] == "Errored_Partial"
    told = http("GET", f"job/{job['job_id']}/errors")
    assert [text.split()[1].rstrip(":") for text in told] == ["2", "5", "7", "8"]
    message = http("GET", f"job/{job['job_id']}")["message"]
    assert (message["new_items"], message["upload_errors"]) == (4, 4)
    assert http("GET", f"dataset/{dataset}/size") == {"count": 4}


def test_an_upload_of_nothing_but_errors_is_errored(http: StoreHttp) -> None:
    dataset = http.new_dataset()
    job = http.upload(dataset, [b"{", b"nonsense"], f"dataset/{dataset}/append")
    assert job["job_last_known_status"] == "Errored"


def test_an_upload_of_unknown_items_completes_and_tells(http: StoreHttp) -> None:
    dataset = http.new_dataset_of(1)
    lines = [json.dumps(box_row(name, "x")).encode() for name in ("0", "nowhere")]
    job = http.upload(dataset, lines, f"dataset/{dataset}/annotate")
    assert job["job_last_known_status"] == "Completed"
    assert len(http("GET", f"job/{job['job_id']}/errors")) == 1
    assert http("GET", f"job/{job['job_id']}")["message"]["annotation_upload"]["errored"] == 1


def test_a_dataset_deleted_during_a_job_ends_the_job(
    http: StoreHttp, nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    dataset = http.new_dataset()
    release = threading.Event()
    nucleus.submit(lambda: release.wait(10) and None)
    job = http.upload(dataset, [json.dumps(image_row("0")).encode()], f"dataset/{dataset}/append")["job_id"]
    http("DELETE", f"dataset/{dataset}", {})
    release.set()
    wait_for(lambda: http("GET", f"job/{job}")["status"] == "Errored")
    assert "no dataset" in http("GET", f"job/{job}")["message"]["final_error"]
    wait_for(lambda: rows_in(nucleus, "dataset", "item") == {"dataset": 0, "item": 0})


def test_an_upload_is_taken_once(http: StoreHttp) -> None:
    dataset = http.new_dataset()
    url = http("GET", f"dataset/{dataset}/signedUrl/first")["signed_url"]
    http("POST", f"dataset/{dataset}/append?async=1", {"requestId": "first"}, 400)
    http("PUT", url, data=json.dumps(image_row("not this")).encode())
    http("PUT", url, data=json.dumps(image_row("this")).encode())
    http("POST", f"dataset/{dataset}/append?async=1", {"requestId": "first"})
    http("PUT", url, data=b"{}", status=409)
    http("PUT", f"{url}x", data=b"{}", status=404)
    assert http("GET", f"dataset/{dataset}/iloc/0")["item"]["reference_id"] == "this"
    assert http("GET", f"dataset/{dataset}/size") == {"count": 1}


def test_expired_uploads_go_when_the_store_is_opened(store: Path) -> None:
    nucleus = EmbeddedNucleus(store)
    http = StoreHttp(nucleus)
    dataset = http.new_dataset()
    url = http("GET", f"dataset/{dataset}/signedUrl/first")["signed_url"]
    http("PUT", url, data=b"{}")
    (file,) = nucleus.uploads.iterdir()
    os.utime(file, (1, 1))
    with nucleus.database.write() as db:
        db.execute("UPDATE upload SET expires_at = 1")
    http("PUT", url, data=b"{}", status=404)
    nucleus.close()
    nucleus = EmbeddedNucleus(store)
    assert list(nucleus.uploads.iterdir()) == []
    assert rows_in(nucleus, "upload") == {"upload": 0}
    nucleus.close()


def test_leftovers_of_killed_processes_go_and_work_of_the_moment_stays(store: Path) -> None:
    nucleus = EmbeddedNucleus(store)
    http = StoreHttp(nucleus)
    url = http("GET", f"dataset/{http.new_dataset()}/signedUrl/first")["signed_url"]
    http("PUT", url, data=b"{}")
    (waiting,) = nucleus.uploads.iterdir()
    os.utime(waiting, (1, 1))  # old, but its upload may still be consumed
    nucleus.close()
    folders = [store / "uploads", store / "images" / "incoming", store / "masks" / "incoming"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "young").write_bytes(b"x")
        (folder / "old").write_bytes(b"x")
        os.utime(folder / "old", (1, 1))
    EmbeddedNucleus(store).close()
    left = {path.name for folder in folders for path in folder.iterdir()}
    assert left == {"young", waiting.name}


def test_a_store_opens_while_others_upload(store: Path) -> None:
    (store / "images" / "incoming").mkdir(parents=True)
    stop = threading.Event()

    def upload() -> None:
        while not stop.is_set():
            paths = [store / "images" / "incoming" / str(n) for n in range(100)]
            for path in paths:
                path.touch()
            for path in paths:
                path.unlink()

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        for _ in range(100):
            EmbeddedNucleus(store).close()
    finally:
        stop.set()
        thread.join()
    assert stored_files(store / "images") == []
