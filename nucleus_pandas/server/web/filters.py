"""URL parameters of the page, among them the filters of images, which are a condition in SQL too."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from flask import request

from nucleus_pandas.errors import BadRequestError, NotFoundError, UnsupportedError
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS
from nucleus_pandas.server.query import compile_query
from nucleus_pandas.server.store import models, slices
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import POSITION
from nucleus_pandas.server.store.matches import MATCH_TYPES, MatchSource, OutcomeFilter, sources_of
from nucleus_pandas.server.store.models import RunEntry
from nucleus_pandas.server.store.sql_conditions import BoundValues, Condition, metadata, within
from nucleus_pandas.server.store.subsets import Subset
from nucleus_pandas.wire.evaluations import Predicate

T = TypeVar("T")
Bounds: TypeAlias = tuple[float | None, float | None]
_PARAMETERS = (
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
_REPEATED = 1_000  # characters of filters in URLs that are on the page many times
_OPERATORS: dict[str, Literal["EQ", "GT", "LT"]] = {"": "EQ", "eq": "EQ", "gt": "GT", "lt": "LT"}


@dataclass(frozen=True, slots=True)
class ImageFilters:
    """The filters of images.

    Attributes
    ----------
    label : str
        Of a box in the image, or of the outcome if outcomes are filtered; empty for any.
    match : str
        One of `MATCH_TYPES`, or empty.
    threshold : float
        The IoU from which on a pair counts as a match.
    confidence, iou : (float or None, float or None)
        Bounds of a prediction's confidence and of a pair's IoU.
    key, op, value : str
        A condition on the metadata of the image.
    query : str
        A further condition in the query language.
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
    def of_request(cls) -> ImageFilters:
        """Parse the filters of the URL.

        Raises
        ------
        BadRequestError
            A parameter is invalid.
        """
        parameters = request.args
        if parameters.get("op", "") not in _OPERATORS:
            raise BadRequestError("`op` must be eq, gt or lt.")
        return cls(
            parameters.get("label", ""),
            match_type() or "",
            THRESHOLDS[threshold_number()],
            bounds("confidence"),
            bounds("iou"),
            parameters.get("key", ""),
            parameters.get("op", ""),
            parameters.get("value", ""),
            parameters.get("query", "").strip(),
        )

    @property
    def needs_match(self) -> bool:
        """True if outcomes of a match are filtered."""
        return bool(self.match) or self.iou != (None, None)

    @property
    def needs_run(self) -> bool:
        """True if predictions are filtered."""
        return self.needs_match or self.confidence != (None, None)

    def outcomes(self) -> OutcomeFilter:
        """Return the filter of outcomes."""
        return OutcomeFilter(
            self.threshold,
            match=self.match or None,
            label=self.label or None,
            confidence=self.confidence,
            iou=self.iou,
        )

    @property
    def is_query(self) -> bool:
        """True if a query is the only filter."""
        return bool(self.query) and not (self.needs_run or self.label or self.key)

    def condition(self, run: RunEntry | None, source: MatchSource | None) -> Condition:
        """Write the filters in SQL, as a condition on ``item``.

        Parameters
        ----------
        run : RunEntry, optional
            The run whose predictions are filtered.
        source : MatchSource, optional
            The match whose outcomes are filtered.

        Raises
        ------
        BadRequestError
            Predictions or outcomes are filtered without a run or a match, or the query is invalid.
        """
        values = BoundValues()
        tests = []
        if self.needs_run and run is None:
            raise BadRequestError("Select the run whose predictions are filtered.")
        if self.needs_match:
            if source is None:
                raise BadRequestError("This run is open; run.commit() matches its predictions with the ground truth.")
            outcome = self.outcomes().condition(source)
            values.named |= outcome.values
            tests.append(
                f"EXISTS (SELECT 1 FROM {source.table} AS stored WHERE stored.{source.owner} ="
                f" {values.bind(source.owner_id)} AND stored.item = item.id AND {outcome.sql})"
            )
        elif self.needs_run or self.label:
            label = [f"box.label = {values.bind(self.label)}"] if self.label else []
            sides = [] if self.needs_run else [_has_box("annotation", label)]
            if run is not None:
                confidence = within("box.confidence", *self.confidence, values) if self.needs_run else []
                sides.append(_has_box("prediction", [f"box.run = {values.bind(run.number)}", *confidence, *label]))
            tests.append(f"({' OR '.join(sides)})")
        if self.key:
            operator = _OPERATORS[self.op]
            value = self.value if operator == "EQ" else _number_or_text(self.value)
            predicate = Predicate(key=self.key, op=operator, value=value)
            tests.append(metadata(predicate, "item.metadata", values, "metadata"))
        query = compile_query(self.query, "item", None if run is None else str(run.number))
        if query is not None:
            tests.append(f"({query.sql})")
            values.named |= query.values
        return Condition(" AND ".join(tests), values.named) if tests else Condition()


