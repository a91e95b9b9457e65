"""An embedded Nucleus that looks like a server which knows only the contract, and counts what it is asked."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

import nucleus_pandas as npd
from nucleus_pandas.transport import Transport

PAGED = ("itemsPage", "exportForTrainingPage")


def count_requests(client: npd.NucleusClient) -> Counter[str]:
    """Count a client's requests from now on, by what they ask for."""
    counted: Counter[str] = Counter()
    transport = client._transport
    request = transport.request

    def counting(method: str, *segments: str, **options: Any) -> Any:
        counted[segments[3] if segments[0] == "_nucleus_pandas" else segments[2] if len(segments) > 2 else "/"] += 1
        return request(method, *segments, **options)

    transport.request = counting  # type: ignore[method-assign]
    return counted


def contract_only(client: npd.NucleusClient, page: int = 10_000) -> npd.NucleusClient:
    """Take the extensions from a client, and give it the pages of the contract, of so many rows at most."""
    transport = client._transport
    transport.extensions = frozenset()
    request = transport.request

    def answer(method: str, *segments: str, shape: Any = Any, body: Any = None, **options: Any) -> Any:
        if segments[0] == "_nucleus_pandas":
            raise npd.NotFoundError("There is no such route.")
        if segments[-1] not in PAGED:
            return request(method, *segments, shape=shape, body=body, **options)
        asked = msgspec.json.decode(body if isinstance(body, bytes) else msgspec.json.encode(body))
        start = int(asked["pageToken"] or 0)
        end = start + min(page, asked["pageSize"])
        rows = request("GET", segments[0], segments[1], "datasetItems")["dataset_items"]
        found: Any = rows[start:end]
        if segments[-1] == "exportForTrainingPage":
            found = [export_row(request("GET", *segments[:2], "loc", row["dataset_item_id"])) for row in found]
        name = "items" if segments[-1] == "itemsPage" else "data"
        answered = {name: found, "nextPageToken": str(end) if end < len(rows) else None}
        return msgspec.json.decode(msgspec.json.encode(answered), type=shape)

    transport.request = answer  # type: ignore[method-assign]
    return client


def export_row(view: dict[str, Any]) -> dict[str, Any]:
    """Set an item and its annotations as the export does: objects need not repeat their item, a mask stands alone."""
    groups = {
        key: [{k: v for k, v in row.items() if k not in ("reference_id", "dataset_item_id")} for row in rows]
        for key, rows in view["annotations"].items()
    }
    masks = groups.pop("segmentation")
    return {"item": view["item"], **groups, "segmentation": masks[0] if masks else None}


__all__ = ["Transport", "contract_only", "count_requests"]
