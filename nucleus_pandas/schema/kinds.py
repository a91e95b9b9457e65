"""What can be uploaded, and in which form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import pandas as pd

RowKind: TypeAlias = Literal["items", "annotations", "predictions"]
SourceRows: TypeAlias = pd.DataFrame | Sequence[Mapping[str, Any]]
