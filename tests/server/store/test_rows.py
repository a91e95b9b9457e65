"""Items and annotations in the store: whole, once, in their order."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleus_pandas.server.ingest.rows import Storing, store_annotations, store_items
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import datasets, items, layers, models
from nucleus_pandas.server.store.layers import AnnotationLayer
from nucleus_pandas.wire.requests import AddModel, CreateDataset, CreateModelRun
from tests.server.store.store_http import EVERY_TYPE, StoreHttp, box_row, common, image_row, new_box, new_items


def test_items_are_new_ignored_or_updated(http: StoreHttp) -> None:
    dataset = http.new_dataset()
    route = f"_nucleus_pandas/dataset/{dataset}/append"
    first = http("POST", route, {"items": [image_row(n, metadata={"v": 1}) for n in ("b", "a", "b", "c")]})
    assert first["outcomes"] == [["new", 2], ["ignored", 1], ["new", 1]]
    rows = [image_row(n, metadata={"v": 2}) for n in ("a", "d", "d")]
    again = http("POST", route, {"items": rows, "update": True})
    assert again["outcomes"] == [["updated", 1], ["new", 1], ["updated", 1]]
    assert (again["new_items"], again["updated_items"], again["ignored_items"]) == (1, 2, 0)
    third = http("POST", route, {"items": [image_row("a"), image_row("c", update=True)]})
    assert third["outcomes"] == [["ignored", 1], ["updated", 1]]
    listed = http("GET", f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [(i["reference_id"], i["metadata"]) for i in listed] == [
        ("b", {"v": 1}),
        ("a", {"v": 2}),
        ("c", {}),
        ("d", {"v": 2}),
    ]
    assert http("GET", f"dataset/{dataset}/size") == {"count": 4}


def test_the_last_of_two_items_in_one_call_counts_when_updating(http: StoreHttp) -> None:
    dataset = http.new_dataset()
    rows = [image_row("a", metadata={"v": v}) for v in range(3)]
    http("POST", f"dataset/{dataset}/append", {"items": rows, "update": True})
    assert http("GET", f"dataset/{dataset}/iloc/0")["item"]["metadata"] == {"v": 2}


def test_annotations_are_new_ignored_or_updated_and_keep_their_place(http: StoreHttp) -> None:
    dataset = http.new_dataset_of(2)
    route = f"_nucleus_pandas/dataset/{dataset}/annotate"
    rows = [box_row("0", "x"), box_row("1", "x"), box_row("0", "y"), box_row("0", "x", label="bus")]
    assert http("POST", route, {"annotations": rows})["outcomes"] == [["new", 3], ["ignored", 1]]
    rows = [box_row("0", "z"), box_row("0", "x", label="bus"), box_row("0", "z", label="van")]
    again = http("POST", route, {"annotations": rows, "update": True})
    assert again["outcomes"] == [["new", 1], ["updated", 2]]
    boxes = http("GET", f"dataset/{dataset}/refloc/0")["annotations"]["box"]
    assert [(b["annotation_id"], b["label"]) for b in boxes] == [("x", "bus"), ("y", "car"), ("z", "van")]
    assert [b["label"] for b in http("GET", f"dataset/{dataset}/refloc/1")["annotations"]["box"]] == ["car"]


def test_an_unknown_item_refuses_its_row_only(http: StoreHttp) -> None:
    dataset, other = http.new_dataset_of(1), http.new_dataset_of(1)
    foreign = http("GET", f"dataset/{other}/iloc/0")["item"]["id"]
    rows = [
        box_row("0", "x"),
        box_row("nowhere", "x"),
        box_row("0", "x", reference_id=None, item_id=foreign),
        box_row("0", "y"),
    ]
    answer = http("POST", f"_nucleus_pandas/dataset/{dataset}/annotate", {"annotations": rows})
    assert answer["outcomes"] == [["new", 1], ["error", 2], ["new", 1]]
    assert [row for row, _ in answer["row_errors"]] == [1, 2]
    assert http("GET", f"dataset/{other}/iloc/0")["annotations"]["box"] == []


def test_order_is_that_of_items_then_of_arrival(nucleus: EmbeddedNucleus) -> None:
    draw = random.Random(1)
    with nucleus.database.write() as db:
        dataset = datasets.create(db, CreateDataset(name="Order"))
        store_items(db, dataset, new_items([str(n) for n in range(20)]), update=False)
    layer = AnnotationLayer(None, ("dataset", dataset.id))
    sent: list[tuple[int, str]] = []
    for call in range(10):
        rows = [(draw.randrange(20), f"{call}-{draw.random()}") for _ in range(30)]
        sent += rows
        with nucleus.database.write() as db:
            store_annotations(db, layer, dataset, [new_box(str(n), key) for n, key in rows], Storing())
    with nucleus.database.read() as db:
        found = [(row.item & 0xFFFF, row.key) for row in layers.of_items(db, layer, 0, 1 << 62)]
    assert found == sorted(sent, key=lambda row: row[0])  # which is stable


def test_layers_do_not_mix(nucleus: EmbeddedNucleus) -> None:
    with nucleus.database.write() as db:
        dataset = datasets.create(db, CreateDataset(name="Layers"))
        store_items(db, dataset, new_items(["0", "1"]), update=False)
        model = models.add(db, AddModel(name="A model", reference_id="m"))
        runs = [models.create_run(db, model, dataset, CreateModelRun()).layer for _ in range(2)]
        truth = AnnotationLayer(None, ("dataset", dataset.id))
        for label, layer in zip("abc", (truth, *runs), strict=True):
            stored = store_annotations(
                db, layer, dataset, [new_box("0", "x", label), new_box("1", "x", label)], Storing(update=True)
            )
            assert stored.outcomes == ["new", "new"]
        for label, layer in zip("abc", (truth, *runs), strict=True):
            assert [row.label for row in layers.of_items(db, layer, 0, 1 << 62)] == [label, label]
        number = items.by_reference_id(db, dataset, "0").id
        items.delete(db, dataset, items.by_reference_id(db, dataset, "0").id)
        for layer in (truth, *runs):
            assert list(layers.of_item(db, layer, number)) == []
            assert len(list(layers.of_items(db, layer, 0, 1 << 62))) == 1


def without_id(described: dict[str, Any]) -> dict[str, Any]:
    assert described.pop("id").split("_")[0] in ("ann", "pred")
    assert described.pop("dataset_item_id").startswith("di_")
    if described["type"] in ("category", "multicategory"):
        assert described.pop("geometry") == {}
    return described


def test_every_type_comes_back_whole_as_ground_truth(http: StoreHttp) -> None:
    dataset = http.new_dataset_of(1)
    counters = http("POST", f"dataset/{dataset}/annotate", {"annotations": list(EVERY_TYPE.values())})
    assert counters["annotations_processed"] == len(EVERY_TYPE)
    groups = http("GET", f"dataset/{dataset}/refloc/0")["annotations"]
    assert {key: [without_id(row) for row in rows] for key, rows in groups.items()} == {
        key: [row] for key, row in EVERY_TYPE.items()
    }
    for row in EVERY_TYPE.values():
        one = http("GET", f"dataset/{dataset}/groundTruth/loc/0/{row['annotation_id']}")
        assert without_id(one) == row


def test_every_type_comes_back_whole_as_a_prediction(http: StoreHttp) -> None:
    dataset = http.new_dataset_of(1)
    run = http.new_run(dataset)
    sent = {key: {**row, "confidence": 0.5} for key, row in EVERY_TYPE.items() if key != "multicategory"}
    http("POST", f"modelRun/{run}/predict", {"annotations": list(sent.values())})
    for answer in (
        http("GET", f"modelRun/{run}/refloc/0")["annotations"],
        http("GET", f"modelRun/{run}/iloc/0")["annotations"],
        http("GET", f"modelRun/{run}/ungrouped"),
    ):
        assert {key: [without_id(row) for row in rows] for key, rows in answer.items()} == {
            key: [row] for key, row in sent.items()
        }
    assert http("GET", f"dataset/{dataset}/refloc/0")["annotations"]["box"] == []


def test_one_category_of_each_taxonomy_and_one_mask_an_item(http: StoreHttp) -> None:
    dataset = http.new_dataset_of(1)
    rows = [
        common(type="category", label=label, annotation_id=f"{taxonomy} {label}", taxonomy_name=taxonomy)
        for taxonomy, label in (("weather", "rainy"), ("light", "dark"), ("weather", "dry"))
    ]
    answer = http("POST", f"_nucleus_pandas/dataset/{dataset}/annotate", {"annotations": rows, "update": True})
    assert answer["outcomes"] == [["new", 2], ["updated", 1]]
    found = http("GET", f"dataset/{dataset}/refloc/0")["annotations"]["category"]
    assert [(c["annotation_id"], c["label"]) for c in found] == [("weather dry", "dry"), ("light dark", "dark")]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"n": 1},
        {"x": 1.0},
        {"x": -0.0},
        {"x": [1e300, 5e-324, 0.1 + 0.2, 1e16]},
        {"n": [2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]},
        {"n": 10**30},
        {"n": -(2**63) - 1},
        {"ключ 🚗": '\u0000\u2028\x7f"\\/', "": [[], {}, [{}], "", None, True, False]},
        {"deep": {"deep": {"deep": [[[[{"deep": 1}]]]]}}},
    ],
    ids=repr,
)
def test_metadata_comes_back_to_the_last_digit(http: StoreHttp, metadata: dict[str, object]) -> None:
    dataset = http.new_dataset()
    http("POST", f"dataset/{dataset}/append", {"items": [image_row("0", metadata=metadata)]})
    http("POST", f"dataset/{dataset}/annotate", {"annotations": [box_row("0", "x", metadata=metadata)]})
    found = http("GET", f"dataset/{dataset}/refloc/0")
    assert json.dumps(found["item"]["metadata"]) == json.dumps(metadata)
    assert json.dumps(found["annotations"]["box"][0]["metadata"]) == json.dumps(metadata)


def test_absent_metadata_is_an_empty_dict(http: StoreHttp) -> None:
    dataset = http.new_dataset()
    http("POST", f"dataset/{dataset}/append", {"items": [image_row("0", metadata=None), image_row("1")]})
    assert [i["metadata"] for i in http("GET", f"dataset/{dataset}/datasetItems")["dataset_items"]] == [{}, {}]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)  # half a surrogate pair is no text


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(TEXT, parts, max_size=3),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(metadata=st.dictionaries(TEXT, JSON_VALUES, max_size=4))
def test_any_metadata_comes_back(shared: EmbeddedNucleus, metadata: dict[str, object]) -> None:
    http = StoreHttp(shared)
    dataset = http.new_dataset()
    http("POST", f"dataset/{dataset}/append", {"items": [image_row("0", metadata=metadata)]})
    found = http("GET", f"dataset/{dataset}/iloc/0")["item"]["metadata"]
    assert json.dumps(found) == json.dumps(metadata)


def test_ids_of_users_never_meet_the_keys_of_the_store(http: StoreHttp) -> None:
    dataset = http.new_dataset_of(1)
    rows = [
        box_row("0", "\x1fmask"),
        box_row("0", "\x1fcategory\x1fweather"),
        EVERY_TYPE["category"],
        EVERY_TYPE["segmentation"],
    ]
    answer = http("POST", f"_nucleus_pandas/dataset/{dataset}/annotate", {"annotations": rows})
    assert answer["outcomes"] == [["new", 4]]


def test_reference_ids_of_any_text(http: StoreHttp) -> None:
    names = ["a/b/../c", "..", "100%", "ä€😀", " ", "x" * 2000, "a?b#c", "%2F", "'; DROP TABLE item; --"]
    dataset = http.new_dataset()
    http("POST", f"dataset/{dataset}/append", {"items": [image_row(name) for name in names]})
    listed = http("GET", f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [i["reference_id"] for i in listed] == names
