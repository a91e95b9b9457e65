"""What is no evaluation is refused in a sentence; what has no numbers gives NaN and a reason."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.factories import SIDES

SUMS = ["ground_truths", "predictions", "TP", "FP", "FN"]


@pytest.fixture
def ground_truth() -> pd.DataFrame:
    """Two images with a car each."""
    frame = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "label": "car"})
    frame[SIDES] = 0.0, 0.0, 10.0, 10.0
    return frame


@pytest.fixture
def predictions(ground_truth: pd.DataFrame) -> pd.DataFrame:
    """Both cars, found."""
    return ground_truth.assign(confidence=[0.9, 0.8])


def everything(found: npd.Evaluation) -> dict[str, Any]:
    """Every table, so that a warning or an error in any is seen; there is never a number that COCO would call -1."""
    names = [name for name in dir(npd.Evaluation) if isinstance(getattr(npd.Evaluation, name), property)]
    names += [name for name, value in vars(npd.Evaluation).items() if hasattr(value, "attrname")]
    tables = {name: getattr(found, name) for name in names if not name.startswith("_")}
    assert {"summary", "per_class", "pr_curve", "tide", "matches", "counts", "ap_by_size"} <= set(tables)
    tables["suspects"] = found.suspects()
    for name, table in tables.items():
        if isinstance(table, (pd.DataFrame, pd.Series)):
            numbers = pd.DataFrame(table).select_dtypes("number").to_numpy(np.float64)
            assert not (numbers < 0).any(), name
    assert found._repr_html_()
    assert repr(found)
    return tables


def totals(found: npd.Evaluation) -> list[int]:
    return found.counts[SUMS].sum().tolist()


class TestNothing:
    def test_no_predictions(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(predictions.iloc[:0], ground_truth)
        everything(found)
        assert totals(found) == [2, 0, 0, 0, 2]
        assert found.summary[["AP", "AR_100", "recall", "F1"]].tolist() == [0, 0, 0, 0]
        assert found.summary[["precision", "best_confidence"]].isna().all()
        assert any("no predictions" in note for note in found.notes)

    def test_no_ground_truth(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(predictions, ground_truth.iloc[:0])
        everything(found)
        assert totals(found) == [0, 2, 0, 2, 0]
        assert found.summary.iloc[:12].isna().all()
        assert found.summary["precision"] == 0
        assert found.per_class.loc["car", "reason"] == "no ground truth"
        assert any("no ground truth" in note for note in found.notes)

    def test_images_without_ground_truth(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(predictions, ground_truth.assign(**dict.fromkeys(SIDES, np.nan)))
        everything(found)
        assert totals(found) == [0, 2, 0, 2, 0]

    def test_nothing_at_all(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(predictions.iloc[:0], ground_truth.iloc[:0])
        everything(found)
        assert totals(found) == [0, 0, 0, 0, 0]
        assert found.summary.isna().all()

    def test_nothing_but_crowds(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(predictions, ground_truth.assign(iscrowd=1))
        everything(found)
        assert totals(found) == [0, 2, 0, 2, 0]
        assert found.summary.iloc[:12].isna().all()
        assert found.per_class.loc["car", "reason"] == "no ground truth but crowds"

    def test_one_label_of_one_object(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(predictions.iloc[:1], ground_truth.iloc[:1])
        everything(found)
        assert found.summary["AP"] == pytest.approx(1)
        assert found.summary[["AP_medium", "AR_large"]].isna().all()
        assert any("'medium' are NaN" in note for note in found.notes)

    @pytest.mark.parametrize("given", [{}, {"allowed_label_matches": [("car", "car")]}], ids=str)
    def test_predictions_without_confidence(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame, given: dict[str, Any]
    ) -> None:
        found = npd.evaluate(predictions.assign(confidence=np.nan), ground_truth, **given)
        everything(found)
        assert totals(found) == [2, 2, 2, 0, 0]
        assert found.summary.iloc[:12].isna().all()
        assert found.per_class.loc["car", "reason"] == "no prediction has a confidence"
        assert found.summary["precision"] == 1
        assert any("No prediction has a confidence" in note for note in found.notes)

    def test_a_column_of_confidence_that_has_another_name(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        with pytest.warns(
            npd.NucleusWarning, match="average precision is NaN: Column 'confidence' not found.*'score'"
        ) as warned:
            found = npd.evaluate(predictions.rename(columns={"confidence": "score"}), ground_truth)
        assert np.isnan(found.summary["AP"])
        assert str(warned[0].message).endswith("Is 'score' meant? Use columns={'confidence': 'score'}.")


class TestOddRows:
    def test_a_missing_confidence_ranks_last(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        wrong = predictions.iloc[:1].assign(x=500.0, confidence=np.nan)
        for engine in ("hotcoco", None):
            pairs = None if engine else [("car", "car")]
            found = npd.evaluate(
                pd.concat([wrong, predictions]), ground_truth, engine=engine, allowed_label_matches=pairs
            )
            everything(found)
            assert found.summary["AP"] == pytest.approx(1)
            assert found.score_histogram["FP"].sum() == 0
            assert any(note.startswith("1 predictions have no confidence") for note in found.notes)

    def test_boxes_without_area_are_found_by_nothing(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        found = npd.evaluate(predictions.assign(width=0.0), ground_truth.assign(width=0.0))
        everything(found)
        assert totals(found) == [2, 2, 0, 2, 2]
        assert found.summary["AP"] == 0

    def test_boxes_outside_of_the_image_count_as_they_are(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        items = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "width": 8, "height": 8})
        found = npd.evaluate(predictions.assign(x=-5.0), ground_truth.assign(x=-5.0), items=items)
        assert totals(found) == [2, 2, 2, 0, 0]

    def test_a_label_with_a_strange_name(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        label = "ünïcode\n'\"<&"
        found = npd.evaluate(predictions.assign(label=label), ground_truth.assign(label=label))
        everything(found)
        assert found.per_class.loc[label, "AP"] == pytest.approx(1)

    def test_rows_that_are_no_boxes_are_left_out_and_told(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        corners = [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 0, "y": 9}]
        shape = ground_truth.iloc[:1].assign(type="polygon", geometry=[{"vertices": corners}])
        with pytest.warns(npd.NucleusWarning, match="1 rows of the ground truth .* since they are not boxes"):
            found = npd.evaluate(predictions, pd.concat([ground_truth.assign(type="box"), shape], ignore_index=True))
        assert totals(found) == [2, 2, 2, 0, 0]
        assert "1 rows of the ground truth" in found.notes[0]


class TestIds:
    def test_ids_that_do_not_meet(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        predictions["reference_id"] = "images/" + predictions["reference_id"]
        text = (
            "None of the 2 images of the predictions is one of the 2 of the ground truth. Predictions lie on "
            "'images/a.jpg', 'images/b.jpg'; ground truth on 'a.jpg', 'b.jpg'."
        )
        with pytest.raises(npd.InvalidInputError, match=re.escape(text)):
            npd.evaluate(predictions, ground_truth)

    def test_some_ids_that_do_not_meet(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        with pytest.warns(npd.NucleusWarning, match="1 of 2 predictions lie on 1 images.*such as 'b.jpg'.*items="):
            found = npd.evaluate(predictions, ground_truth.iloc[:1])
        assert totals(found) == [1, 2, 1, 1, 0]
        assert found.images["reference_id"].tolist() == ["a.jpg", "b.jpg"]

    @pytest.mark.parametrize("side", ["predictions", "ground truth"])
    def test_ids_that_the_items_do_not_hold(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame, side: str
    ) -> None:
        items = pd.DataFrame({"reference_id": ["a.jpg", "c.jpg"]})
        frames = [predictions, ground_truth.iloc[:1]] if side == "predictions" else [predictions.iloc[:1], ground_truth]
        text = (
            f"1 of 2 rows of the {side} lie on 1 images that items does not hold, such as 'b.jpg'; items holds 'a.jpg"
        )
        with pytest.raises(npd.InvalidInputError, match=text):
            npd.evaluate(*frames, items=items)

    def test_images_with_nothing_in_common_may_all_be_items(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        items = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"]})
        assert totals(npd.evaluate(predictions.iloc[:1], ground_truth.iloc[1:], items=items)) == [1, 1, 0, 1, 1]

    def test_frames_that_share_no_kind_of_id(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        ground_truth = ground_truth.rename(columns={"reference_id": "dataset_item_id"})
        with pytest.raises(
            npd.InvalidInputError,
            match="no id of images: the ground truth have 'dataset_item_id'; the predictions have 'reference_id'",
        ):
            npd.evaluate(predictions, ground_truth)

    @pytest.mark.parametrize("kind", ["str", "int64", "Int64", "category", "object", "int64[pyarrow]"])
    def test_ids_of_mixed_kinds_are_one(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame, kind: str) -> None:
        numbers = {"a.jpg": 10, "b.jpg": 9}
        ground_truth["reference_id"] = ground_truth["reference_id"].map(numbers)
        predictions["reference_id"] = pd.Series([10, "9"], dtype=object) if kind == "object" else ground_truth[
            "reference_id"
        ].astype(kind)  # fmt: skip
        assert totals(npd.evaluate(predictions, ground_truth)) == [2, 2, 2, 0, 0]

    def test_floats_are_no_ids(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        with pytest.raises(npd.InvalidInputError, match=r"column 'reference_id': is the number 1.0.*astype\('Int64'\)"):
            npd.evaluate(predictions.assign(reference_id=[1.0, 2.0]), ground_truth)


ROWS = [
    ("label", [None, "car"], "row 0: column 'label': is missing"),
    ("reference_id", ["a.jpg", None], "row 1: column 'reference_id': is missing"),
    ("width", [-1.0, 1.0], "row 0: column 'width': the width of the box is -1"),
    ("x", [np.nan, 1.0], "row 0: column 'x': is missing, while other sides"),
    ("x", [np.inf, 1.0], "row 0: column 'x': is infinite"),
]


class TestRows:
    @pytest.mark.parametrize("side", ["predictions", "ground truth"])
    @pytest.mark.parametrize(("column", "values", "text"), ROWS)
    def test_wrong_rows_are_named(
        self,
        predictions: pd.DataFrame,
        ground_truth: pd.DataFrame,
        side: str,
        column: str,
        values: list[Any],
        text: str,
    ) -> None:
        frame = predictions if side == "predictions" else ground_truth
        frame[column] = values
        with pytest.raises(npd.InvalidInputError, match=f"1 of 2 rows of the {side} are invalid:\n  {text}") as caught:
            npd.evaluate(predictions, ground_truth)
        assert caught.value.problems is not None
        assert caught.value.problems["column"].tolist() == [column]

    def test_a_confidence_lies_between_0_and_1(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        with pytest.raises(npd.InvalidInputError, match="is 90; a confidence lies in"):
            npd.evaluate(predictions.assign(confidence=90.0), ground_truth)

    def test_an_area_is_not_negative(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        with pytest.raises(npd.InvalidInputError, match="column 'area': is -1; an area is 0 or more"):
            npd.evaluate(predictions, ground_truth.assign(area=[-1, 5]))

    @pytest.mark.parametrize("side", ["predictions", "ground truth"])
    def test_annotation_ids_are_unique_in_a_image(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame, side: str
    ) -> None:
        predictions["annotation_id"] = ground_truth["annotation_id"] = "x"
        assert totals(npd.evaluate(predictions, ground_truth))[:2] == [2, 2]
        frame = predictions if side == "predictions" else ground_truth
        frame["reference_id"] = "a.jpg"
        with pytest.raises(npd.InvalidInputError, match="row 1: column 'annotation_id': is 'x', as in row 0"):
            npd.evaluate(predictions, ground_truth)

    def test_exact_repeats_are_several_boxes(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        found = npd.evaluate(pd.concat([predictions, predictions]), ground_truth)
        assert totals(found) == [2, 4, 2, 2, 0]
        assert found.tide.loc["duplicate", "count"] == 2
        assert found.matches["prediction_id"].is_unique

    def test_a_missing_column_is_named_with_what_there_is(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame
    ) -> None:
        with pytest.raises(npd.InvalidInputError, match="Column 'label' not found; there are.*Is 'Label' meant"):
            npd.evaluate(predictions, ground_truth.rename(columns={"label": "Label"}))

    @pytest.mark.parametrize(
        ("columns", "text"),
        [
            ({"score": "confidence"}, "maps 'score', which is not a known column name"),
            ({"label": "klass"}, "'klass' for 'label' not found"),
        ],
    )
    def test_names_that_no_frame_has(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame, columns: dict[str, str], text: str
    ) -> None:
        with pytest.raises(npd.InvalidInputError, match=text):
            npd.evaluate(predictions, ground_truth, columns=columns)
        with pytest.raises(npd.InvalidInputError, match="'bocks' for bbox not found"):
            npd.evaluate(predictions, ground_truth, bbox="bocks")

    @pytest.mark.parametrize(
        ("segmentation", "text"),
        [
            ([[0, 0, 1, 1]], "a polygon has at least three points"),
            ([], "it has no polygon"),
            ({"size": [5, 5], "counts": [25]}, "it has 5 by 5 pixels, its image 9 by 8"),
        ],
    )
    def test_what_is_no_mask(self, segmentation: Any, text: str) -> None:
        frame = pd.DataFrame({"reference_id": ["a"], "label": "car", "segmentation": [segmentation], "confidence": 0.5})
        items = pd.DataFrame({"reference_id": ["a"], "width": 9, "height": 8})
        with pytest.raises(npd.InvalidInputError, match=f"row 0: column 'segmentation': is not a mask: {text}"):
            npd.evaluate(frame, frame, iou_type="segm", items=items)

    def test_masks_need_a_column(self, predictions: pd.DataFrame, ground_truth: pd.DataFrame) -> None:
        with pytest.raises(npd.InvalidInputError, match="Column 'segmentation' not found.*Masks are in"):
            npd.evaluate(predictions, ground_truth, iou_type="segm")


ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    *(({"iou_threshold": value}, "a number above 0, at most 1") for value in (0, -0.5, 1.01, np.nan, "1", True)),
    ({"class_agnostic": True, "allowed_label_matches": [("a", "b")]}, "leave one of the two out"),
    ({"class_agnostic": 1}, "class_agnostic is True, False or None"),
    ({"allowed_label_matches": "ab"}, "must hold pairs, not 'ab'"),
    ({"allowed_label_matches": [("a", "b", "c")]}, "holds pairs (ground-truth label, predicted label)"),
    ({"allowed_label_matches": [("a", 0.5)]}, "holds pairs (ground-truth label, predicted label)"),
    *(({"max_dets": value}, "max_dets is a number") for value in (0, 1.5, "100", (), (10, 1), (1, 1), True)),
    ({"area_ranges": [(0, 1)]}, "area_ranges is a dict"),
    ({"area_ranges": {"tiny": (5, 1)}}, "'tiny' ends at 1, before it begins at 5"),
    ({"area_ranges": {"tiny": (-1, 5)}}, "'tiny' is two numbers (low, high) from 0 on"),
    ({"area_ranges": {"tiny": 5}}, "'tiny' is two numbers (low, high) from 0 on"),
    ({"area_ranges": {5: (0, 1)}}, "names its ranges by strings"),
    ({"engine": "detectron"}, "engine is 'nucleus_pandas' or 'hotcoco', not 'detectron'"),
    ({"engine": "pycocotools"}, "engine is 'nucleus_pandas' or 'hotcoco', not 'pycocotools'"),
    ({"iou_type": "keypoints"}, "iou_type is 'bbox' or 'segm', not 'keypoints'"),
    ({"bbox_format": "xyxy"}, "needs bbox="),
    ({"bbox": "label", "bbox_format": "xy"}, "bbox_format is one of"),
    ({"columns": ["label"]}, "columns= is a dict"),
    ({"columns": {"label": ["a"]}}, "is not a column name"),
    ({"items": "a.jpg"}, "Expected a DataFrame of items, got str"),
]  # fmt: skip


class TestArguments:
    @pytest.mark.parametrize(("given", "text"), ARGUMENTS, ids=str)
    def test_wrong_arguments(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame, given: dict[str, Any], text: str
    ) -> None:
        with pytest.raises(npd.InvalidInputError, match=re.escape(text)):
            npd.evaluate(predictions, ground_truth, **given)

    def test_what_is_no_frame(self, predictions: pd.DataFrame) -> None:
        with pytest.raises(
            npd.InvalidInputError, match="Expected a DataFrame, a Dataset or a Slice of ground truth, got list"
        ):
            npd.evaluate(predictions, [])  # type: ignore[arg-type]

    @pytest.mark.parametrize("given", [{"engine": "hotcoco"}, {"iou_type": "segm"}], ids=str)
    def test_what_needs_hotcoco_where_it_is_not_installed(
        self,
        predictions: pd.DataFrame,
        ground_truth: pd.DataFrame,
        monkeypatch: pytest.MonkeyPatch,
        given: dict[str, Any],
    ) -> None:
        monkeypatch.setitem(sys.modules, "hotcoco", None)
        line = "needs hotcoco, which is not installed: pip install 'nucleus_pandas[evaluate]'"
        with pytest.raises(npd.MissingExtraError, match=re.escape(line)):
            npd.evaluate(predictions, ground_truth, **given)

    def test_a_base_installation_evaluates(
        self, predictions: pd.DataFrame, ground_truth: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accelerated = npd.evaluate(predictions, ground_truth)
        assert accelerated.engine == "hotcoco"
        numbers = accelerated.summary
        for module in ("hotcoco", "pycocotools"):
            monkeypatch.setitem(sys.modules, module, None)
        found = npd.evaluate(predictions, ground_truth)
        assert (found.engine, found.engine_version) == ("nucleus_pandas", npd.__version__)
        everything(found)
        pd.testing.assert_series_equal(found.summary, numbers, check_exact=True)

    def test_importing_the_package_loads_no_engine(self) -> None:
        code = "import sys, nucleus_pandas; sys.exit(any(name in sys.modules for name in ('hotcoco', 'pycocotools')))"
        root = Path(npd.__file__).parents[1]
        assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0


class TestSize:
    def test_more_predictions_than_max_dets(self, ground_truth: pd.DataFrame) -> None:
        crowd = pd.concat([ground_truth.iloc[:1]] * 101, ignore_index=True)
        crowd["confidence"] = np.arange(101) / 101
        text = "1 predictions in 1 images, such as 'a.jpg', are beyond max_dets=100"
        with pytest.warns(npd.NucleusWarning, match=text) as caught:
            found = npd.evaluate(crowd, ground_truth)
        assert caught[0].filename == __file__
        assert any(note.startswith(text) for note in found.notes)
        assert totals(found) == [2, 101, 1, 100, 1]
        assert found.tide["count"].to_dict()["duplicate"] == 99
        assert not any("max_dets" in note for note in npd.evaluate(crowd, ground_truth, max_dets=101).notes)

    def test_max_dets_counts_each_label(self, ground_truth: pd.DataFrame) -> None:
        crowd = pd.concat([ground_truth.iloc[:1]] * 150, ignore_index=True)
        crowd["label"] = ["car", "bus"] * 75
        found = npd.evaluate(crowd.assign(confidence=0.5), ground_truth)
        assert not any("max_dets" in note for note in found.notes)

    def test_ten_thousand_boxes_on_each_side_of_a_image(self) -> None:
        """All overlap, and no matrix of the pairs is held, which takes 800 MB; measured in a process of its own."""
        code = """
