"""``nucleus-pandas demo``: the main job on the packaged sample, from append to evaluation."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nucleus_pandas import sample
from nucleus_pandas.api.client import NucleusClient
from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.cli.common import add_json, say
from nucleus_pandas.evaluation import Comparison, Evaluation

IOU = 0.5
_SHOWN = 10
_COUNTS = ["TP", "FP", "FN"]
_NAME = "Sample"


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("demo", help="run the main job on the packaged sample")
    command.add_argument(
        "folder", nargs="?", type=Path, default=Path("nucleus_demo"), help="the folder of the store (%(default)s)"
    )
    add_json(command, _command, "the report")


def _command(options: argparse.Namespace) -> None:
    report = run(options.folder)
    say(report.as_dict() if options.json else report.text())


@dataclass(frozen=True)
class Report:
    """The results of the demo.

    Attributes
    ----------
    folder : pathlib.Path
        The store.
    counts : dict of str to int
        Images, ground-truth boxes and predictions in the store.
    evaluations : dict of str to Evaluation
        The evaluation of each detector at IoU 0.5, as the run's own.
    comparison : Comparison
        The comparison of the first detector with the second.
    seconds : float
        Duration.
    plot : pathlib.Path or None
        The image of both precision-recall curves; None if matplotlib is not installed.
    """

    folder: Path
    counts: dict[str, int]
    evaluations: dict[str, Evaluation]
    comparison: Comparison
    seconds: float
    plot: Path | None

    @property
    def per_class(self) -> dict[str, pd.DataFrame]:
        """A detector's AP, TP, FP and FN, one row per class, the most frequent class first."""
        every = {name: evaluation.per_class for name, evaluation in self.evaluations.items()}
        frequent = pd.concat(every.values())["ground_truths"].groupby(level="label").max()
        order = frequent.sort_values(ascending=False, kind="stable").index
        none, whole = dict.fromkeys(_COUNTS, 0), dict.fromkeys(_COUNTS, int)
        return {
            name: table.reindex(order)[["AP", *_COUNTS]].fillna(none).astype(whole) for name, table in every.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data; numbers that do not exist are None."""
        one, compared = next(iter(self.evaluations.values())), self.comparison
        return {
            "store": str(self.folder),
            "counts": self.counts,
            "simulated": True,
            "iou_threshold": IOU,
            "engine": f"{one.engine} {one.engine_version}",
            "matchers": {"AP": one.matchers["summary"], "TP, FP, FN, precision, recall, F1": one.matchers["counts"]},
            "summary": {name: _plain(evaluation.summary) for name, evaluation in self.evaluations.items()},
            "difference": _plain(compared.summary["difference"]),
            "won": len(compared.won),
            "lost": len(compared.lost),
            "per_class": {
                name: [_plain(row) for row in table.reset_index().to_dict("records")]
                for name, table in self.per_class.items()
            },
            "plot": None if self.plot is None else str(self.plot),
            "seconds": round(self.seconds, 2),
        }

    def text(self) -> str:
        """Format the report for a terminal."""
        tables = self.per_class
        labels = next(iter(tables.values())).index
        rest = f"{len(labels) - _SHOWN} others"
        width = max(map(len, ("all classes", rest, *labels[:_SHOWN])))
        lines = [
            _line(label, [[table["AP"].iloc[row], *table[_COUNTS].iloc[row]] for table in tables.values()], width)
            for row, label in enumerate(labels[:_SHOWN])
        ]
        if len(labels) > _SHOWN:
            others = [table.iloc[_SHOWN:] for table in tables.values()]
            lines.append(_line(rest, [[table["AP"].mean(), *table[_COUNTS].sum()] for table in others], width))
        whole = zip(self.evaluations.values(), tables.values(), strict=True)
        lines.append(
            _line(
                "all classes", [[evaluation.summary["AP"], *table[_COUNTS].sum()] for evaluation, table in whole], width
            )
        )
        one, compared = next(iter(self.evaluations.values())), self.comparison
        first, second = self.evaluations
        summary = compared.summary.loc[["AP", "AP50", "precision", "recall", "F1"]]
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        crowds = self.counts["ground-truth boxes"] - int(one.counts["ground_truths"].sum())
        return "\n".join(
            [
                "nucleus_pandas demo: real photographs and ground truth, simulated detections of two detectors.",
                "",
                f"Stored and read back: {counts}.",
                "",
                (" " * width + "".join(f"   {f'{name} (simulated)':^21}" for name in tables)).rstrip(),
                "label".ljust(width) + " ".join(["     AP   TP   FP   FN"] * len(tables)),
                *lines,
                "",
                " " * width + f"{first:>10}{second:>10}{'difference':>14}",
                *(
                    f"{name:<{width}}" + f"{row['this']:>10.3f}{row['other']:>10.3f}{row['difference']:>+14.3f}"
                    for name, row in summary.iterrows()
                ),
                "",
                f"Objects found by the {second} detector alone: {len(compared.won)}, "
                f"by the {first} one alone: {len(compared.lost)}.",
                f"AP is COCO's ({one.engine} {one.engine_version}). The rest counts matches in each image, "
                "highest IoU first,",
                f"at IoU {IOU}; a pair of different labels is a false positive and a miss.",
                f"{crowds} ground-truth boxes are crowds, which are neither found nor missed.",
                "",
                f"The store is the folder {self.folder}  ({self.seconds:.1f} s)",
                "pip install 'nucleus_pandas[plot]' adds a plot."
                if self.plot is None
                else f"Precision over recall is drawn in {self.plot}",
                "",
                "Continue in Python:",
                "    import nucleus_pandas as npd",
                f"    client = npd.NucleusClient.local({json.dumps(str(self.folder))})",
                f'    dataset = client.create_dataset("{_NAME}", exist_ok=True)',
                "    dataset.items.to_frame()             # images as a DataFrame",
                "    dataset.annotations.loc[dataset.items.iloc[0].name]  # the boxes of the first one",
                "    run = dataset.model_runs[0]",
                '    run.evaluate().by("metadata.scene")  # the numbers of every kind of scene',
                '    run.examples("FP", sort_by="confidence", limit=5)  # the surest mistakes',
                "or serve it over HTTP:",
                f"    nucleus-pandas serve {shlex.quote(str(self.folder))}",
            ]
        )


def _plain(numbers: Any) -> dict[str, Any]:
    return {str(name): None if pd.isna(value) else value for name, value in numbers.items()}


def _line(label: str, groups: list[list[float]], width: int) -> str:
    cells = [
        f"  {'-' if pd.isna(ap) else f'{ap:.2f}':>5}" + "".join(f" {int(count):>4}" for count in counts)
        for ap, *counts in groups
    ]
    return (label.ljust(width) + " ".join(cells)).rstrip()


def run(folder: Path) -> Report:
    """Run the main job in a folder; a second run in the same folder changes nothing.

    Parameters
    ----------
    folder : pathlib.Path
        The store; created when absent.
    """
    began = time.perf_counter()
    with NucleusClient.local(folder) as client:
        dataset = client.create_dataset(_NAME, exist_ok=True)
        sample.items().nucleus.append(dataset)
        sample.ground_truth().nucleus.annotate(dataset)
        runs: dict[str, ModelRun] = {name: _run(client, dataset, name) for name in sample.DETECTORS}
        evaluations: dict[str, Evaluation] = {name: run.evaluate(iou_threshold=IOU) for name, run in runs.items()}
        counts = {
            "images": len(dataset.items.to_frame()),
            "ground-truth boxes": len(dataset.annotations.to_frame()),
            "predictions": sum(len(run.predictions.to_frame()) for run in runs.values()),
        }
    first, second = evaluations.values()
    compared, plot = first.compare(second), draw(evaluations, folder / "precision_recall.png")
    return Report(folder, counts, evaluations, compared, time.perf_counter() - began, plot)


def draw(evaluations: Mapping[str, Evaluation], path: Path) -> Path | None:
    """Draw the precision of each detector over its recall, and return the image; None if matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(12.0, 4.8), layout="constrained")
    panels: Any = figure.subfigures(1, len(evaluations), squeeze=False)[0]
    for panel, (name, evaluation) in zip(panels, evaluations.items(), strict=True):
        panel.suptitle(f"{name} detector (simulated)")
        evaluation.plot_pr_curve(ax=panel.subplots())
    figure.savefig(path, dpi=100, metadata={"Software": None})
    return path


def _run(client: NucleusClient, dataset: Dataset, detector: sample.Detector) -> ModelRun:
    model = client.add_model(f"{detector} detector (simulated)", reference_id=f"sample-{detector}")
    runs = [run for run in dataset.model_runs if run.info["model_id"] == model.id]
    run = runs[0] if runs else dataset.create_model_run(model)
    if run.info["status"] != "committed":
        sample.detections(detector).nucleus.predict(run)
        run.commit()
    return run
