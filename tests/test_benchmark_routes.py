"""Benchmarks and leaderboards over plain HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from evaluated import GROUPS, Http, Row, Scene, World, an_image, box, small, world

# Benchmarks


def test_a_benchmark_takes_the_items_with_ground_truth_once(still: World) -> None:
    names = {one["reference_id"] for one in still.made.truths}
    first = [still.item_id(f"{number}.jpg") for number in range(3)]
    pairs = [{"dataset_id": still.dataset, "ref_id": f"{number}.jpg"} for number in range(8)]
    benchmark = still.benchmark(item_ids=first, items=pairs, dataset_ids=[still.dataset], description="d")
    told = still.http("GET", f"benchmarks/{benchmark}", {})
    assert (told["item_count"], told["skipped_items_without_ground_truth"]) == (len(names), 8 - len(names))
    assert (told["status"], told["dataset_count"], told["description"]) == ("ready", 1, "d")
    assert (told["version_major"], told["version_minor"], told["parent_benchmark_id"]) == (1, 0, None)
    found = still.http("GET", f"benchmarks/{benchmark}/items", {})
    assert found == {
        "item_ids": [still.item_id(f"{n}.jpg") for n in range(8) if f"{n}.jpg" in names],
        "total": len(names),
    }
    pages = [still.http("GET", f"benchmarks/{benchmark}/items?limit=2&offset={at}", {}) for at in range(0, 8, 2)]
    assert [one for page in pages for one in page["item_ids"]] == found["item_ids"]
    assert benchmark in [one["benchmark_id"] for one in still.http("GET", "benchmarks", {})]


def test_versions_inherit_and_prune(still: World) -> None:
    parent = still.benchmark(item_ids=[still.item_id("1.jpg"), still.item_id("2.jpg")], rollupGroups=GROUPS)
    child = still.benchmark(parent_benchmark_id=parent, removed_item_ids=[still.item_id("1.jpg")], version_label="rc1")
    told = still.http("GET", f"benchmarks/{child}", {})
    assert (told["version_major"], told["version_minor"], told["version_label"]) == (1, 1, "rc1")
    assert (told["parent_benchmark_id"], told["rollup_groups"]) == (parent, GROUPS)
    assert still.http("GET", f"benchmarks/{child}/items", {})["item_ids"] == [still.item_id("2.jpg")]
    for body, version in [
        ({"bump_type": "major"}, (2, 0)),
        ({"bump_type": "minor"}, (1, 1)),
        ({"version_major": 7, "version_minor": 3}, (7, 3)),
    ]:
        made = still.http("GET", f"benchmarks/{still.benchmark(parent_benchmark_id=parent, **body)}", {})
        assert (made["version_major"], made["version_minor"], made["item_count"]) == (*version, 2)
    agnostic = still.benchmark(parent_benchmark_id=parent, class_agnostic=True)
    told = still.http("GET", f"benchmarks/{agnostic}", {})
    assert (told["class_agnostic"], told["rollup_groups"]) == (True, None)


def test_a_draft_changes_until_it_is_finalized(drawn: World) -> None:
    made = drawn.http("POST", "benchmarks", {"name": "Streets", "draft": True})
    draft = made["benchmark_id"]
    assert made["job_id"] is None
    assert "no items" in drawn.http.refused("POST", f"benchmarks/{draft}/finalize", {}, 400)
    job = drawn.http("POST", f"benchmarks/{draft}/items", {"dataset_id": drawn.dataset})["job_id"]
    assert drawn.http("GET", f"job/{job}/info", {})["job_last_known_status"] == "Completed"
    whole = drawn.http("GET", f"benchmarks/{draft}", {})["item_count"]
    drawn.http("DELETE", f"benchmarks/{draft}/items", {"item_ids": [drawn.item_id("1.jpg"), "di_nobody"]})
    told = drawn.http("PATCH", f"benchmarks/{draft}", {"rollupGroups": GROUPS, "metadata": {"k": 1}})
    assert (told["status"], told["item_count"], told["rollup_groups"]) == ("draft", whole - 1, GROUPS)
    assert drawn.http("PATCH", f"benchmarks/{draft}", {"allowed_label_matches_id": None})["rollup_groups"] is None
    assert "draft" in drawn.evaluate_on(draft, 409)
    assert drawn.http("POST", f"benchmarks/{draft}/finalize", {})["status"] == "ready"
    for method, route, body in [
        ("POST", "items", {"dataset_id": drawn.dataset}),
        ("DELETE", "items", {"item_ids": []}),
        ("POST", "finalize", {}),
        ("PATCH", "", {"class_agnostic": True}),
    ]:
        assert "ready" in drawn.http.refused(method, f"benchmarks/{draft}/{route}", body, 409)
    told = drawn.http("PATCH", f"benchmarks/{draft}", {"name": "Roads", "description": None})
    assert (told["name"], told["metadata"]) == ("Roads", {"k": 1})


def test_a_deleted_benchmark_takes_its_evaluations_along_and_leaves_its_versions(drawn: World) -> None:
    parent = drawn.benchmark()
    child = drawn.benchmark(parent_benchmark_id=parent)
    gone, kept = drawn.evaluate_on(parent), drawn.evaluate_on(child)
    drawn.http("DELETE", f"benchmarks/{parent}", {})
    drawn.http.refused("GET", f"benchmarks/{parent}", {}, 404)
    drawn.http.refused("GET", f"evaluationsV2/{gone}", {}, 404)
    assert drawn.http("GET", f"benchmarks/{child}", {})["parent_benchmark_id"] == parent
    assert drawn.info(kept)["status"] == "succeeded"
    assert len(drawn.http.table("benchmark")) == 1


def test_deleted_items_and_datasets_leave_benchmarks(drawn: World) -> None:
    other = small(drawn.http, 0.5, name="other")
    benchmark = drawn.benchmark(dataset_ids=[drawn.dataset, other.dataset], item_ids=[])
    before = drawn.http("GET", f"benchmarks/{benchmark}", {})
    drawn.http("DELETE", f"dataset/{drawn.dataset}/refloc/1.jpg", {})
    drawn.http("DELETE", f"dataset/{other.dataset}", {})
    after = drawn.http("GET", f"benchmarks/{benchmark}", {})
    assert (before["item_count"] - after["item_count"], before["dataset_count"], after["dataset_count"]) == (2, 2, 1)


def test_items_without_predictions_are_missed(http: Http) -> None:
    made = small(http, 0.5)
    other = small(http, 0.5, name="other")
    benchmark = made.benchmark(dataset_ids=[made.dataset, other.dataset], item_ids=[])
    told = made.charts(made.evaluate_on(benchmark))["totalCounts"]
    assert told == {"tp": 1, "fp": 0, "fn": 3, "predsWithConfidence": 1}
    elsewhere = made.evaluate_on(made.benchmark(), model_run_id=other.run)
    assert made.charts(elsewhere)["totalCounts"] == {"tp": 0, "fp": 0, "fn": 2, "predsWithConfidence": 0}
    assert (made.info(elsewhere)["model_run_id"], made.info(elsewhere)["model_run_ids"]) == (other.run, [])


def test_a_model_is_evaluated_by_its_newest_run(drawn: World) -> None:
    run = drawn.http("POST", f"dataset/{drawn.dataset}/modelRun/create", {"model_id": drawn.model})["model_run_id"]
    evaluation = drawn.evaluate_on(drawn.benchmark())
    assert drawn.info(evaluation)["model_run_ids"] == [run]
    assert drawn.charts(evaluation)["totalCounts"]["tp"] == 0
    told = drawn.info(drawn.evaluate_on(drawn.benchmark(), model_run_id=drawn.run))
    assert (told["model_run_id"], told["model_id"]) == (drawn.run, drawn.model)


# Leaderboards


@pytest.fixture
def ranked(http: Http) -> dict[str, Any]:
    """Three models on one benchmark: two, one and no true positives of three."""
    truths = [box("a.jpg", str(n), x=30 * n) for n in range(3)]
    made = world(http, Scene([an_image("a.jpg")], truths, []), "none")
    benchmark = made.benchmark()
    evaluations = {"none": made.evaluate_on(benchmark)}
    for name, hits in (("one", 1), ("two", 2)):
        model = http("POST", "models/add", {"name": name, "reference_id": name, "metadata": {}})["model_id"]
        rows = [box("a.jpg", str(n), x=30 * n, confidence=0.9 - 0.3 * n) for n in range(hits)]
        rows.append(box("a.jpg", "wrong", x=500, confidence=0.1))
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
    http("POST", f"dataset/{ranked['dataset']}/annotate", {"annotations": [box("a.jpg", "new", x=900)]})
    body = {"metric_type": "RECALL", "benchmark_ids": [ranked["benchmark"]]}
    assert {row["stale"] for row in http("POST", "leaderboard/ranking", body)} == {True}
