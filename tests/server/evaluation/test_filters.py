"""What the store says of an evaluation's outcomes is what plain Python says, however they are filtered and sorted."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.http import Http
from tests.support.scored_scenes import (
    Row,
    Rule,
    Scene,
    StoredScene,
    area,
    example_keys,
    has,
    outcome_keys,
    outcomes,
    passing,
    scene,
    store_scene,
)

SEEDS = range(int(os.environ.get("NUCLEUS_PANDAS_SCENES", "2")))
THRESHOLDS = (0.01, 0.3, 0.5, 0.75, 1.0)
PAIRS = [("car", "van"), ("car", "car"), ("bus", "truck"), ("truck", "truck")]
GROUPS = {"big": ["bus", "truck"], "car": ["van"]}

RULES: dict[str, tuple[Row, Rule]] = {
    "default": ({}, Rule()),
    "by class": ({"class_agnostic": False}, Rule(class_agnostic=False)),
    "pairs": (
        {
            "allowed_label_matches": [
                {"ground_truth_label": ground_truth, "model_prediction_label": predicted}
                for ground_truth, predicted in PAIRS
            ]
        },
        Rule(pairs=PAIRS),
    ),
    "groups": (
        {"rollupGroups": [{"class_name": name, "labels": labels} for name, labels in GROUPS.items()]},
        Rule(groups=GROUPS),
    ),
}

FILTERS: list[Row] = [
    {},
    {"confidenceRange": {"min": 0.5}},
    {"confidenceRange": {"min": 0.2, "max": 0.5}},
    {"iouRange": {"max": 0.7}},
    {"iouRange": {}},
    {"gtAreaRange": {"min": 500, "max": 1200}},
    {"predLabels": ["car", "van"]},
    {"predLabels": []},
    {"gtLabels": ["bus", "nobody's"]},
    {"gtLabels": ["car"], "predLabels": ["car"]},
    {"labelEquality": "EQ"},
    {"labelEquality": "NEQ"},
    {"hasGroundTruth": True},
    {"hasGroundTruth": False},
    {"tideBackground": True},
    {"tideBackground": False},
    {"itemMetadata": [{"key": "weather", "op": "EQ", "value": "rain"}]},
    {"itemMetadata": [{"key": "weather", "op": "IN", "value": ["sun", "fog"]}]},
    {"itemMetadata": [{"key": "weather", "op": "GT", "value": "rain"}]},
    {"itemMetadata": [{"key": "hour", "op": "GT", "value": 7}]},
    {"itemMetadata": [{"key": "weather", "op": "GT", "value": 7}]},
    {"itemMetadata": [{"key": "hour", "op": "LT", "value": "rain"}]},
    {"itemMetadata": [{"key": "hour", "op": "LT", "value": 18.5}]},
    {"itemMetadata": [{"key": "hour", "op": "IN", "value": [7, 18.5]}]},
    {"itemMetadata": [{"key": "dark", "op": "EQ", "value": True}]},
    {"itemMetadata": [{"key": "dark", "op": "EQ", "value": 1}]},
    {"itemMetadata": [{"key": "camera", "op": "EQ", "value": None}]},
    {"itemMetadata": [{"key": "camera", "op": "GT", "value": "6"}]},
    {"itemMetadata": [{"key": "tags", "op": "EQ", "value": "a"}]},
    {"itemMetadata": [{"key": "nobody's", "op": "EQ", "value": 1}]},
    {"predictionMetadata": [{"key": "head", "op": "EQ", "value": 2}]},
    {"predictionMetadata": [{"key": "note", "op": "EQ", "value": "ü"}, {"key": "head", "op": "GT", "value": 1}]},
]


@pytest.fixture(scope="module", params=SEEDS)
def stored_scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredScene]:
    """A scene that a store holds; nobody changes it."""
    nucleus = EmbeddedNucleus(tmp_path_factory.mktemp("store"))
    yield store_scene(Http(nucleus), scene(request.param))
    nucleus.close()


def cells(frame: pd.DataFrame) -> Counter[tuple[str, str]]:
    """Count pairs by both classes: a confusion's FP shows both sides, and so its FN is no miss of its own."""
    confused = set(
        zip(*(frame.loc[(frame["match_type"] == "FP") & frame["gt_id"].notna(), name] for name in KEY), strict=True)
    )
    found: Counter[tuple[str, str]] = Counter()
    for row in frame.itertuples():
        if row.match_type == "FN" and (row.reference_id, row.gt_id) in confused:
            continue
        ground_truth, predicted = row.gt_class, row.pred_class
        found[
            "__background__" if pd.isna(ground_truth) else ground_truth,
            "__background__" if pd.isna(predicted) else predicted,
        ] += 1
    return found


