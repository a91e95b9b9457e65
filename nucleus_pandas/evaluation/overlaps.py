"""Which ground truth boxes and predictions overlap, and how much, as COCO measures it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nucleus_pandas._util.arrays import Floats, Indices
from nucleus_pandas.evaluation.arrays import BoxArrays
from nucleus_pandas.evaluation.masks import codec
from nucleus_pandas.evaluation.matching import Pairs, pair_blocks

_BLOCK = 1 << 16  # candidate pairs compared at a time


def overlaps(ground_truth: BoxArrays, predictions: BoxArrays) -> Iterator[Pairs]:
    """Find all pairs of the same image that overlap, some at a time; a prediction's pairs come together.

    Notes
    -----
    The formula is that of ``bbIou`` in pycocotools (``maskApi.c``), to the last bit: areas are width times height, and
    the union is their sum less the intersection; for a crowd it is the area of the prediction.
    """
    rows_g, rows_p = ground_truth.by_image, predictions.by_image
    x, y, width, height = ground_truth.box.T
    other_x, other_y, other_width, other_height = predictions.box.T
    right, bottom = x + width, y + height
    other_right, other_bottom = other_x + other_width, other_y + other_height
    area, other_area = width * height, other_width * other_height
    for at_g, at_p in pair_blocks(ground_truth.image[rows_g], predictions.image[rows_p], _BLOCK):
        g, p = rows_g[at_g], rows_p[at_p]
        across = np.minimum(right[g], other_right[p]) - np.maximum(x[g], other_x[p])
        meet = np.flatnonzero(across > 0)
        g, p, across = g[meet], p[meet], across[meet]
        down = np.minimum(bottom[g], other_bottom[p]) - np.maximum(y[g], other_y[p])
        meet = np.flatnonzero(down > 0)
        g, p = g[meet], p[meet]
        if ground_truth.masks is not None and predictions.masks is not None:
            pairs = Pairs(g, p, _mask_iou(ground_truth, predictions, g, p))
            yield pairs.take(pairs.iou > 0)
            continue
        shared = across[meet] * down[meet]
        union = np.where(ground_truth.crowd[g], other_area[p], other_area[p] + area[g] - shared)
        yield Pairs(g, p, shared / union)


def _mask_iou(ground_truth: BoxArrays, predictions: BoxArrays, g: Indices, p: Indices) -> Floats:
    """Compare masks, image by image."""
    assert ground_truth.masks is not None
    assert predictions.masks is not None
    iou = np.zeros(len(g))
    image = ground_truth.image[g]
    starts = np.flatnonzero(np.concatenate(([True], image[1:] != image[:-1]))) if len(g) else g
    for pairs in np.split(np.arange(len(g)), starts[1:]):
        if not len(pairs):
            continue
        rows_g, at_g = np.unique(g[pairs], return_inverse=True)
        rows_p, at_p = np.unique(p[pairs], return_inverse=True)
        dense = codec().iou(
            [predictions.masks[row] for row in rows_p.tolist()],
            [ground_truth.masks[row] for row in rows_g.tolist()],
            ground_truth.crowd[rows_g].astype(int).tolist(),
        )
        iou[pairs] = np.asarray(dense)[at_p, at_g]
    return iou
