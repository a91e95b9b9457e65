"""Commits: what `matches` gives is what a plain greedy matcher finds, whatever the store holds around it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.schema import MATCHES
from nucleus_pandas.server.evaluation import commit
from nucleus_pandas.server.routes import bulk
from tests.factories import box_at
from tests.support.private import send_request

LABELS = ("car", "bus", "van")
THRESHOLDS = (0, 0.3, 0.5, 0.9, 1.0)
PAIRS = [("car", "van"), ("bus", "bus"), ("van", "car"), ("bus", "car")]
Rule = dict[str, Any]
Row = dict[str, Any]

RULES: dict[str, Rule] = {
    "default": {},
    "class agnostic": {"class_agnostic": True},
    "by class": {"class_agnostic": False},
    "pairs": {"allowed_label_matches": PAIRS},
    "pairs, said twice": {"allowed_label_matches": PAIRS, "class_agnostic": False},
    "no pairs": {"allowed_label_matches": []},
}


@dataclass
class Scene:
    """A small data set: images, ground truth, predictions."""

    names: list[str]
    truths: list[Row] = field(default_factory=list)
    predictions: list[Row] = field(default_factory=list)

    @property
    def counted(self) -> list[Row]:
        return [row for row in self.truths if not (row.get("metadata") or {}).get("iscrowd")]


def scene(seed: int, images: int = 6) -> Scene:
    """Draw boxes on a coarse grid with few confidences and few ids, so that ties of every kind abound."""
    draw = random.Random(seed)
    made = Scene([f"{n}.jpg" for n in range(images)])
    for name in made.names:
        for rows, most in ((made.truths, 7), (made.predictions, 9)):
            # as strings "10" stands before "9", and "Z" before "a"
            ids = draw.sample([*map(str, range(8, 16)), "a", "Z", "é", "😀", "aa"], draw.randint(0, most))
            for key in ids:
                box_at = [draw.randrange(4), draw.randrange(4), draw.randrange(5), draw.randrange(1, 5)]
                row: Row = {
                    "reference_id": name,
                    "annotation_id": key,
                    "label": draw.choice(LABELS),
                    "type": "box",
                    "geometry": dict(zip(("x", "y", "width", "height"), box_at, strict=True)),
                }
                if rows is made.truths:
                    row["metadata"] = draw.choice(
                        [None, None, None, {}, {"iscrowd": 0}, {"iscrowd": False}, {"iscrowd": 1}, {"iscrowd": True}]
                    )
                else:
                    row["confidence"] = draw.choice([0.25, 0.5, 0.5, 0.75, None])
                rows.append(row)
    return made


def iou(one: Row, other: Row) -> float:
    a, b = one["geometry"], other["geometry"]
    width = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
    height = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a["width"] * a["height"] + b["width"] * b["height"] - width * height)


def may_pair(truth: Row, prediction: Row, rule: Rule) -> bool:
    if "allowed_label_matches" in rule:
        return (truth["label"], prediction["label"]) in rule["allowed_label_matches"]
    return rule.get("class_agnostic") is not False or truth["label"] == prediction["label"]


def agree(truth: Row, prediction: Row, rule: Rule) -> bool:
    if "allowed_label_matches" in rule:
        return may_pair(truth, prediction, rule)
    return bool(truth["label"] == prediction["label"])


def greedy(made: Scene, rule: Rule) -> list[tuple[Row, Row, float]]:
    """Match one image after the other, the best pair first."""
    found = []
    for name in made.names:
        truths = [row for row in made.counted if row["reference_id"] == name]
        predictions = [row for row in made.predictions if row["reference_id"] == name]
        pairs = [(t, p, iou(t, p)) for t in truths for p in predictions if iou(t, p) > 0 and may_pair(t, p, rule)]
        pairs.sort(
            key=lambda pair: (
                -pair[2],
                not agree(pair[0], pair[1], rule),
                float("inf") if pair[1]["confidence"] is None else -pair[1]["confidence"],
                pair[1]["annotation_id"],
                pair[0]["annotation_id"],
            )
        )
        used: set[int] = set()
        for truth, prediction, overlap in pairs:
            if not {id(truth), id(prediction)} & used:
                used |= {id(truth), id(prediction)}
                found.append((truth, prediction, overlap))
    return found


def expected(made: Scene, rule: Rule, threshold: float) -> list[tuple[Any, ...]]:
    """Lay out what `matches` has to give: without the item's id, in any order."""
    rows: list[tuple[Any, ...]] = []
    matched: set[int] = set()

    def positive(kind: str, prediction: Row, truth: Row | None, overlap: float | None) -> None:
        rows.append(
            (
                prediction["reference_id"],
                truth and truth["annotation_id"],
                prediction["annotation_id"],
                truth and truth["label"],
                prediction["label"],
                prediction["confidence"],
                overlap,
                kind,
            )
        )

    def negative(truth: Row) -> None:
        rows.append((truth["reference_id"], truth["annotation_id"], None, truth["label"], None, None, None, "FN"))

    for truth, prediction, overlap in greedy(made, rule):
        if overlap < (threshold or 0):
            continue
        matched |= {id(truth), id(prediction)}
        if agree(truth, prediction, rule):
            positive("TP", prediction, truth, overlap)
        else:
            positive("FP", prediction, truth, overlap)
            negative(truth)
    for prediction in made.predictions:
        if id(prediction) not in matched:
            positive("FP", prediction, None, None)
    for truth in made.counted:
        if id(truth) not in matched:
            negative(truth)
    return sorted(rows, key=repr)


