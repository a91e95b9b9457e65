"""The official client's evaluations, unmodified, on a served embedded Nucleus: it is told the endpoint, and no more."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from typing import Any

import pytest

from tests.support.scored_scenes import Rule, Scene, outcomes, scene

pytestmark = [
    pytest.mark.newest,
    # most of what names a run is deprecated in the official client, for users of its hosted service
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Model-run-anchored Evaluation V2 is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]


@pytest.fixture
def made() -> Scene:
    """What is sent: images, ground truth and predictions."""
    return scene(4)


@pytest.fixture
def official_dataset(nucleus: Any, official: Any, made: Scene) -> Any:
    """A dataset of it."""
    dataset = official.create_dataset("Street scenes", is_scene=False)
    items = [
        nucleus.DatasetItem(one["image_url"], reference_id=one["reference_id"], metadata=one["metadata"])
        for one in made.items
    ]
    dataset.append(items).sleep_until_complete(verbose_std_out=False)
    dataset.annotate([box(nucleus, one) for one in made.ground_truths])
    return dataset


@pytest.fixture
def model(nucleus: Any, official: Any, official_dataset: Any, made: Scene) -> Any:
    """A model that predicted on it."""
    detector = official.create_model("Detector", "det-0.5")
    official_dataset.upload_predictions(detector, [box(nucleus, one) for one in made.predictions])
    return detector


def box(nucleus: Any, one: dict[str, Any]) -> Any:
    fields = {name: one[name] for name in ("label", "reference_id", "annotation_id", "metadata")} | one["geometry"]
    is_prediction = one["annotation_id"][0] in "pq"
    if is_prediction:
        return nucleus.BoxPrediction(confidence=one.get("confidence"), **fields)
    return nucleus.BoxAnnotation(**fields)


@pytest.fixture
def benchmark(official: Any, official_dataset: Any) -> Any:
    """A benchmark of the whole dataset."""
    return official.create_benchmark("Streets", dataset_id=official_dataset.id, metadata={"k": 1}, verbose=False)


def counts(made: Scene, rule: Rule, threshold: float = 0.5) -> Counter[str]:
    names = {one["reference_id"] for one in made.ground_truths}  # a benchmark takes no others
    rest = Scene([one for one in made.items if one["reference_id"] in names], made.ground_truths, made.predictions)
    return Counter(outcomes(rest, rule, threshold)["match_type"])


def test_a_model_is_evaluated_on_a_benchmark(official: Any, benchmark: Any, model: Any, made: Scene) -> None:
    assert (benchmark.status, benchmark.metadata, benchmark.version_major) == ("ready", {"k": 1}, 1)
    evaluation = benchmark.create_evaluation_v2(model_id=model, name="first").wait_for_completion(10, 0.05)
    assert (evaluation.status, evaluation.model_id, evaluation.benchmark_id) == ("succeeded", model.id, benchmark.id)
    assert [one.id for one in official.list_evaluations_v2(model_id=model)] == [evaluation.id]
    wanted = counts(made, Rule())
    charts = evaluation.charts()
    assert (charts.totalCounts.tp, charts.totalCounts.fp, charts.totalCounts.fn) == tuple(
        wanted[kind] for kind in ("TP", "FP", "FN")
    )
    assert 0 < charts.mapSummary.mapAt5095 < charts.mapSummary.mapAt50 < 1
    assert charts.prCurve
    assert sum(bucket.count for bucket in charts.scoreHistogram) == charts.totalCounts.predsWithConfidence
    for kind in ("TP", "FP", "FN"):
        page = evaluation.examples(kind, limit=3, sort_by="confidence", sort_order="DESC")
        assert (page.total, {row.match_type for row in page.rows}) == (wanted[kind], {kind})
    every = [row.id for offset in range(0, 500, 50) for row in evaluation.examples(offset=offset).rows]
    assert len(set(every)) == len(every) == wanted.total()


def test_filters_are_taken_from_the_filter_schema(nucleus: Any, benchmark: Any, model: Any) -> None:
    arguments = import_module("nucleus.data_transfer_object.evaluation_v2").EvaluationV2FilterArgs
    evaluation = benchmark.create_evaluation_v2(model_id=model)
    schema = evaluation.filter_schema()
    assert "car" in schema.gt_labels
    (weather,) = (one for one in schema.metadata_fields if one.key == "weather")
    whole = evaluation.charts(0.3).totalCounts
    parts = []
    for value in weather.values:
        filters = arguments(item_metadata=[{"key": "weather", "op": "EQ", "value": value}])
        parts.append(evaluation.charts(0.3, filters).totalCounts)
        assert evaluation.examples(filters=filters).rows[0].item_metadata["weather"] == value
    assert sum(part.tp for part in parts) == whole.tp
    assert sum(part.fn for part in parts) == whole.fn
    found = evaluation.examples(filters=arguments(confidence_range={"min": 0.5}, label_equality="NEQ"))
    assert found.rows
    assert all(row.confidence >= 0.5 and row.gt_raw_label != row.pred_raw_label for row in found.rows)
    assert evaluation.examples(filters={"predLabels": ["car"]}).total > 0


def test_labels_are_rolled_up_and_left_out(
    nucleus: Any, official: Any, benchmark: Any, model: Any, made: Scene
) -> None:
    rules = import_module("nucleus.evaluation_v2_exclusions")
    group = import_module("nucleus.evaluation_v2").RollupGroup("big", ["bus", "truck"])
    rolled = benchmark.create_evaluation_v2(model_id=model, rollup_groups=[group])
    assert rolled.rollup_groups == [group]
    assert rolled.charts().totalCounts.tp == counts(made, Rule(groups={"big": ["bus", "truck"]}))["TP"]
    exclusion = rules.LabelExclusionRule(scope="annotation", target="prediction", labels=["van"])
    preset = official.create_evaluation_v2_preset("mine", rollup_groups=[group], exclusion_rules=[exclusion])
    assert [one.id for one in official.list_evaluation_v2_presets()] == [preset.id]
    with_preset = benchmark.create_evaluation_v2(model_id=model, preset=preset)
    assert (with_preset.rollup_groups, with_preset.exclusion_rules) == ([group], [exclusion.to_api_dict()])
    assert with_preset.exclusion_stats["excluded_predictions"] == sum(one["label"] == "van" for one in made.predictions)
    assert preset.update(rollup_groups=None).rollup_groups is None
    preset.delete()
    assert official.list_evaluation_v2_presets() == []
    for rule in (
        rules.MetadataExclusionRule(key="weather", op="EQ", value="rain"),
        rules.BoxAreaExclusionRule(scope="item", target="groundTruth", min=100),
    ):
        evaluation = benchmark.create_evaluation_v2(model_id=model, exclusion_rules=[rule])
        assert (evaluation.status, evaluation.exclusion_rules) == ("succeeded", [rule.to_api_dict()])


def test_models_are_ranked(
    nucleus: Any, official: Any, benchmark: Any, official_dataset: Any, model: Any, made: Scene
) -> None:
    other = official.create_model("Other", "other")
    official_dataset.upload_predictions(other, [box(nucleus, one) for one in made.predictions[::2]])
    evaluations = [benchmark.create_evaluation_v2(model_id=one, name=one.name) for one in (other, model)]
    for metric in ("MAP_50", "MAP_50_95", "AP_SMALL", "PRECISION", "RECALL", "F1"):
        rows = official.leaderboard_ranking(metric, [benchmark.id])
        assert {row.evaluation_id for row in rows} == {one.id for one in evaluations}
        assert rows[0].score >= rows[1].score
    best = official.leaderboard_ranking("RECALL", [benchmark.id], confidence_threshold=0.2, model_ids=[model.id])
    assert [(row.model_id, row.model_name, row.rank) for row in best] == [(model.id, "Detector", 1)]
    curves = official.leaderboard_f1_curve([benchmark.id], top_n=1)
    assert [(row.rank, row.best_f1) for row in curves] == [(1, max(point.score for point in curves[0].points))]


def test_a_run_is_evaluated_on_a_benchmark(official: Any, benchmark: Any, official_dataset: Any, model: Any) -> None:
    run = official_dataset.model_runs[0]
    evaluation = official.create_benchmark_evaluation_v2(benchmark.id, run)
    assert (evaluation.model_run_id, evaluation.status) == (run, "succeeded")
    assert [one.id for one in official.list_evaluations_v2(run)] == [evaluation.id]
    by_model = benchmark.create_evaluation_v2(model_id=model)
    assert by_model.charts() == evaluation.charts()


def test_drafts_and_versions(nucleus: Any, official: Any, official_dataset: Any, model: Any) -> None:
    draft = official.create_benchmark("Draft", draft=True)
    assert (draft.status, draft.item_count) == ("draft", 0)
    draft.add_items(dataset_id=official_dataset.id, verbose=False)
    ids = draft.items().item_ids
    draft.remove_items(ids[:1])
    with pytest.raises(nucleus.NucleusAPIError) as caught:
        draft.create_evaluation_v2(model_id=model)
    assert caught.value.status_code == 409
    assert draft.update(name="Ready", class_agnostic=True).class_agnostic is True
    ready = draft.finalize()
    assert (ready.status, ready.items(limit=2, offset=1).item_ids) == ("ready", ids[2:4])
    child = official.create_benchmark(
        "Ready", parent_benchmark_id=ready.id, bump_type="major", removed_item_ids=ids[1:2], verbose=False
    )
    assert (child.version_major, child.version_minor, child.item_count) == (2, 0, len(ids) - 2)
    assert {one.id for one in official.list_benchmarks()} == {ready.id, child.id}
    child.delete()
    assert [one.id for one in official.list_benchmarks()] == [ready.id]


def test_evaluations_are_deleted_and_refuse_what_cannot_be(
    nucleus: Any, official: Any, benchmark: Any, model: Any
) -> None:
    evaluation = benchmark.create_evaluation_v2(model_id=model)
    with pytest.raises(nucleus.NucleusAPIError, match="only a failed one"):
        evaluation.retry()
    with pytest.raises(nucleus.NucleusAPIError, match="only a running one"):
        evaluation.cancel()
    with pytest.raises(nucleus.NucleusAPIError, match="line 1, column 20 of the query"):
        evaluation.charts(query="annotations.count >")
    evaluation.delete()
    with pytest.raises(nucleus.NucleusAPIError) as caught:
        evaluation.refresh()
    assert caught.value.status_code == 404


def test_charts_and_examples_take_a_query(benchmark: Any, model: Any, made: Scene) -> None:
    evaluation = benchmark.create_evaluation_v2(model_id=model)
    evaluation.wait_for_completion()
    rain = {one["reference_id"] for one in made.items if one["metadata"]["weather"] == "rain"}
    ground_truths = [
        one for one in made.ground_truths if one["reference_id"] in rain and not one["metadata"].get("iscrowd")
    ]
    counts = evaluation.charts(query='metadata.weather = "rain"').totalCounts
    assert counts.tp + counts.fn == len(ground_truths)
    assert evaluation.examples(query="annotations.count > 1000").total == 0


def test_matches_of_a_run_are_queried(
    nucleus: Any, official: Any, official_dataset: Any, model: Any, made: Scene
) -> None:
    kinds = import_module("nucleus.dataset").ObjectQueryType
    official_dataset.calculate_evaluation_metrics(model)
    run = official_dataset.model_runs[0]
    found = {kind: list(official_dataset.query_objects("", kind, run)) for kind in kinds}
    plain = outcomes(made, Rule(), 1e-9)
    sizes = Counter(plain["match_type"])
    assert len(found[kinds.IOU]) == plain["iou"].notna().sum()
    assert len(found[kinds.FALSE_POSITIVE]) == sizes["FP"]
    assert len(found[kinds.FALSE_NEGATIVE]) == sizes["FN"]
    category = import_module("nucleus.evaluation_match").ConfusionCategory
    assert {one.confusion_category for one in found[kinds.FALSE_POSITIVE]} == {category.FALSE_POSITIVE}
    assert {one.confusion_category for one in found[kinds.FALSE_NEGATIVE]} == {category.FALSE_NEGATIVE}
    assert sum(one.confusion_category is category.TRUE_POSITIVE for one in found[kinds.IOU]) == sizes["TP"]
    cars = list(official_dataset.query_objects('label = "car" and iou > 0.5', kinds.IOU, run))
    assert len(cars) == sum((plain["gt_label"] == "car") & (plain["iou"] > 0.5))
    assert 0 < len(cars) < len(found[kinds.IOU])
    rain = list(official_dataset.query_objects('item.metadata.weather = "rain"', kinds.FALSE_POSITIVE, run))
    assert 0 < len(rain) < len(found[kinds.FALSE_POSITIVE])
    ground_truths = [(one.reference_id, one.annotation_id) for one in found[kinds.GROUND_TRUTH_ONLY]]
    assert ground_truths == [(one["reference_id"], one["annotation_id"]) for one in made.ground_truths]
    assert [one.confidence for one in found[kinds.PREDICTIONS_ONLY]] == [
        one.get("confidence") for one in made.predictions
    ]
