"""Reading from a server that knows only the contract, in the shapes that such servers were seen to answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import requests
import responses

import nucleus_pandas as npd
from tests.support.private import transport_of

HOST = "https://nucleus.example.org/v1/nucleus"
BOX = {"type": "box", "label": "car", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
ITEM = {"id": "di_1", "ref_id": "a", "original_image_url": "https://example.org/a"}


@pytest.fixture
def hosted() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{HOST}/_nucleus_pandas", status=404, body="<html>not found</html>")
        mock.get(f"{HOST}/dataset/ds_1/name", json={"name": "D"})
        mock.get(f"{HOST}/dataset/ds_1/size", json={"count": 2})
        yield mock


@pytest.fixture
def dataset(hosted: responses.RequestsMock) -> npd.Dataset:
    return npd.NucleusClient("key", HOST, max_retries=0).get_dataset("ds_1")


@pytest.fixture
def run(hosted: responses.RequestsMock) -> npd.ModelRun:
    hosted.get(f"{HOST}/modelRun/run_1/info", json={"model_id": "prj_1"})
    return npd.NucleusClient("key", HOST, max_retries=0).get_model_run("run_1", "ds_1")


def paged(mock: responses.RequestsMock, route: str, key: str, pages: list[list[Any]]) -> list[dict[str, Any]]:
    """Answer a paged route; return the list of what was asked."""
    asked: list[dict[str, Any]] = []

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        asked.append(json.loads(request.body or "{}"))
        number = int(asked[-1]["pageToken"] or 0)
        following = str(number + 1) if number + 1 < len(pages) else None
        return 200, {}, json.dumps({key: pages[number], "nextPageToken": following, "extra": 1})

    mock.add_callback("POST", f"{HOST}/{route}", answer)
    return asked


def test_items_have_two_spellings(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    other = {
        "dataset_item_id": "di_2",
        "reference_id": "b",
        "image_url": "https://example.org/b",
        "metadata": {"n": 1.0},
        "width": 640.0,
        "height": 480,
        "phash": None,
    }
    asked = paged(hosted, "dataset/ds_1/itemsPage", "items", [[{**ITEM, "metadata": None}], [other]])
    frame = dataset.items.to_frame()
    assert frame.index.tolist() == ["di_1", "di_2"]
    assert frame["reference_id"].tolist() == ["a", "b"]
    assert frame["image_url"].tolist() == ["https://example.org/a", "https://example.org/b"]
    assert frame["metadata"].tolist() == [{}, {"n": 1.0}]
    assert frame["image_width"].tolist() == [pd.NA, 640]
    assert [one["pageToken"] for one in asked] == [None, "1"]
    assert dataset.items.to_frame("json")["metadata"].tolist() == ["{}", '{"n": 1.0}']


def test_an_item_without_a_url_is_read(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    paged(hosted, "dataset/ds_1/itemsPage", "items", [[{"id": "di_1", "ref_id": "a"}]])
    assert dataset.items.to_frame()["image_url"].isna().tolist() == [True]


@pytest.mark.parametrize(
    ("annotations", "types"),
    [
        ({"line": [{"label": "lane", "geometry": {"vertices": []}}], "box": [BOX], "polygon": None}, ["box", "line"]),
        ([{**BOX, "type": "line", "geometry": {"vertices": []}}, BOX], ["line", "box"]),
        ({"segmentation": {"mask_url": "m"}}, ["mask"]),
        ({"segmentation": [{"mask_url": "m", "type": "mask"}, {"mask_url": "n"}]}, ["mask", "mask"]),
        ([{"mask_url": "m"}], ["mask"]),
        ({"segmentation": None, "scribble": [{"id": "ann_1"}]}, ["scribble"]),
        ({}, []),
        ([], []),
        (None, []),
    ],
)
def test_annotations_come_grouped_or_flat(
    hosted: responses.RequestsMock, dataset: npd.Dataset, annotations: Any, types: list[str]
) -> None:
    hosted.get(f"{HOST}/dataset/ds_1/refloc/a", json={"item": ITEM, "annotations": annotations})
    frame = dataset.annotations.refloc["a"]
    assert frame["type"].tolist() == types
    assert frame["reference_id"].tolist() == ["a"] * len(types)
    assert frame["dataset_item_id"].tolist() == ["di_1"] * len(types)
    assert dict(frame.dtypes) == dict(dataset.annotations.dtypes)


def test_exported_rows_need_not_repeat_their_item(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    empty: dict[str, list[Any]] = {key: [] for key in ("line", "polygon", "keypoints", "cuboid", "multicategory")}
    category = {"label": "night", "metadata": None, "annotation_id": None, "id": "ann_9"}
    rows = [
        {"item": ITEM, "box": [BOX], "category": [category], **empty, "segmentation": {"mask_url": "m"}},
        {"item": {"id": "di_2", "ref_id": "b"}, "box": [BOX | {"annotation_id": "own"}]},
    ]
    paged(hosted, "dataset/ds_1/exportForTrainingPage", "data", [rows[:1], rows[1:]])
    frame = dataset.annotations.to_frame()
    assert frame["dataset_item_id"].tolist() == ["di_1"] * 3 + ["di_2"]
    assert frame["type"].tolist() == ["box", "mask", "category", "box"]
    assert frame["annotation_id"].iloc[2:].tolist() == ["ann_9", "own"]
    assert frame["geometry"].tolist() == [None, {"mask_url": "m"}, {}, None]
    assert frame["metadata"].tolist() == [{}] * 4
    assert len(dataset.annotations) == 4


def test_long_pages_are_read_bit_by_bit(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    def row(number: int) -> dict[str, Any]:
        item = {**ITEM, "id": f"di_{number}", "ref_id": f"item {number}"}
        boxes = [
            {"label": "é" * 90, "annotation_id": f"{number}-{at}", "metadata": {"at": at}, "geometry": {"x": at}}
            for at in range(number % 4)
        ]
        line = {"label": "lane", "annotation_id": f"line {number}", "geometry": {"vertices": [{"x": 1, "y": number}]}}
        return {"item": item, "box": boxes, "line": [line] if number % 3 == 0 else []}

    rows = [row(number) for number in range(2_000)]
    assert len(json.dumps(rows)) > 4 * (1 << 17)
    paged(hosted, "dataset/ds_1/exportForTrainingPage", "data", [rows[:1_500], rows[1_500:]])
    frame = dataset.annotations.to_frame()
    flat = [(each["item"], kind, one) for each in rows for kind in ("box", "line") for one in each[kind]]
    assert frame["annotation_id"].tolist() == [one["annotation_id"] for _, _, one in flat]
    assert frame["dataset_item_id"].tolist() == [item["id"] for item, _, _ in flat]
    assert frame["reference_id"].tolist() == [item["ref_id"] for item, _, _ in flat]
    assert frame["type"].tolist() == [kind for _, kind, _ in flat]
    assert frame["metadata"].tolist() == [one.get("metadata", {}) for _, _, one in flat]
    lines = frame.loc[frame["type"] == "line", "geometry"].tolist()
    assert lines == [one["geometry"] for _, kind, one in flat if kind == "line"]
    pd.testing.assert_frame_equal(pd.concat(list(dataset.annotations.iter_frames(700))), frame)


@pytest.mark.parametrize("row", [{"item": 7}, {"item": ITEM, "box": [{"label": 7}]}])
def test_a_row_of_another_shape_is_told(
    hosted: responses.RequestsMock, dataset: npd.Dataset, row: dict[str, Any]
) -> None:
    paged(hosted, "dataset/ds_1/exportForTrainingPage", "data", [[row]])
    with pytest.raises(npd.ServerError, match="exportForTrainingPage .* in an unexpected form"):
        dataset.annotations.to_frame()


def test_a_box_may_lack_its_geometry(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    hosted.get(f"{HOST}/dataset/ds_1/refloc/a", json={"item": ITEM, "annotations": {"box": [{"label": "car"}]}})
    frame = dataset.annotations.refloc["a"]
    assert frame["x"].isna().all()
    assert frame["geometry"].tolist() == [None]


def test_missing_items_are_all_named(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    hosted.get(f"{HOST}/dataset/ds_1/refloc/a", json={"item": ITEM, "annotations": {}})
    for name in "xy":
        hosted.get(f"{HOST}/dataset/ds_1/refloc/{name}", status=404, json={"error": "no"})
    for indexer in (dataset.refloc, dataset.annotations.refloc):
        with pytest.raises(KeyError, match="no items 'x', 'y' in the dataset 'ds_1'"):
            indexer[["x", "a", "y"]]


def test_a_missing_dataset_is_no_missing_item() -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{HOST}/_nucleus_pandas", status=404)
        mock.get(f"{HOST}/dataset/ds_1/name", json={"name": "D"})
        dataset = npd.NucleusClient("key", HOST, max_retries=0).get_dataset("ds_1")
        for route in ("refloc/a", "size"):
            mock.get(f"{HOST}/dataset/ds_1/{route}", status=404, json={"error": "There is no dataset 'ds_1'."})
        with pytest.raises(npd.NotFoundError, match="no dataset"):
            dataset.refloc["a"]


def test_other_refusals_are_not_missing_items(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    hosted.get(f"{HOST}/dataset/ds_1/refloc/a", json={"item": ITEM, "annotations": {}})
    hosted.get(f"{HOST}/dataset/ds_1/refloc/b", status=401, json={"error": "no"})
    with pytest.raises(npd.AuthenticationError):
        dataset.refloc[["a", "b"]]


def test_ids_are_quoted(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    found = {**ITEM, "ref_id": "cam/a b.jpg"}
    hosted.get(f"{HOST}/dataset/ds_1/refloc/cam%2Fa%20b.jpg", json={"item": found, "annotations": {}})
    assert dataset.refloc["cam/a b.jpg", "dataset_item_id"] == "di_1"
    assert hosted.calls[-1].request.url == f"{HOST}/dataset/ds_1/refloc/cam%2Fa%20b.jpg"


def test_look_ups_go_side_by_side_but_not_too_many(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        name = str(request.url).rsplit("/", 1)[1]
        return 200, {}, json.dumps({"item": {"id": f"di_{name}", "ref_id": name}, "annotations": {}})

    for number in range(16):
        hosted.add_callback("GET", f"{HOST}/dataset/ds_1/refloc/{number}", answer)
    transport_of(dataset).max_concurrency = 4
    names = [str(number) for number in range(16)]
    assert dataset.refloc[names[::-1]].index.tolist() == names[::-1]
    assert 1 < most[0] <= 4


def test_predictions_need_name_their_item_by_one_id_only(hosted: responses.RequestsMock, run: npd.ModelRun) -> None:
    bare = {**BOX, "confidence": 0.5}
    answer = {
        "box": [{**bare, "reference_id": "b"}, {**bare, "item_id": "di_1"}, {**bare, "dataset_item_id": "di_2"}],
        "category": [{"label": "night", "reference_id": "a", "dataset_item_id": "di_1"}],
        "segmentation": None,
    }
    hosted.get(f"{HOST}/modelRun/run_1/ungrouped", json=answer)
    items = [[{"id": "di_1", "ref_id": "a"}], [{"id": "di_2", "ref_id": "b"}]]
    paged(hosted, "dataset/ds_1/itemsPage", "items", items)
    frame = run.predictions.to_frame()
    assert frame["dataset_item_id"].tolist() == ["di_1", "di_1", "di_2", "di_2"]
    assert frame["reference_id"].tolist() == ["a", "a", "b", "b"]
    assert frame["type"].tolist() == ["box", "category", "box", "box"]
    assert frame["confidence"].isna().tolist() == [False, True, False, False]
    assert len(run.predictions) == 4


@pytest.mark.parametrize(("by", "key"), [("refloc", "a"), ("loc", "di_1"), ("iloc", 0)])
def test_predictions_of_an_item_get_both_ids(
    hosted: responses.RequestsMock, run: npd.ModelRun, by: str, key: str | int
) -> None:
    hosted.get(f"{HOST}/modelRun/run_1/{by}/{key}", json={"annotations": [{**BOX, "confidence": 0.5}]})
    hosted.get(f"{HOST}/dataset/ds_1/{by}/{key}", json={"item": ITEM, "annotations": {}})
    frame = getattr(run, by)[key]
    assert frame[["dataset_item_id", "reference_id", "confidence"]].to_numpy().tolist() == [["di_1", "a", 0.5]]


def test_an_answer_of_another_shape_is_told(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    hosted.post(f"{HOST}/dataset/ds_1/itemsPage", json={"rows": []})
    with pytest.raises(npd.ServerError, match="in an unexpected form"):
        dataset.items.to_frame()


def test_client_frames_take_rows_that_lack_optional_fields(hosted: responses.RequestsMock) -> None:
    client = npd.NucleusClient("key", HOST, max_retries=0)
    hosted.get(f"{HOST}/dataset/details", json=[{"id": "ds_1", "name": "D"}])
    hosted.get(f"{HOST}/models/", json={"models": [{"id": "prj_1", "name": "M", "ref_id": "m", "metadata": None}]})
    assert client.datasets["is_public"].tolist() == [False]
    assert client.models[["metadata", "tags"]].to_numpy().tolist() == [[{}, []]]


def test_items_that_were_processed_have_more_to_read(hosted: responses.RequestsMock, dataset: npd.Dataset) -> None:
    embedded = {"index_id": "idx_1", "embedding_vector": [0.5, 1.0]}
    processed = "https://example.org/processed"
    paged(
        hosted,
        "dataset/ds_1/itemsPage",
        "items",
        [
            [
                {"id": "di_1", "ref_id": "a", "processed_url": processed, "phash": "01" * 32},
                {**ITEM, "id": "di_2", "ref_id": "b", "image_url": "https://example.org/b", "processed_url": processed},
                {**ITEM, "id": "di_3", "ref_id": "c", "image_url": "", "embedding_info": embedded},
            ]
        ],
    )
    frame = dataset.items.to_frame()
    assert frame.columns.tolist() == dataset.items.columns.tolist()
    assert frame["image_url"].tolist() == [processed, "https://example.org/b", "https://example.org/a"]
    more = dataset.items.to_frame(columns=["phash", "reference_id", "processed_url", "embedding_info"])
    assert more.columns.tolist() == ["phash", "reference_id", "processed_url", "embedding_info"]
    assert more["phash"].tolist()[0] == "01" * 32
    assert more["phash"].isna().tolist() == [False, True, True]
    assert more["processed_url"].tolist()[:2] == [processed, processed]
    assert more["embedding_info"].tolist() == [None, None, embedded]
    assert dataset.items["phash"].isna().sum() == 2
    with pytest.raises(KeyError, match="Is 'phash' meant"):
        dataset.items.to_frame(columns=["phasch"])


def test_an_embedded_nucleus_has_what_was_sent_with_items(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("D")
    embedded = {"index_id": "idx_1", "embedding_vector": [0.5, 1.0]}
    item = {"reference_id": "a", "image_url": "https://example.org/a"}
    dataset.append([{**item, "embedding_info": embedded}, {**item, "reference_id": "b"}])
    more = dataset.items.to_frame(columns=["embedding_info", "phash"])
    assert more["embedding_info"].tolist() == [embedded, None]
    assert more["phash"].isna().all()
    assert more.index.name == "dataset_item_id"
