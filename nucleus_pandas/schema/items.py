"""Frames of items, and the ids by which callers name items."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas._util.arrays import Bools, Floats, Indices
from nucleus_pandas.errors import InvalidInputError, ValidationError
from nucleus_pandas.schema.checked_rows import NOT_SENT, Checked, Problems, shown
from nucleus_pandas.schema.coerce import flags, sides, to_strings
from nucleus_pandas.schema.column_names import NamedColumns
from nucleus_pandas.schema.foreign_frames import FrameLike, as_frame, ids_column, type_name
from nucleus_pandas.schema.geometry import BoxColumn, named_columns
from nucleus_pandas.schema.image_urls import LocalFiles
from nucleus_pandas.schema.metadata import MetadataColumns, differing_keys, metadata, metadata_columns
from nucleus_pandas.wire.column_json import ARROW_STRING, StringArray, item_objects, lines, quoted, with_commas

_MEND = "Mend the file, or drop the row; image_check=False sends what can be read."


@dataclass(frozen=True, slots=True)
class ItemUnits:
    """Checked items, column by column."""

    reference_ids: StringArray
    urls: StringArray
    widths: Floats | None
    heights: Floats | None
    metadata: StringArray | None
    files: dict[int, Path]

    def __len__(self) -> int:
        return len(self.reference_ids)

    def _fields(self, start: int, stop: int) -> dict[str, StringArray]:
        def part(column: StringArray) -> StringArray:
            return column.slice(start, stop - start)

        fields = {"reference_id": quoted(part(self.reference_ids)), "image_url": quoted(part(self.urls))}
        for name, column in (("width", self.widths), ("height", self.heights)):
            if column is not None:
                fields[name] = pa.array(column[start:stop], from_pandas=True).cast(pa.int64()).cast(ARROW_STRING)
        if self.metadata is not None:
            fields["metadata"] = part(self.metadata)
        return fields

    def objects(self, start: int, stop: int) -> memoryview:
        """Write units as JSON objects, separated by commas."""
        return with_commas(*item_objects(self._fields(start, stop)))

    def lines(self, start: int, stop: int) -> bytes:
        """Write units as JSON objects, one per line."""
        return lines(*item_objects(self._fields(start, stop)))

    def keys(self, start: int, stop: int) -> list[str]:
        """Return the reference ids."""
        found: list[str] = self.reference_ids.slice(start, stop - start).to_pylist()
        return found

    def images(self, start: int, stop: int, *, update: bool) -> bytes:
        """Write units that are sent with their images, as a JSON array."""
        fields = self._fields(start, stop)
        fields["update"] = pa.array(["true" if update else "false"] * (stop - start), ARROW_STRING)
        return b"".join((b"[", with_commas(*item_objects(fields)), b"]"))


def check_items(
    frame: pd.DataFrame,
    *,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    metadata_from: MetadataColumns = True,
    local_files: LocalFiles | None = None,
) -> Checked[ItemUnits]:
    """Validate a frame of items, or a joint frame whose rows repeat them.

    A unit is a distinct reference id, and all rows of one id share its outcome: if one of them is invalid, all are. So
    units are numbered by first occurrence, those with an invalid row are dropped, and the rest is renumbered without
    holes; `unit_of_row` maps every row to its new number.

    Raises
    ------
    InvalidInputError
        A column is missing or ambiguous, so that no single row can be validated.
    """
    local_files = local_files or LocalFiles()
    named = NamedColumns(frame, columns)
    problems = Problems(named.index)
    everywhere = np.ones(len(named), dtype=bool)
    reference_ids = to_strings(named.need("reference_id"), problems, required=everywhere)
    urls = to_strings(named.need("image_url"), problems, required=everywhere, addresses=True)
    if named.has("image_error") and local_files.check:
        _reject_unreadable(named, problems)
    for own in named_columns(named, bbox):
        named.own(own, " for bbox")
    width, height = _sizes(named, problems, has_boxes=bbox is not None or named.has("x") or named.has("y"))
    objects = metadata(named, metadata_from, problems)

    unit_of_row = _units(reference_ids)
    first = _first(unit_of_row)
    if len(first) < np.count_nonzero(unit_of_row != NOT_SENT):
        compared = {"image_url": urls, "image_width": width, "image_height": height, "metadata": objects}
        _check_repeats(named, metadata_from, unit_of_row, first, reference_ids, compared, problems)
    remote = pc.match_substring_regex(urls, "^(?:https?|s3|gs|gcs)://", ignore_case=True)
    remote_rows = flags(remote) & (not local_files.local)
    files = _files(urls, first, remote_rows, problems, str(named.name("image_url")), local_files)

    bad_units = np.zeros(len(first), dtype=bool)
    bad_units[unit_of_row[problems.bad & (unit_of_row != NOT_SENT)]] = True
    if bad_units.any():
        shares = (unit_of_row != NOT_SENT) & bad_units[unit_of_row] & ~problems.bad
        problems.add(
            shares,
            str(named.name("reference_id")),
            "belongs to an item of which another row is rejected. Correct that row, or drop all rows of the item.",
        )
    kept = np.flatnonzero(~bad_units)
    number = np.append(np.where(bad_units, NOT_SENT, np.cumsum(~bad_units) - 1), NOT_SENT)
    rows = first[kept]
    take = pa.array(rows)
    files = {int(number[unit]): path for unit, path in files.items() if number[unit] != NOT_SENT}
    sent_urls = urls.take(take)
    if files:  # local paths are never sent
        places = np.zeros(len(rows), dtype=bool)
        places[list(files)] = True
        names = [files[unit].name for unit in sorted(files)]
        sent_urls = pc.replace_with_mask(sent_urls, pa.array(places), pa.array(names, ARROW_STRING))
    units = ItemUnits(
        reference_ids=reference_ids.take(take),
        urls=sent_urls,
        widths=None if width is None else width[rows],
        heights=None if height is None else height[rows],
        metadata=None if objects is None else objects.take(take),
        files=files,
    )
    return Checked(units, number[unit_of_row], problems)


def _reject_unreadable(named: NamedColumns, problems: Problems) -> None:
    """Reject images that `read_images` could not read."""
    reasons = named.need("image_error")
    bad: Bools = reasons.notna().to_numpy(dtype=bool)
    problems.add(bad, str(named.name("image_url")), lambda row: f"{reasons.iloc[row]}. {_MEND}")


def _sizes(named: NamedColumns, problems: Problems, *, has_boxes: bool) -> tuple[Floats | None, Floats | None]:
    """Return the sizes of the images; beside boxes, ``width`` and ``height`` are those of the boxes."""
    found: list[Floats | None] = []
    for side in ("width", "height"):
        if not has_boxes and named.has(f"image_{side}") and named.has(side):
            raise InvalidInputError(
                f"The frame has both {side!r} and 'image_{side}' for the {side} of the image. Drop one of them."
            )
        column = named.image_side(side, has_boxes=has_boxes)
        found.append(None if column is None else sides(column, problems))
    return found[0], found[1]


def _units(reference_ids: StringArray) -> Indices:
    """Return the number of each row's id among the distinct ids, in the order of their first rows."""
    codes = reference_ids.dictionary_encode().indices
    found: Indices = pc.fill_null(codes, NOT_SENT).to_numpy(zero_copy_only=False).astype(np.intp)
    return found


