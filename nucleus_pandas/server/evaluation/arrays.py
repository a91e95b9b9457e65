"""Stored boxes as the arrays that matchers and engines take."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices, Integers
from nucleus_pandas.evaluation.arrays import BoxArrays, EvaluatedImages, EvaluationInputs, natural_order
from nucleus_pandas.evaluation.match_rows import NONE
from nucleus_pandas.server.store.ids import dataset_of
from nucleus_pandas.wire.column_json import ARROW_STRING

ClassOf: TypeAlias = Callable[[str], str]

AREA = "width * height of the boxes"
"""Where areas come from."""

ONE_CLASS = "object"
"""The class of all labels where they are not distinguished."""

_ROWS = 20_000  # read at a time


def take_or(values: NDArray[Any], rows: Indices, missing: object) -> NDArray[Any]:
    """Return the values of rows, and another value where a row is `NONE`.

    Examples
    --------
    >>> take_or(np.array([5, 6]), np.array([1, -1]), 0).tolist()
    [6, 0]
    """
    taken = np.full(len(rows), missing, dtype=values.dtype)
    exists = rows != NONE
    taken[exists] = values[rows[exists]]
    return taken


def nan_to_none(values: Floats) -> list[float | None]:
    """Return a list of numbers, with None where they are NaN."""
    return [None if value != value else value for value in values.tolist()]


@dataclass(frozen=True, eq=False)
class StoredBoxes:
    """The boxes of one side, by item and then by arrival.

    Attributes
    ----------
    item : numpy.ndarray of shape (n,), int64
        Number of the item.
    key : list of str
        Unique within the item.
    label : numpy.ndarray of shape (n,), intp
        Index into `labels`.
    labels : list of str
        The labels.
    box : numpy.ndarray of shape (n, 4), float64
        ``(x, y, width, height)`` in pixels.
    confidence : numpy.ndarray of shape (n,), float64
        NaN where a box has none.
    crowd : numpy.ndarray of shape (n,), bool
        True for a ground truth that stands for many objects.
    are_predictions : bool
        Whether these are predictions, with confidences.
    """

    item: Integers
    key: list[str]
    label: Indices
    labels: list[str]
    box: Floats
    confidence: Floats
    crowd: Bools
    are_predictions: bool

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
        items, labels, boxes, confidences, crowds = (np.concatenate(column) for column in zip(*chunks, strict=True))
        return cls(items, keys, labels, list(codes), boxes, confidences, crowds, are_predictions)

    def take(self, mask: Bools) -> StoredBoxes:
        """Return the rows where a mask is true."""
        if mask.all():
            return self
        return StoredBoxes(
            self.item[mask],
            [self.key[row] for row in np.flatnonzero(mask).tolist()],
            self.label[mask],
            self.labels,
            self.box[mask],
            self.confidence[mask],
            self.crowd[mask],
            self.are_predictions,
        )

    def has_label(self, labels: Collection[str]) -> Bools:
        """Return which rows have one of some labels."""
        if not self.labels:
            return np.zeros(0, dtype=np.bool_)
        selected = set(labels)
        return np.array([label in selected for label in self.labels], dtype=np.bool_)[self.label]


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
    items = np.unique(np.concatenate([boxes.item for boxes in both]))
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
    names = list({class_of(label) for boxes in both for label in boxes.labels})
    classes = [name for _, name in sorted(zip(natural_order(names), names, strict=True))]
    codes = {name: code for code, name in enumerate(classes)}
    sides = []
    for boxes in both:
        code = np.array([codes[class_of(label)] for label in boxes.labels], dtype=np.intp)
        sides.append(
            BoxArrays(
                image=np.searchsorted(items, boxes.item),
                label=code[boxes.label] if len(code) else boxes.label,
                box=boxes.box,
                area=boxes.box[:, 2] * boxes.box[:, 3],
                ids=pa.array(boxes.key, ARROW_STRING),
                crowd=boxes.crowd,
                confidence=boxes.confidence if boxes.are_predictions else None,
            )
        )
    return EvaluationInputs(images, tuple(classes), sides[0], sides[1], AREA)
