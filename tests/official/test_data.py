"""What else the official client does with data, unmodified, on a served embedded Nucleus: it is told the endpoint only.

Taxonomies, schemas, tags, metadata, predictions without a run, the older names of its methods; and its own mistakes
(those that were reproduced), none of which a server or a client of ours makes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from PIL import Image

import nucleus_pandas as npd
from tests.official.objects import NAMES, append, assert_same, box, everything, url

pytestmark = [
    pytest.mark.newest,
    # most of what names a run is deprecated in the official client, for users of its hosted service
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]


# Taxonomies and categories


def test_a_taxonomy_is_made_once_and_grows(nucleus: Any, official_dataset: Any) -> None:
    made = [
        official_dataset.add_taxonomy("weather", "category", labels, update=update)["status"]
        for labels, update in ((["rain"], False), (["fog"], False), (["sun"], True))
    ]
    assert made == ["Taxonomy created", "Taxonomy already exists", "Taxonomy updated"]
    rows = [
        nucleus.CategoryAnnotation(label, name, "weather")
        for label, name in zip(("rain", "fog", "sun"), NAMES, strict=True)
    ]
    result = official_dataset.annotate(rows)
    assert (result["annotations_processed"], len(result["errors"])) == (2, 1)
    assert "has no label 'fog'" in result["errors"][0]


def test_an_unknown_taxonomy_fails_a_job(nucleus: Any, official_dataset: Any) -> None:
    official_dataset.add_taxonomy("weather", "category", ["rain"])
    job = official_dataset.annotate([nucleus.CategoryAnnotation("rain", "a.jpg", "light")], asynchronous=True)
    with pytest.raises(nucleus.async_job.JobError, match="the taxonomy 'light' does not exist"):
        job.sleep_until_complete()
    assert job.status()["status"] == "Errored"


def test_a_deleted_taxonomy_takes_its_annotations_along(nucleus: Any, official_dataset: Any, model: Any) -> None:
    for name in ("weather", "time of day/part"):
        official_dataset.add_taxonomy(name, "category", ["rain"])
        official_dataset.annotate([nucleus.CategoryAnnotation("rain", "a.jpg", name)])
        official_dataset.upload_predictions(model, [nucleus.CategoryPrediction("rain", "a.jpg", name, confidence=0.5)])
    assert official_dataset.delete_taxonomy("time of day/part")["status"] == "Taxonomy successfully deleted"
    assert [one.taxonomy_name for one in official_dataset.refloc("a.jpg")["annotations"]["category"]] == ["weather"]
    assert [one.taxonomy_name for one in official_dataset.predictions_refloc(model, "a.jpg")["category"]] == ["weather"]


def test_several_categories_and_those_of_scenes(nucleus: Any, official_dataset: Any, ours: npd.NucleusClient) -> None:
    official_dataset.add_taxonomy("signs", "multicategory", ["stop", "yield"])
    sent = {
        "multicategory": nucleus.MultiCategoryAnnotation(["stop", "yield"], "a.jpg", "signs", metadata={"k": 1}),
        "category": nucleus.SceneCategoryAnnotation("rainy", "a.jpg", metadata={"k": [1, None]}),
    }
    assert official_dataset.annotate(list(sent.values()))["annotations_processed"] == 2
    found = official_dataset.refloc("a.jpg")["annotations"]
    assert {kind: [one.to_payload() for one in some] for kind, some in found.items() if some} == {
        "multicategory": [sent["multicategory"].to_payload()],
        "category": [nucleus.CategoryAnnotation("rainy", "a.jpg", metadata={"k": [1, None]}).to_payload()],
    }
    (row, *_) = official_dataset.items_and_annotations()
    assert [one.labels for one in row["annotations"]["multicategory"]] == [["stop", "yield"]]
    frame = ours.get_dataset(official_dataset.id).annotations.to_frame()
    assert frame["type"].tolist() == ["multicategory", "category"]
    assert frame["geometry"].tolist() == [{"labels": ["stop", "yield"], "taxonomy_name": "signs"}, {}]


def test_predictions_of_scene_categories(nucleus: Any, official_dataset: Any, model: Any) -> None:
    official_dataset.upload_predictions(model, [nucleus.SceneCategoryPrediction("rainy", "a.jpg", confidence=0.5)])
    (found,) = official_dataset.predictions_refloc(model, "a.jpg")["category"]
    assert (found.label, found.confidence) == ("rainy", 0.5)


# Schemas, privacy, metadata, tags


def test_metadata_that_breaks_the_schema_is_refused(nucleus: Any, official: Any) -> None:
    schema = {"hour": {"type": "number"}, "weather": {"type": "category", "choices": ["rain"]}}
    made = official.create_dataset(
        "Streets", is_scene=False, item_metadata_schema=schema, annotation_metadata_schema=schema
    )
    assert (made.info().item_metadata_schema, made.info().annotation_metadata_schema) == (schema, schema)
    items = [nucleus.DatasetItem(url(n), str(n), metadata={"hour": hour}) for n, hour in enumerate([7, "x"])]
    job = made.append(items)
    with pytest.raises(nucleus.async_job.JobError, match="must be a number"):
        job.sleep_until_complete()
    assert [item.reference_id for item in made.items] == ["0"]
    result = made.annotate([box(nucleus, "0", str(n), metadata={"weather": one}) for n, one in enumerate(["rain", 1])])
    assert (result["annotations_processed"], len(result["errors"])) == (1, 1)


def test_predictions_follow_the_schema_of_their_run(nucleus: Any, official_dataset: Any, model: Any) -> None:
    schema = {"hour": {"type": "number"}}
    run = official_dataset.create_model_run("Run", reference_id=model.reference_id, annotation_metadata_schema=schema)
    boxes = [box(nucleus, annotation_id=str(hour), confidence=0.5, metadata={"hour": hour}) for hour in (7, "x")]
    result = run.predict(boxes)
    assert (result["predictions_processed"], len(result["errors"])) == (1, 1)


def test_privacy_mode_needs_sizes(nucleus: Any, official: Any) -> None:
    made = official.create_dataset("Private", is_scene=False, use_privacy_mode=True)
    assert made.use_privacy_mode is True
    with pytest.raises(ValueError, match="width"):  # the client looks itself
        made.append([nucleus.DatasetItem(url("b"), "b", width=640)])
    append(made, [nucleus.DatasetItem(url("a"), "a", width=640, height=480)])
    assert [item.reference_id for item in made.items] == ["a"]


# the client warns of itself, and leaves files open
@pytest.mark.filterwarnings("ignore:The default create_dataset:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("private", [False, True])
def test_a_folder_becomes_a_dataset_of_its_name(official: Any, tmp_path: Path, private: bool) -> None:
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(["a.png", "deep/b.png"]):
        Image.new("RGB", (10 + number, 20), "red").save(folder / name)
    options = {"use_privacy_mode": True, "privacy_mode_proxy": "https://example.org/"} if private else {}
    made = official.create_dataset_from_dir(str(folder), **options)
    assert (made.name, made.use_privacy_mode) == ("images", private)
    found = {item.reference_id: item.image_location for item in made.items}
    assert set(found) == {"a.png", "deep/b.png"}
    if private:
        assert found["deep/b.png"] == "https://example.org/deep/b.png"
    else:
        assert requests.get(found["deep/b.png"], timeout=20).content == (folder / "deep/b.png").read_bytes()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_update_of_metadata_merges(nucleus: Any, official_dataset: Any, asynchronous: bool) -> None:
    camera = nucleus.CameraParams(nucleus.Point3D(1, 2, 3), nucleus.Quaternion(0, 0, 0, 1), 1, 1, 2, 2)
    changes = {"a.jpg": {"hour": 8, "new": [1]}, "c.jpg": {"camera_params": camera.to_payload()}, "nobody": {"x": 1}}
    made = official_dataset.update_item_metadata(changes, asynchronous=asynchronous)
    if asynchronous:
        made.sleep_until_complete()
        assert (made.job_type, made.errors()) == ("metadataUpdate", ["Item with id nobody doesn't exist."])
    else:
        assert (made["updated_items"], len(made["errors"])) == (2, 1)
    assert official_dataset.refloc("a.jpg")["item"].metadata == {"weather": "rain", "hour": 8, "new": [1]}
    assert official_dataset.refloc("c.jpg")["item"].metadata == {"camera_params": camera.to_payload()}


def test_metadata_of_scenes_is_refused_in_a_sentence(official_dataset: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert official_dataset.update_scene_metadata({"a": {"x": 1}}) is None  # it prints every error
    assert "Scenes are not supported by this server" in capsys.readouterr().out


def test_tags_of_a_dataset(official_dataset: Any) -> None:
    assert official_dataset.get_tags() == []
    assert official_dataset.add_tags(["night", "day"]) == ["night", "day"]
    assert official_dataset.add_tags(["day"]) == ["night", "day"]
    assert official_dataset.info().tags == ["night", "day"]
    assert official_dataset.remove_tags(["night", "absent"]) == official_dataset.get_tags() == ["day"]


def test_slices_that_a_model_was_trained_on(nucleus: Any, official: Any, official_dataset: Any, model: Any) -> None:
    model.add_trained_slice_ids(["slc_1", "slc_2"])
    model.remove_trained_slice_ids(["slc_1"])
    assert official.get_model(model.id).trained_slice_ids == model.trained_slice_ids == ["slc_2"]
    boxes = [box(nucleus, annotation_id=str(n), confidence=0.5) for n in range(4)]
    official_dataset.upload_predictions(model, boxes[:2], trained_slice_id="slc_3")
    official_dataset.upload_predictions(
        model, boxes[2:], trained_slice_id="slc_4", asynchronous=True
    ).sleep_until_complete()
    assert official.get_model(model.id).trained_slice_ids == ["slc_2", "slc_3", "slc_4"]
    assert len(official_dataset.export_predictions(model)["box"]) == 4


def test_labels_of_a_dataset(nucleus: Any, official_dataset: Any, model: Any) -> None:
    official_dataset.annotate([box(nucleus, annotation_id=label, label=label) for label in ("van", "car", "bus")])
    official_dataset.upload_predictions(model, [box(nucleus, label="truck", confidence=0.5)])
    assert official_dataset.export_class_labels() == ["bus", "car", "van"]
    assert official_dataset.evaluation_label_schema() == {
        "gt_labels": ["bus", "car", "van"],
        "prediction_labels": ["truck"],
    }


# Predictions without a run


def free(nucleus: Any, item_id: str, **fields: Any) -> dict[str, Any]:
    """A prediction of each type that a model takes without a run, by the id of its item."""
    made = everything(nucleus, "Prediction", confidence=0.75, class_pdf={"car": 0.75, "van": 0.25})
    sent = {kind: made[kind] for kind in ("box", "polygon", "cuboid")}
    for one in sent.values():
        one.reference_id, one.dataset_item_id = None, item_id
    return sent


def test_predictions_without_a_run(nucleus: Any, official: Any, official_dataset: Any, model: Any) -> None:
    item_id = official_dataset.refloc("a.jpg")["item"].dataset_item_id
    sent = free(nucleus, item_id)
    result = model.upload_predictions([*sent.values(), box(nucleus, "c.jpg", confidence=0.5)])
    assert result == {"model_id": model.id, "predictions_processed": 4, "predictions_ignored": 0}
    for one in sent.values():
        one.reference_id = "a.jpg"
    for found in (model.predictions_loc(item_id), model.predictions_refloc("a.jpg"), model.predictions_iloc(0)):
        assert_same(found, sent)
    assert model.predictions_refloc("b.jpg") == {"predictions": []}  # it gives the answer where there are none
    assert (model.model_runs(), official_dataset.model_runs) == ([], [])
    assert model.upload_predictions([box(nucleus, "c.jpg", confidence=0.25)], update=True)["predictions_processed"] == 1
    assert [one.confidence for one in model.predictions_refloc("c.jpg")["box"]] == [0.25]


DETAILED = {"class_pdf": {"car": 0.75, "van": 0.25}, "track_reference_id": "track 7", "embedding_vector": [0.5, -1.0]}


def test_our_frames_hold_what_it_says_of_predictions(
    nucleus: Any, ours: npd.NucleusClient, official_dataset: Any, model: Any
) -> None:
    sent = [box(nucleus, "c.jpg", confidence=0.5, **DETAILED), *everything(nucleus, "Prediction").values()]
    official_dataset.upload_predictions(model, sent)
    dataset, our_model = ours.get_dataset(official_dataset.id), ours.get_model(model.id)
    found = dataset.predictions(our_model).to_frame()
    assert found["type"].tolist() == ["mask", "box", "line", "polygon", "keypoints", "cuboid", "category", "box"]
    assert found[list(DETAILED)].iloc[-1].to_dict() == DETAILED
    assert found[list(DETAILED)].iloc[:-1].isna().all(axis=None)
    model.upload_predictions(sent[:1])
    assert our_model.predictions.refloc["c.jpg", list(DETAILED)].iloc[0].to_dict() == DETAILED


def test_it_reads_what_our_frames_say_of_predictions(
    nucleus: Any, ours: npd.NucleusClient, official_dataset: Any, model: Any
) -> None:
    sent = box(nucleus, confidence=0.5, **DETAILED)
    row = {"reference_id": "a.jpg", "label": sent.label, "annotation_id": sent.annotation_id, "confidence": 0.5}
    row |= {"x": sent.x, "y": sent.y, "width": sent.width, "height": sent.height, **DETAILED}
    frame = pd.DataFrame([row])
    frame.nucleus.predict(ours.get_model(model.id), dataset=ours.get_dataset(official_dataset.id))
    frame.nucleus.predict(ours.get_model(model.id))
    assert_same(official_dataset.predictions_refloc(model, "a.jpg"), {"box": sent})
    assert_same(model.predictions_refloc("a.jpg"), {"box": sent})
    frame.nucleus.annotate(ours.get_dataset(official_dataset.id))
    (found,) = official_dataset.refloc("a.jpg")["annotations"]["box"]
    assert (found.track_reference_id, found.embedding_vector) == ("track 7", [0.5, -1.0])


def test_predictions_are_copied_from_a_run(nucleus: Any, official_dataset: Any, model: Any) -> None:
    run = official_dataset.create_model_run("Run", reference_id=model.reference_id)
    sent = everything(nucleus, "Prediction", confidence=0.75)
    run.predict(list(sent.values()))
    result = model.copy_predictions_from_run(run.model_run_id)
    assert (result["predictions_copied"], result["predictions_skipped_unsupported"]) == (3, 4)
    assert_same(model.predictions_refloc("a.jpg"), {kind: sent[kind] for kind in ("box", "polygon", "cuboid")})
    assert_same(run.refloc("a.jpg"), sent)


def test_a_run_is_made_with_its_predictions(nucleus: Any, official_dataset: Any, model: Any) -> None:
    run = model.create_run("Run", official_dataset, [box(nucleus, confidence=0.5)], metadata={"k": 1})
    assert (len(run.ungrouped_export()["box"]), run.info()["metadata"]) == (1, {"k": 1})
    item_id = official_dataset.refloc("b.jpg")["item"].dataset_item_id
    one = nucleus.BoxPrediction("car", 1, 2, 3, 4, dataset_item_id=item_id, confidence=0.5, annotation_id="1")
    loose = model.create_run("Anywhere", predictions=[one], reference_id="run of mine")
    assert [found.reference_id for found in loose.ungrouped_export()["box"]] == ["b.jpg"]
    assert model.model_runs(include_versions=True) == [run.model_run_id, loose.model_run_id]


# The older names of methods


def test_the_older_names_of_the_client(nucleus: Any, official: Any, official_dataset: Any, capsys: Any) -> None:
    model = official.add_model("Detector", "det-0.5")
    assert [one.id for one in official.list_models()] == [model.id]
    assert official.dataset_info(official_dataset.id).name == "Street scenes"
    assert [item.reference_id for item in official.get_dataset_items(official_dataset.id)] == NAMES
    official_dataset.annotate([box(nucleus)])
    item_id = official.dataitem_iloc(official_dataset.id, 0)["item"]["id"]
    for found in (
        official.dataitem_ref_id(official_dataset.id, "a.jpg"),
        official.dataitem_loc(official_dataset.id, item_id),
    ):
        assert (found["item"]["id"], len(found["annotations"]["box"])) == (item_id, 1)
    run = official.create_model_run(official_dataset.id, {"reference_id": "det-0.5", "name": "Run"})
    run.predict([box(nucleus, confidence=0.5)])
    assert official.model_run_info(run.model_run_id)["name"] == "Run"
    for found in (
        official.predictions_ref_id(run.model_run_id, "a.jpg"),
        official.predictions_iloc(run.model_run_id, 0)["annotations"],
        official.predictions_loc(run.model_run_id, item_id)["annotations"],
    ):
        assert len(found["box"]) == 1
    assert official.commit_model_run(run.model_run_id, {}) == {"model_run_id": run.model_run_id}
    official.delete_annotations(official_dataset.id, ["a.jpg"]).sleep_until_complete(verbose_std_out=False)
    assert official_dataset.refloc("a.jpg")["annotations"]["box"] == []
    official.delete_dataset_item(official_dataset.id, "b.jpg")
    assert official_dataset.size == 2
    assert len(official.jobs) == len(official.list_jobs())


def test_benchmarks_and_evaluations_are_found_by_their_ids(
    nucleus: Any, official: Any, official_dataset: Any, model: Any
) -> None:
    official_dataset.annotate([box(nucleus, name) for name in NAMES])
    official_dataset.upload_predictions(model, [box(nucleus, confidence=0.5)])
    draft = official.create_benchmark("Draft", draft=True)
    official.add_benchmark_items(draft.id, dataset_id=official_dataset.id, verbose=False)
    ids = official.list_benchmark_items(draft.id, limit=2, offset=1).item_ids
    official.remove_benchmark_items(draft.id, ids[:1])
    assert official.update_benchmark(draft.id, name="Ready").name == "Ready"
    assert official.finalize_benchmark(draft.id).status == "ready"
    assert official.get_benchmark(draft.id).item_count == 2
    evaluation = official.create_benchmark_evaluation_v2(draft.id, model_id=model)
    assert official.get_evaluation_v2(evaluation.id).status == "succeeded"
    assert official.get_evaluation_v2_filter_schema(evaluation.id).gt_labels == ["car"]
    preset = official.create_evaluation_v2_preset("mine")
    assert official.update_evaluation_v2_preset(preset.id, name="yours").name == "yours"
    official.delete_evaluation_v2_preset(preset.id)
    assert official.list_evaluation_v2_presets() == []
    official.delete_benchmark(draft.id)
    assert official.list_benchmarks() == []
