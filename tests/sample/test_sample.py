import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from nucleus_pandas import sample
from tests.tools import make_sample

FOLDER = Path(sample.__file__).parent
TABLES = {"items": sample.items, "ground_truth": sample.ground_truth, "detections": sample.detections}
TEXT = {"reference_id", "label", "metadata", "annotation_id", "detector", "image_url"}
WHOLE = {("items", "image_width"), ("items", "image_height")}


def with_images(boxes: pd.DataFrame) -> pd.DataFrame:
    return boxes.merge(sample.items(), on="reference_id", suffixes=("", "_image"), validate="many_to_one")


def countable() -> pd.DataFrame:
    truth = sample.ground_truth()
    return truth[truth["metadata"].map(lambda text: not json.loads(text).get("iscrowd"))]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def found_and_reported(detections: pd.DataFrame) -> tuple[int, int]:
    """Match by image and label, most confident first, at half overlap; return matches and detections."""
    truth = records(countable())
    taken: set[str] = set()
    for row in records(detections.sort_values("confidence", ascending=False)):
        overlaps = {
            true["annotation_id"]: make_sample.iou(make_sample.box_of(row), make_sample.box_of(true))
            for true in truth
            if (true["reference_id"], true["label"]) == (row["reference_id"], row["label"])
            and true["annotation_id"] not in taken
        }
        best = max(overlaps, key=overlaps.__getitem__, default=None)
        if best is not None and overlaps[best] >= 0.5:
            taken.add(best)
    return len(taken), len(detections)


def test_size() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= 480_000


def test_every_image_opens_at_its_size() -> None:
    items = sample.items()
    assert len(items) == 12
    assert items["reference_id"].is_unique
    assert sorted(path.name for path in (FOLDER / "images").iterdir()) == sorted(items["reference_id"])
    for row in records(items):
        assert isinstance(row["image_url"], str)
        assert Path(row["image_url"]).name == row["reference_id"]
        with Image.open(row["image_url"]) as image:
            image.load()
            assert image.format == "JPEG"
            assert image.mode == "RGB"
            assert image.size == (row["image_width"], row["image_height"])
            assert max(image.size) == 320
            assert not image.getexif()
            assert "comment" not in image.info


def test_items_say_scene_licence_and_source() -> None:
    about = [json.loads(text) for text in sample.items()["metadata"]]
    assert all(list(one) == ["scene", "license", "source"] for one in about)
    assert {one["license"] for one in about} == {"CC BY 2.0"}
    assert all("staticflickr.com/" in one["source"] for one in about)
    assert {"street", "kitchen", "animal", "sports"} <= {one["scene"] for one in about}


@pytest.mark.parametrize("name", TABLES)
def test_plain_columns(name: str) -> None:
    frame = TABLES[name]()
    assert isinstance(frame.index, pd.RangeIndex)
    assert not frame.isna().any(axis=None)
    for column in frame.columns:
        if column in TEXT:
            assert {type(value) for value in frame[column]} == {str}
        else:
            assert frame[column].dtype == ("int64" if (name, column) in WHOLE else "float64")


@pytest.mark.parametrize("name", ["ground_truth", "detections"])
def test_boxes_are_inside_known_images(name: str) -> None:
    boxes = TABLES[name]()
    assert set(boxes["reference_id"]) <= set(sample.items()["reference_id"])
    assert (boxes[["x", "y"]] >= 0).all(axis=None)
    assert (boxes[["width", "height"]] > 0).all(axis=None)
    placed = with_images(boxes)
    assert (placed["x"] + placed["width"] <= placed["image_width"]).all()
    assert (placed["y"] + placed["height"] <= placed["image_height"]).all()
    corners = boxes[["x", "y", "width", "height"]]
    assert corners.equals(corners.round(2))


def test_ground_truth_has_variety() -> None:
    truth = sample.ground_truth()
    assert truth["annotation_id"].is_unique
    assert truth["annotation_id"].str.fullmatch("[0-9]+").all()
    assert truth["label"].nunique() >= 20
    assert set(truth["metadata"]) == {"{}", '{"iscrowd": 1}'}
    per_image = truth.groupby("reference_id").size()
    assert len(per_image) == 12
    assert per_image.min() <= 2
    assert per_image.max() >= 20


