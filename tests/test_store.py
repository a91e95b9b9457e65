"""The store of an embedded Nucleus: what was answered is there, once, whole, in its order, whatever happens."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.server.app import create_app
from nucleus_pandas.server.ingest import upload_jobs
from nucleus_pandas.server.ingest.rows import Stored, store_annotations, store_items
from nucleus_pandas.server.media.files import Images
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import datasets, items, jobs, layers, models, purge
from nucleus_pandas.server.store import positions as places
from nucleus_pandas.server.store.database import Database
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import item_id
from nucleus_pandas.server.store.layers import Layer
from nucleus_pandas.wire.entities import Box, BoxGeometry, Item
from nucleus_pandas.wire.requests import AddModel, CreateDataset, CreateModelRun

TABLES = ("dataset", "item", "hole", "annotation", "run", "prediction", "match", "upload")


class Http:
    """Requests to an embedded Nucleus, as any client of the contract makes them."""

    def __init__(self, nucleus: EmbeddedNucleus) -> None:
        self.application: Flask = create_app(nucleus)
        self.client: FlaskClient = self.application.test_client()

    def __call__(self, method: str, path: str, body: object = None, status: int = 200, **fields: Any) -> Any:
        if body is not None:
            fields |= {"data": json.dumps(body), "content_type": "application/json"}
        path = path if path.startswith("http") else f"http://127.0.0.1/v1/nucleus/{path}"
        response = self.client.open(path, method=method, **fields)
        assert response.status_code == status, response.text
        return json.loads(response.data)

    def new_dataset(self, count: int = 0, **fields: object) -> str:
        """Make a dataset of `count` images named 0, 1, 2, …"""
        made: str = self("POST", "dataset/create", {"name": "Images", **fields})["dataset_id"]
        if count:
            self("POST", f"dataset/{made}/append", {"items": [image_row(str(n)) for n in range(count)]})
        return made

    def new_run(self, dataset: str, reference_id: str = "model") -> str:
        self("POST", "models/add", {"name": "A model", "reference_id": reference_id})
        made: str = self("POST", f"dataset/{dataset}/modelRun/create", {"reference_id": reference_id})["model_run_id"]
        return made

    def upload(self, dataset: str, lines: Sequence[bytes], route: str, request_id: str = "first") -> dict[str, Any]:
        """Send rows through a signed address, and give the job."""
        url = self("GET", f"dataset/{dataset}/signedUrl/{request_id}")["signed_url"]
        self("PUT", url, data=b"\n".join(lines))
        job: dict[str, Any] = self("POST", f"{route}?async=1", {"requestId": request_id})
        return job


def image_row(name: str, **fields: object) -> dict[str, object]:
    return {"reference_id": name, "image_url": f"https://example.org/{name}", **fields}


def box_row(name: str, annotation_id: str, **fields: object) -> dict[str, object]:
    geometry = {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}
    return {
        "type": "box",
        "label": "car",
        "reference_id": name,
        "annotation_id": annotation_id,
        "geometry": geometry,
        **fields,
    }


def new_items(names: Sequence[str]) -> list[Item]:
    return [Item(reference_id=name, image_url=f"https://example.org/{name}") for name in names]


def new_box(name: str, annotation_id: str | None = None, label: str = "car") -> Box:
    return Box(reference_id=name, annotation_id=annotation_id, label=label, geometry=BoxGeometry(1, 2, 3, 4))


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def rows_in(nucleus: EmbeddedNucleus, *tables: str) -> dict[str, int]:
    with nucleus.database.read() as db:
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def stored_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def png(color: str, size: tuple[int, int] = (8, 6)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def nucleus(store: Path) -> Iterator[EmbeddedNucleus]:
    made = EmbeddedNucleus(store)
    yield made
    made.close()


@pytest.fixture
def http(nucleus: EmbeddedNucleus) -> Http:
    return Http(nucleus)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNucleus]:
    """A store that many examples use, each with a dataset of its own."""
    made = EmbeddedNucleus(tmp_path_factory.mktemp("shared"))
    yield made
    made.close()


# Positions


class Positions:
    """A dataset beside the plain list that it should be."""

    def __init__(self, nucleus: EmbeddedNucleus) -> None:
        self.nucleus = nucleus
        self.names: list[str] = []
        self.given = 0
        with nucleus.database.write() as db:
            self.public_id = datasets.create(db, CreateDataset(name="Positions")).public_id

    def find(self, db: sqlite3.Connection) -> Dataset:
        return datasets.find(db, self.public_id)

    def append(self, count: int) -> None:
        names = [f"{self.given + n}.jpg" for n in range(count)]
        self.given += count
        with self.nucleus.database.write() as db:
            assert store_items(db, self.find(db), new_items(names), update=False).outcomes == ["new"] * count
        self.names += names

    def delete(self, places: set[int]) -> None:
        with self.nucleus.database.write() as db:
            for place in places:
                items.delete(
                    db, self.find(db), items.by_reference_id(db, dataset=self.find(db), reference_id=self.names[place])
                )
        self.names = [name for place, name in enumerate(self.names) if place not in places]

    def check(self, places: Sequence[int] | None = None) -> None:
        with self.nucleus.database.read() as db:
            dataset = self.find(db)
            assert dataset.length == len(self.names)
            for place in range(len(self.names)) if places is None else places:
                assert items.at_position(db, dataset, place).reference_id == self.names[place]
            assert [row.reference_id for row in items.page(db, dataset)] == self.names
            for outside in (-1, len(self.names), len(self.names) + 64, 1 << 32, 1 << 70, -(1 << 70)):
                with pytest.raises(npd.PositionError):
                    items.at_position(db, dataset, outside)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 150), st.floats(0, 1), st.randoms(use_true_random=False)), max_size=5),
    bits=st.sampled_from([1, 2, 6]),
)
def test_positions_are_those_of_a_list(
    shared: EmbeddedNucleus, steps: list[tuple[int, float, random.Random]], bits: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "FAN_OUT_BITS", bits)  # small blocks: few items reach every level
        positions = Positions(shared)
        for count, share, draw in steps:
            positions.append(count)
            positions.delete({place for place in range(len(positions.names)) if draw.random() < share})
            positions.check()


def test_positions_among_several_thousand_items(shared: EmbeddedNucleus) -> None:
    draw = random.Random(3)
    positions = Positions(shared)
    positions.append(9_000)  # two blocks of level 2, and some of a third
    positions.check(draw.sample(range(9_000), 100))
    # random ones; whole blocks of 64, one beside the other; the first and the last; a whole block of 4,096
    kept = draw.sample(range(9_000), 2_500)
    positions.delete(set(kept) | set(range(640, 896)) | {0, 8_999})
    left = len(positions.names)
    positions.check([0, 1, left - 1, *draw.sample(range(left), 1_000)])
    positions.append(70)
    positions.check([left - 1, left, left + 69])
    second = [place for place, name in enumerate(positions.names) if 4_096 <= int(name.split(".")[0]) < 8_192]
    positions.delete(set(second))
    left = len(positions.names)
    positions.check([0, left - 1, second[0] - 1, second[0], *draw.sample(range(left), 500)])


def test_whole_blocks_empty(shared: EmbeddedNucleus) -> None:
    positions = Positions(shared)
    positions.append(64 * 5)
    for block in (slice(64, 128), slice(0, 64), slice(128, 192)):  # a middle one, the first, then the last
        positions.delete(set(range(len(positions.names))[block]))
        positions.check()
    positions.delete(set(range(len(positions.names))))
    positions.check()
    positions.append(65)
    positions.check()


def test_an_item_that_comes_back_stands_at_the_end(shared: EmbeddedNucleus) -> None:
    positions = Positions(shared)
    positions.append(3)
    positions.delete({0})
    with shared.database.write() as db:
        assert store_items(db, positions.find(db), new_items(["0.jpg"]), update=False).outcomes == ["new"]
    positions.names.append("0.jpg")
    positions.check()


# Items and annotations


def test_items_are_new_ignored_or_updated(http: Http) -> None:
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


def test_the_last_of_two_items_in_one_call_counts_when_updating(http: Http) -> None:
    dataset = http.new_dataset()
    rows = [image_row("a", metadata={"v": v}) for v in range(3)]
    http("POST", f"dataset/{dataset}/append", {"items": rows, "update": True})
    assert http("GET", f"dataset/{dataset}/iloc/0")["item"]["metadata"] == {"v": 2}


def test_annotations_are_new_ignored_or_updated_and_keep_their_place(http: Http) -> None:
    dataset = http.new_dataset(2)
    route = f"_nucleus_pandas/dataset/{dataset}/annotate"
    rows = [box_row("0", "x"), box_row("1", "x"), box_row("0", "y"), box_row("0", "x", label="bus")]
    assert http("POST", route, {"annotations": rows})["outcomes"] == [["new", 3], ["ignored", 1]]
    rows = [box_row("0", "z"), box_row("0", "x", label="bus"), box_row("0", "z", label="van")]
    again = http("POST", route, {"annotations": rows, "update": True})
    assert again["outcomes"] == [["new", 1], ["updated", 2]]
    boxes = http("GET", f"dataset/{dataset}/refloc/0")["annotations"]["box"]
    assert [(b["annotation_id"], b["label"]) for b in boxes] == [("x", "bus"), ("y", "car"), ("z", "van")]
    assert [b["label"] for b in http("GET", f"dataset/{dataset}/refloc/1")["annotations"]["box"]] == ["car"]


def test_an_unknown_item_refuses_its_row_only(http: Http) -> None:
    dataset, other = http.new_dataset(1), http.new_dataset(1)
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
    layer = Layer(None, ("dataset", dataset.id))
    sent: list[tuple[int, str]] = []
    for call in range(10):
        rows = [(draw.randrange(20), f"{call}-{draw.random()}") for _ in range(30)]
        sent += rows
        with nucleus.database.write() as db:
            store_annotations(db, layer, dataset, [new_box(str(n), key) for n, key in rows], update=False)
    with nucleus.database.read() as db:
        found = [(row.item & 0xFFFF, row.key) for row in layers.of_items(db, layer, 0, 1 << 62)]
    assert found == sorted(sent, key=lambda row: row[0])  # which is stable


def test_layers_do_not_mix(nucleus: EmbeddedNucleus) -> None:
    with nucleus.database.write() as db:
        dataset = datasets.create(db, CreateDataset(name="Layers"))
        store_items(db, dataset, new_items(["0", "1"]), update=False)
        model = models.add(db, AddModel(name="A model", reference_id="m"))
        runs = [models.create_run(db, model, dataset, CreateModelRun()).layer for _ in range(2)]
        truth = Layer(None, ("dataset", dataset.id))
        for label, layer in zip("abc", (truth, *runs), strict=True):
            stored = store_annotations(
                db, layer, dataset, [new_box("0", "x", label), new_box("1", "x", label)], update=True
            )
            assert stored.outcomes == ["new", "new"]
        for label, layer in zip("abc", (truth, *runs), strict=True):
            assert [row.label for row in layers.of_items(db, layer, 0, 1 << 62)] == [label, label]
        number = items.by_reference_id(db, dataset, "0").id
        items.delete(db, dataset, items.by_reference_id(db, dataset, "0"))
        for layer in (truth, *runs):
            assert list(layers.of_item(db, layer, number)) == []
            assert len(list(layers.of_items(db, layer, 0, 1 << 62))) == 1


def common(**fields: object) -> dict[str, object]:
    return {"reference_id": "0", "metadata": {"deep": [{"ä": None}], "one": 1, "whole": 1.0}, **fields}


VERTICES = {"vertices": [{"x": 0.5, "y": 1.25}, {"x": 1e-7, "y": -3.0}, {"x": 1e9, "y": 0.1}]}
EVERY_TYPE: dict[str, dict[str, object]] = {
    "box": common(
        type="box",
        label="car",
        annotation_id="a box",
        geometry={"x": -1.5, "y": 0.1, "width": 0.0, "height": 1e9},
        class_pdf={"car": 0.75, "bus": 0.25},
        track_reference_id="track 7",
        embedding_vector=[0.1, -2.0],
    ),
    "line": common(type="line", label="lane", annotation_id="a line", geometry=VERTICES),
    "polygon": common(type="polygon", label="grass\n☘", annotation_id="a polygon", geometry=VERTICES),
    "keypoints": common(
        type="keypoints",
        label="person",
        annotation_id="some keypoints",
        geometry={
            "keypoints": [
                {"x": 1.0, "y": 2.0, "visible": False},
                {"visible": False},
                {"x": None, "y": 4.0, "visible": False},
            ],
            "names": ["head", "hand", "foot"],
            "skeleton": [[0, 1], [1, 2]],
        },
    ),
    "cuboid": common(
        type="cuboid",
        label="car",
        annotation_id="a cuboid",
        geometry={
            "position": {"x": 1.0, "y": 2.0, "z": 3.0},
            "dimensions": {"x": 4.5, "y": 5.0, "z": 6.0},
            "yaw": -0.5,
        },
    ),
    "category": common(type="category", label="rainy", annotation_id="a category", taxonomy_name="weather"),
    "multicategory": common(
        type="multicategory", labels=["rainy", "dark"], annotation_id="several", taxonomy_name="light"
    ),
    "segmentation": common(
        type="mask",
        mask_url="https://example.org/mask.png",
        annotation_id="a mask",
        annotations=[{"label": "sky", "index": 1}, {"label": "road", "index": 2, "metadata": {"wet": True}}],
    ),
}


def without_id(described: dict[str, Any]) -> dict[str, Any]:
    assert described.pop("id").split("_")[0] in ("ann", "pred")
    assert described.pop("dataset_item_id").startswith("di_")
    if described["type"] in ("category", "multicategory"):
        assert described.pop("geometry") == {}
    return described


def test_every_type_comes_back_whole_as_ground_truth(http: Http) -> None:
    dataset = http.new_dataset(1)
    counters = http("POST", f"dataset/{dataset}/annotate", {"annotations": list(EVERY_TYPE.values())})
    assert counters["annotations_processed"] == len(EVERY_TYPE)
    groups = http("GET", f"dataset/{dataset}/refloc/0")["annotations"]
    assert {key: [without_id(row) for row in rows] for key, rows in groups.items()} == {
        key: [row] for key, row in EVERY_TYPE.items()
    }
    for row in EVERY_TYPE.values():
        one = http("GET", f"dataset/{dataset}/groundTruth/loc/0/{row['annotation_id']}")
        assert without_id(one) == row


def test_every_type_comes_back_whole_as_a_prediction(http: Http) -> None:
    dataset = http.new_dataset(1)
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


def test_one_category_of_each_taxonomy_and_one_mask_an_item(http: Http) -> None:
    dataset = http.new_dataset(1)
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
def test_metadata_comes_back_to_the_last_digit(http: Http, metadata: dict[str, object]) -> None:
    dataset = http.new_dataset()
    http("POST", f"dataset/{dataset}/append", {"items": [image_row("0", metadata=metadata)]})
    http("POST", f"dataset/{dataset}/annotate", {"annotations": [box_row("0", "x", metadata=metadata)]})
    found = http("GET", f"dataset/{dataset}/refloc/0")
    assert json.dumps(found["item"]["metadata"]) == json.dumps(metadata)
    assert json.dumps(found["annotations"]["box"][0]["metadata"]) == json.dumps(metadata)


def test_absent_metadata_is_an_empty_dict(http: Http) -> None:
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
    http = Http(shared)
    dataset = http.new_dataset()
    http("POST", f"dataset/{dataset}/append", {"items": [image_row("0", metadata=metadata)]})
    found = http("GET", f"dataset/{dataset}/iloc/0")["item"]["metadata"]
    assert json.dumps(found) == json.dumps(metadata)


def test_ids_of_users_never_meet_the_keys_of_the_store(http: Http) -> None:
    dataset = http.new_dataset(1)
    rows = [
        box_row("0", "\x1fmask"),
        box_row("0", "\x1fcategory\x1fweather"),
        EVERY_TYPE["category"],
        EVERY_TYPE["segmentation"],
    ]
    answer = http("POST", f"_nucleus_pandas/dataset/{dataset}/annotate", {"annotations": rows})
    assert answer["outcomes"] == [["new", 4]]


def test_reference_ids_of_any_text(http: Http) -> None:
    names = ["a/b/../c", "..", "100%", "ä€😀", " ", "x" * 2000, "a?b#c", "%2F", "'; DROP TABLE item; --"]
    dataset = http.new_dataset()
    http("POST", f"dataset/{dataset}/append", {"items": [image_row(name) for name in names]})
    listed = http("GET", f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [i["reference_id"] for i in listed] == names


# Transactions, threads, processes


def test_a_failing_transaction_leaves_nothing(nucleus: EmbeddedNucleus) -> None:
    with nucleus.database.write() as db:
        dataset = datasets.create(db, CreateDataset(name="Whole"))
    before = rows_in(nucleus, *TABLES)

    def fail() -> None:
        with nucleus.database.write() as db:
            store_items(db, dataset, new_items(["0", "1"]), update=False)
            store_annotations(db, Layer(None, ("dataset", dataset.id)), dataset, [new_box("0")], update=False)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert rows_in(nucleus, *TABLES) == before
    with nucleus.database.write() as db:
        assert datasets.find(db, dataset.public_id).length == 0
        assert store_items(db, dataset, new_items(["0"]), update=False).outcomes == ["new"]


def test_a_refused_request_leaves_nothing(http: Http, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset(1)
    before = rows_in(nucleus, *TABLES)
    http("POST", f"dataset/{dataset}/append", {"items": [image_row("x"), {"reference_id": "y"}]}, 400)
    http("POST", f"dataset/{dataset}/annotate", {"annotations": [box_row("0", "a"), box_row("0", "b", type="?")]}, 400)
    http("POST", f"dataset/{dataset}/annotate", {"annotations": [box_row("0", "a", item_id="di_1")]}, 400)
    assert rows_in(nucleus, *TABLES) == before


def test_a_reader_sees_one_moment(nucleus: EmbeddedNucleus) -> None:
    with nucleus.database.write() as db:
        dataset = datasets.create(db, CreateDataset(name="Moment"))
    with nucleus.database.read() as reader:
        assert datasets.find(reader, dataset.public_id).length == 0
        with nucleus.database.write() as db:
            store_items(db, dataset, new_items(["0"]), update=False)
        assert datasets.find(reader, dataset.public_id).length == 0
    with nucleus.database.read() as reader:
        assert datasets.find(reader, dataset.public_id).length == 1


def test_threads_append_at_once(http: Http, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset()
    counts: list[int] = []
    failures: list[BaseException] = []

    def work(number: int, mine: Http) -> None:
        try:
            for call in range(10):
                names = [f"own-{number}-{call}-{n}" for n in range(10)] + [f"shared-{call}-{n}" for n in range(10)]
                rows = [image_row(name) for name in names]
                counts.append(mine("POST", f"dataset/{dataset}/append", {"items": rows})["new_items"])
                boxes = [box_row(name, "x") for name in names]
                mine("POST", f"dataset/{dataset}/annotate", {"annotations": boxes})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number, Http(nucleus))) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(counts) == 6 * 100 + 100
    assert http("GET", f"dataset/{dataset}/size") == {"count": 700}
    assert rows_in(nucleus, "item", "annotation") == {"item": 700, "annotation": 700}


@contextmanager
def sqlite3_of(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the database of a store without the package."""
    with closing(sqlite3.connect(folder / "nucleus.sqlite", isolation_level=None)) as db:
        yield db