def plain_rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    columns = [name for name in MATCHES if name != "dataset_item_id"]
    rows = (tuple(None if pd.isna(v) else v for v in row) for row in frame[columns].itertuples(index=False))
    return sorted(rows, key=repr)


def send(client: npd.NucleusClient, made: Scene) -> tuple[npd.Dataset, npd.ModelRun]:
    dataset = client.create_dataset("Scene")
    dataset.append([{"reference_id": name, "image_url": f"https://example.org/{name}"} for name in made.names])
    dataset.annotate(made.truths)
    run = dataset.create_model_run(client.add_model("A model", reference_id="model"))
    run.predict(made.predictions)
    return dataset, run


def check_frame(frame: pd.DataFrame) -> None:
    """Check what holds for the matches of any run: columns, dtypes, missing sides."""
    assert dict(frame.dtypes.astype(str)) == MATCHES
    assert list(frame.columns) == list(MATCHES)
    assert list(frame.index) == list(range(len(frame)))
    assert set(frame["match_type"]) <= {"TP", "FP", "FN"}
    has_truth, has_prediction = frame["annotation_id"].notna(), frame["prediction_id"].notna()
    assert (frame["label"].notna() == has_truth).all()
    assert (frame["predicted_label"].notna() == has_prediction).all()
    assert (frame["iou"].notna() == (has_truth & has_prediction)).all()
    assert frame.loc[~has_prediction, "confidence"].isna().all()
    assert (has_truth & has_prediction)[frame["match_type"] == "TP"].all()
    assert has_prediction[frame["match_type"] == "FP"].all()
    assert (has_truth & ~has_prediction)[frame["match_type"] == "FN"].all()
    assert frame[["dataset_item_id", "reference_id"]].notna().all(axis=None)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[npd.NucleusClient]:
    with npd.NucleusClient.local(tmp_path_factory.mktemp("commit") / "store") as made:
        yield made


@pytest.fixture(params=["at once", "in portions"])
def _portions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in portions":
        monkeypatch.setattr(commit, "_PORTION", 3)
        monkeypatch.setattr(bulk, "_PAGE", 7)


@pytest.mark.usefixtures("_portions")
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("seed", range(8))
def test_matches_are_those_of_a_plain_greedy_matcher(client: npd.NucleusClient, rule: Rule, seed: int) -> None:
    made = scene(seed)
    dataset, run = send(client, made)
    assert run.commit(**rule) == {"model_run_id": run.id}
    ids = {name: dataset.refloc(name)["item"]["id"] for name in made.names}
    for threshold in THRESHOLDS:
        frame = run.matches(threshold)
        check_frame(frame)
        assert frame["dataset_item_id"].tolist() == [ids[name] for name in frame["reference_id"]]
        assert plain_rows(frame) == expected(made, rule, threshold)
        counts = frame["match_type"].value_counts()
        assert counts.get("TP", 0) + counts.get("FN", 0) == len(made.counted)
        assert counts.get("TP", 0) + counts.get("FP", 0) == len(made.predictions)


