"""Routes of slices: named, ordered selections of the items of a dataset."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from flask import Blueprint, Response, request

from nucleus_pandas.errors import BadRequestError, NotFoundError, UnsupportedError
from nucleus_pandas.server.read.exports import Export, Paging
from nucleus_pandas.server.routes.request import body, create_once, file_url, is_bulk, nucleus, reply, reply_from
from nucleus_pandas.server.store import datasets, items, jobs, models, slices, subsets
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import dataset_of, item_id
from nucleus_pandas.wire.bulk import BuildSliceOnce, CreateSliceOnce
from nucleus_pandas.wire.entities import JsonObject
from nucleus_pandas.wire.slices import (
    SLICE_IDS,
    AppendToSlice,
    BuildSlice,
    CreateSlice,
    SliceCreated,
    SliceEntry,
    SliceTags,
)

blueprint = Blueprint("slices", __name__)

_ID_FIELDS = ("reference_ids", "dataset_item_ids", "scene_ids", "object_ids")
_TYPES = ("dataset_item", "object", "scene")


@blueprint.post("/dataset/<id:dataset_id>/create_slice")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/create_slice", endpoint="create_once")
def create(dataset_id: str) -> Response:
    """``POST dataset/{id}/create_slice``: create a slice of the named items, or an empty one."""
    payload = body(CreateSliceOnce if is_bulk() else CreateSlice)
    fields = [name for name in _ID_FIELDS if getattr(payload, name)]
    if len(fields) > 1:
        raise BadRequestError(f"A slice takes ids of one kind, not of {' and '.join(map('`{}`'.format, fields))}.")
    if not fields and not payload.allow_empty:
        raise BadRequestError(
            "Name the items of the slice by `reference_ids` or `dataset_item_ids`; with `allow_empty` it may have none."
        )
    for name in fields:
        if name in ("scene_ids", "object_ids"):
            raise UnsupportedError(
                f"This server supports slices of items only, not of {name.removesuffix('_ids')}s; name the items by "
                f"`reference_ids` or `dataset_item_ids` - at `$.{name}`."
            )
        _check_count(getattr(payload, name), f"$.{name}")

    def insert(db: sqlite3.Connection) -> object:
        dataset = datasets.find(db, dataset_id)
        if payload.dataset_item_ids:
            numbers = _numbers(db, dataset, payload.dataset_item_ids, items.existing(db, payload.dataset_item_ids))
        else:
            names = payload.reference_ids or []
            numbers = _numbers(db, dataset, names, items.ids_of(db, dataset, names))
        existing = _existing(db, dataset, payload)
        if existing is not None:
            slices.add(db, existing, numbers)
        else:
            existing = slices.create(db, dataset, payload.name, numbers)
        return SliceCreated(slice_id=existing.public_id)

    return create_once(insert)


def _existing(db: sqlite3.Connection, dataset: Dataset, payload: CreateSlice | BuildSlice) -> slices.Slice | None:
    """Return the slice that the request creates, if it exists and the request says that it may."""
    if not (isinstance(payload, (CreateSliceOnce, BuildSliceOnce)) and payload.exist_ok):
        return None
    return next(iter(slices.listing(db, dataset, payload.name)), None)


def _check_count(ids: Sequence[str], path: str) -> None:
    if len(ids) > SLICE_IDS:
        raise BadRequestError(
            f"A request for a slice names at most {SLICE_IDS:,} ids, not {len(ids):,}; append the others to the slice "
            f"in further requests - at `{path}`."
        )


def _numbers(db: sqlite3.Connection, dataset: Dataset, ids: Sequence[str], numbers: Mapping[str, int]) -> list[int]:
    """Return the item number of each id, or raise NotFoundError if an item is not in the dataset."""
    missing = [name for name in ids if dataset_of(numbers.get(name, 0)) != dataset.id]
    if missing:
        shown = ", ".join(f"'{name[:60]}'" for name in missing[:5])
        hint = next(iter(items.hints_of_ids(db, dataset, missing).values()), "")
        raise NotFoundError(
            f"{len(missing)} items do not exist in the dataset '{dataset.public_id}', such as {shown}; nothing was "
            f"added to the slice. {hint}".rstrip()
        )
    return [numbers[name] for name in ids]


@blueprint.post("/dataset/<id:dataset_id>/build_slice")
@blueprint.post("/_nucleus_pandas/dataset/<id:dataset_id>/build_slice", endpoint="build_once")
def build(dataset_id: str) -> Response:
    """``POST dataset/{id}/build_slice``: create a slice from a random sample of a dataset or of another slice.

    The same name and seed draw the same sample. The slice is ready at once; the job is for clients that expect one.
    """
    payload = body(BuildSliceOnce if is_bulk() else BuildSlice)
    filters = payload.filters
    if payload.sample_method == "Uniqueness":
        raise UnsupportedError(
            "Sampling by uniqueness needs the embeddings of Scale's hosted service; use the method `Random` - at "
            "`$.sampleMethod`."
        )
    if filters is not None and filters.autotag is not None:
        raise UnsupportedError("Autotags exist only in Scale's hosted service; leave `autotag` out - at `$.filters`.")

    def insert(db: sqlite3.Connection) -> object:
        dataset = datasets.find(db, dataset_id)
        if (existing := _existing(db, dataset, payload)) is not None:
            return {"sliceId": existing.public_id}
        source = None if filters is None or filters.slice_id is None else slices.find(db, filters.slice_id)
        if source is not None:
            source.check_of(dataset)
        length = dataset.length if source is None else source.length
        generator = random.Random(payload.name if payload.seed is None else payload.seed)
        positions = sorted(generator.sample(range(length), min(payload.sample_size, length)))
        if source is None:
            numbers = items.at_positions(db, dataset, positions)
        else:
            numbers = slices.at_positions(db, source, positions)
        built = slices.create(db, dataset, payload.name, (number for number in numbers if number is not None))
        message = {"slice_id": built.public_id, "items": built.length}
        job = jobs.record(db, "sliceQuery", dataset.id, nucleus().owner, message)
        return {**msgspec.to_builtins(job.entry()), "sliceId": built.public_id}

    return create_once(insert)


@blueprint.get("/slice/")
def listing() -> Response:
    """``GET slice/``: list all slices, oldest first."""
    return reply_from(lambda db: [row.entry() for row in slices.listing(db)])


@blueprint.get("/dataset/<id:dataset_id>/slices")
def of_dataset(dataset_id: str) -> Response:
    """``GET dataset/{id}/slices``: list the slices of a dataset, oldest first; `name` and `type` filter them."""
    kind = (request.args.get("type") or _TYPES[0]).removeprefix("SliceType.").lower()  # as some clients spell it
    if kind not in _TYPES:
        raise BadRequestError(f"`type` is one of {', '.join(_TYPES)}, not '{kind[:50]}'.")
    with nucleus().database.read() as db:
        rows = slices.listing(db, datasets.find(db, dataset_id), request.args.get("name"))
    entries: list[SliceEntry] = [row.entry() for row in rows]
    return reply([entry for entry in entries if entry.type == kind])


@blueprint.get("/slice/<id:slice_id>")
def whole(slice_id: str) -> Response:
    """``GET slice/{id}``: return a slice with its items; `idType`, of older clients, changes nothing."""
    choice = request.args.get("idType", "dataset_item_id")
    if choice not in ("dataset_item_id", "reference_id"):
        raise BadRequestError(f"`idType` is `dataset_item_id` or `reference_id`, not '{choice[:50]}'.")
    with nucleus().database.read() as db:
        subset = subsets.of_slice(db, slice_id)
        ids = subset.page(db, None, -1, "id, reference_id")
        described_items = Export(db, subset, file_url).every_item()
        described: JsonObject = msgspec.to_builtins(slices.find(db, slice_id).info())
    described["dataset_item_ids"] = [item_id(subset.dataset.tag, number) for _, number, _ in ids]
    described["reference_ids"] = [name for _, _, name in ids]
    return reply({**described, "items": described_items})


@blueprint.get("/slice/<id:slice_id>/info")
def info(slice_id: str) -> Response:
    """``GET slice/{id}/info``: describe a slice."""
    return reply_from(lambda db: slices.find(db, slice_id).info())


@blueprint.post("/slice/<id:slice_id>/itemsPage")
def items_page(slice_id: str) -> Response:
    """``POST slice/{id}/itemsPage``: return a page of the items."""
    paging = body(Paging)
    return reply_from(lambda db: _export(db, slice_id).items_page(paging))


@blueprint.post("/slice/<id:slice_id>/append")
def append(slice_id: str) -> Response:
    """``POST slice/{id}/append``: append items to a slice; those already in it keep their place."""
    payload = body(AppendToSlice)
    _check_count(payload.reference_ids, "$.reference_ids")
    with nucleus().database.write() as db:
        stored_slice = slices.find(db, slice_id)
        dataset = datasets.by_number(db, stored_slice.dataset)
        if payload.dataset_id not in (None, dataset.public_id):
            raise BadRequestError(
                f"The slice '{slice_id}' belongs to the dataset '{dataset.public_id}', not to '{payload.dataset_id}' - "
                "at `$.dataset_id`."
            )
        names = payload.reference_ids
        new = slices.add(db, stored_slice, _numbers(db, dataset, names, items.ids_of(db, dataset, names)))
    return reply({"slice_id": slice_id, "new_items": [item_id(dataset.tag, number) for number in new]})


@blueprint.route("/slice/<id:slice_id>/tag", methods=["POST", "DELETE"])
def tag(slice_id: str) -> Response:
    """``POST`` and ``DELETE slice/{id}/tag``: add or remove tags."""
    names = body(SliceTags).slice_tags
    with nucleus().database.write() as db:
        stored_slice = slices.find(db, slice_id)
        if request.method == "POST":
            tags = list(dict.fromkeys([*stored_slice.tags, *names]))
        else:
            tags = [name for name in stored_slice.tags if name not in names]
        slices.set_tags(db, stored_slice, tags)
    return reply({"slice_id": slice_id, "tags": tags})


@blueprint.delete("/slice/<id:slice_id>")
def delete(slice_id: str) -> Response:
    """``DELETE slice/{id}``: delete a slice; its items stay."""
    with nucleus().database.write() as db:
        slices.delete(db, slices.find(db, slice_id))
    nucleus().purge()
    return reply({"message": "Slice deleted; its items are still there.", "slice_id": slice_id})


def _export(db: sqlite3.Connection, slice_id: str, model_id: str | None = None) -> Export:
    """Return the export of a slice, with the newest predictions of a model if one is named."""
    subset = subsets.of_slice(db, slice_id)
    run = None if model_id is None else models.newest_run(db, models.find(db, model_id), subset.dataset)
    return Export(db, subset, file_url, run)


@blueprint.get("/slice/<id:slice_id>/exportForTraining")
@blueprint.get("/slice/<id:slice_id>/<id:model_id>/exportForTraining")
def whole_export(slice_id: str, model_id: str | None = None) -> Response:
    """``GET slice/{id}/exportForTraining``: return all items with their ground truth.

    ``GET slice/{id}/{model id}/exportForTraining`` returns them with the newest predictions of the model.
    """
    return reply_from(lambda db: {"exportedRows": _export(db, slice_id, model_id).every()})


@blueprint.post("/slice/<id:slice_id>/exportForTrainingPage")
@blueprint.post("/slice/<id:slice_id>/<id:model_id>/exportForTrainingPage")
def export_page(slice_id: str, model_id: str | None = None) -> Response:
    """``POST slice/{id}/exportForTrainingPage``: return a page of items, as `whole_export` does all."""
    paging = body(Paging)
    return reply_from(lambda db: _export(db, slice_id, model_id).rows_page(paging))


@blueprint.get("/slice/<id:slice_id>/export_raw_json")
def export_raw_json(slice_id: str) -> Response:
    """``GET slice/{id}/export_raw_json``: return the items, each under ``item``."""
    return reply_from(lambda db: _export(db, slice_id).every_item(lambda rows: [{"item": row} for row in rows]))


@blueprint.get("/slice/<id:slice_id>/exportRawItems")
def export_raw_items(slice_id: str) -> Response:
    """``GET slice/{id}/exportRawItems``: return the URLs of the images, `scale_url` as this server uses it."""
    return reply_from(lambda db: {"raw_dataset_items": _export(db, slice_id).every_item(_as_raw_items)})


def _as_raw_items(rows: Iterable[JsonObject]) -> list[JsonObject]:
    return [
        {
            "id": row["id"],
            "ref_id": row["ref_id"],
            "metadata": row["metadata"],
            "original_url": row.get("original_image_url") or row.get("pointcloud_url"),
            "scale_url": row.get("image_url") or row.get("pointcloud_url"),
        }
        for row in rows
    ]


@blueprint.get("/slice/<id:slice_id>/class_labels")
def class_labels(slice_id: str) -> Response:
    """``GET slice/{id}/class_labels``: list the labels of the ground truth of the items."""
    return reply_from(lambda db: {"data": slices.labels(db, slices.find(db, slice_id))})
