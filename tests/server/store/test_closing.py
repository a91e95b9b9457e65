"""Stores that are closed and opened again."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import nucleus_pandas as npd
from nucleus_pandas.server.ingest import upload_jobs
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.server.store.store_http import EVERY_TYPE, StoreHttp, box_row, image_row


def test_reopening_gives_everything(store: Path) -> None:
    first = EmbeddedNucleus(store)
    http = StoreHttp(first)
    dataset = http.new_dataset_of(3)
    run = http.new_run(dataset)
    http("POST", f"dataset/{dataset}/annotate", {"annotations": [*EVERY_TYPE.values(), box_row("1", "x")]})
    http("POST", f"modelRun/{run}/predict", {"annotations": [box_row("0", "p", confidence=0.25)]})
    http("DELETE", f"dataset/{dataset}/refloc/2")
    paths = [
        "dataset/details",
        f"dataset/{dataset}/info",
        f"dataset/{dataset}/datasetItems",
        f"dataset/{dataset}/refloc/0",
        f"dataset/{dataset}/iloc/1",
        f"modelRun/{run}/ungrouped",
        f"modelRun/{run}/info",
        "models/",
    ]
    before = [http("GET", path) for path in paths]
    first.close()
    second = EmbeddedNucleus(store)
    assert [StoreHttp(second)("GET", path) for path in paths] == before
    second.close()


def test_closing_twice_and_using_what_is_closed(store: Path) -> None:
    nucleus = EmbeddedNucleus(store)
    nucleus.close()
    nucleus.close()
    with pytest.raises(npd.StoreError, match="is closed"), nucleus.database.read():
        pass


def test_closing_waits_for_jobs(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    monkeypatch.setattr(upload_jobs, "_ROWS", 10)
    nucleus = EmbeddedNucleus(store)
    http = StoreHttp(nucleus)
    dataset = http.new_dataset()
    nucleus.submit(lambda: time.sleep(0.3))
    lines = [json.dumps(image_row(str(n))).encode() for n in range(200)]
    job = http.upload(dataset, lines, f"dataset/{dataset}/append")
    assert job["job_last_known_status"] == "Running"
    nucleus.close()
    nucleus = EmbeddedNucleus(store)
    http = StoreHttp(nucleus)
    assert http("GET", f"job/{job['job_id']}")["status"] == "Completed"
    assert http("GET", f"dataset/{dataset}/size") == {"count": 200}
    nucleus.close()


def test_a_temporary_store_goes() -> None:
    nucleus = EmbeddedNucleus()
    StoreHttp(nucleus).new_dataset_of(1)
    assert nucleus.folder.is_dir()
    nucleus.close()
    assert not nucleus.folder.exists()
