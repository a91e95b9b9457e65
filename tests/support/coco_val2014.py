"""Real ground truth and detections on 100 images of COCO val2014, as frames; and what pycocotools says of frames."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from tests.support.paths import COCO_VAL2014_100

FOLDER = COCO_VAL2014_100
Kind = Literal["bbox", "segm"]


def _read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def labels() -> dict[int, str]:
    return {category["id"]: category["name"] for category in _read("instances_val2014_100.json")["categories"]}


def _named(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows).rename(columns={"image_id": "reference_id", "score": "confidence"})
    return frame.assign(label=frame.pop("category_id").map(labels()))


def ground_truth() -> pd.DataFrame:
    """`reference_id`, `annotation_id`, `label`, `bbox`, `area`, `iscrowd`, `segmentation`."""
    return _named(_read("instances_val2014_100.json")["annotations"]).rename(columns={"id": "annotation_id"})


def items() -> pd.DataFrame:
    frame = pd.DataFrame(_read("instances_val2014_100.json")["images"])
    return frame.rename(columns={"id": "reference_id"})[["reference_id", "file_name", "width", "height"]]


def detections(kind: Kind = "bbox") -> pd.DataFrame:
    """`reference_id`, `label`, `confidence`, and `bbox` or `segmentation`."""
    return _named(_read(f"instances_val2014_fake{kind}100_results.json"))


def published(kind: Kind) -> list[float]:
    """The twelve numbers of the published table."""
    text = (FOLDER / "val2014_fake_eval_res.txt").read_text()
    table = text.partition(f"type={kind}")[2].partition("-----")[0]
    return [float(line.rpartition("=")[2]) for line in table.splitlines() if " Average " in line]


def pycocotools_says(
    truth: pd.DataFrame,
    predictions: pd.DataFrame,
    images: Sequence[int],
    *,
    max_dets: Sequence[int] = (1, 10, 100),
    area_ranges: Mapping[str, tuple[float, float]] | None = None,
    kind: Kind = "bbox",
    sizes: Mapping[int, tuple[int, int]] | None = None,
) -> dict[str, Any]:
    """Ask pycocotools, by its own documented way, of frames with integer ids of images.

    Gives `names` (the labels in the order of its arrays), `precision`, `recall`, `scores` and `stats`, NaN for -1.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = sorted({*truth["label"], *predictions["label"]})
    number = {name: at for at, name in enumerate(names, start=1)}
    loaded = COCO()
    loaded.dataset = {
        "info": {},
        "images": [
            {"id": image} | ({} if sizes is None else dict(zip(("height", "width"), sizes[image], strict=True)))
            for image in images
        ],
        "categories": [{"id": at, "name": name} for name, at in number.items()],
        "annotations": [
            {
                "id": at,
                "image_id": row["reference_id"],
                "category_id": number[row["label"]],
                "bbox": row["bbox"],
                "area": row.get("area", row["bbox"][2] * row["bbox"][3]),
                "iscrowd": int(row.get("iscrowd", 0)),
                "segmentation": row.get("segmentation"),
            }
            for at, row in enumerate(truth.to_dict("records"), start=1)
        ],
    }
    found = [
        {
            "image_id": row["reference_id"],
            "category_id": number[row["label"]],
            "score": row["confidence"],
            **({"bbox": row["bbox"]} if kind == "bbox" else {"segmentation": row["segmentation"]}),
        }
        for row in predictions.to_dict("records")
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        loaded.createIndex()
        if found:
            results = loaded.loadRes(found)
        else:  # which loadRes does not take
            results = COCO()
            results.dataset = {**loaded.dataset, "annotations": []}
            results.createIndex()
        evaluation = COCOeval(loaded, results, kind)
        evaluation.params.maxDets = list(max_dets)
        if area_ranges is not None:
            evaluation.params.areaRng = [list(bounds) for bounds in area_ranges.values()]
            evaluation.params.areaRngLbl = list(area_ranges)
        evaluation.evaluate()
        evaluation.accumulate()
        if len(max_dets) == 3 and area_ranges is None:
            evaluation.summarize()
    arrays = {name: np.asarray(evaluation.eval[name]) for name in ("precision", "recall", "scores")}
    empty = arrays["precision"] == -1
    return {
        "names": names,
        "precision": np.where(empty, np.nan, arrays["precision"]),
        "recall": np.where(arrays["recall"] == -1, np.nan, arrays["recall"]),
        "scores": np.where(empty, np.nan, arrays["scores"]),
        "stats": np.where(np.asarray(evaluation.stats) == -1, np.nan, evaluation.stats),
    }
