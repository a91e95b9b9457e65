"""Crowds: ground truth boxes that stand for many objects each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas._util.arrays import Bools
from nucleus_pandas.evaluation.groups import metadata_object
from nucleus_pandas.schema import NamedColumns

NOT_CROWD = (0, "", "0")
"""Values of ``iscrowd`` that do not mark a crowd, besides missing ones."""


def is_crowd(value: object) -> bool:
    """Return True if a value of ``iscrowd`` marks a crowd: all but missing values, 0, False, ``""`` and ``"0"``.

    The server applies the same rule in SQL, see `server.store.commits.IS_CROWD`.

    Examples
    --------
    >>> [is_crowd(value) for value in (1, True, "1", 0, 0.0, False, "0", None, float("nan"), pd.NA)]
    [True, True, True, False, False, False, False, False, False, False]
    """
    if value is None or value is pd.NA or isinstance(value, (list, dict, tuple, np.ndarray)):
        return value is not None and value is not pd.NA
    return not (value != value or value in NOT_CROWD)


def crowds(named: NamedColumns) -> Bools:
    """Return which rows are crowds.

    Parameters
    ----------
    named : NamedColumns
        The ground truth, with a column ``iscrowd``, else ``metadata.iscrowd``, else the key ``iscrowd`` in
        ``metadata`` (dicts, Arrow structs or JSON strings).

    Returns
    -------
    numpy.ndarray of bool
        One value per row.
    """
    if named.has("iscrowd"):
        return _flags(named.need("iscrowd"))
    if named.holds("metadata.iscrowd"):
        return _flags(named.own("metadata.iscrowd"))
    series = named.get("metadata")
    if series is None:
        return np.zeros(len(named), dtype=np.bool_)
    if isinstance(series.dtype, pd.ArrowDtype) and pa.types.is_struct(series.dtype.pyarrow_dtype):
        kind = series.dtype.pyarrow_dtype
        if kind.get_field_index("iscrowd") < 0:
            return np.zeros(len(named), dtype=np.bool_)
        return np.array([is_crowd(value and value.get("iscrowd")) for value in pa.array(series).to_pylist()], np.bool_)
    return np.fromiter(map(_is_crowd_in_metadata, series), np.bool_, len(series))


def _flags(series: pd.Series[Any]) -> Bools:
    if pd.api.types.is_bool_dtype(series.dtype) or pd.api.types.is_numeric_dtype(series.dtype):
        numbers = series.to_numpy(dtype=np.float64, na_value=0.0)
        return np.asarray(np.nan_to_num(numbers) != 0, dtype=np.bool_)
    return np.fromiter(map(is_crowd, series), np.bool_, len(series))


def _is_crowd_in_metadata(value: object) -> bool:
    if isinstance(value, str) and "iscrowd" not in value:
        return False
    return is_crowd(metadata_object(value).get("iscrowd"))
