"""Fixtures of these tests."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.support.contract_requests import (
    EVALUATED,
    Answer,
    Api,
    Ask,
    InProcess,
    OverSocket,
    evaluated,
    fill,
    one_of_everything,
)


@pytest.fixture
def nucleus(store: Path) -> Iterator[EmbeddedNucleus]:
    made = EmbeddedNucleus(store)
    yield made
    made.close()


@pytest.fixture
def empty(nucleus: EmbeddedNucleus) -> Api:
    """A store in which nothing is."""
    return InProcess(nucleus)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A store that holds what other tests left in it."""
    made = EmbeddedNucleus(tmp_path_factory.mktemp("shared"))
    yield InProcess(made)
    made.close()


@pytest.fixture(scope="session")
def over_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverSocket]:
    """One server process for all tests that need a socket."""
    folder = tmp_path_factory.mktemp("served")
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "nucleus_pandas.cli", "serve", str(folder), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield OverSocket(process.stdout.readline().split()[-1])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


@pytest.fixture(params=["in process", "socket"])
def anywhere(request: pytest.FixtureRequest) -> Api:
    found: Api = request.getfixturevalue("api" if request.param == "in process" else "over_socket")
    return found


@pytest.fixture(scope="module")
def ask(api: Api) -> Ask:
    """Send a request in a world of its own; sent again, the answer is remembered."""
    answers: dict[str, Answer] = {}

    def asked(method: str, route: str, body: Any) -> Answer:
        key = f"{method} {route} {body!r}"
        if key not in answers:
            names = one_of_everything(api)
            if any(f"{{{name}}}" in key for name in EVALUATED):
                names |= evaluated(api, names["ds"], names["run"])
            answers[key] = api.call(method, fill(route, names), fill(body, names))
        return answers[key]

    return asked
