"""Galleries of matches."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas import sample
from tests.images.gallery.tiles import boxed, boxes, legend, names, tiles, tooltips, written


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

    def test_boxes_lie_right_on_copies_of_another_size(
        self, local: npd.NucleusClient, image_items: pd.DataFrame
    ) -> None:
        dataset = local.create_dataset("Copies")
        image_items.assign(width=640, height=480).nucleus.append(dataset)
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
        assert re.search(r"TP, prediction, confidence 0\.\d+, IoU 0\.\d+", "".join(tooltips(tiles(found)[0])))

    def test_matches_of_a_run_and_of_an_evaluation_show_the_same(
        self, committed: tuple[npd.Dataset, npd.ModelRun]
    ) -> None:
        dataset, run = committed
        stored = run.matches(0.5).nucleus.show(ground_truth=dataset, predictions=run)
        items, truth, found = sample.items(), sample.ground_truth(), sample.detections("eager")
        evaluation = found.nucleus.evaluate(truth, items=items)
        computed = evaluation.matches.nucleus.show(items=items, ground_truth=truth, predictions=found)
        told_of = [title for tile in tiles(stored) for title in tooltips(tile)]
        assert told_of == [title for tile in tiles(computed) for title in tooltips(tile)]
        sides = {"TP": ("ground truth", "prediction"), "FP": ("prediction",), "FN": ("ground truth",)}
        for kind, expected in sides.items():
            for side in expected:
                count = sum(title.startswith(f"{kind}, {side}") for title in told_of)
                assert count == evaluation.counts[kind].sum()
        assert len(told_of) == evaluation.counts[["TP", "FP", "FN", "TP"]].sum().sum()

    def test_matches_need_the_boxes_that_they_name(self, image_items: pd.DataFrame) -> None:
        matches = boxed("a.png", confidence=0.5).nucleus.evaluate(boxed("a.png")).matches
        with pytest.raises(npd.InvalidInputError, match="Pass ground_truth= and predictions= too"):
            matches.nucleus.show(items=image_items)
        gallery = matches.nucleus.show(items=image_items, ground_truth=boxed("a.png", x=1), predictions=boxed("a.png"))
        assert "not drawn: the ground truth" in tiles(gallery)[0].text

    def test_suspects_and_what_a_comparison_lost_name_boxes_too(self) -> None:
        items, truth = sample.items(), sample.ground_truth()
        careful, eager = (sample.detections(name).nucleus.evaluate(truth, items=items) for name in sample.DETECTORS)
        lost = careful.compare(eager).lost
        gallery = lost.nucleus.show(items=items, ground_truth=truth, predictions=sample.detections("careful"))
        assert sum(len(tooltips(tile)) for tile in tiles(gallery)) == 2 * len(lost)
        suspects = careful.suspects()
        gallery = suspects.nucleus.show(items=items, ground_truth=truth, predictions=sample.detections("careful"))
        drawn = [title.partition("\n")[0].partition(",")[0] for tile in tiles(gallery) for title in tooltips(tile)]
        sides = {"ground truth": "annotation_id", "prediction": "prediction_id"}
        assert {side: drawn.count(side) for side in sides} == {
            side: suspects[name].notna().sum() for side, name in sides.items()
        }

    def test_colours_tell_what_is_asked_for(self, committed: tuple[npd.Dataset, npd.ModelRun]) -> None:
        missed = committed[1].examples("FN", limit=4)
        assert set(legend(missed.nucleus.show(color="label"))[1:]) == set(missed["label"])

    def test_frames_with_a_column_of_matches_are_coloured_by_it(self, image_items: pd.DataFrame) -> None:
        frame = boxed("a.png", "a.png", x=[1, 30], confidence=0.5, match_type=["TP", "FP"])
        gallery = frame.nucleus.show(items=image_items)
        assert legend(gallery) == ["prediction", "TP true positive", "FP false positive"]
        assert sorted(written(tiles(gallery)[0])) == ["FP car 0.50", "TP car 0.50"]
