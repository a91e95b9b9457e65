"""The code that the original client documented, verbatim, with real ids and files filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

import nucleus_pandas as nucleus


def test_the_documented_code_runs(client: nucleus.NucleusClient, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(image.parent)
    Path("data_folder").mkdir()
    image.rename("data_folder/my_img_001.png")

    response = client.create_dataset({"name": "My Dataset"})
    dataset = client.get_dataset(response["dataset_id"])
    datasets = client.list_datasets()
    assert datasets == [response["dataset_id"]]

    datasetItem1 = {
        "image_url": "http://<my_image_url>",
        "reference_id": "my_image_name.jpg",
        "metadata": {"label": "0"},
    }
    response = dataset.append({"items": [datasetItem1]})
    assert (response.new_items, response["new_items"], response.upload_errors) == (1, 1, 0)

    datasetItem2 = {
        "image_url": "./data_folder/my_img_001.png",
        "reference_id": "my_img_001.png",
        "metadata": {"label": "1"},
    }
    response = dataset.append({"items": [datasetItem2]}, local=True)
    assert response.new_items == 1

    info = dataset.info
    assert (info["name"], info["length"]) == ("My Dataset", 2)
    assert (info["model_run_ids"], info["slice_ids"]) == ([], [])

    item = dataset.refloc("my_img_001.png")
    assert item["item"]["metadata"] == {"label": "1"}
    assert item["item"]["image_url"].endswith(".png")
    assert item["annotations"] == []
    assert dataset.iloc(0)["item"]["reference_id"] == "my_image_name.jpg"
    dataset_item_id = item["item"]["dataset_item_id"]
    assert dataset.loc(dataset_item_id) == item

    Box2DAnnotation = {
        "reference_id": "my_img_001.png",
        "label": "car",
        "type": "box",
        "geometry": {"x": 10, "y": 20, "width": 30, "height": 20},
        "metadata": {"occluded": True},
    }
    Box2DAnnotation2 = {
        "item_id": dataset_item_id,
        "label": "bus",
        "type": "box",
        "geometry": {"x": 0, "y": 0, "width": 5, "height": 5},
    }
    response = dataset.annotate({"annotations": [Box2DAnnotation, Box2DAnnotation2]})
    assert response["annotations_processed"] == 2
    annotations = dataset.refloc("my_img_001.png")["annotations"]
    assert [(a["type"], a["label"]) for a in annotations] == [("box", "car"), ("box", "bus")]
    assert annotations[0]["geometry"] == Box2DAnnotation["geometry"]
    assert annotations[0]["metadata"] == {"occluded": True}

    response = client.add_model({"name": "My Model", "reference_id": "model-0.5", "metadata": {"iou_thr": 0.5}})
    model_id = response["model_id"]
    model_run = dataset.create_model_run({"reference_id": "model-0.5"})
    assert model_run["model_run_id"] == model_run.id
    assert model_run.info == {"model_id": model_id, "name": "My Model", "status": "open", "metadata": {}}

    Box2DPrediction = {**Box2DAnnotation, "confidence": 0.9}
    response = model_run.predict({"annotations": [Box2DPrediction]})
    assert (response["model_id"], response["name"], response["status"]) == (model_id, "My Model", "open")
    assert (response["metadata"], response["predictions_processed"]) == ({}, 1)

    predictions = model_run.refloc("my_img_001.png")
    assert [p["confidence"] for p in predictions["annotations"]] == [0.9]
    assert model_run.iloc(1) == model_run.loc(dataset_item_id) == predictions
    assert model_run.iloc(0) == {"annotations": []}

    model_run.commit()
    assert model_run.info["status"] == "committed"
    with pytest.raises(nucleus.FrozenRunError, match="is committed and cannot change"):
        model_run.predict({"annotations": [{**Box2DPrediction, "confidence": 0.8}]})
    assert model_run.matches()["match_type"].tolist() == ["TP", "FN"]

    assert client.delete_model_run(model_run.id)["model_run_id"] == model_run.id
    assert "message" in client.delete_dataset(dataset.id)
    assert client.list_datasets() == []
    with pytest.raises(nucleus.NotFoundError, match=dataset.id):
        client.delete_dataset(dataset.id)
