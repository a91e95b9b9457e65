"""Types of NumPy arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bools: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]
Integers: TypeAlias = NDArray[np.int64]
Strings: TypeAlias = NDArray[Any]
"""Of dtype object or str."""
