"""Any valid annotation that goes in by any route comes out equal by every route; so do any prediction and any item.

How many are drawn for each route says NUCLEUS_PANDAS_EXAMPLES.
"""

from __future__ import annotations

import io
import json
import os
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote, urlsplit

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nucleus_pandas as npd
from nucleus_pandas.server.app import create_app
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.support.private import dataset_handle, run_handle

Row: TypeAlias = dict[str, Any]
ITEMS = ["a", "b/../c d?#é%", "empty"]
PNG = b"\x89PNG\r\n\x1a\n any content"


# What can be sent

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
NUMBER = st.integers(-(2**53), 2**53) | st.floats(-1e150, 1e150, allow_nan=False)
SIZE = st.integers(0, 2**53) | st.floats(0, 1e150)
FRACTION = st.floats(0, 1) | st.sampled_from([0, 1])
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)
METADATA = st.dictionaries(TEXT, VALUE, max_size=3)
POINT = st.fixed_dictionaries({"x": NUMBER, "y": NUMBER})
POINT_3D = st.fixed_dictionaries({"x": NUMBER, "y": NUMBER, "z": NUMBER})
SIZE_3D = st.fixed_dictionaries({"x": SIZE, "y": SIZE, "z": SIZE})
VERTICES = st.fixed_dictionaries({"vertices": st.lists(POINT, min_size=1, max_size=4)})
HIDDEN = st.fixed_dictionaries({"visible": st.just(False)}, optional={"x": NUMBER | st.none(), "y": NUMBER | st.none()})
VISIBLE = st.fixed_dictionaries({"x": NUMBER, "y": NUMBER}, optional={"visible": st.just(True)})


@st.composite
def poses(draw: st.DrawFn) -> Row:
    points = draw(st.lists(HIDDEN | VISIBLE, max_size=4))
    names = draw(st.lists(TEXT, min_size=len(points), max_size=len(points), unique=True))
    made: Row = {"keypoints": points, "names": names}
    ends = st.integers(-len(points), len(points) - 1) if points else st.nothing()
    return {
        **made,
        **draw(st.fixed_dictionaries({}, optional={"skeleton": st.none() | st.lists(st.tuples(ends, ends))})),
    }


GEOMETRIES = {
    "box": st.fixed_dictionaries({"x": NUMBER, "y": NUMBER, "width": SIZE, "height": SIZE}),
    "line": VERTICES,
    "polygon": VERTICES,
    "keypoints": poses(),
    "cuboid": st.fixed_dictionaries(
        {"position": POINT_3D, "dimensions": SIZE_3D, "yaw": st.floats(allow_nan=False, allow_infinity=False)}
    ),
}
SEGMENT = st.fixed_dictionaries(
    {"label": TEXT, "index": st.integers(0, 2**31 - 1)}, optional={"metadata": METADATA | st.none()}
)
COMMON = {
    "metadata": METADATA | st.none(),
    "track_reference_id": TEXT | st.none(),
    "task_id": TEXT | st.none(),
    "embedding_vector": st.lists(NUMBER, max_size=3) | st.none(),
}
CLASSES = st.dictionaries(TEXT, FRACTION, max_size=3)
SURE = {"confidence": FRACTION | st.none(), "class_pdf": CLASSES | st.none()}
ID = {"annotation_id": TEXT | st.none()}


def of_type(kind: str, *, sure: bool) -> st.SearchStrategy[Row]:
    optional = {**COMMON, **(SURE if sure else {})}
    own: dict[str, st.SearchStrategy[Any]] = {"type": st.just(kind)}
    if kind == "mask":
        own |= {"mask_url": TEXT, "annotations": st.lists(SEGMENT, max_size=3)}
        return st.fixed_dictionaries(own, optional={**optional, **ID})
    if kind in ("category", "multicategory"):
        own |= {"label": TEXT} if kind == "category" else {"labels": st.lists(TEXT, max_size=3)}
        more = {"geometry": st.just({}), "taxonomy_name": TEXT | st.none()}
        return st.fixed_dictionaries(own, optional={**optional, **ID, **more})
    own |= {"label": TEXT, "geometry": GEOMETRIES[kind]}
    return st.fixed_dictionaries(own, optional={**optional, **ID})