def _has_box(table: str, tests: Sequence[str]) -> str:
    return f"EXISTS (SELECT 1 FROM {table} AS box WHERE {' AND '.join(['box.item = item.id', *tests])})"


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


class ImageQuery(NamedTuple):
    """The images that the URL of a grid selects.

    Attributes
    ----------
    runs : list of RunEntry
        The runs on the dataset.
    run : RunEntry or None
        The selected run.
    source : MatchSource or None
        The match of that run, if outcomes are filtered.
    error : str
        Why the filters cannot be applied; the subset is empty then.
    """

    runs: list[RunEntry]
    run: RunEntry | None
    source: MatchSource | None
    filters: ImageFilters
    subset: Subset
    error: str


def image_query(db: sqlite3.Connection, dataset: Dataset) -> ImageQuery:
    """Parse which images of a dataset the URL selects."""
    runs = models.runs_on(db, dataset)
    run = selected_runs(runs)[0] if request.args.get("run") else None
    filters = ImageFilters.of_request()
    source: MatchSource | None = None
    if run is not None and filters.needs_match:
        source = next(iter(sources_of(db, models.find_run(db, run.id))), None)
    selected_slice = None
    if slice_id := request.args.get("slice"):
        selected_slice = slices.find(db, slice_id)
        selected_slice.check_of(dataset)
    try:
        condition, error = filters.condition(run, source), ""
    except (BadRequestError, UnsupportedError) as problem:
        condition, error = Condition("0"), str(problem)
    return ImageQuery(runs, run, source, filters, Subset(dataset, selected_slice, condition), error)


def filter_parameters(*, short: bool = False) -> dict[str, Any]:
    """Return the parameters of the URL that select images.

    With `short`, which is for URLs that are on the page many times, long ones are left out except for the run.
    """
    parameters = {name: value for name in _PARAMETERS if (value := request.args.get(name))}
    if short and sum(map(len, parameters.values())) > _REPEATED:
        return {name: value for name, value in parameters.items() if name == "run"}
    return parameters


def run_parameters(source: MatchSource, threshold: int) -> dict[str, str]:
    """Return the parameters that links between the pages of a run keep."""
    parameters = {"iou": f"{THRESHOLDS[threshold]:g}"}
    return parameters | {"by": source.id} if request.args.get("by") else parameters


def selected_runs(runs: Sequence[RunEntry]) -> list[RunEntry]:
    """Return the runs that the URL names, or raise NotFoundError."""
    run_of = {run.id: run for run in runs}
    selected = []
    for run_id in dict.fromkeys(filter(None, request.args.getlist("run"))):
        if run_id not in run_of:
            raise NotFoundError(f"There is no run '{run_id[:50]}' on this dataset.")
        selected.append(run_of[run_id])
    return selected


def threshold_number() -> int:
    """Return the number of the IoU threshold of the URL."""
    text = request.args.get("iou") or "0.5"
    for number, threshold in enumerate(THRESHOLDS):
        if text in (f"{threshold:.2f}", f"{threshold:g}"):
            return number
    raise BadRequestError(f"`iou` must be one of 0.5, 0.55, … 0.95, not '{text[:20]}'.")


def match_type() -> str | None:
    """Return the type of outcomes that the URL selects."""
    match = request.args.get("match") or None
    if match not in (None, *MATCH_TYPES):
        raise BadRequestError("`match` must be TP, FP, FN or misplaced.")
    return match


def whole_number(name: str, default: T, limit: int = POSITION) -> int | T:
    """Return a parameter of the URL that is a whole number from 0 to a limit."""
    text = request.args.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > limit:
        raise BadRequestError(f"`{name}` must be a whole number, not '{text[:50]}'.")
    return int(text)


def bounds(name: str) -> Bounds:
    """Return the parameters of the URL between which a number from 0 to 1 must be."""
    return _fraction(f"{name}_from"), _fraction(f"{name}_to")


def _fraction(name: str) -> float | None:
    text = request.args.get(name, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise BadRequestError(f"`{name}` must be a number from 0 to 1, not '{text[:20]}'.")
    return number
