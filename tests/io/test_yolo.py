"""YOLO's label files as tools write them, and as nobody should."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.io.yolo import yaml_names
from tests.factories import SIDES, image_files
from tests.support.paths import VOC2012_100

VOC2012 = VOC2012_100
SIZES = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "width": [640, 100], "height": [480, 100]})


def labels(folder: Path, **files: str) -> Path:
    """A folder of label files, `__` standing for `/`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_images_without_boxes_are_images(tmp_path: Path) -> None:
    sizes = pd.DataFrame({"reference_id": ["c.jpg", "b.jpg", "a.jpg"], "width": 640, "height": 480})
    items, boxes = npd.read_yolo(labels(tmp_path, a="0 0.5 0.5 0.25 0.5\n", b=""), names=["car"], sizes=sizes)
    assert items["reference_id"].tolist() == ["c.jpg", "b.jpg", "a.jpg"]
    assert boxes["reference_id"].tolist() == ["a.jpg"]
    assert boxes.columns.tolist() == ["reference_id", "annotation_id", "label", "type", *SIDES, "metadata"]
    nothing = npd.read_yolo(labels(tmp_path / "none", b=""), names=["car"], sizes=sizes).annotations
    pd.testing.assert_series_equal(nothing.dtypes, boxes.dtypes)


def test_sizes_are_those_of_the_images(tmp_path: Path) -> None:
    images = tmp_path / "images"
    image_files(images, b=(100, 50), train__a=(640, 480))
    (images / "notes.md").write_text("no image")
    folder = labels(tmp_path / "labels", train__a="0 0.5 0.5 0.25 0.5", b="1 0.5 0.5 1 1")
    items, boxes = npd.read_yolo(folder, names=["car", "bus"], images=images)
    assert items["reference_id"].tolist() == ["b.png", "train/a.png"]
    assert items["image_url"].tolist() == [str(images / "b.png"), str(images / "train" / "a.png")]
    assert items[["image_width", "image_height"]].values.tolist() == [[100, 50], [640, 480]]
    assert boxes[["label", *SIDES]].values.tolist() == [["bus", 0, 0, 100, 50], ["car", 240, 120, 160, 240]]


