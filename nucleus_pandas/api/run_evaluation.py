"""Evaluations and matches of model runs: computed here from what the server returns, or by the server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import APIError, InvalidInputError
from nucleus_pandas.evaluation import Evaluation
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.groups import GroupingFrames
from nucleus_pandas.evaluation.inputs import FrameColumns, evaluation_inputs, grouping_frames
from nucleus_pandas.evaluation.match_rows import outcome_rows
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.evaluation.parameters import Parameters
from nucleus_pandas.evaluation.tables import BACKGROUND, left_out
from nucleus_pandas.schema import MATCHES, frame, warn
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.views import AnnotationsView, ItemsView, PredictionsView
from nucleus_pandas.wire.bulk import MatchColumns, MatchPage, RunCommit
from nucleus_pandas.wire.lenient_responses import ChartsQuery, LenientCharts, LenientEvaluation

_ABSENT = (400, 404, 405, 501)  # statuses of servers without the routes or without these charts


class RunEvaluation(Evaluation):
    """The evaluation of a model run: an `Evaluation` that records its origin. Created by `ModelRun.evaluate`.

    Attributes
    ----------
    run_id : str
        The run.
    computed_by : {"client", "server"}
        ``client`` if this package computed it from the server's predictions, ground truth and items; ``server`` if the
        hosted service has its own evaluation: then `summary`, `ap_by_size`, `confusion_matrix` and `tide` are the
        service's, and all else is computed here.
    evaluation_id : str or None
        The service's evaluation, if its numbers are used.
    committed_at : str or None
        When the run was committed (ISO 8601, UTC); None if it is not, or if the server does not report it.
    stale : bool or None
        Whether boxes have changed since the commit, so that the stored matches (`ModelRun.matches`) are older than this
        evaluation. None if there is no commit, or if the server does not report it.
    """

    def __init__(self, data: RunData, parameters: Parameters) -> None:
        super().__init__(data.sides, parameters, data.sources)
        self.run_id = data.run_id
        self.computed_by: Literal["client", "server"] = "client"
        self.evaluation_id: str | None = None
        self.committed_at = data.commit.committed_at
        self.stale = data.commit.stale
        self._remarks = data.remarks

    @cached_property
    def notes(self) -> list[str]:
        """Remarks about the run, NaN values and excluded rows."""
        return [*self._remarks, *super().notes]

    @property
    def _title(self) -> str:
        return f"the run {self.run_id}, computed by the {self.computed_by}: {super()._title}"


@dataclass(frozen=True, eq=False)
class RunData:
    """The data of a run, read from the server.

    Attributes
    ----------
    run_id : str
        The run.
    commit : RunCommit
        Its commit, as far as the server reports it.
    predictions, ground_truth, items : pandas.DataFrame
        The current rows on the server.
    remarks : list of str
        Remarks about the run, for `RunEvaluation.notes`.
    """

    run_id: str
    commit: RunCommit
    predictions: pd.DataFrame
    ground_truth: pd.DataFrame
    items: pd.DataFrame
    remarks: list[str]

    @classmethod
    def read(cls, transport: Transport, run_id: str, dataset_id: str) -> RunData:
        """Read both sides, and the commit as far as it is known.

        Warns
        -----
        NucleusWarning
            Boxes have changed since the commit.
        """
        commit, remarks = RunCommit(), []
        if "commits" in transport.extensions:
            commit = transport.read(RunCommit, "_nucleus_pandas", "modelRun", run_id, "commit")
        else:
            remarks.append("The server does not report how the run was committed; labels pair as the arguments say.")
        if commit.stale:
            remarks.append(
                f"Boxes have changed since the run '{run_id}' was committed at {commit.committed_at}: this "
                "evaluation uses the current boxes, and the stored matches are stale. run.commit() matches again."
            )
            warn(remarks[-1])

        route = ("dataset", dataset_id)
        predictions = PredictionsView(transport, ("modelRun", run_id), partial(str, dataset_id)).to_frame(
            metadata_as=False
        )
        ground_truth = AnnotationsView(transport, route, partial(str, dataset_id)).to_frame()
        items = ItemsView(transport, route, partial(str, dataset_id)).to_frame()
        for what, rows in (("predictions", predictions), ("ground truth", ground_truth)):
            if rows.empty:
                remarks.append(f"There are no {what}." if what == "predictions" else f"There is no {what}.")
        return cls(run_id, commit, predictions, ground_truth, items, remarks)

    @cached_property
    def sides(self) -> EvaluationInputs:
        """Both sides as arrays."""
        return evaluation_inputs(self.predictions, self.ground_truth, self.items, FrameColumns(), "bbox")

    @property
    def sources(self) -> GroupingFrames:
        """The frames, for `Evaluation.by`."""
        return grouping_frames(self.predictions, self.ground_truth, self.items, FrameColumns())

    def as_committed(self, parameters: Parameters) -> Parameters:
        """Return the parameters with labels paired as in the commit."""
        if self.commit.committed_at is None:
            return parameters
        return replace(parameters, rule=LabelRule.of(self.commit.class_agnostic, self.commit.allowed_label_matches))

    def evaluation(self, parameters: Parameters) -> RunEvaluation:
        """Return the evaluation of the run.

        Warns
        -----
        NucleusWarning
            `max_dets` excludes predictions.
        """
        for message in left_out(self.sides, parameters):
            warn(message)
        return RunEvaluation(self, parameters)


class FinishedEvaluation(NamedTuple):
    """A finished evaluation of a server, and its charts at the requested IoU threshold."""

    evaluation_id: str
    charts: LenientCharts


def find_served_evaluation(transport: Transport, run_id: str, iou_threshold: float) -> FinishedEvaluation | None:
    """Return the newest finished evaluation of a whole run, or None.

    Evaluations of benchmarks or slices, with grouped labels or with excluded boxes measure something else.
    """
    try:
        for entry in transport.read(list[LenientEvaluation], "modelRun", run_id, "evaluationsV2"):
            whole = not (entry.benchmark_id or entry.slice_id or entry.rollup_groups or entry.exclusion_rules)
            if entry.status == "succeeded" and whole:
                query = ChartsQuery(iou_threshold=iou_threshold)
                return FinishedEvaluation(
                    entry.id, transport.look_up(LenientCharts, "evaluationsV2", entry.id, "charts", body=query)
                )
    except APIError as error:
        if error.status_code not in _ABSENT:
            raise
    return None


class ServedEvaluation(RunEvaluation):
    """The evaluation of a run by the server: `summary`, `ap_by_size`, `confusion_matrix` and `tide` are its numbers.

    The contract has no other complete tables: all others are computed here, from the server's data. The contract has no
    average recalls and no ``best_confidence``; they are NaN in `summary`.

    Attributes
    ----------
    computed_by : {"server"}
        Always ``server``.
    evaluation_id : str
        The server's evaluation.
    """

    def __init__(self, data: RunData, parameters: Parameters, served: FinishedEvaluation) -> None:
        super().__init__(data, parameters)
        self.computed_by = "server"
        self.evaluation_id = served.evaluation_id
        self._charts = served.charts

    @cached_property
    def notes(self) -> list[str]:
        """Remarks about the numbers, starting with their origin."""
        return [
            f"summary, ap_by_size, confusion_matrix and tide are those of the server's evaluation "
            f"'{self.evaluation_id}', which has no average recalls and no best confidence; all else is computed "
            "here, from the server's data.",
            *super().notes,
        ]

    @cached_property
    def summary(self) -> pd.Series[float]:
        """The server's numbers, with the names of `Evaluation.summary`."""
        mean, total, sizes = self._charts.map_summary, self._charts.total_counts, self._charts.ap_by_size
        values = {"AP": mean.mapAt5095, "AP50": mean.mapAt50, "AP75": mean.mapAt75}
        values |= {"AP_small": sizes.small, "AP_medium": sizes.medium, "AP_large": sizes.large}
        tp, fp, fn = total.tp, total.fp, total.fn
        values["precision"] = tp / (tp + fp) if tp + fp else None
        values["recall"] = tp / (tp + fn) if tp + fn else None
        values["F1"] = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None
        names = super().summary.index
        return pd.Series([values.get(str(name)) for name in names], index=names, dtype=np.float64, name="value")

    @cached_property
    def ap_by_size(self) -> pd.DataFrame:
        """As `Evaluation.ap_by_size`, with the server's ``AP``; numbers that it does not provide are NaN."""
        table = super().ap_by_size.copy()
        table[["AP", "AP50", "AP75", "AR"]] = np.nan
        for area in ("small", "medium", "large"):
            table.loc[area, "AP"] = self.summary[f"AP_{area}"]
        table.loc["all", ["AP", "AP50", "AP75"]] = self.summary[["AP", "AP50", "AP75"]].to_numpy()
        return table

    @cached_property
    def confusion_matrix(self) -> pd.DataFrame:
        """As `Evaluation.confusion_matrix`, counted by the server."""
        cells = self._charts.confusion_matrix
        labels = {cell.gt_label for cell in cells} | {cell.pred_label for cell in cells} | set(super().counts.index)
        names = pd.Series([*sorted(labels - {BACKGROUND}), BACKGROUND], dtype=TEXT)
        position = {name: number for number, name in enumerate(names)}
        table = np.zeros((len(names), len(names)), dtype=np.int64)
        for cell in cells:
            table[position[cell.gt_label], position[cell.pred_label]] += cell.count
        index, columns = pd.Index(names, name="label"), pd.Index(names, name="predicted_label")
        return pd.DataFrame(table, index=index, columns=columns)

    @cached_property
    def tide(self) -> pd.DataFrame:
        """As `Evaluation.tide`, counted by the server."""
        table = super().tide.copy()
        table["count"] = [getattr(self._charts.tide_attribution, str(error)) for error in table.index]
        total = int(table["count"].sum())
        table["share"] = table["count"] / total if total else np.nan
        return table


