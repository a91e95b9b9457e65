"""Runs are evaluated from what the server holds: as frames are, and as pycocotools does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas import sample
from nucleus_pandas.errors import from_status
from nucleus_pandas.schema import EXAMPLES, MATCHES
from tests.factories import SIDES
from tests.support import coco_val2014
from tests.support.contract_only import contract_only, count_requests
from tests.support.private import send_request, transport_of

PREDICTED = [f"predicted_{name}" for name in SIDES]


def boxes_only(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave crowds and areas out, so that areas are width times height."""
    if "iscrowd" in frame:
        frame = frame[frame["iscrowd"] == 0]
    return frame.drop(columns=["iscrowd", "area", "segmentation"], errors="ignore").reset_index(drop=True)


@pytest.fixture(scope="module")
def ground_truth() -> pd.DataFrame:
    return boxes_only(coco_val2014.ground_truth())


@pytest.fixture(scope="module")
def detections() -> pd.DataFrame:
    return boxes_only(coco_val2014.detections())


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    items = coco_val2014.items()
    return items.assign(image_url="https://example.org/" + items.pop("file_name"))


@pytest.fixture(scope="module")
def coco(
    tmp_path_factory: pytest.TempPathFactory, ground_truth: pd.DataFrame, detections: pd.DataFrame, items: pd.DataFrame
) -> Iterator[npd.ModelRun]:
    """The run of the published detections, sent and committed."""
    with npd.NucleusClient.local(tmp_path_factory.mktemp("coco") / "store") as client:
        dataset = client.create_dataset("COCO")
        items.nucleus.append(dataset)
        ground_truth.nucleus.annotate(dataset, bbox="bbox", bbox_format="xywh")
        run = dataset.create_model_run(client.add_model("Published", reference_id="published"))
        detections.nucleus.predict(run, bbox="bbox", bbox_format="xywh")
        run.commit()
        yield run


class TestTheWholePath:
    @pytest.mark.newest
    def test_the_numbers_are_those_of_pycocotools(
        self, coco: npd.ModelRun, ground_truth: pd.DataFrame, detections: pd.DataFrame, items: pd.DataFrame
    ) -> None:
        said = coco_val2014.pycocotools_says(ground_truth, detections, items["reference_id"].tolist())
        found = coco.evaluate()
        np.testing.assert_allclose(found.summary.iloc[:12], said["stats"], rtol=0, atol=1e-9)
        order = [list(found.per_class.index).index(name) for name in said["names"]]
        for name in ("precision", "recall"):
            own = np.take(getattr(found.accumulated, name), order, axis=-3)
            np.testing.assert_allclose(own, said[name], rtol=0, atol=1e-9)

    def test_the_numbers_are_those_of_the_frames(
        self, coco: npd.ModelRun, ground_truth: pd.DataFrame, detections: pd.DataFrame, items: pd.DataFrame
    ) -> None:
        found, frames = (
            coco.evaluate(),
            npd.evaluate(detections, ground_truth, bbox="bbox", bbox_format="xywh", items=items),
        )
        assert found.summary["AP"] > 0.4
        pd.testing.assert_series_equal(found.summary, frames.summary, rtol=0, atol=1e-9)
        for name in ("per_class", "pr_curve", "counts", "confusion_matrix", "score_histogram", "tide", "ap_by_size"):
            pd.testing.assert_frame_equal(getattr(found, name), getattr(frames, name), rtol=0, atol=1e-9)
        known = [name for name in MATCHES if name not in ("dataset_item_id", "prediction_id")]
        pd.testing.assert_frame_equal(found.matches[known], frames.matches[known])

    @pytest.mark.parametrize("threshold", [0.1, 0.5, 0.75, 1.0])
    def test_its_matches_are_those_that_the_commit_stored(self, coco: npd.ModelRun, threshold: float) -> None:
        pd.testing.assert_frame_equal(coco.matches(threshold), coco.evaluate(iou_threshold=threshold).matches)


