"""Servers that die while images arrive, and memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import nucleus_pandas as npd
from tests.support.server_process import Served
from tests.support.stored_files import check_purged, check_whole
from tests.uploads.images.files import contents, frame_of, hashes, names_in

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
            assert stored["image_width"].tolist() == [64, 64]
            name = unquote(stored["image_url"].iloc[1].split("/images/")[1])
    assert (store / "images" / name).stat().st_size == 300 << 20
