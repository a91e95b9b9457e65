"""An older official client, unmodified, on a served embedded Nucleus: its appends are answered with counters."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

import nucleus_pandas as npd
from tests.official.test_methods import CLASSES, SCENES, TABLE, At, Passes, Refused, definitions, reached

SERIES = "0.17"

pytestmark = [
    pytest.mark.official,
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp, asyncio and pydantic
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]

NAMES = ["a.jpg", "b/../c d?.jpg", "ü 日本"]


@pytest.fixture
def nucleus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The official client's package; it looks at a job every 50 ms instead of every 5 s, which is a setting of its."""
    assert version("scale-nucleus").startswith(f"{SERIES}."), f"needs an environment with scale-nucleus {SERIES}"
    monkeypatch.setattr(import_module("nucleus.async_job"), "JOB_POLLING_INTERVAL", 0.05)
    return import_module("nucleus")


@pytest.fixture
def official_dataset(nucleus: Any, official: Any) -> Any:
    """A dataset of three remote images."""
    dataset = official.create_dataset("Street scenes", is_scene=False)
    dataset.append(remote_items(nucleus))
    return dataset


def remote_items(nucleus: Any) -> list[Any]:
    return [
        nucleus.DatasetItem(f"https://example.org/{n}.jpg", reference_id=name, metadata={"n": n})
        for n, name in enumerate(NAMES)
    ]


def box(nucleus: Any, name: str = "a.jpg", annotation_id: str = "1", **fields: Any) -> Any:
    cls = nucleus.BoxPrediction if "confidence" in fields else nucleus.BoxAnnotation
    options = {"label": "car", "x": 1, "y": 2.5, "width": 3, "height": 4, "metadata": {"k": [1, None]}, **fields}
    return cls(reference_id=name, annotation_id=annotation_id, **options)


def described(objects: list[Any]) -> list[Any]:
    return [{key: value for key, value in one.to_payload().items() if key != "item_id"} for one in objects]


def test_a_remote_append_is_counted(nucleus: Any, official: Any) -> None:
    dataset = official.create_dataset("D", is_scene=False)
    first = dataset.append(remote_items(nucleus), batch_size=2)
    assert (first.dataset_id, first.new_items, first.upload_errors) == (dataset.id, 3, 0)
    assert dataset.append(remote_items(nucleus)).ignored_items == 3
    changed = [nucleus.DatasetItem("https://example.org/0.jpg", reference_id="a.jpg", metadata={"new": 1})]
    assert dataset.append(changed, update=True).updated_items == 1
    assert dataset.refloc("a.jpg")["item"].metadata == {"new": 1}


def test_a_remote_append_may_be_a_job(nucleus: Any, official: Any) -> None:
    dataset = official.create_dataset("D", is_scene=False)
    job = dataset.append(remote_items(nucleus), asynchronous=True)
    job.sleep_until_complete()
    assert (job.status()["status"], job.errors()) == ("Completed", [])
    assert [(item.reference_id, item.metadata) for item in dataset.items] == [
        (name, {"n": n}) for n, name in enumerate(NAMES)
    ]


def test_local_images_travel_in_several_requests(nucleus: Any, official: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"image {n}.png" for n in range(13)]
    for n, path in enumerate(paths):
        Image.new("RGB", (10 + n, 20), "red").save(path)
    dataset = official.create_dataset("Local", is_scene=False)
    items = [nucleus.DatasetItem(str(path), reference_id=path.name, metadata={"n": path.name}) for path in paths]
    assert dataset.append(items).new_items == 13
    for path in paths:
        item = dataset.refloc(path.name)["item"]
        assert item.metadata == {"n": path.name}
        assert requests.get(item.image_location, timeout=20).content == path.read_bytes()


def test_info_and_lists(official: Any, official_dataset: Any) -> None:
    info = official_dataset.info()
    assert (info.dataset_id, info.name, info.length) == (official_dataset.id, "Street scenes", 3)
    assert [(one.id, one.name, one.size) for one in official.datasets] == [(official_dataset.id, "Street scenes", 3)]


