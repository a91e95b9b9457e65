"""Fixtures: nouns that clean up after themselves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.serving import Server
from tests import factories
from tests.support.draws import draws

# A shell that runs the tests in the background has them ignore Ctrl+C, and servers that they start would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine, or examples that are seldom valid, are no reason to fail. The environment of the older official client
# has no Hypothesis.
with suppress(ImportError):
    from hypothesis import HealthCheck, settings

    patient = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    settings.register_profile("tests", deadline=None, max_examples=draws(50), suppress_health_check=patient)
    settings.load_profile("tests")

# Stores that tests create lie in memory where there is room for them: each is synced to its disk many times.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 8 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Plots of the tests and of the examples open no window.
os.environ.setdefault("MPLBACKEND", "agg")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Have `-m smoke` read only what holds such tests: to collect all others takes longer than to run these."""
    if config.option.markexpr != "smoke" or collection_path.suffix != ".py" or collection_path.name == "__init__.py":
        return None
    return True if b"mark.smoke" not in collection_path.read_bytes() else None


@pytest.hookimpl(tryfirst=True)  # before marks are looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what draws, examples too: the environment at the lower bounds has no matplotlib."""
    for item in items:
        if "pyplot" in getattr(item, "fixturenames", ()) or item.name.startswith("nucleus_pandas.evaluation.plots."):
            item.add_marker(pytest.mark.newest)


@pytest.fixture
def pyplot() -> Iterator[Any]:
    """matplotlib.pyplot, whose figures are closed afterwards."""
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NUCLEUS_API_KEY", "NUCLEUS_ENDPOINT", "NUCLEUS_PANDAS_STORE", "NUCLEUS_PANDAS_API_KEYS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True, scope="session")
def _cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Journals of imports lie in the user's cache folder by default."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of an embedded Nucleus that is not made yet."""
    return tmp_path / "store"


@pytest.fixture
def endpoint(store: Path) -> Iterator[str]:
    """The endpoint of `nucleus-pandas serve`, a process of its own on a free loopback port."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "nucleus_pandas.cli", "serve", str(store), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    yield line.split()[-1]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


@pytest.fixture
def served(store: Path) -> Iterator[str]:
    """The endpoint of a server in a thread, which starts a hundred times faster than a process."""
    with Server(store, port=0) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server.endpoint
        server.stop()
        thread.join(timeout=20)
    assert not thread.is_alive()


@pytest.fixture(params=["in process", "socket"])
def client(request: pytest.FixtureRequest, store: Path) -> Iterator[npd.NucleusClient]:
    """A client of an embedded Nucleus, through the adapter and through a socket."""
    if request.param == "in process":
        made = npd.NucleusClient.local(store)
    else:
        made = npd.NucleusClient(endpoint=request.getfixturevalue("served"), max_retries=0)
    with made:
        yield made


@pytest.fixture
def local(store: Path) -> Iterator[npd.NucleusClient]:
    """A client of an embedded Nucleus in process."""
    with npd.NucleusClient.local(store) as made:
        yield made


@pytest.fixture
def dataset(client: npd.NucleusClient) -> npd.Dataset:
    """A dataset of three remote images, a.jpg, b.jpg and c.jpg, in process and through a socket."""
    return _of_three_images(client)


@pytest.fixture
def three_images(local: npd.NucleusClient) -> npd.Dataset:
    """A dataset of three remote images, a.jpg, b.jpg and c.jpg, in process."""
    return _of_three_images(local)


def _of_three_images(client: npd.NucleusClient) -> npd.Dataset:
    dataset = client.create_dataset("Street scenes")
    dataset.append([factories.item(name) for name in ("a.jpg", "b.jpg", "c.jpg")])
    return dataset


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image file, 64 by 48 pixels."""
    path = tmp_path / "my_img_001.png"
    Image.new("RGB", (64, 48), "red").save(path)
    return path


@pytest.fixture
def http(store: Path) -> Iterator[Any]:
    """Requests to an embedded Nucleus, as they are written: a `tests.http.Http`."""
    from tests.http import Http

    nucleus = EmbeddedNucleus(store)
    yield Http(nucleus)
    nucleus.close()


@pytest.fixture
def stored_scene(http: Any) -> Any:
    """Images, ground truth and predictions that this embedded Nucleus holds: an `scored_scenes.StoredScene`."""
    from tests.support.scored_scenes import scene, store_scene

    return store_scene(http, scene(4))


@pytest.fixture(scope="module")
def shared_scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The same, of which nobody changes a row."""
    from tests.http import Http
    from tests.support.scored_scenes import scene, store_scene

    nucleus = EmbeddedNucleus(tmp_path_factory.mktemp("store"))
    yield store_scene(Http(nucleus), scene(4))
    nucleus.close()


@pytest.fixture(scope="module")
def sample_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The packaged sample, its page and a client of it, of which nobody changes a row: a `sample_page.SampleSite`."""
    from tests.support import sample_page

    made = sample_page.store_sample(tmp_path_factory.mktemp("store"))
    yield made
    made.client.close()
    made.nucleus.close()


@pytest.fixture
def own_sample_site(store: Path) -> Iterator[Any]:
    """The same, to be changed."""
    from tests.support import sample_page

    made = sample_page.store_sample(store)
    yield made
    made.client.close()
    made.nucleus.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser."""
    from tests.support import browsing

    with browsing.chromium() as made:
        yield made


@pytest.fixture(scope="module")
def origin(sample_site: Any) -> Iterator[str]:
    """The address of the page of `site`."""
    from tests.support import browsing

    with browsing.served(sample_site.nucleus.folder) as address:
        yield address


@pytest.fixture
def tabs(browser: Any) -> Iterator[Any]:
    """Opens tabs of the browser, `browsing.Watched`; whatever goes wrong in one fails."""
    from tests.support import browsing

    opened: list[browsing.Watched] = []

    def make(origin: str, **options: Any) -> browsing.Watched:
        opened.append(browsing.Watched(browser, origin, **options))
        return opened[-1]

    yield make
    for tab in opened:
        tab.close()


@pytest.fixture
def tab(tabs: Any, origin: str) -> Any:
    """A tab on the page of `site`."""
    return tabs(origin)


@pytest.fixture
def nucleus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The official client's package; it looks at a job every 50 ms instead of every 5 s, which is a setting of its."""
    monkeypatch.setattr(import_module("nucleus.async_job"), "JOB_POLLING_INTERVAL", 0.05)
    return import_module("nucleus")


@pytest.fixture
def official(nucleus: Any, served: str) -> Any:
    """The official client."""
    return nucleus.NucleusClient(api_key="any key", endpoint=served)


@pytest.fixture
def ours(served: str) -> Iterator[npd.NucleusClient]:
    """Our client of a served store."""
    with npd.NucleusClient(endpoint=served, max_retries=0) as client:
        yield client
