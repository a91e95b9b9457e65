"""The columns and dtypes of every frame that the package returns, and how columns are built.

The columns of a frame of items are in `ITEMS`, of annotations in `ANNOTATIONS`, of predictions in `PREDICTIONS`, of
matches in `MATCHES`; what they mean is in `ITEM_COLUMNS` and its siblings. All are in the order of the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import InvalidInputError


class NoBackend(Enum):
    """The default of ``dtype_backend``; as in pandas, None is rejected."""

    NO_BACKEND = "no_backend"

    def __repr__(self) -> str:
        return "<no_default>"


no_backend: Final = NoBackend.NO_BACKEND
Backend: TypeAlias = Literal["numpy_nullable", "pyarrow"] | NoBackend

OBJECT = "O"
"""The dtype of dicts and lists; not spelled ``object``, which is that of text on pandas 2."""

ITEMS: dict[str, str] = {
    "dataset_item_id": TEXT,
    "reference_id": TEXT,
    "image_url": TEXT,
    "image_width": "Int64",
    "image_height": "Int64",
    "metadata": OBJECT,
}
"""Columns of the frames of items; the first is their index."""

ITEM_DETAILS: dict[str, str] = {"phash": TEXT, "processed_url": TEXT, "embedding_info": OBJECT}
"""Columns of items that are read only on demand; few servers have them."""

ANNOTATIONS: dict[str, str] = {
    "dataset_item_id": TEXT,
    "reference_id": TEXT,
    "annotation_id": TEXT,
    "label": TEXT,
    "type": TEXT,
    "x": "float64",
    "y": "float64",
    "width": "float64",
    "height": "float64",
    "geometry": OBJECT,
    "track_reference_id": TEXT,
    "task_id": TEXT,
    "embedding_vector": OBJECT,
    "metadata": OBJECT,
}
"""Columns of the frames of annotations."""

_BOXES = tuple(ANNOTATIONS)[: tuple(ANNOTATIONS).index("geometry")]
PREDICTIONS: dict[str, str] = {
    **{name: ANNOTATIONS[name] for name in _BOXES},
    "confidence": "float64",
    "class_pdf": OBJECT,
    **{name: kind for name, kind in ANNOTATIONS.items() if name not in _BOXES},
}
"""Columns of the frames of predictions."""

IMAGES: dict[str, str] = {
    "reference_id": TEXT,
    "image_url": TEXT,
    "image_width": "Int64",
    "image_height": "Int64",
    "image_error": TEXT,
}
"""Columns of the frames that `read_images` returns."""

JOBS: dict[str, str] = {"id": TEXT, "type": TEXT, "status": TEXT}
"""Columns of the frames of jobs, beside the time."""

MATCHES: dict[str, str] = {
    "dataset_item_id": TEXT,
    "reference_id": TEXT,
    "annotation_id": TEXT,
    "prediction_id": TEXT,
    "label": TEXT,
    "predicted_label": TEXT,
    "confidence": "float64",
    "iou": "float64",
    "match_type": TEXT,
}
"""Columns of the frames that `ModelRun.matches` returns."""

EXAMPLES: dict[str, str] = {
    "dataset_item_id": TEXT,
    "reference_id": TEXT,
    "image_url": TEXT,
    "image_width": "Int64",
    "image_height": "Int64",
    "match_type": TEXT,
    "annotation_id": TEXT,
    "label": TEXT,
    "x": "float64",
    "y": "float64",
    "width": "float64",
    "height": "float64",
    "prediction_id": TEXT,
    "predicted_label": TEXT,
    "predicted_x": "float64",
    "predicted_y": "float64",
    "predicted_width": "float64",
    "predicted_height": "float64",
    "confidence": "float64",
    "iou": "float64",
    "area": "float64",
}
"""Columns of the frames that `ModelRun.examples` returns."""

DATASETS: dict[str, str] = {"id": TEXT, "name": TEXT, "is_public": "bool"}
"""Columns of `NucleusClient.datasets`."""

MODELS: dict[str, str] = {
    "id": TEXT,
    "name": TEXT,
    "reference_id": TEXT,
    "metadata": OBJECT,
    "tags": OBJECT,
}
"""Columns of `NucleusClient.models`."""

EXPORTED: dict[str, str] = {"what": TEXT, "model_run_id": TEXT, "path": TEXT, "rows": "Int64", "bytes": "Int64"}
"""Columns of the frame that `Dataset.to_parquet` returns."""

_ARROW = {TEXT: pa.string(), "Int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
DTYPES: dict[Backend, dict[str, Any]] = {
    no_backend: {kind: pd.Series(dtype=kind).dtype for kind in (*_ARROW, OBJECT)},
    "numpy_nullable": {
        TEXT: pd.StringDtype(),
        "Int64": pd.Int64Dtype(),
        "float64": pd.Float64Dtype(),
        "bool": pd.BooleanDtype(),
        OBJECT: np.dtype(object),
    },
    "pyarrow": {kind: pd.ArrowDtype(arrow) for kind, arrow in _ARROW.items()} | {OBJECT: np.dtype(object)},
}
"""The dtypes that those of the tables above become, by default and for each `dtype_backend`."""


def arrow_type(kind: str) -> pa.DataType:
    """Return the Arrow type of a dtype of the tables above that holds no Python objects.

    Examples
    --------
    >>> arrow_type("Int64")
    DataType(int64)
    """
    return _ARROW[kind]


def as_json_strings(kinds: Mapping[str, str]) -> dict[str, str]:
    """Return a table of dtypes for files, which hold dicts as JSON strings.

    Examples
    --------
    >>> as_json_strings({"metadata": OBJECT, "iou": "float64"}) == {"metadata": TEXT, "iou": "float64"}
    True
    """
    return {name: TEXT if kind == OBJECT else kind for name, kind in kinds.items()}


def check_backend(backend: object) -> None:
    """Raise InvalidInputError, a ValueError as in pandas, unless this is a `dtype_backend`."""
    if backend is not no_backend and backend not in ("numpy_nullable", "pyarrow"):
        raise InvalidInputError(
            f"dtype_backend is 'numpy_nullable' or 'pyarrow', not {backend!r}.", argument="dtype_backend"
        )


ColumnValues: TypeAlias = Sequence[Any] | np.ndarray[Any, Any] | Any
"""What a column is built from: None where a value is missing. Numbers may be a NumPy array, strings an Arrow array."""


def column(values: ColumnValues, kind: str, backend: Backend = no_backend) -> pd.Series[Any]:
    """Build a column whose dtype does not depend on its values.

    Parameters
    ----------
    values : sequence, numpy.ndarray or pyarrow.LargeStringArray
        None where a value is missing.
    kind : str
        Its dtype in the tables above.
    backend : {"numpy_nullable", "pyarrow"}, optional
        Whose counterpart of that dtype to use.

    Examples
    --------
    >>> column([None, 0.5], "float64").tolist()
    [nan, 0.5]
    >>> column([], "Int64", "pyarrow").dtype
    int64[pyarrow]
    """
    dtype = DTYPES[backend][kind]
    if isinstance(values, pa.Array) and dtype == np.dtype(object):
        values = values.to_pylist()
    if dtype == np.dtype(object):
        # Not np.array: it would make lists of one length a second dimension.
        return pd.Series(np.fromiter(values, dtype=object, count=len(values)), dtype=object)
    if isinstance(dtype, np.dtype):
        return pd.Series(np.asarray(values, dtype=dtype))
    # By way of Arrow, which reads a list of str thrice as fast as pandas does.
    arrow = _ARROW[kind] if kind != TEXT or backend == "pyarrow" else pa.large_string()
    read = values.cast(arrow) if isinstance(values, pa.Array) else pa.array(values, arrow, from_pandas=True)
    return pd.Series(dtype.__from_arrow__(read))


def frame(
    columns: Mapping[str, ColumnValues],
    kinds: Mapping[str, str],
    backend: Backend = no_backend,
) -> pd.DataFrame:
    """Build a frame whose dtypes do not depend on its values.

    Parameters
    ----------
    columns : dict of str to sequence
        Values as `column` takes them, all of one length.
    kinds : dict of str to str
        The columns of the frame in their order, and their dtypes: one of the tables above.
    backend : {"numpy_nullable", "pyarrow"}, optional
        Whose counterparts of those dtypes to use.

    Examples
    --------
    >>> frame({"iou": [None, 0.5]}, {"iou": "float64"})["iou"].tolist()
    [nan, 0.5]
    """
    return pd.DataFrame({name: column(columns[name], kind, backend) for name, kind in kinds.items()})


def indexed(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a frame with a column as its index, which keeps the dtype of the column.

    `DataFrame.set_index` infers another one, and warns, on pandas 2 with ``future.infer_string``.

    Examples
    --------
    >>> indexed(pd.DataFrame({"id": ["a"], "n": [1]}), "id").index.name
    'id'
    """
    ids = rows[name]
    return rows.drop(columns=name).set_axis(pd.Index(ids.array, dtype=ids.dtype, name=name), axis=0)


