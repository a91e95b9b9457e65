"""Evaluations and matches of model runs: computed here from what the server returns, or by the server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import APIError, InvalidInputError
from nucleus_pandas.evaluation import Evaluation
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.counts import BACKGROUND
from nucleus_pandas.evaluation.groups import GroupingFrames
from nucleus_pandas.evaluation.inputs import FrameColumns, evaluation_inputs, grouping_frames
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.evaluation.outcomes import outcome_rows
from nucleus_pandas.evaluation.parameters import Parameters
from nucleus_pandas.evaluation.tables import left_out
from nucleus_pandas.schema import MATCHES, frame, warn
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.views import AnnotationsView, ItemsView, PredictionsView
from nucleus_pandas.wire.bulk import MatchColumns, MatchPage, RunCommit
from nucleus_pandas.wire.lenient_responses import ChartsQuery, LenientCharts, LenientEvaluation

_ABSENT = (400, 404, 405, 501)  # what servers without the routes, or without these charts, answer


class RunEvaluation(Evaluation):
    """The evaluation of a model run: an `Evaluation` that knows where it comes from. Made by `ModelRun.evaluate`.

    Attributes
    ----------
    run_id : str
        The run.
    computed_by : {"client", "server"}
        Who computed it: this package, from the predictions, ground truth and items that the server gave; or the hosted
        service, as far as it gives numbers of its own: then `summary`, `ap_by_size`, `confusion_matrix` and `tide` are
        the service's, and all else is computed here.
    evaluation_id : str or None
        The service's evaluation, where numbers are of one.
    committed_at : str or None
        When the run was committed (ISO 8601, UTC); None where it is not, or where the server does not tell.
    stale : bool or None
        Whether boxes have changed since the commit, so that the stored matches (`ModelRun.matches`) are of another
        time than this evaluation. None where there is no commit, or where the server does not tell.
    """

    def __init__(self, assessment: Assessment, parameters: Parameters) -> None:
        super().__init__(assessment.sides, parameters, assessment.sources)
        self.run_id = assessment.run_id
        self.computed_by: Literal["client", "server"] = "client"
        self.evaluation_id: str | None = None
        self.committed_at = assessment.commit.committed_at
        self.stale = assessment.commit.stale
        self._remarks = assessment.remarks

    @cached_property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know: of the run, why some are NaN, what was left out."""
        return [*self._remarks, *super().notes]

    @property
    def _title(self) -> str:
        return f"the run {self.run_id}, computed by the {self.computed_by}: {super()._title}"


@dataclass(frozen=True, eq=False)
class Assessment:
    """A run, read from the server.

    Attributes
    ----------
    run_id : str
        The run.
    commit : RunCommit
        How it was committed, as far as the server tells.
    predictions, ground_truth, items : pandas.DataFrame
        What the server holds now.
    remarks : list of str
        What has to be said of the run.
    """

    run_id: str
    commit: RunCommit
    predictions: pd.DataFrame
    ground_truth: pd.DataFrame
    items: pd.DataFrame
    remarks: list[str]

    @classmethod
    def read(cls, transport: Transport, run_id: str, dataset_id: str) -> Assessment:
        """Read both sides, and what is known of the commit.

        Warns
        -----
        NucleusWarning
            Boxes have changed since the commit.
        """
        commit, remarks = RunCommit(), []
        if "commits" in transport.extensions:
            commit = transport.read(RunCommit, "_nucleus_pandas", "modelRun", run_id, "commit")
        else:
            remarks.append("The server does not tell how the run was committed; labels pair as asked for here.")
        if commit.stale:
            remarks.append(
                f"Boxes have changed since the run '{run_id}' was committed at {commit.committed_at}: this is an "
                "evaluation of what is there now, and the stored matches are stale. run.commit() matches again."
            )
            warn(remarks[-1])

        def dataset() -> str:
            return dataset_id

        route = ("dataset", dataset_id)
        predictions = PredictionsView(transport, ("modelRun", run_id), dataset).to_frame(metadata_as=False)
        ground_truth = AnnotationsView(transport, route, dataset).to_frame()
        items = ItemsView(transport, route, dataset).to_frame()
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

    def as_committed(self, asked: Parameters) -> Parameters:
        """Let labels pair as in the commit."""
        if self.commit.committed_at is None:
            return asked
        return replace(asked, rule=LabelRule.of(self.commit.class_agnostic, self.commit.allowed_label_matches))

    def evaluation(self, parameters: Parameters) -> RunEvaluation:
        """Evaluate.

        Warns
        -----
        NucleusWarning
            `max_dets` leaves predictions out.
        """
        if (cut := left_out(self.sides, parameters)) is not None:
            warn(cut)
        return RunEvaluation(self, parameters)


class Served(NamedTuple):
    """A finished evaluation of a server, and its charts at the IoU threshold that was asked for."""

    evaluation_id: str
    charts: LenientCharts


