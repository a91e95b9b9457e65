"""What became of every row of an upload, and of an import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import UploadError
from nucleus_pandas.schema.kinds import Kind, Source

STATUSES = ("skipped", "unsent", "new", "updated", "ignored", "processed", "accepted", "error")
SKIPPED, UNSENT, NEW, UPDATED, IGNORED, PROCESSED, ACCEPTED, ERROR = range(len(STATUSES))

COUNTERS: dict[Kind, dict[str, tuple[int, ...]]] = {
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

_COUNTED = ("new", "updated", "processed", "ignored", "skipped", "failed")
_SHOWN = np.array(["skipped" if status == "unsent" else status for status in STATUSES], dtype=object)


class UploadResult:
    """What became of every row of an upload.

    The counters are attributes and keys: ``new_items``, ``updated_items``, ``ignored_items`` and ``upload_errors`` of
    items, ``annotations_processed`` and ``annotations_ignored`` of annotations, ``predictions_processed`` and
    ``predictions_ignored`` of predictions.

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
        kind: Kind,
        source: Source,
        statuses: npt.NDArray[np.int8],
        *,
        errors: Mapping[int, str],
        counts: Mapping[str, int],
        context: Mapping[str, Any],
        jobs: Sequence[Any] = (),
        wait: Callable[[float | None], UploadResult] | None = None,
    ) -> None:
        self._kind = kind
        self._source = source
        self._statuses = statuses
        self._errors = errors
        self._counts = counts
        self._context = context
        self._jobs = list(jobs)
        self._wait = wait

    @property
    def jobs(self) -> list[Any]:
        """The jobs (`Job`) that the server had not ended when the rows were answered; empty after waiting for them."""
        return list(self._jobs)

    def wait(self, timeout: float | None = None) -> UploadResult:
        """Wait for the jobs, and take in how they ended.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Returns
        -------
        UploadResult
            This result, brought up to date.

        Raises
        ------
        JobTimeoutError
            The time is up; the jobs go on, and can be waited for again.
        UploadError
            Rows were refused, unless ``on_error="collect"`` was asked for.
        """
        if self._wait is not None:
            try:
                done = self._wait(timeout)
            except UploadError as error:
                self.__dict__.update(error.result.__dict__)
                raise
            self.__dict__.update(done.__dict__)
        return self

    @property
    def is_error(self) -> npt.NDArray[np.bool_]:
        """Which rows were refused, in their order."""
        found: npt.NDArray[np.bool_] = self._statuses == ERROR
        return found

    def error_of(self, row: int) -> str | None:
        """Return why the row at a position was refused."""
        return self._errors.get(row)

    @property
    def rows(self) -> pd.DataFrame:
        """Status and error of every row, on the index of what was sent.

        The status is ``new``, ``updated``, ``ignored``, ``processed`` (new or updated, which of them is not known),
        ``skipped`` (nothing was sent of it), ``error``, or ``accepted`` where a server only counts.
        """
        reasons = np.full(len(self._statuses), None, dtype=object)
        for row, reason in self._errors.items():
            reasons[row] = reason
        columns = {"status": _SHOWN[self._statuses], "error": reasons}
        index = self._source.index if isinstance(self._source, pd.DataFrame) else pd.RangeIndex(len(reasons))
        return pd.DataFrame({name: pd.Series(values, dtype=TEXT, index=index) for name, values in columns.items()})

    @property
    def failed(self) -> Any:
        """The rows that should be stored and are not, as they were given, ready to be sent again.

        Returns
        -------
        pandas.DataFrame or list of dict
            What was sent, without the rows that are stored and those that had nothing to send.
        """
        lost = (self._statuses == ERROR) | (self._statuses == UNSENT)
        if isinstance(self._source, pd.DataFrame):
            return self._source[lost]
        return [self._source[row] for row in np.flatnonzero(lost).tolist()]

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

    def __getstate__(self) -> dict[str, Any]:
        # What asks the server stays behind; with jobs to wait for there is no other way, and pickling is refused.
        return self.__dict__ | {"_context": {key: one for key, one in self._context.items() if not callable(one)}}

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._counts]

    def _by_status(self) -> dict[str, int]:
        """Count the rows of each status."""
        counted = pd.Series(_SHOWN[self._statuses]).value_counts()
        return {str(status): int(count) for status, count in counted.items()}

    def __repr__(self) -> str:
        return f"UploadResult({', '.join(f'{name}={count}' for name, count in self._counts.items())})"

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><th>{status}</th><td>{count}</td></tr>" for status, count in self._by_status().items())
        return f"<table><caption>{self._kind} sent, {len(self._statuses)} rows</caption>{cells}</table>"


@dataclass(frozen=True)
class ImportResult:
    """What became of all rows of an import.

    Attributes
    ----------
    kind : {"items", "annotations", "predictions"}
        What was sent.
    files, rows : int
        How many files, and how many rows they have.
    counts : dict of str to int
        ``new``, ``updated``, ``processed`` (new or updated, which of them the server does not tell), ``ignored``
        (there already), ``skipped`` (an image without boxes) and ``failed``; attributes too. Those that an earlier
        import had answered are counted as they were then. Where several rows make one item, or one row several boxes,
        it is items and boxes that are counted.
    resumed : int
        How many of them an earlier import had sent.
    repeats : int
        How many repeat another row of their row group exactly, and were sent under an id of their own.
    changed : tuple of str
        Files that are not what they were when an earlier import saw them.
    rejects : pathlib.Path or None
        A Parquet file with the rows that were refused: ``reject_file``, ``reject_row_group``, ``reject_row``,
        ``reject_column``, ``reject_reason``, and what they held. None where none was.
    journal : pathlib.Path or None
        The file that remembers what was sent.
    """

    kind: Kind
    files: int
    rows: int
    counts: Mapping[str, int]
    resumed: int
    repeats: int
    changed: tuple[str, ...]
    rejects: Path | None
    journal: Path | None

    @property
    def new(self) -> int:
        """How many were not there before."""
        return self.counts.get("new", 0)

    @property
    def updated(self) -> int:
        """How many were replaced."""
        return self.counts.get("updated", 0)

    @property
    def processed(self) -> int:
        """How many are new or replaced, where the server does not tell which."""
        return self.counts.get("processed", 0)

    @property
    def ignored(self) -> int:
        """How many were there already."""
        return self.counts.get("ignored", 0)

    @property
    def skipped(self) -> int:
        """How many had nothing to send: images without boxes."""
        return self.counts.get("skipped", 0)

    @property
    def failed(self) -> int:
        """How many were refused."""
        return self.counts.get("failed", 0)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        numbers = {name: getattr(self, name) for name in ("files", "rows", *_COUNTED, "resumed", "repeats")}
        paths = {
            name: None if path is None else str(path)
            for name, path in (("rejects", self.rejects), ("journal", self.journal))
        }
        return {"kind": self.kind, **numbers, "changed": list(self.changed), **paths}

    def __repr__(self) -> str:
        told = {"rows": self.rows} | {
            name: getattr(self, name) for name in (*_COUNTED, "resumed") if getattr(self, name)
        }
        return f"ImportResult({', '.join(f'{name}={count}' for name, count in told.items())})"

    def _repr_html_(self) -> str:
        rows = [(name, getattr(self, name)) for name in ("files", "rows", *_COUNTED, "resumed")]
        cells = "".join(f"<tr><th>{name}</th><td>{count:,}</td></tr>" for name, count in rows)
        return f"<table><caption>{self.kind} imported</caption>{cells}</table>"
