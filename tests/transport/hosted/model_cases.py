"""Requests of models and their runs: what is asked, what is answered, what is given."""

from __future__ import annotations

from tests.transport.hosted.exchanges import (
    BOX,
    ENDED,
    FOUND,
    HOSTILE,
    ITEM,
    JOB,
    NONE,
    OTHER,
    PAGE,
    PREDICTED,
    PREDICTED_ONE,
    QUOTED,
    ROW,
    Case,
    box,
    box_frame,
    frame_of,
    get,
    post,
    refused,
    statuses,
)


def of_models() -> list[Case]:
    created = {"model_id": "prj_1", "model_run_id": "run_2"}
    sent = {"annotations": [box("a", confidence=0.5, class_pdf={"car": 0.5}), box("b")], "update": False}
    frame = box_frame("a", "b", confidence=[0.5, None], class_pdf=[{"car": 0.5}, None])
    by_item = box_frame("a").assign(dataset_item_id="di_1")
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
            lambda at: at.client.merge_model_runs([at.run, "run_2"], name="both")._require_dataset_id(),
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
