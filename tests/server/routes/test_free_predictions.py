"""Predictions that belong to a model and to no run, on items of any dataset."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.factories import CUBOID, SQUARE, TRIANGLE, box
from tests.http import Http
from tests.support.scored_scenes import StoredScene

KEYPOINTS = {"keypoints": [{"x": 1, "y": 2, "visible": True}], "names": ["nose"], "skeleton": None}


def prediction(reference_id: str | None = "a", **fields: Any) -> dict[str, Any]:
    return box(reference_id, **{"confidence": 0.5, **fields})


def new_dataset(http: Http, *names: str) -> str:
    made: str = http("POST", "dataset/create", {"name": "Streets"})["dataset_id"]
    items = [{"reference_id": name, "image_url": "https://example.org/a.jpg"} for name in names]
    http("POST", f"dataset/{made}/append", {"items": items})
    return made


def item_id(http: Http, dataset: str, name: str) -> str:
    found: str = http("GET", f"dataset/{dataset}/refloc/{name}")["item"]["id"]
    return found


@pytest.fixture
def model(http: Http) -> str:
    made: str = http("POST", "models/add", {"name": "M", "reference_id": "m"})["model_id"]
    return made


@pytest.fixture
def dataset(http: Http) -> str:
    return new_dataset(http, "a", "b")


def predict(http: Http, model: str, *rows: dict[str, Any], **fields: Any) -> Any:
    return http("POST", f"model/{model}/predictions", {"annotations": rows, "update": False, **fields})


def found(http: Http, model: str, by: str, key: object) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = http("GET", f"model/{model}/predictions/{by}/{key}")["predictions"]
    return rows


def test_they_are_counted_under_their_model(http: Http, dataset: str, model: str) -> None:
    outcome_keys = {"model_id": model, "predictions_processed": 2, "predictions_ignored": 0}
    assert predict(http, model, prediction(annotation_id="1"), prediction("b", annotation_id="1")) == outcome_keys
    outcome_keys = {"model_id": model, "predictions_processed": 0, "predictions_ignored": 1}
    assert predict(http, model, prediction(annotation_id="1", confidence=0.75)) == outcome_keys


@pytest.mark.parametrize("by", ["refloc", "iloc", "loc"])
def test_those_of_an_item_come_in_one_list(http: Http, dataset: str, model: str, by: str) -> None:
    shapes = {"box": SQUARE, "polygon": TRIANGLE, "cuboid": CUBOID}
    fields = {"metadata": {"k": [1, None]}, "class_pdf": {"car": 0.75, "van": 0.25}}
    sent = [prediction(type=kind, geometry=one, annotation_id=kind, **fields) for kind, one in shapes.items()]
    predict(http, model, *sent, prediction("b"))
    key = {"refloc": "a", "iloc": 0, "loc": item_id(http, dataset, "a")}[by]
    rows = found(http, model, by, key)
    assert [{name: row[name] for name in sent[0]} for row in rows] == sent
    assert all(row["dataset_item_id"] == item_id(http, dataset, "a") for row in rows)
    assert len({row["id"] for row in rows}) == 3


@pytest.mark.parametrize(("update", "confidence"), [(False, 0.5), (True, 0.25)])
def test_update_replaces_them(http: Http, dataset: str, model: str, update: bool, confidence: float) -> None:
    predict(http, model, prediction(annotation_id="1"))
    predict(http, model, prediction(annotation_id="1", confidence=0.25), update=update)
    assert [row["confidence"] for row in found(http, model, "refloc", "a")] == [confidence]


def test_without_ids_the_same_again_is_ignored(http: Http, dataset: str, model: str) -> None:
    predict(http, model, prediction(), prediction(), prediction(confidence=0.75))
    assert predict(http, model, prediction(), prediction(), prediction(confidence=0.75))["predictions_ignored"] == 3
    assert len(found(http, model, "refloc", "a")) == 3


def test_items_of_any_dataset_are_named_either_way(http: Http, dataset: str, model: str) -> None:
    other = new_dataset(http, "a", "c")
    rows = [
        prediction("b"),
        prediction("c"),
        prediction("a", dataset_id=other),
        prediction(None, item_id=item_id(http, dataset, "a"), label="van"),
        prediction("a"),
        prediction("nobody"),
        prediction(None, item_id="di_000000000000"),
        prediction("b", dataset_id=other),
    ]
    answer = predict(http, model, *rows)
    assert answer["predictions_processed"] == 4
    assert answer["errors"] == [
        "Several datasets have an item with id a: name it by `item_id`, or add `dataset_id`.",
        "Item with id nobody doesn't exist.",
        "Item with id di_000000000000 doesn't exist.",
        "Item with id b doesn't exist.",
    ]
    assert [row["label"] for row in found(http, model, "refloc", "a")] == ["van", "car"]
    assert len(found(http, model, "refloc", "c")) == 1


def test_a_position_needs_a_single_dataset(http: Http, dataset: str, model: str) -> None:
    assert found(http, model, "iloc", 0) == []
    predict(http, model, prediction("a"))
    assert len(found(http, model, "iloc", 0)) == 1
    assert found(http, model, "iloc", 1) == []
    http.refused("GET", f"model/{model}/predictions/iloc/2", {}, 404)
    new_dataset(http, "c")
    predict(http, model, prediction("c"))
    assert "2 datasets" in http.refused("GET", f"model/{model}/predictions/iloc/0", {}, 400)


@pytest.mark.parametrize("name", ["a/b c?#ü", "..", "ends/", "100%", "di_000000000000"])
def test_hostile_ids_are_found(http: Http, model: str, name: str) -> None:
    from urllib.parse import quote

    new_dataset(http, name)
    predict(http, model, prediction(name))
    segment = quote(name, safe="").replace("..", "%2E%2E")
    assert [row["reference_id"] for row in found(http, model, "refloc", segment)] == [name]


@pytest.mark.parametrize("key", ["refloc/nobody", "loc/di_000000000000", "loc/nobody"])
def test_an_item_that_is_not_there(http: Http, dataset: str, model: str, key: str) -> None:
    http.refused("GET", f"model/{model}/predictions/{key}", {}, 404)
    http.refused("GET", f"model/prj_0/predictions/{key}", {}, 404)


OTHERS = [
    {"type": "line", "geometry": TRIANGLE},
    {"type": "keypoints", "geometry": KEYPOINTS},
    {"type": "category", "geometry": {}},
    {"type": "multicategory", "labels": ["car"]},
    {"type": "mask", "mask_url": "https://example.org/m.png", "annotations": []},
]


@pytest.mark.parametrize("fields", OTHERS, ids=lambda fields: str(fields["type"]))
def test_other_types_are_refused_whole(http: Http, dataset: str, model: str, fields: dict[str, Any]) -> None:
    body = {"annotations": [prediction(), prediction(**fields)]}
    reason = http.refused("POST", f"model/{model}/predictions", body, 400)
    assert "the types box, polygon, cuboid" in reason
    assert "$.annotations[1]" in reason
    assert found(http, model, "refloc", "a") == []


def test_masks_and_signed_uploads_are_refused(http: Http, dataset: str, model: str) -> None:
    mask = {"reference_id": "a", "mask_url": "https://example.org/m.png", "annotations": [], "type": "mask"}
    route = f"model/{model}/predictions"
    assert "$.segmentations[0]" in http.refused("POST", route, {"segmentations": [mask]}, 400)
    assert "Signed uploads" in http.refused("POST", route, {"requestId": "1", "update": False}, 400)
    answer = http.client.post(f"http://127.0.0.1/v1/nucleus/{route}", data={"mask": (io.BytesIO(b"1"), "m.png")})
    assert (answer.status_code, "the types box" in answer.json["error"]) == (400, True)


def test_they_are_in_no_run(http: Http, dataset: str, model: str) -> None:
    predict(http, model, prediction())
    assert http("GET", f"model/{model}/modelRun") == []
    assert http("GET", f"dataset/{dataset}/model_runs") == []
    http.refused("GET", f"dataset/{dataset}/model/{model}/export", {}, 404)
    (run,) = http.table("run")
    http.refused("GET", f"modelRun/run_{run[1]}/info", {}, 404)
    http.refused("DELETE", f"modelRun/run_{run[1]}", {}, 404)
    answer = http("POST", f"dataset/{dataset}/model/{model}/uploadPredictions", {"annotations": [prediction("b")]})
    assert answer["model_run_id"] != f"run_{run[1]}"
    assert found(http, model, "refloc", "b") == []


def test_two_models_have_their_own(http: Http, dataset: str, model: str) -> None:
    other = http("POST", "models/add", {"name": "N", "reference_id": "n"})["model_id"]
    predict(http, model, prediction())
    assert found(http, other, "refloc", "a") == []


def test_they_go_with_their_items_their_dataset_and_their_model(http: Http, dataset: str, model: str) -> None:
    other = new_dataset(http, "c")
    predict(http, model, *map(prediction, "abc"))
    http("DELETE", f"dataset/{dataset}/refloc/a", {})
    http.refused("GET", f"model/{model}/predictions/refloc/a", {}, 404)
    assert len(http.table("prediction")) == 2
    http("DELETE", f"dataset/{other}", {})
    assert len(http.table("prediction")) == 1
    http("DELETE", f"model/{model}", {})
    assert [http.table(name) for name in ("prediction", "run", "free_run", "model")] == [[]] * 4


# Copies of runs


def test_a_copy_leaves_the_run_alone_and_skips_what_no_model_takes(http: Http, dataset: str, model: str) -> None:
    run = http("POST", f"dataset/{dataset}/modelRun/create", {"model_id": model})["model_run_id"]
    rows = [
        prediction(annotation_id="1"),
        prediction(annotation_id="2", label="van"),
        *(prediction(**one) for one in OTHERS[:3]),
    ]
    rows.append(prediction(type="polygon", geometry=TRIANGLE, annotation_id="3"))
    http("POST", f"modelRun/{run}/predict", {"annotations": rows})
    predict(http, model, prediction(annotation_id="2", label="bus"), prediction("b"))
    route = f"model/{model}/predictions/copyFromRun"
    assert http("POST", route, {"model_run_id": run}) == {
        "model_id": model,
        "model_run_ids": [run],
        "predictions_copied": 2,
        "predictions_skipped_unsupported": 3,
    }
    labels = [(row["annotation_id"], row["label"]) for row in found(http, model, "refloc", "a")]
    assert labels == [("2", "bus"), ("1", "car"), ("3", "car")]
    assert sum(map(len, http("GET", f"modelRun/{run}/ungrouped").values())) == len(rows)
    assert http("POST", route, {"model_run_id": run})["predictions_copied"] == 0
    predict(http, model, prediction(annotation_id="4"))
    assert len(found(http, model, "refloc", "a")) == 4


def test_a_run_of_another_model_is_not_copied(http: Http, dataset: str, model: str) -> None:
    other = http("POST", "models/add", {"name": "N", "reference_id": "n"})["model_id"]
    run = http("POST", f"dataset/{dataset}/modelRun/create", {"model_id": other})["model_run_id"]
    http.refused("POST", f"model/{model}/predictions/copyFromRun", {"model_run_id": run}, 400)
    http.refused("POST", f"model/{model}/predictions/copyFromRun", {"model_run_id": "run_0"}, 404)
    http.refused("POST", f"model/{model}/predictions/copyFromRun", {}, 400)
    assert http.table("free_run") == []


# Evaluations, and the slice that a model was trained on


def test_a_model_is_evaluated_by_them_where_it_has_some(stored_scene: StoredScene) -> None:
    http, model = stored_scene.http, stored_scene.model
    benchmark = stored_scene.benchmark()
    by_run = stored_scene.evaluate_on(benchmark)
    rows = [{**one, "dataset_id": stored_scene.dataset} for one in stored_scene.scene.predictions[::2]]
    assert predict(http, model, *rows)["predictions_processed"] == len(rows)
    by_model = http("POST", f"benchmarks/{benchmark}/evaluationsV2", {"model_id": model})["evaluation_id"]
    entry = http("GET", f"evaluationsV2/{by_model}")
    assert (entry["status"], entry["model_run_ids"], entry["model_run_id"]) == ("succeeded", [], None)
    scored = {name: http("POST", f"evaluationsV2/{name}/charts", {"iouThreshold": 0.5}) for name in (by_run, by_model)}
    totals = {name: scored[name]["totalCounts"]["tp"] + scored[name]["totalCounts"]["fp"] for name in scored}
    named = {one["reference_id"] for one in stored_scene.scene.ground_truths}
    assert totals[by_model] == sum(one["reference_id"] in named for one in rows)
    assert totals[by_run] > totals[by_model]
    assert entry["stale"] is False
    predict(http, model, {**stored_scene.scene.predictions[1], "dataset_id": stored_scene.dataset})
    assert http("GET", f"evaluationsV2/{by_model}")["stale"] is True


@pytest.mark.parametrize("way", ["free", "run", "model", "signed"])
def test_predictions_may_name_the_slice_that_their_model_was_trained_on(
    http: Http, dataset: str, model: str, way: str
) -> None:
    if way == "run":
        run = http("POST", f"dataset/{dataset}/modelRun/create", {"model_id": model})["model_run_id"]
    route = {
        "free": f"model/{model}/predictions",
        "run": f"modelRun/{run if way == 'run' else ''}/predict",
        "model": f"dataset/{dataset}/model/{model}/uploadPredictions",
        "signed": f"dataset/{dataset}/model/{model}/uploadPredictions?async=1",
    }[way]
    for number, slice_id in enumerate([None, "slc_1", "slc_1", "slc_2"]):
        body: dict[str, Any] = {"annotations": [prediction()], "update": False}
        if way == "signed":
            http.client.put(http("GET", f"dataset/{dataset}/signedUrl/{number}")["signed_url"], json=prediction())
            body = {"requestId": str(number), "update": False}
        http("POST", route, {**body, "trained_slice_id": slice_id})
    assert http("GET", f"model/{model}")["trained_slice_ids"] == ["slc_1", "slc_2"]
