"""Requests of datasets and jobs: what is asked, what is answered, what is given."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.support.private import dataset_handle, model_handle
from tests.transport.hosted.exchanges import (
    COUNTS,
    ENDED,
    HOSTILE,
    JOB,
    MODEL,
    QUOTED,
    RUN,
    Case,
    Exchange,
    delete,
    get,
    post,
    refused,
)


def resources() -> list[Case]:
    info = {"dataset_id": "ds_1", "name": "D", "length": 2, "model_run_ids": ["run_1"], "slice_ids": [], "tags": None}
    created = {"model_id": "prj_1", "model_run_id": "run_1"}
    pairs = [{"ground_truth_label": "car", "model_prediction_label": "vehicle"}]
    committed = {"model_run_id": "run_1"}
    return [
        Case(
            "Dataset.name",
            lambda at: dataset_handle(at.client, "ds_1").name,
            [get("dataset/ds_1/name", {"name": "D"})],
            "D",
        ),
        Case("Dataset.info", lambda at: at.dataset.info, [get("dataset/ds_1/info", info)], info),
        Case("Dataset.__len__", lambda at: len(at.dataset), [get("dataset/ds_1/size", {"count": 2})], 2),
        Case("Dataset.__getitem__", lambda at: [at.dataset["dataset_id"], at.dataset["name"]], [], ["ds_1", "D"]),
        Case(
            "Dataset.create_model_run",
            lambda at: at.dataset.create_model_run(model_handle(at.client, "prj_1", "m"), name="first").id,
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
        Case("ModelRun.status", lambda at: at.run.status, [get("modelRun/run_1/info", RUN)], "started"),
        Case("ModelRun.model", lambda at: at.run.model.id, [get("modelRun/run_1/info", RUN)], "prj_1"),
        Case("ModelRun.dataset", lambda at: at.run.dataset.id, [], "ds_1"),
        Case("ModelRun.clear", lambda at: refused(at.run.clear), [], "UnsupportedError"),
        Case(
            "ModelRun.delete_predictions",
            lambda at: refused(lambda: at.run.delete_predictions(["a"])),
            [],
            "UnsupportedError",
        ),
        Case("Dataset.rename", lambda at: refused(lambda: at.dataset.rename("S")), [], "UnsupportedError"),
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
