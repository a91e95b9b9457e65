"""Fixtures of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.server.routes.extensions.extension_http import ExtensionHttp


@pytest.fixture
def nucleus(store: Path) -> Iterator[EmbeddedNucleus]:
    made = EmbeddedNucleus(store)
    yield made
    made.close()


@pytest.fixture
def http(nucleus: EmbeddedNucleus) -> ExtensionHttp:
    return ExtensionHttp(nucleus)


@pytest.fixture
def abc(http: ExtensionHttp) -> str:
    return http.new_dataset("a", "b", "c")
