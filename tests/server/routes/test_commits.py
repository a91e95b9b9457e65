"""Commits of model runs over plain HTTP, and what they refuse afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import box
from tests.support.contract_requests import (
    GEOMETRIES,
    Api,
    committed,
    consume,
    finished,
    mask,
    mask_bytes,
    mask_of,
    multipart,
    new_dataset,
    new_run,
    serialized,
    shape,
    upload,
)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"class_agnostic": True},
        {"class_agnostic": False},
        {
            "class_agnostic": False,
            "allowed_label_matches": [{"ground_truth_label": "car", "model_prediction_label": "van"}],
        },
        {"class_agnostic": None, "allowed_label_matches": None},
    ],
)
def test_commit_answers_with_the_run(anywhere: Api, body: dict[str, Any]) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})
    run = new_run(anywhere, dataset, box(confidence=0.5))
    assert anywhere.post(f"modelRun/{run}/commit", body) == {"model_run_id": run}


def test_commit_takes_no_body_at_all(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    assert api.ok("POST", f"modelRun/{run}/commit")["model_run_id"] == run


def test_commit_of_an_empty_run(api: Api) -> None:
    assert committed(api)


def test_commit_shows_in_the_status(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"), box())
    before = api.get(f"modelRun/{run}/info")["status"]
    api.post(f"modelRun/{run}/commit", {})
    assert api.get(f"modelRun/{run}/info")["status"] != before


@pytest.mark.parametrize(
    "body", [{"allowed_label_matches": [{"ground_truth_label": "car"}]}, {"class_agnostic": "no"}, []]
)
def test_a_wrong_commit_is_refused(api: Api, body: object) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    assert api.status("POST", f"modelRun/{run}/commit", body) == 400


@pytest.mark.parametrize(
    "body",
    [
        {"annotations": [box(annotation_id="2")], "update": False},
        {"annotations": [box(annotation_id="1", confidence=0.25)], "update": True},
        {"annotations": [box(annotation_id="1", confidence=0.5, metadata={"k": 1})], "update": True},
        {"annotations": [box(annotation_id="1", confidence=0.5), box(annotation_id="2")], "update": True},
        {"segmentations": [mask()]},
    ],
)
def test_a_committed_run_refuses_a_change(anywhere: Api, body: dict[str, Any]) -> None:
    run = committed(anywhere, box(annotation_id="1", confidence=0.5))
    assert anywhere.status("POST", f"modelRun/{run}/predict", body) == 409


def test_of_a_refused_change_nothing_is_stored(api: Api) -> None:
    run = committed(api, box(annotation_id="1", confidence=0.5))
    before = api.get(f"modelRun/{run}/ungrouped")
    body = {"annotations": [box(annotation_id="1", confidence=0.25), box(annotation_id="2")], "update": True}
    api.call("POST", f"modelRun/{run}/predict", body)
    assert api.get(f"modelRun/{run}/ungrouped") == before


@pytest.mark.parametrize("update", [False, True])
def test_a_committed_run_ignores_what_it_holds(anywhere: Api, update: bool) -> None:
    predictions = [box(annotation_id="1", confidence=0.5, metadata={"b": 1, "a": 2}), box(confidence=0.25)]
    run = committed(anywhere, *predictions)
    made = anywhere.post(f"modelRun/{run}/predict", {"annotations": predictions, "update": update})
    assert (made["predictions_processed"], made["predictions_ignored"]) == (0, 2)


@pytest.mark.parametrize("kind", [*GEOMETRIES, "mask"])
def test_a_committed_run_ignores_every_type_that_it_holds(api: Api, kind: str) -> None:
    run = committed(api, shape(kind, confidence=0.5))
    body = {"annotations": [shape(kind, confidence=0.5)], "update": True}
    assert api.post(f"modelRun/{run}/predict", body)["predictions_ignored"] == 1


@pytest.mark.parametrize(("value", "status"), [(1, 200), (2, 409)])
def test_a_committed_run_compares_mask_files(api: Api, value: int, status: int) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    parts = [serialized(mask(annotation_id="m"), update=True), mask_of(mask_bytes(1))]
    api.ok("POST", f"modelRun/{run}/predict", *multipart(*parts))
    api.post(f"modelRun/{run}/commit", {})
    again = [serialized(mask(annotation_id="m"), update=True), mask_of(mask_bytes(value))]
    assert api.status("POST", f"modelRun/{run}/predict", *multipart(*again)) == status


def test_a_committed_run_takes_an_unknown_item_for_an_error(api: Api) -> None:
    run = committed(api, box())
    made = api.post(f"modelRun/{run}/predict", {"annotations": [box("nobody.jpg")]})
    assert (made["predictions_processed"], len(made["errors"])) == (0, 1)


def test_a_signed_change_of_a_committed_run_is_refused_and_a_repeat_is_not(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset, box())
    api.post(f"modelRun/{run}/commit", {})
    change = {"requestId": upload(api, dataset, box(label="other")), "update": False}
    assert api.status("POST", f"modelRun/{run}/predict?async=1", change) == 409
    job = consume(api, f"modelRun/{run}/predict", upload(api, dataset, box()))
    assert finished(api, job)["message"]["prediction_upload"]["ignored"] == 1


def test_commit_again_works(anywhere: Api) -> None:
    run = committed(anywhere, box())
    assert anywhere.post(f"modelRun/{run}/commit", {"class_agnostic": False}) == {"model_run_id": run}


def test_a_committed_run_can_be_deleted(api: Api) -> None:
    run = committed(api, box())
    api.delete(f"modelRun/{run}")
    assert api.status("GET", f"modelRun/{run}/info") == 404