KEY = ("reference_id", "gt_id")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_examples_are_those_of_a_plain_matcher(stored_scene: StoredScene, rule: str, threshold: float) -> None:
    body, plain = RULES[rule]
    evaluation = stored_scene.evaluated(**body)
    found = stored_scene.examples(evaluation, iouThreshold=threshold)
    wanted = outcomes(stored_scene.scene, plain, threshold)
    assert found["total"] == len(found["rows"]) == len(wanted)
    assert Counter(example_keys(found["rows"])) == Counter(outcome_keys(wanted))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_charts_count_what_a_plain_matcher_counts(stored_scene: StoredScene, rule: str, threshold: float) -> None:
    body, plain = RULES[rule]
    charts = stored_scene.charts(stored_scene.evaluated(**body), iouThreshold=threshold)
    wanted = outcomes(stored_scene.scene, plain, threshold)
    kinds = Counter(wanted["match_type"])
    assert charts["totalCounts"] == {
        "tp": kinds["TP"],
        "fp": kinds["FP"],
        "fn": kinds["FN"],
        "predsWithConfidence": int(wanted["confidence"].notna().sum()),
    }
    countable = [one for one in stored_scene.scene.ground_truths if not one["metadata"]]
    assert kinds["TP"] + kinds["FN"] == len(countable)
    assert kinds["TP"] + kinds["FP"] == len(stored_scene.scene.predictions)
    matrix = {(cell["gtLabel"], cell["predLabel"]): cell["count"] for cell in charts["confusionMatrix"]}
    assert matrix == dict(cells(wanted))
    confidence = wanted["confidence"].dropna().astype(float)
    counts, edges = np.histogram(confidence, np.arange(21) / 20)
    assert [bucket["count"] for bucket in charts["scoreHistogram"]] == counts.tolist()
    assert [bucket["bucketMin"] for bucket in charts["scoreHistogram"]] == edges[:-1].tolist()


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_filters_keep_what_plain_python_keeps(stored_scene: StoredScene, filters: Row) -> None:
    evaluation = stored_scene.evaluated()
    for threshold in (0.3, 0.75):
        wanted = passing(outcomes(stored_scene.scene, Rule(), threshold), filters)
        found = stored_scene.examples(evaluation, iouThreshold=threshold, filters=filters)
        assert Counter(example_keys(found["rows"])) == Counter(outcome_keys(wanted))
        counts = stored_scene.charts(evaluation, iouThreshold=threshold, filters=filters)["totalCounts"]
        kinds = Counter(wanted["match_type"])
        assert (counts["tp"], counts["fp"], counts["fn"]) == (kinds["TP"], kinds["FP"], kinds["FN"])


def test_some_filters_keep_something_and_leave_something_out() -> None:
    """Else the comparisons above would prove little."""
    wanted = outcomes(scene(0), Rule(), 0.3)
    lengths = [len(passing(wanted, filters)) for filters in FILTERS]
    assert sum(0 < length < len(wanted) for length in lengths) >= 20


