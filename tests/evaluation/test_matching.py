import tracemalloc
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleus_pandas.evaluation import matching
from nucleus_pandas.evaluation.match_rows import outcome_rows
from nucleus_pandas.evaluation.matching import PAIR_BUDGET, LabelRule, MatchBoxes, Pairs, match, match_pairs
from nucleus_pandas.schema.boxes import iou_pairs
from tests.support.draws import draws
from tests.support.effort import CountedNumpy

RULES = [
    LabelRule.of(),
    LabelRule.of(class_agnostic=False),
    LabelRule.of(allowed_label_matches=[("a", "b"), ("a", "c"), ("b", "b"), ("c", "a")]),
    LabelRule.of(allowed_label_matches=[]),
]


def boxes(box, ids=None, confidence=None, label="a", item=0, dtype=object):
    box = np.asarray(box, dtype=np.float64).reshape(-1, 4)
    n = len(box)
    return MatchBoxes(
        np.broadcast_to(np.asarray(item, dtype=np.int64), n),
        np.broadcast_to(np.asarray(label, dtype=dtype), n),
        box,
        np.array([str(i) for i in range(n)] if ids is None else ids, dtype=dtype),
        None if confidence is None else np.array(confidence, dtype=np.float64),
    )


def row_of(*lefts, width=10):
    """Boxes of one height side by side, so that only `lefts` decide the IoU."""
    return [[left, 0, width, 10] for left in lefts]


def pairs_of(found):
    return list(zip(found.ground_truth.tolist(), found.prediction.tolist(), strict=True))


def may_pair(rule, truth_label, prediction_label):
    if rule.allowed is not None:
        return (truth_label, prediction_label) in rule.allowed
    return rule.class_agnostic or truth_label == prediction_label


def oracle(truth, predicted, rule):
    """Match as the rule is written, one pair after the other."""
    waiting = []
    for g in range(len(truth.item)):
        for p in range(len(predicted.item)):
            if truth.item[g] != predicted.item[p] or not may_pair(rule, truth.label[g], predicted.label[p]):
                continue
            iou = float(iou_pairs(truth.box[[g]], predicted.box[[p]])[0])
            if iou > 0:
                confidence = None if predicted.confidence is None else predicted.confidence[p]
                missing = confidence is None or np.isnan(confidence)
                waiting.append(
                    (
                        -iou,
                        rule.class_agnostic and truth.label[g] != predicted.label[p],
                        missing,
                        0 if missing else -confidence,
                        predicted.annotation_id[p],
                        truth.annotation_id[g],
                        p,
                        g,
                    )
                )
    chosen, used_g, used_p = [], set(), set()
    for negative_iou, *_, p, g in sorted(waiting):
        if g not in used_g and p not in used_p:
            used_g.add(g)
            used_p.add(p)
            chosen.append((p, g, -negative_iou))
    return sorted(chosen)


def assert_is_oracle(truth, predicted, rule, **options):
    found = match(truth, predicted, rule, **options)
    rows = zip(found.prediction.tolist(), found.ground_truth.tolist(), found.iou.tolist(), strict=True)
    assert list(rows) == oracle(truth, predicted, rule)


@st.composite
def sides(draw):
    """Two sides full of ties and of boxes without area, with ids that repeat between items."""
    made = []
    for is_prediction in (False, True):
        n = draw(st.integers(0, 14))

        def column(strategy, n=n):
            return draw(st.lists(strategy, min_size=n, max_size=n))

        item = np.array(column(st.sampled_from([7, -2, 10**12])), dtype=np.int64)
        ids = np.empty(n, dtype=object)
        for one in np.unique(item):
            rows = np.flatnonzero(item == one)
            ids[rows] = [str(i) for i in draw(st.permutations(range(5, 5 + len(rows))))]
        number = st.sampled_from([0.25, 0.5, 0.5, 1.0, -0.0, 0.0, -np.inf, np.nan])
        confidence = np.array(column(number)) if is_prediction and draw(st.booleans()) else None
        corner, extent = st.integers(0, 4), st.integers(0, 3)
        box = np.array(column(st.tuples(corner, corner, extent, extent)), dtype=float).reshape(n, 4)
        label = np.array(column(st.sampled_from("abc")), dtype=object)
        made.append(MatchBoxes(item, label, box, ids, confidence))
    return made


