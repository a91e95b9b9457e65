"""Evaluate frames of predictions; the numbers and tables are computed when they are first asked for."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from markupsafe import Markup

from nucleus_pandas._util.arrays import Bools
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas._util.html import cut, isolated, safe
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation import label_errors, plots, tables
from nucleus_pandas.evaluation.arrays import EvaluationInputs
from nucleus_pandas.evaluation.average_precision import PrecisionRecall, engine_of, precision_recall, require
from nucleus_pandas.evaluation.comparison import ComparedEvaluation, Comparison, compare
from nucleus_pandas.evaluation.groups import By, GroupingFrames, groups_of
from nucleus_pandas.evaluation.inputs import (
    FrameColumns,
    StoredGroundTruth,
    evaluation_inputs,
    grouping_frames,
    read_frames,
)
from nucleus_pandas.evaluation.match_rows import MatchFlags, MatchRows, match_rows, matches_frame
from nucleus_pandas.evaluation.parameters import Engine, IouType, LabelPairs, Parameters
from nucleus_pandas.evaluation.tide import TideResult, tide, tide_table
from nucleus_pandas.schema import BoxColumn, FrameLike, column, warn
from nucleus_pandas.schema.boxes import BoxFormat

_CLASSES = 10  # labels in the HTML table
_NOTE = 1_000  # characters of a note in HTML

MATCHERS: dict[str, Literal["nucleus", "coco", "tide"]] = {
    "summary": "coco",
    "per_class": "coco",
    "pr_curve": "coco",
    "ap_by_size": "coco",
    "counts": "nucleus",
    "confusion_matrix": "nucleus",
    "score_histogram": "nucleus",
    "f1_curve": "nucleus",
    "matches": "nucleus",
    "tide": "tide",
}
"""The matcher behind each result. In `summary` and `per_class`, precision, recall, F1, TP, FP and FN are of
the Nucleus match."""


class Evaluation:
    """The quality of predictions against ground truth.

    Created by `nucleus_pandas.evaluate` and ``df.nucleus.evaluate``. Everything is computed on first access.

    Three matchers answer different questions, and do not give the same counts:

    * **coco** (`summary`, `per_class`, `pr_curve`, `ap_by_size`): the protocol of pycocotools, label by label,
      predictions by falling confidence, at ten IoU thresholds. Computed by `engine`.
    * **nucleus** (`counts`, `confusion_matrix`, `score_histogram`, `f1_curve`, `matches`): in each image the pair of
      the highest IoU first, whatever the labels unless asked otherwise; each box once. As `ModelRun.commit` matches.
    * **tide** (`tide`): the errors of the predictions by category.

    Crowds are neither found nor missed by any of them. A prediction in a crowd that matched nothing else is ignored by
    coco and tide, and a false positive of nucleus, as in a commit.

    Numbers that do not exist, such as the average precision of a label without ground truth, are NaN; `notes` and the
    column ``reason`` of `per_class` say why.

    Attributes
    ----------
    parameters : dict
        The effective arguments: ``iou_threshold``, ``class_agnostic``, ``allowed_label_matches``, ``max_dets``,
        ``area_ranges`` (square pixels), ``iou_type``.
    matchers : dict of str to str
        The matcher behind each result.
    engine : str
        What computes the COCO numbers: ``"hotcoco"``, or ``"nucleus_pandas"`` where that is not installed, where pairs
        of labels are given, which hotcoco does not know, and where there is nothing to rank. Both compute the same.
    engine_version : str
        Its version.
    area_source : str
        The source of the areas of the ground truth: ``"width times height"``, ``"pixels of the mask"``, ``"the column
        'area'"``.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> truth = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "label": ["car", "bus"],
    ...                       "x": [0, 0], "y": [0, 0], "width": [10, 40], "height": [10, 40]})
    >>> found = npd.evaluate(truth.assign(confidence=[0.9, 0.8], x=[1, 30]), truth)
    >>> found.summary[["AP50", "AR_100", "precision", "best_confidence"]].round(3).to_dict()
    {'AP50': 0.5, 'AR_100': 0.35, 'precision': 0.5, 'best_confidence': 0.9}
    >>> found.per_class["AP"].round(3).to_dict()
    {'bus': 0.0, 'car': 0.7}
    """

    def __init__(self, inputs: EvaluationInputs, parameters: Parameters, sources: GroupingFrames | None = None) -> None:
        self._inputs = inputs
        self._parameters = parameters
        self._sources = GroupingFrames() if sources is None else sources
        self.engine, self.engine_version = engine_of(inputs, parameters)
        self.matchers: dict[str, str] = dict(MATCHERS)
        self.area_source = inputs.area_source

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective arguments."""
        return self._parameters.as_dict()

    @cached_property
    def accumulated(self) -> PrecisionRecall:
        """Precision and recall at every threshold, label, area range and number of predictions, as arrays.

        Labels are in the order of `per_class`, area ranges and numbers of predictions in that of `parameters`; where
        pycocotools has -1, they have NaN.
        """
        return precision_recall(self._inputs, self._parameters)

    @cached_property
    def _rows(self) -> MatchRows:
        return match_rows(self._inputs, self._parameters)

    @cached_property
    def _flags(self) -> MatchFlags[Bools]:
        return self._rows.classify(self._parameters.iou_threshold)

    @cached_property
    def _tide(self) -> TideResult:
        return tide(self._inputs, self._parameters)

    @cached_property
    def notes(self) -> list[str]:
        """Remarks on the numbers: why some are NaN, what was left out."""
        reasons = tables.reasons(self._inputs, self._parameters, self.f1_curve)
        return [*self._inputs.notes, *reasons, *tables.left_out(self._inputs, self._parameters)]

    @cached_property
    def summary(self) -> pd.Series[float]:
        """The numbers of the whole, by name.

        Returns
        -------
        pandas.Series of float64
            First COCO's twelve, in the order of pycocotools: ``AP`` (mean over ten IoU thresholds from 0.5 to 0.95 and
            over the labels), ``AP50``, ``AP75``, ``AP_small``, ``AP_medium``, ``AP_large``, ``AR_1``, ``AR_10``,
            ``AR_100`` (average recall with so many predictions of a label in an image), ``AR_small``, ``AR_medium``,
            ``AR_large``; other `max_dets` and `area_ranges` give other names. Then, of the Nucleus match at
            `iou_threshold`, over all predictions: ``precision``, ``recall``, ``F1``; and ``best_confidence``, the
            lowest confidence to keep for the highest F1. Boxes are not matched again for it, see `f1_curve`.
        """
        return tables.summary(self.accumulated, self._parameters, self.counts, self.f1_curve)

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """The numbers of each label.

        Returns
        -------
        pandas.DataFrame
            Indexed by ``label`` (text, sorted), every label of both sides. float64, of the COCO protocol: ``AP``,
            ``AP50``, ``AP75``, an ``AP_…`` for each area range, ``AR`` (with the highest of `max_dets`). int64, of the
            Nucleus match: ``ground_truths`` (crowds left out), ``predictions``, ``TP``, ``FP``, ``FN``. bool:
            ``ignored_by_map``, true for labels without ground truth, which the mean over the labels leaves out. text:
            ``reason`` why a number is NaN, else null.
        """
        return tables.per_class(self._inputs, self.accumulated, self._parameters, self.counts)

    @cached_property
    def pr_curve(self) -> pd.DataFrame:
        """Precision over recall.

        Returns
        -------
        pandas.DataFrame
            A row for each label with ground truth, IoU threshold and recall: ``label`` (text), ``iou_threshold`` (0.5
            to 0.95), ``recall`` (0, 0.01, … 1), ``precision`` (the highest at this recall or beyond; 0 where it is not
            reached) and ``confidence`` (from which it holds; NaN where it is not reached), all float64.
        """
        return tables.pr_curve(self._inputs, self.accumulated)

    @cached_property
    def ap_by_size(self) -> pd.DataFrame:
        """Average precision by the area of objects.

        Returns
        -------
        pandas.DataFrame
            Indexed by ``area`` (the names of `area_ranges`): ``low`` and ``high`` (square pixels, both included),
            ``AP``, ``AP50``, ``AP75``, ``AR``, all float64, and ``ground_truths`` (int64, crowds left out).
        """
        return tables.ap_by_size(self._inputs, self.accumulated, self._parameters)

    @cached_property
    def counts(self) -> pd.DataFrame:
        """True positives, false positives and false negatives of each label, at `iou_threshold`.

        Returns
        -------
        pandas.DataFrame
            Indexed by ``label`` (text, sorted), every label of both sides: ``ground_truths`` (crowds left out),
            ``predictions``, ``TP``, ``FP``, ``FN`` (int64), ``precision``, ``recall``, ``F1`` (float64). TP and FN
            count for the label of the ground truth, FP for that of the prediction. In all, TP + FN is the number of
            ground truth boxes and TP + FP the number of predictions; without pairs of labels, so it is for each label.
        """
        return tables.by_label(self._inputs, self._rows, self._flags)

    @cached_property
    def confusion_matrix(self) -> pd.DataFrame:
        """How often predictions of each label met ground truth of each label, at `iou_threshold`.

        Returns
        -------
        pandas.DataFrame of int64
            Rows are the labels of the ground truth (``label``), columns those of predictions (``predicted_label``);
            ``__background__`` comes last in both, for boxes that met nothing. A row sums to the ground truth boxes of
            its label, a column to its predictions.
        """
        return tables.confusion(self._inputs, self._rows, self._flags)

    @cached_property
    def score_histogram(self) -> pd.DataFrame:
        """True and false positives by confidence, at `iou_threshold`.

        Returns
        -------
        pandas.DataFrame
            Twenty bins from 0 to 1: ``low`` and ``high`` (float64; the low end is included, in the last bin both),
            ``TP`` and ``FP`` (int64).
        """
        return tables.histogram(self._inputs, self._rows, self._flags)

    @cached_property
    def f1_curve(self) -> pd.DataFrame:
        """Precision, recall and F1 when only predictions from a confidence on are kept, at `iou_threshold`.

        Returns
        -------
        pandas.DataFrame
            A row for each confidence that occurs, falling: ``confidence`` (float64), ``TP``, ``FP``, ``FN`` (int64),
            ``precision``, ``recall``, ``F1`` (float64). The matches are those of all predictions.
        """
        return tables.over_confidence(self._inputs, self._rows, self._flags)

    @cached_property
    def tide(self) -> pd.DataFrame:
        """Errors by category.

        Returns
        -------
        pandas.DataFrame
            Indexed by ``error``: ``classification``, ``localization``, ``both``, ``duplicate``, ``background``,
            ``missed``; ``count`` (int64) and ``share`` of all errors (float64). The first five are predictions: with
            the true positives and those in crowds they are all that `max_dets` lets in. The last one is ground truth
            that no prediction comes near.
        """
        return tide_table(self._tide)

    @cached_property
    def matches(self) -> pd.DataFrame:
        """The Nucleus match at `iou_threshold`.

        Returns
        -------
        pandas.DataFrame
            As `ModelRun.matches` returns it: ``dataset_item_id``, ``reference_id``, ``annotation_id``,
            ``prediction_id``, ``label``, ``predicted_label``, ``match_type`` (text), ``confidence`` and ``iou``
            (float64). A confusion is an FP that shows both sides, and an FN. Crowds are left out.
        """
        return matches_frame(self._inputs, self._rows, self._parameters.iou_threshold)

    @cached_property
    def images(self) -> pd.DataFrame:
        """The images that were evaluated.

        Returns
        -------
        pandas.DataFrame
            In their order: ``dataset_item_id`` and ``reference_id`` (text, null where no frame has it), and of the
            Nucleus match at `iou_threshold`: ``ground_truths``, ``predictions``, ``TP``, ``FP``, ``FN`` (int64).
        """
        images = self._inputs.images
        ids = {"dataset_item_id": images.dataset_item_ids, "reference_id": images.reference_ids}
        frame = pd.DataFrame({name: column(ids[name], TEXT) for name in ids})
        return frame.assign(**tables.by_image(self._inputs, self._rows, self._flags))

    def by(self, by: By) -> pd.DataFrame:
        """Evaluate groups of images, each with its own ground truth and predictions.

        False positives stay with their image.

        Parameters
        ----------
        by : column name, pandas.Series, callable or dict
            How to group the images:

            * a column of `items`, of the ground truth or of the predictions, such as ``"weather"`` or
              ``"metadata.weather"`` (also a key of the column ``metadata``), the same in all rows of an image;
            * a Series, indexed by the ids of the images;
            * a function of the id of an image;
            * a dict of names and the ids of their images, as of slices, which may overlap.

        Returns
        -------
        pandas.DataFrame
            Indexed by group, images without a value in a group of their own: ``images``, ``ground_truths``,
            ``predictions``, ``TP``, ``FP``, ``FN`` (int64), and the columns of `summary` (float64).

        Raises
        ------
        InvalidInputError
            There is no such column, it differs within an image, or an id is unknown.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> truth = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "label": "car",
        ...                       "x": 0, "y": 0, "width": 10, "height": [10, 40]})
        >>> items = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "weather": ["sun", "fog"]})
        >>> found = npd.evaluate(truth.assign(confidence=0.5, x=[0, 9]), truth, items=items)
        >>> found.by("weather")[["images", "TP", "AP50"]].round(3).to_dict("index")
        {'fog': {'images': 1, 'TP': 0, 'AP50': 0.0}, 'sun': {'images': 1, 'TP': 1, 'AP50': 1.0}}
        """
        names, members = groups_of(by, self._sources, self._inputs.images)
        rows = []
        for wanted in members:
            part = Evaluation(self._inputs.of_images(wanted), self._parameters)
            totals = {name: int(part.counts[name].sum()) for name in tables.COUNTS}
            numbers = {str(name): float(value) for name, value in part.summary.items()}
            rows.append({"images": int(wanted.sum()), **totals, **numbers})
        return tables.by_group(rows, names, list(self.summary.index))

    def suspects(self, *, min_confidence: float = 0.5) -> pd.DataFrame:
        """Find ground truth that is probably wrong, judged by confident predictions.

        Parameters
        ----------
        min_confidence : float in [0, 1]
            Predictions below it are ignored.

        Returns
        -------
        pandas.DataFrame
            The most suspicious first: the columns of `matches` without ``match_type``, then ``suspicion`` (text) and
            ``score`` (float64 in [0, 1]):

            * ``missing annotation``: a false positive that overlaps no ground truth of the image by IoU 0.1; the
              score is its confidence;
            * ``wrong label``: a pair at `iou_threshold` whose labels do not agree; confidence times IoU;
            * ``wrong box``: a pair whose labels agree, of IoU 0.1 or more, below `iou_threshold`; confidence times
              (1 - IoU);
            * ``nothing there``: ground truth that no prediction, however unsure, overlaps by IoU 0.1; half the share of
              the predictions of its label that are at `iou_threshold` right, since a good detector seldom misses what
              is there.
        """
        return label_errors.suspects(self._inputs, self._rows, self._flags, min_confidence)

    def compare(self, other: Evaluation) -> Comparison:
        """Compare with another evaluation of the same ground truth.

        Parameters
        ----------
        other : Evaluation
            Of other predictions, such as those of a newer model.

        Returns
        -------
        Comparison
            DataFrames: `Comparison.summary`, `Comparison.per_class`, `Comparison.per_item`, `Comparison.won` and
            `Comparison.lost`. Differences are `other` less this one.

        Raises
        ------
        InvalidInputError
            The ground truth boxes or the parameters differ.
        """
        if not isinstance(other, Evaluation):
            raise InvalidInputError(f"compare takes an Evaluation, not {type(other).__name__}.")
        return compare(self._compared, other._compared)

    plot_pr_curve = plots.pr_curve
    plot_confusion_matrix = plots.confusion_matrix
    plot_score_histogram = plots.score_histogram
    plot_tide = plots.tide
    plot_per_class = plots.per_class
    plot_f1_curve = plots.f1_curve
    plot_comparison = plots.comparison

    @property
    def _compared(self) -> ComparedEvaluation:
        return ComparedEvaluation(
            inputs=self._inputs,
            rows=self._rows,
            flags=self._flags,
            parameters=self.parameters,
            summary=self.summary,
            per_class=self.per_class,
            images=self.images,
        )

    @property
    def _title(self) -> str:
        inputs = self._inputs
        return (
            f"{len(inputs.predictions)} predictions against {len(inputs.countable)} ground truth boxes on "
            f"{len(inputs.images)} images"
        )

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {self.summary[name]:.3f}" for name in ("AP", "AP50", "precision", "recall"))
        return f"<Evaluation of {self._title}: {shown}; {self.engine} {self.engine_version}>"

    def _repr_html_(self) -> str:
        described = {
            "AP, AR: matcher": "coco",
            "by": f"{self.engine} {self.engine_version}",
            "areas": self.area_source,
            "TP, FP, FN, precision, recall, F1: matcher": "nucleus",
            **self.parameters,
        }
        columns = ["AP", "AP50", "ground_truths", "TP", "FP", "FN"]
        shown = self.per_class.sort_values("ground_truths", ascending=False, kind="stable").iloc[:_CLASSES]
        rows = zip(shown.index, shown[columns].to_numpy(object), strict=True)
        small = Markup("<p><small>{}</small></p>").format
        parts = [
            Markup("<p><b>Evaluation</b> of {}</p>").format(safe(self._title)),
            _html_table([str(name) for name in self.summary.index], [[_number(value) for value in self.summary]]),
            _html_table(["label", *columns], [[isolated(label), *map(_number, row)] for label, row in rows]),
        ]
        if len(self.per_class) > len(shown):
            parts.append(Markup("<p>The {} most frequent of {} labels.</p>").format(len(shown), len(self.per_class)))
        parts.append(small(safe("; ".join(f"{name} {cut(str(value))}" for name, value in described.items()))))
        parts += [small(safe(cut(note, _NOTE))) for note in self.notes]
        return str(Markup("<div>{}</div>").format(Markup().join(parts)))


