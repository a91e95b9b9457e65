"""The shapes of 2020, by raw requests, one after the other as a script of then sent them: everything in one request,
no update, no schema, a body of `{}` with every GET, ids as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import requests

from tests.factories import CUBOID, SQUARE, TRIANGLE, box, item

Ask: TypeAlias = Callable[..., Any]
NAMES = ["a.jpg", "folder/b c.jpg", "ü.jpg"]


@pytest.fixture
def ask(served: str) -> Ask:
    """Send a request as then: the answer is parsed whatever its status."""

    def sent(method: str, route: str, body: Any = None, **fields: Any) -> Any:
        if not fields:
            fields = {"data": json.dumps({} if body is None else body), "headers": {"Content-Type": "application/json"}}
        return requests.request(method, f"{served}/{route}", auth=("a key", ""), timeout=20, **fields).json()

    return sent


@pytest.fixture
def dataset(ask: Ask) -> str:
    """A dataset of three remote images."""
    made: str = ask("POST", "dataset/create", {"name": "Streets"})["dataset_id"]
    ask("POST", f"dataset/{made}/append", {"items": [item(name, metadata={"name": name}) for name in NAMES]})
    return made


@pytest.fixture
def run(ask: Ask, dataset: str) -> str:
    """A run of a model on it."""
    ask("POST", "models/add", {"name": "M", "reference_id": "m", "metadata": {"k": 1}})
    made: str = ask("POST", f"dataset/{dataset}/modelRun/create", {"reference_id": "m"})["model_run_id"]
    return made


def test_datasets(ask: Ask, dataset: str) -> None:
    assert ask("GET", "dataset/") == [dataset]
    info = ask("GET", f"dataset/{dataset}/info")
    assert {name: info[name] for name in ("name", "length", "model_run_ids", "slice_ids")} == {
        "name": "Streets",
        "length": 3,
        "model_run_ids": [],
        "slice_ids": [],
    }
    assert "message" in ask("DELETE", f"dataset/{dataset}")
    assert ask("GET", "dataset/") == []
    refused = ask("GET", f"dataset/{dataset}/info")
    assert (refused["status_code"], isinstance(refused["error"], str)) == (404, True)


def test_items_are_appended_in_one_request_and_counted(ask: Ask, dataset: str) -> None:
    sent = {
        "items": [
            item("a.jpg", metadata={"name": "a.jpg"}),
            item("new.jpg", metadata={"name": "new.jpg"}),
            {"image_url": "https://example.org/b.jpg", "reference_id": "n"},
        ]
    }
    answer = ask("POST", f"dataset/{dataset}/append", sent)
    names = ("dataset_id", "new_items", "updated_items", "ignored_items", "upload_errors")
    assert [answer[name] for name in names] == [dataset, 2, 0, 1, 0]
    assert ask("POST", f"dataset/{dataset}/append", {**sent, "force": True})["updated_items"] == 3


def test_a_image_of_this_machine_is_a_request_of_its_own(ask: Ask, dataset: str) -> None:
    parts = {
        "image": ("b.png", b"\x89PNG any", "image/png"),
        "item": (
            None,
            json.dumps({"image_url": "b.png", "reference_id": "b", "metadata": {"k": 1}}),
            "application/json",
        ),
    }
    answer = ask("POST", f"dataset/{dataset}/append", files=parts)
    assert (answer["new_items"], answer["upload_errors"]) == (1, 0)
    found = ask("GET", f"dataset/{dataset}/refloc/b")["item"]
    assert found["metadata"] == {"k": 1}
    assert requests.get(found["image_url"], timeout=20).content == b"\x89PNG any"


def test_ground_truth_without_ids_is_stored_once(ask: Ask, dataset: str) -> None:
    shapes = [box(), box(type="polygon", geometry=TRIANGLE), box(type="cuboid", geometry=CUBOID)]
    sent = {"annotations": [*shapes, box("nobody.jpg")]}
    answer = ask("POST", f"dataset/{dataset}/annotate", sent)
    assert (answer["dataset_id"], answer["annotations_processed"], answer["annotations_ignored"]) == (dataset, 3, 0)
    assert answer["errors"] == ["Item with id nobody.jpg doesn't exist."]
    assert ask("POST", f"dataset/{dataset}/annotate", sent)["annotations_ignored"] == 3


def test_items_are_found_by_unquoted_ids_with_their_ground_truth(ask: Ask, dataset: str) -> None:
    item_id = ask("GET", f"dataset/{dataset}/iloc/1")["item"]["dataset_item_id"]
    by_id = {key: value for key, value in box().items() if key != "reference_id"} | {"item_id": item_id}
    assert ask("POST", f"dataset/{dataset}/annotate", {"annotations": [by_id]})["annotations_processed"] == 1
    for where in (f"refloc/{NAMES[1]}", "iloc/1", f"loc/{item_id}"):
        found = ask("GET", f"dataset/{dataset}/{where}")
        assert (found["item"]["reference_id"], found["item"]["metadata"]) == (NAMES[1], {"name": NAMES[1]})
        assert [one["geometry"] for one in found["annotations"]["box"]] == [SQUARE]
    assert ask("GET", f"dataset/{dataset}/iloc/3")["status_code"] == 404


def test_predictions(ask: Ask, dataset: str, run: str) -> None:
    sent = {"annotations": [box(confidence=0.5), box(NAMES[1], type="polygon", geometry=TRIANGLE, confidence=0.25)]}
    answer = ask("POST", f"modelRun/{run}/predict", sent)
    assert (answer["model_run_id"], answer["predictions_processed"], answer["predictions_ignored"]) == (run, 2, 0)
    info = ask("GET", f"modelRun/{run}/info")
    assert set(info) >= {"model_id", "name", "status", "metadata"}
    item_id = ask("GET", f"dataset/{dataset}/iloc/0")["item"]["dataset_item_id"]
    for where in ("refloc/a.jpg", "iloc/0", f"loc/{item_id}"):
        (found,) = ask("GET", f"modelRun/{run}/{where}")["annotations"]["box"]
        assert (found["label"], found["confidence"], found["geometry"]) == ("car", 0.5, SQUARE)
    assert ask("POST", f"modelRun/{run}/commit") == {"model_run_id": run}
    refused = ask("POST", f"modelRun/{run}/predict", {"annotations": [box(label="van", confidence=0.5)]})
    assert (refused["status_code"], "committed" in refused["error"]) == (409, True)
    assert ask("DELETE", f"modelRun/{run}")["model_run_id"] == run
    assert ask("GET", f"dataset/{dataset}/info")["model_run_ids"] == []


@pytest.mark.parametrize("key", ["reference_id", "model_id"])
def test_a_run_names_its_model_either_way(ask: Ask, dataset: str, key: str) -> None:
    model_id = ask("POST", "models/add", {"name": "M", "reference_id": "m"})["model_id"]
    body = {key: {"reference_id": "m", "model_id": model_id}[key], "name": "Run", "metadata": {"k": 1}}
    made = ask("POST", f"dataset/{dataset}/modelRun/create", body)
    assert made["model_id"] == model_id
    info = ask("GET", f"modelRun/{made['model_run_id']}/info")
    assert (info["name"], info["metadata"]) == ("Run", {"k": 1})
