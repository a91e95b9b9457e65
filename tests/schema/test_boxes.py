from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleus_pandas.schema.boxes import areas, edge_iou, edges, iou_matrix, iou_pairs, to_xywh

number = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
size = st.one_of(st.just(0.0), st.floats(1e-3, 1e6))
box = st.tuples(number, number, size, size)


def exact_iou(a, b):
    """IoU by its definition, of whole numbers."""
    width = max(0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    height = max(0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    union = a[2] * a[3] + b[2] * b[3] - width * height
    return float(Fraction(width * height, union)) if union else 0.0


@pytest.mark.parametrize(
    ("box_format", "numbers"),
    [("xywh", [10, 20, 4, 6]), ("xyxy", [10, 20, 14, 26]), ("cxcywh", [12, 23, 4, 6])],
)
def test_every_format_becomes_corner_and_size(box_format, numbers):
    found = to_xywh([numbers, numbers], box_format)
    assert found.dtype == np.float64
    assert found.tolist() == [[10, 20, 4, 6]] * 2


@pytest.mark.parametrize("box_format", ["xywh", "xyxy", "cxcywh"])
def test_conversion_leaves_its_input_alone(box_format):
    given_boxes = np.array([[10.0, 20.0, 30.0, 60.0]])
    found = to_xywh(given_boxes, box_format)
    found[:] = -1
    assert given_boxes.tolist() == [[10, 20, 30, 60]]


@pytest.mark.parametrize("none", [[], (), np.empty(0), np.empty((0, 4)), np.empty((0, 4), dtype=object)])
@pytest.mark.parametrize("box_format", ["xywh", "xyxy", "cxcywh"])
def test_no_boxes(none, box_format):
    found = to_xywh(none, box_format)
    assert (found.shape, found.dtype) == ((0, 4), np.float64)
    assert areas(none).shape == iou_pairs(none, none).shape == (0,)
    assert iou_matrix(none, [[0, 0, 1, 1]] * 3).shape == (0, 3)
    assert iou_matrix([[0, 0, 1, 1]] * 3, none).shape == (3, 0)


def test_unknown_format_names_the_known_ones():
    with pytest.raises(ValueError, match="'yxyx'; use one of 'xywh', 'xyxy', 'cxcywh'"):
        to_xywh([[0, 0, 1, 1]], "yxyx")


@pytest.mark.parametrize("wrong", [[1, 2, 3, 4], [[1, 2, 3]], [[[1, 2, 3, 4]]], np.empty((0, 5))])
def test_boxes_of_another_shape_are_refused(wrong):
    for function in (areas, edges, lambda boxes: to_xywh(boxes, "xywh"), lambda boxes: iou_pairs(boxes, boxes)):
        with pytest.raises(ValueError, match=r"shape \(n, 4\)"):
            function(wrong)


def test_pairs_need_the_same_length():
    with pytest.raises(ValueError, match="got 1 and 2"):
        iou_pairs([[0, 0, 1, 1]], [[0, 0, 1, 1]] * 2)


def test_areas():
    assert areas([[5, 5, 2, 3], [0, 0, 0, 7], [1, 1, 0.5, 0.5]]).tolist() == [6, 0, 0.25]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 4, 4], [0, 0, 4, 4], 1),
        ([0, 0, 4, 4], [2, 0, 4, 4], 1 / 3),
        ([0, 0, 4, 4], [1, 1, 2, 2], 0.25),
        ([0, 0, 4, 4], [4, 0, 4, 4], 0),  # a common edge
        ([0, 0, 4, 4], [9, 9, 4, 4], 0),  # apart on both axes: the product of two negative lengths
        ([0, 0, 4, 4], [2, 2, 0, 2], 0),
        ([3, 3, 0, 0], [3, 3, 0, 0], 0),  # no union either
    ],
)
def test_iou(a, b, expected):
    assert iou_pairs([a], [b]).tolist() == iou_pairs([b], [a]).tolist() == iou_matrix([a], [b])[0].tolist()
    assert iou_pairs([a], [b])[0] == expected


def test_iou_is_the_exact_fraction_rounded():
    rng = np.random.default_rng(1)
    a, b = np.hstack([rng.integers(0, 9, (2, 500, 2)), rng.integers(0, 9, (2, 500, 2))]).reshape(2, 500, 4)
    expected = [exact_iou(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert 50 < np.count_nonzero(expected) < 450
    assert iou_pairs(a, b).tolist() == expected


@settings(deadline=None)
@given(st.lists(box, max_size=6), st.lists(box, max_size=6))
def test_pairs_and_matrix_agree_to_the_last_bit(a, b):
    matrix = iou_matrix(a, b)
    assert matrix.shape == (len(a), len(b))
    rows, columns = np.indices(matrix.shape).reshape(2, -1)
    pairs = iou_pairs(to_xywh(a, "xywh")[rows], to_xywh(b, "xywh")[columns])
    assert pairs.tolist() == matrix.ravel().tolist() == iou_matrix(b, a).T.ravel().tolist()
    assert ((matrix >= 0) & (matrix <= 1)).all()
    assert matrix.ravel().tolist() == edge_iou(list(edges(a)[:, rows]), edges(b)[:, columns]).tolist()


@settings(deadline=None)
@given(box)
def test_a_box_has_an_iou_of_exactly_1_with_itself(one):
    left, top, right, bottom = edges([one])[:, 0]
    assert iou_pairs([one], [one])[0] == float(right > left and bottom > top)