def test_given_sizes_spare_looking_at_images(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (images / name).write_bytes(b"not read")
    sizes = SIZES.assign(image_url="https://e.org/x.jpg", metadata=[{"rain": True}, {}])
    items, _ = npd.read_yolo(labels(tmp_path / "labels", a=""), names=[], images=images, sizes=sizes)
    assert items[["image_width", "image_height"]].values.tolist() == [[640, 480], [100, 100]]
    assert items["image_url"].tolist() == [str(images / "a.jpg"), str(images / "b.jpg")]
    assert items["metadata"].tolist() == [{"rain": True}, {}]
    alone, _ = npd.read_yolo(tmp_path / "labels", names=[], sizes=sizes)
    assert alone["image_url"].tolist() == ["https://e.org/x.jpg"] * 2
    with pytest.raises(npd.InvalidInputError, match="b.jpg is text, not an image"):
        npd.read_yolo(tmp_path / "labels", names=[], images=images, sizes=SIZES[:1])


def test_pillow_is_needed_only_for_rare_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "images"
    image_files(images, a=(640, 480))
    monkeypatch.setitem(sys.modules, "PIL", None)
    items, _ = npd.read_yolo(labels(tmp_path / "labels", a=""), names=["car"], images=images)
    assert items[["image_width", "image_height"]].values.tolist() == [[640, 480]]
    (images / "b.ppm").write_bytes(b"P6 640 480 255 ")
    with pytest.raises(npd.InvalidInputError, match=r"b.ppm .* without Pillow: pip install 'nucleus_pandas\[local\]'"):
        npd.read_yolo(tmp_path / "labels", names=["car"], images=images)


def test_real_images_give_what_a_table_of_sizes_gives(tmp_path: Path) -> None:
    sizes = npd.read_coco(VOC2012 / "coco_cvat.json").items.sort_values("reference_id", ignore_index=True)
    for name, width, height in sizes[["reference_id", "image_width", "image_height"]].values.tolist():
        Image.new("L", (width, height)).save(tmp_path / name)
    folder = VOC2012 / "yolo" / "obj_train_data"
    from_images, from_sizes = npd.read_yolo(folder, images=tmp_path), npd.read_yolo(folder, sizes=sizes)
    pd.testing.assert_frame_equal(from_images.annotations, from_sizes.annotations)
    columns = ["reference_id", "image_width", "image_height"]
    pd.testing.assert_frame_equal(from_images.items[columns], from_sizes.items[columns])


@pytest.mark.parametrize(
    ("line", "box", "confidence"),
    [
        ("0 0.5 0.5 0.25 0.5", [240, 120, 160, 240], None),
        ("0.0 5e-1 .5 0.25 0.5\r", [240, 120, 160, 240], None),
        ("\t0   0.5 0.5 0.25\t0.5 ", [240, 120, 160, 240], None),
        ("0 0.5 0.5 0.25 0.5 0.4314181593105666", [240, 120, 160, 240], 0.4314181593105666),
        ("0 0 0 0.5 0.5", [-160, -120, 320, 240], None),
        ("0 1.004 0.5 0 0", [642.56, 240, 0, 0], None),
    ],
)
def test_a_line_is_a_class_and_a_box(line: str, box: list[float], confidence: float | None, tmp_path: Path) -> None:
    found = npd.read_yolo(labels(tmp_path, a=f"\n{line}\n\n"), names=["car"], sizes=SIZES).annotations.iloc[0]
    assert found[SIDES].tolist() == pytest.approx(box, abs=1e-12)
    assert found.get("confidence") == confidence
    assert found["metadata"] == {}


def test_a_polygon_becomes_the_box_around_it(tmp_path: Path) -> None:
    text = "0 0.25 0.5 0.75 0.5 0.75 1.0\n0 0.5 0.5 0.25 0.5\n"
    frames = npd.read_yolo(labels(tmp_path, a=text), names=["car"], sizes=SIZES)
    polygon = [[160.0, 240.0, 480.0, 240.0, 480.0, 480.0]]
    assert frames.annotations[SIDES].values.tolist() == [[160, 240, 320, 240], [240, 120, 160, 240]]
    assert frames.annotations["segmentation"].tolist() == [polygon, None]
    assert frames.annotations["metadata"].tolist() == [{"segmentation": polygon}, {}]
    assert npd.to_coco(*frames)["annotations"][0]["segmentation"] == polygon


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.25", "holds 4 numbers; a box has 5"),
        ("0", "holds 1 numbers"),
        ("0 0.5 0.5 0.25 0.5 0.5 0.5 0.5", "holds 8 numbers"),
        ("car 0.5 0.5 0.25 0.5", "is 'car 0.5 0.5 0.25 0.5'; a line holds numbers"),
        ("0,0.5,0.5,0.25,0.5", "a line holds numbers, separated by spaces"),
        ("0 0.5 0.5 nan 0.5", "not finite"),
        ("0 0.5 0.5 inf 0.5", "not finite"),
        ("-1 0.5 0.5 0.25 0.5", "begins with -1; the class is a whole number"),
        ("0.5 0.5 0.5 0.25 0.5", "begins with 0.5"),
        ("2 0.5 0.5 0.25 0.5", "is of class 2, which has no name; there are 2, 0 to 1"),
        ("0 174 101 175 250", "holds 250; places are fractions of the image"),
        ("0 0.5 -0.5 0.25 0.5", "holds -0.5; places are fractions"),
        ("0 0.5 0.5 -0.001 0.5", "has a negative width or height"),
        ("0 0.5 0.5 0.25 0.5 97", "ends with 97; a confidence lies in"),
        ("0 0.1 0.1 0.2 0.2 0.3 1.5", "holds 1.5; places are fractions"),
    ],
)
def test_a_wrong_line_is_refused_with_its_place(line: str, reason: str, tmp_path: Path) -> None:
    folder = labels(tmp_path, a=f"0 0.5 0.5 0.25 0.5\n{line}\n")
    with pytest.raises(npd.InvalidInputError, match="a.txt:2") as caught:
        npd.read_yolo(folder, names=["car", "bus"], sizes=SIZES)
    assert reason in str(caught.value)
    assert caught.value.problems["place"].tolist() == ["a.txt:2"]


