"""The official client, unmodified, on a served embedded Nucleus: it is told the endpoint, and nothing else.

What it writes `nucleus_pandas` reads, and the reverse.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.server.serving import Server

pytestmark = [
    pytest.mark.newest,
    # most of what names a run is deprecated in the official client, for users of its hosted service
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]

NAMES = ["a.jpg", "b.jpg", "c.jpg"]
METADATA: list[dict[str, Any]] = [{"weather": "rain", "hour": 7}, {"nested": {"ü": [1, 1.5, None, True]}}, {}]
MASK_URL = "https://example.org/mask.png"


@pytest.fixture
def street(nucleus: Any, official: Any) -> Any:
    """The official client's dataset of three remote images."""
    made = official.create_dataset("Street scenes", is_scene=False)
    append(made, remote_items(nucleus))
    return made


@pytest.fixture
def model(official: Any) -> Any:
    """The official client's model."""
    return official.create_model("Detector", "det-0.5", {"epochs": 3})


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """23 local images, each of its own size: three requests."""
    paths = [tmp_path / f"image {n}.png" for n in range(23)]
    for n, path in enumerate(paths):
        Image.new("RGB", (10 + n, 20 + n), "red").save(path)
    return paths


def url(name: object) -> str:
    return f"https://example.org/{name}"


def remote_items(nucleus: Any) -> list[Any]:
    return [
        nucleus.DatasetItem(url(name), reference_id=name, metadata=metadata, width=640, height=480)
        for name, metadata in zip(NAMES, METADATA, strict=True)
    ]


def told(items: Iterable[Any]) -> list[tuple[Any, ...]]:
    """What the official client tells of items; it forgets their sizes when it reads them."""
    return [(item.reference_id, item.image_location, item.metadata) for item in items]


def append(dataset: Any, items: list[Any], **options: Any) -> Any:
    """Append, wait for the job, and give its last status."""
    job = dataset.append(items, **options)
    job.sleep_until_complete()
    return job.status()


def new_items(dataset: Any, *names: str) -> None:
    """Append remote images of these names; the address does not hold the name."""
    nucleus = import_module("nucleus")
    append(dataset, [nucleus.DatasetItem(url(n), reference_id=name) for n, name in enumerate(names)])


def everything(nucleus: Any, kind: str, name: str = "a.jpg", **fields: Any) -> dict[str, Any]:
    """One annotation (or, with a confidence, prediction) of every type on one item, under the key of reading."""

    def one(type_name: str, *values: Any, **more: Any) -> Any:
        return getattr(nucleus, f"{type_name}{kind}")(*values, reference_id=name, **more, **fields)

    vertices = [nucleus.Point(0.5, 1), nucleus.Point(9, 1), nucleus.Point(9, 8.25)]
    keypoints = [nucleus.Keypoint(1, 2.5), nucleus.Keypoint(visible=False)]
    corner, size = nucleus.Point3D(1, 2, 3), nucleus.Point3D(4.5, 5, 6)
    metadata = {"occluded": True, "nested": {"ü": [1, None]}}
    segments = [nucleus.Segment("sky", 1, {"k": 1}), nucleus.Segment("road", 2)]
    masked = {key: value for key, value in fields.items() if key not in ("confidence", "class_pdf")}
    mask = getattr(nucleus, f"Segmentation{kind}")
    return {
        "box": one("Box", "car", 1, 2.5, 30, 40.25, annotation_id="box", metadata=metadata),
        "line": one("Line", "lane", vertices, annotation_id="line", metadata=metadata),
        "polygon": one("Polygon", "lake", vertices, annotation_id="polygon", metadata=metadata),
        "keypoints": one(
            "Keypoints",
            "person",
            keypoints,
            ["head", "foot"],
            skeleton=[[0, 1]],
            annotation_id="pose",
            metadata=metadata,
        ),
        "cuboid": one("Cuboid", "truck", corner, size, 0.5, annotation_id="cuboid", metadata=metadata),
        "category": one("Category", "rainy", taxonomy_name="weather", metadata=metadata),
        "segmentation": mask(MASK_URL, segments, reference_id=name, annotation_id="mask", **masked),
    }


def payload(one: Any) -> dict[str, Any]:
    """What an object of the official client holds, but the id of its item."""
    described: dict[str, Any] = one.to_payload()
    described.pop("item_id", None)
    return described


