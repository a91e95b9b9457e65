"""Looks for rows that exist before anything is sent, where none may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from nucleus_pandas.errors import APIError, NetworkError, NotFoundError, TooLargeError
from nucleus_pandas.uploads.answers import parse_answer
from nucleus_pandas.uploads.batches import BATCH, Batch, Upload, cut
from nucleus_pandas.uploads.journal import request_key
from nucleus_pandas.wire.bulk import KEYS, ItemPage, OutcomeRuns, RowSelection


@dataclass(eq=False)
class _Check(Batch[Any]):
    """A batch of annotations that the server checks, and does not store."""

    def write_request(self, *rows: bytes | memoryview) -> bytes:
        """Write the request."""
        return b"".join([b"{", *rows, b',"if_exists":"error","check_only":true}'])

    def existing(self) -> dict[int, str]:
        """Return the units that exist, each with its error."""
        try:
            answer = self.request([])
        except TooLargeError:
            if not (halves := self.halves()):
                raise
            return {unit: reason for half in halves for unit, reason in half.existing().items()}
        parsed = parse_answer(self.upload.target.kind, answer, len(self.units))
        assert isinstance(parsed, OutcomeRuns)
        reasons = dict(parsed.row_errors)
        found: dict[int, str] = {}
        row = 0
        for outcome, count in parsed.outcomes:
            if outcome == "exists":
                found |= {self.units.start + place: reasons[place] for place in range(row, row + count)}
            row += count
        return found


def existing_units(upload: Upload[Any]) -> dict[int, str]:
    """Return the units of an upload that exist on the server, each with its error.

    Requests that the journal knows are left out: their rows are this upload's own.
    """
    is_items = upload.target.kind == "items"
    if "check-existing" in upload.extensions:
        return dict(_existing_items(upload) if is_items else _existing_annotations(upload))
    if upload.journal is not None and not upload.journal.is_empty():
        return {}  # some of the rows are this upload's own
    try:
        return dict(_existing_items_by_reading(upload) if is_items else _existing_annotations_by_reading(upload))
    except NotFoundError:
        return {}  # there is no run yet; or no dataset, as the next request says


def reject_existing(upload: Upload[Any]) -> bool:
    """Reject all units if any exists on the server, or cannot be looked up; return whether that is so."""
    try:
        found = existing_units(upload)
    except (APIError, NetworkError) as error:
        upload.outcomes.reject(range(len(upload.units)), str(error))
        upload.outcomes.abort(error)
        return True
    if found:
        upload.outcomes.reject_existing(found)
    return bool(found)


def _existing_items(upload: Upload[Any]) -> Iterator[tuple[int, str]]:
    route = ("_nucleus_pandas", *upload.target.route[:2], "items")
    for part in _unknown_parts(upload, KEYS):
        names = upload.units.keys(part.start, part.stop)
        selection = RowSelection(reference_ids=names, columns=["reference_id"])
        page = upload.target.transport.look_up(ItemPage, *route, body=selection)
        missing = set(page.missing)
        for place, name in enumerate(names):
            if place not in missing:
                yield part.start + place, _item_exists(name)


def _item_exists(reference_id: str) -> str:
    return f"An item with reference_id '{reference_id}' exists already."


def _existing_annotations(upload: Upload[Any]) -> Iterator[tuple[int, str]]:
    for part in _unknown_parts(upload, upload.options.batch_size or BATCH):
        yield from _Check(upload, part).existing().items()


def _unknown_parts(upload: Upload[Any], size: int) -> Iterator[range]:
    """Yield the ranges of units that are to be looked up: without a journal all, else batches that it does not know."""
    journal, units = upload.journal, upload.units
    if journal is None:
        yield from cut(units, size)
        return
    for part in cut(units, upload.options.batch_size or BATCH):
        if part.start in units.files:
            known = not journal.is_empty()  # files have requests of other sizes
        else:
            known = journal.is_known(request_key(Batch(upload, part).journal_key()))
        if not known:
            yield part


def _existing_items_by_reading(upload: Upload[Any]) -> Iterator[tuple[int, str]]:
    """Yield the units that exist, by the routes that read items: one by one, or all where that is cheaper."""
    names = upload.units.keys(0, len(upload.units))
    lengths = upload.target.reader().pick("refloc", names, ["reference_id"]).lengths
    for unit, (name, count) in enumerate(zip(names, lengths, strict=True)):
        if count:
            yield unit, _item_exists(name)


class _SentIdentity(msgspec.Struct):
    """What tells an annotation from the others of its item, as it is sent."""

    reference_id: str | None = None
    item_id: str | None = None
    annotation_id: str | None = None
    type: str = "box"
    taxonomy_name: str | None = None


def _existing_annotations_by_reading(upload: Upload[Any]) -> Iterator[tuple[int, str]]:
    """Yield the units that exist, by the routes that read the annotations of items."""
    noun = "An annotation" if upload.target.kind == "annotations" else "A prediction"
    sent = [
        unit
        for part in cut(upload.units, BATCH)
        for unit in _SENT.decode(b"".join([b"[", upload.units.objects(part.start, part.stop), b"]"]))
    ]
    reader = upload.target.reader()
    keys: tuple[tuple[Literal["refloc", "loc"], list[str | None]], ...] = (
        ("refloc", [each.reference_id for each in sent]),
        ("loc", [each.item_id if each.reference_id is None else None for each in sent]),
    )
    for by, key_of_unit in keys:
        if not (names := [key for key in dict.fromkeys(key_of_unit) if key is not None]):
            continue
        picked = reader.pick(by, names, ["annotation_id", "type", "geometry"])
        owners = [name for name, count in zip(names, picked.lengths, strict=True) for _ in range(count)]
        columns = [picked.columns[name] for name in ("annotation_id", "type", "geometry")]
        there = {
            (owner, _slot(str(annotation_id), str(kind), (geometry or {}).get("taxonomy_name")))
            for owner, annotation_id, kind, geometry in zip(owners, *columns, strict=True)
        }
        for unit, (each, key) in enumerate(zip(sent, key_of_unit, strict=True)):
            slot = _slot(each.annotation_id, each.type, each.taxonomy_name)
            if (key, slot) in there:
                yield unit, f"{noun} with {' '.join(slot)} on the item '{key}' exists already."


_SENT = msgspec.json.Decoder(list[_SentIdentity])


def _slot(annotation_id: str | None, kind: str, taxonomy_name: str | None) -> tuple[str, str]:
    """Return what an annotation replaces on its item: that of its id, the one mask, or the one of its taxonomy."""
    if kind in ("segmentation", "mask"):
        return "type", "'segmentation'"
    if taxonomy_name is not None and kind in ("category", "multicategory"):
        return "taxonomy", f"'{taxonomy_name}'"
    return "annotation_id", f"'{annotation_id}'"
