"""Looks for rows that exist before anything is sent, where none may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nucleus_pandas.errors import APIError, NetworkError, TooLargeError
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
    return dict(_existing_items(upload) if upload.target.kind == "items" else _existing_annotations(upload))


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
                yield part.start + place, f"An item with reference_id '{name}' exists already."


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
