"""Which boxes a gallery shows, and in whose colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.images.gallery.tiles import boxed, boxes, dashed, inlined, legend, names, parsed, tiles, tooltips, written


class TestBoxes:
    def test_boxes_lie_where_they_are_in_pixels_of_the_image(self, image_items: pd.DataFrame) -> None:
        frame = boxed("b.png", "b.png", "a.png", x=[1.5, 30, 2], label=["car", "bus", "car"])
        gallery = frame.nucleus.show(items=image_items)
        assert names(gallery) == ["b.png", "a.png"]
        first = tiles(gallery)[0]
        assert sorted(boxes(first)) == [[1.5, 6, 20, 30], [30, 6, 20, 30]]
        assert first.all("svg")[0].attributes["viewbox"] == "0 0 64 48"
        assert sorted(written(first)) == ["bus", "car"]
        assert "2 ground truth" in first.text

    def test_ground_truth_and_predictions_differ_in_more_than_colour(self, image_items: pd.DataFrame) -> None:
        found = boxed("a.png", confidence=0.75, x=30)
        gallery = found.nucleus.show(items=image_items, ground_truth=boxed("a.png"))
        (tile,) = tiles(gallery)
        assert dict(zip(tooltips(tile), dashed(tile), strict=True)) == {
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
    def test_boxes_of_other_layouts(self, image_items: pd.DataFrame, columns: dict[str, Any], layout: Any) -> None:
        frame = pd.DataFrame({"reference_id": ["a.png"], "label": "car", **columns})
        assert boxes(tiles(frame.nucleus.show(items=image_items, **layout))[0]) == [[4, 6, 20, 30]]

    def test_a_joint_frame_tells_the_images_itself(self, image_items: pd.DataFrame) -> None:
        joint = boxed("a.png", "a.png", "b.png", x=[1, 2, None], y=[1, 2, None]).merge(image_items)
        joint.loc[2, ["width", "height", "label"]] = None
        gallery = joint.assign(image_width=128, image_height=96).nucleus.show()
        assert [len(boxes(tile)) for tile in tiles(gallery)] == [2, 0]
        assert tiles(gallery)[0].all("svg")[0].attributes["viewbox"] == "0 0 128 96"

    def test_boxes_go_by_the_size_that_is_told(self, image_items: pd.DataFrame) -> None:
        items = image_items.assign(width=640, height=480)
        tile = tiles(boxed("a.png").nucleus.show(items=items))[0]
        assert tile.all("svg")[0].attributes["viewbox"] == "0 0 640 480"
        assert inlined(tile).size == (64, 48)

    def test_ids_of_items_name_images_too(self, image_items: pd.DataFrame) -> None:
        items = image_items.assign(dataset_item_id=["di_1", "di_2", "di_3"]).set_index("dataset_item_id")
        frame = boxed("di_2").rename(columns={"reference_id": "dataset_item_id"})
        assert names(frame.nucleus.show(items=items)) == ["b.png"]
        with pytest.raises(npd.InvalidInputError, match="names its images by 'dataset_item_id'. Column"):
            frame.nucleus.show(items=image_items)

    def test_integers_meet_the_texts_that_they_became(self, image_items: pd.DataFrame) -> None:
        items = image_items.assign(reference_id=["1", "2", "3"])
        assert names(boxed(2).nucleus.show(items=items)) == ["2"]

    def test_a_image_that_no_item_describes_leaves_its_name(self, image_items: pd.DataFrame) -> None:
        gallery = boxed("a.png", "z.png").nucleus.show(items=image_items)
        assert names(gallery) == ["a.png", "z.png"]
        assert "This image has no URL." in tiles(gallery)[1].text

    def test_rows_that_cannot_be_drawn_are_counted_with_a_reason(self, image_items: pd.DataFrame) -> None:
        frame = boxed("a.png", "a.png", "a.png", width=[20, -5, np.inf])
        (tile,) = tiles(frame.nucleus.show(items=image_items))
        assert len(boxes(tile)) == 1
        (warned,) = tile.all("span", class_="npd-warned")
        assert warned.text.startswith("2 rows not drawn: column 'width': the width of the box is -5")
        assert "is infinite" in warned.attributes["title"]

    def test_repeated_ids_are_drawn_as_often(self, image_items: pd.DataFrame) -> None:
        frame = boxed("a.png", "a.png", annotation_id="one", x=[1, 30])
        assert len(boxes(tiles(frame.nucleus.show(items=image_items))[0])) == 2

    def test_shapes_of_other_types(self, image_items: pd.DataFrame) -> None:
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
        (tile,) = tiles(frame.nucleus.show(items=image_items))
        drawn = "1,2 30,2 30,40"
        assert {one.attributes["points"] for one in tile.all("polygon")} == {drawn}
        assert {one.attributes["points"] for one in tile.all("polyline")} == {drawn}
        # what joins a place that is not known is not drawn
        assert {one.attributes["d"] for one in tile.all("path")} == {"M5 6h0M7 8h0M5 6L7 8"}
        assert "ground truth: night" in tile.text
        assert "1 row not drawn: a mask is not drawn" in tile.text

    def test_ten_thousand_boxes_on_a_image_stay_small_and_the_most_confident_are_drawn(
        self, image_items: pd.DataFrame
    ) -> None:
        count = 10_000
        rng = np.random.default_rng(0)
        frame = boxed(*["a.png"] * count, x=rng.uniform(0, 44, count), confidence=np.linspace(0, 1, count))
        gallery = frame.nucleus.show(items=image_items)
        (tile,) = tiles(gallery)
        assert len(boxes(tile)) == 200
        assert min(float(title.split()[2].rstrip("\ncar")) for title in tooltips(tile)) >= 0.98
        assert "10,000 predictions" in tile.text
        assert "200 drawn" in tile.text
        assert len(gallery.html) < 100_000

    def test_names_do_not_lie_over_each_other(self, image_items: pd.DataFrame) -> None:
        (tile,) = tiles(boxed(*["a.png"] * 3, label=["one", "two", "three"]).nucleus.show(items=image_items))
        assert len(boxes(tile)) == 3
        assert written(tile) == ["one"]

    def test_names_stay_inside_the_image(self, image_items: pd.DataFrame) -> None:
        frame = boxed("a.png", "a.png", x=[60, -50], y=[44, -20], label="a long name", confidence=0.5)
        (tile,) = tiles(frame.nucleus.show(items=image_items, size=280))
        for text in tile.all("text"):
            x, y, high = (float(text.attributes[name]) for name in ("x", "y", "font-size"))
            assert 0 <= x <= 64 - high * 0.5 * len("a long name 0.50")
            assert high * 0.7 <= y <= 48

    def test_frequent_labels_have_colours_of_their_own(self, image_items: pd.DataFrame) -> None:
        labels = [f"label {number}" for number in range(14) for _ in range(20 - number)]
        gallery = boxed(*["a.png"] * len(labels), label=labels).nucleus.show(items=image_items)
        assert legend(gallery) == ["ground truth", *(f"label {number}" for number in range(10)), "4 other labels"]
        swatches = [one.attributes["style"] for one in parsed(gallery).all("span", class_="npd-swatch")]
        assert len(set(swatches)) == 11