def test_many_open_a_new_folder_at_once(tmp_path: Path) -> None:
    for number in range(5):
        barrier = threading.Barrier(6)
        opened: list[Database] = []
        failures: list[BaseException] = []

        def work(folder: Path, barrier: threading.Barrier, opened: list[Database], failures: list[Any]) -> None:
            barrier.wait()
            try:
                opened.append(Database(folder))
            except BaseException as error:
                failures.append(error)

        arguments = (tmp_path / str(number), barrier, opened, failures)
        threads = [threading.Thread(target=work, args=arguments) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for database in opened:
            database.close()
        assert failures == []


# Folders that are no store


def test_a_database_of_something_else_is_refused_and_left_as_it_is(store: Path) -> None:
    store.mkdir()
    with sqlite3_of(store) as db:
        db.execute("CREATE TABLE song (title TEXT)")
        db.execute("PRAGMA application_id = 7")
    before = (store / "nucleus.sqlite").read_bytes()
    with pytest.raises(npd.StoreError, match="database of something else"):
        EmbeddedNucleus(store)
    assert (store / "nucleus.sqlite").read_bytes() == before


def test_a_newer_store_is_refused(store: Path) -> None:
    EmbeddedNucleus(store).close()
    with sqlite3_of(store) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(npd.StoreError, match="newer nucleus_pandas .*99.*upgrade"):
        EmbeddedNucleus(store)


def test_a_file_that_is_no_database_is_refused(store: Path) -> None:
    store.mkdir()
    (store / "nucleus.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(npd.StoreError, match="cannot be opened as a store"):
        EmbeddedNucleus(store)


def test_a_file_as_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    with pytest.raises(npd.StoreError, match="is a file"):
        EmbeddedNucleus(path)
    with pytest.raises(npd.StoreError, match="cannot be opened as a store"):
        EmbeddedNucleus(path / "below")


@pytest.mark.parametrize("name", ["x" * 300, "zero\0byte"], ids=["too long", "zero byte"])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(npd.StoreError):
        EmbeddedNucleus(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="this user may write everywhere")
def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        for folder in (tmp_path, tmp_path / "below"):
            with pytest.raises(npd.StoreError, match="cannot be opened as a store"):
                EmbeddedNucleus(folder)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="has no /proc")
def test_a_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(npd.StoreError, match="cannot be opened as a store"):
        EmbeddedNucleus("/proc/nucleus_pandas")


# Closing, reopening


def test_reopening_gives_everything(store: Path) -> None:
    first = EmbeddedNucleus(store)
    http = Http(first)
    dataset = http.new_dataset(3)
    run = http.new_run(dataset)
    http("POST", f"dataset/{dataset}/annotate", {"annotations": [*EVERY_TYPE.values(), box_row("1", "x")]})
    http("POST", f"modelRun/{run}/predict", {"annotations": [box_row("0", "p", confidence=0.25)]})
    http("DELETE", f"dataset/{dataset}/refloc/2")
    paths = [
        "dataset/details",
        f"dataset/{dataset}/info",
        f"dataset/{dataset}/datasetItems",
        f"dataset/{dataset}/refloc/0",
        f"dataset/{dataset}/iloc/1",
        f"modelRun/{run}/ungrouped",
        f"modelRun/{run}/info",
        "models/",
    ]
    before = [http("GET", path) for path in paths]
    first.close()
    second = EmbeddedNucleus(store)
    assert [Http(second)("GET", path) for path in paths] == before
    second.close()


def test_closing_twice_and_using_what_is_closed(store: Path) -> None:
    nucleus = EmbeddedNucleus(store)
    nucleus.close()
    nucleus.close()
    with pytest.raises(npd.StoreError, match="is closed"), nucleus.database.read():
        pass


def test_closing_waits_for_jobs(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    monkeypatch.setattr(upload_jobs, "_ROWS", 10)
    nucleus = EmbeddedNucleus(store)
    http = Http(nucleus)
    dataset = http.new_dataset()
    nucleus.submit(lambda: time.sleep(0.3))
    lines = [json.dumps(image_row(str(n))).encode() for n in range(200)]
    job = http.upload(dataset, lines, f"dataset/{dataset}/append")
    assert job["job_last_known_status"] == "Running"
    nucleus.close()
    nucleus = EmbeddedNucleus(store)
    http = Http(nucleus)
    assert http("GET", f"job/{job['job_id']}")["status"] == "Completed"
    assert http("GET", f"dataset/{dataset}/size") == {"count": 200}
    nucleus.close()


def test_a_temporary_store_goes() -> None:
    nucleus = EmbeddedNucleus()
    Http(nucleus).new_dataset(1)
    assert nucleus.folder.is_dir()
    nucleus.close()
    assert not nucleus.folder.exists()


# Deleting


def fill(nucleus: EmbeddedNucleus, count: int, boxes: int) -> tuple[Dataset, models.Run]:
    """Make a dataset of `count` items, each with ground truth and predictions of as many boxes."""
    names = [str(n) for n in range(count)]
    with nucleus.database.write() as db:
        dataset = datasets.create(db, CreateDataset(name="Deleted"))
        store_items(db, dataset, new_items(names), update=False)
        model = models.add(db, AddModel(name="A model", reference_id="m"))
        run = models.create_run(db, model, dataset, CreateModelRun())
        for layer in (Layer(None, ("dataset", dataset.id)), run.layer):
            rows = [new_box(name, str(n)) for name in names for n in range(boxes)]
            store_annotations(db, layer, dataset, rows, update=False)
    return dataset, run


def test_a_deleted_dataset_is_gone_at_once_and_its_rows_soon(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "STEP", 1_000)
    nucleus = EmbeddedNucleus(store)
    http = Http(nucleus)
    kept, _ = fill(nucleus, 10, 10)
    dataset, run = fill(nucleus, 2_000, 10)
    http("DELETE", f"dataset/{dataset.public_id}/refloc/77")
    release = threading.Event()
    nucleus.submit(lambda: release.wait(10) and None)  # the worker is busy: what was not removed at once waits
    http("DELETE", f"dataset/{dataset.public_id}", {})
    assert rows_in(nucleus, "prediction")["prediction"] > 1_000
    assert http("GET", "dataset/") == [kept.public_id]
    http("GET", f"dataset/{dataset.public_id}/info", status=404)
    http("GET", f"dataset/{dataset.public_id}/iloc/0", status=404)
    http("GET", f"modelRun/{run.public_id}/info", status=404)
    http("GET", f"modelRun/{run.public_id}/ungrouped", status=404)
    one = box_row("x", "x", reference_id=None, item_id=item_id(dataset.tag, 5))
    http("POST", f"dataset/{kept.public_id}/annotate", {"annotations": [one]})
    closing = threading.Thread(target=nucleus.close)
    closing.start()
    wait_for(lambda: nucleus._closing.is_set())
    release.set()
    closing.join()

    nucleus = EmbeddedNucleus(store)
    wait_for(lambda: rows_in(nucleus, "dataset") == {"dataset": 1})
    assert rows_in(nucleus, *TABLES) == {
        "dataset": 1,
        "item": 10,
        "hole": 0,
        "annotation": 100,
        "run": 1,
        "prediction": 100,
        "match": 0,
        "upload": 0,
    }
    assert len(Http(nucleus)("GET", f"dataset/{kept.public_id}/iloc/9")["annotations"]["box"]) == 10
    nucleus.close()


@pytest.mark.parametrize("route", ["modelRun", "model"])
def test_the_rows_of_a_deleted_run_go_after_reopening(store: Path, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    monkeypatch.setattr(purge, "STEP", 100)
    nucleus = EmbeddedNucleus(store)
    _, run = fill(nucleus, 100, 10)
    nucleus._closing.set()  # as when closing comes right behind: the worker removes nothing more
    Http(nucleus)("DELETE", f"modelRun/{run.public_id}" if route == "modelRun" else f"model/prj_{run.model_tag}")
    nucleus.close()
    nucleus = EmbeddedNucleus(store)
    try:
        wait_for(lambda: rows_in(nucleus, "run", "prediction") == {"run": 0, "prediction": 0}, 2)
    finally:
        nucleus.close()


def test_a_run_that_spans_datasets_outlives_one_of_them(http: Http, nucleus: EmbeddedNucleus) -> None:
    first, second = http.new_dataset(1), http.new_dataset(1)
    model = http("POST", "models/add", {"name": "A model", "reference_id": "m"})["model_id"]
    run = http("POST", f"model/{model}/modelRun/create", {"name": "Free"})["model_run_id"]
    rows = [box_row("0", name, dataset_id=name) for name in (first, second)]
    assert http("POST", f"modelRun/{run}/predict", {"annotations": rows})["predictions_processed"] == 2
    http("POST", f"modelRun/{run}/commit", {})
    http("DELETE", f"dataset/{first}", {})
    wait_for(lambda: rows_in(nucleus, "dataset") == {"dataset": 1})
    assert [b["annotation_id"] for b in http("GET", f"modelRun/{run}/ungrouped")["box"]] == [second]
    assert rows_in(nucleus, "prediction") == {"prediction": 1}
    http("POST", f"modelRun/{run}/commit", {})
    http("GET", f"_nucleus_pandas/modelRun/{run}/matches")


def append_files(http: Http, dataset: str, images: dict[str, bytes], status: int = 200, **fields: object) -> Any:
    rows = [{"reference_id": name, **fields} for name in images]
    files = [(io.BytesIO(content), name) for name, content in images.items()]
    return http("POST", f"dataset/{dataset}/append", status=status, data={"items": json.dumps(rows), "image": files})


def test_files_of_a_deleted_dataset_go_unless_another_names_them(http: Http, nucleus: EmbeddedNucleus) -> None:
    one, other = http.new_dataset(), http.new_dataset()
    red, blue, green = (png(color) for color in ("red", "blue", "green"))
    append_files(http, one, {"red.png": red, "blue.png": blue})
    append_files(http, other, {"red.png": red, "green.png": green})
    assert len(stored_files(nucleus.images.folder)) == 3
    http("DELETE", f"dataset/{one}", {})
    wait_for(lambda: rows_in(nucleus, "dataset") == {"dataset": 1})
    assert {path.read_bytes() for path in stored_files(nucleus.images.folder)} == {red, green}
    http("DELETE", f"dataset/{other}", {})
    wait_for(lambda: rows_in(nucleus, "dataset") == {"dataset": 0})
    assert stored_files(nucleus.images.folder) == []


def test_the_file_of_a_deleted_item_goes(http: Http, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset()
    append_files(http, dataset, {"a.png": png("red"), "b.png": png("red"), "c.png": png("blue")})
    http("DELETE", f"dataset/{dataset}/refloc/a.png")
    http("DELETE", f"dataset/{dataset}/refloc/c.png")
    assert [path.read_bytes() for path in stored_files(nucleus.images.folder)] == [png("red")]


def test_the_file_of_a_replaced_image_goes(http: Http, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset()
    append_files(http, dataset, {"a.png": png("red")})
    append_files(http, dataset, {"a.png": png("blue")}, update=True)
    assert [path.read_bytes() for path in stored_files(nucleus.images.folder)] == [png("blue")]


def annotate_masks(http: Http, dataset: str, content: bytes, status: int = 200) -> Any:
    row = {**EVERY_TYPE["segmentation"], "mask_url": "mask.png"}
    data = {"serialized_request": json.dumps({"segmentations": [row]}), "mask": [(io.BytesIO(content), "mask.png")]}
    return http("POST", f"dataset/{dataset}/annotate", status=status, data=data)


def test_mask_files_of_a_deleted_dataset_go(http: Http, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset(1)
    annotate_masks(http, dataset, png("red"))
    mask = http("GET", f"dataset/{dataset}/iloc/0")["annotations"]["segmentation"][0]
    assert mask["mask_url"].endswith(".png")
    assert len(stored_files(nucleus.masks.folder)) == 1
    http("DELETE", f"dataset/{dataset}", {})
    wait_for(lambda: rows_in(nucleus, "dataset") == {"dataset": 0})
    assert stored_files(nucleus.masks.folder) == []


# Jobs


def test_a_job_whose_process_is_gone_ends(http: Http, nucleus: EmbeddedNucleus) -> None:
    with nucleus.database.write() as db:
        gone = jobs.create(db, "uploadDatasetItems", None, "another process").public_id
        alive = jobs.create(db, "uploadDatasetItems", None, "one more").public_id
        old = time.time() - jobs.STALE_SECONDS - 1
        db.execute("UPDATE job SET heartbeat = ? WHERE tag = ?", (old, gone.removeprefix("job_")))
    assert http("GET", f"job/{gone}")["status"] == "Errored_Server"
    assert "send it again" in http("GET", f"job/{gone}")["message"]["final_error"]
    assert http("GET", f"job/{alive}")["status"] == "Running"
    listed = {entry["job_id"]: entry["job_last_known_status"] for entry in http("POST", "jobs/", {})}
    assert listed == {gone: "Errored_Server", alive: "Running"}


def test_a_job_that_waits_for_another_is_not_given_up(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: Any, **options: Any) -> Stored:
        time.sleep(0.05)
        return store_items(*arguments, **options)

    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    monkeypatch.setattr(upload_jobs, "_ROWS", 1)
    monkeypatch.setattr(upload_jobs, "store_items", slow)
    monkeypatch.setattr(jobs, "STALE_SECONDS", 0.5)
    dataset = http.new_dataset()
    lines = [json.dumps(image_row(str(n))).encode() for n in range(20)]  # a second and more
    made = [http.upload(dataset, lines, f"dataset/{dataset}/append", name)["job_id"] for name in ("first", "second")]
    seen = {"Running"}
    while "Running" in (now := {http("GET", f"job/{job}")["status"] for job in made}):
        seen |= now
        time.sleep(0.02)
    assert seen | now == {"Running", "Completed"}


def test_a_job_that_was_given_up_stores_nothing_more(
    http: Http, nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    dataset = http.new_dataset()
    release = threading.Event()
    nucleus.submit(lambda: release.wait(10) and None)
    job = http.upload(dataset, [json.dumps(image_row("0")).encode()], f"dataset/{dataset}/append")["job_id"]
    with nucleus.database.write() as db:
        db.execute("UPDATE job SET heartbeat = 0")
    assert http("GET", f"job/{job}")["status"] == "Errored_Server"
    release.set()
    done = threading.Event()
    nucleus.submit(done.set)
    assert done.wait(10)
    assert http("GET", f"job/{job}")["status"] == "Errored_Server"
    assert http("GET", f"dataset/{dataset}/size") == {"count": 0}


def watch_threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    work = upload_jobs._work

    def watched(*arguments: Any, **options: Any) -> None:
        names.append(threading.current_thread().name)
        work(*arguments, **options)

    monkeypatch.setattr(upload_jobs, "_work", watched)
    return names


def test_a_small_upload_is_finished_when_answered(
    http: Http, nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = watch_threads(monkeypatch)
    dataset = http.new_dataset()
    lines = [json.dumps(image_row(str(n))).encode() for n in range(30)]
    job = http.upload(dataset, [*lines, lines[0]], f"dataset/{dataset}/append")
    assert job["job_last_known_status"] == "Completed"
    assert names == [threading.current_thread().name]
    assert http("GET", f"job/{job['job_id']}")["message"] == {
        "new_items": 30,
        "updated_items": 0,
        "ignored_items": 1,
        "upload_errors": 0,
    }
    assert list(nucleus.uploads.iterdir()) == []
    again = http("POST", f"dataset/{dataset}/append?async=1", {"requestId": "first"})
    assert again["job_id"] == job["job_id"]


def test_a_larger_upload_runs_in_the_worker(
    http: Http, nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    monkeypatch.setattr(upload_jobs, "_ROWS", 7)
    names = watch_threads(monkeypatch)
    dataset = http.new_dataset(20)
    lines = [json.dumps(box_row(str(n % 20), str(n))).encode() for n in range(100)]
    job = http.upload(dataset, lines, f"dataset/{dataset}/annotate")["job_id"]
    wait_for(lambda: http("GET", f"job/{job}")["status"] != "Running")
    status = http("GET", f"job/{job}")
    assert (status["status"], status["job_progress"]) == ("Completed", "1.00")
    told = status["message"]["annotation_upload"]
    assert {name: told[name] for name in ("total", "processed", "ignored", "errored")} == {
        "total": 100,
        "processed": 100,
        "ignored": 0,
        "errored": 0,
    }
    assert names[0].startswith("nucleus_pandas")
    assert len(http("GET", f"dataset/{dataset}/iloc/3")["annotations"]["box"]) == 5
    wait_for(lambda: list(nucleus.uploads.iterdir()) == [])


def test_malformed_lines_are_told_by_their_number(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_jobs, "_ROWS", 2)
    dataset = http.new_dataset()
    good = [json.dumps(image_row(str(n))).encode() for n in range(4)]
    lines = [good[0], b"{", good[1], b"", b'{"reference_id": 5}', good[2], b"[]", b"\xff", good[3]]
    job = http.upload(dataset, lines, f"dataset/{dataset}/append")
    assert job["job_last_known_status"] == "Errored_Partial"
    told = http("GET", f"job/{job['job_id']}/errors")
    assert [text.split()[1].rstrip(":") for text in told] == ["2", "5", "7", "8"]
    message = http("GET", f"job/{job['job_id']}")["message"]
    assert (message["new_items"], message["upload_errors"]) == (4, 4)
    assert http("GET", f"dataset/{dataset}/size") == {"count": 4}


def test_an_upload_of_nothing_but_errors_is_errored(http: Http) -> None:
    dataset = http.new_dataset()
    job = http.upload(dataset, [b"{", b"nonsense"], f"dataset/{dataset}/append")
    assert job["job_last_known_status"] == "Errored"


def test_an_upload_of_unknown_items_completes_and_tells(http: Http) -> None:
    dataset = http.new_dataset(1)
    lines = [json.dumps(box_row(name, "x")).encode() for name in ("0", "nowhere")]
    job = http.upload(dataset, lines, f"dataset/{dataset}/annotate")
    assert job["job_last_known_status"] == "Completed"
    assert len(http("GET", f"job/{job['job_id']}/errors")) == 1
    assert http("GET", f"job/{job['job_id']}")["message"]["annotation_upload"]["errored"] == 1


def test_a_dataset_deleted_during_a_job_ends_the_job(
    http: Http, nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_jobs, "SMALL_UPLOAD", 0)
    dataset = http.new_dataset()
    release = threading.Event()
    nucleus.submit(lambda: release.wait(10) and None)
    job = http.upload(dataset, [json.dumps(image_row("0")).encode()], f"dataset/{dataset}/append")["job_id"]
    http("DELETE", f"dataset/{dataset}", {})
    release.set()
    wait_for(lambda: http("GET", f"job/{job}")["status"] == "Errored")
    assert "no dataset" in http("GET", f"job/{job}")["message"]["final_error"]
    wait_for(lambda: rows_in(nucleus, "dataset", "item") == {"dataset": 0, "item": 0})


def test_an_upload_is_taken_once(http: Http) -> None:
    dataset = http.new_dataset()
    url = http("GET", f"dataset/{dataset}/signedUrl/first")["signed_url"]
    http("POST", f"dataset/{dataset}/append?async=1", {"requestId": "first"}, 400)
    http("PUT", url, data=json.dumps(image_row("not this")).encode())
    http("PUT", url, data=json.dumps(image_row("this")).encode())
    http("POST", f"dataset/{dataset}/append?async=1", {"requestId": "first"})
    http("PUT", url, data=b"{}", status=409)
    http("PUT", f"{url}x", data=b"{}", status=404)
    assert http("GET", f"dataset/{dataset}/iloc/0")["item"]["reference_id"] == "this"
    assert http("GET", f"dataset/{dataset}/size") == {"count": 1}


def test_expired_uploads_go_when_the_store_is_opened(store: Path) -> None:
    nucleus = EmbeddedNucleus(store)
    http = Http(nucleus)
    dataset = http.new_dataset()
    url = http("GET", f"dataset/{dataset}/signedUrl/first")["signed_url"]
    http("PUT", url, data=b"{}")
    (file,) = nucleus.uploads.iterdir()
    os.utime(file, (1, 1))
    with nucleus.database.write() as db:
        db.execute("UPDATE upload SET expires_at = 1")
    http("PUT", url, data=b"{}", status=404)
    nucleus.close()
    nucleus = EmbeddedNucleus(store)
    assert list(nucleus.uploads.iterdir()) == []
    assert rows_in(nucleus, "upload") == {"upload": 0}
    nucleus.close()


def test_leftovers_of_killed_processes_go_and_work_of_the_moment_stays(store: Path) -> None:
    nucleus = EmbeddedNucleus(store)
    http = Http(nucleus)
    url = http("GET", f"dataset/{http.new_dataset()}/signedUrl/first")["signed_url"]
    http("PUT", url, data=b"{}")
    (waiting,) = nucleus.uploads.iterdir()
    os.utime(waiting, (1, 1))  # old, but its upload may still be consumed
    nucleus.close()
    folders = [store / "uploads", store / "images" / "incoming", store / "masks" / "incoming"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "young").write_bytes(b"x")
        (folder / "old").write_bytes(b"x")
        os.utime(folder / "old", (1, 1))
    EmbeddedNucleus(store).close()
    left = {path.name for folder in folders for path in folder.iterdir()}
    assert left == {"young", waiting.name}


def test_a_store_opens_while_others_upload(store: Path) -> None:
    (store / "images" / "incoming").mkdir(parents=True)
    stop = threading.Event()

    def upload() -> None:
        while not stop.is_set():
            paths = [store / "images" / "incoming" / str(n) for n in range(100)]
            for path in paths:
                path.touch()
            for path in paths:
                path.unlink()

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        for _ in range(100):
            EmbeddedNucleus(store).close()
    finally:
        stop.set()
        thread.join()
    assert stored_files(store / "images") == []


# Images


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(tmp_path / "images")


def test_a_image_is_named_by_its_content(images: Images) -> None:
    content = png("red", (64, 48))
    digest = hashlib.sha256(content).hexdigest()
    staged = [images.stage(io.BytesIO(content), name) for name in ("a.png", "b.PNG", "/x/y/c.png")]
    assert {one.image for one in staged} == {(f"{digest[:2]}/{digest}.png", 64, 48)}
    images.publish(staged)
    assert [path.read_bytes() for path in stored_files(images.folder)] == [content]
    assert images.path(staged[0].image.name) == images.folder / staged[0].image.name


@pytest.mark.parametrize(
    ("filename", "extension"),
    [
        (None, ""),
        ("", ""),
        ("a.jpeg", ".jpeg"),
        ("A.JPG", ".jpg"),
        ("../../etc/passwd", ""),
        ("a.png/../../b", ""),
        ("a./../../x", ""),
        ("a.p\\..\\g", ""),
        ("a.toolong", ""),
        ("a.p g", ""),
        ("a.png\n", ""),
        ("a.\u017f", ""),
        ("a.\0", ""),
        (".png", ""),
    ],
)
def test_only_a_plain_extension_is_kept(images: Images, filename: str | None, extension: str) -> None:
    staged = images.stage(io.BytesIO(b"x"), filename)
    assert staged.image.name == f"2d/{hashlib.sha256(b'x').hexdigest()}{extension}"
    images.publish([staged])
    assert stored_files(images.folder.parent) == [images.folder / staged.image.name]


@pytest.mark.parametrize("name", ["../nucleus.sqlite", "incoming/x", "/etc/passwd", "", "2d", "2d/..", "2d/../../x"])
def test_no_other_file_is_handed_out(http: Http, nucleus: EmbeddedNucleus, name: str) -> None:
    assert nucleus.images.path(name) is None
    http("GET", f"_nucleus_pandas/images/{name}", status=404)


def test_what_is_no_image_has_no_size(http: Http, images: Images) -> None:
    broken = png("red")[:20]
    for content in (b"text", broken, b"\0" * 1000, b"GIF89a", b"\xff\xd8\xff"):
        staged = images.stage(io.BytesIO(content), "a.png")
        assert staged.image[1:] == (None, None)
    dataset = http.new_dataset()
    append_files(http, dataset, {"a.raw": b"text", "b.png": png("red", (5, 7))})
    found = [http("GET", f"dataset/{dataset}/iloc/{n}")["item"] for n in (0, 1)]
    assert [(i["width"], i["height"]) for i in found] == [(None, None), (5, 7)]
    for described, content in zip(found, (b"text", png("red", (5, 7))), strict=True):
        with http.client.get(described["image_url"]) as response:
            assert response.data == content


def test_damaged_images_are_stored_all_the_same(images: Images) -> None:
    draw = random.Random(5)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA"):
        out = io.BytesIO()
        Image.new("RGB", (40, 30), "red").save(out, kind)
        for _ in range(15):
            content = bytearray(out.getvalue())
            for _ in range(draw.randrange(1, 12)):
                content[draw.randrange(min(len(content), 200))] = draw.randrange(256)
            staged = images.stage(io.BytesIO(content), "a.png")
            images.publish([staged])
            assert (images.folder / staged.image.name).read_bytes() == content


def test_a_image_of_a_kind_that_pillow_cannot_read_has_no_size(images: Images) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, "DDS")
    content = bytearray(out.getvalue())
    content[80:84] = b"\0\0\0\x01"  # flags of a pixel format that nobody knows
    staged = images.stage(io.BytesIO(content), "a.dds")
    assert staged.image[1:] == (None, None)


def test_a_refused_append_leaves_no_files(http: Http, nucleus: EmbeddedNucleus) -> None:
    scenes = http.new_dataset(is_scene=True)
    append_files(http, scenes, {"a.png": png("red")}, 400)
    append_files(http, "ds_000000000000", {"a.png": png("red")}, 404)
    assert stored_files(nucleus.images.folder) == []


def test_an_empty_image_refuses_its_row_only(http: Http, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset()
    answer = append_files(http, dataset, {"a.png": png("red"), "b.png": b"", "c.png": png("blue")})
    assert (answer["new_items"], answer["upload_errors"]) == (2, 1)
    append_files(http, dataset, {"a.png": png("green")})  # is there already: the file is not kept
    assert {path.read_bytes() for path in stored_files(nucleus.images.folder)} == {png("red"), png("blue")}


def test_an_empty_mask_refuses_all(http: Http, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset(1)
    annotate_masks(http, dataset, b"", 400)
    assert stored_files(nucleus.masks.folder) == []
    assert rows_in(nucleus, "annotation") == {"annotation": 0}


def test_a_stream_that_breaks_leaves_no_file(images: Images) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise ConnectionResetError
            return super().read(4)

    with pytest.raises(ConnectionResetError):
        images.stage(Broken(b"some bytes"), "a.png")
    assert stored_files(images.folder) == []


# Idempotency


def test_the_same_creation_again_gets_the_same_answer(http: Http, nucleus: EmbeddedNucleus) -> None:
    headers = {"Idempotency-Key": "key 1"}
    first, again = (http("POST", "dataset/create", {"name": "Once"}, headers=headers) for _ in range(2))
    assert first == again
    assert http("GET", "dataset/") == [first["dataset_id"]]
    other = http("POST", "dataset/create", {"name": "Once"}, headers={"Idempotency-Key": "key 2"})
    assert other["dataset_id"] != first["dataset_id"]
    without = http("POST", "dataset/create", {"name": "Once"})
    assert len({first["dataset_id"], other["dataset_id"], without["dataset_id"]}) == 3
    assert rows_in(nucleus, "idempotency") == {"idempotency": 2}


def test_a_key_that_came_with_another_request_is_refused(http: Http) -> None:
    headers = {"Idempotency-Key": "key"}
    made = http("POST", "dataset/create", {"name": "One"}, headers=headers)["dataset_id"]
    http("POST", "dataset/create", {"name": "Other"}, 409, headers=headers)
    http("POST", "models/add", {"name": "One", "reference_id": "m"}, 409, headers=headers)
    assert http("GET", "dataset/") == [made]
    assert http("GET", "models/") == {"models": []}


def test_a_refused_creation_does_not_use_its_key_up(http: Http) -> None:
    headers = {"Idempotency-Key": "key"}
    dataset = http.new_dataset()
    route = f"dataset/{dataset}/modelRun/create"
    http("POST", route, {"reference_id": "m"}, 404, headers=headers)
    http("POST", "models/add", {"name": "A model", "reference_id": "m"})
    http("POST", route, {"reference_id": "m"}, headers=headers)


def test_answers_outlive_the_process_for_a_day(store: Path) -> None:
    headers = {"Idempotency-Key": "key"}
    answers = []
    for age in (0, 3600, 25 * 3600):
        nucleus = EmbeddedNucleus(store)
        with nucleus.database.write() as db:
            db.execute("UPDATE idempotency SET created_at = created_at - ?", (age,))
        if age > 24 * 3600:  # old ones are forgotten when another is noted
            Http(nucleus)("POST", "dataset/create", {"name": "Other"}, headers={"Idempotency-Key": "other"})
        answers.append(Http(nucleus)("POST", "dataset/create", {"name": "Once"}, headers=headers)["dataset_id"])
        nucleus.close()
    assert answers[0] == answers[1] != answers[2]
