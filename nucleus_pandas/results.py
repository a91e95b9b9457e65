"""What became of every row of an upload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import pandas as pd

from nucleus_pandas._compat import TEXT

Kind: TypeAlias = Literal["items", "annotations", "predictions"]

COUNTERS: dict[Kind, dict[str, tuple[str, ...]]] = {
    "items": {
        "new_items": ("new",),
        "updated_items": ("updated",),
        "ignored_items": ("ignored",),
        "upload_errors": ("error",),
    },
    "annotations": {"annotations_processed": ("new", "updated", "processed"), "annotations_ignored": ("ignored",)},
    "predictions": {"predictions_processed": ("new", "updated", "processed"), "predictions_ignored": ("ignored",)},
}
"""The counters of each kind of upload, and the statuses of rows that each counts."""


class UploadResult:
    """What became of every row of an upload.

    The counters are attributes and keys: ``new_items``, ``updated_items``, ``ignored_items`` and ``upload_errors`` of
    items, ``annotations_processed`` and ``annotations_ignored`` of annotations, ``predictions_processed`` and
    ``predictions_ignored`` of predictions.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> with npd.NucleusClient.local() as client:
    ...     dataset = client.create_dataset("Doc")
    ...     result = dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
    >>> result.new_items, result["ignored_items"]
    (1, 0)
    >>> result.rows["status"].tolist()
    ['new']
    """

    def __init__(
        self,
        kind: Kind,
        source: Sequence[Mapping[str, Any]],
        statuses: Sequence[str],
        *,
        errors: Mapping[int, str],
        counts: Mapping[str, int],
        context: Mapping[str, Any],
    ) -> None:
        self._kind = kind
        self._source = source
        self._statuses = statuses
        self._errors = errors
        self._counts = counts
        self._context = context

    @property
    def rows(self) -> pd.DataFrame:
        """Status and error of every row, on the index of what was sent.

        The status is ``new``, ``updated``, ``ignored``, ``processed``, ``skipped`` (not sent), ``error``, or
        ``accepted`` where a server only counts.
        """
        reasons = [self._errors.get(row) for row in range(len(self._statuses))]
        return pd.DataFrame(
            {"status": pd.Series(list(self._statuses), dtype=TEXT), "error": pd.Series(reasons, dtype=TEXT)}
        )

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        """The rows that are not stored, as they were given, ready to be sent again."""
        return [self._source[n] for n, status in enumerate(self._statuses) if status in ("error", "skipped")]

    def __getitem__(self, key: str) -> Any:
        if key in self._counts:
            return self._counts[key]
        if key in self._context:
            value = self._context[key]
            return value() if callable(value) else value
        known = ", ".join(repr(name) for name in (*self._counts, *self._context))
        raise KeyError(f"{key!r} is not in the result of sending {self._kind}; there are {known}.")

    def __getattr__(self, name: str) -> int:
        counts = self.__dict__.get("_counts", {})
        if name in counts:
            return int(counts[name])
        raise AttributeError(f"The result of sending {self.__dict__.get('_kind', 'rows')} has no {name!r}.")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._counts]

    def __repr__(self) -> str:
        return f"UploadResult({', '.join(f'{name}={count}' for name, count in self._counts.items())})"
