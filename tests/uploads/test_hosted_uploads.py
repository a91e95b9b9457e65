"""Uploads as the hosted service takes them: items by a signed address and a job, boxes in batches side by side."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pandas as pd
import pytest
import requests
import responses

import nucleus_pandas as npd
from nucleus_pandas.transport.multipart import Multipart
from tests.factories import marked_png
from tests.support.paths import TESTS
from tests.support.waiting import join_workers

KEY = "live_0123456789abcdef"
HOST = "https://nucleus.example.org/v1/nucleus"
BUCKET = "https://bucket.example.org/upload?signature=s3cr3t"
JOB = {"job_id": "job_1", "job_last_known_status": "Running", "job_type": "uploadDatasetItems"}
JOB["job_creation_time"] = "2026-01-01T00:00:00Z"
COUNTS = {"new_items": 2, "updated_items": 0, "ignored_items": 0, "upload_errors": 0}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A dataset of the hosted service, which knows no extensions."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{HOST}/_nucleus_pandas", status=404, body="not found")
        mock.get(f"{HOST}/dataset/ds_1/name", json={"name": "d"})
        mock.get(re.compile(f"{HOST}/dataset/ds_1/signedUrl/[0-9a-f]{{32}}(\\?|$)"), json={"signed_url": BUCKET})
        mock.get(re.compile(f"{HOST}/dataset/ds_1/refloc/.*"), status=404, body="not found")  # stored later by others
        mock.get(f"{HOST}/dataset/ds_1/size", json={"count": 0})
        mock.put(BUCKET, body="")
        mock.post(f"{HOST}/dataset/ds_1/append?async=1", json=JOB)
        made = npd.NucleusClient(KEY, HOST, max_retries=2).get_dataset("ds_1")
        vars(made)["mock"] = mock
        yield made


def items(count: int = 2) -> pd.DataFrame:
    names = [f"{chr(97 + number)}.jpg" for number in range(count)]
    frame = pd.DataFrame({"reference_id": names, "image_url": [f"https://example.org/{name}" for name in names]})
    return frame.assign(weather=["régen"] * count)


def finish(dataset: Any, status: str = "Completed", message: Any = COUNTS, errors: Any = ()) -> None:
    dataset.mock.get(f"{HOST}/job/job_1", json={"job_id": "job_1", "status": status, "message": message})
    dataset.mock.get(f"{HOST}/job/job_1/errors", json=list(errors))


def sent(dataset: Any, method: str) -> list[requests.PreparedRequest]:
    return [call.request for call in dataset.mock.calls if call.request.method == method]


def body(request: Any) -> bytes:
    """What was sent, also where it was a file that is closed by now."""
    return request.body if isinstance(request.body, bytes) else request.body.read()


@pytest.fixture
def uploaded(dataset: Any) -> list[bytes]:
    """The bodies that were put to the signed address."""
    kept: list[bytes] = []

    def keep(request: Any) -> tuple[int, dict[str, str], str]:
        kept.append(body(request))
        return 200, {}, ""

    dataset.mock.remove(responses.PUT, BUCKET)
    dataset.mock.add_callback(responses.PUT, BUCKET, callback=keep)
    return kept


def test_items_go_as_one_upload_and_one_job(dataset: Any, uploaded: list[bytes], waits: list[float]) -> None:
    finish(dataset)
    result = dataset.append(items(), metadata=["weather"])
    assert (result.new_items, result.rows["status"].tolist(), result.jobs) == (2, ["new", "new"], [])
    (lines,) = uploaded
    assert lines.isascii()
    assert lines.endswith(b"\n")
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"reference_id": name, "image_url": f"https://example.org/{name}", "metadata": {"weather": "régen"}}
        for name in ("a.jpg", "b.jpg")
    ]
    (put,), (post,) = sent(dataset, "PUT"), sent(dataset, "POST")
    assert put.headers["Content-Length"] == str(len(lines))
    asked = next(call.request.url for call in dataset.mock.calls if "signedUrl" in str(call.request.url))
    assert msgspec.json.decode(body(post)) == {"requestId": asked.rsplit("/", 1)[1], "update": False}
    assert waits == []  # a job that has ended is not waited for


def test_the_endpoint_of_s3_comes_from_the_environment(
    dataset: Any, uploaded: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(dataset)
    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:9000/a b")
    dataset.append(items())
    (asked,) = (call.request.url for call in dataset.mock.calls if "signedUrl" in str(call.request.url))
    assert asked.partition("?")[2] == "s3Endpoint=http%3A%2F%2F127.0.0.1%3A9000%2Fa+b"
    assert len(uploaded) == 1


def test_nothing_of_the_key_reaches_the_signed_address(
    dataset: Any, uploaded: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine bucket.example.org login me password s3cr3t\n")
    monkeypatch.setenv("NETRC", str(netrc))
    finish(dataset)
    dataset.append(items())
    (put,) = sent(dataset, "PUT")
    assert not {"Authorization", "Content-Type", "x-limited-access-key"} & set(put.headers)


def test_updates_are_asked_for(dataset: Any, uploaded: list[bytes]) -> None:
    finish(dataset, message={"updated_items": 2})
    result = dataset.append(items(), if_exists="update")
    assert result.rows["status"].tolist() == ["updated", "updated"]
    assert msgspec.json.decode(body(sent(dataset, "POST")[0]))["update"] is True


def test_a_job_is_looked_at_before_it_is_waited_for(dataset: Any, uploaded: list[bytes], waits: list[float]) -> None:
    for _ in range(12):
        dataset.mock.get(f"{HOST}/job/job_1", json={"status": "Running", "message": {}})
    finish(dataset)
    assert dataset.append(items()).new_items == 2
    assert waits[0] < 0.1
    assert waits == sorted(waits)
    assert len(waits) == 12
    assert max(waits) <= 5


def test_a_job_is_waited_for_as_long_as_was_said(
    dataset: Any, uploaded: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("nucleus_pandas.uploads.jobs.time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    monkeypatch.setattr("nucleus_pandas.uploads.outcomes.time", SimpleNamespace(monotonic=lambda: now))
    dataset.mock.get(f"{HOST}/job/job_1", json={"status": "Running", "message": {}})
    result = dataset.append(items(), wait=False)
    with pytest.raises(npd.JobTimeoutError, match="still running after 17 s"):
        result.wait(17)
    assert now == pytest.approx(17)
    assert len(sent(dataset, "GET")) < 25


def test_nobody_has_to_wait(dataset: Any, uploaded: list[bytes], waits: list[float]) -> None:
    dataset.mock.get(f"{HOST}/job/job_1", json={"status": "Running", "message": {}})
    result = dataset.append(items(), wait=False)
    assert result.rows["status"].tolist() == ["accepted", "accepted"]
    assert [job.id for job in result.jobs] == ["job_1"]
    with pytest.raises(npd.JobTimeoutError, match="'job_1' is still running after 0 s; it continues"):
        result.wait(0)
    dataset.mock.remove(responses.GET, f"{HOST}/job/job_1")
    finish(dataset)
    assert result.wait() is result
    assert (result.rows["status"].tolist(), result.new_items, result.jobs) == (["new", "new"], 2, [])


def test_mixed_counts_are_not_guessed_apart(dataset: Any, uploaded: list[bytes]) -> None:
    finish(dataset, message={"new_items": 1, "ignored_items": 1})
    result = dataset.append(items())
    assert (result.new_items, result.ignored_items) == (1, 1)
    assert result.rows["status"].tolist() == ["accepted", "accepted"]


def test_errors_of_a_job_stand_at_the_rows_that_they_name(dataset: Any, uploaded: list[bytes]) -> None:
    counts = {**COUNTS, "new_items": 1, "upload_errors": 1}
    finish(dataset, message=counts, errors=["Item 'b.jpg' could not be fetched."])
    with pytest.raises(npd.UploadError, match="row 1: Item 'b.jpg' could not be fetched") as caught:
        dataset.append(items())
    result = caught.value.result
    assert result.rows["error"].tolist()[1] == "Item 'b.jpg' could not be fetched."
    assert result.failed["reference_id"].tolist() == ["b.jpg"]
    assert (result.new_items, result.upload_errors) == (1, 1)


def test_a_word_that_happens_to_be_an_id_blames_no_row(dataset: Any, uploaded: list[bytes]) -> None:
    finish(dataset, message={**COUNTS, "new_items": 1, "upload_errors": 1}, errors=["1 item could not be fetched."])
    with pytest.raises(npd.UploadError, match="server stored 1. It says: 1 item could not be fetched") as caught:
        dataset.append(items().assign(reference_id=["1", "2"]))
    assert caught.value.result.rows["status"].tolist() == ["accepted", "accepted"]
    assert (caught.value.result.new_items, caught.value.result.upload_errors) == (1, 1)


@pytest.mark.parametrize("status", ["Errored", "Errored_Server", "Cancelled", "Errored_User"])
def test_a_job_that_failed_stored_nothing(dataset: Any, uploaded: list[bytes], status: str) -> None:
    finish(dataset, status, {"final_error": "The bucket burns."})
    with pytest.raises(npd.UploadError, match=f"The job 'job_1' ended as {status}: The bucket burns.") as caught:
        dataset.append(items())
    assert len(caught.value.result.failed) == 2


def test_a_job_that_failed_in_part_stored_the_rest(dataset: Any, uploaded: list[bytes]) -> None:
    counts = {**COUNTS, "new_items": 1, "upload_errors": 1}
    finish(dataset, "Errored_Partial", counts, errors=["Item 'a.jpg' could not be fetched."])
    result = dataset.append(items(), on_error="collect")
    assert result.rows["status"].tolist() == ["error", "new"]
    assert (result.new_items, result.failed["reference_id"].tolist()) == (1, ["a.jpg"])


def test_a_result_that_was_waited_for_knows_what_was_refused(dataset: Any, uploaded: list[bytes]) -> None:
    finish(dataset, "Errored", {"final_error": "The bucket burns."})
    result = dataset.append(items(), wait=False)
    assert (result.rows["status"].tolist(), len(result.failed)) == (["accepted", "accepted"], 0)
    with pytest.raises(npd.UploadError, match="The bucket burns"):
        result.wait()
    assert (result.rows["status"].tolist(), len(result.failed), result.jobs) == (["error", "error"], 2, [])


def test_rows_that_exist_are_an_error_where_that_was_asked_for(dataset: Any, uploaded: list[bytes]) -> None:
    finish(dataset, message={"ignored_items": 2})
    with pytest.raises(npd.AlreadyExistsError, match="exists already") as caught:
        dataset.append(items(), if_exists="error")
    assert caught.value.result.rows["status"].tolist() == ["error", "error"]


def test_rows_of_a_job_that_was_asked_for_twice_may_be_ours(
    dataset: Any, uploaded: list[bytes], waits: list[float]
) -> None:
    append = f"{HOST}/dataset/ds_1/append?async=1"
    dataset.mock.remove(responses.POST, append)
    dataset.mock.post(append, body=requests.ConnectionError())
    dataset.mock.post(append, json=JOB)
    finish(dataset, message={"ignored_items": 2})
    with pytest.raises(npd.AlreadyExistsError, match="an earlier attempt of the same request.*stored it"):
        dataset.append(items(), if_exists="error")


def test_rows_of_which_some_exist_are_an_error_too(dataset: Any, uploaded: list[bytes]) -> None:
    finish(dataset, message={"new_items": 1, "ignored_items": 1})
    with pytest.raises(npd.AlreadyExistsError, match="Of 2 rows that were sent together 1 exist already") as caught:
        dataset.append(items(), if_exists="error")
    assert caught.value.result.rows["status"].tolist() == ["accepted", "accepted"]
    assert (caught.value.result.new_items, caught.value.result.ignored_items) == (1, 1)


def test_the_upload_is_repeated_whole(dataset: Any, uploaded: list[bytes], waits: list[float]) -> None:
    dataset.mock.remove(responses.PUT, BUCKET)
    bodies: list[bytes] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        bodies.append(body(request))
        return (503 if len(bodies) < 3 else 200), {}, ""

    dataset.mock.add_callback(responses.PUT, BUCKET, callback=answer)
    finish(dataset)
    assert dataset.append(items()).new_items == 2
    assert bodies[0] == bodies[1] == bodies[2] != b""


def test_a_refused_upload_never_tells_the_address(dataset: Any, uploaded: list[bytes]) -> None:
    dataset.mock.remove(responses.PUT, BUCKET)
    dataset.mock.put(BUCKET, status=403, body="<Error>signature</Error>")
    with pytest.raises(npd.AuthenticationError) as caught:
        dataset.append(items())
    assert "s3cr3t" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_images_go_ten_a_request_each_a_job(dataset: Any, tmp_path: Path) -> None:
    finish(dataset, message={})
    paths = []
    for number in range(12):
        path = tmp_path / f"{number}.png"
        path.write_bytes(marked_png(b"image %d" % number))
        paths.append(str(path))
    dataset.append(pd.DataFrame({"reference_id": range(12), "image_url": paths}))
    assert all("async=1" in str(request.url) for request in sent(dataset, "POST"))
    texts = sorted((body(request) for request in sent(dataset, "POST")), key=len, reverse=True)
    assert [text.count(b'name="image"') for text in texts] == [10, 2]
    assert str(tmp_path).encode() not in b"".join(texts)
    assert texts[0].count(b'"update":false') == 10


def test_what_was_sent_first_has_its_place_before_the_next_is_sent(
    dataset: Any, tmp_path: Path, waits: list[float]
) -> None:
    image = tmp_path / "b.png"
    image.write_bytes(marked_png(b"image"))
    for status in ("Running", "Completed") * 3:
        message = {} if status == "Running" else {"new_items": 1}
        dataset.mock.get(f"{HOST}/job/job_1", json={"status": status, "message": message})
    urls = ["https://example.org/a.jpg", str(image), "https://example.org/c.jpg"]
    result = dataset.append(items(3).assign(image_url=urls))
    assert result.rows["status"].tolist() == ["new"] * 3
    asked = [call.request for call in dataset.mock.calls if "append" in call.request.url or "/job/" in call.request.url]
    assert [request.method for request in asked] == ["POST", "GET", "GET"] * 3


def test_nobody_has_to_wait_for_images_either(dataset: Any, tmp_path: Path) -> None:
    image = tmp_path / "b.png"
    image.write_bytes(marked_png(b"image"))
    result = dataset.append(items(2).assign(image_url=["https://example.org/a.jpg", str(image)]), wait=False)
    assert len(result.jobs) == len(sent(dataset, "POST")) == 2
    assert not any("/job/" in str(call.request.url) for call in dataset.mock.calls)


BOX = {"label": "car", "x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}


def test_boxes_go_side_by_side_on_a_few_connections(dataset: Any) -> None:
    busy, most, lock = 0, 0, threading.Lock()
    everyone = threading.Barrier(8, timeout=20)
    batches: list[Any] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        nonlocal busy, most
        rows = msgspec.json.decode(request.body)["annotations"]
        with lock:
            busy += 1
            most = max(most, busy)
            batches.append(rows)
        everyone.wait()
        with lock:
            busy -= 1
        return 200, {}, json.dumps({"dataset_id": "ds_1", "annotations_processed": len(rows)})

    dataset.mock.add_callback(responses.POST, f"{HOST}/dataset/ds_1/annotate", callback=answer)
    frame = pd.DataFrame({"reference_id": [str(number) for number in range(1_600)], **BOX})
    result = dataset.annotate(frame, batch_size=100)
    assert result.rows["status"].eq("processed").all()
    assert most == 8
    assert sorted(len(rows) for rows in batches) == [100] * 16
    assert {row["reference_id"] for rows in batches for row in rows} == set(frame["reference_id"])


@pytest.mark.parametrize("kind", ["annotations", "predictions"])
def test_boxes_go_in_batches_of_5_000(dataset: Any, kind: str) -> None:
    sizes: list[int] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        sizes.append(len(msgspec.json.decode(request.body)["annotations"]))
        return 200, {}, json.dumps({f"{kind}_processed": sizes[-1]})

    for route in ("dataset/ds_1/annotate", "modelRun/run_1/predict"):
        dataset.mock.add_callback(responses.POST, f"{HOST}/{route}", callback=answer)
    dataset.mock.get(f"{HOST}/modelRun/run_1/info", json={"model_id": "prj_1"})
    frame = pd.DataFrame({"reference_id": range(12_001), **BOX})
    if kind == "annotations":
        result = frame.nucleus.annotate(dataset)
    else:
        run = npd.NucleusClient(KEY, HOST).get_model_run("run_1", "ds_1")
        result = frame.nucleus.predict(run)
    assert result[f"{kind}_processed"] == 12_001
    assert sorted(sizes) == [2_001, 5_000, 5_000]


def test_a_batch_ends_where_a_image_does(dataset: Any) -> None:
    batches: list[list[str]] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        batches.append([row["reference_id"] for row in msgspec.json.decode(request.body)["annotations"]])
        return 200, {}, json.dumps({"annotations_processed": len(batches[-1])})

    dataset.mock.add_callback(responses.POST, f"{HOST}/dataset/ds_1/annotate", callback=answer)
    names = ["a"] * 3 + ["b"] * 3 + ["c"] * 9 + ["d"]
    frame = pd.DataFrame({"reference_id": names, **BOX, "x": range(len(names))})
    assert frame.nucleus.annotate(dataset, batch_size=4).annotations_processed == len(names)
    parts = [["a"] * 3, ["b"] * 3, ["c"] * 4, ["c"] * 4, ["c", "d"]]  # the one that is too large is cut all the same
    assert sorted(batches) == sorted(parts)


def test_nothing_is_sent_side_by_side_beyond_max_concurrency(dataset: Any) -> None:
    lock, now, most = threading.Lock(), [0], [0]
    client = npd.NucleusClient(KEY, HOST, max_concurrency=2)

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.01)
        with lock:
            now[0] -= 1
        return 200, {}, json.dumps({"annotations_processed": 1})

    dataset.mock.add_callback(responses.POST, f"{HOST}/dataset/ds_1/annotate", callback=answer)
    frame = pd.DataFrame({"reference_id": range(12), **BOX})
    assert client.get_dataset("ds_1").annotate(frame, batch_size=1).annotations_processed == 12
    assert most == [2]


def test_a_batch_that_is_too_large_is_cut(dataset: Any) -> None:
    sizes: list[int] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        rows = msgspec.json.decode(request.body)["annotations"]
        sizes.append(len(rows))
        if len(rows) > 2:
            return 413, {}, json.dumps({"error": "too large"})
        return 200, {}, json.dumps({"dataset_id": "ds_1", "annotations_processed": len(rows)})

    dataset.mock.add_callback(responses.POST, f"{HOST}/dataset/ds_1/annotate", callback=answer)
    result = dataset.annotate(pd.DataFrame({"reference_id": range(7), **BOX}))
    assert result.annotations_processed == 7
    assert max(sizes) == 7


def test_other_batches_are_stored_when_one_fails(dataset: Any) -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        rows = msgspec.json.decode(request.body)["annotations"]
        if rows[0]["reference_id"] == "2":
            return 400, {}, json.dumps({"error": "this one is wrong"})
        return 200, {}, json.dumps({"dataset_id": "ds_1", "annotations_processed": len(rows)})

    dataset.mock.add_callback(responses.POST, f"{HOST}/dataset/ds_1/annotate", callback=answer)
    frame = pd.DataFrame({"reference_id": range(6), **BOX}, index=list("uvwxyz"))
    with pytest.raises(npd.UploadError, match="row 'w' .position 2.: this one is wrong") as caught:
        dataset.annotate(frame, batch_size=2)
    result = caught.value.result
    assert result.rows["status"].tolist() == ["processed"] * 2 + ["error"] * 2 + ["processed"] * 2
    pd.testing.assert_frame_equal(result.failed, frame.loc[["w", "x"]])


def test_interrupting_ends_at_once(dataset: Any) -> None:
    calls = 0

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        nonlocal calls
        calls += 1
        raise KeyboardInterrupt

    dataset.mock.add_callback(responses.POST, f"{HOST}/dataset/ds_1/annotate", callback=answer)
    with pytest.raises(KeyboardInterrupt):
        dataset.annotate(pd.DataFrame({"reference_id": range(1_000), **BOX}), batch_size=1)
    join_workers()
    assert calls < 100
    for thread in threading.enumerate():  # what they still send is no other test's
        if thread.name.startswith("nucleus_pandas-"):
            thread.join(20)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda dataset: dataset.append(items(), wait=5), "wait must be True or False"),
        (lambda dataset: dataset.append(items(), batch_size=0), "batch_size must be a whole number"),
        (lambda dataset: dataset.append(items(), progress="yes"), "progress must be True, False or None"),
        (
            lambda dataset: dataset.append(items(), if_exists="replace"),
            "if_exists must be 'skip' or 'update'",
        ),
        (lambda dataset: dataset.append(items(), on_error="ignore"), "on_error must be 'raise' or 'collect'"),
    ],
)
def test_wrong_options_are_told_before_anything_is_sent(dataset: Any, act: Callable[[Any], Any], words: str) -> None:
    before = len(dataset.mock.calls)
    with pytest.raises(npd.InvalidInputError, match=words):
        act(dataset)
    assert len(dataset.mock.calls) == before


UPLOAD = """
import resource, sys
import pandas as pd
import nucleus_pandas as npd

