"""Validate a frame or a payload, as a whole before anything is sent."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Bools, Floats
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import (
    ANY,
    NOT_SENT,
    AnnotationUnits,
    BoxColumn,
    Checked,
    FrameLike,
    MetadataColumns,
    NamedColumns,
    Problems,
    Terms,
    Units,
    as_frame,
    check_annotations,
    check_items,
    floats,
    warn,
)
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.checked_rows import RowKind, SourceRows
from nucleus_pandas.schema.geometry import SIDES, named_columns
from nucleus_pandas.schema.image_urls import LocalFiles
from nucleus_pandas.schema.merges import reject_ambiguous
from nucleus_pandas.schema.outside import Outside, outside
from nucleus_pandas.schema.payloads import Payload, check_annotation_rows, check_item_rows
from nucleus_pandas.schema.unfolding import Unfoldable, report, unfolded
from nucleus_pandas.schema.unused_columns import unused_columns, warn_of_near

SendableRows: TypeAlias = FrameLike | Payload
"""What can be sent: a frame or another library's table, a payload dict, or a list of dicts."""


_IDENTITY = ("dataset_item_id", "reference_id", "label", "type", *SIDES, "geometry", "taxonomy_name", "confidence")
"""Columns from which the id of an annotation is computed."""


@dataclass(frozen=True)
class ColumnLayout:
    """Which columns of a frame hold what."""

    columns: Mapping[str, Hashable] | None = None
    bbox: BoxColumn | None = None
    bbox_format: BoxFormat | None = None
    metadata: MetadataColumns = True


def validate(
    kind: RowKind,
    rows: SendableRows,
    layout: ColumnLayout,
    *,
    local_files: LocalFiles | None = None,
    terms: Terms = ANY,
    update: bool = False,
) -> tuple[SourceRows, Checked[Units]]:
    """Validate what is to be sent.

    Parameters
    ----------
    kind, rows, layout, local_files, terms
        What is sent, and as what.
    update : bool
        Whether existing rows are replaced.

    Returns
    -------
    (pandas.DataFrame or list of dict, Checked)
        The rows as the caller passed them, tables as frames, and lists of boxes as one row per box; which of them can
        be sent, and the problems of the others.

    Raises
    ------
    InvalidInputError
        A column is missing, or this is neither a frame nor a payload: no single row can be validated.
    """
    frame = as_frame(rows)
    if frame is None:
        rows = cast(Payload, rows)
        if layout != ColumnLayout():
            raise InvalidInputError(
                "columns=, bbox=, bbox_format= and metadata= are for DataFrames; this is a payload. Leave them out."
            )
        files = local_files or LocalFiles()
        return check_item_rows(rows, files) if kind == "items" else check_annotation_rows(rows, kind, terms, files)
    wrong: Unfoldable = {}
    if kind != "items":
        frame, wrong = unfolded(frame, layout.columns, layout.bbox, layout.metadata)
    named = NamedColumns(frame, layout.columns)
    reject_ambiguous(named, kind, layout.metadata, update=update)
    checked: Checked[Units]
    if kind == "items":
        checked = check_items(
            frame, columns=layout.columns, bbox=layout.bbox, metadata_from=layout.metadata, local_files=local_files
        )
    else:
        checked = check_annotations(
            frame,
            kind,
            columns=layout.columns,
            bbox=layout.bbox,
            bbox_format=layout.bbox_format,
            metadata_from=layout.metadata,
            terms=terms,
            local_files=local_files,
        )
        report(wrong, checked.problems)
    unused = unused_columns(named, layout.bbox, layout.metadata)
    warn_of_near(named, kind, unused)
    checked = replace(checked, unused=unused)
    if isinstance(checked.units, AnnotationUnits) and (sizes := sizes_in(named)) is not None:
        checked = replace(checked, outside=find_outside(checked, sizes)[1])
    return frame.copy(deep=False), checked  # later assignments by the caller do not change what was sent


def sizes_in(named: NamedColumns) -> Floats | None:
    """Return width and height of the image of each row, NaN where they are no numbers; None without such columns."""
    if not named.has("image_width") or not named.has("image_height"):
        return None
    return np.array([floats(named.need(f"image_{side}"), Problems(named.index)) for side in ("width", "height")])


def find_outside(checked: Checked[Units], sizes: Floats) -> tuple[Bools, Outside]:
    """Find the rows of checked annotations whose boxes reach beyond their images.

    Parameters
    ----------
    sizes : numpy.ndarray of shape (2, n), float64
        Width and height of the image of each row in pixels; NaN where one is not known.
    """
    assert isinstance(checked.units, AnnotationUnits)
    rows = np.flatnonzero(checked.unit_of_row != NOT_SENT)
    beyond, counts = outside(checked.units.boxes.sides, *sizes[:, rows])
    found = np.zeros(len(checked.unit_of_row), dtype=bool)
    found[rows] = beyond
    return found, counts


def warn_of_repeats(checked: Checked[Units], source: SourceRows, layout: ColumnLayout) -> None:
    """Warn of rows that repeat others exactly, as a merge of many rows with many makes them."""
    if not checked.repeats:
        return
    count, remedy = len(checked.repeats), "Leave them out"
    if isinstance(source, pd.DataFrame):
        remedy = f"{_without_repeats(source, layout)} leaves them out"
    warn(
        f"{count} {'row repeats another' if count == 1 else 'rows repeat others'} exactly, the first is "
        f"{checked.problems.label(checked.repeats[0])}. Each is sent under its own id. {remedy}."
    )


def _without_repeats(frame: pd.DataFrame, layout: ColumnLayout) -> str:
    """Return what to type for a frame without exact repeats; dicts and lists in it cannot be compared as they are."""
    named = NamedColumns(frame, layout.columns)
    names = [named.name(canonical) for canonical in _IDENTITY if named.has(canonical)]
    names += [name for name in named_columns(named, layout.bbox) if name not in names]
    whole = "frame" if all(name in frame.columns for name in names) else "frame.reset_index()"
    return f"{whole}[~{whole}[{names!r}].astype(str).duplicated().to_numpy()]"


def warn_of_outside(found: Outside, count: int, layout: ColumnLayout) -> None:
    """Warn of boxes that reach beyond their images, if there are any among so many rows."""
    if found.boxes:
        named = {} if layout.columns is None else layout.columns
        columns = () if layout.bbox is not None else tuple(named.get(side, side) for side in SIDES)
        warn(found.text(count, layout.bbox_format, columns))
