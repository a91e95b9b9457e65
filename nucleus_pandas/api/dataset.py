"""Datasets: items with their ground truth."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Literal

import pandas as pd

from nucleus_pandas.api.dataset_admin import DatasetAdmin
from nucleus_pandas.api.model import Model, of_model_or_run, run_of, runs_of
from nucleus_pandas.api.model_run import ModelRun, export_files
from nucleus_pandas.api.names import NamedList
from nucleus_pandas.api.slice import Slice, sample_of, slice_of, slices_of
from nucleus_pandas.api.web_urls import page_url
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io import CocoSource, to_coco
from nucleus_pandas.io.parquet.export import ExportFile, check_what, export, rows_of
from nucleus_pandas.io.parquet.export_schema import EXPORT_KINDS, ExportKind
from nucleus_pandas.schema import Backend, BoxColumn, ItemKeys, LocalFiles, MetadataColumns, item_ids, no_backend
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.items import NamedItems
from nucleus_pandas.schema.validate import ColumnLayout, SendableRows
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.options import IfAnnotated, IfExists, OnError, Options, Target
from nucleus_pandas.uploads.results import UploadResult
from nucleus_pandas.uploads.upload import upload
from nucleus_pandas.views import (
    AnnotationsView,
    DatasetIndexer,
    DatasetPredictionsView,
    ItemsView,
    MetadataAs,
    Position,
    Query,
    QueryKind,
    View,
    check_query,
    query_frame,
)
from nucleus_pandas.wire.bulk import RenameDataset
from nucleus_pandas.wire.responses import DatasetInfo, DatasetName, DatasetSize


class Dataset(DatasetAdmin):
    """A dataset: ordered items and their ground truth.

    Created by `NucleusClient.create_dataset`, found by `NucleusClient.get_dataset`.
    """

    def __init__(self, transport: Transport, dataset_id: str, name: str | None = None) -> None:
        super().__init__(transport, dataset_id)
        self._name = name

    @property
    def name(self) -> str:
        """The name."""
        if self._name is None:
            self._name = self._transport.read(DatasetName, "dataset", self.id, "name").name
        return self._name

    _views: ClassVar = {"items": ItemsView, "annotations": AnnotationsView}
    _ways_to_change: ClassVar = {"name": "dataset.rename('new name') renames it."}

    def _known(self) -> dict[str, object]:
        return {"name": self._name}

    def _described(self) -> dict[str, object]:
        described = self._transport.describe("dataset", self.id, "info", embedded=DatasetInfo)
        if described is None:
            return super()._described()
        self._name = described.name
        return {"name": described.name, "items": described.length, "runs": len(described.model_run_ids)}

    @property
    def info(self) -> dict[str, Any]:
        """``name``, number of items (``length``), ``model_run_ids``, ``slice_ids`` and more, as they are now."""
        return self._transport.get("dataset", self.id, "info")

    @property
    def url(self) -> str:
        """The URL of the page that shows the images; see `NucleusClient.url`."""
        return page_url(self._transport, "datasets", self.id)

    def open(self) -> str:
        """Open the page of the images in the browser, and return its URL; see `NucleusClient.url`."""
        url = self.url
        webbrowser.open(url)
        return url

    def __getitem__(self, key: str) -> str:
        if key == "dataset_id":
            return self.id
        if key == "name":
            return self.name
        raise KeyError(
            f"{key!r} is not a key of a dataset; there are 'dataset_id' and 'name'. dataset.refloc[{key!r}] is an item "
            f"by its reference id, dataset.iloc[0] one by its position, and dataset.items[{key!r}] a column."
        )

    def __contains__(self, key: object) -> bool:
        raise TypeError(
            f"'in' does not say what is looked for. {key!r} in set(dataset.items['reference_id']) finds reference ids."
        )

    def __len__(self) -> int:
        return self._transport.read(DatasetSize, "dataset", self.id, "size").count

    __iter__ = None  # items are read by position or by id

    def __bool__(self) -> bool:
        return True  # an empty dataset is a dataset

    def append(
        self,
        items: SendableRows,
        local: bool = False,
        *,
        image_check: bool = True,
        columns: Mapping[str, Hashable] | None = None,
        bbox: BoxColumn | None = None,
        metadata: MetadataColumns = True,
        if_exists: IfExists = "skip",
        on_error: OnError = "raise",
        batch_size: int | None = None,
        progress: bool | None = None,
        wait: bool = True,
        journal: str | os.PathLike[str] | None = None,
    ) -> UploadResult:
        """Add items to a dataset.

        `Dataset.append` accepts a frame, or as in the original client ``{"items": […]}`` or that list of dicts. Local
        images are uploaded on up to ``max_concurrency`` connections, and read while they are sent. An embedded Nucleus
        keeps the order of the frame all the same. The hosted service orders them in groups of ten as they arrive; with
        ``NucleusClient(max_concurrency=1)`` the order is kept there too. If a frame has no sizes, an embedded Nucleus
        reads them from the files' headers, as the pixels are stored; `read_images` does so for both.

        Parameters
        ----------
        items : pandas.DataFrame, dict or list of dict
            Columns ``reference_id``, ``image_url`` and optionally ``image_width`` and ``image_height`` (pixels; a frame
            without columns of boxes may call them ``width`` and ``height``) and metadata. A URL (http, https, s3, gs,
            gcs) is sent as is, a local file is uploaded. A row with an ``image_error``, as `read_images` returns it, is
            rejected for that reason. Rows that share a ``reference_id`` and agree are one item, so a frame with one row
            per box can be sent as is: next to ``x`` and ``y``, ``width`` and ``height`` are those of the boxes.
        local : bool
            If True, every ``image_url`` is a path; otherwise values without ``://`` are paths, and ``file://`` URLs.
            Local files are uploaded.
        image_check : bool
            Whether the content of local images is checked, by their first and last bytes: files that are something else
            (text, HTML, JSON, an archive, a program, a video) are rejected, those of an unknown kind and those that
            are truncated are warned of.
        columns : dict, optional
            Canonical names and the frame's names for them: ``{"image_url": "path"}``. Named index levels count too.
        bbox : hashable or sequence of four, optional
            The columns of the boxes in a frame with one row per box; they are not sent.
        metadata : bool or list of str
            True sends the column ``metadata`` (dicts, structs, JSON strings) and the columns ``metadata.<key>``, a list
            names plain columns to send instead, False sends none. Missing values are omitted.
        if_exists : {"skip", "update", "error"}
            What to do with an item whose ``reference_id`` exists: leave it, replace it including its metadata, or raise
            an error that names it, with nothing stored. The hosted service has no such check: items are read before
            anything is sent, one by one or all where that is cheaper.
        on_error : {"raise", "collect"}
            Whether rejected rows raise an error, or are only reported in the result.
        batch_size : int, optional
            Rows per request; local images go to the hosted service with at most ten per request, and to an embedded
            Nucleus with at most 32.
        progress : bool, optional
            Whether to show a progress bar; by default only on a terminal or in a notebook.
        wait : bool
            Whether to wait for the jobs that the hosted service starts for uploads. Without it, ``result.wait()`` does,
            and items that took several uploads may be stored in another order.
        journal : path-like, optional
            A file, created when absent, that records which requests were answered, so that the same call resumes where
            an earlier one ended. A request is identified by its content, an image by the size and time of its file.
            With ``if_exists="update"`` only the last frame is recorded.

        Returns
        -------
        UploadResult
            Counters and the outcome of every row, on the index of the frame.

        Raises
        ------
        InvalidInputError
            A column is missing, a row is invalid, or its file is missing, empty, unreadable or no image; nothing was
            sent.
        UploadError
            The server rejected rows; the others are stored. AlreadyExistsError where rows exist and `if_exists` is
            ``"error"``. An image that is removed or changed while it is sent is rejected alone.

        Warns
        -----
        NucleusWarning
            Local files may be damaged; or some are outside the working folder and `local` is not set, as where a frame
            from elsewhere names them.

        Examples
        --------
        >>> import pandas as pd
        >>> import nucleus_pandas as npd
        >>> items = pd.DataFrame({"id": [7], "url": ["https://example.org/7.jpg"], "rain": [True]})
        >>> names = {"reference_id": "id", "image_url": "url"}
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     first = dataset.append(items, columns=names, metadata=["rain"])
        ...     second = dataset.append({"items": [{"reference_id": "7", "image_url": "https://example.org/7.jpg"}]})
        >>> first.new_items, second.ignored_items
        (1, 1)
        """
        layout = ColumnLayout(columns=columns, bbox=bbox, metadata=metadata)
        local_files = LocalFiles(local, image_check, warns_outside=not local)
        options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress, wait=wait)
        return upload(self._target("items"), items, layout, options, local_files=local_files, journal=journal)

    def annotate(
        self,
        annotations: SendableRows,
        *,
        columns: Mapping[str, Hashable] | None = None,
        bbox: BoxColumn | None = None,
        bbox_format: BoxFormat | None = None,
        metadata: MetadataColumns = True,
        if_exists: IfAnnotated = "skip",
        on_error: OnError = "raise",
        batch_size: int | None = None,
        progress: bool | None = None,
        wait: bool = True,
        journal: str | os.PathLike[str] | None = None,
    ) -> UploadResult:
        """Add ground truth to a dataset.

        `Dataset.annotate` accepts a frame, or as in the original client ``{"annotations": […]}`` or that list of dicts,
        which name their item by ``reference_id`` or ``item_id``.

        Parameters
        ----------
        annotations : pandas.DataFrame, dict or list of dict
            Columns ``reference_id`` or ``dataset_item_id``, ``label``, and ``x``, ``y``, ``width``, ``height``
            (pixels from the top-left corner); optionally ``annotation_id``, metadata, ``track_reference_id``,
            ``task_id``, ``embedding_vector`` (lists or arrays of numbers, or JSON strings), and for other types than
            boxes ``type`` and ``geometry`` (dicts, structs or JSON strings, as the views return them; a category may
            have its taxonomy in ``taxonomy_name`` instead). A missing ``annotation_id`` is computed from the content,
            so that sending the same again changes nothing. A row of a frame without any coordinate of a box is an image
            without boxes, and is skipped. The ``mask_url`` of a mask may be a local PNG file, which is uploaded.
        columns : dict, optional
            Canonical names and the frame's names for them: ``{"label": "class"}``. Named index levels count too.
        bbox : hashable or sequence of four, optional
            One column of lists, arrays or structs, or four columns, that hold the boxes instead.
        bbox_format : {"xywh", "xyxy", "cxcywh"}, optional
            The meaning of the four numbers of `bbox`: corner and size, two corners, or centre and size. Needed
            with `bbox`, unless the names of the four columns, or of the fields of a struct, say x, y, width, height.
        metadata : bool or list of str
            True sends the column ``metadata`` (dicts, structs, JSON strings) and the columns ``metadata.<key>``, a list
            names plain columns to send instead, False sends none. Missing values are omitted. Metadata belongs to
            the rows that are sent, here the annotations.
        if_exists : {"skip", "update", "error", "replace"}
            What to do with an annotation whose ``annotation_id`` exists on its item: leave it, replace it, or raise an
            error that names it, with nothing stored. A computed ``annotation_id`` changes with label and coordinates,
            so ``"update"`` needs given ones. ``"replace"`` replaces the ground truth of each image that the frame names
            as a whole and at once, that of an image without boxes by none; only an embedded Nucleus can.
        on_error : {"raise", "collect"}
            Whether rejected rows raise an error, or are only reported in the result.
        batch_size : int, optional
            Rows per request. Concurrent requests, such as those to the hosted service, end where the rows of an
            image end, so that these keep their order.
        progress : bool, optional
            Whether to show a progress bar; by default only on a terminal or in a notebook.
        wait : bool
            Whether to wait for the jobs that the hosted service starts for uploads. Without it, ``result.wait()`` does.
        journal : path-like, optional
            A file, created when absent, that records which requests were answered, so that the same call resumes
            where an earlier one ended. With ``if_exists="update"`` only the last frame is recorded.

        Returns
        -------
        UploadResult
            Counters and the outcome of every row, on the index of the frame.

        Raises
        ------
        InvalidInputError
            A column is missing or a row is invalid; nothing was sent.
        UploadError
            The server rejected rows, such as those of unknown items; the others are stored.

        Examples
        --------
        >>> import pandas as pd
        >>> import nucleus_pandas as npd
        >>> boxes = pd.DataFrame({"reference_id": ["a.jpg"], "label": ["car"], "corners": [[10, 20, 40, 80]]})
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     _ = dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
        ...     _ = dataset.annotate(boxes, bbox="corners", bbox_format="xyxy")
        ...     dataset.annotations.to_frame()[["label", "x", "y", "width", "height"]]
          label     x     y  width  height
        0   car  10.0  20.0   30.0    60.0
        """
        layout = ColumnLayout(columns, bbox, bbox_format, metadata)
        options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress, wait=wait)
        return upload(self._target("annotations"), annotations, layout, options, journal=journal)

    def _target(self, kind: Literal["items", "annotations"]) -> Target:
        """Return the target of an upload."""
        verb = "append" if kind == "items" else "annotate"
        view = self.items if kind == "items" else self.annotations
        return Target(kind, self._transport, ("dataset", self.id, verb), {"dataset_id": self.id}, view._source)

    def rename(self, name: str) -> None:
        """Change the name of the dataset.

        Raises
        ------
        UnsupportedError
            The server is not an embedded Nucleus; its contract has no request for it.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Stret scenes")
        ...     dataset.rename("Street scenes")
        ...     client.datasets["name"].tolist()
        ['Street scenes']
        """
        if not isinstance(name, str) or not name:
            raise InvalidInputError(f"A dataset needs a name: dataset.rename('Street scenes'), not {name!r}.")
        self._transport.require("rename", "rename datasets")
        self._transport.request("POST", "_nucleus_pandas", "dataset", self.id, "rename", body=RenameDataset(name=name))
        self._name = name

    def create_model_run(self, model: Model | Mapping[str, Any], *, exist_ok: bool = False, **fields: Any) -> ModelRun:
        """Create a run of a model on this dataset.

        Parameters
        ----------
        model : Model or dict
            The model, or the fields of the run: ``reference_id`` or ``model_id``, optionally ``name`` and ``metadata``.
        exist_ok : bool
            If True, return the newest run of that model and name on this dataset if there is one, so that a notebook
            can run twice. The name is by default that of the model. Only an embedded Nucleus gives several callers at
            once the same run.
        **fields
            ``name`` and ``metadata``, with a model.

        Raises
        ------
        NotFoundError
            The model does not exist.
        """
        if isinstance(model, Model):
            body = {"reference_id": model.reference_id, **fields}
        elif isinstance(model, Mapping):
            body = {**model, **fields}
        else:
            raise InvalidInputError(f"A run is created from a Model or from a dict, not {type(model).__name__}.")
        unknown = set(body) - {"model_id", "reference_id", "name", "metadata", "annotation_metadata_schema"}
        if unknown:
            raise InvalidInputError(f"A run has no field {', '.join(sorted(map(repr, unknown)))}.")
        return run_of(self._transport, "dataset", self.id, body, exist_ok=exist_ok)

    @property
    def model_runs(self) -> NamedList[ModelRun]:
        """The runs on this dataset, oldest first; ``dataset.model_runs["yolo"]`` is the one of that name.

        The error of an unknown name, a KeyError, lists similar ones; a name that several runs have is an error.
        """
        return runs_of(self._transport, "dataset", self.id)

    @property
    def items(self) -> ItemsView:
        """The items, as a frame that is read on demand."""
        return ItemsView(self._transport, ("dataset", self.id), partial(str, self.id))

    def to_frame(self, metadata_as: MetadataAs = "dict", dtype_backend: Backend = no_backend) -> pd.DataFrame:
        """Read the items into one frame, as ``dataset.items.to_frame`` does."""
        return self.items.to_frame(metadata_as, dtype_backend)

    @property
    def annotations(self) -> AnnotationsView:
        """The ground truth, as a frame that is read on demand."""
        return AnnotationsView(self._transport, ("dataset", self.id), partial(str, self.id))

    def predictions(self, of: Model | ModelRun | str) -> DatasetPredictionsView:
        """Return the predictions of a model on this dataset, as a frame that is read on demand.

        Parameters
        ----------
        of : Model, ModelRun or str
            A model, whose newest run on the dataset is read, committed or not: the one that
            ``model.predict(rows, dataset=dataset)`` sends to. Or a run, or the id of either; a run that spans datasets
            can be indexed by position and reference id here.

        Returns
        -------
        DatasetPredictionsView
            As ``run.predictions``; reading raises NotFoundError if the model has no run on the dataset.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> from nucleus_pandas import sample
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append(sample.items())
        >>> model = client.add_model("Careful", reference_id="careful")
        >>> _ = model.predict(sample.detections("careful"), dataset=dataset)
        >>> dataset.predictions(model).iloc[0][["label", "confidence"]].round(2).head(2)
                  label  confidence
        0  dining table        0.98
        1          oven        0.94
        >>> client.close()
        """
        return DatasetPredictionsView(
            self._transport, ("dataset", self.id, *of_model_or_run(of)), partial(str, self.id)
        )

    def to_coco(self, path: str | os.PathLike[str] | None = None, *, like: CocoSource | None = None) -> dict[str, Any]:
        """Write items and annotations as a COCO file.

        ``dataset.to_coco(path)`` is ``npd.to_coco(dataset.items.to_frame(), dataset.annotations.to_frame(), path)``,
        whose documentation lists what is kept.

        Parameters
        ----------
        path : path, optional
            The file to write.
        like : path or dict, optional
            A COCO file whose ids, ``info``, ``licenses`` and categories are used, for example the one that the dataset
            was imported from.

        Returns
        -------
        dict
            The content of the file.

        Raises
        ------
        InvalidInputError
            An entry of `like` is invalid.

        Warns
        -----
        NucleusWarning
            Annotations that are neither boxes nor polygons are omitted.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     _ = dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
        ...     dataset.to_coco()["images"]
        [{'id': 1, 'file_name': 'a.jpg', 'coco_url': 'https://example.org/a.jpg'}]
        """
        return to_coco(self.items.to_frame(), self.annotations.to_frame(), path, like=like)

    def to_parquet(
        self,
        path: str | os.PathLike[str],
        *,
        what: Iterable[ExportKind] = EXPORT_KINDS,
        runs: Iterable[ModelRun | str] | None = None,
        overwrite: bool = False,
    ) -> pd.DataFrame:
        """Write the dataset into Parquet files.

        The folder contains ``items.parquet``, ``annotations.parquet``, and for every run
        ``predictions/model_run_id={id}/predictions.parquet`` and, if it is committed,
        ``matches/model_run_id={id}/matches.parquet``. `pandas.read_parquet` reads a file as the frame that
        ``to_frame(metadata_as="json")`` returns, with ``geometry``, ``class_pdf`` and ``embedding_vector`` as JSON
        strings too; from the folder ``predictions`` it reads those of all runs, with a column ``model_run_id``. Such
        frames can be sent to another dataset as they are.

        Files are compressed with zstd and have row groups of 100,000 rows, the most that is in memory at once. (The
        hosted service returns the predictions of a run in one piece; its matches are computed here.) The schema
        describes each column and its unit; its metadata ``nucleus_pandas`` is a JSON object with the ids of dataset,
        model run and model, and the time. Images are not written: ``image_url`` is that of the frame of items, a URL,
        or the path of an image that was uploaded to an embedded Nucleus.

        Parameters
        ----------
        path : str or path-like
            The folder, created when absent. It appears when all files are written; a failed export leaves nothing. (A
            killed process leaves a hidden folder, ``.nucleus-export-…``, next to it, which the next export of that name
            removes.)
        what : iterable of {"items", "annotations", "predictions", "matches"}
            What to write; by default everything.
        runs : iterable of ModelRun or str, optional
            The runs, or their ids, whose predictions and matches are written; by default all runs of the dataset.
        overwrite : bool
            If True, an earlier export is replaced as a whole. A folder with any other content is not.

        Returns
        -------
        pandas.DataFrame
            One row per file: ``what``, ``model_run_id`` and ``path`` (strings), ``rows`` and ``bytes`` (``Int64``).

        Raises
        ------
        InvalidInputError
            The folder is not empty, or an argument is invalid.
        FileError
            The files cannot be written, such as on a full disk.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import pandas as pd
        >>> import nucleus_pandas as npd
        >>> with npd.NucleusClient.local() as client, tempfile.TemporaryDirectory() as folder:
        ...     dataset = client.create_dataset("Doc")
        ...     _ = dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
        ...     files = dataset.to_parquet(Path(folder, "export"))
        ...     items = pd.read_parquet(files["path"][0])
        >>> files[["what", "rows"]]
                  what  rows
        0        items     1
        1  annotations     0
        >>> items["reference_id"].tolist()
        ['a.jpg']
        """
        kinds = check_what(what)
        exported_runs = self._runs_to_export(kinds, runs)
        views: dict[ExportKind, View] = {"items": self.items, "annotations": self.annotations}
        dataset_files = [ExportFile(kind, partial(rows_of, view)) for kind, view in views.items() if kind in kinds]
        run_files = (file for run in exported_runs for file in export_files(run, kinds))
        about = {"dataset_id": self.id, "dataset_name": self.name}
        return export(path, chain(dataset_files, run_files), about, overwrite=overwrite)

    def _runs_to_export(self, what: Sequence[ExportKind], runs: Iterable[ModelRun | str] | None) -> list[ModelRun]:
        if not {"predictions", "matches"} & set(what):
            if runs is not None:
                raise InvalidInputError(
                    "runs= selects predictions and matches, but what= includes neither.", argument="runs"
                )
            return []
        by_id = {run.id: run for run in self.model_runs}
        if runs is None:
            return list(by_id.values())
        runs = [runs] if isinstance(runs, (str, ModelRun)) else runs
        ids = dict.fromkeys(run.id if isinstance(run, ModelRun) else run for run in runs)
        if unknown := [run_id for run_id in ids if run_id not in by_id]:
            raise InvalidInputError(
                f"The dataset has no run {unknown[0]!r}; its runs are {', '.join(map(repr, by_id)) or 'none'}."
            )
        return [by_id[run_id] for run_id in ids]

    @property
    def iloc(self) -> DatasetIndexer[Position]:
        """Items by position.

        ``dataset.iloc[key]`` equals ``dataset.items.to_frame().iloc[key]`` for every key that pandas accepts, but
        reads only those rows. A callable costs a full read. ``dataset.iloc(0)`` is a call: one item with its
        annotations, as plain dicts.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> names = ["a.jpg", "b.jpg", "c.jpg"]
        >>> _ = dataset.append([{"reference_id": n, "image_url": f"https://example.org/{n}"} for n in names])
        >>> dataset.iloc[-1, 0], dataset.iloc[:2]["reference_id"].tolist()
        ('c.jpg', ['a.jpg', 'b.jpg'])
        >>> dataset.iloc(0)["item"]["reference_id"]
        'a.jpg'
        >>> client.close()
        """
        return DatasetIndexer(self.items, "iloc")

    @property
    def loc(self) -> DatasetIndexer[str]:
        """Items by item id.

        ``dataset.loc[key]`` equals ``dataset.items.to_frame().loc[key]``, except that a slice from one id to another
        raises TypeError, because ids have no order. A callable costs a full read. ``dataset.loc("di_…")`` is a call:
        one item with its annotations.
        """
        return DatasetIndexer(self.items, "loc")

    @property
    def refloc(self) -> DatasetIndexer[str]:
        """Items by reference id.

        ``dataset.refloc[key]`` equals ``.loc[key]`` on
        ``dataset.items.to_frame().reset_index().set_index("reference_id")``, except that a slice from one id to
        another raises TypeError. A callable costs a full read. ``dataset.refloc("a.jpg")`` is a call: one item with
        its annotations.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
        >>> dataset.refloc["a.jpg", "image_url"]
        'https://example.org/a.jpg'
        >>> dataset.refloc[["a.jpg", "b.jpg"]]
        Traceback (most recent call last):
        nucleus_pandas.errors.NotFoundError: There is no item 'b.jpg' in the dataset 'ds_...'.
        >>> client.close()
        """
        return DatasetIndexer(self.items, "refloc")

    @property
    def slices(self) -> NamedList[Slice]:
        """The slices of this dataset; ``dataset.slices["rainy"]`` is the one of that name."""
        return slices_of(self._transport, self.id)

    def create_slice(
        self, name: str | Mapping[str, Any], reference_ids: ItemKeys | None = None, *, exist_ok: bool = False
    ) -> Slice:
        """Create a slice of items of this dataset.

        Parameters
        ----------
        name : str or dict
            The name, unique in the dataset; or the fields, ``{"name": …}`` with
            ``reference_ids`` or ``dataset_item_ids``.
        reference_ids : iterable of str, or pandas.DataFrame, optional
            Reference ids; or a frame with ``reference_id`` or ``dataset_item_id``, in a column or the index: items,
            annotations, or the result of `query`. Each item is in the slice once, in the order of first occurrence.
            By default the slice is empty.
        exist_ok : bool
            If True, and the dataset has a slice of that name, add the items that it does not contain yet, and return
            it, so that a notebook can run twice.

        Returns
        -------
        Slice
            Also supports ``["slice_id"]``.

        Raises
        ------
        InvalidInputError
            An id is missing or not a string, or a frame names no items.
        NotFoundError
            Items are not in the dataset; no slice was created, or, with more than 10,000 items, one of those before.
        ConflictError
            The dataset already has a slice of that name, and `exist_ok` is False.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> from nucleus_pandas import sample
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append(sample.items()), dataset.annotate(sample.ground_truth())
        >>> boxes = dataset.annotations.to_frame()
        >>> cats = dataset.create_slice("with cats", boxes[boxes["label"] == "cat"])
        >>> cats.to_frame()["reference_id"].tolist() == boxes["reference_id"][boxes["label"] == "cat"].unique().tolist()
        True
        >>> client.close()
        """
        if isinstance(name, Mapping):
            return slice_of(self._transport, self.id, *_slice_fields(name, reference_ids), exist_ok=exist_ok)
        return slice_of(self._transport, self.id, name, item_ids(reference_ids), exist_ok=exist_ok)

    def build_slice(
        self,
        name: str,
        sample_size: int,
        sample_method: str = "Random",
        filters: Mapping[str, str] | None = None,
        *,
        seed: int | None = None,
        exist_ok: bool = False,
    ) -> Slice:
        """Create a slice of a sample of the items.

        Parameters
        ----------
        name : str
            The name, unique in the dataset.
        sample_size : int
            Number of items, at most all.
        sample_method : {"Random", "Uniqueness"}
            The sampling method. Uniqueness needs the embeddings of the hosted service.
        filters : dict, optional
            ``{"slice_id": …}``: the slice to sample from, instead of the whole dataset.
        seed : int, optional
            Seed of an embedded Nucleus: the same items and seed give the same sample. By default it is derived from the
            name.
        exist_ok : bool
            If True, return the slice of that name if the dataset has one; nothing is sampled then.

        Raises
        ------
        ConflictError
            The dataset already has a slice of that name.
        UnsupportedError
            The server does not support that method.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> names = [f"{number}.jpg" for number in range(100)]
        >>> _ = dataset.append([{"reference_id": n, "image_url": f"https://example.org/{n}"} for n in names])
        >>> tenth = dataset.build_slice("a tenth", 10, seed=1)
        >>> len(tenth), len(dataset.build_slice("half of it", 5, filters={"slice_id": tenth.id}))
        (10, 5)
        >>> client.close()
        """
        if unknown := set(filters or {}) - {"slice_id"}:
            raise InvalidInputError(f"filters= takes 'slice_id', not {', '.join(map(repr, unknown))}.")
        source = (filters or {}).get("slice_id")
        return sample_of(self._transport, self.id, name, sample_size, sample_method, source, seed, exist_ok=exist_ok)

    def query(
        self,
        text: str,
        kind: QueryKind = "items",
        *,
        run: ModelRun | str | None = None,
        metadata_as: MetadataAs = "dict",
        dtype_backend: Backend = no_backend,
    ) -> pd.DataFrame:
        """Find items, annotations or predictions by a query.

        Parameters
        ----------
        text : str
            The query; see the notes. An empty one finds everything.
        kind : {"items", "annotations", "predictions"}
            What to find.
        run : ModelRun or str, optional
            The run whose predictions are found, or that ``predictions`` in the query refers to. Without it
            ``predictions`` refers to those of all runs.
        metadata_as, dtype_backend
            As in `ItemsView.to_frame`.

        Returns
        -------
        pandas.DataFrame
            As ``dataset.items.to_frame()``, ``dataset.annotations.to_frame()`` or ``run.predictions.to_frame()``, with
            only the matching rows.

        Raises
        ------
        BadRequestError
            The query is invalid; the message shows the line, with a caret at the position. Queries of more than 50,000
            characters or 200 fields and values, or nested more than 10 deep, are rejected too.
        UnsupportedError
            The query refers to scenes, autotags or labeling tasks, which an embedded Nucleus does not have.
        InvalidInputError
            An argument is invalid.

        Notes
        -----
        **Fields of items**: ``reference_id``, ``dataset_item_id``, ``image_width`` and ``image_height`` (of items also
        ``width`` and ``height``), ``metadata.<key>``, deeper ``metadata.<key>.<key>``, and ``slice``, the name of a
        slice that contains the item. Names that are not single words are quoted: ``metadata."time of day"``.

        **Their annotations** (and likewise ``predictions``): ``annotations.count`` and ``annotations.<label>`` are
        numbers, as in ``annotations."traffic light" >= 2``; ``annotations.box.count`` and ``annotations.box.<label>``
        those of one type. Categories have no position in the image and are counted by ``annotations.category.count``
        only. ``annotations.label``, ``.type``, ``.annotation_id``, ``.x``, ``.y``, ``.width``, ``.height``,
        ``.area``, ``.confidence``, ``.metadata.<key>``, ``.position.x``, ``.dimensions.x``, ``.taxonomy_name``,
        ``.track_reference_id``, ``.task_id``, ``.class_pdf.<label>`` and ``annotations.<label>.<key>`` (metadata of
        those with that label) are those of any annotation: a comparison holds if it holds for one of them.
        ``annotations.<taxonomy> = "rainy"`` tests for a category. Conditions on one and the same annotation are written
        in brackets: ``annotations[label = "car" and width < 20]``, or ``annotations[…].count > 2``.

        **Fields of annotations and predictions**, where these are found: those that follow ``annotations.`` above,
        without that prefix (``label = "car"``, ``metadata.occluded``); those of their item: ``item.metadata.<key>``,
        ``item.width`` and so on, ``reference_id``, ``annotations.count``.

        **Operators**, by increasing precedence: ``or``, ``and``, ``not``; ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``,
        ``in ("rain", "fog")``, ``like "night%"`` (``%`` matches any string, ``_`` any character, case does not matter),
        ``is null``, ``is not null``, ``not in``, ``not like``; ``+``, ``-``; ``*``, ``/``, ``%``; parentheses. Strings
        are quoted by ``"`` or ``'``, doubled within a string; a single word needs no quotes on the right of a
        comparison.

        **Missing values** are null, and so is JSON null; comparisons with null are null, as in SQL, and match nothing:
        ``metadata.weather != "rain"`` finds no item without weather. Values of different types (strings, numbers,
        booleans) are neither equal nor ordered, which is not an error. Arithmetic with anything but numbers is null, as
        is division by zero.

        This is the language of an embedded Nucleus. That of the hosted service agrees in
        ``metadata.<key>``, ``annotations.count``, ``annotations.<label>``, ``annotations.metadata.<key>`` and
        ``reference_id``, the comparisons, ``+``, ``-``, ``%``, ``and`` and ``or``.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> from nucleus_pandas import sample
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append(sample.items()), dataset.annotate(sample.ground_truth())
        >>> dataset.query('metadata.scene = "street" and annotations.car > 6')["reference_id"].tolist()
        ['000000116740.jpg']
        >>> len(dataset.query('label = "car" and item.metadata.scene = "street"', kind="annotations"))
        14
        >>> dataset.query('metadata.scene = street andd width > 5')
        Traceback (most recent call last):
        nucleus_pandas.errors.BadRequestError: 'andd' is unexpected here; expected an operator, 'and', 'or' or ...
        >>> client.close()
        """
        run_id = run.id if isinstance(run, ModelRun) else run
        check_query(text, kind, run_id)
        route = ("dataset", self.id)
        return query_frame(
            self._transport, route, partial(str, self.id), Query(text, run_id), kind, metadata_as, dtype_backend
        )


def _slice_fields(fields: Mapping[str, Any], reference_ids: ItemKeys | None) -> tuple[str, NamedItems]:
    """Return the name of a slice and its items from a payload dict."""
    if unknown := set(fields) - {"name", "reference_ids", "dataset_item_ids", "allow_empty"}:
        raise InvalidInputError(f"A slice has no field {', '.join(sorted(map(repr, unknown)))}.")
    sources = (reference_ids is not None, bool(fields.get("reference_ids")), bool(fields.get("dataset_item_ids")))
    if sum(sources) > 1:
        raise InvalidInputError("A slice is created from reference_ids or from dataset_item_ids, not from both.")
    if reference_ids is not None:
        return fields.get("name", ""), item_ids(reference_ids)
    if fields.get("dataset_item_ids"):
        return fields.get("name", ""), item_ids(fields["dataset_item_ids"], "dataset_item_id")
    return fields.get("name", ""), item_ids(fields.get("reference_ids"))
