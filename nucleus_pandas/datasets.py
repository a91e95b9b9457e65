"""Datasets."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import Any, Literal

import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io import CocoSource, to_coco
from nucleus_pandas.io.parquet.export import Part, check_what, export, rows_of
from nucleus_pandas.io.parquet.schema import WHAT, What
from nucleus_pandas.management import Management
from nucleus_pandas.models import Model, of_model_or_run
from nucleus_pandas.pages import page_url
from nucleus_pandas.runs import ModelRun, parts_of
from nucleus_pandas.schema import BoxColumn, Metadata, json_values
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.validate import Layout, Rows
from nucleus_pandas.selecting import Selecting
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.options import IfExists, OnError, Options, Target
from nucleus_pandas.uploads.results import UploadResult
from nucleus_pandas.uploads.upload import upload
from nucleus_pandas.views import (
    AnnotationsView,
    DatasetIndexer,
    DatasetPredictionsView,
    ItemsView,
    View,
)
from nucleus_pandas.wire import DatasetName, DatasetSize, RunCreated


class Dataset(Management, Selecting):
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
        """The address of the page that shows the pictures; see `NucleusClient.url`."""
        return page_url(self._transport, "datasets", self.id)

    def open(self) -> str:
        """Show the pictures in the browser, and give the address of their page; see `NucleusClient.url`."""
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
        items: Rows,
        local: bool = False,
        *,
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
        """Add items.

        Pictures of this machine are uploaded on up to ``max_concurrency`` connections, and read while they are sent.
        An embedded Nucleus gives their items the order of the frame all the same. The hosted service orders ten at a
        time as they arrive; with ``NucleusClient(max_concurrency=1)`` the order is kept there too. Where a frame has no
        sizes, the embedded one takes them from the headers, as the pixels are stored; `read_pictures` does so for both.

        Parameters
        ----------
        items : pandas.DataFrame, dict or list of dict
            A frame with ``reference_id``, ``image_url`` and perhaps ``width`` and ``height`` (pixels) and metadata;
            or ``{"items": […]}``, or that list. An address (http, https, s3, gs, gcs) is sent as it is, the file of a
            path is uploaded. Rows that share a ``reference_id`` and agree are one item, so a frame with one row a box
            can be sent as it is: beside ``x`` and ``y``, ``width`` and ``height`` are those of the boxes, and the
            picture's stand in ``image_width`` and ``image_height``.
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
            What becomes of an item whose ``reference_id`` is there already: nothing, or it is replaced, its metadata
            included, or an error is raised.
        on_error : {"raise", "collect"}
            Whether refused rows raise an error, or are only told in the result.
        batch_size : int, optional
            Rows a request; pictures of this machine go at most ten a request to the hosted service, and at most 32
            to an embedded Nucleus.
        progress : bool, optional
            Whether to show a bar; by default on a terminal or in a notebook only.
        wait : bool
            Whether to wait for the jobs that the hosted service makes of uploads. Without it, ``result.wait()`` does,
            and items that took several uploads may be stored in another order.
        journal : path-like, optional
            A file, made when absent, that remembers which requests were answered, so that the same call goes on where
            an earlier one ended. A request is known by its content; pictures by the size and the time of their files.
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
            ``"error"``; a batch with such a row is refused whole by an embedded Nucleus. A picture that goes, or
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
        layout = Layout(columns=columns, bbox=bbox, metadata=metadata)
        options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress, wait=wait)
        return upload(self._target("items"), items, layout, options, local=local, journal=journal)

    def annotate(
        self,
        annotations: Rows,
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
        """Add ground truth.

        Parameters
        ----------
        annotations : pandas.DataFrame, dict or list of dict
            A frame with ``reference_id`` or ``dataset_item_id``, ``label``, and ``x``, ``y``, ``width``, ``height``
            (pixels from the top-left corner); perhaps with ``annotation_id``, metadata, ``track_reference_id``,
            ``task_id``, ``embedding_vector`` (lists or arrays of numbers, or their JSON text), and for other types than
            boxes ``type`` and ``geometry`` (dicts, structs or JSON texts, as the views give them back; a category may
            have its taxonomy in ``taxonomy_name`` instead). Or ``{"annotations": […]}``, or that list, whose dicts name
            their item by ``reference_id`` or ``item_id``. Without ``annotation_id`` one is computed from the content,
            so that sending the same again changes nothing. A row of a frame without any side of its box is a picture
            without boxes, and is skipped. The ``mask_url`` of a mask may be a PNG file of this machine, which is
            uploaded.
        columns : dict, optional
            Canonical names and what the frame calls them: ``{"label": "class"}``. Named index levels count too.
        bbox : hashable or sequence of four, optional
            One column of lists, arrays or structs, or four columns, that hold the boxes instead.
        bbox_format : {"xywh", "xyxy", "cxcywh"}
            What the four numbers of `bbox` are: corner and size, two corners, or centre and size.
        metadata : bool or list of str
            As `append` takes it; metadata belongs to what is being sent, here to the annotations.
        if_exists : {"skip", "update", "error"}
            What becomes of one whose ``annotation_id`` its item has already.
        on_error : {"raise", "collect"}
            Whether refused rows raise an error, or are only told in the result.
        batch_size : int, optional
            Rows a request. Requests that travel side by side, as those to the hosted service do, end where the rows of
            a picture end, so that these keep their order.
        progress : bool, optional
            Whether to show a bar; by default on a terminal or in a notebook only.
        wait : bool
            Whether to wait for the jobs that the hosted service makes of uploads. Without it, ``result.wait()`` does.
        journal : path-like, optional
            As `append` takes it.

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
        layout = Layout(columns, bbox, bbox_format, metadata)
        options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress, wait=wait)
        return upload(self._target("annotations"), annotations, layout, options, journal=journal)

    def _target(self, kind: Literal["items", "annotations"]) -> Target:
        """Give where rows go."""
        verb = "append" if kind == "items" else "annotate"
        return Target(kind, self._transport, ("dataset", self.id, verb), {"dataset_id": self.id})

    def create_model_run(self, model: Model | Mapping[str, Any], **fields: Any) -> ModelRun:
        """Make a run of a model on this dataset.

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
        made = self._transport.create(RunCreated, "dataset", self.id, "modelRun", "create", body=json_values(body, "$"))
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
        """Give the predictions of a model on this dataset, as a frame that is read when it is asked for.

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
        what: Iterable[What] = WHAT,
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
        the ids of dataset, model run and model, and the time. Pictures are not written: ``image_url`` is what the
        frame of the items has, an address, or the path of a picture that was uploaded to an embedded Nucleus.

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
        views: dict[What, View] = {"items": self.items, "annotations": self.annotations}
        parts = [Part(one, partial(rows_of, view)) for one, view in views.items() if one in wanted]
        of_runs = (part for run in chosen for part in parts_of(run, wanted))
        about = {"dataset_id": self.id, "dataset_name": self.name}
        return export(path, chain(parts, of_runs), about, overwrite=overwrite)

    def _chosen_runs(self, what: Sequence[What], runs: Iterable[ModelRun | str] | None) -> list[ModelRun]:
        if not {"predictions", "matches"} & set(what):
            if runs is not None:
                raise InvalidInputError("runs= chooses predictions and matches, and what= leaves out both.")
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
