"""What was seen to go wrong with the official client, one test each: neither this client nor the server does it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
import requests
import responses

import nucleus_pandas as npd
from tests.factories import CUBOID, SQUARE, TRIANGLE, box, image_frame, numbered_images
from tests.support.faulty_network import stop_clock
from tests.support.private import dataset_handle, job_handle, run_handle, set_extensions, transport_of

HOSTED = "https://api.scale.com/v1/nucleus"
KEY = "live_0123456789abcdef"
POSE = {"keypoints": [{"x": 1, "y": 2, "visible": True}], "names": ["nose"], "skeleton": None}
JOB = {"job_id": "job_1", "job_last_known_status": "Running", "job_type": "x", "job_creation_time": "2026-01-01"}


@pytest.fixture
def hosted() -> Iterator[npd.NucleusClient]:
    """Our client of the hosted service, which has a key."""
    with closing(npd.NucleusClient(KEY, max_retries=1)) as client:
        set_extensions(client, frozenset())
        yield client


@pytest.fixture
def two_images(ours: npd.NucleusClient) -> npd.Dataset:
    """A dataset of two remote images."""
    made = ours.create_dataset("Streets")
    made.append([{"reference_id": name, "image_url": f"https://example.org/{name}"} for name in ("a.jpg", "b.jpg")])
    return made


def test_waiting_for_a_job_that_has_ended_takes_no_time(
    two_images: npd.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_images.annotate([box()])
    job = two_images.delete_annotations("a.jpg", wait=False)
    job.wait()
    clock = stop_clock(monkeypatch)
    assert job.wait().status == "Completed"
    assert clock.slept == []  # five seconds were slept before the second look


def test_many_images_of_this_machine_are_not_waited_for_one_batch_after_the_other(
    ours: npd.NucleusClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ours.create_dataset("Local")
    clock = stop_clock(monkeypatch)
    assert dataset.append(image_frame(numbered_images(tmp_path, 35))).new_items == 35
    assert clock.slept == []  # five seconds a batch were slept


@pytest.mark.parametrize("status", ["Cancelled", "Retried", "Errored_Hanging", "Errored_User"])
def test_no_end_of_a_job_but_completion_is_a_success(hosted: npd.NucleusClient, status: str) -> None:
    dataset = dataset_handle(hosted, "ds_1")
    with responses.RequestsMock() as mock:
        mock.delete(f"{HOSTED}/annotation/ds_1", json=JOB)
        mock.get(f"{HOSTED}/job/job_1", json={**JOB, "status": status, "message": {}})
        mock.get(f"{HOSTED}/job/job_1/errors", json=["Something broke."])
        with pytest.raises(npd.ServerError, match=f"ended as {status}. Something broke."):
            dataset.delete_annotations("a.jpg")


def test_a_queued_job_is_waited_for(hosted: npd.NucleusClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with responses.RequestsMock() as mock:
        for status in ("Queued", "Running", "Completed"):
            mock.get(f"{HOSTED}/job/job_1", json={"status": status, "message": {}})
        assert job_handle(hosted, "job_1").ended().status == "Completed"


@pytest.mark.parametrize("send", ["append", "annotate", "predict"])
def test_a_generator_is_told_of_instead_of_sent_as_nothing(
    ours: npd.NucleusClient, two_images: npd.Dataset, send: str
) -> None:
    run = two_images.create_model_run(ours.add_model("M", reference_id="m"))
    sends: Any = {"append": two_images.append, "annotate": two_images.annotate, "predict": run.predict}[send]
    with pytest.raises(npd.InvalidInputError, match="generator"):
        sends(row for row in [box()])


@pytest.mark.parametrize(
    "fields",
    [
        {"geometry": SQUARE},
        {"type": "line", "geometry": TRIANGLE},
        {"type": "polygon", "geometry": TRIANGLE},
        {"type": "cuboid", "geometry": CUBOID},
        {"type": "keypoints", "geometry": POSE},
        {"type": "category"},
    ],
    ids=lambda fields: str(fields.get("type", "box")),
)
def test_two_objects_of_a_image_need_no_ids(two_images: npd.Dataset, fields: dict[str, Any]) -> None:
    two = [{**box(), **fields}, {**box(), **fields, "label": "van"}]
    if fields.get("type") == "category":
        two = [{key: value for key, value in row.items() if key != "geometry"} for row in two]
    assert two_images.annotate(two).annotations_processed == 2
    assert two_images.annotate(two).annotations_ignored == 2
    assert len(two_images.annotations) == 2


def test_two_keypoint_sets_of_one_label_need_no_ids(two_images: npd.Dataset) -> None:
    other = {**POSE, "keypoints": [{"x": 5, "y": 6, "visible": True}]}
    two_images.annotate([{**box(), "type": "keypoints", "geometry": shape} for shape in (POSE, other)])
    assert len(two_images.annotations) == 2


def test_a_run_is_made_by_the_id_of_its_model(ours: npd.NucleusClient, two_images: npd.Dataset) -> None:
    model = ours.add_model("M", reference_id="m")
    ours.add_model("N", reference_id="n")
    assert two_images.create_model_run({"model_id": model.id})["model_id"] == model.id


def test_the_server_tells_that_a_run_names_no_model(
    ours: npd.NucleusClient, two_images: npd.Dataset, served: str
) -> None:
    for name in "mn":
        ours.add_model(name, reference_id=name)
    body = {"name": "Run", "reference_id": None, "metadata": {}, "annotation_metadata_schema": None}
    answer = requests.post(f"{served}/dataset/{two_images.id}/modelRun/create", json=body, timeout=20)
    assert (answer.status_code, "neither is given" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("name", ["a/b", "what?", "no#1", "a%2Fb", "../c"])
def test_ids_with_slashes_and_question_marks_are_looked_up(ours: npd.NucleusClient, name: str) -> None:
    dataset = ours.create_dataset("Hostile")
    dataset.append([{"reference_id": name, "image_url": "https://example.org/a"}])
    run = dataset.create_model_run(ours.add_model("M", reference_id="m"))
    run.predict([box(name, annotation_id=name, confidence=0.5)])
    assert [one["annotation_id"] for one in run.refloc(name)["annotations"]] == [name]
    assert run.predictions.refloc[name]["annotation_id"].tolist() == [name]


@pytest.mark.parametrize("name", ["a/b", "a b/c", "é/ü"])
def test_the_server_finds_ids_whose_slashes_nobody_quoted(ours: npd.NucleusClient, served: str, name: str) -> None:
    dataset = ours.create_dataset("Hostile")
    dataset.append([{"reference_id": name, "image_url": "https://example.org/a"}])
    run = dataset.create_model_run(ours.add_model("M", reference_id="m"))
    run.predict([box(name, annotation_id=name, confidence=0.5)])
    for route in (f"refloc/{quote(name)}", f"prediction/loc/{quote(name)}/{quote(name)}"):
        assert requests.get(f"{served}/modelRun/{run.id}/{route}", timeout=20).status_code == 200


def test_a_image_without_predictions_has_the_shape_of_one_with_some(
    ours: npd.NucleusClient, two_images: npd.Dataset, served: str
) -> None:
    run = two_images.create_model_run(ours.add_model("M", reference_id="m"))
    run.predict([box(confidence=0.5)])
    assert run.refloc("b.jpg") == {"annotations": []}
    assert list(run.predictions.refloc["b.jpg"].columns) == list(run.predictions.refloc["a.jpg"].columns)
    found = [requests.get(f"{served}/modelRun/{run.id}/refloc/{n}.jpg", timeout=20).json() for n in "ab"]
    assert found[0]["annotations"].keys() == found[1]["annotations"].keys()


def test_a_mask_reads_alike_alone_and_exported(two_images: npd.Dataset) -> None:
    mask = {"type": "mask", "mask_url": "https://example.org/m.png", "annotations": [{"label": "sky", "index": 1}]}
    two_images.annotate([{**mask, "reference_id": "a.jpg"}])
    by_call = two_images.refloc("a.jpg")["annotations"]
    assert [one["mask_url"] for one in by_call] == [mask["mask_url"]]
    exported = two_images.annotations.to_frame()
    assert exported["geometry"].tolist() == two_images.annotations.refloc["a.jpg"]["geometry"].tolist()


def test_uploads_of_several_threads_do_not_meet(ours: npd.NucleusClient, tmp_path: Path) -> None:
    frame = image_frame(numbered_images(tmp_path, 25))
    datasets = [ours.create_dataset(str(number)) for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda dataset: dataset.append(frame), datasets))
    assert [result.new_items for result in results] == [25] * 3
    assert [len(dataset) for dataset in datasets] == [25] * 3


@pytest.mark.parametrize("address", ["gcs://bucket/a.jpg", "gs://bucket/a.jpg", "s3://bucket/a.jpg"])
def test_addresses_in_buckets_are_remote(two_images: npd.Dataset, address: str) -> None:
    two_images.append([{"reference_id": "c", "image_url": address}])
    assert two_images.refloc["c", "image_url"] == address


def test_a_missing_image_is_named_with_its_path(two_images: npd.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "absent.jpg"
    with pytest.raises(npd.InvalidInputError, match="absent.jpg"):
        two_images.append([{"reference_id": "c", "image_url": str(path)}])


def test_keys_and_paths_of_this_machine_stay_here(hosted: npd.NucleusClient, tmp_path: Path) -> None:
    run = run_handle(hosted, "run_1", "ds_1")
    things: list[Any] = [hosted, dataset_handle(hosted, "ds_1"), job_handle(hosted, "job_1"), run]
    assert not any(KEY in f"{thing!r}{thing!s}{thing._repr_html_()}" for thing in things)
    frame = image_frame(numbered_images(tmp_path, 1))
    sent: list[bytes] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        body = request.body
        sent.append(body if isinstance(body, bytes) else b"".join(body))
        return 500, {}, '{"error": "No."}'

    with responses.RequestsMock() as mock:
        mock.add_callback("POST", f"{HOSTED}/dataset/ds_1/append", answer)
        with pytest.raises(npd.NucleusError) as caught:
            dataset_handle(hosted, "ds_1").append(frame)
    assert sent
    assert not any(str(tmp_path).encode() in body or quote(str(tmp_path), safe="").encode() in body for body in sent)
    assert KEY not in str(caught.value)


def test_one_batch_that_fails_leaves_the_others_alone(hosted: npd.NucleusClient) -> None:
    rows = [box(f"{number}.jpg", annotation_id="1") for number in range(6)]
    replies = iter([200, 400, 200])
    lock = threading.Lock()

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        with lock:
            status = next(replies)
        good = '{"dataset_id": "ds_1", "annotations_processed": 2, "annotations_ignored": 0}'
        return status, {}, good if status == 200 else '{"error": "That batch is broken."}'

    with responses.RequestsMock() as mock:
        mock.add_callback("POST", f"{HOSTED}/dataset/ds_1/annotate", answer)
        result = dataset_handle(hosted, "ds_1").annotate(rows, batch_size=2, on_error="collect", progress=False)
    assert sorted(result.rows["status"]) == ["error"] * 2 + ["processed"] * 4
    assert result.rows["error"].dropna().unique().tolist() == ["That batch is broken."]
    assert len(result.failed) == 2


def test_the_error_of_a_request_names_its_method(hosted: npd.NucleusClient) -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{HOSTED}/dataset/ds_1/size", body=requests.ConnectionError("reset"))
        transport_of(hosted).max_retries = 0
        with pytest.raises(npd.NetworkError, match="GET /v1/nucleus/dataset/ds_1/size got no answer"):
            len(dataset_handle(hosted, "ds_1"))


@pytest.mark.parametrize("passing", [429, 500, 502, 503, requests.ConnectionError("reset")], ids=str)
def test_what_passes_is_tried_again_and_the_last_try_is_not_slept_after(
    hosted: npd.NucleusClient, monkeypatch: pytest.MonkeyPatch, passing: Any
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    failure: dict[str, Any] = {"status": passing} if isinstance(passing, int) else {"body": passing}
    with responses.RequestsMock() as mock:
        mock.get(f"{HOSTED}/dataset/ds_1/size", **failure)
        mock.get(f"{HOSTED}/dataset/ds_1/size", json={"count": 3})
        assert len(dataset_handle(hosted, "ds_1")) == 3
    assert len(slept) == 1
    with responses.RequestsMock() as mock:
        mock.get(f"{HOSTED}/dataset/ds_1/size", **failure)
        with pytest.raises(npd.NucleusError):
            len(dataset_handle(hosted, "ds_1"))
    assert len(slept) == 2


def test_values_of_numpy_and_pandas_are_taken(two_images: npd.Dataset) -> None:
    geometry = {"x": np.float32(1.5), "y": np.int16(2), "width": np.float64(3), "height": np.uint8(4)}
    metadata = {"n": np.int64(7), "at": pd.Timestamp("2026-01-02"), "f": np.float32(0.5), "b": np.bool_(True)}
    two_images.annotate([box(geometry=geometry, metadata=metadata)])
    (found,) = two_images.refloc("a.jpg")["annotations"]
    assert found["metadata"] == {"n": 7, "at": "2026-01-02T00:00:00", "f": 0.5, "b": True}
    assert found["geometry"] == {"x": 1.5, "y": 2, "width": 3, "height": 4}


def test_a_number_that_is_none_is_refused_by_its_row(two_images: npd.Dataset) -> None:
    frame = pd.DataFrame({"reference_id": "a.jpg", "label": "car", "x": [1, np.nan], "y": 2, "width": 3, "height": 4})
    frame.index = pd.Index(["first", "second"])
    with pytest.raises(npd.InvalidInputError, match="row 'second' .*column 'x'"):
        two_images.annotate(frame)


def test_a_refused_change_of_metadata_raises(two_images: npd.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(npd.BadRequestError, match="nobody"):
        two_images.update_item_metadata({"nobody": {"x": 1}})
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.jpeg", "a.JPG", "a.png?size=large", "a"])
def test_sizes_and_any_address_are_read_back(two_images: npd.Dataset, name: str) -> None:
    two_images.append([{"reference_id": name, "image_url": f"https://e.org/{name}", "width": 64, "height": 48}])
    assert two_images.refloc[name, ["image_url", "image_width", "image_height"]].tolist() == [
        f"https://e.org/{name}",
        64,
        48,
    ]


def test_the_absence_of_a_key_names_what_the_client_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(npd.ConfigurationError, match="NUCLEUS_API_KEY") as caught:
        npd.NucleusClient()
    assert "NUCLEUS_LIMITED" not in str(caught.value)
    monkeypatch.setenv("NUCLEUS_API_KEY", KEY)
    npd.NucleusClient().close()


def test_showing_a_dataset_asks_nobody(hosted: npd.NucleusClient) -> None:
    with responses.RequestsMock():  # in which every request fails
        text = repr(dataset_handle(hosted, "ds_1", "D"))
    assert text.count("'") % 2 == 0
    assert text == "<Dataset ds_1 'D'>"


def test_times_are_times(ours: npd.NucleusClient, two_images: npd.Dataset) -> None:
    two_images.annotate([box()])
    two_images.delete_annotations("a.jpg")
    assert str(ours.jobs.dtypes["created_at"]).endswith(", UTC]")


def test_remote_and_local_images_travel_in_one_call_and_are_counted(two_images: npd.Dataset, tmp_path: Path) -> None:
    frame = image_frame(numbered_images(tmp_path, 1))
    remote = pd.DataFrame({"reference_id": ["a.jpg", "c.jpg"], "image_url": "https://example.org/c.jpg"})
    result = two_images.append(pd.concat([remote, frame], ignore_index=True))
    assert (result.new_items, result.ignored_items, result.updated_items, result.upload_errors) == (2, 1, 0, 0)
    assert result.rows["status"].tolist() == ["ignored", "new", "new"]


def test_a_run_is_evaluated_by_one_line(ours: npd.NucleusClient, two_images: npd.Dataset) -> None:
    two_images.annotate([box()])
    run = two_images.create_model_run(ours.add_model("M", reference_id="m"))
    run.predict([box(confidence=0.5)])
    run.commit()
    assert run.evaluate().counts["TP"].tolist() == [1]


def test_the_package_imports_without_what_only_some_need() -> None:
    some_need = {"boto3", "aiohttp", "PIL", "flask", "scipy", "shapely", "nucleus"}
    code = f"import sys, nucleus_pandas; print(sorted({some_need} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_large_reads_come_page_by_page(ours: npd.NucleusClient, two_images: npd.Dataset) -> None:
    two_images.annotate([box(annotation_id=str(number)) for number in range(25)])
    chunks = [len(chunk) for chunk in two_images.annotations.iter_frames(chunksize=10)]
    assert (sum(chunks), max(chunks)) == (25, 10)


@pytest.mark.parametrize("nothing", [[], {"items": []}, pd.DataFrame({"reference_id": [], "image_url": []})], ids=str)
def test_nothing_can_be_appended(two_images: npd.Dataset, nothing: Any) -> None:
    assert two_images.append(nothing).new_items == 0
    assert len(two_images) == 2
