"""Evaluations over plain HTTP, as both generations of clients ask for them."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

import nucleus_pandas as npd
from nucleus_pandas.server.evaluation import compute as computing
from nucleus_pandas.server.store import evaluations, jobs
from nucleus_pandas.server.store.scopes import Scope
from tests.factories import box_at, item
from tests.http import Http
from tests.support.scored_scenes import (
    GROUPS,
    NEGATIVE,
    Row,
    Rule,
    Scene,
    StoredScene,
    outcomes,
    scene,
    small,
    store_scene,
)

CHARTS = {
    "mapSummary": {"mapAt50", "mapAt75", "mapAt5095"},
    "perClassAp": ["classLabel", "ap"],
    "confusionMatrix": ["gtLabel", "predLabel", "count"],
    "scoreHistogram": ["bucketMin", "bucketMax", "count"],
    "computedIouRanges": None,
    "totalCounts": {"tp", "fp", "fn", "predsWithConfidence"},
    "apBySize": {"small", "medium", "large"},
    "prCurve": ["classLabel", "recall", "precision"],
    "tideAttribution": {"truePositive", "localization", "classification", "both", "duplicate", "background", "missed"},
}
EVALUATION = {
    "id",
    "status",
    "model_run_id",
    "dataset_id",
    "model_id",
    "name",
    "temporal_workflow_id",
    "error_message",
    "created_at",
    "rollup_groups",
    "benchmark_id",
    "slice_id",
    "exclusion_rules",
    "exclusion_stats",
}
EXAMPLE = {
    "id",
    "evaluation_id",
    "dataset_item_id",
    "true_positive",
    "match_type",
    "model_prediction_id",
    "ground_truth_annotation_id",
    "pred_canonical_label",
    "gt_canonical_label",
    "pred_raw_label",
    "gt_raw_label",
    "iou",
    "confidence",
    "gt_area",
    "item_metadata",
    "prediction_metadata",
    "prediction_row",
    "annotation_row",
}

# Both generations


def test_a_run_is_evaluated_as_an_older_client_asks(shared_scene: StoredScene) -> None:
    pairs = [{"ground_truth_label": "car", "model_prediction_label": "van"}]
    evaluation = shared_scene.evaluate(name="older", allowed_label_matches=pairs)
    example_keys = shared_scene.info(evaluation)
    assert set(example_keys) >= EVALUATION
    assert (example_keys["id"], example_keys["status"], example_keys["name"]) == (evaluation, "succeeded", "older")
    assert (example_keys["model_run_id"], example_keys["dataset_id"], example_keys["model_id"]) == (
        shared_scene.run,
        shared_scene.dataset,
        shared_scene.model,
    )
    assert example_keys["parameters"]["allowed_label_matches"] == [["car", "van"]]
    assert (evaluation.startswith("evalv2_"), example_keys["benchmark_id"], example_keys["error_message"]) == (
        True,
        None,
        None,
    )
    filters = quote(json.dumps({"predLabels": ["van"]}))
    charts = shared_scene.http(
        "GET", f"evaluationsV2/{evaluation}/charts?iouThreshold=0.3&filters={filters}&query=", {}
    )
    assert charts == shared_scene.charts(evaluation, iouThreshold=0.3, filters={"predLabels": ["van"]})
    assert shared_scene.http("GET", f"evaluationsV2/{evaluation}/charts", {}) == shared_scene.charts(evaluation)


def test_a_model_is_evaluated_on_a_benchmark_as_the_current_client_asks(shared_scene: StoredScene) -> None:
    made = shared_scene.http("POST", "benchmarks", {"name": "Streets", "dataset_id": shared_scene.dataset})
    assert shared_scene.http("GET", f"job/{made['job_id']}", {})["status"] == "Completed"
    groups = [{"class_name": "big", "labels": ["bus", "truck"]}]
    evaluation = shared_scene.evaluate_on(
        made["benchmark_id"], name="new", rollupGroups=groups, exclusionRules=[NEGATIVE]
    )
    example_keys = shared_scene.info(evaluation)
    assert set(example_keys) >= EVALUATION
    assert (example_keys["model_id"], example_keys["model_run_id"], example_keys["benchmark_id"]) == (
        shared_scene.model,
        None,
        made["benchmark_id"],
    )
    assert (example_keys["rollup_groups"], example_keys["exclusion_rules"]) == (groups, [NEGATIVE])
    assert example_keys["model_run_ids"] == [shared_scene.run]
    found = shared_scene.examples(evaluation)["rows"]
    assert {row["pred_raw_label"] for row in found} & {"bus", "truck"}
    assert "van" not in {row["pred_raw_label"] for row in found}
    assert {row["pred_canonical_label"] for row in found} <= {"big", "car", None}


def test_charts_have_every_key_of_the_contract(shared_scene: StoredScene) -> None:
    charts = shared_scene.charts(shared_scene.evaluate())
    for key, inner in CHARTS.items():
        if isinstance(inner, set):
            assert set(charts[key]) == inner, key
        elif inner is not None:
            assert charts[key] != []
            assert all(list(row) == inner for row in charts[key]), key
    assert set(charts) == {*CHARTS, "reasons", "stale"}
    assert all(type(count) is int for count in charts["tideAttribution"].values())
    assert "__background__" in {cell["gtLabel"] for cell in charts["confusionMatrix"]}


def test_examples_have_every_key_of_the_contract(shared_scene: StoredScene) -> None:
    evaluation = shared_scene.evaluate()
    page = shared_scene.examples(evaluation)
    assert all(set(row) == EXAMPLE for row in page["rows"])
    for row in page["rows"]:
        assert row["evaluation_id"] == evaluation
        assert row["true_positive"] is (row["match_type"] == "TP")
        assert (row["annotation_row"] is None) is (row["ground_truth_annotation_id"] is None)
        assert (row["prediction_row"] is None) is (row["model_prediction_id"] is None)
    kinds = {kind: shared_scene.examples(evaluation, match_type=kind)["total"] for kind in ("TP", "FP", "FN")}
    counts = shared_scene.charts(evaluation)["totalCounts"]
    assert kinds == {"TP": counts["tp"], "FP": counts["fp"], "FN": counts["fn"]}


def test_an_example_shows_the_boxes_as_they_were_sent(http: Http) -> None:
    made = small(http, 0.5)
    (row,) = made.examples(made.evaluate(), match_type="TP")["rows"]
    assert row["prediction_row"] == {
        "type": "box",
        "dataset_item_id": made.item_id("a.jpg"),
        "reference_id": "a.jpg",
        "annotation_id": "0",
        "label": "car",
        "geometry": {"x": 0, "y": 0, "width": 10, "height": 10},
        "metadata": {},
        "confidence": 0.5,
    }
    assert (row["annotation_row"]["annotation_id"], row["gt_area"], row["iou"]) == ("1", 100, 1)


def test_ids_that_begin_with_a_control_character_are_told_as_they_were_sent(http: Http) -> None:
    name = "\x1fid\x1fa"
    one = [box_at("a.jpg", name, confidence=0.5)]
    made = store_scene(http, Scene([item("a.jpg", metadata={})], [box_at("a.jpg", "\x1f")], one))
    (row,) = made.examples(made.evaluate())["rows"]
    assert (row["model_prediction_id"], row["ground_truth_annotation_id"]) == (name, "\x1f")
    http("POST", f"modelRun/{made.run}/commit", {})
    matches = http("GET", f"_nucleus_pandas/modelRun/{made.run}/matches")["columns"]
    assert (matches["prediction_id"], matches["annotation_id"]) == ([name], ["\x1f"])


def test_the_filter_schema_lists_what_there_is(shared_scene: StoredScene) -> None:
    evaluation = shared_scene.evaluate(rollupGroups=[{"class_name": "big", "labels": ["bus", "truck"]}])
    schema = shared_scene.http("GET", f"evaluationsV2/{evaluation}/filterSchema", {})
    assert (schema["gt_labels"], schema["pred_labels"]) == (["big", "car"], ["big", "car", "van"])
    fields = {field["key"]: (field["value_type"], field["values"]) for field in schema["metadata_fields"]}
    assert fields["dark"] == ("boolean", ["false", "true"])
    assert fields["camera"] == ("string", ["7"])
    assert fields["hour"][0] == "number"
    assert set(fields["hour"][1]) <= {"7", "12", "18.5"}
    assert "tags" not in fields


def test_every_value_of_a_filter_schema_is_one_to_filter_by(shared_scene: StoredScene) -> None:
    evaluation = shared_scene.evaluate()
    schema = shared_scene.http("GET", f"evaluationsV2/{evaluation}/filterSchema", {})
    whole = shared_scene.examples(evaluation)["total"]
    for field in schema["metadata_fields"]:
        found = [
            shared_scene.examples(
                evaluation, filters={"itemMetadata": [{"key": field["key"], "op": "EQ", "value": value}]}
            )
            for value in field["values"]
        ]
        assert all(0 < page["total"] <= whole for page in found), field
        together = {"key": field["key"], "op": "IN", "value": field["values"]}
        page = shared_scene.examples(evaluation, filters={"itemMetadata": [together]})
        assert page["total"] == sum(one["total"] for one in found)


def test_evaluations_are_listed_newest_first(stored_scene: StoredScene) -> None:
    first, second = stored_scene.evaluate(), stored_scene.evaluate()
    third = stored_scene.evaluate_on(stored_scene.benchmark())
    of_run = stored_scene.http("GET", f"modelRun/{stored_scene.run}/evaluationsV2", {})
    of_model = stored_scene.http("GET", f"model/{stored_scene.model}/evaluationsV2", {})
    assert [one["id"] for one in of_run] == [second, first]
    assert [one["id"] for one in of_model] == [third, second, first]
    assert of_model[0] == stored_scene.info(third)


def test_a_deleted_evaluation_is_gone_with_its_rows(stored_scene: StoredScene) -> None:
    evaluation, kept = stored_scene.evaluate(), stored_scene.evaluate()
    rows = stored_scene.examples(kept)["total"]
    assert stored_scene.http("DELETE", f"evaluationsV2/{evaluation}", {})
    stored_scene.http.refused("GET", f"evaluationsV2/{evaluation}", {}, 404)
    assert [one["id"] for one in stored_scene.http("GET", f"model/{stored_scene.model}/evaluationsV2", {})] == [kept]
    assert len(stored_scene.http.table("evaluation")) == len(stored_scene.http.table("evaluation_source")) == 1
    assert stored_scene.examples(kept)["total"] == rows


@pytest.mark.parametrize("what", ["modelRun/{run}", "model/{model}", "dataset/{dataset}"])
def test_evaluations_go_with_what_they_evaluate(stored_scene: StoredScene, what: str) -> None:
    evaluation = stored_scene.evaluate()
    stored_scene.http(
        "DELETE", what.format(run=stored_scene.run, model=stored_scene.model, dataset=stored_scene.dataset), {}
    )
    stored_scene.http.refused("GET", f"evaluationsV2/{evaluation}", {}, 404)
    for table in ("evaluation", "evaluation_match", "evaluation_source"):
        assert stored_scene.http.table(table) == []


def test_a_run_without_predictions_misses_everything(http: Http) -> None:
    made = small(http)
    charts = made.charts(made.evaluate())
    assert charts["totalCounts"] == {"tp": 0, "fp": 0, "fn": 2, "predsWithConfidence": 0}
    assert charts["mapSummary"] == {"mapAt50": 0, "mapAt75": 0, "mapAt5095": 0}
    assert charts["perClassAp"] == [{"classLabel": "car", "ap": 0}]


def test_without_ground_truth_there_is_no_average_precision(http: Http) -> None:
    made = store_scene(http, Scene([item("a.jpg", metadata={})], [], [box_at("a.jpg", "1", confidence=0.5)]))
    charts = made.charts(made.evaluate())
    assert charts["totalCounts"] == {"tp": 0, "fp": 1, "fn": 0, "predsWithConfidence": 1}
    assert set(charts["mapSummary"].values()) | set(charts["apBySize"].values()) == {None}
    assert "no ground truth" in charts["reasons"]["mapSummary"]


def test_without_confidences_there_is_no_average_precision(http: Http) -> None:
    made = store_scene(http, Scene([item("a.jpg", metadata={})], [box_at("a.jpg", "1")], [box_at("a.jpg", "1")]))
    charts = made.charts(made.evaluate())
    assert charts["totalCounts"] == {"tp": 1, "fp": 0, "fn": 0, "predsWithConfidence": 0}
    assert (charts["mapSummary"]["mapAt50"], charts["perClassAp"]) == (None, [])
    assert "confidence" in charts["reasons"]["mapSummary"]


def test_what_the_engine_leaves_out_is_told(http: Http) -> None:
    many = [box_at("a.jpg", str(n), x=n, confidence=0.5) for n in range(103)]
    made = store_scene(http, Scene([item("a.jpg", metadata={})], [box_at("a.jpg", "1")], many))
    charts = made.charts(made.evaluate())
    assert charts["reasons"]["maxDets"].startswith("3 predictions")
    tide = charts["tideAttribution"]
    assert (sum(tide.values()) - tide["missed"], charts["totalCounts"]["fp"]) == (100, 102)


def test_nothing_at_all_is_evaluated(http: Http) -> None:
    made = store_scene(http, Scene([item("a.jpg", metadata={})]))
    evaluation = made.evaluate()
    assert made.examples(evaluation) == {"rows": [], "total": 0, "stale": False}
    assert made.charts(evaluation)["confusionMatrix"] == []
    assert made.http("GET", f"evaluationsV2/{evaluation}/filterSchema", {}) == {
        "gt_labels": [],
        "pred_labels": [],
        "metadata_fields": [],
    }


def test_a_run_that_spans_datasets_is_evaluated_on_each(http: Http) -> None:
    one, other = small(http, 0.5, name="one"), small(http, 0.5, name="other")
    run = http("POST", f"model/{one.model}/modelRun/create", {})["model_run_id"]
    for made in (one, other):
        rows = [box_at("a.jpg", "1", confidence=0.5, dataset_id=made.dataset)]
        http("POST", f"modelRun/{run}/predict", {"annotations": rows})
    evaluation = http("POST", f"modelRun/{run}/evaluationsV2", {})["evaluation_id"]
    example_keys = one.info(evaluation)
    assert (example_keys["dataset_id"], example_keys["dataset_ids"]) == (None, [one.dataset, other.dataset])
    rows = one.examples(evaluation, match_type="TP", sort_by="dataset_item_id")["rows"]
    assert sorted(row["dataset_item_id"] for row in rows) == sorted([one.item_id("a.jpg"), other.item_id("a.jpg")])
    assert one.charts(evaluation)["totalCounts"] == {"tp": 2, "fp": 0, "fn": 2, "predsWithConfidence": 2}


# What was evaluated, and whether it is still so


def test_results_say_what_computed_them(shared_scene: StoredScene) -> None:
    example_keys = shared_scene.info(shared_scene.evaluate())
    assert (example_keys["engine"], example_keys["engine_version"] > "", example_keys["parameters"]["matcher"]) == (
        "hotcoco",
        True,
        "nucleus",
    )
    assert (len(example_keys["content"]), example_keys["stale"]) == (32, False)
    pairs = shared_scene.evaluate(
        allowed_label_matches=[{"ground_truth_label": "car", "model_prediction_label": "car"}]
    )
    assert (shared_scene.info(pairs)["engine"], shared_scene.info(pairs)["engine_version"]) == (
        "nucleus_pandas",
        npd.__version__,
    )


CHANGES: dict[str, tuple[str, str, Row | None]] = {
    "new ground truth": ("POST", "dataset/{dataset}/annotate", {"annotations": [box_at("0.jpg", "new")]}),
    "other ground truth": (
        "POST",
        "dataset/{dataset}/annotate",
        {"update": True, "annotations": [box_at("1.jpg", "g0", "tram")]},
    ),
    "other metadata": (
        "POST",
        "dataset/{dataset}/annotate",
        {"update": True, "annotations": [box_at("1.jpg", "g0", metadata={"iscrowd": 1})]},
    ),
    "no ground truth": ("DELETE", "annotation/{dataset}", {"reference_ids": ["1.jpg"], "keep_history": False}),
    "new predictions": ("POST", "modelRun/{run}/predict", {"annotations": [box_at("1.jpg", "new", confidence=0.5)]}),
    "a deleted item": ("DELETE", "dataset/{dataset}/refloc/1.jpg", {}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("on", ["run", "benchmark"])
def test_a_result_whose_rows_have_changed_says_so(stored_scene: StoredScene, change: str, on: str) -> None:
    assert any(
        one["reference_id"] == "1.jpg" and one["annotation_id"] == "g0" for one in stored_scene.scene.ground_truths
    )
    evaluation = stored_scene.evaluate() if on == "run" else stored_scene.evaluate_on(stored_scene.benchmark())
    before, charts = stored_scene.examples(evaluation), stored_scene.charts(evaluation)
    method, route, body = CHANGES[change]
    stored_scene.http(method, route.format(dataset=stored_scene.dataset, run=stored_scene.run), body)
    for _ in range(2):  # the second time from what was kept of the first
        assert stored_scene.info(evaluation)["stale"] is True
    after = stored_scene.examples(evaluation)
    assert (after["stale"], stored_scene.charts(evaluation)) == (True, {**charts, "stale": True})
    assert [row["id"] for row in after["rows"]] == [row["id"] for row in before["rows"]]
    assert stored_scene.info(stored_scene.evaluate())["stale"] is False


def test_a_result_is_not_stale_for_what_was_not_evaluated(stored_scene: StoredScene) -> None:
    evaluation = stored_scene.evaluate_on(stored_scene.benchmark(item_ids=[stored_scene.item_id("1.jpg")]))
    body = {"annotations": [box_at("0.jpg", "new")]}
    stored_scene.http("POST", f"dataset/{stored_scene.dataset}/annotate", body)
    stored_scene.http("POST", f"dataset/{stored_scene.dataset}/append", {"items": [item("new.jpg", metadata={})]})
    assert stored_scene.info(evaluation)["stale"] is False


def test_a_result_is_no_longer_stale_when_the_change_is_undone(stored_scene: StoredScene) -> None:
    evaluation = stored_scene.evaluate()
    ground_truth = next(one for one in stored_scene.scene.ground_truths if one["annotation_id"] == "g0")
    for changed, stale in (({**ground_truth, "label": "tram"}, True), (ground_truth, False)):
        stored_scene.http(
            "POST", f"dataset/{stored_scene.dataset}/annotate", {"update": True, "annotations": [changed]}
        )
        assert stored_scene.info(evaluation)["stale"] is stale


def test_metadata_of_items_counts_where_it_excludes(stored_scene: StoredScene) -> None:
    rule = {"type": "metadata", "scope": "item", "key": "weather", "op": "EQ", "value": "rain"}
    plain, excluding = stored_scene.evaluate(), stored_scene.evaluate(exclusionRules=[rule])
    changed = {**stored_scene.scene.items[0], "metadata": {"weather": "hail"}}
    stored_scene.http("POST", f"dataset/{stored_scene.dataset}/append", {"items": [changed], "update": True})
    assert (stored_scene.info(plain)["stale"], stored_scene.info(excluding)["stale"]) == (False, True)


def test_a_commit_says_when_it_is_stale(stored_scene: StoredScene) -> None:
    route = f"_nucleus_pandas/modelRun/{stored_scene.run}/commit"
    assert set(stored_scene.http("GET", route).values()) == {None}
    stored_scene.http("POST", f"modelRun/{stored_scene.run}/commit", {"class_agnostic": False})
    example_keys = stored_scene.http("GET", route)
    assert (example_keys["stale"], example_keys["class_agnostic"], example_keys["committed_at"] > "") == (
        False,
        False,
        True,
    )
    stored_scene.http("POST", f"dataset/{stored_scene.dataset}/annotate", {"annotations": [box_at("0.jpg", "new")]})
    assert stored_scene.http("GET", route)["stale"] is True


# Large ones, dead ones


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Every evaluation is a large one, and waits for this before it is computed."""
    go = threading.Event()
    compute = computing.compute

    def waiting(*arguments: Any) -> None:
        assert go.wait(20)
        compute(*arguments)

    monkeypatch.setattr(computing, "SMALL", -1)
    monkeypatch.setattr(computing, "compute", waiting)
    yield go
    go.set()


