"""What becomes of every row while answers come back."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec import Struct

from nucleus_pandas.errors import APIError, NetworkError, ServerError, ValidationError
from nucleus_pandas.schema import NOT_SENT, Checked, SendableItems, Units, label_of
from nucleus_pandas.schema.kinds import Kind, Source
from nucleus_pandas.uploads.jobs import Job
from nucleus_pandas.uploads.journal import Answered, Part
from nucleus_pandas.uploads.options import Target
from nucleus_pandas.uploads.results import (
    ACCEPTED,
    COUNTERS,
    ERROR,
    IGNORED,
    NEW,
    SKIPPED,
    STATUSES,
    UNSENT,
    UploadResult,
)
from nucleus_pandas.wire.bulk import Outcomes
from nucleus_pandas.wire.decoding import convert
from nucleus_pandas.wire.responses import AnnotationCounters, Counters, JobView, PredictionCounters

_NAMINGS = (
    re.compile(r"with id (.*?) doesn't exist|reference[_ ]id:? ?(.*)$"),
    re.compile(r"'([^']*)'|\"([^\"]*)\"|`([^`]*)`"),
    re.compile(r"(?=[^\s'\"`,;]*[^\W\d_])(?=[^\s'\"`,;]*[\d./_-])([^\s'\"`,;]+)"),  # no word of any sentence
)
_SHOWN = 5  # refused rows in an error's text
_REFUSED = (400, 413, 422)  # what a batch is answered that the next one need not meet
_EXISTS = "It exists already, and if_exists='error' lets nothing be overwritten or skipped."
_TOGETHER = "Not stored: other rows of its batch exist already, and if_exists='error' refuses a batch whole."
_MAYBE = "It may be stored nevertheless."
_OURS = "Or an earlier try of the same request, which got no answer, stored it."
_EXIST = "exist already, and if_exists='error' lets nothing be overwritten or skipped."

_ANSWERS: dict[Kind, type[Struct]] = {
    "items": Counters,
    "annotations": AnnotationCounters,
    "predictions": PredictionCounters,
}


@dataclass(frozen=True)
class Started:
    """A job that works on units.

    Attributes
    ----------
    again : bool
        Whether an earlier request did too.
    content : bytes
        The hash of the request.
    """

    job: Job
    start: int
    stop: int
    again: bool
    content: bytes


class Tally:
    """Collects the outcome of every unit while batches come back, from several threads."""

    def __init__(
        self,
        target: Target,
        source: Source,
        checked: Checked[Units],
        *,
        log: Part | None = None,
        watch: Callable[[int], object] | None = None,
    ) -> None:
        self.target = target
        self.source = source
        self.checked = checked
        self.statuses = np.full(len(checked.units), UNSENT, dtype=np.int8)
        self.errors: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.existing = 0
        self.broken: Exception | None = None  # why nothing more is sent
        self.doubtful = 0  # units that are refused, but may be stored
        self.notes: list[str] = []  # of refusals that no row can be blamed for
        self.jobs: list[Started] = []
        self.log = log
        self.watch = watch  # called with the number of units that were sent
        self.in_order = False  # whether nothing may overtake a batch that failed
        self.recalled = 0  # units that an earlier upload was answered for
        self.run_id: str | None = None  # where predictions went, as far as an answer told it
        self.lock = threading.Lock()

    def recall(self, start: int, stop: int, content: bytes) -> bool:
        """Take what a request was answered from the journal; whether it is there."""
        known = None if self.log is None else self.log.known(content)
        if known is None or sum(rows for _, rows in known.outcomes) != stop - start:
            return False
        if max(status for status, _ in known.outcomes) >= ERROR or known.counts.keys() - COUNTERS[self.target.kind]:
            return False  # nobody wrote this down
        with self.lock:
            at = start
            for status, rows in known.outcomes:
                self.statuses[at : at + rows] = status
                at += rows
            self.counts.update(known.counts)
            self.recalled += stop - start
        return True

    def replace(self, start: int, stop: int) -> None:
        """Have the journal forget what was sent of rows that a request will replace."""
        if self.log is not None:
            self.log.forget(start, stop)

    def withdraw(self, start: int, stop: int, content: bytes) -> None:
        """Have the journal forget that a request was sent, if none of its rows is stored."""
        if self.log is not None and (self.statuses[start:stop] == ERROR).all():
            self.log.withdraw(content)

    def write_down(self, start: int, stop: int, content: bytes, counts: Mapping[str, int]) -> None:
        """Record in the journal what became of a request, if all went well."""
        if self.log is None:
            return
        statuses = self.statuses[start:stop]
        if ((statuses == ERROR) | (statuses == UNSENT)).any():
            return
        firsts = np.flatnonzero(np.append(True, statuses[1:] != statuses[:-1]))
        runs = np.diff(np.append(firsts, len(statuses)))
        outcomes = list(zip(statuses[firsts].tolist(), runs.tolist(), strict=True))
        self.log.answered(start, stop, content, Answered(outcomes, dict(counts)))

    def fail(self, start: int, stop: int, error: Exception, doubts: Sequence[str]) -> None:
        """Record that a request failed for good; what is in doubt may be stored nevertheless.

        Nothing more is sent where the next request would meet the same. A 500 may be due to this batch alone; but what
        goes on by a journal, in the order of its rows, goes on there.
        """
        self.refuse(start, stop, f"{error} {_MAYBE}" if doubts else str(error))
        self.doubtful += stop - start if doubts else 0
        alone = isinstance(error, APIError) and error.status_code in (_REFUSED if self.in_order else (*_REFUSED, 500))
        if isinstance(error, (APIError, NetworkError)) and not alone:
            self.broken = error

    def refuse(self, start: int, stop: int, reason: str) -> None:
        """Record that units are not stored, and why."""
        self._refuse(np.arange(start, stop), reason)

    def answer(
        self,
        start: int,
        stop: int,
        answer: Mapping[str, Any],
        doubts: list[str],
        *,
        none_may_exist: bool,
        before: bool = False,
    ) -> Counter[str] | None:
        """Record the answer to a batch.

        Parameters
        ----------
        before : bool
            Whether the journal says that an earlier import sent the same, and may have stored it: what exists is its
            own.

        Returns
        -------
        Counter or None
            What the server counted where it told no more of rows, if anything; None where something is amiss.

        Raises
        ------
        ServerError
            It does not tell what became of the rows; that is noted as a doubt.
        """
        kind = self.target.kind
        if isinstance(run_id := answer.get("model_run_id"), str):
            self.run_id = run_id
        try:
            if "outcomes" in answer:
                self._tell(
                    start, stop, convert(answer, Outcomes, "The server's answer"), again=bool(doubts), before=before
                )
                return Counter()
            counters = msgspec.to_builtins(convert(answer, _ANSWERS[kind], "The server's answer"))
            if not answer.keys() & {*COUNTERS[kind], "errors"}:
                raise ValidationError("The server's answer does not count rows.")
        except ValidationError as error:
            doubts.append(str(error))
        else:
            counts = {name: counters.get(name, 0) for name in COUNTERS[kind]}
            units, reasons = np.arange(start, stop), counters.get("errors") or []
            blamed = self._named(start, stop, reasons)
            if blamed and len(blamed) == _lost(counts, len(units)):  # else a sentence names rows for another reason
                units = np.setdiff1d(units, self._blame(blamed))
            return self._count(units, counts, reasons, none_may_exist=none_may_exist, again=bool(doubts))
        raise ServerError(doubts[-1], 200)

    def _tell(self, start: int, stop: int, answer: Outcomes, *, again: bool, before: bool) -> None:
        """Record the outcome of every unit, where a server tells it."""
        size = stop - start
        if sum(count for _, count in answer.outcomes) != size or any(row >= size for row, _ in answer.row_errors):
            raise ValidationError(f"The server's answer is about other than the {size} rows that were sent.")
        # Of a request that stores all its good rows or none, those exist that were stored, and no good one is left.
        is_own = before and not any(outcome == "unsent" for outcome, _ in answer.outcomes)
        at = start
        for outcome, count in answer.outcomes:
            if outcome == "exists" and is_own:
                self.statuses[at : at + count] = NEW
                at += count
                continue
            self.existing += count if outcome == "exists" else 0
            if outcome == "unsent":
                self.refuse(at, at + count, _TOGETHER)
            else:
                self.statuses[at : at + count] = ERROR if outcome == "exists" else STATUSES.index(outcome)
            at += count
        ours = again and all(outcome == "exists" for outcome, _ in answer.outcomes)
        self.doubtful += size if ours else 0
        for row, reason in answer.row_errors:
            if self.statuses[start + row] == ERROR:
                self.errors[start + row] = f"{reason} {_OURS}" if ours else reason

    def started(self, start: int, stop: int, job: Job, content: bytes, *, again: bool) -> None:
        """Record that a job works on units, perhaps after an earlier request did."""
        self.statuses[start:stop] = ACCEPTED
        self.jobs.append(Started(job, start, stop, again, content))

    def ended(self, started: Started, view: JobView, *, none_may_exist: bool) -> None:
        """Record how a job ended."""
        job, start, stop, again = started.job, started.start, started.stop, started.again
        message = view.message if isinstance(view.message, Mapping) else {}
        counted = _job_counts(self.target.kind, message)
        whole = view.status == "Completed" and counted is not None and not _lost(counted, stop - start)
        reasons = [] if whole else job.errors()
        if view.status != "Completed" and view.status != "Errored_Partial":
            said = "; ".join([str(message.get("final_error", "")), *reasons][:_SHOWN]).strip("; ")
            self.refuse(start, stop, f"The job '{job.id}' ended as {view.status}{': ' + said if said else '.'}")
            self._blame(self._named(start, stop, reasons))
            return
        blamed = self._blame(self._named(start, stop, reasons))
        if counted is not None:
            units = np.setdiff1d(np.arange(start, stop), blamed)
            counts = {name: counted.get(name, 0) for name in COUNTERS[self.target.kind]}
            if "upload_errors" in counts:
                counts["upload_errors"] = max(0, counts["upload_errors"] - len(blamed))
            told = self._count(units, counts, reasons, none_may_exist=none_may_exist, again=again)
            if told is not None:
                self.write_down(start, stop, started.content, told)

    def _named(self, start: int, stop: int, reasons: Sequence[str]) -> dict[int, str]:
        """Find the rows that a server's sentences name, and the sentence for each."""
        blamed: dict[int, str] = {}
        for names in (self.checked.units.keys, self._urls):
            if not reasons:
                break
            units: dict[str, list[int]] = {}
            for unit, name in zip(range(start, stop), names(start, stop), strict=False):
                units.setdefault(name, []).append(unit)
            found = {reason: _named_in(reason, units) for reason in reasons}
            blamed |= {unit: reason for reason, named in found.items() for name in named for unit in units[name]}
            reasons = [reason for reason, named in found.items() if not named]
        return blamed

    def _blame(self, blamed: Mapping[int, str]) -> list[int]:
        """Refuse rows, each for a reason of its own, and return their numbers."""
        self.statuses[list(blamed)] = ERROR
        self.errors.update(blamed)
        return list(blamed)

    def _urls(self, start: int, stop: int) -> list[str]:
        """Return the addresses of items, by which a server names those that it could not fetch."""
        units = self.checked.units
        if not isinstance(units, SendableItems):
            return []
        return [msgspec.json.decode(line).get("image_url", "") for line in units.lines(start, stop).splitlines()]

    def _count(
        self,
        units: npt.NDArray[np.intp],
        counts: Mapping[str, int],
        reasons: Sequence[str],
        *,
        none_may_exist: bool,
        again: bool,
    ) -> Counter[str] | None:
        """Record what a server says that only counts: its rows are told apart where all met the same.

        Returns
        -------
        Counter or None
            As `answer` does.
        """
        size = len(units)
        if not size:
            return None
        lost = _lost(counts, size)
        ignored = sum(count for name, count in counts.items() if COUNTERS[self.target.kind][name] == (IGNORED,))
        same = [codes[-1] for name, codes in COUNTERS[self.target.kind].items() if counts[name] == size]
        if lost == size:
            self._refuse(units, "; ".join(reasons[:_SHOWN]) or "The server did not store it, and did not say why.")
        elif same == [IGNORED] and none_may_exist:
            self.existing += size
            self.doubtful += size if again else 0
            self._refuse(units, f"{_EXISTS} {_OURS}" if again else _EXISTS)
        elif same and not lost:
            self.statuses[units] = same[0]
            return Counter()
        else:
            self.counts.update(counts)
            self.statuses[units] = ACCEPTED
            if not lost and not (ignored and none_may_exist):
                return Counter(counts)
            if ignored and none_may_exist:
                self.existing += ignored
                self.notes.append(f"Of {size} rows that were sent together {ignored} {_EXIST}")
            if lost:
                said = f" It says: {'; '.join(reasons[:_SHOWN])}" if reasons else ""
                self.notes.append(f"Of {size} rows that were sent together the server stored {size - lost}.{said}")
        return None

    def _refuse(self, units: npt.NDArray[np.intp], reason: str) -> None:
        self.statuses[units] = ERROR
        self.errors.update(dict.fromkeys(units.tolist(), reason))

    def wait(self, timeout: float | None, *, none_may_exist: bool) -> None:
        """Wait until all jobs have ended, and note how."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.jobs:
            started = self.jobs[0]
            view = started.job.ended(None if until is None else max(0.0, until - time.monotonic()))
            self.ended(started, view, none_may_exist=none_may_exist)
            self.jobs.pop(0)

    @property
    def failed(self) -> bool:
        """Whether anything was refused."""
        return bool(self.errors or self.notes or self.existing or self.checked.problems.bad.any())

    @property
    def stored(self) -> bool:
        """Whether anything was not."""
        return bool(((self.statuses != ERROR) & (self.statuses != UNSENT)).any())

    @property
    def refusal(self) -> APIError | None:
        """The server's answer that is the reason of every row, where none is stored."""
        error = self.broken
        if not isinstance(error, APIError) or self.stored or self.doubtful:
            return None
        return error if all(str(error) in reason for reason in set(self.errors.values())) else None

    def result(self, wait: Callable[[float | None], UploadResult] | None = None) -> UploadResult:
        """Return what became of every row of the source."""
        problems, unit_of_row = self.checked.problems, self.checked.unit_of_row
        has_unit = unit_of_row != NOT_SENT
        statuses: npt.NDArray[np.int8] = np.where(problems.bad, ERROR, SKIPPED).astype(np.int8)
        statuses[has_unit] = self.statuses[unit_of_row[has_unit]]
        errors = problems.reasons()
        if self.errors:
            for row in np.flatnonzero(has_unit & (statuses == ERROR)).tolist():
                errors[row] = self.errors[int(unit_of_row[row])]
        counted = np.bincount(self.statuses, minlength=len(STATUSES))
        counted[ERROR] += int(problems.bad.sum())
        counts = {
            name: self.counts[name] + int(sum(counted[code] for code in codes))
            for name, codes in COUNTERS[self.target.kind].items()
        }
        return UploadResult(
            self.target.kind,
            self.source,
            statuses,
            errors=errors,
            counts=counts,
            context={**({"model_run_id": self.run_id} if self.run_id else {}), **self.target.context},
            jobs=[started.job for started in self.jobs],
            wait=wait,
        )

    def sentence(self, result: UploadResult) -> str:
        """Name what was refused, row by row, the first ones."""
        lines = list(self.notes)
        index = self.source.index if isinstance(self.source, pd.DataFrame) else pd.RangeIndex(len(self.source))
        refused = np.flatnonzero(result.is_error)
        if len(refused):
            lines.append(f"{len(refused)} of {len(self.source)} rows are refused:")
        for row in refused[:_SHOWN].tolist():
            lines.append(f"  {label_of(index, row)}: {result.error_of(row)}")
        if len(refused) > _SHOWN:
            lines.append(f"  … and {len(refused) - _SHOWN} more")
        return "\n".join(lines)


