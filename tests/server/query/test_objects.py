"""Queries for annotations and predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import nucleus_pandas as npd
from tests.server.query.oracle import IMAGES, QueriedDataset, Row, count, found, names, number_of, speed


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("", lambda one, box: True),
        ("label = 'car'", lambda one, box: box["label"] == "car"),
        ("annotations.label = 'car'", lambda one, box: box["label"] == "car"),
        ("metadata.speed = 7", lambda one, box: speed(box) == 7),
        (
            "annotations.metadata.speed = 7 and label = 'bus'",
            lambda one, box: speed(box) == 7 and box["label"] == "bus",
        ),
        ("item.metadata.weather = 'rain'", lambda one, box: one["metadata"].get("weather") == "rain"),
        (
            "item.width = 640 and width > 12",
            lambda one, box: "width" in one and box.get("geometry", {}).get("width", 0) > 12,
        ),
        ("annotations.count > 3", lambda one, box: count()(one, None) > 3),
        (
            "annotations.car > 0 and label != 'car'",
            lambda one, box: count("car")(one, None) > 0 and box["label"] != "car",
        ),
        (
            "annotations[label = 'bus'] and label = 'car'",
            lambda one, box: count("bus")(one, None) > 0 and box["label"] == "car",
        ),
        ("reference_id = '9.jpg'", lambda one, box: one["reference_id"] == "9.jpg"),
        ("type = 'category'", lambda one, box: box["type"] == "category"),
        ("x is null", lambda one, box: box["type"] == "category"),
        ("predictions.van > 0", lambda one, box: number_of(one) % 2 == 0),
        ("area > 100 and slice is null", lambda one, box: False),
        ("slice = 'wet & dark'", lambda one, box: number_of(one) in (1, 3)),
    ],
)
def test_annotations_are_found(queried: QueriedDataset, text: str, test: Callable[[Row, Row], Any]) -> None:
    expected = [box["annotation_id"] for one in IMAGES for box in one["truths"] if test(one, box)]
    frame = queried.dataset.query(text, kind="annotations")
    assert frame["annotation_id"].tolist() == expected


def test_predictions_are_found(queried: QueriedDataset) -> None:
    whole = queried.run.predictions.to_frame()
    frame = queried.dataset.query("confidence > 0.65 and item.height is not null", "predictions", run=queried.run)
    assert frame["reference_id"].tolist() == []
    frame = queried.dataset.query(
        "predictions.confidence > 0.65 and predictions.count = 1", "predictions", run=queried.run.id
    )
    assert_frame_equal(frame, whole[whole["confidence"] > 0.65].reset_index(drop=True))
    assert len(frame)
    of_truths = queried.dataset.query("annotations.label = 'car'", "predictions", run=queried.run)
    assert of_truths["reference_id"].tolist() == names(lambda one: number_of(one) % 2 == 0 and count("car")(one, None))


def test_predictions_are_those_of_the_run_that_is_named(queried: QueriedDataset) -> None:
    assert found(queried, "predictions.count > 0", run=queried.other) == names(lambda one: number_of(one) % 3 == 0)
    assert found(queried, "predictions.label = 'van'", run=queried.other) == []
    assert found(queried, "predictions.count > 1") == names(lambda one: number_of(one) % 6 == 0)
    labels = queried.dataset.query("predictions.lorry = 0", "annotations", run=queried.run)["reference_id"]
    assert len(labels) == len(queried.dataset.annotations)


def test_a_slice_is_queried(queried: QueriedDataset) -> None:
    (made,) = queried.dataset.slices
    assert made.query("true")["reference_id"].tolist() == ["3.jpg", "1.jpg"]
    assert made.query("annotations.count > 1")["reference_id"].tolist() == ["3.jpg"]
    boxes = made.query("x = 0", "annotations")
    assert boxes["reference_id"].tolist() == ["3.jpg", "1.jpg"]
    assert made.query("confidence >= 0", "predictions", run=queried.other)["reference_id"].tolist() == ["3.jpg"]


def test_what_is_found_has_the_dtypes_of_the_views_even_if_it_is_nothing(queried: QueriedDataset) -> None:
    dataset, run = queried.dataset, queried.run
    for text in ("true", "false"):
        pairs = [(dataset.query(text), dataset.items.to_frame())]
        pairs += [(dataset.query(text, "annotations"), dataset.annotations.to_frame())]
        pairs += [(dataset.query(text, "predictions", run=run), run.predictions.to_frame())]
        for frame, whole in pairs:
            assert_frame_equal(frame, whole if text == "true" else whole.iloc[:0])
    flat = dataset.query("true", metadata_as="columns", dtype_backend="pyarrow")
    assert_frame_equal(flat, dataset.items.to_frame("columns", "pyarrow"))


def test_many_rows_come_in_pages(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("Many")
    rows = pd.DataFrame({"reference_id": [str(n) for n in range(23_000)], "image_url": "https://e.org/x"})
    dataset.append(rows.assign(n=range(23_000)), metadata=["n"])
    dataset.annotate(rows[["reference_id"]].assign(label="car", x=1, y=2, width=3, height=4))
    odd = dataset.query("metadata.n % 2 = 1")
    assert odd["reference_id"].tolist() == [str(n) for n in range(1, 23_000, 2)]
    boxes = dataset.query("item.metadata.n % 2 = 0", "annotations")
    assert boxes["reference_id"].tolist() == [str(n) for n in range(0, 23_000, 2)]
    made = dataset.create_slice("even", boxes)
    assert len(made) == 11_500
