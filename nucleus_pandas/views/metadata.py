"""The metadata of rows that are read back, in the form that the caller asked for."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, Literal, TypeAlias

import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import Backend, no_backend

MetadataAs: TypeAlias = Literal["dict", "columns", "json", False]


def check_form(metadata_as: object) -> None:
    """Refuse what is no form of metadata."""
    if metadata_as is not False and metadata_as not in ("dict", "columns", "json"):
        raise InvalidInputError(
            f"metadata_as is 'dict', 'columns', 'json' or False, not {metadata_as!r}.", argument="metadata_as"
        )


def kinds_for(kinds: Mapping[str, str], metadata_as: MetadataAs) -> dict[str, str]:
    """Fit a table of dtypes to a form of metadata."""
    fitted = dict(kinds)
    if metadata_as is False:
        del fitted["metadata"]
    elif metadata_as == "json":
        fitted["metadata"] = TEXT
    return fitted


def spread(frame: pd.DataFrame, backend: Backend) -> pd.DataFrame:
    """Set the column ``metadata`` apart, one level deep, in columns ``metadata.<key>`` in order of first appearance.

    Their dtypes are what pandas makes of their values; a key that is absent, and one that is null, is missing.

    Examples
    --------
    >>> spread(pd.DataFrame({"metadata": [{"rain": True, "hour": 7}, {"hour": 8}]}), no_backend)
      metadata.rain  metadata.hour
    0          True              7
    1          None              8
    """
    rows: list[dict[str, Any]] = frame["metadata"].tolist()
    names = dict.fromkeys(chain.from_iterable(rows))
    apart = pd.DataFrame(
        {f"metadata.{name}": pd.Series([row.get(name) for row in rows], index=frame.index) for name in names},
        index=frame.index,
    )
    if backend is not no_backend:
        apart = apart.convert_dtypes(dtype_backend=backend)
    return pd.concat([frame.drop(columns="metadata"), apart], axis=1)
