"""Datasets, models, runs and slices by their names; creations that may be repeated; renaming."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import responses

import nucleus_pandas as npd
from tests import factories
from tests.support.contract_only import contract_only

WORKERS = 8


def create_everything(store: Path, wait: Callable[[], Any]) -> tuple[str, ...]:
    """Create a dataset, a model, its runs and slices as a notebook does that was run before, perhaps."""
    with npd.NucleusClient.local(store) as client:
        wait()
        dataset = client.create_dataset("Streets", exist_ok=True)
        dataset.append([factories.item("a.jpg")])
        model = client.add_model("Detector", reference_id="det")
        run = dataset.create_model_run(model, name="yolo", exist_ok=True)
        free = model.create_model_run("everywhere", exist_ok=True)
        some = dataset.create_slice("some", ["a.jpg"], exist_ok=True)
        drawn = dataset.build_slice("drawn", 1, exist_ok=True)
        return dataset.id, model.id, run.id, free.id, some.id, drawn.id


def in_process(store: Path, barrier: Any, found: Any) -> None:
    found.put(create_everything(store, barrier.wait))


def test_eight_threads_with_a_client_each_create_one_of_each(store: Path) -> None:
    npd.NucleusClient.local(store).close()
    barrier = threading.Barrier(WORKERS)
    with ThreadPoolExecutor(WORKERS) as pool:
        found = set(pool.map(lambda _: create_everything(store, barrier.wait), range(WORKERS)))
    assert len(found) == 1


def test_eight_processes_create_one_of_each(store: Path) -> None:
    npd.NucleusClient.local(store).close()
    context = multiprocessing.get_context("spawn")
    barrier, found = context.Barrier(WORKERS), context.Queue()
    processes = [context.Process(target=in_process, args=(store, barrier, found)) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    ids = {found.get(timeout=120) for _ in processes}
    for process in processes:
        process.join()
    assert len(ids) == 1


@pytest.mark.parametrize("extensions", [True, False])
def test_a_second_creation_returns_the_first_object(client: npd.NucleusClient, *, extensions: bool) -> None:
    if not extensions:
        contract_only(client)
    dataset = client.create_dataset("Streets", exist_ok=True)
    dataset.append([factories.item("a.jpg"), factories.item("b.jpg")])
    model = client.add_model("Detector", reference_id="det")
    for _ in range(2):
        assert client.create_dataset("Streets", exist_ok=True) == dataset
        run = dataset.create_model_run(model, exist_ok=True)
        assert dataset.create_model_run({"reference_id": "det", "name": "Detector"}, exist_ok=True) == run
        assert dataset.create_model_run(model, name="other", exist_ok=True) != run
        dataset.create_slice("some", ["a.jpg"], exist_ok=True)
        dataset.build_slice("drawn", 1, exist_ok=True)
    assert [run.name for run in dataset.model_runs] == ["Detector", "other"]
    assert [one.name for one in dataset.slices] == ["some", "drawn"]
    some = dataset.create_slice("some", ["b.jpg"], exist_ok=True)
    assert some.to_frame()["reference_id"].tolist() == ["a.jpg", "b.jpg"]


def test_of_two_datasets_with_one_name_is_warned(client: npd.NucleusClient) -> None:
    first = client.create_dataset("V")
    with pytest.warns(npd.NucleusWarning, match="2 datasets are named 'V'; the new one is 'ds_"):
        second = client.create_dataset("V")
    with pytest.warns(npd.NucleusWarning, match="this takes the oldest"):
        assert client.create_dataset("V", exist_ok=True) == first
    with pytest.raises(npd.InvalidInputError, match=f"'{first.id}', '{second.id}'. Use the id of one"):
        client.get_dataset(name="V")
    second.rename("W")
    assert client.get_dataset(name="V") == first
    assert client.get_dataset(name="W").name == second.name == "W"


def test_objects_are_found_by_name(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Streets")
    model = client.add_model("Detector", reference_id="det-0.5")
    run = dataset.create_model_run(model, name="yolo")
    cats = dataset.create_slice("cats")
    assert client.get_model(reference_id="det-0.5") == client.get_model(name="Detector") == model
    assert dataset.model_runs["yolo"] == dataset.model_runs[run.id] == dataset.model_runs[0] == run
    assert dataset.slices["cats"] == cats
    assert model.model_runs["yolo"] == run
    assert "yolo" in dataset.model_runs
    assert "yol" not in dataset.model_runs
    assert (run.name, run.status, run.model, run.dataset) == ("yolo", "open", model, dataset)
    dataset.create_model_run(model, name="yolo")
    with pytest.raises(npd.InvalidInputError, match="2 model runs have the name 'yolo'"):
        dataset.model_runs["yolo"]


@pytest.mark.parametrize(
    ("look_up", "text"),
    [
        (lambda client, _: client.get_dataset(name="streets"), "no dataset with the name 'streets'; did you mean 'Str"),
        (lambda client, _: client.get_model(reference_id="det-0.6"), "reference_id 'det-0.6'; did you mean 'det-0.5'"),
        (lambda _, dataset: dataset.model_runs["YOLO"], "no model run with the name 'YOLO'; did you mean 'yolo'"),
        (lambda _, dataset: dataset.slices["x"], "name 'x'; there is none"),
    ],
)
def test_an_unknown_name_is_reported_with_similar_ones(
    client: npd.NucleusClient, look_up: Callable[..., object], text: str
) -> None:
    dataset = client.create_dataset("Streets")
    dataset.create_model_run(client.add_model("Detector", reference_id="det-0.5"), name="yolo")
    with pytest.raises(npd.NotFoundError, match=text):
        look_up(client, dataset)


def test_attributes_cannot_be_assigned(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Streets")
    model = client.add_model("Detector", reference_id="det")
    run = dataset.create_model_run(model)
    with pytest.raises(AttributeError, match=r"dataset\.rename\('new name'\) renames it"):
        dataset.name = "Roads"  # type: ignore[misc]
    for thing, name in [(dataset, "id"), (model, "name"), (run, "name"), (run, "metadata"), (dataset, "tags")]:
        with pytest.raises(AttributeError, match="cannot be assigned"):
            setattr(thing, name, "x")
    assert dataset.name == client.datasets["name"][0] == "Streets"


def test_a_contract_server_cannot_rename_and_nothing_is_sent(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Streets")
    contract_only(client)
    with pytest.raises(npd.UnsupportedError, match="cannot rename datasets"):
        dataset.rename("Roads")
    assert client.datasets["name"].tolist() == ["Streets"]


def test_reprs_tell_name_status_and_counts(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("Streets")
    dataset.append([factories.item("a.jpg")])
    model = local.add_model("Detector", reference_id="det")
    run = dataset.create_model_run(model)
    run.predict([factories.box("a.jpg", confidence=0.5)])
    assert repr(local.get_dataset(dataset.id)) == f"<Dataset {dataset.id} 'Streets': 1 items, 1 runs>"
    assert repr(dataset.model_runs[0]) == f"<ModelRun {run.id} 'Detector': open, 1 predictions>"
    run.commit()
    assert "committed" in repr(run)
    local.close()
    assert repr(dataset) == f"<Dataset {dataset.id} 'Streets'>"


@responses.activate
def test_a_repr_asks_no_server() -> None:
    client = npd.NucleusClient("key", endpoint="https://nucleus.example.org")
    responses.get("https://nucleus.example.org/dataset/ds_1/name", json={"name": "Streets"})
    dataset = client.get_dataset("ds_1")
    assert repr(dataset) == "<Dataset ds_1 'Streets'>"
    assert len(responses.calls) == 1
