"""Examples of true positives, false positives and false negatives: what was matched, with both boxes."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.arrays import NONE, EvaluationInputs, take_or
from nucleus_pandas.evaluation.match_rows import columns_of, match_rows
from nucleus_pandas.evaluation.parameters import Parameters, is_count, one_of
from nucleus_pandas.schema import EXAMPLES, column, frame, indexed
from nucleus_pandas.schema.boxes import areas
from nucleus_pandas.schema.geometry import SIDES
from nucleus_pandas.wire.evaluations import MatchType


def check_choice(match_type: object, sort_by: object, limit: object) -> None:
    """Check the arguments that choose examples, before anything is read.

    Raises
    ------
    InvalidInputError
        The text says what is allowed.
    """
    one_of(match_type, "match_type", get_args(MatchType))
    if sort_by is not None and sort_by not in list(EXAMPLES):
        raise InvalidInputError(
            f"sort_by is one of {', '.join(map(repr, EXAMPLES))}, or None, not {sort_by!r}.", argument="sort_by"
        )
    if limit is not None and not is_count(limit, 0):
        raise InvalidInputError(f"limit is a number of rows, 0 or more, or None, not {limit!r}.", argument="limit")


def examples(
    inputs: EvaluationInputs,
    parameters: Parameters,
    items: pd.DataFrame,
    match_type: MatchType,
    *,
    sort_by: str | None = None,
    ascending: bool = False,
    limit: int | None = None,
) -> pd.DataFrame:
    """Return the outcomes of one kind with both boxes; see `ModelRun.examples`.

    Parameters
    ----------
    inputs : EvaluationInputs
        What is matched.
    parameters : Parameters
        How, and from which IoU on a pair counts.
    items : pandas.DataFrame
        ``reference_id``, ``image_url``, ``image_width`` and ``image_height``.
    match_type, sort_by, ascending, limit
        As in `ModelRun.examples`.
    """
    rows = match_rows(inputs, parameters)
    outcomes = rows.outcomes(parameters.iou_threshold)
    of_type = outcomes.match_type == match_type
    at, with_gt, with_prediction = outcomes.row[of_type], outcomes.ground_truth[of_type], outcomes.prediction[of_type]
    columns = columns_of(inputs, rows, at, with_gt, with_prediction)
    ground_truth = take_or(inputs.countable.box, np.where(with_gt, rows.ground_truth[at], NONE), np.nan)
    predicted = take_or(inputs.predictions.box, np.where(with_prediction, rows.prediction[at], NONE), np.nan)
    for prefix, box in (("", ground_truth), ("predicted_", predicted)):
        columns |= {f"{prefix}{name}": box[:, side] for side, name in enumerate(SIDES)}
    columns["area"] = areas(predicted if match_type == "FP" else ground_truth)
    columns["match_type"] = np.full(len(at), match_type, dtype=object)
    names = column(columns["reference_id"], EXAMPLES["reference_id"])
    images = indexed(items, "reference_id").reindex(names)
    columns["image_url"] = images["image_url"].to_numpy(dtype=object)
    columns |= {name: images[name].array for name in ("image_width", "image_height")}
    shown = frame(columns, EXAMPLES)
    if sort_by is not None:
        shown = shown.sort_values(sort_by, ascending=ascending, kind="stable", ignore_index=True)
    return shown if limit is None else shown.head(limit)
