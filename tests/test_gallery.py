"""Galleries: which images and boxes they show, and that whatever is in the frames is shown as text."""

from __future__ import annotations

import io
import re
import struct
import time
import zlib
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas import sample
from nucleus_pandas.images import thumbnails

VOID = {"img", "meta"}
HOSTILE = (
    "\"><script>alert(1)</script><img src=x onerror=alert(2)>'`{{7*7}}&amp;\u202egnp.exe\u2069\u200f\u05e9"
    + "x" * 5_000
)


@dataclass
class Node:
    """An element, or a text."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    own: str = ""

    def all(self, tag: str, **attributes: str) -> list[Node]:
        found = [child for child in self.children if child.tag == tag and child.fits(attributes)]
        for child in self.children:
            found += child.all(tag, **attributes)
        return found

    def fits(self, wanted: dict[str, str]) -> bool:
        return all(
            value in self.attributes.get(name.rstrip("_").replace("_", "-"), "").split()
            for name, value in wanted.items()
        )

    @property
    def text(self) -> str:
        return self.own + "".join(child.text for child in self.children)


class Tree(HTMLParser):
    """HTML as browsers read it, as far as a gallery has it; whatever is not closed in its order fails."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("root")]
        self.feed(html)
        self.close()
        assert [node.tag for node in self.open] == ["root"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(Node("", own=data))


def parsed(gallery: npd.Gallery) -> Node:
    return Tree(gallery.html).open[0]


def tiles(gallery: npd.Gallery) -> list[Node]:
    return parsed(gallery).all("figure")


def names(gallery: npd.Gallery) -> list[str]:
    return [tile.all("bdi", class_="npd-name")[0].attributes["title"] for tile in tiles(gallery)]


def boxes(tile: Node) -> list[list[float]]:
    """Each box as it is drawn; below the coloured line lies a white one."""
    rects = [rect for group in tile.all("g") if "stroke-width" in group.attributes for rect in group.all("rect")]
    found = [[float(rect.attributes[side]) for side in ("x", "y", "width", "height")] for rect in rects]
    assert found[::2] == found[1::2]
    return found[::2]


def told(tile: Node) -> list[str]:
    """What a pointer finds on each box."""
    return [title.text for title in tile.all("title")]


def dashed(tile: Node) -> list[bool]:
    return ["stroke-dasharray" in group.attributes for group in tile.all("g", stroke_width="1.75")]


def written(tile: Node) -> list[str]:
    return [text.text for text in tile.all("text")]


def legend(gallery: npd.Gallery) -> list[str]:
    return [entry.text for entry in parsed(gallery).all("li")]


def inlined(tile: Node) -> Image.Image:
    source = tile.all("img")[0].attributes["src"]
    assert source.startswith("data:image/jpeg;base64,")
    return Image.open(io.BytesIO(b64decode(source.partition(",")[2])))


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    """Items of three local images, 64 by 48 pixels: a.png, b.png, c.png."""
    for name, colour in (("a.png", "red"), ("b.png", "lime"), ("c.png", "blue")):
        Image.new("RGB", (64, 48), colour).save(tmp_path / name)
    ids = ["a.png", "b.png", "c.png"]
    return pd.DataFrame({"reference_id": ids, "image_url": [str(tmp_path / name) for name in ids]})


def boxed(*ids: str, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"reference_id": ids, "label": "car", "x": 4.0, "y": 6.0, "width": 20.0, "height": 30.0}
    ).assign(**columns)


@pytest.fixture
def committed(local: npd.NucleusClient) -> Iterator[tuple[npd.Dataset, npd.ModelRun]]:
    """The sample on an embedded Nucleus, with a committed run."""
    dataset = local.create_dataset("Sample")
    dataset.append(sample.items())
    dataset.annotate(sample.ground_truth())
    run = dataset.create_model_run(local.add_model("Eager", reference_id="eager"))
    run.predict(sample.detections("eager"))
    run.commit()
    return dataset, run


