"""Appends of items as the earliest clients send them, and what no append takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.factories import item
from tests.support.contract_requests import Api, Part, append_files, image_bytes, new_dataset

# Append, the seed's way: no `update`, counters


def test_append_counts(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    body = {"items": [item("a.jpg", metadata={}), item("b.jpg", metadata={}), item("c.jpg", metadata={})]}
    assert anywhere.post(f"dataset/{dataset}/append", body) == {
        "dataset_id": dataset,
        "new_items": 2,
        "updated_items": 0,
        "ignored_items": 1,
        "upload_errors": 0,
    }


def test_append_of_nothing_counts_nothing(api: Api) -> None:
    dataset = new_dataset(api)
    assert api.post(f"dataset/{dataset}/append", {"items": []})["new_items"] == 0


def test_a_repeat_within_an_append_is_ignored(api: Api) -> None:
    dataset = new_dataset(api)
    made = api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg"), item("a.jpg")]})
    assert (made["new_items"], made["ignored_items"]) == (1, 1)


def test_items_of_one_address_are_two_items(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    assert api.get(f"dataset/{dataset}/size") == {"count": 2}


def test_reference_ids_differ_by_case(api: Api) -> None:
    assert api.get(f"dataset/{new_dataset(api, 'a.jpg', 'A.jpg')}/size") == {"count": 2}


def test_reference_ids_differ_by_unicode_form(api: Api) -> None:
    dataset = new_dataset(api, "caf\u00e9", "cafe\u0301")
    assert api.get(f"dataset/{dataset}/size") == {"count": 2}


def test_two_datasets_share_no_reference_ids(api: Api) -> None:
    new_dataset(api, "a.jpg")
    assert api.get(f"dataset/{new_dataset(api, 'a.jpg')}/size") == {"count": 1}


def seed_file(content: bytes, name: str = "a.png") -> Part:
    return Part("image", name, f"image/{name.rpartition('.')[2]}", content)


def seed_item(reference_id: str, url: str = "/home/me/a.png", **fields: Any) -> Part:
    one = {"image_url": url, "reference_id": reference_id, "metadata": {}, **fields}
    return Part("item", None, "application/json", json.dumps(one).encode())


def test_the_seeds_single_file_is_counted(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    made = append_files(anywhere, dataset, seed_file(image_bytes()), seed_item("a.png"))
    assert made == {
        "dataset_id": dataset,
        "new_items": 1,
        "updated_items": 0,
        "ignored_items": 0,
        "upload_errors": 0,
    }


def test_the_seeds_single_file_sent_again_is_ignored(api: Api) -> None:
    dataset = new_dataset(api)
    append_files(api, dataset, seed_file(image_bytes()), seed_item("a.png"))
    again = append_files(api, dataset, seed_file(image_bytes("blue")), seed_item("a.png"))
    assert (again["new_items"], again["ignored_items"]) == (0, 1)


# Append: what is refused


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference_id": "a.jpg"},
        {"reference_id": "a.jpg", "image_url": ""},
        {"reference_id": "a.jpg", "image_url": None},
        {"reference_id": "a.jpg", "image_url": "https://e.org/a.jpg", "pointcloud_url": "https://e.org/a.json"},
        {"image_url": "https://e.org/a.jpg"},
        {"reference_id": None, "image_url": "https://e.org/a.jpg"},
        {"reference_id": 7, "image_url": "https://e.org/a.jpg"},
        {"reference_id": "a.jpg", "image_url": "https://e.org/a.jpg", "metadata": "rain"},
        {"reference_id": "a.jpg", "image_url": "https://e.org/a.jpg", "width": -1},
        "a.jpg",
        None,
    ],
)
def test_a_wrong_item_is_refused(api: Api, wrong: object) -> None:
    answer = api.call("POST", f"dataset/{new_dataset(api)}/append", {"items": [item("good.jpg"), wrong]})
    assert (answer.status, "$.items[1]" in answer.json["error"]) == (400, True)


def test_of_a_refused_append_nothing_is_stored(api: Api) -> None:
    dataset = new_dataset(api)
    api.call("POST", f"dataset/{dataset}/append", {"items": [item("good.jpg"), {"reference_id": "bad.jpg"}]})
    assert api.get(f"dataset/{dataset}/size") == {"count": 0}


def test_a_scene_dataset_refuses_plain_items(api: Api) -> None:
    assert api.status("POST", f"dataset/{new_dataset(api, is_scene=True)}/append", {"items": [item("a.jpg")]}) == 400


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_metadata_that_is_no_number_is_refused(api: Api, number: bytes) -> None:
    body = json.dumps({"items": [item("a.jpg", metadata={"k": 12345})]}).encode().replace(b"12345", number)
    assert api.status("POST", f"dataset/{new_dataset(api)}/append", body) == 400


def test_items_go_into_a_dataset_that_is_there(api: Api) -> None:
    assert api.status("POST", "dataset/ds_0/append", {"items": [item("a.jpg")]}) == 404
