"""COCO files as tools write them, and as nobody should: a frame, or an error that names the place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.support.paths import COCO_VAL2014_100

IMAGE = {"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}
BOX = {"id": 7, "image_id": 1, "category_id": 3, "bbox": [10.0, 20.0, 30.0, 60.0], "area": 1800.0, "iscrowd": 0}
WHOLE = {"images": [IMAGE], "annotations": [BOX], "categories": [{"id": 3, "name": "car"}]}
RLE = {"size": [4, 3], "counts": [5, 2, 5]}


def coco(*, image: Any = None, box: Any = None, category: Any = None, **parts: Any) -> dict[str, Any]:
    """A sound file with some keys set; those set to ... are taken out."""
    whole = copy.deepcopy(WHOLE)
    for entry, changes in (
        (whole["images"][0], image),
        (whole["annotations"][0], box),
        (whole["categories"][0], category),
    ):
        entry.update(changes or {})
        for key in [key for key, value in entry.items() if value is ...]:
            del entry[key]
    return {key: value for key, value in (whole | parts).items() if value is not ...}


def row(source: Any, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = npd.read_coco(source, **options).annotations.iloc[0].to_dict()
    return found


def item(source: Any, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = npd.read_coco(source, **options).items.iloc[0].to_dict()
    return found


LABEL_STUDIO = {
    "images": [{"width": 640, "height": 480, "id": 0, "file_name": "images/0a-b.jpg"}],
    "categories": [{"id": 0, "name": "Airplane"}],
    "annotations": [
        {
            "id": 0,
            "image_id": 0,
            "category_id": 0,
            "segmentation": [],
            "bbox": [1.5, 2, 3, 4],
            "ignore": 0,
            "iscrowd": 0,
        }
        | {"area": 12.0}
    ],
    "info": {"year": 2022, "version": "1.0", "contributor": "Label Studio"},
}
FIFTYONE = {
    "info": {"year": "", "version": "", "description": "Exported from FiftyOne"},
    "licenses": [],
    "categories": [{"id": 0, "name": "cat", "supercategory": None}],
    "images": [{"id": 1, "file_name": "a.jpg", "height": 480, "width": 640, "license": None, "coco_url": None}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 0, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0, "truncated": True}
        | {"segmentation": [[1, 2, 4, 2, 4, 6]]}
    ],
}


@pytest.mark.parametrize("whole", [LABEL_STUDIO, FIFTYONE], ids=["Label Studio", "FiftyOne"])
def test_what_tools_write_comes_back(whole: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(json.dumps(whole))
    assert npd.to_coco(*npd.read_coco(tmp_path / "f.json")) == whole


def test_everything_that_has_no_column_is_metadata() -> None:
    segmentation = [[10, 20, 40, 20, 40, 80]]
    source = coco(image={"license": 4, "date_captured": "2013"}, box={"attributes": {"rain": True}, "track": None})
    source["annotations"][0]["segmentation"] = segmentation
    assert item(source)["metadata"] == {"id": 1, "license": 4, "date_captured": "2013"}
    found = row(source)
    assert found["metadata"] == {
        "id": 7,
        "category_id": 3,
        "area": 1800.0,
        "iscrowd": 0,
        "attributes": {"rain": True},
        "track": None,
        "segmentation": segmentation,
    }
    assert (found["area"], found["iscrowd"], found["segmentation"]) == (1800.0, False, segmentation)


TEXT = "str" if pd.__version__ >= "3" else "object"


@pytest.mark.parametrize("source", [WHOLE, {**WHOLE, "annotations": []}, {**WHOLE, "images": [], "annotations": []}])
def test_dtypes_do_not_depend_on_the_rows(source: dict[str, Any]) -> None:
    items, boxes = npd.read_coco(source)
    texts = dict.fromkeys(["reference_id", "annotation_id", "label", "type"], TEXT)
    numbers = dict.fromkeys(["x", "y", "width", "height", "area"], "float64")
    assert boxes.dtypes.astype(str).to_dict() == {
        **texts,
        **numbers,
        "iscrowd": "bool",
        "segmentation": "object",
        "metadata": "object",
    }
    sizes = {"image_width": "Int64", "image_height": "Int64"}
    assert items.dtypes.astype(str).to_dict() == {
        "reference_id": TEXT,
        "image_url": TEXT,
        **sizes,
        "metadata": "object",
    }


@pytest.mark.parametrize(
    ("changes", "width"),
    [
        ({}, 640),
        ({"width": "640"}, 640),
        ({"width": 640.0}, 640),
        ({"width": ""}, None),
        ({"width": ...}, None),
        ({"width": None}, None),
        ({"width": 0}, None),
    ],
)
def test_sizes_may_be_text_or_missing(changes: dict[str, Any], width: object) -> None:
    found = item(coco(image=changes))["image_width"]
    assert pd.isna(found) if width is None else found == width


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ({"file_name": "train/a.jpg"}, "train/a.jpg"),
        ({"file_name": "train\\a.jpg"}, "train/a.jpg"),
        ({"file_name": 7}, "7"),
        ({"file_name": ...}, "1"),
        ({"file_name": ..., "coco_url": "http://e.org/val/b.jpg"}, "b.jpg"),
        ({"file_name": "", "flickr_url": "http://e.org/c.jpg"}, "c.jpg"),
    ],
)
def test_images_are_called_as_the_file_calls_them(image: dict[str, Any], name: str) -> None:
    source = coco(image=image)
    frames = npd.read_coco(source)
    assert frames.items["reference_id"].tolist() == frames.annotations["reference_id"].tolist() == [name]
    if image["file_name"] is not ... and image["file_name"] != "":
        assert npd.to_coco(*frames)["images"] == source["images"]


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ({"coco_url": "http://e.org/a.jpg", "flickr_url": "http://f.org/a.jpg"}, "http://e.org/a.jpg"),
        ({"coco_url": "", "flickr_url": "http://f.org/a.jpg"}, "http://f.org/a.jpg"),
        ({"file_name": "s3://bucket/a.jpg"}, "s3://bucket/a.jpg"),
        ({"coco_url": "/etc/passwd"}, None),
        ({"coco_url": "file:///etc/passwd"}, None),
        ({"coco_url": None}, None),
    ],
)
def test_only_addresses_are_taken_from_a_file(image: dict[str, Any], url: str | None) -> None:
    found = item(coco(image=image))["image_url"]
    assert (None if pd.isna(found) else found) == url


def test_a_folder_of_images_gives_their_paths(tmp_path: Path) -> None:
    assert item(coco(image={"file_name": "x/a.jpg"}), images=tmp_path)["image_url"] == str(tmp_path / "x" / "a.jpg")
    inside = str(tmp_path / "a.jpg")
    assert item(coco(image={"file_name": inside}), images=tmp_path)["image_url"] == inside
    results = [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 1}]
    for truth in (WHOLE, npd.read_coco(WHOLE)):
        assert item(results, images=tmp_path, ground_truth=truth)["image_url"] == str(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.jpg", "x/../../a.jpg", "..\\a.jpg", "a\0.jpg", "."])
def test_no_name_leads_out_of_the_folder_of_images(name: str, tmp_path: Path) -> None:
    source = coco(image={"file_name": name})
    with pytest.raises(npd.InvalidInputError, match=r"images\[0\].file_name is .* not below images="):
        npd.read_coco(source, images=tmp_path)
    results = [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 1}]
    with pytest.raises(npd.InvalidInputError, match="not below images="):
        npd.read_coco(results, images=tmp_path, ground_truth=npd.read_coco(source))


def test_the_folder_of_images_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(npd.InvalidInputError, match="none does not exist"):
        npd.read_coco(WHOLE, images=tmp_path / "none")


@pytest.mark.parametrize(
    "box",
    [
        {"image_id": "1"},
        {"image_id": 1.0},
        {"category_id": "3"},
        {"bbox": ["10", "20", "30", "60"]},
        {"bbox": (10, 20, 30, 60)},
        {"area": "1800"},
        {"iscrowd": ""},
        {"iscrowd": False},
        {"iscrowd": ...},
        {"score": None},
        {"score": ""},
    ],
)
def test_numbers_may_be_text_and_flags_missing(box: dict[str, Any]) -> None:
    found = row(coco(box=box))
    if "confidence" not in found:
        assert (found["area"], found["iscrowd"]) == (1800.0, False)
    assert [found[name] for name in ("reference_id", "label", "x", "y", "width", "height")] == [
        "a.jpg",
        "car",
        10.0,
        20.0,
        30.0,
        60.0,
    ]


@pytest.mark.parametrize(("value", "is_crowd"), [(1, True), ("1", True), (True, True), (0, False), ("0", False)])
def test_crowds_are_flagged_as_evaluations_read_them(value: object, is_crowd: bool) -> None:
    frames = npd.read_coco(coco(box={"iscrowd": value}))
    assert frames.annotations["iscrowd"].tolist() == [is_crowd]
    assert npd.to_coco(*frames)["annotations"][0]["iscrowd"] == int(is_crowd)
    assert (
        npd.to_coco(frames.items, frames.annotations.drop(columns="iscrowd"))["annotations"][0]["iscrowd"] == is_crowd
    )


@pytest.mark.parametrize("area", [..., "", None])
def test_what_is_missing_is_filled_in_when_it_is_written(area: Any) -> None:
    source = coco(box={"area": area, "iscrowd": ..., "id": ...})
    frames = npd.read_coco(source)
    assert np.isnan(frames.annotations["area"]).all()
    written = npd.to_coco(*frames)
    assert written["annotations"] == [{**BOX, "id": 1, "segmentation": []}]


@pytest.mark.parametrize(
    ("ids", "kept", "written"),
    [
        ([7, 8], ["7", "8"], [7, 8]),
        (["7", "x"], ["7", "x"], ["7", "x"]),
        ([7, 7], [None, None], [7, 8]),
        ([7, "7"], [None, None], [7, 8]),
        ([..., 7], [None, "7"], [8, 7]),
        ([None, ...], [None, None], [1, 2]),
        ([9000000000000000001, 2], ["9000000000000000001", "2"], [9000000000000000001, 2]),
    ],
)
def test_ids_are_kept_where_they_are_unique(ids: list[Any], kept: list[Any], written: list[Any]) -> None:
    boxes = [{key: value for key, value in {**BOX, "id": each}.items() if value is not ...} for each in ids]
    frames = npd.read_coco(coco(annotations=boxes))
    assert [None if pd.isna(each) else each for each in frames.annotations["annotation_id"]] == kept
    assert [each["id"] for each in npd.to_coco(*frames)["annotations"]] == written


@pytest.mark.parametrize(
    ("segmentation", "box"),
    [([[1, 2, 4, 2, 4, 6]], [1, 2, 3, 4]), ([1, 2, 4, 2, 4, 6], [1, 2, 3, 4]), (RLE, [1, 1, 1, 2])],
)
@pytest.mark.parametrize("absent", [..., None, [], ""])
def test_a_missing_box_is_computed_from_the_segmentation(segmentation: Any, box: list[int], absent: Any) -> None:
    frames = npd.read_coco(coco(box={"bbox": absent, "segmentation": segmentation}))
    assert frames.annotations[["x", "y", "width", "height"]].iloc[0].tolist() == box
    assert frames.annotations["metadata"][0]["bbox_source"] == "segmentation"
    written = npd.to_coco(*frames)["annotations"][0]
    assert (written["bbox"], written["segmentation"], "bbox_source" in written) == (box, segmentation, False)


def test_a_category_may_be_there_twice_under_one_name() -> None:
    source = coco(categories=[{"id": 3, "name": "car"}, {"id": 5, "name": "car"}, {"id": 9, "name": 9}])
    source["annotations"] = [BOX, {**BOX, "id": 8, "category_id": 5}, {**BOX, "id": 9, "category_id": 9}]
    frames = npd.read_coco(source)
    assert frames.annotations["label"].tolist() == ["car", "car", "9"]
    assert [each["category_id"] for each in npd.to_coco(*frames)["annotations"]] == [3, 5, 9]


def test_a_file_may_begin_with_a_mark_and_hold_nan(tmp_path: Path) -> None:
    path = tmp_path / "ünï.json"
    text = json.dumps(coco(category={"name": "ünï"}, box={"area": float("nan"), "depth": [float("nan")]}))
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text(text, encoding=encoding)
        frames = npd.read_coco(path)
        assert frames.annotations["label"].tolist() == ["ünï"]
        assert np.isnan(frames.annotations["area"][0])
        written = npd.to_coco(*frames, path)["annotations"][0]
        assert (written["area"], written["depth"]) == (1800.0, [None])


def test_integers_may_be_of_any_size(tmp_path: Path) -> None:
    source = coco(image={"id": 10**30}, box={"image_id": 10**30, "hash": 10**40, "segmentation": []})
    npd.to_coco(*npd.read_coco(source), tmp_path / "f.json")
    assert json.loads((tmp_path / "f.json").read_text()) == source
    assert npd.to_coco(*npd.read_coco(tmp_path / "f.json")) == source


def test_of_repeated_keys_the_last_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps(WHOLE).replace('"file_name": "a.jpg"', '"file_name": "b.jpg", "file_name": "a.jpg"'))
    assert npd.read_coco(path).items["reference_id"].tolist() == ["a.jpg"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("{", "is not valid JSON"),
        (json.dumps(WHOLE)[:-9], "is not valid JSON.*Is it complete"),
        ("<html>", "is not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"images": [{"id": 1, "file_name": "\\ud800"}]}', "half a surrogate pair"),
        ('{"images": [{"id": 1, "width": -Infinity}]}', "it contains -Infinity, which JSON does not have"),
        ("7", "holds a int"),
        ("null", "holds a NoneType"),
        ("{}", "there is no 'images' in it, but nothing"),
        ('{"imgs": []}', "there is no 'images' in it, but 'imgs'"),
        ("[]", "is a list.*ground_truth='instances.json'"),
    ],
)
def test_what_is_no_coco_is_refused_with_its_name(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(npd.InvalidInputError, match=f"(?s){path.name}.*{reason}"):
        npd.read_coco(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(b'{"images": [{"id": 1, "file_name": "\xff"}]}')
    with pytest.raises(npd.InvalidInputError, match="f.json is not text in utf-8"):
        npd.read_coco(path)


@pytest.mark.parametrize(
    ("source", "place", "reason"),
    [
        (coco(images=3), "images", "is a int; it must be a list"),
        (coco(images=None), "", "there is no 'images'"),
        (coco(images=[3]), "images[0]", "is 3; it must be an object"),
        (coco(annotations={}), "annotations", "is a dict"),
        (coco(annotations=[BOX, []]), "annotations[1]", "is []"),
        (
            coco(categories=...),
            "annotations[0].category_id",
            "is 3, which is not the id of any category; there are none",
        ),
        (coco(images=[IMAGE, {**IMAGE, "id": 2}]), "images[1].file_name", "is 'a.jpg', as is images[0].file_name"),
        (coco(images=[IMAGE, {**IMAGE, "file_name": "b.jpg"}]), "images[1].id", "is 1, as is images[0].id"),
        (coco(image={"id": ...}), "images[0].id", "is missing"),
        (coco(image={"id": [1]}), "images[0].id", "is missing, or neither"),
        (coco(image={"file_name": ["a"]}), "images[0].file_name", "it must be a string"),
        (coco(image={"width": -3}), "images[0].width", "is -3; it must be a whole number"),
        (coco(image={"height": "wide"}), "images[0].height", "is 'wide'"),
        (coco(image={"height": 1.5}), "images[0].height", "is 1.5"),
        (coco(image={"height": 2**31}), "images[0].height", "is 2147483648"),
        (coco(category={"id": ...}), "categories[0].id", "is None"),
        (coco(category={"name": ...}), "categories[0].name", "is None; every category needs a name"),
        (coco(category={"name": ""}), "categories[0].name", "is ''"),
        (coco(categories=[{"id": 3, "name": "car"}, {"id": "3", "name": "bus"}]), "categories[1].id", "the id of"),
        (coco(box={"image_id": 99}), "annotations[0].image_id", "is 99, which is not the id of any image; there are 1"),
        (coco(box={"image_id": ...}), "annotations[0].image_id", "is missing; it names the image"),
        (coco(box={"image_id": {}}), "annotations[0].image_id", "is {}"),
        (coco(box={"category_id": 0}), "annotations[0].category_id", "is 0, which is not the id of any category"),
        (coco(box={"category_id": None}), "annotations[0].category_id", "is missing; it names the category"),
        (coco(box={"category_id": True}), "annotations[0].category_id", "is True"),
        (coco(box={"bbox": ...}), "annotations[0].bbox", "is missing, as is a segmentation"),
        (coco(box={"bbox": [], "segmentation": [[]]}), "annotations[0].bbox", "is missing, as is a segmentation"),
        (coco(box={"bbox": [], "segmentation": [[1, 2, 3]]}), "annotations[0].segmentation", "has no box: a polygon"),
        (coco(box={"bbox": [], "segmentation": [["a"] * 6]}), "annotations[0].segmentation", "not numbers"),
        (coco(box={"bbox": [], "segmentation": 7}), "annotations[0].segmentation", "it is a int, neither"),
        (coco(box={"bbox": [], "segmentation": {**RLE, "counts": ""}}), "annotations[0].segmentation", "not add up"),
        (
            coco(box={"bbox": [], "segmentation": {**RLE, "counts": "p" * 20 + "0"}}),
            "annotations[0].segmentation",
            "no",
        ),
        (coco(box={"bbox": [], "segmentation": "x"}), "annotations[0].segmentation", "neither a list"),
        (coco(box={"bbox": [], "segmentation": {"size": [4, 3]}}), "annotations[0].segmentation", "'counts'"),
        (coco(box={"bbox": [], "segmentation": {**RLE, "size": 4}}), "annotations[0].segmentation", "'size'"),
        (coco(box={"bbox": [], "segmentation": {**RLE, "counts": [5]}}), "annotations[0].segmentation", "not add up"),
        (
            coco(box={"bbox": [], "segmentation": {**RLE, "counts": "\n"}}),
            "annotations[0].segmentation",
            "not in its compressed form",
        ),
        (
            coco(box={"bbox": [], "segmentation": {**RLE, "counts": "p" * 99}}),
            "annotations[0].segmentation",
            "not in its compressed form",
        ),
        (coco(box={"bbox": [1, 2, 3]}), "annotations[0].bbox", "is [1, 2, 3]; a box is a list of four numbers"),
        (coco(box={"bbox": [[1, 2], [3, 4]]}), "annotations[0].bbox", "a box is a list of four numbers"),
        (coco(box={"bbox": {"x": 1}}), "annotations[0].bbox", "a box is a list of four numbers"),
        (coco(box={"bbox": 7}), "annotations[0].bbox", "a box is a list of four numbers"),
        (coco(box={"bbox": [1, 2, "", 4]}), "annotations[0].bbox", "all four must be finite"),
        (coco(box={"bbox": [1, 2, None, 4]}), "annotations[0].bbox", "all four must be finite"),
        (coco(box={"bbox": [1, 2, float("nan"), 4]}), "annotations[0].bbox", "all four must be finite"),
        (coco(box={"bbox": [1, 2, 10**400, 4]}), "annotations[0].bbox", "all four must be finite"),
        (coco(box={"bbox": [1, 2, -3, 4]}), "annotations[0].bbox", "must not be negative. If these are two corners"),
        (coco(box={"bbox": [1e200, 2, 3, 4]}), "annotations[0].bbox", "exceeds 1e+150 pixels"),
        (coco(box={"area": -1}), "annotations[0].area", "is -1; an area is 0 or more"),
        (coco(box={"area": 10**400}), "annotations[0].area", "an area is 0 or more"),
        (coco(box={"area": "big"}), "annotations[0].area", "is 'big'"),
        (coco(box={"score": 97}), "annotations[0].score", "is 97; a score lies in [0, 1]"),
        (coco(box={"score": "high"}), "annotations[0].score", "is 'high'"),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_what_has_no_meaning_is_refused_with_its_place(source: Any, place: str, reason: str, tmp_path: Path) -> None:
    for given in (source, tmp_path / "f.json"):
        if isinstance(given, Path):
            given.write_text(json.dumps(source))
        with pytest.raises(npd.InvalidInputError) as caught:
            npd.read_coco(given)
        text = str(caught.value)
        assert place in text
        assert reason in text
        assert ("f.json" if isinstance(given, Path) else "The COCO data") in text
        assert place in caught.value.problems["place"].tolist()


def test_infinities_make_no_box() -> None:
    for box in ({"bbox": [1, 2, float("inf"), 4]}, {"bbox": [], "segmentation": [[1, 2, 3, float("inf"), 5, 6]]}):
        with pytest.raises(npd.InvalidInputError, match="finite"):
            npd.read_coco(coco(box=box))


def test_all_faults_are_told_at_once() -> None:
    boxes = [{**BOX, "id": at, "bbox": [1, 2, 3]} for at in range(9)]
    with pytest.raises(npd.InvalidInputError, match="9 faults:(?s:.*)and 4 more; .problems lists all") as caught:
        npd.read_coco(coco(annotations=boxes))
    assert caught.value.problems["place"].tolist() == [f"annotations[{at}].bbox" for at in range(9)]


RESULT = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"score": None}, r"\[1\].score is missing"),
        ({"score": float("nan")}, r"\[1\].score is missing"),
        ({"score": 7}, r"\[1\].score is 7"),
        ({"image_id": 2}, r"\[1\].image_id is 2, which is not the id of any image"),
        ({"category_id": 2}, r"\[1\].category_id is 2, which is not the id of any category"),
        ({"bbox": None}, r"\[1\].bbox is missing"),
    ],
)
def test_results_are_refused_with_their_place(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(npd.InvalidInputError, match=reason):
        npd.read_coco([RESULT, {**RESULT, **changes}], ground_truth=WHOLE)


def test_results_keep_what_they_hold() -> None:
    found = row([{**RESULT, "segmentation": RLE, "id": 4, "track": 9}], ground_truth=WHOLE)
    assert found["metadata"] == {"category_id": 3, "segmentation": RLE, "id": 4, "track": 9}
    assert (found["annotation_id"], found["confidence"], found["segmentation"]) == ("4", 0.5, RLE)
    nothing = npd.read_coco([], ground_truth=WHOLE)
    assert (len(nothing.items), len(nothing.annotations), "confidence" in nothing.annotations) == (1, 0, True)


def test_results_find_their_names_in_frames() -> None:
    truth = npd.read_coco(coco(categories=[{"id": 3, "name": "car"}, {"id": 4, "name": "bus"}]))
    assert row([{**RESULT, "category_id": 4}], ground_truth=truth)["label"] == "bus"
    truth.items.attrs.clear()
    assert row([RESULT], ground_truth=truth)["label"] == "car"
    with pytest.raises(npd.InvalidInputError, match="is 4, which is not the id of any category"):
        npd.read_coco([{**RESULT, "category_id": 4}], ground_truth=truth)
    with pytest.raises(npd.InvalidInputError, match=r"items\[0\].metadata has no 'id'"):
        npd.read_coco([RESULT], ground_truth=npd.Frames(truth.items.assign(metadata=None), truth.annotations))
    with pytest.raises(npd.InvalidInputError, match="no column 'metadata'"):
        npd.read_coco([RESULT], ground_truth=npd.Frames(truth.items[["reference_id"]], truth.annotations))


def test_ground_truth_is_for_results_alone() -> None:
    with pytest.raises(npd.InvalidInputError, match="has its own images and categories"):
        npd.read_coco(WHOLE, ground_truth=WHOLE)
    with pytest.raises(npd.InvalidInputError, match="The ground truth is a list, not a COCO file"):
        npd.read_coco([RESULT], ground_truth=[RESULT])
    with pytest.raises(npd.InvalidInputError, match="is a path, a dict or a list, not int"):
        npd.read_coco(7)  # type: ignore[arg-type]


def test_reading_changes_nothing_that_is_given() -> None:
    source = coco(box={"segmentation": [[1, 2, 3, 4, 5, 6]]}, category={"supercategory": "vehicle"})
    before = copy.deepcopy(source)
    frames = npd.read_coco(source)
    written = npd.to_coco(*frames)
    written["annotations"][0]["bbox"][0] = 99
    written["categories"][0]["name"] = "bus"
    written["images"][0]["file_name"] = "b.jpg"
    assert source == before
    assert npd.to_coco(*frames) == source


ITEMS = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "width": [640, None], "height": [480, None]})
BOXES = pd.DataFrame({"reference_id": "b.jpg", "label": ["dog", "cat"], "x": 1, "y": 2.5, "width": 3, "height": 4})
ENDLESS: dict[str, Any] = {}
ENDLESS["again"] = ENDLESS


def test_any_frames_can_be_written() -> None:
    written = npd.to_coco(ITEMS, BOXES.assign(**{"metadata.rain": [True, None]}))
    assert written == {
        "info": {},
        "licenses": [],
        "images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 2, "category_id": 2, "bbox": [1, 2.5, 3, 4], "segmentation": [], "area": 12}
            | {"iscrowd": 0, "rain": True},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [1, 2.5, 3, 4], "segmentation": [], "area": 12}
            | {"iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def test_columns_go_before_metadata() -> None:
    boxes = BOXES.assign(
        area=[5, None],
        iscrowd=[True, False],
        segmentation=[np.array([[1, 2, 3, 4, 5, 6]]), None],
        confidence=[0.5, None],
        metadata=[{"area": 1, "iscrowd": 0, "score": 9, "bbox": []}, {"area": 2, "iscrowd": 1, "segmentation": RLE}],
    )
    first, second = npd.to_coco(ITEMS, boxes)["annotations"]
    assert (first["area"], first["iscrowd"], first["segmentation"]) == (5, 1, [[1, 2, 3, 4, 5, 6]])
    assert (first["score"], first["bbox"]) == (0.5, [1, 2.5, 3, 4])
    assert (second["area"], second["iscrowd"], second["segmentation"], "score" in second) == (2, 0, RLE, False)


def test_addresses_are_written_and_paths_are_not() -> None:
    items = pd.concat([ITEMS, ITEMS[:1].assign(reference_id="c.jpg")])
    urls = ["https://e.org/a.jpg", "/home/me/b.jpg", "file:///home/me/c.jpg"]
    images = npd.to_coco(items.assign(image_url=urls), BOXES)["images"]
    assert [image.get("coco_url") for image in images] == [urls[0], None, None]
    assert "/home" not in str(images)


def test_labels_that_were_changed_get_ids_of_their_own() -> None:
    source = coco(annotations=[{**BOX, "id": at} for at in range(3)])
    items, boxes = npd.read_coco(source)
    changed = boxes.assign(label=["bus", "car", "car"])
    written = npd.to_coco(items, changed)
    assert [each["category_id"] for each in written["annotations"]] == [4, 3, 3]
    assert written["categories"] == [{"id": 3, "name": "car"}, {"id": 4, "name": "bus"}]
    items.attrs.clear()
    assert npd.to_coco(items, changed)["categories"] == written["categories"]


def test_an_example_gives_ids_of_images_and_categories() -> None:
    like = coco(image={"id": 55, "file_name": "b.jpg"}, category={"id": 9, "name": "cat"}, info={"year": 2014})
    written = npd.to_coco(ITEMS, BOXES, like=like)
    assert [(image["id"], image["file_name"]) for image in written["images"]] == [(56, "a.jpg"), (55, "b.jpg")]
    assert written["categories"] == [{"id": 9, "name": "cat"}, {"id": 10, "name": "dog"}]
    assert written["info"] == {"year": 2014}
    with pytest.raises(npd.InvalidInputError, match="like= needs a COCO file"):
        npd.to_coco(ITEMS, BOXES, like=[])


def test_ids_of_results_are_never_made_up() -> None:
    found = BOXES.assign(confidence=0.5)
    with pytest.raises(npd.InvalidInputError, match="'b.jpg', which has no COCO id") as caught:
        npd.to_coco(ITEMS, found, results=True)
    assert sorted(caught.value.problems["column"]) == ["label", "label", "reference_id", "reference_id"]
    like = npd.to_coco(ITEMS, BOXES)
    assert npd.to_coco(ITEMS, found, results=True, like=like) == [
        {"image_id": 2, "category_id": 2, "bbox": [1, 2.5, 3, 4], "score": 0.5},
        {"image_id": 2, "category_id": 1, "bbox": [1, 2.5, 3, 4], "score": 0.5},
    ]
    with pytest.raises(npd.InvalidInputError, match="'confidence'.*predictions, which need it"):
        npd.to_coco(ITEMS, BOXES, results=True, like=like)
    with pytest.raises(npd.InvalidInputError, match="row 1: column 'confidence': is missing"):
        npd.to_coco(ITEMS, BOXES.assign(confidence=[0.5, None]), results=True, like=like)


@pytest.mark.parametrize(
    ("items", "boxes", "reason"),
    [
        (ITEMS.drop(columns="reference_id"), BOXES, "'reference_id'"),
        (pd.concat([ITEMS, ITEMS], ignore_index=True), BOXES, "row 2: column 'reference_id': is 'a.jpg' again"),
        (ITEMS.assign(width=[1.5, 2]), BOXES, "row 0: column 'width'"),
        (ITEMS, BOXES.drop(columns="label"), "'label'"),
        (ITEMS, BOXES.drop(columns="x"), "'x'"),
        (ITEMS, BOXES.drop(columns="reference_id"), "'reference_id'"),
        (
            ITEMS,
            BOXES.assign(reference_id=["b.jpg", "c.jpg"]),
            "row 1: column 'reference_id': is 'c.jpg', and the items",
        ),
        (ITEMS, BOXES.assign(width=[1, -1]), "row 1: column 'width'"),
        (ITEMS, BOXES.assign(label=["dog", None]), "row 1: column 'label': is missing"),
        (ITEMS, BOXES.assign(area=[1, "big"]), "row 1: column 'area'"),
        (ITEMS, BOXES.assign(segmentation=[None, {1}]), "row 1: column 'segmentation'"),
        (ITEMS, BOXES.assign(metadata=[None, {"when": {1}}]), "row 1: .*metadata"),
        (ITEMS, BOXES.assign(metadata=[None, {"inf": float("inf")}]), "row 1: .*metadata.inf"),
        (ITEMS, BOXES.assign(metadata=[None, ENDLESS]), "row 1: .*nested too deeply"),
        (ITEMS, pd.concat([BOXES] * 4, ignore_index=True).assign(width=-1), "and 3 more; .problems lists all"),
    ],
)
def test_what_cannot_be_written_is_refused_by_row(items: Any, boxes: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(npd.InvalidInputError, match=reason):
        npd.to_coco(items, boxes, tmp_path / "f.json")
    assert list(tmp_path.iterdir()) == []


def test_polygons_are_written_with_their_boxes_and_other_shapes_are_left_out() -> None:
    vertices = [{"x": 0, "y": 0}, {"x": 4, "y": 0}, {"x": 4, "y": 3}]
    boxes = pd.DataFrame(
        {
            "reference_id": "a.jpg",
            "label": "car",
            "type": ["polygon", "line", "box"],
            "geometry": [{"vertices": vertices}, {"vertices": vertices}, None],
            "x": [None, None, 1.0],
            "y": [None, None, 2.0],
            "width": [None, None, 3.0],
            "height": [None, None, 4.0],
        }
    )
    with pytest.warns(npd.NucleusWarning, match="1 rows are left out: COCO holds boxes, and they are of type line"):
        polygon, box = npd.to_coco(ITEMS, boxes)["annotations"]
    assert (polygon["bbox"], polygon["area"]) == ([0, 0, 4, 3], 6)
    assert polygon["segmentation"] == [[0, 0, 4, 0, 4, 3]]
    assert (box["bbox"], box["segmentation"]) == ([1, 2, 3, 4], [])


def test_images_may_be_named_by_item_id(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("D")
    dataset.append([{"reference_id": name, "image_url": f"https://e.org/{name}"} for name in ("a.jpg", "b.jpg")])
    BOXES.nucleus.annotate(dataset)
    items, boxes = dataset.items.to_frame(), dataset.annotations.to_frame()
    written = npd.to_coco(items, boxes)
    assert npd.to_coco(items, boxes.drop(columns="reference_id")) == written
    assert npd.to_coco(items, boxes.assign(reference_id=[None, "b.jpg"])) == written
    with pytest.raises(
        npd.InvalidInputError, match="'dataset_item_id': is 'di_none', and the items have no such image"
    ):
        npd.to_coco(items, boxes.drop(columns="reference_id").assign(dataset_item_id="di_none"))


@pytest.mark.parametrize("form", ["json", "columns"])
def test_metadata_may_be_in_any_form(form: Any, local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("D")
    dataset.append([{"reference_id": "b.jpg", "image_url": "https://e.org/b.jpg", "metadata": {"id": 5, "rain": True}}])
    BOXES.assign(metadata=[{"score": [1, {"a": None}]}, {"track": 1}]).nucleus.annotate(dataset)
    forms = (dataset.items.to_frame(metadata_as=form), dataset.annotations.to_frame(metadata_as=form))
    written = npd.to_coco(*forms)
    assert written["images"][0]["id"] == 5
    assert [each.get("track") for each in written["annotations"]] == [None, 1]
    if form == "json":
        assert written == dataset.to_coco()


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.json"
    path.write_text("before")

    def broken(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", broken)
        with pytest.raises(OSError, match="the disk is full"):
            npd.to_coco(ITEMS, BOXES, path)
    assert path.read_text() == "before"
    npd.to_coco(ITEMS, BOXES, path)
    assert [each.name for each in tmp_path.iterdir()] == ["f.json"]
    assert json.loads(path.read_text())["images"][1]["file_name"] == "b.jpg"


@pytest.mark.newest
def test_boxes_around_masks_are_those_of_pycocotools() -> None:
    from pycocotools import mask

    from nucleus_pandas.io.coco.segmentation import box_around

    folder = COCO_VAL2014_100
    masks = [
        each["segmentation"] for each in json.loads((folder / "instances_val2014_fakesegm100_results.json").read_text())
    ]
    random = np.random.default_rng(0)
    for _ in range(300):
        pixels = random.random(random.integers(1, 9, 2)) < random.random()
        masks.append(mask.encode(np.asfortranarray(pixels.astype(np.uint8))))
    assert [list(box_around(each)) for each in masks] == [mask.toBbox(each).tolist() for each in masks]
