"""Local images on their way: side by side, in order, each on its own account, stored once, never lost."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest
from conftest import join_workers
from faulty_proxy import FaultyProxy, Request
from PIL import Image
from server_process import Served
from stores import check_purged, check_whole, files_of
from test_durability import png

import nucleus_pandas as npd
from nucleus_pandas.transport.multipart import Multipart

DAY = 86_400


def frame_of(folder: Path, count: int, size: int = 0) -> pd.DataFrame:
    """Files, none like another, as a frame of paths; `size` bytes at least."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(b"image %d of %b " % (number, folder.name.encode()) + bytes(size))
    return pd.DataFrame({"reference_id": [path.name for path in paths], "image_url": [str(path) for path in paths]})


def names_in(dataset: npd.Dataset) -> list[str]:
    found: list[str] = dataset.items.to_frame()["reference_id"].tolist()
    return found


def contents(dataset: npd.Dataset, store: Path) -> dict[str, str]:
    """Give the hash by which the file of each item is named; it is there, and is what its name says."""
    items = dataset.items.to_frame()
    found = {}
    for name, url in zip(items["reference_id"], items["image_url"], strict=True):
        path = store / "images" / Path(url).parent.name / Path(url).name
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.stem == found[name]
    return found


def hashes(frame: pd.DataFrame) -> dict[str, str]:
    return {
        name: hashlib.sha256(Path(path).read_bytes()).hexdigest()
        for name, path in zip(frame["reference_id"], frame["image_url"], strict=True)
    }


def is_images(request: Request) -> bool:
    return request.target.endswith("/_nucleus_pandas/images")


def has_images(request: Request) -> bool:
    return "multipart" in (request.header("Content-Type") or "")


class Watch:
    """Holds requests at a proxy for a while, and counts how many are there at once."""

    def __init__(self, seconds: Callable[[int], float], wanted: Callable[[Request], bool]) -> None:
        self.most = 0
        self.count = 0
        self._now = 0
        self._seconds = seconds
        self._wanted = wanted
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> float:
        if self._wanted(request):
            with self._lock:
                number, self.count = self.count, self.count + 1
                self._now += 1
                self.most = max(self.most, self._now)
            time.sleep(self._seconds(number))
            with self._lock:
                self._now -= 1
        return 0.0


