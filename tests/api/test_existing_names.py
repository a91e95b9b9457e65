"""`exist_ok=True`: what exists is returned, also to callers at the same time."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

import nucleus_pandas as npd

WORKERS = 8


def items(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"reference_id": ids, "image_url": "https://example.org/x"})


def make(store: Path) -> tuple[str, str, str]:
    """Create everything as the cell of a notebook does, by a client of its own."""
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Street scenes", exist_ok=True)
        items("a", "b").nucleus.append(dataset)
        slice_ = dataset.create_slice("all", ["a", "b"], exist_ok=True)
        run = dataset.create_model_run(client.add_model("M", reference_id="m"), name="first", exist_ok=True)
        return dataset.id, slice_.id, run.id


def test_threads_at_once_get_the_same(store: Path) -> None:
    npd.NucleusClient.local(store).close()
    start = threading.Barrier(WORKERS)

    def work(_: int) -> tuple[str, str, str]:
        start.wait(30)
        return make(store)

    with ThreadPoolExecutor(WORKERS) as pool:
        assert len(set(pool.map(work, range(WORKERS)))) == 1
    check(store)


def test_processes_at_once_get_the_same(store: Path) -> None:
    npd.NucleusClient.local(store).close()
    with multiprocessing.get_context("forkserver").Pool(3) as pool:
        assert len(set(pool.map(make, [store] * WORKERS))) == 1
    check(store)


def check(store: Path) -> None:
    with npd.NucleusClient.local(store) as client:
        (dataset_id,) = client.list_datasets()
        dataset = client.get_dataset(dataset_id)
        (slice_,) = dataset.slices
        (run,) = dataset.model_runs
        assert slice_.to_frame()["reference_id"].tolist() == ["a", "b"]
        assert run.name == "first"


def test_a_slice_that_exists_gets_what_it_lacks(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("D")
    items("a", "b", "c").nucleus.append(dataset)
    first = dataset.create_slice("s", ["b"])
    assert dataset.create_slice("s", ["c", "b"], exist_ok=True) == first
    assert first.to_frame()["reference_id"].tolist() == ["b", "c"]
    assert dataset.create_slice({"name": "s", "reference_ids": ["a"]}, exist_ok=True) == first
    assert len(first) == 3
    with pytest.raises(npd.ConflictError, match="exist_ok=True"):
        dataset.create_slice("s", ["a"])


def test_a_run_is_found_by_its_model_name_and_dataset(client: npd.NucleusClient) -> None:
    dataset, other = client.create_dataset("D"), client.create_dataset("E")
    model, second = client.add_model("M", reference_id="m"), client.add_model("N", reference_id="n")
    run = dataset.create_model_run(model, exist_ok=True)
    assert run.name == "M"
    assert dataset.create_model_run(model, exist_ok=True) == run
    assert dataset.create_model_run({"model_id": model.id}, exist_ok=True) == run
    others = [
        dataset.create_model_run(model, name="x", exist_ok=True),
        dataset.create_model_run(second, name="M", exist_ok=True),
        other.create_model_run(model, exist_ok=True),
        dataset.create_model_run(model),
    ]
    assert len({run.id, *(each.id for each in others)}) == 5
    assert dataset.create_model_run(model, exist_ok=True) == others[-1]