class TestItems:
    def test_a_tile_a_image_in_the_order_of_the_frame(self, images: pd.DataFrame) -> None:
        gallery = images.iloc[::-1].nucleus.show()
        assert names(gallery) == ["c.png", "b.png", "a.png"]
        assert [inlined(tile).getpixel((5, 5)) for tile in tiles(gallery)] == [(0, 0, 254), (0, 255, 1), (254, 0, 0)]
        assert repr(gallery) == "<Gallery of 3 images>"
        assert "64 \N{MULTIPLICATION SIGN} 48" in tiles(gallery)[0].text

    def test_n_images_are_shown_of_more(self, images: pd.DataFrame) -> None:
        gallery = npd.show(images, 2)
        assert (len(gallery), names(gallery)) == (2, ["a.png", "b.png"])
        assert parsed(gallery).all("p")[0].text == "2 of 3 images"

    def test_names_of_columns_are_the_callers(self, images: pd.DataFrame) -> None:
        frame = images.set_index("reference_id").rename_axis("file").rename(columns={"image_url": "path"})
        assert names(frame.nucleus.show(columns={"reference_id": "file", "image_url": "path"})) == [
            "a.png",
            "b.png",
            "c.png",
        ]

    def test_paths_alone_are_enough(self, images: pd.DataFrame) -> None:
        paths = images[["image_url"]].map(Path)
        assert names(paths.nucleus.show()) == images["image_url"].tolist()

    def test_an_item_without_an_id_is_shown_too(self, images: pd.DataFrame) -> None:
        frame = images.assign(reference_id=["a", None, None])
        assert names(frame.nucleus.show()) == ["a", *images["image_url"].tolist()[1:]]

    def test_what_is_shown_of_a_frame_leaves_it_as_it_was(self, images: pd.DataFrame) -> None:
        frame = pd.concat([images, images]).assign(metadata=[{"k": 1}] * 6)
        before = frame.copy()
        frame.nucleus.show()
        pd.testing.assert_frame_equal(frame, before)

    @pytest.mark.parametrize(
        ("columns", "line"),
        [
            ({"metadata": [{"weather": "rain", "hour": 7, "of": [1, None]}]}, "weather: rain, hour: 7, of: [1, null]"),
            ({"metadata": ['{"weather": "rain"}']}, "weather: rain"),
            ({"metadata.weather": ["rain"]}, "weather: rain"),
        ],
    )
    def test_metadata_is_a_line_below(self, images: pd.DataFrame, columns: dict[str, Any], line: str) -> None:
        gallery = images.head(1).assign(**columns).nucleus.show()
        assert [said.text for said in parsed(gallery).all("bdi", class_="npd-said")] == [line]

    def test_a_gallery_of_nothing_says_so(self, images: pd.DataFrame) -> None:
        gallery = images.head(0).nucleus.show()
        assert (len(gallery), bool(gallery), repr(gallery)) == (0, True, "<Gallery of 0 images>")
        assert tiles(gallery) == []

    def test_where_images_are_has_to_be_told(self) -> None:
        with pytest.raises(npd.InvalidInputError, match="Column 'image_url' not found.*Give items=dataset"):
            boxed("a.png").nucleus.show()
        with pytest.raises(npd.InvalidInputError, match="Column 'reference_id' not found; there is 'x'|there are 'x'"):
            pd.DataFrame({"x": [1]}).nucleus.show()

    def test_arguments_that_mean_nothing_are_refused(self, images: pd.DataFrame) -> None:
        for wrong in ({"n": 0}, {"n": True}, {"n": "2"}, {"size": 3}, {"size": 9_999}, {"size": 10.5}):
            with pytest.raises(npd.InvalidInputError, match=f"{next(iter(wrong))} is "):
                images.nucleus.show(**wrong)
        with pytest.raises(npd.InvalidInputError, match="color is 'label', 'match_type' or None, not 'red'"):
            images.nucleus.show(color="red")
        with pytest.raises(npd.InvalidInputError, match="size= sets how large they are"):
            images.nucleus.show(columns=4)
        with pytest.raises(npd.InvalidInputError, match="predictions= takes a DataFrame or a ModelRun, not str"):
            images.nucleus.show(predictions="run")


