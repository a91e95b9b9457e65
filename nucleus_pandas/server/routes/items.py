"""Routes of items and of ground truth."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from flask import Blueprint, Response, request
from msgspec import to_builtins
from werkzeug.datastructures import FileStorage

from nucleus_pandas.errors import BadRequestError, UnsupportedError
from nucleus_pandas.server.ingest import dataset_rules
from nucleus_pandas.server.ingest.annotation_requests import store_request
from nucleus_pandas.server.ingest.rows import StoredRows, item_counters, look_up, store_items
from nucleus_pandas.server.ingest.targets import GroundTruthOf, ItemsOf
from nucleus_pandas.server.ingest.upload_jobs import final_status, start_upload_job
from nucleus_pandas.server.ingest.uploaded_files import UploadedFile, named_images, settle, uploaded_files
from nucleus_pandas.server.read import render
from nucleus_pandas.server.routes.request import (
    annotation_request,
    body,
    file_url,
    find_annotation,
    find_item,
    form_field,
    is_async,
    is_bulk,
    is_multipart,
    names_upload,
    nucleus,
    reply,
    reply_stored,
    row_outcomes,
    since,
)
from nucleus_pandas.server.store import datasets, items, jobs, layers
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.wire.bulk import AppendRows, OnConflict
from nucleus_pandas.wire.decoding import convert, decode
from nucleus_pandas.wire.entities import Item
from nucleus_pandas.wire.requests import Append, DeleteAnnotations, FromUpload, UpdateMetadata
from nucleus_pandas.wire.responses import ItemAnswer

blueprint = Blueprint("items", __name__)

_ON_CONFLICT: Any = OnConflict  # a Literal is not a class, which `convert` declares to take


@blueprint.post("/dataset/<id:dataset_id>/append")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/append", endpoint="append_with_outcomes")
def append(dataset_id: str) -> Response:
    """``POST dataset/{id}/append``: store items from the body, from files, or from a signed upload."""
    parts: list[FileStorage] | None = None
    rows: Sequence[Item]
    if_exists: OnConflict | None = None
    if is_multipart():
        rows, if_exists, parts = _multipart_items()
        update = False
    elif names_upload():
        target = ItemsOf(dataset_id)
        job = start_upload_job(nucleus(), dataset_id, body(FromUpload), "uploadDatasetItems", target)
        return reply(job.entry())
    elif is_bulk():
        bulk = body(AppendRows)
        rows, if_exists, update = bulk.items, bulk.if_exists, bulk.update
    else:
        whole = body(Append)
        rows, update = whole.items, whole.update or whole.force
    if if_exists is not None:  # it wins over what the body and its items say
        update = if_exists == "update"
        for item in rows:
            item.update = None
    if parts is not None:
        with nucleus().database.read() as db:
            datasets.find(db, dataset_id)  # before files are written
    uploading = nullcontext() if parts is None else uploaded_files(nucleus(), "images", parts)
    with uploading as uploads, nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        files: Sequence[UploadedFile | None] | None = uploads
        if is_bulk() and parts is None:
            files = named_images(nucleus(), db, dataset, bulk.items, update=update)
        stored = store_items(db, dataset, rows, update=update, reject_existing=if_exists == "error", files=files)
        settle(db, "images", files)
        if is_async():
            return reply(_finished_job(db, dataset, stored).entry())
    nucleus().purge()  # of images that were replaced, and of pending ones that expired
    described = {"dataset_id": dataset_id, **item_counters(Counter(stored.outcomes))}
    if is_bulk():
        described |= row_outcomes(stored)
    elif stored.errors:
        errors = sorted(stored.errors.items())
        described["error_payload"] = [{**to_builtins(rows[row]), "error": text} for row, text in errors]
    return reply(described)


def _multipart_items() -> tuple[list[Item], OnConflict | None, list[FileStorage]]:
    """Read a multipart body of any client generation: files `image`, and `items` (many) or `item` (one)."""
    many, single = form_field("items"), form_field("item")
    if many is not None:
        rows = decode(many, list[Item], "The part `items`")
    elif single is not None:
        rows = [decode(single, Item, "The part `item`")]
    else:
        raise BadRequestError("A multipart append has a part `items` (a JSON array) or `item` (one object).")
    text = form_field("if_exists") if is_bulk() else None
    if_exists = None if text is None else convert(text.decode(errors="replace"), _ON_CONFLICT, "The part `if_exists`")
    parts = request.files.getlist("image")
    if len(parts) != len(rows):
        raise BadRequestError(f"There are {len(rows)} items and {len(parts)} files in parts named `image`.")
    return rows, if_exists, parts


def _finished_job(db: sqlite3.Connection, dataset: Dataset, stored: StoredRows) -> jobs.JobRow:
    """Record an append that was requested as a job, and is done."""
    errors = [stored.errors[row] for row in sorted(stored.errors)]
    counts: Counter[str] = Counter(stored.outcomes)
    message = item_counters(counts) | ({"final_error": errors[0]} if stored.broken else {})
    status = final_status(counts, malformed=bool(stored.broken))
    return jobs.record(db, "uploadDatasetItems", dataset.id, nucleus().owner, message, status=status, errors=errors)


@blueprint.post("/dataset/<id:dataset_id>/metadata")
def update_metadata(dataset_id: str) -> Response:
    """``POST dataset/{id}/metadata``: merge metadata into that of items; keys that are not named keep their values."""
    updates = body(UpdateMetadata)
    if updates.level == "scene":
        raise UnsupportedError("Scenes are not supported by this server; update the metadata of items.")
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        schema = dataset_rules.item_schema(db, dataset)
        numbers = look_up(db, dataset, (change.reference_id for change in updates.metadata))
        valid, unknown, invalid = [], [], []
        for change in updates.metadata:
            name, values = change.reference_id, dict(change.metadata)
            if change.camera_params is not None:
                values["camera_params"] = change.camera_params
            number = numbers[name]
            if isinstance(number, str):
                unknown.append(number)
            elif (reason := dataset_rules.broken_metadata(values, schema)) is not None:
                invalid.append(f"'{name}': {reason}.")
            else:
                valid.append((number, values))
        items.merge_metadata(db, dataset, valid)
        errors = [*invalid, *unknown]
        counts: dict[str, object] = {"updated_items": len(valid), "upload_errors": len(errors)}
        if is_async():
            status = final_status(Counter(updated=len(valid), error=len(errors)), malformed=bool(invalid))
            message = counts | ({"final_error": invalid[0]} if invalid else {})
            job = jobs.record(db, "metadataUpdate", dataset.id, nucleus().owner, message, status=status, errors=errors)
            return reply(job.entry())
    return reply({"dataset_id": dataset_id} | counts | ({"errors": errors} if errors else {}))


@blueprint.get("/dataset/<id:dataset_id>/<any(refloc, iloc, loc):by>/<rest:key>")
def view(dataset_id: str, by: str, key: str) -> Response:
    """``GET dataset/{id}/{refloc,iloc,loc}/{key}``: return an item with its annotations."""
    with nucleus().database.read() as db:
        layer, dataset = GroundTruthOf(dataset_id).check(db)
        item = find_item(db, dataset, by, key)
        annotations = [
            render.annotation(row, dataset.tag, item.reference_id, file_url)
            for row in layers.of_item(db, layer, item.id)
        ]
        groups = render.grouped(annotations, predictions=False)
        return reply(ItemAnswer(item=render.item(item, dataset.tag, file_url), annotations=groups))


@blueprint.delete("/dataset/<id:dataset_id>/refloc/<rest:key>", defaults={"by": "refloc"})
@blueprint.delete("/dataset/<id:dataset_id>/<item:key>", defaults={"by": "loc"})
def delete_item(dataset_id: str, by: str, key: str) -> Response:
    """``DELETE dataset/{id}/refloc/{reference id}``, in an older form ``dataset/{id}/{item id}``: delete an item."""
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        item = find_item(db, dataset, by, key)
        items.delete(db, dataset, item.id)
    nucleus().purge()
    return reply({"message": "Item deleted.", "dataset_id": dataset_id, "reference_id": item.reference_id})


# Ground truth


@blueprint.post("/dataset/<id:dataset_id>/annotate")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/annotate", endpoint="annotate_with_outcomes")
def annotate(dataset_id: str) -> Response:
    """``POST dataset/{id}/annotate``: store ground truth from the body, with mask files, or from a signed upload."""
    target = GroundTruthOf(dataset_id)
    if not is_multipart() and names_upload():
        job = start_upload_job(nucleus(), dataset_id, body(FromUpload), "uploadAnnotations", target)
        return reply(job.entry())
    stored = store_request(nucleus(), *annotation_request(), target, since=since())
    return reply_stored({"dataset_id": dataset_id}, "annotations", stored)


@blueprint.get("/dataset/<id:dataset_id>/groundTruth/loc/<rest:path>")
def ground_truth_loc(dataset_id: str, path: str) -> Response:
    """``GET dataset/{id}/groundTruth/loc/{reference id}/{annotation id}``: return one annotation."""
    with nucleus().database.read() as db:
        layer, dataset = GroundTruthOf(dataset_id).check(db)
        item, row = find_annotation(db, dataset, layer)
        return reply(render.annotation(row, dataset.tag, item.reference_id, file_url))


@blueprint.delete("/annotation/<id:dataset_id>")
def delete_annotations(dataset_id: str) -> Response:
    """``DELETE annotation/{dataset id}``: delete the ground truth of items in one transaction, recorded as a job."""
    reference_ids = dict.fromkeys(body(DeleteAnnotations).reference_ids)
    if not reference_ids:
        raise BadRequestError(
            "Name the items whose annotations are to be deleted; an empty list could mean none or all - at "
            "`$.reference_ids`."
        )
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        numbers = look_up(db, dataset, reference_ids).values()
        count = layers.delete_of_items(db, dataset.layer, [number for number in numbers if isinstance(number, int)])
        job = jobs.record(
            db,
            "annotationDeletion",
            dataset.id,
            nucleus().owner,
            {"annotations_deleted": count},
            errors=[reason for reason in numbers if isinstance(reason, str)],
        )
    nucleus().purge()
    return reply(job.entry())
