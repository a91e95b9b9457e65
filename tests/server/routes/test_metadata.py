"""Metadata of items: an update by append replaces it, one by the route of metadata is merged into it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http import Http
from tests.support.scored_scenes import StoredScene

BEFORE = {"weather": "rain", "hour": 7, "nested": {"a": 1, "b": [1, None]}, "none": None, "large": 2**53 + 1}


@pytest.fixture
def dataset(http: Http) -> str:
    made: str = http("POST", "dataset/create", {"name": "Streets"})["dataset_id"]
    items = [
        {"reference_id": "a", "image_url": "https://e.org/a", "metadata": BEFORE},
        {"reference_id": "b", "image_url": "https://e.org/b"},
    ]
    http("POST", f"dataset/{made}/append", {"items": items})
    return made


def change(http: Http, dataset: str, changes: dict[str, Any], *, asynchronous: bool = False) -> Any:
    rows = [{"reference_id": name, "metadata": metadata} for name, metadata in changes.items()]
    route = f"dataset/{dataset}/metadata?async={int(asynchronous)}"
    return http("POST", route, {"metadata": rows, "level": "item"})


def metadata(http: Http, dataset: str, name: str = "a") -> Any:
    return http("GET", f"dataset/{dataset}/refloc/{name}")["item"]["metadata"]


def test_keys_that_are_not_named_keep_their_values(http: Http, dataset: str) -> None:
    given = {"hour": 8, "nested": {"c": 1}, "new": [1.0, {"ü": True}], "none": 1}
    assert change(http, dataset, {"a": given}) == {"dataset_id": dataset, "updated_items": 1, "upload_errors": 0}
    assert metadata(http, dataset) == {**BEFORE, **given}
    assert metadata(http, dataset, "b") == {}


def test_an_append_replaces_what_a_change_merges(http: Http, dataset: str) -> None:
    change(http, dataset, {"a": {"new": 1}})
    item = {"reference_id": "a", "image_url": "https://e.org/a", "metadata": {"only": 1}}
    http("POST", f"dataset/{dataset}/append", {"items": [item], "update": True})
    assert metadata(http, dataset) == {"only": 1}
    change(http, dataset, {"a": {"too": None}})
    assert metadata(http, dataset) == {"only": 1, "too": None}


def test_nothing_else_of_an_item_changes(http: Http, dataset: str) -> None:
    before = http("GET", f"dataset/{dataset}/refloc/a")["item"]
    change(http, dataset, {"a": {"new": 1}})
    after = http("GET", f"dataset/{dataset}/refloc/a")["item"]
    assert after == {**before, "metadata": {**BEFORE, "new": 1}}


def test_an_unknown_item_is_told_of_and_the_others_change(http: Http, dataset: str) -> None:
    answer = change(http, dataset, {"nobody": {"x": 1}, "b": {"x": 1}})
    assert (answer["updated_items"], answer["errors"]) == (1, ["Item with id nobody doesn't exist."])
    assert metadata(http, dataset, "b") == {"x": 1}


def test_a_change_may_be_a_job(http: Http, dataset: str) -> None:
    job = change(http, dataset, {"nobody": {"x": 1}, "b": {"x": 1}}, asynchronous=True)
    assert (job["job_type"], job["job_last_known_status"]) == ("metadataUpdate", "Completed")
    status = http("GET", f"job/{job['job_id']}")
    assert status["message"] == {"updated_items": 1, "upload_errors": 1}
    assert http("GET", f"job/{job['job_id']}/errors") == ["Item with id nobody doesn't exist."]
    assert metadata(http, dataset, "b") == {"x": 1}


def test_the_last_of_two_changes_of_an_item_wins(http: Http, dataset: str) -> None:
    rows = [{"reference_id": "b", "metadata": one} for one in ({"x": 1, "y": 1}, {"x": 2})]
    http("POST", f"dataset/{dataset}/metadata", {"metadata": rows, "level": "item"})
    assert metadata(http, dataset, "b") == {"x": 2, "y": 1}


def test_camera_parameters_are_metadata(http: Http, dataset: str) -> None:
    row = {"reference_id": "b", "metadata": {"x": 1}, "camera_params": {"fx": 1.5}}
    http("POST", f"dataset/{dataset}/metadata", {"metadata": [row], "level": "item"})
    assert metadata(http, dataset, "b") == {"x": 1, "camera_params": {"fx": 1.5}}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_change_that_breaks_the_schema_is_refused(http: Http, asynchronous: bool) -> None:
    schema = {"hour": {"type": "number"}}
    made = http("POST", "dataset/create", {"name": "Streets", "item_metadata_schema": schema})["dataset_id"]
    items = [{"reference_id": name, "image_url": "https://e.org/a"} for name in "ab"]
    http("POST", f"dataset/{made}/append", {"items": items})
    answer = change(http, made, {"a": {"hour": "x", "note": 1}, "b": {"hour": 1}}, asynchronous=asynchronous)
    reason = "'a': its metadata `hour` must be a number, not 'x'."
    if asynchronous:
        assert answer["job_last_known_status"] == "Errored_Partial"
        assert http("GET", f"job/{answer['job_id']}/errors") == [reason]
    else:
        assert (answer["updated_items"], answer["errors"]) == (1, [reason])
    assert (metadata(http, made, "a"), metadata(http, made, "b")) == ({}, {"hour": 1})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metadata": [], "level": "frame"},
        {"metadata": []},
        {"metadata": {"a": {}}, "level": "item"},
        {"metadata": [{"reference_id": "a"}], "level": "item"},
        {"metadata": [{"reference_id": "a", "metadata": None}], "level": "item"},
        {"metadata": [{"reference_id": "a", "metadata": [1]}], "level": "item"},
        {"metadata": [{"reference_id": 7, "metadata": {}}], "level": "item"},
        {"metadata": [{"reference_id": "a", "metadata": {}}, {"metadata": {}}], "level": "item"},
    ],
    ids=str,
)
def test_a_wrong_change_is_refused_whole(http: Http, dataset: str, body: Any) -> None:
    http.refused("POST", f"dataset/{dataset}/metadata", body, 400)
    assert metadata(http, dataset) == BEFORE


def test_an_evaluation_that_left_items_out_by_metadata_becomes_stale(stored_scene: StoredScene) -> None:
    rule = {"type": "metadata", "scope": "item", "key": "weather", "op": "EQ", "value": "rain"}
    evaluation = stored_scene.evaluate_on(stored_scene.benchmark(), exclusionRules=[rule])
    assert stored_scene.info(evaluation)["stale"] is False
    name = next(one["reference_id"] for one in stored_scene.scene.ground_truths)
    change(stored_scene.http, stored_scene.dataset, {name: {"weather": "hail"}})
    assert stored_scene.info(evaluation)["stale"] is True


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcü"), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "ü", "", "a.b", "$"]), VALUES, max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("ab"), OBJECTS), max_size=5))
def test_any_changes_are_those_of_dicts(http: Http, dataset: str, changes: list[tuple[str, dict[str, Any]]]) -> None:
    outcome_keys = {name: metadata(http, dataset, name) for name in "ab"}
    rows = [{"reference_id": name, "metadata": one} for name, one in changes]
    http("POST", f"dataset/{dataset}/metadata", {"metadata": rows, "level": "item"})
    for name, one in changes:
        outcome_keys[name].update(json.loads(json.dumps(one)))
    for name in "ab":
        assert repr(metadata(http, dataset, name)) == repr(outcome_keys[name])
