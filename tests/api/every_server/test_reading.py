"""Reading, the same on every server."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal

import nucleus_pandas as npd
from tests.api.every_server.servers import KEYS, SHAPES, UNKNOWN, others
from tests.factories import box_frame, item_frame

HOSTILE = ["a/b c?.jpg", "..", ".", "ü 日本", "100%25", "#x&y=z;", "'; DROP TABLE item; --", "007"]


def test_items_are_indexed_as_their_frame_is(dataset: npd.Dataset) -> None:
    whole = dataset.items.to_frame()
    by_reference = whole.reset_index().set_index("reference_id")
    for by, key in KEYS:
        expected = whole.iloc[key] if by == "iloc" else by_reference.loc[key]
        for found in (getattr(dataset, by)[key], getattr(dataset.items, by)[key]):
            if isinstance(expected, pd.DataFrame):
                assert_frame_equal(found, expected)
            elif isinstance(expected, pd.Series):
                assert_series_equal(found, expected)
            else:
                assert found is expected or found == expected


def test_items_are_found_by_their_id(dataset: npd.Dataset) -> None:
    whole = dataset.items.to_frame()
    ids = whole.index.tolist()
    assert_series_equal(dataset.loc[ids[1]], whole.loc[ids[1]])
    assert_frame_equal(dataset.loc[ids[::-1]], whole.loc[ids[::-1]])
    assert dataset.loc[ids[2], "reference_id"] == "c.jpg"


def test_a_call_gives_an_item_and_its_annotations(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    box_frame("b.jpg", confidence=0.5).pipe(lambda frame: [frame.nucleus.annotate(dataset), frame.nucleus.predict(run)])
    others("b.jpg", "line", "mask").nucleus.annotate(dataset)
    found = dataset.refloc("b.jpg")
    item_id = found["item"]["dataset_item_id"]
    assert (found["item"]["reference_id"], found["item"]["image_url"]) == ("b.jpg", "https://example.org/b.jpg")
    assert [one["type"] for one in found["annotations"]] == ["box", "line", "mask"]
    assert found["annotations"][0]["geometry"] == {"x": 10.0, "y": 20.0, "width": 30.0, "height": 60.0}
    assert dataset.iloc(1) == dataset.iloc(-2) == dataset.loc(item_id) == found
    predicted = run.refloc("b.jpg")
    assert [(one["type"], one["confidence"]) for one in predicted["annotations"]] == [("box", 0.5)]
    assert run.iloc(1) == run.loc(item_id) == predicted
    assert run.refloc("a.jpg") == {"annotations": []}
    assert dataset.refloc("a.jpg")["annotations"] == []


def test_what_is_not_there_is_a_key_error_or_an_index_error(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    for thing in (dataset, dataset.items, dataset.annotations, run, run.predictions):
        with pytest.raises(KeyError, match=f"'{UNKNOWN}', 'other'"):
            thing.refloc[[UNKNOWN, "a.jpg", "other"]]
        with pytest.raises(KeyError, match="'di_none'"):
            thing.loc["di_none"]
        for place in (3, -4, [0, 7]):
            with pytest.raises(IndexError, match="3 items"):
                thing.iloc[place]
    for thing in (dataset, run):
        for call in (lambda thing=thing: thing.refloc(UNKNOWN), lambda thing=thing: thing.loc("di_none")):
            with pytest.raises(KeyError):
                call()
        for place in (3, -4):
            with pytest.raises(npd.PositionError):
                thing.iloc(place)


def test_frames_come_in_pieces(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Pieces")
    names = [f"{number:03d}" for number in range(25)]
    dataset.append(item_frame(*names))
    dataset.annotate(box_frame(*np.repeat(names, 3), x=np.arange(75.0)))
    run = dataset.create_model_run(client.add_model("M", "m"))
    run.predict(box_frame(*names, confidence=0.5))
    for view, rows in ((dataset.items, 25), (dataset.annotations, 75), (run.predictions, 25)):
        frames = list(view.iter_frames(chunksize=10))
        assert [len(frame) for frame in frames[:-1]] == [10] * (len(frames) - 1)
        whole = view.to_frame()
        assert_frame_equal(pd.concat(frames), whole)
        assert len(whole) == rows


def test_frames_can_be_sent_to_another_dataset(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    dataset.annotate(pd.concat([box_frame("c.jpg", "a.jpg"), others("b.jpg", *SHAPES)], ignore_index=True))
    other = client.create_dataset("Other")
    dataset.items.to_frame().nucleus.append(other)
    dataset.annotations.to_frame().nucleus.annotate(other)
    for sent, back in ((dataset.items, other.items), (dataset.annotations, other.annotations)):
        one, two = (
            view.to_frame().reset_index(drop=True).drop(columns="dataset_item_id", errors="ignore")
            for view in (sent, back)
        )
        assert_frame_equal(one, two)


def test_hostile_ids_are_ids(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("Hostile")
    frame = item_frame(*HOSTILE).assign(image_url="https://example.org/a.jpg")
    assert frame.nucleus.append(dataset).new_items == len(HOSTILE)
    box_frame(*HOSTILE, annotation_id=HOSTILE).nucleus.annotate(dataset)
    run = dataset.create_model_run(client.add_model("Hostile", reference_id="a/b ?#ü"))
    box_frame(*HOSTILE, confidence=0.5).nucleus.predict(run)
    assert dataset.items.to_frame()["reference_id"].tolist() == HOSTILE
    for name in HOSTILE:
        assert dataset.refloc(name)["item"]["reference_id"] == name
        assert dataset.refloc[[name], "dataset_item_id"].tolist() == [dataset.refloc[name, "dataset_item_id"]]
        assert dataset.annotations.refloc[name]["annotation_id"].tolist() == [name]
        assert [row["reference_id"] for row in run.refloc(name)["annotations"]] == [name]
    assert run.refloc[HOSTILE]["reference_id"].tolist() == HOSTILE
    with pytest.raises(npd.UploadError, match="no/such #1"):
        box_frame("no/such #1").nucleus.annotate(dataset)