@pytest.fixture
def scenes(local: npd.NucleusClient) -> npd.Dataset:
    """The packaged sample."""
    made = local.create_dataset("Sample")
    made.append(sample.items())
    made.annotate(sample.ground_truth())
    return made


@pytest.fixture
def run(local: npd.NucleusClient, scenes: npd.Dataset) -> npd.ModelRun:
    """A run of the eager detector, not committed."""
    made = scenes.create_model_run(local.add_model("Eager", reference_id="eager"))
    made.predict(sample.detections("eager"))
    return made


class TestEvaluate:
    def test_images_are_grouped_by_their_metadata(self, run: npd.ModelRun) -> None:
        scenes = run.evaluate().by("metadata.scene")
        assert scenes["images"].to_dict() == {
            "animal": 2, "kitchen": 2, "sky": 1, "sports": 2, "street": 3, "table": 2
        }  # fmt: skip
        assert scenes["predictions"].sum() == len(sample.detections("eager"))

    def test_images_without_boxes_count(self, run: npd.ModelRun, scenes: npd.Dataset) -> None:
        scenes.append([{"reference_id": "empty", "image_url": "https://example.org/", "metadata": {"scene": "void"}}])
        found = run.evaluate()
        assert len(found.images) == 13
        assert found.by("metadata.scene").loc["void", ["images", "ground_truths", "FP"]].tolist() == [1, 0, 0]

    def test_crowds_of_the_metadata_are_no_objects(self, run: npd.ModelRun) -> None:
        crowds = sample.ground_truth()["metadata"].str.contains("iscrowd").sum()
        assert crowds
        assert run.evaluate().counts["ground_truths"].sum() == len(sample.ground_truth()) - crowds

    def test_arguments_reach_the_evaluation(self, run: npd.ModelRun) -> None:
        found = run.evaluate(
            iou_threshold=0.75, class_agnostic=False, max_dets=(1, 5, 50), area_ranges={"tiny": (0, 400)}
        )
        assert found.parameters == {
            "iou_threshold": 0.75,
            "class_agnostic": False,
            "allowed_label_matches": None,
            "max_dets": (1, 5, 50),
            "area_ranges": {"all": (0.0, 1e10), "tiny": (0.0, 400.0)},
            "iou_type": "bbox",
        }
        assert "AR_50" in found.summary
        assert "AP_tiny" in found.summary

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({"iou_threshold": 0}, "iou_threshold"),
            ({"class_agnostic": True, "allowed_label_matches": [("car", "bus")]}, "leave one of"),
            ({"allowed_label_matches": ["car"]}, "pairs"),
            ({"max_dets": 0}, "max_dets"),
            ({"engine": "other"}, "engine"),
        ],
    )
    def test_wrong_arguments_are_refused_before_anything_is_read(
        self, local: npd.NucleusClient, run: npd.ModelRun, arguments: dict[str, Any], reason: str
    ) -> None:
        asked = count_requests(local)
        with pytest.raises(npd.InvalidInputError, match=reason):
            run.evaluate(**arguments)
        assert not asked

    def test_predictions_beyond_max_dets_are_told(self, run: npd.ModelRun) -> None:
        with pytest.warns(npd.NucleusWarning, match="beyond max_dets=3"):
            found = run.evaluate(max_dets=3)
        assert any("beyond max_dets=3" in note for note in found.notes)

    def test_it_says_where_it_comes_from(self, run: npd.ModelRun) -> None:
        found = run.evaluate()
        assert (found.run_id, found.computed_by, found.committed_at, found.stale) == (run.id, "client", None, None)
        for text in (repr(found), found._repr_html_()):
            assert run.id in text
            assert "computed by the client" in text
            assert "hotcoco" in text

    def test_two_runs_are_compared(self, local: npd.NucleusClient, scenes: npd.Dataset, run: npd.ModelRun) -> None:
        other = scenes.create_model_run(local.add_model("Careful", reference_id="careful"))
        other.predict(sample.detections("careful"))
        compared = run.evaluate().compare(other.evaluate())
        assert compared.summary["difference"]["precision"] > 0
        assert compared.summary["difference"]["recall"] < 0
        assert len(compared.lost) > len(compared.won)


