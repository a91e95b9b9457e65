"""Stored boxes as the arrays that matchers and engines take."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats
from nucleus_pandas.evaluation.arrays import BoxArrays, EvaluatedImages, EvaluationInputs, natural_order
from nucleus_pandas.server.store.ids import dataset_of
from nucleus_pandas.wire.column_json import ARROW_STRING

ClassOf: TypeAlias = Callable[[str], str]

AREA = "width * height of the boxes"
"""Where areas come from."""

ONE_CLASS = "object"
"""The class of all labels where they are not distinguished."""

_ROWS = 20_000  # read at a time


def nan_to_none(values: Floats) -> list[float | None]:
    """Return a list of numbers, with None where they are NaN."""
    return [None if value != value else value for value in values.tolist()]


@dataclass(frozen=True, eq=False)
class StoredBoxes:
    """The boxes of one side, by item and then by arrival.

    Attributes
    ----------
    boxes : BoxArrays
        The numbers of their images are those of the items; their ids are the keys, unique within the item.
    labels : list of str
        The labels, in the order of their numbers.
    """

    boxes: BoxArrays
    labels: list[str]

    @classmethod
    def read(cls, cursors: Iterable[sqlite3.Cursor], *, are_predictions: bool) -> StoredBoxes:
        """Read rows of (item, key, label, x, y, width, height, confidence, is crowd)."""
        keys: list[str] = []
        codes: dict[str, int] = {}
        chunks: list[tuple[NDArray[Any], ...]] = [
            (np.empty(0, np.int64), np.empty(0, np.intp), np.empty((0, 4)), np.empty(0), np.empty(0, np.bool_))
        ]
        for cursor in cursors:
            while rows := cursor.fetchmany(_ROWS):
                item, key, label, *sides, confidence, crowd = zip(*rows, strict=True)
                keys.extend(key)
                chunks.append(
                    (
                        np.array(item, dtype=np.int64),
                        np.array([codes.setdefault(name, len(codes)) for name in label], dtype=np.intp),
                        np.array(sides, dtype=np.float64).T,
                        np.array(confidence, dtype=np.float64),
                        np.array(crowd, dtype=np.bool_),
                    )
                )
        items, numbers, box, confidences, crowds = (np.concatenate(column) for column in zip(*chunks, strict=True))
        boxes = BoxArrays(
            image=items,
            label=numbers,
            box=box,
            area=box[:, 2] * box[:, 3],
            ids=pa.array(keys, ARROW_STRING),
            crowd=crowds,
            confidence=confidences if are_predictions else None,
        )
        return cls(boxes, list(codes))

    def has_label(self, labels: Collection[str]) -> Bools:
        """Return which rows have one of some labels."""
        selected = set(labels)
        return np.isin(self.boxes.label, [code for code, label in enumerate(self.labels) if label in selected])


def to_inputs(
    ground_truth: StoredBoxes, predictions: StoredBoxes, reference_ids: dict[int, str], class_of: ClassOf
) -> EvaluationInputs:
    """Join ground truth and predictions.

    Parameters
    ----------
    ground_truth, predictions : StoredBoxes
        Both sides.
    reference_ids : dict of int to str
        By item. Predictions of equal confidence in different images are ranked by it, as in an evaluation of frames.
    class_of : callable
        Returns the class as which a label is evaluated.
    """
    both = (ground_truth, predictions)
    items = np.unique(np.concatenate([side.boxes.image for side in both]))
    numbers = items.tolist()
    names = [reference_ids.get(number, "") for number in numbers]
    if len({dataset_of(number) for number in numbers}) > 1:  # reference ids are unique within a dataset only
        names = [f"{number:016x}" for number in numbers]
    images = EvaluatedImages(
        key="reference_id",
        ids=np.array(names, dtype=object),
        reference_ids=pa.array(names, ARROW_STRING),
        dataset_item_ids=pa.nulls(len(names), ARROW_STRING),
    )
    names = list({class_of(label) for side in both for label in side.labels})
    classes = [names[at] for at in natural_order(names)]
    codes = {name: code for code, name in enumerate(classes)}
    sides = []
    for boxes, labels in ((side.boxes, side.labels) for side in both):
        code = np.array([codes[class_of(label)] for label in labels], dtype=np.intp)
        sides.append(replace(boxes, image=np.searchsorted(items, boxes.image), label=code[boxes.label]))
    return EvaluationInputs(images, tuple(classes), sides[0], sides[1], AREA)
