"""Marks on images: boxes, lines, polygons and keypoints of ground truth and predictions."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.inputs import FrameColumns
from nucleus_pandas.images.gallery.selection import PREDICTED, Selection, strings_of
from nucleus_pandas.images.svg_shapes import CUBOID, Extent, Point, SvgShape, keypoints, polygon, rectangle
from nucleus_pandas.schema import NOT_SENT, NamedColumns, Problems, check_annotations, floats, to_strings
from nucleus_pandas.schema.geometry import named_columns
from nucleus_pandas.wire.entities import Category, Keypoints, Line, Mask, MultiCategory, Polygon

AnnotationSide: TypeAlias = Literal["ground truth", "prediction"]
MarkKind: TypeAlias = Literal["annotations", "predictions"]

_TAKEN = ("label", "type", "x", "y", "width", "height", "geometry", "confidence")
_KINDS_OF_SIDE: dict[AnnotationSide, MarkKind] = {"ground truth": "annotations", "prediction": "predictions"}
_OUTCOMES: dict[AnnotationSide, tuple[str, ...]] = {"ground truth": ("TP", "FN"), "prediction": ("TP", "FP")}
"""The possible outcomes of the marks of each side."""


@dataclass(frozen=True)
class Mark:
    """An annotation or a prediction on an image.

    Attributes
    ----------
    side : {"ground truth", "prediction"}
        Its side.
    label : str
        Its label.
    shape : SvgShape or None
        How it is drawn; None for a mask, and for what belongs to the whole image.
    confidence, iou : float
        NaN where unknown.
    match_type : {"TP", "FP", "FN"} or None
        Its outcome; None if it has none, as the ground truth beside a wrong prediction.
    segments : tuple of (str, int)
        Of a mask its labels, each with the number that its pixels have.
    source : pathlib.Path, bytes, str or None
        Of a mask its file, the content of that, or its URL.
    """

    side: AnnotationSide
    label: str
    shape: SvgShape | None = None
    confidence: float = nan
    iou: float = nan
    match_type: str | None = None
    segments: tuple[tuple[str, int], ...] = ()
    source: Path | bytes | str | None = None

    @property
    def is_placed(self) -> bool:
        """True if it has a place in the image."""
        return self.shape is not None or self.source is not None

    @property
    def labels(self) -> list[str]:
        """The labels that its colours stand for."""
        return list(dict.fromkeys(label for label, _ in self.segments)) or [self.label]

    @property
    def extent(self) -> Extent:
        """Left, top, right and bottom edge of its shape."""
        assert self.shape is not None
        assert self.shape.extent is not None
        return self.shape.extent

    @property
    def area(self) -> float:
        """Of the box around it, in square pixels."""
        left, top, right, bottom = self.extent
        return (right - left) * (bottom - top)


class Marks:
    """The marks on each image, and the rows that cannot be drawn.

    Attributes
    ----------
    of_tile : list of list of Mark
        In the order of the frames.
    problems : list of list of str
        Why rows are not drawn.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self.of_tile: list[list[Mark]] = [[] for _ in selection.images]
        self.problems: list[list[str]] = [[] for _ in selection.images]

    def add_own(self, named: NamedColumns, side: AnnotationSide, layout: FrameColumns) -> None:
        """Add the boxes of the frame that names the images."""
        rows = self._rows()
        marks, problems = _marks(named.some([row for row, _ in rows]), side, layout)
        for (_, tile), mark, problem in zip(rows, marks, problems, strict=True):
            self._add([tile], mark, problem)

    def add_examples(self, named: NamedColumns) -> None:
        """Add both boxes of each row of a frame of examples, which names the images."""
        self.add_own(named, "ground truth", FrameColumns())
        predicted = NamedColumns(named.frame, {"label": "predicted_label"})
        self.add_own(predicted, "prediction", FrameColumns(bbox=PREDICTED))

    def add_others(self, frame: pd.DataFrame, side: AnnotationSide, layout: FrameColumns) -> None:
        """Add the boxes of another frame on the same images."""
        layout = layout.of(frame)
        named = NamedColumns(frame, layout.columns)
        tiles_of_row = self._tiles_of_rows(named)
        marks, problems = _marks(named.some(list(tiles_of_row)), side, layout)
        for tiles, mark, problem in zip(tiles_of_row.values(), marks, problems, strict=True):
            self._add(tiles, mark, problem)

    def add_matches(
        self, named: NamedColumns, sides: Mapping[AnnotationSide, pd.DataFrame], layout: FrameColumns
    ) -> None:
        """Add the boxes that a frame of matches, which names the images, names by their ids.

        A pair that is not a match is drawn with the side of its row.
        """
        rows = self._rows()
        selected, has_outcomes = named.some([row for row, _ in rows]), named.holds("match_type")
        for side, frame in sides.items():
            marks_by_id = self._marks_by_id(frame, side, layout.of(frame))
            ids = strings_of(selected, "annotation_id" if side == "ground truth" else "prediction_id")
            labels = strings_of(selected, "label" if side == "ground truth" else "predicted_label")
            for (_, tile), box_id, label, outcome in zip(
                rows, ids, labels, _outcome_marks(selected, side), strict=True
            ):
                if box_id is None or (has_outcomes and outcome.match_type is None):
                    continue
                mark = marks_by_id.get((self._selection.images[tile].id, box_id))
                if mark is None:
                    self._add([tile], None, f"the {side} '{box_id}' is not in the frame of that side")
                else:
                    confidence = outcome.confidence if side == "prediction" else nan
                    self._add([tile], replace(mark, label=label or mark.label, match_type=outcome.match_type,
                                              confidence=confidence, iou=outcome.iou), None)  # fmt: skip

    def _marks_by_id(
        self, frame: pd.DataFrame, side: AnnotationSide, layout: FrameColumns
    ) -> dict[tuple[str | None, str], Mark]:
        """Find the marks on the images by the ids of image and box."""
        named = NamedColumns(frame, layout.columns)
        tiles_of_row = self._tiles_of_rows(named)
        selected = named.some(list(tiles_of_row))
        marks, _ = _marks(selected, side, layout)
        checked = check_annotations(
            selected.frame,
            _KINDS_OF_SIDE[side],
            columns=layout.columns,
            bbox=layout.bbox,
            bbox_format=layout.bbox_format,
            metadata_from=False,
        )
        units = checked.units
        ids = units.boxes.ids()
        marks_by_id: dict[tuple[str | None, str], Mark] = {}
        for at, (tiles, mark) in enumerate(zip(tiles_of_row.values(), marks, strict=True)):
            unit = int(checked.unit_of_row[at])
            if mark is not None and unit != NOT_SENT:
                marks_by_id[self._selection.images[tiles[0]].id, ids[unit].as_py()] = mark
        return marks_by_id

    def _rows(self) -> list[tuple[int, int]]:
        """Return the rows of the frame that names the images, in its order, and the image of each."""
        return sorted((int(row), number) for number, tile in enumerate(self._selection.images) for row in tile.rows)

    def _tiles_of_rows(self, named: NamedColumns) -> dict[int, list[int]]:
        """Find the rows of another frame that are on the images, and the images of each."""
        key = self._selection.key
        if not named.has(key) or key == "image_url":
            raise InvalidInputError(f"The frame names its images by {key!r} alone. {named.missing(key)}")
        tiles: dict[str, list[int]] = {}
        for number, tile in enumerate(self._selection.images):
            if tile.id is not None:
                tiles.setdefault(tile.id, []).append(number)
        keys = to_strings(named.need(key), Problems(named.index))
        rows = np.flatnonzero(pd.Series(keys.to_numpy(zero_copy_only=False)).isin(list(tiles)))
        return {row: tiles[keys[row].as_py()] for row in rows.tolist()}

    def _add(self, tiles: Iterable[int], mark: Mark | None, problem: str | None) -> None:
        for tile in tiles:
            if mark is not None:
                self.of_tile[tile].append(mark)
            if problem is not None:
                self.problems[tile].append(problem)


