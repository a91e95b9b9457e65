"""Image files that cannot be sent: each on its own account."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.transport.multipart import Multipart
from tests.factories import marked_png
from tests.support.faulty_proxy import FaultyProxy, Request
from tests.support.private import forget_extensions
from tests.support.stored_files import check_whole
from tests.uploads.images.files import contents, frame_of, hashes, is_images, names_in, other


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
        again = npd.append(result.failed, stored, image_check=False)  # it may be cut now
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
        forget_extensions(client)
        proxy.plan = spoil
        result = npd.append(frame, dataset, on_error="collect")
    assert result.rows.index[result.rows["status"] == "error"].tolist() == [3, 4, 10, 39]
    reasons = result.rows["error"].dropna().tolist()
    assert "can no longer be read: No such file or directory" in reasons[0]
    assert "is empty now" in reasons[1]
    assert all("is not a file now" in reason for reason in reasons[2:])
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
    forget_extensions(distant)
    proxy.plan = lambda request: Path(frame["image_url"][1]).chmod(0)
    result = npd.append(frame, dataset, on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error", "new"]
    assert "can no longer be read: Permission denied" in result.rows["error"][1]


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
    Path(frame["image_url"][0]).write_text("no image")
    Image.new("RGB", (64, 48)).save(frame["image_url"][1])
    dataset = client.create_dataset("Photos")
    npd.append(frame, dataset, image_check=False)
    stored = dataset.items.to_frame()
    assert stored["image_width"].isna().tolist() == [True, False]
    assert stored.loc[stored.index[1], ["image_width", "image_height"]].tolist() == [64, 48]


def test_a_image_that_claims_very_many_pixels_is_stored_with_that_size(
    client: npd.NucleusClient, tmp_path: Path
) -> None:
    from tests.schema.test_image_headers import claiming

    (tmp_path / "a.png").write_bytes(claiming("PNG", 60_000, 60_000))
    dataset = client.create_dataset("Photos")
    dataset.append([{"reference_id": "a", "image_url": str(tmp_path / "a.png")}])
    assert dataset.items.to_frame()[["image_width", "image_height"]].to_numpy().tolist() == [[60_000, 60_000]]


def test_a_size_in_the_frame_goes_before_that_of_the_header(client: npd.NucleusClient, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    frame = pd.DataFrame({"reference_id": ["a", "b"], "image_url": str(tmp_path / "a.png"), "width": [7, None]})
    dataset = client.create_dataset("Photos")
    npd.append(frame, dataset)
    assert dataset.items.to_frame()[["image_width", "image_height"]].to_numpy().tolist() == [[7, 48], [64, 48]]


@pytest.mark.parametrize("fault", ["500", "503", "answer lost", "cut before", "an object, 200", "429"])
def test_a_request_that_fails_for_good_leaves_the_others(
    proxy: FaultyProxy, distant: npd.NucleusClient, tmp_path: Path, store: Path, fault: str
) -> None:
    frame = frame_of(tmp_path / "images", 12)
    dataset = distant.create_dataset("Photos")
    Path(frame["image_url"][4]).write_bytes(marked_png(bytes(5_000)))
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
