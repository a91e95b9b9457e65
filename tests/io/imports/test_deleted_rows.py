"""A journal never claims rows that were deleted on the server since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd

IDS = ["a.jpg", "b.jpg", "c.jpg"]


def items() -> pd.DataFrame:
    return pd.DataFrame({"reference_id": IDS, "image_url": "https://example.org/x"})


def boxes(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"reference_id": IDS, "label": "car", "x": 1.0, "y": 1.0, "width": 5.0, "height": 5.0, **columns}
    )


@pytest.fixture
def dataset(client: npd.NucleusClient) -> npd.Dataset:
    return client.create_dataset("D")


@pytest.mark.parametrize("how", ["file", "frame"])
def test_items_that_were_deleted_are_sent_again(dataset: npd.Dataset, tmp_path: Path, how: str) -> None:
    items().to_parquet(tmp_path / "items.parquet")

    def send() -> Any:
        if how == "file":
            return npd.import_parquet(tmp_path / "items.parquet", dataset).new
        return items().nucleus.append(dataset, journal=tmp_path / "journal").new_items

    assert send() == 3
    dataset.delete_items(IDS[:2])
    send()
    assert sorted(dataset.items["reference_id"]) == IDS
    dataset.delete_items(["c.jpg"])
    send()
    assert sorted(dataset.items["reference_id"]) == IDS


@pytest.mark.parametrize("how", ["file", "frame"])
def test_annotations_that_were_deleted_are_sent_again(dataset: npd.Dataset, tmp_path: Path, how: str) -> None:
    items().nucleus.append(dataset)
    boxes().to_parquet(tmp_path / "boxes.parquet")

    def send() -> None:
        if how == "file":
            npd.import_parquet(tmp_path / "boxes.parquet", dataset, "annotations")
        else:
            boxes().nucleus.annotate(dataset, journal=tmp_path / "journal")

    send()
    dataset.delete_annotations(["a.jpg", "b.jpg"])
    send()
    assert sorted(dataset.annotations["reference_id"]) == IDS


def test_predictions_on_items_that_were_deleted_are_sent_again(client: npd.NucleusClient, tmp_path: Path) -> None:
    dataset = client.create_dataset("D")
    items().nucleus.append(dataset)
    run = dataset.create_model_run(client.add_model("M", reference_id="m"))
    boxes(confidence=0.5).nucleus.predict(run, journal=tmp_path / "journal")
    dataset.delete_items(["b.jpg"])
    items().nucleus.append(dataset)
    boxes(confidence=0.5).nucleus.predict(run, journal=tmp_path / "journal")
    assert sorted(run.predictions["reference_id"]) == IDS


def test_a_dataset_of_the_same_name_is_another_target(client: npd.NucleusClient, tmp_path: Path) -> None:
    items().to_parquet(tmp_path / "items.parquet")
    first = client.create_dataset("Same")
    assert npd.import_parquet(tmp_path / "items.parquet", first).new == 3
    client.delete_dataset(first.id)
    second = client.create_dataset("Same")
    assert npd.import_parquet(tmp_path / "items.parquet", second).new == 3
    assert len(second.items) == 3


def test_without_a_deletion_nothing_is_sent_twice(dataset: npd.Dataset, tmp_path: Path) -> None:
    items().to_parquet(tmp_path / "items.parquet")
    assert npd.import_parquet(tmp_path / "items.parquet", dataset).resumed == 0
    assert npd.import_parquet(tmp_path / "items.parquet", dataset).resumed == 3
