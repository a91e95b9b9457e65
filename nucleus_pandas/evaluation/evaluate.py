"""Evaluate frames of predictions against frames of ground truth."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import pandas as pd

from nucleus_pandas.evaluation.average_precision import require
from nucleus_pandas.evaluation.inputs import FrameColumns, evaluation_inputs, grouping_frames
from nucleus_pandas.evaluation.parameters import Engine, IouType, LabelPairs, Parameters
from nucleus_pandas.evaluation.report import Evaluation
from nucleus_pandas.evaluation.tables import left_out
from nucleus_pandas.schema import BoxColumn, warn
from nucleus_pandas.schema.boxes import BoxFormat


def evaluate(
    predictions: pd.DataFrame,
    ground_truth: pd.DataFrame,
    *,
    iou_threshold: float = 0.5,
    class_agnostic: bool | None = None,
    allowed_label_matches: LabelPairs | None = None,
    max_dets: int | Iterable[int] = 100,
    area_ranges: Mapping[str, tuple[float, float]] | None = None,
    engine: Engine | None = None,
    iou_type: IouType = "bbox",
    items: pd.DataFrame | None = None,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat = "xywh",
) -> Evaluation:
    """Evaluate a frame of predictions against a frame of ground truth; nothing is sent.

    Parameters
    ----------
    predictions : pandas.DataFrame
        ``reference_id`` or ``dataset_item_id``, ``label``, ``x``, ``y``, ``width``, ``height`` in pixels from the
        top-left corner and ``confidence`` in [0, 1], one row each; perhaps ``annotation_id``. A missing confidence is
        ranked last.
    ground_truth : pandas.DataFrame
        The same without ``confidence``. A row whose box is missing whole stands for an image without boxes. A column
        ``iscrowd``, or ``iscrowd`` in the metadata, marks crowds, which are neither found nor missed. A column
        ``area`` (square pixels) goes before width times height.
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
    items : pandas.DataFrame, optional
        ``reference_id`` or ``dataset_item_id`` of all images that are evaluated, and what `Evaluation.by` is to group
        them by. By default the images are those of the two frames.
    columns : dict of str to hashable, optional
        Canonical names and what the caller calls them; each frame takes what it has.
    bbox : column name or four, optional
        As in `Dataset.annotate`; a frame that does not have these columns has ``x``, ``y``, ``width`` and ``height``.
    bbox_format : {"xywh", "xyxy", "cxcywh"}
        What the four numbers of `bbox` mean.

    Returns
    -------
    Evaluation
        Numbers and tables, each computed when it is first asked for.

    Raises
    ------
    InvalidInputError
        A column is missing, rows are wrong, an argument is none of those above, or no image of the predictions is
        one of the ground truth (or of `items`).
    MissingExtraError
        hotcoco is not installed, and `engine` or the masks need it.

    Warns
    -----
    NucleusWarning
        Some predictions lie on images that the ground truth does not name; there is no column ``confidence``;
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
    sides = evaluation_inputs(predictions, ground_truth, items, layout, parameters.iou_type)
    if (cut := left_out(sides, parameters)) is not None:
        warn(cut)
    return Evaluation(sides, parameters, grouping_frames(predictions, ground_truth, items, layout))
