"""Fixtures of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import nucleus_pandas as npd
from tests.api.every_server.servers import Stated, T
from tests.support.hosted_stand_in import KEY, HostedStandIn


@pytest.fixture(params=["in process", "socket", "hosted"])
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def stated(server: str) -> Stated:
    """What a case states for this server, where servers differ on purpose."""

    def one_of(*, embedded: T, hosted: T) -> T:
        return hosted if server == "hosted" else embedded

    return one_of


@pytest.fixture
def client(server: str, request: pytest.FixtureRequest, store: Path) -> Iterator[npd.NucleusClient]:
    """A client of each server in turn."""
    if server == "hosted":
        with HostedStandIn().answering(), closing(npd.NucleusClient(KEY, max_retries=0)) as made:
            yield made
    elif server == "socket":
        with npd.NucleusClient(endpoint=request.getfixturevalue("served"), max_retries=0) as made:
            yield made
    else:
        with npd.NucleusClient.local(store) as made:
            yield made


@pytest.fixture
def run(client: npd.NucleusClient, dataset: npd.Dataset) -> npd.ModelRun:
    """A run on the dataset of three images."""
    return dataset.create_model_run(client.add_model("Detector", reference_id="det-0.5"))
