"""The types of columns, looked at before a row is read: of a wrong one no row could be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

_TEXTS = (
    "reference_id",
    "dataset_item_id",
    "image_url",
    "annotation_id",
    "label",
    "type",
    "track_reference_id",
    "task_id",
)
_NUMBERS = ("x", "y", "width", "height", "image_width", "image_height", "confidence")


def wrong_types(
    fields: Mapping[str, Any], named: Mapping[str, object], sides: Sequence[object], lists: Sequence[str]
) -> str | None:
    """Return which column cannot hold what it stands for, and what to do.

    Parameters
    ----------
    fields : dict of str to pyarrow.DataType or None
        The types of all columns; None where the names of folders hold the values.
    named : dict of str to str
        Canonical names, and the columns that stand for them.
    sides : sequence of str
        Columns that hold one number of a box each.
    lists : sequence of str
        Columns that hold a value for each box of an image.
    """
    for canonical, own in [*named.items(), *(("x", side) for side in sides)]:
        kind = fields.get(str(own))
        if kind is None:
            continue
        if own in lists:
            kind = kind.value_type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if canonical in _NUMBERS and not _may_be_number(kind):
            return (
                f"The column {own!r} holds {kind}, and '{canonical}' is a number. Convert it and write the file again, "
                f"as by frame[{own!r}] = pandas.to_numeric(frame[{own!r}]); or name the column that holds it."
            )
        if canonical in _TEXTS and not _may_be_text(kind):
            remedy = ".astype('Int64')" if pa.types.is_floating(kind) else ".astype(str)"
            return (
                f"The column {own!r} holds {kind}, and '{canonical}' is text or an integer. Convert it and write the "
                f"file again, as by frame[{own!r}] = frame[{own!r}]{remedy}; or name the column that holds it."
            )
    return None


def _may_be_number(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind))


def _may_be_text(kind: Any) -> bool:
    types = pa.types
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_null)
    return any(test(kind) for test in texts)
