"""A stand-in for the hosted service: it speaks the contract in its current shape, and nothing else.

It knows no extension and answers unknown routes in plain text. Items come by signed address or with their files, and a
job works on them that is running when it is looked at first; what became of them is told by counters in its message
alone. Annotations come in batches, which are counted too. Its state is plain dicts; no part of the package is used.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email import message_from_bytes
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
import responses

ENDPOINT = "https://api.scale.com/v1/nucleus"
BUCKET = "https://bucket.example.org"
KEY = "live_0123456789abcdef"

TYPES = ("box", "line", "polygon", "keypoints", "segmentation", "cuboid", "category", "multicategory")
PREDICTED = tuple(kind for kind in TYPES if kind != "multicategory")
SHAPES = {"mask": "segmentation"}  # the one type that is read back under another name

Json: TypeAlias = Any
Row: TypeAlias = dict[str, Json]
Annotations: TypeAlias = dict[str, dict[str, Row]]
"""By reference id, then by annotation id."""


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class Request(NamedTuple):
    """A request, taken apart."""

    path: list[str]
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            raise Refusal(400, "The body is no JSON by its Content-Type.")
        return json.loads(self.body)

    def fields(self, *names: str) -> list[Json]:
        """The fields of a JSON body, each of which must be there."""
        body = self.json
        for name in names:
            if name not in body:
                raise Refusal(400, f"{name} is missing")
        return [body[name] for name in names]


Handler: TypeAlias = Callable[..., Json]


class HostedStandIn:
    """The state of the service, and its routes.

    Attributes
    ----------
    seen : list of (str, str)
        Method and address of every request.
    uploads : list of bytes
        What was put to signed addresses, in its order.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.uploads: list[bytes] = []
        self._left: int | None = None  # requests that are answered before the network breaks
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._datasets: dict[str, Row] = {}
        self._models: dict[str, Row] = {}
        self._runs: dict[str, Row] = {}
        self._slices: dict[str, Row] = {}
        self._jobs: dict[str, Row] = {}
        self._signed: dict[str, tuple[str, str]] = {}
        self._put: dict[tuple[str, str], bytes] = {}
        self._routes: list[tuple[str, list[str], Handler]] = [
            ("POST", ["dataset", "create"], self._create_dataset),
            ("GET", ["dataset", ""], lambda request: list(self._datasets)),
            ("GET", ["dataset", "details"], lambda request: [*map(self._details, self._datasets)]),
            ("GET", ["dataset", "*", "info"], self._info),
            ("GET", ["dataset", "*", "name"], lambda request, ds: {"name": self._dataset(ds)["name"]}),
            ("GET", ["dataset", "*", "size"], lambda request, ds: {"count": len(self._dataset(ds)["items"])}),
            ("GET", ["dataset", "*", "model_runs"], lambda request, ds: self._dataset(ds)["runs"]),
            ("DELETE", ["dataset", "*"], self._delete_dataset),
            ("GET", ["dataset", "*", "signedUrl", "*"], self._sign),
            ("POST", ["dataset", "*", "append"], self._append),
            ("POST", ["dataset", "*", "annotate"], self._annotate),
            ("GET", ["dataset", "*", "refloc", "*"], lambda request, ds, key: self._row(ds, self._by_ref(ds, key))),
            ("GET", ["dataset", "*", "iloc", "*"], lambda request, ds, key: self._row(ds, self._by_place(ds, key))),
            ("GET", ["dataset", "*", "loc", "*"], lambda request, ds, key: self._row(ds, self._by_id(ds, key))),
            ("POST", ["dataset", "*", "itemsPage"], self._items_page),
            ("POST", ["dataset", "*", "exportForTrainingPage"], self._export_page),
            ("POST", ["dataset", "*", "queryItemsPage"], self._query_items),
            ("POST", ["dataset", "*", "queryObjectsPage"], self._query_objects),
            ("POST", ["models", "add"], self._add_model),
            ("GET", ["models", ""], lambda request: {"models": list(self._models.values())}),
            ("GET", ["model", "*"], self._model),
            ("DELETE", ["model", "*"], self._delete_model),
            ("POST", ["dataset", "*", "modelRun", "create"], self._create_run),
            ("POST", ["modelRun", "*", "predict"], self._predict),
            ("POST", ["modelRun", "*", "commit"], self._commit),
            ("GET", ["modelRun", "*", "info"], self._run_info),
            ("GET", ["modelRun", "*", "refloc", "*"], lambda request, run, key: self._found(run, self._by_ref, key)),
            ("GET", ["modelRun", "*", "iloc", "*"], lambda request, run, key: self._found(run, self._by_place, key)),
            ("GET", ["modelRun", "*", "loc", "*"], lambda request, run, key: self._found(run, self._by_id, key)),
            ("GET", ["modelRun", "*", "ungrouped"], self._ungrouped),
            ("DELETE", ["modelRun", "*"], self._delete_run),
            ("POST", ["dataset", "*", "create_slice"], self._create_slice),
            ("POST", ["dataset", "*", "build_slice"], self._build_slice),
            ("GET", ["dataset", "*", "slices"], self._list_slices),
            ("GET", ["slice", "*", "info"], lambda request, one: self._slice_info(one)),
            ("POST", ["slice", "*", "append"], self._append_to_slice),
            ("POST", ["slice", "*", "tag"], self._tag_slice),
            ("POST", ["slice", "*", "itemsPage"], self._slice_items_page),
            ("POST", ["slice", "*", "exportForTrainingPage"], self._slice_export_page),
            ("DELETE", ["slice", "*"], self._delete_slice),
            ("GET", ["job", "*"], self._job_status),
            ("GET", ["job", "*", "errors"], lambda request, job: self._job(job)["errors"]),
            ("GET", ["job", "*", "info"], lambda request, job: self._entry(job)),
            ("POST", ["jobs", ""], self._list_jobs),
        ]

    # What travels

    @contextmanager
    def answering(self) -> Iterator[HostedStandIn]:
        """Answer all requests of this process to its addresses."""
        with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
            for method in ("GET", "POST", "PUT", "DELETE"):
                mock.add_callback(method, re.compile(f"({ENDPOINT}|{BUCKET})/"), self.answer, content_type=None)
            yield self

    def breaks_after(self, count: int | None) -> None:
        """Answer so many requests more, and then none; None answers all."""
        self._left = count

    def answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        """Answer a request with a status, headers and a body."""
        body = _content(request.body)
        with self._lock:
            self.seen.append((str(request.method), str(request.url)))
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    raise requests.ConnectionError("The network is gone.")
            if str(request.url).startswith(BUCKET):
                return self._store_upload(request, body)
            if request.headers.get("Authorization") != f"Basic {base64.b64encode(f'{KEY}:'.encode()).decode()}":
                return _json(401, {"error": "Invalid API key", "status_code": 401})
            below = urlsplit(str(request.url)[len(ENDPOINT) + 1 :])
            taken = Request([*map(unquote, below.path.split("/"))], dict(parse_qsl(below.query)), request.headers, body)
            for method, pattern, handler in self._routes:
                found = _matched(pattern, taken.path)
                if method == request.method and found is not None:
                    try:
                        return _json(200, handler(taken, *found))
                    except Refusal as refusal:
                        return _json(refusal.status, {"error": str(refusal), "status_code": refusal.status})
        return 404, {"Content-Type": "text/plain; charset=utf-8"}, b"Not Found"

    def _store_upload(self, request: requests.PreparedRequest, body: bytes) -> tuple[int, dict[str, str], bytes]:
        wrong = {"Authorization", "Content-Type", "x-limited-access-key"} & set(request.headers)
        if request.method != "PUT" or request.url not in self._signed or wrong:
            return 403, {"Content-Type": "application/xml"}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
        self._put[self._signed[str(request.url)]] = body
        self.uploads.append(body)
        return 200, {}, b""

    def _new(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers):06x}"

    # Datasets and items

    def _dataset(self, dataset_id: str) -> Row:
        if dataset_id not in self._datasets:
            raise Refusal(404, f"Dataset {dataset_id} not found")
        return self._datasets[dataset_id]

    def _create_dataset(self, request: Request) -> Json:
        (name,) = request.fields("name")
        dataset_id = self._new("ds")
        self._datasets[dataset_id] = {"name": name, "items": {}, "annotations": {}, "runs": []}
        return {"dataset_id": dataset_id, "name": name}

    def _details(self, dataset_id: str) -> Row:
        return {"id": dataset_id, "name": self._dataset(dataset_id)["name"], "is_public": False, "created_by": "me"}

    def _info(self, request: Request, dataset_id: str) -> Json:
        dataset = self._dataset(dataset_id)
        known = {"dataset_id": dataset_id, "name": dataset["name"], "length": len(dataset["items"])}
        return {**known, "model_run_ids": dataset["runs"], "slice_ids": self._slices_of(dataset_id), "tags": None}

    def _delete_dataset(self, request: Request, dataset_id: str) -> Json:
        self._dataset(dataset_id)
        for run_id in self._datasets.pop(dataset_id)["runs"]:
            del self._runs[run_id]
        return {"message": "Beginning dataset deletion..."}

    def _sign(self, request: Request, dataset_id: str, request_id: str) -> Json:
        self._dataset(dataset_id)
        address = f"{BUCKET}/uploads/{request_id}?signature={next(self._numbers)}"
        self._signed[address] = (dataset_id, request_id)
        return {"signed_url": address}

    def _append(self, request: Request, dataset_id: str) -> Json:
        self._dataset(dataset_id)
        if request.query != {"async": "1"}:
            raise Refusal(400, "Items are appended as a job: ?async=1")
        if request.headers["Content-Type"].startswith("multipart/form-data"):
            items = _images(request)
        else:
            request_id, update = request.fields("requestId", "update")
            body = self._put.get((dataset_id, request_id))
            if body is None:
                raise Refusal(400, f"Nothing was uploaded for {request_id}")
            if not body.isascii() or not body.endswith(b"\n"):
                raise Refusal(400, "An upload is ASCII, a line an object, and ends with a newline")
            items = [{**json.loads(line), "update": update} for line in body.splitlines()]
        return self._start("uploadDatasetItems", dataset_id, lambda job: self._store_items(job, dataset_id, items))

    def _store_items(self, job: Row, dataset_id: str, items: list[Row]) -> Json:
        counts = {"new_items": 0, "updated_items": 0, "ignored_items": 0, "upload_errors": 0}
        stored = self._dataset(dataset_id)["items"]
        for item in items:
            name = item["reference_id"]
            if "unreachable" in item["image_url"]:
                counts["upload_errors"] += 1
                job["errors"].append(f'Image "{item["image_url"]}" could not be fetched.')
            elif name not in stored or item["update"]:
                counts["updated_items" if name in stored else "new_items"] += 1
                item_id = stored[name]["id"] if name in stored else self._new("di")
                stored[name] = _item(item_id, item)
            else:
                counts["ignored_items"] += 1
        return counts

    def _by_ref(self, dataset_id: str, reference_id: str) -> Row:
        item: Row | None = self._dataset(dataset_id)["items"].get(reference_id)
        if item is None:
            raise Refusal(404, f"No item with reference id {reference_id}")
        return item

    def _by_id(self, dataset_id: str, item_id: str) -> Row:
        for item in self._dataset(dataset_id)["items"].values():
            if item["id"] == item_id:
                found: Row = item
                return found
        raise Refusal(404, f"No item {item_id}")

    def _by_place(self, dataset_id: str, place: str) -> Row:
        items = list(self._dataset(dataset_id)["items"].values())
        if not place.isdigit() or int(place) >= len(items):
            raise Refusal(404, f"No item at {place}")
        found: Row = items[int(place)]
        return found

    def _row(self, dataset_id: str, item: Row) -> Json:
        found = self._dataset(dataset_id)["annotations"].get(item["ref_id"], {})
        return {"item": item, "annotations": _grouped(found.values(), TYPES)}

    def _paged(self, request: Request, items: list[Row]) -> tuple[list[Row], str | None]:
        token, size = request.fields("pageToken", "pageSize")
        start = int(token or 0)
        stop = start + size
        return items[start:stop], str(stop) if stop < len(items) else None

    def _items_page(self, request: Request, dataset_id: str) -> Json:
        items, following = self._paged(request, list(self._dataset(dataset_id)["items"].values()))
        return {"items": items, "nextPageToken": following}

    def _query_items(self, request: Request, dataset_id: str) -> Json:
        """Answer the one form of queries that this knows: metadata.<key> = "<text>"."""
        (query,) = request.fields("query")
        if (asked := re.fullmatch(r'metadata\.(\w+) = "(\w+)"', query)) is None:
            raise Refusal(400, "Could not parse the query")
        every = self._dataset(dataset_id)["items"].values()
        items, following = self._paged(request, [one for one in every if one["metadata"].get(asked[1]) == asked[2]])
        return {"items": items, "nextPageToken": following}

    def _query_objects(self, request: Request, dataset_id: str) -> Json:
        """Answer the one form of queries that this knows: annotations.metadata.<key> = "<text>"."""
        query, mode, run_id = request.fields("query", "patch_mode", "model_run_id")
        if (asked := re.fullmatch(r'annotations\.metadata\.(\w+) = "(\w+)"', query)) is None:
            raise Refusal(400, "Could not parse the query")
        truth = mode == "ground_truth_only"
        into = self._dataset(dataset_id)["annotations"] if truth else self._run(run_id)["predictions"]
        every = [
            {**row, "dataset_item_id": item["id"]}
            for name, item in self._dataset(dataset_id)["items"].items()
            for row in into.get(name, {}).values()
        ]
        rows, following = self._paged(request, [row for row in every if row["metadata"].get(asked[1]) == asked[2]])
        return {"items": rows, "nextPageToken": following}

    def _export_page(self, request: Request, dataset_id: str) -> Json:
        request.fields("query", "chip", "onlyMostRecentTask")
        return self._exported(request, dataset_id, list(self._dataset(dataset_id)["items"].values()))

    def _exported(self, request: Request, dataset_id: str, every: list[Row]) -> Json:
        items, following = self._paged(request, every)
        rows = []
        for item in items:
            groups = self._row(dataset_id, item)["annotations"]
            rows.append({"item": item, **groups, "segmentation": next(iter(groups["segmentation"]), None)})
        return {"data": rows, "nextPageToken": following}

    # Annotations and predictions

    def _store_annotations(self, request: Request, dataset_id: str, into: Annotations, kind: str) -> Json:
        (update,) = request.fields("update")
        items = self._dataset(dataset_id)["items"]
        by_id = {item["id"]: name for name, item in items.items()}
        rows = [*request.json.get("annotations", []), *request.json.get("segmentations", [])]
        if any(row["type"] == "mask" for row in request.json.get("annotations", [])):
            raise Refusal(400, "Masks are sent as segmentations")
        counts: Row = {f"{kind}_processed": 0, f"{kind}_ignored": 0}
        errors = []
        for row in rows:
            name = row.get("reference_id") or by_id.get(row["item_id"])
            if name not in items:
                errors.append(f"Item with id {name or row['item_id']} doesn't exist")
                continue
            there = into.setdefault(name, {})
            key = "the mask" if row["type"] == "mask" else row["annotation_id"]  # an image has one
            if key in there and not update:
                counts[f"{kind}_ignored"] += 1
                continue
            counts[f"{kind}_processed"] += 1
            there[key] = self._annotation(items[name], row)
        return {"dataset_id": dataset_id, **counts, **({"errors": errors} if errors else {})}

    def _annotation(self, item: Row, row: Row) -> Row:
        kept = {name: value for name, value in row.items() if name != "item_id"}
        return {"id": self._new("ann"), "metadata": {}, **kept, "reference_id": item["ref_id"], "task_id": None}

    def _annotate(self, request: Request, dataset_id: str) -> Json:
        return self._store_annotations(request, dataset_id, self._dataset(dataset_id)["annotations"], "annotations")

    # Models and runs

    def _add_model(self, request: Request) -> Json:
        name, reference_id, metadata = request.fields("name", "reference_id", "metadata")
        if any(model["ref_id"] == reference_id for model in self._models.values()):
            return {"error": f"Model with reference id {reference_id} already exists", "status_code": 409}
        model_id = self._new("prj")
        given = {"id": model_id, "name": name, "ref_id": reference_id, "metadata": metadata or None}
        self._models[model_id] = {**given, "tags": request.json.get("tags")}
        return {"model_id": model_id}

    def _model(self, request: Request, model_id: str) -> Json:
        model_id = self._runs.get(model_id, {}).get("model_id", model_id)
        if model_id not in self._models:
            raise Refusal(404, f"Model {model_id} not found")
        return self._models[model_id]

    def _delete_model(self, request: Request, model_id: str) -> Json:
        self._model(request, model_id)
        del self._models[model_id]
        return {"msg": "Model deletion running in an async job"}

    def _create_run(self, request: Request, dataset_id: str) -> Json:
        (reference_id,) = request.fields("reference_id")
        model_id = next((key for key, model in self._models.items() if model["ref_id"] == reference_id), None)
        if model_id is None:
            return {"error": f"No model with reference id {reference_id}", "status_code": 404}
        run_id = self._new("run")
        run = {"model_id": model_id, "name": request.json.get("name"), "metadata": request.json.get("metadata")}
        self._runs[run_id] = {**run, "status": "started", "dataset": dataset_id, "predictions": {}}
        self._dataset(dataset_id)["runs"].append(run_id)
        return {"model_run_id": run_id}

    def _run(self, run_id: str) -> Row:
        if run_id not in self._runs:
            raise Refusal(404, f"Model run {run_id} not found")
        return self._runs[run_id]

    def _predict(self, request: Request, run_id: str) -> Json:
        run = self._run(run_id)
        counts = self._store_annotations(request, run["dataset"], run["predictions"], "predictions")
        return {**counts, "model_run_id": run_id}

    def _commit(self, request: Request, run_id: str) -> Json:
        assert isinstance(request.json, dict)
        self._run(run_id)["status"] = "completed"
        return {"model_run_id": run_id}

    def _run_info(self, request: Request, run_id: str) -> Json:
        return {name: self._run(run_id)[name] for name in ("model_id", "name", "status", "metadata")}

    def _found(self, run_id: str, by: Callable[[str, str], Row], key: str) -> Json:
        run = self._run(run_id)
        item = by(run["dataset"], key)
        return {"annotations": _grouped(run["predictions"].get(item["ref_id"], {}).values(), PREDICTED)}

    def _ungrouped(self, request: Request, run_id: str) -> Json:
        predictions = self._run(run_id)["predictions"].values()
        return _grouped(itertools.chain.from_iterable(rows.values() for rows in predictions), PREDICTED)

    def _delete_run(self, request: Request, run_id: str) -> Json:
        self._dataset(self._run(run_id)["dataset"])["runs"].remove(run_id)
        del self._runs[run_id]
        return {}

    # Slices

    def _slice(self, slice_id: str) -> Row:
        if slice_id not in self._slices:
            raise Refusal(404, f"Slice {slice_id} not found")
        return self._slices[slice_id]

    def _slices_of(self, dataset_id: str) -> list[str]:
        return [slice_id for slice_id, one in self._slices.items() if one["dataset_id"] == dataset_id]

    def _create_slice(self, request: Request, dataset_id: str) -> Json:
        (name,) = request.fields("name")
        body = request.json
        names = body.get("reference_ids") or []
        if len(names) > 10_000 or len(body.get("dataset_item_ids") or []) > 10_000:
            raise Refusal(400, "More than 10000 ids")
        names += [self._by_id(dataset_id, one)["ref_id"] for one in body.get("dataset_item_ids") or []]
        if not names and not body.get("allow_empty"):
            raise Refusal(400, "No ids")
        return {"slice_id": self._new_slice(dataset_id, name, names)}

    def _new_slice(self, dataset_id: str, name: str, names: list[str]) -> str:
        if any(self._slices[one]["name"] == name for one in self._slices_of(dataset_id)):
            raise Refusal(409, f"A slice named {name} already exists")
        for one in names:
            self._by_ref(dataset_id, one)
        slice_id = self._new("slc")
        known = {"name": name, "dataset_id": dataset_id, "type": "dataset_item", "description": None}
        times = {"created_at": "2026-01-01T00:00:00.000Z", "pending_job_count": 0}
        self._slices[slice_id] = {**known, **times, "tags": [], "names": list(dict.fromkeys(names))}
        return slice_id

    def _build_slice(self, request: Request, dataset_id: str) -> Json:
        name, size, method, filters = request.fields("name", "sampleSize", "sampleMethod", "filters")
        if set(request.json) - {"name", "sampleSize", "sampleMethod", "filters"} or method != "Random":
            raise Refusal(400, "Not a sample")
        source = filters.get("sliceId")
        names = list(self._dataset(dataset_id)["items"]) if source is None else self._slice(source)["names"]
        slice_id = self._new_slice(dataset_id, name, names[::-1][:size])
        return {**self._start("sliceQuery", dataset_id, lambda job: {}), "sliceId": slice_id}

    def _slice_info(self, slice_id: str) -> Json:
        return {"slice_id": slice_id, **{key: part for key, part in self._slice(slice_id).items() if key != "names"}}

    def _list_slices(self, request: Request, dataset_id: str) -> Json:
        self._dataset(dataset_id)
        names = ("name", "dataset_id", "type", "created_at", "pending_job_count")
        return [{"id": one, **{key: self._slices[one][key] for key in names}} for one in self._slices_of(dataset_id)]

    def _append_to_slice(self, request: Request, slice_id: str) -> Json:
        names, dataset_id = request.fields("reference_ids", "dataset_id")
        ids = {name: self._by_ref(dataset_id, name)["id"] for name in names}
        there = self._slice(slice_id)["names"]
        new = [name for name in ids if name not in there]
        there += new
        return {"slice_id": slice_id, "new_items": [ids[name] for name in new]}

    def _tag_slice(self, request: Request, slice_id: str) -> Json:
        (tags,) = request.fields("slice_tags")
        there = self._slice(slice_id)["tags"]
        there += [tag for tag in tags if tag not in there]
        return {}

    def _items_of(self, slice_id: str) -> list[Row]:
        one = self._slice(slice_id)
        return [self._by_ref(one["dataset_id"], name) for name in one["names"]]

    def _slice_items_page(self, request: Request, slice_id: str) -> Json:
        items, following = self._paged(request, self._items_of(slice_id))
        return {"items": items, "nextPageToken": following}

    def _slice_export_page(self, request: Request, slice_id: str) -> Json:
        request.fields("chip")
        return self._exported(request, self._slice(slice_id)["dataset_id"], self._items_of(slice_id))

    def _delete_slice(self, request: Request, slice_id: str) -> Json:
        self._slice(slice_id)
        del self._slices[slice_id]
        return {}

    # Jobs

    def _start(self, kind: str, dataset_id: str, work: Callable[[Row], Json]) -> Json:
        job_id = self._new("job")
        self._jobs[job_id] = {
            "job_type": kind,
            "status": "Running",
            "message": {},
            "errors": [],
            "looks": 0,
            "dataset": dataset_id,
            "work": work,
        }
        return self._entry(job_id)

    def _job(self, job_id: str) -> Row:
        if job_id not in self._jobs:
            raise Refusal(404, f"Job {job_id} not found")
        return self._jobs[job_id]

    def _entry(self, job_id: str) -> Row:
        job = self._job(job_id)
        known = {"job_id": job_id, "job_last_known_status": job["status"], "job_type": job["job_type"]}
        return {**known, "job_creation_time": f"2026-01-01T00:00:{int(job_id[4:], 16) % 60:02d}.000Z"}

    def _job_status(self, request: Request, job_id: str) -> Json:
        """Return how a job is. Nobody promised that jobs end in their order: at a second look the newest end first."""
        job = self._job(job_id)
        job["looks"] += 1
        if job["looks"] > 1:
            for one in reversed(self._jobs.values()):
                if one["status"] == "Running":
                    one["message"] = one["work"](one)
                    one["status"] = "Completed"
        done = job["status"] != "Running"
        known = {"job_id": job_id, "status": job["status"], "message": job["message"]}
        return {**known, "job_progress": "1.00" if done else "0.20", "completed_steps": 1 + 4 * done, "total_steps": 5}

    def _list_jobs(self, request: Request) -> Json:
        names = ("dataset_id", "job_types", "from_date", "to_date", "limit", "show_completed")
        dataset_id, kinds, _, _, limit, show_completed = request.fields(*names)
        found = [
            self._entry(job_id)
            for job_id, job in reversed(self._jobs.items())
            if dataset_id in (None, job["dataset"])
            and (not kinds or job["job_type"] in kinds)
            and (show_completed or job["status"] == "Running")
        ]
        return found[:limit]


