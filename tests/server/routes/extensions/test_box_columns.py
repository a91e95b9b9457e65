"""Boxes as columns, on their way in."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.factories import SQUARE, box
from tests.server.routes.extensions.extension_http import HOSTILE, ExtensionHttp, columns_of, ids_in, shape


def test_columns_store_what_objects_would(http: ExtensionHttp) -> None:
    draw = random.Random(5)
    names = [*HOSTILE, "no such item"]
    rows: list[dict[str, Any]] = []
    for _ in range(700):  # more than one statement inserts, and some left
        sides = dict(zip(SQUARE, (draw.uniform(-9, 9), draw.randrange(9), draw.random(), 0), strict=True))
        metadata = draw.choice([None, {}, {"k": 1}, {"ü": [1.5, None, {"a": "\x00"}]}, {"iscrowd": True}])
        name = draw.choice(names)
        made = box(name, f"{draw.choice(HOSTILE)}{draw.randrange(200)}", label=draw.choice("abc"), geometry=sides)
        rows.append({**made, "metadata": metadata, "confidence": draw.choice([None, 0, 0.5, 1])})
    by_rows, by_columns = http.new_dataset(*HOSTILE), http.new_dataset(*HOSTILE)
    runs = http.new_run(by_rows), http.new_run(by_columns)
    boxes = {
        "keys": [row["reference_id"] for row in rows],
        **{name: [row[name] for row in rows] for name in ("annotation_id", "label", "confidence", "metadata")},
        **{side: [row["geometry"][side] for row in rows] for side in SQUARE},
    }
    answers = []
    for update in (False, False, True):
        for one, other in ((by_rows, by_columns), runs):
            first = http.annotate(one, annotations=rows, update=update)
            second = http.annotate(other, boxes=boxes, update=update)
            for answer in (first, second):
                answer.pop("dataset_id"), answer.pop("model_run_id", None)
            assert first == second
            answers.append(first["outcomes"])
    assert answers[0] != answers[2] != answers[4]
    for table, leading in (("annotation", 1), ("prediction", 2)):
        stored = http.table(table)
        half = len(stored) // 2
        assert half > 300
        plain = [(row[leading - 1] & 0xFFFFFFFF, *row[leading:]) for row in stored]
        assert plain[:half] == plain[half:]


def test_columns_of_item_ids(http: ExtensionHttp, abc: str) -> None:
    foreign = ids_in(http, http.new_dataset("a"))["a"]
    keys = [ids_in(http, abc)["b"], foreign, "b"]
    stored = http.annotate(abc, boxes=columns_of([(key, "x") for key in keys], by="item_id"))
    assert (stored["annotations_processed"], stored["outcomes"]) == (1, [["new", 1], ["error", 2]])
    assert stored["row_errors"] == [[n, f"Item with id {keys[n]} doesn't exist."] for n in (1, 2)]
    assert stored["errors"] == [text for _, text in stored["row_errors"]]


def test_columns_heed_update(http: ExtensionHttp, abc: str) -> None:
    http.annotate(abc, boxes=columns_of([("a", "1")]))
    again = columns_of([("a", "1"), ("a", "2")], label=["bus", "bus"])
    assert http.annotate(abc, boxes=again)["outcomes"] == [["ignored", 1], ["new", 1]]
    assert http.annotate(abc, boxes=again, update=True)["outcomes"] == [["updated", 2]]
    assert http.annotations(abc)["columns"]["label"] == ["bus", "bus"]


def test_no_boxes_are_no_change(http: ExtensionHttp, abc: str) -> None:
    assert http.annotate(abc, boxes=columns_of([]))["outcomes"] == []


def test_columns_of_different_lengths_are_refused_by_name(http: ExtensionHttp, abc: str) -> None:
    error = http.annotate(abc, 400, boxes=columns_of([("a", "1"), ("a", "2")], x=[1], confidence=[]))["error"]
    assert all(text in error for text in ("`keys` 2", "`x` 1", "`confidence` 0"))
    assert http.table("annotation") == []


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"x": [None]}, "$.boxes.x[0]"),
        ({"x": ["1"]}, "$.boxes.x[0]"),
        ({"width": [-1]}, "$.boxes.width[0]"),
        ({"annotation_id": [""]}, "$.boxes.annotation_id[0]"),
        ({"keys": [None]}, "$.boxes.keys[0]"),
        ({"label": [1]}, "$.boxes.label[0]"),
        ({"confidence": [2]}, "$.boxes.confidence[0]"),
        ({"metadata": [[]]}, "$.boxes.metadata[0]"),
        ({"by": "position"}, "$.boxes.by"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_where_it_stands(
    http: ExtensionHttp, abc: str, wrong: dict[str, Any], place: str
) -> None:
    assert place in http.annotate(abc, 400, boxes=columns_of([("a", "1")], **wrong))["error"]


@pytest.mark.parametrize(
    "value", [b'{"a":1e999}', b'{"a":"\xff"}', b'{"a":NaN}', b'{"a":' + b"9" * 5000 + b"}", b'"{"']
)
def test_metadata_that_nobody_could_read_is_refused(http: ExtensionHttp, abc: str, value: bytes) -> None:
    text = json.dumps({"boxes": columns_of([("a", "1")], metadata=["here"])}).encode()
    http("POST", f"_nucleus_pandas/dataset/{abc}/annotate", text.replace(b'"here"', value), 400)


@pytest.mark.parametrize("other", [{"annotations": [box("a", "2")]}, {"segmentations": [shape("mask")]}])
def test_columns_and_objects_in_one_request_are_refused(
    http: ExtensionHttp, abc: str, other: dict[str, object]
) -> None:
    assert "either" in http.annotate(abc, 400, boxes=columns_of([("a", "1")]), **other)["error"]


def test_the_contract_knows_no_columns(http: ExtensionHttp, abc: str) -> None:
    http("POST", f"dataset/{abc}/annotate", {"boxes": columns_of([("a", "1")])})
    assert http.table("annotation") == []


def test_a_signed_upload_may_come_to_the_routes_beyond_the_contract(http: ExtensionHttp, abc: str) -> None:
    url = http("GET", f"dataset/{abc}/signedUrl/first")["signed_url"]
    http.client.put(url, data=json.dumps(box("a", "1")).encode()).close()
    body = json.dumps({"requestId": "first"}).replace("request", "\\u0072equest").encode()
    assert http("POST", f"_nucleus_pandas/dataset/{abc}/annotate?async=1", body)["job_type"] == "uploadAnnotations"
    assert len(http.table("annotation")) == 1
