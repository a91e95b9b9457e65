"""Validate payload dicts and lists of dicts, as a whole before anything is sent."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar, get_args

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from nucleus_pandas._util.arrays import Indices
from nucleus_pandas.errors import InvalidInputError, ValidationError
from nucleus_pandas.schema import NOT_SENT, Checked, LocalFiles, Problems, Terms, is_remote, to_json
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.schema.foreign_frames import conversion, type_name
from nucleus_pandas.wire.content_ids import fill_annotation_ids, is_repeat
from nucleus_pandas.wire.decoding import convert, item_key
from nucleus_pandas.wire.entities import AnyAnnotation, Item, Mask, MultiCategory

Payload: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]
PayloadRows: TypeAlias = list[Mapping[str, Any]]
StructT = TypeVar("StructT", bound=Item | AnyAnnotation)

# What may be sent, and what servers add to answers: a dict that was read may be sent again.
_READ_BACK = frozenset({"id", "dataset_item_id", "ref_id", "original_image_url", "phash", "processed_url"})
_ITEM_KEYS = frozenset(Item.__struct_fields__) | _READ_BACK
_ANNOTATION_KEYS = frozenset(name for shape in get_args(AnyAnnotation) for name in shape.__struct_fields__)
_ANNOTATION_KEYS |= _READ_BACK | {"type"}


@dataclass(frozen=True, slots=True)
class StructUnits(Generic[StructT]):
    """Checked objects, one by one."""

    structs: Sequence[StructT]
    files: Mapping[int, Path]

    def __len__(self) -> int:
        return len(self.structs)

    def objects(self, start: int, stop: int) -> memoryview:
        """Write units as JSON objects, separated by commas."""
        return memoryview(msgspec.json.encode(self.structs[start:stop]))[1:-1]


class ItemStructs(StructUnits[Item]):
    """Checked items of a payload."""

    __slots__ = ()

    def lines(self, start: int, stop: int) -> bytes:
        """Write items as JSON objects, one per line."""
        return msgspec.json.Encoder().encode_lines(self.structs[start:stop])

    def keys(self, start: int, stop: int) -> list[str]:
        """Return the reference ids."""
        return [item.reference_id for item in self.structs[start:stop]]

    def images(self, start: int, stop: int, *, update: bool) -> bytes:
        """Write items that are sent with their images, as a JSON array."""
        return msgspec.json.encode([msgspec.structs.replace(item, update=update) for item in self.structs[start:stop]])


class AnnotationStructs(StructUnits[AnyAnnotation]):
    """Checked annotations or predictions of a payload."""

    __slots__ = ()

    def keys(self, start: int, stop: int) -> list[str]:
        """Return the id by which each annotation names its item."""
        return [annotation.reference_id or annotation.item_id or "" for annotation in self.structs[start:stop]]

    def names_items_both_ways(self) -> bool:
        """Return whether some annotations name their item by reference id, and others by item id."""
        return len({annotation.reference_id is None for annotation in self.structs}) > 1

    def take(self, order: Indices) -> AnnotationStructs:
        """Return the annotations in another order."""
        places = {unit: place for place, unit in enumerate(order.tolist())}
        structs = [self.structs[unit] for unit in order.tolist()]
        return AnnotationStructs(structs, {places[unit]: path for unit, path in self.files.items()})

    def masks(self, start: int, stop: int) -> set[int]:
        """Return the units that are masks."""
        return {unit for unit in range(start, stop) if isinstance(self.structs[unit], Mask)}


def check_item_rows(payload: Payload, local_files: LocalFiles) -> tuple[PayloadRows, Checked[ItemStructs]]:
    """Validate items.

    Raises
    ------
    InvalidInputError
        This is not a payload.
    """
    rows = _rows_of(payload, "items")
    problems = Problems(pd.RangeIndex(len(rows)))
    items: dict[int, Item] = {}
    files: dict[int, Path] = {}
    seen: dict[str, int] = {}
    for row, given in enumerate(rows):
        place = f"$.items[{row}]"
        try:
            item = convert(_named(given, place, _ITEM_KEYS), Item, "The item", place)
            if item.reference_id in seen:
                first = seen[item.reference_id]
                raise InvalidInputError(f"Row {first} has the reference_id '{item.reference_id}' too - at `{place}`.")
            if (item.image_url is None) == (item.pointcloud_url is None):
                raise InvalidInputError(f"An item needs `image_url` (or `pointcloud_url`) - at `{place}`.")
            if item.pointcloud_url is not None:
                _at(place, "pointcloud_url", _check_point_cloud, item.pointcloud_url)
            seen[item.reference_id] = row
            path = _at(place, "image_url", local_files.image, item.image_url)
            if path is not None:
                files[len(items)] = path
                item.image_url = path.name  # local paths are never sent
            items[row] = item
        except ValidationError as error:
            problems.add_one(row, "", str(error))
    return rows, Checked(ItemStructs(list(items.values()), files), _units(len(rows), items), problems)


def check_annotation_rows(
    payload: Payload, kind: RowKind, terms: Terms, local_files: LocalFiles
) -> tuple[PayloadRows, Checked[AnnotationStructs]]:
    """Validate annotations or predictions, and set the ids of those that have none.

    Raises
    ------
    InvalidInputError
        This is not a payload.
    """
    rows = _rows_of(payload, "annotations", "segmentations")
    problems = Problems(pd.RangeIndex(len(rows)))
    annotations: dict[int, AnyAnnotation] = {}
    files: dict[int, Path] = {}
    seen: dict[tuple[str, str], int] = {}
    shape: Any = AnyAnnotation  # a type checker does not take a union as a type
    for row, given in enumerate(rows):
        place = f"$.annotations[{row}]"
        try:
            annotation: AnyAnnotation = convert(_named(given, place, _ANNOTATION_KEYS), shape, "The annotation", place)
            if isinstance(annotation, MultiCategory) and kind == "predictions":
                raise InvalidInputError(f"Predictions cannot be of type multicategory - at `{place}.type`.")
            if (reason := terms.rejection(str(annotation.__struct_config__.tag))) is not None:
                raise InvalidInputError(f"The type {reason.removesuffix('.')} - at `{place}.type`.")
            key = item_key(annotation, place)[1]
            if annotation.annotation_id is not None:
                first = seen.setdefault((key, annotation.annotation_id), row)
                if first != row:
                    name = annotation.annotation_id
                    raise InvalidInputError(f"Row {first} has the annotation_id '{name}' too - at `{place}`.")
            if isinstance(annotation, Mask):
                path = _at(place, "mask_url", local_files.mask, annotation.mask_url)
                if path is not None:
                    files[len(annotations)] = path
                    annotation.mask_url = path.name  # local paths are never sent
            annotations[row] = annotation
        except ValidationError as error:
            problems.add_one(row, "", str(error))
    nameless = [row for row, annotation in annotations.items() if annotation.annotation_id is None]
    fill_annotation_ids(list(annotations.values()), predictions=kind == "predictions")
    repeats = [row for row in nameless if is_repeat(annotations[row].annotation_id)]
    units = AnnotationStructs(list(annotations.values()), files)
    return rows, Checked(units, _units(len(rows), annotations), problems, repeats)


def _units(count: int, valid: Collection[int]) -> npt.NDArray[np.intp]:
    """Return the unit of each row: valid rows are numbered in order, others are `NOT_SENT`."""
    unit_of_row = np.full(count, NOT_SENT, dtype=np.intp)
    unit_of_row[list(valid)] = np.arange(len(valid))
    return unit_of_row


def _rows_of(payload: Payload, *names: str) -> PayloadRows:
    """Return the rows of a payload dict, or of a list of dicts."""
    expected = " or ".join(f'{{"{name}": [...]}}' for name in names)
    if isinstance(payload, Mapping):
        unknown = set(payload) - set(names)
        if unknown or not payload:
            found = ", ".join(repr(name) for name in payload) or "nothing"
            raise InvalidInputError(f"A payload is {expected}, a list of dicts or a DataFrame; this one holds {found}.")
        parts = [payload[name] for name in names if name in payload]
    else:
        parts = [payload]
    rows: PayloadRows = []
    for part in parts:
        if isinstance(part, (str, bytes, pd.DataFrame)) or not isinstance(part, Sequence):
            raise InvalidInputError(
                f"A payload is {expected}, a list of dicts or a DataFrame, not {type_name(part)}.{conversion(part)}"
            )
        rows += part
    return rows


def _named(given: object, place: str, known: frozenset[str]) -> dict[str, Any]:
    """Return a row as plain JSON values, with integer ids as strings: COCO numbers its images and categories."""
    if not isinstance(given, Mapping):
        raise InvalidInputError(f"A row is a dict, not {type(given).__name__} - at `{place}`.")
    if unknown := [key for key in given if key not in known]:
        near = difflib.get_close_matches(str(unknown[0]), known, 1)
        hint = f" Is `{near[0]}` meant?" if near else " Put metadata under `metadata`."
        raise InvalidInputError(f"There is no field {unknown[0]!r} - at `{place}`.{hint}")
    try:
        row: dict[str, Any] = to_json(given, place)
    except RecursionError:
        raise InvalidInputError(f"The row is nested too deeply, or holds itself - at `{place}`.") from None
    for name in ("reference_id", "label"):
        if isinstance(row.get(name), int) and not isinstance(row[name], bool):
            row[name] = str(row[name])
    return row


def _check_point_cloud(url: str) -> None:
    """Reject a local file: Nucleus fetches point clouds, and a path would tell it about this computer."""
    if not is_remote(url):
        raise InvalidInputError(
            f"The point cloud '{url}' is a local file, and Nucleus fetches point clouds from URLs. Upload it to a "
            "bucket, and send its https:// or s3:// URL."
        )


def _at(place: str, key: str, find: Callable[[str], Path | None], url: str | None) -> Path | None:
    """Return the local file of a URL, and name the place of one that is invalid."""
    try:
        return None if url is None else find(url)
    except ValidationError as error:
        raise InvalidInputError(f"{str(error).removesuffix('.')} - at `{place}.{key}`.") from None
