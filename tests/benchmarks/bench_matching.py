"""Time and memory of the Nucleus match: ``python tests/benchmarks/bench_matching.py``."""

import time
import tracemalloc
from statistics import median

import numpy as np

from nucleus_pandas.evaluation.matching import LabelRule, MatchBoxes, match
from nucleus_pandas.schema.boxes import iou_matrix


def boxes(box, item=None, confidence=None):
    n = len(box)
    item = np.zeros(n, dtype=np.int64) if item is None else item
    ids = np.array([f"annotation_{i:08d}" for i in np.random.default_rng(n).permutation(n)], dtype=object)
    labels = np.array(["car", "bus", "person", "bicycle"], dtype=object)[np.arange(n) % 4]
    return MatchBoxes(item, labels, np.asarray(box, dtype=np.float64), ids, confidence)


def images(rng, items, per_item, confidence=False):
    n = items * per_item
    box = np.hstack([rng.uniform(0, 1000, (n, 2)), rng.uniform(20, 200, (n, 2))]).round()
    return boxes(box, rng.permutation(n) % items, rng.random(n) if confidence else None)


def image_by_image(truth, predicted):
    """Match like most evaluation code does: one IoU matrix per image, walked from the highest IoU down."""
    chosen = []
    order_g, order_p = np.argsort(truth.item, kind="stable"), np.argsort(predicted.item, kind="stable")
    items = np.unique(np.concatenate([truth.item, predicted.item]))
    bounds_g = np.searchsorted(truth.item[order_g], [items, items + 1])
    bounds_p = np.searchsorted(predicted.item[order_p], [items, items + 1])
    for g_low, g_high, p_low, p_high in np.vstack([bounds_g, bounds_p]).T.tolist():
        rows_g, rows_p = order_g[g_low:g_high], order_p[p_low:p_high]
        rows_p = rows_p[np.lexsort((predicted.annotation_id[rows_p], -predicted.confidence[rows_p]))]
        rows_g = rows_g[np.argsort(truth.annotation_id[rows_g])]
        iou = iou_matrix(predicted.box[rows_p], truth.box[rows_g])
        p, g = np.nonzero(iou)
        best = np.argsort(-iou[p, g], kind="stable")
        used_p, used_g = set(), set()
        for one, other in zip(p[best].tolist(), g[best].tolist(), strict=True):
            if one not in used_p and other not in used_g:
                used_p.add(one)
                used_g.add(other)
                chosen.append((int(rows_p[one]), int(rows_g[other])))
    return sorted(chosen)


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def many_images():
    rng = np.random.default_rng(0)
    truth, predicted = images(rng, 5000, 7), images(rng, 5000, 40, confidence=True)
    found = match(truth, predicted, LabelRule())
    pairs = list(zip(found.prediction.tolist(), found.ground_truth.tolist(), strict=True))
    assert pairs == image_by_image(truth, predicted)
    peer = median(seconds(lambda: image_by_image(truth, predicted)) for _ in range(5))
    print(f"5,000 images x (7, 40) boxes, {len(pairs):,} matches; medians of 5")
    print(f"  {'one image after the other':<30} {peer * 1e3:8.1f} ms")
    rules = {
        "any labels": LabelRule(),
        "equal labels": LabelRule.of(class_agnostic=False),
        "allowed labels": LabelRule.of(allowed_label_matches=[("car", "bus"), ("bus", "bus"), ("person", "car")]),
    }
    for name, rule in rules.items():
        own = median(seconds(lambda rule=rule: match(truth, predicted, rule)) for _ in range(5))
        ratio = f", {peer / own:.1f} times as fast" if name == "any labels" else ""
        print(f"  {'match, ' + name:<30} {own * 1e3:8.1f} ms{ratio}")


def crowds(n):
    rng = np.random.default_rng(0)

    def scattered(span, smallest, largest):
        return np.hstack([rng.uniform(0, span, (n, 2)), rng.uniform(smallest, largest, (n, 2))])

    def widths(*ends):
        return np.column_stack([np.zeros((n, 2)), np.linspace(*ends, n), np.full(n, 10.0)])

    left = np.cumsum(np.linspace(1, 9, 2 * n))
    chain = np.column_stack([left, 0 * left, 0 * left + 10, 0 * left + 10])
    yield "small boxes, few overlap", scattered(4000, 5, 50), scattered(4000, 5, 50)
    yield "a chain of ever less overlap", chain[::2], chain[1::2]
    yield "all overlap", scattered(400, 500, 1000), scattered(400, 500, 1000)
    yield "all identical", widths(10, 10), widths(10, 10)
    yield "identical among nested", widths(10, 20), widths(10, 10)


def one_crowded_image(n=10_000):
    print(f"One image with {n:,} x {n:,} boxes; time of one run, peak of another")
    confidence = np.random.default_rng(1).random(n)
    for name, truth_box, predicted_box in crowds(n):
        truth, predicted = boxes(truth_box), boxes(predicted_box, confidence=confidence)
        taken = seconds(lambda sides=(truth, predicted): match(*sides, LabelRule()))
        tracemalloc.start()
        found = match(truth, predicted, LabelRule())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"  {name:<30} {taken:8.2f} s  {peak / 1e6:6.0f} MB  {len(found.iou):,} matches")


if __name__ == "__main__":
    many_images()
    one_crowded_image()