def test_annotations_come_back_equal(nucleus: Any, official_dataset: Any) -> None:
    vertices = [nucleus.Point(0.5, 1), nucleus.Point(9, 1), nucleus.Point(9, 8.25)]
    sent = {
        "box": box(nucleus, NAMES[1]),
        "line": nucleus.LineAnnotation("lane", vertices, NAMES[1], "line"),
        "polygon": nucleus.PolygonAnnotation("lake", vertices, NAMES[1], "polygon"),
        "category": nucleus.CategoryAnnotation("rainy", NAMES[1], "weather"),
    }
    result = official_dataset.annotate([*sent.values(), box(nucleus, "nobody.jpg")])
    assert (result["annotations_processed"], len(result["errors"])) == (4, 1)
    for found in (official_dataset.refloc(NAMES[1]), official_dataset.iloc(1)):
        assert found["item"].reference_id == NAMES[1]
        assert {key: described(some) for key, some in found["annotations"].items() if some} == {
            key: described([one]) for key, one in sent.items()
        }


def test_annotations_may_be_a_job(nucleus: Any, official_dataset: Any) -> None:
    job = official_dataset.annotate([box(nucleus), box(nucleus, "nobody.jpg")], asynchronous=True)
    job.sleep_until_complete()
    assert job.errors() == ["Item with id nobody.jpg doesn't exist."]
    (row, *_) = official_dataset.items_and_annotation_generator()
    assert described(row["annotations"]["box"]) == described([box(nucleus)])


def test_predictions_by_run(nucleus: Any, official_dataset: Any, model: Any) -> None:
    run = official_dataset.create_model_run("Run", reference_id=model.reference_id)
    sent = [box(nucleus, confidence=0.5), box(nucleus, "ü 日本", confidence=0.25)]
    assert run.predict(sent)["predictions_processed"] == 2
    assert run.commit() == {"model_run_id": run.model_run_id}
    assert run.info()["model_id"] == model.id
    assert run.predict(sent)["predictions_ignored"] == 2
    with pytest.raises(nucleus.NucleusAPIError, match="409"):
        run.predict([box(nucleus, annotation_id="2", confidence=0.5)])
    assert described(run.ungrouped_export()["box"]) == described(sent)
    found = [*run.iloc(0)["box"], *run.refloc("ü 日本")["box"]]
    assert described(found) == described(sent)


def test_predictions_by_model(nucleus: Any, official_dataset: Any, model: Any) -> None:
    sent = [box(nucleus, confidence=0.5), box(nucleus, "ü 日本", confidence=0.25)]
    assert official_dataset.upload_predictions(model, sent[:1])["predictions_processed"] == 1
    official_dataset.upload_predictions(model, sent[1:], asynchronous=True).sleep_until_complete()
    assert len(official_dataset.model_runs) == 1
    assert described(official_dataset.export_predictions(model)["box"]) == described(sent)
    found = [
        *official_dataset.predictions_iloc(model, 0)["box"],
        *official_dataset.predictions_refloc(model, "ü 日本")["box"],
    ]
    assert described(found) == described(sent)
    assert described([official_dataset.prediction_loc(model, "a.jpg", "1")]) == described(sent[:1])


def test_what_is_deleted_is_gone(nucleus: Any, official: Any, official_dataset: Any, model: Any) -> None:
    official_dataset.annotate([box(nucleus)])
    official_dataset.delete_annotations(reference_ids=["a.jpg"]).sleep_until_complete()
    assert not any(official_dataset.refloc("a.jpg")["annotations"].values())
    run = official_dataset.create_model_run("Run", reference_id=model.reference_id)
    official.delete_model_run(run.model_run_id)
    assert official_dataset.model_runs == []
    official.delete_model(model.id)
    assert official.models == []
    official_dataset.delete_item(NAMES[1])
    assert [item.reference_id for item in official_dataset.items] == ["a.jpg", "ü 日本"]
    official.delete_dataset(official_dataset.id)
    assert official.list_datasets() == []


def test_ours_reads_what_it_wrote(nucleus: Any, official_dataset: Any, model: Any, served: str) -> None:
    official_dataset.annotate([box(nucleus)])
    official_dataset.upload_predictions(model, [box(nucleus, NAMES[1], confidence=0.5)])
    with npd.NucleusClient(endpoint=served, max_retries=0) as ours:
        dataset = ours.get_dataset(official_dataset.id)
        items = dataset.items.to_frame()
        assert items["reference_id"].tolist() == NAMES
        assert items["metadata"].tolist() == [{"n": n} for n in range(3)]
        assert [official_dataset.loc(item_id)["item"].reference_id for item_id in items.index] == NAMES
        row = dataset.annotations.to_frame().iloc[0]
        expected = ["a.jpg", "1", "car", 1, 2.5, 3, 4, {"k": [1, None]}]
        names = ["reference_id", "annotation_id", "label", "x", "y", "width", "height", "metadata"]
        assert row[names].tolist() == expected
        predictions = ours.get_model_run(official_dataset.model_runs[0]).predictions.refloc[NAMES[1]]
        assert predictions["confidence"].tolist() == [0.5]


