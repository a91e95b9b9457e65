"""Frames of annotations and of predictions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas._util.arrays import Bools, Floats, Indices, Integers
from nucleus_pandas.errors import ValidationError
from nucleus_pandas.schema.annotation_fields import details, some_details
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.checked_rows import NOT_SENT, Checked, Problems, shown, warn
from nucleus_pandas.schema.coerce import flags, floats, to_strings, within
from nucleus_pandas.schema.column_names import NamedColumns
from nucleus_pandas.schema.geometry import BoxColumn, box_sides, shapes
from nucleus_pandas.schema.image_urls import LocalFiles
from nucleus_pandas.schema.metadata import MetadataColumns, metadata
from nucleus_pandas.wire.column_json import (
    ARROW_STRING,
    BoxRows,
    StringArray,
    box_columns,
    box_objects,
    joined,
    with_commas,
)
from nucleus_pandas.wire.content_ids import Words, box_words, fill_annotation_ids, is_repeat, string_words
from nucleus_pandas.wire.entities import DETAILS, AnyAnnotation
from nucleus_pandas.wire.entities import Mask as MaskAnnotation

AnnotationKind: TypeAlias = Literal["annotations", "predictions"]

_TYPES = tuple(str(shape.__struct_config__.tag) for shape in get_args(AnyAnnotation))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a target requires of annotations or predictions.

    Attributes
    ----------
    types : sequence of str, optional
        The types that it takes; None takes all.
    others : str
        A sentence on where annotations of other types can be sent.
    by_item_id : callable
        Returns True if a row that holds both ids names its item by the item id, False if by the reference id.
    """

    types: Sequence[str] | None = None
    others: str = ""
    by_item_id: Callable[[], bool] = bool

    def rejection(self, kind: str) -> str | None:
        """Return why a type is rejected; None if it is taken."""
        if self.types is None or kind in self.types:
            return None
        return f"is {shown(kind)}; only {', '.join(self.types)} can be sent here. {self.others}"


ANY = Terms()


@dataclass(frozen=True, slots=True)
class AnnotationUnits:
    """Checked annotations: boxes column by column, the few of other types as objects.

    Attributes
    ----------
    boxes : BoxRows
        One row per unit.
    others : dict of int to annotation
        The units of other types; their rows in `boxes` have no meaning.
    files : dict of int to pathlib.Path
        The local files that go with some of the masks.
    """

    boxes: BoxRows
    others: dict[int, AnyAnnotation]
    files: dict[int, Path]

    def __len__(self) -> int:
        return len(self.boxes)

    def objects(self, start: int, stop: int) -> bytes | memoryview:
        """Write units as JSON objects, separated by commas."""
        rows = box_objects(self.boxes.part(start, stop))
        if not self.others:
            return with_commas(*rows)
        written: list[str] = joined(*rows).to_pylist()
        for unit in self.others.keys() & set(range(start, stop)):
            written[unit - start] = msgspec.json.encode(self.others[unit]).decode()
        return ",".join(written).encode()

    def keys(self, start: int, stop: int) -> list[str]:
        """Return the id by which each unit names its item."""
        keys: list[str] = self.boxes.keys.slice(start, stop - start).to_pylist()
        return keys

    def columns(self, start: int, stop: int) -> bytes | None:
        """Write units as JSON columns; None unless all are boxes with one kind of key."""
        boxes = self.boxes.part(start, stop)
        if boxes.by_item_id is not None and boxes.by_item_id.any() and not boxes.by_item_id.all():
            return None
        if self.others and not self.others.keys().isdisjoint(range(start, stop)):
            return None
        return b"".join(box_columns(boxes))

    def names_items_both_ways(self) -> bool:
        """Return whether some units name their item by reference id, and others by item id."""
        by_item_id = self.boxes.by_item_id
        return by_item_id is not None and bool(by_item_id.any() and not by_item_id.all())

    def take(self, order: Indices) -> AnnotationUnits:
        """Return the units in another order."""
        places = {unit: place for place, unit in enumerate(order.tolist())} if self.others or self.files else {}
        others = {places[unit]: annotation for unit, annotation in self.others.items()}
        files = {places[unit]: path for unit, path in self.files.items()}
        return AnnotationUnits(_some(self.boxes, order), others, files)

    def masks(self, start: int, stop: int) -> set[int]:
        """Return the units that are masks."""
        if not self.others:
            return set()
        return {unit for unit in range(start, stop) if isinstance(self.others.get(unit), MaskAnnotation)}


