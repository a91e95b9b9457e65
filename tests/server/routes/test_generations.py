"""All generations of clients on one dataset."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.factories import item
from tests.support.contract_requests import (
    Api,
    append_files,
    array_of,
    consume,
    file_of,
    finished,
    image_bytes,
    new_dataset,
    upload,
)


def seed_append(api: Api, dataset: str, names: list[str]) -> None:
    api.post(f"dataset/{dataset}/append", {"items": [item(name) for name in names]})


def mid_append(api: Api, dataset: str, names: list[str]) -> None:
    api.post(f"dataset/{dataset}/append", {"items": [item(name) for name in names], "update": False})


def current_append(api: Api, dataset: str, names: list[str]) -> None:
    finished(api, consume(api, f"dataset/{dataset}/append", upload(api, dataset, *[item(name) for name in names])))


def files_append(api: Api, dataset: str, names: list[str]) -> None:
    files = [file_of(image_bytes())] * len(names)
    append_files(api, dataset, array_of(*[item(name, update=False) for name in names]), *files)


WAYS = [seed_append, mid_append, current_append, files_append]


@pytest.mark.parametrize("first", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("second", WAYS, ids=lambda way: way.__name__)
def test_what_one_generation_appended_the_other_finds(
    api: Api, first: Callable[[Api, str, list[str]], None], second: Callable[[Api, str, list[str]], None]
) -> None:
    dataset = new_dataset(api)
    first(api, dataset, ["a.jpg", "b.jpg"])
    second(api, dataset, ["b.jpg", "c.jpg"])
    found = api.get(f"dataset/{dataset}/datasetItems")["dataset_items"]
    assert [one["reference_id"] for one in found] == ["a.jpg", "b.jpg", "c.jpg"]
