"""Deleting, tagging, merging metadata and naming labels with our client: in process, by a socket, and hosted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import responses

import nucleus_pandas as npd
from nucleus_pandas.api.model import model_of
from nucleus_pandas.server.ingest import upload_jobs
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import jobs
from tests.factories import box
from tests.http import Http
from tests.support.contract_only import contract_only, count_requests
from tests.support.private import dataset_handle, extensions_of, job_handle, session_of, transport_of

NAMES = ["a.jpg", "b.jpg", "c/../d e?#.jpg", "7"]


@pytest.fixture(params=["embedded", "contract only"])
def dataset(request: pytest.FixtureRequest, local: npd.NucleusClient) -> npd.Dataset:
    """Four images with a box each, by a client that uses the extensions and by one that does not."""
    client = local if request.param == "embedded" else contract_only(local, max_concurrency=4)
    made = client.create_dataset("Streets")
    made.append([{"reference_id": n, "image_url": "https://e.org/a", "metadata": {"n": n, "k": [1]}} for n in NAMES])
    made.annotate([box(name) for name in NAMES])
    return made


def left(dataset: npd.Dataset) -> list[str]:
    return dataset.items.to_frame()["reference_id"].tolist()


# Items


@pytest.mark.parametrize(
    "ids",
    [
        ["b.jpg", "7"],
        ("7", "b.jpg", "7"),
        pd.Series(["b.jpg", "7"], index=["x", "y"]),
        pd.Index(["b.jpg", "7"]),
        np.array(["b.jpg", "7"]),
        pd.Series(["b.jpg", "7"], dtype="category"),
        pd.array(["b.jpg", "7"], dtype="string[pyarrow]"),
        {"b.jpg", "7"},
        {"b.jpg": 1, "7": 2}.keys(),
        ["b.jpg", 7],
    ],
    ids=lambda ids: type(ids).__name__,
)
def test_items_are_deleted_by_any_list_of_ids(dataset: npd.Dataset, ids: Any) -> None:
    assert dataset.delete_items(ids) == 2
    assert left(dataset) == ["a.jpg", NAMES[2]]
    assert dataset.annotations.to_frame()["reference_id"].tolist() == ["a.jpg", NAMES[2]]


@pytest.mark.parametrize("one", ["7", 7, np.int64(7)])
def test_one_item_is_deleted(dataset: npd.Dataset, one: Any) -> None:
    assert dataset.delete_items(one) == 1
    assert left(dataset) == NAMES[:3]


def test_no_ids_delete_nothing(dataset: npd.Dataset) -> None:
    assert dataset.delete_items([]) == dataset.delete_items(pd.Series([], dtype=object)) == 0
    assert left(dataset) == NAMES


def test_missing_items_are_all_named(dataset: npd.Dataset) -> None:
    with pytest.raises(KeyError, match="There are no items 'x', 'y' in the dataset") as caught:
        dataset.delete_items(["x", "a.jpg", "y"])
    embedded = "delete" in extensions_of(dataset)
    assert ("Nothing was deleted" if embedded else "The others are deleted") in str(caught.value)
    assert left(dataset) == (NAMES if embedded else NAMES[1:])


def test_missing_items_may_be_ignored(dataset: npd.Dataset) -> None:
    assert dataset.delete_items(["x", "a.jpg", "y"], errors="ignore") == 1
    assert left(dataset) == NAMES[1:]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (pd.DataFrame({"reference_id": ["a.jpg"]}), "pass frame\\['reference_id'\\]"),
        (["a.jpg", None], "row 1: column 'reference_id': is missing"),
        (pd.Series(["a.jpg", 7.0], index=["x", "y"]), "row 'y' \\(position 1\\): .*is the number 7.0"),
        ([True], "bool"),
        ([""], "is an empty text"),
        (None, "Reference ids must be strings, not None"),
        (7.5, "Reference ids must be strings, not 7.5"),
    ],
    ids=str,
)
def test_what_is_no_id_is_refused_before_anything_is_sent(dataset: npd.Dataset, ids: Any, words: str) -> None:
    for delete in (dataset.delete_items, dataset.delete_annotations):
        with pytest.raises(npd.InvalidInputError, match=words):
            delete(ids)
    assert left(dataset) == NAMES
    assert len(dataset.annotations) == len(NAMES)


def test_errors_is_one_of_two(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.InvalidInputError, match="errors must be 'raise' or 'ignore', not 'coerce'"):
        dataset.delete_items("a.jpg", errors="coerce")  # type: ignore[arg-type]


def test_many_items_are_deleted_in_few_requests(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("Many")
    frame = pd.DataFrame({"reference_id": [f"{n}.jpg" for n in range(12_000)], "image_url": "https://e.org/a"})
    dataset.append(frame)
    counted = count_requests(local)
    assert dataset.delete_items(frame["reference_id"].iloc[1:]) == 11_999
    assert (left(dataset), counted["delete_items"]) == (["0.jpg"], 2)
    assert dataset.iloc[0]["reference_id"] == "0.jpg"


# Ground truth


def test_the_ground_truth_of_items_is_deleted(dataset: npd.Dataset) -> None:
    run = dataset.create_model_run(_model(dataset))
    run.predict([box("a.jpg")])
    job = dataset.delete_annotations(["a.jpg", NAMES[2]])
    assert (job.status, job.errors()) == ("Completed", [])
    assert dataset.annotations.to_frame()["reference_id"].tolist() == ["b.jpg", "7"]
    assert (left(dataset), len(run.predictions)) == (NAMES, 1)


def _model(dataset: npd.Dataset) -> npd.Model:
    return model_of(transport_of(dataset), {"name": "M", "reference_id": "m"})


def test_unknown_items_are_told_of_and_the_others_lose_theirs(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.NotFoundError, match="Item with id x doesn't exist"):
        dataset.delete_annotations(["x", "a.jpg"])
    assert dataset.annotations.to_frame()["reference_id"].tolist() == NAMES[1:]


def test_no_items_are_no_request(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.InvalidInputError, match="Name the items"):
        dataset.delete_annotations([])
    assert len(dataset.annotations) == len(NAMES)


# Metadata


@pytest.mark.parametrize(
    "changes",
    [
        {"a.jpg": {"hour": 7, "k": None}, "7": {"hour": 8, "n": "new"}},
        pd.DataFrame({"reference_id": ["a.jpg", 7], "metadata": [{"hour": 7}, {"hour": 8, "n": "new"}]}),
        pd.DataFrame({"reference_id": ["a.jpg", "7"], "metadata.hour": [7, 8], "metadata.n": [None, "new"]}),
        pd.DataFrame({"reference_id": ["a.jpg", "7", "7"], "metadata": ['{"hour":7}', *['{"hour":8,"n":"new"}'] * 2]}),
    ],
    ids=["dict", "dicts", "columns", "repeats"],
)
def test_metadata_is_merged(dataset: npd.Dataset, changes: Any) -> None:
    assert dataset.update_item_metadata(changes) == 2
    found = dataset.items.to_frame().set_index("reference_id")["metadata"].to_dict()
    assert found == {
        "a.jpg": {"n": "a.jpg", "k": [1], "hour": 7},
        "b.jpg": {"n": "b.jpg", "k": [1]},
        NAMES[2]: {"n": NAMES[2], "k": [1]},
        "7": {"n": "new", "k": [1], "hour": 8},
    }


def test_plain_columns_are_named_and_missing_values_change_nothing(dataset: npd.Dataset) -> None:
    frame = pd.DataFrame({"file": NAMES, "weather": ["rain", None, "sun", None], "hour": [1.5, np.nan, 2.5, np.nan]})
    assert dataset.update_item_metadata(frame, columns={"reference_id": "file"}, metadata=["weather", "hour"]) == 2
    assert dataset.refloc["a.jpg", "metadata"] == {"n": "a.jpg", "k": [1], "weather": "rain", "hour": 1.5}
    assert dataset.refloc["b.jpg", "metadata"] == {"n": "b.jpg", "k": [1]}


def test_an_item_that_is_not_there_is_named_and_the_others_change(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.BadRequestError, match="1 of 2 changes were rejected.*Item with id x doesn't exist"):
        dataset.update_item_metadata({"x": {"hour": 1}, "a.jpg": {"hour": 1}})
    assert dataset.refloc["a.jpg", "metadata"]["hour"] == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (pd.DataFrame({"reference_id": ["a.jpg"]}), "holds no metadata: name its columns by metadata="),
        (pd.DataFrame({"metadata": [{}]}), "Column 'reference_id' not found"),
        (pd.DataFrame({"reference_id": ["7"] * 2, "metadata.h": [1, 2]}), "is that of row 0 too, .* differs in 'h'"),
        (pd.DataFrame({"reference_id": [None], "metadata.h": [1]}), "is missing"),
        (pd.DataFrame({"reference_id": ["7"], "metadata.h": [float("inf")]}), "infinite"),
        ({"a.jpg": {"h": {1, 2}}}, "set"),
        ({"a.jpg": [1]}, "metadata is a dict"),
        ("a.jpg", "Expected a DataFrame, got str"),
    ],
    ids=str,
)
def test_wrong_changes_are_refused_before_anything_is_sent(dataset: npd.Dataset, changes: Any, words: str) -> None:
    with pytest.raises(npd.InvalidInputError, match=words):
        dataset.update_item_metadata(changes)


def test_options_of_frames_are_refused_for_dicts(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.InvalidInputError, match="apply to DataFrames"):
        dataset.update_item_metadata({"a.jpg": {"h": 1}}, metadata=["h"])


def test_changes_leave_the_callers_frame_alone(dataset: npd.Dataset) -> None:
    frame = pd.DataFrame({"reference_id": ["a.jpg"], "metadata": [{"hour": 7}]})
    before = frame.copy(deep=True)
    dataset.update_item_metadata(frame)
    pd.testing.assert_frame_equal(frame, before)


# Tags and taxonomies


def test_tags_of_a_dataset(dataset: npd.Dataset) -> None:
    assert (dataset.tags, dataset.add_tags("a"), dataset.add_tags(["b", "a"])) == ([], ["a"], ["a", "b"])
    assert (dataset.remove_tags(["a", "absent"]), dataset.tags) == (["b"], ["b"])


def test_tags_and_slices_of_a_model(dataset: npd.Dataset) -> None:
    model = _model(dataset)
    model.add_tags(["night", "rain"])
    model.add_trained_slice_ids("slc_1")
    assert (model.tags, model.trained_slice_ids, model.info["tags"]) == (
        ["night", "rain"],
        ["slc_1"],
        ["night", "rain"],
    )
    model.remove_tags("night")
    model.remove_trained_slice_ids(["slc_1"])
    assert (model.tags, model.trained_slice_ids) == (["rain"], [])
    with pytest.raises(npd.BadRequestError, match="has no 'night'"):
        model.remove_tags("night")


@pytest.mark.parametrize("tags", [[""], [None], [7], ["a", ""]], ids=str)
def test_tags_are_texts(dataset: npd.Dataset, tags: Any) -> None:
    for change in (dataset.add_tags, dataset.remove_tags, _model(dataset).add_tags):
        with pytest.raises(npd.InvalidInputError, match="Expected a list of non-empty strings"):
            change(tags)


def test_a_taxonomy_holds_the_labels_of_frames(dataset: npd.Dataset) -> None:
    assert dataset.add_taxonomy("weather", ["rain"])["status"] == "Taxonomy created"
    assert dataset.add_taxonomy("weather", ["sun"], update=True)["status"] == "Taxonomy updated"
    frame = pd.DataFrame({"reference_id": NAMES[:3], "label": ["rain", "fog", "sun"], "type": "category"})
    frame["geometry"] = [{"taxonomy_name": "weather"}] * 3
    result = dataset.annotate(frame, on_error="collect")
    embedded = "outcomes" in extensions_of(dataset)
    stored = "new" if embedded else "processed"
    assert result.rows["status"].tolist() == [stored, "error", stored]
    assert "has no label 'fog'" in result.rows["error"][1]
    assert dataset.delete_taxonomy("weather")["status"] == "Taxonomy successfully deleted"
    assert set(dataset.annotations.to_frame()["type"]) == {"box"}


# Jobs


def test_a_running_job_is_cancelled(local: npd.NucleusClient) -> None:
    nucleus = session_of(local).get_adapter("http://nucleus.local/").nucleus  # type: ignore[attr-defined]
    with nucleus.database.write() as db:
        made = jobs.create(db, "uploadDatasetItems", None, nucleus.owner)
    job = local.get_job(made.public_id)
    assert (job.status, job.cancel().status) == ("Running", "Cancelled")
    assert local.jobs["status"].tolist() == ["Cancelled"]
    with pytest.raises(npd.ConflictError, match="is Cancelled; only a running one can be cancelled"):
        job.cancel()


def test_a_cancelled_upload_stops_between_two_steps(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    monkeypatch.setattr(upload_jobs, "_ROWS", 1)
    nucleus = EmbeddedNucleus(store)
    http = Http(nucleus)
    dataset = http("POST", "dataset/create", {"name": "D"})["dataset_id"]
    rows = [{"reference_id": str(n), "image_url": "https://e.org/a"} for n in range(50)]
    signed = http("GET", f"dataset/{dataset}/signedUrl/1")["signed_url"]
    http.client.put(signed, data="\n".join(map(json.dumps, rows)))
    go_on, seen = threading.Event(), threading.Event()
    store_items = upload_jobs.store_items

    def slowly(db: Any, dataset: Any, wanted: Any, **options: Any) -> Any:
        if wanted[0].reference_id == "3":
            seen.set()
        return store_items(db, dataset, wanted, **options)

    chunks = upload_jobs._chunks

    def paused(path: Path) -> Iterator[list[bytes]]:
        for number, lines in enumerate(chunks(path)):
            if number == 4:
                assert go_on.wait(20)
            yield lines

    monkeypatch.setattr(upload_jobs, "store_items", slowly)
    monkeypatch.setattr(upload_jobs, "_chunks", paused)
    job = http("POST", f"dataset/{dataset}/append?async=1", {"requestId": "1", "update": False})["job_id"]
    assert seen.wait(20)
    assert http("POST", f"_nucleus_pandas/job/{job}/cancel")["job_last_known_status"] == "Cancelled"
    go_on.set()
    nucleus.close()
    again = EmbeddedNucleus(store)
    with closing(again):
        http = Http(again)
        assert http("GET", f"job/{job}")["status"] == "Cancelled"
        assert http("GET", f"dataset/{dataset}/size") == {"count": 4}
        assert list((store / "uploads").iterdir()) == []


def test_a_server_that_knows_only_the_contract_cancels_nothing(local: npd.NucleusClient) -> None:
    job = job_handle(contract_only(local), "job_1")
    with pytest.raises(npd.UnsupportedError, match="only an embedded Nucleus can"):
        job.cancel()


def test_an_item_that_an_earlier_try_may_have_deleted_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with responses.RequestsMock() as mock, closing(npd.NucleusClient("key")) as client:
        mock.get("https://api.scale.com/v1/nucleus/_nucleus_pandas", status=404, body="Not Found")
        for status in (503, 404):
            mock.delete("https://api.scale.com/v1/nucleus/dataset/ds_1/refloc/a", status=status, json={"error": "No."})
        assert dataset_handle(client, "ds_1").delete_items("a") == 1
