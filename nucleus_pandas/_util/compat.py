"""The version of the package, and what differs between the versions of its dependencies."""

from __future__ import annotations

import pandas as pd

__version__ = "0.1.0.dev0"

TEXT: str = "str" if int(pd.__version__.split(".")[0]) >= 3 else "object"
"""The dtype of strings in returned frames: ``str`` in pandas 3; before, objects with None for missing values."""