def test_the_scenes_hold_ties() -> None:
    """Without ties the test above would show less than it says."""
    kinds = set()
    for seed in range(8):
        made = scene(seed)
        for name in made.names:
            sides = [[row for row in rows if row["reference_id"] == name] for rows in (made.counted, made.predictions)]
            pairs = [(iou(t, p), t, p) for t, p in itertools.product(*sides) if iou(t, p) > 0]
            for (one, t, p), (other, u, q) in itertools.combinations(pairs, 2):
                if one == other and t is u:
                    kinds.add("same truth" if p["confidence"] == q["confidence"] else "confidence")
                if one == other and p is q:
                    kinds.add("same prediction")
    assert kinds == {"same truth", "confidence", "same prediction"}


def test_ties_go_to_confidence_then_to_the_smaller_ids(client: npd.NucleusClient) -> None:
    truths = [box_at("0", key) for key in ("t9", "t10")]
    predictions = [
        box_at("0", key, confidence=c) for key, c in (("none", None), ("p9", 0.5), ("p10", 0.5), ("low", 0.25))
    ]
    _, run = send(client, Scene(["0"], truths, predictions))
    run.commit()
    found = run.matches(0).query("match_type == 'TP'")
    assert set(zip(found["annotation_id"], found["prediction_id"], strict=True)) == {("t10", "p10"), ("t9", "p9")}


@pytest.mark.parametrize(
    ("iscrowd", "counts"),
    [(None, True), (0, True), (0.0, True), (False, True), ("", True), (1, False), (True, False), (2.5, False)],
)
def test_a_crowd_is_left_out(client: npd.NucleusClient, iscrowd: object, counts: bool) -> None:
    _, run = send(client, Scene(["0"], [box_at("0", "t", metadata={"iscrowd": iscrowd})], [box_at("0", "p")]))
    run.commit()
    assert run.matches(0)["match_type"].tolist() == (["TP"] if counts else ["FP"])


def test_iscrowd_counts_at_the_top_of_the_metadata_only(client: npd.NucleusClient) -> None:
    truths = [
        box_at("0", "a", metadata={"coco": {"iscrowd": 1}}),
        box_at("0", "b", x=100, metadata={"$.iscrowd": 1, "iscrowd ": 1}),
    ]
    _, run = send(client, Scene(["0"], truths))
    run.commit()
    assert run.matches(0)["match_type"].tolist() == ["FN", "FN"]


def test_other_shapes_are_left_out(client: npd.NucleusClient) -> None:
    line = {"type": "line", "geometry": {"vertices": [{"x": 0, "y": 0}, {"x": 10, "y": 10}]}}
    whole = {"type": "category", "geometry": {}}
    shapes = [box_at("0", "line") | line, box_at("0", "whole") | whole]
    _, run = send(client, Scene(["0"], [box_at("0", "t"), *shapes], [box_at("0", "p"), *shapes]))
    run.commit()
    assert run.matches(0)["match_type"].tolist() == ["TP"]


def test_boxes_of_other_images_never_match(client: npd.NucleusClient) -> None:
    _, run = send(client, Scene(["0", "1"], [box_at("0", "x")], [box_at("1", "x")]))
    run.commit()
    frame = run.matches(0)
    assert frame[["reference_id", "match_type"]].to_numpy().tolist() == [["0", "FN"], ["1", "FP"]]


def test_rows_stand_in_the_order_of_the_items(client: npd.NucleusClient) -> None:
    made = scene(1, images=12)
    _, run = send(client, made)
    run.commit()
    places = run.matches(0)["reference_id"].map(made.names.index)
    assert places.is_monotonic_increasing


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("names", [[], ["0"]], ids=["no items", "an item"])
def test_an_empty_frame_has_the_same_columns(client: npd.NucleusClient, names: list[str], threshold: float) -> None:
    dataset = client.create_dataset("Empty")
    if names:
        dataset.append([{"reference_id": name, "image_url": "https://example.org/0"} for name in names])
    run = dataset.create_model_run(client.add_model("A model", reference_id="model"))
    run.commit()
    frame = run.matches(threshold)
    check_frame(frame)
    assert frame.empty


