"""Requests of uploads: what is asked, what is answered, what is given."""

from __future__ import annotations

import pandas as pd

from tests.factories import item, item_frame
from tests.support.private import dataset_handle
from tests.transport.hosted.exchanges import (
    ENDED,
    HEX,
    HOSTILE,
    MASK,
    MULTICATEGORY,
    PREDICTED,
    PROCESSED,
    QUOTED,
    RUN,
    SHAPES,
    Case,
    box,
    box_frame,
    get,
    mask_rows,
    named,
    post,
    signed,
    statuses,
    with_image,
)


def uploads() -> list[Case]:
    update = box_frame("a").assign(metadata=[{"k": 1}])
    grouped = [*named(SHAPES), {**MULTICATEGORY, "reference_id": "a", "annotation_id": "5"}]
    return [
        Case(
            "Dataset.append",
            lambda at: statuses(at.dataset.append(item_frame("a", "ü"), progress=False)),
            signed(item("a"), item("ü")),
            ["new", "new"],
        ),
        Case(
            "Dataset.append",
            lambda at: statuses(
                at.dataset.append(
                    item_frame("a", "b", width=[640, None], rain=[True, None]), metadata=["rain"], if_exists="update"
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
            lambda at: statuses(at.dataset.append(item_frame(*"ab").assign(image_url=str(at.image)))),
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
            lambda at: statuses(at.dataset.append(item_frame(*"abcdefghijkl").assign(image_url=str(at.image)))),
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
            lambda at: statuses(
                at.dataset.append(item_frame(*"ab").assign(image_url=["https://example.org/a", at.image]))
            ),
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
            lambda at: statuses(at.dataset.append(item_frame(*"ab"), wait=False)),
            signed(item("a"), item("b"))[:3],
            ["accepted", "accepted"],
        ),
        Case(
            "Dataset.append",
            lambda at: statuses(dataset_handle(at.client, HOSTILE).append(item_frame("a", "b"))),
            signed(item("a"), item("b"), dataset=QUOTED),
            ["new", "new"],
        ),
        Case("Dataset.append", lambda at: statuses(at.dataset.append([])), [], []),
        Case(
            "UploadResult.wait",
            lambda at: at.dataset.append(item_frame(*"ab"), wait=False).wait().new_items,
            signed(item("a"), item("b")),
            2,
        ),
        Case(
            "Dataset.annotate",
            lambda at: statuses(at.dataset.annotate(box_frame("a", HOSTILE))),
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
            lambda at: statuses(at.dataset.annotate(box_frame("a").drop(columns="annotation_id"))),
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
            lambda at: statuses(
                at.dataset.annotate(box_frame("di_1").rename(columns={"reference_id": "dataset_item_id"}))
            ),
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
            lambda at: statuses(at.dataset.annotate(box_frame(*"abcd"), batch_size=2)),
            [
                post("dataset/ds_1/annotate", {"annotations": [*map(box, names)], "update": False}, PROCESSED)
                for names in ("ab", "cd")
            ],
            ["processed"] * 4,
        ),
        Case(
            "ModelRun.predict",
            lambda at: statuses(at.run.predict(box_frame("a", "b", confidence=[0.5, None]))),
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
                at.run.predict(box_frame("a", "b"))[name]
                for name in ("predictions_processed", "model_run_id", "model_id")
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
            for name in ("jobs", "rows", "failed", "unused_columns", "is_error", "error_of")
        ),
    ]