def test_files_and_images_must_belong_together(tmp_path: Path) -> None:
    with pytest.raises(npd.InvalidInputError, match="c.txt has no image.*but 'a.jpg'"):
        npd.read_yolo(labels(tmp_path / "1", c=""), names=["car"], sizes=SIZES)
    twice = pd.DataFrame({"reference_id": ["a.jpg", "a.png"], "width": 1, "height": 1})
    with pytest.raises(npd.InvalidInputError, match="a.txt may belong to 'a.jpg', 'a.png'"):
        npd.read_yolo(labels(tmp_path / "2", a=""), names=["car"], sizes=twice)
    unsized = SIZES.assign(width=[None, 100])
    with pytest.raises(npd.InvalidInputError, match="a.jpg has no size"):
        npd.read_yolo(labels(tmp_path / "3", a="0 0.5 0.5 1 1"), names=["car"], sizes=unsized)
    items, _ = npd.read_yolo(labels(tmp_path / "4", a=""), names=["car"], sizes=unsized)
    assert items["image_width"].isna().tolist() == [True, False]
    with pytest.raises(npd.InvalidInputError, match="needs the sizes of the images"):
        npd.read_yolo(tmp_path / "4", names=["car"])
    with pytest.raises(npd.InvalidInputError, match="labels=: .*none does not exist"):
        npd.read_yolo(tmp_path / "none", names=["car"], sizes=SIZES)
    with pytest.raises(npd.InvalidInputError, match="images=: .*a.txt is not a folder"):
        npd.read_yolo(tmp_path / "4", names=["car"], images=tmp_path / "4" / "a.txt")


def test_names_of_images_may_lack_an_extension(tmp_path: Path) -> None:
    sizes = pd.DataFrame({"reference_id": ["a", "v1.5", "x/b.c.jpg"], "width": 10, "height": 10})
    folder = labels(tmp_path, **{"a": "0 0.5 0.5 1 1", "v1.5": "0 0.5 0.5 1 1", "x__b.c": "0 0.5 0.5 1 1"})
    assert (
        npd.read_yolo(folder, names=["car"], sizes=sizes).annotations["reference_id"].tolist()
        == sizes["reference_id"].tolist()
    )


def test_lists_of_images_and_classes_are_no_labels(tmp_path: Path) -> None:
    folder = labels(tmp_path, a="0 0.5 0.5 1 1", train="data/a.jpg\n", classes="car\nbus\n")
    assert npd.read_yolo(folder, sizes=SIZES).annotations["label"].tolist() == ["car"]


@pytest.mark.parametrize("where", [".", "..", "../.."])
@pytest.mark.parametrize(("name", "text"), [("classes.txt", "car\nbus"), ("my.names", "car\r\nbus\r\n\r\n")])
def test_the_names_file_is_found(where: str, name: str, text: str, tmp_path: Path) -> None:
    folder = labels(tmp_path / "x" / "labels" / "train", a="1 0.5 0.5 1 1")
    (folder / where / name).write_text(text, newline="")
    found = npd.read_yolo(folder, sizes=SIZES)
    assert found.annotations["label"].tolist() == ["bus"]
    assert found.items.attrs["yolo"] == {"names": ["car", "bus"]}