@pytest.mark.parametrize("seed", SEEDS)
def test_filters_combine(stored_scene: StoredScene, seed: int) -> None:
    draw = random.Random(seed)
    evaluation = stored_scene.evaluated(**RULES["groups"][0])
    plain = outcomes(stored_scene.scene, RULES["groups"][1], 0.5)
    for _ in range(20):
        filters: Row = {}
        for one in draw.sample(FILTERS, 3):
            filters |= one
        kind = draw.choice([None, "TP", "FP", "FN"])
        wanted = passing(plain, filters)
        wanted = wanted if kind is None else wanted[wanted["match_type"] == kind]
        found = stored_scene.examples(evaluation, filters=filters, match_type=kind)
        assert Counter(example_keys(found["rows"])) == Counter(outcome_keys(wanted)), filters


@pytest.mark.parametrize("sort_by", ["confidence", "iou", "gt_area", "dataset_item_id", None])
@pytest.mark.parametrize("sort_order", ["ASC", "DESC", None])
def test_pages_in_order_join_without_gaps(
    stored_scene: StoredScene, sort_by: str | None, sort_order: str | None
) -> None:
    evaluation = stored_scene.evaluated()
    asked = {"sort_by": sort_by, "sort_order": sort_order}
    whole = stored_scene.examples(evaluation, **asked)
    values = [row[sort_by or "dataset_item_id"] for row in whole["rows"]]
    there = [value for value in values if value is not None]
    assert there == sorted(there, reverse=sort_order == "DESC")
    assert values[len(there) :] == [None] * (len(values) - len(there))
    pages = [
        stored_scene.examples(evaluation, limit=7, offset=offset, **asked) for offset in range(0, whole["total"] + 7, 7)
    ]
    assert [row for page in pages for row in page["rows"]] == whole["rows"]
    assert {page["total"] for page in pages} == {whole["total"]}
    assert len({row["id"] for row in whole["rows"]}) == whole["total"]


# Numbers of the engine


def ap(charts: Any) -> list[float | None]:
    return [*charts["mapSummary"].values(), *charts["apBySize"].values()]


def summary(made: Scene, **options: Any) -> list[float | None]:
    found = made.evaluate(**options).summary
    values = found[["AP50", "AP75", "AP", "AP_small", "AP_medium", "AP_large"]]
    return [None if np.isnan(value) else value for value in values]


@pytest.mark.parametrize("rule", ["default", "by class", "pairs"])
def test_average_precision_is_that_of_frames(stored_scene: StoredScene, rule: str) -> None:
    body, plain = RULES[rule]
    evaluation = stored_scene.evaluated(**body)
    for threshold in (0.5, 0.75):
        charts = stored_scene.charts(evaluation, iouThreshold=threshold)
        frames = stored_scene.scene.evaluate(allowed_label_matches=plain.pairs, iou_threshold=threshold)
        assert ap(charts) == pytest.approx(summary(stored_scene.scene, allowed_label_matches=plain.pairs), abs=1e-12)
        wanted = frames.per_class["AP50" if threshold == 0.5 else "AP75"].dropna()
        assert {one["classLabel"]: one["ap"] for one in charts["perClassAp"]} == pytest.approx(wanted.to_dict())
        curve = frames.pr_curve[frames.pr_curve["iou_threshold"] == threshold]
        points = pd.DataFrame(charts["prCurve"])
        assert points["classLabel"].tolist() == curve["label"].tolist()
        assert (
            np.abs(points[["recall", "precision"]].to_numpy() - curve[["recall", "precision"]].to_numpy()).max() < 1e-12
        )
        tide = charts["tideAttribution"]
        tp = tide.pop("truePositive")
        assert tide == frames.tide["count"].to_dict()
        assert 0 < tp <= len(stored_scene.scene.predictions)