def find_served_evaluation(transport: Transport, run_id: str, iou_threshold: float) -> Served | None:
    """Find the newest evaluation of a whole run that a server has finished; None where there is none.

    One of a benchmark, with labels rolled up or with boxes left out answers another question.
    """
    try:
        listed = transport.read(list[LenientEvaluation], "modelRun", run_id, "evaluationsV2")
        for found in listed:
            whole = not (found.benchmark_id or found.slice_id or found.rollup_groups or found.exclusion_rules)
            if found.status == "succeeded" and whole:
                asked = ChartsQuery(iou_threshold=iou_threshold)
                return Served(
                    found.id, transport.look_up(LenientCharts, "evaluationsV2", found.id, "charts", body=asked)
                )
    except APIError as error:
        if error.status_code not in _ABSENT:
            raise
    return None


class ServedEvaluation(RunEvaluation):
    """The evaluation of a run by the server: `summary`, `ap_by_size`, `confusion_matrix` and `tide` are its numbers.

    The contract gives no other tables, or not whole ones: all others are computed here, from what the server gave
    back. Of `summary` the contract has no average recalls and no ``best_confidence``; they are NaN.

    Attributes
    ----------
    computed_by : {"server"}
        Who computed it.
    evaluation_id : str
        The server's evaluation.
    """

    def __init__(self, assessment: Assessment, parameters: Parameters, served: Served) -> None:
        super().__init__(assessment, parameters)
        self.computed_by = "server"
        self.evaluation_id = served.evaluation_id
        self._charts = served.charts

    @cached_property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know, first of all whose they are."""
        return [
            f"summary, ap_by_size, confusion_matrix and tide are those of the server's evaluation "
            f"'{self.evaluation_id}', which gives no average recalls and no best confidence; all else is computed "
            "here, from what the server gave back.",
            *super().notes,
        ]

    @cached_property
    def summary(self) -> pd.Series[float]:
        """The server's numbers, by the names that `Evaluation.summary` has."""
        mean, total, sizes = self._charts.map_summary, self._charts.total_counts, self._charts.ap_by_size
        told = {"AP": mean.mapAt5095, "AP50": mean.mapAt50, "AP75": mean.mapAt75}
        told |= {"AP_small": sizes.small, "AP_medium": sizes.medium, "AP_large": sizes.large}
        tp, fp, fn = total.tp, total.fp, total.fn
        told["precision"] = tp / (tp + fp) if tp + fp else None
        told["recall"] = tp / (tp + fn) if tp + fn else None
        told["F1"] = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None
        names = super().summary.index
        return pd.Series([told.get(str(name)) for name in names], index=names, dtype=np.float64, name="value")

    @cached_property
    def ap_by_size(self) -> pd.DataFrame:
        """As `Evaluation.ap_by_size`: ``AP`` by the server, numbers that it does not give NaN."""
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
        place = {name: at for at, name in enumerate(names)}
        table = np.zeros((len(place), len(place)), dtype=np.int64)
        for cell in cells:
            table[place[cell.gt_label], place[cell.pred_label]] += cell.count
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
    """Read the matches of a run, at least one frame; put together they are what `ModelRun.matches` gives.

    Raises
    ------
    ConflictError
        The run is not committed.
    InvalidInputError
        `iou_threshold` is not from 0 to 1.
    """
    place: dict[str, object] = {}
    while True:
        page = transport.read(MatchPage, "_nucleus_pandas", "modelRun", run_id, "matches", **place)
        yield _matches_frame(page.columns, iou_threshold)
        if page.next is None:
            return
        place["after"] = page.next


def _matches_frame(columns: MatchColumns, iou_threshold: float | None) -> pd.DataFrame:
    stored = {name: np.array(getattr(columns, name), dtype=object) for name in MatchColumns.__struct_fields__}
    try:
        found = outcome_rows(
            stored["iou"].astype(np.float64),
            stored["annotation_id"] != None,  # noqa: E711  # elementwise
            stored["prediction_id"] != None,  # noqa: E711
            stored["agrees"].astype(np.bool_),
            iou_threshold,
        )
    except ValueError as error:
        raise InvalidInputError(str(error)) from None
    shown: dict[str, np.ndarray[Any, Any]] = {
        name: stored[name][found.row] for name in ("dataset_item_id", "reference_id")
    }
    sides = {
        "annotation_id": found.ground_truth,
        "prediction_id": found.prediction,
        "label": found.ground_truth,
        "predicted_label": found.prediction,
        "confidence": found.prediction,
        "iou": found.ground_truth & found.prediction,
    }
    for name, side in sides.items():
        shown[name] = stored[name][found.row]
        shown[name][~side] = None
    shown["match_type"] = found.match_type.astype(object)
    return frame(shown, MATCHES)
