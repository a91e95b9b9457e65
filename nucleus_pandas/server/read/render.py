"""Renders stored rows as the JSON objects of the REST API."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from nucleus_pandas.server.store.ids import annotation_id, item_id, prediction_id
from nucleus_pandas.server.store.items import ItemRow
from nucleus_pandas.server.store.layers import AnnotationRow
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.wire.entities import GROUND_TRUTH_KEYS, PREDICTION_KEYS, JsonObject

FileUrl: TypeAlias = Callable[[str, str], str]  # ("images" or "masks", name) -> URL

EMPTY = msgspec.Raw(b"{}")


def raw_metadata(text: str | None) -> msgspec.Raw:
    """Return stored metadata as it is written into an answer; an empty object without any."""
    return EMPTY if text is None else msgspec.Raw(text.encode())


def item(row: ItemRow, dataset_tag: str, file_url: FileUrl) -> JsonObject:
    """Render an item."""
    public_id = item_id(dataset_tag, row.id)
    extra = msgspec.json.decode(row.extra) if row.extra else {}
    described: JsonObject = {
        "id": public_id,
        "dataset_item_id": public_id,
        "ref_id": row.reference_id,
        "reference_id": row.reference_id,
        "metadata": raw_metadata(row.metadata),
        "width": row.width,
        "height": row.height,
        **extra,
    }
    url = row.url if row.file is None else file_url("images", row.file)
    if url is not None:
        described["image_url"] = described["original_image_url"] = url
    return described


def annotation(
    row: AnnotationRow, dataset_tag: str, reference_id: str, file_url: FileUrl, run: Run | None = None
) -> JsonObject:
    """Render an annotation, or a prediction of a run."""
    described: JsonObject = {
        "id": annotation_id(dataset_tag, row.item, row.arrival)
        if run is None
        else prediction_id(run.tag, row.item, row.arrival),
        "type": row.type,
        "reference_id": reference_id,
        "dataset_item_id": item_id(dataset_tag, row.item),
        "annotation_id": row.key,
        "metadata": raw_metadata(row.metadata),
    }
    if row.label is not None:
        described["label"] = row.label
    if row.type == "box":
        described["geometry"] = {"x": row.x, "y": row.y, "width": row.width, "height": row.height}
    elif row.geometry is not None:
        described["geometry"] = msgspec.Raw(row.geometry.encode())
    elif row.type != "mask":
        described["geometry"] = EMPTY
    if row.confidence is not None:
        described["confidence"] = row.confidence
    if row.extra is not None:
        described.update(msgspec.json.decode(row.extra))
        if (file := described.pop("mask_file", None)) is not None:
            described["mask_url"] = file_url("masks", file)
    return described


def grouped(annotations: Iterable[JsonObject], *, predictions: bool) -> dict[str, list[JsonObject]]:
    """Group annotations by type, with all keys; the key of masks is ``segmentation``."""
    groups: dict[str, list[JsonObject]] = {key: [] for key in (PREDICTION_KEYS if predictions else GROUND_TRUTH_KEYS)}
    for described in annotations:
        key = "segmentation" if described["type"] == "mask" else described["type"]
        if key in groups:
            groups[key].append(described)
    return groups
