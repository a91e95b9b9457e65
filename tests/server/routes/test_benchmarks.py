"""Benchmarks and leaderboards over plain HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import box_at, item
from tests.http import Http
from tests.support.scored_scenes import GROUPS, Row, Scene, StoredScene, small, store_scene

# Benchmarks


def test_a_benchmark_takes_the_items_with_ground_truth_once(shared_scene: StoredScene) -> None:
    names = {one["reference_id"] for one in shared_scene.scene.ground_truths}
    first = [shared_scene.item_id(f"{number}.jpg") for number in range(3)]
    pairs = [{"dataset_id": shared_scene.dataset, "ref_id": f"{number}.jpg"} for number in range(8)]
    benchmark = shared_scene.benchmark(item_ids=first, items=pairs, dataset_ids=[shared_scene.dataset], description="d")
    example_keys = shared_scene.http("GET", f"benchmarks/{benchmark}", {})
    assert (example_keys["item_count"], example_keys["skipped_items_without_ground_truth"]) == (
        len(names),
        8 - len(names),
    )
    assert (example_keys["status"], example_keys["dataset_count"], example_keys["description"]) == ("ready", 1, "d")
    assert (example_keys["version_major"], example_keys["version_minor"], example_keys["parent_benchmark_id"]) == (
        1,
        0,
        None,
    )
    found = shared_scene.http("GET", f"benchmarks/{benchmark}/items", {})
    assert found == {
        "item_ids": [shared_scene.item_id(f"{n}.jpg") for n in range(8) if f"{n}.jpg" in names],
        "total": len(names),
    }
    pages = [shared_scene.http("GET", f"benchmarks/{benchmark}/items?limit=2&offset={at}", {}) for at in range(0, 8, 2)]
    assert [one for page in pages for one in page["item_ids"]] == found["item_ids"]
    assert benchmark in [one["benchmark_id"] for one in shared_scene.http("GET", "benchmarks", {})]


def test_versions_inherit_and_prune(shared_scene: StoredScene) -> None:
    parent = shared_scene.benchmark(
        item_ids=[shared_scene.item_id("1.jpg"), shared_scene.item_id("2.jpg")], rollupGroups=GROUPS
    )
    child = shared_scene.benchmark(
        parent_benchmark_id=parent, removed_item_ids=[shared_scene.item_id("1.jpg")], version_label="rc1"
    )
    example_keys = shared_scene.http("GET", f"benchmarks/{child}", {})
    assert (example_keys["version_major"], example_keys["version_minor"], example_keys["version_label"]) == (
        1,
        1,
        "rc1",
    )
    assert (example_keys["parent_benchmark_id"], example_keys["rollup_groups"]) == (parent, GROUPS)
    assert shared_scene.http("GET", f"benchmarks/{child}/items", {})["item_ids"] == [shared_scene.item_id("2.jpg")]
    for body, version in [
        ({"bump_type": "major"}, (2, 0)),
        ({"bump_type": "minor"}, (1, 1)),
        ({"version_major": 7, "version_minor": 3}, (7, 3)),
    ]:
        made = shared_scene.http("GET", f"benchmarks/{shared_scene.benchmark(parent_benchmark_id=parent, **body)}", {})
        assert (made["version_major"], made["version_minor"], made["item_count"]) == (*version, 2)
    agnostic = shared_scene.benchmark(parent_benchmark_id=parent, class_agnostic=True)
    example_keys = shared_scene.http("GET", f"benchmarks/{agnostic}", {})
    assert (example_keys["class_agnostic"], example_keys["rollup_groups"]) == (True, None)


def test_a_draft_changes_until_it_is_finalized(stored_scene: StoredScene) -> None:
    made = stored_scene.http("POST", "benchmarks", {"name": "Streets", "draft": True})
    draft = made["benchmark_id"]
    assert made["job_id"] is None
    assert "no items" in stored_scene.http.refused("POST", f"benchmarks/{draft}/finalize", {}, 400)
    job = stored_scene.http("POST", f"benchmarks/{draft}/items", {"dataset_id": stored_scene.dataset})["job_id"]
    assert stored_scene.http("GET", f"job/{job}/info", {})["job_last_known_status"] == "Completed"
    whole = stored_scene.http("GET", f"benchmarks/{draft}", {})["item_count"]
    stored_scene.http("DELETE", f"benchmarks/{draft}/items", {"item_ids": [stored_scene.item_id("1.jpg"), "di_nobody"]})
    example_keys = stored_scene.http("PATCH", f"benchmarks/{draft}", {"rollupGroups": GROUPS, "metadata": {"k": 1}})
    assert (example_keys["status"], example_keys["item_count"], example_keys["rollup_groups"]) == (
        "draft",
        whole - 1,
        GROUPS,
    )
    assert (
        stored_scene.http("PATCH", f"benchmarks/{draft}", {"allowed_label_matches_id": None})["rollup_groups"] is None
    )
    assert "draft" in stored_scene.evaluate_on(draft, 409)
    assert stored_scene.http("POST", f"benchmarks/{draft}/finalize", {})["status"] == "ready"
    for method, route, body in [
        ("POST", "items", {"dataset_id": stored_scene.dataset}),
        ("DELETE", "items", {"item_ids": []}),
        ("POST", "finalize", {}),
        ("PATCH", "", {"class_agnostic": True}),
    ]:
        assert "finalized" in stored_scene.http.refused(method, f"benchmarks/{draft}/{route}", body, 409)
    example_keys = stored_scene.http("PATCH", f"benchmarks/{draft}", {"name": "Roads", "description": None})
    assert (example_keys["name"], example_keys["metadata"]) == ("Roads", {"k": 1})


def test_a_deleted_benchmark_takes_its_evaluations_along_and_leaves_its_versions(stored_scene: StoredScene) -> None:
    parent = stored_scene.benchmark()
    child = stored_scene.benchmark(parent_benchmark_id=parent)
    gone, kept = stored_scene.evaluate_on(parent), stored_scene.evaluate_on(child)
    stored_scene.http("DELETE", f"benchmarks/{parent}", {})
    stored_scene.http.refused("GET", f"benchmarks/{parent}", {}, 404)
    stored_scene.http.refused("GET", f"evaluationsV2/{gone}", {}, 404)
    assert stored_scene.http("GET", f"benchmarks/{child}", {})["parent_benchmark_id"] == parent
    assert stored_scene.info(kept)["status"] == "succeeded"
    assert len(stored_scene.http.table("benchmark")) == 1


def test_deleted_items_and_datasets_leave_benchmarks(stored_scene: StoredScene) -> None:
    other = small(stored_scene.http, 0.5, name="other")
    benchmark = stored_scene.benchmark(dataset_ids=[stored_scene.dataset, other.dataset], item_ids=[])
    before = stored_scene.http("GET", f"benchmarks/{benchmark}", {})
    stored_scene.http("DELETE", f"dataset/{stored_scene.dataset}/refloc/1.jpg", {})
    stored_scene.http("DELETE", f"dataset/{other.dataset}", {})
    after = stored_scene.http("GET", f"benchmarks/{benchmark}", {})
    assert (before["item_count"] - after["item_count"], before["dataset_count"], after["dataset_count"]) == (2, 2, 1)


def test_items_without_predictions_are_missed(http: Http) -> None:
    made = small(http, 0.5)
    other = small(http, 0.5, name="other")
    benchmark = made.benchmark(dataset_ids=[made.dataset, other.dataset], item_ids=[])
    example_keys = made.charts(made.evaluate_on(benchmark))["totalCounts"]
    assert example_keys == {"tp": 1, "fp": 0, "fn": 3, "predsWithConfidence": 1}
    elsewhere = made.evaluate_on(made.benchmark(), model_run_id=other.run)
    assert made.charts(elsewhere)["totalCounts"] == {"tp": 0, "fp": 0, "fn": 2, "predsWithConfidence": 0}
    assert (made.info(elsewhere)["model_run_id"], made.info(elsewhere)["model_run_ids"]) == (other.run, [])


def test_a_model_is_evaluated_by_its_newest_run(stored_scene: StoredScene) -> None:
    run = stored_scene.http(
        "POST", f"dataset/{stored_scene.dataset}/modelRun/create", {"model_id": stored_scene.model}
    )["model_run_id"]
    evaluation = stored_scene.evaluate_on(stored_scene.benchmark())
    assert stored_scene.info(evaluation)["model_run_ids"] == [run]
    assert stored_scene.charts(evaluation)["totalCounts"]["tp"] == 0
    example_keys = stored_scene.info(stored_scene.evaluate_on(stored_scene.benchmark(), model_run_id=stored_scene.run))
    assert (example_keys["model_run_id"], example_keys["model_id"]) == (stored_scene.run, stored_scene.model)


# Leaderboards


@pytest.fixture
def ranked(http: Http) -> dict[str, Any]:
    """Three models on one benchmark: two, one and no true positives of three."""
    ground_truths = [box_at("a.jpg", str(n), x=30 * n) for n in range(3)]
    made = store_scene(http, Scene([item("a.jpg", metadata={})], ground_truths, []), "none")
    benchmark = made.benchmark()
    evaluations = {"none": made.evaluate_on(benchmark)}
    for name, hits in (("one", 1), ("two", 2)):
        model = http("POST", "models/add", {"name": name, "reference_id": name, "metadata": {}})["model_id"]
        rows = [box_at("a.jpg", str(n), x=30 * n, confidence=0.9 - 0.3 * n) for n in range(hits)]
        rows.append(box_at("a.jpg", "wrong", x=500, confidence=0.1))
        http("POST", f"dataset/{made.dataset}/model/{model}/uploadPredictions", {"annotations": rows})
        body = {"model_id": model, "name": f"of {name}"}
        evaluations[name] = http("POST", f"benchmarks/{benchmark}/evaluationsV2", body)["evaluation_id"]
    return {"http": http, "benchmark": benchmark, "dataset": made.dataset, **evaluations}


@pytest.mark.parametrize(
    ("metric", "threshold", "scores"),
    [
        ("RECALL", None, {"two": 2 / 3, "one": 1 / 3, "none": 0}),
        ("RECALL", 0.7, {"two": 1 / 3, "one": 1 / 3, "none": 0}),
        ("PRECISION", None, {"two": 2 / 3, "one": 1 / 2}),
        ("PRECISION", 0.6, {"two": 1, "one": 1}),
        ("F1", None, {"two": 4 / 6, "one": 2 / 5, "none": 0}),
        ("F1", 1.0, {"two": 0, "one": 0, "none": 0}),
        ("MAP_50", None, {"two": 67 / 101, "one": 34 / 101, "none": 0}),
        ("MAP_50_95", None, {"two": 67 / 101, "one": 34 / 101, "none": 0}),
        ("AP_SMALL", None, {"two": 67 / 101, "one": 34 / 101, "none": 0}),
        ("AP_LARGE", None, {}),
    ],
)
def test_models_are_ranked(ranked: Any, metric: str, threshold: float | None, scores: dict[str, float]) -> None:
    body: Row = {"metric_type": metric, "benchmark_ids": [ranked["benchmark"]]}
    if threshold is not None:
        body["confidence_threshold"] = threshold
    rows = ranked["http"]("POST", "leaderboard/ranking", body)
    assert {row["evaluation_id"]: row["score"] for row in rows} == pytest.approx(
        {ranked[name]: score for name, score in scores.items()}
    )
    found = [row["score"] for row in rows]
    assert found == sorted(found, reverse=True)
    assert [row["rank"] for row in rows] == [1 + sum(one > score for one in found) for score in found]
    assert all(row["evaluation_name"] in ("of two", "of one", None) for row in rows)


def test_rankings_show_the_best_of_each_model_or_all(ranked: Any) -> None:
    http = ranked["http"]
    model = http("GET", f"evaluationsV2/{ranked['two']}", {})["model_id"]
    rules = [{"type": "labels", "scope": "annotation", "target": "prediction", "labels": ["car"]}]
    again = http(
        "POST", f"benchmarks/{ranked['benchmark']}/evaluationsV2", {"model_id": model, "exclusionRules": rules}
    )["evaluation_id"]
    body = {"metric_type": "RECALL", "benchmark_ids": [ranked["benchmark"]], "model_ids": [model]}
    assert [row["evaluation_id"] for row in http("POST", "leaderboard/ranking", body)] == [ranked["two"]]
    every = http("POST", "leaderboard/ranking", {**body, "collapse": "allEvaluations"})
    assert [row["evaluation_id"] for row in every] == [ranked["two"], again]
    assert every == http("POST", "leaderboard/ranking", {**body, "collapse": "allRuns", "scope": "mine"})


def test_curves_of_the_best_models(ranked: Any) -> None:
    rows = ranked["http"]("POST", "leaderboard/f1Curve", {"benchmark_ids": [ranked["benchmark"]], "top_n": 2})
    assert [(row["evaluation_id"], row["rank"]) for row in rows] == [(ranked["two"], 1), (ranked["one"], 2)]
    curve = {round(point["confidence_threshold"], 2): point["score"] for point in rows[0]["points"]}
    assert len(curve) == 101
    assert (curve[0.0], curve[0.1], curve[0.11], curve[0.61], curve[0.91]) == pytest.approx(
        (4 / 6, 4 / 6, 4 / 5, 2 / 4, 0)
    )
    assert rows[0]["best_f1"] == max(curve.values()) == pytest.approx(4 / 5)


def test_leaderboards_tell_of_stale_results(ranked: Any) -> None:
    http = ranked["http"]
    http("POST", f"dataset/{ranked['dataset']}/annotate", {"annotations": [box_at("a.jpg", "new", x=900)]})
    body = {"metric_type": "RECALL", "benchmark_ids": [ranked["benchmark"]]}
    assert {row["stale"] for row in http("POST", "leaderboard/ranking", body)} == {True}
