"""Routes of slices: items of a dataset under a name, in the order in which they were put there."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Sequence

import msgspec
from flask import Blueprint, Response, request

from nucleus_pandas.errors import BadRequestError, NotFoundError, UnsupportedError
from nucleus_pandas.server.read import exports
from nucleus_pandas.server.read.exports import Export, Paging
from nucleus_pandas.server.read.render import JsonObject
from nucleus_pandas.server.routes.exports import no_chips
from nucleus_pandas.server.routes.request import body, creation, file_url, nucleus, reply
from nucleus_pandas.server.store import datasets, items, jobs, models, slices, subsets
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import dataset_of, item_id
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

_KINDS = ("reference_ids", "dataset_item_ids", "scene_ids", "object_ids")
_TYPES = ("dataset_item", "object", "scene")


@blueprint.post("/dataset/<id:dataset_id>/create_slice")
def create(dataset_id: str) -> Response:
    """Create a slice of items that are named, or an empty one."""
    wanted = body(CreateSlice)
    given = [kind for kind in _KINDS if getattr(wanted, kind)]
    if len(given) > 1:
        raise BadRequestError(f"A slice is made of ids of one kind, not of {' and '.join(map('`{}`'.format, given))}.")
    if not given and not wanted.allow_empty:
        raise BadRequestError(
            "Name the items of the slice by `reference_ids` or `dataset_item_ids`; with `allow_empty` it may have none."
        )
    if given and given[0] in ("scene_ids", "object_ids"):
        raise UnsupportedError(
            f"This server makes slices of items only, not of {given[0].removesuffix('_ids')}s; name the items by "
            f"`reference_ids` or `dataset_item_ids` - at `$.{given[0]}`."
        )
    for kind in given:
        _check_count(getattr(wanted, kind), f"$.{kind}")

    def make(db: sqlite3.Connection) -> object:
        dataset = datasets.find(db, dataset_id)
        if wanted.dataset_item_ids:
            numbers = _by_item_id(db, dataset, wanted.dataset_item_ids)
        else:
            numbers = _by_reference_id(db, dataset, wanted.reference_ids or [])
        return SliceCreated(slice_id=slices.create(db, dataset, wanted.name, numbers).public_id)

    return creation(make)


def _check_count(ids: Sequence[str], place: str) -> None:
    if len(ids) > SLICE_IDS:
        raise BadRequestError(
            f"A request for a slice names at most {SLICE_IDS:,} ids, not {len(ids):,}; append the others to the slice "
            f"in further requests - at `{place}`."
        )


def _by_reference_id(db: sqlite3.Connection, dataset: Dataset, names: Sequence[str]) -> list[int]:
    known = items.ids_of(db, dataset, names)
    _check_known(dataset, [name for name in names if name not in known])
    return [known[name] for name in names]


def _by_item_id(db: sqlite3.Connection, dataset: Dataset, names: Sequence[str]) -> list[int]:
    known = items.existing(db, names)
    _check_known(dataset, [name for name in names if dataset_of(known.get(name, 0)) != dataset.id])
    return [known[name] for name in names]


def _check_known(dataset: Dataset, missing: Sequence[str]) -> None:
    if missing:
        shown = ", ".join(f"'{name[:60]}'" for name in missing[:5])
        raise NotFoundError(
            f"{len(missing)} items do not exist in the dataset '{dataset.public_id}', such as {shown}; nothing was put "
            "into the slice."
        )


@blueprint.post("/dataset/<id:dataset_id>/build_slice")
def build(dataset_id: str) -> Response:
    """Create a slice of a random sample, of a dataset or of another slice; the same name and seed give the same.

    It is there at once; some clients expect a job beside it.
    """
    wanted = body(BuildSlice)
    filters = wanted.filters
    if wanted.sample_method == "Uniqueness":
        raise UnsupportedError(
            "Sampling by uniqueness needs the embeddings of Scale's own service; use the method `Random` - at "
            "`$.sampleMethod`."
        )
    if filters is not None and filters.autotag is not None:
        raise UnsupportedError("Autotags exist in Scale's own service only; leave `autotag` out - at `$.filters`.")

    def make(db: sqlite3.Connection) -> object:
        dataset = datasets.find(db, dataset_id)
        source = None if filters is None or filters.slice_id is None else slices.find(db, filters.slice_id)
        if source is not None:
            source.check_of(dataset)
        length = dataset.length if source is None else source.length
        draw = random.Random(wanted.name if wanted.seed is None else wanted.seed)
        places = sorted(draw.sample(range(length), min(wanted.sample_size, length)))
        found = items.at_positions(db, dataset, places) if source is None else slices.at_positions(db, source, places)
        made = slices.create(db, dataset, wanted.name, (number for number in found if number is not None))
        job = jobs.create(db, "sliceQuery", dataset.id, nucleus().owner)
        jobs.finish(db, job.id, "Completed", {"slice_id": made.public_id, "items": made.length})
        entry: JsonObject = msgspec.to_builtins(jobs.find(db, job.public_id).entry())
        return {**entry, "sliceId": made.public_id}

    return creation(make)


@blueprint.get("/slice/")
def listing() -> Response:
    """List all slices, oldest first."""
    with nucleus().database.read() as db:
        return reply([one.entry() for one in slices.listing(db)])


@blueprint.get("/dataset/<id:dataset_id>/slices")
def of_dataset(dataset_id: str) -> Response:
    """List the slices of a dataset, oldest first; those of a name, those of a type."""
    kind = (request.args.get("type") or _TYPES[0]).removeprefix("SliceType.").lower()  # as some clients spell it
    if kind not in _TYPES:
        raise BadRequestError(f"`type` is one of {', '.join(_TYPES)}, not '{kind[:50]}'.")
    with nucleus().database.read() as db:
        found = slices.listing(db, datasets.find(db, dataset_id), request.args.get("name"))
    entries: list[SliceEntry] = [one.entry() for one in found]
    return reply([entry for entry in entries if entry.type == kind])


@blueprint.get("/slice/<id:slice_id>")
def whole(slice_id: str) -> Response:
    """Return a slice with its items; `idType` is an older client's choice of ids, of which both are given."""
    choice = request.args.get("idType", "dataset_item_id")
    if choice not in ("dataset_item_id", "reference_id"):
        raise BadRequestError(f"`idType` is `dataset_item_id` or `reference_id`, not '{choice[:50]}'.")
    with nucleus().database.read() as db:
        subset = subsets.of_slice(db, slice_id)
        ids = subset.page(db, None, -1, "id, reference_id")
        found = Export(db, subset, file_url).every_item()
        described: JsonObject = msgspec.to_builtins(slices.find(db, slice_id).info())
    described["dataset_item_ids"] = [item_id(subset.dataset.tag, number) for _, number, _ in ids]
    described["reference_ids"] = [name for _, _, name in ids]
    return reply({**described, "items": found})


