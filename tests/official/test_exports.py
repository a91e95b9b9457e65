"""The official client's exports, jobs and deletions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.official.objects import (
    assert_same,
    box,
    everything,
    items_told,
    remote_items,
)

pytestmark = [
    pytest.mark.newest,
    # most of what names a run is deprecated in the official client, for users of its hosted service
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]


@pytest.mark.parametrize("page_size", [1, 2, 3, 100_000])
def test_items_come_page_by_page(nucleus: Any, official_dataset: Any, page_size: int) -> None:
    assert items_told(official_dataset.items_generator(page_size=page_size)) == items_told(remote_items(nucleus))


@pytest.mark.parametrize("page_size", [None, 1, 2, 3])
def test_items_come_with_their_annotations(nucleus: Any, official_dataset: Any, page_size: int | None) -> None:
    sent = everything(nucleus, "Annotation")
    official_dataset.annotate([*sent.values(), box(nucleus, "c.jpg")])
    if page_size is None:
        rows = official_dataset.items_and_annotations()
    else:
        rows = list(official_dataset.items_and_annotation_generator(page_size=page_size))
    assert items_told(row["item"] for row in rows) == items_told(remote_items(nucleus))
    first, second, third = (dict(row["annotations"]) for row in rows)
    mask = first.pop("segmentation")
    assert_same({**first, "segmentation": [mask] if not isinstance(mask, list) else mask}, sent)
    assert not any(second.values())
    assert [one.annotation_id for one in third["box"]] == ["1"]


def test_jobs_are_found_again(nucleus: Any, official: Any, official_dataset: Any) -> None:
    job = official_dataset.annotate([box(nucleus)], asynchronous=True)
    found = official.get_job(job.job_id)
    assert (found.job_type, found.job_last_known_status) == ("uploadAnnotations", "Completed")
    assert found.job_creation_time == job.job_creation_time
    every = official.list_jobs(show_completed=True)
    assert [one.job_type for one in every] == ["uploadAnnotations", "uploadDatasetItems"]
    assert official.list_jobs() == []
    assert [one.job_id for one in official_dataset.jobs(show_completed=True, job_types=["uploadAnnotations"])] == [
        job.job_id
    ]
    assert len(official.list_jobs(show_completed=True, limit=1)) == 1


def test_what_is_deleted_is_gone(nucleus: Any, official: Any, official_dataset: Any, model: Any) -> None:
    run = official_dataset.create_model_run("Run", reference_id=model.reference_id)
    kept = official_dataset.create_model_run("Kept", reference_id=model.reference_id)
    official.delete_model_run(run.model_run_id)
    assert official_dataset.model_runs == [kept.model_run_id]
    official.delete_model(model.id)
    assert (official_dataset.model_runs, official.models) == ([], [])
    official_dataset.delete_item("b.jpg")
    assert [item.reference_id for item in official_dataset.items] == ["a.jpg", "c.jpg"]
    official.delete_dataset(official_dataset.id)
    assert official.list_datasets() == []
    with pytest.raises(nucleus.NucleusAPIError):
        official_dataset.info()
