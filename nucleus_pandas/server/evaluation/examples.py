"""Outcomes of an evaluation as the contract's examples, and what they can be filtered by."""

from __future__ import annotations

import sqlite3
from typing import Any, Literal

import msgspec

from nucleus_pandas.server.evaluation.item_filter import chosen_items
from nucleus_pandas.server.read.render import EMPTY
from nucleus_pandas.server.store import evaluation_outcomes
from nucleus_pandas.server.store.evaluation_outcomes import Outcome, Selected
from nucleus_pandas.server.store.evaluations import Evaluation
from nucleus_pandas.server.store.ids import item_id, position_of
from nucleus_pandas.server.store.layers import id_of_key
from nucleus_pandas.wire.evaluations import Example, ExamplesPage, ExamplesRequest, FilterSchema, MetadataField


def page(db: sqlite3.Connection, evaluation: Evaluation, wanted: ExamplesRequest, *, stale: bool) -> ExamplesPage:
    """Return a page of examples, and the number of all."""
    chosen = chosen_items(db, wanted.filters, wanted.query)
    selected = Selected(evaluation, wanted.iou_threshold, wanted.filters, chosen)
    if wanted.match_type is not None:
        selected.narrow(f"match_type = '{wanted.match_type}'")
    rows = [_example(evaluation, one) for one in selected.page(db, wanted)]
    return ExamplesPage(rows=rows, total=selected.count(db), stale=stale)


def _example(evaluation: Evaluation, one: Outcome) -> Example:
    item = item_id(one.dataset_tag, one.item)
    place = f"{one.dataset_tag}{position_of(one.item):08x}{one.number:08x}"
    truth_box = (one.x, one.y, one.width, one.height)
    predicted_box = (one.predicted_x, one.predicted_y, one.predicted_width, one.predicted_height)
    has_truth, has_prediction = one.annotation_id is not None, one.prediction_id is not None
    return Example(
        id=f"ex_{place}_{one.match_type}",
        evaluation_id=evaluation.public_id,
        dataset_item_id=item,
        true_positive=one.match_type == "TP",
        match_type=one.match_type,
        model_prediction_id=id_of_key(one.prediction_id),
        ground_truth_annotation_id=id_of_key(one.annotation_id),
        pred_canonical_label=one.predicted_class,
        gt_canonical_label=one.label_class,
        pred_raw_label=one.predicted_label,
        gt_raw_label=one.label,
        iou=one.iou,
        confidence=one.confidence,
        gt_area=None if one.width is None or one.height is None else one.width * one.height,
        item_metadata=_metadata(one.item_metadata),
        prediction_metadata=_metadata(one.prediction_metadata) if has_prediction else None,
        prediction_row=_row(one, item, one.prediction_id, one.predicted_label, predicted_box, one.prediction_metadata)
        | {"confidence": one.confidence}
        if has_prediction
        else None,
        annotation_row=_row(one, item, one.annotation_id, one.label, truth_box, one.annotation_metadata)
        if has_truth
        else None,
    )


def _metadata(text: str | None) -> msgspec.Raw:
    return EMPTY if text is None else msgspec.Raw(text.encode())


def _row(
    one: Outcome, item: str, key: str | None, label: str | None, box: tuple[float | None, ...], metadata: str | None
) -> dict[str, Any]:
    return {
        "type": "box",
        "dataset_item_id": item,
        "reference_id": one.reference_id,
        "annotation_id": id_of_key(key),
        "label": label,
        "geometry": dict(zip(("x", "y", "width", "height"), box, strict=True)),
        "metadata": _metadata(metadata),
    }


def filter_schema(db: sqlite3.Connection, evaluation: Evaluation) -> FilterSchema:
    """Return which labels and which metadata there are to filter by."""
    truth, predicted = evaluation_outcomes.labels(db, evaluation)
    fields = [
        MetadataField(key=key, value_type=_kind(kinds), values=values)
        for key, kinds, values in evaluation_outcomes.metadata_fields(db, evaluation)
    ]
    return FilterSchema(gt_labels=truth, pred_labels=predicted, metadata_fields=fields)


def _kind(types: set[str]) -> Literal["string", "number", "boolean"]:
    if types <= {"integer", "real"}:
        return "number"
    return "boolean" if types <= {"true", "false"} else "string"
