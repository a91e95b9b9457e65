"""Evaluations of frames: their tables, how frames meet, groups, suspects, comparisons."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.schema import MATCHES
from tests.factories import flat_box
from tests.support import coco_val2014

SUMMARY = [
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium",
    "AR_large", "precision", "recall", "F1", "best_confidence",
]  # fmt: skip
COUNTS = dict.fromkeys(("ground_truths", "predictions", "TP", "FP", "FN"), "int64")
RATIOS = dict.fromkeys(("precision", "recall", "F1"), "float64")
IDS = dict.fromkeys(("dataset_item_id", "reference_id"), TEXT)
TABLES: dict[str, tuple[str | None, dict[str, str]]] = {
    "per_class": (
        "label",
        dict.fromkeys(("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR"), "float64")
        | COUNTS
        | {"ignored_by_map": "bool", "reason": TEXT},
    ),
    "pr_curve": (
        None,
        {"label": TEXT} | dict.fromkeys(("iou_threshold", "recall", "precision", "confidence"), "float64"),
    ),
    "ap_by_size": (
        "area",
        dict.fromkeys(("low", "high", "AP", "AP50", "AP75", "AR"), "float64") | {"ground_truths": "int64"},
    ),
    "counts": ("label", COUNTS | RATIOS),
    "score_histogram": (None, {"low": "float64", "high": "float64", "TP": "int64", "FP": "int64"}),
    "f1_curve": (None, {"confidence": "float64"} | dict.fromkeys(("TP", "FP", "FN"), "int64") | RATIOS),
    "tide": ("error", {"count": "int64", "share": "float64"}),
    "matches": (None, MATCHES),
    "images": (None, IDS | COUNTS),
}
SUSPECTS = {name: kind for name, kind in MATCHES.items() if name != "match_type"} | {
    "suspicion": TEXT,
    "score": "float64",
}


@pytest.fixture
def ground_truth() -> pd.DataFrame:
    """Three images of cars and buses; the third one has none."""
    rows = [
        flat_box("a.jpg", "car", 0),
        flat_box("a.jpg", "bus", 100, 50),
        flat_box("b.jpg", "car", 0),
        flat_box("c.jpg", None, None, None),
    ]
    return pd.DataFrame(rows).assign(annotation_id=["g0", "g1", "g2", None])


@pytest.fixture
def predictions() -> pd.DataFrame:
    """One right, one of a wrong label, one beside the car, one where nothing is."""
    rows = [
        flat_box("a.jpg", "car", 0, confidence=0.9),
        flat_box("a.jpg", "car", 100, 50, confidence=0.8),
        flat_box("b.jpg", "car", 6, confidence=0.7),
        flat_box("c.jpg", "dog", 0, confidence=0.6),
    ]
    return pd.DataFrame(rows).assign(annotation_id=["p0", "p1", "p2", "p3"])


@pytest.fixture
def evaluation(predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> npd.Evaluation:
    return npd.evaluate(predictions, ground_truth)


@pytest.fixture(scope="module")
def coco() -> npd.Evaluation:
    """The evaluation of the published data."""
    return npd.evaluate(coco_val2014.detections(), coco_val2014.ground_truth(), bbox="bbox", bbox_format="xywh")


def no_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[:0]


class TestTables:
    @pytest.mark.parametrize("empty", [(), ("predictions",), ("truth",), ("predictions", "truth")], ids=str)
    @pytest.mark.parametrize("name", TABLES)
    def test_columns_and_dtypes_are_fixed(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame, name: str, empty: tuple[str, ...]
    ) -> None:
        found = npd.evaluate(
            no_rows(predictions) if "predictions" in empty else predictions,
            no_rows(ground_truth) if "truth" in empty else ground_truth,
        )
        frame = getattr(found, name)
        index, columns = TABLES[name]
        assert frame.dtypes.astype(str).to_dict() == pd.Series(columns).to_dict()
        assert frame.index.name == index
        assert index is None or str(frame.index.dtype) == TEXT
        assert index is not None or frame.index.equals(pd.RangeIndex(len(frame)))

    def test_summary(self, evaluation: npd.Evaluation) -> None:
        assert evaluation.summary.index.tolist() == SUMMARY
        assert evaluation.summary.dtype == np.float64
        assert evaluation.summary[["precision", "recall"]].round(3).tolist() == [0.25, 0.333]
        assert evaluation.summary["F1"] == pytest.approx(2 / 7)
        assert evaluation.summary["best_confidence"] == 0.9

    def test_names_follow_max_dets_and_area_ranges(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(predictions, ground_truth, max_dets=(1, 300), area_ranges={"tiny": (0, 100)})
        assert found.summary.index[:8].tolist() == [
            "AP", "AP50", "AP75", "AP_tiny", "AR_1", "AR_300", "AR_tiny", "precision",
        ]  # fmt: skip
        assert found.ap_by_size.index.tolist() == ["all", "tiny"]
        assert found.ap_by_size["ground_truths"].tolist() == [3, 2]
        assert "AP_tiny" in found.per_class

    def test_counts(self, evaluation: npd.Evaluation) -> None:
        counts = evaluation.counts
        assert counts.index.tolist() == ["bus", "car", "dog"]
        assert counts[["TP", "FP", "FN"]].to_numpy().tolist() == [[0, 0, 1], [1, 2, 1], [0, 1, 0]]

    def test_per_class_says_which_labels_the_mean_leaves_out_and_why(self, evaluation: npd.Evaluation) -> None:
        table = evaluation.per_class
        assert table["ignored_by_map"].to_dict() == {"bus": False, "car": False, "dog": True}
        assert table["reason"].fillna("").to_dict() == {"bus": "", "car": "", "dog": "no ground truth"}
        assert np.isnan(table.loc["dog", "AP"])
        assert evaluation.summary["AP"] == pytest.approx(table["AP"].mean())
        assert any("'dog'" in note for note in evaluation.notes)

    def test_confusion_matrix_has_a_background(self, evaluation: npd.Evaluation) -> None:
        table = evaluation.confusion_matrix
        names = ["bus", "car", "dog", "__background__"]
        assert (table.index.tolist(), table.columns.tolist()) == (names, names)
        assert (table.index.name, table.columns.name) == ("label", "predicted_label")
        assert set(table.dtypes) == {np.dtype("int64")}
        assert table.to_numpy().tolist() == [[0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]]

    def test_pr_curve(self, evaluation: npd.Evaluation) -> None:
        curve = evaluation.pr_curve
        assert len(curve) == 2 * 10 * 101
        car = curve[(curve["label"] == "car") & (curve["iou_threshold"] == 0.5)]
        assert car["precision"].round(9).tolist() == [1.0] * 51 + [0.0] * 50
        assert car["confidence"].fillna(-1).tolist() == [0.9] * 51 + [-1] * 50
        assert curve.groupby("label")["precision"].mean().to_dict() == pytest.approx(
            evaluation.per_class["AP"].drop("dog").to_dict()
        )

    def test_score_histogram(self, evaluation: npd.Evaluation) -> None:
        table = evaluation.score_histogram.query("TP + FP > 0")
        assert table["low"].tolist() == [0.6, 0.7, 0.8, 0.9]
        assert table["high"].tolist() == [0.65, 0.75, 0.85, 0.95]
        assert table[["TP", "FP"]].to_numpy().tolist() == [[0, 1], [0, 1], [0, 1], [1, 0]]
        full = npd.evaluate(
            pd.DataFrame([flat_box("a", "car", 0, confidence=1.0)]), pd.DataFrame([flat_box("a", "car", 0)])
        ).score_histogram
        assert full["TP"].tolist() == [0] * 19 + [1]

    def test_f1_curve(self, evaluation: npd.Evaluation) -> None:
        curve = evaluation.f1_curve
        assert curve["confidence"].tolist() == [0.9, 0.8, 0.7, 0.6]
        assert curve[["TP", "FP", "FN"]].to_numpy().tolist() == [[1, 0, 2], [1, 1, 2], [1, 2, 2], [1, 3, 2]]
        assert curve["F1"].iloc[0] == 0.5

    def test_matches_are_those_of_a_commit(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        items = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg", "c.jpg"]})
        items["image_url"] = "https://example.org/" + items["reference_id"]
        for given in ({}, {"class_agnostic": False}, {"allowed_label_matches": [("bus", "car"), ("car", "car")]}):
            with npd.NucleusClient.local() as client:
                dataset = client.create_dataset("Doc")
                items.nucleus.append(dataset)
                ground_truth.nucleus.annotate(dataset)
                run = dataset.create_model_run(client.add_model("Detector", "d"))
                predictions.nucleus.predict(run)
                run.commit(**given)
                for threshold in (0.2, 0.5, 1.0):
                    own = npd.evaluate(
                        run.predictions.to_frame(),
                        dataset.annotations.to_frame(),
                        items=dataset.items.to_frame(),
                        iou_threshold=threshold,
                        **given,
                    )
                    pd.testing.assert_frame_equal(own.matches, run.matches(threshold))

    @pytest.mark.parametrize("threshold", [0.05, 0.5, 0.75, 1.0])
    @pytest.mark.parametrize("given", [{}, {"class_agnostic": False}], ids=str)
    def test_nothing_vanishes(self, given: dict[str, Any], threshold: float) -> None:
        truth, predictions = coco_val2014.ground_truth(), coco_val2014.detections()
        found = npd.evaluate(predictions, truth, bbox="bbox", bbox_format="xywh", iou_threshold=threshold, **given)
        counts, kinds = found.counts, found.matches["match_type"].value_counts()
        truths = int((truth["iscrowd"] == 0).sum())
        assert counts["TP"].sum() + counts["FN"].sum() == counts["ground_truths"].sum() == truths
        assert counts["TP"].sum() + counts["FP"].sum() == counts["predictions"].sum() == len(predictions)
        assert (counts["TP"] + counts["FN"]).equals(counts["ground_truths"])
        assert (counts["TP"] + counts["FP"]).equals(counts["predictions"])
        assert kinds.reindex(["TP", "FP", "FN"], fill_value=0).tolist() == counts[["TP", "FP", "FN"]].sum().tolist()
        matrix = found.confusion_matrix
        assert matrix.sum(axis=1).drop("__background__").tolist() == counts["ground_truths"].tolist()
        assert matrix.sum(axis=0).drop("__background__").tolist() == counts["predictions"].tolist()
        assert np.diag(matrix)[:-1].tolist() == counts["TP"].tolist()
        assert found.score_histogram[["TP", "FP"]].sum().tolist() == counts[["TP", "FP"]].sum().tolist()
        assert found.f1_curve[["TP", "FP", "FN"]].iloc[-1].tolist() == counts[["TP", "FP", "FN"]].sum().tolist()
        assert found.images.drop(columns=list(IDS)).sum().to_dict() == counts[list(COUNTS)].sum().to_dict()

    def test_results_name_matcher_engine_and_parameters(self, evaluation: npd.Evaluation) -> None:
        assert evaluation.matchers["summary"] == "coco"
        assert evaluation.matchers["counts"] == evaluation.matchers["matches"] == "nucleus"
        assert evaluation.matchers["tide"] == "tide"
        assert evaluation.engine == "hotcoco"
        assert re.fullmatch(r"\d+\.\d+.*", evaluation.engine_version)
        assert evaluation.area_source == "width times height"
        assert evaluation.parameters == {
            "iou_threshold": 0.5,
            "class_agnostic": True,
            "allowed_label_matches": None,
            "max_dets": (1, 10, 100),
            "area_ranges": {
                "all": (0.0, 1e10),
                "small": (0.0, 1024.0),
                "medium": (1024.0, 9216.0),
                "large": (9216.0, 1e10),
            },
            "iou_type": "bbox",
        }

    def test_html_names_them_too_and_escapes(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        ground_truth["label"] = ground_truth["label"].replace("car", "<b>car</b>")
        html = npd.evaluate(predictions, ground_truth)._repr_html_()
        assert "&lt;b&gt;car&lt;/b&gt;" in html
        assert "<b>car" not in html
        for said in ("hotcoco", "coco", "nucleus", "iou_threshold 0.5", "max_dets (1, 10, 100)", "AP50"):
            assert said in html
        assert not re.search(r"<script|src=|href=|https?:", html)

    def test_class_agnostic_matching_may_find_fewer(self) -> None:
        """The highest IoU goes first, whatever the label; COCO's numbers do not know of it."""
        truth = pd.DataFrame([flat_box("a", "car", 0), flat_box("a", "bus", 2)])
        predictions = pd.DataFrame([flat_box("a", "car", 2, confidence=0.9)])
        agnostic = npd.evaluate(predictions, truth)
        aware = npd.evaluate(predictions, truth, class_agnostic=False)
        assert (agnostic.counts["TP"].sum(), aware.counts["TP"].sum()) == (0, 1)
        pd.testing.assert_series_equal(aware.summary.iloc[:12], agnostic.summary.iloc[:12])


