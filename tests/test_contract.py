"""The REST contract of the embedded Nucleus, over plain HTTP, as three generations of clients speak it.

The seed client sends everything at once and gets counters; the one after it adds `update` and multipart arrays; the
current one sends rows to a signed address and gets jobs.
"""

from __future__ import annotations

import base64
import http.client
import io
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote, urlsplit

import pytest
from PIL import Image

from nucleus_pandas.server.app import create_app
from nucleus_pandas.server.nucleus import EmbeddedNucleus

PREFIX = "/v1/nucleus"
KEYS = {"Authorization": "Basic " + base64.b64encode(b"a key:").decode()}
JSON = {"Content-Type": "application/json", **KEYS}

ITEM_KEYS = {"id", "dataset_item_id", "ref_id", "reference_id", "image_url", "original_image_url", "metadata"}
COUNTERS = {"dataset_id", "new_items", "updated_items", "ignored_items", "upload_errors"}
JOB = {"job_id", "job_last_known_status", "job_type", "job_creation_time"}
PREDICTION_KEYS = {"box", "line", "polygon", "cuboid", "category", "keypoints", "segmentation"}
GROUND_TRUTH_KEYS = PREDICTION_KEYS | {"multicategory"}

SQUARE = {"x": 1, "y": 2, "width": 3, "height": 4}
TRIANGLE = {"vertices": [{"x": 0, "y": 0}, {"x": 1, "y": 0}, {"x": 1, "y": 1}]}
POSE = {"keypoints": [{"x": 1, "y": 2, "visible": True}], "names": ["nose"], "skeleton": [[0, 0]]}
BLOCK = {"position": {"x": 1, "y": 2, "z": 3}, "dimensions": {"x": 4, "y": 5, "z": 6}, "yaw": 0.5}
GEOMETRIES: dict[str, dict[str, Any]] = {
    "box": SQUARE,
    "line": TRIANGLE,
    "polygon": TRIANGLE,
    "keypoints": POSE,
    "cuboid": BLOCK,
    "category": {},
}
MASK_URL = "https://example.org/mask.png"


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Api:
    """Sends requests exactly as they are written, to be filled in by the two ways to reach a server."""

    origin = "http://127.0.0.1"

    def send(self, method: str, path: str, content: bytes | None, headers: dict[str, str]) -> Answer:
        raise NotImplementedError

    def call(self, method: str, route: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request; a body that is not bytes goes as JSON."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return self.send(method, f"{PREFIX}/{route}", content, JSON if headers is None else headers)

    def ok(self, method: str, route: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        """Send a request that must succeed, and give what it answered."""
        answer = self.call(method, route, body, headers)
        assert answer.status == 200, answer
        return answer.json

    def get(self, route: str) -> Any:
        """GET as every generation but the current one's `make_request` does: with the body `{}`."""
        return self.ok("GET", route, {})

    def post(self, route: str, body: object) -> Any:
        return self.ok("POST", route, body)

    def delete(self, route: str, body: object = None) -> Any:
        return self.ok("DELETE", route, {} if body is None else body)

    def status(self, method: str, route: str, body: object = None, headers: dict[str, str] | None = None) -> int:
        return self.call(method, route, body, headers).status


class InProcess(Api):
    """The WSGI application, called without a socket."""

    def __init__(self, nucleus: EmbeddedNucleus, *, api_keys: tuple[str, ...] = ()) -> None:
        self.nucleus = nucleus
        self._client = create_app(nucleus, api_keys=api_keys).test_client()

    def send(self, method: str, path: str, content: bytes | None, headers: dict[str, str]) -> Answer:
        made = self._client.open(
            path,
            method=method,
            data=content,
            headers=headers,
            base_url=self.origin,
            environ_overrides={"REQUEST_URI": path},
        )
        answer = Answer(made.status_code, dict(made.headers), made.data)
        made.close()
        return answer


class OverSocket(Api):
    """A served store; each request over a connection of its own."""

    def __init__(self, endpoint: str) -> None:
        self.netloc = urlsplit(endpoint).netloc
        self.origin = f"http://{self.netloc}"

    def send(self, method: str, path: str, content: bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self.netloc, timeout=20)
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()


@pytest.fixture
def nucleus(store: Path) -> Iterator[EmbeddedNucleus]:
    made = EmbeddedNucleus(store)
    yield made
    made.close()


@pytest.fixture
def empty(nucleus: EmbeddedNucleus) -> Api:
    """A store in which nothing is."""
    return InProcess(nucleus)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A store that holds what other tests left in it."""
    made = EmbeddedNucleus(tmp_path_factory.mktemp("shared"))
    yield InProcess(made)
    made.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverSocket]:
    """One server process for all tests of this module that need a socket."""
    folder = tmp_path_factory.mktemp("served")
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "nucleus_pandas.cli", "serve", str(folder), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield OverSocket(process.stdout.readline().split()[-1])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


@pytest.fixture(params=["in process", "socket"])
def anywhere(request: pytest.FixtureRequest) -> Api:
    found: Api = request.getfixturevalue("api" if request.param == "in process" else "served")
    return found


_numbers = itertools.count()


def fresh(word: str) -> str:
    return f"{word} {next(_numbers)}"


def item(reference_id: str, **fields: Any) -> dict[str, Any]:
    return {"image_url": f"https://example.org/{len(reference_id)}.jpg", "reference_id": reference_id, **fields}


def box(reference_id: str | None = "a.jpg", **fields: Any) -> dict[str, Any]:
    return {"label": "car", "type": "box", "geometry": SQUARE, "reference_id": reference_id, **fields}


def mask(reference_id: str | None = "a.jpg", **fields: Any) -> dict[str, Any]:
    segments = [{"label": "sky", "index": 1, "metadata": {}}]
    return {"mask_url": MASK_URL, "annotations": segments, "reference_id": reference_id, "type": "mask", **fields}


def category(label: str, taxonomy: str | None, reference_id: str = "a.jpg") -> dict[str, Any]:
    made: dict[str, Any] = {"label": label, "type": "category", "geometry": {}, "reference_id": reference_id}
    return made if taxonomy is None else {**made, "taxonomy_name": taxonomy}


def shape(kind: str, **fields: Any) -> dict[str, Any]:
    """An annotation of a type as the current client sends it, nulls and all."""
    if kind == "mask":
        return mask(annotation_id="m", **fields)
    nulls: dict[str, Any] = {"annotation_id": None, "metadata": {}, "track_reference_id": None, "task_id": None}
    if kind == "multicategory":
        return {"labels": ["rain"], "type": kind, "geometry": {}, "reference_id": "a.jpg", **nulls, **fields}
    made = {"label": "thing", "type": kind, "geometry": GEOMETRIES[kind], "reference_id": "a.jpg", **nulls}
    return {**made, **({"embedding_vector": None} if kind in ("box", "polygon") else {}), **fields}


def new_dataset(api: Api, *reference_ids: str, **fields: Any) -> str:
    made: str = api.post("dataset/create", {"name": fresh("Streets"), **fields})["dataset_id"]
    if reference_ids:
        api.post(f"dataset/{made}/append", {"items": [item(name) for name in reference_ids]})
    return made


def new_model(api: Api, **fields: Any) -> str:
    made: str = api.post("models/add", {"name": "YOLO", "reference_id": fresh("yolo"), "metadata": {}, **fields})[
        "model_id"
    ]
    return made


def new_run(api: Api, dataset: str, *predictions: dict[str, Any]) -> str:
    made: str = api.post(f"dataset/{dataset}/modelRun/create", {"model_id": new_model(api)})["model_run_id"]
    if predictions:
        api.post(f"modelRun/{made}/predict", {"annotations": predictions})
    return made


def by_type(api: Api, dataset: str, reference_id: str = "a.jpg") -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = api.get(f"dataset/{dataset}/refloc/{quoted(reference_id)}")["annotations"]
    return found


def quoted(reference_id: str) -> str:
    """Quote an id into one segment of a path that no client shortens."""
    segment = quote(reference_id, safe="")
    return segment.replace(".", "%2E") if set(segment) <= {"."} else segment


class Part(NamedTuple):
    """A part of a multipart body."""

    name: str
    filename: str | None
    content_type: str
    content: bytes


def multipart(*parts: Part) -> tuple[bytes, dict[str, str]]:
    boundary = uuid.uuid4().hex
    lines = []
    for part in parts:
        filename = "" if part.filename is None else f'; filename="{part.filename}"'
        head = f'Content-Type: {part.content_type}\r\nContent-Disposition: form-data; name="{part.name}"{filename}'
        lines.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + part.content + b"\r\n")
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", **KEYS}
    return b"".join(lines) + f"--{boundary}--\r\n".encode(), headers


def image_bytes(color: str = "red", size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, kind)
    return out.getvalue()


def mask_bytes(value: int = 1) -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 6), value).save(out, "PNG")
    return out.getvalue()


def array_of(*items: dict[str, Any]) -> Part:
    return Part("items", None, "application/json", json.dumps(items).encode())


def file_of(content: bytes, path: str = "/tmp/images/a.png") -> Part:
    """An image as the clients name it: by its whole quoted path."""
    return Part("image", quote(path, safe=""), f"image/{path.rpartition('.')[2]}", content)


def append_files(api: Api, dataset: str, *parts: Part, query: str = "") -> Any:
    return api.ok("POST", f"dataset/{dataset}/append{query}", *multipart(*parts))


def serialized(*segmentations: dict[str, Any], update: bool = False) -> Part:
    text = json.dumps({"segmentations": segmentations, "update": update}).encode()
    return Part("serialized_request", None, "application/json", text)


def mask_of(content: bytes, path: str = "/tmp/masks/a.png") -> Part:
    return Part("mask", quote(path, safe=""), "image/png", content)


def ndjson(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def sign(api: Api, dataset: str, request_id: str) -> str:
    """Ask for a signed address, and give the path in it."""
    parts = urlsplit(str(api.ok("GET", f"dataset/{dataset}/signedUrl/{request_id}")["signed_url"]))
    return parts.path + (f"?{parts.query}" if parts.query else "")


def put(api: Api, path: str, content: bytes) -> Answer:
    """PUT as the client does: neither key nor content type."""
    return api.send("PUT", path, content, {})


def upload(api: Api, dataset: str, *rows: dict[str, Any]) -> str:
    """Send rows to a signed address, and give the request id."""
    request_id = uuid.uuid4().hex
    answer = put(api, sign(api, dataset, request_id), ndjson(*rows))
    assert answer.status in (200, 201), answer
    return request_id


def consume(api: Api, route: str, request_id: str, *, update: bool = False) -> Any:
    body = {"requestId": request_id, "update": update}
    if not route.startswith("dataset/") or route.endswith("annotate"):
        body["trained_slice_id"] = None
    return api.post(f"{route}?async=1", body)


def finished(api: Api, job: dict[str, Any]) -> Any:
    """Wait for a job's end, and give its status."""
    for _ in range(200):
        status = api.get(f"job/{job['job_id']}")
        if status["status"] != "Running":
            return status
        time.sleep(0.02)
    raise AssertionError(f"The job does not end: {status}")


# Datasets


def test_create_answers_with_id_and_name(anywhere: Api) -> None:
    made = anywhere.post("dataset/create", {"name": "Streets"})
    assert made == {"dataset_id": made["dataset_id"], "name": "Streets"}


def test_dataset_ids_begin_with_ds(api: Api) -> None:
    assert new_dataset(api).startswith("ds_")


def test_create_takes_the_nulls_of_the_current_client(api: Api) -> None:
    body = {
        "name": "Streets",
        "is_scene": False,
        "use_privacy_mode": False,
        "annotation_metadata_schema": None,
        "item_metadata_schema": None,
    }
    assert api.post("dataset/create", body)["name"] == "Streets"


def test_two_datasets_may_have_one_name(api: Api) -> None:
    ids = [api.post("dataset/create", {"name": "Streets"})["dataset_id"] for _ in range(2)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": None}, {"name": 7}, [], "Streets", None])
def test_a_dataset_without_a_name_is_refused(api: Api, body: object) -> None:
    assert api.status("POST", "dataset/create", body) == 400


@pytest.mark.parametrize("route", ["dataset/", "dataset"])
def test_datasets_are_listed_by_id(empty: Api, route: str) -> None:
    ids = [new_dataset(empty) for _ in range(3)]
    assert empty.get(route) == ids


def test_no_datasets_are_an_empty_list(empty: Api) -> None:
    assert empty.get("dataset/") == []


def test_details_list_id_name_and_publicity(empty: Api) -> None:
    dataset = empty.post("dataset/create", {"name": "Streets"})["dataset_id"]
    assert empty.get("dataset/details") == [{"id": dataset, "name": "Streets", "is_public": False}]


def test_info_serves_all_generations(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    assert {"dataset_id", "name", "length", "model_run_ids", "slice_ids"} <= set(api.get(f"dataset/{dataset}/info"))


def test_info_counts_items(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    assert api.get(f"dataset/{dataset}/info")["length"] == 2


def test_info_lists_runs(api: Api) -> None:
    dataset = new_dataset(api)
    run = new_run(api, dataset)
    assert api.get(f"dataset/{dataset}/info")["model_run_ids"] == [run]


def test_info_lists_slices(api: Api) -> None:
    dataset = new_dataset(api)
    assert api.get(f"dataset/{dataset}/info")["slice_ids"] == []
    made = api.post(f"dataset/{dataset}/create_slice", {"name": "rain", "allow_empty": 1})["slice_id"]
    assert api.get(f"dataset/{dataset}/info")["slice_ids"] == [made]


def test_info_gives_the_metadata_schemas_back(api: Api) -> None:
    schema = {"weather": {"type": "category", "choices": ["rain", "sun"]}}
    dataset = new_dataset(api, item_metadata_schema=schema)
    assert api.get(f"dataset/{dataset}/info")["item_metadata_schema"] == schema


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("name", {"name": "Streets"}),
        ("is_scene", {"is_scene": False}),
        ("use_privacy_mode", {"use_privacy_mode": True}),
        ("size", {"count": 0}),
    ],
)
def test_single_properties(api: Api, what: str, expected: dict[str, object]) -> None:
    dataset = new_dataset(api, name="Streets", use_privacy_mode=True)
    assert api.get(f"dataset/{dataset}/{what}") == expected


def test_a_scene_dataset_says_so(api: Api) -> None:
    assert api.get(f"dataset/{new_dataset(api, is_scene=True)}/is_scene") == {"is_scene": True}


def test_runs_of_a_dataset_are_a_list_of_ids(api: Api) -> None:
    dataset = new_dataset(api)
    runs = [new_run(api, dataset) for _ in range(2)]
    assert api.get(f"dataset/{dataset}/model_runs") == runs


def test_deleting_a_dataset_answers_with_a_message(anywhere: Api) -> None:
    assert anywhere.delete(f"dataset/{new_dataset(anywhere, 'a.jpg')}") == {"message": "Beginning dataset deletion..."}


@pytest.mark.parametrize(
    ("method", "route"),
    [("GET", "/info"), ("GET", "/datasetItems"), ("GET", "/refloc/a.jpg"), ("GET", "/iloc/0"), ("DELETE", "")],
)
def test_a_deleted_dataset_is_gone(api: Api, method: str, route: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.delete(f"dataset/{dataset}")
    assert api.status(method, f"dataset/{dataset}{route}", {}) == 404


def test_a_deleted_dataset_is_not_listed(empty: Api) -> None:
    kept, gone = new_dataset(empty), new_dataset(empty)
    empty.delete(f"dataset/{gone}")
    assert empty.get("dataset/") == [kept]


def test_a_deleted_dataset_takes_its_runs_along(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset, box())
    api.delete(f"dataset/{dataset}")
    assert api.status("GET", f"modelRun/{run}/info") == 404


def test_a_deleted_dataset_leaves_others_alone(api: Api) -> None:
    kept, gone = new_dataset(api, "a.jpg"), new_dataset(api, "a.jpg")
    api.post(f"dataset/{kept}/annotate", {"annotations": [box()]})
    api.delete(f"dataset/{gone}")
    assert len(by_type(api, kept)["box"]) == 1


def test_dataset_items_come_in_order_of_insertion(anywhere: Api) -> None:
    names = ["b.jpg", "a.jpg", "c.jpg"]
    dataset = new_dataset(anywhere, *names)
    found = anywhere.get(f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [one["reference_id"] for one in found] == names


def test_an_empty_dataset_has_an_empty_list_of_items(api: Api) -> None:
    assert api.get(f"dataset/{new_dataset(api)}/datasetItems") == {"dataset_items": []}


@pytest.mark.parametrize(
    ("method", "route", "body"),
    [
        ("POST", "dataset/create_from_project", {"project_id": "p", "last_n_tasks": "5", "name": "n"}),
        ("POST", "dataset/{dataset}/ingest_tasks", {"tasks": ["t"]}),
        ("POST", "model/run/{model}/", {"dataset_id": "ds_1", "slice_id": "slc_1", "model_run_name": "n"}),
        ("POST", "model/run/{model}", {"dataset_id": "ds_1", "slice_id": "slc_1", "model_run_name": "n"}),
    ],
)
def test_what_needs_scale_is_not_implemented(api: Api, method: str, route: str, body: object) -> None:
    route = route.format(dataset=new_dataset(api), model=new_model(api))
    assert api.status(method, route, body) == 501


# Items: what all generations share


@pytest.mark.parametrize("by", ["refloc/a.jpg", "iloc/0"])
def test_an_item_has_all_its_names(anywhere: Api, by: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    assert set(anywhere.get(f"dataset/{dataset}/{by}")["item"]) >= ITEM_KEYS


def test_an_item_is_found_by_its_id(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    found = anywhere.get(f"dataset/{dataset}/refloc/b.jpg")
    assert anywhere.get(f"dataset/{dataset}/loc/{found['item']['id']}") == found


def test_item_ids_begin_with_di(api: Api) -> None:
    assert api.get(f"dataset/{new_dataset(api, 'a.jpg')}/iloc/0")["item"]["id"].startswith("di_")


@pytest.mark.parametrize(
    ("one", "other"),
    [("id", "dataset_item_id"), ("ref_id", "reference_id"), ("image_url", "original_image_url")],
)
def test_both_spellings_of_an_items_names_agree(api: Api, one: str, other: str) -> None:
    found = api.get(f"dataset/{new_dataset(api, 'a.jpg')}/iloc/0")["item"]
    assert found[one] == found[other]


def test_an_item_keeps_its_address(api: Api) -> None:
    found = api.get(f"dataset/{new_dataset(api, 'a.jpg')}/iloc/0")["item"]
    assert found["image_url"] == item("a.jpg")["image_url"]


def test_an_item_keeps_its_size(api: Api) -> None:
    dataset = new_dataset(api)
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg", width=640, height=480)]})
    found = api.get(f"dataset/{dataset}/iloc/0")["item"]
    assert (found["width"], found["height"]) == (640, 480)


@pytest.mark.parametrize(
    "metadata",
    [
        {"weather": "rain", "lat": 1.5, "nested": {"list": [1, None, True]}, "ü": "🚗"},
        {"float": 1.0, "tiny": 5e-324, "whole": 2**53 + 1, "negative": -(2**63), "huge": 10**30},
        {},
    ],
)
def test_an_item_keeps_its_metadata(api: Api, metadata: dict[str, Any]) -> None:
    dataset = new_dataset(api)
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg", metadata=metadata)]})
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["metadata"] == metadata


@pytest.mark.parametrize("metadata", [{}, {"metadata": None}])
def test_an_item_without_metadata_has_an_empty_object(api: Api, metadata: dict[str, Any]) -> None:
    dataset = new_dataset(api)
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg", **metadata)]})
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["metadata"] == {}


def test_a_point_cloud_has_no_image_url(api: Api) -> None:
    dataset = new_dataset(api)
    cloud = {"reference_id": "a", "pointcloud_url": "https://example.org/a.json"}
    api.post(f"dataset/{dataset}/append", {"items": [cloud]})
    found = api.get(f"dataset/{dataset}/iloc/0")["item"]
    assert (found["pointcloud_url"], found.get("image_url")) == (cloud["pointcloud_url"], None)


@pytest.mark.parametrize("position", ["2", "-1", "9" * 30])
def test_a_position_outside_is_not_found(api: Api, position: str) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    assert api.status("GET", f"dataset/{dataset}/iloc/{position}") == 404


def test_a_position_that_is_no_number_is_refused(api: Api) -> None:
    assert api.status("GET", f"dataset/{new_dataset(api, 'a.jpg')}/iloc/first") == 400


@pytest.mark.parametrize("route", ["refloc/nobody", "loc/di_0", "loc/a.jpg", "groundTruth/loc/a.jpg/nobody"])
def test_what_is_not_there_is_not_found(api: Api, route: str) -> None:
    assert api.status("GET", f"dataset/{new_dataset(api, 'a.jpg')}/{route}") == 404


def test_an_item_id_of_another_dataset_is_not_found(api: Api) -> None:
    foreign = api.get(f"dataset/{new_dataset(api, 'a.jpg')}/iloc/0")["item"]["id"]
    assert api.status("GET", f"dataset/{new_dataset(api, 'a.jpg')}/loc/{foreign}") == 404


def test_an_item_without_annotations_has_every_type_empty(api: Api) -> None:
    assert by_type(api, new_dataset(api, "a.jpg")) == {kind: [] for kind in GROUND_TRUTH_KEYS}


@pytest.mark.parametrize("form", ["reference id", "item id"])
def test_deleting_an_item(anywhere: Api, form: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    key = "refloc/a.jpg" if form == "reference id" else anywhere.get(f"dataset/{dataset}/iloc/0")["item"]["id"]
    anywhere.delete(f"dataset/{dataset}/{key}")
    assert anywhere.status("GET", f"dataset/{dataset}/refloc/a.jpg") == 404


def test_deleting_an_item_moves_the_others_up(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    anywhere.delete(f"dataset/{dataset}/refloc/b.jpg")
    names = [anywhere.get(f"dataset/{dataset}/iloc/{n}")["item"]["reference_id"] for n in range(3)]
    assert names == ["a.jpg", "c.jpg", "d.jpg"]


def test_deleting_items_leaves_no_last_position(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    assert api.status("GET", f"dataset/{dataset}/iloc/1") == 404


def test_positions_skip_many_deleted_items(api: Api) -> None:
    names = [f"{number:03}.jpg" for number in range(150)]
    dataset = new_dataset(api, *names)
    for name in names[1:140]:
        api.delete(f"dataset/{dataset}/refloc/{name}")
    kept = [api.get(f"dataset/{dataset}/iloc/{n}")["item"]["reference_id"] for n in range(11)]
    assert kept == [names[0], *names[140:]]


def test_an_item_appended_again_stands_last(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg")]})
    assert api.get(f"dataset/{dataset}/iloc/1")["item"]["reference_id"] == "a.jpg"


def test_an_item_appended_again_has_no_old_annotations(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg")]})
    assert by_type(api, dataset)["box"] == []


def test_deleting_an_item_lowers_the_size(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    assert api.get(f"dataset/{dataset}/size") == {"count": 1}


def test_deleting_an_item_takes_its_predictions_along(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    run = new_run(api, dataset, box("a.jpg"), box("b.jpg"))
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    assert [one["reference_id"] for one in api.get(f"modelRun/{run}/ungrouped")["box"]] == ["b.jpg"]


@pytest.mark.parametrize("key", ["refloc/nobody", "di_0", "nobody"])
def test_deleting_an_item_that_is_not_there(api: Api, key: str) -> None:
    assert api.status("DELETE", f"dataset/{new_dataset(api, 'a.jpg')}/{key}", {}) == 404


# Append, the seed's way: no `update`, counters


def test_append_counts(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    body = {"items": [item("a.jpg", metadata={}), item("b.jpg", metadata={}), item("c.jpg", metadata={})]}
    assert anywhere.post(f"dataset/{dataset}/append", body) == {
        "dataset_id": dataset,
        "new_items": 2,
        "updated_items": 0,
        "ignored_items": 1,
        "upload_errors": 0,
    }


def test_append_of_nothing_counts_nothing(api: Api) -> None:
    dataset = new_dataset(api)
    assert api.post(f"dataset/{dataset}/append", {"items": []})["new_items"] == 0


def test_a_repeat_within_an_append_is_ignored(api: Api) -> None:
    dataset = new_dataset(api)
    made = api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg"), item("a.jpg")]})
    assert (made["new_items"], made["ignored_items"]) == (1, 1)


def test_items_of_one_address_are_two_items(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    assert api.get(f"dataset/{dataset}/size") == {"count": 2}


def test_reference_ids_differ_by_case(api: Api) -> None:
    assert api.get(f"dataset/{new_dataset(api, 'a.jpg', 'A.jpg')}/size") == {"count": 2}


def test_reference_ids_differ_by_unicode_form(api: Api) -> None:
    dataset = new_dataset(api, "caf\u00e9", "cafe\u0301")
    assert api.get(f"dataset/{dataset}/size") == {"count": 2}


def test_two_datasets_share_no_reference_ids(api: Api) -> None:
    new_dataset(api, "a.jpg")
    assert api.get(f"dataset/{new_dataset(api, 'a.jpg')}/size") == {"count": 1}


def seed_file(content: bytes, name: str = "a.png") -> Part:
    return Part("image", name, f"image/{name.rpartition('.')[2]}", content)


def seed_item(reference_id: str, url: str = "/home/me/a.png", **fields: Any) -> Part:
    one = {"image_url": url, "reference_id": reference_id, "metadata": {}, **fields}
    return Part("item", None, "application/json", json.dumps(one).encode())


def test_the_seeds_single_file_is_counted(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    made = append_files(anywhere, dataset, seed_file(image_bytes()), seed_item("a.png"))
    assert made == {
        "dataset_id": dataset,
        "new_items": 1,
        "updated_items": 0,
        "ignored_items": 0,
        "upload_errors": 0,
    }


def test_the_seeds_single_file_sent_again_is_ignored(api: Api) -> None:
    dataset = new_dataset(api)
    append_files(api, dataset, seed_file(image_bytes()), seed_item("a.png"))
    again = append_files(api, dataset, seed_file(image_bytes("blue")), seed_item("a.png"))
    assert (again["new_items"], again["ignored_items"]) == (0, 1)


# Append, the middle generation's way: `update` or `force`, multipart arrays, counters


def test_an_item_that_is_there_is_left_alone(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    for value in (1, 2):
        body = {"items": [item("a.jpg", metadata={"k": value})], "update": False}
        anywhere.post(f"dataset/{dataset}/append", body)
    assert anywhere.get(f"dataset/{dataset}/iloc/0")["item"]["metadata"] == {"k": 1}


@pytest.mark.parametrize("word", ["update", "force"])
def test_an_update_is_counted(anywhere: Api, word: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    made = anywhere.post(f"dataset/{dataset}/append", {"items": [item("a.jpg"), item("b.jpg")], word: True})
    assert {**made, "dataset_id": ""} == {
        "dataset_id": "",
        "new_items": 1,
        "updated_items": 1,
        "ignored_items": 0,
        "upload_errors": 0,
    }


@pytest.mark.parametrize("word", ["update", "force"])
def test_an_update_replaces_metadata_as_a_whole(api: Api, word: str) -> None:
    dataset = new_dataset(api)
    for metadata in ({"old": 1, "both": 1}, {"both": 2}):
        api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg", metadata=metadata)], word: True})
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["metadata"] == {"both": 2}


def test_an_update_keeps_the_position(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg")], "update": True})
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["reference_id"] == "a.jpg"


def test_an_update_keeps_the_item_id(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    before = api.get(f"dataset/{dataset}/iloc/0")["item"]["id"]
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg")], "update": True})
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["id"] == before


def test_an_update_keeps_the_annotations(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg")], "update": True})
    assert len(by_type(api, dataset)["box"]) == 1


def test_an_array_of_files_is_counted(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    parts = [array_of(item("a", update=False), item("b", update=False)), *[file_of(image_bytes())] * 2]
    assert append_files(anywhere, dataset, *parts) == {
        "dataset_id": dataset,
        "new_items": 2,
        "updated_items": 0,
        "ignored_items": 0,
        "upload_errors": 0,
    }


def test_files_belong_to_items_by_position(api: Api) -> None:
    dataset = new_dataset(api)
    files = [file_of(image_bytes(size=(8, 9)), "/tmp/same.png"), file_of(image_bytes(size=(5, 6)), "/tmp/same.png")]
    append_files(api, dataset, array_of(item("a", update=False), item("b", update=False)), *files)
    sizes = [(one["width"], one["height"]) for one in api.get(f"dataset/{dataset}/datasetItems")["dataset_items"]]
    assert sizes == [(8, 9), (5, 6)]


def test_an_array_of_files_tells_update_item_by_item(api: Api) -> None:
    dataset = new_dataset(api, "a", "b")
    parts = [array_of(item("a", update=True), item("b", update=False)), *[file_of(image_bytes())] * 2]
    made = append_files(api, dataset, *parts)
    assert (made["updated_items"], made["ignored_items"]) == (1, 1)


def test_an_update_with_a_file_replaces_the_image(api: Api) -> None:
    dataset = new_dataset(api)
    for color in ("red", "blue"):
        append_files(api, dataset, array_of(item("a", update=True)), file_of(image_bytes(color)))
    url = urlsplit(api.get(f"dataset/{dataset}/iloc/0")["item"]["image_url"])
    assert api.send("GET", url.path, None, {}).content == image_bytes("blue")


def test_deleting_an_item_keeps_the_same_image_of_another(api: Api) -> None:
    dataset = new_dataset(api)
    parts = [array_of(item("a", update=False), item("b", update=False)), *[file_of(image_bytes("green"))] * 2]
    append_files(api, dataset, *parts)
    api.delete(f"dataset/{dataset}/refloc/a")
    url = urlsplit(api.get(f"dataset/{dataset}/refloc/b")["item"]["image_url"])
    assert api.send("GET", url.path, None, {}).content == image_bytes("green")


def test_deleting_a_dataset_keeps_the_same_image_of_another(api: Api) -> None:
    datasets = [new_dataset(api), new_dataset(api)]
    for dataset in datasets:
        append_files(api, dataset, array_of(item("a", update=False)), file_of(image_bytes("teal")))
    api.delete(f"dataset/{datasets[0]}")
    url = urlsplit(api.get(f"dataset/{datasets[1]}/iloc/0")["item"]["image_url"])
    assert api.send("GET", url.path, None, {}).content == image_bytes("teal")


@pytest.mark.parametrize("path", ["/tmp/a.png", "/tmp/a.jpg", "/tmp/a.jpeg", "C:\\images\\a.png", "/tmp/ü b.PNG"])
def test_an_uploaded_image_can_be_fetched(anywhere: Api, path: str) -> None:
    dataset = new_dataset(anywhere)
    content = image_bytes(kind="PNG" if path.lower().endswith("png") else "JPEG")
    append_files(anywhere, dataset, array_of(item("a", image_url=path, update=False)), file_of(content, path))
    url = urlsplit(anywhere.get(f"dataset/{dataset}/iloc/0")["item"]["image_url"])
    assert anywhere.send("GET", url.path, None, {}).content == content


@pytest.mark.parametrize(("extension", "kind"), [("png", "PNG"), ("jpg", "JPEG")])
def test_an_uploaded_image_has_an_address_with_its_extension(api: Api, extension: str, kind: str) -> None:
    dataset = new_dataset(api)
    file = file_of(image_bytes(kind=kind), f"/tmp/a.{extension}")
    append_files(api, dataset, array_of(item("a", image_url=f"/tmp/a.{extension}", update=False)), file)
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["image_url"].endswith(f".{extension}")


def test_an_uploaded_image_has_an_address_on_this_server(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    append_files(anywhere, dataset, array_of(item("a", update=False)), file_of(image_bytes()))
    url = anywhere.get(f"dataset/{dataset}/iloc/0")["item"]["image_url"]
    assert url.startswith(f"{anywhere.origin}{PREFIX}/")


def test_an_uploaded_image_is_served_as_a_image(api: Api) -> None:
    dataset = new_dataset(api)
    append_files(api, dataset, array_of(item("a", update=False)), file_of(image_bytes()))
    url = urlsplit(api.get(f"dataset/{dataset}/iloc/0")["item"]["image_url"])
    assert api.send("GET", url.path, None, {}).headers["Content-Type"] == "image/png"


def test_a_file_without_extension_is_taken(api: Api) -> None:
    dataset = new_dataset(api)
    file = Part("image", "%2Ftmp%2Fa", "image/", image_bytes())
    assert append_files(api, dataset, array_of(item("a", update=False)), file)["new_items"] == 1


def test_a_file_name_is_no_place_on_the_server(empty: Api, nucleus: EmbeddedNucleus) -> None:
    dataset = new_dataset(empty)
    file = file_of(image_bytes(), "../../../outside.png")
    append_files(empty, dataset, array_of(item("a", update=False)), file)
    assert not list(nucleus.folder.parent.rglob("outside*"))


def test_an_empty_file_is_an_upload_error(api: Api) -> None:
    dataset = new_dataset(api)
    parts = [array_of(item("a", update=False), item("b", update=False)), file_of(b""), file_of(image_bytes())]
    made = append_files(api, dataset, *parts)
    assert (made["new_items"], made["upload_errors"]) == (1, 1)


@pytest.mark.parametrize(
    "parts",
    [
        [array_of(item("a")), file_of(b"x"), file_of(b"y")],
        [array_of(item("a"), item("b")), file_of(b"x")],
        [array_of(item("a"))],
        [file_of(b"x")],
        [Part("items", None, "application/json", b"[{"), file_of(b"x")],
        [Part("items", None, "application/json", b"{}"), file_of(b"x")],
        [Part("item", None, "application/json", b"[]"), file_of(b"x")],
        [],
    ],
)
def test_files_without_their_items_are_refused(api: Api, parts: list[Part]) -> None:
    content, headers = multipart(*parts)
    assert api.status("POST", f"dataset/{new_dataset(api)}/append", content, headers) == 400


# Append, the current way: signed addresses and jobs


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


# Append: what is refused


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference_id": "a.jpg"},
        {"reference_id": "a.jpg", "image_url": ""},
        {"reference_id": "a.jpg", "image_url": None},
        {"reference_id": "a.jpg", "image_url": "https://e.org/a.jpg", "pointcloud_url": "https://e.org/a.json"},
        {"image_url": "https://e.org/a.jpg"},
        {"reference_id": None, "image_url": "https://e.org/a.jpg"},
        {"reference_id": 7, "image_url": "https://e.org/a.jpg"},
        {"reference_id": "a.jpg", "image_url": "https://e.org/a.jpg", "metadata": "rain"},
        {"reference_id": "a.jpg", "image_url": "https://e.org/a.jpg", "width": -1},
        "a.jpg",
        None,
    ],
)
def test_a_wrong_item_is_refused(api: Api, wrong: object) -> None:
    answer = api.call("POST", f"dataset/{new_dataset(api)}/append", {"items": [item("good.jpg"), wrong]})
    assert (answer.status, "$.items[1]" in answer.json["error"]) == (400, True)


def test_of_a_refused_append_nothing_is_stored(api: Api) -> None:
    dataset = new_dataset(api)
    api.call("POST", f"dataset/{dataset}/append", {"items": [item("good.jpg"), {"reference_id": "bad.jpg"}]})
    assert api.get(f"dataset/{dataset}/size") == {"count": 0}


def test_a_scene_dataset_refuses_plain_items(api: Api) -> None:
    assert api.status("POST", f"dataset/{new_dataset(api, is_scene=True)}/append", {"items": [item("a.jpg")]}) == 400


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_metadata_that_is_no_number_is_refused(api: Api, number: bytes) -> None:
    body = json.dumps({"items": [item("a.jpg", metadata={"k": 12345})]}).encode().replace(b"12345", number)
    assert api.status("POST", f"dataset/{new_dataset(api)}/append", body) == 400


def test_items_go_into_a_dataset_that_is_there(api: Api) -> None:
    assert api.status("POST", "dataset/ds_0/append", {"items": [item("a.jpg")]}) == 404


# Annotate


def test_annotate_counts(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    made = anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box("a.jpg"), box("b.jpg")], "update": False})
    assert made == {"dataset_id": dataset, "annotations_processed": 2, "annotations_ignored": 0}


def test_the_seeds_annotations_need_neither_id_nor_update(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    made = anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box(), box(label="van")]})
    assert made["annotations_processed"] == 2


def test_annotations_without_id_sent_again_are_ignored(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    body = {"annotations": [box(), box(), shape("polygon")]}
    anywhere.post(f"dataset/{dataset}/annotate", body)
    again = anywhere.post(f"dataset/{dataset}/annotate", body)
    assert (again["annotations_processed"], again["annotations_ignored"]) == (0, 3)


def test_annotations_without_id_get_one(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})
    assert by_type(api, dataset)["box"][0]["annotation_id"]


def test_annotations_name_their_item_by_item_id_too(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    one = box()
    one["item_id"] = api.get(f"dataset/{dataset}/iloc/0")["item"]["id"]
    del one["reference_id"]
    api.post(f"dataset/{dataset}/annotate", {"annotations": [one]})
    assert by_type(api, dataset)["box"][0]["reference_id"] == "a.jpg"


@pytest.mark.parametrize("kind", [*GEOMETRIES, "multicategory", "mask"])
def test_every_type_is_read_back_under_its_key(anywhere: Api, kind: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [shape(kind)]})
    filled = {key: len(found) for key, found in by_type(anywhere, dataset).items() if found}
    assert filled == {"segmentation" if kind == "mask" else kind: 1}


@pytest.mark.parametrize("kind", [*GEOMETRIES, "multicategory", "mask"])
def test_every_annotation_holds_type_and_names(api: Api, kind: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [shape(kind)]})
    ((found,),) = filter(None, by_type(api, dataset).values())
    assert (found["type"], found["reference_id"], found["id"][:4]) == (kind, "a.jpg", "ann_")


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_every_geometry_is_read_back(api: Api, kind: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [shape(kind)]})
    assert by_type(api, dataset)[kind][0]["geometry"] == GEOMETRIES[kind]


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_every_label_is_read_back(api: Api, kind: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [shape(kind)]})
    assert by_type(api, dataset)[kind][0]["label"] == "thing"


def test_the_labels_of_a_multicategory_are_read_back(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [shape("multicategory")]})
    assert by_type(api, dataset)["multicategory"][0]["labels"] == ["rain"]


@pytest.mark.parametrize("key", ["annotations", "segmentations"])
def test_a_mask_is_read_back(api: Api, key: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {key: [mask()]})
    (found,) = by_type(api, dataset)["segmentation"]
    assert (found["mask_url"], found["annotations"]) == (MASK_URL, mask()["annotations"])


@pytest.mark.parametrize("kind", [*GEOMETRIES, "multicategory"])
@pytest.mark.parametrize("metadata", [{}, None, {"k": [1, {"ü": None}]}])
def test_every_types_metadata_is_read_back(api: Api, kind: str, metadata: object) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [shape(kind, metadata=metadata)]})
    assert by_type(api, dataset)[kind][0]["metadata"] == (metadata or {})


@pytest.mark.parametrize("name", ["track_reference_id", "task_id"])
def test_what_an_annotation_refers_to_is_read_back(api: Api, name: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(**{name: "t1"})]})
    assert by_type(api, dataset)["box"][0][name] == "t1"


def test_annotations_are_read_back_in_the_order_of_their_arrival(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    for name in ("z", "a", "m"):
        api.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id=name)]})
    assert [one["annotation_id"] for one in by_type(api, dataset)["box"]] == ["z", "a", "m"]


def test_an_annotation_that_is_there_is_left_alone(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    for label in ("car", "van"):
        anywhere.post(
            f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id="1", label=label)], "update": False}
        )
    assert by_type(anywhere, dataset)["box"][0]["label"] == "car"


def test_an_annotation_that_is_there_counts_as_ignored(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    body = {"annotations": [box(annotation_id="1")], "update": False}
    api.post(f"dataset/{dataset}/annotate", body)
    again = api.post(f"dataset/{dataset}/annotate", body)
    assert (again["annotations_processed"], again["annotations_ignored"]) == (0, 1)


def test_an_update_of_an_annotation_counts_as_processed(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    body = {"annotations": [box(annotation_id="1")], "update": True}
    api.post(f"dataset/{dataset}/annotate", body)
    again = api.post(f"dataset/{dataset}/annotate", body)
    assert (again["annotations_processed"], again["annotations_ignored"]) == (1, 0)


def test_an_update_replaces_the_whole_annotation(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    old = box(annotation_id="1", metadata={"old": 1}, task_id="t")
    new = {**shape("polygon"), "annotation_id": "1", "label": "road", "metadata": {"new": 1}}
    for one in (old, new):
        anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [one], "update": True})
    ((found,),) = filter(None, by_type(anywhere, dataset).values())
    assert (found["type"], found["label"], found["metadata"], found.get("task_id")) == (
        "polygon",
        "road",
        {"new": 1},
        None,
    )


def test_an_annotation_id_counts_within_its_item(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    body = {"annotations": [box("a.jpg", annotation_id="1"), box("b.jpg", annotation_id="1")]}
    assert api.post(f"dataset/{dataset}/annotate", body)["annotations_processed"] == 2


def test_an_unknown_item_is_no_http_error(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    made = anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box("nobody.jpg"), box()], "update": False})
    assert (made["annotations_processed"], made["annotations_ignored"]) == (1, 0)


@pytest.mark.parametrize("key", ["reference_id", "item_id"])
def test_an_unknown_item_is_named_among_the_errors(api: Api, key: str) -> None:
    one = {"label": "car", "type": "box", "geometry": SQUARE, key: "nobody"}
    (error,) = api.post(f"dataset/{new_dataset(api)}/annotate", {"annotations": [one]})["errors"]
    assert "nobody" in error


def test_an_item_of_another_dataset_is_an_unknown_item(api: Api) -> None:
    foreign = api.get(f"dataset/{new_dataset(api, 'a.jpg')}/iloc/0")["item"]["id"]
    one = {"label": "car", "type": "box", "geometry": SQUARE, "item_id": foreign}
    assert api.post(f"dataset/{new_dataset(api)}/annotate", {"annotations": [one]})["errors"]


def test_no_errors_are_no_key(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    assert "errors" not in api.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})


@pytest.mark.parametrize("update", [False, True])
def test_an_item_keeps_one_mask(anywhere: Api, update: bool) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    for name in ("one", "two"):
        anywhere.post(f"dataset/{dataset}/annotate", {"segmentations": [mask(annotation_id=name)], "update": update})
    found = [one["annotation_id"] for one in by_type(anywhere, dataset)["segmentation"]]
    assert found == ["two" if update else "one"]


def test_an_item_keeps_one_category_of_a_taxonomy(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    for label in ("rain", "sun"):
        api.post(f"dataset/{dataset}/annotate", {"annotations": [category(label, "weather")], "update": False})
    assert [one["label"] for one in by_type(api, dataset)["category"]] == ["rain"]


def test_an_update_replaces_the_category_of_a_taxonomy(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    for label in ("rain", "sun"):
        api.post(f"dataset/{dataset}/annotate", {"annotations": [category(label, "weather")], "update": True})
    assert [one["label"] for one in by_type(api, dataset)["category"]] == ["sun"]


def test_categories_of_two_taxonomies_stand_together(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    body = {"annotations": [category("rain", "weather"), category("night", "daytime")]}
    api.post(f"dataset/{dataset}/annotate", body)
    found = {one["taxonomy_name"]: one["label"] for one in by_type(api, dataset)["category"]}
    assert found == {"weather": "rain", "daytime": "night"}


def test_one_annotation_is_found_by_its_names(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id="1"), box(annotation_id="2")]})
    found = anywhere.get(f"dataset/{dataset}/groundTruth/loc/a.jpg/2")
    assert (found["type"], found["annotation_id"], found["reference_id"]) == ("box", "2", "a.jpg")


def test_one_mask_is_found_by_its_names(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"segmentations": [mask(annotation_id="m")]})
    assert api.get(f"dataset/{dataset}/groundTruth/loc/a.jpg/m")["mask_url"] == MASK_URL


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"annotations": [box(), box(confidence=1.2)]}, "$.annotations[1].confidence"),
        ({"annotations": [box(), box(geometry={**SQUARE, "x": "1"})]}, "$.annotations[1].geometry.x"),
        ({"annotations": [box(), box(geometry={**SQUARE, "width": -1})]}, "$.annotations[1].geometry.width"),
        ({"annotations": [box(), box(type="blob")]}, "$.annotations[1].type"),
        ({"annotations": [box(), box(item_id="di_1")]}, "$.annotations[1]"),
        ({"annotations": [box(), box(reference_id=None)]}, "$.annotations[1]"),
        ({"annotations": {"0": box()}}, "$.annotations"),
        ({"segmentations": [mask(mask_url="")]}, "$.segmentations[0].mask_url"),
        ({"segmentations": [mask(reference_id=None)]}, "$.segmentations[0]"),
        ({"annotations": [], "update": "yes"}, "$.update"),
    ],
)
def test_a_wrong_annotation_is_refused_where_it_stands(api: Api, body: object, place: str) -> None:
    answer = api.call("POST", f"dataset/{new_dataset(api, 'a.jpg')}/annotate", body)
    assert (answer.status, place in answer.json["error"]) == (400, True), answer


