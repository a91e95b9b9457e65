"""Slices over plain HTTP: what is made, read, appended, exported, refused."""

from __future__ import annotations

import os
import random
from datetime import datetime
from typing import Any

import pytest

from nucleus_pandas.server.store import slices
from tests.http import Http
from tests.support.scored_scenes import Row, StoredScene

NAMES = [f"{number}.jpg" for number in range(9)]


@pytest.fixture
def dataset(http: Http) -> str:
    """A dataset of nine images."""
    return filled(http, "Streets", NAMES)


def filled(http: Http, name: str, names: list[str]) -> str:
    made: str = http("POST", "dataset/create", {"name": name})["dataset_id"]
    items = [{"reference_id": one, "image_url": f"https://example.org/{one}"} for one in names]
    http("POST", f"dataset/{made}/append", {"items": items})
    return made


def create(http: Http, dataset: str, name: str = "rain", *names: str, **fields: Any) -> str:
    body = {"name": name, **({"reference_ids": list(names)} if names else {}), **fields}
    made: str = http("POST", f"dataset/{dataset}/create_slice", body)["slice_id"]
    return made


def ids(http: Http, dataset: str) -> dict[str, str]:
    found = http("POST", f"dataset/{dataset}/itemsPage", {"pageToken": None, "pageSize": 100})["items"]
    return {one["reference_id"]: one["id"] for one in found}


def names_of(http: Http, slice_id: str) -> list[str]:
    found: list[str] = http("GET", f"slice/{slice_id}")["reference_ids"]
    return found


def test_a_slice_keeps_the_order_in_which_its_items_were_named(http: Http, dataset: str) -> None:
    made = create(http, dataset, "rain", "7.jpg", "1.jpg", "7.jpg", "4.jpg")
    whole = http("GET", f"slice/{made}")
    assert whole["reference_ids"] == ["7.jpg", "1.jpg", "4.jpg"]
    assert whole["dataset_item_ids"] == [ids(http, dataset)[name] for name in whole["reference_ids"]]
    assert [one["reference_id"] for one in whole["items"]] == whole["reference_ids"]
    assert whole["items"][0] == http("GET", f"dataset/{dataset}/refloc/7.jpg")["item"]


def test_a_slice_is_made_of_item_ids_too(http: Http, dataset: str) -> None:
    known = ids(http, dataset)
    named = {"dataset_item_ids": [known["3.jpg"], known["2.jpg"]], "scene_ids": None, "object_ids": None}
    assert names_of(http, create(http, dataset, **named)) == ["3.jpg", "2.jpg"]


@pytest.mark.parametrize("fields", [{"allow_empty": 1}, {"allow_empty": True, "reference_ids": []}])
def test_a_slice_may_be_empty_where_that_is_said(http: Http, dataset: str, fields: Row) -> None:
    made = create(http, dataset, **fields)
    assert http("GET", f"slice/{made}")["items"] == []
    page = http("POST", f"slice/{made}/itemsPage", {"pageToken": None, "pageSize": 5})
    assert page == {"items": [], "nextPageToken": None}


def test_info_describes_a_slice(http: Http, dataset: str) -> None:
    made = create(http, dataset, "rain", "1.jpg")
    found = http("GET", f"slice/{made}/info")
    assert datetime.fromisoformat(found.pop("created_at").rstrip("Z")).tzinfo is not None
    assert found == {
        "slice_id": made,
        "name": "rain",
        "dataset_id": dataset,
        "tags": [],
        "length": 1,
        "type": "dataset_item",
        "description": None,
        "pending_job_count": 0,
    }


def test_slices_are_listed(http: Http, dataset: str) -> None:
    other = filled(http, "Others", ["x"])
    first, second = create(http, dataset, "rain & fog", "1.jpg"), create(http, dataset, "sun", "2.jpg")
    third = create(http, other, "sun", "x")

    def listed(route: str) -> list[str]:
        return [one["id"] for one in http("GET", route)]

    assert listed("slice/") == [first, second, third]
    assert listed(f"dataset/{dataset}/slices") == [first, second]
    assert listed(f"dataset/{dataset}/slices?name=rain%20%26%20fog") == [first]
    assert listed(f"dataset/{dataset}/slices?name=nobody&") == []
    assert listed(f"dataset/{dataset}/slices?type=dataset_item") == [first, second]
    assert listed(f"dataset/{dataset}/slices?name=sun&type=SliceType.DATASET_ITEM") == [second]
    assert listed(f"dataset/{dataset}/slices?type=object") == []
    assert http("GET", f"dataset/{dataset}/info")["slice_ids"] == [first, second]
    (entry,) = http("GET", f"dataset/{other}/slices")
    described = http("GET", f"slice/{third}/info")
    assert entry == {"id": third, **{key: described[key] for key in entry if key != "id"}}


