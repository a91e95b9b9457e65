"""What the embedded Nucleus does beyond the contract: rows as columns, look-ups of many items, batches refused."""

from __future__ import annotations

import io
import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import requests
from flask.testing import FlaskClient
from PIL import Image

from nucleus_pandas.server.app import create_app
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.read import selections
from nucleus_pandas.server.store import layers
from nucleus_pandas.wire.bulk import (
    KEYS,
    ROWS,
    AnnotationColumns,
    AnnotationPage,
    BoxColumns,
    ItemColumns,
    ItemPage,
    RunCommit,
    RunPlace,
)

HOSTILE = [
    "a/b c",
    "it's",
    '"quoted"',
    "ü 😀",
    "%2F",
    "..",
    "?x=1#y",
    "\x1fid\x1fa",
    "\\u0041",
    " ",
    "di_0123",
    "a\x00b",
]
SQUARE = {"x": 1.5, "y": 2.0, "width": 3.0, "height": 4.0}
TRIANGLE = {"vertices": [{"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 0.0}, {"x": 1.0, "y": 1.0}]}
POSE = {"keypoints": [{"x": 1.0, "y": 2.0, "visible": True}], "names": ["nose"], "skeleton": [[0, 0]]}
BLOCK = {"position": {"x": 1, "y": 2, "z": 3}, "dimensions": {"x": 4, "y": 5, "z": 6}, "yaw": 0.5}
SEGMENTS = [{"label": "sky", "index": 1}]
MASK_URL = "https://example.org/mask.png"


class Http:
    """Requests to an embedded Nucleus."""

    def __init__(self, nucleus: EmbeddedNucleus) -> None:
        self.nucleus = nucleus
        self.client: FlaskClient = create_app(nucleus).test_client()

    def __call__(self, method: str, path: str, body: object = None, status: int = 200, **fields: Any) -> Any:
        if body is not None:
            text = body if isinstance(body, bytes) else json.dumps(body)
            fields |= {"data": text, "content_type": "application/json"}
        response = self.client.open(f"http://127.0.0.1/v1/nucleus/{path}", method=method, **fields)
        assert response.status_code == status, response.text
        found = json.loads(response.data)
        response.close()
        return found

    def new_dataset(self, *names: str, **fields: object) -> str:
        made: str = self("POST", "dataset/create", {"name": "Images", **fields})["dataset_id"]
        for start in range(0, len(names), 10_000):
            rows = [image(name) for name in names[start : start + 10_000]]
            self("POST", f"dataset/{made}/append", {"items": rows})
        return made

    def new_run(self, dataset: str | None) -> str:
        model = self("POST", "models/add", {"name": "A model", "reference_id": uuid.uuid4().hex})["model_id"]
        route = f"model/{model}/modelRun/create" if dataset is None else f"dataset/{dataset}/modelRun/create"
        made: str = self("POST", route, {"model_id": model})["model_run_id"]
        return made

    def forget(self, dataset: str, *names: str) -> None:
        for name in names:
            self("DELETE", f"dataset/{dataset}/refloc/{quote(name, safe='')}")

    def items(self, dataset: str, status: int = 200, **selection: object) -> Any:
        return self("POST", f"_nucleus_pandas/dataset/{dataset}/items", selection, status)

    def annotations(self, place: str, status: int = 200, **selection: object) -> Any:
        """Read ground truth of a dataset, or predictions of a run."""
        route = f"modelRun/{place}/predictions" if place.startswith("run_") else f"dataset/{place}/annotations"
        return self("POST", f"_nucleus_pandas/{route}", selection, status)

    def append(self, dataset: str, names: list[str], status: int = 200, **fields: object) -> Any:
        body = {"items": [image(name) for name in names], **fields}
        return self("POST", f"_nucleus_pandas/dataset/{dataset}/append", body, status)

    def annotate(self, place: str, status: int = 200, **body: object) -> Any:
        """Store ground truth of a dataset, or predictions of a run."""
        route = f"modelRun/{place}/predict" if place.startswith("run_") else f"dataset/{place}/annotate"
        return self("POST", f"_nucleus_pandas/{route}", body, status)

    def table(self, name: str) -> list[tuple[Any, ...]]:
        with self.nucleus.database.read() as db:
            return db.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall()


def image(name: str, **fields: object) -> dict[str, object]:
    return {"reference_id": name, "image_url": f"https://example.org/{len(name)}", **fields}


def box(name: str, annotation_id: str, **fields: object) -> dict[str, object]:
    made = {"type": "box", "label": "car", "reference_id": name, "annotation_id": annotation_id, "geometry": SQUARE}
    return {**made, **fields}


def columns_of(rows: list[tuple[str, str]], **fields: object) -> dict[str, object]:
    """Boxes as columns, by item and annotation id."""
    sides = {name: [value] * len(rows) for name, value in SQUARE.items()}
    keys, ids = [key for key, _ in rows], [name for _, name in rows]
    return {"keys": keys, "annotation_id": ids, "label": ["car"] * len(rows), **sides, **fields}


def shape(kind: str, **fields: object) -> dict[str, object]:
    """An annotation of the item ``a`` of some type, and what belongs to that type."""
    geometries = {"line": TRIANGLE, "polygon": TRIANGLE, "keypoints": POSE, "cuboid": BLOCK, "box": SQUARE}
    made: dict[str, object] = {"type": kind, "reference_id": "a", "annotation_id": f"my {kind}", **fields}
    if kind == "mask":
        return {**made, "mask_url": MASK_URL, "annotations": SEGMENTS}
    if kind == "multicategory":
        return {**made, "labels": ["rain", "night"], "geometry": {"ignored": 1}}
    geometry = geometries.get(kind, {"ignored": 1})
    return {**made, "label": "thing", "geometry": geometry}


@pytest.fixture
def nucleus(store: Path) -> Iterator[EmbeddedNucleus]:
    made = EmbeddedNucleus(store)
    yield made
    made.close()


@pytest.fixture
def http(nucleus: EmbeddedNucleus) -> Http:
    return Http(nucleus)


@pytest.fixture
def abc(http: Http) -> str:
    return http.new_dataset("a", "b", "c")


def references(page: Any) -> list[str]:
    found: list[str] = page["columns"]["reference_id"]
    return found


def ids_in(http: Http, dataset: str) -> dict[str, str]:
    page = http.items(dataset)["columns"]
    return dict(zip(page["reference_id"], page["dataset_item_id"], strict=True))


# What there is


def test_a_server_names_its_extensions_in_order(http: Http) -> None:
    found = http("GET", "_nucleus_pandas")["extensions"]
    assert found == sorted(found)
    assert set(found) >= {"cancel", "columns", "commits", "delete", "idempotency", "lookup", "matches", "outcomes"}


def test_answers_have_the_columns_of_the_wire() -> None:
    assert set(selections._OF_ITEMS) == set(ItemColumns.__struct_fields__)
    assert set(selections._OF_ANNOTATIONS) == set(AnnotationColumns.__struct_fields__)


def test_a_run_tells_where_it_belongs(http: Http, abc: str) -> None:
    run = http.new_run(abc)
    found = msgspec.convert(http("GET", f"_nucleus_pandas/modelRun/{run}"), RunPlace)
    assert (found.model_id, found.dataset_id) == (http("GET", f"modelRun/{run}/info")["model_id"], abc)


def test_a_run_that_spans_datasets_belongs_to_none(http: Http) -> None:
    assert http("GET", f"_nucleus_pandas/modelRun/{http.new_run(None)}")["dataset_id"] is None


def test_a_run_tells_how_it_was_committed(http: Http, abc: str) -> None:
    run = http.new_run(abc)
    route = f"_nucleus_pandas/modelRun/{run}/commit"
    assert msgspec.convert(http("GET", route), RunCommit) == RunCommit()
    pair = {"ground_truth_label": "car", "model_prediction_label": "van"}
    http("POST", f"modelRun/{run}/commit", {"allowed_label_matches": [pair]})
    found = msgspec.convert(http("GET", route), RunCommit)
    assert found.committed_at is not None
    assert (found.class_agnostic, found.allowed_label_matches, found.stale) == (False, [("car", "van")], False)
    http("POST", f"modelRun/{run}/commit", {})
    found = msgspec.convert(http("GET", route), RunCommit)
    assert (found.class_agnostic, found.allowed_label_matches) == (True, None)


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("GET", "modelRun/run_0"),
        ("GET", "modelRun/run_0/commit"),
        ("POST", "modelRun/run_0/predictions"),
        ("POST", "dataset/ds_0/items"),
        ("POST", "dataset/ds_0/annotations"),
    ],
)
def test_what_is_not_there_is_not_found(http: Http, method: str, route: str) -> None:
    http(method, f"_nucleus_pandas/{route}", status=404)


# Items


def test_items_come_as_columns(http: Http) -> None:
    dataset = http.new_dataset()
    rows = [image("a", width=64, height=48, metadata={"rain": True}), image("b")]
    http.append(dataset, [], items=rows)
    found = msgspec.convert(http.items(dataset), ItemPage).columns
    assert (found.reference_id, found.width, found.height) == (["a", "b"], [64, None], [48, None])
    assert (found.image_url, found.metadata) == (["https://example.org/1"] * 2, [{"rain": True}, {}])
    assert found.dataset_item_id[0].startswith("di_")


def test_a_point_cloud_has_no_image_url(http: Http) -> None:
    dataset = http.new_dataset()
    http.append(dataset, [], items=[{"reference_id": "a", "pointcloud_url": "https://example.org/a.json"}])
    assert http.items(dataset)["columns"]["image_url"] == [None]


@pytest.mark.parametrize("by", ["positions", "reference_ids", "item_ids"])
def test_items_come_in_the_order_of_their_keys(http: Http, abc: str, by: str) -> None:
    ids = ids_in(http, abc)
    keys = {"positions": [2, 0, 2], "reference_ids": ["c", "a", "c"], "item_ids": [ids["c"], ids["a"], ids["c"]]}
    page = http.items(abc, **{by: keys[by]})
    assert (references(page), page["missing"], page["next"]) == (["c", "a", "c"], [], None)


@pytest.mark.parametrize("by", ["positions", "reference_ids", "item_ids"])
def test_keys_that_name_no_item_are_told_by_their_place(http: Http, abc: str, by: str) -> None:
    foreign = ids_in(http, http.new_dataset("a"))["a"]
    own = ids_in(http, abc)
    keys = {
        "positions": [3, 1, 2**31 - 1],
        "reference_ids": ["x", "b", ""],
        "item_ids": [foreign, own["b"], own["b"][:-8] + "000000ff"],
    }
    page = http.items(abc, **{by: keys[by]})
    assert (references(page), page["missing"]) == (["b"], [0, 2])


@pytest.mark.parametrize("key", ["", "di_", "di_" + "f" * 20, "di_" + "g" * 20, "a", "ds_0"])
def test_what_is_no_item_id_is_missing(http: Http, abc: str, key: str) -> None:
    assert http.items(abc, item_ids=[key])["missing"] == [0]


@pytest.mark.parametrize("by", ["positions", "reference_ids", "item_ids"])
def test_no_keys_give_no_rows(http: Http, abc: str, by: str) -> None:
    page = http.items(abc, **{by: []})
    assert (references(page), page["missing"], page["next"]) == ([], [], None)


def test_hostile_reference_ids_are_found(http: Http) -> None:
    dataset = http.new_dataset(*HOSTILE)
    assert references(http.items(dataset, reference_ids=HOSTILE[::-1])) == HOSTILE[::-1]


@pytest.mark.parametrize("seed", range(4))
def test_positions_skip_deleted_items(http: Http, seed: int) -> None:
    draw = random.Random(seed)
    names = [str(n) for n in range(700)]
    dataset = http.new_dataset(*names)
    gone = {*map(str, range(128, 192)), *draw.sample(names, 40), "0", "699"}  # a whole block of positions among them
    http.forget(dataset, *gone)
    left = [name for name in names if name not in gone]
    wanted = [draw.randrange(len(left) + 20) for _ in range(300)]
    page = http.items(dataset, positions=wanted, columns=["reference_id"])
    assert references(page) == [left[n] for n in wanted if n < len(left)]
    assert page["missing"] == [place for place, n in enumerate(wanted) if n >= len(left)]
    assert references(http.items(dataset, positions=list(range(len(left))))) == left
    assert references(http.items(dataset, positions=[100, 101])) == left[100:102]


def test_the_last_of_a_block_of_positions_is_found(http: Http) -> None:
    names = [str(n) for n in range(128)]
    dataset = http.new_dataset(*names)
    http.forget(dataset, "5")
    left = [name for name in names if name != "5"]
    assert references(http.items(dataset, positions=list(range(127)))) == left


def test_a_dataset_without_items_left_has_no_positions(http: Http, abc: str) -> None:
    http.forget(abc, "a", "b", "c")
    assert http.items(abc, positions=list(range(40)))["missing"] == list(range(40))


def test_as_many_keys_as_a_look_up_takes(http: Http) -> None:
    dataset = http.new_dataset("a")
    page = http.items(dataset, reference_ids=["a"] * (KEYS - 1) + ["b"], columns=["reference_id"])
    assert (len(references(page)), page["missing"]) == (KEYS - 1, [KEYS - 1])


@pytest.mark.parametrize("by", ["positions", "reference_ids", "item_ids"])
def test_too_many_keys_are_refused(http: Http, abc: str, by: str) -> None:
    assert by in http.items(abc, 400, **{by: [0 if by == "positions" else "a"] * (KEYS + 1)})["error"]


@pytest.mark.parametrize(
    "selection",
    [
        {"positions": [0], "reference_ids": ["a"]},
        {"positions": [0], "item_ids": []},
        {"positions": [-1]},
        {"positions": [2**31]},
        {"positions": [0.5]},
        {"positions": [0], "after": "0"},
        {"limit": 0},
        {"limit": ROWS + 1},
        {"nonsense": 1},
        {"columns": "metadata"},
    ],
    ids=str,
)
def test_a_wrong_selection_is_refused(http: Http, abc: str, selection: dict[str, object]) -> None:
    http.items(abc, 400, **selection)
    http.annotations(abc, 400, **selection)


def test_items_come_in_pages(http: Http) -> None:
    names = [str(n) for n in range(7)]
    dataset = http.new_dataset(*names)
    found, after = [], None
    for size in (3, 3, 1):
        page = http.items(dataset, limit=3, **({} if after is None else {"after": after}))
        assert len(references(page)) == size
        found += references(page)
        after = page["next"]
    assert (found, after) == (names, None)


def test_a_page_that_holds_the_last_item_is_the_last(http: Http, abc: str) -> None:
    assert http.items(abc, limit=3)["next"] is None


def test_deletes_between_pages_lose_and_repeat_nothing(http: Http) -> None:
    dataset = http.new_dataset(*"abcdef")
    first = http.items(dataset, limit=2)
    http.forget(dataset, "a", "b", "d")
    second = http.items(dataset, limit=2, after=first["next"])
    http.append(dataset, ["b"])
    third = http.items(dataset, limit=2, after=second["next"])
    assert [references(page) for page in (first, second, third)] == [["a", "b"], ["c", "e"], ["f", "b"]]


@pytest.mark.parametrize("after", ["", "x", "-1", "1-1-1", "f" * 16, "f" * 30, "0 OR 1", "0"])
def test_what_no_page_ended_with_is_refused(http: Http, abc: str, after: str) -> None:
    assert "token" in http.items(abc, 400, after=after)["error"]
    assert "token" in http.annotations(abc, 400, after=after)["error"]


def test_a_page_of_another_dataset_has_no_next_here(http: Http, abc: str) -> None:
    other = http.items(http.new_dataset("a", "b"), limit=1)["next"]
    assert "another dataset" in http.items(abc, 400, after=other)["error"]


def test_only_the_columns_that_are_asked_for_are_answered(http: Http, abc: str) -> None:
    assert list(http.items(abc, columns=["width", "reference_id"])["columns"]) == ["width", "reference_id"]


def test_unknown_columns_are_refused_with_the_known_ones(http: Http, abc: str) -> None:
    assert "reference_id, image_url" in http.items(abc, 400, columns=["label"])["error"]
    assert "label" in http.annotations(abc, 400, columns=["image_url"])["error"]


def test_item_ids_alone_read_nothing_else(http: Http, abc: str, nucleus: EmbeddedNucleus) -> None:
    said: list[str] = []
    with nucleus.database.read() as db:
        db.set_trace_callback(said.append)
    ids = http.items(abc, columns=["dataset_item_id"])
    http.items(abc, columns=["dataset_item_id"], item_ids=ids["columns"]["dataset_item_id"])
    assert any("FROM item" in text for text in said)
    assert not any("metadata" in text for text in said)


# Annotations and predictions


def test_boxes_come_as_columns(http: Http, abc: str) -> None:
    http.annotate(abc, annotations=[box("a", "1", metadata={"k": 1}), box("c", "2", label="bus", confidence=0.5)])
    page = msgspec.convert(http.annotations(abc), AnnotationPage)
    found = page.columns
    assert (found.reference_id, found.annotation_id, found.label) == (["a", "c"], ["1", "2"], ["car", "bus"])
    assert (found.x, found.y, found.width, found.height) == ([1.5] * 2, [2.0] * 2, [3.0] * 2, [4.0] * 2)
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
        (shape("cuboid"), BLOCK),
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
    http: Http, abc: str, sent: dict[str, object], expected: dict[str, object]
) -> None:
    http.annotate(abc, annotations=[sent])
    found = http.annotations(abc)["columns"]
    assert (found["type"], found["geometry"]) == ([sent["type"]], [expected])
    assert [found[name] for name in ("x", "y", "width", "height")] == [[None]] * 4
    assert found["annotation_id"] == [sent["annotation_id"]]
    assert found["label"] == [sent.get("label")]


