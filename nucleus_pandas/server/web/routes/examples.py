"""Examples: the outcomes of a run, each with the part of the image around its boxes."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Any, NamedTuple

from flask import Response, request

from nucleus_pandas.errors import BadRequestError, NotFoundError
from nucleus_pandas.server.evaluation.metrics import THRESHOLDS
from nucleus_pandas.server.store import datasets, items, layers, matches, models
from nucleus_pandas.server.store.ids import ALL_ITEMS, dataset_of, item_id
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.layers import AnnotationLayer
from nucleus_pandas.server.store.matches import (
    MATCH_TYPES,
    MISPLACED,
    SORTS,
    MatchSource,
    OutcomeFilter,
    StoredMatch,
    choose_source,
    sources_of,
)
from nucleus_pandas.server.web import outcomes, run_metrics, snippets
from nucleus_pandas.server.web.annotation_rows import row_key
from nucleus_pandas.server.web.facets import assign_colours
from nucleus_pandas.server.web.figures import Crop, Drawn, Figure, crop, figure, shape_of
from nucleus_pandas.server.web.filters import bounds, match_type, run_parameters, threshold_number, whole_number
from nucleus_pandas.server.web.formatting import MARK, label_key
from nucleus_pandas.server.web.page import blueprint, link, page, render, waiting
from nucleus_pandas.server.web.result_cache import Pending

PAGE = 48
_POSITION = ("after", "page")  # the parameters of the URL that are no filters


class Example(NamedTuple):
    """An outcome, and the part of the image around its boxes."""

    outcome: StoredMatch
    kind: str
    item_id: str
    reference_id: str
    figure: Figure
    crop: Crop
    url: str


def outcome_filter(threshold: int, unlike: MatchSource | None, metrics: run_metrics.RunMetrics | None) -> OutcomeFilter:
    """Parse the filter of the URL.

    Raises
    ------
    Pending
        It has the digest of a long label, which only the metrics can resolve.
    """
    match = match_type()
    alone = bool(request.args.get("alone"))
    truth, predicted = (
        None if (name := request.args.get(side)) is None else _label_of(metrics, name)
        for side in ("truth", "predicted")
    )
    if alone and (truth is None) == (predicted is None):
        raise BadRequestError("`alone` needs either `truth` or `predicted`.")
    return OutcomeFilter(
        THRESHOLDS[threshold],
        match="TP" if unlike is not None else match,
        truth=truth,
        predicted=predicted,
        alone=alone,
        confidence=bounds("confidence"),
        iou=bounds("iou"),
        unlike=unlike,
    )


def _label_of(metrics: run_metrics.RunMetrics | None, key: str) -> str:
    """Return the label with a `label_key`."""
    if not key.startswith(MARK):
        return key
    if metrics is None:
        raise Pending
    for pair in metrics.pairs:
        for label in (pair.truth, pair.predicted):
            if label is not None and label_key(label) == key:
                return label
    raise NotFoundError("This run has no such label.")


@blueprint.get("/runs/<id:run_id>/examples")
def examples(run_id: str) -> Response:
    """Show outcomes of one kind."""
    threshold = threshold_number()
    sort = request.args.get("sort") or "image"
    if sort != "image" and sort not in SORTS:
        raise BadRequestError(f"`sort` must be image, {', '.join(SORTS)}.")
    nucleus, cache = page().nucleus, page().cache
    with nucleus.database.read() as db:
        run = models.find_run(db, run_id)
        model = models.find(db, run_id)
        source = choose_source(sources_of(db, run), run, request.args.get("by"))
        run_datasets = [datasets.by_number(db, number) for number in source.datasets]
        assign_colours(db, run_datasets)
        computation = run_metrics.metrics_computation(db, source)
        other: MatchSource | None = None
        if unlike := request.args.get("unlike"):
            other_run = models.find_run(db, unlike)
            other = choose_source(sources_of(db, other_run), other_run, None)
            differences_computation = run_metrics.differences_computation(db, source, other, threshold)
    shared = {
        "run": run, "model": model, "datasets": run_datasets, "kept": run_parameters(source, threshold),
        "source": source,
    }  # fmt: skip
    metrics: run_metrics.RunMetrics | None = None
    differences: list[run_metrics.LabelDifference] | None = None
    with suppress(Pending):
        metrics = run_metrics.metrics_of(nucleus, cache, source, computation)
        if other is not None:
            differences = run_metrics.differences_of(nucleus, cache, source, other, differences_computation)
    try:
        selected = outcome_filter(threshold, other, metrics)
    except Pending:
        return waiting(**shared)
    before = after = None
    with nucleus.database.read() as db:
        if sort == "image":
            rows, end = outcomes.by_image(db, source, selected.condition(source), _after(), PAGE)
            after = end and _url(after=f"{end[0]:x}-{end[1]}")
        else:
            number = whole_number("page", 0, 999_999)
            rows = matches.sorted_page(db, source, selected, sort, number * PAGE, PAGE + 1)
            after = _url(page=number + 1) if len(rows) > PAGE else None
            before = _url(page=number - 1) if number else None
        shown = _examples(db, source, rows[:PAGE], selected)
    total: int | None = None
    if differences is not None:
        total = sum(row.first for row in differences if selected.truth in (None, row.label))
    elif metrics is not None and other is None:
        total = run_metrics.count_outcomes(metrics, selected, threshold)
    return render(
        "examples.html",
        **shared,
        selected=selected,
        kinds=_kinds(selected),
        sort=sort,
        sorts=["image", *SORTS],
        threshold=threshold,
        thresholds=THRESHOLDS,
        examples=shown,
        most=PAGE,
        total=total,
        first=_url() if any(request.args.get(name) for name in _POSITION) else None,
        before=before,
        after=after,
        line=snippets.outcomes(run, source, selected),
    )


def _url(**position: Any) -> str:
    """Return the URL of another page of these outcomes."""
    parameters = {name: value for name, value in request.args.items() if name not in _POSITION and value}
    return link("examples", **(request.view_args or {}), **parameters | position)


def _kinds(selected: OutcomeFilter) -> list[tuple[str, str]]:
    """Return the types of outcomes of the same label with their URLs; the label is on the side that the type shows."""
    is_one_cell = selected.alone or (selected.truth is not None and selected.predicted is not None)
    if selected.unlike is not None or is_one_cell:
        return []
    label = request.args.get("truth", request.args.get("predicted"))
    removed = dict.fromkeys(("truth", "predicted", "sort"))
    removed |= {"confidence_from": None, "confidence_to": None} if selected.match in ("FN", None) else {}
    return [
        (match, _url(**removed | {"match": match, "predicted" if match == "FP" else "truth": label}))
        for match in MATCH_TYPES
    ]


def _after() -> tuple[int, int]:
    """Return the item and the number of the row that the page before ended with."""
    text = request.args.get("after")
    if not text:
        return -1, -1
    item, _, number = text.partition("-")
    try:
        position = int(item, 16), int(number)
    except ValueError:
        position = -1, -1
    if not 0 <= position[0] < ALL_ITEMS[1] or not -1 <= position[1] < ALL_ITEMS[1]:
        raise BadRequestError(f"`after` must be the value in the link of the previous page, not '{text[:50]}'.")
    return position


def kind_of(row: StoredMatch, selected: OutcomeFilter) -> str:
    """Return the outcome that a row of the match is shown as."""
    if selected.match is not None:
        return "FN" if selected.match == MISPLACED else selected.match
    flags = row.classify(selected.threshold)
    if flags.true_positive:
        return "TP"
    return "FP" if flags.false_positive and not (selected.alone and selected.truth is not None) else "FN"


def _examples(
    db: sqlite3.Connection, source: MatchSource, rows: list[StoredMatch], selected: OutcomeFilter
) -> list[Example]:
    item_rows = {row[0]: ItemRow._make(row) for row in items.select(db, {row.item for row in rows}, items.COLUMNS)}
    tags = datasets.tag_of_each(db)
    return [
        _example(db, source, row, item_rows[row.item], tags[dataset_of(row.item)], selected)
        for row in rows
        if row.item in item_rows
    ]


def _image_filters(source: MatchSource, selected: OutcomeFilter) -> dict[str, Any]:
    """Return the parameters that select the images of such outcomes, so that users can go from one to the next.

    The grid can filter by neither the matches of an evaluation nor pairs of labels; these are left out.
    """
    kept: dict[str, Any] = {"run": source.run.public_id, "iou": f"{selected.threshold:g}"}
    label, other = (selected.truth, selected.predicted)[:: -1 if selected.match == "FP" else 1]
    is_possible = selected.match is not None and selected.unlike is None and other is None
    if request.args.get("by") or not is_possible or (label is not None and label_key(label) != label):
        return kept
    low, high = selected.confidence
    return kept | {"match": selected.match, "label": label, "confidence_from": low, "confidence_to": high}


_GROUND_TRUTH = AnnotationLayer(None, ("dataset", 0))  # only read, so the counter does not matter


def _example(
    db: sqlite3.Connection, source: MatchSource, row: StoredMatch, item: ItemRow, tag: str, selected: OutcomeFilter
) -> Example:
    kind = kind_of(row, selected)
    # a pair below the threshold is shown as two sides: a missed ground truth, and a prediction without a partner
    shows_truth = row.truth_key is not None and (kind != "FP" or row.classify(selected.threshold).close)
    shows_prediction = row.prediction_key is not None and (kind != "FN" or selected.match == MISPLACED)
    truth = layers.by_key(db, _GROUND_TRUTH, row.item, row.truth_key or "") if shows_truth else None
    prediction = layers.by_key(db, source.run.layer, row.item, row.prediction_key or "") if shows_prediction else None
    shapes = [box and shape_of(box, small=True, guess=box is prediction) for box in (truth, prediction)]
    image = figure(item, [[Drawn(shape)] if shape is not None else [] for shape in shapes], small=True)
    public_id = item_id(tag, item.id)
    return Example(
        outcome=row._replace(
            truth=row.truth if shows_truth else None,
            predicted=row.predicted if shows_prediction else None,
            confidence=row.confidence if shows_prediction else None,
            iou=row.iou if shows_truth and shows_prediction else None,
        ),
        kind=kind,
        item_id=public_id,
        reference_id=item.reference_id,
        figure=image,
        crop=crop(image),
        url=link(
            "item",
            dataset_id=f"ds_{tag}",
            item_id=public_id,
            **_image_filters(source, selected),
            see_truth=truth and row_key(truth),
            see=prediction and row_key(prediction),
        ),
    )
