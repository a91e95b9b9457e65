"""Frames with one row per image and lists of boxes, as frames with one row per box."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas.schema.checked_rows import Problems
from nucleus_pandas.schema.coerce import is_missing, values_of
from nucleus_pandas.schema.column_names import CANONICAL, NamedColumns
from nucleus_pandas.schema.geometry import SIDES, BoxColumn, named_columns
from nucleus_pandas.schema.json_values import from_text
from nucleus_pandas.schema.metadata import PREFIX, MetadataColumns

_OF_IMAGES = ("reference_id", "image_url", "image_width", "image_height", "image_error", "dataset_item_id")
_VECTOR = "embedding_vector"

Unfoldable = Mapping[int, tuple[str, str]]
"""Rows whose lists differ in length, which stay as they are: the column, and the reason."""


def unfolded(
    frame: pd.DataFrame,
    columns: Mapping[str, Hashable] | None,
    bbox: BoxColumn | None,
    metadata: MetadataColumns = False,
    more: Sequence[str] = (),
) -> tuple[pd.DataFrame, Unfoldable]:
    """Return one row per box where rows hold lists of boxes, and one without a box for an empty list.

    Values of other columns are repeated, and so are the labels of the index. Other frames are returned as they are.

    Parameters
    ----------
    frame : pandas.DataFrame
        Annotations or predictions; never changed. Lists may be the text of a CSV file.
    columns, bbox, metadata
        Which columns hold what.
    more : sequence of str
        Known columns that rows which are sent do not have.

    Examples
    --------
    >>> images = pd.DataFrame({"reference_id": ["a", "b"], "bbox": [[[1, 2, 3, 4], [5, 6, 7, 8]], []], "label": "car"})
    >>> unfolded(images, None, "bbox")[0]
      reference_id          bbox label
    0            a  [1, 2, 3, 4]   car
    0            a  [5, 6, 7, 8]   car
    1            b          None   car
    """
    if columns is not None and not isinstance(columns, Mapping):
        return frame, {}  # rejected where the columns are read
    named = NamedColumns(frame, _known(frame, columns or {}, more), (*CANONICAL, *more))
    boxes = [name for name in named_columns(named, bbox) if named.holds(name)]
    sides = boxes if len(boxes) == 4 else [] if boxes else [named.name(side) for side in SIDES if named.has(side)]
    label = named.name("label")
    if not (
        (len(boxes) == 1 and _holds_boxes(named.own(boxes[0])))
        or (named.has("label") and named.has("geometry") and _are_lists(named, "label", "geometry"))
        or any(_first_list(named.own(side)) is not None for side in sides)
    ):
        return frame, {}
    names = _of_boxes(named, boxes, metadata, more)
    lists = {name: values for name in names if (values := _lists(named, name)) is not None}
    if len(boxes) == 1 and boxes[0] in lists:
        lists[boxes[0]] = [[value] if _is_one_box(value) else value for value in lists[boxes[0]]]
    lengths = {name: np.array([_length(value) for value in values], dtype=np.intp) for name, values in lists.items()}
    first = next(name for name in [*boxes, *sides, label, *lists] if name in lists)
    counts = lengths[first].copy()
    wrong: dict[int, tuple[str, str]] = {}
    for name in lists:
        for row in np.flatnonzero(lengths[name] != lengths[first]).tolist():
            held, wanted = int(lengths[name][row]), int(lengths[first][row])
            reason = f"holds {held} values, and '{first}' {wanted}: there must be one per box."
            wrong.setdefault(row, (str(name), reason if min(held, wanted) >= 0 else "is no list, as in other rows."))
    counts[list(wrong)] = 0
    source = np.repeat(np.arange(len(frame)), np.maximum(counts, 1))
    unfolded_frame = frame.take(source).copy(deep=False)
    if any(name not in frame.columns for name in lists):
        unfolded_frame = unfolded_frame.reset_index([name for name in lists if name not in frame.columns])
    for name, values in lists.items():
        unfolded_frame[name] = _elements(values, counts, set(wrong), unfolded_frame.index)
    places = np.flatnonzero(np.append(True, source[1:] != source[:-1])) if len(source) else source
    return unfolded_frame, {int(places[row]): why for row, why in wrong.items()}


def report(wrong: Unfoldable, problems: Problems) -> None:
    """Replace the problems of rows whose lists differ in length by that reason."""
    if wrong:
        bad = np.zeros(len(problems.bad), dtype=bool)
        bad[list(wrong)] = True
        problems.forget(bad)
        for row, (column, reason) in wrong.items():
            problems.add_one(row, column, reason)


def _known(frame: pd.DataFrame, columns: Mapping[str, Hashable], more: Sequence[str]) -> dict[str, Hashable]:
    """Return the part of a mapping that is right; the rest is rejected where the columns are read."""
    plain = NamedColumns(frame, None)
    return {name: own for name, own in columns.items() if name in (*CANONICAL, *more) and plain.holds(own)}


def _of_boxes(
    named: NamedColumns, boxes: Sequence[Hashable], metadata: MetadataColumns, more: Sequence[str]
) -> list[Hashable]:
    """Return the columns that may hold one value per box."""
    known = (name for name in (*CANONICAL, *more) if name not in _OF_IMAGES and named.has(name))
    names = [*boxes, *map(named.name, known)]
    if not isinstance(metadata, bool):
        names += [name for name in metadata if named.holds(name)]
    elif metadata:
        names += [name for name in named.names if str(name).startswith(PREFIX)]
    return list(dict.fromkeys(names))


def _are_lists(named: NamedColumns, *canonical: str) -> bool:
    return all(_first_list(named.need(name)) is not None for name in canonical)


def _holds_boxes(series: pd.Series[Any]) -> bool:
    """Return True if a column holds lists of boxes rather than boxes."""
    first = _first_list(series, filled=True)
    if first is not None:
        return not _is_one_box(first)
    return _first_list(series) is not None  # empty lists: images without boxes


def _is_one_box(value: object) -> bool:
    if isinstance(value, Mapping):
        return True
    return _length(value) > 0 and not isinstance(value[0], (list, tuple, np.ndarray, Mapping))  # type: ignore[index]


def _first_list(series: pd.Series[Any], *, filled: bool = False) -> Any:
    """Return the first list of a column, one with elements if asked to; None if its first value is something else."""
    dtype = series.dtype
    if isinstance(dtype, pd.ArrowDtype):
        kind = dtype.pyarrow_dtype
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)) and not (
            pa.types.is_string(kind) or pa.types.is_large_string(kind)
        ):
            return None
    elif not (pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype)):
        return None
    for value in series.array:
        if value is None or (not isinstance(value, (list, tuple, np.ndarray)) and is_missing(value)):
            continue
        value = from_text(value) if isinstance(value, str) else value
        if not isinstance(value, (list, tuple)) and not (isinstance(value, np.ndarray) and value.ndim):
            return None
        if len(value) or not filled:
            return value
    return None


def _lists(named: NamedColumns, name: Hashable) -> list[Any] | None:
    """Return the values of a column that holds lists, with text parsed; None if it does not hold lists."""
    series = named.own(name)
    first = _first_list(series)
    if first is None or (name == named.name(_VECTOR) and not (len(first) and isinstance(first[0], (list, np.ndarray)))):
        return None
    return [from_text(value) if isinstance(value, str) else value for value in values_of(series)]


def _length(value: object) -> int:
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
        return len(value)
    return 0 if is_missing(value) else -1


def _elements(values: Sequence[Any], counts: np.ndarray[Any, Any], kept: set[int], index: pd.Index[Any]) -> Any:
    """Return the elements of all lists in a column; the value itself in rows that are kept, missing for no element."""
    found: list[Any] = []
    for row, (value, count) in enumerate(zip(values, counts.tolist(), strict=True)):
        if row in kept:
            found.append(value)
        else:
            found.extend(value if count else [None])
    column = pd.Series(np.full(len(found), None, dtype=object), index=index)
    column.array[:] = found
    scalars = all(not isinstance(value, (list, tuple, dict, np.ndarray)) for value in found)
    return column.infer_objects() if scalars else column
