"""Queries on keys and labels that no row has."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd

BOX = {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[npd.Dataset, npd.ModelRun]]:
    with npd.NucleusClient.local() as client:
        dataset, other = client.create_dataset("Doubts"), client.create_dataset("Other")
        items = pd.DataFrame({"reference_id": ["a", "b"], "image_url": "https://example.org/a.jpg"})
        items["metadata"] = [{"weather": "rain", "camera": {"height": 1}}, {}]
        dataset.append(items)
        dataset.add_taxonomy("scene", ["street"])
        dataset.annotate(pd.DataFrame({"reference_id": ["a"], "label": "car", "metadata": [{"occluded": True}], **BOX}))
        dataset.annotate(
            pd.DataFrame({"reference_id": ["a"], "type": "category", "label": "street", "taxonomy_name": "scene"})
        )
        run, second = (
            dataset.create_model_run(client.add_model(name, reference_id=name)) for name in ("first", "second")
        )
        run.predict(pd.DataFrame({"reference_id": ["a"], "label": "truck", "confidence": 0.5, **BOX}))
        second.predict(pd.DataFrame({"reference_id": ["a"], "label": "bus", "confidence": 0.5, **BOX}))
        other.append(items.assign(metadata=[{"wether": 1}, {}]))
        other.annotate(pd.DataFrame({"reference_id": ["a"], "label": "kar", **BOX}))
        yield dataset, run


@pytest.mark.parametrize(
    ("query", "kind", "said"),
    [
        ('metadata.wether = "rain"', "items", "No item has the metadata key 'wether'. Is 'weather' meant"),
        ("metadata.Weather = rain", "items", "No item has the metadata key 'Weather'. Is 'weather' meant"),
        ("metadata.camera.heigth > 0", "items", "No item has the metadata key 'camera.heigth'. Is 'height' meant"),
        ("width > 0 or metadata.zoom > 1", "items", "key 'zoom'; there are 'camera', 'weather'."),
        ("annotations.kar >= 1", "items", "No annotation has the label 'kar'. Is 'car' meant"),
        ("annotations.box.kar >= 1", "items", "No annotation has the label 'kar'. Is 'car' meant"),
        ("annotations.car.ocluded", "items", "No annotation has the metadata key 'ocluded'. Is 'occluded' meant"),
        ("annotations[label = kar]", "items", "No annotation has the label 'kar'. Is 'car' meant"),
        ("annotations.metadata.occludet", "items", "No annotation has the metadata key 'occludet'. Is 'occluded'"),
        ("annotations.scen = street", "items", "No annotation has the category of a taxonomy 'scen'. Is 'scene' meant"),
        ('predictions.trukc > 0', "items", "No prediction has the label 'trukc'. Is 'truck' meant"),
        ('label = "kar"', "annotations", "No annotation has the label 'kar'. Is 'car' meant"),
        ('label in ("car", "kar")', "annotations", "No annotation has the label 'kar'. Is 'car' meant"),
        ('item.metadata.wether = "rain"', "annotations", "No item has the metadata key 'wether'. Is 'weather' meant"),
        ('label = "trukc"', "predictions", "No prediction has the label 'trukc'. Is 'truck' meant"),
        ("metadata.score > 1", "predictions", "No prediction has the metadata key 'score'."),
    ],
)  # fmt: skip
def test_names_that_no_row_has_are_warned_of(scene: Any, query: str, kind: Any, said: str) -> None:
    dataset, run = scene
    with pytest.warns(npd.NucleusWarning) as caught:
        dataset.query(query, kind, run=run if kind == "predictions" else None)
    assert len(caught) == 1
    assert said in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ('metadata.weather = "snow"', "items"),
        ("metadata.camera.height > 5", "items"),
        ("metadata.reviewed is null", "items"),
        ("annotations.car = 0 and annotations.count > 3", "items"),
        ('annotations.scene = "street"', "items"),
        ("annotations.car.occluded", "items"),
        ("predictions.bus > 0 or predictions.truck > 0", "items"),
        ('label = "truck"', "predictions"),
        ('label != "tram"', "annotations"),
    ],
)
def test_names_that_exist_are_not(scene: Any, query: str, kind: Any) -> None:
    dataset, run = scene
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.query(query, kind, run=run if kind == "predictions" else None)


def test_predictions_are_those_of_the_run(scene: Any) -> None:
    dataset, run = scene
    with pytest.warns(npd.NucleusWarning, match="No prediction has the label 'bus'; there are 'truck'."):
        dataset.query("predictions.bus > 0", run=run)


def test_slices_are_queried_alike(scene: Any) -> None:
    dataset, _ = scene
    made = dataset.create_slice("One", ["b"], exist_ok=True)
    with pytest.warns(npd.NucleusWarning, match="Is 'weather' meant"):
        made.query("metadata.wether = rain")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.query("metadata.weather = rain")  # which the dataset has


def test_nothing_is_doubted_where_there_is_nothing(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("Empty")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dataset.query("metadata.weather = rain or annotations.car > 0").empty
