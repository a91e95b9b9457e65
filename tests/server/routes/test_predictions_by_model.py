"""Predictions that name a dataset and a model, and no run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.factories import box
from tests.support.contract_requests import (
    PREDICTION_KEYS,
    Api,
    OverSocket,
    consume,
    fill,
    finished,
    mask,
    mask_bytes,
    mask_of,
    multipart,
    new_dataset,
    new_model,
    new_run,
    serialized,
    upload,
)


def by_model(api: Api, *reference_ids: str) -> tuple[str, str, str]:
    """Create a dataset and a model; the third is where the routes that name both begin."""
    dataset, model = new_dataset(api, *reference_ids), new_model(api)
    return dataset, model, f"dataset/{dataset}/model/{model}"


def predict_by_model(api: Api, place: str, *predictions: dict[str, Any], **fields: Any) -> str:
    """Send predictions that name no run, and return the run that they went to."""
    return str(api.post(f"{place}/uploadPredictions", {"annotations": predictions, **fields})["model_run_id"])


def test_predictions_by_model_are_counted(anywhere: Api) -> None:
    dataset, _, place = by_model(anywhere, "a.jpg")
    made = anywhere.post(f"{place}/uploadPredictions", {"annotations": [box(), box("nobody.jpg")], "update": False})
    assert made == {
        "dataset_id": dataset,
        "model_run_id": anywhere.get(f"dataset/{dataset}/model_runs")[0],
        "predictions_processed": 1,
        "predictions_ignored": 0,
        "errors": ["Item with id nobody.jpg doesn't exist."],
    }


def test_predictions_by_model_make_one_run_of_the_model(api: Api) -> None:
    dataset, model, place = by_model(api, "a.jpg")
    runs = {predict_by_model(api, place, box(annotation_id=str(n))) for n in range(3)}
    assert runs == set(api.get(f"dataset/{dataset}/model_runs")) == set(api.get(f"model/{model}/modelRun"))
    assert len(runs) == 1


def test_predictions_by_model_go_to_the_newest_open_run(api: Api) -> None:
    dataset, model, place = by_model(api, "a.jpg")
    runs = [api.post(f"dataset/{dataset}/modelRun/create", {"model_id": model})["model_run_id"] for _ in range(3)]
    api.post(f"modelRun/{runs[2]}/commit", {})
    assert predict_by_model(api, place, box()) == runs[1]


def test_predictions_by_model_do_not_go_to_runs_of_others(api: Api) -> None:
    dataset, model, place = by_model(api, "a.jpg")
    elsewhere = new_dataset(api, "a.jpg")
    others = [
        new_run(api, dataset),
        api.post(f"dataset/{elsewhere}/modelRun/create", {"model_id": model})["model_run_id"],
        api.post(f"model/{model}/modelRun/create", {})["model_run_id"],
    ]
    deleted = predict_by_model(api, place, box())
    api.delete(f"modelRun/{deleted}")
    assert predict_by_model(api, place, box()) not in [*others, deleted]


@pytest.mark.parametrize("update", [False, True])
def test_predictions_by_model_never_meet_a_committed_run(anywhere: Api, update: bool) -> None:
    _, _, place = by_model(anywhere, "a.jpg")
    first = predict_by_model(anywhere, place, box(annotation_id="1", confidence=0.5))
    anywhere.post(f"modelRun/{first}/commit", {})
    before = anywhere.get(f"modelRun/{first}/ungrouped")
    second = predict_by_model(anywhere, place, box(annotation_id="1", confidence=0.25), update=update)
    assert second != first
    assert anywhere.get(f"modelRun/{first}/ungrouped") == before
    assert anywhere.get(f"{place}/export")["box"][0]["confidence"] == 0.25


def test_signed_predictions_by_model_never_meet_a_committed_run(anywhere: Api) -> None:
    dataset, _, place = by_model(anywhere, "a.jpg")
    first = predict_by_model(anywhere, place, box(annotation_id="1"))
    anywhere.post(f"modelRun/{first}/commit", {})
    request_id = upload(anywhere, dataset, box(annotation_id="2"), box("nobody.jpg"))
    job = consume(anywhere, f"{place}/uploadPredictions", request_id)
    message = finished(anywhere, job)["message"]["prediction_upload"]
    assert (message["processed"], message["errored"]) == (1, 1)
    assert [one["annotation_id"] for one in anywhere.get(f"{place}/export")["box"]] == ["2"]
    assert len(anywhere.get(f"dataset/{dataset}/model_runs")) == 2


def test_a_signed_upload_by_model_consumed_again_makes_no_run(api: Api) -> None:
    dataset, _, place = by_model(api, "a.jpg")
    request_id = upload(api, dataset, box())
    job = consume(api, f"{place}/uploadPredictions", request_id)
    (run,) = api.get(f"dataset/{dataset}/model_runs")
    api.post(f"modelRun/{run}/commit", {})
    assert consume(api, f"{place}/uploadPredictions", request_id)["job_id"] == job["job_id"]
    assert api.get(f"dataset/{dataset}/model_runs") == [run]


def test_predictions_by_model_from_many_threads_make_one_run(over_socket: OverSocket) -> None:
    dataset, _, place = by_model(over_socket, "a.jpg")
    with ThreadPoolExecutor(8) as pool:
        runs = set(pool.map(lambda n: predict_by_model(over_socket, place, box(annotation_id=str(n))), range(16)))
    assert over_socket.get(f"dataset/{dataset}/model_runs") == list(runs)
    assert len(over_socket.get(f"{place}/export")["box"]) == 16


def test_mask_files_by_model_are_stored(api: Api) -> None:
    _, _, place = by_model(api, "a.jpg")
    made = api.ok("POST", f"{place}/uploadPredictions", *multipart(serialized(mask()), mask_of(mask_bytes())))
    assert made["predictions_processed"] == 1
    assert len(api.get(f"{place}/export")["segmentation"]) == 1


@pytest.mark.parametrize(
    "body", [{"annotations": [{"type": "box"}]}, {"annotations": [box(annotation_id=1)]}, b"[", {"requestId": "none"}]
)
def test_refused_predictions_by_model_make_no_run(api: Api, body: object) -> None:
    dataset, _, place = by_model(api, "a.jpg")
    assert api.status("POST", f"{place}/uploadPredictions?async=1", body) == 400
    assert api.status("POST", f"{place}/uploadPredictions", *multipart(serialized(mask()))) == 400
    assert api.get(f"dataset/{dataset}/model_runs") == []


@pytest.mark.parametrize("where", ["iloc/0", "referenceId/a.jpg"])
def test_predictions_of_an_item_by_model_are_those_of_the_newest_run(anywhere: Api, where: str) -> None:
    dataset, model, place = by_model(anywhere, "a.jpg", "b.jpg")
    for label in ("older", "newer"):
        run = anywhere.post(f"dataset/{dataset}/modelRun/create", {"model_id": model})["model_run_id"]
        anywhere.post(f"modelRun/{run}/predict", {"annotations": [box(label=label), box("b.jpg")]})
    found = anywhere.ok("GET", f"{place}/{where}")["annotations"]
    assert set(found) == PREDICTION_KEYS
    assert [one["label"] for one in found["box"]] == ["newer"]


def test_all_predictions_by_model_come_bare(anywhere: Api) -> None:
    _, _, place = by_model(anywhere, "a.jpg", "b.jpg")
    predict_by_model(anywhere, place, box("b.jpg"), box("a.jpg"))
    found = anywhere.get(f"{place}/export")
    assert set(found) == PREDICTION_KEYS
    assert [one["reference_id"] for one in found["box"]] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("name", ["a/b.jpg", "a/b/", "loc/1", "ü 1"])
@pytest.mark.parametrize("annotation_id", ["1", "1/2", "loc/1/"])
def test_predictions_by_model_that_no_client_quotes_are_found(anywhere: Api, name: str, annotation_id: str) -> None:
    _, _, place = by_model(anywhere, name)
    predict_by_model(anywhere, place, box(name, annotation_id=annotation_id))
    unquoted = quote(name)
    assert len(anywhere.ok("GET", f"{place}/referenceId/{unquoted}")["annotations"]["box"]) == 1
    found = anywhere.ok("GET", f"{place}/loc/{unquoted}/{annotation_id}")
    assert (found["reference_id"], found["annotation_id"]) == (name, annotation_id)


def test_predictions_by_model_reach_into_a_run_that_spans_datasets(api: Api) -> None:
    dataset, model, place = by_model(api, "a.jpg")
    elsewhere = new_dataset(api, "a.jpg")
    run = api.post(f"model/{model}/modelRun/create", {})["model_run_id"]
    for number, name in enumerate((dataset, elsewhere)):
        api.post(f"dataset/{name}/modelRun/{run}/uploadPredictions", {"annotations": [box(label=str(number))]})
    assert [one["label"] for one in api.get(f"{place}/export")["box"]] == ["0"]
    assert [one["label"] for one in api.get(f"{place}/iloc/0")["annotations"]["box"]] == ["0"]
    assert len(api.get(f"modelRun/{run}/ungrouped")["box"]) == 2


@pytest.mark.parametrize("route", ["iloc/0", "referenceId/a.jpg", "loc/a.jpg/1", "export"])
def test_a_model_without_runs_on_a_dataset_has_no_predictions_there(api: Api, route: str) -> None:
    dataset, model, place = by_model(api, "a.jpg")
    elsewhere = new_dataset(api, "a.jpg")
    api.post(f"dataset/{elsewhere}/model/{model}/uploadPredictions", {"annotations": [box(annotation_id="1")]})
    free = api.post(f"model/{model}/modelRun/create", {})["model_run_id"]
    api.post(f"dataset/{elsewhere}/modelRun/{free}/uploadPredictions", {"annotations": [box(annotation_id="1")]})
    answer = api.call("GET", f"{place}/{route}")
    assert (answer.status, f"no run on the dataset '{dataset}'" in answer.json["error"]) == (404, True)


@pytest.mark.parametrize("place", ["dataset/{ds}/model/prj_none", "dataset/ds_none/model/{model}"])
@pytest.mark.parametrize("body", [{"annotations": []}, {"requestId": "none"}])
def test_predictions_go_to_a_dataset_and_a_model_that_are_there(api: Api, place: str, body: object) -> None:
    dataset, model, _ = by_model(api)
    assert api.status("POST", f"{fill(place, {'ds': dataset, 'model': model})}/uploadPredictions", body) == 404


def test_a_run_on_one_dataset_takes_no_predictions_of_another(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    elsewhere = new_dataset(api, "a.jpg")
    body = {"annotations": [box()]}
    assert api.status("POST", f"dataset/{elsewhere}/modelRun/{run}/uploadPredictions", body) == 400


def test_a_committed_run_refuses_a_change_that_names_the_dataset_too(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset, box(annotation_id="1"))
    api.post(f"modelRun/{run}/commit", {})
    route = f"dataset/{dataset}/modelRun/{run}/uploadPredictions"
    assert api.post(route, {"annotations": [box(annotation_id="1")]})["predictions_ignored"] == 1
    assert api.status("POST", route, {"annotations": [box(annotation_id="2")]}) == 409
