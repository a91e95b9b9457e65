"""What a commit matched, read from the server page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.outcomes import outcome_rows
from nucleus_pandas.schema import MATCHES, frame
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.wire.bulk import MatchColumns, MatchPage


def stored_matches(transport: Transport, run_id: str, iou_threshold: float | None) -> Iterator[pd.DataFrame]:
    """Read the matches of a run, at least one frame; put together they are what `ModelRun.matches` gives.

    Raises
    ------
    ConflictError
        The run is not committed.
    InvalidInputError
        `iou_threshold` is not from 0 to 1.
    """
    place: dict[str, object] = {}
    while True:
        page = transport.read(MatchPage, "_nucleus_pandas", "modelRun", run_id, "matches", **place)
        yield _matches_frame(page.columns, iou_threshold)
        if page.next is None:
            return
        place["after"] = page.next


def _matches_frame(columns: MatchColumns, iou_threshold: float | None) -> pd.DataFrame:
    stored = {name: np.array(getattr(columns, name), dtype=object) for name in MatchColumns.__struct_fields__}
    try:
        found = outcome_rows(
            stored["iou"].astype(np.float64),
            stored["annotation_id"] != None,  # noqa: E711  # elementwise
            stored["prediction_id"] != None,  # noqa: E711
            stored["agrees"].astype(np.bool_),
            iou_threshold,
        )
    except ValueError as error:
        raise InvalidInputError(str(error)) from None
    shown: dict[str, np.ndarray[Any, Any]] = {
        name: stored[name][found.row] for name in ("dataset_item_id", "reference_id")
    }
    sides = {
        "annotation_id": found.ground_truth,
        "prediction_id": found.prediction,
        "label": found.ground_truth,
        "predicted_label": found.prediction,
        "confidence": found.prediction,
        "iou": found.ground_truth & found.prediction,
    }
    for name, side in sides.items():
        shown[name] = stored[name][found.row]
        shown[name][~side] = None
    shown["match_type"] = found.match_type.astype(object)
    return frame(shown, MATCHES)
