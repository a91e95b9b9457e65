"""Replacing the annotations or predictions of images as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from nucleus_pandas.errors import APIError, InvalidInputError, NetworkError
from nucleus_pandas.schema import NOT_SENT, AnnotationUnits, Checked, Units
from nucleus_pandas.schema.payloads import AnnotationStructs
from nucleus_pandas.uploads.batches import BATCH, Batch, Upload, progress_bar
from nucleus_pandas.wire.bulk import KEYS


def by_image(checked: Checked[Units]) -> Checked[Units]:
    """Return checked rows with the units of an image beside each other, in their order.

    Raises
    ------
    InvalidInputError
        Rows are invalid, name items by ids of both kinds, or are masks in local files: images could not be replaced as
        a whole.
    """
    units = checked.units
    assert isinstance(units, (AnnotationUnits, AnnotationStructs))
    if units.files:
        raise InvalidInputError(
            "if_exists='replace' takes no local mask files, which travel apart from the other rows of their image. "
            "Send the masks by URL, or call run.delete_predictions(ids) or dataset.delete_annotations(ids) first.",
            argument="if_exists",
        )
    if units.names_items_both_ways():
        raise InvalidInputError(
            "if_exists='replace' needs one kind of id: some rows name their item by reference_id, others by item id, "
            "and the rows of one image could not be kept together.",
            argument="if_exists",
        )
    codes, _ = pd.factorize(np.array(units.keys(0, len(units)), dtype=object))
    order = np.argsort(codes, kind="stable")
    if (order[1:] > order[:-1]).all():
        return checked
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    has_unit = checked.unit_of_row != NOT_SENT
    unit_of_row = checked.unit_of_row.copy()
    unit_of_row[has_unit] = places[checked.unit_of_row[has_unit]]
    return replace(checked, units=units.take(order), unit_of_row=unit_of_row)


@dataclass(eq=False)
class ReplacingBatch(Batch[Units]):
    """All units of some images, which take the place of what these had, in one transaction of the server."""

    def write_request(self, *rows: bytes | memoryview) -> bytes:
        """Write a request that holds rows, and says that they replace others."""
        return b"".join([b"{", *rows, b',"if_exists":"replace"}'])

    def halves(self) -> list[Self]:
        """Split the batch in two between images, if there are several."""
        keys = self.upload.units.keys(self.units.start, self.units.stop)
        cuts = [place for place in range(1, len(keys)) if keys[place] != keys[place - 1]]
        if not cuts:
            return []
        return self.split(self.units.start + min(cuts, key=lambda place: abs(place - len(keys) / 2)))


def send_replacing(upload: Upload[Any]) -> None:
    """Send rows that replace those of their images; images without rows are left without any."""
    parts = list(_images(upload.units, upload.options.batch_size or BATCH))
    with progress_bar(upload, len(parts)) as advance:
        for part in parts:
            ReplacingBatch(upload, part).send()
            advance(len(part))
    cleared = upload.checked.cleared
    for start in range(0, len(cleared), KEYS):
        if upload.outcomes.failure is not None:
            return
        body = {"if_exists": "replace", "clear": cleared[start : start + KEYS], "clear_by": upload.checked.cleared_by}
        try:
            upload.target.transport.request("POST", *upload.route, body={"annotations": [], **body})
        except (APIError, NetworkError) as error:
            upload.outcomes.notes.append(f"Images without boxes may have kept what they had: {error}")
            upload.outcomes.abort(error)


def _images(units: Units, size: int) -> Iterator[range]:
    """Cut units, which are grouped by image, into ranges of whole images of about `size` units."""
    keys = units.keys(0, len(units))
    start = 0
    for unit in range(1, len(keys) + 1):
        if unit == len(keys) or (unit - start >= size and keys[unit] != keys[unit - 1]):
            yield range(start, unit)
            start = unit
