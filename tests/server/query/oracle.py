"""The query language in plain Python: each condition knows its text and whether it holds."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nucleus_pandas as npd

Row = dict[str, Any]


VALUES: list[Any] = ["rain", "sun", "7", "", 7, 7.5, 0, -3, True, False, None, ["rain"], {"rain": 1}]


LABELS = ["car", "bus", "traffic light", "count"]


EXAMPLES = int(os.environ.get("NUCLEUS_PANDAS_QUERIES", "150"))


def images() -> list[Row]:
    """Images that have every value under every key, or lack the key; and from no to four boxes and a category."""
    made = []
    for number in range(48):
        metadata = {"weather": VALUES[number % 13], "deep": {"k": VALUES[number % 5], "two words": number % 4}}
        metadata["hour"] = VALUES[(number * 5 + 4) % 13]
        for key in [["weather"], ["hour"], [], [], []][number % 5]:
            del metadata[key]
        truths = [
            {
                "type": "box",
                "label": LABELS[(number + place) % 4],
                "annotation_id": f"{number}-{place}",
                "metadata": {"speed": VALUES[(number + 3 * place) % 13]} if place % 3 else {},
                "geometry": {"x": place, "y": number % 7, "width": 10 + number % 9, "height": 5.5 * place},
            }
            for place in range(number % 5)
        ]
        if number % 3 == 0:
            light = {"type": "category", "label": ["night", "day"][number % 2], "taxonomy_name": "light"}
            truths.append({**light, "annotation_id": "c"})
        sizes = {"width": 640, "height": 480 + number} if number % 2 else {}
        made.append({"reference_id": f"{number}.jpg", "metadata": metadata, "truths": truths, **sizes})
    return made


IMAGES = images()


@dataclass
class QueriedDataset:
    """A dataset of those images, and a run with a prediction on every second of them."""

    dataset: npd.Dataset
    run: npd.ModelRun
    other: npd.ModelRun


def found(queried: QueriedDataset, text: str, kind: Any = "items", **options: Any) -> list[str]:
    names: list[str] = queried.dataset.query(text, kind=kind, **options)["reference_id"].tolist()
    return names


def names(test: Callable[[Row], Any]) -> list[str]:
    return [one["reference_id"] for one in IMAGES if test(one)]


@dataclass
class Condition:
    text: str
    of: Callable[[Row], bool | None]

    def __repr__(self) -> str:
        return self.text


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "flag"
    return {int: "number", float: "number", str: "text"}.get(type(value), "other")


SIGNS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compared(sign: str, left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    if kind_of(left) != kind_of(right):
        return sign == "!="
    if kind_of(left) == "other" and sign not in ("=", "!="):
        return False
    return bool(SIGNS[sign](left, right))


def number(value: Any) -> Any:
    return value if kind_of(value) == "number" else None


def count(*labels: str) -> Callable[[Row, Row | None], int]:
    def of(one: Row, _: Row | None) -> int:
        boxes = [box for box in one["truths"] if box["type"] == "box"]
        return sum(box["label"] in labels for box in boxes) if labels else len(boxes)

    return of


def every(left: Condition, right: Condition) -> Condition:
    def of(one: Row) -> bool | None:
        both = left.of(one), right.of(one)
        return False if False in both else None if None in both else True

    return Condition(f"({left.text}) AND ({right.text})", of)


def speed(box: Row) -> Any:
    return box.get("metadata", {}).get("speed")


def number_of(one: Row) -> int:
    return int(one["reference_id"].split(".")[0])