@settings(deadline=None, max_examples=draws(150))
@given(
    sides(),
    st.sampled_from(RULES),
    st.sampled_from([1, 2, 5, 20, PAIR_BUDGET]),
    st.sampled_from([1, 3, 1 << 14]),
    st.sampled_from([1, 4, 1 << 10]),
)
def test_match_is_the_greedy_rule_whatever_the_memory(two_sides, rule, pair_budget, block, some):
    with patch.multiple(matching, _BLOCK=block, _SLICE=some):
        assert_is_oracle(*two_sides, rule, pair_budget=pair_budget)


@settings(deadline=None)
@given(sides(), st.sampled_from(RULES), st.randoms(use_true_random=False))
def test_known_overlaps_are_matched_by_the_same_rule(two_sides, rule, random):
    truth, predicted = two_sides
    g, p = np.nonzero(truth.item[:, None] == predicted.item[None, :])
    iou = iou_pairs(truth.box[g], predicted.box[p])
    order = np.flatnonzero(iou > 0)
    order = order[random.sample(range(len(order)), len(order))]
    found = match_pairs(truth, predicted, rule, Pairs(g[order], p[order], iou[order]))
    rows = zip(found.prediction.tolist(), found.ground_truth.tolist(), found.iou.tolist(), strict=True)
    assert list(rows) == oracle(truth, predicted, rule)


@pytest.mark.parametrize("dtype", [object, str])
@pytest.mark.parametrize("rule", RULES[:3])
@pytest.mark.parametrize("grid", [1, 0.1])
def test_match_is_the_greedy_rule_on_crowded_items(rule, grid, dtype):
    rng = np.random.default_rng(5)

    def crowd(n, confidence=None):
        box = np.hstack([rng.integers(0, 60, (n, 2)), rng.integers(0, 40, (n, 2))]) * grid
        ids = rng.permutation(n).astype(str)
        return boxes(box, ids, confidence, rng.choice(list("abc"), n), rng.integers(0, 2, n), dtype)

    truth, predicted = crowd(70), crowd(90, rng.integers(0, 4, 90) / 4)
    for pair_budget in (7, 100, PAIR_BUDGET):
        assert_is_oracle(truth, predicted, rule, pair_budget=pair_budget)


@settings(deadline=None)
@given(sides(), st.sampled_from(RULES), st.randoms(use_true_random=False), st.sampled_from([3, PAIR_BUDGET]))
def test_order_of_the_input_does_not_matter(two_sides, rule, random, pair_budget):
    def shuffled(side):
        order = np.array(random.sample(range(len(side.item)), len(side.item)), dtype=np.intp)
        confidence = None if side.confidence is None else side.confidence[order]
        return MatchBoxes(side.item[order], side.label[order], side.box[order], side.annotation_id[order], confidence)

    def named(truth, predicted):
        found = match(truth, predicted, rule, pair_budget=pair_budget)
        g, p = found.ground_truth, found.prediction
        assert (truth.item[g] == predicted.item[p]).all()
        names = zip(predicted.item[p], predicted.annotation_id[p], truth.annotation_id[g], found.iou, strict=True)
        return sorted(names)

    assert named(*two_sides) == named(*map(shuffled, two_sides))


@pytest.mark.parametrize("pair_budget", [1, 10, 100, 1000, 1800, PAIR_BUDGET])
@pytest.mark.parametrize("same", [True, False])
def test_crowded_item_in_passes(pair_budget, same):
    """All pairs overlap, so that a small budget needs many passes, and a large one a single pass."""
    rng = np.random.default_rng(3)
    n = 60

    def crowd():
        box = np.hstack([rng.integers(0, 5, (n, 2)), rng.integers(5, 9, (n, 2))])
        return boxes([[0, 0, 10, 10]] * n if same else box, rng.permutation(n).astype(str))

    truth, predicted = crowd(), crowd()
    with patch.object(matching, "_best_pairs", wraps=matching._best_pairs) as passes:
        assert_is_oracle(truth, predicted, RULES[0], pair_budget=pair_budget)
    assert (passes.call_count == 1) == (pair_budget * 2 >= n * n)
    assert pair_budget > 1 or passes.call_count >= n / 2


def test_confidence_decides_among_many_equal_boxes_of_several_items():
    rng = np.random.default_rng(4)
    truth = boxes([[0, 0, 9, 9]] * 20, item=np.arange(20) % 4)
    confidence = rng.permutation(400)
    predicted = boxes([[0, 0, 9, 9]] * 400, confidence=confidence, item=rng.permutation(400) % 4)
    found = match(truth, predicted, RULES[0])
    for item in range(4):
        own = found.prediction[predicted.item[found.prediction] == item]
        assert sorted(confidence[own]) == sorted(confidence[predicted.item == item])[-5:]