class TestBoxes:
    def test_boxes_lie_where_they_are_in_pixels_of_the_image(self, images: pd.DataFrame) -> None:
        frame = boxed("b.png", "b.png", "a.png", x=[1.5, 30, 2], label=["car", "bus", "car"])
        gallery = frame.nucleus.show(items=images)
        assert names(gallery) == ["b.png", "a.png"]
        first = tiles(gallery)[0]
        assert sorted(boxes(first)) == [[1.5, 6, 20, 30], [30, 6, 20, 30]]
        assert first.all("svg")[0].attributes["viewbox"] == "0 0 64 48"
        assert sorted(written(first)) == ["bus", "car"]
        assert "2 ground truth" in first.text

    def test_ground_truth_and_predictions_differ_in_more_than_colour(self, images: pd.DataFrame) -> None:
        found = boxed("a.png", confidence=0.75, x=30)
        gallery = found.nucleus.show(items=images, ground_truth=boxed("a.png"))
        (tile,) = tiles(gallery)
        assert dict(zip(told(tile), dashed(tile), strict=True)) == {
            "prediction, confidence 0.75\ncar": True,
            "ground truth\ncar": False,
        }
        assert sorted(written(tile)) == ["car", "car 0.75"]
        assert legend(gallery) == ["ground truth", "prediction", "car"]
        samples = [svg.all("rect")[0].attributes for svg in parsed(gallery).all("ul")[0].all("svg")]
        assert ["stroke-dasharray" in sample for sample in samples] == [False, True]

    @pytest.mark.parametrize(
        ("columns", "layout"),
        [
            ({"bbox": [[4, 6, 24, 36]]}, {"bbox": "bbox", "bbox_format": "xyxy"}),
            ({"x1": 4, "y1": 6, "x2": 24, "y2": 36}, {"bbox": ("x1", "y1", "x2", "y2"), "bbox_format": "xyxy"}),
            ({"cx": 14, "cy": 21, "w": 20, "h": 30}, {"bbox": ("cx", "cy", "w", "h"), "bbox_format": "cxcywh"}),
        ],
    )
    def test_boxes_of_other_layouts(self, images: pd.DataFrame, columns: dict[str, Any], layout: Any) -> None:
        frame = pd.DataFrame({"reference_id": ["a.png"], "label": "car", **columns})
        assert boxes(tiles(frame.nucleus.show(items=images, **layout))[0]) == [[4, 6, 20, 30]]

    def test_a_joint_frame_tells_the_images_itself(self, images: pd.DataFrame) -> None:
        joint = boxed("a.png", "a.png", "b.png", x=[1, 2, None], y=[1, 2, None]).merge(images)
        joint.loc[2, ["width", "height", "label"]] = None
        gallery = joint.assign(image_width=128, image_height=96).nucleus.show()
        assert [len(boxes(tile)) for tile in tiles(gallery)] == [2, 0]
        assert tiles(gallery)[0].all("svg")[0].attributes["viewbox"] == "0 0 128 96"

    def test_boxes_go_by_the_size_that_is_told(self, images: pd.DataFrame) -> None:
        items = images.assign(width=640, height=480)
        tile = tiles(boxed("a.png").nucleus.show(items=items))[0]
        assert tile.all("svg")[0].attributes["viewbox"] == "0 0 640 480"
        assert inlined(tile).size == (64, 48)

    def test_ids_of_items_name_images_too(self, images: pd.DataFrame) -> None:
        items = images.assign(dataset_item_id=["di_1", "di_2", "di_3"]).set_index("dataset_item_id")
        frame = boxed("di_2").rename(columns={"reference_id": "dataset_item_id"})
        assert names(frame.nucleus.show(items=items)) == ["b.png"]
        with pytest.raises(npd.InvalidInputError, match="names its images by 'dataset_item_id'. Column"):
            frame.nucleus.show(items=images)

    def test_integers_meet_the_texts_that_they_became(self, images: pd.DataFrame) -> None:
        items = images.assign(reference_id=["1", "2", "3"])
        assert names(boxed(2).nucleus.show(items=items)) == ["2"]

    def test_a_image_that_no_item_describes_leaves_its_name(self, images: pd.DataFrame) -> None:
        gallery = boxed("a.png", "z.png").nucleus.show(items=images)
        assert names(gallery) == ["a.png", "z.png"]
        assert "This image has no address." in tiles(gallery)[1].text

    def test_rows_that_cannot_be_drawn_are_counted_with_a_reason(self, images: pd.DataFrame) -> None:
        frame = boxed("a.png", "a.png", "a.png", width=[20, -5, np.inf])
        (tile,) = tiles(frame.nucleus.show(items=images))
        assert len(boxes(tile)) == 1
        (warned,) = tile.all("span", class_="npd-warned")
        assert warned.text.startswith("2 rows not drawn: column 'width': the width of the box is -5")
        assert "is infinite" in warned.attributes["title"]

    def test_repeated_ids_are_drawn_as_often(self, images: pd.DataFrame) -> None:
        frame = boxed("a.png", "a.png", annotation_id="one", x=[1, 30])
        assert len(boxes(tiles(frame.nucleus.show(items=images))[0])) == 2

    def test_shapes_of_other_types(self, images: pd.DataFrame) -> None:
        vertices = {"vertices": [{"x": 1, "y": 2}, {"x": 30, "y": 2}, {"x": 30, "y": 40}]}
        places = [{"x": 5, "y": 6}, {"x": 7, "y": 8, "visible": False}, {"visible": False}]
        points = {"keypoints": places, "names": ["nose", "ear", "toe"], "skeleton": [[0, 1], [1, 2]]}
        mask = {"mask_url": "https://example.org/mask.png", "annotations": [{"label": "car", "index": 1}]}
        frame = pd.DataFrame(
            {
                "reference_id": "a.png",
                "label": ["road", "lane", "man", "night", None],
                "type": ["polygon", "line", "keypoints", "category", "mask"],
                "geometry": [vertices, vertices, points, None, mask],
            }
        )
        (tile,) = tiles(frame.nucleus.show(items=images))
        drawn = "1,2 30,2 30,40"
        assert {one.attributes["points"] for one in tile.all("polygon")} == {drawn}
        assert {one.attributes["points"] for one in tile.all("polyline")} == {drawn}
        assert {(one.attributes["cx"], one.attributes["cy"]) for one in tile.all("circle")} == {("5", "6"), ("7", "8")}
        bones = {tuple(one.attributes[end] for end in ("x1", "y1", "x2", "y2")) for one in tile.all("line")}
        assert bones == {("5", "6", "7", "8")}  # what joins a place that is not known is not drawn
        assert "ground truth: night" in tile.text
        assert "1 row not drawn: a mask is not drawn" in tile.text

    def test_ten_thousand_boxes_on_a_image_stay_small_and_the_most_confident_are_drawn(
        self, images: pd.DataFrame
    ) -> None:
        count = 10_000
        rng = np.random.default_rng(0)
        frame = boxed(*["a.png"] * count, x=rng.uniform(0, 44, count), confidence=np.linspace(0, 1, count))
        gallery = frame.nucleus.show(items=images)
        (tile,) = tiles(gallery)
        assert len(boxes(tile)) == 200
        assert min(float(title.split()[2].rstrip("\ncar")) for title in told(tile)) >= 0.98
        assert "10,000 predictions" in tile.text
        assert "200 drawn" in tile.text
        assert len(gallery.html) < 100_000

    def test_names_do_not_lie_over_each_other(self, images: pd.DataFrame) -> None:
        (tile,) = tiles(boxed(*["a.png"] * 3, label=["one", "two", "three"]).nucleus.show(items=images))
        assert len(boxes(tile)) == 3
        assert written(tile) == ["one"]

    def test_names_stay_inside_the_image(self, images: pd.DataFrame) -> None:
        frame = boxed("a.png", "a.png", x=[60, -50], y=[44, -20], label="a long name", confidence=0.5)
        (tile,) = tiles(frame.nucleus.show(items=images, size=280))
        for text in tile.all("text"):
            x, y, high = (float(text.attributes[name]) for name in ("x", "y", "font-size"))
            assert 0 <= x <= 64 - high * 0.5 * len("a long name 0.50")
            assert high * 0.7 <= y <= 48

    def test_frequent_labels_have_colours_of_their_own(self, images: pd.DataFrame) -> None:
        labels = [f"label {number}" for number in range(14) for _ in range(20 - number)]
        gallery = boxed(*["a.png"] * len(labels), label=labels).nucleus.show(items=images)
        assert legend(gallery) == ["ground truth", *(f"label {number}" for number in range(10)), "4 other labels"]
        swatches = [one.attributes["style"] for one in parsed(gallery).all("span", class_="npd-swatch")]
        assert len(set(swatches)) == 11


