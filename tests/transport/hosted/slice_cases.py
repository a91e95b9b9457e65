"""Requests of slices: what is asked, what is answered, what is given."""

from __future__ import annotations

import pandas as pd

from tests.support.private import slice_handle
from tests.transport.hosted.exchanges import (
    BOX,
    ENDED,
    EXPORTED,
    ITEM,
    JOB,
    NONE,
    OTHER,
    PAGE,
    ROW,
    SLICE,
    Case,
    Exchange,
    box_frame,
    frame_of,
    get,
    post,
)


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
                at.dataset.create_slice("S", box_frame("a", "ü", "a")).id,
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
            lambda at: [at.slice.name, slice_handle(at.client, "slc_1").name],
            [get("slice/slc_1/info", SLICE)],
            ["S", "S"],
        ),
        Case(
            "Slice.dataset_id",
            lambda at: slice_handle(at.client, "slc_1").dataset_id,
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
        Case("Slice.refloc", lambda at: at.slice.refloc["b", "image_url"], paged, "https://example.org/a"),
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
