"""The frames that annotation files are read into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from nucleus_pandas._util.arrays import Floats
from nucleus_pandas.schema import ANNOTATIONS, ITEMS, ColumnValues, frame

LARGEST_BOX = 1e150  # pixels; beyond, areas would be infinite
LARGEST_IMAGE = 2**31 - 1

_ITEMS = {name: kind for name, kind in ITEMS.items() if name != "dataset_item_id"}
_IN_FILES = ("reference_id", "annotation_id", "label", "type", "x", "y", "width", "height")
_BOXES = {name: ANNOTATIONS[name] for name in _IN_FILES}


class Frames(NamedTuple):
    """Images and their boxes, as files hold them.

    Attributes
    ----------
    items : pandas.DataFrame
        One row per image, as `Dataset.append` takes it: ``reference_id`` and ``image_url`` (text), ``image_width``
        and ``image_height`` (``Int64``, pixels), ``metadata`` (dicts). ``attrs`` holds what belongs to the file as a
        whole.
    annotations : pandas.DataFrame
        One row per box, as `Dataset.annotate` takes it: ``reference_id``, ``annotation_id``, ``label`` and ``type``
        (text), ``x``, ``y``, ``width``, ``height`` (``float64``, pixels from the top-left corner) and ``metadata``
        (dicts); with ``confidence`` (``float64``) where the file has it, and then as `ModelRun.predict` takes it.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> items, boxes = npd.read_coco({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []})
    >>> items["reference_id"].tolist(), len(boxes)
    (['a.jpg'], 0)
    """

    items: pd.DataFrame
    annotations: pd.DataFrame


def items_frame(
    references: ColumnValues,
    urls: ColumnValues,
    sizes: Sequence[tuple[int | None, int | None]],
    metadata: Sequence[dict[str, Any]],
) -> pd.DataFrame:
    """Create a frame of items; a size is a width and a height."""
    columns = {
        "reference_id": references,
        "image_url": urls,
        "image_width": [width for width, _ in sizes],
        "image_height": [height for _, height in sizes],
        "metadata": metadata,
    }
    return frame(columns, _ITEMS)


def boxes_frame(
    references: ColumnValues,
    ids: ColumnValues,
    labels: ColumnValues,
    boxes: Floats,
    metadata: Sequence[dict[str, Any]],
    others: Sequence[tuple[str, str, ColumnValues]] = (),
) -> pd.DataFrame:
    """Create a frame of boxes.

    Parameters
    ----------
    references, ids, labels : sequence of str or None
        The values of these columns.
    boxes : numpy.ndarray of shape (n, 4)
        x, y, width and height in pixels.
    metadata : sequence of dict
        One dict per row.
    others : sequence of (name, dtype, values)
        Further columns, before the metadata.
    """
    columns: dict[str, ColumnValues] = {
        "reference_id": references,
        "annotation_id": ids,
        "label": labels,
        "type": ["box"] * len(boxes),
        **dict(zip(("x", "y", "width", "height"), boxes.T, strict=True)),
        **{name: values for name, _, values in others},
        "metadata": metadata,
    }
    kinds = {**_BOXES, **{name: kind for name, kind, _ in others}, "metadata": "O"}
    return frame(columns, kinds)
