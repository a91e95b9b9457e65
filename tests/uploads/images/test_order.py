"""Images travel side by side, and keep their order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.support.faulty_proxy import FaultyProxy, Request
from tests.support.private import extensions_of, set_extensions
from tests.uploads.images.files import contents, frame_of, hashes, is_images, names_in


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
    set_extensions(distant, extensions_of(distant) - {"images"})
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