@blueprint.get("/slice/<id:slice_id>/info")
def info(slice_id: str) -> Response:
    """Describe a slice."""
    with nucleus().database.read() as db:
        return reply(slices.find(db, slice_id).info())


@blueprint.post("/slice/<id:slice_id>/itemsPage")
def items_page(slice_id: str) -> Response:
    """Return a page of the items."""
    wanted = body(Paging)
    limit = wanted.limit(exports.ITEMS)
    with nucleus().database.read() as db:
        subset = subsets.of_slice(db, slice_id)
        found, following = Export(db, subset, file_url).items(wanted.after(subset), limit)
    return reply({"items": found, "nextPageToken": following})


@blueprint.post("/slice/<id:slice_id>/append")
def append(slice_id: str) -> Response:
    """Put items at the end of a slice; those that are in it stay where they are."""
    wanted = body(AppendToSlice)
    _check_count(wanted.reference_ids, "$.reference_ids")
    with nucleus().database.write() as db:
        one = slices.find(db, slice_id)
        dataset = datasets.by_number(db, one.dataset)
        if wanted.dataset_id not in (None, dataset.public_id):
            raise BadRequestError(
                f"The slice '{slice_id}' is one of the dataset '{dataset.public_id}', not of '{wanted.dataset_id}' - "
                "at `$.dataset_id`."
            )
        new = slices.add(db, one, _by_reference_id(db, dataset, wanted.reference_ids))
    return reply({"slice_id": slice_id, "new_items": [item_id(dataset.tag, number) for number in new]})


