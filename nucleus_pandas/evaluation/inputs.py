"""Frames of predictions and of ground truth become arrays: validated whole, and joined by the ids of their images."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas._util.unicode_forms import hints_of_form
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.arrays import (
    BoxArrays,
    EvaluatedImages,
    EvaluationInputs,
    RleMask,
    natural_order,
    places_in,
)
from nucleus_pandas.evaluation.crowds import crowds
from nucleus_pandas.evaluation.groups import GroupingFrames
from nucleus_pandas.evaluation.masks import MaskSize, boxed, codec, masks_of, missing_masks, sizes_of
from nucleus_pandas.evaluation.parameters import IouType
from nucleus_pandas.schema import (
    CANONICAL,
    NOT_SENT,
    BoxColumn,
    FrameLike,
    NamedColumns,
    Problems,
    as_frame,
    check_annotations,
    conversion,
    floats,
    frame_of,
    to_strings,
    type_name,
    warn,
    within,
)
from nucleus_pandas.schema.boxes import BoxFormat, areas
from nucleus_pandas.schema.geometry import SIDES
from nucleus_pandas.schema.unfolding import report, unfolded
from nucleus_pandas.wire.column_json import ARROW_STRING, StringArray

_NAMES = (*CANONICAL, "area", "iscrowd", "segmentation")
KEYS = ("reference_id", "dataset_item_id")
_STORED = ("items", "annotations")  # the members of ground truth on a server
_SHOWN_ROWS = 5  # invalid rows in an error's text
_SHOWN_IDS = 3  # in a sentence


@dataclass(frozen=True)
class FrameColumns:
    """The names of the columns of both frames; each frame uses those that it has."""

    columns: Mapping[str, Hashable] | None = None
    bbox: BoxColumn | None = None
    bbox_format: BoxFormat | None = None

    def of(self, frame: pd.DataFrame) -> FrameColumns:
        """Leave out the columns that the frame does not have: the other frame has them."""
        named = NamedColumns(frame, None)
        columns = {name: selected for name, selected in (self.columns or {}).items() if named.holds(selected)}
        if self.bbox is None:
            return FrameColumns(columns, None, self.bbox_format)
        selected = list(self.bbox) if isinstance(self.bbox, (tuple, list)) else [self.bbox]
        if not all(map(named.holds, selected)):
            return FrameColumns(columns)
        return FrameColumns(columns, self.bbox, self.bbox_format)

    def named(self, frame: pd.DataFrame) -> NamedColumns:
        """Return a frame by the canonical names of its columns."""
        return NamedColumns(frame, self.of(frame).columns, _NAMES)


@dataclass(frozen=True, eq=False)
class _FrameBoxes:
    """The rows of a frame that are boxes, and the images that it names."""

    image_ids: dict[str, StringArray]  # by the kind of id, for each row that names an image; null where not given
    mentions: Indices  # the rows of these ids that have a box
    labels: StringArray
    box: Floats
    ids: StringArray
    confidence: Floats | None
    crowd: Bools
    area: Floats  # NaN where the frame has none
    masks: list[RleMask] | None
    left_out: int  # rows of other types


class _StoredRows(Protocol):
    """Rows on a server."""

    def to_frame(self) -> pd.DataFrame: ...


class StoredGroundTruth(Protocol):
    """Images on a server with their ground truth: datasets and slices."""

    @property
    def items(self) -> _StoredRows:
        """The images."""

    @property
    def annotations(self) -> _StoredRows:
        """Their ground truth."""


def read_frames(
    predictions: FrameLike,
    ground_truth: FrameLike | StoredGroundTruth,
    items: FrameLike | None,
    layout: FrameColumns,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None, list[str]]:
    """Read ground truth that is on a server, and tables of other libraries; frames are returned as they are.

    Parameters
    ----------
    predictions, layout
        As for `evaluation_inputs`.
    ground_truth : pandas.DataFrame, table that exports Arrow, or StoredGroundTruth
        Images on a server are read with their annotations.
    items : pandas.DataFrame, optional
        The images that are evaluated; by default all that are on the server.

    Returns
    -------
    (pandas.DataFrame, pandas.DataFrame, pandas.DataFrame or None, list of str)
        Predictions on images that are evaluated, ground truth, items, and a note on what is left out.

    Raises
    ------
    InvalidInputError
        The ground truth is neither; the frames share no id; or no prediction is on one of the images.
    """
    truth = as_frame(ground_truth)
    if truth is None and not all(hasattr(getattr(ground_truth, name, None), "to_frame") for name in _STORED):
        raise InvalidInputError(
            f"Expected a DataFrame, a Dataset or a Slice of ground truth, got {type_name(ground_truth)}."
            f"{conversion(ground_truth)}"
        )
    predictions = _one_box_per_row(frame_of(predictions, "a DataFrame of predictions"), "predictions", layout)
    items = None if items is None else frame_of(items, "a DataFrame of items")
    if truth is not None:
        return predictions, _one_box_per_row(truth, "ground truth", layout), items, []
    stored = cast(StoredGroundTruth, ground_truth)
    boxes = stored.annotations.to_frame()
    items = stored.items.to_frame() if items is None else items
    frames = {"ground truth": boxes, "predictions": predictions, "items": items}
    named = {name: layout.named(frame) for name, frame in frames.items()}
    key = _key(named)
    ids = {name: to_strings(columns.need(key), Problems(columns.index)) for name, columns in named.items()}
    is_evaluated = {name: pc.is_in(column, ids["items"]).to_numpy(zero_copy_only=False) for name, column in ids.items()}
    boxes = boxes[is_evaluated["ground truth"]]
    outside: Bools = ~is_evaluated["predictions"] & ids["predictions"].is_valid().to_numpy(zero_copy_only=False)
    if not outside.any() or outside.all():  # none of them is an error, which evaluation_inputs describes
        return predictions, boxes, items, []
    images = ids["predictions"].filter(pa.array(outside)).unique().to_pylist()
    note = (
        f"{np.count_nonzero(outside)} of {len(predictions)} predictions are left out: they are on {len(images)} images "
        f"that are not evaluated, such as {_examples(images, np.arange(len(images)))}."
    )
    return predictions[~outside], boxes, items, [note]


def _one_box_per_row(frame: pd.DataFrame, name: str, layout: FrameColumns) -> pd.DataFrame:
    """Return a frame of one row per box, for one that has lists of boxes per image."""
    if not isinstance(layout.columns, Mapping | None):
        return frame  # rejected where the columns are read
    of_frame = layout.of(frame)
    rows, wrong = unfolded(frame, of_frame.columns, of_frame.bbox, more=_NAMES[len(CANONICAL) :])
    if wrong:
        problems = Problems(rows.index)
        report(wrong, problems)
        raise _invalid(problems, name, len(rows))
    return rows


def evaluation_inputs(
    predictions: pd.DataFrame,
    ground_truth: pd.DataFrame,
    items: pd.DataFrame | None,
    layout: FrameColumns,
    iou_type: IouType,
) -> EvaluationInputs:
    """Read the frames into arrays.

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
        A column is missing, rows are invalid, or the frames share no image.

    Warns
    -----
    NucleusWarning
        Some predictions are on images that the ground truth does not name.
    """
    frames = {"ground truth": ground_truth, "predictions": predictions, **({} if items is None else {"items": items})}
    _check_layout(layout, ground_truth, predictions)
    named = {name: layout.named(frame) for name, frame in frames.items()}
    key = _key(named)
    sizes: Mapping[str, MaskSize] = {}
    if iou_type == "segm":
        sizes = sizes_of((each, to_strings(each.need(key), Problems(each.index))) for each in named.values())
    ground_truth_boxes = _read_boxes(ground_truth, "ground truth", key, layout, iou_type, sizes)
    prediction_boxes = _read_boxes(predictions, "predictions", key, layout, iou_type, sizes)
    item_ids = None if items is None else _item_ids(items, key, layout)
    images, codes, notes = _join_images(key, ground_truth_boxes, prediction_boxes, item_ids)
    labels, label_codes = _encode([ground_truth_boxes.labels, prediction_boxes.labels])
    order = natural_order(labels)
    rank = places_in(order)
    (ground_truth_arrays, source), (prediction_arrays, _) = (
        _box_arrays(boxes, image, rank[label], iou_type)
        for boxes, image, label in zip((ground_truth_boxes, prediction_boxes), codes, label_codes, strict=True)
    )
    columns = named["predictions"]
    if len(predictions) and not columns.has("confidence"):
        hint = columns.missing(columns.name("confidence"))
        use = f"Use columns={{'confidence': {columns.example('confidence')!r}}}."
        warn(f"The predictions cannot be ranked, and average precision is NaN: {hint} {use}")
    for name, boxes in (("ground truth", ground_truth_boxes), ("predictions", prediction_boxes)):
        if boxes.left_out:
            other = "boxes" if iou_type == "bbox" else "polygons or masks"
            notes.append(f"{boxes.left_out} rows of the {name} are left out, since they are not {other}.")
            warn(notes[-1])
    return EvaluationInputs(
        images, tuple(labels[at] for at in order), ground_truth_arrays, prediction_arrays, source, tuple(notes)
    )


def grouping_frames(
    predictions: pd.DataFrame, ground_truth: pd.DataFrame, items: pd.DataFrame | None, layout: FrameColumns
) -> GroupingFrames:
    """Keep the frames as they are now, to look up their columns later."""
    frames = {"items": items, "ground truth": ground_truth, "predictions": predictions}
    return GroupingFrames(
        [(name, layout.named(frame.copy(deep=False))) for name, frame in frames.items() if frame is not None]
    )


def _check_layout(layout: FrameColumns, *frames: pd.DataFrame) -> None:
    """Check that every name is known, and every column is in one of the frames."""
    named_frames = [NamedColumns(frame, None) for frame in frames]
    if not isinstance(layout.columns, Mapping | None):
        NamedColumns(frames[-1], layout.columns, _NAMES)  # raises what is wrong
    for named in named_frames:
        named.check_direction(layout.columns or {})
    for name, column in (layout.columns or {}).items():
        if name not in _NAMES or not any(named.holds(column) for named in named_frames):
            NamedColumns(frames[-1], {name: column}, _NAMES)  # raises what is wrong
    if layout.bbox is not None and all(layout.of(frame).bbox is None for frame in frames):
        for column in layout.bbox if isinstance(layout.bbox, (tuple, list)) else [layout.bbox]:
            named_frames[-1].own(column, " for bbox")


def _key(named: Mapping[str, NamedColumns]) -> str:
    """Choose the id by which the frames are joined: the reference id where all of them have it."""
    shared = [key for key in KEYS if all(frame_columns.has(key) for frame_columns in named.values())]
    for key in shared:
        if not any(bool(frame_columns.need(key).isna().any()) for frame_columns in named.values()):
            return key
    if shared:
        return shared[0]
    neither = "neither 'reference_id' nor 'dataset_item_id'"
    described = "; ".join(
        f"the {name} have {' and '.join(repr(key) for key in KEYS if frame_columns.has(key)) or neither}"
        for name, frame_columns in named.items()
    )
    raise InvalidInputError(
        f"The frames share no id of images: {described}. All of them need 'reference_id', or all of them "
        "'dataset_item_id'; columns={'reference_id': 'your_column'} names another column."
    )


def _read_boxes(
    frame: pd.DataFrame, name: str, key: str, layout: FrameColumns, iou_type: IouType, sizes: Mapping[str, MaskSize]
) -> _FrameBoxes:
    layout_of_frame = layout.of(frame)
    named = NamedColumns(frame, layout_of_frame.columns, _NAMES)
    problems = Problems(named.index)
    # invalid ids are reported by the validation of whole rows
    keys = {kind: to_strings(named.need(kind), Problems(named.index)) for kind in KEYS if named.has(kind)}
    columns = {name: column for name, column in (layout_of_frame.columns or {}).items() if name in CANONICAL}
    bbox, masks = layout_of_frame.bbox, None
    if iou_type == "segm":
        masks = masks_of(named, keys[key], problems, sizes)
        frame, bbox = boxed(masks, named), None
        columns = {name: column for name, column in columns.items() if name not in SIDES}
    checked = check_annotations(
        frame,
        "annotations" if name == "ground truth" else "predictions",
        columns=columns,
        bbox=bbox,
        bbox_format="xywh" if masks is not None else layout_of_frame.bbox_format,
        metadata_from=False,
    )
    problems.extend(checked.problems)
    units = checked.units
    is_unit = checked.unit_of_row != NOT_SENT
    is_box = is_unit & ~np.isin(checked.unit_of_row, list(units.others))
    has_key: Bools = keys[key].is_valid().to_numpy(zero_copy_only=False)
    problems.add(is_box & ~has_key, str(named.name(key)), "is missing. Fill it, or drop the row.")
    is_ground_truth = name == "ground truth"
    area = _area_column(named, problems) if is_ground_truth else np.full(len(named), np.nan)
    if problems.bad.any():
        raise _invalid(problems, name, len(frame))
    mentions = is_box | (~is_unit & has_key)
    rows = np.flatnonzero(is_box)
    of_unit = checked.unit_of_row[rows]
    boxes = units.boxes
    confidence = np.full(len(boxes), np.nan) if boxes.confidences is None else boxes.confidences
    return _FrameBoxes(
        image_ids={kind: column.filter(pa.array(mentions)) for kind, column in keys.items()},
        mentions=np.flatnonzero(is_box[mentions]),
        labels=boxes.labels.take(of_unit),
        box=np.ascontiguousarray(boxes.sides.T[of_unit]),
        ids=boxes.ids().take(of_unit),
        confidence=None if is_ground_truth else confidence[of_unit],
        crowd=crowds(named)[rows] if is_ground_truth else np.zeros(len(rows), dtype=np.bool_),
        area=area[rows],
        masks=None if masks is None else [masks[row] for row in rows.tolist()],
        left_out=int(np.count_nonzero(is_unit & ~is_box)) if masks is None else missing_masks(masks, named),
    )


def _area_column(named: NamedColumns, problems: Problems) -> Floats:
    series = named.get("area")
    if series is None:
        return np.full(len(named), np.nan)
    values = floats(series, problems)
    within(values, problems, str(series.name), lambda value: value >= 0, "an area is 0 or more, in square pixels.")
    return values


def _invalid(problems: Problems, name: str, count: int) -> InvalidInputError:
    reasons = problems.reasons()
    lines = [f"{len(reasons)} of {count} rows of the {name} are invalid:"]
    lines += [f"  {problems.label(row)}: {reasons[row]}" for row in list(reasons)[:_SHOWN_ROWS]]
    if len(reasons) > _SHOWN_ROWS:
        lines.append(f"  … and {len(reasons) - _SHOWN_ROWS} more; .problems lists all.")
    return InvalidInputError("\n".join(lines), problems=problems.frame())


def _item_ids(items: pd.DataFrame, key: str, layout: FrameColumns) -> dict[str, StringArray]:
    named = layout.named(items)
    problems = Problems(named.index)
    required = np.ones(len(named), dtype=np.bool_)
    ids = {key: to_strings(named.need(key), problems, required=required)}
    if problems.bad.any():
        raise _invalid(problems, "items", len(items))
    for other in KEYS:
        if other != key and named.has(other):
            ids[other] = to_strings(named.need(other), Problems(named.index))
    return ids


def _box_arrays(boxes: _FrameBoxes, image: Indices, label: Indices, iou_type: IouType) -> tuple[BoxArrays, str]:
    has_area = ~np.isnan(boxes.area)
    computed = areas(boxes.box)
    if boxes.masks is not None:
        computed = np.array([codec().area(mask) for mask in boxes.masks], dtype=np.float64)
    computed_how = "width times height" if iou_type == "bbox" else "pixels of the mask"
    source = "the column 'area'" if has_area.all() and len(has_area) else computed_how
    if has_area.any() and not has_area.all():
        source = f"the column 'area', and {computed_how} where it is empty"
    arrays = BoxArrays(
        image=image,
        label=label,
        box=boxes.box,
        area=np.where(has_area, boxes.area, computed),
        ids=boxes.ids,
        crowd=boxes.crowd,
        confidence=boxes.confidence,
        masks=boxes.masks,
    )
    return arrays, source


def _encode(columns: list[StringArray]) -> tuple[list[str], list[Indices]]:
    """Return the distinct texts of several columns in the order of their first appearance, and their numbers.

    Examples
    --------
    >>> names, numbers = _encode([pa.array(["b", "a"], ARROW_STRING), pa.array(["a", "c"], ARROW_STRING)])
    >>> names, [column.tolist() for column in numbers]
    (['b', 'a', 'c'], [[0, 1], [1, 2]])
    """
    encoded = pa.concat_arrays([pa.array([], ARROW_STRING), *columns]).dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.intp)
    return encoded.dictionary.to_pylist(), np.split(codes, np.cumsum([len(column) for column in columns])[:-1])


def _join_images(
    key: str, ground_truth: _FrameBoxes, predictions: _FrameBoxes, items: dict[str, StringArray] | None
) -> tuple[EvaluatedImages, list[Indices], list[str]]:
    """Join frames by the ids of their images.

    All ids are encoded together, those of the items first, so that an image's number is the place of its id among the
    distinct ones, and an id is one of the items exactly if its number is below their count.

    Parameters
    ----------
    key : {"reference_id", "dataset_item_id"}
        The kind of id; no row lacks it.
    ground_truth, predictions : _FrameBoxes
        The images that the rows of each side name.
    items : dict of str to StringArray, optional
        All images there are, by the kind of id.

    Returns
    -------
    (EvaluatedImages, list of numpy.ndarray of intp, list of str)
        The images; the number of the image of each box of the ground truth, and of each of the predictions; and
        the notes.

    Raises
    ------
    InvalidInputError
        No image of the predictions is one of the ground truth, or the items do not hold one.

    Warns
    -----
    NucleusWarning
        Some images of the predictions are not in the ground truth.
    """
    # the last one that has an id wins
    ids_by_frame = [predictions.image_ids, ground_truth.image_ids, {} if items is None else items]
    ids, codes = _encode([source.get(key, pa.array([], ARROW_STRING)) for source in reversed(ids_by_frame)])
    of_items, of_ground_truth, of_predictions = codes
    notes = []
    if items is None:
        notes = _check_shared_images(ids, of_ground_truth, of_predictions)
    else:
        for name, numbers in (("ground truth", of_ground_truth), ("predictions", of_predictions)):
            _check_items_hold(name, numbers, ids, int(of_items.max(initial=-1)) + 1)
    known_ids = (_known_ids(kind, len(ids), ids_by_frame, codes[::-1]) for kind in KEYS)
    images = EvaluatedImages(key, np.array(ids, dtype=object), *known_ids)
    return images, [of_ground_truth[ground_truth.mentions], of_predictions[predictions.mentions]], notes


def _known_ids(
    kind: str, count: int, ids_by_frame: list[dict[str, StringArray]], numbers: list[Indices]
) -> StringArray:
    """Return a kind of id of each image; null where no row has it."""
    columns = [pa.array([], ARROW_STRING)]
    row = np.full(count, -1, dtype=np.intp)
    start = 0
    for source, codes in zip(ids_by_frame, numbers, strict=True):
        if kind in source:
            is_known: Bools = source[kind].is_valid().to_numpy(zero_copy_only=False)
            row[codes[is_known][::-1]] = (start + np.flatnonzero(is_known))[::-1]
            columns.append(source[kind])
            start += len(source[kind])
    return pa.concat_arrays(columns).take(pa.array(row, mask=row < 0))


def _check_items_hold(name: str, numbers: Indices, ids: list[str], count: int) -> None:
    is_unknown = numbers >= count
    if is_unknown.any():
        unknown = np.unique(numbers[is_unknown])
        raise InvalidInputError(
            f"{np.count_nonzero(is_unknown)} of {len(numbers)} rows of the {name} lie on {len(unknown)} images that "
            f"items does not hold, such as {_examples(ids, unknown)}; items holds {_examples(ids, np.arange(count))}. "
            f"Are these the same ids?{_form_hint(ids, unknown, np.arange(count))}"
        )


def _check_shared_images(ids: list[str], ground_truth: Indices, predictions: Indices) -> list[str]:
    """Check that the sides share an image: without one, average precision would be a silent 0."""
    of_ground_truth, of_predictions = np.unique(ground_truth), np.unique(predictions)
    unshared = np.setdiff1d(of_predictions, of_ground_truth, assume_unique=True)
    if not len(of_ground_truth) or not len(unshared):
        return []
    if len(unshared) == len(of_predictions):
        raise InvalidInputError(
            f"None of the {len(of_predictions)} images of the predictions is one of the {len(of_ground_truth)} of "
            f"the ground truth. Predictions lie on {_examples(ids, of_predictions)}; ground truth on "
            f"{_examples(ids, of_ground_truth)}. Make the ids equal; where the images really have no ground truth, "
            f"items= names all that are evaluated.{_form_hint(ids, unshared, of_ground_truth)}"
        )
    text = (
        f"{np.count_nonzero(np.isin(predictions, unshared))} of {len(predictions)} predictions lie on "
        f"{len(unshared)} images that the ground truth does not name, such as {_examples(ids, unshared)}; the "
        f"ground truth names {_examples(ids, of_ground_truth)}. They count as false positives on images without ground "
        f"truth; items= names all images that are evaluated.{_form_hint(ids, unshared, of_ground_truth)}"
    )
    warn(text)
    return [text]


def _form_hint(ids: list[str], unknown: Indices, known: Indices) -> str:
    """Return a sentence if an unknown id is known in another form of Unicode."""
    hints = hints_of_form((ids[at] for at in unknown.tolist()), lambda names: {ids[at] for at in known.tolist()})
    return f" {next(iter(hints.values()))}" if hints else ""


def _examples(ids: list[str], numbers: Indices) -> str:
    shown = ", ".join(repr(ids[number]) for number in numbers[:_SHOWN_IDS].tolist())
    return shown + (", …" if len(numbers) > _SHOWN_IDS else "") or "nothing"