class TestCommitted:
    RULES = (
        {},
        {"class_agnostic": True},
        {"class_agnostic": False},
        {"allowed_label_matches": [("car", "truck"), ("car", "car")]},
        {"allowed_label_matches": []},
    )

    @pytest.mark.parametrize("rule", RULES, ids=str)
    def test_labels_pair_as_in_the_commit(self, run: npd.ModelRun, rule: dict[str, Any]) -> None:
        run.commit(**rule)
        found = run.evaluate()
        pairs = rule.get("allowed_label_matches")
        assert found.parameters["class_agnostic"] == rule.get("class_agnostic", pairs is None)
        assert found.parameters["allowed_label_matches"] == (None if pairs is None else sorted(pairs))
        pd.testing.assert_frame_equal(run.matches(0.5), found.matches)

    def test_what_is_asked_for_goes_before_the_commit(self, run: npd.ModelRun) -> None:
        run.commit(allowed_label_matches=[("car", "truck")])
        assert run.evaluate(class_agnostic=True).parameters["allowed_label_matches"] is None
        asked = run.evaluate(allowed_label_matches=[("bus", "truck")])
        assert asked.parameters["allowed_label_matches"] == [("bus", "truck")]

    @pytest.mark.filterwarnings("error")
    def test_a_fresh_commit_is_not_stale(self, run: npd.ModelRun) -> None:
        run.commit()
        found = run.evaluate()
        assert found.stale is False
        assert found.committed_at is not None
        assert found.notes == [note for note in found.notes if "stale" not in note]

    @pytest.mark.parametrize("change", ["add", "move", "relabel", "delete"])
    def test_changed_boxes_make_it_stale_until_the_next_commit(
        self, scenes: npd.Dataset, run: npd.ModelRun, change: str
    ) -> None:
        run.commit()
        box = sample.ground_truth().iloc[[0]]
        if change == "delete":
            send_request(scenes, "DELETE", "dataset", scenes.id, "refloc", box["reference_id"].iloc[0])
        else:
            changes = {"add": {"annotation_id": "new"}, "move": {"x": box["x"] + 1}, "relabel": {"label": "other"}}
            scenes.annotate(box.assign(**changes[change]), if_exists="update")
        with pytest.warns(npd.NucleusWarning, match=r"stale.*run.commit\(\) matches again"):
            found = run.evaluate()
        assert found.stale is True
        assert any("stale" in note for note in found.notes)
        assert "stale" in found._repr_html_()
        run.commit()
        again = run.evaluate()
        assert again.stale is False
        pd.testing.assert_frame_equal(run.matches(0.5), again.matches)

    def test_a_new_crowd_makes_it_stale(self, scenes: npd.Dataset, run: npd.ModelRun) -> None:
        run.commit()
        box = sample.ground_truth().iloc[[0]].assign(metadata='{"iscrowd": 1}')
        scenes.annotate(box, if_exists="update")
        with pytest.warns(npd.NucleusWarning, match="stale"):
            assert run.evaluate().stale

    def test_what_no_match_depends_on_does_not_make_it_stale(self, scenes: npd.Dataset, run: npd.ModelRun) -> None:
        run.commit()
        scenes.annotate(sample.ground_truth().iloc[[0]].assign(metadata='{"seen": 1}'), if_exists="update")
        name = sample.items()["reference_id"].iloc[0]
        scenes.annotate([{"reference_id": name, "type": "category", "label": "indoor"}])
        scenes.append([{"reference_id": "another", "image_url": "https://example.org/"}])
        with pytest.warns(npd.NucleusWarning, match="are not boxes"):
            assert run.evaluate().stale is False


