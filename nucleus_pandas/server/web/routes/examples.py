"""The outcomes of a run, with the boxes that they are about."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
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
from nucleus_pandas.server.web import outcomes, run_metrics
from nucleus_pandas.server.web.annotation_rows import row_key
from nucleus_pandas.server.web.facets import paint
from nucleus_pandas.server.web.figures import Crop, Drawn, Figure, crop, figure, shape_of
from nucleus_pandas.server.web.filters import bounds
from nucleus_pandas.server.web.formatting import MARK, label_key
from nucleus_pandas.server.web.page import blueprint, link, page, render
from nucleus_pandas.server.web.result_cache import Pending
from nucleus_pandas.server.web.routes.run import chosen_threshold, kept, waiting
from nucleus_pandas.server.web.snippets import outcomes_line

PAGE = 48
_PLACES = ("after", "page")  # of the address: what says where, not what


class Example(NamedTuple):
    """An outcome, and the part of the image that it is about."""

    outcome: StoredMatch
    kind: str
    item_id: str
    reference_id: str
    figure: Figure
    crop: Crop
    url: str


def wanted_outcomes(threshold: int, unlike: MatchSource | None, label_of: Callable[[str], str]) -> OutcomeFilter:
    """Read what the address asks for; `label_of` gives the label behind what stands for it."""
    match = request.args.get("match") or None
    if match not in (None, *MATCH_TYPES):
        raise BadRequestError("`match` is TP, FP, FN or misplaced.")
    alone = bool(request.args.get("alone"))
    truth, predicted = (
        None if (name := request.args.get(side)) is None else label_of(name) for side in ("truth", "predicted")
    )
    if alone and (truth is None) == (predicted is None):
        raise BadRequestError("Of what stands alone, either `truth` or `predicted` is given.")
    return OutcomeFilter(
        THRESHOLDS[threshold],
        match="TP" if unlike is not None else match,
        truth=truth,
        predicted=predicted,
        alone=alone,
        confidence=bounds(request.args, "confidence"),
        iou=bounds(request.args, "iou"),
        unlike=unlike,
    )


def _label_of(found: run_metrics.RunMetrics | None, name: str) -> str:
    """Return the label behind what stands for it in an address, which for long ones is in the facts alone."""
    if not name.startswith(MARK):
        return name
    if found is None:
        raise Pending
    for pair in found.pairs:
        for label in (pair.truth, pair.predicted):
            if label is not None and label_key(label) == name:
                return label
    raise NotFoundError("There is no such label here.")


@blueprint.get("/runs/<id:run_id>/examples")
def examples(run_id: str) -> Response:
    """Show outcomes of one kind."""
    threshold = chosen_threshold()
    sort = request.args.get("sort") or "image"
    if sort != "image" and sort not in SORTS:
        raise BadRequestError(f"`sort` is image, {', '.join(SORTS)}.")
    nucleus, memory = page().nucleus, page().memory
    with nucleus.database.read() as db:
        run = models.find_run(db, run_id)
        model = models.find(db, f"prj_{run.model_tag}")
        source = choose_source(sources_of(db, run), run, request.args.get("by"))
        on = [datasets.by_number(db, number) for number in source.datasets]
        paint(page().nucleus, page().memory, db, on)
        asked = run_metrics.metrics_question(db, source)
        other = _other(db)
        versus = None if other is None else run_metrics.differences_question(db, source, other, threshold)
    shared = {"run": run, "model": model, "datasets": on, "kept": kept(source, threshold), "source": source}
    found: run_metrics.RunMetrics | None = None
    alone: list[run_metrics.LabelDifference] | None = None
    with suppress(Pending):
        found = run_metrics.metrics_of(nucleus, memory, source, asked)
        if versus is not None and other is not None:
            alone = run_metrics.differences_of(nucleus, memory, source, other, versus)
    try:
        wanted = wanted_outcomes(threshold, other, partial(_label_of, found))
    except Pending:
        return waiting(**shared, created_at="")
    before = after = None
    with nucleus.database.read() as db:
        if sort == "image":
            rows, behind = outcomes.by_image(db, source, wanted.condition(source), _after(), PAGE)
            after = behind and _address(after=f"{behind[0]:x}-{behind[1]}")
        else:
            at = _page()
            rows = matches.sorted_page(db, source, wanted, sort, at * PAGE, PAGE + 1)
            after = _address(page=at + 1) if len(rows) > PAGE else None
            before = _address(page=at - 1) if at else None
        shown = _examples(db, source, rows[:PAGE], wanted)
    total: int | None = None
    if alone is not None:
        total = sum(one.first for one in alone if wanted.truth in (None, one.label))
    elif found is not None and other is None:
        total = run_metrics.count_outcomes(found, wanted, threshold)
    return render(
        "examples.html",
        **shared,
        wanted=wanted,
        kinds=_kinds(wanted),
        sort=sort,
        sorts=["image", *SORTS],
        threshold=threshold,
        thresholds=THRESHOLDS,
        examples=shown,
        most=PAGE,
        total=total,
        first=_address() if any(request.args.get(name) for name in _PLACES) else None,
        before=before,
        after=after,
        line=outcomes_line(run, source, wanted),
    )


def _other(db: sqlite3.Connection) -> MatchSource | None:
    """Find the run that is to have missed what this one found."""
    name = request.args.get("unlike")
    if not name:
        return None
    other = models.find_run(db, name)
    return choose_source(sources_of(db, other), other, None)


def _address(**place: Any) -> str:
    asked = {name: value for name, value in request.args.items() if name not in _PLACES and value}
    return link("examples", **(request.view_args or {}), **asked | place)


def _kinds(wanted: OutcomeFilter) -> list[tuple[str, str]]:
    """Return the outcomes of other kinds: those of the same label, which each shows on its own side."""
    is_one_cell = wanted.alone or (wanted.truth is not None and wanted.predicted is not None)
    if wanted.unlike is not None or is_one_cell:
        return []
    label = request.args.get("truth", request.args.get("predicted"))
    kept = dict.fromkeys(("truth", "predicted", "sort"))
    kept |= {"confidence_from": None, "confidence_to": None} if wanted.match in ("FN", None) else {}
    found = []
    for match in MATCH_TYPES:
        side = "predicted" if match == "FP" else "truth"
        found.append((match, _address(**kept | {"match": match, side: label})))
    return found


def _after() -> tuple[int, int]:
    text = request.args.get("after")
    if not text:
        return -1, -1
    item, _, number = text.partition("-")
    try:
        found = int(item, 16), int(number)
    except ValueError:
        found = -1, -1
    if not 0 <= found[0] < ALL_ITEMS[1] or not -1 <= found[1] < ALL_ITEMS[1]:
        raise BadRequestError(f"`after` is what the page before names, not '{text[:50]}'.")
    return found


def _page() -> int:
    text = request.args.get("page") or "0"
    if not (text.isascii() and text.isdigit()) or len(text) > 6:
        raise BadRequestError(f"`page` is a whole number, not '{text[:20]}'.")
    return int(text)


def kind_of(row: StoredMatch, wanted: OutcomeFilter) -> str:
    """Return the outcome that a row of the match is shown as."""
    if wanted.match is not None:
        return "FN" if wanted.match == MISPLACED else wanted.match
    flags = row.classify(wanted.threshold)
    if flags.true_positive:
        return "TP"
    return "FP" if flags.false_positive and not (wanted.alone and wanted.truth is not None) else "FN"


def _examples(
    db: sqlite3.Connection, source: MatchSource, rows: list[StoredMatch], wanted: OutcomeFilter
) -> list[Example]:
    known = {row[0]: ItemRow._make(row) for row in items.select(db, {one.item for one in rows}, _ITEM)}
    tags: dict[int, str] = dict(db.execute("SELECT id, tag FROM dataset").fetchall())
    return [
        _example(db, source, one, known[one.item], tags[dataset_of(one.item)], wanted)
        for one in rows
        if one.item in known
    ]


def _filters(source: MatchSource, wanted: OutcomeFilter) -> dict[str, Any]:
    """Return what finds the images of such outcomes, so that one goes from one to the next.

    Left out is what the grid cannot be asked for: other matches than that of the commit, and pairs of labels.
    """
    kept: dict[str, Any] = {"run": source.run.public_id, "iou": f"{wanted.threshold:g}"}
    label, other = (wanted.truth, wanted.predicted)[:: -1 if wanted.match == "FP" else 1]
    is_asked = wanted.match is not None and wanted.unlike is None and other is None
    if request.args.get("by") or not is_asked or (label is not None and label_key(label) != label):
        return kept
    low, high = wanted.confidence
    return kept | {"match": wanted.match, "label": label, "confidence_from": low, "confidence_to": high}


_ITEM = ", ".join(ItemRow._fields)
_TRUTH = AnnotationLayer(None, ("dataset", 0))  # to be read only, so that no counter is meant


def _example(
    db: sqlite3.Connection, source: MatchSource, one: StoredMatch, item: ItemRow, tag: str, wanted: OutcomeFilter
) -> Example:
    kind = kind_of(one, wanted)
    is_close = one.classify(wanted.threshold).close
    # what is too far away is no partner: its ground truth is missed, and its prediction stands alone
    shows_truth = one.truth_key is not None and (kind != "FP" or is_close)
    shows_prediction = one.prediction_key is not None and (kind != "FN" or wanted.match == MISPLACED)
    truth = layers.by_key(db, _TRUTH, one.item, one.truth_key or "") if shows_truth else None
    guess = layers.by_key(db, source.run.layer, one.item, one.prediction_key or "") if shows_prediction else None
    shapes = [row and shape_of(row, small=True, guess=row is guess) for row in (truth, guess)]
    image = figure(item, [[Drawn(shape)] if shape is not None else [] for shape in shapes], small=True)
    public = item_id(tag, item.id)
    return Example(
        outcome=one._replace(
            truth=one.truth if shows_truth else None,
            predicted=one.predicted if shows_prediction else None,
            confidence=one.confidence if shows_prediction else None,
            iou=one.iou if shows_truth and shows_prediction else None,
        ),
        kind=kind,
        item_id=public,
        reference_id=item.reference_id,
        figure=image,
        crop=crop(image),
        url=link(
            "item",
            dataset_id=f"ds_{tag}",
            item_id=public,
            **_filters(source, wanted),
            see_truth=truth and row_key(truth),
            see=guess and row_key(guess),
        ),
    )
