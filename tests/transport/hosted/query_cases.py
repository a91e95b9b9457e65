"""Requests of queries: what is asked, what is answered, what is given."""

from __future__ import annotations

from tests.transport.hosted.exchanges import BOX, ITEM, OTHER, PAGE, Case, frame_of, post


def queries() -> list[Case]:
    text = 'metadata.k = "ü" and annotations.count > 6'
    ids = "dataset_item_id", "reference_id", "label"
    pages = {"items": [OTHER], "nextPageToken": "t"}, {"items": [ITEM], "nextPageToken": None}
    asked = {**PAGE, "query": text}
    items_asked = [
        post("dataset/ds_1/queryItemsPage", asked, pages[0]),
        post("dataset/ds_1/queryItemsPage", {**asked, "pageToken": "t"}, pages[1]),
    ]
    mask = {"mask_url": "https://example.org/m.png", "annotations": [], "annotation_id": "m", "reference_id": "b"}
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
