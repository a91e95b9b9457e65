"""Nonsense on every route: never a 500, always JSON that tells the status, and never a half-written store.

Requests are those of the list of routes with something in them replaced: by values of other types, null, numbers that
are too large, hostile texts, deep nesting. How many are drawn for each route says NUCLEUS_PANDAS_EXAMPLES.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.factories import box, item
from tests.support.contract_requests import (
    EVALUATED,
    JSON,
    KEYS,
    PREFIX,
    ROUTES,
    WRONG,
    InProcess,
    evaluated,
    fill,
    mask,
    multipart,
    one_of_everything,
)
from tests.support.contract_requests import Part as FilePart

EXAMPLES = int(os.environ.get("NUCLEUS_PANDAS_EXAMPLES", "6"))
DEEP = 3_000
Steps: TypeAlias = tuple[str | int, ...]

EXTENSIONS: list[tuple[str, str, Any]] = [
    ("GET", "_nucleus_pandas", {}),
    ("POST", "_nucleus_pandas/dataset/{ds}/items", {"reference_ids": ["a.jpg"], "columns": ["metadata"], "limit": 5}),
    ("POST", "_nucleus_pandas/dataset/{ds}/items", {"after": None, "positions": None, "item_ids": ["{item}"]}),
    ("POST", "_nucleus_pandas/dataset/{ds}/annotations", {"positions": [0], "columns": ["geometry"]}),
    ("POST", "_nucleus_pandas/modelRun/{run}/predictions", {"item_ids": ["{item}"], "after": None}),
    ("POST", "_nucleus_pandas/dataset/{ds}/append", {"items": [item("y.jpg")], "if_exists": "error"}),
    ("POST", "_nucleus_pandas/dataset/{ds}/annotate", {"annotations": [box()], "if_exists": "update"}),
    (
        "POST",
        "_nucleus_pandas/modelRun/{run}/predict",
        {
            "boxes": {
                "by": "reference_id",
                "keys": ["a.jpg"],
                "annotation_id": ["x"],
                "label": ["car"],
                "x": [1],
                "y": [2],
                "width": [3],
                "height": [4],
                "confidence": [0.5],
                "metadata": [{"k": 1}],
                "class_pdf": [{"car": 0.5}],
                "track_reference_id": ["t"],
                "task_id": [None],
                "embedding_vector": [[1.0, 2]],
            }
        },
    ),
    (
        "POST",
        "_nucleus_pandas/dataset/{ds}/model/{model}/uploadPredictions",
        {"annotations": [box()], "if_exists": "error"},
    ),
    ("POST", "_nucleus_pandas/dataset/{ds}/modelRun/{run}/uploadPredictions", {"annotations": [box()], "update": True}),
    ("POST", "_nucleus_pandas/dataset/{ds}/model/{model}/predictions", {"positions": [0], "columns": ["class_pdf"]}),
    ("POST", "_nucleus_pandas/dataset/{ds}/modelRun/{run}/predictions", {"reference_ids": ["a.jpg"], "query": None}),
    ("POST", "_nucleus_pandas/slice/{slice}/model/{model}/predictions", {"positions": [0], "after": None}),
    ("POST", "_nucleus_pandas/model/{model}/predictions", {"annotations": [box()], "boxes": None}),
    ("POST", "_nucleus_pandas/model/{model}/predictions/rows", {"item_ids": ["{item}"], "columns": ["task_id"]}),
    ("GET", "_nucleus_pandas/model/{model}", {}),
    ("GET", "_nucleus_pandas/modelRun/{run}", {}),
    ("GET", "_nucleus_pandas/modelRun/{run}/commit", {}),
    ("GET", "_nucleus_pandas/modelRun/{committed}/matches?after=0,0&limit=10", {}),
    ("POST", "_nucleus_pandas/dataset/{ds}/delete_items", {"reference_ids": ["b.jpg"]}),
    ("POST", "_nucleus_pandas/job/{job}/cancel", {}),
    ("GET", "_nucleus_pandas/images/ab/cd.png", {}),
]
SHAPES: list[tuple[str, str, Any]] = [
    ("POST", "dataset/{ds}/annotate", {"annotations": [{"type": "category", "labels": [""], "label": "x"}]}),
    (
        "POST",
        "dataset/{ds}/annotate",
        {
            "annotations": [
                {
                    "type": "keypoints",
                    "label": "x",
                    "reference_id": "a.jpg",
                    "geometry": {
                        "keypoints": [{"x": 1, "y": 2}],
                        "names": ["n"],
                        "skeleton": [[0, 0]],
                    },
                },
                {
                    "type": "cuboid",
                    "label": "x",
                    "item_id": "{item}",
                    "geometry": {
                        "position": {"x": 1, "y": 2, "z": 3},
                        "dimensions": {"x": 1, "y": 2, "z": 3},
                        "yaw": 0.5,
                    },
                },
                {
                    "type": "polygon",
                    "label": "x",
                    "reference_id": "a.jpg",
                    "geometry": {"vertices": [{"x": 1, "y": 2}]},
                },
                {"type": "multicategory", "labels": ["a"], "reference_id": "a.jpg", "taxonomy_name": "t"},
                {"type": "category", "label": "rain", "reference_id": "a.jpg", "taxonomy_name": "weather"},
            ],
            "segmentations": [mask()],
            "update": True,
        },
    ),
    (
        "POST",
        "modelRun/{run}/predict",
        {"annotations": [box(confidence=0.5, class_pdf={"car": 1}, embedding_vector=[1], metadata={"k": {"l": [1]}})]},
    ),
    (
        "POST",
        "model/{model}/predictions",
        {"annotations": [box(None, item_id="{item}"), box(dataset_id="{ds}")]},
    ),
    (
        "POST",
        "dataset/create",
        {
            "name": "Streets",
            "is_scene": False,
            "use_privacy_mode": True,
            "item_metadata_schema": {"hour": {"type": "category", "choices": ["a"], "description": "b"}},
            "annotation_metadata_schema": None,
        },
    ),
    (
        "POST",
        "dataset/{ds}/append",
        {
            "items": [item("z.jpg", metadata={"k": [1]}, width=4, height=5, embedding_info={}, update=False)],
            "update": True,
        },
    ),
    (
        "POST",
        "dataset/{ds}/metadata",
        {"metadata": [{"reference_id": "a.jpg", "metadata": {"k": 1}, "camera_params": {"fx": 1}}], "level": "item"},
    ),
    ("POST", "dataset/{ds}/exportForTrainingPage", {"pageToken": None, "pageSize": 2, "chip": False}),
    ("POST", "dataset/{ds}/itemsPage", {"pageToken": "0", "pageSize": 2}),
    (
        "POST",
        "jobs/",
        {
            "dataset_id": "{ds}",
            "job_types": ["uploadDatasetItems"],
            "from_date": "2026-01-01",
            "to_date": "2026-01-01T00:00:00Z",
            "limit": 5,
            "show_completed": True,
        },
    ),
    (
        "POST",
        "benchmarks/{benchmark}/evaluationsV2",
        {
            "model_id": "{model}",
            "name": "n",
            "rollupGroups": [{"class_name": "big", "labels": ["car"]}],
            "exclusionRules": [
                {"type": "metadata", "scope": "item", "key": "k", "op": "EQ", "value": 1},
                {"type": "labels", "scope": "annotation", "target": "prediction", "labels": ["van"]},
                {"type": "boxArea", "scope": "annotation", "target": "groundTruth", "min": 1, "max": 2},
            ],
        },
    ),
    (
        "POST",
        "evaluationsV2/{evaluation}/examples",
        {
            "limit": 5,
            "offset": 0,
            "match_type": "FP",
            "sort_by": "iou",
            "sort_order": "ASC",
            "filters": {
                "confidenceRange": {"min": 0, "max": 1},
                "iouRange": {"min": 0},
                "gtAreaRange": {"max": 5},
                "predLabels": ["car"],
                "gtLabels": ["car"],
                "itemMetadata": [{"key": "k", "op": "IN", "value": [1, "a"]}],
                "predictionMetadata": [{"key": "k", "op": "GT", "value": 1}],
                "labelEquality": "EQ",
                "hasGroundTruth": True,
                "tideBackground": False,
            },
        },
    ),
    (
        "POST",
        "modelRun/{run}/commit",
        {"allowed_label_matches": [{"ground_truth_label": "a", "model_prediction_label": "b"}]},
    ),
]
UNSERVED = [(method, route, body) for method, route, body, status in WRONG if status == 501]
EVERY = [*ROUTES, *EXTENSIONS, *SHAPES, *UNSERVED]

JUNK = [
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e308",
    "1e400",
    "-1e400",
    "NaN",
    "-Infinity",
    "9" * 30,
    "-" + "9" * 400,
    "1e-400",
    '""',
    '"x"',
    '"NaN"',
    '"0"',
    r'"\ud800"',
    r'"\u0000"',
    r'"\u001f"',
    '"\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{RIGHT-TO-LEFT OVERRIDE}"',
    '"' + "x" * 70_000 + '"',
    '"../../etc/passwd"',
    '"\'; DROP TABLE item; --"',
    '"ds_000000000000"',
    '"di_00000000000000000000"',
    '"2026-13-45"',
    "[]",
    "{}",
    "[null]",
    "[[]]",
    '{"": null}',
    '{"a": {"a": {"a": [1e999]}}}',
    "[" * DEEP + "]" * DEEP,
    '{"a":' * DEEP + "1" + "}" * DEEP,
    "",
    "tru",
]
BODIES = [b"", b"{", b"null", b"\xff\xfe{}", b"[]", b'"x"', b"0", b"{}" * 2, b"\x00", b"[" * DEEP, b"\xef\xbb\xbf{}"]
SEGMENTS = [
    "",
    "0",
    "..",
    ".",
    "%00",
    "%",
    "%zz",
    "%ED%A0%80",
    "a/b",
    "a%2Fb",
    "x" * 3000,
    "é",
    "null",
    "-1",
    "1e5",
    "99" * 20,
]
QUERIES = [
    "async=1",
    "async=%00",
    "limit=-1",
    "limit=x&offset=1e9",
    "iouThreshold=nan",
    "filters=[",
    "after=,",
    "a=%ED%A0%80",
]


class Marked(NamedTuple):
    """A piece of JSON text that stands where a value stood."""

    text: str


def steps(value: Any, so_far: Steps = ()) -> Iterator[Steps]:
    """Walk the places in a body, the whole first."""
    yield so_far
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from steps(part, (*so_far, key))


def replaced(value: Any, place: Steps, new: Any) -> Any:
    if not place:
        return new
    if isinstance(value, dict):
        return {key: replaced(part, place[1:], new) if key == place[0] else part for key, part in value.items()}
    if isinstance(value, list):
        return [replaced(part, place[1:], new) if at == place[0] else part for at, part in enumerate(value)]
    return value  # what was there is replaced already


def written(value: Any) -> bytes:
    """Write JSON, with its marked pieces as they are."""
    if isinstance(value, Marked):
        return value.text.encode("utf-8", "surrogatepass")
    if isinstance(value, dict):
        return b"{" + b",".join(json.dumps(key).encode() + b":" + written(part) for key, part in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(written, value)) + b"]"
    return json.dumps(value).encode()


@st.composite
def nonsense(draw: st.DrawFn, method: str, route: str, body: Any) -> tuple[str, bytes]:
    """Draw a request like one of the list, with something in it replaced."""
    kind = draw(st.sampled_from(["value", "value", "value", "key", "body", "path", "query"]))
    text = written(body if body is not None else {})
    if kind == "body":
        text = draw(st.sampled_from(BODIES))
    elif kind == "query":
        return f"{route}{'&' if '?' in route else '?'}{draw(st.sampled_from(QUERIES))}", text
    elif kind == "path" and "{" in route:
        names = [part for part in route.split("/") if part.startswith("{")]
        name = draw(st.sampled_from(names or [route]))
        return route.replace(name, draw(st.sampled_from(SEGMENTS)), 1), text
    elif isinstance(body, dict):
        made: Any = body
        for _ in range(draw(st.integers(1, 2))):
            place = draw(st.sampled_from(list(steps(body))))
            made = replaced(made, place, Marked(draw(st.sampled_from(JUNK))))
        if kind == "key" and isinstance(made, dict):
            key = draw(st.sampled_from(["", "x", "type", "requestId", "\ud800", "update", "item_id", "x" * 5000]))
            made = {**made, key: Marked(draw(st.sampled_from(JUNK)))}
        text = written(made)
    return route, text


class Stage:
    """A world that is made anew after every request that may have changed it."""

    def __init__(self, folder: Path) -> None:
        self.nucleus = EmbeddedNucleus(folder)
        self.api = InProcess(self.nucleus)
        self.folder = folder
        self._watch = sqlite3.connect(folder / "nucleus.sqlite")
        self._names: dict[bool, dict[str, str]] = {}

    def names(self, route: str, body: Any) -> dict[str, str]:
        full = any(f"{{{name}}}" in f"{route} {body!r}" for name in EVALUATED)
        if full not in self._names:
            made = one_of_everything(self.api)
            self._names[full] = made | (evaluated(self.api, made["ds"], made["run"]) if full else {})
        return self._names[full]

    def ask(self, method: str, route: str, text: bytes, headers: dict[str, str] | None = None) -> int:
        """Send a request, and see that the answer is one that clients can read, and that a refusal changed nothing."""
        has_files = headers is not None  # of which a refused request leaves traces, and removes them
        before = self.content() if has_files else self.version()
        answer = self.api.send(method, f"{PREFIX}/{route}", text, headers or JSON)
        what = f"{method} {route} {text[:500]!r} -> {answer.status} {answer.content[:500]!r}"
        if answer.status == 304 or answer.headers["Content-Type"] != "application/json":
            assert "_nucleus_pandas/images" in route, what
            return answer.status
        assert answer.status == 200 or 400 <= answer.status < 500 or answer.status == 501, what
        assert isinstance(answer.json, (dict, list)), what
        assert b"Traceback" not in answer.content, what
        if answer.status >= 400:
            assert answer.json["status_code"] == answer.status, what
            assert isinstance(answer.json["error"], str), what
            assert answer.json["error"], what
            assert (self.content() if has_files else self.version()) == before, what
        elif has_files or self.version() != before:
            self._names.clear()
        return answer.status

    def version(self) -> int:
        """Return a number that changes with every transaction that changed something."""
        found: int = self._watch.execute("PRAGMA data_version").fetchone()[0]
        return found

    def close(self) -> None:
        self._watch.close()
        self.nucleus.close()

    def content(self) -> list[tuple[str, list[Any]]]:
        """Return every row of the store."""
        with self.nucleus.database.read() as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
            return [(name, db.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()) for name in tables]

    def check(self) -> None:
        """See that the store is whole."""
        with closing(sqlite3.connect(self.folder / "nucleus.sqlite")) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            lengths = "SELECT length, (SELECT count(*) FROM item WHERE item.dataset = dataset.id) FROM dataset"
            assert [pair for pair in db.execute(f"{lengths} WHERE NOT deleted") if pair[0] != pair[1]] == []
            for table in ("annotation", "prediction", "match"):
                orphans = f"SELECT count(*) FROM {table} LEFT JOIN item ON item.id = {table}.item WHERE item.id IS NULL"
                assert db.execute(orphans).fetchone() == (0,)
            assert db.execute("SELECT count(*) FROM job WHERE status = 'Queued'").fetchone() == (0,)
            for (text,) in db.execute("SELECT metadata FROM item WHERE metadata IS NOT NULL").fetchall():
                assert isinstance(json.loads(text), dict)
        incoming = [path for kind in ("images", "masks") for path in (self.folder / kind / "incoming").glob("*")]
        assert incoming == []


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("store"))
    yield made
    made.close()


quick = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(("method", "route", "body"), EVERY, ids=[f"{m} {r}" for m, r, _ in EVERY])
@quick
@given(data=st.data())
def test_nonsense_is_refused_in_json(stage: Stage, data: st.DataObject, method: str, route: str, body: Any) -> None:
    drawn, text = data.draw(nonsense(method, route, body))
    names = stage.names(route, body)
    filled = fill(drawn, names)
    for name, value in names.items():
        text = text.replace(f"{{{name}}}".encode(), value.encode())
    stage.ask(method, filled, text)


def test_every_junk_at_every_place_of_an_annotation(stage: Stage) -> None:
    method, route, body = SHAPES[1]
    statuses = set()
    for place in steps(body):
        for junk in JUNK:
            names = stage.names(route, body)
            text = written(replaced(body, place, Marked(junk)))
            statuses.add(stage.ask(method, fill(route, names), text.replace(b"{item}", names["item"].encode())))
    assert statuses == {200, 400}


def test_every_junk_in_a_line_of_a_signed_upload(stage: Stage) -> None:
    names = stage.names("", "")
    good = box(annotation_id="good", reference_id="a.jpg", metadata={"k": [1]})
    for number, place in enumerate(steps(good)):
        for at, junk in enumerate(JUNK):
            request_id = f"{number}-{at}"
            route = f"dataset/{names['ds']}/signedUrl/{request_id}"
            address = stage.api.ok("GET", route)["signed_url"]
            text = written(replaced(good, place, Marked(junk))) + b"\n" + written(good) + b"\n"
            put = stage.api.send("PUT", address.partition("127.0.0.1")[2], text, {})
            assert put.status == 200
            job = stage.api.post(f"dataset/{names['ds']}/annotate?async=1", {"requestId": request_id, "update": True})
            assert job["job_last_known_status"] in ("Completed", "Errored_Partial"), (text, job)
    stage.check()


PARTS = st.lists(
    st.tuples(
        st.sampled_from(["items", "item", "image", "mask", "serialized_request", "if_exists", ""]),
        st.sampled_from([None, "a.png", "../../a.png", "%2Fetc%2Fpasswd", "\N{SNOWMAN}.png", "a" * 300 + ".png", ""]),
        st.sampled_from(["application/json", "image/png", "", "text/plain; charset=utf-16"]),
        st.sampled_from(
            [
                b"",
                b"{}",
                b"[]",
                b"null",
                b"\x89PNG\r\n\x1a\n",
                b"\xff",
                json.dumps([item("new.jpg")]).encode(),
                json.dumps([item("new.jpg"), item("other.jpg")]).encode(),
                json.dumps(item("one.jpg")).encode(),
                json.dumps({"segmentations": [mask()], "update": True}).encode(),
                json.dumps({"segmentations": [mask(), mask("nobody.jpg")], "annotations": [box()]}).encode(),
                b"[" * DEEP,
                b"skip",
            ]
        ),
    ),
    max_size=4,
)
UPLOADS = [
    "dataset/{ds}/append",
    "dataset/{ds}/append?async=1",
    "_nucleus_pandas/dataset/{ds}/append",
    "dataset/{ds}/annotate",
    "_nucleus_pandas/dataset/{ds}/annotate",
    "modelRun/{run}/predict",
    "dataset/{ds}/model/{model}/uploadPredictions",
    "model/{model}/predictions",
]


# werkzeug leaves what it spooled of a body that breaks off to the garbage collector
@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("route", UPLOADS)
@settings(parent=quick, max_examples=EXAMPLES * 4)
@given(parts=PARTS, cut=st.none() | st.integers(0, 300))
def test_nonsense_with_files_is_refused_in_json(stage: Stage, route: str, parts: Any, cut: int | None) -> None:
    text, headers = multipart(*(FilePart(*part) for part in parts))
    stage.ask("POST", fill(route, stage.names(route, "")), text if cut is None else text[:cut], headers)


@pytest.mark.parametrize("route", ["dataset/create", "dataset/{ds}/append", "jobs/"])
@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/mixed; boundary=\xff"],
)
def test_a_body_is_what_it_is_whatever_it_is_called(stage: Stage, route: str, kind: str) -> None:
    for text in (b"", b'{"name": "x", "items": []}', b"--x\r\n"):
        stage.ask("POST", fill(route, stage.names(route, "")), text, {"Content-Type": kind, **KEYS})


def test_the_store_is_whole_afterwards(stage: Stage) -> None:
    stage.check()
    stage.api.ok("POST", "dataset/create", {"name": "still works"})
