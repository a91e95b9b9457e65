"""Evaluations narrowed down by slices and by queries, and benchmarks of slices."""

from __future__ import annotations

from typing import Any

import pytest
from evaluated import Row, World


def sliced(world: World, name: str, *names: str) -> str:
    body = {"name": name, "reference_ids": list(names)}
    made: str = world.http("POST", f"dataset/{world.dataset}/create_slice", body)["slice_id"]
    return made


RAIN: Row = {"filters": {"itemMetadata": [{"key": "weather", "op": "EQ", "value": "rain"}]}}


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ({"predLabels": ["car", "bus"]}, 'metadata.weather = "rain"'),
        ({"confidenceRange": {"min": 0.2}}, "metadata.weather in (rain) and item.metadata.weather like 'r%'"),
        ({}, 'metadata.weather = "rain" and predictions.count >= 0'),
    ],
)
def test_a_query_narrows_charts_and_examples_as_a_filter_on_items_does(still: World, filters: Row, query: str) -> None:
    evaluation = still.evaluated()
    by_filter: Row = {"filters": {**filters, **RAIN["filters"]}}
    by_query: Row = {"filters": filters, "query": query}
    assert still.charts(evaluation, **by_query) == still.charts(evaluation, **by_filter)
    assert still.charts(evaluation, **by_query) != still.charts(evaluation, filters=filters)
    assert still.examples(evaluation, **by_query) == still.examples(evaluation, **by_filter)
    assert still.examples(evaluation, **by_query)["rows"]


def test_charts_of_an_address_take_a_query(still: World) -> None:
    evaluation = still.evaluated()
    text = "metadata.weather%20%3D%20%22rain%22"
    assert still.http("GET", f"evaluationsV2/{evaluation}/charts?query={text}", {}) == still.charts(evaluation, **RAIN)


def test_slices_narrow_charts_and_examples(drawn: World) -> None:
    evaluation = drawn.evaluate()
    rainy = [one["reference_id"] for one in drawn.made.items if one["metadata"]["weather"] == "rain"]
    one, two = sliced(drawn, "some", *rainy[:2]), sliced(drawn, "others", *rainy[1:])
    filters = {"sliceIds": [one, two]}
    assert drawn.charts(evaluation, filters=filters) == drawn.charts(evaluation, **RAIN)
    assert drawn.examples(evaluation, filters=filters) == drawn.examples(evaluation, **RAIN)
    some = {row["annotation_row"]["reference_id"] for row in rows(drawn, evaluation, filters={"sliceIds": [one]})}
    assert some == {name for name in rainy[:2] if any(truth["reference_id"] == name for truth in drawn.made.truths)}
    both = drawn.charts(evaluation, filters={"sliceIds": [one]}, query="annotations.count < 0")
    assert both["totalCounts"] == {"tp": 0, "fp": 0, "fn": 0, "predsWithConfidence": 0}
    assert drawn.examples(evaluation, filters={"sliceIds": []})["total"] == 0


def rows(world: World, evaluation: str, **body: Any) -> list[Row]:
    return [row for row in world.examples(evaluation, **body)["rows"] if row["annotation_row"]]


def test_a_query_of_an_evaluation_is_about_the_predictions_that_were_evaluated(drawn: World) -> None:
    other = drawn.http("POST", f"dataset/{drawn.dataset}/modelRun/create", {"model_id": drawn.model})["model_run_id"]
    box = {"type": "box", "label": "zeppelin", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
    predictions = [{**box, "reference_id": one["reference_id"], "confidence": 0.5} for one in drawn.made.items]
    drawn.http("POST", f"modelRun/{other}/predict", {"annotations": predictions})
    evaluation = drawn.evaluate()
    assert drawn.examples(evaluation, query="predictions.zeppelin > 0")["total"] == 0
    assert drawn.examples(evaluation, query="predictions.count > 0")["total"] > 0


def test_a_benchmark_is_made_of_slices(drawn: World) -> None:
    names = sorted({truth["reference_id"] for truth in drawn.made.truths})
    first, second = sliced(drawn, "first", *names[:2]), sliced(drawn, "second", *names[1:4])

    def members(**body: object) -> list[str]:
        made = drawn.http("POST", "benchmarks", {"name": "Streets", **body})["benchmark_id"]
        found: list[str] = drawn.http("GET", f"benchmarks/{made}/items?limit=100&offset=0", {})["item_ids"]
        return found

    assert members(slice_id=first) == [drawn.item_id(name) for name in names[:2]]
    assert members(slice_ids=[first, second]) == [drawn.item_id(name) for name in names[:4]]
    assert members(slice_id=first, item_ids=[drawn.item_id(names[4])]) == [
        drawn.item_id(name) for name in [*names[:2], names[4]]
    ]
    draft = drawn.http("POST", "benchmarks", {"name": "Draft", "draft": True})["benchmark_id"]
    drawn.http("POST", f"benchmarks/{draft}/items", {"slice_id": second})
    assert drawn.http("GET", f"benchmarks/{draft}", {})["item_count"] == 3