def test_detections_by_name() -> None:
    both = sample.detections()
    assert set(both["detector"]) == set(sample.DETECTORS) == {"careful", "eager"}
    for name in sample.DETECTORS:
        own = sample.detections(name)
        assert "detector" not in own
        expected = both[both["detector"] == name].drop(columns="detector").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, expected)


def test_unknown_detector_names_the_known() -> None:
    with pytest.raises(ValueError, match=r"'bold'.*'careful' and 'eager'"):
        sample.detections("bold")  # type: ignore[arg-type]


def test_confidence() -> None:
    sure = sample.detections()["confidence"]
    assert sure.between(0, 1, inclusive="neither").all()
    assert sure.equals(sure.round(3))


def test_detectors_differ_in_character() -> None:
    objects = len(countable())
    careful_found, careful_reported = found_and_reported(sample.detections("careful"))
    eager_found, eager_reported = found_and_reported(sample.detections("eager"))
    assert careful_reported < eager_reported
    assert careful_found / careful_reported > eager_found / eager_reported + 0.15
    assert eager_found / objects > careful_found / objects + 0.15
    assert careful_found < careful_reported  # neither is without error, or there is nothing to show
    assert eager_found < objects


def test_attribution() -> None:
    text = (FOLDER / "ATTRIBUTION").read_text(encoding="utf-8")
    for row in records(sample.items()):
        lines = text[text.index(f"images/{row['reference_id']}\n") :].splitlines()[:3]
        assert json.loads(row["metadata"])["source"] in lines[1]
        assert "https://creativecommons.org/licenses/by/2.0/" in lines[2]
        assert "scaled to 320 px" in lines[2]
    assert "https://creativecommons.org/licenses/by/4.0/" in text
    assert "COCO Consortium" in text
    assert "SIMULATED" in text
    for docstring in (sample.__doc__, sample.detections.__doc__):
        assert docstring is not None
        assert "simulated" in docstring


def test_made_anew_from_its_own_images_the_tables_are_the_same(tmp_path: Path) -> None:
    items, truth = sample.items(), sample.ground_truth()
    known = {*truth["label"], *(label for group in make_sample.SIMILAR for label in group)}
    numbers = {label: number for number, label in enumerate(sorted(known))}
    coco = {
        "images": [
            {
                "id": number,
                "file_name": row["reference_id"],
                "width": row["image_width"],
                "height": row["image_height"],
                "license": make_sample.LICENSE_ID,
                "flickr_url": json.loads(row["metadata"])["source"],
            }
            for number, row in enumerate(records(items))
        ],
        "annotations": [
            {
                "id": int(row["annotation_id"]),
                "image_id": items["reference_id"].to_list().index(row["reference_id"]),
                "category_id": numbers[row["label"]],
                "bbox": [row["x"], row["y"], row["width"], row["height"]],
                "iscrowd": json.loads(row["metadata"]).get("iscrowd", 0),
            }
            for row in records(truth)
        ],
        "categories": [{"id": number, "name": label} for label, number in numbers.items()],
    }
    source = tmp_path / "source"
    source.mkdir()
    (source / "images").symlink_to(FOLDER / "images")
    (source / "instances.json").write_text(json.dumps(coco), encoding="utf-8")

    once, twice = tmp_path / "once", tmp_path / "twice"
    make_sample.make(source, once)
    make_sample.make(source, twice)
    for name in TABLES:
        table = f"{name}.parquet"
        assert (once / table).read_bytes() == (twice / table).read_bytes()
        pd.testing.assert_frame_equal(pd.read_parquet(once / table), pd.read_parquet(FOLDER / table))
    for image in (once / "images").iterdir():
        assert image.read_bytes() == (twice / "images" / image.name).read_bytes()
    assert (once / "ATTRIBUTION").read_bytes() == (FOLDER / "ATTRIBUTION").read_bytes()
