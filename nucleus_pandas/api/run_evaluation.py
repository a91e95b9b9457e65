"""What evaluates a model run: both sides read from the server, and how the run was committed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import pandas as pd

from nucleus_pandas.evaluation import Evaluation
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.groups import GroupingFrames
from nucleus_pandas.evaluation.inputs import FrameColumns, evaluation_inputs, grouping_frames
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.evaluation.parameters import Parameters
from nucleus_pandas.evaluation.tables import left_out
from nucleus_pandas.schema import warn
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.views import AnnotationsView, ItemsView, PredictionsView
from nucleus_pandas.wire.bulk import RunCommit


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
        for what, frame in (("predictions", predictions), ("ground truth", ground_truth)):
            if frame.empty:
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