def rows_of(*kinds: str, sure: bool) -> st.SearchStrategy[list[Row]]:
    one = st.tuples(st.sampled_from(ITEMS[:2]), st.one_of([of_type(kind, sure=sure) for kind in kinds]))
    return st.lists(one, min_size=1, max_size=4, unique_by=_key).map(
        lambda pairs: [{**row, "reference_id": name} for name, row in pairs]
    )


def _key(pair: tuple[str, Row]) -> tuple[str, str]:
    """Return what an item holds once: a mask, a category of a taxonomy, an annotation id."""
    name, row = pair
    if row["type"] == "mask":
        return name, "mask"
    if row.get("taxonomy_name") is not None:
        return name, f"taxonomy {row['taxonomy_name']}"
    own = row.get("annotation_id")
    return name, uuid.uuid4().hex if own is None else f"id {own}"


# What is equal


def spelled(row: Row) -> str:
    """Write down what an object says, in one spelling: as it is sent and as it is read."""
    made = {name: value for name, value in row.items() if value is not None}
    for name in ("id", "dataset_item_id", "item_id", "dataset_id"):
        made.pop(name, None)
    made["metadata"] = json.dumps(made.get("metadata") or {}, sort_keys=True)
    geometry = made.pop("geometry", None) or {}
    if "keypoints" in geometry:
        points = [{"visible": True, **{k: v for k, v in one.items() if v is not None}} for one in geometry["keypoints"]]
        geometry = {**geometry, "keypoints": points}
    made["geometry"] = floats({name: value for name, value in geometry.items() if value is not None})
    for name in ("confidence", "class_pdf", "embedding_vector"):
        if name in made:
            made[name] = floats(made[name])
    if "annotations" in made:
        segments = [{name: part for name, part in one.items() if part is not None} for one in made["annotations"]]
        made["annotations"] = json.dumps(segments, sort_keys=True)
    return json.dumps(made, sort_keys=True)


def floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: floats(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [floats(part) for part in value]
    return value + 0.0 if isinstance(value, (int, float)) and not isinstance(value, bool) else value


# The routes


class Api(NamedTuple):
    """An embedded Nucleus, asked over HTTP, and one client of ours."""

    http: FlaskClient
    client: npd.NucleusClient

    def __call__(self, method: str, route: str, body: object = None, **fields: Any) -> Any:
        if body is not None:
            fields |= {"data": json.dumps(body), "content_type": "application/json"}
        path = f"/v1/nucleus/{route}"
        answer = self.http.open(
            path, method=method, base_url="http://127.0.0.1", environ_overrides={"REQUEST_URI": path}, **fields
        )
        assert answer.status_code == 200, answer.text
        return json.loads(answer.data)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("store")
    nucleus = EmbeddedNucleus(folder)
    with npd.NucleusClient.local(folder) as client:
        yield Api(create_app(nucleus).test_client(), client)
    nucleus.close()


class Target(NamedTuple):
    """A dataset, a model and a run of it, in which nothing is."""

    dataset: str
    model: str
    run: str


def new_target(api: Api) -> Target:
    dataset = api("POST", "dataset/create", {"name": "Any"})["dataset_id"]
    items = [{"reference_id": name, "image_url": "https://e.org/a.jpg"} for name in ITEMS]
    api("POST", f"dataset/{dataset}/append", {"items": items})
    model = api("POST", "models/add", {"name": "M", "reference_id": uuid.uuid4().hex})["model_id"]
    run = api("POST", f"dataset/{dataset}/modelRun/create", {"model_id": model})["model_run_id"]
    return Target(dataset, model, run)


def item_ids(api: Api, world: Target) -> dict[str, str]:
    found = api("GET", f"dataset/{world.dataset}/datasetItems")["dataset_items"]
    return {one["reference_id"]: one["id"] for one in found}


Sender: TypeAlias = Callable[[Api, Target, str, list[Row]], Any]


def by_body(api: Api, world: Target, route: str, rows: list[Row]) -> Any:
    return api("POST", route, {"annotations": rows, "update": False})


def by_segmentations(api: Api, world: Target, route: str, rows: list[Row]) -> Any:
    masks = [row for row in rows if row["type"] == "mask"]
    others = [row for row in rows if row["type"] != "mask"]
    return api("POST", route, {"annotations": others, "segmentations": masks, "update": False})


def by_item_id(api: Api, world: Target, route: str, rows: list[Row]) -> Any:
    known = item_ids(api, world)
    named = [{**row, "reference_id": None, "item_id": known[row["reference_id"]]} for row in rows]
    return api("POST", route, {"annotations": named, "update": True})


def by_signed_upload(api: Api, world: Target, route: str, rows: list[Row]) -> Any:
    request_id = uuid.uuid4().hex
    signed = api("GET", f"dataset/{world.dataset}/signedUrl/{request_id}")["signed_url"]
    api.http.put(urlsplit(signed).path, data=b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    job = api("POST", f"{route}?async=1", {"requestId": request_id, "update": False})
    assert job["job_last_known_status"] == "Completed", api("GET", f"job/{job['job_id']}/errors")


def by_extension(api: Api, world: Target, route: str, rows: list[Row]) -> Any:
    """Send boxes as columns, and the others as objects."""
    boxes = [row for row in rows if row["type"] == "box" and set(row) <= FLAT and row.get("annotation_id") is not None]
    own = f"_nucleus_pandas/{route}"
    if boxes:
        columns = {side: [row["geometry"][side] for row in boxes] for side in ("x", "y", "width", "height")}
        columns |= {name: [row.get(name) for row in boxes] for name in ("annotation_id", "label", "metadata")}
        columns["keys"] = [row["reference_id"] for row in boxes]
        if "predict" in route:
            columns["confidence"] = [row.get("confidence") for row in boxes]
        api("POST", own, {"boxes": columns})
    return api("POST", own, {"annotations": [row for row in rows if row not in boxes], "if_exists": "skip"})


FLAT = {"type", "label", "geometry", "reference_id", "annotation_id", "metadata", "confidence"}

Reader: TypeAlias = Callable[[Api, Target], dict[str, list[Row]]]


def path_of(name: str) -> str:
    return quote(name, safe="").replace(".", "%2E")


def grouped(groups: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for kind, some in groups.items():
        some = [some] if isinstance(some, dict) else some or []
        assert all(row["type"] == ("mask" if kind == "segmentation" else kind) for row in some)
        rows += some
    return rows


def each_item(route: str) -> Reader:
    """Read by a route that answers for one item."""

    def read(api: Api, world: Target) -> dict[str, list[Row]]:
        names = {"ds": world.dataset, "run": world.run, "model": world.model}
        known = item_ids(api, world)
        found = {}
        for at, name in enumerate(ITEMS):
            key = {"refloc": path_of(name), "referenceId": path_of(name), "iloc": at, "loc": known[name]}
            by = route.rpartition("/")[2]
            found[name] = grouped(api("GET", f"{route.format(**names)}/{key[by]}")["annotations"])
        return found

    return read


def by_reference(rows: list[Row]) -> dict[str, list[Row]]:
    found = defaultdict(list)
    for row in rows:
        found[row["reference_id"]].append(row)
    return found


def exported(api: Api, world: Target) -> dict[str, list[Row]]:
    rows = api("GET", f"dataset/{world.dataset}/exportForTraining")["exportedRows"]
    assert [row["item"]["reference_id"] for row in rows] == ITEMS
    return {row.pop("item")["reference_id"]: grouped(row) for row in rows}


def exported_by_page(api: Api, world: Target) -> dict[str, list[Row]]:
    found, token = {}, None
    while True:
        page = api("POST", f"dataset/{world.dataset}/exportForTrainingPage", {"pageToken": token, "pageSize": 1})
        for row in page["data"]:
            name = row.pop("item")["reference_id"]
            found[name] = grouped(row)
        token = page["nextPageToken"]
        if not token:
            return found


def queried(mode: str) -> Reader:
    def read(api: Api, world: Target) -> dict[str, list[Row]]:
        body = {"query": "", "patch_mode": mode, "model_run_id": world.run, "pageToken": None, "pageSize": 2}
        rows = []
        while True:
            page = api("POST", f"dataset/{world.dataset}/queryObjectsPage", body)
            rows += page["items"]
            body["pageToken"] = page["nextPageToken"]
            if not body["pageToken"]:
                return by_reference(rows)

    return read


def bare(route: str) -> Reader:
    def read(api: Api, world: Target) -> dict[str, list[Row]]:
        return by_reference(grouped(api("GET", route.format(ds=world.dataset, run=world.run, model=world.model))))

    return read


def one_by_one(route: str) -> Reader:
    """Read each object by its names; which these are, another route tells."""

    def read(api: Api, world: Target) -> dict[str, list[Row]]:
        names = {"ds": world.dataset, "run": world.run, "model": world.model}
        of_truth = "groundTruth" in route
        known = exported(api, world) if of_truth else bare("modelRun/{run}/ungrouped")(api, world)
        return {
            name: [
                api("GET", f"{route.format(**names)}/{path_of(name)}/{path_of(row['annotation_id'])}") for row in rows
            ]
            for name, rows in known.items()
        }

    return read


def as_columns(route: str) -> Reader:
    """Read by the route of columns."""

    def read(api: Api, world: Target) -> dict[str, list[Row]]:
        page = api("POST", f"_nucleus_pandas/{route.format(ds=world.dataset, run=world.run)}", {})["columns"]
        return by_reference([laid_out(dict(zip(page, row, strict=True))) for row in zip(*page.values(), strict=True)])

    return read


def framed(kind: str) -> Reader:
    """Read a frame of our client."""

    def read(api: Api, world: Target) -> dict[str, list[Row]]:
        if kind == "predictions":
            frame = run_handle(api.client, world.run, world.dataset).predictions.to_frame()
        else:
            frame = dataset_handle(api.client, world.dataset).annotations.to_frame()
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return by_reference([laid_out(row) for row in rows])

    return read


def laid_out(row: Row) -> Row:
    """Create an object of a row of columns."""
    sides = {side: row.pop(side) for side in ("x", "y", "width", "height")}
    shape = row.pop("geometry", None)
    kind = row["type"]
    if kind == "box":
        return {**row, "geometry": sides}
    return {**row, **(shape or {})} if kind in ("mask", "category", "multicategory") else {**row, "geometry": shape}


WHOLE = {
    "refloc": each_item("dataset/{ds}/refloc"),
    "iloc": each_item("dataset/{ds}/iloc"),
    "loc": each_item("dataset/{ds}/loc"),
    "groundTruth/loc": one_by_one("dataset/{ds}/groundTruth/loc"),
    "exportForTraining": exported,
    "exportForTrainingPage": exported_by_page,
    "queryObjectsPage": queried("ground_truth_only"),
}
COLUMNS = {"columns": as_columns("dataset/{ds}/annotations"), "frame": framed("annotations")}
PREDICTED = {
    "run refloc": each_item("modelRun/{run}/refloc"),
    "run iloc": each_item("modelRun/{run}/iloc"),
    "run loc": each_item("modelRun/{run}/loc"),
    "model referenceId": each_item("dataset/{ds}/model/{model}/referenceId"),
    "model iloc": each_item("dataset/{ds}/model/{model}/iloc"),
    "ungrouped": bare("modelRun/{run}/ungrouped"),
    "export": bare("dataset/{ds}/model/{model}/export"),
    "prediction/loc": one_by_one("modelRun/{run}/prediction/loc"),
    "model loc": one_by_one("dataset/{ds}/model/{model}/loc"),
    "queryObjectsPage": queried("predictions_only"),
}
PREDICTED_COLUMNS = {"columns": as_columns("modelRun/{run}/predictions"), "frame": framed("predictions")}

SENDERS: list[Sender] = [by_body, by_segmentations, by_item_id, by_signed_upload, by_extension]
OF_RUN = ["modelRun/{run}/predict", "modelRun/{run}/uploadPredictions", "dataset/{ds}/modelRun/{run}/uploadPredictions"]
OF_RUN.append("dataset/{ds}/model/{model}/uploadPredictions")

EXAMPLES = int(os.environ.get("NUCLEUS_PANDAS_EXAMPLES", "6"))

several = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def check(api: Api, world: Target, sent: list[Row], whole: dict[str, Reader], columns: dict[str, Reader]) -> None:
    """Compare what every route gives with what was sent; an id that was not sent is one that all routes agree on."""
    given = {name: [row.get("annotation_id") for row in rows] for name, rows in by_reference(sent).items()}
    ids: dict[str, set[str]] = {}
    for route, read in {**whole, **columns}.items():
        found = {name: rows for name, rows in read(api, world).items() if rows}
        assert set(found) == set(given), route
        for name, rows in found.items():
            computed = {row["annotation_id"] for row in rows} - set(given[name])
            assert ids.setdefault(name, computed) == computed, route
            assert len(computed) == sum(one is None for one in given[name])
            expected = [dict(row) for row in by_reference(sent)[name]]
            for row in expected:
                if row.get("annotation_id") is None:
                    row["annotation_id"] = "computed"
            got = [{**row, "annotation_id": "computed"} if row["annotation_id"] in computed else row for row in rows]
            assert sorted(map(spelled, got)) == sorted(map(spelled, expected)), route


@pytest.mark.parametrize("send", SENDERS)
@several
@given(rows=rows_of(*GEOMETRIES, "category", "multicategory", "mask", sure=False))
def test_any_annotation_comes_out_equal_by_every_route(api: Api, send: Sender, rows: list[Row]) -> None:
    world = new_target(api)
    send(api, world, f"dataset/{world.dataset}/annotate", rows)
    check(api, world, rows, WHOLE, COLUMNS)


@pytest.mark.parametrize("send", SENDERS)
@several
@given(rows=rows_of(*GEOMETRIES, "category", "mask", sure=True), route=st.sampled_from(OF_RUN))
def test_any_prediction_comes_out_equal_by_every_route(api: Api, send: Sender, rows: list[Row], route: str) -> None:
    world = new_target(api)
    route = OF_RUN[0] if send is by_extension else route
    filled = route.format(ds=world.dataset, run=world.run, model=world.model)
    if send is by_signed_upload and filled.startswith("modelRun") and "upload" in filled:
        filled = f"modelRun/{world.run}/predict"
    send(api, world, filled, rows)
    check(api, world, rows, PREDICTED, PREDICTED_COLUMNS)


@several
@given(rows=rows_of("box", "polygon", "cuboid", sure=True))
def test_any_prediction_without_a_run_comes_out_equal_by_every_route(api: Api, rows: list[Row]) -> None:
    world = new_target(api)
    known = item_ids(api, world)
    named = [{**row, "dataset_id": world.dataset} for row in rows]
    api("POST", f"model/{world.model}/predictions", {"annotations": named})

    def reader(by: str) -> Reader:
        def read(api: Api, world: Target) -> dict[str, list[Row]]:
            found = {}
            for at, name in enumerate(ITEMS):
                key = {"refloc": path_of(name), "iloc": at, "loc": known[name]}[by]
                every = api("GET", f"model/{world.model}/predictions/{by}/{key}")["predictions"]
                found[name] = [row for row in every if row["dataset_item_id"] == known[name]]
            return found

        return read

    check(api, world, rows, {by: reader(by) for by in ("refloc", "iloc", "loc")}, {})


@pytest.mark.filterwarnings("ignore:No number of any box is above 1")
@several
@given(rows=rows_of(*GEOMETRIES, "category", "multicategory", "mask", sure=False))
def test_any_annotations_of_a_frame_can_be_sent_to_another_dataset(api: Api, rows: list[Row]) -> None:
    world, other = new_target(api), new_target(api)
    rows = [row | ({"mask_url": f"https://e.org/{row['mask_url']}"} if "mask_url" in row else {}) for row in rows]
    by_body(api, world, f"dataset/{world.dataset}/annotate", rows)
    frame = dataset_handle(api.client, world.dataset).annotations.to_frame()
    if not len(frame):
        return
    result = npd.annotate(frame.drop(columns="dataset_item_id"), dataset_handle(api.client, other.dataset))
    assert set(result.rows["status"]) == {"new"}
    kept = [dict(row) for row in rows]
    for row in kept:  # the null rule: at the top level of metadata, null is what is absent
        row["metadata"] = {name: value for name, value in (row.get("metadata") or {}).items() if value is not None}
    check(api, other, kept, WHOLE, COLUMNS)


@several
@given(row=of_type("mask", sure=False), as_prediction=st.booleans())
def test_any_mask_file_comes_out_as_it_was(api: Api, row: Row, as_prediction: bool) -> None:
    world = new_target(api)
    sent = {**row, "reference_id": "a"}
    text = json.dumps({"segmentations": [sent], "update": False}).encode()
    route = f"modelRun/{world.run}/predict" if as_prediction else f"dataset/{world.dataset}/annotate"
    parts = {
        "serialized_request": (io.BytesIO(text), "request.json", "application/json"),
        "mask": (io.BytesIO(PNG), "%2Ftmp%2Fm.png", "image/png"),
    }
    api("POST", route, data=parts, content_type="multipart/form-data")
    readers = PREDICTED if as_prediction else WHOLE
    for name, read in readers.items():
        (found,) = read(api, world)["a"]
        with api.http.get(urlsplit(found["mask_url"]).path, base_url="http://127.0.0.1") as answer:
            assert answer.data == PNG, name
        compared = {**sent, "mask_url": "", "annotation_id": ""}
        assert spelled({**found, "mask_url": "", "annotation_id": ""}) == spelled(compared), name


# Items

SIDE = st.integers(1, 2**31 - 1) | st.none()
ITEM = st.fixed_dictionaries(
    {"reference_id": TEXT, "image_url": TEXT},
    optional={"metadata": METADATA | st.none(), "width": SIDE, "height": SIDE},
)


def append_by_body(api: Api, dataset: str, items: list[Row]) -> None:
    api("POST", f"dataset/{dataset}/append", {"items": items, "update": False})


def append_by_job(api: Api, dataset: str, items: list[Row]) -> None:
    api("POST", f"dataset/{dataset}/append?async=1", {"items": items, "update": False})


def append_by_upload(api: Api, dataset: str, items: list[Row]) -> None:
    by_signed_upload(api, Target(dataset, "", ""), f"dataset/{dataset}/append", items)


def append_by_extension(api: Api, dataset: str, items: list[Row]) -> None:
    api("POST", f"_nucleus_pandas/dataset/{dataset}/append", {"items": items, "if_exists": "error"})


def item_told(row: Row) -> str:
    made = {name: row.get(name) for name in ("reference_id", "image_url", "width", "height")}
    return json.dumps({**made, "metadata": row.get("metadata") or {}}, sort_keys=True)


def items_by_page(api: Api, dataset: str) -> list[Row]:
    rows, token = [], None
    while True:
        page = api("POST", f"dataset/{dataset}/itemsPage", {"pageToken": token, "pageSize": 2})
        rows += page["items"]
        token = page["nextPageToken"]
        if not token:
            return rows


@pytest.mark.parametrize("append", [append_by_body, append_by_job, append_by_upload, append_by_extension])
@several
@given(items=st.lists(ITEM, min_size=1, max_size=5, unique_by=lambda item: item["reference_id"]))
def test_any_item_comes_out_equal_by_every_route(api: Api, append: Any, items: list[Row]) -> None:
    dataset = api("POST", "dataset/create", {"name": "Any"})["dataset_id"]
    append(api, dataset, items)
    listed = api("GET", f"dataset/{dataset}/datasetItems")["dataset_items"]
    names = [quote(item["reference_id"], safe="").replace(".", "%2E") for item in items]
    columns = api("POST", f"_nucleus_pandas/dataset/{dataset}/items", {})["columns"]
    frame = dataset_handle(api.client, dataset).items.to_frame()
    frame = frame.rename(columns={"image_width": "width", "image_height": "height"})
    frames = frame.astype(object).where(frame.notna(), None).to_dict("records")
    ways = {
        "datasetItems": listed,
        "itemsPage": items_by_page(api, dataset),
        "refloc": [api("GET", f"dataset/{dataset}/refloc/{name}")["item"] for name in names],
        "iloc": [api("GET", f"dataset/{dataset}/iloc/{at}")["item"] for at in range(len(items))],
        "loc": [api("GET", f"dataset/{dataset}/loc/{item['id']}")["item"] for item in listed],
        "exportForTraining": [r["item"] for r in api("GET", f"dataset/{dataset}/exportForTraining")["exportedRows"]],
        "columns": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        "frame": frames,
    }
    for way, found in ways.items():
        assert list(map(item_told, found)) == list(map(item_told, items)), way
    assert frame.index.tolist() == [item["id"] for item in listed]