def _content(body: Any) -> bytes:
    content = body.read() if hasattr(body, "read") else body or b""
    return content.encode() if isinstance(content, str) else bytes(content)


def _json(status: int, answer: Json) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(answer).encode()


def _matched(pattern: list[str], path: list[str]) -> list[str] | None:
    """Return the parts of a path that stand where the pattern has stars."""
    if len(pattern) != len(path) or any(a != b for a, b in zip(pattern, path, strict=True) if a != "*"):
        return None
    return [part for star, part in zip(pattern, path, strict=True) if star == "*"]


def _images(request: Request) -> list[Row]:
    """Read items and their files, which belong together by position."""
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    first, *files = message_from_bytes(head + request.body).get_payload()
    if first.get_param("name", header="Content-Disposition") != "items":
        raise Refusal(400, "The first part is `items`")
    items = json.loads(first.get_payload(decode=True))
    if len(files) != len(items) or len(items) > 10:
        raise Refusal(400, "As many files as items, ten at most")
    for number, (item, file) in enumerate(zip(items, files, strict=True)):
        if file.get_param("name", header="Content-Disposition") != "image" or "update" not in item:
            raise Refusal(400, f"Part {number + 1} is no `image` of an item that says `update`")
        item["image_url"] = f"https://cdn.example.org/{number}-{len(file.get_payload(decode=True))}.png"
    found: list[Row] = items
    return found


def _item(item_id: str, item: Row) -> Row:
    url = item["image_url"]
    shown = {"id": item_id, "dataset_item_id": item_id, "ref_id": item["reference_id"]}
    shown |= {"reference_id": item["reference_id"], "image_url": url, "original_image_url": url, "phash": None}
    sizes = {name: item[name] for name in ("width", "height") if name in item}
    return {**shown, **sizes, "metadata": item.get("metadata", {})}


def _grouped(rows: Any, kinds: tuple[str, ...]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {kind: [] for kind in kinds}
    for row in rows:
        groups[SHAPES.get(row["type"], row["type"])].append(row)
    return groups