def test_types_and_order_of_the_result():
    found = match(boxes(row_of(0, 20, 40)), boxes(row_of(41, 100, 1), confidence=[0.1, 0.2, 0.3]), RULES[0])
    assert [found.ground_truth.dtype, found.prediction.dtype, found.iou.dtype] == [np.intp, np.intp, np.float64]
    assert pairs_of(found) == [(2, 0), (0, 2)]
    assert found.iou.tolist() == [9 / 11, 9 / 11]


@pytest.mark.parametrize(("truths", "predictions"), [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("pair_budget", [1, PAIR_BUDGET])
def test_empty_sides(truths, predictions, rule, pair_budget):
    truth, predicted = boxes(row_of(*range(truths))), boxes(row_of(*range(predictions)), confidence=[0.5] * predictions)
    found = match(truth, predicted, rule, pair_budget=pair_budget)
    assert pairs_of(found) == []
    assert [found.ground_truth.dtype, found.prediction.dtype, found.iou.dtype] == [np.intp, np.intp, np.float64]


def test_items_never_match_across():
    truth, predicted = boxes(row_of(0, 0, 0), item=[1, 2, 4]), boxes(row_of(5, 0, 0), item=[2, 3, 1])
    assert pairs_of(match(truth, predicted, RULES[0])) == [(1, 0), (0, 2)]


def test_ids_may_repeat_between_items():
    truth = boxes(row_of(0, 0), ["x", "x"], item=[1, 2])
    predicted = boxes(row_of(0, 0, 0), ["y", "y", "x"], item=[2, 1, 1])
    assert pairs_of(match(truth, predicted, RULES[0])) == [(1, 0), (0, 2)]


def test_higher_iou_wins_over_higher_confidence():
    found = match(boxes(row_of(0)), boxes(row_of(2, 1), confidence=[0.9, 0.1]), RULES[0])
    assert pairs_of(found) == [(0, 1)]


def test_a_prediction_that_loses_its_best_takes_the_next():
    found = match(boxes(row_of(0, 4)), boxes(row_of(6, 3)), RULES[0])
    assert pairs_of(found) == [(0, 0), (1, 1)]
    assert found.iou.tolist() == [4 / 16, 9 / 11]


@pytest.mark.parametrize(
    ("confidence", "ids", "winner"),
    [
        ([0.1, 0.9, 0.5], ["a", "b", "c"], 1),
        ([np.nan, -5, np.nan], ["a", "b", "c"], 1),
        ([np.nan, -np.inf, np.nan], ["a", "b", "c"], 1),
        ([0.5, 0.5, 0.1], ["b", "a", "0"], 1),
        ([np.nan, np.nan, np.nan], ["b", "c", "a"], 2),
        (None, ["9", "10", "8"], 1),
        (None, ["a", "é", "B"], 2),
        (None, ["\U00010000", "\uffff", "\ufffe"], 2),
    ],
)
@pytest.mark.parametrize("dtype", [object, str])
def test_ties_go_to_confidence_then_to_the_smaller_prediction_id(confidence, ids, winner, dtype):
    found = match(boxes(row_of(0)), boxes(row_of(1, -1, 1), ids, confidence, dtype=dtype), RULES[0])
    assert pairs_of(found) == [(0, winner)]


def test_equal_overlaps_go_to_labels_that_agree_before_confidence():
    truth = boxes([[0, 0, 10, 10]] * 2, ids=["a", "b"], label=["person", "rider"])
    for label, matched in (("person", 0), ("rider", 1)):
        predicted = boxes([[0, 0, 10, 10]], confidence=[0.9], label=[label])
        assert pairs_of(match(truth, predicted, LabelRule())) == [(matched, 0)]
        known = Pairs(np.array([0, 1]), np.array([0, 0]), np.array([0.8, 0.8]))
        assert pairs_of(match_pairs(truth, predicted, LabelRule(), known)) == [(matched, 0)]
    both = boxes([[0, 0, 10, 10]] * 2, ids=["p", "q"], confidence=[0.9, 0.2], label=["car", "rider"])
    assert sorted(pairs_of(match(truth, both, LabelRule()))) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("dtype", [object, str])
def test_ties_go_to_the_smaller_ground_truth_id_last(dtype):
    truth = boxes(row_of(1, -1, -1), ["9", "11", "10"], dtype=dtype)
    assert pairs_of(match(truth, boxes(row_of(0), confidence=[0.5]), RULES[0])) == [(2, 0)]
    two = boxes(row_of(0, 0), ["x", "w"], [0.5, 0.9])
    assert pairs_of(match(truth, two, RULES[0])) == [(1, 0), (2, 1)]


@pytest.mark.parametrize("without_area", [[0, 0, 0, 10], [0, 0, 10, 0], [0, 0, 0, 0]])
def test_boxes_without_area_never_match(without_area):
    full, flat = boxes([[0, 0, 10, 10]]), boxes([without_area])
    for truth, predicted in ((full, flat), (flat, full), (flat, flat)):
        assert pairs_of(match(truth, predicted, RULES[0])) == []


def test_labels_that_may_pair():
    truth = boxes(row_of(0, 100), label=["car", "bus"])
    predicted = boxes(row_of(0, 2, 101), label=["van", "car", "vehicle"])
    assert pairs_of(match(truth, predicted, LabelRule.of())) == [(0, 0), (1, 2)]
    assert pairs_of(match(truth, predicted, LabelRule.of(class_agnostic=False))) == [(0, 1)]
    many = LabelRule.of(allowed_label_matches=[("car", "vehicle"), ("bus", "vehicle"), ("bus", "train")])
    assert pairs_of(match(truth, predicted, many)) == [(1, 2)]
    backwards = LabelRule.of(allowed_label_matches=[("vehicle", "bus"), ("van", "car")])
    assert pairs_of(match(truth, predicted, backwards)) == []


def test_rule_of_the_two_arguments():
    assert LabelRule.of() == LabelRule.of(True) == LabelRule(True, None)
    assert LabelRule.of(False) == LabelRule(False, None)
    pairs = [["a", "b"], ("a", "c")]
    assert (
        LabelRule.of(None, pairs) == LabelRule.of(False, iter(pairs)) == LabelRule(False, frozenset(map(tuple, pairs)))
    )
    for pairs in ([("a", "b")], []):
        with pytest.raises(ValueError, match="leave one of the two out"):
            LabelRule.of(True, pairs)


@pytest.mark.parametrize("dtype", [object, str])
def test_labels_that_agree(dtype):
    truth, predicted = np.array(list("aab"), dtype=dtype), np.array(list("aba"), dtype=dtype)
    for rule, expected in zip(RULES, ([1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]), strict=True):
        found = rule.agrees(truth, predicted)
        assert (found.dtype, found.tolist()) == (np.bool_, [bool(one) for one in expected])
        assert rule.agrees(truth[:0], predicted[:0]).tolist() == []


@pytest.mark.parametrize("pair_budget", [0, -1])
def test_budget_below_one_is_refused(pair_budget):
    with pytest.raises(ValueError, match="at least 1"):
        match(boxes(row_of(0)), boxes(row_of(0)), RULES[0], pair_budget=pair_budget)


def peak_megabytes(work):
    tracemalloc.start()
    try:
        found = work()
        return found, tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("same", [True, False])
def test_memory_is_bounded_where_all_boxes_overlap(same):
    rng = np.random.default_rng(0)
    n = 3000
    box = np.tile([0, 0, 9, 9], (n, 1)) if same else np.hstack([rng.uniform(0, 4, (n, 2)), rng.uniform(5, 9, (n, 2))])
    truth, predicted = boxes(box), boxes(box[rng.permutation(n)])
    found, peak = peak_megabytes(lambda: match(truth, predicted, RULES[0], pair_budget=1 << 17))
    assert len(found.iou) == n
    assert (found.iou == 1).all()
    assert peak < 40  # one dense matrix of all pairs takes 72


def test_chain_of_boxes_takes_no_quadratic_number_of_rounds(monkeypatch):
    """Each choice decides the next one: the pairs of a chain cannot be chosen side by side."""
    steps = np.linspace(1, 9, 20_000)
    left = np.concatenate([[0], np.cumsum(steps)[:-1]])
    chain = np.column_stack([left, 0 * left, 0 * left + 10, 0 * left + 10])
    truth, predicted = boxes(chain[::2]), boxes(chain[1::2])
    counted, greedy = CountedNumpy(), matching._greedy

    def counted_greedy(*pairs):
        with monkeypatch.context() as patched:  # the search for pairs is not counted, but their choice alone
            patched.setattr(matching, "np", counted)
            return greedy(*pairs)

    monkeypatch.setattr(matching, "_greedy", counted_greedy)
    found = match(truth, predicted, RULES[0])
    assert pairs_of(found) == [(i, i) for i in range(10_000)]
    assert (np.diff(found.iou) < 0).all()
    assert 2 * len(chain) < counted.elements < 1_000 * len(chain)  # round by round it would be 2,500 for each box


def stored(*rows):
    """Rows of IoU and whether the labels agree; "g" and "p" stand for a box without a match."""
    iou = np.array([np.nan if isinstance(row, str) else row[0] for row in rows], dtype=np.float64)
    agrees = np.array([not isinstance(row, str) and row[1] for row in rows], dtype=np.bool_)
    has_truth = np.array([row != "p" for row in rows], dtype=np.bool_)
    return iou, has_truth, np.array([row != "g" for row in rows], dtype=np.bool_), agrees


def table(found):
    columns = (found.row, found.match_type, found.ground_truth, found.prediction)
    return list(zip(*(column.tolist() for column in columns), strict=True))


ROWS = [(0.5, True), (0.5, False), "p", (0.4, True), (0.4, False), "g"]


def test_outcomes_at_a_threshold():
    assert table(outcome_rows(*stored(*ROWS), 0.5)) == [
        (0, "TP", True, True),
        (1, "FP", True, True),
        (1, "FN", True, False),
        (2, "FP", False, True),
        (3, "FP", False, True),
        (3, "FN", True, False),
        (4, "FP", False, True),
        (4, "FN", True, False),
        (5, "FN", True, False),
    ]


@pytest.mark.parametrize("threshold", [None, 0, 0.4])
def test_outcomes_of_every_stored_pair(threshold):
    expected = [(0, "TP"), (1, "FP"), (1, "FN"), (2, "FP"), (3, "TP"), (4, "FP"), (4, "FN"), (5, "FN")]
    assert [row[:2] for row in table(outcome_rows(*stored(*ROWS), threshold))] == expected


def test_outcomes_ignore_the_labels_of_a_missing_side():
    iou, has_truth, has_prediction, agrees = stored("g", "p")
    assert table(outcome_rows(iou, has_truth, has_prediction, ~agrees)) == [
        (0, "FN", True, False),
        (1, "FP", False, True),
    ]


def test_outcomes_of_nothing():
    found = outcome_rows(*stored())
    assert [found.row.dtype, found.match_type.dtype.kind, found.ground_truth.dtype] == [np.intp, "U", np.bool_]
    assert table(found) == []


@pytest.mark.parametrize("threshold", [-0.01, 1.01, np.nan, np.inf])
def test_threshold_outside_0_and_1_is_refused(threshold):
    with pytest.raises(ValueError, match="from 0 to 1"):
        outcome_rows(*stored((0.5, True)), threshold)


@settings(deadline=None)
@given(sides(), st.sampled_from(RULES), st.sampled_from([None, 0, 0.1, 0.25, 0.5, 1]))
def test_outcomes_count_every_box(two_sides, rule, threshold):
    truth, predicted = two_sides
    found = match(truth, predicted, rule)
    lone_g = np.setdiff1d(np.arange(len(truth.item)), found.ground_truth)
    lone_p = np.setdiff1d(np.arange(len(predicted.item)), found.prediction)
    g = np.concatenate([found.ground_truth, lone_g, np.full(len(lone_p), -1)])
    p = np.concatenate([found.prediction, np.full(len(lone_g), -1), lone_p])
    iou = np.concatenate([found.iou, np.full(len(lone_g) + len(lone_p), np.nan)])
    agrees = np.zeros(len(g), dtype=np.bool_)
    both = (g >= 0) & (p >= 0)
    agrees[both] = rule.agrees(truth.label[g[both]], predicted.label[p[both]])
    reported = outcome_rows(iou, g >= 0, p >= 0, agrees, threshold)
    kinds = {kind: reported.row[reported.match_type == kind] for kind in ("TP", "FP", "FN")}
    assert sorted(p[np.concatenate([kinds["TP"], kinds["FP"]])]) == list(range(len(predicted.item)))
    assert sorted(g[np.concatenate([kinds["TP"], kinds["FN"]])]) == list(range(len(truth.item)))
    assert (iou[kinds["TP"]] >= (threshold or 0)).all()
    assert agrees[kinds["TP"]].all()
    confused = (reported.match_type == "FP") & reported.ground_truth
    assert (both & ~agrees & (iou >= (threshold or 0)))[reported.row[confused]].all()
    assert confused.sum() == (both & ~agrees & (iou >= (threshold or 0))).sum()
