"""The official client, unmodified, on datasets and items of a served embedded Nucleus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from tests.official.objects import (
    METADATA,
    append,
    items_told,
    remote_items,
    url,
)

pytestmark = [
    pytest.mark.newest,
    # most of what names a run is deprecated in the official client, for users of its hosted service
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]


def test_a_created_dataset_describes_itself(official: Any, official_dataset: Any) -> None:
    again = official.get_dataset(official_dataset.id)
    assert (again.name, again.is_scene, again.use_privacy_mode, again.size) == ("Street scenes", False, False, 3)


def test_info_of_a_dataset(official_dataset: Any) -> None:
    info = official_dataset.info()
    assert (info.dataset_id, info.name, info.length) == (official_dataset.id, "Street scenes", 3)
    assert (info.model_run_ids, info.slice_ids) == ([], [])


def test_datasets_are_listed(official: Any, official_dataset: Any) -> None:
    other = official.create_dataset("Other", is_scene=False)
    assert official.list_datasets() == [official_dataset.id, other.id]
    assert [one.name for one in official.datasets] == ["Street scenes", "Other"]


def test_remote_items_come_back_equal_and_in_order(nucleus: Any, official_dataset: Any) -> None:
    assert items_told(official_dataset.items) == items_told(remote_items(nucleus))


def test_an_append_is_a_completed_job_without_errors(nucleus: Any, official: Any) -> None:
    job = official.create_dataset("D", is_scene=False).append(remote_items(nucleus))
    job.sleep_until_complete()
    assert (job.status()["status"], job.status()["message"]["new_items"], job.errors()) == ("Completed", 3, [])


def test_items_that_are_there_are_ignored(nucleus: Any, official_dataset: Any) -> None:
    changed = [nucleus.DatasetItem(url("new"), reference_id="a.jpg", metadata={"new": 1})]
    assert append(official_dataset, changed)["message"]["ignored_items"] == 1
    assert official_dataset.refloc("a.jpg")["item"].metadata == METADATA[0]


def test_update_replaces_metadata(nucleus: Any, official_dataset: Any) -> None:
    changed = [nucleus.DatasetItem(url("a.jpg"), reference_id="a.jpg", metadata={"new": 1})]
    assert append(official_dataset, changed, update=True)["message"]["updated_items"] == 1
    assert official_dataset.refloc("a.jpg")["item"].metadata == {"new": 1}


def test_a_scene_dataset_refuses_plain_items(nucleus: Any, official: Any) -> None:
    scenes = official.create_dataset("Scenes", is_scene=True)
    with pytest.raises(nucleus.async_job.JobError, match="send plain items to another dataset"):
        append(scenes, remote_items(nucleus))


def test_local_images_travel_in_several_requests(nucleus: Any, official: Any, image_paths: list[Path]) -> None:
    dataset = official.create_dataset("Local", is_scene=False)
    items = [nucleus.DatasetItem(str(path), reference_id=path.name, metadata={"n": path.name}) for path in image_paths]
    append(dataset, items)
    found = sorted(dataset.items, key=lambda item: item.reference_id)
    assert [(item.reference_id, item.metadata) for item in found] == sorted(
        (path.name, {"n": path.name}) for path in image_paths
    )
    assert [job.job_type for job in dataset.jobs(show_completed=True)] == ["uploadDatasetItems"] * 3


def test_local_images_are_served_as_they_were(nucleus: Any, official: Any, image_paths: list[Path]) -> None:
    dataset = official.create_dataset("Local", is_scene=False)
    append(dataset, [nucleus.DatasetItem(str(path), reference_id=path.name) for path in image_paths])
    for path in image_paths[::11]:
        found = dataset.refloc(path.name)["item"]
        assert requests.get(found.image_location, timeout=20).content == path.read_bytes()


def test_a_local_image_that_is_none_is_told_of(nucleus: Any, official: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    job = official.create_dataset("Local", is_scene=False).append(
        [nucleus.DatasetItem(str(tmp_path / "empty.png"), reference_id="empty")]
    )
    job.sleep_until_complete()
    assert [("empty" in text) for text in job.errors()] == [True]


def test_update_replaces_a_local_image(nucleus: Any, official: Any, image_paths: list[Path]) -> None:
    dataset = official.create_dataset("Local", is_scene=False)
    for path in image_paths[:2]:
        append(dataset, [nucleus.DatasetItem(str(path), reference_id="one")], update=True)
    (item,) = dataset.items
    assert requests.get(item.image_location, timeout=20).content == image_paths[1].read_bytes()


def test_a_folder_becomes_a_dataset(official: Any, image_paths: list[Path]) -> None:
    dataset = official.create_dataset("Folder", is_scene=False)
    dataset.add_items_from_dir(str(image_paths[0].parent))
    assert dataset.size == len(image_paths)