def _html_table(head: list[str], rows: list[list[str]]) -> Markup:
    cells = Markup().join(map(Markup("<th>{}</th>").format, head))
    body = Markup().join(
        Markup("<tr>{}</tr>").format(Markup().join(map(Markup("<td>{}</td>").format, row))) for row in rows
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(cells, body)


def _number(value: Any) -> str:
    if isinstance(value, (int, np.integer)):
        return str(value)
    return "NaN" if np.isnan(value) else f"{value:.3f}"


def evaluate(
    predictions: FrameLike,
    ground_truth: FrameLike | StoredGroundTruth,
    *,
    iou_threshold: float = 0.5,
    class_agnostic: bool | None = None,
    allowed_label_matches: LabelPairs | None = None,
    max_dets: int | Iterable[int] = 100,
    area_ranges: Mapping[str, tuple[float, float]] | None = None,
    engine: Engine | None = None,
    iou_type: IouType = "bbox",
    items: FrameLike | None = None,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat | None = None,
) -> Evaluation:
    """Evaluate a frame of predictions against ground truth; nothing is sent.

    Parameters
    ----------
    predictions : pandas.DataFrame, or a table that exports Arrow
        ``reference_id`` or ``dataset_item_id``, ``label``, ``x``, ``y``, ``width``, ``height`` in pixels from the
        top-left corner and ``confidence`` in [0, 1], one row each; perhaps ``annotation_id``. A missing confidence is
        ranked last.
    ground_truth : pandas.DataFrame, table that exports Arrow, Dataset or Slice
        The same without ``confidence``. Of a `Dataset` or `Slice`, the annotations are read, and all of its items are
        evaluated, unless `items` are given; predictions on other images are left out. A row whose box is
        missing whole stands for an image without boxes. A column ``iscrowd``, or ``iscrowd`` in the metadata, marks
        crowds, which are neither found nor missed. A column ``area`` (square pixels) goes before width times height.
    iou_threshold : float in (0, 1], default 0.5
        From which IoU on a pair counts, in all that the Nucleus match counts. The COCO numbers have their own ten.
    class_agnostic : bool, optional
        Whether boxes of different labels may match in the Nucleus match; they may, unless pairs are given. Average
        precision is computed label by label in any case.
    allowed_label_matches : iterable of (str, str), optional
        Pairs of a ground-truth label and a predicted label, which alone may match, and are right. They rule average
        precision and TIDE too: labels are then those of the ground truth, and a prediction that found ground truth of
        another label does not count for this one.
    max_dets : int or ascending int, default 100
        How many predictions of a label in an image the COCO numbers and TIDE see, by falling confidence. A number
        stands for (1, 10, number): the average recall is given for each, all other numbers for the last.
    area_ranges : dict of str to (float, float), optional
        Names and bounds in square pixels, both included. By default those of COCO: small below 32², medium to 96²,
        large.
    engine : {"nucleus_pandas", "hotcoco"}, optional
        What computes the COCO numbers: this package, or hotcoco (``pip install 'nucleus_pandas[evaluate]'``), which is
        two to three times as fast and gives the same to the last bit. By default hotcoco where it is installed.
    iou_type : {"bbox", "segm"}, default "bbox"
        Whether boxes are compared, or masks: a column ``segmentation`` (polygons or run-length encodings, as COCO has
        them) or polygons in ``geometry``. Areas are then those of the masks.
    items : pandas.DataFrame or table that exports Arrow, optional
        ``reference_id`` or ``dataset_item_id`` of all images that are evaluated, and what `Evaluation.by` is to group
        them by. By default the images are those of the two frames.
    columns : dict of str to hashable, optional
        Canonical names and what the caller calls them; each frame takes what it has.
    bbox : column name or four, optional
        As in `Dataset.annotate`; a frame that does not have these columns has ``x``, ``y``, ``width`` and ``height``.
    bbox_format : {"xywh", "xyxy", "cxcywh"}, optional
        The meaning of the four numbers of `bbox`: corner and size, two corners, or centre and size. Needed
        with `bbox`, unless the names of the four columns, or of the fields of a struct, say x, y, width, height.

    Returns
    -------
    Evaluation
        Numbers and tables, each computed when it is first asked for.

    Raises
    ------
    InvalidInputError
        A column is missing, rows are wrong, an argument is invalid, or no image of the predictions is
        one of the ground truth (or of `items`).
    MissingExtraError
        hotcoco is not installed, and `engine` or the masks need it.

    Warns
    -----
    NucleusWarning
        Some predictions lie on images that the ground truth does not name, or that the dataset does not hold; there
        is no column ``confidence``;
        `max_dets` leaves predictions out; rows are not boxes.

    Examples
    --------
    >>> truth = pd.DataFrame({"reference_id": ["a.jpg", "a.jpg", "b.jpg"], "label": ["car", "bus", "car"]})
    >>> truth[["x", "y", "width", "height"]] = [[0, 0, 20, 10], [50, 0, 20, 10], [0, 0, 20, 10]]
    >>> found = truth.drop(index=1).assign(x=[0, 2], confidence=[0.9, 0.8])
    >>> evaluation = evaluate(found, truth)
    >>> evaluation.summary[["AP", "AP50", "precision", "recall"]].round(3).to_dict()
    {'AP': 0.426, 'AP50': 0.5, 'precision': 1.0, 'recall': 0.667}
    >>> evaluation.counts[["TP", "FP", "FN"]].to_dict("index")
    {'bus': {'TP': 0, 'FP': 0, 'FN': 1}, 'car': {'TP': 2, 'FP': 0, 'FN': 0}}
    """
    parameters = Parameters.of(
        iou_threshold=iou_threshold,
        class_agnostic=class_agnostic,
        allowed_label_matches=allowed_label_matches,
        max_dets=max_dets,
        area_ranges=area_ranges,
        engine=engine,
        iou_type=iou_type,
    )
    require(parameters)
    layout = FrameColumns(columns, bbox, bbox_format)
    found, truth, images, notes = read_frames(predictions, ground_truth, items, layout)
    inputs = evaluation_inputs(found, truth, images, layout, parameters.iou_type)
    for note in [*notes, *tables.left_out(inputs, parameters)]:
        warn(note)
    inputs = replace(inputs, notes=(*notes, *inputs.notes))
    return Evaluation(inputs, parameters, grouping_frames(found, truth, images, layout))
