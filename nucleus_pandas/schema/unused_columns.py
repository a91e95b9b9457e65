"""Columns of a frame that are not sent, and those among them whose names look like known ones."""

from __future__ import annotations

import difflib
from collections.abc import Hashable

from nucleus_pandas.schema.checked_rows import RowKind, warn
from nucleus_pandas.schema.column_names import CANONICAL, LIKE_CONFIDENCE, NamedColumns
from nucleus_pandas.schema.geometry import BoxColumn, named_columns
from nucleus_pandas.schema.metadata import PREFIX, MetadataColumns
from nucleus_pandas.wire.entities import DETAILS

_SIMILAR = 0.85  # of difflib's ratio: "confidance" passes, "weight" is not near "height"
_ANNOTATION = (
    *("reference_id", "dataset_item_id", "annotation_id", "label", "type", "x", "y", "width", "height"),
    *("geometry", "taxonomy_name", *DETAILS[1:], "metadata"),
)
_FIELDS: dict[RowKind, tuple[str, ...]] = {
    "items": ("reference_id", "image_url", "image_width", "image_height", "metadata"),
    "annotations": _ANNOTATION,
    "predictions": (*_ANNOTATION, "confidence", DETAILS[0]),
}


def unused_columns(named: NamedColumns, bbox: BoxColumn | None, metadata: MetadataColumns) -> list[Hashable]:
    """Return the columns and named index levels that no kind of row takes, in the order of the frame.

    Columns of other kinds of rows, as in joint frames, are not among them, nor is metadata that the caller leaves out.
    """
    used = {named.name(canonical) for canonical in CANONICAL} | set(named_columns(named, bbox))
    if not isinstance(metadata, bool):
        used.update(metadata)

    return [name for name in named.names if name not in used and not str(name).startswith(PREFIX)]


def warn_of_near(named: NamedColumns, kind: RowKind, unused: list[Hashable]) -> None:
    """Warn if a column that is not sent was probably meant to be one that the frame does not have."""
    for canonical in _FIELDS[kind]:
        if named.has(canonical):
            continue
        near = next((name for name in unused if _is_near(str(name), canonical)), None)
        if near is not None:
            effect = "predictions are sent without one" if canonical == "confidence" else f"{near!r} is not sent"
            warn(
                f"There is no column {canonical!r}, so {effect}. Use columns={{{canonical!r}: {near!r}}} where "
                f"{near!r} is meant."
            )


def _is_near(name: str, canonical: str) -> bool:
    """Return True if a name is a known one with a typing error, in another case, or with a suffix of a merge.

    Examples
    --------
    >>> [_is_near(name, "confidence") for name in ("confidance", "Confidence", "confidence_x", "score", "residence")]
    [True, True, True, True, False]
    """
    folded, known = _folded(name), _folded(canonical)
    if folded in LIKE_CONFIDENCE:
        return canonical == "confidence"
    if abs(len(folded) - len(known)) > 3 or len(known) < 2:
        return False
    if folded == known or (len(known) > 3 and sorted(folded) == sorted(known)):  # letters in another order
        return True
    matcher = difflib.SequenceMatcher(None, folded, known)
    return matcher.real_quick_ratio() >= _SIMILAR and matcher.ratio() >= _SIMILAR


def _folded(name: str) -> str:
    name = name.lower().strip()
    return "".join(filter(str.isalnum, name.removesuffix("_x").removesuffix("_y")))