# The rest of what it can


def everything(nucleus: Any, kind: str, **fields: Any) -> dict[str, Any]:
    """One annotation (or, with a confidence, prediction) of every type on one item, under the key of reading."""

    def one(type_name: str, *values: Any, **more: Any) -> Any:
        return getattr(nucleus, f"{type_name}{kind}")(*values, reference_id="a.jpg", **more, **fields)

    vertices = [nucleus.Point(0.5, 1), nucleus.Point(9, 1), nucleus.Point(9, 8.25)]
    keypoints = [nucleus.Keypoint(1, 2.5), nucleus.Keypoint(visible=False)]
    corner, size = nucleus.Point3D(1, 2, 3), nucleus.Point3D(4.5, 5, 6)
    mask = getattr(nucleus, f"Segmentation{kind}")
    return {
        "box": one("Box", "car", 1, 2.5, 30, 40.25, annotation_id="box"),
        "line": one("Line", "lane", vertices, annotation_id="line"),
        "polygon": one("Polygon", "lake", vertices, annotation_id="polygon"),
        "keypoints": one("Keypoints", "person", keypoints, ["a", "b"], skeleton=[[0, 1]], annotation_id="pose"),
        "cuboid": one("Cuboid", "truck", corner, size, 0.5, annotation_id="cuboid"),
        "category": one("Category", "rainy", taxonomy_name="weather", metadata={"k": 1}),
        "segmentation": mask(
            "https://example.org/m.png", [nucleus.Segment("sky", 1)], reference_id="a.jpg", annotation_id="mask"
        ),
    }


def test_every_type_of_annotation_comes_back_equal(nucleus: Any, official_dataset: Any) -> None:
    sent = everything(nucleus, "Annotation")
    official_dataset.add_taxonomy("weather", "category", ["rainy"])
    assert official_dataset.annotate(list(sent.values()))["annotations_processed"] == 7
    found = official_dataset.refloc("a.jpg")["annotations"]
    assert {key: described(some) for key, some in found.items() if some} == {
        key: described([one]) for key, one in sent.items()
    }
    assert described([official_dataset.ground_truth_loc("a.jpg", "pose")]) == described([sent["keypoints"]])
    (row, *_) = official_dataset.items_and_annotations()
    assert {key for key, some in row["annotations"].items() if some} == set(sent)
    assert official_dataset.export_class_labels() == ["car", "lake", "lane", "person", "rainy", "truck"]
    official_dataset.delete_taxonomy("weather")
    assert official_dataset.refloc("a.jpg")["annotations"]["category"] == []


def test_every_type_of_prediction_comes_back_equal(
    nucleus: Any, official: Any, official_dataset: Any, model: Any
) -> None:
    run = model.create_run("Run", official_dataset, [])
    sent = predictions(nucleus)
    assert run.predict(list(sent.values()))["predictions_processed"] == len(sent)
    item_id = official.dataitem_iloc(official_dataset.id, 0)["item"]["id"]
    for found in (run.refloc("a.jpg"), run.loc(item_id), run.iloc(0), run.ungrouped_export()):
        assert {key: described(some) for key, some in found.items() if some} == {
            key: described([one]) for key, one in sent.items()
        }
    assert described([run.prediction_loc("a.jpg", "box")]) == described([sent["box"]])


def predictions(nucleus: Any) -> dict[str, Any]:
    sent = everything(nucleus, "Prediction")
    for one in sent.values():
        if hasattr(one, "confidence"):
            one.confidence = 0.5
    return sent