def _first(unit_of_row: Indices) -> Indices:
    """Return the first row of each unit."""
    rows = np.flatnonzero(unit_of_row != NOT_SENT)[::-1]
    first = np.empty(int(unit_of_row.max(initial=NOT_SENT)) + 1, dtype=np.intp)
    first[unit_of_row[rows]] = rows
    return first


def _check_repeats(
    named: NamedColumns,
    metadata_from: MetadataColumns,
    unit_of_row: Indices,
    first: Indices,
    reference_ids: StringArray,
    compared: Mapping[str, Any],
    problems: Problems,
) -> None:
    """Reject items whose rows disagree: choosing one of them would be a guess."""
    rows = np.flatnonzero(unit_of_row != NOT_SENT)
    firsts = first[unit_of_row[rows]]
    for name, column in compared.items():
        if column is None:
            continue
        if isinstance(column, np.ndarray):
            with np.errstate(invalid="ignore"):
                differs = (column[rows] != column[firsts]) & ~(np.isnan(column[rows]) & np.isnan(column[firsts]))
        else:
            codes = pc.fill_null(column.dictionary_encode().indices, -1).to_numpy(zero_copy_only=False)
            differs = codes[rows] != codes[firsts]
        if name == "metadata":
            found = _differing_metadata(named, metadata_from, column, rows[differs], firsts[differs])
        else:
            own = name if named.has(name) else name.removeprefix("image_")  # as `image_side` finds it
            found = {str(named.name(own)): rows[differs].tolist()}
        for own_name, differing in found.items():
            units = np.zeros(len(first), dtype=bool)
            units[unit_of_row[differing]] = True
            wrong: Bools = (unit_of_row != NOT_SENT) & units[unit_of_row]
            problems.add(wrong, own_name, partial(_disagree, reference_ids))


