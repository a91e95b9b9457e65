"""Every request that the client makes of the hosted service: method, address, headers and body, and what it takes back.

One table holds a case for every public member of the resources and views. A member without a case fails, so does a
case without its member.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from email import message_from_bytes
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import requests
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
from nucleus_pandas.views.item_indexer import ItemIndexer

HOST = "https://api.scale.com/v1/nucleus"
BUCKET = "https://bucket.example.org/upload?signature=s3cr3t"
KEY = "live_0123456789abcdef"
HOSTILE, QUOTED = "a/b c?#ü%..", "a%2Fb%20c%3F%23%C3%BC%25.."
HEX = "0" * 32  # stands for whatever the client made up: the id of a request, or that of an annotation

ITEM = {"id": "di_1", "dataset_item_id": "di_1", "ref_id": "a", "reference_id": "a", "image_url": "https://e.org/a"}
ITEM |= {"original_image_url": "https://e.org/a", "metadata": {"k": 1}, "phash": None}
OTHER = {**ITEM, "id": "di_2", "dataset_item_id": "di_2", "ref_id": "b", "reference_id": "b", "metadata": {}}
GEOMETRY = {"x": 1, "y": 2, "width": 3, "height": 4}
BOX = {"id": "ann_1", "type": "box", "label": "car", "annotation_id": "one", "metadata": {}, "geometry": GEOMETRY}
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


def signed(*items: dict[str, Any], update: bool = False, dataset: str = "ds_1") -> list[Exchange]:
    """The four requests of an upload whose job has ended when it is looked at."""
    return [
        get(f"dataset/{dataset}/signedUrl/{HEX}", {"signed_url": BUCKET}),
        Exchange("PUT", BUCKET, Lines(items), ""),
        post(f"dataset/{dataset}/append?async=1", {"requestId": HEX, "update": update}, JOB),
        get("job/job_1", ENDED),
    ]


def with_image(*names: str, update: bool = False) -> Exchange:
    """A request with local images."""
    items = [{"reference_id": name, "image_url": "my img.png", "update": update} for name in names]
    files = [("image", "my%20img.png", "image/png", b"an image")] * len(names)
    return post("dataset/ds_1/append?async=1", Parts([("items", None, "application/json", items), *files]), JOB)


def items(*names: str, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"reference_id": names, "image_url": [f"https://e.org/{name}" for name in names]}).assign(
        **columns
    )


def item(name: str, **fields: Any) -> dict[str, Any]:
    return {"reference_id": name, "image_url": f"https://e.org/{name}", **fields}


def boxes(*names: str, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"reference_id": names, "label": "car", "annotation_id": "one"})
    return frame.assign(x=1, y=2, width=3, height=4, **columns)


def box(name: str, **fields: Any) -> dict[str, Any]:
    given = {"type": "box", "reference_id": name, "annotation_id": "one", "label": "car", "geometry": GEOMETRY}
    return {**given, **fields}


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
MASK = {"type": "mask", "mask_url": "https://e.org/m.png", "annotations": [{"label": "sky", "index": 1}]}


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


def clients() -> list[Case]:
    created = {"dataset_id": "ds_1", "name": "D"}
    details = [{"id": "ds_0", "name": "E", "is_public": True}, {"id": "ds_1", "name": "D", "is_public": False}]
    full = {
        "name": "D",
        "is_scene": False,
        "use_privacy_mode": True,
        "annotation_metadata_schema": None,
        "item_metadata_schema": {"hour": {"type": "number"}},
    }
    jobs = {"dataset_id": None, "job_types": [], "from_date": None, "to_date": None, "limit": 50_000}
    jobs["show_completed"] = True
    model = {"name": "M", "reference_id": "m", "metadata": {}}
    gone = {"message": "Beginning dataset deletion..."}
    return [
        Case(
            "NucleusClient.create_dataset",
            lambda at: at.client.create_dataset("D")["dataset_id"],
            [post("dataset/create", {"name": "D"}, created)],
            "ds_1",
        ),
        Case(
            "NucleusClient.create_dataset",
            lambda at: at.client.create_dataset(full).name,
            [post("dataset/create", full, created)],
            "D",
        ),
        Case(
            "NucleusClient.create_dataset",
            lambda at: at.client.create_dataset("D", exist_ok=True).id,
            [get("dataset/details", details)],
            "ds_1",
        ),
        Case(
            "NucleusClient.create_dataset",
            lambda at: at.client.create_dataset("F", exist_ok=True).id,
            [get("dataset/details", details), post("dataset/create", {"name": "F"}, {"dataset_id": "ds_2"})],
            "ds_2",
        ),
        Case(
            "NucleusClient.get_dataset",
            lambda at: at.client.get_dataset("ds_1").name,
            [get("dataset/ds_1/name", {"name": "D"})],
            "D",
        ),
        Case(
            "NucleusClient.get_dataset",
            lambda at: at.client.get_dataset(HOSTILE).id,
            [get(f"dataset/{QUOTED}/name", {"name": "D"})],
            HOSTILE,
        ),
        Case(
            "NucleusClient.get_dataset",
            lambda at: at.client.get_dataset("..").id,
            [get("dataset/%2E%2E/name", {"name": "D"})],
            "..",
        ),
        Case(
            "NucleusClient.list_datasets",
            lambda at: at.client.list_datasets(),
            [get("dataset/", ["ds_0", "ds_1"])],
            ["ds_0", "ds_1"],
        ),
        Case(
            "NucleusClient.datasets",
            lambda at: frame_of(at.client.datasets, "id", "name", "is_public"),
            [get("dataset/details", details)],
            [["ds_0", "E", True], ["ds_1", "D", False]],
        ),
        Case(
            "NucleusClient.delete_dataset",
            lambda at: [at.client.delete_dataset("ds_1"), at.client.delete_dataset(at.dataset)],
            [delete("dataset/ds_1", gone)] * 2,
            [gone, gone],
        ),
        Case(
            "NucleusClient.add_model",
            lambda at: at.client.add_model("M", "m").id,
            [post("models/add", model, {"model_id": "prj_1"})],
            "prj_1",
        ),
        Case(
            "NucleusClient.add_model",
            lambda at: at.client.add_model("M", reference_id="m", metadata={"at": np.float32(0.5)}, tags=["x"])[
                "model_id"
            ],
            [post("models/add", {**model, "metadata": {"at": 0.5}, "tags": ["x"]}, {"model_id": "prj_1"})],
            "prj_1",
        ),
        Case(
            "NucleusClient.create_model",
            lambda at: at.client.create_model({"name": "M", "reference_id": "m", "metadata": {"k": 1}}).reference_id,
            [post("models/add", {**model, "metadata": {"k": 1}}, {"model_id": "prj_1"})],
            "m",
        ),
        Case(
            "NucleusClient.get_model",
            lambda at: (at.client.get_model("run_1").id, at.client.get_model(HOSTILE).reference_id),
            [get("model/run_1", MODEL), get(f"model/{QUOTED}", MODEL)],
            ("prj_1", "m"),
        ),
        Case(
            "NucleusClient.models",
            lambda at: frame_of(at.client.models, "id", "name", "reference_id", "metadata", "tags"),
            [get("models/", {"models": [MODEL]})],
            [["prj_1", "M", "m", {}, ["night"]]],
        ),
        Case(
            "NucleusClient.delete_model",
            lambda at: [at.client.delete_model("prj_1"), at.client.delete_model(at.model)],
            [delete("model/prj_1", {"msg": "gone"})] * 2,
            [{"msg": "gone"}] * 2,
        ),
        Case(
            "NucleusClient.get_model_run",
            lambda at: at.client.get_model_run("run_1", "ds_1").id,
            [get("modelRun/run_1/info", RUN)],
            "run_1",
        ),
        Case(
            "NucleusClient.delete_model_run",
            lambda at: [at.client.delete_model_run("run_1"), at.client.delete_model_run(at.run)],
            [delete("modelRun/run_1", {})] * 2,
            [{}, {}],
        ),
        Case("NucleusClient.get_job", lambda at: at.client.get_job("job_1").id, [get("job/job_1", ENDED)], "job_1"),
        Case(
            "NucleusClient.jobs",
            lambda at: frame_of(at.client.jobs, "id", "type", "status", "created_at"),
            [post("jobs/", jobs, [JOB])],
            [["job_1", "uploadDatasetItems", "Running", pd.Timestamp("2026-01-01", tz="UTC")]],
        ),
        Case(
            "NucleusClient.get_slice",
            lambda at: [
                (found["slice_id"], found.name, found.dataset_id)
                for found in map(at.client.get_slice, ("slc_1", HOSTILE))
            ],
            [get("slice/slc_1/info", SLICE), get(f"slice/{QUOTED}/info", SLICE)],
            [("slc_1", "S", "ds_1"), (HOSTILE, "S", "ds_1")],
        ),
        Case(
            "NucleusClient.delete_slice",
            lambda at: [at.client.delete_slice("slc_1"), at.client.delete_slice(at.slice)],
            [delete("slice/slc_1", {})] * 2,
            [{}, {}],
        ),
        Case("NucleusClient.close", lambda at: at.client.close(), [], None),
    ]


def uploads() -> list[Case]:
    update = boxes("a").assign(metadata=[{"k": 1}])
    grouped = [*named(SHAPES), {**MULTICATEGORY, "reference_id": "a", "annotation_id": "5"}]
    return [
        Case(
            "Dataset.append",
            lambda at: statuses(at.dataset.append(items("a", "ü"), progress=False)),
            signed(item("a"), item("ü")),
            ["new", "new"],
        ),
        Case(
            "Dataset.append",
            lambda at: statuses(
                at.dataset.append(
                    items("a", "b", width=[640, None], rain=[True, None]), metadata=["rain"], if_exists="update"
                )
            ),
            signed(item("a", width=640, metadata={"rain": True}), item("b"), update=True),
            ["new", "new"],
        ),
        Case(
            "Dataset.append",
            lambda at: statuses(at.dataset.append({"items": [item("a", metadata={"k": None}), item("b")]})),
            signed(item("a", metadata={"k": None}), item("b")),
            ["new", "new"],
        ),
        Case(
            "Dataset.append",
            lambda at: statuses(at.dataset.append(items(*"ab").assign(image_url=str(at.image)))),
            [with_image("a", "b"), get("job/job_1", ENDED)],
            ["new", "new"],
        ),
        Case(
            "Dataset.append",
            lambda at: statuses(
                at.dataset.append([{"reference_id": "a", "image_url": at.image}], local=True, if_exists="update")
            ),
            [with_image("a", update=True), get("job/job_1", {**ENDED, "message": {"updated_items": 1}})],
            ["updated"],
        ),
        Case(
            "Dataset.append",
            lambda at: statuses(at.dataset.append(items(*"abcdefghijkl").assign(image_url=str(at.image)))),
            [
                with_image(*"abcdefghij"),
                get("job/job_1", {**ENDED, "message": {"new_items": 10}}),
                with_image(*"kl"),
                get("job/job_1", ENDED),
            ],
            ["new"] * 12,
        ),
        Case(
            "Dataset.append",
            lambda at: statuses(at.dataset.append(items(*"ab").assign(image_url=["https://e.org/a", at.image]))),
            [
                *signed(item("a"))[:3],
                get("job/job_1", {**ENDED, "message": {"new_items": 1}}),
                with_image("b"),
                get("job/job_1", {**ENDED, "message": {"ignored_items": 1}}),
            ],
            ["new", "ignored"],
        ),
        Case(
            "Dataset.append",
            lambda at: statuses(at.dataset.append(items(*"ab"), wait=False)),
            signed(item("a"), item("b"))[:3],
            ["accepted", "accepted"],
        ),
        Case(
            "Dataset.append",
            lambda at: statuses(npd.Dataset(at.client._transport, HOSTILE).append(items("a", "b"))),
            signed(item("a"), item("b"), dataset=QUOTED),
            ["new", "new"],
        ),
        Case("Dataset.append", lambda at: statuses(at.dataset.append([])), [], []),
        Case(
            "UploadResult.wait",
            lambda at: at.dataset.append(items(*"ab"), wait=False).wait().new_items,
            signed(item("a"), item("b")),
            2,
        ),
        Case(
            "Dataset.annotate",
            lambda at: statuses(at.dataset.annotate(boxes("a", HOSTILE))),
            [post("dataset/ds_1/annotate", {"annotations": [box("a"), box(HOSTILE)], "update": False}, PROCESSED)],
            ["processed", "processed"],
        ),
        Case(
            "Dataset.annotate",
            lambda at: at.dataset.annotate(update, if_exists="update").annotations_processed,
            [
                post(
                    "dataset/ds_1/annotate",
                    {"annotations": [box("a", metadata={"k": 1})], "update": True},
                    {**PROCESSED, "annotations_processed": 1},
                )
            ],
            1,
        ),
        Case(
            "Dataset.annotate",
            lambda at: statuses(at.dataset.annotate(boxes("a").drop(columns="annotation_id"))),
            [
                post(
                    "dataset/ds_1/annotate",
                    {"annotations": [box("a", annotation_id=HEX)], "update": False},
                    {**PROCESSED, "annotations_processed": 1},
                )
            ],
            ["processed"],
        ),
        Case(
            "Dataset.annotate",
            lambda at: statuses(at.dataset.annotate({"annotations": grouped})),
            [
                post(
                    "dataset/ds_1/annotate",
                    {"annotations": grouped, "update": False},
                    {**PROCESSED, "annotations_processed": 6},
                )
            ],
            ["processed"] * 6,
        ),
        Case(
            "Dataset.annotate",
            lambda at: statuses(at.dataset.annotate(boxes("di_1").rename(columns={"reference_id": "dataset_item_id"}))),
            [
                post(
                    "dataset/ds_1/annotate",
                    {
                        "annotations": [
                            {**{k: v for k, v in box("a").items() if k != "reference_id"}, "item_id": "di_1"}
                        ],
                        "update": False,
                    },
                    {**PROCESSED, "annotations_processed": 1},
                )
            ],
            ["processed"],
        ),
        Case(
            "Dataset.annotate",
            lambda at: statuses(at.dataset.annotate({"segmentations": mask_rows(1), "annotations": [box("a")]})),
            [
                post(
                    "dataset/ds_1/annotate",
                    {"annotations": [box("a")], "update": False},
                    {**PROCESSED, "annotations_processed": 1},
                ),
                post(
                    "dataset/ds_1/annotate",
                    {"segmentations": mask_rows(1), "update": False},
                    {**PROCESSED, "annotations_processed": 1},
                ),
            ],
            ["processed", "processed"],
        ),
        Case(
            "Dataset.annotate",
            lambda at: statuses(
                at.dataset.annotate(
                    pd.DataFrame(
                        {
                            "reference_id": [str(number) for number in range(45)],
                            "annotation_id": "m",
                            "type": "mask",
                            "geometry": [{key: MASK[key] for key in ("mask_url", "annotations")}] * 45,
                        }
                    )
                )
            ),
            [
                post(
                    "dataset/ds_1/annotate",
                    {"segmentations": mask_rows(45)[start : start + 20], "update": False},
                    {**PROCESSED, "annotations_processed": min(20, 45 - start)},
                )
                for start in (0, 20, 40)
            ],
            ["processed"] * 45,
        ),
        Case(
            "Dataset.annotate",
            lambda at: statuses(at.dataset.annotate(boxes(*"abcd"), batch_size=2)),
            [
                post("dataset/ds_1/annotate", {"annotations": [*map(box, names)], "update": False}, PROCESSED)
                for names in ("ab", "cd")
            ],
            ["processed"] * 4,
        ),
        Case(
            "ModelRun.predict",
            lambda at: statuses(at.run.predict(boxes("a", "b", confidence=[0.5, None]))),
            [
                post(
                    "modelRun/run_1/predict",
                    {"annotations": [box("a", confidence=0.5), box("b")], "update": False},
                    PREDICTED,
                )
            ],
            ["processed", "processed"],
        ),
        Case(
            "ModelRun.predict",
            lambda at: statuses(at.run.predict({"annotations": named([*SHAPES, MASK], confidence=0.25)})),
            [
                post(
                    "modelRun/run_1/predict",
                    {"annotations": named([*SHAPES, MASK], confidence=0.25)[:5], "update": False},
                    {**PREDICTED, "predictions_processed": 5},
                ),
                post(
                    "modelRun/run_1/predict",
                    {"segmentations": named([*SHAPES, MASK], confidence=0.25)[5:], "update": False},
                    {**PREDICTED, "predictions_processed": 1},
                ),
            ],
            ["processed"] * 6,
        ),
        Case(
            "UploadResult.__getitem__",
            lambda at: [
                at.run.predict(boxes("a", "b"))[name] for name in ("predictions_processed", "model_run_id", "model_id")
            ],
            [
                *[post("modelRun/run_1/predict", {"annotations": [box("a"), box("b")], "update": False}, PREDICTED)]
                * 3,
                get("modelRun/run_1/info", RUN),
            ],
            [2, "run_1", "prj_1"],
        ),
        *(
            Case(
                f"UploadResult.{name}", lambda at, name=name: getattr(at.dataset.append([]), name) is not None, [], True
            )
            for name in ("jobs", "rows", "failed", "is_error", "error_of")
        ),
    ]


def resources() -> list[Case]:
    info = {"dataset_id": "ds_1", "name": "D", "length": 2, "model_run_ids": ["run_1"], "slice_ids": [], "tags": None}
    created = {"model_id": "prj_1", "model_run_id": "run_1"}
    pairs = [{"ground_truth_label": "car", "model_prediction_label": "vehicle"}]
    committed = {"model_run_id": "run_1"}
    return [
        Case(
            "Dataset.name",
            lambda at: npd.Dataset(at.client._transport, "ds_1").name,
            [get("dataset/ds_1/name", {"name": "D"})],
            "D",
        ),
        Case("Dataset.info", lambda at: at.dataset.info, [get("dataset/ds_1/info", info)], info),
        Case("Dataset.__len__", lambda at: len(at.dataset), [get("dataset/ds_1/size", {"count": 2})], 2),
        Case("Dataset.__getitem__", lambda at: [at.dataset["dataset_id"], at.dataset["name"]], [], ["ds_1", "D"]),
        Case(
            "Dataset.create_model_run",
            lambda at: at.dataset.create_model_run(npd.Model(at.client._transport, "prj_1", "m"), name="first").id,
            [post("dataset/ds_1/modelRun/create", {"reference_id": "m", "name": "first"}, created)],
            "run_1",
        ),
        Case(
            "Dataset.create_model_run",
            lambda at: at.dataset.create_model_run(at.model, metadata={"epoch": 3})["model_run_id"],
            [
                get("model/prj_1", MODEL),
                post("dataset/ds_1/modelRun/create", {"reference_id": "m", "metadata": {"epoch": 3}}, created),
            ],
            "run_1",
        ),
        Case(
            "Dataset.create_model_run",
            lambda at: at.dataset.create_model_run({"reference_id": "m", "name": "n", "metadata": None}).id,
            [
                post(
                    "dataset/ds_1/modelRun/create",
                    {"reference_id": "m", "name": "n", "metadata": None},
                    {"model_run_id": "run_1"},
                )
            ],
            "run_1",
        ),
        Case(
            "Dataset.model_runs",
            lambda at: [run.id for run in at.dataset.model_runs],
            [get("dataset/ds_1/model_runs", ["run_1", "run_2"])],
            ["run_1", "run_2"],
        ),
        Case(
            "Dataset.delete_items",
            lambda at: at.dataset.delete_items(["a", HOSTILE, "a", 7]),
            [delete(f"dataset/ds_1/refloc/{name}", {}) for name in ("a", QUOTED, "7")],
            3,
        ),
        Case(
            "Dataset.delete_annotations",
            lambda at: at.dataset.delete_annotations(["a", "b"]).id,
            [
                Exchange("DELETE", "annotation/ds_1", {"reference_ids": ["a", "b"], "keep_history": True}, JOB),
                get("job/job_1", ENDED),
                get("job/job_1/errors", []),
            ],
            "job_1",
        ),
        Case(
            "Dataset.delete_annotations",
            lambda at: at.dataset.delete_annotations("a", wait=False).id,
            [Exchange("DELETE", "annotation/ds_1", {"reference_ids": ["a"], "keep_history": True}, JOB)],
            "job_1",
        ),
        Case(
            "Dataset.update_item_metadata",
            lambda at: at.dataset.update_item_metadata({"a": {"k": np.int8(1)}, "b": {}, "ü": {"n": [None]}}),
            [
                post(
                    "dataset/ds_1/metadata?async=0",
                    {
                        "metadata": [
                            {"reference_id": "a", "metadata": {"k": 1}},
                            {"reference_id": "b", "metadata": {}},
                            {"reference_id": "ü", "metadata": {"n": [None]}},
                        ],
                        "level": "item",
                    },
                    {"success": True},
                )
            ],
            3,
        ),
        Case(
            "Dataset.update_item_metadata",
            lambda at: at.dataset.update_item_metadata(
                pd.DataFrame({"reference_id": range(501), "h": 1.0}), metadata=["h"]
            ),
            [
                post(
                    "dataset/ds_1/metadata?async=0",
                    {
                        "metadata": [{"reference_id": str(n), "metadata": {"h": 1.0}} for n in numbers],
                        "level": "item",
                    },
                    {},
                )
                for numbers in (range(500), range(500, 501))
            ],
            501,
        ),
        Case("Dataset.tags", lambda at: at.dataset.tags, [get("dataset/ds_1/tags", {"tags": ["x"]})], ["x"]),
        Case(
            "Dataset.add_tags",
            lambda at: at.dataset.add_tags("y"),
            [post("dataset/ds_1/tags", {"tags": ["y"]}, {"tags": ["x", "y"]})],
            ["x", "y"],
        ),
        Case(
            "Dataset.remove_tags",
            lambda at: at.dataset.remove_tags(["x", "z"]),
            [Exchange("DELETE", "dataset/ds_1/tags", {"tags": ["x", "z"]}, {"tags": ["y"]})],
            ["y"],
        ),
        Case(
            "Dataset.add_taxonomy",
            lambda at: at.dataset.add_taxonomy("t", ["x", "y"], kind="multicategory", update=True)["status"],
            [
                post(
                    "dataset/ds_1/add_taxonomy",
                    {"taxonomy_name": "t", "type": "multicategory", "labels": ["x", "y"], "update": True},
                    {"dataset_id": "ds_1", "taxonomy_name": "t", "status": "Taxonomy created"},
                )
            ],
            "Taxonomy created",
        ),
        Case(
            "Dataset.delete_taxonomy",
            lambda at: at.dataset.delete_taxonomy(HOSTILE),
            [delete(f"dataset/ds_1/taxonomy/{QUOTED}", {"status": "gone"})],
            {"status": "gone"},
        ),
        *(
            Case(
                f"Dataset.{name}",
                lambda at, name=name: repr(getattr(at.dataset, name)),
                [],
                f"<{name} of dataset/ds_1>",
            )
            for name in ("items", "annotations", "iloc", "loc", "refloc")
        ),
        Case("Model.info", lambda at: at.model.info, [get("model/prj_1", MODEL)], MODEL),
        Case("Model.name", lambda at: at.model.name, [get("model/prj_1", MODEL)], "M"),
        Case("Model.reference_id", lambda at: at.model.reference_id, [get("model/prj_1", MODEL)], "m"),
        Case("Model.metadata", lambda at: at.model.metadata, [get("model/prj_1", MODEL)], {}),
        Case("Model.__getitem__", lambda at: at.model["model_id"], [], "prj_1"),
        Case("Model.tags", lambda at: at.model.tags, [get("model/prj_1", MODEL)], ["night"]),
        Case("Model.trained_slice_ids", lambda at: at.model.trained_slice_ids, [get("model/prj_1", MODEL)], []),
        *(
            Case(
                f"Model.{verb}_{name}",
                lambda at, verb=verb, name=name: getattr(at.model, f"{verb}_{name}")("x"),
                [Exchange(method, f"model/prj_1/{route}", {name: ["x"]}, {})],
                None,
            )
            for verb, method in (("add", "POST"), ("remove", "DELETE"))
            for name, route in (("tags", "tag"), ("trained_slice_ids", "trainedSliceId"))
        ),
        Case("ModelRun.info", lambda at: at.run.info, [get("modelRun/run_1/info", RUN)], RUN),
        Case(
            "ModelRun.__getitem__",
            lambda at: [at.run[name] for name in ("model_run_id", "model_id", "status")],
            [get("modelRun/run_1/info", RUN)] * 2,
            ["run_1", "prj_1", "started"],
        ),
        Case(
            "ModelRun.commit",
            lambda at: at.run.commit(),
            [post("modelRun/run_1/commit", {}, committed)],
            committed,
        ),
        Case(
            "ModelRun.commit",
            lambda at: at.run.commit(class_agnostic=False),
            [post("modelRun/run_1/commit", {"class_agnostic": False}, committed)],
            committed,
        ),
        Case(
            "ModelRun.commit",
            lambda at: at.run.commit(allowed_label_matches=[("car", "vehicle")]),
            [post("modelRun/run_1/commit", {"allowed_label_matches": pairs}, committed)],
            committed,
        ),
        *(
            Case(
                f"ModelRun.{name}", lambda at, name=name: repr(getattr(at.run, name)), [], f"<{name} of modelRun/run_1>"
            )
            for name in ("predictions", "iloc", "loc", "refloc")
        ),
        Case("Job.info", lambda at: at.job.info, [get("job/job_1", ENDED)], ENDED),
        Case("Job.status", lambda at: at.job.status, [get("job/job_1", ENDED)], "Completed"),
        Case("Job.errors", lambda at: at.job.errors(), [get("job/job_1/errors", ["No."])], ["No."]),
        Case(
            "Job.wait",
            lambda at: at.job.wait().id,
            [get("job/job_1", {**ENDED, "status": "Running"}), get("job/job_1", ENDED)],
            "job_1",
        ),
        Case("Job.cancel", lambda at: refused(at.job.cancel), [], "UnsupportedError"),
        Case("Job.ended", lambda at: at.job.ended().message, [get("job/job_1", ENDED)], COUNTS),
    ]


def views() -> list[Case]:
    first, second = {"items": [ITEM], "nextPageToken": "t"}, {"items": [OTHER], "nextPageToken": None}
    following = {**PAGE, "pageToken": "t"}
    paged = [post("dataset/ds_1/itemsPage", PAGE, first), post("dataset/ds_1/itemsPage", following, second)]
    small = [
        post("dataset/ds_1/itemsPage", {**PAGE, "pageSize": 1}, first),
        post("dataset/ds_1/itemsPage", {**following, "pageSize": 1}, second),
    ]
    data = {"data": [EXPORTED], "nextPageToken": "t"}, {"data": [{**EXPORTED, "item": OTHER}], "nextPageToken": ""}
    exported = [
        post("dataset/ds_1/exportForTrainingPage", EXPORT, data[0]),
        post("dataset/ds_1/exportForTrainingPage", {**EXPORT, "pageToken": "t"}, data[1]),
    ]
    bare = {"box": [{**BOX, "confidence": 0.5, "reference_id": "b"}], **NONE, "segmentation": []}
    predicted = [get("modelRun/run_1/ungrouped", bare), *paged]
    ids = "dataset_item_id", "reference_id", "label"
    both = [["di_1", "a", "car"], ["di_2", "b", "car"]]
    two = [get("dataset/ds_1/refloc/b", {**ROW, "item": OTHER}), get("dataset/ds_1/refloc/a", ROW)]
    size = get("dataset/ds_1/size", {"count": 2})
    first_row, one_shown = get("dataset/ds_1/iloc/0", ROW), "<Gallery of 1 image>"
    unplaced = {**BOX, "confidence": 0.5, "dataset_item_id": "di_1"}
    held = {"annotations": {**FOUND["annotations"], "box": [unplaced]}}
    flat = [{**BOX, "confidence": 0.5}]
    cases = [
        Case(
            "ItemsView.to_frame",
            lambda at: frame_of(at.dataset.items.to_frame(), *ids[:2]),
            paged,
            [["di_1", "a"], ["di_2", "b"]],
        ),
        Case("ItemsView.iter_frames", lambda at: [len(one) for one in at.dataset.items.iter_frames(1)], small, [1, 1]),
        Case("ItemsView.__len__", lambda at: len(at.dataset.items), [size], 2),
        Case("AnnotationsView.to_frame", lambda at: frame_of(at.dataset.annotations.to_frame(), *ids), exported, both),
        Case(
            "AnnotationsView.iter_frames",
            lambda at: [len(one) for one in at.dataset.annotations.iter_frames()],
            exported,
            [2],
        ),
        Case(
            "Dataset.to_coco",
            lambda at: [
                (each["image_id"], each["bbox"], each["iscrowd"]) for each in at.dataset.to_coco()["annotations"]
            ],
            [*paged, *exported],
            [(1, [1.0, 2.0, 3.0, 4.0], 0), (2, [1.0, 2.0, 3.0, 4.0], 0)],
        ),
        Case("AnnotationsView.__len__", lambda at: len(at.dataset.annotations), exported, 2),
        Case("PredictionsView.to_frame", lambda at: frame_of(at.run.predictions.to_frame(), *ids), predicted, both[1:]),
        Case(
            "PredictionsView.iter_frames",
            lambda at: [len(one) for one in at.run.predictions.iter_frames()],
            predicted,
            [1],
        ),
        Case(
            "ModelRun.matches",
            lambda at: at.run.matches()["match_type"].tolist(),
            [*predicted, *exported, *paged],
            ["FN", "TP"],
        ),
        Case(
            "ModelRun.evaluate",
            lambda at: at.run.evaluate().counts[["TP", "FP", "FN"]].sum().tolist(),
            [*predicted, *exported, *paged, get("modelRun/run_1/evaluationsV2", [])],
            [1, 0, 1],
        ),
        Case(
            "ModelRun.examples",
            lambda at: frame_of(at.run.examples("FN"), *ids),
            [*predicted, *exported, *paged],
            both[:1],
        ),
        Case(
            "Dataset.to_parquet",
            lambda at: exported_to(at, at.dataset.to_parquet(at.image.parent / "export", overwrite=True)),
            [
                get("dataset/ds_1/model_runs", ["run_1"]),
                *paged,
                *exported,
                get("modelRun/run_1/info", {**RUN, "status": "committed"}),
                *predicted,
                *predicted,
                *exported,
                *paged,
            ],
            [
                ("items.parquet", 2),
                ("annotations.parquet", 2),
                ("predictions/model_run_id=run_1/predictions.parquet", 1),
                ("matches/model_run_id=run_1/matches.parquet", 2),
            ],
        ),
        Case(
            "Dataset.to_parquet",
            lambda at: exported_to(
                at, at.dataset.to_parquet(at.image.parent / "items", what=["items"], overwrite=True)
            ),
            paged,
            [("items.parquet", 2)],
        ),
        Case(
            "Dataset.to_parquet",
            lambda at: exported_to(
                at, at.dataset.to_parquet(at.image.parent / "runs", what=["predictions"], overwrite=True)
            ),
            [get("dataset/ds_1/model_runs", ["run_1"]), get("modelRun/run_1/info", RUN), *predicted],
            [("predictions/model_run_id=run_1/predictions.parquet", 1)],
        ),
        Case("PredictionsView.__len__", lambda at: len(at.run.predictions), predicted, 1),
        Case("ItemsView.show", lambda at: repr(at.dataset.items.show(1)), [size, first_row], one_shown),
        Case(
            "AnnotationsView.show",
            lambda at: repr(at.dataset.annotations.show(1)),
            [size, first_row, get("dataset/ds_1/loc/di_1", ROW)],
            one_shown,
        ),
        Case(
            "PredictionsView.show",
            lambda at: repr(at.run.predictions.show(1)),
            [size, first_row, get("modelRun/run_1/loc/di_1", FOUND)],
            one_shown,
        ),
        Case(
            "ItemIndexer.__getitem__",
            lambda at: at.dataset.items.refloc[["b", "a"], "dataset_item_id"].tolist(),
            two,
            ["di_2", "di_1"],
        ),
        Case(
            "ItemIndexer.__getitem__",
            lambda at: at.dataset.items.loc["di_1", "image_url"],
            [get("dataset/ds_1/loc/di_1", ROW)],
            "https://e.org/a",
        ),
        Case(
            "ItemIndexer.__getitem__",
            lambda at: at.dataset.items.iloc[-1, 0],
            [size, get("dataset/ds_1/iloc/1", {**ROW, "item": OTHER})],
            "b",
        ),
        Case(
            "ItemIndexer.__getitem__",
            lambda at: at.dataset.items.iloc[:]["reference_id"].tolist(),
            [size, *paged],
            ["a", "b"],
        ),
        Case(
            "DatasetIndexer.__getitem__",
            lambda at: at.dataset.iloc[1, 0],
            [get("dataset/ds_1/iloc/1", {**ROW, "item": OTHER})],
            "b",
        ),
        Case(
            "DatasetIndexer.__getitem__",
            lambda at: at.dataset.refloc[HOSTILE, "dataset_item_id"],
            [
                get(
                    f"dataset/ds_1/refloc/{QUOTED}",
                    {**ROW, "item": {**ITEM, "reference_id": HOSTILE, "ref_id": HOSTILE}},
                )
            ],
            "di_1",
        ),
        Case(
            "DatasetIndexer.__call__",
            lambda at: [at.dataset.refloc(HOSTILE), at.dataset.iloc(0), at.dataset.iloc(-1), at.dataset.loc("di_1")],
            [
                get(f"dataset/ds_1/refloc/{QUOTED}", ROW),
                get("dataset/ds_1/iloc/0", ROW),
                size,
                get("dataset/ds_1/iloc/1", ROW),
                get("dataset/ds_1/loc/di_1", ROW),
            ],
            [{"item": ITEM, "annotations": [BOX]}] * 4,
        ),
        Case(
            "AnnotationIndexer.__getitem__",
            lambda at: frame_of(at.dataset.annotations.refloc[["b", "a"]], *ids),
            two,
            both[::-1],
        ),
        Case(
            "AnnotationIndexer.__getitem__",
            lambda at: frame_of(at.run.predictions.loc["di_1"], *ids),
            [get("modelRun/run_1/loc/di_1", held)],
            both[:1],
        ),
        Case(
            "RunIndexer.__getitem__",
            lambda at: frame_of(at.run.refloc[HOSTILE, list(ids)], *ids),
            [get(f"modelRun/run_1/refloc/{QUOTED}", held)],
            [["di_1", HOSTILE, "car"]],
        ),
        Case(
            "RunIndexer.__getitem__",
            lambda at: frame_of(at.run.iloc[0], *ids),
            [get("modelRun/run_1/iloc/0", FOUND), get("dataset/ds_1/iloc/0", ROW)],  # which item that was
            both[:1],
        ),
        Case(
            "RunIndexer.__call__",
            lambda at: [at.run.refloc(HOSTILE), at.run.iloc(0), at.run.iloc(-2), at.run.loc("di_1")],
            [
                get(f"modelRun/run_1/refloc/{QUOTED}", FOUND),
                get("modelRun/run_1/iloc/0", FOUND),
                size,
                get("modelRun/run_1/iloc/0", FOUND),
                get("modelRun/run_1/loc/di_1", FOUND),
            ],
            [{"annotations": flat}] * 4,
        ),
    ]
    for name, view in VIEWS.items():
        for by in ("iloc", "loc", "refloc"):
            cases.append(Case(f"{name}.{by}", lambda at, view=view, by=by: getattr(view(at), by) is not None, [], True))
        cases += [
            Case(f"{name}.kinds", lambda at, view=view: "reference_id" in view(at).kinds, [], True),
            Case(f"{name}.empty", lambda at, view=view: len(view(at).empty()), [], 0),
            Case(f"{name}.partial", lambda at, view=view: len(view(at).partial({}, 3)), [], 3),
            Case(f"{name}.source", lambda at, view=view: view(at).source() is not None, [], True),
        ]
    return cases


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


def of_models() -> list[Case]:
    created = {"model_id": "prj_1", "model_run_id": "run_2"}
    sent = {"annotations": [box("a", confidence=0.5, class_pdf={"car": 0.5}), box("b")], "update": False}
    frame = boxes("a", "b", confidence=[0.5, None], class_pdf=[{"car": 0.5}, None])
    by_item = boxes("a").assign(dataset_item_id="di_1")
    shown = {key: value for key, value in box("a").items() if key != "reference_id"} | {"item_id": "di_1"}
    free = {"model_id": "prj_1", "predictions_processed": 2, "predictions_ignored": 0}
    ids = "dataset_item_id", "reference_id", "label"
    paged = [post("dataset/ds_1/itemsPage", PAGE, {"items": [ITEM, OTHER], "nextPageToken": None})]
    bare = {"box": [{**BOX, "confidence": 0.5, "reference_id": "b"}], **NONE, "segmentation": []}
    predicted = [get("dataset/ds_1/model/prj_1/export", bare), *paged]
    on_run = [get("modelRun/run_1/ungrouped", bare), *paged]
    placed = {"predictions": [{**BOX, "type": "box", "dataset_item_id": "di_1", "reference_id": "a"}]}
    merged = {"model_run_id": "run_3", "dataset_ids": ["ds_1"], "job_id": "job_1"}
    copied = {"model_id": "prj_1", "model_run_ids": ["run_1"], "predictions_copied": 2}
    copied["predictions_skipped_unsupported"] = 0
    route = "dataset/ds_1/model/prj_1/uploadPredictions"
    jobs = {"dataset_id": "ds_1", "job_types": [], "from_date": None, "to_date": None, "limit": 50_000}
    size, first_row = get("dataset/ds_1/size", {"count": 2}), get("dataset/ds_1/iloc/0", ROW)
    return [
        Case(
            "Model.predict",
            lambda at: [at.model.predict(frame, dataset=at.dataset)[key] for key in ("model_id", "model_run_id")],
            [post(route, sent, PREDICTED)] * 2,
            ["prj_1", "run_1"],
        ),
        Case(
            "Model.predict",
            lambda at: statuses(at.model.predict(frame)),
            [post("model/prj_1/predictions", sent, free)],
            ["processed", "processed"],
        ),
        Case(
            "Model.predict",
            lambda at: statuses(at.model.predict(by_item)),
            [post("model/prj_1/predictions", {"annotations": [shown], "update": False}, {**free, **PREDICTED_ONE})],
            ["processed"],
        ),
        Case(
            "ModelRun.predict",
            lambda at: statuses(at.run.predict(frame, dataset="ds_2")),
            [post("dataset/ds_2/modelRun/run_1/uploadPredictions", sent, PREDICTED)],
            ["processed", "processed"],
        ),
        Case(
            "Model.create_model_run",
            lambda at: at.model.create_model_run("everywhere", {"epoch": 3}).id,
            [
                post(
                    "model/prj_1/modelRun/create",
                    {"name": "everywhere", "reference_id": None, "metadata": {"epoch": 3}},
                    created,
                )
            ],
            "run_2",
        ),
        Case(
            "Model.model_runs",
            lambda at: [run.id for run in at.model.model_runs],
            [get("model/prj_1/modelRun", ["run_1", "run_2"])],
            ["run_1", "run_2"],
        ),
        Case(
            "Model.copy_predictions_from_run",
            lambda at: at.model.copy_predictions_from_run(at.run),
            [post("model/prj_1/predictions/copyFromRun", {"model_run_id": "run_1"}, copied)],
            copied,
        ),
        Case(
            "NucleusClient.merge_model_runs",
            lambda at: at.client.merge_model_runs([at.run, "run_2"], name="both")._dataset(),
            [
                post("modelRun/merge", {"model_run_ids": ["run_1", "run_2"], "name": "both"}, merged),
                get("job/job_1", ENDED),
            ],
            "ds_1",
        ),
        Case(
            "Dataset.jobs",
            lambda at: frame_of(at.dataset.jobs, "id", "status"),
            [post("jobs/", {**jobs, "show_completed": True}, [JOB])],
            [["job_1", "Running"]],
        ),
        Case(
            "Dataset.predictions",
            lambda at: [repr(at.dataset.predictions(one)) for one in (at.model, "run_1")],
            [],
            ["<predictions of dataset/ds_1/model/prj_1>", "<predictions of dataset/ds_1/modelRun/run_1>"],
        ),
        Case("Model.predictions", lambda at: repr(at.model.predictions), [], "<predictions of model/prj_1>"),
        Case(
            "DatasetPredictionsView.to_frame",
            lambda at: frame_of(at.dataset.predictions(at.model).to_frame(), *ids),
            predicted,
            [["di_2", "b", "car"]],
        ),
        Case(
            "DatasetPredictionsView.to_frame",
            lambda at: frame_of(at.dataset.predictions(at.run).to_frame(), *ids),
            on_run,
            [["di_2", "b", "car"]],
        ),
        Case(
            "DatasetPredictionsView.iter_frames",
            lambda at: [len(one) for one in at.dataset.predictions(at.model).iter_frames()],
            predicted,
            [1],
        ),
        Case("DatasetPredictionsView.__len__", lambda at: len(at.dataset.predictions(at.model)), predicted, 1),
        Case(
            "DatasetPredictionsView.show",
            lambda at: repr(at.dataset.predictions(at.model).show(1)),
            [
                size,
                first_row,
                get("dataset/ds_1/loc/di_1", ROW),
                get("dataset/ds_1/model/prj_1/referenceId/a", FOUND),
            ],
            "<Gallery of 1 image>",
        ),
        Case(
            "AnnotationIndexer.__getitem__",
            lambda at: frame_of(at.dataset.predictions(at.model).refloc[HOSTILE, ["label"]], "label"),
            [get(f"dataset/ds_1/model/prj_1/referenceId/{QUOTED}", FOUND), get(f"dataset/ds_1/refloc/{QUOTED}", ROW)],
            [["car"]],
        ),
        Case(
            "AnnotationIndexer.__getitem__",
            lambda at: [frame_of(at.model.predictions.loc["di_1"], *ids), len(at.model.predictions.refloc[HOSTILE])],
            [
                get("model/prj_1/predictions/loc/di_1", placed),
                get(f"model/prj_1/predictions/refloc/{QUOTED}", {"predictions": []}),
            ],
            [[["di_1", "a", "car"]], 0],
        ),
        *(
            Case(
                f"ModelPredictionsView.{name}", lambda at, act=act: refused(lambda: act(at.model.predictions)), [], kind
            )
            for name, act, kind in (
                ("to_frame", lambda view: view.to_frame(), "UnsupportedError"),
                ("iter_frames", lambda view: list(view.iter_frames()), "UnsupportedError"),
                ("__len__", len, "UnsupportedError"),
                ("show", lambda view: view.show(1), "InvalidInputError"),
            )
        ),
        Case(
            "Slice.predictions",
            lambda at: frame_of(at.slice.predictions(at.model).to_frame(), *ids),
            [
                post(
                    "slice/slc_1/prj_1/exportForTrainingPage",
                    {**PAGE, "chip": False},
                    {"data": [{"item": OTHER, "box": [BOX]}], "nextPageToken": None},
                )
            ],
            [["di_2", "b", "car"]],
        ),
    ]


def slices() -> list[Case]:
    made = {"slice_id": "slc_1"}
    entries = [{"id": "slc_1", **SLICE}, {"id": "slc_2", **SLICE, "name": "T"}]
    built = {"name": "S", "sampleSize": 5, "sampleMethod": "Random", "filters": {}}
    by_item = pd.DataFrame({"label": ["x", "y"]}, index=pd.Index(["di_2", "di_1"], name="dataset_item_id"))
    appended = {"slice_id": "slc_1", "new_items": ["di_2"]}
    pages = {"items": [ITEM], "nextPageToken": "t"}, {"items": [OTHER], "nextPageToken": None}
    paged = [post("slice/slc_1/itemsPage", PAGE, pages[0])]
    paged.append(post("slice/slc_1/itemsPage", {**PAGE, "pageToken": "t"}, pages[1]))
    export = {**PAGE, "chip": False}
    rows = [EXPORTED, {**EXPORTED, "item": OTHER}]
    exported = [post("slice/slc_1/exportForTrainingPage", export, {"data": rows, "nextPageToken": None})]
    elsewhere = {**BOX, "confidence": 0.5, "reference_id": "not in it"}
    bare = {"box": [{**BOX, "confidence": 0.5, "reference_id": "b"}, elsewhere], **NONE, "segmentation": []}
    predicted = [get("modelRun/run_1/ungrouped", bare), *paged]
    ids = "dataset_item_id", "reference_id", "label"
    both = [["di_1", "a", "car"], ["di_2", "b", "car"]]
    items_of = [["di_1", "a"], ["di_2", "b"]]
    create = "dataset/ds_1/create_slice"
    return [
        Case(
            "Dataset.slices",
            lambda at: [(one.id, one.name) for one in at.dataset.slices],
            [get("dataset/ds_1/slices", entries)],
            [("slc_1", "S"), ("slc_2", "T")],
        ),
        Case(
            "Dataset.create_slice",
            lambda at: [
                at.dataset.create_slice("S", ["b", "a", "b"]).id,
                at.dataset.create_slice({"name": "S", "reference_ids": ["a"]})["slice_id"],
                at.dataset.create_slice({"name": "S", "dataset_item_ids": ["di_1"]}).name,
                at.dataset.create_slice("S").dataset_id,
                at.dataset.create_slice("S", boxes("a", "ü", "a")).id,
                at.dataset.create_slice("S", by_item).id,
            ],
            [
                post(create, {"name": "S", "reference_ids": ["b", "a"]}, made),
                post(create, {"name": "S", "reference_ids": ["a"]}, made),
                post(create, {"name": "S", "dataset_item_ids": ["di_1"]}, made),
                post(create, {"name": "S", "allow_empty": 1}, made),
                post(create, {"name": "S", "reference_ids": ["a", "ü"]}, made),
                post(create, {"name": "S", "dataset_item_ids": ["di_2", "di_1"]}, made),
            ],
            ["slc_1", "slc_1", "S", "ds_1", "slc_1", "slc_1"],
        ),
        Case(
            "Dataset.create_slice",
            lambda at: at.dataset.create_slice("S", range(10_001)).id,
            [
                post(create, {"name": "S", "reference_ids": [str(number) for number in range(10_000)]}, made),
                post("slice/slc_1/append", {"reference_ids": ["10000"], "dataset_id": "ds_1"}, appended),
            ],
            "slc_1",
        ),
        Case(
            "Dataset.build_slice",
            lambda at: [
                at.dataset.build_slice("S", 5).id,
                at.dataset.build_slice("S", 5, "Uniqueness", {"slice_id": "slc_2"}).id,
            ],
            [
                post("dataset/ds_1/build_slice", built, {"sliceId": "slc_1"}),
                post(
                    "dataset/ds_1/build_slice",
                    {**built, "sampleMethod": "Uniqueness", "filters": {"sliceId": "slc_2"}},
                    {"sliceId": "slc_3", **JOB},
                ),
                get("job/job_1", {**ENDED, "status": "Running"}),
                get("job/job_1", ENDED),
            ],
            ["slc_1", "slc_3"],
        ),
        Case("Slice.info", lambda at: at.slice.info, [get("slice/slc_1/info", SLICE)], SLICE),
        Case(
            "Slice.name",
            lambda at: [at.slice.name, npd.Slice(at.client._transport, "slc_1").name],
            [get("slice/slc_1/info", SLICE)],
            ["S", "S"],
        ),
        Case(
            "Slice.dataset_id",
            lambda at: npd.Slice(at.client._transport, "slc_1").dataset_id,
            [get("slice/slc_1/info", SLICE)],
            "ds_1",
        ),
        Case("Slice.tags", lambda at: at.slice.tags, [get("slice/slc_1/info", SLICE)], ["wet"]),
        Case("Slice.__getitem__", lambda at: [at.slice["slice_id"], at.slice["dataset_id"]], [], ["slc_1", "ds_1"]),
        Case("Slice.__len__", lambda at: len(at.slice), paged, 2),
        Case("Slice.to_frame", lambda at: frame_of(at.slice.to_frame(), *ids[:2]), paged, items_of),
        Case(
            "Slice.append",
            lambda at: at.slice.append(["b", "a"]),
            [post("slice/slc_1/append", {"reference_ids": ["b", "a"], "dataset_id": "ds_1"}, appended)],
            appended,
        ),
        Case(
            "Slice.append",
            lambda at: at.slice.append(by_item),
            [
                get("dataset/ds_1/loc/di_2", {**ROW, "item": OTHER}),
                get("dataset/ds_1/loc/di_1", ROW),
                post("slice/slc_1/append", {"reference_ids": ["b", "a"], "dataset_id": "ds_1"}, appended),
            ],
            appended,
        ),
        Case(
            "Slice.add_tags",
            lambda at: at.slice.add_tags(["night", "wet"]),
            [post("slice/slc_1/tag", {"slice_tags": ["night", "wet"]}, {}), get("slice/slc_1/info", SLICE)],
            ["wet"],
        ),
        Case(
            "Slice.remove_tags",
            lambda at: at.slice.remove_tags("night"),
            [Exchange("DELETE", "slice/slc_1/tag", {"slice_tags": ["night"]}, {}), get("slice/slc_1/info", SLICE)],
            ["wet"],
        ),
        *(
            Case(f"Slice.{name}", lambda at, name=name: repr(getattr(at.slice, name)), [], f"<{shown} of slice/slc_1>")
            for name, shown in [("items", "items"), ("annotations", "annotations")]
        ),
        Case("Slice.loc", lambda at: at.slice.loc["di_2", "reference_id"], paged, "b"),
        Case("Slice.iloc", lambda at: at.slice.iloc[1, 0], paged, "b"),
        Case("Slice.refloc", lambda at: at.slice.refloc["b", "image_url"], paged, "https://e.org/a"),
        Case(
            "Slice.predictions",
            lambda at: [repr(at.slice.predictions(one)) for one in (at.run, "run_1")],
            [],
            ["<predictions of slice/slc_1>"] * 2,
        ),
        Case("SliceItemsView.to_frame", lambda at: frame_of(at.slice.items.to_frame(), *ids[:2]), paged, items_of),
        Case(
            "SliceItemsView.iter_frames",
            lambda at: [len(one) for one in at.slice.items.iter_frames(1)],
            [post(one.path, {**one.body, "pageSize": 1}, one.answer) for one in paged],
            [1, 1],
        ),
        Case("SliceItemsView.__len__", lambda at: len(at.slice.items), paged, 2),
        Case(
            "SliceAnnotationsView.to_frame",
            lambda at: frame_of(at.slice.annotations.to_frame(), *ids),
            exported,
            both,
        ),
        Case(
            "SliceAnnotationsView.iter_frames",
            lambda at: [len(one) for one in at.slice.annotations.iter_frames()],
            exported,
            [2],
        ),
        Case("SliceAnnotationsView.__len__", lambda at: len(at.slice.annotations), exported, 2),
        Case(
            "SlicePredictionsView.to_frame",
            lambda at: frame_of(at.slice.predictions(at.run).to_frame(), *ids),
            predicted,
            both[1:],
        ),
        Case(
            "SlicePredictionsView.iter_frames",
            lambda at: [len(one) for one in at.slice.predictions(at.run).iter_frames()],
            predicted,
            [1],
        ),
        Case("SliceItemsView.show", lambda at: repr(at.slice.items.show(1)), [*paged, *paged], "<Gallery of 1 image>"),
        Case(
            "SliceAnnotationsView.show",
            lambda at: repr(at.slice.annotations.show(1)),
            [*paged, *paged, *exported],
            "<Gallery of 1 image>",
        ),
        Case(
            "SlicePredictionsView.show",
            lambda at: repr(at.slice.predictions(at.run).show(1)),
            [*paged, *paged, *predicted],
            "<Gallery of 1 image>",
        ),
        Case("SlicePredictionsView.__len__", lambda at: len(at.slice.predictions(at.run)), predicted, 1),
        Case(
            "AnnotationIndexer.__getitem__",
            lambda at: frame_of(at.slice.annotations.refloc["b", list(ids)], *ids),
            exported,
            both[1:],
        ),
    ]


def queries() -> list[Case]:
    text = 'metadata.k = "ü" and annotations.count > 6'
    ids = "dataset_item_id", "reference_id", "label"
    pages = {"items": [OTHER], "nextPageToken": "t"}, {"items": [ITEM], "nextPageToken": None}
    asked = {**PAGE, "query": text}
    items_asked = [
        post("dataset/ds_1/queryItemsPage", asked, pages[0]),
        post("dataset/ds_1/queryItemsPage", {**asked, "pageToken": "t"}, pages[1]),
    ]
    mask = {"mask_url": "https://e.org/m.png", "annotations": [], "annotation_id": "m", "reference_id": "b"}
    truths = {"items": [{**BOX, "dataset_item_id": "di_1"}, mask], "nextPageToken": None}
    truth_mode = {**asked, "patch_mode": "ground_truth_only", "model_run_id": None}
    predicted = {"items": [{**BOX, "confidence": 0.5, "item_id": "di_1"}], "nextPageToken": ""}
    run_mode = {**asked, "patch_mode": "predictions_only", "model_run_id": "run_1"}
    of_slice = post("slice/slc_1/itemsPage", PAGE, {"items": [ITEM], "nextPageToken": None})
    objects = "dataset/ds_1/queryObjectsPage"
    return [
        Case(
            "Dataset.query",
            lambda at: frame_of(at.dataset.query(text), *ids[:2]),
            items_asked,
            [["di_2", "b"], ["di_1", "a"]],
        ),
        Case(
            "Dataset.query",
            lambda at: frame_of(
                at.dataset.query(text, kind="annotations").fillna({"dataset_item_id": "", "label": ""}), *ids, "type"
            ),
            [post(objects, truth_mode, truths)],
            [["di_1", "a", "car", "box"], ["", "b", "", "mask"]],
        ),
        Case(
            "Dataset.query",
            lambda at: [
                frame_of(at.dataset.query(text, "predictions", run=run), *ids, "confidence")
                for run in (at.run, "run_1")
            ],
            [post(objects, run_mode, predicted)] * 2,
            [[["di_1", "a", "car", 0.5]]] * 2,
        ),
        Case(
            "Slice.query",
            lambda at: frame_of(at.slice.query(text), *ids[:2]),
            [*items_asked, of_slice],
            [["di_1", "a"]],
        ),
        Case(
            "Slice.query",
            lambda at: frame_of(at.slice.query(text, "annotations"), *ids),
            [post(objects, truth_mode, truths), of_slice],
            [["di_1", "a", "car"]],
        ),
    ]


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


def pages() -> list[Case]:
    dashboard = "https://dashboard.scale.com/nucleus"
    unknown = "The dashboard of the hosted service has no documented address for runs"
    info = {"name": "S", "slice_id": "slc_2", "dataset_id": "ds_2"}
    return [
        Case(
            "NucleusClient.url",
            lambda at: [
                at.client.url(),
                at.client.url(at.dataset),
                npd.Dataset(at.client._transport, HOSTILE).url,
                unknown_page(lambda: at.client.url(at.run)),
            ],
            [],
            [dashboard, f"{dashboard}/ds_1", f"{dashboard}/{QUOTED}", unknown],
        ),
        Case("Dataset.url", lambda at: at.dataset.url, [], f"{dashboard}/ds_1"),
        Case("Dataset.open", opened, [], [f"{dashboard}/ds_1"] * 2),
        Case("ModelRun.url", lambda at: unknown_page(lambda: at.run.url), [], unknown),
        Case("Slice.url", lambda at: at.slice.url, [], f"{dashboard}/ds_1/slc_1"),
        Case(
            "Slice.url",
            lambda at: npd.Slice(at.client._transport, "slc_2").url,
            [get("slice/slc_2/info", info)],
            f"{dashboard}/ds_2/slc_2",
        ),
    ]


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


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as made:
        yield made


def listen(mock: responses.RequestsMock, answer: Callable[[Any], Any]) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        mock.add_callback(method, re.compile("https://"), answer, content_type=None)


def at(client: npd.NucleusClient, image: Path) -> At:
    transport = client._transport
    return At(
        client,
        npd.Dataset(transport, "ds_1", "D"),
        npd.Model(transport, "prj_1"),
        npd.ModelRun(transport, "run_1", "ds_1"),
        npd.Job(transport, "job_1"),
        npd.Slice(transport, "slc_1", "S", "ds_1"),
        image,
    )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "my img.png"
    path.write_bytes(b"an image")
    return path


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


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
    assert {case.member for case in CASES} == members - elsewhere


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
            at(client, image).dataset.annotate(boxes("a", "b"))
    assert host.probes == 1


def test_an_endpoint_may_end_with_a_slash(mock: responses.RequestsMock) -> None:
    host = Host([get("dataset/", [])])
    listen(mock, host.answer)
    with closing(npd.NucleusClient(KEY, f"{HOST}/")) as client:
        client.list_datasets()
    assert host.sent[0][0].url == f"{HOST}/dataset/"


# What the contract leaves open


def asked(mock: responses.RequestsMock, image: Path, act: Callable[[At], Any], *answers: Any) -> Any:
    """What something gives when the requests that it makes are answered so."""
    listen(mock, Host([get("", answer) for answer in answers]).answer)
    with closing(npd.NucleusClient(KEY, max_retries=0, max_concurrency=1)) as client:
        return act(at(client, image))


BARE = {"id": "di_1", "ref_id": "a", "original_image_url": "https://e.org/a"}
PLAIN = {"dataset_item_id": "di_1", "reference_id": "a", "image_url": "https://e.org/a"}


@pytest.mark.parametrize("spelled", [BARE, PLAIN, {**BARE, **PLAIN}], ids=["ref_id", "reference_id", "both"])
def test_both_spellings_of_an_item_are_read(mock: responses.RequestsMock, image: Path, spelled: dict[str, Any]) -> None:
    def look(at: At) -> list[Any]:
        whole = at.dataset.items.to_frame()
        return [*frame_of(whole, *PLAIN), *at.dataset.refloc[["a"]].reset_index()[list(PLAIN)].to_numpy().tolist()]

    expected = [list(PLAIN.values())] * 2
    answers = {"items": [spelled], "nextPageToken": None}, {"item": spelled, "annotations": {}}
    assert asked(mock, image, look, *answers) == expected


@pytest.mark.parametrize(
    ("annotations", "types"),
    [
        ([BOX, {**MASK, "reference_id": "a"}], ["box", "mask"]),
        ({"box": [{**BOX, "type": None}]}, ["box"]),
        ({"segmentation": {"mask_url": "m"}, "box": None}, ["mask"]),
        ({"segmentation": [{"mask_url": "m"}]}, ["mask"]),
        ({}, []),
        ([], []),
        (None, []),
    ],
    ids=["flat", "typeless", "single", "list", "empty dict", "empty list", "null"],
)
def test_annotations_are_read_in_every_form_by_call_and_by_bracket(
    mock: responses.RequestsMock, image: Path, annotations: Any, types: list[str]
) -> None:
    def look(at: At) -> list[list[str | None]]:
        return [
            [one["type"] for one in at.dataset.refloc("a")["annotations"]],
            at.dataset.annotations.refloc["a"]["type"].tolist(),
            [one["type"] for one in at.run.refloc("a")["annotations"]],
            at.run.refloc["a"]["type"].tolist(),
        ]

    row, found = {"item": ITEM, "annotations": annotations}, {"annotations": annotations}
    assert asked(mock, image, look, row, row, found, found, row) == [types] * 4


@pytest.mark.parametrize(
    ("act", "answers", "gives"),
    [
        (lambda at: at.client.list_datasets(), [{"datasets_ids": ["ds_1"]}], ["ds_1"]),
        (lambda at: at.client.list_datasets(), [{}], []),
        (lambda at: at.client.create_dataset("D").name, [{"dataset_id": "ds_1"}], "D"),
        (lambda at: at.client.datasets["is_public"].tolist(), [[{"id": "ds_1", "name": "D"}]], [False]),
        (
            lambda at: frame_of(at.client.models, "metadata", "tags"),
            [{"models": [{"id": "prj_1", "name": "M", "ref_id": "m"}]}],
            [[{}, []]],
        ),
        (lambda at: at.model.metadata, [{**MODEL, "metadata": {"k": 1}}], {"k": 1}),
        (lambda at: at.dataset.create_model_run({"reference_id": "m"}).id, [{"model_run_id": "run_1"}], "run_1"),
        (lambda at: at.job.wait(0).id, [{"status": "Completed"}], "job_1"),
        (lambda at: statuses(at.dataset.annotate(boxes("a"))), [{"annotations_processed": 1}], ["processed"]),
        (lambda at: statuses(at.dataset.annotate(boxes("a"))), [{"annotations_ignored": 1}], ["ignored"]),
        (lambda at: statuses(at.run.predict(boxes("a"))), [{"predictions_processed": 1, "errors": []}], ["processed"]),
        (
            lambda at: at.dataset.annotations.to_frame()["label"].tolist(),
            [{"data": [{"item": BARE, "box": [{"label": "car"}]}, {"item": PLAIN}]}],
            ["car"],
        ),
        (lambda at: len(at.run.predictions), [{}, {"items": [BARE], "nextPageToken": None}], 0),
    ],
)
def test_fields_may_be_missing(
    mock: responses.RequestsMock, image: Path, act: Callable[[At], Any], answers: list[Any], gives: Any
) -> None:
    assert asked(mock, image, act, *answers) == gives


UNUSUAL = {
    "PayloadUrl": "",
    "image_upload_step": {"errored": 0, "pending": 0, "completed": 2},
    "ingest_to_reupload_queue": {"epoch": 1, "total": 2, "datasetId": "ds_1", "processed": 2},
}


@pytest.mark.parametrize("message", [UNUSUAL, {}, None, "Done."], ids=["steps", "empty", "null", "text"])
def test_of_a_job_that_counts_nothing_nothing_is_guessed(
    mock: responses.RequestsMock, image: Path, message: Any
) -> None:
    answers = [{"signed_url": BUCKET}, "", JOB, {**ENDED, "message": message}, []]
    result = asked(mock, image, lambda at: at.dataset.append(items(*"ab")), *answers)
    assert (statuses(result), result.new_items, result.upload_errors) == (["accepted", "accepted"], 0, 0)


@pytest.mark.parametrize(
    ("names", "sentence", "blamed"),
    [
        (["id", "b"], "Item with id b doesn't exist", ["b"]),
        (["Item", "b c's"], "Item with id b c's doesn't exist", ["b c's"]),
        (["with", "b.jpg"], "The item 'b.jpg' is broken with no remedy.", ["b.jpg"]),
        (["a", "b"], "Nothing became of b.", ["b"]),
        (["a", "b"], 'Error: "https://e.org/b" is not accessible', ["b"]),
        (["a", "b"], "https://e.org/b: 404", ["b"]),
    ],
)
def test_a_jobs_sentence_finds_the_row_that_it_names(
    mock: responses.RequestsMock, image: Path, names: list[str], sentence: str, blamed: list[str]
) -> None:
    counts = {**COUNTS, "new_items": 1, "upload_errors": 1}
    answers = [{"signed_url": BUCKET}, "", JOB, {**ENDED, "message": counts}, [sentence]]
    frame = items(*names)
    result = asked(mock, image, lambda at: at.dataset.append(frame, on_error="collect"), *answers)
    assert result.failed["reference_id"].tolist() == blamed
    assert result.rows["error"].dropna().tolist() == [sentence]
    assert (result.new_items, result.upload_errors) == (1, 1)


def test_a_job_that_failed_tells_each_row_what_is_said_of_it(mock: responses.RequestsMock, image: Path) -> None:
    sentence = 'Error: "https://e.org/b" is not accessible'
    answers = [{"signed_url": BUCKET}, "", JOB, {**ENDED, "status": "Errored", "message": UNUSUAL}, [sentence]]
    result = asked(mock, image, lambda at: at.dataset.append(items(*"ab"), on_error="collect"), *answers)
    assert result.rows["error"].tolist() == [f"The job 'job_1' ended as Errored: {sentence}", sentence]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"error": "That model exists."}, npd.BadRequestError),
        ({"error": "That model exists.", "status_code": 409}, npd.ConflictError),
        ({"error": "That model exists.", "model_id": None}, npd.BadRequestError),
    ],
)
def test_a_refusal_may_come_as_a_success(
    mock: responses.RequestsMock, image: Path, answer: Any, kind: type[npd.APIError]
) -> None:
    with pytest.raises(kind, match="^That model exists.$"):
        asked(mock, image, lambda at: at.client.add_model("M", "m"), answer)


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda at: at.dataset.annotate(boxes("a", "b")), id="annotate"),
        pytest.param(lambda at: at.run.commit(), id="commit"),
        pytest.param(lambda at: at.run.info, id="info"),
        pytest.param(lambda at: at.client.delete_dataset("ds_1"), id="delete"),
    ],
)
def test_a_refusal_may_come_as_a_success_where_any_object_is_taken(
    mock: responses.RequestsMock, image: Path, act: Callable[[Any], object]
) -> None:
    with pytest.raises((npd.ConflictError, npd.UploadError), match="That cannot be") as caught:
        asked(mock, image, act, {"error": "That cannot be.", "status_code": 409})
    assert "may be stored" not in str(caught.value)


@pytest.mark.parametrize("answer", [[], {}, 7, None, {"error": 7}])
def test_an_answer_in_another_form_is_no_refusal(mock: responses.RequestsMock, image: Path, answer: Any) -> None:
    with pytest.raises(npd.ServerError, match="not Nucleus'"):
        asked(mock, image, lambda at: at.client.add_model("M", "m"), answer)


def test_a_position_outside_is_an_index_error_by_call_too(mock: responses.RequestsMock, image: Path) -> None:
    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        size = str(request.url).endswith("/size")
        return (200, {}, '{"count": 2}') if size else (404, {}, '{"error": "No."}')

    listen(mock, answer)
    with closing(npd.NucleusClient(KEY, max_retries=0)) as client:
        begin = at(client, image)
        for thing in (begin.dataset, begin.run):
            with pytest.raises(npd.PositionError, match="Position -3 is outside the dataset, which holds 2 items"):
                thing.iloc(-3)
        homeless = npd.ModelRun(client._transport, "run_1")
        with pytest.raises(npd.NotFoundError, match="^No.$"):
            homeless.iloc(9)
