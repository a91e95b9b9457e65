"""The functional interface: frames in, frames out. `DataFrame.nucleus` has the same verbs."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from nucleus_pandas import evaluation
from nucleus_pandas.boxes import BoxFormat
from nucleus_pandas.checks import Layout, look_at
from nucleus_pandas.columns import Backend, BoxColumn, Metadata, label_of, no_backend, warn
from nucleus_pandas.datasets import Dataset
from nucleus_pandas.errors import InvalidInputError, UploadError
from nucleus_pandas.evaluation import Engine, Evaluation, IouType, LabelPairs
from nucleus_pandas.gallery import SIZE, Colour, FrameSource, Gallery, gallery
from nucleus_pandas.parquet.importing import Import, Records
from nucleus_pandas.parquet.memory import FrameFile
from nucleus_pandas.parquet.reading import Form, read_files
from nucleus_pandas.parquet.sources import Source, Sources, find
from nucleus_pandas.results import ImportResult, Kind, UploadResult
from nucleus_pandas.runs import ModelRun
from nucleus_pandas.uploads import IfExists, OnError, Options, Target
from nucleus_pandas.views import AnnotationsView, ItemsView, MetadataAs

T = TypeVar("T")

_KINDS: tuple[Kind, ...] = ("items", "annotations", "predictions")


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

    Pictures of this machine are uploaded on up to ``max_concurrency`` connections, and read while they are sent; a
    folder of them is made a frame by `read_pictures`. An embedded Nucleus gives their items the order of the frame all
    the same. The hosted service orders ten at a time as they arrive; with ``NucleusClient(max_concurrency=1)`` the
    order is kept there too.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``reference_id`` and ``image_url``, perhaps ``width`` and ``height`` (pixels) and metadata, a row each. A row
        with a ``picture_error``, as `read_pictures` gives it, is refused for that reason.
    dataset : Dataset
        Where they go.
    local : bool
        Whether every ``image_url`` is a path; without it a path is known by having no ``://``.
    columns : dict, optional
        Canonical names and what the frame calls them: ``{"image_url": "path"}``. Named index levels count too.
    bbox : hashable or sequence of four, optional
        The columns of the boxes in a frame with one row a box; they are not sent.
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
        earlier one ended. A request is known by its content; pictures by the size and the time of their files.
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
    return _of_type(dataset, Dataset, "append").append(
        _frame(frame),
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
        top-left corner, a row each.
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
        earlier one ended. A request is known by its content; pictures by the size and the time of their files.
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
    return _of_type(dataset, Dataset, "annotate").annotate(
        _frame(frame),
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
    run: ModelRun,
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
    """Send a frame's predictions to a model run.

    Parameters
    ----------
    frame : pandas.DataFrame
        The columns of `annotate`, and ``confidence`` in [0, 1].
    run : ModelRun
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
        earlier one ended. A request is known by its content; pictures by the size and the time of their files.
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
    return _of_type(run, ModelRun, "predict").predict(
        _frame(frame),
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
    """Tell what would be refused; nothing is sent.

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
    for each in [_kind(kind)] if kind is not None else _kinds(_frame(frame), layout):
        _, checked = look_at(each, _frame(frame), layout, local=local)
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


def evaluate(
    predictions: pd.DataFrame,
    ground_truth: pd.DataFrame,
    *,
    iou_threshold: float = 0.5,
    class_agnostic: bool | None = None,
    allowed_label_matches: LabelPairs | None = None,
    max_dets: int | Iterable[int] = 100,
    area_ranges: Mapping[str, tuple[float, float]] | None = None,
    engine: Engine | None = None,
    iou_type: IouType = "bbox",
    items: pd.DataFrame | None = None,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat = "xywh",
) -> Evaluation:
    """Evaluate a frame of predictions against a frame of ground truth; nothing is sent.

    Parameters
    ----------
    predictions : pandas.DataFrame
        ``reference_id`` or ``dataset_item_id``, ``label``, ``x``, ``y``, ``width``, ``height`` in pixels from the
        top-left corner and ``confidence`` in [0, 1], a row each; perhaps ``annotation_id``. A missing confidence is
        ranked last.
    ground_truth : pandas.DataFrame
        The same without ``confidence``. A row whose box is missing whole stands for a picture without boxes. A column
        ``iscrowd``, or ``iscrowd`` in the metadata, marks crowds, which are neither found nor missed. A column
        ``area`` (square pixels) goes before width times height.
    iou_threshold : float in (0, 1], default 0.5
        From which IoU on a pair counts, in all that the Nucleus match counts. The COCO numbers have their own ten.
    class_agnostic : bool, optional
        Whether boxes of different labels may match in the Nucleus match; they may, unless pairs are given. Average
        precision is computed label by label in any case.
    allowed_label_matches : iterable of (str, str), optional
        Pairs of a ground-truth label and a predicted label, which alone may match, and are right. They rule average
        precision and TIDE too: labels are then those of the ground truth, and a prediction that found ground truth of
        another label does not count for this one.
    max_dets : int or ascending int, default 100
        How many predictions of a label in a picture the COCO numbers and TIDE see, by falling confidence. A number
        stands for (1, 10, number): the average recall is given for each, all other numbers for the last.
    area_ranges : dict of str to (float, float), optional
        Names and bounds in square pixels, both included. By default those of COCO: small below 32², medium to 96²,
        large.
    engine : {"hotcoco", "pycocotools"}, optional
        What computes the COCO numbers. By default hotcoco; both give the same.
    iou_type : {"bbox", "segm"}, default "bbox"
        Whether boxes are compared, or masks: a column ``segmentation`` (polygons or run-length encodings, as COCO has
        them) or polygons in ``geometry``. Areas are then those of the masks.
    items : pandas.DataFrame, optional
        ``reference_id`` or ``dataset_item_id`` of all pictures that are evaluated, and what `Evaluation.by` is to group
        them by. By default the pictures are those of the two frames.
    columns : dict of str to hashable, optional
        Canonical names and what the caller calls them; each frame takes what it has.
    bbox : column name or four, optional
        As in `Dataset.annotate`; a frame that does not have these columns has ``x``, ``y``, ``width`` and ``height``.
    bbox_format : {"xywh", "xyxy", "cxcywh"}
        What the four numbers of `bbox` mean.

    Returns
    -------
    Evaluation
        Numbers and tables, each computed when it is first asked for.

    Raises
    ------
    InvalidInputError
        A column is missing, rows are wrong, an argument is none of those above, or no picture of the predictions is
        one of the ground truth (or of `items`).
    MissingExtraError
        The engine is not installed.

    Warns
    -----
    NucleusWarning
        Some predictions lie on pictures that the ground truth does not name; there is no column ``confidence``;
        `max_dets` leaves predictions out; rows are no boxes.

    Examples
    --------
    >>> truth = pd.DataFrame({"reference_id": ["a.jpg", "a.jpg", "b.jpg"], "label": ["car", "bus", "car"]})
    >>> truth[["x", "y", "width", "height"]] = [[0, 0, 20, 10], [50, 0, 20, 10], [0, 0, 20, 10]]
    >>> found = truth.drop(index=1).assign(x=[0, 2], confidence=[0.9, 0.8])
    >>> evaluation = evaluate(found, truth)
    >>> evaluation.summary[["AP", "AP50", "precision", "recall"]].round(3).to_dict()
    {'AP': 0.426, 'AP50': 0.5, 'precision': 1.0, 'recall': 0.667}
    >>> evaluation.counts[["TP", "FP", "FN"]].to_dict("index")
    {'bus': {'TP': 0, 'FP': 0, 'FN': 1}, 'car': {'TP': 2, 'FP': 0, 'FN': 0}}
    """
    return evaluation.evaluate(
        predictions,
        ground_truth,
        iou_threshold=iou_threshold,
        class_agnostic=class_agnostic,
        allowed_label_matches=allowed_label_matches,
        max_dets=max_dets,
        area_ranges=area_ranges,
        engine=engine,
        iou_type=iou_type,
        items=items,
        columns=columns,
        bbox=bbox,
        bbox_format=bbox_format,
    )


def _kinds(frame: pd.DataFrame, layout: Layout) -> list[Kind]:
    names = {*frame.columns, *frame.index.names, *(layout.columns or {})}
    found: list[Kind] = ["items"] if "image_url" in names else []
    if layout.bbox is not None or {"x", "geometry"} & names:
        found.append("predictions" if "confidence" in names else "annotations")
    if not found:  # something is missing; what else is there tells what the sentence has to be about
        found.append("predictions" if "confidence" in names else "annotations" if "label" in names else "items")
    return found


def _kind(kind: str) -> Kind:
    for known in _KINDS:
        if kind == known:
            return known
    raise InvalidInputError(f"kind is {', '.join(map(repr, _KINDS))} or None, not {kind!r}.")


def _frame(frame: object) -> pd.DataFrame:
    if not isinstance(frame, pd.DataFrame):
        raise InvalidInputError(
            f"Expected a DataFrame, got {type(frame).__name__}. Lists of dicts and payloads go to dataset.append, "
            "dataset.annotate and run.predict."
        )
    return frame


def _of_type(thing: object, wanted: type[T], verb: str) -> T:
    if not isinstance(thing, wanted):
        raise InvalidInputError(f"{verb} takes a {wanted.__name__}, not {type(thing).__name__}.")
    return thing


def import_parquet(
    source: Source,
    dataset: Dataset,
    kind: Kind = "items",
    run: ModelRun | None = None,
    *,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat = "xywh",
    metadata: Metadata = True,
    local: bool = False,
    filesystem: Any = None,
    if_exists: IfExists = "skip",
    on_error: OnError = "raise",
    max_rejects: int | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
    journal: str | os.PathLike[str] | bool | None = None,
    rejects: str | os.PathLike[str] | None = None,
) -> ImportResult:
    """Send Parquet files to a dataset or a run, row group by row group.

    No more than two row groups are in memory, whatever the size of the files. Each answer of the server is written
    down, so that the same call goes on where an earlier one ended, and the end is as if nothing had happened; when all
    was sent, the same call sends nothing but the rows that were refused.

    Parameters
    ----------
    source : str, path-like, or several
        A file, a folder (with the folders in it; ``split=train`` in their names is a column), a pattern such as
        ``boxes/**/part-*.parquet``, or an address such as ``s3://bucket/boxes`` that pyarrow or fsspec know.
    dataset : Dataset
        Where the rows go.
    kind : {"items", "annotations", "predictions"}
        What the rows are. A file with one row a box and the columns of its picture can be sent as each of them.
    run : ModelRun, optional
        Where predictions go.
    columns : dict, optional
        Canonical names and what the files call them: ``{"label": "class"}``. A field of a struct has a dotted name:
        ``{"label": "objects.category"}``.
    bbox : str or sequence of four str, optional
        One column of lists or structs, or four columns, that hold the boxes instead of x, y, width and height. With
        one row a picture it is a list of boxes, and so are the labels and all else that belongs to boxes; every box is
        a row then. Classes that Hugging Face's datasets write as numbers get the names that they wrote down.
    bbox_format : {"xywh", "xyxy", "cxcywh"}
        What the four numbers of `bbox` are: corner and size, two corners, or centre and size.
    metadata : bool or list of str
        True sends the column ``metadata`` (structs, JSON texts) and the columns ``metadata.<key>``, a list names plain
        columns to send instead, False sends none. Missing values are left out.
    local : bool
        Whether every ``image_url`` is a path; without it a path is known by having no ``://``.
    filesystem : pyarrow.fs.FileSystem or fsspec file system, optional
        Where paths are looked for.
    if_exists : {"skip", "update", "error"}
        What becomes of rows that are there already: nothing, or they are replaced, or refused.
    on_error : {"raise", "collect"}
        Whether refused rows raise an error, after the others are stored, or are only told in the result.
    max_rejects : int, optional
        The import ends early when more rows than these are refused.
    batch_size : int, optional
        Rows a request.
    progress : bool, optional
        Whether to show a bar; by default on a terminal or in a notebook only.
    journal : path-like or bool, optional
        Where answers are written down. By default the hidden file ``.nucleus_import.sqlite`` in the folder of the
        source or, where that cannot be written to, below the user's cache folder. It knows a file by its path below its
        folder, and where rows went by the ids of the dataset and the run, not by the server's address. False writes
        nothing down, and sends everything.
    rejects : path-like, optional
        Where refused rows go, as Parquet; by default ``_<name>.<kind>.rejects.parquet`` beside the journal.

    Returns
    -------
    ImportResult
        How many rows are new, updated, ignored, skipped and refused, and where the refused ones are.

    Raises
    ------
    InvalidInputError
        There is no such file, one is no Parquet file or is damaged, a column is missing or of a wrong type. All files
        are looked at before a row is sent; what only shows when rows are read, as that a file changes meanwhile, ends
        the import there.
    UploadError
        Rows were refused, or the import ended early; ``.result`` is the `ImportResult`.
    JournalError
        The journal cannot be read or written.
    FileError
        The refused rows cannot be written.
    MissingExtraError
        A package that reads the source is not installed.

    Warns
    -----
    NucleusWarning
        A row group is giant, or a file has changed since it was imported.

    Notes
    -----
    Rows that repeat another of their row group exactly are sent under ids of their own; one that repeats a row of
    another row group is the same annotation, and is counted as ignored.

    Examples
    --------
    >>> import tempfile
    >>> import nucleus_pandas as npd
    >>> boxes = pd.DataFrame({"file": ["a.jpg", "b.jpg"], "class": ["car", "bus"], "hour": [7, 8]})
    >>> boxes[["x1", "y1", "x2", "y2"]] = 10.0, 20.0, 40.0, 80.0
    >>> boxes["url"] = "https://example.org/" + boxes["file"]
    >>> with tempfile.TemporaryDirectory() as folder, npd.NucleusClient.local() as client:
    ...     boxes.to_parquet(f"{folder}/boxes.parquet")
    ...     dataset = client.create_dataset("Doc")
    ...     names = {"reference_id": "file", "image_url": "url", "label": "class"}
    ...     npd.import_parquet(f"{folder}/boxes.parquet", dataset, columns=names, metadata=["hour"])
    ...     npd.import_parquet(
    ...         f"{folder}/*.parquet", dataset, "annotations", columns=names, bbox=("x1", "y1", "x2", "y2"),
    ...         bbox_format="xyxy",
    ...     )
    ImportResult(rows=2, new=2)
    ImportResult(rows=2, new=2)
    """
    _of_type(dataset, Dataset, "import_parquet")
    kind = _kind(kind)
    target = _run_of(run, dataset)._target() if kind == "predictions" else dataset._target(kind)
    if kind != "predictions" and run is not None:
        raise InvalidInputError(f"run= is where predictions go; these are {kind}. Is kind='predictions' meant?")
    if kind == "items" and bbox_format != "xywh":
        raise InvalidInputError("bbox_format= is about boxes; items have none. Is kind='annotations' meant?")
    options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress)
    records = Records(journal, rejects, _count(max_rejects))
    layout = Layout(columns, bbox, bbox_format, metadata)
    return Import(target, find(source, filesystem), layout, options, records, local=local).run()


def import_files(
    source: str | os.PathLike[str],
    dataset: Dataset,
    form: Form,
    run: ModelRun | None = None,
    *,
    images: str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | None = None,
    ground_truth: str | os.PathLike[str] | None = None,
    if_exists: IfExists = "skip",
    on_error: OnError = "raise",
    max_rejects: int | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
    journal: str | os.PathLike[str] | bool | None = None,
    rejects: str | os.PathLike[str] | None = None,
) -> dict[str, ImportResult]:
    """Send what COCO, YOLO or Pascal VOC files say, or a folder of pictures, to a dataset or a run.

    Read by `read_coco`, `read_yolo`, `read_voc` or `read_pictures`, and then sent as `import_parquet` sends: the same
    call goes on where an earlier one ended, and refused rows go to a Parquet file.

    Parameters
    ----------
    source : str or path-like
        A COCO file, a folder of YOLO's texts, a folder of VOC's XML, or a folder of pictures.
    dataset : Dataset
        Where pictures and ground truth go.
    form : {"coco", "yolo", "voc", "pictures"}
        What is read.
    run : ModelRun, optional
        Where boxes go that have confidences. Their pictures are in the dataset already, and are not sent.
    images : str or path-like, optional
        The folder of the pictures, which are uploaded. By default their own addresses are taken, as COCO has them, and
        where there are none a folder ``images`` beside the source or above it that holds them all.
    names : str or path-like, optional
        YOLO's names of classes, where they do not stand beside the texts.
    ground_truth : str or path-like, optional
        The COCO file that says what the numbers in a file of COCO's results mean.
    if_exists : {"skip", "update", "error"}
        What becomes of what is there already: nothing, or it is replaced, or refused.
    on_error : {"raise", "collect"}
        Whether refused rows raise an error, after the others are stored, or are only told in the results.
    max_rejects : int, optional
        The import ends early when more rows than these are refused.
    batch_size : int, optional
        Rows a request.
    progress : bool, optional
        Whether to show a bar; by default on a terminal or in a notebook only.
    journal : path-like or bool, optional
        As `import_parquet` takes it.
    rejects : path-like, optional
        Where refused rows go, as Parquet; the kind of rows is put before the ending.

    Returns
    -------
    dict of str to ImportResult
        Under ``items``, ``annotations`` and ``predictions``, what was sent of these.

    Raises
    ------
    InvalidInputError
        A file cannot be read, or pictures have no addresses; nothing was sent.
    UploadError
        Rows were refused, or the import ended early; ``.result`` is what is told above.

    Examples
    --------
    >>> import tempfile
    >>> import nucleus_pandas as npd
    >>> items = pd.DataFrame({"reference_id": ["a.jpg"], "image_url": ["https://example.org/a.jpg"]})
    >>> boxes = pd.DataFrame({"reference_id": ["a.jpg"], "label": ["car"], "x": 1, "y": 2, "width": 30, "height": 40})
    >>> with tempfile.TemporaryDirectory() as folder, npd.NucleusClient.local() as client:
    ...     _ = npd.to_coco(items.assign(width=640, height=480), boxes, f"{folder}/instances.json")
    ...     npd.import_files(f"{folder}/instances.json", client.create_dataset("Doc"), "coco")
    {'items': ImportResult(rows=1, new=1), 'annotations': ImportResult(rows=1, new=1)}
    """
    _of_type(dataset, Dataset, "import_files")
    options = Options(if_exists=if_exists, on_error="collect", batch_size=batch_size, progress=progress)
    Options(on_error=on_error)  # refuses what is none
    read = read_files(source, form, images=images, names=names, ground_truth=ground_truth)
    parts: list[tuple[Target, FrameFile]] = []
    if run is None:
        if read.predicted:
            raise InvalidInputError(
                f"'{source}' holds confidences: these are predictions, and go to a run: run=…. Ground truth has none."
            )
        parts.append((dataset._target("items"), read.items))
        if read.annotations is not None:
            parts.append((dataset._target("annotations"), read.annotations))
    else:
        if read.annotations is None or not read.predicted:
            raise InvalidInputError(
                f"'{source}' holds no confidences, and run= is where predictions go. Leave run= out."
            )
        parts.append((_run_of(run, dataset)._target(), read.annotations))
    found: dict[str, ImportResult] = {}
    refused = []
    for target, file in parts:
        records = Records(journal, _apart(rejects, target.kind), _count(max_rejects))
        sending = Import(target, Sources([file], str(read.folder), True), Layout(), options, records, local=False)
        try:
            found[target.kind] = sending.run()
        except UploadError as error:
            error.result = {**found, target.kind: error.result}
            raise
        if found[target.kind].failed:
            refused.append(f"{target.kind}: {sending.refused(found[target.kind])}")
    if refused and on_error == "raise":
        raise UploadError("\n".join([*refused, "The other rows are stored."]), found)
    return found


def _apart(rejects: str | os.PathLike[str] | None, kind: Kind) -> Path | None:
    return None if rejects is None else Path(rejects).with_suffix(f".{kind}{Path(rejects).suffix}")


def _count(max_rejects: int | None) -> int | None:
    wrong = isinstance(max_rejects, bool) or not isinstance(max_rejects, int) or max_rejects < 0
    if max_rejects is not None and wrong:
        raise InvalidInputError(f"max_rejects is a number of rows, not {max_rejects!r}.")
    return max_rejects


def _run_of(run: ModelRun | None, dataset: Dataset) -> ModelRun:
    if run is None:
        raise InvalidInputError("Predictions go to a run: run=dataset.create_model_run(model).")
    home = _of_type(run, ModelRun, "run=")._known()["dataset_id"]
    if home is not None and home != dataset.id:
        raise InvalidInputError(f"The run '{run.id}' belongs to the dataset '{home}', not to '{dataset.id}'.")
    return run


def read_items(
    dataset: Dataset, *, metadata_as: MetadataAs = "dict", dtype_backend: Backend = no_backend
) -> pd.DataFrame:
    """Read all items of a dataset.

    Parameters
    ----------
    dataset : Dataset
        Where they are.
    metadata_as, dtype_backend
        As in ``dataset.items.to_frame``.

    Returns
    -------
    pandas.DataFrame
        A row each, in the order in which they were added, indexed by ``dataset_item_id``.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> with npd.NucleusClient.local() as client:
    ...     list(npd.read_items(client.create_dataset("Doc")).columns)
    ['reference_id', 'image_url', 'width', 'height', 'metadata']
    """
    items = _of_type(dataset, Dataset, "read_items").items
    return items.to_frame(metadata_as=metadata_as, dtype_backend=dtype_backend)


def read_annotations(
    dataset: Dataset, *, metadata_as: MetadataAs = "dict", dtype_backend: Backend = no_backend
) -> pd.DataFrame:
    """Read all annotations of a dataset.

    Parameters
    ----------
    dataset : Dataset
        Where they are.
    metadata_as, dtype_backend
        As in ``dataset.annotations.to_frame``.

    Returns
    -------
    pandas.DataFrame
        A row each, by the position of their items, then by arrival; boxes in pixels.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> with npd.NucleusClient.local() as client:
    ...     npd.read_annotations(client.create_dataset("Doc")).dtypes["x"]
    dtype('float64')
    """
    annotations = _of_type(dataset, Dataset, "read_annotations").annotations
    return annotations.to_frame(metadata_as=metadata_as, dtype_backend=dtype_backend)


def read_predictions(
    run: ModelRun, *, metadata_as: MetadataAs = "dict", dtype_backend: Backend = no_backend
) -> pd.DataFrame:
    """Read all predictions of a model run.

    Parameters
    ----------
    run : ModelRun
        Where they are.
    metadata_as, dtype_backend
        As in ``run.predictions.to_frame``.

    Returns
    -------
    pandas.DataFrame
        A row each, by the position of their items, then by arrival; boxes in pixels, ``confidence`` in [0, 1].
    """
    predictions = _of_type(run, ModelRun, "read_predictions").predictions
    return predictions.to_frame(metadata_as=metadata_as, dtype_backend=dtype_backend)


def show(
    frame: pd.DataFrame,
    n: int = 12,
    *,
    items: pd.DataFrame | Dataset | None = None,
    ground_truth: pd.DataFrame | Dataset | None = None,
    predictions: pd.DataFrame | ModelRun | None = None,
    color: Colour | None = None,
    size: int = SIZE,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat = "xywh",
) -> Gallery:
    """Show the first pictures that a frame names, with the boxes on them.

    Pictures of this machine are put into the gallery, as small copies; those of the web are linked, so that a browser
    loads them. One that cannot be shown leaves its name and the reason. Ground truth is drawn in solid lines and named
    above, predictions in dashed ones and named below. A row that cannot be drawn is counted below its picture.

    Parameters
    ----------
    frame : pandas.DataFrame
        Any of these; the order of the pictures is that in which it first names them.

        * Items: ``image_url`` and ``reference_id``, perhaps ``width`` and ``height``.
        * Boxes, as `annotate` and `predict` take them; with ``confidence`` they are predictions. Each picture is shown
          once. Lines, polygons, keypoints and masks are drawn too, and categories written below.
        * What `ModelRun.examples` gives: each row is shown, with the boxes of both sides.
        * What names boxes by their ids, which `ground_truth` and `predictions` explain: matches, of `ModelRun.matches`
          or `Evaluation.matches`, where a true positive is drawn with both of its boxes; `Evaluation.suspects`; what a
          `Comparison` has won and lost.
    n : int
        How many pictures.
    items : pandas.DataFrame or Dataset, optional
        Where the pictures are, if the frame has no ``image_url``; and their sizes, without which boxes on pictures of
        the web cannot be placed. By default that of `ground_truth` or `predictions`. The pictures that a Nucleus
        server keeps are fetched and put into the gallery if a `Dataset` or a `ModelRun` is given, since only these
        know how to ask; otherwise they are linked.
    ground_truth : pandas.DataFrame or Dataset, optional
        Ground truth to draw besides.
    predictions : pandas.DataFrame or ModelRun, optional
        Predictions to draw besides.
    color : {"label", "match_type"}, optional
        What the colours tell; by default true and false positives and false negatives where the frame has
        ``match_type``, else labels.
    size : int
        Of a picture's longer side, in pixels of the page.
    columns : dict, optional
        Canonical names and what the frame calls them: ``{"image_url": "path"}``. Named index levels count too.
    bbox : hashable or sequence of four, optional
        One column of lists, arrays or structs, or four columns, that hold the boxes instead.
    bbox_format : {"xywh", "xyxy", "cxcywh"}
        What the four numbers of `bbox` are: corner and size, two corners, or centre and size.

    Returns
    -------
    Gallery
        A notebook shows it; ``save("gallery.html")`` writes a page that needs no server and no script.

    Raises
    ------
    InvalidInputError
        A column is missing, so that nobody knows where the pictures or the boxes are; an argument is none of those.
    MissingExtraError
        Pillow is not installed, and pictures have to be made small.

    Notes
    -----
    Boxes go by the ``width`` and ``height`` that are told of a picture, else by those of its file; so a copy of another
    size than the one that was annotated is drawn rightly where the frame tells the size of that.

    Examples
    --------
    >>> from nucleus_pandas import sample
    >>> found = sample.detections("careful")
    >>> found.nucleus.show(items=sample.items(), ground_truth=sample.ground_truth())
    <Gallery of 12 pictures>
    """
    run = predictions if isinstance(predictions, ModelRun) else None
    home = next((one for one in (items, ground_truth) if isinstance(one, Dataset)), None)
    if home is None and run is not None:
        home = Dataset(run._transport, run._single_dataset())
    return gallery(
        _frame(frame),
        n,
        items=_read(home if items is None else items, "items"),
        ground_truth=_read(ground_truth, "ground_truth"),
        predictions=_read(predictions, "predictions"),
        color=color,
        size=size,
        columns=columns,
        bbox=bbox,
        bbox_format=bbox_format,
        fetch=None if home is None else home._transport.picture,
    )


def _read(given: object, name: str) -> FrameSource | None:
    """Give a frame, or what reads one of the pictures that are asked for."""
    if given is None or isinstance(given, pd.DataFrame):
        return given
    view: ItemsView | AnnotationsView
    if isinstance(given, ModelRun) and name == "predictions":
        view = given.predictions
    elif isinstance(given, Dataset) and name != "predictions":
        view = given.items if name == "items" else given.annotations
    else:
        wanted = "ModelRun" if name == "predictions" else "Dataset"
        raise InvalidInputError(f"{name}= takes a DataFrame or a {wanted}, not {type(given).__name__}.")

    def read(key: str, ids: list[str]) -> pd.DataFrame:
        found: pd.DataFrame = view.refloc[ids] if key == "reference_id" else view.loc[ids]
        return found

    return read