@pytest.mark.parametrize("side", ["truths", "predictions"])
def test_one_side_alone(client: npd.NucleusClient, side: str) -> None:
    made = Scene(["0"], **{side: [box_at("0", str(n)) for n in range(3)]})
    _, run = send(client, made)
    run.commit()
    for threshold in THRESHOLDS:
        frame = run.matches(threshold)
        check_frame(frame)
        assert frame["match_type"].tolist() == (["FN"] if side == "truths" else ["FP"]) * 3


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_threshold_lies_between_0_and_1(client: npd.NucleusClient, threshold: float) -> None:
    _, run = send(client, Scene(["0"], [box_at("0", "t")], [box_at("0", "p")]))
    run.commit()
    with pytest.raises(npd.InvalidInputError, match="from 0 to 1"):
        run.matches(threshold)


def test_a_threshold_counts_the_pairs_that_reach_it(client: npd.NucleusClient) -> None:
    _, run = send(client, Scene(["0"], [box_at("0", "t")], [box_at("0", "p", x=5.0)]))
    run.commit()
    third = 50 / 150
    for threshold, kinds in ((third, ["TP"]), (np.nextafter(third, 1), ["FP", "FN"])):
        assert run.matches(float(threshold))["match_type"].tolist() == kinds


def test_a_run_that_is_not_committed_has_no_matches(client: npd.NucleusClient) -> None:
    _, run = send(client, scene(0))
    with pytest.raises(npd.ConflictError, match="is not committed"):
        run.matches(0)
    run.commit()
    assert run["status"] == "committed"
    run.matches(0)


def test_pairs_and_class_agnostic_exclude_each_other(client: npd.NucleusClient) -> None:
    _, run = send(client, scene(0))
    with pytest.raises(npd.InvalidInputError, match="leave one of"):
        run.commit(class_agnostic=True, allowed_label_matches=PAIRS)
    assert run["status"] == "open"


def test_pairs_are_directed(client: npd.NucleusClient) -> None:
    truths, predictions = [box_at("0", "t", label="car")], [box_at("0", "p", label="van")]
    _, run = send(client, Scene(["0"], truths, predictions))
    run.commit(allowed_label_matches=[("car", "van")])
    assert run.matches(0)["match_type"].tolist() == ["TP"]
    run.commit(allowed_label_matches=[{"ground_truth_label": "van", "model_prediction_label": "car"}])
    assert sorted(run.matches(0)["match_type"]) == ["FN", "FP"]
    run.commit()
    confused = run.matches(0)
    assert confused["match_type"].tolist() == ["FP", "FN"]
    assert confused["annotation_id"].tolist() == ["t", "t"]
    assert confused.loc[0, ["prediction_id", "predicted_label", "label"]].tolist() == ["p", "van", "car"]


@pytest.mark.usefixtures("_portions")
def test_another_commit_replaces_the_matches(client: npd.NucleusClient) -> None:
    made = scene(3)
    _, run = send(client, made)
    for rule in (*RULES.values(), *RULES.values()):
        run.commit(**rule)
        assert plain_rows(run.matches(0)) == expected(made, rule, 0)


def test_another_commit_sees_the_ground_truth_of_its_time(client: npd.NucleusClient) -> None:
    made = scene(4)
    dataset, run = send(client, Scene(made.names, [], made.predictions))
    run.commit()
    assert set(run.matches(0)["match_type"]) == {"FP"}
    dataset.annotate(made.truths)
    assert set(run.matches(0)["match_type"]) == {"FP"}
    run.commit()
    assert plain_rows(run.matches(0)) == expected(made, {}, 0)