def test_local_masks_are_uploaded(nucleus: Any, official_dataset: Any, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.new("L", (8, 6), 1).save(path)
    mask = nucleus.SegmentationAnnotation(str(path), [nucleus.Segment("sky", 1)], "a.jpg")
    assert official_dataset.annotate([mask])["annotations_processed"] == 1
    (found,) = official_dataset.refloc("a.jpg")["annotations"]["segmentation"]
    assert requests.get(found.mask_url, timeout=20).content == path.read_bytes()


def test_pages_jobs_and_lookups(nucleus: Any, official: Any, official_dataset: Any) -> None:
    assert [item.reference_id for item in official_dataset.items_generator(page_size=2)] == NAMES
    assert len(list(official_dataset.items_and_annotation_generator())) == 3
    item_id = official.dataitem_iloc(official_dataset.id, 1)["item"]["id"]
    assert official_dataset.loc(item_id)["item"].reference_id == NAMES[1]
    job = official_dataset.annotate([box(nucleus)], asynchronous=True)
    assert official.get_job(job.job_id).job_type == "uploadAnnotations"
    assert len(official.list_jobs(show_completed=True)) == len(official_dataset.jobs(show_completed=True)) == 1
    assert official.jobs == []


def test_metadata_is_merged(official_dataset: Any) -> None:
    assert official_dataset.update_item_metadata({"a.jpg": {"new": [1]}})["updated_items"] == 1
    assert official_dataset.refloc("a.jpg")["item"].metadata == {"n": 0, "new": [1]}
    assert official_dataset.update_scene_metadata({"a": {"x": 1}}) is None  # it prints every error


def test_lists_of_a_model(official: Any, model: Any) -> None:
    model.add_tags(["night", "day"])
    model.remove_tags(["day"])
    model.add_trained_slice_ids(["slc_1", "slc_2"])
    model.remove_trained_slice_ids(["slc_2"])
    found = official.get_model(model.id)
    assert (found.tags, found.trained_slice_ids) == (["night"], ["slc_1"])


def test_matches_of_a_run_are_queried(nucleus: Any, official_dataset: Any, model: Any) -> None:
    official_dataset.annotate([box(nucleus)])
    official_dataset.upload_predictions(model, [box(nucleus, confidence=0.5)])
    official_dataset.calculate_evaluation_metrics(model)
    kinds = import_module("nucleus.dataset").ObjectQueryType
    (found,) = official_dataset.query_objects("", kinds.IOU, official_dataset.model_runs[0])
    assert (found.iou, found.model_prediction_id, found.ground_truth_annotation_id) == (1, "1", "1")


@pytest.mark.filterwarnings("ignore:The default create_dataset:DeprecationWarning")  # by the client itself
def test_a_folder_becomes_a_dataset(official: Any, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (8, 6), "red").save(folder / "a.png")
    made = official.create_dataset_from_dir(str(folder))
    assert (made.name, made.is_scene, made.use_privacy_mode, made.size) == ("images", False, False, 1)
    other = official.create_dataset("Other", is_scene=False)
    other.add_items_from_dir(str(folder))
    assert official.get_dataset(other.id).size == 1


def test_the_older_names_of_the_client(nucleus: Any, official: Any) -> None:
    made = official.create_dataset("D", is_scene=False)
    assert official.populate_dataset(made.id, remote_items(nucleus)).new_items == 3
    model = official.add_model("Detector", "det-0.5")
    assert [one.id for one in official.list_models()] == [model.id]
    assert official.dataset_info(made.id).length == 3
    assert [item.reference_id for item in official.get_dataset_items(made.id)] == NAMES
    made.annotate([box(nucleus)])
    item_id = official.dataitem_iloc(made.id, 0)["item"]["id"]
    for found in (official.dataitem_ref_id(made.id, "a.jpg"), official.dataitem_loc(made.id, item_id)):
        assert (found["item"]["id"], len(found["annotations"]["box"])) == (item_id, 1)
    run = official.create_model_run(made.id, {"reference_id": "det-0.5", "name": "Run"})
    run.predict([box(nucleus, confidence=0.5)])
    assert official.get_model_run(run.model_run_id, made.id).info()["name"] == "Run"
    assert official.model_run_info(run.model_run_id)["name"] == "Run"
    for found in (
        official.predictions_ref_id(run.model_run_id, "a.jpg"),
        official.predictions_iloc(run.model_run_id, 0)["annotations"],
        official.predictions_loc(run.model_run_id, item_id)["annotations"],
    ):
        assert len(found["box"]) == 1
    assert official.commit_model_run(run.model_run_id, {}) == {"model_run_id": run.model_run_id}
    official.delete_annotations(made.id, ["a.jpg"]).sleep_until_complete(verbose_std_out=False)
    official.delete_dataset_item(made.id, "a.jpg")
    assert made.size == 2


# Slices and queries


def test_slices(nucleus: Any, official: Any, official_dataset: Any, model: Any) -> None:
    official_dataset.annotate([box(nucleus)])
    official_dataset.upload_predictions(model, [box(nucleus, confidence=0.5)])
    made = official_dataset.create_slice("mine", [NAMES[2], NAMES[0]])
    assert [item.reference_id for item in made.items] == [NAMES[2], NAMES[0]]
    assert [item.reference_id for item in made.items_generator(page_size=1)] == [NAMES[2], NAMES[0]]
    assert [item.reference_id for item in made.dataset_items()] == [NAMES[2], NAMES[0]]
    assert [one["ref_id"] for one in made.export_raw_items()["raw_dataset_items"]] == [NAMES[2], NAMES[0]]
    assert len(made.export_raw_json()) == 2
    info = made.info()
    assert (info["name"], made.slice_id, made.name, made.dataset_id) == ("mine", made.id, "mine", official_dataset.id)
    assert (made.type, made.description, made.pending_job_count) == ("dataset_item", None, 0)
    assert made.created_at is not None
    made.append(reference_ids=[NAMES[1]])
    made.add_tags(["wet"])
    assert (made.tags, made.export_class_labels()) == (["wet"], ["car"])
    for rows in (made.items_and_annotations(), list(made.items_and_annotation_generator())):
        assert [len(row["annotations"]["box"]) for row in rows] == [0, 1, 0]
    for rows in (made.export_predictions(model), list(made.export_predictions_generator(model))):
        assert [len(row["predictions"]["box"]) for row in rows] == [0, 1, 0]
    assert [one.id for one in official.slices] == [one.id for one in official_dataset.slices] == [made.id]
    assert [one.id for one in official_dataset.get_slices(name="mine")] == [made.id]
    assert official.get_slice(made.id).info()["name"] == "mine"
    assert len(official.slice_info(made.id)["dataset_item_ids"]) == 3


def test_slices_of_ids_and_samples(nucleus: Any, official: Any, official_dataset: Any) -> None:
    item_id = official.dataitem_iloc(official_dataset.id, 1)["item"]["id"]
    by_id = official_dataset.create_slice_by_ids("by id", dataset_item_ids=[item_id])
    assert [item.reference_id for item in by_id.items] == [NAMES[1]]
    older = official.create_slice(official_dataset.id, {"name": "old", "reference_ids": [NAMES[0]]})
    official.append_to_slice(older.id, [NAMES[1]], official_dataset.id)
    assert len(older.items) == 2
    official_dataset.build_slice("sample", 2, nucleus.slice.SliceBuilderMethods.RANDOM)
    (sample,) = official_dataset.get_slices(name="sample")
    assert len(sample.items) == 2
    for one in official_dataset.slices:
        official.delete_slice(one.id)
    assert official_dataset.slices == []


def test_items_are_queried(official_dataset: Any) -> None:
    assert [item.reference_id for item in official_dataset.query_items("metadata.n > 0")] == NAMES[1:]


# Every method, as the table of the newest release has it

ALONE = {"NucleusClient.populate_dataset": "above", "Dataset.append_scenes": SCENES}
"""Methods that later releases no longer have."""


def older_methods() -> list[str]:
    nucleus = import_module("nucleus")
    return [f"{name}.{one}" for name in CLASSES for one in vars(getattr(nucleus, name)) if not one.startswith("_")]


def test_every_public_method_has_its_line() -> None:
    assert set(older_methods()) <= set(TABLE) | set(ALONE)


def test_what_passes_is_called_here() -> None:
    module = Path(__file__).stem
    tests = [name for name in definitions(module) if name.startswith("test_")]
    called = set().union(*(reached(module, test) for test in tests))
    passing = [name for name in older_methods() if isinstance(TABLE.get(name), Passes)]
    assert {name for name in passing if name.partition(".")[2] not in called} == {
        "Model.from_json",
        "Slice.from_request",
    }  # called by these


def refused_methods() -> list[str]:
    return [name for name, verdict in TABLE.items() if isinstance(verdict, Refused)]


@pytest.mark.parametrize("name", refused_methods())
def test_what_is_refused_is_told_in_a_sentence(
    nucleus: Any, official: Any, official_dataset: Any, model: Any, tmp_path: Path, name: str
) -> None:
    verdict = TABLE[name]
    assert isinstance(verdict, Refused)
    if name not in older_methods():
        kind, method = name.split(".")
        assert not hasattr(getattr(nucleus, kind), method)
        return
    with pytest.raises(nucleus.NucleusAPIError, match=verdict.words) as caught:
        verdict.call(At(nucleus, official, official_dataset, model, tmp_path))
    assert caught.value.status_code == 501


def test_scenes_are_refused_in_a_sentence(nucleus: Any, official: Any) -> None:
    made = official.create_dataset("Scenes", is_scene=True)
    points = nucleus.DatasetItem(pointcloud_location="https://e.org/1.json", reference_id="1")
    frame = nucleus.Frame(lidar=points)
    with pytest.raises(nucleus.NucleusAPIError, match=SCENES) as caught:
        made.append_scenes([nucleus.LidarScene("scene", [frame])])
    assert caught.value.status_code == 501