def test_of_refused_annotations_nothing_is_stored(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.call("POST", f"dataset/{dataset}/annotate", {"annotations": [box(), box(confidence=2)]})
    assert by_type(api, dataset)["box"] == []


def test_annotations_go_into_a_dataset_that_is_there(api: Api) -> None:
    assert api.status("POST", "dataset/ds_0/annotate", {"annotations": [box()]}) == 404


# Annotate, with mask files


def test_mask_files_are_counted(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    parts = [serialized(mask("a.jpg"), mask("b.jpg")), mask_of(mask_bytes(1)), mask_of(mask_bytes(2))]
    made = anywhere.ok("POST", f"dataset/{dataset}/annotate", *multipart(*parts))
    assert made == {"dataset_id": dataset, "annotations_processed": 2, "annotations_ignored": 0}


def test_mask_files_belong_to_masks_by_position(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    parts = [serialized(mask("a.jpg"), mask("b.jpg")), mask_of(mask_bytes(1)), mask_of(mask_bytes(2))]
    anywhere.ok("POST", f"dataset/{dataset}/annotate", *multipart(*parts))
    url = urlsplit(by_type(anywhere, dataset, "b.jpg")["segmentation"][0]["mask_url"])
    assert anywhere.send("GET", url.path, None, {}).content == mask_bytes(2)


@pytest.mark.parametrize(("update", "value"), [(False, 1), (True, 2)])
def test_mask_files_heed_update(api: Api, update: bool, value: int) -> None:
    dataset = new_dataset(api, "a.jpg")
    for content in (mask_bytes(1), mask_bytes(2)):
        parts = [serialized(mask(), update=update), mask_of(content)]
        api.ok("POST", f"dataset/{dataset}/annotate", *multipart(*parts))
    url = urlsplit(by_type(api, dataset)["segmentation"][0]["mask_url"])
    assert api.send("GET", url.path, None, {}).content == mask_bytes(value)


def test_a_mask_file_of_an_unknown_item_is_named_among_the_errors(api: Api) -> None:
    dataset = new_dataset(api)
    parts = [serialized(mask("nobody.jpg")), mask_of(mask_bytes())]
    (error,) = api.ok("POST", f"dataset/{dataset}/annotate", *multipart(*parts))["errors"]
    assert "nobody.jpg" in error


def test_mask_files_may_be_predictions(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset)
    parts = [serialized(mask()), mask_of(mask_bytes())]
    made = api.ok("POST", f"modelRun/{run}/predict", *multipart(*parts))
    assert (made["predictions_processed"], made["predictions_ignored"]) == (1, 0)


@pytest.mark.parametrize(
    "parts",
    [
        [serialized(mask()), mask_of(mask_bytes()), mask_of(mask_bytes())],
        [serialized(mask())],
        [mask_of(mask_bytes())],
        [serialized(mask()), mask_of(b"")],
        [Part("serialized_request", None, "application/json", b"{"), mask_of(mask_bytes())],
    ],
)
def test_mask_files_without_their_masks_are_refused(api: Api, parts: list[Part]) -> None:
    content, headers = multipart(*parts)
    assert api.status("POST", f"dataset/{new_dataset(api, 'a.jpg')}/annotate", content, headers) == 400


# Annotate, by signed upload


def test_a_signed_annotate_is_a_job(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    job = consume(anywhere, f"dataset/{dataset}/annotate", upload(anywhere, dataset, box(), mask()))
    assert (set(job), job["job_type"]) == (JOB, "uploadAnnotations")


def test_a_signed_annotate_stores_annotations(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    finished(anywhere, consume(anywhere, f"dataset/{dataset}/annotate", upload(anywhere, dataset, box(), mask())))
    found = by_type(anywhere, dataset)
    assert (len(found["box"]), len(found["segmentation"])) == (1, 1)


def test_a_signed_annotate_counts_in_its_message(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id="1")]})
    rows = [box(annotation_id="1"), box(annotation_id="2"), box("nobody.jpg")]
    status = finished(anywhere, consume(anywhere, f"dataset/{dataset}/annotate", upload(anywhere, dataset, *rows)))
    counts = status["message"]["annotation_upload"]
    assert {**counts, "datasetId": ""} == {"total": 3, "processed": 1, "ignored": 1, "errored": 1, "datasetId": ""}


def test_a_signed_annotate_names_its_dataset_in_its_message(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    status = finished(api, consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, box())))
    assert status["message"]["annotation_upload"].get("datasetId") == dataset


def test_a_signed_annotate_of_an_unknown_item_is_completed(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    job = consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, box("nobody.jpg")))
    assert finished(api, job)["status"] == "Completed"


