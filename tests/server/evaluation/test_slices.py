"""Evaluations narrowed down by slices and by queries, and benchmarks of slices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.scored_scenes import Row, StoredScene


def sliced(store_scene: StoredScene, name: str, *names: str) -> str:
    body = {"name": name, "reference_ids": list(names)}
    made: str = store_scene.http("POST", f"dataset/{store_scene.dataset}/create_slice", body)["slice_id"]
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
def test_a_query_narrows_charts_and_examples_as_a_filter_on_items_does(
    shared_scene: StoredScene, filters: Row, query: str
) -> None:
    evaluation = shared_scene.evaluated()
    by_filter: Row = {"filters": {**filters, **RAIN["filters"]}}
    by_query: Row = {"filters": filters, "query": query}
    assert shared_scene.charts(evaluation, **by_query) == shared_scene.charts(evaluation, **by_filter)
    assert shared_scene.charts(evaluation, **by_query) != shared_scene.charts(evaluation, filters=filters)
    assert shared_scene.examples(evaluation, **by_query) == shared_scene.examples(evaluation, **by_filter)
    assert shared_scene.examples(evaluation, **by_query)["rows"]


def test_charts_of_an_address_take_a_query(shared_scene: StoredScene) -> None:
    evaluation = shared_scene.evaluated()
    text = "metadata.weather%20%3D%20%22rain%22"
    assert shared_scene.http("GET", f"evaluationsV2/{evaluation}/charts?query={text}", {}) == shared_scene.charts(
        evaluation, **RAIN
    )


def test_slices_narrow_charts_and_examples(stored_scene: StoredScene) -> None:
    evaluation = stored_scene.evaluate()
    rainy = [one["reference_id"] for one in stored_scene.scene.items if one["metadata"]["weather"] == "rain"]
    one, two = sliced(stored_scene, "some", *rainy[:2]), sliced(stored_scene, "others", *rainy[1:])
    filters = {"sliceIds": [one, two]}
    assert stored_scene.charts(evaluation, filters=filters) == stored_scene.charts(evaluation, **RAIN)
    assert stored_scene.examples(evaluation, filters=filters) == stored_scene.examples(evaluation, **RAIN)
    some = {
        row["annotation_row"]["reference_id"] for row in rows(stored_scene, evaluation, filters={"sliceIds": [one]})
    }
    assert some == {
        name
        for name in rainy[:2]
        if any(ground_truth["reference_id"] == name for ground_truth in stored_scene.scene.ground_truths)
    }
    both = stored_scene.charts(evaluation, filters={"sliceIds": [one]}, query="annotations.count < 0")
    assert both["totalCounts"] == {"tp": 0, "fp": 0, "fn": 0, "predsWithConfidence": 0}
    assert stored_scene.examples(evaluation, filters={"sliceIds": []})["total"] == 0


def rows(store_scene: StoredScene, evaluation: str, **body: Any) -> list[Row]:
    return [row for row in store_scene.examples(evaluation, **body)["rows"] if row["annotation_row"]]


def test_a_query_of_an_evaluation_is_about_the_predictions_that_were_evaluated(stored_scene: StoredScene) -> None:
    other = stored_scene.http(
        "POST", f"dataset/{stored_scene.dataset}/modelRun/create", {"model_id": stored_scene.model}
    )["model_run_id"]
    box = {"type": "box", "label": "zeppelin", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
    predictions = [{**box, "reference_id": one["reference_id"], "confidence": 0.5} for one in stored_scene.scene.items]
    stored_scene.http("POST", f"modelRun/{other}/predict", {"annotations": predictions})
    evaluation = stored_scene.evaluate()
    assert stored_scene.examples(evaluation, query="predictions.zeppelin > 0")["total"] == 0
    assert stored_scene.examples(evaluation, query="predictions.count > 0")["total"] > 0


def test_a_benchmark_is_made_of_slices(stored_scene: StoredScene) -> None:
    names = sorted({ground_truth["reference_id"] for ground_truth in stored_scene.scene.ground_truths})
    first, second = sliced(stored_scene, "first", *names[:2]), sliced(stored_scene, "second", *names[1:4])

    def members(**body: object) -> list[str]:
        made = stored_scene.http("POST", "benchmarks", {"name": "Streets", **body})["benchmark_id"]
        found: list[str] = stored_scene.http("GET", f"benchmarks/{made}/items?limit=100&offset=0", {})["item_ids"]
        return found

    assert members(slice_id=first) == [stored_scene.item_id(name) for name in names[:2]]
    assert members(slice_ids=[first, second]) == [stored_scene.item_id(name) for name in names[:4]]
    assert members(slice_id=first, item_ids=[stored_scene.item_id(names[4])]) == [
        stored_scene.item_id(name) for name in [*names[:2], names[4]]
    ]
    draft = stored_scene.http("POST", "benchmarks", {"name": "Draft", "draft": True})["benchmark_id"]
    stored_scene.http("POST", f"benchmarks/{draft}/items", {"slice_id": second})
    assert stored_scene.http("GET", f"benchmarks/{draft}", {})["item_count"] == 3
