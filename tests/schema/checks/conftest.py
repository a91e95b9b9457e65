"""Fixtures of these tests."""

from __future__ import annotations

from typing import Any

import pytest

import nucleus_pandas as npd
from nucleus_pandas.transport import session


@pytest.fixture
def dataset(three_images: npd.Dataset) -> npd.Dataset:
    return three_images


@pytest.fixture
def run(local: npd.NucleusClient, dataset: npd.Dataset) -> npd.ModelRun:
    """A run without predictions."""
    return dataset.create_model_run(local.add_model("Detector", reference_id="det"))


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, run: npd.ModelRun) -> list[tuple[str, ...]]:
    """Every request since the dataset and the run were made."""
    made: list[tuple[str, ...]] = []
    send = session.Transport.request

    def count(self: session.Transport, method: str, *segments: str, **rest: Any) -> Any:
        made.append((method, *segments))
        return send(self, method, *segments, **rest)

    monkeypatch.setattr(session.Transport, "request", count)
    return made
