"""An embedded Nucleus that looks like a server which knows only the contract, and the count of what is asked."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

import nucleus_pandas as npd
from tests.support.private import transport_of


def count_requests(client: npd.NucleusClient) -> Counter[str]:
    """Count a client's requests from now on, by what they ask for, but for those of a journal."""
    counted: Counter[str] = Counter()
    transport = transport_of(client)
    request = transport.request

    def counting(method: str, *segments: str, **options: Any) -> Any:
        below = segments[1:] if segments[0] == "_nucleus_pandas" else segments
        if segments[-1] not in ("generation", "marks"):
            counted[below[2] if len(below) > 2 else "/".join(below)] += 1
        return request(method, *segments, **options)

    transport.request = counting  # type: ignore[method-assign]
    return counted


def contract_only(client: npd.NucleusClient, page: int | None = None, max_concurrency: int = 1) -> npd.NucleusClient:
    """Take the extensions from a client; let pages hold so many rows at most."""
    transport = transport_of(client)
    transport._extensions = frozenset()
    transport.max_concurrency = max_concurrency
    request = transport.request

    def asked(method: str, *segments: str, body: Any = None, **options: Any) -> Any:
        assert segments[0] != "_nucleus_pandas"
        if page is not None and segments[-1].endswith("Page"):
            body = msgspec.json.decode(msgspec.json.encode(body))
            body["pageSize"] = min(page, body["pageSize"])
        return request(method, *segments, body=body, **options)

    transport.request = asked  # type: ignore[method-assign]
    return client
