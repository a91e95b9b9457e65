"""Ground truth whose masks are files of the request."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.support.contract_requests import (
    Api,
    Part,
    by_type,
    mask,
    mask_bytes,
    mask_of,
    multipart,
    new_dataset,
    new_run,
    serialized,
)


def test_mask_files_are_counted(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    parts = [serialized(mask("a.jpg"), mask("b.jpg")), mask_of(mask_bytes(1)), mask_of(mask_bytes(2))]
    made = anywhere.ok("POST", f"dataset/{dataset}/annotate", *multipart(*parts))
    assert made == {"dataset_id": dataset, "annotations_processed": 2, "annotations_ignored": 0}


def test_mask_files_belong_to_masks_by_position(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    parts = [serialized(mask("a.jpg"), mask("b.jpg")), mask_of(mask_bytes(1)), mask_of(mask_bytes(2))]
    anywhere.ok("POST", f"dataset/{dataset}/annotate", *multipart(*parts))
    url = urlsplit(by_type(anywhere, dataset, "b.jpg")["segmentation"][0]["mask_url"])
    assert anywhere.send("GET", url.path, None, {}).content == mask_bytes(2)


@pytest.mark.parametrize(("update", "value"), [(False, 1), (True, 2)])
def test_mask_files_heed_update(api: Api, update: bool, value: int) -> None:
    dataset = new_dataset(api, "a.jpg")
    for content in (mask_bytes(1), mask_bytes(2)):
        parts = [serialized(mask(), update=update), mask_of(content)]
        api.ok("POST", f"dataset/{dataset}/annotate", *multipart(*parts))
    url = urlsplit(by_type(api, dataset)["segmentation"][0]["mask_url"])
    assert api.send("GET", url.path, None, {}).content == mask_bytes(value)


def test_a_mask_file_of_an_unknown_item_is_named_among_the_errors(api: Api) -> None:
    dataset = new_dataset(api)
    parts = [serialized(mask("nobody.jpg")), mask_of(mask_bytes())]
    (error,) = api.ok("POST", f"dataset/{dataset}/annotate", *multipart(*parts))["errors"]
    assert "nobody.jpg" in error


def test_mask_files_may_be_predictions(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    run = new_run(api, dataset)
    parts = [serialized(mask()), mask_of(mask_bytes())]
    made = api.ok("POST", f"modelRun/{run}/predict", *multipart(*parts))
    assert (made["predictions_processed"], made["predictions_ignored"]) == (1, 0)


@pytest.mark.parametrize(
    "parts",
    [
        [serialized(mask()), mask_of(mask_bytes()), mask_of(mask_bytes())],
        [serialized(mask())],
        [mask_of(mask_bytes())],
        [serialized(mask()), mask_of(b"")],
        [Part("serialized_request", None, "application/json", b"{"), mask_of(mask_bytes())],
    ],
)
def test_mask_files_without_their_masks_are_refused(api: Api, parts: list[Part]) -> None:
    content, headers = multipart(*parts)
    assert api.status("POST", f"dataset/{new_dataset(api, 'a.jpg')}/annotate", content, headers) == 400