class TestBareRuns:
    def test_a_run_without_predictions_misses_everything(self, local: npd.NucleusClient, scenes: npd.Dataset) -> None:
        run = scenes.create_model_run(local.add_model("Idle", reference_id="idle"))
        for committed in (False, True):
            if committed:
                run.commit()
            found = run.evaluate()
            assert found.summary[["AP", "AR_100", "recall"]].tolist() == [0, 0, 0]
            assert np.isnan(found.summary["precision"])
            assert found.counts["FN"].sum() == found.counts["ground_truths"].sum() > 0
            assert "There are no predictions." in found.notes

    def test_a_dataset_without_ground_truth_has_no_numbers(self, local: npd.NucleusClient) -> None:
        dataset = local.create_dataset("Bare")
        dataset.append(sample.items())
        run = dataset.create_model_run(local.add_model("Eager", reference_id="eager"))
        run.predict(sample.detections("eager"))
        found = run.evaluate()
        assert found.summary[["AP", "AR_100", "recall"]].isna().all()
        assert found.counts["FP"].sum() == len(sample.detections("eager"))
        assert "There is no ground truth." in found.notes
        assert found.per_class["reason"].eq("no ground truth").all()

    def test_a_dataset_without_items_has_no_numbers(self, local: npd.NucleusClient) -> None:
        run = local.create_dataset("Nothing").create_model_run(local.add_model("Idle", reference_id="idle"))
        found = run.evaluate()
        assert found.summary.isna().all()
        assert found.per_class.empty
        assert found.matches.empty
        assert len(run.examples("FP")) == 0

    def test_a_run_that_spans_datasets_is_refused_with_the_way_on(self, local: npd.NucleusClient) -> None:
        model = local.add_model("Wide", reference_id="wide")
        made = send_request(local, "POST", "model", model.id, "modelRun", "create", body={"model_id": model.id})
        run = local.get_model_run(made["model_run_id"])
        for ask in (run.evaluate, lambda: run.examples("FP")):
            with pytest.raises(npd.InvalidInputError, match="spans datasets.*npd.evaluate"):
                ask()


