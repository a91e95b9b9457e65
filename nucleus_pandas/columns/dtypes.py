"""The dtypes of every frame that is handed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nucleus_pandas._compat import TEXT

MATCHES: dict[str, str] = {
    "dataset_item_id": TEXT,
    "reference_id": TEXT,
    "annotation_id": TEXT,
    "prediction_id": TEXT,
    "label": TEXT,
    "predicted_label": TEXT,
    "confidence": "float64",
    "iou": "float64",
    "match_type": TEXT,
}
"""Columns and dtypes of the frames that `ModelRun.matches` gives."""


def frame(columns: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    """Build a frame whose dtypes do not depend on its values.

    Examples
    --------
    >>> frame({"iou": [None, 0.5]}, {"iou": "float64"})["iou"].tolist()
    [nan, 0.5]
    """
    return pd.DataFrame({name: pd.Series(columns[name], dtype=dtype) for name, dtype in dtypes.items()})
