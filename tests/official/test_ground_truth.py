"""The official client's ground truth, and its keys."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from nucleus_pandas.server.serving import Server
from tests.official.objects import (
    NAMES,
    append,
    assert_same,
    box,
    everything,
    remote_items,
)

pytestmark = [
    pytest.mark.newest,
    # most of what names a run is deprecated in the official client, for users of its hosted service
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]


# Ground truth


def test_every_type_of_annotation_comes_back_equal(nucleus: Any, official_dataset: Any) -> None:
    sent = everything(nucleus, "Annotation")
    result = official_dataset.annotate(list(sent.values()))
    assert (result["annotations_processed"], result["annotations_ignored"]) == (7, 0)
    assert_same(official_dataset.refloc("a.jpg")["annotations"], sent)


def test_every_type_of_annotation_goes_asynchronously(nucleus: Any, official_dataset: Any) -> None:
    sent = everything(nucleus, "Annotation")
    job = official_dataset.annotate(list(sent.values()), asynchronous=True)
    job.sleep_until_complete()
    assert job.status()["message"]["annotation_upload"]["processed"] == 7
    assert_same(official_dataset.refloc("a.jpg")["annotations"], sent)


def test_one_annotation_is_found_by_its_names(nucleus: Any, official_dataset: Any) -> None:
    sent = everything(nucleus, "Annotation")
    official_dataset.annotate(list(sent.values()))
    names = {"box": "box", "line": "line", "keypoints": "pose", "cuboid": "cuboid", "segmentation": "mask"}
    found = {key: official_dataset.ground_truth_loc("a.jpg", name) for key, name in names.items()}
    assert_same({key: [one] for key, one in found.items()}, {key: sent[key] for key in names})


def test_annotations_of_many_requests_are_counted_together(nucleus: Any, official_dataset: Any) -> None:
    boxes = [box(nucleus, annotation_id=str(n)) for n in range(7)]
    result = official_dataset.annotate([*boxes, box(nucleus, "nobody.jpg"), box(nucleus, "no one.jpg")], batch_size=2)
    assert (result["annotations_processed"], result["annotations_ignored"]) == (7, 0)
    assert ["nobody.jpg" in result["errors"][0], "no one.jpg" in result["errors"][1]] == [True, True]


def test_an_unknown_item_is_an_error_of_the_job(nucleus: Any, official_dataset: Any) -> None:
    job = official_dataset.annotate([box(nucleus), box(nucleus, "nobody.jpg")], asynchronous=True)
    job.sleep_until_complete()
    assert job.status()["message"]["annotation_upload"]["errored"] == 1
    assert job.errors() == ["Item with id nobody.jpg doesn't exist."]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("update", "label"), [(False, "car"), (True, "van")])
def test_an_annotation_that_is_there(
    nucleus: Any, official_dataset: Any, asynchronous: bool, update: bool, label: str
) -> None:
    official_dataset.annotate([box(nucleus)])
    made = official_dataset.annotate([box(nucleus, label="van")], update=update, asynchronous=asynchronous)
    if asynchronous:
        made.sleep_until_complete()
    else:
        assert made["annotations_ignored"] == (not update)
    assert [one.label for one in official_dataset.refloc("a.jpg")["annotations"]["box"]] == [label]


def test_local_masks_are_uploaded(nucleus: Any, official_dataset: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.png" for name in NAMES]
    for n, path in enumerate(paths):
        Image.fromarray(np.full((6, 8), n, dtype=np.uint8)).save(path)
    masks = [
        nucleus.SegmentationAnnotation(str(path), [nucleus.Segment("sky", n)], name)
        for n, (path, name) in enumerate(zip(paths, NAMES, strict=True))
    ]
    assert official_dataset.annotate(masks, local_files_per_upload_request=2)["annotations_processed"] == 3
    found = [official_dataset.refloc(name)["annotations"]["segmentation"][0] for name in NAMES]
    assert [requests.get(one.mask_url, timeout=20).content for one in found] == [p.read_bytes() for p in paths]


def test_deleted_annotations_are_gone(nucleus: Any, official_dataset: Any) -> None:
    official_dataset.annotate([*everything(nucleus, "Annotation").values(), box(nucleus, "b.jpg")])
    job = official_dataset.delete_annotations(reference_ids=["a.jpg", "nobody.jpg"])
    job.sleep_until_complete()
    assert (job.job_type, job.errors()) == ("annotationDeletion", ["Item with id nobody.jpg doesn't exist."])
    assert not any(official_dataset.refloc("a.jpg")["annotations"].values())
    assert len(official_dataset.refloc("b.jpg")["annotations"]["box"]) == 1


def test_a_deletion_of_annotations_names_its_items(nucleus: Any, official_dataset: Any) -> None:
    official_dataset.annotate([box(nucleus)])
    with pytest.raises(nucleus.NucleusAPIError, match="could mean none or all"):
        official_dataset.delete_annotations()
    assert len(official_dataset.refloc("a.jpg")["annotations"]["box"]) == 1


# Keys


@pytest.fixture
def locked(store: Path) -> Iterator[str]:
    """The endpoint of a server that wants a key."""
    with Server(store, port=0, api_keys=["the key"]) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server.endpoint
        server.stop()
        thread.join(timeout=20)


@pytest.mark.parametrize("way", ["api_key", "limited_access_key"])
def test_either_kind_of_key_is_sent_with_every_request(
    nucleus: Any, locked: str, image_paths: list[Path], way: str
) -> None:
    client = nucleus.NucleusClient(**{way: "the key"}, endpoint=locked)
    dataset = client.create_dataset("Locked", is_scene=False)
    append(dataset, remote_items(nucleus))
    append(dataset, [nucleus.DatasetItem(str(path), reference_id=path.name) for path in image_paths[:1]])
    assert dataset.size == 4


def test_a_wrong_key_is_refused(nucleus: Any, locked: str) -> None:
    with pytest.raises(nucleus.NucleusAPIError, match="the request has an invalid one") as caught:
        nucleus.NucleusClient(api_key="another", endpoint=locked).create_dataset("Locked", is_scene=False)
    assert caught.value.status_code == 401
