"""Rows to datasets, runs and models, and what of them would be refused."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping

import pandas as pd

from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.functions.arguments import frame_of, kind_of, of_type
from nucleus_pandas.api.model import Model
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import BoxColumn, Metadata, label_of, warn
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.kinds import Kind
from nucleus_pandas.schema.validate import Layout, look_at
from nucleus_pandas.transport.resource import Resource
from nucleus_pandas.uploads.options import IfExists, OnError
from nucleus_pandas.uploads.results import UploadResult


def append(
    frame: pd.DataFrame,
    dataset: Dataset,
    *,
    local: bool = False,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    metadata: Metadata = True,
    if_exists: IfExists = "skip",
    on_error: OnError = "raise",
    batch_size: int | None = None,
    progress: bool | None = None,
    wait: bool = True,
    journal: str | os.PathLike[str] | None = None,
) -> UploadResult:
    """Add a frame's items to a dataset.

    Local images are uploaded on up to ``max_concurrency`` connections, and read while they are sent; a
    folder of them is made a frame by `read_images`. An embedded Nucleus gives their items the order of the frame all
    the same. The hosted service orders ten at a time as they arrive; with ``NucleusClient(max_concurrency=1)`` the
    order is kept there too.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``reference_id`` and ``image_url``, perhaps ``width`` and ``height`` (pixels) and metadata, one row each. A row
        with a ``image_error``, as `read_images` gives it, is refused for that reason.
    dataset : Dataset
        Where they go.
    local : bool
        Whether every ``image_url`` is a path; without it a path is known by having no ``://``.
    columns : dict, optional
        Canonical names and what the frame calls them: ``{"image_url": "path"}``. Named index levels count too.
    bbox : hashable or sequence of four, optional
        The columns of the boxes in a frame with one row per box; they are not sent.
    metadata : bool or list of str
        True sends the column ``metadata`` (dicts, structs, JSON texts) and the columns ``metadata.<key>``, a list
        names plain columns to send instead, False sends none. Missing values are left out.
    if_exists : {"skip", "update", "error"}
        What becomes of an item that is there already: nothing, or it is replaced, its metadata included, or an
        error is raised.
    on_error : {"raise", "collect"}
        Whether refused rows raise an error, or are only told in the result.
    batch_size : int, optional
        Rows a request.
    progress : bool, optional
        Whether to show a bar; by default on a terminal or in a notebook only.
    wait : bool
        Whether to wait for the jobs that the hosted service makes of uploads. Without it, ``result.wait()`` does.
    journal : path-like, optional
        A file, made when absent, that remembers which requests were answered, so that the same call goes on where an
        earlier one ended. A request is known by its content; images by the size and the time of their files.
        With ``if_exists="update"`` it knows the last frame alone.

    Returns
    -------
    UploadResult
        Counters and the outcome of every row, on the index of the frame.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> items = pd.DataFrame({"reference_id": ["a.jpg"], "image_url": ["https://example.org/a.jpg"], "hour": [7]})
    >>> with npd.NucleusClient.local() as client:
    ...     npd.append(items, client.create_dataset("Doc"), metadata=["hour"])
    UploadResult(new_items=1, updated_items=0, ignored_items=0, upload_errors=0)
    """
    return of_type(dataset, Dataset, "append").append(
        frame_of(frame),
        local,
        columns=columns,
        bbox=bbox,
        metadata=metadata,
        if_exists=if_exists,
        on_error=on_error,
        batch_size=batch_size,
        progress=progress,
        wait=wait,
        journal=journal,
    )


def annotate(
    frame: pd.DataFrame,
    dataset: Dataset,
    *,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat = "xywh",
    metadata: Metadata = True,
    if_exists: IfExists = "skip",
    on_error: OnError = "raise",
    batch_size: int | None = None,
    progress: bool | None = None,
    wait: bool = True,
    journal: str | os.PathLike[str] | None = None,
) -> UploadResult:
    """Add a frame's annotations to the ground truth of a dataset.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``reference_id`` or ``dataset_item_id``, ``label``, and ``x``, ``y``, ``width``, ``height`` in pixels from the
        top-left corner, one row each; ``type`` and ``geometry`` for other types than boxes. Perhaps ``annotation_id``,
        ``track_reference_id``, ``task_id`` and ``embedding_vector``.
    dataset : Dataset
        Where they go.
    columns : dict, optional
        Canonical names and what the frame calls them: ``{"label": "class"}``. Named index levels count too.
    bbox : hashable or sequence of four, optional
        One column of lists, arrays or structs, or four columns, that hold the boxes instead.
    bbox_format : {"xywh", "xyxy", "cxcywh"}
        What the four numbers of `bbox` are: corner and size, two corners, or centre and size.
    metadata : bool or list of str
        True sends the column ``metadata`` (dicts, structs, JSON texts) and the columns ``metadata.<key>``, a list
        names plain columns to send instead, False sends none. Missing values are left out.
    if_exists : {"skip", "update", "error"}
        What becomes of one whose ``annotation_id`` its item has already: nothing, or it is replaced, its metadata
        included, or an error is raised.
    on_error : {"raise", "collect"}
        Whether refused rows raise an error, or are only told in the result.
    batch_size : int, optional
        Rows a request.
    progress : bool, optional
        Whether to show a bar; by default on a terminal or in a notebook only.
    wait : bool
        Whether to wait for the jobs that the hosted service makes of uploads. Without it, ``result.wait()`` does.
    journal : path-like, optional
        A file, made when absent, that remembers which requests were answered, so that the same call goes on where an
        earlier one ended. A request is known by its content; images by the size and the time of their files.
        With ``if_exists="update"`` it knows the last frame alone.

    Returns
    -------
    UploadResult
        Counters and the outcome of every row, on the index of the frame.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> scene = pd.DataFrame({
    ...     "reference_id": ["a.jpg", "b.jpg"], "image_url": ["https://example.org/a.jpg", "https://example.org/b.jpg"],
    ...     "label": ["car", None], "x": [10.0, None], "y": [20.0, None], "width": [30.0, None], "height": [60.0, None],
    ... })
    >>> with npd.NucleusClient.local() as client:
    ...     dataset = client.create_dataset("Doc")
    ...     _ = npd.append(scene, dataset)
    ...     npd.annotate(scene, dataset).rows["status"].tolist()
    ['new', 'skipped']
    """
    return of_type(dataset, Dataset, "annotate").annotate(
        frame_of(frame),
        columns=columns,
        bbox=bbox,
        bbox_format=bbox_format,
        metadata=metadata,
        if_exists=if_exists,
        on_error=on_error,
        batch_size=batch_size,
        progress=progress,
        wait=wait,
        journal=journal,
    )


def predict(
    frame: pd.DataFrame,
    run: ModelRun | Model,
    *,
    dataset: Resource | str | None = None,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat = "xywh",
    metadata: Metadata = True,
    if_exists: IfExists = "skip",
    on_error: OnError = "raise",
    batch_size: int | None = None,
    progress: bool | None = None,
    wait: bool = True,
    journal: str | os.PathLike[str] | None = None,
) -> UploadResult:
    """Send a frame's predictions to a model run, or to a model.

    Parameters
    ----------
    frame : pandas.DataFrame
        The columns of `annotate`, ``confidence`` in [0, 1], and perhaps ``class_pdf``, dicts of labels and their
        probabilities.
    run : ModelRun or Model
        Where they go. Those of a model belong to its run on `dataset`, which is found or made, or without that to no
        run; see `Model.predict`.
    dataset : Dataset or str, optional
        Of a model, or of a run that spans datasets: the dataset of the items.
    columns : dict, optional
        Canonical names and what the frame calls them: ``{"label": "class"}``. Named index levels count too.
    bbox : hashable or sequence of four, optional
        One column of lists, arrays or structs, or four columns, that hold the boxes instead.
    bbox_format : {"xywh", "xyxy", "cxcywh"}
        What the four numbers of `bbox` are: corner and size, two corners, or centre and size.
    metadata : bool or list of str
        True sends the column ``metadata`` (dicts, structs, JSON texts) and the columns ``metadata.<key>``, a list
        names plain columns to send instead, False sends none. Missing values are left out.
    if_exists : {"skip", "update", "error"}
        What becomes of one whose ``annotation_id`` its item has already: nothing, or it is replaced, its metadata
        included, or an error is raised.
    on_error : {"raise", "collect"}
        Whether refused rows raise an error, or are only told in the result.
    batch_size : int, optional
        Rows a request.
    progress : bool, optional
        Whether to show a bar; by default on a terminal or in a notebook only.
    wait : bool
        Whether to wait for the jobs that the hosted service makes of uploads. Without it, ``result.wait()`` does.
    journal : path-like, optional
        A file, made when absent, that remembers which requests were answered, so that the same call goes on where an
        earlier one ended. A request is known by its content; images by the size and the time of their files.
        With ``if_exists="update"`` it knows the last frame alone.

    Returns
    -------
    UploadResult
        Counters and the outcome of every row, on the index of the frame.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> found = pd.DataFrame({"reference_id": ["a.jpg"], "label": ["car"], "confidence": [0.9]})
    >>> found[["x", "y", "width", "height"]] = 10.0, 20.0, 30.0, 60.0
    >>> with npd.NucleusClient.local() as client:
    ...     dataset = client.create_dataset("Doc")
    ...     _ = dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
    ...     run = dataset.create_model_run(client.add_model("Detector", "det-0.5"))
    ...     npd.predict(found, run)
    UploadResult(predictions_processed=1, predictions_ignored=0)
    """
    if not isinstance(run, (ModelRun, Model)):
        raise InvalidInputError(f"predict takes a ModelRun or a Model, not {type(run).__name__}.")
    return run.predict(
        frame_of(frame),
        dataset=dataset,
        columns=columns,
        bbox=bbox,
        bbox_format=bbox_format,
        metadata=metadata,
        if_exists=if_exists,
        on_error=on_error,
        batch_size=batch_size,
        progress=progress,
        wait=wait,
        journal=journal,
    )


def check(
    frame: pd.DataFrame,
    kind: Kind | None = None,
    *,
    local: bool = False,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat = "xywh",
    metadata: Metadata = True,
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
    layout = Layout(columns, bbox, bbox_format, metadata)
    found = []
    for each in [kind_of(kind)] if kind is not None else _kinds(frame_of(frame), layout):
        _, checked = look_at(each, frame_of(frame), layout, local=local)
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


def _kinds(frame: pd.DataFrame, layout: Layout) -> list[Kind]:
    names = {*frame.columns, *frame.index.names, *(layout.columns or {})}
    found: list[Kind] = ["items"] if "image_url" in names else []
    if layout.bbox is not None or {"x", "geometry"} & names:
        found.append("predictions" if "confidence" in names else "annotations")
    if not found:  # something is missing; what else is there tells what the sentence has to be about
        found.append("predictions" if "confidence" in names else "annotations" if "label" in names else "items")
    return found
