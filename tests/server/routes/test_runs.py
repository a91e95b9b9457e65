"""Model runs and their predictions over plain HTTP, on a dataset, under a model, and merged."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import box
from tests.support.contract_requests import (
    GEOMETRIES,
    JOB,
    PREDICTION_KEYS,
    Api,
    by_type,
    consume,
    finished,
    fresh,
    new_dataset,
    new_model,
    new_run,
    shape,
    upload,
)

# Runs


@pytest.mark.parametrize("key", ["reference_id", "model_id"])
def test_a_run_names_its_model_either_way(anywhere: Api, key: str) -> None:
    dataset, reference_id = new_dataset(anywhere), fresh("yolo")
    model = new_model(anywhere, reference_id=reference_id)
    locator = {"reference_id": reference_id, "model_id": model}[key]
    assert anywhere.post(f"dataset/{dataset}/modelRun/create", {key: locator})["model_id"] == model


def test_creating_a_run_answers_with_two_ids(api: Api) -> None:
    made = api.post(f"dataset/{new_dataset(api)}/modelRun/create", {"model_id": new_model(api)})
    assert (set(made), made["model_run_id"][:4]) == ({"model_id", "model_run_id"}, "run_")


def test_creating_a_run_takes_the_nulls_of_the_current_client(empty: Api) -> None:
    new_model(empty, reference_id="yolo")
    body = {"name": None, "reference_id": "yolo", "metadata": None, "annotation_metadata_schema": None}
    assert empty.post(f"dataset/{new_dataset(empty)}/modelRun/create", body)["model_run_id"]


def test_a_run_without_a_model_is_one_of_the_only_model(empty: Api) -> None:
    model = new_model(empty)
    body = {"name": "run", "reference_id": None, "metadata": None, "annotation_metadata_schema": None}
    assert empty.post(f"dataset/{new_dataset(empty)}/modelRun/create", body)["model_id"] == model


@pytest.mark.parametrize("count", [0, 2])
def test_a_run_without_a_model_is_refused(empty: Api, count: int) -> None:
    for _ in range(count):
        new_model(empty)
    assert empty.status("POST", f"dataset/{new_dataset(empty)}/modelRun/create", {"name": "run"}) == 400


def test_a_run_of_two_models_is_refused(api: Api) -> None:
    body = {"model_id": new_model(api), "reference_id": "other"}
    assert api.status("POST", f"dataset/{new_dataset(api)}/modelRun/create", body) == 400


@pytest.mark.parametrize("body", [{"model_id": "prj_0"}, {"reference_id": "nobody"}])
def test_a_run_of_a_model_that_is_not_there(api: Api, body: object) -> None:
    assert api.status("POST", f"dataset/{new_dataset(api)}/modelRun/create", body) == 404


def test_a_run_describes_itself(anywhere: Api) -> None:
    dataset, model = new_dataset(anywhere), new_model(anywhere)
    body = {"model_id": model, "name": "night", "metadata": {"k": 1}}
    run = anywhere.post(f"dataset/{dataset}/modelRun/create", body)["model_run_id"]
    info = anywhere.get(f"modelRun/{run}/info")
    assert (set(info), info["model_id"], info["name"], info["metadata"]) == (
        {"model_id", "name", "status", "metadata"},
        model,
        "night",
        {"k": 1},
    )


@pytest.mark.parametrize("route", ["info", "refloc/a.jpg", "iloc/0", "loc/di_0", "prediction/loc/a.jpg/1", "ungrouped"])
def test_a_run_that_is_not_there(api: Api, route: str) -> None:
    assert api.status("GET", f"modelRun/run_0/{route}") == 404


@pytest.mark.parametrize("route", ["predict", "uploadPredictions"])
def test_predictions_are_counted(anywhere: Api, route: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    run = new_run(anywhere, dataset)
    predictions = [box("a.jpg", confidence=0.5), box("b.jpg", confidence=0.25)]
    made = anywhere.post(f"modelRun/{run}/{route}", {"annotations": predictions, "update": False})
    made.pop("annotations_processed", None)  # may be told besides
    assert made == {
        "dataset_id": dataset,
        "model_run_id": run,
        "predictions_processed": 2,
        "predictions_ignored": 0,
    }


def test_the_seeds_predictions_need_neither_id_nor_update(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    assert api.post(f"modelRun/{run}/predict", {"annotations": [box(confidence=0.5)]})["predictions_processed"] == 1


def test_predictions_without_id_sent_again_are_ignored(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    body = {"annotations": [box(confidence=0.5), box(confidence=0.5), box(confidence=0.25)]}
    api.post(f"modelRun/{run}/predict", body)
    again = api.post(f"modelRun/{run}/predict", body)
    assert (again["predictions_processed"], again["predictions_ignored"]) == (0, 3)


@pytest.mark.parametrize(("update", "confidence"), [(False, 0.5), (True, 0.75)])
def test_predictions_heed_update(api: Api, update: bool, confidence: float) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    for value in (0.5, 0.75):
        body = {"annotations": [box(annotation_id="1", confidence=value)], "update": update}
        api.post(f"modelRun/{run}/predict", body)
    assert api.get(f"modelRun/{run}/ungrouped")["box"][0]["confidence"] == confidence


def test_a_prediction_of_an_unknown_item_is_named_among_the_errors(anywhere: Api) -> None:
    run = new_run(anywhere, new_dataset(anywhere, "a.jpg"))
    made = anywhere.post(f"modelRun/{run}/predict", {"annotations": [box("nobody.jpg"), box()]})
    assert (made["predictions_processed"], len(made["errors"]), "nobody.jpg" in made["errors"][0]) == (1, 1, True)


def test_predictions_name_their_item_by_item_id_too(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset)
    one = box(item_id=api.get(f"dataset/{dataset}/iloc/0")["item"]["id"])
    del one["reference_id"]
    api.post(f"modelRun/{run}/predict", {"annotations": [one]})
    assert api.get(f"modelRun/{run}/refloc/a.jpg")["annotations"]["box"][0]["reference_id"] == "a.jpg"


def test_a_prediction_of_several_categories_is_refused(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"))
    assert api.status("POST", f"modelRun/{run}/predict", {"annotations": [shape("multicategory")]}) == 400


@pytest.mark.parametrize("by", ["refloc", "iloc", "loc"])
def test_predictions_of_an_item_have_the_seven_types(anywhere: Api, by: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    run = new_run(anywhere, dataset)
    key = {"refloc": "a.jpg", "iloc": "0", "loc": anywhere.get(f"dataset/{dataset}/iloc/0")["item"]["id"]}[by]
    assert anywhere.get(f"modelRun/{run}/{by}/{key}") == {"annotations": {kind: [] for kind in PREDICTION_KEYS}}


@pytest.mark.parametrize("by", ["refloc", "iloc", "loc"])
def test_predictions_of_an_item_are_those_of_the_item(api: Api, by: str) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    run = new_run(api, dataset, box("a.jpg"), box("b.jpg"))
    key = {"refloc": "b.jpg", "iloc": "1", "loc": api.get(f"dataset/{dataset}/iloc/1")["item"]["id"]}[by]
    found = api.get(f"modelRun/{run}/{by}/{key}")["annotations"]["box"]
    assert [one["reference_id"] for one in found] == ["b.jpg"]


def test_predictions_are_no_ground_truth(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    new_run(api, dataset, box())
    assert by_type(api, dataset)["box"] == []


def test_predictions_of_two_runs_are_apart(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    new_run(api, dataset, box())
    assert api.get(f"modelRun/{new_run(api, dataset)}/ungrouped")["box"] == []


@pytest.mark.parametrize("kind", [*GEOMETRIES, "mask"])
def test_every_type_of_prediction_is_read_back(api: Api, kind: str) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"), shape(kind, confidence=0.5))
    found = api.get(f"modelRun/{run}/refloc/a.jpg")["annotations"]["segmentation" if kind == "mask" else kind]
    assert [(one["type"], one["confidence"], one["id"][:5]) for one in found] == [(kind, 0.5, "pred_")]


def test_the_distribution_of_a_prediction_is_read_back(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"), box(confidence=0.5, class_pdf={"car": 0.5, "van": 0.5}))
    assert api.get(f"modelRun/{run}/ungrouped")["box"][0]["class_pdf"] == {"car": 0.5, "van": 0.5}


def test_one_prediction_is_found_by_its_names(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    run = new_run(anywhere, dataset, box(annotation_id="1"), box(annotation_id="2"))
    found = anywhere.get(f"modelRun/{run}/prediction/loc/a.jpg/2")
    assert (found["type"], found["annotation_id"]) == ("box", "2")


@pytest.mark.parametrize("route", ["refloc/nobody", "iloc/1", "iloc/-1", "loc/di_0", "prediction/loc/a.jpg/nobody"])
def test_predictions_that_are_not_there(api: Api, route: str) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"), box())
    assert api.status("GET", f"modelRun/{run}/{route}") == 404


def test_all_predictions_of_a_run_come_bare(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    run = new_run(anywhere, dataset, box("a.jpg"), box("b.jpg"))
    found = anywhere.get(f"modelRun/{run}/ungrouped")
    assert (set(found), [one["reference_id"] for one in found["box"]]) == (PREDICTION_KEYS, ["a.jpg", "b.jpg"])


def test_deleting_a_run(anywhere: Api) -> None:
    run = new_run(anywhere, new_dataset(anywhere, "a.jpg"), box())
    anywhere.delete(f"modelRun/{run}")
    assert anywhere.status("GET", f"modelRun/{run}/info") == 404


def test_a_deleted_run_is_not_listed(api: Api) -> None:
    dataset = new_dataset(api)
    api.delete(f"modelRun/{new_run(api, dataset)}")
    assert api.get(f"dataset/{dataset}/model_runs") == []


@pytest.mark.parametrize("route", ["predict", "uploadPredictions"])
def test_signed_predictions_are_a_job(anywhere: Api, route: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    run = new_run(anywhere, dataset)
    job = consume(anywhere, f"modelRun/{run}/{route}", upload(anywhere, dataset, box(confidence=0.5)))
    assert (set(job), job["job_type"]) == (JOB, "uploadPredictions")


def test_signed_predictions_are_stored(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    run = new_run(anywhere, dataset)
    finished(anywhere, consume(anywhere, f"modelRun/{run}/predict", upload(anywhere, dataset, box(confidence=0.5))))
    assert len(anywhere.get(f"modelRun/{run}/ungrouped")["box"]) == 1


# Runs under a model, and merged runs


def test_a_run_under_a_model_has_no_dataset(anywhere: Api) -> None:
    model = new_model(anywhere)
    made = anywhere.post(f"model/{model}/modelRun/create", {"name": "free", "reference_id": None, "metadata": {}})
    assert made["model_run_id"].startswith("run_")


def test_a_run_under_a_model_takes_predictions_of_any_dataset(api: Api) -> None:
    one, two = new_dataset(api, "a.jpg"), new_dataset(api, "a.jpg")
    run = api.post(f"model/{new_model(api)}/modelRun/create", {"name": "free"})["model_run_id"]
    body = {"annotations": [box(dataset_id=one), box(dataset_id=two)], "update": False}
    assert api.post(f"modelRun/{run}/uploadPredictions", body)["predictions_processed"] == 2


def test_a_run_under_a_model_takes_predictions_by_item_id(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = api.post(f"model/{new_model(api)}/modelRun/create", {"name": "free"})["model_run_id"]
    one = box(reference_id=None, item_id=api.get(f"dataset/{dataset}/iloc/0")["item"]["id"])
    api.post(f"modelRun/{run}/uploadPredictions", {"annotations": [one]})
    assert [found["reference_id"] for found in api.get(f"modelRun/{run}/ungrouped")["box"]] == ["a.jpg"]


@pytest.mark.parametrize("query", ["", "?family=true"])
def test_the_runs_of_a_model_are_a_list_of_ids(api: Api, query: str) -> None:
    model = new_model(api)
    runs = [api.post(f"model/{model}/modelRun/create", {"name": name})["model_run_id"] for name in ("a", "b")]
    assert api.get(f"model/{model}/modelRun{query}") == runs


def new_merge(api: Api, dataset: str) -> tuple[list[str], dict[str, Any]]:
    model = new_model(api)
    runs = []
    for name in ("1", "2"):
        run = api.post(f"dataset/{dataset}/modelRun/create", {"model_id": model})["model_run_id"]
        api.post(f"modelRun/{run}/predict", {"annotations": [box(annotation_id=name)]})
        runs.append(run)
    return runs, api.post("modelRun/merge", {"model_run_ids": runs, "name": "merged", "metadata": {}})


def test_a_merge_answers_with_what_clients_read(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    _, merged = new_merge(anywhere, dataset)
    assert (set(merged), merged["dataset_ids"]) == ({"model_run_id", "dataset_ids", "job_id"}, [dataset])


def test_the_job_of_a_merge_can_be_looked_up(api: Api) -> None:
    _, merged = new_merge(api, new_dataset(api, "a.jpg"))
    assert set(api.get(f"job/{merged['job_id']}/info")) == JOB


def test_a_merge_holds_the_predictions_of_all_runs(api: Api) -> None:
    _, merged = new_merge(api, new_dataset(api, "a.jpg"))
    found = api.get(f"modelRun/{merged['model_run_id']}/ungrouped")["box"]
    assert [one["annotation_id"] for one in found] == ["1", "2"]


def test_a_merge_leaves_its_runs_alone(api: Api) -> None:
    runs, _ = new_merge(api, new_dataset(api, "a.jpg"))
    assert [len(api.get(f"modelRun/{run}/ungrouped")["box"]) for run in runs] == [1, 1]


@pytest.mark.parametrize("count", [0, 1])
def test_a_merge_takes_two_runs(api: Api, count: int) -> None:
    runs = [new_run(api, new_dataset(api)) for _ in range(count)]
    assert api.status("POST", "modelRun/merge", {"model_run_ids": runs}) == 400


def test_a_merge_takes_each_run_once(api: Api) -> None:
    run = new_run(api, new_dataset(api))
    assert api.status("POST", "modelRun/merge", {"model_run_ids": [run, run]}) == 400
