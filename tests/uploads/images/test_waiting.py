"""FileStore that nobody asked for yet wait, and are purged."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest

import nucleus_pandas as npd
from tests.factories import noise_png
from tests.support.stored_files import check_whole
from tests.uploads.images.files import append, files_in, send

DAY = 86_400


def let_wait(http: Any, seconds: float) -> None:
    """Let all that waits have waited for longer."""
    with http.nucleus.database.write() as db:
        db.execute("UPDATE waiting SET since = since - ?", (seconds,))


@pytest.mark.parametrize("when", ["at the next request", "when it is opened"])
def test_images_that_nobody_names_go_after_a_day(http: Any, dataset_id: str, store: Path, when: str) -> None:
    (old,), (young,) = send(http, (noise_png(1), "a.png")), send(http, (noise_png(2), "b.png"))
    http.nucleus.purge()
    assert files_in(http) == {old["image"], young["image"]}
    let_wait(http, DAY + 1)
    send(http, (noise_png(2), "b.png"))  # once more: from now on it waits a day
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
    (sent,), _ = send(http, (noise_png(1), "a.png")), send(http, (noise_png(1), "a.png"))
    append(http, dataset_id, sent["image"])
    let_wait(http, DAY + 1)
    http.nucleus.purge()
    assert http.table("waiting") == http.table("released") == []
    assert files_in(http) == {sent["image"]}


def test_a_file_that_was_released_and_is_sent_again_stays(
    http: Any, dataset_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sent,) = send(http, (noise_png(1), "a.png"))
    append(http, dataset_id, sent["image"])
    with monkeypatch.context() as patched:
        patched.setattr(http.nucleus, "purge", lambda: None)  # it comes later
        http("DELETE", f"dataset/{dataset_id}/refloc/0", {})
        send(http, (noise_png(1), "a.png"))
        assert http.table("released") == [("images", sent["image"])]
    http.nucleus.purge()
    assert files_in(http) == {sent["image"]}
    assert append(http, dataset_id, sent["image"])["new_items"] == 1


def test_a_file_that_never_got_to_its_place_is_named_by_no_item(http: Any, dataset_id: str) -> None:
    (sent,) = send(http, (noise_png(1), "a.png"))
    http.nucleus.images.remove(sent["image"])  # as if the server had been killed before
    assert append(http, dataset_id, sent["image"])["outcomes"] == [["error", 1]]
    send(http, (noise_png(1), "a.png"))
    assert append(http, dataset_id, sent["image"])["outcomes"] == [["new", 1]]


@pytest.mark.parametrize("way", ["before", "with"])
def test_no_other_process_removes_a_file_between_its_steps(
    http: Any, dataset_id: str, store: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    from nucleus_pandas.server.media.files import FileStore
    from nucleus_pandas.server.nucleus import EmbeddedNucleus

    publish = FileStore.publish
    other = EmbeddedNucleus(store)

    def purged(self: FileStore, files: Any) -> None:
        other.purge()
        publish(self, files)
        other.purge()

    monkeypatch.setattr(FileStore, "publish", purged)
    if way == "before":
        append(http, dataset_id, send(http, (noise_png(1), "a.png"))[0]["image"])
    else:
        form = {"items": '[{"reference_id": "a"}]', "image": (io.BytesIO(noise_png(1)), "a.png")}
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

    send(http, (noise_png(2), "c.png"))
    let_wait(http, DAY + 1)
    http.nucleus.purge()
    monkeypatch.setattr("nucleus_pandas.server.media.files.os.fsync", full)
    assert send(http, (noise_png(1), "a.png"), (bytes(300_000), "b.png"))[0] == 507
    monkeypatch.undo()
    assert http.table("waiting") == http.table("released") == []
    assert files_in(http) == set()
    assert list(http.nucleus.images.incoming.iterdir()) == []
