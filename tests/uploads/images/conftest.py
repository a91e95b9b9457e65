"""Fixtures of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import nucleus_pandas as npd
from tests.support.faulty_proxy import FaultyProxy
from tests.support.waiting import join_workers


@pytest.fixture
def proxy(served: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(served) as made:
        yield made
    join_workers()


@pytest.fixture
def distant(proxy: FaultyProxy) -> Iterator[npd.NucleusClient]:
    """A client behind the proxy."""
    with npd.NucleusClient(endpoint=proxy.endpoint, max_concurrency=4, max_retries=0) as made:
        yield made


@pytest.fixture
def dataset_id(http: Any) -> str:
    made: str = http("POST", "dataset/create", {"name": "Photos"})["dataset_id"]
    return made