class TestFrames:
    def test_accessor_is_the_function(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        own = predictions.nucleus.evaluate(ground_truth, iou_threshold=0.3)
        pd.testing.assert_series_equal(own.summary, npd.evaluate(predictions, ground_truth, iou_threshold=0.3).summary)

    def test_the_frames_stay_as_they_are(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        before = predictions.copy(), ground_truth.copy()
        found = npd.evaluate(predictions, ground_truth)
        _ = found.per_class, found.matches, found.suspects()
        pd.testing.assert_frame_equal(predictions, before[0])
        pd.testing.assert_frame_equal(ground_truth, before[1])

    def test_item_ids_join_where_one_frame_has_nothing_else(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        expected = npd.evaluate(predictions, ground_truth).matches
        ground_truth["dataset_item_id"] = "di_" + ground_truth["reference_id"]
        predictions["dataset_item_id"] = "di_" + predictions.pop("reference_id")
        found = npd.evaluate(predictions, ground_truth).matches
        pd.testing.assert_frame_equal(found.drop(columns="dataset_item_id"), expected.drop(columns="dataset_item_id"))
        assert (found["dataset_item_id"] == "di_" + found["reference_id"]).all()

    def test_reference_ids_go_first_where_both_frames_have_both(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        expected = npd.evaluate(predictions, ground_truth).summary
        ground_truth["dataset_item_id"] = "this_" + ground_truth["reference_id"]
        predictions["dataset_item_id"] = "other_" + predictions["reference_id"]
        pd.testing.assert_series_equal(npd.evaluate(predictions, ground_truth).summary, expected)

    def test_item_ids_join_where_reference_ids_have_gaps(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        expected = npd.evaluate(predictions, ground_truth).summary
        for frame in (ground_truth, predictions):
            frame["dataset_item_id"] = "di_" + frame["reference_id"]
        predictions.loc[0, "reference_id"] = None
        pd.testing.assert_series_equal(npd.evaluate(predictions, ground_truth).summary, expected)

    def test_integers_are_their_decimal_strings(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        numbers = {"a.jpg": 10, "b.jpg": 9, "c.jpg": 100}
        expected = npd.evaluate(predictions, ground_truth).summary
        ground_truth["reference_id"] = ground_truth["reference_id"].map(numbers)
        predictions["reference_id"] = predictions["reference_id"].map(numbers).astype(str)
        pd.testing.assert_series_equal(npd.evaluate(predictions, ground_truth).summary, expected)

    def test_each_frame_takes_the_names_that_it_has(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        expected = npd.evaluate(predictions, ground_truth).summary
        predictions = predictions.rename(columns={"confidence": "score"})
        predictions["bbox"] = predictions[["x", "y", "width", "height"]].to_numpy().tolist()
        found = npd.evaluate(
            predictions.drop(columns=["x", "y", "width", "height"]),
            ground_truth.rename(columns={"label": "class"}),
            columns={"confidence": "score", "label": "class"},
            bbox="bbox",
            bbox_format="xywh",
        )
        pd.testing.assert_series_equal(found.summary, expected)

    def test_named_index_levels_and_other_dtypes(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        expected = npd.evaluate(predictions, ground_truth).summary
        ground_truth = ground_truth.astype({"label": "category"}).set_index("reference_id")
        predictions = predictions.convert_dtypes(dtype_backend="pyarrow")
        pd.testing.assert_series_equal(npd.evaluate(predictions, ground_truth).summary, expected)

    def test_images_without_boxes_are_evaluated(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(predictions, ground_truth).images
        assert found["reference_id"].tolist() == ["a.jpg", "b.jpg", "c.jpg"]
        assert found["FP"].tolist() == [1, 1, 1]

    def test_items_name_the_images(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        items = pd.DataFrame({"reference_id": ["d.jpg", "c.jpg", "b.jpg", "a.jpg"]})
        found = npd.evaluate(predictions, ground_truth.dropna(), items=items).images
        assert found["reference_id"].tolist() == items["reference_id"].tolist()
        assert found["ground_truths"].tolist() == [0, 0, 1, 2]

    def test_crowds_are_neither_found_nor_missed(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        marks = [1, 0, 0, 0]
        forms = {
            "column": ground_truth.assign(iscrowd=marks),
            "floats": ground_truth.assign(iscrowd=[1.0, np.nan, 0.0, None]),
            "key column": ground_truth.assign(**{"metadata.iscrowd": [True, False, False, False]}),
            "dicts": ground_truth.assign(metadata=[{"iscrowd": mark} for mark in marks]),
            "texts": ground_truth.assign(metadata=[f'{{"iscrowd": {mark}}}' for mark in marks]),
            "some": ground_truth.assign(metadata=[{"iscrowd": 1}, None, {"other": 1}, "{"]),
        }
        for form, frame in forms.items():
            found = npd.evaluate(predictions, frame)
            assert found.counts["ground_truths"].to_dict() == {"bus": 1, "car": 1, "dog": 0}, form
            assert "g0" not in set(found.matches["annotation_id"]), form
            assert found.tide["count"].sum() == npd.evaluate(predictions, ground_truth).tide["count"].sum(), form

    def test_areas_come_from_their_column_where_it_is_filled(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        found = npd.evaluate(predictions, ground_truth.assign(area=[2000.0, None, None, None]))
        assert found.area_source == "the column 'area', and width times height where it is empty"
        assert found.ap_by_size["ground_truths"].to_dict() == {"all": 3, "small": 2, "medium": 1, "large": 0}

    def test_polygons_in_geometry_are_masks(self) -> None:
        def polygon(image: str, *corners: tuple[float, float], **more: Any) -> dict[str, Any]:
            vertices = [{"x": x, "y": y} for x, y in corners]
            return {
                "reference_id": image,
                "label": "car",
                "type": "polygon",
                "geometry": {"vertices": vertices},
                **more,
            }

        truth = pd.DataFrame([polygon("a", (0, 0), (20, 0), (20, 10), (0, 10))])
        half = pd.DataFrame([polygon("a", (0, 0), (20, 0), (0, 10), confidence=0.9)])  # of the same bounding box
        found = npd.evaluate(half, truth, iou_type="segm", iou_threshold=0.3)
        assert found.matches["iou"].round(1).tolist() == [0.5]
        assert found.area_source == "pixels of the mask"
        assert found.ap_by_size.loc["small", "ground_truths"] == 1


class TestGroups:
    @pytest.fixture
    def items(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "reference_id": ["a.jpg", "b.jpg", "c.jpg"],
                "weather": ["sun", "fog", None],
                "metadata": [{"hour": 9}, {"hour": 10}, {"hour": 9}],
            }
        )

    @pytest.fixture
    def evaluation(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame, items: pd.DataFrame) -> npd.Evaluation:
        return npd.evaluate(predictions, ground_truth, items=items)

    def test_by_a_column(self, evaluation: npd.Evaluation) -> None:
        found = evaluation.by("weather")
        assert found.index.name == "weather"
        assert found.index.isna().tolist() == [False, False, True]
        assert found.index[:2].tolist() == ["fog", "sun"]
        assert found.columns.tolist() == ["images", *COUNTS, *SUMMARY]
        assert set(found.dtypes[:6]) == {np.dtype("int64")}
        assert set(found.dtypes[6:]) == {np.dtype("float64")}
        assert found["FP"].tolist() == [1, 1, 1]
        assert found["AP50"].round(9).fillna(-1).tolist() == [0, 0.5, -1]

    def test_groups_are_evaluations_of_their_images(
        self, evaluation: npd.Evaluation, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        found = evaluation.by("metadata.hour")
        assert found.index.tolist() == [9, 10]
        alone = npd.evaluate(
            predictions[lambda f: f["reference_id"] != "b.jpg"], ground_truth[lambda f: f["reference_id"] != "b.jpg"]
        )
        pd.testing.assert_series_equal(found.loc[9, SUMMARY], alone.summary, check_names=False)

    @pytest.mark.parametrize("seed", range(3))
    def test_counts_of_groups_add_up(self, coco: npd.Evaluation, seed: int) -> None:
        ids = coco.images["reference_id"]
        groups = pd.Series(np.random.default_rng(seed).integers(0, 4, len(ids)), index=ids, name="part")
        found = coco.by(groups)
        assert found.index.name == "part"
        assert found[list(COUNTS)].sum().to_dict() == coco.counts[list(COUNTS)].sum().to_dict()
        assert found["images"].sum() == 100

    def test_by_what(self, evaluation: npd.Evaluation, items: pd.DataFrame) -> None:
        hours = evaluation.by("metadata.hour")
        series = pd.Series([9, 10, 9], index=items["reference_id"], name="metadata.hour")
        pd.testing.assert_frame_equal(evaluation.by(series), hours)
        function = evaluation.by(lambda key: 10 if key == "b.jpg" else 9)
        pd.testing.assert_frame_equal(function.rename_axis("metadata.hour"), hours)
        slices = evaluation.by({"late": ["b.jpg"], "all": ["a.jpg", "b.jpg", "c.jpg"]})
        assert slices["images"].to_dict() == {"late": 1, "all": 3}
        pd.testing.assert_series_equal(slices.loc["all", SUMMARY], evaluation.summary, check_names=False)

    def test_by_a_column_of_the_ground_truth(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(predictions, ground_truth.assign(city=["x", "x", "y", "y"])).by("city")
        assert found["images"].to_dict() == {"x": 1, "y": 2}

    @pytest.mark.parametrize(
        ("by", "text"),
        [
            ("wether", "Column 'wether' not found; there are 'reference_id', 'weather'"),
            ("metadata.none", "Column 'metadata.none' not found"),
            ("metadata", "lists or dicts"),
            (pd.Series([1], index=["x"]), "names none of the 3 images"),
            (pd.Series([1], index=["a.jpg"]), "lacks 2 images, 'b.jpg', 'c.jpg'"),
            (pd.Series([1, 2], index=["a.jpg", "a.jpg"]), "more than once"),
            ({"x": ["a.jpg", "z.jpg"]}, "'x' holds 1 images, 'z.jpg'"),
            ({"x": "a.jpg"}, "is a list of ids"),
        ],
    )
    def test_what_groups_nothing_is_refused(self, evaluation: npd.Evaluation, by: Any, text: str) -> None:
        with pytest.raises(npd.InvalidInputError, match=re.escape(text)):
            evaluation.by(by)

    def test_a_column_that_differs_within_a_image_is_refused(self, evaluation: npd.Evaluation) -> None:
        with pytest.raises(npd.InvalidInputError, match="differs within 1 images, such as 'a.jpg'"):
            evaluation.by("annotation_id")


class TestSuspects:
    def test_kinds_and_scores(self, evaluation: npd.Evaluation) -> None:
        found = evaluation.suspects()
        assert found.dtypes.astype(str).to_dict() == pd.Series(SUSPECTS).to_dict()
        assert found["suspicion"].tolist() == ["wrong label", "missing annotation", "wrong box"]
        assert found["score"].round(3).tolist() == [0.8, 0.6, 0.525]  # 0.7 times 1 - 4 / 16
        assert found["annotation_id"].fillna("").tolist() == ["g1", "", "g2"]
        assert found["prediction_id"].tolist() == ["p1", "p3", "p2"]

    def test_unsure_predictions_say_nothing(self, evaluation: npd.Evaluation) -> None:
        assert evaluation.suspects(min_confidence=0.65)["suspicion"].tolist() == ["wrong label", "wrong box"]
        assert evaluation.suspects(min_confidence=1).empty

    def test_ground_truth_that_nothing_is_near(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(predictions.iloc[[0, 3]], ground_truth).suspects()
        lonely = found[found["suspicion"] == "nothing there"]
        assert lonely[["annotation_id", "score"]].to_numpy().tolist() == [["g2", 0.25], ["g1", 0.0]]
        assert lonely["prediction_id"].isna().all()

    def test_a_false_positive_in_a_crowd_is_no_suspect(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        crowd = pd.DataFrame([flat_box("c.jpg", "dog", 0, 100, iscrowd=1)])
        found = npd.evaluate(predictions, pd.concat([ground_truth, crowd])).suspects()
        assert "missing annotation" not in set(found["suspicion"])

    @pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, "0.5", True])
    def test_min_confidence_is_a_confidence(self, evaluation: npd.Evaluation, value: Any) -> None:
        with pytest.raises(npd.InvalidInputError, match="min_confidence must be a number from 0 to 1"):
            evaluation.suspects(min_confidence=value)

    def test_swapped_labels_stand_first(self) -> None:
        """Of a ground truth into which wrong labels are put, these are what is found."""
        truth = coco_val2014.ground_truth()
        truth = truth[truth["iscrowd"] == 0]
        chosen = truth.sample(15, random_state=3)
        perfect = truth.assign(confidence=0.9).drop(columns="annotation_id")
        truth.loc[chosen.index, "label"] = "wrong"
        found = npd.evaluate(perfect, truth, bbox="bbox", bbox_format="xywh").suspects()
        assert set(found["annotation_id"].iloc[:15]) == set(chosen["annotation_id"].astype(str))


class TestComparison:
    @pytest.fixture
    def other(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> npd.Evaluation:
        """Predictions that found the bus and the second car, and lost the first one."""
        better = predictions.iloc[1:].assign(x=[100, 0, 0], label=["bus", "car", "dog"])
        return npd.evaluate(better, ground_truth)

    def test_what_was_won_and_lost(self, evaluation: npd.Evaluation, other: npd.Evaluation) -> None:
        found = evaluation.compare(other)
        assert found.won["annotation_id"].tolist() == ["g1", "g2"]
        assert found.lost["annotation_id"].tolist() == ["g0"]
        assert found.lost[["prediction_id", "iou", "confidence"]].to_numpy().tolist() == [["p0", 1.0, 0.9]]
        assert found.lost[["prediction_id_other", "iou_other"]].isna().all(axis=None)
        assert found.won["iou"].round(3).tolist() == [1.0, 0.25]
        assert found.per_class[["won", "lost"]].to_dict("index") == {
            "bus": {"won": 1, "lost": 0},
            "car": {"won": 1, "lost": 1},
            "dog": {"won": 0, "lost": 0},
        }
        assert found.per_item.set_index("reference_id")["TP_difference"].to_dict() == {
            "a.jpg": 0,
            "b.jpg": 1,
            "c.jpg": 0,
        }
        assert found.per_item["won"].tolist() == [1, 1, 0]

    def test_columns_and_dtypes_are_fixed(self, evaluation: npd.Evaluation, other: npd.Evaluation) -> None:
        def three(names: str, kind: str) -> dict[str, str]:
            return {f"{name}{end}": kind for name in names.split() for end in ("", "_other", "_difference")}

        found = evaluation.compare(other)
        ends = {"won": "int64", "lost": "int64"}
        change = dict.fromkeys(("annotation_id", "label", "prediction_id", "prediction_id_other"), TEXT)
        change = IDS | change | dict.fromkeys(("iou", "iou_other", "confidence", "confidence_other"), "float64")
        for frame, columns in (
            (found.summary, dict.fromkeys(("this", "other", "difference"), "float64")),
            (found.per_class, three("AP AP50 AR", "float64") | three("TP FP FN", "int64") | ends),
            (found.per_item, IDS | three("TP FP FN", "int64") | ends),
            (found.won, change),
            (found.lost, change),
            (evaluation.compare(evaluation).won, change),
        ):
            assert frame.dtypes.astype(str).to_dict() == pd.Series(columns).to_dict()
        assert found.summary.index.tolist() == SUMMARY

    def test_differences_are_the_other_less_this_one(self, evaluation: npd.Evaluation, other: npd.Evaluation) -> None:
        there, back = evaluation.compare(other), other.compare(evaluation)
        assert there.summary.loc["AP", "difference"] == other.summary["AP"] - evaluation.summary["AP"] > 0
        pd.testing.assert_frame_equal(there.won[["annotation_id"]], back.lost[["annotation_id"]])
        assert "AP +" in repr(there)
        assert "difference" in there._repr_html_()

    def test_what_both_find_is_neither_won_nor_lost(self, evaluation: npd.Evaluation) -> None:
        found = evaluation.compare(evaluation)
        assert evaluation.counts["TP"].sum() == 1
        assert (len(found.won), len(found.lost)) == (0, 0)
        assert (found.summary["difference"].fillna(0) == 0).all()

    def test_order_of_the_rows_does_not_matter(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame, other: npd.Evaluation
    ) -> None:
        shuffled = npd.evaluate(predictions.iloc[::-1], ground_truth.iloc[::-1])
        found = shuffled.compare(other)
        assert sorted(found.won["annotation_id"]) == ["g1", "g2"]
        assert found.per_item.set_index("reference_id")["lost"].to_dict() == {"a.jpg": 1, "b.jpg": 0, "c.jpg": 0}

    def test_other_ground_truth_or_parameters_are_refused(
        self, evaluation: npd.Evaluation, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        with pytest.raises(npd.InvalidInputError, match="same ground truth.*1 are not in the other.*'g2' on 'b.jpg'"):
            evaluation.compare(npd.evaluate(predictions.iloc[:2], ground_truth.iloc[:2]))
        with pytest.raises(npd.InvalidInputError, match="iou_threshold is 0.5 and 0.7"):
            evaluation.compare(npd.evaluate(predictions, ground_truth, iou_threshold=0.7))
        with pytest.raises(npd.InvalidInputError, match="compare takes an Evaluation, not DataFrame"):
            evaluation.compare(ground_truth)  # type: ignore[arg-type]