def _disagree(reference_ids: StringArray, row: int) -> str:
    return (
        f"rows that share the reference_id {shown(reference_ids[row].as_py())} disagree here. Make them equal, or "
        "leave the column out."
    )


def _differing_metadata(
    named: NamedColumns, metadata_from: MetadataColumns, column: StringArray, rows: Indices, firsts: Indices
) -> dict[str, list[int]]:
    """Return, by caller's column, the rows that differ from the first rows of their items."""
    found: dict[str, list[int]] = {}
    for row, first in zip(rows.tolist(), firsts.tolist(), strict=True):
        keys = differing_keys(column[row].as_py(), column[first].as_py())
        for own in set(metadata_columns(named, metadata_from, keys).values()):
            found.setdefault(str(own), []).append(row)
    return found


def _files(
    urls: StringArray, first: Indices, remote: Bools, problems: Problems, name: str, local_files: LocalFiles
) -> dict[int, Path]:
    """Return the local images by unit, and reject those that cannot be read."""
    files: dict[int, Path] = {}
    for unit in np.flatnonzero(~remote[first] & ~problems.bad[first]).tolist():
        row = int(first[unit])
        try:
            path = local_files.image(urls[row].as_py())
        except ValidationError as error:
            problems.add_one(row, name, str(error))
            continue
        if path is not None:
            files[unit] = path
    return files


ItemKeys: TypeAlias = "FrameLike | Iterable[Any]"
"""A frame with ``reference_id`` or ``dataset_item_id``, in a column or the index; or ids, one by one."""


class NamedItems(NamedTuple):
    """Which items are named: each once, in the order of the caller."""

    by: Literal["reference_id", "dataset_item_id"]
    ids: list[str]


def item_ids(items: ItemKeys | None, by: Literal["reference_id", "dataset_item_id"] = "reference_id") -> NamedItems:
    """Return the ids of items that the caller names.

    Parameters
    ----------
    items : pandas.DataFrame, a table that exports Arrow, or iterable of str or int
        A frame's ``reference_id`` takes precedence over its ``dataset_item_id``, as when frames are sent.
        None names no items.
    by : {"reference_id", "dataset_item_id"}
        The kind of ids in a list.

    Raises
    ------
    InvalidInputError
        An id is missing or not a string, or a frame has no column of them.

    Examples
    --------
    >>> item_ids(pd.DataFrame({"reference_id": [7, 7, 8], "label": "car"}))
    NamedItems(by='reference_id', ids=['7', '8'])
    >>> item_ids(["di_1"], "dataset_item_id").ids
    ['di_1']
    """
    if items is None:
        return NamedItems(by, [])
    frame = as_frame(items)
    if frame is not None:
        named = NamedColumns(frame, None)
        column = named.get("reference_id")
        by = "reference_id"
        if column is None:
            column, by = named.get("dataset_item_id"), "dataset_item_id"
        if column is None:
            raise InvalidInputError(
                f"{named.missing('reference_id')} Items are named by 'reference_id' or 'dataset_item_id', in a column "
                "or the index."
            )
    else:
        if isinstance(items, (str, bytes, dict)) or not isinstance(items, Iterable):
            raise InvalidInputError(f"Items are named by a list of ids, or by a DataFrame, not by {type_name(items)}.")
        column = ids_column(items)
    problems = Problems(column.index)
    found = to_strings(column.rename(by), problems, required=np.ones(len(column), dtype=bool))
    for row, reason in problems.reasons().items():
        raise InvalidInputError(f"In {problems.label(row)}, {reason}")
    return NamedItems(by, list(dict.fromkeys(found.to_pylist())))
