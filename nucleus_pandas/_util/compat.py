"""What differs between the versions of our dependencies, in one place."""

from __future__ import annotations

import pandas as pd

TEXT: str = "str" if int(pd.__version__.split(".")[0]) >= 3 else "object"
"""The dtype of text that is handed out: pandas 3 has its own; before, objects with None where a value is missing."""
