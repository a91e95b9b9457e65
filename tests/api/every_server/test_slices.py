"""Slices, queries and jobs, the same on every server."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal

import nucleus_pandas as npd
from tests.api.every_server.servers import KEYS, UNKNOWN, Stated, statuses
from tests.factories import box_frame, item_frame

# Slices


def names_of(thing: Any) -> list[str]:
    found: list[str] = thing.to_frame()["reference_id"].tolist()
    return found


def test_a_slice_is_created_found_and_deleted(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    assert dataset.slices == []
    made = dataset.create_slice("rainy", ["c.jpg", "a.jpg"])
    assert made.id.startswith("slc_")
    assert (made.name, made.dataset_id, names_of(made)) == ("rainy", dataset.id, ["c.jpg", "a.jpg"])
    found = client.get_slice(made.id)
    assert (found, found.name, found.dataset_id, dataset.slices) == (made, "rainy", dataset.id, [made])
    assert (made.info["type"], dataset.info["slice_ids"]) == ("dataset_item", [made.id])
    with pytest.raises(npd.ConflictError):
        dataset.create_slice("rainy", ["b.jpg"])
    client.delete_slice(made)
    assert dataset.slices == []
    for gone in (lambda: client.get_slice(made.id), lambda: made.to_frame(), lambda: client.delete_slice(made)):
        with pytest.raises(npd.NotFoundError):
            gone()


def test_a_slice_is_made_of_what_frames_name(dataset: npd.Dataset) -> None:
    dataset.annotate(box_frame("b.jpg", "a.jpg", "b.jpg").assign(x=[1.0, 2.0, 3.0]))
    whole = dataset.items.to_frame()
    assert names_of(dataset.create_slice("items", whole.iloc[::-1])) == ["c.jpg", "b.jpg", "a.jpg"]
    assert names_of(dataset.create_slice("ids", whole.iloc[::-2][["image_width"]])) == ["c.jpg", "a.jpg"]
    assert names_of(dataset.create_slice("boxes", dataset.annotations.to_frame())) == ["a.jpg", "b.jpg"]
    assert names_of(dataset.create_slice({"name": "dict", "dataset_item_ids": whole.index[:1].tolist()})) == ["a.jpg"]
    assert names_of(dataset.create_slice("none")) == []
    with pytest.raises(npd.NotFoundError):
        dataset.create_slice("unknown", [UNKNOWN])
    assert len(dataset.slices) == 5


def test_items_are_appended_to_a_slice(dataset: npd.Dataset) -> None:
    made = dataset.create_slice("rainy", ["b.jpg"])
    whole = dataset.items.to_frame()
    assert made.append(["b.jpg", "c.jpg"]) == {"slice_id": made.id, "new_items": [whole.index[2]]}
    assert made.append(whole[["image_width"]])["new_items"] == [whole.index[0]]
    assert names_of(made) == ["b.jpg", "c.jpg", "a.jpg"]
    assert made.append([]) == {"slice_id": made.id, "new_items": []}
    with pytest.raises(npd.NotFoundError):
        made.append([UNKNOWN])


def test_tags_are_added_to_a_slice(dataset: npd.Dataset) -> None:
    made = dataset.create_slice("rainy")
    assert made.add_tags(["night", "ü"]) == ["night", "ü"]
    assert made.add_tags("night") == made.tags == ["night", "ü"]


def test_a_sample_is_a_slice(dataset: npd.Dataset) -> None:
    two = dataset.build_slice("two", 2)
    assert len(two) == len(set(names_of(two))) == 2
    one = dataset.build_slice("one", 1, filters={"slice_id": two.id})
    assert set(names_of(one)) <= set(names_of(two))
    assert len(dataset.build_slice("all", 50)) == 3


def test_slices_are_indexed_as_their_frame_is(dataset: npd.Dataset) -> None:
    made = dataset.create_slice("all", ["c.jpg", "a.jpg", "b.jpg"])
    whole = made.to_frame()
    assert_frame_equal(whole, dataset.items.to_frame().iloc[[2, 0, 1]])
    by_reference = whole.reset_index().set_index("reference_id")
    for by, key in KEYS:
        expected = whole.iloc[key] if by == "iloc" else by_reference.loc[key]
        found = getattr(made, by)[key]
        if isinstance(expected, pd.DataFrame):
            assert_frame_equal(found, expected)
        elif isinstance(expected, pd.Series):
            assert_series_equal(found, expected)
        else:
            assert found is expected or found == expected
    assert_frame_equal(made.loc[whole.index[::-1].tolist()], whole.loc[whole.index[::-1]])


def test_what_is_not_in_a_slice_is_not_found_there(dataset: npd.Dataset) -> None:
    made = dataset.create_slice("rainy", ["c.jpg"])
    for thing in (made, made.annotations):
        with pytest.raises(KeyError, match="'a.jpg' in the slice"):
            thing.refloc["a.jpg"]
        with pytest.raises(KeyError, match="in the slice"):
            thing.loc[dataset.iloc[[0]].index.tolist()]
        with pytest.raises(npd.PositionError, match="outside the slice, which holds 1 items"):
            thing.iloc[1]


def test_annotations_and_predictions_are_read_by_slice(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    dataset.annotate(box_frame("a.jpg", "b.jpg", "b.jpg", "c.jpg").assign(x=[1.0, 2.0, 3.0, 4.0]))
    run.predict(box_frame("a.jpg", "b.jpg", "c.jpg", confidence=[0.1, 0.2, 0.3]))
    made = dataset.create_slice("some", ["c.jpg", "b.jpg"])
    truth, predicted = made.annotations.to_frame(), made.predictions(run).to_frame()
    assert (truth["reference_id"].tolist(), truth["x"].tolist()) == (["c.jpg", "b.jpg", "b.jpg"], [4.0, 2.0, 3.0])
    assert predicted["confidence"].tolist() == [0.3, 0.2]
    assert truth.dtypes.equals(dataset.annotations.dtypes)
    assert predicted.dtypes.equals(run.predictions.dtypes)
    assert made.annotations.iloc[-1]["x"].tolist() == [2.0, 3.0]
    assert made.predictions(run).refloc[["b.jpg", "c.jpg"], "confidence"]["confidence"].tolist() == [0.2, 0.3]
    assert (len(made.annotations), len(made.predictions(run))) == (3, 2)


# Queries


def test_items_are_queried(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Weather")
    dataset.append(item_frame(*"abcd", weather=["rain", "sun", "rain", None]), metadata=["weather"])
    found = dataset.query('metadata.weather = "rain"')
    assert_frame_equal(found, dataset.items.to_frame().iloc[[0, 2]])
    assert dataset.query('metadata.weather = "snow"').dtypes.equals(found.dtypes)
    made = dataset.create_slice("rainy", found)
    assert_frame_equal(made.to_frame(), found)
    backwards = dataset.create_slice("backwards", ["d", "c", "a"])
    assert_frame_equal(backwards.query('metadata.weather = "rain"'), found.iloc[::-1])
    with pytest.raises(npd.BadRequestError):
        dataset.query("metadata.weather = ")


def test_annotations_and_predictions_are_queried(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    rows = box_frame("a.jpg", "b.jpg", "c.jpg", light=["red", "green", "red"])
    dataset.annotate(rows, metadata=["light"])
    run.predict(rows.assign(confidence=[0.1, 0.2, 0.3]), metadata=["light"])
    text = 'annotations.metadata.light = "red"'
    truth = dataset.query(text, kind="annotations")
    assert_frame_equal(truth, dataset.annotations.to_frame().iloc[[0, 2]].reset_index(drop=True))
    backwards = dataset.create_slice("backwards", ["c.jpg", "a.jpg"])
    assert backwards.query(text, kind="annotations")["reference_id"].tolist() == ["c.jpg", "a.jpg"]


# Jobs


def test_jobs_are_listed_and_found(client: npd.NucleusClient, dataset: npd.Dataset, stated: Stated) -> None:
    jobs = client.jobs
    assert jobs.dtypes["created_at"] == pd.DatetimeTZDtype("us", "UTC")
    assert jobs["type"].tolist() == stated(embedded=[], hosted=["uploadDatasetItems"])
    assert jobs["status"].tolist() == stated(embedded=[], hosted=["Completed"])
    for job_id in jobs["id"]:
        job = client.get_job(job_id)
        assert (job.id, job.status, job.errors(), job.wait(0)) == (job_id, "Completed", [], job)
        assert job.info["message"] == {"new_items": 3, "updated_items": 0, "ignored_items": 0, "upload_errors": 0}
    with pytest.raises(npd.NotFoundError):
        client.get_job("job_none")


def test_items_that_a_job_could_not_fetch_are_told_by_their_address(
    client: npd.NucleusClient, dataset: npd.Dataset, stated: Stated
) -> None:
    frame = item_frame("d.jpg", "e.jpg", "f.jpg")
    frame.loc[1, "image_url"] = "https://unreachable.example.org/e.jpg"
    result = dataset.append(frame, on_error="collect")
    # An embedded Nucleus fetches nothing.
    assert statuses(result) == stated(embedded=["new"] * 3, hosted=["new", "error", "new"])
    assert (result.new_items, result.upload_errors) == stated(embedded=(3, 0), hosted=(2, 1))
    assert result.failed["reference_id"].tolist() == stated(embedded=[], hosted=["e.jpg"])
    assert len(dataset) == stated(embedded=6, hosted=5)
