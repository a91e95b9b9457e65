"""The outcome of every row of an upload."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nucleus_pandas.errors import APIError, ServerError, ValidationError
from nucleus_pandas.schema import NOT_SENT, Checked, SendableItems, Units
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.schema.outside import Outside
from nucleus_pandas.uploads.answers import job_counts, parse_answer, reasons_by_unit, unstored
from nucleus_pandas.uploads.jobs import Job
from nucleus_pandas.uploads.journal import JournalEntry, PartJournal
from nucleus_pandas.uploads.results import (
    ACCEPTED,
    ALREADY_SENT,
    COUNTERS,
    ERROR,
    IGNORED,
    NEW,
    SKIPPED,
    STATUSES,
    UNSENT,
)
from nucleus_pandas.wire.bulk import OutcomeRuns
from nucleus_pandas.wire.responses import JobView

_REASONS = 5  # sentences of a server that an error text repeats
_EXISTS = "It exists already, and if_exists='error' lets nothing be overwritten or skipped."
_TOGETHER = "Not stored: other rows of its batch exist already, and if_exists='error' rejects the whole batch."
_OF_CALL = "Not stored: other rows of this call exist already, and if_exists='error' lets nothing be stored then."
INNOCENT = frozenset({_TOGETHER, _OF_CALL})
"""Errors of rows that are not stored because of others."""
_INTERRUPTED = "The upload was interrupted before an answer. Sending the row again stores nothing twice."
_OURS = "Or an earlier attempt of the same request, which got no answer, stored it."
_EXIST = "exist already, and if_exists='error' lets nothing be overwritten or skipped."


@dataclass(frozen=True)
class UnitsJob:
    """A job that processes units.

    Attributes
    ----------
    is_retry : bool
        Whether the server may have acted on an earlier attempt of the request.
    key : bytes
        The journal's key of the request.
    """

    job: Job
    units: range
    is_retry: bool
    key: bytes


class RowOutcomes:
    """The outcome of every unit of an upload; batches record theirs from several threads.

    A unit begins as UNSENT and gets one outcome: from the journal, from an answer, from the end of a job (until which
    it is ACCEPTED), or as an ERROR with a reason. Answers that only count rows leave those that cannot be told apart
    ACCEPTED, and their counters in `counts`; so a row is counted once, by its status or by the server. What is an ERROR
    although the server may have stored it is counted in `doubtful`.

    Attributes
    ----------
    statuses : numpy.ndarray of int8
        The status of each unit, an index into `STATUSES`.
    errors : dict of int to str
        Why units are ERROR.
    counts : Counter
        The server's counters of units that it only counted.
    notes : list of str
        Failures that cannot be attributed to a row.
    existing : int
        Units that exist already, where that is an error.
    doubtful : int
        Units that count as errors, but may be stored.
    recalled : int
        Units that an earlier upload has stored, according to the journal.
    jobs : list of UnitsJob
        Jobs that have not ended as far as is known.
    failure : Exception or None
        Why nothing more is sent.
    run_id : str or None
        The model run of predictions, if an answer named it.
    since : int or None
        The arrival of the first row of an update, if the server said so.
    beside : int
        Rows of an update that were added beside older ones of their images, since their ids are computed.
    """

    def __init__(
        self, kind: RowKind, checked: Checked[Units], journal: PartJournal | None, *, none_may_exist: bool
    ) -> None:
        self.kind = kind
        self.checked = checked
        self.journal = journal
        self.none_may_exist = none_may_exist
        self.statuses = np.full(len(checked.units), UNSENT, dtype=np.int8)
        self.errors: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self.existing = 0
        self.doubtful = 0
        self.recalled = 0
        self.jobs: list[UnitsJob] = []
        self.failure: Exception | None = None
        self.run_id: str | None = None
        self.since: int | None = None
        self.beside = 0
        self._outside = Outside()
        self._lock = threading.RLock()

    def recall(self, units: range, key: bytes) -> bool:
        """Return True if the journal says that an earlier upload has stored the units of a request."""
        entry = None if self.journal is None else self.journal.entry(key)
        if entry is None or sum(rows for _, rows in entry.outcomes) != len(units):
            return False
        if max(status for status, _ in entry.outcomes) >= ERROR or entry.counts.keys() - COUNTERS[self.kind]:
            return False  # not as `_save` writes it
        with self._lock:
            self.statuses[units.start : units.stop] = ALREADY_SENT
            self.recalled += len(units)
        return True

    def reject(self, units: range, reason: str, *, doubtful: bool = False) -> None:
        """Record that units are not stored, and why; they may be stored nevertheless if that is doubtful."""
        with self._lock:
            self._reject(np.arange(units.start, units.stop), reason)
            self.doubtful += len(units) if doubtful else 0

    def reject_existing(self, found: Mapping[int, str]) -> None:
        """Record that units exist, with their errors, and that the others are not sent for that reason."""
        self.reject(range(len(self.statuses)), _OF_CALL)
        self.errors.update(found)
        self.existing += len(found)

    @property
    def unsent_reason(self) -> str | None:
        """Why what remains is not sent, if anything failed that the next request would meet too."""
        return None if self.failure is None else f"Not sent, because an earlier request failed: {self.failure}"

    def abort(self, error: Exception) -> None:
        """Record why nothing more is sent."""
        self.failure = error

    def interrupt(self) -> None:
        """Record that nothing more is sent, and that units without an answer have none."""
        with self._lock:
            self.failure = InterruptedError(_INTERRUPTED)
            self._reject(np.flatnonzero(self.statuses == UNSENT), _INTERRUPTED)

    def start_job(self, job: Job, units: range, key: bytes, *, is_retry: bool) -> None:
        """Record that a job processes units."""
        with self._lock:
            self.statuses[units.start : units.stop] = ACCEPTED
            self.jobs.append(UnitsJob(job, units, is_retry, key))

    def record(
        self, units: range, answer: Mapping[str, Any], key: bytes, doubts: list[str], *, was_sent: bool = False
    ) -> None:
        """Record the answer to a batch, here and in the journal.

        Parameters
        ----------
        key : bytes
            The journal's key of the batch.
        doubts : list of str
            Reasons why an earlier attempt may have stored rows; one is added if the answer is unusable.
        was_sent : bool
            Whether the journal says that an earlier upload sent the same and may have stored it: rows that exist are
            its own.

        Raises
        ------
        ServerError
            The answer does not say what became of the rows.
        """
        if isinstance(run_id := answer.get("model_run_id"), str):
            self.run_id = run_id
        is_retry = bool(doubts)
        try:
            parsed = parse_answer(self.kind, answer, len(units))
        except ValidationError as error:
            doubts.append(str(error))
            raise ServerError(str(error), 200) from None
        with self._lock:
            if isinstance(parsed, OutcomeRuns):
                self.since = parsed.since if self.since is None else self.since
                self.beside += parsed.beside
                self._outside = self._outside.plus(Outside(*parsed.outside))
                self._record_outcomes(units, parsed, is_retry=is_retry, was_sent=was_sent)
                counts: Mapping[str, int] | None = {}
            else:
                named = self._reasons_by_unit(units, parsed.reasons)
                if len(named) != unstored(parsed.counts, len(units)):
                    named = {}  # the sentences name rows for another reason
                counts = self._record_counts(units, named, parsed.counts, parsed.reasons, is_retry=is_retry)
        if counts is not None:
            self._save(units, key, counts)
            if self.journal is None or not self.none_may_exist or was_sent or doubts:
                return
            if (self.statuses[units.start : units.stop] == ERROR).all():
                self.journal.withdraw(key)  # else rows that someone else stored would count as ours on resume

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all jobs have ended, and record how."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.jobs:
            view = self.jobs[0].job.ended(None if until is None else max(0.0, until - time.monotonic()))
            self._record_job(self.jobs[0], view)
            self.jobs.pop(0)

    @property
    def outside(self) -> Outside:
        """Boxes that reach beyond their images, by the server or by the source, whichever knows of more."""
        return max(self._outside, self.checked.outside)

    @property
    def has_failures(self) -> bool:
        """True if any row is invalid or was not stored as asked."""
        return bool(self.errors or self.notes or self.existing or self.checked.problems.bad.any())

    @property
    def has_stored(self) -> bool:
        """True if any row was stored."""
        return bool(((self.statuses != ERROR) & (self.statuses != UNSENT)).any())

    @property
    def common_error(self) -> APIError | None:
        """The server's error that is the reason of every row, if none is stored."""
        error = self.failure
        if not isinstance(error, APIError) or self.has_stored or self.doubtful:
            return None
        return error if all(str(error) in reason for reason in set(self.errors.values())) else None

    def by_row(self) -> tuple[npt.NDArray[np.int8], dict[int, str]]:
        """Return the status of every row of the source, and the reasons of those with errors."""
        problems, unit_of_row = self.checked.problems, self.checked.unit_of_row
        has_unit = unit_of_row != NOT_SENT
        statuses: npt.NDArray[np.int8] = np.where(problems.bad, ERROR, SKIPPED).astype(np.int8)
        statuses[has_unit] = self.statuses[unit_of_row[has_unit]]
        errors = problems.reasons()
        if self.errors:
            for row in np.flatnonzero(has_unit & (statuses == ERROR)).tolist():
                errors[row] = self.errors[int(unit_of_row[row])]
        return statuses, errors

    def totals(self) -> dict[str, int]:
        """Return the counters of the kind, from the statuses and from the server's own counters."""
        by_status = np.bincount(self.statuses, minlength=len(STATUSES))
        by_status[ERROR] += int(self.checked.problems.bad.sum())
        totals = {
            name: self.counts[name] + int(sum(by_status[status] for status in statuses))
            for name, statuses in COUNTERS[self.kind].items()
        }
        return totals if self.journal is None else {**totals, STATUSES[ALREADY_SENT]: int(by_status[ALREADY_SENT])}

    def _reject(self, units: npt.NDArray[np.intp], reason: str) -> None:
        self.statuses[units] = ERROR
        self.errors.update(dict.fromkeys(units.tolist(), reason))

    def _record_outcomes(self, units: range, answer: OutcomeRuns, *, is_retry: bool, was_sent: bool) -> None:
        """Record an answer with the outcome of every unit."""
        # If valid rows are stored all or none, and none is left unsent, those that exist are what was sent before.
        is_own = was_sent and not any(outcome == "unsent" for outcome, _ in answer.outcomes)
        stop = units.start
        for outcome, count in answer.outcomes:
            start, stop = stop, stop + count
            if outcome == "unsent":
                self._reject(np.arange(start, stop), _TOGETHER)
            elif outcome != "exists":
                self.statuses[start:stop] = STATUSES.index(outcome)
            elif is_own:
                self.statuses[start:stop] = NEW
            else:
                self.statuses[start:stop] = ERROR
                self.existing += count
        may_be_ours = is_retry and all(outcome == "exists" for outcome, _ in answer.outcomes)
        self.doubtful += len(units) if may_be_ours else 0
        for row, reason in answer.row_errors:
            if self.statuses[units.start + row] == ERROR:
                self.errors[units.start + row] = f"{reason} {_OURS}" if may_be_ours else reason

    def _record_counts(
        self,
        units: range,
        named: Mapping[int, str],
        counts: Mapping[str, int],
        reasons: Sequence[str],
        *,
        is_retry: bool,
    ) -> Mapping[str, int] | None:
        """Record an answer that only counts: rows are told apart if they are named, or all met the same.

        Returns
        -------
        dict or None
            The counters of rows that were only counted, if any; None if rows are not stored as asked.
        """
        self.statuses[list(named)] = ERROR
        self.errors.update(named)
        others = np.delete(np.arange(units.start, units.stop), [unit - units.start for unit in named])
        size = len(others)
        if "upload_errors" in counts:
            counts = {**counts, "upload_errors": max(0, counts["upload_errors"] - len(named))}
        if not size:
            return None
        lost = unstored(counts, size)
        ignored = sum(count for name, count in counts.items() if COUNTERS[self.kind][name] == (IGNORED,))
        common = [statuses[-1] for name, statuses in COUNTERS[self.kind].items() if counts[name] == size]
        if lost == size:
            self._reject(others, "; ".join(reasons[:_REASONS]) or "The server did not store it, and did not say why.")
        elif common == [IGNORED] and self.none_may_exist:
            self.existing += size
            self.doubtful += size if is_retry else 0
            self._reject(others, f"{_EXISTS} {_OURS}" if is_retry else _EXISTS)
        elif common and not lost:
            self.statuses[others] = common[0]
            return {}
        else:
            self.counts.update(counts)
            self.statuses[others] = ACCEPTED
            exist = ignored if self.none_may_exist else 0
            if not lost and not exist:
                return counts
            if exist:
                self.existing += exist
                self.notes.append(f"Of {size} rows that were sent together {exist} {_EXIST}")
            if lost:
                details = f" It says: {'; '.join(reasons[:_REASONS])}" if reasons else ""
                self.notes.append(f"Of {size} rows that were sent together the server stored {size - lost}.{details}")
        return None

    def _record_job(self, started: UnitsJob, view: JobView) -> None:
        """Record how a job ended."""
        units, message = started.units, view.message if isinstance(view.message, Mapping) else {}
        counted = job_counts(self.kind, message)
        is_complete = view.status == "Completed" and counted is not None and not unstored(counted, len(units))
        reasons = [] if is_complete else started.job.errors()
        named = self._reasons_by_unit(units, reasons)
        with self._lock:
            has_failed = view.status not in ("Completed", "Errored_Partial")
            if has_failed:
                details = "; ".join([str(message.get("final_error", "")), *reasons][:_REASONS]).strip("; ")
                ended = f"The job '{started.job.id}' ended as {view.status}"
                self.reject(units, f"{ended}: {details}" if details else f"{ended}.")
            if counted is None or has_failed:
                self.statuses[list(named)] = ERROR
                self.errors.update(named)
                return
            counts = self._record_counts(
                units,
                named,
                {name: counted.get(name, 0) for name in COUNTERS[self.kind]},
                reasons,
                is_retry=started.is_retry,
            )
        if counts is not None:
            self._save(units, started.key, counts)

    def _reasons_by_unit(self, units: range, reasons: Sequence[str]) -> dict[int, str]:
        """Find the units that sentences name by the ids of their items, or by their URLs if images were not fetched."""
        sendable = self.checked.units

        def urls_of(start: int, stop: int) -> list[str]:
            if not isinstance(sendable, SendableItems):
                return []
            return [msgspec.json.decode(line).get("image_url", "") for line in sendable.lines(start, stop).splitlines()]

        return reasons_by_unit(reasons, units, (sendable.keys, urls_of))

    def _save(self, units: range, key: bytes, counts: Mapping[str, int]) -> None:
        """Record the outcome of a request in the journal, if all its rows are stored."""
        statuses = self.statuses[units.start : units.stop]
        if self.journal is None or ((statuses == ERROR) | (statuses == UNSENT)).any():
            return
        firsts = np.flatnonzero(np.append(True, statuses[1:] != statuses[:-1]))
        lengths = np.diff(np.append(firsts, len(statuses)))
        outcomes = list(zip(statuses[firsts].tolist(), lengths.tolist(), strict=True))
        self.journal.record(units.start, units.stop, key, JournalEntry(outcomes, dict(counts)))
