"""What the words of the query language say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import nucleus_pandas as npd
from tests.server.query.oracle import IMAGES, QueriedDataset, Row, compared, count, found, names, number_of, speed


def test_the_documented_example(queried: QueriedDataset) -> None:
    expected = names(lambda one: one["metadata"].get("weather") == "rain" and count()(one, None) > 2)
    assert expected
    assert found(queried, 'metadata.weather = "rain" and annotations.count > 2') == expected


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("metadata.weather = rain", lambda one: one["metadata"].get("weather") == "rain"),
        ("metadata.weather in (rain, sun)", lambda one: one["metadata"].get("weather") in ("rain", "sun")),
        ("metadata.weather in ['rain', 7,]", lambda one: compared_to_any(one["metadata"].get("weather"), "rain", 7)),
        (
            "metadata.weather == 'rain' OR metadata.weather <> 'rain'",
            lambda one: one["metadata"].get("weather") is not None,
        ),
        ("annotations.light = night", lambda one: category(one) == "night"),
        ("annotations.light != 'night'", lambda one: category(one) == "day"),
        ("annotations.light in ('night', day)", lambda one: category(one) is not None),
        ("annotations.light like 'N%'", lambda one: category(one) == "night"),
        ("annotations.taxonomy_name = 'light'", lambda one: category(one) is not None),
        (
            "annotations.car.speed = 7",
            lambda one: any(box["label"] == "car" and speed(box) == 7 for box in one["truths"]),
        ),
        (
            "annotations.\"traffic light\".speed = 'rain'",
            lambda one: any(box["label"] == "traffic light" and speed(box) == "rain" for box in one["truths"]),
        ),
        (
            "annotations[label = 'car' and x > 1]",
            lambda one: any(box["label"] == "car" and box["geometry"]["x"] > 1 for box in one["truths"]),
        ),
        (
            "annotations[x > 1 and label = 'car'].count = 1",
            lambda one: sum(box["label"] == "car" and box["geometry"]["x"] > 1 for box in one["truths"]) == 1,
        ),
        ("annotations[item.width = 640 and label = 'car']", lambda one: "width" in one and count("car")(one, None) > 0),
        (
            "annotations[annotations.x = 2]",
            lambda one: any(box.get("geometry", {}).get("x") == 2 for box in one["truths"]),
        ),
        ("not annotations.label = 'car'", lambda one: not count("car")(one, None)),
        ("annotations.label != 'car'", lambda one: any(box["label"] != "car" for box in one["truths"])),
        (
            "annotations.width > annotations.height * 2",
            lambda one: any(
                "geometry" in box and box["geometry"]["width"] > 2 * box["geometry"]["height"] for box in one["truths"]
            ),
        ),
        ("slice = 'wet & dark'", lambda one: one["reference_id"] in ("1.jpg", "3.jpg")),
        ("slice.name = 'nobody'", lambda one: False),
        ("slice.id like 'slc_%' and item.slice like 'WET%'", lambda one: one["reference_id"] in ("1.jpg", "3.jpg")),
        ("dataset_item_id like 'di_%2a'", lambda one: one["reference_id"] == "42.jpg"),
        ("reference_id in ('7.jpg', '9.jpg')", lambda one: one["reference_id"] in ("7.jpg", "9.jpg")),
        ("reference_id like '1_.jpg'", lambda one: len(one["reference_id"]) == 6 and one["reference_id"][0] == "1"),
        ("reference_id like '1\\_.jpg'", lambda one: False),
        ("height = 480 + 5", lambda one: one.get("height") == 485),
        ("height - 480 - 5 = 2 * 3 - 1 * 6 and 7 / 2 = 3.5", lambda one: one.get("height") == 485),
        ("-height < -500", lambda one: one.get("height", 0) > 500),
        (
            "height % 10 = 5 and 7.5 % 2 = 1.5 and -7 % 3 = -1 and not 5 % 0 is not null",
            lambda one: one.get("height", 0) % 10 == 5,
        ),
        ("metadata.weather = 2021-01-01", lambda one: False),
        (
            "metadata.weather > 2021-01-01",
            lambda one: isinstance(one["metadata"].get("weather"), str) and one["metadata"]["weather"] > "2021-01-01",
        ),
        ("true", lambda one: True),
        ("not true or false", lambda one: False),
        ("", lambda one: True),
        (" \n\t ", lambda one: True),
        ("predictions.count > 0", lambda one: number_of(one) % 2 == 0 or number_of(one) % 3 == 0),
        ("predictions.van = 1 and predictions.lorry = 1", lambda one: number_of(one) % 6 == 0),
        ("predictions.label = 'lorry'", lambda one: number_of(one) % 3 == 0),
    ],
)
def test_what_a_query_means(queried: QueriedDataset, text: str, test: Callable[[Row], Any]) -> None:
    assert found(queried, text) == names(test)


def compared_to_any(value: Any, *choices: Any) -> bool:
    return any(compared("=", value, choice) for choice in choices)


def category(one: Row) -> str | None:
    return next((box["label"] for box in one["truths"] if box["type"] == "category"), None)


def test_one_comparison_looks_at_one_annotation_and_two_at_any_two(queried: QueriedDataset) -> None:
    both = found(queried, "annotations.label = 'car' and annotations.x = 0")
    same = found(queried, "annotations[label = 'car' and x = 0]")
    assert set(same) < set(both)


def test_values_are_bound_and_never_pasted(queried: QueriedDataset) -> None:
    for text in ("x' OR '1'='1", "'); DROP TABLE item; --", 'a"b', "\\", "%", "ü 日本 \N{GRINNING FACE}"):
        quoted = '"' + text.replace('"', '""') + '"'
        assert found(queried, f"metadata.weather = {quoted}") == []
        assert found(queried, f"metadata.weather in ({quoted}, {quoted})") == []
        assert found(queried, f"slice = {quoted}") == []
        assert found(queried, f"annotations.{quoted} > 0") == []
    assert len(queried.dataset) == len(IMAGES)


def test_keys_of_any_characters_are_asked_for(local: npd.NucleusClient) -> None:
    keys = ["in", "a b", "ü", "a.b", "日本", "'", "$", "[0]", "count", "\N{GRINNING FACE}", "a%", "null", "#"]
    dataset = local.create_dataset("Keys")
    rows = [
        {"reference_id": key, "image_url": "https://e.org/x", "metadata": {key: 1, "deep": {key: 2}}} for key in keys
    ]
    dataset.append(rows)
    for key in keys:
        assert dataset.query(f'metadata."{key}" = 1')["reference_id"].tolist() == [key]
        assert dataset.query(f'metadata.deep."{key}" = 2')["reference_id"].tolist() == [key]
    assert len(dataset.query("metadata.in = 1 or metadata.null = 1 or metadata.count = 1")) == 3


def test_numbers_of_every_size_are_compared(local: npd.NucleusClient) -> None:
    numbers = [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 10**30, 1e300, -1e300, 5e-324, 0.1]
    dataset = local.create_dataset("Numbers")
    dataset.append([{"reference_id": str(n), "image_url": "https://e.org/x", "metadata": {"n": n}} for n in numbers])
    for one in numbers:
        assert str(one) in dataset.query(f"metadata.n = {one!r}")["reference_id"].tolist()
    assert dataset.query("metadata.n = 9007199254740993")["reference_id"].tolist() == [str(2**53 + 1)]
    assert len(dataset.query("metadata.n + metadata.n > metadata.n or metadata.n * -1 > 0 or metadata.n = 0")) == 12
    assert len(dataset.query("metadata.n % 7 is not null and -metadata.n is not null")) == 12