def test_a_category_is_laid_out_like_its_geometry(http: Http, abc: str) -> None:
    http.annotate(abc, annotations=[shape("category", metadata={"k": 1})])
    assert http.annotations(abc, columns=["geometry"])["columns"] == {"geometry": [{}]}
    assert http.annotations(abc, columns=["metadata"])["columns"] == {"metadata": [{"k": 1}]}


def multipart(text: bytes, name: str, files: list[bytes], kind: str, **parts: str) -> dict[str, Any]:
    data = {
        **parts,
        name: (io.BytesIO(text), None, "application/json"),
        kind: [(io.BytesIO(content), f"{n}.png") for n, content in enumerate(files)],
    }
    return {"data": data, "content_type": "multipart/form-data"}


def png(value: int = 1) -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 6), value).save(out, "PNG")
    return out.getvalue()


def test_an_uploaded_mask_has_an_address(http: Http, abc: str) -> None:
    text = json.dumps({"segmentations": [shape("mask")]}).encode()
    http("POST", f"_nucleus_pandas/dataset/{abc}/annotate", **multipart(text, "serialized_request", [png()], "mask"))
    (found,) = http.annotations(abc)["columns"]["geometry"]
    assert (set(found), found["annotations"]) == ({"mask_url", "annotations"}, SEGMENTS)
    assert "/_nucleus_pandas/masks/" in found["mask_url"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_annotation_ids_are_given_back(http: Http, abc: str, name: str) -> None:
    http.annotate(abc, annotations=[box("a", name), shape("mask", annotation_id=name)])
    assert http.annotations(abc, columns=["annotation_id"])["columns"]["annotation_id"] == [name, name]


def test_annotations_come_item_by_item_then_by_arrival(http: Http, abc: str) -> None:
    for key, name in [("b", "1"), ("a", "2"), ("b", "0"), ("a", "1")]:
        http.annotate(abc, annotations=[box(key, name)])
    assert http.annotations(abc)["columns"]["annotation_id"] == ["2", "1", "1", "0"]
    assert http.annotations(abc, reference_ids=["b", "a"])["columns"]["annotation_id"] == ["1", "0", "2", "1"]


@pytest.mark.parametrize("by", ["positions", "reference_ids", "item_ids"])
def test_lengths_tell_the_rows_of_each_key(http: Http, abc: str, by: str) -> None:
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


def test_whole_keys_are_answered_until_there_are_enough_rows(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_item_with_more_rows_than_a_page_is_answered_whole(http: Http, abc: str) -> None:
    for start in range(0, ROWS + 5, 5_000):
        rows = [("a", str(n)) for n in range(start, min(start + 5_000, ROWS + 5))]
        http.annotate(abc, boxes=columns_of(rows))
    page = http.annotations(abc, positions=[0, 1], columns=["label"])
    assert (page["lengths"], len(page["columns"]["label"])) == ([ROWS + 5], ROWS + 5)


def test_as_many_keys_without_annotations_as_a_look_up_takes(http: Http) -> None:
    dataset = http.new_dataset(*map(str, range(KEYS)))
    http.annotate(dataset, boxes=columns_of([("77", "x")]))
    page = http.annotations(dataset, positions=list(range(KEYS))[::-1])
    assert (len(page["lengths"]), sum(page["lengths"]), references(page)) == (KEYS, 1, ["77"])


@pytest.mark.parametrize("deleted", [[], ["b"], ["a", "c"]])
def test_annotations_come_in_pages_that_deletes_do_not_disturb(http: Http, abc: str, deleted: list[str]) -> None:
    rows = [(key, f"{key}{n}") for key in "abc" for n in range(4)]
    http.annotate(abc, boxes=columns_of(rows))
    page = http.annotations(abc, limit=3)
    found = list(page["columns"]["annotation_id"])
    http.forget(abc, *deleted)
    while page["next"] is not None:
        page = http.annotations(abc, limit=3, after=page["next"])
        found += page["columns"]["annotation_id"]
    assert found == [name for n, (key, name) in enumerate(rows) if n < 3 or key not in deleted]


def test_pages_end_between_the_annotations_of_one_item(http: Http, abc: str) -> None:
    http.annotate(abc, boxes=columns_of([("a", str(n)) for n in range(4)]))
    first = http.annotations(abc, limit=2)
    second = http.annotations(abc, limit=2, after=first["next"])
    assert [page["columns"]["annotation_id"] for page in (first, second)] == [["0", "1"], ["2", "3"]]
    assert second["next"] is None


def test_predictions_are_those_of_their_run(http: Http, abc: str) -> None:
    one, other = http.new_run(abc), http.new_run(abc)
    http.annotate(one, boxes=columns_of([("b", "1"), ("a", "2")], confidence=[0.25, None]))
    http.annotate(other, boxes=columns_of([("a", "3")]))
    http.annotate(abc, boxes=columns_of([("a", "4")]))
    found = http.annotations(one)["columns"]
    assert (found["annotation_id"], found["confidence"]) == (["2", "1"], [None, 0.25])
    assert http.annotations(one, positions=[0, 1, 2])["lengths"] == [1, 1, 0]
    assert http.annotations(other, limit=1)["columns"]["annotation_id"] == ["3"]


# Runs that span datasets


@pytest.fixture
def span(http: Http, abc: str) -> tuple[str, str, str]:
    """A run over two datasets, in each of which an item is called ``a``."""
    other, run = http.new_dataset("z", "a"), http.new_run(None)
    rows = [box("a", "1", dataset_id=other), box("b", "2", dataset_id=abc), box("a", "3", dataset_id=abc)]
    assert http.annotate(run, annotations=rows)["predictions_processed"] == 3
    return run, abc, other


def test_a_run_that_spans_datasets_is_read_over_all_of_them(http: Http, span: tuple[str, str, str]) -> None:
    run, one, other = span
    page = http.annotations(run)
    ids, others = ids_in(http, one), ids_in(http, other)
    assert (references(page), page["columns"]["annotation_id"]) == (["a", "b", "a"], ["3", "2", "1"])
    assert page["columns"]["dataset_item_id"] == [ids["a"], ids["b"], others["a"]]
    found = http.annotations(run, item_ids=[others["a"], ids["c"], "di_0", ids["a"]])
    assert (found["columns"]["annotation_id"], found["lengths"]) == (["1", "3"], [1, 0, 0, 1])
    assert found["missing"] == [2]


def test_a_run_that_spans_datasets_is_read_in_pages(http: Http, span: tuple[str, str, str]) -> None:
    found, page = [], http.annotations(span[0], limit=1)
    while page["next"] is not None:
        found += page["columns"]["annotation_id"]
        page = http.annotations(span[0], limit=1, after=page["next"])
    assert [*found, *page["columns"]["annotation_id"]] == ["3", "2", "1"]


@pytest.mark.parametrize("by", ["positions", "reference_ids"])
def test_a_run_that_spans_datasets_has_item_ids_only(http: Http, span: tuple[str, str, str], by: str) -> None:
    assert "spans datasets" in http.annotations(span[0], 400, **{by: [0] if by == "positions" else ["a"]})["error"]


def test_predictions_on_a_deleted_dataset_are_gone(
    http: Http, span: tuple[str, str, str], nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, one, _ = span
    key = ids_in(http, one)["a"]
    monkeypatch.setattr(nucleus, "purge", lambda: None)  # its rows are still there
    http("DELETE", f"dataset/{one}")
    assert http.annotations(run, limit=1)["columns"]["annotation_id"] == ["1"]
    assert http.annotations(run, item_ids=[key])["missing"] == [0]


def test_columns_into_a_run_that_spans_datasets_go_by_item_id(http: Http, span: tuple[str, str, str]) -> None:
    run, one, other = span
    keys = [ids_in(http, other)["z"], ids_in(http, one)["c"], "di_0"]
    stored = http.annotate(run, boxes=columns_of([(key, "x") for key in keys], by="item_id"))
    assert (stored["outcomes"], stored["row_errors"]) == (
        [["new", 2], ["error", 1]],
        [[2, "Item with id di_0 doesn't exist."]],
    )
    refused = http.annotate(run, boxes=columns_of([("c", "x")]))
    assert "`dataset_id` is needed" in refused["row_errors"][0][1]


# Boxes as columns, on their way in


def test_columns_store_what_objects_would(http: Http) -> None:
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


def test_columns_of_item_ids(http: Http, abc: str) -> None:
    foreign = ids_in(http, http.new_dataset("a"))["a"]
    keys = [ids_in(http, abc)["b"], foreign, "b"]
    stored = http.annotate(abc, boxes=columns_of([(key, "x") for key in keys], by="item_id"))
    assert (stored["annotations_processed"], stored["outcomes"]) == (1, [["new", 1], ["error", 2]])
    assert stored["row_errors"] == [[n, f"Item with id {keys[n]} doesn't exist."] for n in (1, 2)]
    assert stored["errors"] == [text for _, text in stored["row_errors"]]


def test_columns_heed_update(http: Http, abc: str) -> None:
    http.annotate(abc, boxes=columns_of([("a", "1")]))
    again = columns_of([("a", "1"), ("a", "2")], label=["bus", "bus"])
    assert http.annotate(abc, boxes=again)["outcomes"] == [["ignored", 1], ["new", 1]]
    assert http.annotate(abc, boxes=again, update=True)["outcomes"] == [["updated", 2]]
    assert http.annotations(abc)["columns"]["label"] == ["bus", "bus"]


def test_no_boxes_are_no_change(http: Http, abc: str) -> None:
    assert http.annotate(abc, boxes=columns_of([]))["outcomes"] == []


def test_columns_of_different_lengths_are_refused_by_name(http: Http, abc: str) -> None:
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
def test_a_wrong_value_is_refused_where_it_stands(http: Http, abc: str, wrong: dict[str, Any], place: str) -> None:
    assert place in http.annotate(abc, 400, boxes=columns_of([("a", "1")], **wrong))["error"]


@pytest.mark.parametrize(
    "value", [b'{"a":1e999}', b'{"a":"\xff"}', b'{"a":NaN}', b'{"a":' + b"9" * 5000 + b"}", b'"{"']
)
def test_metadata_that_nobody_could_read_is_refused(http: Http, abc: str, value: bytes) -> None:
    text = json.dumps({"boxes": columns_of([("a", "1")], metadata=["here"])}).encode()
    http("POST", f"_nucleus_pandas/dataset/{abc}/annotate", text.replace(b'"here"', value), 400)


@pytest.mark.parametrize("other", [{"annotations": [box("a", "2")]}, {"segmentations": [shape("mask")]}])
def test_columns_and_objects_in_one_request_are_refused(http: Http, abc: str, other: dict[str, object]) -> None:
    assert "either" in http.annotate(abc, 400, boxes=columns_of([("a", "1")]), **other)["error"]


def test_the_contract_knows_no_columns(http: Http, abc: str) -> None:
    http("POST", f"dataset/{abc}/annotate", {"boxes": columns_of([("a", "1")])})
    assert http.table("annotation") == []


def test_a_signed_upload_may_come_to_the_routes_beyond_the_contract(http: Http, abc: str) -> None:
    url = http("GET", f"dataset/{abc}/signedUrl/first")["signed_url"]
    http.client.put(url, data=json.dumps(box("a", "1")).encode()).close()
    body = json.dumps({"requestId": "first"}).replace("request", "\\u0072equest").encode()
    assert http("POST", f"_nucleus_pandas/dataset/{abc}/annotate?async=1", body)["job_type"] == "uploadAnnotations"
    assert len(http.table("annotation")) == 1


# Committed runs


@pytest.fixture
def frozen(http: Http, abc: str) -> str:
    run = http.new_run(abc)
    http.annotate(run, boxes=columns_of([("a", "1")], confidence=[0.5]))
    http("POST", f"modelRun/{run}/commit", {})
    return run


@pytest.mark.parametrize("fields", [{}, {"if_exists": "skip"}, {"if_exists": "update"}, {"update": True}], ids=str)
def test_a_committed_run_takes_what_it_holds(http: Http, frozen: str, fields: dict[str, object]) -> None:
    stored = http.annotate(frozen, boxes=columns_of([("a", "1")], confidence=[0.5]), **fields)
    assert stored["outcomes"] == [["ignored", 1]]


@pytest.mark.parametrize("if_exists", ["skip", "update", "error"])
def test_a_committed_run_takes_nothing_new(http: Http, frozen: str, if_exists: str) -> None:
    http.annotate(frozen, 409, boxes=columns_of([("a", "2")]), if_exists=if_exists)
    assert len(http.table("prediction")) == 1


def test_a_committed_run_keeps_its_values(http: Http, frozen: str) -> None:
    http.annotate(frozen, 409, boxes=columns_of([("a", "1")], confidence=[0.75]), if_exists="update")


# Whole batches refused


def test_items_that_are_there_refuse_the_batch(http: Http, abc: str) -> None:
    stored = http.append(abc, ["x", "b", "y"], if_exists="error")
    assert (stored["new_items"], stored["ignored_items"], stored["upload_errors"]) == (0, 0, 1)
    assert stored["outcomes"] == [["unsent", 1], ["exists", 1], ["unsent", 1]]
    assert stored["row_errors"] == [[1, "An item with reference_id 'b' exists already."]]
    assert references(http.items(abc)) == ["a", "b", "c"]


def test_a_refused_batch_leaves_no_trace(http: Http, abc: str) -> None:
    before = http.table("dataset")
    http.append(abc, ["x", "b"], if_exists="error")
    http.annotate(abc, annotations=[box("a", "1"), box("a", "1")], if_exists="error")
    assert http.table("dataset") == before


def test_an_item_repeated_in_a_batch_refuses_it(http: Http, abc: str) -> None:
    assert http.append(abc, ["x", "x"], if_exists="error")["outcomes"] == [["unsent", 1], ["exists", 1]]


def test_a_batch_of_new_items_is_stored(http: Http, abc: str) -> None:
    assert http.append(abc, ["x", "y"], if_exists="error")["outcomes"] == [["new", 2]]
    assert references(http.items(abc)) == ["a", "b", "c", "x", "y"]


@pytest.mark.parametrize(
    ("if_exists", "update", "own", "outcome"),
    [
        ("skip", True, True, "ignored"),
        ("update", False, False, "updated"),
        ("error", True, True, "exists"),
        (None, True, None, "updated"),
        (None, False, True, "updated"),
    ],
)
def test_if_exists_wins_over_update(
    http: Http, abc: str, if_exists: str | None, update: bool, own: bool | None, outcome: str
) -> None:
    stored = http.append(abc, [], items=[image("a", update=own)], update=update, if_exists=if_exists)
    assert stored["outcomes"] == [[outcome, 1]]


@pytest.mark.parametrize(("if_exists", "update", "outcome"), [("skip", True, "ignored"), ("update", False, "updated")])
@pytest.mark.parametrize("way", ["boxes", "annotations"])
def test_if_exists_wins_over_update_of_annotations(
    http: Http, abc: str, if_exists: str, update: bool, outcome: str, way: str
) -> None:
    body = {way: columns_of([("a", "1")]) if way == "boxes" else [box("a", "1")]}
    http.annotate(abc, **body)
    assert http.annotate(abc, update=update, if_exists=if_exists, **body)["outcomes"] == [[outcome, 1]]


@pytest.mark.parametrize("way", ["boxes", "annotations"])
@pytest.mark.parametrize("predictions", [False, True])
def test_annotations_that_are_there_refuse_the_batch(http: Http, abc: str, way: str, predictions: bool) -> None:
    place = http.new_run(abc) if predictions else abc
    http.annotate(place, boxes=columns_of([("a", "1")]))
    rows = [("b", "1"), ("x", "1"), ("a", "1"), ("a", "2"), ("b", "1")]
    body = {way: columns_of(rows) if way == "boxes" else [box(*row) for row in rows]}
    stored = http.annotate(place, if_exists="error", **body)
    assert stored["outcomes"] == [["unsent", 1], ["error", 1], ["exists", 1], ["unsent", 1], ["exists", 1]]
    what = "A prediction" if predictions else "An annotation"
    assert stored["row_errors"] == [
        [1, "Item with id x doesn't exist."],
        [2, f"{what} with annotation_id '1' on the item 'a' exists already."],
        [4, f"{what} with annotation_id '1' on the item 'b' exists already."],
    ]
    kind = "predictions" if predictions else "annotations"
    assert (stored[f"{kind}_processed"], stored[f"{kind}_ignored"]) == (0, 0)
    assert len(http.table("prediction" if predictions else "annotation")) == 1


@pytest.mark.parametrize("way", ["boxes", "annotations"])
def test_a_batch_of_new_annotations_is_stored(http: Http, abc: str, way: str) -> None:
    rows = [("b", "1"), ("x", "1"), ("a", "1")]
    body = {way: columns_of(rows) if way == "boxes" else [box(*row) for row in rows]}
    assert http.annotate(abc, if_exists="error", **body)["outcomes"] == [["new", 1], ["error", 1], ["new", 1]]
    assert len(http.table("annotation")) == 2


@pytest.mark.parametrize("count", [layers._TOGETHER, 2 * layers._TOGETHER + 3])
def test_a_large_batch_is_refused_as_a_whole(http: Http, abc: str, count: int) -> None:
    http.annotate(abc, boxes=columns_of([("b", "7")]))
    stored = http.annotate(abc, boxes=columns_of([("b", str(n)) for n in range(count)]), if_exists="error")
    assert stored["outcomes"] == [["unsent", 7], ["exists", 1], ["unsent", count - 8]]
    assert len(http.table("annotation")) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (shape("mask"), "A mask on the item 'a' exists already."),
        (
            shape("category", taxonomy_name="weather"),
            "A category of the taxonomy 'weather' on the item 'a' exists already.",
        ),
        (shape("line"), "An annotation with annotation_id 'my line' on the item 'a' exists already."),
    ],
    ids=["mask", "category", "line"],
)
def test_the_reason_names_what_is_there(http: Http, abc: str, row: dict[str, object], reason: str) -> None:
    http.annotate(abc, annotations=[row])
    assert http.annotate(abc, annotations=[row], if_exists="error")["row_errors"] == [[0, reason]]


def test_annotations_without_id_are_recognised(http: Http, abc: str) -> None:
    row = {name: value for name, value in box("a", "").items() if name != "annotation_id"}
    assert http.annotate(abc, annotations=[row, row], if_exists="error")["outcomes"] == [["new", 2]]
    assert http.annotate(abc, annotations=[row], if_exists="error")["outcomes"] == [["exists", 1]]


def append_files(http: Http, dataset: str, rows: list[dict[str, object]], files: list[bytes], **parts: str) -> Any:
    route = f"_nucleus_pandas/dataset/{dataset}/append"
    return http("POST", route, **multipart(json.dumps(rows).encode(), "items", files, "image", **parts))


def files_in(nucleus: EmbeddedNucleus) -> list[Path]:
    return [path for path in nucleus.images.folder.rglob("*") if path.is_file()]


def test_files_of_a_refused_batch_are_not_kept(http: Http, abc: str, nucleus: EmbeddedNucleus) -> None:
    rows, files = [image("x"), image("a"), image("y")], [png(1), png(2), b""]
    stored = append_files(http, abc, rows, files, if_exists="error")
    assert stored["outcomes"] == [["unsent", 1], ["exists", 1], ["error", 1]]
    assert "exists already" in stored["row_errors"][0][1]
    assert files_in(nucleus) == []


def test_files_of_new_items_are_kept(http: Http, abc: str, nucleus: EmbeddedNucleus) -> None:
    assert append_files(http, abc, [image("x")], [png()], if_exists="error")["outcomes"] == [["new", 1]]
    assert len(files_in(nucleus)) == 1
    assert "/_nucleus_pandas/images/" in http.items(abc, reference_ids=["x"])["columns"]["image_url"][0]


@pytest.mark.parametrize(
    ("parts", "own", "outcome"),
    [({}, True, "updated"), ({}, False, "ignored"), ({"if_exists": "skip"}, True, "ignored")],
)
def test_files_heed_if_exists(http: Http, abc: str, parts: dict[str, str], own: bool, outcome: str) -> None:
    assert append_files(http, abc, [image("a", update=own)], [png()], **parts)["outcomes"] == [[outcome, 1]]


@pytest.mark.parametrize("value", ["replace", "", "\udcff"])
def test_another_if_exists_is_refused(http: Http, abc: str, value: str) -> None:
    fields = multipart(json.dumps([image("x")]).encode(), "items", [png()], "image")
    fields["data"]["if_exists"] = io.BytesIO(value.encode(errors="surrogateescape")), None, "text/plain"
    assert "if_exists" in http("POST", f"_nucleus_pandas/dataset/{abc}/append", status=400, **fields)["error"]
    http.append(abc, ["x"], 400, if_exists="replace")


def test_mask_files_of_a_refused_batch_are_not_kept(http: Http, abc: str, nucleus: EmbeddedNucleus) -> None:
    http.annotate(abc, annotations=[shape("mask")])
    text = json.dumps({"segmentations": [shape("mask")], "if_exists": "error"}).encode()
    fields = multipart(text, "serialized_request", [png()], "mask")
    assert http("POST", f"_nucleus_pandas/dataset/{abc}/annotate", **fields)["outcomes"] == [["exists", 1]]
    assert not any(path.is_file() for path in nucleus.masks.folder.rglob("*"))


# A real socket


def test_a_served_store_has_the_same_extensions(endpoint: str) -> None:
    with requests.Session() as session:

        def post(route: str, body: object) -> Any:
            response = session.post(f"{endpoint}/{route}", data=msgspec.json.encode(body), timeout=20)
            assert response.status_code == 200, response.text
            return response.json()

        dataset = post("dataset/create", {"name": "Images"})["dataset_id"]
        own = f"_nucleus_pandas/dataset/{dataset}"
        rows = [image(name) for name in HOSTILE]
        assert post(f"{own}/append", {"items": rows, "if_exists": "error"})["new_items"] == len(HOSTILE)
        boxes = BoxColumns(**columns_of([(name, "1") for name in HOSTILE]))  # type: ignore[arg-type]
        assert post(f"{own}/annotate", {"boxes": boxes})["outcomes"] == [["new", len(HOSTILE)]]
        assert post(f"{own}/append", {"items": rows[:2], "if_exists": "error"})["outcomes"] == [["exists", 2]]
        page = msgspec.convert(post(f"{own}/annotations", {"reference_ids": HOSTILE[::-1]}), AnnotationPage)
        assert (page.columns.reference_id, page.lengths) == (HOSTILE[::-1], [1] * len(HOSTILE))
        items = msgspec.convert(post(f"{own}/items", {"positions": [1, 0, 99]}), ItemPage)
        assert (items.columns.reference_id, items.missing) == (HOSTILE[1::-1], [2])


# Queries and slices


def test_a_query_narrows_a_selection_and_pages_go_on(http: Http, abc: str) -> None:
    first = http.items(abc, query="reference_id != 'b'", limit=1, columns=["reference_id"])
    assert references(first) == ["a"]
    second = http.items(abc, query="reference_id != 'b'", limit=1, columns=["reference_id"], after=first["next"])
    assert (references(second), second["next"]) == (["c"], None)


@pytest.mark.parametrize("keys", [{"positions": [0]}, {"reference_ids": ["a"]}, {"item_ids": []}])
def test_a_query_stands_for_the_keys(http: Http, abc: str, keys: dict[str, object]) -> None:
    assert "A query looks for items by itself" in http.items(abc, 400, query="true", **keys)["error"]
    assert "A query looks for items by itself" in http.annotations(abc, 400, query="true", **keys)["error"]


def test_predictions_are_queried_by_their_own_run(http: Http, abc: str) -> None:
    run, other = http.new_run(abc), http.new_run(abc)
    http.annotate(run, annotations=[box("b", "1", confidence=0.5)])
    assert http.annotations(run, query="confidence = 0.5", model_run_id=run)["columns"]["annotation_id"] == ["1"]
    assert http.annotations(run, query="confidence = 0.6")["columns"]["annotation_id"] == []
    assert "of their own run" in http.annotations(run, 400, query="true", model_run_id=other)["error"]


def test_a_run_that_spans_datasets_is_queried_by_slice(http: Http, abc: str) -> None:
    run = http.new_run(None)
    known = ids_in(http, abc)
    rows = [{**box("", name, confidence=0.5), "item_id": known[name]} for name in "abc"]
    http.annotate(run, annotations=[{key: part for key, part in row.items() if key != "reference_id"} for row in rows])
    assert "query the predictions on the items of a slice" in http.annotations(run, 400, query="true")["error"]
    body = {"name": "s", "reference_ids": ["c", "a"]}
    made = http("POST", f"dataset/{abc}/create_slice", body)["slice_id"]
    route = f"_nucleus_pandas/slice/{made}/modelRun/{run}/predictions"
    assert http("POST", route, {})["columns"]["annotation_id"] == ["c", "a"]
    assert http("POST", route, {"query": "reference_id = 'a'"})["columns"]["annotation_id"] == ["a"]


def test_a_slice_is_read_by_page_and_by_key(http: Http, abc: str) -> None:
    http.annotate(abc, annotations=[box(name, f"{name}{number}") for name in "abc" for number in range(2)])
    body = {"name": "s", "reference_ids": ["c", "a"]}
    route = f"_nucleus_pandas/slice/{http('POST', f'dataset/{abc}/create_slice', body)['slice_id']}"
    found, token = [], None
    while token is not None or not found:
        selection = {"limit": 1, "columns": ["annotation_id"], **({} if token is None else {"after": token})}
        page = http("POST", f"{route}/annotations", selection)
        found += page["columns"]["annotation_id"]
        token = page["next"]
    assert found == ["c0", "c1", "a0", "a1"]
    page = http("POST", f"{route}/annotations", {"positions": [1, 0, 2], "columns": ["annotation_id"]})
    assert (page["columns"]["annotation_id"], page["lengths"], page["missing"]) == (
        ["a0", "a1", "c0", "c1"],
        [2, 2, 0],
        [2],
    )
    page = http("POST", f"{route}/items", {"reference_ids": ["b", "a"], "columns": ["reference_id"]})
    assert (page["columns"]["reference_id"], page["missing"]) == (["a"], [0])
    known = ids_in(http, abc)
    page = http("POST", f"{route}/items", {"item_ids": [known["c"], known["b"]], "columns": ["reference_id"]})
    assert (page["columns"]["reference_id"], page["missing"]) == (["c"], [1])
    http("POST", f"{route}/items", {"after": http.items(abc, limit=1)["next"]}, 400)
    http("POST", "_nucleus_pandas/slice/slc_0/items", {}, 404)


# Many items deleted at once


def test_many_items_are_deleted_by_one_request(http: Http, abc: str) -> None:
    route = f"_nucleus_pandas/dataset/{abc}/delete_items"
    answer = http("POST", route, {"reference_ids": ["c", "nobody", "a", "c"]})
    assert answer == {"deleted": 2, "missing": [1]}
    assert references(http.items(abc)) == ["b"]
    assert http("POST", route, {"reference_ids": []}) == {"deleted": 0, "missing": []}


@pytest.mark.parametrize(
    "body",
    [{}, {"reference_ids": "a"}, {"reference_ids": [1]}, {"reference_ids": ["a"] * (KEYS + 1)}, {"item_ids": []}],
)
def test_a_wrong_deletion_is_refused_whole(http: Http, abc: str, body: Any) -> None:
    http("POST", f"_nucleus_pandas/dataset/{abc}/delete_items", body, 400)
    http("POST", "_nucleus_pandas/dataset/ds_0/delete_items", {"reference_ids": ["a"]}, 404)
    assert len(http.items(abc)["columns"]["reference_id"]) == 3


def test_a_job_that_has_ended_is_not_cancelled(http: Http, abc: str) -> None:
    job = http("POST", f"dataset/{abc}/metadata?async=1", {"metadata": [], "level": "item"})["job_id"]
    assert "Completed" in http("POST", f"_nucleus_pandas/job/{job}/cancel", status=409)["error"]
    http("POST", "_nucleus_pandas/job/job_0/cancel", status=404)
