"""Which items a gallery shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.images.gallery.tiles import boxed, inlined, names, parsed, tiles


class TestItems:
    def test_a_tile_a_image_in_the_order_of_the_frame(self, image_items: pd.DataFrame) -> None:
        gallery = image_items.iloc[::-1].nucleus.show()
        assert names(gallery) == ["c.png", "b.png", "a.png"]
        assert [inlined(tile).getpixel((5, 5)) for tile in tiles(gallery)] == [(0, 0, 254), (0, 255, 1), (254, 0, 0)]
        assert repr(gallery) == "<Gallery of 3 images>"
        assert "64 \N{MULTIPLICATION SIGN} 48" in tiles(gallery)[0].text

    def test_n_images_are_shown_of_more(self, image_items: pd.DataFrame) -> None:
        gallery = npd.show(image_items, 2)
        assert (len(gallery), names(gallery)) == (2, ["a.png", "b.png"])
        assert parsed(gallery).all("p")[0].text == "2 of 3 images"

    def test_names_of_columns_are_the_callers(self, image_items: pd.DataFrame) -> None:
        frame = image_items.set_index("reference_id").rename_axis("file").rename(columns={"image_url": "path"})
        assert names(frame.nucleus.show(columns={"reference_id": "file", "image_url": "path"})) == [
            "a.png",
            "b.png",
            "c.png",
        ]

    def test_paths_alone_are_enough(self, image_items: pd.DataFrame) -> None:
        paths = image_items[["image_url"]].map(Path)
        assert names(paths.nucleus.show()) == image_items["image_url"].tolist()

    def test_an_item_without_an_id_is_shown_too(self, image_items: pd.DataFrame) -> None:
        frame = image_items.assign(reference_id=["a", None, None])
        assert names(frame.nucleus.show()) == ["a", *image_items["image_url"].tolist()[1:]]

    def test_what_is_shown_of_a_frame_leaves_it_as_it_was(self, image_items: pd.DataFrame) -> None:
        frame = pd.concat([image_items, image_items]).assign(metadata=[{"k": 1}] * 6)
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
    def test_metadata_is_a_line_below(self, image_items: pd.DataFrame, columns: dict[str, Any], line: str) -> None:
        gallery = image_items.head(1).assign(**columns).nucleus.show()
        assert [said.text for said in parsed(gallery).all("bdi", class_="npd-said")] == [line]

    def test_a_gallery_of_nothing_says_so(self, image_items: pd.DataFrame) -> None:
        gallery = image_items.head(0).nucleus.show()
        assert (len(gallery), bool(gallery), repr(gallery)) == (0, True, "<Gallery of 0 images>")
        assert tiles(gallery) == []

    def test_where_images_are_has_to_be_told(self) -> None:
        with pytest.raises(npd.InvalidInputError, match="Column 'image_url' not found.*Pass items=dataset"):
            boxed("a.png").nucleus.show()
        with pytest.raises(npd.InvalidInputError, match="Column 'reference_id' not found; there is 'x'|there are 'x'"):
            pd.DataFrame({"x": [1]}).nucleus.show()

    def test_arguments_that_mean_nothing_are_refused(self, image_items: pd.DataFrame) -> None:
        for wrong in ({"n": 0}, {"n": True}, {"n": "2"}, {"size": 3}, {"size": 9_999}, {"size": 10.5}):
            with pytest.raises(npd.InvalidInputError, match=f"{next(iter(wrong))} is "):
                image_items.nucleus.show(**wrong)
        with pytest.raises(npd.InvalidInputError, match="color is 'label', 'match_type' or None, not 'red'"):
            image_items.nucleus.show(color="red")
        with pytest.raises(npd.InvalidInputError, match="size= sets how large they are"):
            image_items.nucleus.show(columns=4)
        with pytest.raises(npd.InvalidInputError, match="predictions= takes a DataFrame or a ModelRun, not str"):
            image_items.nucleus.show(predictions="run")
