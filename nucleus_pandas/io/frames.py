"""The frames that files are read to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from nucleus_pandas.schema import ANNOTATIONS, ITEMS, Values, frame

_ITEMS = {name: kind for name, kind in ITEMS.items() if name != "dataset_item_id"}
_IN_FILES = ("reference_id", "annotation_id", "label", "type", "x", "y", "width", "height")
_BOXES = {name: ANNOTATIONS[name] for name in _IN_FILES}


class Frames(NamedTuple):
    """Images and their boxes, as files hold them.

    Attributes
    ----------
    items : pandas.DataFrame
        A row an image, as `Dataset.append` takes it: ``reference_id`` and ``image_url`` (text), ``width`` and
        ``height`` (``Int64``, pixels), ``metadata`` (dicts). What belongs to the file as a whole stands in ``attrs``.
    annotations : pandas.DataFrame
        A row a box, as `Dataset.annotate` takes it: ``reference_id``, ``annotation_id``, ``label`` and ``type`` (text),
        ``x``, ``y``, ``width``, ``height`` (``float64``, pixels from the top-left corner) and ``metadata`` (dicts);
        with ``confidence`` (``float64``) where the file tells it, and then as `ModelRun.predict` takes it.

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
    references: Values,
    urls: Values,
    sizes: Sequence[tuple[int | None, int | None]],
    metadata: Sequence[dict[str, Any]],
) -> pd.DataFrame:
    """Build a frame of items; a size is a width and a height."""
    columns = {
        "reference_id": references,
        "image_url": urls,
        "width": [width for width, _ in sizes],
        "height": [height for _, height in sizes],
        "metadata": metadata,
    }
    return frame(columns, _ITEMS)


def boxes_frame(
    references: Values,
    ids: Values,
    labels: Values,
    boxes: npt.NDArray[np.float64],
    metadata: Sequence[dict[str, Any]],
    others: Sequence[tuple[str, str, Values]] = (),
) -> pd.DataFrame:
    """Build a frame of boxes.

    Parameters
    ----------
    references, ids, labels : sequence of str or None
        As the columns are.
    boxes : numpy.ndarray of shape (n, 4)
        x, y, width and height in pixels.
    metadata : sequence of dict
        One a row.
    others : sequence of (name, dtype, values)
        Further columns; they stand before the metadata.
    """
    columns: dict[str, Values] = {
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
