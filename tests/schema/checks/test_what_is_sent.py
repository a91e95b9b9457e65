"""What is sent of frames with wrong rows."""

from __future__ import annotations

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.schema.checks.frames import INF, NAMES, boxes, items


def test_collect_sends_exactly_the_good_rows(dataset: npd.Dataset) -> None:
    frame = boxes(label=["car", None, "bus"], metadata=[{"n": 1}, {"n": 2}, {"n": 3}])
    result = npd.annotate(frame, dataset, on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error", "new"]
    assert result.annotations_processed == 2
    pd.testing.assert_frame_equal(result.failed, frame.iloc[[1]])
    stored = [[a["label"] for a in dataset.refloc(name)["annotations"]] for name in NAMES]
    assert stored == [["car"], [], ["bus"]]
    mended = result.failed.fillna({"label": "van"})
    assert npd.annotate(mended, dataset).rows["status"].tolist() == ["new"]
    assert dataset.refloc("b.jpg")["annotations"][0]["metadata"] == {"n": 2}


def test_rows_that_the_server_refuses_are_told_and_can_be_sent_again(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Street scenes")
    dataset.append(items())
    frame = boxes(reference_id=["a.jpg", "nowhere.jpg", "c.jpg"])
    with pytest.raises(npd.UploadError) as caught:
        npd.annotate(frame, dataset)
    assert "1 of 3 rows were rejected:\n  row 'second' (position 1): Item with id nowhere.jpg doesn't exist" in str(
        caught.value
    )
    assert "The other rows are stored; .result has the outcome of each row." in str(caught.value)
    result = caught.value.result
    assert result.rows["status"].tolist() == ["new", "error", "new"]
    assert result.rows["error"].isna().tolist() == [True, False, True]
    pd.testing.assert_frame_equal(result.failed, frame.iloc[[1]])
    again = npd.annotate(result.failed.assign(reference_id="b.jpg"), dataset)
    assert again.rows["status"].tolist() == ["new"]
    assert npd.annotate(boxes(), dataset).annotations_ignored == 3


def test_rows_refused_here_and_there_stand_in_one_result(dataset: npd.Dataset) -> None:
    frame = boxes(reference_id=["nowhere.jpg", "b.jpg", "c.jpg"], x=[1, INF, 3])
    result = npd.annotate(frame, dataset, on_error="collect")
    assert result.rows["status"].tolist() == ["error", "error", "new"]
    assert "nowhere.jpg doesn't exist" in result.rows.loc["first", "error"]
    assert "is infinite" in result.rows.loc["second", "error"]
    assert result.failed.index.tolist() == ["first", "second"]


def test_what_failed_stays_as_it_was_sent(dataset: npd.Dataset) -> None:
    frame = boxes(label=["car", None, "bus"])
    result = npd.annotate(frame, dataset, on_error="collect")
    frame["label"] = "changed"
    assert result.failed["label"].isna().tolist() == [True]
