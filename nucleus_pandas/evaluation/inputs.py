"""Frames of predictions and of ground truth, checked whole and joined by the ids of their pictures."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas.boxes import BoxFormat, areas
from nucleus_pandas.columns import (
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
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.crowds import crowds
from nucleus_pandas.evaluation.groups import Sources
from nucleus_pandas.evaluation.masks import Masks, Size, masks_of, sizes_of
from nucleus_pandas.evaluation.parameters import IouType
from nucleus_pandas.evaluation.sides import Bools, Floats, Indices, Pictures, Side, Sides, natural_order
from nucleus_pandas.wire import TEXT, Texts

KEYS = ("reference_id", "dataset_item_id")
_NAMES = (*CANONICAL, "area", "iscrowd", "segmentation")
_SHOWN = 5  # refused rows, or ids, in an error's text


@dataclass(frozen=True)
class Layout:
    """Which columns of the frames hold what; each frame takes what it has of it."""

    columns: Mapping[str, Hashable] | None = None
    bbox: BoxColumn | None = None
    bbox_format: BoxFormat = "xywh"

    def of(self, frame: pd.DataFrame) -> Layout:
        """Leave out what the frame does not have, since the other frame has it."""
        held = NamedColumns(frame, None)
        columns = {name: own for name, own in (self.columns or {}).items() if held.holds(own)}
        if self.bbox is None:
            return Layout(columns, None, self.bbox_format)
        own = list(self.bbox) if isinstance(self.bbox, (tuple, list)) else [self.bbox]
        if not all(map(held.holds, own)):
            return Layout(columns)
        return Layout(columns, self.bbox, self.bbox_format)


@dataclass(frozen=True, eq=False)
class _Taken:
    """The rows of a frame that are boxes, and the pictures that it names."""

    keys: dict[str, Texts]  # by the kind of id, for every row of the frame
    mentions: Bools  # the rows that name a picture
    rows: Indices  # those of them with a box
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
    layout: Layout,
    iou_type: IouType,
) -> Sides:
    """Take the frames.

    Parameters
    ----------
    predictions, ground_truth : pandas.DataFrame
        Boxes as `Dataset.annotate` and `ModelRun.predict` take them. Rows whose box is missing whole name pictures
        without boxes.
    items : pandas.DataFrame, optional
        All pictures that are evaluated.
    layout : Layout
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
        Some predictions lie on pictures that the ground truth does not know.
    """
    frames = {"ground truth": ground_truth, "predictions": predictions}
    for name, frame in (*frames.items(), ("items", items)):
        if frame is not None and not isinstance(frame, pd.DataFrame):
            raise InvalidInputError(f"Expected a DataFrame of {name}, got {type(frame).__name__}.")
    _check_layout(layout, *frames.values())
    key = _key(frames, items, layout)
    sizes = _sizes(key, layout, *frames.values(), items) if iou_type == "segm" else {}
    truth = _take(ground_truth, "ground truth", key, layout, iou_type, sizes)
    predicted = _take(predictions, "predictions", key, layout, iou_type, sizes)
    known = None if items is None else _item_keys(items, key, layout)
    pictures, codes, notes = _joined(key, truth, predicted, known)
    labels, label_codes = _coded([truth.labels, predicted.labels])
    order = sorted(range(len(labels)), key=natural_order(labels).__getitem__)
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    (truth_side, source), (predicted_side, _) = (
        _side(taken, picture, place[label], iou_type)
        for taken, picture, label in zip((truth, predicted), codes, label_codes, strict=True)
    )
    named = NamedColumns(predictions, layout.of(predictions).columns, _NAMES)
    if len(predictions) and not named.has("confidence"):
        hint = named.missing(named.name("confidence"))
        warn(f"The predictions cannot be ranked, and average precision is NaN: {hint}")
    for name, taken in (("ground truth", truth), ("predictions", predicted)):
        if taken.left_out:
            other = "boxes" if iou_type == "bbox" else "polygons or masks"
            notes.append(f"{taken.left_out} rows of the {name} are left out, since they are no {other}.")
            warn(notes[-1])
    return Sides(pictures, tuple(labels[at] for at in order), truth_side, predicted_side, source, tuple(notes))


def sources_of(
    predictions: pd.DataFrame, ground_truth: pd.DataFrame, items: pd.DataFrame | None, layout: Layout
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


def _sizes(key: str, layout: Layout, *frames: pd.DataFrame | None) -> dict[str, Size]:
    named = [NamedColumns(frame, layout.of(frame).columns, _NAMES) for frame in frames if frame is not None]
    return sizes_of((one, texts(one.need(key), Problems(one.index))) for one in named)


def _check_layout(layout: Layout, *frames: pd.DataFrame) -> None:
    """Refuse names that no frame holds, and names of columns that there are none of."""
    held = [NamedColumns(frame, None) for frame in frames]
    for name, own in (layout.columns or {}).items():
        if name not in _NAMES or not any(named.holds(own) for named in held):
            NamedColumns(frames[-1], {name: own}, _NAMES)  # raises what is wrong
    if layout.bbox is not None and all(layout.of(frame).bbox is None for frame in frames):
        for own in layout.bbox if isinstance(layout.bbox, (tuple, list)) else [layout.bbox]:
            held[-1].own(own, " for bbox")


def _key(frames: Mapping[str, pd.DataFrame], items: pd.DataFrame | None, layout: Layout) -> str:
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
        f"The frames share no id of pictures: {has}. All of them need 'reference_id', or all of them "
        "'dataset_item_id'; columns={'reference_id': 'your_column'} names another column."
    )


def _listed(names: list[str]) -> str:
    return " and ".join(map(repr, names)) or "neither 'reference_id' nor 'dataset_item_id'"


def _take(
    frame: pd.DataFrame, name: str, key: str, layout: Layout, iou_type: IouType, sizes: Mapping[str, Size]
) -> _Taken:
    own = layout.of(frame)
    named = NamedColumns(frame, own.columns, _NAMES)
    problems = Problems(named.index)
    keys = {one: texts(named.need(one), problems if one == key else Problems(named.index)) for one in KEYS
            if one == key or named.has(one)}  # fmt: skip
    masks = None
    if iou_type == "segm":
        masks = masks_of(named, keys[key], problems, sizes)
        frame = masks.boxed(named)
        own = Layout({n: c for n, c in (own.columns or {}).items() if n not in ("x", "y", "width", "height")})
    layer_columns = {n: c for n, c in (own.columns or {}).items() if n in CANONICAL}
    checked = check_annotations(
        frame,
        "annotations" if name == "ground truth" else "predictions",
        columns=layer_columns,
        bbox=own.bbox,
        bbox_format=own.bbox_format,
        metadata_from=False,
    )
    units: Any = checked.units
    is_unit = checked.unit_of_row != NOT_SENT
    is_box = is_unit.copy()
    if units.others:
        is_box[np.isin(checked.unit_of_row, list(units.others))] = False
    for found in (problems, checked.problems):
        if found.bad.any():
            raise _refused(found, name, len(frame))
    crowd, area = np.zeros(len(named), dtype=np.bool_), np.full(len(named), np.nan)
    if name == "ground truth":
        crowd = crowds(named)
        area = _given_areas(named, problems)
    mentions = is_box | ~is_unit
    column = str(named.name(key))
    problems.add(mentions & ~_valid(keys[key]), column, "is missing. Fill it, or drop the row.")
    if problems.bad.any():
        raise _refused(problems, name, len(frame))
    rows = np.flatnonzero(is_box)
    of_unit = checked.unit_of_row[rows]
    boxes = units.boxes
    some = len(of_unit) < len(boxes)
    ids, labels = boxes.ids(), boxes.labels
    return _Taken(
        keys=keys,
        mentions=mentions,
        rows=rows,
        labels=labels.take(of_unit) if some else labels,
        box=np.ascontiguousarray(boxes.sides.T[of_unit] if some else boxes.sides.T),
        ids=ids.take(of_unit) if some else ids,
        confidence=None if name == "ground truth" else _confidence(boxes.confidences, of_unit),
        crowd=crowd[rows],
        area=area[rows],
        masks=None if masks is None else masks.take(rows),
        left_out=int(np.count_nonzero(is_unit & ~is_box)) if masks is None else masks.missing(named),
    )


def _confidence(given: Floats | None, rows: Indices) -> Floats:
    return np.full(len(rows), np.nan) if given is None else given[rows]


def _valid(column: Texts) -> Bools:
    found: Bools = column.is_valid().to_numpy(zero_copy_only=False)
    return found


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


def _item_keys(items: pd.DataFrame, key: str, layout: Layout) -> dict[str, Texts]:
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


def _coded(columns: list[Texts]) -> tuple[list[str], list[Indices]]:
    """Give the distinct texts of several columns in the order of their first appearance, and their numbers."""
    coded = pa.concat_arrays([pa.array([], TEXT), *columns]).dictionary_encode()
    codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.intp)
    return coded.dictionary.to_pylist(), np.split(codes, np.cumsum([len(column) for column in columns])[:-1])


def _joined(
    key: str, truth: _Taken, predicted: _Taken, known: dict[str, Texts] | None
) -> tuple[Pictures, list[Indices], list[str]]:
    """Give the pictures, and the number of the picture of each box of both sides."""
    mentioned = [taken.keys[key].filter(pa.array(taken.mentions)) for taken in (truth, predicted)]
    columns = mentioned if known is None else [known[key], *mentioned]
    ids, codes = _coded(columns)
    notes: list[str] = []
    if known is not None:
        for name, column in (("ground truth", codes[1]), ("predictions", codes[2])):
            _check_known(name, column, ids, len(np.unique(codes[0])))
        notes += _check_meeting(ids, codes[1], codes[2], some_may_differ=True)
    else:
        notes += _check_meeting(ids, codes[0], codes[1], some_may_differ=False)
    both: dict[str, Texts] = {}
    for one in KEYS:
        number = np.full(len(ids), -1, dtype=np.intp)
        sources, starts = [], 0
        for column_codes, source in _sources(one, codes, truth, predicted, known):
            there = _valid(source)
            sources.append(source)
            number[column_codes[there][::-1]] = (starts + np.flatnonzero(there))[::-1]
            starts += len(source)
        both[one] = pa.concat_arrays([pa.array([], TEXT), *sources]).take(pa.array(number, mask=number < 0))
    own = [
        column_codes[np.isin(np.flatnonzero(taken.mentions), taken.rows, assume_unique=True)]
        for taken, column_codes in zip((truth, predicted), codes[-2:], strict=True)
    ]
    names = np.array(ids, dtype=object)
    return Pictures(key, names, both["reference_id"], both["dataset_item_id"]), own, notes


def _sources(
    one: str, codes: list[Indices], truth: _Taken, predicted: _Taken, known: dict[str, Texts] | None
) -> list[tuple[Indices, Texts]]:
    """Give what tells an id of pictures; later ones are preferred, so the items stand last."""
    found = [
        (column_codes, taken.keys[one].filter(pa.array(taken.mentions)))
        for taken, column_codes in zip((predicted, truth), (codes[-1], codes[-2]), strict=True)
        if one in taken.keys
    ]
    if known is not None and one in known:
        found.append((codes[0], known[one]))
    return found


def _check_known(name: str, codes: Indices, ids: list[str], known: int) -> None:
    strange = np.unique(codes[codes >= known])
    if len(strange):
        rows = int(np.count_nonzero(codes >= known))
        raise InvalidInputError(
            f"{rows} of {len(codes)} rows of the {name} lie on {len(strange)} pictures that items does not hold, such "
            f"as {_examples(ids, strange)}; items holds {_examples(ids, np.arange(known))}. Are these the same ids?"
        )


def _check_meeting(ids: list[str], truth: Indices, predicted: Indices, *, some_may_differ: bool) -> list[str]:
    """Refuse frames of which no ids meet: their average precision would be a silent 0."""
    of_truth, of_predictions = np.unique(truth), np.unique(predicted)
    if not len(of_truth) or not len(of_predictions):
        return []
    strange = np.setdiff1d(of_predictions, of_truth, assume_unique=True)
    if len(strange) == len(of_predictions):
        if some_may_differ:
            return []
        raise InvalidInputError(
            f"None of the {len(of_predictions)} pictures of the predictions is one of the {len(of_truth)} of the "
            f"ground truth. Predictions lie on {_examples(ids, of_predictions)}; ground truth on "
            f"{_examples(ids, of_truth)}. Make the ids equal; where the pictures really have no ground truth, items= "
            "names all that are evaluated."
        )
    if some_may_differ or not len(strange):
        return []
    rows = int(np.count_nonzero(np.isin(predicted, strange)))
    text = (
        f"{rows} of {len(predicted)} predictions lie on {len(strange)} pictures that the ground truth does not name, "
        f"such as {_examples(ids, strange)}; the ground truth names {_examples(ids, of_truth)}. They count as false "
        "positives on pictures without ground truth; items= names all pictures that are evaluated."
    )
    warn(text)
    return [text]


def _examples(ids: list[str], numbers: Indices) -> str:
    shown = ", ".join(repr(ids[number]) for number in numbers[:3].tolist())
    return shown + (", …" if len(numbers) > 3 else "") or "nothing"


def _side(taken: _Taken, picture: Indices, label: Indices, iou_type: IouType) -> tuple[Side, str]:
    given = ~np.isnan(taken.area)
    computed = areas(taken.box) if taken.masks is None else taken.masks.areas()
    how = "width times height" if iou_type == "bbox" else "pixels of the mask"
    source = "the column 'area'" if given.all() and len(given) else how
    if given.any() and not given.all():
        source = f"the column 'area', and {how} where it is empty"
    side = Side(
        picture=picture,
        label=label,
        box=taken.box,
        area=np.where(given, taken.area, computed),
        ids=taken.ids,
        crowd=taken.crowd,
        confidence=taken.confidence,
        masks=None if taken.masks is None else taken.masks.encoded,
    )
    return side, source
