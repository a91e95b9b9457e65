"""The same images and boxes come out of COCO, YOLO and VOC, can be sent as they are, and are written back."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nucleus_pandas as npd
from nucleus_pandas.schema.json_values import is_json, to_json
from tests.factories import SIDES
from tests.support.coco_val2014 import FOLDER as VAL2014
from tests.support.coco_val2014 import published
from tests.support.draws import draws
from tests.support.paths import DATA

VOC2012 = DATA / "voc2012_100"
COCO_FILES = [
    VOC2012 / "coco_cvat.json",
    VOC2012 / "coco_dets.json",
    DATA / "coco_cc_by" / "instances.json",
    VAL2014 / "instances_val2014_100.json",
]
RESULTS = [
    (VOC2012 / "coco_results.json", VOC2012 / "coco_cvat.json"),
    (VAL2014 / "instances_val2014_fakebbox100_results.json", VAL2014 / "instances_val2014_100.json"),
    (VAL2014 / "instances_val2014_fakesegm100_results.json", VAL2014 / "instances_val2014_100.json"),
]


def voc2012(form: str) -> npd.Frames:
    """The ground truth of a hundred photographs of VOC 2012."""
    if form == "coco":
        return npd.read_coco(VOC2012 / "coco_cvat.json")
    if form == "voc":
        return npd.read_voc(VOC2012 / "voc_xml")
    return npd.read_yolo(VOC2012 / "yolo" / "obj_train_data", sizes=voc2012("coco").items)


def ordered(frames: npd.Frames) -> npd.Frames:
    """The tools number images and boxes in orders of their own."""
    items = frames.items.sort_values("reference_id", ignore_index=True)
    boxes = frames.annotations.sort_values(["reference_id", "label", *SIDES], ignore_index=True)
    return npd.Frames(
        items[["reference_id", "image_width", "image_height"]], boxes[["reference_id", "label", "type", *SIDES]]
    )


@pytest.mark.parametrize(("form", "pixels"), [("voc", 0), ("yolo", 0.001)])
def test_all_formats_give_the_same_frames(form: str, pixels: float) -> None:
    coco, other = ordered(voc2012("coco")), ordered(voc2012(form))
    assert (len(coco.items), len(coco.annotations)) == (100, 273)
    pd.testing.assert_frame_equal(other.items, coco.items)
    pd.testing.assert_frame_equal(other.annotations, coco.annotations, check_exact=not pixels, rtol=0, atol=pixels)


def every_format() -> list[npd.Frames]:
    return [*(npd.read_coco(path) for path in COCO_FILES), voc2012("yolo"), voc2012("voc")]


@pytest.mark.parametrize("number", range(6))
def test_frames_can_be_sent_as_they_are(number: int, local: npd.NucleusClient) -> None:
    items, boxes = every_format()[number]
    remote = items.assign(image_url=items["image_url"].fillna("https://example.org/" + items["reference_id"]))
    dataset = local.create_dataset("Sent")
    assert remote.nucleus.append(dataset).new_items == len(items)
    target = dataset
    if "confidence" in boxes:
        target = dataset.create_model_run(local.add_model("Detector", "detector"))
        boxes.nucleus.predict(target)
    else:
        boxes.nucleus.annotate(target)
    back = (target.predictions if "confidence" in boxes else target.annotations).to_frame()
    order = pd.CategoricalDtype(items["reference_id"], ordered=True)
    sent = boxes.sort_values("reference_id", key=lambda names: names.astype(order), kind="stable", ignore_index=True)
    columns = ["reference_id", "label", "type", *SIDES, "metadata", *({"confidence"} & set(boxes))]
    pd.testing.assert_frame_equal(back[columns], sent[columns])
    pd.testing.assert_frame_equal(
        dataset.items.to_frame().reset_index(drop=True)[["reference_id", "image_width", "image_height", "metadata"]],
        items[["reference_id", "image_width", "image_height", "metadata"]],
    )


def test_frames_without_addresses_say_so_when_they_are_sent(local: npd.NucleusClient) -> None:
    items, _ = voc2012("coco")
    with pytest.raises(npd.InvalidInputError, match="'image_url': is missing. Fill it, or drop the row."):
        items.nucleus.append(local.create_dataset("Sent"))


@pytest.mark.parametrize("path", COCO_FILES, ids=lambda path: path.name)
def test_a_coco_file_is_written_as_it_was(path: Path, tmp_path: Path) -> None:
    whole = json.loads(path.read_text())
    written = npd.to_coco(*npd.read_coco(path), tmp_path / "written.json")
    assert written == whole
    assert json.loads((tmp_path / "written.json").read_text()) == whole
    assert npd.to_coco(*npd.read_coco(whole)) == whole
    assert json.loads(path.read_text()) == whole


@pytest.mark.parametrize(("path", "truth"), RESULTS, ids=lambda path: path.name)
def test_results_are_written_as_they_were(path: Path, truth: Path, tmp_path: Path) -> None:
    whole = json.loads(path.read_text())
    items, found = npd.read_coco(path, ground_truth=truth)
    assert npd.to_coco(items, found, tmp_path / "written.json", results=True) == whole
    assert json.loads((tmp_path / "written.json").read_text()) == whole
    pd.testing.assert_frame_equal(npd.read_coco(whole, ground_truth=npd.read_coco(truth)).annotations, found)
    pd.testing.assert_frame_equal(items, npd.read_coco(truth).items)


def test_voc_files_are_written_as_they_were(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    def content(element: ElementTree.Element) -> object:
        return element.tag, (element.text or "").strip(), sorted(map(repr, map(content, element)))

    npd.to_voc(*voc2012("voc"), tmp_path)
    paths = sorted((VOC2012 / "voc_xml").iterdir())
    assert [path.name for path in sorted(tmp_path.iterdir())] == [path.name for path in paths]
    for path in paths:
        written = ElementTree.parse(tmp_path / path.name).getroot()
        assert content(written) == content(ElementTree.parse(path).getroot()), path.name


def test_yolo_files_are_written_as_they_were(tmp_path: Path) -> None:
    frames = voc2012("yolo")
    npd.to_yolo(*frames, tmp_path)
    paths = sorted((VOC2012 / "yolo" / "obj_train_data").iterdir())
    assert [path.name for path in sorted((tmp_path / "labels").iterdir())] == [path.name for path in paths]
    for path in paths:
        assert (tmp_path / "labels" / path.name).read_text() == path.read_text(), path.name
    again = npd.read_yolo(tmp_path, sizes=frames.items)
    for mine, theirs in zip(again, frames, strict=True):
        pd.testing.assert_frame_equal(mine, theirs)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_evaluating_what_was_read_gives_the_published_numbers(kind: str) -> None:
    truth = npd.read_coco(VAL2014 / "instances_val2014_100.json")
    results = npd.read_coco(VAL2014 / f"instances_val2014_fake{kind}100_results.json", ground_truth=truth)
    found = results.annotations.nucleus.evaluate(truth.annotations, items=truth.items, iou_type=kind)
    np.testing.assert_allclose(found.summary.iloc[:12].astype(float), published(kind), atol=5e-4)


@pytest.mark.parametrize("like", [False, True])
def test_a_dataset_is_written_as_the_file_it_was_made_of(like: bool, local: npd.NucleusClient, tmp_path: Path) -> None:
    path = VAL2014 / "instances_val2014_100.json"
    whole = json.loads(path.read_text())
    items, boxes = npd.read_coco(path)
    dataset = local.create_dataset("Sent")
    items.nucleus.append(dataset)
    boxes.nucleus.annotate(dataset)
    written = dataset.to_coco(tmp_path / "written.json", like=path if like else None)
    assert json.loads((tmp_path / "written.json").read_text()) == written
    assert written["images"] == whole["images"]
    by_id = {each["id"]: each for each in whole["annotations"]}
    assert {each["id"]: each for each in written["annotations"]} == by_id
    if like:
        assert {**written, "annotations": whole["annotations"]} == whole
    else:  # what no row tells is lost, and the docstring says so
        used = {each["category_id"] for each in whole["annotations"]}
        assert written["categories"] == [each for each in whole["categories"] if each["id"] in used]
        assert (written["info"], written["licenses"]) == ({}, [])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
PLAIN = TEXT.filter(lambda text: text == text.strip() and all(char.isprintable() for char in text))
NAMES = PLAIN.map(lambda text: normalize("NFC", text.casefold())).filter(  # which any file system tells apart
    lambda text: text and not set(text) & set("/\\\0") and text == normalize("NFC", text.casefold()).strip()
)
NAMES = NAMES.map("{}.jpg".format)
NUMBERS = st.floats(-1e150, 1e150, allow_nan=False) | st.floats(0, 1) | st.integers(-(10**6), 10**6).map(float)
LENGTHS = st.floats(0, 1e150, allow_nan=False) | st.floats(0, 1) | st.integers(0, 10**6).map(float)
JSON = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXT, part, max_size=3),
    max_leaves=4,
)


@st.composite
def frames(draw: st.DrawFn, names: st.SearchStrategy[str], labels: st.SearchStrategy[str]) -> npd.Frames:
    images = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    sizes = draw(st.lists(st.integers(1, 2**31 - 1), min_size=len(images), max_size=len(images)))
    items = pd.DataFrame({"reference_id": images, "image_width": sizes, "image_height": sizes[::-1]})
    row = st.tuples(st.sampled_from(images), labels, NUMBERS, NUMBERS, LENGTHS, LENGTHS)
    boxes = pd.DataFrame(draw(st.lists(row, max_size=4)), columns=["reference_id", "label", *SIDES])
    numbers = dict.fromkeys(SIDES, "float64")
    return npd.Frames(items, boxes.astype({"reference_id": object, "label": object, **numbers}))


def same(mine: npd.Frames, theirs: npd.Frames) -> None:
    for one, other, columns in (
        (mine.items, theirs.items, ["reference_id", "image_width", "image_height"]),
        (mine.annotations, theirs.annotations, ["reference_id", "label", *SIDES]),
    ):
        assert one[columns].values.tolist() == other[columns].values.tolist()


pytestmark = pytest.mark.filterwarnings("ignore:No number of any box:nucleus_pandas.NucleusWarning")


STRANGE = st.sampled_from(
    [float("nan"), float("inf"), np.float64(1.5), np.int8(3), "\ud800", (1, 2), 10**400, {1}, b"x"]
)


@settings(deadline=None, max_examples=draws(25))
@given(st.recursive(JSON | STRANGE, lambda part: st.lists(part) | st.dictionaries(TEXT | st.integers(), part)))
def test_what_json_holds_needs_no_conversion(value: object) -> None:
    if is_json(value):
        assert to_json(value, "$") == value
        assert msgspec.json.decode(json.dumps(value, allow_nan=False)) == value


@settings(max_examples=draws(25), deadline=None)
@given(
    frames(TEXT.filter(lambda text: "\\" not in text), TEXT),
    st.lists(st.dictionaries(TEXT, JSON, max_size=3), min_size=4),
)
def test_any_frame_comes_back_from_coco(
    tmp_path_factory: pytest.TempPathFactory, stored_scene: npd.Frames, extra: list[dict]
) -> None:
    path = tmp_path_factory.mktemp("coco") / "f.json"
    ours = {"id", "image_id", "category_id", "bbox", "score", "area", "iscrowd", "segmentation", "supercategory"}
    kept = [{key: value for key, value in row.items() if key not in ours} for row in extra]
    boxes = stored_scene.annotations.assign(metadata=kept[: len(stored_scene.annotations)])
    npd.to_coco(stored_scene.items, boxes, path)
    back = npd.read_coco(path)
    same(back, stored_scene)
    for mine, theirs in zip(back.annotations["metadata"], boxes["metadata"], strict=True):
        assert {key: value for key, value in mine.items() if key not in ours} == theirs
    assert npd.to_coco(*back) == json.loads(path.read_text())


@settings(max_examples=draws(25), deadline=None)
@given(frames(NAMES, PLAIN))
def test_any_frame_comes_back_from_voc(tmp_path_factory: pytest.TempPathFactory, stored_scene: npd.Frames) -> None:
    folder = tmp_path_factory.mktemp("voc")
    npd.to_voc(*stored_scene, folder)
    back = npd.read_voc(folder)
    order = sorted(stored_scene.items["reference_id"], key=lambda name: name.removesuffix(".jpg") + ".xml")
    items = stored_scene.items.set_index("reference_id").loc[order].reset_index()
    rank = stored_scene.annotations["reference_id"].map(order.index)
    same(back, npd.Frames(items, stored_scene.annotations.loc[rank.sort_values(kind="stable").index]))


@settings(max_examples=draws(25), deadline=None)
@given(frames(NAMES, TEXT), st.data())
def test_any_frame_comes_back_from_yolo(
    tmp_path_factory: pytest.TempPathFactory, stored_scene: npd.Frames, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("yolo")
    sizes = (
        stored_scene.items.set_index("reference_id")
        .loc[stored_scene.annotations["reference_id"], ["image_width", "image_height"]]
        .to_numpy()
    )
    fractions = np.array(
        data.draw(st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=len(sizes), max_size=len(sizes)))
    ).reshape(-1, 4)
    corners = (fractions[:, :2] - fractions[:, 2:] / 2) * sizes
    boxes = stored_scene.annotations.assign(
        **dict(zip(SIDES, [*corners.T, *(fractions[:, 2:] * sizes).T], strict=True))
    )
    npd.to_yolo(stored_scene.items, boxes, folder)
    back = npd.read_yolo(folder, sizes=stored_scene.items)
    rank = boxes["reference_id"].map(stored_scene.items["reference_id"].tolist().index).sort_values(kind="stable").index
    theirs = boxes.loc[rank]
    assert back.items["reference_id"].tolist() == stored_scene.items["reference_id"].tolist()
    assert (
        back.annotations[["reference_id", "label"]].values.tolist() == theirs[["reference_id", "label"]].values.tolist()
    )
    millionths = np.abs(back.annotations[SIDES].to_numpy() - theirs[SIDES].to_numpy()) / np.tile(sizes, 2)[rank]
    assert (millionths <= 1e-6).all()
