"""Galleries as pages: servers, links, legends."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas import sample
from tests.images.gallery.tiles import Tree, boxes, dashed, inlined, names, tiles
from tests.support.private import transport_of


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
            monkeypatch.setattr(transport_of(client), "_send", lambda *_: pytest.fail("a request was sent"))
            assert transport_of(client).image(url) is None
            assert tiles(frame.nucleus.show())[0].all("img")[0].attributes["src"] == url

    def test_a_image_that_the_server_has_lost_is_linked(self, served: str) -> None:
        with npd.NucleusClient(endpoint=served, max_retries=0) as client:
            dataset = client.create_dataset("Lost")
            url = f"{served}/_nucleus_pandas/images/ab/{'0' * 64}.jpg"
            dataset.append([{"reference_id": "a", "image_url": url}])
            assert tiles(dataset.items.show())[0].all("img")[0].attributes["src"] == url

    def test_few_requests_are_made(self, local: npd.NucleusClient, committed: tuple[npd.Dataset, npd.ModelRun]) -> None:
        from tests.views.test_views import count_requests

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

    def test_light_and_dark(self, image_items: pd.DataFrame, tmp_path: Path) -> None:
        text = image_items.nucleus.show().save(tmp_path / "gallery.html").read_text()
        assert "prefers-color-scheme:dark" in text
        # in a notebook the page's own colours hold
        assert "prefers-color-scheme" not in image_items.nucleus.show()._repr_html_()

    def test_a_notebook_shows_the_element(self, image_items: pd.DataFrame) -> None:
        gallery = image_items.nucleus.show()
        assert gallery._repr_html_() == gallery.html
        assert gallery.html.startswith('<div class="npd-gallery"')

    def test_equal_frames_give_equal_bytes(self, image_items: pd.DataFrame) -> None:
        assert image_items.nucleus.show().html == image_items.copy().nucleus.show().html