import resource, sys, warnings
import numpy as np, pandas as pd, nucleus_pandas as npd
warnings.simplefilter("ignore")
n, rng = 10_000, np.random.default_rng(0)
box = np.hstack([rng.uniform(0, 400, (n, 2)), rng.uniform(500, 1000, (n, 2))])
frame = pd.DataFrame(box, columns=["x", "y", "width", "height"]).assign(reference_id="a", label="car")
found = npd.evaluate(frame.assign(confidence=rng.random(n)), frame)
assert found.counts.loc["car", ["TP", "FP", "FN"]].tolist() == [n, 0, 0], found.counts
assert len(found.matches) == n and found.tide["count"].sum() and found.summary["AP"] > 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""
        root = Path(npd.__file__).parents[1]
        run = subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True)
        assert int(run.stdout) < 700e6


class TestGroundTruthOnAServer:
    @pytest.fixture
    def dataset(self, local: npd.NucleusClient, ground_truth: pd.DataFrame) -> npd.Dataset:
        """Three images, of which c.jpg has no ground truth."""
        dataset = local.create_dataset("scenes")
        names = ["a.jpg", "b.jpg", "c.jpg"]
        metadata = [{"weather": name} for name in ("rain", "sun", "sun")]
        images = {"reference_id": names, "image_url": [f"https://example.org/{name}" for name in names]}
        pd.DataFrame({**images, "metadata": metadata}).nucleus.append(dataset)
        ground_truth.nucleus.annotate(dataset)
        return dataset

    def test_a_dataset_is_its_annotations_and_items(self, dataset: npd.Dataset, predictions: pd.DataFrame) -> None:
        found = predictions.iloc[:1].nucleus.evaluate(dataset)
        frames = npd.evaluate(predictions.iloc[:1], dataset.annotations.to_frame(), items=dataset.items.to_frame())
        pd.testing.assert_frame_equal(found.counts, frames.counts)
        pd.testing.assert_series_equal(found.summary, frames.summary)
        pd.testing.assert_frame_equal(found.by("metadata.weather"), frames.by("metadata.weather"))
        assert totals(found) == [2, 1, 1, 0, 1]
        assert found.by("metadata.weather")["images"].to_dict() == {"rain": 1, "sun": 2}

    def test_a_slice_is_evaluated_alone(self, dataset: npd.Dataset, predictions: pd.DataFrame) -> None:
        part = dataset.create_slice("part", ["b.jpg", "c.jpg"])
        with pytest.warns(npd.NucleusWarning, match="1 of 2 predictions are left out: .* 1 images .* 'a.jpg'"):
            found = npd.evaluate(predictions, part)
        assert totals(found) == [1, 1, 1, 0, 0]
        assert any("left out" in note for note in found.notes)

    def test_items_choose_among_those_of_the_dataset(self, dataset: npd.Dataset, predictions: pd.DataFrame) -> None:
        items = dataset.items.to_frame().query("reference_id != 'a.jpg'")
        found = npd.evaluate(predictions.iloc[1:], dataset, items=items)
        assert totals(found) == [1, 1, 1, 0, 0]

    def test_ids_of_items_join_too(self, dataset: npd.Dataset, predictions: pd.DataFrame) -> None:
        ids = dict(zip(dataset.items.to_frame()["reference_id"], dataset.items.to_frame().index, strict=True))
        by_id = predictions.assign(dataset_item_id=predictions["reference_id"].map(ids)).drop(columns="reference_id")
        assert totals(npd.evaluate(by_id, dataset)) == [2, 2, 2, 0, 0]

    def test_predictions_on_other_images_only_are_an_error(
        self, dataset: npd.Dataset, predictions: pd.DataFrame
    ) -> None:
        with pytest.raises(npd.InvalidInputError, match="2 of 2 rows of the predictions lie on 2 images"):
            npd.evaluate(predictions.assign(reference_id=["x.jpg", "y.jpg"]), dataset)

    def test_a_dataset_without_ground_truth(self, local: npd.NucleusClient, predictions: pd.DataFrame) -> None:
        dataset = local.create_dataset("empty")
        images = [{"reference_id": name, "image_url": f"https://example.org/{name}"} for name in ("a.jpg", "b.jpg")]
        dataset.append(images)
        assert totals(npd.evaluate(predictions, dataset)) == [0, 2, 0, 2, 0]