def stored_matches(transport: Transport, run_id: str, iou_threshold: float | None) -> Iterator[pd.DataFrame]:
    """Read the matches of a run page by page, in at least one frame; concatenated they are `ModelRun.matches`.

    Raises
    ------
    ConflictError
        The run is not committed.
    InvalidInputError
        `iou_threshold` is not between 0 and 1.
    """
    cursor: dict[str, object] = {}
    while True:
        page = transport.read(MatchPage, "_nucleus_pandas", "modelRun", run_id, "matches", **cursor)
        yield _matches_frame(page.columns, iou_threshold)
        if page.next is None:
            return
        cursor["after"] = page.next


def _matches_frame(columns: MatchColumns, iou_threshold: float | None) -> pd.DataFrame:
    stored = {name: np.array(getattr(columns, name), dtype=object) for name in MatchColumns.__struct_fields__}
    try:
        rows = outcome_rows(
            stored["iou"].astype(np.float64),
            stored["annotation_id"] != None,  # noqa: E711  # elementwise
            stored["prediction_id"] != None,  # noqa: E711
            stored["agrees"].astype(np.bool_),
            iou_threshold,
        )
    except ValueError as error:
        raise InvalidInputError(str(error)) from None
    table: dict[str, np.ndarray[Any, Any]] = {
        name: stored[name][rows.row] for name in ("dataset_item_id", "reference_id")
    }
    sides = {
        "annotation_id": rows.ground_truth,
        "prediction_id": rows.prediction,
        "label": rows.ground_truth,
        "predicted_label": rows.prediction,
        "confidence": rows.prediction,
        "iou": rows.ground_truth & rows.prediction,
    }
    for name, side in sides.items():
        table[name] = stored[name][rows.row]
        table[name][~side] = None
    table["match_type"] = rows.match_type.astype(object)
    return frame(table, MATCHES)
