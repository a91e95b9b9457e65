"""The results of uploads and imports: the outcome of every row."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas._util.html import safe
from nucleus_pandas.errors import UploadError
from nucleus_pandas.schema.checked_rows import RowKind, SourceRows

STATUSES = ("skipped", "unsent", "new", "updated", "ignored", "processed", "accepted", "error", "already_sent")
SKIPPED, UNSENT, NEW, UPDATED, IGNORED, PROCESSED, ACCEPTED, ERROR, ALREADY_SENT = range(len(STATUSES))

COUNTERS: dict[RowKind, dict[str, tuple[int, ...]]] = {
    "items": {
        "new_items": (NEW,),
        "updated_items": (UPDATED,),
        "ignored_items": (IGNORED,),
        "upload_errors": (ERROR,),
    },
    "annotations": {"annotations_processed": (NEW, UPDATED, PROCESSED), "annotations_ignored": (IGNORED,)},
    "predictions": {"predictions_processed": (NEW, UPDATED, PROCESSED), "predictions_ignored": (IGNORED,)},
}
"""The counters of each kind of upload, and the statuses that each counts."""

COUNTED = ("new", "updated", "processed", "ignored", "already_sent", "skipped", "failed")
_COLUMNS = 5  # that a repr names
_SHOWN = np.array(["skipped" if status == "unsent" else status for status in STATUSES], dtype=object)


class UploadResult:
    """The outcome of every row of an upload.

    The counters are attributes and keys: ``new_items``, ``updated_items``, ``ignored_items`` and ``upload_errors`` of
    items, ``annotations_processed`` and ``annotations_ignored`` of annotations, ``predictions_processed`` and
    ``predictions_ignored`` of predictions; with a journal also ``already_sent``: rows that an earlier upload with it
    has stored.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> items = pd.DataFrame({"reference_id": ["a.jpg"], "image_url": ["https://example.org/a.jpg"]}, index=["first"])
    >>> with npd.NucleusClient.local() as client:
    ...     result = client.create_dataset("Doc").append(items)
    >>> result.new_items, result["ignored_items"]
    (1, 0)
    >>> result.rows.loc["first", "status"]
    'new'
    """

    def __init__(
        self,
        kind: RowKind,
        source: SourceRows,
        statuses: npt.NDArray[np.int8],
        *,
        errors: Mapping[int, str],
        counts: Mapping[str, int],
        context: Mapping[str, Any],
        unused_columns: Sequence[Hashable] = (),
        jobs: Sequence[Any] = (),
        wait: Callable[[float | None], UploadResult] | None = None,
    ) -> None:
        self._kind = kind
        self._source = source
        self._statuses = statuses
        self._errors = errors
        self._counts = counts
        self._context = context
        self._unused = tuple(unused_columns)
        self._jobs = list(jobs)
        self._wait = wait

    @property
    def jobs(self) -> list[Any]:
        """The jobs (`Job`) that had not ended when the server answered; empty after waiting for them."""
        return list(self._jobs)

    def wait(self, timeout: float | None = None) -> UploadResult:
        """Wait for the jobs, and update this result.

        Parameters
        ----------
        timeout : float, optional
            Maximum number of seconds to wait.

        Returns
        -------
        UploadResult
            This result, updated.

        Raises
        ------
        JobTimeoutError
            The timeout has passed; the jobs continue, and can be waited for again.
        UploadError
            Rows were rejected, unless the upload has ``on_error="collect"``.
        """
        if self._wait is not None:
            try:
                self._update(self._wait(timeout))
            except UploadError as error:
                self._update(error.result)
                raise
        return self

    def _update(self, other: UploadResult) -> None:
        self._statuses, self._errors, self._counts = other._statuses, other._errors, other._counts
        self._context, self._jobs, self._wait = other._context, other._jobs, other._wait

    @property
    def unused_columns(self) -> list[Hashable]:
        """The columns, and named index levels, of the frame that were not sent; ``metadata=[…]`` sends such columns.

        Existing rows do not change when they are sent again, unless with ``if_exists="update"``.
        """
        return list(self._unused)

    @property
    def is_error(self) -> npt.NDArray[np.bool_]:
        """Boolean array: True for each row that is invalid or was rejected."""
        is_error: npt.NDArray[np.bool_] = self._statuses == ERROR
        return is_error

    def error_of(self, row: int) -> str | None:
        """Return why the row at a position is invalid or was rejected."""
        return self._errors.get(row)

    @property
    def rows(self) -> pd.DataFrame:
        """Status and error of every row, on the index of the source.

        The status is ``new``, ``updated``, ``ignored``, ``processed`` (new or updated; the server does not say which),
        ``already_sent`` (stored by an earlier upload, according to the journal), ``skipped`` (the row has nothing to
        send), ``error``, or ``accepted`` if the server only counts rows.
        """
        reasons = np.full(len(self._statuses), None, dtype=object)
        for row, reason in self._errors.items():
            reasons[row] = reason
        columns = {"status": _SHOWN[self._statuses], "error": reasons}
        index = self._source.index if isinstance(self._source, pd.DataFrame) else pd.RangeIndex(len(reasons))
        return pd.DataFrame({name: pd.Series(values, dtype=TEXT, index=index) for name, values in columns.items()})

    @property
    def failed(self) -> Any:
        """The rows that should be stored and are not, in the form of the source, ready to be sent again.

        Returns
        -------
        pandas.DataFrame or list of dict
            The source without the rows that are stored and those that have nothing to send.
        """
        is_failed = (self._statuses == ERROR) | (self._statuses == UNSENT)
        if isinstance(self._source, pd.DataFrame):
            return self._source[is_failed]
        return [self._source[row] for row in np.flatnonzero(is_failed).tolist()]

    def __getitem__(self, key: str) -> Any:
        if key in self._counts:
            return self._counts[key]
        if key in self._context:
            value = self._context[key]
            return value() if callable(value) else value
        names = ", ".join(repr(name) for name in (*self._counts, *self._context))
        raise KeyError(f"The result of sending {self._kind} has no {key!r}; it has {names}.")

    def __getattr__(self, name: str) -> int:
        if not name.startswith("_") and name in self._counts:
            return int(self._counts[name])
        raise AttributeError(f"The result of an upload has no {name!r}.")

    def __getstate__(self) -> dict[str, Any]:
        # Values that ask the server are left out; a result with jobs to wait for cannot be pickled.
        context = {key: value for key, value in self._context.items() if not callable(value)}
        return {**vars(self), "_context": context}

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._counts]

    def __repr__(self) -> str:
        counts = dict(self._counts)
        uncounted = int(np.count_nonzero(self._statuses == ACCEPTED)) - sum(self._counts.values())
        if uncounted > 0:
            counts["pending" if self._jobs else "accepted"] = uncounted
        parts = [f"{name}={count}" for name, count in counts.items()]
        if self._unused:
            more = ", …" if len(self._unused) > _COLUMNS else ""
            parts.append(f"unused_columns=[{', '.join(map(repr, self._unused[:_COLUMNS]))}{more}]")
        return f"UploadResult({', '.join(parts)})"

    def _repr_html_(self) -> str:
        by_status = pd.Series(_SHOWN[self._statuses]).value_counts()
        cells = "".join(f"<tr><th>{status}</th><td>{count}</td></tr>" for status, count in by_status.items())
        if self._unused:
            cells += f"<tr><th>unused columns</th><td>{safe(', '.join(map(str, self._unused)))}</td></tr>"
        return f"<table><caption>{self._kind} sent, {len(self._statuses)} rows</caption>{cells}</table>"


@dataclass(frozen=True)
class ImportResult:
    """The outcome of all rows of an import.

    Attributes
    ----------
    kind : {"items", "annotations", "predictions"}
        What was sent.
    files, rows : int
        The number of files, and of their rows.
    counts : dict of str to int
        ``new``, ``updated``, ``processed`` (new or updated; the server does not say which), ``ignored`` (existing),
        ``already_sent`` (stored by an earlier import, according to the journal), ``skipped`` (an image without boxes)
        and ``failed``; attributes too. If several rows are one item, or one row is several boxes, items and boxes are
        counted.
    repeats : int
        How many repeat another row of their row group exactly, and were sent under an id of their own.
    changed : tuple of str
        Files that have changed since an earlier import.
    rejects : pathlib.Path or None
        A Parquet file with the rows that are invalid or were rejected: ``reject_file``, ``reject_row_group``,
        ``reject_row``, ``reject_column``, ``reject_reason``, and their columns. None if there are none.
    journal : pathlib.Path or None
        The file that records what was sent.
    """

    kind: RowKind
    files: int
    rows: int
    counts: Mapping[str, int]
    repeats: int
    changed: tuple[str, ...]
    rejects: Path | None
    journal: Path | None

    @property
    def new(self) -> int:
        """The number of new ones."""
        return self.counts.get("new", 0)

    @property
    def updated(self) -> int:
        """The number of replaced ones."""
        return self.counts.get("updated", 0)

    @property
    def processed(self) -> int:
        """The number of new or replaced ones, if the server does not say which."""
        return self.counts.get("processed", 0)

    @property
    def ignored(self) -> int:
        """The number of those that existed."""
        return self.counts.get("ignored", 0)

    @property
    def already_sent(self) -> int:
        """The number of those that an earlier import has stored."""
        return self.counts.get("already_sent", 0)

    @property
    def skipped(self) -> int:
        """The number of those with nothing to send: images without boxes."""
        return self.counts.get("skipped", 0)

    @property
    def failed(self) -> int:
        """The number of those that are invalid or were rejected."""
        return self.counts.get("failed", 0)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        numbers = {name: getattr(self, name) for name in ("files", "rows", *COUNTED, "repeats")}
        rejects, journal = (None if path is None else str(path) for path in (self.rejects, self.journal))
        return {"kind": self.kind, **numbers, "changed": list(self.changed), "rejects": rejects, "journal": journal}

    def __repr__(self) -> str:
        counts = {name: getattr(self, name) for name in COUNTED}
        parts = [f"rows={self.rows}", *(f"{name}={count}" for name, count in counts.items() if count)]
        return f"ImportResult({', '.join(parts)})"

    def _repr_html_(self) -> str:
        rows = [(name, getattr(self, name)) for name in ("files", "rows", *COUNTED)]
        cells = "".join(f"<tr><th>{name}</th><td>{count:,}</td></tr>" for name, count in rows)
        return f"<table><caption>{self.kind} imported</caption>{cells}</table>"