def assert_same(found: dict[str, list[Any]], sent: dict[str, Any]) -> None:
    assert {key: [payload(one) for one in some] for key, some in found.items() if some} == {
        key: [payload(one)] for key, one in sent.items()
    }


def box(nucleus: Any, name: str = "a.jpg", annotation_id: str = "1", **fields: Any) -> Any:
    options = {"label": "car", "x": 1, "y": 2, "width": 3, "height": 4, **fields}
    cls = nucleus.BoxPrediction if "confidence" in fields else nucleus.BoxAnnotation
    return cls(reference_id=name, annotation_id=annotation_id, **options)


# Datasets and items


def test_a_created_dataset_describes_itself(official: Any, street: Any) -> None:
    again = official.get_dataset(street.id)
    assert (again.name, again.is_scene, again.use_privacy_mode, again.size) == ("Street scenes", False, False, 3)


def test_info_of_a_dataset(street: Any) -> None:
    info = street.info()
    assert (info.dataset_id, info.name, info.length) == (street.id, "Street scenes", 3)
    assert (info.model_run_ids, info.slice_ids) == ([], [])


def test_datasets_are_listed(official: Any, street: Any) -> None:
    other = official.create_dataset("Other", is_scene=False)
    assert official.list_datasets() == [street.id, other.id]
    assert [one.name for one in official.datasets] == ["Street scenes", "Other"]


def test_remote_items_come_back_equal_and_in_order(nucleus: Any, street: Any) -> None:
    assert told(street.items) == told(remote_items(nucleus))


def test_an_append_is_a_completed_job_without_errors(nucleus: Any, official: Any) -> None:
    job = official.create_dataset("D", is_scene=False).append(remote_items(nucleus))
    job.sleep_until_complete()
    assert (job.status()["status"], job.status()["message"]["new_items"], job.errors()) == ("Completed", 3, [])


def test_items_that_are_there_are_ignored(nucleus: Any, street: Any) -> None:
    changed = [nucleus.DatasetItem(url("new"), reference_id="a.jpg", metadata={"new": 1})]
    assert append(street, changed)["message"]["ignored_items"] == 1
    assert street.refloc("a.jpg")["item"].metadata == METADATA[0]


def test_update_replaces_metadata(nucleus: Any, street: Any) -> None:
    changed = [nucleus.DatasetItem(url("a.jpg"), reference_id="a.jpg", metadata={"new": 1})]
    assert append(street, changed, update=True)["message"]["updated_items"] == 1
    assert street.refloc("a.jpg")["item"].metadata == {"new": 1}


def test_a_scene_dataset_refuses_plain_items(nucleus: Any, official: Any) -> None:
    scenes = official.create_dataset("Scenes", is_scene=True)
    with pytest.raises(nucleus.async_job.JobError, match="plain items go into another dataset"):
        append(scenes, remote_items(nucleus))


def test_local_images_travel_in_several_requests(nucleus: Any, official: Any, images: list[Path]) -> None:
    dataset = official.create_dataset("Local", is_scene=False)
    items = [nucleus.DatasetItem(str(path), reference_id=path.name, metadata={"n": path.name}) for path in images]
    append(dataset, items)
    found = sorted(dataset.items, key=lambda item: item.reference_id)
    assert [(item.reference_id, item.metadata) for item in found] == sorted(
        (path.name, {"n": path.name}) for path in images
    )
    assert [job.job_type for job in dataset.jobs(show_completed=True)] == ["uploadDatasetItems"] * 3


def test_local_images_are_served_as_they_were(nucleus: Any, official: Any, images: list[Path]) -> None:
    dataset = official.create_dataset("Local", is_scene=False)
    append(dataset, [nucleus.DatasetItem(str(path), reference_id=path.name) for path in images])
    for path in images[::11]:
        found = dataset.refloc(path.name)["item"]
        assert requests.get(found.image_location, timeout=20).content == path.read_bytes()


