"""Local files that data files name: only those in the folder of the data, or in one that the caller names, are sent."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.cli import main
from tests.factories import marked_png


@pytest.fixture
def dataset() -> Iterator[npd.Dataset]:
    with npd.NucleusClient.local() as client:
        yield client.create_dataset("D")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "private" / "key.png"
    path.parent.mkdir()
    path.write_bytes(marked_png(b"secret"))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.png").write_bytes(marked_png(b"a"))
    return folder


def parquet(folder: Path, *urls: object, name: str = "items.parquet") -> Path:
    path = folder / name
    names = [f"r{number}" for number in range(len(urls))]
    pd.DataFrame({"reference_id": names, "image_url": list(map(str, urls))}).to_parquet(path)
    return path


def routes(secret: Path, data: Path) -> dict[str, str]:
    """Ways by which a file may name one outside."""
    link = data / "images" / "link.png"
    link.symlink_to(secret)
    (data / "folder").symlink_to(secret.parent, target_is_directory=True)
    return {
        "absolute": str(secret),
        "dots": str(data / "images" / ".." / ".." / "private" / "key.png"),
        "link": str(link),
        "linked folder": str(data / "folder" / "key.png"),
        "url": secret.as_uri(),
        "relative": os.path.relpath(secret),
    }


@pytest.mark.parametrize("way", ["absolute", "dots", "link", "linked folder", "url", "relative"])
@pytest.mark.parametrize("whole", ["file", "folder", "pattern"])
def test_a_file_outside_is_not_sent(
    way: str, whole: str, dataset: npd.Dataset, secret: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    path = parquet(data, data / "images" / "a.png", routes(secret, data)[way])
    source = {"file": path, "folder": data, "pattern": f"{data}/*.parquet"}[whole]
    with pytest.raises(npd.UploadError, match=r"row 1, column 'image_url'.*allow_outside=True"):
        npd.import_parquet(source, dataset, "items", progress=False)
    assert dataset.items["reference_id"].tolist() == ["r0"]
    result = npd.import_parquet(source, dataset, "items", progress=False, allow_outside=True)
    assert result.new + result.already_sent >= 1
    assert len(dataset.items) == 2


def test_absolute_paths_inside_are_sent(dataset: npd.Dataset, data: Path) -> None:
    path = parquet(data, data / "images" / "a.png", (data / "images" / "a.png").as_uri())
    assert npd.import_parquet(path, dataset, "items", progress=False).new == 2


def test_the_folder_of_images_may_be_elsewhere(dataset: npd.Dataset, data: Path, tmp_path: Path) -> None:
    shutil.move(data / "images", tmp_path / "elsewhere")
    path = parquet(data, "a.png", tmp_path / "elsewhere" / "a.png")
    result = npd.import_parquet(path, dataset, "items", progress=False, images=tmp_path / "elsewhere")
    assert result.new == 2


def test_relative_paths_that_the_folder_has_are_explained(
    dataset: npd.Dataset, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = parquet(data, "images/a.png")
    with pytest.raises(npd.UploadError, match=r"images='[^']*data'") as caught:
        npd.import_parquet(path, dataset, "items", progress=False)
    named = str(caught.value).split("images='")[1].split("'")[0]
    assert npd.import_parquet(path, dataset, "items", progress=False, images=named).new == 1


def test_hidden_files_do_not_count(dataset: npd.Dataset, data: Path) -> None:
    (data / ".ssh").mkdir()
    (data / ".ssh" / "key.png").write_bytes(marked_png(b"k"))
    path = parquet(data, data / ".ssh" / "key.png")
    with pytest.raises(npd.UploadError, match="is hidden"):
        npd.import_parquet(path, dataset, "items", progress=False)


def test_rejected_rows_are_collected(dataset: npd.Dataset, data: Path, secret: Path) -> None:
    path = parquet(data, data / "images" / "a.png", secret)
    result = npd.import_parquet(path, dataset, "items", progress=False, on_error="collect")
    assert (result.new, result.failed) == (1, 1)


def test_our_own_exports_are_imported_unchanged(data: Path, tmp_path: Path) -> None:
    with npd.NucleusClient.local(tmp_path / "store") as client:
        first, second = client.create_dataset("A"), client.create_dataset("B")
        first.append(pd.DataFrame({"reference_id": ["a"], "image_url": [str(data / "images" / "a.png")]}), local=True)
        first.to_parquet(tmp_path / "export", what=["items"])
        assert npd.import_parquet(f"{tmp_path}/export/items*", second, "items", progress=False).new == 1


def coco(folder: Path, name: object) -> Path:
    path = folder / "instances.json"
    images = [{"id": 1, "file_name": str(name), "width": 1, "height": 1}]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return path


@pytest.mark.parametrize("way", ["absolute", "dots", "link", "linked folder"])
def test_coco_files_name_no_image_outside(way: str, dataset: npd.Dataset, secret: Path, data: Path) -> None:
    path = coco(data, routes(secret, data)[way])
    with pytest.raises(npd.InvalidInputError, match="allow_outside=True"):
        npd.read_coco(path, images=data / "images")
    assert len(npd.read_coco(path, images=data / "images", allow_outside=True).items) == 1
    with pytest.raises(npd.InvalidInputError, match="allow_outside=True"):
        npd.import_files(path, dataset, "coco", images=data / "images", progress=False)
    assert len(dataset.items) == 0


def test_the_command_line_names_its_flag(
    secret: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = parquet(data, secret)
    store = tmp_path / "store"
    with npd.NucleusClient.local(store) as client:
        client.create_dataset("D")
    arguments = ["import", str(path), "D", "--store", str(store), "--no-progress"]
    assert main(arguments) != 0
    shown = capsys.readouterr()
    assert "--allow-outside" in shown.err + shown.out
    assert "allow_outside=True" not in shown.err + shown.out
    assert main([*arguments, "--allow-outside"]) == 0


def test_append_warns_of_files_outside_the_working_folder(
    dataset: npd.Dataset, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"reference_id": ["a"], "image_url": [str(data / "images" / "a.png")]})
    with pytest.warns(npd.NucleusWarning, match="1 local file outside the working folder.*local=True") as caught:
        dataset.append(frame)
    assert len(caught) == 1
    dataset.append(frame, local=True, if_exists="update")  # says that it is intended
    monkeypatch.chdir(data)
    dataset.append(frame.assign(image_url="images/a.png"), if_exists="update")
