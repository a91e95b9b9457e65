"""Look-ups of annotations and predictions."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from nucleus_pandas.server.read import selections
from nucleus_pandas.wire.bulk import KEYS, ROWS, AnnotationPage
from tests.factories import CUBOID, MASK_URL, POSE, SEGMENTS, TRIANGLE, box, png
from tests.server.routes.extensions.extension_http import (
    HOSTILE,
    ExtensionHttp,
    columns_of,
    ids_in,
    multipart,
    references,
    shape,
)


def test_boxes_come_as_columns(http: ExtensionHttp, abc: str) -> None:
    http.annotate(abc, annotations=[box("a", "1", metadata={"k": 1}), box("c", "2", label="bus", confidence=0.5)])
    page = msgspec.convert(http.annotations(abc), AnnotationPage)
    found = page.columns
    assert (found.reference_id, found.annotation_id, found.label) == (["a", "c"], ["1", "2"], ["car", "bus"])
    assert (found.x, found.y, found.width, found.height) == ([1.0] * 2, [2.0] * 2, [3.0] * 2, [4.0] * 2)
    assert (found.type, found.geometry) == (["box", "box"], [None, None])
    assert (found.confidence, found.metadata) == ([None, 0.5], [{"k": 1}, {}])
    assert found.dataset_item_id == [ids_in(http, abc)[name] for name in ("a", "c")]
    assert (page.lengths, page.missing, page.next) == ([], [], None)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (shape("line"), TRIANGLE),
        (shape("polygon"), TRIANGLE),
        (shape("keypoints"), POSE),
        (shape("cuboid"), CUBOID),
        (shape("category"), {}),
        (shape("category", taxonomy_name="weather"), {"taxonomy_name": "weather"}),
        (shape("multicategory"), {"labels": ["rain", "night"]}),
        (
            shape("multicategory", taxonomy_name="weather"),
            {"labels": ["rain", "night"], "taxonomy_name": "weather"},
        ),
        (shape("mask"), {"mask_url": MASK_URL, "annotations": SEGMENTS}),
        (shape("polygon", track_reference_id="t", embedding_vector=[1.0]), TRIANGLE),
    ],
    ids=lambda value: str(value.get("type", "")),
)
def test_every_other_type_has_a_geometry(
    http: ExtensionHttp, abc: str, sent: dict[str, object], expected: dict[str, object]
) -> None:
    http.annotate(abc, annotations=[sent])
    found = http.annotations(abc)["columns"]
    assert (found["type"], found["geometry"]) == ([sent["type"]], [expected])
    assert [found[name] for name in ("x", "y", "width", "height")] == [[None]] * 4
    assert found["annotation_id"] == [sent["annotation_id"]]
    assert found["label"] == [sent.get("label")]


def test_a_category_is_laid_out_like_its_geometry(http: ExtensionHttp, abc: str) -> None:
    http.annotate(abc, annotations=[shape("category", metadata={"k": 1})])
    assert http.annotations(abc, columns=["geometry"])["columns"] == {"geometry": [{}]}
    assert http.annotations(abc, columns=["metadata"])["columns"] == {"metadata": [{"k": 1}]}


def test_an_uploaded_mask_has_an_address(http: ExtensionHttp, abc: str) -> None:
    text = json.dumps({"segmentations": [shape("mask")]}).encode()
    http("POST", f"_nucleus_pandas/dataset/{abc}/annotate", **multipart(text, "serialized_request", [png()], "mask"))
    (found,) = http.annotations(abc)["columns"]["geometry"]
    assert (set(found), found["annotations"]) == ({"mask_url", "annotations"}, SEGMENTS)
    assert "/_nucleus_pandas/masks/" in found["mask_url"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_annotation_ids_are_given_back(http: ExtensionHttp, abc: str, name: str) -> None:
    http.annotate(abc, annotations=[box("a", name), shape("mask", annotation_id=name)])
    assert http.annotations(abc, columns=["annotation_id"])["columns"]["annotation_id"] == [name, name]


def test_annotations_come_item_by_item_then_by_arrival(http: ExtensionHttp, abc: str) -> None:
    for key, name in [("b", "1"), ("a", "2"), ("b", "0"), ("a", "1")]:
        http.annotate(abc, annotations=[box(key, name)])
    assert http.annotations(abc)["columns"]["annotation_id"] == ["2", "1", "1", "0"]
    assert http.annotations(abc, reference_ids=["b", "a"])["columns"]["annotation_id"] == ["1", "0", "2", "1"]


@pytest.mark.parametrize("by", ["positions", "reference_ids", "item_ids"])
def test_lengths_tell_the_rows_of_each_key(http: ExtensionHttp, abc: str, by: str) -> None:
    http.annotate(abc, annotations=[box("a", "1"), box("a", "2"), box("c", "3")])
    ids = ids_in(http, abc)
    keys: dict[str, list[Any]] = {
        "positions": [2, 9, 1, 0, 2],
        "reference_ids": ["c", "x", "b", "a", "c"],
        "item_ids": [ids["c"], "di_x", ids["b"], ids["a"], ids["c"]],
    }
    page = http.annotations(abc, **{by: keys[by]})
    assert (page["lengths"], page["missing"]) == ([1, 0, 0, 2, 1], [1])
    assert page["columns"]["annotation_id"] == ["3", "1", "2", "3"]


def test_whole_keys_are_answered_until_there_are_enough_rows(
    http: ExtensionHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(n) for n in range(30)]
    dataset = http.new_dataset(*names)
    rows = [(name, f"{name}-{n}") for name in names for n in range(int(name) % 4)]
    http.annotate(dataset, boxes=columns_of(rows))
    monkeypatch.setattr(selections, "ROWS", 10)
    monkeypatch.setattr(selections, "_KEYS", 4)
    wanted = random.Random(1).choices([*names, "x"], k=200)
    left, found, rounds = wanted, [], 0
    while left:
        page = http.annotations(dataset, reference_ids=left, columns=["annotation_id"])
        count = len(page["lengths"])
        ids = page["columns"]["annotation_id"]
        assert sum(page["lengths"]) == len(ids) < 10 + 3
        assert len(ids) >= 10 or count == len(left)
        assert page["missing"] == [place for place, name in enumerate(left[:count]) if name == "x"]
        found += ids
        left = left[count:]
        rounds += 1
    assert found == [name for key in wanted for k, name in rows if k == key]
    assert rounds > 10


def test_an_item_with_more_rows_than_a_page_is_answered_whole(http: ExtensionHttp, abc: str) -> None:
    for start in range(0, ROWS + 5, 5_000):
        rows = [("a", str(n)) for n in range(start, min(start + 5_000, ROWS + 5))]
        http.annotate(abc, boxes=columns_of(rows))
    page = http.annotations(abc, positions=[0, 1], columns=["label"])
    assert (page["lengths"], len(page["columns"]["label"])) == ([ROWS + 5], ROWS + 5)


def test_as_many_keys_without_annotations_as_a_look_up_takes(http: ExtensionHttp) -> None:
    dataset = http.new_dataset(*map(str, range(KEYS)))
    http.annotate(dataset, boxes=columns_of([("77", "x")]))
    page = http.annotations(dataset, positions=list(range(KEYS))[::-1])
    assert (len(page["lengths"]), sum(page["lengths"]), references(page)) == (KEYS, 1, ["77"])


@pytest.mark.parametrize("deleted", [[], ["b"], ["a", "c"]])
def test_annotations_come_in_pages_that_deletes_do_not_disturb(
    http: ExtensionHttp, abc: str, deleted: list[str]
) -> None:
    rows = [(key, f"{key}{n}") for key in "abc" for n in range(4)]
    http.annotate(abc, boxes=columns_of(rows))
    page = http.annotations(abc, limit=3)
    found = list(page["columns"]["annotation_id"])
    http.forget(abc, *deleted)
    while page["next"] is not None:
        page = http.annotations(abc, limit=3, after=page["next"])
        found += page["columns"]["annotation_id"]
    assert found == [name for n, (key, name) in enumerate(rows) if n < 3 or key not in deleted]


def test_pages_end_between_the_annotations_of_one_item(http: ExtensionHttp, abc: str) -> None:
    http.annotate(abc, boxes=columns_of([("a", str(n)) for n in range(4)]))
    first = http.annotations(abc, limit=2)
    second = http.annotations(abc, limit=2, after=first["next"])
    assert [page["columns"]["annotation_id"] for page in (first, second)] == [["0", "1"], ["2", "3"]]
    assert second["next"] is None


def test_predictions_are_those_of_their_run(http: ExtensionHttp, abc: str) -> None:
    one, other = http.new_run(abc), http.new_run(abc)
    http.annotate(one, boxes=columns_of([("b", "1"), ("a", "2")], confidence=[0.25, None]))
    http.annotate(other, boxes=columns_of([("a", "3")]))
    http.annotate(abc, boxes=columns_of([("a", "4")]))
    found = http.annotations(one)["columns"]
    assert (found["annotation_id"], found["confidence"]) == (["2", "1"], [None, 0.25])
    assert http.annotations(one, positions=[0, 1, 2])["lengths"] == [1, 1, 0]
    assert http.annotations(other, limit=1)["columns"]["annotation_id"] == ["3"]
