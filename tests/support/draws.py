"""How many examples property tests draw: a few, or by NUCLEUS_PANDAS_DRAWS so many times as many."""

from __future__ import annotations

import os


def draws(count: int) -> int:
    """Return a count of examples times NUCLEUS_PANDAS_DRAWS."""
    return max(1, round(count * float(os.environ.get("NUCLEUS_PANDAS_DRAWS", "1"))))