def test_a_large_evaluation_is_computed_in_the_background(stored_scene: StoredScene, held: threading.Event) -> None:
    evaluation = stored_scene.evaluate()
    example_keys = stored_scene.info(evaluation)
    assert (example_keys["status"], example_keys["stale"], example_keys["content"]) == ("pending", None, None)
    reason = stored_scene.http.refused("POST", f"evaluationsV2/{evaluation}/charts", {}, 409)
    assert "pending" in reason
    held.set()
    stored_scene.http.nucleus.close()  # waits for it
    with npd.NucleusClient.local(stored_scene.http.nucleus.folder) as client:
        assert client.jobs["status"].tolist() == ["Completed"]


def test_a_large_evaluation_is_the_same(stored_scene: StoredScene, held: threading.Event) -> None:
    held.set()
    evaluation = stored_scene.evaluate()
    stored_scene.http.nucleus.submit(held.set)
    done = threading.Event()
    stored_scene.http.nucleus.submit(done.set)
    assert done.wait(20)
    found = stored_scene.examples(evaluation)
    assert found["total"] == len(outcomes(stored_scene.scene, Rule(), 0.5))


def test_a_running_evaluation_can_be_cancelled(stored_scene: StoredScene, held: threading.Event) -> None:
    evaluation = stored_scene.evaluate()
    stored_scene.http("POST", f"evaluationsV2/{evaluation}/cancel", {})
    held.set()
    done = threading.Event()
    stored_scene.http.nucleus.submit(done.set)
    assert done.wait(20)
    assert stored_scene.info(evaluation)["status"] == "cancelled"
    assert stored_scene.http.table("evaluation_match") == []
    assert "cancelled" in stored_scene.http.refused("POST", f"evaluationsV2/{evaluation}/cancel", {}, 409)


