"""The route that merges metadata into that of items."""

from __future__ import annotations

from collections import Counter

from flask import Blueprint, Response

from nucleus_pandas.errors import UnsupportedError
from nucleus_pandas.server.ingest import dataset_rules
from nucleus_pandas.server.ingest.rows import UNKNOWN
from nucleus_pandas.server.ingest.upload_jobs import final_status
from nucleus_pandas.server.routes.request import body, is_async, nucleus, reply
from nucleus_pandas.server.routes.unsupported import SCENES
from nucleus_pandas.server.store import datasets, items, jobs
from nucleus_pandas.wire.requests import UpdateMetadata

blueprint = Blueprint("metadata", __name__)


@blueprint.post("/dataset/<id:dataset_id>/metadata")
def update(dataset_id: str) -> Response:
    """Merge metadata into that of items: keys that are not named keep their values."""
    wanted = body(UpdateMetadata)
    if wanted.level == "scene":
        raise UnsupportedError(SCENES)
    with nucleus().database.write() as db:
        dataset = datasets.find(db, dataset_id)
        schema = dataset_rules.item_schema(db, dataset)
        known = items.ids_of(db, dataset, (change.reference_id for change in wanted.metadata))
        good, unknown, broken = [], [], []
        for change in wanted.metadata:
            name, given = change.reference_id, dict(change.metadata)
            if change.camera_params is not None:
                given["camera_params"] = change.camera_params
            if name not in known:
                unknown.append(UNKNOWN.format(name))
            elif (reason := dataset_rules.broken_metadata(given, schema)) is not None:
                broken.append(f"'{name}': {reason}.")
            else:
                good.append((known[name], given))
        items.merge_metadata(db, dataset, good)
        errors = [*broken, *unknown]
        if is_async():
            message = {"updated_items": len(good), "upload_errors": len(errors)}
            status = final_status(Counter(updated=len(good), error=len(errors)), malformed=bool(broken))
            job = jobs.create(db, "metadataUpdate", dataset.id, nucleus().owner)
            jobs.add_errors(db, job.id, errors)
            jobs.finish(db, job.id, status, message | ({"final_error": broken[0]} if broken else {}))
            return reply(jobs.find(db, job.public_id).entry())
    described: dict[str, object] = {"dataset_id": dataset_id, "updated_items": len(good), "upload_errors": len(errors)}
    return reply(described | ({"errors": errors} if errors else {}))
