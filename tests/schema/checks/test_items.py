"""Frames of items are looked at whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.factories import touched
from tests.schema.checks.frames import INF, boxes, items, objects, refused

WRONG_ITEMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a missing id": ({"reference_id": ["a", pd.NA, "c"]}, "reference_id", "is missing. Fill it, or drop the row."),
    "a missing address": ({"image_url": ["s3://a", None, "s3://c"]}, "image_url", "is missing"),
    "an empty address": ({"image_url": ["s3://a", "", "s3://c"]}, "image_url", "is an empty text"),
    "a strange address": ({"image_url": ["s3://a", "ftp://b", "s3://c"]}, "image_url", "'ftp' addresses are not taken"),
    "a number as address": ({"image_url": objects("s3://a", 7.5, "s3://c")}, "image_url", "a text or a path"),
    "no whole width": ({"width": [640, 640.5, 640]}, "width", "is 640.5; the side of an image is a whole number"),
    "no width at all": ({"width": [640, 0, 640]}, "width", "is 0; the side of an image"),
    "a negative height": ({"height": [640, -480, 640]}, "height", "is -480; the side of an image"),
    "a huge height": ({"height": [640, 2**31, 640]}, "height", "the side of an image"),
    "an endless height": ({"height": [640, INF, 640]}, "height", "is infinite"),
    "a size of text": ({"image_width": ["640", "x", None]}, "image_width", "'x', a str; it must be a number"),
    "wrong metadata": ({"metadata": [None, "{", None]}, "metadata", "is not a JSON object: '{'"),
}


@pytest.mark.parametrize("wrong", WRONG_ITEMS)
def test_a_wrong_item_is_named_and_nothing_is_sent(
    local: npd.NucleusClient, requests: list[tuple[str, ...]], wrong: str
) -> None:
    columns, column, reason = WRONG_ITEMS[wrong]
    made = local.create_dataset("other")
    requests.clear()
    error = refused(lambda: made.append(items(**columns)))
    assert requests == []
    assert error.problems is not None
    assert error.problems.loc["second", "column"] == column
    assert reason in error.problems.loc["second", "reason"]
    assert f"row 'second' (position 1): column '{column}': " in str(error)
    pd.testing.assert_frame_equal(npd.check(items(**columns), "items"), error.problems)


def scene(**columns: Any) -> pd.DataFrame:
    """A joint frame: two boxes in one image, one in another."""
    return boxes(**{"reference_id": ["a.jpg", "a.jpg", "b.jpg"], "image_url": "https://e.org/a", **columns})


@pytest.mark.parametrize(
    ("columns", "arguments", "column"),
    [
        ({"image_url": ["s3://a", "s3://b", "s3://b"]}, {}, "image_url"),
        ({"image_width": [640, 641, 640]}, {}, "image_width"),
        ({"image_height": [480, None, 480]}, {}, "image_height"),
        ({"metadata": [{"rain": 1}, {"rain": 2}, None]}, {}, "metadata"),
        ({"metadata": [{"rain": 1}, {"rain": 1.0}, None]}, {}, "metadata"),
        ({"metadata.rain": [1, 2, 1]}, {}, "metadata.rain"),
        ({"metadata.rain": [1, None, 1], "metadata": [{"b": 1}, {"b": 1}, None]}, {}, "metadata.rain"),
        ({"rain": [True, False, True], "hour": 7}, {"metadata": ["rain", "hour"]}, "rain"),
        ({"path": ["s3://a", "s3://b", "s3://b"]}, {"columns": {"image_url": "path"}}, "path"),
    ],
)
def test_rows_of_one_item_that_disagree_name_the_column(
    dataset: npd.Dataset, requests: list[tuple[str, ...]], columns: Any, arguments: Any, column: str
) -> None:
    error = refused(lambda: dataset.append(scene(**columns), **arguments))
    assert error.problems is not None
    assert error.problems.index.tolist() == ["first", "second"]
    assert error.problems["column"].tolist() == [column, column]
    assert "rows that share the reference_id 'a.jpg' disagree here. Make them equal, or leave the column out." in str(
        error
    )
    assert requests == []


def test_two_columns_that_disagree_are_both_named(dataset: npd.Dataset) -> None:
    frame = scene(image_width=[1, 2, 3], **{"metadata.a": [1, 2, 3], "metadata.b": [1, 2, 3], "metadata.c": 1})
    error = refused(lambda: dataset.append(frame))
    assert error.problems is not None
    assert sorted(error.problems.loc["second", "column"]) == ["image_width", "metadata.a", "metadata.b"]


def test_rows_agree_whatever_the_order_of_keys(local: npd.NucleusClient) -> None:
    made = local.create_dataset("joint")
    frame = scene(metadata=[{"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}, None])
    assert made.append(frame).rows["status"].tolist() == ["new", "new", "new"]
    assert len(made) == 2


def test_a_wrong_row_keeps_the_other_rows_of_its_item_back(local: npd.NucleusClient) -> None:
    made = local.create_dataset("joint")
    result = made.append(scene(image_width=[640, -1, 640]), on_error="collect")
    assert result.rows["status"].tolist() == ["error", "error", "new"]
    assert "disagree" in result.rows["error"].iloc[0]
    assert result.failed.index.tolist() == ["first", "second"]
    wrong = scene(image_url=["nowhere.png", "nowhere.png", "s3://b"])
    result = local.create_dataset("other").append(wrong, on_error="collect")
    assert result.rows["status"].tolist() == ["error", "error", "new"]
    assert "does not exist" in result.rows["error"].iloc[0]
    assert "an item of which another row is rejected" in result.rows["error"].iloc[1]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "missing.png", "does not exist"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: touched(folder / "empty.png"), "is an empty file"),
        (lambda folder: f"{folder}/nul\0.png", "cannot be read"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_a_wrong_image_of_this_machine_is_named(
    local: npd.NucleusClient, image: Path, requests: list[tuple[str, ...]], make: Any, reason: str, as_text: bool
) -> None:
    made = local.create_dataset("images")
    requests.clear()
    wrong = make(image.parent)
    urls = objects(str(image), str(wrong) if as_text else wrong, "https://example.org/c.jpg")
    error = refused(lambda: made.append(items(image_url=urls)))
    assert error.problems is not None
    assert error.problems.index.tolist() == ["second"]
    assert reason in error.problems.loc["second", "reason"]
    assert requests == []
    result = made.append(items(image_url=urls), on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error", "new"]
    assert result.failed.index.tolist() == ["second"]


def test_an_address_is_a_path_where_local_says_so(local: npd.NucleusClient) -> None:
    error = refused(lambda: local.create_dataset("images").append(items(), local=True))
    assert error.problems is not None
    assert error.problems["reason"].str.contains("does not exist").all()
    assert npd.check(items(), "items", local=True)["reason"].str.contains("does not exist").all()
