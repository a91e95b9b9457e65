"""The route that takes many images in one request."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

from tests.factories import noise_png
from tests.uploads.images.files import append, files_in, send


def test_each_file_is_answered_in_its_place(http: Any) -> None:
    found = send(http, (noise_png(1), "a.PNG"), (b"", "b.png"), (b"text", "c"), (noise_png(1), "a.png"))
    digests = [hashlib.sha256(content).hexdigest() for content in (noise_png(1), b"text")]
    with_image = {"image": f"{digests[0][:2]}/{digests[0]}.png", "width": 64, "height": 48}
    assert found == [
        with_image,
        {"error": "The image is an empty file."},
        {"image": f"{digests[1][:2]}/{digests[1]}"},
        with_image,
    ]
    assert files_in(http) == {found[0]["image"], found[2]["image"]}


def test_requests_of_another_form_are_refused(http: Any) -> None:
    form = {"data": {"image": "no file"}, "content_type": "multipart/form-data"}
    with http.client.post("http://127.0.0.1/v1/nucleus/_nucleus_pandas/images", **form) as response:
        assert response.json["error"] == "The request has no images; send each as a file in a part named `image`."
    assert send(http, (b"x", "a.png"), part="file")[1].endswith("the request has a part `file`.")
    assert send(http, *[(b"x%d" % number, "a.png") for number in range(65)])[0] == 413
    assert "multipart" in http.refused("POST", "_nucleus_pandas/images", {}, 400)
    assert files_in(http) == set()
    assert not any((http.nucleus.images.incoming).iterdir())
    assert len(send(http, *[(b"x%d" % number, "a.png") for number in range(64)])) == 64


def test_a_key_is_needed_where_keys_are(store: Path) -> None:
    from nucleus_pandas.server.app import create_app
    from nucleus_pandas.server.nucleus import EmbeddedNucleus

    nucleus = EmbeddedNucleus(store)
    address = "http://127.0.0.1/v1/nucleus/_nucleus_pandas/images"
    client = create_app(nucleus, api_keys=["key"]).test_client()
    statuses = []
    for auth in (None, ("other", ""), ("key", "")):
        with client.post(address, data={"image": (io.BytesIO(b"x"), "a.png")}, auth=auth) as response:
            statuses.append(response.status_code)
    assert statuses == [401, 401, 200]
    nucleus.close()


def test_a_name_that_nobody_knows_is_the_error_of_its_row(http: Any, dataset_id: str) -> None:
    (sent,) = send(http, (noise_png(1), "a.png"))
    lost = sent["image"].replace(".png", ".jpg")
    names = [sent["image"], lost, "../nucleus.sqlite", "x"]
    answer = append(http, dataset_id, *names)
    assert answer["outcomes"] == [["new", 1], ["error", 3]]
    for row, reason in answer["row_errors"]:
        expected = f"The image '{names[row]}' is not stored, or has expired. Send it again, then the item."
        assert reason == f"'{row}': {expected}"
    assert (answer["new_items"], answer["upload_errors"]) == (1, 3)


def test_a_image_may_be_named_as_often_as_it_was_sent(http: Any, dataset_id: str) -> None:
    (sent,), _ = send(http, (noise_png(1), "a.png")), send(http, (noise_png(1), "a.png"))
    name = sent["image"]
    append(http, dataset_id, name)
    other = http("POST", "dataset/create", {"name": "Other"})["dataset_id"]
    http("DELETE", f"dataset/{dataset_id}", {})
    assert files_in(http) == {name}  # it was sent twice
    assert append(http, other, name)["new_items"] == 1
    http("DELETE", f"dataset/{other}", {})
    assert files_in(http) == set()
    assert append(http, http("POST", "dataset/create", {"name": "Third"})["dataset_id"], name)["upload_errors"] == 1


def test_a_image_that_an_item_names_may_be_named_again(http: Any, dataset_id: str) -> None:
    (sent,) = send(http, (noise_png(1), "a.png"))
    append(http, dataset_id, sent["image"])
    answer = append(http, dataset_id, "x", sent["image"])
    assert answer["outcomes"] == [["ignored", 1], ["new", 1]]
    item = http("GET", f"dataset/{dataset_id}/refloc/1")["item"]
    assert (item["width"], item["height"]) == (64, 48)


def test_the_same_append_again_is_answered_as_one_of_items_that_are_there(http: Any, dataset_id: str) -> None:
    first, second = (send(http, (noise_png(number), "a.png"))[0]["image"] for number in (1, 2))
    append(http, dataset_id, first)
    assert append(http, dataset_id, second)["ignored_items"] == 1
    assert files_in(http) == {first}  # nobody needs the other
    assert append(http, dataset_id, second)["ignored_items"] == 1
    assert append(http, dataset_id, second, update=True)["upload_errors"] == 1
    assert append(http, dataset_id, second, if_exists="update")["upload_errors"] == 1
    assert append(http, dataset_id, second, if_exists="error")["outcomes"] == [["exists", 1]]


def test_refused_appends_leave_their_images_waiting(http: Any, dataset_id: str) -> None:
    (sent,) = send(http, (noise_png(1), "a.png"))
    http.refused("POST", "_nucleus_pandas/dataset/ds_000000000000/append", {"items": []}, 404)
    scenes = http("POST", "dataset/create", {"name": "Scenes", "is_scene": True})["dataset_id"]
    items = {"items": [{"reference_id": "a", "image": sent["image"]}]}
    http.refused("POST", f"_nucleus_pandas/dataset/{scenes}/append", items, 400)
    assert append(http, dataset_id, sent["image"])["new_items"] == 1


def test_the_contract_knows_no_images_that_came_before(http: Any, dataset_id: str) -> None:
    (sent,) = send(http, (noise_png(1), "a.png"))
    items = {"items": [{"reference_id": "a", "image": sent["image"]}]}
    http.refused("POST", f"dataset/{dataset_id}/append", items, 400)
