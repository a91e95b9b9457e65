"""The main job on the packaged sample: append, annotate, predict, commit, read back."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nucleus_pandas import sample
from nucleus_pandas.client import NucleusClient
from nucleus_pandas.datasets import Dataset
from nucleus_pandas.models import ModelRun

IOU = 0.5
_SHOWN = 10
_NAME = "Sample"


@dataclass(frozen=True)
class Report:
    """What the demo found.

    Attributes
    ----------
    folder : pathlib.Path
        The store.
    counts : dict of str to int
        Pictures, ground-truth boxes and predictions that the store holds.
    per_class : dict of str to pandas.DataFrame
        A detector's TP, FP and FN at IoU 0.5, a row each class, the most frequent class first.
    seconds : float
        How long it took.
    """

    folder: Path
    counts: dict[str, int]
    per_class: dict[str, pd.DataFrame]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Give the report as plain data."""
        tables = {name: table.reset_index().to_dict("records") for name, table in self.per_class.items()}
        return {
            "store": str(self.folder),
            "counts": self.counts,
            "iou_threshold": IOU,
            "per_class": tables,
            "seconds": round(self.seconds, 2),
        }

    def text(self) -> str:
        """Set the report for a terminal."""
        both = pd.concat(self.per_class, axis=1).fillna(0).astype(int)
        both = both.loc[next(iter(self.per_class.values())).index.union(both.index, sort=False)]
        width = max(len("label"), *(len(str(label)) for label in both.index[:_SHOWN]), len("all classes"))
        names = list(self.per_class)
        head = " " * width + "".join(f"   {f'{name} detector':^14}" for name in names)
        columns = "label".ljust(width) + "   " + "   ".join(["  TP   FP   FN"] * len(names))
        lines = [_line(str(label), row, width) for label, row in zip(both.index[:_SHOWN], both.values, strict=False)]
        if len(both) > _SHOWN:
            rest = both.iloc[_SHOWN:]
            lines.append(_line(f"{len(rest)} others", rest.sum().to_numpy(), width))
        lines.append(_line("all classes", both.sum().to_numpy(), width))
        store = json.dumps(str(self.folder))
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return "\n".join(
            [
                "nucleus_pandas demo: real photographs and ground truth, simulated detections of two detectors.",
                "",
                f"Stored and read back: {counts}.",
                f"Matched picture by picture, highest IoU first; counted at IoU {IOU}, equal labels only:",
                "",
                head.rstrip(),
                columns,
                *lines,
                "",
                f"The store is the folder {self.folder}  ({self.seconds:.1f} s)",
                "",
                "Go on in Python:",
                "    import nucleus_pandas as npd",
                f"    client = npd.NucleusClient.local({store})",
                f'    dataset = client.create_dataset("{_NAME}", exist_ok=True)',
                "    dataset.items.to_frame()             # pictures as a DataFrame",
                "    dataset.annotations.loc[dataset.items.iloc[0].name]  # the boxes of the first one",
                "    dataset.model_runs[0].matches(0.5)   # a DataFrame",
                "or serve it over HTTP:",
                f"    nucleus-pandas serve {shlex.quote(str(self.folder))}",
            ]
        )


def _line(label: str, numbers: Any, width: int) -> str:
    cells = [f"{number:>4}" for number in numbers]
    groups = [" ".join(cells[start : start + 3]) for start in range(0, len(cells), 3)]
    return label.ljust(width) + "   " + "   ".join(groups)


def run(folder: Path) -> Report:
    """Run the main job in a folder; again in the same folder it finds everything there and changes nothing.

    Parameters
    ----------
    folder : pathlib.Path
        The store; made when absent.
    """
    began = time.perf_counter()
    with NucleusClient.local(folder) as client:
        dataset = client.create_dataset(_NAME, exist_ok=True)
        sample.items().nucleus.append(dataset)
        sample.ground_truth().nucleus.annotate(dataset)
        runs: dict[str, ModelRun] = {name: _run(client, dataset, name) for name in sample.DETECTORS}
        tables = {name: _per_class(run.matches(IOU)) for name, run in runs.items()}
        counts = {
            "pictures": len(dataset.items.to_frame()),
            "ground-truth boxes": len(dataset.annotations.to_frame()),
            "predictions": sum(len(run.predictions.to_frame()) for run in runs.values()),
        }
    return Report(folder, counts, tables, time.perf_counter() - began)


def _run(client: NucleusClient, dataset: Dataset, detector: sample.Detector) -> ModelRun:
    model = client.add_model(f"{detector} detector (simulated)", reference_id=f"sample-{detector}")
    runs = [run for run in dataset.model_runs if run.info["model_id"] == model.id]
    run = runs[0] if runs else dataset.create_model_run(model)
    if run.info["status"] != "committed":
        sample.detections(detector).nucleus.predict(run)
        run.commit(class_agnostic=False)
    return run


def _per_class(matches: pd.DataFrame) -> pd.DataFrame:
    label = matches["label"].where(matches["match_type"] != "FP", matches["predicted_label"])
    table = pd.crosstab(label, matches["match_type"]).reindex(columns=["TP", "FP", "FN"], fill_value=0)
    table = table.rename_axis(index="label", columns=None)
    return (
        table.assign(count=table["TP"] + table["FN"])
        .sort_values("count", ascending=False, kind="stable")
        .drop(columns="count")
    )
