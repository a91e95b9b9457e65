"""Small data sets to evaluate, and plain Python that evaluates them: pair by pair, row by row."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from flask.testing import FlaskClient

import nucleus_pandas as npd
from nucleus_pandas.server.app import create_app
from nucleus_pandas.server.nucleus import EmbeddedNucleus

LABELS = ("bus", "car", "truck", "van")
Row = dict[str, Any]

NEGATIVE = {"type": "labels", "scope": "annotation", "target": "prediction", "labels": ["van"]}
GROUPS = [{"class_name": "big", "labels": ["bus", "truck"]}]


class Http:
    """Requests to an embedded Nucleus, as they are written."""

    def __init__(self, nucleus: EmbeddedNucleus) -> None:
        self.nucleus = nucleus
        self.client: FlaskClient = create_app(nucleus).test_client()

    def __call__(self, method: str, route: str, body: object = None, status: int = 200) -> Any:
        fields: dict[str, Any] = {}
        if body is not None:
            text = body if isinstance(body, bytes) else json.dumps(body)
            fields = {"data": text, "content_type": "application/json"}
        response = self.client.open(f"http://127.0.0.1/v1/nucleus/{route}", method=method, **fields)
        assert response.status_code == status, response.text
        found = json.loads(response.data)
        assert status < 400 or (found["status_code"] == status and found["error"]), found
        return found

    def refused(self, method: str, route: str, body: object, status: int) -> str:
        """Send what must be refused, and give the reason."""
        reason: str = self(method, route, body, status)["error"]
        return reason

    def table(self, name: str) -> list[tuple[Any, ...]]:
        with self.nucleus.database.read() as db:
            return db.execute(f"SELECT * FROM {name}").fetchall()


@dataclass
class Scene:
    """Images with metadata, their ground truth and predictions on them."""

    items: list[Row]
    truths: list[Row] = field(default_factory=list)
    predictions: list[Row] = field(default_factory=list)

    def without(
        self, *, items: Callable[[Row], bool], truths: Callable[[Row], bool], predictions: Callable[[Row], bool]
    ) -> Scene:
        """Leave out what the functions say."""
        kept = [one for one in self.items if not items(one)]
        names = {one["reference_id"] for one in kept}
        return Scene(
            kept,
            [one for one in self.truths if one["reference_id"] in names and not truths(one)],
            [one for one in self.predictions if one["reference_id"] in names and not predictions(one)],
        )

    def evaluate(self, **options: Any) -> npd.Evaluation:
        """Evaluate the frames of both sides."""
        items = pd.DataFrame({"reference_id": [one["reference_id"] for one in self.items]})
        return npd.evaluate(_frame(self.predictions), _frame(self.truths), items=items, **options)


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
            truth = _box(name, f"g{number}", draw.choice(LABELS[:3]), x, y, width, height)
            truth["metadata"] = {"iscrowd": 1} if draw.random() < 0.1 else {}
            made.truths.append(truth)
            for copy in range(draw.choice([0, 1, 1, 2])):
                label = truth["label"] if draw.random() < 0.6 else draw.choice(LABELS)
                shift = draw.choice([0, 0, 1, 3, 8, 30])
                guess = _box(name, f"p{number}-{copy}", label, x + shift, y, width, height + shift)
                made.predictions.append(guess | _sure(draw))
        for number in range(draw.randrange(3)):
            box = (draw.randrange(60, 200), draw.randrange(60), draw.randrange(5, 40), draw.randrange(5, 40))
            made.predictions.append(_box(name, f"q{number}", draw.choice(LABELS), *box) | _sure(draw))
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

    def agree(self, truth: Row, prediction: Row) -> bool:
        both = self.class_of(truth["label"]), self.class_of(prediction["label"])
        return both in self.pairs if self.pairs is not None else both[0] == both[1]

    def may_pair(self, truth: Row, prediction: Row) -> bool:
        return self.agree(truth, prediction) if self.pairs is not None or not self.class_agnostic else True


def is_crowd(one: Row) -> bool:
    return bool(one["metadata"].get("iscrowd"))


def _best_first(pair: tuple[Row, Row, float]) -> tuple[Any, ...]:
    truth, prediction, overlap = pair
    return -overlap, -prediction.get("confidence", -1), prediction["annotation_id"], truth["annotation_id"]


def outcomes(made: Scene, rule: Rule, threshold: float) -> pd.DataFrame:
    """Match greedily, the highest IoU first, and lay out what is a TP, an FP, an FN at a threshold."""
    rows: list[Row] = []
    for one in made.items:
        name = one["reference_id"]
        every = [row for row in made.truths if row["reference_id"] == name]
        truths = [row for row in every if not is_crowd(row)]
        crowds = [row for row in every if is_crowd(row)]
        predictions = [row for row in made.predictions if row["reference_id"] == name]
        pairs = [(t, p, iou(t, p)) for t in truths for p in predictions if iou(t, p) > 0 and rule.may_pair(t, p)]
        pairs.sort(
            key=lambda pair: (
                -pair[2],
                -pair[1].get("confidence", -1),
                pair[1]["annotation_id"],
                pair[0]["annotation_id"],
            )
        )
        partner: dict[str, tuple[Row, float]] = {}
        taken: set[str] = set()
        for truth, prediction, overlap in pairs:
            if truth["annotation_id"] not in taken and prediction["annotation_id"] not in partner:
                taken.add(truth["annotation_id"])
                partner[prediction["annotation_id"]] = (truth, overlap)
        found: set[str] = set()
        for prediction in predictions:
            truth, overlap = partner.get(prediction["annotation_id"], (None, 0.0))
            close = truth is not None and overlap >= threshold
            right = close and rule.agree(truth, prediction)
            if right and truth is not None:
                found.add(truth["annotation_id"])
            rows.append(
                _outcome(
                    "TP" if right else "FP",
                    one,
                    rule,
                    truth if close else None,
                    prediction,
                    overlap if close else None,
                    background=is_background(prediction, truths, crowds, rule),
                )
            )
        rows += [
            _outcome("FN", one, rule, truth, None, None, background=False)
            for truth in truths
            if truth["annotation_id"] not in found
        ]
    return pd.DataFrame(
        rows, columns=list(_outcome("", {"reference_id": ""}, rule, None, None, None, background=False))
    )


def is_background(prediction: Row, truths: list[Row], crowds: list[Row], rule: Rule) -> bool:
    """Tell whether TIDE calls a prediction one of background: near nothing, and not in a crowd of its label."""
    own = max((iou(t, prediction) for t in truths if rule.agree(t, prediction)), default=0.0)
    other = max((iou(t, prediction) for t in truths if not rule.agree(t, prediction)), default=0.0)
    in_crowd = any(
        rule.agree(crowd, prediction) and intersection(crowd, prediction) / area(prediction) >= 0.5 for crowd in crowds
    )
    return own < 0.1 and other <= 0.1 and not in_crowd


def _outcome(
    kind: str,
    item: Row,
    rule: Rule,
    truth: Row | None,
    prediction: Row | None,
    overlap: float | None,
    *,
    background: bool,
) -> Row:
    return {
        "match_type": kind,
        "reference_id": item["reference_id"],
        "gt_id": truth and truth["annotation_id"],
        "pred_id": prediction and prediction["annotation_id"],
        "gt_label": truth and truth["label"],
        "pred_label": prediction and prediction["label"],
        "gt_class": truth and rule.class_of(truth["label"]),
        "pred_class": prediction and rule.class_of(prediction["label"]),
        "iou": overlap,
        "confidence": prediction and prediction.get("confidence"),
        "gt_area": None if truth is None else area(truth),
        "item_metadata": item.get("metadata"),
        "prediction_metadata": prediction and prediction["metadata"],
        "background": background,
    }


def told(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    """Give what identifies examples of the server, with all that was compared in them."""
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


def expected(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Give the same of outcomes."""
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
    """Tell whether metadata fulfils a predicate."""
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
class World:
    """A scene that a server holds."""

    http: Http
    made: Scene
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
        """Make a benchmark, of the whole dataset unless told otherwise."""
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


