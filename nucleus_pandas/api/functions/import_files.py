"""Import files into datasets and runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.functions.send import kind_of, of_type
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io.parquet.importing import Records
from nucleus_pandas.io.parquet.other_formats import FileFormat
from nucleus_pandas.io.parquet.prepare import prepare_files_import, prepare_parquet_import
from nucleus_pandas.io.parquet.sources import ParquetPaths
from nucleus_pandas.schema import BoxColumn, MetadataColumns
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.schema.validate import ColumnLayout
from nucleus_pandas.uploads.options import IfExists, OnError, Options, Target
from nucleus_pandas.uploads.results import ImportResult


def import_parquet(
    source: ParquetPaths,
    dataset: Dataset | Callable[[], Dataset],
    kind: RowKind = "items",
    run: ModelRun | Callable[[Dataset], ModelRun] | None = None,
    *,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat | None = None,
    metadata: MetadataColumns = True,
    local: bool = False,
    image_check: bool = True,
    images: str | os.PathLike[str] | None = None,
    allow_outside: bool = False,
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

    No more than two row groups are in memory, whatever the size of the files. Each response of the server is recorded,
    so that the same call resumes where an earlier one ended, with an identical result; once everything is sent, the
    same call only repeats the requests with rejected rows, which changes nothing else.

    Parameters
    ----------
    source : str, path-like, or several
        A file, a folder (with the folders in it; ``split=train`` in their names is a column), a pattern such as
        ``boxes/**/part-*.parquet``, or a URL such as ``s3://bucket/boxes`` that pyarrow or fsspec support.
    dataset : Dataset or callable
        The dataset to send to. A function that returns it is called after the files have been checked, so that no
        dataset is created for files that cannot be sent.
    kind : {"items", "annotations", "predictions"}
        The kind of rows. A file with one row per box and the columns of its image can be sent as each kind.
    run : ModelRun or callable, optional
        The run to send predictions to; or a function that takes the dataset and returns the run.
    columns : dict, optional
        Canonical names and the files' names for them: ``{"label": "class"}``. A field of a struct has a dotted name:
        ``{"label": "objects.category"}``.
    bbox : str or sequence of four str, optional
        One column of lists or structs, or four columns, that hold the boxes instead of x, y, width and height. With
        one row per image it is a column of lists of boxes, with lists of labels and of all else that belongs to boxes;
        every box becomes a row. Class numbers of Hugging Face datasets are replaced by the class names stored in them.
    bbox_format : {"xywh", "xyxy", "cxcywh"}, optional
        The meaning of the four numbers of `bbox`: corner and size, two corners, or centre and size. Needed
        with `bbox`, unless the names of the four columns, or of the fields of a struct, say x, y, width, height.
    metadata : bool or list of str
        True sends the column ``metadata`` (structs, JSON strings) and the columns ``metadata.<key>``, a list names
        plain columns to send instead, False sends none. Missing values are omitted.
    local : bool
        If True, every ``image_url`` is a path; otherwise values without ``://`` are paths, and ``file://`` URLs.
    image_check : bool
        Whether the content of local images is checked, as `append` does.
    images : str or path-like, optional
        The folder of local images: relative paths begin there, by default in the working folder.
    allow_outside : bool
        Whether local files may be anywhere. By default they must be in the folder of `source` (a folder, that of a
        file, or what comes before the first wildcard of a pattern) or in `images`,
        links resolved, since a file from elsewhere could name any file of this computer, and it would be uploaded.
        Hidden files and folders do not count; images of a store do, which exports name.
    filesystem : pyarrow.fs.FileSystem or fsspec file system, optional
        The file system that paths refer to.
    if_exists : {"skip", "update", "error"}
        What to do with rows that exist: leave, replace or reject them.
    on_error : {"raise", "collect"}
        Whether rejected rows raise an error after the others are stored, or are only reported in the result.
    max_rejects : int, optional
        The import stops when more rows than this are rejected.
    batch_size : int, optional
        Rows per request.
    progress : bool, optional
        Whether to show a progress bar; by default only on a terminal or in a notebook.
    journal : path-like or bool, optional
        The file that records responses. By default the file ``.nucleus_import.sqlite`` of the source in the user's
        cache folder (``$XDG_CACHE_HOME/nucleus_pandas``); in the folder of the source if one is there already, or if
        the cache is not writable. It identifies files by their path relative to the folder of the source, and targets
        by the ids of the dataset and the run, not by the server's URL. Rows that were deleted since, or that are
        missing in a store that was restored from an older copy, are sent again. The hosted service does not say
        whether rows were deleted: there an import that was interrupted resumes, and one that has ended is sent again.
        False records nothing, and sends everything.
    rejects : path-like, optional
        The Parquet file for rejected rows; by default ``_<name>.<kind>.rejects.parquet`` next to the source, or in the
        user's cache folder if that is not writable.

    Returns
    -------
    ImportResult
        The numbers of new, updated, ignored, already sent, skipped and rejected rows, and the file of the rejected
        ones.

    Raises
    ------
    InvalidInputError
        A file does not exist, is not a Parquet file or is damaged, or a column is missing or of a wrong type. All files
        are checked before a row is sent; an error that only shows when rows are read, such as a file that changes
        meanwhile, ends the import there.
    UploadError
        Rows were rejected, or the import ended early; ``.result`` is the `ImportResult`. So is that of a
        KeyboardInterrupt.
    JournalError
        The journal cannot be read or written.
    FileError
        The rejected rows cannot be written.
    MissingExtraError
        A package that reads the source is not installed.

    Warns
    -----
    NucleusWarning
        A row group is very large, a file has changed since it was imported, or local images may be damaged.

    Notes
    -----
    Exact duplicates within a row group are sent under separate ids; a duplicate of a row in another row group is the
    same annotation, and is counted as ignored.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
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
    kind = kind_of(kind)
    targets = _targets(dataset, run, "import_parquet")
    if kind != "predictions" and run is not None:
        raise InvalidInputError(
            f"run= is for predictions, but these are {kind}. Is kind='predictions' meant?", argument="run"
        )
    if kind == "predictions" and run is None:
        raise InvalidInputError("Predictions need a run: run=dataset.create_model_run(model).")
    options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress)
    records = Records(journal, rejects, max_rejects)
    layout = ColumnLayout(columns, bbox, bbox_format, metadata)
    ready = prepare_parquet_import(
        source,
        kind,
        layout,
        options,
        records,
        local=local,
        image_check=image_check,
        images=images,
        allow_outside=allow_outside,
        filesystem=filesystem,
    )
    return ready.run(targets()[kind])


def import_files(
    source: str | os.PathLike[str],
    dataset: Dataset | Callable[[], Dataset],
    form: FileFormat,
    run: ModelRun | Callable[[Dataset], ModelRun] | None = None,
    *,
    images: str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | None = None,
    ground_truth: str | os.PathLike[str] | None = None,
    image_check: bool = True,
    allow_outside: bool = False,
    if_exists: IfExists = "skip",
    on_error: OnError = "raise",
    max_rejects: int | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
    journal: str | os.PathLike[str] | bool | None = None,
    rejects: str | os.PathLike[str] | None = None,
) -> dict[str, ImportResult]:
    """Send COCO, YOLO or Pascal VOC files, or a folder of images, to a dataset or a run.

    They are read by `read_coco`, `read_yolo`, `read_voc` or `read_images`, and sent as in `import_parquet`: the same
    call resumes where an earlier one ended, and rejected rows are written to a Parquet file.

    Parameters
    ----------
    source : str or path-like
        A COCO file, a folder of YOLO text files, a folder of VOC XML files, or a folder of images.
    dataset : Dataset or callable
        The dataset of images and ground truth, or a function, as in `import_parquet`.
    form : {"coco", "yolo", "voc", "images"}
        The format to read.
    run : ModelRun or callable, optional
        The run for boxes with confidences. Their images must be in the dataset already, and are not sent.
    images : str or path-like, optional
        The folder of the images, which are uploaded. By default the URLs in the files are used, as in COCO, or else a
        folder ``images`` next to the source or above it that contains all images.
    names : str or path-like, optional
        The file of YOLO class names, if it is not next to the text files.
    ground_truth : str or path-like, optional
        The COCO file that defines the ids in a file of COCO results.
    image_check : bool
        Whether the content of the images is checked, as `append` does.
    allow_outside : bool
        Whether the files may name images outside `images`, links resolved. Those of a folder of images may be anywhere.
    if_exists : {"skip", "update", "error"}
        What to do with rows that exist: leave, replace or reject them.
    on_error : {"raise", "collect"}
        Whether rejected rows raise an error after the others are stored, or are only reported in the results.
    max_rejects : int, optional
        The import stops when more rows than this are rejected.
    batch_size : int, optional
        Rows per request.
    progress : bool, optional
        Whether to show a progress bar; by default only on a terminal or in a notebook.
    journal : path-like or bool, optional
        As in `import_parquet`.
    rejects : path-like, optional
        The Parquet file for rejected rows; the kind of rows is inserted before the extension.

    Returns
    -------
    dict of str to ImportResult
        The results for ``items``, ``annotations`` and ``predictions``.

    Raises
    ------
    InvalidInputError
        A file cannot be read, or images have no URLs; nothing was sent.
    UploadError
        Rows were rejected, or the import ended early; ``.result`` is the dict described above.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> items = pd.DataFrame({"reference_id": ["a.jpg"], "image_url": ["https://example.org/a.jpg"]})
    >>> boxes = pd.DataFrame({"reference_id": ["a.jpg"], "label": ["car"], "x": 1, "y": 2, "width": 30, "height": 40})
    >>> with tempfile.TemporaryDirectory() as folder, npd.NucleusClient.local() as client:
    ...     _ = npd.to_coco(items.assign(width=640, height=480), boxes, f"{folder}/instances.json")
    ...     npd.import_files(f"{folder}/instances.json", client.create_dataset("Doc"), "coco")
    {'items': ImportResult(rows=1, new=1), 'annotations': ImportResult(rows=1, new=1)}
    """
    targets = _targets(dataset, run, "import_files")
    options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress)
    records = Records(journal, rejects, max_rejects)
    ready = prepare_files_import(
        source,
        form,
        options,
        records,
        to_run=run is not None,
        images=images,
        names=names,
        ground_truth=ground_truth,
        image_check=image_check,
        allow_outside=allow_outside,
    )
    return ready.run(targets())


def _targets(
    dataset: Dataset | Callable[[], Dataset], run: ModelRun | Callable[[Dataset], ModelRun] | None, function: str
) -> Callable[[], dict[RowKind, Target]]:
    """Return a function that returns the target of each kind of rows: the run if there is one, else the dataset.

    Objects are checked at once, functions are called later.

    Raises
    ------
    InvalidInputError
        The run belongs to another dataset.
    """

    def targets() -> dict[RowKind, Target]:
        receiver = of_type(dataset() if callable(dataset) else dataset, Dataset, function)
        if run is not None:
            return {"predictions": _target_of(run(receiver) if callable(run) else run, receiver)}
        return {"items": receiver._target("items"), "annotations": receiver._target("annotations")}

    if callable(dataset):
        return targets
    checked = targets()
    return lambda: checked


def _target_of(run: ModelRun, dataset: Dataset) -> Target:
    """Return the target of imported predictions."""
    dataset_id = of_type(run, ModelRun, "run=")._known()["dataset_id"]
    if dataset_id is not None and dataset_id != dataset.id:
        raise InvalidInputError(f"The run '{run.id}' belongs to the dataset '{dataset_id}', not to '{dataset.id}'.")
    return run._target(dataset if run._spans_datasets() else None)
