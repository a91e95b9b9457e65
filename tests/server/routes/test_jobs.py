"""Jobs over plain HTTP: what is told of them, and their lists."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import box, item
from tests.support.contract_requests import Api, consume, new_dataset, upload


def new_job(api: Api, *rows: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    dataset = new_dataset(api)
    return dataset, consume(api, f"dataset/{dataset}/append", upload(api, dataset, *(rows or [item("a.jpg")])))


def test_the_status_of_a_job_has_what_clients_read(anywhere: Api) -> None:
    _, job = new_job(anywhere)
    status = anywhere.get(f"job/{job['job_id']}")
    keys = {"job_id", "status", "message", "job_progress", "completed_steps", "total_steps"}
    assert (set(status), status["status"], status["job_progress"]) == (keys, "Completed", "1.00")


def test_the_steps_of_a_completed_job_are_done(api: Api) -> None:
    _, job = new_job(api)
    status = api.get(f"job/{job['job_id']}")
    assert status["completed_steps"] == status["total_steps"] >= 1


def test_a_job_without_errors_has_an_empty_list(anywhere: Api) -> None:
    _, job = new_job(anywhere)
    assert anywhere.get(f"job/{job['job_id']}/errors") == []


def test_the_errors_of_a_job_are_text(api: Api) -> None:
    _, job = new_job(api, {"reference_id": "nowhere"}, {"image_url": "https://example.org/a.jpg"})
    assert [type(error) for error in api.get(f"job/{job['job_id']}/errors")] == [str, str]


def test_the_info_of_a_job_is_what_started_it(anywhere: Api) -> None:
    _, job = new_job(anywhere)
    assert anywhere.get(f"job/{job['job_id']}/info") == job


def test_job_ids_begin_with_job(api: Api) -> None:
    assert new_job(api)[1]["job_id"].startswith("job_")


@pytest.mark.parametrize("route", ["job/job_0", "job/job_0/errors", "job/job_0/info", "job/nobody"])
def test_a_job_that_is_not_there(api: Api, route: str) -> None:
    assert api.status("GET", route) == 404


def jobs_request(**fields: Any) -> dict[str, Any]:
    nothing = {"dataset_id": None, "job_types": None, "from_date": None, "to_date": None}
    return {**nothing, "limit": 50000, "show_completed": True, **fields}


@pytest.mark.parametrize("route", ["jobs/", "jobs"])
def test_jobs_are_listed(empty: Api, route: str) -> None:
    job = new_job(empty)[1]
    assert empty.post(route, jobs_request()) == [job]


def test_jobs_are_listed_by_dataset(api: Api) -> None:
    (dataset, job), _ = new_job(api), new_job(api)
    assert api.post("jobs/", jobs_request(dataset_id=dataset)) == [job]


def test_jobs_are_listed_by_type(empty: Api) -> None:
    dataset, _ = new_job(empty)
    job = consume(empty, f"dataset/{dataset}/annotate", upload(empty, dataset, box()))
    assert empty.post("jobs/", jobs_request(job_types=["uploadAnnotations"])) == [job]


def test_an_empty_list_of_types_lists_every_job(empty: Api) -> None:
    job = new_job(empty)[1]
    assert empty.post("jobs/", jobs_request(job_types=[])) == [job]


@pytest.mark.parametrize(
    ("dates", "count"),
    [
        ({"from_date": "2020-01-01"}, 1),
        ({"from_date": "2099-01-01"}, 0),
        ({"to_date": "2020-01-01"}, 0),
        ({"to_date": "2099-01-01"}, 1),
        ({"from_date": "2020-01-01", "to_date": "2099-01-01"}, 1),
    ],
)
def test_jobs_are_listed_by_date(empty: Api, dates: dict[str, str], count: int) -> None:
    new_job(empty)
    assert len(empty.post("jobs/", jobs_request(**dates))) == count


def test_jobs_are_listed_up_to_a_limit(api: Api) -> None:
    for _ in range(3):
        new_job(api)
    assert len(api.post("jobs/", jobs_request(limit=2))) == 2


def test_completed_jobs_may_be_left_out(empty: Api) -> None:
    new_job(empty)
    assert empty.post("jobs/", jobs_request(show_completed=False)) == []


@pytest.mark.parametrize("limit", [-1, "all", 2**63, 2**80])
def test_a_limit_that_is_none_is_refused(api: Api, limit: object) -> None:
    assert api.status("POST", "jobs/", jobs_request(limit=limit)) == 400
