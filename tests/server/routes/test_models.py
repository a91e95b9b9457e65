"""Models over plain HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import box
from tests.support.contract_requests import Api, fresh, new_dataset, new_model, new_run


def test_adding_a_model_answers_with_its_id(anywhere: Api) -> None:
    made = anywhere.post("models/add", {"name": "YOLO", "reference_id": fresh("yolo"), "metadata": {}})
    assert (list(made), made["model_id"][:4]) == (["model_id"], "prj_")


def test_the_seeds_model_needs_no_metadata(empty: Api) -> None:
    assert empty.post("models/add", {"name": "YOLO", "reference_id": "yolo"})["model_id"]


@pytest.mark.parametrize("metadata", [{}, {"epochs": 5}])
def test_a_model_added_again_is_the_same(anywhere: Api, metadata: dict[str, Any]) -> None:
    body = {"name": "YOLO", "reference_id": fresh("yolo"), "metadata": metadata}
    assert anywhere.post("models/add", body) == anywhere.post("models/add", body)


@pytest.mark.parametrize("change", [{"name": "other"}, {"metadata": {"epochs": 6}}, {"bundle_name": "b"}])
def test_another_model_of_the_same_reference_id_is_a_conflict(empty: Api, change: dict[str, Any]) -> None:
    body = {"name": "YOLO", "reference_id": "yolo", "metadata": {"epochs": 5}}
    empty.post("models/add", body)
    assert empty.status("POST", "models/add", {**body, **change}) == 409


@pytest.mark.parametrize("body", [{}, {"name": "YOLO"}, {"reference_id": "yolo"}, {"name": 1, "reference_id": "yolo"}])
def test_a_model_without_its_names_is_refused(api: Api, body: object) -> None:
    assert api.status("POST", "models/add", body) == 400


@pytest.mark.parametrize("route", ["models/", "models"])
def test_models_are_listed(empty: Api, route: str) -> None:
    ids = [new_model(empty) for _ in range(2)]
    assert [row["id"] for row in empty.get(route)["models"]] == ids


def test_no_models_are_an_empty_list(empty: Api) -> None:
    assert empty.get("models/") == {"models": []}


def test_a_model_has_what_clients_read(empty: Api) -> None:
    model = empty.post("models/add", {"name": "YOLO", "reference_id": "yolo", "metadata": {"epochs": 5}})["model_id"]
    found = empty.get(f"model/{model}")
    assert {name: found[name] for name in ("id", "name", "ref_id", "metadata")} == {
        "id": model,
        "name": "YOLO",
        "ref_id": "yolo",
        "metadata": {"epochs": 5},
    }


def test_a_listed_model_is_the_model(empty: Api) -> None:
    model = new_model(empty)
    assert empty.get("models/")["models"] == [empty.get(f"model/{model}")]


def test_metadata_is_a_key_of_every_model(empty: Api) -> None:
    model = empty.post("models/add", {"name": "YOLO", "reference_id": "yolo"})["model_id"]
    assert "metadata" in empty.get(f"model/{model}")


def test_a_model_is_found_by_the_id_of_a_run(empty: Api) -> None:
    run = new_run(empty, new_dataset(empty))
    assert empty.get(f"model/{run}") == empty.get("models/")["models"][0]


@pytest.mark.parametrize("name", ["prj_0", "run_0", "yolo"])
def test_a_model_that_is_not_there(api: Api, name: str) -> None:
    assert api.status("GET", f"model/{name}") == 404


def test_deleting_a_model_answers_with_a_message(anywhere: Api) -> None:
    assert "msg" in anywhere.delete(f"model/{new_model(anywhere)}")


def test_a_deleted_model_is_gone(api: Api) -> None:
    model = new_model(api)
    api.delete(f"model/{model}")
    assert api.status("GET", f"model/{model}") == 404


def test_a_deleted_model_takes_its_runs_along(api: Api) -> None:
    run = new_run(api, new_dataset(api, "a.jpg"), box())
    api.delete(f"model/{api.get(f'model/{run}')['id']}")
    assert api.status("GET", f"modelRun/{run}/info") == 404


def test_a_deleted_models_reference_id_is_free(empty: Api) -> None:
    empty.delete(f"model/{new_model(empty, reference_id='yolo')}")
    assert empty.post("models/add", {"name": "another", "reference_id": "yolo"})["model_id"]


LISTS = [("tag", "tags"), ("trainedSliceId", "trained_slice_ids")]


@pytest.mark.parametrize(("route", "name"), LISTS)
def test_a_models_lists_are_given_at_the_start(api: Api, route: str, name: str) -> None:
    model = new_model(api, **{name: ["a", "b"]})
    assert api.get(f"model/{model}")[name] == ["a", "b"]


@pytest.mark.parametrize(("route", "name"), LISTS)
def test_a_models_lists_grow(anywhere: Api, route: str, name: str) -> None:
    model = new_model(anywhere, **{name: ["a"]})
    anywhere.post(f"model/{model}/{route}", {name: ["b", "a"]})
    assert anywhere.get(f"model/{model}")[name] == ["a", "b"]


@pytest.mark.parametrize(("route", "name"), LISTS)
def test_a_models_lists_shrink(anywhere: Api, route: str, name: str) -> None:
    model = new_model(anywhere, **{name: ["a", "b"]})
    anywhere.delete(f"model/{model}/{route}", {name: ["a"]})
    assert anywhere.get(f"model/{model}")[name] == ["b"]


@pytest.mark.parametrize(("route", "name"), LISTS)
def test_what_a_models_list_does_not_hold_cannot_be_removed(anywhere: Api, route: str, name: str) -> None:
    model = new_model(anywhere, **{name: ["a"]})
    assert anywhere.status("DELETE", f"model/{model}/{route}", {name: ["a", "nothing"]}) == 400


@pytest.mark.parametrize(("route", "name"), LISTS)
def test_of_a_refused_removal_nothing_happens(api: Api, route: str, name: str) -> None:
    model = new_model(api, **{name: ["a"]})
    api.call("DELETE", f"model/{model}/{route}", {name: ["a", "nothing"]})
    assert api.get(f"model/{model}")[name] == ["a"]
