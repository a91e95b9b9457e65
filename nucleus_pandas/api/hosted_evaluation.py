"""Evaluations that a server has computed itself, as far as the contract gives them."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.api.run_evaluation import Assessment, RunEvaluation
from nucleus_pandas.errors import APIError
from nucleus_pandas.evaluation.counts import BACKGROUND
from nucleus_pandas.evaluation.parameters import Parameters
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.wire.lenient_responses import ChartsQuery, LenientCharts, LenientEvaluation

_ABSENT = (400, 404, 405, 501)  # what servers without the routes, or without these charts, answer


class Served(NamedTuple):
    """A finished evaluation of a server, and its charts at the IoU threshold that was asked for."""

    evaluation_id: str
    charts: LenientCharts


def find(transport: Transport, run_id: str, iou_threshold: float) -> Served | None:
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