@pytest.mark.parametrize(
    "filters",
    [
        {"confidenceRange": {"min": 0.3}},
        {"itemMetadata": [{"key": "weather", "op": "EQ", "value": "rain"}]},
        {"gtLabels": ["car", "bus"]},
        {"predLabels": ["car"]},
        {"predLabels": ["car", "truck"], "gtLabels": ["bus", "car"]},
        {"predictionMetadata": [{"key": "head", "op": "GT", "value": 0}], "gtLabels": ["car"]},
    ],
    ids=str,
)
def test_average_precision_is_that_of_what_filters_leave(stored_scene: StoredScene, filters: Row) -> None:
    labels = {*filters.get("gtLabels", ["bus", "car", "truck", "van"])} & {
        *filters.get("predLabels", ["bus", "car", "truck", "van"])
    }
    low = filters.get("confidenceRange", {}).get("min", -1)
    rest = stored_scene.scene.without(
        items=lambda one: not all(has(one["metadata"], two) for two in filters.get("itemMetadata", [])),
        ground_truths=lambda one: one["label"] not in labels,
        predictions=lambda one: (
            one["label"] not in labels
            or one.get("confidence", -1) < low
            or not all(has(one["metadata"], two) for two in filters.get("predictionMetadata", []))
        ),
    )
    charts = stored_scene.charts(stored_scene.evaluated(), filters=filters)
    assert ap(charts) == pytest.approx(summary(rest), abs=1e-12)


def test_average_precision_of_some_areas(stored_scene: StoredScene) -> None:
    charts = stored_scene.charts(stored_scene.evaluated(), filters={"gtAreaRange": {"min": 300, "max": 1100}})
    found = stored_scene.scene.evaluate(area_ranges={"some": (300, 1100)}).summary
    assert charts["mapSummary"]["mapAt5095"] == pytest.approx(found["AP_some"])
    assert (charts["apBySize"]["small"], charts["reasons"]["apBySize"] > "") == (None, True)


@pytest.mark.parametrize(
    "filters",
    [{"iouRange": {"min": 0.5}}, {"labelEquality": "EQ"}, {"hasGroundTruth": True}, {"tideBackground": False}],
    ids=str,
)
def test_average_precision_does_not_exist_for_chosen_outcomes(stored_scene: StoredScene, filters: Row) -> None:
    charts = stored_scene.charts(stored_scene.evaluated(), filters=filters)
    assert ap(charts) == [None] * 6
    assert (charts["perClassAp"], charts["prCurve"]) == ([], [])
    (name,) = filters
    assert name in charts["reasons"]["mapSummary"]


def test_classes_are_measured_at_the_computed_thresholds_only(stored_scene: StoredScene) -> None:
    evaluation = stored_scene.evaluated()
    charts = stored_scene.charts(evaluation, iouThreshold=0.42)
    assert charts["computedIouRanges"] == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert (charts["perClassAp"], charts["prCurve"], set(charts["reasons"]) & {"perClassAp", "prCurve"}) == (
        [],
        [],
        {"perClassAp", "prCurve"},
    )
    assert ap(charts) == ap(stored_scene.charts(evaluation))


# Exclusions and classes


EXCLUSIONS: dict[str, tuple[list[Row], dict[str, Any]]] = {
    "items by metadata": (
        [{"type": "metadata", "scope": "item", "key": "weather", "op": "EQ", "value": "rain"}],
        {"items": lambda one, made: one["metadata"]["weather"] == "rain"},
    ),
    "labels of the ground truth": (
        [{"type": "labels", "scope": "annotation", "target": "groundTruth", "labels": ["car"]}],
        {"ground_truths": lambda one, made: one["label"] == "car"},
    ),
    "labels of predictions": (
        [{"type": "labels", "scope": "annotation", "target": "prediction", "labels": ["car", "van"]}],
        {"predictions": lambda one, made: one["label"] in ("car", "van")},
    ),
    "items with a label": (
        [{"type": "labels", "scope": "item", "target": "prediction", "labels": ["van"]}],
        {"items": lambda one, made: any(p["label"] == "van" for p in made.predictions if same(p, one))},
    ),
    "small ground truth": (
        [{"type": "boxArea", "scope": "annotation", "target": "groundTruth", "min": 800}],
        {"ground_truths": lambda one, made: area(one) < 800},
    ),
    "predictions outside a range": (
        [{"type": "boxArea", "scope": "annotation", "target": "prediction", "min": 300, "max": 1500}],
        {"predictions": lambda one, made: not 300 <= area(one) <= 1500},
    ),
    "items with large boxes": (
        [{"type": "boxArea", "scope": "item", "target": "groundTruth", "max": 2000}],
        {"items": lambda one, made: any(area(t) > 2000 for t in made.ground_truths if same(t, one))},
    ),
    "all of it": (
        [
            {"type": "metadata", "scope": "item", "key": "dark", "op": "EQ", "value": True},
            {"type": "labels", "scope": "annotation", "target": "groundTruth", "labels": ["bus"]},
            {"type": "boxArea", "scope": "annotation", "target": "prediction", "min": 400},
        ],
        {
            "items": lambda one, made: one["metadata"]["dark"],
            "ground_truths": lambda one, made: one["label"] == "bus",
            "predictions": lambda one, made: area(one) < 400,
        },
    ),
}