def test_a_signed_annotate_of_an_unknown_item_names_it_among_the_errors(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    job = consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, box("nobody.jpg")))
    (error,) = api.get(f"job/{job['job_id']}/errors")
    assert "nobody.jpg" in error


@pytest.mark.parametrize(("update", "label"), [(False, "car"), (True, "van")])
def test_a_signed_annotate_heeds_update(api: Api, update: bool, label: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id="1")]})
    request_id = upload(api, dataset, box(annotation_id="1", label="van"))
    finished(api, consume(api, f"dataset/{dataset}/annotate", request_id, update=update))
    assert by_type(api, dataset)["box"][0]["label"] == label


def test_a_signed_annotate_keeps_every_repeat(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    finished(api, consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, *[box()] * 5_001)))
    assert len(by_type(api, dataset)["box"]) == 5_001


def test_a_signed_annotate_of_repeats_sent_again_is_ignored(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    for _ in range(2):
        job = consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, *[box()] * 3))
        counts = finished(api, job)["message"]["annotation_upload"]
    assert (counts["processed"], counts["ignored"]) == (0, 3)


def test_ids_agree_between_a_body_and_a_signed_upload(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(), box(), category("rain", None)]})
    job = consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, box(), box(), category("rain", None)))
    assert finished(api, job)["message"]["annotation_upload"]["ignored"] == 3