def test_a_local_image_that_is_none_is_told_of(nucleus: Any, official: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    job = official.create_dataset("Local", is_scene=False).append(
        [nucleus.DatasetItem(str(tmp_path / "empty.png"), reference_id="empty")]
    )
    job.sleep_until_complete()
    assert [("empty" in text) for text in job.errors()] == [True]


def test_update_replaces_a_local_image(nucleus: Any, official: Any, images: list[Path]) -> None:
    dataset = official.create_dataset("Local", is_scene=False)
    for path in images[:2]:
        append(dataset, [nucleus.DatasetItem(str(path), reference_id="one")], update=True)
    (item,) = dataset.items
    assert requests.get(item.image_location, timeout=20).content == images[1].read_bytes()


def test_a_folder_becomes_a_dataset(official: Any, images: list[Path]) -> None:
    dataset = official.create_dataset("Folder", is_scene=False)
    dataset.add_items_from_dir(str(images[0].parent))
    assert dataset.size == len(images)


# Ground truth


def test_every_type_of_annotation_comes_back_equal(nucleus: Any, street: Any) -> None:
    sent = everything(nucleus, "Annotation")
    result = street.annotate(list(sent.values()))
    assert (result["annotations_processed"], result["annotations_ignored"]) == (7, 0)
    assert_same(street.refloc("a.jpg")["annotations"], sent)


def test_every_type_of_annotation_goes_asynchronously(nucleus: Any, street: Any) -> None:
    sent = everything(nucleus, "Annotation")
    job = street.annotate(list(sent.values()), asynchronous=True)
    job.sleep_until_complete()
    assert job.status()["message"]["annotation_upload"]["processed"] == 7
    assert_same(street.refloc("a.jpg")["annotations"], sent)


def test_one_annotation_is_found_by_its_names(nucleus: Any, street: Any) -> None:
    sent = everything(nucleus, "Annotation")
    street.annotate(list(sent.values()))
    names = {"box": "box", "line": "line", "keypoints": "pose", "cuboid": "cuboid", "segmentation": "mask"}
    found = {key: street.ground_truth_loc("a.jpg", name) for key, name in names.items()}
    assert_same({key: [one] for key, one in found.items()}, {key: sent[key] for key in names})


def test_annotations_of_many_requests_are_counted_together(nucleus: Any, street: Any) -> None:
    boxes = [box(nucleus, annotation_id=str(n)) for n in range(7)]
    result = street.annotate([*boxes, box(nucleus, "nobody.jpg"), box(nucleus, "no one.jpg")], batch_size=2)
    assert (result["annotations_processed"], result["annotations_ignored"]) == (7, 0)
    assert ["nobody.jpg" in result["errors"][0], "no one.jpg" in result["errors"][1]] == [True, True]


def test_an_unknown_item_is_an_error_of_the_job(nucleus: Any, street: Any) -> None:
    job = street.annotate([box(nucleus), box(nucleus, "nobody.jpg")], asynchronous=True)
    job.sleep_until_complete()
    assert job.status()["message"]["annotation_upload"]["errored"] == 1
    assert job.errors() == ["Item with id nobody.jpg doesn't exist."]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("update", "label"), [(False, "car"), (True, "van")])
def test_an_annotation_that_is_there(nucleus: Any, street: Any, asynchronous: bool, update: bool, label: str) -> None:
    street.annotate([box(nucleus)])
    made = street.annotate([box(nucleus, label="van")], update=update, asynchronous=asynchronous)
    if asynchronous:
        made.sleep_until_complete()
    else:
        assert made["annotations_ignored"] == (not update)
    assert [one.label for one in street.refloc("a.jpg")["annotations"]["box"]] == [label]


