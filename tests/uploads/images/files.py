"""Image files on their way: what is sent and what is stored."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pandas as pd

import nucleus_pandas as npd
from tests.factories import marked_png
from tests.support.faulty_proxy import Request
from tests.support.stored_files import files_of


def frame_of(folder: Path, count: int, size: int = 0) -> pd.DataFrame:
    """Files, none like another, as a frame of paths; `size` bytes at least."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(marked_png(b"image %d of %b " % (number, folder.name.encode()) + bytes(size)))
    return pd.DataFrame({"reference_id": [path.name for path in paths], "image_url": [str(path) for path in paths]})


def names_in(dataset: npd.Dataset) -> list[str]:
    found: list[str] = dataset.items.to_frame()["reference_id"].tolist()
    return found


def contents(dataset: npd.Dataset, store: Path) -> dict[str, str]:
    """Return the hash by which the file of each item is named; it is there, and is what its name says."""
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


def other(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(50)  # in the mark
        file.write(b"IMAGE")
    os.utime(path, ns=(1, 1))


def stored_files(store: Path) -> set[str]:
    return files_of(store, "images")


def send(http: Any, *files: tuple[bytes, str], part: str = "image") -> Any:
    form = {part: [(io.BytesIO(content), name) for content, name in files]}
    with http.client.post("http://127.0.0.1/v1/nucleus/_nucleus_pandas/images", data=form) as response:
        found = response.json
        return found["images"] if response.status_code == 200 else (response.status_code, found["error"])


def append(http: Any, dataset: str, *names: str, **fields: Any) -> Any:
    items = [{"reference_id": f"{number}", "image": name} for number, name in enumerate(names)]
    return http("POST", f"_nucleus_pandas/dataset/{dataset}/append", {"items": items, **fields})


def files_in(http: Any) -> set[str]:
    return stored_files(http.nucleus.folder)
