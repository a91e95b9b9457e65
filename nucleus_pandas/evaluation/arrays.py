"""Ground truth and predictions as the arrays that every matcher uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas.evaluation.matching import MatchBoxes
from nucleus_pandas.wire.column_json import StringArray

NONE = -1
"""The row of a side that is missing."""

RleMask: TypeAlias = dict[str, Any]
"""A mask in COCO's compressed run-length encoding: ``size`` (height, width) and ``counts`` (bytes)."""


@dataclass(frozen=True, eq=False)
class EvaluatedImages:
    """The images that are evaluated, in the order of the items, or of their first mention.

    Attributes
    ----------
    key : {"reference_id", "dataset_item_id"}
        The id by which the frames were joined.
    ids : numpy.ndarray of shape (n,), object
        That id of each image, unique.
    reference_ids, dataset_item_ids : StringArray
        Both ids of each image where a frame has them, else null.
    """

    key: str
    ids: NDArray[Any]
    reference_ids: StringArray
    dataset_item_ids: StringArray

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def rank(self) -> Indices:
        """The rank of each image when they are sorted by id: as numbers where all ids are integers, else as strings.

        Equal confidences in different images count in this order, so that the order of the rows does not matter.
        """
        return places_in(natural_order(self.ids.tolist()))


def stable_order(codes: Indices) -> Indices:
    """Return the order that sorts integers from 0 on, equal ones in their order.

    Examples
    --------
    >>> stable_order(np.array([2, 0, 2, 0])).tolist()
    [1, 3, 0, 2]
    """
    # numbers of 16 bits are sorted by radix, ten times as fast
    return np.argsort(codes.astype(np.uint16) if codes.max(initial=0) < 1 << 16 else codes, kind="stable")


def counted_from_0(groups: Indices) -> Indices:
    """Count the entries of each run of equal values.

    Examples
    --------
    >>> counted_from_0(np.array([7, 7, 5, 7])).tolist()
    [0, 1, 0, 0]
    """
    every = np.arange(len(groups))
    starts = np.concatenate(([True], groups[1:] != groups[:-1]))[: len(groups)]
    return every - np.maximum.accumulate(np.where(starts, every, 0))


def natural_order(texts: Sequence[str]) -> list[int]:
    """Return the order that sorts strings: by their numbers where all are integers, else by the strings themselves.

    Examples
    --------
    >>> natural_order(["10", "9"]), natural_order(["10", "9", "a"])
    ([1, 0], [0, 1, 2])
    """
    are_numbers = all(text.isascii() and text.isdigit() for text in texts)
    keys: list[Any] = list(map(int, texts)) if are_numbers else list(texts)
    return sorted(range(len(keys)), key=keys.__getitem__)


def places_in(order: Indices | list[int]) -> Indices:
    """Return the place of each row in an order of all rows.

    Examples
    --------
    >>> places_in([2, 0, 1]).tolist()
    [1, 2, 0]
    """
    places = np.empty(len(order), dtype=np.intp)
    places[order] = np.arange(len(order))
    return places


def take_or(values: NDArray[Any], rows: Indices, missing: object) -> NDArray[Any]:
    """Return the values of rows, and another value where a row is `NONE`.

    Examples
    --------
    >>> take_or(np.array([5, 6]), np.array([1, -1]), 0).tolist()
    [6, 0]
    """
    taken = np.full((len(rows), *values.shape[1:]), missing, dtype=values.dtype)
    exists = rows != NONE
    taken[exists] = values[rows[exists]]
    return taken


