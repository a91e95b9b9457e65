"""Datasets over plain HTTP, as three generations of clients speak it."""

from __future__ import annotations

import pytest

from tests.factories import box
from tests.support.contract_requests import Api, by_type, new_dataset, new_model, new_run


def test_create_answers_with_id_and_name(anywhere: Api) -> None:
    made = anywhere.post("dataset/create", {"name": "Streets"})
    assert made == {"dataset_id": made["dataset_id"], "name": "Streets"}


def test_dataset_ids_begin_with_ds(api: Api) -> None:
    assert new_dataset(api).startswith("ds_")


def test_create_takes_the_nulls_of_the_current_client(api: Api) -> None:
    body = {
        "name": "Streets",
        "is_scene": False,
        "use_privacy_mode": False,
        "annotation_metadata_schema": None,
        "item_metadata_schema": None,
    }
    assert api.post("dataset/create", body)["name"] == "Streets"


def test_two_datasets_may_have_one_name(api: Api) -> None:
    ids = [api.post("dataset/create", {"name": "Streets"})["dataset_id"] for _ in range(2)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": None}, {"name": 7}, [], "Streets", None])
def test_a_dataset_without_a_name_is_refused(api: Api, body: object) -> None:
    assert api.status("POST", "dataset/create", body) == 400


@pytest.mark.parametrize("route", ["dataset/", "dataset"])
def test_datasets_are_listed_by_id(empty: Api, route: str) -> None:
    ids = [new_dataset(empty) for _ in range(3)]
    assert empty.get(route) == ids


def test_no_datasets_are_an_empty_list(empty: Api) -> None:
    assert empty.get("dataset/") == []


def test_details_list_id_name_and_publicity(empty: Api) -> None:
    dataset = empty.post("dataset/create", {"name": "Streets"})["dataset_id"]
    assert empty.get("dataset/details") == [{"id": dataset, "name": "Streets", "is_public": False}]


def test_info_serves_all_generations(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    assert {"dataset_id", "name", "length", "model_run_ids", "slice_ids"} <= set(api.get(f"dataset/{dataset}/info"))


def test_info_counts_items(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    assert api.get(f"dataset/{dataset}/info")["length"] == 2


def test_info_lists_runs(api: Api) -> None:
    dataset = new_dataset(api)
    run = new_run(api, dataset)
    assert api.get(f"dataset/{dataset}/info")["model_run_ids"] == [run]


def test_info_lists_slices(api: Api) -> None:
    dataset = new_dataset(api)
    assert api.get(f"dataset/{dataset}/info")["slice_ids"] == []
    made = api.post(f"dataset/{dataset}/create_slice", {"name": "rain", "allow_empty": 1})["slice_id"]
    assert api.get(f"dataset/{dataset}/info")["slice_ids"] == [made]


def test_info_gives_the_metadata_schemas_back(api: Api) -> None:
    schema = {"weather": {"type": "category", "choices": ["rain", "sun"]}}
    dataset = new_dataset(api, item_metadata_schema=schema)
    assert api.get(f"dataset/{dataset}/info")["item_metadata_schema"] == schema


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("name", {"name": "Streets"}),
        ("is_scene", {"is_scene": False}),
        ("use_privacy_mode", {"use_privacy_mode": True}),
        ("size", {"count": 0}),
    ],
)
def test_single_properties(api: Api, what: str, expected: dict[str, object]) -> None:
    dataset = new_dataset(api, name="Streets", use_privacy_mode=True)
    assert api.get(f"dataset/{dataset}/{what}") == expected


def test_a_scene_dataset_says_so(api: Api) -> None:
    assert api.get(f"dataset/{new_dataset(api, is_scene=True)}/is_scene") == {"is_scene": True}


def test_runs_of_a_dataset_are_a_list_of_ids(api: Api) -> None:
    dataset = new_dataset(api)
    runs = [new_run(api, dataset) for _ in range(2)]
    assert api.get(f"dataset/{dataset}/model_runs") == runs


def test_deleting_a_dataset_answers_with_a_message(anywhere: Api) -> None:
    assert anywhere.delete(f"dataset/{new_dataset(anywhere, 'a.jpg')}") == {"message": "Beginning dataset deletion..."}


@pytest.mark.parametrize(
    ("method", "route"),
    [("GET", "/info"), ("GET", "/datasetItems"), ("GET", "/refloc/a.jpg"), ("GET", "/iloc/0"), ("DELETE", "")],
)
def test_a_deleted_dataset_is_gone(api: Api, method: str, route: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.delete(f"dataset/{dataset}")
    assert api.status(method, f"dataset/{dataset}{route}", {}) == 404


def test_a_deleted_dataset_is_not_listed(empty: Api) -> None:
    kept, gone = new_dataset(empty), new_dataset(empty)
    empty.delete(f"dataset/{gone}")
    assert empty.get("dataset/") == [kept]


def test_a_deleted_dataset_takes_its_runs_along(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset, box())
    api.delete(f"dataset/{dataset}")
    assert api.status("GET", f"modelRun/{run}/info") == 404


def test_a_deleted_dataset_leaves_others_alone(api: Api) -> None:
    kept, gone = new_dataset(api, "a.jpg"), new_dataset(api, "a.jpg")
    api.post(f"dataset/{kept}/annotate", {"annotations": [box()]})
    api.delete(f"dataset/{gone}")
    assert len(by_type(api, kept)["box"]) == 1


def test_dataset_items_come_in_order_of_insertion(anywhere: Api) -> None:
    names = ["b.jpg", "a.jpg", "c.jpg"]
    dataset = new_dataset(anywhere, *names)
    found = anywhere.get(f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [one["reference_id"] for one in found] == names


def test_an_empty_dataset_has_an_empty_list_of_items(api: Api) -> None:
    assert api.get(f"dataset/{new_dataset(api)}/datasetItems") == {"dataset_items": []}


@pytest.mark.parametrize(
    ("method", "route", "body"),
    [
        ("POST", "dataset/create_from_project", {"project_id": "p", "last_n_tasks": "5", "name": "n"}),
        ("POST", "dataset/{dataset}/ingest_tasks", {"tasks": ["t"]}),
        ("POST", "model/run/{model}/", {"dataset_id": "ds_1", "slice_id": "slc_1", "model_run_name": "n"}),
        ("POST", "model/run/{model}", {"dataset_id": "ds_1", "slice_id": "slc_1", "model_run_name": "n"}),
    ],
)
def test_what_needs_scale_is_not_implemented(api: Api, method: str, route: str, body: object) -> None:
    route = route.format(dataset=new_dataset(api), model=new_model(api))
    assert api.status(method, route, body) == 501