class TestElsewhere:
    """A server that knows only the contract."""

    def test_everything_is_computed_from_what_it_gives(
        self, local: npd.NucleusClient, scenes: npd.Dataset, run: npd.ModelRun
    ) -> None:
        run.commit()
        here = run.evaluate()
        contract_only(local)
        there = run.evaluate()
        pd.testing.assert_series_equal(there.summary, here.summary)
        pd.testing.assert_frame_equal(there.per_class, here.per_class)
        pd.testing.assert_frame_equal(there.by("metadata.scene"), here.by("metadata.scene"))
        assert (there.computed_by, there.committed_at, there.stale) == ("client", None, None)
        assert any("does not report how the run was committed" in note for note in there.notes)
        assert len(run.examples("FN")) == here.counts["FN"].sum()

    @pytest.mark.parametrize("threshold", [0.5, 0.7])
    def test_the_numbers_of_the_server_are_taken_where_it_has_evaluated(
        self, local: npd.NucleusClient, run: npd.ModelRun, threshold: float
    ) -> None:
        here = run.evaluate(iou_threshold=threshold)
        contract_only(local)
        asked = transport_of(local).request
        of_a_benchmark = {"id": "evalv2_0", "status": "succeeded", "benchmark_id": "bm_1"}
        unfinished = {"id": "evalv2_1", "status": "computing"}
        made = asked("POST", "modelRun", run.id, "evaluationsV2", body={})["evaluation_id"]

        def request(method: str, *segments: str, **options: Any) -> Any:
            answer = asked(method, *segments, **options)
            if segments == ("modelRun", run.id, "evaluationsV2"):
                others = msgspec.convert([of_a_benchmark, unfinished], options["shape"])
                return [*others, *answer]
            return answer

        transport_of(local).request = request  # type: ignore[method-assign]
        found = run.evaluate(iou_threshold=threshold)
        assert (found.computed_by, found.evaluation_id) == ("server", made)
        assert f"those of the server's evaluation '{made}'" in found.notes[0]
        assert "computed by the server" in repr(found)
        told = ["AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "precision", "recall", "F1"]
        pd.testing.assert_series_equal(found.summary[told], here.summary[told], rtol=0, atol=1e-12)
        assert found.summary.drop(told).isna().all()
        assert found.summary.index.equals(here.summary.index)
        pd.testing.assert_series_equal(found.ap_by_size["AP"], here.ap_by_size["AP"], rtol=0, atol=1e-12)
        pd.testing.assert_frame_equal(found.confusion_matrix, here.confusion_matrix)
        pd.testing.assert_frame_equal(found.tide, here.tide)
        pd.testing.assert_frame_equal(found.per_class, here.per_class)
        assert run.evaluate(iou_threshold=threshold, class_agnostic=False).computed_by == "client"
        assert run.evaluate(iou_threshold=threshold, max_dets=50).computed_by == "client"

    def test_other_refusals_of_the_server_are_told(self, local: npd.NucleusClient, run: npd.ModelRun) -> None:
        contract_only(local)
        asked = transport_of(local).request
        status = 404

        def request(method: str, *segments: str, **options: Any) -> Any:
            if segments[-1] == "evaluationsV2":
                raise from_status(status, "No.")
            return asked(method, *segments, **options)

        transport_of(local).request = request  # type: ignore[method-assign]
        assert run.evaluate().computed_by == "client"
        status = 403
        with pytest.raises(npd.AuthenticationError, match="No"):
            run.evaluate()

    def test_the_dataset_has_to_be_known(self, local: npd.NucleusClient, run: npd.ModelRun) -> None:
        contract_only(local)
        with pytest.raises(npd.InvalidInputError, match="dataset_id="):
            local.get_model_run(run.id).evaluate()


class TestExamples:
    @pytest.mark.parametrize("threshold", [0.5, 0.9])
    @pytest.mark.parametrize("match_type", ["TP", "FP", "FN"])
    def test_they_are_the_matches_with_images_and_boxes(
        self, scenes: npd.Dataset, run: npd.ModelRun, match_type: Any, threshold: float
    ) -> None:
        run.commit()
        found = run.examples(match_type, iou_threshold=threshold)
        matches = run.matches(threshold)
        expected = matches[matches["match_type"] == match_type].reset_index(drop=True)
        pd.testing.assert_frame_equal(found[list(MATCHES)], expected)
        urls = scenes.items.to_frame().set_index("reference_id")["image_url"]
        assert found["image_url"].tolist() == urls[found["reference_id"]].tolist()
        keys = {"annotation_id": (scenes.annotations, SIDES), "prediction_id": (run.predictions, PREDICTED)}
        for key, (view, names) in keys.items():
            boxes = view.to_frame().set_index(["reference_id", "annotation_id"])[SIDES]
            there = found[found[key].notna()]
            ids = pd.MultiIndex.from_frame(there[["reference_id", key]])
            np.testing.assert_array_equal(there[names].to_numpy(), boxes.loc[ids].to_numpy())
            assert found.loc[found[key].isna(), names].isna().all(axis=None)
        own = PREDICTED if match_type == "FP" else SIDES
        np.testing.assert_array_equal(found["area"], found[own[2]] * found[own[3]])

    @pytest.mark.parametrize("match_type", ["TP", "FP", "FN"])
    @pytest.mark.parametrize("empty", [True, False])
    def test_columns_and_dtypes_are_fixed(
        self, local: npd.NucleusClient, run: npd.ModelRun, match_type: Any, empty: bool
    ) -> None:
        if empty:
            run = local.create_dataset("Nothing").create_model_run(local.add_model("Idle", reference_id="idle"))
        found = run.examples(match_type, sort_by="confidence", limit=3)
        assert dict(found.dtypes.astype(str)) == EXAMPLES
        assert list(found.columns) == list(EXAMPLES)
        assert list(found.index) == list(range(0 if empty else 3))

    def test_the_largest_stand_first_unless_asked_otherwise(self, run: npd.ModelRun) -> None:
        for name in ("confidence", "iou", "area"):
            falling = run.examples("FP", sort_by=name)[name].dropna()
            rising = run.examples("FP", sort_by=name, ascending=True)[name].dropna()
            assert falling.is_monotonic_decreasing
            assert rising.tolist() == falling.tolist()[::-1]
        names = run.examples("FP", sort_by="reference_id", ascending=True)["reference_id"]
        assert names.is_monotonic_increasing

    def test_missing_values_stand_last(self, run: npd.ModelRun) -> None:
        for ascending in (False, True):
            there = run.examples("FP", sort_by="iou", ascending=ascending)["iou"].notna().tolist()
            assert there == sorted(there, reverse=True)
            assert {True, False} == set(there)

    def test_a_limit_takes_the_first(self, run: npd.ModelRun) -> None:
        whole = run.examples("FP", sort_by="confidence")
        for limit in (0, 1, 7, 10_000):
            found = run.examples("FP", sort_by="confidence", limit=limit)
            pd.testing.assert_frame_equal(found, whole.iloc[:limit])

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({"match_type": "tp"}, "match_type is 'TP', 'FP' or 'FN', not 'tp'"),
            ({"match_type": None}, "match_type"),
            ({"match_type": "FP", "sort_by": "size"}, "sort_by is one of .*'confidence'.* not 'size'"),
            ({"match_type": "FP", "limit": -1}, "limit is a number of rows"),
            ({"match_type": "FP", "limit": True}, "limit is a number of rows"),
            ({"match_type": "FP", "limit": 1.0}, "limit is a number of rows"),
            ({"match_type": "FP", "iou_threshold": 0}, "iou_threshold"),
        ],
    )
    def test_wrong_arguments_are_refused_before_anything_is_read(
        self, local: npd.NucleusClient, run: npd.ModelRun, arguments: dict[str, Any], reason: str
    ) -> None:
        asked = count_requests(local)
        with pytest.raises(npd.InvalidInputError, match=reason):
            run.examples(**arguments)
        assert not asked

    def test_no_engine_is_needed(self, run: npd.ModelRun, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "hotcoco", None)
        with pytest.raises(npd.MissingExtraError, match="hotcoco"):
            run.evaluate(engine="hotcoco")
        assert run.evaluate().engine == "nucleus_pandas"
        assert len(run.examples("TP"))

    def test_missed_objects_can_be_sent_on(self, local: npd.NucleusClient, run: npd.ModelRun) -> None:
        missed = run.examples("FN", sort_by="area", limit=5)
        other = local.create_dataset("Missed")
        missed.nucleus.append(other)
        assert missed.nucleus.annotate(other).annotations_processed == 5
        boxes = other.annotations.to_frame()
        assert sorted(boxes["annotation_id"]) == sorted(missed["annotation_id"])
        assert sorted(boxes["width"] * boxes["height"]) == sorted(missed["area"])

    def test_false_positives_can_be_sent_on(self, local: npd.NucleusClient, run: npd.ModelRun) -> None:
        wrong = run.examples("FP", sort_by="confidence", limit=5)
        other = local.create_dataset("Wrong")
        wrong.nucleus.append(other)
        names = {"label": "predicted_label", "annotation_id": "prediction_id"}
        assert wrong.nucleus.annotate(other, columns=names, bbox=PREDICTED).annotations_processed == 5
        boxes = other.annotations.to_frame()
        assert sorted(boxes["label"]) == sorted(wrong["predicted_label"])
        assert sorted(boxes["width"]) == sorted(wrong["predicted_width"])