class TestMatches:
    def test_each_example_is_a_tile_with_both_boxes_in_the_order_of_the_frame(
        self, committed: tuple[npd.Dataset, npd.ModelRun]
    ) -> None:
        _, run = committed
        wrong = run.examples("FP", sort_by="confidence")
        gallery = wrong.nucleus.show(20)
        assert repr(gallery) == f"<Gallery of 20 of {len(wrong)} examples>"
        assert names(gallery) == wrong["reference_id"].tolist()[:20]
        assert legend(gallery) == ["ground truth", "prediction", "FP false positive"]
        for tile, row in zip(tiles(gallery), wrong.itertuples(), strict=False):
            expected = [[row.predicted_x, row.predicted_y, row.predicted_width, row.predicted_height]]
            expected += [[row.x, row.y, row.width, row.height]] if pd.notna(row.label) else []
            assert sorted(boxes(tile)) == pytest.approx(np.array(sorted(expected)), rel=1e-5)
            assert f"FP {row.predicted_label} {row.confidence:.2f}" in written(tile)

    def test_boxes_lie_right_on_copies_of_another_size(self, local: npd.NucleusClient, images: pd.DataFrame) -> None:
        dataset = local.create_dataset("Copies")
        images.assign(width=640, height=480).nucleus.append(dataset)
        boxed("a.png", x=400.0).nucleus.annotate(dataset)
        run = dataset.create_model_run(local.add_model("M", reference_id="m"))
        boxed("b.png", x=500.0, confidence=0.5).nucleus.predict(run)
        run.commit()
        for match_type, box in (("FN", [400, 6, 20, 30]), ("FP", [500, 6, 20, 30])):
            examples = run.examples(match_type)
            assert examples[["image_width", "image_height"]].to_numpy().tolist() == [[640, 480]]
            (tile,) = tiles(examples.nucleus.show())
            assert tile.all("svg", class_="npd-marks")[0].attributes["viewbox"] == "0 0 640 480"
            assert boxes(tile) == [box]

    def test_what_was_missed_and_what_was_found_say_so(self, committed: tuple[npd.Dataset, npd.ModelRun]) -> None:
        _, run = committed
        missed = run.examples("FN")
        gallery = missed.nucleus.show(3)
        assert legend(gallery) == ["ground truth", "FN false negative, missed"]
        assert [written(tile) for tile in tiles(gallery)] == [[f"FN {label}"] for label in missed["label"].head(3)]
        found = run.examples("TP").nucleus.show(3)
        assert legend(found) == ["ground truth", "prediction", "TP true positive"]
        assert [len(boxes(tile)) for tile in tiles(found)] == [2, 2, 2]
        assert re.search(r"TP, prediction, confidence 0\.\d+, IoU 0\.\d+", "".join(told(tiles(found)[0])))

    def test_matches_of_a_run_and_of_an_evaluation_show_the_same(
        self, committed: tuple[npd.Dataset, npd.ModelRun]
    ) -> None:
        dataset, run = committed
        stored = run.matches(0.5).nucleus.show(ground_truth=dataset, predictions=run)
        items, truth, found = sample.items(), sample.ground_truth(), sample.detections("eager")
        evaluation = found.nucleus.evaluate(truth, items=items)
        computed = evaluation.matches.nucleus.show(items=items, ground_truth=truth, predictions=found)
        told_of = [title for tile in tiles(stored) for title in told(tile)]
        assert told_of == [title for tile in tiles(computed) for title in told(tile)]
        sides = {"TP": ("ground truth", "prediction"), "FP": ("prediction",), "FN": ("ground truth",)}
        for kind, expected in sides.items():
            for side in expected:
                count = sum(title.startswith(f"{kind}, {side}") for title in told_of)
                assert count == evaluation.counts[kind].sum()
        assert len(told_of) == evaluation.counts[["TP", "FP", "FN", "TP"]].sum().sum()

    def test_matches_need_the_boxes_that_they_name(self, images: pd.DataFrame) -> None:
        matches = boxed("a.png", confidence=0.5).nucleus.evaluate(boxed("a.png")).matches
        with pytest.raises(npd.InvalidInputError, match="Give ground_truth= and predictions= too"):
            matches.nucleus.show(items=images)
        gallery = matches.nucleus.show(items=images, ground_truth=boxed("a.png", x=1), predictions=boxed("a.png"))
        assert "not drawn: the ground truth" in tiles(gallery)[0].text

    def test_suspects_and_what_a_comparison_lost_name_boxes_too(self) -> None:
        items, truth = sample.items(), sample.ground_truth()
        careful, eager = (sample.detections(name).nucleus.evaluate(truth, items=items) for name in sample.DETECTORS)
        lost = careful.compare(eager).lost
        gallery = lost.nucleus.show(items=items, ground_truth=truth, predictions=sample.detections("careful"))
        assert sum(len(told(tile)) for tile in tiles(gallery)) == 2 * len(lost)
        suspects = careful.suspects()
        gallery = suspects.nucleus.show(items=items, ground_truth=truth, predictions=sample.detections("careful"))
        drawn = [title.partition("\n")[0].partition(",")[0] for tile in tiles(gallery) for title in told(tile)]
        sides = {"ground truth": "annotation_id", "prediction": "prediction_id"}
        assert {side: drawn.count(side) for side in sides} == {
            side: suspects[name].notna().sum() for side, name in sides.items()
        }

    def test_colours_tell_what_is_asked_for(self, committed: tuple[npd.Dataset, npd.ModelRun]) -> None:
        missed = committed[1].examples("FN", limit=4)
        assert set(legend(missed.nucleus.show(color="label"))[1:]) == set(missed["label"])

    def test_frames_with_a_column_of_matches_are_coloured_by_it(self, images: pd.DataFrame) -> None:
        frame = boxed("a.png", "a.png", x=[1, 30], confidence=0.5, match_type=["TP", "FP"])
        gallery = frame.nucleus.show(items=images)
        assert legend(gallery) == ["prediction", "TP true positive", "FP false positive"]
        assert sorted(written(tiles(gallery)[0])) == ["FP car 0.50", "TP car 0.50"]


