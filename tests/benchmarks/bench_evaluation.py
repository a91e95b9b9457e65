"""Time and memory of an evaluation, from frames to every table: ``python tests/benchmarks/bench_evaluation.py``.

Each measurement runs in a process of its own, so that its peak is its own. pycocotools and faster-coco-eval, if they
are installed, compute the summary alone, of annotations that are dicts already.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import subprocess
import sys
import time
import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd

SIDES = ["x", "y", "width", "height"]
IMAGES, TRUTHS, PREDICTIONS, LABELS = 5_000, 36_000, 210_000, 80


def frames(images=IMAGES, truths=TRUTHS, predictions=PREDICTIONS):
    """Ground truth and predictions like those of a detector: 40 % near ground truth, of which 85 % have its label."""
    rng = np.random.default_rng(0)

    def boxes(count):
        return np.column_stack([rng.uniform(0, 500, (count, 2)), np.exp(rng.uniform(2, 5.5, (count, 2)))]).round(2)

    frequency = 1 / np.arange(1, LABELS + 1)
    label = rng.choice(LABELS, truths, p=frequency / frequency.sum())
    image, box = rng.integers(0, images, truths), boxes(truths)
    near = int(predictions * 0.4)
    source = rng.integers(0, truths, near)
    moved = box[source] + rng.normal(0, 0.08, (near, 4)) * box[source][:, [2, 3, 2, 3]]
    moved[:, 2:] = np.abs(moved[:, 2:])
    rest = predictions - near
    predicted_label = np.where(rng.random(near) < 0.85, label[source], rng.integers(0, LABELS, near))
    columns = (
        np.concatenate([image[source], rng.integers(0, images, rest)]),
        np.concatenate([predicted_label, rng.integers(0, LABELS, rest)]),
        np.vstack([moved.round(2), boxes(rest)]),
        np.concatenate([rng.beta(4, 2, near), rng.beta(1, 4, rest)]).round(4),
    )
    order = rng.permutation(predictions)
    names = np.array([f"image_{number:07}.jpg" for number in range(images)], dtype=object)
    labels = np.array([f"label {number}" for number in range(LABELS)], dtype=object)

    def frame(at, of, values):
        made = pd.DataFrame({"reference_id": names[at], "label": labels[of]})
        made[SIDES] = values
        return made

    truth = frame(image, label, box)
    return truth, frame(*(column[order] for column in columns[:3])).assign(confidence=columns[3][order]), names


def own(*size):
    import hotcoco  # noqa: F401  # what is imported once is no part of an evaluation

    import nucleus_pandas as npd

    truth, predictions, names = frames(*size)
    items = pd.DataFrame({"reference_id": names})
    before = peak()
    started = time.perf_counter()
    found = npd.evaluate(predictions, truth, items=items)
    tables = (
        found.summary, found.per_class, found.pr_curve, found.ap_by_size, found.counts, found.confusion_matrix,
        found.score_histogram, found.f1_curve, found.tide, found.matches, found.images,
    )  # fmt: skip
    assert len(tables[-2]) >= len(predictions)
    return time.perf_counter() - started, before, found.summary["AP"]


def crowd(count):
    import nucleus_pandas as npd

    rng = np.random.default_rng(0)
    box = np.hstack([rng.uniform(0, 400, (count, 2)), rng.uniform(500, 1000, (count, 2))])
    frame = pd.DataFrame(box, columns=SIDES).assign(reference_id="a", label="car")
    before = peak()
    started = time.perf_counter()
    found = npd.evaluate(frame.assign(confidence=rng.random(count)), frame)
    _ = found.summary, found.tide, found.matches, found.confusion_matrix
    return time.perf_counter() - started, before, found.summary["AP"]


def peer(name):
    if name == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    truth, predictions, names = frames()
    number = {key: at for at, key in enumerate(names, start=1)}
    labels = {label: at for at, label in enumerate(sorted(truth["label"].unique()), start=1)}

    def dicts(frame):
        keys, marks = frame["reference_id"].map(number).tolist(), frame["label"].map(labels).tolist()
        rows = zip(keys, marks, frame[SIDES].to_numpy().tolist(), strict=True)
        return [{"image_id": key, "category_id": label, "bbox": box} for key, label, box in rows]

    annotations = [
        {"id": at, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0, **row}
        for at, row in enumerate(dicts(truth), start=1)
    ]
    results = [
        {"score": score, **row}
        for score, row in zip(predictions["confidence"].tolist(), dicts(predictions), strict=True)
    ]
    data = {
        "info": {},
        "images": [{"id": at, "width": 640, "height": 640} for at in number.values()],
        "categories": [{"id": at, "name": label} for label, at in labels.items()],
        "annotations": annotations,
    }
    before = peak()
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO()
        loaded.dataset = data
        loaded.createIndex()
        evaluation = COCOeval(loaded, loaded.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return time.perf_counter() - started, before, evaluation.stats[0]


def commit():
    """Match on an embedded Nucleus, in process: boxes are read from the store, matches and their hash written to it."""
    import nucleus_pandas as npd

    truth, predictions, names = frames()
    with npd.NucleusClient.local() as client:
        dataset = client.create_dataset("Benchmark")
        items = pd.DataFrame({"reference_id": names, "image_url": "https://example.org/a.jpg"})
        items.nucleus.append(dataset, progress=False)
        truth.nucleus.annotate(dataset, progress=False)
        run = dataset.create_model_run(client.add_model("Detector", reference_id="detector"))
        predictions.nucleus.predict(run, progress=False)
        before = peak()
        started = time.perf_counter()
        run.commit()
        return time.perf_counter() - started, before, float("nan")


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


WORK = {"own": own, "crowd": crowd, "peer": peer, "commit": commit}


def measured(*arguments):
    """Seconds, peak in MB, peak before it began, and average precision, of a process of its own."""
    command = [sys.executable, __file__, *map(str, arguments)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(run.stdout)


def shown(name, found, seconds=None):
    ratio = "" if seconds is None else f"  1 / {seconds / found[0]:.0f} of pycocotools"
    line = f"  {name:<44} {found[0]:7.2f} s  peak {found[1]:6.0f} MB ({found[2]:.0f} before)  AP {found[3]:.6f}{ratio}"
    print(line, flush=True)


def main():
    print(f"{PREDICTIONS:,} predictions, {TRUTHS:,} ground truths, {IMAGES:,} images, {LABELS} labels")
    base = measured("peer", "pycocotools")
    shown("pycocotools, summary", base)
    if find_spec("faster_coco_eval"):
        shown("faster-coco-eval, summary", measured("peer", "faster-coco-eval"), base[0])
    runs = sorted(measured("own") for _ in range(3))
    shown("npd.evaluate, every table (median of 3)", runs[1], base[0])
    assert abs(runs[1][3] - base[3]) < 1e-9
    committed = sorted(measured("commit") for _ in range(3))[1]
    shown("run.commit(), embedded (median of 3)", committed)
    print(f"  a commit takes {committed[0] / runs[1][0]:.2f} times as long as npd.evaluate")
    print("More predictions, as many on each image")
    for times in (1, 2, 5):
        size = (IMAGES * times, TRUTHS * times, PREDICTIONS * times)
        shown(f"npd.evaluate, {size[2]:,} predictions", measured("own", *size))
    print("One image, all boxes overlap")
    for count in (2_500, 5_000, 10_000):
        shown(f"npd.evaluate, {count:,} boxes on each side", measured("crowd", count))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        warnings.simplefilter("ignore")
        work, *arguments = sys.argv[1:]
        seconds, before, ap = WORK[work](*(int(one) if one.isdigit() else one for one in arguments))
        print(json.dumps([seconds, peak(), before, float(ap)]))
