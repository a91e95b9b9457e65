"""Requests of three generations of clients to an embedded Nucleus, in process and through a socket."""

from __future__ import annotations

import base64
import http.client
import io
import itertools
import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote, urlsplit

from PIL import Image

from nucleus_pandas.server.app import create_app
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.factories import CUBOID, MASK_URL, POSE, SQUARE, TRIANGLE, box, item

PREFIX = "/v1/nucleus"


KEYS = {"Authorization": "Basic " + base64.b64encode(b"a key:").decode()}


JSON = {"Content-Type": "application/json", **KEYS}


COUNTERS = {"dataset_id", "new_items", "updated_items", "ignored_items", "upload_errors"}


JOB = {"job_id", "job_last_known_status", "job_type", "job_creation_time"}


PREDICTION_KEYS = {"box", "line", "polygon", "cuboid", "category", "keypoints", "segmentation"}


GEOMETRIES: dict[str, dict[str, Any]] = {
    "box": SQUARE,
    "line": TRIANGLE,
    "polygon": TRIANGLE,
    "keypoints": POSE,
    "cuboid": CUBOID,
    "category": {},
}


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
        """Send a request that must succeed, and return what it answered."""
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


_numbers = itertools.count()


def fresh(word: str) -> str:
    return f"{word} {next(_numbers)}"


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
    """Ask for a signed address, and return the path in it."""
    parts = urlsplit(str(api.ok("GET", f"dataset/{dataset}/signedUrl/{request_id}")["signed_url"]))
    return parts.path + (f"?{parts.query}" if parts.query else "")


def put(api: Api, path: str, content: bytes) -> Answer:
    """PUT as the client does: neither key nor content type."""
    return api.send("PUT", path, content, {})


def upload(api: Api, dataset: str, *rows: dict[str, Any]) -> str:
    """Send rows to a signed address, and return the request id."""
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
    """Wait for a job's end, and return its status."""
    for _ in range(200):
        status = api.get(f"job/{job['job_id']}")
        if status["status"] != "Running":
            return status
        time.sleep(0.02)
    raise AssertionError(f"The job does not end: {status}")


def committed(api: Api, *predictions: dict[str, Any]) -> str:
    run = new_run(api, new_dataset(api, "a.jpg"), *predictions)
    api.post(f"modelRun/{run}/commit", {})
    return run


def one_of_everything(api: Api) -> dict[str, str]:
    """Create one of everything, and return the names."""
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
    """Create one of everything that evaluates, and return the names."""
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


def fill(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {key: fill(one, names) for key, one in value.items()}
    return [fill(one, names) for one in value] if isinstance(value, list) else value


Ask: TypeAlias = Callable[[str, str, Any], Answer]


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
