"""COCO's numbers are those of pycocotools: on published data, and on random sets that look for trouble."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.support import coco_val2014

EVALUATIONS = int(os.environ.get("NUCLEUS_PANDAS_EVALUATIONS", "60"))
TWELVE = [
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large",
]  # fmt: skip
ENGINES = ["nucleus_pandas", "hotcoco"]


def identity(*frames: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of equal labels, which the own accumulation takes."""
    return [(label, label) for label in sorted(set().union(*(frame["label"] for frame in frames)))]


def assert_equal_arrays(evaluation: npd.Evaluation, said: dict[str, Any]) -> None:
    """Precision, recall and scores at every threshold, recall, label, area range and number of predictions."""
    order = [list(evaluation.per_class.index).index(name) for name in said["names"]]
    for name in ("precision", "recall", "scores"):
        own = np.take(getattr(evaluation.accumulated, name), order, axis=-3)
        np.testing.assert_allclose(own, said[name], rtol=0, atol=1e-9, err_msg=name)


class TestPublishedTables:
    @pytest.mark.parametrize("engine", ENGINES)
    def test_boxes(self, engine: Any) -> None:
        found = npd.evaluate(
            coco_val2014.detections(), coco_val2014.ground_truth(), bbox="bbox", bbox_format="xywh", engine=engine
        )
        assert found.summary.index[:12].tolist() == TWELVE
        assert found.summary.iloc[:12].round(3).tolist() == coco_val2014.published("bbox")
        assert found.engine == engine
        assert found.area_source == "the column 'area'"

    @pytest.mark.parametrize("engine", ENGINES)
    def test_masks(self, engine: Any) -> None:
        found = npd.evaluate(
            coco_val2014.detections("segm"),
            coco_val2014.ground_truth(),
            iou_type="segm",
            items=coco_val2014.items(),
            engine=engine,
        )
        assert found.summary.iloc[:12].round(3).tolist() == coco_val2014.published("segm")

    def test_masks_whose_images_have_unknown_sizes(self) -> None:
        """Run-length encodings of the detections tell them."""
        found = npd.evaluate(coco_val2014.detections("segm"), coco_val2014.ground_truth(), iou_type="segm")
        assert found.summary["AP"].round(3) == coco_val2014.published("segm")[0]

    def test_boxes_by_pairs_of_equal_labels(self) -> None:
        truth, predictions = coco_val2014.ground_truth(), coco_val2014.detections()
        pairs = identity(truth, predictions)
        found = npd.evaluate(predictions, truth, bbox="bbox", bbox_format="xywh", allowed_label_matches=pairs)
        assert found.summary.iloc[:12].round(3).tolist() == coco_val2014.published("bbox")
        assert found.engine == "nucleus_pandas"


@pytest.fixture(scope="module", params=["as it is", "boxes only"])
def frames(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, pd.DataFrame]:
    truth = coco_val2014.ground_truth()
    if request.param == "boxes only":
        truth = truth[truth["iscrowd"] == 0].drop(columns=["area", "iscrowd", "segmentation"])
    return truth, coco_val2014.detections()


@pytest.fixture(scope="module")
def said(frames: tuple[pd.DataFrame, pd.DataFrame]) -> dict[str, Any]:
    return coco_val2014.pycocotools_says(*frames, coco_val2014.items()["reference_id"].tolist())


@pytest.mark.newest
class TestPycocotools:
    """On the published data, in full."""

    @pytest.mark.parametrize("how", [{"engine": "hotcoco"}, {"engine": "nucleus_pandas"}, {"pairs": True}], ids=str)
    def test_boxes(self, frames: tuple[pd.DataFrame, pd.DataFrame], said: dict[str, Any], how: dict[str, Any]) -> None:
        truth, predictions = frames
        given = {"allowed_label_matches": identity(*frames)} if "pairs" in how else how
        found = npd.evaluate(predictions, truth, bbox="bbox", bbox_format="xywh", **given)
        assert_equal_arrays(found, said)
        np.testing.assert_allclose(found.summary.iloc[:12], said["stats"], rtol=0, atol=1e-9)

    @pytest.mark.parametrize("how", [{"engine": "hotcoco"}, {"engine": "nucleus_pandas"}, {"pairs": True}], ids=str)
    def test_masks(self, how: dict[str, Any]) -> None:
        truth, predictions, items = (
            coco_val2014.ground_truth(),
            coco_val2014.detections("segm"),
            coco_val2014.items(),
        )
        sizes = dict(zip(items["reference_id"], zip(items["height"], items["width"], strict=True), strict=True))
        said = coco_val2014.pycocotools_says(truth, predictions, list(sizes), kind="segm", sizes=sizes)
        given = {"allowed_label_matches": identity(truth, predictions)} if "pairs" in how else how
        found = npd.evaluate(predictions, truth, iou_type="segm", items=items, **given)
        assert_equal_arrays(found, said)
        np.testing.assert_allclose(found.summary.iloc[:12], said["stats"], rtol=0, atol=1e-9)


