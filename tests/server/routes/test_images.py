"""Appends of items with their images in one multipart request."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.factories import box, item
from tests.support.contract_requests import (
    PREFIX,
    Api,
    Part,
    append_files,
    array_of,
    by_type,
    file_of,
    image_bytes,
    multipart,
    new_dataset,
)


def test_an_item_that_is_there_is_left_alone(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    for value in (1, 2):
        body = {"items": [item("a.jpg", metadata={"k": value})], "update": False}
        anywhere.post(f"dataset/{dataset}/append", body)
    assert anywhere.get(f"dataset/{dataset}/iloc/0")["item"]["metadata"] == {"k": 1}


@pytest.mark.parametrize("word", ["update", "force"])
def test_an_update_is_counted(anywhere: Api, word: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    made = anywhere.post(f"dataset/{dataset}/append", {"items": [item("a.jpg"), item("b.jpg")], word: True})
    assert {**made, "dataset_id": ""} == {
        "dataset_id": "",
        "new_items": 1,
        "updated_items": 1,
        "ignored_items": 0,
        "upload_errors": 0,
    }


@pytest.mark.parametrize("word", ["update", "force"])
def test_an_update_replaces_metadata_as_a_whole(api: Api, word: str) -> None:
    dataset = new_dataset(api)
    for metadata in ({"old": 1, "both": 1}, {"both": 2}):
        api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg", metadata=metadata)], word: True})
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["metadata"] == {"both": 2}


def test_an_update_keeps_the_position(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg")], "update": True})
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["reference_id"] == "a.jpg"


def test_an_update_keeps_the_item_id(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    before = api.get(f"dataset/{dataset}/iloc/0")["item"]["id"]
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg")], "update": True})
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["id"] == before


def test_an_update_keeps_the_annotations(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})
    api.post(f"dataset/{dataset}/append", {"items": [item("a.jpg")], "update": True})
    assert len(by_type(api, dataset)["box"]) == 1


def test_an_array_of_files_is_counted(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    parts = [array_of(item("a", update=False), item("b", update=False)), *[file_of(image_bytes())] * 2]
    assert append_files(anywhere, dataset, *parts) == {
        "dataset_id": dataset,
        "new_items": 2,
        "updated_items": 0,
        "ignored_items": 0,
        "upload_errors": 0,
    }


def test_files_belong_to_items_by_position(api: Api) -> None:
    dataset = new_dataset(api)
    files = [file_of(image_bytes(size=(8, 9)), "/tmp/same.png"), file_of(image_bytes(size=(5, 6)), "/tmp/same.png")]
    append_files(api, dataset, array_of(item("a", update=False), item("b", update=False)), *files)
    sizes = [(one["width"], one["height"]) for one in api.get(f"dataset/{dataset}/datasetItems")["dataset_items"]]
    assert sizes == [(8, 9), (5, 6)]


def test_an_array_of_files_tells_update_item_by_item(api: Api) -> None:
    dataset = new_dataset(api, "a", "b")
    parts = [array_of(item("a", update=True), item("b", update=False)), *[file_of(image_bytes())] * 2]
    made = append_files(api, dataset, *parts)
    assert (made["updated_items"], made["ignored_items"]) == (1, 1)


def test_an_update_with_a_file_replaces_the_image(api: Api) -> None:
    dataset = new_dataset(api)
    for color in ("red", "blue"):
        append_files(api, dataset, array_of(item("a", update=True)), file_of(image_bytes(color)))
    url = urlsplit(api.get(f"dataset/{dataset}/iloc/0")["item"]["image_url"])
    assert api.send("GET", url.path, None, {}).content == image_bytes("blue")


def test_deleting_an_item_keeps_the_same_image_of_another(api: Api) -> None:
    dataset = new_dataset(api)
    parts = [array_of(item("a", update=False), item("b", update=False)), *[file_of(image_bytes("green"))] * 2]
    append_files(api, dataset, *parts)
    api.delete(f"dataset/{dataset}/refloc/a")
    url = urlsplit(api.get(f"dataset/{dataset}/refloc/b")["item"]["image_url"])
    assert api.send("GET", url.path, None, {}).content == image_bytes("green")


def test_deleting_a_dataset_keeps_the_same_image_of_another(api: Api) -> None:
    datasets = [new_dataset(api), new_dataset(api)]
    for dataset in datasets:
        append_files(api, dataset, array_of(item("a", update=False)), file_of(image_bytes("teal")))
    api.delete(f"dataset/{datasets[0]}")
    url = urlsplit(api.get(f"dataset/{datasets[1]}/iloc/0")["item"]["image_url"])
    assert api.send("GET", url.path, None, {}).content == image_bytes("teal")


@pytest.mark.parametrize("path", ["/tmp/a.png", "/tmp/a.jpg", "/tmp/a.jpeg", "C:\\images\\a.png", "/tmp/ü b.PNG"])
def test_an_uploaded_image_can_be_fetched(anywhere: Api, path: str) -> None:
    dataset = new_dataset(anywhere)
    content = image_bytes(kind="PNG" if path.lower().endswith("png") else "JPEG")
    append_files(anywhere, dataset, array_of(item("a", image_url=path, update=False)), file_of(content, path))
    url = urlsplit(anywhere.get(f"dataset/{dataset}/iloc/0")["item"]["image_url"])
    assert anywhere.send("GET", url.path, None, {}).content == content


@pytest.mark.parametrize(("extension", "kind"), [("png", "PNG"), ("jpg", "JPEG")])
def test_an_uploaded_image_has_an_address_with_its_extension(api: Api, extension: str, kind: str) -> None:
    dataset = new_dataset(api)
    file = file_of(image_bytes(kind=kind), f"/tmp/a.{extension}")
    append_files(api, dataset, array_of(item("a", image_url=f"/tmp/a.{extension}", update=False)), file)
    assert api.get(f"dataset/{dataset}/iloc/0")["item"]["image_url"].endswith(f".{extension}")


def test_an_uploaded_image_has_an_address_on_this_server(anywhere: Api) -> None:
    dataset = new_dataset(anywhere)
    append_files(anywhere, dataset, array_of(item("a", update=False)), file_of(image_bytes()))
    url = anywhere.get(f"dataset/{dataset}/iloc/0")["item"]["image_url"]
    assert url.startswith(f"{anywhere.origin}{PREFIX}/")


def test_an_uploaded_image_is_served_as_a_image(api: Api) -> None:
    dataset = new_dataset(api)
    append_files(api, dataset, array_of(item("a", update=False)), file_of(image_bytes()))
    url = urlsplit(api.get(f"dataset/{dataset}/iloc/0")["item"]["image_url"])
    assert api.send("GET", url.path, None, {}).headers["Content-Type"] == "image/png"


def test_a_file_without_extension_is_taken(api: Api) -> None:
    dataset = new_dataset(api)
    file = Part("image", "%2Ftmp%2Fa", "image/", image_bytes())
    assert append_files(api, dataset, array_of(item("a", update=False)), file)["new_items"] == 1


def test_a_file_name_is_no_place_on_the_server(empty: Api, nucleus: EmbeddedNucleus) -> None:
    dataset = new_dataset(empty)
    file = file_of(image_bytes(), "../../../outside.png")
    append_files(empty, dataset, array_of(item("a", update=False)), file)
    assert not list(nucleus.folder.parent.rglob("outside*"))


def test_an_empty_file_is_an_upload_error(api: Api) -> None:
    dataset = new_dataset(api)
    parts = [array_of(item("a", update=False), item("b", update=False)), file_of(b""), file_of(image_bytes())]
    made = append_files(api, dataset, *parts)
    assert (made["new_items"], made["upload_errors"]) == (1, 1)


@pytest.mark.parametrize(
    "parts",
    [
        [array_of(item("a")), file_of(b"x"), file_of(b"y")],
        [array_of(item("a"), item("b")), file_of(b"x")],
        [array_of(item("a"))],
        [file_of(b"x")],
        [Part("items", None, "application/json", b"[{"), file_of(b"x")],
        [Part("items", None, "application/json", b"{}"), file_of(b"x")],
        [Part("item", None, "application/json", b"[]"), file_of(b"x")],
        [],
    ],
)
def test_files_without_their_items_are_refused(api: Api, parts: list[Part]) -> None:
    content, headers = multipart(*parts)
    assert api.status("POST", f"dataset/{new_dataset(api)}/append", content, headers) == 400
