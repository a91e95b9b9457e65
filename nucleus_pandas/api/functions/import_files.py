"""Files to datasets and runs."""

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
    bbox_format: BoxFormat = "xywh",
    metadata: MetadataColumns = True,
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
    was sent, the same call sends nothing but the requests that held refused rows, which change nothing else.

    Parameters
    ----------
    source : str, path-like, or several
        A file, a folder (with the folders in it; ``split=train`` in their names is a column), a pattern such as
        ``boxes/**/part-*.parquet``, or an address such as ``s3://bucket/boxes`` that pyarrow or fsspec know.
    dataset : Dataset or callable
        Where the rows go. A function that returns the dataset is called when the files have been checked, so that
        none is created for files that cannot be sent.
    kind : {"items", "annotations", "predictions"}
        What the rows are. A file with one row per box and the columns of its image can be sent as each of them.
    run : ModelRun or callable, optional
        Where predictions go; or a function that returns the run on a dataset, called after that of `dataset`.
    columns : dict, optional
        Canonical names and what the files call them: ``{"label": "class"}``. A field of a struct has a dotted name:
        ``{"label": "objects.category"}``.
    bbox : str or sequence of four str, optional
        One column of lists or structs, or four columns, that hold the boxes instead of x, y, width and height. With
        one row an image it is a list of boxes, and so are the labels and all else that belongs to boxes; every box is
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
            f"run= is where predictions go; these are {kind}. Is kind='predictions' meant?", argument="run"
        )
    if kind == "predictions" and run is None:
        raise InvalidInputError("Predictions go to a run: run=dataset.create_model_run(model).")
    options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress)
    records = Records(journal, rejects, max_rejects)
    layout = ColumnLayout(columns, bbox, bbox_format, metadata)
    ready = prepare_parquet_import(source, kind, layout, options, records, local=local, filesystem=filesystem)
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
    if_exists: IfExists = "skip",
    on_error: OnError = "raise",
    max_rejects: int | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
    journal: str | os.PathLike[str] | bool | None = None,
    rejects: str | os.PathLike[str] | None = None,
) -> dict[str, ImportResult]:
    """Send what COCO, YOLO or Pascal VOC files say, or a folder of images, to a dataset or a run.

    Read by `read_coco`, `read_yolo`, `read_voc` or `read_images`, and then sent as `import_parquet` sends: the same
    call goes on where an earlier one ended, and refused rows go to a Parquet file.

    Parameters
    ----------
    source : str or path-like
        A COCO file, a folder of YOLO's texts, a folder of VOC's XML, or a folder of images.
    dataset : Dataset or callable
        Where images and ground truth go; a function as in `import_parquet`.
    form : {"coco", "yolo", "voc", "images"}
        What is read.
    run : ModelRun or callable, optional
        Where boxes go that have confidences. Their images are in the dataset already, and are not sent.
    images : str or path-like, optional
        The folder of the images, which are uploaded. By default their own addresses are taken, as COCO has them, and
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
        A file cannot be read, or images have no addresses; nothing was sent.
    UploadError
        Rows were refused, or the import ended early; ``.result`` is what is told above.

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
    )
    return ready.run(targets())


def _targets(
    dataset: Dataset | Callable[[], Dataset], run: ModelRun | Callable[[Dataset], ModelRun] | None, verb: str
) -> Callable[[], dict[RowKind, Target]]:
    """Return what returns where rows of each kind go: predictions to the run, if there is one, else to the dataset.

    What is no function is checked at once.

    Raises
    ------
    InvalidInputError
        The run is one of another dataset.
    """

    def targets() -> dict[RowKind, Target]:
        home = of_type(dataset() if callable(dataset) else dataset, Dataset, verb)
        if run is not None:
            return {"predictions": _target_of(run(home) if callable(run) else run, home)}
        return {"items": home._target("items"), "annotations": home._target("annotations")}

    if callable(dataset):
        return targets
    known = targets()
    return lambda: known


def _target_of(run: ModelRun, dataset: Dataset) -> Target:
    """Return where the predictions of an import go."""
    home = of_type(run, ModelRun, "run=")._known()["dataset_id"]
    if home is not None and home != dataset.id:
        raise InvalidInputError(f"The run '{run.id}' belongs to the dataset '{home}', not to '{dataset.id}'.")
    return run._target(dataset if run._spans_datasets() else None)
