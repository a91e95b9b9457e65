"""Ground truth by signed addresses."""

from __future__ import annotations

import pytest

from tests.factories import box
from tests.support.contract_requests import JOB, Api, by_type, category, consume, finished, mask, new_dataset, upload


def test_a_signed_annotate_is_a_job(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    job = consume(anywhere, f"dataset/{dataset}/annotate", upload(anywhere, dataset, box(), mask()))
    assert (set(job), job["job_type"]) == (JOB, "uploadAnnotations")


def test_a_signed_annotate_stores_annotations(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    finished(anywhere, consume(anywhere, f"dataset/{dataset}/annotate", upload(anywhere, dataset, box(), mask())))
    found = by_type(anywhere, dataset)
    assert (len(found["box"]), len(found["segmentation"])) == (1, 1)


def test_a_signed_annotate_counts_in_its_message(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id="1")]})
    rows = [box(annotation_id="1"), box(annotation_id="2"), box("nobody.jpg")]
    status = finished(anywhere, consume(anywhere, f"dataset/{dataset}/annotate", upload(anywhere, dataset, *rows)))
    counts = status["message"]["annotation_upload"]
    assert {**counts, "datasetId": ""} == {"total": 3, "processed": 1, "ignored": 1, "errored": 1, "datasetId": ""}


def test_a_signed_annotate_names_its_dataset_in_its_message(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    status = finished(api, consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, box())))
    assert status["message"]["annotation_upload"].get("datasetId") == dataset


def test_a_signed_annotate_of_an_unknown_item_is_completed(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    job = consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, box("nobody.jpg")))
    assert finished(api, job)["status"] == "Completed"


def test_a_signed_annotate_of_an_unknown_item_names_it_among_the_errors(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    job = consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, box("nobody.jpg")))
    (error,) = api.get(f"job/{job['job_id']}/errors")
    assert "nobody.jpg" in error


@pytest.mark.parametrize(("update", "label"), [(False, "car"), (True, "van")])
def test_a_signed_annotate_heeds_update(api: Api, update: bool, label: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id="1")]})
    request_id = upload(api, dataset, box(annotation_id="1", label="van"))
    finished(api, consume(api, f"dataset/{dataset}/annotate", request_id, update=update))
    assert by_type(api, dataset)["box"][0]["label"] == label


def test_a_signed_annotate_keeps_every_repeat(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    finished(api, consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, *[box()] * 5_001)))
    assert len(by_type(api, dataset)["box"]) == 5_001


def test_a_signed_annotate_of_repeats_sent_again_is_ignored(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    for _ in range(2):
        job = consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, *[box()] * 3))
        counts = finished(api, job)["message"]["annotation_upload"]
    assert (counts["processed"], counts["ignored"]) == (0, 3)


def test_ids_agree_between_a_body_and_a_signed_upload(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(), box(), category("rain", None)]})
    job = consume(api, f"dataset/{dataset}/annotate", upload(api, dataset, box(), box(), category("rain", None)))
    assert finished(api, job)["message"]["annotation_upload"]["ignored"] == 3