def _marks(
    named: NamedColumns, side: AnnotationSide, layout: FrameColumns
) -> tuple[list[Mark | None], list[str | None]]:
    """Read the rows of a frame: the mark of each, and why others have none."""
    columns: dict[Hashable, pd.Series[Any]] = {name: named.need(name) for name in _TAKEN if named.has(name)}
    columns |= {name: named.own(name, " for bbox") for name in named_columns(named, layout.bbox)}
    # the ids of images and annotations do not matter here, and repeated ids are drawn repeatedly
    frame = pd.DataFrame({name: series.reset_index(drop=True) for name, series in columns.items()}, range(len(named)))
    checked = check_annotations(
        frame.assign(reference_id="-"),
        _KINDS_OF_SIDE[side],
        bbox=layout.bbox,
        bbox_format=layout.bbox_format,
        metadata_from=False,
    )
    units = checked.units
    marks: list[Mark | None] = [None] * len(named)
    problems: list[str | None] = [None] * len(named)
    for row, reason in checked.problems.reasons().items():
        problems[row] = reason
    for row, outcome in enumerate(_outcome_marks(named, side)):
        unit = int(checked.unit_of_row[row])
        if unit == NOT_SENT:
            continue
        if unit in units.others:
            marks[row] = _shape(units.others[unit], outcome, units.files.get(unit))
            if marks[row] is None:
                problems[row] = CUBOID
            continue
        label = units.boxes.labels[unit].as_py()
        marks[row] = replace(outcome, label=label, shape=rectangle(units.boxes.sides[:, unit].tolist(), label))
    return marks, problems


