"""Small data sets to evaluate, and plain Python that evaluates them: pair by pair, row by row."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

import nucleus_pandas as npd
from tests.factories import box_at, item
from tests.http import Http

LABELS = ("bus", "car", "truck", "van")
Row = dict[str, Any]

NEGATIVE = {"type": "labels", "scope": "annotation", "target": "prediction", "labels": ["van"]}
GROUPS = [{"class_name": "big", "labels": ["bus", "truck"]}]


@dataclass
class Scene:
    """Images with metadata, their ground truth and predictions on them."""

    items: list[Row]
    ground_truths: list[Row] = field(default_factory=list)
    predictions: list[Row] = field(default_factory=list)

    def without(
        self, *, items: Callable[[Row], bool], ground_truths: Callable[[Row], bool], predictions: Callable[[Row], bool]
    ) -> Scene:
        """Leave out what the functions say."""
        kept = [one for one in self.items if not items(one)]
        names = {one["reference_id"] for one in kept}
        return Scene(
            kept,
            [one for one in self.ground_truths if one["reference_id"] in names and not ground_truths(one)],
            [one for one in self.predictions if one["reference_id"] in names and not predictions(one)],
        )

    def evaluate(self, **options: Any) -> npd.Evaluation:
        """Evaluate the frames of both sides."""
        items = pd.DataFrame({"reference_id": [one["reference_id"] for one in self.items]})
        return npd.evaluate(_frame(self.predictions), _frame(self.ground_truths), items=items, **options)


def _frame(rows: list[Row]) -> pd.DataFrame:
    flat = [
        {
            **{key: row.get(key) for key in ("reference_id", "annotation_id", "label", "confidence", "metadata")},
            **row["geometry"],
        }
        for row in rows
    ]
    columns = ["reference_id", "annotation_id", "label", "confidence", "metadata", "x", "y", "width", "height"]
    return pd.DataFrame(flat, columns=columns).astype({"confidence": "float64"})


def scene(seed: int, images: int = 8) -> Scene:
    """Draw boxes close enough to be confused, with few confidences, so that ties of every kind abound."""
    draw = random.Random(seed)
    items = [
        {
            "reference_id": f"{number}.jpg",
            "image_url": f"https://example.org/{number}.jpg",
            "metadata": {
                "weather": draw.choice(["rain", "sun", "fog"]),
                "hour": draw.choice([7, 12, 18.5]),
                "dark": draw.choice([True, False]),
                **draw.choice([{}, {"camera": "7"}, {"camera": None}, {"tags": ["a"]}]),
            },
        }
        for number in range(images)
    ]
    made = Scene(items)
    for one in items:
        name = one["reference_id"]
        for number in range(draw.randrange(7)):
            x, y, width, height = (draw.randrange(60), draw.randrange(60), draw.randrange(8, 50), draw.randrange(8, 50))
            ground_truth = _box(name, f"g{number}", draw.choice(LABELS[:3]), x, y, width, height)
            ground_truth["metadata"] = {"iscrowd": 1} if draw.random() < 0.1 else {}
            made.ground_truths.append(ground_truth)
            for copy in range(draw.choice([0, 1, 1, 2])):
                label = ground_truth["label"] if draw.random() < 0.6 else draw.choice(LABELS)
                shift = draw.choice([0, 0, 1, 3, 8, 30])
                guess = _box(name, f"p{number}-{copy}", label, x + shift, y, width, height + shift)
                made.predictions.append(guess | _sure(draw))
        for number in range(draw.randrange(3)):
            sides = (draw.randrange(60, 200), draw.randrange(60), draw.randrange(5, 40), draw.randrange(5, 40))
            made.predictions.append(_box(name, f"q{number}", draw.choice(LABELS), *sides) | _sure(draw))
    return made


def _sure(draw: random.Random) -> Row:
    confidence = draw.choice([0.15, 0.25, 0.5, 0.5, 0.75, 0.95, None])
    metadata = draw.choice([{}, {"head": 1}, {"head": 2, "note": "ü"}])
    return {"metadata": metadata, **({} if confidence is None else {"confidence": confidence})}


def _box(name: str, annotation_id: str, label: str, x: float, y: float, width: float, height: float) -> Row:
    return {
        "type": "box",
        "reference_id": name,
        "annotation_id": annotation_id,
        "label": label,
        "geometry": {"x": x, "y": y, "width": width, "height": height},
    }


def intersection(one: Row, other: Row) -> float:
    a, b = one["geometry"], other["geometry"]
    width = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
    height = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
    return float(width * height) if width > 0 and height > 0 else 0.0


def area(one: Row) -> float:
    return float(one["geometry"]["width"] * one["geometry"]["height"])


def iou(one: Row, other: Row) -> float:
    shared = intersection(one, other)
    return shared / (area(one) + area(other) - shared) if shared else 0.0


@dataclass
class Rule:
    """How labels are compared."""

    class_agnostic: bool = True
    pairs: list[tuple[str, str]] | None = None
    groups: dict[str, list[str]] = field(default_factory=dict)
    one_class: bool = False

    def class_of(self, label: str) -> str:
        if self.one_class:
            return "object"
        return next((name for name, labels in self.groups.items() if label in labels), label)

    def agree(self, ground_truth: Row, prediction: Row) -> bool:
        both = self.class_of(ground_truth["label"]), self.class_of(prediction["label"])
        return both in self.pairs if self.pairs is not None else both[0] == both[1]

    def may_pair(self, ground_truth: Row, prediction: Row) -> bool:
        return self.agree(ground_truth, prediction) if self.pairs is not None or not self.class_agnostic else True


def is_crowd(one: Row) -> bool:
    return bool(one["metadata"].get("iscrowd"))


def outcomes(made: Scene, rule: Rule, threshold: float) -> pd.DataFrame:
    """Match greedily, the highest IoU first, and lay out what is a TP, an FP, an FN at a threshold."""
    rows: list[Row] = []
    for one in made.items:
        name = one["reference_id"]
        every = [row for row in made.ground_truths if row["reference_id"] == name]
        ground_truths = [row for row in every if not is_crowd(row)]
        crowds = [row for row in every if is_crowd(row)]
        predictions = [row for row in made.predictions if row["reference_id"] == name]
        pairs = [(t, p, iou(t, p)) for t in ground_truths for p in predictions if iou(t, p) > 0 and rule.may_pair(t, p)]
        pairs.sort(
            key=lambda pair: (
                -pair[2],
                not rule.agree(pair[0], pair[1]),
                -pair[1].get("confidence", -1),
                pair[1]["annotation_id"],
                pair[0]["annotation_id"],
            )
        )
        partner: dict[str, tuple[Row, float]] = {}
        taken: set[str] = set()
        for ground_truth, prediction, overlap in pairs:
            if ground_truth["annotation_id"] not in taken and prediction["annotation_id"] not in partner:
                taken.add(ground_truth["annotation_id"])
                partner[prediction["annotation_id"]] = (ground_truth, overlap)
        found: set[str] = set()
        for prediction in predictions:
            ground_truth, overlap = partner.get(prediction["annotation_id"], (None, 0.0))
            close = ground_truth is not None and overlap >= threshold
            right = close and rule.agree(ground_truth, prediction)
            if right and ground_truth is not None:
                found.add(ground_truth["annotation_id"])
            rows.append(
                _outcome(
                    "TP" if right else "FP",
                    one,
                    rule,
                    ground_truth if close else None,
                    prediction,
                    overlap if close else None,
                    background=is_background(prediction, ground_truths, crowds, rule),
                )
            )
        rows += [
            _outcome("FN", one, rule, ground_truth, None, None, background=False)
            for ground_truth in ground_truths
            if ground_truth["annotation_id"] not in found
        ]
    return pd.DataFrame(
        rows, columns=list(_outcome("", {"reference_id": ""}, rule, None, None, None, background=False))
    )


def is_background(prediction: Row, ground_truths: list[Row], crowds: list[Row], rule: Rule) -> bool:
    """Return whether TIDE calls a prediction one of background: near nothing, and not in a crowd of its label."""
    own = max((iou(t, prediction) for t in ground_truths if rule.agree(t, prediction)), default=0.0)
    other = max((iou(t, prediction) for t in ground_truths if not rule.agree(t, prediction)), default=0.0)
    in_crowd = any(
        rule.agree(crowd, prediction) and intersection(crowd, prediction) / area(prediction) >= 0.5 for crowd in crowds
    )
    return own < 0.1 and other <= 0.1 and not in_crowd


def _outcome(
    kind: str,
    item: Row,
    rule: Rule,
    ground_truth: Row | None,
    prediction: Row | None,
    overlap: float | None,
    *,
    background: bool,
) -> Row:
    return {
        "match_type": kind,
        "reference_id": item["reference_id"],
        "gt_id": ground_truth and ground_truth["annotation_id"],
        "pred_id": prediction and prediction["annotation_id"],
        "gt_label": ground_truth and ground_truth["label"],
        "pred_label": prediction and prediction["label"],
        "gt_class": ground_truth and rule.class_of(ground_truth["label"]),
        "pred_class": prediction and rule.class_of(prediction["label"]),
        "iou": overlap,
        "confidence": prediction and prediction.get("confidence"),
        "gt_area": None if ground_truth is None else area(ground_truth),
        "item_metadata": item.get("metadata"),
        "prediction_metadata": prediction and prediction["metadata"],
        "background": background,
    }


def example_keys(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    """Return what identifies examples of the server, with all that was compared in them."""
    return [
        (
            row["match_type"],
            (row["prediction_row"] or row["annotation_row"])["reference_id"],
            row["ground_truth_annotation_id"],
            row["model_prediction_id"],
            row["gt_raw_label"],
            row["pred_raw_label"],
            row["gt_canonical_label"],
            row["pred_canonical_label"],
            None if row["iou"] is None else round(row["iou"], 12),
            row["confidence"],
            row["gt_area"],
        )
        for row in rows
    ]


def outcome_keys(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return the same of outcomes."""
    names = list(frame.columns[:11])
    return [
        tuple(
            None if _missing(value) else round(value, 12) if name == "iou" else value
            for name, value in zip(names, row, strict=True)
        )
        for row in frame[names].itertuples(index=False)
    ]