def test_names_are_unique_in_a_dataset_while_the_slice_is_there(http: Http, dataset: str) -> None:
    first = create(http, dataset, "rain", "1.jpg")
    create(http, filled(http, "Others", ["x"]), "rain", "x")
    reason = http.refused("POST", f"dataset/{dataset}/create_slice", {"name": "rain", "allow_empty": 1}, 409)
    assert first in reason
    http("DELETE", f"slice/{first}", {})
    assert create(http, dataset, "rain", "2.jpg") != first


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("create_slice", {"name": "rain", "reference_ids": ["1.jpg"]}),
        ("build_slice", {"name": "rain", "sampleSize": 3, "sampleMethod": "Random"}),
    ],
)
def test_a_creation_that_is_sent_again_makes_nothing(http: Http, dataset: str, route: str, body: Row) -> None:
    answers = [
        http.client.post(
            f"http://127.0.0.1/v1/nucleus/dataset/{dataset}/{route}", json=body, headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].data == answers[1].data
    assert len(http("GET", f"dataset/{dataset}/slices")) == 1


def test_items_are_appended_behind_those_that_are_there(http: Http, dataset: str) -> None:
    made = create(http, dataset, "rain", "5.jpg")
    body = {"reference_ids": ["6.jpg", "5.jpg", "0.jpg"], "dataset_id": dataset}
    known = ids(http, dataset)
    assert http("POST", f"slice/{made}/append", body) == {
        "slice_id": made,
        "new_items": [known["6.jpg"], known["0.jpg"]],
    }
    assert names_of(http, made) == ["5.jpg", "6.jpg", "0.jpg"]
    assert http("POST", f"slice/{made}/append", body)["new_items"] == []


def test_deleted_items_vanish_from_slices_and_may_come_back_at_the_end(http: Http, dataset: str) -> None:
    made, other = create(http, dataset, "rain", *NAMES[::-1]), create(http, dataset, "sun", "8.jpg", "1.jpg")
    for name in ("8.jpg", "3.jpg"):
        http("DELETE", f"dataset/{dataset}/refloc/{name}", {})
    assert names_of(http, made) == [name for name in NAMES[::-1] if name not in ("8.jpg", "3.jpg")]
    assert names_of(http, other) == ["1.jpg"]
    assert [http("GET", f"slice/{one}/info")["length"] for one in (made, other)] == [7, 1]
    http("POST", f"dataset/{dataset}/append", {"items": [{"reference_id": "3.jpg", "image_url": "https://e.org/3"}]})
    assert "3.jpg" not in names_of(http, made)
    http("POST", f"slice/{made}/append", {"reference_ids": ["3.jpg"]})
    assert names_of(http, made)[-1] == "3.jpg"


def test_positions_of_a_slice_are_those_of_a_list(http: Http) -> None:
    names = [str(number) for number in range(700)]
    draw = random.Random(5)
    dataset = filled(http, "Many", names)
    order = draw.sample(names, 650)
    made = create(http, dataset, "shuffled", *order)
    known = {public: name for name, public in ids_of_many(http, dataset).items()}

    def check() -> None:
        with http.nucleus.database.read() as db:
            one = slices.find(db, made)
            places = [*range(one.length), one.length, one.length + 64]
            found = slices.at_positions(db, one, places)
            few = [slices.at_positions(db, one, [place])[0] for place in draw.sample(range(one.length), 20)]
            for part in (slice(0, None, 2), slice(one.length // 3, 2 * one.length // 3), slice(one.length - 40, None)):
                assert slices.at_positions(db, one, places[part]) == found[part]
        assert [known[number] for number in found[:-2] if number is not None] == order
        assert found[-2:] == [None, None]
        assert set(few) <= set(found)
        assert one.length == len(order)

    check()
    for gone in (draw.sample(order, 200), order[0:64], [order[-1]]):
        for name in set(gone) & set(order):
            http("DELETE", f"dataset/{dataset}/refloc/{name}", {})
        order = [name for name in order if name not in gone]
        check()


def ids_of_many(http: Http, dataset: str) -> dict[str, int]:
    with http.nucleus.database.read() as db:
        return dict(db.execute("SELECT reference_id, id FROM item").fetchall())


@pytest.mark.parametrize("size", [1, 2, 4, 100])
def test_pages_hold_every_item_once(http: Http, dataset: str, size: int) -> None:
    made = create(http, dataset, "rain", *NAMES[::-2])
    found: list[str] = []
    token: str | None = None
    while token is not None or not found:
        page = http("POST", f"slice/{made}/itemsPage", {"pageToken": token, "pageSize": size})
        assert len(page["items"]) <= size
        found += [one["reference_id"] for one in page["items"]]
        token = page["nextPageToken"]
    assert found == NAMES[::-2]


def test_a_token_of_another_slice_is_refused(http: Http, dataset: str) -> None:
    first, second = create(http, dataset, "rain", *NAMES), create(http, dataset, "sun", *NAMES)
    token = http("POST", f"slice/{first}/itemsPage", {"pageToken": None, "pageSize": 2})["nextPageToken"]
    http.refused("POST", f"slice/{second}/itemsPage", {"pageToken": token, "pageSize": 2}, 400)


def test_tags_are_added_once_and_removed(http: Http, dataset: str) -> None:
    made = create(http, dataset, "rain", "1.jpg")
    http("POST", f"slice/{made}/tag", {"slice_tags": ["night", "ü"]})
    http("POST", f"slice/{made}/tag", {"slice_tags": ["night", "wet"]})
    assert http("GET", f"slice/{made}/info")["tags"] == ["night", "ü", "wet"]
    assert http("DELETE", f"slice/{made}/tag", {"slice_tags": ["ü", "nobody"]})["tags"] == ["night", "wet"]


def test_a_deleted_slice_is_gone_and_its_items_stay(http: Http, dataset: str) -> None:
    made = create(http, dataset, "rain", *NAMES)
    assert http("DELETE", f"slice/{made}", {})["slice_id"] == made
    http.refused("GET", f"slice/{made}", {}, 404)
    assert http("GET", f"dataset/{dataset}/slices") == []
    assert http("GET", f"dataset/{dataset}/size")["count"] == 9
    assert [http.table(name) for name in ("slice", "slice_item", "slice_hole")] == [[], [], []]


def test_slices_go_with_their_dataset(http: Http, dataset: str) -> None:
    made = create(http, dataset, "rain", *NAMES)
    http("DELETE", f"dataset/{dataset}/refloc/3.jpg", {})
    http("DELETE", f"dataset/{dataset}", {})
    http.refused("GET", f"slice/{made}/info", {}, 404)
    assert http("GET", "slice/") == []
    assert [http.table(name) for name in ("dataset", "slice", "slice_item", "slice_hole")] == [[], [], [], []]


# Samples


def build(http: Http, dataset: str, name: str, size: int, **fields: Any) -> list[str]:
    body = {"name": name, "sampleSize": size, "sampleMethod": "Random", "filters": {}, **fields}
    answer = http("POST", f"dataset/{dataset}/build_slice", body)
    assert http("GET", f"job/{answer['job_id']}")["status"] == "Completed"
    return names_of(http, answer["sliceId"])


def test_a_sample_holds_so_many_items_in_the_order_of_the_dataset(http: Http, dataset: str) -> None:
    found = build(http, dataset, "four", 4)
    assert len(found) == 4
    assert found == [name for name in NAMES if name in found]
    assert build(http, dataset, "all", 100) == NAMES


def test_samples_differ_by_their_seed_and_without_one_by_their_name(http: Http) -> None:
    names = [str(number) for number in range(200)]
    one, two = filled(http, "One", names), filled(http, "Two", names)
    assert build(http, one, "a", 20) == build(http, two, "a", 20) != build(http, one, "b", 20)
    assert build(http, one, "c", 20, seed=7) == build(http, one, "d", 20, seed=7) != build(http, one, "e", 20, seed=8)


def test_a_sample_of_a_slice_keeps_its_order(http: Http, dataset: str) -> None:
    source = create(http, dataset, "rain", *NAMES[::-2])
    http("DELETE", f"dataset/{dataset}/refloc/4.jpg", {})
    found = build(http, dataset, "three", 3, filters={"sliceId": source})
    assert found == [name for name in NAMES[::-2] if name in found]
    assert len(found) == 3
    assert build(http, dataset, "all", 50, filters={"sliceId": source}) == ["8.jpg", "6.jpg", "2.jpg", "0.jpg"]


def test_a_sample_of_nothing_is_empty(http: Http) -> None:
    assert build(http, filled(http, "Empty", []), "none", 5) == []


# Exports


@pytest.fixture
def sliced(stored_scene: StoredScene) -> str:
    """A slice of some images of the drawn world."""
    return create(stored_scene.http, stored_scene.dataset, "some", "5.jpg", "1.jpg", "3.jpg")


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row["item"]["reference_id"]: row for row in rows}


def test_items_come_with_their_ground_truth(stored_scene: StoredScene, sliced: str) -> None:
    every = by_name(stored_scene.http("GET", f"dataset/{stored_scene.dataset}/exportForTraining")["exportedRows"])
    rows = stored_scene.http("GET", f"slice/{sliced}/exportForTraining")["exportedRows"]
    assert rows == [every[name] for name in ("5.jpg", "1.jpg", "3.jpg")]
    body = {"pageToken": None, "pageSize": 2, "chip": False}
    page = stored_scene.http("POST", f"slice/{sliced}/exportForTrainingPage", body)
    assert page["data"] == rows[:2]
    last = stored_scene.http(
        "POST", f"slice/{sliced}/exportForTrainingPage", {**body, "pageToken": page["nextPageToken"]}
    )
    assert last == {"data": rows[2:], "nextPageToken": None}


def test_items_come_with_the_predictions_of_a_model(stored_scene: StoredScene, sliced: str) -> None:
    rows = stored_scene.http("GET", f"slice/{sliced}/{stored_scene.model}/exportForTraining")["exportedRows"]
    assert [row["item"]["reference_id"] for row in rows] == ["5.jpg", "1.jpg", "3.jpg"]
    for row in rows:
        name = row["item"]["reference_id"]
        assert (
            row["box"] == stored_scene.http("GET", f"modelRun/{stored_scene.run}/refloc/{name}")["annotations"]["box"]
        )
        assert row["multicategory"] == []
    assert any(row["box"] for row in rows)
    page = stored_scene.http(
        "POST", f"slice/{sliced}/{stored_scene.model}/exportForTrainingPage", {"pageToken": None, "pageSize": 9}
    )
    assert page == {"data": rows, "nextPageToken": None}


def test_a_model_without_a_run_has_no_predictions_to_export(stored_scene: StoredScene, sliced: str) -> None:
    model = stored_scene.http("POST", "models/add", {"name": "M", "reference_id": "idle"})["model_id"]
    stored_scene.http.refused("GET", f"slice/{sliced}/{model}/exportForTraining", {}, 404)


def test_raw_items_tell_where_the_images_are(stored_scene: StoredScene, sliced: str) -> None:
    whole = stored_scene.http("GET", f"slice/{sliced}")["items"]
    exported = stored_scene.http("GET", f"slice/{sliced}/exportRawItems")
    assert exported.keys() == {"raw_dataset_items"}
    raw = exported["raw_dataset_items"]
    assert [one["id"] for one in raw] == [one["id"] for one in whole]
    assert {tuple(one) for one in raw} == {("id", "ref_id", "metadata", "original_url", "scale_url")}
    assert raw[0]["original_url"] == raw[0]["scale_url"] == "https://example.org/5.jpg"
    assert stored_scene.http("GET", f"slice/{sliced}/export_raw_json") == [{"item": one} for one in whole]


def test_class_labels_are_those_of_the_ground_truth(stored_scene: StoredScene, sliced: str) -> None:
    rows = stored_scene.http("GET", f"slice/{sliced}/exportForTraining")["exportedRows"]
    labels = sorted({box["label"] for row in rows for box in row["box"]})
    assert stored_scene.http("GET", f"slice/{sliced}/class_labels") == {"data": labels}
    every = sorted({one["label"] for one in stored_scene.scene.ground_truths})
    assert stored_scene.http("GET", f"dataset/{stored_scene.dataset}/class_labels") == {"data": every}


# What is refused

WRONG: list[tuple[str, str, Any, int]] = [
    ("POST", "dataset/ds_0/create_slice", {"name": "n", "allow_empty": 1}, 404),
    ("POST", "dataset/{dataset}/create_slice", {"name": "n"}, 400),
    ("POST", "dataset/{dataset}/create_slice", {"name": "n", "reference_ids": []}, 400),
    ("POST", "dataset/{dataset}/create_slice", {"name": "", "allow_empty": 1}, 400),
    ("POST", "dataset/{dataset}/create_slice", {"name": "n", "reference_ids": ["1.jpg", "nobody"]}, 404),
    ("POST", "dataset/{dataset}/create_slice", {"name": "n", "dataset_item_ids": ["di_0"]}, 404),
    ("POST", "dataset/{dataset}/create_slice", {"name": "n", "dataset_item_ids": ["{stranger}"]}, 404),
    ("POST", "dataset/{dataset}/create_slice", {"name": "n", "reference_ids": "1.jpg"}, 400),
    ("POST", "dataset/{dataset}/create_slice", {"name": "n", "reference_ids": ["x"] * 10_001}, 400),
    ("POST", "dataset/{dataset}/create_slice", {"name": "n", "dataset_item_ids": ["x"] * 10_001}, 400),
    (
        "POST",
        "dataset/{dataset}/create_slice",
        {"name": "n", "reference_ids": ["1.jpg"], "dataset_item_ids": ["di_0"]},
        400,
    ),
    ("POST", "dataset/{dataset}/create_slice", {"name": "n", "scene_ids": ["scn_1"]}, 501),
    ("POST", "dataset/{dataset}/create_slice", {"name": "n", "object_ids": ["ann_1"]}, 501),
    ("POST", "dataset/{dataset}/build_slice", {"name": "n", "sampleSize": 0, "sampleMethod": "Random"}, 400),
    ("POST", "dataset/{dataset}/build_slice", {"name": "n", "sampleSize": 1, "sampleMethod": "Best"}, 400),
    ("POST", "dataset/{dataset}/build_slice", {"name": "n", "sampleSize": 1, "sampleMethod": "Uniqueness"}, 501),
    (
        "POST",
        "dataset/{dataset}/build_slice",
        {"name": "n", "sampleSize": 1, "sampleMethod": "Random", "filters": {"autotag": {"autotagId": "tag_1"}}},
        501,
    ),
    (
        "POST",
        "dataset/{dataset}/build_slice",
        {"name": "n", "sampleSize": 1, "sampleMethod": "Random", "filters": {"sliceId": "slc_0"}},
        404,
    ),
    (
        "POST",
        "dataset/{other}/build_slice",
        {"name": "n", "sampleSize": 1, "sampleMethod": "Random", "filters": {"sliceId": "{slice}"}},
        400,
    ),
    (
        "POST",
        "dataset/{dataset}/build_slice",
        {"name": "n", "sampleSize": 1, "sampleMethod": "Random", "filters": {"labels": ["car"]}},
        400,
    ),
    ("GET", "dataset/{dataset}/slices?type=track", {}, 400),
    ("GET", "dataset/ds_0/slices", {}, 404),
    ("GET", "slice/slc_0", {}, 404),
    ("GET", "slice/{slice}?idType=name", {}, 400),
    ("GET", "slice/slc_0/info", {}, 404),
    ("POST", "slice/slc_0/itemsPage", {"pageToken": None, "pageSize": 1}, 404),
    ("POST", "slice/{slice}/itemsPage", {"pageToken": None, "pageSize": 0}, 400),
    ("POST", "slice/{slice}/itemsPage", {"pageToken": "x", "pageSize": 1}, 400),
    ("POST", "slice/{slice}/append", {"reference_ids": ["nobody"]}, 404),
    ("POST", "slice/{slice}/append", {"reference_ids": ["1.jpg"], "dataset_id": "{other}"}, 400),
    ("POST", "slice/{slice}/append", {"reference_ids": ["x"] * 10_001}, 400),
    ("POST", "slice/{slice}/append", {}, 400),
    ("POST", "slice/{slice}/tag", {"tags": ["x"]}, 400),
    ("POST", "slice/{slice}/tag", {"slice_tags": [""]}, 400),
    ("DELETE", "slice/slc_0", {}, 404),
    ("GET", "slice/{slice}/prj_0/exportForTraining", {}, 404),
    ("POST", "slice/{slice}/exportForTrainingPage", {"pageToken": None, "pageSize": 1, "chip": True}, 501),
    ("POST", "slice/{slice}/project/send_to_labeling", {}, 501),
    ("GET", "slice/{slice}/exportScaleTaskInfo", {}, 501),
    ("GET", "slice/{slice}/embeddings", {}, 501),
    ("POST", "dataset/{slice}/async_export_embeddings", {}, 501),
    ("GET", "dataset/{dataset}/exportScaleTaskInfo", {}, 501),
    ("GET", "dataset/{dataset}/embeddings", {}, 501),
]


@pytest.mark.parametrize(
    ("method", "route", "body", "status"), WRONG, ids=[f"{w[0]} {w[1]} {str(w[2])[:50]}" for w in WRONG]
)
def test_every_mistake_is_refused_and_changes_nothing(
    http: Http, dataset: str, method: str, route: str, body: Any, status: int
) -> None:
    other = filled(http, "Others", ["x"])
    known = {"dataset": dataset, "other": other, "slice": create(http, dataset, "rain", "1.jpg")}
    known["stranger"] = ids(http, other)["x"]
    before = [http.table(name) for name in ("slice", "slice_item")]
    reason = http.refused(method, route.format(**known), fill(body, known), status)
    assert len(reason) > 20
    assert [http.table(name) for name in ("slice", "slice_item")] == before


def fill(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        return value.format(**known)
    if isinstance(value, dict):
        return {key: fill(one, known) for key, one in value.items()}
    return [fill(one, known) for one in value] if isinstance(value, list) else value


def test_missing_items_are_named(http: Http, dataset: str) -> None:
    body = {"name": "n", "reference_ids": ["1.jpg", "nobody", "ü"]}
    reason = http.refused("POST", f"dataset/{dataset}/create_slice", body, 404)
    assert "2 items" in reason
    assert "'nobody', 'ü'" in reason


def test_as_many_ids_as_a_request_may_hold_are_taken(http: Http) -> None:
    names = [str(number) for number in range(10_000)]
    dataset = filled(http, "Many", names)
    made = create(http, dataset, "all", *names)
    assert http("GET", f"slice/{made}/info")["length"] == 10_000


VALUES: list[Any] = [None, True, -1, 1, 10**30, "", "x", "\x00", "' OR 1=1 --", [], ["x"], ["1.jpg"], [[]], {}, [None]]
FIELDS = {
    "dataset/{dataset}/create_slice": ["name", "reference_ids", "dataset_item_ids", "object_ids", "allow_empty"],
    "dataset/{dataset}/build_slice": ["name", "sampleSize", "sampleMethod", "filters", "seed"],
    "slice/{slice}/append": ["reference_ids", "dataset_id"],
    "slice/{slice}/tag": ["slice_tags"],
    "slice/{slice}/itemsPage": ["pageToken", "pageSize"],
    "slice/{slice}/exportForTrainingPage": ["pageToken", "pageSize", "chip"],
}


def test_no_body_makes_the_server_fail(http: Http, dataset: str) -> None:
    draw = random.Random(11)
    known = {"dataset": dataset, "slice": create(http, dataset, "rain", "1.jpg")}
    statuses = set()
    for number in range(int(os.environ.get("NUCLEUS_PANDAS_BODIES", "200"))):
        route = draw.choice(list(FIELDS))
        body = {"name": str(number), "sampleMethod": "Random", "sampleSize": 3} if "dataset" in route else {}
        body |= {name: draw.choice(VALUES) for name in draw.sample(FIELDS[route], 1)}
        response = http.client.post(f"http://127.0.0.1/v1/nucleus/{route.format(**known)}", json=body)
        assert response.status_code < 500 or response.status_code == 501, (route, body, response.text)
        statuses.add(response.status_code)
    assert {200, 400} <= statuses