def test_an_evaluation_that_is_cancelled_half_way_leaves_no_rows(
    stored_scene: StoredScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = evaluations.add_matches

    def added(db: sqlite3.Connection, evaluation: Any, rows: Any) -> None:
        add(db, evaluation, rows)
        evaluations.cancel(db, evaluations.find(db, evaluation.public_id))

    monkeypatch.setattr(computing, "_ROWS", 5)
    monkeypatch.setattr(evaluations, "add_matches", added)
    evaluation = stored_scene.evaluate()
    assert stored_scene.info(evaluation)["status"] == "cancelled"
    assert stored_scene.http.table("evaluation_match") == []


def test_an_evaluation_that_is_deleted_while_it_runs_leaves_nothing(
    stored_scene: StoredScene, held: threading.Event
) -> None:
    stored_scene.http("DELETE", f"evaluationsV2/{stored_scene.evaluate()}", {})
    held.set()
    done = threading.Event()
    stored_scene.http.nucleus.submit(done.set)
    assert done.wait(20)
    assert stored_scene.http.table("evaluation") == stored_scene.http.table("evaluation_match") == []


def test_finished_evaluations_are_neither_cancelled_nor_retried(shared_scene: StoredScene) -> None:
    evaluation = shared_scene.evaluate()
    for action in ("cancel", "retry"):
        assert "succeeded" in shared_scene.http.refused("POST", f"evaluationsV2/{evaluation}/{action}", {}, 409)


def test_an_evaluation_that_fails_says_so_and_is_retried(
    stored_scene: StoredScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(computing, "match_rows", fail)
        evaluation = stored_scene.evaluate(name="mine", rollupGroups=[{"class_name": "big", "labels": ["bus"]}])
    example_keys = stored_scene.info(evaluation)
    assert (example_keys["status"], "log" in example_keys["error_message"]) == ("failed", True)
    assert stored_scene.http.table("evaluation_match") == []
    again = stored_scene.http("POST", f"evaluationsV2/{evaluation}/retry", {})["evaluation_id"]
    told_again = stored_scene.info(again)
    assert (again != evaluation, told_again["status"], told_again["name"]) == (True, "succeeded", "mine")
    assert told_again["rollup_groups"] == example_keys["rollup_groups"]


DIES = """
import json, os, sys
from nucleus_pandas.server.evaluation import compute
from nucleus_pandas.server.app import create_app
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import evaluations

nucleus = EmbeddedNucleus(sys.argv[1])
compute._ROWS = 5
store, stored = evaluations.add_matches, []

def add(*arguments):
    store(*arguments)
    stored.append(1)
    if len(stored) == 3:
        print("half", flush=True)
        os.kill(os.getpid(), 9)

evaluations.add_matches = add
create_app(nucleus).test_client().post(sys.argv[2], json={})
"""


def test_an_evaluation_whose_process_is_killed_fails_and_is_retried(stored_scene: StoredScene) -> None:
    folder = stored_scene.http.nucleus.folder
    route = f"http://127.0.0.1/v1/nucleus/modelRun/{stored_scene.run}/evaluationsV2"
    died = subprocess.run([sys.executable, "-c", DIES, str(folder), route], capture_output=True, text=True, timeout=60)
    assert (died.stdout, died.returncode) == ("half\n", -signal.SIGKILL), died.stderr
    (one,) = stored_scene.http("GET", f"modelRun/{stored_scene.run}/evaluationsV2", {})
    assert one["status"] == "computing"
    stored_scene.http.refused("POST", f"evaluationsV2/{one['id']}/retry", {}, 409)
    with stored_scene.http.nucleus.database.write() as db:
        db.execute("UPDATE job SET heartbeat = heartbeat - ?", (jobs.STALE_SECONDS + 1,))
    example_keys = stored_scene.info(one["id"])
    assert (example_keys["status"], "stopped" in example_keys["error_message"]) == ("failed", True)
    again = stored_scene.http("POST", f"evaluationsV2/{one['id']}/retry", {})["evaluation_id"]
    assert stored_scene.examples(again)["total"] == len(outcomes(stored_scene.scene, Rule(), 0.5))
    stored_scene.http("DELETE", f"evaluationsV2/{one['id']}", {})
    assert {row[0] for row in stored_scene.http.table("evaluation_match")} == {
        row[0] for row in stored_scene.http.table("evaluation")
    }


@pytest.mark.parametrize("rules", [[], [NEGATIVE], [{**NEGATIVE, "scope": "item"}]], ids=["all", "some", "items"])
def test_the_work_grows_with_the_rows_alone(http: Http, rules: list[Row]) -> None:
    steps = []
    for images in (60, 240):
        made = store_scene(http, scene(4, images), f"{images} {uuid.uuid4()}")
        evaluation = made.evaluate(exclusionRules=rules)
        with http.nucleus.database.read() as db:
            stored = evaluations.find(db, evaluation)
            count = 0

            def step() -> None:
                nonlocal count
                count += 1

            db.set_progress_handler(step, 100)
            scope = Scope(db, evaluations.sources(db, stored), None)
            scope.size()
            scope.content(stored.request)
            scope.exclude_items(stored.request.exclusion_rules or [])
            for target in ("groundTruth", "prediction"):
                for cursor in scope.boxes(target):
                    cursor.fetchall()
            db.set_progress_handler(None, 100)
        steps.append(count)
    assert 3 < steps[1] / steps[0] < 6


# Presets


def test_presets_are_kept_changed_and_deleted(stored_scene: StoredScene) -> None:
    made = stored_scene.http(
        "POST", "evaluationV2Presets", {"name": "mine", "rollupGroups": GROUPS, "exclusionRules": [NEGATIVE]}
    )
    assert (made["id"][:5], made["name"], made["rollup_groups"]) == ("prev_", "mine", GROUPS)
    assert stored_scene.http("GET", "evaluationV2Presets", {}) == [made]
    assert "choose another name" in stored_scene.http.refused("POST", "evaluationV2Presets", {"name": "mine"}, 409)
    route = f"evaluationV2Presets/{made['id']}"
    changed = stored_scene.http("PATCH", route, {"exclusionRules": None})
    assert (changed["exclusion_rules"], changed["rollup_groups"], changed["name"]) == (None, GROUPS, "mine")
    assert stored_scene.http("PATCH", route, {"name": "yours"})["name"] == "yours"
    assert stored_scene.http("PATCH", route, {})["rollup_groups"] == GROUPS
    stored_scene.http("DELETE", route, {})
    assert stored_scene.http("GET", "evaluationV2Presets", {}) == []
    for method in ("PATCH", "DELETE"):
        stored_scene.http.refused(method, route, {}, 404)


# Metrics without an evaluation, and objects


@pytest.mark.parametrize("committed", [False, True])
def test_metrics_are_calculated_without_freezing(stored_scene: StoredScene, committed: bool) -> None:
    if committed:
        stored_scene.http("POST", f"modelRun/{stored_scene.run}/commit", {})
    route = f"dataset/{stored_scene.dataset}/model/{stored_scene.model}/calculateEvaluationMetrics"
    example_keys = stored_scene.http("POST", route, {})
    plain = outcomes(stored_scene.scene, Rule(), 0.5)["match_type"].value_counts()
    counts = (example_keys["true_positives"], example_keys["false_positives"], example_keys["false_negatives"])
    assert (example_keys["model_run_id"], counts) == (stored_scene.run, (plain["TP"], plain["FP"], plain["FN"]))
    status = stored_scene.http("GET", f"modelRun/{stored_scene.run}/info", {})["status"]
    assert status == ("committed" if committed else "open")
    if not committed:
        stored_scene.http(
            "POST", f"modelRun/{stored_scene.run}/predict", {"annotations": [box_at("0.jpg", "new", confidence=0.5)]}
        )
    example_keys = stored_scene.http("POST", route, {"class_agnostic": False})
    assert example_keys["true_positives"] >= counts[0]


def objects(made: StoredScene, mode: str, size: int = 3, run: str | None = "") -> list[Row]:
    """Read all objects, page by page."""
    body: Row = {"query": "", "patch_mode": mode, "model_run_id": made.run if run == "" else run, "pageSize": size}
    found: list[Row] = []
    token = None
    while token is not None or not found:
        page = made.http("POST", f"dataset/{made.dataset}/queryObjectsPage", {**body, "pageToken": token})
        assert len(page["items"]) <= size
        found += page["items"]
        token = page["nextPageToken"]
        if token is None:
            break
    return found


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_matches_are_read_by_what_they_are(stored_scene: StoredScene, size: int) -> None:
    stored_scene.http(
        "POST", f"dataset/{stored_scene.dataset}/model/{stored_scene.model}/calculateEvaluationMetrics", {}
    )
    plain = outcomes(stored_scene.scene, Rule(), 1e-9)  # no threshold
    names = {stored_scene.item_id(one["reference_id"]): one["reference_id"] for one in stored_scene.scene.items}
    wanted = {
        "iou": plain[plain["iou"].notna()],
        "false_positive": plain[plain["match_type"] == "FP"],
        "false_negative": plain[plain["match_type"] == "FN"],
    }
    for mode, rows in wanted.items():
        found = objects(stored_scene, mode, size)
        example_keys = [
            (
                names[row["dataset_item_id"]],
                row["ground_truth_annotation_id"],
                row["model_prediction_id"],
                row["ground_truth_annotation_label"],
                row["model_prediction_label"],
                row["true_positive"],
                round(row["iou"], 12),
            )
            for row in found
        ]
        outcome_keys = [
            (
                row.reference_id,
                row.gt_id or None,
                row.pred_id or None,
                row.gt_label or None,
                row.pred_label or None,
                row.match_type == "TP",
                0.0 if row.iou is None or row.iou != row.iou else round(row.iou, 12),
            )
            for row in rows.astype(object).where(rows.notna(), None).itertuples()
        ]
        assert sorted(example_keys, key=repr) == sorted(outcome_keys, key=repr), mode
        assert found
        assert {row["model_run_id"] for row in found} == {stored_scene.run}


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_annotations_and_predictions_are_read_page_by_page(shared_scene: StoredScene, size: int) -> None:
    key = ("reference_id", "annotation_id", "label", "geometry", "type")
    for mode, sent in (
        ("ground_truth_only", shared_scene.scene.ground_truths),
        ("predictions_only", shared_scene.scene.predictions),
    ):
        found = objects(shared_scene, mode, size)
        assert [[one[name] for name in key] for one in found] == [[one[name] for name in key] for one in sent]
    assert objects(shared_scene, "ground_truth_only", size, None) == objects(shared_scene, "ground_truth_only", size)


def test_matches_need_a_commit(shared_scene: StoredScene) -> None:
    body = {"query": "", "patch_mode": "iou", "model_run_id": shared_scene.run}
    reason = shared_scene.http.refused("POST", f"dataset/{shared_scene.dataset}/queryObjectsPage", body, 409)
    assert "commit" in reason


def test_labels_of_a_dataset(shared_scene: StoredScene) -> None:
    found = shared_scene.http("GET", f"dataset/{shared_scene.dataset}/labelSchema", {})
    assert found == {
        "gt_labels": sorted({one["label"] for one in shared_scene.scene.ground_truths}),
        "prediction_labels": sorted({one["label"] for one in shared_scene.scene.predictions}),
    }
