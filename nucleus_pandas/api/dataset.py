"""Datasets."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import Any, Literal

import pandas as pd

from nucleus_pandas.api.dataset_admin import DatasetAdmin
from nucleus_pandas.api.model import Model, of_model_or_run
from nucleus_pandas.api.model_run import ModelRun, parts_of
from nucleus_pandas.api.slice import Slice, sample_of, slice_of, slices_of
from nucleus_pandas.api.web_urls import page_url
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io import CocoSource, to_coco
from nucleus_pandas.io.parquet.export import ExportFile, check_what, export, rows_of
from nucleus_pandas.io.parquet.export_schema import EXPORT_KINDS, ExportKind
from nucleus_pandas.schema import Backend, BoxColumn, ItemKeys, MetadataColumns, item_ids, no_backend, to_json
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.items import NamedItems
from nucleus_pandas.schema.validate import ColumnLayout, SendableRows
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.options import IfExists, OnError, Options, Target
from nucleus_pandas.uploads.results import UploadResult
from nucleus_pandas.uploads.upload import upload
from nucleus_pandas.views import (
    AnnotationsView,
    DatasetIndexer,
    DatasetPredictionsView,
    ItemsView,
    MetadataAs,
    Query,
    QueryKind,
    View,
    check_query,
    query_frame,
)
from nucleus_pandas.wire.responses import DatasetName, DatasetSize, RunCreated


class Dataset(DatasetAdmin):
    """A dataset: items in their order, and their ground truth.

    Made by `NucleusClient.create_dataset`, found by `NucleusClient.get_dataset`.
    """

    def __init__(self, transport: Transport, dataset_id: str, name: str | None = None) -> None:
        super().__init__(transport, dataset_id)
        if name is not None:
            self.name = name

    @cached_property
    def name(self) -> str:
        """The name."""
        return self._transport.read(DatasetName, "dataset", self.id, "name").name

    @property
    def info(self) -> dict[str, Any]:
        """``name``, number of items (``length``), ``model_run_ids``, ``slice_ids`` and more, as they are now."""
        return self._transport.get("dataset", self.id, "info")

    @property
    def url(self) -> str:
        """The address of the page that shows the images; see `NucleusClient.url`."""
        return page_url(self._transport, "datasets", self.id)

    def open(self) -> str:
        """Show the images in the browser, and return the address of their page; see `NucleusClient.url`."""
        url = self.url
        webbrowser.open(url)
        return url

    def __getitem__(self, key: str) -> str:
        if key == "dataset_id":
            return self.id
        if key == "name":
            return self.name
        raise KeyError(f"{key!r} is not a key of a dataset; there are 'dataset_id' and 'name'.")

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

        A frame, or as in the original client ``{"items": […]}`` or that list of dicts: `Dataset.append` takes all
        three. Local images are uploaded on up to ``max_concurrency`` connections, and read while they are sent.
        An embedded Nucleus gives their items the order of the frame all the same. The hosted service orders ten at a
        time as they arrive; with ``NucleusClient(max_concurrency=1)`` the order is kept there too. Where a frame has no
        sizes, the embedded one takes them from the headers, as the pixels are stored; `read_images` does so for both.

        Parameters
        ----------
        items : pandas.DataFrame, dict or list of dict
            Columns ``reference_id``, ``image_url`` and perhaps ``width`` and ``height`` (pixels) and metadata. A URL
            (http, https, s3, gs, gcs) is sent as it is, a local file is uploaded. A row with an ``image_error``, as
            `read_images` returns it, is rejected for that reason. Rows that share a ``reference_id`` and
            agree are one item, so a frame with one row per box can be sent as it is: beside ``x`` and ``y``, ``width``
            and ``height`` are those of the boxes, and the
            image's stand in ``image_width`` and ``image_height``.
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
            What becomes of an item whose ``reference_id`` is there already: nothing, or it is replaced, its metadata
            included, or an error is raised.
        on_error : {"raise", "collect"}
            Whether refused rows raise an error, or are only told in the result.
        batch_size : int, optional
            Rows a request; local images go at most ten a request to the hosted service, and at most 32
            to an embedded Nucleus.
        progress : bool, optional
            Whether to show a bar; by default on a terminal or in a notebook only.
        wait : bool
            Whether to wait for the jobs that the hosted service makes of uploads. Without it, ``result.wait()`` does,
            and items that took several uploads may be stored in another order.
        journal : path-like, optional
            A file, made when absent, that remembers which requests were answered, so that the same call goes on where
            an earlier one ended. A request is known by its content; images by the size and the time of their files.
            With ``if_exists="update"`` it knows the last frame alone.

        Returns
        -------
        UploadResult
            Counters and the outcome of every row, on the index of the frame.

        Raises
        ------
        InvalidInputError
            A column is missing, a row is wrong, or its file is missing, empty or unreadable; nothing was sent.
        UploadError
            The server refused rows; the others are stored. AlreadyExistsError where rows exist and `if_exists` is
            ``"error"``; a batch with such a row is refused whole by an embedded Nucleus. An image that goes, or
            changes while it is sent, is refused alone.

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
        options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress, wait=wait)
        return upload(self._target("items"), items, layout, options, local=local, journal=journal)

    def annotate(
        self,
        annotations: SendableRows,
        *,
        columns: Mapping[str, Hashable] | None = None,
        bbox: BoxColumn | None = None,
        bbox_format: BoxFormat = "xywh",
        metadata: MetadataColumns = True,
        if_exists: IfExists = "skip",
        on_error: OnError = "raise",
        batch_size: int | None = None,
        progress: bool | None = None,
        wait: bool = True,
        journal: str | os.PathLike[str] | None = None,
    ) -> UploadResult:
        """Add ground truth to a dataset.

        A frame, or as in the original client ``{"annotations": […]}`` or that list of dicts, which name their item by
        ``reference_id`` or ``item_id``: `Dataset.annotate` takes all three.

        Parameters
        ----------
        annotations : pandas.DataFrame, dict or list of dict
            Columns ``reference_id`` or ``dataset_item_id``, ``label``, and ``x``, ``y``, ``width``, ``height``
            (pixels from the top-left corner); perhaps with ``annotation_id``, metadata, ``track_reference_id``,
            ``task_id``, ``embedding_vector`` (lists or arrays of numbers, or their JSON text), and for other types than
            boxes ``type`` and ``geometry`` (dicts, structs or JSON texts, as the views give them back; a category may
            have its taxonomy in ``taxonomy_name`` instead). Without ``annotation_id`` one is computed from the content,
            so that sending the same again changes nothing. A row of a frame without any side of its box is an image
            without boxes, and is skipped. The ``mask_url`` of a mask may be a PNG local file, which is
            uploaded.
        columns : dict, optional
            Canonical names and what the frame calls them: ``{"label": "class"}``. Named index levels count too.
        bbox : hashable or sequence of four, optional
            One column of lists, arrays or structs, or four columns, that hold the boxes instead.
        bbox_format : {"xywh", "xyxy", "cxcywh"}
            What the four numbers of `bbox` are: corner and size, two corners, or centre and size.
        metadata : bool or list of str
            True sends the column ``metadata`` (dicts, structs, JSON strings) and the columns ``metadata.<key>``, a list
            names plain columns to send instead, False sends none. Missing values are left out. Metadata belongs to
            what is being sent, here to the annotations.
        if_exists : {"skip", "update", "error"}
            What becomes of one whose ``annotation_id`` its item has already.
        on_error : {"raise", "collect"}
            Whether refused rows raise an error, or are only told in the result.
        batch_size : int, optional
            Rows a request. Requests that travel side by side, as those to the hosted service do, end where the rows of
            an image end, so that these keep their order.
        progress : bool, optional
            Whether to show a bar; by default on a terminal or in a notebook only.
        wait : bool
            Whether to wait for the jobs that the hosted service makes of uploads. Without it, ``result.wait()`` does.
        journal : path-like, optional
            A file, created when absent, that remembers which requests were answered, so that the same call resumes
            where an earlier one ended. With ``if_exists="update"`` it knows the last frame alone.

        Returns
        -------
        UploadResult
            Counters and the outcome of every row, on the index of the frame.

        Raises
        ------
        InvalidInputError
            A column is missing or a row is wrong; nothing was sent.
        UploadError
            The server refused rows, such as those of unknown items; the others are stored.

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
        """Return where rows go."""
        verb = "append" if kind == "items" else "annotate"
        return Target(kind, self._transport, ("dataset", self.id, verb), {"dataset_id": self.id})

    def create_model_run(self, model: Model | Mapping[str, Any], **fields: Any) -> ModelRun:
        """Create a run of a model on this dataset.

        Parameters
        ----------
        model : Model or dict
            The model, or the fields of the run: ``reference_id`` or ``model_id``, perhaps ``name`` and ``metadata``.
        **fields
            ``name`` and ``metadata`` beside a model.

        Raises
        ------
        NotFoundError
            There is no such model.
        """
        if isinstance(model, Model):
            body = {"reference_id": model.reference_id, **fields}
        elif isinstance(model, Mapping):
            body = {**model, **fields}
        else:
            raise InvalidInputError(f"A run is made of a Model or of a dict, not {type(model).__name__}.")
        unknown = set(body) - {"model_id", "reference_id", "name", "metadata", "annotation_metadata_schema"}
        if unknown:
            raise InvalidInputError(f"A run has no {', '.join(sorted(map(repr, unknown)))}.")
        made = self._transport.create(RunCreated, "dataset", self.id, "modelRun", "create", body=to_json(body, "$"))
        return ModelRun(self._transport, made.model_run_id, self.id)

    @property
    def model_runs(self) -> list[ModelRun]:
        """The runs on this dataset, oldest first."""
        ids = self._transport.read(list[str], "dataset", self.id, "model_runs")
        return [ModelRun(self._transport, run_id, self.id) for run_id in ids]

    @property
    def items(self) -> ItemsView:
        """The items, as a frame that is read when it is asked for."""
        return ItemsView(self._transport, ("dataset", self.id), lambda: self.id)

    @property
    def annotations(self) -> AnnotationsView:
        """The ground truth, as a frame that is read when it is asked for."""
        return AnnotationsView(self._transport, ("dataset", self.id), lambda: self.id)

    def predictions(self, of: Model | ModelRun | str) -> DatasetPredictionsView:
        """Return the predictions of a model on this dataset, as a frame that is read when it is asked for.

        Parameters
        ----------
        of : Model, ModelRun or str
            A model, whose newest run is read, committed or not: where ``model.predict(rows, dataset=dataset)`` sent
            them. Or a run, or the id of either; one that spans datasets has positions and reference ids here.

        Returns
        -------
        DatasetPredictionsView
            As ``run.predictions``; reading raises NotFoundError where the model has no run on the dataset.

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
        return DatasetPredictionsView(self._transport, ("dataset", self.id, *of_model_or_run(of)), lambda: self.id)

    def to_coco(self, path: str | os.PathLike[str] | None = None, *, like: CocoSource | None = None) -> dict[str, Any]:
        """Write items and annotations as a COCO file.

        ``dataset.to_coco(path)`` is ``npd.to_coco(dataset.items.to_frame(), dataset.annotations.to_frame(), path)``,
        which says what is kept.

        Parameters
        ----------
        path : path, optional
            Where to write.
        like : path or dict, optional
            A COCO file whose ids, ``info``, ``licenses`` and categories are used: the one that the dataset was made
            of, for example.

        Returns
        -------
        dict
            What was written.

        Raises
        ------
        InvalidInputError
            An entry of `like` is wrong.

        Warns
        -----
        NucleusWarning
            Annotations are left out, for they are neither boxes nor polygons.

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

        The folder holds ``items.parquet``, ``annotations.parquet``, and for every run
        ``predictions/model_run_id={id}/predictions.parquet`` and, if it is committed,
        ``matches/model_run_id={id}/matches.parquet``. `pandas.read_parquet` gives the frame of a file as the library
        does, ``to_frame(metadata_as="json")`` with ``geometry``, ``class_pdf`` and ``embedding_vector`` as JSON text
        too; of the folder ``predictions`` it gives those of all runs, with a column ``model_run_id``. Such frames can
        be sent to another dataset as they are.

        Files are compressed with zstd, their row groups hold 100,000 rows, and no more than that is in memory at once.
        (The hosted service gives the predictions of a run in one piece; its matches are made here.) Each column says
        in the schema what it means, and in which unit; the schema's metadata ``nucleus_pandas`` is a JSON object with
        the ids of dataset, model run and model, and the time. Images are not written: ``image_url`` is what the
        frame of the items has, an address, or the path of an image that was uploaded to an embedded Nucleus.

        Parameters
        ----------
        path : str or path-like
            The folder, made when absent. It appears when all files are written; what fails leaves nothing. (A process
            that is killed leaves a hidden folder, ``.nucleus-export-…``, beside it, which the next export of that name
            removes.)
        what : iterable of {"items", "annotations", "predictions", "matches"}
            What to write; by default everything.
        runs : iterable of ModelRun or str, optional
            The runs, or their ids, whose predictions and matches are written; by default all of the dataset.
        overwrite : bool
            Whether an earlier export is replaced as a whole. A folder that holds anything else is not.

        Returns
        -------
        pandas.DataFrame
            A row for each file: ``what``, ``model_run_id`` and ``path`` (text), ``rows`` and ``bytes`` (``Int64``).

        Raises
        ------
        InvalidInputError
            The folder holds something already, or an argument is none of those above.
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
        wanted = check_what(what)
        chosen = self._chosen_runs(wanted, runs)
        views: dict[ExportKind, View] = {"items": self.items, "annotations": self.annotations}
        parts = [ExportFile(one, partial(rows_of, view)) for one, view in views.items() if one in wanted]
        of_runs = (part for run in chosen for part in parts_of(run, wanted))
        about = {"dataset_id": self.id, "dataset_name": self.name}
        return export(path, chain(parts, of_runs), about, overwrite=overwrite)

    def _chosen_runs(self, what: Sequence[ExportKind], runs: Iterable[ModelRun | str] | None) -> list[ModelRun]:
        if not {"predictions", "matches"} & set(what):
            if runs is not None:
                raise InvalidInputError(
                    "runs= chooses predictions and matches, and what= leaves out both.", argument="runs"
                )
            return []
        known = {run.id: run for run in self.model_runs}
        if runs is None:
            return list(known.values())
        given = [runs] if isinstance(runs, (str, ModelRun)) else runs
        ids = dict.fromkeys(run.id if isinstance(run, ModelRun) else run for run in given)
        if unknown := [run_id for run_id in ids if run_id not in known]:
            raise InvalidInputError(
                f"The dataset has no run {unknown[0]!r}; there are {', '.join(map(repr, known)) or 'none'}."
            )
        return [known[run_id] for run_id in ids]

    @property
    def iloc(self) -> DatasetIndexer:
        """Items by position.

        ``dataset.iloc[key]`` equals ``dataset.items.to_frame().iloc[key]`` for every key that pandas accepts, but
        reads those rows alone. A callable costs a full read. ``dataset.iloc(0)`` is a call: one item with its
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
    def loc(self) -> DatasetIndexer:
        """Items by item id.

        ``dataset.loc[key]`` equals ``dataset.items.to_frame().loc[key]``, except that a slice from one id to another
        raises TypeError, for ids have no order. A callable costs a full read. ``dataset.loc("di_…")`` is a call: one
        item with its annotations.
        """
        return DatasetIndexer(self.items, "loc")

    @property
    def refloc(self) -> DatasetIndexer:
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
    def slices(self) -> list[Slice]:
        """The slices of this dataset."""
        return slices_of(self._transport, self.id)

    def create_slice(self, name: str | Mapping[str, Any], reference_ids: ItemKeys | None = None) -> Slice:
        """Create a slice of items of this dataset.

        Parameters
        ----------
        name : str or dict
            The name, which no other slice of the dataset may have; or the fields, ``{"name": …}`` with
            ``reference_ids`` or ``dataset_item_ids``.
        reference_ids : iterable of str, or pandas.DataFrame, optional
            Reference ids; or a frame with ``reference_id`` or ``dataset_item_id``, in a column or the index: items,
            annotations, or what `query` gives. Each item is in the slice once, in the order in which it comes first.
            Without any the slice is empty.

        Returns
        -------
        Slice
            It also answers ``["slice_id"]``.

        Raises
        ------
        InvalidInputError
            An id is missing or no text, or a frame names no items.
        NotFoundError
            Items are not in the dataset; no slice was made, or with more than 10,000 items, it holds those before.
        ConflictError
            The dataset has a slice of that name.

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
            return slice_of(self._transport, self.id, *_slice_fields(name, reference_ids))
        return slice_of(self._transport, self.id, name, item_ids(reference_ids))

    def build_slice(
        self,
        name: str,
        sample_size: int,
        sample_method: str = "Random",
        filters: Mapping[str, str] | None = None,
        *,
        seed: int | None = None,
    ) -> Slice:
        """Create a slice of a sample of the items.

        Parameters
        ----------
        name : str
            The name, which no other slice of the dataset may have.
        sample_size : int
            How many items, if there are so many.
        sample_method : {"Random", "Uniqueness"}
            How to draw. Uniqueness needs the embeddings of the hosted service.
        filters : dict, optional
            ``{"slice_id": …}``: the slice from whose items to draw, instead of all.
        seed : int, optional
            What an embedded Nucleus draws by: the same items, the same seed, the same sample. Without it the name
            stands for the seed.

        Raises
        ------
        ConflictError
            The dataset has a slice of that name.
        UnsupportedError
            The server cannot draw by that method.

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
            raise InvalidInputError(f"A sample is filtered by 'slice_id', not by {', '.join(map(repr, unknown))}.")
        source = (filters or {}).get("slice_id")
        return sample_of(self._transport, self.id, name, sample_size, sample_method, source, seed)

    def query(
        self,
        text: str,
        kind: QueryKind = "items",
        *,
        run: ModelRun | str | None = None,
        metadata_as: MetadataAs = "dict",
        dtype_backend: Backend = no_backend,
    ) -> pd.DataFrame:
        """Find items, annotations or predictions by what they are like.

        Parameters
        ----------
        text : str
            The query, as below. An empty one finds everything.
        kind : {"items", "annotations", "predictions"}
            What to find.
        run : ModelRun or str, optional
            The run whose predictions are found, or are meant by ``predictions``. Without it ``predictions`` are those
            of any run.
        metadata_as, dtype_backend
            As in `ItemsView.to_frame`.

        Returns
        -------
        pandas.DataFrame
            As ``dataset.items.to_frame()``, ``dataset.annotations.to_frame()`` or ``run.predictions.to_frame()``, with
            the rows that the query finds.

        Raises
        ------
        BadRequestError
            The query is wrong; the text shows the line, and the place by a caret. Refused are also queries of more
            than 50,000 characters or 200 fields and values, and those nested more than 10 deep.
        UnsupportedError
            It asks for scenes, autotags or labeling tasks, which an embedded Nucleus does not have.
        InvalidInputError
            An argument is none of those above.

        Notes
        -----
        **Fields of items**: ``reference_id``, ``dataset_item_id``, ``width``, ``height``, ``metadata.<key>``, deeper
        ``metadata.<key>.<key>``, and ``slice``, the name of a slice that holds the item. Names that are no word stand
        in quotation marks: ``metadata."time of day"``.

        **Their annotations** (and likewise ``predictions``): ``annotations.count`` and ``annotations.<label>`` are
        numbers, as ``annotations."traffic light" >= 2``; ``annotations.box.count`` and ``annotations.box.<label>``
        those of one type. Categories have no place in the image and are counted by ``annotations.category.count``
        alone. ``annotations.label``, ``.type``, ``.annotation_id``, ``.x``, ``.y``, ``.width``, ``.height``,
        ``.area``, ``.confidence``, ``.metadata.<key>``, ``.position.x``, ``.dimensions.x``, ``.taxonomy_name``,
        ``.track_reference_id``, ``.task_id``, ``.class_pdf.<label>`` and ``annotations.<label>.<key>`` (metadata of
        those with that label) are those of any one annotation: a comparison holds if it holds for one of them.
        ``annotations.<taxonomy> = "rainy"`` asks for a category. What one and the same annotation is to be like stands
        in brackets: ``annotations[label = "car" and width < 20]``, or ``annotations[…].count > 2``.

        **Fields of annotations and predictions**, where these are found: those that follow ``annotations.`` above,
        without it (``label = "car"``, ``metadata.occluded``); of their item ``item.metadata.<key>``, ``item.width``
        and so on, ``reference_id``, ``annotations.count``.

        **Operators**, from the weakest: ``or``, ``and``, ``not``; ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``,
        ``in ("rain", "fog")``, ``like "night%"`` (``%`` is any text, ``_`` any character, case does not matter),
        ``is null``, ``is not null``, ``not in``, ``not like``; ``+``, ``-``; ``*``, ``/``, ``%``; parentheses. Texts
        stand in ``"`` or ``'``, doubled where a text holds one itself; a single word may go without on the right of a
        comparison.

        **Missing values** are null, and so is JSON null; what is said of null is null, as in SQL, and finds nothing:
        ``metadata.weather != "rain"`` finds no item without weather. Texts, numbers and true or false are never equal
        to each other, and none is less than the other, which is no error; what is no number cannot be calculated with,
        and gives null, as division by zero does.

        This is what an embedded Nucleus takes. The hosted service has its own language, which agrees in
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
        nucleus_pandas.errors.BadRequestError: There cannot be 'andd' here; expected an operator, 'and', 'or' or ...
        >>> client.close()
        """
        run_id = run.id if isinstance(run, ModelRun) else run
        check_query(text, kind, run_id)
        here = ("dataset", self.id)
        return query_frame(
            self._transport, here, lambda: self.id, Query(text, run_id), kind, metadata_as, dtype_backend
        )


def _slice_fields(fields: Mapping[str, Any], reference_ids: ItemKeys | None) -> tuple[str, NamedItems]:
    """Take the fields of a slice from a payload dict."""
    known = {"name", "reference_ids", "dataset_item_ids", "allow_empty"}
    if unknown := set(fields) - known:
        raise InvalidInputError(f"A slice has no {', '.join(sorted(map(repr, unknown)))}.")
    both = [name for name in ("reference_ids", "dataset_item_ids") if fields.get(name)]
    if len(both) + (reference_ids is not None) > 1:
        raise InvalidInputError("A slice is made of reference_ids or of dataset_item_ids, not of both.")
    if reference_ids is not None:
        return fields.get("name", ""), item_ids(reference_ids)
    if fields.get("dataset_item_ids"):
        return fields.get("name", ""), item_ids(fields["dataset_item_ids"], "dataset_item_id")
    return fields.get("name", ""), item_ids(fields.get("reference_ids"))