def _lost(counts: Mapping[str, int], size: int) -> int:
    """Return how many of the rows that were sent the server does not count as stored."""
    return size - sum(counts.values()) + counts.get("upload_errors", 0)


def _job_counts(kind: Kind, message: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the counters in what a job says at its end; None where it says nothing of the kind."""
    if kind == "items":
        counts = {name: message[name] for name in COUNTERS[kind] if isinstance(message.get(name), int)}
        return counts or None
    part = message.get("annotation_upload" if kind == "annotations" else "prediction_upload")
    if not isinstance(part, Mapping):
        return None
    return {f"{kind}_{name}": int(part[name]) for name in ("processed", "ignored") if isinstance(part.get(name), int)}


def _named_in(sentence: str, keys: Container[str]) -> set[str]:
    """Find the ids that a sentence names: said to be one, in quotation marks, or as a word.

    Examples
    --------
    >>> _named_in("Item with id b.jpg doesn't exist", {"id", "b.jpg"})
    {'b.jpg'}
    """
    for pattern in _NAMINGS:
        parts = {part for match in pattern.finditer(sentence) for part in match.groups() if part}
        if named := {name for part in parts for name in (part, part.rstrip(".:")) if name in keys}:
            return named  # by the surest way: what else looks like an id may be a word of the sentence
    return set()