def world(http: Http, made: Scene, name: str = "detector") -> World:
    """Store a scene."""
    dataset = http("POST", "dataset/create", {"name": "Street scenes"})["dataset_id"]
    http("POST", f"dataset/{dataset}/append", {"items": made.items})
    http("POST", f"dataset/{dataset}/annotate", {"annotations": made.truths})
    model = http("POST", "models/add", {"name": name, "reference_id": name, "metadata": {}})["model_id"]
    run = http("POST", f"dataset/{dataset}/modelRun/create", {"model_id": model, "name": "first"})["model_run_id"]
    http("POST", f"modelRun/{run}/predict", {"annotations": made.predictions})
    return World(http, made, dataset, model, run)


def an_image(name: str) -> Row:
    return {"reference_id": name, "image_url": f"https://example.org/{name}", "metadata": {}}


def box(name: str, annotation_id: str, label: str = "car", x: float = 0, **fields: Any) -> Row:
    geometry = {"x": x, "y": 0, "width": 10, "height": 10}
    row = {"type": "box", "reference_id": name, "annotation_id": annotation_id, "label": label, "geometry": geometry}
    return {**row, "metadata": {}, **fields}


def small(http: Http, *confidences: float, name: str = "detector") -> World:
    """An image of two cars, with predictions of the first one."""
    predictions = [box("a.jpg", str(n), x=n, confidence=value) for n, value in enumerate(confidences)]
    truths = [box("a.jpg", "1"), box("a.jpg", "2", x=50)]
    return world(http, Scene([an_image("a.jpg")], truths, predictions), name)
