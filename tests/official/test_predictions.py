"""The official client's models, runs and predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from tests.official.objects import (
    append,
    assert_same,
    box,
    everything,
    remote_items,
)

pytestmark = [
    pytest.mark.newest,
    # most of what names a run is deprecated in the official client, for users of its hosted service
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]


def test_a_model_describes_itself(official: Any, model: Any) -> None:
    found = official.get_model(model.id)
    assert (found.name, found.reference_id, found.metadata) == ("Detector", "det-0.5", {"epochs": 3})
    assert [one.id for one in official.models] == [model.id]


def test_another_model_of_the_same_reference_id_is_refused(nucleus: Any, official: Any, model: Any) -> None:
    with pytest.raises(nucleus.NucleusAPIError, match=model.id):
        official.create_model("Another", "det-0.5")


def test_tags_of_a_model(official: Any, model: Any) -> None:
    model.add_tags(["night", "day"])
    model.remove_tags(["day"])
    assert official.get_model(model.id).tags == ["night"]


def test_every_type_of_prediction_comes_back_equal(nucleus: Any, predictor: Any) -> None:
    sent = everything(nucleus, "Prediction", confidence=0.75, class_pdf={"car": 0.75, "van": 0.25})
    result = predictor.predict(list(sent.values()))
    assert (result["predictions_processed"], result["predictions_ignored"]) == (7, 0)
    for found in (predictor.refloc("a.jpg"), predictor.iloc(0), predictor.export()):
        assert_same(found, sent)


def test_every_type_of_prediction_goes_asynchronously(nucleus: Any, predictor: Any) -> None:
    sent = everything(nucleus, "Prediction", confidence=0.75)
    job = predictor.predict(list(sent.values()), asynchronous=True)
    job.sleep_until_complete()
    assert (job.job_type, job.errors()) == ("uploadPredictions", [])
    assert_same(predictor.refloc("a.jpg"), sent)


def test_predictions_of_many_requests_go_to_one_run(nucleus: Any, official_dataset: Any, predictor: Any) -> None:
    boxes = [box(nucleus, annotation_id=str(n), confidence=0.5) for n in range(5)]
    result = predictor.predict([*boxes, box(nucleus, "nobody.jpg", confidence=0.5)], batch_size=2)
    assert (result["predictions_processed"], len(result["errors"])) == (5, 1)
    assert official_dataset.model_runs == [result["model_run_id"]]
    assert [one.annotation_id for one in predictor.export()["box"]] == list("01234")


def test_one_prediction_is_found_by_its_names(nucleus: Any, predictor: Any) -> None:
    predictor.predict([box(nucleus, confidence=0.5), box(nucleus, annotation_id="2", confidence=0.25)])
    assert predictor.prediction_loc("a.jpg", "2").confidence == 0.25


@pytest.mark.parametrize(("update", "confidence"), [(False, 0.5), (True, 0.25)])
def test_a_prediction_that_is_there(nucleus: Any, predictor: Any, update: bool, confidence: float) -> None:
    predictor.predict([box(nucleus, confidence=0.5)])
    result = predictor.predict([box(nucleus, confidence=0.25)], update=update)
    assert result["predictions_ignored"] == (not update)
    assert [one.confidence for one in predictor.refloc("a.jpg")["box"]] == [confidence]


def test_an_item_without_predictions_has_all_types(nucleus: Any, predictor: Any) -> None:
    predictor.predict([box(nucleus, confidence=0.5)])
    found = predictor.refloc("b.jpg")
    assert set(found) == {"box", "line", "polygon", "cuboid", "category", "keypoints", "segmentation"}
    assert not any(found.values())


def test_local_masks_may_be_predictions(nucleus: Any, predictor: Any, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.zeros((6, 8), dtype=np.uint8)).save(path)
    mask = nucleus.SegmentationPrediction(str(path), [nucleus.Segment("sky", 0)], "a.jpg")
    assert predictor.predict([mask])["predictions_processed"] == 1
    (found,) = predictor.refloc("a.jpg")["segmentation"]
    assert requests.get(found.mask_url, timeout=20).content == path.read_bytes()


def test_the_two_routes_meet_in_one_run(nucleus: Any, official_dataset: Any, model: Any) -> None:
    run = official_dataset.create_model_run("Run", reference_id=model.reference_id)
    result = official_dataset.upload_predictions(model, [box(nucleus, confidence=0.5)])
    assert result["model_run_id"] == run.model_run_id
    assert [one.confidence for one in run.refloc("a.jpg")["box"]] == [0.5]


def test_a_run_describes_itself(official: Any, official_dataset: Any, model: Any) -> None:
    run = official_dataset.create_model_run("Night", reference_id=model.reference_id, metadata={"k": 1})
    info = run.info()
    assert (info["model_id"], info["name"], info["metadata"]) == (model.id, "Night", {"k": 1})
    assert (official_dataset.model_runs, model.model_runs()) == ([run.model_run_id], [run.model_run_id])
    assert official.get_model(model_run_id=run.model_run_id).id == model.id


@pytest.mark.parametrize(
    "options", [None, {"class_agnostic": False}, {"allowed_label_matches": [("car", "van")]}], ids=str
)
def test_a_committed_run_takes_no_other_predictions(
    nucleus: Any, official_dataset: Any, model: Any, options: dict[str, Any] | None
) -> None:
    if options and "allowed_label_matches" in options:
        names = ("ground_truth_label", "model_prediction_label")
        options = {"allowed_label_matches": [dict(zip(names, p, strict=True)) for p in [("car", "van")]]}
    official_dataset.annotate([box(nucleus)])
    run = official_dataset.create_model_run("Run", reference_id=model.reference_id)
    run.predict([box(nucleus, confidence=0.5)])
    assert run.commit(options) == {"model_run_id": run.model_run_id}
    assert run.predict([box(nucleus, confidence=0.5)], update=True)["predictions_ignored"] == 1
    with pytest.raises(nucleus.NucleusAPIError, match="committed and cannot change") as caught:
        run.predict([box(nucleus, "b.jpg", confidence=0.5)])
    assert (caught.value.status_code, run.refloc("b.jpg")["box"]) == (409, [])


def test_predictions_after_a_commit_go_to_a_new_run(nucleus: Any, official_dataset: Any, model: Any) -> None:
    run = official_dataset.create_model_run("Run", reference_id=model.reference_id)
    run.predict([box(nucleus, confidence=0.5)])
    run.commit()
    result = official_dataset.upload_predictions(model, [box(nucleus, "b.jpg", confidence=0.25)])
    assert result["predictions_processed"] == 1
    assert official_dataset.model_runs == [run.model_run_id, result["model_run_id"]]
    assert [one.reference_id for one in official_dataset.export_predictions(model)["box"]] == ["b.jpg"]
    assert [one.reference_id for one in run.ungrouped_export()["box"]] == ["a.jpg"]


def test_predictions_name_dataset_and_run(nucleus: Any, official_dataset: Any, model: Any) -> None:
    run = official_dataset.create_model_run("Run", reference_id=model.reference_id)
    official_dataset.upload_predictions_for_model_run(run.model_run_id, [box(nucleus, confidence=0.5)])
    official_dataset.upload_predictions_for_model_run(
        run.model_run_id, [box(nucleus, "b.jpg", confidence=0.5)], asynchronous=True
    ).sleep_until_complete()
    assert [one.reference_id for one in run.ungrouped_export()["box"]] == ["a.jpg", "b.jpg"]


def test_a_run_that_spans_datasets(nucleus: Any, official: Any, official_dataset: Any, model: Any) -> None:
    other = official.create_dataset("Other", is_scene=False)
    append(other, remote_items(nucleus))
    run = model.create_run("Everywhere")
    for dataset in (official_dataset, other):
        dataset.upload_predictions_for_model_run(run.model_run_id, [box(nucleus, confidence=0.5)])
    item_id = other.refloc("b.jpg")["item"].dataset_item_id
    free = nucleus.BoxPrediction("van", 1, 2, 3, 4, dataset_item_id=item_id, annotation_id="2", confidence=0.25)
    assert run.add_predictions([free])["predictions_processed"] == 1
    assert len(run.ungrouped_export()["box"]) == 3
    assert [one.reference_id for one in other.export_predictions(model)["box"]] == ["a.jpg", "b.jpg"]


def test_runs_are_merged(nucleus: Any, official: Any, official_dataset: Any, model: Any) -> None:
    runs = [official_dataset.create_model_run(str(n), reference_id=model.reference_id) for n in range(2)]
    for n, run in enumerate(runs):
        run.predict([box(nucleus, annotation_id=str(n), confidence=0.5)])
    job = official.merge_model_runs([run.model_run_id for run in runs])
    assert len(model.model_runs()) == 3, job
