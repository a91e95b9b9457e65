"""Frames of items and boxes, and what is refused of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.factories import box_frame, item_frame

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


LABELS = ["first", "second", "third"]


TRIANGLE = {"vertices": [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 9, "y": 9}]}


def items(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(item_frame(*NAMES).to_dict("list") | columns, index=LABELS)


def boxes(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(box_frame(*NAMES).to_dict("list") | columns, index=LABELS)


def objects(*values: Any) -> pd.Series:
    return pd.Series(values, dtype=object, index=LABELS)


def refused(send: Callable[[], Any]) -> npd.InvalidInputError:
    with pytest.raises(npd.InvalidInputError) as caught:
        send()
    return caught.value


INF = float("inf")
