"""A folder of images as a frame: what is listed, in which order, and what becomes of files that are no images."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd

DTYPES = {
    "reference_id": "text",
    "image_url": "text",
    "image_width": "Int64",
    "image_height": "Int64",
    "image_error": "text",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    made.mkdir()
    return made


def draw(path: Path, size: tuple[int, int] = (64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)
    return path


def as_listed(frame: pd.DataFrame) -> list[str]:
    names: list[str] = frame["reference_id"].tolist()
    return names


def test_images_are_listed_with_their_sizes_sorted_by_their_paths(folder: Path) -> None:
    for number, name in enumerate(["b.jpg", "a/z.png", "a.jpg", "a/b/c.JPG", "a/A.webp", "B.gif"], 10):
        draw(folder / name, (number, 2 * number))
    frame = npd.read_images(folder)
    assert as_listed(frame) == ["B.gif", "a.jpg", "a/A.webp", "a/b/c.JPG", "a/z.png", "b.jpg"]
    assert frame["image_url"].tolist() == [str(folder / name) for name in as_listed(frame)]
    assert frame["image_width"].tolist() == [15, 12, 14, 13, 11, 10]
    assert frame["image_height"].tolist() == [30, 24, 28, 26, 22, 20]
    assert frame["image_error"].isna().all()
    assert isinstance(frame.index, pd.RangeIndex)


@pytest.mark.parametrize("count", [0, 1])
def test_dtypes_do_not_depend_on_what_is_there(folder: Path, count: int) -> None:
    for number in range(count):
        draw(folder / f"{number}.png")
    frame = npd.read_images(str(folder))
    text = str(pd.Series(dtype="str").dtype)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        name: text if kind == "text" else kind for name, kind in DTYPES.items()
    }
    assert len(frame) == count


def test_what_is_hidden_or_not_called_as_a_image_is_left_out(folder: Path) -> None:
    for name in ("a.jpg", ".hidden.jpg", ".thumbnails/a.jpg", "b/.c/d.jpg", "b/._e.jpg", "b/f.jpg"):
        draw(folder / name)
    (folder / "labels.json").write_text("{}")
    (folder / "b" / "f.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert as_listed(npd.read_images(folder)) == ["a.jpg", "b/f.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["a.jpg", "b/c.png", "b/raw", "d.JPG", "notes.txt"]),
        ("*.jpg", ["a.jpg"]),
        ("*.[jJ][pP][gG]", ["a.jpg", "d.JPG"]),
        ("b/*", ["b/c.png", "b/raw"]),
        ("?.*", ["a.jpg", "d.JPG"]),
    ],
)
def test_a_pattern_says_which_files(folder: Path, pattern: str, expected: list[str]) -> None:
    for name in ("a.jpg", "b/c.png", "d.JPG"):
        draw(folder / name)
    draw(folder / "raw.png").rename(folder / "b" / "raw")
    (folder / "notes.txt").write_text("no image")
    frame = npd.read_images(folder, pattern=pattern)
    assert as_listed(frame) == expected
    assert frame["image_width"].isna().tolist() == [name == "notes.txt" for name in expected]


def test_a_pattern_that_nothing_matches_is_told(folder: Path) -> None:
    draw(folder / "a.jpg")
    with pytest.warns(npd.NucleusWarning, match=r"None of the 1 file in .* matches '\*\.png'; the first is 'a.jpg'"):
        assert len(npd.read_images(folder, pattern="*.png")) == 0


def test_files_that_are_not_called_as_images_are_told(folder: Path) -> None:
    draw(folder / "a.jpg").rename(folder / "a")
    draw(folder / "b.jpg").rename(folder / "b")
    with pytest.warns(npd.NucleusWarning, match=r"None of the 2 files .* pattern='\*' takes them all"):
        assert len(npd.read_images(folder)) == 0
    assert as_listed(npd.read_images(folder, pattern="*")) == ["a", "b"]


@pytest.mark.parametrize("name", ["ünï códe.jpg", 'it\'s "quoted".jpg', "a;b,c%20d&e.jpg", "日本/語.png", "a\nb.jpg"])
def test_hostile_names_are_read_and_sent(folder: Path, local: npd.NucleusClient, name: str) -> None:
    path = draw(folder / name)
    frame = npd.read_images(folder)
    assert as_listed(frame) == [name]
    dataset = local.create_dataset("Photos")
    npd.append(frame, dataset)
    stored = dataset.items.to_frame()
    assert as_listed(stored) == [name]
    assert Path(stored["image_url"].iloc[0]).read_bytes() == path.read_bytes()


def test_a_name_that_is_no_text_is_told(folder: Path) -> None:
    try:
        draw(folder / "a.png").rename(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    frame = npd.read_images(folder)
    assert as_listed(frame) == ["\N{REPLACEMENT CHARACTER}.png"]
    assert frame["image_error"].tolist() == ["has a name that is not UTF-8"]


def test_linked_folders_are_followed_once(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    draw(elsewhere / "a.jpg")
    (folder / "linked").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "back").symlink_to(folder, target_is_directory=True)
    (folder / "b.jpg").symlink_to(elsewhere / "a.jpg")
    assert as_listed(npd.read_images(folder)) == ["b.jpg", "linked/a.jpg"]


@pytest.fixture
def mixed(folder: Path) -> Path:
    """Three files that cannot be read as images, and two that can."""
    draw(folder / "a.jpg")
    (folder / "b.jpg").write_bytes(b"no image")
    (folder / "c.jpg").touch()
    (folder / "d.jpg").write_bytes(draw(folder / "e.jpg").read_bytes()[:20])
    (folder / "f.jpg").symlink_to("f.jpg")
    (folder / "g.jpg").symlink_to("nowhere")
    return folder


REASONS = {
    "b.jpg": "is text, not an image",
    "c.jpg": "is an empty file",
    "d.jpg": "is truncated or damaged before its size",
    "f.jpg": "cannot be read (Too many levels of symbolic links)",
    "g.jpg": "cannot be read (No such file or directory)",
}


def test_files_that_cannot_be_read_say_why(mixed: Path) -> None:
    frame = npd.read_images(mixed).set_index("reference_id")
    told = frame["image_error"].dropna().to_dict()
    assert told.keys() == REASONS.keys()
    assert told == REASONS or os.name == "nt" or "symbolic" not in told["f.jpg"]  # its words are the system's
    assert frame["image_width"].isna().equals(frame["image_error"].notna())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_that_are_forbidden_are_told(folder: Path) -> None:
    draw(folder / "a.jpg").chmod(0)
    assert npd.read_images(folder)["image_error"].tolist() == ["cannot be read (Permission denied)"]
    closed = draw(folder / "closed" / "b.jpg").parent
    closed.chmod(0)
    try:
        with pytest.raises(npd.InvalidInputError, match=r"closed' cannot be read \(Permission denied\)"):
            npd.read_images(folder)
    finally:
        closed.chmod(0o700)


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "a.jpg")
    frame = npd.read_images(folder)
    assert frame["image_error"].tolist() == ["is not a file"]


def test_append_refuses_what_could_not_be_read_for_that_reason(mixed: Path, local: npd.NucleusClient) -> None:
    frame = npd.read_images(mixed)
    dataset = local.create_dataset("Photos")
    with pytest.raises(npd.InvalidInputError, match="row 1: column 'image_url': is text, not an image") as caught:
        npd.append(frame, dataset)
    assert caught.value.problems is not None
    assert caught.value.problems["row"].tolist() == [1, 2, 3, 5, 6]
    assert len(dataset) == 0
    result = npd.append(frame, dataset, on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error", "error", "error", "new", "error", "error"]
    assert result.failed["reference_id"].tolist() == list(REASONS)
    assert as_listed(dataset.items.to_frame()) == ["a.jpg", "e.jpg"]
    assert "Mend the file, or drop the row" in result.rows["error"].iloc[1]


def test_the_column_of_reasons_may_be_called_otherwise(mixed: Path) -> None:
    frame = npd.read_images(mixed).rename(columns={"image_error": "why"})
    with pytest.warns(npd.NucleusWarning, match=r"1 local image may be damaged, or no image: '.*d\.jpg' is truncated"):
        files_alone = npd.check(frame, "items")["row"].tolist()
    assert files_alone == [1, 2, 5, 6]
    assert npd.check(frame, "items", columns={"image_error": "why"})["row"].unique().tolist() == [1, 2, 3, 5, 6]


def test_sizes_that_were_read_are_sent_and_read_back(folder: Path, local: npd.NucleusClient) -> None:
    draw(folder / "a.png", (7, 9))
    dataset = local.create_dataset("Photos")
    npd.append(npd.read_images(folder), dataset)
    stored = dataset.items.to_frame()
    assert stored[["image_width", "image_height"]].to_numpy().tolist() == [[7, 9]]
    again = local.create_dataset("Copy")
    stored.nucleus.append(again)
    assert as_listed(again.items.to_frame()) == ["a.png"]


@pytest.mark.parametrize("what", ["nowhere", "a.png", "", "a\0b", 7, None])
def test_what_is_no_folder_is_refused(folder: Path, what: object) -> None:
    draw(folder / "a.png")
    given = folder / what if isinstance(what, str) and what else what
    if given == "":
        given = folder / "a.png" / "b"
    with pytest.raises(npd.InvalidInputError, match="is not a folder"):
        npd.read_images(given)  # type: ignore[arg-type]


def test_many_images_are_read_in_order_with_little_memory(folder: Path) -> None:
    content = draw(folder / "0000.png", (3, 5)).read_bytes()
    for number in range(1, 700):
        (folder / f"{number:04}.png").write_bytes(content)
    with (folder / "0300.png").open("r+b") as file:
        file.truncate(200 << 20)
    tracemalloc.start()
    try:
        frame = npd.read_images(folder)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert as_listed(frame) == [f"{number:04}.png" for number in range(700)]
    assert frame["image_width"].eq(3).all()
