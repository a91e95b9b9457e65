"""Frames of predictions and of ground truth, checked whole and joined by the ids of their images."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.arrays import BoxArrays, EvaluationInputs, natural_order
from nucleus_pandas.evaluation.crowds import crowds
from nucleus_pandas.evaluation.groups import Sources
from nucleus_pandas.evaluation.join import KEYS, Mentions, coded, meet
from nucleus_pandas.evaluation.masks import Masks, Size, masks_of, sizes_of
from nucleus_pandas.evaluation.parameters import IouType
from nucleus_pandas.schema import (
    CANONICAL,
    NOT_SENT,
    BoxColumn,
    NamedColumns,
    Problems,
    check_annotations,
    floats,
    texts,
    warn,
    within,
)
from nucleus_pandas.schema.boxes import BoxFormat, areas
from nucleus_pandas.wire.column_json import Texts

SIDES = ("x", "y", "width", "height")
_NAMES = (*CANONICAL, "area", "iscrowd", "segmentation")
_SHOWN = 5  # refused rows in an error's text


@dataclass(frozen=True)
class FrameColumns:
    """Which columns of the frames hold what; each frame takes what it has of it."""

    columns: Mapping[str, Hashable] | None = None
    bbox: BoxColumn | None = None
    bbox_format: BoxFormat = "xywh"

    def of(self, frame: pd.DataFrame) -> FrameColumns:
        """Leave out what the frame does not have, since the other frame has it."""
        held = NamedColumns(frame, None)
        columns = {name: own for name, own in (self.columns or {}).items() if held.holds(own)}
        if self.bbox is None:
            return FrameColumns(columns, None, self.bbox_format)
        own = list(self.bbox) if isinstance(self.bbox, (tuple, list)) else [self.bbox]
        if not all(map(held.holds, own)):
            return FrameColumns(columns)
        return FrameColumns(columns, self.bbox, self.bbox_format)

    def without_boxes(self) -> FrameColumns:
        """Leave out what names boxes."""
        return FrameColumns({name: own for name, own in (self.columns or {}).items() if name not in SIDES})


@dataclass(frozen=True, eq=False)
class _Taken:
    """The rows of a frame that are boxes, and the images that it names."""

    mentions: Mentions
    labels: Texts
    box: Floats
    ids: Texts
    confidence: Floats | None
    crowd: Bools
    area: Floats  # NaN where the frame has none
    masks: Masks | None
    left_out: int  # rows of other types


def sides_of(
    predictions: pd.DataFrame,
    ground_truth: pd.DataFrame,
    items: pd.DataFrame | None,
    layout: FrameColumns,
    iou_type: IouType,
) -> EvaluationInputs:
    """Take the frames.

    Parameters
    ----------
    predictions, ground_truth : pandas.DataFrame
        Boxes as `Dataset.annotate` and `ModelRun.predict` take them. Rows whose box is missing whole name images
        without boxes.
    items : pandas.DataFrame, optional
        All images that are evaluated.
    layout : FrameColumns
        Which columns hold what.
    iou_type : {"bbox", "segm"}
        Whether boxes or masks are evaluated.

    Raises
    ------
    InvalidInputError
        A column is missing, rows are wrong, or the ids of the frames do not meet.

    Warns
    -----
    NucleusWarning
        Some predictions lie on images that the ground truth does not know.
    """
    frames = {"ground truth": ground_truth, "predictions": predictions}
    for name, frame in (*frames.items(), ("items", items)):
        if frame is not None and not isinstance(frame, pd.DataFrame):
            raise InvalidInputError(f"Expected a DataFrame of {name}, got {type(frame).__name__}.")
    _check_layout(layout, *frames.values())
    key = _key(frames, items, layout)
    sizes = _sizes(key, layout, *frames.values(), items) if iou_type == "segm" else {}
    in_ground_truth = _take(ground_truth, "ground truth", key, layout, iou_type, sizes)
    in_predictions = _take(predictions, "predictions", key, layout, iou_type, sizes)
    known = None if items is None else _item_keys(items, key, layout)
    images, codes, notes = meet(key, in_ground_truth.mentions, in_predictions.mentions, known)
    labels, label_codes = coded([in_ground_truth.labels, in_predictions.labels])
    order = sorted(range(len(labels)), key=natural_order(labels).__getitem__)
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    (ground_truth_arrays, source), (prediction_arrays, _) = (
        _side(taken, image, place[label], iou_type)
        for taken, image, label in zip((in_ground_truth, in_predictions), codes, label_codes, strict=True)
    )
    named = NamedColumns(predictions, layout.of(predictions).columns, _NAMES)
    if len(predictions) and not named.has("confidence"):
        hint = named.missing(named.name("confidence"))
        warn(f"The predictions cannot be ranked, and average precision is NaN: {hint}")
    for name, taken in (("ground truth", in_ground_truth), ("predictions", in_predictions)):
        if taken.left_out:
            other = "boxes" if iou_type == "bbox" else "polygons or masks"
            notes.append(f"{taken.left_out} rows of the {name} are left out, since they are no {other}.")
            warn(notes[-1])
    return EvaluationInputs(
        images, tuple(labels[at] for at in order), ground_truth_arrays, prediction_arrays, source, tuple(notes)
    )


def sources_of(
    predictions: pd.DataFrame, ground_truth: pd.DataFrame, items: pd.DataFrame | None, layout: FrameColumns
) -> Sources:
    """Keep the frames as they are now, for what is asked of their columns later."""
    frames = {"items": items, "ground truth": ground_truth, "predictions": predictions}
    return Sources(
        [
            (name, NamedColumns(frame.copy(deep=False), layout.of(frame).columns, _NAMES))
            for name, frame in frames.items()
            if frame is not None
        ]
    )


def _sizes(key: str, layout: FrameColumns, *frames: pd.DataFrame | None) -> dict[str, Size]:
    named = [NamedColumns(frame, layout.of(frame).columns, _NAMES) for frame in frames if frame is not None]
    return sizes_of((one, texts(one.need(key), Problems(one.index))) for one in named)


def _check_layout(layout: FrameColumns, *frames: pd.DataFrame) -> None:
    """Refuse names that no frame holds, and names of columns that there are none of."""
    held = [NamedColumns(frame, None) for frame in frames]
    if not isinstance(layout.columns, Mapping | None):
        NamedColumns(frames[-1], layout.columns, _NAMES)  # raises what is wrong
    for name, own in (layout.columns or {}).items():
        if name not in _NAMES or not any(named.holds(own) for named in held):
            NamedColumns(frames[-1], {name: own}, _NAMES)  # raises what is wrong
    if layout.bbox is not None and all(layout.of(frame).bbox is None for frame in frames):
        for own in layout.bbox if isinstance(layout.bbox, (tuple, list)) else [layout.bbox]:
            held[-1].own(own, " for bbox")


def _key(frames: Mapping[str, pd.DataFrame], items: pd.DataFrame | None, layout: FrameColumns) -> str:
    """Choose the id by which the frames meet: the reference id where all of them have it."""
    every = {**frames, **({} if items is None else {"items": items})}
    named = {name: NamedColumns(frame, layout.of(frame).columns, _NAMES) for name, frame in every.items()}
    shared = [key for key in KEYS if all(one.has(key) for one in named.values())]
    for key in shared:
        if not any(bool(one.need(key).isna().any()) for one in named.values()):
            return key
    if shared:
        return shared[0]
    has = "; ".join(f"the {name} have {_listed([k for k in KEYS if one.has(k)])}" for name, one in named.items())
    raise InvalidInputError(
        f"The frames share no id of images: {has}. All of them need 'reference_id', or all of them "
        "'dataset_item_id'; columns={'reference_id': 'your_column'} names another column."
    )


def _listed(names: list[str]) -> str:
    return " and ".join(map(repr, names)) or "neither 'reference_id' nor 'dataset_item_id'"


def _take(
    frame: pd.DataFrame, name: str, key: str, layout: FrameColumns, iou_type: IouType, sizes: Mapping[str, Size]
) -> _Taken:
    own = layout.of(frame)
    named = NamedColumns(frame, own.columns, _NAMES)
    problems = Problems(named.index)
    # what is wrong with ids the check of the whole rows tells
    keys = {kind: texts(named.need(kind), Problems(named.index)) for kind in KEYS if named.has(kind)}
    masks = None
    if iou_type == "segm":
        masks = masks_of(named, keys[key], problems, sizes)
        frame, own = masks.boxed(named), own.without_boxes()
    checked = check_annotations(
        frame,
        "annotations" if name == "ground truth" else "predictions",
        columns={canonical: column for canonical, column in (own.columns or {}).items() if canonical in CANONICAL},
        bbox=own.bbox,
        bbox_format=own.bbox_format,
        metadata_from=False,
    )
    problems.extend(checked.problems)
    units = checked.units
    is_unit = checked.unit_of_row != NOT_SENT
    is_box = is_unit & ~np.isin(checked.unit_of_row, list(units.others))
    has_key: Bools = keys[key].is_valid().to_numpy(zero_copy_only=False)
    problems.add(is_box & ~has_key, str(named.name(key)), "is missing. Fill it, or drop the row.")
    is_truth = name == "ground truth"
    area = _given_areas(named, problems) if is_truth else np.full(len(named), np.nan)
    if problems.bad.any():
        raise _refused(problems, name, len(frame))
    mentions = is_box | (~is_unit & has_key)
    rows = np.flatnonzero(is_box)
    of_unit = checked.unit_of_row[rows]
    boxes = units.boxes
    confidence = np.full(len(boxes), np.nan) if boxes.confidences is None else boxes.confidences
    return _Taken(
        mentions=Mentions(
            {kind: column.filter(pa.array(mentions)) for kind, column in keys.items()}, np.flatnonzero(is_box[mentions])
        ),
        labels=boxes.labels.take(of_unit),
        box=np.ascontiguousarray(boxes.sides.T[of_unit]),
        ids=boxes.ids().take(of_unit),
        confidence=None if is_truth else confidence[of_unit],
        crowd=crowds(named)[rows] if is_truth else np.zeros(len(rows), dtype=np.bool_),
        area=area[rows],
        masks=None if masks is None else masks.take(rows),
        left_out=int(np.count_nonzero(is_unit & ~is_box)) if masks is None else masks.missing(named),
    )


def _given_areas(named: NamedColumns, problems: Problems) -> Floats:
    series = named.get("area")
    if series is None:
        return np.full(len(named), np.nan)
    found = floats(series, problems)
    within(found, problems, str(series.name), lambda value: value >= 0, "an area is 0 or more, in square pixels.")
    return found


def _refused(problems: Problems, name: str, count: int) -> InvalidInputError:
    reasons = problems.reasons()
    lines = [f"{len(reasons)} of {count} rows of the {name} are refused:"]
    lines += [f"  {problems.label(row)}: {reasons[row]}" for row in list(reasons)[:_SHOWN]]
    if len(reasons) > _SHOWN:
        lines.append(f"  … and {len(reasons) - _SHOWN} more; .problems lists all.")
    return InvalidInputError("\n".join(lines), problems=problems.frame())


def _item_keys(items: pd.DataFrame, key: str, layout: FrameColumns) -> dict[str, Texts]:
    named = NamedColumns(items, layout.of(items).columns, _NAMES)
    problems = Problems(named.index)
    required = np.ones(len(named), dtype=np.bool_)
    found = {key: texts(named.need(key), problems, required=required)}
    if problems.bad.any():
        raise _refused(problems, "items", len(items))
    for other in KEYS:
        if other != key and named.has(other):
            found[other] = texts(named.need(other), Problems(named.index))
    return found


def _side(taken: _Taken, image: Indices, label: Indices, iou_type: IouType) -> tuple[BoxArrays, str]:
    given = ~np.isnan(taken.area)
    computed = areas(taken.box) if taken.masks is None else taken.masks.areas()
    how = "width times height" if iou_type == "bbox" else "pixels of the mask"
    source = "the column 'area'" if given.all() and len(given) else how
    if given.any() and not given.all():
        source = f"the column 'area', and {how} where it is empty"
    side = BoxArrays(
        image=image,
        label=label,
        box=taken.box,
        area=np.where(given, taken.area, computed),
        ids=taken.ids,
        crowd=taken.crowd,
        confidence=taken.confidence,
        masks=None if taken.masks is None else taken.masks.encoded,
    )
    return side, source