# Deleting ground truth


def test_the_deletion_of_annotations_is_a_job(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box(), shape("line"), box("b.jpg")]})
    job = anywhere.delete(f"annotation/{dataset}", {"keep_history": True, "reference_ids": ["a.jpg", "no", "a.jpg"]})
    assert (set(job), job["job_type"]) == (JOB, "annotationDeletion")
    assert finished(anywhere, job)["message"] == {"annotations_deleted": 2}
    assert anywhere.get(f"job/{job['job_id']}/errors") == ["Item with id no doesn't exist."]
    assert not any(by_type(anywhere, dataset, "a.jpg").values())
    assert len(by_type(anywhere, dataset, "b.jpg")["box"]) == 1


def test_the_deletion_of_annotations_leaves_predictions_and_other_datasets_alone(api: Api) -> None:
    dataset, other = new_dataset(api, "a.jpg"), new_dataset(api, "a.jpg")
    for name in (dataset, other):
        api.post(f"dataset/{name}/annotate", {"annotations": [box()]})
    run = new_run(api, dataset, box())
    api.delete(f"annotation/{dataset}", {"reference_ids": ["a.jpg"]})
    assert len(api.get(f"modelRun/{run}/ungrouped")["box"]) == len(by_type(api, other)["box"]) == 1


def test_a_deleted_mask_takes_its_file_along(empty: Api, nucleus: EmbeddedNucleus) -> None:
    dataset = new_dataset(empty, "a.jpg")
    empty.ok("POST", f"dataset/{dataset}/annotate", *multipart(serialized(mask()), mask_of(mask_bytes())))
    assert [path for path in nucleus.masks.folder.rglob("*") if path.is_file()]
    empty.delete(f"annotation/{dataset}", {"reference_ids": ["a.jpg"]})
    assert not [path for path in nucleus.masks.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("body", [{}, {"reference_ids": []}, {"reference_ids": "a.jpg"}])
def test_a_deletion_of_annotations_names_its_items(api: Api, body: object) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})
    assert api.status("DELETE", f"annotation/{dataset}", body) == 400
    assert len(by_type(api, dataset)["box"]) == 1


# Jobs