def _outcome_marks(named: NamedColumns, side: AnnotationSide) -> list[Mark]:
    """Return a mark with the outcome of each row, and without a shape."""
    kinds = strings_of(named, "match_type")
    confidences, ious = (_numbers(named, name) for name in ("confidence", "iou"))
    return [
        Mark(
            side,
            "",
            confidence=confidence if side == "prediction" else nan,
            iou=iou,
            match_type=kind if kind in _OUTCOMES[side] else None,
        )
        for kind, confidence, iou in zip(kinds, confidences, ious, strict=True)
    ]


def _numbers(named: NamedColumns, name: str) -> list[float]:
    series = named.get(name)
    if series is None:
        return [nan] * len(named)
    numbers: list[float] = floats(series, Problems(named.index)).tolist()
    return numbers


def _point(x: object, y: object) -> Point | None:
    return (float(x), float(y)) if isinstance(x, (int, float)) and isinstance(y, (int, float)) else None


def _shape(annotation: Any, outcome: Mark, file: Path | None) -> Mark | None:
    """Draw an annotation other than a box; None where it is not drawn. A mask may be a local file."""
    if isinstance(annotation, (Line, Polygon)):
        points = [(point.x, point.y) for point in annotation.geometry.vertices]
        shape = polygon(points, annotation.label, closed=isinstance(annotation, Polygon))
        return replace(outcome, label=annotation.label, shape=shape)
    if isinstance(annotation, Keypoints):
        places = [_point(point.x, point.y) for point in annotation.geometry.keypoints]
        shape = keypoints(places, annotation.geometry.skeleton or (), annotation.label)
        return replace(outcome, label=annotation.label, shape=shape)
    if isinstance(annotation, (Category, MultiCategory)):
        label = annotation.label if isinstance(annotation, Category) else ", ".join(annotation.labels)
        return replace(outcome, label=label)
    if isinstance(annotation, Mask):
        segments = tuple((segment.label, segment.index) for segment in annotation.annotations)
        label = ", ".join(dict.fromkeys(label for label, _ in segments))
        return replace(outcome, label=label, segments=segments, source=file or annotation.mask_url)
    return None
