"""Datasets, the same on every server."""

from __future__ import annotations

import pytest
from pandas.testing import assert_frame_equal

import nucleus_pandas as npd
from tests.factories import box_frame, item_frame


def test_a_dataset_is_created_found_and_listed(client: npd.NucleusClient) -> None:
    made = client.create_dataset("Street scenes")
    assert made.id.startswith("ds_")
    assert (made["dataset_id"], made.name) == (made.id, "Street scenes")
    found = client.get_dataset(made.id)
    assert (found, found.name) == (made, "Street scenes")
    assert client.list_datasets() == [made.id]
    assert client.datasets.to_dict("list") == {"id": [made.id], "name": ["Street scenes"], "is_public": [False]}


def test_a_name_may_be_used_again_or_twice(client: npd.NucleusClient) -> None:
    first = client.create_dataset("Same")
    second = client.create_dataset({"name": "Same"})
    assert first != second
    assert client.create_dataset("Same", exist_ok=True) == first
    assert len(client.list_datasets()) == 2


def test_info_tells_what_there_is(client: npd.NucleusClient, dataset: npd.Dataset, run: npd.ModelRun) -> None:
    info = dataset.info
    assert (info["dataset_id"], info["name"], info["length"]) == (dataset.id, "Street scenes", 3)
    assert (info["model_run_ids"], info["slice_ids"]) == ([run.id], [])
    assert len(dataset) == len(dataset.items) == 3


def test_an_unknown_dataset_is_not_found(client: npd.NucleusClient) -> None:
    client.create_dataset("Another")
    with pytest.raises(npd.NotFoundError):
        client.get_dataset("ds_none")
    with pytest.raises(KeyError):
        client.delete_dataset("ds_none")


def test_a_deleted_dataset_is_gone(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    assert "message" in client.delete_dataset(dataset)
    assert client.list_datasets() == []
    for use in (lambda: dataset.info, lambda: len(dataset), lambda: dataset.items.to_frame(), lambda: dataset.iloc[0]):
        with pytest.raises(npd.NotFoundError):
            use()
    with pytest.raises(npd.NotFoundError):
        dataset.append(item_frame("a.jpg"))
    with pytest.raises(npd.NotFoundError):
        dataset.annotate(box_frame("a.jpg"))


def test_an_empty_dataset_has_frames_with_all_dtypes(client: npd.NucleusClient) -> None:
    empty, filled = client.create_dataset("Empty"), client.create_dataset("Filled")
    filled.append(item_frame("a.jpg", width=640, height=480, metadata=[{"rain": True}]))
    filled.annotate(box_frame("a.jpg"))
    model = client.add_model("M", "m")
    runs = [one.create_model_run(model) for one in (empty, filled)]
    runs[1].predict(box_frame("a.jpg", confidence=0.5))
    for one, other in [
        (empty.items, filled.items),
        (empty.annotations, filled.annotations),
        (runs[0].predictions, runs[1].predictions),
    ]:
        assert len(one) == 0
        assert len(other) == 1
        assert_frame_equal(one.to_frame(), other.to_frame().iloc[:0])
        (only,) = one.iter_frames()
        assert_frame_equal(only, one.to_frame())
    assert empty.iloc[:].empty
    assert empty.refloc[[]].empty
    with pytest.raises(IndexError):
        empty.iloc[0]