@pytest.mark.parametrize("inner", ["labels", "obj_train_data"])
def test_the_folder_above_stands_for_that_of_the_labels(inner: str, tmp_path: Path) -> None:
    labels(tmp_path / inner, x__a="0 0.5 0.5 1 1")
    (tmp_path / "train.txt").write_text("data/x/a.jpg")
    sizes = SIZES.assign(reference_id=["x/a.jpg", "b.jpg"])
    assert npd.read_yolo(tmp_path, names=["car"], sizes=sizes).annotations["reference_id"].tolist() == ["x/a.jpg"]


def test_a_names_file_that_is_missing_or_one_of_several_is_an_error(tmp_path: Path) -> None:
    folder = labels(tmp_path / "x" / "y" / "labels", a="")
    with pytest.raises(npd.InvalidInputError, match="no file of names .*Give the names in their order: names="):
        npd.read_yolo(folder, sizes=SIZES)
    for name in ("classes.txt", "data.yaml"):
        (folder.parent / name).write_text("names: [car]")
    with pytest.raises(npd.InvalidInputError, match=r"several files of names \(data.yaml, classes.txt\)"):
        npd.read_yolo(folder, sizes=SIZES)
    assert len(npd.read_yolo(folder, sizes=SIZES, names=folder.parent / "data.yaml").items) == 2


@pytest.mark.parametrize("names", [[""], [1], {"0": "car"}, {True: "car"}, [None]])
def test_names_are_texts_by_numbers(names: Any, tmp_path: Path) -> None:
    with pytest.raises(npd.InvalidInputError, match="names are strings, by whole numbers"):
        npd.read_yolo(labels(tmp_path, a=""), names=names, sizes=SIZES)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [car, bus]", ["car", "bus"]),
        ("names: ['car', \"bus\"] # two", ["car", "bus"]),
        (
            "names: [ 'traffic light', 'it''s, #1',\n  # more\n  \"a\\u00e9\\n\" ]\nnc: 3",
            ["traffic light", "it's, #1", "aé\n"],
        ),
        ("names: {0: car, 1: bus}", ["car", "bus"]),
        ("train: x\nnames:\n  0: car\n  1: 'bus'  # big\n\n  # end\nnc: 2\n", ["car", "bus"]),
        ("names:\n- car\n- bus: red\nval: x", None),
        ('names:\n- car\n- "bus: red"\nval: x', ["car", "bus: red"]),
        ("names:  # all\n  - car\n  - no\n  - 7", ["car", "no", "7"]),
        ("names:\r\n  0: car\r\n  1: bus\r\n", ["car", "bus"]),
        ("names: []", []),
        ("names:\n  0: &a car\n  1: *a", ["car", "car"]),
        ("names: classes.txt", None),
        ("names:\n  0: >-\n    car\n    bus", ["car bus"]),
        ("names:\n  zero: car", None),
        ("names:\n  0: car\n  0: bus", None),
        ("names:\n  0: 'car", None),
        ("names:\n  0: 'car' bus", None),
        ("names:\n  car", None),
        ('names:\n  0: "car', None),
        ("names:\n  0:", None),
        ("names:\n  0: car\n    1: bus", None),
        ("names: [car, bus", None),
        ("names: [car [bus]]", None),
        ("names: {0, 1}", None),
        ('names:\n  0: "\\q"', None),
        ("nc: 3", None),
        ("kpt_shape: [17, 3]\nnames: [person]", None),
    ],
)
def test_the_names_of_a_data_yaml(text: str, names: list[str] | None, tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(text, newline="")
    if names is None:
        with pytest.raises(npd.InvalidInputError, match=r"data.yaml: (line \d|2 faults|names:|kpt_shape|there is no)"):
            npd.read_yolo(labels(tmp_path / "labels", a=""), sizes=SIZES)
    else:
        assert npd.read_yolo(labels(tmp_path / "labels", a=""), sizes=SIZES).items.attrs["yolo"]["names"] == names


def test_names_that_were_written_are_read(tmp_path: Path) -> None:
    names = ["car", 'it\'s "x": #1, [y]', " \n\r\t\\", "ü\u2028\x85\x7f\0", "🐈", "no", "- a", "&b", "0"]
    npd.to_yolo(ITEMS, BOXES.iloc[:0], tmp_path, names=names)
    path = tmp_path / "data.yaml"
    assert yaml_names(path.read_text(encoding="utf-8"), str(path)) == dict(enumerate(names))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nc: 1\nnames:\n  0: 'car", "line \\d cannot be read as YAML: found unexpected end of stream"),
        ("names:\n  0: car\n  0: bus", "line 3 names class 0 a second time"),
        ("names:\n  0: car\n  one: bus", "line 3 has a key that is not the number of a class"),
        ("names:\n  - car\n  - [bus]", "line 3 has no name for class 1"),
        ("names: {1" + "0" * 400 + ": car}", "line 1 has a key that is not the number of a class"),
        ("[" * 100_000, "cannot be read as YAML"),
        ("? [a]\n: b", "there is no 'names:'"),
        ("names:\n  - \a", "cannot be read as YAML: unacceptable character"),
        ("names: &a [&b [*a, *a]]", "line 1 has no name"),
    ],
)
def test_faults_of_a_data_yaml_name_the_line(text: str, problem: str) -> None:
    with pytest.raises(npd.InvalidInputError, match=f"^data.yaml: .*{problem}"):
        yaml_names(text, "data.yaml")


