"""Exchanges with the hosted service: method, address, headers, body and answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import requests
import responses

import nucleus_pandas as npd
from tests.factories import SQUARE, marked_png
from tests.factories import box as make_box
from tests.factories import box_frame as make_box_frame
from tests.support.private import transport_of

HOST = "https://api.scale.com/v1/nucleus"


BUCKET = "https://bucket.example.org/upload?signature=s3cr3t"


KEY = "live_0123456789abcdef"


HOSTILE, QUOTED = "a/b c?#ü%..", "a%2Fb%20c%3F%23%C3%BC%25.."


HEX = "0" * 32  # stands for whatever the client made up: the id of a request, or that of an annotation


ITEM = {
    "id": "di_1",
    "dataset_item_id": "di_1",
    "ref_id": "a",
    "reference_id": "a",
    "image_url": "https://example.org/a",
}


ITEM |= {"original_image_url": "https://example.org/a", "metadata": {"k": 1}, "phash": None}


OTHER = {**ITEM, "id": "di_2", "dataset_item_id": "di_2", "ref_id": "b", "reference_id": "b", "metadata": {}}


BOX = {"id": "ann_1", "type": "box", "label": "car", "annotation_id": "one", "metadata": {}, "geometry": SQUARE}


BOX |= {"reference_id": "a", "task_id": None}


NONE: dict[str, Any] = {kind: [] for kind in ("line", "polygon", "keypoints", "cuboid", "category")}


ROW = {"item": ITEM, "annotations": {"box": [BOX], **NONE, "multicategory": [], "segmentation": []}}


FOUND = {"annotations": {"box": [{**BOX, "confidence": 0.5}], **NONE, "segmentation": []}}


PAGE = {"pageToken": None, "pageSize": 10_000}


EXPORT = {**PAGE, "query": None, "chip": False, "onlyMostRecentTask": True}


EXPORTED = {"item": ITEM, "box": [BOX], **NONE, "multicategory": [], "segmentation": None}


SLICE = {"name": "S", "slice_id": "slc_1", "dataset_id": "ds_1", "type": "dataset_item", "description": None}


SLICE |= {"created_at": "2026-01-01T00:00:00.000Z", "pending_job_count": 0, "tags": ["wet"]}


MODEL = {"id": "prj_1", "name": "M", "ref_id": "m", "metadata": None, "tags": ["night"], "trained_slice_ids": None}


RUN = {"model_id": "prj_1", "name": "first", "status": "started", "metadata": {"epoch": 3}}


JOB = {"job_id": "job_1", "job_last_known_status": "Running", "job_type": "uploadDatasetItems"}


JOB["job_creation_time"] = "2026-01-01T00:00:00.000Z"


COUNTS = {"new_items": 2, "updated_items": 0, "ignored_items": 0, "upload_errors": 0}


ENDED = {"job_id": "job_1", "status": "Completed", "message": COUNTS}


ENDED |= {"job_progress": "1.00", "completed_steps": 5, "total_steps": 5}


PROCESSED = {"dataset_id": "ds_1", "annotations_processed": 2, "annotations_ignored": 0}


PREDICTED = {"dataset_id": "ds_1", "model_run_id": "run_1", "predictions_processed": 2, "predictions_ignored": 0}


PREDICTED_ONE = {"predictions_processed": 1}


class Lines(NamedTuple):
    """A raw body: an object a line."""

    objects: Sequence[dict[str, Any]]


class Parts(NamedTuple):
    """A multipart body: name, file name, content type and content of each part."""

    parts: Sequence[tuple[str, str | None, str, Any]]


class Exchange(NamedTuple):
    """A request, and how it is answered."""

    method: str
    path: str
    body: Any
    answer: Any


class At(NamedTuple):
    """What cases begin with; nothing was asked for it."""

    client: npd.NucleusClient
    dataset: npd.Dataset
    model: npd.Model
    run: npd.ModelRun
    job: npd.Job
    slice: npd.Slice
    image: Path


class Case(NamedTuple):
    """What a member does, the requests that this makes, and what it gives."""

    member: str
    act: Callable[[At], Any]
    exchanges: Sequence[Exchange]
    gives: Any


def get(path: str, answer: Any) -> Exchange:
    return Exchange("GET", path, None, answer)


def post(path: str, body: Any, answer: Any) -> Exchange:
    return Exchange("POST", path, body, answer)


def delete(path: str, answer: Any) -> Exchange:
    return Exchange("DELETE", path, {}, answer)


def signed(*rows: dict[str, Any], update: bool = False, dataset: str = "ds_1") -> list[Exchange]:
    """The four requests of an upload whose job has ended when it is looked at."""
    return [
        get(f"dataset/{dataset}/signedUrl/{HEX}", {"signed_url": BUCKET}),
        Exchange("PUT", BUCKET, Lines(rows), ""),
        post(f"dataset/{dataset}/append?async=1", {"requestId": HEX, "update": update}, JOB),
        get("job/job_1", ENDED),
    ]


def with_image(*names: str, update: bool = False) -> Exchange:
    """A request with local images."""
    rows = [{"reference_id": name, "image_url": "my img.png", "update": update} for name in names]
    files = [("image", "my%20img.png", "image/png", marked_png(b"an image"))] * len(names)
    return post("dataset/ds_1/append?async=1", Parts([("items", None, "application/json", rows), *files]), JOB)


def box(name: str, **fields: Any) -> dict[str, Any]:
    return make_box(name, **{"annotation_id": "one", **fields})


def box_frame(*names: str, **columns: Any) -> pd.DataFrame:
    return make_box_frame(*names, annotation_id="one", **{**SQUARE, **columns})


SHAPES: list[dict[str, Any]] = [
    {"type": "line", "label": "lane", "geometry": {"vertices": [{"x": 0.5, "y": 1}]}},
    {"type": "polygon", "label": "roof", "geometry": {"vertices": [{"x": 0, "y": 0}, {"x": 2, "y": 3}]}},
    {
        "type": "keypoints",
        "label": "man",
        "geometry": {"keypoints": [{"x": 1, "y": 2, "visible": True}], "names": ["nose"], "skeleton": [[0, 0]]},
    },
    {
        "type": "cuboid",
        "label": "van",
        "geometry": {"position": {"x": 1, "y": 2, "z": 3}, "dimensions": {"x": 1, "y": 2, "z": 3}, "yaw": 0.5},
    },
    {"type": "category", "label": "night", "taxonomy_name": "light"},
]


MULTICATEGORY = {"type": "multicategory", "labels": ["rain", "fog"]}


MASK = {"type": "mask", "mask_url": "https://example.org/m.png", "annotations": [{"label": "sky", "index": 1}]}


def named(rows: Sequence[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    """Annotations of one image, with ids of their own."""
    return [{**row, "reference_id": "a", "annotation_id": str(n), **fields} for n, row in enumerate(rows)]


def mask_rows(count: int) -> list[dict[str, Any]]:
    return [{**MASK, "reference_id": f"{number}", "annotation_id": "m"} for number in range(count)]


def refused(act: Callable[[], Any]) -> str:
    with pytest.raises(npd.NucleusError) as caught:
        act()
    return type(caught.value).__name__


def statuses(result: npd.UploadResult) -> list[str]:
    return list(result.rows["status"])


def frame_of(found: pd.DataFrame, *columns: str) -> list[list[Any]]:
    return found.reset_index()[list(columns)].to_numpy().tolist()


def exported_to(at: At, files: pd.DataFrame) -> list[tuple[str, int]]:
    """Where files went, and how many rows they really hold."""
    return [
        (Path(*Path(path).relative_to(at.image.parent).parts[1:]).as_posix(), len(pd.read_parquet(path)))
        for path in files["path"]
    ]


VIEWS: dict[str, Callable[[At], Any]] = {
    "ItemsView": lambda at: at.dataset.items,
    "AnnotationsView": lambda at: at.dataset.annotations,
    "PredictionsView": lambda at: at.run.predictions,
    "SliceItemsView": lambda at: at.slice.items,
    "SliceAnnotationsView": lambda at: at.slice.annotations,
    "SlicePredictionsView": lambda at: at.slice.predictions("run_1"),
    "DatasetPredictionsView": lambda at: at.dataset.predictions("prj_1"),
    "ModelPredictionsView": lambda at: at.model.predictions,
}


def unknown_page(act: Callable[[], object]) -> str:
    """The sentence of what cannot be known of the hosted service."""
    with pytest.raises(npd.ConfigurationError) as caught:
        act()
    return str(caught.value).split(";")[0]


def opened(at: At) -> list[str]:
    shown: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("webbrowser.open", shown.append)
        return [at.dataset.open(), *shown]


def body_of(request: requests.PreparedRequest) -> bytes:
    content: Any = request.body
    return content.read() if hasattr(content, "read") else content or b""


class Host:
    """Answers requests as an exchange says, one after the other, and keeps what was sent."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self.exchanges = exchanges
        self.sent: list[tuple[requests.PreparedRequest, bytes]] = []
        self.probes = 0

    def answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        if request.url == f"{HOST}/_nucleus_pandas":
            self.probes += 1
            return 404, {"Content-Type": "text/plain"}, "Not Found"
        self.sent.append((request, body_of(request)))
        assert len(self.sent) <= len(self.exchanges), f"{request.method} {request.url} is one too many"
        answer = self.exchanges[len(self.sent) - 1].answer
        return 200, {"Content-Type": "application/json"}, answer if answer == "" else json.dumps(answer)


def listen(mock: responses.RequestsMock, answer: Callable[[Any], Any]) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        mock.add_callback(method, re.compile("https://"), answer, content_type=None)


def at(client: npd.NucleusClient, image: Path) -> At:
    transport = transport_of(client)
    return At(
        client,
        npd.Dataset(transport, "ds_1", "D"),
        npd.Model(transport, "prj_1"),
        npd.ModelRun(transport, "run_1", "ds_1"),
        npd.Job(transport, "job_1"),
        npd.Slice(transport, "slc_1", "S", "ds_1"),
        image,
    )


def asked(mock: responses.RequestsMock, image: Path, act: Callable[[At], Any], *answers: Any) -> Any:
    """What something gives when the requests that it makes are answered so."""
    listen(mock, Host([get("", answer) for answer in answers]).answer)
    with closing(npd.NucleusClient(KEY, max_retries=0, max_concurrency=1)) as client:
        return act(at(client, image))