@pytest.mark.usefixtures("_portions")
@pytest.mark.parametrize("rule", ["default", "by class", "pairs"])
def test_the_order_of_upload_does_not_matter(client: npd.NucleusClient, rule: str) -> None:
    frames = []
    for shuffle in range(3):
        made, draw = scene(5), random.Random(shuffle)
        for rows in (made.truths, made.predictions, made.names):
            draw.shuffle(rows)  # type: ignore[arg-type]
        _, run = send(client, made)
        run.commit(**RULES[rule])
        frames.append(plain_rows(run.matches(0)))
    assert frames[0] == frames[1] == frames[2]


def test_matches_outlive_changes_of_the_ground_truth(client: npd.NucleusClient) -> None:
    made = scene(6)
    dataset, run = send(client, made)
    run.commit()
    before = run.matches(0)
    changed = [{**row, "label": "other", "geometry": box_at("", "")["geometry"]} for row in made.truths]
    dataset.annotate(changed, if_exists="update")
    dataset.annotate([box_at(name, "one more") for name in made.names])
    dataset.append([{"reference_id": "one more", "image_url": "https://example.org/more"}])
    pd.testing.assert_frame_equal(run.matches(0), before)


def test_matches_outlive_closing(store: Path) -> None:
    made = scene(6)
    with npd.NucleusClient.local(store) as first:
        _, run = send(first, made)
        run.commit()
        before = run.matches(0)
    with npd.NucleusClient.local(store) as second:
        pd.testing.assert_frame_equal(second.get_model_run(run.id).matches(0), before)


def test_a_deleted_item_takes_its_matches_along(local: npd.NucleusClient) -> None:
    made = scene(2)
    dataset, run = send(local, made)
    run.commit()
    gone = made.names[2]
    before = run.matches(0)
    assert (before["reference_id"] == gone).any()
    send_request(dataset, "DELETE", "dataset", dataset.id, "refloc", gone)
    left = before[before["reference_id"] != gone].reset_index(drop=True)
    pd.testing.assert_frame_equal(run.matches(0), left)


def test_two_runs_are_matched_apart(client: npd.NucleusClient) -> None:
    made = scene(7)
    dataset, run = send(client, made)
    other = dataset.create_model_run(client.add_model("A model", reference_id="model"))
    other.predict([box_at(name, "p", confidence=1.0) for name in made.names])
    run.commit()
    other.commit()
    assert plain_rows(run.matches(0)) == expected(made, {}, 0)
    assert (other.matches(0)["prediction_id"].dropna() == "p").all()


def test_a_committed_run_is_frozen(client: npd.NucleusClient) -> None:
    made = scene(0)
    _, run = send(client, made)
    run.commit()
    before = run.matches(0)
    assert run.predict(made.predictions).predictions_ignored == len(made.predictions)
    with pytest.raises(npd.FrozenRunError):
        run.predict([box_at("0.jpg", "one more")])
    pd.testing.assert_frame_equal(run.matches(0), before)


@pytest.mark.parametrize("page", [1, 2, 7, 10_000])
def test_pages_join_without_gaps(client: npd.NucleusClient, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    made = scene(1)
    _, run = send(client, made)
    run.commit()
    whole = run.matches(0)
    assert len(whole) > 20
    monkeypatch.setattr(bulk, "_PAGE", page)
    pd.testing.assert_frame_equal(run.matches(0), whole)


def test_a_page_as_long_as_the_matches(client: npd.NucleusClient, monkeypatch: pytest.MonkeyPatch) -> None:
    _, run = send(client, Scene(["0"], [box_at("0", str(n), x=20.0 * n) for n in range(7)]))
    run.commit()
    monkeypatch.setattr(bulk, "_PAGE", 7)
    assert len(run.matches(0)) == 7


@pytest.mark.parametrize("portion", [1, 2, 3, 10])
def test_portions_change_nothing(client: npd.NucleusClient, monkeypatch: pytest.MonkeyPatch, portion: int) -> None:
    made = scene(8, images=15)
    _, run = send(client, made)
    run.commit()
    whole = run.matches(0)
    monkeypatch.setattr(commit, "_PORTION", portion)
    run.commit()
    pd.testing.assert_frame_equal(run.matches(0), whole)
