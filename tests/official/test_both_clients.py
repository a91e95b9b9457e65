"""What the official client writes, ours reads, and the other way round."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

import nucleus_pandas as npd
from tests.official.objects import (
    METADATA,
    NAMES,
    assert_same,
    box,
    boxes,
    everything,
    items_told,
    payload,
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


def test_ours_reads_its_items(official_dataset: Any, ours: npd.NucleusClient) -> None:
    frame = ours.get_dataset(official_dataset.id).items.to_frame()
    assert frame["reference_id"].tolist() == NAMES
    assert frame["image_url"].tolist() == [url(name) for name in NAMES]
    assert frame["metadata"].tolist() == METADATA
    assert frame[["image_width", "image_height"]].to_numpy().tolist() == [[640, 480]] * 3
    assert frame.index.tolist() == [item.dataset_item_id for item in official_dataset.items]


def assert_frame_holds(frame: pd.DataFrame, sent: dict[str, Any]) -> None:
    """Compare a frame of ours with objects of the official client, type by type."""
    rows = {row["type"]: row for row in frame.to_dict("records")}
    assert len(rows) == len(frame) == len(sent)
    for key, one in sent.items():
        expected = json.loads(json.dumps(payload(one)))
        row = rows["mask" if key == "segmentation" else key]
        assert row["reference_id"] == expected["reference_id"]
        assert row["metadata"] == (expected.get("metadata") or {})
        assert key == "category" or row["annotation_id"] == expected["annotation_id"]
        assert key == "segmentation" or row["label"] == expected["label"]
        if "confidence" in row and key != "segmentation":
            assert row["confidence"] == expected["confidence"]
        if key == "box":
            assert {name: row[name] for name in ("x", "y", "width", "height")} == expected["geometry"]
        elif key == "category":
            assert row["geometry"] == {"taxonomy_name": "weather"}
        elif key == "segmentation":
            assert row["geometry"] == {name: expected[name] for name in ("mask_url", "annotations")}
        else:
            assert row["geometry"] == expected["geometry"]


def test_ours_reads_its_annotations(nucleus: Any, official_dataset: Any, ours: npd.NucleusClient) -> None:
    sent = everything(nucleus, "Annotation", "b.jpg")
    official_dataset.annotate(list(sent.values()))
    assert_frame_holds(ours.get_dataset(official_dataset.id).annotations.refloc["b.jpg"], sent)


def test_ours_reads_its_predictions(
    nucleus: Any, official_dataset: Any, predictor: Any, ours: npd.NucleusClient
) -> None:
    sent = everything(nucleus, "Prediction", "b.jpg", confidence=0.75)
    predictor.predict(list(sent.values()))
    run = ours.get_model_run(official_dataset.model_runs[0])
    assert_frame_holds(run.predictions.to_frame(), sent)


def test_ours_reads_what_it_committed(nucleus: Any, official_dataset: Any, model: Any, ours: npd.NucleusClient) -> None:
    official_dataset.annotate([box(nucleus), box(nucleus, "b.jpg")])
    official_dataset.upload_predictions(
        model, [box(nucleus, confidence=0.5, x=1.5), box(nucleus, "c.jpg", confidence=0.25)]
    )
    official_run = import_module("nucleus").ModelRun(
        official_dataset.model_runs[0], official_dataset.id, official_dataset._client
    )
    official_run.commit()
    matches = ours.get_model_run(official_dataset.model_runs[0]).matches(0.5)
    assert sorted(zip(matches["reference_id"], matches["match_type"], strict=True)) == [
        ("a.jpg", "TP"),
        ("b.jpg", "FN"),
        ("c.jpg", "FP"),
    ]


@pytest.fixture
def mine(ours: npd.NucleusClient) -> npd.Dataset:
    """A dataset of ours: three remote images, boxes on two of them."""
    dataset = ours.create_dataset("Mine")
    items = pd.DataFrame({"reference_id": NAMES, "image_url": [url(name) for name in NAMES], "metadata": METADATA})
    items.nucleus.append(dataset)
    boxes().nucleus.annotate(dataset)
    return dataset


def test_it_reads_our_items(nucleus: Any, official: Any, mine: npd.Dataset) -> None:
    found = official.get_dataset(mine.id).items
    assert items_told(found) == items_told(remote_items(nucleus))
    assert [item.dataset_item_id for item in found] == mine.items.to_frame().index.tolist()


def test_it_reads_our_local_images(official: Any, ours: npd.NucleusClient, image_paths: list[Path]) -> None:
    dataset = ours.create_dataset("Local")
    frame = pd.DataFrame(
        {"reference_id": [path.name for path in image_paths], "image_url": list(map(str, image_paths))}
    )
    frame.nucleus.append(dataset)
    found = list(official.get_dataset(dataset.id).items)
    assert [item.reference_id for item in found] == [path.name for path in image_paths]
    assert requests.get(found[7].image_location, timeout=20).content == image_paths[7].read_bytes()


def described(objects: Iterable[Any]) -> list[tuple[Any, ...]]:
    return [(b.reference_id, b.label, b.x, b.y, b.width, b.height, b.metadata) for b in objects]


def rows_of(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    names = ["reference_id", "label", "x", "y", "width", "height", "metadata"]
    return list(frame[names].itertuples(index=False, name=None))


def test_it_reads_our_annotations(official: Any, mine: npd.Dataset) -> None:
    dataset = official.get_dataset(mine.id)
    found = [one for name in NAMES for one in dataset.refloc(name)["annotations"]["box"]]
    assert described(found) == rows_of(mine.annotations.to_frame())
    assert [one.annotation_id for one in found] == mine.annotations.to_frame()["annotation_id"].tolist()
    exported = [one for row in dataset.items_and_annotations() for one in row["annotations"]["box"]]
    assert described(exported) == described(found)


def test_it_reads_our_shapes(nucleus: Any, official: Any, official_dataset: Any, ours: npd.NucleusClient) -> None:
    sent = everything(nucleus, "Annotation")
    official_dataset.annotate(list(sent.values()))
    dataset = ours.create_dataset("Mine")
    theirs = ours.get_dataset(official_dataset.id)
    theirs.items.to_frame().nucleus.append(dataset)
    theirs.annotations.to_frame().nucleus.annotate(dataset)
    assert_same(official.get_dataset(dataset.id).refloc("a.jpg")["annotations"], sent)


def test_it_reads_our_predictions(official: Any, mine: npd.Dataset, ours: npd.NucleusClient) -> None:
    made = ours.add_model("Detector", reference_id="det-0.5")
    run = mine.create_model_run(made)
    boxes().assign(confidence=[0.1, 0.5, 1 / 3]).nucleus.predict(run)
    run.commit()
    dataset, model = official.get_dataset(mine.id), official.get_model(made.id)
    frame = run.predictions.to_frame()
    for found in (
        dataset.export_predictions(model)["box"],
        official.get_model_run(run.id, mine.id).ungrouped_export()["box"],
        [one for name in NAMES for one in dataset.predictions_refloc(model, name)["box"]],
    ):
        assert described(found) == rows_of(frame)
        assert [one.confidence for one in found] == frame["confidence"].tolist()
    info = official.get_model_run(run.id, mine.id).info()
    assert (info["model_id"], info["status"]) == (made.id, "committed")
