"""Where outcomes come from: the commit of a run, or one of its evaluations."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from nucleus_pandas.errors import ConflictError, NotFoundError
from nucleus_pandas.evaluation.tide import BACKGROUND_IOU
from nucleus_pandas.server.store import evaluations
from nucleus_pandas.server.store.evaluations import Evaluation
from nucleus_pandas.server.store.models import Run, datasets_of
from nucleus_pandas.server.store.sql_conditions import Condition

COMMIT = "commit"
MISPLACED = "misplaced"
"""A false negative that a prediction of a right label lies near: its IoU is low, but more than that of background."""
MATCHES = ("TP", "FP", "FN", MISPLACED)
"""What outcomes can be asked for by."""


@dataclass(frozen=True, slots=True)
class Source:
    """A stored match.

    Attributes
    ----------
    id : str
        ``commit``, or that of the evaluation.
    run : Run
        Whose predictions were matched.
    evaluation : Evaluation or None
        None for the commit.
    datasets : list of int
        Whose items were matched.
    """

    id: str
    run: Run
    evaluation: Evaluation | None
    datasets: list[int]

    @property
    def table(self) -> str:
        """Where the rows of the match lie."""
        return "match" if self.evaluation is None else "evaluation_match"

    @property
    def owner(self) -> str:
        """The column that holds whose they are."""
        return "run" if self.evaluation is None else "evaluation"

    @property
    def owner_id(self) -> int:
        """What it holds."""
        return self.run.id if self.evaluation is None else self.evaluation.id

    @property
    def truth(self) -> str:
        """The column of the ground truth's label."""
        return "label" if self.evaluation is None else "class"

    @property
    def predicted(self) -> str:
        """The column of the predicted label."""
        return "predicted_label" if self.evaluation is None else "predicted_class"

    @property
    def counted(self) -> str:
        """Leaves out what is never an outcome."""
        return "1" if self.evaluation is None else "NOT crowd"


def sources_of(db: sqlite3.Connection, run: Run) -> list[Source]:
    """List what there is of a run: the commit, then its finished evaluations, newest first."""
    datasets = datasets_of(db, run)
    found = [] if run.committed_at is None else [Source(COMMIT, run, None, datasets)]
    for evaluation in evaluations.listing(db, "run", run.id):
        if evaluation.status == "succeeded":
            own = [source.dataset for source in evaluations.sources(db, evaluation)]
            found.append(Source(evaluation.public_id, run, evaluation, own))
    return found


def choose(sources: list[Source], run: Run, wanted: str | None) -> Source:
    """Return the source that is asked for, by default the first.

    Raises
    ------
    ConflictError
        There is none at all.
    """
    if not sources:
        raise ConflictError(
            f"The run '{run.public_id}' is open: run.commit() matches its predictions with the ground truth."
        )
    if not wanted:
        return sources[0]
    for source in sources:
        if source.id == wanted:
            return source
    raise NotFoundError(f"The run '{run.public_id}' has no '{wanted[:50]}'.")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Which outcomes are wanted.

    Attributes
    ----------
    threshold : float
        From which IoU on a pair counts.
    match : str or None
        One of `MATCHES`.
    truth, predicted : str or None
        The label of either side.
    label : str or None
        The label of any side that the outcome shows.
    alone : bool
        Whether a side without a partner is meant: with `truth` the ground truth, with `predicted` the prediction.
    confidence, iou : (float or None, float or None)
        From, and to; of an outcome that shows one side alone the IoU does not exist, and the confidence of a prediction
        only.
    unlike : Source or None
        Another match, in which the ground truth is no true positive.
    """

    threshold: float
    match: str | None = None
    truth: str | None = None
    predicted: str | None = None
    label: str | None = None
    alone: bool = False
    confidence: tuple[float | None, float | None] = (None, None)
    iou: tuple[float | None, float | None] = (None, None)
    unlike: Source | None = None

    @property
    def shown_iou(self) -> str:
        """The IoU that the outcome shows, as SQL."""
        if self.match == MISPLACED or (self.match is None and not self.alone):
            return "one.iou"
        return "NULL" if self.match == "FN" else "CASE WHEN one.iou >= :threshold THEN one.iou END"

    @property
    def shows_confidence(self) -> bool:
        """Whether the outcome has the confidence of a prediction."""
        return self.match != "FN" and not (self.alone and self.truth is not None)

    def condition(self, source: Source) -> Condition:
        """Say so in SQL, of the rows ``one`` of the source's table."""
        values: dict[str, object] = {"threshold": self.threshold}
        near = "coalesce(one.iou >= :threshold, 0)"
        tests = [source.counted if source.counted == "1" else f"({source.counted})"]
        tests += {
            "TP": [f"({near} AND one.agrees)"],
            "FP": [f"one.prediction_id IS NOT NULL AND NOT ({near} AND one.agrees)"],
            "FN": [f"one.annotation_id IS NOT NULL AND NOT ({near} AND one.agrees)"],
            MISPLACED: [f"(one.iou >= {BACKGROUND_IOU} AND one.agrees AND NOT {near})"],
            None: [],
        }[self.match]
        sides = (("truth", self.truth, source.truth, "annotation_id"),
                 ("predicted", self.predicted, source.predicted, "prediction_id"))  # fmt: skip
        for name, label, column, key in sides:
            if label is not None:
                values[name] = label
                tests.append(f"one.{key} IS NOT NULL AND one.{column} = :{name}")
        if self.alone:
            tests.append(f"NOT {near}")
        elif self.truth is not None and self.predicted is not None:
            tests.append(near)
        if self.label is not None:
            values["label"] = self.label
            tests.append(self._has_label(source, near))
        confidence = "one.confidence" if self.shows_confidence else "NULL"
        shown = {"confidence": (confidence, self.confidence), "iou": (self.shown_iou, self.iou)}
        for name, (expression, (low, high)) in shown.items():
            if low is not None:
                values[f"{name}_low"] = low
                tests.append(f"{expression} >= :{name}_low")
            if high is not None:
                values[f"{name}_high"] = high
                tests.append(f"{expression} <= :{name}_high")
        if self.unlike is not None:
            values["other"] = self.unlike.owner_id
            tests.append(
                f"EXISTS (SELECT 1 FROM {self.unlike.table} AS two WHERE two.{self.unlike.owner} = :other AND"
                " two.item = one.item AND two.annotation_id = one.annotation_id AND"
                " NOT coalesce(two.iou >= :threshold AND two.agrees, 0))"
            )
        return Condition(" AND ".join(f"({test})" for test in tests), values)

    def _has_label(self, source: Source, near: str) -> str:
        truth = f"one.annotation_id IS NOT NULL AND one.{source.truth} = :label"
        predicted = f"one.prediction_id IS NOT NULL AND one.{source.predicted} = :label"
        if self.match == "FN":
            return truth
        return predicted if self.match == "FP" else f"({truth}) OR ({predicted})"
