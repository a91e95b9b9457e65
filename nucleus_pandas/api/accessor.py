"""``df.nucleus``: the functions of `nucleus_pandas.api.functions` as methods of a DataFrame."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from nucleus_pandas.api import functions

P = ParamSpec("P")
R = TypeVar("R")


def _method(function: Callable[Concatenate[pd.DataFrame, P], R]) -> Callable[Concatenate[NucleusAccessor, P], R]:
    """Create a method from a function whose first argument is the frame."""

    @wraps(function)
    def method(self: NucleusAccessor, *args: P.args, **kwargs: P.kwargs) -> R:
        return function(self._frame, *args, **kwargs)

    return method  # type: ignore[return-value]


@pd.api.extensions.register_dataframe_accessor("nucleus")
class NucleusAccessor:
    """Send the rows of a frame: ``df.nucleus.append(dataset)``, ``.annotate(dataset)``, ``.predict(run)``.

    Or work without a server: ``df.nucleus.check()``, ``df.nucleus.evaluate(ground_truth)``, ``df.nucleus.show()``.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> items = pd.DataFrame({"reference_id": ["a.jpg"], "image_url": ["https://example.org/a.jpg"]})
    >>> with npd.NucleusClient.local() as client:
    ...     items.nucleus.append(client.create_dataset("Doc"))
    UploadResult(new_items=1, updated_items=0, ignored_items=0, upload_errors=0)
    """

    def __init__(self, frame: Any) -> None:
        self._frame: pd.DataFrame = frame

    append = _method(functions.append)
    annotate = _method(functions.annotate)
    predict = _method(functions.predict)
    check = _method(functions.check)
    evaluate = _method(functions.evaluate)
    show = _method(functions.show)

    def __repr__(self) -> str:
        return f"<nucleus accessor of {len(self._frame)} rows: append, annotate, predict, check, evaluate, show>"