class Scene:
    """A small random set: ties of confidence and of IoU, boxes without area, crowds, areas at and beyond the bounds,
    labels that only one side has, images without ground truth or predictions, more predictions than are let in.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.images = (rng.permutation(12)[: rng.integers(1, 6)] + 1).tolist()
        some = [str(label) for label in rng.choice(["a", "b", "c", "d"], rng.integers(1, 5), replace=False)]
        scale = rng.choice([1, 0.1, 7.3, 40])
        truths = int(rng.choice([0, 1, 5, 40], p=[0.05, 0.15, 0.3, 0.5]))
        count = int(rng.choice([0, 1, 10, 60, 300], p=[0.05, 0.15, 0.3, 0.3, 0.2]))
        of_truth = np.hstack([rng.integers(0, 6, (truths, 2)), rng.integers(0, 6, (truths, 2))]) * scale
        boxes = np.hstack([rng.integers(0, 6, (count, 2)), rng.integers(0, 6, (count, 2))]) * scale
        if truths and rng.random() < 0.7:  # near the ground truth, or on it
            on = rng.random(count) < 0.6
            boxes[on] = of_truth[rng.integers(0, truths, count)][on]
            near = rng.random(count) < 0.3
            boxes[near] += (rng.normal(0, 0.1, (count, 4)) * scale)[near]
            boxes[:, 2:] = np.abs(boxes[:, 2:])
        self.truth = pd.DataFrame(
            {
                "reference_id": rng.choice(self.images, truths),
                "label": rng.choice(some[: rng.integers(1, len(some) + 1)], truths),
                "bbox": of_truth.tolist(),
                "iscrowd": (rng.random(truths) < rng.choice([0, 0.2])).astype(int),
            }
        )
        if rng.random() < 0.5:
            self.truth["area"] = rng.choice([0, 1, 32.0**2, 96.0**2, 1e4, 1e10, 2e10], truths)
        tied = rng.random() < 0.6
        self.predictions = pd.DataFrame(
            {
                "reference_id": rng.choice(self.images, count),
                "label": rng.choice(some, count),
                "bbox": boxes.tolist(),
                "confidence": rng.choice([0, 0.25, 0.5, 0.5, 1], count) if tied else rng.random(count),
            }
        )
        self.max_dets = [(1, 10, 100), (1, 2, 3), (1, 5), (100,)][rng.choice(4, p=[0.7, 0.1, 0.1, 0.1])]
        self.area_ranges = None if rng.random() < 0.8 else {"tiny": (0.0, 4.0), "rest": (4.0, 1e5**2)}
        self.items = pd.DataFrame({"reference_id": self.images}) if rng.random() < 0.5 else None

    def evaluate(self, **given: Any) -> npd.Evaluation:
        with warnings.catch_warnings():  # of images that only predictions name, and of many predictions
            warnings.simplefilter("ignore", npd.NucleusWarning)
            return npd.evaluate(
                self.predictions,
                self.truth,
                bbox="bbox",
                bbox_format="xywh",
                items=self.items,
                max_dets=self.max_dets,
                area_ranges=self.area_ranges,
                **given,
            )

    @property
    def meets(self) -> bool:
        """Whether any image has both sides, or the items tell that none must."""
        both = set(self.truth["reference_id"]) & set(self.predictions["reference_id"])
        return bool(both) or self.items is not None or self.truth.empty or self.predictions.empty


@pytest.mark.newest
@pytest.mark.parametrize("seed", range(EVALUATIONS))
def test_random_sets_agree_with_pycocotools(seed: int) -> None:
    scene = Scene(seed)
    if not scene.meets:
        with pytest.raises(npd.InvalidInputError, match="None of the"):
            scene.evaluate()
        return
    ranges = None
    if scene.area_ranges is not None:
        ranges = {"all": (0.0, 1e5**2), **scene.area_ranges}
    said = coco_val2014.pycocotools_says(
        scene.truth, scene.predictions, scene.images, max_dets=scene.max_dets, area_ranges=ranges
    )
    pairs = identity(scene.truth, scene.predictions)
    for given in ({"engine": "hotcoco"}, {"engine": "nucleus_pandas"}, {"allowed_label_matches": pairs}):
        found = scene.evaluate(**given)
        assert_equal_arrays(found, said)
        if scene.max_dets == (1, 10, 100) and scene.area_ranges is None:
            np.testing.assert_allclose(found.summary.iloc[:12], said["stats"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(EVALUATIONS))
def test_engines_agree_to_the_last_bit(seed: int) -> None:
    scene = Scene(seed)
    if not scene.meets:
        return
    own, accelerated = (scene.evaluate(engine=engine) for engine in ("nucleus_pandas", "hotcoco"))
    assert own.engine == "nucleus_pandas"
    for name in ("precision", "recall", "scores"):
        first, second = (getattr(found.accumulated, name) for found in (own, accelerated))
        np.testing.assert_array_equal(np.isnan(first), np.isnan(second))
        np.testing.assert_array_equal(np.nan_to_num(first).view(np.int64), np.nan_to_num(second).view(np.int64))
    pd.testing.assert_series_equal(own.summary, accelerated.summary, check_exact=True)
    pd.testing.assert_frame_equal(own.per_class, accelerated.per_class, check_exact=True)


@pytest.mark.parametrize("seed", range(20))
def test_order_of_the_images_does_not_matter(seed: int) -> None:
    """Equal confidences in different images count in the order of the images' ids, not of the rows."""
    scene = Scene(seed)
    if not scene.meets:
        return
    before = scene.evaluate().accumulated
    by_image = {"key": lambda ids: -ids.astype(int), "kind": "stable"}
    scene.truth = scene.truth.sort_values("reference_id", **by_image)
    scene.predictions = scene.predictions.sort_values("reference_id", **by_image)
    after = scene.evaluate().accumulated
    np.testing.assert_array_equal(before.precision, after.precision)
    np.testing.assert_array_equal(before.recall, after.recall)
