"""Ids that are hard to send."""

from __future__ import annotations

import pytest

from tests.factories import box
from tests.support.contract_requests import Api, by_type, new_dataset, new_model, new_run, quoted

HOSTILE = [
    "a/b.jpg",
    "/first",
    "last/",
    "a//b",
    "refloc/iloc/0",
    "what?.jpg",
    "a#b",
    "100%",
    "a%2Fb",
    "%",
    "%zz",
    "a b c",
    " a ",
    "🚗🏽.jpg",
    "é",
    ".",
    "..",
    "../../etc/passwd",
    "./a",
    "a\\b",
    "quote\"s'",
    "a+b&c=d;e",
    "tab\tand\nnewline",
    "nul\x00",
    "\x7f\x1f",
    "'; DROP TABLE item; --",
    "*_%?[a]",
    "null",
    "0",
    "di_000000000000",
    "x" * 2000,
    "🚗" * 500,
    "\u202e\u200b\ufeff",
]


NAMES = [name if len(name) < 40 else f"{name[0]} {len(name)} times" for name in HOSTILE]


hostile = pytest.mark.parametrize("name", HOSTILE, ids=[ascii(name) for name in NAMES])


@hostile
def test_a_hostile_id_is_found_again(anywhere: Api, name: str) -> None:
    dataset = new_dataset(anywhere, name)
    assert anywhere.get(f"dataset/{dataset}/refloc/{quoted(name)}")["item"]["reference_id"] == name


@hostile
def test_a_hostile_id_is_annotated(api: Api, name: str) -> None:
    dataset = new_dataset(api, name)
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(name)]})
    assert [one["reference_id"] for one in by_type(api, dataset, name)["box"]] == [name]


@hostile
def test_a_hostile_id_is_predicted(api: Api, name: str) -> None:
    dataset = new_dataset(api, name)
    run = new_run(api, dataset, box(name))
    found = api.get(f"modelRun/{run}/refloc/{quoted(name)}")["annotations"]["box"]
    assert [one["reference_id"] for one in found] == [name]


@hostile
def test_a_hostile_id_is_deleted(anywhere: Api, name: str) -> None:
    dataset = new_dataset(anywhere, "kept.jpg", name)
    anywhere.delete(f"dataset/{dataset}/refloc/{quoted(name)}")
    left = anywhere.get(f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [one["reference_id"] for one in left] == ["kept.jpg"]


@hostile
def test_an_annotation_of_a_hostile_id_is_found(api: Api, name: str) -> None:
    dataset = new_dataset(api, "a.jpg", name)
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(name, annotation_id="1")]})
    assert api.get(f"dataset/{dataset}/groundTruth/loc/{quoted(name)}/1")["reference_id"] == name


@hostile
def test_an_annotation_with_a_hostile_id_is_found(anywhere: Api, name: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id=name)]})
    assert anywhere.get(f"dataset/{dataset}/groundTruth/loc/a.jpg/{quoted(name)}")["annotation_id"] == name


@hostile
def test_a_prediction_with_a_hostile_id_is_found(api: Api, name: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset, box(annotation_id=name))
    assert api.get(f"modelRun/{run}/prediction/loc/a.jpg/{quoted(name)}")["annotation_id"] == name


@hostile
def test_a_hostile_reference_id_of_a_model(api: Api, name: str) -> None:
    new_model(api, reference_id=name)
    assert api.post(f"dataset/{new_dataset(api)}/modelRun/create", {"reference_id": name})["model_run_id"]


@pytest.mark.parametrize("name", ["a/b.jpg", "a/b/c/d.jpg", "a//b", "last/", "a:b", "a;b", "a+b", "a%2Fb"])
def test_ids_that_the_seed_does_not_quote_are_found(anywhere: Api, name: str) -> None:
    dataset = new_dataset(anywhere, name)
    sent = name.replace("%", "%25")
    assert anywhere.get(f"dataset/{dataset}/refloc/{sent}")["item"]["reference_id"] == name


@pytest.mark.parametrize("name", ["a/b.jpg", "a/b/c/d.jpg"])
@pytest.mark.parametrize("annotation_id", ["1", "1/2", "car-1-2-3-4-a/b.jpg"])
def test_annotations_that_no_client_quotes_are_found(anywhere: Api, name: str, annotation_id: str) -> None:
    dataset = new_dataset(anywhere, name)
    run = new_run(anywhere, dataset, box(name, annotation_id=annotation_id))
    found = anywhere.get(f"modelRun/{run}/prediction/loc/{name}/{annotation_id}")
    assert (found["reference_id"], found["annotation_id"]) == (name, annotation_id)


def test_a_quoted_slash_is_not_a_quoted_percent_sign(api: Api) -> None:
    dataset = new_dataset(api, "a/b", "a%2Fb")
    assert api.get(f"dataset/{dataset}/refloc/a%252Fb")["item"]["reference_id"] == "a%2Fb"


@pytest.mark.parametrize("route", ["dataset/{}/refloc/%ff", "dataset/{}/refloc/%ED%A0%80", "dataset/%ff/info"])
def test_an_id_in_the_path_that_is_no_text_is_refused(anywhere: Api, route: str) -> None:
    assert anywhere.status("GET", route.format(new_dataset(anywhere, "a.jpg"))) == 400


def test_an_id_that_is_half_a_character_is_refused(api: Api) -> None:
    body = b'{"items": [{"reference_id": "\\ud83d", "image_url": "https://example.org/a.jpg"}]}'
    assert api.status("POST", f"dataset/{new_dataset(api)}/append", body) == 400
