"""Whatever is in the frames is shown as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.images.gallery.tiles import HOSTILE, Node, Tree, boxed, legend, names, parsed, tiles, tooltips, written
from tests.support.private import dataset_handle

ALLOWED = {"div", "style", "p", "ul", "li", "figure", "figcaption", "img", "svg", "g", "rect", "text", "tspan", "title"}


ALLOWED |= {"span", "bdi", "b", "", "polygon", "polyline", "path", "table", "tr", "th", "td", "caption", "code"}


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
    def test_names_labels_ids_metadata_and_addresses_are_shown_as_text(
        self, image_items: pd.DataFrame, sized: bool
    ) -> None:
        items = image_items.assign(reference_id=[HOSTILE, "b", "c"], metadata=[{HOSTILE: HOSTILE}, {}, {}])
        items.loc[1, "image_url"] = "https://example.org/" + HOSTILE
        if sized:
            items = items.assign(width=64, height=48)
        items.loc[2, "image_url"] = HOSTILE
        frame = boxed(HOSTILE, "b", "c", label=HOSTILE, annotation_id=HOSTILE, confidence=0.5, match_type="FP")
        gallery = frame.nucleus.show(items=items, ground_truth=frame.assign(x=1), color="label")
        tree = check_is_text(gallery.html)
        assert names(gallery)[0] == HOSTILE
        assert HOSTILE in tooltips(tiles(gallery)[0])[0]
        assert legend(gallery)[-1] == HOSTILE[:119] + "…"
        assert tree.all("img")[1].attributes["src"] == "https://example.org/" + HOSTILE
        # what is read at a glance is short
        assert max(len(node.own) for node in every(tree) if node.tag == "") < 6_000
        assert all(len(text) < 40 for tile in tiles(gallery) for text in written(tile))

    def test_marks_of_direction_do_not_turn_what_stands_beside_them(self, image_items: pd.DataFrame) -> None:
        name = "photo\u202egpj.exe"
        frame = boxed("a.png", label=name, confidence=0.9)
        gallery = frame.nucleus.show(items=image_items.assign(reference_id=["a.png", "b", "c"]))
        (tile,) = tiles(gallery)
        assert written(tile) == ["photogpj.exe 0.90"]
        assert [tspan.text for tspan in tile.all("tspan")] == ["photogpj.exe"]
        assert tooltips(tile) == [f"prediction, confidence 0.9\n{name}"]
        shown = [node.text for node in parsed(gallery).all("bdi") if "\u202e" in node.text]
        assert shown == [name]

    def test_half_a_surrogate_pair_can_be_saved(self, image_items: pd.DataFrame, tmp_path: Path) -> None:
        frame = image_items.astype(object)
        frame.loc[0, "image_url"] = "\ud800.jpg"
        text = frame.nucleus.show().save(tmp_path / "a.html").read_text(encoding="utf-8")
        assert "c.png" in text
        assert "has no URL" in text

    def test_small_tables_of_a_notebook_show_text_and_stay_small(
        self, local: npd.NucleusClient, image_items: pd.DataFrame
    ) -> None:
        dataset = local.create_dataset(HOSTILE)
        result = dataset.append(image_items.assign(reference_id=[HOSTILE, "b", "c"]))
        model = local.add_model(HOSTILE, reference_id=HOSTILE)
        run = dataset.create_model_run(model, name=HOSTILE)
        truth = boxed(HOSTILE, label=HOSTILE, annotation_id=HOSTILE)
        dataset.annotate(truth)
        run.predict(truth.assign(confidence=0.5, label=f"not {HOSTILE}"))
        found, other = run.evaluate(), truth.assign(confidence=0.5).nucleus.evaluate(truth)
        assert model.name == HOSTILE
        things = [local, dataset, dataset.items, dataset.annotations, run, run.predictions, model, result, found]
        strange = dataset_handle(local, f"{HOSTILE}\ud800")
        for thing in (*things, found.compare(run.evaluate()), other, strange, strange.items, strange.annotations):
            html = thing._repr_html_()
            check_is_text(html)
            assert html.encode()
            assert len(html) < 25_000
            assert max(len(node.own) for node in every(Tree(html).open[0])) < 1_100