class TestImages:
    def test_images_of_the_web_are_linked(self) -> None:
        url = "https://example.org/a.jpg?x=1&y='2'"
        items = pd.DataFrame({"reference_id": ["a"], "image_url": [url], "width": 640, "height": 480})
        (tile,) = tiles(boxed("a").nucleus.show(items=items))
        (img,) = tile.all("img")
        assert (img.attributes["src"], img.attributes["alt"]) == (url, "a")
        assert img.attributes["referrerpolicy"] == "no-referrer"
        assert boxes(tile) == [[4, 6, 20, 30]]

    def test_boxes_on_a_image_of_the_web_need_its_size(self) -> None:
        items = pd.DataFrame({"reference_id": ["a"], "image_url": ["https://example.org/a.jpg"]})
        (tile,) = tiles(boxed("a").nucleus.show(items=items))
        assert boxes(tile) == []
        assert "The size of this image is not known, so its boxes cannot be placed." in tile.text

    @pytest.mark.parametrize(
        ("made", "reason"),
        [
            (lambda folder: folder / "missing.jpg", "does not exist"),
            (lambda folder: folder, "is no file"),
            (lambda folder: write(folder / "empty.jpg", b""), "is no image of a known format"),
            (lambda folder: write(folder / "text.jpg", b"hello"), "is no image of a known format"),
            (lambda folder: write(folder / "a.eps", EPS), "is no image of a known format"),
            (lambda folder: write(folder / "cut.jpg", noise("JPEG")[:3_000]), "image file is truncated"),
            (lambda folder: write(folder / "cut.png", noise("PNG")[:3_000]), "image file is truncated"),
            (lambda folder: write(folder / "bomb.png", png(60_000, 60_000)), "too many pixels to be decoded"),
            (lambda folder: write(folder / "big.png", png(9_000, 9_000)), "has 81 million pixels; at most 64 are"),
            (lambda folder: "x" * 5_000, "cannot be read: File name too long"),
            (lambda folder: "nul\0byte", "does not exist|cannot be read"),
            (lambda folder: "/dev/zero", "is no file"),
            (lambda folder: "~nobody-of-that-name/a.jpg", "cannot be read|does not exist"),
            (lambda folder: "s3://bucket/a.jpg", "lies in s3://, which no browser opens"),
            (lambda folder: "file:///etc/passwd", "lies in file://, which no browser opens"),
            (lambda folder: "javascript:alert(1)", "does not exist"),
            (lambda folder: None, "has no address"),
        ],
    )
    def test_a_broken_image_leaves_its_name_and_the_reason(
        self, images: pd.DataFrame, tmp_path: Path, made: Any, reason: str
    ) -> None:
        frame = images.assign(image_url=[images["image_url"][0], made(tmp_path), images["image_url"][2]])
        began = time.perf_counter()
        gallery = frame.nucleus.show()
        assert time.perf_counter() - began < 5
        assert names(gallery) == ["a.png", "b.png", "c.png"]
        assert [len(tile.all("img")) for tile in tiles(gallery)] == [1, 0, 1]
        assert re.search(f"This image .*({reason})", tiles(gallery)[1].text)

    @pytest.mark.parametrize(
        ("image", "low", "high"),
        [
            (Image.fromarray(np.linspace(300, 4_000, 64 * 48).reshape(48, 64).astype(np.uint16)), 0, 255),
            (Image.fromarray(np.linspace(-1, 1, 64 * 48).reshape(48, 64).astype(np.float32)), 0, 255),
            (Image.fromarray(np.full((48, 64), 7, dtype=np.uint16)), 0, 0),
            (Image.new("RGBA", (64, 48), (0, 0, 0, 0)), 232, 232),
            (Image.new("1", (64, 48), 1), 255, 255),
            (Image.new("P", (64, 48), 0), 0, 0),
            (Image.new("CMYK", (64, 48), (0, 0, 0, 0)), 255, 255),
        ],
        ids=["16 bits", "floats", "flat", "transparent", "1 bit", "palette", "CMYK"],
    )
    def test_images_of_all_kinds_are_seen(self, tmp_path: Path, image: Image.Image, low: int, high: int) -> None:
        path = tmp_path / ("a.tif" if image.mode in ("F", "CMYK") else "a.png")
        image.save(path)
        (tile,) = tiles(pd.DataFrame({"reference_id": ["a"], "image_url": [path]}).nucleus.show())
        seen = inlined(tile).convert("L").getextrema()
        assert seen == pytest.approx((low, high), abs=6)

    def test_a_photograph_is_turned_where_its_boxes_go_by_its_turned_size(self, tmp_path: Path) -> None:
        photograph = Image.new("RGB", (64, 48), "white")
        photograph.paste("black", (0, 0, 64, 8))  # the top as stored, the right side when it is turned
        exif = Image.Exif()
        exif[0x0112] = 6
        photograph.save(tmp_path / "a.jpg", exif=exif, quality=95)
        frame = pd.DataFrame({"reference_id": ["a"], "image_url": [tmp_path / "a.jpg"]})
        stored, turned = (inlined(tiles(one.nucleus.show())[0]) for one in (frame, frame.assign(width=48, height=64)))
        assert (stored.size, turned.size) == ((64, 48), (48, 64))
        assert stored.convert("L").getpixel((32, 2)) < 50  # type: ignore[operator]
        assert turned.convert("L").getpixel((46, 32)) < 50  # type: ignore[operator]

    def test_a_large_photograph_is_not_decoded_whole(self, tmp_path: Path) -> None:
        Image.new("RGB", (10_000, 9_000), "navy").save(tmp_path / "large.jpg")
        (tile,) = tiles(pd.DataFrame({"reference_id": ["a"], "image_url": [tmp_path / "large.jpg"]}).nucleus.show())
        assert inlined(tile).size == (280, 252)

    def test_without_pillow_images_of_the_web_are_shown_and_others_ask_for_it(
        self, images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(__import__("sys").modules, "PIL", None)
        remote = images.assign(image_url="https://example.org/a.jpg")
        assert len(remote.nucleus.show()) == 3
        with pytest.raises(npd.MissingExtraError, match="pip install pillow"):
            images.nucleus.show()

    def test_a_image_is_made_small_once(self, images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
        made = []
        monkeypatch.setattr(thumbnails, "_small", lambda *args, small=thumbnails._small: made.append(1) or small(*args))
        frame = boxed(*["a.png"] * 5).assign(predicted_x=1, predicted_y=1, predicted_width=5, predicted_height=5)
        frame = frame.assign(predicted_label="car", match_type="TP")
        assert len(frame.nucleus.show(items=images)) == 5
        assert len(made) == 1


class TestServers:
    def test_views_show_what_they_hold(self, client: npd.NucleusClient) -> None:
        dataset = client.create_dataset("Sample")
        dataset.append(sample.items())
        dataset.annotate(sample.ground_truth())
        run = dataset.create_model_run(client.add_model("Eager", reference_id="eager"))
        run.predict(sample.detections("eager"))
        galleries = dataset.items.show(5), dataset.annotations.show(5), run.predictions.show(5)
        for gallery in galleries:
            assert names(gallery) == sample.items()["reference_id"].tolist()[:5]
            assert all(inlined(tile).size[0] <= 280 for tile in tiles(gallery))
        assert [any(map(boxes, tiles(gallery))) for gallery in galleries] == [False, True, True]
        assert [any(any(dashed(tile)) for tile in tiles(gallery)) for gallery in galleries] == [False, False, True]

    def test_a_dataset_tells_of_the_images_that_a_frame_names(self, client: npd.NucleusClient) -> None:
        dataset = client.create_dataset("Sample")
        dataset.append(sample.items())
        dataset.annotate(sample.ground_truth())
        found = sample.detections("careful").iloc[::-1]
        gallery = found.nucleus.show(3, items=dataset, ground_truth=dataset)
        assert names(gallery) == found["reference_id"].drop_duplicates().tolist()[:3]
        assert all(inlined(tile) for tile in tiles(gallery))
        assert {side for tile in tiles(gallery) for side in dashed(tile)} == {True, False}
        run = dataset.create_model_run(client.add_model("Careful", reference_id="careful"))
        run.predict(found)
        assert (
            names(sample.items().tail(2).nucleus.show(predictions=run)) == sample.items()["reference_id"].tolist()[-2:]
        )

    def test_a_frame_alone_links_images_of_a_server(self, served: str) -> None:
        with npd.NucleusClient(endpoint=served) as client:
            dataset = client.create_dataset("Sample")
            dataset.append(sample.items().head(2))
            sources = [tile.all("img")[0].attributes["src"] for tile in tiles(dataset.items.to_frame().nucleus.show())]
            assert all(source.startswith(f"{served}/_nucleus_pandas/images/") for source in sources)
            assert names(dataset.items.to_frame().nucleus.show(items=dataset)) == dataset.iloc[:, 0].tolist()
            assert inlined(tiles(dataset.items.to_frame().nucleus.show(items=dataset))[0])

    @pytest.mark.parametrize(
        "address",
        [
            "https://example.org/_nucleus_pandas/images/a.jpg",
            "{endpoint}.example.org/_nucleus_pandas/images/a.jpg",
            "{endpoint}/dataset/ds_1/info",
            "{endpoint}/_nucleus_pandas/images/%2e%2e/a.jpg",
            "{endpoint}/_nucleus_pandas/images/a.jpg?key=1",
        ],
    )
    def test_other_addresses_are_linked_and_asked_for_nothing(
        self, served: str, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with npd.NucleusClient("live_0123456789abcdef", served, max_retries=0) as client:
            dataset = client.create_dataset("Elsewhere")
            url = address.format(endpoint=served)
            dataset.append([{"reference_id": "a", "image_url": url}])
            frame = dataset.items.to_frame()
            monkeypatch.setattr(client._transport, "_send", lambda *_: pytest.fail("a request was sent"))
            assert client._transport.image(url) is None
            assert tiles(frame.nucleus.show())[0].all("img")[0].attributes["src"] == url

    def test_a_image_that_the_server_has_lost_is_linked(self, served: str) -> None:
        with npd.NucleusClient(endpoint=served, max_retries=0) as client:
            dataset = client.create_dataset("Lost")
            url = f"{served}/_nucleus_pandas/images/ab/{'0' * 64}.jpg"
            dataset.append([{"reference_id": "a", "image_url": url}])
            assert tiles(dataset.items.show())[0].all("img")[0].attributes["src"] == url

    def test_few_requests_are_made(self, local: npd.NucleusClient, committed: tuple[npd.Dataset, npd.ModelRun]) -> None:
        from test_views import count_requests

        dataset, _ = committed
        dataset.items.show(2)  # asks once what the server can do
        counted = count_requests(local)
        dataset.annotations.show(4)
        assert sum(counted.values()) <= 6


class TestPage:
    def test_a_saved_page_needs_nothing_from_elsewhere(self, tmp_path: Path) -> None:
        found = sample.detections("careful")
        gallery = found.nucleus.show(items=sample.items(), ground_truth=sample.ground_truth())
        path = gallery.save(tmp_path / "gallery.html")
        assert path == tmp_path / "gallery.html"
        text = path.read_text(encoding="utf-8")
        page = Tree(text.removeprefix("<!DOCTYPE html>")).open[0]
        assert len(gallery) == 12
        assert path.stat().st_size < 500_000
        assert page.all("script") == []
        assert {img.attributes["src"][:23] for img in page.all("img")} == {"data:image/jpeg;base64,"}
        assert not re.search(r"url\(|@import|<link|href", re.sub(r"data:[^\"]+", "", text))
        assert page.all("title")[0].text == "12 images"
        assert page.all("meta", charset="utf-8")
        assert str(sample.items()["image_url"][0]) not in text  # no path of this machine

    def test_light_and_dark(self, images: pd.DataFrame, tmp_path: Path) -> None:
        text = images.nucleus.show().save(tmp_path / "gallery.html").read_text()
        assert "prefers-color-scheme:dark" in text
        # in a notebook the page's own colours hold
        assert "prefers-color-scheme" not in images.nucleus.show()._repr_html_()

    def test_a_notebook_shows_the_element(self, images: pd.DataFrame) -> None:
        gallery = images.nucleus.show()
        assert gallery._repr_html_() == gallery.html
        assert gallery.html.startswith('<div class="npd-gallery"')

    def test_equal_frames_give_equal_bytes(self, images: pd.DataFrame) -> None:
        assert images.nucleus.show().html == images.copy().nucleus.show().html


ALLOWED = {"div", "style", "p", "ul", "li", "figure", "figcaption", "img", "svg", "g", "rect", "text", "tspan", "title"}
ALLOWED |= {"span", "bdi", "b", "", "polygon", "polyline", "circle", "table", "tr", "th", "td", "caption", "code"}
ALLOWED |= {"thead", "tbody", "small", "root"}


def every(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from every(child)


def check_is_text(html: str) -> Node:
    tree = Tree(html).open[0]
    for node in every(tree):
        assert node.tag in ALLOWED
        assert not [name for name in node.attributes if name.startswith("on")]
    return tree


class TestHostileText:
    @pytest.mark.parametrize("sized", [False, True])
    def test_names_labels_ids_metadata_and_addresses_are_shown_as_text(self, images: pd.DataFrame, sized: bool) -> None:
        items = images.assign(reference_id=[HOSTILE, "b", "c"], metadata=[{HOSTILE: HOSTILE}, {}, {}])
        items.loc[1, "image_url"] = "https://example.org/" + HOSTILE
        if sized:
            items = items.assign(width=64, height=48)
        items.loc[2, "image_url"] = HOSTILE
        frame = boxed(HOSTILE, "b", "c", label=HOSTILE, annotation_id=HOSTILE, confidence=0.5, match_type="FP")
        gallery = frame.nucleus.show(items=items, ground_truth=frame.assign(x=1), color="label")
        tree = check_is_text(gallery.html)
        assert names(gallery)[0] == HOSTILE
        assert HOSTILE in told(tiles(gallery)[0])[0]
        assert legend(gallery)[-1] == HOSTILE[:119] + "…"
        assert tree.all("img")[1].attributes["src"] == "https://example.org/" + HOSTILE
        # what is read at a glance is short
        assert max(len(node.own) for node in every(tree) if node.tag == "") < 6_000
        assert all(len(text) < 40 for tile in tiles(gallery) for text in written(tile))

    def test_marks_of_direction_do_not_turn_what_stands_beside_them(self, images: pd.DataFrame) -> None:
        name = "photo\u202egpj.exe"
        frame = boxed("a.png", label=name, confidence=0.9)
        gallery = frame.nucleus.show(items=images.assign(reference_id=["a.png", "b", "c"]))
        (tile,) = tiles(gallery)
        assert written(tile) == ["photogpj.exe 0.90"]
        assert [tspan.text for tspan in tile.all("tspan")] == ["photogpj.exe"]
        assert told(tile) == [f"prediction, confidence 0.9\n{name}"]
        shown = [node.text for node in parsed(gallery).all("bdi") if "\u202e" in node.text]
        assert shown == [name]

    def test_half_a_surrogate_pair_can_be_saved(self, images: pd.DataFrame, tmp_path: Path) -> None:
        frame = images.astype(object)
        frame.loc[0, "image_url"] = "\ud800.jpg"
        text = frame.nucleus.show().save(tmp_path / "a.html").read_text(encoding="utf-8")
        assert "c.png" in text
        assert "has no address" in text

    def test_small_tables_of_a_notebook_show_text_and_stay_small(
        self, local: npd.NucleusClient, images: pd.DataFrame
    ) -> None:
        dataset = local.create_dataset(HOSTILE)
        result = dataset.append(images.assign(reference_id=[HOSTILE, "b", "c"]))
        model = local.add_model(HOSTILE, reference_id=HOSTILE)
        run = dataset.create_model_run(model, name=HOSTILE)
        truth = boxed(HOSTILE, label=HOSTILE, annotation_id=HOSTILE)
        dataset.annotate(truth)
        run.predict(truth.assign(confidence=0.5, label=f"not {HOSTILE}"))
        found, other = run.evaluate(), truth.assign(confidence=0.5).nucleus.evaluate(truth)
        assert model.name == HOSTILE
        things = [local, dataset, dataset.items, dataset.annotations, run, run.predictions, model, result, found]
        strange = npd.Dataset(local._transport, f"{HOSTILE}\ud800")
        for thing in (*things, found.compare(run.evaluate()), other, strange, strange.items, strange.annotations):
            html = thing._repr_html_()
            check_is_text(html)
            assert html.encode()
            assert len(html) < 25_000
            assert max(len(node.own) for node in every(Tree(html).open[0])) < 1_100


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def noise(kind: str) -> bytes:
    written = io.BytesIO()
    Image.effect_noise((200, 150), 90).convert("RGB").save(written, kind)
    return written.getvalue()


def png(width: int, height: int) -> bytes:
    """A small file that says that it holds a large image."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1_000))), chunk(b"IEND", b""))
    )