def _missing(value: object) -> bool:
    return value is None or value != value


def compares(value: Any, op: str, other: Any) -> bool:
    """Compare a value of metadata as filters do, but for texts that stand for numbers."""
    if op in ("EQ", "IN"):
        return any(type_of(value) == type_of(one) and value == one for one in (other if op == "IN" else [other]))
    if type_of(value) != type_of(other) or type_of(value) not in ("number", "text"):
        return False
    return bool(value > other) if op == "GT" else bool(value < other)


def type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, (int, float)) else "text" if isinstance(value, str) else "other"


def has(metadata: Any, predicate: Row) -> bool:
    """Return whether metadata fulfils a predicate."""
    return (
        bool(metadata)
        and predicate["key"] in metadata
        and compares(metadata[predicate["key"]], predicate["op"], predicate["value"])
    )


def passing(frame: pd.DataFrame, filters: Row) -> pd.DataFrame:
    """Keep the outcomes that pass filters; what an outcome does not have passes none."""
    keep = pd.Series(True, index=frame.index)
    for name, column in (("confidenceRange", "confidence"), ("iouRange", "iou"), ("gtAreaRange", "gt_area")):
        if name in filters:
            values = frame[column].astype("float64")
            keep &= values.ge(filters[name].get("min", -1)) & values.le(filters[name].get("max", 1e9))
    for name, column in (("predLabels", "pred_class"), ("gtLabels", "gt_class")):
        if name in filters:
            keep &= frame[column].isin(filters[name])
    for predicate in filters.get("itemMetadata", []):
        keep &= frame["item_metadata"].map(lambda value, predicate=predicate: has(value, predicate)).astype(bool)
    for predicate in filters.get("predictionMetadata", []):
        keep &= frame["prediction_metadata"].map(lambda value, predicate=predicate: has(value, predicate)).astype(bool)
    if "labelEquality" in filters:
        both = frame["gt_class"].notna() & frame["pred_class"].notna()
        equal = frame["gt_class"] == frame["pred_class"]
        keep &= both & (equal if filters["labelEquality"] == "EQ" else ~equal)
    if "hasGroundTruth" in filters:
        keep &= frame["gt_id"].notna() == filters["hasGroundTruth"]
    if "tideBackground" in filters:
        keep &= frame["background"].astype(bool) == filters["tideBackground"]
    return frame[keep]


