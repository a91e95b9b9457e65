"""Requests of views and indexers: what is asked, what is answered, what is given."""

from __future__ import annotations

from tests.transport.hosted.exchanges import (
    BOX,
    EXPORT,
    EXPORTED,
    FOUND,
    HOSTILE,
    ITEM,
    NONE,
    OTHER,
    PAGE,
    QUOTED,
    ROW,
    RUN,
    VIEWS,
    Case,
    exported_to,
    frame_of,
    get,
    post,
)


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
            "https://example.org/a",
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
            Case(f"{name}.columns", lambda at, view=view: "reference_id" in view(at).columns, [], True),
            Case(f"{name}.dtypes", lambda at, view=view: "reference_id" in view(at).dtypes, [], True),
        ]
    return cases