def test_local_masks_are_uploaded(nucleus: Any, street: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.png" for name in NAMES]
    for n, path in enumerate(paths):
        Image.fromarray(np.full((6, 8), n, dtype=np.uint8)).save(path)
    masks = [
        nucleus.SegmentationAnnotation(str(path), [nucleus.Segment("sky", n)], name)
        for n, (path, name) in enumerate(zip(paths, NAMES, strict=True))
    ]
    assert street.annotate(masks, local_files_per_upload_request=2)["annotations_processed"] == 3
    found = [street.refloc(name)["annotations"]["segmentation"][0] for name in NAMES]
    assert [requests.get(one.mask_url, timeout=20).content for one in found] == [p.read_bytes() for p in paths]


def test_deleted_annotations_are_gone(nucleus: Any, street: Any) -> None:
    street.annotate([*everything(nucleus, "Annotation").values(), box(nucleus, "b.jpg")])
    job = street.delete_annotations(reference_ids=["a.jpg", "nobody.jpg"])
    job.sleep_until_complete()
    assert (job.job_type, job.errors()) == ("annotationDeletion", ["Item with id nobody.jpg doesn't exist."])
    assert not any(street.refloc("a.jpg")["annotations"].values())
    assert len(street.refloc("b.jpg")["annotations"]["box"]) == 1


def test_a_deletion_of_annotations_names_its_items(nucleus: Any, street: Any) -> None:
    street.annotate([box(nucleus)])
    with pytest.raises(nucleus.NucleusAPIError, match="could mean none or all"):
        street.delete_annotations()
    assert len(street.refloc("a.jpg")["annotations"]["box"]) == 1


# Keys


@pytest.fixture
def locked(store: Path) -> Iterator[str]:
    """The endpoint of a server that wants a key."""
    with Server(store, port=0, api_keys=["the key"]) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server.endpoint
        server.stop()
        thread.join(timeout=20)


@pytest.mark.parametrize("way", ["api_key", "limited_access_key"])
def test_either_kind_of_key_is_sent_with_every_request(nucleus: Any, locked: str, images: list[Path], way: str) -> None:
    client = nucleus.NucleusClient(**{way: "the key"}, endpoint=locked)
    dataset = client.create_dataset("Locked", is_scene=False)
    append(dataset, remote_items(nucleus))
    append(dataset, [nucleus.DatasetItem(str(path), reference_id=path.name) for path in images[:1]])
    assert dataset.size == 4


def test_a_wrong_key_is_refused(nucleus: Any, locked: str) -> None:
    with pytest.raises(nucleus.NucleusAPIError, match="a wrong API key") as caught:
        nucleus.NucleusClient(api_key="another", endpoint=locked).create_dataset("Locked", is_scene=False)
    assert caught.value.status_code == 401


# Models, runs and predictions


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


@pytest.fixture(params=["by model", "by run"])
def predictor(request: pytest.FixtureRequest, street: Any, model: Any) -> Any:
    """Both routes of predictions, with one face."""
    return ByModel(street, model) if request.param == "by model" else ByRun(street, model)


class ByModel:
    def __init__(self, dataset: Any, model: Any) -> None:
        self.dataset, self.model = dataset, model

    def predict(self, predictions: list[Any], **options: Any) -> Any:
        return self.dataset.upload_predictions(self.model, predictions, **options)

    def refloc(self, reference_id: str) -> Any:
        return self.dataset.predictions_refloc(self.model, reference_id)

    def iloc(self, position: int) -> Any:
        return self.dataset.predictions_iloc(self.model, position)

    def prediction_loc(self, reference_id: str, annotation_id: str) -> Any:
        return self.dataset.prediction_loc(self.model, reference_id, annotation_id)

    def export(self) -> Any:
        return self.dataset.export_predictions(self.model)


class ByRun:
    def __init__(self, dataset: Any, model: Any) -> None:
        self.run = dataset.create_model_run("Run", reference_id=model.reference_id)
        for name in ("predict", "refloc", "iloc", "prediction_loc"):
            setattr(self, name, getattr(self.run, name))
        self.export = self.run.ungrouped_export


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


def test_predictions_of_many_requests_go_to_one_run(nucleus: Any, street: Any, predictor: Any) -> None:
    boxes = [box(nucleus, annotation_id=str(n), confidence=0.5) for n in range(5)]
    result = predictor.predict([*boxes, box(nucleus, "nobody.jpg", confidence=0.5)], batch_size=2)
    assert (result["predictions_processed"], len(result["errors"])) == (5, 1)
    assert street.model_runs == [result["model_run_id"]]
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


def test_the_two_routes_meet_in_one_run(nucleus: Any, street: Any, model: Any) -> None:
    run = street.create_model_run("Run", reference_id=model.reference_id)
    result = street.upload_predictions(model, [box(nucleus, confidence=0.5)])
    assert result["model_run_id"] == run.model_run_id
    assert [one.confidence for one in run.refloc("a.jpg")["box"]] == [0.5]


def test_a_run_describes_itself(official: Any, street: Any, model: Any) -> None:
    run = street.create_model_run("Night", reference_id=model.reference_id, metadata={"k": 1})
    info = run.info()
    assert (info["model_id"], info["name"], info["metadata"]) == (model.id, "Night", {"k": 1})
    assert (street.model_runs, model.model_runs()) == ([run.model_run_id], [run.model_run_id])
    assert official.get_model(model_run_id=run.model_run_id).id == model.id


@pytest.mark.parametrize(
    "options", [None, {"class_agnostic": False}, {"allowed_label_matches": [("car", "van")]}], ids=str
)
def test_a_committed_run_takes_no_other_predictions(
    nucleus: Any, street: Any, model: Any, options: dict[str, Any] | None
) -> None:
    if options and "allowed_label_matches" in options:
        names = ("ground_truth_label", "model_prediction_label")
        options = {"allowed_label_matches": [dict(zip(names, p, strict=True)) for p in [("car", "van")]]}
    street.annotate([box(nucleus)])
    run = street.create_model_run("Run", reference_id=model.reference_id)
    run.predict([box(nucleus, confidence=0.5)])
    assert run.commit(options) == {"model_run_id": run.model_run_id}
    assert run.predict([box(nucleus, confidence=0.5)], update=True)["predictions_ignored"] == 1
    with pytest.raises(nucleus.NucleusAPIError, match="committed and cannot change") as caught:
        run.predict([box(nucleus, "b.jpg", confidence=0.5)])
    assert (caught.value.status_code, run.refloc("b.jpg")["box"]) == (409, [])


def test_predictions_after_a_commit_go_to_a_new_run(nucleus: Any, street: Any, model: Any) -> None:
    run = street.create_model_run("Run", reference_id=model.reference_id)
    run.predict([box(nucleus, confidence=0.5)])
    run.commit()
    result = street.upload_predictions(model, [box(nucleus, "b.jpg", confidence=0.25)])
    assert result["predictions_processed"] == 1
    assert street.model_runs == [run.model_run_id, result["model_run_id"]]
    assert [one.reference_id for one in street.export_predictions(model)["box"]] == ["b.jpg"]
    assert [one.reference_id for one in run.ungrouped_export()["box"]] == ["a.jpg"]


def test_predictions_name_dataset_and_run(nucleus: Any, street: Any, model: Any) -> None:
    run = street.create_model_run("Run", reference_id=model.reference_id)
    street.upload_predictions_for_model_run(run.model_run_id, [box(nucleus, confidence=0.5)])
    street.upload_predictions_for_model_run(
        run.model_run_id, [box(nucleus, "b.jpg", confidence=0.5)], asynchronous=True
    ).sleep_until_complete()
    assert [one.reference_id for one in run.ungrouped_export()["box"]] == ["a.jpg", "b.jpg"]


def test_a_run_that_spans_datasets(nucleus: Any, official: Any, street: Any, model: Any) -> None:
    other = official.create_dataset("Other", is_scene=False)
    append(other, remote_items(nucleus))
    run = model.create_run("Everywhere")
    for dataset in (street, other):
        dataset.upload_predictions_for_model_run(run.model_run_id, [box(nucleus, confidence=0.5)])
    item_id = other.refloc("b.jpg")["item"].dataset_item_id
    free = nucleus.BoxPrediction("van", 1, 2, 3, 4, dataset_item_id=item_id, annotation_id="2", confidence=0.25)
    assert run.add_predictions([free])["predictions_processed"] == 1
    assert len(run.ungrouped_export()["box"]) == 3
    assert [one.reference_id for one in other.export_predictions(model)["box"]] == ["a.jpg", "b.jpg"]


def test_runs_are_merged(nucleus: Any, official: Any, street: Any, model: Any) -> None:
    runs = [street.create_model_run(str(n), reference_id=model.reference_id) for n in range(2)]
    for n, run in enumerate(runs):
        run.predict([box(nucleus, annotation_id=str(n), confidence=0.5)])
    job = official.merge_model_runs([run.model_run_id for run in runs])
    assert len(model.model_runs()) == 3, job


# Ids that are hard to send

QUOTED = [
    "a/b.jpg",
    "/first",
    "last/",
    "a//b",
    "refloc/iloc/0",
    "what?.jpg",
    "a#b",
    "100%",
    "a%2Fb",
    "%zz",
    "a b c",
    " a ",
    "\U0001f697\U0001f3fd.jpg",
    "é",
    "a/../b",
    "../../etc/passwd",
    "a\\b",
    "quote\"s'",
    "a+b&c=d;e",
    "tab\tand\nnewline",
    "'; DROP TABLE item; --",
    "null",
    "0",
    "di_000000000000",
    "x" * 2000,
    "\U0001f697" * 500,
]
# what is not quoted names something else in an address: the client sends a query, a parent folder, a slash
UNQUOTED = [name for name in QUOTED if not {"?", "#"} & set(name) and ".." not in name and "%2F" not in name]


def ids(name: str) -> str:
    return ascii(name if len(name) < 40 else f"{name[0]} {len(name)} times")


@pytest.mark.parametrize("name", QUOTED, ids=ids)
def test_a_hostile_id_is_found_and_deleted(nucleus: Any, official: Any, name: str) -> None:
    dataset = official.create_dataset("Hostile", is_scene=False)
    new_items(dataset, "first.jpg", name)
    dataset.annotate([box(nucleus, name)])
    found = dataset.refloc(name)
    item_id = found["item"].dataset_item_id
    for other in (found, dataset.iloc(1), dataset.loc(item_id)):
        assert (other["item"].reference_id, other["item"].dataset_item_id) == (name, item_id)
        assert [one.reference_id for one in other["annotations"]["box"]] == [name]
    dataset.delete_item(name)
    assert [item.reference_id for item in dataset.items] == ["first.jpg"]


@pytest.mark.parametrize("name", UNQUOTED, ids=ids)
def test_predictions_on_a_hostile_id_are_found(nucleus: Any, official: Any, model: Any, name: str) -> None:
    dataset = official.create_dataset("Hostile", is_scene=False)
    new_items(dataset, "first.jpg", name)
    run = dataset.create_model_run("Run", reference_id=model.reference_id)
    run.predict([box(nucleus, name, annotation_id=name, confidence=0.5)])
    dataset.annotate([box(nucleus, name, annotation_id=name)])
    found = [
        *run.refloc(name)["box"],
        *dataset.predictions_refloc(model, name)["box"],
        run.prediction_loc(name, name),
        dataset.prediction_loc(model, name, name),
        dataset.ground_truth_loc(name, name),
    ]
    assert [(one.reference_id, one.annotation_id) for one in found] == [(name, name)] * 5


def test_what_no_address_can_name_is_found_by_position_and_item_id(nucleus: Any, official: Any, model: Any) -> None:
    names = sorted({"..", ".", *QUOTED} - set(UNQUOTED))
    dataset = official.create_dataset("Hostile", is_scene=False)
    new_items(dataset, *names)
    run = dataset.create_model_run("Run", reference_id=model.reference_id)
    run.predict([box(nucleus, name, confidence=0.5) for name in names])
    for position, name in enumerate(names):
        item_id = dataset.iloc(position)["item"].dataset_item_id
        found = [
            *run.iloc(position)["box"],
            *run.loc(item_id)["box"],
            *dataset.predictions_iloc(model, position)["box"],
            dataset.loc(item_id)["item"],
        ]
        assert [one.reference_id for one in found] == [name] * 4


def test_what_is_not_there_is_told_of(nucleus: Any, street: Any, model: Any) -> None:
    run = street.create_model_run("Run", reference_id=model.reference_id)
    lookups: list[Callable[[], Any]] = [
        lambda: street.refloc("nobody/..?.jpg"),
        lambda: street.iloc(3),
        lambda: street.loc("di_nobody"),
        lambda: run.refloc("nobody.jpg"),
        lambda: run.iloc(3),
        lambda: run.loc("di_nobody"),
        lambda: run.prediction_loc("a.jpg", "nothing"),
        lambda: street.predictions_refloc(model, "nobody.jpg"),
        lambda: street.predictions_iloc(model, 3),
        lambda: street.prediction_loc(model, "a.jpg", "nothing"),
        lambda: street.ground_truth_loc("a.jpg", "nothing"),
        lambda: street.delete_item("nobody.jpg"),
    ]
    for look_up in lookups:
        with pytest.raises(nucleus.NucleusAPIError) as caught:
            look_up()
        assert caught.value.status_code == 404


# Exports, jobs, deletion


@pytest.mark.parametrize("page_size", [1, 2, 3, 100_000])
def test_items_come_page_by_page(nucleus: Any, street: Any, page_size: int) -> None:
    assert told(street.items_generator(page_size=page_size)) == told(remote_items(nucleus))


@pytest.mark.parametrize("page_size", [None, 1, 2, 3])
def test_items_come_with_their_annotations(nucleus: Any, street: Any, page_size: int | None) -> None:
    sent = everything(nucleus, "Annotation")
    street.annotate([*sent.values(), box(nucleus, "c.jpg")])
    if page_size is None:
        rows = street.items_and_annotations()
    else:
        rows = list(street.items_and_annotation_generator(page_size=page_size))
    assert told(row["item"] for row in rows) == told(remote_items(nucleus))
    first, second, third = (dict(row["annotations"]) for row in rows)
    mask = first.pop("segmentation")
    assert_same({**first, "segmentation": [mask] if not isinstance(mask, list) else mask}, sent)
    assert not any(second.values())
    assert [one.annotation_id for one in third["box"]] == ["1"]


def test_jobs_are_found_again(nucleus: Any, official: Any, street: Any) -> None:
    job = street.annotate([box(nucleus)], asynchronous=True)
    found = official.get_job(job.job_id)
    assert (found.job_type, found.job_last_known_status) == ("uploadAnnotations", "Completed")
    assert found.job_creation_time == job.job_creation_time
    every = official.list_jobs(show_completed=True)
    assert [one.job_type for one in every] == ["uploadAnnotations", "uploadDatasetItems"]
    assert official.list_jobs() == []
    assert [one.job_id for one in street.jobs(show_completed=True, job_types=["uploadAnnotations"])] == [job.job_id]
    assert len(official.list_jobs(show_completed=True, limit=1)) == 1


def test_what_is_deleted_is_gone(nucleus: Any, official: Any, street: Any, model: Any) -> None:
    run = street.create_model_run("Run", reference_id=model.reference_id)
    kept = street.create_model_run("Kept", reference_id=model.reference_id)
    official.delete_model_run(run.model_run_id)
    assert street.model_runs == [kept.model_run_id]
    official.delete_model(model.id)
    assert (street.model_runs, official.models) == ([], [])
    street.delete_item("b.jpg")
    assert [item.reference_id for item in street.items] == ["a.jpg", "c.jpg"]
    official.delete_dataset(street.id)
    assert official.list_datasets() == []
    with pytest.raises(nucleus.NucleusAPIError):
        street.info()


# What the one client writes, the other reads


def test_ours_reads_its_items(street: Any, ours: npd.NucleusClient) -> None:
    frame = ours.get_dataset(street.id).items.to_frame()
    assert frame["reference_id"].tolist() == NAMES
    assert frame["image_url"].tolist() == [url(name) for name in NAMES]
    assert frame["metadata"].tolist() == METADATA
    assert frame[["width", "height"]].to_numpy().tolist() == [[640, 480]] * 3
    assert frame.index.tolist() == [item.dataset_item_id for item in street.items]


def assert_frame_holds(frame: pd.DataFrame, sent: dict[str, Any]) -> None:
    """Compare a frame of ours with objects of the official client, type by type."""
    rows = {row["type"]: row for row in frame.to_dict("records")}
    assert len(rows) == len(frame) == len(sent)
    for key, one in sent.items():
        expected = json.loads(json.dumps(payload(one)))
        row = rows["mask" if key == "segmentation" else key]
        assert row["reference_id"] == expected["reference_id"]
        assert row["metadata"] == (expected.get("metadata") or {})
        assert key == "category" or row["annotation_id"] == expected["annotation_id"]
        assert key == "segmentation" or row["label"] == expected["label"]
        if "confidence" in row and key != "segmentation":
            assert row["confidence"] == expected["confidence"]
        if key == "box":
            assert {name: row[name] for name in ("x", "y", "width", "height")} == expected["geometry"]
        elif key == "category":
            assert row["geometry"] == {"taxonomy_name": "weather"}
        elif key == "segmentation":
            assert row["geometry"] == {name: expected[name] for name in ("mask_url", "annotations")}
        else:
            assert row["geometry"] == expected["geometry"]


def test_ours_reads_its_annotations(nucleus: Any, street: Any, ours: npd.NucleusClient) -> None:
    sent = everything(nucleus, "Annotation", "b.jpg")
    street.annotate(list(sent.values()))
    assert_frame_holds(ours.get_dataset(street.id).annotations.refloc["b.jpg"], sent)


def test_ours_reads_its_predictions(nucleus: Any, street: Any, predictor: Any, ours: npd.NucleusClient) -> None:
    sent = everything(nucleus, "Prediction", "b.jpg", confidence=0.75)
    predictor.predict(list(sent.values()))
    run = ours.get_model_run(street.model_runs[0])
    assert_frame_holds(run.predictions.to_frame(), sent)


def test_ours_reads_what_it_committed(nucleus: Any, street: Any, model: Any, ours: npd.NucleusClient) -> None:
    street.annotate([box(nucleus), box(nucleus, "b.jpg")])
    street.upload_predictions(model, [box(nucleus, confidence=0.5, x=1.5), box(nucleus, "c.jpg", confidence=0.25)])
    official_run = import_module("nucleus").ModelRun(street.model_runs[0], street.id, street._client)
    official_run.commit()
    matches = ours.get_model_run(street.model_runs[0]).matches(0.5)
    assert sorted(zip(matches["reference_id"], matches["match_type"], strict=True)) == [
        ("a.jpg", "TP"),
        ("b.jpg", "FN"),
        ("c.jpg", "FP"),
    ]


@pytest.fixture
def mine(ours: npd.NucleusClient) -> npd.Dataset:
    """A dataset of ours: three remote images, boxes on two of them."""
    dataset = ours.create_dataset("Mine")
    items = pd.DataFrame({"reference_id": NAMES, "image_url": [url(name) for name in NAMES], "metadata": METADATA})
    items.nucleus.append(dataset)
    boxes().nucleus.annotate(dataset)
    return dataset


def boxes() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "reference_id": ["c.jpg", "a.jpg", "c.jpg"],
            "annotation_id": ["1", None, "3"],
            "label": ["car", "日本", "van"],
            "x": [0.1, -3.0, 1 / 3],
            "y": [1.0, 2.0, 3.0],
            "width": [10.0, 0.0, 30.0],
            "height": [1.0, 2.0, 1e9],
            "metadata": [{"k": [1, None]}, None, {"ü": {"deep": True}}],
        }
    )