def check_annotations(
    frame: pd.DataFrame,
    layer: AnnotationKind,
    *,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat | None = None,
    metadata_from: MetadataColumns = True,
    terms: Terms = ANY,
    local_files: LocalFiles | None = None,
) -> Checked[AnnotationUnits]:
    """Validate a frame of annotations or predictions.

    Every row ends in one of three states: it has problems, it has a unit, or it has neither because it is the row of
    an image without boxes. `unit_of_row` numbers the units in the order of the rows, and everything that is indexed by
    unit (boxes, `others`, files) uses these numbers; a unit of another type than box still has a row in `boxes`.

    Warns
    -----
    NucleusWarning
        No number of any box is above 1.

    Raises
    ------
    InvalidInputError
        A column is missing or ambiguous, so that no single row can be validated.
    """
    named = NamedColumns(frame, columns)
    problems = Problems(named.index)
    is_box, shape_rows = _types(named, layer, problems, terms)
    sides, is_empty = box_sides(named, is_box, problems, bbox, bbox_format)
    is_empty &= ~_check_geometry_of_boxes(named, is_box, problems)
    wanted = ~is_empty
    keys, by_item_id = _keys(named, wanted, problems, terms)
    labels = _labels(named, wanted, shape_rows, problems)
    given_ids = _given_ids(named, problems)
    confidences = _confidences(named, layer, problems)
    objects = metadata(named, metadata_from, problems)
    more = details(named, DETAILS if layer == "predictions" else DETAILS[1:], metadata_from, problems)
    problems.forget(is_empty)  # a row without an annotation has nothing to validate
    if given_ids is not None:
        _check_repeated_ids(keys, given_ids, wanted, problems, str(named.name("annotation_id")))
    others = shapes(
        named,
        shape_rows,
        problems,
        keys=keys,
        by_item_id=by_item_id,
        labels=labels,
        given_ids=given_ids,
        confidences=confidences,
        objects=objects,
        more=more,
    )
    _check_single_masks(others, problems, str(named.name("type")))
    paths = _mask_files(others, problems, str(named.name("geometry")), local_files or LocalFiles())
    rows = np.flatnonzero(wanted & ~problems.bad)
    unit_of_row = np.full(len(named), NOT_SENT, dtype=np.intp)
    unit_of_row[rows] = np.arange(len(rows))
    boxes = BoxRows(
        keys=keys,
        by_item_id=by_item_id if by_item_id.any() else None,
        labels=pc.coalesce(labels, pa.scalar("", ARROW_STRING)) if labels.null_count else labels,
        sides=sides,
        confidences=confidences,
        metadata=objects,
        given_ids=given_ids,
        words=None,
        occurrences=None,
        details=more,
    )
    if len(rows) < len(named):
        boxes = _some(boxes, rows)
    sent = {int(unit_of_row[row]): annotation for row, annotation in others.items() if unit_of_row[row] != NOT_SENT}
    boxes = _with_ids(boxes, sent, predictions=layer == "predictions")
    nameless = [unit for unit, annotation in sent.items() if annotation.annotation_id is None]
    fill_annotation_ids(list(sent.values()), predictions=layer == "predictions")
    _warn_of_fractions(boxes, sent)
    again = [unit for unit in nameless if is_repeat(sent[unit].annotation_id)]
    if boxes.occurrences is not None:
        again += np.flatnonzero(boxes.occurrences).tolist()
    repeats = rows[sorted(again)].tolist()
    files = {int(unit_of_row[row]): path for row, path in paths.items() if unit_of_row[row] != NOT_SENT}
    cleared: list[str] = []
    if is_empty.any():
        alone = keys.filter(pa.array(is_empty & ~problems.bad)).drop_null().unique()
        cleared = alone.filter(pc.invert(pc.is_in(alone, boxes.keys))).to_pylist()
    cleared_by = "item_id" if by_item_id.any() else "reference_id"
    return Checked(AnnotationUnits(boxes, sent, files), unit_of_row, problems, repeats, cleared, cleared_by)


def _check_single_masks(others: Mapping[int, AnyAnnotation], problems: Problems, name: str) -> None:
    """Reject a second mask of an item: only one would be kept."""
    firsts: dict[str | None, int] = {}
    for row, annotation in others.items():
        if isinstance(annotation, MaskAnnotation):
            first = firsts.setdefault(annotation.reference_id or annotation.item_id, row)
            if first != row:
                problems.add_one(
                    row,
                    name,
                    f"is a mask, as in {problems.label(first)} for the same item, and Nucleus keeps one mask per item. "
                    "Put both into one file, with an index each.",
                )


