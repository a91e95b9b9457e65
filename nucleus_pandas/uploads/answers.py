"""Parse what servers answer to rows: an outcome per row, or counters and sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from nucleus_pandas.errors import ValidationError
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.uploads.results import COUNTERS
from nucleus_pandas.wire.bulk import OutcomeRuns
from nucleus_pandas.wire.decoding import convert
from nucleus_pandas.wire.responses import AnnotationCounters, Counters, PredictionCounters

_COUNTERS: dict[RowKind, type[Struct]] = {
    "items": Counters,
    "annotations": AnnotationCounters,
    "predictions": PredictionCounters,
}
_ID_PATTERNS = (
    re.compile(r"with id (.*?) doesn't exist|reference[_ ]id:? ?(.*)$"),
    re.compile(r"'([^']*)'|\"([^\"]*)\"|`([^`]*)`"),
    re.compile(r"(?=[^\s'\"`,;]*[^\W\d_])(?=[^\s'\"`,;]*[\d./_-])([^\s'\"`,;]+)"),  # not a word of any sentence
)


@dataclass(frozen=True)
class CountedRows:
    """An answer that only counts rows, and may name some of those that are not stored.

    Attributes
    ----------
    counts : dict of str to int
        The server's counters, all of those of the kind.
    reasons : sequence of str
        Sentences about rows that are not stored.
    """

    counts: Mapping[str, int]
    reasons: Sequence[str]


def parse_answer(kind: RowKind, answer: Mapping[str, Any], size: int) -> OutcomeRuns | CountedRows:
    """Parse the answer to a batch of `size` rows.

    Raises
    ------
    ValidationError
        It does not say what became of the rows.
    """
    if "outcomes" in answer:
        parsed = convert(answer, OutcomeRuns, "The server's answer")
        if sum(count for _, count in parsed.outcomes) != size or any(row >= size for row, _ in parsed.row_errors):
            raise ValidationError(f"The server's answer does not match the {size} rows that were sent.")
        return parsed
    counters = msgspec.to_builtins(convert(answer, _COUNTERS[kind], "The server's answer"))
    if not answer.keys() & {*COUNTERS[kind], "errors"}:
        raise ValidationError("The server's answer does not count rows.")
    return CountedRows({name: counters.get(name, 0) for name in COUNTERS[kind]}, counters.get("errors") or [])


def job_counts(kind: RowKind, message: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the counters in the last message of a job; None if it has none."""
    if kind == "items":
        return {name: message[name] for name in COUNTERS[kind] if isinstance(message.get(name), int)} or None
    counters = message.get("annotation_upload" if kind == "annotations" else "prediction_upload")
    if not isinstance(counters, Mapping):
        return None
    names = (name for name in ("processed", "ignored") if isinstance(counters.get(name), int))
    return {f"{kind}_{name}": int(counters[name]) for name in names}


def unstored(counts: Mapping[str, int], size: int) -> int:
    """Return how many of the rows that were sent the server does not count as stored."""
    return size - sum(counts.values()) + counts.get("upload_errors", 0)


def reasons_by_unit(
    reasons: Sequence[str], units: range, sources: Sequence[Callable[[int, int], Sequence[str]]]
) -> dict[int, str]:
    """Find the units that a server's sentences name, and the sentence for each.

    Each of `sources` returns a name for every unit; sentences without a name of one source are searched for those of
    the next.
    """
    by_unit: dict[int, str] = {}
    for names_of in sources:
        if not reasons:
            break
        named_units: dict[str, list[int]] = {}
        for unit, name in zip(units, names_of(units.start, units.stop), strict=False):
            named_units.setdefault(name, []).append(unit)
        names = {reason: _names_in(reason, named_units) for reason in reasons}
        by_unit |= {unit: reason for reason in reasons for name in names[reason] for unit in named_units[name]}
        reasons = [reason for reason in reasons if not names[reason]]
    return by_unit


def _names_in(sentence: str, names: Container[str]) -> set[str]:
    """Find the names in a sentence: introduced as ids, in quotation marks, or as words.

    Examples
    --------
    >>> _names_in("Item with id b.jpg doesn't exist", {"id", "b.jpg"})
    {'b.jpg'}
    """
    for pattern in _ID_PATTERNS:
        candidates = {group for match in pattern.finditer(sentence) for group in match.groups() if group}
        if named := {name for group in candidates for name in (group, group.rstrip(".:")) if name in names}:
            return named  # by the most reliable pattern: other words may only look like ids
    return set()
