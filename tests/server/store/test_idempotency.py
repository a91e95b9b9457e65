"""Requests that are sent again with the same key change nothing."""

from __future__ import annotations

from pathlib import Path

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.server.store.store_http import StoreHttp, rows_in


def test_the_same_creation_again_gets_the_same_answer(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    headers = {"Idempotency-Key": "key 1"}
    first, again = (http("POST", "dataset/create", {"name": "Once"}, headers=headers) for _ in range(2))
    assert first == again
    assert http("GET", "dataset/") == [first["dataset_id"]]
    other = http("POST", "dataset/create", {"name": "Once"}, headers={"Idempotency-Key": "key 2"})
    assert other["dataset_id"] != first["dataset_id"]
    without = http("POST", "dataset/create", {"name": "Once"})
    assert len({first["dataset_id"], other["dataset_id"], without["dataset_id"]}) == 3
    assert rows_in(nucleus, "idempotency") == {"idempotency": 2}


def test_an_empty_key_is_none(http: StoreHttp) -> None:
    headers = {"Idempotency-Key": ""}
    names = ("One", "Other", "Other")
    made = {http("POST", "dataset/create", {"name": name}, headers=headers)["dataset_id"] for name in names}
    assert len(made) == 3


def test_a_key_whose_object_was_deleted_creates_anew(http: StoreHttp) -> None:
    def again(route: str, body: dict[str, str], key: str) -> str:
        return str(http("POST", route, body, headers={"Idempotency-Key": route})[key])

    dataset = again("dataset/create", {"name": "One"}, "dataset_id")
    model = again("models/add", {"name": "One", "reference_id": "m"}, "model_id")
    run = again(f"dataset/{dataset}/modelRun/create", {"reference_id": "m"}, "model_run_id")
    http("DELETE", f"modelRun/{run}", {})
    other = again(f"dataset/{dataset}/modelRun/create", {"reference_id": "m"}, "model_run_id")
    assert other != run
    assert http("GET", f"dataset/{dataset}/info")["model_run_ids"] == [other]
    http("DELETE", f"model/{model}", {})
    assert again("models/add", {"name": "One", "reference_id": "m"}, "model_id") != model
    http("DELETE", f"dataset/{dataset}", {})
    made = again("dataset/create", {"name": "One"}, "dataset_id")
    assert made != dataset
    assert http("GET", "dataset/") == [made]


def test_a_key_that_came_with_another_request_is_refused(http: StoreHttp) -> None:
    headers = {"Idempotency-Key": "key"}
    made = http("POST", "dataset/create", {"name": "One"}, headers=headers)["dataset_id"]
    http("POST", "dataset/create", {"name": "Other"}, 409, headers=headers)
    http("POST", "models/add", {"name": "One", "reference_id": "m"}, 409, headers=headers)
    assert http("GET", "dataset/") == [made]
    assert http("GET", "models/") == {"models": []}


def test_a_refused_creation_does_not_use_its_key_up(http: StoreHttp) -> None:
    headers = {"Idempotency-Key": "key"}
    dataset = http.new_dataset()
    route = f"dataset/{dataset}/modelRun/create"
    http("POST", route, {"reference_id": "m"}, 404, headers=headers)
    http("POST", "models/add", {"name": "A model", "reference_id": "m"})
    http("POST", route, {"reference_id": "m"}, headers=headers)


def test_answers_outlive_the_process_for_a_day(store: Path) -> None:
    headers = {"Idempotency-Key": "key"}
    answers = []
    for age in (0, 3600, 25 * 3600):
        nucleus = EmbeddedNucleus(store)
        with nucleus.database.write() as db:
            db.execute("UPDATE idempotency SET created_at = created_at - ?", (age,))
        if age > 24 * 3600:  # old ones are forgotten when another is noted
            StoreHttp(nucleus)("POST", "dataset/create", {"name": "Other"}, headers={"Idempotency-Key": "other"})
        answers.append(StoreHttp(nucleus)("POST", "dataset/create", {"name": "Once"}, headers=headers)["dataset_id"])
        nucleus.close()
    assert answers[0] == answers[1] != answers[2]