def _mask_files(
    others: Mapping[int, AnyAnnotation], problems: Problems, name: str, local_files: LocalFiles
) -> dict[int, Path]:
    """Return the local files of masks by row, and replace their paths in the annotations by names."""
    paths: dict[int, Path] = {}
    for row, annotation in others.items():
        if isinstance(annotation, MaskAnnotation):
            try:
                path = local_files.mask(annotation.mask_url)
            except ValidationError as error:
                problems.add_one(row, name, str(error))
                continue
            if path is not None:
                paths[row], annotation.mask_url = path, path.name  # local paths are never sent
    return paths


def _types(
    named: NamedColumns, layer: AnnotationKind, problems: Problems, terms: Terms
) -> tuple[Bools, dict[int, str]]:
    """Return which rows are boxes, and the types of the others."""
    series = named.get("type")
    is_box = np.ones(len(named), dtype=bool)
    if series is None:
        return is_box, {}
    column = to_strings(series, problems)
    is_box &= ~problems.bad  # a row of an invalid type is not a box
    coded = column.dictionary_encode()
    distinct: list[str] = coded.dictionary.to_pylist()
    codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    others: dict[int, str] = {}
    for code, kind in enumerate(distinct):
        if kind in ("box", ""):
            continue
        rows = codes == code
        is_box &= ~rows
        if kind not in _TYPES:
            problems.add(rows, str(series.name), f"is {shown(kind)}; there are {', '.join(_TYPES)}.")
        elif kind == "multicategory" and layer == "predictions":
            problems.add(
                rows,
                str(series.name),
                "is 'multicategory', which predictions cannot be. Use 'category', or drop the row.",
            )
        elif (reason := terms.rejection(kind)) is not None:
            problems.add(rows, str(series.name), reason)
        else:
            others.update(dict.fromkeys(np.flatnonzero(rows).tolist(), kind))
    return is_box, others


def _check_geometry_of_boxes(named: NamedColumns, is_box: Bools, problems: Problems) -> Bools:
    """Reject boxes that have a geometry, and return which: a shape without its type would pass as an empty row."""
    series = named.get("geometry")
    if series is None or not is_box.any():
        return np.zeros(len(named), dtype=bool)
    has_geometry: Bools = is_box & series.notna().to_numpy(dtype=bool)
    problems.add(
        has_geometry,
        str(series.name),
        "belongs to a box, whose position is in x, y, width and height (or in what bbox= names). Move it there, or "
        "leave it empty; a shape of another kind needs its name in the column 'type'.",
    )
    return has_geometry


def _keys(named: NamedColumns, wanted: Bools, problems: Problems, terms: Terms) -> tuple[StringArray, Bools]:
    """Return the key of each row's item, and which keys are item ids; `terms` say which id wins where both are set."""
    if not named.has("reference_id") and not named.has("dataset_item_id"):
        named.need("reference_id")
    by_item_id = np.zeros(len(named), dtype=bool)
    if not named.has("dataset_item_id"):
        return to_strings(named.need("reference_id"), problems, required=wanted), by_item_id
    item_ids = to_strings(
        named.need("dataset_item_id"), problems, required=None if named.has("reference_id") else wanted
    )
    if not named.has("reference_id"):
        return item_ids, ~by_item_id
    references = to_strings(named.need("reference_id"), problems)
    by_item_id = flags(item_ids.is_valid())
    if terms.by_item_id():
        keys = pc.coalesce(item_ids, references)
    else:
        by_item_id &= flags(references.is_null())
        keys = pc.coalesce(references, item_ids)
    absent = wanted & flags(keys.is_null())
    if absent.any():
        for name in ("reference_id", "dataset_item_id"):
            absent &= ~problems.bad_in(str(named.name(name)))
        problems.add(
            absent, str(named.name("reference_id")), "is missing, and so is the dataset_item_id. Fill one of them."
        )
    return keys, by_item_id


def _labels(named: NamedColumns, wanted: Bools, shape_rows: Mapping[int, str], problems: Problems) -> StringArray:
    free = np.zeros(len(named), dtype=bool)
    free[[row for row, kind in shape_rows.items() if kind in ("mask", "multicategory")]] = True
    unknown = free | problems.bad_in(str(named.name("type")))  # a row of an invalid type may not need one
    if not named.has("label") and unknown.any() and not (wanted & ~unknown).any():
        return pa.nulls(len(named), ARROW_STRING)
    return to_strings(named.need("label"), problems, required=wanted & ~free)


def _given_ids(named: NamedColumns, problems: Problems) -> StringArray | None:
    series = named.get("annotation_id")
    if series is None:
        return None
    ids = to_strings(series, problems)
    return None if ids.null_count == len(ids) else ids