def new_job(api: Api, *rows: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    dataset = new_dataset(api)
    return dataset, consume(api, f"dataset/{dataset}/append", upload(api, dataset, *(rows or [item("a.jpg")])))


def test_the_status_of_a_job_has_what_clients_read(anywhere: Api) -> None:
    _, job = new_job(anywhere)
    status = anywhere.get(f"job/{job['job_id']}")
    keys = {"job_id", "status", "message", "job_progress", "completed_steps", "total_steps"}
    assert (set(status), status["status"], status["job_progress"]) == (keys, "Completed", "1.00")


def test_the_steps_of_a_completed_job_are_done(api: Api) -> None:
    _, job = new_job(api)
    status = api.get(f"job/{job['job_id']}")
    assert status["completed_steps"] == status["total_steps"] >= 1


def test_a_job_without_errors_has_an_empty_list(anywhere: Api) -> None:
    _, job = new_job(anywhere)
    assert anywhere.get(f"job/{job['job_id']}/errors") == []


def test_the_errors_of_a_job_are_text(api: Api) -> None:
    _, job = new_job(api, {"reference_id": "nowhere"}, {"image_url": "https://example.org/a.jpg"})
    assert [type(error) for error in api.get(f"job/{job['job_id']}/errors")] == [str, str]


def test_the_info_of_a_job_is_what_started_it(anywhere: Api) -> None:
    _, job = new_job(anywhere)
    assert anywhere.get(f"job/{job['job_id']}/info") == job


def test_job_ids_begin_with_job(api: Api) -> None:
    assert new_job(api)[1]["job_id"].startswith("job_")


@pytest.mark.parametrize("route", ["job/job_0", "job/job_0/errors", "job/job_0/info", "job/nobody"])
def test_a_job_that_is_not_there(api: Api, route: str) -> None:
    assert api.status("GET", route) == 404


def jobs_request(**fields: Any) -> dict[str, Any]:
    nothing = {"dataset_id": None, "job_types": None, "from_date": None, "to_date": None}
    return {**nothing, "limit": 50000, "show_completed": True, **fields}


@pytest.mark.parametrize("route", ["jobs/", "jobs"])
def test_jobs_are_listed(empty: Api, route: str) -> None:
    job = new_job(empty)[1]
    assert empty.post(route, jobs_request()) == [job]


def test_jobs_are_listed_by_dataset(api: Api) -> None:
    (dataset, job), _ = new_job(api), new_job(api)
    assert api.post("jobs/", jobs_request(dataset_id=dataset)) == [job]


def test_jobs_are_listed_by_type(empty: Api) -> None:
    dataset, _ = new_job(empty)
    job = consume(empty, f"dataset/{dataset}/annotate", upload(empty, dataset, box()))
    assert empty.post("jobs/", jobs_request(job_types=["uploadAnnotations"])) == [job]


def test_an_empty_list_of_types_lists_every_job(empty: Api) -> None:
    job = new_job(empty)[1]
    assert empty.post("jobs/", jobs_request(job_types=[])) == [job]


@pytest.mark.parametrize(
    ("dates", "count"),
    [
        ({"from_date": "2020-01-01"}, 1),
        ({"from_date": "2099-01-01"}, 0),
        ({"to_date": "2020-01-01"}, 0),
        ({"to_date": "2099-01-01"}, 1),
        ({"from_date": "2020-01-01", "to_date": "2099-01-01"}, 1),
    ],
)
def test_jobs_are_listed_by_date(empty: Api, dates: dict[str, str], count: int) -> None:
    new_job(empty)
    assert len(empty.post("jobs/", jobs_request(**dates))) == count


def test_jobs_are_listed_up_to_a_limit(api: Api) -> None:
    for _ in range(3):
        new_job(api)
    assert len(api.post("jobs/", jobs_request(limit=2))) == 2


def test_completed_jobs_may_be_left_out(empty: Api) -> None:
    new_job(empty)
    assert empty.post("jobs/", jobs_request(show_completed=False)) == []


@pytest.mark.parametrize("limit", [-1, "all", 2**63, 2**80])
def test_a_limit_that_is_none_is_refused(api: Api, limit: object) -> None:
    assert api.status("POST", "jobs/", jobs_request(limit=limit)) == 400


# Models


def test_adding_a_model_answers_with_its_id(anywhere: Api) -> None:
    made = anywhere.post("models/add", {"name": "YOLO", "reference_id": fresh("yolo"), "metadata": {}})
    assert (list(made), made["model_id"][:4]) == (["model_id"], "prj_")


def test_the_seeds_model_needs_no_metadata(empty: Api) -> None:
    assert empty.post("models/add", {"name": "YOLO", "reference_id": "yolo"})["model_id"]


@pytest.mark.parametrize("metadata", [{}, {"epochs": 5}])
def test_a_model_added_again_is_the_same(anywhere: Api, metadata: dict[str, Any]) -> None:
    body = {"name": "YOLO", "reference_id": fresh("yolo"), "metadata": metadata}
    assert anywhere.post("models/add", body) == anywhere.post("models/add", body)


@pytest.mark.parametrize("change", [{"name": "other"}, {"metadata": {"epochs": 6}}, {"bundle_name": "b"}])
def test_another_model_of_the_same_reference_id_is_a_conflict(empty: Api, change: dict[str, Any]) -> None:
    body = {"name": "YOLO", "reference_id": "yolo", "metadata": {"epochs": 5}}
    empty.post("models/add", body)
    assert empty.status("POST", "models/add", {**body, **change}) == 409


@pytest.mark.parametrize("body", [{}, {"name": "YOLO"}, {"reference_id": "yolo"}, {"name": 1, "reference_id": "yolo"}])
def test_a_model_without_its_names_is_refused(api: Api, body: object) -> None:
    assert api.status("POST", "models/add", body) == 400


@pytest.mark.parametrize("route", ["models/", "models"])
def test_models_are_listed(empty: Api, route: str) -> None:
    ids = [new_model(empty) for _ in range(2)]
    assert [row["id"] for row in empty.get(route)["models"]] == ids


def test_no_models_are_an_empty_list(empty: Api) -> None:
    assert empty.get("models/") == {"models": []}


def test_a_model_has_what_clients_read(empty: Api) -> None:
    model = empty.post("models/add", {"name": "YOLO", "reference_id": "yolo", "metadata": {"epochs": 5}})["model_id"]
    found = empty.get(f"model/{model}")
    assert {name: found[name] for name in ("id", "name", "ref_id", "metadata")} == {
        "id": model,
        "name": "YOLO",
        "ref_id": "yolo",
        "metadata": {"epochs": 5},
    }


def test_a_listed_model_is_the_model(empty: Api) -> None:
    model = new_model(empty)
    assert empty.get("models/")["models"] == [empty.get(f"model/{model}")]


def test_metadata_is_a_key_of_every_model(empty: Api) -> None:
    model = empty.post("models/add", {"name": "YOLO", "reference_id": "yolo"})["model_id"]
    assert "metadata" in empty.get(f"model/{model}")


def test_a_model_is_found_by_the_id_of_a_run(empty: Api) -> None:
    run = new_run(empty, new_dataset(empty))
    assert empty.get(f"model/{run}") == empty.get("models/")["models"][0]


@pytest.mark.parametrize("name", ["prj_0", "run_0", "yolo"])
def test_a_model_that_is_not_there(api: Api, name: str) -> None:
    assert api.status("GET", f"model/{name}") == 404


def test_deleting_a_model_answers_with_a_message(anywhere: Api) -> None:
    assert "msg" in anywhere.delete(f"model/{new_model(anywhere)}")


def test_a_deleted_model_is_gone(api: Api) -> None:
    model = new_model(api)
    api.delete(f"model/{model}")
    assert api.status("GET", f"model/{model}") == 404


def test_a_deleted_model_takes_its_runs_along(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"), box())
    api.delete(f"model/{api.get(f'model/{run}')['id']}")
    assert api.status("GET", f"modelRun/{run}/info") == 404


def test_a_deleted_models_reference_id_is_free(empty: Api) -> None:
    empty.delete(f"model/{new_model(empty, reference_id='yolo')}")
    assert empty.post("models/add", {"name": "another", "reference_id": "yolo"})["model_id"]


LISTS = [("tag", "tags"), ("trainedSliceId", "trained_slice_ids")]


@pytest.mark.parametrize(("route", "name"), LISTS)
def test_a_models_lists_are_given_at_the_start(api: Api, route: str, name: str) -> None:
    model = new_model(api, **{name: ["a", "b"]})
    assert api.get(f"model/{model}")[name] == ["a", "b"]


@pytest.mark.parametrize(("route", "name"), LISTS)
def test_a_models_lists_grow(anywhere: Api, route: str, name: str) -> None:
    model = new_model(anywhere, **{name: ["a"]})
    anywhere.post(f"model/{model}/{route}", {name: ["b", "a"]})
    assert anywhere.get(f"model/{model}")[name] == ["a", "b"]


@pytest.mark.parametrize(("route", "name"), LISTS)
def test_a_models_lists_shrink(anywhere: Api, route: str, name: str) -> None:
    model = new_model(anywhere, **{name: ["a", "b"]})
    anywhere.delete(f"model/{model}/{route}", {name: ["a"]})
    assert anywhere.get(f"model/{model}")[name] == ["b"]


@pytest.mark.parametrize(("route", "name"), LISTS)
def test_what_a_models_list_does_not_hold_cannot_be_removed(anywhere: Api, route: str, name: str) -> None:
    model = new_model(anywhere, **{name: ["a"]})
    assert anywhere.status("DELETE", f"model/{model}/{route}", {name: ["a", "nothing"]}) == 400


@pytest.mark.parametrize(("route", "name"), LISTS)
def test_of_a_refused_removal_nothing_happens(api: Api, route: str, name: str) -> None:
    model = new_model(api, **{name: ["a"]})
    api.call("DELETE", f"model/{model}/{route}", {name: ["a", "nothing"]})
    assert api.get(f"model/{model}")[name] == ["a"]


# Runs


@pytest.mark.parametrize("key", ["reference_id", "model_id"])
def test_a_run_names_its_model_either_way(anywhere: Api, key: str) -> None:
    dataset, reference_id = new_dataset(anywhere), fresh("yolo")
    model = new_model(anywhere, reference_id=reference_id)
    locator = {"reference_id": reference_id, "model_id": model}[key]
    assert anywhere.post(f"dataset/{dataset}/modelRun/create", {key: locator})["model_id"] == model


def test_creating_a_run_answers_with_two_ids(api: Api) -> None:
    made = api.post(f"dataset/{new_dataset(api)}/modelRun/create", {"model_id": new_model(api)})
    assert (set(made), made["model_run_id"][:4]) == ({"model_id", "model_run_id"}, "run_")


def test_creating_a_run_takes_the_nulls_of_the_current_client(empty: Api) -> None:
    new_model(empty, reference_id="yolo")
    body = {"name": None, "reference_id": "yolo", "metadata": None, "annotation_metadata_schema": None}
    assert empty.post(f"dataset/{new_dataset(empty)}/modelRun/create", body)["model_run_id"]


def test_a_run_without_a_model_is_one_of_the_only_model(empty: Api) -> None:
    model = new_model(empty)
    body = {"name": "run", "reference_id": None, "metadata": None, "annotation_metadata_schema": None}
    assert empty.post(f"dataset/{new_dataset(empty)}/modelRun/create", body)["model_id"] == model


@pytest.mark.parametrize("count", [0, 2])
def test_a_run_without_a_model_is_refused(empty: Api, count: int) -> None:
    for _ in range(count):
        new_model(empty)
    assert empty.status("POST", f"dataset/{new_dataset(empty)}/modelRun/create", {"name": "run"}) == 400


def test_a_run_of_two_models_is_refused(api: Api) -> None:
    body = {"model_id": new_model(api), "reference_id": "other"}
    assert api.status("POST", f"dataset/{new_dataset(api)}/modelRun/create", body) == 400


@pytest.mark.parametrize("body", [{"model_id": "prj_0"}, {"reference_id": "nobody"}])
def test_a_run_of_a_model_that_is_not_there(api: Api, body: object) -> None:
    assert api.status("POST", f"dataset/{new_dataset(api)}/modelRun/create", body) == 404


def test_a_run_describes_itself(anywhere: Api) -> None:
    dataset, model = new_dataset(anywhere), new_model(anywhere)
    body = {"model_id": model, "name": "night", "metadata": {"k": 1}}
    run = anywhere.post(f"dataset/{dataset}/modelRun/create", body)["model_run_id"]
    info = anywhere.get(f"modelRun/{run}/info")
    assert (set(info), info["model_id"], info["name"], info["metadata"]) == (
        {"model_id", "name", "status", "metadata"},
        model,
        "night",
        {"k": 1},
    )


@pytest.mark.parametrize("route", ["info", "refloc/a.jpg", "iloc/0", "loc/di_0", "prediction/loc/a.jpg/1", "ungrouped"])
def test_a_run_that_is_not_there(api: Api, route: str) -> None:
    assert api.status("GET", f"modelRun/run_0/{route}") == 404


@pytest.mark.parametrize("route", ["predict", "uploadPredictions"])
def test_predictions_are_counted(anywhere: Api, route: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    run = new_run(anywhere, dataset)
    predictions = [box("a.jpg", confidence=0.5), box("b.jpg", confidence=0.25)]
    made = anywhere.post(f"modelRun/{run}/{route}", {"annotations": predictions, "update": False})
    made.pop("annotations_processed", None)  # may be told besides
    assert made == {
        "dataset_id": dataset,
        "model_run_id": run,
        "predictions_processed": 2,
        "predictions_ignored": 0,
    }


def test_the_seeds_predictions_need_neither_id_nor_update(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    assert api.post(f"modelRun/{run}/predict", {"annotations": [box(confidence=0.5)]})["predictions_processed"] == 1


def test_predictions_without_id_sent_again_are_ignored(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    body = {"annotations": [box(confidence=0.5), box(confidence=0.5), box(confidence=0.25)]}
    api.post(f"modelRun/{run}/predict", body)
    again = api.post(f"modelRun/{run}/predict", body)
    assert (again["predictions_processed"], again["predictions_ignored"]) == (0, 3)


@pytest.mark.parametrize(("update", "confidence"), [(False, 0.5), (True, 0.75)])
def test_predictions_heed_update(api: Api, update: bool, confidence: float) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    for value in (0.5, 0.75):
        body = {"annotations": [box(annotation_id="1", confidence=value)], "update": update}
        api.post(f"modelRun/{run}/predict", body)
    assert api.get(f"modelRun/{run}/ungrouped")["box"][0]["confidence"] == confidence


def test_a_prediction_of_an_unknown_item_is_named_among_the_errors(anywhere: Api) -> None:
    run = new_run(anywhere, new_dataset(anywhere, "a.jpg"))
    made = anywhere.post(f"modelRun/{run}/predict", {"annotations": [box("nobody.jpg"), box()]})
    assert (made["predictions_processed"], len(made["errors"]), "nobody.jpg" in made["errors"][0]) == (1, 1, True)


def test_predictions_name_their_item_by_item_id_too(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset)
    one = box(item_id=api.get(f"dataset/{dataset}/iloc/0")["item"]["id"])
    del one["reference_id"]
    api.post(f"modelRun/{run}/predict", {"annotations": [one]})
    assert api.get(f"modelRun/{run}/refloc/a.jpg")["annotations"]["box"][0]["reference_id"] == "a.jpg"


def test_a_prediction_of_several_categories_is_refused(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    assert api.status("POST", f"modelRun/{run}/predict", {"annotations": [shape("multicategory")]}) == 400


@pytest.mark.parametrize("by", ["refloc", "iloc", "loc"])
def test_predictions_of_an_item_have_the_seven_types(anywhere: Api, by: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    run = new_run(anywhere, dataset)
    key = {"refloc": "a.jpg", "iloc": "0", "loc": anywhere.get(f"dataset/{dataset}/iloc/0")["item"]["id"]}[by]
    assert anywhere.get(f"modelRun/{run}/{by}/{key}") == {"annotations": {kind: [] for kind in PREDICTION_KEYS}}


@pytest.mark.parametrize("by", ["refloc", "iloc", "loc"])
def test_predictions_of_an_item_are_those_of_the_item(api: Api, by: str) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    run = new_run(api, dataset, box("a.jpg"), box("b.jpg"))
    key = {"refloc": "b.jpg", "iloc": "1", "loc": api.get(f"dataset/{dataset}/iloc/1")["item"]["id"]}[by]
    found = api.get(f"modelRun/{run}/{by}/{key}")["annotations"]["box"]
    assert [one["reference_id"] for one in found] == ["b.jpg"]


def test_predictions_are_no_ground_truth(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    new_run(api, dataset, box())
    assert by_type(api, dataset)["box"] == []


def test_predictions_of_two_runs_are_apart(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    new_run(api, dataset, box())
    assert api.get(f"modelRun/{new_run(api, dataset)}/ungrouped")["box"] == []


@pytest.mark.parametrize("kind", [*GEOMETRIES, "mask"])
def test_every_type_of_prediction_is_read_back(api: Api, kind: str) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"), shape(kind, confidence=0.5))
    found = api.get(f"modelRun/{run}/refloc/a.jpg")["annotations"]["segmentation" if kind == "mask" else kind]
    assert [(one["type"], one["confidence"], one["id"][:5]) for one in found] == [(kind, 0.5, "pred_")]


def test_the_distribution_of_a_prediction_is_read_back(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"), box(confidence=0.5, class_pdf={"car": 0.5, "van": 0.5}))
    assert api.get(f"modelRun/{run}/ungrouped")["box"][0]["class_pdf"] == {"car": 0.5, "van": 0.5}


def test_one_prediction_is_found_by_its_names(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    run = new_run(anywhere, dataset, box(annotation_id="1"), box(annotation_id="2"))
    found = anywhere.get(f"modelRun/{run}/prediction/loc/a.jpg/2")
    assert (found["type"], found["annotation_id"]) == ("box", "2")


@pytest.mark.parametrize("route", ["refloc/nobody", "iloc/1", "iloc/-1", "loc/di_0", "prediction/loc/a.jpg/nobody"])
def test_predictions_that_are_not_there(api: Api, route: str) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"), box())
    assert api.status("GET", f"modelRun/{run}/{route}") == 404


def test_all_predictions_of_a_run_come_bare(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    run = new_run(anywhere, dataset, box("a.jpg"), box("b.jpg"))
    found = anywhere.get(f"modelRun/{run}/ungrouped")
    assert (set(found), [one["reference_id"] for one in found["box"]]) == (PREDICTION_KEYS, ["a.jpg", "b.jpg"])


def test_deleting_a_run(anywhere: Api) -> None:
    run = new_run(anywhere, new_dataset(anywhere, "a.jpg"), box())
    anywhere.delete(f"modelRun/{run}")
    assert anywhere.status("GET", f"modelRun/{run}/info") == 404


def test_a_deleted_run_is_not_listed(api: Api) -> None:
    dataset = new_dataset(api)
    api.delete(f"modelRun/{new_run(api, dataset)}")
    assert api.get(f"dataset/{dataset}/model_runs") == []


@pytest.mark.parametrize("route", ["predict", "uploadPredictions"])
def test_signed_predictions_are_a_job(anywhere: Api, route: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    run = new_run(anywhere, dataset)
    job = consume(anywhere, f"modelRun/{run}/{route}", upload(anywhere, dataset, box(confidence=0.5)))
    assert (set(job), job["job_type"]) == (JOB, "uploadPredictions")


def test_signed_predictions_are_stored(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    run = new_run(anywhere, dataset)
    finished(anywhere, consume(anywhere, f"modelRun/{run}/predict", upload(anywhere, dataset, box(confidence=0.5))))
    assert len(anywhere.get(f"modelRun/{run}/ungrouped")["box"]) == 1


# Runs under a model, and merged runs


def test_a_run_under_a_model_has_no_dataset(anywhere: Api) -> None:
    model = new_model(anywhere)
    made = anywhere.post(f"model/{model}/modelRun/create", {"name": "free", "reference_id": None, "metadata": {}})
    assert made["model_run_id"].startswith("run_")


def test_a_run_under_a_model_takes_predictions_of_any_dataset(api: Api) -> None:
    one, two = new_dataset(api, "a.jpg"), new_dataset(api, "a.jpg")
    run = api.post(f"model/{new_model(api)}/modelRun/create", {"name": "free"})["model_run_id"]
    body = {"annotations": [box(dataset_id=one), box(dataset_id=two)], "update": False}
    assert api.post(f"modelRun/{run}/uploadPredictions", body)["predictions_processed"] == 2


def test_a_run_under_a_model_takes_predictions_by_item_id(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = api.post(f"model/{new_model(api)}/modelRun/create", {"name": "free"})["model_run_id"]
    one = box(reference_id=None, item_id=api.get(f"dataset/{dataset}/iloc/0")["item"]["id"])
    api.post(f"modelRun/{run}/uploadPredictions", {"annotations": [one]})
    assert [found["reference_id"] for found in api.get(f"modelRun/{run}/ungrouped")["box"]] == ["a.jpg"]


@pytest.mark.parametrize("query", ["", "?family=true"])
def test_the_runs_of_a_model_are_a_list_of_ids(api: Api, query: str) -> None:
    model = new_model(api)
    runs = [api.post(f"model/{model}/modelRun/create", {"name": name})["model_run_id"] for name in ("a", "b")]
    assert api.get(f"model/{model}/modelRun{query}") == runs


def new_merge(api: Api, dataset: str) -> tuple[list[str], dict[str, Any]]:
    model = new_model(api)
    runs = []
    for name in ("1", "2"):
        run = api.post(f"dataset/{dataset}/modelRun/create", {"model_id": model})["model_run_id"]
        api.post(f"modelRun/{run}/predict", {"annotations": [box(annotation_id=name)]})
        runs.append(run)
    return runs, api.post("modelRun/merge", {"model_run_ids": runs, "name": "merged", "metadata": {}})


def test_a_merge_answers_with_what_clients_read(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    _, merged = new_merge(anywhere, dataset)
    assert (set(merged), merged["dataset_ids"]) == ({"model_run_id", "dataset_ids", "job_id"}, [dataset])


def test_the_job_of_a_merge_can_be_looked_up(api: Api) -> None:
    _, merged = new_merge(api, new_dataset(api, "a.jpg"))
    assert set(api.get(f"job/{merged['job_id']}/info")) == JOB


def test_a_merge_holds_the_predictions_of_all_runs(api: Api) -> None:
    _, merged = new_merge(api, new_dataset(api, "a.jpg"))
    found = api.get(f"modelRun/{merged['model_run_id']}/ungrouped")["box"]
    assert [one["annotation_id"] for one in found] == ["1", "2"]


def test_a_merge_leaves_its_runs_alone(api: Api) -> None:
    runs, _ = new_merge(api, new_dataset(api, "a.jpg"))
    assert [len(api.get(f"modelRun/{run}/ungrouped")["box"]) for run in runs] == [1, 1]


@pytest.mark.parametrize("count", [0, 1])
def test_a_merge_takes_two_runs(api: Api, count: int) -> None:
    runs = [new_run(api, new_dataset(api)) for _ in range(count)]
    assert api.status("POST", "modelRun/merge", {"model_run_ids": runs}) == 400


def test_a_merge_takes_each_run_once(api: Api) -> None:
    run = new_run(api, new_dataset(api))
    assert api.status("POST", "modelRun/merge", {"model_run_ids": [run, run]}) == 400


# Commit


def committed(api: Api, *predictions: dict[str, Any]) -> str:
    run = new_run(api, new_dataset(api, "a.jpg"), *predictions)
    api.post(f"modelRun/{run}/commit", {})
    return run


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"class_agnostic": True},
        {"class_agnostic": False},
        {
            "class_agnostic": False,
            "allowed_label_matches": [{"ground_truth_label": "car", "model_prediction_label": "van"}],
        },
        {"class_agnostic": None, "allowed_label_matches": None},
    ],
)
def test_commit_answers_with_the_run(anywhere: Api, body: dict[str, Any]) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})
    run = new_run(anywhere, dataset, box(confidence=0.5))
    assert anywhere.post(f"modelRun/{run}/commit", body) == {"model_run_id": run}


def test_commit_takes_no_body_at_all(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    assert api.ok("POST", f"modelRun/{run}/commit")["model_run_id"] == run


def test_commit_of_an_empty_run(api: Api) -> None:
    assert committed(api)


def test_commit_shows_in_the_status(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"), box())
    before = api.get(f"modelRun/{run}/info")["status"]
    api.post(f"modelRun/{run}/commit", {})
    assert api.get(f"modelRun/{run}/info")["status"] != before


@pytest.mark.parametrize(
    "body", [{"allowed_label_matches": [{"ground_truth_label": "car"}]}, {"class_agnostic": "no"}, []]
)
def test_a_wrong_commit_is_refused(api: Api, body: object) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    assert api.status("POST", f"modelRun/{run}/commit", body) == 400


@pytest.mark.parametrize(
    "body",
    [
        {"annotations": [box(annotation_id="2")], "update": False},
        {"annotations": [box(annotation_id="1", confidence=0.25)], "update": True},
        {"annotations": [box(annotation_id="1", confidence=0.5, metadata={"k": 1})], "update": True},
        {"annotations": [box(annotation_id="1", confidence=0.5), box(annotation_id="2")], "update": True},
        {"segmentations": [mask()]},
    ],
)
def test_a_committed_run_refuses_a_change(anywhere: Api, body: dict[str, Any]) -> None:
    run = committed(anywhere, box(annotation_id="1", confidence=0.5))
    assert anywhere.status("POST", f"modelRun/{run}/predict", body) == 409


def test_of_a_refused_change_nothing_is_stored(api: Api) -> None:
    run = committed(api, box(annotation_id="1", confidence=0.5))
    before = api.get(f"modelRun/{run}/ungrouped")
    body = {"annotations": [box(annotation_id="1", confidence=0.25), box(annotation_id="2")], "update": True}
    api.call("POST", f"modelRun/{run}/predict", body)
    assert api.get(f"modelRun/{run}/ungrouped") == before


@pytest.mark.parametrize("update", [False, True])
def test_a_committed_run_ignores_what_it_holds(anywhere: Api, update: bool) -> None:
    predictions = [box(annotation_id="1", confidence=0.5, metadata={"b": 1, "a": 2}), box(confidence=0.25)]
    run = committed(anywhere, *predictions)
    made = anywhere.post(f"modelRun/{run}/predict", {"annotations": predictions, "update": update})
    assert (made["predictions_processed"], made["predictions_ignored"]) == (0, 2)


@pytest.mark.parametrize("kind", [*GEOMETRIES, "mask"])
def test_a_committed_run_ignores_every_type_that_it_holds(api: Api, kind: str) -> None:
    run = committed(api, shape(kind, confidence=0.5))
    body = {"annotations": [shape(kind, confidence=0.5)], "update": True}
    assert api.post(f"modelRun/{run}/predict", body)["predictions_ignored"] == 1


@pytest.mark.parametrize(("value", "status"), [(1, 200), (2, 409)])
def test_a_committed_run_compares_mask_files(api: Api, value: int, status: int) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    parts = [serialized(mask(annotation_id="m"), update=True), mask_of(mask_bytes(1))]
    api.ok("POST", f"modelRun/{run}/predict", *multipart(*parts))
    api.post(f"modelRun/{run}/commit", {})
    again = [serialized(mask(annotation_id="m"), update=True), mask_of(mask_bytes(value))]
    assert api.status("POST", f"modelRun/{run}/predict", *multipart(*again)) == status


def test_a_committed_run_takes_an_unknown_item_for_an_error(api: Api) -> None:
    run = committed(api, box())
    made = api.post(f"modelRun/{run}/predict", {"annotations": [box("nobody.jpg")]})
    assert (made["predictions_processed"], len(made["errors"])) == (0, 1)


def test_a_signed_change_of_a_committed_run_is_refused_and_a_repeat_is_not(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset, box())
    api.post(f"modelRun/{run}/commit", {})
    change = {"requestId": upload(api, dataset, box(label="other")), "update": False}
    assert api.status("POST", f"modelRun/{run}/predict?async=1", change) == 409
    job = consume(api, f"modelRun/{run}/predict", upload(api, dataset, box()))
    assert finished(api, job)["message"]["prediction_upload"]["ignored"] == 1


def test_commit_again_works(anywhere: Api) -> None:
    run = committed(anywhere, box())
    assert anywhere.post(f"modelRun/{run}/commit", {"class_agnostic": False}) == {"model_run_id": run}


def test_a_committed_run_can_be_deleted(api: Api) -> None:
    run = committed(api, box())
    api.delete(f"modelRun/{run}")
    assert api.status("GET", f"modelRun/{run}/info") == 404


# Predictions by dataset and model


def by_model(api: Api, *reference_ids: str) -> tuple[str, str, str]:
    """Make a dataset and a model; the third is where the routes that name both begin."""
    dataset, model = new_dataset(api, *reference_ids), new_model(api)
    return dataset, model, f"dataset/{dataset}/model/{model}"


def predict_by_model(api: Api, place: str, *predictions: dict[str, Any], **fields: Any) -> str:
    """Send predictions that name no run, and give the run that they went to."""
    return str(api.post(f"{place}/uploadPredictions", {"annotations": predictions, **fields})["model_run_id"])


def test_predictions_by_model_are_counted(anywhere: Api) -> None:
    dataset, _, place = by_model(anywhere, "a.jpg")
    made = anywhere.post(f"{place}/uploadPredictions", {"annotations": [box(), box("nobody.jpg")], "update": False})
    assert made == {
        "dataset_id": dataset,
        "model_run_id": anywhere.get(f"dataset/{dataset}/model_runs")[0],
        "predictions_processed": 1,
        "predictions_ignored": 0,
        "errors": ["Item with id nobody.jpg doesn't exist."],
    }


def test_predictions_by_model_make_one_run_of_the_model(api: Api) -> None:
    dataset, model, place = by_model(api, "a.jpg")
    runs = {predict_by_model(api, place, box(annotation_id=str(n))) for n in range(3)}
    assert runs == set(api.get(f"dataset/{dataset}/model_runs")) == set(api.get(f"model/{model}/modelRun"))
    assert len(runs) == 1


def test_predictions_by_model_go_to_the_newest_open_run(api: Api) -> None:
    dataset, model, place = by_model(api, "a.jpg")
    runs = [api.post(f"dataset/{dataset}/modelRun/create", {"model_id": model})["model_run_id"] for _ in range(3)]
    api.post(f"modelRun/{runs[2]}/commit", {})
    assert predict_by_model(api, place, box()) == runs[1]


def test_predictions_by_model_do_not_go_to_runs_of_others(api: Api) -> None:
    dataset, model, place = by_model(api, "a.jpg")
    elsewhere = new_dataset(api, "a.jpg")
    others = [
        new_run(api, dataset),
        api.post(f"dataset/{elsewhere}/modelRun/create", {"model_id": model})["model_run_id"],
        api.post(f"model/{model}/modelRun/create", {})["model_run_id"],
    ]
    deleted = predict_by_model(api, place, box())
    api.delete(f"modelRun/{deleted}")
    assert predict_by_model(api, place, box()) not in [*others, deleted]


@pytest.mark.parametrize("update", [False, True])
def test_predictions_by_model_never_meet_a_committed_run(anywhere: Api, update: bool) -> None:
    _, _, place = by_model(anywhere, "a.jpg")
    first = predict_by_model(anywhere, place, box(annotation_id="1", confidence=0.5))
    anywhere.post(f"modelRun/{first}/commit", {})
    before = anywhere.get(f"modelRun/{first}/ungrouped")
    second = predict_by_model(anywhere, place, box(annotation_id="1", confidence=0.25), update=update)
    assert second != first
    assert anywhere.get(f"modelRun/{first}/ungrouped") == before
    assert anywhere.get(f"{place}/export")["box"][0]["confidence"] == 0.25


def test_signed_predictions_by_model_never_meet_a_committed_run(anywhere: Api) -> None:
    dataset, _, place = by_model(anywhere, "a.jpg")
    first = predict_by_model(anywhere, place, box(annotation_id="1"))
    anywhere.post(f"modelRun/{first}/commit", {})
    request_id = upload(anywhere, dataset, box(annotation_id="2"), box("nobody.jpg"))
    job = consume(anywhere, f"{place}/uploadPredictions", request_id)
    message = finished(anywhere, job)["message"]["prediction_upload"]
    assert (message["processed"], message["errored"]) == (1, 1)
    assert [one["annotation_id"] for one in anywhere.get(f"{place}/export")["box"]] == ["2"]
    assert len(anywhere.get(f"dataset/{dataset}/model_runs")) == 2


def test_a_signed_upload_by_model_consumed_again_makes_no_run(api: Api) -> None:
    dataset, _, place = by_model(api, "a.jpg")
    request_id = upload(api, dataset, box())
    job = consume(api, f"{place}/uploadPredictions", request_id)
    (run,) = api.get(f"dataset/{dataset}/model_runs")
    api.post(f"modelRun/{run}/commit", {})
    assert consume(api, f"{place}/uploadPredictions", request_id)["job_id"] == job["job_id"]
    assert api.get(f"dataset/{dataset}/model_runs") == [run]


def test_predictions_by_model_from_many_threads_make_one_run(served: OverSocket) -> None:
    dataset, _, place = by_model(served, "a.jpg")
    with ThreadPoolExecutor(8) as pool:
        runs = set(pool.map(lambda n: predict_by_model(served, place, box(annotation_id=str(n))), range(16)))
    assert served.get(f"dataset/{dataset}/model_runs") == list(runs)
    assert len(served.get(f"{place}/export")["box"]) == 16


def test_mask_files_by_model_are_stored(api: Api) -> None:
    _, _, place = by_model(api, "a.jpg")
    made = api.ok("POST", f"{place}/uploadPredictions", *multipart(serialized(mask()), mask_of(mask_bytes())))
    assert made["predictions_processed"] == 1
    assert len(api.get(f"{place}/export")["segmentation"]) == 1


@pytest.mark.parametrize(
    "body", [{"annotations": [{"type": "box"}]}, {"annotations": [box(annotation_id=1)]}, b"[", {"requestId": "none"}]
)
def test_refused_predictions_by_model_make_no_run(api: Api, body: object) -> None:
    dataset, _, place = by_model(api, "a.jpg")
    assert api.status("POST", f"{place}/uploadPredictions?async=1", body) == 400
    assert api.status("POST", f"{place}/uploadPredictions", *multipart(serialized(mask()))) == 400
    assert api.get(f"dataset/{dataset}/model_runs") == []


@pytest.mark.parametrize("where", ["iloc/0", "referenceId/a.jpg"])
def test_predictions_of_an_item_by_model_are_those_of_the_newest_run(anywhere: Api, where: str) -> None:
    dataset, model, place = by_model(anywhere, "a.jpg", "b.jpg")
    for label in ("older", "newer"):
        run = anywhere.post(f"dataset/{dataset}/modelRun/create", {"model_id": model})["model_run_id"]
        anywhere.post(f"modelRun/{run}/predict", {"annotations": [box(label=label), box("b.jpg")]})
    found = anywhere.ok("GET", f"{place}/{where}")["annotations"]
    assert set(found) == PREDICTION_KEYS
    assert [one["label"] for one in found["box"]] == ["newer"]


def test_all_predictions_by_model_come_bare(anywhere: Api) -> None:
    _, _, place = by_model(anywhere, "a.jpg", "b.jpg")
    predict_by_model(anywhere, place, box("b.jpg"), box("a.jpg"))
    found = anywhere.get(f"{place}/export")
    assert set(found) == PREDICTION_KEYS
    assert [one["reference_id"] for one in found["box"]] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("name", ["a/b.jpg", "a/b/", "loc/1", "ü 1"])
@pytest.mark.parametrize("annotation_id", ["1", "1/2", "loc/1/"])
def test_predictions_by_model_that_no_client_quotes_are_found(anywhere: Api, name: str, annotation_id: str) -> None:
    _, _, place = by_model(anywhere, name)
    predict_by_model(anywhere, place, box(name, annotation_id=annotation_id))
    unquoted = quote(name)
    assert len(anywhere.ok("GET", f"{place}/referenceId/{unquoted}")["annotations"]["box"]) == 1
    found = anywhere.ok("GET", f"{place}/loc/{unquoted}/{annotation_id}")
    assert (found["reference_id"], found["annotation_id"]) == (name, annotation_id)


def test_predictions_by_model_reach_into_a_run_that_spans_datasets(api: Api) -> None:
    dataset, model, place = by_model(api, "a.jpg")
    elsewhere = new_dataset(api, "a.jpg")
    run = api.post(f"model/{model}/modelRun/create", {})["model_run_id"]
    for number, name in enumerate((dataset, elsewhere)):
        api.post(f"dataset/{name}/modelRun/{run}/uploadPredictions", {"annotations": [box(label=str(number))]})
    assert [one["label"] for one in api.get(f"{place}/export")["box"]] == ["0"]
    assert [one["label"] for one in api.get(f"{place}/iloc/0")["annotations"]["box"]] == ["0"]
    assert len(api.get(f"modelRun/{run}/ungrouped")["box"]) == 2


@pytest.mark.parametrize("route", ["iloc/0", "referenceId/a.jpg", "loc/a.jpg/1", "export"])
def test_a_model_without_runs_on_a_dataset_has_no_predictions_there(api: Api, route: str) -> None:
    dataset, model, place = by_model(api, "a.jpg")
    elsewhere = new_dataset(api, "a.jpg")
    api.post(f"dataset/{elsewhere}/model/{model}/uploadPredictions", {"annotations": [box(annotation_id="1")]})
    free = api.post(f"model/{model}/modelRun/create", {})["model_run_id"]
    api.post(f"dataset/{elsewhere}/modelRun/{free}/uploadPredictions", {"annotations": [box(annotation_id="1")]})
    answer = api.call("GET", f"{place}/{route}")
    assert (answer.status, f"no run on the dataset '{dataset}'" in answer.json["error"]) == (404, True)


@pytest.mark.parametrize("place", ["dataset/{ds}/model/prj_none", "dataset/ds_none/model/{model}"])
@pytest.mark.parametrize("body", [{"annotations": []}, {"requestId": "none"}])
def test_predictions_go_to_a_dataset_and_a_model_that_are_there(api: Api, place: str, body: object) -> None:
    dataset, model, _ = by_model(api)
    assert api.status("POST", f"{fill(place, {'ds': dataset, 'model': model})}/uploadPredictions", body) == 404


def test_a_run_on_one_dataset_takes_no_predictions_of_another(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    elsewhere = new_dataset(api, "a.jpg")
    body = {"annotations": [box()]}
    assert api.status("POST", f"dataset/{elsewhere}/modelRun/{run}/uploadPredictions", body) == 400


def test_a_committed_run_refuses_a_change_that_names_the_dataset_too(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset, box(annotation_id="1"))
    api.post(f"modelRun/{run}/commit", {})
    route = f"dataset/{dataset}/modelRun/{run}/uploadPredictions"
    assert api.post(route, {"annotations": [box(annotation_id="1")]})["predictions_ignored"] == 1
    assert api.status("POST", route, {"annotations": [box(annotation_id="2")]}) == 409


# Ids that are hard to send

HOSTILE = [
    "a/b.jpg",
    "/first",
    "last/",
    "a//b",
    "refloc/iloc/0",
    "what?.jpg",
    "a#b",
    "100%",
    "a%2Fb",
    "%",
    "%zz",
    "a b c",
    " a ",
    "🚗🏽.jpg",
    "é",
    ".",
    "..",
    "../../etc/passwd",
    "./a",
    "a\\b",
    "quote\"s'",
    "a+b&c=d;e",
    "tab\tand\nnewline",
    "nul\x00",
    "\x7f\x1f",
    "'; DROP TABLE item; --",
    "*_%?[a]",
    "null",
    "0",
    "di_000000000000",
    "x" * 2000,
    "🚗" * 500,
    "\u202e\u200b\ufeff",
]
NAMES = [name if len(name) < 40 else f"{name[0]} {len(name)} times" for name in HOSTILE]
hostile = pytest.mark.parametrize("name", HOSTILE, ids=[ascii(name) for name in NAMES])


@hostile
def test_a_hostile_id_is_found_again(anywhere: Api, name: str) -> None:
    dataset = new_dataset(anywhere, name)
    assert anywhere.get(f"dataset/{dataset}/refloc/{quoted(name)}")["item"]["reference_id"] == name


@hostile
def test_a_hostile_id_is_annotated(api: Api, name: str) -> None:
    dataset = new_dataset(api, name)
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(name)]})
    assert [one["reference_id"] for one in by_type(api, dataset, name)["box"]] == [name]


@hostile
def test_a_hostile_id_is_predicted(api: Api, name: str) -> None:
    dataset = new_dataset(api, name)
    run = new_run(api, dataset, box(name))
    found = api.get(f"modelRun/{run}/refloc/{quoted(name)}")["annotations"]["box"]
    assert [one["reference_id"] for one in found] == [name]


@hostile
def test_a_hostile_id_is_deleted(anywhere: Api, name: str) -> None:
    dataset = new_dataset(anywhere, "kept.jpg", name)
    anywhere.delete(f"dataset/{dataset}/refloc/{quoted(name)}")
    left = anywhere.get(f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [one["reference_id"] for one in left] == ["kept.jpg"]


@hostile
def test_an_annotation_of_a_hostile_id_is_found(api: Api, name: str) -> None:
    dataset = new_dataset(api, "a.jpg", name)
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(name, annotation_id="1")]})
    assert api.get(f"dataset/{dataset}/groundTruth/loc/{quoted(name)}/1")["reference_id"] == name


@hostile
def test_an_annotation_with_a_hostile_id_is_found(anywhere: Api, name: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id=name)]})
    assert anywhere.get(f"dataset/{dataset}/groundTruth/loc/a.jpg/{quoted(name)}")["annotation_id"] == name


@hostile
def test_a_prediction_with_a_hostile_id_is_found(api: Api, name: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset, box(annotation_id=name))
    assert api.get(f"modelRun/{run}/prediction/loc/a.jpg/{quoted(name)}")["annotation_id"] == name


@hostile
def test_a_hostile_reference_id_of_a_model(api: Api, name: str) -> None:
    new_model(api, reference_id=name)
    assert api.post(f"dataset/{new_dataset(api)}/modelRun/create", {"reference_id": name})["model_run_id"]


@pytest.mark.parametrize("name", ["a/b.jpg", "a/b/c/d.jpg", "a//b", "last/", "a:b", "a;b", "a+b", "a%2Fb"])
def test_ids_that_the_seed_does_not_quote_are_found(anywhere: Api, name: str) -> None:
    dataset = new_dataset(anywhere, name)
    sent = name.replace("%", "%25")
    assert anywhere.get(f"dataset/{dataset}/refloc/{sent}")["item"]["reference_id"] == name


@pytest.mark.parametrize("name", ["a/b.jpg", "a/b/c/d.jpg"])
@pytest.mark.parametrize("annotation_id", ["1", "1/2", "car-1-2-3-4-a/b.jpg"])
def test_annotations_that_no_client_quotes_are_found(anywhere: Api, name: str, annotation_id: str) -> None:
    dataset = new_dataset(anywhere, name)
    run = new_run(anywhere, dataset, box(name, annotation_id=annotation_id))
    found = anywhere.get(f"modelRun/{run}/prediction/loc/{name}/{annotation_id}")
    assert (found["reference_id"], found["annotation_id"]) == (name, annotation_id)


def test_a_quoted_slash_is_not_a_quoted_percent_sign(api: Api) -> None:
    dataset = new_dataset(api, "a/b", "a%2Fb")
    assert api.get(f"dataset/{dataset}/refloc/a%252Fb")["item"]["reference_id"] == "a%2Fb"


@pytest.mark.parametrize("route", ["dataset/{}/refloc/%ff", "dataset/{}/refloc/%ED%A0%80", "dataset/%ff/info"])
def test_an_id_in_the_path_that_is_no_text_is_refused(anywhere: Api, route: str) -> None:
    assert anywhere.status("GET", route.format(new_dataset(anywhere, "a.jpg"))) == 400


def test_an_id_that_is_half_a_character_is_refused(api: Api) -> None:
    body = b'{"items": [{"reference_id": "\\ud83d", "image_url": "https://example.org/a.jpg"}]}'
    assert api.status("POST", f"dataset/{new_dataset(api)}/append", body) == 400


# The transport


def world(api: Api) -> dict[str, str]:
    """Make one of everything, and give the names."""
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id="1")]})
    run = new_run(api, dataset, box(annotation_id="1"))
    model = api.get(f"model/{run}")["id"]
    again = api.post(f"model/{model}/modelRun/create", {})["model_run_id"]
    api.post(f"dataset/{dataset}/add_taxonomy", {"taxonomy_name": "weather", "type": "category", "labels": ["rain"]})
    api.post(f"model/{model}/tag", {"tags": ["t"]})
    api.post(f"model/{model}/trainedSliceId", {"trained_slice_ids": ["slc_1"]})
    request_id = upload(api, dataset, item("c.jpg"))
    job = consume(api, f"dataset/{dataset}/append", request_id)["job_id"]
    token = sign(api, dataset, "open").removeprefix(f"{PREFIX}/")
    names = {"ds": dataset, "run": run, "model": model, "job": job, "request": request_id, "upload": token}
    names |= {"item": api.get(f"dataset/{dataset}/iloc/0")["item"]["id"], "again": again}
    sliced = {"name": fresh("slice"), "reference_ids": ["a.jpg", "b.jpg"]}
    names["slice"] = api.post(f"dataset/{dataset}/create_slice", sliced)["slice_id"]
    return {**names, "fresh": fresh("name")}


EVALUATED = ("committed", "benchmark", "draft", "preset", "evaluation", "running", "failed")


def evaluated(api: Api, dataset: str, run: str) -> dict[str, str]:
    """Make one of everything that evaluates, and give the names."""
    assert isinstance(api, InProcess)
    committed = new_run(api, dataset, box(annotation_id="1"))
    api.post(f"modelRun/{committed}/commit", {})
    benchmark = api.post("benchmarks", {"name": "Streets", "dataset_id": dataset})["benchmark_id"]
    draft = api.post("benchmarks", {"name": "Streets", "dataset_id": dataset, "draft": True})["benchmark_id"]
    preset = api.post("evaluationV2Presets", {"name": fresh("preset"), "rollupGroups": []})["id"]
    made = {
        name: api.post(f"modelRun/{run}/evaluationsV2", {})["evaluation_id"]
        for name in ("evaluation", "running", "failed")
    }
    names = {"committed": committed, "benchmark": benchmark, "draft": draft, "preset": preset}
    for name, status in (("running", "Running"), ("failed", "Errored")):
        job = api.get(f"evaluationsV2/{made[name]}")["job_id"].removeprefix("job_")
        with api.nucleus.database.write() as db:
            db.execute("UPDATE job SET status = ?, message = '{}' WHERE tag = ?", (status, job))
    return names | made


ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "dataset/create", {"name": "Streets"}),
    ("GET", "dataset/", {}),
    ("GET", "dataset/details", {}),
    ("GET", "dataset/{ds}/info", {}),
    ("GET", "dataset/{ds}/name", {}),
    ("GET", "dataset/{ds}/is_scene", {}),
    ("GET", "dataset/{ds}/use_privacy_mode", {}),
    ("GET", "dataset/{ds}/size", {}),
    ("GET", "dataset/{ds}/model_runs", {}),
    ("GET", "dataset/{ds}/datasetItems", {}),
    ("GET", "dataset/{ds}/signedUrl/1", {}),
    ("PUT", "{upload}", {}),
    ("POST", "dataset/{ds}/append", {"items": [item("z.jpg")]}),
    ("POST", "dataset/{ds}/append?async=1", {"requestId": "{request}", "update": False}),
    ("POST", "dataset/{ds}/annotate", {"annotations": [box(), box("nobody.jpg")]}),
    ("DELETE", "annotation/{ds}", {"reference_ids": ["a.jpg"], "keep_history": True}),
    ("GET", "dataset/{ds}/refloc/a.jpg", {}),
    ("GET", "dataset/{ds}/iloc/0", {}),
    ("GET", "dataset/{ds}/loc/{item}", {}),
    ("GET", "dataset/{ds}/groundTruth/loc/a.jpg/1", {}),
    ("POST", "models/add", {"name": "YOLO", "reference_id": "of its own", "metadata": {}}),
    ("GET", "models/", {}),
    ("GET", "model/{model}", {}),
    ("POST", "model/{model}/tag", {"tags": ["u"]}),
    ("DELETE", "model/{model}/tag", {"tags": ["t"]}),
    ("POST", "model/{model}/trainedSliceId", {"trained_slice_ids": ["slc_2"]}),
    ("DELETE", "model/{model}/trainedSliceId", {"trained_slice_ids": ["slc_1"]}),
    ("POST", "dataset/{ds}/modelRun/create", {"model_id": "{model}"}),
    ("POST", "model/{model}/modelRun/create", {"name": "free"}),
    ("GET", "model/{model}/modelRun", {}),
    ("POST", "modelRun/{run}/predict", {"annotations": [box()]}),
    ("POST", "modelRun/{run}/uploadPredictions", {"annotations": [box()]}),
    ("POST", "dataset/{ds}/modelRun/{run}/uploadPredictions", {"annotations": [box()]}),
    ("POST", "dataset/{ds}/model/{model}/uploadPredictions", {"annotations": [box()]}),
    ("GET", "dataset/{ds}/model/{model}/iloc/0", None),
    ("GET", "dataset/{ds}/model/{model}/referenceId/a.jpg", None),
    ("GET", "dataset/{ds}/model/{model}/loc/a.jpg/1", None),
    ("GET", "dataset/{ds}/model/{model}/export", {}),
    ("POST", "modelRun/{run}/commit", {}),
    ("GET", "modelRun/{run}/info", {}),
    ("GET", "modelRun/{run}/refloc/a.jpg", {}),
    ("GET", "modelRun/{run}/iloc/0", {}),
    ("GET", "modelRun/{run}/loc/{item}", {}),
    ("GET", "modelRun/{run}/prediction/loc/a.jpg/1", {}),
    ("GET", "modelRun/{run}/ungrouped", {}),
    ("POST", "modelRun/merge", {"model_run_ids": ["{run}", "{again}"]}),
    ("GET", "job/{job}", {}),
    ("GET", "job/{job}/errors", {}),
    ("GET", "job/{job}/info", {}),
    ("POST", "jobs/", {}),
    ("POST", "dataset/{ds}/model/{model}/calculateEvaluationMetrics", {}),
    ("POST", "dataset/{ds}/queryObjectsPage", {"query": "", "patch_mode": "iou", "model_run_id": "{committed}"}),
    ("GET", "dataset/{ds}/labelSchema", {}),
    ("POST", "modelRun/{run}/evaluationsV2", {"name": "mine"}),
    ("GET", "modelRun/{run}/evaluationsV2", {}),
    ("GET", "model/{model}/evaluationsV2", {}),
    ("GET", "evaluationsV2/{evaluation}", {}),
    ("POST", "evaluationsV2/{evaluation}/charts", {"iouThreshold": 0.5}),
    ("GET", "evaluationsV2/{evaluation}/charts?iouThreshold=0.5", {}),
    ("POST", "evaluationsV2/{evaluation}/examples", {"limit": 50, "offset": 0}),
    ("GET", "evaluationsV2/{evaluation}/filterSchema", {}),
    ("POST", "evaluationsV2/{running}/cancel", {}),
    ("POST", "evaluationsV2/{failed}/retry", {}),
    ("DELETE", "evaluationsV2/{evaluation}", {}),
    ("GET", "evaluationV2Presets", {}),
    ("POST", "evaluationV2Presets", {"name": "{fresh}"}),
    ("PATCH", "evaluationV2Presets/{preset}", {"rollupGroups": None}),
    ("DELETE", "evaluationV2Presets/{preset}", {}),
    ("POST", "benchmarks", {"name": "Streets", "dataset_id": "{ds}"}),
    ("GET", "benchmarks", {}),
    ("GET", "benchmarks/{benchmark}", {}),
    ("PATCH", "benchmarks/{benchmark}", {"description": "better"}),
    ("GET", "benchmarks/{benchmark}/items?limit=1&offset=0", {}),
    ("POST", "benchmarks/{draft}/items", {"dataset_id": "{ds}"}),
    ("DELETE", "benchmarks/{draft}/items", {"item_ids": ["{item}"]}),
    ("POST", "benchmarks/{draft}/finalize", {}),
    ("POST", "benchmarks/{benchmark}/evaluationsV2", {"model_id": "{model}"}),
    ("POST", "leaderboard/ranking", {"metric_type": "F1", "benchmark_ids": ["{benchmark}"]}),
    ("POST", "leaderboard/f1Curve", {"benchmark_ids": ["{benchmark}"], "top_n": 5}),
    ("DELETE", "benchmarks/{benchmark}", {}),
    ("POST", "dataset/{ds}/itemsPage", {"pageToken": None, "pageSize": 1}),
    ("GET", "dataset/{ds}/exportForTraining", {}),
    ("POST", "dataset/{ds}/exportForTrainingPage", {"pageToken": None, "pageSize": 1}),
    (
        "POST",
        "dataset/{ds}/exportForTrainingPage",
        {"pageToken": None, "pageSize": 1, "query": "annotations.count > 0"},
    ),
    ("POST", "dataset/{ds}/queryItemsPage", {"pageToken": None, "pageSize": 1, "query": 'metadata.a = "dog"'}),
    ("POST", "dataset/{ds}/queryObjectsPage", {"query": "x > 0", "patch_mode": "ground_truth_only"}),
    ("GET", "dataset/{ds}/class_labels", {}),
    ("POST", "dataset/{ds}/create_slice", {"name": "rain", "reference_ids": ["a.jpg"]}),
    ("POST", "dataset/{ds}/build_slice", {"name": "some", "sampleSize": 1, "sampleMethod": "Random", "filters": {}}),
    ("GET", "dataset/{ds}/slices?name=x&type=SliceType.DATASET_ITEM", {}),
    ("GET", "slice/", {}),
    ("GET", "slice/{slice}", {}),
    ("GET", "slice/{slice}?idType=reference_id", {}),
    ("GET", "slice/{slice}/info", {}),
    ("POST", "slice/{slice}/itemsPage", {"pageToken": None, "pageSize": 1}),
    ("POST", "slice/{slice}/append", {"reference_ids": ["a.jpg"], "dataset_id": "{ds}"}),
    ("POST", "slice/{slice}/tag", {"slice_tags": ["t"]}),
    ("DELETE", "slice/{slice}/tag", {"slice_tags": ["t"]}),
    ("GET", "slice/{slice}/exportForTraining", {}),
    ("GET", "slice/{slice}/{model}/exportForTraining", None),
    ("POST", "slice/{slice}/exportForTrainingPage", {"pageToken": None, "pageSize": 1, "chip": False}),
    ("POST", "slice/{slice}/{model}/exportForTrainingPage", {"pageToken": None, "pageSize": 1}),
    ("GET", "slice/{slice}/export_raw_json", None),
    ("GET", "slice/{slice}/exportRawItems", None),
    ("GET", "slice/{slice}/class_labels", None),
    ("DELETE", "slice/{slice}", {}),
    ("GET", "dataset/{ds}/tags", {}),
    ("POST", "dataset/{ds}/tags", {"tags": ["new"]}),
    ("DELETE", "dataset/{ds}/tags", {"tags": ["absent"]}),
    ("POST", "dataset/{ds}/add_taxonomy", {"taxonomy_name": "new", "type": "category", "labels": [], "update": True}),
    ("DELETE", "dataset/{ds}/taxonomy/weather", {}),
    ("GET", "dataset/{ds}/class_labels", {}),
    (
        "POST",
        "dataset/{ds}/metadata?async=0",
        {"metadata": [{"reference_id": "a.jpg", "metadata": {}}], "level": "item"},
    ),
    ("POST", "dataset/{ds}/metadata?async=1", {"metadata": [], "level": "item"}),
    ("POST", "model/{model}/predictions", {"annotations": [box(None, item_id="{item}")], "update": False}),
    ("GET", "model/{model}/predictions/refloc/a.jpg", None),
    ("GET", "model/{model}/predictions/iloc/0", None),
    ("GET", "model/{model}/predictions/loc/{item}", None),
    ("POST", "model/{model}/predictions/copyFromRun", {"model_run_id": "{run}"}),
    ("DELETE", "dataset/{ds}/refloc/b.jpg", {}),
    ("DELETE", "dataset/{ds}/{item}", {}),
    ("DELETE", "modelRun/{run}", {}),
    ("DELETE", "model/{model}", {}),
    ("DELETE", "dataset/{ds}", {}),
]
every_route = pytest.mark.parametrize(
    ("method", "route", "body"), ROUTES, ids=[f"{method} {route}" for method, route, _ in ROUTES]
)


