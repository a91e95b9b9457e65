"""What images are wanted, as the address says it, and as SQL says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.query import compile_query
from nucleus_pandas.server.store.matches import MATCH_TYPES, MatchSource, OutcomeFilter
from nucleus_pandas.server.store.sql_conditions import BoundValues, Condition, metadata, within
from nucleus_pandas.server.web.layers import RunEntry

Bounds: TypeAlias = tuple[float | None, float | None]
NAMES = (
    "run",
    "label",
    "match",
    "iou",
    "confidence_from",
    "confidence_to",
    "iou_from",
    "iou_to",
    "key",
    "op",
    "value",
    "slice",
    "query",
)
"""The parts of the address that say which images are wanted."""
_OPS: dict[str, Literal["EQ", "GT", "LT"]] = {"": "EQ", "eq": "EQ", "gt": "GT", "lt": "LT"}


@dataclass(slots=True)
class _Predicate:
    key: str
    op: Literal["EQ", "GT", "LT"]
    value: Any


@dataclass(frozen=True, slots=True)
class Filters:
    """Which images are wanted.

    Attributes
    ----------
    label : str
        Of a box in the image; of the outcome where outcomes are wanted; empty for any.
    match : str
        ``TP``, ``FP``, ``FN``, or empty.
    threshold : float
        From which IoU on a pair counts.
    confidence, iou : (float or None, float or None)
        From and to, of a prediction and of a pair.
    key, op, value : str
        What the metadata of the image says.
    query : str
        What else must hold, in the language of queries.
    """

    label: str
    match: str
    threshold: float
    confidence: Bounds
    iou: Bounds
    key: str
    op: str
    value: str
    query: str

    @classmethod
    def of(cls, asked: Mapping[str, str], threshold: float) -> Filters:
        """Read the address.

        Raises
        ------
        BadRequestError
            A part of it has no meaning.
        """
        match, op = asked.get("match", ""), asked.get("op", "")
        if match not in ("", *MATCH_TYPES):
            raise BadRequestError("`match` is TP, FP, FN or misplaced.")
        if op not in _OPS:
            raise BadRequestError("`op` is eq, gt or lt.")
        return cls(
            asked.get("label", ""),
            match,
            threshold,
            bounds(asked, "confidence"),
            bounds(asked, "iou"),
            asked.get("key", ""),
            op,
            asked.get("value", ""),
            asked.get("query", "").strip(),
        )

    @property
    def needs_match(self) -> bool:
        """Whether the outcomes of a match are asked for."""
        return bool(self.match) or self.iou != (None, None)

    @property
    def needs_run(self) -> bool:
        """Whether predictions are asked for."""
        return self.needs_match or self.confidence != (None, None)

    def outcomes(self) -> OutcomeFilter:
        """Return what is wanted of outcomes."""
        return OutcomeFilter(
            self.threshold,
            match=self.match or None,
            label=self.label or None,
            confidence=self.confidence,
            iou=self.iou,
        )

    @property
    def is_query(self) -> bool:
        """Whether nothing but a query is asked for."""
        return bool(self.query) and not (self.needs_run or self.label or self.key)

    def condition(self, run: RunEntry | None, source: MatchSource | None) -> Condition:
        """Say so of ``item``.

        Parameters
        ----------
        run : RunEntry, optional
            Whose predictions are meant.
        source : MatchSource, optional
            Whose outcomes are meant.

        Raises
        ------
        BadRequestError
            Predictions or outcomes are asked for, and there are none; or the query is wrong.
        """
        values = BoundValues()
        tests = []
        if self.needs_run and run is None:
            raise BadRequestError("Choose whose predictions are meant.")
        if self.needs_match:
            if source is None:
                raise BadRequestError("This run is open; run.commit() matches its predictions with the ground truth.")
            found = self.outcomes().condition(source)
            values.named |= found.values
            tests.append(
                f"EXISTS (SELECT 1 FROM {source.table} AS stored WHERE stored.{source.owner} ="
                f" {values.bind(source.owner_id)} AND stored.item = item.id AND {found.sql})"
            )
        elif run is not None and self.needs_run:
            inside = ["one.run = " + values.bind(run.number), "one.item = item.id"]
            inside += within("one.confidence", *self.confidence, values)
            inside += [f"one.label = {values.bind(self.label)}"] if self.label else []
            tests.append(f"EXISTS (SELECT 1 FROM prediction AS one WHERE {' AND '.join(inside)})")
        elif self.label:
            label = values.bind(self.label)
            truth = f"EXISTS (SELECT 1 FROM annotation AS one WHERE one.item = item.id AND one.label = {label})"
            if run is not None:
                truth += (
                    f" OR EXISTS (SELECT 1 FROM prediction AS one WHERE one.run = {values.bind(run.number)}"
                    f" AND one.item = item.id AND one.label = {label})"
                )
            tests.append(f"({truth})")
        if self.key:
            predicate = _Predicate(self.key, _OPS[self.op], _typed(self.value) if _OPS[self.op] != "EQ" else self.value)
            tests.append(metadata(predicate, "item.metadata", values, "metadata"))
        asked = compile_query(self.query, "item", None if run is None else str(run.number))
        if asked is not None:
            tests.append(f"({asked.sql})")
            values.named |= asked.values
        return Condition(" AND ".join(tests), values.named) if tests else Condition()


def _typed(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def bounds(asked: Mapping[str, str], name: str) -> Bounds:
    """Read from where to where a number is to be."""
    return _share(asked, f"{name}_from"), _share(asked, f"{name}_to")


def _share(asked: Mapping[str, str], name: str) -> float | None:
    """Read a number from 0 to 1 of the address."""
    text = asked.get(name, "").strip()
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise BadRequestError(f"`{name}` is a number from 0 to 1, not '{text[:20]}'.")
    return found
