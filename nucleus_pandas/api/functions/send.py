"""Rows to datasets, runs and models, and what of them would be rejected."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Hashable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

import pandas as pd

from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.model import Model
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import BoxColumn, MetadataColumns, label_of, warn
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.schema.validate import ColumnLayout, SendableRows, validate

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")

_KINDS: tuple[RowKind, ...] = ("items", "annotations", "predictions")


def frame_of(frame: object) -> pd.DataFrame:
    """Return a frame, or raise InvalidInputError."""
    if not isinstance(frame, pd.DataFrame):
        raise InvalidInputError(
            f"Expected a DataFrame, got {type(frame).__name__}. Lists of dicts and payloads go to dataset.append, "
            "dataset.annotate and run.predict."
        )
    return frame


def of_type(thing: object, wanted: type[T], verb: str) -> T:
    """Return a thing of a type, or raise InvalidInputError."""
    if not isinstance(thing, wanted):
        raise InvalidInputError(f"{verb} takes a {wanted.__name__}, not {type(thing).__name__}.")
    return thing


def kind_of(kind: str) -> RowKind:
    """Return a kind of rows, or raise InvalidInputError."""
    for known in _KINDS:
        if kind == known:
            return known
    raise InvalidInputError(f"kind is {', '.join(map(repr, _KINDS))} or None, not {kind!r}.", argument="kind")


@overload
def _function_of(
    method: Callable[Concatenate[T, SendableRows, P], R], owner: type[T], /
) -> Callable[Concatenate[pd.DataFrame, T, P], R]: ...
@overload
def _function_of(
    method: Callable[Concatenate[T, SendableRows, P], R], owner: type[T], other: type[U], /
) -> Callable[Concatenate[pd.DataFrame, T | U, P], R]: ...
def _function_of(method: Any, owner: type[Any], *others: type[Any]) -> Any:
    """Create the function whose first argument is the frame from the method of what the frame is sent to.

    Signature and docstring are those of the method, which are the only ones: its rows become ``frame``, and its owner
    the second argument.
    """
    name, owners = method.__name__, (owner, *others)
    target = "run" if owner is ModelRun else "dataset"
    kinds = " or ".join(each.__name__ for each in owners)
    rows, *options = list(inspect.signature(method).parameters.values())[1:]
    anywhere = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [
            inspect.Parameter("frame", anywhere, annotation="pd.DataFrame"),
            inspect.Parameter(target, anywhere, annotation=kinds.replace(" or ", " | ")),
            *(option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options),
        ],
        return_annotation="UploadResult",
    )

    @wraps(method)
    def function(*args: Any, **kwargs: Any) -> Any:
        frame, sent_to = (bound := signature.bind(*args, **kwargs)).args
        if not isinstance(sent_to, owners):
            raise InvalidInputError(f"{name} takes a {kinds.replace(' or ', ' or a ')}, not {type(sent_to).__name__}.")
        return getattr(sent_to, name)(frame_of(frame), **bound.kwargs)

    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__qualname__, function.__module__ = name, __name__
    function.__doc__ = re.sub(
        rf"^{rows.name} : .*\n((?:    .*\n)+)",
        lambda entry: f"frame : pandas.DataFrame\n{entry[1]}{target} : {kinds}\n    Where the rows go.\n",
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
    frame: pd.DataFrame,
    kind: RowKind | None = None,
    *,
    local: bool = False,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat = "xywh",
    metadata: MetadataColumns = True,
) -> pd.DataFrame:
    """Return what would be refused; nothing is sent.

    Parameters
    ----------
    frame : pandas.DataFrame
        What is to be sent.
    kind : {"items", "annotations", "predictions"}, optional
        As what. By default as all that its columns allow: as items with ``image_url``, as predictions with
        ``confidence``, else as annotations with boxes, ``bbox`` or ``geometry``.
    local : bool
        Whether every ``image_url`` is a path; without it a path is known by having no ``://``.
    columns : dict, optional
        Canonical names and what the frame calls them: ``{"label": "class"}``. Named index levels count too.
    bbox : hashable or sequence of four, optional
        One column of lists, arrays or structs, or four columns, that hold the boxes instead.
    bbox_format : {"xywh", "xyxy", "cxcywh"}
        What the four numbers of `bbox` are: corner and size, two corners, or centre and size.
    metadata : bool or list of str
        True sends the column ``metadata`` (dicts, structs, JSON texts) and the columns ``metadata.<key>``, a list
        names plain columns to send instead, False sends none. Missing values are left out.

    Returns
    -------
    pandas.DataFrame
        On the labels of the frame, a row for each offence: ``row`` (the position), ``column`` and ``reason``. Empty
        where everything may be sent.

    Raises
    ------
    InvalidInputError
        A column is missing, so that nothing can be said of single rows.

    Warns
    -----
    NucleusWarning
        Rows repeat others exactly, or no number of any box is above 1.

    Examples
    --------
    >>> boxes = pd.DataFrame({"reference_id": ["a.jpg"], "label": ["car"]}, index=["first"])
    >>> boxes[["x", "y", "width", "height"]] = 10, 20, -30, 40
    >>> check(boxes)["column"].to_dict()
    {'first': 'width'}
    """
    layout = ColumnLayout(columns, bbox, bbox_format, metadata)
    found = []
    for each in [kind_of(kind)] if kind is not None else _kinds(frame_of(frame), layout):
        _, checked = validate(each, frame_of(frame), layout, local=local)
        found.append(checked.problems.frame())
        if checked.repeats:
            count = len(checked.repeats)
            warn(
                f"{count} {'row repeats another' if count == 1 else 'rows repeat others'} exactly, the first is "
                f"{label_of(frame.index, checked.repeats[0])}. Each is sent under an id of its own; "
                "frame.drop_duplicates() removes them."
            )
    if len(found) == 1:
        return found[0]
    every = pd.concat(found)
    every = every.iloc[every["row"].argsort(kind="stable")]  # by position: an index may be called "row" as well
    return every[~every.duplicated()]


def _kinds(frame: pd.DataFrame, layout: ColumnLayout) -> list[RowKind]:
    names = {*frame.columns, *frame.index.names, *(layout.columns or {})}
    found: list[RowKind] = ["items"] if "image_url" in names else []
    if layout.bbox is not None or {"x", "geometry"} & names:
        found.append("predictions" if "confidence" in names else "annotations")
    if not found:  # something is missing; what else is there tells what the sentence has to be about
        found.append("predictions" if "confidence" in names else "annotations" if "label" in names else "items")
    return found