def fill(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {key: fill(one, names) for key, one in value.items()}
    return [fill(one, names) for one in value] if isinstance(value, list) else value


Ask: TypeAlias = Callable[[str, str, Any], Answer]


@pytest.fixture(scope="module")
def ask(api: Api) -> Ask:
    """Send a request in a world of its own; sent again, the answer is remembered."""
    answers: dict[str, Answer] = {}

    def asked(method: str, route: str, body: Any) -> Answer:
        key = f"{method} {route} {body!r}"
        if key not in answers:
            names = world(api)
            if any(f"{{{name}}}" in key for name in EVALUATED):
                names |= evaluated(api, names["ds"], names["run"])
            answers[key] = api.call(method, fill(route, names), fill(body, names))
        return answers[key]

    return asked


@every_route
def test_every_route_answers(ask: Ask, method: str, route: str, body: Any) -> None:
    assert ask(method, route, body).status == 200


@every_route
def test_every_answer_is_json(ask: Ask, method: str, route: str, body: Any) -> None:
    answer = ask(method, route, body)
    assert (answer.headers["Content-Type"], bool(answer.content), answer.json is not None) == (
        "application/json",
        True,
        True,
    )


@every_route
def test_no_success_holds_a_status_code(ask: Ask, method: str, route: str, body: Any) -> None:
    assert b'"status_code"' not in ask(method, route, body).content


@every_route
def test_every_route_answers_behind_two_slashes(ask: Ask, method: str, route: str, body: Any) -> None:
    assert ask(method, f"/{route}", body).status == 200


@pytest.mark.parametrize(
    ("method", "route", "status"),
    [
        ("GET", "dataset", 200),
        ("GET", "models", 200),
        ("POST", "jobs", 200),
        ("POST", "dataset/create", 200),
        ("GET", "dataset/details", 200),
        ("POST", "models/add", 200),
        ("POST", "model/run/prj_0", 501),
    ],
)
@pytest.mark.parametrize("ending", ["", "/"])
def test_the_last_slash_makes_no_difference(empty: Api, method: str, route: str, status: int, ending: str) -> None:
    body = {"name": "YOLO", "reference_id": fresh("yolo")} if method == "POST" else {}
    assert empty.status(method, f"{route}{ending}", body) == status


@pytest.mark.parametrize("body", [None, {}])
def test_get_needs_no_body_and_takes_one(anywhere: Api, body: object) -> None:
    assert anywhere.ok("GET", "dataset/details", body) is not None


def test_delete_needs_no_body(api: Api) -> None:
    assert api.status("DELETE", f"dataset/{new_dataset(api)}") == 200


def test_a_chunked_body_is_read(served: OverSocket) -> None:
    connection = http.client.HTTPConnection(served.netloc, timeout=20)
    chunks = iter([b'{"name": ', b'"Streets"}'])
    connection.request("POST", f"{PREFIX}/dataset/create", chunks, JSON, encode_chunked=True)
    response = connection.getresponse()
    assert json.loads(response.read())["name"] == "Streets"
    connection.close()


def test_a_connection_is_kept_through_bodies_of_get(served: OverSocket) -> None:
    connection = http.client.HTTPConnection(served.netloc, timeout=20)
    connection.connect()
    sockets, statuses = set(), []
    for _ in range(4):
        connection.request("GET", f"{PREFIX}/dataset/details", b"{}", JSON)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
        sockets.add(id(connection.sock))
    connection.close()
    assert (statuses, len(sockets), None in sockets) == ([200] * 4, 1, False)


def test_a_connection_is_kept_after_a_refusal(served: OverSocket) -> None:
    connection = http.client.HTTPConnection(served.netloc, timeout=20)
    statuses = []
    for body in (b"{" * 1000, b'{"name": "Streets"}'):
        connection.request("POST", f"{PREFIX}/dataset/create", body, JSON)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses == [400, 200]


def test_appends_from_many_threads_are_all_stored(served: OverSocket) -> None:
    dataset = new_dataset(served)
    threads = [
        threading.Thread(target=served.post, args=(f"dataset/{dataset}/append", {"items": [item(f"{n}.jpg")]}))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served.get(f"dataset/{dataset}/size") == {"count": 16}


# Requests that are refused

WRONG: list[tuple[str, str, Any, int]] = [
    ("POST", "dataset/create", b"name=Streets", 400),
    ("POST", "dataset/create", b'{"name": "Str', 400),
    ("POST", "dataset/create", b"\xff\xfe{}", 400),
    ("POST", "dataset/create", b"null", 400),
    ("POST", "dataset/{ds}/append", b"", 400),
    ("POST", "dataset/{ds}/append", b"[" * 100_000, 400),
    ("POST", "dataset/{ds}/append", b'{"items": 5}', 400),
    ("POST", "dataset/{ds}/append", {}, 400),
    ("POST", "dataset/{ds}/annotate", b"[]", 400),
    ("POST", "dataset/{ds}/annotate", b'{"annotations": [' + b"[" * 100_000, 400),
    ("POST", "models/add", b"{}", 400),
    ("DELETE", "model/{model}/tag", b"{}", 400),
    ("DELETE", "model/{model}/tag", {"tags": ["absent"]}, 400),
    ("POST", "modelRun/{run}/predict", b"{", 400),
    ("POST", "jobs/", b"{", 400),
    ("GET", "nowhere", {}, 404),
    ("GET", "", {}, 404),
    ("GET", "dataset/ds_0/info", {}, 404),
    ("GET", "job/job_0", {}, 404),
    ("GET", "modelRun/run_0/info", {}, 404),
    ("PUT", "_upload/nothing", b"{}", 404),
    ("DELETE", "dataset/create_from_nowhere", {}, 404),
    ("PATCH", "dataset/create", {}, 405),
    ("PUT", "dataset/{ds}/append", {}, 405),
    ("POST", "dataset/{ds}/info", {}, 405),
    ("DELETE", "models/add", {}, 405),
    ("POST", "dataset/create_from_project", {}, 501),
    ("POST", "dataset/{ds}/ingest_tasks", {"tasks": ["1"]}, 501),
    ("GET", "dataset/{ds}/exportScaleTaskInfo", {}, 501),
    ("GET", "task/1/frame/0", {}, 501),
    ("POST", "model/run/{model}/", {"dataset_id": "{ds}"}, 501),
    ("POST", "{ds}/upload_scenes?async=1", {"requestId": "{request}", "update": False}, 501),
    ("POST", "{ds}/upload_video_scenes", {"scenes": []}, 501),
    ("POST", "dataset/{ds}/metadata?async=0", {"metadata": [], "level": "scene"}, 501),
    ("GET", "dataset/{ds}/scenes_list", {}, 501),
    ("GET", "dataset/{ds}/scene/a/b?from_item=1", {}, 501),
    ("DELETE", "dataset/{ds}/scene/a%2Fb", {}, 501),
    ("GET", "dataset/{ds}/tracks", {}, 501),
    ("POST", "dataset/{ds}/tracks", {"reference_id": "1", "metadata": {}, "overwrite": True}, 501),
    ("DELETE", "dataset/{ds}/tracks", {"track_reference_ids": ["1"]}, 501),
    ("POST", "dataset/{ds}/exportForTrainingByScene", {"pageToken": None, "pageSize": 10}, 501),
    ("POST", "dataset/{ds}/model/{model}/pointcloud/a/uploadLSSPrediction", {"pointsSegmentationUrl": "s3://b"}, 501),
    ("GET", "dataset/{ds}/embeddings", {}, 501),
    ("POST", "dataset/{ds}/async_export_embeddings", {}, 501),
    ("GET", "dataset/{ds}/embeddingIndexes", {}, 501),
    ("POST", "dataset/{ds}/indexingStatus", {"image": True}, 501),
    ("POST", "indexing/{ds}", {"embeddings_urls": [], "embedding_dimension": 3}, 501),
    ("DELETE", "indexing/{ds}", {"image": True}, 501),
    ("POST", "indexing/{ds}/setPrimary", {"image": True, "custom": False}, 501),
    ("POST", "indexing/{ds}/setContinuous", {"enable": True}, 501),
    ("POST", "indexing/{ds}/internal/image", {}, 501),
    ("POST", "indexing/{ds}/internal/object", {"ingest_gt_only": True}, 501),
    ("GET", "{ds}/list_autotags", {}, 501),
    ("POST", "dataset/{ds}/autotag/night/taggedItems", {"score_threshold": 0}, 501),
    ("GET", "dataset/{ds}/autotag/night/trainingItems", {}, 501),
    ("POST", "autotag/tag_1", {}, 501),
    ("DELETE", "autotag/tag_1", {}, 501),
    ("GET", "autotag/tag_1/refinementMetrics", {}, 501),
    ("POST", "autocurate/{ds}/single_model_entropy/name", {"modelRunIds": ["{run}"]}, 501),
    ("POST", "dataset/{ds}/deduplicate", {"threshold": 10}, 501),
    ("POST", "dataset/{ds}/deduplicate_async", {"threshold": 10}, 501),
    ("POST", "model/{model}/weights/presign", {"declaredSizeBytes": 1}, 501),
    ("POST", "model/{model}/weights/finalize", {"uploadId": "1"}, 501),
    ("GET", "model/{model}/weights", {}, 501),
    ("GET", "model/{model}/weights/download?json=1", {}, 501),
    ("DELETE", "model/{model}/weights", {}, 501),
    ("GET", "validate/eval_fn", {}, 501),
    ("POST", "validate/scenario_test", {"name": "1", "slice_id": "slc_1", "evaluation_functions": []}, 501),
    ("GET", "validate/scenario_test/1/info", {}, 501),
    ("POST", "validate/{model}/evaluate", {"test_names": []}, 501),
    ("DELETE", "validate/scenario_test/1", {}, 501),
]
every_mistake = pytest.mark.parametrize(
    ("method", "route", "body", "status"), WRONG, ids=[f"{w[0]} {w[1]} {str(w[2])[:20]}" for w in WRONG]
)


@every_mistake
def test_every_mistake_has_its_status(ask: Ask, method: str, route: str, body: Any, status: int) -> None:
    assert ask(method, route, body).status == status


@every_mistake
def test_every_refusal_tells_status_and_error(ask: Ask, method: str, route: str, body: Any, status: int) -> None:
    answer = ask(method, route, body)
    assert (answer.json["status_code"], bool(answer.json["error"])) == (answer.status, True)


@every_mistake
def test_every_refusal_is_json(ask: Ask, method: str, route: str, body: Any, status: int) -> None:
    assert ask(method, route, body).headers["Content-Type"] == "application/json"


@every_mistake
def test_no_refusal_shows_a_trace(ask: Ask, method: str, route: str, body: Any, status: int) -> None:
    assert b"Traceback" not in ask(method, route, body).content


def test_a_path_outside_the_prefix_is_refused_in_json(anywhere: Api) -> None:
    answer = anywhere.send("GET", "/nowhere", None, {})
    assert (answer.status, answer.json["status_code"]) == (404, 404)


def announce(served: OverSocket, length: int, path: str, content_type: str) -> bytes:
    """Announce a body, send a few bytes of it, and give what comes back."""
    host, port = served.netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        head = (
            f"POST {PREFIX}/{path} HTTP/1.1\r\nHost: {served.netloc}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {length}\r\n\r\n"
        )
        connection.sendall(head.encode() + b'{"name": ')
        received = b""
        while b"\r\n\r\n" not in received or b"}" not in received:
            some = connection.recv(65536)
            if not some:
                break
            received += some
    return received


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=b"])
def test_a_gigabyte_that_is_announced_is_refused_promptly(served: OverSocket, content_type: str) -> None:
    assert announce(served, 1 << 30, "dataset/create", content_type).split()[1] == b"413"


def test_a_gigabyte_that_is_announced_is_refused_in_json(served: OverSocket) -> None:
    head, _, content = announce(served, 1 << 30, "dataset/create", "application/json").partition(b"\r\n\r\n")
    assert b"application/json" in head, (head, content)


def test_json_beyond_its_limit_is_refused(api: Api) -> None:
    body = b'{"name": "' + b"x" * (65 << 20) + b'"}'
    assert api.status("POST", "dataset/create", body) == 413


# Keys and strangers


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


# All generations on one dataset


def seed_append(api: Api, dataset: str, names: list[str]) -> None:
    api.post(f"dataset/{dataset}/append", {"items": [item(name) for name in names]})


def mid_append(api: Api, dataset: str, names: list[str]) -> None:
    api.post(f"dataset/{dataset}/append", {"items": [item(name) for name in names], "update": False})


def current_append(api: Api, dataset: str, names: list[str]) -> None:
    finished(api, consume(api, f"dataset/{dataset}/append", upload(api, dataset, *[item(name) for name in names])))


def files_append(api: Api, dataset: str, names: list[str]) -> None:
    files = [file_of(image_bytes())] * len(names)
    append_files(api, dataset, array_of(*[item(name, update=False) for name in names]), *files)


WAYS = [seed_append, mid_append, current_append, files_append]


@pytest.mark.parametrize("first", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("second", WAYS, ids=lambda way: way.__name__)
def test_what_one_generation_appended_the_other_finds(
    api: Api, first: Callable[[Api, str, list[str]], None], second: Callable[[Api, str, list[str]], None]
) -> None:
    dataset = new_dataset(api)
    first(api, dataset, ["a.jpg", "b.jpg"])
    second(api, dataset, ["b.jpg", "c.jpg"])
    found = api.get(f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [one["reference_id"] for one in found] == ["a.jpg", "b.jpg", "c.jpg"]
