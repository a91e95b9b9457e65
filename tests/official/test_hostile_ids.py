"""Ids that are hard to send, by the official client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.official.objects import (
    box,
    new_items,
)

pytestmark = [
    pytest.mark.newest,
    # most of what names a run is deprecated in the official client, for users of its hosted service
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]


QUOTED = [
    "a/b.jpg",
    "/first",
    "last/",
    "a//b",
    "refloc/iloc/0",
    "what?.jpg",
    "a#b",
    "100%",
    "a%2Fb",
    "%zz",
    "a b c",
    " a ",
    "\U0001f697\U0001f3fd.jpg",
    "é",
    "a/../b",
    "../../etc/passwd",
    "a\\b",
    "quote\"s'",
    "a+b&c=d;e",
    "tab\tand\nnewline",
    "'; DROP TABLE item; --",
    "null",
    "0",
    "di_000000000000",
    "x" * 2000,
    "\U0001f697" * 500,
]


# what is not quoted names something else in an address: the client sends a query, a parent folder, a slash
UNQUOTED = [name for name in QUOTED if not {"?", "#"} & set(name) and ".." not in name and "%2F" not in name]


def ids(name: str) -> str:
    return ascii(name if len(name) < 40 else f"{name[0]} {len(name)} times")


@pytest.mark.parametrize("name", QUOTED, ids=ids)
def test_a_hostile_id_is_found_and_deleted(nucleus: Any, official: Any, name: str) -> None:
    dataset = official.create_dataset("Hostile", is_scene=False)
    new_items(dataset, "first.jpg", name)
    dataset.annotate([box(nucleus, name)])
    found = dataset.refloc(name)
    item_id = found["item"].dataset_item_id
    for other in (found, dataset.iloc(1), dataset.loc(item_id)):
        assert (other["item"].reference_id, other["item"].dataset_item_id) == (name, item_id)
        assert [one.reference_id for one in other["annotations"]["box"]] == [name]
    dataset.delete_item(name)
    assert [item.reference_id for item in dataset.items] == ["first.jpg"]


@pytest.mark.parametrize("name", UNQUOTED, ids=ids)
def test_predictions_on_a_hostile_id_are_found(nucleus: Any, official: Any, model: Any, name: str) -> None:
    dataset = official.create_dataset("Hostile", is_scene=False)
    new_items(dataset, "first.jpg", name)
    run = dataset.create_model_run("Run", reference_id=model.reference_id)
    run.predict([box(nucleus, name, annotation_id=name, confidence=0.5)])
    dataset.annotate([box(nucleus, name, annotation_id=name)])
    found = [
        *run.refloc(name)["box"],
        *dataset.predictions_refloc(model, name)["box"],
        run.prediction_loc(name, name),
        dataset.prediction_loc(model, name, name),
        dataset.ground_truth_loc(name, name),
    ]
    assert [(one.reference_id, one.annotation_id) for one in found] == [(name, name)] * 5


def test_what_no_address_can_name_is_found_by_position_and_item_id(nucleus: Any, official: Any, model: Any) -> None:
    names = sorted({"..", ".", *QUOTED} - set(UNQUOTED))
    dataset = official.create_dataset("Hostile", is_scene=False)
    new_items(dataset, *names)
    run = dataset.create_model_run("Run", reference_id=model.reference_id)
    run.predict([box(nucleus, name, confidence=0.5) for name in names])
    for position, name in enumerate(names):
        item_id = dataset.iloc(position)["item"].dataset_item_id
        found = [
            *run.iloc(position)["box"],
            *run.loc(item_id)["box"],
            *dataset.predictions_iloc(model, position)["box"],
            dataset.loc(item_id)["item"],
        ]
        assert [one.reference_id for one in found] == [name] * 4


def test_what_is_not_there_is_told_of(nucleus: Any, official_dataset: Any, model: Any) -> None:
    run = official_dataset.create_model_run("Run", reference_id=model.reference_id)
    lookups: list[Callable[[], Any]] = [
        lambda: official_dataset.refloc("nobody/..?.jpg"),
        lambda: official_dataset.iloc(3),
        lambda: official_dataset.loc("di_nobody"),
        lambda: run.refloc("nobody.jpg"),
        lambda: run.iloc(3),
        lambda: run.loc("di_nobody"),
        lambda: run.prediction_loc("a.jpg", "nothing"),
        lambda: official_dataset.predictions_refloc(model, "nobody.jpg"),
        lambda: official_dataset.predictions_iloc(model, 3),
        lambda: official_dataset.prediction_loc(model, "a.jpg", "nothing"),
        lambda: official_dataset.ground_truth_loc("a.jpg", "nothing"),
        lambda: official_dataset.delete_item("nobody.jpg"),
    ]
    for look_up in lookups:
        with pytest.raises(nucleus.NucleusAPIError) as caught:
            look_up()
        assert caught.value.status_code == 404