@pytest.fixture
def proxy(served: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(served) as made:
        yield made
    join_workers()


@pytest.fixture
def distant(proxy: FaultyProxy) -> Iterator[npd.NucleusClient]:
    """A client behind the proxy."""
    with npd.NucleusClient(endpoint=proxy.endpoint, max_concurrency=4, max_retries=0) as made:
        yield made


# Order, side by side


@pytest.mark.parametrize("batch_size", [None, 1, 3, 7])
def test_images_travel_side_by_side_and_their_items_keep_their_order(
    proxy: FaultyProxy, distant: npd.NucleusClient, tmp_path: Path, store: Path, batch_size: int | None
) -> None:
    frame = frame_of(tmp_path / "images", 40 if batch_size else 300)
    dataset = distant.create_dataset("Photos")
    proxy.pause = watch = Watch(lambda number: 0.3 if number == 0 else 0.05 * (number % 3), is_images)
    result = npd.append(frame, dataset, batch_size=batch_size)
    assert result.rows["status"].tolist() == ["new"] * len(frame)
    assert names_in(dataset) == frame["reference_id"].tolist()
    assert contents(dataset, store) == hashes(frame)
    assert watch.most == 3  # of four connections one is left to items


def test_files_run_ahead_of_their_items_by_a_bounded_number_of_requests(
    proxy: FaultyProxy, distant: npd.NucleusClient, tmp_path: Path
) -> None:
    frame = frame_of(tmp_path / "images", 30)
    dataset = distant.create_dataset("Photos")
    arrived: list[str] = []
    proxy.pause = lambda request: arrived.append(request.target) or 0.0  # type: ignore[func-returns-value]
    npd.append(frame, dataset, batch_size=1)
    ahead, most = 0, 0
    for target in arrived:
        ahead += 1 if target.endswith("images") else -1 if target.endswith("append") else 0
        most = max(most, ahead)
    assert arrived.count("/v1/nucleus/_nucleus_pandas/images") == 30
    assert most <= 4 + 1  # as many as there are connections, and those of the batch that is to be appended next


def test_images_and_addresses_of_one_frame_keep_their_order(
    proxy: FaultyProxy, distant: npd.NucleusClient, tmp_path: Path, store: Path
) -> None:
    frame = frame_of(tmp_path / "images", 24)
    urls = frame["image_url"].mask(frame.index % 3 == 1, "https://example.org/" + frame["reference_id"])
    frame = frame.assign(image_url=urls, hour=range(24))
    dataset = distant.create_dataset("Photos")
    proxy.pause = Watch(lambda number: 0.2 if number == 0 else 0.0, is_images)
    npd.append(frame, dataset, batch_size=5, metadata=["hour"])
    stored = dataset.items.to_frame()
    assert stored["reference_id"].tolist() == frame["reference_id"].tolist()
    assert [row["hour"] for row in stored["metadata"]] == list(range(24))
    remote = [url.startswith("https://example.org/") for url in stored["image_url"]]
    assert remote == (frame.index % 3 == 1).tolist()


def test_addresses_behind_a_image_are_not_held_back(
    proxy: FaultyProxy, distant: npd.NucleusClient, tmp_path: Path
) -> None:
    frame = frame_of(tmp_path / "images", 1)
    names = [f"{number}" for number in range(60)]
    others = pd.DataFrame({"reference_id": names, "image_url": "https://example.org/a.jpg"})
    dataset = distant.create_dataset("Photos")
    npd.append(pd.concat([frame, others, frame.assign(reference_id="last")]), dataset, batch_size=5)
    assert names_in(dataset) == ["000.png", *names, "last"]
    sent = [request.target.rsplit("/", 1)[1] for request in proxy.requests]
    last = len(sent) - 1 - sent[::-1].index("images")
    assert sent[:last].count("append") >= 7  # of 13


def test_payloads_keep_their_order_too(client: npd.NucleusClient, tmp_path: Path, store: Path) -> None:
    frame = frame_of(tmp_path / "images", 12)
    rows = [{**row, "metadata": {"at": number}} for number, row in enumerate(frame.to_dict("records"))]
    dataset = client.create_dataset("Photos")
    dataset.append({"items": rows}, local=True, batch_size=5)
    assert names_in(dataset) == frame["reference_id"].tolist()
    assert [row["at"] for row in dataset.items.to_frame()["metadata"]] == list(range(12))


def test_a_server_without_the_extension_gets_items_with_their_images_in_turn(
    proxy: FaultyProxy, distant: npd.NucleusClient, tmp_path: Path, store: Path
) -> None:
    frame = frame_of(tmp_path / "images", 25)
    distant._transport.extensions = distant._transport.extensions - {"images"}
    dataset = distant.create_dataset("Photos")
    proxy.pause = watch = Watch(lambda number: 0.2 if number == 0 else 0.0, has_images)
    npd.append(frame, dataset)
    assert names_in(dataset) == frame["reference_id"].tolist()
    assert contents(dataset, store) == hashes(frame)
    assert (watch.count, watch.most) == (3, 1)


@pytest.mark.parametrize("connections", [1, 3])
def test_the_contract_gets_images_side_by_side_unless_their_order_is_asked_for(
    served: str, tmp_path: Path, store: Path, connections: int
) -> None:
    frame = frame_of(tmp_path / "images", 60)
    with (
        FaultyProxy(served, hide_extensions=True) as proxy,
        npd.NucleusClient(endpoint=proxy.endpoint, max_concurrency=connections) as client,
    ):
        dataset = client.create_dataset("Photos")
        proxy.pause = watch = Watch(lambda number: 0.5 if number == 0 else 0.1, has_images)
        result = npd.append(frame, dataset)
    assert result.rows["status"].tolist() == ["new"] * 60
    with npd.NucleusClient(endpoint=served) as client:
        stored = client.get_dataset(dataset.id)
        assert contents(stored, store) == hashes(frame)
        assert (names_in(stored) == frame["reference_id"].tolist()) == (connections == 1)
    assert (watch.count, watch.most) == (6, connections)


# Files that fail


def meddle(proxy: FaultyProxy, act: Callable[[], object]) -> None:
    """Do something when the first large request has begun to arrive, and once."""
    done: list[object] = []

    def plan(request: Request) -> None:
        if request.length > 1 << 20 and not done:
            done.append(request)
            act()

    proxy.plan = plan


def shorter(path: Path) -> None:
    os.truncate(path, 10)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def other(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"IMAGE")
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("hide", [False, True], ids=["embedded", "contract"])
@pytest.mark.parametrize("change", [shorter, longer, other])
def test_a_file_that_changes_while_it_is_sent_is_the_error_of_its_row(
    served: str, tmp_path: Path, store: Path, change: Callable[[Path], None], hide: bool
) -> None:
    frame = frame_of(tmp_path / "images", 8)
    path = Path(frame["image_url"][5])
    with path.open("r+b") as file:
        file.truncate(24 << 20)  # so that it is not sent whole before the proxy reads it
    with (
        FaultyProxy(served, hide_extensions=hide) as proxy,
        npd.NucleusClient(endpoint=proxy.endpoint, max_retries=0) as client,
    ):
        dataset = client.create_dataset("Photos")
        meddle(proxy, lambda: change(path))
        with pytest.raises(npd.UploadError, match="row 5: The image .*005.png' changed while it was sent") as caught:
            npd.append(frame, dataset)
    result = caught.value.result
    assert result.rows["status"].tolist() == ["new"] * 5 + ["error"] + ["new"] * 2
    assert "The other rows are stored" in str(caught.value)
    with npd.NucleusClient(endpoint=served) as client:
        stored = client.get_dataset(dataset.id)
        expected = hashes(frame)
        del expected["005.png"]
        assert contents(stored, store) == expected
        if not hide:
            assert names_in(stored) == list(expected)
        again = npd.append(result.failed, stored)
        assert again.new_items == 1
        assert contents(stored, store) == hashes(frame)
    check_whole(store)


@pytest.mark.parametrize("hide", [False, True], ids=["embedded", "contract"])
def test_files_that_go_before_they_are_sent_are_the_errors_of_their_rows(
    served: str, tmp_path: Path, store: Path, hide: bool
) -> None:
    frame = frame_of(tmp_path / "images", 40)
    path = [Path(path) for path in frame["image_url"]]

    def spoil(request: Request) -> None:
        if path[3].exists():  # nothing is sent yet, but all was looked at
            path[3].unlink()
            path[4].write_bytes(b"")
            path[10].unlink()
            path[10].mkdir()
            path[39].unlink()
            os.mkfifo(path[39])

    with (
        FaultyProxy(served, hide_extensions=hide) as proxy,
        npd.NucleusClient(endpoint=proxy.endpoint, max_retries=0) as client,
    ):
        dataset = client.create_dataset("Photos")
        client._transport.__dict__.pop("extensions", None)
        proxy.plan = spoil
        result = npd.append(frame, dataset, on_error="collect")
    assert result.rows.index[result.rows["status"] == "error"].tolist() == [3, 4, 10, 39]
    reasons = result.rows["error"].dropna().tolist()
    assert "cannot be read any more: No such file or directory" in reasons[0]
    assert "is an empty file now" in reasons[1]
    assert all("is no file now" in reason for reason in reasons[2:])
    with npd.NucleusClient(endpoint=served) as client:
        left = frame.drop(index=[3, 4, 10, 39])
        assert contents(client.get_dataset(dataset.id), store) == hashes(left)


def test_a_file_that_changes_in_process_is_the_error_of_its_row(
    local: npd.NucleusClient, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = frame_of(tmp_path / "images", 5)
    path = Path(frame["image_url"][2])
    rewind = Multipart.rewind

    def change(self: Multipart) -> None:
        rewind(self)
        if path.stat().st_size > 10:
            shorter(path)

    monkeypatch.setattr(Multipart, "rewind", change)
    dataset = local.create_dataset("Photos")
    result = npd.append(frame, dataset, on_error="collect")
    assert result.rows["status"].tolist() == ["new", "new", "error", "new", "new"]
    assert "changed while it was sent" in result.rows["error"][2]
    assert names_in(dataset) == ["000.png", "001.png", "003.png", "004.png"]
    assert list((store / "images" / "incoming").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_is_forbidden_meanwhile_is_the_error_of_its_row(
    proxy: FaultyProxy, distant: npd.NucleusClient, tmp_path: Path
) -> None:
    frame = frame_of(tmp_path / "images", 3)
    dataset = distant.create_dataset("Photos")
    distant._transport.__dict__.pop("extensions", None)
    proxy.plan = lambda request: Path(frame["image_url"][1]).chmod(0)
    result = npd.append(frame, dataset, on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error", "new"]
    assert "cannot be read any more: Permission denied" in result.rows["error"][1]


@pytest.mark.parametrize("what", ["gone", "folder", "empty", "pipe", "loop"])
def test_what_cannot_be_read_is_told_before_anything_is_sent(
    client: npd.NucleusClient, tmp_path: Path, what: str
) -> None:
    frame = frame_of(tmp_path / "images", 3)
    path = Path(frame["image_url"][1])
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "loop":
        path.symlink_to(path)
    dataset = client.create_dataset("Photos")
    with pytest.raises(npd.InvalidInputError, match="Nothing was sent") as caught:
        npd.append(frame, dataset)
    assert caught.value.problems is not None
    assert caught.value.problems["row"].tolist() == [1]
    assert len(dataset) == 0


def test_a_file_that_is_no_image_is_stored_without_a_size(client: npd.NucleusClient, tmp_path: Path) -> None:
    frame = frame_of(tmp_path / "images", 2)
    Image.new("RGB", (64, 48)).save(frame["image_url"][1])
    dataset = client.create_dataset("Photos")
    npd.append(frame, dataset)
    stored = dataset.items.to_frame()
    assert stored["width"].isna().tolist() == [True, False]
    assert stored.loc[stored.index[1], ["width", "height"]].tolist() == [64, 48]


def test_a_image_that_claims_very_many_pixels_is_stored_with_that_size(
    client: npd.NucleusClient, tmp_path: Path
) -> None:
    from test_headers import claiming

    (tmp_path / "a.png").write_bytes(claiming("PNG", 60_000, 60_000))
    dataset = client.create_dataset("Photos")
    dataset.append([{"reference_id": "a", "image_url": str(tmp_path / "a.png")}])
    assert dataset.items.to_frame()[["width", "height"]].to_numpy().tolist() == [[60_000, 60_000]]


def test_a_size_in_the_frame_goes_before_that_of_the_header(client: npd.NucleusClient, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    frame = pd.DataFrame({"reference_id": ["a", "b"], "image_url": str(tmp_path / "a.png"), "width": [7, None]})
    dataset = client.create_dataset("Photos")
    npd.append(frame, dataset)
    assert dataset.items.to_frame()[["width", "height"]].to_numpy().tolist() == [[7, 48], [64, 48]]


@pytest.mark.parametrize("fault", ["500", "503", "answer lost", "cut before", "an object, 200", "429"])
def test_a_request_that_fails_for_good_leaves_the_others(
    proxy: FaultyProxy, distant: npd.NucleusClient, tmp_path: Path, store: Path, fault: str
) -> None:
    frame = frame_of(tmp_path / "images", 12)
    dataset = distant.create_dataset("Photos")
    Path(frame["image_url"][4]).write_bytes(bytes(5_000))
    proxy.plan = lambda request: fault if is_images(request) and request.length > 5_000 else None
    result = npd.append(frame, dataset, batch_size=2, on_error="collect")
    errors = result.rows.index[result.rows["status"] == "error"].tolist()
    assert errors == ([4, 5] if fault == "500" else [*range(4, 12)])  # no more is sent that would meet the same
    assert not result.rows["error"].dropna().str.contains("may be stored").any()
    assert contents(dataset, store) == hashes(frame.drop(index=errors))
    proxy.plan = lambda request: None
    npd.append(result.failed, dataset)
    assert contents(dataset, store) == hashes(frame)


def test_a_image_that_is_too_large_is_refused_alone(
    client: npd.NucleusClient, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nucleus_pandas.server.app.MAX_UPLOAD", 100_000)
    frame = frame_of(tmp_path / "images", 6, size=10_000)
    with Path(frame["image_url"][3]).open("r+b") as file:
        file.truncate(200_000)
    dataset = client.create_dataset("Photos")
    result = npd.append(frame, dataset, on_error="collect")
    assert result.rows["status"].tolist() == ["new"] * 3 + ["error"] + ["new"] * 2
    assert "larger than" in result.rows["error"][3]
    assert contents(dataset, store) == hashes(frame.drop(index=3))


# Stored once


def stored_files(store: Path) -> set[str]:
    return files_of(store, "images")


def test_the_same_image_under_many_ids_is_stored_once(client: npd.NucleusClient, tmp_path: Path, store: Path) -> None:
    content = png(1)
    paths = []
    for number in range(100):
        path = tmp_path / f"{number}.png"
        path.write_bytes(content)
        paths.append(str(path))
    frame = pd.DataFrame({"reference_id": [f"{n:03}" for n in range(100)], "image_url": paths})
    for title in ("One", "Other"):
        dataset = client.create_dataset(title)
        result = npd.append(frame, dataset, batch_size=9)
        assert result.new_items == 100
        assert names_in(dataset) == frame["reference_id"].tolist()
        digest = hashlib.sha256(content).hexdigest()
        assert stored_files(store) == {f"{digest[:2]}/{digest}.png"}


def test_what_is_there_is_not_written_again(client: npd.NucleusClient, tmp_path: Path, store: Path) -> None:
    frame = frame_of(tmp_path / "images", 3, size=600_000)
    npd.append(frame, client.create_dataset("One"))
    before = {name: (store / "images" / name).stat().st_ino for name in stored_files(store)}
    npd.append(frame, client.create_dataset("Other"))
    assert {name: (store / "images" / name).stat().st_ino for name in stored_files(store)} == before
    assert list((store / "images" / "incoming").iterdir()) == []


def test_half_a_file_is_mended_when_it_is_sent_again(client: npd.NucleusClient, tmp_path: Path, store: Path) -> None:
    frame = frame_of(tmp_path / "images", 1)
    npd.append(frame, client.create_dataset("One"))
    (name,) = stored_files(store)
    os.truncate(store / "images" / name, 3)
    dataset = client.create_dataset("Other")
    npd.append(frame, dataset)
    assert contents(dataset, store) == hashes(frame)


def test_a_file_goes_with_the_last_item_that_names_it(client: npd.NucleusClient, tmp_path: Path, store: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    frame = pd.DataFrame({"reference_id": ["a", "b"], "image_url": str(tmp_path / "a.png")})
    dataset = client.create_dataset("Photos")
    npd.append(frame, dataset, batch_size=1)
    delete = lambda name: client._transport.request("DELETE", "dataset", dataset.id, "refloc", name)  # noqa: E731
    delete("a")
    assert contents(dataset, store) == {"b": hashlib.sha256(png(1)).hexdigest()}
    delete("b")
    assert stored_files(store) == set()


def test_if_exists_says_what_becomes_of_images_too(client: npd.NucleusClient, tmp_path: Path, store: Path) -> None:
    first, other = frame_of(tmp_path / "first", 3), frame_of(tmp_path / "other", 4)
    dataset = client.create_dataset("Photos")
    npd.append(first, dataset)
    with pytest.raises(npd.AlreadyExistsError) as caught:
        npd.append(other, dataset, if_exists="error")
    assert caught.value.result.rows["status"].tolist() == ["error"] * 4
    assert contents(dataset, store) == hashes(first)
    assert len(stored_files(store)) == 3
    assert npd.append(other, dataset).rows["status"].tolist() == ["ignored"] * 3 + ["new"]
    assert contents(dataset, store) == hashes(first) | hashes(other[3:])
    assert len(stored_files(store)) == 4
    assert npd.append(other, dataset, if_exists="update").updated_items == 4
    assert contents(dataset, store) == hashes(other)
    assert len(stored_files(store)) == 4


# The route


def send(http: Any, *files: tuple[bytes, str], part: str = "image") -> Any:
    form = {part: [(io.BytesIO(content), name) for content, name in files]}
    with http.client.post("http://127.0.0.1/v1/nucleus/_nucleus_pandas/images", data=form) as response:
        found = response.json
        return found["images"] if response.status_code == 200 else (response.status_code, found["error"])


def append(http: Any, dataset: str, *names: str, **fields: Any) -> Any:
    items = [{"reference_id": f"{number}", "image": name} for number, name in enumerate(names)]
    return http("POST", f"_nucleus_pandas/dataset/{dataset}/append", {"items": items, **fields})


@pytest.fixture
def dataset_id(http: Any) -> str:
    made: str = http("POST", "dataset/create", {"name": "Photos"})["dataset_id"]
    return made


def files_in(http: Any) -> set[str]:
    return stored_files(http.nucleus.folder)


def test_each_file_is_answered_in_its_place(http: Any) -> None:
    found = send(http, (png(1), "a.PNG"), (b"", "b.png"), (b"text", "c"), (png(1), "a.png"))
    digests = [hashlib.sha256(content).hexdigest() for content in (png(1), b"text")]
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
        assert response.json["error"] == "The request holds no image, as a file in a part named `image`."
    assert send(http, (b"x", "a.png"), part="file")[1].endswith("there is one in a part `file`.")
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
    (sent,) = send(http, (png(1), "a.png"))
    lost = sent["image"].replace(".png", ".jpg")
    names = [sent["image"], lost, "../nucleus.sqlite", "x"]
    answer = append(http, dataset_id, *names)
    assert answer["outcomes"] == [["new", 1], ["error", 3]]
    for row, reason in answer["row_errors"]:
        assert reason == f"'{row}': No image '{names[row]}' waits here, or not any more. Send it again, then the item."
    assert (answer["new_items"], answer["upload_errors"]) == (1, 3)


def test_a_image_may_be_named_as_often_as_it_was_sent(http: Any, dataset_id: str) -> None:
    (sent,), _ = send(http, (png(1), "a.png")), send(http, (png(1), "a.png"))
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
    (sent,) = send(http, (png(1), "a.png"))
    append(http, dataset_id, sent["image"])
    answer = append(http, dataset_id, "x", sent["image"])
    assert answer["outcomes"] == [["ignored", 1], ["new", 1]]
    item = http("GET", f"dataset/{dataset_id}/refloc/1")["item"]
    assert (item["width"], item["height"]) == (64, 48)


def test_the_same_append_again_is_answered_as_one_of_items_that_are_there(http: Any, dataset_id: str) -> None:
    first, second = (send(http, (png(number), "a.png"))[0]["image"] for number in (1, 2))
    append(http, dataset_id, first)
    assert append(http, dataset_id, second)["ignored_items"] == 1
    assert files_in(http) == {first}  # nobody needs the other
    assert append(http, dataset_id, second)["ignored_items"] == 1
    assert append(http, dataset_id, second, update=True)["upload_errors"] == 1
    assert append(http, dataset_id, second, if_exists="update")["upload_errors"] == 1
    assert append(http, dataset_id, second, if_exists="error")["outcomes"] == [["exists", 1]]


def test_refused_appends_leave_their_images_waiting(http: Any, dataset_id: str) -> None:
    (sent,) = send(http, (png(1), "a.png"))
    http.refused("POST", "_nucleus_pandas/dataset/ds_000000000000/append", {"items": []}, 404)
    scenes = http("POST", "dataset/create", {"name": "Scenes", "is_scene": True})["dataset_id"]
    items = {"items": [{"reference_id": "a", "image": sent["image"]}]}
    http.refused("POST", f"_nucleus_pandas/dataset/{scenes}/append", items, 400)
    assert append(http, dataset_id, sent["image"])["new_items"] == 1


def test_the_contract_knows_no_images_that_came_before(http: Any, dataset_id: str) -> None:
    (sent,) = send(http, (png(1), "a.png"))
    items = {"items": [{"reference_id": "a", "image": sent["image"]}]}
    http.refused("POST", f"dataset/{dataset_id}/append", items, 400)


# Those that wait


def let_wait(http: Any, seconds: float) -> None:
    """Let all that waits have waited for longer."""
    with http.nucleus.database.write() as db:
        db.execute("UPDATE waiting SET since = since - ?", (seconds,))


@pytest.mark.parametrize("when", ["at the next request", "when it is opened"])
def test_images_that_nobody_names_go_after_a_day(http: Any, dataset_id: str, store: Path, when: str) -> None:
    (old,), (young,) = send(http, (png(1), "a.png")), send(http, (png(2), "b.png"))
    http.nucleus.purge()
    assert files_in(http) == {old["image"], young["image"]}
    let_wait(http, DAY + 1)
    send(http, (png(2), "b.png"))  # once more: from now on it waits a day
    if when == "at the next request":
        assert files_in(http) == {young["image"]}
    else:
        http.nucleus.close()
        with npd.NucleusClient.local(store):
            until = time.monotonic() + 20
            while files_in(http) != {young["image"]}:
                assert time.monotonic() < until, "waited in vain"
                time.sleep(0.01)
        return
    assert append(http, dataset_id, old["image"])["upload_errors"] == 1
    assert append(http, dataset_id, young["image"])["new_items"] == 1


def test_a_image_that_waited_too_long_but_is_named_stays(http: Any, dataset_id: str) -> None:
    (sent,), _ = send(http, (png(1), "a.png")), send(http, (png(1), "a.png"))
    append(http, dataset_id, sent["image"])
    let_wait(http, DAY + 1)
    http.nucleus.purge()
    assert http.table("waiting") == http.table("released") == []
    assert files_in(http) == {sent["image"]}


def test_a_file_that_was_released_and_is_sent_again_stays(
    http: Any, dataset_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sent,) = send(http, (png(1), "a.png"))
    append(http, dataset_id, sent["image"])
    with monkeypatch.context() as patched:
        patched.setattr(http.nucleus, "purge", lambda: None)  # it comes later
        http("DELETE", f"dataset/{dataset_id}/refloc/0", {})
        send(http, (png(1), "a.png"))
        assert http.table("released") == [("images", sent["image"])]
    http.nucleus.purge()
    assert files_in(http) == {sent["image"]}
    assert append(http, dataset_id, sent["image"])["new_items"] == 1


def test_a_file_that_never_got_to_its_place_is_named_by_no_item(http: Any, dataset_id: str) -> None:
    (sent,) = send(http, (png(1), "a.png"))
    http.nucleus.images.remove(sent["image"])  # as if the server had been killed before
    assert append(http, dataset_id, sent["image"])["outcomes"] == [["error", 1]]
    send(http, (png(1), "a.png"))
    assert append(http, dataset_id, sent["image"])["outcomes"] == [["new", 1]]


@pytest.mark.parametrize("way", ["before", "with"])
def test_no_other_process_removes_a_file_between_its_steps(
    http: Any, dataset_id: str, store: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    from nucleus_pandas.server.media.files import Images
    from nucleus_pandas.server.nucleus import EmbeddedNucleus

    publish = Images.publish
    other = EmbeddedNucleus(store)

    def purged(self: Images, files: Any) -> None:
        other.purge()
        publish(self, files)
        other.purge()

    monkeypatch.setattr(Images, "publish", purged)
    if way == "before":
        append(http, dataset_id, send(http, (png(1), "a.png"))[0]["image"])
    else:
        form = {"items": '[{"reference_id": "a"}]', "image": (io.BytesIO(png(1)), "a.png")}
        assert (
            http.client.post(f"http://127.0.0.1/v1/nucleus/dataset/{dataset_id}/append", data=form).status_code == 200
        )
    other.purge()
    other.close()
    check_whole(store)
    assert len(files_in(http)) == 1
    assert http.table("waiting") == []


def test_a_disk_that_is_full_leaves_nothing_behind(
    http: Any, dataset_id: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    send(http, (png(2), "c.png"))
    let_wait(http, DAY + 1)
    http.nucleus.purge()
    monkeypatch.setattr("nucleus_pandas.server.media.files.os.fsync", full)
    assert send(http, (png(1), "a.png"), (bytes(300_000), "b.png"))[0] == 507
    monkeypatch.undo()
    assert http.table("waiting") == http.table("released") == []
    assert files_in(http) == set()
    assert list(http.nucleus.images.incoming.iterdir()) == []


# Servers that die


def test_what_a_killed_server_had_is_sent_again_and_stored_once(store: Path, tmp_path: Path) -> None:
    frame = frame_of(tmp_path / "images", 60)
    with Served(store, point=("committed", 12)) as server, server.client(max_concurrency=4) as client:
        dataset_id = client.create_dataset("Photos").id
        server.mark.touch()
        with pytest.raises(npd.UploadError) as caught:
            npd.append(frame, client.get_dataset(dataset_id), batch_size=4)
        server.process.join(20)
        assert server.process.exitcode == -signal.SIGKILL
    check_whole(store)
    told = caught.value.result.rows["status"]
    with Served(store) as server, server.client() as client:
        dataset = client.get_dataset(dataset_id)
        there = names_in(dataset)
        assert there == frame["reference_id"].tolist()[: len(there)]
        assert set(frame["reference_id"][told == "new"]) <= set(there)
        result = npd.append(frame, dataset, batch_size=4)
        assert (result.new_items, result.ignored_items) == (60 - len(there), len(there))
        assert names_in(dataset) == frame["reference_id"].tolist()
        assert contents(dataset, store) == hashes(frame)
    check_purged(store)


# Memory

UPLOAD = """
import sys
from pathlib import Path
import nucleus_pandas as npd

dataset = npd.NucleusClient(endpoint=sys.argv[1]).create_dataset("Large")
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
dataset.append([{"reference_id": "small", "image_url": sys.argv[2]}])
before = peak()
dataset.append([{"reference_id": "large", "image_url": sys.argv[3]}])
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_a_image_on_either_side(store: Path, tmp_path: Path, image: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(image.read_bytes())
    os.truncate(large, 300 << 20)

    def peak(pid: int | None) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    with Served(store) as server:
        with contextlib.closing(server.client()) as client:
            client.create_dataset("Small").append([{"reference_id": "a", "image_url": str(image)}])
        before = peak(server.process.pid)
        command = [sys.executable, "-c", UPLOAD, server.endpoint, str(image), str(large)]
        grown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
        assert int(grown) < 20 << 10  # KiB
        assert peak(server.process.pid) - before < 20 << 10
        with server.client() as client:
            (dataset_id,) = client.datasets.loc[client.datasets["name"] == "Large", "id"]
            stored = client.get_dataset(dataset_id).items.to_frame()
            assert stored["width"].tolist() == [64, 64]
            name = unquote(stored["image_url"].iloc[1].split("/images/")[1])
    assert (store / "images" / name).stat().st_size == 300 << 20
