"""Items over plain HTTP: what all generations of clients share."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import box, item
from tests.support.contract_requests import PREDICTION_KEYS, Api, by_type, new_dataset, new_run

ITEM_KEYS = {"id", "dataset_item_id", "ref_id", "reference_id", "image_url", "original_image_url", "metadata"}


GROUND_TRUTH_KEYS = PREDICTION_KEYS | {"multicategory"}


@pytest.mark.parametrize("by", ["refloc/a.jpg", "iloc/0"])
def test_an_item_has_all_its_names(anywhere: Api, by: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    assert set(anywhere.get(f"dataset/{dataset}/{by}")["item"]) >= ITEM_KEYS


def test_an_item_is_found_by_its_id(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    found = anywhere.get(f"dataset/{dataset}/refloc/b.jpg")
    assert anywhere.get(f"dataset/{dataset}/loc/{found['item']['id']}") == found


def test_item_ids_begin_with_di(api: Api) -> None:
    assert api.get(f"dataset/{new_dataset(api, 'a.jpg')}/iloc/0")["item"]["id"].startswith("di_")


@pytest.mark.parametrize(
    ("one", "other"),
    [("id", "dataset_item_id"), ("ref_id", "reference_id"), ("image_url", "original_image_url")],
)
def test_both_spellings_of_an_items_names_agree(api: Api, one: str, other: str) -> None:
    found = api.get(f"dataset/{new_dataset(api, 'a.jpg')}/iloc/0")["item"]
    assert found[one] == found[other]


def test_an_item_keeps_its_address(api: Api) -> None:
    found = api.get(f"dataset/{new_dataset(api, 'a.jpg')}/iloc/0")["item"]
    assert found["image_url"] == item("a.jpg")["image_url"]


def test_an_item_keeps_its_size(api: Api) -> None:
    dataset = new_dataset(api)
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg", width=640, height=480)]})
    found = api.get(f"dataset/{dataset}/iloc/0")["item"]
    assert (found["width"], found["height"]) == (640, 480)


@pytest.mark.parametrize(
    "metadata",
    [
        {"weather": "rain", "lat": 1.5, "nested": {"list": [1, None, True]}, "ü": "🚗"},
        {"float": 1.0, "tiny": 5e-324, "whole": 2**53 + 1, "negative": -(2**63), "huge": 10**30},
        {},
    ],
)
def test_an_item_keeps_its_metadata(api: Api, metadata: dict[str, Any]) -> None:
    dataset = new_dataset(api)
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg", metadata=metadata)]})
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["metadata"] == metadata


@pytest.mark.parametrize("metadata", [{}, {"metadata": None}])
def test_an_item_without_metadata_has_an_empty_object(api: Api, metadata: dict[str, Any]) -> None:
    dataset = new_dataset(api)
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg", **metadata)]})
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["metadata"] == {}


def test_a_point_cloud_has_no_image_url(api: Api) -> None:
    dataset = new_dataset(api)
    cloud = {"reference_id": "a", "pointcloud_url": "https://example.org/a.json"}
    api.post(f"dataset/{dataset}/append", {"items": [cloud]})
    found = api.get(f"dataset/{dataset}/iloc/0")["item"]
    assert (found["pointcloud_url"], found.get("image_url")) == (cloud["pointcloud_url"], None)


@pytest.mark.parametrize("position", ["2", "-1", "9" * 30])
def test_a_position_outside_is_not_found(api: Api, position: str) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    assert api.status("GET", f"dataset/{dataset}/iloc/{position}") == 404


def test_a_position_that_is_no_number_is_refused(api: Api) -> None:
    assert api.status("GET", f"dataset/{new_dataset(api, 'a.jpg')}/iloc/first") == 400


@pytest.mark.parametrize("route", ["refloc/nobody", "loc/di_0", "loc/a.jpg", "groundTruth/loc/a.jpg/nobody"])
def test_what_is_not_there_is_not_found(api: Api, route: str) -> None:
    assert api.status("GET", f"dataset/{new_dataset(api, 'a.jpg')}/{route}") == 404


def test_an_item_id_of_another_dataset_is_not_found(api: Api) -> None:
    foreign = api.get(f"dataset/{new_dataset(api, 'a.jpg')}/iloc/0")["item"]["id"]
    assert api.status("GET", f"dataset/{new_dataset(api, 'a.jpg')}/loc/{foreign}") == 404


def test_an_item_without_annotations_has_every_type_empty(api: Api) -> None:
    assert by_type(api, new_dataset(api, "a.jpg")) == {kind: [] for kind in GROUND_TRUTH_KEYS}


@pytest.mark.parametrize("form", ["reference id", "item id"])
def test_deleting_an_item(anywhere: Api, form: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    key = "refloc/a.jpg" if form == "reference id" else anywhere.get(f"dataset/{dataset}/iloc/0")["item"]["id"]
    anywhere.delete(f"dataset/{dataset}/{key}")
    assert anywhere.status("GET", f"dataset/{dataset}/refloc/a.jpg") == 404


def test_deleting_an_item_moves_the_others_up(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    anywhere.delete(f"dataset/{dataset}/refloc/b.jpg")
    names = [anywhere.get(f"dataset/{dataset}/iloc/{n}")["item"]["reference_id"] for n in range(3)]
    assert names == ["a.jpg", "c.jpg", "d.jpg"]


def test_deleting_items_leaves_no_last_position(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    assert api.status("GET", f"dataset/{dataset}/iloc/1") == 404


def test_positions_skip_many_deleted_items(api: Api) -> None:
    names = [f"{number:03}.jpg" for number in range(150)]
    dataset = new_dataset(api, *names)
    for name in names[1:140]:
        api.delete(f"dataset/{dataset}/refloc/{name}")
    kept = [api.get(f"dataset/{dataset}/iloc/{n}")["item"]["reference_id"] for n in range(11)]
    assert kept == [names[0], *names[140:]]


def test_an_item_appended_again_stands_last(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg")]})
    assert api.get(f"dataset/{dataset}/iloc/1")["item"]["reference_id"] == "a.jpg"


def test_an_item_appended_again_has_no_old_annotations(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg")]})
    assert by_type(api, dataset)["box"] == []


def test_deleting_an_item_lowers_the_size(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    assert api.get(f"dataset/{dataset}/size") == {"count": 1}


def test_deleting_an_item_takes_its_predictions_along(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    run = new_run(api, dataset, box("a.jpg"), box("b.jpg"))
    api.delete(f"dataset/{dataset}/refloc/a.jpg")
    assert [one["reference_id"] for one in api.get(f"modelRun/{run}/ungrouped")["box"]] == ["b.jpg"]


@pytest.mark.parametrize("key", ["refloc/nobody", "di_0", "nobody"])
def test_deleting_an_item_that_is_not_there(api: Api, key: str) -> None:
    assert api.status("DELETE", f"dataset/{new_dataset(api, 'a.jpg')}/{key}", {}) == 404