class Meaning(NamedTuple):
    """What a column holds.

    Attributes
    ----------
    description : str
        A sentence without its full stop.
    unit : str or None
        The unit or the range of a number; what a text is, where it is more than words.
    """

    description: str
    unit: str | None = None


_PIXELS = "pixels"
_JSON = "JSON object"
_ITEM = {
    "dataset_item_id": Meaning("Id of the item, given by the server"),
    "reference_id": Meaning("Id of the item, given by who added it; unique in the dataset"),
}

ITEM_COLUMNS: dict[str, Meaning] = {
    **_ITEM,
    "image_url": Meaning("Where the image stands: an address, or a path on the machine of an embedded Nucleus"),
    "image_width": Meaning("Width of the image, null where it is not known", _PIXELS),
    "image_height": Meaning("Height of the image, null where it is not known", _PIXELS),
    "metadata": Meaning("What was noted of the item", _JSON),
}
"""Of the columns of items."""

ANNOTATION_COLUMNS: dict[str, Meaning] = {
    **_ITEM,
    "annotation_id": Meaning("Id of the annotation, unique in its item"),
    "label": Meaning("What the annotation shows; null for a type without a label of its own"),
    "type": Meaning("box, line, polygon, keypoints, cuboid, category, multicategory or mask"),
    "x": Meaning("Left edge of a box, counted from the left edge of the image; null for other types", _PIXELS),
    "y": Meaning("Upper edge of a box, counted from the upper edge of the image; null for other types", _PIXELS),
    "width": Meaning("Width of a box; null for other types", _PIXELS),
    "height": Meaning("Height of a box; null for other types", _PIXELS),
    "geometry": Meaning("What annotations of other types than box have instead, coordinates in pixels", _JSON),
    "track_reference_id": Meaning("Id of the track that the annotation belongs to; null for one without"),
    "task_id": Meaning("Id of the labeling task that the annotation comes from; null for one without"),
    "embedding_vector": Meaning("The embedding of what the annotation shows; null for one without", _JSON),
    "metadata": Meaning("What was noted of the annotation", _JSON),
}
"""Of the columns of annotations."""

PREDICTION_COLUMNS: dict[str, Meaning] = {
    **{
        name: Meaning(text.replace("annotation", "prediction"), unit)
        for name, (text, unit) in ANNOTATION_COLUMNS.items()
    },
    "confidence": Meaning("How sure the model is; null where it does not say", "0 to 1"),
    "class_pdf": Meaning("Probabilities of all labels, from 0 to 1; null where the model does not say", _JSON),
}
"""Of the columns of predictions."""

MATCH_COLUMNS: dict[str, Meaning] = {
    **_ITEM,
    "annotation_id": Meaning("Id of the ground truth, unique in its item; null for a prediction alone"),
    "prediction_id": Meaning("Id of the prediction, unique in its item; null for a ground truth alone"),
    "label": Meaning("Label of the ground truth"),
    "predicted_label": Meaning("Label of the prediction"),
    "confidence": Meaning("How sure the model is; null where it does not say", "0 to 1"),
    "iou": Meaning("Area of the intersection over that of the union; null where a side is missing", "0 to 1"),
    "match_type": Meaning("TP (right), FP (wrong prediction) or FN (missed ground truth)"),
}
"""Of the columns of matches."""
