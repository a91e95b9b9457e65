"""Validate a frame or a payload, as a whole before anything is sent."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import (
    ANY,
    BoxColumn,
    Checked,
    MetadataColumns,
    Terms,
    Units,
    check_annotations,
    check_items,
    warn,
)
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.checked_rows import RowKind, SourceRows
from nucleus_pandas.schema.column_names import LIKE_CONFIDENCE
from nucleus_pandas.schema.image_urls import LocalFiles
from nucleus_pandas.schema.payloads import Payload, check_annotation_rows, check_item_rows

SendableRows: TypeAlias = pd.DataFrame | Payload
"""What can be sent: a frame, a payload dict, or a list of dicts."""


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
) -> tuple[SourceRows, Checked[Units]]:
    """Validate what is to be sent.

    Returns
    -------
    (pandas.DataFrame or list of dict, Checked)
        The rows as the caller passed them; which of them can be sent, and the problems of the others.

    Raises
    ------
    InvalidInputError
        A column is missing, or this is neither a frame nor a payload: no single row can be validated.
    """
    if not isinstance(rows, pd.DataFrame):
        if layout != ColumnLayout():
            raise InvalidInputError(
                "columns=, bbox=, bbox_format= and metadata= are for DataFrames; this is a payload. Leave them out."
            )
        files = local_files or LocalFiles()
        return check_item_rows(rows, files) if kind == "items" else check_annotation_rows(rows, kind, terms, files)
    checked: Checked[Units]
    if kind == "items":
        checked = check_items(
            rows, columns=layout.columns, bbox=layout.bbox, metadata_from=layout.metadata, local_files=local_files
        )
    else:
        if kind == "predictions":
            _warn_of_other_scores(rows, layout)
        checked = check_annotations(
            rows,
            kind,
            columns=layout.columns,
            bbox=layout.bbox,
            bbox_format=layout.bbox_format,
            metadata_from=layout.metadata,
            terms=terms,
            local_files=local_files,
        )
    return rows.copy(deep=False), checked  # later assignments by the caller do not change what was sent


def _warn_of_other_scores(frame: pd.DataFrame, layout: ColumnLayout) -> None:
    """Warn if a column that looks like the confidence would not be sent, unless the caller names it otherwise."""
    said = {*(layout.columns or {}).values(), *(() if isinstance(layout.metadata, bool) else layout.metadata)}
    names = [*frame.columns, *frame.index.names]
    if "confidence" in names or "confidence" in (layout.columns or {}):
        return
    like = next((name for name in names if str(name).lower() in LIKE_CONFIDENCE and name not in said), None)
    if like is not None:
        warn(
            f"There is no column 'confidence', so predictions are sent without one. Use columns={{'confidence': "
            f"{like!r}}} where {like!r} is meant."
        )
