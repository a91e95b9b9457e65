"""TIDE's categories: on published data, against hotcoco's, and against the rule written out."""

from __future__ import annotations

from typing import Any

import hotcoco
import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.evaluation.tide import TideResult
from tests.factories import flat_box
from tests.support import coco_val2014

ITEMS = pd.DataFrame({"reference_id": [1, 2, 3]})


def box(label: str, left: float, width: float = 10.0, **columns: Any) -> dict[str, Any]:
    return flat_box("a", label, left, width, **columns)


def errors(predictions: list[dict[str, Any]], truth: list[dict[str, Any]]) -> dict[str, int]:
    """The categories that are not empty."""
    counts = npd.evaluate(pd.DataFrame(predictions), pd.DataFrame(truth)).tide["count"]
    return counts[counts > 0].to_dict()


def test_published_data() -> None:
    found = npd.evaluate(coco_val2014.detections(), coco_val2014.ground_truth(), bbox="bbox", bbox_format="xywh").tide
    assert found["count"].to_dict() == {
        "classification": 83,
        "localization": 1,
        "both": 0,
        "duplicate": 1,
        "background": 0,
        "missed": 97,
    }
    assert found["share"].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("left", "label", "expected"),
    [
        (0, "car", {}),
        (4, "car", {"localization": 1}),  # IoU 6 / 14
        (0, "bus", {"classification": 1}),
        (4, "bus", {"both": 1, "missed": 1}),
        (9, "car", {"background": 1, "missed": 1}),  # IoU 1 / 19
        (50, "bus", {"background": 1, "missed": 1}),
    ],
)
def test_a_prediction_beside_one_ground_truth(left: float, label: str, expected: dict[str, int]) -> None:
    assert errors([box(label, left, confidence=0.9)], [box("car", 0)]) == expected


def test_a_second_prediction_of_the_same_is_a_duplicate() -> None:
    assert errors([box("car", 0, confidence=0.9), box("car", 1, confidence=0.95)], [box("car", 0)]) == {"duplicate": 1}


def test_ground_truth_that_is_found_is_not_missed_although_another_prediction_confuses_it() -> None:
    found = errors([box("car", 0, confidence=0.9), box("bus", 0, confidence=0.95)], [box("car", 0)])
    assert found == {"classification": 1}


def test_a_prediction_in_a_crowd_is_no_error() -> None:
    crowd = box("car", 0, 100, iscrowd=1)
    assert errors([box("car", 50, confidence=0.9)], [crowd, box("car", 200, iscrowd=0)]) == {"missed": 1}


def random_sides(seed: int, *, crowds: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    n, m, labels = int(rng.integers(5, 40)), int(rng.integers(5, 80)), int(rng.integers(1, 4))
    truth_box = np.column_stack([rng.uniform(0, 60, (n, 2)), rng.uniform(5, 30, (n, 2))])
    other_box = truth_box[rng.integers(0, n, m)] + rng.normal(0, 4, (m, 4))
    other_box[:, 2:] = np.abs(other_box[:, 2:])

    def side(values: np.ndarray, **more: Any) -> pd.DataFrame:
        frame = pd.DataFrame(values, columns=["x", "y", "width", "height"])
        count = len(values)
        images, names = rng.integers(1, 4, count), rng.integers(1, labels + 1, count)
        return frame.assign(reference_id=images, label=names, **more)

    crowd = (rng.random(n) < 0.15).astype(int) if crowds else np.zeros(n, dtype=int)
    return side(truth_box, iscrowd=crowd), side(other_box, confidence=rng.random(m))


@pytest.mark.parametrize("seed", range(30))
def test_counts_are_those_of_hotcoco(seed: int) -> None:
    """Without crowds: hotcoco lets predictions be badly placed on a crowd."""
    truth, predictions = random_sides(seed, crowds=False)
    sides = ["x", "y", "width", "height"]
    loaded = hotcoco.COCO.from_arrays(
        [{"id": image, "width": 100, "height": 100} for image in (1, 2, 3)],
        [{"id": label, "name": str(label)} for label in (1, 2, 3)],
        truth["reference_id"].to_numpy(),
        truth["label"].to_numpy(),
        truth[sides].to_numpy(),
        ids=np.arange(1, len(truth) + 1),
        area=(truth["width"] * truth["height"]).to_numpy(),
    )
    results = loaded.load_res(predictions[["reference_id", *sides, "confidence", "label"]].to_numpy(np.float64))
    evaluation = hotcoco.COCOeval(loaded, results, "bbox")
    evaluation.evaluate()
    said = evaluation.tide_errors()["counts"]
    own = npd.evaluate(predictions, truth, items=ITEMS).tide["count"]
    assert own.tolist() == [said[name] for name in ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")]


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("max_dets", [100, 3])
@pytest.mark.filterwarnings("ignore::nucleus_pandas.NucleusWarning")
def test_every_prediction_is_right_or_ignored_or_in_one_category(seed: int, max_dets: int) -> None:
    truth, predictions = random_sides(seed, crowds=True)
    found = npd.evaluate(predictions, truth, items=ITEMS, max_dets=max_dets)
    result: TideResult = found._tide
    places = np.sum([result.true_positive, result.ignored, *result.errors.values()], axis=0)
    assert (places == 1).all()
    kept = predictions.groupby(["reference_id", "label"]).size().clip(upper=max_dets).sum()
    assert len(places) == kept
    assert int(result.found.sum()) == int(result.true_positive.sum())
    assert not (result.found & result.missed).any()
    assert len(result.missed) == int((truth["iscrowd"] == 0).sum())


def test_no_errors_have_no_shares() -> None:
    found = npd.evaluate(pd.DataFrame([box("car", 0, confidence=0.9)]), pd.DataFrame([box("car", 0)])).tide
    assert found["count"].sum() == 0
    assert found["share"].isna().all()