ITEMS = pd.DataFrame({"reference_id": ["x/a.jpg", "b.png"], "width": [640, 100], "height": [480, 100]})
BOXES = pd.DataFrame(
    {"reference_id": "x/a.jpg", "label": ["dog", "cat"], "x": [240.0, 0], "y": [120.0, 0], "width": [160.0, 640]}
).assign(height=[240.0, 480])


def written(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_files_are_written_below_labels(tmp_path: Path) -> None:
    npd.to_yolo(ITEMS, BOXES.assign(confidence=[0.1 + 0.2, None]), tmp_path / "new")
    assert written(tmp_path / "new") == {
        "labels/x/a.txt": "1 0.500000 0.500000 0.250000 0.500000 0.30000000000000004\n"
        "0 0.500000 0.500000 1.000000 1.000000\n",
        "labels/b.txt": "",
        "data.yaml": "train: images\nval: images\nnames:\n  0: cat\n  1: dog\n",
    }


def test_classes_are_numbered_as_they_were_read_or_as_asked(tmp_path: Path) -> None:
    folder = labels(tmp_path / "in", a="2 0.5 0.5 1 1")
    items, boxes = npd.read_yolo(folder, names={0: "cat", 2: "dog"}, sizes=SIZES)
    npd.to_yolo(items, boxes.assign(label="bus"), tmp_path / "out")
    assert written(tmp_path / "out")["labels/a.txt"][:2] == "3 "
    npd.to_yolo(items, boxes, tmp_path / "out")
    assert npd.read_yolo(tmp_path / "out", sizes=SIZES).items.attrs["yolo"]["names"] == ["cat", "class 1", "dog"]
    npd.to_yolo(items, boxes, tmp_path / "out", names=["dog"])
    assert written(tmp_path / "out")["labels/a.txt"][:2] == "0 "
    with pytest.raises(npd.InvalidInputError, match="row 0: column 'label': is 'dog', which is not among names="):
        npd.to_yolo(items, boxes, tmp_path / "out", names=["cat"])


@pytest.mark.parametrize(
    ("items", "boxes", "reason"),
    [
        (ITEMS.assign(width=[None, 1]), BOXES, "row 0: column 'image_width': is missing, but places in YOLO"),
        (ITEMS.drop(columns="height"), BOXES, "row 0: column 'image_height': is missing"),
        (ITEMS, BOXES.assign(x=[700, 0]), "row 0: column 'x': puts the centre of the box outside of the image"),
        (ITEMS, BOXES.assign(y=[-700, 0]), "row 0: column 'y': puts the centre"),
        (
            ITEMS,
            BOXES.assign(x=-10, width=[160, 700]),
            "row 1: column 'width': is larger than the image, which has 640",
        ),
        (ITEMS, BOXES.assign(reference_id="c.jpg"), "row 0: column 'reference_id': is 'c.jpg'"),
        (ITEMS.assign(reference_id=["x/a.jpg", "x/a.png"]), BOXES, "is 'x/a.png', and 'x/a.jpg' has the same file"),
        (ITEMS.assign(reference_id=["x/a.jpg", "../a.jpg"]), BOXES, "is '../a.jpg', which leaves the folder"),
        (ITEMS.assign(reference_id=["x/a.jpg", "/etc/a.jpg"]), BOXES, "is '/etc/a.jpg', which is an absolute path"),
        (ITEMS.assign(reference_id=["x/a.jpg", "a\0.jpg"]), BOXES, "which is not a file name"),
        (ITEMS.assign(reference_id=["x/a.jpg", "a//b.jpg"]), BOXES, "which is not a file name"),
    ],
)
def test_what_cannot_be_written_is_refused_by_row(items: Any, boxes: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(npd.InvalidInputError) as caught:
        npd.to_yolo(items, boxes, tmp_path / "out")
    assert reason in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_boxes_at_the_edge_are_written_within_the_image(tmp_path: Path) -> None:
    boxes = BOXES[:1].assign(x=-1e-9, y=480, width=0, height=1e-9)
    npd.to_yolo(ITEMS, boxes, tmp_path)
    assert written(tmp_path)["labels/x/a.txt"] == "0 0.000000 1.000000 0.000000 0.000000\n"


def test_shapes_that_are_no_boxes_are_left_out(tmp_path: Path) -> None:
    boxes = BOXES.assign(
        type=["box", "polygon"],
        geometry=[None, {"vertices": [{"x": 0, "y": 0}]}],
        **{side: [2.0, None] for side in SIDES},
    )
    with pytest.warns(npd.NucleusWarning, match="1 rows are left out: YOLO holds boxes, and they are of type polygon"):
        npd.to_yolo(ITEMS, boxes, tmp_path)
    assert written(tmp_path)["labels/x/a.txt"].count("\n") == 1


def test_writing_again_replaces_the_files(tmp_path: Path) -> None:
    npd.to_yolo(ITEMS, BOXES, tmp_path)
    npd.to_yolo(ITEMS, BOXES[:1], tmp_path)
    assert written(tmp_path)["labels/x/a.txt"].count("\n") == 1


def test_six_decimals_are_half_a_millionth_of_the_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    side = np.array([640, 480])
    low, high = np.sort(rng.uniform(0, 1, (2, 500, 2)), axis=0) * side
    boxes = pd.DataFrame(np.hstack([low, high - low]), columns=SIDES).assign(reference_id="x/a.jpg", label="dog")
    npd.to_yolo(ITEMS, boxes, tmp_path)
    back = npd.read_yolo(tmp_path, sizes=ITEMS).annotations[SIDES].to_numpy()
    centre_and_size = np.hstack([low + (high - low) / 2, high - low]) / np.tile(side, 2)
    read = np.hstack([back[:, :2] + back[:, 2:] / 2, back[:, 2:]]) / np.tile(side, 2)
    assert np.abs(read - centre_and_size).max() <= 0.5e-6 + 1e-12


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    sizes = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "width": 640, "height": 480})
    with pytest.raises(npd.InvalidInputError, match=r"contains no \.txt file, of which YOLO has one per image"):
        npd.read_yolo(tmp_path, names=["car"], sizes=sizes)
    (tmp_path / "a.txt").touch()
    items, boxes = npd.read_yolo(tmp_path, names=["car"], sizes=sizes)
    assert (len(items), len(boxes)) == (2, 0)
