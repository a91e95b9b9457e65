"""Images are stored once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.factories import noise_png
from tests.support.private import send_request
from tests.uploads.images.files import contents, frame_of, hashes, names_in, stored_files


def test_the_same_image_under_many_ids_is_stored_once(client: npd.NucleusClient, tmp_path: Path, store: Path) -> None:
    content = noise_png(1)
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
    (tmp_path / "a.png").write_bytes(noise_png(1))
    frame = pd.DataFrame({"reference_id": ["a", "b"], "image_url": str(tmp_path / "a.png")})
    dataset = client.create_dataset("Photos")
    npd.append(frame, dataset, batch_size=1)
    delete = lambda name: send_request(client, "DELETE", "dataset", dataset.id, "refloc", name)  # noqa: E731
    delete("a")
    assert contents(dataset, store) == {"b": hashlib.sha256(noise_png(1)).hexdigest()}
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