@dataclass
class StoredScene:
    """A scene that a server holds."""

    http: Http
    scene: Scene
    dataset: str
    model: str
    run: str
    known: dict[str, str] = field(default_factory=dict)

    def evaluated(self, **body: object) -> str:
        """Evaluate as `evaluate` does, but the same only once."""
        key = json.dumps(body)
        if key not in self.known:
            self.known[key] = self.evaluate(**body)
        return self.known[key]

    def evaluate(self, status: int = 200, **body: object) -> str:
        """Evaluate the run on its dataset."""
        made = self.http("POST", f"modelRun/{self.run}/evaluationsV2", body, status)
        return made["evaluation_id"] if status == 200 else made["error"]  # type: ignore[no-any-return]

    def benchmark(self, **body: object) -> str:
        """Create a benchmark, of the whole dataset unless told otherwise."""
        sources = (
            {} if {"item_ids", "items", "parent_benchmark_id", "draft"} & set(body) else {"dataset_id": self.dataset}
        )
        made: str = self.http("POST", "benchmarks", {"name": "Streets", **sources, **body})["benchmark_id"]
        return made

    def evaluate_on(self, benchmark: str, status: int = 200, **body: object) -> str:
        """Evaluate the model on a benchmark."""
        named = {} if "model_run_id" in body else {"model_id": self.model}
        made = self.http("POST", f"benchmarks/{benchmark}/evaluationsV2", {**named, **body}, status)
        return made["evaluation_id"] if status == 200 else made["error"]  # type: ignore[no-any-return]

    def info(self, evaluation: str) -> Any:
        return self.http("GET", f"evaluationsV2/{evaluation}", {})

    def charts(self, evaluation: str, **body: object) -> Any:
        return self.http("POST", f"evaluationsV2/{evaluation}/charts", body)

    def examples(self, evaluation: str, **body: object) -> Any:
        return self.http("POST", f"evaluationsV2/{evaluation}/examples", {"limit": 10_000, **body})

    def item_id(self, name: str) -> str:
        found: str = self.http("GET", f"dataset/{self.dataset}/refloc/{name}", {})["item"]["id"]
        return found


def store_scene(http: Http, made: Scene, name: str = "detector") -> StoredScene:
    """Store a scene."""
    dataset = http("POST", "dataset/create", {"name": "Street scenes"})["dataset_id"]
    http("POST", f"dataset/{dataset}/append", {"items": made.items})
    http("POST", f"dataset/{dataset}/annotate", {"annotations": made.ground_truths})
    model = http("POST", "models/add", {"name": name, "reference_id": name, "metadata": {}})["model_id"]
    run = http("POST", f"dataset/{dataset}/modelRun/create", {"model_id": model, "name": "first"})["model_run_id"]
    http("POST", f"modelRun/{run}/predict", {"annotations": made.predictions})
    return StoredScene(http, made, dataset, model, run)


def small(http: Http, *confidences: float, name: str = "detector") -> StoredScene:
    """An image of two cars, with predictions of the first one."""
    predictions = [box_at("a.jpg", str(n), x=n, confidence=value) for n, value in enumerate(confidences)]
    ground_truths = [box_at("a.jpg", "1"), box_at("a.jpg", "2", x=50)]
    return store_scene(http, Scene([item("a.jpg", metadata={})], ground_truths, predictions), name)
