"""Requests of the client itself: what is asked, what is answered, what is given."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.transport.hosted.exchanges import (
    ENDED,
    HOSTILE,
    JOB,
    MODEL,
    QUOTED,
    RUN,
    SLICE,
    Case,
    delete,
    frame_of,
    get,
    post,
)


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
