"""Routes of items and of ground truth."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias
from urllib.parse import unquote

from flask import Blueprint, Response, request
from msgspec import to_builtins

from nucleus_pandas.errors import BadRequestError, NotFoundError
from nucleus_pandas.server.ingest.rows import (
    UNKNOWN,
    Stored,
    item_counters,
    store_annotations,
    store_boxes,
    store_items,
)
from nucleus_pandas.server.ingest.upload_jobs import LayerTarget, Target, check_frozen, final_status, run_upload
from nucleus_pandas.server.read import render
from nucleus_pandas.server.routes.images import files_with_rows, named_images, settle
from nucleus_pandas.server.routes.request import (
    body,
    file_url,
    form_field,
    is_async,
    is_extension,
    is_multipart,
    names_upload,
    nucleus,
    reply,
    summary,
)
from nucleus_pandas.server.store import datasets, items, jobs, layers
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.layers import Layer
from nucleus_pandas.server.store.pending_files import Image
from nucleus_pandas.wire.bulk import AnnotateRows, AppendRows, OnConflict
from nucleus_pandas.wire.decoding import convert, decode
from nucleus_pandas.wire.entities import Item, Mask
from nucleus_pandas.wire.requests import Annotate, Append, DeleteAnnotations, FromUpload
from nucleus_pandas.wire.responses import ItemView

blueprint = Blueprint("items", __name__)

Note: TypeAlias = Callable[[sqlite3.Connection, str | None], None]
_CHOICE: Any = OnConflict  # no class, so that type checkers know no `type` of it


@blueprint.post("/dataset/<id:dataset_id>/append")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/append", endpoint="append_with_outcomes")
def append(dataset_id: str) -> Response:
    """Store items: from the body, from files, or from a signed upload."""
    if is_multipart():
        stored, job, wanted_items = _append_files(dataset_id)
        return reply(job.entry()) if job else _counters(dataset_id, stored, wanted_items)
    if names_upload():
        wanted = body(FromUpload)
        return consume(dataset_id, wanted, "uploadDatasetItems", lambda db: (None, datasets.find(db, dataset_id)))
    stored, job, wanted_items = _append_rows(dataset_id) if is_extension() else _append_body(dataset_id)
    return reply(job.entry()) if job else _counters(dataset_id, stored, wanted_items)


def _append_body(dataset_id: str) -> tuple[Stored, jobs.JobRow | None, Sequence[Item]]:
    whole = body(Append)
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        stored = store_items(db, dataset, whole.items, update=whole.update or whole.force)
        return stored, _finished_job(db, dataset, stored) if is_async() else None, whole.items


def _append_rows(dataset_id: str) -> tuple[Stored, jobs.JobRow | None, Sequence[Item]]:
    """Store items whose images may have come before."""
    rows = body(AppendRows)
    update = _updates(rows.items, rows.if_exists, update=rows.update)
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        files = named_images(db, dataset, rows.items, update=update)
        stored = store_items(db, dataset, rows.items, update=update, refuse=rows.if_exists == "error", files=files)
        settle(db, "images", files)
        return stored, _finished_job(db, dataset, stored) if is_async() else None, rows.items


def _updates(wanted: Sequence[Item], if_exists: OnConflict | None, *, update: bool) -> bool:
    """Return whether items that are there are replaced; `if_exists` wins over what the body and its items say of it."""
    if if_exists is None:
        return update
    for item in wanted:
        item.update = None
    return if_exists == "update"


def _counters(dataset_id: str, stored: Stored, wanted: Sequence[Item]) -> Response:
    nucleus().purge()  # of images that were replaced, and of those that no item came to name
    described = {"dataset_id": dataset_id, **item_counters(Counter(stored.outcomes))}
    if is_extension():
        described |= summary(stored)
    elif stored.errors:
        refused = sorted(stored.errors.items())
        described["error_payload"] = [{**to_builtins(wanted[row]), "error": text} for row, text in refused]
    return reply(described)


def _append_files(dataset_id: str) -> tuple[Stored, jobs.JobRow | None, Sequence[Item]]:
    """Read a multipart body of any client generation: files `image`, and `items` (many) or `item` (one)."""
    many, one = form_field("items"), form_field("item")
    if many is not None:
        wanted = decode(many, list[Item], "The part `items`")
    elif one is not None:
        wanted = [decode(one, Item, "The part `item`")]
    else:
        raise BadRequestError("A multipart append has a part `items` (a JSON array) or `item` (one object).")
    choice = form_field("if_exists") if is_extension() else None
    if_exists = None if choice is None else convert(choice.decode(errors="replace"), _CHOICE, "The part `if_exists`")
    uploaded = request.files.getlist("image")
    if len(uploaded) != len(wanted):
        raise BadRequestError(f"There are {len(wanted)} items and {len(uploaded)} files in parts named `image`.")
    with nucleus().database.read() as db:
        datasets.find(db, dataset_id)  # before the disk is written
    with files_with_rows("images", uploaded) as files, nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        update = _updates(wanted, if_exists, update=False)
        stored = store_items(db, dataset, wanted, update=update, refuse=if_exists == "error", files=files)
        settle(db, "images", files)
        job = _finished_job(db, dataset, stored) if is_async() else None
    return stored, job, wanted


def _finished_job(db: sqlite3.Connection, dataset: Dataset, stored: Stored) -> jobs.JobRow:
    """Record an append that was asked for as a job and is done already."""
    job = jobs.create(db, "uploadDatasetItems", dataset.id, nucleus().owner)
    reasons = [stored.errors[row] for row in sorted(stored.errors)]
    jobs.add_errors(db, job.id, reasons)
    counts: Counter[str] = Counter(stored.outcomes)
    message = item_counters(counts) | ({"final_error": reasons[0]} if stored.broken else {})
    jobs.finish(db, job.id, final_status(counts, malformed=bool(stored.broken)), message)
    return jobs.find(db, job.public_id)


def consume(
    dataset_id: str, wanted: FromUpload, job_type: str, target: Target, check: Target | None = None
) -> Response:
    """Turn a signed upload into a job; the same request again gets the same job.

    `check` finds what `target` finds, but makes nothing.
    """
    with nucleus().database.read() as db:
        layer, _ = (check or target)(db)
        upload = jobs.pending_upload(db, datasets.find(db, dataset_id).id, wanted.request_id)
    if layer is not None and layer.frozen is not None and upload is not None:
        check_frozen(nucleus(), upload, target, update=wanted.update)
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        job, file = jobs.consume_upload(db, dataset.id, wanted.request_id, job_type, nucleus().owner)
        if file is not None:
            target(db)
    if file is not None:
        run_upload(nucleus(), job, dataset_id, file, target, update=wanted.update)
        with nucleus().database.read() as db:
            job = jobs.find(db, job.public_id)
    return reply(job.entry())


@blueprint.post("/dataset/<id:dataset_id>/annotate")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/annotate", endpoint="annotate_with_outcomes")
def annotate(dataset_id: str) -> Response:
    """Store ground truth: from the body, with mask files, or from a signed upload."""

    def target(db: sqlite3.Connection) -> tuple[Layer, Dataset]:
        dataset = datasets.find(db, dataset_id)
        return Layer(None, ("dataset", dataset.id)), dataset

    if not is_multipart() and names_upload():
        return consume(dataset_id, body(FromUpload), "uploadAnnotations", target)
    stored = receive_annotations(target)
    described: dict[str, object] = {
        "dataset_id": dataset_id,
        "annotations_processed": stored.count("new", "updated"),
        "annotations_ignored": stored.count("ignored"),
    }
    if stored.errors:
        described["errors"] = [stored.errors[row] for row in sorted(stored.errors)]
    if is_extension():
        described |= summary(stored)
    return reply(described)


@blueprint.delete("/annotation/<id:dataset_id>")
def delete_annotations(dataset_id: str) -> Response:
    """Delete the ground truth of items, all or none of it, and tell so as a job."""
    wanted = dict.fromkeys(body(DeleteAnnotations).reference_ids)
    if not wanted:
        raise BadRequestError(
            "Name the items whose annotations are to be deleted; an empty list could mean none or all - at "
            "`$.reference_ids`."
        )
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        known = items.ids_of(db, dataset, wanted)
        count = layers.delete_ground_truth(db, dataset.id, known.values())
        job = jobs.create(db, "annotationDeletion", dataset.id, nucleus().owner)
        jobs.add_errors(db, job.id, [UNKNOWN.format(name) for name in wanted if name not in known])
        jobs.finish(db, job.id, "Completed", {"annotations_deleted": count})
        job = jobs.find(db, job.public_id)
    nucleus().purge()
    return reply(job.entry())


def receive_annotations(target: LayerTarget, check: Target | None = None, note: Note | None = None) -> Stored:
    """Store the annotations or predictions of a request, whose body is JSON or multipart with mask files.

    `check` finds what `target` finds, but makes nothing; `note` is told of the slice that the model was trained on.
    """
    note = note or (lambda db, slice_id: None)
    stored = _store_masks(target, check or target, note) if is_multipart() else _store_json(target, note)
    if stored.count("updated"):
        nucleus().purge()  # of masks that were replaced
    return stored


def _store_json(target: LayerTarget, note: Note) -> Stored:
    wanted = body(annotate_body())
    boxes = wanted.boxes if isinstance(wanted, AnnotateRows) else None
    update, refuse = conflicts(wanted)
    rows = [*wanted.annotations, *wanted.segmentations]
    if boxes is not None:
        if rows:
            raise BadRequestError("A request holds either annotations or the columns of `boxes` - at `$.boxes`.")
        with nucleus().database.write() as db:
            layer, dataset = target(db)
            note(db, wanted.trained_slice_id)
            return store_boxes(db, layer, dataset, boxes, update=update, refuse=refuse)
    count = len(wanted.annotations)

    def place(row: int) -> str:
        return f"$.annotations[{row}]" if row < count else f"$.segmentations[{row - count}]"

    with nucleus().database.write() as db:
        layer, dataset = target(db)
        note(db, wanted.trained_slice_id)
        return store_annotations(db, layer, dataset, rows, update=update, refuse=refuse, place=place)


def annotate_body() -> type[Annotate]:
    """Return what a body of annotations or predictions may hold."""
    return AnnotateRows if is_extension() else Annotate


def conflicts(wanted: Annotate) -> tuple[bool, bool]:
    """Return whether rows that are there already are updated, and whether they refuse the batch."""
    if_exists = wanted.if_exists if isinstance(wanted, AnnotateRows) else None
    return wanted.update if if_exists is None else if_exists == "update", if_exists == "error"


def _store_masks(target: LayerTarget, check: Target, note: Note) -> Stored:
    text = form_field("serialized_request")
    if text is None:
        raise BadRequestError("A multipart request with masks has a part `serialized_request`.")
    wanted = decode(text, annotate_body(), "The part `serialized_request`")
    update, refuse = conflicts(wanted)
    uploaded = request.files.getlist("mask")
    has_boxes = isinstance(wanted, AnnotateRows) and wanted.boxes is not None
    if wanted.annotations or has_boxes or len(uploaded) != len(wanted.segmentations):
        raise BadRequestError(
            f"A multipart request holds segmentations only, with one file in a part `mask` for each; there are "
            f"{len(wanted.segmentations)} segmentations and {len(uploaded)} files."
        )
    with nucleus().database.read() as db:
        check(db)
    with files_with_rows("masks", uploaded) as files, nucleus().database.write() as db:
        layer, dataset = target(db)
        note(db, wanted.trained_slice_id)
        good = [file for file in files if isinstance(file, Image)]
        if len(good) < len(files):
            raise BadRequestError("A mask is an empty file; nothing was stored.")
        masks: list[Mask] = wanted.segmentations
        stored = store_annotations(
            db,
            layer,
            dataset,
            masks,
            update=update,
            refuse=refuse,
            mask_files=[file.name for file in good],
            place="$.segmentations[{}]".format,
        )
        settle(db, "masks", good)
        return stored


def _view(db: sqlite3.Connection, dataset: Dataset, row: ItemRow) -> Response:
    layer = Layer(None, ("dataset", dataset.id))
    found = [render.annotation(a, dataset.tag, row.reference_id, file_url) for a in layers.of_item(db, layer, row.id)]
    groups = render.grouped(found, predictions=False)
    return reply(ItemView(item=render.item(row, dataset.tag, file_url), annotations=groups))


def locate(db: sqlite3.Connection, dataset: Dataset, by: str, key: str) -> ItemRow:
    """Find an item by ``refloc``, ``iloc`` or ``loc``."""
    if by == "refloc":
        return items.by_reference_id(db, dataset, key)
    if by == "loc":
        return items.by_item_id(db, dataset, key)
    try:
        position = int(key)
    except ValueError:
        raise BadRequestError(f"A position is a whole number, not '{key[:50]}'.") from None
    return items.at_position(db, dataset, position)


@blueprint.get("/dataset/<id:dataset_id>/<any(refloc, iloc, loc):by>/<rest:key>")
def view(dataset_id: str, by: str, key: str) -> Response:
    """Return an item with its annotations."""
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
        return _view(db, dataset, locate(db, dataset, by, key))


@blueprint.get("/dataset/<id:dataset_id>/groundTruth/loc/<rest:path>")
def ground_truth_loc(dataset_id: str, path: str) -> Response:
    """Return one annotation."""
    with nucleus().database.read() as db:
        dataset = datasets.find(db, dataset_id)
        layer = Layer(None, ("dataset", dataset.id))
        item, row = find_annotation(db, dataset, layer)
        return reply(render.annotation(row, dataset.tag, item.reference_id, file_url))


def find_annotation(db: sqlite3.Connection, dataset: Dataset, layer: Layer) -> tuple[ItemRow, layers.AnnotationRow]:
    """Find what a path ``…/loc/{reference id}/{annotation id}`` names, though either may hold unquoted slashes."""
    raw = request.path.split("/loc/", 1)[1].split("/")
    unquoted = [unquote(part) for part in raw]
    for cut in range(1, len(unquoted)):
        item = items.ids_of(db, dataset, ["/".join(unquoted[:cut])])
        for number in item.values():
            row = layers.find(db, layer, number, "/".join(unquoted[cut:]))
            if row is not None:
                return items.by_reference_id(db, dataset, "/".join(unquoted[:cut])), row
    raise NotFoundError(f"There is no annotation '{'/'.join(unquoted)}' (reference id / annotation id).")


@blueprint.delete("/dataset/<id:dataset_id>/refloc/<rest:key>")
@blueprint.delete("/dataset/<id:dataset_id>/<item:key>")
def delete_item(dataset_id: str, key: str) -> Response:
    """Delete an item, by its reference id or, in an older form, by its item id."""
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        by_reference = f"/{dataset_id}/refloc/" in request.path
        row = locate(db, dataset, "refloc" if by_reference else "loc", key)
        items.delete(db, dataset, row)
    nucleus().purge()
    return reply({"message": "Item deleted.", "dataset_id": dataset_id, "reference_id": row.reference_id})