@blueprint.route("/slice/<id:slice_id>/tag", methods=["POST", "DELETE"])
def tag(slice_id: str) -> Response:
    """Add tags, or remove those that are there."""
    wanted = body(SliceTags).slice_tags
    with nucleus().database.write() as db:
        one = slices.find(db, slice_id)
        if request.method == "POST":
            tags = list(dict.fromkeys([*one.tags, *wanted]))
        else:
            tags = [name for name in one.tags if name not in wanted]
        slices.set_tags(db, one, tags)
    return reply({"slice_id": slice_id, "tags": tags})


@blueprint.delete("/slice/<id:slice_id>")
def delete(slice_id: str) -> Response:
    """Delete a slice; its items stay."""
    with nucleus().database.write() as db:
        slices.delete(db, slices.find(db, slice_id))
    nucleus().purge()
    return reply({"message": "Slice deleted; its items are still there.", "slice_id": slice_id})


def _export(db: sqlite3.Connection, slice_id: str, model_id: str | None = None) -> Export:
    """Find a slice, and the newest run of a model on its dataset where a model is named."""
    subset = subsets.of_slice(db, slice_id)
    run = None if model_id is None else models.newest_run(db, models.find(db, model_id), subset.dataset)
    return Export(db, subset, file_url, run)


@blueprint.get("/slice/<id:slice_id>/exportForTraining")
@blueprint.get("/slice/<id:slice_id>/<id:model_id>/exportForTraining")
def whole_export(slice_id: str, model_id: str | None = None) -> Response:
    """Return all items with their ground truth, or with the newest predictions of a model."""
    with nucleus().database.read() as db:
        return reply({"exportedRows": _export(db, slice_id, model_id).every()})


@blueprint.post("/slice/<id:slice_id>/exportForTrainingPage")
@blueprint.post("/slice/<id:slice_id>/<id:model_id>/exportForTrainingPage")
def export_page(slice_id: str, model_id: str | None = None) -> Response:
    """Return a page of items with their ground truth, or with the newest predictions of a model."""
    wanted = body(Paging)
    no_chips(wanted)
    limit = wanted.limit(exports.ROWS)
    with nucleus().database.read() as db:
        export = _export(db, slice_id, model_id)
        rows, following = export.rows(wanted.after(export.subset), limit)
    return reply({"data": rows, "nextPageToken": following})


@blueprint.get("/slice/<id:slice_id>/export_raw_json")
def export_raw_json(slice_id: str) -> Response:
    """Return the items as they are, each under ``item``; slices of objects, which hold more, are not made here."""
    with nucleus().database.read() as db:
        return reply(_export(db, slice_id).every_item(_as_item))


def _as_item(described: Iterable[JsonObject]) -> list[JsonObject]:
    return [{"item": one} for one in described]


@blueprint.get("/slice/<id:slice_id>/exportRawItems")
def export_raw_items(slice_id: str) -> Response:
    """Return the addresses of the images; `scale_url` is where this server has them from."""
    with nucleus().database.read() as db:
        return reply(_export(db, slice_id).every_item(_as_raw_item))


def _as_raw_item(described: Iterable[JsonObject]) -> list[JsonObject]:
    return [
        {
            "id": one["id"],
            "ref_id": one["ref_id"],
            "metadata": one["metadata"],
            "original_url": one.get("original_image_url") or one.get("pointcloud_url"),
            "scale_url": one.get("image_url") or one.get("pointcloud_url"),
        }
        for one in described
    ]


@blueprint.get("/slice/<id:slice_id>/class_labels")
def class_labels(slice_id: str) -> Response:
    """List the labels of the ground truth of the items."""
    with nucleus().database.read() as db:
        return reply({"data": slices.labels(db, slices.find(db, slice_id))})


@blueprint.post("/slice/<id:slice_id>/<id:project_id>/send_to_labeling")
@blueprint.get("/slice/<id:slice_id>/exportScaleTaskInfo")
@blueprint.get("/dataset/<id:dataset_id>/exportScaleTaskInfo")
def labeling(**_: str) -> Response:
    """Refuse what needs Scale's labeling projects."""
    raise UnsupportedError(
        "Labeling projects and tasks exist in Scale's own service only; nothing was sent. Annotate the items instead."
    )


@blueprint.get("/slice/<id:slice_id>/embeddings")
@blueprint.get("/dataset/<id:dataset_id>/embeddings")
@blueprint.post("/dataset/<id:dataset_id>/async_export_embeddings")
def embeddings(**_: str) -> Response:
    """Refuse what needs embeddings."""
    raise UnsupportedError("Embeddings are computed by Scale's own service only; this server has none to export.")