def _confidences(named: NamedColumns, layer: AnnotationKind, problems: Problems) -> Floats | None:
    series = named.get("confidence") if layer == "predictions" else None
    if series is None:
        return None
    confidences = floats(series, problems)
    within(
        confidences,
        problems,
        str(series.name),
        lambda value: (value >= 0) & (value <= 1),
        "a confidence lies in [0, 1]. Divide percentages by 100; apply a softmax or a sigmoid to logits.",
    )
    return confidences


def _check_repeated_ids(
    keys: StringArray, given_ids: StringArray, wanted: Bools, problems: Problems, name: str
) -> None:
    pairs = _pairs(keys, given_ids)
    pairs[~wanted | problems.bad] = -1
    rows = np.flatnonzero(pairs >= 0)
    repeated = pd.Series(pairs[rows]).duplicated()
    if not repeated.any():
        return
    wrong = np.zeros(len(pairs), dtype=bool)
    wrong[rows[repeated.to_numpy()]] = True
    firsts = dict(zip(pairs[rows[::-1]].tolist(), rows[::-1].tolist(), strict=True))
    problems.add(
        wrong,
        name,
        lambda row: (
            f"is {shown(given_ids[row].as_py())}, as in {problems.label(firsts[int(pairs[row])])} for the same item. "
            "Annotation ids are unique in an item; drop one row, or leave the id empty to have one computed."
        ),
    )


def _pairs(keys: StringArray, ids: StringArray) -> Integers:
    """Return a number per row that is equal for equal pairs of strings; -1 where one is missing."""
    first, second = (pc.fill_null(column.dictionary_encode().indices, -1) for column in (keys, ids))
    one = first.to_numpy(zero_copy_only=False).astype(np.int64)
    two = second.to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where((one < 0) | (two < 0), -1, one * (int(two.max(initial=0)) + 1) + two)


def _some(boxes: BoxRows, rows: Indices) -> BoxRows:
    """Return some of the rows."""
    take = pa.array(rows)

    def taken(column: StringArray | None) -> StringArray | None:
        return None if column is None else column.take(take)

    return BoxRows(
        keys=taken(boxes.keys),
        by_item_id=None if boxes.by_item_id is None else boxes.by_item_id[rows],
        labels=taken(boxes.labels),
        sides=boxes.sides[:, rows],
        confidences=None if boxes.confidences is None else boxes.confidences[rows],
        metadata=taken(boxes.metadata),
        given_ids=taken(boxes.given_ids),
        words=None if boxes.words is None else boxes.words[rows],
        occurrences=None if boxes.occurrences is None else boxes.occurrences[rows],
        details=some_details(boxes.details, taken),
    )


def _with_ids(boxes: BoxRows, others: Mapping[int, AnyAnnotation], *, predictions: bool) -> BoxRows:
    """Compute the annotation ids of the boxes that have none, and count exact repeats."""
    if boxes.given_ids is not None and not boxes.given_ids.null_count:
        return boxes
    keys, labels = boxes.keys.dictionary_encode(), boxes.labels.dictionary_encode()
    confidences = boxes.confidences
    if predictions and confidences is None:
        confidences = np.full(len(boxes), np.nan)
    words = box_words(
        (keys.indices.to_numpy(), string_words(keys.dictionary.to_pylist())),
        (labels.indices.to_numpy(), string_words(labels.dictionary.to_pylist())),
        np.ascontiguousarray(boxes.sides),
        confidences if predictions else None,
    )
    computed = np.ones(len(boxes), dtype=bool)
    computed[list(others)] = False
    if boxes.given_ids is not None:
        computed &= flags(boxes.given_ids.is_null())
    return replace(boxes, words=words, occurrences=_occurrences(words, computed))


def _occurrences(words: Words, computed: Bools) -> Integers | None:
    """Count for each row how many rows before it have the same hash; None where no hash occurs twice."""
    rows = np.flatnonzero(computed)
    first = pd.Series(words[rows, 0])
    suspects = rows[first.duplicated(keep=False).to_numpy()]
    if not len(suspects):
        return None
    found = np.zeros(len(words), dtype=np.int64)
    pairs = pd.DataFrame(words[suspects], columns=["first", "second"])
    found[suspects] = pairs.groupby(["first", "second"]).cumcount().to_numpy()
    return found if found.any() else None


def _warn_of_fractions(boxes: BoxRows, others: Mapping[int, AnyAnnotation]) -> None:
    if len(boxes) > len(others):
        sides = boxes.sides if not others else np.delete(boxes.sides, list(others), axis=1)
        if (sides <= 1).all():
            warn(
                "No number of any box is above 1. Boxes are in pixels: multiply x and width by the image's width, y "
                "and height by its height."
            )
