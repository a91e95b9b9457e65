"""Average precision under directed pairs of labels, against the rule written out step by step."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
Pairs = list[tuple[str, str]]


def boxes(*rows: tuple[str, str, float], confidence: list[float] | None = None) -> pd.DataFrame:
    """Rows of image, label and left edge; every box is 10 by 10 pixels, and they are far apart."""
    frame = pd.DataFrame(rows, columns=["reference_id", "label", "x"]).assign(y=0.0, width=10.0, height=10.0)
    frame["x"] *= 100
    return frame if confidence is None else frame.assign(confidence=confidence)


def overlap(a: Any, b: Any, *, crowd: bool) -> float:
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if across <= 0 or down <= 0:
        return 0.0
    own, other = a.width * a.height, b.width * b.height
    return across * down / (own if crowd else own + other - across * down)


def step_by_step(truth: pd.DataFrame, predictions: pd.DataFrame, pairs: Pairs, max_det: int) -> dict[str, np.ndarray]:
    """Precision at 10 thresholds and 101 recalls of each ground-truth label, all areas."""
    of_image = defaultdict(list)
    for row in truth.itertuples():
        of_image[row.reference_id].append(row)
    ranked = sorted(predictions.itertuples(), key=lambda row: (-row.confidence, row.reference_id, row.Index))
    seen: dict[tuple[str, str], int] = defaultdict(int)
    kept = []
    for row in ranked:
        seen[row.reference_id, row.label] += 1
        if seen[row.reference_id, row.label] <= max_det:
            kept.append(row)
    found = {}
    for label in sorted(set(truth["label"])):
        positives = int(((truth["label"] == label) & (truth["iscrowd"] == 0)).sum())
        curves = np.full((10, 101), np.nan)
        for at, threshold in enumerate(THRESHOLDS if positives else []):
            taken: set[int] = set()
            tp = fp = 0
            points = []
            for row in kept:
                best, best_rank = None, (-1, 0.0)
                for other in of_image[row.reference_id]:
                    if (other.label, row.label) not in pairs or other.Index in taken:
                        continue
                    iou = overlap(row, other, crowd=bool(other.iscrowd))
                    rank = (int(not other.iscrowd), iou)
                    if iou >= threshold and rank >= best_rank:
                        best, best_rank = other, rank
                if best is not None and not best.iscrowd:
                    taken.add(best.Index)
                if (label, row.label) not in pairs:
                    continue
                tp += best is not None and best.label == label and not best.iscrowd
                fp += best is None
                points.append((tp / positives, tp / (tp + fp) if tp + fp else 0.0))
            for step, recall in enumerate(RECALLS):
                curves[at, step] = max((precision for reached, precision in points if reached >= recall), default=0.0)
        found[label] = curves
    return found


@pytest.mark.parametrize("seed", range(25))
def test_average_precision_is_the_rule_step_by_step(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def side(count: int, names: str, **more: Any) -> pd.DataFrame:
        box = np.column_stack([rng.integers(0, 12, (count, 2)), rng.integers(8, 14, (count, 2))])
        frame = pd.DataFrame(box.astype(float), columns=["x", "y", "width", "height"])
        return frame.assign(reference_id=rng.choice([1, 2, 3], count), label=rng.choice(list(names), count), **more)

    truth = side(25, "abc", iscrowd=(rng.random(25) < 0.15).astype(int))
    predictions = side(60, "axyz", confidence=rng.permutation(60) / 60)
    every = [(one, other) for one in "abc" for other in "axyz"]
    pairs = [every[at] for at in rng.choice(len(every), 6, replace=False)]
    items = pd.DataFrame({"reference_id": [1, 2, 3]})
    found = npd.evaluate(predictions, truth, allowed_label_matches=pairs, items=items)
    expected = step_by_step(truth, predictions, pairs, 100)
    for label, curves in expected.items():
        own = found.accumulated.precision[:, :, found.per_class.index.get_loc(label), 0, -1]
        np.testing.assert_allclose(own, curves, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.per_class.loc[list(expected), "AP"], [c.mean() for c in expected.values()])


def test_a_prediction_of_a_broad_label_is_not_held_against_the_other_narrow_one() -> None:
    truth = boxes(("a", "sedan", 0), ("a", "suv", 1))
    found = npd.evaluate(
        boxes(("a", "car", 0), ("a", "car", 1), confidence=[0.9, 0.8]),
        truth,
        allowed_label_matches=[("sedan", "car"), ("suv", "car")],
    )
    assert found.per_class["AP"].round(9).loc[["sedan", "suv"]].tolist() == [1, 1]
    assert found.counts.loc[["sedan", "suv"], "TP"].tolist() == [1, 1]
    assert found.summary["AP"].round(9) == 1


def test_narrow_predictions_find_a_broad_label() -> None:
    found = npd.evaluate(
        boxes(("a", "sedan", 0), ("a", "suv", 1), confidence=[0.9, 0.8]),
        boxes(("a", "car", 0), ("a", "car", 1)),
        allowed_label_matches=[("car", "sedan"), ("car", "suv")],
    )
    assert found.per_class["AP"].round(9).loc["car"] == 1
    assert found.per_class.loc[["sedan", "suv"], "ignored_by_map"].tolist() == [True, True]


def test_pairs_are_directed() -> None:
    truth, predictions = boxes(("a", "bus", 0)), boxes(("a", "car", 0), confidence=[0.9])
    assert npd.evaluate(predictions, truth, allowed_label_matches=[("bus", "car")]).summary["AP"].round(9) == 1
    assert npd.evaluate(predictions, truth, allowed_label_matches=[("car", "bus")]).summary["AP"] == 0


def test_labels_in_no_pair_are_missed_and_wrong() -> None:
    truth, predictions = boxes(("a", "bus", 0)), boxes(("a", "bus", 0), confidence=[0.9])
    found = npd.evaluate(predictions, truth, allowed_label_matches=[])
    assert found.summary[["AP", "precision", "recall"]].tolist() == [0, 0, 0]
    assert found.counts.loc["bus", ["TP", "FP", "FN"]].tolist() == [0, 1, 1]


def test_labels_may_be_integers_and_pairs_the_objects_of_the_contract() -> None:
    truth, predictions = boxes(("a", "x", 0)).assign(label=1), boxes(("a", "x", 0), confidence=[0.9]).assign(label=2)
    for pairs in ([(1, 2)], [{"ground_truth_label": "1", "model_prediction_label": "2"}]):
        assert npd.evaluate(predictions, truth, allowed_label_matches=pairs).counts.loc["1", "TP"] == 1