@dataclass(frozen=True, eq=False)
class BoxArrays:
    """Ground truth or predictions, one row each, in the order of the frame.

    Attributes
    ----------
    image : numpy.ndarray of shape (n,), intp
        Number of the image.
    label : numpy.ndarray of shape (n,), intp
        Number of the label.
    box : numpy.ndarray of shape (n, 4), float64
        ``(x, y, width, height)`` in pixels.
    area : numpy.ndarray of shape (n,), float64
        In square pixels.
    ids : StringArray
        Annotation ids, unique within an image.
    crowd : numpy.ndarray of shape (n,), bool
        Which ground truth boxes are crowds, regions of many objects; never true for predictions.
    confidence : numpy.ndarray of shape (n,), float64, or None
        NaN where a prediction has none. None for ground truth.
    masks : list of dict, or None
        The mask of each row, if masks are evaluated.
    """

    image: Indices
    label: Indices
    box: Floats
    area: Floats
    ids: StringArray
    crowd: Bools
    confidence: Floats | None = None
    masks: list[RleMask] | None = None

    def __len__(self) -> int:
        return len(self.image)

    @cached_property
    def has_ranks(self) -> bool:
        """True if predictions can be ranked: some of them have a confidence."""
        return self.confidence is not None and not bool(np.isnan(self.confidence).all())

    @cached_property
    def ranked(self) -> Indices:
        """The rows of predictions by falling confidence, equal ones in their order; missing ones come last."""
        assert self.confidence is not None
        return np.argsort(-self.confidence, kind="stable")

    @cached_property
    def place(self) -> Indices:
        """How many predictions of the same label in the same image come before each by confidence."""
        order = self.ranked[stable_order(self.label[self.ranked])]
        order = order[stable_order(self.image[order])]
        group = self.image * (int(self.label.max(initial=0)) + 1) + self.label
        place = np.empty(len(order), dtype=np.intp)
        place[order] = counted_from_0(group[order])
        return place

    @cached_property
    def by_image(self) -> Indices:
        """The rows by image, those of one in their order."""
        return stable_order(self.image)

    def take(self, rows: Indices | Bools) -> BoxArrays:
        """Return some of the rows, in the order asked for."""
        numbers = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return BoxArrays(
            self.image[numbers],
            self.label[numbers],
            self.box[numbers],
            self.area[numbers],
            self.ids.take(numbers),
            self.crowd[numbers],
            None if self.confidence is None else self.confidence[numbers],
            None if self.masks is None else [self.masks[row] for row in numbers.tolist()],
        )


@dataclass(frozen=True, eq=False)
class EvaluationInputs:
    """Ground truth and predictions, with the images and labels that they share.

    Attributes
    ----------
    images : EvaluatedImages
        The images that rows refer to.
    labels : tuple of str
        The names of the labels of both sides, sorted.
    ground_truth, predictions : BoxArrays
        The two sides.
    area_source : str
        The source of the areas of the ground truth.
    notes : tuple of str
        Remarks on the frames.
    """

    images: EvaluatedImages
    labels: tuple[str, ...]
    ground_truth: BoxArrays
    predictions: BoxArrays
    area_source: str
    notes: tuple[str, ...] = ()

    @cached_property
    def countable(self) -> BoxArrays:
        """The ground truth without crowds, which are never found or missed."""
        return self.ground_truth.take(~self.ground_truth.crowd) if self.ground_truth.crowd.any() else self.ground_truth

    def boxes(self, side: BoxArrays) -> MatchBoxes:
        """Return one side in the form that the Nucleus match takes."""
        return MatchBoxes(
            item=side.image.astype(np.int64),
            label=np.array(self.labels, dtype=object)[side.label],
            box=side.box,
            annotation_id=side.ids.to_numpy(zero_copy_only=False),
            confidence=side.confidence,
        )

    def of_images(self, is_wanted: Bools) -> EvaluationInputs:
        """Return the boxes of some of the images, renumbered; the other images do not count."""
        number = np.cumsum(is_wanted) - 1
        rows = np.flatnonzero(is_wanted)
        images = replace(
            self.images,
            ids=self.images.ids[rows],
            reference_ids=self.images.reference_ids.take(rows),
            dataset_item_ids=self.images.dataset_item_ids.take(rows),
        )
        both = [side.take(is_wanted[side.image]) for side in (self.ground_truth, self.predictions)]
        ground_truth, predictions = (replace(side, image=number[side.image]) for side in both)
        return replace(self, images=images, ground_truth=ground_truth, predictions=predictions)
