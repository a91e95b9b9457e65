"""The client's links to pages, and what `serve` says of its page."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

import nucleus_pandas as npd
from tests.support.browsing import served


@pytest.fixture
def things(tmp_path: Path) -> Any:
    """A served store with a dataset, a run and a slice, asked over a socket."""
    with served(tmp_path / "my store") as origin, npd.NucleusClient(endpoint=f"{origin}/v1/nucleus/") as client:
        dataset = client.create_dataset("D")
        dataset.append([{"reference_id": "a", "image_url": "https://example.org/a"}])
        run = dataset.create_model_run(client.add_model("M", "m"))
        yield origin, client, dataset, run, dataset.create_slice("S", ["a"])


def test_every_link_leads_to_its_page(things: Any) -> None:
    origin, client, dataset, run, made = things
    assert client.url() == origin
    assert client.url(dataset) == dataset.url == f"{origin}/datasets/{dataset.id}"
    assert client.url(run) == run.url == f"{origin}/runs/{run.id}"
    assert client.url(made) == made.url == f"{origin}/slices/{made.id}"
    for url in (client.url(), dataset.url, run.url, made.url):
        answer = requests.get(url, timeout=10)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("act", ["url", "open"])
def test_in_process_there_is_no_page_and_the_way_to_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda url: pytest.fail(url))
    with npd.NucleusClient.local(tmp_path / "my store") as client:
        dataset = client.create_dataset("D")
        with pytest.raises(npd.ConfigurationError) as caught:
            client.url(dataset) if act == "url" else dataset.open()
        assert str(caught.value).endswith(f"nucleus-pandas serve '{tmp_path / 'my store'}'")
        with pytest.raises(npd.ConfigurationError, match="nucleus-pandas serve"):
            client.url()


@responses.activate
@pytest.mark.parametrize("path", ["/v1/nucleus", "/elsewhere"])
@pytest.mark.parametrize("extensions", [["lookup"], ["page"]])
def test_of_other_servers_no_page_is_made_up(path: str, extensions: list[str]) -> None:
    endpoint = f"https://nucleus.example.org{path}"
    responses.get(f"{endpoint}/_nucleus_pandas", json={"version": "1", "extensions": extensions})
    with npd.NucleusClient("key", endpoint=endpoint) as client:
        if path == "/v1/nucleus" and extensions == ["page"]:
            assert client.url() == "https://nucleus.example.org"
            return
        with pytest.raises(npd.ConfigurationError, match="is not known to have a page"):
            client.url()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_serve_says_where_its_page_is_beside_the_endpoint(store: Path, options: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "nucleus_pandas.cli", "serve", str(store), "--port", "0", "--remote-images", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    endpoint = json.loads(line)["endpoint"] if options else line.strip()
    page = endpoint.removesuffix("v1/nucleus")
    policy = requests.get(page, timeout=10).headers["Content-Security-Policy"]
    assert "img-src 'self' http: https:" in policy
    process.send_signal(signal.SIGINT)
    rest, told = process.communicate(timeout=20)
    assert rest == ""
    assert f"its page is {page}." in told
