"""Frames of items merged with boxes, in which a column may belong to either side.

A merge renames columns that both sides have. What would be sent then depends on the suffixes, and an update would put
the metadata of boxes in place of that of items; so such frames are rejected with the call that states the side.
"""

from __future__ import annotations

from collections.abc import Hashable

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.schema.column_names import NamedColumns
from nucleus_pandas.schema.metadata import PREFIX, MetadataColumns

_OF_ITEMS = ("image_url", "image_width", "image_height")
_OF_BOXES = ("annotation_id", "label", "x", "y", "geometry")
_ITEM_SUFFIXES = ("_item", "_items", "_image", "_images", "_img")
_BOX_SUFFIXES = ("_box", "_boxes", "_bbox", "_annotation", "_annotations", "_prediction", "_predictions")
_SUFFIXES = ("_x", "_y", *_ITEM_SUFFIXES, *_BOX_SUFFIXES)
_CALLS: dict[RowKind, str] = {
    "items": "append(dataset",
    "annotations": "annotate(dataset",
    "predictions": "predict(run",
}


def reject_ambiguous(named: NamedColumns, kind: RowKind, metadata: MetadataColumns, *, update: bool) -> None:
    """Reject a merge of items and boxes if it is not clear which side the metadata or a size belongs to.

    Parameters
    ----------
    named : NamedColumns
        The frame; what its mapping names is clear.
    kind : {"items", "annotations", "predictions"}
        What is sent.
    metadata : bool or sequence of column names
        What the caller sends as metadata; only True leaves the choice to the frame.
    update : bool
        Whether existing rows are replaced: then the metadata of boxes that were read back is rejected for items too.

    Raises
    ------
    InvalidInputError
        A column may belong to either side; the text holds what to type.
    """
    if not any(map(named.has, _OF_ITEMS)) or not any(map(named.has, _OF_BOXES)):
        return
    stated: dict[str, Hashable] = {}
    doubtful: list[Hashable] = []
    for canonical, wanted in (("metadata", "metadata"), *_sides(named, kind)):
        if named.is_mapped(wanted) or (canonical == "metadata" and metadata is not True):
            continue
        found = _candidates(named, canonical, _BOX_SUFFIXES if kind == "items" else _ITEM_SUFFIXES)
        if found:
            stated[wanted] = found[0] if _is_left(named, kind) else found[-1]
            doubtful += found
    call = _CALLS[kind] + (", if_exists='update'" if update else "")
    if stated:
        raise InvalidInputError(
            f"The frame has items and boxes, and the columns {', '.join(map(repr, doubtful))} may be of either. State "
            f"which are those of the {kind}: frame.nucleus.{call}, columns={named.mapping_with(stated)!r})",
            argument="columns",
        )
    is_clear = any(named.holds(f"metadata{suffix}") for suffix in _BOX_SUFFIXES)
    if kind == "items" and update and metadata is True and named.has("annotation_id") and not is_clear:
        _reject_read_back(named, call)


def _sides(named: NamedColumns, kind: RowKind) -> list[tuple[str, str]]:
    """Return the names of sizes, and what they are called where they are those of the rows that are sent."""
    if kind == "items":
        return [(side, f"image_{side}") for side in ("width", "height") if not named.has(f"image_{side}")]
    return [(side, side) for side in ("width", "height") if not named.has(side)]


def _candidates(named: NamedColumns, canonical: str, others: tuple[str, ...]) -> list[Hashable]:
    """Return the columns of a name that a merge has given suffixes, in their order, if it is not clear which is meant.

    It is clear where those that have a suffix have that of the other side.
    """
    names = {canonical, *(f"{canonical}{end}" for end in _SUFFIXES)}
    found: list[Hashable] = [name for name in named.frame.columns if name in names]
    doubtful = {*found} - {canonical, *(f"{canonical}{end}" for end in others)}
    return found if doubtful else []


def _is_left(named: NamedColumns, kind: RowKind) -> bool:
    """Return whether the rows that are sent were the left side of the merge, whose columns come first."""
    places = {name: place for place, name in enumerate(named.frame.columns)}

    def first(canonicals: tuple[str, ...]) -> int:
        return min((places[name] for name in map(named.name, canonicals) if name in places), default=len(places))

    return (first(_OF_ITEMS) < first(_OF_BOXES)) == (kind == "items")


def _reject_read_back(named: NamedColumns, call: str) -> None:
    """Reject the metadata beside boxes that were read back, which an update would put in place of the items' own."""
    keyed = [name for name in named.names if isinstance(name, str) and name.startswith(PREFIX)]
    whole = named.name("metadata") if named.has("metadata") and not named.is_mapped("metadata") else None
    if not keyed and whole is None:
        return
    line = f"metadata={keyed!r}" if whole is None else f"columns={named.mapping_with({'metadata': whole})!r}"
    raise InvalidInputError(
        f"The frame has boxes that were read back, and the metadata in {keyed[0] if whole is None else whole!r} may be "
        "theirs; if_exists='update' would put it in place of that of the items. State that it is of the items: "
        f"frame.nucleus.{call}, {line}); or update the items alone, as dataset.items.to_frame() returns them.",
        argument="metadata",
    )