def same(one: Row, item: Row) -> bool:
    return bool(one["reference_id"] == item["reference_id"])


@pytest.mark.parametrize("name", EXCLUSIONS)
def test_excluded_is_as_if_it_had_never_been(stored_scene: StoredScene, name: str) -> None:
    rules, left_out = EXCLUSIONS[name]
    made = stored_scene.scene
    nothing = lambda one, made: False  # noqa: E731
    tests = {side: left_out.get(side, nothing) for side in ("items", "ground_truths", "predictions")}
    rest = made.without(**{side: lambda one, test=test: test(one, made) for side, test in tests.items()})
    evaluation = stored_scene.evaluate(exclusionRules=rules)
    found = stored_scene.examples(evaluation)
    assert Counter(example_keys(found["rows"])) == Counter(outcome_keys(outcomes(rest, Rule(), 0.5)))
    assert ap(stored_scene.charts(evaluation)) == pytest.approx(summary(rest), abs=1e-12)
    told_of = stored_scene.info(evaluation)
    assert told_of["exclusion_rules"] == rules
    stats = told_of["exclusion_stats"]
    names = {one["reference_id"] for one in rest.items}
    kept_truths = [one for one in made.ground_truths if one["reference_id"] in names]
    kept_predictions = [one for one in made.predictions if one["reference_id"] in names]
    assert (stats["items"], stats["excluded_items"]) == (len(made.items), len(made.items) - len(rest.items))
    assert stats["excluded_ground_truth"] == len(kept_truths) - len(rest.ground_truths)
    assert stats["excluded_predictions"] == len(kept_predictions) - len(rest.predictions)
    assert sum(rule["excluded"] for rule in stats["rules"]) == (
        stats["excluded_items"] + stats["excluded_ground_truth"] + stats["excluded_predictions"]
    )


def test_one_class_is_one_class(stored_scene: StoredScene) -> None:
    evaluation = stored_scene.evaluate_on(stored_scene.benchmark(class_agnostic=True))
    plain = outcomes(
        Scene(with_truth(stored_scene.scene), stored_scene.scene.ground_truths, stored_scene.scene.predictions),
        Rule(one_class=True),
        0.5,
    )
    assert Counter(example_keys(stored_scene.examples(evaluation)["rows"])) == Counter(outcome_keys(plain))
    assert {cell["gtLabel"] for cell in stored_scene.charts(evaluation)["confusionMatrix"]} <= {
        "object",
        "__background__",
    }


def with_truth(made: Scene) -> list[Row]:
    """Return the items that a benchmark takes."""
    names = {one["reference_id"] for one in made.ground_truths}
    return [one for one in made.items if one["reference_id"] in names]


@pytest.mark.parametrize("classes", [{}, {"class_agnostic": False}, RULES["groups"][0]], ids=str)
def test_a_benchmark_holds_the_items_with_ground_truth(stored_scene: StoredScene, classes: Row) -> None:
    evaluation = stored_scene.evaluate_on(stored_scene.benchmark(**classes))
    rule = Rule(groups=GROUPS) if "rollupGroups" in classes else Rule(class_agnostic=not classes)
    plain = outcomes(
        Scene(with_truth(stored_scene.scene), stored_scene.scene.ground_truths, stored_scene.scene.predictions),
        rule,
        0.5,
    )
    assert Counter(example_keys(stored_scene.examples(evaluation)["rows"])) == Counter(outcome_keys(plain))
