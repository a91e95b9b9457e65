"""Batches: objects that know their body, their request and their parts."""

from __future__ import annotations

import weakref
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.uploads.batches import Batch


@pytest.mark.parametrize("over_a_socket", [False, True])
def test_few_bodies_are_in_memory_at_once(
    local: npd.NucleusClient, served: str, monkeypatch: pytest.MonkeyPatch, over_a_socket: bool
) -> None:
    client = npd.NucleusClient(endpoint=served) if over_a_socket else local
    dataset = client.create_dataset("Streets")
    batches: list[weakref.ref[Any]] = []
    most = 0
    send = Batch.send

    def watched(batch: Any) -> None:
        nonlocal most
        batches.append(weakref.ref(batch))
        most = max(most, sum(reference() is not None for reference in batches))
        send(batch)

    monkeypatch.setattr(Batch, "send", watched)
    names = [f"{number}.jpg" for number in range(60)]
    frame = pd.DataFrame({"reference_id": names, "image_url": [f"https://example.org/{name}" for name in names]})
    assert frame.nucleus.append(dataset, batch_size=2).new_items == 60
    assert len(batches) == 30
    assert most <= 4
    client.close()