endpoint, small, large = sys.argv[1:]
dataset = npd.Dataset(npd.NucleusClient("key", endpoint)._transport, "ds_1")

def send(path):
    dataset.append([{"reference_id": "a", "image_url": path}], wait=False)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)

before = send(small)
print(send(large) - before)
"""


def test_memory_does_not_grow_with_a_image(tmp_path: Path) -> None:
    small, large = tmp_path / "small.jpg", tmp_path / "large.jpg"
    small.write_bytes(marked_png(b"x"))
    with large.open("wb") as file:
        file.truncate(200 << 20)
    script = str(TESTS / "benchmarks" / "null_server.py")
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}/v1/nucleus"
            command = [sys.executable, "-c", UPLOAD, endpoint, str(small), str(large)]
            grown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        finally:
            server.terminate()
    assert int(grown) < 30 << 10  # KiB


@pytest.mark.parametrize("change", ["shorter", "longer", "gone"])
def test_a_image_that_changes_while_it_is_sent_is_told(
    dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(marked_png(b"image" * 100))
    rewind = Multipart.rewind

    def meddle(self: Multipart) -> None:
        rewind(self)
        if change == "gone":
            path.unlink()
        else:
            path.write_bytes(marked_png(b"image" * (50 if change == "shorter" else 150)))

    monkeypatch.setattr(Multipart, "rewind", meddle)

    def read(request: Any) -> tuple[int, dict[str, str], str]:
        body(request)  # as the socket does
        raise AssertionError("the body ends whole")

    dataset.mock.remove(responses.POST, f"{HOST}/dataset/ds_1/append?async=1")
    dataset.mock.add_callback(responses.POST, f"{HOST}/dataset/ds_1/append?async=1", callback=read)
    with pytest.raises(npd.UploadError, match="can no longer be read|changed while it was sent") as caught:
        dataset.append([{"reference_id": "a", "image_url": str(path)}])
    assert "may be stored" not in str(caught.value)


def test_what_went_before_is_not_sent_twice_to_a_server_without_signed_addresses(dataset: Any, tmp_path: Path) -> None:
    finish(dataset, message={"new_items": 1})
    sent_items: list[Any] = []

    def count(request: Any) -> tuple[int, dict[str, str], str]:
        rows = msgspec.json.decode(request.body)["items"]
        sent_items.extend(row["reference_id"] for row in rows)
        return 200, {}, json.dumps({"dataset_id": "ds_1", "new_items": len(rows)})

    dataset.mock.remove(responses.GET, re.compile(f"{HOST}/dataset/ds_1/signedUrl/[0-9a-f]{{32}}(\\?|$)"))
    dataset.mock.get(re.compile(f"{HOST}/dataset/ds_1/signedUrl/.*"), status=404, body="not found")
    dataset.mock.add_callback(responses.POST, f"{HOST}/dataset/ds_1/append", callback=count)
    dataset.mock.add(responses.POST, f"{HOST}/dataset/ds_1/append?async=1", json=JOB)
    path = tmp_path / "a.png"
    path.write_bytes(marked_png(b"image"))
    frame = items(3)
    frame.loc[0, "image_url"] = str(path)
    result = dataset.append(frame)
    assert sent_items == ["b.jpg", "c.jpg"]
    assert result.rows["status"].tolist() == ["new"] * 3
