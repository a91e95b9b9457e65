"""Send the rows of frames to datasets, runs and models, or check them without sending."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Hashable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

import numpy as np
import pandas as pd

from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.model import Model
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import (
    NOT_SENT,
    BoxColumn,
    Checked,
    FrameLike,
    LocalFiles,
    MetadataColumns,
    NamedColumns,
    Units,
    frame_of,
)
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.schema.validate import (
    ColumnLayout,
    SendableRows,
    find_outside,
    sizes_in,
    validate,
    warn_of_outside,
    warn_of_repeats,
)

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")

_FRAME = "pandas.DataFrame, or a table that exports Arrow"
_KINDS: tuple[RowKind, ...] = ("items", "annotations", "predictions")


def of_type(value: object, expected: type[T], function: str) -> T:
    """Return the argument of a function if it has the expected type, or raise InvalidInputError."""
    if not isinstance(value, expected):
        raise InvalidInputError(f"{function} takes a {expected.__name__}, not {type(value).__name__}.")
    return value


def kind_of(kind: str) -> RowKind:
    """Return the argument if it is a kind of rows, or raise InvalidInputError."""
    for valid in _KINDS:
        if kind == valid:
            return valid
    raise InvalidInputError(f"kind must be {', '.join(map(repr, _KINDS))} or None, not {kind!r}.", argument="kind")


@overload
def _function_of(
    method: Callable[Concatenate[T, SendableRows, P], R], owner: type[T], /
) -> Callable[Concatenate[FrameLike, T, P], R]: ...
@overload
def _function_of(
    method: Callable[Concatenate[T, SendableRows, P], R], owner: type[T], other: type[U], /
) -> Callable[Concatenate[FrameLike, T | U, P], R]: ...
def _function_of(method: Any, owner: type[Any], *others: type[Any]) -> Any:
    """Create a function from the method of the object that a frame is sent to; the frame becomes its first argument.

    Signature and docstring are derived from those of the method: its rows become ``frame``, and its owner becomes the
    second argument.
    """
    name, owners = method.__name__, (owner, *others)
    target = "run" if owner is ModelRun else "dataset"
    kinds = " or ".join(each.__name__ for each in owners)
    rows, *options = list(inspect.signature(method).parameters.values())[1:]
    anywhere = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [
            inspect.Parameter("frame", anywhere, annotation="FrameLike"),
            inspect.Parameter(target, anywhere, annotation=kinds.replace(" or ", " | ")),
            *(option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options),
        ],
        return_annotation="UploadResult",
    )

    @wraps(method)
    def function(*args: Any, **kwargs: Any) -> Any:
        frame, receiver = (bound := signature.bind(*args, **kwargs)).args
        if not isinstance(receiver, owners):
            raise InvalidInputError(f"{name} takes a {kinds.replace(' or ', ' or a ')}, not {type(receiver).__name__}.")
        return getattr(receiver, name)(frame_of(frame), **bound.kwargs)

    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__qualname__, function.__module__ = name, __name__
    function.__doc__ = re.sub(
        rf"^{rows.name} : .*\n((?:    .*\n)+)",
        lambda entry: f"frame : {_FRAME}\n{entry[1]}{target} : {kinds}\n    Where the rows go.\n",
        inspect.cleandoc(method.__doc__),
        count=1,
        flags=re.MULTILINE,
    )
    del function.__wrapped__
    return function


append = _function_of(Dataset.append, Dataset)
annotate = _function_of(Dataset.annotate, Dataset)
predict = _function_of(ModelRun.predict, ModelRun, Model)


def check(
    frame: FrameLike,
    kind: RowKind | None = None,
    *,
    dataset: Dataset | None = None,
    local: bool = False,
    image_check: bool = True,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat | None = None,
    metadata: MetadataColumns = True,
) -> pd.DataFrame:
    """Return the rows that would be rejected, and boxes that lie outside their images, without sending anything.

    Parameters
    ----------
    frame : pandas.DataFrame, or a table that exports Arrow
        The rows to check.
    kind : {"items", "annotations", "predictions"}, optional
        The kind of rows. By default every kind that the columns allow: items with ``image_url``, predictions with
        ``confidence``, otherwise annotations with boxes, ``bbox`` or ``geometry``.
    dataset : Dataset, optional
        Where annotations or predictions would go: the sizes of its images are read, and rows of images that it does not
        have are listed. Without it, sizes are known from the columns ``image_width`` and ``image_height``.
    local : bool
        If True, every ``image_url`` is a path; otherwise values without ``://`` are paths, and ``file://`` URLs.
    image_check : bool
        Whether the content of local images is checked, as `append` does.
    columns : dict, optional
        Canonical names and the frame's names for them: ``{"label": "class"}``. Named index levels count too.
    bbox : hashable or sequence of four, optional
        One column of lists, arrays or structs, or four columns, that hold the boxes instead.
    bbox_format : {"xywh", "xyxy", "cxcywh"}, optional
        The meaning of the four numbers of `bbox`: corner and size, two corners, or centre and size. Needed
        with `bbox`, unless the names of the four columns, or of the fields of a struct, say x, y, width, height.
    metadata : bool or list of str
        True sends the column ``metadata`` (dicts, structs, JSON strings) and the columns ``metadata.<key>``, a list
        names plain columns to send instead, False sends none. Missing values are omitted.

    Returns
    -------
    pandas.DataFrame
        One row per problem, indexed by the labels of the frame: ``row`` (the position), ``column`` and ``reason``.
        Boxes that reach beyond their images are listed, although they are sent. Empty if there is nothing to mend.

    Raises
    ------
    InvalidInputError
        A column is missing, so that rows cannot be checked.

    Warns
    -----
    NucleusWarning
        Rows are exact duplicates, a column that is not sent has nearly the name of a missing one, no coordinate of any
        box is above 1, boxes reach beyond their images, or local images may be damaged.

    Examples
    --------
    >>> boxes = pd.DataFrame({"reference_id": ["a.jpg"], "label": ["car"]}, index=["first"])
    >>> boxes[["x", "y", "width", "height"]] = 10, 20, -30, 40
    >>> check(boxes)["column"].to_dict()
    {'first': 'width'}
    """
    frame = frame_of(frame)
    layout = ColumnLayout(columns, bbox, bbox_format, metadata)
    problems = []
    for row_kind in [kind_of(kind)] if kind is not None else _kinds(frame, layout):
        local_files = LocalFiles(local, image_check)
        source, checked = validate(row_kind, frame, layout, local_files=local_files)
        assert isinstance(source, pd.DataFrame)
        local_files.warn()
        if row_kind != "items":
            _check_images(source, layout, checked, None if dataset is None else of_type(dataset, Dataset, "check"))
        problems.append(checked.problems.frame())
        warn_of_repeats(checked, source, layout)
    if len(problems) == 1:
        return problems[0]
    combined = pd.concat(problems)
    combined = combined.iloc[combined["row"].argsort(kind="stable")]  # by position: an index may be named "row" too
    return combined[~combined.duplicated()]


def _check_images(frame: pd.DataFrame, layout: ColumnLayout, checked: Checked[Units], dataset: Dataset | None) -> None:
    """List boxes that reach beyond their images, and rows of images that the dataset does not have."""
    named = NamedColumns(frame, layout.columns)
    sizes, problems = sizes_in(named), checked.problems
    if dataset is not None:
        rows = np.flatnonzero(checked.unit_of_row != NOT_SENT)
        keys = np.array(checked.units.keys(0, len(rows)), dtype=object)
        images = dataset.items[["reference_id", "image_width", "image_height"]]
        known = {by: pd.Index(ids) for by, ids in (("reference_id", images["reference_id"]), ("", images.index))}
        found = np.maximum(known["reference_id"].get_indexer(keys), known[""].get_indexer(keys))
        unknown = np.zeros(len(frame), dtype=bool)
        unknown[rows[found < 0]] = True
        sizes = np.full((2, len(frame)), np.nan)
        stored = images[["image_width", "image_height"]].to_numpy(dtype=np.float64, na_value=np.nan).T
        sizes[:, rows[found >= 0]] = stored[:, found[found >= 0]]
        key = "reference_id" if named.has("reference_id") else "dataset_item_id"
        problems.add(unknown, str(named.name(key)), "names an item that the dataset does not have.")
    if sizes is None:
        return
    beyond, counts = find_outside(checked, sizes)
    column = str(named.name("x") if layout.bbox is None else layout.bbox)
    problems.add(
        beyond,
        column,
        lambda row: (
            f"belongs to a box that reaches beyond its image of {sizes[0, row]:g} x {sizes[1, row]:g} pixels. "
            "It would be sent as it is."
        ),
    )
    warn_of_outside(counts, len(checked.units), layout)


def _kinds(frame: pd.DataFrame, layout: ColumnLayout) -> list[RowKind]:
    names = {*frame.columns, *frame.index.names, *(layout.columns or {})}
    kinds: list[RowKind] = ["items"] if "image_url" in names else []
    if layout.bbox is not None or {"x", "geometry"} & names:
        kinds.append("predictions" if "confidence" in names else "annotations")
    if not kinds:  # a required column is missing; the others tell which kind the error has to name
        kinds.append("predictions" if "confidence" in names else "annotations" if "label" in names else "items")
    return kinds
