"""Fixtures of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nucleus_pandas.server.media.files import FileStore
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.server.store.store_http import StoreHttp


@pytest.fixture
def nucleus(store: Path) -> Iterator[EmbeddedNucleus]:
    made = EmbeddedNucleus(store)
    yield made
    made.close()


@pytest.fixture
def http(nucleus: EmbeddedNucleus) -> StoreHttp:
    return StoreHttp(nucleus)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNucleus]:
    """A store that many examples use, each with a dataset of its own."""
    made = EmbeddedNucleus(tmp_path_factory.mktemp("shared"))
    yield made
    made.close()


@pytest.fixture
def images(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "images")
