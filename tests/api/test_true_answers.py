"""Errors and results tell what happened, and what to type works."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd
from tests.factories import numbered_images


def item(**fields: Any) -> pd.DataFrame:
    return pd.DataFrame({"reference_id": ["a"], "image_url": "https://example.org/a", **fields})


def box(**fields: Any) -> pd.DataFrame:
    sides = {"x": 1.0, "y": 1.0, "width": 30.0, "height": 30.0}
    return pd.DataFrame({"reference_id": ["a"], "label": "car", **sides, **fields})


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("évry", True),
        ("ÉVRY", True),
        ("e\u0301v%", True),
        ("%RY", True),
        ("evry", False),
        ("é_ry", True),
        ("ö%", False),
    ],
)
def test_like_ignores_the_case_of_all_letters(client: npd.NucleusClient, pattern: str, found: bool) -> None:
    dataset = client.create_dataset("D")
    item(metadata=[{"city": "ÉVRY"}]).nucleus.append(dataset)
    assert len(dataset.query(f'metadata.city like "{pattern}"')) == found
    assert len(dataset.query(f'not metadata.city like "{pattern}"')) == (not found)


@pytest.mark.parametrize("confidence", [1.0000001, float(np.nextafter(1, 2)), -1e-9, 1.5])
def test_confidences_are_shown_with_every_digit(confidence: float) -> None:
    found = box(confidence=confidence).nucleus.check("predictions")
    assert repr(confidence) in found["reason"].iloc[0]


@pytest.mark.parametrize(
    "value", [b"\x89PNG", Image.new("RGB", (2, 2)), np.zeros((2, 2, 3), np.uint8), {"bytes": b"x", "path": "a.jpg"}]
)
def test_images_in_cells_are_to_be_written_to_files(three_images: npd.Dataset, value: Any) -> None:
    frame = pd.DataFrame({"reference_id": ["b"], "image_url": pd.Series([value], dtype=object)})
    with pytest.raises(npd.InvalidInputError, match="Write images to files first") as caught:
        frame.nucleus.append(three_images)
    assert "astype" not in str(caught.value)


def test_urls_of_files_are_local_paths(local: npd.NucleusClient, tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    (path,) = numbered_images(folder, 1)
    dataset = local.create_dataset("D")
    item(image_url=path.as_uri()).nucleus.append(dataset)
    assert dataset.items["image_width"].notna().all()
    with pytest.raises(npd.InvalidInputError, match="is on the host 'elsewhere'"):
        item(image_url="file://elsewhere/a.jpg").nucleus.append(dataset)


@pytest.mark.parametrize("suffixes", [("_item", ""), ("_x", "_y"), ("_items", "_boxes")])
def test_a_merge_of_items_and_boxes_is_not_sent_as_items_by_accident(
    local: npd.NucleusClient, suffixes: tuple[str, str]
) -> None:
    dataset = local.create_dataset("D")
    item(metadata=[{"weather": "rain"}], width=640, height=480).nucleus.append(dataset)
    box(metadata=[{"occluded": True}]).nucleus.annotate(dataset)
    before = dataset.to_frame()
    joint = before.merge(dataset.annotations.to_frame(), on="reference_id", suffixes=suffixes)
    with pytest.raises(npd.InvalidInputError, match="State which are those of the items") as caught:
        joint.nucleus.append(dataset, if_exists="update")
    pd.testing.assert_frame_equal(dataset.to_frame(), before)
    line = str(caught.value).partition("State which are those of the items: ")[2]
    eval(line, {"frame": joint, "dataset": dataset})
    pd.testing.assert_frame_equal(dataset.to_frame(), before)


@pytest.fixture
def described(local: npd.NucleusClient) -> npd.Dataset:
    """An item with size and metadata, and a box on it with metadata of its own."""
    dataset = local.create_dataset("D")
    item(metadata=[{"weather": "rain"}], width=640, height=480).nucleus.append(dataset)
    box(metadata=[{"occluded": True}]).nucleus.annotate(dataset)
    return dataset


@pytest.mark.parametrize("how", ["inner", "left", "outer"])
@pytest.mark.parametrize("boxes_first", [False, True])
def test_a_merge_without_metadata_goes_back_unchanged(local: npd.NucleusClient, how: str, boxes_first: bool) -> None:
    described = local.create_dataset("D")
    item(width=640, height=480).nucleus.append(described)
    box().nucleus.annotate(described)
    items = described.items.to_frame(metadata_as=False)
    boxes = described.annotations.to_frame(metadata_as=False).drop(columns="dataset_item_id", errors="ignore")
    before, before_boxes = described.to_frame(), described.annotations.to_frame()
    left, right = (boxes, items) if boxes_first else (items, boxes)
    joint = left.merge(right, on="reference_id", how=how)
    assert described.append(joint, if_exists="update").updated_items == 1
    pd.testing.assert_frame_equal(described.to_frame(), before)
    described.annotate(joint, if_exists="update")
    pd.testing.assert_frame_equal(described.annotations.to_frame(), before_boxes)


@pytest.mark.parametrize("send", ["append", "annotate"])
def test_a_merge_of_both_metadata_is_sent_with_the_line_of_the_error(described: npd.Dataset, send: str) -> None:
    before, before_boxes = described.to_frame(), described.annotations.to_frame()
    joint = before.merge(before_boxes, on="reference_id")
    with pytest.raises(npd.InvalidInputError, match="may be of either") as caught:
        getattr(joint.nucleus, send)(described, if_exists="update")
    line = "frame.nucleus" + str(caught.value).partition("frame.nucleus")[2]
    eval(line, {"frame": joint, "dataset": described})
    pd.testing.assert_frame_equal(described.to_frame(), before)
    pd.testing.assert_frame_equal(described.annotations.to_frame(), before_boxes)


def test_annotations_read_back_do_not_describe_their_items(described: npd.Dataset) -> None:
    before = described.to_frame()
    joint = described.annotations.to_frame().assign(image_url="https://example.org/a.jpg")
    with pytest.raises(npd.InvalidInputError, match="metadata"):
        joint.nucleus.append(described, if_exists="update")
    pd.testing.assert_frame_equal(described.to_frame(), before)


def test_sizes_of_earlier_parquet_files_are_taken(local: npd.NucleusClient, tmp_path: Path) -> None:
    dataset = local.create_dataset("D")
    item(width=640, height=480).to_parquet(tmp_path / "items.parquet")
    npd.import_parquet(tmp_path / "items.parquet", dataset, progress=False)
    assert dataset.items[["image_width", "image_height"]].to_numpy().tolist() == [[640, 480]]
    assert len(dataset.query("width = 640")) == len(dataset.query("image_width = 640")) == 1


def test_members_can_be_listed_where_there_is_no_page(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("D")
    run = dataset.create_model_run(local.add_model("M", "m"))
    for thing in (dataset, run):
        assert not hasattr(thing, "url")
        assert "id" in dict(inspect.getmembers(thing))
        with pytest.raises(npd.ConfigurationError, match="Serve it from a terminal: nucleus-pandas serve"):
            _ = thing.url


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda dataset, run: dataset.sample(3), "is an attribute of its rows: .items.sample or .annotations.sample"),
        (lambda dataset, run: dataset.show(), "is an attribute of its rows: .items.show or .annotations.show"),
        (
            lambda dataset, run: dataset.groupby("x"),
            "DataFrames have it: .items.to_frame..\\.groupby or .annotations.to_frame..\\.groupby",
        ),
        (lambda dataset, run: run.show(), ".show is an attribute of its rows: .predictions.show"),
        (lambda dataset, run: run.describe(), "DataFrames have it: .predictions.to_frame..\\.describe"),
        (lambda dataset, run: dataset.nonsense, "'Dataset' object has no attribute 'nonsense'"),
        (lambda dataset, run: dataset["a"], r"dataset.refloc\['a'\] is an item by its reference id"),
        (lambda dataset, run: "a" in dataset, r"'a' in set\(dataset.items\['reference_id'\]\) finds reference ids"),
        (lambda dataset, run: dataset.url, "has no page"),
    ],
)
def test_names_of_pandas_are_said_to_be_those_of_the_rows(local: npd.NucleusClient, wrong: Any, said: str) -> None:
    dataset = local.create_dataset("D")
    dataset.append([{"reference_id": "a", "image_url": "https://example.org/a.jpg"}])
    run = dataset.create_model_run(local.add_model("M", reference_id="m"))
    with pytest.raises((AttributeError, KeyError, TypeError), match=said):
        wrong(dataset, run)
    assert "a" in set(dataset.items["reference_id"])
    assert len(dataset.items.sample(1)) == 1


def test_a_model_that_is_not_found_by_its_id_may_be_found_by_its_name(local: npd.NucleusClient) -> None:
    model = local.add_model("Detector", reference_id="det")
    with pytest.raises(npd.NotFoundError, match=r"client.get_model\(reference_id='det'\)"):
        local.get_model("det")
    assert local.get_model(reference_id="det") == model
    with pytest.raises(npd.NotFoundError, match="There is no model 'prj_000000000000'.$"):
        local.get_model("prj_000000000000")


def test_frames_without_metadata_are_written_as_the_docs_say(local: npd.NucleusClient, tmp_path: Any) -> None:
    dataset = local.create_dataset("D")
    dataset.append([{"reference_id": "a", "image_url": "https://example.org/a.jpg"}])
    dataset.items.to_frame(metadata_as="json").to_parquet(tmp_path / "a.parquet")
    read = pd.read_parquet(tmp_path / "a.parquet")
    assert read.nucleus.append(dataset).ignored_items == 1
    assert len(dataset.items.to_frame(metadata_as="json").drop_duplicates()) == 1
