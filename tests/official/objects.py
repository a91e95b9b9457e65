"""Objects of the official client, and what they say."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import pandas as pd

from tests.factories import MASK_URL

NAMES = ["a.jpg", "b.jpg", "c.jpg"]
METADATA: list[dict[str, Any]] = [{"weather": "rain", "hour": 7}, {"nested": {"ü": [1, 1.5, None, True]}}, {}]


def url(name: object) -> str:
    return f"https://example.org/{name}"


def remote_items(nucleus: Any) -> list[Any]:
    return [
        nucleus.DatasetItem(url(name), reference_id=name, metadata=metadata, width=640, height=480)
        for name, metadata in zip(NAMES, METADATA, strict=True)
    ]


def append(dataset: Any, items: list[Any], **options: Any) -> Any:
    """Append, wait for the job, and return its last status."""
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


def items_told(items: Iterable[Any]) -> list[tuple[Any, ...]]:
    """What the official client tells of items; it forgets their sizes when it reads them."""
    return [(item.reference_id, item.image_location, item.metadata) for item in items]


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
