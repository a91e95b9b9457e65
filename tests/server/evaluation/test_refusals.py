"""What evaluations, benchmarks and leaderboards refuse, each with a reason."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from tests.support.scored_scenes import NEGATIVE, Row, StoredScene

AREA = {"type": "boxArea", "scope": "annotation", "target": "prediction"}
RULE = {"type": "metadata", "scope": "item", "key": "k", "op": "EQ", "value": 1}
WRONG: list[tuple[str, str, Any, int]] = [
    ("POST", "modelRun/run_0/evaluationsV2", {}, 404),
    ("POST", "modelRun/{run}/evaluationsV2", {"name": 5}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"nobody": 5}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"allowed_label_matches_id": "alm_1"}, 404),
    ("POST", "modelRun/{run}/evaluationsV2", {"allowed_label_matches": [], "class_agnostic": True}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"allowed_label_matches": [], "rollupGroups": []}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"rollupGroups": [{"class_name": "a", "labels": []}]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"rollupGroups": [{"class_name": "a", "labels": ["x"]}] * 2}, 400),
    (
        "POST",
        "modelRun/{run}/evaluationsV2",
        {"rollupGroups": [{"class_name": name, "labels": ["x"]} for name in "ab"]},
        400,
    ),
    ("POST", "modelRun/{run}/evaluationsV2", {"exclusionRules": [AREA]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"exclusionRules": [{**AREA, "min": 2, "max": 1}]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"exclusionRules": [{**AREA, "min": "2"}]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"exclusionRules": [{**AREA, "type": "volume"}]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"exclusionRules": [{**NEGATIVE, "labels": []}]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"exclusionRules": [{**RULE, "scope": "annotation"}]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"exclusionRules": [{**RULE, "op": "NEQ"}]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"exclusionRules": [{**RULE, "op": "IN"}]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"exclusionRules": [{**RULE, "op": "GT", "value": True}]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", {"exclusionRules": [{**RULE, "value": {}}]}, 400),
    ("POST", "modelRun/{run}/evaluationsV2", b'{"exclusionRules": [' + b"[" * 100_000, 400),
    ("POST", "benchmarks/bm_0/evaluationsV2", {"model_id": "{model}"}, 404),
    ("POST", "benchmarks/{benchmark}/evaluationsV2", {}, 400),
    ("POST", "benchmarks/{benchmark}/evaluationsV2", {"model_id": "{model}", "model_run_id": "{run}"}, 400),
    ("POST", "benchmarks/{benchmark}/evaluationsV2", {"model_id": "prj_0"}, 404),
    ("POST", "benchmarks/{benchmark}/evaluationsV2", {"model_run_id": "run_0"}, 404),
    ("GET", "evaluationsV2/evalv2_0", {}, 404),
    ("GET", "model/prj_0/evaluationsV2", {}, 404),
    ("GET", "modelRun/run_0/evaluationsV2", {}, 404),
    ("POST", "evaluationsV2/evalv2_0/charts", {}, 404),
    ("POST", "evaluationsV2/evalv2_0/retry", {}, 404),
    ("POST", "evaluationsV2/evalv2_0/cancel", {}, 404),
    ("DELETE", "evaluationsV2/evalv2_0", {}, 404),
    ("POST", "evaluationsV2/{evaluation}/charts", {"iouThreshold": 0}, 400),
    ("POST", "evaluationsV2/{evaluation}/charts", {"iouThreshold": 1.1}, 400),
    ("POST", "evaluationsV2/{evaluation}/charts", {"iouThreshold": "0.5"}, 400),
    ("POST", "evaluationsV2/{evaluation}/charts", {"query": "annotations.count > "}, 400),
    ("POST", "evaluationsV2/{evaluation}/charts", {"query": "scene.metadata.x = 1"}, 501),
    ("POST", "evaluationsV2/{evaluation}/charts", {"filters": {"sliceIds": ["slc_1"]}}, 404),
    ("POST", "evaluationsV2/{evaluation}/charts", {"filters": {"slices": ["slc_1"]}}, 400),
    ("POST", "evaluationsV2/{evaluation}/charts", {"filters": {"confidenceRange": [0, 1]}}, 400),
    ("POST", "evaluationsV2/{evaluation}/charts", {"filters": {"labelEquality": "GT"}}, 400),
    ("POST", "evaluationsV2/{evaluation}/charts", {"filters": {"itemMetadata": [{"key": "k", "op": "IN"}]}}, 400),
    ("POST", "evaluationsV2/{evaluation}/charts", {"filters": {"itemMetadata": [{"key": "k", "op": "LT"}]}}, 400),
    (
        "POST",
        "evaluationsV2/{evaluation}/charts",
        {"filters": {"itemMetadata": [{"key": "k", "op": "EQ", "value": 10**400}]}},
        400,
    ),
    ("GET", "evaluationsV2/{evaluation}/charts?iouThreshold=half", {}, 400),
    ("GET", "evaluationsV2/{evaluation}/charts?iouThreshold=nan", {}, 400),
    ("GET", "evaluationsV2/{evaluation}/charts?filters=%7B", {}, 400),
    ("GET", "evaluationsV2/{evaluation}/charts?query=a", {}, 400),
    ("GET", "evaluationsV2/{evaluation}/charts?threshold=0.5", {}, 400),
    ("POST", "evaluationsV2/{evaluation}/examples", {"limit": 0}, 400),
    ("POST", "evaluationsV2/{evaluation}/examples", {"limit": 10_001}, 400),
    ("POST", "evaluationsV2/{evaluation}/examples", {"offset": -1}, 400),
    ("POST", "evaluationsV2/{evaluation}/examples", {"match_type": "TN"}, 400),
    ("POST", "evaluationsV2/{evaluation}/examples", {"sort_by": "label"}, 400),
    ("POST", "evaluationsV2/{evaluation}/examples", {"sort_order": "asc"}, 400),
    ("POST", "evaluationsV2/{evaluation}/examples", {"query": "x"}, 400),
    ("GET", "evaluationsV2/{evaluation}/examples", {}, 405),
    ("POST", "evaluationV2Presets", {}, 400),
    ("POST", "evaluationV2Presets", {"name": ""}, 400),
    ("POST", "evaluationV2Presets", {"name": "p", "exclusionRules": [AREA]}, 400),
    ("PATCH", "evaluationV2Presets/prev_0", {"name": None}, 400),
    ("PATCH", "evaluationV2Presets/prev_0", {"name": "q"}, 404),
    ("POST", "benchmarks", {"name": "b"}, 400),
    ("POST", "benchmarks", {"dataset_id": "{dataset}"}, 400),
    ("POST", "benchmarks", {"name": "b", "dataset_id": "ds_0"}, 404),
    ("POST", "benchmarks", {"name": "b", "item_ids": ["di_0"]}, 404),
    ("POST", "benchmarks", {"name": "b", "items": [{"dataset_id": "{dataset}", "ref_id": "nobody"}]}, 404),
    ("POST", "benchmarks", {"name": "b", "slice_id": "slc_1"}, 404),
    ("POST", "benchmarks", {"name": "b", "slice_ids": ["slc_1"], "draft": True}, 404),
    ("POST", "benchmarks", {"name": "b", "scene_ids": ["scn_1"]}, 501),
    ("POST", "benchmarks", {"name": "b", "dataset_id": "{dataset}", "removed_item_ids": []}, 400),
    ("POST", "benchmarks", {"name": "b", "parent_benchmark_id": "bm_0"}, 404),
    ("POST", "benchmarks", {"name": "b", "parent_benchmark_id": "{draft}"}, 409),
    ("POST", "benchmarks", {"name": "b", "parent_benchmark_id": "{benchmark}", "version_major": 1}, 400),
    (
        "POST",
        "benchmarks",
        {"name": "b", "parent_benchmark_id": "{benchmark}", "version_major": 1, "version_minor": 0},
        400,
    ),
    ("POST", "benchmarks", {"name": "b", "dataset_id": "{dataset}", "allowed_label_matches_id": "alm_1"}, 404),
    ("POST", "benchmarks", {"name": "b", "dataset_id": "{dataset}", "class_agnostic": True, "rollupGroups": []}, 400),
    ("POST", "benchmarks", {"name": "b", "dataset_id": "{empty}"}, 400),
    ("PATCH", "benchmarks/{benchmark}", {"item_ids": []}, 400),
    ("PATCH", "benchmarks/{benchmark}", {"name": None}, 400),
    ("PATCH", "benchmarks/{draft}", {"class_agnostic": True, "allowed_label_matches_id": None}, 400),
    ("GET", "benchmarks/{benchmark}/items?limit=0", {}, 400),
    ("GET", "benchmarks/{benchmark}/items?offset=-1", {}, 400),
    ("GET", "benchmarks/{benchmark}/items?limit=%C2%B2", {}, 400),
    ("POST", "benchmarks/{draft}/items", {}, 400),
    ("DELETE", "benchmarks/{draft}/items", {}, 400),
    ("POST", "leaderboard/ranking", {"metric_type": "MAP", "benchmark_ids": ["{benchmark}"]}, 400),
    ("POST", "leaderboard/ranking", {"metric_type": "F1", "benchmark_ids": []}, 400),
    ("POST", "leaderboard/ranking", {"metric_type": "F1", "benchmark_ids": ["bm_0"]}, 404),
    (
        "POST",
        "leaderboard/ranking",
        {"metric_type": "F1", "benchmark_ids": ["{benchmark}"], "confidence_threshold": 2},
        400,
    ),
    (
        "POST",
        "leaderboard/ranking",
        {"metric_type": "MAP_50", "benchmark_ids": ["{benchmark}"], "confidence_threshold": 0.5},
        400,
    ),
    ("POST", "leaderboard/f1Curve", {"benchmark_ids": ["{benchmark}"], "top_n": 0}, 400),
    ("POST", "leaderboard/f1Curve", {"benchmark_ids": ["{benchmark}"], "model_ids": ["prj_0"]}, 404),
    ("POST", "dataset/{dataset}/queryObjectsPage", {"query": "", "patch_mode": "iou"}, 400),
    ("POST", "dataset/{dataset}/queryObjectsPage", {"query": "", "patch_mode": "best"}, 400),
    ("POST", "dataset/{dataset}/queryObjectsPage", {"query": "x", "patch_mode": "ground_truth_only"}, 400),
    ("POST", "dataset/{dataset}/queryObjectsPage", {"patch_mode": "ground_truth_only", "pageToken": "x"}, 400),
    ("POST", "dataset/{dataset}/queryObjectsPage", {"patch_mode": "ground_truth_only", "pageSize": 0}, 400),
    ("POST", "dataset/{empty}/queryObjectsPage", {"patch_mode": "iou", "model_run_id": "{run}"}, 400),
    ("POST", "dataset/{dataset}/model/prj_0/calculateEvaluationMetrics", {}, 404),
    ("POST", "dataset/{empty}/model/{model}/calculateEvaluationMetrics", {}, 404),
    (
        "POST",
        "dataset/{dataset}/model/{model}/calculateEvaluationMetrics",
        {"class_agnostic": True, "allowed_label_matches": []},
        400,
    ),
    ("GET", "dataset/ds_0/labelSchema", {}, 404),
]


@pytest.fixture(scope="module")
def names(shared_scene: StoredScene) -> dict[str, str]:
    """The ids of one of everything."""
    return {
        "run": shared_scene.run,
        "model": shared_scene.model,
        "dataset": shared_scene.dataset,
        "empty": shared_scene.http("POST", "dataset/create", {"name": "Empty"})["dataset_id"],
        "benchmark": shared_scene.benchmark(),
        "draft": shared_scene.http("POST", "benchmarks", {"name": "Draft", "draft": True})["benchmark_id"],
        "evaluation": shared_scene.evaluate(),
    }


def fill(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        return value.format(**names)
    if isinstance(value, dict):
        return {key: fill(one, names) for key, one in value.items()}
    return [fill(one, names) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("method", "route", "body", "status"), WRONG, ids=[f"{w[0]} {w[1]} {str(w[2])[:50]}" for w in WRONG]
)
def test_every_mistake_is_refused(
    shared_scene: StoredScene, names: dict[str, str], method: str, route: str, body: Any, status: int
) -> None:
    before = {
        name: len(shared_scene.http.table(name)) for name in ("evaluation", "benchmark", "preset", "benchmark_item")
    }
    reason = shared_scene.http.refused(method, route.format(**names), fill(body, names), status)
    assert len(reason) > 15
    assert {name: len(shared_scene.http.table(name)) for name in before} == before


VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1e308,
    10**30,
    "",
    "x",
    "\x00",
    "' OR 1=1 --",
    [],
    ["x"],
    [[]],
    {},
    {"x": 1},
    [None],
]
FIELDS = {
    "evaluationsV2/{evaluation}/charts": ["iouThreshold", "query"],
    "evaluationsV2/{evaluation}/examples": ["limit", "offset", "match_type", "sort_by", "sort_order", "iouThreshold"],
    "modelRun/{run}/evaluationsV2": [
        "name",
        "allowed_label_matches",
        "class_agnostic",
        "rollupGroups",
        "exclusionRules",
    ],
    "benchmarks": ["name", "item_ids", "items", "dataset_ids", "metadata", "version_major", "draft", "class_agnostic"],
    "benchmarks/{benchmark}/evaluationsV2": ["model_id", "model_run_id", "rollupGroups", "exclusionRules"],
    "leaderboard/ranking": ["metric_type", "benchmark_ids", "confidence_threshold", "model_ids", "scope", "collapse"],
    "leaderboard/f1Curve": ["benchmark_ids", "model_ids", "top_n"],
    "evaluationV2Presets": ["name", "rollupGroups", "exclusionRules"],
    "dataset/{dataset}/queryObjectsPage": ["query", "patch_mode", "model_run_id", "pageToken", "pageSize"],
}
FILTER_FIELDS = [
    "confidenceRange",
    "iouRange",
    "gtAreaRange",
    "predLabels",
    "gtLabels",
    "itemMetadata",
    "predictionMetadata",
    "labelEquality",
    "hasGroundTruth",
    "tideBackground",
    "sliceIds",
]


def test_no_body_makes_the_server_fail(shared_scene: StoredScene, names: dict[str, str]) -> None:
    draw = random.Random(7)
    client = shared_scene.http.client
    statuses = set()
    for _ in range(int(os.environ.get("NUCLEUS_PANDAS_BODIES", "300"))):
        route = draw.choice(list(FIELDS))
        body = {name: draw.choice(VALUES) for name in draw.sample(FIELDS[route], 2)}
        if route.endswith(("charts", "examples")):
            predicate: Row = {"key": draw.choice(["hour", "x", ""]), "op": draw.choice(["EQ", "IN", "GT", "LT"])}
            choices = [
                *VALUES,
                {"min": draw.choice(VALUES)},
                {"max": 0.5},
                [{**predicate, "value": draw.choice(VALUES)}],
            ]
            body = {"filters": {name: draw.choice(choices) for name in draw.sample(FILTER_FIELDS, 2)}}
        response = client.post(f"http://127.0.0.1/v1/nucleus/{route.format(**names)}", json=body)
        assert response.status_code < 500 or response.status_code == 501, (route, body, response.text)
        statuses.add(response.status_code)
    assert {200, 400} <= statuses
