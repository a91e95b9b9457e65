"""Items, the same on every server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import nucleus_pandas as npd
from tests.api.every_server.servers import Stated, statuses
from tests.factories import box_frame, item_frame


def test_items_are_added_in_their_order(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Order")
    names = [f"{number:04d}.jpg" for number in np.random.default_rng(7).permutation(500)]
    frame = item_frame(*names, weather=["rain", "sun"] * 250)
    result = frame.nucleus.append(dataset, metadata=["weather"], batch_size=90)
    assert statuses(result) == ["new"] * 500
    assert (result.new_items, result.updated_items, result.ignored_items, result.upload_errors) == (500, 0, 0, 0)
    assert (result["dataset_id"], result.jobs, len(result.failed)) == (dataset.id, [], 0)
    found = dataset.items.to_frame()
    assert found["reference_id"].tolist() == names
    assert found["image_url"].tolist() == frame["image_url"].tolist()
    assert [metadata["weather"] for metadata in found["metadata"]] == frame["weather"].tolist()
    assert found.index.is_unique
    assert found.index.str.startswith("di_").all()


def test_items_that_are_there_are_ignored(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    before = dataset.items.to_frame()
    result = dataset.append(item_frame("a.jpg", "b.jpg", metadata=[{"n": 1}, {"n": 2}]))
    assert statuses(result) == ["ignored", "ignored"]
    assert result.ignored_items == 2
    assert_frame_equal(dataset.items.to_frame(), before)


def test_an_upload_may_hold_new_items_and_old_ones(dataset: npd.Dataset, stated: Stated) -> None:
    result = dataset.append(item_frame("c.jpg", "d.jpg", "e.jpg"))
    assert statuses(result) == stated(embedded=["ignored", "new", "new"], hosted=["accepted"] * 3)
    assert (result.new_items, result.ignored_items, len(result.failed)) == (2, 1, 0)
    assert dataset.items.to_frame()["reference_id"].tolist() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]


def test_an_update_replaces_the_metadata_as_a_whole(dataset: npd.Dataset) -> None:
    dataset.append(item_frame("a.jpg", metadata=[{"old": 1}]), if_exists="update")
    before = dataset.items.to_frame()
    result = dataset.append(item_frame("b.jpg", "a.jpg", metadata=[{"k": 2}, {"k": 1}]), if_exists="update")
    assert statuses(result) == ["updated", "updated"]
    assert result.updated_items == 2
    found = dataset.items.to_frame()
    assert found["metadata"].tolist() == [{"k": 1}, {"k": 2}, {}]
    assert_frame_equal(found.drop(columns="metadata"), before.drop(columns="metadata"))


def test_none_may_exist(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    before = dataset.items.to_frame()
    frame = item_frame("b.jpg", "c.jpg", metadata=[{"k": 1}, {"k": 2}])
    with pytest.raises(npd.AlreadyExistsError, match="exists already") as caught:
        dataset.append(frame, if_exists="error")
    assert statuses(caught.value.result) == ["error", "error"]
    assert_frame_equal(caught.value.result.failed, frame)
    assert_frame_equal(dataset.items.to_frame(), before)
    assert dataset.append(item_frame("d.jpg"), if_exists="error").new_items == 1


def test_where_some_exist_nothing_is_stored(dataset: npd.Dataset) -> None:
    before = dataset.items.to_frame()
    with pytest.raises(npd.AlreadyExistsError, match="exist already|exists already") as caught:
        dataset.append(item_frame("a.jpg", "d.jpg", metadata=[{"k": 1}, {"k": 2}]), if_exists="error")
    assert statuses(caught.value.result) == ["error", "error"]
    assert caught.value.result.new_items == 0
    assert_frame_equal(dataset.items.to_frame(), before)
    result = dataset.append(item_frame("a.jpg", "e.jpg"), if_exists="error", on_error="collect")
    assert (statuses(result), result.ignored_items, len(dataset)) == (["error", "error"], 0, 3)


def test_images_of_this_machine_are_uploaded(
    client: npd.NucleusClient, image: Path, dataset: npd.Dataset, stated: Stated
) -> None:
    names = [f"local {number}" for number in range(12)]
    frame = pd.DataFrame({"reference_id": names, "image_url": str(image), "metadata.n": range(12)})
    result = frame.nucleus.append(dataset)
    assert statuses(result) == ["new"] * 12
    found = dataset.items.to_frame()
    stored = found["reference_id"].tolist()[3:]  # the hosted service stores local images as they arrive
    assert stated(embedded=stored, hosted=sorted(stored, key=names.index)) == names
    assert [metadata["n"] for metadata in found["metadata"][3:]] == [names.index(name) for name in stored]
    assert found["image_url"].str.endswith(".png").tolist() == [False] * 3 + [True] * 12
    sizes = found.iloc[-1][["image_width", "image_height"]].tolist()
    assert sizes == stated(embedded=[64, 48], hosted=[pd.NA, pd.NA])
    payload = {"items": [{"reference_id": "local 0", "image_url": str(image), "metadata": {"n": "new"}}]}
    assert statuses(dataset.append(payload, local=True)) == ["ignored"]
    assert statuses(dataset.append(payload, local=True, if_exists="update")) == ["updated"]
    assert dataset.refloc["local 0", "metadata"] == {"n": "new"}


def test_images_of_both_kinds_keep_their_order(
    client: npd.NucleusClient, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image.parent)
    dataset = client.create_dataset("Both")
    frame = item_frame(*"abcdefg")
    frame.loc[[1, 2, 5], "image_url"] = image.name
    assert statuses(frame.nucleus.append(dataset)) == ["new"] * 7
    assert dataset.items.to_frame()["reference_id"].tolist() == list("abcdefg")


def test_a_missing_image_is_told_before_anything_is_sent(dataset: npd.Dataset, image: Path, tmp_path: Path) -> None:
    frame = item_frame("d.jpg", "e.jpg", "f.jpg")
    frame.loc[1, "image_url"] = str(tmp_path / "none.png")
    with pytest.raises(npd.InvalidInputError, match="does not exist") as caught:
        dataset.append(frame)
    assert statuses(caught.value.result) == ["skipped", "error", "skipped"]
    assert len(dataset) == 3
    result = dataset.append(frame, on_error="collect")
    assert statuses(result) == ["new", "error", "new"]
    assert result.upload_errors == 1
    assert result.failed["reference_id"].tolist() == ["e.jpg"]


def test_rows_that_share_an_item_have_its_outcome(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Joint")
    images = item_frame("a.jpg", "b.jpg", image_width=[640, 320])
    joint = images.merge(box_frame("a.jpg", "a.jpg", x=[10.0, 20.0]), on="reference_id", how="left")
    assert statuses(joint.nucleus.append(dataset)) == ["new"] * 3
    assert dataset.items.to_frame()["image_width"].tolist() == [640, 320]
    assert joint.nucleus.annotate(dataset).rows["status"].iloc[-1] == "skipped"
    assert len(dataset.annotations) == 2


def test_metadata_comes_back_as_it_was_sent(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Metadata")
    sent = [
        {"nested": {"null": None, "list": [1, 1.0, None, {"deep": [[]]}]}, "ünïcödé": "日本 \U0001f600 \u2028 \\ \" '"},
        {"large": 2**53 + 1, "small": 5e-324, "one": 1, "one point": 1.0, "yes": True, "empty": ""},
        {},
    ]
    dataset.append(item_frame("a", "b", "c", metadata=sent))
    assert [json.dumps(one) for one in dataset.items.to_frame()["metadata"]] == [json.dumps(one) for one in sent]
    texts = dataset.items.to_frame(metadata_as="json")["metadata"]
    assert [json.dumps(json.loads(text)) for text in texts] == [json.dumps(one) for one in sent]
    spread = dataset.items.to_frame(metadata_as="columns")
    assert spread["metadata.one"].dropna().tolist() == [1]


def test_nobody_has_to_wait(dataset: npd.Dataset, stated: Stated) -> None:
    result = dataset.append(item_frame("d.jpg", "e.jpg"), wait=False)
    assert statuses(result) == stated(embedded=["new", "new"], hosted=["accepted", "accepted"])
    assert [type(job) for job in result.jobs] == stated(embedded=[], hosted=[npd.Job])
    assert all(job.status == "Running" for job in result.jobs)
    assert result.wait() is result
    assert (statuses(result), result.new_items, result.jobs) == (["new", "new"], 2, [])
    assert result.wait(0).new_items == 2
    assert dataset.iloc[-2:]["reference_id"].tolist() == ["d.jpg", "e.jpg"]


def test_what_must_not_exist_is_told_before_waiting(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.AlreadyExistsError) as caught:
        dataset.append(item_frame("a.jpg", "b.jpg"), if_exists="error", wait=False)
    assert statuses(caught.value.result) == ["error", "error"]