def test_it_reads_our_items(nucleus: Any, official: Any, mine: npd.Dataset) -> None:
    found = official.get_dataset(mine.id).items
    assert told(found) == told(remote_items(nucleus))
    assert [item.dataset_item_id for item in found] == mine.items.to_frame().index.tolist()


def test_it_reads_our_local_images(official: Any, ours: npd.NucleusClient, images: list[Path]) -> None:
    dataset = ours.create_dataset("Local")
    frame = pd.DataFrame({"reference_id": [path.name for path in images], "image_url": list(map(str, images))})
    frame.nucleus.append(dataset)
    found = list(official.get_dataset(dataset.id).items)
    assert [item.reference_id for item in found] == [path.name for path in images]
    assert requests.get(found[7].image_location, timeout=20).content == images[7].read_bytes()


def described(objects: Iterable[Any]) -> list[tuple[Any, ...]]:
    return [(b.reference_id, b.label, b.x, b.y, b.width, b.height, b.metadata) for b in objects]


def rows_of(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    names = ["reference_id", "label", "x", "y", "width", "height", "metadata"]
    return list(frame[names].itertuples(index=False, name=None))


def test_it_reads_our_annotations(official: Any, mine: npd.Dataset) -> None:
    dataset = official.get_dataset(mine.id)
    found = [one for name in NAMES for one in dataset.refloc(name)["annotations"]["box"]]
    assert described(found) == rows_of(mine.annotations.to_frame())
    assert [one.annotation_id for one in found] == mine.annotations.to_frame()["annotation_id"].tolist()
    exported = [one for row in dataset.items_and_annotations() for one in row["annotations"]["box"]]
    assert described(exported) == described(found)


def test_it_reads_our_shapes(nucleus: Any, official: Any, street: Any, ours: npd.NucleusClient) -> None:
    sent = everything(nucleus, "Annotation")
    street.annotate(list(sent.values()))
    dataset = ours.create_dataset("Mine")
    theirs = ours.get_dataset(street.id)
    theirs.items.to_frame().nucleus.append(dataset)
    theirs.annotations.to_frame().nucleus.annotate(dataset)
    assert_same(official.get_dataset(dataset.id).refloc("a.jpg")["annotations"], sent)


def test_it_reads_our_predictions(official: Any, mine: npd.Dataset, ours: npd.NucleusClient) -> None:
    made = ours.add_model("Detector", reference_id="det-0.5")
    run = mine.create_model_run(made)
    boxes().assign(confidence=[0.1, 0.5, 1 / 3]).nucleus.predict(run)
    run.commit()
    dataset, model = official.get_dataset(mine.id), official.get_model(made.id)
    frame = run.predictions.to_frame()
    for found in (
        dataset.export_predictions(model)["box"],
        official.get_model_run(run.id, mine.id).ungrouped_export()["box"],
        [one for name in NAMES for one in dataset.predictions_refloc(model, name)["box"]],
    ):
        assert described(found) == rows_of(frame)
        assert [one.confidence for one in found] == frame["confidence"].tolist()
    info = official.get_model_run(run.id, mine.id).info()
    assert (info["model_id"], info["status"]) == (made.id, "committed")
