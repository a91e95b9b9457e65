"""Stored boxes as the arrays that matchers and engines take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nucleus_pandas._util.arrays import Bools
from nucleus_pandas.evaluation.arrays import BoxArrays, EvaluatedImages, EvaluationInputs, natural_order
from nucleus_pandas.server.store.ids import dataset_of
from nucleus_pandas.wire.column_json import TEXT

ClassOf: TypeAlias = Callable[[str], str]

AREA = "width * height of the boxes"
"""Where areas come from."""

ONE_CLASS = "object"
"""What all labels count as where they are not told apart."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The boxes of one side, by item and then by arrival.

    Attributes
    ----------
    item : numpy.ndarray of shape (n,), int64
        Number of the item.
    key : list of str
        What makes each unique in its item.
    label : numpy.ndarray of shape (n,), intp
        Place in `labels`.
    labels : list of str
        The labels.
    box : numpy.ndarray of shape (n, 4), float64
        ``(x, y, width, height)`` in pixels.
    confidence : numpy.ndarray of shape (n,), float64
        NaN where there is none.
    crowd : numpy.ndarray of shape (n,), bool
        Which ground truths stand for many objects.
    """

    item: npt.NDArray[np.int64]
    key: list[str]
    label: npt.NDArray[np.intp]
    labels: list[str]
    box: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]
    crowd: Bools
    with_confidence: bool

    @classmethod
    def collector(cls, *, with_confidence: bool) -> Collector:
        """Begin to collect rows."""
        return Collector(with_confidence)

    def take(self, which: Bools) -> Rows:
        """Return some of the rows."""
        if which.all():
            return self
        at = np.flatnonzero(which)
        keys = [self.key[row] for row in at.tolist()]
        return Rows(
            self.item[at],
            keys,
            self.label[at],
            self.labels,
            self.box[at],
            self.confidence[at],
            self.crowd[at],
            self.with_confidence,
        )

    def has_label(self, wanted: Iterable[str]) -> Bools:
        """Return which rows have one of some labels."""
        names = set(wanted)
        is_wanted = np.array([label in names for label in self.labels], dtype=np.bool_)
        return is_wanted[self.label] if len(self.labels) else np.zeros(0, dtype=np.bool_)


@dataclass(slots=True)
class Collector:
    """Takes rows (item, key, label, x, y, width, height, confidence, crowd) a few at a time."""

    with_confidence: bool
    _parts: list[tuple[Any, ...]] = field(default_factory=list)
    _keys: list[str] = field(default_factory=list)
    _codes: dict[str, int] = field(default_factory=dict)

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take some rows."""
        item, key, label, *sides, confidence, crowd = zip(*rows, strict=True)
        codes = self._codes
        self._keys.extend(key)
        self._parts.append(
            (
                np.array(item, dtype=np.int64),
                np.array([codes.setdefault(name, len(codes)) for name in label], dtype=np.intp),
                np.array(sides, dtype=np.float64).T,
                np.array(confidence, dtype=np.float64),
                np.array(crowd, dtype=np.bool_),
            )
        )

    def rows(self) -> Rows:
        """Return all of them."""
        none = (np.empty(0, np.int64), np.empty(0, np.intp), np.empty((0, 4)), np.empty(0), np.empty(0, np.bool_))
        columns = zip(none, *self._parts, strict=True)
        item, label, box, confidence, crowd = (np.concatenate(column) for column in columns)
        return Rows(item, self._keys, label, list(self._codes), box, confidence, crowd, self.with_confidence)


def sides_of(truth: Rows, predictions: Rows, reference_ids: dict[int, str], class_of: ClassOf) -> EvaluationInputs:
    """Join both sides.

    Parameters
    ----------
    reference_ids : dict of int to str
        Of the items: equal confidences in different images count in their order, as where frames are evaluated.
    class_of : callable
        What a label is evaluated as.
    """
    both = (truth, predictions)
    items = np.unique(np.concatenate([rows.item for rows in both]))
    numbers = items.tolist()
    names = [reference_ids.get(number, "") for number in numbers]
    if len({dataset_of(number) for number in numbers}) > 1:  # reference ids are unique in a dataset only
        names = [f"{number:016x}" for number in numbers]
    images = EvaluatedImages(
        key="reference_id",
        ids=np.array(names, dtype=object),
        reference_ids=pa.array(names, TEXT),
        dataset_item_ids=pa.nulls(len(names), TEXT),
    )
    classes = list({class_of(label) for rows in both for label in rows.labels})
    order = natural_order(classes)
    classes = [classes[at] for at in sorted(range(len(classes)), key=order.__getitem__)]
    codes = {name: number for number, name in enumerate(classes)}
    sides = []
    for rows in both:
        code = np.array([codes[class_of(label)] for label in rows.labels], dtype=np.intp)
        sides.append(
            BoxArrays(
                image=np.searchsorted(items, rows.item),
                label=code[rows.label] if len(code) else rows.label,
                box=rows.box,
                area=rows.box[:, 2] * rows.box[:, 3],
                ids=pa.array(rows.key, TEXT),
                crowd=rows.crowd,
                confidence=rows.confidence if rows.with_confidence else None,
            )
        )
    return EvaluationInputs(images, tuple(classes), sides[0], sides[1], AREA)
